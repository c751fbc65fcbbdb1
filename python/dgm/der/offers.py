"""What DNS-SD answers say of utility servers (S18 ch. 7): which offers may be used, and where they lead.

    PTR _smartenergy._tcp.<domain> ──> instance ──SRV──> host       ──A, AAAA──> addresses
                                               └──TXT──> https port, path of the DeviceCapability

Anybody on the network can answer. An offer only says where to try: who the server is its certificate has to say, and
with a host name in site.yaml no other host is tried at all. Pure: from records to offers.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum

SERVICE = "_smartenergy._tcp"
OFFERS_MAX = 16
TEXT_VERSION = b"txtvers=1"
HTTPS_PORT = 443
HOST = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*")
PATH = re.compile(r"/[!-~]*")


class Type(IntEnum):
    """Types of records that are read."""

    A = 1
    PTR = 12
    TXT = 16
    AAAA = 28
    SRV = 33


@dataclass(frozen=True, slots=True, kw_only=True)
class Srv:
    """Where a service is. port: for DNS-SD of IEEE 2030.5 that of plain HTTP."""

    priority: int
    weight: int
    port: int
    target: str


Value = str | Srv | tuple[bytes, ...]
"""PTR: a name; A, AAAA: an address; SRV; TXT: its strings."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One record; name in lower case, without the dot at its end."""

    name: str
    type: Type
    value: Value


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """One server. url: of its DeviceCapability. addresses: of its host; empty: the machine's resolver knows it."""

    url: str
    host: str
    addresses: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Missing:
    """What has to be asked for still: a record of a name."""

    name: str
    type: Type


def offers(records: Iterable[Record], domain: str, *, only_host: str = "") -> list[Offer]:
    """Usable offers: by priority, then by weight, then by name. only_host: of that host alone; empty: of any."""
    known = list(records)
    found: list[tuple[int, int, str, Offer]] = []
    for instance in _instances(known, domain):
        srv, text = _srv(known, instance), _text(known, instance)
        place = None if srv is None or text is None else _place(text)
        if srv is None or place is None or not HOST.fullmatch(srv.target):
            continue
        if only_host and srv.target != only_host.lower().rstrip("."):
            continue
        port, path = place
        offer = Offer(
            url=f"https://{srv.target}{'' if port == HTTPS_PORT else f':{port}'}{path}",
            host=srv.target,
            addresses=_addresses(known, srv.target),
        )
        found.append((srv.priority, -srv.weight, instance, offer))
    return [offer for *_, offer in sorted(found, key=lambda item: item[:3])]


def missing(records: Iterable[Record], domain: str, *, wants_addresses: bool) -> list[Missing]:
    """What the instances lack that are told of. Addresses are asked for where the machine cannot resolve the host."""
    known = list(records)
    found: list[Missing] = []
    for instance in _instances(known, domain):
        srv = _srv(known, instance)
        if srv is None:
            found.append(Missing(name=instance, type=Type.SRV))
        elif wants_addresses and not any(_is_address(item, srv.target) for item in known):
            found.append(Missing(name=srv.target, type=Type.A))
        if _text(known, instance) is None:
            found.append(Missing(name=instance, type=Type.TXT))
    return found


def service_of(domain: str) -> str:
    """The name whose PTR records are asked for."""
    return f"{SERVICE}.{domain.strip('.').lower()}"


def _instances(known: Sequence[Record], domain: str) -> list[str]:
    service = service_of(domain)
    named = [item.value for item in known if item.type is Type.PTR and item.name == service]
    # An instance is below its service: an answer may not lead out of the domain that was asked.
    own = [name for name in named if isinstance(name, str) and name.endswith("." + service)]
    return list(dict.fromkeys(own))[:OFFERS_MAX]


def _srv(known: Sequence[Record], name: str) -> Srv | None:
    return next((item.value for item in known if item.name == name and isinstance(item.value, Srv)), None)


def _text(known: Sequence[Record], name: str) -> tuple[bytes, ...] | None:
    return next((item.value for item in known if item.name == name and isinstance(item.value, tuple)), None)


def _is_address(item: Record, host: str) -> bool:
    return item.type in (Type.A, Type.AAAA) and item.name == host


def _addresses(known: Sequence[Record], host: str) -> tuple[str, ...]:
    return tuple(item.value for item in known if _is_address(item, host) and isinstance(item.value, str))


def _place(text: tuple[bytes, ...]) -> tuple[int, str] | None:
    """TLS port and path. None: another version of the text, no path, or a server without TLS, which is not talked to.

    The port of the SRV record is that of plain HTTP; that of TLS stands in the text.
    """
    if not text or text[0].lower() != TEXT_VERSION:
        return None
    values: dict[bytes, bytes] = {}
    for entry in text[1:]:
        key, _, value = entry.partition(b"=")
        values.setdefault(key.lower(), value)
    path = values.get(b"dcap", b"").decode("ascii", errors="replace")
    port = values.get(b"https")
    if port is None or not PATH.fullmatch(path) or path.startswith("//"):
        return None
    if not port:
        return HTTPS_PORT, path
    return (int(port), path) if port.isdigit() and len(port) <= 5 and 0 < int(port) <= 65_535 else None
