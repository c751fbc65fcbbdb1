"""What each asset wants this cycle, and why. Wants rank below limits: the core grants at most this much.

    readings, grants, targets, steering of the policies, memory, now ──decide_wants──> one Want per asset, new memory

    EVSE      no car: 0; car: current_max, lowered to draw + 2 steps once it draws clearly less than granted for 20 s,
              raised again when the draw reaches the grant; suspended by the car for 60 s: current_min
    BATTERY   charge with what would be exported otherwise; helping to keep a limit is the core's own decision
    PV        everything

This is the basis, which every site has; the policies that site.yaml lists (`stack`) change it by a Steer: their want
replaces the own one, their caps bound it, their factors change the weight. A target of the API replaces both wants
within [0, max]; caps hold for it too, unless the `override` policy ranks above them. Grants, not draws, are what the
core accounts for: lowering a want only frees what a car evidently does not use, and the core frees it no earlier than
the lower limit is proved.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import IntEnum

from dgm.api.site.v1.site_pb2 import AssetType, PlugState, Quality
from dgm.ems.snapshot import NO_CAR
from dgm.ems.steering import BATTERY, NO_STEER, NO_STEERING, PV, Steer, Steering, whole_weights
from dgm.machine import Now
from dgm.site.state import GOOD, Reading, SiteState, max_current_ma
from dgm.site.topology import AssetEntry, Topology

UNDERDRAW_MS = 20_000
"""How long a car draws clearly less than granted before its want follows the draw."""

SUSPENDED_MS = 60_000
"""How long a car that pauses by itself keeps its full want."""

SUSPENDED_EV = PlugState.PLUG_STATE_SUSPENDED_EV
SPARE_STEPS = 2
"""Room above the draw that a lowered want leaves, in steps: reaching it shows that the car could take more."""

SURPLUS_STEP_W = 100
"""Battery charge follows the surplus in these steps: less is noise of the meter."""


class WantReason(IntEnum):
    """Why an asset wants what it wants; crosses to the core as a number."""

    UNCONTROLLED = 0
    NO_CAR = 1
    CAR = 2
    UNDERDRAW = 3
    SUSPENDED_EV = 4
    TARGET = 5
    SURPLUS = 6
    NO_SURPLUS = 7
    FULL_PV = 8
    POLICY = 9


REASON_TEXT: Mapping[WantReason, str] = {
    WantReason.UNCONTROLLED: "nothing is wanted of it: it is not controlled",
    WantReason.NO_CAR: "no car that could charge",
    WantReason.CAR: "a car is plugged in and may take the maximum",
    WantReason.UNDERDRAW: "the car draws clearly less than granted: its draw and two steps",
    WantReason.SUSPENDED_EV: "the car paused by itself: the minimum, so that it can resume",
    WantReason.TARGET: "a target of the API",
    WantReason.SURPLUS: "charge with what would be exported otherwise",
    WantReason.NO_SURPLUS: "nothing would be exported, or the battery is full or not seen",
    WantReason.FULL_PV: "all that the sun gives",
    WantReason.POLICY: "a policy",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Want:
    """Wanted by one asset: W into the asset (PV, BATTERY) or mA per phase (EVSE); None: not controlled.

    weight: share of an EVSE, None: as configured; factor: of the policies, it multiplies the weight. stratum: None: as
    configured. keeps_on: others are paused before it. why: "<policy>: <its input>" where a policy made the value;
    share_whys: the same of weight, stratum and keeps_on.
    """

    value: int | None
    reason: WantReason
    target_id: str = ""
    weight: int | None = None
    keeps_on: bool = False
    factor: float = 1.0
    stratum: int | None = None
    why: str = ""
    share_whys: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """The reason for people."""
        named = f" ({self.target_id})" if self.target_id else ""
        return "; ".join([self.why or REASON_TEXT[self.reason] + named, *self.share_whys])


@dataclass(frozen=True, slots=True, kw_only=True)
class EvseMemory:
    """What policy remembers of one EVSE. ceiling_ma: want lowered to the draw, None: not lowered."""

    plug_state: PlugState = PlugState.PLUG_STATE_UNSPECIFIED
    plug_since_ms: int = 0
    grant_ma: int = 0
    under_since_ms: int | None = None
    ceiling_ma: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyMemory:
    """All that policy remembers, by asset index."""

    evses: Mapping[int, EvseMemory] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class WantedTarget:
    """The target that won for an asset. value: W or mA as in Want; weight and keeps_on too. end_ms: of its lease."""

    id: str
    value: int
    weight: int | None = None
    keeps_on: bool = False
    source: str = ""
    end_ms: int = 0


def decide_wants(
    state: SiteState,
    targets: Mapping[int, WantedTarget],
    memory: PolicyMemory,
    now: Now,
    steering: Steering = NO_STEERING,
) -> tuple[list[Want], PolicyMemory]:
    """One Want per asset in column order, and the memory for the next cycle."""
    wants: list[Want] = []
    evses: dict[int, EvseMemory] = {}
    surplus_w = surplus(state, now)
    for asset in state.topology.assets:
        target, steer = targets.get(asset.index), steering.of(asset.index)
        if asset.is_evse:
            held = memory.evses.get(asset.index, EvseMemory(plug_since_ms=now.mono_ms))
            evses[asset.index] = evse_memory(asset, held, state, now)
            wants.append(evse_want(asset, evses[asset.index], target, now, steer))
        elif asset.type == BATTERY:
            wants.append(bounded(battery_want(asset, state, target, surplus_w, now, steer), steer))
        elif asset.type == PV:
            wants.append(bounded(pv_want(asset, target, steer), steer))
        else:
            wants.append(Want(value=None, reason=WantReason.UNCONTROLLED))
    return wants, PolicyMemory(evses=evses)


def evse_memory(asset: AssetEntry, held: EvseMemory, state: SiteState, now: Now) -> EvseMemory:
    """Follow plug state, grant and draw of one EVSE."""
    reading = state.reading(asset.index)
    grant = state.grant(asset.index)
    grant_ma = grant.current_ma if grant is not None and grant.HasField("current_ma") else 0
    if reading.plug_state != held.plug_state:
        # Another state is another situation: a car that begins to charge gets its full want at once.
        return EvseMemory(plug_state=reading.plug_state, plug_since_ms=now.mono_ms, grant_ma=grant_ma)
    if grant_ma != held.grant_ma:
        raised = grant_ma > held.grant_ma
        held = replace(held, grant_ma=grant_ma, under_since_ms=None if raised else held.under_since_ms)
    if state.quality(asset.index, now) != GOOD:
        return held if held.under_since_ms is None else replace(held, under_since_ms=None)
    draw_ma = draw(asset, reading, state.topology)
    return held if draw_ma is None else _follow_draw(asset, held, draw_ma, now)


def _follow_draw(asset: AssetEntry, held: EvseMemory, draw_ma: int, now: Now) -> EvseMemory:
    spare_ma = SPARE_STEPS * asset.current_step_ma
    if draw_ma + asset.current_step_ma >= held.grant_ma > 0:
        is_full = held.under_since_ms is None and held.ceiling_ma is None
        return held if is_full else replace(held, under_since_ms=None, ceiling_ma=None)
    lowered_ma = max(draw_ma + spare_ma, asset.current_min_ma)
    if lowered_ma >= held.grant_ma:
        return held if held.under_since_ms is None else replace(held, under_since_ms=None)
    since_ms = now.mono_ms if held.under_since_ms is None else held.under_since_ms
    if now.mono_ms - since_ms < UNDERDRAW_MS:
        return replace(held, under_since_ms=since_ms)
    return replace(held, under_since_ms=since_ms, ceiling_ma=lowered_ma)


def evse_want(
    asset: AssetEntry, memory: EvseMemory, target: WantedTarget | None, now: Now, steer: Steer = NO_STEER
) -> Want:
    """Want of one EVSE in mA per phase."""
    if memory.plug_state in NO_CAR:
        return Want(value=0, reason=WantReason.NO_CAR)
    value_ma, reason, why = _least(asset, memory, target, now, steer)
    return Want(
        value=value_ma,
        reason=reason,
        target_id=target.id if target is not None and reason is WantReason.TARGET else "",
        weight=None if target is None else target.weight,
        keeps_on=steer.keeps_on or (target is not None and target.keeps_on),
        factor=steer.factor,
        stratum=steer.stratum,
        why=why,
        share_whys=steer.share_whys,
    )


def _least(
    asset: AssetEntry, memory: EvseMemory, target: WantedTarget | None, now: Now, steer: Steer
) -> tuple[int, WantReason, str]:
    """The least of all that bounds the want, mA, and why; of equal ones the first."""
    value_ma, reason, why = asset.current_max_ma or 0, WantReason.CAR, ""
    if target is not None:
        value_ma, reason = target.value, WantReason.TARGET
    elif steer.want is not None:
        value_ma, reason, why = steer.want, WantReason.POLICY, steer.want_why
    if steer.high is not None and steer.high < value_ma:
        value_ma, reason, why = steer.high, WantReason.POLICY, steer.high_why
    if memory.ceiling_ma is not None and memory.ceiling_ma < value_ma:
        value_ma, reason, why = memory.ceiling_ma, WantReason.UNDERDRAW, ""
    paused = memory.plug_state == SUSPENDED_EV and now.mono_ms - memory.plug_since_ms >= SUSPENDED_MS
    if paused and asset.current_min_ma < value_ma:
        value_ma, reason, why = asset.current_min_ma, WantReason.SUSPENDED_EV, ""
    return value_ma, reason, why


def bounded(want: Want, steer: Steer) -> Want:
    """The want of a battery or PV inverter within the caps of the policies."""
    if steer.high is not None and want.value is not None and want.value > steer.high:
        return Want(value=steer.high, reason=WantReason.POLICY, why=steer.high_why)
    if steer.low is not None and want.value is not None and want.value < steer.low:
        return Want(value=steer.low, reason=WantReason.POLICY, why=steer.low_why)
    return want


def battery_want(
    asset: AssetEntry,
    state: SiteState,
    target: WantedTarget | None,
    surplus_w: int | None,
    now: Now,
    steer: Steer = NO_STEER,
) -> Want:
    """Want of one battery in W, positive charging: its part of the surplus by charge rating."""
    if target is not None:
        return Want(value=target.value, reason=WantReason.TARGET, target_id=target.id)
    if steer.want is not None:
        return Want(value=steer.want, reason=WantReason.POLICY, why=steer.want_why)
    reading = state.reading(asset.index)
    full = reading.soc_permille is None or reading.soc_permille >= (asset.soc_max_permille or 1000)
    seen = state.quality(asset.index, now) == Quality.QUALITY_GOOD
    total_w = sum(_charge_max_w(other) for other in _of_type(state.topology, AssetType.ASSET_TYPE_BATTERY))
    if surplus_w is None or surplus_w == 0 or full or not seen or total_w == 0:
        return Want(value=0, reason=WantReason.NO_SURPLUS)
    part_w = min(surplus_w * _charge_max_w(asset) // total_w, _charge_max_w(asset))
    return Want(value=part_w, reason=WantReason.SURPLUS)


def pv_want(asset: AssetEntry, target: WantedTarget | None, steer: Steer = NO_STEER) -> Want:
    """Want of one PV inverter in W: negative, out of the asset."""
    if target is not None:
        return Want(value=target.value, reason=WantReason.TARGET, target_id=target.id)
    if steer.want is not None:
        return Want(value=steer.want, reason=WantReason.POLICY, why=steer.want_why)
    return Want(value=-(asset.power_max_w or 0), reason=WantReason.FULL_PV)


def surplus(state: SiteState, now: Now) -> int | None:
    """W that would be exported if no battery did anything, in steps; None: the meter or a battery is not seen.

    Worked out from what was measured, not from what was commanded: how far a battery has followed does not matter.
    """
    meter_index = state.topology.root.meter_index
    if meter_index is None:
        return None
    net_w = _good_power(state, meter_index, now)
    batteries = [
        _good_power(state, asset.index, now) for asset in _of_type(state.topology, AssetType.ASSET_TYPE_BATTERY)
    ]
    if net_w is None or any(power_w is None for power_w in batteries):
        return None
    export_w = sum(power_w for power_w in batteries if power_w is not None) - net_w
    return max(0, export_w) // SURPLUS_STEP_W * SURPLUS_STEP_W


def draw(asset: AssetEntry, reading: Reading, topology: Topology) -> int | None:
    """Measured draw of an EVSE in mA of its largest phase; from its power where no current is measured."""
    current_ma = max_current_ma(reading)
    if current_ma is not None or reading.power_w is None:
        return current_ma
    return -(-max(0, reading.power_w) * 1_000_000 // (topology.nominal_voltage_mv * len(asset.phases)))


def _good_power(state: SiteState, index: int, now: Now) -> int | None:
    return state.reading(index).power_w if state.quality(index, now) == Quality.QUALITY_GOOD else None


def _charge_max_w(asset: AssetEntry) -> int:
    rated_w = asset.charge_max_w if asset.charge_max_w is not None else asset.power_max_w
    return rated_w or 0


def _of_type(topology: Topology, kind: AssetType) -> Iterable[AssetEntry]:
    return (asset for asset in topology.assets if asset.type == kind)


def target_rows(wants: Sequence[Want], topology: Topology) -> list[tuple[int | None, ...]]:
    """Rows (want, weight, stratum, want_reason, keeps_on) for the core, in column order."""
    pairs = list(zip(topology.assets, wants, strict=True))
    weights = [asset.weight if want.weight is None else want.weight for asset, want in pairs]
    if any(want.factor != 1.0 for want in wants):
        factored = [weight * want.factor for weight, want in zip(weights, wants, strict=True)]
        weights = whole_weights(factored)
    return [
        (
            want.value,
            weight,
            asset.stratum if want.stratum is None else want.stratum,
            int(want.reason),
            int(want.keeps_on),
        )
        for (asset, want), weight in zip(pairs, weights, strict=True)
    ]
