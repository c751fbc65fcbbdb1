"""What policies ask for, and how what several ask for becomes one: caps intersect, wants rank, weights multiply.

    Targets of policy 1 (highest rank) ─┐
    Targets of policy 2 ────────────────┼──combine──> one Steer per asset (caps, want, weight, stratum, with reasons)
    Targets of policy 3 ────────────────┘             caps on circuits are limits: each goes to the core by itself

Nothing here is a grant. An asset cap bounds what is wanted of an asset; a circuit cap is a limit like any other. Every
item says why, with the input that it rests on: the reason travels to ExplainDecision.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from dgm.api.ems.v1.ems_pb2 import Quantity
from dgm.api.site.v1.site_pb2 import AssetType
from dgm.ems.limit_rules import BOUND_MAX, ID_LENGTH_MAX, NET_QUANTITIES
from dgm.site.topology import AssetEntry, Topology

Item = TypeVar("Item")

FACTOR_MAX = 1000.0
"""Largest factor of a weight, and the inverse of the smallest."""

STRATUM_MAX = 1000
WEIGHT_MAX = 65_535
"""Largest weight that the core takes."""

WEIGHT_FINE = 64
"""Weights with factors are scaled so that the smallest is about this: rounding then costs about a percent."""

ITEMS_MAX = 100_000
"""More of one kind in one result is nonsense."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """A bound from a start to an end."""

    start_utc_ms: int
    end_utc_ms: int
    bound: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CircuitCap:
    """An upper bound on a circuit: W, or mA per phase for CURRENT; >= 0. key: unique within the policy.

    failsafe: in force once the policy's lease has run out; None: the cap is then gone, which is for wishes of economy
    only. lasting: what plans for hours ahead should count on, where that is not `bound`; ahead: and what in spans of
    theirs, in order of time and without overlaps, instead. on_each_evse: CURRENT, of every EVSE below the circuit
    instead of the circuit.
    """

    key: str
    circuit_index: int
    quantity: Quantity
    bound: int
    why: str
    failsafe: int | None = None
    lasting: int | None = None
    ahead: tuple[Span, ...] = ()
    ramp_ms: int = 0
    on_each_evse: bool = False

    def outlook(self, utc_ms: int) -> list[tuple[int, int | None, int]]:
        """What plans should count on from an instant on: (start, end, bound) without gaps; the last has no end."""
        usual, at_ms = self.bound if self.lasting is None else self.lasting, utc_ms
        spans: list[tuple[int, int | None, int]] = []
        for span in self.ahead:
            if span.end_utc_ms <= at_ms:
                continue
            if span.start_utc_ms > at_ms:
                spans.append((at_ms, span.start_utc_ms, usual))
            spans.append((max(at_ms, span.start_utc_ms), span.end_utc_ms, span.bound))
            at_ms = span.end_utc_ms
        return [*spans, (at_ms, None, usual)]


@dataclass(frozen=True, slots=True, kw_only=True)
class AssetCap:
    """Bounds of what is wanted of an asset: mA (EVSE) or W into it. low <= 0 <= high, so that caps always intersect."""

    asset_index: int
    why: str
    low: int | None = None
    high: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AssetWant:
    """Wanted of an asset: mA (EVSE) or W into it."""

    asset_index: int
    value: int
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """How an EVSE shares: its weight is multiplied by `factor`; a lower stratum is served before.

    keeps_on: others are paused before it.
    """

    asset_index: int
    why: str
    factor: float = 1.0
    stratum: int | None = None
    keeps_on: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Targets:
    """All that one policy asks for in one cycle.

    alone: assets on which policies of lower rank have no say while this holds (their circuit caps hold all the same).
    memory: handed back to the same policy in the next cycle; immutable, and None at its first run.
    """

    circuit_caps: Sequence[CircuitCap] = ()
    asset_caps: Sequence[AssetCap] = ()
    wants: Sequence[AssetWant] = ()
    shares: Sequence[Share] = ()
    alone: frozenset[int] = frozenset()
    memory: Any = None

    def sentences(self) -> list[str]:
        """Every different reason, once, in order: what the policy says, for people."""
        whys = [cap.why for cap in self.circuit_caps] + [cap.why for cap in self.asset_caps]
        whys += [want.why for want in self.wants] + [share.why for share in self.shares]
        return list(dict.fromkeys(whys))


@dataclass(slots=True, kw_only=True)
class Steer:
    """What all policies together ask of one asset. Reasons begin with the policy's name. Filled by `combine` alone."""

    want: int | None = None
    want_why: str = ""
    low: int | None = None
    low_why: str = ""
    high: int | None = None
    high_why: str = ""
    factor: float = 1.0
    share_whys: tuple[str, ...] = ()
    stratum: int | None = None
    keeps_on: bool = False
    ignores_below: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Steering:
    """Steers by asset index; an asset without one is left to the basic policy."""

    steers: Mapping[int, Steer] = field(default_factory=dict)

    def of(self, asset_index: int) -> Steer:
        """The steer of an asset; the empty one when nobody asks for anything."""
        return self.steers.get(asset_index, NO_STEER)

    @property
    def has_factors(self) -> bool:
        """Whether any weight is changed."""
        return any(steer.factor != 1.0 for steer in self.steers.values())


NO_STEER = Steer()
NO_STEERING = Steering()


def combine(ranked: Iterable[tuple[str, Targets]]) -> Steering:
    """Targets by policy name, the highest rank first, as one steer per asset."""
    steers: dict[int, Steer] = {}
    for name, targets in ranked:
        _add(steers, name, targets)
    return Steering(steers=steers)


def _add(steers: dict[int, Steer], name: str, targets: Targets) -> None:
    for cap in targets.asset_caps:
        _cap(_open(steers, cap.asset_index), cap, name)
    for want in targets.wants:
        steer = _open(steers, want.asset_index)
        if steer.want is None:
            steer.want, steer.want_why = want.value, f"{name}: {want.why}"
    for share in targets.shares:
        _share(_open(steers, share.asset_index), share, name)
    for index in targets.alone:
        _open(steers, index).ignores_below = True


def _open(steers: dict[int, Steer], index: int) -> Steer:
    """The steer of an asset to write to; a scratch one where a policy of higher rank stands alone."""
    held = steers.get(index)
    if held is None:
        held = steers[index] = Steer()
    return Steer() if held.ignores_below else held


def _cap(steer: Steer, cap: AssetCap, name: str) -> None:
    if cap.high is not None and (steer.high is None or cap.high < steer.high):
        steer.high, steer.high_why = cap.high, f"{name}: {cap.why}"
    if cap.low is not None and (steer.low is None or cap.low > steer.low):
        steer.low, steer.low_why = cap.low, f"{name}: {cap.why}"


def _share(steer: Steer, share: Share, name: str) -> None:
    steer.factor *= share.factor
    steer.stratum = share.stratum if steer.stratum is None else steer.stratum
    steer.keeps_on = steer.keeps_on or share.keeps_on
    steer.share_whys = (*steer.share_whys, f"{name}: {share.why}")


def whole_weights(weights: Sequence[float]) -> list[int]:
    """Weights above 0 as whole numbers in the same proportions, as far as 1..65535 permits."""
    if not weights:
        return []
    scale = max(1.0, WEIGHT_FINE / min(weights))
    scale = min(scale, WEIGHT_MAX / max(weights))
    return [min(max(round(weight * scale), 1), WEIGHT_MAX) for weight in weights]


def nonsense(targets: object, topology: Topology, checked: Targets | None = None) -> str | None:
    """What cannot be meant in a policy's result; None: it can be used.

    checked: a result of before that was found good: a tuple that is the same object in both is not looked at again.
    """
    if not isinstance(targets, Targets):
        return f"found {type(targets).__name__}; expected Targets"
    for items in (targets.circuit_caps, targets.asset_caps, targets.wants, targets.shares):
        if len(items) > ITEMS_MAX:
            return f"found {len(items)} items of one kind; expected at most {ITEMS_MAX}"
    keys = [cap.key for cap in targets.circuit_caps]
    if len(set(keys)) != len(keys):
        return "two circuit caps with one key; expected each once"
    held = Targets() if checked is None else checked
    checks = [_cap_nonsense(cap, topology) for cap in _unchecked(targets.circuit_caps, held.circuit_caps)]
    checks += [_asset_cap_nonsense(cap, topology) for cap in _unchecked(targets.asset_caps, held.asset_caps)]
    checks += [_want_nonsense(want, topology) for want in _unchecked(targets.wants, held.wants)]
    shares = _unchecked(targets.shares, held.shares)
    checks += [_share_nonsense(share, topology) for share in shares if not _is_plain(share, topology.assets)]
    checks += [None if _asset(index, topology) else f"alone: asset {index!r}: unknown" for index in targets.alone]
    return next((found for found in checks if found is not None), None)


def _unchecked(items: Sequence[Item], checked: Sequence[Item]) -> Sequence[Item]:
    return () if items is checked and isinstance(items, tuple) else items


def _is_plain(share: Share, assets: Sequence[AssetEntry]) -> bool:
    """Whether a share is good at first sight, as nearly all are: some policies make one per EVSE and cycle."""
    index, stratum = share.asset_index, share.stratum
    return (
        type(index) is int
        and 0 <= index < len(assets)
        and assets[index].is_evse
        and type(share.factor) in (int, float)
        and 1 / FACTOR_MAX <= share.factor <= FACTOR_MAX
        and (stratum is None or (type(stratum) is int and 0 <= stratum <= STRATUM_MAX))
    )


def _cap_nonsense(cap: CircuitCap, topology: Topology) -> str | None:
    if not 0 < len(cap.key) <= ID_LENGTH_MAX // 2:
        return f"circuit cap: found a key of {len(cap.key)} characters; expected 1..{ID_LENGTH_MAX // 2}"
    if not _whole(cap.circuit_index) or not 0 <= cap.circuit_index < len(topology.circuits):
        return f"circuit cap {cap.key!r}: circuit {cap.circuit_index!r} is unknown"
    if cap.quantity not in Quantity.values() or cap.quantity == Quantity.QUANTITY_UNSPECIFIED:
        return f"circuit cap {cap.key!r}: quantity {cap.quantity!r} is unknown"
    if cap.quantity in NET_QUANTITIES and topology.circuits[cap.circuit_index].meter_index is None:
        return f"circuit cap {cap.key!r}: a NET quantity on a circuit without a meter"
    if cap.on_each_evse and cap.quantity != Quantity.QUANTITY_CURRENT:
        return f"circuit cap {cap.key!r}: on each EVSE, but not of its current"
    for name in ("bound", "failsafe", "lasting", "ramp_ms"):
        value = getattr(cap, name)
        if not (value is None and name in ("failsafe", "lasting")) and not (_whole(value) and 0 <= value <= BOUND_MAX):
            return f"circuit cap {cap.key!r}: {name}: found {value!r}; expected a whole number 0..{BOUND_MAX}"
    return _ahead_nonsense(cap)


def _ahead_nonsense(cap: CircuitCap) -> str | None:
    at_ms = 0
    for span in cap.ahead:
        if not at_ms <= span.start_utc_ms < span.end_utc_ms or not 0 <= span.bound <= BOUND_MAX:
            return f"circuit cap {cap.key!r}: ahead: found {span!r}; expected spans in order, 0..{BOUND_MAX}"
        at_ms = span.end_utc_ms
    return None


def _asset_cap_nonsense(cap: AssetCap, topology: Topology) -> str | None:
    asset = _asset(cap.asset_index, topology)
    if asset is None or target_range(asset) is None:
        return f"asset cap: asset {cap.asset_index!r} is unknown or not controlled"
    for name, low, high in (("low", -BOUND_MAX, 0), ("high", 0, BOUND_MAX)):
        value = getattr(cap, name)
        if value is not None and not (_whole(value) and low <= value <= high):
            return f"asset cap of {asset.id!r}: {name}: found {value!r}; expected a whole number {low}..{high}"
    return None


def _want_nonsense(want: AssetWant, topology: Topology) -> str | None:
    asset = _asset(want.asset_index, topology)
    bounds = None if asset is None else target_range(asset)
    if asset is None or bounds is None:
        return f"want: asset {want.asset_index!r} is unknown or not controlled"
    if not _whole(want.value) or not bounds[0] <= want.value <= bounds[1]:
        return f"want of {asset.id!r}: found {want.value!r}; expected a whole number {bounds[0]}..{bounds[1]}"
    return None


def _share_nonsense(share: Share, topology: Topology) -> str | None:
    asset = _asset(share.asset_index, topology)
    if asset is None or not asset.is_evse:
        return f"share: asset {share.asset_index!r} is no EVSE"
    factor = share.factor
    if not isinstance(factor, int | float) or not math.isfinite(factor) or not 1 / FACTOR_MAX <= factor <= FACTOR_MAX:
        return f"share of {asset.id!r}: factor: found {factor!r}; expected {1 / FACTOR_MAX}..{FACTOR_MAX}"
    if share.stratum is not None and not (_whole(share.stratum) and 0 <= share.stratum <= STRATUM_MAX):
        return f"share of {asset.id!r}: stratum: found {share.stratum!r}; expected 0..{STRATUM_MAX}"
    return None


BATTERY = AssetType.ASSET_TYPE_BATTERY
PV = AssetType.ASSET_TYPE_PV


def target_range(asset: AssetEntry) -> tuple[int, int] | None:
    """Lowest and highest target of an asset (W or mA); None: it takes none."""
    if asset.is_evse:
        return 0, asset.current_max_ma or 0
    if asset.type == BATTERY:
        charge_w = asset.charge_max_w if asset.charge_max_w is not None else asset.power_max_w
        return -(asset.power_max_w or 0), charge_w or 0
    return (-(asset.power_max_w or 0), 0) if asset.type == PV else None


def _asset(index: object, topology: Topology) -> AssetEntry | None:
    known = isinstance(index, int) and not isinstance(index, bool) and 0 <= index < len(topology.assets)
    return topology.assets[index] if known and isinstance(index, int) else None


def _whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
