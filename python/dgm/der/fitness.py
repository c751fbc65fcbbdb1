"""Which controls no inverter of the plant can follow, though the mode itself is one that it has.

    live events + DERCurves + verdicts of the EMS ──Fitness──> Unable(event, modes, code)    is_waiting: say no 2 yet

A value that means nothing (a curve of another type) is invalid; one that every inverter declines (more points than any
of them takes) is not applicable. A curve that could not be fetched CURVE_WAIT_MS after the start is not applicable
either; until then an event that has nothing else is not told to have started. Pure: ms on the server's clock.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum

from dgm.api.ems.v1.grid_pb2 import GridMode
from dgm.der.curves import CURVES, FUNCTIONS, grid_mode
from dgm.der.deltas import TARGETS
from dgm.der.orders import Unable
from dgm.der.resource import ControlMode, DERCurve
from dgm.der.rules import Code
from dgm.der.schedule import ControlEvent

CURVE_WAIT_MS = 30_000
"""After the start: a curve is linked by its control and fetched right after it."""
BEFORE_END_MS = 1000
"""An event so short is judged before it is over."""
VERDICTS_MAX = 512

JUDGED = frozenset(FUNCTIONS) - frozenset(TARGETS)
"""Modes whose value an inverter may decline; a delta's is known when it begins."""


class Fit(Enum):
    """Whether a mode can be followed."""

    YES = "yes"
    WAITING = "its curve is not known yet"
    INVALID = "its value means nothing"
    NO = "no inverter can be told this value"


@dataclass(frozen=True, slots=True, kw_only=True)
class GridChecked:
    """What the EMS says of a mode that is to come. mode: as `Fitness.unchecked` gave it."""

    mode: bytes
    fit: Fit


class Fitness:
    """max_w: setMaxW, which percentages are of."""

    def __init__(self, *, max_w: int) -> None:
        self._max_w = max_w
        self._verdicts: dict[bytes, Fit] = {}
        self._deadline_ms: int | None = None

    def forget(self) -> None:
        """The inverters are others now, or can do something else: all is to be asked again."""
        self._verdicts.clear()

    def take(self, checked: GridChecked) -> None:
        """The EMS has looked."""
        while len(self._verdicts) >= VERDICTS_MAX:
            del self._verdicts[next(iter(self._verdicts))]
        self._verdicts[checked.mode] = checked.fit

    def wake_ms(self) -> int | None:
        """When the next curve has been waited for long enough, on the server's clock."""
        return self._deadline_ms

    def fit(self, mode: ControlMode, curves: Mapping[str, DERCurve]) -> Fit:
        """Of one mode. curves: by href as controls name them. What nobody has judged counts as possible."""
        if mode.name not in JUDGED or mode.is_disabled:
            return Fit.YES
        if mode.name in CURVES and (mode.curve_href or "") not in curves:
            return Fit.WAITING if mode.curve_href else Fit.INVALID
        asked = self._asked(mode, curves)
        return Fit.INVALID if asked is None else self._verdicts.get(content(asked), Fit.YES)

    def is_waiting(self, event: ControlEvent, curves: Mapping[str, DERCurve]) -> bool:
        """Nothing that the event asks of this plant is known to be possible yet."""
        own = [value for lane, value in event.notice.values if lane in event.lanes]
        return bool(own) and all(self.fit(value, curves) is Fit.WAITING for value in own)

    def unable(
        self, events: Iterable[ControlEvent], curves: Mapping[str, DERCurve], at_ms: int, *, not_applicable: int
    ) -> list[Unable]:
        """Modes of live events that will not be followed, and what the utility is to hear of it."""
        found: list[Unable] = []
        self._deadline_ms = None
        for event in events:
            by_code: dict[int, set[str]] = {}
            for lane, value in event.notice.values:
                code = self._code(event, value, curves, at_ms, not_applicable) if lane in event.lanes else None
                if code is not None:
                    by_code.setdefault(code, set()).add(lane)
            found += [Unable(mrid=event.mrid, lanes=frozenset(by_code[code]), code=code) for code in sorted(by_code)]
        return found

    def unchecked(self, events: Iterable[ControlEvent], curves: Mapping[str, DERCurve]) -> dict[bytes, GridMode]:
        """Modes of live events that the EMS is to judge, by their content."""
        rows = (value for event in events for lane, value in event.notice.values if lane in event.lanes)
        asked = (self._asked(value, curves) for value in rows if value.name in JUDGED and not value.is_disabled)
        named = {content(mode): mode for mode in asked if mode is not None}
        return {key: mode for key, mode in named.items() if key not in self._verdicts}

    def _asked(self, mode: ControlMode, curves: Mapping[str, DERCurve]) -> GridMode | None:
        return grid_mode(mode, curves, self._max_w)

    def _code(
        self,
        event: ControlEvent,
        value: ControlMode,
        curves: Mapping[str, DERCurve],
        at_ms: int,
        not_applicable: int,
    ) -> int | None:
        match self.fit(value, curves):
            case Fit.YES:
                return None
            case Fit.INVALID:
                return Code.REJECTED_INVALID
            case Fit.NO:
                return not_applicable
            case Fit.WAITING:
                due_ms = min(event.start_ms + CURVE_WAIT_MS, event.end_ms - BEFORE_END_MS)
                if at_ms >= due_ms:
                    return not_applicable
                self._deadline_ms = due_ms if self._deadline_ms is None else min(due_ms, self._deadline_ms)
                return None


def content(mode: GridMode) -> bytes:
    """What names a mode in a verdict."""
    return mode.SerializeToString(deterministic=True)


def judged(events: Iterable[ControlEvent]) -> Iterator[ControlEvent]:
    """Live events with a mode that an inverter may decline."""
    for event in events:
        if event.is_live and not JUDGED.isdisjoint(event.lanes):
            yield event
