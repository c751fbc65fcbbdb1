"""Throw-away certificates of the Modbus benchmark: a CA, a server and a client with a role, as PEM files.

ca.pem   server.pem server.key   client.pem client.key          valid for a day, for 127.0.0.1, in a directory of ours
"""

from __future__ import annotations

import datetime
import ipaddress
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

# Modbus/TCP Security: the role of a client, a UTF8String.
ROLE_OID, ROLE = x509.ObjectIdentifier("1.3.6.1.4.1.50316.802.1"), b"\x0c\x03ems"
DAY = datetime.timedelta(days=1)


def write(directory: Path) -> None:
    """All files."""
    ca_key, ca_name = ec.generate_private_key(ec.SECP256R1()), name("bench CA")
    authority = (
        builder(ca_name, ca_name, ca_key)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(ca_key, hashes.SHA256())
    )
    (directory / "ca.pem").write_bytes(authority.public_bytes(serialization.Encoding.PEM))
    address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    role = x509.UnrecognizedExtension(ROLE_OID, ROLE)
    for role_name, usage, extension in (
        ("server", ExtendedKeyUsageOID.SERVER_AUTH, address),
        ("client", ExtendedKeyUsageOID.CLIENT_AUTH, role),
    ):
        key = ec.generate_private_key(ec.SECP256R1())
        leaf = (
            builder(name(role_name), ca_name, key)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
            .add_extension(extension, critical=False)
            .sign(ca_key, hashes.SHA256())
        )
        (directory / f"{role_name}.pem").write_bytes(leaf.public_bytes(serialization.Encoding.PEM))
        pem = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        (directory / f"{role_name}.key").write_bytes(pem)


def name(text: str) -> x509.Name:
    """A common name alone."""
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def builder(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
    """What all three have in common."""
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - DAY)
        .not_valid_after(now + DAY)
    )
