"""Scenarios on a small RS-1: the timeline happens, the trace is the plant's, the utility hears what it should."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from dgm.cli.main import app
from dgm.errors import ConfigError
from dgm.sim.scenario import document, judge
from dgm.sim.scenario.judge import Judged
from dgm.sim.scenario.mark import State
from dgm.sim.scenario.page import write
from dgm.sim.scenario.site import rs_1

OWN = """
name: own
title: The export limit of a small site comes down, the meter freezes, a car comes
world: {length_s: 100, evses: 4, building_w: 60000, sun_w: 200000, soc_permille: 900, poll_s: 5}
timeline:
  - {at_s: 2, control: {id: low, mode: opModExpLimW, power_w: 60000, start_s: 30, duration_s: 40}}
  - {at_s: 10, cars: {at: {ids: [ac11-01]}, need_wh: 20000}}
  - {at_s: 80, building: {power_w: 120000, over_s: 2}}
marks:
  - {name: within, measure: settles_below, of: export_w, from_s: 30, to_s: 70, bound: 60000, at_most: 5, unit: s}
  - {name: curtailed, measure: energy, of: curtailed_w, from_s: 30, to_s: 70, at_least: 100, unit: Wh}
  - {name: the car, measure: maximum, of: 'current_a:ac11-01', at_least: 15.5, unit: A}
  - {name: started, measure: response_s, of: low, bound: 2, at_least: 29, at_most: 31, unit: s}
  - {name: twice, measure: responses_twice, at_most: 0}
  - {name: the building, measure: final, of: building_w, at_least: 119999, at_most: 120001, unit: W}
  - {name: quick, measure: maximum, of: net_w, at_most: 0, live: true}
"""


@pytest.fixture(scope="module")
def judged() -> Judged:
    (one,) = judge.run(document.parse(OWN), Path(), chance=random.Random)
    return one


def test_a_scenario_of_ones_own_happens_and_is_judged_by_the_plant(judged: Judged) -> None:
    states = {figure.mark.name: figure.state for figure in judged.verdict.figures}
    assert states.pop("quick") is State.LIVE
    assert set(states.values()) == {State.PASSED}, judged.verdict
    assert judged.verdict.is_passed


def test_its_page_shows_marks_and_plots_without_anything_from_elsewhere(judged: Judged, tmp_path: Path) -> None:
    index = write(tmp_path, [judged])
    page = (tmp_path / "own.html").read_text(encoding="utf-8")
    assert 'href="own.html"' in index.read_text(encoding="utf-8")
    assert page.count("<svg") == 5
    assert "live: measured by --live" in page
    assert "src=" not in page
    assert "http" not in page


def test_the_same_scenario_gives_the_same_trace(judged: Judged) -> None:
    (again,) = judge.run(document.parse(OWN), Path(), chance=random.Random)
    assert judged.outcome.trace is not None
    assert again.outcome.trace is not None
    assert again.outcome.trace.series("net_w") == judged.outcome.trace.series("net_w")


def test_names_that_the_site_does_not_have_are_refused_before_anything_happens(tmp_path: Path) -> None:
    raw = yaml.safe_load(OWN)
    raw["timeline"] = [
        {"at_s": 1, "device": {"id": "battery-9", "fault": "TRIP"}},
        {"at_s": 2, "cars": {"at": {"kind": "ac50"}}},
        {"at_s": 3, "leave": {"at": {"ids": ["evse-1"]}}},
    ]
    own = tmp_path / "own.yaml"
    own.write_text(yaml.safe_dump(raw), encoding="utf-8")
    done = CliRunner().invoke(app, ["scenario", "run", str(own)])
    assert isinstance(done.exception, ConfigError)
    said = str(done.exception)
    assert "the step at 1 s: device.id: found 'battery-9'; expected one of pv-1, pv-2, battery" in said
    assert "the step at 2 s: found kind 'ac50'; expected one of ac11, ac22, dc" in said
    assert "the step at 3 s: found EVSE 'evse-1'" in said


def test_rs_1_is_the_reference_site() -> None:
    site = rs_1(document.parse(OWN).world.__class__())
    evses = [evse for station in site.config.stations for evse in station.evses]
    nameplate_w = sum(evse.current_max_ma * 3 * 230 // 1000 for evse in evses)
    assert (len(evses), len(site.config.circuits)) == (104, 6)
    assert nameplate_w == pytest.approx(2_140_000, rel=0.01)
    assert sum((evse.fallback_ma or 0) * 3 * 230 // 1000 for evse in evses) == 60 * 4_140
    assert {circuit.current_limit_ma for circuit in site.config.circuits} == {722_000, 200_000, 504_000}


@pytest.mark.soak
@pytest.mark.parametrize("name", [name for name in document.names() if not document.load(name).not_built])
def test_every_scenario_that_is_built_passes_its_virtual_marks(name: str) -> None:
    for one in judge.run(document.load(name), Path(), chance=random.Random):
        failed = [figure for figure in one.verdict.figures if figure.state is State.FAILED]
        assert not failed, (one.verdict.run, failed)
        assert not one.verdict.why, (one.verdict.run, one.verdict.why)
