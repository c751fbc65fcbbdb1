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
from dgm.ems.plan_book import Finished, PlanBook, Setting
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
"""A plan of everybody is begun anew this often, and when needs end or limits or prices change."""

CHANGES_MS = 5_000
"""Changes follow each other no faster: a limit that moves each second does not have everybody planned each second."""

KEEP_MS = 300_000
"""What was delivered is journaled this often, at most KEPT_AT_ONCE of all needs in one cycle."""

KEPT_AT_ONCE = 4

GAP_MS_MAX = 10_000
"""Power is taken to have stood no longer than this between two looks."""

KEPT_PERMILLE = 990
"""Delivered is what reaches this part: the counter of a car and that of its EVSE never agree to the last Wh."""

WMS_PER_WH = 3_600_000

NO_PLAN = Plan(now_w=0, short_wh=0, done_utc_ms=None, blocker="")

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
    def departure_utc_ms(self) -> int:
        """When the car leaves."""
        return self.need.departure_utc_ms

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
        self._is_kept = is_kept
        self._entries: dict[int, NeedEntry] = {}
        self._book = PlanBook(ledger)
        self._waiting: dict[int, None] = {}
        self._planned_ms: int | None = None
        self._kept_ms: defaultdict[int, int] = defaultdict(int)
        self._is_due = True
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
        self._admit(asset.index, self._setting(limits, prices, now), now)
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
        self._is_due = self._is_due or due or ended or seen != self._seen
        self._seen = seen
        self._book.new_cycle(len(self._entries))
        self._begin_due(self._setting(limits, prices, now), now)
        if self._book.affords(len(self._entries)):
            self.work()
        return effects

    @property
    def has_work(self) -> bool:
        """Whether plans of everybody are being made: `work` does a part of it, best between two cycles."""
        return self._book.is_busy

    def work(self) -> None:
        """A cycle's part of a plan of everybody; the policies see it in the next cycle once it is whole."""
        self._finish(self._book.advance())

    def _begin_due(self, setting: Setting, now: Now) -> None:
        """Begin to plan everybody where that is due, else the trial of the next who waits for one."""
        if not self._book.is_busy:
            is_spaced = self._planned_ms is None or now.mono_ms - self._planned_ms >= CHANGES_MS
            if self._is_due and is_spaced:
                self._begin(setting, now)
            elif self._waiting:
                trial = next(iter(self._waiting))
                self._begin_trial(trial, setting)

    def _begin(self, setting: Setting, now: Now) -> None:
        self._is_due, self._planned_ms = False, now.mono_ms
        self._book.begin(self._demands(setting.utc_ms), setting)

    def _begin_trial(self, index: int, setting: Setting) -> None:
        demands = self._demands(setting.utc_ms)
        firm = [replace(one, is_firm=True) if one.asset.index == index else one for one in demands]
        self._book.begin(firm, setting, trial=index)

    def _finish(self, finished: Finished | None) -> None:
        if finished is None:
            return
        if finished.trial is None or finished.is_overtaken:
            self._is_due = self._is_due or finished.is_overtaken
            return
        self._waiting.pop(finished.trial, None)
        entry = self._entries.get(finished.trial)
        if entry is not None and finished.is_in_force:
            self._entries[finished.trial] = replace(entry, is_firm=True)

    def _kept_now(self, now: Now) -> list[Keep | Forget]:
        due = [entry for entry in self._entries.values() if now.mono_ms - self._kept_ms[entry.asset.index] >= KEEP_MS]
        for entry in due[:KEPT_AT_ONCE]:
            self._kept_ms[entry.asset.index] = now.mono_ms
        return [Keep(id=entry.need.asset_id, record=record_of(entry), table=NEED_TABLE) for entry in due[:KEPT_AT_ONCE]]

    def planned(self) -> dict[int, Planned]:
        """What the policies are told, by asset index."""
        plans, voltage_mv, found = self._book.plans, self._topology.nominal_voltage_mv, {}
        for index, entry in self._entries.items() if self._book.is_made else ():
            plan, due_wh = plans.get(index, NO_PLAN), entry.due_wh
            now_ma = _on_step(milliamps(plan.now_w, len(entry.asset.phases), voltage_mv), entry) if plan.now_w else 0
            found[index] = Planned(
                due_wh=due_wh,
                departure_utc_ms=entry.departure_utc_ms,
                now_ma=now_ma if due_wh else 0,
                is_promised=not plan.short_wh if index in plans else not due_wh,
            )
        return found

    def promises(self, now: Now) -> list[ChargingPromise]:
        """What is promised of every need, in column order."""
        return [self.promise(self._entries[index], now) for index in sorted(self._entries)]

    def promise(self, entry: NeedEntry, now: Now) -> ChargingPromise:
        """What is promised of one need."""
        plan = self._book.plans.get(entry.asset.index)
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

    def _admit(self, index: int, setting: Setting, now: Now) -> None:
        """Promise the newcomer if that breaks no earlier promise; else it takes what the others leave.

        What the others leave is looked at first. Whether it fits where everybody is entered anew is found out at once
        where few are, else by a trial within the next cycles: until then it is at risk, and so it is told.
        """
        self._waiting.pop(index, None)
        plan = self._book.enter(self._demand(self._entries[index]))
        if plan is None or plan.short_wh:
            if self._book.is_busy or not self._book.affords(2 * len(self._entries)):
                self._waiting[index] = None
                return
            self._try(index, setting, now)
            plan = self._book.plans[index]
        self._entries[index] = replace(self._entries[index], is_firm=not plan.short_wh)

    def _try(self, index: int, setting: Setting, now: Now) -> None:
        """A trial from its beginning to its end; without success and without a sheet, a sheet of everybody."""
        self._begin_trial(index, setting)
        self._finish(self._book.advance())
        if not self._book.is_made:
            self._begin(setting, now)
            self._finish(self._book.advance())

    def _setting(self, limits: Sequence[LimitView], prices: Sequence[Price], now: Now) -> Setting:
        return Setting(limits=limits, prices=prices, utc_ms=now.utc_ms, stuck_ma=self._stuck_ma)

    def _demands(self, utc_ms: int) -> list[Demand]:
        """Of all needs that are open."""
        entries = (entry for entry in self._entries.values() if entry.departure_utc_ms > utc_ms and entry.due_wh > 0)
        return [self._demand(entry) for entry in entries]

    def _demand(self, entry: NeedEntry) -> Demand:
        own_w = power_max(entry.asset, self._topology.nominal_voltage_mv)
        most_w = min(own_w, entry.need.power_max_w) if entry.need.HasField("power_max_w") else own_w
        return Demand(
            asset=entry.asset,
            due_wh=entry.due_wh,
            departure_utc_ms=entry.departure_utc_ms,
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
        self._waiting.pop(index, None)
        self._book.drop(index)
        self._is_due = True
        return Forget(id=entry.need.asset_id, table=NEED_TABLE)


def progressed(entry: NeedEntry, view: EvseView, now: Now) -> NeedEntry:
    """The entry after one look at its EVSE. Power counts from look to look until the counter has moved."""
    since_ms = 0 if entry.looked_ms is None else now.mono_ms - entry.looked_ms
    counted_wh, by_power_wms, counter_wh = entry.counted_wh, entry.by_power_wms, entry.counter_wh
    if view.power_w is not None and 0 < since_ms <= GAP_MS_MAX:
        by_power_wms += max(0, view.power_w) * since_ms
    if view.energy_wh is not None and view.energy_wh != counter_wh:
        if counter_wh is None or view.energy_wh < counter_wh:
            # The first count, or a counter that began anew: what came before it is known by power alone.
            counted_wh += by_power_wms // WMS_PER_WH
        else:
            counted_wh += view.energy_wh - counter_wh
        by_power_wms, counter_wh = 0, view.energy_wh
    # Written out: `replace` takes twice as long, per car and cycle.
    return NeedEntry(
        need=entry.need,
        asset=entry.asset,
        counted_wh=counted_wh,
        by_power_wms=by_power_wms,
        counter_wh=counter_wh,
        looked_ms=now.mono_ms,
        has_come=entry.has_come or view.has_car,
        is_firm=entry.is_firm,
    )


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
