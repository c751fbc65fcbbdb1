"""A plan in words and figures for those who ask: GetPlan, and the horizon of GetFlexibility.

    PlanDesk ──> steps, cars, age, lease, inputs          ──> per step: how much less or more if nothing is done before

Tells what was planned; plans nothing. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator

from dgm.api.ems.v1.plan_pb2 import FlexibilityStep, GetPlanResponse, PlannedCar, PlanStep
from dgm.api.ems.v1.policy_pb2 import FlowWish, ListFlowWishesResponse
from dgm.ems.planner.blockers import short_cars
from dgm.ems.planner.desk import PlanDesk
from dgm.ems.planner.problem import PHASES, Plan, Problem
from dgm.ems.planner.rows import phase_w
from dgm.machine import Now

NO_PLANNER = "site.yaml lists no policy `planner` (ems.policies)"
HOUR_MS = 3_600_000
GROSS_W_MAX = 500_000_000
"""More is no bound."""


def plan_message(desk: PlanDesk | None, now: Now) -> GetPlanResponse:
    """The newest plan, in force or not."""
    if desk is None:
        return GetPlanResponse(reason=NO_PLANNER)
    newest, live = desk.newest(), desk.live(now)
    answer = GetPlanResponse(in_force=live is not None, reason="" if live is not None else _why_none(desk))
    if newest is None:
        return answer
    plan, problem = newest
    answer.made_utc_ms, answer.age_ms, answer.solve_us = plan.utc_ms, desk.age_ms(now), plan.solve_us
    answer.lease_ms = max(0, desk.lease_ms - desk.age_ms(now)) if live is not None else 0
    answer.steps.extend(_step(plan, problem, step) for step in range(problem.steps))
    answer.cars.extend(_cars(plan, problem, now))
    answer.inputs.extend(_inputs(problem))
    return answer


def horizon(desk: PlanDesk | None, now: Now) -> tuple[list[FlexibilityStep], str]:
    """The steps to come, or why there are none."""
    live = None if desk is None else desk.live(now)
    newest = None if desk is None else desk.newest()
    if desk is None or live is None or newest is None:
        return [], NO_PLANNER if desk is None else _why_none(desk)
    plan, problem = newest
    first = plan.step_at(now.utc_ms) or 0
    return [_flexible(plan, problem, step) for step in range(first, problem.steps)], ""


def flow_wishes(desk: PlanDesk | None, now: Now) -> ListFlowWishesResponse:
    """What the plan in force draws for cars, by departure: energy that is still to come, and its highest power."""
    live = None if desk is None else desk.live(now)
    newest = None if desk is None else desk.newest()
    if desk is None or live is None or newest is None:
        return ListFlowWishesResponse(reason=NO_PLANNER if desk is None else _why_none(desk))
    plan, problem = newest
    first, hours = plan.step_at(now.utc_ms) or 0, plan.step_ms / HOUR_MS
    answer = ListFlowWishesResponse()
    for departs_ms in sorted({car.departs_ms for car in problem.cars}):
        chosen = [at for at, car in enumerate(problem.cars) if car.departs_ms == departs_ms]
        powers = [sum(plan.car_w[at][step] for at in chosen) for step in range(first, problem.steps)]
        # What does not fit is wished for too: a reservation may be what makes room for it.
        energy_wh = round(sum(powers) * hours) + sum(plan.short_wh[at] for at in chosen)
        power_w = max([*powers, 0]) or sum(problem.cars[at].power_max_w for at in chosen)
        if energy_wh <= 0 or plan.utc_ms + departs_ms <= now.utc_ms:
            continue
        begin = next((first + at for at, power in enumerate(powers) if power > 0), first)
        answer.wishes.append(
            FlowWish(
                start_utc_ms=max(now.utc_ms, plan.utc_ms + begin * plan.step_ms),
                end_utc_ms=plan.utc_ms + departs_ms,
                energy_wh=energy_wh,
                power_w=power_w,
                asset_ids=[problem.cars[at].asset_id for at in chosen],
            )
        )
    return answer


def _why_none(desk: PlanDesk) -> str:
    return desk.trouble or "the newest plan is older than its lease"


def _step(plan: Plan, problem: Problem, step: int) -> PlanStep:
    gross_w = _gross_max_w(problem, step)
    return PlanStep(
        start_utc_ms=plan.utc_ms + step * plan.step_ms,
        duration_ms=plan.step_ms,
        load_w=problem.load_w[step],
        solar_w=problem.solar_w[step],
        curtailed_w=plan.curtailed_w[step],
        battery_w=sum(powers[step] for powers in plan.battery_w),
        soc_wh=sum(stored[step] for stored in plan.soc_wh),
        cars_w=sum(powers[step] for powers in plan.car_w),
        import_w=plan.import_w[step],
        import_max_w=problem.import_max_w[step],
        over_w=plan.over_w[step],
        price_per_mwh=problem.import_price[step],
        gross_max_w=gross_w,
        phase_w=[round(phase_w(problem, plan, step, phase)) for phase in PHASES] if problem.phase_max_ma else (),
    )


def _gross_max_w(problem: Problem, step: int) -> int | None:
    """Of the whole site: the feeder that has all cars and batteries below it, and no currents."""
    whole = (len(problem.cars), len(problem.batteries))
    found = [
        feeder.power_w[step]
        for feeder in problem.feeders
        if feeder.power_w is not None
        and feeder.current_ma is None
        and (len(feeder.cars), len(feeder.batteries)) == whole
        and feeder.power_w[step] < GROSS_W_MAX
    ]
    return min(found, default=None)


def _cars(plan: Plan, problem: Problem, now: Now) -> Iterator[PlannedCar]:
    step, why = plan.step_at(now.utc_ms), short_cars(problem, plan)
    for at, (car, powers, short_wh) in enumerate(zip(problem.cars, plan.car_w, plan.short_wh, strict=True)):
        yield PlannedCar(
            asset_id=car.asset_id,
            due_wh=car.due_wh,
            departure_utc_ms=problem.utc_ms + car.departs_ms,
            short_wh=short_wh,
            now_w=0 if step is None else powers[step],
            min_w=car.power_min_w,
            short_reason=why.get(at, ""),
        )


def _inputs(problem: Problem) -> Iterator[str]:
    hours = problem.steps * problem.step_ms / HOUR_MS
    yield f"{problem.steps} steps of {problem.step_ms // 60_000} min, {hours:g} h"
    yield f"load {min(problem.load_w) / 1000:g}..{max(problem.load_w) / 1000:g} kW, by persistence"
    yield f"PV up to {max(problem.solar_w) / 1000:g} kW, by clear sky and measurement or by persistence"
    yield f"prices {min(problem.import_price)}..{max(problem.import_price)} per MWh"
    yield f"import limit {min(problem.import_max_w) / 1000:g}..{max(problem.import_max_w) / 1000:g} kW"
    for battery in problem.batteries:
        band = f"{battery.min_wh / 1000:g}..{battery.max_wh / 1000:g} kWh"
        yield f"{battery.asset_id}: {battery.soc_wh / 1000:g} kWh stored, may go {band}"
    yield f"{len(problem.cars)} cars with a need of {sum(car.due_wh for car in problem.cars) / 1000:g} kWh"


def _flexible(plan: Plan, problem: Problem, step: int) -> FlexibilityStep:
    hours = plan.step_ms / HOUR_MS
    down_w, up_w = 0.0, 0.0
    for battery, powers, stored in zip(problem.batteries, plan.battery_w, plan.soc_wh, strict=True):
        # What is stored after the step is what it may use more, or fill more, in it.
        down_w += min(powers[step] + battery.discharge_max_w, max(0, stored[step] - battery.min_wh) / hours)
        up_w += min(battery.charge_max_w - powers[step], max(0, battery.max_wh - stored[step]) / hours)
    for car, powers in zip(problem.cars, plan.car_w, strict=True):
        later = range(step + 1, min(problem.steps, -(-car.departs_ms // plan.step_ms)))
        room_wh = sum(car.power_max_w - powers[at] for at in later) * hours
        down_w += min(powers[step], room_wh / hours)
        here_w = car.power_max_w if step * plan.step_ms < car.departs_ms else 0
        up_w += min(max(0, here_w - powers[step]), sum(powers[at] for at in later))
    room_w = problem.import_max_w[step] - plan.import_w[step]
    return FlexibilityStep(
        start_utc_ms=plan.utc_ms + step * plan.step_ms,
        duration_ms=plan.step_ms,
        import_w=plan.import_w[step],
        down_w=max(0, int(min(down_w, plan.import_w[step] + problem.export_max_w[step]))),
        up_w=max(0, int(min(up_w, room_w))),
    )
