"""The runner of scenarios that name none: their world and their timeline, on the whole simulated site.

Task ──Stage, Script──> the plant's trace, responses of the utility, plots
"""

from __future__ import annotations

from dgm.errors import ConfigError, Problem
from dgm.sim.scenario.plot import Band, Panel
from dgm.sim.scenario.script import Script, problems
from dgm.sim.scenario.stage import Stage
from dgm.sim.scenario.task import Outcome, Task


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
    return Outcome(trace=stage.trace, panels=with_events(stage, stage.panels()), why=why)


def with_events(stage: Stage, panels: tuple[Panel, ...]) -> tuple[Panel, ...]:
    """Every plot with the utility's events as bands."""
    bands = tuple(
        Band(label=step.control.id, from_s=step.control.start_s, to_s=step.control.start_s + step.control.duration_s)
        for step in stage.task.steps
        if step.HasField("control")
    )
    return tuple(Panel(title=one.title, unit=one.unit, curves=one.curves, bands=bands) for one in panels)
