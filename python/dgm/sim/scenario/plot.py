"""What a plot shows: lines over seconds, with a bound and bands of time. Drawing is `svg`'s."""

from __future__ import annotations

from dataclasses import dataclass

from dgm.sim.scenario.trace import Series


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """A line. is_bound: a limit, drawn dashed; is_step: holds its value until the next second."""

    label: str
    series: Series
    is_bound: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Band:
    """A stretch of time that has a name, as an event of the utility. Seconds."""

    label: str
    from_s: float
    to_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """One plot. step_s: seconds from one value to the next."""

    title: str
    unit: str
    curves: tuple[Curve, ...]
    bands: tuple[Band, ...] = ()
    step_s: float = 1.0
