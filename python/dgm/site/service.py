"""SiteService over gRPC: what stands on the site, what it does now, and reports of what other roles measured.

    ocpp ──ReportSamples──> report() of the machine         clients ──WatchSite──> one Watcher each: latest value wins

Runs inside the ems role. Also the one place where a Refusal becomes a gRPC status.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any, NoReturn

import grpc
import grpc.aio
from google.protobuf import any_pb2
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

from dgm.api.site.v1 import site_pb2_grpc
from dgm.api.site.v1.site_pb2 import (
    GetSiteRequest,
    GetSiteResponse,
    ReportSamplesRequest,
    WatchSiteRequest,
    WatchSiteResponse,
)
from dgm.machine import Now
from dgm.site.refusal import Reason, Refusal
from dgm.site.state import SiteState, Watcher

ERROR_DOMAIN = "dgm"

INTERVAL_MS_DEFAULT = 1000
INTERVAL_MS_MIN = 100
INTERVAL_MS_MAX = 60_000

STREAMS_MAX = 64
"""Streams of one kind at once; one more is refused with RESOURCE_EXHAUSTED."""

CODES: dict[Reason, grpc.StatusCode] = {
    Reason.FIELD_INVALID: grpc.StatusCode.INVALID_ARGUMENT,
    Reason.OUT_OF_RANGE: grpc.StatusCode.OUT_OF_RANGE,
    Reason.UNKNOWN_CIRCUIT: grpc.StatusCode.NOT_FOUND,
    Reason.UNKNOWN_ASSET: grpc.StatusCode.NOT_FOUND,
    Reason.NOT_METERED: grpc.StatusCode.FAILED_PRECONDITION,
    Reason.NOT_OWNER: grpc.StatusCode.PERMISSION_DENIED,
    Reason.TOO_MANY: grpc.StatusCode.RESOURCE_EXHAUSTED,
    Reason.ALREADY_OVER: grpc.StatusCode.FAILED_PRECONDITION,
    Reason.REQUEST_REUSED: grpc.StatusCode.ALREADY_EXISTS,
    Reason.OLD_REPORT: grpc.StatusCode.FAILED_PRECONDITION,
    Reason.NO_DEVICE: grpc.StatusCode.FAILED_PRECONDITION,
    Reason.NO_MODEL: grpc.StatusCode.NOT_FOUND,
    Reason.DEVICE_SILENT: grpc.StatusCode.UNAVAILABLE,
    Reason.DEVICE_REFUSED: grpc.StatusCode.FAILED_PRECONDITION,
    Reason.OPT_OUT_REFUSED: grpc.StatusCode.FAILED_PRECONDITION,
    Reason.UNKNOWN_CONTROL: grpc.StatusCode.NOT_FOUND,
    Reason.NO_DECISION: grpc.StatusCode.UNAVAILABLE,
}

Context = Any
"""grpc.aio.ServicerContext[Request, Response]; the generated code has no types for it."""


def status_of(refusal: Refusal) -> status_pb2.Status:
    """google.rpc.Status with ErrorInfo, and the field where there is one."""
    info = error_details_pb2.ErrorInfo(reason=refusal.reason.value, domain=ERROR_DOMAIN)
    details: list[Message] = [info]
    if refusal.field:
        violation = error_details_pb2.BadRequest.FieldViolation(field=refusal.field, description=refusal.message)
        details.append(error_details_pb2.BadRequest(field_violations=[violation]))
    status = status_pb2.Status(code=CODES[refusal.reason].value[0], message=refusal.message)
    for detail in details:
        packed = any_pb2.Any()
        packed.Pack(detail)
        status.details.append(packed)
    return status


async def refuse(refusal: Refusal, context: Context) -> NoReturn:
    """End the call with the refusal as its status."""
    status = rpc_status.to_status(status_of(refusal))
    await context.abort(status.code, status.details, status.trailing_metadata)
    raise AssertionError("abort() always raises")


async def answer(message: Message | Refusal, context: Context) -> Any:
    """Reply with a message, or end the call with the refusal."""
    if isinstance(message, Refusal):
        await refuse(message, context)
    return message


class SiteService(site_pb2_grpc.SiteServiceServicer):
    """The servicer. Every handler is one synchronous step of the machine in the role's event loop."""

    def __init__(
        self,
        *,
        state: SiteState,
        epoch: int,
        report: Callable[[ReportSamplesRequest], Message | Refusal],
        clock: Callable[[], Now],
        conflated: Callable[[int], None],
    ) -> None:
        self._state = state
        self._epoch = epoch
        self._report = report
        self._clock = clock
        self._conflated = conflated
        self._streams = 0

    async def GetSite(self, request: GetSiteRequest, context: Context) -> GetSiteResponse:
        """The tree."""
        return GetSiteResponse(site=self._state.topology.site_message(epoch=self._epoch))

    async def ReportSamples(self, request: ReportSamplesRequest, context: Context) -> Any:
        """Take samples of EVSEs."""
        return await answer(self._report(request), context)

    async def WatchSite(self, request: WatchSiteRequest, context: Context) -> AsyncIterator[WatchSiteResponse]:
        """A snapshot, then what changed, each interval. The next update is built when the last one was taken."""
        interval_ms = request.interval_ms or INTERVAL_MS_DEFAULT
        if not INTERVAL_MS_MIN <= interval_ms <= INTERVAL_MS_MAX:
            expected = f"0 (= {INTERVAL_MS_DEFAULT}) or {INTERVAL_MS_MIN}..{INTERVAL_MS_MAX} ms"
            message = f"interval_ms: found {interval_ms}; expected {expected}"
            await refuse(Refusal(reason=Reason.OUT_OF_RANGE, message=message, field="interval_ms"), context)
        await check_streams(self._streams, context)
        self._streams += 1
        watcher = Watcher(interval_ms=interval_ms)
        try:
            while True:
                before = watcher.conflated
                yield watcher.update(self._state, self._clock())
                self._conflated(watcher.conflated - before)
                await asyncio.sleep(watcher.wait_ms(self._clock()) / 1000)
        finally:
            self._streams -= 1


async def check_streams(open_streams: int, context: Context) -> None:
    """Refuse one stream too many."""
    if open_streams >= STREAMS_MAX:
        message = f"{STREAMS_MAX} streams of this kind are open; close one first"
        await refuse(Refusal(reason=Reason.TOO_MANY, message=message), context)
