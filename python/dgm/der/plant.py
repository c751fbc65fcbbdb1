"""The plant as the utility sees it: what is observed of the site, and its DERCapability, DERSettings and DERStatus.

    WatchSite updates ──SiteView──> values for metering, DERStatus          DgmConfig ──> DERCapability, DERSettings

The plant (PV and batteries) is reported as one mixed DER. Only GOOD samples count; what one of them lacks is not told.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from dgm.api.config.v1.config_pb2 import AssetConfig, DerConfig, DgmConfig
from dgm.api.der.v1.profile_pb2 import Edition
from dgm.api.site.v1.site_pb2 import AssetType, CircuitState, Quality, Sample, WatchSiteResponse
from dgm.der import resource as r
from dgm.der.effect import Unit, measured
from dgm.der.metering import Quantity
from dgm.der.mode import Bitmap, bits_of

DER_TYPE_MIXED = 1
CHARGES, DISCHARGES = 0b01, 0b10
"""modesSupported beside the modes themselves."""
CONNECTED, AVAILABLE, OPERATING = 0b001, 0b010, 0b100
ENERGIZED = 0b010
"""Of connectStatus (2023), beside CONNECTED."""
MODE_OFF, MODE_OPERATIONAL = 1, 2
SOC_MIN_PERMILLE, SOC_MAX_PERMILLE = 200, 900
STANDBY_W = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class ModeBits:
    """The bitmaps of what can really be commanded; None: nothing of that kind, and then the element is not sent.

    What an edition does not know is left out by its dialect when it is written.
    """

    modes: int
    modes_2: int | None
    doe: int | None
    vpp: int | None


def mode_bits(acts_on: Iterable[str], *, has_battery: bool) -> ModeBits:
    """modesSupported and its kin for the modes that have an effect here."""
    names = tuple(acts_on)
    base = bits_of(names, Bitmap.MODES) | DISCHARGES | (CHARGES if has_battery else 0)
    return ModeBits(
        modes=base,
        modes_2=bits_of(names, Bitmap.MODES_2) or None,
        doe=bits_of(names, Bitmap.DOE) or None,
        vpp=bits_of(names, Bitmap.VPP) or None,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Storage:
    """Nameplate of all batteries together; None: there is none."""

    discharge_w: int | None
    energy_wh: int | None
    reserve_wh: int | None = None
    """What is never discharged (setMinWh)."""


def storage_of(config: DgmConfig) -> Storage:
    """What the batteries of site.yaml add up to."""
    batteries = [asset for asset in config.assets if asset.type == AssetType.ASSET_TYPE_BATTERY]
    return Storage(
        discharge_w=sum(asset.power_max_w for asset in batteries) or None,
        energy_wh=sum(asset.energy_wh for asset in batteries) or None,
        reserve_wh=sum(asset.energy_wh * _soc_min(asset) // 1000 for asset in batteries) if batteries else None,
    )


def _soc_min(asset: AssetConfig) -> int:
    return asset.soc_min_permille if asset.HasField("soc_min_permille") else SOC_MIN_PERMILLE


def has_battery(config: DgmConfig) -> bool:
    """Whether anything can be told to charge."""
    return any(asset.type == AssetType.ASSET_TYPE_BATTERY for asset in config.assets)


def root_circuit(config: DgmConfig) -> str:
    """The connection point: the one circuit without a parent."""
    return next((circuit.id for circuit in config.circuits if not circuit.parent), "")


class SiteView:
    """The newest of everything that WatchSite said."""

    def __init__(self, config: DgmConfig) -> None:
        root = next((circuit for circuit in config.circuits if not circuit.parent), None)
        self._root_id = "" if root is None else root.id
        self._meter_id = "" if root is None else root.meter
        self._batteries = [asset.id for asset in config.assets if asset.type == AssetType.ASSET_TYPE_BATTERY]
        self._pv = [asset.id for asset in config.assets if asset.type == AssetType.ASSET_TYPE_PV]
        kinds = (AssetType.ASSET_TYPE_PV, AssetType.ASSET_TYPE_BATTERY)
        self._plant = [asset for asset in config.assets if asset.type in kinds]
        self._samples: dict[str, Sample] = {}
        self._root: CircuitState | None = None

    def take(self, update: WatchSiteResponse) -> None:
        """A snapshot replaces, a delta adds."""
        if update.snapshot:
            self.forget()
        self._samples.update((sample.asset_id, sample) for sample in update.samples)
        self._root = next((state for state in update.circuits if state.circuit_id == self._root_id), self._root)

    def forget(self) -> None:
        """The site is not seen any more."""
        self._samples.clear()
        self._root = None

    def values(self) -> dict[Quantity, int]:
        """What can be said now, in the units and signs of the mirrors."""
        meter, plant = self._good((self._meter_id,)), self._good((*self._pv, *self._batteries))
        found = {
            Quantity.SITE_W: self._net_w(),
            Quantity.SITE_VAR: _sum(meter, "reactive_var"),
            Quantity.SITE_V: _voltage_dv(meter),
            Quantity.DER_W: _negated(_sum(plant, "power_w")),
            Quantity.DER_VAR: _negated(_sum(plant, "reactive_var")),
            Quantity.DER_V: _voltage_dv(plant),
        }
        return {quantity: value for quantity, value in found.items() if value is not None}

    def plant_samples(self) -> list[Sample] | None:
        """Good samples of every inverter and battery; None: not all of them are seen."""
        return self._good((*self._pv, *self._batteries))

    def battery_samples(self) -> list[Sample] | None:
        """Likewise of the batteries."""
        return self._good(self._batteries)

    def units(self) -> list[Unit]:
        """Every inverter and battery with what it can do now: a battery that is not seen, or full, takes nothing."""
        return [_unit(asset, self._good((asset.id,))) for asset in self._plant]

    def measured(self) -> dict[int, int]:
        """What is seen of the limited quantities, W by ems.v1.Quantity."""
        return measured((unit.power_w for unit in self.units()), self._net_w())

    def _net_w(self) -> int | None:
        root = self._root
        return root.net_power_w if root and root.HasField("net_power_w") and not root.meter_lost else None

    def status(self, time_s: int, *, is_stopped: bool = False) -> r.DERStatus:
        """DERStatus; parts that are not known are absent. The charge in whole percent: it changes rarely.

        is_stopped: a control says Energize or Connect false. The plant is off once nothing of it puts out power.
        """
        plant, batteries = self._good((*self._pv, *self._batteries)), self._good(self._batteries)
        return r.DERStatus(
            connect=_stamp(_connected(plant, is_stopped=is_stopped), time_s),
            gen_connect=_stamp(_connect(plant, is_stopped=is_stopped), time_s),
            operational_mode=_stamp(_operational(plant, is_stopped=is_stopped), time_s),
            reading_s=time_s,
            state_of_charge=_stamp(_soc_permyriad(batteries), time_s),
            stor_connect=_stamp(_connect(batteries, is_stopped=is_stopped), time_s),
        )

    def _good(self, ids: Iterable[str]) -> list[Sample] | None:
        """The samples of these assets; None unless there is at least one and all of them are good."""
        found = [self._samples.get(asset_id) for asset_id in ids]
        good = [sample for sample in found if sample is not None and sample.quality == Quality.QUALITY_GOOD]
        return good if good and len(good) == len(found) else None


def of_edition(status: r.DERStatus, edition: Edition) -> r.DERStatus:
    """What an edition says of the connection: 2023 forbids the two of 2018 (S23 DERStatus)."""
    if edition == Edition.EDITION_S23:
        return replace(status, gen_connect=None, stor_connect=None)
    return replace(status, connect=None)


def _sum(samples: list[Sample] | None, name: str) -> int | None:
    if samples is None or not all(sample.HasField(name) for sample in samples):
        return None
    return sum(int(getattr(sample, name)) for sample in samples)


def _negated(value: int | None) -> int | None:
    return None if value is None else -value


def _mean(values: list[int]) -> int | None:
    return round(sum(values) / len(values)) if values else None


def _voltage_dv(samples: list[Sample] | None) -> int | None:
    voltages = [
        int(getattr(sample.voltage_mv, phase))
        for sample in samples or ()
        for phase in ("l1", "l2", "l3")
        if sample.voltage_mv.HasField(phase)
    ]
    mean_mv = _mean(voltages)
    return None if mean_mv is None else round(mean_mv / 100)


def _soc_permyriad(samples: list[Sample] | None) -> int | None:
    mean = _mean([int(sample.soc_permille) for sample in samples or () if sample.HasField("soc_permille")])
    return None if mean is None else mean // 10 * 100


def _connect(samples: list[Sample] | None, *, is_stopped: bool) -> int | None:
    if samples is None:
        return None
    if is_stopped and not _puts_out(samples):
        return 0
    running = any(sample.HasField("power_w") and sample.power_w != 0 for sample in samples)
    return CONNECTED | (0 if is_stopped else AVAILABLE) | (OPERATING if running else 0)


def _connected(samples: list[Sample] | None, *, is_stopped: bool) -> int | None:
    """connectStatus of 2023, which replaces the two of 2018."""
    if samples is None:
        return None
    return 0 if is_stopped and not _puts_out(samples) else CONNECTED | ENERGIZED


def _operational(samples: list[Sample] | None, *, is_stopped: bool) -> int | None:
    if samples is None:
        return None
    return MODE_OFF if is_stopped and not _puts_out(samples) else MODE_OPERATIONAL


def _puts_out(samples: list[Sample]) -> bool:
    """What is not measured may be putting out; a hundred watts are a standby draw or noise."""
    return any(not sample.HasField("power_w") or sample.power_w < -STANDBY_W for sample in samples)


def _unit(asset: AssetConfig, samples: list[Sample] | None) -> Unit:
    sample = samples[0] if samples else None
    power_w = sample.power_w if sample is not None and sample.HasField("power_w") else None
    if asset.type == AssetType.ASSET_TYPE_PV:
        return Unit(asset_id=asset.id, is_battery=False, give_w=asset.power_max_w, take_w=0, power_w=power_w)
    high = asset.soc_max_permille if asset.HasField("soc_max_permille") else SOC_MAX_PERMILLE
    soc = sample.soc_permille if sample is not None and sample.HasField("soc_permille") else None
    take_w = asset.charge_max_w if asset.HasField("charge_max_w") else asset.power_max_w
    return Unit(
        asset_id=asset.id,
        is_battery=True,
        give_w=asset.power_max_w if soc is not None and soc > _soc_min(asset) else 0,
        take_w=take_w if soc is not None and soc < high else 0,
        power_w=power_w,
    )


def _stamp(value: int | None, time_s: int) -> r.StampedValue | None:
    return None if value is None else r.StampedValue(time_s=time_s, value=value)


def _reactive(config: DerConfig) -> dict[str, int | None]:
    """Apparent and reactive nameplate, where site.yaml tells it; the same both ways."""
    factor_ppm = config.min_power_factor_permille * 1000 or None
    return {
        "max_va": config.site_rating_va or None,
        "max_var": config.site_rating_var or None,
        "max_absorbed_var": config.site_rating_var or None,
        "min_pf_overexcited_ppm": factor_ppm,
        "min_pf_underexcited_ppm": factor_ppm,
    }


def capability(config: DerConfig, bits: ModeBits, storage: Storage) -> r.DERCapability:
    """Nameplate from site.yaml."""
    return r.DERCapability(
        modes=bits.modes,
        modes_2=bits.modes_2,
        max_charge_rate_w=config.battery_charge_rating_w or None,
        max_discharge_rate_w=storage.discharge_w,
        max_w=config.site_rating_w,
        max_wh=storage.energy_wh,
        type=DER_TYPE_MIXED,
        doe_modes=bits.doe,
        vpp_modes=bits.vpp,
        **_reactive(config),
    )


def settings(
    config: DerConfig, bits: ModeBits, storage: Storage, *, gradient_permyriad_s: int | None, updated_s: int
) -> r.DERSettings:
    """Settings in force; the gradient is the one of the DefaultDERControl (S18: it shall be echoed here)."""
    return r.DERSettings(
        modes=bits.modes,
        modes_2=bits.modes_2,
        set_grad_w_permyriad_s=gradient_permyriad_s or 0,
        max_charge_rate_w=config.battery_charge_rating_w or None,
        max_discharge_rate_w=storage.discharge_w,
        max_w=config.site_rating_w,
        max_wh=storage.energy_wh,
        min_wh=storage.reserve_wh,
        updated_s=updated_s,
        doe_modes=bits.doe,
        vpp_modes=bits.vpp,
        **_reactive(config),
    )
