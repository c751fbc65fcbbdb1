"""Security profiles 0 to 3 on real sockets, passwords that are rotated, and commands that would move a station."""

from __future__ import annotations

import json
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from ocpp_bench import OCPP16, Bench, Csms, frame_with, until
from ocpp_driver import Driver, ModelStation
from ocpp_pki import Authority
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus

from dgm.api.config.v1.config_pb2 import CpoConfig, DgmConfig, OcppConfig, StationConfig, StationTlsConfig
from dgm.ocpp.events import PasswordTaken, Reason
from dgm.ocpp.gateway import Security, station_tls
from dgm.ocpp.gateway.keys import Keys, basic_header, parse_passwords
from dgm.ocpp.gateway.security import Door, security_problems


@asynccontextmanager
async def gateway(tmp_path: Path, security: Security, tls: ssl.SSLContext | None = None) -> AsyncIterator[Bench]:
    async with Csms().running() as csms:
        bench = Bench(csms, tmp_path, security=security)
        await bench.gateway.start("127.0.0.1", 0)
        if tls is not None:
            await bench.gateway.start("127.0.0.1", 0, tls=tls)
        yield bench
        await bench.gateway.stop()


async def status_of(opening: connect) -> int:
    with pytest.raises(InvalidStatus) as refused:
        await opening
    return refused.value.response.status_code


def shown(user: str, password: str) -> dict[str, str]:
    return {"Authorization": basic_header(user, password)}


async def test_a_password_that_we_know_is_checked_here_and_passed_on(tmp_path: Path) -> None:
    async with gateway(tmp_path, Security(keys=Keys(tmp_path, {"CP-1": "secret"}))) as bench:
        for headers in ({}, shown("CP-1", "wrong"), shown("CP-2", "secret"), {"Authorization": "Basic !"}):
            assert await status_of(bench.station(additional_headers=headers)) == 401
        assert not bench.csms.requests, "a CSMS never hears of it"
        async with bench.station(additional_headers=shown("CP-1", "secret")):
            assert bench.csms.requests[0].headers["Authorization"] == basic_header("CP-1", "secret")
        async with bench.station("CP%202%7C%C3%A9"):
            pass  # nothing is known of this one: its CSMS judges
        assert bench.metric("dgm_ocpp_refused_total", reason="credentials") == 4


async def test_profile_1_wants_a_password_even_where_only_the_csms_can_judge_it(tmp_path: Path) -> None:
    async with gateway(tmp_path, Security(doors={"CP-1": Door(profile=1)})) as bench:
        assert await status_of(bench.station()) == 401
        async with bench.station(additional_headers=shown("CP-1", "any")):
            assert len(bench.csms.requests) == 1


async def test_profile_2_and_3_want_tls_and_3_a_certificate_of_the_station(tmp_path: Path) -> None:
    authority, stranger = Authority(tmp_path, "site"), Authority(tmp_path, "stranger")
    certificate, key = authority.sign("gateway")
    config = StationTlsConfig(certificate=str(certificate), private_key=str(key), client_ca=str(authority.file))
    doors = {"CP-1": Door(profile=3), "CP 2|é": Door(profile=2)}
    tls = station_tls(config, tmp_path)
    async with gateway(tmp_path, Security(doors=doors), tls) as bench:
        assert await status_of(bench.station()) == 403
        assert await status_of(bench.station("CP%202%7C%C3%A9")) == 403
        url = f"wss://127.0.0.1:{bench.gateway.ports[1]}"

        def client(*files: Path) -> ssl.SSLContext:
            context = ssl.create_default_context(cafile=str(authority.file))
            if files:
                context.load_cert_chain(*files)
            return context

        async with connect(
            f"{url}/CP%202%7C%C3%A9", ssl=client(), subprotocols=[OCPP16], additional_headers=shown("x", "y")
        ):
            pass
        for files in ((), authority.sign("CP-9")):
            opening = connect(f"{url}/CP-1", ssl=client(*files), subprotocols=[OCPP16])
            assert await status_of(opening) == 401
        async with connect(f"{url}/CP-1", ssl=client(*authority.sign("CP-1")), subprotocols=[OCPP16]) as station:
            await station.send('[2,"1","Heartbeat",{}]')
            assert await frame_with(station, "1")
        with pytest.raises((ConnectionClosed, InvalidHandshake, OSError)):
            await connect(f"{url}/CP-1", ssl=client(*stranger.sign("CP-1b")), subprotocols=[OCPP16])


async def test_upstream_the_ca_of_the_cpo_counts_and_our_certificate_and_password_are_shown(tmp_path: Path) -> None:
    cpo, other = Authority(tmp_path, "cpo"), Authority(tmp_path, "other")
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(*cpo.sign("csms"))
    server.load_verify_locations(cpo.file)
    server.verify_mode = ssl.CERT_REQUIRED
    cpo.sign("CP-1")
    (tmp_path / "north.txt").write_text("upstream\n")
    station = StationConfig(id="CP-1", cpo="c", csms_password_file="north.txt")
    for authority, reached in ((cpo, True), (other, False)):
        own = CpoConfig(id="c", ca=authority.file.name, certificate="{station}.pem", private_key="{station}.key")
        config = DgmConfig(cpos=[own], stations=[station], ocpp=OcppConfig())
        assert list(security_problems(config, tmp_path)) == []
        async with Csms().running(server) as csms:
            bench = Bench(csms, tmp_path, security=Security.of(config, tmp_path, tmp_path / "state"))
            await bench.gateway.start("127.0.0.1", 0)
            if reached:
                async with bench.station(additional_headers=shown("CP-1", "own")):
                    assert csms.requests[0].headers.get_all("Authorization") == [basic_header("CP-1", "upstream")]
            else:
                assert await status_of(bench.station()) == 502
            await bench.gateway.stop()


def test_every_file_that_is_wrong_is_told_with_its_place(tmp_path: Path) -> None:
    authority = Authority(tmp_path, "a")
    certificate, _ = authority.sign("one")
    _, key = authority.sign("two")
    (tmp_path / "passwords.txt").write_text("CP-1:x\nnonsense\n")
    tls = StationTlsConfig(certificate=certificate.name, private_key=key.name)
    config = DgmConfig(
        cpos=[CpoConfig(id="c", ca="nowhere.pem")],
        stations=[StationConfig(id="CP-1", cpo="c", csms_password_file="absent.txt")],
        ocpp=OcppConfig(tls=tls, passwords_file="passwords.txt"),
    )
    found = {problem.path: problem.found for problem in security_problems(config, tmp_path)}
    assert set(found) == {"ocpp.tls", "ocpp.passwords_file", "cpos[0]", "stations[0].csms_password_file"}
    assert "line 2" in found["ocpp.passwords_file"]


def test_a_rotated_password_holds_over_a_restart_and_stands_nowhere_in_clear(tmp_path: Path) -> None:
    keys = Keys(tmp_path, {"CP-1": "old"})
    assert keys.opens("CP-1", basic_header("CP-1", "old"))
    keys.rotate("CP-1", "new-secret")
    for found in (keys, Keys(tmp_path, {"CP-1": "old"})):
        assert not found.opens("CP-1", basic_header("CP-1", "old"))
        assert found.opens("CP-1", basic_header("CP-1", "new-secret"))
    assert "new-secret" not in (tmp_path / "ocpp-keys.json").read_text()
    assert (tmp_path / "ocpp-keys.json").stat().st_mode & 0o077 == 0
    assert "secret" not in repr(PasswordTaken(password="secret"))


def test_password_lines() -> None:
    assert parse_passwords("# comment\n\nCP-1:a:b\n CP|2:x \n") == {"CP-1": "a:b", "CP|2": "x"}
    with pytest.raises(ValueError, match="line 1"):
        parse_passwords("CP-1")


async def test_a_rotation_counts_only_when_the_station_took_it(tmp_path: Path) -> None:
    keys = Keys(tmp_path, {"CP-1": "old"})
    async with gateway(tmp_path, Security(keys=keys)) as bench:
        async with bench.station(additional_headers=shown("CP-1", "old")) as station:
            for number, status in enumerate(("Rejected", "Accepted")):
                change = [2, f"k{number}", "ChangeConfiguration", {"key": "AuthorizationKey", "value": f"new{number}"}]
                await bench.csms.sockets[0].send(json.dumps(change))
                await frame_with(station, f"k{number}")
                assert keys.opens("CP-1", basic_header("CP-1", "old"))
                await station.send(json.dumps([3, f"k{number}", {"status": status}]))
                await until(lambda number=number: len(bench.csms.seen) > number)
        assert await status_of(bench.station(additional_headers=shown("CP-1", "old"))) == 401
        async with bench.station(additional_headers=shown("CP-1", "new1")):
            pass


# Commands that would move the station off us.


def variable(component: str, name: str, value: str = "x") -> dict[str, Any]:
    return {"component": {"name": component}, "variable": {"name": name}, "attributeValue": value}


@pytest.mark.parametrize(
    ("action", "payload"),
    [
        ("ChangeConfiguration", {"key": "CentralSystemURL", "value": "wss://other"}),
        ("ChangeConfiguration", {"key": "Vendor.Backend Url", "value": "wss://other"}),
        ("ChangeConfiguration", {"key": "ocpp_server_address", "value": "x"}),
        ("SetNetworkProfile", {"configurationSlot": 1, "connectionData": {}}),
        ("SetVariables", {"setVariableData": [variable("OCPPCommCtrlr", "NetworkConfigurationPriority")]}),
        ("SetVariables", {"setVariableData": [variable("A", "B"), variable("NetworkConfiguration", "OcppCsmsUrl")]}),
    ],
)
def test_a_command_that_would_move_the_station_is_refused_and_listed(action: str, payload: dict[str, Any]) -> None:
    driver = Driver(station=ModelStation()).connect()
    driver.north.clear()
    message_id = driver.csms_call(action, payload)
    assert message_id not in [call[1] for call in driver.south_calls()]
    (answer,) = (json.loads(raw) for raw in driver.north)
    assert answer[:2] == [3, message_id]
    told = answer[2].get("setVariableResult", [answer[2]])
    assert {one.get("attributeStatus", one.get("status")) for one in told} == {"Rejected"}
    assert [found.reason for found in driver.excepted[-2:]] == [Reason.REPOINTING, Reason.LOCAL_REFUSAL]


@pytest.mark.parametrize(
    ("action", "payload"),
    [
        ("ChangeConfiguration", {"key": "HeartbeatInterval", "value": "60"}),
        ("ChangeConfiguration", {"key": "WebSocketPingInterval", "value": "30"}),
        ("ChangeConfiguration", {"key": "ConnectionTimeOut", "value": "30"}),
        ("ChangeConfiguration", "nonsense"),
        ("SetVariables", {"setVariableData": [variable("OCPPCommCtrlr", "HeartbeatInterval")]}),
        ("SetVariables", {"setVariableData": 3}),
        ("GetVariables", {}),
    ],
)
def test_other_settings_are_the_csmss_business(action: str, payload: Any) -> None:
    driver = Driver(station=None).connect(boot=False)
    driver.csms_call(action, payload, "s9")
    assert [call[1] for call in driver.south_calls()] == ["s9"]
