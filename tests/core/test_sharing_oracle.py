"""The whole sharing (0 or the minimum, strata, whole steps) against mixed-integer and linear programmes.

random tree ──> core.share ──┐      admitted: the programme that prefers, in order, each single EVSE to all after it
       └──> HiGHS (scipy) ───┴──    above the minimum: lexicographic max-min, less what whole steps cost
"""

from __future__ import annotations

import random
from array import array
from itertools import chain

import numpy as np
import pytest
from random_trees import Problem, lexicographic, random_tree
from scipy.optimize import Bounds, LinearConstraint, milp

from dgm import _core

STEP_MA = 1_000
SEEDS = range(40)


def claims_of(problem: Problem, seed: int) -> list[list[int]]:
    """Rows of CLAIM_COLUMNS: minimums of 6 A, sometimes 8, in a random order within each stratum."""
    draw = random.Random(seed)
    ranks = draw.sample(range(len(problem.columns)), len(problem.columns))
    return [
        [column.cap, column.weight, column.stratum, draw.choice([6_000, 6_000, 8_000]), STEP_MA, rank]
        for column, rank in zip(problem.columns, ranks, strict=True)
    ]


def without_floors(seed: int) -> Problem:
    problem = random_tree(seed)
    for column in problem.columns:
        column.floor = 0
    return problem


def share(problem: Problem, claims: list[list[int]]) -> tuple[list[int], list[int]]:
    """mA and row per EVSE."""
    granted = array("i", bytes(8 * len(claims)))
    _core.Sharing(problem.to_bytes()).share(array("i", chain.from_iterable(claims)), granted)
    return granted[::2].tolist(), granted[1::2].tolist()


def first_that_fit(problem: Problem, claims: list[list[int]]) -> set[int]:
    """Who is admitted: each counts more than all after it together."""
    order = sorted(range(len(claims)), key=lambda column: (claims[column][2], claims[column][5]))
    worth = np.zeros(len(claims))
    for place, column in enumerate(order):
        worth[column] = 2.0 ** (len(claims) - place)
    use = np.zeros((len(problem.rows), len(claims)))
    for row, (_, entries) in enumerate(problem.rows):
        for column, times in entries.items():
            use[row, column] = times * claims[column][3]
    rows = LinearConstraint(use, ub=[budget for budget, _ in problem.rows])
    solved = milp(-worth, integrality=np.ones(len(claims)), bounds=Bounds(0, 1), constraints=rows)
    assert solved.status == 0, solved.message
    return {column for column in range(len(claims)) if solved.x[column] > 0.5}


@pytest.mark.parametrize("seed", SEEDS)
def test_those_first_in_order_that_fit_get_their_minimum_and_nobody_else_gets_anything(seed: int) -> None:
    problem = without_floors(seed)
    if len(problem.columns) > 20:
        problem = Problem(problem.columns[:20], [(budget, kept(entries, 20)) for budget, entries in problem.rows])
    claims = claims_of(problem, seed)
    values_ma, _ = share(problem, claims)
    assert {column for column, value_ma in enumerate(values_ma) if value_ma > 0} == first_that_fit(problem, claims)


def kept(entries: dict[int, int], columns: int) -> dict[int, int]:
    return {column: times for column, times in entries.items() if column < columns}


@pytest.mark.parametrize("seed", SEEDS)
def test_above_the_minimum_it_is_the_max_min_of_the_programmes_on_whole_steps(seed: int) -> None:
    problem = without_floors(seed)
    claims = claims_of(problem, seed)
    values_ma, rows = share(problem, claims)
    for column, claim in zip(problem.columns, claims, strict=True):
        column.floor = claim[3]
    admitted = [value_ma > 0 for value_ma in values_ma]
    for column, is_in in zip(problem.columns, admitted, strict=True):
        if not is_in:
            column.floor = column.cap = 0
    expected = lexicographic(problem)
    for column, (value_ma, row) in enumerate(zip(values_ma, rows, strict=True)):
        assert value_ma % STEP_MA == 0
        assert value_ma > expected[column] - STEP_MA - 1.0, "not less than quantising costs"
        assert value_ma <= expected[column] + STEP_MA + 1.0, "at most one crumb"
        assert value_ma <= claims[column][0]
        if row < 0:
            assert value_ma + STEP_MA > claims[column][0], "what no row stops has all that it asked for"
    for budget, entries in problem.rows:
        assert sum(values_ma[column] * times for column, times in entries.items()) <= budget


def test_columns_out_of_range_and_buffers_of_another_size_are_refused() -> None:
    problem = without_floors(1)
    sharing, claims = _core.Sharing(problem.to_bytes()), array("i", chain.from_iterable(claims_of(problem, 1)))
    granted = array("i", bytes(8 * len(problem.columns)))
    for bad in (claims[:-1], claims[6:], array("i", [-1, *claims[1:]]), array("i", [*claims[:4], 4_000, *claims[5:]])):
        with pytest.raises(_core.CoreError):
            sharing.share(bad, granted)
    with pytest.raises(_core.CoreError):
        sharing.fill(claims, granted[:-2])
    with pytest.raises(BufferError):
        sharing.fill(claims, bytes(8 * len(problem.columns)))
