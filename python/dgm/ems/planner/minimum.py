"""No car between nothing and its minimum: a plan is rounded from its begin on, and solved again with what was settled.

    Plan of the relaxed programme ──blocks of 1, 1, 2, 4, 8 ... steps──> each car in each step: off, or minimum..most
         ^──────────────── solved again with these bounds ────────────────┘

What is settled always fits the rows that the plan before it kept: a car is switched on at its minimum only where the
cars that are switched off, and room that nobody used, leave so much. So rounding never breaks a limit, and what it
costs is energy elsewhere or, where there is none, `short`. Steps to come soon are settled one by one, later ones in
blocks: they are planned anew many times before they begin. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from dgm.ems.planner.problem import Car, Plan, Problem
from dgm.ems.planner.rows import Row, rows_at

SLACK_W = 2
"""Whole watts and the solver's tolerance."""

HOUR_MS = 3_600_000
LARGE = 30_000
"""Cars times steps."""

SHORT_WH_MIN = 50
"""Less than this is the rounding of a plan."""

NOTHING_W = 20
"""What is planned below this is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """One car in one step: whether it charges."""

    car: int
    step: int
    is_on: bool


def least_w(car: Car, step: int, step_ms: int) -> float:
    """The least that a car that charges draws in a step, a mean over it; 0: it has no minimum, or has left."""
    return min(car.power_min_w, car.power_max_w) * car.share(step, step_ms)


def is_between(problem: Problem, plan: Plan, car: int, step: int) -> bool:
    """Whether a car is planned at what it cannot draw."""
    least = least_w(problem.cars[car], step, problem.step_ms)
    return NOTHING_W < plan.car_w[car][step] < least - SLACK_W


def blocks(problem: Problem) -> Iterator[range]:
    """0, 1, 2..3, 4..7, ...: as exact as a step is near. Of many cars fewer and longer ones: each is solved once."""
    is_large = len(problem.cars) * problem.steps > LARGE
    begin, first, growth = 0, *((4, 4) if is_large else (1, 2))
    while begin < problem.steps:
        end = min(problem.steps, max(begin + first, growth * begin))
        yield range(begin, end)
        begin = end


def settle(problem: Problem, plan: Plan, block: range) -> list[Settled]:
    """Every car with a minimum in every step of a block. Energy that rounding misses is carried to the next step."""
    carried: dict[int, float] = {}
    found: list[Settled] = []
    for step in block:
        found += _step(problem, plan, step, carried)
    return found


def _step(problem: Problem, plan: Plan, step: int, carried: dict[int, float]) -> list[Settled]:
    chosen = {at: least_w(car, step, problem.step_ms) for at, car in enumerate(problem.cars)}
    chosen = {at: least for at, least in chosen.items() if least > 0}
    wanted = {at: plan.car_w[at][step] for at in chosen}
    full = {at for at, least in chosen.items() if wanted[at] >= least - SLACK_W}
    open_cars = [at for at in chosen if at not in full and wanted[at] + carried.get(at, 0.0) > NOTHING_W]
    rows = _freed(rows_at(problem, plan, step), {at: wanted[at] for at in open_cars})
    on = set(full)
    for at in sorted(open_cars, key=lambda at: _laxity_ms(problem, plan, at, step)):
        wish_w = wanted[at] + carried.get(at, 0.0)
        due = 2 * wish_w >= chosen[at] or (wish_w > NOTHING_W and _is_last(plan, at, step))
        if due and all(row.left_w >= chosen[at] * row.shares.get(at, 0.0) - SLACK_W for row in rows):
            on.add(at)
            rows = [replace(row, left_w=row.left_w - chosen[at] * row.shares.get(at, 0.0)) for row in rows]
        carried[at] = wish_w - (chosen[at] if at in on else 0.0)
    return [Settled(car=at, step=step, is_on=at in on) for at in chosen]


def extend(problem: Problem, plan: Plan) -> list[Settled]:
    """Cars that rounding left short, on in one more step each where their minimum fits: the cheapest, then earliest."""
    used: dict[int, list[Row]] = {}
    found = []
    for at in sorted(
        (at for at, wh in enumerate(plan.short_wh) if wh >= SHORT_WH_MIN), key=lambda at: -plan.short_wh[at]
    ):
        for step in sorted(range(problem.steps), key=lambda step: (problem.import_price[step], step)):
            least = least_w(problem.cars[at], step, problem.step_ms)
            if least <= 0 or plan.car_w[at][step] > NOTHING_W:
                continue
            rows = used.setdefault(step, rows_at(problem, plan, step))
            if all(row.left_w >= least * row.shares.get(at, 0.0) - SLACK_W for row in rows):
                used[step] = [replace(row, left_w=row.left_w - least * row.shares.get(at, 0.0)) for row in rows]
                found.append(Settled(car=at, step=step, is_on=True))
                break
    return found


def _freed(rows: list[Row], wanted: dict[int, int]) -> list[Row]:
    """The rows without what the open cars are planned at."""
    return [
        replace(row, left_w=row.left_w + sum(row.shares.get(at, 0.0) * power for at, power in wanted.items()))
        for row in rows
    ]


def _laxity_ms(problem: Problem, plan: Plan, at: int, step: int) -> float:
    """How long it could still wait: the least first."""
    car, hours = problem.cars[at], problem.step_ms / HOUR_MS
    due_wh = sum(plan.car_w[at][step:]) * hours + plan.short_wh[at]
    return car.departs_ms - step * problem.step_ms - due_wh / max(1, car.power_max_w) * HOUR_MS


def _is_last(plan: Plan, at: int, step: int) -> bool:
    """What it gets in this step is the last that the plan has for it."""
    return not any(power > NOTHING_W for power in plan.car_w[at][step + 1 :])


def without(problem: Problem, plan: Plan) -> Plan:
    """The plan with every car that is between switched off there: for want of time, always possible."""
    hours = problem.step_ms / HOUR_MS
    cars, short, imported = [list(one) for one in plan.car_w], list(plan.short_wh), list(plan.import_w)
    for at in range(len(cars)):
        for step in range(problem.steps):
            if is_between(problem, plan, at, step):
                imported[step] -= cars[at][step]
                short[at] += round(cars[at][step] * hours)
                cars[at][step] = 0
    return replace(plan, car_w=tuple(map(tuple, cars)), short_wh=tuple(short), import_w=tuple(imported))
