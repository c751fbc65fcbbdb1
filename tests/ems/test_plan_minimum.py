"""Cars are planned at nothing or at their minimum and more, against an exact programme with whole numbers."""

from __future__ import annotations

from dataclasses import replace
from math import inf

import highspy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from planner_examples import BATTERY, HOUR_MS, car, feeder, problem

from dgm.ems.planner.blockers import NO_TIME, short_cars
from dgm.ems.planner.minimum import blocks, is_between, without
from dgm.ems.planner.problem import Plan, Problem
from dgm.ems.planner.rows import phase_w, rows_at
from dgm.ems.planner.solve import solve
from dgm.ems.planner.wire import misfit, plan_bytes, problem_bytes, read_plan, read_problem

MIN_W = 4_140


def keeps_minimum(example: Problem, plan: Plan) -> bool:
    pairs = [(at, step) for at in range(len(example.cars)) for step in range(example.steps)]
    return not any(is_between(example, plan, at, step) for at, step in pairs)


def test_cars_that_do_not_fit_together_take_turns() -> None:
    cars = tuple(car(f"e{number}", due_wh=8_000, hours=4, min_w=MIN_W) for number in range(3))
    example = problem(load_w=[0] * 4, import_max_w=6_000, cars=cars)
    plan = solve(example)
    assert keeps_minimum(example, plan)
    assert max(plan.import_w) <= 6_000
    assert all(sum(one[step] > 0 for one in plan.car_w) <= 1 for step in range(4))
    # 24 kWh are due and 24 fit; one car at a time gets its 8 kWh in two hours of at most 6 kW, so one of them waits.
    assert sum(plan.short_wh) <= 8_000


def test_a_small_rest_is_charged_at_the_minimum_and_the_car_ends_it() -> None:
    example = problem(load_w=[0] * 4, cars=(car(due_wh=500, hours=4, min_w=MIN_W),))
    plan = solve(example)
    assert plan.car_w[0] == (MIN_W, 0, 0, 0)
    assert plan.short_wh == (0,)


def test_a_car_that_leaves_within_a_step_has_its_minimum_while_it_is_there() -> None:
    example = problem(load_w=[0], cars=(car(due_wh=2_500, hours=0.5, min_w=MIN_W),))
    assert solve(example).car_w[0][0] == 2_500
    small = problem(load_w=[0], cars=(car(due_wh=300, hours=0.5, min_w=MIN_W),))
    assert solve(small).car_w[0][0] == MIN_W // 2


def test_where_not_even_a_minimum_fits_nothing_is_planned_and_the_car_is_short_by_name() -> None:
    example = problem(load_w=[0] * 2, import_max_w=4_000, cars=(car(due_wh=6_000, hours=2, min_w=MIN_W),))
    plan = solve(example)
    assert (plan.car_w[0], plan.short_wh) == ((0, 0), (6_000,))
    assert short_cars(example, plan) == {0: "the import limit of the connection point"}


def test_the_name_of_what_is_in_the_way_is_that_of_its_row() -> None:
    one = car(due_wh=20_000, hours=1)
    hurried = problem(load_w=[0], cars=(one,))
    assert short_cars(hurried, solve(hurried)) == {0: NO_TIME}
    garage = problem(load_w=[0], cars=(one,), feeders=(feeder([0], power_w=5_000),))
    assert short_cars(garage, solve(garage)) == {0: "circuit garage"}
    wire = problem(load_w=[0], cars=(one,), feeders=(feeder([0], current_ma=10_000),))
    assert short_cars(wire, solve(wire))[0].endswith("of circuit garage")
    loaded = problem(load_w=[30_000], cars=(one,), phase_max_ma=(50_000,), unbalance_w=(0, 1_000, 0))
    assert short_cars(loaded, solve(loaded)) == {0: "L2 of the connection point"}


def test_single_phase_cars_are_bounded_by_their_conductor() -> None:
    cars = tuple(car(f"e{number}", due_wh=7_000, hours=4, power_w=7_000, phases=(1,)) for number in range(4))
    example = problem(load_w=[3_000] * 4, import_max_w=60_000, phase_max_ma=(40_000,) * 4, cars=cars)
    plan = solve(example)
    assert max(phase_w(example, plan, step, 1) for step in range(4)) <= 9_200 + 5
    assert max(sum(one[step] for one in plan.car_w) for step in range(4)) == pytest.approx(8_200, abs=5)
    spread = replace(example, cars=tuple(replace(one, phases=(at % 3 + 1,)) for at, one in enumerate(cars)))
    assert sum(one[0] for one in solve(spread).car_w) > 20_000, "on three conductors nearly all charge at once"


def test_what_is_unbalanced_already_is_left_to_no_car() -> None:
    one = car(due_wh=20_000, hours=1, power_w=7_000, phases=(2,))
    example = problem(load_w=[6_000], phase_max_ma=(40_000,), cars=(one,), unbalance_w=(0, 3_000, 0))
    assert solve(example).car_w[0][0] == pytest.approx(9_200 - 2_000 - 3_000, abs=2)


def test_a_bound_of_cars_and_battery_charge_holds_for_both_and_help_is_not_credited() -> None:
    both = replace(feeder([0], power_w=8_000), batteries=(0,))
    example = problem(
        load_w=[0], price=[-50], batteries=(BATTERY,), cars=(car(due_wh=20_000, hours=1),), feeders=(both,)
    )
    plan = solve(example)
    assert plan.car_w[0][0] + max(0, plan.battery_w[0][0]) == 8_000


def test_with_no_more_time_what_lies_between_is_switched_off() -> None:
    example = problem(load_w=[1_000] * 2, cars=(car(due_wh=9_000, hours=2, min_w=MIN_W),))
    relaxed = replace(solve(example), car_w=((7_000, 2_000),), import_w=(8_000, 3_000), short_wh=(0,))
    assert not keeps_minimum(example, relaxed)
    plan = without(example, relaxed)
    assert (plan.car_w, plan.import_w, plan.short_wh) == (((7_000, 0),), (8_000, 1_000), (2_000,))


def test_a_plan_below_a_minimum_is_refused_by_name() -> None:
    example = problem(load_w=[1_000] * 2, cars=(car(due_wh=9_000, hours=2, min_w=MIN_W),))
    plan = solve(example)
    again = read_plan(plan_bytes(plan))
    assert isinstance(again, Plan)
    assert misfit(again, read_problem(problem_bytes(example))) is None
    assert misfit(replace(plan, car_w=((3_000, 6_000),)), example) == "less than the minimum of e1"


def test_blocks_cover_every_step_once() -> None:
    few = problem(load_w=[0] * 6)
    assert [list(one) for one in blocks(few)] == [[0], [1], [2, 3], [4, 5]]
    many = problem(load_w=[0] * 96, cars=(car(due_wh=1, hours=1),) * 400)
    assert [step for one in blocks(many) for step in one] == list(range(96))
    assert len(list(blocks(many))) == 4


SHORT, OVER = 1_000.0, 100_000.0


def exact(example: Problem) -> float:
    """What the same problem costs at best when each car is off or at its minimum and more: whole numbers, HiGHS."""
    model = highspy.Highs()  # type: ignore[no-untyped-call]
    model.setOptionValue("output_flag", False)
    model.setOptionValue("mip_rel_gap", 1e-6)
    hours, dearest = example.step_ms / HOUR_MS, max(1.0, *map(float, example.import_price))
    columns: list[tuple[float, float, float, bool]] = []
    rows: list[tuple[float, float, list[tuple[int, float]]]] = []

    def column(low: float, high: float, cost: float, *, whole: bool = False) -> int:
        columns.append((low, high, cost, whole))
        return len(columns) - 1

    imports = [column(0, inf, price * hours / 1e3) for price in example.import_price]
    overs = [column(0, inf, OVER * dearest * hours / 1e3) for _ in imports]
    cars = []
    for this in example.cars:
        powers = []
        for step in range(example.steps):
            share = this.share(step, example.step_ms)
            power = column(0, this.power_max_w * share / 1e3, 1e-3 * dearest * hours / 1e3 * step / example.steps)
            on = column(0, 1, 0, whole=True)
            rows.append((0, inf, [(power, 1.0), (on, -this.power_min_w * share / 1e3)]))
            rows.append((-inf, 0, [(power, 1.0), (on, -this.power_max_w * share / 1e3)]))
            powers.append(power)
        short = column(0, this.due_wh / 1e3, SHORT * dearest / 1e3)
        more = column(0, this.power_min_w * hours / 1e3, 2 * dearest / 1e3)
        due = this.due_wh / 1e3
        rows.append((due, due, [*((power, hours) for power in powers), (short, 1.0), (more, -1.0)]))
        cars.append(powers)
    for step in range(example.steps):
        net = example.load_w[step] / 1e3
        rows.append((net, net, [(imports[step], 1.0), *((powers[step], -1.0) for powers in cars)]))
        rows.append((-inf, example.import_max_w[step] / 1e3, [(imports[step], 1.0), (overs[step], -1.0)]))
    for low, high, cost, whole in columns:
        model.addCol(cost, low, high, 0, [], [])
        if whole:
            model.changeColIntegrality(model.getNumCol() - 1, highspy.HighsVarType.kInteger)
    for low, high, terms in rows:
        model.addRow(low, high, len(terms), [at for at, _ in terms], [value for _, value in terms])
    model.run()
    assert model.getModelStatus() == highspy.HighsModelStatus.kOptimal
    return float(model.getInfo().objective_function_value)


def short_of(example: Problem, cost: float) -> float:
    """kWh short that a cost stands for: the penalty is all but all of it."""
    return cost / (SHORT * max(1.0, *map(float, example.import_price)) / 1e3)


@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_rounding_keeps_every_bound_and_loses_little_against_the_exact_programme(data: st.DataObject) -> None:
    steps = data.draw(st.integers(2, 5))
    count = data.draw(st.integers(1, 5))
    cars = tuple(
        car(
            f"e{number}",
            due_wh=data.draw(st.integers(500, 25_000)),
            hours=data.draw(st.floats(0.5, steps + 1)),
            min_w=MIN_W,
        )
        for number in range(count)
    )
    loads = data.draw(st.lists(st.integers(0, 10_000), min_size=steps, max_size=steps))
    price = data.draw(st.lists(st.sampled_from([50, 100, 300]), min_size=steps, max_size=steps))
    example = problem(load_w=loads, price=price, import_max_w=data.draw(st.integers(0, 40_000)), cars=cars)
    plan = solve(example)
    assert keeps_minimum(example, plan)
    for step in range(steps):
        assert plan.import_w[step] <= example.import_max_w[step] + plan.over_w[step] + 3
        assert plan.over_w[step] <= max(0, example.load_w[step] - example.import_max_w[step]) + 1, "no car makes it"
        assert min(row.left_w for row in rows_at(example, plan, step)) >= -plan.over_w[step] - 3
    # What rounding leaves undone is at most one car's minimum for one step beyond what nobody could do better.
    assert sum(plan.short_wh) / 1e3 <= short_of(example, exact(example)) + count * MIN_W * 1e-3 + 0.1
