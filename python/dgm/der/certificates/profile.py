"""The certificate profile of IEEE 2030.5 (S18 6.11): names, extensions, and the builders of keys, requests and chains.

    SERCA ──signs──> MCA ──signs──> MICA ──signs──> device (empty subject, HardwareModuleName, never expires)
                                         └────────> server (the addresses it is reached at)

ECDSA with SHA-256 on P-256 throughout. A device certificate never expires and is not revoked: a new one is a new
device, with another LFDI and SFDI. In memory only; `files` writes.
"""

from __future__ import annotations

import datetime
import ipaddress
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

HARDWARE_MODULE_NAME = x509.ObjectIdentifier("1.3.6.1.5.5.7.8.4")
POLICY_ARC = "1.3.6.1.4.1.40732"
DEVICE_POLICY = x509.ObjectIdentifier(f"{POLICY_ARC}.1.1")
ANY_POLICY = x509.ObjectIdentifier("2.5.29.32.0")
DEFAULT_HARDWARE_TYPE = "1.3.6.1.4.1.37244.1.1"
NEVER = datetime.datetime(9999, 12, 31, 23, 59, 59, tzinfo=datetime.UTC)
SERIAL_OCTETS_MAX = 100
ARC_FIRST_FACTOR = 40
OCTETS_SHORT_MAX = 127
SEQUENCE, OBJECT_IDENTIFIER, OCTET_STRING = 0x30, 0x06, 0x04


@dataclass(frozen=True, slots=True)
class Issuer:
    """A certification authority in memory; `chain` is its own certificate and those above it, the root last."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey
    above: tuple[x509.Certificate, ...] = ()

    @property
    def chain(self) -> tuple[x509.Certificate, ...]:
        """Its certificate and its issuers', the root left out: what a leaf's file carries."""
        return () if not self.above else (self.certificate, *self.above[:-1])


@dataclass(frozen=True, slots=True)
class Leaf:
    """An end certificate with its key, and the intermediate certificates that lead to the root."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey
    chain: tuple[x509.Certificate, ...] = ()


def make_key() -> ec.EllipticCurvePrivateKey:
    """A private key on P-256."""
    return ec.generate_private_key(ec.SECP256R1())


def make_root(name: str) -> Issuer:
    """A self-signed root (SERCA)."""
    key = make_key()
    subject = _authority_name(name)
    builder = _authority(subject, subject, key.public_key(), path_length=None)
    return Issuer(builder.sign(key, hashes.SHA256()), key)


def make_intermediate(issuer: Issuer, name: str, *, path_length: int) -> Issuer:
    """An authority below another: MCA (path_length 1) or MICA (0)."""
    key = make_key()
    builder = _authority(_authority_name(name), issuer.certificate.subject, key.public_key(), path_length=path_length)
    builder = builder.add_extension(_authority_key(issuer), critical=False)
    certificate = builder.sign(issuer.key, hashes.SHA256())
    return Issuer(certificate, key, (issuer.certificate, *issuer.above))


def make_server(
    issuer: Issuer, hosts: Sequence[str], *, not_after: datetime.datetime = NEVER, name: str = "DGM test utility"
) -> Leaf:
    """A server certificate for these names and addresses."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    return _leaf(issuer, subject, server_names(hosts), not_after)


def make_device(
    issuer: Issuer,
    *,
    serial: str,
    hardware_type: str = DEFAULT_HARDWARE_TYPE,
    not_after: datetime.datetime = NEVER,
) -> Leaf:
    """A device certificate: no subject, identified by its HardwareModuleName."""
    return _leaf(issuer, x509.Name([]), device_names(hardware_type, serial), not_after)


def device_request(
    key: ec.EllipticCurvePrivateKey, *, serial: str, hardware_type: str
) -> x509.CertificateSigningRequest:
    """A request for a device certificate, asking for the extensions that it must have."""
    return _request(key, x509.Name([]), device_names(hardware_type, serial))


def server_request(key: ec.EllipticCurvePrivateKey, hosts: Sequence[str]) -> x509.CertificateSigningRequest:
    """A request for a server certificate, for the listener of notifications."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, hosts[0])])
    return _request(key, subject, server_names(hosts))


def device_names(hardware_type: str, serial: str) -> x509.SubjectAlternativeName:
    """HardwareModuleName (RFC 4108): which make (an object identifier) and which one. ValueError if it cannot be."""
    number = serial.encode()
    if not 0 < len(number) <= SERIAL_OCTETS_MAX:
        raise ValueError(f"serial number of {len(number)} octets; expected 1..{SERIAL_OCTETS_MAX}")
    content = _tlv(OBJECT_IDENTIFIER, _oid_octets(hardware_type)) + _tlv(OCTET_STRING, number)
    return x509.SubjectAlternativeName([x509.OtherName(HARDWARE_MODULE_NAME, _tlv(SEQUENCE, content))])


def server_names(hosts: Sequence[str]) -> x509.SubjectAlternativeName:
    """Names and addresses that a server is reached at."""
    return x509.SubjectAlternativeName([_general_name(host) for host in hosts])


def leaf_usage() -> x509.KeyUsage:
    """Key usage of a device or server."""
    return _usage(signs_certificates=False)


def _authority_name(name: str) -> x509.Name:
    return x509.Name(
        [x509.NameAttribute(NameOID.ORGANIZATION_NAME, "DGM"), x509.NameAttribute(NameOID.COMMON_NAME, name)]
    )


def _authority(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, *, path_length: int | None
) -> x509.CertificateBuilder:
    policies = x509.CertificatePolicies([x509.PolicyInformation(ANY_POLICY, None)])
    builder = _builder(subject, issuer, key, NEVER)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=path_length), critical=True)
    builder = builder.add_extension(_usage(signs_certificates=True), critical=True)
    builder = builder.add_extension(policies, critical=True)
    return builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)


def _leaf(issuer: Issuer, subject: x509.Name, names: x509.SubjectAlternativeName, not_after: datetime.datetime) -> Leaf:
    key = make_key()
    builder = _builder(subject, issuer.certificate.subject, key.public_key(), not_after)
    for extension in _leaf_extensions(names):
        builder = builder.add_extension(extension, critical=True)
    builder = builder.add_extension(_authority_key(issuer), critical=False)
    return Leaf(builder.sign(issuer.key, hashes.SHA256()), key, issuer.chain)


def _request(
    key: ec.EllipticCurvePrivateKey, subject: x509.Name, names: x509.SubjectAlternativeName
) -> x509.CertificateSigningRequest:
    builder = x509.CertificateSigningRequestBuilder().subject_name(subject)
    for extension in _leaf_extensions(names):
        builder = builder.add_extension(extension, critical=True)
    return builder.sign(key, hashes.SHA256())


def _leaf_extensions(names: x509.SubjectAlternativeName) -> Iterable[x509.ExtensionType]:
    yield names
    yield leaf_usage()
    yield x509.CertificatePolicies([x509.PolicyInformation(DEVICE_POLICY, None)])


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


def _authority_key(issuer: Issuer) -> x509.AuthorityKeyIdentifier:
    return x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.key.public_key())


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _oid_octets(dotted: str) -> bytes:
    arcs = [int(part) for part in dotted.split(".") if part.isascii() and part.isdigit()]
    if (
        len(arcs) != dotted.count(".") + 1
        or len(arcs) < 2
        or arcs[0] > 2
        or (arcs[0] < 2 and arcs[1] >= ARC_FIRST_FACTOR)
    ):
        raise ValueError(f"hardware type {dotted!r}; expected an object identifier such as {DEFAULT_HARDWARE_TYPE}")
    return b"".join(_base128(arc) for arc in (arcs[0] * ARC_FIRST_FACTOR + arcs[1], *arcs[2:]))


def _base128(number: int) -> bytes:
    digits = [number & 0x7F]
    while number := number >> 7:
        digits.append(0x80 | (number & 0x7F))
    return bytes(reversed(digits))


def _tlv(tag: int, content: bytes) -> bytes:
    if len(content) > OCTETS_SHORT_MAX:
        return bytes([tag, 0x81, len(content)]) + content
    return bytes([tag, len(content)]) + content
