"""The two kinds of sockets of a station, as thin subclasses of the library's connections.

They drop binary messages before they are queued (OCPP-J is text), and the station's side closes the socket to the CSMS
when the station gives up during the opening handshake. Frames are passed as bytes: text stays text, nothing is encoded
again.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from websockets.asyncio.client import ClientConnection
from websockets.asyncio.connection import broadcast
from websockets.asyncio.server import ServerConnection
from websockets.frames import Frame, Opcode
from websockets.protocol import OPEN, Event

MAX_OUTBOUND_BYTES = 1_000_000
"""Unsent bytes towards one peer; a peer that reads so slowly loses its connection."""

PING_INTERVAL_S = 20
PING_TIMEOUT_S = 20
CLOSE_TIMEOUT_S = 2
OPEN_TIMEOUT_S = 10
MAX_INBOUND_MESSAGES = 16
"""Received and not yet handled; then the socket is not read any more."""

Connection = ServerConnection | ClientConnection


def quiet_logger() -> logging.Logger:
    """What the library would log of bad peers is counted by us; it must not fill the log."""
    quiet = logging.getLogger("dgm.ocpp.websockets")
    quiet.setLevel(logging.CRITICAL + 1)
    quiet.propagate = False
    return quiet


class BinaryFilter:
    """Tells whether a frame belongs to a binary message; `on_garbage` hears of each."""

    def __init__(self, on_garbage: Callable[[str], None]) -> None:
        self._is_inside = False
        self._on_garbage = on_garbage

    def drops(self, event: Event) -> bool:
        """True: not to be given to the library's queue."""
        if not isinstance(event, Frame):
            return False
        if event.opcode is Opcode.BINARY:
            self._on_garbage("binary")
            self._is_inside = not event.fin
            return True
        if event.opcode is Opcode.CONT and self._is_inside:
            self._is_inside = not event.fin
            return True
        return False


class StationLeg(ServerConnection):
    """A station's socket. north: the socket to its CSMS, dialled before this one is accepted."""

    def __init__(self, *args: Any, on_garbage: Callable[[str], None], **options: Any) -> None:
        super().__init__(*args, **options)
        self.north: CsmsLeg | None = None
        self.station_id = ""
        self._on_garbage = on_garbage
        self._binary = BinaryFilter(on_garbage)

    async def handshake(self, *args: Any, **options: Any) -> None:
        """Open; when the peer sent no request or left meanwhile, count it and clean up."""
        try:
            await super().handshake(*args, **options)
        finally:
            if self.request is None:
                self._on_garbage("handshake")
            if self.north is not None and self.state is not OPEN:
                self.north.transport.abort()

    def process_event(self, event: Event) -> None:
        """Queue text messages only."""
        if not self._binary.drops(event):
            super().process_event(event)


class CsmsLeg(ClientConnection):
    """A socket to a CSMS."""

    def __init__(self, *args: Any, on_garbage: Callable[[str], None], **options: Any) -> None:
        super().__init__(*args, **options)
        self._binary = BinaryFilter(on_garbage)

    def process_event(self, event: Event) -> None:
        """Queue text messages only."""
        if not self._binary.drops(event):
            super().process_event(event)


def write(leg: Connection, raw: bytes) -> bool:
    """Write one text message at once, without waiting. False: too much is unsent already."""
    if leg.transport.get_write_buffer_size() > MAX_OUTBOUND_BYTES:
        return False
    broadcast([leg], raw, text=True)
    return True
