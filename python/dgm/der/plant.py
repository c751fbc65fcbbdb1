"""The plant as the utility sees it: what is observed of the site, and its DERCapability and DERSettings.

    WatchSite updates ──SiteView──> values for metering, DERStatus, availability, alarms, event reports
    DgmConfig ──> DERCapability, DERSettings

The plant (PV and batteries) is reported as one mixed DER. Only GOOD samples count; what one of them lacks is not told.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from dgm.api.config.v1.config_pb2 import AssetConfig, DerConfig, DgmConfig
from dgm.api.der.v1.profile_pb2 import Edition
from dgm.api.ems.v1.ems_pb2 import Quantity as EmsQuantity
from dgm.api.site.v1.site_pb2 import AssetType, CircuitState, EvseDer, Grant, Quality, Sample, WatchSiteResponse
from dgm.der import alarms
from dgm.der import resource as r
from dgm.der.alarms import Condition, Trouble
from dgm.der.availability import Store
from dgm.der.deltas import DELTA_VAR, DELTA_W
from dgm.der.effect import Unit, measured
from dgm.der.event_report import SeenPower
from dgm.der.metering import Quantity
from dgm.der.mode import MODES, Bitmap, Origin, bits_of
from dgm.der.status import Group, PlantSeen

DER_TYPE_MIXED = 1
CHARGES, DISCHARGES = 0b01, 0b10
"""modesSupported beside the modes themselves."""
PHASES = 3
SOC_MIN_PERMILLE, SOC_MAX_PERMILLE = 200, 900
CURTAILED_PERMILLE = 980
WITHIN_W = 500
"""PV that gives this share of what it may, or so nearly all of it, is kept there by the limit that binds it."""


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


def modes_of_edition(names: Iterable[str], edition: Edition) -> tuple[str, ...]:
    """Modes that have a bit in an edition: those of 2023 have none in 2018."""
    return tuple(name for name in names if edition == Edition.EDITION_S23 or MODES[name].origin is not Origin.S23)


@dataclass(frozen=True, slots=True, kw_only=True)
class Storage:
    """Nameplate of all batteries together; None: there is none. reserve_wh: never taken out."""

    discharge_w: int | None
    energy_wh: int | None
    reserve_wh: int | None = None


def storage_of(config: DgmConfig) -> Storage:
    """What the batteries of site.yaml add up to."""
    batteries = [asset for asset in config.assets if asset.type == AssetType.ASSET_TYPE_BATTERY]
    return Storage(
        discharge_w=sum(asset.power_max_w for asset in batteries) or None,
        energy_wh=sum(asset.energy_wh for asset in batteries) or None,
        reserve_wh=sum(asset.energy_wh * _soc_window(asset)[0] // 1000 for asset in batteries) or None,
    )


def has_battery(config: DgmConfig) -> bool:
    """Whether anything can be told to charge."""
    return any(asset.type == AssetType.ASSET_TYPE_BATTERY for asset in config.assets)


def grid_functions(config: DgmConfig) -> frozenset[int]:
    """Grid-code functions that site.yaml permits on at least one inverter."""
    return frozenset(function for asset in config.assets for function in asset.grid_functions)


def evse_powers_w(config: DgmConfig) -> dict[str, int]:
    """The most that each EVSE takes, at nominal voltage on the conductors that it is wired to."""
    nominal_mv = config.site.nominal_voltage_mv
    return {
        evse.id: evse.current_max_ma * nominal_mv * (len(evse.phases) or PHASES) // 1_000_000
        for station in config.stations
        for evse in station.evses
    }


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
        self._evses = [evse.id for station in config.stations for evse in station.evses]
        self._nominal_mv = config.site.nominal_voltage_mv
        self._samples: dict[str, Sample] = {}
        self._grants: dict[str, Grant] = {}
        self._ders: dict[str, EvseDer] = {}
        self._root: CircuitState | None = None

    def take(self, update: WatchSiteResponse) -> None:
        """A snapshot replaces, a delta adds."""
        if update.snapshot:
            self.forget()
        self._samples.update((sample.asset_id, sample) for sample in update.samples)
        self._grants.update((grant.asset_id, grant) for grant in update.grants)
        self._ders.update((der.asset_id, der) for der in update.ders)
        self._root = next((state for state in update.circuits if state.circuit_id == self._root_id), self._root)

    def forget(self) -> None:
        """The site is not seen any more."""
        self._samples.clear()
        self._grants.clear()
        self._ders.clear()
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
            Quantity.DER_WH: self._stored_wh(),
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

    def plant_now(self) -> dict[str, int | None]:
        """W and var into the plant by the delta mode that counts from it, None: not seen."""
        plant = self._good((*self._pv, *self._batteries))
        return {DELTA_W: _sum(plant, "power_w"), DELTA_VAR: _sum(plant, "reactive_var")}

    def measured(self) -> dict[int, int]:
        """What is seen of the limited quantities, W by ems.v1.Quantity."""
        units = self.units()
        batteries = (unit.power_w for unit in units if unit.is_battery)
        return measured((unit.power_w for unit in units), self._net_w(), batteries)

    def _net_w(self) -> int | None:
        root = self._root
        return root.net_power_w if root and root.HasField("net_power_w") and not root.meter_lost else None

    def seen(self) -> dict[int, SeenPower]:
        """W of the limited quantities for the event reports; of loads that are not all seen, what is."""
        found = {quantity: SeenPower(power_w=power_w) for quantity, power_w in self.measured().items()}
        load = self._gross_load()
        return found if load is None else found | {EmsQuantity.QUANTITY_GROSS_LOAD: load}

    def conditions(self) -> set[Condition] | None:
        """What is abnormal now; None: the site is not seen."""
        if self._root is None:
            return None
        root, meter = self._root, self._good((self._meter_id,))
        found: set[Condition] = set(alarms.of_stations(self._ders.values()))
        found |= alarms.of_supply(meter[0], self._nominal_mv) if meter else set()
        limit_ma = root.current_limit_ma if root.HasField("current_limit_ma") else None
        found |= set() if root.meter_lost else alarms.of_current(root.current_ma, limit_ma)
        found |= {Trouble.METER_LOST} if root.meter_lost else set()
        found |= {Trouble.LIMIT_NOT_MET} if root.shortfall_w > 0 else set()
        is_all_seen = self._good([asset.id for asset in self._plant]) is not None
        return found if is_all_seen or not self._plant else found | {Trouble.DEVICE_LOST}

    def plant_seen(self) -> PlantSeen:
        """What DERStatus is made from."""
        return PlantSeen(
            everything=self._group((*self._pv, *self._batteries)),
            pv=self._group(self._pv),
            batteries=self._group(self._batteries),
            is_seen=bool(self._samples),
            is_curtailed=self._is_curtailed(),
            is_meter_lost=self._root is not None and self._root.meter_lost,
            is_short=self._root is not None and self._root.shortfall_w > 0,
        )

    def stores(self) -> list[Store] | None:
        """Every battery as it is; None: one of them is not seen, or its energy is not known."""
        samples = self._good(self._batteries)
        assets = [asset for asset in self._plant if asset.type == AssetType.ASSET_TYPE_BATTERY]
        if samples is None or not all(asset.energy_wh for asset in assets):
            return None
        known = all(sample.HasField("power_w") and sample.HasField("soc_permille") for sample in samples)
        return [_store(asset, sample) for asset, sample in zip(assets, samples, strict=True)] if known else None

    def _stored_wh(self) -> int | None:
        stores = self.stores()
        return None if stores is None else sum(store.energy_wh * store.soc_permille // 1000 for store in stores)

    def _gross_load(self) -> SeenPower | None:
        samples = [self._samples.get(asset_id) for asset_id in (*self._evses, *self._batteries)]
        powers = [
            max(sample.power_w, 0)
            for sample in samples
            if sample is not None and sample.quality == Quality.QUALITY_GOOD and sample.HasField("power_w")
        ]
        return SeenPower(power_w=sum(powers), is_whole=len(powers) == len(samples)) if powers else None

    def _is_curtailed(self) -> bool:
        """Some PV gives what it may and no more, and a limit says so."""
        for asset_id in self._pv:
            grant, sample = self._grants.get(asset_id), self._samples.get(asset_id)
            if grant is None or sample is None or not (grant.binding_limit_id and grant.HasField("power_w")):
                continue
            most_w = abs(grant.power_w)
            if -sample.power_w >= min(most_w * CURTAILED_PERMILLE // 1000, most_w - WITHIN_W):
                return True
        return False

    def _group(self, ids: Sequence[str]) -> Group:
        found = [self._samples.get(asset_id) for asset_id in ids]
        good = tuple(item for item in found if item is not None and item.quality == Quality.QUALITY_GOOD)
        failed = sum(item is not None and item.quality == Quality.QUALITY_FAILED for item in found)
        is_told = bool(good) and len(good) + failed == len(found)
        return Group(samples=good if is_told else None, has_fault=failed > 0)

    def _good(self, ids: Iterable[str]) -> list[Sample] | None:
        """The samples of these assets; None unless there is at least one and all of them are good."""
        found = [self._samples.get(asset_id) for asset_id in ids]
        good = [sample for sample in found if sample is not None and sample.quality == Quality.QUALITY_GOOD]
        return good if good and len(good) == len(found) else None


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


def _store(asset: AssetConfig, sample: Sample) -> Store:
    low, high = _soc_window(asset)
    return Store(
        give_w=asset.power_max_w,
        take_w=asset.charge_max_w if asset.HasField("charge_max_w") else asset.power_max_w,
        energy_wh=asset.energy_wh,
        low_permille=low,
        high_permille=high,
        soc_permille=sample.soc_permille,
        power_w=sample.power_w,
    )


def _soc_window(asset: AssetConfig) -> tuple[int, int]:
    low = asset.soc_min_permille if asset.HasField("soc_min_permille") else SOC_MIN_PERMILLE
    return low, asset.soc_max_permille if asset.HasField("soc_max_permille") else SOC_MAX_PERMILLE


def _unit(asset: AssetConfig, samples: list[Sample] | None) -> Unit:
    sample = samples[0] if samples else None
    power_w = sample.power_w if sample is not None and sample.HasField("power_w") else None
    if asset.type == AssetType.ASSET_TYPE_PV:
        return Unit(asset_id=asset.id, is_battery=False, give_w=asset.power_max_w, take_w=0, power_w=power_w)
    low, high = _soc_window(asset)
    soc = sample.soc_permille if sample is not None and sample.HasField("soc_permille") else None
    take_w = asset.charge_max_w if asset.HasField("charge_max_w") else asset.power_max_w
    return Unit(
        asset_id=asset.id,
        is_battery=True,
        give_w=asset.power_max_w if soc is not None and soc > low else 0,
        take_w=take_w if soc is not None and soc < high else 0,
        power_w=power_w,
    )


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
        updated_s=updated_s,
        doe_modes=bits.doe,
        vpp_modes=bits.vpp,
        min_wh=storage.reserve_wh,
        **_reactive(config),
    )
