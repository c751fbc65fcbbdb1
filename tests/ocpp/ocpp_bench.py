"""A gateway between a CSMS and stations on real loopback sockets."""

from __future__ import annotations

import asyncio
import json
import ssl
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from ocpp_driver import settings
from prometheus_client import CollectorRegistry
from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.http11 import Request, Response
from websockets.typing import Subprotocol

from dgm.api.ems.v1.ems_pb2 import OutcomeState
from dgm.ocpp.events import CpoLimit, Outcome, Sampled
from dgm.ocpp.gateway import AuditFile, Gateway, GatewayMetrics
from dgm.ocpp.session import Session

OCPP16 = Subprotocol("ocpp1.6")
BOOT = '[2,"b1","BootNotification",{"chargePointVendor":"V","chargePointModel":"M"}]'


async def until(condition: Callable[[], object]) -> None:
    """Let the sockets work until something is so."""
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 - what is waited for happens on the far end of a socket
            await asyncio.sleep(0.005)


async def frame_with(socket: ClientConnection, message_id: str) -> str:
    """The next frame with this id; CALLs of the gateway may come between."""
    async with asyncio.timeout(5):
        while True:
            message = str(await socket.recv())
            if json.loads(message)[1] == message_id:
                return message


class Csms:
    """Accepts boots, answers everything else with {}, keeps what it saw."""

    def __init__(self) -> None:
        self.seen: list[str | bytes] = []
        self.requests: list[Request] = []
        self.sockets: list[ServerConnection] = []
        self.choice: Subprotocol | None = OCPP16
        self.refuse_with: int | None = None
        self.hold: asyncio.Event | None = None
        self.url = ""

    async def serve(self, socket: ServerConnection) -> None:
        self.sockets.append(socket)
        async for message in socket:
            self.seen.append(message)
            frame = json.loads(message)
            if frame[0] == 2:
                accepted = {"status": "Accepted", "currentTime": "2026-01-01T00:00:00Z", "interval": 300}
                await socket.send(json.dumps([3, frame[1], accepted if frame[2] == "BootNotification" else {}]))

    async def refuse(self, socket: ServerConnection, request: Request) -> Response | None:
        self.requests.append(request)
        if self.hold is not None:
            await self.hold.wait()
        return None if self.refuse_with is None else socket.respond(self.refuse_with, "no\n")

    @asynccontextmanager
    async def running(self, tls: ssl.SSLContext | None = None) -> AsyncIterator[Csms]:
        choose = lambda _socket, _offered: self.choice  # noqa: E731
        options = {"process_request": self.refuse, "select_subprotocol": choose, "ssl": tls}
        async with serve(self.serve, "127.0.0.1", 0, **options) as server:
            port = next(iter(server.sockets)).getsockname()[1]
            self.url = f"{'ws' if tls is None else 'wss'}://127.0.0.1:{port}/cpo/ocpp/"
            yield self


class Bench:
    """A gateway for two stations of one CSMS."""

    def __init__(self, csms: Csms, state_dir: Path, **options: Any) -> None:
        self.csms = csms
        self.registry = CollectorRegistry()
        self.reports: list[Sampled | Outcome | CpoLimit] = []
        self.kept: list[tuple[str, str]] = []
        self.state_dir = state_dir
        ids = ("CP-1", "CP 2|é")
        self.sessions = {
            station_id: Session(
                [settings(station_id=station_id, asset_id=f"evse-{number}", csms_url=csms.url)],
                lambda: str(uuid.uuid4()),
            )
            for number, station_id in enumerate(ids, start=1)
        }
        self.gateway = Gateway(
            self.sessions,
            metrics=GatewayMetrics(self.registry),
            audit=AuditFile(state_dir),
            report=self.reports.append,
            keep=lambda station_id, kept: self.kept.append((station_id, kept.name)),
            **options,
        )

    def url(self, path: str) -> str:
        return f"ws://127.0.0.1:{self.gateway.port}/{path}"

    def station(self, path: str = "some/path/CP-1", **options: Any) -> connect:
        return connect(self.url(path), **{"subprotocols": [OCPP16], **options})

    def metric(self, name: str, **labels: str) -> float:
        return self.registry.get_sample_value(name, labels) or 0.0

    def audit(self) -> list[dict[str, Any]]:
        path = self.state_dir / "ocpp-exceptions.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def states(self, asset_id: str = "evse-1") -> list[OutcomeState]:
        return [found.state for found in self.reports if isinstance(found, Outcome) and found.asset_id == asset_id]
