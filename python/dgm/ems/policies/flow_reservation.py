"""Flow reservation: the group draws inside the blocks that were granted, and little outside.

    granted blocks (PutFlowBlocks), limits of that name, windows of site.yaml ──> outside all of them: GROSS_LOAD cap
                                                         └──> what plans may count on for the next two days

Inside a block its own limit binds, or the W of the block or window. The caps' failsafe is what holds outside.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from dgm.api.ems.v1.ems_pb2 import Quantity
from dgm.ems.calendar import local_at
from dgm.ems.limit_rules import BOUND_MAX
from dgm.ems.policies.parameters import items, number, text
from dgm.ems.policies.windows import Window, priced
from dgm.ems.snapshot import Block, LimitView, Snapshot
from dgm.ems.stack import Policy
from dgm.ems.steering import CircuitCap, Span, Targets

BLOCK_EXPECTED = "like 'daily 01:00-06:00 120000': days, times, W"

SLOT_MS = 900_000
AHEAD_SLOTS = 192
"""Two days of quarter hours: as far as a plan looks."""


def _block(text: str) -> Window:
    found = priced(text)
    if found.value is None or found.value < 0:
        raise ValueError(text)
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Params:
    """Of one group: the EVSEs and batteries below a circuit."""

    limit: str = text("id or source of the limits that are blocks", default="utility:flowReservation")
    blocks: tuple[Window, ...] = items("blocks by contract", expected=BLOCK_EXPECTED, parse=_block, default=())
    outside_w: int = number("W of the group outside all blocks", low=0, high=BOUND_MAX, default=0)
    circuit: str = text("the group: what stands below it", circuit=True, default="")


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """The spans to come, and what they were made from: the quarter hour and the blocks."""

    made_from: tuple[int, tuple[Block, ...]]
    spans: tuple[Span, ...]


def decide(snapshot: Snapshot, params: Params) -> Targets:
    """One cap: that of the block, or that of the time between."""
    circuit = snapshot.topology.circuit(params.circuit) or snapshot.topology.root
    blocks = tuple(one for one in snapshot.blocks if one.circuit_index == circuit.index)
    bound_w, why = _now(snapshot, params, circuit.index, blocks)
    memory = _followed(snapshot, params, blocks)
    cap = CircuitCap(
        key="block",
        circuit_index=circuit.index,
        quantity=Quantity.QUANTITY_GROSS_LOAD,
        bound=bound_w,
        failsafe=params.outside_w,
        lasting=params.outside_w,
        ahead=memory.spans,
        why=why,
    )
    return Targets(circuit_caps=[cap], memory=memory)


def _now(snapshot: Snapshot, params: Params, circuit_index: int, blocks: tuple[Block, ...]) -> tuple[int, str]:
    granted = next((one for one in snapshot.limits if _is_block(one, params, circuit_index)), None)
    if granted is not None:
        why = f"inside block {granted.id} ({granted.reason or granted.source}): {granted.bound} W"
        return granted.bound, why
    running = [one for one in blocks if one.start_utc_ms <= snapshot.now.utc_ms < one.end_utc_ms]
    if running:
        bound_w = min(BOUND_MAX, sum(one.power_w for one in running))
        return bound_w, f"inside block {running[0].id} ({running[0].source}): {bound_w} W"
    window = next((one for one in params.blocks if one.holds(snapshot.local)), None)
    if window is not None:
        return window.value or 0, f"inside block {window}"
    return params.outside_w, f"outside all blocks: {params.outside_w} W"


def _followed(snapshot: Snapshot, params: Params, blocks: tuple[Block, ...]) -> Memory:
    """The spans of the blocks to come; made anew each quarter hour and when blocks change."""
    made_from = (snapshot.now.utc_ms // SLOT_MS, blocks)
    held = snapshot.memory
    if isinstance(held, Memory) and held.made_from == made_from:
        return held
    return Memory(made_from=made_from, spans=tuple(_merged(_spans(snapshot, params, blocks))))


def _spans(snapshot: Snapshot, params: Params, blocks: tuple[Block, ...]) -> Iterator[Span]:
    """Between two instants at which anything begins or ends nothing changes."""
    first_ms = snapshot.now.utc_ms // SLOT_MS * SLOT_MS
    edges = {first_ms + slot * SLOT_MS for slot in range(AHEAD_SLOTS + 1)} if params.blocks else set()
    edges |= {edge for one in blocks for edge in (max(one.start_utc_ms, first_ms), one.end_utc_ms) if edge >= first_ms}
    ordered = sorted(edges)
    for start, end in pairwise(ordered):
        granted = [one.power_w for one in blocks if one.start_utc_ms <= start < one.end_utc_ms]
        local = local_at(start, snapshot.offset)
        contracted = [one.value or 0 for one in params.blocks if one.holds(local)][:1]
        if granted or contracted:
            bound = min(BOUND_MAX, sum(granted)) if granted else contracted[0]
            yield Span(start_utc_ms=start, end_utc_ms=end, bound=bound)


def _merged(spans: Iterator[Span]) -> list[Span]:
    found: list[Span] = []
    for span in spans:
        if found and (found[-1].end_utc_ms, found[-1].bound) == (span.start_utc_ms, span.bound):
            span = Span(start_utc_ms=found.pop().start_utc_ms, end_utc_ms=span.end_utc_ms, bound=span.bound)
        found.append(span)
    return found


def _is_block(limit: LimitView, params: Params, circuit_index: int) -> bool:
    return (
        params.limit in (limit.id, limit.source)
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
