"""The EVSE facade as a third-party EMS sees it: an independent Modbus client reads blocks and writes leased caps."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
from ocpp_driver import Driver, ModelStation
from pymodbus.client import AsyncModbusTcpClient

from dgm import rpc
from dgm.api.config.v1.config_pb2 import FacadeConfig
from dgm.api.ems.v1 import ems_pb2, ems_pb2_grpc
from dgm.errors import TransportError
from dgm.ocpp import registers
from dgm.ocpp.service.facade import EvseFacade


async def until(condition: Callable[[], object]) -> None:
    """Let the sockets work until something is so."""
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 - what is waited for happens on the far end of a socket
            await asyncio.sleep(0.005)


class Ems(ems_pb2_grpc.EmsServiceServicer):
    """Keeps the limits it is given, or is away."""

    def __init__(self) -> None:
        self.limits: list[ems_pb2.Limit] = []
        self.is_away = False
        self.refused = 0

    async def PutLimit(self, request: ems_pb2.PutLimitRequest, context: Any) -> Any:
        if self.is_away:
            self.refused += 1
            await context.abort(grpc.StatusCode.UNAVAILABLE, "away")
        self.limits.append(request.limit)
        return ems_pb2.PutLimitResponse(limit=request.limit)


@asynccontextmanager
async def serving(ems: Ems, path: Path) -> AsyncIterator[grpc.aio.Channel]:
    server = grpc.aio.server()
    ems_pb2_grpc.add_EmsServiceServicer_to_server(ems, server)
    server.add_insecure_port(f"unix:{path}")
    await server.start()
    async with rpc.channel(f"unix:{path}") as channel:
        yield channel
    await server.stop(0)


class Site:
    """Two EVSEs, the first charging, behind a running facade."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self.ems = Ems()
        self.drivers = [Driver(station=ModelStation(), asset_id=f"evse-{number}").connect() for number in (1, 2)]
        self.facade = EvseFacade(
            FacadeConfig(host="127.0.0.1", port=0),
            [(driver.session, driver.session.evses[0]) for driver in self.drivers],
            channel,
        )
        self.modbus = AsyncModbusTcpClient("127.0.0.1", port=self.facade.port, timeout=3, retries=0)

    async def read(self, address: int, count: int) -> bytes:
        answer = await self.modbus.read_holding_registers(address, count=count, device_id=registers.UNIT)
        assert not answer.isError(), answer
        return b"".join(word.to_bytes(2, "big") for word in answer.registers)

    async def block(self, index: int) -> dict[str, int | None]:
        return registers.decode(registers.BLOCK, await self.read(registers.block_address(index), registers.READ_SIZE))

    async def write_cap(self, index: int, cap_ma: int, valid_s: int) -> bool:
        address = registers.block_address(index) + registers.CAP_MA.offset
        words = [cap_ma >> 16, cap_ma & 0xFFFF, valid_s]
        answer = await self.modbus.write_registers(address, words, device_id=registers.UNIT)
        return not answer.isError()


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    ems = Ems()
    async with serving(ems, tmp_path / "ems.sock") as channel:
        found = Site(channel)
        found.ems = ems
        running = asyncio.create_task(found.facade.run())
        await found.modbus.connect()
        yield found
        found.modbus.close()
        running.cancel()
        await asyncio.wait({running})


async def test_header_and_blocks_can_be_read(site: Site) -> None:
    header = registers.decode(registers.HEADER, await site.read(0, registers.HEADER_SIZE))
    assert (header["magic"], header["version"], header["evses"]) == (registers.MAGIC, 1, 2)
    assert (header["first_block"], header["block_size"]) == (registers.FIRST_BLOCK, registers.BLOCK_SIZE)
    block = await site.block(1)
    assert (block["number"], block["proved_ma"], block["links"]) == (2, 6_000, 0b111)
    assert (block["plug_state"], block["current_l1_ma"], block["cap_left_ms"]) == (None, None, None)


async def test_the_heartbeat_moves_and_blocks_follow_the_session(site: Site) -> None:
    first = registers.decode(registers.HEADER, await site.read(0, registers.HEADER_SIZE))["heartbeat"]
    site.drivers[0].status("Charging")
    async with asyncio.timeout(5):
        while (await site.block(0))["plug_state"] != 2:
            pass
    assert registers.decode(registers.HEADER, await site.read(0, registers.HEADER_SIZE))["heartbeat"] != first


async def test_a_written_cap_becomes_a_leased_limit_of_its_evse(site: Site) -> None:
    assert await site.write_cap(1, 16_000, 30)
    await until(lambda: site.ems.limits)
    (limit,) = site.ems.limits
    assert (limit.id, limit.source, limit.asset_id) == ("facade:ocpp:evse-2", "facade:ocpp", "evse-2")
    assert (limit.quantity, limit.current_ma, limit.failsafe_current_ma) == (ems_pb2.QUANTITY_CURRENT, 16_000, 6_000)
    assert 29_000 < limit.ttl_ms <= 30_000
    async with asyncio.timeout(5):
        while (left := (await site.block(1))["cap_left_ms"]) is None:
            pass
    assert left <= 30_000


@pytest.mark.parametrize(("cap_ma", "valid_s"), [(32_001, 30), (16_000, 0), (16_000, 3_601)])
async def test_a_cap_out_of_bounds_is_refused_and_changes_nothing(site: Site, cap_ma: int, valid_s: int) -> None:
    assert not await site.write_cap(0, cap_ma, valid_s)
    assert await site.write_cap(1, 8_000, 10)
    await until(lambda: site.ems.limits)
    assert [limit.asset_id for limit in site.ems.limits] == ["evse-2"]


async def test_what_is_not_in_the_map_cannot_be_read_or_written(site: Site) -> None:
    beyond = registers.block_address(2)
    assert (await site.modbus.read_holding_registers(beyond, count=1, device_id=registers.UNIT)).isError()
    assert (await site.modbus.write_register(registers.block_address(0), 7, device_id=registers.UNIT)).isError()
    assert (await site.modbus.read_holding_registers(0, count=1, device_id=registers.UNIT + 1)).isError()


async def test_a_cap_that_the_ems_did_not_take_is_shown_as_not_in_force(site: Site) -> None:
    site.ems.is_away = True
    assert await site.write_cap(0, 16_000, 30)
    await until(lambda: site.ems.refused)
    site.ems.is_away = False
    assert await site.write_cap(1, 16_000, 30)
    async with asyncio.timeout(5):
        while (await site.block(1))["cap_left_ms"] is None:
            pass
    assert (await site.block(0))["cap_left_ms"] is None
    assert [limit.asset_id for limit in site.ems.limits] == ["evse-2"]


async def test_an_address_in_use_says_so(site: Site) -> None:
    with pytest.raises(TransportError, match="free address"):
        EvseFacade(FacadeConfig(host="127.0.0.1", port=site.facade.port), [], rpc.channel("unix:/nowhere"))
