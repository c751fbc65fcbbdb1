"""Runs the policies of a site in order of rank, and goes on without those that fail.

    Snapshot ──> policy 1, 2, 3 ... ──Targets, checked──> Steering (assets) + caps on circuits (a LimitBook of its own)
                    │ raises, is too slow, returns nonsense
                    └──> set aside for this cycle: its last good result holds to the end of its lease, then its circuit
                         caps are at their failsafe (gone where they have none) and the rest of it is gone

A cap on a circuit is a limit of source "policy:<name>": a lease that each good run renews, listed, explained and lost
as every other limit, but not journaled. A policy cannot be interrupted: one that never returns stops the cycle, and the
leases in the core run out by themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from dgm.api.core.v1.core_pb2 import ActiveLimit
from dgm.api.ems.v1.ems_pb2 import Limit, PutLimitRequest, Quantity
from dgm.api.ems.v1.policy_pb2 import PolicyStatus
from dgm.ems.limits import Change, Entry, LimitBook
from dgm.ems.policies import parameters
from dgm.ems.snapshot import Snapshot
from dgm.ems.steering import CircuitCap, Steering, Targets, combine, nonsense
from dgm.machine import Now
from dgm.site.refusal import Refusal
from dgm.site.topology import Topology

SOURCE = "policy"
"""Kind of the source of a cap on a circuit, before the ':'."""

LEASE_MS = 30_000
"""How long a result holds when its policy fails, unless the policy says otherwise."""

RENEW_MS = 10_000
"""The caps are sent to the core again at least this often, long before their leases end there."""

SLOW_US = 200_000
"""A run that takes longer is not used: it would not have been in time with many EVSEs and one slow policy."""

REST_MS_MIN = 5_000
REST_MS_MAX = 300_000
"""A slow policy is not asked again for a while, twice as long each time: its runs hold up everything else."""


class Aside(StrEnum):
    """Why a result is not used."""

    RAISED = "raised"
    SLOW = "slow"
    NONSENSE = "nonsense"


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """One policy: a pure function from a Snapshot to Targets, and the dataclass of its parameters.

    decide(snapshot, params): the same picture gives the same targets; what it must remember goes into Targets.memory
    and comes back in Snapshot.memory. lease_ms: how long its last good result may hold when it fails. keeps_promises:
    it gives cars what the capacity ledger has planned for them.
    """

    name: str
    title: str
    params: type
    decide: Callable[[Snapshot, Any], Targets]
    lease_ms: int = LEASE_MS
    keeps_promises: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """A policy as a site has it. label: its name, numbered where it is listed more than once."""

    label: str
    policy: Policy
    params: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyNews:
    """A policy has been set aside (why, detail), or is used again (why None)."""

    label: str
    why: Aside | None
    detail: str = ""


@dataclass(slots=True)
class Seat:
    """A chosen policy with what it said last."""

    chosen: Chosen
    memory: Any = None
    held: Targets | None = None
    end_ms: int = 0
    why: Aside | None = None
    detail: str = ""
    rest_ms: int = 0
    rests_until_ms: int = 0
    runs: int = 0
    duration_us: int = 0
    aside: dict[Aside, int] = field(default_factory=lambda: dict.fromkeys(Aside, 0))


class Stack:
    """The policies of a site. `stopwatch` gives microseconds of any monotonic clock; it only judges slowness."""

    def __init__(self, chosen: Sequence[Chosen], topology: Topology, stopwatch: Callable[[], int]) -> None:
        self.book = LimitBook(topology, sources=(SOURCE,))
        self.seats = [Seat(chosen=one) for one in chosen]
        self._topology = topology
        self._stopwatch = stopwatch
        self._news: list[PolicyNews] = []
        self._sent: list[ActiveLimit] = []
        self._sent_ms: int | None = None
        self._ended: list[Entry] = []

    def run(self, snapshot: Snapshot) -> Steering:
        """One cycle: every policy that does not rest sees the snapshot; what is then asked of the assets."""
        now = snapshot.now
        for seat in self.seats:
            if now.mono_ms >= seat.rests_until_ms:
                self._ask(seat, snapshot)
        self._ended.extend(self.book.advance(now).ended)
        held = [(seat.chosen.label, seat.held) for seat in self.seats if now.mono_ms < seat.end_ms]
        return combine((label, targets) for label, targets in held if targets is not None)

    def active(self, now: Now) -> list[ActiveLimit]:
        """The caps on circuits that are in force, for the core; remembered as sent."""
        self._sent, self._sent_ms = self.book.active(now), now.mono_ms
        return self._sent

    def is_due(self, now: Now) -> bool:
        """Whether the core must be told the caps: they changed, or their leases want renewal."""
        active = self.book.active(now)
        if [_timeless(one) for one in active] != [_timeless(one) for one in self._sent]:
            return True
        return bool(active) and (self._sent_ms is None or now.mono_ms - self._sent_ms >= RENEW_MS)

    def take_news(self) -> list[PolicyNews]:
        """Who was set aside or is used again since the last call."""
        news, self._news = self._news, []
        return news

    def take_ended(self) -> list[Entry]:
        """Caps that ended since the last call."""
        ended, self._ended = self._ended, []
        return ended

    def statuses(self, now: Now) -> Iterator[PolicyStatus]:
        """How each policy stands, in rank order."""
        for seat in self.seats:
            source = f"{SOURCE}:{seat.chosen.label}"
            in_force = seat.held is not None and now.mono_ms < seat.end_ms
            yield PolicyStatus(
                name=seat.chosen.label,
                title=seat.chosen.policy.title,
                parameters=parameters.values_of(seat.chosen.params),
                set_aside=seat.why is not None,
                reason="" if seat.why is None else f"{seat.why.value}: {seat.detail}",
                lease_ms=max(0, seat.end_ms - now.mono_ms),
                says=seat.held.sentences()[:SENTENCES_MAX] if in_force and seat.held is not None else (),
                caps=[entry.limit for entry in self.book.entries() if entry.limit.source == source],
            )

    def _ask(self, seat: Seat, snapshot: Snapshot) -> None:
        began_us = self._stopwatch()
        answer, why, detail = _answer(seat, snapshot, self._topology)
        seat.runs += 1
        seat.duration_us = self._stopwatch() - began_us
        if why is None and seat.duration_us > SLOW_US:
            why, detail = Aside.SLOW, f"took {seat.duration_us} us; expected at most {SLOW_US} us"
        if why is None and answer is not None:
            self._take(seat, answer, snapshot.now)
        elif why is not None:
            seat.aside[why] += 1
            if why is Aside.SLOW:
                seat.rest_ms = min(max(2 * seat.rest_ms, REST_MS_MIN), REST_MS_MAX)
                seat.rests_until_ms = snapshot.now.mono_ms + seat.rest_ms
        if why is not seat.why:
            self._news.append(PolicyNews(label=seat.chosen.label, why=why, detail=detail))
        seat.why, seat.detail = why, detail

    def _take(self, seat: Seat, targets: Targets, now: Now) -> None:
        seat.held, seat.memory, seat.rest_ms = targets, targets.memory, 0
        seat.end_ms = now.mono_ms + seat.chosen.policy.lease_ms
        source = f"{SOURCE}:{seat.chosen.label}"
        asked = [self._limit(cap, source, seat.chosen.policy.lease_ms) for cap in targets.circuit_caps]
        stated = {limit.id for limit in asked}
        gone = [
            one.limit.id for one in self.book.entries() if one.limit.source == source and one.limit.id not in stated
        ]
        for limit_id in gone:
            change = self.book.delete(limit_id, source)
            assert isinstance(change, Change), "it is in the book, and of this source"
            self._ended.extend(change.ended)
        for limit in asked:
            answer = self.book.put(PutLimitRequest(limit=limit), now)
            assert not isinstance(answer, Refusal), f"a checked cap was refused: {answer}"

    def _limit(self, cap: CircuitCap, source: str, lease_ms: int) -> Limit:
        limit = Limit(
            id=f"{source}:{cap.key}",
            source=source,
            circuit_id=self._topology.circuits[cap.circuit_index].id,
            quantity=cap.quantity,
            ttl_ms=lease_ms,
            ramp_ms=cap.ramp_ms,
            each_evse=cap.on_each_evse,
            reason=cap.why,
        )
        if cap.quantity == Quantity.QUANTITY_CURRENT:
            limit.current_ma = cap.bound
            if cap.failsafe is not None:
                limit.failsafe_current_ma = cap.failsafe
        else:
            limit.power_w = cap.bound
            if cap.failsafe is not None:
                limit.failsafe_power_w = cap.failsafe
        return limit


SENTENCES_MAX = 20
"""Reasons listed per policy: the first ones tell what it is about."""

DETAIL_LENGTH_MAX = 300


def _answer(seat: Seat, snapshot: Snapshot, topology: Topology) -> tuple[Targets | None, Aside | None, str]:
    chosen = seat.chosen
    try:
        answer = chosen.policy.decide(replace(snapshot, memory=seat.memory), chosen.params)
        found = nonsense(answer, topology, seat.held)
    except Exception as error:  # a policy is a guest: whatever it raises, the others go on
        return None, Aside.RAISED, f"{type(error).__name__}: {error}"[:DETAIL_LENGTH_MAX]
    return (answer, None, "") if found is None else (None, Aside.NONSENSE, found[:DETAIL_LENGTH_MAX])


def _timeless(active: ActiveLimit) -> tuple[object, ...]:
    """A cap without its remaining lease: what the core would do otherwise."""
    bounds = active.quantity, active.bound, active.failsafe_bound, active.ramp_ms
    return active.id, active.circuit_index, active.asset_index, *bounds
