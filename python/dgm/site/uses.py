"""What the Modbus master asks of a device: by the SunSpec models it is expected to have, or by its device table.

    AssetConfig, DeviceTable ──> DeviceUse: points polled, points looked at, writes of a setpoint and their proof

Not which reads: dgm_core plans those. SunSpec devices are reckoned with the models that are preferred (a meter 201-204,
else 701, 702, 704, 713); what a device really has is found when it answers. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from dgm.api.config.v1.config_pb2 import AssetConfig
from dgm.api.core.v1.admission_pb2 import AdmissionNeed
from dgm.api.core.v1.device_pb2 import DeviceControl, DeviceTable
from dgm.api.core.v1.registers_pb2 import HOLDING, Point, PointType, RegisterTable
from dgm.api.site.v1.site_pb2 import AssetType

READ_REGISTERS_MAX = 125
WRITE_REGISTERS_MAX = 123
LOOK_US = 2_000_000
"""Longest time for which nobody looks at the command registers (dgm_core/src/modbus/control.rs)."""

# What the master reads of each SunSpec model, from its first point of use to its last scale factor.
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
    """Needs without a period: `polled` at the asset's interval, `looked_at` every `look_us`, `rating` at each renewal.

    `writes` and `proofs`: the registers of each write of a setpoint and of each read that proves it; none: only read.
    `beat_us`: time between two signs of life of `beat_registers`; 0: it wants none.
    """

    polled: tuple[AdmissionNeed, ...]
    looked_at: tuple[AdmissionNeed, ...] = ()
    rating: tuple[AdmissionNeed, ...] = ()
    registers_max: int = READ_REGISTERS_MAX
    writes: tuple[int, ...] = ()
    proofs: tuple[int, ...] = ()
    look_us: int = LOOK_US
    renewal_us: int = LOOK_US
    beat_us: int = 0
    beat_registers: int = 0


def use_of(asset: AssetConfig, tables: Mapping[str, DeviceTable]) -> DeviceUse | None:
    """What an asset with a `modbus` section is asked for. None: it names a table that is not among `tables`."""
    # A renewal reads the rating and writes anew, a third of the revert timer after the last one.
    renewal_us = max(1, asset.revert_s) * 1_000_000 // 3
    name = asset.modbus.device
    if not name:
        return _sunspec(asset, renewal_us)
    return _of_table(tables[name], asset, renewal_us) if name in tables else None


def _sunspec(asset: AssetConfig, renewal_us: int) -> DeviceUse:
    der = _block("701", 0, DER_REGISTERS)
    storage = _block("713", 1, STORAGE_REGISTERS)
    controls = _block("704", 2, CONTROL_REGISTERS)
    rating = _block("702", 3, RATING_REGISTERS)
    look_us = min(LOOK_US, renewal_us)
    proofs = (CONTROL_REGISTERS,)
    match asset.type:
        case AssetType.ASSET_TYPE_PV:
            return DeviceUse(
                polled=(der,),
                looked_at=(controls,),
                rating=(rating,),
                writes=CAP_WRITES,
                proofs=proofs,
                look_us=look_us,
                renewal_us=renewal_us,
            )
        case AssetType.ASSET_TYPE_BATTERY:
            return DeviceUse(
                polled=(der, storage),
                looked_at=(controls,),
                writes=POWER_WRITES,
                proofs=proofs,
                look_us=look_us,
                renewal_us=renewal_us,
            )
        case _:
            return DeviceUse(polled=(_block("meter 201-204", 0, METER_REGISTERS),))


def _block(name: str, position: int, count: int) -> AdmissionNeed:
    return AdmissionNeed(name=name, table=HOLDING, address=position * MODELS_APART, count=count)


def _of_table(table: DeviceTable, asset: AssetConfig, renewal_us: int) -> DeviceUse:
    points = {point.name: point for point in table.map.points}
    registers_max = table.map.read_registers_max or READ_REGISTERS_MAX
    polled = [row.point for row in table.measurements]
    is_commanded = asset.type in (AssetType.ASSET_TYPE_PV, AssetType.ASSET_TYPE_BATTERY)
    if not (is_commanded and table.HasField("control")):
        return DeviceUse(polled=_needs(points, polled), registers_max=registers_max)
    control = table.control
    written = [points[name] for name in _written(control)]
    shown = [point.name for point in written] + [state.point for state in control.remote]
    beat = points[control.heartbeat.point] if control.HasField("heartbeat") else None
    return DeviceUse(
        polled=_needs(points, polled + [state.point for state in control.running]),
        looked_at=_needs(points, shown),
        rating=_needs(points, [control.rating_point] if control.rating_point else []),
        registers_max=registers_max,
        writes=tuple(_writes(written, table.map.write_registers_max or WRITE_REGISTERS_MAX)),
        proofs=tuple(_runs(_needs(points, shown), registers_max)),
        look_us=min(LOOK_US, renewal_us),
        renewal_us=renewal_us,
        beat_us=control.heartbeat.period_ms * 1000 if beat is not None else 0,
        beat_registers=_size(beat) if beat is not None else 0,
    )


def _written(control: DeviceControl) -> Iterator[str]:
    """Points of a setpoint in the order of writing."""
    yield from (value.point for value in control.before)
    yield from (name for name in (control.revert_timer, control.revert_power, control.power) if name)
    yield from (value.point for value in control.after)


def _writes(written: list[Point], registers_max: int) -> Iterator[int]:
    """Registers of each write: neighbours that touch go in one."""
    end, size = -1, 0
    for point in written:
        if point.address == end and size + _size(point) <= registers_max:
            size += _size(point)
        else:
            if size:
                yield size
            size = _size(point)
        end = point.address + _size(point)
    if size:
        yield size


def _runs(needs: Iterable[AdmissionNeed], registers_max: int) -> Iterator[int]:
    """Registers of each read that leaves gaps alone, but for those between a value and its scale factor."""
    groups: dict[tuple[int, int], tuple[int, int]] = {}
    for need in needs:
        start, end = groups.get((need.table, need.group), (need.address, need.address))
        groups[need.table, need.group] = min(start, need.address), max(end, need.address + need.count)
    runs: list[tuple[int, int, int]] = []
    for (table, _), (start, end) in sorted(groups.items(), key=lambda item: (item[0][0], item[1])):
        if runs and runs[-1][0] == table and start <= runs[-1][2] and end - runs[-1][1] <= registers_max:
            runs[-1] = (table, runs[-1][1], max(runs[-1][2], end))
        else:
            runs.append((table, start, end))
    yield from (end - start for _, start, end in runs)


def _needs(points: Mapping[str, Point], names: Iterable[str]) -> tuple[AdmissionNeed, ...]:
    """Each point with its scale factor as one group."""
    found = []
    for group, name in enumerate(dict.fromkeys(names), start=1):
        point = points[name]
        found.append(_need(point, _size(point), group))
        if point.scale_point:
            found.append(_need(points[point.scale_point], 1, group))
    return tuple(found)


def _need(point: Point, count: int, group: int) -> AdmissionNeed:
    table = point.table or RegisterTable.HOLDING
    return AdmissionNeed(name=point.name, table=table, address=point.address, count=count, group=group)


def _size(point: Point) -> int:
    """Registers, or bits of a coil or discrete input."""
    match point.type:
        case PointType.U32 | PointType.I32 | PointType.F32:
            return 2
        case PointType.U64 | PointType.I64 | PointType.F64:
            return 4
        case PointType.STRING:
            return max(1, point.length)
        case _:
            return 1
