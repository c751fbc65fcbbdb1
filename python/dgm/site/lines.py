"""The proof of the Modbus lines: every reading and setpoint in time, on every line, before anything starts.

    DgmConfig ──> uses: what each device is read and written by ──> dgm_core: plan, prove ──> one row per line

A line is one endpoint or one serial bus with all devices behind it. The core assumes what it costs, as it does while a
running line has not been measured, and the rule is the one that the line runs by. Setpoints are reckoned as often as
the device is read. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from dgm import _core
from dgm.api.config.v1.config_pb2 import AssetConfig, DgmConfig, ModbusConfig
from dgm.api.core.v1.admission_pb2 import (
    AdmissionAnswer,
    AdmissionDevice,
    AdmissionLine,
    AdmissionQuestion,
    AdmissionRow,
)
from dgm.api.core.v1.device_pb2 import DeviceTable
from dgm.site.uses import use_of

WRITE_LATENCY_MS = 50

BAUD = 9600
START_AND_DATA_BITS = 9

Uses = dict[str, AdmissionDevice | str]
"""By asset id; a text: nothing is known of its registers, and why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LineProof:
    """One line. `findings` says what is over, by how much and what to change; empty: every deadline holds.

    `write_wait_us`: the longest wait of a setpoint for the line while every device answers; None: nobody is commanded.
    `look_first_us`: what is added where nobody has looked at the device's command registers for long.
    `silence_us`: a device that does not answer keeps the line so long at a time; `silence_late_us`: readings of the
    others are then at most so late; None: no bound, the line has no room for it.
    """

    name: str
    devices: int
    reads_per_s_milli: int
    load_permille: int
    write_wait_us: int | None
    look_first_us: int | None = None
    silence_us: int | None = None
    silence_late_us: int | None = None
    findings: tuple[str, ...] = ()

    @property
    def holds(self) -> bool:
        """Whether every deadline of the line holds."""
        return not self.findings

    def __str__(self) -> str:
        devices = "1 device" if self.devices == 1 else f"{self.devices} devices"
        used = f"{self.reads_per_s_milli / 1000:.1f} reads/s, {self.load_permille / 10:.1f} % of the line"
        wait = "" if self.write_wait_us is None else f", setpoints wait {_ms(self.write_wait_us)} at most"
        look = "" if self.look_first_us is None else f" (a look before one adds {_ms(self.look_first_us)})"
        return "; ".join((f"{self.name}: {devices}, {used}{wait}{look}", *self._silence(), *self.findings))

    def _silence(self) -> Iterator[str]:
        if self.silence_us is None:
            return
        late = "ever later" if self.silence_late_us is None else f"late by {_ms(self.silence_late_us)} at most"
        others = f", readings of the others are {late}" if self.devices > 1 else ""
        yield f"a silent device takes {_ms(self.silence_us)} at a time{others}"


def line_proofs(config: DgmConfig) -> list[LineProof]:
    """One row per line, in the order in which the file names them."""
    tables = {table.map.name: table for table in config.devices}
    lines: dict[str, list[AssetConfig]] = {}
    for asset in config.assets:
        if asset.HasField("modbus"):
            lines.setdefault(_line_name(asset.modbus), []).append(asset)
    uses = {asset.id: _use(asset, tables) for assets in lines.values() for asset in assets}
    asked = [_line(name, assets, uses) for name, assets in lines.items()]
    rows = zip(asked, _ask(asked), lines.values(), strict=True)
    return [_proof(line, row, assets, uses) for line, row, assets in rows]


def _use(asset: AssetConfig, tables: dict[str, DeviceTable]) -> AdmissionDevice | str:
    try:
        return use_of(asset, tables) or f"the registers of device {asset.modbus.device!r} are not known"
    except _core.CoreError as error:
        return str(error)


def _ask(lines: list[AdmissionLine]) -> list[AdmissionRow]:
    question = AdmissionQuestion(lines=lines)
    return list(AdmissionAnswer.FromString(_core.admission(question.SerializeToString())).lines)


def _line_name(modbus: ModbusConfig) -> str:
    return modbus.serial.path if modbus.HasField("serial") else f"{modbus.host}:{modbus.port}"


def _line(name: str, assets: list[AssetConfig], uses: Uses) -> AdmissionLine:
    line = AdmissionLine(name=name)
    line.write_latency_us = min(asset.modbus.write_latency_ms or WRITE_LATENCY_MS for asset in assets) * 1000
    serial = next((asset.modbus.serial for asset in assets if asset.modbus.HasField("serial")), None)
    if serial is not None:
        parity_bits = 0 if serial.parity == "none" else 1
        line.baud = serial.baud or BAUD
        line.bits_per_character = START_AND_DATA_BITS + parity_bits + (serial.stop_bits or 2 - parity_bits)
    for asset in assets:
        match uses[asset.id]:
            case AdmissionDevice() as device:
                line.devices.append(_device(asset, device))
    return line


def _device(asset: AssetConfig, use: AdmissionDevice) -> AdmissionDevice:
    """The device at the rate of the asset, which may be a slower one that is tried."""
    device = AdmissionDevice()
    device.CopyFrom(use)
    interval_us = asset.modbus.poll_interval_ms * 1000
    for need in device.needs:
        need.period_us, need.deadline_us = interval_us, interval_us
    for setpoint in device.setpoints:
        setpoint.interval_us = interval_us
    return device


def _proof(line: AdmissionLine, row: AdmissionRow, assets: list[AssetConfig], uses: Uses) -> LineProof:
    return LineProof(
        name=line.name,
        devices=len(assets),
        reads_per_s_milli=row.reads_per_s_milli,
        load_permille=row.load_permille,
        write_wait_us=row.write_wait_us if row.HasField("write_wait_us") else None,
        look_first_us=row.look_first_us if row.HasField("look_first_us") else None,
        silence_us=row.silence_us if row.HasField("silence_us") else None,
        silence_late_us=row.silence_late_us if row.HasField("silence_late_us") else None,
        findings=tuple(_findings(line, row, assets, uses)),
    )


def _findings(line: AdmissionLine, row: AdmissionRow, assets: list[AssetConfig], uses: Uses) -> Iterator[str]:
    if row.over_permille:
        yield f"OVER by {row.over_permille / 10:.1f} % of the line; {_slower(row, assets, uses)}"
    elif row.over_us:
        yield f"OVER by {_ms(row.over_us)} in a window of {_ms(row.window_us)}; {_slower(row, assets, uses)}"
    elif row.unproved:
        yield f"so close to full that nothing is proved; {_slower(row, assets, uses)}"
    if row.HasField("write_wait_us") and row.write_wait_us > row.write_latency_us:
        yield (
            f"OVER: a setpoint may wait {_ms(row.write_wait_us)}, write_latency_ms allows {_ms(row.write_latency_us)}; "
            "allow more, put fewer devices on the line, or raise its baud rate"
        )
    for gap in row.gaps:
        if not gap.cost_us:
            device = line.devices[gap.device]
            yield f"{device.name}: {device.needs[gap.need].name} does not fit into one read"
    for asset in assets:
        match uses[asset.id]:
            case str() as reason:
                yield f"{asset.id}: {reason}, so nothing is proved"


def _slower(row: AdmissionRow, assets: list[AssetConfig], uses: Uses) -> str:
    """Advice that has been tried: what is asked at its own pace (looks, signs of life) does not become slower."""
    if row.HasField("stretch_permille"):
        for stretch in (row.stretch_permille * step // 100 for step in (100, 103, 110, 125, 150, 200)):
            slower = [_slowed(asset, stretch) for asset in assets]
            [found] = _ask([_line(row.name, slower, uses)])
            if not (found.over_permille or found.over_us or found.unproved):
                fastest = min(zip(assets, slower, strict=True), key=lambda pair: pair[0].modbus.poll_interval_ms)
                was_ms, is_ms = (asset.modbus.poll_interval_ms for asset in fastest)
                return f"poll_interval_ms {is_ms} instead of {was_ms} would do (each {stretch / 1000:.2f} times longer)"
    return "no poll_interval_ms helps"


def _slowed(asset: AssetConfig, stretch_permille: int) -> AssetConfig:
    slower = AssetConfig()
    slower.CopyFrom(asset)
    slower.modbus.poll_interval_ms = -(-asset.modbus.poll_interval_ms * stretch_permille // 1000)
    return slower


def _ms(span_us: int) -> str:
    return f"{span_us / 1000:.1f} ms"
