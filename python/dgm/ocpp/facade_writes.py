"""What third-party EMSs have written to the facade, as orders: complete, with a lease, and with a name behind each.

    (unit, address, value, age, peer, role) ──Written──> CapOrder · TotalOrder · Alive · Released · Ended · Contended

Whole groups come from dgm/maps/writes.py; here they get their meaning. Puts nothing in force: `orders` of the facade's
shell does.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import assert_never

from dgm.maps.table import MODEL_AT
from dgm.maps.writes import Contended, Ended, Found, GroupWritten, Joined, Located, PointWritten, Write
from dgm.ocpp.models import EVSE_MODEL, SITE_MODEL
from dgm.ocpp.registers import EVSE_UNITS, SITE_UNIT

SOURCE = "ems-facade"
"""Kind of source of every limit that was written here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CapOrder:
    """One EVSE's cap. index: of the EVSE. None: nothing is asked. ttl_ms: left of the lease, > 0."""

    index: int
    client: str
    sequence: int
    cap_ma: int | None
    cap_w: int | None
    weight: int | None
    may_pause: bool
    ttl_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TotalOrder:
    """Cap of all EVSEs together. None: nothing is asked."""

    client: str
    sequence: int
    cap_w: int | None
    ttl_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Alive:
    """A heartbeat, and for how long it counts."""

    client: str
    ttl_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Released:
    """Everything written ends; DGM is in control."""

    client: str


Order = CapOrder | TotalOrder | Alive | Released | Ended | Contended


class Written:
    """Turns what was written into orders. evses: how many there are."""

    def __init__(self, evses: int) -> None:
        self._evses = evses
        self._joined = Joined((SITE_MODEL, EVSE_MODEL), self._located)

    def take(self, writes: Iterable[Write], *, connected: Collection[str]) -> list[Order]:
        """Orders in the order of the writes. connected: peers that are connected now."""
        return [_order(found) for found in self._joined.take(writes, connected=connected)]

    def _located(self, unit: int, address: int) -> Located | None:
        """EVSE index (None: the site), its model, offset in it."""
        if unit == SITE_UNIT:
            return None, SITE_MODEL, address - MODEL_AT
        slot, offset = divmod(address - MODEL_AT, EVSE_MODEL.size)
        index = slot * EVSE_UNITS + unit - SITE_UNIT - 1
        return (index, EVSE_MODEL, offset) if index < self._evses else None


def _order(found: Found) -> Order:
    match found:
        case GroupWritten():
            return _whole(found)
        case PointWritten():  # the only value that stands alone is the release
            return Released(client=found.client)
        case Ended() | Contended():
            return found
        case _:
            assert_never(found)


def _whole(found: GroupWritten) -> Order:
    asked, client = found.asked, found.client
    ttl_ms = found.ttl_ms
    assert ttl_ms is not None, "every group of this map has a lease"
    if found.index is not None:
        return CapOrder(
            index=found.index,
            client=client,
            sequence=asked["sequence"] or 0,
            cap_ma=asked["cap_ma"],
            cap_w=asked["cap_w"],
            weight=asked["priority"],
            may_pause=asked["may_pause"] != 0,
            ttl_ms=ttl_ms,
        )
    if found.group == "total":
        sequence = asked["total_sequence"] or 0
        return TotalOrder(client=client, sequence=sequence, cap_w=asked["total_cap_w"], ttl_ms=ttl_ms)
    return Alive(client=client, ttl_ms=ttl_ms)


def source_of(client: str) -> str:
    """Source of the limits of a client."""
    return f"{SOURCE}:{client}"
