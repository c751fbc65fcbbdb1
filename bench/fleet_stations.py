"""Simulated stations of the fleet benchmark: sockets that send MeterValues, time the answers, and keep their profiles.

A station here is as cheap as it can be, so that the sender is not what is measured. Towards the gateway it is complete
enough to have its limits installed and proved by read-back: then every reading takes the way it takes on a site.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidHandshake
from websockets.typing import Subprotocol

from dgm.sim.profiles import ProfileStore, parse_profile

CURRENT_MAX_MA = 16_000
CONNECT_AT_ONCE = 50
ANSWER_S = 20.0
QUIET_S = 1.5
"""No CALL from the gateway for this long: it has installed and proved what it wants."""
SETTLE_S_MAX = 25.0


def meter_values(current_ma: int) -> dict[str, Any]:
    """Eight sampled values of now, about 700 bytes on the wire."""
    current_a, power_w = current_ma / 1000, current_ma * 3 * 230 // 1000
    currents = [
        {"value": f"{current_a:.1f}", "measurand": "Current.Import", "phase": phase, "unit": "A"}
        for phase in ("L1", "L2", "L3")
    ]
    voltages = [
        {"value": "230.1", "measurand": "Voltage", "phase": phase, "unit": "V"} for phase in ("L1-N", "L2-N", "L3-N")
    ]
    others = [
        {"value": str(power_w), "measurand": "Power.Active.Import", "unit": "W"},
        {"value": "123456", "measurand": "Energy.Active.Import.Register", "unit": "Wh"},
    ]
    timestamp = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    value = {"timestamp": timestamp, "sampledValue": currents + voltages + others}
    return {"connectorId": 1, "transactionId": 4711, "meterValue": [value]}


@dataclass
class Load:
    """What one phase measured: round trips in ms and their count per second."""

    latencies_ms: list[float] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def per_second(self) -> float:
        """Round trips per second."""
        return len(self.latencies_ms) / self.seconds

    def quantile(self, share: float) -> float:
        """Latency in ms that this share of the round trips kept to."""
        ordered = sorted(self.latencies_ms)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


class Station:
    """One client socket: answers the gateway's own CALLs, measures the answers to its own."""

    def __init__(self, socket: ClientConnection) -> None:
        self.asked_s = time.monotonic()
        self.proved = False
        self._socket = socket
        self._waiting: dict[str, asyncio.Future[None]] = {}
        self._profiles = ProfileStore()
        self._next = 0
        self._reader = asyncio.create_task(self._read())

    async def call(self, action: str, payload: dict[str, Any], load: Load) -> None:
        """Send a CALL and wait for its answer."""
        self._next += 1
        message_id = str(self._next)
        text = json.dumps([2, message_id, action, payload], separators=(",", ":"))
        done = self._waiting[message_id] = asyncio.get_running_loop().create_future()
        started_s = time.perf_counter()
        await self._socket.send(text)
        await asyncio.wait_for(done, ANSWER_S)
        load.latencies_ms.append((time.perf_counter() - started_s) * 1000)

    async def boot(self) -> None:
        """Boot and say that a car charges."""
        await self.call("BootNotification", {"chargePointVendor": "bench", "chargePointModel": "bench"}, Load())
        status = {"connectorId": 1, "status": "Charging", "errorCode": "NoError"}
        await self.call("StatusNotification", status, Load())
        await self.read(Load())

    async def read(self, load: Load) -> None:
        """Report a car that takes all it is allowed."""
        await self.call("MeterValues", meter_values(self._limit_ma(time.time_ns() // 1_000_000)), load)

    async def close(self) -> None:
        """End the connection."""
        await self._socket.close()
        await asyncio.gather(self._reader, return_exceptions=True)

    async def _read(self) -> None:
        async for text in self._socket:
            frame = json.loads(text)
            if frame[0] == 2:
                self.asked_s = time.monotonic()
                await self._socket.send(json.dumps([3, frame[1], self._answer(frame[2], frame[3])]))
            elif frame[1] in self._waiting:
                self._waiting.pop(frame[1]).set_result(None)

    def _answer(self, action: str, payload: dict[str, Any]) -> dict[str, Any]:
        match action:
            case "SetChargingProfile":
                profile = parse_profile(payload["connectorId"], payload["csChargingProfiles"])
                assert profile is not None, payload
                return {"status": self._profiles.install(profile, active_transactions={})}
            case "GetCompositeSchedule":
                return self._composite(payload["duration"])
            case _:
                return {"status": "Rejected"}

    def _composite(self, duration_s: int) -> dict[str, Any]:
        now_ms = time.time_ns() // 1_000_000
        edge_ms = self._profiles.next_edge_ms(now_ms, transaction_start_ms=None)
        offsets_s = [0] if edge_ms is None else [0, -(-(edge_ms - now_ms) // 1000)]
        periods = [{"startPeriod": at, "limit": self._limit_ma(now_ms + at * 1000) / 1000} for at in offsets_s]
        self.proved = self._limit_ma(now_ms) == CURRENT_MAX_MA
        schedule = {"duration": duration_s, "chargingRateUnit": "A", "chargingSchedulePeriod": periods}
        return {"status": "Accepted", "connectorId": 0, "chargingSchedule": schedule}

    def _limit_ma(self, utc_ms: int) -> int:
        return self._profiles.limit_ma(1, utc_ms, hardware_ma=CURRENT_MAX_MA, phases=3, transaction_start_ms=None)


async def connected(url: str, ids: Sequence[str]) -> list[Station]:
    """Open and boot all stations."""

    async def one(name: str) -> Station:
        socket = await connect(
            f"{url}/{name}", subprotocols=[Subprotocol("ocpp1.6")], compression=None, open_timeout=30
        )
        station = Station(socket)
        await station.boot()
        return station

    found: list[Station] = []
    for start in range(0, len(ids), CONNECT_AT_ONCE):
        found += await asyncio.gather(*(one(name) for name in ids[start : start + CONNECT_AT_ONCE]))
    return found


@dataclass
class Storm:
    """A power cut's end: `sent` CALLs of stations that came back, `answered` of them; connecting and answers in ms."""

    sent: int = 0
    answered: int = 0
    refused: int = 0
    connecting: Load = field(default_factory=Load)
    answers: Load = field(default_factory=Load)


async def storm(url: str, ids: Sequence[str], *, seconds: float, backlog: int) -> Storm:
    """Every station comes back at its own moment within `seconds`, boots, and sends what it has stored."""
    found = Storm()

    async def one(name: str, offset_s: float) -> None:
        await asyncio.sleep(offset_s)
        started_s = time.perf_counter()
        try:
            socket = await connect(
                f"{url}/{name}", subprotocols=[Subprotocol("ocpp1.6")], compression=None, open_timeout=30
            )
        except (OSError, InvalidHandshake, TimeoutError):
            found.refused += 1
            return
        found.connecting.latencies_ms.append((time.perf_counter() - started_s) * 1000)
        station = Station(socket)
        found.sent += 3 + backlog
        await station.boot()
        for _ in range(backlog):
            await station.read(found.answers)
        found.answered += 3 + backlog
        await asyncio.sleep(max(0.0, seconds - offset_s))
        await station.close()

    await asyncio.gather(*(one(name, i * seconds / len(ids)) for i, name in enumerate(ids)))
    found.answers.seconds = seconds
    return found


async def settled(stations: Sequence[Station]) -> None:
    """Until every station was read back at its full limit and the gateway asks nothing more."""
    end_s = time.monotonic() + SETTLE_S_MAX
    while time.monotonic() < end_s:
        is_quiet = time.monotonic() - max(station.asked_s for station in stations) > QUIET_S
        if is_quiet and all(station.proved for station in stations):
            return
        await asyncio.gather(*(station.read(Load()) for station in stations))
        await asyncio.sleep(0.5)
    proved = sum(station.proved for station in stations)
    raise SystemExit(f"{proved} of {len(stations)} stations had their limit proved within {SETTLE_S_MAX} s")


async def paced(stations: Sequence[Station], rate_hz: float, seconds: float) -> Load:
    """Every station sends at `rate_hz`, phases spread evenly."""
    load = Load()

    async def one(station: Station, offset_s: float) -> None:
        loop = asyncio.get_running_loop()
        due_s, end_s = loop.time() + offset_s, loop.time() + seconds
        while due_s < end_s:
            await asyncio.sleep(max(0.0, due_s - loop.time()))
            await station.read(load)
            due_s += 1 / rate_hz

    started_s = time.perf_counter()
    await asyncio.gather(*(one(station, i / len(stations) / rate_hz) for i, station in enumerate(stations)))
    load.seconds = time.perf_counter() - started_s
    return load


async def closed_loop(stations: Sequence[Station], seconds: float) -> Load:
    """Every station sends its next frame when the last was answered."""
    load = Load()
    started_s = time.perf_counter()

    async def one(station: Station) -> None:
        while time.perf_counter() < started_s + seconds:
            await station.read(load)

    await asyncio.gather(*(one(station) for station in stations))
    load.seconds = time.perf_counter() - started_s
    return load
