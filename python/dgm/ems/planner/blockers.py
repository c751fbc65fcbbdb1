"""Why a need does not fit before its departure, by name: told when the plan is made, hours before the car leaves.

    Problem + Plan ──the steps in which the car could draw more──> the rows without room there, the most frequent first

Pure; words for people.
"""

from __future__ import annotations

from collections import Counter

from dgm.ems.planner.minimum import SHORT_WH_MIN, least_w
from dgm.ems.planner.problem import Plan, Problem
from dgm.ems.planner.rows import rows_at

TIGHT_W = 50
NAMES_MAX = 2

NO_TIME = "the time left and the power of the car or its EVSE"


def short_cars(problem: Problem, plan: Plan) -> dict[int, str]:
    """Why each car that is short is, by its place."""
    short = [at for at, missing_wh in enumerate(plan.short_wh) if missing_wh >= SHORT_WH_MIN]
    if not short:
        return {}
    rows = {step: rows_at(problem, plan, step) for step in range(problem.steps)}
    found = {}
    for at in short:
        car = problem.cars[at]
        open_steps = [
            step for step in rows if plan.car_w[at][step] < car.power_max_w * car.share(step, problem.step_ms) - TIGHT_W
        ]
        names: Counter[str] = Counter()
        for step in open_steps:
            # A car that stands still needs its minimum at once.
            needed_w = TIGHT_W if plan.car_w[at][step] else max(TIGHT_W, least_w(car, step, problem.step_ms))
            tight = [row for row in rows[step] if at in row.shares and row.left_w < needed_w * row.shares[at]]
            names.update(row.name for row in sorted(tight, key=lambda row: row.left_w)[:1])
        found[at] = ", ".join(name for name, _ in names.most_common(NAMES_MAX)) or NO_TIME
    return found
