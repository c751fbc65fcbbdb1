"""The proof of the Modbus lines: every reading and setpoint in time, on every line, before anything starts.

    DgmConfig ──> what each device is read and written by ──> dgm_core: plan, prove ──> one row per line

A line is one endpoint or one serial bus with all devices behind it. TCP is reckoned with an assumed round trip, serial
with the baud rate and an assumed time to answer; what a line really costs is measured when it runs. Setpoints are
reckoned as often as the device is read. Pure.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field

from dgm import _core
from dgm.api.config.v1.config_pb2 import AssetConfig, DgmConfig, ModbusConfig
from dgm.api.core.v1.admission_pb2 import (
    AdmissionAnswer,
    AdmissionDevice,
    AdmissionLine,
    AdmissionNeed,
    AdmissionQuestion,
    AdmissionRow,
    AdmissionSetpoint,
)
from dgm.api.core.v1.registers_pb2 import HOLDING, INPUT, Point, PointType, RegisterMap
from dgm.api.site.v1.site_pb2 import AssetType

ROUND_TRIP_ASSUMED_US = 5_000
"""TCP: from a request to its answer. A LAN is faster, a gateway to a serial bus slower."""
ANSWER_ASSUMED_US = 10_000
"""Serial: from the end of a request to the first character of the answer."""
WRITE_LATENCY_MS = 50
READ_REGISTERS_MAX = 125

BAUD = 9600
START_AND_DATA_BITS = 9

# What the master reads of each SunSpec model, as a whole (dgm_core/src/modbus/models.rs).
METER_REGISTERS = 53
DER_REGISTERS = 112
STORAGE_REGISTERS = 5
CONTROL_REGISTERS = 42
RATING_REGISTERS = 20
CAP_WRITES = (6,)
POWER_WRITES = (3, 6)
MODELS_APART = 1_000
"""Where a model stands is not known before discovery: never so close that two of them could share a read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceUse:
    """What a device is asked for: `polled` at the asset's own interval, `looked_at` a few times per revert timer.

    `writes` and `proofs` are the registers of each write of a setpoint and of each read that proves it.
    """

    polled: tuple[AdmissionNeed, ...]
    looked_at: tuple[AdmissionNeed, ...] = ()
    registers_max: int = READ_REGISTERS_MAX
    writes: tuple[int, ...] = ()
    proofs: tuple[int, ...] = ()


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
    findings: tuple[str, ...] = field(default=())

    @property
    def holds(self) -> bool:
        """Whether every deadline of the line holds."""
        return not self.findings

    def __str__(self) -> str:
        devices = "1 device" if self.devices == 1 else f"{self.devices} devices"
        used = f"{self.reads_per_s_milli / 1000:.1f} reads/s, {self.load_permille / 10:.1f} % of the line"
        wait = "" if self.write_wait_us is None else f", setpoints wait {_ms(self.write_wait_us)} at most"
        return "; ".join((f"{self.name}: {devices}, {used}{wait}", *self.findings))


def line_proofs(config: DgmConfig, tables: Mapping[str, DeviceUse]) -> list[LineProof]:
    """One row per line, in the order in which the file names them. `tables`: devices without SunSpec, by table name."""
    lines: dict[str, list[AssetConfig]] = {}
    for asset in config.assets:
        if asset.HasField("modbus"):
            lines.setdefault(_line_name(asset.modbus), []).append(asset)
    known = {name: [asset for asset in assets if _use(asset, tables)] for name, assets in lines.items()}
    question = AdmissionQuestion(lines=[_line(name, assets, tables) for name, assets in known.items()])
    answer = AdmissionAnswer.FromString(_core.admission(question.SerializeToString()))
    return [
        _proof(line, row, [asset for asset in lines[line.name] if asset not in known[line.name]])
        for line, row in zip(question.lines, answer.lines, strict=True)
    ]


def use_of_map(registers: RegisterMap, *, polled: Collection[str], written: Collection[str]) -> DeviceUse:
    """How a device with this map is used: the named points polled, the named points written one by one and read back.

    A point comes with its scale factor in one read. Bits (coils and discrete inputs) are not reckoned.
    """
    points = {point.name: point for point in registers.points}
    needs = [
        need
        for group, name in enumerate(sorted(polled), start=1)
        for need in _with_scale(points[name], points, group)
        if need.table in (HOLDING, INPUT)
    ]
    sizes = tuple(_registers(points[name]) for name in sorted(written))
    registers_max = registers.read_registers_max or READ_REGISTERS_MAX
    return DeviceUse(polled=tuple(needs), registers_max=registers_max, writes=sizes, proofs=sizes)


def _with_scale(point: Point, points: Mapping[str, Point], group: int) -> Iterator[AdmissionNeed]:
    yield _need(point.name, point.address, _registers(point), group=group, table=point.table)
    if point.scale_point:
        scale = points[point.scale_point]
        yield _need(scale.name, scale.address, 1, group=group, table=scale.table)


def _registers(point: Point) -> int:
    match point.type:
        case PointType.U32 | PointType.I32 | PointType.F32:
            return 2
        case PointType.U64 | PointType.I64 | PointType.F64:
            return 4
        case PointType.STRING:
            return max(1, point.length)
        case _:
            return 1


def _need(name: str, address: int, count: int, *, group: int = 0, table: int = HOLDING) -> AdmissionNeed:
    return AdmissionNeed(name=name, table=table, address=address, count=count, group=group)  # type: ignore[arg-type]


def _use(asset: AssetConfig, tables: Mapping[str, DeviceUse]) -> DeviceUse | None:
    """None: the registers of its table are not known."""
    if asset.modbus.device:
        return tables.get(asset.modbus.device)
    meter = _need("meter 201-204", 0, METER_REGISTERS)
    der = _need("701", 0, DER_REGISTERS)
    storage = _need("713", MODELS_APART, STORAGE_REGISTERS)
    controls = _need("704", 2 * MODELS_APART, CONTROL_REGISTERS)
    rating = _need("702", 3 * MODELS_APART, RATING_REGISTERS)
    proofs = (CONTROL_REGISTERS,)
    match asset.type:
        case AssetType.ASSET_TYPE_PV:
            return DeviceUse(polled=(der,), looked_at=(controls, rating), writes=CAP_WRITES, proofs=proofs)
        case AssetType.ASSET_TYPE_BATTERY:
            return DeviceUse(polled=(der, storage), looked_at=(controls,), writes=POWER_WRITES, proofs=proofs)
        case _:
            return DeviceUse(polled=(meter,))


def _line_name(modbus: ModbusConfig) -> str:
    return modbus.serial.path if modbus.HasField("serial") else f"{modbus.host}:{modbus.port}"


def _line(name: str, assets: list[AssetConfig], tables: Mapping[str, DeviceUse]) -> AdmissionLine:
    line = AdmissionLine(name=name, round_trip_us=ROUND_TRIP_ASSUMED_US)
    latencies = [asset.modbus.write_latency_ms or WRITE_LATENCY_MS for asset in assets]
    line.write_latency_us = min(latencies, default=WRITE_LATENCY_MS) * 1000
    serial = next((asset.modbus.serial for asset in assets if asset.modbus.HasField("serial")), None)
    if serial is not None:
        parity_bits = 0 if serial.parity == "none" else 1
        line.baud = serial.baud or BAUD
        line.bits_per_character = START_AND_DATA_BITS + parity_bits + (serial.stop_bits or 2 - parity_bits)
        line.round_trip_us = ANSWER_ASSUMED_US
    line.devices.extend(_device(asset, tables) for asset in assets)
    return line


def _device(asset: AssetConfig, tables: Mapping[str, DeviceUse]) -> AdmissionDevice:
    use = _use(asset, tables)
    assert use is not None, "only devices whose registers are known are asked about"
    interval_us = asset.modbus.poll_interval_ms * 1000
    device = AdmissionDevice(name=asset.id, read_registers_max=use.registers_max)
    look_us = max(interval_us, asset.revert_s * 1_000_000 // 3)
    for needs, period_us in ((use.polled, interval_us), (use.looked_at, look_us)):
        for need in needs:
            device.needs.add().CopyFrom(need)
            device.needs[-1].period_us = period_us
    if use.writes:
        device.setpoint.CopyFrom(
            AdmissionSetpoint(write_registers=use.writes, proof_registers=use.proofs, interval_us=interval_us)
        )
    return device


def _proof(line: AdmissionLine, row: AdmissionRow, unknown: list[AssetConfig]) -> LineProof:
    return LineProof(
        name=line.name,
        devices=len(line.devices) + len(unknown),
        reads_per_s_milli=row.reads_per_s_milli,
        load_permille=row.load_permille,
        write_wait_us=row.write_wait_us if row.HasField("write_wait_us") else None,
        findings=(*_findings(line, row), *(_unknown(asset) for asset in unknown)),
    )


def _unknown(asset: AssetConfig) -> str:
    return f"{asset.id}: the registers of device {asset.modbus.device!r} are not known, so nothing is proved"


def _findings(line: AdmissionLine, row: AdmissionRow) -> Iterator[str]:
    if row.over_permille:
        yield f"OVER by {row.over_permille / 10:.1f} % of the line; {_slower(line, row)}"
    elif row.over_us:
        yield f"OVER by {_ms(row.over_us)} in a window of {_ms(row.window_us)}; {_slower(line, row)}"
    elif row.unproved:
        yield f"so close to full that nothing is proved; {_slower(line, row)}"
    if row.HasField("write_wait_us") and row.write_wait_us > row.write_latency_us:
        yield (
            f"OVER: a setpoint may wait {_ms(row.write_wait_us)}, write_latency_ms allows {_ms(row.write_latency_us)}; "
            "allow more, put fewer devices on the line, or raise its baud rate"
        )
    for gap in row.gaps:
        if not gap.cost_us:
            device = line.devices[gap.device]
            yield f"{device.name}: {device.needs[gap.need].name} does not fit into one read"


def _slower(line: AdmissionLine, row: AdmissionRow) -> str:
    fastest_us = min(need.period_us for device in line.devices for need in device.needs)
    if not row.HasField("stretch_permille"):
        return "no poll_interval_ms helps"
    slow_ms = -(-fastest_us * row.stretch_permille // 1_000_000)
    factor = row.stretch_permille / 1000
    return f"poll_interval_ms {slow_ms} instead of {fastest_us // 1000} would do (everything {factor:.2f} times slower)"


def _ms(span_us: int) -> str:
    return f"{span_us / 1000:.1f} ms"
