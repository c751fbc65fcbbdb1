"""One station: both legs, the lane between them, and our own dealings with its EVSEs. OCPP 1.6, 2.0.1, 2.1. Sans-IO.

    FrameIn ──> scan ──> Send (byte-equal), Later(Passed) ──> Passed ──> witness, wipe check, lane ──> more effects
    pass_on ──> a glance at the head: pass (and Copied later), or FrameIn

A frame costs its relay one scan, most only a glance; all else happens after it has gone. Answers and SENDs go at once
in both directions, station CALLs go north at once, CALLs towards the station share the lane. The end of the station's
leg closes the other one; the end of the CSMS's closes the station's in policy strict, else `stand_in` takes over. Our
own CALLs need the station only.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import assert_never

from dgm.api.ocpp.v1 import ocpp_pb2
from dgm.api.ocpp.v1.evse_model_pb2 import EvseModel
from dgm.machine import Now, Tick
from dgm.ocpp import der_control, frame, guarded
from dgm.ocpp.begin import Begin
from dgm.ocpp.desk import Desk
from dgm.ocpp.events import (
    BooksWritten,
    Close,
    Copied,
    Counted,
    DerSeen,
    Direction,
    Effect,
    Event,
    FrameIn,
    Glance,
    Later,
    Leg,
    LegDown,
    LegUp,
    Outcome,
    Passed,
    Reason,
    Sampled,
    Send,
    SetpointIn,
)
from dgm.ocpp.excepted import kept, ours
from dgm.ocpp.frame import Head, Kind, Payload, Unreadable
from dgm.ocpp.messages import station_message
from dgm.ocpp.outage import Outage
from dgm.ocpp.refusals import Refusals, listed_as
from dgm.ocpp.relay import CALL_GRACE_MS, Lane, OwnIds, PendingCalls, Waiting
from dgm.ocpp.stand_in import StandIn
from dgm.ocpp.store import StationMemory, StationSettings
from dgm.ocpp.turns import Turns
from dgm.ocpp.version import Version, version_of
from dgm.ocpp.witness import ANSWER_READ, IsValid, Witness

DECODED_SOON = frozenset(
    {b"MeterValues", b"TransactionEvent", b"NotifyEvent", b"NotifyReport", b"NotifyEVChargingNeeds"}
    | {action.encode() for action in der_control.TOLD}
)
"""CALLs of the station whose copies may wait a moment: many, and they only tell what is."""

DECIDED_AT_ONCE = frozenset(
    {b"BootNotification", b"StartTransaction", b"StatusNotification", b"StopTransaction", b"SignCertificate"}
)

MAX_LOCAL_ANSWERS = 16
"""Answers of ours that a CALLRESULTERROR may still come for."""

MAX_ORPHANS = 16
"""CALLs of a CSMS that was lost before the station answered."""


def _unchecked(_version: Version, _action: str, _payload: Payload) -> bool:
    return True


class Session:
    """The machine of one station.

    ids: gives a fresh id for every CALL of ours. is_valid: whether a payload keeps to its schema, for a counter.
    stored: bodies of `Keep` of an earlier life, by name. models: what is known of models of stations. outage: what
    stands in for a CSMS that is away; None, policy strict.
    """

    def __init__(
        self,
        evses: Sequence[StationSettings],
        ids: Callable[[], str],
        is_valid: IsValid = _unchecked,
        *,
        stored: Mapping[str, bytes] | None = None,
        models: Sequence[EvseModel] = (),
        outage: Outage | None = None,
    ) -> None:
        self.settings = evses[0]
        self.memory = StationMemory()
        self._own_ids = OwnIds()
        self.desk = Desk(evses, self.memory, ids=ids, own_ids=self._own_ids, stored=stored or {}, models=models)
        self.evses = self.desk.evses
        self._begin = Begin()
        version = self.settings.assumed_version
        self._witness = Witness(
            self.desk, self.memory, self._begin, version=version, is_valid=is_valid, stored=stored or {}
        )
        self._stand_in = StandIn(outage, self.memory, self._witness)
        self.outage = outage
        self._lane = Lane(call_timeout_ms=self.settings.call_timeout_ms)
        self._turns = Turns(self.desk, self.memory, self._lane, ids=ids, own_ids=self._own_ids)
        self._pending = PendingCalls()
        self._local_answers: deque[str] = deque(maxlen=MAX_LOCAL_ANSWERS)
        self._orphans: deque[str] = deque(maxlen=MAX_ORPHANS)
        self._refusals = Refusals(self.desk, self.memory)
        self._up: set[Leg] = set()
        self._own_wake_ms: int | None = None
        # What `pass_on` asks at every frame; it changes by events alone, and `handle` asks anew after each.
        self._may_glance, self._is_expecting, self._has_real_ids = False, False, False
        self._own_sent, self._counters = self._own_ids.sent, self.memory.counters

    @property
    def version(self) -> Version:
        """Of the station's connection."""
        return self._witness.version

    @property
    def is_up(self) -> bool:
        """The station is connected and under our control."""
        return Leg.SOUTH in self._up and (Leg.NORTH in self._up or self._stand_in.keeps_station)

    @property
    def has_csms(self) -> bool:
        """Its CSMS is connected too."""
        return len(self._up) == 2

    @property
    def keeps_station(self) -> bool:
        """The station may be connected without its CSMS."""
        return self._stand_in.keeps_station

    def wake_time(self) -> int | None:
        """Monotonic ms of the next deadline."""
        times = (self._lane.wake_time(), self._own_wake_ms, self.desk.wake_time(), self._stand_in.wake_time())
        return min((at for at in times if at is not None), default=None)

    def handle(self, event: Event, now: Now) -> list[Effect]:
        """Take one event; the effects are to be carried out in order."""
        effects = self._handle(event, now)
        self._may_glance = (
            self.has_csms
            and not self._pending
            and not self.desk.awaits_answer
            and self._begin.is_started
            and self._stand_in.is_plain
        )
        self._is_expecting = any([evse.readings.is_expecting for evse in self.evses])
        self._has_real_ids = self.outage is not None and self.outage.books.has_real_ids
        return effects

    def _handle(self, event: Event, now: Now) -> list[Effect]:
        match event:
            case FrameIn():
                return self._frame_in(event, now)
            case Passed():
                return self._passed(event, now) + self._pump(now)
            case Copied():
                return self._copied(event, now)
            case SetpointIn():
                return self._setpoint(event, now) + self._pump(now)
            case BooksWritten():
                return self._stand_in.written(event.token, now, is_good=event.is_good) + self._pump(now)
            case Tick():
                return self._expire(now)
            case LegUp():
                return self._leg_up(event, now)
            case LegDown():
                return self._leg_down(event.leg, now)
            case _:
                assert_never(event)

    def _setpoint(self, event: SetpointIn, now: Now) -> list[Effect]:
        named = (evse for evse in self.evses if event.asset_id in ("", evse.settings.asset_id))
        evse = next(named, None)
        return [] if evse is None else [*evse.enforcer.setpoint(event, now)]

    # First half of a frame: where it goes.

    def pass_on(self, leg: Leg, raw: bytes) -> Glance:
        """The short cut: what a frame in plain spelling needs when nobody waits for anything it could be.

        It never decides otherwise than `handle` would; what it is not sure of it leaves to it.
        """
        if not self._may_glance:
            return Glance.HANDLE
        outage = self.outage
        if leg is Leg.NORTH:
            answered = frame.plain_answer(raw)
            if answered is None or (answered_id := answered.decode()) in self._own_sent:
                return Glance.HANDLE
            if outage is not None and not outage.may_pass(answered_id, raw):
                return Glance.HANDLE
            self._counters.south += 1
            return Glance.PASS
        call = frame.plain_call(raw)
        if call is None or call[1] in DECIDED_AT_ONCE:
            return Glance.HANDLE
        message_id, action = call
        is_read = action in DECODED_SOON
        if is_read and (
            self._is_expecting or (self._has_real_ids and outage is not None and outage.ledger.names_provisional(raw))
        ):
            return Glance.HANDLE
        if outage is not None:
            outage.note(message_id.decode(), action.decode(), raw)
        self._counters.north += 1
        return Glance.COPY if is_read else Glance.PASS

    def _copied(self, event: Copied, now: Now) -> list[Effect]:
        if not self.is_up:
            return []
        call = frame.plain_call(event.raw)
        assert call is not None, "pass_on has seen its head"
        action = call[1].decode()
        effects: list[Effect] = []
        must_pump = action != "MeterValues"
        for seen in self._witness.observed(action, event.raw):
            # A reading only tells what is: a CALL of ours follows from it only when it shows that a clock is wrong.
            clocks = [evse.memory.is_clock_good for evse in self.evses]
            effects += self._witness.seen(seen, "", now)
            must_pump |= clocks != [evse.memory.is_clock_good for evse in self.evses]
        return effects + self._pump(now) if must_pump else effects

    def _frame_in(self, event: FrameIn, now: Now) -> list[Effect]:
        if not self.is_up:
            return []
        head = frame.scan(event.raw)
        if isinstance(head, Unreadable):
            return [Counted(name="bad_frame", detail=head.reason), *self._kept(Reason.UNREADABLE, None, event.raw)]
        if event.leg is Leg.SOUTH:
            return self._from_station(head, event.raw, now)
        return self._from_csms(head, event.raw, now)

    def _from_station(self, head: Head, raw: bytes, now: Now) -> list[Effect]:
        match head.kind:
            case Kind.CALL:
                if self._witness.claiming(head.action, raw, now):
                    return self._claimed(head, raw)
                if self._stand_in.answers(head, raw):
                    return self._stand_in.take(head, raw, now) + self._pump(now)
                return self._call_north(head, raw, now)
            case Kind.RESULT | Kind.ERROR:
                return self._station_answer(head, raw, now)
            case Kind.RESULT_ERROR if head.id in self._local_answers:
                return self._kept(Reason.OWN_RESULT_ERROR, head, raw)
            case _:
                return self._relay(Leg.SOUTH, head, raw, head.action) if self.has_csms else self._away(head, raw)

    def _call_north(self, head: Head, raw: bytes, now: Now) -> list[Effect]:
        sent = self._stand_in.renumbered(Leg.NORTH, head, raw)
        is_known = self._remember(head, now)
        if sent == raw:
            effects = self._relay(Leg.SOUTH, head, raw, head.action)
        else:
            effects = [Send(leg=Leg.NORTH, raw=sent, relayed=False)]
            effects += self._stand_in.changed(Leg.NORTH, head, raw, sent)
            effects.append(Later(event=Passed(origin=Leg.SOUTH, head=head, raw=raw, action=head.action)))
        if not is_known:
            effects.append(Counted(name="pending_full"))
        return effects + self._stand_in.relayed(head, raw, now)

    def _station_answer(self, head: Head, raw: bytes, now: Now) -> list[Effect]:
        if head.id not in self._own_ids:
            call = self._lane.answered(head.id, own=False)
            action = call.action if call else ""
            if self.has_csms and head.id not in self._orphans:
                return self._relay(Leg.SOUTH, head, raw, action)
            passed = Passed(origin=Leg.SOUTH, head=head, raw=raw, action=action)
            return [*self._away(head, raw, action), Later(event=passed)]
        answered = self._lane.answered(head.id, own=True)
        action = answered.action if answered else ""
        passed = Passed(origin=Leg.SOUTH, head=head, raw=raw, action=action, own=answered is not None)
        return [*self._kept(Reason.OWN_ANSWER, head, raw, action), Later(event=passed)]

    def _from_csms(self, head: Head, raw: bytes, now: Now) -> list[Effect]:
        match head.kind:
            case Kind.RESULT | Kind.ERROR if self._stand_in.is_ours(head.id):
                return self._stand_in.replayed(head, raw, now)
            case Kind.RESULT | Kind.ERROR if head.id in self._own_ids:
                return self.desk.report_answered(head, raw, now) + self._pump(now)
            case Kind.RESULT | Kind.ERROR:
                relayed = self._relay(Leg.NORTH, head, raw, self._pending.take(Leg.SOUTH, head.id))
                return relayed + self._stand_in.answered(head, raw, now)
            case Kind.RESULT_ERROR | Kind.SEND:
                return self._relay(Leg.NORTH, head, raw, "")
            case Kind.CALL:
                return self._csms_call(head, raw, now)
            case _:
                assert_never(head.kind)

    def _csms_call(self, head: Head, raw: bytes, now: Now) -> list[Effect]:
        if head.action in guarded.ACTIONS:
            payload = frame.payload_of(raw)
            if guarded.repoints(head.action, payload):
                return self._refusals.repointing(head, raw, payload)
        effects: list[Effect] = []
        sent = self._stand_in.renumbered(Leg.SOUTH, head, raw)
        is_other = sent != raw
        if self.desk.is_concerned(head.action):
            found, relayed = self.desk.take(head, sent, now)
            effects = listed_as(found, sent, raw) if is_other else found
            if relayed is None:
                return effects + self._pump(now)
            sent = relayed
        if is_other:
            effects += self._refusals.renumber(head, raw)
        if self._lane.is_free and not self._lane.has_waiting:
            return effects + self._send_csms(Waiting(head=head, raw=sent, since_ms=now.mono_ms), now)
        if self._lane.offer(head, sent, now):
            return effects
        return effects + self._refusals.refuse(Reason.LANE_FULL, head, raw, "the station has too many commands waiting")

    def _relay(self, origin: Leg, head: Head, raw: bytes, action: str) -> list[Effect]:
        to = Leg.NORTH if origin is Leg.SOUTH else Leg.SOUTH
        if to is Leg.NORTH:
            self.memory.counters.north += 1
        else:
            self.memory.counters.south += 1
        passed = Passed(origin=origin, head=head, raw=raw, action=action)
        return [Send(leg=to, raw=raw, relayed=True), Later(event=passed)]

    def _remember(self, head: Head, now: Now) -> bool:
        if head.action in ANSWER_READ:
            return self._pending.put(Leg.SOUTH, head, now)
        # The id now belongs to another CALL: its answer must not be taken for that of the one before.
        self._pending.take(Leg.SOUTH, head.id)
        return True

    def _claimed(self, head: Head, raw: bytes) -> list[Effect]:
        answer = frame.result(head.id, {})
        self._local_answers.append(head.id)
        return [
            Send(leg=Leg.SOUTH, raw=answer, relayed=False),
            *self._kept(Reason.TRIGGERED_READING, head, raw),
            self._ours(Reason.LOCAL_ANSWER, Direction.SOUTH, head, answer),
            Later(event=Passed(origin=Leg.SOUTH, head=head, raw=raw, action=head.action, claimed=True)),
        ]

    def _send_csms(self, waiting: Waiting, now: Now) -> list[Effect]:
        head = waiting.head
        self._lane.send(message_id=head.id, action=head.action, own=False, now=now)
        changed = self._refusals.changed(head, waiting.raw)
        return self._relay(Leg.NORTH, head, waiting.raw, head.action) if changed is None else changed

    def _kept(self, reason: Reason, head: Head | None, raw: bytes, action: str = "") -> list[Effect]:
        return [kept(self.memory, reason, head, raw, action)]

    def _away(self, head: Head, raw: bytes, action: str = "") -> list[Effect]:
        """For a CSMS that is not there, or not the one that asked."""
        return self._kept(Reason.CSMS_AWAY, head, raw, action)

    def _ours(self, reason: Reason, direction: Direction, head: Head, raw: bytes) -> Effect:
        return ours(self.memory, reason, direction, head, raw)

    # Second half: what it means.

    def _passed(self, event: Passed, now: Now) -> list[Effect]:
        if not self.is_up or event.head.kind in (Kind.SEND, Kind.RESULT_ERROR):
            return []
        is_call = event.head.kind is Kind.CALL
        if event.origin is Leg.SOUTH:
            if is_call:
                return self._witness.station_call(event, now)
            return self._turns.answered(event, now) if event.own else self._witness.station_answered(event, now)
        return self._witness.csms_call(event, now) if is_call else self._witness.csms_answer(event, now)

    # The lane, time and the legs.

    def _pump(self, now: Now) -> list[Effect]:
        """Give the free lane to whoever is next: safety, then CSMS and us in turn."""
        effects: list[Effect] = self.desk.sync(now)
        effects += [outcome for evse in self.evses for outcome in evse.enforcer.lapsed(now)]
        effects += self._drop_aged(now, grace_ms=CALL_GRACE_MS) + self.desk.next_report(now, is_up=self.has_csms)
        self._own_wake_ms = None
        if not self.is_up or not self._lane.is_free:
            return effects
        if self._begin.is_due(now):
            self._witness.start(now)
        own = self._turns.next(self._begin, now)
        is_next = not isinstance(own, int | None) and own[1].safety
        if not isinstance(own, int | None) and (is_next or not self._lane.has_waiting or self._lane.csms_had_turn):
            return effects + self._turns.send(*own, now)
        if self._lane.has_waiting:
            return effects + self._send_csms(self._lane.take(), now)
        self._own_wake_ms = own if isinstance(own, int) else None
        return effects

    def _expire(self, now: Now) -> list[Effect]:
        effects: list[Effect] = self._stand_in.tick(now)
        late = self._lane.timed_out(now)
        if late is not None and late.own:
            effects += self._turns.timed_out(late.id, now)
        # The CALL that waited behind a silent one goes before its own deadline is looked at.
        effects += self._pump(now)
        return effects + self._drop_aged(now, grace_ms=0)

    def _drop_aged(self, now: Now, *, grace_ms: int) -> list[Effect]:
        effects: list[Effect] = []
        for waiting in self._lane.expired(now, grace_ms=grace_ms):
            why = "the station did not answer an earlier command in time"
            effects += self._refusals.refuse(Reason.CALL_EXPIRED, waiting.head, waiting.raw, why)
        return effects

    def _leg_up(self, event: LegUp, now: Now) -> list[Effect]:
        was_up = self.is_up
        self._up.add(event.leg)
        if event.leg is Leg.SOUTH:
            self.memory.subprotocol = event.subprotocol
            self._witness.version = version_of(event.subprotocol, assumed=self.settings.assumed_version)
        if not self.is_up:
            return []
        effects = [] if was_up else self._station_up(now)
        if self.has_csms:
            effects += self.desk.csms_back(now)
            effects += self._stand_in.csms_back(now)
        return effects + self._pump(now)

    def _station_up(self, now: Now) -> list[Effect]:
        self._begin.connected(now, waits_for_boot=self.desk.quirks.waits_for_boot)
        effects: list[Effect] = self.desk.connected(self.version, now)
        for evse in self.evses:
            effects += evse.connected(self.version, now)
        return effects

    def _leg_down(self, leg: Leg, now: Now) -> list[Effect]:
        was_up, had_csms = self.is_up, self.has_csms
        self._up.discard(leg)
        if not was_up:
            return []
        if leg is Leg.SOUTH:
            self._stand_in.station_lost()
        effects: list[Effect] = []
        if had_csms:
            effects += self._csms_lost(now)
        if self.is_up:
            return effects + self._pump(now)
        self._orphans.clear()
        self._lane.clear()
        self._turns.clear()
        self._own_wake_ms = None
        effects += self.desk.disconnected(now)
        for evse in self.evses:
            effects += evse.disconnected(now)
        return effects + [Close(leg=other, reason=f"{leg.value} leg lost") for other in self._up]

    def _csms_lost(self, now: Now) -> list[Effect]:
        """What the CSMS wanted is not delivered any more; what it was told and did not answer is dealt with."""
        effects: list[Effect] = []
        for waiting in self._lane.drop_waiting():
            effects += self._refusals.given_up(Reason.LEG_LOST, waiting.head, waiting.raw)
        call = self._lane.outstanding
        if call is not None and not call.own:
            self._orphans.append(call.id)
        self._pending.clear()
        self._refusals.clear()
        self._witness.csms_lost()
        self.desk.csms_lost(now)
        return effects + self._stand_in.csms_lost(now)

    # For people, the facade and a restarted ems role.

    def standing(self, now: Now) -> list[Sampled | Outcome | DerSeen]:
        """Where each EVSE stands now."""
        reports = (report for evse in self.evses for report in evse.standing(now, is_up=self.is_up))
        return [*self._witness.ders(), *reports]

    def describe(self, now: Now) -> ocpp_pb2.Station:
        """The station as the OCPP service shows it."""
        return station_message(
            self.settings,
            self.memory,
            self.desk,
            south=Leg.SOUTH in self._up,
            north=Leg.NORTH in self._up,
            evses=[evse.describe(now, is_up=self.is_up) for evse in self.evses],
        )
