"""The simulated utility as a process: its READY line, its result files, and what it refuses."""

from __future__ import annotations

import asyncio
import json
import os
import ssl
import sys
from pathlib import Path

import pytest
from aiohttp import web
from der_documents import faults
from der_examples import Watch, site, utility_config

from dgm.der import resource as r
from dgm.der.client import UtilityClient, tls_context
from dgm.der.codec import Dialect, decode
from dgm.der.discovery import Answer, NoAnswer, Request
from dgm.sim.live import pki as test_pki
from dgm.sim.live.pki import TestPki
from dgm.sim.live.utility import Utility, UtilityServer
from dgm.sim.live.utility import tls_context as server_context
from dgm.sim.utility.documents import Listing, build
from dgm.sim.utility.state import mrid_of
from dgm.sim.utility.xml import check

MRID = "0600ABCD000000000000000100037244"


async def start(config: dict[str, object], directory: Path) -> tuple[asyncio.subprocess.Process, dict[str, object]]:
    path = directory / "utility.config.json"
    path.write_text(json.dumps({**config, "out_dir": str(directory)}))
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "dgm.sim.live.utility",
        str(path),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert process.stdout is not None
    async with asyncio.timeout(20):
        line = await process.stdout.readline()
    assert line.startswith(b"READY ")
    return process, json.loads(line.removeprefix(b"READY "))


@pytest.fixture
def watch() -> Watch:
    return Watch()


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> TestPki:
    return test_pki.write_pki(tmp_path_factory.mktemp("pki"))


async def test_the_process_serves_until_its_input_ends_and_leaves_its_results(pki: TestPki, tmp_path: Path) -> None:
    event = {"mrid": MRID, "start_offset_s": 60, "duration_s": 5, "modes": {"opModImpLimW": 1}}
    process, ready = await start(utility_config(pki, controls=[event]), tmp_path)
    config = site(str(ready["url"]), pki.root_certificate.parent)
    client = UtilityClient(tls_context(config.der, tmp_path))

    async def send(method: str, href: str, body: r.Resource | None = None) -> Answer:
        url = str(ready["url"]).replace("/dcap", href)
        answer = await client.send(Request(tag=1, method=method, url=url, body=body))
        assert isinstance(answer, Answer)
        return answer

    dcap = (await send("GET", "/dcap")).resource
    assert isinstance(dcap, r.DeviceCapability)
    devices = (await send("GET", f"{dcap.end_device_list_link}?s=1&l=5")).resource
    assert isinstance(devices, r.EndDeviceList)
    assert devices.items[0].lfdi == pki.device_lfdi
    groups = (await send("GET", str(devices.items[0].function_set_assignments_list_link))).resource
    assert isinstance(groups, r.FunctionSetAssignmentsList)
    programs = (await send("GET", f"{groups.items[0].der_program_list_link}?l=9")).resource
    assert isinstance(programs, r.DERProgramList)
    assert [item.primacy for item in programs.items] == [1, 2]
    events = (await send("GET", str(programs.items[0].der_control_list_link))).resource
    assert isinstance(events, r.DERControlList)
    reply_to = str(events.items[0].reply_to)
    good = r.DERControlResponse(created_s=1, lfdi=pki.device_lfdi, status=1, subject=MRID)
    assert (await send("POST", reply_to, good)).status == 201
    other = r.DERControlResponse(created_s=1, lfdi="00" * 20, status=1, subject=MRID)
    assert (await send("POST", reply_to, other)).status == 400
    assert (await send("GET", "/edev")).status == 404, "hrefs cannot be guessed"
    await client.close()
    assert process.stdin is not None
    process.stdin.close()
    async with asyncio.timeout(20):
        assert await process.wait() == 0
    result = json.loads((tmp_path / "utility.json").read_text())
    assert [(item["mrid"], item["status"]) for item in result["responses"]] == [(MRID, 1)]
    assert len(result["faults"]) == 1
    lines = [json.loads(line) for line in (tmp_path / "utility.jsonl").read_text().splitlines()]
    assert [line["kind"] for line in lines].count("response") == 1
    assert {"request", "fault"} <= {line["kind"] for line in lines}
    assert all(line["utc_ms"] > 0 for line in lines)


async def test_other_ciphers_no_certificate_and_garbage_are_refused_and_disturb_nobody(
    pki: TestPki, tmp_path: Path
) -> None:
    process, ready = await start(utility_config(pki), tmp_path)
    port = int(str(ready["port"]))
    plain = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    plain.load_verify_locations(pki.root_certificate)
    with pytest.raises((ssl.SSLError, ConnectionError)):
        await asyncio.open_connection("127.0.0.1", port, ssl=plain)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"\x16\x03\x01" + bytes(range(256)))
    await writer.drain()
    async with asyncio.timeout(10):
        await reader.read()
    writer.close()
    anonymous = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    anonymous.load_verify_locations(pki.root_certificate)
    anonymous.maximum_version = ssl.TLSVersion.TLSv1_2
    anonymous.set_ciphers("ECDHE-ECDSA-AES128-CCM8:@SECLEVEL=0")
    url = str(ready["url"])
    stranger = UtilityClient(anonymous)
    assert isinstance(await stranger.send(Request(tag=1, method="GET", url=url)), NoAnswer)
    await stranger.close()
    known = UtilityClient(tls_context(site(url, pki.root_certificate.parent).der, tmp_path))
    answer = await known.send(Request(tag=2, method="GET", url=url))
    assert isinstance(answer, Answer)
    assert answer.status == 200
    await known.close()
    process.terminate()
    async with asyncio.timeout(20):
        assert await process.wait() == 0


def test_every_document_that_the_utility_serves_is_valid(pki: TestPki) -> None:
    modes = {
        "opModConnect": True,
        "opModImpLimW": 100_000,
        "opModExpLimW": 0,
        "opModGenLimW": 1,
        "opModLoadLimW": 32_768,
    }
    event = {
        "mrid": MRID,
        "start_offset_s": 60,
        "duration_s": 5,
        "randomize_start_s": -5,
        "ramp_tms": 100,
        "modes": modes,
    }
    utility = Utility(utility_config(pki, controls=[event], default_grad=27))
    server = utility.server
    view = server.view(pki.device_lfdi)
    for name in ("dcap", "tm", "edev", "rg", "fsa", "derp 1", "derc 0", "derc 1", "dderc 0", "der", "mup"):
        made = build(name, view)
        assert made is not None, name
        body = server.page(made, {"l": "9"}) if isinstance(made, Listing) else made
        assert faults(body, Dialect()) == [], name


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        (b"", "not well-formed"),
        (b"<!DOCTYPE x><DERStatus/>", "declaration"),
        (b"<DERStatus><readingTime>1</readingTime></DERStatus>", "root"),
        (b'<DERStatus xmlns="urn:ieee:std:2030.5:ns"/>', "readingTime is missing"),
        (b'<DERStatus xmlns="urn:ieee:std:2030.5:ns"><readingTime>x</readingTime></DERStatus>', "not of its type"),
        (b'<DERStatus xmlns="urn:ieee:std:2030.5:ns"><readingTime>1</readingTime><a/></DERStatus>', "unknown element"),
    ],
)
def test_the_schema_check_names_what_is_wrong(body: bytes, fault: str) -> None:
    assert fault in " ".join(check(body, "DERStatus")[1])


async def test_a_script_is_played_on_sockets_and_its_changes_are_pushed_over_mutual_tls(
    pki: TestPki, tmp_path: Path, watch: Watch
) -> None:
    told: list[r.Resource] = []

    async def listen(request: web.Request) -> web.Response:
        told.append(decode(await request.read()))
        watch.ring()
        return web.Response(status=204)

    application = web.Application()
    application.router.add_post("/notify", listen)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    der = site(pki=pki.root_certificate.parent).der
    device = {"certificate": der.certificate, "private_key": der.private_key, "ca": der.ca}
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=server_context(device)).start()
    port = runner.addresses[0][1]
    control = {"name": "c", "program": "1", "start_in_s": 60, "duration_s": 60, "modes": {"opModExpLimW": 0}}
    script = [
        {"do": [{"set": {"subscribable": True}}, {"program": {"name": "1"}}]},
        {"when": {"post": "sub"}, "do": [{"control": control}]},
    ]
    utility = Utility(utility_config(pki, script=script))
    server = UtilityServer(utility)
    client = UtilityClient(tls_context(der, tmp_path))
    try:
        url = (await server.start()).removesuffix("/dcap")
        core = utility.server
        wish = r.Subscription(
            subscribed=core.href("derc 1"),
            encoding=0,
            level="+S1",
            limit=9,
            notification_uri=f"https://127.0.0.1:{port}/notify",
        )
        answer = await client.send(Request(tag=1, method="POST", url=url + core.href("sub"), body=wish))
        assert isinstance(answer, Answer)
        assert answer.status == 201
        await watch.until(lambda: bool(told))
    finally:
        await client.close()
        await server.stop()
        await runner.cleanup()
    (notification,) = told
    assert isinstance(notification, r.Notification)
    assert isinstance(notification.resource, r.DERControlList)
    assert [item.mrid for item in notification.resource.items] == [mrid_of("control", "c")]
    assert utility.summary()["notifications"] == 1
