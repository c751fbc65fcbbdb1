"""The plan as a linear programme on HiGHS: cheapest import, lowest peak, every need by its departure.

    per step: import - export = load + batteries + cars - (solar - curtailed)      import <= limit + over
    per battery: stored energy from step to step, within its band                  per feeder: W, and A per phase
    per car: energy until its departure + short = due                              peak >= import

Minimised: energy and peak at their prices, wear, and two penalties so high that nothing outbids them: `over` above
`short` above all money. So there is always a plan, and what cannot be is told in it. Currents follow from power at the
nominal voltage; 0-or-6 A is the Arbiter's. The only file that names highspy.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any

import highspy
import numpy as np

from dgm.ems.planner.problem import OPTIMAL, PHASES, Battery, Car, Feeder, Plan, Problem

KILO = 1000.0
"""The programme counts in kW and kWh: figures near 1 are what a solver handles best."""

SHORT_TIMES = 1_000.0
OVER_TIMES = 100_000.0
"""Penalties per MWh, as multiples of the highest price in the problem."""

LATER = 1e-3
"""Energy for a car at the end of the horizon costs so much more, in shares of the highest price: earlier if equal."""

LEFT_TIMES = 0.8

HOUR_MS = 3_600_000


@dataclass(slots=True)
class _Programme:
    """Columns and rows as they are written down."""

    cost: list[float] = field(default_factory=list)
    low: list[float] = field(default_factory=list)
    high: list[float] = field(default_factory=list)
    row_low: list[float] = field(default_factory=list)
    row_high: list[float] = field(default_factory=list)
    lengths: list[int] = field(default_factory=list)
    columns: list[int] = field(default_factory=list)
    values: list[float] = field(default_factory=list)

    def column(self, low: float, high: float, cost: float = 0.0) -> int:
        self.cost.append(cost)
        self.low.append(low)
        self.high.append(high)
        return len(self.cost) - 1

    def row(self, low: float, high: float, terms: list[tuple[int, float]]) -> None:
        self.row_low.append(low)
        self.row_high.append(high)
        self.lengths.append(len(terms))
        for column, value in terms:
            self.columns.append(column)
            self.values.append(value)

    def solve(self, time_limit_s: float) -> list[float] | str:
        """Values of the columns, or why there are none."""
        model = highspy.HighsLp()
        model.num_col_, model.num_row_ = len(self.cost), len(self.lengths)
        model.col_cost_ = np.array(self.cost)
        model.col_lower_, model.col_upper_ = np.array(self.low), np.array(self.high)
        model.row_lower_, model.row_upper_ = np.array(self.row_low), np.array(self.row_high)
        model.a_matrix_.format_ = highspy.MatrixFormat.kRowwise
        model.a_matrix_.start_ = np.array([0, *accumulate(self.lengths)], dtype=np.int32)
        model.a_matrix_.index_ = np.array(self.columns, dtype=np.int32)
        model.a_matrix_.value_ = np.array(self.values)
        solver: Any = highspy.Highs()  # type: ignore[no-untyped-call,unused-ignore]
        solver.setOptionValue("output_flag", False)
        solver.setOptionValue("threads", 1)
        solver.setOptionValue("time_limit", time_limit_s)
        solver.passModel(model)
        solver.run()
        status = solver.getModelStatus()
        if status != highspy.HighsModelStatus.kOptimal:
            return f"not solved: {solver.modelStatusToString(status).lower()}"
        return list(solver.getSolution().col_value)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Columns:
    """Where each quantity stands, per battery or car and step."""

    charge: list[list[int]]
    discharge: list[list[int]]
    stored: list[list[int]]
    car: list[list[int]]
    short: list[int]
    imported: list[int]
    exported: list[int]
    curtailed: list[int]
    over: list[int]


def solve(problem: Problem, *, time_limit_s: float = 20.0) -> Plan:
    """The best plan; its status says so when there is none within the time."""
    programme = _Programme()
    columns = _write(programme, problem)
    found = programme.solve(time_limit_s)
    if isinstance(found, str):
        return Plan(utc_ms=problem.utc_ms, step_ms=problem.step_ms, status=found)
    return _read(problem, columns, found)


def _write(programme: _Programme, problem: Problem) -> _Columns:
    hours = problem.step_ms / HOUR_MS
    dearest = max(1.0, *(abs(price) for price in (*problem.import_price, problem.peak_price / 100)))
    # An export is never worth more than the import of the same step: power would be sent round and round.
    worth = [min(pair) for pair in zip(problem.export_price, problem.import_price, strict=True)]
    steps = range(problem.steps)
    imported = [programme.column(0.0, highspy.kHighsInf, price * hours / KILO) for price in problem.import_price]
    exported = [
        programme.column(0.0, limit / KILO, -price * hours / KILO)
        for limit, price in zip(problem.export_max_w, worth, strict=True)
    ]
    # Sun that may be exported is not curtailed, even where nobody pays for it.
    waste = LATER * dearest * hours / KILO
    curtailed = [programme.column(0.0, solar / KILO, waste) for solar in problem.solar_w]
    over = [programme.column(0.0, highspy.kHighsInf, OVER_TIMES * dearest * hours / KILO) for _ in steps]
    batteries = [_battery(programme, battery, problem, hours) for battery in problem.batteries]
    cars = [_car(programme, car, problem, hours, dearest) for car in problem.cars]
    columns = _Columns(
        charge=[one[0] for one in batteries],
        discharge=[one[1] for one in batteries],
        stored=[one[2] for one in batteries],
        car=[one[0] for one in cars],
        short=[one[1] for one in cars],
        imported=imported,
        exported=exported,
        curtailed=curtailed,
        over=over,
    )
    _balance(programme, problem, columns)
    for feeder in problem.feeders:
        _feeder(programme, problem, feeder, columns)
    if problem.peak_price > 0:
        peak = programme.column(problem.peak_w / KILO, highspy.kHighsInf, problem.peak_price / KILO)
        for step in steps:
            programme.row(0.0, highspy.kHighsInf, [(peak, 1.0), (imported[step], -1.0)])
    return columns


def _battery(
    programme: _Programme, battery: Battery, problem: Problem, hours: float
) -> tuple[list[int], list[int], list[int]]:
    steps = range(problem.steps)
    wear = problem.wear_price * hours / KILO / 2
    one_way = battery.efficiency_permille / 1000
    # Found outside of its band, it may stay there until it can come back: never a reason for having no plan.
    low, high = min(battery.min_wh, battery.soc_wh) / KILO, max(battery.max_wh, battery.soc_wh) / KILO
    charge = [programme.column(0.0, battery.charge_max_w / KILO, wear) for _ in steps]
    discharge = [programme.column(0.0, battery.discharge_max_w / KILO, wear) for _ in steps]
    # What is left at the end is worth a little less than the cheapest energy: it is not given away, and not hoarded.
    left = LEFT_TIMES * max(0, min(problem.import_price)) * one_way / KILO
    stored = [programme.column(low, high, -left if step == problem.steps - 1 else 0.0) for step in steps]
    for step in steps:
        terms = [(stored[step], 1.0), (charge[step], -one_way * hours), (discharge[step], hours / one_way)]
        before = battery.soc_wh / KILO if step == 0 else 0.0
        if step:
            terms.append((stored[step - 1], -1.0))
        programme.row(before, before, terms)
    return charge, discharge, stored


def _car(programme: _Programme, car: Car, problem: Problem, hours: float, dearest: float) -> tuple[list[int], int]:
    columns, terms = [], []
    for step in range(problem.steps):
        # A car that leaves within a step can use that part of it.
        share = min(1.0, max(0.0, (car.departs_ms - step * problem.step_ms) / problem.step_ms))
        later = LATER * dearest * hours / KILO * step / problem.steps
        column = programme.column(0.0, car.power_max_w * share / KILO, later)
        columns.append(column)
        terms.append((column, hours))
    short = programme.column(0.0, car.due_wh / KILO, SHORT_TIMES * dearest / KILO)
    programme.row(car.due_wh / KILO, car.due_wh / KILO, [*terms, (short, 1.0)])
    return columns, short


def _balance(programme: _Programme, problem: Problem, columns: _Columns) -> None:
    for step in range(problem.steps):
        terms = [(columns.imported[step], 1.0), (columns.exported[step], -1.0), (columns.curtailed[step], -1.0)]
        terms += [(battery[step], -1.0) for battery in columns.charge]
        terms += [(battery[step], 1.0) for battery in columns.discharge]
        terms += [(car[step], -1.0) for car in columns.car]
        net = (problem.load_w[step] - problem.solar_w[step]) / KILO
        programme.row(net, net, terms)
        limit = problem.import_max_w[step] / KILO
        programme.row(-highspy.kHighsInf, limit, [(columns.imported[step], 1.0), (columns.over[step], -1.0)])


def _feeder(programme: _Programme, problem: Problem, feeder: Feeder, columns: _Columns) -> None:
    for step in range(problem.steps):
        if feeder.power_w is not None:
            terms = [(columns.car[at][step], 1.0) for at in feeder.cars]
            programme.row(-highspy.kHighsInf, feeder.power_w / KILO, terms)
        if feeder.current_ma is None:
            continue
        for phase in PHASES:
            here = [at for at in feeder.cars if phase in problem.cars[at].phases]
            # kW on one conductor: the same programme in power, no currents.
            limit = feeder.current_ma * problem.nominal_voltage_mv / 1e9
            terms = [(columns.car[at][step], 1.0 / len(problem.cars[at].phases)) for at in here]
            if terms:
                programme.row(-highspy.kHighsInf, limit, terms)


def _read(problem: Problem, columns: _Columns, found: list[float]) -> Plan:
    def watts(column: int) -> int:
        return round(found[column] * KILO)

    return Plan(
        utc_ms=problem.utc_ms,
        step_ms=problem.step_ms,
        status=OPTIMAL,
        battery_ids=tuple(battery.asset_id for battery in problem.batteries),
        car_ids=tuple(car.asset_id for car in problem.cars),
        battery_w=tuple(
            tuple(watts(up) - watts(down) for up, down in zip(charge, discharge, strict=True))
            for charge, discharge in zip(columns.charge, columns.discharge, strict=True)
        ),
        soc_wh=tuple(tuple(watts(one) for one in stored) for stored in columns.stored),
        car_w=tuple(tuple(watts(one) for one in car) for car in columns.car),
        import_w=tuple(watts(into) - watts(out) for into, out in zip(columns.imported, columns.exported, strict=True)),
        curtailed_w=tuple(watts(one) for one in columns.curtailed),
        short_wh=tuple(watts(one) for one in columns.short),
        over_w=tuple(watts(one) for one in columns.over),
    )
