"""What a site does, and that it does it alike as `dgm run` and as three `dgm serve`: every test here runs on both."""

from __future__ import annotations

import time

import grpc
import pytest
from e2e_client import CLIENT, SiteClient, recording, watch_limits, watch_site
from e2e_judging import calls_of_csmss, import_mean_w, relay_checks
from e2e_live import Live
from e2e_product import ROLES
from e2e_waiting import eventually
from e2e_world import EVENT_W, EVSES

from dgm import __version__
from dgm.api.der.v1.der_pb2 import ConnectionState, ControlState, GetConnectionRequest
from dgm.api.ems.v1 import ems_pb2
from dgm.api.ocpp.v1.ocpp_pb2 import LinkState
from dgm.api.site.v1.site_pb2 import GetSiteRequest, PlugState
from dgm.sim.live.site import EVENT_MRID

SERVICES = {
    "ems": {
        "dgm.api.ems.v1.EmsService",
        "dgm.api.ems.v1.FieldService",
        "dgm.api.ems.v1.PolicyService",
        "dgm.api.site.v1.SiteService",
    },
    "der": {"dgm.api.der.v1.DerService"},
    "ocpp": {"dgm.api.ocpp.v1.OcppService"},
}
STANDARD = {"grpc.health.v1.Health", "grpc.reflection.v1alpha.ServerReflection"}

LOW_W = 25_000
"""Well below what the cars draw; above the building with its margin."""


def charges_fully(live: Live) -> bool:
    """Whether every EVSE of the fleet has its nameplate as setpoint."""
    wanted = {evse.id: evse.current_max_ma for evse in live.world.timeline.evses}
    found = live.client.setpoints_ma()
    return {name: found.get(name) for name in wanted} == wanted


def total_ma(client: SiteClient, live: Live) -> int:
    """Setpoints of the fleet, summed over the EVSEs."""
    found = client.setpoints_ma()
    return sum(found[name] for name in live.world.evse_ids)


@pytest.mark.parametrize("role", ROLES)
def test_a_role_says_that_it_is_ready_and_lists_its_services(live: Live, role: str) -> None:
    for service in ("", "liveness", "readiness", *SERVICES[role]):
        assert live.client.is_serving(role, service), service
    assert live.client.services(role) == SERVICES[role] | STANDARD


def test_the_site_is_told_as_site_yaml_describes_it(live: Live) -> None:
    site = live.client.site.GetSite(GetSiteRequest(), timeout=5.0).site
    described = live.world.document
    assert [circuit.id for circuit in site.circuits] == [circuit["id"] for circuit in described["circuits"]]
    evses = [evse["id"] for station in described["stations"] for evse in station["evses"]]
    assert [asset.id for asset in site.assets] == [asset["id"] for asset in described["assets"]] + evses


def test_every_station_is_up_both_ways_and_every_car_charges(live: Live) -> None:
    def all_charge() -> bool:
        stations = live.client.stations()
        found = [stations[name] for name in live.world.station_ids]
        up = all(station.south == station.north == LinkState.LINK_STATE_UP for station in found)
        evses = [station.evses[0] for station in found]
        return up and all(evse.plug_state == PlugState.PLUG_STATE_CHARGING and evse.power_w > 0 for evse in evses)

    eventually("every station is up and every car charges", all_charge)
    eventually("every car has its full current", lambda: charges_fully(live))
    assert not live.world.dead()


def test_a_watcher_gets_a_snapshot_and_then_what_changes(live: Live) -> None:
    assets = len(live.client.site.GetSite(GetSiteRequest(), timeout=5.0).site.assets)
    with recording(live.client, "ems", watch_site) as recorder:
        eventually("a second of updates", lambda: len(recorder.messages) > 10)
        first, *later = recorder.streams[0]
    assert first.snapshot
    assert len(first.samples) == assets
    deltas = [update for update in later if not update.snapshot]
    assert len(deltas) > len(later) // 2, "a snapshot again only for a reader that was slow"
    assert all(len(update.samples) < assets for update in deltas)
    assert any(sample.asset_id == "meter" for update in deltas for sample in update.samples)
    sequences = [update.sequence for update in (first, *later)]
    assert sequences == sorted(set(sequences))


def test_the_utilitys_control_rules_and_is_answered(live: Live) -> None:
    connection = live.client.der.GetConnection(GetConnectionRequest(), timeout=5.0)
    assert connection.state == ConnectionState.CONNECTION_STATE_READY
    event = eventually("the event has begun", lambda: live.client.limits().get("utility:opModImpLimW"))
    eventually(
        "the event's bound is in force",
        lambda: live.client.limits()["utility:opModImpLimW"].limit.power_w == EVENT_W,
    )
    assert event.limit.source == "utility:der"
    assert live.client.controls()[EVENT_MRID].state == ControlState.CONTROL_STATE_ACTIVE
    assert eventually("received and started", lambda: live.world.responses()[:2]) == [1, 2]


def test_a_limit_lowers_the_cars_until_its_time_is_over(live: Live) -> None:
    eventually("every car has its full current", lambda: charges_fully(live))
    before_ma, ttl_s = total_ma(live.client, live), 6.0
    asked_s = time.monotonic()
    answer = live.client.put_limit(
        "e2e-short",
        circuit_id="grid",
        quantity=ems_pb2.QUANTITY_NET_IMPORT,
        power_w=LOW_W,
        ttl_ms=round(ttl_s * 1000),
    )
    assert answer.limit.power_w == LOW_W
    assert not answer.clamp_reasons
    eventually("the cars are lowered", lambda: total_ma(live.client, live) < before_ma // 2, within_s=4.0)
    eventually("the meter shows it", lambda: import_mean_w(live.world.trace()) <= LOW_W, within_s=5.0)
    assert_explained(live)
    status = eventually("it has ended", lambda: ended(live.client, "e2e-short"))
    lasted_s = time.monotonic() - asked_s
    assert ttl_s <= lasted_s < ttl_s + 2.0
    assert status.remaining_ms == 0
    eventually("the cars have most of it again", lambda: total_ma(live.client, live) > before_ma * 3 // 4)


def ended(client: SiteClient, limit_id: str) -> ems_pb2.LimitStatus | None:
    """The status of a limit that has ended."""
    status = client.limits()[limit_id]
    return status if status.state == ems_pb2.LIMIT_STATE_ENDED else None


def assert_explained(live: Live) -> None:
    """While e2e-short binds, a lowered EVSE names it, and every row above the EVSE is told."""

    def bound() -> ems_pb2.ExplainDecisionResponse | None:
        answers = (live.client.explain(name) for name in live.world.evse_ids)
        return next((answer for answer in answers if answer.binding_limit.id == "e2e-short"), None)

    answer = eventually("an EVSE is bound by the limit", bound, within_s=4.0)
    assert answer.binding_limit.source == CLIENT
    assert answer.binding_circuit_id == "grid"
    assert answer.setpoint.binding_limit_id == "e2e-short"
    assert answer.setpoint.current_ma < answer.want_ma
    assert "e2e-short" in answer.summary
    stations = live.world.document["stations"]
    evse = next(station["evses"][0] for station in stations if station["evses"][0]["id"] == answer.setpoint.asset_id)
    assert answer.rows[0].circuit_id == "grid"
    assert {row.circuit_id for row in answer.rows} == {"grid", evse["circuit"]}
    assert {row.phase for row in answer.rows if row.circuit_id == evse["circuit"]} == set(evse["phases"])
    net = next(row for row in answer.rows if row.quantity == ems_pb2.QUANTITY_NET_IMPORT)
    assert net.limit_id == "e2e-short"
    assert net.bound <= LOW_W


def test_a_limit_is_deleted_by_its_source_only(live: Live) -> None:
    with recording(live.client, "ems", watch_limits) as recorder:
        live.client.put_limit(
            "e2e-mine", circuit_id="feeder-1", quantity=ems_pb2.QUANTITY_CURRENT, current_ma=20_000, ttl_ms=60_000
        )
        with pytest.raises(grpc.RpcError) as refused:
            live.client.delete_limit("e2e-mine", source="api:another")
        assert refused.value.code() is grpc.StatusCode.PERMISSION_DENIED
        assert CLIENT in (refused.value.details() or "")
        assert live.client.limits()["e2e-mine"].state != ems_pb2.LIMIT_STATE_ENDED
        assert live.client.delete_limit("e2e-mine")
        assert not live.client.delete_limit("e2e-mine"), "there is nothing left to delete"
        eventually(
            "a watcher is told of the end",
            lambda: any(
                status.limit.id == "e2e-mine" and status.state == ems_pb2.LIMIT_STATE_ENDED
                for status in recorder.messages[-1].limits
            ),
        )
    states = [status.state for told in recorder.messages for status in told.limits if status.limit.id == "e2e-mine"]
    assert states[0] in (ems_pb2.LIMIT_STATE_ACTIVE, ems_pb2.LIMIT_STATE_MET), "it was in force when it was told"


def test_the_metrics_of_every_role_can_be_read(live: Live) -> None:
    ems, der, ocpp = (live.client.metrics(role) for role in ROLES)
    assert 0 < ems["dgm_site_import_watts"] < EVENT_W
    assert ems["dgm_site_import_limit_watts"] == EVENT_W
    assert ocpp["dgm_ocpp_connections"] == len(live.world.station_ids)
    assert 0 <= der["dgm_2030_5_poll_age_seconds"] < 10
    for role, found in zip(ROLES, (ems, der, ocpp), strict=True):
        assert found[f"dgm_build_info{{role={role},version={__version__}}}"] == 1


def test_every_frame_passes_the_gateway_byte_for_byte_and_in_order(live: Live) -> None:
    eventually("the CSMSs have called stations of their own accord", lambda: calls_of_csmss(live.world) >= EVSES)
    checks = relay_checks(live.world)
    assert [check for check in checks if not check.passed] == []
    assert [check.name for check in checks] == [
        "relay north",
        "relay south",
        "closed list",
        "own ids unseen",
        "outages",
    ]
