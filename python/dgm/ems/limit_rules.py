"""What a Limit must be to be accepted, and what is changed in it before it is.

    Limit as asked ──check_limit──> Refusal, or ──clamped──> Limit as accepted + the reasons for the difference

A clamp never loosens: what could only be made to fit by ending earlier or bounding less is refused instead. Whose limit
it is, and whether there is room for it, is the LimitBook's business.
"""

from __future__ import annotations

from collections.abc import Sequence

from dgm.api.ems.v1.ems_pb2 import Limit, Quantity
from dgm.site.refusal import Reason, Refusal
from dgm.site.topology import Topology

TTL_MS_MIN = 1000
"""A shorter lease is lengthened to this: it could end between two cycles without ever having been in force."""

TTL_MS_MAX = 366 * 86_400_000
"""A longer lease is refused: shortening it would end a limit before its source meant it to."""

RAMP_MS_MAX = 3_600_000
ID_LENGTH_MAX = 128
BOUND_MAX = 1_000_000_000
"""W or mA: 1 GW, 1 MA; more is a mistake of units."""

SOURCES = ("utility", "cpo", "facade", "ems-facade", "api")
"""Kinds of source, before the ':'. "site" is the configuration and cannot be put."""

CONFIGURED = "site:"
"""Ids of the limits of the configuration begin with this, in decisions of the core."""

POWER_QUANTITIES = (
    Quantity.QUANTITY_NET_IMPORT,
    Quantity.QUANTITY_NET_EXPORT,
    Quantity.QUANTITY_GROSS_LOAD,
    Quantity.QUANTITY_GROSS_GENERATION,
    Quantity.QUANTITY_DER_OUTPUT,
    Quantity.QUANTITY_STORAGE_CHARGE,
)
NET_QUANTITIES = (Quantity.QUANTITY_NET_IMPORT, Quantity.QUANTITY_NET_EXPORT)


def bound_of(limit: Limit) -> int:
    """W or mA of the limit itself."""
    return limit.current_ma if limit.quantity == Quantity.QUANTITY_CURRENT else limit.power_w


def failsafe_of(limit: Limit) -> int | None:
    """W or mA that hold once the limit is LOST; None: it ends by rule."""
    name = "failsafe_current_ma" if limit.quantity == Quantity.QUANTITY_CURRENT else "failsafe_power_w"
    return int(getattr(limit, name)) if limit.HasField(name) else None


def check_limit(limit: Limit, topology: Topology, sources: Sequence[str] = SOURCES) -> Refusal | None:
    """What is wrong with a limit by itself, None: nothing. sources: kinds of source that may put it."""
    return (
        _check_identity(limit, sources)
        or _check_subject(limit, topology)
        or _check_bounds(limit)
        or _check_times(limit)
    )


def _check_identity(limit: Limit, sources: Sequence[str]) -> Refusal | None:
    if not 0 < len(limit.id) <= ID_LENGTH_MAX:
        return invalid("limit.id", f"{len(limit.id)} characters", f"1..{ID_LENGTH_MAX}")
    if limit.id.startswith(CONFIGURED):
        return invalid("limit.id", repr(limit.id), f"an id that does not begin with {CONFIGURED!r}")
    kind, colon, name = limit.source.partition(":")
    if kind not in sources or not colon or not 0 < len(name) <= ID_LENGTH_MAX:
        return invalid("limit.source", repr(limit.source), f"one of {', '.join(sources)}, then ':' and a name")
    return None


def _check_subject(limit: Limit, topology: Topology) -> Refusal | None:
    if bool(limit.circuit_id) == bool(limit.asset_id):
        return invalid("limit.circuit_id", "both or neither of circuit_id and asset_id", "exactly one")
    if limit.asset_id and limit.each_evse:
        return invalid("limit.each_evse", "true with asset_id", "circuit_id: every EVSE below it")
    if limit.asset_id:
        return _check_asset(limit, topology)
    circuit = topology.circuit(limit.circuit_id)
    if circuit is None:
        message = f"circuit {limit.circuit_id!r} is not in the site"
        return Refusal(reason=Reason.UNKNOWN_CIRCUIT, message=message, field="limit.circuit_id")
    if limit.quantity in NET_QUANTITIES and circuit.meter_index is None:
        message = f"circuit {limit.circuit_id!r} has no meter; a NET quantity needs one"
        return Refusal(reason=Reason.NOT_METERED, message=message, field="limit.quantity")
    if limit.each_evse and limit.quantity != Quantity.QUANTITY_CURRENT:
        return invalid("limit.each_evse", "a quantity other than CURRENT", "CURRENT: mA per phase of each EVSE")
    return None


def _check_asset(limit: Limit, topology: Topology) -> Refusal | None:
    asset = topology.asset(limit.asset_id)
    if asset is None:
        message = f"asset {limit.asset_id!r} is not in the site"
        return Refusal(reason=Reason.UNKNOWN_ASSET, message=message, field="limit.asset_id")
    if not asset.is_evse or limit.quantity != Quantity.QUANTITY_CURRENT:
        return invalid("limit.asset_id", "a limit that is not the current of an EVSE", "an EVSE and CURRENT")
    return None


def _check_bounds(limit: Limit) -> Refusal | None:
    if limit.quantity == Quantity.QUANTITY_CURRENT:
        own, other = "current_ma", "power_w"
    elif limit.quantity in POWER_QUANTITIES:
        own, other = "power_w", "current_ma"
    else:
        return invalid("limit.quantity", str(limit.quantity), "one of the quantities")
    if not limit.HasField(own) or limit.HasField(other) or limit.HasField(f"failsafe_{other}"):
        return invalid(f"limit.{own}", "a bound of another unit, or none", f"{own} (and failsafe_{own}) alone")
    for name in (own, f"failsafe_{own}"):
        if not 0 <= getattr(limit, name) <= BOUND_MAX:
            return out_of_range(f"limit.{name}", getattr(limit, name), f"0..{BOUND_MAX}")
    return None


def _check_times(limit: Limit) -> Refusal | None:
    if limit.HasField("ttl_ms") and not 0 < limit.ttl_ms <= TTL_MS_MAX:
        return out_of_range("limit.ttl_ms", limit.ttl_ms, f"1..{TTL_MS_MAX} ms, or absent: until deleted")
    if not 0 <= limit.ramp_ms <= RAMP_MS_MAX:
        return out_of_range("limit.ramp_ms", limit.ramp_ms, f"0..{RAMP_MS_MAX} ms")
    return None


def clamped(asked: Limit) -> tuple[Limit, list[str]]:
    """The limit as accepted, and why it differs from what was asked."""
    accepted, reasons = Limit(), []
    accepted.CopyFrom(asked)
    if accepted.HasField("ttl_ms") and accepted.ttl_ms < TTL_MS_MIN:
        accepted.ttl_ms = TTL_MS_MIN
        reasons.append(f"ttl_ms raised from {asked.ttl_ms} to {TTL_MS_MIN}, the shortest lease")
    if not accepted.HasField("ttl_ms") and failsafe_of(accepted) is not None:
        accepted.ClearField("failsafe_power_w")
        accepted.ClearField("failsafe_current_ma")
        reasons.append("failsafe dropped: without ttl_ms the limit holds until it is deleted and cannot be lost")
    return accepted, reasons


def invalid(where: str, found: str, expected: str) -> Refusal:
    """A field that is missing, malformed or contradicts another."""
    return Refusal(reason=Reason.FIELD_INVALID, message=f"{where}: found {found}; expected {expected}", field=where)


def out_of_range(where: str, found: int, expected: str) -> Refusal:
    """A number outside its range."""
    return Refusal(reason=Reason.OUT_OF_RANGE, message=f"{where}: found {found}; expected {expected}", field=where)
