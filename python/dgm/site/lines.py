"""The proof of the Modbus lines: every reading and setpoint in time, on every line, before anything starts.

    DgmConfig ──> uses: what each device is read and written by ──> dgm_core: plan, prove ──> one row per line

A line is one endpoint or one serial bus with all devices behind it. TCP is reckoned with an assumed round trip, serial
with the baud rate and an assumed time to answer; what a line really costs is measured when it runs. Setpoints are
reckoned as often as the device is read. Pure.
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
    AdmissionSetpoint,
)
from dgm.site.uses import DeviceUse, use_of

ROUND_TRIP_ASSUMED_US = 5_000
"""TCP: from a request to its answer. A LAN is faster, a gateway to a serial bus slower."""
ANSWER_ASSUMED_US = 10_000
"""Serial: from the end of a request to the first character of the answer."""
WRITE_LATENCY_MS = 50

BAUD = 9600
START_AND_DATA_BITS = 9

Uses = dict[str, DeviceUse | None]
"""By asset id; None: its registers are not known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LineProof:
    """One line. `findings` says what is over, by how much and what to change; empty: every deadline holds.

    `write_wait_us`: the longest wait of a setpoint while every device answers; None: nobody is commanded.
    """

    name: str
    devices: int
    reads_per_s_milli: int
    load_permille: int
    write_wait_us: int | None
    findings: tuple[str, ...] = ()

    @property
    def holds(self) -> bool:
        """Whether every deadline of the line holds."""
        return not self.findings

    def __str__(self) -> str:
        devices = "1 device" if self.devices == 1 else f"{self.devices} devices"
        used = f"{self.reads_per_s_milli / 1000:.1f} reads/s, {self.load_permille / 10:.1f} % of the line"
        wait = "" if self.write_wait_us is None else f", setpoints wait {_ms(self.write_wait_us)} at most"
        return "; ".join((f"{self.name}: {devices}, {used}{wait}", *self.findings))


def line_proofs(config: DgmConfig) -> list[LineProof]:
    """One row per line, in the order in which the file names them."""
    tables = {table.map.name: table for table in config.devices}
    lines: dict[str, list[AssetConfig]] = {}
    for asset in config.assets:
        if asset.HasField("modbus"):
            lines.setdefault(_line_name(asset.modbus), []).append(asset)
    uses = {asset.id: use_of(asset, tables) for assets in lines.values() for asset in assets}
    asked = [_line(name, assets, uses) for name, assets in lines.items()]
    rows = zip(asked, _ask(asked), lines.values(), strict=True)
    return [_proof(line, row, assets, uses) for line, row, assets in rows]


def _ask(lines: list[AdmissionLine]) -> list[AdmissionRow]:
    question = AdmissionQuestion(lines=lines)
    return list(AdmissionAnswer.FromString(_core.admission(question.SerializeToString())).lines)


def _line_name(modbus: ModbusConfig) -> str:
    return modbus.serial.path if modbus.HasField("serial") else f"{modbus.host}:{modbus.port}"


def _line(name: str, assets: list[AssetConfig], uses: Uses) -> AdmissionLine:
    line = AdmissionLine(name=name, round_trip_us=ROUND_TRIP_ASSUMED_US)
    line.write_latency_us = min(asset.modbus.write_latency_ms or WRITE_LATENCY_MS for asset in assets) * 1000
    serial = next((asset.modbus.serial for asset in assets if asset.modbus.HasField("serial")), None)
    if serial is not None:
        parity_bits = 0 if serial.parity == "none" else 1
        line.baud = serial.baud or BAUD
        line.bits_per_character = START_AND_DATA_BITS + parity_bits + (serial.stop_bits or 2 - parity_bits)
        line.round_trip_us = ANSWER_ASSUMED_US
    for asset in assets:
        use = uses[asset.id]
        if use is not None:
            line.devices.append(_device(asset, use))
    return line


def _device(asset: AssetConfig, use: DeviceUse) -> AdmissionDevice:
    interval_us = asset.modbus.poll_interval_ms * 1000
    device = AdmissionDevice(name=asset.id, read_registers_max=use.registers_max)
    for needs, period_us in ((use.polled, interval_us), (use.looked_at, use.look_us), (use.rating, use.renewal_us)):
        for need in needs:
            device.needs.add().CopyFrom(need)
            device.needs[-1].period_us = period_us
    if use.writes:
        device.setpoints.append(
            AdmissionSetpoint(write_registers=use.writes, proof_registers=use.proofs, interval_us=interval_us)
        )
    if use.beat_us:
        device.setpoints.append(AdmissionSetpoint(write_registers=(use.beat_registers,), interval_us=use.beat_us))
    return device


def _proof(line: AdmissionLine, row: AdmissionRow, assets: list[AssetConfig], uses: Uses) -> LineProof:
    return LineProof(
        name=line.name,
        devices=len(assets),
        reads_per_s_milli=row.reads_per_s_milli,
        load_permille=row.load_permille,
        write_wait_us=row.write_wait_us if row.HasField("write_wait_us") else None,
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
        if uses[asset.id] is None:
            yield f"{asset.id}: the registers of device {asset.modbus.device!r} are not known, so nothing is proved"


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
