"""One bounded look for utility servers by DNS-SD, over multicast or a resolver.

    PTR? ──UDP──> answers for LOOK_S ──> what is missing? ──UDP──> ... at most ROUNDS times ──> offers

local: mDNS (224.0.0.251), site: xmDNS (ff05::fb); any other domain goes to the machine's resolvers. One socket a look,
with an unpredictable port and number; nothing stays open, nothing is cached. Answers that were cut short (TC) are used
as far as they go.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import socket
from collections.abc import Sequence
from pathlib import Path

from dgm.der.codec.dns import MESSAGE_BYTES_MAX, question, records
from dgm.der.offers import Missing, Offer, Record, Type, missing, offers, service_of
from dgm.errors import PeerError

LOOK_S = 1.0
"""How long answers to one round of questions are collected."""
ROUNDS = 3
MESSAGES_MAX = 64
"""Messages read in one round."""
MDNS_PORT, DNS_PORT = 5353, 53
GROUPS = {"local": ("224.0.0.251", MDNS_PORT), "site": ("ff05::fb", MDNS_PORT)}
RESOLVERS_FILE = Path("/etc/resolv.conf")
RESOLVERS_MAX = 3

Address = tuple[str, int]


async def find(domain: str, *, server: Address | None = None, only_host: str = "") -> list[Offer]:
    """Usable offers, the best first; empty when nobody answers. OSError: no network."""
    plain = domain.strip(".").lower()
    is_multicast = plain in GROUPS
    servers = [server] if server is not None else [GROUPS[plain]] if is_multicast else resolvers()
    known: list[Record] = []
    wanted = [Missing(name=service_of(plain), type=Type.PTR)]
    for _ in range(ROUNDS):
        known += await _ask(servers, wanted, is_multicast=is_multicast)
        wanted = missing(known, plain, wants_addresses=is_multicast)
        if not wanted:
            break
    return offers(known, plain, only_host=only_host)


def resolvers(file: Path = RESOLVERS_FILE) -> list[Address]:
    """The machine's own resolvers. OSError: there is no such file."""
    lines = (line.split() for line in file.read_text(encoding="utf-8", errors="replace").splitlines())
    named = [words[1] for words in lines if len(words) > 1 and words[0] == "nameserver"]
    return [(name, DNS_PORT) for name in named[:RESOLVERS_MAX]]


async def _ask(servers: Sequence[Address], wanted: Sequence[Missing], *, is_multicast: bool) -> list[Record]:
    """Every record that came to one round of questions."""
    loop, found = asyncio.get_running_loop(), list[Record]()
    for address in servers:
        family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        number = secrets.randbelow(2**16)
        with socket.socket(family, socket.SOCK_DGRAM) as sender:
            sender.setblocking(False)
            for item in wanted:
                sender.sendto(question(item.name, item.type, number, wants_unicast=is_multicast), address)
            enough = 1 if is_multicast else len(wanted)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_S):
                    for count in range(1, MESSAGES_MAX + 1):
                        message, peer = await loop.sock_recvfrom(sender, MESSAGE_BYTES_MAX)
                        if is_multicast or peer[0] == address[0]:
                            found += _understood(message, number)
                        if not is_multicast and count >= enough:
                            break
        if found:
            break
    return found


def _understood(message: bytes, number: int) -> list[Record]:
    try:
        return records(message, number)
    except PeerError:
        return []
