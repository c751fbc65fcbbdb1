"""Every measure on series whose answer is known, and the utility of a scenario on its own."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dgm.api.config.v1.scenario_pb2 import ScenarioMark
from dgm.sim.scenario.measures import MEASURES, measured
from dgm.sim.scenario.plot import Band, Curve, Panel
from dgm.sim.scenario.svg import clock_of, drawn, nice
from dgm.sim.scenario.trace import SAMPLES_PER_S, Trace

UP_AND_DOWN = [0.0, 0.0, 5.0, 9.0, 12.0, 12.0, 8.0, 12.0, 4.0, 4.0]


def trace_of(values: list[float], per: list[float] | None = None) -> Trace:
    trace = Trace()
    trace.extra = {"x": values, "y": per or [1.0] * len(values)}
    return trace


def value(measure: str, values: list[float], **more: object) -> float | None:
    mark = ScenarioMark(**{"measure": measure, "of": "x", **more})
    return measured(mark, trace_of(values)).value


@pytest.mark.parametrize(
    ("measure", "more", "wanted"),
    [
        ("longest_above", {"bound": "10"}, 2),
        ("longest_below", {"bound": "5"}, 2),
        ("seconds_above", {"bound": "10"}, 3),
        ("overshoots", {"bound": "10"}, 2),
        ("maximum", {}, 12),
        ("minimum", {"from_s": 3}, 4),
        ("mean", {"from_s": 8}, 4),
        ("final", {}, 4),
        ("change", {"from_s": 4}, -8),
        ("rise", {"from_s": 2, "to_s": 5}, 7),
        ("fall", {"from_s": 4}, 8),
        ("time_to_above", {"bound": "9"}, 3),
        ("time_to_above", {"bound": "13"}, None),
        ("time_to_below", {"bound": "8", "from_s": 4}, 2),
        ("settles_below", {"bound": "8", "from_s": 4}, 4),
        ("settles_below", {"bound": "3"}, None),
        ("settles_above", {"bound": "4"}, 2),
        ("sign_changes", {"bound": "1"}, 3),
        ("sign_changes", {"bound": "5"}, 1),
        ("energy", {}, 66 / 3600),
        ("energy_above", {"bound": "10"}, 6 / 3600),
        ("shed", {"bound": "12"}, 54 / 3600),
        ("mean_maximum", {"window_s": 5}, 8),
        ("sliding_maximum", {"window_s": 2}, 12),
        ("slope", {"from_s": 1, "to_s": 4}, 4.5),
        ("share", {"per": "y"}, 660),
    ],
)
def test_a_measure_says_what_it_says(measure: str, more: dict[str, object], wanted: float | None) -> None:
    found = value(measure, UP_AND_DOWN, **more)
    assert found == (None if wanted is None else pytest.approx(wanted))


def test_every_measure_is_tried_above() -> None:
    tried = {mark.args[1][at][0] for mark in [test_a_measure_says_what_it_says.pytestmark[0]] for at in range(26)}  # type: ignore[attr-defined]
    assert tried == set(MEASURES)


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=60), st.floats(-1e6, 1e6))
def test_what_settles_stays_and_what_is_longest_is_no_longer_than_all(values: list[float], bound: float) -> None:
    settled = value("settles_below", values, bound=str(bound))
    if settled is not None:
        assert all(one <= bound for one in values[int(settled) :])
    longest, all_of_it = (value(name, values, bound=str(bound)) for name in ("longest_above", "seconds_above"))
    assert longest is not None
    assert all_of_it is not None
    assert longest <= all_of_it


def test_a_series_that_is_not_there_is_a_figure_that_nobody_measured() -> None:
    found = measured(ScenarioMark(measure="maximum", of="z"), trace_of([1.0]))
    assert found.value is None
    assert "no series 'z'; there are x, y" in found.detail


def test_samples_become_means_of_whole_seconds() -> None:
    trace = Trace()
    for at in range(2 * SAMPLES_PER_S + 3):
        trace.add({"net_w": float(at)})
    assert list(trace.series("net_w")) == [4.5, 14.5]
    for at in range(SAMPLES_PER_S):
        trace.add({"net_w": float(at)})
    assert len(trace.series("net_w")) == trace.seconds == 3


def test_a_plot_keeps_the_peak_of_a_long_run_and_needs_nothing_from_elsewhere() -> None:
    values = [0.0] * 20_000
    values[12_345] = 77.0
    band = Band(label="<event>", from_s=100, to_s=900)
    svg = drawn(Panel(title="a & b", unit="kW", curves=(Curve(label="net", series=values),), bands=(band,)))
    assert svg.count("L") < 2_000
    assert "&lt;event&gt;" in svg
    assert "a &amp; b" in svg
    assert "http" not in svg
    heights = [float(part.split()[-1]) for part in svg.split('<path d="M')[1].split('"')[0].split("L")]
    assert min(heights) < 40


@given(st.floats(1e-6, 1e9))
def test_steps_of_an_axis_are_round_and_large_enough(step: float) -> None:
    found = nice(step)
    assert found >= step * 0.99
    assert found / 10 ** math.floor(math.log10(found)) == pytest.approx(
        min((1, 2, 2.5, 5, 10), key=lambda one: abs(one - found / 10 ** math.floor(math.log10(found))))
    )


def test_times_are_for_people() -> None:
    assert [clock_of(at) for at in (5, 65, 3_660)] == ["5 s", "1:05", "1:01 h"]


def test_nothing_to_draw_is_no_picture() -> None:
    assert drawn(Panel(title="t", unit="W", curves=(Curve(label="net", series=[]),))) == ""
