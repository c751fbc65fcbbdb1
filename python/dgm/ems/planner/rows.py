"""What still has room in one step of a plan, row by row and by name: for those who round, and for those who ask why.

    Problem + Plan ──rows_at(step)──> Row(name, left W, share of each car's power that counts in it)

Pure; W as in the plan.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from dgm.ems.planner.problem import PHASES, Feeder, Plan, Problem


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One bound in one step. left_w: below 0 where it is broken. shares: of a car's power, by its place."""

    name: str
    left_w: float
    shares: Mapping[int, float]


def rows_at(problem: Problem, plan: Plan, step: int) -> list[Row]:
    """Every row that a car can be bounded by."""
    cars = {at: float(powers[step]) for at, powers in enumerate(plan.car_w)}
    everyone = dict.fromkeys(cars, 1.0)
    left_w = problem.import_max_w[step] - plan.import_w[step]
    found = [Row(name="the import limit of the connection point", left_w=left_w, shares=everyone)]
    found += _conductors(problem, plan, step, cars)
    for feeder in problem.feeders:
        found += _feeder(problem, plan, step, feeder, cars)
    return found


def phase_w(problem: Problem, plan: Plan, step: int, phase: int) -> float:
    """W planned on one conductor of the connection point: a third of all that nobody can place, and the cars on it."""
    placed_w = sum(powers[step] for powers in plan.car_w)
    here_w = sum(
        powers[step] / len(car.phases)
        for car, powers in zip(problem.cars, plan.car_w, strict=True)
        if phase in car.phases
    )
    return (plan.import_w[step] - placed_w) / 3 + problem.unbalance_w[phase - 1] + here_w


def _conductors(problem: Problem, plan: Plan, step: int, cars: Mapping[int, float]) -> Iterator[Row]:
    if not problem.phase_max_ma:
        return
    limit_w = conductor_w(problem.phase_max_ma[step], problem)
    for phase in PHASES:
        left_w = limit_w - phase_w(problem, plan, step, phase)
        yield Row(name=f"L{phase} of the connection point", left_w=left_w, shares=_on(phase, problem, cars))


def _feeder(problem: Problem, plan: Plan, step: int, feeder: Feeder, cars: Mapping[int, float]) -> Iterator[Row]:
    if feeder.power_w is not None:
        charge_w = sum(max(0, plan.battery_w[at][step]) for at in feeder.batteries)
        used_w = sum(cars[at] for at in feeder.cars) + charge_w
        name = f"circuit {feeder.circuit_id}"
        yield Row(name=name, left_w=feeder.power_w[step] - used_w, shares=dict.fromkeys(feeder.cars, 1.0))
    if feeder.current_ma is not None:
        limit_w = conductor_w(feeder.current_ma[step], problem)
        for phase in PHASES:
            shares = _on(phase, problem, feeder.cars)
            left_w = limit_w - sum(cars[at] * share for at, share in shares.items())
            yield Row(name=f"L{phase} of circuit {feeder.circuit_id}", left_w=left_w, shares=shares)


def _on(phase: int, problem: Problem, cars: Mapping[int, float] | tuple[int, ...]) -> dict[int, float]:
    return {at: 1 / len(problem.cars[at].phases) for at in cars if phase in problem.cars[at].phases}


def conductor_w(current_ma: int, problem: Problem) -> float:
    """W on one conductor at the nominal voltage: the same programme in power, no currents."""
    return current_ma * problem.nominal_voltage_mv / 1e6
