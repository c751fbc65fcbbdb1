"""The simulated site of the end-to-end tests: the demo's world, small and quick, with three peers that can misbehave.

    LiveSite: plant · CSMSs · fleet (a process each)          in this process, on a thread of their own:
         └── site.yaml, rewritten a little ──┬── der.url ──> FickleUtility   answers, or garbage
                                             ├── pv-2 ─────> FickleDevice    ──> plant, or garbage
                                             └── CP-GOOD, CP-BAD ──> ScriptedCsms

The connection is wide, so that every car has its full current until a test puts a limit: what a limit does can then be
seen without guessing. Starts nothing of the product.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import threading
from collections.abc import Coroutine
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import yaml
from aiohttp import web
from e2e_books import BookingCsms
from websockets.asyncio.server import ServerConnection, serve
from websockets.typing import Subprotocol

from dgm.sim.car import CarSpec
from dgm.sim.live.judge import event_facts
from dgm.sim.live.process import utc_ms
from dgm.sim.live.site import LiveSite
from dgm.sim.live.utility import Utility, UtilityServer
from dgm.sim.records import EventFacts, TraceRow, parse_trace
from dgm.sim.timeline import CarStay, EvsePlan, Timeline, demo_timeline

ResultT = TypeVar("ResultT")

EVSES = 6
SEED = 5
IMPORT_W, SERVICE_MA = 150_000, 300_000
EVENT_W = 120_000
POLL_S = 1
LEAD_S = 3.0
"""From the start of the utility to the arrival of the cars."""

EVENT_AFTER_MS = 1000
EVENT_S = 1800
LIFE_S = 450.0
"""The simulator processes end by themselves after this and the 90 s of the shortest timeline."""

HOST = "127.0.0.1"
CALL_S = 30.0
STORED = "CP-STORED", "CP-STORED-2X"
GRID_PV = "pv-1"
"""The inverter whose grid code the utility may change."""
GOOD, BAD = "CP-GOOD", "CP-BAD"
"""Stations of the tests' own; each has one EVSE of 6 A."""


def small_timeline() -> Timeline:
    """Six EVSEs with a hungry car each, one long event that does not bind."""
    base = demo_timeline(evse_count=EVSES, seconds=90, seed=SEED, draw=random.Random(SEED))
    plant = replace(base.site.plant, service_ma=SERVICE_MA)
    return replace(
        base,
        site=replace(base.site, import_w=IMPORT_W, service_ma=SERVICE_MA, plant=plant),
        stays=tuple(_stay(evse, number) for number, evse in enumerate(base.evses)),
        event=replace(base.event, created_ms=-2000, start_ms=EVENT_AFTER_MS, duration_s=EVENT_S, import_w=EVENT_W),
        poll_s=POLL_S,
        csms_call_interval_s=2.0,
    )


def _stay(evse: EvsePlan, number: int) -> CarStay:
    car = CarSpec(
        id_tag=f"TAG-é{number:03d}",
        phases=evse.phases,
        current_max_ma=evse.current_max_ma,
        need_wh=200_000,
        delay_ms=500,
        ramp_ma_per_s=12_000,
    )
    return CarStay(evse_id=evse.id, car=car, plug_ms=0, unplug_ms=None)


class FickleDevice:
    """Stands before a Modbus device and passes everything on, or answers every request with random bytes."""

    def __init__(self, upstream_port: int) -> None:
        self.is_garbling = False
        self.garbled = 0
        self.port = 0
        self._upstream_port = upstream_port
        self._draw = random.Random(SEED)
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Listen on a free port."""
        self._server = await asyncio.start_server(self._serve, HOST, 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Close the listener."""
        if self._server is not None:
            self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        upstream_reader, upstream = await asyncio.open_connection(HOST, self._upstream_port)
        back = asyncio.create_task(self._pump(upstream_reader, writer))
        with contextlib.suppress(ConnectionError):
            while request := await reader.read(4096):
                if self.is_garbling:
                    self.garbled += 1
                    writer.write(self._draw.randbytes(60))
                else:
                    upstream.write(request)
        back.cancel()
        for side in (upstream, writer):
            side.close()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while answer := await reader.read(4096):
                writer.write(answer)
        writer.close()


class FickleUtility(Utility):
    """The simulated utility, or what a test wants said instead of every answer: (HTTP status, body)."""

    instead: tuple[int, bytes] | None = None

    async def handle(self, request: web.Request) -> web.Response:
        """Answer a request."""
        if self.instead is None:
            return await super().handle(request)
        status, body = self.instead
        return web.Response(status=status, body=body, content_type="application/sep+xml")


class ScriptedCsms:
    """A central system that answers what is asked and, when told, sends whatever a test wants."""

    def __init__(self) -> None:
        self.port = 0
        self.received: list[tuple[str, str]] = []
        self.connections: dict[str, ServerConnection] = {}
        self._server: Any = None

    async def start(self) -> None:
        """Listen on a free port."""
        self._server = await serve(
            self._talk, HOST, 0, subprotocols=[Subprotocol("ocpp1.6")], compression=None, max_size=None
        )
        self.port = next(iter(self._server.sockets)).getsockname()[1]

    async def stop(self) -> None:
        """Close the listener and all connections."""
        self._server.close()

    async def send(self, station: str, message: str | bytes) -> None:
        """Send text (str) or a binary message (bytes) to a station."""
        await self.connections[station].send(message)

    async def _talk(self, connection: ServerConnection) -> None:
        assert connection.request is not None
        station = connection.request.path.rsplit("/", 1)[-1]
        self.connections[station] = connection
        async for message in connection:
            self.received.append((station, str(message)))
            match json.loads(message):
                case [2, call_id, "BootNotification", *_]:
                    answer = {"status": "Accepted", "currentTime": "2026-01-01T00:00:00Z", "interval": 300}
                    await connection.send(json.dumps([3, call_id, answer]))
                case [2, call_id, *_]:
                    await connection.send(json.dumps([3, call_id, {"currentTime": "2026-01-01T00:00:00Z"}]))


class World:
    """All peers of one site. Synchronous to its user; what is asynchronous runs on a thread of its own."""

    def __init__(self, directory: Path, run_dir: Path) -> None:
        self.timeline = small_timeline()
        self.directory = directory
        self.run_dir = run_dir
        self.csms = ScriptedCsms()
        self.booking = BookingCsms()
        self.document: dict[str, Any] = {}
        self._site = LiveSite(self.timeline, directory, run_dir, lead_s=LEAD_S, tail_s=LIFE_S)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="world", daemon=True)

    @property
    def site_file(self) -> Path:
        """site.yaml."""
        return self._site.site_file

    @property
    def evse_ids(self) -> list[str]:
        """EVSEs of the fleet."""
        return [evse.id for evse in self.timeline.evses]

    @property
    def station_ids(self) -> list[str]:
        """Stations of the fleet."""
        return [evse.station.id for evse in self.timeline.evses]

    def start(self) -> None:
        """Start everything but the fleet."""
        self._thread.start()
        self.run(self._start())

    def start_fleet(self) -> None:
        """Start the stations."""
        self.run(self._site.start_fleet())

    def stop(self) -> None:
        """Stop every process and the thread."""
        try:
            self.run(self._stop())
        finally:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(CALL_S)

    def run(self, work: Coroutine[Any, Any, ResultT]) -> ResultT:
        """Run a coroutine on the world's thread and wait for it."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(CALL_S)

    def dead(self) -> list[str]:
        """Simulator processes that ended by themselves."""
        return self._site.dead()

    def event(self) -> EventFacts:
        """The utility's event as published."""
        return event_facts(self.timeline, start_utc_ms=self._site.start_utc_ms)

    def responses(self) -> list[int]:
        """Statuses of the responses to `event` that the utility has received, in order."""
        records = self.utility.records.responses
        return [int(record["status"]) for record in records if record["mrid"] == self.event().mrid]

    def requests(self, name: str) -> int:
        """How often the utility was asked for a document of this name with success."""
        return self.utility.records.requests[f"GET {name} 200"]

    def trace(self) -> tuple[TraceRow, ...]:
        """The plant's own 10 Hz trace of the connection point, so far."""
        return parse_trace(self.lines("trace.csv"))

    def lines(self, name: str) -> list[str]:
        """The finished lines of a result file, so far."""
        text = (self.directory / name).read_text(encoding="utf-8")
        return text[: text.rfind("\n") + 1].splitlines()

    async def _start(self) -> None:
        await self._site.start_world()
        document = yaml.safe_load(self.site_file.read_text(encoding="utf-8"))
        await self._take_over_utility(document)
        device = next(asset for asset in document["assets"] if asset["id"] == "pv-2")
        self.device = FickleDevice(device["modbus"]["port"])
        await self.device.start()
        await self.csms.start()
        device["modbus"]["port"] = self.device.port
        inverter = next(asset for asset in document["assets"] if asset["id"] == GRID_PV)
        inverter["grid_functions"] = ["FIXED_PF", "VAR", "VOLT_VAR"]
        document["ems"]["evse_up_interval_ms"] = 1000
        await self.booking.start()
        url = f"ws://{HOST}:{self.booking.port}"
        document["cpos"].append({"id": "cpo-away", "url": url, "outage": "store", "store_agreement": "e2e"})
        document["stations"] += [_station(name, self.csms.port) for name in (GOOD, BAD)]
        document["stations"] += [{**_station(name, self.booking.port), "cpo": "cpo-away"} for name in STORED]
        self.document = document
        self.site_file.write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")

    async def _take_over_utility(self, document: dict[str, Any]) -> None:
        """The same utility on the same port, but in this process, where a test can make it fail."""
        config = json.loads((self.directory / "utility.config.json").read_text(encoding="utf-8"))
        await self._site.stop("utility")
        self.utility = FickleUtility(config)
        self._server = UtilityServer(self.utility)
        await self._server.start(int(document["der"]["url"].split(":")[2].split("/")[0]))

    async def _stop(self) -> None:
        await self._site.stop()
        await self._server.stop()
        await self.device.stop()
        await self.csms.stop()
        await self.booking.vanish()


def _station(name: str, csms_port: int) -> dict[str, Any]:
    evse = {
        "id": f"evse-{name.lower()}",
        "connector_id": 1,
        "circuit": "feeder-1",
        "phases": ["L1"],
        "current_max_ma": 6000,
        "fallback_ma": 0,
    }
    return {"id": name, "cpo": "cpo-a", "csms_url": f"ws://{HOST}:{csms_port}", "evses": [evse]}


def now_utc_ms() -> int:
    """The clock of the simulators' stamps."""
    return utc_ms()
