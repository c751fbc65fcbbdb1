"""Peers of the product for the tests of garbage: well-behaved ones that measure, and raw sockets that are not."""

from __future__ import annotations

import itertools
import json
import random
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from websockets.sync.client import ClientConnection, connect
from websockets.typing import Subprotocol

HOST = "127.0.0.1"
PEER_S = 5.0
NOISE = random.Random(11)
"""Seeded: the same garbage in every run."""


class StationPeer:
    """A station: asks, waits for the answer, and accepts whatever it is asked meanwhile."""

    def __init__(self, connection: ClientConnection, name: str) -> None:
        self.connection = connection
        self.frames: list[str] = []
        self._ids = itertools.count(1)
        self._prefix = name

    def ask(self, action: str = "Heartbeat", payload: dict[str, Any] | None = None) -> float:
        """Send a CALL; returns the seconds until its answer. TimeoutError after PEER_S."""
        call_id, started_s = f"{self._prefix}-{next(self._ids)}", time.monotonic()
        self.connection.send(json.dumps([2, call_id, action, payload or {}]))
        while True:
            frame = str(self.connection.recv(timeout=PEER_S))
            self.frames.append(frame)
            match json.loads(frame):
                case [2, asked, *_]:
                    self.connection.send(json.dumps([3, asked, {"status": "Accepted"}]))
                case [3, answered, *_] if answered == call_id:
                    return time.monotonic() - started_s

    def closed_with(self) -> int | None:
        """Read on until the other side closes; the code of the close frame."""
        deadline_s = time.monotonic() + PEER_S
        while time.monotonic() < deadline_s:
            try:
                self.frames.append(str(self.connection.recv(timeout=PEER_S)))
            except TimeoutError:
                break
            except Exception:  # the library has one class per way to end
                return self.connection.close_code
        raise TimeoutError("the connection stays open")


@contextmanager
def station(port: int, name: str) -> Iterator[StationPeer]:
    """Connect a station for the block; InvalidStatus when it is refused."""
    with connect(
        f"ws://{HOST}:{port}/{name}",
        subprotocols=[Subprotocol("ocpp1.6")],
        compression=None,
        open_timeout=PEER_S,
        close_timeout=1.0,
    ) as connection:
        yield StationPeer(connection, name)


def stranger(address: tuple[str, int] | Path) -> socket.socket:
    """A raw connection to a TCP or unix listener."""
    if isinstance(address, Path):
        peer = socket.socket(socket.AF_UNIX)
        peer.settimeout(PEER_S)
        peer.connect(str(address))
        return peer
    return socket.create_connection(address, timeout=PEER_S)


def said_to(address: tuple[str, int] | Path, message: bytes) -> bytes:
    """Say something, then read to the end: what was answered before the other side closed. TimeoutError: it did not."""
    with stranger(address) as peer:
        answer = b""
        try:
            peer.sendall(message)
            while chunk := peer.recv(65_536):
                answer += chunk
        except (ConnectionResetError, BrokenPipeError):
            pass  # an end too
        return answer


@contextmanager
def half_open(address: tuple[str, int] | Path, beginning: bytes, *, count: int = 40) -> Iterator[None]:
    """Many connections that begin a message and never end it, while the block runs."""
    with ExitStack() as stack:
        for _ in range(count):
            peer = stack.enter_context(stranger(address))
            peer.sendall(beginning)
        yield


def noise(count: int) -> bytes:
    """Random bytes that begin neither a line of HTTP nor a frame of Modbus."""
    return b"\xff\xfe" + NOISE.randbytes(count)


def modbus(payload: bytes, *, unit: int = 1, protocol: int = 0, length: int | None = None) -> bytes:
    """A Modbus/TCP frame, right or (by protocol or length) wrong."""
    size = len(payload) + 1 if length is None else length
    return b"\x00\x07" + protocol.to_bytes(2, "big") + size.to_bytes(2, "big") + bytes([unit]) + payload


def modbus_answer(port: int, frame: bytes) -> bytes:
    """The payload of the answer to one good frame."""
    with stranger((HOST, port)) as peer:
        peer.sendall(frame)
        head = peer.recv(7, socket.MSG_WAITALL)
        return peer.recv(int.from_bytes(head[4:6], "big") - 1, socket.MSG_WAITALL)
