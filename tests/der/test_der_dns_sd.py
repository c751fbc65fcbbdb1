"""Discovery by DNS-SD: messages and their damage, what an offer has to say, and a gateway that finds its server."""

from __future__ import annotations

import asyncio
import contextlib
import struct
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from der_examples import EmsServer, Watch, context, site, utility_config
from hypothesis import given, settings
from hypothesis import strategies as st
from test_der_service import running, utility_of

from dgm.api.config.v1.config_pb2 import DgmConfig
from dgm.der.codec.dns import question, records
from dgm.der.offers import Missing, Record, Srv, Type, missing, offers
from dgm.der.service import DerRole, finder
from dgm.der.service.finder import find, resolvers
from dgm.errors import PeerError
from dgm.journal import Journal
from dgm.sim.live import pki as test_pki
from dgm.sim.live.pki import TestPki

SERVICE = "_smartenergy._tcp.local"
UTILITY = f"utility.{SERVICE}"
HOST = "server.local"
IMPORT = "utility:opModImpLimW"
GOOD = (b"txtvers=1", b"dcap=/dcap", b"path=/x", b"https=8443", b"level=-S1")


def name(text: str) -> bytes:
    return b"".join(bytes([len(part)]) + part.encode() for part in text.split(".")) + b"\0"


def row(owner: str, kind: Type, content: bytes) -> bytes:
    return name(owner) + struct.pack(">2HIH", kind, 0x8001, 120, len(content)) + content


def ptr(instance: str = UTILITY, service: str = SERVICE) -> bytes:
    return row(service, Type.PTR, name(instance))


def srv(target: str = HOST, instance: str = UTILITY, priority: int = 0, weight: int = 0) -> bytes:
    return row(instance, Type.SRV, struct.pack(">3H", priority, weight, 80) + name(target))


def txt(*entries: bytes, instance: str = UTILITY) -> bytes:
    return row(instance, Type.TXT, b"".join(bytes([len(entry)]) + entry for entry in entries))


def address(owner: str = HOST, octets: bytes = b"\x7f\0\0\1") -> bytes:
    return row(owner, Type.A, octets)


def message(number: int, *rows: bytes, flags: int = 0x8400, count: int | None = None) -> bytes:
    return struct.pack(">6H", number, flags, 0, len(rows) if count is None else count, 0, 0) + b"".join(rows)


def read(*rows: bytes) -> list[Record]:
    return records(message(7, *rows), 7)


# -- messages --


def test_a_question_is_one_name_with_a_type() -> None:
    sent = question("_a._tcp.local", Type.PTR, 0x1234, wants_unicast=True)
    assert sent == bytes.fromhex("123400000001000000000000") + name("_a._tcp.local") + bytes.fromhex("000c8001")


def test_every_type_is_read_and_others_are_passed_over() -> None:
    other = name("x") + struct.pack(">2HIH", 47, 1, 0, 2) + b"??"
    v6 = row(HOST, Type.AAAA, bytes(15) + b"\1")
    found = read(ptr(), other, srv(priority=3, weight=4), txt(b"a=1", b""), address(), v6)
    assert [item.value for item in found] == [
        UTILITY,
        Srv(priority=3, weight=4, port=80, target=HOST),
        (b"a=1", b""),
        "127.0.0.1",
        "::1",
    ]


def test_a_name_that_points_back_is_read_and_one_that_points_ahead_or_at_itself_is_damage() -> None:
    start = 12
    back = name("a.local") + struct.pack(">2HIH", Type.PTR, 1, 0, 4) + b"\1b" + struct.pack(">H", 0xC000 | start + 2)
    assert read(back)[0].value == "b.local"
    for target in (start, 400):
        loop = struct.pack(">H", 0xC000 | target) + struct.pack(">2HIH", Type.PTR, 1, 0, 0)
        with pytest.raises(PeerError, match="damaged"):
            read(loop)


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"\0" * 11,
        message(7, ptr(), flags=0x0400),
        message(8, ptr()),
        message(7, ptr(), count=2),
        message(7, count=60_000),
        message(7, ptr()[:-3]),
        message(7, txt(b"a")[:-2] + b"\5a"),
        message(7, row("a", Type.A, b"\1\2\3")),
        message(7, row("a", Type.SRV, b"\0")),
        b"\0" * 9_001,
    ],
)
def test_what_is_no_whole_answer_to_our_question_is_refused(sent: bytes) -> None:
    with pytest.raises(PeerError):
        records(sent, 7)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200), st.integers(0, 150), st.integers(0, 255))
def test_random_and_damaged_messages_are_read_or_refused_and_nothing_else(tail: bytes, at: int, value: int) -> None:
    whole = bytearray(message(7, ptr(), srv(), txt(*GOOD), address()))
    whole[min(at, len(whole) - 1)] = value
    for sent in (bytes(whole), bytes(whole)[:at], struct.pack(">6H", 7, 0x8000, 1, 2, 0, 0) + tail):
        with contextlib.suppress(PeerError):
            offers(records(sent, 7), "local")


# -- offers --


def test_the_port_of_tls_and_the_path_come_from_the_text() -> None:
    found = offers(read(ptr(), srv(), txt(*GOOD), address()), "local.")
    assert [(offer.url, offer.addresses) for offer in found] == [(f"https://{HOST}:8443/dcap", ("127.0.0.1",))]


@pytest.mark.parametrize(
    ("entries", "url"),
    [
        ((b"txtvers=1", b"https=", b"dcap=/a/b"), f"https://{HOST}/a/b"),
        ((b"TXTVERS=1", b"HTTPS=443", b"dcap=/"), f"https://{HOST}/"),
        ((b"txtvers=1", b"dcap=/dcap"), None),
        ((b"dcap=/dcap", b"txtvers=1", b"https="), None),
        ((b"txtvers=2", b"dcap=/dcap", b"https="), None),
        ((b"txtvers=1", b"https="), None),
        ((b"txtvers=1", b"https=", b"dcap=//evil.example/dcap"), None),
        ((b"txtvers=1", b"https=", b"dcap=dcap"), None),
        ((b"txtvers=1", b"https=", b"dcap=/\xff"), None),
        ((b"txtvers=1", b"https=0", b"dcap=/dcap"), None),
        ((b"txtvers=1", b"https=70000", b"dcap=/dcap"), None),
        ((b"txtvers=1", b"https=8443@evil.example", b"dcap=/dcap"), None),
        ((), None),
    ],
)
def test_a_text_of_another_version_without_tls_or_with_a_strange_path_is_no_offer(
    entries: tuple[bytes, ...], url: str | None
) -> None:
    found = offers(read(ptr(), srv(), txt(*entries)), "local")
    assert [offer.url for offer in found] == ([] if url is None else [url])


@pytest.mark.parametrize("target", ["evil.example/dcap#", "a b", "user@evil", "-x.local"])
def test_a_host_that_is_no_host_name_is_no_offer(target: str) -> None:
    assert offers(read(ptr(), srv(target=target), txt(*GOOD)), "local") == []


def test_offers_stand_in_order_of_priority_and_weight() -> None:
    rows = [
        part
        for label, priority, weight in (("a", 1, 0), ("b", 0, 1), ("c", 0, 9))
        for instance in (f"{label}.{SERVICE}",)
        for part in (ptr(instance), srv(f"{label}.local", instance, priority, weight), txt(*GOOD, instance=instance))
    ]
    assert [offer.host for offer in offers(read(*rows), "local")] == ["c.local", "b.local", "a.local"]


def test_an_answer_from_another_domain_or_of_another_host_than_the_configured_one_is_not_taken() -> None:
    elsewhere = "utility._smartenergy._tcp.evil.example"
    rows = [ptr(elsewhere), srv(instance=elsewhere), txt(*GOOD, instance=elsewhere)]
    assert offers(read(*rows), "local") == []
    good = read(ptr(), srv(), txt(*GOOD))
    assert offers(good, "local", only_host="utility.example") == []
    assert [offer.host for offer in offers(good, "local", only_host=HOST)] == [HOST]


def test_what_an_instance_lacks_is_asked_for() -> None:
    assert missing(read(ptr()), "local", wants_addresses=True) == [
        Missing(name=UTILITY, type=Type.SRV),
        Missing(name=UTILITY, type=Type.TXT),
    ]
    assert missing(read(ptr(), srv(), txt(*GOOD)), "local", wants_addresses=True) == [Missing(name=HOST, type=Type.A)]
    assert missing(read(ptr(), srv(), txt(*GOOD)), "local", wants_addresses=False) == []


# -- over sockets --


class Resolver(asyncio.DatagramProtocol):
    """Answers each question with rows by type."""

    def __init__(self, rows: Callable[[int], list[bytes]]) -> None:
        self._rows = rows
        self.asked: list[int] = []

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def datagram_received(self, data: bytes, peer: Any) -> None:
        kind = struct.unpack(">H", data[-4:-2])[0]
        self.asked.append(kind)
        self._transport.sendto(b"damaged", peer)
        self._transport.sendto(message(struct.unpack(">H", data[:2])[0], *self._rows(kind)), peer)


@contextlib.asynccontextmanager
async def resolving(rows: Callable[[int], list[bytes]]) -> AsyncIterator[tuple[Resolver, int]]:
    transport, resolver = await asyncio.get_running_loop().create_datagram_endpoint(
        lambda: Resolver(rows), local_addr=("127.0.0.1", 0)
    )
    try:
        yield resolver, transport.get_extra_info("sockname")[1]
    finally:
        transport.close()


@pytest.fixture(autouse=True)
def short_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(finder, "LOOK_S", 0.1)


async def test_what_is_missing_is_asked_for_until_an_offer_is_whole() -> None:
    parts = {Type.PTR: [ptr()], Type.SRV: [srv()], Type.TXT: [txt(*GOOD)], Type.A: [address()]}
    async with resolving(lambda kind: parts[Type(kind)]) as (resolver, port):
        found = await find("local", server=("127.0.0.1", port))
    assert [offer.url for offer in found] == [f"https://{HOST}:8443/dcap"]
    assert resolver.asked == [Type.PTR, Type.SRV, Type.TXT, Type.A]


async def test_nobody_there_is_no_offer_within_bounded_time() -> None:
    async with resolving(lambda kind: []) as (resolver, port):
        assert await find("utility.example", server=("127.0.0.1", port)) == []
    assert len(resolver.asked) <= finder.ROUNDS


def test_the_machines_resolvers_are_read_from_its_file(tmp_path: Path) -> None:
    file = tmp_path / "resolv.conf"
    file.write_text("# x\nnameserver 192.0.2.1\nsearch a\nnameserver\nnameserver 2001:db8::1\n")
    assert resolvers(file) == [("192.0.2.1", 53), ("2001:db8::1", 53)]


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    opened = Journal(tmp_path / "der.journal")
    yield opened
    opened.close()


def to_be_found(pki: TestPki, port: int) -> DgmConfig:
    config = site(pki=pki.root_certificate.parent)
    config.der.url, config.der.discovery, config.der.discovery_domain = "", "dns-sd", "local"
    config.der.discovery_server = f"127.0.0.1:{port}"
    return config


async def test_a_gateway_finds_its_server_and_follows_it(tmp_path: Path, journal: Journal) -> None:
    watch, pki = Watch(), test_pki.write_pki(tmp_path / "pki", hosts=(HOST,))
    ems = EmsServer(tmp_path / "ems.sock", watch)
    await ems.start()
    async with utility_of(utility_config(pki), watch) as (utility, url):
        text = (b"txtvers=1", b"dcap=/dcap", f"https={urlsplit(url).port}".encode())
        async with resolving(lambda kind: [ptr(), srv(), txt(*text), address()]) as (_, port):
            world = context(tmp_path, to_be_found(pki, port), ems.target, journal=journal)
            async with running(DerRole(world)) as role:
                await watch.until(lambda: IMPORT in ems.ems.held)
                connection = await role.servicers()[0].servicer.GetConnection(None, None)
                assert connection.server == f"https://{HOST}:{urlsplit(url).port}/dcap"
                assert utility.records.requests.total() > 0
    await ems.stop()


async def test_an_offer_of_somebody_else_leads_to_a_handshake_and_no_further(tmp_path: Path, journal: Journal) -> None:
    watch, pki = Watch(), test_pki.write_pki(tmp_path / "pki", hosts=(HOST,))
    other = test_pki.write_pki(tmp_path / "other", hosts=(HOST,))
    config = {**utility_config(other), "ca": str(pki.root_certificate)}
    ems = EmsServer(tmp_path / "ems.sock", watch)
    await ems.start()
    async with utility_of(config, watch) as (utility, url):
        text = (b"txtvers=1", b"dcap=/dcap", f"https={urlsplit(url).port}".encode())
        async with resolving(lambda kind: [ptr(), srv(), txt(*text), address()]) as (_, port):
            world = context(tmp_path, to_be_found(pki, port), ems.target, journal=journal)
            async with running(DerRole(world)) as role, asyncio.timeout(10):
                while role.core.discovery.counters.failures < 1:  # noqa: ASYNC110
                    await asyncio.sleep(0.02)
                assert "certificate verify failed" in role.core.discovery.why
            assert utility.records.requests.total() == 0
            assert ems.ems.puts == []
    await ems.stop()
