"""A facade declared by a register map: caps that count only with their seconds, coils, roles, and what is refused."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest
from pymodbus.client import AsyncModbusTcpClient

from dgm import _core
from dgm.api.core.v1.registers_pb2 import (
    BIT,
    COIL,
    DISCRETE_INPUT,
    HOLDING,
    U16,
    U32,
    Point,
    RegisterMap,
    WriteGroup,
    WriteRule,
)

HOST = "127.0.0.1"
CAP, VALID, SWITCH, CONTACT = 34, 36, 7, 3
UNKNOWN = 0xFFFF_FFFF


def evse_map() -> RegisterMap:
    """A cap that counts only with its valid-for seconds, a leased switch and a contact."""
    return RegisterMap(
        name="evse",
        points=[
            Point(name="cap_ma", table=HOLDING, address=CAP, type=U32, absent=[UNKNOWN], write=WriteRule(high=32_000)),
            Point(name="valid_s", table=HOLDING, address=VALID, type=U16, write=WriteRule(low=1, high=3600)),
            Point(
                name="switch",
                table=COIL,
                address=SWITCH,
                type=BIT,
                write=WriteRule(high=1, lease_ms=60_000, fallback=1),
            ),
            Point(name="contact", table=DISCRETE_INPUT, address=CONTACT, type=BIT),
        ],
        groups=[WriteGroup(name="cap", points=["cap_ma", "valid_s"], lease_ms=3_600_000, lease_point="valid_s")],
    )


@pytest.fixture
def facade() -> Iterator[_core.Facade]:
    facade = _core.Facade(HOST, 0, 1)
    facade.declare(1, evse_map().SerializeToString())
    facade.start()
    yield facade
    facade.stop()


@pytest.fixture
async def client(facade: _core.Facade) -> AsyncIterator[AsyncModbusTcpClient]:
    client = AsyncModbusTcpClient(HOST, port=facade.port(), retries=0, timeout=5)
    assert await client.connect()
    yield client
    client.close()


async def test_a_cap_is_refused_without_its_seconds_and_held_with_them(
    facade: _core.Facade, client: AsyncModbusTcpClient
) -> None:
    assert (await client.read_holding_registers(CAP, count=2, device_id=1)).registers == [0xFFFF, 0xFFFF]
    assert (await client.write_registers(CAP, [0, 16_000], device_id=1)).exception_code == 3
    assert (await client.write_registers(CAP, [0, 16_000, 0], device_id=1)).exception_code == 3
    assert not (await client.write_registers(CAP, [0, 16_000, 30], device_id=1)).isError()
    assert [row[:3] for row in facade.take_writes()] == [(1, CAP, 16_000), (1, VALID, 30)]


async def test_coils_and_contacts_are_read_written_and_published(
    facade: _core.Facade, client: AsyncModbusTcpClient
) -> None:
    assert (await client.read_coils(SWITCH, count=1, device_id=1)).bits[0] is True
    assert not (await client.write_coil(SWITCH, False, device_id=1)).isError()
    assert (await client.read_coils(SWITCH, count=1, device_id=1)).bits[0] is False
    [(_, address, value, _, table, _, _)] = facade.take_writes()
    assert (address, value, table) == (SWITCH, 0, COIL)
    facade.publish(1, CONTACT, b"\x01", DISCRETE_INPUT)
    assert (await client.read_discrete_inputs(CONTACT, count=1, device_id=1)).bits[0] is True
    assert (await client.read_discrete_inputs(CONTACT, count=2, device_id=1)).exception_code == 2


def test_what_is_wrong_is_told_at_once_by_name_and_address(facade: _core.Facade) -> None:
    overlapping, twice = evse_map(), evse_map()
    overlapping.points[1].address = 35
    twice.points[0].write.high = 2**32
    twice.points[2].write.high = 2
    with pytest.raises(_core.CoreError) as refusal:
        facade.declare(1, twice.SerializeToString())
    assert "points[0].write.low: found low 0, high 4294967296" in str(refusal.value)
    assert "points[2].write.low: found low 0, high 2" in str(refusal.value)
    for call, text in (
        (
            lambda: facade.declare(1, overlapping.SerializeToString()),
            "found valid_s at HOLDING 35; expected no register",
        ),
        (lambda: facade.declare(2, evse_map().SerializeToString()), "a unit id of this facade"),
        (
            lambda: facade.declare(1, evse_map().SerializeToString()),
            "cap_ma at HOLDING 34..35; expected registers of no",
        ),
        (lambda: facade.declare(1, b"\xff"), "RegisterMap: not decodable"),
        (lambda: facade.publish(1, CONTACT, b"\x02", DISCRETE_INPUT), "bits of 0 or 1"),
        (lambda: facade.publish(1, CONTACT, b"\x01", 9), "a RegisterTable"),
    ):
        with pytest.raises(_core.CoreError, match=text):
            call()
