"""The plan as a linear programme: cheapest import, lowest peak, every need by its departure.

    per step: import - export = load + batteries + cars - (solar - curtailed)      import <= limit + over
    per conductor of the connection point: a third of the rest + cars on it <= limit + over
    per battery: stored energy from step to step, within its band                  per feeder: W, and A per phase
    per car: energy until its departure + short = due (+ more, for a minimum)      peak >= import

Minimised: energy and peak at their prices, wear, and two penalties so high that nothing outbids them: `over` above
`short` above all money. So there is always a plan, and what cannot be is told in it. Currents follow from power at the
nominal voltage. Minimum currents are kept by rounding and solving again (`minimum`).
"""

from __future__ import annotations

from dataclasses import dataclass

from dgm.ems.planner.minimum import Settled, blocks, extend, is_between, least_w, settle, without
from dgm.ems.planner.problem import OPTIMAL, PHASES, Battery, Car, Feeder, Plan, Problem
from dgm.ems.planner.programme import FREE, Programme, Solver
from dgm.ems.planner.rows import conductor_w

KILO = 1000.0
"""The programme counts in kW and kWh: figures near 1 are what a solver handles best."""

SHORT_TIMES = 1_000.0
OVER_TIMES = 100_000.0
"""Penalties per MWh, as multiples of the highest price in the problem."""

LATER = 1e-3
"""Energy for a car at the end of the horizon costs so much more, in shares of the highest price: earlier if equal."""

HOUR_MS = 3_600_000


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
    programme = Programme()
    columns = _write(programme, problem)
    solver = programme.start(time_limit_s)
    found = solver.run()
    if isinstance(found, str):
        return Plan(utc_ms=problem.utc_ms, step_ms=problem.step_ms, status=found)
    plan = _read(problem, columns, found)
    return _with_minimum(problem, plan, columns, solver)


def _with_minimum(problem: Problem, plan: Plan, columns: _Columns, solver: Solver) -> Plan:
    """The plan rounded block by block; with no more time, without what is still between."""

    def again(settled: list[Settled]) -> Plan | None:
        _bind(problem, columns, solver, settled)
        found = solver.run()
        return None if isinstance(found, str) else _read(problem, columns, found)

    is_rounded = False
    for block in blocks(problem):
        if not _between(problem, plan, range(block.start, problem.steps)):
            break
        settled = settle(problem, plan, block)
        if not _between(problem, plan, block):
            _bind(problem, columns, solver, settled)
            continue
        better, is_rounded = again(settled), True
        if better is None:
            return without(problem, plan)
        plan = better
    more = extend(problem, plan) if is_rounded else []
    better = again(more) if more else None
    return plan if better is None or _between(problem, better, range(problem.steps)) else better


def _between(problem: Problem, plan: Plan, steps: range) -> bool:
    return any(is_between(problem, plan, at, step) for at in range(len(problem.cars)) for step in steps)


def _bind(problem: Problem, columns: _Columns, solver: Solver, settled: list[Settled]) -> None:
    chosen = [columns.car[one.car][one.step] for one in settled]
    cars = [problem.cars[one.car] for one in settled]
    pairs = list(zip(cars, settled, strict=True))
    low = [least_w(car, one.step, problem.step_ms) / KILO if one.is_on else 0.0 for car, one in pairs]
    high = [car.power_max_w * car.share(one.step, problem.step_ms) / KILO if one.is_on else 0.0 for car, one in pairs]
    if chosen:
        solver.bound(chosen, low, high)


def _write(programme: Programme, problem: Problem) -> _Columns:
    hours = problem.step_ms / HOUR_MS
    dearest = max(1.0, *(abs(price) for price in (*problem.import_price, problem.peak_price / 100)))
    # An export is never worth more than the import of the same step: power would be sent round and round.
    worth = [min(pair) for pair in zip(problem.export_price, problem.import_price, strict=True)]
    steps = range(problem.steps)
    imported = [programme.column(0.0, FREE, price * hours / KILO) for price in problem.import_price]
    exported = [
        programme.column(0.0, limit / KILO, -price * hours / KILO)
        for limit, price in zip(problem.export_max_w, worth, strict=True)
    ]
    # Sun that may be exported is not curtailed, even where nobody pays for it.
    waste = LATER * dearest * hours / KILO
    curtailed = [programme.column(0.0, solar / KILO, waste) for solar in problem.solar_w]
    over = [programme.column(0.0, FREE, OVER_TIMES * dearest * hours / KILO) for _ in steps]
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
    _conductors(programme, problem, columns)
    for feeder in problem.feeders:
        _feeder(programme, problem, feeder, columns)
    if problem.peak_price > 0:
        peak = programme.column(problem.peak_w / KILO, FREE, problem.peak_price / KILO)
        for step in steps:
            programme.row(0.0, FREE, [(peak, 1.0), (imported[step], -1.0)])
    return columns


def _battery(
    programme: Programme, battery: Battery, problem: Problem, hours: float
) -> tuple[list[int], list[int], list[int]]:
    steps = range(problem.steps)
    wear = problem.wear_price * hours / KILO / 2
    one_way = battery.efficiency_permille / 1000
    # Found outside of its band, it may stay there until it can come back: never a reason for having no plan.
    low, high = min(battery.min_wh, battery.soc_wh) / KILO, max(battery.max_wh, battery.soc_wh) / KILO
    charge = [programme.column(0.0, battery.charge_max_w / KILO, wear) for _ in steps]
    discharge = [programme.column(0.0, battery.discharge_max_w / KILO, wear) for _ in steps]
    left = problem.left_price / KILO
    stored = [programme.column(low, high, -left if step == problem.steps - 1 else 0.0) for step in steps]
    for step in steps:
        terms = [(stored[step], 1.0), (charge[step], -one_way * hours), (discharge[step], hours / one_way)]
        before = battery.soc_wh / KILO if step == 0 else 0.0
        if step:
            terms.append((stored[step - 1], -1.0))
        programme.row(before, before, terms)
    return charge, discharge, stored


def _car(programme: Programme, car: Car, problem: Problem, hours: float, dearest: float) -> tuple[list[int], int]:
    columns, terms = [], []
    for step in range(problem.steps):
        later = LATER * dearest * hours / KILO * step / problem.steps
        # A car that leaves within a step can use that part of it.
        column = programme.column(0.0, car.power_max_w * car.share(step, problem.step_ms) / KILO, later)
        columns.append(column)
        terms.append((column, hours))
    short = programme.column(0.0, car.due_wh / KILO, SHORT_TIMES * dearest / KILO)
    # The last step at the minimum may be more than what is due: the car ends it. Never a gain, at no price.
    more = programme.column(0.0, car.power_min_w * hours / KILO, 2 * dearest / KILO)
    programme.row(car.due_wh / KILO, car.due_wh / KILO, [*terms, (short, 1.0), (more, -1.0)])
    return columns, short


def _balance(programme: Programme, problem: Problem, columns: _Columns) -> None:
    for step in range(problem.steps):
        terms = [(columns.imported[step], 1.0), (columns.exported[step], -1.0), (columns.curtailed[step], -1.0)]
        terms += [(battery[step], -1.0) for battery in columns.charge]
        terms += [(battery[step], 1.0) for battery in columns.discharge]
        terms += [(car[step], -1.0) for car in columns.car]
        net = (problem.load_w[step] - problem.solar_w[step]) / KILO
        programme.row(net, net, terms)
        limit = problem.import_max_w[step] / KILO
        programme.row(-FREE, limit, [(columns.imported[step], 1.0), (columns.over[step], -1.0)])


def _conductors(programme: Programme, problem: Problem, columns: _Columns) -> None:
    """On each conductor a third of import less cars, what is unbalanced already, and the cars that stand on it."""
    for step, limit_ma in enumerate(problem.phase_max_ma):
        net = [(columns.imported[step], 1 / 3), (columns.exported[step], -1 / 3), (columns.over[step], -1.0)]
        for phase in PHASES:
            cars = [
                (column[step], (1 / len(car.phases) if phase in car.phases else 0.0) - 1 / 3)
                for car, column in zip(problem.cars, columns.car, strict=True)
            ]
            limit_w = conductor_w(limit_ma, problem) - problem.unbalance_w[phase - 1]
            placed = [(column, value) for column, value in cars if abs(value) > 1e-9]
            programme.row(-FREE, limit_w / KILO, [*net, *placed])


def _feeder(programme: Programme, problem: Problem, feeder: Feeder, columns: _Columns) -> None:
    for step in range(problem.steps):
        if feeder.power_w is not None:
            terms = [(columns.car[at][step], 1.0) for at in feeder.cars]
            terms += [(columns.charge[at][step], 1.0) for at in feeder.batteries]
            programme.row(-FREE, feeder.power_w[step] / KILO, terms)
        if feeder.current_ma is None:
            continue
        for phase in PHASES:
            here = [at for at in feeder.cars if phase in problem.cars[at].phases]
            terms = [(columns.car[at][step], 1.0 / len(problem.cars[at].phases)) for at in here]
            if terms:
                programme.row(-FREE, conductor_w(feeder.current_ma[step], problem) / KILO, terms)


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
