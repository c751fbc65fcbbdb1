"""A test PKI in the certificate profile of IEEE 2030.5 (S18 6.11): one root, a server, a device. Tests and demo only.

    root (P-256) ──signs──> server  (critical subjectAltName with the addresses it is reached at)
                 ──signs──> device  (empty subject, critical subjectAltName HardwareModuleName, never expires)

The private keys are written unencrypted: never use them for anything real.
"""

from __future__ import annotations

import datetime
import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

HOSTS = ("127.0.0.1", "localhost")
HARDWARE_MODULE_NAME = x509.ObjectIdentifier("1.3.6.1.5.5.7.8.4")
HARDWARE_TYPE = bytes.fromhex("060a2b0601040182a27c0101")
"""DER of the object identifier 1.3.6.1.4.1.37244.1.1."""
DEVICE_POLICY = x509.ObjectIdentifier("1.3.6.1.4.1.40732.1.1")
NEVER = datetime.datetime(9999, 12, 31, 23, 59, 59, tzinfo=datetime.UTC)
LFDI_DIGITS = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class TestPki:
    """Files of a test PKI and the LFDI of its device (upper case)."""

    __test__ = False  # pytest: not a test class

    root_certificate: Path
    server_certificate: Path
    server_key: Path
    device_certificate: Path
    device_key: Path
    device_lfdi: str


@dataclass(frozen=True, slots=True)
class Issuer:
    """A certification authority in memory."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey


def write_pki(directory: Path, *, hosts: Sequence[str] = HOSTS, serial: str = "dgm-test-1") -> TestPki:
    """Make a root, a server and a device and write them below `directory`."""
    directory.mkdir(parents=True, exist_ok=True)
    root = make_root("DGM test root")
    server, server_key = make_server(root, hosts)
    device, device_key = make_device(root, serial=serial)
    return TestPki(
        root_certificate=_write(directory / "root.pem", root.certificate),
        server_certificate=_write(directory / "server.pem", server),
        server_key=write_key(directory / "server.key", server_key),
        device_certificate=_write(directory / "device.pem", device),
        device_key=write_key(directory / "device.key", device_key),
        device_lfdi=device.fingerprint(hashes.SHA256()).hex()[:LFDI_DIGITS].upper(),
    )


def make_root(name: str) -> Issuer:
    """A self-signed root."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = _builder(subject, subject, key.public_key(), NEVER)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    builder = builder.add_extension(_usage(signs=True), critical=True)
    builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    return Issuer(builder.sign(key, hashes.SHA256()), key)


def make_server(issuer: Issuer, hosts: Sequence[str]) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    """A server certificate for these names and addresses."""
    names = x509.SubjectAlternativeName([_general_name(host) for host in hosts])
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "DGM test utility")])
    return _leaf(issuer, subject, names, NEVER)


def make_device(
    issuer: Issuer, *, serial: str, not_after: datetime.datetime = NEVER
) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    """A device certificate: no subject, identified by its HardwareModuleName."""
    number = serial.encode()
    content = HARDWARE_TYPE + bytes([0x04, len(number)]) + number
    name = x509.OtherName(HARDWARE_MODULE_NAME, bytes([0x30, len(content)]) + content)
    return _leaf(issuer, x509.Name([]), x509.SubjectAlternativeName([name]), not_after)


def _leaf(
    issuer: Issuer, subject: x509.Name, names: x509.SubjectAlternativeName, not_after: datetime.datetime
) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    key = ec.generate_private_key(ec.SECP256R1())
    builder = _builder(subject, issuer.certificate.subject, key.public_key(), not_after)
    policies = x509.CertificatePolicies([x509.PolicyInformation(DEVICE_POLICY, None)])
    authority = x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.key.public_key())
    builder = builder.add_extension(names, critical=True)
    builder = builder.add_extension(_usage(signs=False), critical=True)
    builder = builder.add_extension(policies, critical=True)
    builder = builder.add_extension(authority, critical=False)
    return builder.sign(issuer.key, hashes.SHA256()), key


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, not_after: datetime.datetime
) -> x509.CertificateBuilder:
    not_before = min(datetime.datetime.now(datetime.UTC), not_after) - datetime.timedelta(days=1)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(not_before)
        .not_valid_after(not_after)
    )


def _usage(*, signs: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=not signs,
        key_cert_sign=signs,
        crl_sign=signs,
        encipher_only=False,
        decipher_only=False,
    )


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _write(path: Path, certificate: x509.Certificate) -> Path:
    path.write_bytes(certificate.public_bytes(Encoding.PEM))
    return path


def write_key(path: Path, key: ec.EllipticCurvePrivateKey) -> Path:
    """The private key in PEM, readable by the owner only."""
    path.touch(mode=0o600)
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return path
