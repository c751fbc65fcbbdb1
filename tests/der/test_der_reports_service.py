"""What the meter saw and what was asked for, over gRPC and on the command line."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc.aio
import pytest
from der_examples import SITE
from der_joined import LFDI, ZERO_MS, Joined, joined
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from typer.testing import CliRunner

from dgm import rpc
from dgm.api.der.v1 import der_pb2_grpc, report_pb2
from dgm.api.der.v1.report_pb2 import FlowState
from dgm.api.ems.v1 import policy_pb2, policy_pb2_grpc
from dgm.cli.main import app
from dgm.der.flow_requests import ChargingNeed
from dgm.der.service.needs_link import NeedsWatch
from dgm.der.service.servicer import Bells, DerService
from dgm.sim.utility.plant import SitePlant

STEPS: list[dict[str, Any]] = [
    {
        "do": [
            {"program": {"name": "1", "primacy": 1}},
            {"set": {"reserves": True}},
            {"control": {"name": "c", "program": "1", "duration_s": 60, "modes": {"opModGenLimW": 20_000}}},
        ]
    },
    {"when": {"post": "frq"}, "do": [{"grant": {"name": "g", "request": 1, "power_w": 5_000, "energy_wh": 500}}]},
]
STEPS[1]["do"][0]["grant"]["duration_s"] = 600


@asynccontextmanager
async def served(world: Joined, directory: Path) -> AsyncIterator[Any]:
    """The world's gateway on the socket where the command line looks for it."""
    service = DerService(
        world.core,
        server="",
        lfdi=LFDI,
        now=lambda: world.now,
        bell=Bells().bell,
        step=lambda event: world._give(event),
    )
    server = grpc.aio.server()
    der_pb2_grpc.add_DerServiceServicer_to_server(service, server)
    target = f"unix:{rpc.socket_path(directory, 'der')}"
    server.add_insecure_port(target)
    await server.start()
    async with grpc.aio.insecure_channel(target) as channel:
        yield der_pb2_grpc.DerServiceStub(channel)
    await server.stop(None)


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    """Beside a site.yaml that names it."""
    (tmp_path / "site.yaml").write_text(SITE.format(url="https://127.0.0.1:1/dcap", pki="pki", pin="111115"))
    (tmp_path / "run").mkdir()
    return tmp_path / "run"


async def test_reports_and_flows_are_told_by_grpc_and_on_the_command_line(run_dir: Path) -> None:
    world = joined(STEPS, plant=SitePlant(generation_w=50_000)).run(120)

    async def dgm(*words: str) -> str:
        arguments = ["der", *words, "--site", str(run_dir.parent / "site.yaml")]
        result = await asyncio.to_thread(CliRunner().invoke, app, arguments, env={"COLUMNS": "200"})
        return result.output if result.exit_code == 0 else str(result.exception)

    async with served(world, run_dir) as stub:
        told = await stub.ListEventReports(report_pb2.ListEventReportsRequest())
        (report,) = told.reports
        assert (report.mode, report.limit_w, report.kept) == ("opModGenLimW", 20_000, True)
        assert report.out_of_limit_ms == 5_000, "until the plant has followed"
        assert (list(told.alarms), told.log_events_waiting) == ([], 0)
        assert "kept" in await dgm("events")
        end_ms = world.now.utc_ms + 3_600_000
        wanted = report_pb2.RequestFlowRequest(energy_wh=1_000, power_w=5_000, end_utc_ms=end_ms)
        mrid = (await stub.RequestFlow(wanted)).request.mrid
        world.run(200)
        listed = await stub.ListFlows(report_pb2.ListFlowsRequest())
        (request,) = listed.requests
        assert (request.mrid, request.state, request.plans[0].power_w) == (mrid, FlowState.FLOW_STATE_GRANTED, 5_000)
        assert "granted" in await dgm("flows")
        assert mrid in await dgm("cancel", mrid)
        listed = await stub.ListFlows(report_pb2.ListFlowsRequest())
        assert listed.requests[0].state == FlowState.FLOW_STATE_CANCELLED
        assert "two directions" in await dgm("request", "--kwh", "1", "--kw", "-1", "--hours", "1")
        assert '"opModGenLimW"' in await dgm("events", "--json")


async def test_what_is_impossible_is_refused_with_its_reason(run_dir: Path) -> None:
    world = joined(STEPS).run(30)
    async with served(world, run_dir) as stub:
        for wanted, reason in (
            ({"energy_wh": 1_000, "power_w": -1_000, "end_utc_ms": ZERO_MS + 3_600_000}, "OUT_OF_RANGE"),
            ({"energy_wh": 1_000, "power_w": 1_000, "end_utc_ms": 1}, "OUT_OF_RANGE"),
            ({"energy_wh": 1_000, "power_w": 1_000, "end_utc_ms": 2**62}, "OUT_OF_RANGE"),
            ({"energy_wh": 2**62, "power_w": 2**62, "end_utc_ms": ZERO_MS + 3_600_000_000}, "OUT_OF_RANGE"),
        ):
            assert await refused(stub.RequestFlow(report_pb2.RequestFlowRequest(**wanted))) == reason
        assert await refused(stub.CancelFlow(report_pb2.CancelFlowRequest(mrid="AA"))) == "UNKNOWN_CONTROL"
        assert not (await stub.ListFlows(report_pb2.ListFlowsRequest())).requests


async def refused(call: Any) -> str:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    status = rpc_status.from_call(caught.value)
    info = error_details_pb2.ErrorInfo()
    assert status.details[0].Unpack(info)
    return info.reason


class NeedyEms(policy_pb2_grpc.PolicyServiceServicer):
    """An EMS with one promise that is half delivered, and one that is kept."""

    async def ListChargingNeeds(self, request: Any, context: Any) -> policy_pb2.ListChargingNeedsResponse:
        need = policy_pb2.ChargingNeed(asset_id="evse-1", energy_wh=20_000, departure_utc_ms=7)
        promises = [policy_pb2.ChargingPromise(need=need, delivered_wh=wh) for wh in (9_000, 20_000)]
        return policy_pb2.ListChargingNeedsResponse(promises=promises)


async def test_what_the_ems_promised_to_drivers_and_has_not_delivered_is_what_is_needed(run_dir: Path) -> None:
    told: list[tuple[ChargingNeed, ...]] = []
    target = f"unix:{run_dir}/ems.sock"
    async with grpc.aio.insecure_channel(target) as channel:
        watch = NeedsWatch(channel, seen=told.append)
        await watch.look()
        assert told == [], "an EMS that is away tells nothing"
        server = grpc.aio.server()
        policy_pb2_grpc.add_PolicyServiceServicer_to_server(NeedyEms(), server)
        server.add_insecure_port(target)
        await server.start()
        await channel.channel_ready()
        await watch.look()
        await watch.look()
        await server.stop(None)
    assert told == [(ChargingNeed(evse_id="evse-1", energy_wh=11_000, departure_ms=7),)]
