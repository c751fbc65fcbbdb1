"""What the CPOs' own profiles allow, as limits of the site: one per EVSE, source cpo:<id>.

    sessions ──CpoLimit──> put ──> [at once, then every RENEW_S] ──> PutLimit, or DeleteLimit when nothing limits

The ems role so grants no EVSE more than its CPO lets it draw, and the rest goes to others. It is the CPO's wish, not a
bound of the site: a lease that ends with this role, without a failsafe.
"""

from __future__ import annotations

import asyncio
import contextlib

import grpc.aio

from dgm.api.ems.v1 import ems_pb2, ems_pb2_grpc
from dgm.log import logger
from dgm.ocpp.events import CpoLimit

RPC_TIMEOUT_S = 2.0
RENEW_S = 200
TTL_MS = 600_000
RETRY_S = 1.0


class CpoLimits:
    """The newest ceiling of every EVSE, told to the ems role until it has taken it. cpos: CPO id by asset id."""

    def __init__(self, channel: grpc.aio.Channel, cpos: dict[str, str]) -> None:
        self._ems = ems_pb2_grpc.EmsServiceStub(channel)
        self._cpos = cpos
        self._limits: dict[str, int] = {}
        self._untold: dict[str, int | None] = {}
        self._changed = asyncio.Event()
        self._log = logger("ocpp")

    def put(self, limit: CpoLimit) -> None:
        """Take what a session says."""
        if limit.current_ma is None:
            self._limits.pop(limit.asset_id, None)
        else:
            self._limits[limit.asset_id] = limit.current_ma
        self._untold[limit.asset_id] = limit.current_ma
        self._changed.set()

    def resync(self) -> None:
        """The ems role has restarted: it kept what it took, but may have missed what came since."""
        self._untold = {**self._limits, **self._untold}
        self._changed.set()

    async def run(self) -> None:
        """Tell until cancelled."""
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(RENEW_S):
                    await self._changed.wait()
            if not self._changed.is_set():
                self.resync()
            self._changed.clear()
            if not await self._tell():
                await asyncio.sleep(RETRY_S)
                self._changed.set()

    async def _tell(self) -> bool:
        while self._untold:
            asset_id, current_ma = next(iter(self._untold.items()))
            source = f"cpo:{self._cpos[asset_id]}"
            limit_id = f"{source}:{asset_id}"
            try:
                if current_ma is None:
                    request = ems_pb2.DeleteLimitRequest(id=limit_id, source=source)
                    await self._ems.DeleteLimit(request, timeout=RPC_TIMEOUT_S)
                else:
                    limit = _limit(limit_id, source, asset_id, current_ma)
                    await self._ems.PutLimit(ems_pb2.PutLimitRequest(limit=limit), timeout=RPC_TIMEOUT_S)
            except grpc.aio.AioRpcError as error:
                self._log.debug("limit of a CPO not taken by ems", asset=asset_id, code=error.code().name)
                return False
            if self._untold.get(asset_id) == current_ma:
                del self._untold[asset_id]
        return True


def _limit(limit_id: str, source: str, asset_id: str, current_ma: int) -> ems_pb2.Limit:
    return ems_pb2.Limit(
        id=limit_id,
        source=source,
        asset_id=asset_id,
        quantity=ems_pb2.QUANTITY_CURRENT,
        current_ma=current_ma,
        ttl_ms=TTL_MS,
        reason="charging profiles of the CPO",
    )
