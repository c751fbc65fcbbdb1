"""HTTP over mutual TLS to the utility server, and the checks of its files before anything starts.

    Request ──encode──> one keep-alive TLS 1.2 connection (ECDHE-ECDSA-AES128-CCM8) ──decode──> Answer / NoAnswer

What is checked of the server: its chain must end in a certificate of `der.ca` (the system's roots are not used), its
certificate must be valid now, and its subjectAltName must name the host of `der.url`: with one root for all devices of
a utility, a device's own certificate could otherwise pose as the server. Never raises into the role.
"""

from __future__ import annotations

import asyncio
import datetime
import socket
import ssl
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import ThreadedResolver
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from yarl import URL

from dgm.api.config.v1.config_pb2 import DerConfig, DgmConfig
from dgm.api.der.v1.profile_pb2 import Edition as ProfileEdition
from dgm.api.der.v1.profile_pb2 import UtilityProfile
from dgm.der.certificates.files import is_private, read_chain, read_key
from dgm.der.certificates.lint import EXPIRY_WARNING_DAYS, Kind, days_left, lint
from dgm.der.codec import DEFAULT, Dialect, Edition, decode, encode
from dgm.der.codec.well_known import entry_of
from dgm.der.discovery import Answer, NoAnswer, Request
from dgm.der.identity import PEN_DIGITS, is_valid_pin, lfdi_of
from dgm.der.nodes import VERSIONS_PATH, Document, EntryPoint
from dgm.der.tls import MANDATORY_SUITE, client_context
from dgm.der.xml import AUS_13_NS, MAX_BODY_BYTES
from dgm.errors import PeerError, Problem

MEDIA_TYPE = "application/sep+xml"
MEDIA_TYPE_AUS_13 = "application/sep+xml; csipaus=1.3"
"""What CSIP-AUS 1.3 wants in Accept and Content-Type; a server refuses others with 406 and 415."""
TIMEOUT = aiohttp.ClientTimeout(total=30, connect=10)
KEEPALIVE_S = 600
HEADER_BYTES_MAX = 8190


def tls_context(config: DerConfig, base_dir: Path, further: Sequence[str] = ()) -> ssl.SSLContext:
    """The TLS of this one client; nothing else in the process uses these ciphers or this level.

    `further`: suites that the utility's profile adds to the mandatory one.
    """
    return client_context(
        ca=base_dir / config.ca,
        certificate=base_dir / config.certificate,
        private_key=base_dir / config.private_key,
        further=[suite for suite in further if suite != MANDATORY_SUITE],
    )


def dialect_of(profile: UtilityProfile) -> Dialect:
    """What is sent to a utility of this profile, until a version document says another CSIP-AUS namespace."""
    edition = Edition.S23 if profile.edition == ProfileEdition.EDITION_S23 else Edition.S18
    return Dialect(edition=edition, aus_namespace=profile.csip_aus_namespace or None)


def device_certificate(config: DerConfig, base_dir: Path) -> x509.Certificate:
    """The device's own certificate: the first of the chain file. ValueError, OSError when it cannot be read."""
    return read_chain(base_dir / config.certificate)[0]


def device_lfdi(config: DerConfig, base_dir: Path) -> str:
    """LFDI of the device's certificate."""
    return lfdi_of(device_certificate(config, base_dir).public_bytes(Encoding.DER))


def media_type(dialect: Dialect) -> str:
    """Of what is asked for and sent."""
    return MEDIA_TYPE_AUS_13 if dialect.aus_namespace == AUS_13_NS else MEDIA_TYPE


class UtilityClient:
    """One connection to one server. Used by one task at a time. `dialect` (what is sent) may change once negotiated."""

    def __init__(self, context: ssl.SSLContext, dialect: Dialect = DEFAULT) -> None:
        self.dialect = dialect
        self._addresses: dict[str, tuple[str, ...]] = {}
        self._session = _session(context, self._addresses)
        self.last_error = ""

    async def use(self, context: ssl.SSLContext) -> None:
        """Close the connection; the next one is made with this TLS."""
        await self._session.close()
        self._session = _session(context, self._addresses)

    def know(self, host: str, addresses: tuple[str, ...]) -> None:
        """Where a host is, for names that the machine cannot resolve; without any it is asked as ever."""
        self._addresses.clear()
        if addresses:
            self._addresses[host] = addresses

    async def send(self, request: Request) -> Answer | NoAnswer:
        """Send one request and read its whole answer, whatever happens."""
        try:
            body = None if request.body is None else encode(request.body, self.dialect)
            kind = media_type(self.dialect)
            headers = {"Accept": kind} if body is None else {"Accept": kind, "Content-Type": kind}
            is_versions = request.method == "GET" and urlsplit(request.url).path == VERSIONS_PATH
            if is_versions:
                headers["Accept"] = "application/json"
            async with self._session.request(
                request.method, URL(request.url, encoded=True), data=body, headers=headers, allow_redirects=False
            ) as response:
                content = await _bounded_body(response)
                self.last_error = ""
                answer = _answer(request.tag, response, content, is_versions=is_versions)
                if isinstance(answer.resource, EntryPoint):
                    self.dialect = replace(self.dialect, aus_namespace=answer.resource.namespace)
                return answer
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError, PeerError) as error:
            # ValueError: a URL or header line that the HTTP library refuses, or a body that no schema holds.
            self.last_error = f"{type(error).__name__}: {error}"[:300]
            return NoAnswer(tag=request.tag, why=self.last_error)

    async def close(self) -> None:
        """Close the connection."""
        await self._session.close()
        await asyncio.sleep(0)


class _Resolver(AbstractResolver):
    """Knows some hosts, and asks the machine for the others."""

    def __init__(self, addresses: Mapping[str, tuple[str, ...]]) -> None:
        self._addresses = addresses
        self._machine = ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Addresses of a host."""
        if host not in self._addresses:
            return await self._machine.resolve(host, port, family)
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=0,
                flags=socket.AI_NUMERICHOST,
            )
            for address in self._addresses[host]
        ]

    async def close(self) -> None:
        """Nothing is held."""
        await self._machine.close()


def _session(context: ssl.SSLContext, addresses: Mapping[str, tuple[str, ...]]) -> aiohttp.ClientSession:
    resolver = _Resolver(addresses)
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(
            ssl=context, limit=1, keepalive_timeout=KEEPALIVE_S, resolver=resolver, use_dns_cache=False
        ),
        timeout=TIMEOUT,
        max_line_size=HEADER_BYTES_MAX,
        max_field_size=HEADER_BYTES_MAX,
        headers={"Accept-Encoding": "identity"},
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
    )


async def _bounded_body(response: aiohttp.ClientResponse) -> bytes:
    content = bytearray()
    async for chunk in response.content.iter_chunked(65_536):
        content += chunk
        if len(content) > MAX_BODY_BYTES:
            response.close()
            raise PeerError(f"answer larger than {MAX_BODY_BYTES} bytes")
    return bytes(content)


def _answer(tag: int, response: aiohttp.ClientResponse, content: bytes, *, is_versions: bool) -> Answer:
    resource: Document | None = None
    if response.status < 300 and content:
        try:
            resource = entry_of(content) if is_versions else decode(content)
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
    return file_problems(config.der, base_dir)


def file_problems(der: DerConfig, base_dir: Path) -> list[Problem]:
    """The same, of one `der` part."""
    return list(_problems(der, base_dir))


def certificate_warnings(config: DgmConfig, base_dir: Path) -> list[str]:
    """What an operator should know of certificates and key that work today; empty when there is nothing."""
    if not config.HasField("der"):
        return []
    der, now = config.der, datetime.datetime.now(datetime.UTC)
    warnings = []
    try:
        findings = lint(read_chain(base_dir / der.certificate), Kind.DEVICE, now)
        warnings += [f"der.certificate: {finding}" for finding in findings if finding.rule != "valid-now"]
        warnings += [f"der.ca: {finding}" for finding in _root_findings(der, base_dir, now)]
        if not is_private(base_dir / der.private_key):
            warnings.append(f"der.private_key: others can read {der.private_key}; chmod 600 it")
    except (OSError, ValueError, IndexError):
        return warnings  # told by check_files
    return warnings


def _root_findings(der: DerConfig, base_dir: Path, now: datetime.datetime) -> Iterator[str]:
    for place, root in enumerate(read_chain(base_dir / der.ca), 1):
        left = days_left(root, now)
        if left is not None and left < EXPIRY_WARNING_DAYS:
            yield f"root {place} ends in {left} days; ask the utility for the next one"


def certificate_ends(der: DerConfig, base_dir: Path) -> dict[str, float]:
    """When each certificate in use ends, UTC seconds: the device's, the soonest of its issuers', the soonest root."""
    own, *issuers = read_chain(base_dir / der.certificate)
    ends = {
        "2030.5 device": [own],
        "2030.5 device issuers": issuers,
        "2030.5 utility roots": read_chain(base_dir / der.ca),
    }
    return {
        use: min(certificate.not_valid_after_utc.timestamp() for certificate in found)
        for use, found in ends.items()
        if found
    }


def _problems(der: DerConfig, base_dir: Path) -> Iterator[Problem]:
    if der.pin and not is_valid_pin(der.pin):
        yield Problem(path="der.pin", found=repr(der.pin), expected="6 digits whose sum is a multiple of 10")
    if not 0 <= der.pen < 10**PEN_DIGITS:
        yield Problem(path="der.pen", found=str(der.pen), expected=f"a number of at most {PEN_DIGITS} digits")
    yield from _ca_problems(der, base_dir)
    try:
        certificate = device_certificate(der, base_dir)
    except (OSError, ValueError, IndexError) as error:
        yield _unreadable("der.certificate", base_dir / der.certificate, error, "a PEM certificate chain, device first")
        return
    yield from _certificate_problems(certificate)
    try:
        key = read_key(base_dir / der.private_key)
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
        found = read_chain(base_dir / der.ca)
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
