"""The EMS as a machine: requests, reports and decisions in; journal writes, columns for the core, replies out.

    PutLimit ──┐                     ┌──> SendLimits (at once) ──> Keep (durable) ──> Reply
    Samples ───┤   Cycle.handle      ├──> SendSamples, SendOutcomes (at once)
    CoreDecided┤   state, book,      ├──> PublishSetpoints, PublishLimits
    Needs ... ─┤   guidance          └──> SendTargets (each cycle, a lease of three cycles)
    Tick ──────┘   (policies)

The core decides; this machine says what is wanted and what is limited. Effects are to be run in their order.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import assert_never

from google.protobuf.message import Message

from dgm.api.config.v1.config_pb2 import DgmConfig
from dgm.api.core.v1.core_pb2 import AssetGrant, Decision, LimitSet
from dgm.api.ems.v1.ems_pb2 import (
    DeleteLimitRequest,
    DeleteLimitResponse,
    DeleteTargetRequest,
    DeleteTargetResponse,
    ExplainDecisionResponse,
    LimitStatus,
    Outcome,
    OutcomeState,
    PutLimitRequest,
    PutTargetRequest,
    ReportOutcomesRequest,
    ReportOutcomesResponse,
)
from dgm.api.ems.v1.field_pb2 import FieldAuditEntry
from dgm.api.ems.v1.plan_pb2 import GetFlexibilityResponse, GetPlanResponse
from dgm.api.ems.v1.policy_pb2 import (
    ClearChargingNeedRequest,
    ListFlowWishesResponse,
    PutFlowBlocksRequest,
    PutPricesRequest,
    ReportGuardRequest,
    SetChargingNeedRequest,
)
from dgm.api.site.v1.site_pb2 import Quality, ReportSamplesRequest, ReportSamplesResponse
from dgm.ems.calendar import Offset, utc_offset
from dgm.ems.effect import EffectBook, measured_of
from dgm.ems.explain import explain
from dgm.ems.flexibility import Need, flexibility, stores
from dgm.ems.guidance import Guidance
from dgm.ems.limit_status import ended_status, limit_status
from dgm.ems.limits import Change, Entry, Forget, Keep, LimitBook
from dgm.ems.planner.describe import flow_wishes, horizon, plan_message
from dgm.ems.planner.problem import Plan, Problem
from dgm.ems.policy import PolicyMemory, Want, decide_wants, target_rows
from dgm.ems.setpoints import SetpointBook
from dgm.ems.targets import TargetBook
from dgm.machine import Now, Tick
from dgm.site.refusal import Reason, Refusal
from dgm.site.state import VALUE_MAX, Reading, ReportGate, SiteState, Verdict, known_samples
from dgm.site.topology import AssetEntry, Topology

OUTCOMES_MAX = 8
"""Outcomes remembered per asset for explanations."""

ENDED_MAX = 64
"""Ended limits still listed, so that a watcher sees them end."""

ENDED_MS = 60_000
"""How long an ended limit is listed."""

TARGET_CYCLES = 3
"""Lease of the wants in the core, in cycles."""

LINK_MS = 5_000
"""No sign of the ocpp role for this long: every EVSE counts as unreachable."""

OUTCOME_STATES = tuple(state for state in OutcomeState.values() if state != OutcomeState.OUTCOME_STATE_UNSPECIFIED)

Row = tuple[int | None, ...]
"""One row of a column block of the core; None: not known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CoreDecided:
    """The core has published a tick: core.v1.Decision bytes, and the newest readings of Modbus assets by index."""

    decision: bytes
    readings: Sequence[tuple[int, Reading]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """The process that solves has answered, or why it has not."""

    answer: Plan | str


@dataclass(frozen=True, slots=True)
class SubscriberHeard:
    """A subscriber of WatchSetpoints is there and takes what it is sent."""


Event = (
    PutLimitRequest
    | DeleteLimitRequest
    | PutTargetRequest
    | DeleteTargetRequest
    | ReportSamplesRequest
    | ReportOutcomesRequest
    | SetChargingNeedRequest
    | ClearChargingNeedRequest
    | ReportGuardRequest
    | PutPricesRequest
    | PutFlowBlocksRequest
    | CoreDecided
    | SubscriberHeard
    | Planned
    | Tick
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SendLimits:
    """core.v1.LimitSet for the core: replaces all limits put before."""

    limits: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class SendTargets:
    """Rows (want, weight, stratum, want_reason, keeps_on), one per asset."""

    rows: Sequence[Row]
    ttl_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SendSamples:
    """Rows (asset_index, age_ms, plug_state, power_w, i1_ma, i2_ma, i3_ma, soc_permille, energy_wh)."""

    rows: Sequence[Row]


@dataclass(frozen=True, slots=True, kw_only=True)
class SendOutcomes:
    """Rows (asset_index, sequence, state, value_ma, fallback_ma)."""

    rows: Sequence[Row]


@dataclass(frozen=True, slots=True, kw_only=True)
class SendLink:
    """Whether the ocpp role is heard."""

    up: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class SolvePlan:
    """A plan is wanted, off the cycle: the answer, or why there is none, comes back as Planned."""

    problem: Problem
    deadline_s: int


@dataclass(frozen=True, slots=True)
class PublishSetpoints:
    """Subscribers of WatchSetpoints have something to read."""


@dataclass(frozen=True, slots=True)
class PublishLimits:
    """Watchers of WatchLimits have something to read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """Answer to the request of this event; comes after everything that must be durable first."""

    message: Message | Refusal


Effect = (
    Keep
    | Forget
    | SendLimits
    | SendTargets
    | SendSamples
    | SendOutcomes
    | SendLink
    | SolvePlan
    | PublishSetpoints
    | PublishLimits
    | Reply
)


class Cycle:
    """The machine of the ems role. offset: of the site's local time. stopwatch: microseconds, judges slow policies."""

    def __init__(
        self,
        config: DgmConfig,
        *,
        epoch: int,
        offset: Offset = utc_offset,
        stopwatch: Callable[[], int] = int,
    ) -> None:
        self.topology = Topology.from_config(config)
        self.state = SiteState(topology=self.topology, sample_max_age_ms=config.ems.sample_max_age_ms)
        self.book = LimitBook(self.topology)
        self.setpoints = SetpointBook(
            self.topology, epoch=epoch, ttl_ms=config.ems.setpoint_ttl_ms, cycle_ms=config.ems.cycle_ms
        )
        self.decision: Decision | None = None
        self.overruns = 0
        self.guidance = Guidance(config, self.topology, offset, stopwatch)
        self._targets = TargetBook(self.topology)
        self._epoch = epoch
        self._limit_sequence = 0
        self._cycle_ms = config.ems.cycle_ms
        self._setpoint_ttl_ms = config.ems.setpoint_ttl_ms
        self._next_cycle_ms: int | None = None
        self._wake_limits_ms: int | None = None
        self._memory = PolicyMemory()
        self._wants: list[Want] = []
        self._gates = {"samples": ReportGate(), "outcomes": ReportGate()}
        self._outcomes: dict[int, deque[tuple[int, Outcome]]] = {}
        self._effects = EffectBook()
        self._stores = stores(config)
        self._ended: deque[tuple[int, Entry]] = deque(maxlen=ENDED_MAX)
        self._listed: list[LimitStatus] = []
        self._has_ocpp = config.HasField("ocpp")
        self._heard_ms: int | None = None
        self._link_up: bool | None = None
        self._restored_ms = 0

    def restore(
        self, records: dict[str, bytes], now: Now, tables: Mapping[str, Mapping[str, bytes]] | None = None
    ) -> list[Effect]:
        """What must reach the core before its first tick: the journaled limits, and whether the ocpp role is heard.

        tables: the journal's other tables by name (guidance.TABLES). The policies are asked once, so that their caps
        hold from the first tick on.
        """
        self._restored_ms = now.mono_ms
        change = self.book.restore(records, now)
        forgotten = self.guidance.restore(tables or {}, now)
        _, journal = self.guidance.steer(self.state, self.book.entries(), {}, now, self._restored_ms)
        return [*self._limits_changed(change, now, always=True), *forgotten, *journal, *self._link(now)]

    def handle(self, event: Event, now: Now) -> list[Effect]:
        """Take one event; the effects are to be run in order."""
        match event:
            case PutLimitRequest():
                return self._put_limit(event, now)
            case DeleteLimitRequest():
                return self._delete_limit(event, now)
            case PutTargetRequest():
                answer = self._targets.put(event.target, now)
                return [*([] if isinstance(answer, Refusal) else self._send_targets(now)), Reply(message=answer)]
            case DeleteTargetRequest():
                return self._delete_target(event, now)
            case ReportSamplesRequest():
                return self._samples(event, now)
            case ReportOutcomesRequest():
                return self._report_outcomes(event, now)
            case SetChargingNeedRequest() | ClearChargingNeedRequest() | ReportGuardRequest() | PutPricesRequest():
                return self._guide(event, now)
            case PutFlowBlocksRequest():
                held = self.guidance.put_blocks(event, now)
                return [*([] if isinstance(held, Refusal) else self._send_targets(now)), Reply(message=held)]
            case CoreDecided():
                return self._decided(event, now)
            case SubscriberHeard():
                self._heard_ms = now.mono_ms
                return self._link(now)
            case Planned():
                taken = self.guidance.desk is not None and self.guidance.desk.take(event.answer, now)
                return self._send_targets(now) if taken else []
            case Tick():
                return self._tick(now)
            case _:
                assert_never(event)

    def wake_time(self) -> int | None:
        """Next cycle, or the next start or end of a limit, whichever is earlier."""
        times = [time for time in (self._next_cycle_ms, self._wake_limits_ms) if time is not None]
        return min(times, default=0)

    def limits(self, now: Now) -> list[LimitStatus]:
        """Status of every limit put, then of those that ended within the last minute."""
        entries = (*self.book.entries(), *self.guidance.stack.book.entries())
        held = [limit_status(entry, self.decision, self.state, now) for entry in entries]
        known = {status.limit.id for status in held}
        recent = [entry for at_ms, entry in self._ended if now.mono_ms - at_ms < ENDED_MS]
        return held + [ended_status(entry) for entry in recent if entry.limit.id not in known]

    def entry(self, limit_id: str) -> Entry | None:
        """The limit of a source or the cap of a policy that has this id."""
        return self.book.get(limit_id) or self.guidance.get(limit_id)

    def explain(
        self, asset_id: str, now: Now, *, written: FieldAuditEntry | None = None
    ) -> ExplainDecisionResponse | Refusal:
        """Why an asset has its setpoint. written: the newest command to it, for a Modbus device."""
        asset = self.topology.asset(asset_id)
        if asset is None:
            message = f"asset {asset_id!r} is not in the site"
            return Refusal(reason=Reason.UNKNOWN_ASSET, message=message, field="asset_id")
        grant = self._grant_of(asset)
        if self.decision is None or grant is None:
            message = f"nothing has been decided for {asset_id!r} yet, or it is not controlled"
            return Refusal(reason=Reason.NO_DECISION, message=message, field="asset_id")
        want = self._wants[asset.index] if self._wants else None
        return explain(
            asset,
            grant,
            self.decision,
            topology=self.topology,
            entry_of=self.entry,
            want=want,
            outcomes=[_aged(outcome, now.mono_ms - at_ms) for at_ms, outcome in self._outcomes_of(asset)],
            ttl_ms=self._setpoint_ttl_ms,
            target_source="" if want is None else self._targets.source_of(want.target_id),
            written=written,
            step=self._effects.get(asset.index),
            now=now,
        )

    def flexibility(self, now: Now) -> GetFlexibilityResponse:
        """How much more or less the site could import now, and for how long."""
        needs = {
            index: Need(due_wh=planned.due_wh, departure_utc_ms=planned.departure_utc_ms)
            for index, planned in self.guidance.needs.planned().items()
        }
        answer = flexibility(self.state, self.decision, self._stores, needs, now)
        steps, answer.horizon_reason = horizon(self.guidance.desk, now)
        answer.steps.extend(steps)
        return answer

    def flow_wishes(self, now: Now) -> ListFlowWishesResponse:
        """What the newest plan would have a utility reserve."""
        return flow_wishes(self.guidance.desk, now)

    def plan(self, now: Now) -> GetPlanResponse:
        """The newest plan, with its age and what it was made from."""
        return plan_message(self.guidance.desk, now)

    def _outcomes_of(self, asset: AssetEntry) -> Iterable[tuple[int, Outcome]]:
        return reversed(self._outcomes.get(asset.index, ()))

    def _grant_of(self, asset: AssetEntry) -> AssetGrant | None:
        grants = [] if self.decision is None else self.decision.grants
        own = (grant for grant in grants if grant.asset_index == asset.index)
        return next((grant for grant in own if grant.HasField("current_ma") or grant.HasField("power_w")), None)

    def _put_limit(self, request: PutLimitRequest, now: Now) -> list[Effect]:
        aged = self._limits_changed(self.book.advance(now), now)
        answer = self.book.put(request, now)
        if isinstance(answer, Refusal):
            return [*aged, Reply(message=answer)]
        entry, change = answer
        return [*aged, *self._limits_changed(change, now), Reply(message=entry.reply())]

    def _delete_limit(self, request: DeleteLimitRequest, now: Now) -> list[Effect]:
        change = self.book.delete(request.id, request.source)
        if isinstance(change, Refusal):
            return [Reply(message=change)]
        if change is None:
            return [Reply(message=DeleteLimitResponse(existed=False))]
        return [*self._limits_changed(change, now), Reply(message=DeleteLimitResponse(existed=True))]

    def _limits_changed(self, change: Change, now: Now, *, always: bool = False) -> list[Effect]:
        """The core first, so that a tightening waits for no disk; then the journal, which every reply waits for."""
        self._wake_limits_ms = self.book.wake_time(now)
        self._ended.extend((now.mono_ms, entry) for entry in change.ended)
        if not change.journal and not always:
            return []
        return [self._send_limits(now), *change.journal, *self._list_limits(now)]

    def _send_limits(self, now: Now) -> SendLimits:
        self._limit_sequence += 1
        active = [*self.book.active(now), *self.guidance.active(now)]
        limits = LimitSet(epoch=self._epoch, sequence=self._limit_sequence, limits=active)
        return SendLimits(limits=limits.SerializeToString())

    def _list_limits(self, now: Now) -> list[Effect]:
        listed = self.limits(now)
        if [_without_time(status) for status in listed] == self._listed:
            return []
        self._listed = [_without_time(status) for status in listed]
        return [PublishLimits()]

    def _delete_target(self, request: DeleteTargetRequest, now: Now) -> list[Effect]:
        answer = self._targets.delete(request.id, request.source)
        if isinstance(answer, Refusal):
            return [Reply(message=answer)]
        sent = self._send_targets(now) if answer else []
        return [*sent, Reply(message=DeleteTargetResponse(existed=answer))]

    def _send_targets(self, now: Now) -> list[Effect]:
        """Ask the policies and tell the core: caps first, which may tighten, then wants, then the journal."""
        targets = self._targets.winners(now)
        grants = () if self.decision is None else self.decision.grants
        steering, journal = self.guidance.steer(
            self.state, self.book.entries(), targets, now, self._restored_ms, grants
        )
        self._ended.extend((now.mono_ms, entry) for entry in self.guidance.stack.take_ended())
        caps = [self._send_limits(now)] if self.guidance.stack.is_due(now) else []
        self._wants, self._memory = decide_wants(self.state, targets, self._memory, now, steering)
        rows = target_rows(self._wants, self.topology)
        return [*caps, SendTargets(rows=rows, ttl_ms=TARGET_CYCLES * self._cycle_ms), *journal]

    def _guide(
        self,
        event: SetChargingNeedRequest | ClearChargingNeedRequest | ReportGuardRequest | PutPricesRequest,
        now: Now,
    ) -> list[Effect]:
        """What the policies are told acts at once; what is durable is so before the reply."""
        answer: Message | Refusal
        journal: Sequence[Keep | Forget] = ()
        match event:
            case SetChargingNeedRequest():
                answer, journal = self.guidance.set_need(event, self.book.entries(), now)
            case ClearChargingNeedRequest():
                answer, journal = self.guidance.clear_need(event)
            case PutPricesRequest():
                answer = self.guidance.put_prices(event, now)
            case ReportGuardRequest():
                refusal = self.guidance.take_guard(event, now)
                sent = self._send_targets(now) if refusal is None else []
                return [*sent, Reply(message=refusal or self.guidance.guard_answer(event.source))]
            case _:
                assert_never(event)
        if isinstance(answer, Refusal):
            return [Reply(message=answer)]
        return [*self._send_targets(now), *journal, Reply(message=answer)]

    def _samples(self, request: ReportSamplesRequest, now: Now) -> list[Effect]:
        verdict = self._gates["samples"].judge(request.source, request.sequence)
        known, unknown = known_samples(self.topology, request.samples)
        if verdict is Verdict.NEW:
            unknown += [der.asset_id for der in request.ders if not self.state.put_der(der)]
        reply = Reply(message=_report_refusal(verdict) or ReportSamplesResponse(unknown_asset_ids=unknown))
        if verdict is not Verdict.NEW:
            return [reply]
        rows = [_sample_row(asset, self.state.take(asset.index, sample, now), now) for asset, sample in known]
        for asset, _ in known:
            self._see(asset)
        return [SendSamples(rows=rows), reply] if rows else [reply]

    def _report_outcomes(self, request: ReportOutcomesRequest, now: Now) -> list[Effect]:
        verdict = self._gates["outcomes"].judge(request.source, request.sequence)
        known = [(asset, outcome) for outcome in request.outcomes if (asset := self._evse(outcome.asset_id))]
        unknown = [outcome.asset_id for outcome in request.outcomes if self._evse(outcome.asset_id) is None]
        refusal = _report_refusal(verdict) or _check_outcomes(outcome for _, outcome in known)
        reply = Reply(message=refusal or ReportOutcomesResponse(unknown_asset_ids=unknown))
        if refusal is not None or verdict is not Verdict.NEW or not known:
            return [reply]
        for asset, outcome in known:
            self._outcomes.setdefault(asset.index, deque(maxlen=OUTCOMES_MAX)).append((now.mono_ms, outcome))
        return [SendOutcomes(rows=[self._outcome_row(asset, outcome) for asset, outcome in known]), reply]

    def _outcome_row(self, asset: AssetEntry, outcome: Outcome) -> Row:
        """An outcome from an earlier life proves its value, but answers no setpoint of this one: sequence 0."""
        value_ma = outcome.current_ma if outcome.HasField("current_ma") else None
        fallback_ma = outcome.fallback_ma if outcome.HasField("fallback_ma") else None
        sequence = outcome.sequence if outcome.epoch == self._epoch else 0
        return asset.index, sequence, int(outcome.state), _in_column(value_ma), _in_column(fallback_ma)

    def _evse(self, asset_id: str) -> AssetEntry | None:
        asset = self.topology.asset(asset_id)
        return asset if asset is not None and asset.is_evse else None

    def _decided(self, event: CoreDecided, now: Now) -> list[Effect]:
        decision = Decision.FromString(event.decision)
        for index, reading in event.readings:
            self.state.put_reading(index, reading)
            self._see(self.topology.assets[index])
        if _tick_of(decision) <= _tick_of(self.decision):
            return []  # no tick has been decided since: its leases are not renewed
        self.decision = decision
        self.state.put_decision(decision, now)
        for grant in decision.grants:
            value = grant.current_ma if grant.HasField("current_ma") else grant.power_w
            if self._effects.is_news(grant.asset_index, value):
                measured = self._measured(self.topology.assets[grant.asset_index])
                self._effects.granted(grant.asset_index, value, measured, now)
        return [PublishSetpoints()] if self.setpoints.put_decision(decision, now) else []

    def _measured(self, asset: AssetEntry) -> int | None:
        return measured_of(asset, self.state.reading(asset.index), self.topology.nominal_voltage_mv)

    def _see(self, asset: AssetEntry) -> None:
        self._effects.measured(asset.index, self._measured(asset), self.state.reading(asset.index).measured_ms)

    def _tick(self, now: Now) -> list[Effect]:
        effects = self._limits_changed(self.book.advance(now), now)
        if self._next_cycle_ms is not None and now.mono_ms < self._next_cycle_ms:
            return effects
        self._schedule(now)
        self.state.age(now)
        return [*effects, *self._link(now), *self._send_targets(now), *self._list_limits(now), *self._plan(now)]

    def _plan(self, now: Now) -> list[Effect]:
        desk = self.guidance.desk
        problem = None if desk is None else desk.ask(now)
        if desk is None or problem is None:
            return []
        return [SolvePlan(problem=problem, deadline_s=desk.settings.deadline_s)]

    def _schedule(self, now: Now) -> None:
        due_ms = now.mono_ms if self._next_cycle_ms is None else self._next_cycle_ms
        late_cycles = (now.mono_ms - due_ms) // self._cycle_ms
        self.overruns += late_cycles
        self._next_cycle_ms = due_ms + (late_cycles + 1) * self._cycle_ms

    def _link(self, now: Now) -> list[Effect]:
        heard = self._heard_ms is not None and now.mono_ms - self._heard_ms < LINK_MS
        up = heard or not self._has_ocpp
        if up == self._link_up:
            return []
        if up:
            self._restored_ms = now.mono_ms
        self._link_up = up
        return [SendLink(up=up)]


def _tick_of(decision: Decision | None) -> tuple[int, int]:
    """Orders decisions. The time alone does not: a tightened limit can cause a second one within a millisecond."""
    return (0, 0) if decision is None else (decision.time_mono_ms, decision.sequence)


def _without_time(status: LimitStatus) -> LimitStatus:
    """What a watcher is told of at once; time and measurements pass by themselves."""
    return LimitStatus(limit=status.limit, state=status.state, shortfall_w=status.shortfall_w)


def _report_refusal(verdict: Verdict) -> Refusal | None:
    match verdict:
        case Verdict.NEW | Verdict.DUPLICATE:
            return None
        case Verdict.OLD:
            message = "a newer report of this source has been taken"
            return Refusal(reason=Reason.OLD_REPORT, message=message, field="sequence")
        case Verdict.MALFORMED:
            message = 'source: expected "<role>:<epoch>", of few roles, and a sequence of 0 or more'
            return Refusal(reason=Reason.FIELD_INVALID, message=message, field="source")


def _check_outcomes(outcomes: Iterable[Outcome]) -> Refusal | None:
    """The core takes what is within its columns and refuses the rest whole, so that is found here."""
    for outcome in outcomes:
        if outcome.state not in OUTCOME_STATES or not 0 <= outcome.sequence <= VALUE_MAX:
            message = f"outcome of {outcome.asset_id!r}: state {outcome.state}, sequence {outcome.sequence}"
            return Refusal(reason=Reason.FIELD_INVALID, message=message, field="outcomes")
    return None


def _sample_row(asset: AssetEntry, reading: Reading, now: Now) -> Row:
    """A sample for the core; values that are not good are withheld, the plug state is not.

    Samples name the conductors of the site; the core wants those of the EVSE itself, in its own order.
    """
    good = reading.quality == Quality.QUALITY_GOOD
    own_ma = [reading.current_ma[phase - 1] for phase in asset.phases]
    own_ma += [None] * (3 - len(own_ma))
    values: Row = (reading.power_w, *own_ma, reading.soc_permille, reading.energy_wh)
    age_ms = min(reading.age_ms(now), VALUE_MAX)
    return (asset.index, age_ms, int(reading.plug_state), *(values if good else (None,) * len(values)))


def _aged(outcome: Outcome, by_ms: int) -> Outcome:
    """The outcome with its age as of now: it grows while we hold it."""
    found = Outcome()
    found.CopyFrom(outcome)
    found.age_ms += max(0, by_ms)
    return found


def _in_column(value: int | None) -> int | None:
    return value if value is not None and 0 <= value <= VALUE_MAX else None
