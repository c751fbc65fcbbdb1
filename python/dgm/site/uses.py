"""What the Modbus master asks of a device: told by the core that will ask it, by SunSpec models or a device table.

    AssetConfig, DeviceTable ──> dgm_core ──> AdmissionDevice: reads, writes of a setpoint and their proof, looks, beats

A SunSpec device is reckoned with the models that are preferred (a meter 203, else 701, 702, 704, 713, 715, 802); what
it really has is found when it answers. Only the names of points are put in here. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from dgm import _core
from dgm.api.config.v1.config_pb2 import AssetConfig
from dgm.api.core.v1.admission_pb2 import (
    DEVICE_USE_ROLE_BATTERY,
    DEVICE_USE_ROLE_METER,
    DEVICE_USE_ROLE_PV,
    AdmissionDevice,
    AdmissionNeed,
    DeviceUseQuestion,
    DeviceUseRole,
)
from dgm.api.core.v1.device_pb2 import DeviceTable
from dgm.api.site.v1.site_pb2 import AssetType

REVERT_S = 30
TIMEOUT_MS = 500


def use_of(asset: AssetConfig, tables: Mapping[str, DeviceTable]) -> AdmissionDevice | None:
    """What an asset with a `modbus` section is asked for. None: it names a table that is not among `tables`.

    CoreError when the table is wrong, or cannot command what the asset is.
    """
    name = asset.modbus.device
    if name and name not in tables:
        return None
    question = DeviceUseQuestion(
        role=_role(asset.type),
        period_us=asset.modbus.poll_interval_ms * 1000,
        timeout_us=(asset.modbus.timeout_ms or TIMEOUT_MS) * 1000,
        revert_after_us=(asset.revert_s if asset.HasField("revert_s") else REVERT_S) * 1_000_000,
        rating_w=asset.power_max_w,
        table=tables[name] if name else None,
    )
    device = AdmissionDevice.FromString(_core.device_use(question.SerializeToString()))
    device.name = asset.id
    for need in device.needs:
        need.name = _name(need, tables[name]) if name else "the models of a " + AssetType.Name(asset.type)
    return device


def _role(kind: AssetType) -> DeviceUseRole:
    match kind:
        case AssetType.ASSET_TYPE_PV:
            return DEVICE_USE_ROLE_PV
        case AssetType.ASSET_TYPE_BATTERY:
            return DEVICE_USE_ROLE_BATTERY
        case _:
            return DEVICE_USE_ROLE_METER


def _name(need: AdmissionNeed, table: DeviceTable) -> str:
    """The points that a need is there for; a sum has several."""
    return " + ".join(dict.fromkeys(_inside(need, table)))


def _inside(need: AdmissionNeed, table: DeviceTable) -> Iterator[str]:
    used = [row.point for row in table.measurements] + [state.point for state in table.control.running]
    points = {point.name: point for point in table.map.points}
    for point in (points[name] for name in used):
        if point.table == need.table and need.address <= point.address < need.address + need.count:
            yield point.name
