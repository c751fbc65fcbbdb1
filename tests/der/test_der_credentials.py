"""Certificate files that change while the role runs: taken up, or refused with the old ones in use."""

from __future__ import annotations

import datetime
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from der_examples import EmsServer, Watch, context, site, utility_config
from test_der_service import running, utility_of

from dgm.der.certificates.credentials import Credentials
from dgm.der.identity import lfdi_of
from dgm.der.service import DerRole, talk
from dgm.journal import Journal
from dgm.sim.live import pki as test_pki
from dgm.sim.live.pki import TestPki

IMPORT = "utility:opModImpLimW"


@pytest.fixture
def pki(tmp_path: Path) -> TestPki:
    return test_pki.write_pki(tmp_path / "pki")


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    opened = Journal(tmp_path / "der.journal")
    yield opened
    opened.close()


def credentials(pki: TestPki) -> Credentials:
    return Credentials(site(pki=pki.root_certificate.parent).der, Path())


def renewed(pki: TestPki, folder: Path) -> TestPki:
    """A device certificate of another root, with its files in place of the ones in use."""
    other = test_pki.write_pki(folder, serial="renewed")
    for new, old in ((other.device_certificate, pki.device_certificate), (other.device_key, pki.device_key)):
        shutil.copyfile(new, old)
    shutil.copyfile(other.root_certificate, pki.root_certificate)
    return other


def test_files_that_stay_as_they_are_stay_in_use(pki: TestPki) -> None:
    found = credentials(pki)
    before = found.now
    assert (found.look(), found.now, found.problem) == (False, before, "")


def test_a_new_root_is_used_and_the_device_stays_the_same(pki: TestPki, tmp_path: Path) -> None:
    found = credentials(pki)
    before = found.now
    further = test_pki.make_root("further").certificate.public_bytes(Encoding.PEM)
    pki.root_certificate.write_bytes(pki.root_certificate.read_bytes() + further)
    assert found.look()
    assert found.now.lfdi == before.lfdi
    assert len(found.now.client.get_ca_certs()) == len(before.client.get_ca_certs()) + 1


def test_a_new_device_certificate_is_another_device(pki: TestPki, tmp_path: Path) -> None:
    found = credentials(pki)
    other = renewed(pki, tmp_path / "other")
    assert found.look()
    assert found.now.lfdi == other.device_lfdi != pki.device_lfdi


@pytest.mark.parametrize(
    ("damage", "named"),
    [
        (lambda pki: pki.device_certificate.write_bytes(b"half a file"), "der.certificate"),
        (lambda pki: pki.device_key.unlink(), "der.private_key"),
        (lambda pki: pki.root_certificate.write_bytes(b""), "der.ca"),
        (lambda pki: test_pki.write_key(pki.device_key, test_pki.make_root("x").key), "not the key"),
    ],
)
def test_files_that_cannot_be_used_leave_the_old_ones_and_say_why(pki: TestPki, damage: object, named: str) -> None:
    found = credentials(pki)
    before = found.now
    damage(pki)  # type: ignore[operator]
    assert not found.look()
    assert found.now is before
    assert named in found.problem
    assert not found.look(), "and it is looked at again"


def test_a_half_copied_pair_is_used_once_the_other_half_is_there(pki: TestPki, tmp_path: Path) -> None:
    found = credentials(pki)
    other = test_pki.write_pki(tmp_path / "other", serial="renewed")
    shutil.copyfile(other.device_certificate, pki.device_certificate)
    assert not found.look()
    assert "not the key" in found.problem
    shutil.copyfile(other.device_key, pki.device_key)
    assert found.look()
    assert (found.now.lfdi, found.problem) == (other.device_lfdi, "")


def test_an_expired_certificate_is_not_taken_up(pki: TestPki) -> None:
    found = credentials(pki)
    root = test_pki.make_root("old")
    yesterday = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=1)
    device, key = test_pki.make_device(root, serial="old", not_after=yesterday)
    pki.device_certificate.write_bytes(device.public_bytes(Encoding.PEM))
    test_pki.write_key(pki.device_key, key)
    assert not found.look()
    assert "expired" in found.problem


async def test_a_running_role_goes_on_under_a_new_certificate_with_the_schedule_it_had(
    tmp_path: Path, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(talk, "LOOK_S", 0.05)
    watch, files = Watch(), tmp_path / "pki"
    root = test_pki.make_root("root")
    pki = test_pki.write_pki(files)
    lfdis = []
    for serial in ("first", "second"):
        device, key = test_pki.make_device(root, serial=serial)
        (tmp_path / f"{serial}.pem").write_bytes(device.public_bytes(Encoding.PEM))
        test_pki.write_key(tmp_path / f"{serial}.key", key)
        lfdis.append(lfdi_of(device.public_bytes(Encoding.DER)))
    server, server_key = test_pki.make_server(root, test_pki.HOSTS)
    pki.server_certificate.write_bytes(server.public_bytes(Encoding.PEM))
    test_pki.write_key(pki.server_key, server_key)
    pki.root_certificate.write_bytes(root.certificate.public_bytes(Encoding.PEM))

    def install(serial: str) -> None:
        shutil.copyfile(tmp_path / f"{serial}.pem", pki.device_certificate)
        shutil.copyfile(tmp_path / f"{serial}.key", pki.device_key)

    install("first")
    ems = EmsServer(tmp_path / "ems.sock", watch)
    await ems.start()
    config = {**utility_config(pki), "devices": [{"lfdi": lfdi, "pin": 111115} for lfdi in lfdis]}
    async with utility_of(config, watch) as (utility, url):
        world = context(tmp_path, site(url, files), ems.target, journal=journal)
        async with running(DerRole(world)) as gateway:
            await watch.until(lambda: IMPORT in ems.ems.held)
            assert await lfdi_told(gateway) == lfdis[0]
            install("second")
            puts, deleted = len(utility.records.puts), len(ems.ems.deleted)
            utility.records.puts.clear()
            await watch.until(lambda: len(utility.records.puts) == puts)
            assert await lfdi_told(gateway) == lfdis[1]
            assert IMPORT in ems.ems.held
            assert IMPORT not in ems.ems.deleted[deleted:]
    await ems.stop()


async def lfdi_told(gateway: DerRole) -> str:
    connection = await gateway.servicers()[0].servicer.GetConnection(None, None)
    return str(connection.lfdi)
