"""Certificates of stations with security profile 3, looked at beyond what the TLS handshake has verified.

    DER of the peer, time ──> StationCertificates.refusal ──> why it may not come in, or None
    revocation lists (PEM, signed by client_ca, read again when the file changes) ─┘

The handshake has checked the chain to `client_ca` and the dates. Here: that it names this station, is no CA's own, is
meant for clients and not revoked; and how long it lasts. A list past its nextUpdate still counts, and is told: shutting
out every station because a list is late would be worse. Renewal goes by SignCertificate through the relay.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from dgm.log import logger

WARN_BEFORE = timedelta(days=30)
"""A certificate that ends sooner is told, once for each connection's certificate."""

MAX_CRL_BYTES = 10_000_000

_PEM_END = b"-----END X509 CRL-----"


class StationCertificates:
    """See the module. ca: PEM file of the CAs; crl: PEM file of their lists, None: no revocation."""

    def __init__(self, ca: Path | None = None, crl: Path | None = None) -> None:
        self._authorities = () if ca is None else tuple(x509.load_pem_x509_certificates(ca.read_bytes()))
        self._crl = crl
        self._crl_stamp: tuple[int, int] | None = None
        self._revoked: frozenset[tuple[bytes, int]] = frozenset()
        self._crl_ends: datetime | None = None
        self._ends: dict[str, datetime] = {}
        self._told: dict[str, int] = {}
        self.crl_faults = 0
        """Times that a changed list could not be used; the one before goes on counting."""
        self._log = logger("ocpp")
        if crl is not None:
            self._load(crl)

    def refusal(self, station_id: str, der: bytes | None, *, name: str, utc_ms: int) -> str | None:
        """Why the station may not come in; None: it may. der None: it showed no certificate."""
        if der is None:
            return f"no certificate with the common name {name!r}"
        try:
            found = x509.load_der_x509_certificate(der)
            why = self._flaw(found, name, datetime.fromtimestamp(utc_ms / 1000, UTC))
        except ValueError as error:
            return f"its certificate cannot be read: {error}"[:200]
        if why is None:
            self._note_end(station_id, found, datetime.fromtimestamp(utc_ms / 1000, UTC))
        return why

    def _flaw(self, found: x509.Certificate, name: str, now: datetime) -> str | None:
        names = [str(one.value) for one in found.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
        if name not in names:
            return f"no certificate with the common name {name!r}"
        if not found.not_valid_before_utc <= now < found.not_valid_after_utc:
            return f"its certificate is valid from {found.not_valid_before_utc} to {found.not_valid_after_utc}"
        if _is_authority(found):
            return "its certificate is that of a CA"
        if not _is_for_clients(found):
            return "its certificate is not meant for clients (extendedKeyUsage without clientAuth)"
        self._refresh()
        if (found.issuer.public_bytes(), found.serial_number) in self._revoked:
            return f"its certificate {found.serial_number:x} is revoked"
        return None

    # How long they last.

    def _note_end(self, station_id: str, found: x509.Certificate, now: datetime) -> None:
        self._ends[station_id] = found.not_valid_after_utc
        left = found.not_valid_after_utc - now
        if left < WARN_BEFORE and self._told.get(station_id) != found.serial_number:
            self._told[station_id] = found.serial_number
            self._log.warning(
                "certificate of a station ends soon",
                station=station_id,
                days=left.days,
                remedy="its CPO renews it: TriggerMessage SignChargingStationCertificate",
            )

    def days_left(self, utc_ms: int) -> list[float]:
        """Of the newest certificate of every station that has come in."""
        now = datetime.fromtimestamp(utc_ms / 1000, UTC)
        return [(end - now).total_seconds() / 86_400 for end in self._ends.values()]

    def crl_days_left(self, utc_ms: int) -> float | None:
        """Until the earliest nextUpdate of the lists; negative: it is late. None: there is none."""
        if self._crl_ends is None:
            return None
        return (self._crl_ends - datetime.fromtimestamp(utc_ms / 1000, UTC)).total_seconds() / 86_400

    # Revocation lists.

    def _refresh(self) -> None:
        """Read the file again when it has changed; what cannot be used leaves the lists before in force."""
        if self._crl is None:
            return
        try:
            if _stamp(self._crl) != self._crl_stamp:
                self._load(self._crl)
        except (OSError, ValueError) as error:
            self.crl_faults += 1
            self._log.error("revocation list cannot be used", path=str(self._crl), error=str(error)[:200])

    def _load(self, file: Path) -> None:
        """OSError or ValueError with what is wrong; then nothing has changed."""
        stamp = _stamp(file)
        if stamp[1] > MAX_CRL_BYTES:
            raise ValueError(f"{stamp[1]} bytes; expected at most {MAX_CRL_BYTES}")
        # A file that cannot be used is looked at again when it changes, not with every connection.
        self._crl_stamp = stamp
        lists = list(_lists(file.read_bytes()))
        for one in lists:
            if not any(_has_signed(authority, one) for authority in self._authorities):
                raise ValueError(f"a list of {one.issuer.rfc4514_string()}, which no CA of client_ca has signed")
        self._revoked = frozenset((one.issuer.public_bytes(), entry.serial_number) for one in lists for entry in one)
        ends = [one.next_update_utc for one in lists if one.next_update_utc is not None]
        self._crl_ends = min(ends, default=None)


def _stamp(file: Path) -> tuple[int, int]:
    found = file.stat()
    return found.st_mtime_ns, found.st_size


def _lists(raw: bytes) -> Iterator[x509.CertificateRevocationList]:
    parts = raw.split(_PEM_END)[:-1]
    if not parts:
        raise ValueError("no X509 CRL in PEM")
    for part in parts:
        yield x509.load_pem_x509_crl(part + _PEM_END)


def _has_signed(authority: x509.Certificate, found: x509.CertificateRevocationList) -> bool:
    key = authority.public_key()
    return authority.subject == found.issuer and found.is_signature_valid(key)  # type: ignore[arg-type]


def _is_authority(found: x509.Certificate) -> bool:
    try:
        return found.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        return False


def _is_for_clients(found: x509.Certificate) -> bool:
    try:
        usage = found.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        return True  # without the extension it is meant for everything (RFC 5280, 4.2.1.12)
    return ExtendedKeyUsageOID.CLIENT_AUTH in usage or ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE in usage
