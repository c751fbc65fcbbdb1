"""The LimitBook: every limit that was put, which of them are in force, and how each ends.

    PutLimit ──> [PENDING] ──start──> [IN FORCE] ──ttl over──┬─ no failsafe stated: END, gone by rule
                     └── no start ────────^                  └─ failsafe stated: LOST, its failsafe bound holds until
                                                                the source puts the limit again or deletes it

END and LOST are told apart by what the source stated. A limit with an end and no failsafe is a schedule: its source
meant it to be over then (a DERControl, a profile of a CPO). A limit with a failsafe is a heartbeat: its source meant to
renew it, so reaching the end means silence. A limit without ttl_ms holds until deleted and cannot be lost.

Clocks: a lease lasts exactly ttl_ms of the monotonic clock. A start comes when either clock says so, the earlier wins.
Over a restart only UTC is left: what remains is the journaled end less now, never more than one ttl_ms, and what was in
force or lost stays so. The journaled ends are written anew when UTC is stepped: a step while the role runs extends
nothing.

Pure; the limits of the configuration are not here, they are in the core from its start.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import Enum

from google.protobuf.message import DecodeError

from dgm.api.core.v1.core_pb2 import ActiveLimit
from dgm.api.ems.v1.ems_pb2 import Limit, PutLimitRequest, PutLimitResponse
from dgm.ems.limit_rules import SOURCES, bound_of, check_limit, clamped, failsafe_of, out_of_range
from dgm.errors import DgmError
from dgm.machine import Now
from dgm.site.refusal import Reason, Refusal
from dgm.site.topology import Topology

JOURNAL_TABLE = "limit"

LIMITS_MAX = 4096
"""Limits held at once, all sources together; a put beyond it is refused."""

START_AHEAD_MS_MAX = 31 * 86_400_000
"""A start further ahead is refused: it is a schedule to be kept by its source, or a wrong clock."""

UTC_STEP_MS_MIN = 2000
"""UTC moving against the monotonic clock by this much is a step, not drift."""


class Stage(Enum):
    """Where a limit is in its life. One that has ended by rule is not in the book."""

    PENDING = "pending"
    IN_FORCE = "in_force"
    LOST = "lost"


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One limit of the book.

    limit: as accepted. start_ms: monotonic start (planned while PENDING). end_ms: monotonic end, None: no end.
    end_utc_ms: the same in UTC as foreseen at the put, for people and for the journal.
    """

    limit: Limit
    stage: Stage
    start_ms: int
    end_ms: int | None
    end_utc_ms: int | None
    request_id: str
    asked: bytes
    clamp_reasons: tuple[str, ...]

    @property
    def bound(self) -> int:
        """W or mA in force: the failsafe once the limit is LOST."""
        lost = failsafe_of(self.limit) if self.stage is Stage.LOST else None
        return bound_of(self.limit) if lost is None else lost

    def remaining_ms(self, now: Now) -> int | None:
        """Lease left (from now, or of the whole lease while PENDING); None: no end."""
        if self.end_ms is None or self.stage is Stage.LOST:
            return None
        return max(0, self.end_ms - max(now.mono_ms, self.start_ms))

    def reply(self) -> PutLimitResponse:
        """What PutLimit answers."""
        return PutLimitResponse(limit=self.limit, clamp_reasons=self.clamp_reasons, end_utc_ms=self.end_utc_ms)


@dataclass(frozen=True, slots=True, kw_only=True)
class Keep:
    """Journal effect: store a record durably, of a limit unless `table` says otherwise."""

    id: str
    record: bytes
    table: str = JOURNAL_TABLE


@dataclass(frozen=True, slots=True, kw_only=True)
class Forget:
    """Journal effect: the limit (or record of another table) is no longer known."""

    id: str
    table: str = JOURNAL_TABLE


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What an operation did: journal effects in order, and limits that ended with it."""

    journal: tuple[Keep | Forget, ...] = ()
    ended: tuple[Entry, ...] = ()


class LimitBook:
    """Every limit put by a source, by id. `now` never runs backwards on the monotonic clock."""

    def __init__(self, topology: Topology, sources: Sequence[str] = SOURCES) -> None:
        self._topology = topology
        self._sources = sources
        self._entries: dict[str, Entry] = {}
        self._utc_less_mono_ms: int | None = None

    def entries(self) -> Iterator[Entry]:
        """All limits by id, pending and lost ones included."""
        return (self._entries[key] for key in sorted(self._entries))

    def get(self, limit_id: str) -> Entry | None:
        """The limit of that id, None when there is none."""
        return self._entries.get(limit_id)

    def put(self, request: PutLimitRequest, now: Now) -> tuple[Entry, Change] | Refusal:
        """Accept or replace a limit. A retry (same request_id, same body) changes nothing: its lease goes on.

        The journal effects must be durable before the reply is sent.
        """
        asked = request.limit
        refusal = check_limit(asked, self._topology, self._sources) or self._check_place(asked)
        if refusal is not None:
            return refusal
        held = self._entries.get(asked.id)
        body = asked.SerializeToString(deterministic=True)
        if held is not None and request.request_id and held.request_id == request.request_id:
            if held.asked == body:
                return held, Change()
            return Refusal(
                reason=Reason.REQUEST_REUSED,
                message=f"request_id {request.request_id!r} was used for another body of limit {asked.id!r}",
                field="request_id",
            )
        entry = _scheduled(asked, request.request_id, body, now)
        if isinstance(entry, Refusal):
            return entry
        self._entries[asked.id] = entry
        return entry, Change(journal=(Keep(id=asked.id, record=record_of(entry)),))

    def delete(self, limit_id: str, source: str) -> Change | Refusal | None:
        """Remove a limit of this source, lost ones too; None: there is none of that id."""
        held = self._entries.get(limit_id)
        if held is None:
            return None
        if held.limit.source != source:
            return _not_owner(limit_id, held.limit.source)
        del self._entries[limit_id]
        return Change(journal=(Forget(id=limit_id),), ended=(held,))

    def advance(self, now: Now) -> Change:
        """Start what is due, end what is over. Nothing due: an empty Change."""
        journal: list[Keep | Forget] = []
        ended: list[Entry] = []
        for limit_id, entry in list(self._entries.items()):
            after = _aged(entry, now)
            if after is None:
                del self._entries[limit_id]
                journal.append(Forget(id=limit_id))
                ended.append(entry)
            elif after is not entry:
                self._entries[limit_id] = after
                journal.append(Keep(id=limit_id, record=record_of(after)))
        return Change(journal=(*journal, *self._follow_utc(now)), ended=tuple(ended))

    def restore(self, records: dict[str, bytes], now: Now) -> Change:
        """Take over the journal at the start of the role: all that is still in force holds before the first tick.

        DgmError: the journal holds something this program did not write; nothing is guessed.
        """
        for limit_id, record in records.items():
            try:
                self._entries[limit_id] = entry_of(record, now)
            except (ValueError, KeyError, TypeError, DecodeError) as error:
                raise DgmError(
                    f"journal, limit {limit_id!r}: {error!r}; expected a record written by this program; "
                    "move the journal of the ems role away to start without the limits put so far"
                ) from error
        return self.advance(now)

    def active(self, now: Now) -> list[ActiveLimit]:
        """What is in force now, for the core. Pending limits are not in it."""
        held = (entry for entry in self.entries() if entry.stage is not Stage.PENDING)
        return [active for entry in held for active in self._actives(entry, now)]

    def wake_time(self, now: Now) -> int | None:
        """Monotonic ms of the next start or end, None when nothing is scheduled."""
        return min((time for entry in self._entries.values() for time in _wakes(entry, now)), default=None)

    def _actives(self, entry: Entry, now: Now) -> Iterator[ActiveLimit]:
        """The core knows limits of circuits and of single assets: one on each EVSE becomes one for each."""
        active, circuit = self._active(entry, now), self._topology.circuit(entry.limit.circuit_id)
        if not entry.limit.each_evse or circuit is None:
            yield active
            return
        active.ClearField("circuit_index")
        for asset in (found for found in self._topology.below(circuit.index) if found.is_evse):
            own = ActiveLimit()
            own.CopyFrom(active)
            own.asset_index = asset.index
            if entry.stage is Stage.LOST:
                own.bound = min(active.bound, asset.fallback_ma)
            if active.HasField("failsafe_bound"):
                own.failsafe_bound = min(active.failsafe_bound, asset.fallback_ma)
            yield own

    def _active(self, entry: Entry, now: Now) -> ActiveLimit:
        limit, lost = entry.limit, entry.stage is Stage.LOST
        failsafe = failsafe_of(limit)
        circuit = self._topology.circuit(limit.circuit_id) if limit.circuit_id else None
        asset = self._topology.asset(limit.asset_id) if limit.asset_id else None
        ramped = bool(limit.ramp_ms) and not lost
        return ActiveLimit(
            id=limit.id,
            source=limit.source,
            circuit_index=None if circuit is None else circuit.index,
            asset_index=None if asset is None else asset.index,
            quantity=limit.quantity,
            bound=entry.bound,
            ttl_ms=entry.remaining_ms(now),
            failsafe_bound=None if lost else failsafe,
            ends_by_rule=entry.end_ms is not None and failsafe is None,
            ramp_ms=limit.ramp_ms if ramped else 0,
            ramp_elapsed_ms=min(limit.ramp_ms, max(0, now.mono_ms - entry.start_ms)) if ramped else 0,
        )

    def _follow_utc(self, now: Now) -> Iterator[Keep]:
        """Journal the ends of leases anew when UTC was stepped: after a restart they are all that is known."""
        offset_ms = now.utc_ms - now.mono_ms
        if self._utc_less_mono_ms is None:
            self._utc_less_mono_ms = offset_ms
        if abs(offset_ms - self._utc_less_mono_ms) < UTC_STEP_MS_MIN:
            return
        self._utc_less_mono_ms = offset_ms
        for limit_id, entry in self._entries.items():
            if entry.stage is Stage.IN_FORCE and entry.end_ms is not None:
                moved = replace(entry, end_utc_ms=entry.end_ms + offset_ms)
                self._entries[limit_id] = moved
                yield Keep(id=limit_id, record=record_of(moved))

    def _check_place(self, limit: Limit) -> Refusal | None:
        held = self._entries.get(limit.id)
        if held is not None and held.limit.source != limit.source:
            return _not_owner(limit.id, held.limit.source)
        if held is None and len(self._entries) >= LIMITS_MAX:
            return Refusal(reason=Reason.TOO_MANY, message=f"{LIMITS_MAX} limits are held already; delete one first")
        return None


def _scheduled(asked: Limit, request_id: str, body: bytes, now: Now) -> Entry | Refusal:
    accepted, reasons = clamped(asked)
    start_utc_ms = accepted.start_utc_ms if accepted.HasField("start_utc_ms") else now.utc_ms
    wait_ms = start_utc_ms - now.utc_ms
    if wait_ms > START_AHEAD_MS_MAX:
        return out_of_range("limit.start_utc_ms", start_utc_ms, f"at most {START_AHEAD_MS_MAX} ms ahead")
    start_ms = now.mono_ms + wait_ms
    end_ms = start_ms + accepted.ttl_ms if accepted.HasField("ttl_ms") else None
    if end_ms is not None and end_ms <= now.mono_ms:
        message = f"the interval ended {now.mono_ms - end_ms} ms ago by this machine's clock"
        return Refusal(reason=Reason.ALREADY_OVER, message=message, field="limit.start_utc_ms")
    return Entry(
        limit=accepted,
        stage=Stage.PENDING if wait_ms > 0 else Stage.IN_FORCE,
        start_ms=start_ms,
        end_ms=end_ms,
        end_utc_ms=start_utc_ms + accepted.ttl_ms if end_ms is not None else None,
        request_id=request_id,
        asked=body,
        clamp_reasons=tuple(reasons),
    )


def _aged(entry: Entry, now: Now) -> Entry | None:
    """The entry at `now`; None: ended by rule; the same object: nothing changed."""
    if entry.stage is Stage.PENDING:
        due = now.mono_ms >= entry.start_ms or now.utc_ms >= entry.limit.start_utc_ms
        return _started(entry, now) if due else entry
    if entry.stage is Stage.LOST or entry.end_ms is None or now.mono_ms < entry.end_ms:
        return entry
    return None if failsafe_of(entry.limit) is None else replace(entry, stage=Stage.LOST)


def _started(entry: Entry, now: Now) -> Entry | None:
    start_ms = min(entry.start_ms, now.mono_ms)
    end_ms = start_ms + entry.limit.ttl_ms if entry.end_ms is not None else None
    end_utc_ms = now.utc_ms + end_ms - now.mono_ms if end_ms is not None else None
    return _aged(replace(entry, stage=Stage.IN_FORCE, start_ms=start_ms, end_ms=end_ms, end_utc_ms=end_utc_ms), now)


def _wakes(entry: Entry, now: Now) -> Iterable[int]:
    match entry.stage:
        case Stage.PENDING:
            return (min(entry.start_ms, now.mono_ms + max(0, entry.limit.start_utc_ms - now.utc_ms)),)
        case Stage.IN_FORCE:
            return () if entry.end_ms is None else (entry.end_ms,)
        case Stage.LOST:
            return ()


def record_of(entry: Entry) -> bytes:
    """Journal form of an entry: JSON, the two messages in base64."""
    return json.dumps(
        {
            "limit": base64.b64encode(entry.limit.SerializeToString(deterministic=True)).decode(),
            "asked": base64.b64encode(entry.asked).decode(),
            "stage": entry.stage.value,
            "end_utc_ms": entry.end_utc_ms,
            "request_id": entry.request_id,
            "clamp_reasons": list(entry.clamp_reasons),
        },
        sort_keys=True,
    ).encode()


def entry_of(record: bytes, now: Now) -> Entry:
    """An entry from its journal form, its times worked out by UTC on the new monotonic clock."""
    found = json.loads(record)
    limit = Limit.FromString(base64.b64decode(found["limit"], validate=True))
    stage, end_utc_ms = Stage(found["stage"]), found["end_utc_ms"]
    start_ms, end_ms = _restored_times(limit, stage, end_utc_ms, now)
    return Entry(
        limit=limit,
        stage=stage,
        start_ms=start_ms,
        end_ms=end_ms,
        end_utc_ms=end_utc_ms,
        request_id=str(found["request_id"]),
        asked=base64.b64decode(found["asked"], validate=True),
        clamp_reasons=tuple(str(reason) for reason in found["clamp_reasons"]),
    )


def _restored_times(limit: Limit, stage: Stage, end_utc_ms: int | None, now: Now) -> tuple[int, int | None]:
    """Monotonic start and end. A lease in force never gets more than one ttl_ms, whatever UTC says."""
    if stage is Stage.PENDING:
        start_ms = now.mono_ms + min(limit.start_utc_ms - now.utc_ms, START_AHEAD_MS_MAX)
        return start_ms, None if end_utc_ms is None else start_ms + limit.ttl_ms
    if end_utc_ms is not None:
        end_ms = now.mono_ms + min(end_utc_ms - now.utc_ms, limit.ttl_ms)
        return end_ms - limit.ttl_ms, end_ms
    if limit.HasField("start_utc_ms"):
        return now.mono_ms - max(0, now.utc_ms - limit.start_utc_ms), None
    # When it was put is not recorded: a ramp of that time is over, the bound is in force in full.
    return now.mono_ms - limit.ramp_ms, None


def _not_owner(limit_id: str, owner: str) -> Refusal:
    message = f"limit {limit_id!r} belongs to {owner!r}; a source changes and deletes only its own"
    return Refusal(reason=Reason.NOT_OWNER, message=message, field="source")
