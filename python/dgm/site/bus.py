"""A circuit with all that hangs below it, as the rules of `dgm check` reckon it: maxima of each kind, per phase.

    DgmConfig ──buses──> one Bus per circuit: uncontrolled load, EVSEs, batteries and PV at or below it

Nobody is credited: a maximum is the most that can be, a minimum the least. Power becomes current at the nominal voltage
and, for the load, at the site's least power factor where that is stated. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass

from dgm.api.config.v1.config_pb2 import AssetConfig, CircuitConfig, DgmConfig, EvseConfig
from dgm.api.core.v1.device_pb2 import DeviceTable
from dgm.api.site.v1.site_pb2 import AssetType, Phase

PHASES = (Phase.PHASE_L1, Phase.PHASE_L2, Phase.PHASE_L3)


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """A battery or PV inverter. W, magnitudes. curtailable: its output can be commanded.

    revert_*: what it may do once nobody commands it; revert_known: that it falls back there is written and read back,
    or its table says so. Else revert_* is its nameplate in both directions, and `why` says why. after_s: its timer.
    """

    id: str
    phases: tuple[int, ...]
    output_max_w: int
    charge_max_w: int
    curtailable: bool
    revert_output_w: int
    revert_charge_w: int
    revert_known: bool
    why: str
    after_s: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Bus:
    """One circuit. load_max_w, load_min_w: what nobody controls at or below it, the building included."""

    circuit: CircuitConfig
    parent: CircuitConfig | None
    evses: tuple[EvseConfig, ...]
    devices: tuple[Device, ...]
    load_max_w: int
    load_min_w: int
    volts_mv: int
    power_factor_permille: int | None

    @property
    def id(self) -> str:
        """Of the circuit."""
        return self.circuit.id

    @property
    def load_ma(self) -> int:
        """The most uncontrolled load, mA per phase. An unbalanced building is not known: it is taken as balanced."""
        return _ceil(self.load_max_w * 1_000_000_000, 3 * self.volts_mv * (self.power_factor_permille or 1000))

    def current_ma(self, power_w: int, phases: int) -> int:
        """mA per phase of a power spread over so many phases, rounded up."""
        return _ceil(power_w * 1_000_000, max(1, phases) * self.volts_mv)

    def power_w(self, current_ma: int, phases: int) -> int:
        """W of a current per phase, rounded up."""
        return _ceil(current_ma * self.volts_mv * phases, 1_000_000)

    def output_w(self) -> int:
        """Rated output of all PV and batteries."""
        return sum(device.output_max_w for device in self.devices)

    def give_back_w(self) -> int:
        """All that V2X EVSEs may ever give back; their CPO decides."""
        return sum(self.power_w(evse.discharge_max_ma, len(evse.phases)) for evse in self.evses)

    def give_back_ma(self, phase: int) -> int:
        """The same on one phase."""
        return sum(evse.discharge_max_ma for evse in self.evses if phase in evse.phases)


def buses(config: DgmConfig) -> list[Bus]:
    """Every circuit of an accepted configuration, in file order."""
    by_id = {circuit.id: circuit for circuit in config.circuits}
    devices = _devices(config)
    return [_bus(config, circuit, by_id, devices) for circuit in config.circuits]


def _bus(
    config: DgmConfig, circuit: CircuitConfig, by_id: dict[str, CircuitConfig], devices: list[tuple[str, Device]]
) -> Bus:
    below = _below(config, circuit.id)
    site = config.site
    floor = site.power_factor_floor_permille if site.HasField("power_factor_floor_permille") else None
    return Bus(
        circuit=circuit,
        parent=by_id.get(circuit.parent),
        evses=tuple(evse for station in config.stations for evse in station.evses if evse.circuit in below),
        devices=tuple(device for at, device in devices if at in below),
        load_max_w=_load_max_w(config, circuit, by_id),
        load_min_w=_load_min_w(config, circuit),
        volts_mv=site.nominal_voltage_mv,
        power_factor_permille=floor,
    )


def _below(config: DgmConfig, root: str) -> set[str]:
    found = {root}
    while True:
        more = {circuit.id for circuit in config.circuits if circuit.parent in found} - found
        if not more:
            return found
        found |= more


def _load_max_w(config: DgmConfig, circuit: CircuitConfig, by_id: dict[str, CircuitConfig]) -> int:
    """Its own statement, else that of the next circuit above: a part of the building is at most the building."""
    stated = circuit
    while not stated.HasField("max_uncontrolled_w") and stated.parent in by_id:
        stated = by_id[stated.parent]
    children = (child for child in config.circuits if child.parent == circuit.id)
    return max(stated.max_uncontrolled_w, sum(_stated_below_w(config, child) for child in children))


def _stated_below_w(config: DgmConfig, circuit: CircuitConfig) -> int:
    children = (child for child in config.circuits if child.parent == circuit.id)
    return max(circuit.max_uncontrolled_w, sum(_stated_below_w(config, child) for child in children))


def _load_min_w(config: DgmConfig, circuit: CircuitConfig) -> int:
    children = (child for child in config.circuits if child.parent == circuit.id)
    return max(circuit.min_uncontrolled_w, sum(_load_min_w(config, child) for child in children))


def _devices(config: DgmConfig) -> list[tuple[str, Device]]:
    tables = {table.map.name: table for table in config.devices}
    kinds = (AssetType.ASSET_TYPE_PV, AssetType.ASSET_TYPE_BATTERY)
    return [
        (asset.circuit, _device(asset, _doubt(asset, tables), tables)) for asset in config.assets if asset.type in kinds
    ]


def _device(asset: AssetConfig, doubt: str, tables: dict[str, DeviceTable]) -> Device:
    is_battery = asset.type == AssetType.ASSET_TYPE_BATTERY
    rated_w = asset.charge_max_w if asset.HasField("charge_max_w") else asset.power_max_w
    charge_max_w = rated_w if is_battery else 0
    known = not doubt and asset.HasField("revert_w")
    # A battery's revert_w is an output; should it be read as charging by its device, that is counted too.
    output_w = min(asset.revert_w, asset.power_max_w)
    charge_w = min(asset.revert_w, charge_max_w)
    return Device(
        id=asset.id,
        phases=tuple(asset.phases) or PHASES,
        output_max_w=asset.power_max_w,
        charge_max_w=charge_max_w,
        curtailable=_commanded(asset, tables),
        revert_output_w=output_w if known else asset.power_max_w,
        revert_charge_w=charge_w if known else charge_max_w,
        revert_known=known,
        why=doubt or ("" if known else "revert_w is not stated"),
        after_s=asset.revert_s,
    )


def _commanded(asset: AssetConfig, tables: dict[str, DeviceTable]) -> bool:
    """Whether its output can be set: SunSpec devices can, others where their table says how."""
    table = tables.get(asset.modbus.device)
    return not asset.modbus.device or (table is not None and table.HasField("control"))


def _doubt(asset: AssetConfig, tables: dict[str, DeviceTable]) -> str:
    """Why its fallback cannot be proved; empty: it can. The same rules as the core's (Actuator::proves)."""
    if not asset.modbus.device:
        return ""  # SunSpec: revert value, timer and enable are written and read back
    table = tables.get(asset.modbus.device)
    if table is None or not table.HasField("control"):
        return f"device {asset.modbus.device} is only read: nobody commands it"
    control = table.control
    is_timed, own_s = bool(control.revert_timer), control.reverts_after_s
    if control.revert_power and (is_timed or own_s):
        late = not is_timed and own_s > asset.revert_s
        return f"device {asset.modbus.device} reverts after {own_s} s, revert_s is {asset.revert_s}" if late else ""
    if control.HasField("reverts_to_w") and (is_timed or own_s):
        return _fixed_doubt(asset, reverts_to_w=control.reverts_to_w, own_s=0 if is_timed else own_s)
    if is_timed:
        is_free = asset.type == AssetType.ASSET_TYPE_PV and asset.revert_w >= asset.power_max_w
        return "" if is_free else f"device {asset.modbus.device} does as it likes after its timer"
    return f"device {asset.modbus.device} has no revert: its last setpoint stands for ever"


def _fixed_doubt(asset: AssetConfig, *, reverts_to_w: int, own_s: int) -> str:
    is_battery = asset.type == AssetType.ASSET_TYPE_BATTERY
    gives = reverts_to_w == asset.revert_w if is_battery else reverts_to_w <= asset.revert_w
    if not gives:
        return f"device {asset.modbus.device} reverts to {reverts_to_w} W of output, revert_w is {asset.revert_w}"
    if own_s > asset.revert_s:
        return f"device {asset.modbus.device} reverts after {own_s} s, revert_s is {asset.revert_s}"
    return ""


def _ceil(numerator: int, denominator: int) -> int:
    return -(-numerator // denominator)
