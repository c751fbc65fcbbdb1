"""The aggregator over real sockets: two sites, each with an EMS of its own, behind one certificate."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
from der_examples import SITE, EmsServer, Watch, context, utility_config
from test_der_service import MRID, control, running, utility_of

from dgm import config as site_config
from dgm.api.der.v1 import der_pb2, der_pb2_grpc
from dgm.api.der.v1.der_pb2 import ConnectionState
from dgm.app import examine, roles_of
from dgm.der.service import AggregatorRole
from dgm.journal import Journal
from dgm.sim.live import pki as test_pki
from dgm.sim.live.pki import TestPki
from dgm.sim.utility.aggregated import AggregatedServer

A, B = "A" * 32 + "00037244", "B" * 32 + "00037244"
IMPORT = "utility:opModImpLimW"
AGGREGATOR = """
site: {{id: aggregator, name: Aggregator}}
der:
  url: {url}
  certificate: {pki}/device.pem
  private_key: {pki}/device.key
  ca: {pki}/root.pem
  pin: "111115"
  poll_s: 1
  pen: 37244
  end_devices:
    - {{lfdi: "{a}", pin: "111115", site: a/site.yaml, site_rating_w: 150000, battery_charge_rating_w: 50000}}
    - {{lfdi: "{b}", pin: "{pin}", site: b/site.yaml, site_rating_w: 80000}}
"""


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> TestPki:
    return test_pki.write_pki(tmp_path_factory.mktemp("pki"))


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    opened = Journal(tmp_path / "der.journal")
    yield opened
    opened.close()


def write(folder: Path, pki: TestPki, url: str = "https://127.0.0.1:1/dcap", pin: str = "222220") -> Path:
    """The aggregator's file and those of its two sites."""
    for name in ("a", "b"):
        (folder / name / "run").mkdir(parents=True, exist_ok=True)
        (folder / name / "site.yaml").write_text(SITE.partition("der:")[0].format(), encoding="utf-8")
    file = folder / "aggregator.yaml"
    file.write_text(AGGREGATOR.format(url=url, pki=pki.root_certificate.parent, a=A, b=B, pin=pin), encoding="utf-8")
    return file


@contextlib.asynccontextmanager
async def emses(folder: Path, watch: Watch) -> AsyncIterator[list[EmsServer]]:
    servers = [EmsServer(folder / name / "run" / "ems.sock", watch) for name in ("a", "b")]
    for name, server in zip(("a", "b"), servers, strict=True):
        (folder / name / "run").mkdir(parents=True, exist_ok=True)
        await server.start()
    yield servers
    for server in servers:
        await server.stop()


async def test_each_site_holds_its_limits_and_each_device_answers_and_reports(
    pki: TestPki, tmp_path: Path, journal: Journal
) -> None:
    watch = Watch()
    children = [{"lfdi": A, "pin": 111115}, {"lfdi": B, "pin": 222220}]
    config = utility_config(pki, controls=[control(creation_offset_s=1)], end_devices=children)
    async with utility_of(config, watch) as (utility, url), emses(tmp_path, watch) as (first, second):
        parsed = site_config.parse(write(tmp_path, pki, url).read_text())
        role = AggregatorRole(context(tmp_path, parsed, "unix:unused", journal=journal))
        async with running(role):  # type: ignore[arg-type]
            for ems in (first.ems, second.ems):
                await watch.until(lambda ems=ems: ems.powers(IMPORT) == [300_000, 90_000, 300_000])
            await watch.until(lambda: len(utility.records.responses) == 6)
            server = utility.server
            assert isinstance(server, AggregatedServer)
            wanted = {"DERCapability", "DERSettings", "DERStatus"}
            await watch.until(lambda: all(wanted <= server.reports[lfdi] for lfdi in (A, B)))
            await watch.until(lambda: len(utility.records.readings) >= 6)
            assert await states(role) == [ConnectionState.CONNECTION_STATE_READY] * 2
    answered = sorted((item["lfdi"], item["mrid"], item["status"]) for item in utility.records.responses)
    assert answered == [(lfdi, MRID, status) for lfdi in (A, B) for status in (1, 2, 3)]
    assert utility.records.faults == []


async def states(role: AggregatorRole) -> list[int]:
    service = role.servicers()[0].servicer
    found = [await service.GetConnection(der_pb2.GetConnectionRequest(lfdi=lfdi), None) for lfdi in (A.lower(), B)]
    return [connection.state for connection in found]


async def test_a_request_has_to_name_one_of_the_devices(pki: TestPki, tmp_path: Path, journal: Journal) -> None:
    parsed = site_config.parse(write(tmp_path, pki).read_text())
    role = AggregatorRole(context(tmp_path, parsed, "unix:unused", journal=journal))
    server = grpc.aio.server()
    for item in role.servicers():
        item.add(item.servicer, server)
    server.add_insecure_port(f"unix:{tmp_path}/der.sock")
    await server.start()
    async with grpc.aio.insecure_channel(f"unix:{tmp_path}/der.sock") as channel:
        stub = der_pb2_grpc.DerServiceStub(channel)
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await stub.GetConnection(der_pb2.GetConnectionRequest())
        assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert "one of the 2 EndDevices" in str(refused.value.details())
        found = await stub.ListControls(der_pb2.ListControlsRequest(lfdi=A))
        assert not found.controls
    await server.stop(0)


def test_an_aggregator_is_checked_with_the_sites_it_names(pki: TestPki, tmp_path: Path) -> None:
    file = write(tmp_path, pki)
    found = examine(file)
    assert (found.problems, roles_of(found.config)) == ((), ["der"])


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({A: "A" * 39}, "der.end_devices[0].lfdi"),
        ({B: A}, "der.end_devices[1].lfdi"),
        ({"b/site.yaml": "c/site.yaml"}, "der.end_devices[1].site"),
        ({"site_rating_w: 80000": "site_rating_w: 0"}, "der.end_devices[1].site_rating_w"),
        ({'pin: "222220"': 'pin: "22"'}, "der.end_devices[1].pin"),
        ({"site: b/site.yaml": "site: b/site.yaml, ems: site-b"}, "der.end_devices[1].ems"),
        ({"site: b/site.yaml": "site: b/site.yaml, ems: 'site-b:9443'"}, "api"),
        ({"der:\n": "circuits: [{id: grid, import_limit_w: 5}]\nder:\n"}, "circuits"),
    ],
)
def test_what_is_wrong_with_an_aggregator_is_told_where_it_stands(
    pki: TestPki, tmp_path: Path, change: dict[str, str], path: str
) -> None:
    file = write(tmp_path, pki)
    text = file.read_text()
    for before, after in change.items():
        assert before in text
        text = text.replace(before, after)
    file.write_text(text)
    assert path in [problem.path for problem in examine(file).problems]


def test_a_site_that_talks_for_itself_is_not_talked_for(pki: TestPki, tmp_path: Path) -> None:
    file = write(tmp_path, pki)
    own: Any = SITE.format(url="https://127.0.0.1:1/dcap", pki="pki", pin="111115")
    (tmp_path / "a" / "site.yaml").write_text(own)
    found = examine(file).problems
    assert [problem.path for problem in found] == ["der.end_devices[0].site"]
    assert "talk for itself" in found[0].found
