"""The conversation with the utility server, for one or many devices: which request goes next, what an answer means.

    Answer / NoAnswer / Tick ──> Conversation ──Request──> shell (TLS, HTTP, XML)
                                    |  library: what is known        member: what a device wants and has to tell
                                    |  pace, agenda: when to ask     flight: what is being asked, what has moved
                                    └──> to each member: ProgramsKnown, SetKnown, ClockMeasured, ResponseTaken

One request is in flight at a time (one keep-alive connection). A document that several devices are linked to is asked
for once, at its pollRate; a failing one backs off alone, a silent server or a 429/503 holds everything.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from typing import assert_never
from urllib.parse import urlsplit

from dgm.der import resource as r
from dgm.der.agenda import Agenda
from dgm.der.exchange import (
    Answer,
    ClockMeasured,
    CurveKnown,
    DiscoveryEffect,
    DiscoveryEvent,
    Link,
    NoAnswer,
    Notified,
    Request,
    SendReadings,
    SendResponse,
)
from dgm.der.flight import REDIRECTS, Flight, Moves
from dgm.der.known import Library
from dgm.der.letter import Letter
from dgm.der.member import Member
from dgm.der.nodes import DISPENSABLE, EXPECTED, Document, Node, resolve
from dgm.der.outbox import POST_S_DEFAULT, AnyResponse, Report, errand_done
from dgm.der.pace import RETRY_DOCUMENT_MS, Pace
from dgm.der.scheduler import DEVICE_CATEGORY, ResponseTaken
from dgm.der.subscriptions import Subscriptions
from dgm.der.walk import Identity
from dgm.machine import Now, Tick

PAGE_ITEMS = 50
ITEMS_MAX = 2000
ITEMS_PER_MEMBER = 20
"""A list of more than ITEMS_MAX, or so many for each device, is not followed to its end and counts as not fetched."""
GONE = frozenset({404, 410})
BUSY = frozenset({429, 503})

Told = tuple[Member | None, DiscoveryEffect]
"""An effect and the device that it is for; None: a Request, which is for the shell."""


@dataclass(slots=True)
class _Interest:
    """Who wants a document, how often it is to be polled, and its place in the walk."""

    members: dict[Member, None] = field(default_factory=dict)
    poll_s: int = 0
    order: int = 0


class Conversation:
    """With the server at `url`. `draw(n)` gives a uniform integer in 0..n, for the back-off.

    The member that is added first is the one whose certificate we show: subscriptions are made below its EndDevice.
    """

    def __init__(
        self, url: str, draw: Callable[[int], int], *, poll_s: int, notification_url: str | None = None
    ) -> None:
        self._url = url
        self._poll_s = poll_s
        self._members: dict[Member, None] = {}
        self._interests: dict[Node, _Interest] = {}
        self._polls: Agenda[Node] = Agenda()
        self._answering: dict[Member, None] = {}
        self._telling: dict[Member, None] = {}
        self._tells: Agenda[Member] = Agenda()
        self._moves = Moves()
        self._subscriptions = Subscriptions(url, notification_url)
        self._may_subscribe = True
        self._signalled: set[Node] = set()
        self._flight: Flight | None = None
        self._tag = 0
        self._sent_tag = 0
        self._now = Now(mono_ms=0, utc_ms=0)
        self.library = Library()
        self.pace = Pace(draw)

    def add(
        self,
        identity: Identity,
        *,
        mirrors: Iterable[r.MirrorUsagePoint] = (),
        in_band: bool = False,
        post_s: int = POST_S_DEFAULT,
    ) -> Member:
        """One more device to talk for."""
        member = Member(identity, self.library, self.pace, mirrors=mirrors, in_band=in_band, post_s=post_s)
        self._members[member] = None
        self._settle(member, {})
        return member

    def is_ours(self, notification: r.Notification) -> bool:
        """A notification is of a subscription that we hold."""
        return self._subscriptions.node_of(notification) is not None

    # -- the machine ------------------------------------------------------------------------------------------------

    def handle(self, event: DiscoveryEvent, now: Now, member: Member | None = None) -> list[Told]:
        """Take one event, of a member where it tells something; the effects end with the next request that is due."""
        self._now = now
        effects: list[Told] = []
        match event:
            case Answer():
                effects += self._answered(event)
            case NoAnswer():
                self._unanswered(event)
            case Notified():
                effects += self._notified(event.notification)
            case SendResponse() | SendReadings() | Report():
                assert member is not None, "somebody tells it"
                self._post(member, event)
            case Tick():
                pass
            case _:
                assert_never(event)
        return [*effects, *self._next_request()]

    def wake_time(self) -> int | None:
        """When the next request is due; None while one is in flight."""
        if self._flight is not None:
            return None
        hold, at_ms = self.pace.hold_until_ms, self._now.mono_ms
        if hold > at_ms:
            return hold
        firsts = (self._polls.first(), self._tells.first())
        due = [first[0] for first in firsts if first is not None] + self._subscriptions.wake_ms()
        return min((time for time in due if time > at_ms), default=None)

    def _post(self, member: Member, event: SendResponse | SendReadings | Report) -> None:
        match event:
            case SendResponse():
                member.outbox.add_response(event.reply_to, event.response)
                self._answering[member] = None
            case SendReadings():
                for mrid, reading in event.readings:
                    member.outbox.mirrors.add(mrid, reading)
                self._telling[member] = None
            case Report():
                member.outbox.set_report(event)
                self._telling[member] = None
            case _:
                assert_never(event)

    # -- answers ----------------------------------------------------------------------------------------------------

    def _answered(self, answer: Answer) -> list[Told]:
        flight = self._flight
        if flight is None or flight.request.tag != answer.tag:
            return []
        self._flight = None
        self.pace.spoke()
        if answer.status in BUSY:
            self.pace.busy(answer.retry_after_s, self._now.mono_ms)
            return []
        if answer.status < 500:
            self.pace.is_open()
        if answer.status in REDIRECTS and self._redirect(flight, answer):
            return []
        ok = 200 <= answer.status < 300
        if answer.status in GONE:
            self._moves.forget(flight)
        if not ok:
            self.pace.why = f"{flight.request.method} {urlsplit(flight.request.url).path}: HTTP {answer.status}"
        if flight.node is not None and 400 <= answer.status < 500 and flight.node.kind in DISPENSABLE:
            return self._not_served(flight.node)
        if flight.node is not None:
            return self._fetched(flight, flight.node, answer) if ok else self._not_fetched(flight.node)
        if flight.subscribed is not None:
            self._subscribed(flight.subscribed, answer, ok=ok)
            return []
        assert flight.member is not None, "a letter or a registration is of somebody"
        if flight.letter is not None:
            return self._delivered(flight.member, flight.letter, answer, ok=ok)
        self._registration_answered(flight.member, ok=ok)
        return []

    def _redirect(self, flight: Flight, answer: Answer) -> bool:
        if not flight.redirect(answer, self._tag + 1):
            return False
        self.pace.counters.redirects += 1
        self._tag += 1
        self._flight = flight
        return True

    def _fetched(self, flight: Flight, node: Node, answer: Answer) -> list[Told]:
        document = answer.resource
        if not isinstance(document, EXPECTED[node.kind]) or document is None:
            self.pace.counters.malformed += 1
            self._moves.forget(flight)
            self.pace.why = f"GET {urlsplit(node.url).path}: no readable {EXPECTED[node.kind].__name__}"
            return self._not_fetched(node)
        self._moves.remember(flight)
        if isinstance(document, r.ListResource):
            names = set(map(_name, document.items))
            if not names.isdisjoint(flight.names):
                # The server does not page as asked; what it repeats cannot be told from what it lacks.
                return self._not_fetched(node)
            items, names = (*flight.items, *document.items), names | flight.names
            if len(items) < document.all:
                if not document.items or len(items) >= max(ITEMS_MAX, ITEMS_PER_MEMBER * len(self._members)):
                    return self._not_fetched(node)
                self._send_get(node, items=items, names=names, asked=flight.asked)
                return []
            # mypy cannot see that the items of one list resource are all of its own type.
            document = replace(document, items=items)  # type: ignore[arg-type]
        if self.pace.is_lost:
            self._drop_subscriptions()
        self.pace.succeeded(self._now.mono_ms)
        is_untold = node not in self._signalled and self.library.has_news(node, document)
        if is_untold and self._subscriptions.holds(node):
            self._drop_subscription(node)  # and make it anew: nobody has told us
        self._signalled.discard(node)
        self.pace.counters.polls += 1
        return self._take(node, document, flight.asked, flight)

    def _notified(self, notification: r.Notification) -> list[Told]:
        """Take what was sent if it is all of the document; else fetch it, at once."""
        node = self._subscriptions.node_of(notification)
        if node is None:
            return []
        self.pace.counters.notifications += 1
        self._signalled.add(node)
        document = notification.resource
        if notification.status is not r.NotificationState.DEFAULT:
            self._drop_subscription(node)
            # It moved, was defined anew or is gone: what links to it says which.
            self.pace.ask_all_again()
            self._schedule_all()
            return []
        is_expected = isinstance(document, EXPECTED[node.kind]) and not isinstance(document, r.Time)
        is_whole = not isinstance(document, r.ListResource) or len(document.items) == document.all
        in_flight = self._flight is not None and self._flight.node == node
        if not is_expected or not is_whole or in_flight:
            self._ask_again(node)
            return []
        return self._take(node, self.library.completed(node, document), self._now, None)

    def _take(self, node: Node, document: Document, asked: Now, flight: Flight | None) -> list[Told]:
        """A document is known: what else follows the new links, and who hears of it."""
        members = list(self._interests[node].members) if node in self._interests else []
        self.pace.fetched(node, asked.mono_ms)
        has_changed = self.library.put(node, document)
        self._may_subscribe = self._may_subscribe or has_changed
        if has_changed:
            for member in members:
                before = member.walk.wanted
                member.known.rewalk()
                self._settle(member, before)
        self._schedule(node)
        match document:
            case r.Time():
                return [] if flight is None else self._measured(node, document, asked)
            case r.MirrorUsagePointList():
                self._learn_mirrors(document.items)
                return []
            case r.SubscriptionList():
                self._subscriptions.listed(document.items)
                return []
            case r.DERList() | r.DeviceCapability():
                return []
            case r.DERCurve():
                return [(member, CurveKnown(url=node.url, curve=document)) for member in members]
            case _:
                hearing = [member for member in members if has_changed or member.hears_all]
                return [(member, effect) for member in hearing for effect in member.known.effects()]

    def _settle(self, member: Member, before: dict[Node, int]) -> None:
        """Take over what a member wants now, and forget what nobody wants any more."""
        wanted = member.walk.wanted
        for node in before.keys() - wanted.keys():
            interest = self._interests[node]
            interest.members.pop(member, None)
            if not interest.members:
                self._forget(node)
        for order, (node, poll_s) in enumerate(wanted.items()):
            interest = self._interests.setdefault(node, _Interest())
            interest.members[member] = None
            if (interest.poll_s, interest.order) != (poll_s, order):
                interest.poll_s, interest.order = poll_s, order
                self._schedule(node)
        self._telling[member] = None

    def _forget(self, node: Node) -> None:
        del self._interests[node]
        self._polls.drop(node)
        self.pace.forget(node)
        self._subscriptions.forget(node)
        self._signalled.discard(node)
        self.library.forget(node)

    def _measured(self, node: Node, time: r.Time, asked: Now) -> list[Told]:
        """The first Time that is linked is the server's; a group (FSA) may have one of its own."""
        is_news = self.library.measure(node, time, asked=asked, now=self._now)
        offset_ms, found = self.library.offsets_ms[node], list[Told]()
        members = list(self._interests[node].members) if node in self._interests else []
        if offset_ms != self.library.offset_ms and any(member.walk.clock == node for member in members):
            self.library.offset_ms = offset_ms
            found += [(member, ClockMeasured(offset_ms=offset_ms)) for member in self._members]
        hearing = [member for member in members if is_news and member.walk.clocks]
        return found + [(member, effect) for member in hearing for effect in member.known.effects()]

    def _learn_mirrors(self, listed: Iterable[r.MirrorUsagePoint]) -> None:
        owners = {mrid: member for member in self._members for mrid in member.mirror_mrids}
        of_members: dict[Member, list[r.MirrorUsagePoint]] = {member: [] for member in self._members}
        for mirror in listed:
            if mirror.mrid in owners:
                of_members[owners[mirror.mrid]].append(mirror)
        for member, mirrors in of_members.items():
            member.outbox.mirrors.learn(mirrors)
            self._telling[member] = None

    def _not_fetched(self, node: Node) -> list[Told]:
        interest = self._interests.get(node)
        longest_ms = (self._poll_s if interest is None else interest.poll_s) * 1000
        self.pace.not_fetched(node, longest_ms=longest_ms, at_ms=self._now.mono_ms)
        self._schedule(node)
        return []

    def _not_served(self, node: Node) -> list[Told]:
        """A server need not have it, so nothing has failed; it is asked for again at the pollRate."""
        self.pace.fetched(node, self._now.mono_ms)
        self._schedule(node)
        return []

    def _subscribed(self, node: Node, answer: Answer, *, ok: bool) -> None:
        is_renewal = self._subscriptions.holds(node)
        self._subscriptions.answered(node, answer.location, self._now.mono_ms, ok=ok)
        if ok and not is_renewal:
            self._heard_of(node)
        self._schedule(node)

    def _heard_of(self, node: Node) -> None:
        """From now on the server tells us. What changed between our last look and now is told by nobody."""
        self._signalled.add(node)
        self._ask_again(node)

    def _delivered(self, member: Member, letter: Letter, answer: Answer, *, ok: bool) -> list[Told]:
        done, at_ms, outbox = ok, self._now.mono_ms, member.outbox
        if ok:
            self.pace.succeeded(at_ms)
            outbox.taken(letter, answer.location, at_ms)
        else:
            self.pace.failed()
            failures = outbox.failures(letter.key) + 1
            retry_ms = self.pace.later(RETRY_DOCUMENT_MS, failures, self._poll_s * 1000, at_ms)
            done = outbox.refused(letter, answer.status, retry_ms, is_lost=member.link is Link.LOST)
        if letter.key.startswith("mirror:") and ok and member.walk.mirrors and self._are_mirrors_made():
            self._ask_again(member.walk.mirrors)  # fetch it again now: it tells the postRate
        self._telling[member] = None
        if isinstance(letter.body, AnyResponse) and done:
            self.pace.counters.responses_given_up += not ok
            return [(member, ResponseTaken(mrid=letter.body.subject, status=letter.body.status or 0))]
        errand = errand_done(letter, is_taken=ok, status=answer.status, location=answer.location) if done else None
        return [] if errand is None else [(member, errand)]

    def _are_mirrors_made(self) -> bool:
        """Of every device that the server knows: one look at the list is for all of them."""
        return all(member.outbox.mirrors.is_complete() for member in self._members if member.walk.own is not None)

    def _registration_answered(self, member: Member, *, ok: bool) -> None:
        if ok and member.walk.end_devices is not None:
            self._ask_again(member.walk.end_devices)
        else:
            self.pace.failed()

    def _unanswered(self, event: NoAnswer) -> None:
        if self._flight is None or self._flight.request.tag != event.tag:
            return
        self._flight = None
        self.pace.silent(event.why, self._now.mono_ms)

    # -- when ---------------------------------------------------------------------------------------------------------

    def _schedule(self, node: Node) -> None:
        interest = self._interests.get(node)
        if interest is not None:
            poll_s = self._subscriptions.poll_s(node, interest.poll_s)
            self._polls.set(node, self.pace.due_ms(node, poll_s), interest.order)

    def _schedule_all(self) -> None:
        for node in self._interests:
            self._schedule(node)

    def _ask_again(self, node: Node) -> None:
        self.pace.ask_again(node)
        self._schedule(node)

    def _drop_subscription(self, node: Node) -> None:
        self._subscriptions.drop(node)
        self._may_subscribe = True
        self._schedule(node)

    def _drop_subscriptions(self) -> None:
        self._subscriptions.drop_all()
        self._may_subscribe = True
        self._schedule_all()

    # -- requests -----------------------------------------------------------------------------------------------------

    def _next_request(self) -> list[Told]:
        effects: list[Told] = []
        if self._flight is None and self._now.mono_ms >= self.pace.hold_until_ms:
            effects += self._choose()
        if self._flight is not None and self._flight.request.tag != self._sent_tag:
            self._sent_tag = self._flight.request.tag
            effects.append((None, self._flight.request))
        return effects

    def _choose(self) -> list[Told]:
        """Responses before everything; then what is to be known; then what else there is to tell, in turn."""
        at_ms, effects = self._now.mono_ms, list[Told]()
        for member in list(self._answering):
            while (letter := member.outbox.next_response(at_ms)) is not None:
                effects += self._send_letter(member, letter)
                if self._flight is not None:
                    return effects
            if not member.outbox.has_responses:
                del self._answering[member]
        if self._may_subscribe:
            for node in self._subscriptions.adopt(self.library.documents, at_ms):
                self._heard_of(node)
        first = self._polls.first()
        if first is not None and first[0] <= at_ms:
            self._send_get(first[1], asked=self._now)
            return effects
        if self._register() or self._subscribe():
            return effects
        return [*effects, *self._tell(at_ms)]

    def _tell(self, at_ms: int) -> list[Told]:
        effects: list[Told] = []
        self._telling |= dict.fromkeys(self._tells.take_until(at_ms))
        while self._telling:
            member = next(iter(self._telling))
            del self._telling[member]
            letter = member.next_letter(at_ms)
            if letter is not None:
                self._telling[member] = None  # behind the others
                effects += self._send_letter(member, letter)
                if self._flight is not None:
                    return effects
                continue
            wake_ms = member.wake_ms(at_ms)
            if wake_ms is None:
                self._tells.drop(member)
            else:
                self._tells.set(member, wake_ms)
        return effects

    def _subscribe(self) -> bool:
        own = next(iter(self._members)).walk.own if self._members else None
        url = resolve(self._url, own.subscription_list_link) if own and own.subscription_list_link else None
        is_due = self._may_subscribe or min(self._subscriptions.wake_ms(), default=2**63) <= self._now.mono_ms
        found = self._subscriptions.due(self.library.documents, self._now.mono_ms) if url and is_due else None
        if url is None or found is None:
            self._may_subscribe = url is None
            return False
        request = self._request("POST", self._moves.place(url), found[1])
        self._flight = Flight(request=request, asked=self._now, subscribed=found[0])
        return True

    def _register(self) -> bool:
        """In-band registration: once per fetched list without that device, so a refusal is not repeated fast."""
        for member in self._members:
            devices = member.walk.end_devices
            if not member.in_band or devices is None or not member.walk.listed or member.walk.own is not None:
                continue
            fetched_ms = self.pace.asked_ms(devices)
            if fetched_ms == member.registered_at_ms:
                continue
            member.registered_at_ms = fetched_ms
            changed_s = (self._now.utc_ms + self.library.offset_ms) // 1000
            own = member.identity
            body = r.EndDevice(lfdi=own.lfdi, sfdi=own.sfdi, changed_s=changed_s, device_category=DEVICE_CATEGORY)
            request = self._request("POST", devices.url, body)
            self._flight = Flight(request=request, asked=self._now, member=member)
            return True
        return False

    def _send_get(
        self, node: Node, *, asked: Now, items: tuple[object, ...] = (), names: AbstractSet[object] = frozenset()
    ) -> None:
        url, paging = self._moves.place(node.url), ""
        if issubclass(EXPECTED[node.kind], r.ListResource):
            paging = f"{'&' if urlsplit(url).query else '?'}s={len(items)}&l={PAGE_ITEMS}"
        request = self._request("GET", url + paging, None)
        self._flight = Flight(request=request, asked=asked, node=node, items=items, names=names, paging=paging)

    def _send_letter(self, member: Member, letter: Letter) -> list[Told]:
        url = resolve(self._url, letter.href)
        if url is None:
            # A place that is no place: as if it had been refused there.
            return self._delivered(member, letter, Answer(tag=0, status=404), ok=False)
        request = self._request(letter.method, self._moves.place(url), letter.body)
        self._flight = Flight(request=request, asked=self._now, letter=letter, member=member)
        return []

    def _request(self, method: str, url: str, body: r.Resource | None) -> Request:
        self._tag += 1
        return Request(tag=self._tag, method=method, url=url, body=body)


def _name(item: object) -> object:
    """What tells one item of a list from another: comparing them whole would cost the square of a long list."""
    name = tuple(getattr(item, field, None) for field in ("href", "mrid", "lfdi"))
    return item if name == (None, None, None) else name
