"""Certificates: what `dgm cert` makes is what the profile asks for, and every rule of the lint can be broken."""

from __future__ import annotations

import datetime
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from dgm.cli.main import app
from dgm.der.certificates import profile
from dgm.der.certificates.files import read_chain, read_key, write_key
from dgm.der.certificates.lint import Kind, Severity, days_left, lint
from dgm.der.identity import lfdi_of

NOW = datetime.datetime.now(datetime.UTC)
SUBJECT = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "x")])
ROOT = profile.make_root("root")
MICA = profile.make_intermediate(profile.make_intermediate(ROOT, "MCA", path_length=1), "MICA", path_length=0)
DEVICE = profile.make_device(MICA, serial="42")
CHAIN = [DEVICE.certificate, *DEVICE.chain, ROOT.certificate]
RUN = CliRunner()
NOBODY, SHA256 = x509.Name([]), hashes.SHA256()


def rules(chain: list[x509.Certificate], kind: Kind = Kind.DEVICE) -> set[str]:
    return {finding.rule for finding in lint(chain, kind, NOW)}


def made(
    extensions: list[tuple[x509.ExtensionType, bool]],
    *,
    key: object = None,
    subject: x509.Name = NOBODY,
    not_after: datetime.datetime = profile.NEVER,
    not_before: datetime.datetime = NOW - datetime.timedelta(days=1),
    algorithm: hashes.HashAlgorithm = SHA256,
) -> x509.Certificate:
    own = key or profile.make_key()
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(ROOT.certificate.subject)
    builder = builder.public_key(own.public_key()).serial_number(7).not_valid_before(not_before)  # type: ignore[attr-defined]
    builder = builder.not_valid_after(not_after)
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical=critical)
    return builder.sign(ROOT.key, algorithm)


NAMES = (profile.device_names(profile.DEFAULT_HARDWARE_TYPE, "1"), True)
USAGE = (profile.leaf_usage(), True)
POLICIES = (x509.CertificatePolicies([x509.PolicyInformation(profile.DEVICE_POLICY, None)]), True)
AUTHORITY = (x509.AuthorityKeyIdentifier.from_issuer_public_key(ROOT.key.public_key()), False)
GOOD = [NAMES, USAGE, POLICIES, AUTHORITY]
OTHER_POLICY = x509.CertificatePolicies([x509.PolicyInformation(x509.ObjectIdentifier("1.2.3"), None)])
CONSTRAINTS = x509.NameConstraints(permitted_subtrees=[x509.DNSName("a")], excluded_subtrees=None)
MAPPINGS = x509.UnrecognizedExtension(x509.ObjectIdentifier("2.5.29.33"), b"\x30\x00")
DNS = x509.SubjectAlternativeName([x509.DNSName("a.example")])
YESTERDAY, NEXT_MONTH = NOW - datetime.timedelta(days=1), NOW + datetime.timedelta(days=30)

BROKEN: dict[str, Callable[[], x509.Certificate]] = {
    "key-p256": lambda: made(GOOD, key=rsa.generate_private_key(public_exponent=65537, key_size=2048)),
    "signature-ecdsa-sha256": lambda: made(GOOD, algorithm=hashes.SHA384()),
    "authority-key-identifier": lambda: made([NAMES, USAGE, POLICIES]),
    "no-name-constraints": lambda: made([*GOOD, (CONSTRAINTS, True)]),
    "no-policy-mappings": lambda: made([*GOOD, (MAPPINGS, False)]),
    "key-usage-critical": lambda: made([NAMES, (profile.leaf_usage(), False), POLICIES, AUTHORITY]),
    "policies-critical": lambda: made([NAMES, USAGE, (POLICIES[0], False), AUTHORITY]),
    "not-an-authority": lambda: made([*GOOD, (x509.BasicConstraints(ca=True, path_length=None), True)]),
    "alternative-name-critical": lambda: made([(NAMES[0], False), USAGE, POLICIES, AUTHORITY]),
    "subject-empty": lambda: made(GOOD, subject=SUBJECT),
    "hardware-module-name": lambda: made([(DNS, True), USAGE, POLICIES, AUTHORITY]),
    "policy": lambda: made([NAMES, USAGE, (OTHER_POLICY, True), AUTHORITY]),
    "never-expires": lambda: made(GOOD, not_after=NOW + datetime.timedelta(days=3650)),
}


@pytest.mark.parametrize("rule", BROKEN)
def test_a_broken_rule_is_named_alone(rule: str) -> None:
    assert rules([BROKEN[rule]()]) == {rule}


def test_a_chain_of_the_profile_breaks_no_rule() -> None:
    assert lint(CHAIN, Kind.DEVICE, NOW) == []
    server = profile.make_server(MICA, ["a.example", "192.0.2.1"])
    assert lint([server.certificate, *server.chain], Kind.SERVER, NOW) == []


def test_a_leaf_without_extensions_breaks_every_rule_about_them() -> None:
    assert rules([made([])]) >= {
        "key-usage-critical",
        "key-usage",
        "policies-critical",
        "policy",
        "hardware-module-name",
    }


def test_an_expired_one_fails_one_about_to_expire_warns_and_one_of_the_future_fails() -> None:
    past = made(GOOD, not_after=YESTERDAY, not_before=YESTERDAY - datetime.timedelta(days=9))
    assert rules([past]) == {"never-expires", "valid-now"}
    soon = {finding.rule: finding.severity for finding in lint([made(GOOD, not_after=NEXT_MONTH)], Kind.SERVER, NOW)}
    assert soon["expiry"] is Severity.WARNING
    assert "valid-now" in rules([made(GOOD, not_before=NEXT_MONTH)])


def test_days_are_counted_to_the_end_and_never_is_none() -> None:
    assert days_left(made(GOOD, not_after=NEXT_MONTH), NOW) == 29
    assert days_left(DEVICE.certificate, NOW) is None


def test_a_shuffled_a_foreign_and_a_long_chain_are_told() -> None:
    assert "chain-order" in rules([CHAIN[0], CHAIN[2], CHAIN[1]])
    impostor = profile.make_root("root")
    findings = [
        item for item in lint([MICA.above[0], impostor.certificate], Kind.DEVICE, NOW) if item.rule == "chain-order"
    ]
    assert "signature" in findings[0].found
    assert "chain-length" in rules([*CHAIN, ROOT.certificate])


def test_a_leaf_that_issues_is_told() -> None:
    assert {"authority", "authority-key-usage", "subject-key-identifier", "subject"} <= rules(
        [made(GOOD), DEVICE.certificate]
    )


@given(
    st.integers(0, 2), st.integers(0, 39), st.lists(st.integers(0, 2**40), max_size=6), st.text(min_size=1, max_size=20)
)
def test_any_hardware_type_is_written_as_another_library_reads_it(
    first: int, second: int, arcs: list[int], serial: str
) -> None:
    dotted = ".".join(map(str, (first, second, *arcs)))
    if len(serial.encode()) > 60:
        return
    name = profile.device_names(dotted, serial)
    octets = name.get_values_for_type(x509.OtherName)[0].value
    type_length = octets[3] if octets[1] < 128 else octets[4]
    start = 2 if octets[1] < 128 else 3
    assert octets[start : start + 2 + type_length] == x509_oid(dotted)
    assert octets.endswith(serial.encode())


def x509_oid(dotted: str) -> bytes:
    """DER of an object identifier by cryptography: the policy of a certificate holds one."""
    policies = x509.CertificatePolicies([x509.PolicyInformation(x509.ObjectIdentifier(dotted), None)])
    return policies.public_bytes()[4:]


@pytest.mark.parametrize(
    ("oid", "serial"), [("1", "a"), ("3.1", "a"), ("1.40", "a"), ("1.x", "a"), ("1.2", ""), ("1.2", "a" * 101)]
)
def test_a_name_that_cannot_be_is_refused(oid: str, serial: str) -> None:
    with pytest.raises(ValueError, match="expected"):
        profile.device_names(oid, serial)


def test_a_key_is_the_owners_and_is_never_overwritten(tmp_path: Path) -> None:
    path = write_key(tmp_path / "a.key", profile.make_key())
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    before = path.read_bytes()
    with pytest.raises(FileExistsError):
        write_key(path, profile.make_key())
    assert path.read_bytes() == before


def test_the_command_makes_a_key_and_a_request_of_the_profile(tmp_path: Path) -> None:
    key, request = tmp_path / "device.key", tmp_path / "device.csr"
    assert RUN.invoke(app, ["cert", "key", str(key)]).exit_code == 0
    made_it = RUN.invoke(app, ["cert", "csr", str(request), "--key", str(key), "--serial", "SN-1"])
    assert made_it.exit_code == 0, made_it.output
    found = x509.load_pem_x509_csr(request.read_bytes())
    assert found.is_signature_valid
    assert len(found.subject) == 0
    assert isinstance(found.public_key(), ec.EllipticCurvePublicKey)
    kinds = (x509.SubjectAlternativeName, x509.KeyUsage, x509.CertificatePolicies)
    assert all(found.extensions.get_extension_for_class(kind).critical for kind in kinds)
    names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.OtherName)[0].type_id == profile.HARDWARE_MODULE_NAME
    assert "PRIVATE" not in made_it.output


def test_the_command_makes_a_test_pki_that_its_own_lint_passes(tmp_path: Path) -> None:
    folder = tmp_path / "pki"
    made_it = RUN.invoke(app, ["cert", "test-pki", str(folder), "--host", "utility.example"])
    assert made_it.exit_code == 0, made_it.output
    device = read_chain(folder / "device.pem")
    assert len(device) == 3
    assert lfdi_of(device[0].public_bytes(Encoding.DER)) in made_it.output
    assert read_key(folder / "device.key").public_key() == device[0].public_key()
    assert {stat.S_IMODE((folder / name).stat().st_mode) for name in ("device.key", "server.key")} == {0o600}
    for name, kind in (("device", "device"), ("server", "server")):
        judged = RUN.invoke(
            app, ["cert", "lint", str(folder / f"{name}.pem"), "--kind", kind, "--ca", str(folder / "root.pem")]
        )
        assert judged.exit_code == 0, judged.output
        assert "4 certificate(s), 0 failure(s)" in judged.output


def test_the_command_says_what_a_chain_breaks_and_fails(tmp_path: Path) -> None:
    path = tmp_path / "bad.pem"
    path.write_bytes(BROKEN["policy"]().public_bytes(Encoding.PEM))
    judged = RUN.invoke(app, ["cert", "lint", str(path)])
    assert judged.exit_code == 1
    assert "failure: policy, certificate 1: found policies 1.2.3; name a policy of IEEE 2030.5" in judged.output


def test_the_command_shows_who_a_device_is(tmp_path: Path) -> None:
    path = tmp_path / "device.pem"
    path.write_bytes(DEVICE.certificate.public_bytes(Encoding.PEM))
    shown = RUN.invoke(app, ["cert", "show", str(path), "--pin", "111115"])
    assert shown.exit_code == 0
    assert lfdi_of(DEVICE.certificate.public_bytes(Encoding.DER)) in shown.output
    assert "never" in shown.output
    assert RUN.invoke(app, ["cert", "show", str(path), "--pin", "111116"]).exit_code == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ["show", "missing.pem"],
        ["lint", "missing.pem"],
        ["csr", "new.csr", "--key", "missing.key", "--serial", "1"],
        ["csr", "new.csr", "--key", "missing.key"],
        ["csr", "new.csr", "--key", "missing.key", "--serial", "1", "--host", "a"],
        ["key", "no-such-folder/a.key"],
    ],
)
def test_bad_input_is_one_clear_line_and_exit_code_2(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    refused = RUN.invoke(app, ["cert", *arguments])
    assert refused.exit_code == 2
    assert "dgm cert: " in refused.output
    assert "Traceback" not in refused.output
