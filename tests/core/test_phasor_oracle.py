"""The sharing under phasor rows against an independent method: bisection of the level with complex numbers.

    random cars on AB, BC, CA behind a delta-wye transformer ──> core ──┬─ equal within 3 mA
                                                             └──> numpy ┘

The oracle knows no classes and no whole numbers: it tries every subset of the cars' branches as the draw.
"""

from __future__ import annotations

import itertools
import random

import numpy as np
import pytest

from dgm import _core
from dgm.ems.problem import Answer, Column, Line, PhasorLine, Problem

UNIT = ((1, 0), (-1, -1), (0, 1))
"""u, v of AB, BC, CA: 0, -120 and +120 degrees."""
TIMES = ((1, 0, -1), (-1, 1, 0), (0, -1, 1), (1, 1, -2), (-2, 1, 1), (1, -2, 1))
"""Secondary A, B, C, then primary A, B, C times the turns."""


class Site:
    """Cars on branches, limits of both sides in mA (the primary's times the turns), one panel over the first cars."""

    def __init__(self, seed: int) -> None:
        draw = random.Random(seed)
        self.branches = [draw.randrange(3) for _ in range(draw.randint(1, 9))]
        self.caps = [draw.choice([0, 6_000, 16_000, 32_000]) for _ in self.branches]
        self.weights = [draw.choice([1, 1, 2, 4]) for _ in self.branches]
        self.strata = [draw.choice([1, 1, 1, 2]) for _ in self.branches]
        self.limits = [draw.randint(5_000, 90_000)] * 3 + [draw.randint(10_000, 200_000)] * 3
        self.panel = (draw.randint(5_000, 90_000), len(self.branches) // 2)

    def answer(self) -> list[int]:
        lines = [Line(budget_ma=self.panel[0], coefficients=dict.fromkeys(range(self.panel[1]), 1))]
        phasors = []
        for times, limit_ma in zip(TIMES, self.limits, strict=True):
            coefficients = {
                car: (times[branch] * UNIT[branch][0], times[branch] * UNIT[branch][1])
                for car, branch in enumerate(self.branches)
                if times[branch]
            }
            phasors.append(PhasorLine(limit_ma=limit_ma, coefficients=coefficients))
        asked = zip(self.caps, self.weights, self.strata, strict=True)
        columns = [Column(cap_ma=cap, weight=weight, stratum=stratum) for cap, weight, stratum in asked]
        words = Problem(len(columns), lines, phasors).to_bytes(columns)
        return list(Answer.from_bytes(_core.allocate(words)).values_ma)

    def is_within(self, currents: np.ndarray) -> bool:
        if currents[: self.panel[1]].sum() > self.panel[0] + 1e-6:
            return False
        angles = np.exp(2j * np.pi / 3 * np.array([0, -1, 1]))
        totals = np.array([currents[[branch == index for branch in self.branches]].sum() for index in range(3)])
        drawn = np.array(list(itertools.product((0, 1), repeat=3))) * totals * angles
        return bool((np.abs(drawn @ np.array(TIMES).T) <= np.array(self.limits) + 1e-6).all())

    def expected(self) -> np.ndarray:
        """Raise all, stop whoever cannot rise alone, repeat; one stratum after the other."""
        currents = np.zeros(len(self.branches))
        weights = np.array(self.weights, dtype=float)
        for stratum in sorted(set(self.strata)):
            rising = np.array([of == stratum for of in self.strata])
            while rising.any():
                low, high = 0.0, float(((np.array(self.caps) - currents) / weights)[rising].min())
                if self.is_within(currents + rising * weights * high):
                    low = high
                for _ in range(60):
                    middle = (low + high) / 2
                    low, high = (
                        (middle, high) if self.is_within(currents + rising * weights * middle) else (low, middle)
                    )
                currents = currents + rising * weights * low
                rising = np.array([up and self.can_rise(currents, car) for car, up in enumerate(rising)])
        return currents

    def can_rise(self, currents: np.ndarray, car: int) -> bool:
        more = currents.copy()
        more[car] += 0.01
        return more[car] <= self.caps[car] and self.is_within(more)


@pytest.mark.parametrize("seed", range(80))
def test_the_sharing_under_phasor_rows_is_the_max_min_of_a_bisection(seed: int) -> None:
    site = Site(seed)
    answer = site.answer()
    assert site.is_within(np.array(answer, dtype=float))
    assert answer == pytest.approx(site.expected(), abs=3.0)


def test_the_blocking_row_is_named() -> None:
    line = Line(budget_ma=100_000, coefficients={0: 1, 1: 1})
    row = PhasorLine(limit_ma=20_000, coefficients={0: (1, 0), 1: (0, -1)})
    words = Problem(2, [line], [row]).to_bytes([Column(cap_ma=5_000), Column(cap_ma=32_000)])
    answer = Answer.from_bytes(_core.allocate(words))
    assert answer.values_ma == [5_000, 17_025]
    assert answer.rows == [None, 1]


def test_caps_alone_are_columns_of_weight_one_in_one_stratum() -> None:
    problem = Problem(2, [Line(budget_ma=9_000, coefficients={0: 1, 1: 1})], [])
    assert problem.caps_to_bytes([3_000, 8_000]) == problem.to_bytes([Column(cap_ma=3_000), Column(cap_ma=8_000)])
    with pytest.raises(ValueError, match="expected 2, found 1"):
        problem.caps_to_bytes([3_000])
    with pytest.raises(ValueError, match="expected 2, found 1"):
        problem.to_bytes([Column(cap_ma=3_000)])
