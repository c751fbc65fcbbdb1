"""The proof of the Modbus lines: what holds, what is over and by how much, and that the advice given works."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from dgm import _core
from dgm.api.config.v1.config_pb2 import AssetConfig, DgmConfig, ModbusConfig, SerialConfig
from dgm.api.core.v1.admission_pb2 import AdmissionAnswer, AdmissionDevice, AdmissionLine, AdmissionQuestion
from dgm.api.core.v1.device_pb2 import ENERGY, POWER, SOC, DeviceTable, Measurement
from dgm.api.core.v1.registers_pb2 import INPUT, Point, PointType, RegisterMap
from dgm.api.site.v1.site_pb2 import AssetType
from dgm.cli.check import run_check
from dgm.devices import tables
from dgm.site.lines import LineProof, line_proofs
from dgm.site.uses import use_of

EXAMPLE = Path(__file__).resolve().parents[2] / "deploy" / "site.example.yaml"


def modbus(interval_ms: int, *, unit_id: int = 1, baud: int = 0, device: str = "", latency_ms: int = 0) -> ModbusConfig:
    found = ModbusConfig(unit_id=unit_id, poll_interval_ms=interval_ms, device=device, write_latency_ms=latency_ms)
    if baud:
        found.serial.CopyFrom(SerialConfig(path="/dev/ttyS0", baud=baud))
    else:
        found.host, found.port = "192.0.2.1", 502
    return found


def meters(count: int, interval_ms: int, *, baud: int = 0) -> DgmConfig:
    assets = (
        AssetConfig(id=f"m{unit}", type=AssetType.ASSET_TYPE_METER, modbus=modbus(interval_ms, unit_id=unit, baud=baud))
        for unit in range(1, count + 1)
    )
    return DgmConfig(assets=assets)


def batteries(count: int, interval_ms: int, *, baud: int = 0, latency_ms: int = 0) -> DgmConfig:
    assets = (
        AssetConfig(
            id=f"b{unit}",
            type=AssetType.ASSET_TYPE_BATTERY,
            revert_s=30,
            modbus=modbus(interval_ms, unit_id=unit, baud=baud, latency_ms=latency_ms),
        )
        for unit in range(1, count + 1)
    )
    return DgmConfig(assets=assets)


def only_line(config: DgmConfig) -> LineProof:
    [line] = line_proofs(config)
    return line


def test_devices_of_one_endpoint_share_one_line() -> None:
    config = meters(3, 100)
    config.assets[1].modbus.port = 503
    lines = line_proofs(config)
    assert [(line.name, line.devices) for line in lines] == [("192.0.2.1:502", 2), ("192.0.2.1:503", 1)]
    assert all(line.holds for line in lines)
    assert lines[0].reads_per_s_milli == 20_000
    assert lines[0].write_wait_us is None


def test_a_site_without_modbus_has_no_lines() -> None:
    assert line_proofs(DgmConfig(assets=[AssetConfig(id="a", type=AssetType.ASSET_TYPE_LOAD)])) == []


def test_a_serial_bus_that_is_asked_too_often_is_told_a_rate_that_works() -> None:
    line = only_line(meters(5, 500, baud=9600))
    assert not line.holds
    # 53 registers take 144 ms and the answer 10 ms: five of them 770 ms of every 500.
    assert "OVER by " in str(line)
    assert line.load_permille > 1500
    advice = re.search(r"poll_interval_ms (\d+) instead of 500", str(line))
    assert advice is not None
    proposed = int(advice[1])
    assert only_line(meters(5, proposed, baud=9600)).holds
    assert not only_line(meters(5, proposed * 98 // 100, baud=9600)).holds


def test_advice_for_devices_that_are_also_looked_at_works_too() -> None:
    line = only_line(batteries(2, 400, baud=57600, latency_ms=500))
    advice = re.search(r"poll_interval_ms (\d+) instead of 400", str(line))
    assert advice is not None
    assert only_line(batteries(2, int(advice[1]), baud=57600, latency_ms=500)).holds


def test_the_parity_bit_is_reckoned_with() -> None:
    even, none = meters(1, 1000, baud=9600), meters(1, 1000, baud=9600)
    none.assets[0].modbus.serial.parity, none.assets[0].modbus.serial.stop_bits = "none", 1
    assert only_line(none).load_permille < only_line(even).load_permille


def test_a_setpoint_waits_for_a_long_read_on_a_slow_bus_and_it_is_told() -> None:
    line = only_line(batteries(1, 2000, baud=19200))
    assert line.write_wait_us is not None
    assert 130_000 < line.write_wait_us < 160_000
    assert [finding for finding in line.findings if "write_latency_ms allows 50.0 ms" in finding]
    assert only_line(batteries(1, 2000, baud=19200, latency_ms=200)).holds


def test_a_setpoint_waits_for_the_setpoints_of_the_other_devices() -> None:
    one, ten = only_line(batteries(1, 1000)), only_line(batteries(10, 1000))
    assert one.write_wait_us is not None
    assert ten.write_wait_us is not None
    assert one.holds
    assert one.write_wait_us < 10_000
    assert not ten.holds
    assert ten.write_wait_us > 90_000


def test_a_sunspec_battery_is_reckoned_with_its_looks_its_sign_of_life_and_every_model_that_is_read() -> None:
    [battery] = batteries(1, 1000).assets
    use = use_of(battery, {})
    assert use is not None
    # 704 and 715 are looked at, 715 hears once a second that somebody is there; 713 and 802 are polled beside 701.
    assert list(use.look.registers) == list(use.setpoints[0].proof_registers) == [34, 3]
    assert (use.beat.interval_us, use.look.interval_us) == (1_000_000, 2_000_000)
    with_802 = only_line(batteries(1, 1000))
    assert with_802.reads_per_s_milli == 3_000
    assert with_802.look_first_us is not None


def test_what_a_silent_device_costs_is_told_and_where_there_is_no_room_for_it_too() -> None:
    line = only_line(meters(3, 2000, baud=9600))
    assert line.silence_us == 500_000
    assert line.silence_late_us is not None
    assert "a silent device takes 500.0 ms at a time, readings of the others are late by" in str(line)
    full = only_line(meters(5, 500, baud=9600))
    assert full.silence_late_us is None
    assert "of the others are ever later" in str(full)
    assert "the others" not in str(only_line(meters(1, 500)))


def table_device(points: list[Point], **fields: object) -> DgmConfig:
    metrics = {"power": POWER, "energy": ENERGY, "soc": SOC}
    measurements = [
        Measurement(point=point.name, metric=metrics[point.name]) for point in points if point.name in metrics
    ]
    table = DeviceTable(map=RegisterMap(name="x", points=points, **fields), measurements=measurements)  # type: ignore[arg-type]
    meter = AssetConfig(id="m", type=AssetType.ASSET_TYPE_METER, modbus=modbus(100, device="x"))
    return DgmConfig(assets=[meter], devices=[table])


def test_a_device_table_is_polled_by_what_it_measures_each_point_with_its_scale_factor() -> None:
    points = [
        Point(name="power", table=INPUT, address=0, type=PointType.I32, scale_point="power_sf"),
        Point(name="power_sf", table=INPUT, address=40, type=PointType.I16),
        Point(name="energy", table=INPUT, address=200, type=PointType.U64),
        Point(name="unused", table=INPUT, address=300, type=PointType.U16),
        Point(name="soc", table=INPUT, address=400, type=PointType.U16),
    ]
    line = only_line(table_device(points))
    assert line.holds
    assert line.reads_per_s_milli == 30_000, "41, 4 and 1 registers, more than a read apart: three reads"


def test_a_point_that_does_not_fit_into_one_read_is_named() -> None:
    points = [
        Point(name="power", address=0, table=INPUT, type=PointType.I32, scale_point="sf"),
        Point(name="sf", address=90, table=INPUT, type=PointType.I16),
    ]
    line = only_line(table_device(points, read_registers_max=50))
    [finding] = line.findings
    assert "found power at INPUT 0..1, 91 registers with its scale factor; expected at most 50" in finding
    assert not line.holds


def test_a_battery_by_table_is_reckoned_with_its_writes_their_proof_and_its_sign_of_life() -> None:
    battery = AssetConfig(id="b", type=AssetType.ASSET_TYPE_BATTERY, revert_s=30, modbus=modbus(200, device="dgm_pcs"))
    use = use_of(battery, {"dgm_pcs": tables.load("dgm_pcs")})
    assert use is not None
    # remote_enable, timer, revert and setpoint stand side by side; the mode stands by itself.
    [setpoint] = use.setpoints
    assert [*setpoint.write_registers] == [6]
    assert [*setpoint.proof_registers] == [1, 6]
    assert (use.beat.interval_us, use.beat.registers) == (1_000_000, 1)
    assert "state" in {need.name for need in use.needs}
    line = only_line(DgmConfig(assets=[battery], devices=[tables.load("dgm_pcs")]))
    assert line.holds
    assert line.write_wait_us is not None


@pytest.mark.parametrize("name", tables.names())
def test_no_fixed_rule_plans_a_shipped_table_better(name: str) -> None:
    """The rules that telegraf documents: requests grown over gaps of up to so many registers, one rate per device."""
    table = tables.load(name)
    asset = AssetConfig(id="a", type=table.types[0], revert_s=30, modbus=modbus(1000, device=name, latency_ms=10_000))
    use = use_of(asset, {name: table})
    assert use is not None
    for baud, fixed_us, register_us in ((0, 5000.0, 0.2), (9600, 32_917.0, 2291.7), (115_200, 14_742.0, 191.0)):
        line = AdmissionLine(name="l", baud=baud, bits_per_character=11 if baud else 0, write_latency_us=10_000_000)
        line.round_trip_us = 10_000 if baud else 5_000
        device = line.devices.add(name="a", read_registers_max=use.read_registers_max)
        for need in use.needs:
            device.needs.add(period_us=1_000_000).MergeFrom(need)
        answer = AdmissionAnswer.FromString(_core.admission(AdmissionQuestion(lines=[line]).SerializeToString()))
        planned = sum(fixed_us + register_us * read.count for read in answer.lines[0].reads)
        for fill in (0, 10, 50, 125):
            other = sum(fixed_us + register_us * count for count in grown(use, fill))
            assert planned <= other * 1.0001, f"{name}, {baud} baud, gaps up to {fill}"


def grown(use: AdmissionDevice, fill: int) -> list[int]:
    """Registers of each request that is grown over gaps of at most `fill`."""
    groups: dict[tuple[int, int], list[int]] = {}
    for need in use.needs:
        groups.setdefault((need.table, need.group), []).extend((need.address, need.address + need.count))
    requests: list[tuple[int, int, int]] = []
    for table, start, end in sorted((table, min(ends), max(ends)) for (table, _), ends in groups.items()):
        known = requests[-1] if requests else (0, 0, 0)
        if known[0] == table and start <= known[2] + fill and max(end, known[2]) - known[1] <= use.read_registers_max:
            requests[-1] = (table, known[1], max(end, known[2]))
        else:
            requests.append((table, start, end))
    return [end - start for _, start, end in requests]


def test_a_device_whose_registers_are_not_known_is_no_proof() -> None:
    config = meters(2, 100)
    config.assets[1].modbus.device = "nobody"
    line = only_line(config)
    assert not line.holds
    assert line.devices == 2
    assert line.findings == ("m2: the registers of device 'nobody' are not known, so nothing is proved",)


def test_dgm_check_prints_a_row_for_every_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_check(EXAMPLE, json_out=False) == 0
    rows = [row for row in capsys.readouterr().out.splitlines() if row.startswith("Modbus line holds: ")]
    assert len(rows) == 3
    assert "192.0.2.12:502: 1 device" in rows[2]


def test_dgm_check_refuses_a_site_whose_line_is_over(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    site = tmp_path / "site.yaml"
    # Every device on the endpoint of the meter, fifty times a second.
    text = re.sub(r"host: 192\.0\.2\.1[0-2]", "poll_interval_ms: 20, host: 192.0.2.10", EXAMPLE.read_text())
    site.write_text(text)
    assert run_check(site, json_out=True) == 2
    [line] = json.loads(capsys.readouterr().out)["modbus_lines"]
    assert (line["holds"], line["devices"]) == (False, 3)
    assert any("poll_interval_ms" in finding for finding in line["findings"])
