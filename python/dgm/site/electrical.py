"""Rules C01 to C09 of `dgm check`: the site as it is wired and limited, before anything of it moves.

    Bus (per circuit) ──> breakers, branches, what nobody can reduce, phases, service, export, promises, minimums

Rows per circuit, per phase and in both directions. A circuit that carries more than its limit by nameplates is no
fault: the Arbiter shares it. What nobody can reduce must fit. Pure; nothing here is a certificate.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from dgm.api.config.v1.config_pb2 import CircuitConfig, DgmConfig, EvseConfig
from dgm.api.site.v1.site_pb2 import AssetType, Phase
from dgm.site.bus import PHASES, Bus, buses
from dgm.site.finding import RuleRow, State, excess, kilo

CONTINUOUS_PERMILLE = 800
"""Of a breaker, for load that runs for three hours and more (NEC 625.42 with 210.20)."""

UNBALANCE_MA = 20_000
"""Between two phases, by single-phase EVSEs."""


def electrical_rows(config: DgmConfig) -> list[RuleRow]:
    """C01 to C09, rule by rule, circuits in file order."""
    site = buses(config)
    by_id = {bus.id: bus for bus in site}
    per_bus: tuple[Callable[[Bus], Iterator[RuleRow]], ...] = (_unreducible, _spread, _service, _approved, _curtailed)
    first = [row for bus in site for row in _breaker(bus, by_id)]
    first += [row for bus in site for row in _continuous(bus, by_id)]
    rest = [row for rule in per_bus for bus in site for row in rule(bus)]
    return [*first, *rest, *_promised(config), *(row for bus in site for row in _minimums(bus, config))]


def _rated(circuit: CircuitConfig) -> int | None:
    """Its breaker, mA; the managed limit where no breaker is stated."""
    if circuit.HasField("breaker_ma"):
        return circuit.breaker_ma
    return circuit.current_limit_ma if circuit.HasField("current_limit_ma") else None


def _breaker(bus: Bus, by_id: dict[str, Bus]) -> Iterator[RuleRow]:
    own_ma, above = _rated(bus.circuit), bus.parent
    while above is not None and _rated(above) is None:
        above = by_id[above.id].parent
    if above is None or own_ma is None:
        return
    above_ma = _rated(above) or 0
    yield _judged(
        "C01",
        bus.id,
        "",
        total=own_ma,
        bound=above_ma,
        unit="mA",
        found=kilo(own_ma, "mA"),
        bound_of=f"of {above.id} above it",
        action=f"correct breaker_ma (or current_limit_ma) of {bus.id} or {above.id}",
    )


def _continuous(bus: Bus, by_id: dict[str, Bus]) -> Iterator[RuleRow]:
    circuit = bus.circuit
    if bus.parent is None or not bus.evses:
        return
    if not circuit.HasField("breaker_ma"):
        yield _unstated("C02", bus.id, "breaker_ma", "how much of its breaker EVs may take")
        return
    bound_ma = circuit.breaker_ma * CONTINUOUS_PERMILLE // 1000
    for phase in PHASES:
        total_ma = _ev_max_ma(bus, phase, by_id)
        yield _judged(
            "C02",
            bus.id,
            "import " + _name(phase),
            total=total_ma,
            bound=bound_ma,
            unit="mA",
            found=f"EVs up to {kilo(total_ma, 'mA')}",
            bound_of=f"80 % of {kilo(circuit.breaker_ma, 'mA')}",
            action=f"current_limit_ma: {bound_ma} at {bus.id}",
        )


def _ev_max_ma(bus: Bus, phase: int, by_id: dict[str, Bus]) -> int:
    """The most that the limits let EVs draw through a circuit on one phase."""
    own = sum(evse.current_max_ma for evse in bus.evses if evse.circuit == bus.id and phase in evse.phases)
    children = (child for child in by_id.values() if child.parent is not None and child.parent.id == bus.id)
    total = own + sum(_ev_max_ma(child, phase, by_id) for child in children)
    return min(total, bus.circuit.current_limit_ma) if bus.circuit.HasField("current_limit_ma") else total


def _unreducible(bus: Bus) -> Iterator[RuleRow]:
    if not bus.circuit.HasField("current_limit_ma"):
        return
    limit_ma = bus.circuit.current_limit_ma
    for phase in PHASES:
        here = [device for device in bus.devices if phase in device.phases]
        charge = [(device, bus.current_ma(device.charge_max_w, len(device.phases))) for device in here]
        output = [(device, bus.current_ma(device.output_max_w, len(device.phases))) for device in here]
        evse_ma = sum(evse.current_max_ma for evse in bus.evses if phase in evse.phases)
        fixed_in = bus.load_ma + sum(ma for device, ma in charge if not device.curtailable)
        fixed_out = bus.give_back_ma(phase) + sum(ma for device, ma in output if not device.curtailable)
        connected_in = bus.load_ma + evse_ma + sum(ma for _, ma in charge)
        connected_out = bus.give_back_ma(phase) + sum(ma for _, ma in output)
        yield _fits(bus, "import " + _name(phase), fixed_in, connected_in, limit_ma)
        if connected_out:
            yield _fits(bus, "export " + _name(phase), fixed_out, connected_out, limit_ma)


def _fits(bus: Bus, side: str, fixed_ma: int, connected_ma: int, limit_ma: int) -> RuleRow:
    managed = f"; connected {kilo(connected_ma, 'mA')}, the Arbiter shares it" if connected_ma > limit_ma else ""
    return _judged(
        "C03",
        bus.id,
        side,
        total=fixed_ma,
        bound=limit_ma,
        unit="mA",
        found=f"{kilo(fixed_ma, 'mA')} that nobody can reduce{managed}",
        bound_of="current_limit_ma",
        action="a stronger circuit, less max_uncontrolled_w, or make devices below it controllable",
    )


def _spread(bus: Bus) -> Iterator[RuleRow]:
    """Single-phase EVSEs, and single-phase cars at three-phase EVSEs: these draw on the EVSE's own L1."""
    single = [evse for evse in bus.evses if len(evse.phases) == 1]
    three = [evse for evse in bus.evses if len(evse.phases) == 3]
    if single:
        yield _spread_row(bus, single, "single-phase EVSEs")
    if three:
        yield _spread_row(bus, three, "first conductors of three-phase EVSEs")


def _spread_row(bus: Bus, evses: Sequence[EvseConfig], what: str) -> RuleRow:
    by_phase = {phase: sum(evse.current_max_ma for evse in evses if evse.phases[0] == phase) for phase in PHASES}
    # No rotation does better than the largest single one.
    bound_ma = max(UNBALANCE_MA, *(evse.current_max_ma for evse in evses))
    unbalance_ma = max(by_phase.values()) - min(by_phase.values())
    figures = ", ".join(f"{_name(phase)} {kilo(value, 'mA')}" for phase, value in by_phase.items())
    most, least = max(PHASES, key=by_phase.__getitem__), min(PHASES, key=by_phase.__getitem__)
    return _judged(
        "C04",
        bus.id,
        what,
        total=unbalance_ma,
        bound=bound_ma,
        unit="mA",
        found=f"{figures}: {kilo(unbalance_ma, 'mA')} apart",
        bound_of="apart",
        action=f"wire some from {_name(most)} to {_name(least)}",
        otherwise=State.WARNING,
    )


def _service(bus: Bus) -> Iterator[RuleRow]:
    circuit = bus.circuit
    if not circuit.HasField("import_limit_w"):
        return
    service_va = circuit.service_va if circuit.HasField("service_va") else None
    if service_va is None and circuit.HasField("current_limit_ma"):
        service_va = 3 * circuit.current_limit_ma * bus.volts_mv // 1_000_000
    if service_va is None:
        yield _unstated("C05", bus.id, "service_va", "the import limit against the service")
        return
    floor = bus.power_factor_permille
    bound_w = service_va * (1000 if floor is None else floor) // 1000
    over = circuit.import_limit_w > bound_w
    if floor is None and not over:
        why = f"{kilo(circuit.import_limit_w, 'W')} fits {kilo(service_va, 'VA')} at power factor 1 only"
        yield _unstated("C05", bus.id, "site.power_factor_floor_permille", why)
        return
    yield _judged(
        "C05",
        bus.id,
        "import",
        total=circuit.import_limit_w,
        bound=bound_w,
        unit="W",
        found=f"import limit {kilo(circuit.import_limit_w, 'W')}",
        bound_of=f"of {kilo(service_va, 'VA')} at power factor {(floor or 1000) / 1000:g}",
        action=f"import_limit_w: {bound_w} at {bus.id}",
    )


def _approved(bus: Bus) -> Iterator[RuleRow]:
    circuit = bus.circuit
    most_w = bus.output_w() + bus.give_back_w() - bus.load_min_w
    if bus.parent is not None and not circuit.HasField("approved_export_w"):
        return
    if not circuit.HasField("approved_export_w"):
        if most_w > 0:
            why = f"up to {kilo(most_w, 'W')} of PV, batteries and V2X could be exported"
            yield _unstated("C06", bus.id, "approved_export_w", why)
        return
    limited = circuit.HasField("export_limit_w")
    export_w = circuit.export_limit_w if limited else max(0, most_w)
    yield _judged(
        "C06",
        bus.id,
        "export",
        total=export_w,
        bound=circuit.approved_export_w,
        unit="W",
        found=f"export limit {kilo(export_w, 'W')}" if limited else f"no export limit; {kilo(export_w, 'W')} could be",
        bound_of="approved",
        action=f"export_limit_w: {circuit.approved_export_w} at {bus.id}",
    )


def _curtailed(bus: Bus) -> Iterator[RuleRow]:
    circuit = bus.circuit
    connected_w = bus.output_w() + bus.give_back_w()
    if not circuit.HasField("export_limit_w") or not connected_w:
        return
    fixed = [device for device in bus.devices if not device.curtailable]
    fixed_w = sum(device.output_max_w for device in fixed) + bus.give_back_w() - bus.load_min_w
    names = ", ".join(device.id for device in fixed) or "PV and batteries that can be commanded"
    yield _judged(
        "C07",
        bus.id,
        "export",
        total=fixed_w,
        bound=circuit.export_limit_w,
        unit="W",
        found=f"{kilo(connected_w, 'W')} connected, {kilo(max(0, fixed_w), 'W')} of it net that nobody can curtail",
        bound_of="export_limit_w",
        action=f"make them controllable: {names}",
    )


def _promised(config: DgmConfig) -> Iterator[RuleRow]:
    batteries = [asset for asset in config.assets if asset.type == AssetType.ASSET_TYPE_BATTERY]
    if not config.site.HasField("dr_promise"):
        if batteries:
            yield _unstated("C08", config.site.id, "site.dr_promise", "the batteries against a demand response promise")
        return
    promise = config.site.dr_promise
    usable_wh = sum(one.energy_wh * (one.soc_max_permille - one.soc_min_permille) // 1000 for one in batteries)
    promised_wh = -(-promise.power_w * promise.duration_s // 3600)
    power_w = sum(one.power_max_w for one in batteries)
    holds = promised_wh <= usable_wh and promise.power_w <= power_w
    hours = f"{promise.duration_s / 3600:g} h"
    yield RuleRow(
        rule="C08",
        state=State.HOLDS if holds else State.WARNING,
        where=config.site.id,
        side="import",
        found=f"{kilo(power_w, 'W')}, {kilo(usable_wh, 'Wh')} usable",
        expected=f"{kilo(promise.power_w, 'W')} x {hours} = {kilo(promised_wh, 'Wh')} at least",
        action="" if holds else "promise less, widen soc_min_permille..soc_max_permille, or let EVs carry the rest",
        excess=excess(promised_wh, usable_wh),
    )


def _minimums(bus: Bus, config: DgmConfig) -> Iterator[RuleRow]:
    if not bus.circuit.HasField("current_limit_ma") or not bus.evses:
        return
    room_ma = max(0, bus.circuit.current_limit_ma - bus.load_ma)
    for phase in PHASES:
        floors = sorted(evse.current_min_ma for evse in bus.evses if phase in evse.phases)
        if not floors:
            continue
        fits = sum(1 for at in range(len(floors)) if sum(floors[: at + 1]) <= room_ma)
        turns = f"{fits} at a time, each waits {config.ems.rotation_ms / 60_000:g} min at most"
        found = f"{len(floors)} x minimum = {kilo(sum(floors), 'mA')}"
        yield RuleRow(
            rule="C09",
            state=State.HOLDS if fits else State.WARNING,
            where=bus.id,
            side="import " + _name(phase),
            found=found if fits == len(floors) else f"{found}: {turns}",
            expected=f"{kilo(room_ma, 'mA')} beside the most uncontrolled load, or turns",
            action="" if fits else "not one car can charge at the worst: less max_uncontrolled_w or a higher limit",
            excess=excess(sum(floors), room_ma),
        )


def _judged(
    rule: str,
    where: str,
    side: str,
    *,
    total: int,
    bound: int,
    unit: str,
    found: str,
    bound_of: str,
    action: str,
    otherwise: State = State.BROKEN,
) -> RuleRow:
    holds = total <= bound
    return RuleRow(
        rule=rule,
        state=State.HOLDS if holds else otherwise,
        where=where,
        side=side,
        found=found,
        expected=f"{kilo(bound, unit)} at most ({bound_of})",
        action="" if holds else action,
        excess=excess(total, bound),
    )


def _unstated(rule: str, where: str, key: str, what: str) -> RuleRow:
    return RuleRow(rule=rule, state=State.UNSTATED, where=where, found=what, expected=key, action=f"state {key}")


def _name(phase: int) -> str:
    return Phase.Name(Phase.ValueType(phase)).removeprefix("PHASE_")
