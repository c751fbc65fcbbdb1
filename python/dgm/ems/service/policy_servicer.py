"""PolicyService over gRPC: one step of the machine per call, or a look at it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dgm import clock
from dgm.api.ems.v1 import policy_pb2, policy_pb2_grpc
from dgm.site.service import Context, answer

if TYPE_CHECKING:
    from dgm.ems.service.role import EmsRole


class PolicyService(policy_pb2_grpc.PolicyServiceServicer):
    """The servicer."""

    def __init__(self, role: EmsRole) -> None:
        self._role = role

    async def SetChargingNeed(self, request: policy_pb2.SetChargingNeedRequest, context: Context) -> Any:
        """Take what a driver needs; durable when the reply says what is promised."""
        return await answer(self._role.step(request), context)

    async def ClearChargingNeed(self, request: policy_pb2.ClearChargingNeedRequest, context: Context) -> Any:
        """Forget a need of the same source."""
        return await answer(self._role.step(request), context)

    async def ListChargingNeeds(
        self, request: policy_pb2.ListChargingNeedsRequest, context: Context
    ) -> policy_pb2.ListChargingNeedsResponse:
        """Every need with what is promised of it now."""
        return self._role.cycle.guidance.promises(clock.now())

    async def ReportGuard(self, request: policy_pb2.ReportGuardRequest, context: Context) -> Any:
        """Take a sign of life of a guard; what it states is with the core when the reply goes out."""
        return await answer(self._role.step(request), context)

    async def PutPrices(self, request: policy_pb2.PutPricesRequest, context: Context) -> Any:
        """Replace the prices of a source."""
        return await answer(self._role.step(request), context)

    async def PutFlowBlocks(self, request: policy_pb2.PutFlowBlocksRequest, context: Context) -> Any:
        """Replace the granted blocks of a source."""
        return await answer(self._role.step(request), context)

    async def ListFlowWishes(
        self, request: policy_pb2.ListFlowWishesRequest, context: Context
    ) -> policy_pb2.ListFlowWishesResponse:
        """What the newest plan would have a utility reserve."""
        return self._role.cycle.flow_wishes(clock.now())

    async def ListPolicies(
        self, request: policy_pb2.ListPoliciesRequest, context: Context
    ) -> policy_pb2.ListPoliciesResponse:
        """How every policy stands, in rank order."""
        return self._role.cycle.guidance.policies(clock.now())
