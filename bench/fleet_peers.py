"""The three server processes of the fleet benchmark: a CSMS that answers at once, and the cheapest relay there can be.

    stations ──> csms                             "direct"
    stations ──> relay ──> csms                   "plain relay": one hop that looks at nothing, as the library offers it
    stations ──> legs ──> csms                    "bare legs": the same on DGM's legs, its short cut around the library

The bare legs are the floor for this gateway: what DGM costs beyond them is what DGM does with a frame. Each prints
`READY PORT` and serves until its input ends. Loopback only.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections import Counter, defaultdict
from functools import partial
from typing import Any, cast

from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.connection import Connection
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from dgm.ocpp.gateway.legs import CsmsLeg, StationLeg, write_north, write_south

HOST = "127.0.0.1"
PROTOCOLS = [Subprotocol("ocpp1.6")]
BOOT_ANSWER = {"status": "Accepted", "currentTime": "2026-11-01T00:00:00Z", "interval": 300}


COUNTS_PATH = "/counts"
calls_seen: dict[str, Counter[str]] = defaultdict(Counter)
"""CALLs by path and message id since the last time somebody asked at COUNTS_PATH."""


async def answer_all(socket: ServerConnection) -> None:
    """Answer every CALL with an empty result, a boot with Accepted."""
    assert socket.request is not None
    path = socket.request.path
    if path == COUNTS_PATH:
        await tell_counts(socket)
        return
    async for text in socket:
        frame = json.loads(text)
        if frame[0] == 2:
            calls_seen[path][frame[1]] += 1
            payload: dict[str, Any] = BOOT_ANSWER if frame[2] == "BootNotification" else {}
            await socket.send(json.dumps([3, frame[1], payload]))


async def tell_counts(socket: ServerConnection) -> None:
    """How many CALLs came in, and how many of them more than once; then forget."""
    total = sum(ids.total() for ids in calls_seen.values())
    repeated = total - sum(len(ids) for ids in calls_seen.values())
    calls_seen.clear()
    await socket.send(json.dumps({"calls": total, "repeated": repeated}))


async def copy(origin: Connection, to: Connection) -> None:
    """Pass every message on until the origin closes; text stays text, nothing is decoded."""
    try:
        while True:
            await to.send(await origin.recv(decode=False), text=True)
    except ConnectionClosed:
        await to.close()


async def pass_through(south: StationLeg, north: CsmsLeg) -> None:
    """Pass every message on from the socket's own callback until a leg ends."""
    ended = asyncio.get_running_loop().create_future()
    south.wire.attach(lambda raw: write_north(north, raw) and None, lambda: ended.done() or ended.set_result(None))
    north.wire.attach(lambda raw: write_south(south, raw) and None, lambda: ended.done() or ended.set_result(None))
    await ended
    await north.close()


async def run(role: str, csms_port: int) -> None:
    """Serve as "csms", "relay" or "legs" until standard input ends."""

    async def relay(south: ServerConnection) -> None:
        assert south.request is not None
        url = f"ws://{HOST}:{csms_port}{south.request.path}"
        async with connect(url, subprotocols=PROTOCOLS, compression=None) as north:
            await asyncio.gather(copy(south, north), copy(north, south))

    async def legs(south: ServerConnection) -> None:
        assert south.request is not None
        assert isinstance(south, StationLeg)
        url = f"ws://{HOST}:{csms_port}{south.request.path}"
        made = cast("type[ClientConnection]", partial(CsmsLeg, on_garbage=print))
        async with connect(url, subprotocols=PROTOCOLS, compression=None, create_connection=made) as north:
            assert isinstance(north, CsmsLeg)
            await pass_through(south, north)

    handler = {"csms": answer_all, "relay": relay, "legs": legs}[role]
    made = cast("type[ServerConnection]", partial(StationLeg, on_garbage=print)) if role == "legs" else None
    options: dict[str, Any] = {"subprotocols": PROTOCOLS, "compression": None, "open_timeout": 30}
    async with serve(handler, HOST, 0, create_connection=made, **options) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        print(f"READY {port}", flush=True)
        await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(run(sys.argv[1], int(sys.argv[2])))
