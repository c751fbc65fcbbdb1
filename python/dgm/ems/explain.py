"""Why an asset has its setpoint: the chain from an amp to its cause, in the order in which it was decided.

    want + rows above the asset + newest Decision + Outcomes + effect ──explain──> ExplainDecisionResponse

Explains what the core decided; decides nothing and recomputes nothing but the room left in a row.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from dgm.api.core.v1.core_pb2 import AssetGrant, Decision, Row
from dgm.api.ems.v1.ems_pb2 import ExplainDecisionResponse, Limit, Outcome, Quantity, RowExplanation, Setpoint
from dgm.api.ems.v1.field_pb2 import FieldAuditEntry
from dgm.ems.chain import Found, chain, effect_message
from dgm.ems.effect import Step
from dgm.ems.limit_status import shown
from dgm.ems.limits import Entry
from dgm.ems.policy import Want
from dgm.machine import Now
from dgm.site.topology import AssetEntry, Topology

CONFIGURED = "site:"
"""What the core calls limits of the configuration begins so."""


def explain(
    asset: AssetEntry,
    grant: AssetGrant,
    decision: Decision,
    *,
    topology: Topology,
    entry_of: Callable[[str], Entry | None],
    want: Want | None,
    outcomes: Iterable[Outcome],
    ttl_ms: int,
    target_source: str,
    written: FieldAuditEntry | None,
    step: Step | None,
    now: Now,
) -> ExplainDecisionResponse:
    """The chain for one controlled asset. outcomes: newest first, ages as of now. ttl_ms: lease of an EVSE setpoint.

    target_source: who put the target that is wanted; written: newest command to a Modbus device; step: newest effect.
    """
    outcomes = list(outcomes)
    entry = entry_of(grant.binding_limit_id) if grant.binding_limit_id else None
    binding_row = _binding_row(grant, decision.rows)
    limit = _binding_limit(grant.binding_limit_id, binding_row, entry_of, topology)
    answer = ExplainDecisionResponse(
        setpoint=_setpoint(asset, grant, decision, ttl_ms),
        summary=summary(asset, grant, want, limit, binding_row, topology),
        binding_limit=limit,
        binding_circuit_id=_circuit_id(binding_row, limit, topology),
        rows=[_row_explanation(row, topology) for row in rows_above(asset, decision.rows, topology)],
        want_reason="" if want is None else want.text,
        outcomes=outcomes,
        effect=effect_message(step, now),
    )
    found = Found(
        asset=asset,
        grant=grant,
        epoch=decision.epoch,
        want=want,
        row=binding_row,
        limit=limit,
        put=None if entry is None else entry.limit,
        target_source=target_source,
        outcomes=outcomes,
        written=written,
        step=step,
    )
    answer.chain.extend(chain(found, topology, now))
    if asset.is_evse:
        answer.counted_ma = grant.counted_ma
        answer.counted_reason = grant.counted_reason
    if want is not None and want.value is not None:
        setattr(answer, "want_ma" if asset.is_evse else "want_w", want.value)
    return answer


def rows_above(asset: AssetEntry, rows: Sequence[Row], topology: Topology) -> list[Row]:
    """Rows that the asset is part of: circuits above it, the connection point first, and its own phases only."""
    path = topology.path_of(asset)
    own = [row for row in rows if row.circuit_index in path and (row.phase == 0 or row.phase in asset.phases)]
    return sorted(own, key=lambda row: path.index(row.circuit_index))


def summary(
    asset: AssetEntry,
    grant: AssetGrant,
    want: Want | None,
    limit: Limit | None,
    row: Row | None,
    topology: Topology,
) -> str:
    """One sentence for people."""
    granted = _amount(grant.current_ma, amps=True) if asset.is_evse else _amount(grant.power_w, amps=False)
    wanted = "" if want is None or want.value is None else f" of {_amount(want.value, amps=asset.is_evse)} wanted"
    head = f"{asset.id} is granted {granted}{wanted}"
    if limit is None:
        return f"{head}: no limit binds it; {want.text if want is not None else 'nothing is known of its want'}."
    phase = f" on L{row.phase}" if row is not None and row.phase else ""
    where = _circuit_id(row, limit, topology) or limit.asset_id
    quantity = Quantity.Name(limit.quantity).removeprefix("QUANTITY_")
    bound = _amount(row.bound, amps=limit.quantity == Quantity.QUANTITY_CURRENT) if row is not None else "its bound"
    return f"{head}: limit {limit.id} from {limit.source} holds {quantity} of {where}{phase} to {bound}."


def _amount(value: int, *, amps: bool) -> str:
    return f"{value / 1000:g} A" if amps else f"{value / 1000:g} kW"


def _setpoint(asset: AssetEntry, grant: AssetGrant, decision: Decision, ttl_ms: int) -> Setpoint:
    return Setpoint(
        asset_id=asset.id,
        epoch=decision.epoch,
        sequence=grant.sequence,
        power_w=grant.power_w if grant.HasField("power_w") else None,
        current_ma=grant.current_ma if grant.HasField("current_ma") else None,
        binding_limit_id=grant.binding_limit_id,
        ttl_ms=ttl_ms if asset.is_evse else 0,
        safety=grant.safety,
    )


def _binding_row(grant: AssetGrant, rows: Sequence[Row]) -> Row | None:
    if not grant.HasField("binding_row") or not 0 <= grant.binding_row < len(rows):
        return None
    return rows[grant.binding_row]


def _binding_limit(
    limit_id: str, row: Row | None, entry_of: Callable[[str], Entry | None], topology: Topology
) -> Limit | None:
    """The limit or the cap of a policy of that id, or, for one of the configuration, what its row says of it."""
    entry = entry_of(limit_id) if limit_id else None
    if entry is not None:
        return shown(entry)
    if row is None or not limit_id.startswith(CONFIGURED):
        return None  # one that was put and has ended since
    limit = Limit(id=limit_id, source="site", quantity=row.quantity, reason="configured")
    limit.circuit_id = topology.circuits[row.circuit_index].id
    if row.quantity == Quantity.QUANTITY_CURRENT:
        limit.current_ma = row.bound
    else:
        limit.power_w = row.bound
    return limit


def _circuit_id(row: Row | None, limit: Limit | None, topology: Topology) -> str:
    if row is not None:
        return topology.circuits[row.circuit_index].id
    return "" if limit is None else limit.circuit_id


def _row_explanation(row: Row, topology: Topology) -> RowExplanation:
    return RowExplanation(
        circuit_id=topology.circuits[row.circuit_index].id,
        quantity=row.quantity,
        phase=f"L{row.phase}" if row.phase else "",
        bound=row.bound,
        limit_id=row.limit_id,
        uncontrolled=row.uncontrolled,
        help=row.help,
        evse_counted=row.evse_counted,
        room=row.bound - row.uncontrolled + row.help - row.evse_counted,
    )
