"""One station: both legs, the lane between them, and our own dealings with its EVSEs. OCPP 1.6, 2.0.1, 2.1. Sans-IO.

    FrameIn ──> scan ──> Send (byte-equal), Later(Passed) ──> Passed ──> observe, wipe check, lane ──> more effects
    pass_on ──> a glance at the head: pass (and Copied later), or FrameIn

A frame costs its relay one scan, most only a glance; all else happens after it has gone. Answers and SENDs go at once
in both directions, station CALLs go north at once, CALLs towards the station share the lane. In policy strict the end
of one leg closes the other. Our own CALLs start when the station has an accepted boot on this connection, or shows that
it needs none: some drop the connection when commanded before.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import assert_never

from dgm.api.ocpp.v1 import ocpp_pb2
from dgm.api.ocpp.v1.evse_model_pb2 import EvseModel
from dgm.api.ocpp.v1.ocpp_pb2 import LinkState
from dgm.machine import Now, Tick
from dgm.ocpp import der_control, frame, guarded, observe_2x
from dgm.ocpp import observe as observe_16
from dgm.ocpp.desk import Desk
from dgm.ocpp.events import (
    Close,
    Copied,
    Counted,
    DerSeen,
    Direction,
    Effect,
    Event,
    FrameIn,
    Glance,
    Keep,
    Later,
    Leg,
    LegDown,
    LegUp,
    Outcome,
    Passed,
    PasswordTaken,
    Reason,
    Sampled,
    Send,
    SetpointIn,
)
from dgm.ocpp.evse import Evse
from dgm.ocpp.excepted import kept, ours
from dgm.ocpp.frame import Head, Kind, Payload, Unreadable
from dgm.ocpp.observe import (
    Booted,
    Breach,
    DerModes,
    DerTold,
    Metered,
    Observation,
    Socket,
    Starting,
    Status,
    Stopped,
    Transacted,
    Wrong,
)
from dgm.ocpp.quirks import Identity
from dgm.ocpp.relay import CALL_GRACE_MS, Lane, OwnCall, OwnIds, PendingCalls, Step, Waiting
from dgm.ocpp.store import StationMemory, StationSettings
from dgm.ocpp.version import Version, version_of

BOOT_WAIT_MS = 5_000
"""A reconnecting station need not boot again: after this without any CALL we go on."""

BOOT_ANSWER_WAIT_MS = 30_000
"""After a boot that the CSMS has not accepted yet."""

READ_BY_US = (
    "SetChargingProfile",
    "ClearChargingProfile",
    "UpdateDynamicSchedule",
    "RemoteStartTransaction",
    "RequestStartTransaction",
    "TriggerMessage",
    *guarded.ACTIONS,
    *der_control.CALLS,
)
LOOKED_AT = frozenset({*observe_16.ACTIONS, *observe_2x.ACTIONS})
ANSWER_READ = ("BootNotification", "StartTransaction")
DECODED_SOON = frozenset(
    {b"MeterValues", b"TransactionEvent", b"NotifyEvent", b"NotifyReport"}
    | {action.encode() for action in der_control.TOLD}
)
"""CALLs of the station whose copies may wait a moment: many, and they only tell what is."""

DECIDED_AT_ONCE = frozenset(
    {b"BootNotification", b"StartTransaction", b"StatusNotification", b"StopTransaction", b"SignCertificate"}
)

CERTIFICATE_CALLS = frozenset({"SignCertificate", "CertificateSigned", "InstallCertificate", "DeleteCertificate"})
"""Passed on as they are, and counted: a renewal that does not come shows (1.6 security, 2.x A02)."""

DESK_STEPS = (Step.CLEAN, Step.PROBE)

MAX_LOCAL_ANSWERS = 16
"""Answers of ours that a CALLRESULTERROR may still come for."""


KEEP_DER = "der"
"""Name under which the picture of a station's DER control is kept."""

IsValid = Callable[[Version, str, Payload], bool]


def _unchecked(_version: Version, _action: str, _payload: Payload) -> bool:
    return True


class Session:
    """The machine of one station.

    ids: gives a fresh id for every CALL of ours. is_valid: whether a payload keeps to its schema, for a counter.
    stored: bodies of `Keep` of an earlier life, by name. models: what is known of models of stations.
    """

    def __init__(
        self,
        evses: Sequence[StationSettings],
        ids: Callable[[], str],
        is_valid: IsValid = _unchecked,
        *,
        stored: Mapping[str, bytes] | None = None,
        models: Sequence[EvseModel] = (),
    ) -> None:
        self._is_valid = is_valid
        self.settings = evses[0]
        self.memory = StationMemory()
        self.version = self.settings.assumed_version
        self._own_ids = OwnIds()
        self.desk = Desk(evses, self.memory, ids=ids, own_ids=self._own_ids, stored=stored or {}, models=models)
        self.evses = self.desk.evses
        self.der = der_control.from_bytes((stored or {}).get(KEEP_DER, b""))
        self._by_id = {evse.settings.connector_id: evse for evse in self.evses}
        self._ids = ids
        self._lane = Lane(call_timeout_ms=self.settings.call_timeout_ms)
        self._pending = PendingCalls()
        self._own_call: tuple[Evse, OwnCall] | None = None
        self._turn = 0
        self._local_answers: deque[str] = deque(maxlen=MAX_LOCAL_ANSWERS)
        self._starting: tuple[str, int] = ("", 0)
        self._new_password: tuple[str, str | None] = ("", None)
        self._up: set[Leg] = set()
        self._start_ms: int | None = None
        self._is_started = False
        self._is_booting = False
        self._own_wake_ms: int | None = None

    @property
    def is_up(self) -> bool:
        """Both legs are open."""
        return len(self._up) == 2

    def wake_time(self) -> int | None:
        """Monotonic ms of the next deadline."""
        times = (self._lane.wake_time(), self._own_wake_ms, self.desk.wake_time())
        return min((at for at in times if at is not None), default=None)

    def handle(self, event: Event, now: Now) -> list[Effect]:
        """Take one event; the effects are to be carried out in order."""
        match event:
            case FrameIn():
                return self._frame_in(event, now)
            case Passed():
                return self._passed(event, now) + self._pump(now)
            case Copied():
                return self._copied(event, now)
            case SetpointIn():
                return self._setpoint(event, now) + self._pump(now)
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
        if not self.is_up or self._pending or self.desk.awaits_answer:
            return Glance.HANDLE
        if leg is Leg.NORTH:
            if not frame.is_plain_answer(raw):
                return Glance.HANDLE
            self.memory.counters.south += 1
            return Glance.PASS
        action = frame.plain_call(raw)
        if action is None or not self._is_started or action in DECIDED_AT_ONCE:
            return Glance.HANDLE
        if action in DECODED_SOON:
            if any([evse.readings.is_expecting for evse in self.evses]):
                return Glance.HANDLE
            self.memory.counters.north += 1
            return Glance.COPY
        self.memory.counters.north += 1
        return Glance.PASS

    def _copied(self, event: Copied, now: Now) -> list[Effect]:
        if not self.is_up:
            return []
        action = frame.plain_call(event.raw)
        assert action is not None, "pass_on has seen its head"
        effects: list[Effect] = []
        must_pump = action != b"MeterValues"
        for seen in self._observed(action.decode(), event.raw):
            # A reading only tells what is: a CALL of ours follows from it only when it shows that a clock is wrong.
            clocks = [evse.memory.is_clock_good for evse in self.evses]
            effects += self._seen(seen, "", now)
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
                claiming = self._claiming(head, raw, now)
                if claiming is not None:
                    return self._claimed(head, raw)
                return self._relay(Leg.SOUTH, head, raw, head.action, now)
            case Kind.RESULT | Kind.ERROR:
                return self._station_answer(head, raw, now)
            case Kind.RESULT_ERROR if head.id in self._local_answers:
                return self._kept(Reason.OWN_RESULT_ERROR, head, raw)
            case _:
                return self._relay(Leg.SOUTH, head, raw, head.action, now)

    def _claiming(self, head: Head, raw: bytes, now: Now) -> Evse | None:
        """The EVSE whose trigger this reading answers."""
        if head.action != "MeterValues" or b"Trigger" not in raw:
            return None
        if not any(evse.readings.is_expecting for evse in self.evses):
            return None
        for seen in self._observed(head.action, raw):
            evse = self._by_id.get(seen.evse_id) if isinstance(seen, Metered) else None
            if evse is not None and isinstance(seen, Metered) and evse.readings.claims(seen, now):
                return evse
        return None

    def _station_answer(self, head: Head, raw: bytes, now: Now) -> list[Effect]:
        if head.id not in self._own_ids:
            call = self._lane.answered(head.id, own=False)
            return self._relay(Leg.SOUTH, head, raw, call.action if call else "", now)
        answered = self._lane.answered(head.id, own=True)
        action = answered.action if answered else ""
        passed = Passed(origin=Leg.SOUTH, head=head, raw=raw, action=action, own=answered is not None)
        return [*self._kept(Reason.OWN_ANSWER, head, raw, action), Later(event=passed)]

    def _from_csms(self, head: Head, raw: bytes, now: Now) -> list[Effect]:
        match head.kind:
            case Kind.RESULT | Kind.ERROR if head.id in self._own_ids:
                return self.desk.report_answered(head, raw, now) + self._pump(now)
            case Kind.RESULT | Kind.ERROR:
                return self._relay(Leg.NORTH, head, raw, self._pending.take(Leg.SOUTH, head.id), now)
            case Kind.RESULT_ERROR | Kind.SEND:
                return self._relay(Leg.NORTH, head, raw, "", now)
            case Kind.CALL:
                pass
            case _:
                assert_never(head.kind)
        if head.action in guarded.ACTIONS:
            payload = frame.payload_of(raw)
            if guarded.repoints(head.action, payload):
                return self._refuse_repointing(head, raw, payload)
        effects: list[Effect] = []
        if self.desk.is_concerned(head.action):
            effects, relayed = self.desk.take(head, raw, now)
            if relayed is None:
                return effects + self._pump(now)
            raw = relayed
        if self._lane.is_free and not self._lane.has_waiting:
            return effects + self._send_csms(Waiting(head=head, raw=raw, since_ms=now.mono_ms), now)
        if self._lane.offer(head, raw, now):
            return effects
        return effects + self._refuse(Reason.LANE_FULL, head, raw, "the station has too many commands waiting")

    def _relay(self, origin: Leg, head: Head, raw: bytes, action: str, now: Now) -> list[Effect]:
        to = Leg.NORTH if origin is Leg.SOUTH else Leg.SOUTH
        if to is Leg.NORTH:
            self.memory.counters.north += 1
        else:
            self.memory.counters.south += 1
        effects: list[Effect] = [Send(leg=to, raw=raw, relayed=True)]
        if head.kind is Kind.CALL and origin is Leg.SOUTH and not self._remember(head, now):
            effects.append(Counted(name="pending_full"))
        return [*effects, Later(event=Passed(origin=origin, head=head, raw=raw, action=action))]

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
        if self.desk.is_rewritten(head):
            sent = Send(leg=Leg.SOUTH, raw=waiting.raw, relayed=False)
            return [sent, self._ours(Reason.START_REWRITTEN, Direction.SOUTH, head, waiting.raw)]
        return self._relay(Leg.NORTH, head, waiting.raw, head.action, now)

    def _refuse(self, reason: Reason, head: Head, raw: bytes, why: str) -> list[Effect]:
        answer = frame.error(head.id, code="GenericError", description=why)
        # A start that was rewritten is listed already, as the CSMS wrote it.
        listed = [] if self.desk.is_rewritten(head) else self._kept(reason, head, raw)
        return [
            Send(leg=Leg.NORTH, raw=answer, relayed=False),
            *listed,
            self._ours(Reason.LOCAL_ERROR, Direction.NORTH, head, answer),
        ]

    def _refuse_repointing(self, head: Head, raw: bytes, payload: Payload | None) -> list[Effect]:
        answer = frame.result(head.id, guarded.refusal(head.action, payload))
        return [
            Send(leg=Leg.NORTH, raw=answer, relayed=False),
            *self._kept(Reason.REPOINTING, head, raw),
            self._ours(Reason.LOCAL_REFUSAL, Direction.NORTH, head, answer),
        ]

    def _kept(self, reason: Reason, head: Head | None, raw: bytes, action: str = "") -> list[Effect]:
        return [kept(self.memory, reason, head, raw, action)]

    def _ours(self, reason: Reason, direction: Direction, head: Head, raw: bytes) -> Effect:
        return ours(self.memory, reason, direction, head, raw)

    # Second half: what it means.

    def _passed(self, event: Passed, now: Now) -> list[Effect]:
        if not self.is_up:
            return []
        if event.head.kind in (Kind.SEND, Kind.RESULT_ERROR):
            return []
        is_call = event.head.kind is Kind.CALL
        if event.origin is Leg.SOUTH:
            if is_call:
                return self._station_call(event, now)
            if event.own:
                return self._own_answered(event, now)
            return [*self._station_answered(event, now), *self.desk.station_answered(event, now)]
        return self._csms_call(event, now) if is_call else self._csms_answer(event, now)

    def _station_call(self, event: Passed, now: Now) -> list[Effect]:
        may_start = not self.desk.quirks.waits_for_boot and not self._is_started and not self._is_booting
        if event.action != "BootNotification" and may_start:
            self._start(now)
        effects: list[Effect] = self._counted_certificate(event.action)
        for seen in self._observed(event.action, event.raw):
            effects += self._seen(seen, event.head.id, now, claimed=event.claimed)
        return effects

    def _counted_certificate(self, action: str) -> list[Effect]:
        return [Counted(name="certificate", detail=action)] if action in CERTIFICATE_CALLS else []

    def _observed(self, action: str, raw: bytes) -> Sequence[Observation]:
        """What a CALL of the station says; most say nothing that we use."""
        if action not in LOOKED_AT:
            return ()
        payload = frame.payload_of(raw)
        found = self._read(action, payload)
        if payload is not None and found and not self._is_valid(self.version, action, payload):
            found.append(Breach(what=action))
        return found

    def _read(self, action: str, payload: Payload | None) -> list[Observation]:
        if self.version.is_2x:
            return observe_2x.observe_2x(action, payload)
        found = observe_16.observe(action, payload)
        return [] if found is None else [found]

    def _seen(self, seen: Observation, message_id: str, now: Now, *, claimed: bool = False) -> list[Effect]:
        match seen:
            case Wrong():
                return [Counted(name="wrong_payload", detail=seen.what)]
            case Breach():
                return [Counted(name="schema_breach", detail=seen.what)]
            case Booted():
                return self._booted(seen, message_id, now)
            case Starting():
                self._starting = (message_id, seen.evse_id)
                return []
            case Stopped():
                self._stopped(seen)
                return []
            case DerTold():
                return self._der_seen(now) if self.der.told(seen.action, seen.payload, now.utc_ms) else []
            case DerModes():
                return self._der_seen(now) if self.der.offers(seen.evse_id, seen.names) else []
            case Transacted():
                evse = self._transacting(seen)
                return [] if evse is None else evse.transacted(seen, now)
            case Metered() | Status() | Socket():
                evse = self._by_id.get(seen.evse_id)
                return [] if evse is None else self._told(evse, seen, now, claimed=claimed)
            case _:
                assert_never(seen)

    def _der_seen(self, now: Now) -> list[Effect]:
        return [Keep(name=KEEP_DER, body=self.der.to_bytes()), *self._ders()]

    def _ders(self) -> list[DerSeen]:
        pairs = [] if self.der.is_empty else [(evse.settings, evse.settings.connector_id) for evse in self.evses]
        return [DerSeen(asset_id=settings.asset_id, der=self.der.of(number)) for settings, number in pairs]

    def _told(self, evse: Evse, seen: Metered | Status | Socket, now: Now, *, claimed: bool) -> list[Effect]:
        match seen:
            case Metered():
                return evse.metered(seen, claimed=claimed, now=now)
            case Status():
                return evse.plug(seen.plug_state, now)
            case Socket():
                return evse.socket(seen, now)
            case _:
                assert_never(seen)

    def _stopped(self, seen: Stopped) -> None:
        for evse in self.evses:
            if len(self.evses) == 1 or evse.memory.transaction_id == seen.transaction_id:
                evse.memory.transaction_id, evse.memory.ended_id = None, seen.transaction_id

    def _transacting(self, seen: Transacted) -> Evse | None:
        """The EVSE of a TransactionEvent: only the first event of a transaction must name it (2.x, E01.FR.16)."""
        if seen.evse_id is not None:
            return self._by_id.get(seen.evse_id)
        known = (evse for evse in self.evses if evse.memory.transaction_id == seen.transaction_id)
        return next(known, self.evses[0] if len(self.evses) == 1 else None)

    def _booted(self, seen: Booted, message_id: str, now: Now) -> list[Effect]:
        self.memory.vendor, self.memory.model, self.memory.firmware = seen.vendor, seen.model, seen.firmware
        self._is_booting, self._is_started = True, False
        self._start_ms = now.mono_ms + BOOT_ANSWER_WAIT_MS
        evidence = f"BootNotification {message_id}"[:120]
        effects: list[Effect] = [outcome for evse in self.evses for outcome in evse.enforcer.wiped(now, evidence)]
        identity = Identity(vendor=seen.vendor, model=seen.model, firmware=seen.firmware)
        return effects + self.desk.booted(identity, now)

    def _csms_call(self, event: Passed, now: Now) -> list[Effect]:
        payload = frame.payload_of(event.raw) if event.action in READ_BY_US else None
        self.desk.relayed(event.action, event.head.id, payload)
        if event.action in guarded.ACTIONS:
            self._new_password = (event.head.id, guarded.new_password(event.action, payload))
        if event.action in der_control.CALLS:
            self.der.asked(event.action, event.head.id, payload)
        effects: list[Effect] = self._counted_certificate(event.action)
        for evse in self.evses:
            if event.action == "TriggerMessage":
                evse.readings.csms_triggered(payload, now)
            effects += evse.csms_called(event.action, payload, event.head.id, now)
        return effects

    def _station_answered(self, event: Passed, now: Now) -> list[Effect]:
        """The station's answer to a CSMS CALL, of which only a new password and DER controls are of interest."""
        if event.action in der_control.CALLS:
            payload = frame.payload_of(event.raw) if event.head.kind is Kind.RESULT else None
            return self._der_seen(now) if self.der.answered(event.head.id, payload, now.utc_ms) else []
        message_id, password = self._new_password
        if message_id != event.head.id or password is None:
            return []
        self._new_password = ("", None)
        is_taken = event.head.kind is Kind.RESULT and guarded.is_taken(event.action, frame.payload_of(event.raw))
        return [PasswordTaken(password=password)] if is_taken else []

    def _csms_answer(self, event: Passed, now: Now) -> list[Effect]:
        if event.action not in ANSWER_READ or event.head.kind is Kind.ERROR:
            return []
        payload = frame.payload_of(event.raw)
        if payload is None:
            return [Counted(name="wrong_payload", detail=event.action)]
        if event.action == "StartTransaction":
            self._transaction_given(event.head.id, payload.get("transactionId"))
        elif payload.get("status") == "Accepted":
            self._start(now)
        elif payload.get("status") == "Rejected":
            # Silence both ways until the station boots again (OCPP 1.6, 4.2).
            self._start_ms = None
        return []

    def _transaction_given(self, message_id: str, found: object) -> None:
        """The CSMS's answer to a StartTransaction (1.6)."""
        started_id, evse_id = self._starting
        evse = self._by_id.get(evse_id) if started_id == message_id else None
        if evse is None and len(self.evses) == 1:
            evse = self.evses[0]
        if evse is not None:
            evse.memory.transaction_id = found if isinstance(found, int) and not isinstance(found, bool) else None

    def _own_answered(self, event: Passed, now: Now) -> list[Effect]:
        assert self._own_call is not None, "an own CALL was in flight"
        evse, call = self._own_call
        self._own_call = None
        if call.step is Step.CLEAN:
            return []
        payload, error = None, ""
        if event.head.kind is Kind.RESULT:
            payload = frame.payload_of(event.raw)
        else:
            error = frame.error_text(event.raw)
        if call.step is Step.PROBE:
            return self.desk.probed(payload, now)
        effects = evse.answered(call, payload, error=error, message_id=event.head.id, now=now)
        return effects + self.desk.learned(effects, now)

    # The lane, time and the legs.

    def _pump(self, now: Now) -> list[Effect]:
        """Give the free lane to whoever is next: safety, then CSMS and us in turn."""
        effects: list[Effect] = self.desk.sync(now)
        effects += [outcome for evse in self.evses for outcome in evse.enforcer.lapsed(now)]
        effects += self._drop_aged(now, grace_ms=CALL_GRACE_MS) + self.desk.next_report(now, is_up=self.is_up)
        self._own_wake_ms = None
        if not self.is_up or not self._lane.is_free:
            return effects
        own = self._next_own(now)
        is_next = not isinstance(own, int | None) and own[1].safety
        if not isinstance(own, int | None) and (is_next or not self._lane.has_waiting or self._lane.csms_had_turn):
            return effects + self._send_own(*own, now)
        if self._lane.has_waiting:
            return effects + self._send_csms(self._lane.take(), now)
        self._own_wake_ms = own if isinstance(own, int) else None
        return effects

    def _next_own(self, now: Now) -> tuple[Evse, OwnCall] | int | None:
        """The CALL of the EVSE that needs one: safety first, then in turn; or when to ask again."""
        if not self._is_started:
            if self._start_ms is None or self._start_ms > now.mono_ms:
                return self._start_ms
            self._start(now)
        calls: list[tuple[Evse, OwnCall]] = []
        wake_ms: list[int] = []
        for evse in (*self.evses[self._turn :], *self.evses[: self._turn]):
            found = evse.next(now)
            if isinstance(found, OwnCall):
                calls.append((evse, found))
            elif found is not None:
                wake_ms.append(found)
        other = None if calls else self.desk.next()
        if other is not None:
            return self.evses[0], other
        if calls:
            return next((pair for pair in calls if pair[1].safety), calls[0])
        return min(wake_ms, default=None)

    def _send_own(self, evse: Evse, call: OwnCall, now: Now) -> list[Effect]:
        message_id = self._ids()
        action, payload = evse.place.to_wire(call.action, call.payload)
        raw = frame.call(message_id, action, payload)
        self._own_ids.put(message_id, now)
        self._lane.send(message_id=message_id, action=action, own=True, now=now)
        self._own_call = (evse, call)
        self._turn = (self.evses.index(evse) + 1) % len(self.evses)
        head = Head(kind=Kind.CALL, id=message_id, action=action)
        effects: list[Effect] = [Send(leg=Leg.SOUTH, raw=raw, relayed=False)]
        effects.append(self._ours(Reason.OWN_CALL, Direction.SOUTH, head, raw))
        return effects if call.step in DESK_STEPS else effects + evse.sent(call, message_id, now)

    def _expire(self, now: Now) -> list[Effect]:
        effects: list[Effect] = []
        late = self._lane.timed_out(now)
        if late is not None and late.own:
            effects += self._own_timed_out(late.id, now)
        # The CALL that waited behind a silent one goes before its own deadline is looked at.
        effects += self._pump(now)
        return effects + self._drop_aged(now, grace_ms=0)

    def _drop_aged(self, now: Now, *, grace_ms: int) -> list[Effect]:
        effects: list[Effect] = []
        for waiting in self._lane.expired(now, grace_ms=grace_ms):
            why = "the station did not answer an earlier command in time"
            effects += self._refuse(Reason.CALL_EXPIRED, waiting.head, waiting.raw, why)
        return effects

    def _own_timed_out(self, message_id: str, now: Now) -> list[Effect]:
        assert self._own_call is not None, "an own CALL was in flight"
        evse, call = self._own_call
        self._own_call = None
        if call.step is Step.CLEAN:
            return []
        if call.step is Step.PROBE:
            return self.desk.probed(None, now)
        effects = evse.timed_out(call, message_id, now)
        return effects + self.desk.learned(effects, now)

    def _start(self, now: Now) -> None:
        self._is_started, self._is_booting, self._start_ms = True, False, None
        for evse in self.evses:
            evse.readings.connected(now)

    def _leg_up(self, event: LegUp, now: Now) -> list[Effect]:
        self._up.add(event.leg)
        if event.leg is Leg.SOUTH:
            self.memory.subprotocol = event.subprotocol
            self.version = version_of(event.subprotocol, assumed=self.settings.assumed_version)
        if not self.is_up:
            return []
        wait_ms = BOOT_ANSWER_WAIT_MS if self.desk.quirks.waits_for_boot else BOOT_WAIT_MS
        self._is_started, self._is_booting, self._start_ms = False, False, now.mono_ms + wait_ms
        effects: list[Effect] = self.desk.connected(self.version, now)
        for evse in self.evses:
            effects += evse.connected(self.version, now)
        return effects + self._pump(now)

    def _leg_down(self, leg: Leg, now: Now) -> list[Effect]:
        was_up = self.is_up
        self._up.discard(leg)
        effects: list[Effect] = []
        if was_up:
            for waiting in self._lane.clear():
                effects += self._kept(Reason.LEG_LOST, waiting.head, waiting.raw)
            self._pending.clear()
            self._own_call, self._own_wake_ms, self._new_password = None, None, ("", None)
            effects += self.desk.disconnected(now)
            for evse in self.evses:
                effects += evse.disconnected(now)
            effects += [Close(leg=other, reason=f"{leg.value} leg lost") for other in self._up]
        return effects

    # For people, the facade and a restarted ems role.

    def standing(self, now: Now) -> list[Sampled | Outcome | DerSeen]:
        """Where each EVSE stands now."""
        return [*self._ders(), *(report for evse in self.evses for report in evse.standing(now, is_up=self.is_up))]

    def describe(self, now: Now) -> ocpp_pb2.Station:
        """The station as the OCPP service shows it."""
        settings, memory, counters = self.settings, self.memory, self.memory.counters
        up = {leg: LinkState.LINK_STATE_UP if leg in self._up else LinkState.LINK_STATE_DOWN for leg in Leg}
        return ocpp_pb2.Station(
            id=settings.station_id,
            cpo_id=settings.cpo_id,
            subprotocol=memory.subprotocol,
            south=up[Leg.SOUTH],
            north=up[Leg.NORTH],
            mode=self.desk.manner.mode.message,
            mode_reason=self.desk.manner.reason,
            evses=[evse.describe(now, is_up=self.is_up) for evse in self.evses],
            frames_north=counters.north,
            frames_south=counters.south,
            frames_excepted=counters.excepted,
            vendor=memory.vendor,
            model=memory.model,
            firmware=memory.firmware,
            quirks=self.desk.quirks.name,
        )
