"""The part of a session that has to do with a CSMS that is away: `outage` in the session's own effects.

    CALL of the station ──> take ──> answered, stored or left ──> Send, WriteBooks, Close, each of the closed list
    relayed CALLs, answers ──> what is learnt for the next outage; transaction ids changed on the way

policy strict without anything left in the books has no Outage, and all of this is skipped.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import assert_never

from dgm.machine import Now
from dgm.ocpp import frame
from dgm.ocpp.events import Close, Direction, Effect, Leg, Passed, Reason, Send, WriteBooks
from dgm.ocpp.excepted import kept, ours
from dgm.ocpp.frame import Head
from dgm.ocpp.outage import HangUp, Kept, Outage, OutageEffect, ToCsms, ToStation
from dgm.ocpp.outage_rules import TO_STATION, WITH_TRANSACTION, Policy
from dgm.ocpp.store import StationMemory
from dgm.ocpp.witness import ANSWER_READ, Witness


class StandIn:
    """See the module. outage: None, there is nothing to do."""

    def __init__(self, outage: Outage | None, memory: StationMemory, witness: Witness) -> None:
        self.outage = outage
        self._memory, self._witness = memory, witness

    @property
    def keeps_station(self) -> bool:
        """The station's leg is open without its CSMS."""
        return self.outage is not None and self.outage.policy is not Policy.STRICT

    @property
    def is_plain(self) -> bool:
        """Frames may be passed on at a glance."""
        return self.outage is None or self.outage.is_plain

    def wake_time(self) -> int | None:
        """Monotonic ms of the next deadline."""
        return None if self.outage is None else self.outage.wake_time()

    # CALLs of the station.

    def answers(self, head: Head, raw: bytes) -> bool:
        """This CALL is for `take`."""
        return self.outage is not None and self.outage.answers(head, raw)

    def take(self, head: Head, raw: bytes, now: Now) -> list[Effect]:
        """Deal with a CALL of the station in the place of its CSMS; then it is read as any other."""
        assert self.outage is not None, "it answers"
        event = Passed(origin=Leg.SOUTH, head=head, raw=raw, action=head.action)
        # Read before it is answered: the answer may say more (a transaction's id, an accepted boot).
        seen = self._witness.station_call(event, now, is_passed=False)
        return seen + self.carry(self.outage.station_call(head, raw, now), now)

    def relayed(self, head: Head, raw: bytes, now: Now) -> list[Effect]:
        """A CALL of the station has gone to the CSMS."""
        return [] if self.outage is None else self.carry(self.outage.relayed(head, raw, now), now)

    def renumbered(self, leg: Leg, head: Head, raw: bytes) -> bytes:
        """A CALL for `leg`, with the transaction id that is known there."""
        if self.outage is None or head.action not in (WITH_TRANSACTION if leg is Leg.NORTH else TO_STATION):
            return raw
        ledger = self.outage.ledger
        return ledger.to_csms(head.action, raw) if leg is Leg.NORTH else ledger.to_station(head.action, raw)

    def changed(self, leg: Leg, head: Head, raw: bytes, sent: bytes) -> list[Effect]:
        """That CALL in its two forms, for the closed list."""
        direction = Direction.NORTH if leg is Leg.NORTH else Direction.SOUTH
        return [
            kept(self._memory, Reason.OTHER_ID, head, raw),
            ours(self._memory, Reason.OTHER_ID_SENT, direction, head, sent),
        ]

    # Frames of the CSMS.

    def is_ours(self, message_id: str) -> bool:
        """An answer to what we replayed."""
        return self.outage is not None and self.outage.is_ours(message_id)

    def replayed(self, head: Head, raw: bytes, now: Now) -> list[Effect]:
        """The CSMS's answer to what we replayed."""
        assert self.outage is not None, "it was ours"
        effects: list[Effect] = [kept(self._memory, Reason.REPLAY_ANSWER, head, raw)]
        return effects + self.carry(self.outage.replayed(head, raw, now), now)

    def answered(self, head: Head, raw: bytes, now: Now) -> list[Effect]:
        """The CSMS answered a CALL that was passed on."""
        return [] if self.outage is None else self.carry(self.outage.answered(head, raw, now), now)

    # Legs, time, the disk.

    def csms_back(self, now: Now) -> list[Effect]:
        """Both legs are open."""
        return [] if self.outage is None else self.carry(self.outage.csms_back(now), now)

    def csms_lost(self, now: Now) -> list[Effect]:
        """The CSMS is gone."""
        return [] if self.outage is None else self.carry(self.outage.csms_lost(now), now)

    def station_lost(self) -> None:
        """The station is gone."""
        if self.outage is not None:
            self.outage.station_lost()

    def tick(self, now: Now) -> list[Effect]:
        """Time went by."""
        wake_ms = self.wake_time()
        if self.outage is None or wake_ms is None or wake_ms > now.mono_ms:
            return []
        return self.carry(self.outage.tick(now), now)

    def written(self, token: int, now: Now, *, is_good: bool) -> list[Effect]:
        """The disk has taken changes, or not."""
        return [] if self.outage is None else self.carry(self.outage.kept(token, now, is_good=is_good), now)

    def carry(self, found: Sequence[OutageEffect], now: Now) -> list[Effect]:
        """The session's effects of an outage's."""
        effects: list[Effect] = []
        for effect in found:
            match effect:
                case WriteBooks():
                    effects.append(effect)
                case Kept():
                    effects.append(kept(self._memory, effect.reason, effect.head, effect.raw))
                case ToStation():
                    effects += self._to_station(effect, now)
                case ToCsms():
                    effects.append(Send(leg=Leg.NORTH, raw=effect.raw, relayed=False))
                    effects.append(ours(self._memory, Reason.REPLAYED, Direction.NORTH, effect.head, effect.raw))
                case HangUp():
                    effects.append(Close(leg=Leg.SOUTH, reason=effect.reason))
                case _:
                    assert_never(effect)
        return effects

    def _to_station(self, effect: ToStation, now: Now) -> list[Effect]:
        head = effect.head
        if head.action in ANSWER_READ:
            self._witness.answered(head.action, head.id, frame.payload_of(effect.raw) or {}, now, is_ours=True)
        sent = Send(leg=Leg.SOUTH, raw=effect.raw, relayed=False)
        return [sent, ours(self._memory, Reason.STOOD_IN_ANSWER, Direction.SOUTH, head, effect.raw)]
