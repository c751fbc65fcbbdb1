"""CALLs of a CSMS that do not go to the station as they are: refused, given up, or with another transaction id.

    CALL ──> answer of ours (Send north), entries of the closed list

A CALL that was changed on its way (a start without its profile, another id) is listed as the CSMS wrote it when it
comes, so that what becomes of the changed one is listed as ours or not at all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from dgm.ocpp import frame, guarded
from dgm.ocpp.desk import Desk
from dgm.ocpp.events import Direction, Effect, Excepted, Later, Leg, Passed, Reason, Send
from dgm.ocpp.excepted import kept, ours
from dgm.ocpp.frame import Head, Payload
from dgm.ocpp.store import StationMemory


class Refusals:
    """Of one station."""

    def __init__(self, desk: Desk, memory: StationMemory) -> None:
        self._desk, self._memory = desk, memory
        self._renumbered: set[str] = set()

    def clear(self) -> None:
        """The CSMS is lost: nothing waits any more."""
        self._renumbered.clear()

    def refuse(self, reason: Reason, head: Head, raw: bytes, why: str) -> list[Effect]:
        """Answered with CALLERROR."""
        answer = frame.error(head.id, code="GenericError", description=why)
        return [
            Send(leg=Leg.NORTH, raw=answer, relayed=False),
            *self.given_up(reason, head, raw),
            ours(self._memory, Reason.LOCAL_ERROR, Direction.NORTH, head, answer),
        ]

    def given_up(self, reason: Reason, head: Head, raw: bytes) -> list[Effect]:
        """It will not go to the station."""
        is_listed = self._desk.is_rewritten(head) or head.id in self._renumbered
        self._renumbered.discard(head.id)
        return [] if is_listed else [kept(self._memory, reason, head, raw)]

    def repointing(self, head: Head, raw: bytes, payload: Payload | None) -> list[Effect]:
        """It would move the station off us."""
        answer = frame.result(head.id, guarded.refusal(head.action, payload))
        return [
            Send(leg=Leg.NORTH, raw=answer, relayed=False),
            kept(self._memory, Reason.REPOINTING, head, raw),
            ours(self._memory, Reason.LOCAL_REFUSAL, Direction.NORTH, head, answer),
        ]

    def renumber(self, head: Head, raw: bytes) -> list[Effect]:
        """It goes to the station with another transaction id; raw: as the CSMS wrote it."""
        self._renumbered.add(head.id)
        return [kept(self._memory, Reason.OTHER_ID, head, raw)]

    def changed(self, head: Head, raw: bytes) -> list[Effect] | None:
        """The effects of sending a CALL that is not as the CSMS wrote it; None: it is."""
        if self._desk.is_rewritten(head):
            sent = Send(leg=Leg.SOUTH, raw=raw, relayed=False)
            return [sent, ours(self._memory, Reason.START_REWRITTEN, Direction.SOUTH, head, raw)]
        if head.id not in self._renumbered:
            return None
        self._renumbered.discard(head.id)
        return [
            Send(leg=Leg.SOUTH, raw=raw, relayed=False),
            ours(self._memory, Reason.OTHER_ID_SENT, Direction.SOUTH, head, raw),
            Later(event=Passed(origin=Leg.NORTH, head=head, raw=raw, action=head.action)),
        ]


def listed_as(effects: Sequence[Effect], changed: bytes, original: bytes) -> list[Effect]:
    """The closed list names a frame as its peer wrote it."""
    return [
        replace(effect, raw=original) if isinstance(effect, Excepted) and effect.raw == changed else effect
        for effect in effects
    ]
