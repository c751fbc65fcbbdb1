"""Fleet and CSMS processes, connected directly: real frames, equal at both ends, and cars that charge."""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from live_processes import Loads, eventually, simulator, text_of

from dgm.sim.plant import EvLoad
from dgm.sim.records import FrameRow, parse_cars, parse_fleet, parse_frames
from dgm.sim.relay_checks import RelayRecord, check_relay
from dgm.sim.timeline import CPO_IDS, Timeline, demo_timeline

EVSES = 6

LEAVES_MS = 4500


def timeline() -> Timeline:
    """Six EVSEs whose cars all come at once; the CPO is talkative."""
    made = demo_timeline(evse_count=EVSES, seconds=90, seed=4, draw=random.Random(4))
    stays = tuple(replace(stay, plug_ms=0, unplug_ms=None) for stay in made.stays)
    leaving = replace(stays[0], unplug_ms=LEAVES_MS)
    return replace(made, stays=(leaving, *stays[1:]), csms_call_interval_s=1.0)


def frames(path: Path) -> tuple[FrameRow, ...]:
    return parse_frames(path.read_text(encoding="utf-8").splitlines())


def power_above(watts: int) -> Callable[[bytes], bool]:
    def fits(raw: bytes) -> bool:
        load = EvLoad.unpack(raw)
        return load is not None and load.power_w > watts

    return fits


async def test_frames_are_equal_at_both_ends_and_cars_charge(tmp_path: Path) -> None:
    plan = timeline()
    loop = asyncio.get_running_loop()
    transport, loads = await loop.create_datagram_endpoint(Loads, local_addr=("127.0.0.1", 0))
    udp_port = transport.get_extra_info("sockname")[1]
    csms_config = plan.csms_config(CPO_IDS[0], out_dir=str(tmp_path), max_seconds=40)
    async with simulator("csms", csms_config, tmp_path) as csms:
        start_utc_ms = int(time.time() * 1000)
        fleet_config = plan.fleet_config(
            out_dir=str(tmp_path),
            max_seconds=40,
            gateway_url=csms["url"],
            plant_udp_port=udp_port,
            start_utc_ms=start_utc_ms,
        )
        async with simulator("fleet", fleet_config, tmp_path) as fleet:
            assert fleet == {"stations": EVSES}
            await loads.until(power_above(30_000))
            await until_frames(tmp_path / "fleet-frames.jsonl", wanted={"StopTransaction", "SetChargingProfile"})
    transport.close()
    judge_files(tmp_path, plan, start_utc_ms)


async def until_frames(path: Path, *, wanted: set[str]) -> None:
    """Wait until the log shows all these actions; the last line may still be half written."""

    async def probe() -> bool:
        lines = (await text_of(path)).splitlines()[:-1]
        return wanted <= {json.loads(line)["action"] for line in lines}

    await eventually(probe)


def judge_files(directory: Path, plan: Timeline, start_utc_ms: int) -> None:
    fleet_frames = frames(directory / "fleet-frames.jsonl")
    csms_frames = frames(directory / f"csms-{CPO_IDS[0]}-frames.jsonl")
    record = RelayRecord(
        fleet=fleet_frames,
        csms={CPO_IDS[0]: csms_frames},
        exceptions=[],
        station_cpo={evse.station.id: CPO_IDS[0] for evse in plan.evses},
        end_utc_ms=max(row.utc_ms for row in (*fleet_frames, *csms_frames)),
    )
    assert [check for check in check_relay(record) if not check.passed] == []
    spoiled = replace(record, csms={CPO_IDS[0]: csms_frames[1:]})
    assert not all(check.passed for check in check_relay(spoiled))

    fleet = parse_fleet((directory / "fleet.json").read_text(encoding="utf-8"))
    assert (fleet.stations, fleet.accepted, fleet.schema_violations) == (EVSES, EVSES, 0)
    assert len(fleet.cars) == len(plan.stays)
    assert any(car.energy_wh > 1 for car in fleet.cars)
    left = next(car for car in fleet.cars if car.unplug_utc_ms is not None)
    assert left.unplug_utc_ms is not None
    planned_ms = start_utc_ms + LEAVES_MS
    assert start_utc_ms <= left.plug_utc_ms < left.unplug_utc_ms, "when it came and went, not when it was to"
    assert planned_ms <= left.unplug_utc_ms < planned_ms + 1500

    cars = parse_cars((directory / "cars.csv").read_text(encoding="utf-8").splitlines())
    assert {row.evse for row in cars} == {evse.id for evse in plan.evses}
    assert any(row.is_plugged and row.power_w > 0 for row in cars)


async def test_a_fleet_without_a_gateway_waits_and_ends_when_told(tmp_path: Path) -> None:
    plan = timeline()
    config = plan.fleet_config(
        out_dir=str(tmp_path),
        max_seconds=40,
        gateway_url="ws://127.0.0.1:1",
        plant_udp_port=9,
        start_utc_ms=int(time.time() * 1000),
    )
    async with simulator("fleet", config, tmp_path):
        pass
    report = parse_fleet((tmp_path / "fleet.json").read_text(encoding="utf-8"))
    assert report.accepted == 0
    assert all(car.energy_wh == 0 for car in report.cars)


async def test_a_process_ends_by_itself_after_its_time(tmp_path: Path) -> None:
    config = timeline().csms_config(CPO_IDS[0], out_dir=str(tmp_path), max_seconds=0.2)
    async with simulator("csms", config, tmp_path):

        async def has_reported() -> bool:
            return '"calls"' in await text_of(tmp_path / f"csms-{CPO_IDS[0]}-report.json")

        await eventually(has_reported)
