"""The plant process on real sockets, read and written by two independent SunSpec and Modbus clients."""

from __future__ import annotations

import asyncio
import itertools
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from live_processes import eventually, simulator, text_of
from pymodbus.client import AsyncModbusTcpClient
from sunspec2.modbus.client import SunSpecModbusClientDeviceTCP

from dgm.sim.plant import EvLoad
from dgm.sim.records import parse_trace
from dgm.sim.sunspec import BASE_ADDRESS, Image

CONFIG: dict[str, Any] = {
    "plant": {
        "building_min_w": 60_000,
        "building_max_w": 110_000,
        "pv_rated_w": 100_000,
        "pv_count": 2,
        "irradiance_permille": 300,
        "battery_power_w": 250_000,
        "battery_energy_wh": 500_000,
        "soc_permille": 600,
        "service_ma": 722_000,
    },
    "seed": 3,
    "max_seconds": 30,
}
LIMIT_ADDRESS = Image((1, 701, 702, 704)).point(704, "WMaxLimPctEna").address
W_ADDRESS = Image((1, 203)).point(203, "W").address


def sunspec(port: int) -> Any:
    device = SunSpecModbusClientDeviceTCP(slave_id=1, ipaddr="127.0.0.1", ipport=port, timeout=5)
    device.scan()
    return device


async def test_an_independent_sunspec_client_understands_every_device(tmp_path: Path) -> None:
    async with simulator("plant", {**CONFIG, "out_dir": str(tmp_path)}, tmp_path) as ready:
        ports = ready["devices"]
        meter = await asyncio.to_thread(sunspec, ports["meter"])
        battery = await asyncio.to_thread(sunspec, ports["battery"])
        inverter = await asyncio.to_thread(sunspec, ports["pv-2"])
        assert [model for model in meter.models if isinstance(model, int)] == [1, 203]
        reading = meter.models[203][0]
        assert 0 < reading.W.cvalue < 120_000
        assert sum(reading.points[name].cvalue for name in ("WphA", "WphB", "WphC")) == pytest.approx(
            reading.W.cvalue, abs=200
        )
        assert 220 < reading.PhVphB.cvalue < 231
        assert 49.5 < reading.Hz.cvalue < 50.5
        assert reading.points["TotVAhImp"].cvalue in (None, 0)
        assert battery.models[713][0].SoC.cvalue == pytest.approx(60.0)
        assert battery.models[713][0].WHRtg.cvalue == 500_000
        assert battery.models[702][0].WDisChaRteMaxRtg.cvalue == 250_000
        assert battery.models[704][0].WMaxLimPct.cvalue is None
        assert 0 < inverter.models[701][0].W.cvalue < 40_000
        assert inverter.models[702][0].WMaxRtg.cvalue == 100_000
        for device in (meter, battery, inverter):
            device.close()


async def test_a_written_setpoint_moves_the_battery_and_reverts_when_left_alone(tmp_path: Path) -> None:
    async with simulator("plant", {**CONFIG, "out_dir": str(tmp_path)}, tmp_path) as ready:
        battery = await asyncio.to_thread(sunspec, ready["devices"]["battery"])
        control = battery.models[704][0]
        for name, value in (
            ("WSetEna", 1),
            ("WSetMod", 1),
            ("WSet", 50_000),
            ("WSetRvrt", 0),
            ("WSetEnaRvrt", 0),
            ("WSetRvrtTms", 2),
        ):
            control.points[name].cvalue = value
        await asyncio.to_thread(control.write)
        measured = battery.models[701][0]
        await until(measured, lambda: measured.W.cvalue > 45_000)
        assert control.points["WSet"].cvalue == 50_000
        await until(control, lambda: control.WSetEna.cvalue == 0)
        await until(measured, lambda: abs(measured.W.cvalue) < 2_000)
        battery.close()
    assert '"battery_reverts": 1' in (tmp_path / "plant-report.json").read_text(encoding="utf-8")


async def until(model: Any, holds: Callable[[], bool]) -> None:
    async def probe() -> bool:
        await asyncio.to_thread(model.read)
        return holds()

    await eventually(probe)


async def test_a_limit_is_written_in_one_request_and_read_only_registers_refuse(tmp_path: Path) -> None:
    async with simulator("plant", {**CONFIG, "out_dir": str(tmp_path)}, tmp_path) as ready:
        client = AsyncModbusTcpClient("127.0.0.1", port=ready["devices"]["pv-1"])
        assert await client.connect()
        written = [1, 100, 500, 1, 0, 30]
        assert not (await client.write_registers(LIMIT_ADDRESS, written, device_id=1)).isError()
        assert (await client.read_holding_registers(LIMIT_ADDRESS, count=6, device_id=1)).registers == written
        remaining = (await client.read_holding_registers(LIMIT_ADDRESS + 6, count=2, device_id=1)).registers
        assert remaining[1] in (29, 30)
        assert (await client.write_registers(BASE_ADDRESS, [0, 0], device_id=1)).exception_code == 2
        assert (await client.read_holding_registers(BASE_ADDRESS - 1, count=1, device_id=1)).exception_code == 2
        client.close()


async def test_the_fleet_s_load_reaches_the_meter_and_the_trace(tmp_path: Path) -> None:
    async with simulator("plant", {**CONFIG, "out_dir": str(tmp_path)}, tmp_path) as ready:
        client = AsyncModbusTcpClient("127.0.0.1", port=ready["devices"]["meter"])
        assert await client.connect()
        load = EvLoad(sequence=1, i1_ma=500_000, i2_ma=500_000, i3_ma=500_000, power_w=345_000)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.sendto(b"garbage", ("127.0.0.1", ready["ev_udp_port"]))
            sender.sendto(load.pack(), ("127.0.0.1", ready["ev_udp_port"]))

        async def is_metered() -> bool:
            return (await client.read_holding_registers(W_ADDRESS, count=1, device_id=1)).registers[0] > 3000

        async def is_traced() -> bool:
            return ",345000," in await text_of(tmp_path / "trace.csv")

        await eventually(is_metered)
        await eventually(is_traced)
        client.close()
    trace = parse_trace((tmp_path / "trace.csv").read_text(encoding="utf-8").splitlines())
    assert trace[-1].ev_w == 345_000
    assert trace[-1].net_w > 300_000
    gaps = [later.utc_ms - earlier.utc_ms for earlier, later in itertools.pairwise(trace)]
    assert max(gaps) < 1000
    assert sorted(gaps)[len(gaps) // 2] == pytest.approx(100, abs=25)
