"""From what is seen and foreseen to a Problem: what the plan has to serve, within which limits, at which prices.

    Snapshot (needs, batteries, limits, prices) + Outlook (load, sun) + facts of site.yaml ──compose──> Problem

A limit that begins or ends within a step binds all of it, and so do the lasting caps of the site's other policies. A
car whose need nobody stated is load that stays for an hour. Circuits below the connection point give their cars what
the most uncontrolled load leaves. What is unbalanced between the conductors now is expected to stay so. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from dgm.api.config.v1.config_pb2 import DgmConfig
from dgm.api.ems.v1.ems_pb2 import Quantity
from dgm.ems.flexibility import Store
from dgm.ems.ledger import after_margin, price_at, watts
from dgm.ems.planner.opportunity import costs_of, left_price
from dgm.ems.planner.problem import Battery, Car, Feeder, Problem
from dgm.ems.snapshot import EvseView, LimitView, Price, Snapshot
from dgm.site.bus import buses
from dgm.site.topology import Topology

STEP_MS = 900_000
UNSTATED_MS = 3_600_000
"""So long a car without a stated need is expected to go on as it does."""

ONE_PRICE = 100
"""Per MWh where nobody states a price: what is minimised is then energy."""

POWER_MAX_W = 1_000_000_000

UNBALANCE_TRUST = 0.15
"""Currents times nominal voltage may differ so much from the measured power: beyond it not all conductors import."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prices:
    """What site.yaml says of money, of the site's currency. per MWh; peak: per MW above peak_w."""

    export_price: int = 0
    wear_price: int = 20
    peak_price: int = 0
    peak_w: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Circuit:
    """A circuit below the connection point: its own limits (None: no bound), and its most uncontrolled load."""

    power_w: int | None
    current_ma: int | None
    load_w: int
    load_ma: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What does not change while the site runs. current_max_ma: per phase of the connection point.

    circuits: those below it that have cars.
    """

    stores: Mapping[str, Store]
    import_max_w: int
    export_max_w: int
    current_max_ma: int
    circuits: Mapping[int, Circuit]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlook:
    """W per step: the building's load, and what PV could give."""

    load_w: Sequence[int]
    solar_w: Sequence[int]


def facts_of(config: DgmConfig, topology: Topology, stores: Mapping[str, Store]) -> Facts:
    """The facts of an accepted configuration."""
    root = config.circuits[topology.root.index]
    service_w = watts(root.current_limit_ma, 3, topology.nominal_voltage_mv)
    circuits = {
        index: Circuit(
            power_w=bus.circuit.import_limit_w if bus.circuit.HasField("import_limit_w") else None,
            current_ma=bus.circuit.current_limit_ma if bus.circuit.HasField("current_limit_ma") else None,
            load_w=bus.load_max_w,
            load_ma=bus.load_ma,
        )
        for index, bus in enumerate(buses(config))
        if bus.circuit.parent
    }
    return Facts(
        stores=stores,
        import_max_w=after_margin(min(root.import_limit_w, service_w), root.margin_permille),
        export_max_w=root.export_limit_w if root.HasField("export_limit_w") else POWER_MAX_W,
        current_max_ma=after_margin(root.current_limit_ma, root.margin_permille),
        circuits=circuits,
    )


def compose(
    snapshot: Snapshot, outlook: Outlook, facts: Facts, prices: Prices, own_limits: Sequence[LimitView] = ()
) -> Problem:
    """The problem of the horizon that begins now. own_limits: what the site's other policies bound in that time."""
    begin_ms = snapshot.now.utc_ms
    starts = [begin_ms + step * STEP_MS for step in range(len(outlook.load_w))]
    stated = [view for view in snapshot.evses if view.has_car and view.planned is not None and view.planned.due_wh > 0]
    served = {view.asset.index for view in stated}
    others_w = sum(view.power_w or 0 for view in snapshot.evses if view.asset.index not in served)
    others = [others_w if start < begin_ms + UNSTATED_MS else 0 for start in starts]
    ahead = _Ahead(limits=(*snapshot.limits, *own_limits), starts=tuple(starts))
    root = snapshot.topology.root.index
    load_w = tuple(load_w + other_w for load_w, other_w in zip(outlook.load_w, others, strict=True))
    import_price = _import_prices(snapshot.prices, starts)
    batteries = tuple(_batteries(snapshot, facts))
    costs = costs_of(import_price, load_w, outlook.solar_w, export_price=prices.export_price)
    return Problem(
        utc_ms=begin_ms,
        step_ms=STEP_MS,
        nominal_voltage_mv=snapshot.topology.nominal_voltage_mv,
        load_w=load_w,
        solar_w=tuple(outlook.solar_w),
        import_max_w=ahead.bounds(root, Quantity.QUANTITY_NET_IMPORT, facts.import_max_w),
        export_max_w=ahead.bounds(root, Quantity.QUANTITY_NET_EXPORT, facts.export_max_w),
        import_price=import_price,
        export_price=(prices.export_price,) * len(starts),
        batteries=batteries,
        cars=tuple(_car(view, snapshot) for view in stated),
        feeders=tuple(_feeders(snapshot, stated, [one.asset_id for one in batteries], facts, ahead, others)),
        peak_w=max(0, prices.peak_w),
        peak_price=prices.peak_price,
        wear_price=prices.wear_price,
        left_price=left_price(costs, batteries, wear_price=prices.wear_price),
        phase_max_ma=ahead.bounds(root, Quantity.QUANTITY_CURRENT, facts.current_max_ma),
        unbalance_w=_unbalance(snapshot),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ahead:
    """Limits in force or to come, seen by the steps that begin at these instants."""

    limits: Sequence[LimitView]
    starts: tuple[int, ...]

    def bounds(self, circuit_index: int, quantity: Quantity, base: int) -> tuple[int, ...]:
        """The least bound of each step, at most base."""
        limits = [one for one in self.limits if (one.circuit_index, one.quantity) == (circuit_index, quantity)]
        return tuple(min([base, *(one.bound for one in limits if _touches(one, start))]) for start in self.starts)


def _touches(limit: LimitView, start_ms: int) -> bool:
    return limit.start_utc_ms < start_ms + STEP_MS and (limit.end_utc_ms is None or limit.end_utc_ms > start_ms)


def _unbalance(snapshot: Snapshot) -> tuple[int, int, int]:
    """W on each conductor beyond a third, of what is no car: as the meter shows it, while all three carry import."""
    net_w, volts = snapshot.net_w, snapshot.topology.nominal_voltage_mv / 1e6
    metered = [current_ma * volts for current_ma in snapshot.net_ma if current_ma is not None]
    if net_w is None or len(metered) != 3 or abs(sum(metered) - net_w) > UNBALANCE_TRUST * sum(metered):
        return (0, 0, 0)
    rest = list(metered)
    for view in snapshot.evses:
        for at, current_ma in enumerate(view.current_ma):
            rest[at] -= (current_ma or 0) * volts
    mean_w = sum(rest) / 3
    first, second, third = (max(0, round(one - mean_w)) for one in rest)
    return first, second, third


def _import_prices(prices: Sequence[Price], starts: Sequence[int]) -> tuple[int, ...]:
    return tuple(price_at(prices, start) for start in starts) if prices else (ONE_PRICE,) * len(starts)


def _batteries(snapshot: Snapshot, facts: Facts) -> Iterable[Battery]:
    """Those whose charge is seen; the others do as they do without a plan."""
    for view in snapshot.batteries:
        store = facts.stores.get(view.asset.id)
        if store is None or view.soc_permille is None:
            continue
        rated_w = view.asset.power_max_w or 0
        charge_max_w = view.asset.charge_max_w if view.asset.charge_max_w is not None else rated_w
        yield Battery(
            asset_id=view.asset.id,
            soc_wh=store.energy_wh * view.soc_permille // 1000,
            min_wh=store.energy_wh * store.soc_min_permille // 1000,
            max_wh=store.energy_wh * store.soc_max_permille // 1000,
            charge_max_w=charge_max_w,
            discharge_max_w=rated_w,
        )


def _car(view: EvseView, snapshot: Snapshot) -> Car:
    assert view.planned is not None, "only cars with a stated need"
    asset, voltage_mv = view.asset, snapshot.topology.nominal_voltage_mv
    most_ma = asset.current_max_ma or 0
    return Car(
        asset_id=asset.id,
        due_wh=view.planned.due_wh,
        departs_ms=max(0, view.planned.departure_utc_ms - snapshot.now.utc_ms),
        power_max_w=watts(most_ma, len(asset.phases), voltage_mv),
        phases=tuple(int(phase) for phase in asset.phases),
        power_min_w=watts(min(asset.current_min_ma, most_ma), len(asset.phases), voltage_mv),
    )


def _feeders(
    snapshot: Snapshot,
    stated: Sequence[EvseView],
    battery_ids: Sequence[str],
    facts: Facts,
    ahead: _Ahead,
    others_w: Sequence[int],
) -> Iterable[Feeder]:
    topology = snapshot.topology
    stores = [(at, asset) for at, one in enumerate(battery_ids) if (asset := topology.asset(one)) is not None]
    for circuit in topology.circuits:
        below = tuple(at for at, view in enumerate(stated) if circuit.index in topology.path_of(view.asset))
        gross = ahead.bounds(circuit.index, Quantity.QUANTITY_GROSS_LOAD, POWER_MAX_W)
        if circuit.parent_index is None:
            # Of the whole site: what is drawn by cars without a stated need is in it.
            gross = tuple(max(0, one - other) for one, other in zip(gross, others_w, strict=True))
            power_w, current_ma = gross, None
        else:
            own = facts.circuits[circuit.index]
            power_w = tuple(map(min, gross, _left(ahead, circuit.index, Quantity.QUANTITY_NET_IMPORT, own)))
            current_ma = _none_or(_left(ahead, circuit.index, Quantity.QUANTITY_CURRENT, own))
        batteries = tuple(at for at, asset in stores if circuit.index in topology.path_of(asset))
        bounded = _none_or(power_w)
        if (below or batteries) and (bounded is not None or current_ma is not None):
            yield Feeder(circuit_id=circuit.id, cars=below, power_w=bounded, current_ma=current_ma, batteries=batteries)


def _left(ahead: _Ahead, index: int, quantity: Quantity, own: Circuit) -> tuple[int, ...]:
    """What a circuit's own limit and those of others leave beside its most uncontrolled load."""
    is_current = quantity == Quantity.QUANTITY_CURRENT
    limit, load = (own.current_ma, own.load_ma) if is_current else (own.power_w, own.load_w)
    bounds = ahead.bounds(index, quantity, POWER_MAX_W if limit is None else limit)
    return tuple(one if one == POWER_MAX_W else max(0, one - load) for one in bounds)


def _none_or(bounds: tuple[int, ...]) -> tuple[int, ...] | None:
    """None where no step is bounded."""
    return bounds if min(bounds) < POWER_MAX_W // 2 else None
