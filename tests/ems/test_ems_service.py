"""The ems role over gRPC on a unix socket, with a field core on paper."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import grpc
import grpc.aio
import pytest
from ems_examples import (
    B1,
    E1,
    M1,
    WrittenField,
    decided,
    demo_config,
    evse_grant,
    import_row,
    power,
    put,
    sample,
)
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from prometheus_client import CollectorRegistry, generate_latest

from dgm import clock, rpc
from dgm.api.core.v1.core_pb2 import LimitSet
from dgm.api.core.v1.field_pb2 import AuditBatch, AuditEntry, AuditNews, ModelFailure
from dgm.api.ems.v1 import ems_pb2 as ems
from dgm.api.ems.v1 import field_pb2
from dgm.api.ems.v1.ems_pb2_grpc import EmsServiceStub
from dgm.api.ems.v1.field_pb2_grpc import FieldServiceStub
from dgm.api.site.v1 import site_pb2 as site
from dgm.api.site.v1.site_pb2_grpc import SiteServiceStub
from dgm.ems import limits as limits_module
from dgm.ems.events import PublishSetpoints
from dgm.ems.service import EmsRole
from dgm.ems.service import role as role_module
from dgm.ems.service.role import CoreSilent
from dgm.journal import Journal
from dgm.role import RoleContext
from dgm.site import service as site_service
from dgm.site.refusal import Reason

WAIT_S = 5.0


@dataclass
class Running:
    """A role under test and its clients."""

    role: EmsRole
    field: WrittenField
    registry: CollectorRegistry
    journal: Journal
    ems: EmsServiceStub
    site: SiteServiceStub
    field_service: FieldServiceStub
    work: asyncio.Task[None]

    def decide(self, *args: object, **fields: object) -> None:
        """The core decides: now."""
        self.field.publish(decided(clock.now(), *args, **fields))  # type: ignore[arg-type]

    def metrics(self) -> str:
        return generate_latest(self.registry).decode()


def context(journal: Journal, registry: CollectorRegistry, tmp_path: Path, epoch: int) -> RoleContext:
    def no_channel(name: str) -> grpc.aio.Channel:
        raise AssertionError(f"the ems role calls nobody, not even {name}")

    return RoleContext(
        config=demo_config(),
        base_dir=tmp_path,
        state_dir=tmp_path,
        epoch=epoch,
        journal=journal,
        channel=no_channel,
        registry=registry,
    )


@contextlib.asynccontextmanager
async def running(tmp_path: Path, epoch: int = 1) -> AsyncIterator[Running]:
    journal, registry, field = Journal(tmp_path / "ems.journal"), CollectorRegistry(), WrittenField()
    role = EmsRole(context(journal, registry, tmp_path, epoch), lambda config, epoch: field)
    server = rpc.RoleServer(role.servicers())
    server.listen_unix(tmp_path / "ems.sock")
    await server.start()
    channel = rpc.channel(f"unix:{tmp_path}/ems.sock")
    work = asyncio.create_task(role.run())
    try:
        stubs = EmsServiceStub(channel), SiteServiceStub(channel), FieldServiceStub(channel)
        yield Running(role, field, registry, journal, *stubs, work)
    finally:
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)
        await channel.close()
        await server.stop(0)
        journal.close()


async def until(condition: Callable[[], bool]) -> None:
    """Let the loop run until something is so; bounded."""
    async with asyncio.timeout(WAIT_S):
        while not condition():  # noqa: ASYNC110 - gRPC and the core have no event for it
            await asyncio.sleep(0.002)


async def first(stream: AsyncIterator[object]) -> object:
    async with asyncio.timeout(WAIT_S):
        return await anext(aiter(stream))


async def refusal(call: Awaitable[object]) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    status = rpc_status.from_call(caught.value)
    assert status is not None
    info = error_details_pb2.ErrorInfo()
    assert status.details[0].Unpack(info)
    assert info.domain == "dgm"
    return caught.value.code(), info.reason


async def test_a_limit_is_put_listed_deleted_and_gone(tmp_path: Path) -> None:
    async with running(tmp_path) as site_:
        accepted = await site_.ems.PutLimit(put(ttl_ms=60_000))
        assert accepted.limit.power_w == 60_000
        assert accepted.end_utc_ms > clock.now().utc_ms
        sent = site_.field.newest("limits")
        assert isinstance(sent, LimitSet)
        assert [found.id for found in sent.limits] == ["l1"]
        assert list(site_.journal.items("limit")) == ["l1"]
        listed = await site_.ems.ListLimits(ems.ListLimitsRequest())
        assert [found.state for found in listed.limits] == [ems.LIMIT_STATE_ACTIVE]
        deleted = await site_.ems.DeleteLimit(ems.DeleteLimitRequest(id="l1", source="api:test"))
        assert deleted.existed
        assert not site_.journal.items("limit")


async def test_limits_hold_again_before_the_core_starts(tmp_path: Path) -> None:
    async with running(tmp_path) as before:
        await before.ems.PutLimit(put())
    async with running(tmp_path, epoch=2) as after:
        await until(lambda: ("start", None) in after.field.told)
        names = [name for name, _ in after.field.told]
        assert names.index("limits") < names.index("start")
        assert names.index("link") < names.index("start")
        restored = after.field.told[names.index("limits")][1]
        assert isinstance(restored, LimitSet)
        assert (restored.epoch, [found.id for found in restored.limits]) == (2, ["l1"])


async def test_readiness_waits_for_the_first_decision(tmp_path: Path) -> None:
    async with running(tmp_path) as site_:
        await until(lambda: ("start", None) in site_.field.told)
        assert not site_.role.ready.is_set()
        site_.decide()
        await until(site_.role.ready.is_set)


async def test_the_core_is_stopped_with_the_role(tmp_path: Path) -> None:
    async with running(tmp_path) as site_:
        await until(lambda: ("start", None) in site_.field.told)
    assert site_.field.told[-1] == ("stop", None)


async def test_a_step_that_fails_ends_the_role(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with running(tmp_path) as site_:
        await until(lambda: ("start", None) in site_.field.told)

        def refuse(limits: bytes) -> None:
            raise RuntimeError("the core refuses the set")

        monkeypatch.setattr(site_.field, "put_limits", refuse)
        with pytest.raises(grpc.aio.AioRpcError):
            await site_.ems.PutLimit(put())
        with pytest.raises(RuntimeError, match="the core refuses"):
            await asyncio.wait_for(site_.work, WAIT_S)
        assert not site_.journal.items("limit")


async def test_setpoints_come_as_a_snapshot_and_then_at_once(tmp_path: Path) -> None:
    async with running(tmp_path) as site_:
        stream = site_.ems.WatchSetpoints(ems.WatchSetpointsRequest(subscriber="ocpp:3"))
        await until(lambda: ("link", True) in site_.field.told)
        site_.decide(evse_grant(E1, 8000, sequence=1))
        snapshot = await first(stream)
        assert isinstance(snapshot, ems.WatchSetpointsResponse)
        assert snapshot.snapshot
        await until(site_.role.ready.is_set)
        site_.decide(evse_grant(E1, 6000, sequence=2, safety=True))
        change = await first(stream)
        assert isinstance(change, ems.WatchSetpointsResponse)
        assert [(found.current_ma, found.sequence, found.safety) for found in change.setpoints] == [(6000, 2, True)]


async def test_a_curious_client_does_not_keep_the_link_up(tmp_path: Path) -> None:
    async with running(tmp_path) as site_:
        stream = site_.ems.WatchSetpoints(ems.WatchSetpointsRequest(subscriber="console"))
        await until(lambda: site_.role.streams(PublishSetpoints) == 1)
        site_.decide(evse_grant(E1, 8000))
        assert await first(stream)
        assert ("link", True) not in site_.field.told


async def test_a_stream_that_is_cancelled_leaves_nothing_behind(tmp_path: Path) -> None:
    async with running(tmp_path) as site_:
        stream = site_.ems.WatchSetpoints(ems.WatchSetpointsRequest(subscriber="ocpp:3"))
        await until(lambda: site_.role.streams(PublishSetpoints) == 1)
        stream.cancel()
        await until(lambda: site_.role.streams(PublishSetpoints) == 0)


async def test_watchers_of_limits_see_them_come_met_and_end(tmp_path: Path) -> None:
    async with running(tmp_path) as site_:
        stream = site_.ems.WatchLimits(ems.WatchLimitsRequest())
        seen: list[int] = []

        async def follow() -> None:
            async for update in stream:
                seen.extend(found.state for found in update.limits)
                if ems.LIMIT_STATE_ENDED in seen:
                    return

        following = asyncio.create_task(follow())
        await site_.ems.PutLimit(put())
        await until(lambda: ems.LIMIT_STATE_ACTIVE in seen)
        site_.decide(rows=[import_row(60_000, "l1")], readings=[power(M1, 1000, clock.now())])
        await until(lambda: ems.LIMIT_STATE_MET in seen)
        await site_.ems.DeleteLimit(ems.DeleteLimitRequest(id="l1", source="api:test"))
        await asyncio.wait_for(following, WAIT_S)


async def test_the_site_is_told_watched_and_reported(tmp_path: Path) -> None:
    async with running(tmp_path, epoch=9) as site_:
        tree = (await site_.site.GetSite(site.GetSiteRequest())).site
        assert (tree.epoch, [asset.id for asset in tree.assets]) == (9, ["m1", "pv1", "b1", "e1", "e2"])
        stream = site_.site.WatchSite(site.WatchSiteRequest(interval_ms=100))
        snapshot = await first(stream)
        assert isinstance(snapshot, site.WatchSiteResponse)
        assert snapshot.snapshot
        assert len(snapshot.samples) == 5
        charging = site.PLUG_STATE_CHARGING
        report = site.ReportSamplesRequest(
            source="ocpp:1", sequence=1, samples=[sample("e1", charging, ma=6000), sample("ghost", charging)]
        )
        assert (await site_.site.ReportSamples(report)).unknown_asset_ids == ["ghost"]
        told = dict[str, int]()
        async with asyncio.timeout(WAIT_S):
            while "e1" not in told or told["e1"] == 0:  # an update may have been built before the report came
                told |= {found.asset_id: found.current_ma.l1 for found in (await anext(aiter(stream))).samples}
        assert told["e1"] == 6000
        assert site_.field.newest("samples")


async def test_targets_and_outcomes_reach_the_core(tmp_path: Path) -> None:
    async with running(tmp_path) as site_:
        target = ems.Target(id="t", source="api:test", asset_id="b1", want_w=4000, ttl_ms=60_000)
        assert (await site_.ems.PutTarget(ems.PutTargetRequest(target=target))).target.want_w == 4000
        rows, ttl_ms = site_.field.newest("targets")  # type: ignore[misc]
        assert (rows[2][0], ttl_ms) == (4000, 3000)
        assert (await site_.ems.DeleteTarget(ems.DeleteTargetRequest(id="t", source="api:test"))).existed
        outcome = ems.Outcome(asset_id="e1", epoch=1, sequence=1, state=ems.OUTCOME_STATE_CONFIRMED, current_ma=8000)
        report = ems.ReportOutcomesRequest(source="ocpp:1", sequence=1, outcomes=[outcome])
        assert not (await site_.ems.ReportOutcomes(report)).unknown_asset_ids
        assert site_.field.newest("outcomes") == [(E1, 1, 3, 8000, None)]


async def test_an_explanation_can_be_asked_for(tmp_path: Path) -> None:
    async with running(tmp_path) as site_:
        await site_.ems.PutLimit(put())
        await until(lambda: ("start", None) in site_.field.told)
        rows = [import_row(60_000, "l1")]
        site_.decide(evse_grant(E1, 8000, binding_limit_id="l1", binding_row=0), rows=rows)
        await until(site_.role.ready.is_set)
        answer = await site_.ems.ExplainDecision(ems.ExplainDecisionRequest(asset_id="e1"))
        assert (answer.setpoint.current_ma, answer.binding_limit.id) == (8000, "l1")


async def test_metrics_show_the_site_and_never_an_evse(tmp_path: Path) -> None:
    async with running(tmp_path) as site_:
        await until(lambda: ("start", None) in site_.field.told)
        site_.decide(rows=[import_row(60_000, "l1")], readings=[power(M1, 12_000, clock.now())])
        await until(site_.role.ready.is_set)
        text = site_.metrics()
        assert "dgm_site_import_watts 12000.0" in text
        assert 'dgm_limit_margin_watts{bus="grid"} 48000.0' in text
        assert 'dgm_bus_current_amps{bus="grid",phase="l1"} NaN' in text
        assert "dgm_core_ticks_total 3.0" in text
        assert "dgm_core_modbus_sessions 2.0" in text
        assert "evse=" not in text


async def test_every_reason_is_reached_and_has_its_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits_module, "LIMITS_MAX", 1)
    async with running(tmp_path) as site_:
        await site_.ems.PutLimit(put(request_id="r"))
        old = site.ReportSamplesRequest(source="ocpp:1", sequence=5)
        await site_.site.ReportSamples(old)
        old.sequence = 4
        calls: list[Awaitable[object]] = [
            site_.ems.PutLimit(put(power_w=None)),
            site_.ems.PutLimit(put(power_w=-1)),
            site_.ems.PutLimit(put(circuit_id="nowhere")),
            site_.ems.ExplainDecision(ems.ExplainDecisionRequest(asset_id="ghost")),
            site_.ems.PutLimit(put(circuit_id="garage")),
            site_.ems.DeleteLimit(ems.DeleteLimitRequest(id="l1", source="api:other")),
            site_.ems.PutLimit(put("l2")),
            site_.ems.PutLimit(put(start_utc_ms=1, ttl_ms=1000)),
            site_.ems.PutLimit(put(request_id="r", power_w=1)),
            site_.site.ReportSamples(old),
            site_.ems.ExplainDecision(ems.ExplainDecisionRequest(asset_id="e1")),
        ]
        found = [await refusal(call) for call in calls]
        for failure in (
            ModelFailure.MODEL_FAILURE_NO_MAP,
            ModelFailure.MODEL_FAILURE_NO_MODEL,
            ModelFailure.MODEL_FAILURE_SILENT,
            ModelFailure.MODEL_FAILURE_REFUSED,
        ):
            site_.field.model_failure = failure
            read = field_pb2.ReadModelRequest(asset_id="pv1", model=705)
            found.append(await refusal(site_.field_service.ReadModel(read)))
        # Those of the der role are reached in the tests of its service.
        reasons = [reason for reason in Reason if reason not in (Reason.OPT_OUT_REFUSED, Reason.UNKNOWN_CONTROL)]
        assert [reason for _, reason in found] == [reason.value for reason in reasons]
        assert [code for code, _ in found] == [site_service.CODES[reason] for reason in reasons]


async def test_a_watch_interval_out_of_range_is_refused(tmp_path: Path) -> None:
    async with running(tmp_path) as site_:
        stream = site_.site.WatchSite(site.WatchSiteRequest(interval_ms=5))
        assert await refusal(first(stream)) == (grpc.StatusCode.OUT_OF_RANGE, "OUT_OF_RANGE")


async def test_one_stream_too_many_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(site_service, "STREAMS_MAX", 1)
    async with running(tmp_path) as site_:
        held = site_.site.WatchSite(site.WatchSiteRequest())
        await first(held)
        more = site_.site.WatchSite(site.WatchSiteRequest())
        assert await refusal(first(more)) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "TOO_MANY")


async def test_garbage_on_the_socket_disturbs_nobody(tmp_path: Path) -> None:
    async with running(tmp_path) as site_:
        _, writer = await asyncio.open_unix_connection(tmp_path / "ems.sock")
        writer.write(b"\x00\xff" * 4000)
        await writer.drain()
        writer.close()
        assert (await site_.ems.PutLimit(put())).limit.id == "l1"


async def test_a_core_that_has_stopped_deciding_ends_the_role_so_that_it_starts_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(role_module, "CORE_SILENT_MS", 50)
    async with running(tmp_path) as site_running:
        async with asyncio.timeout(WAIT_S):
            with pytest.raises(CoreSilent, match="no decision"):
                await site_running.work


def overwritten(number: int) -> bytes:
    """The battery's setpoint was overwritten."""
    entry = field_pb2.FieldAuditEntry(number=number, verdict=field_pb2.SETPOINT_VERDICT_OVERWRITTEN, times=1)
    counts = field_pb2.SetpointCounts(sent=number, overwritten=number)
    news = AuditNews(asset_index=B1, entries=[AuditEntry(entry=entry)], counts=counts)
    return AuditBatch(assets=[news]).SerializeToString()


async def test_the_audit_of_devices_is_listed_and_watched(tmp_path: Path) -> None:
    async with running(tmp_path) as site_:
        site_.field.audit = overwritten(1)
        site_.decide()
        stream = aiter(site_.field_service.WatchAudit(field_pb2.WatchAuditRequest(asset_id="b1")))
        async with asyncio.timeout(WAIT_S):
            told = await anext(stream)
            site_.field.audit = overwritten(2)
            site_.decide()
            later = await anext(stream)
        assert [entry.number for entry in (*told.entries, *later.entries)] == [1, 2]
        listed = await site_.field_service.ListAudit(field_pb2.ListAuditRequest())
        assert [(entry.asset_id, entry.number) for entry in listed.entries] == [("b1", 1), ("b1", 2)]
        assert [(counts.asset_id, counts.overwritten) for counts in listed.counts] == [("b1", 2)]
        unknown = site_.field_service.ListAudit(field_pb2.ListAuditRequest(asset_id="nothing"))
        assert await refusal(unknown) == (grpc.StatusCode.NOT_FOUND, Reason.UNKNOWN_ASSET.value)
