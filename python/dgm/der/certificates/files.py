"""Reading and writing certificates, requests and keys; a key is readable by its owner only and never overwritten."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key

KEY_MODE = 0o600


def read_chain(path: Path) -> list[x509.Certificate]:
    """Certificates of a PEM file, in its order. OSError, ValueError when it holds none."""
    return x509.load_pem_x509_certificates(path.read_bytes())


def read_key(path: Path) -> ec.EllipticCurvePrivateKey:
    """An unencrypted elliptic-curve private key. OSError, ValueError, TypeError for anything else."""
    key = load_pem_private_key(path.read_bytes(), password=None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise ValueError("a key that is not on an elliptic curve; expected one on P-256")
    return key


def write_chain(path: Path, certificates: Iterable[x509.Certificate]) -> Path:
    """Certificates as PEM, in this order."""
    path.write_bytes(b"".join(certificate.public_bytes(Encoding.PEM) for certificate in certificates))
    return path


def write_request(path: Path, request: x509.CertificateSigningRequest) -> Path:
    """A certificate request as PEM."""
    path.write_bytes(request.public_bytes(Encoding.PEM))
    return path


def write_key(path: Path, key: ec.EllipticCurvePrivateKey) -> Path:
    """The private key in PEM, readable by the owner only from the first byte. FileExistsError if there is a file."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, KEY_MODE)
    with os.fdopen(descriptor, "wb") as file:
        file.write(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return path


def is_private(path: Path) -> bool:
    """Whether nobody but the owner can read a key file."""
    return path.stat().st_mode & 0o077 == 0
