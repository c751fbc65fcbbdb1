"""Keeps one station's floor and live limit installed and proved: mode `max`, OCPP 1.6.

    SetpointIn (lease) ──> target ──> FLOOR, LIVE, READ_BACK calls ──> SENT > ACCEPTED > CONFIRMED > MEASURED

The newest setpoint wins and is written over the old limit, never clear-then-set; when its lease ends the target is the
fallback. The live limit is itself a lease in the station (validTo), renewed at half its time; when nobody renews it the
floor holds. Where the station refuses the floor or its clock is wrong, no lease is installed: the live limit stands
without end and no floor is reported (safety rules, section 4). Does not see frames; the session asks `next` when the
lane is free. Absent: other purposes when a station refuses ChargePointMaxProfile.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from dgm.api.ems.v1.ems_pb2 import OutcomeState
from dgm.machine import Now
from dgm.ocpp.events import Outcome, SetpointIn
from dgm.ocpp.frame import Payload
from dgm.ocpp.profile import (
    Profile,
    composite,
    floor_profile,
    live_profile,
    parse_read_back,
    proves,
    set_request,
)
from dgm.ocpp.relay import OwnCall, Step
from dgm.ocpp.store import StationSettings

RAISE_INTERVAL_MS = 5_000
"""Write budget: raises at most this often. Reductions are never held back."""

RETRY_MS = (5_000, 30_000, 120_000, 480_000, 1_800_000)
"""After a refused or unanswered write; the last one repeats. About six tries in an hour."""

SAFETY_RETRY_MS = 5_000
"""A reduction below everything tried so far may go sooner than its turn."""

READ_RETRY_MS = (2_000, 5_000, 15_000)
"""Stations show a new profile late; after these a read-back that disagrees is a refusal."""

READ_BEYOND_S = 60
"""How far past the live limit's end a read-back looks for the floor."""

SETTLE_MS = 2_000
"""A reading earlier than this after a write may still show the car before it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """The newest setpoint."""

    current_ma: int
    ends_ms: int
    safety: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """What is proved installed. profiles: the live limit, and the floor where it is proved too."""

    profiles: tuple[Profile, ...]
    limit_ma: int
    state: OutcomeState
    at_ms: int
    evidence: str


class Backoff:
    """When a failing write may be tried again."""

    def __init__(self) -> None:
        self.failures = 0
        self.at_ms = 0

    def failed(self, now: Now) -> None:
        """Count a failure."""
        self.at_ms = now.mono_ms + RETRY_MS[min(self.failures, len(RETRY_MS) - 1)]
        self.failures += 1

    def reset(self) -> None:
        """It works, or the station is another one now."""
        self.failures, self.at_ms = 0, 0


class Enforcer:
    """See the module. All outcomes carry the newest setpoint's sequence."""

    def __init__(self, settings: StationSettings) -> None:
        self._settings = settings
        self._order = (0, 0)
        self._lease: Lease | None = None
        self._has_lapsed = False
        self._proof: Proof | None = None
        self._is_floor_proved = False
        self._is_unsure = False
        self._clock_good = True
        self._floor_backoff, self._live_backoff = Backoff(), Backoff()
        self._seen_ma = 0
        self._raised_ms: int | None = None
        self._forget_installed()

    def _forget_installed(self) -> None:
        self._floor: Profile | None = None
        self._live: Profile | None = None
        self._live_ms = 0
        self._sent_ma: int | None = None
        self._tried_ms = 0
        self._tried_low_ma: int | None = None
        self._is_doubtful = False
        self._is_repair = True
        self._read_at_ms: int | None = None
        self._read_tries = 0
        self._seen_before_ma = 0
        self._in_flight: OwnCall | None = None
        self._is_wiped_in_flight = False
        self._floor_backoff.reset()
        self._live_backoff.reset()

    @property
    def limit_ma(self) -> int | None:
        """Newest setpoint in force, mA; None: none, the fallback holds."""
        return None if self._lease is None else self._lease.current_ma

    @property
    def proof_state(self) -> OutcomeState:
        """How far the installed limit is proved."""
        if self._proof is not None:
            return self._proof.state
        if self._live is not None:
            return OutcomeState.OUTCOME_STATE_ACCEPTED
        return OutcomeState.OUTCOME_STATE_UNSPECIFIED

    @property
    def fallback_ma(self) -> int | None:
        """The floor, if it is proved and comes into force when nobody renews; None: none proved."""
        leased = self._live is None or self._live.valid_to_utc_ms is not None
        return self._settings.fallback_ma if self._is_floor_proved and leased else None

    def proved_ma(self, now: Now) -> int | None:
        """What the station is proved to keep to now: the live limit, or the floor after its end."""
        return None if self._proof is None else composite(self._proof.profiles, now.utc_ms)

    def setpoint(self, event: SetpointIn, now: Now) -> list[Outcome]:
        """Take a setpoint; an older one is refused. A value that is proved already is reported at once."""
        order = (event.epoch, event.sequence)
        is_renewal = order == self._order
        if order < self._order:
            return []
        self._order, self._has_lapsed = order, False
        limit_ma = max(0, min(event.current_ma, self._settings.current_max_ma)) // 100 * 100
        self._lease = Lease(current_ma=limit_ma, ends_ms=now.mono_ms + event.ttl_ms, safety=event.safety)
        proof, live = self._proof, self._live
        is_held = live is not None and _limit(live) == limit_ma and not self._is_doubtful
        if is_renewal or proof is None or not is_held or proof.limit_ma != limit_ma:
            return []
        return [self._outcome(proof.state, limit_ma, now, proof.evidence)]

    def connected(self, now: Now) -> list[Outcome]:
        """The station is here: floor and live limit are to be installed and proved again.

        Where the live limit ended while it was away, what it keeps to now is said first. A write whose answer was lost
        may have been installed after what is proved, so then nothing is.
        """
        self._forget_installed()
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
        self._is_unsure = self._is_doubtful or (self._in_flight is not None and self._in_flight.profile is not None)
        self._forget_installed()

    def wiped(self, now: Now, evidence: str) -> list[Outcome]:
        """Something passed that can remove our profiles: nothing is proved, install again at once."""
        in_flight = self._in_flight
        self._forget_installed()
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
        live = self._live
        if live is None or live.valid_to_utc_ms is None or now.utc_ms < live.valid_to_utc_ms:
            return []
        self._live = None
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
        if self._live is not None and self._proof is None:
            found.append(self._outcome(OutcomeState.OUTCOME_STATE_ACCEPTED, _limit(self._live), now, "accepted"))
        elif self._sent_ma is not None:
            found.append(self._outcome(OutcomeState.OUTCOME_STATE_SENT, self._sent_ma, now, "sent"))
        return found

    # What to send.

    def next(self, now: Now) -> OwnCall | int | None:
        """The CALL to send now, or the mono ms at which to ask again, or None. Asked only while the lane is free."""
        if self._in_flight is not None:
            return None
        floor: tuple[int | None, Callable[[Now], OwnCall]] = (self._floor_due(), self._floor_call)
        live: tuple[int | None, Callable[[Now], OwnCall]] = (self._live_due(), self._live_call)
        read: tuple[int | None, Callable[[Now], OwnCall]] = (self._read_at_ms, self._read_call)
        for at_ms, build in (live, floor, read) if self._is_reduction() else (floor, live, read):
            if at_ms is not None and at_ms <= now.mono_ms:
                return build(now)
        ends = self._lease.ends_ms if self._lease else None
        return min((at for at in (floor[0], live[0], read[0], ends) if at is not None), default=None)

    def _target_ma(self) -> int:
        return self._settings.fallback_ma if self._lease is None else self._lease.current_ma

    def _is_reduction(self) -> bool:
        return self._live is not None and self._target_ma() < _limit(self._live)

    def _may_lease(self) -> bool:
        return self._floor is not None and self._clock_good

    def _floor_due(self) -> int | None:
        return self._floor_backoff.at_ms if self._floor is None else None

    def _live_due(self) -> int | None:
        due_ms = self._live_wanted()
        if due_ms is None:
            return None
        allowed_ms = self._live_backoff.at_ms
        if self._tried_low_ma is not None and self._target_ma() < self._tried_low_ma:
            allowed_ms = min(allowed_ms, self._tried_ms + SAFETY_RETRY_MS)
        return max(due_ms, allowed_ms)

    def _live_wanted(self) -> int | None:
        live = self._live
        if live is None or self._is_doubtful or self._target_ma() < _limit(live):
            return 0
        if self._target_ma() > _limit(live):
            return 0 if self._raised_ms is None else self._raised_ms + RAISE_INTERVAL_MS
        if (live.valid_to_utc_ms is not None) != self._may_lease():
            return 0
        return None if live.valid_to_utc_ms is None else self._live_ms + self._settings.profile_lease_ms // 2

    def _floor_call(self, now: Now) -> OwnCall:
        settings = self._settings
        profile = floor_profile(
            limit_ma=settings.fallback_ma, max_stack_level=settings.max_stack_level, utc_ms=now.utc_ms
        )
        return _set_call(Step.FLOOR, profile, safety=self._is_repair)

    def _live_call(self, now: Now) -> OwnCall:
        settings = self._settings
        profile = live_profile(
            limit_ma=self._target_ma(),
            max_stack_level=settings.max_stack_level,
            utc_ms=now.utc_ms,
            lease_ms=settings.profile_lease_ms if self._may_lease() else None,
        )
        urgent = self._has_lapsed or (self._lease is not None and self._lease.safety)
        return _set_call(Step.LIVE, profile, safety=self._is_repair or (urgent and self._is_reduction()))

    def _read_call(self, now: Now) -> OwnCall:
        end_s = self._live_end_s(now)
        payload: Payload = {
            "connectorId": 0,
            "duration": READ_BEYOND_S + (end_s or 0),
            "chargingRateUnit": "A",
        }
        return OwnCall(step=Step.READ_BACK, action="GetCompositeSchedule", payload=payload)

    def _live_end_s(self, now: Now) -> int | None:
        if self._live is None or self._live.valid_to_utc_ms is None:
            return None
        return max(0, self._live.valid_to_utc_ms - now.utc_ms) // 1000

    # What came of it.

    def sent(self, call: OwnCall, now: Now, message_id: str) -> list[Outcome]:
        """A call of `next` is on its way."""
        self._in_flight, self._is_wiped_in_flight = call, False
        if call.step is Step.READ_BACK:
            self._read_at_ms = None
        if call.step is not Step.LIVE or call.profile is None:
            return []
        limit_ma = _limit(call.profile)
        self._tried_ms = now.mono_ms
        self._tried_low_ma = limit_ma if self._tried_low_ma is None else min(self._tried_low_ma, limit_ma)
        if self._live is not None and _limit(self._live) == limit_ma and not self._is_doubtful:
            return []
        self._sent_ma = limit_ma
        return [self._outcome(OutcomeState.OUTCOME_STATE_SENT, limit_ma, now, message_id)]

    def answered(self, call: OwnCall, payload: Payload | None, now: Now, message_id: str, error: str) -> list[Outcome]:
        """The station answered; payload None: with CALLERROR `error`, or unreadably."""
        self._in_flight = None
        if self._is_wiped_in_flight:
            return []
        if call.step is Step.READ_BACK:
            return self._read(payload, now, message_id)
        status = payload.get("status") if payload is not None else None
        if status != "Accepted":
            return self._refused(call, now, f"{message_id}: {status or error or 'unreadable answer'}"[:120])
        assert call.profile is not None, "FLOOR and LIVE carry their profile"
        if call.step is Step.FLOOR:
            self._floor = call.profile
            self._floor_backoff.reset()
            self._read_soon(now)
            return []
        return self._accepted(call.profile, now, message_id)

    def timed_out(self, call: OwnCall, now: Now, message_id: str) -> list[Outcome]:
        """No answer within the CALL timeout: whether it is installed is not known."""
        self._in_flight = None
        if self._is_wiped_in_flight:
            return []
        if call.step is Step.READ_BACK:
            self._read_again(now)
            return []
        if call.step is Step.FLOOR or call.profile is None:
            self._floor_backoff.failed(now)
            return []
        self._is_doubtful = True
        self._live_backoff.failed(now)
        state = OutcomeState.OUTCOME_STATE_TIMED_OUT
        return [self._outcome(state, _limit(call.profile), now, message_id, urgent=True)]

    def measured(self, current_ma: int, now: Now) -> list[Outcome]:
        """The largest phase current of a reading. It proves a limit only where the draw was above it before."""
        self._seen_ma = current_ma
        live = self._live
        if live is None or self._is_doubtful or now.mono_ms < self._live_ms + SETTLE_MS:
            return []
        limit_ma = _limit(live)
        ceiling_ma = limit_ma + max(500, limit_ma // 20)
        if current_ma > ceiling_ma or self._seen_before_ma <= ceiling_ma:
            return []
        measured = OutcomeState.OUTCOME_STATE_MEASURED
        if self._proof is not None and self._proof.state == measured:
            return []
        return self._prove(measured, now, f"{current_ma} mA measured, {self._seen_before_ma} mA before")

    def _accepted(self, profile: Profile, now: Now, message_id: str) -> list[Outcome]:
        before, limit_ma = self._live, _limit(profile)
        is_same = before is not None and _limit(before) == limit_ma and not self._is_doubtful
        if before is not None and limit_ma > _limit(before):
            self._raised_ms = now.mono_ms
        self._live, self._live_ms = profile, now.mono_ms
        self._is_doubtful, self._is_repair, self._sent_ma, self._tried_low_ma = False, False, None, None
        self._live_backoff.reset()
        if is_same and self._proof is not None:
            # A renewal moves the end only; what is proved stays proved.
            kept = tuple(p for p in self._proof.profiles if p.id != profile.id)
            self._proof = self._replaced_proof((profile, *kept))
            return []
        if not is_same:
            self._seen_before_ma = self._seen_ma
            self._proof = None
        self._read_soon(now)
        return [self._outcome(OutcomeState.OUTCOME_STATE_ACCEPTED, limit_ma, now, message_id)]

    def _refused(self, call: OwnCall, now: Now, evidence: str) -> list[Outcome]:
        if call.step is Step.FLOOR or call.profile is None:
            self._floor_backoff.failed(now)
            return []
        self._live_backoff.failed(now)
        self._sent_ma = None
        state = OutcomeState.OUTCOME_STATE_REJECTED
        return [self._outcome(state, _limit(call.profile), now, evidence, urgent=True)]

    def _read(self, payload: Payload | None, now: Now, message_id: str) -> list[Outcome]:
        live = self._live
        if live is None:
            return []
        read = None if payload is None else parse_read_back(payload, self._settings.nominal_voltage_mv)
        if read is None:
            self._read_again(now)
            return []
        floor_ma = None if self._floor is None else _limit(self._floor)
        live_ok, self._is_floor_proved = proves(
            read, live_ma=_limit(live), live_end_s=self._live_end_s(now), floor_ma=floor_ma
        )
        if live_ok:
            return self._prove(OutcomeState.OUTCOME_STATE_CONFIRMED, now, message_id)
        if self._read_again(now):
            return []
        self._is_doubtful, self._proof = True, None
        self._live_backoff.failed(now)
        evidence = f"{message_id}: composite {max(limit for _, limit in read.steps)} mA"
        return [self._outcome(OutcomeState.OUTCOME_STATE_REJECTED, _limit(live), now, evidence, urgent=True)]

    def _prove(self, state: OutcomeState, now: Now, evidence: str) -> list[Outcome]:
        assert self._live is not None, "only an accepted limit can be proved"
        floor = (self._floor,) if self._floor is not None and self._is_floor_proved else ()
        self._proof = Proof(
            profiles=(self._live, *floor),
            limit_ma=_limit(self._live),
            state=state,
            at_ms=now.mono_ms,
            evidence=evidence,
        )
        return [self._outcome(state, self._proof.limit_ma, now, evidence)]

    def _replaced_proof(self, profiles: tuple[Profile, ...]) -> Proof:
        assert self._proof is not None, "called with a proof in hand"
        return replace(self._proof, profiles=profiles)

    def _read_soon(self, now: Now) -> None:
        if self._live is not None:
            self._read_at_ms, self._read_tries = now.mono_ms, 0

    def _read_again(self, now: Now) -> bool:
        """Plan another read-back; False: they are used up."""
        if self._read_tries >= len(READ_RETRY_MS):
            return False
        self._read_at_ms = now.mono_ms + READ_RETRY_MS[self._read_tries]
        self._read_tries += 1
        return True

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


def _limit(profile: Profile) -> int:
    return profile.periods[0].limit_milli


def _set_call(step: Step, profile: Profile, *, safety: bool) -> OwnCall:
    return OwnCall(step=step, action="SetChargingProfile", payload=set_request(profile), safety=safety, profile=profile)
