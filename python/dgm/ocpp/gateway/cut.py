"""Cuts a WebSocket byte stream: whole text frames for the relay, everything else for the library. Pure.

    bytes ──> Cutter ──> whole, unfragmented text frame ──> on_message
                 └─────> control, fragmented, compressed, too large, broken ──> to_library

The library gets whole frames, or the beginning of a frame and later its end, so that its parser always stands where
this one believes it does. Frames behind the opening handshake only (RFC 6455, 5.2).
"""

from __future__ import annotations

from collections.abc import Callable

from dgm.ocpp.frame import MAX_FRAME_BYTES

try:
    from websockets.speedups import apply_mask
except ImportError:  # a platform without the library's C extension
    from websockets.utils import apply_mask

MESSAGES_AT_ONCE = 32
"""Of one peer before all others have their turn: a flood delays nobody by more than about a millisecond."""

TEXT = 0x81
"""First byte of a whole text frame: FIN, no extension bits, opcode 1."""

_FIN = 0x80


class Cutter:
    """Cuts the bytes behind an opening handshake into messages for us and pieces for the library.

    masked: the peer is a client. on_message: of each message, in order; it may call `stop`. to_library: is handed whole
    frames, or the beginning of a frame and later its end; returns False when the connection is open no more.
    """

    def __init__(
        self, *, masked: bool, on_message: Callable[[bytes], None], to_library: Callable[[bytes], bool]
    ) -> None:
        self._mask_bit = 0x80 if masked else 0
        self._mask_bytes = 4 if masked else 0
        self._on_message = on_message
        self._to_library = to_library
        self._held = bytearray()
        self._needed = 0
        self._library_left = 0
        self._is_fragmented = False
        self._is_over = False

    @property
    def has_held(self) -> bool:
        """Bytes wait for more, or for their turn."""
        return bool(self._held)

    def feed(self, data: bytes) -> bool:
        """Take bytes. True: MESSAGES_AT_ONCE are handed out and more may wait; call `feed(b"")` in a moment."""
        if self._held:
            self._held += data
            if len(self._held) < self._needed:
                return False
            data = bytes(self._held)
            self._held.clear()
        at = self._library_rest(data) if self._library_left else 0
        if self._is_over:
            self._to_library(data[at:])
            return False
        return self._cut(data, at)

    def _cut(self, data: bytes, at: int) -> bool:
        end, mask_bit, mask_bytes = len(data), self._mask_bit, self._mask_bytes
        for _ in range(MESSAGES_AT_ONCE):
            if end - at < 2:
                return self._hold(data, at, 2)
            size = data[at + 1] ^ mask_bit
            body = at + 2 + mask_bytes
            if size == 126:
                if end - at < 4:
                    return self._hold(data, at, 4)
                size, body = (data[at + 2] << 8) | data[at + 3], body + 2
            elif size == 127:
                if end - at < 10:
                    return self._hold(data, at, 10)
                size, body = int.from_bytes(data[at + 2 : at + 10], "big"), body + 8
            elif size > 127:
                return self._surrender(data[at:])
            stop = body + size
            if data[at] != TEXT or self._is_fragmented or size > MAX_FRAME_BYTES:
                if not self._hand_over(data, at, stop):
                    return False
            elif stop > end:
                return self._hold(data, at, stop - at)
            elif mask_bytes:
                self._on_message(apply_mask(data[body:stop], data[body - 4 : body]))
            else:
                self._on_message(data[body:stop])
            at = stop
        self._hold(data, at, 0)
        return bool(self._held)

    def _hold(self, data: bytes, at: int, needed: int) -> bool:
        if at < len(data):
            self._held += data[at:]
        self._needed = needed
        return False

    def _hand_over(self, data: bytes, at: int, stop: int) -> bool:
        """A frame for the library, as far as it has come. False: nothing more to cut now."""
        opcode, is_last = data[at] & 0x0F, bool(data[at] & _FIN)
        if opcode < 8:
            self._is_fragmented = not is_last
        self._library_left = max(0, stop - len(data))
        if not self._to_library(data[at:stop]):
            return self._surrender(data[stop:])
        return self._library_left == 0

    def _library_rest(self, data: bytes) -> int:
        taken = min(len(data), self._library_left)
        self._library_left -= taken
        self._is_over |= not self._to_library(data[:taken])
        return taken

    def _surrender(self, data: bytes) -> bool:
        """The connection ends, or breaks the protocol: from here on the library sees all."""
        self._is_over = True
        if data:
            self._to_library(data)
        return False

    def stop(self) -> None:
        """Hand out nothing more."""
        self._is_over = True
        self._held.clear()
