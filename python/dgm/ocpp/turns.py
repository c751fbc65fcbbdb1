"""The CALLs of ours: whose turn it is on the lane, what was sent, and who gets the answer.

    Evse.next, Desk.next ──> Turns.next ──> send ──> answered, timed_out ──> Evse, Desk

Safety first, then the EVSEs in turn, then what no EVSE needs.
"""

from __future__ import annotations

from collections.abc import Callable

from dgm.machine import Now
from dgm.ocpp import frame
from dgm.ocpp.begin import Begin
from dgm.ocpp.desk import Desk
from dgm.ocpp.events import Direction, Effect, Leg, Passed, Reason, Send
from dgm.ocpp.evse import Evse
from dgm.ocpp.excepted import ours
from dgm.ocpp.frame import Head, Kind
from dgm.ocpp.relay import Lane, OwnCall, OwnIds, Step
from dgm.ocpp.store import StationMemory

DESK_STEPS = (Step.CLEAN, Step.PROBE)


class Turns:
    """Of one station."""

    def __init__(
        self, desk: Desk, memory: StationMemory, lane: Lane, *, ids: Callable[[], str], own_ids: OwnIds
    ) -> None:
        self._desk, self._memory, self._lane = desk, memory, lane
        self._ids, self._own_ids = ids, own_ids
        self._evses = desk.evses
        self._open: tuple[Evse, OwnCall] | None = None
        self._turn = 0

    def clear(self) -> None:
        """The connection is lost, and the open CALL with it."""
        self._open = None

    def next(self, begin: Begin, now: Now) -> tuple[Evse, OwnCall] | int | None:
        """The CALL of the EVSE that needs one, or when to ask again."""
        if not begin.is_started:
            return begin.at_ms
        calls: list[tuple[Evse, OwnCall]] = []
        wake_ms: list[int] = []
        for evse in (*self._evses[self._turn :], *self._evses[: self._turn]):
            found = evse.next(now)
            if isinstance(found, OwnCall):
                calls.append((evse, found))
            elif found is not None:
                wake_ms.append(found)
        other = None if calls else self._desk.next()
        if other is not None:
            return self._evses[0], other
        if calls:
            return next((pair for pair in calls if pair[1].safety), calls[0])
        return min(wake_ms, default=None)

    def send(self, evse: Evse, call: OwnCall, now: Now) -> list[Effect]:
        """Put a CALL of `next` on the lane, which is free."""
        message_id = self._ids()
        action, payload = evse.place.to_wire(call.action, call.payload)
        raw = frame.call(message_id, action, payload)
        self._own_ids.put(message_id, now)
        self._lane.send(message_id=message_id, action=action, own=True, now=now)
        self._open = (evse, call)
        self._turn = (self._evses.index(evse) + 1) % len(self._evses)
        head = Head(kind=Kind.CALL, id=message_id, action=action)
        effects: list[Effect] = [Send(leg=Leg.SOUTH, raw=raw, relayed=False)]
        effects.append(ours(self._memory, Reason.OWN_CALL, Direction.SOUTH, head, raw))
        return effects if call.step in DESK_STEPS else effects + evse.sent(call, message_id, now)

    def answered(self, event: Passed, now: Now) -> list[Effect]:
        """The station answered the open CALL."""
        evse, call = self._taken()
        if call.step is Step.CLEAN:
            return []
        payload, error = None, ""
        if event.head.kind is Kind.RESULT:
            payload = frame.payload_of(event.raw)
        else:
            error = frame.error_text(event.raw)
        if call.step is Step.PROBE:
            return self._desk.probed(payload, now)
        effects = evse.answered(call, payload, error=error, message_id=event.head.id, now=now)
        return effects + self._desk.learned(effects, now)

    def timed_out(self, message_id: str, now: Now) -> list[Effect]:
        """The station did not."""
        evse, call = self._taken()
        if call.step is Step.CLEAN:
            return []
        if call.step is Step.PROBE:
            return self._desk.probed(None, now)
        effects = evse.timed_out(call, message_id, now)
        return effects + self._desk.learned(effects, now)

    def _taken(self) -> tuple[Evse, OwnCall]:
        assert self._open is not None, "an own CALL was in flight"
        found, self._open = self._open, None
        return found
