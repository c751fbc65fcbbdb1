"""A real kill -9 of each role, in both modes: what was promised before holds after. The last tests of each site."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from e2e_client import MessageT, Recorder, recording, watch_limits, watch_setpoints, watch_site
from e2e_judging import import_mean_w, longest_excess_ms
from e2e_live import Live
from e2e_product import ROLES
from e2e_waiting import eventually, is_running
from e2e_world import EVENT_W, now_utc_ms

from dgm.api.der.v1.der_pb2 import ConnectionState, ControlState, GetConnectionRequest
from dgm.api.ems.v1 import ems_pb2
from dgm.api.ocpp.v1.ocpp_pb2 import LinkState
from dgm.api.site.v1.site_pb2 import PlugState
from dgm.sim.live.site import EVENT_MRID

HELD_W = 30_000
"""Well below what the cars draw."""
HELD_MA = 9000
TTL_MS = 300_000
EXCESS_MAX_MS = 10_000
ROUNDING_MS = 20
IN_FORCE = (ems_pb2.LIMIT_STATE_ACTIVE, ems_pb2.LIMIT_STATE_MET, ems_pb2.LIMIT_STATE_SHORTFALL)
"""SHORTFALL: until a station has proved what it holds, it counts at its nameplate, and no decision can meet that."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """Two limits that are in force during all kills: on the connection point and on one EVSE.

    put_s: monotonic time at which both had been put. met_utc_ms: from then on the plant was within the first one.
    setpoints: all that were published since, by every process.
    """

    evse_id: str
    put_s: float
    met_utc_ms: int
    setpoints: Recorder[ems_pb2.WatchSetpointsResponse]

    def remaining_ms_max(self) -> float:
        """What may be left of the leases now."""
        return TTL_MS - (time.monotonic() - self.put_s) * 1000 + ROUNDING_MS


@pytest.fixture(scope="module")
def held(live: Live) -> Iterator[Held]:
    """Put the limits, wait until they are met, delete them in the end."""
    client, evse_id = live.client, live.world.evse_ids[0]
    eventually("the cars draw more than is to be held", lambda: import_mean_w(live.world.trace()) > HELD_W)
    eventually("the EVSE has more than is to be held", lambda: client.setpoints_ma()[evse_id] > HELD_MA)
    net = ems_pb2.QUANTITY_NET_IMPORT
    client.put_limit("e2e-grid", circuit_id="grid", quantity=net, power_w=HELD_W, ttl_ms=TTL_MS)
    client.put_limit("e2e-evse", asset_id=evse_id, quantity=ems_pb2.QUANTITY_CURRENT, current_ma=HELD_MA, ttl_ms=TTL_MS)
    put_s = time.monotonic()
    eventually("the meter is within the limit", lambda: import_mean_w(live.world.trace()) <= HELD_W)
    eventually("the EVSE is lowered", lambda: client.setpoints_ma()[evse_id] <= HELD_MA)
    with recording(client, "ems", watch_setpoints) as setpoints:
        yield Held(evse_id=evse_id, put_s=put_s, met_utc_ms=now_utc_ms(), setpoints=setpoints)
    if not is_running(live.product.pid("ems") or 0):
        return  # the last test has ended everything
    assert client.delete_limit("e2e-grid")
    assert client.delete_limit("e2e-evse")


def assert_held(live: Live, held: Held) -> None:
    """Both limits are in force with no more time than they had; nothing above them was granted or drawn meanwhile."""
    most_ms = held.remaining_ms_max()
    for limit_id in ("e2e-grid", "e2e-evse"):
        status = live.client.limits()[limit_id]
        assert status.state in IN_FORCE, limit_id
        assert 0 < status.remaining_ms <= most_ms, limit_id
    assert [value for value in granted(held) if value > HELD_MA] == []
    assert longest_excess_ms(live.world.trace(), since_utc_ms=held.met_utc_ms, bound_w=HELD_W) <= EXCESS_MAX_MS


def granted(held: Held, *, after_epoch: int = 0) -> list[int]:
    """Every setpoint of the limited EVSE that processes of a later epoch have published."""
    messages = [message for message in held.setpoints.messages if message.epoch > after_epoch]
    setpoints = [setpoint for message in messages for setpoint in message.setpoints]
    return [setpoint.current_ma for setpoint in setpoints if setpoint.asset_id == held.evse_id]


def some_car_draws(live: Live) -> bool:
    """Whether the gateway sees at least one car of the fleet draw power."""
    stations = live.client.stations()
    evses = [stations[name].evses[0] for name in live.world.station_ids]
    return any(evse.plug_state == PlugState.PLUG_STATE_CHARGING and evse.power_w > 0 for evse in evses)


def test_a_killed_ems_holds_its_limits_again_before_its_first_decision(live: Live, held: Held) -> None:
    client, before = live.client, live.product.pid("ems")
    epoch = held.setpoints.messages[-1].epoch
    with recording(client, "ems", watch_limits) as limits, recording(client, "ems", watch_site) as site:
        live.product.kill("ems")
        streams = len(limits.streams), len(site.streams)
        live.product.restart("ems")
        most_ms = held.remaining_ms_max()
        (first, *_) = eventually("the new ems tells its limits", lambda: told(limits.streams, streams[0]))
        listed = client.limits()
        eventually("it grants again", lambda: granted(held, after_epoch=epoch) or None)
        eventually("it is ready", lambda: client.is_serving("ems"))
        later = eventually("it tells the site again", lambda: told(site.streams, streams[1]))
    assert live.product.pid("ems") != before
    of_first = {status.limit.id: status for status in first.limits}
    for found in (of_first, listed):
        assert {"e2e-grid", "e2e-evse", "utility:opModImpLimW"} <= set(found)
        assert found["e2e-grid"].limit.power_w == HELD_W
        assert found["e2e-evse"].limit.current_ma == HELD_MA
        assert 0 < found["e2e-grid"].remaining_ms <= most_ms
    roots = [circuit for update in later for circuit in update.circuits if circuit.circuit_id == "grid"]
    assert roots
    assert {circuit.import_limit_w for circuit in roots} == {HELD_W}, "in force from the first decision on"
    assert_held(live, held)


def told(streams: list[list[MessageT]], index: int) -> list[MessageT] | None:
    """The messages of the stream that began after the kill; None: there is none yet."""
    return streams[index] if len(streams) > index else None


def test_a_killed_der_follows_the_stored_control_and_repeats_no_response(live: Live, held: Held) -> None:
    world, client = live.world, live.client
    eventually("the event has begun", lambda: world.responses() == [1, 2])
    world.utility.instead = (500, b"")  # what der knows after the restart, it knows from its journal
    try:
        live.product.kill("der")
        assert client.limits()["utility:opModImpLimW"].limit.power_w == EVENT_W, "the ems goes on holding it"
        live.product.restart("der")
        eventually("der is ready", lambda: client.is_serving("der"))
        assert client.controls()[EVENT_MRID].state == ControlState.CONTROL_STATE_ACTIVE
        assert client.limits()["utility:opModImpLimW"].limit.power_w == EVENT_W
        connection = client.der.GetConnection(GetConnectionRequest(), timeout=5.0)
        assert connection.state != ConnectionState.CONNECTION_STATE_READY, "the utility was not there"
    finally:
        world.utility.instead = None
    seen = world.requests("derc 0")
    eventually("the utility's list was read twice", lambda: world.requests("derc 0") >= seen + 2)
    assert client.controls()[EVENT_MRID].state == ControlState.CONTROL_STATE_ACTIVE
    assert world.responses() == [1, 2]
    assert_held(live, held)


def test_stations_of_a_killed_ocpp_role_come_back_and_charge_within_the_limit(live: Live, held: Held) -> None:
    live.product.kill("ocpp")
    live.product.restart("ocpp")
    eventually("ocpp is ready", lambda: live.client.is_serving("ocpp"))
    eventually("every station is up both ways", lambda: all_up(live))
    eventually("cars draw power", lambda: some_car_draws(live))
    assert live.client.metrics("ocpp")["dgm_ocpp_connections"] == len(live.world.station_ids)
    eventually("the limit is met", lambda: live.client.limits()["e2e-grid"].state == ems_pb2.LIMIT_STATE_MET)
    assert_held(live, held)


def all_up(live: Live) -> bool:
    """Whether every station of the fleet is connected on both sides."""
    stations = live.client.stations()
    found = [stations[name] for name in live.world.station_ids]
    return all(station.south == station.north == LinkState.LINK_STATE_UP for station in found)


@pytest.mark.parametrize("live", ["run"], indirect=True)
def test_the_children_of_a_killed_supervisor_end_by_themselves(live: Live) -> None:
    pids = [live.product.pid(role) for role in ROLES]
    assert all(pid is not None and is_running(pid) for pid in pids)
    live.product.supervisor.kill()
    live.product.supervisor.wait()
    eventually("no child is left", lambda: not any(is_running(pid or 0) for pid in pids), within_s=10.0)
    assert not any(live.client.is_serving(role) for role in ROLES)
