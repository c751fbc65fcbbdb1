"""Which event rules which control mode, and when: the rules of S18 10.2.3 as pure functions over immutable events.

    events ──effective()──> intervals with randomisation ──contest()──> winners and losers at one instant
                                                         ──project()──> segments per mode from now on

Supersession is per mode: where events overlap, the lower primacy wins, then the newer creation time. An event that has
lost a mode does not get it back (the 2018 edition knows no resumption); its other modes go on.
All times here are ms UTC on the server's clock.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from itertools import pairwise

from dgm.der.resource import ControlMode

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


LIVE = frozenset({Phase.SCHEDULED, Phase.ACTIVE})
UNJOINED = frozenset({Phase.CANCELLED, Phase.REJECTED, Phase.WITHDRAWN})
"""Not followed to their end, so nothing is joined to it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One DERControl as this device follows it.

    start_draw_s, duration_draw_s: the random parts, drawn once. start_ms, end_ms: effective. lost: modes that another
    event took. winding_down: cancelled with randomisation, runs until end_ms. sent: response codes decided, in order.
    """

    mrid: str
    program_mrid: str
    primacy: int
    creation_s: int
    start_s: int
    duration_s: int
    modes: tuple[ControlMode, ...]
    ramp_ms: int | None
    reply_to: str | None
    response_required: int
    description: str
    start_draw_s: int
    duration_draw_s: int
    start_ms: int
    end_ms: int
    phase: Phase
    lost: frozenset[str] = frozenset()
    winding_down: bool = False
    sent: tuple[int, ...] = ()

    @property
    def is_live(self) -> bool:
        """Still to be followed."""
        return self.phase in LIVE

    @property
    def mode_names(self) -> frozenset[str]:
        """Every mode it carries, acted on or not."""
        return frozenset(mode.name for mode in self.modes)

    def covers(self, at_ms: int) -> bool:
        """In its effective interval."""
        return self.start_ms <= at_ms < self.end_ms

    def mode(self, name: str) -> ControlMode | None:
        """Its value for one mode."""
        return next((mode for mode in self.modes if mode.name == name), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """One mode under one control for a while. end_ms None: open. mrid: of the event, or of the default control.

    began_ms: when the control itself began, which may be before the segment; its ramp counts from there.
    """

    mode: ControlMode
    mrid: str
    start_ms: int
    end_ms: int | None
    began_ms: int
    ramp_ms: int
    is_default: bool


def rank(event: Event) -> tuple[int, int, str]:
    """Smaller wins: primacy, then the newer creation, then the mRID so that the order is total."""
    return (event.primacy, -event.creation_s, event.mrid)


def effective(events: Iterable[Event]) -> dict[str, Event]:
    """Effective intervals of all events, by mRID.

    An event that began keeps its start. One that follows another of its program without a nominal gap, on a common
    mode, starts when that one effectively ends: randomisation must open no gap and no overlap between them.
    """
    done: dict[str, Event] = {}
    ends: dict[tuple[str, int], list[Event]] = {}
    for event in sorted(events, key=lambda item: (item.start_s, item.mrid)):
        placed = _placed(event, ends.get((event.program_mrid, event.start_s), ()))
        done[placed.mrid] = placed
        if placed.phase not in UNJOINED and not placed.winding_down:
            ends.setdefault((placed.program_mrid, placed.start_s + placed.duration_s), []).append(placed)
    return done


def _placed(event: Event, before: Sequence[Event]) -> Event:
    if not event.is_live or event.winding_down:
        return event
    start_ms = event.start_ms
    if event.phase is Phase.SCHEDULED:
        joined = [other for other in before if other.mode_names & event.mode_names]
        own = (event.start_s + event.start_draw_s) * 1000
        start_ms = min(joined, key=rank).end_ms if joined else own
    duration_ms = max((event.duration_s + event.duration_draw_s) * 1000, MIN_DURATION_MS)
    return replace(event, start_ms=start_ms, end_ms=start_ms + duration_ms)


def contest(events: Iterable[Event], at_ms: int, lost: Mapping[str, frozenset[str]]) -> dict[str, Event]:
    """The winner of each mode at one instant, among the live events in force that have not lost it before."""
    winners: dict[str, Event] = {}
    for event in sorted((item for item in events if item.is_live and item.covers(at_ms)), key=rank):
        for name in event.mode_names - lost[event.mrid]:
            winners.setdefault(name, event)
    return winners


def newly_lost(event: Event, winners: Mapping[str, Event]) -> frozenset[str]:
    """Modes that an event in force has to give up to these winners."""
    return frozenset(name for name in event.mode_names if winners.get(name, event).mrid != event.mrid)


def project(events: Sequence[Event], names: Iterable[str], from_ms: int) -> dict[str, list[Segment]]:
    """What the known events will do to some modes from now on, mode by mode, without defaults, in order of time."""
    live = [event for event in events if event.is_live and event.end_ms > from_ms]
    lost = {event.mrid: event.lost for event in live}
    points = {from_ms} | {edge for event in live for edge in (event.start_ms, event.end_ms) if edge > from_ms}
    segments: dict[str, list[Segment]] = {name: [] for name in names}
    edges = sorted(points)
    for at_ms, until_ms in pairwise(edges):
        winners = contest(live, at_ms, lost)
        for event in live:
            if event.covers(at_ms):
                lost[event.mrid] |= newly_lost(event, winners)
        for name, row in segments.items():
            if name in winners:
                _extend(row, name, winners[name], at_ms, until_ms)
    return segments


def _extend(row: list[Segment], name: str, event: Event, at_ms: int, until_ms: int) -> None:
    if row and row[-1].mrid == event.mrid and row[-1].end_ms == at_ms:
        row[-1] = replace(row[-1], end_ms=until_ms)
        return
    mode = event.mode(name)
    assert mode is not None, "a winner carries the mode it won"
    row.append(
        Segment(
            mode=mode,
            mrid=event.mrid,
            start_ms=at_ms,
            end_ms=until_ms,
            began_ms=event.start_ms,
            ramp_ms=event.ramp_ms or 0,
            is_default=False,
        )
    )
