"""What goes wrong on real sockets: cut, silent, late, doubled, huge and hostile; it hurts no other station."""

from __future__ import annotations

import asyncio
import contextlib
import json
import struct
import zlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ocpp_bench import BOOT, Bench, Csms, frame_with, until
from websockets.exceptions import ConnectionClosed
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory
from websockets.frames import Frame, Opcode

from dgm.ocpp.gateway import Security
from dgm.ocpp.gateway.legs import MAX_OUTBOUND_BYTES
from dgm.ocpp.gateway.security import Door

HEARTBEAT = '[2,"h","Heartbeat",{}]'
HEAD = (
    b"GET /CP-1 HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Protocol: ocpp1.6\r\n\r\n"
)


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    async with Csms().running() as csms:
        found = Bench(csms, tmp_path)
        await found.gateway.start("127.0.0.1", 0)
        yield found
        await found.gateway.stop()


async def raw_station(bench: Bench) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A station that we write bytes for."""
    reader, writer = await asyncio.open_connection("127.0.0.1", bench.gateway.port)
    writer.write(HEAD)
    assert b" 101 " in await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)
    return reader, writer


async def still_works(bench: Bench, path: str = "CP%202%7C%C3%A9") -> None:
    async with bench.station(path) as other:
        await other.send(HEARTBEAT)
        assert await frame_with(other, "h")


async def test_a_frame_of_more_than_64_kib_passes_whole_in_pieces_and_in_fragments(bench: Bench) -> None:
    big = '[2,"1","DataTransfer",{"vendorId":"v","data":"' + "ü" * 60_000 + '"}]'
    half = len(big) // 2
    async with bench.station() as station:
        await station.send(big)
        assert await frame_with(station, "1")
        await station.send([big[:half].replace('"1"', '"2"'), big[half:]])
        assert await frame_with(station, "2")
        answer = '[3,"3",{"data":"' + "ß" * 70_000 + '"}]'
        await bench.csms.sockets[0].send(answer)
        assert await frame_with(station, "3") == answer
    assert bench.csms.seen == [big, big.replace('"1"', '"2"')]


async def test_a_frame_that_comes_byte_by_byte_passes_whole(bench: Bench) -> None:
    reader, writer = await raw_station(bench)
    for byte in Frame(Opcode.TEXT, HEARTBEAT.encode()).serialize(mask=True):
        writer.write(bytes((byte,)))
        await writer.drain()
    assert await asyncio.wait_for(reader.readuntil(b'[3, "h", {}]'), 5)
    assert bench.csms.seen == [HEARTBEAT]
    writer.close()


async def test_a_reset_in_the_middle_of_a_frame_passes_nothing_on(bench: Bench) -> None:
    _, writer = await raw_station(bench)
    await until(lambda: bench.sessions["CP-1"].is_up)
    writer.write(Frame(Opcode.TEXT, HEARTBEAT.encode()).serialize(mask=True)[:-3])
    await writer.drain()
    writer.get_extra_info("socket").setsockopt(1, 13, struct.pack("ii", 1, 0))  # SO_LINGER: close with a reset
    writer.transport.abort()
    await until(lambda: not bench.sessions["CP-1"].is_up)
    assert bench.csms.seen == []
    await still_works(bench)


HOSTILE = [
    b"\x81\x05hello",  # not masked
    b"\xc1\x80\x00\x00\x00\x00",  # compressed, though nothing of that was agreed
    b"\x83\x80\x00\x00\x00\x00",  # unknown opcode
    b"\x89\xfe\x00\x7e\x00\x00\x00\x00" + b"x" * 126,  # a ping of 126 bytes
    b"\x80\x80\x00\x00\x00\x00",  # goes on with what has not begun
    b"\x81\xff" + (1 << 63).to_bytes(8, "big") + b"\x00" * 4,  # a length that cannot be
    b"\x81\xff" + (1 << 40).to_bytes(8, "big") + b"\x00" * 4,  # a tebibyte
    b"\x88\x81\x00\x00\x00\x00\x00",  # a close of one byte
]


@pytest.mark.parametrize("raw", HOSTILE)
async def test_a_hostile_frame_ends_its_own_connection_only(bench: Bench, raw: bytes) -> None:
    reader, writer = await raw_station(bench)
    writer.write(raw + Frame(Opcode.TEXT, HEARTBEAT.encode()).serialize(mask=True))
    ended = await asyncio.wait_for(reader.read(), 5)
    assert ended[:1] in (b"", b"\x88")
    writer.close()
    await until(lambda: not bench.sessions["CP-1"].is_up)
    assert bench.csms.seen == []
    await still_works(bench)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(min_size=1, max_size=200))
async def test_random_bytes_end_their_own_connection_only(tmp_path_factory: pytest.TempPathFactory, raw: bytes) -> None:
    async with Csms().running() as csms:
        bench = Bench(csms, tmp_path_factory.mktemp("fuzz"))
        await bench.gateway.start("127.0.0.1", 0)
        _, writer = await raw_station(bench)
        writer.write(raw)
        await writer.drain()
        await still_works(bench)
        writer.transport.abort()
        await bench.gateway.stop()


async def test_a_flood_of_one_station_lets_others_pass(bench: Bench) -> None:
    _, writer = await raw_station(bench)
    flood = Frame(Opcode.TEXT, b"[]").serialize(mask=True) * 20_000
    writer.write(flood)
    await still_works(bench)
    writer.transport.abort()


async def test_a_station_that_does_not_read_loses_its_connection_and_no_memory_is_lost_to_it(bench: Bench) -> None:
    reader, writer = await raw_station(bench)
    reader._transport.pause_reading()  # type: ignore[attr-defined]
    await until(lambda: bench.csms.sockets)
    answer = '[3,"none",{"data":"' + "x" * 200_000 + '"}]'
    with contextlib.suppress(ConnectionClosed):
        for _ in range(100 * MAX_OUTBOUND_BYTES // len(answer)):
            await bench.csms.sockets[0].send(answer)
    await until(lambda: bench.metric("dgm_ocpp_slow_peers_total", leg="south") == 1)
    writer.transport.abort()
    await still_works(bench)


async def test_ids_that_come_twice_and_answers_that_come_late_pass_as_they_are(bench: Bench) -> None:
    async with bench.station() as station:
        for _ in range(2):
            await station.send('[2,"same","BootNotification",{"chargePointVendor":"V","chargePointModel":"M"}]')
            assert json.loads(await frame_with(station, "same"))[2]["status"] == "Accepted"
        await station.send('[3,"of-yesterday",{"status":"Accepted"}]')
        await station.send('[4,"of-yesterday","GenericError","",{}]')
        await until(lambda: len(bench.csms.seen) == 4)
    assert [json.loads(raw)[1] for raw in bench.csms.seen] == ["same", "same", "of-yesterday", "of-yesterday"]


async def test_each_leg_compresses_for_itself(bench: Bench) -> None:
    factory = ClientPerMessageDeflateFactory(client_max_window_bits=True)
    async with bench.station(compression=None, extensions=[factory]) as station:
        (ours,) = station.protocol.extensions
        assert ours.name == "permessage-deflate"
        (theirs,) = bench.csms.sockets[0].protocol.extensions
        assert theirs.name == "permessage-deflate"
        await station.send(BOOT)
        assert await frame_with(station, "b1")
        assert bench.csms.seen == [BOOT]
    async with bench.station(compression=None) as station:
        assert not station.protocol.extensions
        assert not bench.csms.sockets[1].protocol.extensions
        await station.send(HEARTBEAT)
        assert await frame_with(station, "h")


async def test_a_message_that_unpacks_to_too_much_ends_the_connection(bench: Bench) -> None:
    deflate = zlib.compressobj(9, zlib.DEFLATED, -15)
    packed = (deflate.compress(b" " * 50_000_000) + deflate.flush(zlib.Z_SYNC_FLUSH))[:-4]
    reader, writer = await asyncio.open_connection("127.0.0.1", bench.gateway.port)
    writer.write(HEAD.replace(b"\r\n\r\n", b"\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n"))
    assert b"permessage-deflate" in await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)
    whole = bytearray(Frame(Opcode.TEXT, packed).serialize(mask=True))
    whole[0] |= 0x40  # compressed
    writer.write(whole)
    assert (await asyncio.wait_for(reader.read(), 5))[:1] == b"\x88"
    await until(lambda: bench.metric("dgm_ocpp_bad_frames_total", reason="oversize") == 1)
    writer.close()


async def test_a_station_that_must_not_be_closed_is_dropped_instead(tmp_path: Path) -> None:
    async with Csms().running() as csms:
        bench = Bench(csms, tmp_path, security=Security(doors={"CP-1": Door(abort_on_close=True)}))
        await bench.gateway.start("127.0.0.1", 0)
        async with bench.station() as station:
            await csms.sockets[0].close()
            with pytest.raises(ConnectionClosed) as closed:
                await asyncio.wait_for(station.recv(), 5)
            assert closed.value.rcvd is None, "no close frame"
        await bench.gateway.stop()


async def test_what_a_station_says_before_it_is_answered_is_heard_in_order(bench: Bench) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", bench.gateway.port)
    early = [f'[2,"e{number}","Heartbeat",{{}}]' for number in range(3)]
    writer.write(HEAD + b"".join(Frame(Opcode.TEXT, text.encode()).serialize(mask=True) for text in early))
    await until(lambda: len(bench.csms.seen) == 3)
    assert bench.csms.seen == early
    writer.close()
    assert reader
