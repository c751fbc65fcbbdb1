"""HTTP over mutual TLS to the utility server, and the checks of its files before anything starts.

    Request ──encode──> one keep-alive TLS 1.2 connection (ECDHE-ECDSA-AES128-CCM8) ──decode──> Answer / NoAnswer

What is checked of the server: its chain must end in a certificate of `der.ca` (the system's roots are not used), its
certificate must be valid now, and its subjectAltName must name the host of `der.url`: with one root for all devices of
a utility, a device's own certificate could otherwise pose as the server. Never raises into the role.
"""

from __future__ import annotations

import asyncio
import datetime
import ssl
from collections.abc import Iterator
from pathlib import Path

import aiohttp
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key
from yarl import URL

from dgm.api.config.v1.config_pb2 import DerConfig, DgmConfig
from dgm.der.codec import DEFAULT, Dialect, decode, encode
from dgm.der.discovery import Answer, NoAnswer, Request
from dgm.der.identity import is_valid_pin, lfdi_of
from dgm.der.xml import MAX_BODY_BYTES
from dgm.errors import PeerError, Problem

MEDIA_TYPE = "application/sep+xml"
CIPHERS = "ECDHE-ECDSA-AES128-CCM8:@SECLEVEL=0"
"""The one suite every 2030.5 device must have. Newer OpenSSL files it under a low security level for its short tag."""
TIMEOUT = aiohttp.ClientTimeout(total=30, connect=10)
KEEPALIVE_S = 600
HEADER_BYTES_MAX = 8190


def tls_context(config: DerConfig, base_dir: Path) -> ssl.SSLContext:
    """The TLS of this one client; nothing else in the process uses these ciphers or this level."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(CIPHERS)
    context.load_verify_locations(cafile=base_dir / config.ca)
    context.load_cert_chain(base_dir / config.certificate, base_dir / config.private_key)
    context.verify_mode = ssl.CERT_REQUIRED
    context.check_hostname = True
    return context


def device_certificate(config: DerConfig, base_dir: Path) -> x509.Certificate:
    """The device's own certificate: the first of the chain file. ValueError, OSError when it cannot be read."""
    return x509.load_pem_x509_certificates((base_dir / config.certificate).read_bytes())[0]


def device_lfdi(config: DerConfig, base_dir: Path) -> str:
    """LFDI of the device's certificate."""
    return lfdi_of(device_certificate(config, base_dir).public_bytes(Encoding.DER))


class UtilityClient:
    """One connection to one server. Used by one task at a time. `dialect` (what is sent) may change once negotiated."""

    def __init__(self, context: ssl.SSLContext, dialect: Dialect = DEFAULT) -> None:
        self.dialect = dialect
        connector = aiohttp.TCPConnector(ssl=context, limit=1, keepalive_timeout=KEEPALIVE_S)
        self._session = aiohttp.ClientSession(
            connector=connector,
            timeout=TIMEOUT,
            max_line_size=HEADER_BYTES_MAX,
            max_field_size=HEADER_BYTES_MAX,
            headers={"Accept": MEDIA_TYPE, "Accept-Encoding": "identity"},
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
        )
        self.last_error = ""

    async def send(self, request: Request) -> Answer | NoAnswer:
        """Send one request and read its whole answer, whatever happens."""
        try:
            body = None if request.body is None else encode(request.body, self.dialect)
            headers = {} if body is None else {"Content-Type": MEDIA_TYPE}
            async with self._session.request(
                request.method, URL(request.url, encoded=True), data=body, headers=headers, allow_redirects=False
            ) as response:
                content = await _bounded_body(response)
                self.last_error = ""
                return _answer(request.tag, response, content)
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError, PeerError) as error:
            # ValueError: a URL or header line that the HTTP library refuses, or a body that no schema holds.
            self.last_error = f"{type(error).__name__}: {error}"[:300]
            return NoAnswer(tag=request.tag)

    async def close(self) -> None:
        """Close the connection."""
        await self._session.close()
        await asyncio.sleep(0)


async def _bounded_body(response: aiohttp.ClientResponse) -> bytes:
    content = bytearray()
    async for chunk in response.content.iter_chunked(65_536):
        content += chunk
        if len(content) > MAX_BODY_BYTES:
            response.close()
            raise PeerError(f"answer larger than {MAX_BODY_BYTES} bytes")
    return bytes(content)


def _answer(tag: int, response: aiohttp.ClientResponse, content: bytes) -> Answer:
    resource = None
    if response.status < 300 and content:
        try:
            resource = decode(content)
        except PeerError:
            resource = None  # counted by discovery as malformed
    retry_after = response.headers.get("Retry-After", "")
    return Answer(
        tag=tag,
        status=response.status,
        resource=resource,
        location=response.headers.get("Location"),
        retry_after_s=int(retry_after) if retry_after.isascii() and retry_after.isdigit() else None,
    )


def check_files(config: DgmConfig, base_dir: Path) -> list[Problem]:
    """Everything about the identity of the DER client that would keep it from talking; empty when it may start."""
    if not config.HasField("der"):
        return []
    return list(_problems(config.der, base_dir))


def _problems(der: DerConfig, base_dir: Path) -> Iterator[Problem]:
    if der.pin and not is_valid_pin(der.pin):
        yield Problem(path="der.pin", found=repr(der.pin), expected="6 digits whose sum is a multiple of 10")
    yield from _ca_problems(der, base_dir)
    try:
        certificate = device_certificate(der, base_dir)
    except (OSError, ValueError, IndexError) as error:
        yield _unreadable("der.certificate", base_dir / der.certificate, error, "a PEM certificate chain, device first")
        return
    yield from _certificate_problems(certificate)
    try:
        key = load_pem_private_key((base_dir / der.private_key).read_bytes(), password=None)
    except (OSError, ValueError, TypeError) as error:
        yield _unreadable("der.private_key", base_dir / der.private_key, error, "an unencrypted PEM private key")
        return
    form = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    if key.public_key().public_bytes(*form) != certificate.public_key().public_bytes(*form):
        yield Problem(
            path="der.private_key",
            found=f"{der.private_key} is not the key of {der.certificate}",
            expected="the private key of the device certificate",
        )


def _ca_problems(der: DerConfig, base_dir: Path) -> Iterator[Problem]:
    try:
        found = x509.load_pem_x509_certificates((base_dir / der.ca).read_bytes())
    except (OSError, ValueError) as error:
        yield _unreadable("der.ca", base_dir / der.ca, error, "PEM certificates of the utility's roots")
        return
    now = datetime.datetime.now(datetime.UTC)
    if all(certificate.not_valid_after_utc < now for certificate in found):
        last = max(certificate.not_valid_after_utc for certificate in found)
        yield Problem(path="der.ca", found=f"every root expired, the last on {last:%Y-%m-%d}", expected="a valid root")


def _certificate_problems(certificate: x509.Certificate) -> Iterator[Problem]:
    now = datetime.datetime.now(datetime.UTC)
    if certificate.not_valid_after_utc < now:
        yield Problem(
            path="der.certificate",
            found=f"expired on {certificate.not_valid_after_utc:%Y-%m-%d %H:%M} UTC",
            expected="a certificate that is valid now (a new one changes LFDI and SFDI: register it anew)",
        )
    if certificate.not_valid_before_utc > now:
        yield Problem(
            path="der.certificate",
            found=f"valid from {certificate.not_valid_before_utc:%Y-%m-%d %H:%M} UTC",
            expected="a certificate that is valid now (is this machine's clock right?)",
        )
    key = certificate.public_key()
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        yield Problem(path="der.certificate", found="a key that is not on P-256", expected="an ECDSA key on P-256")


def _unreadable(path: str, file: Path, error: Exception, expected: str) -> Problem:
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error) or type(error).__name__
    return Problem(path=path, found=f"{file}: {reason}"[:300], expected=expected)
