"""One CSMS process: a central system for any station that connects, on the `ocpp` library's ChargePoint.

    station id = last path segment ──> Tap (hashes every frame) ──> ocpp.v16.ChargePoint, or csms_2x ──> answers
                                                                 └──now and then──> CALLs of the CPO's own

Everything is accepted; the point is that an independent implementation validates each frame and that both directions
carry traffic. Frames are logged to csms-<id>-frames.jsonl as the fleet logs its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import logging
import random
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import ocpp.messages
from ocpp.routing import on
from ocpp.v16 import ChargePoint, call, call_result
from ocpp.v16.enums import Action
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from dgm.sim.live import csms_2x
from dgm.sim.live.frames import FrameLog, head_of
from dgm.sim.live.process import LineFile, announce, flushing, run, utc_ms, wait_for_stop
from dgm.sim.stamps import format_time

HOST = "127.0.0.1"
STATIONS_MAX = 1000
FRAME_BYTES_MAX = 256 * 1024
PING_INTERVAL_S = 25.0
CALL_TIMEOUT_S = 20.0
CLOSE_TIMEOUT_S = 1.0
HEARTBEAT_S = 300
QUIET_S = 5.0
"""After a station has connected, the CPO leaves it alone for so long."""


class Tap:
    """The connection as the `ocpp` library wants it, hashing what passes."""

    def __init__(self, station: str, connection: ServerConnection, log: FrameLog) -> None:
        self._station = station
        self._connection = connection
        self._log = log

    async def recv(self) -> str:
        """Next frame."""
        while True:
            raw = await self._connection.recv(decode=False)
            self._log.received_frame(self._station, raw)
            # Frames of 2.1 that are never answered; the library does not know them.
            if head_of(raw)[0] not in (5, 6):
                return raw.decode("utf-8", "replace")

    async def send(self, message: str) -> None:
        """Send one frame."""
        self._log.sent_text(self._station, message)
        await self._connection.send(message)


class Central(ChargePoint):  # type: ignore[misc]  # the library is untyped
    """What the CPO's backend does with one station."""

    def __init__(self, station: str, tap: Tap, transactions: Iterator[int], counters: dict[str, int]) -> None:
        super().__init__(station, tap, response_timeout=CALL_TIMEOUT_S)
        self._transactions = transactions
        self._counters = counters

    @on(Action.boot_notification)  # type: ignore[untyped-decorator]
    def on_boot(self, **_: Any) -> call_result.BootNotification:
        """Accept the station."""
        return call_result.BootNotification(current_time=format_time(utc_ms()), interval=HEARTBEAT_S, status="Accepted")

    @on(Action.heartbeat)  # type: ignore[untyped-decorator]
    def on_heartbeat(self, **_: Any) -> call_result.Heartbeat:
        """Tell the time."""
        return call_result.Heartbeat(current_time=format_time(utc_ms()))

    @on(Action.status_notification)  # type: ignore[untyped-decorator]
    def on_status(self, **_: Any) -> call_result.StatusNotification:
        """Take note."""
        return call_result.StatusNotification()

    @on(Action.authorize)  # type: ignore[untyped-decorator]
    def on_authorize(self, **_: Any) -> call_result.Authorize:
        """Everybody may charge."""
        return call_result.Authorize(id_tag_info={"status": "Accepted"})

    @on(Action.start_transaction)  # type: ignore[untyped-decorator]
    def on_start(self, **_: Any) -> call_result.StartTransaction:
        """Open a transaction."""
        self._counters["started"] += 1
        return call_result.StartTransaction(transaction_id=next(self._transactions), id_tag_info={"status": "Accepted"})

    @on(Action.stop_transaction)  # type: ignore[untyped-decorator]
    def on_stop(self, **_: Any) -> call_result.StopTransaction:
        """Close a transaction."""
        self._counters["stopped"] += 1
        return call_result.StopTransaction(id_tag_info={"status": "Accepted"})

    @on(Action.meter_values)  # type: ignore[untyped-decorator]
    def on_meter_values(self, **_: Any) -> call_result.MeterValues:
        """Count a reading."""
        self._counters["readings"] += 1
        return call_result.MeterValues()

    @on(Action.data_transfer)  # type: ignore[untyped-decorator]
    def on_data_transfer(self, **_: Any) -> call_result.DataTransfer:
        """Take the vendor's message."""
        return call_result.DataTransfer(status="Accepted", data="Grüße ✓")

    @staticmethod
    def own_call(number: int) -> Any:
        """The CPO's own CALLs, in turn."""
        match number % 4:
            case 0:
                return call.GetConfiguration(key=["HeartbeatInterval", "NumberOfConnectors", "NoSuchKey"])
            case 1:
                return call.TriggerMessage(requested_message="StatusNotification", connector_id=1)
            case 2:
                return call.SetChargingProfile(connector_id=1, cs_charging_profiles=default_profile())
            case _:
                return call.DataTransfer(vendor_id="org.example.cpo", message_id="Tariff", data='{"€/kWh": "0,49"}')


def default_profile() -> dict[str, Any]:
    """The CPO's TxDefaultProfile: 32 A at the lowest level."""
    return {
        "charging_profile_id": 501,
        "stack_level": 0,
        "charging_profile_purpose": "TxDefaultProfile",
        "charging_profile_kind": "Absolute",
        "charging_schedule": {
            "start_schedule": "2026-01-01T00:00:00Z",
            "charging_rate_unit": "A",
            "charging_schedule_period": [{"start_period": 0, "limit": 32.0}],
        },
    }


class Csms:
    """All stations of one CPO."""

    def __init__(self, log: FrameLog, *, seed: int, call_interval_s: float) -> None:
        self.counters = {"started": 0, "stopped": 0, "readings": 0, "calls": 0, "calls_failed": 0}
        self._log = log
        self._draw = random.Random(seed)
        self._call_interval_s = call_interval_s
        self._transactions = itertools.count(self._draw.randrange(1000, 9000) * 1000)
        self._connections: dict[str, ServerConnection] = {}

    async def serve_station(self, connection: ServerConnection) -> None:
        """Talk with one station until it goes; a new connection of the same station ends the old one."""
        path = connection.request.path if connection.request is not None else "/"
        station = unquote(path.rsplit("/", 1)[-1])
        if not station or len(self._connections) >= STATIONS_MAX:
            await connection.close(1008, "no station id, or too many stations")
            return
        old = self._connections.get(station)
        if old is not None:
            old.transport.abort()
        self._connections[station] = connection
        tap, central = Tap(station, connection, self._log), None
        if connection.subprotocol in csms_2x.CENTRALS:
            central = csms_2x.CENTRALS[connection.subprotocol](station, tap, self.counters)
        else:
            central = Central(station, tap, self._transactions, self.counters)
        calling = asyncio.create_task(self._call_forever(central))
        with contextlib.suppress(ConnectionClosed):
            await central.start()
        calling.cancel()
        await asyncio.gather(calling, return_exceptions=True)
        if self._connections.get(station) is connection:
            del self._connections[station]

    async def _call_forever(self, central: Central | csms_2x.Central2x) -> None:
        await asyncio.sleep(QUIET_S + self._draw.uniform(0.0, self._call_interval_s))
        for number in itertools.count(self._draw.randrange(4)):
            self.counters["calls"] += 1
            try:
                await central.call(central.own_call(number), suppress=False)
            except (TimeoutError, ConnectionClosed, ocpp.exceptions.OCPPError):
                self.counters["calls_failed"] += 1
            await asyncio.sleep(self._call_interval_s * self._draw.uniform(0.7, 1.3))


async def main(config: Mapping[str, Any]) -> None:
    """Run the CSMS of {"id", "seed", "call_interval_s", "out_dir", "max_seconds"}."""
    # A thread per validated frame costs more than the validation.
    ocpp.messages.ASYNC_VALIDATION = False
    logging.getLogger("ocpp").setLevel(logging.CRITICAL)
    logging.getLogger("websockets").setLevel(logging.CRITICAL)
    out_dir = Path(config["out_dir"])
    frames_file = LineFile(out_dir / f"csms-{config['id']}-frames.jsonl")
    log = FrameLog(frames_file)
    csms = Csms(log, seed=config["seed"], call_interval_s=config["call_interval_s"])
    async with (
        flushing(frames_file),
        serve(
            csms.serve_station,
            HOST,
            0,
            subprotocols=[Subprotocol(name) for name in (*csms_2x.CENTRALS, "ocpp1.6")],
            compression=None,
            max_size=FRAME_BYTES_MAX,
            close_timeout=CLOSE_TIMEOUT_S,
            ping_interval=PING_INTERVAL_S,
        ) as server,
    ):
        port = next(iter(server.sockets)).getsockname()[1]
        announce({"id": config["id"], "port": port, "url": f"ws://{HOST}:{port}"})
        await wait_for_stop(config["max_seconds"])
    report = {"id": config["id"], "frames_sent": log.sent, "frames_received": log.received, **csms.counters}
    (out_dir / f"csms-{config['id']}-report.json").write_text(json.dumps(report, indent=1), encoding="utf-8")


if __name__ == "__main__":
    run(main)
