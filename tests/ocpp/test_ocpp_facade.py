"""The EVSE facade as a third-party EMS sees it: an independent Modbus client reads models and writes leased groups."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
import sunspec2.device
import sunspec2.modbus.client
from ocpp_driver import Driver, ModelStation
from pymodbus.client import AsyncModbusTcpClient

from dgm import rpc
from dgm.api.config.v1.config_pb2 import FacadeConfig
from dgm.api.ems.v1 import ems_pb2, ems_pb2_grpc
from dgm.api.site.v1.site_pb2 import CircuitState, Grant, Sample, WatchSiteResponse
from dgm.errors import TransportError
from dgm.machine import Now
from dgm.maps.table import MODEL_AT, Model, Value, decode
from dgm.ocpp.models import EVSE_MODEL, SITE_MODEL
from dgm.ocpp.register_values import CAP_EXPIRED, CAP_IN_FORCE, CAP_NONE, CAP_REFUSED, Overview
from dgm.ocpp.service.facade import EvseFacade, SiteNames
from dgm.ocpp.service.overview import SiteWatch

NAMES = SiteNames(site_id="site-1", root_id="grid", meter_id="meter")
MAP = Path(__file__).resolve().parents[2] / "deploy" / "map"
ABSENT16, ABSENT32 = 0xFFFF, 0xFFFF_FFFF
ILLEGAL_FUNCTION, ILLEGAL_ADDRESS, ILLEGAL_VALUE, BUSY = 1, 2, 3, 6
OWN = "ems-facade:127.0.0.1"


async def until(condition: Callable[[], object | Awaitable[object]]) -> Any:
    """Let the sockets work until something is so."""
    async with asyncio.timeout(5):
        while True:
            found = condition()
            found = await found if isinstance(found, Awaitable) else found
            if found:
                return found
            await asyncio.sleep(0.005)


class Ems(ems_pb2_grpc.EmsServiceServicer):
    """Keeps the limits and targets it is given, or is away."""

    def __init__(self) -> None:
        self.limits: dict[str, ems_pb2.Limit] = {}
        self.targets: dict[str, ems_pb2.Target] = {}
        self.earlier: list[ems_pb2.LimitStatus] = []
        self.most_at_once = 0
        self.puts = 0
        self.is_away = False
        self.refused = 0

    async def _come(self, context: Any) -> None:
        if self.is_away:
            self.refused += 1
            await context.abort(grpc.StatusCode.UNAVAILABLE, "away")

    async def ListLimits(self, request: Any, context: Any) -> Any:
        await self._come(context)
        statuses = [ems_pb2.LimitStatus(limit=limit) for limit in self.limits.values()]
        return ems_pb2.ListLimitsResponse(limits=[*self.earlier, *statuses])

    async def PutLimit(self, request: Any, context: Any) -> Any:
        await self._come(context)
        self.puts += 1
        self.limits[request.limit.id] = request.limit
        self.most_at_once = max(self.most_at_once, len(self.limits))
        return ems_pb2.PutLimitResponse(limit=request.limit)

    async def DeleteLimit(self, request: Any, context: Any) -> Any:
        await self._come(context)
        assert self.limits[request.id].source == request.source
        del self.limits[request.id]
        return ems_pb2.DeleteLimitResponse(existed=True)

    async def PutTarget(self, request: Any, context: Any) -> Any:
        await self._come(context)
        self.targets[request.target.id] = request.target
        return ems_pb2.PutTargetResponse(target=request.target)

    async def DeleteTarget(self, request: Any, context: Any) -> Any:
        assert self.targets[request.id].source == request.source
        del self.targets[request.id]
        return ems_pb2.DeleteTargetResponse(existed=True)


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
    """Two EVSEs behind a running facade, and a client of it."""

    def __init__(self, channel: grpc.aio.Channel, ems: Ems) -> None:
        self.ems = ems
        self.drivers = [Driver(station=ModelStation(), asset_id=f"evse-{number}").connect() for number in (1, 2)]
        evses = [(driver.session, driver.session.evses[0]) for driver in self.drivers]
        self.facade = EvseFacade(FacadeConfig(host="127.0.0.1", port=0), evses, channel, NAMES)
        self.modbus = self.client()

    def client(self) -> AsyncModbusTcpClient:
        return AsyncModbusTcpClient("127.0.0.1", port=self.facade.port, timeout=3, retries=0)

    async def read(self, model: Model, unit: int) -> dict[str, Value]:
        answer = await self.modbus.read_holding_registers(MODEL_AT, count=model.size, device_id=unit)
        assert not answer.isError(), answer
        return decode(model, b"".join(word.to_bytes(2, "big") for word in answer.registers))

    async def evse(self, number: int) -> dict[str, Value]:
        return await self.read(EVSE_MODEL, number + 1)

    async def site(self) -> dict[str, Value]:
        return await self.read(SITE_MODEL, 1)

    async def write(self, unit: int, address: int, words: list[int], *, by: AsyncModbusTcpClient | None = None) -> int:
        """The exception code, 0: none."""
        answer = await (by or self.modbus).write_registers(address, words, device_id=unit)
        return int(answer.exception_code) if answer.isError() else 0

    async def cap(self, number: int, *, by: AsyncModbusTcpClient | None = None, **changes: int) -> int:
        asked = {"sequence": 1, "cap_ma": 16_000, "cap_w": ABSENT32, "priority": ABSENT16, "may_pause": ABSENT16}
        asked |= {"cap_valid_s": 30, **changes}
        return await self.write(number + 1, MODEL_AT + EVSE_MODEL.offsets["sequence"], words(EVSE_MODEL, asked), by=by)

    async def control(self, **values: int) -> int:
        return await self.write(1, MODEL_AT + SITE_MODEL.offsets[next(iter(values))], words(SITE_MODEL, values))


def words(model: Model, values: dict[str, int]) -> list[int]:
    found: list[int] = []
    for name, value in values.items():
        found += [value >> 16, value & 0xFFFF] if model.point(name).size == 2 else [value]
    return found


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    ems = Ems()
    async with serving(ems, tmp_path / "ems.sock") as channel:
        found = Site(channel, ems)
        running = asyncio.create_task(found.facade.run())
        await found.modbus.connect()
        yield found
        found.modbus.close()
        running.cancel()
        await asyncio.wait({running})


async def test_an_independent_sunspec_client_finds_every_model_from_its_json_alone(site: Site) -> None:
    await until(lambda: site.facade.counters()["running"])

    def scanned(unit: int) -> Any:
        sunspec2.device.set_model_defs_path([str(MAP), *sunspec2.device.get_model_defs_path()])
        device = sunspec2.modbus.client.SunSpecModbusClientDeviceTCP(
            slave_id=unit, ipaddr="127.0.0.1", ipport=site.facade.port, timeout=3
        )
        device.scan()
        device.close()
        return device

    whole = await asyncio.to_thread(scanned, 1)
    assert (whole.common[0].Md.value, whole.common[0].SN.value) == ("Site", "site-1")
    assert (whole.dgm_site[0].Evses.value, whole.dgm_site[0].MapVer.value) == (2, 2)
    evse = await asyncio.to_thread(scanned, 3)
    assert (evse.common[0].SN.value, evse.dgm_evse[0].Num.value, evse.dgm_evse[0].AFb.cvalue) == ("evse-2", 2, 6.0)
    assert (evse.dgm_evse[0].AphA.value, evse.dgm_evse[0].ACap.value) == (None, None)


async def test_registers_follow_the_session_and_the_update_counter_moves(site: Site) -> None:
    first = (await site.site())["updates"]
    site.drivers[0].status("Charging")

    async def follows() -> bool:
        return (await site.evse(1))["plug_state"] == 2 and (await site.site())["charging"] == 1

    await until(follows)
    assert (await site.site())["updates"] != first
    assert ((await site.evse(2))["plug_state"], (await site.evse(2))["links"]) == (None, 0b111)


async def test_a_written_cap_becomes_a_leased_limit_of_its_evse_and_its_sequence_comes_back(site: Site) -> None:
    assert await site.cap(2, sequence=7) == 0

    async def in_force() -> dict[str, Value] | None:
        found = await site.evse(2)
        return found if found["cap_state"] == CAP_IN_FORCE else None

    found = await until(in_force)
    assert (found["in_force"], found["cap_ma"], found["cap_valid_s"]) == (7, 16_000, 30)
    assert 25_000 < found["cap_left_ms"] <= 30_000
    (limit,) = site.ems.limits.values()
    assert (limit.id, limit.source, limit.asset_id) == (f"{OWN}:evse-2", OWN, "evse-2")
    assert (limit.quantity, limit.current_ma, limit.failsafe_current_ma) == (ems_pb2.QUANTITY_CURRENT, 16_000, 6_000)
    assert 25_000 < limit.ttl_ms <= 30_000
    assert site.ems.targets == {}


async def test_priority_and_permit_become_a_leased_target_and_go_with_the_next_write(site: Site) -> None:
    assert await site.cap(1, priority=20, may_pause=0) == 0
    await until(lambda: site.ems.targets)
    (target,) = site.ems.targets.values()
    assert (target.asset_id, target.weight, target.keeps_on, target.want_ma) == ("evse-1", 20, True, 32_000)
    assert 25_000 < target.ttl_ms <= 30_000
    assert await site.cap(1, sequence=2) == 0
    await until(lambda: not site.ems.targets)


OUT_OF_RANGE = [
    {"cap_ma": 32_001},
    {"cap_w": 44_161},
    {"priority": 0},
    {"priority": 1_001},
    {"may_pause": 2},
    {"cap_valid_s": 0},
    {"cap_valid_s": 3_601},
    {"sequence": ABSENT16},
]


@pytest.mark.parametrize("changes", OUT_OF_RANGE, ids=str)
async def test_a_value_out_of_range_or_a_cap_without_its_time_is_refused_and_changes_nothing(
    site: Site, changes: dict[str, int]
) -> None:
    assert await site.cap(1, **changes) == ILLEGAL_VALUE
    assert await site.cap(2) == 0
    await until(lambda: site.ems.limits)
    assert [limit.asset_id for limit in site.ems.limits.values()] == ["evse-2"]
    assert site.facade.counters()["writes_out_of_range_total"] == 1


async def test_part_of_a_group_is_refused_from_whichever_side(site: Site) -> None:
    start = MODEL_AT + EVSE_MODEL.offsets["sequence"]
    assert await site.write(2, start, [1, 0, 16_000]) == ILLEGAL_VALUE
    assert await site.write(2, start + 1, [0, 16_000]) == ILLEGAL_VALUE
    assert await site.write(2, MODEL_AT + EVSE_MODEL.offsets["cap_valid_s"], [30]) == ILLEGAL_VALUE
    assert site.facade.counters()["writes_incomplete_total"] == 3
    found = await site.evse(1)
    assert (found["cap_ma"], found["cap_state"]) == (None, CAP_NONE)


async def test_what_is_not_in_the_map_cannot_be_read_or_written(site: Site) -> None:
    beyond = MODEL_AT + EVSE_MODEL.size + 2
    assert (await site.modbus.read_holding_registers(beyond, count=1, device_id=2)).exception_code == ILLEGAL_ADDRESS
    assert await site.write(2, MODEL_AT, [7]) == ILLEGAL_ADDRESS
    assert (await site.modbus.read_holding_registers(MODEL_AT, count=1, device_id=4)).exception_code == 11


async def test_a_stale_sequence_is_refused_while_the_cap_is_held(site: Site) -> None:
    assert await site.cap(1, sequence=100) == 0
    assert await site.cap(1, sequence=100, cap_ma=20_000) == ILLEGAL_VALUE
    assert await site.cap(1, sequence=99, cap_ma=20_000) == ILLEGAL_VALUE
    assert await site.cap(1, sequence=101, cap_ma=12_000) == 0
    assert (await site.evse(1))["cap_ma"] == 12_000
    assert site.facade.counters()["writes_old_total"] == 2


async def test_a_client_that_writes_too_often_has_to_wait_and_others_do_not(site: Site) -> None:
    codes = [await site.cap(1, sequence=number) for number in range(1, 30)]
    assert codes[:10] == [0] * 10
    assert set(codes[10:]) <= {0, BUSY}
    assert codes.count(BUSY) >= 10
    assert await site.cap(2) == 0


async def test_the_last_of_two_masters_wins_and_it_is_counted(site: Site) -> None:
    assert await site.cap(1, sequence=1, cap_ma=16_000) == 0
    await until(lambda: site.ems.limits)
    other = site.client()
    await other.connect()
    assert await site.cap(1, by=other, sequence=2, cap_ma=10_000) == 0

    async def counted() -> bool:
        return (await site.site())["contended"] == 1

    await until(counted)
    await until(lambda: site.ems.limits[f"{OWN}:evse-1"].current_ma == 10_000)
    assert site.facade.counters()["contended_writes_total"] == 1
    other.close()


async def test_a_cap_that_is_not_rewritten_ends_in_the_fallback_and_says_so(site: Site) -> None:
    assert await site.cap(1, cap_valid_s=1) == 0

    async def expired() -> dict[str, Value] | None:
        found = await site.evse(1)
        return found if found["cap_state"] == CAP_EXPIRED else None

    found = await until(expired)
    assert (found["cap_ma"], found["cap_valid_s"], found["in_force"]) == (6_000, 0, None)
    assert await site.cap(1, sequence=1) == 0, "after its end any sequence will do"


async def test_a_cap_that_was_not_taken_is_shown_and_put_in_force_as_soon_as_it_can_be(site: Site) -> None:
    site.ems.is_away = True
    assert await site.cap(1) == 0

    async def state(expected: int) -> bool:
        return (await site.evse(1))["cap_state"] == expected

    await until(lambda: state(CAP_REFUSED))
    site.ems.is_away = False
    await until(lambda: state(CAP_IN_FORCE))
    assert list(site.ems.limits) == [f"{OWN}:evse-1"]


async def test_heartbeat_and_total_bound_the_site_and_a_release_ends_both(site: Site) -> None:
    assert await site.control(heartbeat=1, heartbeat_valid_s=20) == 0
    assert await site.control(total_sequence=1, total_cap_w=20_000, total_valid_s=20) == 0
    assert await site.cap(1, priority=5) == 0

    async def in_control() -> bool:
        found = await site.site()
        return found["control"] == 1 and found["total_in_force"] == 1

    await until(in_control)
    heartbeat, total = site.ems.limits[f"{OWN}:site/heartbeat"], site.ems.limits[f"{OWN}:site/total"]
    assert (heartbeat.circuit_id, heartbeat.each_evse, heartbeat.failsafe_current_ma) == ("grid", True, 32_000)
    assert (total.quantity, total.power_w) == (ems_pb2.QUANTITY_GROSS_LOAD, 20_000)
    assert total.failsafe_power_w == 2 * 4_140 * 11 // 10
    await until(lambda: site.ems.targets)
    assert await site.control(release=1) == 0

    async def released() -> bool:
        return (await site.site())["control"] == 0 and (await site.evse(1))["cap_state"] == CAP_NONE

    await until(released)
    assert (site.ems.limits, site.ems.targets) == ({}, {})


async def test_a_lost_heartbeat_is_told_until_it_is_back_or_released(site: Site) -> None:
    assert await site.control(heartbeat=1, heartbeat_valid_s=1) == 0

    async def control(expected: int) -> bool:
        return (await site.site())["control"] == expected

    await until(lambda: control(1))
    await until(lambda: control(2))
    assert (await site.site())["heartbeat_valid_s"] == 0
    assert await site.control(heartbeat=2, heartbeat_valid_s=20) == 0
    await until(lambda: control(1))


async def test_a_total_of_nothing_takes_the_total_back(site: Site) -> None:
    assert await site.control(total_sequence=1, total_cap_w=20_000, total_valid_s=20) == 0
    await until(lambda: site.ems.limits)
    assert await site.control(total_sequence=2, total_cap_w=ABSENT32, total_valid_s=20) == 0
    await until(lambda: not site.ems.limits)


async def test_a_limit_of_another_client_or_an_earlier_life_goes_only_after_the_new_one_holds(site: Site) -> None:
    old = ems_pb2.Limit(
        id="ems-facade:SiteEms:evse-1", source="ems-facade:SiteEms", asset_id="evse-1", current_ma=6_000
    )
    site.ems.limits[old.id] = old
    site.ems.limits["demo-1"] = ems_pb2.Limit(id="demo-1", source="api:cli", asset_id="evse-1")
    site.facade.resync()
    assert await site.cap(1) == 0
    await until(lambda: set(site.ems.limits) == {"demo-1", f"{OWN}:evse-1"})
    assert site.ems.most_at_once == 3


async def test_a_renewal_that_changes_nothing_is_echoed_at_once_and_put_when_half_the_lease_is_over(site: Site) -> None:
    async def echoed(sequence: int) -> bool:
        return (await site.evse(1))["in_force"] == sequence

    assert await site.cap(1, sequence=1, cap_valid_s=4) == 0
    await until(lambda: echoed(1))
    for sequence in range(2, 6):
        assert await site.cap(1, sequence=sequence, cap_valid_s=4) == 0
    await until(lambda: echoed(5))
    assert site.ems.puts == 1
    await until(lambda: site.ems.puts == 2)
    assert site.ems.limits[f"{OWN}:evse-1"].ttl_ms < 3_000, "what is left of the newest write"
    assert await site.cap(1, sequence=6, cap_ma=12_000) == 0
    await until(lambda: site.ems.limits[f"{OWN}:evse-1"].current_ma == 12_000)


async def test_what_was_written_before_a_restart_of_the_gateway_is_shown_as_it_stands(site: Site) -> None:
    def held(key: str, remaining_ms: int, **fields: Any) -> ems_pb2.LimitStatus:
        limit = ems_pb2.Limit(id=f"{OWN}:{key}", source=OWN, **fields)
        return ems_pb2.LimitStatus(limit=limit, remaining_ms=remaining_ms)

    site.ems.earlier = [
        held("evse-1", 20_000, asset_id="evse-1"),
        held("evse-2", -1, asset_id="evse-2"),
        held("site/total", -1, circuit_id="grid"),
        held("site/heartbeat", -1, circuit_id="grid", each_evse=True),
    ]
    site.facade.resync()

    async def states() -> list[Value]:
        whole = await site.site()
        evses = [(await site.evse(number))["cap_state"] for number in (1, 2)]
        return [*evses, whole["total_state"], whole["control"]]

    async def are_told() -> bool:
        return await states() == [CAP_IN_FORCE, CAP_EXPIRED, CAP_EXPIRED, 2]

    await until(are_told)


async def test_targets_are_put_again_when_the_arbitrating_role_has_restarted(site: Site) -> None:
    assert await site.cap(1, priority=20) == 0
    await until(lambda: site.ems.targets)
    site.ems.targets.clear()
    site.facade.resync()
    await until(lambda: site.ems.targets)
    (target,) = site.ems.targets.values()
    assert target.weight == 20


async def test_an_address_in_use_says_so(site: Site) -> None:
    with pytest.raises(TransportError, match="free address"):
        EvseFacade(FacadeConfig(host="127.0.0.1", port=site.facade.port), [], rpc.channel("unix:/nowhere"), NAMES)


async def test_the_site_is_told_as_newest_heard_and_not_at_all_after_silence() -> None:
    watch = SiteWatch(rpc.channel("unix:/nowhere"), root_id="grid", meter_id="meter")
    assert watch.overview(Now(mono_ms=0, utc_ms=0)) == Overview()
    circuits = [CircuitState(circuit_id=name, import_limit_w=limit_w) for name, limit_w in (("grid", 9), ("garage", 7))]
    samples = [Sample(asset_id="meter", power_w=5), Sample(asset_id="pv", power_w=-1)]
    grants = [Grant(asset_id="evse-1", binding_limit_id="site:grid"), Grant(asset_id="evse-2")]
    watch.take(WatchSiteResponse(circuits=circuits, samples=samples, grants=grants), Now(mono_ms=100, utc_ms=0))
    newer = WatchSiteResponse(samples=[Sample(asset_id="meter", power_w=6)], grants=[Grant(asset_id="evse-1")])
    watch.take(newer, Now(mono_ms=600, utc_ms=0))
    found = watch.overview(Now(mono_ms=5_600, utc_ms=0))
    assert found.circuit is not None
    assert found.meter is not None
    assert (found.circuit.import_limit_w, found.meter.power_w, found.told_ms) == (9, 6, 600)
    assert watch.limit_ids == {"evse-1": "", "evse-2": ""}
    assert watch.overview(Now(mono_ms=5_601, utc_ms=0)) == Overview()
