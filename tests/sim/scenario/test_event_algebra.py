"""The model of the event scenario sees what an engine could get wrong, and the engine agrees with it."""

from __future__ import annotations

from dataclasses import replace
from random import Random

from dgm.sim.scenario.runners.event_algebra import compare_sets, longest_gap_s, plain, uniform_p
from dgm.sim.scenario.runners.event_reference import Reference


def test_the_engine_agrees_with_the_model_on_generated_sets() -> None:
    found = compare_sets(40, Random(5))
    assert (found.different, found.superseded_untold, found.cancelled_untold) == (0, 0, 0), found.first
    assert found.superseded > 40
    assert found.cancelled > 10


def test_adjacent_controls_leave_no_gap() -> None:
    assert longest_gap_s(8, Random(2)) == 0


def test_a_higher_event_takes_the_mode_from_one_that_runs_and_from_one_to_come() -> None:
    running, coming = plain("A", start_s=10, primacy=5), plain("B", start_s=100, primacy=9)
    best = plain("C", start_s=50, length_s=100, primacy=1)
    model = Reference([running, coming, best], lambda most: 0)
    for second in range(200):
        model.settle(second)
    assert model.told == {("A", 2, 10), ("A", 7, 50), ("B", 7, 10), ("C", 2, 50), ("C", 3, 150)}


def test_an_event_that_follows_at_once_begins_where_the_other_ends() -> None:
    first = replace(plain("A", start_s=10, length_s=20), random_length_s=5)
    model = Reference([first, plain("B", start_s=30, length_s=20)], lambda most: most)
    for second in range(100):
        model.settle(second)
    assert {("A", 3, 35), ("B", 2, 35), ("B", 3, 55)} <= model.told


def test_what_is_not_uniform_is_seen() -> None:
    even = [step / 300 for step in range(301)]
    assert uniform_p(even, 300) > 0.9
    assert uniform_p([share / 2 for share in even], 300) < 0.001
    assert uniform_p([], 300) == 0
