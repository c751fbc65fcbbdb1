"""The plant: energy balance, revert timers, lags and ramps, and register images that fit the published models."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
import sunspec2
from hypothesis import given, settings
from hypothesis import strategies as st

from dgm.sim.devices import BatteryDevice, InverterDevice, MeterDevice, devices_of
from dgm.sim.plant import NO_EV_LOAD, Battery, Control, EvLoad, Inverter, Plant, PlantConfig
from dgm.sim.sunspec import BASE_ADDRESS, LAYOUTS, Image, scale_for

CONFIG = PlantConfig(
    building_min_w=60_000,
    building_max_w=110_000,
    pv_rated_w=100_000,
    pv_count=2,
    irradiance_permille=300,
    battery_power_w=250_000,
    battery_energy_wh=500_000,
    soc_permille=600,
    service_ma=722_000,
)
MODELS = Path(sunspec2.__file__).parent / "models" / "json"


def plant(seed: int = 1) -> Plant:
    return Plant(CONFIG, random.Random(seed))


def ev(total_a: int = 0) -> EvLoad:
    return EvLoad(
        sequence=1, i1_ma=total_a * 1000, i2_ma=total_a * 1000, i3_ma=total_a * 1000, power_w=total_a * 3 * 230
    )


def run(site: Plant, seconds: float, load: EvLoad = NO_EV_LOAD) -> None:
    for _ in range(round(seconds / 0.05)):
        site.step(0.05, load)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000), st.integers(0, 600))
def test_power_at_the_connection_is_the_sum_of_its_parts(seed: int, amps: int) -> None:
    site = plant(seed)
    site.battery.setpoint.value = 40_000
    site.battery.setpoint.enabled = True
    for _ in range(200):
        site.step(0.1, ev(amps))
        reading = site.reading()
        parts_w = reading.building_w + reading.battery_w + reading.ev_w - sum(reading.pv_w)
        assert reading.net_w == pytest.approx(parts_w, abs=1.0)
        assert CONFIG.building_min_w - 1 <= reading.building_w <= CONFIG.building_max_w + 1
        assert all(0 <= power_w <= CONFIG.pv_rated_w for power_w in reading.pv_w)


def test_the_same_seed_gives_the_same_day_and_another_seed_another_one() -> None:
    days = []
    for seed in (7, 7, 8):
        site = plant(seed)
        run(site, 30.0, ev(100))
        days.append(site.reading())
    assert days[0] == days[1]
    assert days[0] != days[2]


def test_a_long_step_is_as_good_as_many_short_ones() -> None:
    coarse, fine = plant(), plant()
    for site in (coarse, fine):
        site.battery.setpoint.value, site.battery.setpoint.enabled = 100_000, True
    coarse.step(2.0, NO_EV_LOAD)
    run(fine, 2.0)
    assert coarse.reading().battery_w == pytest.approx(fine.reading().battery_w, rel=1e-6)


def test_voltage_sags_under_load_and_energy_is_counted_by_direction() -> None:
    site = plant()
    run(site, 1.0)
    idle_v = site.reading().phase_v[0]
    run(site, 60.0, ev(400))
    loaded = site.reading()
    assert loaded.phase_v[0] < idle_v - 1.0
    assert loaded.import_wh > 3000
    exported_wh = loaded.export_wh
    site.battery.setpoint.value, site.battery.setpoint.enabled = 250_000, True
    run(site, 60.0)
    assert site.reading().net_w < 0
    assert site.reading().export_wh > exported_wh + 1000


def test_the_single_phase_load_shows_on_its_phase_alone() -> None:
    site = plant()
    run(site, 1.0)
    before = site.reading().phase_a
    run(site, 0.05, EvLoad(sequence=1, i1_ma=0, i2_ma=100_000, i3_ma=0, power_w=23_000))
    after = site.reading().phase_a
    assert after[1] - before[1] == pytest.approx(100.0, abs=3.0)
    assert after[0] - before[0] == pytest.approx(0.0, abs=3.0)


@given(st.integers(1, 300), st.integers(0, 1000), st.booleans())
def test_a_control_that_is_not_rewritten_reverts_when_its_time_is_over(
    revert_s: int, revert_value: int, revert_enabled: bool
) -> None:
    control = Control(
        value=900, revert_value=revert_value, enabled=True, revert_enabled=revert_enabled, revert_s=revert_s
    )
    control.rewrite()
    control.step(revert_s - 0.5)
    assert (control.value, control.enabled, control.reverts) == (900, True, 0)
    control.step(0.6)
    assert (control.value, control.enabled, control.reverts) == (revert_value, revert_enabled, 1)


def test_a_control_that_is_rewritten_in_time_never_reverts_and_one_without_a_timer_neither() -> None:
    kept = Control(value=500, revert_value=0, enabled=True, revert_s=10)
    for _ in range(20):
        kept.rewrite()
        kept.step(9.0)
    untimed = Control(value=500, revert_value=0, enabled=True, revert_s=0)
    untimed.rewrite()
    untimed.step(1e6)
    assert kept.reverts == untimed.reverts == 0
    assert kept.value == untimed.value == 500


def test_the_battery_covers_most_of_a_step_within_two_seconds_but_not_at_once() -> None:
    battery = Battery(power_max_w=250_000, energy_wh=500_000, soc_permille=600)
    battery.setpoint.value, battery.setpoint.enabled = 200_000, True
    battery.step(0.05)
    assert -20_000 < battery.power_w < 0
    for _ in range(39):
        battery.step(0.05)
    assert battery.power_w == pytest.approx(-200_000, rel=0.05)


def test_an_empty_battery_gives_nothing_and_a_full_one_takes_nothing() -> None:
    empty = Battery(power_max_w=1000, energy_wh=1000, soc_permille=50)
    full = Battery(power_max_w=1000, energy_wh=1000, soc_permille=990)
    empty.setpoint.value, empty.setpoint.enabled = 1000, True
    full.setpoint.value, full.setpoint.enabled = -1000, True
    for _ in range(100):
        empty.step(0.05)
        full.step(0.05)
    assert empty.power_w == pytest.approx(0.0, abs=1e-6)
    assert full.power_w == pytest.approx(0.0, abs=1e-6)


def test_a_disabled_setpoint_moves_nothing() -> None:
    battery = Battery(power_max_w=1000, energy_wh=1000, soc_permille=500)
    battery.setpoint.value = 1000
    battery.step(1.0)
    assert battery.power_w == 0.0


def test_an_inverter_ramps_down_to_its_limit_and_stays_under_it() -> None:
    inverter = Inverter(100_000)
    inverter.output_w = 80_000.0
    inverter.limit.value, inverter.limit.enabled = 200, True
    inverter.step(0.1, 80_000.0)
    assert 70_000 < inverter.output_w < 80_000
    for _ in range(100):
        inverter.step(0.1, 80_000.0)
    assert inverter.output_w == pytest.approx(20_000)
    inverter.step(0.1, 5_000.0)
    assert inverter.output_w == pytest.approx(5_000)


@given(st.tuples(*[st.integers(-(2**31), 2**31 - 1)] * 4), st.integers(0, 2**32 - 1))
def test_ev_load_survives_its_datagram(values: tuple[int, int, int, int], sequence: int) -> None:
    load = EvLoad(sequence=sequence, i1_ma=values[0], i2_ma=values[1], i3_ma=values[2], power_w=values[3])
    assert EvLoad.unpack(load.pack()) == load


@given(st.binary(max_size=40).filter(lambda raw: len(raw) != 20))
def test_a_datagram_of_the_wrong_size_is_no_load(raw: bytes) -> None:
    assert EvLoad.unpack(raw) is None


def published_layout(model: int) -> list[tuple[str, str, int]]:
    kinds = {
        "uint16": "u16",
        "int16": "i16",
        "enum16": "e16",
        "bitfield16": "b16",
        "bitfield32": "b32",
        "sunssf": "sf",
        "pad": "pad",
        "uint32": "u32",
        "int32": "i32",
        "uint64": "u64",
        "acc32": "a32",
    }
    points: list[tuple[str, str, int]] = []

    def walk(group: dict, prefix: str) -> None:
        for point in group.get("points", []):
            kind = kinds.get(point["type"], f"s{point['size']}")
            points.append((prefix + point["name"], kind, point["size"]))
        for inner in group.get("groups", []):
            walk(inner, f"{prefix}{inner['name']}.")

    walk(json.loads((MODELS / f"model_{model}.json").read_text(encoding="utf-8"))["group"], "")
    return points[2:]


@pytest.mark.parametrize("model", sorted(LAYOUTS))
def test_a_layout_is_that_of_the_published_model(model: int) -> None:
    image = Image((model,))
    address = BASE_ADDRESS + 4
    own = [tuple(item.split(":")) for item in LAYOUTS[model].split()]
    published = published_layout(model)
    assert own == [(name, kind) for name, kind, _ in published]
    for name, _, size in published:
        assert (image.point(model, name).address, image.point(model, name).width) == (address, size)
        address += size
    assert image.words[3] == address - BASE_ADDRESS - 4


@given(st.sampled_from(["W", "A", "PF"]), st.integers(-(10**6), 10**6))
def test_a_number_out_of_range_never_becomes_the_sentinel(name: str, value: int) -> None:
    image = Image((701,))
    image.put(701, name, value)
    assert image.get(701, name) == max(-32767, min(32767, value))


def test_scale_factors_leave_room_and_no_more() -> None:
    assert scale_for(32_767, finest=0) == 0
    assert scale_for(32_768, finest=0) == 1
    assert scale_for(100.0, finest=-2) == -2


def test_the_meter_shows_the_connection_point_in_its_scale() -> None:
    site = plant()
    run(site, 5.0, ev(300))
    meter = MeterDevice(service_ma=CONFIG.service_ma)
    meter.refresh(site.reading())
    scale = 10.0 ** meter.image.get(203, "W_SF")
    assert meter.image.get(203, "W") * scale == pytest.approx(site.reading().net_w, abs=scale)
    amps = meter.image.get(203, "AphA") * 10.0 ** meter.image.get(203, "A_SF")
    assert amps == pytest.approx(site.reading().phase_a[0], abs=0.1)


def write(device: InverterDevice | BatteryDevice, values: dict[str, int]) -> None:
    for name, value in values.items():
        device.image.put(704, name, value)
    point = device.image.point(704, next(iter(values)))
    device.apply(address=point.address, count=point.width)


def test_a_written_limit_takes_effect_and_its_timer_is_shown_running_down() -> None:
    inverter = Inverter(100_000)
    device = InverterDevice(inverter, index=0)
    write(
        device,
        {"WMaxLimPctEna": 1, "WMaxLimPct": 300, "WMaxLimPctRvrt": 500, "WMaxLimPctEnaRvrt": 1, "WMaxLimPctRvrtTms": 30},
    )
    for _ in range(100):
        inverter.step(0.1, 90_000.0)
    device.refresh(plant().reading())
    assert inverter.output_w == pytest.approx(30_000)
    assert device.image.get(704, "WMaxLimPctRvrtRem") == 20
    for _ in range(400):
        inverter.step(0.1, 90_000.0)
    device.refresh(plant().reading())
    assert inverter.output_w == pytest.approx(50_000)
    assert device.image.get(704, "WMaxLimPct") == 500


def test_a_write_beside_the_limit_group_does_not_restart_its_timer() -> None:
    inverter = Inverter(100_000)
    device = InverterDevice(inverter, index=0)
    write(device, {"WMaxLimPctEna": 1, "WMaxLimPctRvrtTms": 30})
    inverter.step(10.0, 0.0)
    device.apply(address=device.image.point(704, "WSet").address, count=2)
    assert inverter.limit.remaining_s == pytest.approx(20.0)


def test_the_battery_takes_watts_and_forgets_percent() -> None:
    battery = Battery(power_max_w=250_000, energy_wh=500_000, soc_permille=600)
    device = BatteryDevice(battery)
    write(device, {"WSetEna": 1, "WSetMod": 0, "WSet": -120_000, "WSetPct": 55})
    assert (battery.setpoint.value, battery.setpoint.enabled) == (-120_000, True)
    device.refresh(plant().reading())
    assert device.image.get(704, "WSetMod") == 1
    assert device.image.get(704, "WSetPct") == -32768


def test_the_site_has_a_meter_two_inverters_and_a_battery() -> None:
    assert list(devices_of(plant())) == ["meter", "pv-1", "pv-2", "battery"]
