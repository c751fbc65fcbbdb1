"""When a plan is asked for, what it is made from, how long it counts, and what becomes of late and wrong answers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from ems_examples import E1, E2, at, demo_config
from policy_examples import TOPOLOGY, evse, picture

from dgm.api.config.v1.config_pb2 import DgmConfig
from dgm.api.ems.v1.ems_pb2 import Quantity
from dgm.ems.limits import Keep
from dgm.ems.planner.compose import ONE_PRICE, STEP_MS, Prices
from dgm.ems.planner.describe import horizon, plan_message
from dgm.ems.planner.desk import LOAD_TABLE, PlanDesk, Settings
from dgm.ems.planner.problem import Plan, Problem
from dgm.ems.planner.solve import solve
from dgm.ems.planner.wire import misfit, plan_bytes, problem_bytes, read_plan, read_problem
from dgm.ems.snapshot import LimitView, Planned, Price, Snapshot

HOUR_MS = 3_600_000
NOW = at(0)


def desk_of(config: DgmConfig | None = None, **settings: object) -> PlanDesk:
    given = {"horizon_h": 2, **settings}
    return PlanDesk(config or demo_config(), TOPOLOGY, Settings(**given))  # type: ignore[arg-type]


def due(wh: int, hours: float) -> Planned:
    departure_ms = NOW.utc_ms + round(hours * HOUR_MS)
    return Planned(due_wh=wh, departure_utc_ms=departure_ms, now_ma=0, is_promised=True)


def asked(desk: PlanDesk, snapshot: Snapshot) -> Problem:
    desk.see(snapshot, curtailed=False)
    problem = desk.ask(snapshot.now)
    assert problem is not None
    return problem


def limit(bound: int, quantity: Quantity, *, start_h: float, end_h: float) -> LimitView:
    return LimitView(
        id="l",
        source="utility:der",
        circuit_index=TOPOLOGY.root.index,
        asset_index=None,
        quantity=quantity,
        bound=bound,
        start_utc_ms=NOW.utc_ms + round(start_h * HOUR_MS),
        end_utc_ms=NOW.utc_ms + round(end_h * HOUR_MS),
        is_pending=start_h > 0,
    )


def test_a_problem_holds_what_is_seen_with_the_margin_of_the_connection_kept_free() -> None:
    problem = asked(desk_of(), picture(net_w=12_000, solar_w=3_000))
    assert problem.steps == 8
    assert problem.load_w == (15_000,) * 8
    assert problem.import_max_w[0] == 99_000
    assert problem.export_max_w[0] == 50_000
    assert problem.import_price == (ONE_PRICE,) * 8
    [battery] = problem.batteries
    assert (battery.soc_wh, battery.min_wh, battery.max_wh) == (20_000, 8_000, 36_000)
    assert (battery.charge_max_w, battery.discharge_max_w) == (15_000, 20_000)


def test_limits_to_come_bind_the_steps_that_they_touch() -> None:
    quantity = Quantity.QUANTITY_NET_IMPORT
    event = [limit(30_000, quantity, start_h=0.6, end_h=1.0), limit(5_000, quantity, start_h=9, end_h=10)]
    problem = asked(desk_of(), picture(limits=event))
    assert problem.import_max_w == (99_000, 99_000, 30_000, 30_000, 99_000, 99_000, 99_000, 99_000)


def test_cars_with_a_need_are_planned_and_others_are_load_for_an_hour() -> None:
    views = [evse(E1, power_w=7_000, planned=due(10_000, 1.5)), evse(E2, power_w=3_000)]
    problem = asked(desk_of(), picture(net_w=10_000, evses=views))
    [car] = problem.cars
    assert (car.asset_id, car.due_wh, car.departs_ms, car.power_max_w) == ("e1", 10_000, 5_400_000, 22_080)
    assert problem.load_w == (3_000,) * 4 + (0,) * 4
    [feeder] = problem.feeders
    assert (feeder.circuit_id, feeder.cars, feeder.current_ma) == ("garage", (0,), (63_000,) * 8)


def test_prices_are_those_of_each_step_and_the_paid_peak_is_the_highest_seen() -> None:
    prices = [
        Price(start_utc_ms=NOW.utc_ms, end_utc_ms=NOW.utc_ms + HOUR_MS, per_mwh=80, source="api:x"),
        Price(start_utc_ms=NOW.utc_ms + HOUR_MS, end_utc_ms=NOW.utc_ms + 9 * HOUR_MS, per_mwh=300, source="api:x"),
    ]
    seen = picture(prices=prices)
    history = seen.history.with_mean(NOW.utc_ms - HOUR_MS, 44_000).with_mean(NOW.utc_ms - 40 * 24 * HOUR_MS, 90_000)
    desk = desk_of(prices=Prices(peak_price=10_000, peak_w=30_000))
    problem = asked(desk, replace(seen, history=history))
    assert problem.import_price == (80,) * 4 + (300,) * 4
    assert (problem.peak_w, problem.peak_price) == (44_000, 10_000)


def test_a_battery_whose_charge_is_not_seen_is_left_out() -> None:
    assert asked(desk_of(), picture(battery=(0, None))).batteries == ()


def test_quarter_means_are_journaled_and_make_the_load_of_tomorrow() -> None:
    desk, journal = desk_of(), []
    for mono_ms in range(0, 32 * 60_000, 10_000):
        journal += desk.see(picture(mono_ms, net_w=20_000), curtailed=False)
    kept = [one for one in journal if isinstance(one, Keep) and one.table == LOAD_TABLE]
    assert [one.record for one in kept] == [b"20000", b"20000"]
    again = desk_of()
    assert again.restore({LOAD_TABLE: {one.id: one.record for one in kept} | {"x": b"?"}})[0].id == "x"
    tomorrow = picture(0, utc_ms=int(kept[0].id) + 24 * HOUR_MS, net_w=None)
    again.see(tomorrow, curtailed=False)
    assert again._outlook(tomorrow).load_w[0] == 20_000


def test_pv_is_forecast_by_the_sky_where_the_site_says_where_it_is() -> None:
    config = demo_config()
    config.site.latitude_udeg, config.site.longitude_udeg = 52_500_000, 13_400_000
    noon = picture(0, utc_ms=1_782_000_000_000 // 86_400_000 * 86_400_000 + 11 * HOUR_MS, solar_w=20_000, net_w=0)
    problem = asked(desk_of(config), noon)
    assert problem.solar_w[0] == pytest.approx(20_000, rel=0.05)
    assert asked(desk_of(), noon).solar_w[0] == 0, "nothing is known of other days yet"


def test_one_question_at_a_time_and_the_next_after_the_interval() -> None:
    desk = desk_of(interval_s=300)
    problem = asked(desk, picture(0))
    assert desk.ask(at(1000)) is None
    assert desk.take(solve(problem), at(2000))
    assert desk.ask(at(299_000)) is None
    assert desk.ask(at(300_000)) is not None


def test_without_the_meter_nothing_is_asked_and_it_says_so() -> None:
    desk = desk_of()
    desk.see(picture(net_w=None), curtailed=False)
    assert desk.ask(NOW) is None
    assert "meter" in desk.trouble


def test_a_plan_counts_for_three_intervals() -> None:
    desk = desk_of(interval_s=60)
    desk.take(solve(asked(desk, picture(0))), at(1000))
    assert desk.live(at(1000 + 179_000)) is not None
    assert desk.live(at(1000 + 180_000)) is None
    answer = plan_message(desk, at(1000 + 180_000))
    assert not answer.in_force
    assert answer.reason == "the newest plan is older than its lease"
    assert len(answer.steps) == 8


def test_an_answer_that_never_comes_is_given_up_and_asked_again() -> None:
    desk = desk_of(interval_s=60, deadline_s=20)
    problem = asked(desk, picture(0))
    assert desk.ask(at(24_999)) is None
    asked(desk, picture(60_000))
    assert desk.counts["late"] == 1
    assert desk.take(solve(problem), at(61_000)) is False, "an answer to the question before"
    assert "another problem" in desk.trouble


def test_a_failed_answer_leaves_the_plan_before_in_force_until_its_lease_ends() -> None:
    desk = desk_of(interval_s=60)
    desk.take(solve(asked(desk, picture(0))), at(1000))
    assert desk.ask(at(60_000)) is not None
    assert desk.take("not solved within 20 s", at(80_000)) is False
    assert desk.live(at(81_000)) is not None
    assert desk.counts["failed"] == 1
    assert desk.take("a stray one", at(81_000)) is False
    assert desk.counts["stray"] == 1


BREAKS: dict[str, Callable[[Plan], Plan]] = {
    "another problem": lambda plan: replace(plan, utc_ms=1),
    "other batteries": lambda plan: replace(plan, battery_ids=("b9",)),
    "is missing": lambda plan: replace(plan, battery_w=()),
    "a row without 8 steps": lambda plan: replace(plan, import_w=plan.import_w[:-1]),
    "no whole number": lambda plan: replace(plan, import_w=(float("nan"), *plan.import_w[1:])),  # type: ignore[arg-type]
    "more than b1 can do": lambda plan: replace(plan, battery_w=((99_000, *plan.battery_w[0][1:]),)),
    "more than e1 can take": lambda plan: replace(plan, car_w=((-5, *plan.car_w[0][1:]),)),
    "a shortage": lambda plan: replace(plan, short_wh=()),
    "not solved": lambda plan: replace(plan, status="not solved: infeasible"),
}


@pytest.mark.parametrize("words", BREAKS)
def test_a_plan_that_does_not_fit_its_problem_is_refused_by_name(words: str) -> None:
    desk = desk_of()
    problem = asked(desk, picture(evses=[evse(E1, planned=due(10_000, 1.5)), evse(E2)]))
    good = solve(problem)
    assert misfit(good, problem) is None
    assert words in str(misfit(BREAKS[words](good), problem))
    assert not desk.take(BREAKS[words](good), at(1000))
    assert desk.live(at(1000)) is None


def test_problems_and_plans_cross_as_json_unchanged() -> None:
    problem = asked(desk_of(), picture(evses=[evse(E1, planned=due(10_000, 1.5)), evse(E2)]))
    assert read_problem(problem_bytes(problem)) == problem
    plan = solve(problem)
    assert read_plan(plan_bytes(plan)) == plan


@pytest.mark.parametrize("raw", [b"", b"{", b"[]", b'{"status": "optimal"}', b'{"utc_ms": 0, "x": 1}', b"null"])
def test_what_is_no_plan_is_told_in_words(raw: bytes) -> None:
    assert isinstance(read_plan(raw), str)


def test_a_plan_is_told_step_by_step_with_its_inputs() -> None:
    desk = desk_of()
    views = [evse(E1, planned=due(60_000, 1)), evse(E2)]
    desk.take(solve(asked(desk, picture(net_w=10_000, evses=views))), at(1000))
    answer = plan_message(desk, at(1000))
    assert (answer.in_force, answer.age_ms, answer.lease_ms) == (True, 0, 900_000)
    [car] = answer.cars
    assert (car.asset_id, car.short_wh) == ("e1", 60_000 - 22_080)
    assert car.now_w == 22_080
    for step in answer.steps:
        balance = step.load_w + step.battery_w + step.cars_w - step.solar_w + step.curtailed_w
        assert step.import_w == pytest.approx(balance, abs=3)
    assert any("1 cars with a need of 60 kWh" in line for line in answer.inputs)


def test_the_horizon_of_flexibility_comes_from_the_plan_and_keeps_its_limits() -> None:
    desk = desk_of()
    views = [evse(E1, planned=due(20_000, 2)), evse(E2)]
    desk.take(solve(asked(desk, picture(net_w=10_000, evses=views))), at(1000))
    steps, reason = horizon(desk, at(STEP_MS))
    assert reason == ""
    assert len(steps) == 7
    assert all(step.import_w + step.up_w <= 99_000 for step in steps)
    assert all(step.import_w - step.down_w >= -50_000 for step in steps)
    assert steps[0].down_w >= 20_000, "the battery is half full"
    assert horizon(None, NOW)[1].startswith("site.yaml lists no policy")
