"""What a changed grant did: how long until half, and 90 %, of the way was seen at the asset.

    grant changes by a step ──> (measured before, goal) ── readings ──> t50, t90, measured now

One step per asset is remembered, the newest. A car may always draw less than it is granted: a raise that is not used
shows no times, and that is no fault. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from dgm.machine import Now
from dgm.site.state import Reading, max_current_ma
from dgm.site.topology import AssetEntry

STEP_MIN = 1000
"""Smallest change that is a new step, mA or W: a battery's setpoint moves with every tick."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One change of a grant. goal, before, last: mA of the largest phase (EVSE) or W into the asset."""

    at_ms: int
    goal: int
    before: int | None
    last: int | None
    half_ms: int | None = None
    most_ms: int | None = None


class EffectBook:
    """The newest step of each asset, by index."""

    def __init__(self) -> None:
        self._steps: dict[int, Step] = {}

    def get(self, index: int) -> Step | None:
        """The newest step, None before the first grant."""
        return self._steps.get(index)

    def is_news(self, index: int, goal: int) -> bool:
        """Whether a grant differs from the newest step by a step, or is the first."""
        held = self._steps.get(index)
        return held is None or abs(goal - held.goal) >= STEP_MIN

    def granted(self, index: int, goal: int, measured: int | None, now: Now) -> None:
        """A grant that is news. measured: what was seen of the asset before it."""
        self._steps[index] = Step(at_ms=now.mono_ms, goal=goal, before=measured, last=measured)

    def measured(self, index: int, value: int | None, measured_ms: int) -> None:
        """A reading; one from before the step tells nothing of it."""
        held = self._steps.get(index)
        if held is None or value is None or measured_ms < held.at_ms:
            return
        held = replace(held, last=value)
        if held.before is not None and held.before != held.goal:
            done_permille = (value - held.before) * 1000 // (held.goal - held.before)
            after_ms = measured_ms - held.at_ms
            if held.half_ms is None and done_permille >= 500:
                held = replace(held, half_ms=after_ms)
            if held.most_ms is None and done_permille >= 900:
                held = replace(held, most_ms=after_ms)
        self._steps[index] = held


def measured_of(asset: AssetEntry, reading: Reading, nominal_voltage_mv: int) -> int | None:
    """What a reading shows of an asset, in the unit of its grant; None: it does not."""
    if not asset.is_evse:
        return reading.power_w
    current_ma = max_current_ma(reading)
    if current_ma is not None or reading.power_w is None:
        return current_ma
    return -(-max(0, reading.power_w) * 1_000_000 // (nominal_voltage_mv * len(asset.phases)))
