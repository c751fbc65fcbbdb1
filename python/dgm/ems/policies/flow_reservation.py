"""Flow reservation: the group draws inside the blocks that were granted, and little outside.

    limits of the source (each a block: start, end, W) and windows of site.yaml ──> outside all of them: GROSS_LOAD cap

Inside a block its own limit binds, or the W of its window. The caps' failsafe is what holds outside.
"""

from __future__ import annotations

from dataclasses import dataclass

from dgm.api.ems.v1.ems_pb2 import Quantity
from dgm.ems.limit_rules import BOUND_MAX
from dgm.ems.policies.parameters import items, number, text
from dgm.ems.policies.windows import Window, priced
from dgm.ems.snapshot import LimitView, Snapshot
from dgm.ems.stack import Policy
from dgm.ems.steering import CircuitCap, Targets

BLOCK_EXPECTED = "like 'daily 01:00-06:00 120000': days, times, W"


def _block(text: str) -> Window:
    found = priced(text)
    if found.value is None or found.value < 0:
        raise ValueError(text)
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Params:
    """Of one group: the EVSEs and batteries below a circuit."""

    source: str = text("source of the limits that are blocks", default="utility:flow")
    blocks: tuple[Window, ...] = items("blocks by contract", expected=BLOCK_EXPECTED, parse=_block, default=())
    outside_w: int = number("W of the group outside all blocks", low=0, high=BOUND_MAX, default=0)
    circuit: str = text("the group: what stands below it", circuit=True, default="")


def decide(snapshot: Snapshot, params: Params) -> Targets:
    """One cap: that of the block, or that of the time between."""
    circuit = snapshot.topology.circuit(params.circuit) or snapshot.topology.root
    window = next((one for one in params.blocks if one.holds(snapshot.local)), None)
    granted = next((one for one in snapshot.limits if _is_block(one, params, circuit.index)), None)
    if granted is not None:
        bound_w, why = granted.bound, f"inside block {granted.id} of {params.source}: {granted.bound} W"
    elif window is not None:
        bound_w = window.value or 0
        why = f"inside block {window}"
    else:
        bound_w, why = params.outside_w, f"outside all blocks: {params.outside_w} W"
    cap = CircuitCap(
        key="block",
        circuit_index=circuit.index,
        quantity=Quantity.QUANTITY_GROSS_LOAD,
        bound=bound_w,
        failsafe=params.outside_w,
        why=why,
    )
    return Targets(circuit_caps=[cap])


def _is_block(limit: LimitView, params: Params, circuit_index: int) -> bool:
    return (
        limit.source == params.source
        and not limit.is_pending
        and limit.end_utc_ms is not None
        and limit.quantity == Quantity.QUANTITY_GROSS_LOAD
        and limit.circuit_index == circuit_index
    )


POLICY = Policy(
    name="flow_reservation",
    title="a group of EVSEs and batteries draws inside granted blocks, and little outside",
    params=Params,
    decide=decide,
)
