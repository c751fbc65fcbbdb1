"""Modbus/TCP Security of the facade as another implementation's client sees it."""

from __future__ import annotations

import datetime
import socket
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from pymodbus.client import AsyncModbusTlsClient

from dgm import _core
from dgm.api.config.v1.config_pb2 import FacadeConfig, ModbusTlsConfig
from dgm.facade import tls_problems
from dgm.sim.live.modbus_pki import End, make_end
from dgm.sim.live.pki import Issuer, make_root

HOST = "127.0.0.1"
LIMIT = 5


@pytest.fixture(scope="module")
def issuer() -> Issuer:
    return make_root("Modbus test root")


@pytest.fixture
def facade(issuer: Issuer, tmp_path: Path) -> Iterator[_core.Facade]:
    """Register 0 holds 42; register 5 may be written by operators."""
    config = FacadeConfig(tls=make_end(issuer, tmp_path, "server").message(), write_roles=["Operator"])
    facade = _core.Facade(HOST, 0, 1, config.SerializeToString())
    facade.define(1, 0, 10)
    facade.publish(1, 0, b"\x00\x2a")
    facade.allow_write(1, LIMIT, 1, 0, 100, 0)
    facade.start()
    yield facade
    facade.stop()


@asynccontextmanager
async def connected(
    facade: _core.Facade, end: End, version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3
) -> AsyncIterator[AsyncModbusTlsClient]:
    context = ssl.create_default_context(cafile=end.ca)
    context.load_cert_chain(end.certificate, end.private_key)
    context.minimum_version = context.maximum_version = version
    client = AsyncModbusTlsClient(HOST, port=facade.port(), sslctx=context, retries=0, timeout=5)
    assert await client.connect()
    yield client
    client.close()


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_an_operator_reads_and_writes_and_the_owner_is_told_who_it_was(
    facade: _core.Facade, issuer: Issuer, tmp_path: Path, version: ssl.TLSVersion
) -> None:
    operator = make_end(issuer, tmp_path, "operator", roles=("Operator",))
    async with connected(facade, operator, version) as client:
        assert (await client.read_holding_registers(0, count=1, device_id=1)).registers == [42]
        assert not (await client.write_register(LIMIT, 7, device_id=1)).isError()
        [(unit, address, value, _, table, peer, role)] = facade.take_writes()
        assert (unit, address, value, table, role) == (1, LIMIT, 7, 1, "Operator")
        assert (peer or "").startswith("127.0.0.1:")
        [(seen, seen_role, _, _, requests, exceptions)] = facade.clients()
        assert (seen, seen_role, requests, exceptions) == (peer, "Operator", 2, 0)
    assert facade.counters()["tls_handshakes_total"] == 1


@pytest.mark.parametrize("roles", [(), ("Viewer",)])
async def test_another_role_or_none_reads_and_gets_exception_1_for_a_write(
    facade: _core.Facade, issuer: Issuer, tmp_path: Path, roles: tuple[str, ...]
) -> None:
    async with connected(facade, make_end(issuer, tmp_path, "viewer", roles=roles)) as client:
        assert (await client.read_holding_registers(0, count=1, device_id=1)).registers == [42]
        assert (await client.write_register(LIMIT, 7, device_id=1)).exception_code == 1
    assert facade.counters()["writes_denied_total"] == 1
    assert facade.take_writes() == []


def refused_by(facade: _core.Facade, end: End | None, trusted: End) -> None:
    """A TLS client that must not get an answer, whatever the version makes it see."""
    context = ssl.create_default_context(cafile=trusted.ca)
    if end is not None:
        context.load_cert_chain(end.certificate, end.private_key)
    with socket.create_connection((HOST, facade.port()), timeout=5) as raw:
        try:
            with context.wrap_socket(raw, server_hostname=HOST) as secured:
                secured.sendall(bytes([0, 1, 0, 0, 0, 6, 1, 3, 0, 0, 0, 1]))
                assert secured.recv(100) == b""
        except (ssl.SSLError, ConnectionResetError):
            pass


def test_who_cannot_prove_itself_is_refused_and_counted_by_cause(
    facade: _core.Facade, issuer: Issuer, tmp_path: Path
) -> None:
    good = make_end(issuer, tmp_path, "good")
    expired = make_end(issuer, tmp_path, "expired", valid_for=-datetime.timedelta(days=1))
    foreign = make_end(make_root("Another root"), tmp_path, "foreign")
    for end in (expired, foreign, None):
        refused_by(facade, end, good)
    with socket.create_connection((HOST, facade.port()), timeout=5) as plain:
        plain.sendall(bytes([0, 1, 0, 0, 0, 6, 1, 3, 0, 0, 0, 1]))
        answer = plain.recv(100)
        assert answer == b"" or answer[0] == 0x15, "no plaintext; a TLS alert says why"
        assert plain.recv(100) == b""
    counters = facade.counters()
    causes = ("expired", "foreign", "no_certificate", "not_tls")
    assert {cause: counters[f"tls_failed_{cause}_total"] for cause in causes} == dict.fromkeys(causes, 1)
    assert counters["modbus_requests_total"] == 0


async def test_renewed_certificates_are_taken_up_and_a_broken_file_is_named(
    facade: _core.Facade, issuer: Issuer, tmp_path: Path
) -> None:
    client_end = make_end(issuer, tmp_path, "client")
    async with connected(facade, client_end) as before:
        assert facade.refresh_tls() is False
        server = make_end(issuer, tmp_path, "server")
        assert facade.refresh_tls() is True
        assert (await before.read_holding_registers(0, count=1, device_id=1)).registers == [42]
        server.private_key.write_text("no key")
        with pytest.raises(_core.CoreError, match=r"server\.key: found none; expected a private key in PEM"):
            facade.refresh_tls()
        async with connected(facade, client_end) as after:
            assert (await after.read_holding_registers(0, count=1, device_id=1)).registers == [42]


def test_a_configuration_that_cannot_be_secured_is_refused_by_name(issuer: Issuer, tmp_path: Path) -> None:
    end = make_end(issuer, tmp_path, "server").message()
    missing = ModbusTlsConfig()
    missing.CopyFrom(end)
    missing.ca = str(tmp_path / "nowhere.pem")
    for config, text in (
        (FacadeConfig(tls=missing), r"nowhere\.pem: found No such file"),
        (FacadeConfig(tls=ModbusTlsConfig(certificate="a")), r"tls\.private_key: found nothing"),
        (FacadeConfig(write_roles=["Operator"]), "without certificates nobody has a role"),
    ):
        with pytest.raises(_core.CoreError, match=text):
            _core.Facade(HOST, 0, 1, config.SerializeToString())


def test_dgm_check_names_the_file_that_cannot_be_used(issuer: Issuer, tmp_path: Path) -> None:
    make_end(issuer, tmp_path, "server")
    names = {"certificate": "server.pem", "private_key": "server.key", "ca": "server.ca.pem"}
    config = FacadeConfig(tls=ModbusTlsConfig(**names))
    assert list(tls_problems(config, tmp_path, place="ocpp.facade")) == []
    config.tls.private_key = "server.pem"
    [problem] = tls_problems(config, tmp_path, place="ocpp.facade")
    assert problem.path == "ocpp.facade.tls"
    assert problem.found.endswith("server.pem: found none")
    assert problem.expected == "a private key in PEM"
    assert list(tls_problems(FacadeConfig(), tmp_path, place="der.facade")) == []
