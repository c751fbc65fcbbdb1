"""Hands the utility's prices of energy on to the EMS, where its tariff policy and its planner use them.

    prices() every 5 s ──PriceSync──PutPrices──> ems        told when they have changed, and when the EMS was away

A price ends with its interval at the EMS too, so silence of this role leaves none behind. An EMS that takes no prices
(somebody else's) is told none. What others state over the API goes before what is told here; that is the EMS's rule.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import grpc
import grpc.aio

from dgm.api.ems.v1.policy_pb2 import PriceBlock, PutPricesRequest
from dgm.api.ems.v1.policy_pb2_grpc import PolicyServiceStub
from dgm.der.envelope import SOURCE
from dgm.der.prices import BLOCKS_MAX, EnergyPrice
from dgm.der.service.ems_link import CALL_TIMEOUT_S
from dgm.log import logger

INTERVAL_S = 5.0
DURATION_MS_MAX = 31 * 86_400_000
"""The EMS takes no longer block; a longer price is cut into several."""
TAKES_NONE = frozenset({grpc.StatusCode.UNIMPLEMENTED, grpc.StatusCode.NOT_FOUND})


class PriceSync:
    """prices: what energy costs, on our own clock. is_known: the schedule is known, so no prices means none."""

    def __init__(
        self,
        channel: grpc.aio.Channel,
        *,
        prices: Callable[[], tuple[EnergyPrice, ...]],
        is_known: Callable[[], bool],
        interval_s: float = INTERVAL_S,
    ) -> None:
        self._stub = PolicyServiceStub(channel)
        self._prices = prices
        self._is_known = is_known
        self._interval_s = interval_s
        self._told: tuple[EnergyPrice, ...] | None = None
        self._log = logger("der")

    def forget(self) -> None:
        """The EMS was away: tell it everything again."""
        self._told = None

    async def run(self) -> None:
        """Work until cancelled."""
        while True:
            await self.sync()
            await asyncio.sleep(self._interval_s)

    async def sync(self) -> None:
        """Tell what is new."""
        prices = self._prices()
        if prices == self._told or not (prices or self._is_known()):
            return
        try:
            await self._stub.PutPrices(request_of(prices), timeout=CALL_TIMEOUT_S)
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.INVALID_ARGUMENT or error.code() is grpc.StatusCode.OUT_OF_RANGE:
                self._log.error("ems refused the utility's prices", prices=len(prices), why=error.details())
                self._told = prices
                return
            self._log.debug("ems takes no prices", code=error.code().name)
            self._told = prices if error.code() in TAKES_NONE else None
            return
        if prices or self._told:
            self._log.info("utility prices", prices=len(prices))
        self._told = prices


def request_of(prices: tuple[EnergyPrice, ...]) -> PutPricesRequest:
    """The message."""
    blocks = [
        PriceBlock(start_utc_ms=at_ms, duration_ms=min(price.end_ms - at_ms, DURATION_MS_MAX), per_mwh=price.per_mwh)
        for price in prices
        for at_ms in range(price.start_ms, price.end_ms, DURATION_MS_MAX)
    ]
    return PutPricesRequest(source=SOURCE, prices=blocks[:BLOCKS_MAX])
