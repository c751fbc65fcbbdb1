"""What cars say of their trips, told to the EMS as needs of source car:<station>; what anybody else stated wins there.

    sessions ──CarNeed──> put ──> SetChargingNeed ──> ems: promised or not, journaled there

Told once: the EMS keeps it over a restart, and ends it when the car is gone. Tried again while the EMS is away.
"""

from __future__ import annotations

import asyncio

import grpc
import grpc.aio

from dgm.api.ems.v1.policy_pb2 import ChargingNeed, SetChargingNeedRequest
from dgm.api.ems.v1.policy_pb2_grpc import PolicyServiceStub
from dgm.log import logger
from dgm.ocpp.events import CarNeed

RPC_TIMEOUT_S = 2.0
RETRY_S = 1.0
AWAY = frozenset({grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.CANCELLED})


class CarNeeds:
    """The newest need of each EVSE that the EMS has not heard yet: at most one of each."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._policy = PolicyServiceStub(channel)
        self._untold: dict[str, CarNeed] = {}
        self._changed = asyncio.Event()
        self._log = logger("ocpp")

    def put(self, need: CarNeed) -> None:
        """Take what a session says."""
        self._untold[need.asset_id] = need
        self._changed.set()

    async def run(self) -> None:
        """Tell until cancelled."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            if not await self._tell():
                await asyncio.sleep(RETRY_S)
                self._changed.set()

    async def _tell(self) -> bool:
        while self._untold:
            need = next(iter(self._untold.values()))
            try:
                answer = await self._policy.SetChargingNeed(request_of(need), timeout=RPC_TIMEOUT_S)
            except grpc.aio.AioRpcError as error:
                if error.code() in AWAY:
                    return False
                self._log.info("need of a car not taken by ems", asset=need.asset_id, why=error.details())
            else:
                promise = answer.promise
                self._log.info("need of a car", asset=need.asset_id, wh=need.energy_wh, short_wh=promise.short_wh)
            if self._untold.get(need.asset_id) is need:
                del self._untold[need.asset_id]
        return True


def request_of(need: CarNeed) -> SetChargingNeedRequest:
    """The need as the EMS takes it."""
    return SetChargingNeedRequest(
        need=ChargingNeed(
            asset_id=need.asset_id,
            source=f"car:{need.station_id}",
            energy_wh=need.energy_wh,
            departure_utc_ms=need.departure_utc_ms,
            power_max_w=need.power_max_w,
        )
    )
