"""The EMS as a machine: requests, reports and decisions in; journal writes, columns for the core, replies out.

    PutLimit ──> LimitDesk ──┐                     ┌──> SendLimits (at once) ──> Keep (durable) ──> Reply
    Samples ───> Reports ────┤   Cycle.handle      ├──> SendSamples, SendOutcomes (at once)
    CoreDecided ─────────────┤                     ├──> PublishSetpoints, PublishLimits
    Needs ... ─> Guidance ───┤                     └──> SendTargets (each cycle, a lease of three cycles)
    Tick ────────────────────┘

The core decides; this machine says what is wanted and what is limited. Effects are to be run in their order.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import assert_never

from google.protobuf.message import Message

from dgm.api.config.v1.config_pb2 import DgmConfig
from dgm.api.core.v1.core_pb2 import AssetGrant, Decision
from dgm.api.ems.v1.ems_pb2 import (
    DeleteLimitRequest,
    DeleteTargetRequest,
    DeleteTargetResponse,
    ExplainDecisionResponse,
    LimitStatus,
    PutLimitRequest,
    PutTargetRequest,
    ReportOutcomesRequest,
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
from dgm.api.site.v1.site_pb2 import ReportSamplesRequest
from dgm.ems.calendar import Offset, utc_offset
from dgm.ems.events import (
    CoreDecided,
    Effect,
    Event,
    Planned,
    PublishSetpoints,
    Reply,
    SendLink,
    SendTargets,
    SolvePlan,
    SubscriberHeard,
)
from dgm.ems.explain import explain
from dgm.ems.flexibility import Need, flexibility, stores
from dgm.ems.guidance import Guidance
from dgm.ems.limit_desk import LimitDesk
from dgm.ems.limits import Entry, Forget, Keep
from dgm.ems.planner.describe import flow_wishes, horizon, plan_message
from dgm.ems.policy import PolicyMemory, Want, decide_wants, target_rows
from dgm.ems.reports import Reports
from dgm.ems.setpoints import SetpointBook
from dgm.ems.targets import TargetBook
from dgm.machine import Now, Tick
from dgm.site.refusal import Reason, Refusal
from dgm.site.state import SiteState
from dgm.site.topology import AssetEntry, Topology

TARGET_CYCLES = 3
"""Lease of the wants in the core, in cycles."""

SPACING_MS = 200
"""What clients ask for acts at once, but they have the policies asked no more often than this: a hundred requests
within a second cost a few runs, and the cycle is not held.
"""

LINK_MS = 5_000
"""No sign of the ocpp role for this long: every EVSE counts as unreachable."""


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
        self.setpoints = SetpointBook(
            self.topology, epoch=epoch, ttl_ms=config.ems.setpoint_ttl_ms, cycle_ms=config.ems.cycle_ms
        )
        self.decision: Decision | None = None
        self.overruns = 0
        self.guidance = Guidance(config, self.topology, offset, stopwatch)
        self._desk = LimitDesk(self.state, self.guidance.stack, epoch=epoch)
        self.book = self._desk.book
        self._reports = Reports(self.state, epoch=epoch)
        self._targets = TargetBook(self.topology)
        self._cycle_ms = config.ems.cycle_ms
        self._setpoint_ttl_ms = config.ems.setpoint_ttl_ms
        self._next_cycle_ms: int | None = None
        self._asked_ms: int | None = None
        self._owed_ms: int | None = None
        self._work_ms: int | None = None
        self._memory = PolicyMemory()
        self._wants: list[Want] = []
        self._stores = stores(config)
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
        changed = self._desk.changed(change, self.decision, now, always=True)
        return [*changed, *forgotten, *journal, *self._link(now)]

    def handle(self, event: Event, now: Now) -> list[Effect]:
        """Take one event; the effects are to be run in order."""
        match event:
            case PutLimitRequest():
                return self._desk.put(event, self.decision, now)
            case DeleteLimitRequest():
                return self._desk.delete(event, self.decision, now)
            case PutTargetRequest():
                answer = self._targets.put(event.target, now)
                return [*([] if isinstance(answer, Refusal) else self._send_soon(now)), Reply(message=answer)]
            case DeleteTargetRequest():
                return self._delete_target(event, now)
            case ReportSamplesRequest():
                return self._reports.samples(event, now)
            case ReportOutcomesRequest():
                return self._reports.outcomes(event, now)
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
        """Next cycle, what is owed to clients, work between cycles, or a start or end of a limit: the earliest."""
        times = (self._next_cycle_ms, self._owed_ms, self._work_ms, self._desk.wake_ms)
        return min((time for time in times if time is not None), default=0)

    def limits(self, now: Now) -> list[LimitStatus]:
        """Status of every limit put, then of those that ended within the last minute."""
        return self._desk.statuses(self.decision, now)

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
            outcomes=self._reports.newest(asset, now),
            ttl_ms=self._setpoint_ttl_ms,
            target_source="" if want is None else self._targets.source_of(want.target_id),
            written=written,
            step=self._reports.step(asset),
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

    def _grant_of(self, asset: AssetEntry) -> AssetGrant | None:
        grants = [] if self.decision is None else self.decision.grants
        own = (grant for grant in grants if grant.asset_index == asset.index)
        return next((grant for grant in own if grant.HasField("current_ma") or grant.HasField("power_w")), None)

    def _delete_target(self, request: DeleteTargetRequest, now: Now) -> list[Effect]:
        answer = self._targets.delete(request.id, request.source)
        if isinstance(answer, Refusal):
            return [Reply(message=answer)]
        sent = self._send_soon(now) if answer else []
        return [*sent, Reply(message=DeleteTargetResponse(existed=answer))]

    def _send_soon(self, now: Now) -> list[Effect]:
        """For a client: at once, or SPACING_MS after the last time; then with all that has come meanwhile."""
        due_ms = now.mono_ms if self._asked_ms is None else self._asked_ms + SPACING_MS
        if now.mono_ms >= due_ms:
            self._asked_ms = now.mono_ms
            return self._send_targets(now)
        self._owed_ms = due_ms
        return []

    def _send_targets(self, now: Now) -> list[Effect]:
        """Ask the policies and tell the core: caps first, which may tighten, then wants, then the journal."""
        self._owed_ms = None
        targets = self._targets.winners(now)
        grants = () if self.decision is None else self.decision.grants
        steering, journal = self.guidance.steer(
            self.state, self.book.entries(), targets, now, self._restored_ms, grants
        )
        caps = self._desk.caps(now)
        self._wants, self._memory = decide_wants(self.state, targets, self._memory, now, steering)
        rows = target_rows(self._wants, self.topology)
        return [*caps, SendTargets(rows=rows, ttl_ms=TARGET_CYCLES * self._cycle_ms), *journal]

    def _guide(
        self,
        event: SetChargingNeedRequest | ClearChargingNeedRequest | ReportGuardRequest | PutPricesRequest,
        now: Now,
    ) -> list[Effect]:
        """What the policies are told acts at once or soon, a guard at once; what is durable is so before the reply."""
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
        return [*self._send_soon(now), *journal, Reply(message=answer)]

    def _decided(self, event: CoreDecided, now: Now) -> list[Effect]:
        decision = Decision.FromString(event.decision)
        self._reports.take_readings(event.readings)
        if _tick_of(decision) <= _tick_of(self.decision):
            return []  # no tick has been decided since: its leases are not renewed
        self.decision = decision
        self.state.put_decision(decision, now)
        self._reports.take_grants(decision, now)
        return [PublishSetpoints()] if self.setpoints.put_decision(decision, now) else []

    def _tick(self, now: Now) -> list[Effect]:
        effects = self._desk.advance(self.decision, now)
        if self._next_cycle_ms is not None and now.mono_ms < self._next_cycle_ms:
            return [*effects, *self._between(now)]
        self._schedule(now)
        self.state.age(now)
        sent = self._send_targets(now)
        self._work_ms = now.mono_ms + self._cycle_ms // 2 if self.guidance.needs.has_work else None
        return [*effects, *self._link(now), *sent, *self._desk.listed(self.decision, now), *self._plan(now)]

    def _between(self, now: Now) -> list[Effect]:
        """Between two cycles: work that no setpoint waits for, and what is owed to clients."""
        if self._work_ms is not None and now.mono_ms >= self._work_ms:
            self.guidance.needs.work()
            self._work_ms = None
        is_owed = self._owed_ms is not None and now.mono_ms >= self._owed_ms
        return self._send_soon(now) if is_owed else []

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
