"""The short cut around the WebSocket library: whatever comes in whatever pieces, both read the same messages."""

from __future__ import annotations

import json
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ocpp_driver import QUICK
from websockets.frames import Close, Frame, Opcode
from websockets.protocol import CLIENT, SERVER, Protocol

from dgm.ocpp import frame
from dgm.ocpp.frame import MAX_FRAME_BYTES, Head
from dgm.ocpp.gateway.cut import MESSAGES_AT_ONCE, Cutter


def protocol(*, masked: bool) -> Protocol:
    return Protocol(SERVER if masked else CLIENT, max_size=MAX_FRAME_BYTES)


class Messages:
    """Texts of the frames that the library reads, put together."""

    def __init__(self) -> None:
        self.found: list[bytes] = []
        self._parts: list[bytes] = []
        self._is_text = False

    def take(self, events: Iterable[object]) -> None:
        for event in events:
            assert isinstance(event, Frame)
            if event.opcode in (Opcode.TEXT, Opcode.BINARY):
                self._is_text = event.opcode is Opcode.TEXT
            if event.opcode in (Opcode.TEXT, Opcode.BINARY, Opcode.CONT):
                self._parts.append(bytes(event.data))
                if event.fin:
                    if self._is_text:
                        self.found.append(b"".join(self._parts))
                    self._parts.clear()


def by_library(data: bytes, *, masked: bool) -> tuple[list[bytes], object]:
    reader, messages = protocol(masked=masked), Messages()
    reader.receive_data(data)
    messages.take(reader.events_received())
    return messages.found, reader.close_sent


def by_cutter(pieces: Iterable[bytes], *, masked: bool) -> tuple[list[bytes], object]:
    reader, messages = protocol(masked=masked), Messages()

    def to_library(data: bytes) -> bool:
        reader.receive_data(data)
        messages.take(reader.events_received())
        return reader.close_rcvd is None and reader.parser_exc is None

    cutter = Cutter(masked=masked, on_message=messages.found.append, to_library=to_library)
    for piece in pieces:
        has_more = cutter.feed(piece)
        while has_more:
            has_more = cutter.feed(b"")
    return messages.found, reader.close_sent


@st.composite
def streams(draw: st.DrawFn) -> tuple[bytes, list[int], bool]:
    """Frames of all kinds, some of them wrong, cut anywhere."""
    masked = draw(st.booleans())
    payload = st.one_of(st.binary(max_size=130), st.sampled_from([b"x" * 126, b"y" * 70_000]))
    kinds = st.sampled_from([Opcode.TEXT] * 4 + [Opcode.PING, Opcode.PONG, Opcode.BINARY, Opcode.CONT])
    frames = []
    for kind in draw(st.lists(kinds, max_size=12)):
        fin = kind in (Opcode.PING, Opcode.PONG) or draw(st.integers(0, 4)) > 0
        data = draw(st.binary(max_size=100) if kind in (Opcode.PING, Opcode.PONG) else payload)
        frames.append(Frame(kind, data, fin).serialize(mask=masked if draw(st.integers(0, 30)) else not masked))
    end = [b"", Frame(Opcode.CLOSE, Close(1000, "").serialize()).serialize(mask=masked)]
    end += [b"\x83\x80", b"\x81\xff" + b"\x00" * 3 + b"\x10" + b"\x00" * 8, b"\xc1\x80\x00\x00\x00\x00", b"\x81"]
    data = b"".join(frames) + draw(st.sampled_from(end)) + draw(st.binary(max_size=20))
    cuts = draw(st.lists(st.integers(0, len(data)), max_size=8))
    return data, sorted(cuts), masked


@QUICK
@given(streams())
def test_the_short_cut_reads_what_the_library_reads(found: tuple[bytes, list[int], bool]) -> None:
    data, cuts, masked = found
    pieces = [data[start:stop] for start, stop in zip([0, *cuts], [*cuts, len(data)], strict=True)]
    assert by_cutter(pieces, masked=masked) == by_library(data, masked=masked)


@pytest.mark.parametrize("masked", [True, False])
def test_bytes_that_come_one_by_one_make_the_same_messages(masked: bool) -> None:
    frames = [Frame(Opcode.TEXT, b"a" * size) for size in (0, 1, 125, 126, 300)]
    frames += [Frame(Opcode.TEXT, b"b", False), Frame(Opcode.PING, b"p"), Frame(Opcode.CONT, b"c")]
    data = b"".join(found.serialize(mask=masked) for found in frames)
    pieces = [data[at : at + 1] for at in range(len(data))]
    assert by_cutter(pieces, masked=masked)[0] == [b"a" * size for size in (0, 1, 125, 126, 300)] + [b"bc"]


def test_a_flood_gives_others_their_turn() -> None:
    got: list[bytes] = []
    cutter = Cutter(masked=False, on_message=got.append, to_library=lambda _: True)
    flood = Frame(Opcode.TEXT, b"[]").serialize(mask=False) * (MESSAGES_AT_ONCE + 5)
    assert cutter.feed(flood)
    assert len(got) == MESSAGES_AT_ONCE
    assert not cutter.feed(b"")
    assert len(got) == MESSAGES_AT_ONCE + 5


def test_a_frame_that_is_too_large_is_not_waited_for() -> None:
    _, closed = by_cutter([b"\x81\x7f" + (MAX_FRAME_BYTES + 1).to_bytes(8, "big")], masked=False)
    assert isinstance(closed, Close)
    assert closed.code == 1009


# The glance at a frame's head.


@QUICK
@given(st.text(max_size=60), st.text(max_size=60), st.integers(2, 4), st.booleans(), st.sampled_from(["", " "]))
def test_what_is_recognised_at_a_glance_is_what_the_scan_finds(
    message_id: str, action: str, kind: int, ascii_only: bool, space: str
) -> None:
    parts = [message_id, action, {"a": 1}] if kind == 2 else [message_id, {}]
    text = json.dumps([kind, *parts], ensure_ascii=ascii_only, separators=("," + space, ":"))
    raw = text.encode("utf-8", "surrogatepass")
    glanced = frame.plain_call(raw)
    if glanced is not None or frame.plain_answer(raw) is not None:
        head = frame.scan(raw)
        assert isinstance(head, Head)
        assert head.action == ("" if glanced is None else glanced[1].decode())
        assert head.id == (frame.plain_answer(raw) or b"" if glanced is None else glanced[0]).decode()
        assert head.kind == (3 if glanced is None else 2)


@pytest.mark.parametrize("raw", [b'[2,"1","Heartbeat",{}]', b'[2, "x-1:2", "MeterValues", {"connectorId":1}]'])
def test_the_usual_spellings_of_a_call_are_recognised(raw: bytes) -> None:
    assert frame.plain_call(raw) in ((b"1", b"Heartbeat"), (b"x-1:2", b"MeterValues"))
    assert frame.plain_answer(b'[3, "1", {"status":"Accepted"}]') == b"1"


@pytest.mark.parametrize(
    "raw",
    [
        b'[2,"1","Heartbeat",{}',
        b'[2,"1","Heartbeat",{"a":"\xff"}]',
        b'[2,"a\\u0041","Heartbeat",{}]',
        b'[3,"1",{},"more"]',
        b'[2,"1",{}]',
        b"",
    ],
)
def test_what_is_not_plain_is_left_to_the_scan(raw: bytes) -> None:
    assert frame.plain_call(raw) is None
    assert frame.plain_answer(raw) is None
