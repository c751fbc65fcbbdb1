"""The chain from an amp to its cause and to what came of it; a link that is missing is named, never left out.

    grant <─ want <─ row <─ limit <─ origin (mRID, CPO, operator, breaker)        why
    grant ─> message ─> proof ─> effect                                           what came of it

Puts into words what was decided, sent and measured elsewhere. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from dgm.api.core.v1.core_pb2 import AssetGrant, Row
from dgm.api.ems.v1.ems_pb2 import Cause, CauseKind, Effect, Limit, Outcome, OutcomeState, Quantity
from dgm.api.ems.v1.field_pb2 import FieldAuditEntry, SetpointVerdict
from dgm.ems.effect import Step
from dgm.ems.policy import Want
from dgm.machine import Now
from dgm.site.topology import AssetEntry, Topology

PROVED = (OutcomeState.OUTCOME_STATE_CONFIRMED, OutcomeState.OUTCOME_STATE_MEASURED)
CARRIED = (OutcomeState.OUTCOME_STATE_SENT, OutcomeState.OUTCOME_STATE_ACCEPTED)
CONTROLS = ("DERControl", "DefaultDERControl")

BOUND_NAMES = {
    Quantity.QUANTITY_NET_IMPORT: "import_limit_w",
    Quantity.QUANTITY_NET_EXPORT: "export_limit_w",
    Quantity.QUANTITY_CURRENT: "current_limit_ma",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """All that is known of one asset's setpoint. outcomes: newest first, ages as of now. put: the limit as it was put.

    target_source: who put the target that is wanted, empty: none. written: newest command to a Modbus device.
    """

    asset: AssetEntry
    grant: AssetGrant
    epoch: int
    want: Want | None
    row: Row | None
    limit: Limit | None
    put: Limit | None
    target_source: str
    outcomes: Sequence[Outcome]
    written: FieldAuditEntry | None
    step: Step | None


def chain(found: Found, topology: Topology, now: Now) -> list[Cause]:
    """Every link, the grant first, then why, then what came of it."""
    grant = found.grant
    value = grant.current_ma if found.asset.is_evse else grant.power_w
    granted = Cause(
        kind=CauseKind.CAUSE_KIND_GRANT,
        id=f"{found.epoch}/{grant.sequence}",
        text=f"{found.asset.id} is granted {amount(value, found.asset)}",
    )
    came_of_it = _of_evse(found) if found.asset.is_evse else _of_device(found, now)
    return [granted, _want(found), *_why(found, topology), *came_of_it, _effect(found, now)]


def effect_message(step: Step | None, now: Now) -> Effect | None:
    """The newest step for programs."""
    if step is None:
        return None
    return Effect(
        age_ms=max(0, now.mono_ms - step.at_ms),
        goal=step.goal,
        before=step.before,
        now=step.last,
        half_ms=step.half_ms,
        most_ms=step.most_ms,
    )


def amount(value: int, asset: AssetEntry) -> str:
    """A value of the asset's unit for people."""
    return f"{value / 1000:g} {'A' if asset.is_evse else 'kW'}"


def _link(kind: CauseKind, link_id: str, text: str, age_ms: int | None = None) -> Cause:
    return Cause(kind=kind, id=link_id, text=text, age_ms=age_ms)


def _want(found: Found) -> Cause:
    want = found.want
    if want is None or want.value is None:
        return _link(CauseKind.CAUSE_KIND_WANT, "", "what it wants is not known: no cycle has run yet")
    text = f"wanted {amount(want.value, found.asset)}: {want.text}"
    if found.target_source:
        return _link(CauseKind.CAUSE_KIND_WANT, want.target_id, f"{text}, put by {found.target_source}")
    return _link(CauseKind.CAUSE_KIND_WANT, "policy", text)


def _why(found: Found, topology: Topology) -> Iterator[Cause]:
    limit_id = found.grant.binding_limit_id
    if not limit_id:
        text = "no limit binds it: it has what it wants, or waits for its turn or for what others give up"
        yield _link(CauseKind.CAUSE_KIND_LIMIT, "none", text)
        return
    if found.row is not None:
        circuit = topology.circuits[found.row.circuit_index].id
        yield _link(CauseKind.CAUSE_KIND_ROW, circuit, _row_text(found.row, circuit))
    if found.limit is None:
        yield _link(CauseKind.CAUSE_KIND_LIMIT, "", f"limit {limit_id} bound it, and has ended since")
        return
    yield _link(CauseKind.CAUSE_KIND_LIMIT, limit_id, f"limit {limit_id} from {found.limit.source}")
    yield _origin(found.limit, found.put or found.limit)


def _row_text(row: Row, circuit: str) -> str:
    quantity = Quantity.Name(row.quantity).removeprefix("QUANTITY_")
    phase = f" L{row.phase}" if row.phase else ""
    unit = "A" if row.quantity == Quantity.QUANTITY_CURRENT else "kW"
    room = row.bound - row.uncontrolled + row.help - row.evse_counted
    figures = f"{row.bound / 1000:g} - {row.uncontrolled / 1000:g} uncontrolled + {row.help / 1000:g} help"
    counted = f" - {row.evse_counted / 1000:g} of EVSEs"
    return f"{quantity} of {circuit}{phase}: {figures}{counted} leaves {room / 1000:g} {unit}"


def _origin(limit: Limit, put: Limit) -> Cause:
    """Who wants the limit. put: as it was put; a lost limit's own reason tells of the loss instead."""
    kind, _, name = limit.source.partition(":")
    lost = f"; {limit.reason}" if put.reason != limit.reason else ""
    said = f": {put.reason}" if put.reason else ""
    origin = CauseKind.CAUSE_KIND_ORIGIN
    words = put.reason.split()
    match kind:
        case "site":
            what = BOUND_NAMES.get(limit.quantity, "its rating")
            named = "breaker or rating" if limit.quantity == Quantity.QUANTITY_CURRENT else "connection agreement"
            where = limit.circuit_id or limit.asset_id
            return _link(origin, where, f"{named} of {where}: {what} in site.yaml")
        case "utility" if len(words) > 1 and words[0] in CONTROLS:
            return _link(origin, words[1], f"{words[0]} {words[1]} of the utility, {' '.join(words[2:])}{lost}")
        case "cpo":
            return _link(origin, name, f"CPO {name}{said}{lost}")
        case "api":
            return _link(origin, name, f"operator or program {name} at the API{said}{lost}")
        case "policy":
            return _link(origin, name, f"policy {name} of site.yaml{said}{lost}")
        case "facade" | "ems-facade":
            return _link(origin, name, f"another EMS, {name}, at the Modbus facade{said}{lost}")
        case _:
            return _link(origin, limit.source, f"{limit.source}{said}{lost}")


def _of_evse(found: Found) -> Iterator[Cause]:
    of_this = [one for one in found.outcomes if one.sequence == found.grant.sequence and one.epoch == found.epoch]
    sent = next((one for one in of_this if one.state not in PROVED), None)
    proof = next((one for one in found.outcomes if one.state in PROVED), None)
    if sent is not None:
        word = OutcomeState.Name(sent.state).removeprefix("OUTCOME_STATE_").lower().replace("_", " ")
        evidence = _message_id(sent) if sent.state in CARRIED else sent.evidence
        text = f"charging profile {word}: {sent.evidence}"
        yield _link(CauseKind.CAUSE_KIND_MESSAGE, evidence, text, sent.age_ms)
    elif proof is not None and proof in of_this:
        yield _link(CauseKind.CAUSE_KIND_MESSAGE, "standing", "nothing was sent: the station holds it already")
    else:
        text = f"no message yet for setpoint {found.grant.sequence}: the station has not been heard, or its turn waits"
        yield _link(CauseKind.CAUSE_KIND_MESSAGE, "", text)
    yield _proof_of_evse(found, proof)


def _message_id(outcome: Outcome) -> str:
    return outcome.evidence.partition(":")[0]


def _proof_of_evse(found: Found, proof: Outcome | None) -> Cause:
    kind = CauseKind.CAUSE_KIND_PROOF
    if proof is None:
        counted = amount(found.grant.counted_ma, found.asset)
        return _link(kind, "", f"nothing is proved installed: counted at {counted} ({found.grant.counted_reason})")
    shown = "read back from the station" if proof.state == OutcomeState.OUTCOME_STATE_CONFIRMED else "seen in its draw"
    value = amount(proof.current_ma, found.asset)
    if proof.current_ma != found.grant.current_ma:
        older = f"still {value} from before, {shown} by {proof.evidence}; counted as {found.grant.counted_reason}"
        return _link(kind, "", older, proof.age_ms)
    return _link(kind, proof.evidence, f"{value} {shown} by {proof.evidence}", proof.age_ms)


def _of_device(found: Found, now: Now) -> Iterator[Cause]:
    written = found.written
    if written is None:
        text = "no command has ended yet: see `dgm audit` and the line of the device"
        yield _link(CauseKind.CAUSE_KIND_MESSAGE, "", text)
        return
    number = f"write {written.number}"
    age_ms = max(0, now.utc_ms - written.time_utc_ms)
    verdict = SetpointVerdict.Name(written.verdict).removeprefix("SETPOINT_VERDICT_").lower()
    blocks = ", ".join(f"{len(block.words)} registers at {block.address}" for block in written.written)
    value = amount(written.power_w, found.asset)
    yield _link(CauseKind.CAUSE_KIND_MESSAGE, number, f"{value} written: {blocks or 'nothing'}", age_ms)
    confirmed = written.verdict == SetpointVerdict.SETPOINT_VERDICT_CONFIRMED
    times = f", {written.times} times" if written.times > 1 else ""
    yield _link(CauseKind.CAUSE_KIND_PROOF, number if confirmed else "", f"{verdict}{times}", age_ms)


def _effect(found: Found, now: Now) -> Cause:
    step, kind = found.step, CauseKind.CAUSE_KIND_EFFECT
    if step is None or step.last is None:
        return _link(kind, "", "nothing has been measured at it since it was granted")
    seen = f"measured {amount(step.last, found.asset)}"
    before = "" if step.before is None else f", {amount(step.before, found.asset)} when it was granted"
    times = [
        f"{name} after {value / 1000:g} s" for name, value in (("half", step.half_ms), ("90 %", step.most_ms)) if value
    ]
    return _link(kind, "meter", "; ".join([seen + before, *times]), max(0, now.mono_ms - step.at_ms))
