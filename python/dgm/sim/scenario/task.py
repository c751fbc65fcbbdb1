"""What a runner is given and what it gives back.

Task (one run of a scenario) ──Runner──> Outcome: figures by the name of their mark's measure, trace, plots, notes
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from dgm.api.config.v1.scenario_pb2 import ScenarioMark, ScenarioStep, ScenarioWorld
from dgm.sim.draw import Draw
from dgm.sim.scenario.mark import Measured
from dgm.sim.scenario.plot import Panel
from dgm.sim.scenario.trace import Trace


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One run: its world, its timeline in order of time, its marks.

    chance: gives a generator for a seed. is_full: at full length where the default is a shorter form; is_live: on real
    sockets. folder: what paths in the world are relative to.
    """

    scenario: str
    run: str
    world: ScenarioWorld
    steps: tuple[ScenarioStep, ...]
    marks: tuple[ScenarioMark, ...]
    chance: Callable[[int], Draw]
    is_full: bool = False
    is_live: bool = False
    folder: Path = field(default_factory=Path)

    @property
    def seed(self) -> int:
        """Of everything that is drawn."""
        return self.world.seed if self.world.HasField("seed") else 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a run gave. figures: by the name of a mark, or by its `measure`. why: what broke it off; empty: it ran to its end."""

    figures: Mapping[str, Measured] = field(default_factory=dict)
    trace: Trace | None = None
    panels: tuple[Panel, ...] = ()
    notes: tuple[str, ...] = ()
    why: str = ""


Runner = Callable[[Task], Outcome]
