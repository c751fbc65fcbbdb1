"""The plant process: steps the site in real time, serves its devices by Modbus TCP and writes the judge's trace.

    fleet ──UDP──> EvLoad ──> Plant (50 Hz) ──> trace.csv (10 Hz)
                                │  ▲
            refresh at each read│  │ apply after each write
                      pymodbus TCP server per device  <── the product's master

The server is pymodbus, an implementation the product does not use.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from typing import Any

from pymodbus.constants import ExcCodes
from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

from dgm.sim.devices import Device, devices_of
from dgm.sim.live.process import LineFile, announce, flushing, mono_ms, run, utc_ms, wait_for_stop
from dgm.sim.plant import NO_EV_LOAD, EvLoad, Plant, PlantConfig, Reading
from dgm.sim.sunspec import BASE_ADDRESS

HOST = "127.0.0.1"
STEP_S = 0.02
TRACE_INTERVAL_MS = 100
EV_STALE_MS = 2000
"""EV load older than this is held, and the time is counted."""

TRACE_HEADER = "utc_ms,net_w,i1_ma,i2_ma,i3_ma,building_w,pv_w,battery_w,ev_w,soc_permille"
_UNIT_ID = 1

Action = Callable[
    [int, int, int, int, list[int], list[int] | list[bool] | None], Coroutine[None, None, ExcCodes | None]
]


class EvReceiver(asyncio.DatagramProtocol):
    """Keeps the newest EV load that the fleet has sent."""

    def __init__(self) -> None:
        self.load = NO_EV_LOAD
        self.received_ms: int | None = None
        self.datagrams = 0

    def datagram_received(self, data: bytes, addr: object) -> None:
        """Take a newer report; an older one counts only after a silence, when the fleet has started anew."""
        load = EvLoad.unpack(data)
        if load is None or (load.sequence <= self.load.sequence and not self.is_stale()):
            return
        self.load = load
        self.received_ms = mono_ms()
        self.datagrams += 1

    def is_stale(self) -> bool:
        """Whether the fleet has been silent for too long."""
        return self.received_ms is None or mono_ms() - self.received_ms > EV_STALE_MS


class LivePlant:
    """The plant under the real clock, with its trace."""

    def __init__(self, plant: Plant, receiver: EvReceiver, trace: LineFile) -> None:
        self.plant = plant
        self.stale_ms = 0
        self.longest_step_ms = 0
        self._receiver = receiver
        self._trace = trace

    async def run(self) -> None:
        """Step until cancelled."""
        last_ms = mono_ms()
        trace_due_ms = last_ms
        while True:
            await asyncio.sleep(STEP_S)
            now_ms = mono_ms()
            self._step(now_ms - last_ms)
            last_ms = now_ms
            if now_ms >= trace_due_ms:
                self._trace.write(trace_line(utc_ms(), self.plant.reading()))
                trace_due_ms = max(trace_due_ms + TRACE_INTERVAL_MS, now_ms - TRACE_INTERVAL_MS)

    def _step(self, elapsed_ms: int) -> None:
        self.longest_step_ms = max(self.longest_step_ms, elapsed_ms)
        if self._receiver.datagrams and self._receiver.is_stale():
            self.stale_ms += elapsed_ms
        self.plant.step(elapsed_ms / 1000.0, self._receiver.load)


def trace_line(stamp_ms: int, reading: Reading) -> str:
    """One row of trace.csv; all integers, positive power flows into the thing named (pv_w is output)."""
    i1_ma, i2_ma, i3_ma = (round(current_a * 1000) for current_a in reading.phase_a)
    return (
        f"{stamp_ms},{round(reading.net_w)},{i1_ma},{i2_ma},{i3_ma},{round(reading.building_w)},"
        f"{round(sum(reading.pv_w))},{round(reading.battery_w)},{round(reading.ev_w)},{reading.soc_permille}"
    )


def _simdata(device: Device) -> list[SimData]:
    """The image as blocks of equal access: the writable points, and all else read-only."""
    writable: set[int] = set()
    for model, name in device.writable:
        point = device.image.point(model, name)
        writable.update(range(point.address, point.address + point.width))
    blocks: list[SimData] = []
    start = 0
    words = device.image.words
    for index in range(1, len(words) + 1):
        here = BASE_ADDRESS + start in writable
        if index == len(words) or (BASE_ADDRESS + index in writable) != here:
            values = list(words[start:index])
            blocks.append(SimData(BASE_ADDRESS + start, values=values, datatype=DataType.REGISTERS, readonly=not here))
            start = index
    return blocks


def _action(device: Device, plant: Plant) -> Action:
    async def on_access(
        _function: int,
        start_address: int,
        address: int,
        count: int,
        registers: list[int],
        values: list[int] | list[bool] | None,
    ) -> ExcCodes | None:
        words = device.image.words
        if values is not None:
            offset = address - start_address
            words[offset : offset + count] = [int(value) for value in values]
            device.apply(address=address, count=count)
        device.refresh(plant.reading())
        registers[: len(words)] = words
        return None

    return on_access


async def serve(device: Device, plant: Plant) -> tuple[Any, int]:
    """Start the Modbus server of one device; returns it (pymodbus leaves it untyped) and its port."""
    unit = SimDevice(_UNIT_ID, _simdata(device), action=_action(device, plant))
    server: Any = ModbusTcpServer(unit, address=(HOST, 0))
    await server.serve_forever(background=True)
    return server, server.transport.sockets[0].getsockname()[1]


async def main(config: Mapping[str, Any]) -> None:
    """Run the plant of {"plant": PlantConfig, "seed": int, "out_dir": str, "max_seconds": float}."""
    out_dir = Path(config["out_dir"])
    plant = Plant(PlantConfig(**config["plant"]), random.Random(config["seed"]))
    servers = {name: await serve(device, plant) for name, device in devices_of(plant).items()}
    loop = asyncio.get_running_loop()
    transport, receiver = await loop.create_datagram_endpoint(EvReceiver, local_addr=(HOST, 0))
    trace = LineFile(out_dir / "trace.csv", header=TRACE_HEADER)
    live = LivePlant(plant, receiver, trace)
    async with flushing(trace):
        stepping = asyncio.create_task(live.run())
        announce(
            {
                "devices": {name: port for name, (_, port) in servers.items()},
                "unit_id": _UNIT_ID,
                "ev_udp_port": transport.get_extra_info("sockname")[1],
            }
        )
        stopping = asyncio.create_task(wait_for_stop(config["max_seconds"]))
        await asyncio.wait((stepping, stopping), return_when=asyncio.FIRST_COMPLETED)
        for task in (stepping, stopping):
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
    transport.close()
    for server, _ in servers.values():
        await server.shutdown()
    (out_dir / "plant-report.json").write_text(json.dumps(_report(live, receiver), indent=1), encoding="utf-8")


def _report(live: LivePlant, receiver: EvReceiver) -> dict[str, int]:
    plant = live.plant
    return {
        "ev_datagrams": receiver.datagrams,
        "ev_stale_ms": live.stale_ms,
        "longest_step_ms": live.longest_step_ms,
        "battery_reverts": plant.battery.setpoint.reverts,
        "pv_reverts": sum(inverter.limit.reverts for inverter in plant.inverters),
        "battery_charged_wh": round(plant.battery.charged_wh),
        "battery_discharged_wh": round(plant.battery.discharged_wh),
        "pv_wh": round(sum(inverter.energy_wh for inverter in plant.inverters)),
    }


if __name__ == "__main__":
    run(main)
