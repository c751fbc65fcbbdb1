"""The limits of the machine: put, aged, sent to the core, listed for watchers.

    PutLimit, DeleteLimit, time ──> LimitBook ──Change──> SendLimits (at once) ──> Keep, Forget ──> PublishLimits
    caps of the policies ────────────────────────────────────^

The core is told first, so that a tightening waits for no disk; then the journal, which every reply waits for.
"""

from __future__ import annotations

from collections import deque

from dgm.api.core.v1.core_pb2 import Decision, LimitSet
from dgm.api.ems.v1.ems_pb2 import DeleteLimitRequest, DeleteLimitResponse, LimitStatus, PutLimitRequest
from dgm.ems.events import Effect, PublishLimits, Reply, SendLimits
from dgm.ems.limit_status import Seen, ended_status, limit_status
from dgm.ems.limits import Change, Entry, LimitBook
from dgm.ems.stack import Stack
from dgm.machine import Now
from dgm.site.refusal import Refusal
from dgm.site.state import SiteState

ENDED_MAX = 64
"""Ended limits still listed, so that a watcher sees them end."""

ENDED_MS = 60_000
"""How long an ended limit is listed."""


class LimitDesk:
    """The limits of sources (`book`) and the caps of policies (`stack.book`) as one set for the core and one list."""

    def __init__(self, state: SiteState, stack: Stack, *, epoch: int) -> None:
        self.book = LimitBook(state.topology)
        self.wake_ms: int | None = None
        self._state = state
        self._stack = stack
        self._epoch = epoch
        self._sequence = 0
        self._ended: deque[tuple[int, Entry]] = deque(maxlen=ENDED_MAX)
        self._listed: list[LimitStatus] = []

    def restore(self, records: dict[str, bytes], now: Now) -> Change:
        """Take over the journal; the change is to be handed to `changed` once the policies have been asked."""
        return self.book.restore(records, now)

    def put(self, request: PutLimitRequest, decision: Decision | None, now: Now) -> list[Effect]:
        """Accept or replace a limit."""
        aged = self.advance(decision, now)
        answer = self.book.put(request, now)
        if isinstance(answer, Refusal):
            return [*aged, Reply(message=answer)]
        entry, change = answer
        return [*aged, *self.changed(change, decision, now), Reply(message=entry.reply())]

    def delete(self, request: DeleteLimitRequest, decision: Decision | None, now: Now) -> list[Effect]:
        """Remove a limit of the same source."""
        change = self.book.delete(request.id, request.source)
        if isinstance(change, Refusal):
            return [Reply(message=change)]
        if change is None:
            return [Reply(message=DeleteLimitResponse(existed=False))]
        return [*self.changed(change, decision, now), Reply(message=DeleteLimitResponse(existed=True))]

    def advance(self, decision: Decision | None, now: Now) -> list[Effect]:
        """Start what is due, end what is over."""
        return self.changed(self.book.advance(now), decision, now)

    def changed(self, change: Change, decision: Decision | None, now: Now, *, always: bool = False) -> list[Effect]:
        """What follows a change of the book. always: the core is told though nothing changed."""
        self.wake_ms = self.book.wake_time(now)
        self._ended.extend((now.mono_ms, entry) for entry in change.ended)
        if not change.journal and not always:
            return []
        return [self.send(now), *change.journal, *self.listed(decision, now)]

    def caps(self, now: Now) -> list[Effect]:
        """After a run of the policies: their caps for the core, where it must be told."""
        self._ended.extend((now.mono_ms, entry) for entry in self._stack.take_ended())
        return [self.send(now)] if self._stack.is_due(now) else []

    def send(self, now: Now) -> SendLimits:
        """All that is in force, for the core."""
        self._sequence += 1
        active = [*self.book.active(now), *self._stack.active(now)]
        limits = LimitSet(epoch=self._epoch, sequence=self._sequence, limits=active)
        return SendLimits(limits=limits.SerializeToString())

    def listed(self, decision: Decision | None, now: Now) -> list[Effect]:
        """PublishLimits where anything but time and measurements has changed in the list."""
        listed = [_without_time(status) for status in self.statuses(decision, now)]
        if listed == self._listed:
            return []
        self._listed = listed
        return [PublishLimits()]

    def statuses(self, decision: Decision | None, now: Now) -> list[LimitStatus]:
        """Status of every limit put, then of those that ended within the last minute."""
        entries = (*self.book.entries(), *self._stack.book.entries())
        seen = Seen(self._state, now)
        held = [limit_status(entry, decision, seen) for entry in entries]
        known = {status.limit.id for status in held}
        recent = [entry for at_ms, entry in self._ended if now.mono_ms - at_ms < ENDED_MS]
        return held + [ended_status(entry) for entry in recent if entry.limit.id not in known]


def _without_time(status: LimitStatus) -> LimitStatus:
    """What a watcher is told of at once; time and measurements pass by themselves."""
    return LimitStatus(limit=status.limit, state=status.state, shortfall_w=status.shortfall_w)
