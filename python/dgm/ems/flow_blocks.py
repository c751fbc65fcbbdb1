"""Blocks of charging that were granted ahead of time, as their sources stated them last.

    PutFlowBlocks (der role, broker) ──> BlockBook ──> Snapshot.blocks ──> policy `flow_reservation`, planner

A block is a permission for plans: what binds while it is in force is a limit. Not journaled: whoever states blocks
states them again when the EMS has come back. Pure.
"""

from __future__ import annotations

from collections.abc import Sequence

from dgm.api.ems.v1.policy_pb2 import FlowBlock, PutFlowBlocksRequest, PutFlowBlocksResponse
from dgm.ems.limit_rules import BOUND_MAX, ID_LENGTH_MAX, invalid, out_of_range
from dgm.ems.snapshot import Block
from dgm.machine import Now
from dgm.site.refusal import Reason, Refusal
from dgm.site.topology import Topology

SOURCES = ("utility", "api")
SOURCES_MAX = 8
BLOCKS_MAX = 200
DURATION_MS_MAX = 7 * 86_400_000
ENERGY_WH_MAX = 10**9


class BlockBook:
    """Blocks by source."""

    def __init__(self, topology: Topology) -> None:
        self._topology = topology
        self._held: dict[str, tuple[Block, ...]] = {}

    def put(self, request: PutFlowBlocksRequest, now: Now) -> PutFlowBlocksResponse | Refusal:
        """Replace the blocks of a source."""
        kind, _, name = request.source.partition(":")
        if kind not in SOURCES or not 0 < len(name) <= ID_LENGTH_MAX:
            return invalid("source", repr(request.source), f"one of {', '.join(SOURCES)}, then ':' and a name")
        if request.source not in self._held and len(self._held) >= SOURCES_MAX:
            message = f"{SOURCES_MAX} sources have stated blocks already"
            return Refusal(reason=Reason.TOO_MANY, message=message, field="source")
        circuit = self._topology.circuit(request.circuit_id) if request.circuit_id else self._topology.root
        if circuit is None:
            return invalid("circuit_id", repr(request.circuit_id), "a circuit of the site, or nothing")
        refusal = _check(request.blocks)
        if refusal is not None:
            return refusal
        blocks = [_block(one, request.source, circuit.index) for one in request.blocks]
        self._held[request.source] = tuple(block for block in blocks if block.end_utc_ms > now.utc_ms)
        held = len(self._held[request.source])
        if not held:
            del self._held[request.source]
        return PutFlowBlocksResponse(held=held)

    def blocks(self, now: Now) -> tuple[Block, ...]:
        """Those that are not over, by source, then as stated."""
        if not self._held:
            return ()
        return tuple(
            block for source in sorted(self._held) for block in self._held[source] if block.end_utc_ms > now.utc_ms
        )


def _check(blocks: Sequence[FlowBlock]) -> Refusal | None:
    if len(blocks) > BLOCKS_MAX:
        return out_of_range("blocks", len(blocks), f"at most {BLOCKS_MAX}")
    for index, block in enumerate(blocks):
        where = f"blocks[{index}]"
        if not 0 < len(block.id) <= ID_LENGTH_MAX:
            return invalid(f"{where}.id", repr(block.id), f"1..{ID_LENGTH_MAX} characters")
        if block.start_utc_ms <= 0:
            return out_of_range(f"{where}.start_utc_ms", block.start_utc_ms, "a time in UTC ms")
        if not 0 < block.duration_ms <= DURATION_MS_MAX:
            return out_of_range(f"{where}.duration_ms", block.duration_ms, f"1..{DURATION_MS_MAX} ms")
        if not 0 <= block.power_w <= BOUND_MAX:
            return out_of_range(f"{where}.power_w", block.power_w, f"0..{BOUND_MAX} W: a block is for charging")
        if block.HasField("energy_wh") and not 0 < block.energy_wh <= ENERGY_WH_MAX:
            return out_of_range(f"{where}.energy_wh", block.energy_wh, f"1..{ENERGY_WH_MAX} Wh, or absent")
    return None


def _block(stated: FlowBlock, source: str, circuit_index: int) -> Block:
    return Block(
        id=stated.id,
        source=source,
        circuit_index=circuit_index,
        start_utc_ms=stated.start_utc_ms,
        end_utc_ms=stated.start_utc_ms + stated.duration_ms,
        power_w=stated.power_w,
        energy_wh=stated.energy_wh if stated.HasField("energy_wh") else None,
    )
