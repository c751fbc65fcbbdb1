"""The ocpp role against an ems role that comes, goes and restarts, over real unix sockets."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
from ocpp_driver import ModelStation
from prometheus_client import CollectorRegistry
from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.typing import Subprotocol

from dgm import clock, rpc
from dgm.api.config.v1.config_pb2 import (
    CpoConfig,
    DgmConfig,
    EvseConfig,
    OcppConfig,
    OwnIdentityConfig,
    SiteConfig,
    StationConfig,
)
from dgm.api.ems.v1 import ems_pb2, ems_pb2_grpc
from dgm.api.ocpp.v1 import ocpp_pb2, ocpp_pb2_grpc
from dgm.api.site.v1 import site_pb2, site_pb2_grpc
from dgm.journal import Journal
from dgm.machine import Now
from dgm.ocpp.events import Outcome, Sampled
from dgm.ocpp.messages import outcome_message, sample_message
from dgm.ocpp.service import OcppRole
from dgm.role import RoleContext

CONFIRMED, WIPED = ems_pb2.OUTCOME_STATE_CONFIRMED, ems_pb2.OUTCOME_STATE_WIPED


async def until(condition: Callable[[], object]) -> None:
    """Let the sockets work until something is so."""
    async with asyncio.timeout(8):
        while not condition():  # noqa: ASYNC110 - what is waited for happens on the far end of a socket
            await asyncio.sleep(0.005)


def status(name: str) -> str:
    return json.dumps([2, "s1", "StatusNotification", {"connectorId": 1, "errorCode": "NoError", "status": name}])


class Ems(ems_pb2_grpc.EmsServiceServicer, site_pb2_grpc.SiteServiceServicer):
    """An ems role as the ocpp role sees it: keeps what is reported, streams what it is told to."""

    def __init__(self, epoch: int = 1) -> None:
        self.epoch = epoch
        self.outcomes: list[ems_pb2.Outcome] = []
        self.samples: list[site_pb2.Sample] = []
        self.sequences: dict[str, list[int]] = {"outcomes": [], "samples": []}
        self.subscribers: list[str] = []
        self.failures = 0
        self.limits: dict[str, ems_pb2.Limit] = {}
        self.streams: asyncio.Queue[ems_pb2.WatchSetpointsResponse] = asyncio.Queue()

    async def WatchSetpoints(self, request: ems_pb2.WatchSetpointsRequest, context: Any) -> AsyncIterator[Any]:
        self.subscribers.append(request.subscriber)
        yield ems_pb2.WatchSetpointsResponse(epoch=self.epoch, snapshot=True)
        while True:
            yield await self.streams.get()

    async def ReportOutcomes(self, request: ems_pb2.ReportOutcomesRequest, context: Any) -> Any:
        if self.failures:
            self.failures -= 1
            await context.abort(grpc.StatusCode.UNAVAILABLE, "not now")
        self.sequences["outcomes"].append(request.sequence)
        self.outcomes += request.outcomes
        return ems_pb2.ReportOutcomesResponse()

    async def ReportSamples(self, request: site_pb2.ReportSamplesRequest, context: Any) -> Any:
        self.sequences["samples"].append(request.sequence)
        self.samples += request.samples
        return site_pb2.ReportSamplesResponse()

    async def PutLimit(self, request: ems_pb2.PutLimitRequest, context: Any) -> Any:
        if self.failures:
            self.failures -= 1
            await context.abort(grpc.StatusCode.UNAVAILABLE, "not now")
        self.limits[request.limit.id] = request.limit
        return ems_pb2.PutLimitResponse()

    async def DeleteLimit(self, request: ems_pb2.DeleteLimitRequest, context: Any) -> Any:
        found = self.limits.pop(request.id, None)
        return ems_pb2.DeleteLimitResponse(existed=found is not None)

    def grant(self, current_ma: int, sequence: int) -> None:
        setpoint = ems_pb2.Setpoint(asset_id="evse-1", sequence=sequence, current_ma=current_ma, ttl_ms=15_000)
        self.streams.put_nowait(ems_pb2.WatchSetpointsResponse(epoch=self.epoch, setpoints=[setpoint]))

    def states(self) -> list[tuple[int, int | None]]:
        return [
            (outcome.state, outcome.current_ma if outcome.HasField("current_ma") else None) for outcome in self.outcomes
        ]

    @asynccontextmanager
    async def running(self, path: Path) -> AsyncIterator[Ems]:
        server = grpc.aio.server()
        ems_pb2_grpc.add_EmsServiceServicer_to_server(self, server)
        site_pb2_grpc.add_SiteServiceServicer_to_server(self, server)
        server.add_insecure_port(f"unix:{path}")
        await server.start()
        try:
            yield self
        finally:
            await server.stop(0)


class Site:
    """A running role for one station, whose CSMS accepts everything."""

    def __init__(self, tmp_path: Path, csms_url: str, own: OwnIdentityConfig | None = None) -> None:
        config = DgmConfig(
            site=SiteConfig(id="site", nominal_voltage_mv=230_000),
            cpos=[CpoConfig(id="cpo-a", url=csms_url, own=own)],
            stations=[
                StationConfig(
                    id="CP-1",
                    cpo="cpo-a",
                    evses=[
                        EvseConfig(
                            id="evse-1",
                            connector_id=1,
                            phases=[site_pb2.PHASE_L2],
                            current_max_ma=32_000,
                            fallback_ma=6_000,
                        )
                    ],
                )
            ],
            ocpp=OcppConfig(
                host="127.0.0.1",
                port=0,
                profile_lease_s=120,
                max_stack_level=8,
                trigger_interval_s=10,
                call_timeout_s=10,
            ),
        )
        self.journal = Journal(tmp_path / "ocpp.journal")
        self.ems_path = tmp_path / "ems.sock"
        self.channel = rpc.channel(f"unix:{self.ems_path}")
        self.role = OcppRole(
            RoleContext(
                config=config,
                base_dir=tmp_path,
                state_dir=tmp_path / "state",
                epoch=7,
                journal=self.journal,
                channel=lambda _name: self.channel,
                registry=CollectorRegistry(),
            )
        )

    @asynccontextmanager
    async def station(self) -> AsyncIterator[ClientConnection]:
        """A booted station that answers by the model until the block ends."""
        url = f"ws://127.0.0.1:{self.role.gateway.port}/CP-1"
        async with connect(url, subprotocols=[Subprotocol("ocpp1.6")]) as socket:
            await socket.send('[2,"b1","BootNotification",{"chargePointVendor":"V","chargePointModel":"M"}]')
            answering = asyncio.create_task(_answer(socket))
            yield socket
            answering.cancel()


async def _answer(socket: ClientConnection) -> None:
    model = ModelStation()
    async for message in socket:
        frame = json.loads(message)
        if frame[0] == 2:
            await socket.send(json.dumps([3, frame[1], model.answer(frame[2], frame[3], clock.now().utc_ms)]))


CSMS_SOCKETS: list[ServerConnection] = []


async def _csms(socket: ServerConnection) -> None:
    CSMS_SOCKETS.append(socket)
    async for message in socket:
        frame = json.loads(message)
        if frame[0] == 2:
            await socket.send(json.dumps([3, frame[1], {"status": "Accepted"}]))


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    async with serve(_csms, "127.0.0.1", 0, subprotocols=[Subprotocol("ocpp1.6")]) as csms:
        port = next(iter(csms.sockets)).getsockname()[1]
        found = Site(tmp_path, f"ws://127.0.0.1:{port}/ocpp")
        running = asyncio.create_task(found.role.run())
        await asyncio.wait_for(found.role.ready.wait(), 5)
        yield found
        running.cancel()
        await asyncio.wait({running})
        await found.channel.close()


async def test_a_setpoint_reaches_the_station_and_its_proof_reaches_the_ems(site: Site) -> None:
    async with Ems().running(site.ems_path) as ems, site.station():
        await until(lambda: (CONFIRMED, 6_000) in ems.states())
        ems.grant(16_000, 1)
        await until(lambda: (CONFIRMED, 16_000) in ems.states())
        assert ems.outcomes[-1].fallback_ma == 6_000
        assert ems.outcomes[-1].sequence == 1
        assert ems.subscribers == ["ocpp:7"]
        assert ems.sequences["outcomes"] == sorted(set(ems.sequences["outcomes"]))


async def test_plug_state_readings_and_offline_are_reported_on_site_phases(site: Site) -> None:
    async with Ems().running(site.ems_path) as ems:
        async with site.station() as socket:
            await socket.send(status("Charging"))
            await until(lambda: any(found.plug_state == site_pb2.PLUG_STATE_CHARGING for found in ems.samples))
            values = [{"value": "15.5", "measurand": "Current.Import", "phase": "L1", "unit": "A"}]
            payload = {"connectorId": 1, "meterValue": [{"sampledValue": values}]}
            await socket.send(json.dumps([2, "m1", "MeterValues", payload]))
            await until(lambda: any(found.current_ma.l2 == 15_500 for found in ems.samples))
            reading = ems.samples[-1]
            assert reading.quality == site_pb2.QUALITY_GOOD
            assert not reading.current_ma.HasField("l1")
        await until(lambda: ems.samples[-1].plug_state == site_pb2.PLUG_STATE_OFFLINE)


async def test_a_report_that_failed_is_made_good_though_the_stream_lives(site: Site) -> None:
    async with Ems().running(site.ems_path) as ems, site.station():
        await until(lambda: (CONFIRMED, 6_000) in ems.states())
        ems.failures = 2
        ems.grant(9_000, 1)
        await until(lambda: (CONFIRMED, 9_000) in ems.states())
        assert ems.failures == 0
        assert len(ems.subscribers) == 1


async def test_a_restarted_ems_is_told_where_everything_stands(site: Site) -> None:
    async with site.station() as socket:
        async with Ems(epoch=1).running(site.ems_path) as ems:
            ems.grant(16_000, 9)
            await until(lambda: (CONFIRMED, 16_000) in ems.states())
            await socket.send(status("Preparing"))
            await until(lambda: ems.samples)
        async with Ems(epoch=2).running(site.ems_path) as ems:
            await until(lambda: (CONFIRMED, 16_000) in ems.states())
            await until(lambda: ems.samples)
            assert ems.samples[0].plug_state == site_pb2.PLUG_STATE_PREPARING
            ems.grant(10_000, 1)
            await until(lambda: (CONFIRMED, 10_000) in ems.states())


async def test_an_ems_that_starts_later_learns_that_an_absent_station_proves_nothing(site: Site) -> None:
    async with Ems().running(site.ems_path) as ems:
        await until(lambda: (WIPED, None) in ems.states())
        await until(lambda: ems.samples)
        assert ems.samples[0].plug_state == site_pb2.PLUG_STATE_OFFLINE


async def test_setpoints_without_value_or_lease_are_ignored(site: Site) -> None:
    async with Ems().running(site.ems_path) as ems, site.station():
        await until(lambda: (CONFIRMED, 6_000) in ems.states())
        no_value = ems_pb2.Setpoint(asset_id="evse-1", sequence=5, ttl_ms=15_000)
        no_lease = ems_pb2.Setpoint(asset_id="evse-1", sequence=6, current_ma=20_000)
        ems.streams.put_nowait(ems_pb2.WatchSetpointsResponse(epoch=1, setpoints=[no_value, no_lease]))
        ems.grant(8_000, 1)
        await until(lambda: (CONFIRMED, 8_000) in ems.states())
        assert (CONFIRMED, 20_000) not in ems.states()


async def test_stations_can_be_listed_and_watched(site: Site, tmp_path: Path) -> None:
    server = rpc.RoleServer(site.role.servicers())
    server.listen_unix(tmp_path / "ocpp.sock")
    await server.start()
    async with rpc.channel(f"unix:{tmp_path / 'ocpp.sock'}") as channel, site.station():
        stub = ocpp_pb2_grpc.OcppServiceStub(channel)
        (station,) = (await stub.ListStations(ocpp_pb2.ListStationsRequest())).stations
        assert (station.id, station.cpo_id, station.mode) == ("CP-1", "cpo-a", ocpp_pb2.ENFORCEMENT_MODE_MAX)
        stream = stub.WatchStations(ocpp_pb2.WatchStationsRequest(interval_ms=100))
        async for response in stream:
            if response.stations[0].evses[0].proved_ma == 6_000:
                assert response.stations[0].south == ocpp_pb2.LINK_STATE_UP
                break
        stream.cancel()
    await server.stop(0)


def test_ages_and_absences_survive_the_mapping() -> None:
    now = Now(mono_ms=10_000, utc_ms=0)
    sample = sample_message(Sampled(asset_id="a", plug_state=site_pb2.PLUG_STATE_CHARGING), now)
    assert (sample.quality, sample.age_ms, sample.HasField("current_ma")) == (site_pb2.QUALITY_NEVER, 0, False)
    full = Sampled(
        asset_id="a", plug_state=site_pb2.PLUG_STATE_CHARGING, at_mono_ms=8_500, power_w=0, current_ma=(None, 0, None)
    )
    sample = sample_message(full, now)
    assert (sample.quality, sample.age_ms, sample.power_w) == (site_pb2.QUALITY_GOOD, 1_500, 0)
    assert (sample.HasField("power_w"), sample.current_ma.HasField("l2"), sample.current_ma.HasField("l1")) == (
        True,
        True,
        False,
    )
    outcome = Outcome(asset_id="a", epoch=2, sequence=3, state=WIPED, current_ma=None, at_mono_ms=9_000, fallback_ma=0)
    message = outcome_message(outcome, now)
    assert (message.age_ms, message.HasField("current_ma"), message.HasField("fallback_ma")) == (1_000, False, True)


async def test_what_the_cpo_allows_reaches_the_ems_as_its_limit_and_the_journal_before_that(site: Site) -> None:
    async with Ems().running(site.ems_path) as ems, site.station():
        await until(lambda: (CONFIRMED, 6_000) in ems.states())
        ems.failures = 1
        schedule = {"chargingRateUnit": "A", "chargingSchedulePeriod": [{"startPeriod": 0, "limit": 12.0}]}
        profile = {
            "chargingProfileId": 5,
            "stackLevel": 1,
            "chargingProfilePurpose": "TxDefaultProfile",
            "chargingProfileKind": "Relative",
            "chargingSchedule": schedule,
        }
        payload = {"connectorId": 1, "csChargingProfiles": profile}
        await CSMS_SOCKETS[-1].send(json.dumps([2, "p1", "SetChargingProfile", payload]))
        await until(lambda: ems.limits)
        limit = ems.limits["cpo:cpo-a:evse-1"]
        assert (limit.source, limit.asset_id, limit.current_ma) == ("cpo:cpo-a", "evse-1", 12_000)
        assert limit.quantity == ems_pb2.QUANTITY_CURRENT
        assert not limit.HasField("failsafe_current_ma")
        assert b"TxDefaultProfile" in site.journal.items("station")["profiles/CP-1"]
        await CSMS_SOCKETS[-1].send(json.dumps([2, "p2", "ClearChargingProfile", {"id": 5}]))
        await until(lambda: not ems.limits)


async def test_the_mode_of_a_station_and_why_are_shown(site: Site) -> None:
    async with Ems().running(site.ems_path) as ems, site.station():
        await until(lambda: (CONFIRMED, 6_000) in ems.states())
        (servicer,) = site.role.servicers()
        answer = await servicer.servicer.ListStations(ocpp_pb2.ListStationsRequest(), None)
        (station,) = answer.stations
        assert station.mode == ocpp_pb2.ENFORCEMENT_MODE_MAX
        assert "first that the station accepts" in station.mode_reason


async def test_a_2x_csms_hears_of_the_sites_limit_on_the_gateways_own_identity_and_nowhere_else(tmp_path: Path) -> None:
    heard: list[tuple[str, str, Any]] = []

    async def csms(socket: ServerConnection) -> None:
        assert socket.request is not None
        async for message in socket:
            frame = json.loads(message)
            if frame[0] == 2:
                heard.append((socket.request.path, frame[2], frame[3]))
                await socket.send(json.dumps([3, frame[1], {"status": "Accepted"}]))

    both = [Subprotocol("ocpp1.6"), Subprotocol("ocpp2.1")]
    async with serve(csms, "127.0.0.1", 0, subprotocols=both) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        own = OwnIdentityConfig(id="GW", significance_percent=10)
        site = Site(tmp_path, f"ws://127.0.0.1:{port}/ocpp", own)
        running = asyncio.create_task(site.role.run())
        await asyncio.wait_for(site.role.ready.wait(), 5)
        async with site.station():
            await until(lambda: any(action == "NotifyChargingLimit" for _, action, _ in heard))
        path, _, body = next(found for found in heard if found[1] == "NotifyChargingLimit")
        assert path == "/ocpp/GW"
        # One wired phase with its fallback of 6 A.
        assert body["chargingSchedule"][0]["chargingSchedulePeriod"][0]["limit"] == 6 * 230
        assert {path for path, _, _ in heard} == {"/ocpp/GW", "/ocpp/CP-1"}
        running.cancel()
        await asyncio.wait({running})
        await site.channel.close()
