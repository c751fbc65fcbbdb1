"""The event engine of every function set: what servers list goes in, responses and the holder of each lane come out.

    Listed(sources) ──> EventEngine ──Respond──> POST to replyTo     holders(), reigns(): who holds what, till when
    OptOut, OptIn, Acknowledge ──>  |  ──changed()──> journal ──restore()──> EventEngine
                               Tick ──> Contest: who begins, ends, loses, comes back

What differs between DER, load control, pricing, messaging and flow reservation is `EventRules` and the function that
reads a listed item into a Notice. `now.utc_ms` is the server's clock (the caller adds the offset); an FSA with a clock
of its own gives its Source an offset. The engine does not fetch, does not retry a response (it remembers which ones the
server has not taken yet) and does not know what a value means. One engine serves one device.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Generic, TypeVar, assert_never

from dgm.der.ledger import Ledger
from dgm.der.orders import (
    Acknowledge,
    Damaged,
    Device,
    EngineEvent,
    Item,
    Listed,
    OptIn,
    OptOut,
    Override,
    Respond,
    ResponseTaken,
    Source,
    Unable,
)
from dgm.der.resource import EventState
from dgm.der.rules import Code, EventRules, OptOuts
from dgm.der.schedule import Contest, Event, Foresight, Notice, Passed, Phase, Reign, place
from dgm.machine import Now, Tick

LIVE_BYTES_MAX = 32_000_000
"""Memory that events in force or to come may take; what does not fit is refused, told, and taken when room is there."""
EVENT_BYTES = 2_000
"""What one event costs beside texts and values; with four modes 2,900 bytes were measured, the listing included."""
VALUE_BYTES = 250
ENDED_MAX = 1000
"""Ended events remembered, beyond those still listed, so that their mRIDs are not answered again."""
ENDED_KEEP_MS = 24 * 3600 * 1000
VANISH_GRACE_MS = 10_000
"""A server may stop listing an event this long before its nominal end without cancelling it."""

R = TypeVar("R", bound=Item)
V = TypeVar("V")


class EventEngine(Generic[R, V]):
    """The schedule of one device in one function set.

    read: a listed item as a Notice, never raising. kind: the type of a value, for the journal. draw(n): a uniform
    integer in 0..n.
    """

    def __init__(
        self,
        rules: EventRules,
        *,
        read: Callable[[R], Notice[V]],
        kind: Any,
        device: Device,
        draw: Callable[[int], int],
    ) -> None:
        self.rules = rules
        self._read = read
        self._device = device
        self._draw = draw
        self._ledger: Ledger[V] = Ledger(rules, kind, device)
        self._seen: dict[str, tuple[R, str, int, int]] = {}
        self._contest: Contest[V] | None = None
        self._foresight: Foresight[V] | None = None
        self._now = Now(mono_ms=0, utc_ms=0)
        self.refused: tuple[str, ...] = ()
        """mRIDs of the last listing for which there was no room; empty is normal, anything else is to be told."""

    # -- the machine ------------------------------------------------------------------------------------------------

    def become(self, device: Device) -> None:
        """What this device is has changed; events that are known stay until they are listed with a change."""
        self._device = device
        self._seen.clear()

    def handle(self, event: EngineEvent[R], now: Now) -> list[Respond]:
        """Bring the schedule to `now`, then apply the event. Responses come in the order in which they are due."""
        self._now = now
        self._pass_time(now.utc_ms)
        match event:
            case Listed():
                self._take(event.sources, now.utc_ms)
            case ResponseTaken():
                self._ledger.taken(event)
            case OptOut():
                self._opt_out(event, now.utc_ms)
            case Override():
                self._override(event, now.utc_ms)
            case OptIn():
                self._opt_in(event.mrid, now.utc_ms)
            case Acknowledge():
                self._acknowledge(event, now.utc_ms)
            case Unable():
                self._unable(event, now.utc_ms)
            case Tick():
                pass
            case _:
                assert_never(event)
        self._pass_time(now.utc_ms)
        return self._ledger.take_fresh()

    def wake_time(self) -> int | None:
        """Monotonic ms of the next start or end of an event, or end of an opt-out."""
        edge = self._next_edge()
        return None if edge is None else self._now.mono_ms + max(edge - self._now.utc_ms, 1)

    # -- what is known ----------------------------------------------------------------------------------------------

    @property
    def revision(self) -> int:
        """Grows whenever what dump() gives has changed."""
        return self._ledger.revision

    def events(self) -> tuple[Event[V], ...]:
        """Every event known, by effective start."""
        return tuple(sorted(self._ledger.events.values(), key=lambda event: (event.start_ms, event.mrid)))

    def ended(self) -> list[Event[V]]:
        """Every event that is remembered and lives no longer."""
        return [event for event in self._ledger.events.values() if not event.is_live]

    def event(self, mrid: str) -> Event[V] | None:
        """One event, live or remembered."""
        return self._ledger.events.get(mrid)

    def owed(self) -> tuple[Respond, ...]:
        """Responses decided but not taken by the server yet, oldest first."""
        return tuple(self._ledger.owed.values())

    def holders(self) -> dict[str, Event[V]]:
        """The event that holds each lane at the last handled `now`."""
        if self._contest is None:
            return {}
        return {lane: self._ledger.events[event.mrid] for lane, event in self._contest.holders.items()}

    def reigns(self, lane: str, *, most: int | None = None) -> Sequence[Reign[V]]:
        """Who holds a lane from the last `now` on, as far as is known, in order of time: the first so many, or all."""
        if self._contest is None:
            return ()
        if self._foresight is None:
            self._foresight = Foresight(self._contest, self._now.utc_ms)
        return self._foresight.reigns(lane, self._now.utc_ms, most=most)

    @property
    def responses_lost(self) -> int:
        """Responses that were not owed for want of room, since the start."""
        return self._ledger.lost

    def opt_out_refusal(self, event: OptOut) -> str | None:
        """Why an opt-out is refused, for the person who asks; None: it is permitted (SAFETY.md 5)."""
        known = self._ledger.events.get(event.mrid)
        if known is None or not known.is_live:
            return f"event {event.mrid}: not in force and not to come; nothing to opt out of"
        if known.notice.is_mandatory:
            return f"event {event.mrid}: the utility has made it mandatory"
        wanted = event.lanes or known.lanes
        protected = sorted(wanted & self.rules.protected)
        if self.rules.opt_out is OptOuts.NEVER:
            return f"event {event.mrid}: the utility profile permits no opt-out"
        if self.rules.opt_out is OptOuts.UNPROTECTED and protected:
            return f"event {event.mrid}: {', '.join(protected)} cannot be opted out of under this utility profile"
        return None

    # -- the journal ------------------------------------------------------------------------------------------------

    def dump(self) -> dict[str, bytes]:
        """Everything that has to survive a restart, by journal key."""
        return self._ledger.dump()

    def changed(self) -> dict[str, bytes | None]:
        """Entries to be stored (None: deleted) since the last call."""
        return self._ledger.changed()

    def restore(self, stored: Mapping[str, bytes]) -> tuple[Damaged, ...]:
        """Take over the entries of this function set; a damaged one is named and left out, the rest is kept."""
        self._contest = None
        return self._ledger.restore(stored)

    # -- what the server lists --------------------------------------------------------------------------------------

    def _take(self, sources: Sequence[Source[R]], at_ms: int) -> None:
        listed: set[str] = set()
        new: list[tuple[Source[R], Notice[V], R]] = []
        for source in sorted(sources, key=lambda item: (item.primacy, item.mrid)):
            # The same mRID in two programs is one event; it belongs to the program of the higher priority.
            for item in source.items or ():
                mrid = item.mrid
                if mrid in listed:
                    continue
                listed.add(mrid)
                known = self._ledger.events.get(mrid)
                if known is None:
                    new.append((source, self._read(item), item))
                elif known.is_live or known.phase is Phase.WITHDRAWN:
                    self._look_again(known, source, item, at_ms)
        self._note_missing({source.mrid: source for source in sources}, listed, at_ms)
        self._admit_all(new, at_ms)
        self._place()
        self._forget(listed, at_ms)

    def _admit_all(self, new: list[tuple[Source[R], Notice[V], R]], at_ms: int) -> None:
        """By priority, then by start: where room is short, what comes first is followed first."""
        if not new:
            self.refused = ()
            return
        new.sort(key=lambda entry: (entry[0].primacy, entry[0].mrid, entry[1].start_s))
        room = LIVE_BYTES_MAX - sum(_bytes(event.notice) for event in self._ledger.events.values() if event.is_live)
        refused = []
        for source, notice, item in new:
            if not self._is_for_us(notice):
                continue
            if _bytes(notice) > room:
                refused.append(notice.mrid)
            elif self._admit(source, notice, at_ms):
                room -= _bytes(notice)
                self._seen[notice.mrid] = (item, source.mrid, source.primacy, source.clock_offset_ms)
        self.refused = tuple(refused)

    def _is_for_us(self, notice: Notice[V]) -> bool:
        return notice.device_category is None or bool(notice.device_category & self._device.categories)

    def _admit(self, source: Source[R], notice: Notice[V], at_ms: int) -> bool:
        event = _at_own_time(
            Event(
                notice=notice,
                program_mrid=source.mrid,
                primacy=source.primacy,
                clock_offset_ms=source.clock_offset_ms,
                lanes=self._device.lanes_of(notice),
                start_draw_s=_signed_draw(notice.randomize_start_s, self._draw),
                duration_draw_s=_signed_draw(notice.randomize_duration_s, self._draw),
            )
        )
        is_cancelled = notice.status in (EventState.CANCELLED, EventState.CANCELLED_RANDOMISED)
        reason = Code.REJECTED_LATE if event.end_ms <= at_ms else self._rejection(notice, event.lanes)
        if is_cancelled and reason is not None:
            # Nothing was asked of us that could be refused.
            return False
        if reason is not None:
            self._store(replace(event, phase=Phase.REJECTED, over_ms=at_ms))
            self._ledger.respond(event.mrid, reason, at_ms)
            return False
        self._store(event)
        self._ledger.respond(event.mrid, Code.RECEIVED, at_ms)
        if is_cancelled:
            # Cancelled between two polls: never acted on, and the server is told that both have been seen.
            self._cancel(event, at_ms)
        return not is_cancelled

    def _rejection(self, notice: Notice[V], lanes: frozenset[str]) -> int | None:
        if notice.duration_s <= 0 or notice.fault is not None:
            return Code.REJECTED_INVALID
        return None if lanes else self.rules.not_applicable

    def _look_again(self, known: Event[V], source: Source[R], item: R, at_ms: int) -> None:
        seen = (item, source.mrid, source.primacy, source.clock_offset_ms)
        if self._seen.get(known.mrid) == seen and known.is_live:
            return
        self._seen[known.mrid] = seen
        if known.phase is Phase.WITHDRAWN:
            if known.end_ms <= at_ms:
                return
            known = replace(known, phase=Phase.ACTIVE if known.has_run else Phase.SCHEDULED, over_ms=None)
        notice = self._read(item)
        self._store(known)
        match notice.status:
            case EventState.CANCELLED:
                self._cancel(known, at_ms)
            case EventState.CANCELLED_RANDOMISED:
                self._wind_down(known, notice, at_ms)
            case EventState.SCHEDULED | EventState.ACTIVE | EventState.SUPERSEDED:
                # The server's own 4 is a view across devices; what supersedes what here is compared per lane.
                self._update(known, source, notice, at_ms)
            case _:
                assert_never(notice.status)

    def _update(self, known: Event[V], source: Source[R], notice: Notice[V], at_ms: int) -> None:
        """Changed content under the same mRID is an update; draws and lost lanes stay. Invalid content is not taken."""
        stays = {lane for lane in known.unable if known.value(lane) == dict(notice.values).get(lane)}
        lanes, unable = self._device.lanes_of(notice) - stays, frozenset(stays)
        if self._rejection(notice, lanes) is not None:
            notice, lanes, unable = known.notice, known.lanes, known.unable
        event = replace(
            known,
            unable=unable,
            notice=notice,
            program_mrid=source.mrid,
            primacy=source.primacy,
            clock_offset_ms=source.clock_offset_ms,
            lanes=lanes,
            lost=known.lost & lanes,
            opted_out=known.opted_out & lanes,
        )
        if event.phase is Phase.ACTIVE and notice.start_s != known.notice.start_s:
            event = _at_own_time(event)
            if event.start_ms > at_ms:
                event = replace(event, phase=Phase.SCHEDULED)
        elif event.phase is Phase.ACTIVE:
            event = replace(event, start_ms=event.start_ms + known.clock_offset_ms - event.clock_offset_ms)
        self._store(event)
        if event.lost >= event.lanes and not self.rules.resumes:
            self._supersede(event, at_ms)

    def _unable(self, event: Unable, at_ms: int) -> None:
        """What is left of an event goes on. Before S23 a response cannot name modes: then nothing is said of a part."""
        known = self._ledger.events.get(event.mrid)
        gone = frozenset() if known is None or not known.is_live else event.lanes & known.lanes
        if known is None or not gone:
            return
        lanes, was_lost = known.lanes - gone, known.lost >= known.lanes
        known = replace(
            known,
            unable=known.unable | gone,
            lanes=lanes,
            lost=known.lost & lanes,
            opted_out=known.opted_out & lanes,
        )
        if not lanes:
            known = replace(known, phase=Phase.REJECTED, over_ms=at_ms)
        self._store(known)
        self._place()
        known = self._ledger.events[known.mrid]
        if not lanes and event.is_start_untold:
            self._ledger.withdraw(known.mrid, Code.STARTED)
        if not lanes or self.rules.lists_modes:
            self._ledger.respond(known.mrid, event.code, at_ms, gone)
        if lanes and known.lost >= lanes and not was_lost:
            if self.rules.resumes:
                self._ledger.respond(known.mrid, Code.SUPERSEDED, at_ms, lanes)
            else:
                self._supersede(self._ledger.events[known.mrid], at_ms)

    def withdraw_start(self, mrid: str) -> None:
        """An event is over before anybody was told that it had started: it had not."""
        if mrid in self._ledger.events:
            self._ledger.withdraw(mrid, Code.STARTED)

    def _note_missing(self, sources: dict[str, Source[R]], listed: set[str], at_ms: int) -> None:
        for event in [event for event in self._ledger.events.values() if event.is_live and event.mrid not in listed]:
            source = sources.get(event.program_mrid)
            if source is None:
                self._store(replace(event, phase=Phase.WITHDRAWN, over_ms=at_ms))
            elif source.items is not None and at_ms < event.nominal_ms[1] - VANISH_GRACE_MS:
                self._cancel(event, at_ms)

    def _place(self) -> None:
        events = self._ledger.events.values()
        waiting = [event.nominal_ms[0] for event in events if event.phase is Phase.SCHEDULED]
        since_ms = min(waiting) if waiting else 2**63
        moving = (event.nominal_ms for event in events if event.is_movable)
        for start_ms, end_ms in sorted(moving, key=lambda nominal: nominal[1], reverse=True):
            since_ms = min(since_ms, start_ms) if end_ms >= since_ms else since_ms
        near = [event for event in events if event.is_live or event.nominal_ms[1] >= since_ms]
        for event in place(near):
            self._store(event)

    def _forget(self, listed: set[str], at_ms: int) -> None:
        ended = [event for event in self._ledger.events.values() if not event.is_live and event.mrid not in listed]
        ended.sort(key=lambda event: event.end_ms, reverse=True)
        for index, event in enumerate(ended):
            if index >= ENDED_MAX or event.end_ms < at_ms - ENDED_KEEP_MS:
                self._ledger.forget(event.mrid)

    # -- what people on site do -------------------------------------------------------------------------------------

    def _opt_out(self, event: OptOut, at_ms: int) -> None:
        known = self._ledger.events.get(event.mrid)
        if known is None or self.opt_out_refusal(event) is not None:
            return
        known = _overridden_no_more(known, at_ms)
        lanes = (event.lanes or known.lanes) & known.lanes - known.opted_out
        if not lanes:
            return
        known = replace(known, opted_out=known.opted_out | lanes, opt_in_ms=event.until_ms, was_out=True)
        self._store(known)
        # Before S23 a response cannot name modes: 4 would be read as the whole event.
        if self.rules.lists_modes or known.opted_out >= known.lanes:
            self._ledger.respond(known.mrid, Code.OPTED_OUT, at_ms, lanes)

    def override_left_ms(self, mrid: str) -> int:
        """How long an event may still be overridden; 0: not at all."""
        known = self._ledger.events.get(mrid)
        if known is None or not known.is_live or known.opted_out:
            return 0
        return max(known.notice.override_s * 1000 - known.override_used_ms, 0)

    def _override(self, event: Override, at_ms: int) -> None:
        lasts_ms = min(event.duration_ms, self.override_left_ms(event.mrid))
        if lasts_ms <= 0:
            return
        known = self._ledger.events[event.mrid]
        known = replace(known, opted_out=known.lanes, opt_in_ms=at_ms + lasts_ms, overridden_since_ms=at_ms)
        self._store(known)

    def _opt_in(self, mrid: str, at_ms: int) -> None:
        known = self._ledger.events.get(mrid)
        if known is None or not known.is_live or not known.opted_out:
            return
        back = replace(
            _overridden_no_more(known, at_ms),
            opted_out=frozenset(),
            opt_in_ms=None,
            has_run=known.has_run or known.phase is Phase.ACTIVE,
        )
        self._store(back)
        if known.overridden_since_ms is not None:
            if back.has_run and not known.has_run:
                self._ledger.respond(mrid, Code.STARTED, at_ms, back.wanted)
        elif self.rules.lists_modes or known.opted_out >= known.lanes:
            self._ledger.respond(mrid, Code.OPTED_IN, at_ms, known.opted_out)

    def _acknowledge(self, event: Acknowledge, at_ms: int) -> None:
        if event.mrid in self._ledger.events:
            self._ledger.respond(event.mrid, Code.ACKNOWLEDGED if event.is_shown else Code.CANNOT_DISPLAY, at_ms)

    # -- time -------------------------------------------------------------------------------------------------------

    def _next_edge(self) -> int | None:
        edge = None if self._contest is None else self._contest.next_edge()
        return min([*self._ledger.opt_ins.values(), *(() if edge is None else (edge,))], default=None)

    def _pass_time(self, to_ms: int) -> None:
        """Pass every edge up to an instant, in order, each at its own time. After a restart: all at once, now."""
        if self._contest is None:
            self._settle(to_ms)
        while (edge := self._next_edge()) is not None and edge <= to_ms:
            for mrid in sorted(mrid for mrid, due_ms in self._ledger.opt_ins.items() if due_ms <= edge):
                self._opt_in(mrid, edge)
            if self._contest is None:
                self._settle(edge)
            else:
                self._apply(self._contest.pass_to(edge))

    def _settle(self, at_ms: int) -> None:
        contest = Contest(self._ledger.events.values(), resumes=self.rules.resumes)
        self._apply(contest.pass_to(at_ms))
        self._contest, self._foresight = contest, None

    def _apply(self, passed: Passed[V]) -> None:
        """The superseded are told before the winner's start (S18 10.2.3; S23 10.2.2.3 l)."""
        for event in passed.ended:
            self._end(self._ledger.events[event.mrid], passed.at_ms)
        before = {mrid: self._ledger.events[mrid] for mrid in passed.regained}
        for mrid in sorted(passed.lost, key=lambda mrid: (self._ledger.events[mrid].start_ms, mrid)):
            regained = frozenset(passed.regained.get(mrid, ()))
            self._lose(self._ledger.events[mrid], frozenset(passed.lost[mrid]), passed.at_ms, regained)
        for event in passed.began:
            self._begin(self._ledger.events[event.mrid], passed.at_ms)
        for mrid, lanes in sorted(passed.regained.items()):
            had_nothing = not before[mrid].wanted
            self._regain(self._ledger.events[mrid], frozenset(lanes), passed.at_ms, had_nothing=had_nothing)

    def _begin(self, event: Event[V], at_ms: int) -> None:
        if not event.is_live:
            return
        self._keep(replace(event, phase=Phase.ACTIVE, has_run=event.has_run or bool(event.wanted)))
        if event.wanted:
            self._ledger.respond(event.mrid, Code.STARTED, at_ms, event.wanted)

    def _lose(self, event: Event[V], lanes: frozenset[str], at_ms: int, regained: frozenset[str]) -> None:
        new = lanes - event.lost
        if not new:
            return
        event = replace(event, lost=(event.lost | new) - regained)
        if event.lost >= event.lanes and not self.rules.resumes:
            self._supersede(event, at_ms, new)
            return
        self._keep(event)
        if self.rules.lists_modes or event.lost >= event.lanes:
            self._ledger.respond(event.mrid, Code.SUPERSEDED, at_ms, new)

    def _supersede(self, event: Event[V], at_ms: int, new: frozenset[str] = frozenset()) -> None:
        self._keep(replace(event, phase=Phase.SUPERSEDED, over_ms=at_ms))
        self._ledger.respond(event.mrid, Code.SUPERSEDED, at_ms, new)

    def _regain(self, event: Event[V], lanes: frozenset[str], at_ms: int, *, had_nothing: bool) -> None:
        event = replace(event, lost=event.lost - lanes)
        self._keep(replace(event, has_run=True))
        if not event.has_run:
            self._ledger.respond(event.mrid, Code.STARTED, at_ms, event.wanted)
        elif self.rules.lists_modes or had_nothing:
            self._ledger.respond(event.mrid, Code.RESUMED, at_ms, lanes)

    def _end(self, event: Event[V], at_ms: int) -> None:
        if event.phase is Phase.SCHEDULED and not event.lost >= event.lanes:
            # Its whole interval passed while nobody was here to start it.
            self._keep(replace(event, phase=Phase.REJECTED, over_ms=at_ms))
            self._ledger.respond(event.mrid, Code.REJECTED_LATE, at_ms)
        elif event.winding_down:
            self._keep(replace(event, phase=Phase.CANCELLED, over_ms=event.end_ms))
            self._ledger.respond(event.mrid, Code.CANCELLED, event.end_ms)
        elif event.lost >= event.lanes:
            self._keep(replace(event, phase=Phase.SUPERSEDED, over_ms=event.end_ms))
        else:
            self._keep(replace(event, phase=Phase.COMPLETED, over_ms=event.end_ms))
            self._ledger.respond(event.mrid, _completion(event), event.end_ms, event.wanted)

    def _cancel(self, event: Event[V], at_ms: int) -> None:
        self._store(replace(event, phase=Phase.CANCELLED, over_ms=at_ms))
        self._ledger.respond(event.mrid, Code.CANCELLED, at_ms)

    def _wind_down(self, event: Event[V], notice: Notice[V], at_ms: int) -> None:
        if event.winding_down:
            return
        if event.phase is not Phase.ACTIVE:
            self._cancel(event, at_ms)
            return
        bound_s = max(abs(notice.randomize_start_s), abs(notice.randomize_duration_s))
        end_ms = min(event.end_ms, at_ms + self._draw(bound_s) * 1000)
        self._store(replace(event, winding_down=True, end_ms=end_ms))

    def _store(self, event: Event[V]) -> None:
        """Keep a change that comes from outside: who holds what has to be settled anew."""
        if self._keep(event):
            self._contest = None

    def _keep(self, event: Event[V]) -> bool:
        if not event.is_live:
            self._seen.pop(event.mrid, None)
        return self._ledger.keep(event)


def _at_own_time(event: Event[V]) -> Event[V]:
    start_ms = event.own_start_ms
    return replace(event, start_ms=start_ms, end_ms=start_ms + event.length_ms)


def _overridden_no_more(event: Event[V], at_ms: int) -> Event[V]:
    if event.overridden_since_ms is None:
        return event
    used_ms = event.override_used_ms + at_ms - event.overridden_since_ms
    return replace(event, opted_out=frozenset(), overridden_since_ms=None, override_used_ms=used_ms)


def _completion(event: Event[Any]) -> int:
    """How an event that ran to its end is reported (S18 table 27: 3, or 8 to 10 after an opt-out)."""
    if not event.was_out:
        return Code.COMPLETED
    if not event.has_run:
        return Code.NO_PARTICIPATION
    return Code.PARTLY_OPTED_OUT if event.opted_out else Code.PARTLY_OPTED_IN


def _signed_draw(range_s: int, draw: Callable[[int], int]) -> int:
    if not range_s:
        return 0
    return draw(range_s) if range_s > 0 else -draw(-range_s)


def _bytes(notice: Notice[Any]) -> int:
    texts = len(notice.description) + len(notice.reply_to or "") + len(notice.mrid)
    return EVENT_BYTES + VALUE_BYTES * len(notice.values) + texts
