"""The fallback proof: what every device does with nobody alive stays within every configured limit.

Per row of the tree: import side = maximum uncontrolled load + EVSE fallbacks + battery-charge reverts, with no help
from PV or battery; export side = PV and battery reverts and all that V2X EVSEs may give back, less the minimum load;
per phase likewise in amps, and per line of a transformer. An unknown fallback counts at nameplate. Pure; safety.md
section 5.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from dgm.api.config.v1.config_pb2 import AssetConfig, CircuitConfig, DgmConfig, EvseConfig
from dgm.api.site.v1.site_pb2 import AssetType, Phase
from dgm.site import transformer

Parts = tuple[tuple[str, int], ...]

PHASES = (Phase.PHASE_L1, Phase.PHASE_L2, Phase.PHASE_L3)


@dataclass(frozen=True, slots=True, kw_only=True)
class RowProof:
    """One row: `total` of the fallbacks against `bound`, both W or mA (see `unit`). Holds when total <= bound."""

    circuit_id: str
    side: str
    unit: str
    total: int
    bound: int
    parts: Parts

    @property
    def holds(self) -> bool:
        """Whether the row keeps its limit with nobody alive."""
        return self.total <= self.bound

    def __str__(self) -> str:
        sign = "<=" if self.holds else ">"
        parts = " + ".join(f"{name} {value}" for name, value in self.parts)
        return f"{self.circuit_id} {self.side}: {parts} = {self.total} {self.unit} {sign} {self.bound} {self.unit}"


def fallback_proof(config: DgmConfig) -> list[RowProof]:
    """Every row of every circuit that has a configured limit, in file order."""
    return [proof for circuit in config.circuits for proof in _circuit_rows(config, circuit)]


def _circuit_rows(config: DgmConfig, circuit: CircuitConfig) -> Iterator[RowProof]:
    below = below_circuit(config, circuit.id)
    evses = [evse for station in config.stations for evse in station.evses if evse.circuit in below]
    assets = [asset for asset in config.assets if asset.circuit in below]
    volts_mv = config.site.nominal_voltage_mv
    load_w = circuit.max_uncontrolled_w
    evse_w = sum(_evse_w(evse, volts_mv) for evse in evses)
    charge_w = sum(_charge_revert_w(asset) for asset in assets)
    if circuit.HasField("import_limit_w"):
        parts: Parts = (("load", load_w), ("evse", evse_w), ("battery", charge_w))
        yield _row(circuit, "import", "W", circuit.import_limit_w, parts)
    if circuit.HasField("export_limit_w"):
        out_w = sum(_output_revert_w(asset) for asset in assets)
        v2x_w = sum(_ceil(evse.discharge_max_ma * volts_mv * len(evse.phases), 1_000_000) for evse in evses)
        cars: Parts = (("v2x", v2x_w),) if v2x_w else ()
        parts = (("pv+battery", out_w), *cars, ("load", -circuit.min_uncontrolled_w))
        yield _row(circuit, "export", "W", circuit.export_limit_w, parts)
    if circuit.HasField("current_limit_ma"):
        for phase in PHASES:
            parts = _phase_parts(circuit, evses, assets, phase, volts_mv)
            side = "current " + Phase.Name(phase).removeprefix("PHASE_")
            yield _row(circuit, side, "mA", circuit.current_limit_ma, parts)
    if circuit.HasField("transformer"):
        yield from _transformer_rows(circuit, evses, volts_mv)


def _transformer_rows(circuit: CircuitConfig, evses: list[EvseConfig], volts_mv: int) -> Iterator[RowProof]:
    """Every limited line of both sides: the EVSEs' parts add by their angles, the load on top whatever its angle."""
    currents = [(evse, _fallback_ma(evse)) for evse in evses]
    for name, bound, turns, is_difference in transformer.sides(circuit.transformer):
        load_ma = transformer.load_ma(circuit.max_uncontrolled_w, volts_mv, turns=turns, is_difference=is_difference)
        for slot, phase in enumerate(PHASES):
            evse_ma = transformer.worst_ma(currents, slot, turns=turns, is_difference=is_difference)
            side = f"transformer {name} {Phase.Name(phase).removeprefix('PHASE_')}"
            yield _row(circuit, side, "mA", bound, (("load", load_ma), ("evse", evse_ma)))


def _row(circuit: CircuitConfig, side: str, unit: str, bound: int, parts: Parts) -> RowProof:
    total = sum(value for _, value in parts)
    return RowProof(circuit_id=circuit.id, side=side, unit=unit, total=total, bound=bound, parts=parts)


def _phase_parts(
    circuit: CircuitConfig, evses: list[EvseConfig], assets: list[AssetConfig], phase: int, volts_mv: int
) -> Parts:
    # An unbalanced building is not known here: its maximum is taken as balanced over the three phases.
    load_ma = _ceil(circuit.max_uncontrolled_w * 1_000_000, 3 * volts_mv)
    evse_ma = sum(_fallback_ma(evse) for evse in evses if phase in evse.phases)
    battery_ma = sum(
        _ceil(_charge_revert_w(asset) * 1_000_000, len(asset.phases) * volts_mv)
        for asset in assets
        if phase in asset.phases
    )
    return (("load", load_ma), ("evse", evse_ma), ("battery", battery_ma))


def below_circuit(config: DgmConfig, root: str) -> set[str]:
    """Ids of the circuits at or under one."""
    found = {root}
    while True:
        more = {circuit.id for circuit in config.circuits if circuit.parent in found} - found
        if not more:
            return found
        found |= more


def _fallback_ma(evse: EvseConfig) -> int:
    return evse.fallback_ma if evse.HasField("fallback_ma") else evse.current_max_ma


def _evse_w(evse: EvseConfig, volts_mv: int) -> int:
    return _ceil(_fallback_ma(evse) * volts_mv * len(evse.phases), 1_000_000)


def _charge_revert_w(asset: AssetConfig) -> int:
    if asset.type != AssetType.ASSET_TYPE_BATTERY:
        return 0
    return max(0, asset.revert_w) if asset.HasField("revert_w") else asset.charge_max_w


def _output_revert_w(asset: AssetConfig) -> int:
    if asset.type == AssetType.ASSET_TYPE_PV:
        return asset.revert_w if asset.HasField("revert_w") else asset.power_max_w
    if asset.type == AssetType.ASSET_TYPE_BATTERY:
        return 0 if asset.HasField("revert_w") else asset.power_max_w
    return 0


def _ceil(numerator: int, denominator: int) -> int:
    return -(-numerator // denominator)
