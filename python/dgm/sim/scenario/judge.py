"""One run of a scenario from its file to its verdict.

    Scenario ──tasks──> Task ──runner──> Outcome ──marks──> Verdict

An invariant that breaks, or a runner that fails, ends its run: it is said in the verdict, and the next run goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from dgm.api.config.v1.scenario_pb2 import Scenario
from dgm.sim.draw import Draw
from dgm.sim.scenario.document import mark_of, tasks
from dgm.sim.scenario.mark import State, Verdict, figure, verdict
from dgm.sim.scenario.measures import MEASURES, measured
from dgm.sim.scenario.runners.table import RUNNERS, TIMELINE
from dgm.sim.scenario.task import Outcome, Task


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """A verdict with what it was made from, for the page."""

    scenario: Scenario
    task: Task
    outcome: Outcome
    verdict: Verdict


def run(
    scenario: Scenario,
    folder: Path,
    *,
    chance: Callable[[int], Draw],
    is_full: bool = False,
    is_live: bool = False,
) -> Iterator[Judged]:
    """Every run of a scenario, one after the other."""
    for task in tasks(scenario, folder, chance=chance, is_full=is_full, is_live=is_live):
        if scenario.not_built:
            found = Verdict(scenario=scenario.name, run=task.run, state=State.NOT_BUILT, why=scenario.not_built)
            yield Judged(scenario=scenario, task=task, outcome=Outcome(), verdict=found)
            continue
        runner = RUNNERS[scenario.runner or TIMELINE]
        try:
            outcome = runner(task)
        except AssertionError as broken:
            outcome = Outcome(why=f"an invariant broke: {broken}")
        yield Judged(scenario=scenario, task=task, outcome=outcome, verdict=judged(task, outcome))


def judged(task: Task, outcome: Outcome) -> Verdict:
    """Every mark: what a runner measured (by the mark's name, or its measure) goes before what the trace shows."""
    figures = []
    for raw in task.marks:
        found = outcome.figures.get(raw.name) or outcome.figures.get(raw.measure)
        if found is None and raw.measure in MEASURES and outcome.trace is not None:
            found = measured(raw, outcome.trace)
        figures.append(figure(mark_of(raw), found, is_live=task.is_live))
    return verdict(task.scenario, task.run, figures, why=outcome.why)
