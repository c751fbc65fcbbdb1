"""What a plan asks of the site: wishes that follow it, and nothing without it, in the policy and in the machine."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import replace

import pytest
from ems_examples import B1, E1, E2, M1, PV1, SITE, at, decided, evse_grant, power, sample
from policy_examples import Run, evse, picture

from dgm import config as site_config
from dgm.api.core.v1.core_pb2 import LimitSet
from dgm.api.ems.v1.ems_pb2 import Quantity
from dgm.api.site.v1.site_pb2 import PlugState, ReportSamplesRequest
from dgm.ems.cycle import Cycle
from dgm.ems.events import Effect, Planned, SendLimits, SendTargets, SolvePlan
from dgm.ems.planner.problem import Plan
from dgm.ems.planner.solve import solve
from dgm.ems.service.plan_worker import PlanWorker
from dgm.ems.snapshot import Planned as Due
from dgm.ems.steering import Targets
from dgm.machine import Tick

STEP_MS = 900_000
UTC_MS = at(0).utc_ms


def plan(
    battery_w: Iterable[int] = (0, 0), *, cars: dict[str, tuple[int, ...]] | None = None, import_w: int = 0, **more: int
) -> Plan:
    cars = cars or {}
    battery_w = tuple(battery_w)
    steps = len(battery_w)
    return Plan(
        utc_ms=UTC_MS,
        step_ms=STEP_MS,
        status="optimal",
        battery_ids=("b1",),
        car_ids=tuple(cars),
        battery_w=(battery_w,),
        soc_wh=((20_000,) * steps,),
        car_w=tuple(cars.values()),
        import_w=(import_w,) * steps,
        curtailed_w=(0,) * steps,
        short_wh=tuple(more.get(name, 0) for name in cars),
        over_w=(0,) * steps,
    )


def asked(snapshot_plan: Plan | None, *, params: dict[str, str] | None = None, **fields: object) -> Targets:
    return Run("planner", **(params or {}))(picture(plan=snapshot_plan, **fields))  # type: ignore[arg-type]


def test_without_a_plan_nothing_is_asked_of_anybody() -> None:
    assert asked(None) == Targets()
    assert asked(plan(), utc_ms=UTC_MS + 2 * STEP_MS) == Targets(), "it has ended"


def test_the_battery_holds_the_planned_import_within_the_planned_direction() -> None:
    [exact] = asked(plan([-8_000, 0], import_w=2_000), net_w=10_000).wants
    assert (exact.asset_index, exact.value) == (B1, -8_000)
    [more] = asked(plan([-8_000, 0], import_w=2_000), net_w=14_000).wants
    assert more.value == -12_000, "the load is 4 kW more than foreseen"
    [less] = asked(plan([-8_000, 0], import_w=2_000), net_w=-1_000).wants
    assert less.value == 0, "it is not turned round"
    [limited] = asked(plan([-8_000, 0], import_w=2_000), net_w=90_000).wants
    assert limited.value == -20_000


def test_the_step_that_is_now_counts() -> None:
    [want] = asked(plan([-8_000, 6_000], import_w=6_000), net_w=0, utc_ms=UTC_MS + STEP_MS).wants
    assert want.value == 6_000


def test_a_battery_that_is_to_stand_still_does_so_whatever_the_load_does() -> None:
    [want] = asked(plan([100, 0], import_w=2_000), net_w=30_000).wants
    assert want.value == 0


def test_a_site_whose_meter_is_not_seen_follows_the_plain_plan() -> None:
    [want] = asked(plan([-8_000, 0], import_w=2_000), net_w=None).wants
    assert want.value == -8_000


def promised(now_ma: int = 0) -> Due:
    return Due(due_wh=9_000, departure_utc_ms=UTC_MS + 4 * STEP_MS, now_ma=now_ma, is_promised=True)


CARS = [evse(E1, planned=promised()), evse(E2, planned=promised())]


def test_cars_get_weights_in_proportion_to_their_plan() -> None:
    found = asked(plan(cars={"e1": (9_000, 0), "e2": (3_000, 0)}), evses=CARS)
    assert [(share.asset_index, share.factor, share.keeps_on) for share in found.shares] == [
        (E1, 1.5, True),
        (E2, 0.5, True),
    ]
    assert found.asset_caps == []


def test_a_car_with_slack_waits_for_its_step_and_says_when() -> None:
    found = asked(plan(cars={"e1": (0, 9_000), "e2": (3_000, 0)}), evses=CARS)
    [cap] = found.asset_caps
    assert (cap.asset_index, cap.high) == (E1, 0)
    assert "from 15 min" in cap.why
    unshifted = asked(plan(cars={"e1": (0, 9_000), "e2": (3_000, 0)}), evses=CARS, params={"shift": "false"})
    assert unshifted.asset_caps == []


def test_a_car_that_the_ledger_counts_on_now_does_not_wait_and_neither_does_one_whose_need_is_gone() -> None:
    for planned in (promised(now_ma=16_000), None):
        found = asked(plan(cars={"e1": (0, 9_000)}), evses=[evse(E1, planned=planned), evse(E2)])
        assert found.asset_caps == []


def test_a_car_whose_promise_does_not_fit_never_waits() -> None:
    found = asked(plan(cars={"e1": (0, 9_000)}, e1=500), evses=CARS)
    assert found.asset_caps == []


def test_the_envelope_is_the_plans_own_peak_and_only_where_peaks_cost() -> None:
    assert asked(plan(import_w=40_000)).circuit_caps == []
    [cap] = asked(plan(import_w=40_000), params={"peak_price": "9000"}).circuit_caps
    assert (cap.quantity, cap.bound, cap.failsafe) == (Quantity.QUANTITY_NET_IMPORT, 40_800, None)


POLICIES = "ems: {policies: [{name: promise}, {name: planner, parameters: {horizon_h: 2, interval_s: 60}}]}\n"


def machine() -> Cycle:
    cycle = Cycle(site_config.parse(SITE + POLICIES, source="test"), epoch=7)
    car = sample("e1", PlugState.PLUG_STATE_CHARGING, ma=16_000)
    cycle.handle(ReportSamplesRequest(source="ocpp:1", sequence=1, samples=[car]), at(0))
    readings = [power(M1, 30_000, at(0)), power(B1, 0, at(0), soc=500), power(PV1, 0, at(0))]
    cycle.handle(decided(at(0), evse_grant(E1, 16_000), readings=readings), at(0))
    return cycle


def question(effects: list[Effect]) -> SolvePlan:
    [found] = [effect for effect in effects if isinstance(effect, SolvePlan)]
    return found


def battery_want(effects: list[Effect]) -> int | None:
    [sent] = [effect for effect in effects if isinstance(effect, SendTargets)]
    return sent.rows[B1][0]


def test_the_machine_asks_off_the_cycle_and_follows_the_answer_at_once() -> None:
    cycle = machine()
    effects = cycle.handle(Tick(), at(1))
    asked_for = question(effects)
    assert asked_for.deadline_s == 20
    assert battery_want(effects) == 0
    answer = solve(asked_for.problem)
    discharge = replace(answer, battery_w=((-9_000,) * 8,), import_w=(21_000,) * 8)
    assert battery_want(cycle.handle(Planned(answer=discharge), at(500))) == -9_000
    told = cycle.plan(at(600))
    assert told.in_force
    assert told.steps[0].battery_w == -9_000
    assert cycle.flexibility(at(600)).horizon_reason == ""


def test_a_plan_ends_with_its_lease_and_the_site_goes_on_without_it() -> None:
    cycle = machine()
    answer = solve(question(cycle.handle(Tick(), at(1))).problem)
    cycle.handle(Planned(answer=replace(answer, battery_w=((-9_000,) * 8,), import_w=(21_000,) * 8)), at(500))
    effects = cycle.handle(Tick(), at(200_000))
    assert battery_want(effects) == 0
    assert not cycle.plan(at(200_000)).in_force


@pytest.mark.parametrize("answer", ["the process that solves ended with code -9", plan([-9_000] * 3)])
def test_a_failed_or_wrong_answer_changes_nothing_that_is_sent(answer: Plan | str) -> None:
    cycle = machine()
    cycle.handle(Tick(), at(1))
    assert cycle.handle(Planned(answer=answer), at(500)) == []
    assert not cycle.plan(at(600)).in_force
    assert cycle.plan(at(600)).reason


def test_limits_of_the_core_are_the_same_with_and_without_a_plan() -> None:
    cycle = machine()
    first = cycle.handle(Tick(), at(1))
    answer = solve(question(first).problem)
    later = cycle.handle(Planned(answer=answer), at(500))
    assert not [effect for effect in later if isinstance(effect, SendLimits)]
    sent = [LimitSet.FromString(one.limits) for one in first if isinstance(one, SendLimits)]
    assert all(not limits.limits for limits in sent)


def test_a_site_without_the_policy_says_that_it_does_not_plan() -> None:
    cycle = Cycle(site_config.parse(SITE, source="test"), epoch=7)
    assert not [effect for effect in cycle.handle(Tick(), at(1)) if isinstance(effect, SolvePlan)]
    assert "no policy `planner`" in cycle.plan(at(1)).reason


WAIT_S = 30.0
"""A process that starts and loads a solver on a busy machine."""


async def test_the_process_that_solves_answers_as_the_solver_does_and_stays() -> None:
    problem = question(machine().handle(Tick(), at(1))).problem
    worker = PlanWorker()
    try:
        for _ in range(2):
            answer = await worker.solve(problem, deadline_s=WAIT_S)
            assert isinstance(answer, Plan)
            assert answer.solve_us > 0
            assert replace(answer, solve_us=0) == solve(problem)
    finally:
        await worker.stop()


async def test_a_process_that_hangs_is_ended_at_the_deadline() -> None:
    problem = question(machine().handle(Tick(), at(1))).problem
    worker = PlanWorker([sys.executable, "-c", "import sys; sys.stdin.read()"])
    answer = await worker.solve(problem, deadline_s=0.2)
    assert answer == "not solved within 0.2 s: the process was ended"


@pytest.mark.parametrize(
    ("program", "words"),
    [("raise SystemExit(3)", "code 3"), ("input(); print('nonsense')", "no JSON"), ("input(); print('[]')", "fields")],
)
async def test_a_process_that_dies_or_talks_nonsense_costs_a_plan_and_nothing_else(program: str, words: str) -> None:
    problem = question(machine().handle(Tick(), at(1))).problem
    worker = PlanWorker([sys.executable, "-c", program])
    answer = await worker.solve(problem, deadline_s=WAIT_S)
    assert isinstance(answer, str)
    assert words in answer or "the process that solves" in answer
    await worker.stop()


async def test_a_program_that_is_not_there_is_told() -> None:
    problem = question(machine().handle(Tick(), at(1))).problem
    answer = await PlanWorker(["/nowhere/at/all"]).solve(problem, deadline_s=WAIT_S)
    assert isinstance(answer, str)
    assert "FileNotFoundError" in answer
