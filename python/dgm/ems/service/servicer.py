"""EmsService over gRPC: one step of the machine per call, one latest-value reader per stream."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

from dgm import clock
from dgm.api.ems.v1 import ems_pb2, ems_pb2_grpc, plan_pb2
from dgm.ems.events import PublishLimits, PublishSetpoints
from dgm.ems.setpoints import SetpointSubscriber
from dgm.site.service import Context, answer, check_streams
from dgm.site.state import SOURCE

if TYPE_CHECKING:
    from dgm.ems.service.role import EmsRole

HEARTBEAT_S = 1.0
"""A stream looks for news at least this often; for a subscriber of setpoints it is also the sign of life."""


class EmsService(ems_pb2_grpc.EmsServiceServicer):
    """The servicer. Between two awaits nothing else runs, so a step and its reply belong together."""

    def __init__(self, role: EmsRole) -> None:
        self._role = role

    async def PutLimit(self, request: ems_pb2.PutLimitRequest, context: Context) -> Any:
        """Accept or replace a limit; durable and with the core when the reply goes out."""
        return await answer(self._role.step(request), context)

    async def DeleteLimit(self, request: ems_pb2.DeleteLimitRequest, context: Context) -> Any:
        """Remove a limit of the same source."""
        return await answer(self._role.step(request), context)

    async def ListLimits(self, request: ems_pb2.ListLimitsRequest, context: Context) -> ems_pb2.ListLimitsResponse:
        """Every limit put, with what became of it; those of site.yaml stand in GetSite."""
        return ems_pb2.ListLimitsResponse(limits=self._role.cycle.limits(clock.now()))

    async def WatchLimits(
        self, request: ems_pb2.WatchLimitsRequest, context: Context
    ) -> AsyncIterator[ems_pb2.WatchLimitsResponse]:
        """All limits, at each change and once a second while anything measured changes."""
        await check_streams(self._role.streams(PublishLimits), context)
        sent: ems_pb2.WatchLimitsResponse | None = None
        with self._role.bell(PublishLimits) as bell:
            while True:
                bell.clear()
                newest = ems_pb2.WatchLimitsResponse(limits=self._role.cycle.limits(clock.now()))
                if newest != sent:
                    yield newest
                    sent = newest
                await _wait(bell)

    async def PutTarget(self, request: ems_pb2.PutTargetRequest, context: Context) -> Any:
        """Accept or replace a target."""
        return await answer(self._role.step(request), context)

    async def DeleteTarget(self, request: ems_pb2.DeleteTargetRequest, context: Context) -> Any:
        """Remove a target of the same source."""
        return await answer(self._role.step(request), context)

    async def WatchSetpoints(
        self, request: ems_pb2.WatchSetpointsRequest, context: Context
    ) -> AsyncIterator[ems_pb2.WatchSetpointsResponse]:
        """All setpoints, then changes at once and renewals. Only a subscriber "ocpp:<epoch>" keeps the link up."""
        await check_streams(self._role.streams(PublishSetpoints), context)
        source = SOURCE.fullmatch(request.subscriber)
        is_ocpp = source is not None and source[1] == "ocpp"
        subscriber = SetpointSubscriber()
        with self._role.bell(PublishSetpoints) as bell:
            while True:
                bell.clear()
                if is_ocpp:
                    self._role.heard()
                message = subscriber.next_message(self._role.cycle.setpoints, clock.now())
                if message is not None:
                    yield message
                await _wait(bell)

    async def ReportOutcomes(self, request: ems_pb2.ReportOutcomesRequest, context: Context) -> Any:
        """Take what devices did with setpoints."""
        return await answer(self._role.step(request), context)

    async def ExplainDecision(self, request: ems_pb2.ExplainDecisionRequest, context: Context) -> Any:
        """Why an asset has its setpoint."""
        return await answer(self._role.explain(request.asset_id), context)

    async def GetFlexibility(
        self, request: plan_pb2.GetFlexibilityRequest, context: Context
    ) -> plan_pb2.GetFlexibilityResponse:
        """How much more or less the site could import, for how long, and what bounds it."""
        return self._role.cycle.flexibility(clock.now())

    async def GetPlan(self, request: plan_pb2.GetPlanRequest, context: Context) -> plan_pb2.GetPlanResponse:
        """The newest plan, with its age and what it was made from."""
        return self._role.cycle.plan(clock.now())


async def _wait(bell: asyncio.Event) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(HEARTBEAT_S):
            await bell.wait()
