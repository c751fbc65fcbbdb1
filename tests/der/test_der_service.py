"""The der role against the simulated utility and a recording EMS, on loopback, with events of a few seconds."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import os
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc.aio
import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from der_events import T0_S, at, known, program
from der_events import control as make_control
from der_examples import OBSERVED, EmsServer, Watch, context, site, utility_config
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from prometheus_client import CollectorRegistry

from dgm import clock
from dgm.api.der.v1 import der_pb2, der_pb2_grpc
from dgm.api.der.v1.der_pb2 import ConnectionState, ControlState
from dgm.api.ems.v1.ems_pb2 import Quantity
from dgm.der import resource as r
from dgm.der.client import UtilityClient, certificate_ends, certificate_warnings, check_files
from dgm.der.core import DerCore
from dgm.der.core_events import SiteSeen
from dgm.der.discovery import Answer, Link, Request
from dgm.der.effect import Wanted
from dgm.der.orders import OptIn, OptOut
from dgm.der.resource import ControlBase, ControlMode, DERControl
from dgm.der.service import DerRole
from dgm.der.service.metrics import DerMetrics
from dgm.der.service.servicer import Bells, DerService, controls_of
from dgm.der.service.target_link import TargetSync
from dgm.der.tls import client_context
from dgm.journal import Journal
from dgm.machine import Now
from dgm.sim.live import pki as test_pki
from dgm.sim.live.pki import TestPki
from dgm.sim.live.utility import Utility, UtilityServer

MRID = "0600ABCD000000000000000100037244"
IMPORT, LOAD = "utility:opModImpLimW", "utility:opModLoadLimW"


@pytest.fixture(scope="session")
def pki(tmp_path_factory: pytest.TempPathFactory) -> TestPki:
    return test_pki.write_pki(tmp_path_factory.mktemp("pki"))


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    opened = Journal(tmp_path / "der.journal")
    yield opened
    opened.close()


@pytest.fixture
def watch() -> Watch:
    return Watch()


@pytest.fixture
async def ems(tmp_path: Path, watch: Watch) -> AsyncIterator[EmsServer]:
    server = EmsServer(tmp_path / "ems.sock", watch)
    await server.start()
    yield server
    await server.stop()


@asynccontextmanager
async def utility_of(config: dict[str, Any], watch: Watch) -> AsyncIterator[tuple[Utility, str]]:
    utility = Utility(config, log=watch.ring)
    server = UtilityServer(utility)
    url = await server.start()
    try:
        yield utility, url
    finally:
        await server.stop()


@asynccontextmanager
async def running(role: DerRole) -> AsyncIterator[DerRole]:
    task = asyncio.create_task(role.run())
    try:
        yield role
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def mirrored(utility: Utility) -> set[str]:
    return {item["description"] for item in utility.records.readings}


def codes(utility: Utility) -> list[int]:
    return [record["status"] for record in utility.records.responses if record["mrid"] == MRID]


def control(**changes: Any) -> dict[str, Any]:
    return {
        "mrid": MRID,
        "start_offset_s": 3,
        "duration_s": 2,
        "modes": {"opModImpLimW": 90_000, "opModLoadLimW": 40_000},
        **changes,
    }


async def test_an_event_is_answered_at_its_times_and_rules_the_ems_between_them(
    pki: TestPki, tmp_path: Path, journal: Journal, ems: EmsServer, watch: Watch
) -> None:
    config = utility_config(pki, controls=[control(creation_offset_s=1)], default_grad=27)
    async with utility_of(config, watch) as (utility, url):
        world = context(tmp_path, site(url, pki.root_certificate.parent), ems.target, journal=journal)
        async with running(DerRole(world)) as role:
            await watch.until(lambda: codes(utility) == [1, 2, 3])
            await watch.until(lambda: ems.ems.powers(IMPORT) == [300_000, 90_000, 300_000])
            await watch.until(lambda: LOAD not in ems.ems.held)
            await watch.until(lambda: {"site W", "DER W", "site V"} <= mirrored(utility))
            assert role.core.discovery.link is Link.READY
            states = {item.mrid: item.state for item in controls_of(role.core)}
            assert states[MRID] == ControlState.CONTROL_STATE_COMPLETED
            connection = await role.servicers()[0].servicer.GetConnection(None, None)
            assert connection.state == ConnectionState.CONNECTION_STATE_READY
            assert connection.lfdi == pki.device_lfdi
    event = utility.controls[0]
    at = {record["status"]: record for record in utility.records.responses}
    assert at[1]["utc_ms"] < event.start_s * 1000
    assert 0 <= at[2]["utc_ms"] - event.start_s * 1000 < 1500
    assert 0 <= at[3]["utc_ms"] - (event.start_s + event.duration_s) * 1000 < 1500
    assert at[2]["created_s"] == event.start_s
    assert at[3]["created_s"] == event.start_s + event.duration_s
    ruled = next(limit for limit in ems.ems.puts if limit.power_w == 90_000)
    assert (ruled.circuit_id, ruled.failsafe_power_w) == ("grid", 300_000)
    assert 10_000 < ruled.ttl_ms <= 12_000, "to the end of the event and the grace, then the default takes over"
    load = next(limit for limit in ems.ems.puts if limit.id == LOAD)
    assert not load.HasField("failsafe_power_w"), "no default: it ends by rule"
    assert 1000 < load.ttl_ms <= 2000
    assert utility.records.faults == []
    reports = {"DERCapability", "DERSettings", "DERStatus", "DERAvailability"}
    assert set(utility.records.puts) == {*reports, "ConnectionPoint"}
    assert "<setGradW>27</setGradW>" in utility.records.puts["DERSettings"]
    newest = {item["description"]: item["value"] for item in utility.records.readings}
    assert newest["site W"] == 120_000
    assert newest["DER W"] == 30_000, "the DER's reading is the inverse of the site's sign"
    assert newest["site V"] == 2302


async def test_a_lost_server_and_a_restart_change_nothing_but_the_time_of_the_answers(
    pki: TestPki, tmp_path: Path, journal: Journal, ems: EmsServer, watch: Watch
) -> None:
    async with utility_of(utility_config(pki, controls=[control(start_offset_s=2)]), watch) as (utility, url):
        world = context(tmp_path, site(url, pki.root_certificate.parent), ems.target, journal=journal)
        async with running(DerRole(world)):
            await watch.until(lambda: codes(utility) == [1])
            utility.fault_status = 500
            await watch.until(lambda: ems.ems.powers(IMPORT) == [300_000, 90_000])
        ems.ems.puts.clear()
        async with running(DerRole(context(tmp_path, world.config, ems.target, journal=journal))) as role:
            await watch.until(lambda: ems.ems.powers(IMPORT) == [90_000, 300_000])
            assert role.core.scheduler.events()[0].sent == (1, 2, 3)
            assert codes(utility) == [1]
            utility.fault_status = None
            await watch.until(lambda: codes(utility) == [1, 2, 3])
    event = utility.controls[0]
    assert [record["created_s"] for record in utility.records.responses][1:] == [
        event.start_s,
        event.start_s + event.duration_s,
    ]


async def test_an_ems_that_comes_back_is_told_every_limit_again(
    pki: TestPki, tmp_path: Path, journal: Journal, ems: EmsServer, watch: Watch
) -> None:
    async with utility_of(utility_config(pki), watch) as (_, url):
        world = context(tmp_path, site(url, pki.root_certificate.parent), ems.target, journal=journal)
        async with running(DerRole(world)):
            await watch.until(lambda: IMPORT in ems.ems.held)
            await ems.stop()
            ems.ems.held.clear()
            await ems.start()
            await watch.until(lambda: IMPORT in ems.ems.held)


async def test_a_server_of_another_root_is_told_nothing(
    pki: TestPki, tmp_path: Path, journal: Journal, ems: EmsServer, watch: Watch
) -> None:
    other = test_pki.write_pki(tmp_path / "other")
    config = {**utility_config(other), "ca": str(pki.root_certificate)}
    async with utility_of(config, watch) as (utility, url):
        world = context(tmp_path, site(url, pki.root_certificate.parent), ems.target, journal=journal)
        role = DerRole(world)
        async with running(role):
            await failures(role, 2)
            assert utility.records.requests.total() == 0
            assert ems.ems.puts == []


async def test_a_server_named_otherwise_is_told_nothing(
    pki: TestPki, tmp_path: Path, journal: Journal, ems: EmsServer, watch: Watch
) -> None:
    named = test_pki.write_pki(tmp_path / "named", hosts=("utility.example",))
    async with utility_of(utility_config(named), watch) as (utility, url):
        world = context(tmp_path, site(url, named.root_certificate.parent), ems.target, journal=journal)
        role = DerRole(world)
        async with running(role):
            await failures(role, 1)
            assert utility.records.requests.total() == 0


async def test_a_peer_that_does_not_speak_tls_does_no_harm(
    pki: TestPki, tmp_path: Path, journal: Journal, ems: EmsServer
) -> None:
    async def babble(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(os.urandom(4096))
        with contextlib.suppress(ConnectionError):
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(babble, "127.0.0.1", 0)
    async with server:
        url = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/dcap"
        world = context(tmp_path, site(url, pki.root_certificate.parent), ems.target, journal=journal)
        role = DerRole(world)
        async with running(role):
            await failures(role, 2)
            assert role.core.discovery.link is not Link.READY


async def test_a_server_that_answers_garbage_is_counted_and_the_client_recovers(
    pki: TestPki, tmp_path: Path, journal: Journal, ems: EmsServer, watch: Watch
) -> None:
    config = utility_config(pki, faults=[{"from_s": -1, "to_s": 60, "garbage": True}])
    async with utility_of(config, watch) as (utility, url):
        world = context(tmp_path, site(url, pki.root_certificate.parent), ems.target, journal=journal)
        async with running(DerRole(world)) as role:
            await watch.until(lambda: utility.records.requests["GET dcap 200"] >= 1)
            await failures(role, 1)
            utility.server.state.faults.clear()
            await watch.until(lambda: IMPORT in ems.ems.held)
            assert role.core.discovery.counters.malformed >= 1


@pytest.mark.parametrize("third_party", [False, True])
async def test_targets_are_put_at_our_ems_and_nowhere_where_pv_and_batteries_are_anothers(
    pki: TestPki, tmp_path: Path, journal: Journal, ems: EmsServer, watch: Watch, third_party: bool
) -> None:
    config = site(pki=pki.root_certificate.parent)
    config.ems.third_party = third_party
    role = DerRole(context(tmp_path, config, ems.target, journal=journal))
    base = ControlBase(modes=(ControlMode(name="opModFixedW", permyriad=-1_000),))
    begin = clock.now().utc_ms // 1000 - T0_S
    role.core.scheduler.handle(known(program(make_control("AB", begin - 5, 60, base=base))), clock.now())
    role.step(SiteSeen(update=OBSERVED))
    assert role.core.targets().keys() == {"opModFixedW"}
    await role._targets.sync()
    assert set(ems.ems.targets) == (set() if third_party else {"pv-1", "battery"})


async def failures(role: DerRole, count: int) -> None:
    """Wait until the role has failed this often; every step rings the bell of its streams."""
    with role._bells.bell() as bell:
        async with asyncio.timeout(10):
            while role.core.discovery.counters.failures < count:
                bell.clear()
                await bell.wait()


def test_files_that_fit_have_no_problems(pki: TestPki, tmp_path: Path) -> None:
    assert check_files(site(pki=pki.root_certificate.parent), tmp_path) == []


def test_certificates_that_work_today_are_warned_about_before_they_do_not(pki: TestPki, tmp_path: Path) -> None:
    good = site(pki=pki.root_certificate.parent)
    assert certificate_warnings(good, tmp_path) == []
    files = tmp_path / "files"
    files.mkdir()
    root = test_pki.make_root("soon")
    soon = datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=30, hours=1)
    device, key = test_pki.make_device(root, serial="soon", not_after=soon)
    (files / "device.pem").write_bytes(device.public_bytes(Encoding.PEM))
    (files / "root.pem").write_bytes(pki.root_certificate.read_bytes())
    test_pki.write_key(files / "device.key", key).chmod(0o640)
    warned = certificate_warnings(site(pki=files), tmp_path)
    assert [line.split(",")[0] for line in warned[:2]] == [
        "der.certificate: failure: never-expires",
        "der.certificate: warning: expiry",
    ]
    assert "(30 days left)" in warned[1]
    assert warned[2].startswith("der.private_key: others can read")
    assert certificate_ends(site(pki=files).der, tmp_path)["2030.5 device"] == pytest.approx(soon.timestamp(), abs=1)


def test_the_days_left_are_a_metric(pki: TestPki) -> None:
    registry = CollectorRegistry()
    metrics = DerMetrics(registry, certificate_ends_s={"2030.5 device": 10 * 86_400.0})
    core = DerCore(site(), pki.device_lfdi, lambda most: most)
    metrics.show(core, {}, Now(mono_ms=0, utc_ms=3 * 86_400_000))
    assert registry.get_sample_value("dgm_cert_days_left", {"use": "2030.5 device"}) == 7


def test_every_problem_of_the_files_is_listed_at_once(pki: TestPki, tmp_path: Path) -> None:
    files = tmp_path / "files"
    files.mkdir()
    root = test_pki.make_root("expired")
    yesterday = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=1)
    device, _ = test_pki.make_device(root, serial="old", not_after=yesterday)
    (files / "device.pem").write_bytes(device.public_bytes(Encoding.PEM))
    (files / "device.key").write_bytes(pki.device_key.read_bytes())
    found = check_files(site(pki=files, pin="123456"), tmp_path)
    assert [problem.path for problem in found] == ["der.pin", "der.ca", "der.certificate", "der.private_key"]
    assert "expired" in found[2].found
    assert "not the key" in found[3].found


@pytest.mark.parametrize(
    "content", [b"", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", b"\xff\x00"]
)
def test_an_unreadable_certificate_is_one_problem(pki: TestPki, tmp_path: Path, content: bytes) -> None:
    files = tmp_path / "files"
    files.mkdir()
    for name in ("device.key", "root.pem"):
        (files / name).write_bytes((pki.root_certificate.parent / name).read_bytes())
    (files / "device.pem").write_bytes(content)
    assert [problem.path for problem in check_files(site(pki=files), tmp_path)] == ["der.certificate"]


async def test_energize_false_stops_what_comes_out_and_nobody_opts_out_of_it(
    pki: TestPki, tmp_path: Path, journal: Journal, ems: EmsServer, watch: Watch
) -> None:
    off = control(start_offset_s=1, duration_s=60, modes={"opModEnergize": False})
    async with utility_of(utility_config(pki, controls=[off]), watch) as (utility, url):
        world = context(tmp_path, site(url, pki.root_certificate.parent), ems.target, journal=journal)
        async with running(DerRole(world)) as role, caller(role) as stub:
            await watch.until(lambda: "utility:opModEnergize" in ems.ems.held)
            held = ems.ems.held["utility:opModEnergize"]
            assert (held.quantity, held.power_w) == (Quantity.QUANTITY_GROSS_GENERATION, 0)
            assert await refused(stub.OptOut(der_pb2.OptOutRequest(mrid=MRID))) == "OPT_OUT_REFUSED"
            assert await refused(stub.OptIn(der_pb2.OptInRequest(mrid="FF"))) == "UNKNOWN_CONTROL"
            assert utility.records.faults == []


async def test_a_target_is_a_lease_at_the_ems_until_nothing_rules_it(ems: EmsServer, watch: Watch) -> None:
    now = Now(mono_ms=1_000_000, utc_ms=5_000_000)
    wanted = {"battery": Wanted(want_w=-20_000, end_ms=5_030_000, mrid=MRID)}
    async with grpc.aio.insecure_channel(ems.target) as channel:
        sync = TargetSync(channel, wanted=lambda: wanted, now=lambda: now)
        await sync.sync()
        put = ems.ems.targets.pop("battery")
        assert (put.want_w, put.priority, put.source, put.ttl_ms) == (-20_000, 1000, "utility:der", 30_000)
        await sync.sync()
        assert not ems.ems.targets, "nothing new, nothing told"
        now = Now(mono_ms=1_020_000, utc_ms=5_020_000)
        await sync.sync()
        assert ems.ems.targets["battery"].ttl_ms == 10_000, "renewed, never beyond the event"
        wanted.clear()
        await sync.sync()
        assert not ems.ems.targets


async def test_somebody_on_site_opts_out_of_a_target_and_in_again(pki: TestPki) -> None:
    core = DerCore(site(), pki.device_lfdi, lambda most: most)
    core.scheduler.handle(known(program(targeted("AA", 1, -60_000), targeted("BB", 5, -10_000))), at(10))
    core.handle(SiteSeen(update=OBSERVED), at(10))
    service = DerService(
        core,
        server=lambda: "",
        lfdi=lambda: pki.device_lfdi,
        now=lambda: at(11),
        bell=Bells().bell,
        step=lambda event: handle(event),
    )

    def handle(event: OptOut | OptIn) -> None:
        core.handle(event, at(11))

    def battery_w() -> int | None:
        want = core.wanted(at(12)).get("battery")
        return None if want is None else want.want_w

    assert battery_w() == 30_000
    found = {control.mrid: list(control.superseded_by) for control in controls_of(core)}
    assert found == {"AA": ["BB"], "BB": []}
    out = await service.OptOut(der_pb2.OptOutRequest(mrid="BB"), None)
    assert list(out.control.opted_out_modes) == ["opModTargetW"]
    assert battery_w() is None
    back = await service.OptIn(der_pb2.OptInRequest(mrid="BB"), None)
    assert not back.control.opted_out_modes
    assert battery_w() == 30_000


def targeted(mrid: str, newer_s: int, power_w: int) -> DERControl:
    base = ControlBase(modes=(ControlMode(name="opModTargetW", power_w=power_w),))
    return replace(make_control(mrid, 0, 600), base=base, creation_s=T0_S - 100 + newer_s)


@asynccontextmanager
async def caller(role: DerRole) -> AsyncIterator[der_pb2_grpc.DerServiceStub]:
    server = grpc.aio.server()
    servicer = role.servicers()[0]
    servicer.add(servicer.servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield der_pb2_grpc.DerServiceStub(channel)
    await server.stop(None)


async def refused(call: Any) -> str:
    """The reason of a refusal."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    status = rpc_status.from_call(caught.value)
    info = error_details_pb2.ErrorInfo()
    assert status.details[0].Unpack(info)
    return info.reason


async def test_with_a_place_for_notifications_the_role_listens_there_for_the_utility_alone(
    pki: TestPki, tmp_path: Path, journal: Journal, ems: EmsServer, watch: Watch
) -> None:
    async with utility_of(utility_config(pki), watch) as (_, url):
        config = site(url, pki.root_certificate.parent)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        config.der.notify.host, config.der.notify.port = "127.0.0.1", port
        config.der.notify.url = f"https://127.0.0.1:{port}/notify"
        tls = client_context(ca=pki.root_certificate, certificate=pki.server_certificate, private_key=pki.server_key)
        tls.check_hostname = False
        role = DerRole(context(tmp_path, config, ems.target, journal=journal))
        async with running(role):
            await watch.until(lambda: role.core.discovery.link is Link.READY)
            client = UtilityClient(tls)
            forged = r.Notification(subscribed="/dc", status=r.NotificationState.DEFAULT, subscription_uri="/sub/9")
            answer = await client.send(Request(tag=1, method="POST", url=config.der.notify.url, body=forged))
            await client.close()
            assert isinstance(answer, Answer)
            assert answer.status == 400
