"""The conversation with the utility server: which request goes next, and what its answer means.

    Answer / NoAnswer / Tick ──> Discovery ──Request──> shell (TLS, HTTP, XML)
                                    |  known: what is linked now     outbox: what has to be told
                                    |  pace: when it may be asked    flight: what is being asked, what has moved
                                    └──> ProgramsKnown, ClockMeasured, ResponseTaken

One request is in flight at a time (one keep-alive connection). Polls follow each list's pollRate; a failing document
backs off alone, a silent server or a 429/503 holds everything. The stored schedule is not kept here and runs on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import assert_never
from urllib.parse import urlsplit

from dgm.der import resource as r
from dgm.der.exchange import (
    Answer,
    ClockMeasured,
    DiscoveryEffect,
    DiscoveryEvent,
    Link,
    NoAnswer,
    Notified,
    Request,
    SendReadings,
    SendResponse,
    SetKnown,
)
from dgm.der.flight import REDIRECTS, Flight, Moves
from dgm.der.known import Known
from dgm.der.nodes import EXPECTED, Node, resolve
from dgm.der.outbox import POST_S_DEFAULT, AnyResponse, Letter, Outbox, Report
from dgm.der.pace import RETRY_DOCUMENT_MS, Counters, Pace
from dgm.der.scheduler import ResponseTaken
from dgm.der.subscriptions import Subscriptions
from dgm.der.walk import Identity, Walk
from dgm.machine import Now, Tick

__all__ = [
    "Answer",
    "ClockMeasured",
    "Counters",
    "Discovery",
    "DiscoveryEffect",
    "DiscoveryEvent",
    "Link",
    "NoAnswer",
    "Notified",
    "Request",
    "SendReadings",
    "SendResponse",
    "SetKnown",
]

PAGE_ITEMS = 50
ITEMS_MAX = 2000
"""A longer list is not followed to its end and counts as not fetched."""
GONE = frozenset({404, 410})
BUSY = frozenset({429, 503})


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
        self._in_band = in_band
        self._known = Known(identity)
        self._pace = Pace(draw)
        self._moves = Moves()
        self._subscriptions = Subscriptions(identity.url, notification_url)
        self._signalled: set[Node] = set()
        self._outbox = Outbox(mirrors, post_s=post_s)
        self._flight: Flight | None = None
        self._registered_at_ms: int | None = None
        self._tag = 0
        self._sent_tag = 0
        self._now = Now(mono_ms=0, utc_ms=0)

    # -- state for people and for the other cores -------------------------------------------------------------------

    @property
    def link(self) -> Link:
        """How far we are."""
        if self._pace.is_lost:
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
        return self._pace.why

    @property
    def last_success_ms(self) -> int | None:
        """Monotonic ms of the last good answer; None: never."""
        return self._pace.last_success_ms

    @property
    def counters(self) -> Counters:
        """For metrics and GetConnection."""
        return self._pace.counters

    def post_rate_s(self, mirror_mrid: str) -> int:
        """How often readings of a mirror are wanted."""
        return self._outbox.post_rate_s(mirror_mrid)

    def is_ours(self, notification: r.Notification) -> bool:
        """A notification is of a subscription that we hold."""
        return self._subscriptions.node_of(notification) is not None

    @property
    def _walk(self) -> Walk:
        return self._known.walk

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
                    self._outbox.add_reading(mrid, reading)
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
        hold = self._pace.hold_until_ms
        if hold > self._now.mono_ms:
            return hold
        return min(coming, default=None)

    # -- answers ----------------------------------------------------------------------------------------------------

    def _answered(self, answer: Answer) -> list[DiscoveryEffect]:
        flight = self._flight
        if flight is None or flight.request.tag != answer.tag:
            return []
        self._flight = None
        self._pace.spoke()
        if answer.status in BUSY:
            self._pace.busy(answer.retry_after_s, self._now.mono_ms)
            return []
        self._pace.is_open()
        if answer.status in REDIRECTS and self._redirect(flight, answer):
            return []
        ok = 200 <= answer.status < 300
        if answer.status in GONE:
            self._moves.forget(flight)
        if not ok:
            self._pace.why = f"{flight.request.method} {urlsplit(flight.request.url).path}: HTTP {answer.status}"
        if flight.node is not None:
            return self._fetched(flight, flight.node, answer) if ok else self._not_fetched(flight.node)
        if flight.subscribed is not None:
            self._subscribed(flight.subscribed, answer, ok=ok)
            return []
        if flight.letter is not None:
            return self._delivered(flight.letter, answer, ok=ok)
        self._registration_answered(ok=ok)
        return []

    def _redirect(self, flight: Flight, answer: Answer) -> bool:
        if not flight.redirect(answer, self._tag + 1):
            return False
        self.counters.redirects += 1
        self._tag += 1
        self._flight = flight
        return True

    def _fetched(self, flight: Flight, node: Node, answer: Answer) -> list[DiscoveryEffect]:
        document = answer.resource
        if not isinstance(document, EXPECTED[node.kind]) or document is None:
            self.counters.malformed += 1
            self._moves.forget(flight)
            self._pace.why = f"GET {urlsplit(node.url).path}: no readable {EXPECTED[node.kind].__name__}"
            return self._not_fetched(node)
        self._moves.remember(flight)
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
        if self._pace.is_lost:
            self._subscriptions.drop_all()
        self._pace.succeeded(self._now.mono_ms)
        is_untold = node not in self._signalled and self._known.has_changed(node, document)
        if is_untold and self._subscriptions.holds(node):
            self._subscriptions.drop(node)  # and make it anew: nobody has told us
        self._signalled.discard(node)
        self.counters.polls += 1
        self._pace.fetched(node, flight.asked.mono_ms)
        self._known.take(node, document)
        return self._taken(node, flight)

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
            self._pace.ask_all_again()
            return []
        is_expected = isinstance(document, EXPECTED[node.kind]) and not isinstance(document, r.Time)
        is_whole = not isinstance(document, r.ListResource) or len(document.items) == document.all
        in_flight = self._flight is not None and self._flight.node == node
        if not is_expected or not is_whole or in_flight:
            self._pace.ask_again(node)
            return []
        self._pace.fetched(node, self._now.mono_ms)
        self._known.take_sent(node, document)
        return self._taken(node, None)

    def _taken(self, node: Node, flight: Flight | None) -> list[DiscoveryEffect]:
        """A document was taken: what else follows the new links, and who hears of it."""
        self._pace.keep_only(self._walk.wanted)
        self._subscriptions.keep_only(self._walk.wanted)
        document = self._known.documents.get(node)
        match document:
            case r.Time():
                return [] if flight is None else self._known.measure(node, document, asked=flight.asked, now=self._now)
            case r.MirrorUsagePointList():
                self._outbox.learn_mirrors(document.items)
                return []
            case r.DERList() | r.DeviceCapability():
                return []
            case _:
                return self._known.effects()

    def _not_fetched(self, node: Node) -> list[DiscoveryEffect]:
        longest_ms = self._walk.wanted.get(node, self._identity.poll_s) * 1000
        self._pace.not_fetched(node, longest_ms=longest_ms, at_ms=self._now.mono_ms)
        return []

    def _subscribed(self, node: Node, answer: Answer, *, ok: bool) -> None:
        is_renewal = self._subscriptions.holds(node)
        self._subscriptions.answered(node, answer.location, self._now.mono_ms, ok=ok)
        if ok and not is_renewal:
            # What changed between our last look and the subscription is told by nobody.
            self._signalled.add(node)
            self._pace.ask_again(node)

    def _delivered(self, letter: Letter, answer: Answer, *, ok: bool) -> list[DiscoveryEffect]:
        done, at_ms = ok, self._now.mono_ms
        if ok:
            self._pace.succeeded(at_ms)
            self._outbox.taken(letter, answer.location, at_ms)
        else:
            self._pace.failed()
            failures = self._outbox.failures(letter.key) + 1
            retry_ms = self._pace.later(RETRY_DOCUMENT_MS, failures, self._identity.poll_s * 1000, at_ms)
            done = self._outbox.refused(letter, answer.status, retry_ms, is_lost=self.link is Link.LOST)
        if isinstance(letter.body, r.MirrorUsagePoint) and ok and self._outbox.is_complete() and self._walk.mirrors:
            self._pace.ask_again(self._walk.mirrors)  # fetch it again now: it tells the postRate
        if isinstance(letter.body, AnyResponse) and done:
            self.counters.responses_given_up += not ok
            return [ResponseTaken(mrid=letter.body.subject, status=letter.body.status or 0)]
        return []

    def _registration_answered(self, *, ok: bool) -> None:
        if ok and self._walk.end_devices is not None:
            self._pace.ask_again(self._walk.end_devices)
        else:
            self._pace.failed()

    def _unanswered(self, event: NoAnswer) -> None:
        if self._flight is None or self._flight.request.tag != event.tag:
            return
        self._flight = None
        self._pace.silent(event.why, self._now.mono_ms)

    # -- requests ---------------------------------------------------------------------------------------------------

    def _next_request(self) -> list[DiscoveryEffect]:
        effects: list[DiscoveryEffect] = []
        if self._flight is None and self._now.mono_ms >= self._pace.hold_until_ms:
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
        known = mirrors is not None and mirrors in self._known.documents
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
        return self._pace.due_ms(node, self._subscriptions.poll_s(node, poll_s))

    def _subscribe(self) -> bool:
        own = self._walk.own
        url = resolve(self._identity.url, own.subscription_list_link) if own and own.subscription_list_link else None
        found = self._subscriptions.due(self._known.documents, self._now.mono_ms) if url else None
        if url is None or found is None:
            return False
        request = self._request("POST", self._moves.place(url), found[1])
        self._flight = Flight(request=request, asked=self._now, subscribed=found[0])
        return True

    def _register(self) -> bool:
        """In-band registration: once per fetched list that does not hold us, so a refusal is not repeated fast."""
        devices = self._walk.end_devices
        if not self._in_band or devices is None or not self._walk.listed or self._walk.own is not None:
            return False
        fetched_ms = self._pace.asked_ms(devices)
        if fetched_ms == self._registered_at_ms:
            return False
        self._registered_at_ms = fetched_ms
        changed_s = (self._now.utc_ms + self._known.offset_ms) // 1000
        body = r.EndDevice(lfdi=self._identity.lfdi, sfdi=self._identity.sfdi, changed_s=changed_s)
        self._flight = Flight(request=self._request("POST", devices.url, body), asked=self._now)
        return True

    def _send_get(self, node: Node, *, items: tuple[object, ...], asked: Now) -> None:
        url, paging = self._moves.place(node.url), ""
        if issubclass(EXPECTED[node.kind], r.ListResource):
            paging = f"{'&' if urlsplit(url).query else '?'}s={len(items)}&l={PAGE_ITEMS}"
        request = self._request("GET", url + paging, None)
        self._flight = Flight(request=request, asked=asked, node=node, items=items, paging=paging)

    def _send_letter(self, letter: Letter) -> list[DiscoveryEffect]:
        url = resolve(self._identity.url, letter.href)
        if url is None:
            # A place that is no place: as if it had been refused there.
            return self._delivered(letter, Answer(tag=0, status=404), ok=False)
        request = self._request(letter.method, self._moves.place(url), letter.body)
        self._flight = Flight(request=request, asked=self._now, letter=letter)
        return []

    def _request(self, method: str, url: str, body: r.Resource | None) -> Request:
        self._tag += 1
        return Request(tag=self._tag, method=method, url=url, body=body)
