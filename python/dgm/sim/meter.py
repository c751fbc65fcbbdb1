"""The meter of the connection point as it is seen: the plant's reading, right or wrong in one way.

    Plant.reading ──> Meter(fault) ──> what the field core reads: W, A and V per phase, None: nothing

Wrong ways are those of meters in the field: silent, frozen with fresh stamps, current transformers the wrong way round,
a step that nobody made, and a phase that is missing.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import assert_never

from dgm.sim.plant import Reading


class MeterFault(StrEnum):
    """One way to be wrong."""

    SILENT = "silent"
    FROZEN = "frozen"
    FLIPPED = "flipped"
    JUMPED = "jumped"
    """Off by a constant."""
    PHASE_LOST = "phase_lost"
    """One phase reads 0 A, 0 V and 0 W."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wrong:
    """A fault and its size. jump_w: for JUMPED, split evenly over the phases. phase: 1..3, for PHASE_LOST."""

    fault: MeterFault
    jump_w: int = 0
    phase: int = 1


class Meter:
    """One meter. wrong: how it is now; None: as it should be."""

    def __init__(self) -> None:
        self.wrong: Wrong | None = None
        self._held: Reading | None = None

    @property
    def is_right(self) -> bool:
        """Shows what is."""
        return self.wrong is None

    def read(self, true: Reading) -> Reading | None:
        """What is read of it now, given what is."""
        if self.wrong is None or self._held is None:
            self._held = true
        if self.wrong is None:
            return true
        match self.wrong.fault:
            case MeterFault.SILENT:
                return None
            case MeterFault.FROZEN:
                return self._held
            case MeterFault.FLIPPED:
                return _shown(true, [-watts for watts in true.phase_w])
            case MeterFault.JUMPED:
                return _shown(true, [watts + self.wrong.jump_w / 3 for watts in true.phase_w])
            case MeterFault.PHASE_LOST:
                lost = self.wrong.phase - 1
                volts = [0.0 if at == lost else volt for at, volt in enumerate(true.phase_v)]
                seen = _shown(true, [0.0 if at == lost else watts for at, watts in enumerate(true.phase_w)])
                return replace(seen, phase_v=(volts[0], volts[1], volts[2]))
            case _:
                raise AssertionError(assert_never(self.wrong.fault))


def _shown(true: Reading, watts: list[float]) -> Reading:
    amps = [watt / volt for watt, volt in zip(watts, true.phase_v, strict=True)]
    return replace(
        true,
        net_w=sum(watts),
        phase_w=(watts[0], watts[1], watts[2]),
        phase_a=(amps[0], amps[1], amps[2]),
    )
