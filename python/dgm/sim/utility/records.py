"""What the client did, as the server saw it: every exchange, and what of it can be told by a number.

Times are UTC ms of the world, not of the server's (possibly shifted) clock.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

EXCHANGES_MAX = 200_000
"""Further ones are counted by `requests` only."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """A request. lfdi: of the certificate that came with it; empty: none. accept, media_type: headers; None: unseen."""

    method: str
    path: str
    query: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    lfdi: str = ""
    accept: str | None = None
    media_type: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """An answer."""

    status: int
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Push:
    """A notification to be posted to the client."""

    uri: str
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """One request and how it was answered. name: of the resource; "gone NAME" for an href it has left."""

    at_ms: int
    method: str
    path: str
    name: str
    is_first_page: bool
    status: int
    body: str = ""


@dataclass(slots=True, kw_only=True)
class Records:
    """What the client did."""

    exchanges: list[Exchange] = field(default_factory=list)
    responses: list[dict[str, Any]] = field(default_factory=list)
    readings: list[dict[str, Any]] = field(default_factory=list)
    puts: dict[str, str] = field(default_factory=dict)
    mirrors: dict[str, str] = field(default_factory=dict)
    devices: list[str] = field(default_factory=list)
    log_events: list[str] = field(default_factory=list)
    reservations: list[str] = field(default_factory=list)
    logged: list[dict[str, Any]] = field(default_factory=list)
    """LogEvents as values."""
    requested: list[dict[str, Any]] = field(default_factory=list)
    """Reservation requests as values, and what became of them by PUT."""
    requests: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)
    notified: int = 0

    def add(self, exchange: Exchange) -> None:
        """Remember an exchange."""
        if len(self.exchanges) < EXCHANGES_MAX:
            self.exchanges.append(exchange)
        self.requests[f"{exchange.method} {exchange.name} {exchange.status}"] += 1

    def gets(self, name: str) -> list[Exchange]:
        """Answered GETs of a resource, first pages only."""
        return [
            item
            for item in self.exchanges
            if item.method == "GET" and item.name == name and item.is_first_page and item.status == 200
        ]
