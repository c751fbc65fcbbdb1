"""DerService: the utility's connection, controls and notices, opt-outs, what the meter saw, flow reservations."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from typing import Any

import grpc.aio

from dgm.api.der.v1 import der_pb2, der_pb2_grpc, report_pb2
from dgm.api.der.v1.der_pb2 import ConnectionState, Control, ControlState, Mode
from dgm.der.core import DerCore
from dgm.der.core_events import CancelFlow, RequestFlow
from dgm.der.discovery import Link
from dgm.der.flow_requests import Refused
from dgm.der.further import FurtherSets
from dgm.der.identity import sfdi_of
from dgm.der.orders import OptIn, OptOut
from dgm.der.resource import ControlMode
from dgm.der.schedule import ControlEvent, Phase
from dgm.der.service.reports import flows_of, reports_of
from dgm.machine import Now
from dgm.site.refusal import Reason, Refusal
from dgm.site.service import refuse

LINK_STATES = {
    Link.CONNECTING: ConnectionState.CONNECTION_STATE_CONNECTING,
    Link.REGISTERED: ConnectionState.CONNECTION_STATE_REGISTERED,
    Link.READY: ConnectionState.CONNECTION_STATE_READY,
    Link.LOST: ConnectionState.CONNECTION_STATE_LOST,
}
PHASE_STATES = {
    Phase.SCHEDULED: ControlState.CONTROL_STATE_SCHEDULED,
    Phase.ACTIVE: ControlState.CONTROL_STATE_ACTIVE,
    Phase.COMPLETED: ControlState.CONTROL_STATE_COMPLETED,
    Phase.CANCELLED: ControlState.CONTROL_STATE_CANCELLED,
    Phase.SUPERSEDED: ControlState.CONTROL_STATE_SUPERSEDED,
    Phase.REJECTED: ControlState.CONTROL_STATE_REJECTED,
    Phase.WITHDRAWN: ControlState.CONTROL_STATE_CANCELLED,
}


class DerService(der_pb2_grpc.DerServiceServicer):
    """bell: an event that is set whenever the controls may have changed. step: gives the core an event."""

    def __init__(
        self,
        core: DerCore,
        *,
        server: Callable[[], str],
        lfdi: Callable[[], str],
        now: Callable[[], Now],
        bell: Callable[[], AbstractContextManager[asyncio.Event]],
        step: Callable[[OptOut | OptIn | RequestFlow | CancelFlow], None],
    ) -> None:
        self._core = core
        self._server = server
        self._lfdi = lfdi
        self._now = now
        self._bell = bell
        self._step = step

    async def GetConnection(
        self, request: der_pb2.GetConnectionRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> der_pb2.GetConnectionResponse:
        discovery = self._core.discovery
        last_ms = discovery.last_success_ms
        return der_pb2.GetConnectionResponse(
            state=LINK_STATES[discovery.link],
            server=self._server(),
            lfdi=self._lfdi(),
            sfdi=str(sfdi_of(self._lfdi())),
            last_success_age_ms=-1 if last_ms is None else self._now().mono_ms - last_ms,
            clock_offset_ms=self._core.offset_ms,
            polls=discovery.counters.polls,
            poll_failures=discovery.counters.failures,
            why=discovery.why,
        )

    async def ListControls(
        self, request: der_pb2.ListControlsRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> der_pb2.ListControlsResponse:
        return der_pb2.ListControlsResponse(controls=controls_of(self._core))

    async def GetNotices(
        self, request: der_pb2.GetNoticesRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> der_pb2.GetNoticesResponse:
        return notices_of(self._core.further)

    async def WatchControls(
        self, request: der_pb2.WatchControlsRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> AsyncIterator[der_pb2.WatchControlsResponse]:
        told: list[Control] | None = None
        with self._bell() as bell:
            while True:
                bell.clear()
                controls = controls_of(self._core)
                if controls != told:
                    told = controls
                    yield der_pb2.WatchControlsResponse(controls=controls)
                await bell.wait()

    async def OptOut(
        self, request: der_pb2.OptOutRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> der_pb2.OptOutResponse:
        # What people say is on our clock, the schedule on the server's.
        until_ms = request.until_utc_ms + self._core.offset_ms if request.HasField("until_utc_ms") else None
        event = OptOut(mrid=request.mrid, lanes=frozenset(request.modes), until_ms=until_ms)
        refusal = self._core.scheduler.opt_out_refusal(event)
        if refusal is not None:
            await refuse(Refusal(reason=Reason.OPT_OUT_REFUSED, message=refusal, field="mrid"), context)
        self._step(event)
        return der_pb2.OptOutResponse(control=self._control(request.mrid))

    async def OptIn(
        self, request: der_pb2.OptInRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> der_pb2.OptInResponse:
        if self._control(request.mrid) is None:
            message = f"mrid: found {request.mrid!r}; expected an event of ListControls"
            await refuse(Refusal(reason=Reason.UNKNOWN_CONTROL, message=message, field="mrid"), context)
        self._step(OptIn(mrid=request.mrid))
        return der_pb2.OptInResponse(control=self._control(request.mrid))

    async def ListEventReports(
        self, request: report_pb2.ListEventReportsRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> report_pb2.ListEventReportsResponse:
        return reports_of(self._core.reporting)

    async def ListFlows(
        self, request: report_pb2.ListFlowsRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> report_pb2.ListFlowsResponse:
        return report_pb2.ListFlowsResponse(requests=flows_of(self._core, self._now()))

    async def RequestFlow(
        self, request: report_pb2.RequestFlowRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> report_pb2.RequestFlowResponse:
        now = self._now()
        event = RequestFlow(
            energy_wh=request.energy_wh,
            power_w=request.power_w,
            start_ms=request.start_utc_ms or now.utc_ms,
            end_ms=request.end_utc_ms,
        )
        refused = self._core.flow_refusal(event, now)
        if refused is not None:
            reason = Reason.TOO_MANY if refused is Refused.TOO_MANY else Reason.OUT_OF_RANGE
            await refuse(Refusal(reason=reason, message=refused.value, field="energy_wh"), context)
        self._step(event)
        return report_pb2.RequestFlowResponse(request=flows_of(self._core, self._now())[-1])

    async def CancelFlow(
        self, request: report_pb2.CancelFlowRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> report_pb2.CancelFlowResponse:
        if request.mrid not in self._core.flows.told():
            message = f"mrid: found {request.mrid!r}; expected a request of ListFlows that is not over"
            await refuse(Refusal(reason=Reason.UNKNOWN_CONTROL, message=message, field="mrid"), context)
        self._step(CancelFlow(mrid=request.mrid))
        found = next((item for item in flows_of(self._core, self._now()) if item.mrid == request.mrid), None)
        return report_pb2.CancelFlowResponse(request=found)

    def _control(self, mrid: str) -> Control | None:
        return next((control for control in controls_of(self._core) if control.mrid == mrid), None)


class Bells:
    """Wakes every stream; a slow one sees the newest state only."""

    def __init__(self) -> None:
        self._events: set[asyncio.Event] = set()

    def ring(self) -> None:
        """Something changed."""
        for event in self._events:
            event.set()

    @contextlib.contextmanager
    def bell(self) -> Iterator[asyncio.Event]:
        """An event for as long as one stream lives."""
        event = asyncio.Event()
        self._events.add(event)
        try:
            yield event
        finally:
            self._events.discard(event)


def notices_of(further: FurtherSets) -> der_pb2.GetNoticesResponse:
    """Messages and prices in force."""
    found = der_pb2.GetNoticesResponse()
    for text in further.messages():
        found.messages.add(text=text.text, originator=text.originator or "", priority=text.priority)
    for priced, event in sorted(further.prices().items()):
        price = event.value(priced)
        if price is not None:
            row = found.prices.add(
                mrid=event.mrid,
                priced=priced,
                start_utc_ms=event.start_ms,
                end_utc_ms=event.end_ms,
                tier=price.tier,
                currency=price.currency or 0,
            )
            for block in price.blocks:
                row.blocks.add(start=block.start, price_micro=block.price_micro, per_mwh=block.per_mwh)
    return found


def controls_of(core: DerCore) -> list[Control]:
    """Every event known, by effective start, then the defaults that rule a mode now."""
    owed = {(respond.mrid, respond.status) for respond in core.scheduler.owed()}
    holders = {mode: row.mrid for mode, row in core.scheduler.ruling().items() if not row.is_default}
    events = [_event(event, owed, holders) for event in core.scheduler.events()]
    return [*events, *_defaults(core)]


def _event(event: ControlEvent, owed: set[tuple[str, int]], holders: Mapping[str, str]) -> Control:
    return Control(
        mrid=event.mrid,
        program_mrid=event.program_mrid,
        primacy=event.primacy,
        state=PHASE_STATES[event.phase],
        start_utc_ms=event.start_ms,
        duration_ms=event.end_ms - event.start_ms,
        modes=[_mode(mode) for mode in event.modes],
        responses_sent=[code for code in event.sent if (event.mrid, code) not in owed],
        description=event.description,
        superseded_by=sorted({holders[mode] for mode in event.lost if mode in holders} - {event.mrid}),
        opted_out_modes=sorted(event.opted_out),
    )


def _defaults(core: DerCore) -> Iterator[Control]:
    ruling = {row.mrid for row in core.scheduler.ruling().values() if row.is_default}
    for stored in core.scheduler.defaults():
        if stored.control.mrid in ruling:
            yield Control(
                mrid=stored.control.mrid,
                program_mrid=stored.program_mrid,
                primacy=stored.primacy,
                state=ControlState.CONTROL_STATE_DEFAULT,
                modes=[_mode(mode) for mode in stored.control.base.modes],
                description=stored.control.description or "",
            )


def _mode(mode: ControlMode) -> Mode:
    permille = None if mode.permyriad is None else mode.permyriad // 10
    return Mode(name=mode.name, power_w=mode.power_w, permille=permille, on=mode.on)
