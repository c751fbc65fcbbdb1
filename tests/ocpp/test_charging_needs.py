"""What a car says it needs: read from the copy, told to the EMS, and never in the way of the frame."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ocpp.messages import get_validator
from ocpp_driver import UTC_MS
from test_session_2x import connected

from dgm.api.ems.v1 import policy_pb2, policy_pb2_grpc
from dgm.ocpp import stamp
from dgm.ocpp.charging_needs import Needed, Unplanned, needed
from dgm.ocpp.events import CarNeed
from dgm.ocpp.service.car_needs import CarNeeds, request_of
from dgm.ocpp.version import Version

NOW = stamp.text(UTC_MS)
DEPARTURE_MS = UTC_MS + 4 * 3_600_000
AC = {"energyAmount": 18_000, "evMinCurrent": 6, "evMaxCurrent": 16, "evMaxVoltage": 400}
DC = {"evMaxCurrent": 200, "evMaxVoltage": 500, "evMaxPower": 90_000}


def message(version: str = "2.0.1", mode: str = "AC_three_phase", **more: Any) -> dict[str, Any]:
    needs = {"requestedEnergyTransfer": mode, "departureTime": stamp.text(DEPARTURE_MS), **more}
    body = {"evseId": 1, "chargingNeeds": {name: value for name, value in needs.items() if value is not None}}
    get_validator(2, "NotifyEVChargingNeeds", version).validate(body)
    return body


def test_an_ac_car_states_energy_and_current() -> None:
    found = needed(message(acChargingParameters=AC))
    assert found == Needed(
        evse_id=1, energy_wh=18_000, departure_utc_ms=DEPARTURE_MS, current_max_a=16, phases=3, power_max_w=None
    )
    assert found.power_w(230_000) == 11_040
    one = needed(message(mode="AC_single_phase", acChargingParameters=AC))
    assert isinstance(one, Needed)
    assert one.power_w(230_000) == 3_680


@pytest.mark.parametrize(
    ("more", "energy_wh"),
    [
        ({"energyAmount": 30_000}, 30_000),
        ({"evEnergyCapacity": 60_000, "stateOfCharge": 20, "fullSoC": 80}, 36_000),
        ({"evEnergyCapacity": 60_000, "stateOfCharge": 20}, 48_000),
    ],
)
def test_a_dc_car_states_energy_or_what_is_missing_to_full(more: dict[str, int], energy_wh: int) -> None:
    found = needed(message(mode="DC", dcChargingParameters=DC | more))
    assert isinstance(found, Needed)
    assert (found.energy_wh, found.power_w(230_000)) == (energy_wh, 90_000)


def test_a_v2x_car_states_a_target() -> None:
    v2x = {"maxChargePower": 22_000, "evTargetEnergyRequest": 12_500.4}
    found = needed(message("2.1", "AC_BPT", v2xChargingParameters=v2x))
    assert isinstance(found, Needed)
    assert (found.energy_wh, found.power_w(230_000)) == (12_500, 22_000)


def test_without_departure_or_energy_there_is_nothing_to_promise() -> None:
    assert needed(message(acChargingParameters=AC, departureTime=None)) is Unplanned.NO_DEPARTURE
    assert needed(message()) is Unplanned.NO_ENERGY
    assert needed(message(acChargingParameters=AC | {"energyAmount": 0})) is Unplanned.NO_ENERGY


@pytest.mark.parametrize(
    "payload",
    [
        {},
        {"evseId": True, "chargingNeeds": {}},
        {"evseId": 1, "chargingNeeds": []},
        {"evseId": 1, "chargingNeeds": {"departureTime": "soon", "acChargingParameters": AC}},
        {"evseId": 1, "chargingNeeds": {"departureTime": 5, "acChargingParameters": AC}},
        {"evseId": 1, "chargingNeeds": {"departureTime": NOW, "dcChargingParameters": {"energyAmount": 9e9}}},
    ],
)
def test_what_makes_no_sense_is_no_need(payload: dict[str, Any]) -> None:
    assert needed(payload) is None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*AC, *DC, "stateOfCharge"]), inner),
    max_leaves=8,
)


@given(st.fixed_dictionaries({"ac": JSON, "dc": JSON, "v2x": JSON}), JSON)
def test_hostile_needs_never_raise(parts: dict[str, Any], departure: Any) -> None:
    needs = {f"{name}ChargingParameters": part for name, part in parts.items()}
    found = needed({"evseId": 1, "chargingNeeds": {**needs, "departureTime": departure}})
    assert found is None or isinstance(found, Unplanned | Needed)


def test_the_session_passes_the_frame_on_unchanged_and_tells_the_need_of_its_evse() -> None:
    driver = connected(Version.V201, short_cut=True)
    body = message(acChargingParameters=AC)
    driver.station_call("NotifyEVChargingNeeds", body, "n1")
    assert json.dumps([2, "n1", "NotifyEVChargingNeeds", body]).encode() in driver.north
    [need] = driver.car_needs
    assert (need.asset_id, need.station_id, need.energy_wh) == ("evse-1", "CP-1", 18_000)
    assert (need.departure_utc_ms, need.power_max_w) == (DEPARTURE_MS, 11_040)
    driver.station_call("NotifyEVChargingNeeds", body | {"evseId": 9}, "n2")
    assert len(driver.car_needs) == 1, "an EVSE that nobody knows needs nothing"


class Policy(policy_pb2_grpc.PolicyServiceServicer):
    """An ems role that is away for its first calls, and then refuses one EVSE."""

    def __init__(self, away: int) -> None:
        self.away = away
        self.needs: list[policy_pb2.ChargingNeed] = []

    async def SetChargingNeed(self, request: policy_pb2.SetChargingNeedRequest, context: Any) -> Any:
        if self.away:
            self.away -= 1
            await context.abort(grpc.StatusCode.UNAVAILABLE, "away")
        if request.need.asset_id == "evse-9":
            await context.abort(grpc.StatusCode.PERMISSION_DENIED, "an operator's")
        self.needs.append(request.need)
        return policy_pb2.SetChargingNeedResponse()


def of(asset_id: str, energy_wh: int = 18_000) -> CarNeed:
    return CarNeed(
        asset_id=asset_id, station_id="CP-1", energy_wh=energy_wh, departure_utc_ms=DEPARTURE_MS, power_max_w=None
    )


async def test_needs_reach_an_ems_that_was_away_and_a_refused_one_holds_up_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dgm.ocpp.service.car_needs.RETRY_S", 0.01)
    policy, server = Policy(away=1), grpc.aio.server()
    policy_pb2_grpc.add_PolicyServiceServicer_to_server(policy, server)
    address = f"unix:{tmp_path}/ems.sock"
    server.add_insecure_port(address)
    await server.start()
    async with grpc.aio.insecure_channel(address) as channel:
        needs = CarNeeds(channel)
        for need in (of("evse-9"), of("evse-1", 5_000), of("evse-1")):
            needs.put(need)
        task = asyncio.create_task(needs.run())
        async with asyncio.timeout(8):
            while not policy.needs:  # noqa: ASYNC110 - what is waited for happens on the far end of a socket
                await asyncio.sleep(0.005)
        task.cancel()
    await server.stop(None)
    assert policy.needs == [request_of(of("evse-1")).need], "the newest of each, once"
    assert policy.needs[0].source == "car:CP-1"
