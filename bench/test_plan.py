"""What a plan over a day takes: cars x 96 quarter hours, building and solving, beside the same programme in scipy.

`plan` is `solve` as the planner's process runs it; `scipy` hands the same rows and columns, already built, to
scipy.optimize.linprog, which carries the same solver; `crossing` is problem and plan as JSON, there and back.
"""

from __future__ import annotations

import random
from itertools import accumulate
from typing import Any

import numpy as np
import pytest
from scipy.optimize import linprog
from scipy.sparse import csr_matrix, vstack

from dgm.ems.planner.problem import Battery, Car, Feeder, Problem
from dgm.ems.planner.solve import _Programme, _write, solve
from dgm.ems.planner.wire import plan_bytes, problem_bytes, read_plan, read_problem

STEPS = 96
QUARTER_MS = 900_000
FEEDERS = 5
SIZES = (104, 1_000)


def day(cars: int) -> Problem:
    """A site of that many cars, each with a need, on five feeders that carry a third of their nameplates."""
    draw = random.Random(1)
    scale = cars / 104

    def car(number: int) -> Car:
        return Car(
            asset_id=f"e{number}",
            due_wh=draw.randint(5_000, 40_000),
            departs_ms=draw.randint(4, 90) * QUARTER_MS,
            power_max_w=11_040 if number % 2 else 7_360,
            phases=(1, 2, 3) if number % 2 else (number % 3 + 1,),
        )

    cars_of = [tuple(range(first, cars, FEEDERS)) for first in range(FEEDERS)]
    return Problem(
        utc_ms=0,
        step_ms=QUARTER_MS,
        nominal_voltage_mv=230_000,
        load_w=tuple(round(scale * (60_000 + 3_000 * (step % 40))) for step in range(STEPS)),
        solar_w=tuple(round(scale * max(0.0, 200_000 * (1 - ((step - 48) / 20) ** 2))) for step in range(STEPS)),
        import_max_w=(round(scale * 475_000),) * STEPS,
        export_max_w=(round(scale * 150_000),) * STEPS,
        import_price=tuple(300 if 68 <= step < 84 else 100 for step in range(STEPS)),
        export_price=(50,) * STEPS,
        batteries=(
            Battery(
                asset_id="b1",
                soc_wh=round(scale * 250_000),
                min_wh=round(scale * 100_000),
                max_wh=round(scale * 450_000),
                charge_max_w=round(scale * 250_000),
                discharge_max_w=round(scale * 250_000),
            ),
        ),
        cars=tuple(car(number) for number in range(cars)),
        feeders=tuple(
            Feeder(circuit_id=f"f{at}", cars=below, power_w=None, current_ma=5_000 * len(below))
            for at, below in enumerate(cars_of)
        ),
        peak_w=round(scale * 200_000),
        peak_price=10_000,
    )


def rounds_of(cars: int) -> int:
    return 7 if cars < 500 else 1


@pytest.mark.parametrize("cars", SIZES)
def test_plan(benchmark: Any, cars: int) -> None:
    benchmark.group = f"plan of {cars} cars x {STEPS} steps"
    plan = benchmark.pedantic(solve, args=(day(cars),), rounds=rounds_of(cars), warmup_rounds=0)
    assert plan.is_optimal


@pytest.mark.parametrize("cars", SIZES)
def test_scipy(benchmark: Any, cars: int) -> None:
    benchmark.group = f"plan of {cars} cars x {STEPS} steps"
    programme = _Programme()
    _write(programme, day(cars))
    starts = [0, *accumulate(programme.lengths)]
    shape = (len(programme.lengths), len(programme.cost))
    rows = csr_matrix((programme.values, programme.columns, starts), shape=shape)
    low, high = np.array(programme.row_low), np.array(programme.row_high)
    equal = low == high
    upper, lower = ~equal & np.isfinite(high), ~equal & np.isfinite(low)
    bounded = {
        "A_ub": csr_matrix(vstack([rows[upper], -rows[lower]])),
        "b_ub": np.concatenate([high[upper], -low[lower]]),
        "A_eq": rows[equal],
        "b_eq": high[equal],
        "bounds": np.column_stack([programme.low, programme.high]),
    }
    solved = benchmark.pedantic(
        linprog, args=(programme.cost,), kwargs={**bounded, "method": "highs"}, rounds=rounds_of(cars)
    )
    assert solved.status == 0


@pytest.mark.parametrize("cars", SIZES)
def test_crossing(benchmark: Any, cars: int) -> None:
    benchmark.group = f"plan of {cars} cars x {STEPS} steps"
    problem = day(cars)
    plan = solve(problem)

    def cross() -> None:
        read_problem(problem_bytes(problem))
        read_plan(plan_bytes(plan))

    benchmark.pedantic(cross, rounds=5)
