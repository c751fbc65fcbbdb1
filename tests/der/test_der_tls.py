"""Real handshakes on loopback: which suites, which certificates, whose, and resumed sessions."""

from __future__ import annotations

import asyncio
import datetime
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from dgm.der import tls
from dgm.der.certificates import profile
from dgm.der.certificates.files import write_chain
from dgm.der.identity import lfdi_of
from dgm.sim.live.pki import write_key

HOST = "127.0.0.1"
GCM = "ECDHE-ECDSA-AES128-GCM-SHA256"
PAST = datetime.datetime.now(datetime.UTC) - datetime.timedelta(hours=1)


@dataclass(frozen=True)
class Files:
    """Where each end's chain, key and trusted root are."""

    folder: Path

    def of(self, name: str, *, ca: str = "root") -> dict[str, Path]:
        return {
            "certificate": self.folder / f"{name}.pem",
            "private_key": self.folder / f"{name}.key",
            "ca": self.folder / f"{ca}.pem",
        }


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    folder = tmp_path_factory.mktemp("tls")
    root, other = profile.make_root("root"), profile.make_root("other")
    mica = profile.make_intermediate(profile.make_intermediate(root, "MCA", path_length=1), "MICA", path_length=0)
    leaves = {
        "server": profile.make_server(mica, [HOST, "localhost"]),
        "elsewhere": profile.make_server(mica, ["utility.example"]),
        "expired-server": profile.make_server(mica, [HOST], not_after=PAST),
        "device": profile.make_device(mica, serial="1"),
        "second-device": profile.make_device(mica, serial="2"),
        "expired-device": profile.make_device(mica, serial="3", not_after=PAST),
        "stranger": profile.make_device(other, serial="4"),
        "impostor": profile.make_server(other, [HOST]),
    }
    for name, issuer in (("root", root), ("other", other)):
        write_chain(folder / f"{name}.pem", [issuer.certificate])
    for name, leaf in leaves.items():
        write_chain(folder / f"{name}.pem", [leaf.certificate, *leaf.chain])
        write_key(folder / f"{name}.key", leaf.key)
    return Files(folder)


@asynccontextmanager
async def served(context: ssl.SSLContext, seen: Callable[[Any], None] = lambda _: None) -> AsyncIterator[int]:
    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen(writer.get_extra_info("ssl_object"))
        writer.write(b"x")
        await reader.read()
        writer.close()

    server = await asyncio.start_server(greet, HOST, 0, ssl=context)
    async with server:
        yield server.sockets[0].getsockname()[1]


async def greeting(port: int, context: ssl.SSLContext, host: str = HOST) -> tuple[str, bool]:
    """(suite, whether a session was resumed) of one connection; raises what the handshake raised."""
    reader, writer = await asyncio.open_connection(HOST, port, ssl=context, server_hostname=host)
    try:
        assert await reader.readexactly(1) == b"x"
        connection = writer.get_extra_info("ssl_object")
        return connection.cipher()[0], connection.session_reused
    finally:
        writer.close()


def default_server(files: Files) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(files.of("server")["certificate"], files.of("server")["private_key"])
    return context


def default_client(files: Files) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=files.of("device")["ca"])
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(files.of("device")["certificate"], files.of("device")["private_key"])
    return context


async def test_both_ends_agree_on_the_mandatory_suite_over_a_chain_of_four(files: Files) -> None:
    async with served(tls.listener_context(**files.of("server"))) as port:
        assert await greeting(port, tls.client_context(**files.of("device"))) == (tls.MANDATORY_SUITE, False)


async def test_a_server_of_the_languages_defaults_and_a_client_of_ours_have_no_suite_in_common(files: Files) -> None:
    async with served(default_server(files)) as port:
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await greeting(port, tls.client_context(**files.of("device")))


async def test_a_client_of_the_languages_defaults_is_refused_by_our_listener(files: Files) -> None:
    async with served(tls.listener_context(**files.of("server"))) as port:
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await greeting(port, default_client(files))


async def test_a_further_suite_of_the_profile_reaches_a_server_without_the_mandatory_one(files: Files) -> None:
    async with served(default_server(files)) as port:
        assert await greeting(port, tls.client_context(**files.of("device"), further=[GCM])) == (GCM, False)


async def test_the_mandatory_suite_is_preferred_to_further_ones(files: Files) -> None:
    both = {"further": [GCM]}
    async with served(tls.listener_context(**files.of("server"), **both)) as port:
        suite, _ = await greeting(port, tls.client_context(**files.of("device"), **both))
    assert suite == tls.MANDATORY_SUITE


@pytest.mark.parametrize("suite", ["NULL-SHA256", "ECDHE-ECDSA-AES128-SHA", "ALL", "", "AES128-CCM8:RC4"])
def test_a_suite_out_of_the_closed_list_is_refused_by_name(files: Files, suite: str) -> None:
    with pytest.raises(ValueError, match="expected one of"):
        tls.client_context(**files.of("device"), further=[suite])


def test_nothing_else_of_the_process_gets_the_suite_or_its_level(files: Files) -> None:
    tls.client_context(**files.of("device"))
    assert tls.MANDATORY_SUITE not in {item["name"] for item in ssl.create_default_context().get_ciphers()}


@pytest.mark.parametrize("name", ["impostor", "expired-server", "elsewhere", "second-device"])
async def test_a_server_that_is_not_the_utility_is_refused(files: Files, name: str) -> None:
    async with served(tls.listener_context(**files.of(name))) as port:
        with pytest.raises(ssl.SSLCertVerificationError):
            await greeting(port, tls.client_context(**files.of("device")))


@pytest.mark.parametrize("name", ["stranger", "expired-device"])
async def test_a_client_of_another_root_or_with_an_old_certificate_is_refused(files: Files, name: str) -> None:
    async with served(tls.listener_context(**files.of("server"))) as port:
        with pytest.raises((ssl.SSLError, ConnectionError, asyncio.IncompleteReadError)):
            await greeting(port, tls.client_context(**files.of(name)))


async def test_a_client_without_a_certificate_is_refused(files: Files) -> None:
    bare = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    bare.maximum_version = ssl.TLSVersion.TLSv1_2
    bare.set_ciphers(f"{tls.MANDATORY_SUITE}:{tls.SECURITY_LEVEL}")
    bare.load_verify_locations(files.of("device")["ca"])
    async with served(tls.listener_context(**files.of("server"))) as port:
        with pytest.raises((ssl.SSLError, ConnectionError, asyncio.IncompleteReadError)):
            await greeting(port, bare)


async def test_the_listener_learns_whose_certificate_it_was(files: Files) -> None:
    seen: list[str | None] = []
    async with served(tls.listener_context(**files.of("server")), lambda end: seen.append(tls.peer_lfdi(end))) as port:
        for name in ("device", "second-device"):
            await greeting(port, tls.client_context(**files.of(name)))
    assert seen == [lfdi_file(files, name) for name in ("device", "second-device")]
    assert seen[0] != seen[1], "the same root, another device"


def lfdi_file(files: Files, name: str) -> str:
    from dgm.der.certificates.files import read_chain

    return lfdi_of(read_chain(files.of(name)["certificate"])[0].public_bytes(Encoding.DER))


async def test_the_second_connection_to_a_server_resumes_and_still_knows_whose_it_is(files: Files) -> None:
    seen: list[str | None] = []
    context = tls.client_context(**files.of("device"))
    async with served(tls.listener_context(**files.of("server")), lambda end: seen.append(tls.peer_lfdi(end))) as port:
        reused = [(await greeting(port, context))[1] for _ in range(3)]
    assert reused == [False, True, True]
    assert set(seen) == {lfdi_file(files, "device")}


async def test_a_session_is_not_offered_under_another_name(files: Files) -> None:
    context = tls.client_context(**files.of("device"))
    async with served(tls.listener_context(**files.of("server"))) as port:
        assert [(await greeting(port, context, host))[1] for host in (HOST, "localhost", HOST)] == [False, False, True]


async def test_an_old_session_is_not_resumed(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tls, "SESSION_AGE_S_MAX", -1)
    context = tls.client_context(**files.of("device"))
    async with served(tls.listener_context(**files.of("server"))) as port:
        assert [(await greeting(port, context))[1] for _ in range(2)] == [False, False]


async def test_a_refused_server_leaves_no_session_behind(files: Files) -> None:
    context = tls.client_context(**files.of("device"))
    async with served(tls.listener_context(**files.of("impostor"))) as port:
        for _ in range(2):
            with pytest.raises(ssl.SSLCertVerificationError):
                await greeting(port, context)


async def test_a_server_that_restarts_with_another_certificate_is_verified_anew(files: Files) -> None:
    context = tls.client_context(**files.of("device"))
    async with served(tls.listener_context(**files.of("server"))) as port:
        await greeting(port, context)
    async with served(tls.listener_context(**files.of("impostor"))) as port:
        with pytest.raises(ssl.SSLCertVerificationError):
            await greeting(port, context)
