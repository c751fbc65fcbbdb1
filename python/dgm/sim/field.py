"""The field side of the virtual world: devices read into the core's image, setpoints written into devices.

    Plant ──> Meter, inverters, battery ──read, if they can be reached──> image ──> Arbiter
    Plant <── WMaxLimPct, WSet with their revert timers <──written, if they can be reached── grants

What Poller and Session of the Rust core do on real wires is done here at once; a device that cannot be reached is not
heard, and runs into its revert value.
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass

from dgm import _core
from dgm.api.config.v1.config_pb2 import DgmConfig
from dgm.api.site.v1.site_pb2 import AssetType, Quality
from dgm.sim.meter import Meter
from dgm.sim.plant import Battery, Inverter, Plant

WATTS_PER_PERMILLE = 1000
REVERT_S = 30
"""Where site.yaml says nothing."""

FREQUENCY_MHZ = 50_000
_GOOD = int(Quality.QUALITY_GOOD)
UNSEEN = [int(Quality.QUALITY_NEVER), *[_core.ABSENT64] * (len(_core.IMAGE_COLUMNS) - 1)]


@dataclass(slots=True)
class Device:
    """An inverter or a battery of the site. is_reachable: its line stands. revert_w: output when its timer ends."""

    id: str
    unit: Inverter | Battery
    revert_w: int
    revert_s: int
    is_reachable: bool = True


class Field:
    """Meter and devices of one site, in the order of its assets; what comes after them are EVSEs."""

    def __init__(self, config: DgmConfig, plant: Plant, evse_count: int) -> None:
        self.plant = plant
        self.meter = Meter()
        self.devices: dict[str, Device] = {}
        self._assets = [asset.id for asset in config.assets]
        self._evse_count = evse_count
        inverters = iter(plant.inverters)
        for asset in config.assets:
            revert_s = asset.revert_s if asset.HasField("revert_s") else REVERT_S
            if asset.type == AssetType.ASSET_TYPE_PV:
                self.devices[asset.id] = Device(asset.id, next(inverters), asset.revert_w, revert_s)
            elif asset.type == AssetType.ASSET_TYPE_BATTERY:
                self.devices[asset.id] = Device(asset.id, plant.battery, 0, revert_s)

    def image(self) -> array[int]:
        """One row per asset in column order; EVSEs and whatever is not heard are absent."""
        words = array("q")
        for name in self._assets:
            device = self.devices.get(name)
            if device is None:
                words.extend(self._meter_row())
            else:
                words.extend(_device_row(device) if device.is_reachable else UNSEEN)
        for _ in range(self._evse_count):
            words.extend(UNSEEN)
        return words

    def _meter_row(self) -> list[int]:
        seen = self.meter.read(self.plant.reading())
        if seen is None:
            return UNSEEN
        amps = [abs(round(amp * 1000)) for amp in seen.phase_a]
        volts = [round(volt * 1000) for volt in seen.phase_v]
        absent = _core.ABSENT64
        return [_GOOD, 0, round(seen.net_w), absent, *amps, *volts, FREQUENCY_MHZ, absent, absent, absent]

    def write(self, grants: list[tuple[int, ...]]) -> None:
        """Setpoints of PV and battery, with their revert settings, as the field core writes them again and again."""
        for name, grant in zip(self._assets, grants, strict=False):
            device = self.devices.get(name)
            if device is not None and device.is_reachable and grant[0] != _core.ABSENT64:
                _write(device, grant[0])


def _device_row(device: Device) -> list[int]:
    absent = _core.ABSENT64
    if isinstance(device.unit, Battery):
        soc_permille = round(device.unit.soc * 1000.0)
        return [_GOOD, 0, round(device.unit.power_w), *[absent] * 9, soc_permille, absent]
    return [_GOOD, 0, -round(device.unit.output_w), *[absent] * 11]


def _write(device: Device, value_w: int) -> None:
    if isinstance(device.unit, Battery):
        control = device.unit.setpoint
        control.value, control.revert_value = -value_w, -device.revert_w
    else:
        control = device.unit.limit
        control.value = _permille(-value_w, device.unit)
        control.revert_value = _permille(device.revert_w, device.unit)
    control.enabled = control.revert_enabled = True
    control.revert_s = device.revert_s
    control.rewrite()


def _permille(output_w: int, inverter: Inverter) -> int:
    return output_w * WATTS_PER_PERMILLE // inverter.rated_w
