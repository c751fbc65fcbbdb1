"""A CPO whose system comes and goes, and stations that keep what they were not answered: the two ends of an outage.

Teller (station, keeps its queue as OCPP 1.6 section 3.7 asks) ──> gateway ──> BookingCsms (books each id once)
"""

from __future__ import annotations

import itertools
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from typing import Any

from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed, InvalidHandshake
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Subprotocol

HOST = "127.0.0.1"
ANSWER_S = 10.0
CONNECT_S = 20.0
_PAUSE = threading.Event()
BOOT_ACCEPTED = {"status": "Accepted", "currentTime": "2026-01-01T00:00:00Z", "interval": 300}


class BookingCsms:
    """Hands out transaction ids, books what it has not booked under that id, and can be gone without a word."""

    def __init__(self) -> None:
        self.port = 0
        self.booked: dict[str, list[tuple[str, dict[str, Any]]]] = {}
        self.given: list[int] = []
        self.connections: dict[str, ServerConnection] = {}
        self._answers: dict[tuple[str, str], dict[str, Any]] = {}
        self._ids = itertools.count(41)
        self._server: Any = None

    async def start(self) -> None:
        """Listen, the first time on a free port and then on the same."""
        versions = [Subprotocol("ocpp2.0.1"), Subprotocol("ocpp1.6")]
        self._server = await serve(self._talk, HOST, self.port, subprotocols=versions, compression=None)
        self.port = next(iter(self._server.sockets)).getsockname()[1]

    async def vanish(self) -> None:
        """Drop every connection and stop to listen."""
        if self._server is None:
            return
        self._server.close(close_connections=False)
        for connection in self.connections.values():
            connection.transport.abort()
        self.connections.clear()
        await self._server.wait_closed()
        self._server = None

    async def call(self, station: str, call_id: str, action: str, payload: dict[str, Any]) -> None:
        """Send a CALL to a station."""
        await self.connections[station].send(json.dumps([2, call_id, action, payload]))

    async def _talk(self, connection: ServerConnection) -> None:
        assert connection.request is not None
        station = connection.request.path.rsplit("/", 1)[-1]
        self.connections[station] = connection
        try:
            async for message in connection:
                match json.loads(message):
                    case [2, call_id, action, payload]:
                        answer = self._answer(station, call_id, action, payload)
                        await connection.send(json.dumps([3, call_id, answer]))
        except ConnectionClosed:
            pass

    def _answer(self, station: str, call_id: str, action: str, payload: dict[str, Any]) -> dict[str, Any]:
        match action:
            case "BootNotification":
                return BOOT_ACCEPTED
            case "Authorize":
                return {"idTagInfo" if "idTag" in payload else "idTokenInfo": {"status": "Accepted"}}
            case "StartTransaction" | "StopTransaction" | "MeterValues" | "TransactionEvent":
                return self._book(station, call_id, action, payload)
        return {}

    def _book(self, station: str, call_id: str, action: str, payload: dict[str, Any]) -> dict[str, Any]:
        if (station, call_id) not in self._answers:
            self.booked.setdefault(station, []).append((action, payload))
            answer: dict[str, Any] = {}
            if action == "StartTransaction":
                self.given.append(next(self._ids))
                answer = {"transactionId": self.given[-1], "idTagInfo": {"status": "Accepted"}}
            self._answers[station, call_id] = answer
        return self._answers[station, call_id]


@dataclass
class Teller:
    """A station with a story: each message goes until it is answered, over as many connections as it takes."""

    url: str
    subprotocol: str
    _connection: ClientConnection | None = None
    _open: ExitStack = field(default_factory=ExitStack)
    _ids: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def tell(self, action: str, payload: dict[str, Any]) -> dict[str, Any]:
        """The answer, after as many lost connections as it takes."""
        call_id = f"t{next(self._ids)}"
        for _ in range(20):
            connection = self._connected()
            try:
                connection.send(json.dumps([2, call_id, action, payload]))
                return self._read(lambda frame: frame[0] == 3 and frame[1] == call_id)[2]  # type: ignore[no-any-return]
            except (ConnectionClosed, OSError):
                self.hang_up()
        raise AssertionError(f"{action} was never answered")

    def hear(self, action: str) -> dict[str, Any]:
        """Wait for a CALL of the CSMS; the gateway's own are accepted."""
        found = self._read(lambda frame: frame[0] == 2 and frame[2] == action)[3]
        return dict(found)

    def hang_up(self) -> None:
        """Drop the connection."""
        if self._connection is not None:
            self._connection.socket.close()
            self._connection = None
            with suppress(ConnectionClosed, OSError):  # its peer may have died with it
                self._open.close()

    def _connected(self) -> ClientConnection:
        for _ in range(int(CONNECT_S / 0.1)):
            if self._connection is not None:
                return self._connection
            try:
                version = [Subprotocol(self.subprotocol)]
                opening = connect(self.url, subprotocols=version, compression=None, open_timeout=ANSWER_S)
                self._connection = self._open.enter_context(opening)
            except (OSError, InvalidHandshake, EOFError):
                _PAUSE.wait(0.1)
        raise AssertionError("the gateway does not come back")

    def _read(self, is_it: Callable[[list[Any]], bool]) -> list[Any]:
        assert self._connection is not None, "connected"
        while True:
            frame = json.loads(self._connection.recv(timeout=ANSWER_S))
            if frame[0] == 2:
                self._connection.send(json.dumps([3, frame[1], {"status": "Accepted"}]))
            if is_it(frame):
                return list(frame)
