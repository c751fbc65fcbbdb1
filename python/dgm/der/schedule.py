"""Which event holds which lane, and when: the rules of S18 10.2.3 (S23 10.2.2.3) over events of any function set.

    Notice (what the server says) ──> Event (as this device follows it) ──place()──> effective start and end
    Contest: pending ──begin──> runners per lane ──rank──> holder per lane ──end──>     Foresight: what will be

A lane is what events contend for: one control mode of DER, one price of a tariff, one device category of load control.
An event carries a value in each of its lanes. Lower primacy holds, then the newer creation time; the loser keeps its
other lanes. Whether a loser gets a lane back is a rule of the edition (`resumes`). Nothing here answers the server.
All times are ms UTC on the clock that the engine is driven with, unless a name says s.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from heapq import heapify, heappop
from typing import Generic, TypeVar

from dgm.der.resource import ControlMode, EventState

V = TypeVar("V")

MIN_DURATION_MS = 1000
"""A negative randomizeDuration cannot shorten an event below this."""


class Phase(Enum):
    """Where an event stands on this device."""

    SCHEDULED = "scheduled"
    ACTIVE = "active"
    COMPLETED = "completed"
    CANCELLED = "cancelled"
    SUPERSEDED = "superseded"
    REJECTED = "rejected"
    WITHDRAWN = "withdrawn"
    """Its program no longer applies; it comes back, with what was answered, if the program does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice(Generic[V]):
    """What a server says of one event, whatever its function set.

    values: (lane, value), each lane at most once. Randomisation in s, sign kept. fault: why it is invalid (rejected
    with 253). is_mandatory: nobody may opt out. override_s: how long in all it may be overridden without opting out.
    """

    mrid: str
    creation_s: int
    start_s: int
    duration_s: int
    status: EventState
    values: tuple[tuple[str, V], ...]
    ramp_ms: int | None = None
    reply_to: str | None = None
    response_required: int = 0
    description: str = ""
    randomize_start_s: int = 0
    randomize_duration_s: int = 0
    device_category: int | None = None
    is_mandatory: bool = False
    override_s: int = 0
    fault: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Event(Generic[V]):
    """One event as this device follows it.

    lanes: those that this device acts on. unable: lanes that it has, with a value that it cannot follow. start_draw_s,
    duration_draw_s: the random parts, drawn once. start_ms, end_ms: effective, as planned; over_ms: when it really
    ended, None while it lives. lost: lanes that another event took. opted_out: lanes that somebody opted out of, until
    opt_in_ms (None: for good); was_out: that has happened. overridden_since_ms, override_used_ms: an override that
    lasts, and what earlier ones took of the allowance. has_run: it held a lane at some time. winding_down: cancelled
    with randomisation, runs until end_ms. sent: response codes decided, in order. clock_offset_ms: the clock of its FSA
    less the clock of the engine.
    """

    notice: Notice[V]
    program_mrid: str
    primacy: int
    clock_offset_ms: int = 0
    lanes: frozenset[str]
    start_draw_s: int
    duration_draw_s: int
    start_ms: int = 0
    end_ms: int = 0
    over_ms: int | None = None
    phase: Phase = Phase.SCHEDULED
    lost: frozenset[str] = frozenset()
    unable: frozenset[str] = frozenset()
    opted_out: frozenset[str] = frozenset()
    opt_in_ms: int | None = None
    overridden_since_ms: int | None = None
    override_used_ms: int = 0
    has_run: bool = False
    was_out: bool = False
    winding_down: bool = False
    sent: tuple[int, ...] = ()

    @property
    def mrid(self) -> str:
        """Its name, unique in its function set."""
        return self.notice.mrid

    @property
    def description(self) -> str:
        """What the server calls it."""
        return self.notice.description

    @property
    def modes(self) -> tuple[V, ...]:
        """Every value it carries, acted on or not."""
        return tuple(value for _, value in self.notice.values)

    @property
    def is_live(self) -> bool:
        """Still to be followed."""
        return self.phase is Phase.ACTIVE or self.phase is Phase.SCHEDULED

    @property
    def is_followed(self) -> bool:
        """Runs, or ran, to its planned end, so that another may be joined to it."""
        if self.phase is Phase.CANCELLED or self.phase is Phase.REJECTED or self.phase is Phase.WITHDRAWN:
            return False
        return not self.winding_down

    @property
    def is_movable(self) -> bool:
        """Has not begun. One that was superseded before moves too: others are joined to where it would have ended."""
        if self.phase is Phase.SUPERSEDED:
            return self.over_ms is not None and self.over_ms < self.start_ms
        return self.phase is Phase.SCHEDULED

    @property
    def wanted(self) -> frozenset[str]:
        """Lanes that it may hold here: neither lost nor opted out of."""
        return self.lanes - self.lost - self.opted_out

    @property
    def own_start_ms(self) -> int:
        """Start by its own draw, joined to nothing."""
        return (self.notice.start_s + self.start_draw_s) * 1000 - self.clock_offset_ms

    @property
    def nominal_ms(self) -> tuple[int, int]:
        """Start and end without randomisation."""
        start_ms = self.notice.start_s * 1000 - self.clock_offset_ms
        return start_ms, start_ms + self.notice.duration_s * 1000

    @property
    def length_ms(self) -> int:
        """How long it runs."""
        return max((self.notice.duration_s + self.duration_draw_s) * 1000, MIN_DURATION_MS)

    def value(self, lane: str) -> V | None:
        """Its value in one lane."""
        return next((value for name, value in self.notice.values if name == lane), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment(Generic[V]):
    """One lane under one event (or default) for a while. end_ms None: open. mrid: of the event, or of the default.

    began_ms: when the control itself began, which may be before the segment; its ramp counts from there. ramp_ms None:
    not stated, setGradW applies. is_bridge: the event is over, and its value is held until the next one begins.
    """

    lane: str
    value: V
    mrid: str
    start_ms: int
    end_ms: int | None
    began_ms: int
    ramp_ms: int | None = None
    is_default: bool = False
    is_bridge: bool = False


ControlEvent = Event[ControlMode]
ControlSegment = Segment[ControlMode]


def rank(event: Event[V]) -> tuple[int, int, bool, str]:
    """Smaller holds: primacy, then the newer creation, then the mRID so that the order is total."""
    # A server that stamps what it supersedes anew gives both the same creationTime: then its own word decides.
    is_superseded = event.notice.status is EventState.SUPERSEDED
    return (event.primacy, -event.notice.creation_s, is_superseded, event.notice.mrid)


def place(events: Iterable[Event[V]]) -> list[Event[V]]:
    """Events whose effective interval is another than it was.

    An event that began keeps its start. One that follows others without a nominal gap, on a common lane, starts when
    the last of those effectively ends: randomisation must open no gap and no overlap between successive events.
    """
    ends: dict[int, list[Event[V]]] = {}
    moved = []
    for (start_ms, end_ms), _, event in sorted((item.nominal_ms, item.notice.mrid, item) for item in events):
        placed = _placed(event, ends.get(start_ms, ()))
        if placed is not event:
            moved.append(placed)
        if placed.is_followed:
            ends.setdefault(end_ms, []).append(placed)
    return moved


def _placed(event: Event[V], before: Sequence[Event[V]]) -> Event[V]:
    if not (event.is_live or event.is_movable) or event.winding_down:
        return event
    start_ms = event.start_ms
    if event.is_movable:
        joined = [other.end_ms for other in before if other.lanes & event.lanes]
        start_ms = max(joined) if joined else event.own_start_ms
    end_ms = start_ms + event.length_ms
    if (start_ms, end_ms) == (event.start_ms, event.end_ms):
        return event
    return replace(event, start_ms=start_ms, end_ms=end_ms)


@dataclass(slots=True)
class Passed(Generic[V]):
    """What happened at one instant: events in order of their start, lanes by mRID."""

    at_ms: int
    ended: list[Event[V]] = field(default_factory=list)
    began: list[Event[V]] = field(default_factory=list)
    lost: dict[str, set[str]] = field(default_factory=dict)
    regained: dict[str, set[str]] = field(default_factory=dict)
    touched: set[str] = field(default_factory=set)


class Contest(Generic[V]):
    """Who holds each lane while time passes. It knows nothing of responses and is cheap to copy.

    An event that begins to hold a lane takes it from every overlapping event of lower rank there and then, from those
    that have not begun yet too: S23 10.2.2.3 (l) has them told at the effective start of the superseding event.
    """

    def __init__(self, events: Iterable[Event[V]], *, resumes: bool) -> None:
        self._resumes = resumes
        self._live: dict[str, Event[V]] = {}
        self._runners: dict[str, dict[str, Event[V]]] = {}
        self._next = 0
        self.holders: dict[str, Event[V]] = {}
        self.lost: dict[str, set[str]] = {}
        order = sorted((event for event in events if event.is_live), key=lambda item: (item.start_ms, item.mrid))
        for event in order:
            self._live[event.mrid] = event
            self.lost[event.mrid] = set(event.lost)
        self._pending = [event for event in order if event.phase is Phase.SCHEDULED]
        self._ends = [(event.end_ms, event.mrid) for event in order]
        heapify(self._ends)
        self.lanes = frozenset(lane for event in order for lane in event.lanes)
        self._unsettled = set(self.lanes)
        for event in order:
            if event.phase is Phase.ACTIVE:
                self._run(event)

    def copy(self) -> Contest[V]:
        """The same state, to look ahead with."""
        twin: Contest[V] = Contest.__new__(Contest)
        twin._resumes, twin._next, twin.lanes = self._resumes, self._next, self.lanes
        twin._pending = self._pending
        twin._live, twin.holders, twin._ends = dict(self._live), dict(self.holders), list(self._ends)
        twin._runners = {lane: dict(runners) for lane, runners in self._runners.items()}
        twin.lost = {mrid: set(lanes) for mrid, lanes in self.lost.items()}
        twin._unsettled = set(self._unsettled)
        return twin

    def next_edge(self) -> int | None:
        """When the next event begins or ends; what only settling is needed for does not count."""
        while self._ends and self._ends[0][1] not in self._live:
            heappop(self._ends)
        while self._next < len(self._pending) and self._pending[self._next].mrid not in self._live:
            self._next += 1
        edges = [self._ends[0][0]] if self._ends else []
        if self._next < len(self._pending):
            edges.append(self._pending[self._next].start_ms)
        return min(edges, default=None)

    def pass_to(self, at_ms: int) -> Passed[V]:
        """Let time come to an instant: what is over ends, what is due begins, then every lane is settled."""
        passed: Passed[V] = Passed(at_ms)
        passed.touched, self._unsettled = self._unsettled, set()
        fresh = set(passed.touched)
        while self._ends and self._ends[0][0] <= at_ms:
            self._end(heappop(self._ends)[1], passed)
        passed.ended.sort(key=lambda event: (event.start_ms, event.mrid))
        while self._next < len(self._pending) and self._pending[self._next].start_ms <= at_ms:
            event = self._pending[self._next]
            self._next += 1
            if event.mrid in self._live:
                self._run(event)
                passed.began.append(event)
                passed.touched |= event.lanes
        for lane in sorted(passed.touched):
            self._settle(lane, passed, is_fresh=lane in fresh)
        return passed

    def _run(self, event: Event[V]) -> None:
        lanes = event.lanes - event.opted_out
        for lane in lanes if self._resumes else lanes - self.lost[event.mrid]:
            self._runners.setdefault(lane, {})[event.mrid] = event

    def _end(self, mrid: str, passed: Passed[V]) -> None:
        event = self._live.pop(mrid, None)
        if event is None:
            return
        passed.ended.append(event)
        passed.touched |= event.lanes
        for lane in event.lanes:
            self._runners.get(lane, {}).pop(mrid, None)

    def _settle(self, lane: str, passed: Passed[V], *, is_fresh: bool) -> None:
        runners = self._runners.get(lane)
        if not runners:
            self.holders.pop(lane, None)
            return
        before = self.holders.get(lane)
        best = min(runners.values(), key=rank) if len(runners) > 1 else next(iter(runners.values()))
        self.holders[lane] = best
        if lane in self.lost[best.mrid]:
            self.lost[best.mrid].discard(lane)
            passed.regained.setdefault(best.mrid, set()).add(lane)
        for other in list(runners.values()) if len(runners) > 1 else ():
            if other is not best:
                self._lose(other, lane, passed)
        if is_fresh or best is not before:
            self._take_from_pending(best, lane, passed)

    def _take_from_pending(self, best: Event[V], lane: str, passed: Passed[V]) -> None:
        own = rank(best)
        for index in range(self._next, len(self._pending)):
            event = self._pending[index]
            if event.start_ms >= best.end_ms:
                return
            if lane in event.lanes and lane not in event.opted_out and event.mrid in self._live and rank(event) > own:
                self._lose(event, lane, passed)

    def _lose(self, event: Event[V], lane: str, passed: Passed[V]) -> None:
        lost = self.lost[event.mrid]
        if lane not in lost:
            lost.add(lane)
            passed.lost.setdefault(event.mrid, set()).add(lane)
        if not self._resumes:
            self._runners.get(lane, {}).pop(event.mrid, None)
            if lost >= event.lanes:
                del self._live[event.mrid]


@dataclass(frozen=True, slots=True)
class Reign(Generic[V]):
    """An event holding one lane from start_ms to end_ms."""

    event: Event[V]
    start_ms: int
    end_ms: int


class Foresight(Generic[V]):
    """Who will hold each lane if nothing else is heard; looks no further ahead than it is asked."""

    def __init__(self, contest: Contest[V], from_ms: int) -> None:
        self._run = contest.copy()
        self._since = {lane: (event, from_ms) for lane, event in contest.holders.items()}
        self._reigns: dict[str, list[Reign[V]]] = {}

    def reigns(self, lane: str, at_ms: int, *, most: int | None) -> Sequence[Reign[V]]:
        """In order of time, those that are not over at an instant; the first so many, or all."""
        while most is None or len(self._from(lane, at_ms)) < most:
            if not self._look_further(lane):
                break
        return self._from(lane, at_ms)[:most]

    def _from(self, lane: str, at_ms: int) -> Sequence[Reign[V]]:
        row = self._reigns.get(lane, [])
        return row[bisect_right(row, at_ms, key=lambda reign: reign.end_ms) :]

    def _look_further(self, wanted: str) -> bool:
        edge = self._run.next_edge() if wanted in self._run.lanes else None
        if edge is None:
            return False
        for lane in self._run.pass_to(edge).touched:
            held, holder = self._since.get(lane), self._run.holders.get(lane)
            if held is not None and held[0] is not holder:
                self._reigns.setdefault(lane, []).append(Reign(held[0], held[1], edge))
                del self._since[lane]
            if holder is not None and lane not in self._since:
                self._since[lane] = (holder, edge)
        return True


def segment(reign: Reign[V], lane: str, at_ms: int) -> Segment[V]:
    """A reign as it is told, not before an instant."""
    value = reign.event.value(lane)
    assert value is not None, "a holder carries the lane it holds"
    return Segment(
        lane=lane,
        value=value,
        mrid=reign.event.mrid,
        start_ms=max(reign.start_ms, at_ms),
        end_ms=reign.end_ms,
        began_ms=reign.event.start_ms,
        ramp_ms=reign.event.notice.ramp_ms,
    )
