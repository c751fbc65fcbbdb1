"""DerService of an aggregator: every request names its EndDevice and is answered by that one's service."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any

import grpc.aio

from dgm.api.der.v1 import der_pb2, der_pb2_grpc, report_pb2
from dgm.der.service.servicer import DerService
from dgm.site.refusal import Reason, Refusal
from dgm.site.service import refuse

Context = grpc.aio.ServicerContext[Any, Any]


class ManyDevices(der_pb2_grpc.DerServiceServicer):
    """services: by LFDI, upper case."""

    def __init__(self, services: Mapping[str, DerService]) -> None:
        self._services = services

    async def _of(self, lfdi: str, context: Context) -> DerService:
        found = self._services.get(lfdi.upper())
        if found is None:
            message = f"lfdi: found {lfdi!r}; expected one of the {len(self._services)} EndDevices of this aggregator"
            await refuse(Refusal(reason=Reason.FIELD_INVALID, message=message, field="lfdi"), context)
        assert found is not None, "refused"
        return found

    async def GetConnection(
        self, request: der_pb2.GetConnectionRequest, context: Context
    ) -> der_pb2.GetConnectionResponse:
        return await (await self._of(request.lfdi, context)).GetConnection(request, context)

    async def ListControls(
        self, request: der_pb2.ListControlsRequest, context: Context
    ) -> der_pb2.ListControlsResponse:
        return await (await self._of(request.lfdi, context)).ListControls(request, context)

    async def GetNotices(self, request: der_pb2.GetNoticesRequest, context: Context) -> der_pb2.GetNoticesResponse:
        return await (await self._of(request.lfdi, context)).GetNotices(request, context)

    async def WatchControls(
        self, request: der_pb2.WatchControlsRequest, context: Context
    ) -> AsyncIterator[der_pb2.WatchControlsResponse]:
        service = await self._of(request.lfdi, context)
        async for controls in service.WatchControls(request, context):
            yield controls

    async def OptOut(self, request: der_pb2.OptOutRequest, context: Context) -> der_pb2.OptOutResponse:
        return await (await self._of(request.lfdi, context)).OptOut(request, context)

    async def OptIn(self, request: der_pb2.OptInRequest, context: Context) -> der_pb2.OptInResponse:
        return await (await self._of(request.lfdi, context)).OptIn(request, context)

    async def ListEventReports(
        self, request: report_pb2.ListEventReportsRequest, context: Context
    ) -> report_pb2.ListEventReportsResponse:
        return await (await self._of(request.lfdi, context)).ListEventReports(request, context)

    async def ListFlows(self, request: report_pb2.ListFlowsRequest, context: Context) -> report_pb2.ListFlowsResponse:
        return await (await self._of(request.lfdi, context)).ListFlows(request, context)

    async def RequestFlow(
        self, request: report_pb2.RequestFlowRequest, context: Context
    ) -> report_pb2.RequestFlowResponse:
        return await (await self._of(request.lfdi, context)).RequestFlow(request, context)

    async def CancelFlow(
        self, request: report_pb2.CancelFlowRequest, context: Context
    ) -> report_pb2.CancelFlowResponse:
        return await (await self._of(request.lfdi, context)).CancelFlow(request, context)
