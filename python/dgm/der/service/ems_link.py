"""The der role's two conversations with the EMS: limits there, the site back. The EMS may be away at any time.

    bounds() ──LimitSync──PutLimit / DeleteLimit──> ems          ems ──WatchSite──> SiteWatch ──> core

A limit is put when it changes, when its lease wants renewal and when the EMS has come back; nothing is put on a timer
otherwise. A refusal is logged once and tried again with the next change or renewal.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import grpc
import grpc.aio

from dgm.api.ems.v1.ems_pb2 import DeleteLimitRequest, PutLimitRequest
from dgm.api.ems.v1.ems_pb2_grpc import EmsServiceStub
from dgm.api.site.v1.site_pb2 import WatchSiteRequest, WatchSiteResponse
from dgm.api.site.v1.site_pb2_grpc import SiteServiceStub
from dgm.der.envelope import LIMITED, SOURCE, Bound, lease_ms, limit_of, renew_after_ms
from dgm.log import logger
from dgm.machine import Now

CALL_TIMEOUT_S = 5.0
RETRY_S_MIN, RETRY_S_MAX = 0.2, 3.0
REFUSED_RETRY_S = 30.0
SITE_INTERVAL_MS = 1000
LEASE_DRIFT_MS_MAX = 1000
"""A lease whose end has moved by more than this (the server's clock was measured anew) is put again."""

AWAY = frozenset({grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.CANCELLED})


@dataclass(frozen=True, slots=True, kw_only=True)
class _Held:
    """What the EMS was last told about a mode; bound None: deleted. renew_ms: monotonic, None: no renewal."""

    bound: Bound | None
    end_ms: int | None = None
    renew_ms: int | None = None


class LimitSync:
    """Keeps the limits at the EMS equal to what rules now.

    wanted: the bounds now. may_delete: the schedule is known, so what it lacks is really over. now: our monotonic clock
    with the server's UTC.
    """

    def __init__(
        self,
        channel: grpc.aio.Channel,
        circuit_id: str,
        *,
        wanted: Callable[[], Mapping[str, Bound]],
        may_delete: Callable[[], bool],
        now: Callable[[], Now],
    ) -> None:
        self._stub = EmsServiceStub(channel)
        self._circuit_id = circuit_id
        self._wanted = wanted
        self._may_delete = may_delete
        self._now = now
        self._held: dict[str, _Held] = {}
        self._bell = asyncio.Event()
        self._log = logger("der")

    def ring(self) -> None:
        """Something may have changed."""
        self._bell.set()

    def forget(self) -> None:
        """The EMS was away: tell it everything again."""
        self._held.clear()
        self._bell.set()

    async def run(self) -> None:
        """Work until cancelled."""
        retry_s = RETRY_S_MIN
        while True:
            self._bell.clear()
            try:
                pause_s = await self._sync()
                retry_s = RETRY_S_MIN
            except grpc.aio.AioRpcError as error:
                # The EMS is away. A new change is tried at once all the same; it may be what the EMS came back for.
                pause_s, retry_s = retry_s, min(retry_s * 2, RETRY_S_MAX)
                self._log.debug("ems does not answer", code=error.code().name)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause_s):
                    await self._bell.wait()

    async def _sync(self) -> float | None:
        """Tell what is to be told; returns how long to wait at most before looking again."""
        wanted = self._wanted()
        for mode in LIMITED:
            bound = wanted.get(mode)
            if bound is not None and self._is_news(mode, bound):
                await self._put(mode, bound)
            elif bound is None and self._may_delete() and self._held.get(mode) != _Held(bound=None):
                await self._delete(mode)
        renewals = [held.renew_ms for held in self._held.values() if held.renew_ms is not None]
        return max(min(renewals) - self._now().mono_ms, 0) / 1000 if renewals else None

    def _is_news(self, mode: str, bound: Bound) -> bool:
        held, now = self._held.get(mode), self._now()
        if held is None or held.bound != bound:
            return True
        if held.renew_ms is not None and now.mono_ms >= held.renew_ms:
            return True
        if held.end_ms is None or bound.end_utc_ms is None:
            return False
        return abs(now.mono_ms + lease_ms(bound, now.utc_ms) - held.end_ms) > LEASE_DRIFT_MS_MAX

    async def _put(self, mode: str, bound: Bound) -> None:
        now = self._now()
        limit = limit_of(bound, self._circuit_id, now.utc_ms)
        renew_after = renew_after_ms(bound, now.utc_ms)
        try:
            await self._stub.PutLimit(PutLimitRequest(limit=limit), timeout=CALL_TIMEOUT_S)
        except grpc.aio.AioRpcError as error:
            if error.code() in AWAY:
                raise
            self._log.error("ems refused a utility limit", limit=limit.id, power_w=limit.power_w, why=error.details())
            renew_after = int(REFUSED_RETRY_S * 1000)
        else:
            before = self._held.get(mode)
            if before is None or before.bound is None or before.bound.mrid != bound.mrid:
                self._log.info("utility limit", limit=limit.id, power_w=limit.power_w, why=limit.reason)
        self._held[mode] = _Held(
            bound=bound,
            end_ms=now.mono_ms + limit.ttl_ms,
            renew_ms=None if renew_after is None else now.mono_ms + renew_after,
        )

    async def _delete(self, mode: str) -> None:
        request = DeleteLimitRequest(id=f"utility:{mode}", source=SOURCE)
        try:
            reply = await self._stub.DeleteLimit(request, timeout=CALL_TIMEOUT_S)
        except grpc.aio.AioRpcError as error:
            if error.code() in AWAY:
                raise
            self._log.error("ems refused to delete a utility limit", limit=request.id, why=error.details())
        else:
            if reply.existed:
                self._log.info("utility limit ended", limit=request.id)
        self._held[mode] = _Held(bound=None)


class SiteWatch:
    """Follows the site at the EMS. seen: every update. lost: the stream ended. back: a stream has begun to answer."""

    def __init__(
        self,
        channel: grpc.aio.Channel,
        *,
        seen: Callable[[WatchSiteResponse], None],
        lost: Callable[[], None],
        back: Callable[[], None],
        interval_ms: int = SITE_INTERVAL_MS,
    ) -> None:
        self._stub = SiteServiceStub(channel)
        self._interval_ms = interval_ms
        self._seen = seen
        self._lost = lost
        self._back = back

    async def run(self) -> None:
        """Work until cancelled."""
        retry_s = RETRY_S_MIN
        while True:
            heard = False
            try:
                async for update in self._stub.WatchSite(WatchSiteRequest(interval_ms=self._interval_ms)):
                    if not heard:
                        heard, retry_s = True, RETRY_S_MIN
                        self._back()
                    self._seen(update)
            except grpc.aio.AioRpcError as error:
                logger("der").debug("site not seen", code=error.code().name)
            if heard:
                self._lost()
            await asyncio.sleep(retry_s)
            retry_s = min(retry_s * 2, RETRY_S_MAX)
