"""The plant as the utility sees it: what is observed of the site, and its DERCapability, DERSettings and DERStatus.

    WatchSite updates ──SiteView──> values for metering, DERStatus          DgmConfig ──> DERCapability, DERSettings

The plant (PV and batteries) is reported as one mixed DER. Only GOOD samples count; what one of them lacks is not told.
"""

from __future__ import annotations

from collections.abc import Iterable

from dgm.api.config.v1.config_pb2 import DerConfig, DgmConfig
from dgm.api.site.v1.site_pb2 import AssetType, CircuitState, Quality, Sample, WatchSiteResponse
from dgm.der import resource as r
from dgm.der.metering import Quantity

DER_TYPE_MIXED = 1
MODES_STORAGE, MODES_GENERATION = 0b11, 0b10
"""modesSupported: bit 0 charge, bit 1 discharge; no opMod of the base standard is followed yet."""
DOE_ALL = 0b1111
CONNECTED_AVAILABLE, OPERATING = 0b011, 0b100
MODE_OPERATIONAL = 2


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
        net_w = self._root.net_power_w if self._root and self._root.HasField("net_power_w") else None
        if self._root is not None and self._root.meter_lost:
            net_w = None
        found = {
            Quantity.SITE_W: net_w,
            Quantity.SITE_VAR: _sum(meter, "reactive_var"),
            Quantity.SITE_V: _voltage_dv(meter),
            Quantity.DER_W: _negated(_sum(plant, "power_w")),
            Quantity.DER_VAR: _negated(_sum(plant, "reactive_var")),
            Quantity.DER_V: _voltage_dv(plant),
        }
        return {quantity: value for quantity, value in found.items() if value is not None}

    def status(self, time_s: int) -> r.DERStatus:
        """DERStatus; parts that are not known are absent. The charge in whole percent: it changes rarely."""
        plant, batteries = self._good((*self._pv, *self._batteries)), self._good(self._batteries)
        return r.DERStatus(
            gen_connect=_stamp(_connect(plant), time_s),
            operational_mode=_stamp(MODE_OPERATIONAL if plant else None, time_s),
            reading_s=time_s,
            state_of_charge=_stamp(_soc_permyriad(batteries), time_s),
            stor_connect=_stamp(_connect(batteries), time_s),
        )

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


def _soc_permyriad(samples: list[Sample] | None) -> int | None:
    mean = _mean([int(sample.soc_permille) for sample in samples or () if sample.HasField("soc_permille")])
    return None if mean is None else mean // 10 * 100


def _connect(samples: list[Sample] | None) -> int | None:
    if samples is None:
        return None
    running = any(sample.HasField("power_w") and sample.power_w != 0 for sample in samples)
    return CONNECTED_AVAILABLE | (OPERATING if running else 0)


def _stamp(value: int | None, time_s: int) -> r.StampedValue | None:
    return None if value is None else r.StampedValue(time_s=time_s, value=value)


def capability(config: DerConfig) -> r.DERCapability:
    """Nameplate from site.yaml."""
    return r.DERCapability(
        modes=_modes(config),
        max_charge_rate_w=config.battery_charge_rating_w or None,
        max_w=config.site_rating_w,
        type=DER_TYPE_MIXED,
        doe_modes=DOE_ALL,
    )


def settings(config: DerConfig, *, gradient_permyriad_s: int | None, updated_s: int) -> r.DERSettings:
    """Settings in force; the gradient is the one of the DefaultDERControl (S18: it shall be echoed here)."""
    return r.DERSettings(
        modes=_modes(config),
        set_grad_w_permyriad_s=gradient_permyriad_s or 0,
        max_charge_rate_w=config.battery_charge_rating_w or None,
        max_w=config.site_rating_w,
        updated_s=updated_s,
        doe_modes=DOE_ALL,
    )


def _modes(config: DerConfig) -> int:
    return MODES_STORAGE if config.battery_charge_rating_w else MODES_GENERATION
