"""One station: both legs, the lane between them, and our own dealings with it. Sans-IO.

    FrameIn ──> scan ──> Send (byte-equal), Later(Passed) ──> Passed ──> observe, wipe check, lane ──> more effects
    pass_on ──> a glance at the head: pass (and Copied later), or FrameIn

A frame costs its relay one scan, most only a glance; all else happens after it has gone. Answers go at once in both
directions, station CALLs go north at once, CALLs towards the station share the lane. In policy strict the end of one
leg closes the other. Our own CALLs start when the station has an accepted boot on this connection, or shows that it
needs none: some drop the connection when commanded before.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import assert_never

from dgm.api.ocpp.v1.ocpp_pb2 import EnforcementMode, Evse, LinkState, Station
from dgm.api.site.v1.site_pb2 import PlugState
from dgm.machine import Now, Tick
from dgm.ocpp import frame
from dgm.ocpp.enforce import Enforcer
from dgm.ocpp.events import (
    Close,
    Copied,
    Counted,
    Direction,
    Effect,
    Event,
    Excepted,
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
from dgm.ocpp.frame import Head, Kind, Unreadable
from dgm.ocpp.observe import Booted, Metered, Status, Stopped, Wrong, observe
from dgm.ocpp.profile import can_remove_ours
from dgm.ocpp.readings import Readings
from dgm.ocpp.relay import CALL_GRACE_MS, Lane, OwnCall, OwnIds, PendingCalls, Step, Waiting
from dgm.ocpp.store import StationMemory, StationSettings

BOOT_WAIT_MS = 5_000
"""A reconnecting station need not boot again: after this without any CALL we go on."""

BOOT_ANSWER_WAIT_MS = 30_000
"""After a boot that the CSMS has not accepted yet."""

READ_BY_US = ("SetChargingProfile", "ClearChargingProfile", "RemoteStartTransaction", "TriggerMessage")
ENFORCING = (Step.FLOOR, Step.LIVE, Step.READ_BACK)
LOOKED_AT = ("MeterValues", "StatusNotification", "StopTransaction", "BootNotification")
ANSWER_READ = ("BootNotification", "StartTransaction")
DECODED_SOON = frozenset({b"MeterValues"})
"""CALLs of the station whose copies may wait a moment: many, and they only tell what is."""

DECIDED_AT_ONCE = frozenset({b"BootNotification", b"StartTransaction", b"StatusNotification", b"StopTransaction"})


class Session:
    """The machine of one station. `ids` gives a fresh id for every CALL of ours."""

    def __init__(self, settings: StationSettings, ids: Callable[[], str]) -> None:
        self.settings = settings
        self.memory = StationMemory()
        self.enforcer = Enforcer(settings)
        self._readings = Readings(settings)
        self._ids = ids
        self._lane = Lane(call_timeout_ms=settings.call_timeout_ms)
        self._pending = PendingCalls()
        self._own_ids = OwnIds()
        self._own_call: OwnCall | None = None
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
        times = (self._lane.wake_time(), self._own_wake_ms)
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
                effects: list[Effect] = [*self.enforcer.setpoint(event, now)]
                return effects + self._pump(now)
            case Tick():
                return self._expire(now)
            case LegUp():
                return self._leg_up(event, now)
            case LegDown():
                return self._leg_down(event.leg, now)
            case _:
                assert_never(event)

    # First half of a frame: where it goes.

    def pass_on(self, leg: Leg, raw: bytes) -> Glance:
        """The short cut: what a frame in plain spelling needs when nobody waits for anything it could be.

        It never decides otherwise than `handle` would; what it is not sure of it leaves to it.
        """
        if not self.is_up or self._pending:
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
            if self._readings.is_expecting:
                return Glance.HANDLE
            self.memory.counters.north += 1
            return Glance.COPY
        self.memory.counters.north += 1
        return Glance.PASS

    def _copied(self, event: Copied, now: Now) -> list[Effect]:
        """A reading only tells what is: a CALL of ours can follow from it only when it shows that a clock is wrong."""
        if not self.is_up:
            return []
        seen = observe("MeterValues", frame.payload_of(event.raw))
        if not isinstance(seen, Metered):
            return [Counted(name="wrong_payload", detail="MeterValues")]
        was_good = self.memory.is_clock_good
        effects = self._metered(seen, False, now)
        return effects if self.memory.is_clock_good == was_good else effects + self._pump(now)

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
        if head.kind is Kind.CALL:
            if head.action == "MeterValues" and self._readings.claims(raw, now):
                return self._claimed(head, raw)
            return self._relay(Leg.SOUTH, head, raw, head.action, now)
        if head.id not in self._own_ids:
            call = self._lane.answered(head.id, own=False)
            return self._relay(Leg.SOUTH, head, raw, call.action if call else "", now)
        answered = self._lane.answered(head.id, own=True)
        action = answered.action if answered else ""
        passed = Passed(origin=Leg.SOUTH, head=head, raw=raw, action=action, own=answered is not None)
        return [*self._kept(Reason.OWN_ANSWER, head, raw, action), Later(event=passed)]

    def _from_csms(self, head: Head, raw: bytes, now: Now) -> list[Effect]:
        if head.kind is not Kind.CALL:
            return self._relay(Leg.NORTH, head, raw, self._pending.take(Leg.SOUTH, head.id), now)
        if self._lane.is_free and not self._lane.has_waiting:
            return self._send_csms(Waiting(head=head, raw=raw, since_ms=now.mono_ms), now)
        if self._lane.offer(head, raw, now):
            return []
        return self._refuse(Reason.LANE_FULL, head, raw, "the station has too many commands waiting")

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
        return [
            Send(leg=Leg.SOUTH, raw=answer, relayed=False),
            *self._kept(Reason.TRIGGERED_READING, head, raw),
            self._ours(Reason.LOCAL_ANSWER, Direction.SOUTH, head, answer),
            Later(event=Passed(origin=Leg.SOUTH, head=head, raw=raw, action=head.action, claimed=True)),
        ]

    def _send_csms(self, waiting: Waiting, now: Now) -> list[Effect]:
        head = waiting.head
        self._lane.send(message_id=head.id, action=head.action, own=False, now=now)
        return self._relay(Leg.NORTH, head, waiting.raw, head.action, now)

    def _refuse(self, reason: Reason, head: Head, raw: bytes, why: str) -> list[Effect]:
        answer = frame.error(head.id, code="GenericError", description=why)
        return [
            Send(leg=Leg.NORTH, raw=answer, relayed=False),
            *self._kept(reason, head, raw),
            self._ours(Reason.LOCAL_ERROR, Direction.NORTH, head, answer),
        ]

    def _kept(self, reason: Reason, head: Head | None, raw: bytes, action: str = "") -> list[Effect]:
        message_id, named = (head.id, head.action or action) if head else ("", "")
        self.memory.counters.excepted += 1
        return [Excepted(reason=reason, direction=Direction.LOCAL, id=message_id, action=named, raw=raw)]

    def _ours(self, reason: Reason, direction: Direction, head: Head, raw: bytes) -> Effect:
        self.memory.counters.excepted += 1
        return Excepted(reason=reason, direction=direction, id=head.id, action=head.action, raw=raw)

    # Second half: what it means.

    def _passed(self, event: Passed, now: Now) -> list[Effect]:
        if not self.is_up:
            return []
        is_call = event.head.kind is Kind.CALL
        if event.origin is Leg.SOUTH:
            if is_call:
                return self._station_call(event, now)
            return self._own_answered(event, now) if event.own else []
        return self._csms_call(event, now) if is_call else self._csms_answer(event, now)

    def _station_call(self, event: Passed, now: Now) -> list[Effect]:
        if event.action != "BootNotification" and not self._is_started and not self._is_booting:
            self._start(now)
        effects: list[Effect] = []
        seen = observe(event.action, frame.payload_of(event.raw)) if event.action in LOOKED_AT else None
        match seen:
            case None:
                pass
            case Wrong():
                effects.append(Counted(name="wrong_payload", detail=seen.what))
            case Booted():
                self.memory.vendor, self.memory.model = seen.vendor, seen.model
                self._is_booting, self._is_started = True, False
                self._start_ms = now.mono_ms + BOOT_ANSWER_WAIT_MS
                effects += self.enforcer.wiped(now, f"BootNotification {event.head.id}"[:120])
            case Status():
                effects += self._status(seen, now)
            case Metered():
                effects += self._metered(seen, event.claimed, now)
            case Stopped():
                self.memory.transaction_id = None
            case _:
                assert_never(seen)
        return effects

    def _status(self, seen: Status, now: Now) -> list[Effect]:
        if seen.connector_id != self.settings.connector_id:
            return []
        is_first = not self.memory.plug_known
        if not self.memory.put_plug_state(seen.plug_state, now) and not is_first:
            return []
        if seen.plug_state == PlugState.PLUG_STATE_CHARGING:
            self._readings.charging_began(now)
        return [self.memory.state_sample(self.settings, now)]

    def _metered(self, seen: Metered, claimed: bool, now: Now) -> list[Effect]:
        if seen.connector_id != self.settings.connector_id:
            return []
        if not self.memory.put_reading(seen, claimed=claimed, now=now):
            return [Counted(name="old_reading")]
        self.enforcer.clock(is_good=self.memory.is_clock_good)
        sample = self.memory.reading_sample(self.settings, now)
        currents = [value for value in sample.current_ma if value is not None]
        effects: list[Effect] = [sample]
        return [*effects, *self.enforcer.measured(max(currents), now)] if currents else effects

    def _csms_call(self, event: Passed, now: Now) -> list[Effect]:
        payload = frame.payload_of(event.raw) if event.action in READ_BY_US else None
        if event.action == "TriggerMessage":
            self._readings.csms_triggered(payload, now)
        if can_remove_ours(event.action, payload, max_stack_level=self.settings.max_stack_level):
            return [*self.enforcer.wiped(now, f"{event.action} {event.head.id}"[:120])]
        return []

    def _csms_answer(self, event: Passed, now: Now) -> list[Effect]:
        if event.action not in ANSWER_READ or event.head.kind is Kind.ERROR:
            return []
        payload = frame.payload_of(event.raw)
        if payload is None:
            return [Counted(name="wrong_payload", detail=event.action)]
        if event.action == "StartTransaction":
            found = payload.get("transactionId")
            self.memory.transaction_id = found if isinstance(found, int) and not isinstance(found, bool) else None
        elif payload.get("status") == "Accepted":
            self._start(now)
        elif payload.get("status") == "Rejected":
            # Silence both ways until the station boots again (OCPP 1.6, 4.2).
            self._start_ms = None
        return []

    def _own_answered(self, event: Passed, now: Now) -> list[Effect]:
        call = self._own_call
        assert call is not None, "an own CALL was in flight"
        self._own_call = None
        payload, error = None, ""
        if event.head.kind is Kind.RESULT:
            payload = frame.payload_of(event.raw)
        else:
            error = frame.error_text(event.raw)
        if call.step not in ENFORCING:
            self._readings.answered(call, payload, now)
            return []
        if call.step is Step.LIVE:
            self._readings.poke(now)
        return [*self.enforcer.answered(call, payload, now, event.head.id, error)]

    # The lane, time and the legs.

    def _pump(self, now: Now) -> list[Effect]:
        """Give the free lane to whoever is next: safety, then CSMS and us in turn."""
        effects: list[Effect] = [*self.enforcer.lapsed(now), *self._drop_aged(now, grace_ms=CALL_GRACE_MS)]
        self._own_wake_ms = None
        if not self.is_up or not self._lane.is_free:
            return effects
        own = self._next_own(now)
        if isinstance(own, OwnCall) and (own.safety or not self._lane.has_waiting or self._lane.csms_had_turn):
            return effects + self._send_own(own, now)
        if self._lane.has_waiting:
            return effects + self._send_csms(self._lane.take(), now)
        self._own_wake_ms = own if isinstance(own, int) else None
        return effects

    def _next_own(self, now: Now) -> OwnCall | int | None:
        if not self._is_started:
            if self._start_ms is None or self._start_ms > now.mono_ms:
                return self._start_ms
            self._start(now)
        limit = self.enforcer.next(now)
        if isinstance(limit, OwnCall):
            return limit
        reading = self._readings.next(self.memory, now)
        if isinstance(reading, OwnCall):
            return reading
        return min((at for at in (limit, reading) if at is not None), default=None)

    def _send_own(self, call: OwnCall, now: Now) -> list[Effect]:
        message_id = self._ids()
        raw = frame.call(message_id, call.action, call.payload)
        self._own_ids.put(message_id, now)
        self._lane.send(message_id=message_id, action=call.action, own=True, now=now)
        self._own_call = call
        head = Head(kind=Kind.CALL, id=message_id, action=call.action)
        effects: list[Effect] = [Send(leg=Leg.SOUTH, raw=raw, relayed=False)]
        effects.append(self._ours(Reason.OWN_CALL, Direction.SOUTH, head, raw))
        if call.step in ENFORCING:
            return [*effects, *self.enforcer.sent(call, now, message_id)]
        self._readings.sent(call, now)
        return effects

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
        call = self._own_call
        assert call is not None, "an own CALL was in flight"
        self._own_call = None
        if call.step in ENFORCING:
            return [*self.enforcer.timed_out(call, now, message_id)]
        self._readings.timed_out(now)
        return []

    def _start(self, now: Now) -> None:
        self._is_started, self._is_booting, self._start_ms = True, False, None
        self._readings.connected(now)

    def _leg_up(self, event: LegUp, now: Now) -> list[Effect]:
        self._up.add(event.leg)
        if event.leg is Leg.SOUTH:
            self.memory.subprotocol = event.subprotocol
        if not self.is_up:
            return []
        effects: list[Effect] = [*self.enforcer.connected(now)]
        self._readings.connected(now)
        self._is_started, self._is_booting, self._start_ms = False, False, now.mono_ms + BOOT_WAIT_MS
        self.memory.plug_known = False
        known = self.memory.plug_state != PlugState.PLUG_STATE_UNSPECIFIED
        effects += [self.memory.state_sample(self.settings, now)] if known else []
        return effects + self._pump(now)

    def _leg_down(self, leg: Leg, now: Now) -> list[Effect]:
        was_up = self.is_up
        self._up.discard(leg)
        effects: list[Effect] = []
        if was_up:
            for waiting in self._lane.clear():
                effects += self._kept(Reason.LEG_LOST, waiting.head, waiting.raw)
            self._pending.clear()
            self._own_call, self._own_wake_ms = None, None
            self.enforcer.disconnected()
            effects.append(self.memory.state_sample(self.settings, now, offline=True))
            effects += [Close(leg=other, reason=f"{leg.value} leg lost") for other in self._up]
        return effects

    # For people, the facade and a restarted ems role.

    def standing(self, now: Now) -> list[Sampled | Outcome]:
        """Where the EVSE stands now: its plug state if it is known, what is proved, what is not proved yet."""
        reports: list[Sampled | Outcome] = [*self.enforcer.report(now)]
        if self.is_up and self.memory.plug_state == PlugState.PLUG_STATE_UNSPECIFIED:
            return reports
        return [self.memory.state_sample(self.settings, now, offline=not self.is_up), *reports]

    def describe(self, now: Now) -> Station:
        """The station as the OCPP service shows it."""
        settings, memory, counters = self.settings, self.memory, self.memory.counters
        sample = memory.view(settings, now, offline=not self.is_up)
        up = {leg: LinkState.LINK_STATE_UP if leg in self._up else LinkState.LINK_STATE_DOWN for leg in Leg}
        evse = Evse(
            asset_id=settings.asset_id,
            connector_id=settings.connector_id,
            plug_state=sample.plug_state,
            limit_ma=self.enforcer.limit_ma,
            proved_ma=self.enforcer.proved_ma(now),
            power_w=sample.power_w,
            transaction_id=memory.transaction_id,
        )
        return Station(
            id=settings.station_id,
            cpo_id=settings.cpo_id,
            subprotocol=memory.subprotocol,
            south=up[Leg.SOUTH],
            north=up[Leg.NORTH],
            mode=EnforcementMode.ENFORCEMENT_MODE_MAX,
            evses=[evse],
            frames_north=counters.north,
            frames_south=counters.south,
            frames_excepted=counters.excepted,
            vendor=memory.vendor,
            model=memory.model,
        )
