"""A running ems role that plans: the question goes to another process, the plan is told over gRPC and in series."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import replace
from pathlib import Path

from ems_examples import B1, M1, PV1, SITE, WrittenField, decided, power
from prometheus_client import CollectorRegistry, generate_latest
from test_ems_service import context

from dgm import clock, rpc
from dgm import config as site_config
from dgm.api.ems.v1 import plan_pb2
from dgm.api.ems.v1.ems_pb2_grpc import EmsServiceStub
from dgm.ems.service import EmsRole
from dgm.journal import Journal

PLANNER = "ems: {policies: [{name: planner, parameters: {horizon_h: 2}}]}\n"
WAIT_S = 60.0
"""A process that starts and loads a solver on a busy machine."""


async def test_a_role_with_the_policy_plans_and_tells_it(tmp_path: Path) -> None:
    journal, registry, field = Journal(tmp_path / "ems.journal"), CollectorRegistry(), WrittenField()
    config = site_config.parse(SITE + PLANNER, source="test")
    given = replace(context(journal, registry, tmp_path, 1), config=config)
    role = EmsRole(given, lambda config, epoch: field)
    server = rpc.RoleServer(role.servicers())
    server.listen_unix(tmp_path / "ems.sock")
    await server.start()
    channel = rpc.channel(f"unix:{tmp_path}/ems.sock")
    work = asyncio.create_task(role.run())
    try:
        stub = EmsServiceStub(channel)
        async with asyncio.timeout(WAIT_S):
            while not (plan := await stub.GetPlan(plan_pb2.GetPlanRequest())).in_force:
                now = clock.now()
                seen = [power(M1, 30_000, now), power(B1, 0, now, soc=500), power(PV1, 0, now)]
                field.publish(decided(now, readings=seen))
                await asyncio.sleep(0.05)
        assert len(plan.steps) == 8
        assert plan.steps[0].load_w == 30_000
        flexibility = await stub.GetFlexibility(plan_pb2.GetFlexibilityRequest())
        assert [step.start_utc_ms for step in flexibility.steps] == [step.start_utc_ms for step in plan.steps]
        series = generate_latest(registry).decode()
        assert 'dgm_plan_outcome_total{outcome="held"} 1.0' in series
        assert "dgm_plan_active 1.0" in series
    finally:
        work.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await work
        await channel.close()
        await server.stop(0)
        journal.close()
