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
from dgm.ocpp.events import CpoLimit, Keep, Outcome, Sampled
from dgm.ocpp.gateway import ADMISSION, AuditFile, BooksFile, Gateway, GatewayMetrics
from dgm.ocpp.outage import Outage
from dgm.ocpp.outage_rules import Policy
from dgm.ocpp.session import Session

OCPP16 = Subprotocol("ocpp1.6")
BOOT = '[2,"b1","BootNotification",{"chargePointVendor":"V","chargePointModel":"M"}]'


def _new_id() -> str:
    return str(uuid.uuid4())


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
    """Accepts boots, gives out one transaction id, answers everything else with {}, keeps what it saw."""

    def __init__(self) -> None:
        self.seen: list[str | bytes] = []
        self.requests: list[Request] = []
        self.sockets: list[ServerConnection] = []
        self.choice: Subprotocol | None = OCPP16
        self.refuse_with: int | None = None
        self.hold: asyncio.Event | None = None
        self.is_silent = False
        self.transaction_id: int | None = None
        self.url = ""

    async def serve(self, socket: ServerConnection) -> None:
        self.sockets.append(socket)
        async for message in socket:
            self.seen.append(message)
            frame = json.loads(message)
            if frame[0] == 2 and not self.is_silent:
                await socket.send(json.dumps([3, frame[1], self.answer(frame[2])]))

    def answer(self, action: str) -> dict[str, Any]:
        """To a CALL."""
        match action:
            case "BootNotification":
                return {"status": "Accepted", "currentTime": "2026-01-01T00:00:00Z", "interval": 300}
            case "StartTransaction" if self.transaction_id is not None:
                return {"transactionId": self.transaction_id, "idTagInfo": {"status": "Accepted"}}
            case _:
                return {}

    async def refuse(self, socket: ServerConnection, request: Request) -> Response | None:
        self.requests.append(request)
        if self.hold is not None:
            await self.hold.wait()
        return None if self.refuse_with is None else socket.respond(self.refuse_with, "no\n")

    @asynccontextmanager
    async def running(self, tls: ssl.SSLContext | None = None, *, port: int = 0) -> AsyncIterator[Csms]:
        choose = lambda _socket, _offered: self.choice  # noqa: E731
        options = {"process_request": self.refuse, "select_subprotocol": choose, "ssl": tls}
        async with serve(self.serve, "127.0.0.1", port, **options) as server:
            port = next(iter(server.sockets)).getsockname()[1]
            self.url = f"{'ws' if tls is None else 'wss'}://127.0.0.1:{port}/cpo/ocpp/"
            yield self


class Bench:
    """A gateway for two stations of one CSMS. policy: what they may do without it."""

    def __init__(self, csms: Csms, state_dir: Path, *, policy: Policy = Policy.STRICT, **options: Any) -> None:
        self.csms = csms
        self.registry = CollectorRegistry()
        self.reports: list[Sampled | Outcome | CpoLimit] = []
        self.kept: list[tuple[str, str]] = []
        self.admitted: dict[str, bytes] = {}
        self.disk: list[str | None] = []
        self.state_dir = state_dir
        ids = ("CP-1", "CP 2|é")
        is_strict = policy is Policy.STRICT
        self.books = None if is_strict else BooksFile(state_dir / "books", changed=self.disk.append)
        self.sessions = {
            station_id: Session(
                [settings(station_id=station_id, asset_id=f"evse-{number}", csms_url=csms.url)],
                _new_id,
                outage=None if self.books is None else Outage(policy, self.books.load(station_id), _new_id),
            )
            for number, station_id in enumerate(ids, start=1)
        }
        self.gateway = Gateway(
            self.sessions,
            metrics=GatewayMetrics(self.registry),
            audit=AuditFile(state_dir),
            report=self.reports.append,
            keep=self._keep,
            books=self.books,
            **options,
        )

    def _keep(self, station_id: str, kept: Keep) -> None:
        self.kept.append((station_id, kept.name))
        if kept.name == ADMISSION:
            self.admitted[station_id] = kept.body

    async def start(self) -> None:
        """Listen, and write where there are books."""
        if self.books is not None:
            self.books.start()
        await self.gateway.start("127.0.0.1", 0)

    async def stop(self) -> None:
        """Close everything."""
        await self.gateway.stop()
        if self.books is not None:
            self.books.close()

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
