"""Self-consumption: the sun first, then the battery, then the grid.

    PV - building ──> cars (evse: surplus) ──> battery charges the rest; a load that is left ──> battery gives, grid
    last

A car in a slot of its promised plan is served whatever the sun does.
"""

from __future__ import annotations

from dataclasses import dataclass

from dgm.api.ems.v1.ems_pb2 import Quantity
from dgm.ems.ledger import watts
from dgm.ems.limit_rules import BOUND_MAX
from dgm.ems.policies.parameters import flag, number, text
from dgm.ems.policies.storage import STEP_W, serve
from dgm.ems.snapshot import EvseView, Snapshot
from dgm.ems.stack import Policy
from dgm.ems.steering import CircuitCap, Targets


@dataclass(frozen=True, slots=True, kw_only=True)
class Params:
    """evse: free: cars are not held to the sun; surplus: they are."""

    battery: bool = flag("batteries serve the load and take what is over", default=True)
    reserve_permille: int = number(
        "state of charge below which no battery serves the load", low=0, high=1000, default=200
    )
    evse: str = text(
        "cars charge as they like, or from what the sun leaves over", choices=("free", "surplus"), default="free"
    )
    grid_w: int = number(
        "with surplus: W that cars may take from the grid all the same", low=0, high=BOUND_MAX, default=0
    )
    keeps_minimum: bool = flag("with surplus: every car may have its minimum current at any time", default=False)


def decide(snapshot: Snapshot, params: Params) -> Targets:
    """What batteries want, and what cars may take."""
    wants = []
    if params.battery:
        why = f"net {snapshot.net_w} W, batteries {snapshot.storage_w} W: own generation first"
        wants = serve(snapshot, reserve_permille=params.reserve_permille, charges=True, why=why)
    caps = [_surplus_cap(snapshot, params)] if params.evse == "surplus" else []
    return Targets(wants=wants, circuit_caps=caps)


def _surplus_cap(snapshot: Snapshot, params: Params) -> CircuitCap:
    """Cars together, batteries included: not seen counts as no sun."""
    solar_w, building_w = snapshot.solar_w, snapshot.building_w
    over_w = 0 if solar_w is None or building_w is None else max(0, solar_w - building_w)
    floor_w = sum(_entitled(view, snapshot, params) for view in snapshot.evses)
    return CircuitCap(
        key="surplus",
        circuit_index=snapshot.topology.root.index,
        quantity=Quantity.QUANTITY_GROSS_LOAD,
        bound=max(over_w // STEP_W * STEP_W + params.grid_w, floor_w),
        lasting=BOUND_MAX,
        why=f"the sun leaves {over_w} W, the grid may give {params.grid_w} W, cars are entitled to {floor_w} W",
    )


def _entitled(view: EvseView, snapshot: Snapshot, params: Params) -> int:
    planned_ma = 0 if view.planned is None else view.planned.now_ma
    least_ma = view.asset.current_min_ma if params.keeps_minimum or planned_ma else 0
    most_ma = max(planned_ma, least_ma)
    if not view.has_car or not most_ma:
        return 0
    # A watt more than its current: a bound that was rounded down would cost the car a whole step.
    return watts(most_ma, len(view.asset.phases), snapshot.topology.nominal_voltage_mv) + 1


POLICY = Policy(
    name="self_consumption",
    title="own generation first: batteries serve the load, cars may be held to what the sun leaves",
    params=Params,
    decide=decide,
)
