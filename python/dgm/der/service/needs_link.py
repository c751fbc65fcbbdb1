"""What the EVs still need by when, from the EMS: asked every half a minute, given to the core when it has changed.

    ems ──ListChargingNeeds──> NeedsWatch ──(energy still to deliver, departure)──> core ──> flow reservation

An EMS that has no needs to tell (it is away, or somebody else's) tells nothing; what was asked of the utility stands.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import grpc.aio

from dgm.api.ems.v1.policy_pb2 import ChargingPromise, ListChargingNeedsRequest
from dgm.api.ems.v1.policy_pb2_grpc import PolicyServiceStub
from dgm.der.flow_requests import ChargingNeed
from dgm.der.service.ems_link import CALL_TIMEOUT_S
from dgm.log import logger

INTERVAL_S = 30.0


class NeedsWatch:
    """seen: every need there is, told when it differs from the last time."""

    def __init__(
        self,
        channel: grpc.aio.Channel,
        *,
        seen: Callable[[tuple[ChargingNeed, ...]], None],
        interval_s: float = INTERVAL_S,
    ) -> None:
        self._stub = PolicyServiceStub(channel)
        self._seen = seen
        self._interval_s = interval_s
        self._told: tuple[ChargingNeed, ...] = ()

    async def run(self) -> None:
        """Work until cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(self._interval_s)

    async def look(self) -> None:
        """Ask once."""
        try:
            answer = await self._stub.ListChargingNeeds(ListChargingNeedsRequest(), timeout=CALL_TIMEOUT_S)
        except grpc.aio.AioRpcError as error:
            logger("der").debug("ems tells no charging needs", code=error.code().name)
            return
        needs = tuple(need for promise in answer.promises if (need := need_of(promise)) is not None)
        if needs != self._told:
            self._told = needs
            self._seen(needs)


def need_of(promise: ChargingPromise) -> ChargingNeed | None:
    """What is still to be delivered; None: nothing is."""
    left_wh = promise.need.energy_wh - promise.delivered_wh
    if left_wh <= 0:
        return None
    return ChargingNeed(evse_id=promise.need.asset_id, energy_wh=left_wh, departure_ms=promise.need.departure_utc_ms)
