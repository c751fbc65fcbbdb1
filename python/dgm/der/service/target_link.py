"""Keeps the utility's targets at the EMS equal to what rules now; beside LimitSync, and weaker: a target may be late.

    wanted() every second ──TargetSync──PutTarget / DeleteTarget──> ems

A target is a lease of at most LEASE_MS that never outlives its event: if this role dies, the assets go back to the
policy of the EMS. The EMS may be away at any time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

import grpc
import grpc.aio

from dgm.api.ems.v1.ems_pb2 import DeleteTargetRequest, PutTargetRequest, Target
from dgm.api.ems.v1.ems_pb2_grpc import EmsServiceStub
from dgm.der.effect import Wanted
from dgm.der.envelope import SOURCE
from dgm.der.service.ems_link import AWAY, CALL_TIMEOUT_S
from dgm.log import logger
from dgm.machine import Now

LEASE_MS = 60_000
RENEW_MS = 20_000
LEASE_MS_MIN = 1000
INTERVAL_S = 1.0
PRIORITY = 1000
"""Above what anybody on site may state."""


class TargetSync:
    """wanted: target of each asset now. now: our monotonic clock with the server's UTC."""

    def __init__(
        self,
        channel: grpc.aio.Channel,
        *,
        wanted: Callable[[], Mapping[str, Wanted]],
        now: Callable[[], Now],
        interval_s: float = INTERVAL_S,
    ) -> None:
        self._stub = EmsServiceStub(channel)
        self._wanted = wanted
        self._now = now
        self._interval_s = interval_s
        self._held: dict[str, tuple[int, int]] = {}
        self._log = logger("der")

    def forget(self) -> None:
        """The EMS was away: tell it everything again."""
        self._held.clear()

    async def run(self) -> None:
        """Work until cancelled."""
        while True:
            try:
                await self.sync()
            except grpc.aio.AioRpcError as error:
                self._log.debug("ems does not answer", code=error.code().name)
            await asyncio.sleep(self._interval_s)

    async def sync(self) -> None:
        """Tell what is new. AioRpcError: the EMS is away."""
        wanted = self._wanted()
        for asset_id, want in wanted.items():
            held, now_ms = self._held.get(asset_id), self._now().mono_ms
            if held is None or held[0] != want.want_w or now_ms - held[1] >= RENEW_MS:
                await self._put(asset_id, want)
        for asset_id in [asset_id for asset_id in self._held if asset_id not in wanted]:
            await self._stub.DeleteTarget(
                DeleteTargetRequest(id=f"utility:{asset_id}", source=SOURCE), timeout=CALL_TIMEOUT_S
            )
            del self._held[asset_id]

    async def _put(self, asset_id: str, want: Wanted) -> None:
        now = self._now()
        ttl_ms = LEASE_MS if want.end_ms is None else min(max(want.end_ms - now.utc_ms, LEASE_MS_MIN), LEASE_MS)
        target = Target(
            id=f"utility:{asset_id}",
            source=SOURCE,
            asset_id=asset_id,
            want_w=want.want_w,
            priority=PRIORITY,
            ttl_ms=ttl_ms,
        )
        try:
            await self._stub.PutTarget(PutTargetRequest(target=target), timeout=CALL_TIMEOUT_S)
        except grpc.aio.AioRpcError as error:
            if error.code() in AWAY:
                raise
            self._log.error("ems refused a utility target", asset=asset_id, want_w=want.want_w, why=error.details())
        else:
            if asset_id not in self._held:
                self._log.info("utility target", asset=asset_id, want_w=want.want_w, why=want.mrid)
        self._held[asset_id] = (want.want_w, now.mono_ms)
