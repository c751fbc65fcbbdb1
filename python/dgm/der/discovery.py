"""The conversation with the utility server: which request goes next, and what its answer means.

    Answer / NoAnswer / Tick ──> Discovery ──Request──> shell (TLS, HTTP, XML)
                                    |  walk: what is linked now      outbox: what has to be told
                                    └──> ProgramsKnown, ClockMeasured, ResponseTaken

One request is in flight at a time (one keep-alive connection). Polls follow each list's pollRate; a failing document
backs off alone, a silent server or a 429/503 holds everything. The stored schedule is not kept here and runs on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from enum import Enum
from typing import assert_never
from urllib.parse import urlsplit

from dgm.der import resource as r
from dgm.der.groups import FunctionSet, Sources
from dgm.der.letter import ErrandDone, Letter
from dgm.der.nodes import EXPECTED, Document, Node, resolve
from dgm.der.outbox import POST_S_DEFAULT, AnyResponse, Outbox, Report, errand_done
from dgm.der.scheduler import ProgramsKnown, ResponseTaken
from dgm.der.subscriptions import Subscriptions
from dgm.der.walk import Identity, Walk, walk
from dgm.machine import Now, Tick

PAGE_ITEMS = 50
ITEMS_MAX = 2000
"""A longer list is not followed to its end and counts as not fetched."""
REDIRECTS_MAX = 5
RETRY_DOCUMENT_MS = 5_000
RETRY_SERVER_MS = 1_000
RETRY_SERVER_MS_MAX = 60_000
RETRY_BUSY_MS = 15_000
RETRY_BUSY_MS_MAX = 900_000
RETRY_AFTER_S_MAX = 86_400
LOST_AFTER_FAILURES = 3

MOVES_MAX = 200

REDIRECTS = frozenset({301, 302, 307, 308})
PERMANENT = frozenset({301, 308})
GONE = frozenset({404, 410})
BUSY = frozenset({429, 503})


class Link(Enum):
    """How far the conversation has come."""

    CONNECTING = "connecting"
    REGISTERED = "registered"
    READY = "ready"
    LOST = "lost"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What the server answered. resource None: no body, or one that is not a resource."""

    tag: int
    status: int
    resource: Document | None = None
    location: str | None = None
    retry_after_s: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NoAnswer:
    """The request failed below HTTP: no connection, TLS refused, time-out, body too large. why: for people."""

    tag: int
    why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SendResponse:
    """Post a response."""

    reply_to: str
    response: AnyResponse


@dataclass(frozen=True, slots=True, kw_only=True)
class SendReadings:
    """Post readings: (mRID of the mirror, reading), oldest first."""

    readings: tuple[tuple[str, r.MirrorMeterReading], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Notified:
    """The server tells of a change, in a subscription of ours (`is_ours`)."""

    notification: r.Notification


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """Send this; answer with the same tag, always."""

    tag: int
    method: str
    url: str
    body: r.Resource | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockMeasured:
    """The server's clock less ours."""

    offset_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SetKnown:
    """The complete set of sources of one function set beside DER, told when it has changed."""

    function_set: FunctionSet
    sources: Sources


DiscoveryEvent = Answer | NoAnswer | Notified | SendResponse | SendReadings | Report | Tick
DiscoveryEffect = Request | ClockMeasured | ProgramsKnown | SetKnown | ResponseTaken | ErrandDone


@dataclass(slots=True)
class _Poll:
    """When a document was asked for last with success, and how it has failed since."""

    asked_ms: int | None = None
    failures: int = 0
    not_before_ms: int = 0

    def due_ms(self, poll_s: int) -> int:
        if self.failures:
            return self.not_before_ms
        return 0 if self.asked_ms is None else self.asked_ms + poll_s * 1000


@dataclass(slots=True, kw_only=True)
class _Flight:
    """The request in flight: for a document (with the items of its earlier pages) or for a letter.

    paging: what was added to the place of a list to ask for one page of it. moves: permanent ones on the way here,
    remembered once what was wanted has been found behind them.
    """

    request: Request
    asked: Now
    node: Node | None = None
    items: tuple[object, ...] = ()
    letter: Letter | None = None
    hops: int = 0
    paging: str = ""
    moves: tuple[tuple[str, str], ...] = ()
    subscribed: Node | None = None

    @property
    def place(self) -> str:
        """Where it goes, without the paging."""
        return self.request.url.removesuffix(self.paging)


@dataclass(slots=True)
class Counters:
    """For metrics and GetConnection."""

    polls: int = 0
    failures: int = 0
    responses_given_up: int = 0
    redirects: int = 0
    holds: int = 0
    malformed: int = 0
    notifications: int = 0


@dataclass(slots=True, kw_only=True)
class _Server:
    """The server as a whole: silence and busy answers hold everything."""

    failures: int = 0
    unsuccessful: int = 0
    busy: int = 0
    hold_until_ms: int = 0
    last_success_ms: int | None = None
    offset_ms: int = 0
    registered_at_ms: int | None = None
    why: str = ""


class Discovery:
    """One device's conversation with one server. `draw(n)` gives a uniform integer in 0..n, for the back-off."""

    def __init__(
        self,
        identity: Identity,
        draw: Callable[[int], int],
        *,
        mirrors: Iterable[r.MirrorUsagePoint] = (),
        in_band: bool = False,
        post_s: int = POST_S_DEFAULT,
        notification_url: str | None = None,
    ) -> None:
        self._identity = identity
        self._draw = draw
        self._in_band = in_band
        self._documents: dict[Node, Document] = {}
        self._offsets_ms: dict[Node, int] = {}
        self._moved: dict[str, str] = {}
        self._sets: dict[FunctionSet, Sources] = {}
        self._subscriptions = Subscriptions(identity.url, notification_url)
        self._signalled: set[Node] = set()
        self._polls: dict[Node, _Poll] = {}
        self._walk: Walk = walk(identity, {})
        self._outbox = Outbox(mirrors, post_s=post_s)
        self._flight: _Flight | None = None
        self._server = _Server()
        self._tag = 0
        self._sent_tag = 0
        self._now = Now(mono_ms=0, utc_ms=0)
        self.counters = Counters()

    # -- state for people and for the other cores -------------------------------------------------------------------

    @property
    def link(self) -> Link:
        """How far we are."""
        if self._server.unsuccessful >= LOST_AFTER_FAILURES:
            return Link.LOST
        if self._walk.own is None:
            return Link.CONNECTING
        return Link.REGISTERED if self._walk.programs is None or self._walk.wrong_pin else Link.READY

    @property
    def wrong_pin(self) -> bool:
        """The server's PIN is not the configured one."""
        return self._walk.wrong_pin

    @property
    def why(self) -> str:
        """Why controls are not followed, or what failed last; empty: all is well."""
        if self._walk.wrong_pin:
            return "wrong PIN: the server means another device; no control is taken until it shows the configured one"
        if self._walk.listed and self._walk.own is None:
            return f"the server's list of devices does not hold LFDI {self._identity.lfdi}"
        if self._walk.own is not None and self._walk.own.enabled is False:
            return "the server has disabled this device"
        if self._identity.is_pin_required and self._walk.own is not None and not self._walk.own.registration_link:
            return "the server shows no Registration, and the utility profile requires its PIN"
        return self._server.why

    @property
    def last_success_ms(self) -> int | None:
        """Monotonic ms of the last good answer; None: never."""
        return self._server.last_success_ms

    def post_rate_s(self, mirror_mrid: str) -> int:
        """How often readings of a mirror are wanted."""
        return self._outbox.mirrors.post_rate_s(mirror_mrid)

    def wants_responses(self) -> bool:
        """Responses that are owed found no room, and there is some again: say all that are owed. True only once."""
        return self._outbox.take_overfull()

    def is_ours(self, notification: r.Notification) -> bool:
        """A notification is of a subscription that we hold."""
        return self._subscriptions.node_of(notification) is not None

    # -- the machine ------------------------------------------------------------------------------------------------

    def handle(self, event: DiscoveryEvent, now: Now) -> list[DiscoveryEffect]:
        """Take one event; the effects end with the next request, if one is due and none is in flight."""
        self._now = now
        effects: list[DiscoveryEffect] = []
        match event:
            case Answer():
                effects += self._answered(event)
            case NoAnswer():
                self._unanswered(event)
            case Notified():
                effects += self._notified(event.notification)
            case SendResponse():
                self._outbox.add_response(event.reply_to, event.response)
            case SendReadings():
                for mrid, reading in event.readings:
                    self._outbox.mirrors.add(mrid, reading)
            case Report():
                self._outbox.set_report(event)
            case Tick():
                pass
            case _:
                assert_never(event)
        effects += self._next_request()
        return effects

    def wake_time(self) -> int | None:
        """When the next request is due; None while one is in flight."""
        if self._flight is not None:
            return None
        due = [self._due_ms(node, poll_s) for node, poll_s in self._walk.wanted.items()]
        due += self._subscriptions.wake_ms()
        due += self._outbox.wake_ms(self._walk.own, self._walk.der)
        coming = [time for time in due if time > self._now.mono_ms]
        hold = self._server.hold_until_ms
        if hold > self._now.mono_ms:
            return hold
        return min(coming, default=None)

    # -- answers ----------------------------------------------------------------------------------------------------

    def _answered(self, answer: Answer) -> list[DiscoveryEffect]:
        flight = self._flight
        if flight is None or flight.request.tag != answer.tag:
            return []
        self._flight = None
        self._server.failures = 0
        if answer.status in BUSY:
            self._hold_busy(answer.retry_after_s)
            return []
        self._server.busy = 0
        if answer.status in REDIRECTS and self._redirect(flight, answer):
            return []
        ok = 200 <= answer.status < 300
        if answer.status in GONE:
            self._forget_move(flight)
        if not ok:
            self._server.why = f"{flight.request.method} {urlsplit(flight.request.url).path}: HTTP {answer.status}"
        if flight.node is not None:
            return self._fetched(flight, flight.node, answer) if ok else self._not_fetched(flight.node)
        if flight.subscribed is not None:
            is_renewal = self._subscriptions.holds(flight.subscribed)
            self._subscriptions.answered(flight.subscribed, answer.location, self._now.mono_ms, ok=ok)
            if ok and not is_renewal:
                # What changed between our last look and the subscription is told by nobody.
                self._signalled.add(flight.subscribed)
                self._polls.pop(flight.subscribed, None)
            return []
        if flight.letter is not None:
            return self._delivered(flight.letter, answer, ok=ok)
        self._registration_answered(ok=ok)
        return []

    def _redirect(self, flight: _Flight, answer: Answer) -> bool:
        target = resolve(flight.request.url, answer.location) if answer.location else None
        if target is None or flight.hops >= REDIRECTS_MAX:
            return False
        target = target.removesuffix(flight.paging)
        if answer.status in PERMANENT:
            flight.moves = (*flight.moves, (flight.place, target))
        if flight.paging:
            flight.paging = ("&" if urlsplit(target).query else "?") + flight.paging[1:]
            target += flight.paging  # a page of a list stays that page
        self.counters.redirects += 1
        self._tag += 1
        flight.hops += 1
        flight.request = replace(flight.request, tag=self._tag, url=target)
        self._flight = flight
        return True

    def _remember_moves(self, flight: _Flight) -> None:
        self._moved.update(flight.moves)
        while len(self._moved) > MOVES_MAX:
            del self._moved[next(iter(self._moved))]

    def _forget_move(self, flight: _Flight) -> None:
        """What was wanted is not where it was said to have moved: the next attempt is where it was linked."""
        self._moved = {old: new for old, new in self._moved.items() if new != flight.place}

    def _fetched(self, flight: _Flight, node: Node, answer: Answer) -> list[DiscoveryEffect]:
        document = answer.resource
        if not isinstance(document, EXPECTED[node.kind]) or document is None:
            self.counters.malformed += 1
            self._forget_move(flight)
            self._server.why = f"GET {urlsplit(node.url).path}: no readable {EXPECTED[node.kind].__name__}"
            return self._not_fetched(node)
        self._remember_moves(flight)
        if isinstance(document, r.ListResource):
            if any(item in flight.items for item in document.items):
                # The server does not page as asked; what it repeats cannot be told from what it lacks.
                return self._not_fetched(node)
            items = (*flight.items, *document.items)
            if len(items) < document.all:
                if not document.items or len(items) >= ITEMS_MAX:
                    return self._not_fetched(node)
                self._send_get(node, items=items, asked=flight.asked)
                return []
            # mypy cannot see that the items of one list resource are all of its own type.
            document = replace(document, items=items)  # type: ignore[arg-type]
        if self._server.unsuccessful >= LOST_AFTER_FAILURES:
            self._subscriptions.drop_all()
        self._succeeded()
        is_untold = node not in self._signalled and _content(self._documents.get(node)) != _content(document)
        if is_untold and self._subscriptions.holds(node):
            self._subscriptions.drop(node)  # and make it anew: nobody has told us
        self._signalled.discard(node)
        self.counters.polls += 1
        self._polls[node] = _Poll(asked_ms=flight.asked.mono_ms)
        self._documents[node] = document
        return self._rewalk(node, flight)

    def _notified(self, notification: r.Notification) -> list[DiscoveryEffect]:
        """Take what was sent if it is all of the document; else fetch it, at once."""
        node = self._subscriptions.node_of(notification)
        if node is None:
            return []
        self.counters.notifications += 1
        self._signalled.add(node)
        document = notification.resource
        if notification.status is not r.NotificationState.DEFAULT:
            self._subscriptions.drop(node)
            # It moved, was defined anew or is gone: what links to it says which.
            self._polls.clear()
            return []
        is_expected = isinstance(document, EXPECTED[node.kind]) and not isinstance(document, r.Time)
        is_whole = not isinstance(document, r.ListResource) or len(document.items) == document.all
        in_flight = self._flight is not None and self._flight.node == node
        if not is_expected or not is_whole or in_flight:
            self._polls.pop(node, None)
            return []
        self._polls[node] = _Poll(asked_ms=self._now.mono_ms)
        self._documents[node] = _as_document(document, self._documents.get(node))
        return self._rewalk(node, None)

    def _rewalk(self, node: Node, flight: _Flight | None) -> list[DiscoveryEffect]:
        self._walk = walk(self._identity, self._documents)
        for gone in self._documents.keys() - self._walk.wanted.keys():
            del self._documents[gone]
        for gone in self._polls.keys() - self._walk.wanted.keys():
            del self._polls[gone]
        for clock in self._offsets_ms.keys() - self._walk.wanted.keys():
            del self._offsets_ms[clock]
        self._subscriptions.keep_only(self._walk.wanted)
        document = self._documents.get(node)
        match document:
            case r.Time():
                return [] if flight is None else self._clock(node, document, flight)
            case r.MirrorUsagePointList():
                self._outbox.mirrors.learn(document.items)
                return []
            case r.DERList() | r.DeviceCapability():
                return []
            case _:
                return self._known()

    def _known(self) -> list[DiscoveryEffect]:
        """All programs, if they are known completely, with how far the clocks of their groups are from the server's."""
        offsets_ms, server_ms = self._offsets_ms, self._server.offset_ms
        apart = {mrid: offsets_ms[node] - server_ms for mrid, node in self._walk.clocks.items() if node in offsets_ms}
        programs, effects = self._walk.programs, list[DiscoveryEffect]()
        if programs is not None:
            of_programs = {item.mrid: apart[item.mrid] for item in programs if item.mrid in apart}
            effects.append(ProgramsKnown(programs=programs, offsets_ms=of_programs))
        for name, found in self._walk.sets.items():
            sources = tuple(replace(item, clock_offset_ms=apart.get(item.mrid, 0)) for item in found)
            if self._sets.get(name) != sources:
                self._sets[name] = sources
                effects.append(SetKnown(function_set=name, sources=sources))
        return effects

    def _clock(self, node: Node, time: r.Time, flight: _Flight) -> list[DiscoveryEffect]:
        """Narrow the offset to what this answer allows: at some moment in flight the server's second was current_s.

        The first Time that is linked is the server's; a group (FSA) may have one of its own. An offset that already
        fits is kept, so whole seconds on the wire do not make the clock jump about.
        """
        lowest_ms = time.current_s * 1000 - self._now.utc_ms
        highest_ms = time.current_s * 1000 + 999 - flight.asked.utc_ms
        before_ms = self._offsets_ms.get(node, self._server.offset_ms)
        offset_ms = min(max(before_ms, lowest_ms), max(highest_ms, lowest_ms))
        is_news = self._offsets_ms.get(node) != offset_ms
        self._offsets_ms[node] = offset_ms
        effects: list[DiscoveryEffect] = []
        if node == self._walk.clock and offset_ms != self._server.offset_ms:
            self._server.offset_ms = offset_ms
            effects.append(ClockMeasured(offset_ms=offset_ms))
        return [*effects, *self._known()] if is_news and self._walk.clocks else effects

    def _not_fetched(self, node: Node) -> list[DiscoveryEffect]:
        self._failed()
        poll = self._polls.setdefault(node, _Poll())
        poll.failures += 1
        longest_ms = self._walk.wanted.get(node, self._identity.poll_s) * 1000
        poll.not_before_ms = self._later(RETRY_DOCUMENT_MS, poll.failures, longest_ms)
        return []

    def _delivered(self, letter: Letter, answer: Answer, *, ok: bool) -> list[DiscoveryEffect]:
        done = ok
        if ok:
            self._succeeded()
            self._outbox.taken(letter, answer.location, self._now.mono_ms)
        else:
            self._failed()
            failures = self._outbox.failures(letter.key) + 1
            retry_ms = self._later(RETRY_DOCUMENT_MS, failures, self._identity.poll_s * 1000)
            done = self._outbox.refused(letter, answer.status, retry_ms, is_lost=self.link is Link.LOST)
        if letter.key.startswith("mirror:") and ok and self._outbox.mirrors.is_complete() and self._walk.mirrors:
            self._polls.pop(self._walk.mirrors, None)  # fetch it again now: it tells the postRate
        if isinstance(letter.body, AnyResponse) and done:
            self.counters.responses_given_up += not ok
            return [ResponseTaken(mrid=letter.body.subject, status=letter.body.status or 0)]
        errand = errand_done(letter, is_taken=ok, status=answer.status, location=answer.location) if done else None
        return [] if errand is None else [errand]

    def _registration_answered(self, *, ok: bool) -> None:
        if ok and self._walk.end_devices is not None:
            self._polls.pop(self._walk.end_devices, None)
        else:
            self._failed()

    def _succeeded(self) -> None:
        self._server.last_success_ms = self._now.mono_ms
        self._server.unsuccessful = 0
        self._server.why = ""

    def _failed(self) -> None:
        self.counters.failures += 1
        self._server.unsuccessful += 1

    def _unanswered(self, event: NoAnswer) -> None:
        if self._flight is None or self._flight.request.tag != event.tag:
            return
        self._flight = None
        self._failed()
        self._server.why = event.why or "no answer"
        self._server.failures += 1
        self._server.hold_until_ms = self._later(RETRY_SERVER_MS, self._server.failures, RETRY_SERVER_MS_MAX)

    def _hold_busy(self, retry_after_s: int | None) -> None:
        self._failed()
        self._server.why = "the server is busy (HTTP 429 or 503); nothing is asked until it may be"
        self.counters.holds += 1
        self._server.busy += 1
        if retry_after_s is None:
            self._server.hold_until_ms = self._later(RETRY_BUSY_MS, self._server.busy, RETRY_BUSY_MS_MAX)
        else:
            self._server.hold_until_ms = self._now.mono_ms + min(max(retry_after_s, 1), RETRY_AFTER_S_MAX) * 1000

    def _later(self, first_ms: int, failures: int, longest_ms: int) -> int:
        """Exponential back-off with up to a quarter of jitter, so that a fleet does not come back as one."""
        delay_ms = min(first_ms << min(failures - 1, 16), longest_ms)
        return self._now.mono_ms + delay_ms + self._draw(delay_ms // 4)

    # -- requests ---------------------------------------------------------------------------------------------------

    def _next_request(self) -> list[DiscoveryEffect]:
        effects: list[DiscoveryEffect] = []
        if self._flight is None and self._now.mono_ms >= self._server.hold_until_ms:
            effects += self._choose()
        if self._flight is not None and self._flight.request.tag != self._sent_tag:
            self._sent_tag = self._flight.request.tag
            effects.append(self._flight.request)
        return effects

    def _choose(self) -> list[DiscoveryEffect]:
        letter = self._outbox.next_response(self._now.mono_ms)
        if letter is not None:
            return self._send_letter(letter)
        node = self._due_node()
        if node is not None:
            self._send_get(node, items=(), asked=self._now)
            return []
        if self._register() or self._subscribe():
            return []
        mirrors = self._walk.mirrors
        known = mirrors is not None and mirrors in self._documents
        letter = self._outbox.next_other(
            own=self._walk.own,
            der=self._walk.der,
            mirrors_href=mirrors.url if mirrors is not None and known else None,
            at_ms=self._now.mono_ms,
        )
        return [] if letter is None else self._send_letter(letter)

    def _due_node(self) -> Node | None:
        """The document that has been due for longest; among new ones the first of the walk."""
        due = [
            (self._due_ms(node, poll_s), order, node) for order, (node, poll_s) in enumerate(self._walk.wanted.items())
        ]
        first = min(due, key=lambda item: item[:2])
        return first[2] if first[0] <= self._now.mono_ms else None

    def _due_ms(self, node: Node, poll_s: int) -> int:
        return self._polls.get(node, _Poll()).due_ms(self._subscriptions.poll_s(node, poll_s))

    def _subscribe(self) -> bool:
        own = self._walk.own
        url = resolve(self._identity.url, own.subscription_list_link) if own and own.subscription_list_link else None
        found = self._subscriptions.due(self._documents, self._now.mono_ms) if url else None
        if url is None or found is None:
            return False
        request = self._request("POST", self._place(url), found[1])
        self._flight = _Flight(request=request, asked=self._now, subscribed=found[0])
        return True

    def _register(self) -> bool:
        """In-band registration: once per fetched list that does not hold us, so a refusal is not repeated fast."""
        devices = self._walk.end_devices
        if not self._in_band or devices is None or not self._walk.listed or self._walk.own is not None:
            return False
        fetched_ms = self._polls[devices].asked_ms
        if fetched_ms == self._server.registered_at_ms:
            return False
        self._server.registered_at_ms = fetched_ms
        changed_s = (self._now.utc_ms + self._server.offset_ms) // 1000
        body = r.EndDevice(lfdi=self._identity.lfdi, sfdi=self._identity.sfdi, changed_s=changed_s)
        self._flight = _Flight(request=self._request("POST", devices.url, body), asked=self._now)
        return True

    def _send_get(self, node: Node, *, items: tuple[object, ...], asked: Now) -> None:
        url, paging = self._place(node.url), ""
        if issubclass(EXPECTED[node.kind], r.ListResource):
            paging = f"{'&' if urlsplit(url).query else '?'}s={len(items)}&l={PAGE_ITEMS}"
        request = self._request("GET", url + paging, None)
        self._flight = _Flight(request=request, asked=asked, node=node, items=items, paging=paging)

    def _place(self, url: str) -> str:
        """Where a URL has moved to for good; the old place is not touched again unless the new one is gone."""
        for _ in range(REDIRECTS_MAX):
            if url not in self._moved:
                break
            url = self._moved[url]
        return url

    def _send_letter(self, letter: Letter) -> list[DiscoveryEffect]:
        url = resolve(self._identity.url, letter.href)
        if url is None:
            # A place that is no place: as if it had been refused there.
            return self._delivered(letter, Answer(tag=0, status=404), ok=False)
        request = self._request(letter.method, self._place(url), letter.body)
        self._flight = _Flight(request=request, asked=self._now, letter=letter)
        return []

    def _request(self, method: str, url: str, body: r.Resource | None) -> Request:
        self._tag += 1
        return Request(tag=self._tag, method=method, url=url, body=body)


def _content(document: Document | None) -> object:
    """What a document says; how a list was cut into pages is no part of it."""
    return document.items if isinstance(document, r.ListResource) else document


def _as_document(sent: object, before: Document | None) -> Document:
    """What a notification carries, with the pollRate and the like of the document before where it states none."""
    document: Document = sent  # type: ignore[assignment]  # the caller has looked at its class
    kept = {
        name: getattr(before, name)
        for name in ("href", "poll_s", "subscribable")
        if getattr(document, name, 0) is None and getattr(before, name, None) is not None
    }
    return replace(document, **kept) if kept else document
