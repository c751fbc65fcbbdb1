"""What third-party EMSs have written to the facade, as orders: complete, with a lease, and with a name behind each.

    (unit, address, value, age, peer, role) ──Written.take──> CapOrder · TotalOrder · Alive · Released · Ended

The server has refused what is out of range, incomplete, too frequent, of the wrong role or not newer. Here the values
of one write are joined, and two masters at one point are told apart: the last one wins, and that it did is an order of
its own (Contended). Puts nothing in force: `orders` of the facade's shell does.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass

from dgm.ocpp.models import EVSE_MODEL, SITE_MODEL
from dgm.ocpp.registers import EVSE_UNITS, MODEL_AT, SITE_UNIT, Model

SOURCE = "ems-facade"
"""Kind of source of every limit that was written here."""

CLIENT_CHARS_MAX = 60

Write = tuple[int, int, int, int, str | None, str | None]
"""(unit, address, value, age_ms, peer, role); peer None: the lease ended and the value fell back."""


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """The lease of a group ran out. index: of the EVSE; None: of the site."""

    group: str
    index: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Contended:
    """A client wrote over what another one, still connected, holds. Names the group, the EVSE and both."""

    group: str
    index: int | None
    held_by: str
    taken_by: str


Order = CapOrder | TotalOrder | Alive | Released | Ended | Contended


@dataclass(slots=True, kw_only=True)
class _Held:
    """Newest values of one group, and whose they are."""

    values: dict[str, int]
    peer: str | None = None


class Written:
    """Joins values to orders. evses: how many there are."""

    def __init__(self, evses: int) -> None:
        self._evses = evses
        self._held: dict[tuple[str, int | None], _Held] = {}
        self._named = {model.name: _named(model) for model in (SITE_MODEL, EVSE_MODEL)}

    def take(self, writes: Iterable[Write], *, connected: Collection[str]) -> list[Order]:
        """Orders in the order of the writes. connected: peers that are connected now."""
        return [order for write in writes for order in self._one(write, connected)]

    def _one(self, write: Write, connected: Collection[str]) -> Iterator[Order]:
        unit, address, value, age_ms, peer, role = write
        index, model, offset = _located(unit, address)
        found = self._named[model.name].get(offset)
        if found is None or (index is not None and index >= self._evses):
            return
        group, name, is_last = found
        if group == "":  # the only value that stands alone
            yield Released(client=client_of(peer, role))
            return
        held = self._held.setdefault((group, index), _Held(values={}))
        held.values[name] = value
        if not is_last:
            return
        if peer is None:
            held.peer = None
            yield Ended(group=group, index=index)
            return
        if held.peer not in (None, peer) and held.peer in connected:
            yield Contended(group=group, index=index, held_by=str(held.peer), taken_by=peer)
        held.peer = peer
        order = _order(group, index, held.values, age_ms, client_of(peer, role))
        if order is not None:
            yield order


def _located(unit: int, address: int) -> tuple[int | None, Model, int]:
    """EVSE index (None: the site), its model, offset in it."""
    if unit == SITE_UNIT:
        return None, SITE_MODEL, address - MODEL_AT
    slot, offset = divmod(address - MODEL_AT, EVSE_MODEL.size)
    return slot * EVSE_UNITS + unit - SITE_UNIT - 1, EVSE_MODEL, offset


def _named(model: Model) -> dict[int, tuple[str, str, bool]]:
    """Offset -> (group or "", point, whether it is the last of its group) of everything that can be written."""
    groups = {name: group for group in model.groups for name in group.points}
    found = {}
    for point in model.points:
        if point.write is not None:
            group = groups.get(point.name)
            is_last = group is None or group.points[-1] == point.name
            found[model.offsets[point.name]] = (group.name if group else "", point.name, is_last)
    return found


def _order(group: str, index: int | None, values: dict[str, int], age_ms: int, client: str) -> Order | None:
    """None: its lease was over before it was seen, or a value is missing."""
    model = SITE_MODEL if index is None else EVSE_MODEL
    lease = next(item.lease for item in model.groups if item.name == group)
    ttl_ms = values.get(lease, 0) * 1000 - age_ms
    if ttl_ms <= 0:
        return None
    asked = {name: None if value == model.point(name).kind.absent else value for name, value in values.items()}
    if index is not None:
        return CapOrder(
            index=index,
            client=client,
            sequence=values["sequence"],
            cap_ma=asked["cap_ma"],
            cap_w=asked["cap_w"],
            weight=asked["priority"],
            may_pause=asked["may_pause"] != 0,
            ttl_ms=ttl_ms,
        )
    if group == "total":
        return TotalOrder(client=client, sequence=values["total_sequence"], cap_w=asked["total_cap_w"], ttl_ms=ttl_ms)
    return Alive(client=client, ttl_ms=ttl_ms)


def client_of(peer: str | None, role: str | None) -> str:
    """Who a client is over its connections: the role of its certificate, or its address without the port."""
    found = role or (peer or "").rpartition(":")[0].strip("[]") or "unknown"
    return re.sub(r"[^A-Za-z0-9._:@+-]", "_", found)[:CLIENT_CHARS_MAX]


def source_of(client: str) -> str:
    """Source of the limits of a client."""
    return f"{SOURCE}:{client}"
