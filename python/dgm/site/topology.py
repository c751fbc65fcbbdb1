"""What stands on the site, in the one order that every column and index uses.

    DgmConfig ──> Topology: assets (config.assets, then the EVSEs of config.stations), circuits, paths to the root

Built once from a configuration that `dgm.config` has accepted. Holds no readings and no limits in force.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from dgm.api.config.v1.config_pb2 import AssetConfig, CircuitConfig, DgmConfig, EvseConfig, StationConfig
from dgm.api.site.v1.site_pb2 import Asset, AssetType, Circuit, Phase, Site
from dgm.errors import ConfigError, Problem

THREE_PHASES = (Phase.PHASE_L1, Phase.PHASE_L2, Phase.PHASE_L3)
EVSE = AssetType.ASSET_TYPE_EVSE
"""Looked up once: an enum of protobuf costs more to look up than all else that asks for it, per asset and cycle."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AssetEntry:
    """One leaf of the tree.

    index: position in every column. phases: site conductors in the order of the device's own L1, L2, L3.
    Powers in W (magnitudes), currents in mA per phase; None: the configuration does not say.
    """

    index: int
    id: str
    type: AssetType
    circuit_index: int
    phases: tuple[Phase, ...]
    power_max_w: int | None = None
    charge_max_w: int | None = None
    soc_max_permille: int | None = None
    current_max_ma: int | None = None
    current_min_ma: int = 0
    current_step_ma: int = 1
    fallback_ma: int = 0
    weight: int = 1
    stratum: int = 1
    station_id: str = ""
    cpo_id: str = ""
    discharge_max_ma: int = 0

    @property
    def is_evse(self) -> bool:
        """Whether the asset is reached over OCPP; all others are read by the field core."""
        return self.type == EVSE


@dataclass(frozen=True, slots=True, kw_only=True)
class CircuitEntry:
    """One node of the tree. path: indices from the root down to this circuit, both included."""

    index: int
    id: str
    parent_index: int | None
    path: tuple[int, ...]
    meter_index: int | None
    import_limit_w: int | None
    export_limit_w: int | None
    current_limit_ma: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Topology:
    """The tree of one configuration. Indices are those of the core."""

    site_id: str
    site_name: str
    nominal_voltage_mv: int
    circuits: tuple[CircuitEntry, ...]
    assets: tuple[AssetEntry, ...]
    circuit_by_id: dict[str, int]
    asset_by_id: dict[str, int]

    @classmethod
    def from_config(cls, config: DgmConfig) -> Topology:
        """Build the tree. ConfigError when a circuit, parent or meter is unknown or the tree has a cycle."""
        circuit_by_id = {circuit.id: index for index, circuit in enumerate(config.circuits)}
        assets = tuple(_assets(config, circuit_by_id))
        asset_by_id = {asset.id: asset.index for asset in assets}
        return cls(
            site_id=config.site.id,
            site_name=config.site.name,
            nominal_voltage_mv=config.site.nominal_voltage_mv,
            circuits=tuple(_circuits(config, circuit_by_id, asset_by_id)),
            assets=assets,
            circuit_by_id=circuit_by_id,
            asset_by_id=asset_by_id,
        )

    @property
    def root(self) -> CircuitEntry:
        """The connection point."""
        return next(circuit for circuit in self.circuits if circuit.parent_index is None)

    def asset(self, asset_id: str) -> AssetEntry | None:
        """The asset of that id, None when there is none."""
        index = self.asset_by_id.get(asset_id)
        return None if index is None else self.assets[index]

    def circuit(self, circuit_id: str) -> CircuitEntry | None:
        """The circuit of that id, None when there is none."""
        index = self.circuit_by_id.get(circuit_id)
        return None if index is None else self.circuits[index]

    def path_of(self, asset: AssetEntry) -> tuple[int, ...]:
        """Circuits above an asset, the connection point first."""
        return self.circuits[asset.circuit_index].path

    def evses(self) -> Iterator[AssetEntry]:
        """The EVSEs in column order."""
        return (asset for asset in self.assets if asset.is_evse)

    def below(self, circuit_index: int) -> Iterator[AssetEntry]:
        """Every asset at or under a circuit."""
        return (asset for asset in self.assets if circuit_index in self.path_of(asset))

    def site_message(self, *, epoch: int) -> Site:
        """The tree as GetSite tells it. `epoch` is that of the process: the configuration changes with a start only."""
        return Site(
            id=self.site_id,
            name=self.site_name,
            circuits=[self._circuit_message(circuit) for circuit in self.circuits],
            assets=[self._asset_message(asset) for asset in self.assets],
            epoch=epoch,
        )

    def _circuit_message(self, entry: CircuitEntry) -> Circuit:
        return Circuit(
            id=entry.id,
            parent_id="" if entry.parent_index is None else self.circuits[entry.parent_index].id,
            import_limit_w=entry.import_limit_w,
            export_limit_w=entry.export_limit_w,
            current_limit_ma=entry.current_limit_ma,
            meter_id="" if entry.meter_index is None else self.assets[entry.meter_index].id,
        )

    def _asset_message(self, entry: AssetEntry) -> Asset:
        return Asset(
            id=entry.id,
            type=entry.type,
            circuit_id=self.circuits[entry.circuit_index].id,
            phases=entry.phases,
            power_max_w=entry.power_max_w,
            current_max_ma=entry.current_max_ma,
            station_id=entry.station_id,
            cpo_id=entry.cpo_id,
            discharge_max_ma=entry.discharge_max_ma or None,
        )


def _assets(config: DgmConfig, circuit_by_id: dict[str, int]) -> Iterator[AssetEntry]:
    index = 0
    for asset in config.assets:
        yield _asset_entry(asset, index, _known(circuit_by_id, asset.circuit, f"assets.{asset.id}.circuit"))
        index += 1
    for station in config.stations:
        for evse in station.evses:
            circuit = _known(circuit_by_id, evse.circuit, f"stations.{station.id}.evses.{evse.id}.circuit")
            yield _evse_entry(station, evse, index, circuit)
            index += 1


def _asset_entry(asset: AssetConfig, index: int, circuit_index: int) -> AssetEntry:
    return AssetEntry(
        index=index,
        id=asset.id,
        type=asset.type,
        circuit_index=circuit_index,
        phases=tuple(asset.phases) or THREE_PHASES,
        power_max_w=asset.power_max_w if asset.HasField("power_max_w") else None,
        charge_max_w=asset.charge_max_w if asset.HasField("charge_max_w") else None,
        soc_max_permille=asset.soc_max_permille if asset.HasField("soc_max_permille") else None,
    )


def _evse_entry(station: StationConfig, evse: EvseConfig, index: int, circuit_index: int) -> AssetEntry:
    return AssetEntry(
        index=index,
        id=evse.id,
        type=AssetType.ASSET_TYPE_EVSE,
        circuit_index=circuit_index,
        phases=tuple(evse.phases) or THREE_PHASES,
        current_max_ma=evse.current_max_ma,
        current_min_ma=evse.current_min_ma,
        current_step_ma=evse.current_step_ma,
        fallback_ma=evse.fallback_ma,
        weight=evse.weight,
        stratum=evse.stratum,
        station_id=station.id,
        cpo_id=station.cpo,
        discharge_max_ma=evse.discharge_max_ma,
    )


def _circuits(config: DgmConfig, by_id: dict[str, int], assets: dict[str, int]) -> Iterator[CircuitEntry]:
    for index, circuit in enumerate(config.circuits):
        where = f"circuits.{circuit.id}"
        yield CircuitEntry(
            index=index,
            id=circuit.id,
            parent_index=_known(by_id, circuit.parent, f"{where}.parent") if circuit.parent else None,
            path=_path(config.circuits[index], config, by_id),
            meter_index=_known(assets, circuit.meter, f"{where}.meter") if circuit.meter else None,
            import_limit_w=circuit.import_limit_w if circuit.HasField("import_limit_w") else None,
            export_limit_w=circuit.export_limit_w if circuit.HasField("export_limit_w") else None,
            current_limit_ma=circuit.current_limit_ma if circuit.HasField("current_limit_ma") else None,
        )


def _path(circuit: CircuitConfig, config: DgmConfig, by_id: dict[str, int]) -> tuple[int, ...]:
    path = [by_id[circuit.id]]
    while circuit.parent:
        above = _known(by_id, circuit.parent, f"circuits.{circuit.id}.parent")
        if above in path:
            raise ConfigError([Problem(path="circuits", found=f"a cycle at {circuit.id!r}", expected="a tree")])
        path.append(above)
        circuit = config.circuits[above]
    return tuple(reversed(path))


def _known(by_id: dict[str, int], name: str, path: str) -> int:
    if name not in by_id:
        raise ConfigError([Problem(path=path, found=repr(name), expected="an id that exists in this file")])
    return by_id[name]
