"""The runner of scenarios that name none: their world and their timeline, on the whole simulated site.

Task ──Stage, Script──> the plant's trace, responses of the utility, plots
"""

from __future__ import annotations

from collections import Counter

from dgm.api.config.v1.scenario_pb2 import ScenarioMark
from dgm.errors import ConfigError, Problem
from dgm.sim.scenario.mark import Measured
from dgm.sim.scenario.measures import RESPONSE_MEASURES
from dgm.sim.scenario.plot import Band, Panel
from dgm.sim.scenario.script import Script, problems
from dgm.sim.scenario.stage import Stage
from dgm.sim.scenario.task import Outcome, Task
from dgm.sim.world import UTC_START_MS


def play(task: Task) -> Outcome:
    """Let it happen. ConfigError: the timeline names what the site does not have."""
    stage = Stage(task)
    found = [Problem(path=path, found=what, expected=wanted) for path, what, wanted in problems(stage, task.steps)]
    if found:
        raise ConfigError(found, source=task.scenario)
    Script(stage, task.steps)
    return finish(stage)


def finish(stage: Stage) -> Outcome:
    """Run to the end; an invariant that breaks ends it there, with what was seen until then."""
    why = ""
    try:
        stage.run()
    except AssertionError as broken:
        why = f"an invariant broke: {broken}"
    panels = with_events(stage, stage.panels())
    return Outcome(figures=responses(stage), trace=stage.trace, panels=panels, why=why)


def responses(stage: Stage) -> dict[str, Measured]:
    """The marks that are about what the utility was told, by their names."""
    marks = [mark for mark in stage.task.marks if mark.measure in RESPONSE_MEASURES]
    return {mark.name: _response(stage, mark) for mark in marks}


def _response(stage: Stage, mark: ScenarioMark) -> Measured:
    if mark.measure == "responses_twice":
        counts = Counter((one["mrid"], one["status"]) for one in stage.utility.server.records.responses)
        return Measured(value=float(sum(count - 1 for count in counts.values())))
    taken = stage.utility.taken(mark.of, int(float(mark.bound)))
    if mark.measure == "response_count":
        return Measured(value=float(len(taken)))
    if not taken:
        return Measured(value=None, detail=f"{mark.of} was answered with {stage.utility.responses.get(mark.of, [])}")
    at_ms = taken[0]["utc_ms"] if mark.measure == "response_taken_s" else taken[0]["created_s"] * 1000
    return Measured(value=(at_ms - UTC_START_MS) / 1000)


def with_events(stage: Stage, panels: tuple[Panel, ...]) -> tuple[Panel, ...]:
    """Every plot with the utility's events as bands."""
    bands = tuple(
        Band(label=step.control.id, from_s=step.control.start_s, to_s=step.control.start_s + step.control.duration_s)
        for step in stage.task.steps
        if step.HasField("control")
    )
    return tuple(Panel(title=one.title, unit=one.unit, curves=one.curves, bands=bands) for one in panels)
