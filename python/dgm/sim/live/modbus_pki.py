"""Certificates for Modbus/TCP Security: servers and clients that a root signed, the clients' role in its extension.

Tests and simulator only: the private keys are written unencrypted.
"""

from __future__ import annotations

import datetime
import ipaddress
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from dgm.api.config.v1.config_pb2 import ModbusTlsConfig
from dgm.sim.live.pki import Issuer, write_key

ROLE = x509.ObjectIdentifier("1.3.6.1.4.1.50316.802.1")
NOW = datetime.datetime.now(datetime.UTC)
YEAR = datetime.timedelta(days=365)


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """Files of one end of a connection."""

    certificate: Path
    private_key: Path
    ca: Path

    def message(self) -> ModbusTlsConfig:
        """The files as a configuration names them."""
        return ModbusTlsConfig(certificate=str(self.certificate), private_key=str(self.private_key), ca=str(self.ca))


def make_end(
    issuer: Issuer, folder: Path, name: str, *, roles: tuple[str, ...] = (), valid_for: datetime.timedelta = YEAR
) -> End:
    """One end whose certificate the issuer signed and which trusts the issuer."""
    key = ec.generate_private_key(ec.SECP256R1())
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .issuer_name(issuer.certificate.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW - 2 * YEAR)
        .not_valid_after(NOW + valid_for)
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
    )
    for role in roles:
        text = role.encode()
        content = bytes([0x0C, len(text)]) + text
        builder = builder.add_extension(x509.UnrecognizedExtension(ROLE, content), critical=False)
    certificate, ca = folder / f"{name}.pem", folder / f"{name}.ca.pem"
    certificate.write_bytes(builder.sign(issuer.key, hashes.SHA256()).public_bytes(Encoding.PEM))
    ca.write_bytes(issuer.certificate.public_bytes(Encoding.PEM))
    return End(certificate=certificate, private_key=write_key(folder / f"{name}.key", key), ca=ca)
