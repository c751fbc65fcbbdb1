"""The facade as a client of another implementation sees it, and as its owner in Python sees the client."""

from __future__ import annotations

import asyncio
import os
import socket
import struct
from collections.abc import AsyncIterator, Iterator

import pytest
from pymodbus.client import AsyncModbusTcpClient

from dgm import _core

HOST = "127.0.0.1"
DEADLINE_S = 10.0
LIMIT, SIGNED, GUARDED = 20, 22, 23


@pytest.fixture
def facade() -> Iterator[_core.Facade]:
    """Units 1 and 2: ten measured words, a 32-bit limit, a signed word and a word with a watchdog of 1 s."""
    facade = _core.Facade(HOST, 0, 2)
    facade.define(1, 0, 10)
    facade.define(1, LIMIT, 4)
    facade.define(2, 100, 2)
    facade.allow_write(1, LIMIT, 2, 0, 100_000, 0)
    facade.allow_write(1, SIGNED, 1, -100, 100, 0)
    facade.allow_write(1, GUARDED, 1, 0, 1_000, 1)
    facade.set_fallback(1, GUARDED, 50)
    facade.start()
    yield facade
    facade.stop()


@pytest.fixture
async def client(facade: _core.Facade) -> AsyncIterator[AsyncModbusTcpClient]:
    client = AsyncModbusTcpClient(HOST, port=facade.port(), retries=0, timeout=5)
    assert await client.connect()
    yield client
    client.close()


Write = tuple[int, int, int, int, int, str | None, str | None]


async def written(facade: _core.Facade) -> list[Write]:
    """Wait on the eventfd for changes and take them."""
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    loop.add_reader(facade.fileno(), ready.set)
    try:
        async with asyncio.timeout(DEADLINE_S):
            while True:
                await ready.wait()
                if changes := facade.take_writes():
                    return changes
                ready.clear()
    finally:
        loop.remove_reader(facade.fileno())


async def test_published_registers_are_read_as_holding_and_as_input_registers(
    facade: _core.Facade, client: AsyncModbusTcpClient
) -> None:
    facade.publish(1, 3, struct.pack(">iHh", -123_456, 7, -8))
    expected = [0xFFFE, 0x1DC0, 7, 0xFFF8]
    assert (await client.read_holding_registers(3, count=4, device_id=1)).registers == expected
    assert (await client.read_input_registers(3, count=4, device_id=1)).registers == expected


async def test_units_are_apart_and_an_unknown_one_is_exception_0x0b(
    facade: _core.Facade, client: AsyncModbusTcpClient
) -> None:
    facade.publish(2, 100, b"\x00\x05\x00\x06")
    assert (await client.read_holding_registers(100, count=2, device_id=2)).registers == [5, 6]
    assert (await client.read_holding_registers(100, count=2, device_id=1)).exception_code == 2
    assert (await client.read_holding_registers(100, count=2, device_id=3)).exception_code == 0x0B


async def test_undeclared_registers_and_functions_are_refused(client: AsyncModbusTcpClient) -> None:
    assert (await client.read_holding_registers(9, count=2, device_id=1)).exception_code == 2
    assert (await client.read_coils(0, count=1, device_id=1)).exception_code == 1
    assert (await client.write_register(0, 1, device_id=1)).exception_code == 2
    assert (await client.mask_write_register(address=0, device_id=1)).exception_code == 2


async def test_a_write_in_range_is_seen_by_the_next_read_and_told_to_the_owner(
    facade: _core.Facade, client: AsyncModbusTcpClient
) -> None:
    assert not (await client.write_registers(LIMIT, [1, 0x1170], device_id=1)).isError()
    assert not (await client.write_register(SIGNED, 0xFF9C, device_id=1)).isError()
    assert (await client.read_holding_registers(LIMIT, count=3, device_id=1)).registers == [1, 0x1170, 0xFF9C]
    changes = await written(facade)
    assert [change[:3] for change in changes] == [(1, LIMIT, 70_000), (1, SIGNED, -100)]
    assert all(0 <= change[3] < 5_000 for change in changes)
    assert facade.take_writes() == []


async def test_half_a_value_or_one_out_of_range_is_exception_3_and_changes_nothing(
    facade: _core.Facade, client: AsyncModbusTcpClient
) -> None:
    for address, values in ((LIMIT, [1]), (LIMIT + 1, [1]), (LIMIT, [2, 0]), (SIGNED, [101]), (LIMIT, [0, 1, 101])):
        assert (await client.write_registers(address, values, device_id=1)).exception_code == 3, (address, values)
    assert (await client.read_holding_registers(LIMIT, count=4, device_id=1)).registers == [0, 0, 0, 50]
    assert facade.take_writes() == []


async def test_several_whole_values_are_written_together(facade: _core.Facade, client: AsyncModbusTcpClient) -> None:
    assert not (await client.write_registers(LIMIT, [0, 9, 5, 77], device_id=1)).isError()
    assert [change[:3] for change in await written(facade)] == [(1, LIMIT, 9), (1, SIGNED, 5), (1, GUARDED, 77)]


async def test_function_23_writes_and_reads_the_effect_in_one_transaction(client: AsyncModbusTcpClient) -> None:
    reply = await client.readwrite_registers(
        read_address=LIMIT, read_count=4, write_address=SIGNED, values=[5], device_id=1
    )
    assert reply.registers == [0, 0, 5, 50]


async def test_a_value_that_is_not_rewritten_returns_to_its_fallback_without_python(
    facade: _core.Facade, client: AsyncModbusTcpClient
) -> None:
    assert not (await client.write_register(GUARDED, 900, device_id=1)).isError()
    assert [change[:3] for change in await written(facade)] == [(1, GUARDED, 900)]
    assert [change[:3] for change in await written(facade)] == [(1, GUARDED, 50)]
    assert (await client.read_holding_registers(GUARDED, count=1, device_id=1)).registers == [50]
    assert facade.counters()["watchdog_fallbacks_total"] == 1


async def test_a_published_32_bit_value_is_never_read_in_halves(
    facade: _core.Facade, client: AsyncModbusTcpClient
) -> None:
    values = [0x00000000, 0xFFFFFFFF]
    for turn in range(300):
        facade.publish(1, 0, struct.pack(">I", values[turn % 2]))
        high, low = (await client.read_holding_registers(0, count=2, device_id=1)).registers
        assert high == low


def test_an_address_in_use_is_an_os_error_at_once(facade: _core.Facade) -> None:
    with pytest.raises(OSError, match="in use"):
        _core.Facade(HOST, facade.port(), 1)


def test_after_stop_nobody_is_answered(facade: _core.Facade) -> None:
    facade.stop()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((HOST, facade.port()), timeout=5)
    with pytest.raises(_core.CoreError, match="started before"):
        facade.start()


def test_bad_declarations_are_refused_with_what_was_expected() -> None:
    facade = _core.Facade(HOST, 0, 1)
    facade.define(1, 10, 4)
    facade.allow_write(1, 10, 2, 0, 5, 0)
    for call, text in (
        (lambda: facade.define(2, 0, 1), "a unit id of this facade"),
        (lambda: facade.define(1, 65_535, 2), "65535 or before"),
        (lambda: facade.define(1, -1, 2), "65535 or before"),
        (lambda: facade.allow_write(1, 13, 2, 0, 5, 0), "registers that are declared"),
        (lambda: facade.allow_write(1, 11, 1, 0, 5, 0), "no other writable value"),
        (lambda: facade.allow_write(1, 12, 3, 0, 5, 0), "1 or 2"),
        (lambda: facade.allow_write(1, 12, 1, 0, 65_536, 0), "low <= high"),
        (lambda: facade.allow_write(1, 12, 1, 5, 4, 0), "low <= high"),
        (lambda: facade.set_fallback(1, 12, 0), "first register of a writable value"),
        (lambda: facade.set_fallback(1, 10, -1), "can hold"),
        (lambda: facade.publish(1, 13, b"\x00\x00\x00\x00"), "registers that are declared"),
        (lambda: facade.publish(1, 13, b"\x00"), "whole registers"),
        (lambda: _core.Facade(HOST, 70_000, 1), "65535"),
        (lambda: _core.Facade(HOST, 0, 248), "247"),
    ):
        with pytest.raises(_core.CoreError, match=text):
            call()


def test_the_eventfd_is_clear_when_there_is_nothing_to_take(facade: _core.Facade) -> None:
    assert facade.take_writes() == []
    with pytest.raises(BlockingIOError):
        os.read(facade.fileno(), 8)
