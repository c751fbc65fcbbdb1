"""The two kinds of sockets of a station: the library's connections with a short cut for whole text frames.

    bytes ──> Wire ──> Cutter ──> whole text frame ──> receiver(message)
                          └─────> all else ──> library: ping, fragments, compression, close ──> receiver(message)

`websockets` opens, pings, compresses, reassembles and closes. Messages are bytes and go to the receiver from the
socket's own callback: no task, no queue. Binary messages are dropped (OCPP-J is text). Absent: back-pressure from a
slow peer to its opposite; a peer that does not read loses its connection instead.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator
from typing import Any

from websockets.asyncio.client import ClientConnection
from websockets.asyncio.connection import broadcast
from websockets.asyncio.server import ServerConnection
from websockets.frames import CloseCode, Frame, Opcode
from websockets.protocol import CONNECTING, OPEN, Event

from dgm.ocpp.gateway.cut import TEXT, Cutter

try:
    from websockets.speedups import apply_mask
except ImportError:  # a platform without the library's C extension
    from websockets.utils import apply_mask

MAX_OUTBOUND_BYTES = 1_000_000
"""Unsent bytes towards one peer; a peer that reads so slowly loses its connection."""

MAX_EARLY_BYTES = 16_384
"""From a station that sends before its handshake is answered."""

MAX_EARLY_MESSAGES = 16
"""From a CSMS before its station is accepted."""

MASK_BLOCK_BYTES = 4096

PING_INTERVAL_S = 20
PING_TIMEOUT_S = 20
CLOSE_TIMEOUT_S = 2
OPEN_TIMEOUT_S = 10

Receiver = Callable[[bytes], None]
OnGarbage = Callable[[str], None]

_HEAD_END = b"\r\n\r\n"
_HEADS = [bytes((TEXT, size)) for size in range(126)]
_MASKED_HEADS = [bytes((TEXT, 0x80 | size)) for size in range(126)]


def _fresh_masks() -> Iterator[bytes]:
    """Four random bytes after four, from the system's generator by the block."""
    while True:
        block = os.urandom(MASK_BLOCK_BYTES)
        for at in range(0, MASK_BLOCK_BYTES, 4):
            yield block[at : at + 4]


_MASKS = _fresh_masks()


def quiet_logger() -> logging.Logger:
    """What the library would log of bad peers is counted by us; it must not fill the log."""
    quiet = logging.getLogger("dgm.ocpp.websockets")
    quiet.setLevel(logging.CRITICAL + 1)
    quiet.propagate = False
    return quiet


class Wire:
    """What both kinds of legs do with bytes and messages. `library`: its own data_received."""

    def __init__(
        self,
        leg: Connection,
        *,
        library: Callable[[bytes], None],
        on_garbage: OnGarbage,
        is_server: bool,
    ) -> None:
        self._leg = leg
        self._library = library
        self._on_garbage = on_garbage
        self._is_server = is_server
        self._head_tail: bytes | None = b""
        self._cutter = Cutter(masked=is_server, on_message=self._message, to_library=self._to_library)
        self._early = bytearray()
        self._early_messages: list[bytes] = []
        self._fragments: list[bytes] = []
        self._is_binary = False
        self._receiver: Receiver | None = None
        self._on_lost: Callable[[], None] | None = None
        self._is_lost = False

    def attach(self, receiver: Receiver, on_lost: Callable[[], None]) -> None:
        """From now on every message goes to the receiver; on_lost is called once, when the connection ends."""
        self._receiver, self._on_lost = receiver, on_lost
        waiting, self._early_messages = self._early_messages, []
        for message in waiting:
            self._message(message)
        if self._early:
            self.received(b"")
        if self._is_lost:
            on_lost()

    def detach(self) -> None:
        """Nothing more is wanted of this connection; what still comes is dropped."""
        self._receiver, self._on_lost = _drop, None

    def received(self, data: bytes) -> None:
        """Bytes from the socket."""
        if self._head_tail is not None:
            data = self._handshake(data)
            if not data:
                return
        if self._leg.protocol.state is CONNECTING:
            self._before_open(data)
            return
        if self._early:
            data = bytes(self._early) + data
            self._early.clear()
        if self._cutter.feed(data):
            self._leg.transport.pause_reading()
            self._leg.loop.call_soon(self._go_on)

    def _go_on(self) -> None:
        if self._leg.transport.is_closing():
            return
        if self._cutter.feed(b""):
            self._leg.loop.call_soon(self._go_on)
        else:
            self._leg.transport.resume_reading()

    def _handshake(self, data: bytes) -> bytes:
        """Give the library what belongs to the HTTP head; the rest comes back."""
        assert self._head_tail is not None, "asked only before the end of the head"
        joined = self._head_tail + data
        found = joined.find(_HEAD_END)
        if found < 0:
            self._head_tail = joined[-3:]
            self._library(data)
            return b""
        stop = found + len(_HEAD_END) - len(self._head_tail)
        self._head_tail = None
        self._library(data[:stop])
        return data[stop:]

    def _before_open(self, data: bytes) -> None:
        if not self._is_server:
            self._library(data)  # the body of a refusal
        elif len(self._early) + len(data) > MAX_EARLY_BYTES:
            self._on_garbage("early")
            self._leg.transport.abort()
        else:
            self._early += data

    def _to_library(self, data: bytes) -> bool:
        self._library(data)
        protocol = self._leg.protocol
        if protocol.close_rcvd is None and protocol.parser_exc is None:
            return True
        if protocol.parser_exc is not None and not self._is_lost:
            is_big = protocol.close_sent is not None and protocol.close_sent.code == CloseCode.MESSAGE_TOO_BIG
            self._on_garbage("oversize" if is_big else "websocket")
        self.lost()
        return False

    def event(self, event: Event) -> bool:
        """A frame that the library has read. True: it was data, and is dealt with."""
        if not isinstance(event, Frame) or event.opcode not in (Opcode.TEXT, Opcode.BINARY, Opcode.CONT):
            return False
        if event.opcode is not Opcode.CONT:
            self._is_binary = event.opcode is Opcode.BINARY
            if self._is_binary:
                self._on_garbage("binary")
        if not self._is_binary:
            self._fragments.append(bytes(event.data))
        if event.fin and self._fragments:
            message = b"".join(self._fragments)
            self._fragments.clear()
            self._message(message)
        return True

    def _message(self, message: bytes) -> None:
        if self._receiver is not None:
            self._receiver(message)
        elif len(self._early_messages) < MAX_EARLY_MESSAGES:
            self._early_messages.append(message)
        else:
            self._on_garbage("early")
            self._leg.transport.abort()

    def lost(self) -> None:
        """The connection is ending, by its peer or by itself."""
        self._is_lost = True
        on_lost, self._on_lost = self._on_lost, None
        if on_lost is not None:
            on_lost()


class StationLeg(ServerConnection):
    """A station's socket. north: the socket to its CSMS, dialled before this one is accepted; None: the CSMS is away.

    visit: what the station showed. aborts: it is dropped and never closed: some do not come back after a close.
    """

    def __init__(self, *args: Any, on_garbage: OnGarbage, **options: Any) -> None:
        super().__init__(*args, **options)
        self.north: CsmsLeg | None = None
        self.visit: Any = None
        self.station_id = ""
        self.aborts = False
        self.wire = Wire(self, library=super().data_received, on_garbage=on_garbage, is_server=True)
        self._on_garbage = on_garbage

    async def handshake(self, *args: Any, **options: Any) -> None:
        """Open; when the peer sent no request or left meanwhile, count it and clean up."""
        try:
            await super().handshake(*args, **options)
        finally:
            if self.request is None:
                self._on_garbage("handshake")
            if self.north is not None and self.state is not OPEN:
                self.north.transport.abort()

    def data_received(self, data: bytes) -> None:
        """From asyncio."""
        self.wire.received(data)

    def process_event(self, event: Event) -> None:
        """Messages are ours, all else is the library's."""
        if not self.wire.event(event):
            super().process_event(event)

    def connection_lost(self, exc: Exception | None) -> None:
        """From asyncio."""
        super().connection_lost(exc)
        self.wire.lost()


class CsmsLeg(ClientConnection):
    """A socket to a CSMS."""

    def __init__(self, *args: Any, on_garbage: OnGarbage, **options: Any) -> None:
        super().__init__(*args, **options)
        self.wire = Wire(self, library=super().data_received, on_garbage=on_garbage, is_server=False)

    def data_received(self, data: bytes) -> None:
        """From asyncio."""
        self.wire.received(data)

    def process_event(self, event: Event) -> None:
        """Messages are ours, all else is the library's."""
        if not self.wire.event(event):
            super().process_event(event)

    def connection_lost(self, exc: Exception | None) -> None:
        """From asyncio."""
        super().connection_lost(exc)
        self.wire.lost()


Connection = StationLeg | CsmsLeg


def write_south(leg: StationLeg, raw: bytes) -> bool:
    """Write one text message at once, without waiting. False: too much is unsent already."""
    transport, protocol, size = leg.transport, leg.protocol, len(raw)
    if transport.get_write_buffer_size() > MAX_OUTBOUND_BYTES:
        return False
    if protocol.extensions:
        broadcast([leg], raw, text=True)
    elif size < 126:
        transport.write(_HEADS[size] + raw)
    elif size < 65_536:
        transport.write(b"\x81\x7e" + size.to_bytes(2, "big") + raw)
    else:
        transport.write(b"\x81\x7f" + size.to_bytes(8, "big") + raw)
    return True


def write_north(leg: CsmsLeg, raw: bytes) -> bool:
    """Like write_south, masked with fresh randomness as RFC 6455 5.3 asks of a client."""
    transport, protocol, size = leg.transport, leg.protocol, len(raw)
    if transport.get_write_buffer_size() > MAX_OUTBOUND_BYTES:
        return False
    if protocol.extensions:
        broadcast([leg], raw, text=True)
        return True
    mask = next(_MASKS)
    if size < 126:
        transport.write(_MASKED_HEADS[size] + mask + apply_mask(raw, mask))
    elif size < 65_536:
        transport.write(b"\x81\xfe" + size.to_bytes(2, "big") + mask + apply_mask(raw, mask))
    else:
        transport.write(b"\x81\xff" + size.to_bytes(8, "big") + mask + apply_mask(raw, mask))
    return True


async def close(leg: Connection, code: CloseCode, reason: str) -> None:
    """Close within the library's close timeout; an already closed connection is no error."""
    leg.wire.detach()
    if isinstance(leg, StationLeg) and leg.aborts:
        leg.transport.abort()
    else:
        await leg.close(code, reason)


def _drop(_message: bytes) -> None:
    """For a connection that is on its way out."""
