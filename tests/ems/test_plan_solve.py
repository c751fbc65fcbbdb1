"""The linear programme against problems reckoned by hand, by brute force, and against its own rules."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from planner_examples import BATTERY, HOUR_MS, car, feeder, problem

from dgm.ems.planner.problem import Plan, Problem
from dgm.ems.planner.solve import solve

CHEAP, DEAR = 50, 300


def test_a_battery_buys_cheap_and_gives_when_it_is_dear() -> None:
    empty = replace(BATTERY, soc_wh=10_000)
    plan = solve(problem(load_w=[5_000] * 4, price=[CHEAP, CHEAP, DEAR, DEAR], batteries=(empty,)))
    assert plan.is_optimal
    assert sum(plan.battery_w[0][:2]) == 10_000
    assert plan.battery_w[0][2:] == (-5_000, -5_000)
    assert plan.import_w[2:] == (0, 0)


def test_a_battery_does_not_move_for_less_than_its_losses_and_wear() -> None:
    lossy = replace(BATTERY, efficiency_permille=900, soc_wh=10_000)
    plan = solve(problem(load_w=[5_000] * 4, price=[100, 100, 140, 140], batteries=(lossy,)))
    assert plan.battery_w[0] == (0, 0, 0, 0)
    worth_it = solve(problem(load_w=[5_000] * 4, price=[100, 100, 150, 150], batteries=(lossy,)))
    assert worth_it.battery_w[0][2:] == (-5_000, -5_000)


def test_surplus_of_the_sun_is_stored_for_the_evening() -> None:
    plan = solve(problem(load_w=[2_000, 2_000, 8_000, 8_000], solar_w=[8_000, 8_000, 0, 0], batteries=(BATTERY,)))
    assert plan.battery_w[0] == (6_000, 6_000, -8_000, -8_000)
    assert plan.curtailed_w == (0, 0, 0, 0)


def test_what_may_not_be_exported_and_cannot_be_stored_is_curtailed() -> None:
    full = replace(BATTERY, soc_wh=40_000)
    plan = solve(problem(load_w=[2_000], solar_w=[8_000], export_max_w=1_000, batteries=(full,)))
    assert (plan.curtailed_w, plan.import_w) == ((5_000,), (-1_000,))


def test_a_peak_is_shaved_to_the_level_that_the_energy_carries() -> None:
    load_w = [10_000, 30_000, 30_000, 10_000]
    shaved = solve(problem(load_w=load_w, batteries=(BATTERY,), peak_price=100_000))
    # 10 kWh above the reserve and one hour of 10 kW that may be charged before: 2 x 10 kW.
    assert max(shaved.import_w) == 20_000
    paid = solve(problem(load_w=load_w, batteries=(BATTERY,), peak_price=100_000, peak_w=30_000))
    assert max(paid.import_w) == 30_000


def test_cars_are_filled_when_energy_is_cheap_and_by_their_departure() -> None:
    early, late = car("e1", due_wh=11_000, hours=2), car("e2", due_wh=11_000, hours=4)
    plan = solve(problem(load_w=[0] * 4, price=[DEAR, DEAR, CHEAP, CHEAP], cars=(early, late)))
    assert sum(plan.car_w[0][:2]) == 11_000
    assert plan.car_w[1][:2] == (0, 0)
    assert plan.short_wh == (0, 0)


def test_cars_charge_early_where_nothing_is_gained_by_waiting() -> None:
    plan = solve(problem(load_w=[0] * 4, cars=(car(due_wh=11_000, hours=4),)))
    assert plan.car_w[0] == (11_000, 0, 0, 0)


def test_a_car_that_leaves_within_a_step_gets_only_that_part_of_it() -> None:
    plan = solve(problem(load_w=[0] * 2, cars=(car(due_wh=22_000, hours=1.5),)))
    assert plan.car_w[0] == (11_000, 5_500)
    assert plan.short_wh == (5_500,)


def test_a_promise_that_cannot_be_kept_is_told_with_what_is_missing() -> None:
    plan = solve(problem(load_w=[0] * 2, cars=(car(due_wh=50_000, hours=2),)))
    assert plan.is_optimal
    assert plan.short_wh == (28_000,)


def test_a_need_is_worth_any_price_and_any_peak_but_no_limit() -> None:
    dear = problem(load_w=[0, 0], price=[DEAR, DEAR], peak_price=1_000_000, cars=(car(due_wh=11_000, hours=1),))
    assert solve(dear).short_wh == (0,)
    tight = solve(replace(dear, import_max_w=(4_000, 4_000)))
    assert (tight.short_wh, max(tight.import_w), tight.over_w) == ((7_000,), 4_000, (0, 0))


def test_load_beyond_the_limit_is_told_and_everything_else_still_planned() -> None:
    empty = replace(BATTERY, soc_wh=10_000)
    plan = solve(problem(load_w=[30_000, 5_000], import_max_w=20_000, batteries=(empty,)))
    assert plan.over_w == (10_000, 0)


def test_feeders_bound_cars_in_watts_and_in_amps_per_phase() -> None:
    three, single = car("e1", due_wh=11_000, hours=1), car("e2", due_wh=7_000, hours=1, power_w=7_000, phases=(1,))
    by_power = solve(problem(load_w=[0], cars=(three, single), feeders=(feeder([0, 1], power_w=9_000),)))
    assert sum(one[0] for one in by_power.car_w) == 9_000
    by_phase = solve(problem(load_w=[0], cars=(three, single), feeders=(feeder([0, 1], current_ma=20_000),)))
    on_l1 = by_phase.car_w[0][0] / 3 / 230 + by_phase.car_w[1][0] / 230
    assert on_l1 == pytest.approx(20, abs=0.05)
    assert by_phase.car_w[0][0] > 10_900, "what shares the conductor gives way, not the car that uses three"


def test_a_battery_found_below_its_reserve_is_no_reason_for_no_plan() -> None:
    plan = solve(problem(load_w=[5_000] * 2, batteries=(replace(BATTERY, soc_wh=4_000),)))
    assert plan.is_optimal
    assert all(power >= 0 for power in plan.battery_w[0])


def test_negative_prices_do_not_send_power_round_and_round() -> None:
    hours = problem(load_w=[1_000] * 2, price=[-50, -50], export_max_w=50_000, import_max_w=60_000)
    plan = solve(replace(hours, export_price=(100, 100)))
    assert plan.import_w == (1_000, 1_000)


def test_no_time_means_no_plan_and_says_so() -> None:
    many = tuple(car(f"e{number}", due_wh=20_000, hours=20 + number / 9, power_w=7_000) for number in range(60))
    slow = problem(load_w=[0] * 48, price=[100 + step % 7 for step in range(48)], import_max_w=90_000, cars=many)
    plan = solve(slow, time_limit_s=1e-9)
    assert not plan.is_optimal
    assert plan.status.startswith("not solved: ")
    assert plan.car_w == ()


def brute_force(example: Problem, *, step_w: int) -> float:
    """The cheapest of all sequences of battery power on a grid, its stored rest valued as the programme values it."""
    [battery] = example.batteries
    powers = range(-battery.discharge_max_w, battery.charge_max_w + 1, step_w)
    costs = []
    for sequence in product(powers, repeat=example.steps):
        soc, cost, peak = battery.soc_wh, 0.0, example.peak_w
        for step, power in enumerate(sequence):
            soc += power
            imported = example.load_w[step] - example.solar_w[step] + power
            if not battery.min_wh <= soc <= battery.max_wh or imported > example.import_max_w[step]:
                break
            # Without export, surplus is curtailed at no price.
            cost += max(0, imported) / 1e6 * example.import_price[step] + abs(power) / 2e6 * example.wear_price
            peak = max(peak, imported)
        else:
            left = example.left_price
            costs.append(cost + (peak - example.peak_w) / 1e6 * example.peak_price - soc / 1e6 * left)
    return min(costs)


def cost_of(example: Problem, plan: Plan) -> float:
    left = example.left_price
    energy = sum(max(0, power) / 1e6 * price for power, price in zip(plan.import_w, example.import_price, strict=True))
    wear = sum(abs(power) for power in plan.battery_w[0]) / 2e6 * example.wear_price
    peak = max(example.peak_w, *plan.import_w) - example.peak_w
    return energy + wear + peak / 1e6 * example.peak_price - plan.soc_wh[0][-1] / 1e6 * left


@settings(max_examples=25, deadline=None)
@given(
    load=st.lists(st.integers(0, 4), min_size=4, max_size=4),
    sun=st.lists(st.integers(0, 3), min_size=4, max_size=4),
    price=st.lists(st.sampled_from([20, 50, 100, 300]), min_size=4, max_size=4),
    peak_price=st.sampled_from([0, 2_000, 50_000]),
    soc=st.integers(2, 8),
)
def test_no_sequence_that_brute_force_finds_is_cheaper(
    load: list[int], sun: list[int], price: list[int], peak_price: int, soc: int
) -> None:
    grid_w = 5_000
    example = problem(
        load_w=[grid_w * one for one in load],
        solar_w=[grid_w * one for one in sun],
        price=price,
        batteries=(replace(BATTERY, soc_wh=grid_w * soc),),
        peak_price=peak_price,
    )
    plan = solve(example)
    found, best = cost_of(example, plan), brute_force(example, step_w=grid_w)
    assert found <= best + 1e-3
    if not peak_price:
        assert found == pytest.approx(best, abs=1e-3)


@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_every_plan_keeps_energy_bands_and_limits(data: st.DataObject) -> None:
    steps = data.draw(st.integers(1, 6))
    watts = st.lists(st.integers(0, 60_000), min_size=steps, max_size=steps)
    cars = tuple(
        car(
            f"e{number}",
            due_wh=data.draw(st.integers(1, 60_000)),
            hours=data.draw(st.floats(0, steps + 1)),
            phases=data.draw(st.sampled_from([(1, 2, 3), (1,), (2,)])),
        )
        for number in range(data.draw(st.integers(0, 4)))
    )
    example = problem(
        load_w=data.draw(watts),
        solar_w=data.draw(watts),
        import_max_w=data.draw(st.integers(0, 80_000)),
        export_max_w=data.draw(st.integers(0, 30_000)),
        price=data.draw(st.lists(st.integers(-100, 400), min_size=steps, max_size=steps)),
        batteries=(replace(BATTERY, efficiency_permille=950),),
        cars=cars,
        feeders=(feeder(range(len(cars)), current_ma=30_000, steps=steps),) if cars else (),
    )
    plan = solve(example)
    assert plan.is_optimal
    for step in range(steps):
        net = example.load_w[step] - example.solar_w[step] + plan.curtailed_w[step] + plan.battery_w[0][step]
        net += sum(one[step] for one in plan.car_w)
        assert plan.import_w[step] == pytest.approx(net, abs=5)
        assert plan.import_w[step] <= example.import_max_w[step] + plan.over_w[step] + 5
        assert plan.import_w[step] >= -example.export_max_w[step] - 5
        assert BATTERY.min_wh - 2 <= plan.soc_wh[0][step] <= BATTERY.max_wh + 2
        on_l1 = sum(
            one[step] / len(this.phases) / 230 for this, one in zip(cars, plan.car_w, strict=True) if 1 in this.phases
        )
        assert on_l1 <= 30.1
    for this, powers, short_wh in zip(cars, plan.car_w, plan.short_wh, strict=True):
        assert sum(powers) + short_wh == pytest.approx(this.due_wh, abs=steps + 2)
        assert all(power == 0 for at, power in enumerate(powers) if at * HOUR_MS >= this.departs_ms)
