"""Hostile frames against the facade over raw sockets: each has its defined answer and disturbs nobody else."""

from __future__ import annotations

import resource
import socket
import struct
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from dgm import _core

HOST = "127.0.0.1"
READ = bytes([3, 0, 0, 0, 1])
GOOD_REPLY = bytes([0, 9, 0, 0, 0, 5, 1, 3, 2, 0, 42])


def frame(pdu: bytes, *, transaction: int = 1, protocol: int = 0, length: int | None = None, unit: int = 1) -> bytes:
    """One frame, its header as given."""
    return struct.pack(">HHHB", transaction, protocol, len(pdu) + 1 if length is None else length, unit) + pdu


def refused(function: int, code: int, *, unit: int = 1) -> bytes:
    return frame(bytes([function | 0x80, code]), unit=unit)


GOOD_READ = frame(READ, transaction=9)
CLOSE = None

CASES: dict[str, tuple[bytes, bytes | None]] = {
    "1 protocol id 1": (frame(READ, protocol=1), CLOSE),
    "2 length 0": (frame(READ, length=0), CLOSE),
    "3 length 1": (frame(READ, length=1), CLOSE),
    "4 length 0xffff": (frame(READ, length=0xFFFF), CLOSE),
    "5 length too short": (frame(READ, length=4), CLOSE),
    "6 length too long by 3": (frame(READ, length=9), CLOSE),
    "7 bare function code": (frame(bytes([3])), refused(3, 3)),
    "8 unknown function": (frame(bytes([0x55, 0, 0, 0, 1])), refused(0x55, 1)),
    "9 function 0x80": (frame(bytes([0x80, 0, 0, 0, 1])), CLOSE),
    "10 read of 0 registers": (frame(bytes([3, 0, 0, 0, 0])), refused(3, 3)),
    "11 read of 126 registers": (frame(bytes([3, 0, 0, 0, 126])), refused(3, 3)),
    "12 read past the end": (frame(bytes([3, 0xFF, 0xFF, 0, 2])), refused(3, 2)),
    "13 write of 124 registers": (frame(bytes([16, 0, 0, 0, 124, 248]) + bytes(248)), CLOSE),
    "14 byte count lies": (frame(bytes([16, 0, 0, 0, 2, 200, 0, 0, 0, 0])), refused(16, 3)),
    "15 trailing bytes": (frame(READ + b"\x09\x09"), refused(3, 3)),
    "16 two frames in one segment": (
        frame(READ) + frame(READ, transaction=2),
        frame(bytes([3, 2, 0, 42])) + frame(bytes([3, 2, 0, 42]), transaction=2),
    ),
    "17 unit id not served": (frame(READ, unit=247), refused(3, 0x0B, unit=247)),
}


@pytest.fixture
def facade() -> Iterator[_core.Facade]:
    facade = _core.Facade(HOST, 0, 1)
    facade.define(1, 0, 10)
    facade.publish(1, 0, b"\x00\x2a")
    facade.start()
    yield facade
    facade.stop()


def connect(facade: _core.Facade) -> socket.socket:
    return socket.create_connection((HOST, facade.port()), timeout=5)


def receive(client: socket.socket, count: int) -> bytes:
    """`count` bytes, fewer only if the peer closed."""
    data = b""
    while len(data) < count and (chunk := client.recv(count - len(data))):
        data += chunk
    return data


def is_closed(client: socket.socket) -> bool:
    """Waits for the end of the connection, without a byte before it."""
    try:
        return client.recv(1) == b""
    except ConnectionResetError:
        return True


def assert_served(client: socket.socket) -> None:
    client.sendall(GOOD_READ)
    assert receive(client, len(GOOD_REPLY)) == GOOD_REPLY


@pytest.mark.parametrize("name", CASES)
def test_a_hostile_frame_gets_its_answer_and_valid_reads_still_get_theirs(facade: _core.Facade, name: str) -> None:
    hostile, answer = CASES[name]
    with connect(facade) as other, connect(facade) as client:
        assert_served(other)
        client.sendall(hostile)
        assert_served(other)
        if answer is CLOSE:
            assert is_closed(client)
        else:
            assert receive(client, len(answer)) == answer
            assert_served(client)
        assert_served(other)


@pytest.mark.parametrize("name", [name for name, (_, answer) in CASES.items() if answer is not CLOSE])
def test_the_answer_is_the_same_byte_by_byte(facade: _core.Facade, name: str) -> None:
    hostile, answer = CASES[name]
    assert answer is not None
    with connect(facade) as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in hostile:
            client.sendall(bytes([byte]))
        assert receive(client, len(answer)) == answer
        assert_served(client)


def test_half_open_connections_do_not_keep_a_client_waiting_and_are_closed(facade: _core.Facade) -> None:
    with ExitStack() as stack, connect(facade) as client:
        dripping = [stack.enter_context(connect(facade)) for _ in range(50)]
        for half_open in dripping:
            half_open.sendall(b"\x00")
        assert_served(client)
        assert all(is_closed(half_open) for half_open in dripping)
        assert_served(client)
    assert facade.counters()["connections_timed_out_total"] == 50


@pytest.fixture
def many_sockets() -> Iterator[None]:
    """Both ends of more than 512 connections live in this process."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(4_096, hard), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.usefixtures("many_sockets")
def test_more_clients_than_there_is_room_for_push_out_the_silent_and_not_the_served(facade: _core.Facade) -> None:
    with ExitStack() as stack, connect(facade) as client:
        assert_served(client)
        silent = [stack.enter_context(connect(facade)) for _ in range(520)]
        assert is_closed(silent[0])
        assert_served(client)
        assert_served(silent[-1])
    assert facade.counters()["connections_evicted_total"] == 9


def test_a_client_that_does_not_take_its_answers_delays_nobody(facade: _core.Facade) -> None:
    with connect(facade) as greedy, connect(facade) as client:
        greedy.setblocking(False)
        sent = 0
        request = frame(bytes([3, 0, 0, 0, 10])) * 500
        try:
            while sent < 50_000_000:
                sent += greedy.send(request)
        except BlockingIOError:
            pass
        assert sent < 50_000_000, "the server stopped reading what it cannot answer"
        assert_served(client)


def test_garbage_is_counted_and_nothing_else_happens(facade: _core.Facade) -> None:
    with connect(facade) as client:
        for _ in range(20):
            with connect(facade) as garbage:
                garbage.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
                assert is_closed(garbage)
        assert_served(client)
    assert facade.counters()["modbus_bad_frames_total"] == 20
