"""Certificates of stations with profile 3: name, purpose, dates, revocation, renewal through the relay, warnings."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID
from ocpp_driver import UTC_MS, Driver, ModelStation
from ocpp_pki import Authority
from prometheus_client import CollectorRegistry
from test_session_2x import connected

from dgm.api.config.v1.config_pb2 import DgmConfig, StationTlsConfig
from dgm.ocpp.gateway.certificates import StationCertificates
from dgm.ocpp.gateway.counts import Certificates
from dgm.ocpp.gateway.security import Door, Security, security_problems
from dgm.ocpp.version import Version

NOW = datetime.fromtimestamp(UTC_MS / 1000, UTC)


def der(file: Path) -> bytes:
    return x509.load_pem_x509_certificate(file.read_bytes()).public_bytes(Encoding.DER)


def refusal(found: StationCertificates, file: Path, *, name: str = "CP-1", utc_ms: int = UTC_MS) -> str | None:
    return found.refusal("CP-1", der(file), name=name, utc_ms=utc_ms)


def test_a_certificate_must_name_the_station_be_for_clients_and_no_cas_own(tmp_path: Path) -> None:
    site, found = Authority(tmp_path, "site"), StationCertificates()
    assert refusal(found, site.sign("CP-1")[0]) is None
    assert refusal(found, site.sign("CP-1", usage=ExtendedKeyUsageOID.CLIENT_AUTH)[0]) is None
    server = site.sign("CP-1", usage=ExtendedKeyUsageOID.SERVER_AUTH)[0]
    assert "clientAuth" in (refusal(found, server) or "")
    assert "CA" in (refusal(found, site.sign("CP-1", is_ca=True)[0]) or "")
    assert "common name" in (refusal(found, site.sign("CP-1")[0], name="CP-2") or "")
    assert found.refusal("CP-1", None, name="CP-1", utc_ms=UTC_MS) is not None
    assert "read" in (found.refusal("CP-1", b"\x30\x03abc", name="CP-1", utc_ms=UTC_MS) or "")


def test_dates_are_those_of_our_clock(tmp_path: Path) -> None:
    file = Authority(tmp_path, "site").sign("CP-1", end=NOW + timedelta(days=3))[0]
    found = StationCertificates()
    assert refusal(found, file) is None
    assert "valid from" in (refusal(found, file, utc_ms=UTC_MS + 3 * 86_400_000) or "")


def test_a_revoked_certificate_stays_out_from_the_moment_that_the_list_says_so(tmp_path: Path) -> None:
    site, crl = Authority(tmp_path, "site"), tmp_path / "site.crl"
    good, bad = site.sign("CP-1")[0], tmp_path / "bad.pem"
    bad.write_bytes(good.read_bytes())
    good = site.sign("CP-1")[0]
    crl.write_bytes(site.revoke())
    found = StationCertificates(site.file, crl)
    assert refusal(found, bad) is None
    replace(crl, site.revoke(bad), 1)
    assert "revoked" in (refusal(found, bad) or "")
    assert refusal(found, good) is None
    for number, spoiled in enumerate((b"junk", Authority(tmp_path, "other").revoke(), b""), start=2):
        replace(crl, spoiled, number)
        assert "revoked" in (refusal(found, bad) or ""), "the list before goes on counting"
        assert refusal(found, good) is None
        assert found.crl_faults == number - 1, "told once"


def replace(file: Path, body: bytes, number: int) -> None:
    file.write_bytes(body)
    os.utime(file, ns=(number, number))


def test_a_late_list_still_counts_and_shows(tmp_path: Path) -> None:
    site, crl = Authority(tmp_path, "site"), tmp_path / "site.crl"
    file = site.sign("CP-1")[0]
    crl.write_bytes(site.revoke(file, due=NOW - timedelta(days=2)))
    found = StationCertificates(site.file, crl)
    assert "revoked" in (refusal(found, file) or "")
    assert found.crl_days_left(UTC_MS) == pytest.approx(-2)


def test_what_ends_first_is_a_metric(tmp_path: Path) -> None:
    site, found, registry = Authority(tmp_path, "site"), StationCertificates(), CollectorRegistry()
    registry.register(Certificates(found))
    assert registry.get_sample_value("dgm_ocpp_station_certificate_days_min") is None
    now = datetime.now(UTC)
    for number, days in enumerate((400, 10)):
        name = f"CP-{number}"
        certificate = der(site.sign(name, end=now + timedelta(days=days))[0])
        assert found.refusal(name, certificate, name=name, utc_ms=int(now.timestamp() * 1000)) is None
    assert registry.get_sample_value("dgm_ocpp_station_certificate_days_min") == pytest.approx(10, abs=0.1)
    assert registry.get_sample_value("dgm_ocpp_station_certificates_ending") == 1
    assert registry.get_sample_value("dgm_ocpp_revocation_list_faults_total") == 0


def test_a_list_that_no_ca_of_the_site_has_signed_is_a_problem_of_site_yaml(tmp_path: Path) -> None:
    site, other = Authority(tmp_path, "site"), Authority(tmp_path, "other")
    certificate, key = site.sign("gateway")
    tls = StationTlsConfig(certificate=str(certificate), private_key=str(key), client_ca=site.file.name)
    tls.client_crl = "list.crl"
    config = DgmConfig()
    config.ocpp.tls.CopyFrom(tls)
    assert [problem.path for problem in security_problems(config, tmp_path)] == ["ocpp.tls.client_crl"]
    (tmp_path / "list.crl").write_bytes(other.revoke())
    [problem] = security_problems(config, tmp_path)
    assert "no CA of client_ca" in problem.found
    (tmp_path / "list.crl").write_bytes(site.revoke())
    assert list(security_problems(config, tmp_path)) == []
    assert Security.of(config, tmp_path, tmp_path).certificates.crl_days_left(UTC_MS) is not None


def test_profile_3_asks_for_it_and_the_others_do_not() -> None:
    security = Security(doors={"CP-1": Door(profile=3), "CP-2": Door(profile=2)})
    shown = {"certificate": None, "is_tls": True, "utc_ms": UTC_MS}
    found = security.refusal("CP-1", authorization=None, **shown)  # type: ignore[arg-type]
    assert found is not None
    assert found[0] == 401
    assert security.refusal("CP-2", authorization="Basic eDp5", **shown) is None  # type: ignore[arg-type]


@pytest.mark.parametrize("version", [Version.V16, Version.V201, Version.V21])
def test_a_renewal_passes_byte_for_byte_both_ways_and_is_counted(version: Version) -> None:
    if version is Version.V16:
        driver = Driver(station=ModelStation(), short_cut=True).connect()
    else:
        driver = connected(version, short_cut=True)
    csr = {"csr": "-----BEGIN CERTIFICATE REQUEST-----\nMIIB\n-----END CERTIFICATE REQUEST-----"}
    kind = {} if version is Version.V16 else {"certificateType": "ChargingStationCertificate"}
    asked = driver.station_call("SignCertificate", {**csr, **kind})
    assert json.dumps([2, asked, "SignCertificate", {**csr, **kind}]).encode() in driver.north
    driver.csms_answer(asked, {"status": "Accepted"})
    assert json.dumps([3, asked, {"status": "Accepted"}]).encode() in driver.south
    chain = {"certificateChain": "-----BEGIN CERTIFICATE-----\nMIIC\n-----END CERTIFICATE-----\n", **kind}
    driver.station = None
    driver.advance(15_000)  # whatever of ours was on its way
    for own in list(driver.open_south):
        driver.station_answer(own, {"status": "Accepted"})
    signed = driver.csms_call("CertificateSigned", chain)
    assert json.dumps([2, signed, "CertificateSigned", chain]).encode() in driver.south
    raw = driver.station_answer(signed, {"status": "Accepted"})
    assert raw in driver.north
    counted = [found.detail for found in driver.counted if found.name == "certificate"]
    assert counted == ["SignCertificate", "CertificateSigned"]
