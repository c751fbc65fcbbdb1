"""The TargetBook: what sources want of assets, ranked. A target is a lease: it expires, and it never overrides a limit.

Kept in memory only: after a restart assets follow policy until their sources put their targets again.
"""

from __future__ import annotations

from dataclasses import dataclass

from dgm.api.ems.v1.ems_pb2 import PutTargetResponse, Target
from dgm.ems.limit_rules import ID_LENGTH_MAX, SOURCES, invalid, out_of_range
from dgm.ems.policy import WantedTarget
from dgm.ems.steering import target_range
from dgm.machine import Now
from dgm.site.refusal import Reason, Refusal
from dgm.site.topology import AssetEntry, Topology

TARGETS_MAX = 4096
"""Targets held at once; a put beyond it is refused."""

TTL_MS_MIN = 1000
TTL_MS_MAX = 3_600_000
"""A longer lease is shortened to this, and the reply says so: its source renews it."""

PRIORITY_MAX = 1000
WEIGHT_MAX = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetEntry:
    """One target: as accepted, its column index, value in W or mA, monotonic end, and the order of arrival."""

    target: Target
    asset_index: int
    value: int
    end_ms: int
    order: int


class TargetBook:
    """Targets by id."""

    def __init__(self, topology: Topology) -> None:
        self._topology = topology
        self._entries: dict[str, TargetEntry] = {}
        self._order = 0

    def put(self, asked: Target, now: Now) -> PutTargetResponse | Refusal:
        """Accept or replace a target; the reply says what was accepted and why it differs."""
        self._drop_expired(now)
        asset = self._topology.asset(asked.asset_id)
        refusal = self._check_place(asked) or _check_target(asked, asset)
        if refusal is not None:
            return refusal
        assert asset is not None  # checked above
        accepted, value, reasons = _clamped(asked, asset)
        self._order += 1
        self._entries[asked.id] = TargetEntry(
            target=accepted,
            asset_index=asset.index,
            value=value,
            end_ms=now.mono_ms + accepted.ttl_ms,
            order=self._order,
        )
        return PutTargetResponse(target=accepted, clamp_reasons=reasons)

    def delete(self, target_id: str, source: str) -> bool | Refusal:
        """Remove a target of this source; says whether there was one."""
        held = self._entries.get(target_id)
        if held is None:
            return False
        if held.target.source != source:
            return _not_owner(target_id, held.target.source)
        del self._entries[target_id]
        return True

    def source_of(self, target_id: str) -> str:
        """Who put a target; empty: there is none of that id."""
        held = self._entries.get(target_id)
        return "" if held is None else held.target.source

    def winners(self, now: Now) -> dict[int, WantedTarget]:
        """The target that holds for each asset now: highest priority, then the newest."""
        self._drop_expired(now)
        ranked = sorted(self._entries.values(), key=lambda entry: (entry.target.priority, entry.order))
        return {entry.asset_index: _wanted(entry) for entry in ranked}

    def _drop_expired(self, now: Now) -> None:
        self._entries = {key: entry for key, entry in self._entries.items() if entry.end_ms > now.mono_ms}

    def _check_place(self, asked: Target) -> Refusal | None:
        held = self._entries.get(asked.id)
        if held is not None and held.target.source != asked.source:
            return _not_owner(asked.id, held.target.source)
        if held is None and len(self._entries) >= TARGETS_MAX:
            return Refusal(reason=Reason.TOO_MANY, message=f"{TARGETS_MAX} targets are held already; delete one first")
        return None


def _wanted(entry: TargetEntry) -> WantedTarget:
    target = entry.target
    weight = target.weight if target.HasField("weight") else None
    return WantedTarget(
        id=target.id,
        value=entry.value,
        weight=weight,
        keeps_on=target.keeps_on,
        source=target.source,
        end_ms=entry.end_ms,
    )


def _check_target(asked: Target, asset: AssetEntry | None) -> Refusal | None:
    kind, _, name = asked.source.partition(":")
    if not 0 < len(asked.id) <= ID_LENGTH_MAX:
        return invalid("target.id", f"{len(asked.id)} characters", f"1..{ID_LENGTH_MAX}")
    if kind not in SOURCES or not 0 < len(name) <= ID_LENGTH_MAX:
        return invalid("target.source", repr(asked.source), f"one of {', '.join(SOURCES)}, then ':' and a name")
    if asset is None:
        message = f"asset {asked.asset_id!r} is not in the site"
        return Refusal(reason=Reason.UNKNOWN_ASSET, message=message, field="target.asset_id")
    if target_range(asset) is None:
        return invalid("target.asset_id", f"{asset.id!r}, which is not controlled", "an EVSE, BATTERY or PV")
    unit, other = ("want_ma", "want_w") if asset.is_evse else ("want_w", "want_ma")
    if not asked.HasField(unit) or asked.HasField(other):
        return invalid(f"target.{unit}", "another unit, both or none", f"{unit} alone")
    if asked.ttl_ms <= 0:
        return out_of_range("target.ttl_ms", asked.ttl_ms, f"{TTL_MS_MIN}..{TTL_MS_MAX} ms")
    if abs(asked.priority) > PRIORITY_MAX:
        return out_of_range("target.priority", asked.priority, f"-{PRIORITY_MAX}..{PRIORITY_MAX}")
    return _check_share(asked, asset)


def _check_share(asked: Target, asset: AssetEntry) -> Refusal | None:
    if not asset.is_evse and (asked.HasField("weight") or asked.keeps_on):
        return invalid("target.weight", f"a share for {asset.id!r}", "weight and keeps_on of an EVSE alone")
    if asked.HasField("weight") and not 1 <= asked.weight <= WEIGHT_MAX:
        return out_of_range("target.weight", asked.weight, f"1..{WEIGHT_MAX}")
    return None


def _clamped(asked: Target, asset: AssetEntry) -> tuple[Target, int, list[str]]:
    accepted, reasons = Target(), []
    accepted.CopyFrom(asked)
    unit = "want_ma" if asset.is_evse else "want_w"
    low, high = target_range(asset) or (0, 0)
    wanted = asked.want_ma if asset.is_evse else asked.want_w
    value = min(max(wanted, low), high)
    if value != wanted:
        setattr(accepted, unit, value)
        reasons.append(f"{unit} moved from {wanted} to {value}: the asset takes {low}..{high}")
    accepted.ttl_ms = min(max(asked.ttl_ms, TTL_MS_MIN), TTL_MS_MAX)
    if accepted.ttl_ms != asked.ttl_ms:
        reasons.append(
            f"ttl_ms moved from {asked.ttl_ms} to {accepted.ttl_ms}: a target lasts {TTL_MS_MIN}..{TTL_MS_MAX} ms"
        )
    return accepted, value, reasons


def _not_owner(target_id: str, owner: str) -> Refusal:
    message = f"target {target_id!r} belongs to {owner!r}; a source changes and deletes only its own"
    return Refusal(reason=Reason.NOT_OWNER, message=message, field="source")
