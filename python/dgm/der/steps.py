"""What limits one quantity from now on, step by step: every control mode that bounds it, and the connection agreement.

    timeline of each mode ──┐
    agreement of site.yaml ─┴─ the tightest at each moment ──> Step, Step ...    the first is in force

For those who plan: a reader of the facade knows until when the limit holds and what comes then. Times are ms on the
server's clock. The EMS of DGM needs none of this: it is told every bound as it begins.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import IntEnum

from dgm.der.envelope import bound_w
from dgm.der.schedule import ControlSegment

LOOK_AHEAD = (4, 32, None)
"""Rows of each mode that are looked at for two steps, then for want of them more, then all."""


class Origin(IntEnum):
    """Whose a limit is, from what gives way to what is named first among equals."""

    NONE = 0
    AGREEMENT = 1
    DEFAULT = 2
    EVENT = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One limit for a while. end_ms None: open. power_w None: nothing limits, by rule. began_ms: of its control."""

    start_ms: int
    end_ms: int | None
    power_w: int | None
    origin: Origin
    mode: str = ""
    mrid: str = ""
    began_ms: int | None = None

    def is_like(self, other: Step) -> bool:
        """Whether they differ in nothing but time."""
        return (self.power_w, self.origin, self.mode, self.mrid) == (
            other.power_w,
            other.origin,
            other.mode,
            other.mrid,
        )


def steps(
    timeline: Callable[[str, int | None], Sequence[ControlSegment]],
    modes: Sequence[str],
    at_ms: int,
    *,
    max_w: int,
    agreement_w: int | None,
) -> tuple[Step, ...]:
    """What is in force, and the next step if there is one. timeline(mode, most): its first rows, None: all."""
    found: tuple[Step, ...] = ()
    for most in LOOK_AHEAD:
        rows = {mode: timeline(mode, most) for mode in modes}
        # A list that is cut says nothing of what comes behind it.
        cut = [found[-1].end_ms for found in rows.values() if most is not None and len(found) == most]
        known_ms = min((end_ms for end_ms in cut if end_ms is not None), default=None)
        found = merged(rows, at_ms, max_w=max_w, agreement_w=agreement_w)
        if known_ms is None or _is_within(found[:2], known_ms):
            break
    return found[:2]


def merged(
    rows: Mapping[str, Sequence[ControlSegment]], at_ms: int, *, max_w: int, agreement_w: int | None
) -> tuple[Step, ...]:
    """All steps from `at_ms` on, without gaps; the last is open."""
    every = [row for found in rows.values() for row in found]
    marks = sorted({at_ms, *(mark for mark in _marks(every) if mark > at_ms)})
    found: list[Step] = []
    for start_ms, end_ms in zip(marks, [*marks[1:], None], strict=True):
        step = _tightest(every, start_ms, end_ms, max_w, agreement_w)
        if found and found[-1].is_like(step):
            found[-1] = replace(found[-1], end_ms=end_ms)
        else:
            found.append(step)
    return tuple(found)


def _marks(rows: Iterable[ControlSegment]) -> Iterable[int]:
    for row in rows:
        yield row.start_ms
        if row.end_ms is not None:
            yield row.end_ms


def _tightest(
    rows: Iterable[ControlSegment], start_ms: int, end_ms: int | None, max_w: int, agreement_w: int | None
) -> Step:
    """Of what holds all through an interval. Of equals the one that a utility will ask about: an event, a default."""
    held = [row for row in rows if row.start_ms <= start_ms and (row.end_ms is None or start_ms < row.end_ms)]
    bounds = [(bound_w(row.value, max_w), row) for row in held]
    stated = [_stated(power_w, row, start_ms, end_ms) for power_w, row in bounds if power_w is not None]
    if agreement_w is not None:
        stated.append(Step(start_ms=start_ms, end_ms=end_ms, power_w=agreement_w, origin=Origin.AGREEMENT))
    nothing = Step(start_ms=start_ms, end_ms=end_ms, power_w=None, origin=Origin.NONE)
    return min(stated, key=lambda step: (step.power_w or 0, -step.origin, step.mode), default=nothing)


def _stated(power_w: int, row: ControlSegment, start_ms: int, end_ms: int | None) -> Step:
    return Step(
        start_ms=start_ms,
        end_ms=end_ms,
        power_w=power_w,
        origin=Origin.DEFAULT if row.is_default else Origin.EVENT,
        mode=row.lane,
        mrid=row.mrid,
        began_ms=row.began_ms,
    )


def _is_within(found: Sequence[Step], known_ms: int) -> bool:
    """Whether two steps end while everything is known: what comes at that very moment may go on with the same."""
    return len(found) == 2 and all(step.end_ms is not None and step.end_ms < known_ms for step in found)
