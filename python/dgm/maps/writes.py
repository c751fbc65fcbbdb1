"""What clients have written to a facade, put together again: whole groups, with a lease and a name behind each.

    (unit, address, value, age, peer, role) ──Joined.take──> GroupWritten · PointWritten · Ended · Contended

The server has refused what is out of range, incomplete, too frequent, of the wrong role or not newer. Here the values
of one write are joined, and two clients at one group are told apart: the last one wins, and that it did is told too.
What a group means is for each facade to say.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass

from dgm.maps.table import Model

CLIENT_CHARS_MAX = 60

Write = tuple[int, int, int, int, str | None, str | None]
"""(unit, address, value, age_ms, peer, role); peer None: the lease ended and the value fell back."""

Located = tuple[int | None, Model, int]
"""Which of several models (None: it is the only one), the model, registers from its start."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupWritten:
    """A whole group. asked: by point, None: nothing is asked. ttl_ms: left of its lease, > 0; None: it has none."""

    group: str
    index: int | None
    client: str
    asked: Mapping[str, int | None]
    ttl_ms: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PointWritten:
    """A value that stands alone."""

    name: str
    index: int | None
    client: str
    value: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """The lease of a group, or of a value that stands alone, ran out."""

    group: str
    index: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Contended:
    """A client wrote over what another one, still connected, holds. Names the group, which of them, and both."""

    group: str
    index: int | None
    held_by: str
    taken_by: str


Found = GroupWritten | PointWritten | Ended | Contended


@dataclass(slots=True, kw_only=True)
class _Held:
    """Newest values of one group, and whose they are."""

    values: dict[str, int]
    peer: str | None = None


class Joined:
    """Joins values. models: all that can be written to. locate: of (unit, address); None: nothing stands there."""

    def __init__(self, models: Iterable[Model], locate: Callable[[int, int], Located | None]) -> None:
        self._locate = locate
        self._held: dict[tuple[str, int | None], _Held] = {}
        self._named = {model.name: _named(model) for model in models}

    def take(self, writes: Iterable[Write], *, connected: Collection[str]) -> list[Found]:
        """What was written, in order. connected: peers that are connected now."""
        return [found for write in writes for found in self._one(write, connected)]

    def _one(self, write: Write, connected: Collection[str]) -> Iterator[Found]:
        unit, address, value, age_ms, peer, role = write
        located = self._locate(unit, address)
        if located is None:
            return
        index, model, offset = located
        named = self._named[model.name].get(offset)
        if named is None:
            return
        group, name, is_last = named
        if group == "":
            yield _alone(name, index, value, client_of(peer, role), is_ended=peer is None)
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
        found = _whole(group, index, model, held.values, age_ms, client_of(peer, role))
        if found is not None:
            yield found


def _alone(name: str, index: int | None, value: int, client: str, *, is_ended: bool) -> Found:
    if is_ended:
        return Ended(group=name, index=index)
    return PointWritten(name=name, index=index, client=client, value=value)


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


def _whole(
    name: str, index: int | None, model: Model, values: Mapping[str, int], age_ms: int, client: str
) -> GroupWritten | None:
    """None: its lease was over before it was seen."""
    group = next(item for item in model.groups if item.name == name)
    ttl_ms = values.get(group.lease, 0) * 1000 - age_ms if group.lease else None
    if ttl_ms is not None and ttl_ms <= 0:
        return None
    asked = {point: None if value == model.point(point).kind.absent else value for point, value in values.items()}
    return GroupWritten(group=name, index=index, client=client, asked=asked, ttl_ms=ttl_ms)


def client_of(peer: str | None, role: str | None) -> str:
    """Who a client is over its connections: the role of its certificate, or its address without the port."""
    found = role or (peer or "").rpartition(":")[0].strip("[]") or "unknown"
    return re.sub(r"[^A-Za-z0-9._:@+-]", "_", found)[:CLIENT_CHARS_MAX]
