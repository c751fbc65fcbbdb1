"""Policies on the simulated fleet: real cores, real stations, virtual time."""

from __future__ import annotations

from typing import Any

import pytest

from dgm.api.ems.v1.ems_pb2 import ExplainDecisionResponse, Limit, PutLimitRequest, Quantity
from dgm.api.ems.v1.policy_pb2 import (
    ChargingNeed,
    ChargingPromise,
    PriceBlock,
    PromiseState,
    PutPricesRequest,
    SetChargingNeedRequest,
)
from dgm.cli.sim import make_world
from dgm.ems.snapshot import Snapshot
from dgm.ems.stack import Chosen, Policy, Seat
from dgm.ems.steering import AssetCap, AssetWant, CircuitCap, Share, Targets
from dgm.sim.car import CarSpec
from dgm.sim.line import Line
from dgm.sim.world import UTC_START_MS, World

MINUTE_MS = 60_000
DEAR, CHEAP = 400, 50
ROOM_W = 24_000
"""For the cars of the site: two at their full power, or all at their least."""

TARIFF = {"name": "tariff", "parameters": {"dear_from": 300, "cheap_to": 100, "evse": "pause", "battery": False}}


def car(number: int, need_wh: int) -> CarSpec:
    return CarSpec(
        id_tag=f"TAG-{number}", phases=3, current_max_ma=16_000, need_wh=need_wh, delay_ms=1000, ramp_ma_per_s=4000
    )


def need(line: Line, wh: int, minutes: int) -> SetChargingNeedRequest:
    departure = UTC_START_MS + minutes * MINUTE_MS
    asked = ChargingNeed(
        asset_id=line.plan.id, source="api:app", energy_wh=wh, departure_utc_ms=departure, power_max_w=11_000
    )
    return SetChargingNeedRequest(need=asked)


def delivered_wh(line: Line) -> float:
    (connector,) = line.station.connectors.values()
    assert connector.car is not None
    return connector.car.energy_wh


def promise_of(world: World, line: Line) -> ChargingPromise:
    assert world.ems is not None
    found = world.ems.cycle.guidance.promises(world.now).promises
    return next(one for one in found if one.need.asset_id == line.plan.id)


class Seen:
    """What was looked up at a time of the run."""

    def __init__(self) -> None:
        self.states: dict[str, Any] = {}
        self.wh: dict[str, list[float]] = {}


def run_with_tariff_and_promises() -> tuple[World, list[Line], Seen]:
    """25 min with five cars: dear for 15 min, then cheap; one car leaves before that, one after, four said
    nothing.
    """
    ems = {"policies": [{"name": "promise"}, TARIFF]}
    world = make_world(seed=3, hours=0.4, evse=8, ems=ems, is_quiet=True)
    lines = [line for line in world.lines if line.plan.phases == 3][:5]
    seen = Seen()
    prices = [
        PriceBlock(start_utc_ms=UTC_START_MS, duration_ms=15 * MINUTE_MS, per_mwh=DEAR),
        PriceBlock(start_utc_ms=UTC_START_MS + 15 * MINUTE_MS, duration_ms=30 * MINUTE_MS, per_mwh=CHEAP),
    ]
    room = Limit(id="room", source="api:t", circuit_id="grid", quantity=Quantity.QUANTITY_GROSS_LOAD, power_w=ROOM_W)

    def begin() -> None:
        world.ask(PutLimitRequest(limit=room))
        world.ask(PutPricesRequest(source="api:t", prices=prices))
        for number, line in enumerate(lines):
            world.plug(line, car(number, 30_000))
        world.ask(need(lines[0], 1_600, 14))
        world.ask(need(lines[1], 700, 23))

    def look(name: str) -> None:
        assert world.ems is not None
        seen.wh[name] = [delivered_wh(line) for line in lines]
        seen.states[name] = [promise_of(world, line).state for line in lines[:2]]
        seen.states[f"why {name}"] = [world.ems.cycle.explain(line.plan.id, world.now) for line in lines]

    world.after(20_000, begin)
    world.after(4 * MINUTE_MS, lambda: look("dear"))
    world.after(14 * MINUTE_MS, lambda: look("first leaves"))
    world.after(23 * MINUTE_MS, lambda: look("second leaves"))
    world.run()
    return world, lines, seen


def test_promises_are_kept_and_everybody_else_waits_for_the_cheap_hour() -> None:
    world, _, seen = run_with_tariff_and_promises()
    first, second, *others = seen.wh["first leaves"]
    assert first >= 1_584
    assert second == pytest.approx(0, abs=60)
    assert others == pytest.approx([0] * 3, abs=60)
    assert seen.wh["second leaves"][1] >= 693
    assert sum(seen.wh["second leaves"][2:]) > 800
    kept = PromiseState.PROMISE_STATE_KEPT
    assert seen.states["first leaves"] == [kept, PromiseState.PROMISE_STATE_PROMISED]
    assert seen.states["second leaves"][1] == kept
    assert world.invariants.checked_seconds > 1_400
    for answer, wanted in zip(seen.states["why dear"], ("plan", "tariff: dear: 400 per MWh", "tariff"), strict=False):
        assert isinstance(answer, ExplainDecisionResponse)
        assert wanted in answer.want_reason


EVERYTHING = [
    {"name": "override"},
    {"name": "export_limit", "parameters": {"limit_w": 20_000}},
    {"name": "demand_response"},
    {"name": "random_delay", "parameters": {"max_s": 30}},
    {"name": "peak", "parameters": {"ceiling_w": 40_000}},
    {"name": "promise"},
    {"name": "two_pass"},
    {"name": "equal_share"},
    {"name": "self_consumption", "parameters": {"evse": "surplus", "grid_w": 40_000}},
]


@pytest.mark.parametrize("seed", [31])
def test_the_invariants_hold_under_faults_with_every_policy_in_the_stack(seed: int) -> None:
    world = make_world(seed=seed, hours=0.17, evse=8, ems={"policies": EVERYTHING})
    world.run()
    assert world.ems is not None
    assert [seat.why for seat in world.ems.cycle.guidance.stack.seats] == [None] * len(EVERYTHING)
    assert all(seat.runs > 60 for seat in world.ems.cycle.guidance.stack.seats)


def lunatic(world: World) -> Chosen:
    """A policy that asks for anything, and often for nonsense."""

    def some(low: int, high: int) -> int:
        return low + world.draw.randrange(high - low + 1)

    def decide(snapshot: Snapshot, params: object) -> Targets:
        kind = some(0, 5)
        if kind == 0:
            raise RuntimeError("at random")
        if kind == 1:
            return None  # type: ignore[return-value]
        evses = [view.asset.index for view in snapshot.evses]
        batteries = [view.asset.index for view in snapshot.batteries]
        return Targets(
            circuit_caps=[
                CircuitCap(
                    key="k",
                    circuit_index=0,
                    quantity=Quantity.QUANTITY_NET_IMPORT,
                    bound=some(-1, 60_000),
                    failsafe=some(0, 60_000),
                    why="",
                )
            ],
            asset_caps=[AssetCap(asset_index=index, high=some(0, 40_000), why="") for index in evses],
            wants=[AssetWant(asset_index=index, value=some(-40_000, 40_000), why="") for index in batteries],
            shares=[Share(asset_index=index, factor=some(0, 900) / 3, stratum=some(0, 3), why="") for index in evses],
            alone=frozenset(evses[:1]),
        )

    policy = Policy(name="lunatic", title="", params=object, decide=decide)
    return Chosen(label="lunatic", policy=policy, params=None)


def test_whatever_a_policy_asks_for_the_limits_hold() -> None:
    world = make_world(seed=33, hours=0.17, evse=8, ems={"policies": [{"name": "promise"}]})

    def let_in() -> None:
        if world.ems is not None and len(world.ems.cycle.guidance.stack.seats) == 1:
            world.ems.cycle.guidance.stack.seats.insert(0, Seat(chosen=lunatic(world)))
        world.after(5_000, let_in)

    let_in()
    world.run()
    assert world.ems is not None
    bad, good = world.ems.cycle.guidance.stack.seats
    assert sum(bad.aside.values()) > 20
    assert bad.held is not None
    assert good.why is None


def test_a_planning_site_plans_in_virtual_time_and_follows_its_plan() -> None:
    ems = {"policies": [{"name": "promise"}, {"name": "planner", "parameters": {"wear_price": 0, "horizon_h": 2}}]}
    world = make_world(seed=4, hours=0.1, evse=4, ems=ems, is_quiet=True)
    cheap, dear = (
        PriceBlock(start_utc_ms=UTC_START_MS + at * MINUTE_MS, duration_ms=minutes * MINUTE_MS, per_mwh=price)
        for at, minutes, price in ((0, 30, CHEAP), (30, 90, DEAR))
    )
    world.after(10_000, lambda: world.ask(PutPricesRequest(source="api:t", prices=[cheap, dear])))
    world.run()
    assert world.ems is not None
    plan = world.ems.cycle.plan(world.now)
    assert plan.in_force, plan.reason
    assert plan.age_ms <= 5 * MINUTE_MS, "it plans anew every five minutes"
    assert plan.steps[0].battery_w > 5_000, "what is cheap now is stored"
    assert min(step.battery_w for step in plan.steps) < -3_000, "and used when it is dear"
    battery = next(asset.index for asset in world.ems.cycle.topology.assets if asset.id == "battery")
    assert world.ems.grants[battery][0] > 5_000, "the battery is granted what the plan wants"
