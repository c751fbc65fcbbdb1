"""Load control: what an EndDeviceControl leaves the EVs, from the utility's document to the limit of the EMS."""

from __future__ import annotations

from typing import Any

import pytest
from der_examples import site
from der_joined import LFDI, ZERO_MS, Joined, joined

from dgm.api.config.v1.config_pb2 import DgmConfig, EvseConfig, StationConfig
from dgm.api.ems.v1.ems_pb2 import Quantity
from dgm.api.site.v1.site_pb2 import Phase
from dgm.der.core import DerCore
from dgm.der.envelope import LOAD_CONTROL, limit_of
from dgm.der.load_control import evse_rating_w
from dgm.der.profiles.loader import load
from dgm.sim.utility import judge
from dgm.sim.utility.actions import ACTIONS

EVSE, THERMOSTAT = "00020000", "00000001"
THREE = (Phase.PHASE_L1, Phase.PHASE_L2, Phase.PHASE_L3)


def with_evses(count: int) -> DgmConfig:
    config = site("https://utility.example/dcap")
    config.der.poll_s = 60
    evses = [EvseConfig(id=f"e{n}", connector_id=n, phases=THREE, current_max_ma=32_000) for n in range(1, count + 1)]
    config.stations.append(StationConfig(id="s", evses=evses))
    return config


def play(*loads: dict[str, Any], evses: int = 2, until_s: float = 400) -> Joined:
    steps = [
        {"do": [{"load_program": {"name": "l", "primacy": 1}}, *({"load": {"program": "l", **item}} for item in loads)]}
    ]
    world = joined(steps)
    world.core = DerCore(with_evses(evses), LFDI, lambda most: 0, profile=load("csip-aus-1.2"))
    return world.run(until_s)


def shed(name: str, duty: int | None = 40, category: str = EVSE, **more: Any) -> dict[str, Any]:
    action = {"category": category, **({} if duty is None else {"duty_percent": duty}), **more}
    return {"name": name, "start_in_s": 60, "duration_s": 120, "action": action}


def test_the_rating_of_the_evses_is_their_current_on_their_phases() -> None:
    assert evse_rating_w(with_evses(2)) == 2 * 3 * 32 * 230
    assert evse_rating_w(with_evses(0)) == 0


def test_a_duty_cycle_bounds_the_loads_from_start_to_end_and_is_answered_with_what_was_applied() -> None:
    world = play(shed("s"))
    assert world.held_at(50).get(LOAD_CONTROL) is None
    assert world.held_at(100)[LOAD_CONTROL] == 2 * 3 * 32 * 230 * 40 // 100
    assert world.held_at(190).get(LOAD_CONTROL) is None
    assert judge.responses(world.server.records, {"s": [1, 2, 3]}) == []
    bodies = [item.body for item in world.server.records.exchanges if "DrResponse" in item.body]
    assert ["normalValue>40<" in body for body in bodies] == [False, True, False]
    assert world.xml_faults == []


def test_the_ems_is_told_a_limit_of_the_loads_with_the_control_that_it_comes_from() -> None:
    world = play(shed("s"), until_s=100)
    bound = world.core.bounds(world.now)[LOAD_CONTROL]
    limit = limit_of(bound, "grid", ZERO_MS + 100_000)
    assert (limit.id, limit.quantity) == ("utility:EndDeviceControl", Quantity.QUANTITY_GROSS_LOAD)
    assert limit.reason == f"EndDeviceControl {bound.mrid}"
    assert limit.ttl_ms == 80_000, "to the end of the event, and then it ends by rule"
    assert not limit.HasField("failsafe_power_w")


def test_of_two_controls_the_one_made_later_holds_its_category() -> None:
    world = play(shed("a", 40), until_s=30)
    ACTIONS["load"](world.server.state, ZERO_MS + 30_000, {"program": "l", **shed("b", 70)})
    world.run(400)
    assert world.held_at(150)[LOAD_CONTROL] == 2 * 3 * 32 * 230 * 70 // 100
    assert judge.responses(world.server.records, {"a": [1, 2, 7], "b": [1, 2, 3]}) == []


@pytest.mark.parametrize("action", [{"set_point": {"cooling": 2400}}, {"offset": {"heating": 2}}, {"appliance": 0}])
def test_what_evs_have_no_answer_to_is_rejected_as_not_applicable(action: dict[str, Any]) -> None:
    world = play(shed("s", None, **action))
    assert all(LOAD_CONTROL not in bounds for _, bounds in world.held)
    assert judge.responses(world.server.records, {"s": [252]}) == []


def test_a_control_for_other_appliances_is_not_answered() -> None:
    world = play(shed("s", category=THERMOSTAT))
    assert judge.responses(world.server.records, {"s": []}) == []


def test_a_site_without_evses_follows_no_load_control() -> None:
    world = play(shed("s"), evses=0)
    assert all(LOAD_CONTROL not in bounds for _, bounds in world.held)
    assert judge.responses(world.server.records, {"s": [252]}) == []
