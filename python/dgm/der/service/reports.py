"""What the meter saw, alarms and flow reservations, as messages of DerService."""

from __future__ import annotations

from dgm.api.der.v1 import report_pb2
from dgm.api.der.v1.report_pb2 import FlowState
from dgm.der.core import DerCore
from dgm.der.event_report import EventReport
from dgm.der.flow_requests import FlowPlan, FlowRequest, State
from dgm.der.reporting import Reporting
from dgm.machine import Now

FLOW_STATES = {
    State.WAITING: FlowState.FLOW_STATE_WAITING,
    State.REQUESTED: FlowState.FLOW_STATE_REQUESTED,
    State.GRANTED: FlowState.FLOW_STATE_GRANTED,
    State.CANCELLED: FlowState.FLOW_STATE_CANCELLED,
    State.REFUSED: FlowState.FLOW_STATE_REFUSED,
    State.OVER: FlowState.FLOW_STATE_OVER,
}


def reports_of(reporting: Reporting) -> report_pb2.ListEventReportsResponse:
    """Event reports and alarms."""
    return report_pb2.ListEventReportsResponse(
        reports=[_report(item) for item in reporting.reports.reports()],
        alarms=sorted(condition.name for condition in reporting.log.raised()),
        log_events_waiting=reporting.log.size,
        log_events_dropped=reporting.log.dropped,
    )


def _report(item: EventReport) -> report_pb2.EventReport:
    return report_pb2.EventReport(
        mrid=item.mrid,
        mode=item.mode,
        limit_w=item.limit_w,
        start_utc_ms=item.start_ms,
        planned_end_utc_ms=item.planned_end_ms,
        end_utc_ms=item.end_ms,
        observed_ms=item.observed_ms,
        settled_ms=item.settled_ms,
        out_of_limit_ms=item.out_ms,
        worst_excess_w=item.worst_w,
        worst_utc_ms=item.worst_ms,
        energy_wh=item.energy_wh,
        excess_wh=item.over_wh,
        kept=item.is_kept,
    )


def flows_of(core: DerCore, now: Now) -> list[report_pb2.FlowRequest]:
    """Every request with what was granted to it; times of the server's clock."""
    plans = core.flow_plans(now)
    return [
        _flow(core, item, [plan for plan in plans if plan.request_mrid == item.mrid], now)
        for item in core.flows.requests()
    ]


def _flow(core: DerCore, item: FlowRequest, plans: list[FlowPlan], now: Now) -> report_pb2.FlowRequest:
    return report_pb2.FlowRequest(
        mrid=item.mrid,
        state=FLOW_STATES[core.flow_state(item, plans, now)],
        energy_wh=item.energy_wh,
        power_w=item.power_w,
        start_utc_ms=item.start_ms,
        end_utc_ms=item.end_ms,
        evse_ids=item.evse_ids,
        why=item.why,
        plans=[
            report_pb2.FlowPlan(
                grant_mrid=plan.grant_mrid,
                start_utc_ms=plan.start_ms,
                end_utc_ms=plan.end_ms,
                power_w=plan.power_w,
                energy_wh=plan.energy_wh,
                active=plan.is_active,
            )
            for plan in plans
        ],
    )
