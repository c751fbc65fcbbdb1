"""Security profiles 0 to 3 towards stations and CSMSs: who may come in, and what we show upstream.

    station ──(TLS, certificate, Authorization)──> Security.refusal ──> 401, 403 or nothing
    CSMS <──(TLS with the CPO's CA, our certificate, Authorization)── north_tls, north_authorization

TLS ends here (2.x part 4, 6.5): stations see the certificate of the site, the CSMS one that its CPO has issued to us.
A station's own Authorization is passed on unless site.yaml names another password for it. Nothing of this is logged.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from dgm.api.config.v1.config_pb2 import CpoConfig, DgmConfig, OwnIdentityConfig, StationConfig, StationTlsConfig
from dgm.errors import Problem
from dgm.ocpp.gateway.certificates import StationCertificates
from dgm.ocpp.gateway.keys import Keys, basic_header, parse_passwords

STATION = "{station}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Door:
    """What one station must show, and how its connection is ended."""

    profile: int = 0
    certificate_name: str = ""
    abort_on_close: bool = False


class Security:
    """Everything secret of the gateway; without a configuration profile 0 for all, and upstream the system's CAs."""

    def __init__(
        self,
        *,
        keys: Keys | None = None,
        doors: Mapping[str, Door] | None = None,
        certificates: StationCertificates | None = None,
    ) -> None:
        self.keys = keys
        self.certificates = certificates or StationCertificates()
        self._doors = dict(doors or {})
        self._authorizations: dict[str, str] = {}
        self._contexts: dict[str, Callable[[], ssl.SSLContext]] = {}
        self._made: dict[str, ssl.SSLContext] = {}

    @classmethod
    def of(cls, config: DgmConfig, base_dir: Path, state_dir: Path) -> Security:
        """From site.yaml, whose files `security_problems` has found good."""
        passwords: dict[str, str] = {}
        if config.ocpp.passwords_file:
            passwords = _passwords(base_dir / config.ocpp.passwords_file)
        found = cls(
            keys=Keys(state_dir, passwords),
            doors={one.id: _door(one) for one in config.stations},
            certificates=_certificates(config.ocpp.tls, base_dir),
        )
        cpos = {cpo.id: cpo for cpo in config.cpos}
        for station in config.stations:
            if station.csms_password_file:
                password = (base_dir / station.csms_password_file).read_text(encoding="utf-8").strip()
                found._authorizations[station.id] = basic_header(station.id, password)
            cpo = cpos[station.cpo]
            found._contexts[station.id] = partial(_north_context, cpo, station.id, base_dir)
        return found

    def door(self, station_id: str) -> Door:
        """What a station must show."""
        return self._doors.get(station_id, Door())

    def refusal(
        self, station_id: str, *, authorization: str | None, certificate: bytes | None, is_tls: bool, utc_ms: int
    ) -> tuple[int, str] | None:
        """HTTP status and reason for people when the station may not come in; None: it may.

        certificate: DER, as the handshake has verified it.
        """
        door = self.door(station_id)
        if door.profile >= 2 and not is_tls:
            return 403, f"plain connection; expected TLS (security profile {door.profile})"
        if door.profile == 3:
            name = door.certificate_name or station_id
            why = self.certificates.refusal(station_id, certificate, name=name, utc_ms=utc_ms)
            return None if why is None else (401, why)
        if door.profile > 0 and authorization is None:
            return 401, f"no password; expected Basic authentication (security profile {door.profile})"
        if self.keys is not None and not self.keys.opens(station_id, authorization):
            return 401, "wrong user or password"
        return None

    def north_authorization(self, station_id: str, authorization: str | None) -> str | None:
        """The Authorization header for the CSMS."""
        return self._authorizations.get(station_id, authorization)

    def north_tls(self, station_id: str, url: str) -> ssl.SSLContext | None:
        """The TLS context for a wss CSMS; made when first needed, so that a certificate may come later."""
        if not url.startswith("wss:"):
            return None
        if station_id not in self._made:
            make = self._contexts.get(station_id, ssl.create_default_context)
            self._made[station_id] = make()
        return self._made[station_id]


def station_tls(config: StationTlsConfig, base_dir: Path) -> ssl.SSLContext:
    """The context of the TLS listener; stations without a certificate may come, profile 3 is asked for per station."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(base_dir / config.certificate, base_dir / config.private_key)
    if config.client_ca:
        context.load_verify_locations(base_dir / config.client_ca)
        context.verify_mode = ssl.CERT_OPTIONAL
    return context


def _certificates(config: StationTlsConfig, base_dir: Path) -> StationCertificates:
    ca = base_dir / config.client_ca if config.client_ca else None
    return StationCertificates(ca, base_dir / config.client_crl if config.client_crl else None)


def _door(station: StationConfig) -> Door:
    return Door(
        profile=station.security_profile,
        certificate_name=station.certificate_name,
        abort_on_close=station.abort_on_close,
    )


def _north_context(cpo: CpoConfig, station_id: str, base_dir: Path) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(base_dir / cpo.ca) if cpo.ca else None)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if cpo.certificate:
        files = (str(base_dir / name.replace(STATION, station_id)) for name in (cpo.certificate, cpo.private_key))
        context.load_cert_chain(*files)
    return context


def security_problems(config: DgmConfig, base_dir: Path) -> Iterator[Problem]:
    """Files of site.yaml that would keep the gateway from its secrets: all of them, each with what is wrong."""
    ocpp = config.ocpp
    if ocpp.HasField("tls"):
        yield from _tried("ocpp.tls", _BELONG, partial(station_tls, ocpp.tls, base_dir))
        if ocpp.tls.client_crl:
            load_crl = partial(_certificates, ocpp.tls, base_dir)
            yield from _tried("ocpp.tls.client_crl", "revocation lists in PEM, signed by a CA of client_ca", load_crl)
    if ocpp.passwords_file:
        load = partial(_passwords, base_dir / ocpp.passwords_file)
        yield from _tried("ocpp.passwords_file", "station-id:password lines", load)
    for index, cpo in enumerate(config.cpos):
        if cpo.ca or cpo.certificate:
            yield from _cpo_problems(config, cpo, f"cpos[{index}]", base_dir)
        if cpo.own.password_file:
            load_own = partial(own_authorization, cpo.own, base_dir)
            yield from _tried(f"cpos[{index}].own.password_file", "a readable file", load_own)
    for index, station in enumerate(config.stations):
        if station.csms_password_file:
            load_text = partial((base_dir / station.csms_password_file).read_text, encoding="utf-8")
            yield from _tried(f"stations[{index}].csms_password_file", "a readable file", load_text)


_BELONG = "certificate, private_key and CA in PEM that belong together"


def _cpo_problems(config: DgmConfig, cpo: CpoConfig, path: str, base_dir: Path) -> Iterator[Problem]:
    """Of one certificate for all, or of one for each station of the CPO."""
    is_each = STATION in cpo.certificate + cpo.private_key
    names = [one.id for one in config.stations if one.cpo == cpo.id] if is_each else [""]
    if is_each and cpo.HasField("own"):
        names.append(cpo.own.id)
    for name in names:
        yield from _tried(path, _BELONG, partial(_north_context, cpo, name, base_dir))


def _passwords(file: Path) -> dict[str, str]:
    return parse_passwords(file.read_text(encoding="utf-8"))


def own_authorization(own: OwnIdentityConfig, base_dir: Path) -> str | None:
    """The Authorization header that the gateway shows a CSMS for itself; None: site.yaml names no password."""
    if not own.password_file:
        return None
    return basic_header(own.id, (base_dir / own.password_file).read_text(encoding="utf-8").strip())


def own_tls(cpo: CpoConfig, base_dir: Path) -> ssl.SSLContext | None:
    """The TLS context of the gateway's own connection; None: a plain one."""
    url = cpo.own.url or cpo.url
    return _north_context(cpo, cpo.own.id, base_dir) if url.startswith("wss:") else None


def _tried(path: str, expected: str, load: Callable[[], object]) -> Iterator[Problem]:
    try:
        load()
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", None) or (error.strerror if isinstance(error, OSError) else None)
        name = getattr(error, "filename", None)
        found = f"{name}: {reason or error}" if name else str(reason or error)
        yield Problem(path=path, found=found[:300], expected=expected)
