"""The listener for notifications over mutual TLS: who may notify, and what is answered."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from dgm.der import resource as r
from dgm.der.codec import encode
from dgm.der.service.listener import NotificationListener
from dgm.der.tls import client_context, listener_context
from dgm.sim.live import pki as test_pki
from dgm.sim.live.pki import TestPki

HOST = "127.0.0.1"
OURS = "/sub/1"


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> TestPki:
    return test_pki.write_pki(tmp_path_factory.mktemp("pki"))


def notification(subscription: str) -> bytes:
    listed = r.DERControlList(all=0, results=0)
    state = r.NotificationState.DEFAULT
    return encode(r.Notification(subscribed="/dc", status=state, subscription_uri=subscription, resource=listed))


@asynccontextmanager
async def listening(pki: TestPki, taken: list[r.Notification]) -> AsyncIterator[str]:
    def take(found: r.Notification) -> bool:
        taken.append(found)
        return found.subscription_uri == OURS

    tls = listener_context(ca=pki.root_certificate, certificate=pki.device_certificate, private_key=pki.device_key)
    listener = NotificationListener(tls, HOST, take)
    await listener.start(HOST, 0)
    try:
        yield f"https://{HOST}:{listener.port}/notify"
    finally:
        await listener.stop()


def peer(pki: TestPki, certificate: Path, key: Path) -> ssl.SSLContext:
    context = client_context(ca=pki.root_certificate, certificate=certificate, private_key=key)
    context.check_hostname = False  # a device certificate names no host
    return context


async def post(url: str, context: ssl.SSLContext, bodies: Sequence[bytes]) -> list[int]:
    statuses = []
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=context)) as session:
        for body in bodies:
            async with session.post(url, data=body) as response:
                statuses.append(response.status)
    return statuses


async def test_the_utility_is_heard_and_an_unknown_subscription_or_a_broken_body_is_refused(pki: TestPki) -> None:
    taken: list[r.Notification] = []
    async with listening(pki, taken) as url:
        utility = peer(pki, pki.server_certificate, pki.server_key)
        time = encode(r.Time(current_s=0, quality=7))
        bodies = [notification(OURS), notification("/sub/9"), notification(OURS)[:-20], b"", time]
        assert await post(url, utility, bodies) == [204, 400, 400, 400, 400]
    assert [found.subscription_uri for found in taken] == [OURS, "/sub/9"]
    assert isinstance(taken[0].resource, r.DERControlList)


async def test_another_device_of_the_same_root_is_not_heard(pki: TestPki, tmp_path: Path) -> None:
    taken: list[r.Notification] = []
    async with listening(pki, taken) as url:
        device = peer(pki, pki.device_certificate, pki.device_key)
        assert await post(url, device, [notification(OURS)]) == [403]
    assert taken == []


async def test_without_a_certificate_nothing_is_heard(pki: TestPki) -> None:
    nobody = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    nobody.check_hostname, nobody.verify_mode = False, ssl.CERT_NONE
    nobody.minimum_version = nobody.maximum_version = ssl.TLSVersion.TLSv1_2
    nobody.set_ciphers("ECDHE-ECDSA-AES128-CCM8:@SECLEVEL=0")
    async with listening(pki, []) as url:
        with pytest.raises(aiohttp.ClientError):
            await post(url, nobody, [notification(OURS)])
