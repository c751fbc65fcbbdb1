"""The fallback proof, rules C10 and C11: what every device does with nobody alive keeps every configured limit.

    import, W and A per phase:  most uncontrolled load + EVSE fallbacks + battery-charge reverts, no help
    export, W:                  PV and battery reverts + all that V2X EVSEs may give back - least load
    export, A per phase:        the same without the load, whose least on one phase nobody knows

Per row of the tree. An unknown fallback counts at nameplate, and is a failure of its own. Pure; SAFETY.md section 5.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from dgm.api.config.v1.config_pb2 import DgmConfig, EvseConfig
from dgm.api.site.v1.site_pb2 import Phase
from dgm.site.bus import PHASES, Bus, Device, buses
from dgm.site.finding import RuleRow, State, excess, kilo

Parts = tuple[tuple[str, int], ...]


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
    return [proof for bus in buses(config) for proof in _bus_rows(bus)]


def fallback_rows(config: DgmConfig) -> list[RuleRow]:
    """C10 for each device whose fallback is not known, one row when all are; then C11 row by row."""
    unknown = list(_unknown(config))
    found = f"all of {_count(config)} stated"
    known = RuleRow(rule="C10", state=State.HOLDS, where=config.site.id, found=found, expected="stated and provable")
    return [*(unknown or [known]), *(_budget(proof) for proof in fallback_proof(config))]


def _unknown(config: DgmConfig) -> Iterator[RuleRow]:
    for station in config.stations:
        for evse in station.evses:
            if not evse.HasField("fallback_ma"):
                yield RuleRow(
                    rule="C10",
                    state=State.BROKEN,
                    where=evse.id,
                    found=f"no fallback_ma; counted at {kilo(evse.current_max_ma, 'mA')}",
                    expected="the A per phase that it may draw with nobody alive",
                    action=f"state fallback_ma: 0, or {evse.current_min_ma} and more",
                )
    for device in dict.fromkeys(device for bus in buses(config) for device in bus.devices):
        if not device.revert_known:
            yield _unproved(device)


def _unproved(device: Device) -> RuleRow:
    """Known to be unprovable, and counted so: C11 judges what follows of it (SAFETY.md section 5)."""
    nameplate = f"{kilo(device.revert_output_w, 'W')} out, {kilo(device.revert_charge_w, 'W')} in"
    return RuleRow(
        rule="C10",
        state=State.WARNING,
        where=device.id,
        found=f"{device.why}; counted at {nameplate}",
        expected="a revert that is written and read back",
        action="a device with a revert timer, or a limit in it that its installer has locked",
    )


def _budget(proof: RowProof) -> RuleRow:
    parts = " + ".join(f"{name} {kilo(value, proof.unit)}" for name, value in proof.parts)
    over = kilo(proof.total - proof.bound, proof.unit)
    lower = "fallback_ma of EVSEs" if proof.side.startswith("import") else "revert_w of PV and batteries"
    return RuleRow(
        rule="C11",
        state=State.HOLDS if proof.holds else State.BROKEN,
        where=proof.circuit_id,
        side=proof.side,
        found=f"{parts} = {kilo(proof.total, proof.unit)}",
        expected=f"{kilo(proof.bound, proof.unit)} at most",
        action="" if proof.holds else f"take {over} from {lower} below it",
        excess=excess(proof.total, proof.bound),
    )


def _count(config: DgmConfig) -> str:
    evses = sum(len(station.evses) for station in config.stations)
    devices = len({device.id for bus in buses(config) for device in bus.devices})
    return f"{evses} EVSEs, {devices} PV and batteries"


def _bus_rows(bus: Bus) -> Iterator[RowProof]:
    circuit = bus.circuit
    if circuit.HasField("import_limit_w"):
        evse_w = sum(bus.power_w(_fallback_ma(evse), len(evse.phases)) for evse in bus.evses)
        charge_w = sum(device.revert_charge_w for device in bus.devices)
        parts: Parts = (("load", bus.load_max_w), ("evse", evse_w), ("battery", charge_w))
        yield _row(circuit.id, "import", "W", circuit.import_limit_w, parts)
    if circuit.HasField("export_limit_w"):
        out_w = sum(device.revert_output_w for device in bus.devices)
        v2x_w = bus.give_back_w()
        cars: Parts = (("v2x", v2x_w),) if v2x_w else ()
        parts = (("pv+battery", out_w), *cars, ("load", -bus.load_min_w))
        yield _row(circuit.id, "export", "W", circuit.export_limit_w, parts)
    if circuit.HasField("current_limit_ma"):
        for phase in PHASES:
            yield from _phase_rows(bus, phase)


def _phase_rows(bus: Bus, phase: int) -> Iterator[RowProof]:
    name = Phase.Name(Phase.ValueType(phase)).removeprefix("PHASE_")
    limit_ma = bus.circuit.current_limit_ma
    evse_ma = sum(_fallback_ma(evse) for evse in bus.evses if phase in evse.phases)
    here = [device for device in bus.devices if phase in device.phases]
    charge_ma = sum(bus.current_ma(device.revert_charge_w, len(device.phases)) for device in here)
    parts: Parts = (("load", bus.load_ma), ("evse", evse_ma), ("battery", charge_ma))
    yield _row(bus.id, f"import {name}", "mA", limit_ma, parts)
    out_ma = sum(bus.current_ma(device.revert_output_w, len(device.phases)) for device in here)
    v2x_ma = bus.give_back_ma(phase)
    if out_ma or v2x_ma:
        cars: Parts = (("v2x", v2x_ma),) if v2x_ma else ()
        yield _row(bus.id, f"export {name}", "mA", limit_ma, (("pv+battery", out_ma), *cars))


def _row(circuit_id: str, side: str, unit: str, bound: int, parts: Parts) -> RowProof:
    total = sum(value for _, value in parts)
    return RowProof(circuit_id=circuit_id, side=side, unit=unit, total=total, bound=bound, parts=parts)


def _fallback_ma(evse: EvseConfig) -> int:
    return evse.fallback_ma if evse.HasField("fallback_ma") else evse.current_max_ma
