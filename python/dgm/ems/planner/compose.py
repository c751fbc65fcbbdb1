"""From what is seen and foreseen to a Problem: what the plan has to serve, within which limits, at which prices.

    Snapshot (needs, batteries, limits, prices) + Outlook (load, sun) + facts of site.yaml ──compose──> Problem

A limit that begins or ends within a step binds all of it. A car whose need nobody stated is load that stays for an
hour. Circuits below the connection point give their cars what the most uncontrolled load leaves. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from dgm.api.config.v1.config_pb2 import DgmConfig
from dgm.api.ems.v1.ems_pb2 import Quantity
from dgm.ems.flexibility import Store
from dgm.ems.ledger import after_margin, price_at, watts
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Prices:
    """What site.yaml says of money, of the site's currency. per MWh; peak: per MW above peak_w."""

    export_price: int = 0
    wear_price: int = 20
    peak_price: int = 0
    peak_w: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What does not change while the site runs. free: of each circuit, W and mA per phase for cars (None: no bound)."""

    stores: Mapping[str, Store]
    import_max_w: int
    export_max_w: int
    free: Mapping[int, tuple[int | None, int | None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlook:
    """W per step: the building's load, and what PV could give."""

    load_w: Sequence[int]
    solar_w: Sequence[int]


def facts_of(config: DgmConfig, topology: Topology, stores: Mapping[str, Store]) -> Facts:
    """The facts of an accepted configuration."""
    root = config.circuits[topology.root.index]
    service_w = watts(root.current_limit_ma, 3, topology.nominal_voltage_mv)
    free: dict[int, tuple[int | None, int | None]] = {}
    for index, bus in enumerate(buses(config)):
        circuit = bus.circuit
        if not circuit.parent:
            continue
        power_w = max(0, circuit.import_limit_w - bus.load_max_w) if circuit.HasField("import_limit_w") else None
        limited = circuit.HasField("current_limit_ma")
        free[index] = power_w, max(0, circuit.current_limit_ma - bus.load_ma) if limited else None
    return Facts(
        stores=stores,
        import_max_w=after_margin(min(root.import_limit_w, service_w), root.margin_permille),
        export_max_w=root.export_limit_w if root.HasField("export_limit_w") else POWER_MAX_W,
        free=free,
    )


def compose(snapshot: Snapshot, outlook: Outlook, facts: Facts, prices: Prices) -> Problem:
    """The problem of the horizon that begins now."""
    begin_ms = snapshot.now.utc_ms
    starts = [begin_ms + step * STEP_MS for step in range(len(outlook.load_w))]
    stated = [view for view in snapshot.evses if view.has_car and view.planned is not None and view.planned.due_wh > 0]
    served = {view.asset.index for view in stated}
    others_w = sum(view.power_w or 0 for view in snapshot.evses if view.asset.index not in served)
    return Problem(
        utc_ms=begin_ms,
        step_ms=STEP_MS,
        nominal_voltage_mv=snapshot.topology.nominal_voltage_mv,
        load_w=tuple(
            load_w + (others_w if start < begin_ms + UNSTATED_MS else 0)
            for start, load_w in zip(starts, outlook.load_w, strict=True)
        ),
        solar_w=tuple(outlook.solar_w),
        import_max_w=_bounds(snapshot, Quantity.QUANTITY_NET_IMPORT, facts.import_max_w, starts),
        export_max_w=_bounds(snapshot, Quantity.QUANTITY_NET_EXPORT, facts.export_max_w, starts),
        import_price=_import_prices(snapshot.prices, starts),
        export_price=(prices.export_price,) * len(starts),
        batteries=tuple(_batteries(snapshot, facts)),
        cars=tuple(_car(view, snapshot) for view in stated),
        feeders=tuple(_feeders(stated, facts, snapshot.topology)),
        peak_w=max(0, prices.peak_w),
        peak_price=prices.peak_price,
        wear_price=prices.wear_price,
    )


def _bounds(snapshot: Snapshot, quantity: Quantity, base_w: int, starts: Sequence[int]) -> tuple[int, ...]:
    root = snapshot.topology.root.index
    limits = [one for one in snapshot.limits if one.circuit_index == root and one.quantity == quantity]
    return tuple(min([base_w, *(one.bound for one in limits if _touches(one, start))]) for start in starts)


def _touches(limit: LimitView, start_ms: int) -> bool:
    return limit.start_utc_ms < start_ms + STEP_MS and (limit.end_utc_ms is None or limit.end_utc_ms > start_ms)


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
    asset = view.asset
    return Car(
        asset_id=asset.id,
        due_wh=view.planned.due_wh,
        departs_ms=max(0, view.planned.departure_utc_ms - snapshot.now.utc_ms),
        power_max_w=watts(asset.current_max_ma or 0, len(asset.phases), snapshot.topology.nominal_voltage_mv),
        phases=tuple(int(phase) for phase in asset.phases),
    )


def _feeders(stated: Sequence[EvseView], facts: Facts, topology: Topology) -> Iterable[Feeder]:
    for index, (power_w, current_ma) in facts.free.items():
        below = tuple(at for at, view in enumerate(stated) if index in topology.path_of(view.asset))
        if below and (power_w is not None or current_ma is not None):
            circuit_id = topology.circuits[index].id
            yield Feeder(circuit_id=circuit_id, cars=below, power_w=power_w, current_ma=current_ma)
