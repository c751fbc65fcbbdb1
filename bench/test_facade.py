"""What a third-party EMS waits for 125 registers of the facade, against a pymodbus server and against a canned answer.

A blocking socket asks for the same 125 holding registers one read after the other. Every time contains the client and
two loopback trips; "canned" (see modbus_peers.py) is that price alone, so a server's own share is its time less that.
The facade runs on its own thread in this process, the others in processes of their own.
"""

from __future__ import annotations

import socket
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from dgm import _core
from modbus_peers import HOST, REGISTERS

PEERS = Path(__file__).with_name("modbus_peers.py")
ANSWER_BYTES = 9 + 2 * REGISTERS
VALUES = struct.pack(f">{REGISTERS}H", *range(REGISTERS))


@contextmanager
def facade() -> Iterator[int]:
    server = _core.Facade(HOST, 0, 1)
    server.define(1, 0, REGISTERS)
    server.publish(1, 0, VALUES)
    server.start()
    try:
        yield server.port()
    finally:
        server.stop()


@contextmanager
def peer(name: str) -> Iterator[int]:
    command = [sys.executable, str(PEERS), name]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield int(process.stdout.readline())
        finally:
            process.stdin.close()
            process.wait(10)


def reader(client: socket.socket) -> Callable[[], memoryview]:
    """One read and its whole answer."""
    buffer = memoryview(bytearray(ANSWER_BYTES))
    number = 0

    def read() -> memoryview:
        nonlocal number
        number = (number + 1) % 0x10000
        client.sendall(struct.pack(">HHHBBHH", number, 0, 6, 1, 3, 0, REGISTERS))
        got = 0
        while got < ANSWER_BYTES:
            count = client.recv_into(buffer[got:])
            assert count, "the server closed the connection"
            got += count
        assert buffer[0] << 8 | buffer[1] == number
        return buffer

    return read


@pytest.mark.benchmark(group="125 registers, one read after the other")
@pytest.mark.parametrize("server", ["facade", "pymodbus", "canned"])
def test_read(benchmark: BenchmarkFixture, server: str) -> None:
    with facade() if server == "facade" else peer(server) as port, socket.create_connection((HOST, port), 5) as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        answer = benchmark(reader(client))
    assert answer[9:] == VALUES
