"""Scenario files: YAML to Scenario, checked, and one Task for each of its runs.

    name or path ──document.read──> Scenario, or every problem by path and line ──tasks──> Task per run

Reads files and nothing else; what a site.yaml that a scenario names holds is judged when its world is made.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import cache
from pathlib import Path

from dgm import shipped
from dgm.api.config.v1.scenario_pb2 import (
    Scenario,
    ScenarioMark,
    ScenarioRun,
    ScenarioStep,
    ScenarioWorld,
)
from dgm.errors import ConfigError, Problem
from dgm.sim.draw import Draw
from dgm.sim.scenario.mark import Mark, Tag
from dgm.sim.scenario.measures import MEASURES, RESPONSE_MEASURES
from dgm.sim.scenario.runners.table import RUNNERS, TIMELINE
from dgm.sim.scenario.task import Task

PACKAGE = "dgm.sim.scenario.scenarios"

LENGTH_MAX_S = 100 * 3600
FILE_MAX_BYTES = 1_000_000
Finding = tuple[str, str, str]


def names() -> tuple[str, ...]:
    """The shipped scenarios in the order of the acceptance list."""
    return tuple(sorted(shipped.names(PACKAGE), key=lambda name: (load(name).number, name)))


@cache
def load(name: str) -> Scenario:
    """A scenario that comes with DGM. ConfigError: there is none of this name, or its file is wrong."""
    return shipped.one(PACKAGE, name, parse, key="scenario")


def find(asked: str) -> tuple[Scenario, Path]:
    """A shipped scenario by name, or a file, and the folder that its paths are relative to."""
    path = Path(asked)
    if path.suffix not in (".yaml", ".yml"):
        return load(asked), Path()
    try:
        if path.stat().st_size > FILE_MAX_BYTES:
            raise ConfigError([Problem(path="(file)", found="more than 1 MB", expected="less")], source=asked)
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError([Problem(path="(file)", found=str(error), expected="a text file")], source=asked) from error
    return parse(text, source=asked), path.resolve().parent


def parse(text: str, *, source: str = "scenario") -> Scenario:
    """A scenario from YAML. ConfigError lists all that is wrong."""
    return shipped.parsed(text, Scenario(), _problems, source=source)


def tasks(
    scenario: Scenario,
    folder: Path,
    *,
    chance: Callable[[int], Draw],
    is_full: bool = False,
    is_live: bool = False,
) -> Iterator[Task]:
    """Its runs, in order. chance: gives a generator for a seed."""
    for run in scenario.runs or [ScenarioRun()]:
        world = ScenarioWorld()
        world.CopyFrom(scenario.world)
        world.MergeFrom(run.world)
        steps = sorted([*scenario.timeline, *run.timeline], key=lambda step: step.at_s)
        yield Task(
            scenario=scenario.name,
            run=run.name,
            world=world,
            steps=tuple(steps),
            marks=(*scenario.marks, *run.marks),
            chance=chance,
            is_full=is_full,
            is_live=is_live,
            folder=folder,
        )


def mark_of(raw: ScenarioMark) -> Mark:
    """What has been checked, as a mark."""
    return Mark(
        name=raw.name,
        expected=raw.expected,
        unit=raw.unit,
        measure=raw.measure,
        at_least=float(raw.at_least) if raw.at_least else None,
        at_most=float(raw.at_most) if raw.at_most else None,
        tag=Tag.LIVE if raw.live else Tag.VIRTUAL,
    )


def _problems(scenario: Scenario) -> Iterator[Finding]:
    for name in ("name", "title"):
        if not getattr(scenario, name):
            yield name, "nothing", "a text"
    if scenario.not_built:
        return
    if (scenario.runner or TIMELINE) not in RUNNERS:
        yield "runner", repr(scenario.runner), "one of " + ", ".join(sorted(RUNNERS))
    yield from _steps("", scenario.timeline)
    yield from _marks("", scenario.marks, bool(scenario.runner))
    seen: set[str] = set()
    for index, run in enumerate(scenario.runs):
        where = f"runs[{index}]."
        if not run.name or run.name in seen:
            yield f"{where}name", repr(run.name), "a text that no other run has"
        seen.add(run.name)
        yield from _steps(where, run.timeline)
        yield from _marks(where, run.marks, bool(scenario.runner))
    for index, task in enumerate(tasks(scenario, Path(), chance=_no_chance)):
        yield from _run_problems(f"runs[{index}]." if scenario.runs else "", task, bool(scenario.runner))


def _no_chance(seed: int) -> Draw:
    raise AssertionError("a file that is only judged draws nothing")


def _run_problems(where: str, task: Task, has_runner: bool) -> Iterator[Finding]:
    world = task.world
    if not task.marks:
        yield f"{where}marks", "nothing", "at least one"
    if has_runner:
        return
    if not 1 <= world.length_s <= LENGTH_MAX_S:
        yield f"{where}world.length_s", str(world.length_s), f"1..{LENGTH_MAX_S} s"
    for name, low, high in (
        ("soc_permille", 0, 1000),
        ("building_w", 0, 10**9),
        ("sun_w", 0, 10**9),
        ("evses", 1, 10_000),
        ("poll_s", 1, 86_400),
        ("export_limit_w", 0, 10**9),
    ):
        value = getattr(world, name)
        if world.HasField(name) and not low <= value <= high:
            yield f"{where}world.{name}", str(value), f"{low}..{high}"
    late = [step for step in task.steps if step.at_s > world.length_s]
    if late:
        yield f"{where}timeline", f"a step at {late[0].at_s} s", f"none after the end at {world.length_s} s"


def _steps(where: str, steps: Iterable[ScenarioStep]) -> Iterator[Finding]:
    for index, step in enumerate(steps):
        path = f"{where}timeline[{index}]"
        given = [field.name for field, _ in step.ListFields() if field.name != "at_s"]
        if len(given) != 1:
            things = [field.name for field in step.DESCRIPTOR.fields if field.name != "at_s"]
            yield path, f"{' and '.join(given) or 'nothing'} at {step.at_s} s", "exactly one of " + ", ".join(things)
        if step.at_s < 0:
            yield f"{path}.at_s", str(step.at_s), "0 s or later"


def _marks(where: str, marks: Iterable[ScenarioMark], has_runner: bool) -> Iterator[Finding]:
    for index, mark in enumerate(marks):
        path = f"{where}marks[{index}]"
        if not mark.name:
            yield f"{path}.name", "nothing", "a text"
        for name in ("bound", "at_least", "at_most"):
            if getattr(mark, name) and not _is_number(getattr(mark, name)):
                yield f"{path}.{name}", repr(getattr(mark, name)), "a number"
        if not mark.at_least and not mark.at_most:
            yield path, "neither at_least nor at_most", "at least one of them"
        if not has_runner and not mark.live:
            yield from _measure_problems(path, mark)


def _measure_problems(path: str, mark: ScenarioMark) -> Iterator[Finding]:
    measure = MEASURES.get(mark.measure)
    if measure is None:
        if mark.measure not in RESPONSE_MEASURES:
            yield f"{path}.measure", repr(mark.measure), "one of " + ", ".join(sorted([*MEASURES, *RESPONSE_MEASURES]))
        return
    if not mark.of:
        yield f"{path}.of", "nothing", "a series of the trace"
    for need in measure.needs:
        if not getattr(mark, need):
            yield f"{path}.{need}", "nothing", f"a value: {mark.measure} needs it"
    if mark.HasField("from_s") and mark.HasField("to_s") and mark.from_s >= mark.to_s:
        yield f"{path}.to_s", str(mark.to_s), f"later than from_s, {mark.from_s}"


def _is_number(text: str) -> bool:
    try:
        return abs(float(text)) < float("inf")
    except ValueError:
        return False
