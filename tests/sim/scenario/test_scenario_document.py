"""Scenario files: what is read, what is refused and with which words, and how marks are judged."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from typer.testing import CliRunner

from dgm.api.config.v1.scenario_pb2 import Scenario, ScenarioMark
from dgm.cli.main import app
from dgm.errors import ConfigError
from dgm.sim.scenario import document
from dgm.sim.scenario.document import mark_of
from dgm.sim.scenario.mark import Figure, Measured, State, figure, verdict

MARK = "{name: m, measure: maximum, of: net_w, at_most: 475000.5, unit: W}"


def marks(**changes: object) -> ScenarioMark:
    return ScenarioMark(**{"name": "m", "measure": "maximum", "of": "net_w", "at_most": "10", **changes})


def problems_of(text: str) -> list[str]:
    with pytest.raises(ConfigError) as refused:
        document.parse(text)
    return [str(problem) for problem in refused.value.problems]


def test_an_unknown_key_is_refused_with_its_line_and_what_there_is() -> None:
    (found,) = [one for one in problems_of("name: x\ntitle: t\nnot_built: y\nworlds: {}\n") if "worlds" in one]
    assert found.startswith("worlds (line 4): found unknown key 'worlds'; expected one of ")
    assert "timeline" in found


def test_an_impossible_world_is_refused_with_every_problem_at_once() -> None:
    text = f"""
name: x
title: t
world: {{length_s: 60, soc_permille: 1001, evses: 0}}
timeline:
  - at_s: 90
    sun: {{power_w: 1}}
  - at_s: 5
marks: [{MARK}]
"""
    found = "\n".join(problems_of(text))
    assert "world.soc_permille (line 4): found 1001; expected 0..1000" in found
    assert "world.evses (line 4): found 0; expected 1..10000" in found
    assert "timeline (line 6): found a step at 90 s; expected none after the end at 60 s" in found
    assert "timeline[1] (line 8): found nothing at 5 s; expected exactly one of cars, leave" in found


@pytest.mark.parametrize(
    ("mark", "said"),
    [
        (
            "{name: m, measure: mosts, of: net_w, at_most: 1}",
            "marks[0].measure (line 4): found 'mosts'; expected one of",
        ),
        ("{name: m, measure: maximum, at_most: 1}", "marks[0].of (line 4): found nothing; expected a series"),
        ("{name: m, measure: longest_above, of: net_w, at_most: 1}", "bound (line 4): found nothing; expected a value"),
        ("{name: m, measure: maximum, of: net_w, at_most: ten}", "marks[0].at_most (line 4): found 'ten'; expected a"),
        ("{name: m, measure: maximum, of: net_w}", "found neither at_least nor at_most"),
        ("{name: m, measure: mean, of: net_w, at_most: 1, from_s: 9, to_s: 9}", "expected later than from_s, 9"),
    ],
)
def test_a_mark_that_cannot_be_judged_is_refused(mark: str, said: str) -> None:
    assert said in "\n".join(problems_of(f"name: x\ntitle: t\nworld: {{length_s: 9}}\nmarks: [{mark}]\n"))


def test_a_run_has_what_stands_above_with_its_own_on_top() -> None:
    text = f"""
name: x
title: t
world: {{length_s: 60, soc_permille: 500}}
timeline: [{{at_s: 30, sun: {{power_w: 1}}}}]
marks: [{MARK}]
runs:
  - name: one
  - name: two
    world: {{soc_permille: 200}}
    timeline: [{{at_s: 3, sun: {{power_w: 2}}}}]
    marks: [{MARK.replace("name: m,", "name: own,")}]
"""
    one, two = document.tasks(document.parse(text), Path(), chance=random.Random)
    assert (one.world.length_s, one.world.soc_permille) == (60, 500)
    assert (two.world.length_s, two.world.soc_permille) == (60, 200)
    assert [step.at_s for step in two.steps] == [3, 30]
    assert [mark.name for mark in two.marks] == ["m", "own"]
    assert mark_of(two.marks[0]).at_most == 475_000.5


@pytest.mark.parametrize(("value", "state"), [(10.0, "passed"), (10.1, "failed"), (0.9, "failed"), (None, "failed")])
def test_a_figure_passes_within_its_bounds_and_never_is_a_failure(value: float | None, state: str) -> None:
    assert figure(mark_of(marks(at_least="1")), Measured(value=value), is_live=False).state == state


def test_a_live_mark_is_neither_passed_nor_failed_in_a_virtual_run_and_alone_passes_nothing() -> None:
    only = figure(mark_of(marks(live=True)), Measured(value=1.0), is_live=False)
    assert (only.state, only.measured) == (State.LIVE, "live: measured by --live")
    assert verdict("s", "", [only]).state is State.FAILED
    passed = figure(mark_of(marks()), Measured(value=1.0), is_live=False)
    assert verdict("s", "", [only, passed]).state is State.PASSED
    assert figure(mark_of(marks(live=True)), None, is_live=True).state is State.FAILED


def test_what_nobody_measured_and_a_run_that_broke_off_do_not_pass() -> None:
    missing = figure(mark_of(marks()), None, is_live=False)
    good: Figure = figure(mark_of(marks()), Measured(value=1.0), is_live=False)
    assert missing.state is State.FAILED
    assert verdict("s", "", [good], why="an invariant broke").state is State.FAILED


def test_every_shipped_scenario_can_be_read_and_has_a_number_and_a_title() -> None:
    found = [document.load(name) for name in document.names()]
    assert [one.number for one in found] == sorted(one.number for one in found)
    assert len({one.number for one in found}) == len(found)
    assert all(isinstance(one, Scenario) and one.title for one in found)


def test_what_is_not_built_is_said_and_exits_1(tmp_path: Path) -> None:
    pages = tmp_path / "pages"
    done = CliRunner().invoke(app, ["scenario", "run", "ftm-btm", "--html", str(pages)])
    assert done.exit_code == 1
    assert "not built: the DNP3 outstation" in done.output
    assert "not built" in (pages / "index.html").read_text(encoding="utf-8")


def test_a_file_of_a_user_is_refused_with_its_problems(tmp_path: Path) -> None:
    own = tmp_path / "own.yaml"
    own.write_text("name: own\ntitle: mine\nlength: 5\n", encoding="utf-8")
    done = CliRunner().invoke(app, ["scenario", "run", str(own)])
    assert isinstance(done.exception, ConfigError)
    assert "length (line 3)" in str(done.exception)
