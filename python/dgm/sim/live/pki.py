"""A test PKI in the certificate profile of IEEE 2030.5 (S18 6.11): one root, a server, a device. Tests and demo only.

    root (P-256) ──signs──> server  (critical subjectAltName with the addresses it is reached at)
                 ──signs──> device  (empty subject, critical subjectAltName HardwareModuleName, never expires)

`dgm cert test-pki` makes the whole chain of four. The private keys are written unencrypted: never use them for anything
real.
"""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from dgm.der.certificates import files, profile
from dgm.der.certificates.files import write_chain
from dgm.der.certificates.profile import NEVER, Issuer, make_root
from dgm.der.identity import lfdi_of

__all__ = ["HOSTS", "NEVER", "Issuer", "TestPki", "make_device", "make_root", "make_server", "write_key", "write_pki"]

HOSTS = ("127.0.0.1", "localhost")


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


def write_pki(directory: Path, *, hosts: Sequence[str] = HOSTS, serial: str = "dgm-test-1") -> TestPki:
    """Make a root, a server and a device and write them below `directory`."""
    directory.mkdir(parents=True, exist_ok=True)
    root = make_root("DGM test root")
    server, server_key = make_server(root, hosts)
    device, device_key = make_device(root, serial=serial)
    return TestPki(
        root_certificate=write_chain(directory / "root.pem", [root.certificate]),
        server_certificate=write_chain(directory / "server.pem", [server]),
        server_key=write_key(directory / "server.key", server_key),
        device_certificate=write_chain(directory / "device.pem", [device]),
        device_key=write_key(directory / "device.key", device_key),
        device_lfdi=lfdi_of(device.public_bytes(Encoding.DER)),
    )


def write_key(path: Path, key: ec.EllipticCurvePrivateKey) -> Path:
    """The private key in PEM, readable by the owner only, in place of an older one."""
    path.unlink(missing_ok=True)
    return files.write_key(path, key)


def make_server(issuer: Issuer, hosts: Sequence[str]) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    """A server certificate for these names and addresses."""
    leaf = profile.make_server(issuer, hosts)
    return leaf.certificate, leaf.key


def make_device(
    issuer: Issuer, *, serial: str, not_after: datetime.datetime = NEVER
) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    """A device certificate: no subject, identified by its HardwareModuleName."""
    leaf = profile.make_device(issuer, serial=serial, not_after=not_after)
    return leaf.certificate, leaf.key
