"""The DER facade as a third-party EMS sees it: the role beside a simulated utility, and independent Modbus clients."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import pytest
import sunspec2.device
import sunspec2.modbus.client
from der_events import IMP, T0_S, at, control, default, known, program
from der_examples import OBSERVED, site
from pymodbus.client import AsyncModbusTcpClient

from dgm import clock
from dgm.api.config.v1.config_pb2 import FacadeConfig
from dgm.api.ems.v1.grid_pb2 import GridFunction
from dgm.api.site.v1.site_pb2 import AssetType
from dgm.der import registers
from dgm.der import resource as r
from dgm.der.core import DerCore
from dgm.der.core_events import SiteSeen
from dgm.der.discovery import CurveKnown
from dgm.der.facade_writes import ALIVE, IN_FORCE, LOST, NOBODY, Availability
from dgm.der.models import AVAILABILITY, GATEWAY_MODEL, KINDS, LIMIT_MODEL, STANDARD
from dgm.der.register_values import LIMITED, NOT_TOLD
from dgm.der.service.facade import DerFacade
from dgm.der.steps import Origin
from dgm.maps.table import Model, Value, decode

MAP = Path(__file__).resolve().parents[2] / "deploy" / "map"
LFDI = "3E4F45AB31EDFE5B67E343E5E4562E31984E23E5"
ABSENT = 0xFFFF_FFFF
ILLEGAL_ADDRESS, ILLEGAL_VALUE = 2, 3
RESERVE = {point.name: ABSENT for point in AVAILABILITY}


async def until(condition: Callable[[], Awaitable[Any]]) -> Any:
    """Let the sockets work until something is so."""
    async with asyncio.timeout(5):
        while True:
            if found := await condition():
                return found
            await asyncio.sleep(0.01)


class Site:
    """A core that knows a schedule, its facade, and a client of it."""

    def __init__(self) -> None:
        self.config = site()
        pv = next(asset for asset in self.config.assets if asset.type == AssetType.ASSET_TYPE_PV)
        pv.grid_functions.append(GridFunction.GRID_FUNCTION_VOLT_VAR)
        self.core = DerCore(self.config, LFDI, lambda most: 0)
        self.core.handle(SiteSeen(update=OBSERVED), clock.now())
        self.facade = DerFacade(FacadeConfig(host="127.0.0.1", port=0), self.core, self.config)
        self.modbus = AsyncModbusTcpClient("127.0.0.1", port=self.facade.port, timeout=3, retries=0)

    def know(self, *programs: Any) -> None:
        """What the utility tells, on the machine's own clock."""
        self.core.is_informed = True
        self.core.scheduler.handle(known(*programs), clock.now())
        self.facade.ring()

    async def read(self, model: Model, index: int | None = None) -> dict[str, Value]:
        place = registers.place(model, index)
        answer = await self.modbus.read_holding_registers(place.address, count=min(model.size, 125), device_id=1)
        assert not answer.isError(), answer
        return decode(model, b"".join(word.to_bytes(2, "big") for word in answer.registers))

    async def limit(self, kind: str = "IMPORT") -> dict[str, Value]:
        return await self.read(LIMIT_MODEL, KINDS.index(kind))

    async def write(self, model: Model, index: int | None = None, **values: int) -> int:
        """The exception code, 0: none."""
        words: list[int] = []
        for name, value in values.items():
            words += [value >> 16, value & 0xFFFF] if model.point(name).size == 2 else [value]
        address = registers.place(model, index).address + model.offsets[next(iter(values))]
        answer = await self.modbus.write_registers(address, words, device_id=1)
        return int(answer.exception_code) if answer.isError() else 0


@pytest.fixture
async def served() -> AsyncIterator[Site]:
    found = Site()
    running = asyncio.create_task(found.facade.run())
    await asyncio.sleep(0)
    await found.modbus.connect()
    yield found
    found.modbus.close()
    running.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running


def event(
    mrid: str, from_s: int, length_s: int, power_w: int, *, newer_s: int = 0, modes: tuple[r.ControlMode, ...] = ()
) -> Any:
    """An import limit and other modes, seconds from now; of two the newer holds."""
    begin = clock.now().utc_ms // 1000 - at(0).utc_ms // 1000
    base = r.ControlBase(modes=(r.ControlMode(name=IMP, power_w=power_w), *modes))
    return control(mrid, begin + from_s, length_s, base=base, creation_s=T0_S + newer_s)


async def test_an_independent_sunspec_client_finds_and_reads_every_model(served: Site) -> None:
    served.know(program(event("AB", -5, 600, 90_000), stated=default({IMP: 300_000})))

    def scanned() -> Any:
        sunspec2.device.set_model_defs_path([str(MAP), *sunspec2.device.get_model_defs_path()])
        device = sunspec2.modbus.client.SunSpecModbusClientDeviceTCP(
            slave_id=1, ipaddr="127.0.0.1", ipport=served.facade.port, timeout=3
        )
        device.scan()
        device.close()
        return device

    async def told() -> bool:
        return (await served.limit())["limit_w"] == 90_000

    await until(told)
    found = await asyncio.to_thread(scanned)
    chain = [found.models[model.id][0].model_id for model, index, _ in registers.PLACES if not index]
    assert chain == [701, 702, 703, 704, 705, 706, 711, 712, 713, 715, 64_912, 64_913]
    assert (found.common[0].Md.value, found.common[0].SN.value) == ("DER gateway", "der-test")
    assert (found.DERMeasureAC[0].W.cvalue, found.DERCapacity[0].WMax.cvalue) == (30_000, 150_000)
    assert (found.DERStorageCapacity[0].SoC.cvalue, found.DERVoltVar[0].Crv[0].ActPt.value) == (63.4, 0)
    assert [limit.Kind.value for limit in found.dgm_limit] == list(range(len(KINDS)))
    assert (found.dgm_limit[0].WLim.value, found.dgm_limit[0].NxtWLim.value) == (90_000, 300_000)
    assert (found.dgm_limit[1].WLim.value, found.dgm_limit[3].WLim.value) == (100_000, None)
    assert found.dgm_der[0].WMax.value == 150_000


async def test_a_curve_that_rules_is_shown_as_soon_as_it_is_fetched(served: Site) -> None:
    mode = r.ControlMode(name="opModVoltVar", curve_href="/curve/1")
    served.know(program(event("AB", -5, 600, 90_000, modes=(mode,))))
    before = await served.read(STANDARD[705])
    points = (r.CurvePoint(x=92, y=44), r.CurvePoint(x=108, y=-44))
    found = r.DERCurve(
        mrid="C", creation_s=1, points=points, curve_type=11, x_power_of_ten=0, y_power_of_ten=0, y_reference=2
    )
    url = urljoin(served.config.der.url, "/curve/1")
    served.core.told([CurveKnown(url=url, curve=found)], clock.now())
    served.facade.ring()

    async def told() -> bool:
        return (await served.read(STANDARD[705]))["Crv1.ActPt"] == 2

    await until(told)
    assert before["Crv1.ActPt"] != 2


async def test_before_the_utility_has_told_only_the_agreement_is_known(served: Site) -> None:
    found, load = await served.limit(), await served.limit("LOAD")
    assert (found["state"], found["limit_w"], found["origin"]) == (NOT_TOLD, 500_000, Origin.AGREEMENT)
    assert (load["state"], load["limit_w"]) == (NOT_TOLD, None)
    assert (await served.read(GATEWAY_MODEL))["schedule"] == 0
    assert (await served.read(STANDARD[704]))["WMaxLimPctEna"] is None


async def test_a_limit_is_acknowledged_by_its_sequence_and_a_new_one_is_not(served: Site) -> None:
    served.know(program(event("AB", -5, 600, 90_000)))

    async def limited() -> dict[str, Value] | None:
        found = await served.limit()
        return found if found["state"] == LIMITED and found["limit_w"] == 90_000 else None

    sequence = (await until(limited))["sequence"]
    assert await served.write(GATEWAY_MODEL, heartbeat=1, heartbeat_valid_s=30) == 0
    assert await served.write(LIMIT_MODEL, 0, ack_sequence=sequence, ack=2) == 0

    async def acknowledged() -> bool:
        return (await served.limit())["acknowledged"] == 2

    await until(acknowledged)
    served.know(program(event("AB", -5, 600, 90_000), event("CD", -1, 60, 50_000, newer_s=1)))

    async def tightened() -> dict[str, Value] | None:
        found = await served.limit()
        return found if found["limit_w"] == 50_000 else None

    found = await until(tightened)
    assert (found["acknowledged"], found["sequence"] != sequence) == (0, True)
    assert (found["next_w"], found["next_origin"]) == (500_000, Origin.AGREEMENT), "a superseded event does not resume"


async def test_a_heartbeat_is_lost_after_its_time_and_a_released_one_is_not(served: Site) -> None:
    async def control() -> Value:
        return (await served.read(GATEWAY_MODEL))["control"]

    assert await control() == NOBODY
    assert await served.write(GATEWAY_MODEL, heartbeat=1, heartbeat_valid_s=1) == 0

    async def lives() -> bool:
        return await control() == ALIVE

    async def lost() -> bool:
        return await control() == LOST

    await until(lives)
    await until(lost)
    found = await served.read(GATEWAY_MODEL)
    assert (found["heartbeat_valid_s"], found["heartbeat_left_ms"]) == (0, None)
    assert served.facade.counters()["heartbeats_lost_total"] == 1
    assert await served.write(GATEWAY_MODEL, release=1) == 0

    async def gone() -> bool:
        return await control() == NOBODY

    await until(gone)


async def test_the_count_in_sunspecs_own_model_is_a_heartbeat_too(served: Site) -> None:
    assert await served.write(STANDARD[715], ControllerHb=77) == 0

    async def lives() -> bool:
        return (await served.read(GATEWAY_MODEL))["control"] == ALIVE

    await until(lives)
    assert (await served.read(STANDARD[715]))["ControllerHb"] == 77


async def test_the_availability_reaches_the_core_for_as_long_as_it_was_said(served: Site) -> None:
    said = RESERVE | {"available_w": 30_000, "reserve_charge_permyriad": 10_000}
    assert await served.write(GATEWAY_MODEL, **said, available_valid_s=1) == 0

    async def reached() -> bool:
        return served.core.availability is not None

    async def over() -> bool:
        return served.core.availability is None

    await until(reached)
    assert served.core.availability == Availability(available_w=30_000, reserve_charge_permyriad=10_000)
    assert (await served.read(GATEWAY_MODEL))["availability_state"] == IN_FORCE
    await until(over)
    assert (await served.read(GATEWAY_MODEL))["available_w"] is None


@pytest.mark.parametrize(
    ("values", "code"),
    [
        ({"heartbeat": 1, "heartbeat_valid_s": 0}, ILLEGAL_VALUE),
        ({"heartbeat": 1, "heartbeat_valid_s": 3_601}, ILLEGAL_VALUE),
        ({"heartbeat": 1}, ILLEGAL_VALUE),
        ({"available_w": 1}, ILLEGAL_VALUE),
        ({**RESERVE, "reserve_permyriad": 10_001, "available_valid_s": 5}, ILLEGAL_VALUE),
        ({"release": 2}, ILLEGAL_VALUE),
        ({"rating_w": 1}, ILLEGAL_ADDRESS),
    ],
    ids=lambda item: "-".join(item) if isinstance(item, dict) else "",
)
async def test_what_is_out_of_range_or_not_whole_is_refused(served: Site, values: dict[str, int], code: int) -> None:
    assert await served.write(GATEWAY_MODEL, **values) == code
    found = await served.read(GATEWAY_MODEL)
    assert (found["control"], found["availability_state"]) == (NOBODY, 0)


async def test_what_the_utility_asks_cannot_be_written_by_an_ems(served: Site) -> None:
    assert await served.write(STANDARD[704], WMaxLimPctEna=0) == ILLEGAL_ADDRESS
    assert await served.write(LIMIT_MODEL, 0, limit_w=1) == ILLEGAL_ADDRESS
    assert await served.write(LIMIT_MODEL, 0, ack_sequence=1) == ILLEGAL_VALUE


async def test_updates_show_that_the_gateway_lives(served: Site) -> None:
    first = (await served.read(GATEWAY_MODEL))["updates"]

    async def grows() -> bool:
        return (await served.read(GATEWAY_MODEL))["updates"] != first

    served.facade.ring()
    await until(grows)
