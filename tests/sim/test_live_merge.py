"""A fleet of 2.x stations, the CSMS of another library, and a gateway in mode merge between them on real sockets."""

from __future__ import annotations

import asyncio
import itertools
import random
import time
from dataclasses import replace
from pathlib import Path

from live_processes import Loads, eventually, simulator
from prometheus_client import CollectorRegistry

from dgm.ocpp.events import CpoLimit, DerSeen, Outcome, Sampled, SetpointIn
from dgm.ocpp.gateway import AuditFile, Gateway, GatewayMetrics
from dgm.ocpp.manner import Mode
from dgm.ocpp.session import Session
from dgm.ocpp.store import StationSettings
from dgm.sim.records import parse_exceptions, parse_fleet, parse_frames
from dgm.sim.relay_checks import RelayRecord, check_relay
from dgm.sim.timeline import CPO_IDS, EvsePlan, Timeline, demo_timeline

STATIONS = 4
SETPOINT_MA = 9_000


def timeline() -> Timeline:
    """Stations of 2.0.1 and 2.1 alone, with a car at each and a CPO that sets profiles every second."""
    made = demo_timeline(evse_count=STATIONS, seconds=90, seed=11, draw=random.Random(11))
    versions = itertools.cycle(("ocpp2.0.1", "ocpp2.1"))
    evses = tuple(
        replace(evse, station=replace(evse.station, subprotocol=version))
        for evse, version in zip(made.evses, versions, strict=False)
    )
    stays = tuple(replace(stay, plug_ms=0, unplug_ms=None) for stay in made.stays)
    return replace(made, evses=evses, stays=stays, csms_call_interval_s=0.7)


def session(evse: EvsePlan, csms_url: str, ids: itertools.count[int]) -> Session:
    settings = StationSettings(
        station_id=evse.station.id,
        cpo_id=CPO_IDS[0],
        csms_url=csms_url,
        asset_id=evse.id,
        connector_id=1,
        phases=tuple(phase - 1 for phase in evse.grid_phases),
        current_max_ma=evse.current_max_ma,
        fallback_ma=6_000,
        nominal_voltage_mv=230_000,
        profile_lease_ms=120_000,
        max_stack_level=8,
        trigger_interval_ms=10_000,
        call_timeout_ms=10_000,
        enforcement="merge",
    )
    return Session([settings], lambda: f"own-{next(ids)}")


async def test_cpos_of_2x_stations_have_their_profiles_merged_and_every_frame_keeps_to_its_schema(
    tmp_path: Path,
) -> None:
    plan, ids = timeline(), itertools.count(1)
    reports: list[Sampled | Outcome | CpoLimit | DerSeen] = []
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(Loads, local_addr=("127.0.0.1", 0))
    csms_config = plan.csms_config(CPO_IDS[0], out_dir=str(tmp_path), max_seconds=40)
    async with simulator("csms", csms_config, tmp_path) as csms:
        sessions = {evse.station.id: session(evse, csms["url"], ids) for evse in plan.evses}
        gateway = Gateway(
            sessions,
            metrics=GatewayMetrics(CollectorRegistry()),
            audit=AuditFile(tmp_path),
            report=reports.append,
            keep=lambda _station, _kept: None,
        )
        await gateway.start("127.0.0.1", 0)
        for evse in plan.evses:
            gateway.deliver(SetpointIn(asset_id=evse.id, epoch=1, sequence=1, current_ma=SETPOINT_MA, ttl_ms=60_000))
        fleet_config = plan.fleet_config(
            out_dir=str(tmp_path),
            max_seconds=40,
            gateway_url=f"ws://127.0.0.1:{gateway.port}",
            plant_udp_port=transport.get_extra_info("sockname")[1],
            start_utc_ms=int(time.time() * 1000),
        )
        async with simulator("fleet", fleet_config, tmp_path):

            async def is_merged() -> bool:
                told = {report.asset_id for report in reports if isinstance(report, CpoLimit)}
                proved = {
                    report.asset_id
                    for report in reports
                    if isinstance(report, Outcome) and report.current_ma == SETPOINT_MA and report.state >= 3
                }
                running = [evse for one in sessions.values() for evse in one.evses if evse.memory.transaction_id]
                return len(told) == len(proved) == len(running) == STATIONS

            await eventually(is_merged)
        await gateway.stop()
    transport.close()
    assert {one.desk.manner.mode for one in sessions.values()} == {Mode.MERGE}
    fleet = parse_fleet((tmp_path / "fleet.json").read_text(encoding="utf-8"))
    assert (fleet.accepted, fleet.schema_violations) == (STATIONS, 0)
    judge(tmp_path, plan)


def judge(directory: Path, plan: Timeline) -> None:
    def lines(name: str) -> list[str]:
        return (directory / name).read_text(encoding="utf-8").splitlines()

    fleet, csms = parse_frames(lines("fleet-frames.jsonl")), parse_frames(lines(f"csms-{CPO_IDS[0]}-frames.jsonl"))
    exceptions = parse_exceptions(lines("ocpp-exceptions.jsonl"))
    record = RelayRecord(
        fleet=fleet,
        csms={CPO_IDS[0]: csms},
        exceptions=exceptions,
        station_cpo={evse.station.id: CPO_IDS[0] for evse in plan.evses},
        end_utc_ms=max(row.utc_ms for row in (*fleet, *csms)),
    )
    assert [str(check) for check in check_relay(record) if not check.passed] == []
    set_by_us = {row.station for row in fleet if row.action == "SetChargingProfile"}
    assert set_by_us == {evse.station.id for evse in plan.evses}
    answered = {entry.station for entry in exceptions if entry.kind == "profile_answer"}
    assert answered == set_by_us, "every CPO was answered for its station"
