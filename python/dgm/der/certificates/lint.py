"""Is a certificate chain what IEEE 2030.5 asks for (S18 6.11)? Each rule by name, with what was found and what to do.

    chain (own certificate first) ──lint()──> findings, in the order of the chain

A FAILURE is something a strict peer refuses; a WARNING is what an operator should know. Signatures and the order of the
chain are judged; whether a peer trusts its root only the peer can say.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import pairwise
from typing import TypeVar

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from dgm.der.certificates.profile import HARDWARE_MODULE_NAME, NEVER, POLICY_ARC

Extension = TypeVar("Extension", bound=x509.ExtensionType)

NAME_CONSTRAINTS, POLICY_MAPPINGS = x509.ObjectIdentifier("2.5.29.30"), x509.ObjectIdentifier("2.5.29.33")
CHAIN_MAX = 4
"""SERCA, MCA, MICA, device."""
EXPIRY_WARNING_DAYS = 60
SERIAL_BITS_MAX = 160


class Severity(Enum):
    """How bad a finding is."""

    FAILURE = "failure"
    WARNING = "warning"


class Kind(Enum):
    """What the first certificate of a chain is for."""

    DEVICE = "device"
    SERVER = "server"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One broken rule. place: which certificate of the chain, from 1 (the own one)."""

    rule: str
    place: int
    severity: Severity
    found: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.severity.value}: {self.rule}, certificate {self.place}: found {self.found}; {self.remedy}"


@dataclass(frozen=True, slots=True)
class Rule:
    """A property of one certificate. `found` returns what is wrong in words, or None."""

    name: str
    found: Callable[[x509.Certificate], str | None]
    remedy: str
    severity: Severity = Severity.FAILURE


def lint(chain: Sequence[x509.Certificate], kind: Kind, now: datetime.datetime) -> list[Finding]:
    """Every finding about a chain; empty when it is as the standard wants it."""
    leaf_rules = DEVICE_RULES if kind is Kind.DEVICE else SERVER_RULES
    findings = []
    for place, certificate in enumerate(chain, 1):
        rules = (*EVERY_RULES, *(leaf_rules if place == 1 else AUTHORITY_RULES))
        findings += list(_unreadable(certificate, place)) or list(_broken(rules, certificate, place))
        findings += list(_validity(certificate, place, now))
    return [*findings, *_chain_findings(chain)]


def days_left(certificate: x509.Certificate, now: datetime.datetime) -> int | None:
    """Whole days until a certificate ends, negative once it has; None for one that never does."""
    if certificate.not_valid_after_utc >= NEVER:
        return None
    return (certificate.not_valid_after_utc - now).days


def _broken(rules: Sequence[Rule], certificate: x509.Certificate, place: int) -> Iterator[Finding]:
    for rule in rules:
        found = rule.found(certificate)
        if found is not None:
            yield Finding(rule=rule.name, place=place, severity=rule.severity, found=found, remedy=rule.remedy)


def _unreadable(certificate: x509.Certificate, place: int) -> Iterator[Finding]:
    try:
        list(certificate.extensions)
    except (ValueError, x509.DuplicateExtension) as error:
        yield Finding(
            rule="extensions-readable",
            place=place,
            severity=Severity.FAILURE,
            found=f"extensions that cannot be read ({error})"[:200],
            remedy="have it made anew",
        )


def _validity(certificate: x509.Certificate, place: int, now: datetime.datetime) -> Iterator[Finding]:
    left = days_left(certificate, now)
    if certificate.not_valid_before_utc > now:
        yield Finding(
            rule="valid-now",
            place=place,
            severity=Severity.FAILURE,
            found=f"valid from {certificate.not_valid_before_utc:%Y-%m-%d %H:%M} UTC",
            remedy="check this machine's clock, or wait",
        )
    if left is not None and left < EXPIRY_WARNING_DAYS:
        over = certificate.not_valid_after_utc < now
        yield Finding(
            rule="valid-now" if over else "expiry",
            place=place,
            severity=Severity.FAILURE if over else Severity.WARNING,
            found=f"valid until {certificate.not_valid_after_utc:%Y-%m-%d %H:%M} UTC ({left} days left)",
            remedy="get a new one; a device's new certificate is a new LFDI and SFDI: register it first",
        )


def _chain_findings(chain: Sequence[x509.Certificate]) -> Iterator[Finding]:
    if len(chain) > CHAIN_MAX:
        yield Finding(
            rule="chain-length",
            place=len(chain),
            severity=Severity.FAILURE,
            found=f"{len(chain)} certificates",
            remedy=f"at most {CHAIN_MAX}: root, manufacturer's, issuing, own",
        )
    for place, (below, above) in enumerate(pairwise(chain), 1):
        found = _not_issued_by(below, above)
        if found is not None:
            yield Finding(
                rule="chain-order",
                place=place,
                severity=Severity.FAILURE,
                found=found,
                remedy="put each certificate's issuer directly after it",
            )


def _not_issued_by(below: x509.Certificate, above: x509.Certificate) -> str | None:
    if below.issuer != above.subject:
        return f"issuer {below.issuer.rfc4514_string()!r}, next is {above.subject.rfc4514_string()!r}"
    try:
        below.verify_directly_issued_by(above)
    except (InvalidSignature, ValueError, TypeError):
        return "a signature that the next certificate's key did not make"
    wanted, own = _extension(below, x509.AuthorityKeyIdentifier), _extension(above, x509.SubjectKeyIdentifier)
    if wanted is not None and own is not None and wanted.value.key_identifier != own.value.digest:
        return "an authority key identifier that is not the next certificate's subject key identifier"
    return None


def _extension(certificate: x509.Certificate, kind: type[Extension]) -> x509.Extension[Extension] | None:
    try:
        return certificate.extensions.get_extension_for_class(kind)
    except x509.ExtensionNotFound:
        return None


def _key(certificate: x509.Certificate) -> str | None:
    try:
        key = certificate.public_key()
    except ValueError as error:
        return f"a key that cannot be read ({error})"
    if isinstance(key, ec.EllipticCurvePublicKey):
        return None if isinstance(key.curve, ec.SECP256R1) else f"a key on {key.curve.name}"
    return f"a key of type {type(key).__name__.removeprefix('_')}"


def _signature(certificate: x509.Certificate) -> str | None:
    algorithm = certificate.signature_hash_algorithm
    name = "none" if algorithm is None else algorithm.name
    is_ecdsa = certificate.signature_algorithm_oid.dotted_string.startswith("1.2.840.10045.4.")
    if is_ecdsa and isinstance(algorithm, hashes.SHA256):
        return None
    return f"{'ECDSA' if is_ecdsa else certificate.signature_algorithm_oid.dotted_string} with {name}"


def _number(certificate: x509.Certificate) -> str | None:
    bits = certificate.serial_number.bit_length()
    return None if certificate.serial_number > 0 and bits <= SERIAL_BITS_MAX else f"serial number of {bits} bits"


def _never_expires(certificate: x509.Certificate) -> str | None:
    after = certificate.not_valid_after_utc
    return None if after >= NEVER else f"notAfter {after:%Y%m%d%H%M%SZ}"


def _empty_subject(certificate: x509.Certificate) -> str | None:
    name = certificate.subject.rfc4514_string()
    return f"subject {name!r}" if name else None


def _some_subject(certificate: x509.Certificate) -> str | None:
    return None if certificate.subject.rfc4514_string() else "an empty subject"


def _is_not_authority(certificate: x509.Certificate) -> str | None:
    constraints = _extension(certificate, x509.BasicConstraints)
    return "cA true" if constraints is not None and constraints.value.ca else None


def _is_authority(certificate: x509.Certificate) -> str | None:
    constraints = _extension(certificate, x509.BasicConstraints)
    if constraints is None or not constraints.value.ca:
        return "no basicConstraints with cA true"
    return None if constraints.critical else "basicConstraints not critical"


def _critical(kind: type[x509.ExtensionType], name: str) -> Callable[[x509.Certificate], str | None]:
    def found(certificate: x509.Certificate) -> str | None:
        extension = _extension(certificate, kind)
        if extension is None:
            return f"no {name}"
        return None if extension.critical else f"{name} not critical"

    return found


def _not_critical(
    kind: type[x509.ExtensionType], name: str, *, may_lack_self_signed: bool = False
) -> Callable[[x509.Certificate], str | None]:
    def found(certificate: x509.Certificate) -> str | None:
        extension = _extension(certificate, kind)
        if extension is None:
            self_signed = certificate.issuer == certificate.subject
            return None if may_lack_self_signed and self_signed else f"no {name}"
        return f"{name} critical" if extension.critical else None

    return found


def _absent(oid: x509.ObjectIdentifier, name: str) -> Callable[[x509.Certificate], str | None]:
    return lambda certificate: name if any(item.oid == oid for item in certificate.extensions) else None


def _hardware_module_name(certificate: x509.Certificate) -> str | None:
    names = _extension(certificate, x509.SubjectAlternativeName)
    if names is None:
        return "no subjectAltName"
    others = [name for name in names.value if isinstance(name, x509.OtherName)]
    return None if any(name.type_id == HARDWARE_MODULE_NAME for name in others) else "no HardwareModuleName in it"


def _server_name(certificate: x509.Certificate) -> str | None:
    names = _extension(certificate, x509.SubjectAlternativeName)
    kinds = (x509.DNSName, x509.IPAddress)
    return None if names is not None and any(isinstance(name, kinds) for name in names.value) else "no name or address"


def _leaf_usage(certificate: x509.Certificate) -> str | None:
    usage = _extension(certificate, x509.KeyUsage)
    if usage is None:
        return "no keyUsage"
    missing = [name for name in ("digital_signature", "key_agreement") if not getattr(usage.value, name)]
    return f"keyUsage without {' and '.join(missing)}" if missing else None


def _authority_usage(certificate: x509.Certificate) -> str | None:
    usage = _extension(certificate, x509.KeyUsage)
    return None if usage is not None and usage.value.key_cert_sign else "no keyUsage with keyCertSign"


def _policy(certificate: x509.Certificate) -> str | None:
    policies = _extension(certificate, x509.CertificatePolicies)
    listed = [] if policies is None else [item.policy_identifier.dotted_string for item in policies.value]
    if any(policy.startswith(f"{POLICY_ARC}.") for policy in listed):
        return None
    return f"policies {', '.join(listed) or 'none'}"


EVERY_RULES = (
    Rule("key-p256", _key, "make an ECDSA key on P-256 (secp256r1)"),
    Rule("signature-ecdsa-sha256", _signature, "have it signed with ecdsa-with-SHA256"),
    Rule("serial-number", _number, "use a positive serial number of at most 20 octets"),
    Rule(
        "authority-key-identifier",
        _not_critical(x509.AuthorityKeyIdentifier, "authorityKeyIdentifier", may_lack_self_signed=True),
        "add it, not critical",
    ),
    Rule("no-name-constraints", _absent(NAME_CONSTRAINTS, "NameConstraints"), "leave it out"),
    Rule("no-policy-mappings", _absent(POLICY_MAPPINGS, "PolicyMappings"), "leave it out"),
    Rule("key-usage-critical", _critical(x509.KeyUsage, "keyUsage"), "add it, critical"),
    Rule("policies-critical", _critical(x509.CertificatePolicies, "certificatePolicies"), "add it, critical"),
)
LEAF_RULES = (
    Rule("not-an-authority", _is_not_authority, "leave basicConstraints out"),
    Rule(
        "alternative-name-critical",
        _critical(x509.SubjectAlternativeName, "subjectAltName"),
        "add it, critical: strict peers answer 'certificate verify failed' otherwise",
    ),
    Rule("key-usage", _leaf_usage, "use digitalSignature and keyAgreement"),
)
DEVICE_RULES = (
    *LEAF_RULES,
    Rule("subject-empty", _empty_subject, "leave the subject empty; the HardwareModuleName identifies the device"),
    Rule("hardware-module-name", _hardware_module_name, "put an otherName HardwareModuleName (RFC 4108) into it"),
    Rule("policy", _policy, f"name a policy of IEEE 2030.5 ({POLICY_ARC}.1.1 for devices)"),
    Rule("never-expires", _never_expires, "use notAfter 99991231235959Z: a renewed device is a new LFDI"),
)
SERVER_RULES = (*LEAF_RULES, Rule("server-name", _server_name, "name the host or address it is reached at"))
AUTHORITY_RULES = (
    Rule("authority", _is_authority, "set basicConstraints critical with cA true"),
    Rule("authority-key-usage", _authority_usage, "use keyCertSign"),
    Rule("subject", _some_subject, "give the authority a name"),
    Rule(
        "subject-key-identifier",
        _not_critical(x509.SubjectKeyIdentifier, "subjectKeyIdentifier"),
        "add it, not critical",
    ),
    Rule("never-expires", _never_expires, "use notAfter 99991231235959Z", Severity.WARNING),
)
