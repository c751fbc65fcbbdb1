"""Problems and plans as JSON bytes: what crosses to the process that solves, and back.

Only our own two processes speak it, and what comes back is checked all the same: a plan that does not fit its problem
is refused by name. Pure.
"""

from __future__ import annotations

import json
from dataclasses import asdict, fields
from typing import Any

from dgm.ems.planner.minimum import is_between
from dgm.ems.planner.problem import Battery, Car, Feeder, Plan, Problem

WATTS_MAX = 1_000_000_000_000


def problem_bytes(problem: Problem) -> bytes:
    """One line of JSON."""
    return json.dumps(asdict(problem), separators=(",", ":")).encode()


def read_problem(raw: bytes) -> Problem:
    """The problem of `problem_bytes`."""
    given = _tuples(json.loads(raw))
    given["batteries"] = tuple(Battery(**one) for one in given["batteries"])
    given["cars"] = tuple(Car(**one) for one in given["cars"])
    given["feeders"] = tuple(Feeder(**one) for one in given["feeders"])
    return Problem(**given)


def plan_bytes(plan: Plan) -> bytes:
    """One line of JSON."""
    return json.dumps(asdict(plan), separators=(",", ":")).encode()


def read_plan(raw: bytes) -> Plan | str:
    """The plan of `plan_bytes`, or what is wrong with the bytes."""
    try:
        given = _tuples(json.loads(raw))
    except ValueError as error:
        return f"no JSON: {error}"[:200]
    names = {one.name for one in fields(Plan)}
    if not isinstance(given, dict) or not {"utc_ms", "step_ms", "status"} <= set(given) <= names:
        return "not the fields of a plan"
    return Plan(**given)


def misfit(plan: Plan, problem: Problem) -> str | None:
    """What in a plan cannot be meant as an answer to this problem; None: it can be used."""
    if (plan.utc_ms, plan.step_ms) != (problem.utc_ms, problem.step_ms):
        return "it is the plan of another problem"
    if plan.status != "optimal":
        return plan.status if isinstance(plan.status, str) else "no status"
    ids = tuple(one.asset_id for one in problem.batteries), tuple(one.asset_id for one in problem.cars)
    if (plan.battery_ids, plan.car_ids) != ids:
        return "other batteries or cars than asked for"
    steps = problem.steps
    batteries, cars = [*plan.battery_w, *plan.soc_wh], list(plan.car_w)
    if len(plan.battery_w) != len(ids[0]) or len(plan.soc_wh) != len(ids[0]) or len(cars) != len(ids[1]):
        return "a row for each battery and car is missing"
    rows: list[Any] = [*batteries, *cars, plan.import_w, plan.curtailed_w, plan.over_w]
    if any(not isinstance(row, tuple) or len(row) != steps for row in rows):
        return f"a row without {steps} steps"
    values = [value for row in (*rows, plan.short_wh) for value in row]
    if any(not isinstance(value, int) or isinstance(value, bool) or abs(value) > WATTS_MAX for value in values):
        return "a value that is no whole number of W or Wh"
    for battery, powers in zip(problem.batteries, plan.battery_w, strict=True):
        if any(not -battery.discharge_max_w - 1 <= power <= battery.charge_max_w + 1 for power in powers):
            return f"more than {battery.asset_id} can do"
    for car, powers in zip(problem.cars, plan.car_w, strict=True):
        if any(not -1 <= power <= car.power_max_w + 1 for power in powers):
            return f"more than {car.asset_id} can take"
    for at, car in enumerate(problem.cars):
        if any(is_between(problem, plan, at, step) for step in range(steps)):
            return f"less than the minimum of {car.asset_id}"
    return None if len(plan.short_wh) == len(cars) else "a shortage for each car is missing"


def _tuples(value: Any) -> Any:
    if isinstance(value, list):
        return tuple(_tuples(one) for one in value)
    return {key: _tuples(one) for key, one in value.items()} if isinstance(value, dict) else value
