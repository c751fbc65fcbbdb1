"""Keeps one station's floor and live limit installed and proved, in the Slot that its mode and model ask for.

    SetpointIn (lease) ──┐
    ceiling of the CPO ──┴─> target ──> FLOOR, LIVE, READ_BACK calls ──> SENT > ACCEPTED > CONFIRMED > MEASURED

The newest setpoint wins and is written over the old limit, never clear-then-set; when its lease ends the target is the
fallback. The live limit is itself a lease in the station (validTo), renewed at half its time; when nobody renews it the
floor holds. Where the station refuses the floor or its clock is wrong, no lease is installed: the live limit stands
without end and no floor is reported (safety rules, section 4). A TX slot is taken for a transaction and given back
after it: what was installed in the slot before still stands, and is remembered. Does not see frames; the session asks
`next` when the lane is free.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from dgm.api.ems.v1.ems_pb2 import OutcomeState
from dgm.machine import Now
from dgm.ocpp.events import Outcome, SetpointIn
from dgm.ocpp.frame import Payload
from dgm.ocpp.merge import Ceiling
from dgm.ocpp.own_profile import (
    Flow,
    Slot,
    asked_ma,
    lease_end_utc_ms,
    live_profile,
    parse_read,
    proves,
    read_call,
    set_call,
)
from dgm.ocpp.pace import WriteBudget
from dgm.ocpp.pair import Lease, Parked, Proof
from dgm.ocpp.profile import OperationMode, Profile, Purpose
from dgm.ocpp.relay import OwnCall, Step
from dgm.ocpp.store import StationSettings
from dgm.ocpp.written import Wanted, Written

READ_BEYOND_S = 60
"""How far past the live limit's end a read-back looks for the floor."""

SETTLE_MS = 2_000
"""A reading earlier than this after a write may still show the car before it."""


class Enforcer:
    """See the module. All outcomes carry the newest setpoint's sequence."""

    def __init__(self, settings: StationSettings, slot: Slot) -> None:
        self._settings = settings
        self._written = Written(slot, settings.profile_lease_ms)
        self.ceiling: Ceiling | None = None
        """What the CPO's own profiles allow now, where we install them merged with ours; None: no less than the EMS."""
        self._parked: Parked | None = None
        self._parked_tried_ma = 0
        self._order = (0, 0)
        self._lease: Lease | None = None
        self._has_lapsed = False
        self._proof: Proof | None = None
        self._is_floor_proved = False
        self._is_unsure = False
        self._clock_good = True
        self._seen_ma = 0
        self._forgets_profiles = False
        self._forget_installed()

    def _forget_installed(self) -> None:
        self._written.forget()
        self._seen_before_ma = 0
        self._in_flight: OwnCall | None = None
        self._is_wiped_in_flight = False

    @property
    def slot(self) -> Slot:
        """Where the pair is written."""
        return self._written.slot

    def heed(
        self, *, lease_ms: int, rewrite_after_pause_ms: int | None, writes_per_day: int, forgets_profiles: bool
    ) -> None:
        """What the model of the station asks of whoever writes to it."""
        self._forgets_profiles = forgets_profiles
        self._written.lease_ms = lease_ms
        self._written.rewrite_after_pause_ms = rewrite_after_pause_ms
        self._written.budget = WriteBudget(writes_per_day)

    @property
    def limit_ma(self) -> int | None:
        """Newest setpoint in force, mA; None: none, the fallback holds."""
        return None if self._lease is None else self._lease.current_ma

    @property
    def wanted_ma(self) -> int:
        """What the site wants, mA: the newest setpoint, or the fallback."""
        return self._settings.fallback_ma if self._lease is None else self._lease.current_ma

    @property
    def proof_state(self) -> OutcomeState:
        """How far the installed limit is proved."""
        if self._proof is not None:
            return self._proof.state
        if self._written.live is not None:
            return OutcomeState.OUTCOME_STATE_ACCEPTED
        return OutcomeState.OUTCOME_STATE_UNSPECIFIED

    @property
    def fallback_ma(self) -> int | None:
        """The floor, if it is proved and comes into force when nobody renews; None: none proved.

        Of a model that forgets its profiles with the connection no floor is left when this role dies: its maximum.
        """
        if self._forgets_profiles:
            return self._settings.current_max_ma
        leased = self._written.live is None or lease_end_utc_ms(self._written.live) is not None
        return self._settings.fallback_ma if self._is_floor_proved and leased else None

    def proved_ma(self, now: Now) -> int | None:
        """What the station is proved to keep to now: the live limit, or the floor after its end."""
        return None if self._proof is None else self._proof.holds_ma(now)

    def setpoint(self, event: SetpointIn, now: Now) -> list[Outcome]:
        """Take a setpoint; an older one is refused. A value that is proved already is reported at once."""
        order = (event.epoch, event.sequence)
        is_renewal = order == self._order
        if order < self._order:
            return []
        self._order, self._has_lapsed = order, False
        limit_ma = max(0, min(event.current_ma, self._settings.current_max_ma)) // 100 * 100
        self._lease = Lease(current_ma=limit_ma, ends_ms=now.mono_ms + event.ttl_ms, safety=event.safety)
        proof, target_ma = self._proof, self._target_ma()
        is_held = (
            self._written.live is not None and self._written.live_ma == target_ma and not self._written.is_doubtful
        )
        if is_renewal or proof is None or not is_held or proof.limit_ma != target_ma:
            return []
        return [self._outcome(proof.state, target_ma, now, proof.evidence)]

    def use(self, slot: Slot, now: Now, *, running: int | str | None) -> list[Outcome]:
        """Write into this slot from now on; running: the transaction that has not ended, as far as is known.

        What is proved in another slot stays proved until ours leads here. From TX_DEFAULT to TX and back the pair of
        TX_DEFAULT stays installed; any other slot begins with nothing.
        """
        outcomes = [] if slot == self.slot else self._change(slot, now)
        proof = self._proof
        if proof is None or proof.slot.purpose is not Purpose.TX or proof.slot.transaction_id == running:
            return outcomes
        self._proof, self._is_floor_proved = None, False
        wiped = self._outcome(OutcomeState.OUTCOME_STATE_WIPED, None, now, "transaction ended", urgent=True)
        return [*outcomes, wiped]

    def _change(self, slot: Slot, now: Now) -> list[Outcome]:
        before, self._written.slot = self.slot, slot
        in_flight = self._in_flight
        if slot.purpose is Purpose.TX and before.purpose is Purpose.TX_DEFAULT:
            self._park(before, in_flight)
            self._begin_in(in_flight)
            self._written.is_repair = self._proof is None
            return []
        parked, self._parked = self._parked, None
        self._begin_in(in_flight)
        is_back = parked is not None and slot == parked.slot
        return self._unpark(parked, now) if parked is not None and is_back else []

    @property
    def may_take_transaction(self) -> bool:
        """The default pair stands: without it the end of a transaction would leave the station without a limit."""
        if self.slot.purpose is Purpose.TX:
            return self._parked is not None
        return self._written.live is not None and (self._written.floor is not None or not self.slot.has_floor)

    def _begin_in(self, in_flight: OwnCall | None) -> None:
        self._forget_installed()
        self._in_flight = in_flight
        self._is_wiped_in_flight = in_flight is not None
        self._is_floor_proved = False

    def _park(self, slot: Slot, in_flight: OwnCall | None) -> None:
        # A write that is not answered yet may or may not stand in the old slot.
        unsure = in_flight.step if in_flight is not None else None
        self._parked = Parked(
            slot=slot,
            floor=None if unsure is Step.FLOOR else self._written.floor,
            live=None if unsure is Step.LIVE or self._written.is_doubtful else self._written.live,
            live_ms=self._written.live_ms,
            is_floor_proved=self._is_floor_proved,
        )
        self._parked_tried_ma = 0 if self._written.live is None else asked_ma(self._written.live, slot)

    def _unpark(self, parked: Parked, now: Now) -> list[Outcome]:
        """The transaction is over: its profiles are gone with it, the default pair holds again."""
        live = parked.live
        end_ms = None if live is None else lease_end_utc_ms(live)
        if end_ms is not None and end_ms <= now.utc_ms:
            live = None
        self._written.restore(floor=parked.floor, live=live, live_ms=parked.live_ms)
        self._is_floor_proved = parked.is_floor_proved
        standing = tuple(profile for profile in (live, parked.floor) if profile is not None)
        self._written.read_soon(now)
        if not standing or not parked.is_floor_proved:
            self._proof = None
            return [self._outcome(OutcomeState.OUTCOME_STATE_WIPED, None, now, "transaction ended", urgent=True)]
        confirmed, evidence = OutcomeState.OUTCOME_STATE_CONFIRMED, "transaction ended, default pair holds"
        self._proof = Proof(
            slot=parked.slot, profiles=standing, limit_ma=0, state=confirmed, at_ms=now.mono_ms, evidence=evidence
        )
        held_ma = self.proved_ma(now) or 0
        self._proof = replace(self._proof, limit_ma=held_ma)
        return [self._outcome(confirmed, held_ma, now, evidence, urgent=True)]

    @property
    def is_settled(self) -> bool:
        """What is proved is proved in the slot in use."""
        return self._proof is not None and self._proof.slot == self.slot

    def connected(self, now: Now) -> list[Outcome]:
        """The station is here: floor and live limit are to be installed and proved again.

        Where the live limit ended while it was away, what it keeps to now is said first. A write whose answer was lost
        may have been installed after what is proved, so then nothing is.
        """
        self._forget_installed()
        self._parked = None
        if self._proof is None or self.proved_ma(now) == self._proof.limit_ma:
            return []
        held_ma = self.proved_ma(now)
        if held_ma is not None and self._is_floor_proved and not self._is_unsure:
            self._proof = replace(self._proof, limit_ma=held_ma, state=OutcomeState.OUTCOME_STATE_CONFIRMED)
            evidence = "live limit ended while away, floor holds"
            return [self._outcome(OutcomeState.OUTCOME_STATE_CONFIRMED, held_ma, now, evidence, urgent=True)]
        self._proof, self._is_floor_proved = None, False
        evidence = "live limit ended while away"
        return [self._outcome(OutcomeState.OUTCOME_STATE_WIPED, None, now, evidence, urgent=True)]

    def disconnected(self) -> None:
        """The station is gone; what it has installed stays in it, so what is proved stays proved until its end."""
        self._is_unsure = self._written.is_doubtful or (
            self._in_flight is not None and self._in_flight.profile is not None
        )
        self._forget_installed()

    def wiped(self, now: Now, evidence: str) -> list[Outcome]:
        """Something passed that can remove our profiles: nothing is proved, install again at once."""
        in_flight = self._in_flight
        self._forget_installed()
        self._parked = None
        self._in_flight = in_flight
        self._is_wiped_in_flight = in_flight is not None
        self._proof, self._is_floor_proved = None, False
        return [self._outcome(OutcomeState.OUTCOME_STATE_WIPED, None, now, evidence, urgent=True)]

    def clock(self, *, is_good: bool) -> None:
        """Whether the station's clock may end a lease."""
        self._clock_good = is_good

    def lapsed(self, now: Now) -> list[Outcome]:
        """Notice the end of the setpoint's lease, and of a live limit that could not be renewed."""
        if self._lease is not None and now.mono_ms >= self._lease.ends_ms:
            self._lease, self._has_lapsed = None, True
        end_ms = None if self._written.live is None else lease_end_utc_ms(self._written.live)
        if end_ms is None or now.utc_ms < end_ms:
            return []
        self._written.live = None
        if self._proof is None:
            return []
        if self._is_floor_proved:
            evidence = "live limit ended, floor holds"
            confirmed = OutcomeState.OUTCOME_STATE_CONFIRMED
            return [self._outcome(confirmed, self._settings.fallback_ma, now, evidence, urgent=True)]
        self._proof = None
        return [self._outcome(OutcomeState.OUTCOME_STATE_WIPED, None, now, "live limit ended", urgent=True)]

    def report(self, now: Now) -> list[Outcome]:
        """Where things stand, for an ems role that has just (re)started: what is proved, then what is not yet."""
        proved = self.proved_ma(now)
        if self._proof is None or proved is None:
            found = [self._outcome(OutcomeState.OUTCOME_STATE_WIPED, None, now, "nothing proved")]
        else:
            found = [self._outcome(self._proof.state, proved, now, self._proof.evidence)]
        if self._written.live is not None and self._proof is None:
            found.append(self._outcome(OutcomeState.OUTCOME_STATE_ACCEPTED, self._written.live_ma, now, "accepted"))
        elif self._written.sent_ma is not None:
            found.append(self._outcome(OutcomeState.OUTCOME_STATE_SENT, self._written.sent_ma, now, "sent"))
        return found

    # What to send.

    def next(self, now: Now) -> OwnCall | int | None:
        """The CALL to send now, or the mono ms at which to ask again, or None. Asked only while the lane is free."""
        if self._in_flight is not None:
            return None
        written, wanted = self._written, self._wanted()
        floor = (written.floor_due(), self._floor_call)
        live = (written.live_due(wanted), self._live_call)
        read: tuple[int | None, Callable[[Now], OwnCall]] = (written.read_at_ms, self._read_call)
        for at_ms, build in (live, floor, read) if written.is_live_first(wanted) else (floor, live, read):
            if at_ms is not None and at_ms <= now.mono_ms:
                return build(now)
        if self._is_parked_too_high(now):
            return self._parked_call(now)
        ends = self._lease.ends_ms if self._lease else None
        return min((at for at in (floor[0], live[0], read[0], ends) if at is not None), default=None)

    def _wanted(self) -> Wanted:
        ceiling, phases = self.ceiling, self.slot.phases
        return Wanted(
            limit_ma=self._target_ma(),
            phases=phases if ceiling is None else min(phases, ceiling.phases),
            flow=self._flow(),
            may_lease=self._written.floor is not None and self._clock_good,
            is_urgent=self._has_lapsed or (self._lease is not None and self._lease.safety),
        )

    def _target_ma(self) -> int:
        ceiling = self.ceiling
        return self.wanted_ma if ceiling is None else min(self.wanted_ma, ceiling.current_ma // 100 * 100)

    def _flow(self) -> Flow | None:
        """What the CPO wants of a V2X EVSE, within the site's limit; with no setpoint in force it only charges."""
        ceiling = self.ceiling
        if ceiling is None or self._lease is None or ceiling.mode is OperationMode.CHARGING_ONLY:
            return None
        setpoint_ma = None if ceiling.setpoint_ma is None else min(ceiling.setpoint_ma, self._target_ma())
        return Flow(mode=ceiling.mode, discharge_ma=ceiling.discharge_ma, setpoint_ma=setpoint_ma)

    def _is_parked_too_high(self, now: Now) -> bool:
        """When the transaction ends the default's live limit leads again: until its lease ends it follows downwards."""
        parked = self._parked
        if parked is None or parked.live is None or self._target_ma() >= self._parked_tried_ma:
            return False
        end_ms = lease_end_utc_ms(parked.live)
        return end_ms is None or now.utc_ms < end_ms

    def _parked_call(self, now: Now) -> OwnCall:
        parked, self._parked_tried_ma = self._parked, self._target_ma()
        assert parked is not None, "asked only while a pair is parked"
        has_lease = parked.floor is not None and self._clock_good
        lease_ms = self._written.lease_ms if has_lease else None
        profile = live_profile(parked.slot, limit_ma=self._target_ma(), utc_ms=now.utc_ms, lease_ms=lease_ms)
        action, payload = set_call(profile, parked.slot)
        return OwnCall(step=Step.PARKED, action=action, payload=payload, profile=profile)

    def _floor_call(self, now: Now) -> OwnCall:
        return self._written.floor_call(self._settings.fallback_ma, now)

    def _live_call(self, now: Now) -> OwnCall:
        return self._written.live_call(self._wanted(), now)

    def _read_call(self, now: Now) -> OwnCall:
        action, payload = read_call(self.slot, READ_BEYOND_S + (self._written.live_end_s(now) or 0))
        return OwnCall(step=Step.READ_BACK, action=action, payload=payload)

    # What came of it.

    def sent(self, call: OwnCall, now: Now, message_id: str) -> list[Outcome]:
        """A call of `next` is on its way."""
        self._in_flight, self._is_wiped_in_flight = call, False
        if call.profile is not None:
            self._written.budget.spend(now)
        if call.step is Step.READ_BACK:
            self._written.read_at_ms = None
        if call.step is not Step.LIVE or call.profile is None:
            return []
        limit_ma = self._written.live_sent(call.profile, now)
        return [] if limit_ma is None else [self._outcome(OutcomeState.OUTCOME_STATE_SENT, limit_ma, now, message_id)]

    def answered(self, call: OwnCall, payload: Payload | None, now: Now, message_id: str, error: str) -> list[Outcome]:
        """The station answered; payload None: with CALLERROR `error`, or unreadably."""
        self._in_flight = None
        if self._is_wiped_in_flight:
            return []
        if call.step is Step.READ_BACK:
            return self._read(payload, now, message_id)
        if call.step is Step.PARKED:
            if self._parked is not None and payload is not None and payload.get("status") == "Accepted":
                self._parked = replace(self._parked, live=call.profile, live_ms=now.mono_ms)
            return []
        status = payload.get("status") if payload is not None else None
        if status != "Accepted":
            return self._refused(call, now, f"{message_id}: {status or error or 'unreadable answer'}"[:120])
        assert call.profile is not None, "FLOOR and LIVE carry their profile"
        if call.step is Step.FLOOR:
            self._written.floor = call.profile
            self._written.floor_backoff.reset()
            self._written.read_soon(now)
            return []
        return self._accepted(call.profile, now, message_id)

    def timed_out(self, call: OwnCall, now: Now, message_id: str) -> list[Outcome]:
        """No answer within the CALL timeout: whether it is installed is not known."""
        self._in_flight = None
        if self._is_wiped_in_flight:
            return []
        if call.step is Step.READ_BACK:
            self._written.read_again(now)
            return []
        if call.step is Step.PARKED:
            return []
        if call.step is Step.FLOOR or call.profile is None:
            self._written.floor_backoff.failed(now)
            return []
        self._written.is_doubtful = True
        self._written.live_backoff.failed(now)
        state = OutcomeState.OUTCOME_STATE_TIMED_OUT
        return [self._outcome(state, asked_ma(call.profile, self.slot), now, message_id, urgent=True)]

    def measured(self, current_ma: int, now: Now) -> list[Outcome]:
        """The largest phase current of a reading. It proves a limit only where the draw was above it before."""
        self._seen_ma = current_ma
        live = self._written.live
        if live is None or self._written.is_doubtful or now.mono_ms < self._written.live_ms + SETTLE_MS:
            return []
        limit_ma = self._written.live_ma
        ceiling_ma = limit_ma + max(500, limit_ma // 20)
        if current_ma > ceiling_ma or self._seen_before_ma <= ceiling_ma:
            return []
        measured = OutcomeState.OUTCOME_STATE_MEASURED
        if self._proof is not None and self._proof.state == measured:
            return []
        return self._prove(measured, now, f"{current_ma} mA measured, {self._seen_before_ma} mA before")

    def _accepted(self, profile: Profile, now: Now, message_id: str) -> list[Outcome]:
        limit_ma = asked_ma(profile, self.slot)
        is_same = self._written.live_accepted(profile, now)
        if is_same and self._proof is not None and self._proof.slot == self.slot:
            # A renewal moves the end only; what is proved stays proved.
            kept = tuple(p for p in self._proof.profiles if p.id != profile.id)
            self._proof = replace(self._proof, profiles=(profile, *kept))
            return []
        if not is_same:
            self._seen_before_ma = self._seen_ma
            self._proof = None
        self._written.read_soon(now)
        return [self._outcome(OutcomeState.OUTCOME_STATE_ACCEPTED, limit_ma, now, message_id)]

    def _refused(self, call: OwnCall, now: Now, evidence: str) -> list[Outcome]:
        if call.step is Step.FLOOR or call.profile is None:
            self._written.floor_backoff.failed(now)
            return []
        self._written.live_backoff.failed(now)
        self._written.sent_ma = None
        state = OutcomeState.OUTCOME_STATE_REJECTED
        return [self._outcome(state, asked_ma(call.profile, self.slot), now, evidence, urgent=True)]

    def _read(self, payload: Payload | None, now: Now, message_id: str) -> list[Outcome]:
        live = self._written.live
        if live is None:
            return []
        read = None if payload is None else parse_read(payload, self.slot)
        if read is None:
            self._written.read_again(now)
            return []
        floor_ma = None if self._written.floor is None else self._settings.fallback_ma
        live_ok, self._is_floor_proved = proves(
            read, live_ma=self._written.live_ma, live_end_s=self._written.live_end_s(now), floor_ma=floor_ma
        )
        if live_ok:
            return self._prove(OutcomeState.OUTCOME_STATE_CONFIRMED, now, message_id)
        if self._written.read_again(now):
            return []
        self._written.is_doubtful, self._proof = True, None
        self._written.live_backoff.failed(now)
        evidence = f"{message_id}: composite {max(limit for _, limit in read.steps)} mA"
        return [self._outcome(OutcomeState.OUTCOME_STATE_REJECTED, self._written.live_ma, now, evidence, urgent=True)]

    def _prove(self, state: OutcomeState, now: Now, evidence: str) -> list[Outcome]:
        assert self._written.live is not None, "only an accepted limit can be proved"
        floor = (self._written.floor,) if self._written.floor is not None and self._is_floor_proved else ()
        self._proof = Proof(
            slot=self.slot,
            profiles=(self._written.live, *floor),
            limit_ma=self._written.live_ma,
            state=state,
            at_ms=now.mono_ms,
            evidence=evidence,
        )
        return [self._outcome(state, self._proof.limit_ma, now, evidence)]

    def _outcome(
        self, state: OutcomeState, limit_ma: int | None, now: Now, evidence: str, *, urgent: bool = False
    ) -> Outcome:
        return Outcome(
            asset_id=self._settings.asset_id,
            epoch=self._order[0],
            sequence=self._order[1],
            state=state,
            current_ma=limit_ma,
            at_mono_ms=now.mono_ms,
            evidence=evidence,
            fallback_ma=self.fallback_ma,
            urgent=urgent or self._has_lapsed or (self._lease is not None and self._lease.safety),
        )
