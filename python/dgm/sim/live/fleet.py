"""The fleet process: all stations of the site as OCPP-J clients, with their cars, on one event loop.

    timeline ──plug, unplug──> Station (machine, one per charge point) ──frames──> WebSocket ──> gateway
                                   │ currents                            └──> fleet-frames.jsonl
                                   ├──UDP, 20 Hz──> plant
                                   └──> cars.csv, fleet.json (1 Hz)

The WebSocket client is `websockets`; CALLs that arrive are held against the JSON schemas of the `ocpp` library, as a
second opinion on what the product sends. A station that has lost its gateway charges on by its installed profiles.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import socket
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, assert_never

import ocpp.messages
from ocpp.exceptions import OCPPError
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, WebSocketException
from websockets.typing import Subprotocol

from dgm.machine import Now, Tick
from dgm.sim.car import CarSpec
from dgm.sim.connector import Connector, ConnectorPlan
from dgm.sim.live.frames import FrameLog
from dgm.sim.live.process import LineFile, announce, flushing, mono_ms, run, utc_ms, wait_for_stop
from dgm.sim.plant import EvLoad
from dgm.sim.station import (
    Connected,
    Disconnected,
    Effect,
    Event,
    Hangup,
    Plug,
    Received,
    Send,
    Station,
    StationPlan,
    Unplug,
)
from dgm.sim.station_2x import Station2x

STEP_S = 0.05
STATION_EVERY = 2
"""Stations are stepped at every second step: at 10 Hz."""

CARS_INTERVAL_MS = 1000
RECONNECT_MS = (500, 8000)
"""First and longest wait before a station tries again; doubled each time, with jitter."""

CONNECT_SPREAD_S = 2.0
OPEN_TIMEOUT_S = 10.0
CLOSE_TIMEOUT_S = 1.0
PING_INTERVAL_S = 30.0
FRAME_BYTES_MAX = 256 * 1024
OUTBOX_MAX = 512
CARS_HEADER = "utc_ms,evse,class,phases,cap_ma,current_ma,power_w,plugged,offered_ma,status"


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetEvse:
    """One EVSE of the fleet: its station, its class and the grid phases (1..3) of its own L1, L2, L3."""

    id: str
    evse_class: str
    grid_phases: tuple[int, ...]
    station: StationPlan
    connector_id: int


@dataclass(slots=True, kw_only=True)
class Stay:
    """One car's stay at an EVSE; instants in UTC ms."""

    evse_id: str
    car: CarSpec
    plug_utc_ms: int
    unplug_utc_ms: int | None
    plugged_utc_ms: int | None = None
    unplugged_utc_ms: int | None = None
    energy_wh: float = 0.0

    @property
    def is_waiting(self) -> bool:
        """Not yet plugged in."""
        return self.plugged_utc_ms is None


class Client:
    """One station on its WebSocket."""

    def __init__(self, station: Station | Station2x, url: str, log: FrameLog, draw: random.Random) -> None:
        self.station = station
        self.schema_violations = 0
        self.reconnects = -1
        self._url = f"{url.rstrip('/')}/{station.plan.id}"
        self._log = log
        self._draw = draw
        self._outbox: asyncio.Queue[Send | Hangup] = asyncio.Queue(maxsize=OUTBOX_MAX)
        self._wait_ms = RECONNECT_MS[0]

    def take(self, event: Event) -> None:
        """Give the machine an event and queue what it wants sent."""
        for effect in self.station.handle(event, Now(mono_ms=mono_ms(), utc_ms=utc_ms())):
            self._put(effect)

    def _put(self, effect: Effect) -> None:
        try:
            self._outbox.put_nowait(effect)
        except asyncio.QueueFull:
            raise RuntimeError(f"{self.station.plan.id}: more than {OUTBOX_MAX} frames wait for the socket") from None

    async def run(self) -> None:
        """Connect, talk, come back, until cancelled."""
        await asyncio.sleep(self._draw.uniform(0.0, CONNECT_SPREAD_S))
        while True:
            with contextlib.suppress(OSError, TimeoutError, WebSocketException):
                await self._connect_once()
            await asyncio.sleep(self._wait_ms * self._draw.uniform(0.7, 1.3) / 1000.0)
            self._wait_ms = min(RECONNECT_MS[1], self._wait_ms * 2)

    async def _connect_once(self) -> None:
        async with connect(
            self._url,
            subprotocols=[Subprotocol(self.station.plan.subprotocol)],
            compression=None,
            open_timeout=OPEN_TIMEOUT_S,
            ping_interval=PING_INTERVAL_S,
            max_size=FRAME_BYTES_MAX,
            close_timeout=CLOSE_TIMEOUT_S,
            proxy=None,
            user_agent_header=f"{self.station.plan.vendor}/{self.station.plan.model}".encode(
                "ascii", "replace"
            ).decode(),
        ) as connection:
            self.reconnects += 1
            self._wait_ms = RECONNECT_MS[0]
            self.take(Connected())
            try:
                await self._talk(connection)
            finally:
                self.take(Disconnected())
                self._drop_outbox()

    async def _talk(self, connection: ClientConnection) -> None:
        sending = asyncio.create_task(self._send_forever(connection))
        try:
            async for message in _messages(connection):
                self._log.received_frame(self.station.plan.id, message)
                text = message.decode("utf-8", "replace")
                self.schema_violations += not is_valid_call(text, self.station.plan.subprotocol)
                self.take(Received(text))
                if sending.done():
                    break
        finally:
            sending.cancel()
            with contextlib.suppress(asyncio.CancelledError, ConnectionClosed):
                await sending

    async def _send_forever(self, connection: ClientConnection) -> None:
        while True:
            effect = await self._outbox.get()
            match effect:
                case Send(text=text):
                    # Logged first: an answer must never be seen before its question.
                    self._log.sent_frame(
                        self.station.plan.id,
                        text,
                        message_type=effect.message_type,
                        message_id=effect.message_id,
                        action=effect.action,
                        cause=effect.cause,
                    )
                    await connection.send(text)
                case Hangup(wait_ms=wait_ms):
                    self._wait_ms = wait_ms
                    await connection.close()
                    return
                case _:
                    assert_never(effect)

    def _drop_outbox(self) -> None:
        while not self._outbox.empty():
            self._outbox.get_nowait()


async def _messages(connection: ClientConnection) -> Any:
    while True:
        try:
            message = await connection.recv(decode=False)
        except ConnectionClosed:
            return
        yield message


def is_valid_call(text: str, subprotocol: str) -> bool:
    """Whether a CALL keeps to its JSON schema (answers are not looked at: most are the CSMS's own)."""
    try:
        message = ocpp.messages.unpack(text)
        if isinstance(message, ocpp.messages.Call):
            ocpp.messages._validate_payload(message, subprotocol.removeprefix("ocpp"))
    except OCPPError:
        return False
    return True


class Fleet:
    """All clients with the timeline of cars and the result files."""

    def __init__(
        self, evses: Sequence[FleetEvse], stays: Sequence[Stay], clients: Mapping[str, Client], cars: LineFile
    ) -> None:
        self._evses = {evse.id: evse for evse in evses}
        self._stays = list(stays)
        self._clients = clients
        self._cars = cars
        self._sequence = 0

    def client_of(self, evse_id: str) -> Client:
        """The client whose station has this EVSE."""
        return self._clients[self._evses[evse_id].station.id]

    def connector_of(self, evse_id: str) -> Connector:
        """The connector behind an EVSE."""
        return self.client_of(evse_id).station.connectors[self._evses[evse_id].connector_id]

    def move_cars(self, now_utc_ms: int) -> None:
        """Plug in and unplug what is due."""
        for stay in self._stays:
            if stay.is_waiting and now_utc_ms >= stay.plug_utc_ms:
                stay.plugged_utc_ms = now_utc_ms
                self._take(stay.evse_id, Plug(connector_id=self._evses[stay.evse_id].connector_id, car=stay.car))
            elif stay.unplugged_utc_ms is None and not stay.is_waiting:
                car = self.connector_of(stay.evse_id).car
                stay.energy_wh = car.energy_wh if car is not None else stay.energy_wh
                if stay.unplug_utc_ms is not None and now_utc_ms >= stay.unplug_utc_ms:
                    stay.unplugged_utc_ms = now_utc_ms
                    self._take(stay.evse_id, Unplug(connector_id=self._evses[stay.evse_id].connector_id))

    def _take(self, evse_id: str, event: Event) -> None:
        self.client_of(evse_id).take(event)

    def tick(self) -> None:
        """Step all stations."""
        for client in self._clients.values():
            client.take(Tick())

    def load(self) -> EvLoad:
        """What all cars draw now, by phase of the grid."""
        self._sequence += 1
        phase_ma = [0, 0, 0]
        power_w = 0
        for evse in self._evses.values():
            connector = self.connector_of(evse.id)
            current_ma = connector.current_ma
            if current_ma:
                for grid_phase in evse.grid_phases[: connector.phases]:
                    phase_ma[grid_phase - 1] += current_ma
                power_w += connector.power_w(evse.station.voltage_mv)
        return EvLoad(sequence=self._sequence, i1_ma=phase_ma[0], i2_ma=phase_ma[1], i3_ma=phase_ma[2], power_w=power_w)

    def write_cars(self, now_utc_ms: int) -> None:
        """One row per EVSE."""
        for evse in self._evses.values():
            connector = self.connector_of(evse.id)
            self._cars.write(
                f"{now_utc_ms},{evse.id},{evse.evse_class},{connector.phases},{connector.cap_ma},{connector.current_ma},"
                f"{connector.power_w(evse.station.voltage_mv)},{int(connector.car is not None)},"
                f"{connector.offered_ma},{connector.status}"
            )

    def report(self) -> dict[str, Any]:
        """What fleet.json says."""
        stations = [client.station for client in self._clients.values()]
        return {
            "cars": [self._car_report(stay) for stay in self._stays if not stay.is_waiting],
            "stations": len(stations),
            "accepted": sum(station.is_accepted for station in stations),
            "reconnects": sum(max(0, client.reconnects) for client in self._clients.values()),
            "schema_violations": sum(client.schema_violations for client in self._clients.values()),
            "profiles": sum(len(station.profiles.profiles) for station in stations),
            "counters": _summed([asdict(station.counters) for station in stations]),
        }

    def _car_report(self, stay: Stay) -> dict[str, Any]:
        return {
            "evse": stay.evse_id,
            "class": self._evses[stay.evse_id].evse_class,
            "plug_utc_ms": stay.plugged_utc_ms,
            "unplug_utc_ms": stay.unplugged_utc_ms,
            "energy_wh": round(stay.energy_wh, 3),
        }


def _summed(rows: Sequence[Mapping[str, int]]) -> dict[str, int]:
    return {name: sum(row[name] for row in rows) for name in rows[0]} if rows else {}


def write_report(path: Path, report: Mapping[str, Any]) -> None:
    """Replace fleet.json at once, so that a reader never sees half of it."""
    fresh = path.with_suffix(".new")
    fresh.write_text(json.dumps(report, indent=1), encoding="utf-8")
    fresh.replace(path)


async def _drive(fleet: Fleet, plant_address: tuple[str, int], report_path: Path) -> None:
    """The clock of the fleet: EV load at 20 Hz, stations at 10 Hz, cars.csv and fleet.json at 1 Hz."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams:
        datagrams.setblocking(False)
        cars_due_ms = mono_ms()
        step = 0
        while True:
            if step % STATION_EVERY == 0:
                fleet.move_cars(utc_ms())
                fleet.tick()
            with contextlib.suppress(OSError):
                datagrams.sendto(fleet.load().pack(), plant_address)
            if mono_ms() >= cars_due_ms:
                fleet.write_cars(utc_ms())
                write_report(report_path, fleet.report())
                cars_due_ms += CARS_INTERVAL_MS
            step += 1
            await asyncio.sleep(STEP_S)


def build(config: Mapping[str, Any], log: FrameLog, cars: LineFile) -> tuple[Fleet, list[Client]]:
    """The fleet of a configuration (see timeline.fleet_config)."""
    chance = random.Random(config["seed"])
    evses = [_evse(raw) for raw in config["evses"]]
    clients: dict[str, Client] = {}
    for evse in evses:
        if evse.station.id not in clients:
            station = _machine(evse.station, random.Random(chance.getrandbits(64)))
            clients[evse.station.id] = Client(
                station, config["gateway_url"], log, random.Random(chance.getrandbits(64))
            )
    stays = [
        Stay(
            evse_id=raw["evse_id"],
            car=CarSpec(**raw["car"]),
            plug_utc_ms=config["start_utc_ms"] + raw["plug_ms"],
            unplug_utc_ms=None if raw["unplug_ms"] is None else config["start_utc_ms"] + raw["unplug_ms"],
        )
        for raw in config["stays"]
    ]
    return Fleet(evses, stays, clients, cars), list(clients.values())


def _machine(plan: StationPlan, draw: random.Random) -> Station | Station2x:
    return Station(plan, draw) if plan.subprotocol == "ocpp1.6" else Station2x(plan, draw, plan.subprotocol)


def _evse(raw: Mapping[str, Any]) -> FleetEvse:
    station = dict(raw["station"])
    station["connectors"] = tuple(ConnectorPlan(**connector) for connector in station["connectors"])
    return FleetEvse(
        id=raw["id"],
        evse_class=raw["evse_class"],
        grid_phases=tuple(raw["grid_phases"]),
        station=StationPlan(**station),
        connector_id=raw["connector_id"],
    )


async def main(config: Mapping[str, Any]) -> None:
    """Run the fleet until stopped."""
    out_dir = Path(config["out_dir"])
    frames_file = LineFile(out_dir / "fleet-frames.jsonl")
    cars_file = LineFile(out_dir / "cars.csv", header=CARS_HEADER)
    log = FrameLog(frames_file)
    fleet, clients = build(config, log, cars_file)
    plant_host, plant_port = config["plant_udp"]
    async with flushing(frames_file, cars_file):
        tasks = [asyncio.create_task(client.run()) for client in clients]
        tasks.append(asyncio.create_task(_drive(fleet, (plant_host, plant_port), out_dir / "fleet.json")))
        announce({"stations": len(clients)})
        stopping = asyncio.create_task(wait_for_stop(config["max_seconds"]))
        done, _ = await asyncio.wait([*tasks, stopping], return_when=asyncio.FIRST_COMPLETED)
        report = fleet.report()
        for task in [*tasks, stopping]:
            task.cancel()
        await asyncio.gather(*tasks, stopping, return_exceptions=True)
    report["frames_sent"], report["frames_received"] = log.sent, log.received
    write_report(out_dir / "fleet.json", report)
    for task in done - {stopping}:
        task.result()


if __name__ == "__main__":
    run(main)
