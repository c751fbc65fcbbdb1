"""Hands on to the EMS what the utility says ahead of time: prices of energy, and charging that it has granted.

    prices(), flow_plans() every 5 s ──StatementSync──PutPrices, PutFlowBlocks──> ems: tariff policy, planner

Told when it has changed, and when the EMS was away. Prices and blocks end with their intervals at the EMS too, so
silence of this role leaves none behind. An EMS that takes none (somebody else's) is told once. The limit of a grant in
force goes beside this, as every limit does (`envelope`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

import grpc
import grpc.aio

from dgm.api.ems.v1.policy_pb2 import FlowBlock, PriceBlock, PutFlowBlocksRequest, PutPricesRequest
from dgm.api.ems.v1.policy_pb2_grpc import PolicyServiceStub
from dgm.der.envelope import SOURCE
from dgm.der.flow_requests import FlowPlan
from dgm.der.prices import BLOCKS_MAX, EnergyPrice
from dgm.der.service.ems_link import CALL_TIMEOUT_S
from dgm.log import logger

INTERVAL_S = 5.0
PRICE_MS_MAX = 31 * 86_400_000
"""The EMS takes no longer block; a longer price is cut into several."""
FLOW_MS_MAX = 7 * 86_400_000
FLOWS_MAX = 200
FINAL = frozenset(
    {
        grpc.StatusCode.UNIMPLEMENTED,
        grpc.StatusCode.NOT_FOUND,
        grpc.StatusCode.INVALID_ARGUMENT,
        grpc.StatusCode.OUT_OF_RANGE,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
    }
)
"""Saying it again would be of no use."""

Statement = PutPricesRequest | PutFlowBlocksRequest


class StatementSync:
    """state: what is to be known at the EMS now. is_known: the schedule is known, so an empty statement is one."""

    def __init__(
        self,
        channel: grpc.aio.Channel,
        *,
        state: Callable[[], Statement],
        is_known: Callable[[], bool],
        interval_s: float = INTERVAL_S,
    ) -> None:
        self._stub = PolicyServiceStub(channel)
        self._state = state
        self._is_known = is_known
        self._interval_s = interval_s
        self._told: Statement | None = None
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
        state = self._state()
        if state == self._told or not (_count(state) or self._is_known()):
            return
        what = type(state).__name__
        try:
            await self._send(state)
        except grpc.aio.AioRpcError as error:
            tell = self._log.warning if error.code() in FINAL and _count(state) else self._log.debug
            tell("ems does not take what the utility says", what=what, code=error.code().name, why=error.details())
            self._told = state if error.code() in FINAL else None
            return
        if _count(state) or (self._told is not None and _count(self._told)):
            self._log.info("told the EMS what the utility says", what=what, count=_count(state))
        self._told = state

    async def _send(self, state: Statement) -> None:
        if isinstance(state, PutPricesRequest):
            await self._stub.PutPrices(state, timeout=CALL_TIMEOUT_S)
        else:
            await self._stub.PutFlowBlocks(state, timeout=CALL_TIMEOUT_S)


def prices_of(prices: Iterable[EnergyPrice]) -> PutPricesRequest:
    """What energy costs. prices: on our own clock."""
    blocks = [
        PriceBlock(start_utc_ms=at_ms, duration_ms=min(price.end_ms - at_ms, PRICE_MS_MAX), per_mwh=price.per_mwh)
        for price in prices
        for at_ms in range(price.start_ms, price.end_ms, PRICE_MS_MAX)
    ]
    return PutPricesRequest(source=SOURCE, prices=blocks[:BLOCKS_MAX])


def blocks_of(plans: Iterable[FlowPlan], *, ahead_ms: int) -> PutFlowBlocksRequest:
    """What is granted for charging; one that discharges is none. ahead_ms: the server's clock less ours."""
    blocks = [
        FlowBlock(
            id=plan.grant_mrid,
            start_utc_ms=plan.start_ms - ahead_ms,
            duration_ms=min(plan.end_ms - plan.start_ms, FLOW_MS_MAX),
            power_w=plan.power_w if plan.energy_wh > 0 else 0,
            energy_wh=plan.energy_wh if plan.energy_wh > 0 else None,
        )
        for plan in plans
        if plan.power_w >= 0 and plan.end_ms > plan.start_ms
    ]
    return PutFlowBlocksRequest(source=SOURCE, blocks=blocks[:FLOWS_MAX])


def _count(state: Statement) -> int:
    return len(state.prices) if isinstance(state, PutPricesRequest) else len(state.blocks)
