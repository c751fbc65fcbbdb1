"""The sharing of the core against an independent method: lexicographic max-min by a sequence of linear programmes.

random tree (site > feeder > panel, W and A rows, phases, weights, strata) ──> core  ──┐
                                                                         └──> HiGHS ──┴─ equal within 1 mA
"""

from __future__ import annotations

from array import array

import pytest
from random_trees import Column, Problem, lexicographic, random_tree

from dgm import _core


def allocate(problem: Problem) -> list[int]:
    answer = array("q")
    answer.frombytes(_core.allocate(problem.to_bytes()))
    return answer.tolist()


@pytest.mark.parametrize("seed", range(60))
def test_the_sharing_is_the_lexicographic_max_min_of_a_linear_programme(seed: int) -> None:
    problem = random_tree(seed)
    expected = lexicographic(problem)
    answer = allocate(problem)
    assert answer == pytest.approx(expected, abs=1.0)
    for budget, entries in problem.rows:
        assert sum(answer[column] * times for column, times in entries.items()) <= budget


def test_one_more_milliamp_for_the_worst_off_fits_nowhere() -> None:
    problem = Problem([Column(6_000, 32_000, 1, 1) for _ in range(3)], [(50_000, {0: 1, 1: 1, 2: 1})])
    assert allocate(problem) == [16_666, 16_666, 16_666]


@pytest.mark.parametrize(
    "words",
    [
        b"",
        b"\x01",
        array("q", [2, 0, 0]).tobytes(),
        array("q", [1, 1, 0, 0, 16_000, 1]).tobytes(),
        array("q", [1, 1, 1, 0, 16_000, 1, 1, 9_000, 1, 5, 1]).tobytes(),
        array("q", [1, 1, 1, 9_000, 16_000, 1, 1, 8_000, 1, 0, 1]).tobytes(),
        array("q", [1, 0, 0, 0]).tobytes(),
        array("q", [1, 2**62, 0]).tobytes(),
    ],
)
def test_a_malformed_problem_is_refused(words: bytes) -> None:
    with pytest.raises(_core.CoreError):
        _core.allocate(words)
