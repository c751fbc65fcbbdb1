"""PolicyService over gRPC, the journal behind it, and what an operator sees of policies."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path

import grpc.aio
import pytest
from ems_examples import WrittenField, demo_config
from prometheus_client import CollectorRegistry, generate_latest

from dgm import clock, rpc
from dgm.api.config.v1.config_pb2 import PolicyConfig, PolicyParameter
from dgm.api.core.v1.core_pb2 import LimitSet
from dgm.api.ems.v1 import ems_pb2, policy_pb2
from dgm.api.ems.v1.ems_pb2_grpc import EmsServiceStub
from dgm.api.ems.v1.policy_pb2_grpc import PolicyServiceStub
from dgm.ems.service import EmsRole
from dgm.ems.snapshot import Snapshot
from dgm.ems.steering import Targets
from dgm.journal import Journal
from dgm.role import RoleContext


@dataclass
class Running:
    """A role with policies, and its clients."""

    role: EmsRole
    field: WrittenField
    registry: CollectorRegistry
    policies: PolicyServiceStub
    ems: EmsServiceStub

    def metrics(self) -> str:
        return generate_latest(self.registry).decode()


def no_channel(name: str) -> grpc.aio.Channel:
    raise AssertionError(f"the ems role calls nobody, not even {name}")


def listed(name: str, **given: str) -> PolicyConfig:
    return PolicyConfig(name=name, parameters={key: PolicyParameter(values=[value]) for key, value in given.items()})


@contextlib.asynccontextmanager
async def running(tmp_path: Path, epoch: int = 1) -> AsyncIterator[Running]:
    config = demo_config()
    config.ems.time_zone = "Europe/Berlin"
    config.ems.policies.extend([listed("lpc", guard="utility:box", failsafe_w="9000"), listed("promise")])
    journal, registry, field = Journal(tmp_path / "ems.journal"), CollectorRegistry(), WrittenField()
    context = RoleContext(
        config=config,
        base_dir=tmp_path,
        state_dir=tmp_path,
        epoch=epoch,
        journal=journal,
        channel=no_channel,
        registry=registry,
    )
    role = EmsRole(context, lambda config, epoch: field)
    server = rpc.RoleServer(role.servicers())
    server.listen_unix(tmp_path / "ems.sock")
    await server.start()
    channel = rpc.channel(f"unix:{tmp_path}/ems.sock")
    work = asyncio.create_task(role.run())
    try:
        yield Running(role, field, registry, PolicyServiceStub(channel), EmsServiceStub(channel))
    finally:
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)
        await channel.close()
        await server.stop(0)
        journal.close()


def need(hours: int = 8) -> policy_pb2.ChargingNeed:
    departure = clock.now().utc_ms + hours * 3_600_000
    return policy_pb2.ChargingNeed(
        asset_id="e1", source="api:app", energy_wh=8_000, departure_utc_ms=departure, power_max_w=11_000
    )


async def test_a_need_is_promised_outlives_a_restart_and_is_cleared(tmp_path: Path) -> None:
    asked = need()
    async with running(tmp_path) as site:
        answer = await site.policies.SetChargingNeed(policy_pb2.SetChargingNeedRequest(need=asked))
        assert answer.promise.state == policy_pb2.PROMISE_STATE_PROMISED
        assert 'dgm_policy_promises{state="promised"} 1.0' in site.metrics()
    async with running(tmp_path, epoch=2) as again:
        (promise,) = (await again.policies.ListChargingNeeds(policy_pb2.ListChargingNeedsRequest())).promises
        assert promise.need == asked
        assert promise.state == policy_pb2.PROMISE_STATE_PROMISED
        request = policy_pb2.ClearChargingNeedRequest(asset_id="e1", source="api:app")
        assert (await again.policies.ClearChargingNeed(request)).existed
        assert not (await again.policies.ClearChargingNeed(request)).existed
    async with running(tmp_path, epoch=3) as last:
        assert not (await last.policies.ListChargingNeeds(policy_pb2.ListChargingNeedsRequest())).promises


async def test_a_need_that_cannot_be_meant_is_refused_over_the_wire(tmp_path: Path) -> None:
    async with running(tmp_path) as site:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await site.policies.SetChargingNeed(policy_pb2.SetChargingNeedRequest(need=need(hours=-1)))
        assert "ago" in str(caught.value.details())


def loads(field: WrittenField) -> list[int]:
    sent = field.newest("limits")
    assert isinstance(sent, LimitSet)
    return [limit.bound for limit in sent.limits if limit.source == "policy:lpc"]


async def test_a_guard_is_limited_from_the_start_and_its_statement_is_with_the_core_when_answered(
    tmp_path: Path,
) -> None:
    async with running(tmp_path) as site:
        assert loads(site.field) == [9000]
        beat = policy_pb2.ReportGuardRequest(source="utility:box")
        assert (await site.policies.ReportGuard(beat)).state == policy_pb2.GUARD_STATE_INIT
        before_ms = clock.now().mono_ms
        while clock.now().mono_ms == before_ms:
            pass  # the statement is to follow the sign of life, on a clock of milliseconds
        statement = policy_pb2.GuardStatement(active=True, power_w=5000)
        stated = policy_pb2.ReportGuardRequest(source="utility:box", statement=statement)
        answer = await site.policies.ReportGuard(stated)
        assert (answer.state, answer.power_w) == (policy_pb2.GUARD_STATE_LIMITED, 5000)
        assert loads(site.field) == [5000]
        limits = (await site.ems.ListLimits(ems_pb2.ListLimitsRequest())).limits
        assert [status.limit.source for status in limits] == ["policy:lpc"]
        (lpc, promise) = (await site.policies.ListPolicies(policy_pb2.ListPoliciesRequest())).policies
        assert (lpc.name, promise.name) == ("lpc", "promise")
        assert lpc.says == ["guard utility:box is LIMITED: 5000 W from the grid"]
        assert "failsafe_w=9000" in lpc.parameters


async def test_nobody_else_can_put_a_limit_in_the_name_of_a_policy(tmp_path: Path) -> None:
    async with running(tmp_path) as site:
        forged = ems_pb2.Limit(
            id="policy:lpc:load",
            source="policy:lpc",
            circuit_id="grid",
            quantity=ems_pb2.QUANTITY_GROSS_LOAD,
            power_w=10**6,
        )
        with pytest.raises(grpc.aio.AioRpcError):
            await site.ems.PutLimit(ems_pb2.PutLimitRequest(limit=forged))
        assert loads(site.field) == [9000]


def broken(snapshot: Snapshot, params: object) -> Targets:
    raise ZeroDivisionError("a bug of a guest")


async def test_a_policy_that_fails_is_named_in_the_metrics_and_to_whoever_asks(tmp_path: Path) -> None:
    async with running(tmp_path) as site:
        seat = site.role.cycle.guidance.stack.seats[1]
        seat.chosen = replace(seat.chosen, policy=replace(seat.chosen.policy, decide=broken))
        await site.policies.SetChargingNeed(policy_pb2.SetChargingNeedRequest(need=need()))
        told = site.metrics()
        assert 'dgm_policy_active{policy="lpc"} 1.0' in told
        (line,) = [
            one
            for one in told.splitlines()
            if one.startswith('dgm_policy_set_aside_total{policy="promise",why="raised"')
        ]
        assert float(line.rsplit(" ", 1)[1]) >= 1
        (_, promise) = (await site.policies.ListPolicies(policy_pb2.ListPoliciesRequest())).policies
        assert promise.set_aside
        assert promise.reason == "raised: ZeroDivisionError: a bug of a guest"
