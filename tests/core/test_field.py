"""The field core against devices served by another Modbus implementation, decoded by another SunSpec library."""

from __future__ import annotations

import array
import asyncio
import os
import select
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import sunspec2.modbus.client as sunspec_client
from sunspec_devices import BATTERY, HOST, METER, PV, SITE, Gateway, offset_of
from threads import hold_interpreter, left_of, named

from dgm import _core
from dgm.api.config.v1.config_pb2 import AssetConfig, DgmConfig, ModbusConfig
from dgm.api.core.v1.core_pb2 import ActiveLimit, AssetGrant, Decision, LimitSet
from dgm.api.ems.v1.ems_pb2 import OutcomeState, Quantity
from dgm.api.site.v1.site_pb2 import AssetType, PlugState, Quality

GRID_METER, ROOF, STORE, FIRST_EVSE = 0, 1, 2, 3
EVSES = 4
DEADLINE_S = 10.0


def config_for(port: int, *, revert_s: int = 30) -> DgmConfig:
    """A site with one meter, one PV inverter and one battery, all behind one gateway."""
    config = DgmConfig()
    config.site.id = "test"
    config.circuits.add(id="grid", import_limit_w=200_000, meter="grid-meter", max_uncontrolled_w=100_000)
    kinds = (
        ("grid-meter", AssetType.ASSET_TYPE_METER, METER),
        ("roof", AssetType.ASSET_TYPE_PV, PV),
        ("store", AssetType.ASSET_TYPE_BATTERY, BATTERY),
    )
    for asset_id, kind, unit in kinds:
        modbus = ModbusConfig(host=HOST, port=port, unit_id=unit, poll_interval_ms=50, timeout_ms=500)
        config.assets.append(AssetConfig(id=asset_id, type=kind, circuit="grid", modbus=modbus, revert_s=revert_s))
    config.assets[ROOF].power_max_w = 50_000
    config.assets[ROOF].revert_w = 20_000
    store = config.assets[STORE]
    store.power_max_w, store.energy_wh, store.revert_w = 30_000, 60_000, 0
    config.ems.tick_ms = 50
    return config


@dataclass
class Running:
    """A started field with what is needed to wait for it."""

    field: _core.Field

    def row(self, asset: int) -> dict[str, int | None]:
        """The newest image row of an asset by column; None where the value is not known."""
        self.field.refresh()
        width = len(_core.IMAGE_COLUMNS)
        row = self.field.image()[asset * width : (asset + 1) * width]
        known = (None if value == _core.ABSENT64 else value for value in row)
        return dict(zip(_core.IMAGE_COLUMNS, known, strict=True))

    async def until(self, condition: Callable[[], bool | Awaitable[bool]]) -> None:
        """Wait for ticks, by the eventfd, until the condition holds."""
        loop = asyncio.get_running_loop()
        ticked = asyncio.Event()
        descriptor = self.field.fileno()

        def clear() -> None:
            os.read(descriptor, 8)
            ticked.set()

        loop.add_reader(descriptor, clear)
        try:
            async with asyncio.timeout(DEADLINE_S):
                while True:
                    result = condition()
                    if result if isinstance(result, bool) else await result:
                        return
                    ticked.clear()
                    await ticked.wait()
        except TimeoutError:
            rows = [self.row(asset) for asset in (GRID_METER, ROOF, STORE)]
            pytest.fail(f"not within {DEADLINE_S} s; counters {self.field.counters()}, image {rows}")
        finally:
            loop.remove_reader(descriptor)

    async def until_good(self, *assets: int) -> None:
        """Wait until assets have a good reading."""
        await self.until(lambda: all(self.row(asset)["quality"] == Quality.QUALITY_GOOD for asset in assets))

    def count(self, name: str) -> int:
        """One counter."""
        return self.field.counters()[name]


@pytest.fixture
async def gateway() -> AsyncIterator[Gateway]:
    async with Gateway() as gateway:
        yield gateway


@pytest.fixture
async def running(gateway: Gateway) -> AsyncIterator[Running]:
    field = _core.Field(config_for(gateway.port).SerializeToString(), 1)
    field.start()
    try:
        yield Running(field)
    finally:
        field.stop()


def scanned(port: int, unit: int) -> sunspec_client.SunSpecModbusClientDeviceTCP:
    """A device as pysunspec2 reads it."""
    device = sunspec_client.SunSpecModbusClientDeviceTCP(slave_id=unit, ipaddr=HOST, ipport=port, timeout=5)
    device.scan()
    device.close()
    return device


def milli(value: float) -> int:
    return round(value * 1000)


async def test_the_meter_is_decoded_as_an_independent_library_decodes_it(gateway: Gateway, running: Running) -> None:
    await running.until_good(GRID_METER)
    row = running.row(GRID_METER)
    meter = (await asyncio.to_thread(scanned, gateway.port, METER)).models[203][0]
    assert row["power_w"] == meter.W.cvalue == 32_100
    assert row["reactive_var"] == meter.VAR.cvalue == -450
    assert [row[f"i{phase}_ma"] for phase in (1, 2, 3)] == [
        milli(point.cvalue) for point in (meter.AphA, meter.AphB, meter.AphC)
    ]
    assert [row[f"v{phase}_mv"] for phase in (1, 2, 3)] == [
        milli(point.cvalue) for point in (meter.PhVphA, meter.PhVphB, meter.PhVphC)
    ]
    assert row["frequency_mhz"] == milli(meter.Hz.cvalue)
    assert row["energy_wh"] == meter.TotWhImp.cvalue
    assert row["soc_permille"] is None


async def test_ders_are_decoded_as_an_independent_library_decodes_them_in_our_sign(
    gateway: Gateway, running: Running
) -> None:
    await running.until_good(ROOF, STORE)
    roof, store = running.row(ROOF), running.row(STORE)
    pv = (await asyncio.to_thread(scanned, gateway.port, PV)).models[701][0]
    battery = await asyncio.to_thread(scanned, gateway.port, BATTERY)
    assert roof["power_w"] == -pv.W.cvalue == -21_500
    assert roof["reactive_var"] == -pv.Var.cvalue == -30
    assert roof["frequency_mhz"] == milli(pv.Hz.cvalue)
    assert [roof[f"i{phase}_ma"] for phase in (1, 2, 3)] == [milli(point.cvalue) for point in (pv.AL1, pv.AL2, pv.AL3)]
    assert [roof[f"v{phase}_mv"] for phase in (1, 2, 3)] == [milli(point.cvalue) for point in (pv.VL1, pv.VL2, pv.VL3)]
    assert store["power_w"] == -battery.models[701][0].W.cvalue == 4_000
    assert store["energy_wh"] == battery.models[701][0].TotWhAbs.cvalue
    assert store["soc_permille"] == round(battery.models[713][0].SoC.cvalue * 10) == 617


async def test_what_a_device_does_not_implement_is_absent(running: Running) -> None:
    await running.until_good(ROOF, STORE)
    assert running.row(ROOF)["energy_wh"] is None
    store = running.row(STORE)
    assert [store[name] for name in ("reactive_var", "v1_mv", "frequency_mhz")] == [None, None, None]


async def test_an_image_is_a_copy_that_later_ticks_do_not_change(running: Running) -> None:
    await running.until_good(GRID_METER, ROOF, STORE)
    first = running.field.refresh()
    view = running.field.image()
    before = list(view)
    await running.until(lambda: running.field.refresh() > first + 2)
    assert list(view) == before
    assert view.readonly
    assert len(view) == 3 * len(_core.IMAGE_COLUMNS)


async def test_a_lost_gateway_shows_as_age_and_comes_back(gateway: Gateway, running: Running) -> None:
    await running.until_good(GRID_METER, ROOF, STORE)
    await gateway.stop()
    await running.until(lambda: running.row(GRID_METER)["quality"] == Quality.QUALITY_STALE)
    age_ms = running.row(GRID_METER)["age_ms"]
    assert age_ms is not None
    assert age_ms > 2_000
    await gateway.start()
    await running.until_good(GRID_METER, ROOF, STORE)
    assert running.count("modbus_connects_total") >= 2


async def test_a_device_without_its_models_has_failed_and_is_counted() -> None:
    async with Gateway(site={**SITE, BATTERY: SITE[METER]}) as gateway:
        field = _core.Field(config_for(gateway.port).SerializeToString(), 1)
        field.start()
        running = Running(field)
        await running.until(lambda: running.row(STORE)["quality"] == Quality.QUALITY_FAILED)
        await running.until_good(GRID_METER)
        await running.until(lambda: running.count("devices_unusable") == 1)
        field.stop()


async def test_after_stop_there_is_no_thread_left_that_could_send(running: Running) -> None:
    await running.until_good(GRID_METER)
    assert named("dgm-field")
    running.field.stop()
    assert not left_of("dgm-field")
    assert running.count("running") == 0
    running.field.stop()
    with pytest.raises(_core.CoreError, match="started before"):
        running.field.start()


def test_a_field_that_nobody_holds_ends_its_thread() -> None:
    field = _core.Field(config_for(1).SerializeToString(), 1)
    field.start()
    assert select.select([field.fileno()], [], [], DEADLINE_S)[0], "no tick"
    assert named("dgm-field")
    del field
    assert not left_of("dgm-field")


def test_the_field_goes_on_while_python_computes() -> None:
    """The interpreter lock is held all the time: the thread never needs it."""
    program = Path(__file__).with_name("sunspec_devices.py")
    server = subprocess.Popen([sys.executable, program], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert server.stdin is not None
    assert server.stdout is not None
    try:
        field = _core.Field(config_for(int(server.stdout.readline())).SerializeToString(), 1)
        field.start()
        deadline = time.monotonic() + DEADLINE_S
        while field.counters()["devices_serving"] < 3 and time.monotonic() < deadline:
            pass
        before = field.counters()
        hold_interpreter(1.0)
        after = field.counters()
        field.stop()
    finally:
        server.stdin.close()
        server.wait(timeout=10)
        server.stdout.close()
    assert after["ticks_total"] - before["ticks_total"] >= 10, "20 were due"
    assert after["readings_total"] - before["readings_total"] >= 20, "60 were due"


def columns(rows: list[list[int]]) -> array.array[int]:
    return array.array("i", [value for row in rows for value in row])


async def test_malformed_inputs_are_refused_with_what_was_expected(running: Running) -> None:
    field = running.field
    with pytest.raises(_core.CoreError, match="one per asset"):
        field.put_targets(columns([[0, 1, 1, 0, 0]]), 3_000)
    with pytest.raises(_core.CoreError, match="ttl_ms"):
        field.put_targets(columns([[_core.ABSENT32] * 5] * 3), 0)
    with pytest.raises(_core.CoreError, match="rows of 9"):
        field.put_samples(array.array("i", [1, 2, 3]))
    with pytest.raises(_core.CoreError, match="asset index: found 9"):
        field.put_outcomes(columns([[9, 1, 1, 0, 0]]))
    with pytest.raises(_core.CoreError, match="an EVSE of the configuration"):
        field.put_outcomes(columns([[STORE, 1, 1, 0, 0]]))
    with pytest.raises(BufferError):
        field.put_targets(array.array("q", [0] * 15), 3_000)
    with pytest.raises(_core.CoreError, match="LimitSet"):
        field.put_limits(b"\xff\xff\xff")
    unknown = ActiveLimit(id="x", circuit_index=7, quantity=Quantity.QUANTITY_NET_IMPORT, bound=1)
    with pytest.raises(_core.CoreError, match="circuit"):
        field.put_limits(LimitSet(epoch=9, sequence=9, limits=[unknown]).SerializeToString())
    with pytest.raises(_core.CoreError):
        _core.Field(b"\xff\xff\xff", 1)


async def test_an_older_limit_set_is_refused(running: Running) -> None:
    running.field.put_limits(LimitSet(epoch=1, sequence=5).SerializeToString())
    with pytest.raises(_core.CoreError, match="sequence"):
        running.field.put_limits(LimitSet(epoch=1, sequence=4).SerializeToString())


async def test_the_decision_is_that_of_the_newest_tick(running: Running) -> None:
    await running.until_good(GRID_METER)
    first = Decision.FromString(running.field.decision())
    await running.until(lambda: Decision.FromString(running.field.decision()).time_mono_ms > first.time_mono_ms)
    newest = Decision.FromString(running.field.decision())
    assert newest.epoch == 1
    assert abs(newest.time_mono_ms - time.monotonic() * 1000) < 2_000, "the clock of both languages is the same"


async def wanted(running: Running, store_w: int) -> None:
    """A target for the battery, once its readings are in."""
    await running.until_good(GRID_METER, ROOF, STORE)
    rows = [[_core.ABSENT32] * 5, [_core.ABSENT32] * 5, [store_w, 1, 1, 0, 0]]
    running.field.put_targets(columns(rows), 60_000)


def granted(running: Running, asset: int) -> int:
    """The newest grant of an asset, W."""
    width = len(_core.GRANT_COLUMNS)
    words = memoryview(running.field.grants()).cast("q")
    return words[asset * width]


async def holds(gateway: Gateway, unit: int, expected: dict[str, list[int]]) -> bool:
    """Whether the device's model 704 holds registers."""
    found = {name: await gateway.read(unit, 704, name, len(words)) for name, words in expected.items()}
    return found == expected


async def test_a_battery_gets_its_grant_with_revert_and_it_is_read_back(gateway: Gateway, running: Running) -> None:
    await wanted(running, -12_345)
    expected = {
        **{"WSetEna": [1], "WSetMod": [1], "WSet": [0, 12_345], "WSetRvrt": [0, 0]},
        **{"WSetEnaRvrt": [1], "WSetRvrtTms": [0, 30]},
    }
    await running.until(lambda: holds(gateway, BATTERY, expected))
    assert granted(running, STORE) == -12_345
    await running.until(lambda: running.count("devices_controlled") == 2)
    await running.until(lambda: running.count("devices_uncontrolled") == 0)
    assert running.count("control_lost_total") == 0
    assert running.count("readbacks_total") >= 2
    assert running.count("readback_mismatch_total") == 0
    last = [offset for offset, _ in gateway.written(BATTERY, 704)][-2:]
    assert last == [offset_of(704, "WSetEnaRvrt"), offset_of(704, "WSetEna")], "the timer before the value"


async def test_an_inverter_without_a_binding_limit_is_capped_at_its_rating_with_a_revert_that_is_a_limit(
    gateway: Gateway, running: Running
) -> None:
    expected = {
        **{"WMaxLimPctEna": [1], "WMaxLimPct": [1_000], "WMaxLimPctRvrt": [400]},
        **{"WMaxLimPctEnaRvrt": [1], "WMaxLimPctRvrtTms": [0, 30]},
    }
    await running.until(lambda: holds(gateway, PV, expected))
    assert granted(running, ROOF) == -50_000
    assert all(len(words) == 6 for _, words in gateway.written(PV, 704)), "one write, never in halves"


@pytest.mark.parametrize("quantity", [Quantity.QUANTITY_GROSS_GENERATION, Quantity.QUANTITY_DER_OUTPUT])
async def test_a_limit_on_what_comes_out_caps_the_inverter(
    gateway: Gateway, running: Running, quantity: Quantity
) -> None:
    limit = ActiveLimit(id="no-sun", circuit_index=0, quantity=quantity, bound=10_000)
    running.field.put_limits(LimitSet(epoch=1, sequence=1, limits=[limit]).SerializeToString())
    await running.until(lambda: granted(running, ROOF) == -10_000)
    await running.until(lambda: holds(gateway, PV, {"WMaxLimPct": [200]}))


async def test_another_master_is_noticed_and_our_value_stands_again(gateway: Gateway) -> None:
    field = _core.Field(config_for(gateway.port, revert_s=3).SerializeToString(), 1)
    field.start()
    running = Running(field)
    try:
        await wanted(running, 5_000)
        ours = {"WSet": [0xFFFF, 0xEC78]}
        await running.until(lambda: holds(gateway, BATTERY, ours))
        await running.until(lambda: running.count("devices_controlled") == 2)
        await gateway.overwrite(BATTERY, 704, "WSet", [0, 1])
        await running.until(lambda: running.count("readback_mismatch_total") >= 1)
        assert running.count("devices_controlled") < 2
        nothing = {"WSetEna": [1], "WSet": [0, 0]}
        await running.until(lambda: holds(gateway, BATTERY, nothing))
        await running.until(lambda: holds(gateway, BATTERY, ours))
        await running.until(lambda: running.count("devices_controlled") == 2)
    finally:
        field.stop()


def config_with_cars(port: int) -> DgmConfig:
    """The same site with EVSEs that are raised without waiting."""
    config = config_for(port, revert_s=4)
    config.ems.cycle_ms, config.ems.evse_up_interval_ms = 50, 100
    station = config.stations.add(id="station", cpo="cpo")
    for index in range(EVSES):
        station.evses.add(id=f"evse{index}", connector_id=index + 1, circuit="grid", current_max_ma=32_000)
    return config


class Cars(Running):
    """EVSEs that prove every grant and report that they draw nothing."""

    def start(self) -> None:
        """All cars want all they can get, under a bound that needs the battery for it."""
        limit = ActiveLimit(id="tight", circuit_index=0, quantity=Quantity.QUANTITY_NET_IMPORT, bound=70_000)
        self.field.put_limits(LimitSet(epoch=1, sequence=1, limits=[limit]).SerializeToString())
        rows = [[_core.ABSENT32] * 5] * FIRST_EVSE + [[32_000, 1, 1, 0, 0]] * EVSES
        self.field.put_targets(columns(rows), 60_000)

    def prove(self) -> Decision:
        """The newest decision, with every grant in it proved."""
        decision = Decision.FromString(self.field.decision())
        for grant in cars(decision):
            proof = [grant.asset_index, grant.sequence, OutcomeState.OUTCOME_STATE_CONFIRMED, grant.current_ma]
            idle = [grant.asset_index, 0, PlugState.PLUG_STATE_CHARGING, 0, 0, 0, 0, *[_core.ABSENT32] * 2]
            self.field.put_outcomes(columns([[*proof, _core.ABSENT32]]))
            self.field.put_samples(columns([idle]))
        return decision

    async def until_decided(self, condition: Callable[[Decision], bool]) -> Decision:
        """The first decision that fulfils a condition."""
        found: list[Decision] = []

        def is_found() -> bool:
            found.append(self.prove())
            return condition(found[-1])

        await self.until(is_found)
        return found[-1]


def cars(decision: Decision) -> list[AssetGrant]:
    """Grants of EVSEs that were ever told something."""
    return [grant for grant in decision.grants if grant.asset_index >= FIRST_EVSE and grant.sequence > 0]


def amps(decision: Decision) -> int:
    """Sum of what EVSEs are granted."""
    return sum(grant.current_ma for grant in cars(decision)) // 1000


def net_import(decision: Decision) -> tuple[int, int]:
    """Uncontrolled load and help at the connection point, W."""
    row = next(row for row in decision.rows if row.quantity == Quantity.QUANTITY_NET_IMPORT)
    return row.uncontrolled, row.help


def is_controlled(decision: Decision) -> bool:
    """Whether the battery is."""
    return next(grant.counted_reason for grant in decision.grants if grant.asset_index == STORE) == ""


async def test_while_another_master_commands_the_battery_cars_get_nothing_on_its_strength(gateway: Gateway) -> None:
    field = _core.Field(config_with_cars(gateway.port).SerializeToString(), 1)
    field.start()
    running = Cars(field)
    # The meter shows 32.1 kW with 21.5 kW of sun and a battery that charges with 4 kW.
    load_w, sun_w, store_w = 32_100 + 21_500 - 4_000, 21_500, 30_000
    with_help, without = 70_000 - load_w + sun_w + store_w, 70_000 - load_w + sun_w - store_w
    try:
        await running.until_good(GRID_METER, ROOF, STORE)
        running.start()
        full = await running.until_decided(lambda decision: amps(decision) * 690 > 0.9 * with_help)
        assert is_controlled(full)
        assert net_import(full) == (load_w, sun_w + store_w)

        await gateway.overwrite(BATTERY, 704, "WSet", [0, 1])
        found = await running.until_decided(lambda decision: not is_controlled(decision))
        assert (running.count("devices_uncontrolled"), running.count("control_lost_total")) == (1, 1)
        assert net_import(found) == (load_w + store_w, sun_w)
        assert amps(found) * 690 <= without < amps(full) * 690, "in the tick in which it is found"

        back = await running.until_decided(is_controlled)
        assert net_import(back) == (load_w, sun_w + store_w)
        await running.until_decided(lambda decision: amps(decision) * 690 > 0.9 * with_help)
    finally:
        field.stop()
