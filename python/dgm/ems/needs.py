"""What drivers need, what of it has come, and what is promised of the rest.

    SetChargingNeed ──> NeedBook ──Demand──> Ledger ──Plan──> ChargingPromise, and Planned for the policies
    samples of the EVSE ─────^ delivered Wh: by its counter, between two counts by its power

One need per EVSE. It ends when the car is gone, when its source clears it, or an hour after the departure. Durable: the
need and what had been delivered are in the journal; what a restart did not see is found by the counter.
"""

from __future__ import annotations

import base64
import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from google.protobuf.message import DecodeError

from dgm.api.ems.v1.policy_pb2 import ChargingNeed, ChargingPromise, PromiseState, SetChargingNeedResponse
from dgm.api.site.v1.site_pb2 import PlugState
from dgm.ems.ledger import Demand, Ledger, Plan, milliamps, power_max
from dgm.ems.limit_rules import ID_LENGTH_MAX, invalid, out_of_range
from dgm.ems.limits import Forget, Keep
from dgm.ems.snapshot import EvseView, LimitView, Planned, Price
from dgm.machine import Now
from dgm.site.refusal import Reason, Refusal
from dgm.site.topology import AssetEntry, Topology

NEED_TABLE = "need"
CAR = "car"
"""What a car says of itself: any other source replaces it, and it replaces none."""

SOURCES = ("cpo", "api", "ocpp", CAR)
ENERGY_WH_MAX = 1_000_000
"""1 MWh: more than any battery of a vehicle."""

DEPARTURE_AHEAD_MS_MAX = 7 * 86_400_000
AFTER_MS = 3_600_000
"""How long a need is still listed after its departure."""

REPLAN_MS = 60_000
"""Plans are made anew this often, and at each change of needs, limits or prices."""

KEEP_MS = 300_000
"""What was delivered is journaled this often, at most KEPT_AT_ONCE of all needs in one cycle."""

KEPT_AT_ONCE = 4

GAP_MS_MAX = 10_000
"""Power is taken to have stood no longer than this between two looks."""

KEPT_PERMILLE = 990
"""Delivered is what reaches this part: the counter of a car and that of its EVSE never agree to the last Wh."""

WMS_PER_WH = 3_600_000

NO_KEEPER = "no policy of this site keeps promises: list `promise` under ems.policies"


@dataclass(frozen=True, slots=True, kw_only=True)
class NeedEntry:
    """One need and its progress. counter_wh: of the EVSE when it was last read. is_firm: it was promised in full."""

    need: ChargingNeed
    asset: AssetEntry
    counted_wh: int = 0
    by_power_wms: int = 0
    counter_wh: int | None = None
    looked_ms: int | None = None
    has_come: bool = False
    is_firm: bool = False

    @property
    def delivered_wh(self) -> int:
        """Wh since the need was stated."""
        return self.counted_wh + self.by_power_wms // WMS_PER_WH

    @property
    def due_wh(self) -> int:
        """Wh still to come; 0 once so much has come that the rest cannot be told from the error of the counters."""
        if self.delivered_wh * 1000 >= self.need.energy_wh * KEPT_PERMILLE:
            return 0
        return self.need.energy_wh - self.delivered_wh


class NeedBook:
    """Needs by asset index, with the newest plan of each."""

    def __init__(self, topology: Topology, ledger: Ledger, *, is_kept: bool) -> None:
        """is_kept: the site has a policy that keeps promises; without one nothing is promised."""
        self._topology = topology
        self._ledger = ledger
        self._is_kept = is_kept
        self._entries: dict[int, NeedEntry] = {}
        self._plans: dict[int, Plan] = {}
        self._planned_ms: int | None = None
        self._kept_ms: defaultdict[int, int] = defaultdict(int)
        self._seen: object = None
        self._stuck_ma: Mapping[int, int] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def put(
        self, asked: ChargingNeed, limits: Sequence[LimitView], prices: Sequence[Price], now: Now
    ) -> tuple[SetChargingNeedResponse, list[Keep | Forget]] | Refusal:
        """Accept or replace the need of an EVSE, and say what the ledger can promise."""
        asset = self._topology.asset(asked.asset_id)
        refusal = _check(asked, asset, now) or self._check_owner(asked, asset)
        if refusal is not None:
            return refusal
        assert asset is not None  # checked above
        need, reasons = _clamped(asked, asset, self._topology.nominal_voltage_mv)
        held = self._entries.get(asset.index)
        fresh = NeedEntry(need=need, asset=asset)
        if held is not None:
            fresh = replace(fresh, counter_wh=held.counter_wh, looked_ms=held.looked_ms, has_come=held.has_come)
        self._entries[asset.index] = fresh
        self._kept_ms[asset.index] = now.mono_ms
        self._admit(asset.index, limits, prices, now)
        kept = self._entries[asset.index]
        answer = SetChargingNeedResponse(promise=self.promise(kept, now), clamp_reasons=reasons)
        return answer, [Keep(id=need.asset_id, record=record_of(kept), table=NEED_TABLE)]

    def clear(self, asset_id: str, source: str) -> list[Keep | Forget] | Refusal | None:
        """Remove the need of an EVSE; None: there is none."""
        asset = self._topology.asset(asset_id)
        held = None if asset is None else self._entries.get(asset.index)
        if asset is None or held is None:
            return None
        if held.need.source != source:
            return _not_owner(asset_id, held.need.source)
        return [self._remove(asset.index)]

    def note_stuck(self, stuck_ma: Mapping[int, int]) -> None:
        """Take note of what EVSEs count at that cannot be moved, mA by asset index: no plan has that room."""
        self._stuck_ma = stuck_ma

    def follow(
        self,
        views: Sequence[EvseView],
        limits: Sequence[LimitView],
        prices: Sequence[Price],
        now: Now,
    ) -> list[Keep | Forget]:
        """One cycle: progress, ends, and new plans where they are due."""
        if not self._entries:
            return []
        effects: list[Keep | Forget] = []
        for view in views:
            entry = self._entries.get(view.asset.index)
            if entry is None:
                continue
            entry = self._entries[view.asset.index] = progressed(entry, view, now)
            if _is_over(entry, view.plug_state, now):
                effects.append(self._remove(view.asset.index))
        ended = bool(effects)
        effects += self._kept_now(now)
        seen = [(limit.id, limit.bound, limit.is_pending) for limit in limits], [price.per_mwh for price in prices]
        due = self._planned_ms is None or now.mono_ms - self._planned_ms >= REPLAN_MS
        if due or ended or seen != self._seen:
            self._seen = seen
            self._plan(limits, prices, now)
        return effects

    def _kept_now(self, now: Now) -> list[Keep | Forget]:
        due = [entry for entry in self._entries.values() if now.mono_ms - self._kept_ms[entry.asset.index] >= KEEP_MS]
        for entry in due[:KEPT_AT_ONCE]:
            self._kept_ms[entry.asset.index] = now.mono_ms
        return [Keep(id=entry.need.asset_id, record=record_of(entry), table=NEED_TABLE) for entry in due[:KEPT_AT_ONCE]]

    def planned(self) -> dict[int, Planned]:
        """What the policies are told, by asset index."""
        voltage_mv = self._topology.nominal_voltage_mv
        return {
            index: Planned(
                due_wh=entry.due_wh,
                departure_utc_ms=entry.need.departure_utc_ms,
                now_ma=_on_step(milliamps(plan.now_w, len(entry.asset.phases), voltage_mv), entry)
                if entry.due_wh
                else 0,
                is_promised=not plan.short_wh,
            )
            for index, entry in self._entries.items()
            if (plan := self._plans.get(index)) is not None
        }

    def promises(self, now: Now) -> list[ChargingPromise]:
        """What is promised of every need, in column order."""
        return [self.promise(self._entries[index], now) for index in sorted(self._entries)]

    def promise(self, entry: NeedEntry, now: Now) -> ChargingPromise:
        """What is promised of one need."""
        plan = self._plans.get(entry.asset.index)
        answer = ChargingPromise(need=entry.need, delivered_wh=entry.delivered_wh)
        if entry.due_wh == 0:
            answer.state = PromiseState.PROMISE_STATE_KEPT
        elif now.utc_ms >= entry.need.departure_utc_ms:
            answer.state, answer.short_wh = PromiseState.PROMISE_STATE_MISSED, entry.due_wh
            answer.reason = "the departure has passed"
        elif not self._is_kept:
            answer.state, answer.short_wh = PromiseState.PROMISE_STATE_AT_RISK, entry.due_wh
            answer.reason = NO_KEEPER
        elif plan is None or plan.short_wh:
            answer.state = PromiseState.PROMISE_STATE_AT_RISK
            answer.short_wh = entry.due_wh if plan is None else plan.short_wh
            answer.reason = "not planned yet" if plan is None else f"no more room: {plan.blocker}"
        else:
            answer.state = PromiseState.PROMISE_STATE_PROMISED
            answer.reason = "covered at the worst load that nobody controls"
            if plan.done_utc_ms is not None:
                answer.done_utc_ms = plan.done_utc_ms
        return answer

    def restore(self, records: Mapping[str, bytes]) -> list[Forget]:
        """Take over the journal; needs of EVSEs that are gone, and records that cannot be read, are forgotten."""
        lost = []
        for asset_id, record in records.items():
            entry = entry_of(record, self._topology)
            if entry is None:
                lost.append(Forget(id=asset_id, table=NEED_TABLE))
            else:
                self._entries[entry.asset.index] = entry
        return lost

    def _admit(self, index: int, limits: Sequence[LimitView], prices: Sequence[Price], now: Now) -> None:
        """Promise the newcomer if that breaks no earlier promise; else it takes what the promised leave."""
        before = {other: entry.is_firm for other, entry in self._entries.items()}
        self._entries[index] = replace(self._entries[index], is_firm=True)
        self._plan(limits, prices, now)
        # What a plan was short of before the newcomer came is not the newcomer's doing.
        broken = any(is_firm and self._plans[other].short_wh for other, is_firm in before.items() if other != index)
        if broken or self._plans[index].short_wh:
            self._entries[index] = replace(self._entries[index], is_firm=False)
            self._plan(limits, prices, now)
            covered = not self._plans[index].short_wh
            self._entries[index] = replace(self._entries[index], is_firm=covered)

    def _plan(self, limits: Sequence[LimitView], prices: Sequence[Price], now: Now) -> None:
        self._planned_ms = now.mono_ms
        demands = [self._demand(entry) for entry in self._entries.values() if entry.due_wh > 0]
        open_now = [one for one in demands if one.departure_utc_ms > now.utc_ms]
        self._plans = self._ledger.plan(open_now, limits, prices, now.utc_ms, self._stuck_ma)
        nothing = Plan(now_w=0, short_wh=0, done_utc_ms=None, blocker="")
        for index, entry in self._entries.items():
            self._plans.setdefault(index, replace(nothing, short_wh=entry.due_wh))

    def _demand(self, entry: NeedEntry) -> Demand:
        own_w = power_max(entry.asset, self._topology.nominal_voltage_mv)
        most_w = min(own_w, entry.need.power_max_w) if entry.need.HasField("power_max_w") else own_w
        return Demand(
            asset=entry.asset,
            due_wh=entry.due_wh,
            departure_utc_ms=entry.need.departure_utc_ms,
            power_max_w=most_w,
            is_firm=entry.is_firm,
        )

    def _check_owner(self, asked: ChargingNeed, asset: AssetEntry | None) -> Refusal | None:
        held = None if asset is None else self._entries.get(asset.index)
        if held is None or held.need.source == asked.source or _is_of_car(held.need):
            return None
        return _not_owner(asked.asset_id, held.need.source)

    def _remove(self, index: int) -> Forget:
        entry = self._entries.pop(index)
        self._plans.pop(index, None)
        self._planned_ms = None
        return Forget(id=entry.need.asset_id, table=NEED_TABLE)


def progressed(entry: NeedEntry, view: EvseView, now: Now) -> NeedEntry:
    """The entry after one look at its EVSE. Power counts from look to look until the counter has moved."""
    since_ms = 0 if entry.looked_ms is None else now.mono_ms - entry.looked_ms
    entry = replace(entry, looked_ms=now.mono_ms, has_come=entry.has_come or view.has_car)
    if view.power_w is not None and 0 < since_ms <= GAP_MS_MAX:
        entry = replace(entry, by_power_wms=entry.by_power_wms + max(0, view.power_w) * since_ms)
    if view.energy_wh is None or view.energy_wh == entry.counter_wh:
        return entry
    if entry.counter_wh is None or view.energy_wh < entry.counter_wh:
        # The first count, or a counter that began anew: what came before it is known by power alone.
        counted_wh = entry.delivered_wh
        return replace(entry, counter_wh=view.energy_wh, counted_wh=counted_wh, by_power_wms=0)
    counted_wh = entry.counted_wh + view.energy_wh - entry.counter_wh
    return replace(entry, counter_wh=view.energy_wh, counted_wh=counted_wh, by_power_wms=0)


def record_of(entry: NeedEntry) -> bytes:
    """Journal form."""
    need = base64.b64encode(entry.need.SerializeToString(deterministic=True)).decode()
    fields = {"counted_wh": entry.delivered_wh, "counter_wh": entry.counter_wh, "has_come": entry.has_come}
    return json.dumps({"need": need, "is_firm": entry.is_firm, **fields}, sort_keys=True).encode()


def entry_of(record: bytes, topology: Topology) -> NeedEntry | None:
    """From its journal form; None: it is of no EVSE of this site, or was not written by this program."""
    try:
        found = json.loads(record)
        need = ChargingNeed.FromString(base64.b64decode(found["need"], validate=True))
        asset = topology.asset(need.asset_id)
        if asset is None or not asset.is_evse:
            return None
        counter_wh = None if found["counter_wh"] is None else int(found["counter_wh"])
        return NeedEntry(
            need=need,
            asset=asset,
            counted_wh=int(found["counted_wh"]),
            counter_wh=counter_wh,
            has_come=bool(found["has_come"]),
            is_firm=bool(found["is_firm"]),
        )
    except (ValueError, KeyError, TypeError, DecodeError):
        return None


def _on_step(current_ma: int, entry: NeedEntry) -> int:
    """The current that the EVSE can be given for a plan: rounded up, or the plan would fall behind."""
    step_ma = entry.asset.current_step_ma
    return min(-(-current_ma // step_ma) * step_ma, entry.asset.current_max_ma or 0)


def _is_over(entry: NeedEntry, plug: PlugState, now: Now) -> bool:
    gone = entry.has_come and plug == PlugState.PLUG_STATE_AVAILABLE
    return gone or now.utc_ms >= entry.need.departure_utc_ms + AFTER_MS


def _check(asked: ChargingNeed, asset: AssetEntry | None, now: Now) -> Refusal | None:
    kind, _, name = asked.source.partition(":")
    if kind not in SOURCES or not 0 < len(name) <= ID_LENGTH_MAX:
        return invalid("need.source", repr(asked.source), f"one of {', '.join(SOURCES)}, then ':' and a name")
    if asset is None:
        message = f"asset {asked.asset_id!r} is not in the site"
        return Refusal(reason=Reason.UNKNOWN_ASSET, message=message, field="need.asset_id")
    if not asset.is_evse:
        return invalid("need.asset_id", f"{asset.id!r}, which is no EVSE", "an EVSE")
    if not 0 < asked.energy_wh <= ENERGY_WH_MAX:
        return out_of_range("need.energy_wh", asked.energy_wh, f"1..{ENERGY_WH_MAX} Wh")
    if asked.departure_utc_ms <= now.utc_ms:
        message = f"the departure was {now.utc_ms - asked.departure_utc_ms} ms ago by this machine's clock"
        return Refusal(reason=Reason.ALREADY_OVER, message=message, field="need.departure_utc_ms")
    if asked.departure_utc_ms - now.utc_ms > DEPARTURE_AHEAD_MS_MAX:
        expected = f"at most {DEPARTURE_AHEAD_MS_MAX} ms ahead"
        return out_of_range("need.departure_utc_ms", asked.departure_utc_ms, expected)
    if asked.HasField("power_max_w") and asked.power_max_w <= 0:
        return out_of_range("need.power_max_w", asked.power_max_w, "1 W or more, or absent")
    return None


def _is_of_car(need: ChargingNeed) -> bool:
    return need.source.partition(":")[0] == CAR


def _clamped(asked: ChargingNeed, asset: AssetEntry, voltage_mv: int) -> tuple[ChargingNeed, list[str]]:
    accepted, reasons = ChargingNeed(), []
    accepted.CopyFrom(asked)
    most_w = power_max(asset, voltage_mv)
    if accepted.HasField("power_max_w") and accepted.power_max_w > most_w:
        accepted.power_max_w = most_w
        reasons.append(f"power_max_w lowered from {asked.power_max_w} to {most_w}: the EVSE gives no more")
    return accepted, reasons


def _not_owner(asset_id: str, owner: str) -> Refusal:
    message = f"the need of {asset_id!r} belongs to {owner!r}; a source changes and clears only its own"
    return Refusal(reason=Reason.NOT_OWNER, message=message, field="source")
