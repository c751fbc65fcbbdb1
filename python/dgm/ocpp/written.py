"""What we have written into the slot in use of one EVSE, and when what is to be written next.

    Wanted (limit, phases, flow, lease) ──┐
    floor, live, what was tried ──────────┴─> floor_due, live_due ──> floor_call, live_call ──> accepted, refused

The limit is written over the old one, never clear-then-set; raises and changes of a V2X flow are paced, reductions are
not. Knows nothing of setpoints, proofs and outcomes: the enforcer does.
"""

from __future__ import annotations

from dataclasses import dataclass

from dgm.machine import Now
from dgm.ocpp.own_profile import (
    Flow,
    Slot,
    asked_ma,
    floor_profile,
    flow_of,
    lease_end_utc_ms,
    live_profile,
    set_call,
    update_request,
)
from dgm.ocpp.pace import RAISE_INTERVAL_MS, SAFETY_RETRY_MS, WRITES_PER_DAY, Backoff, WriteBudget
from dgm.ocpp.profile import Profile, ProfileKind, Purpose
from dgm.ocpp.relay import OwnCall, Step

READ_RETRY_MS = (2_000, 5_000, 15_000)
"""Stations show a new profile late; after these a read-back that disagrees is a refusal."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What is to be in the station now.

    flow: of a V2X EVSE, None: it only charges. may_lease: the live limit may end by itself. is_urgent: a reduction goes
    before anything else.
    """

    limit_ma: int
    phases: int
    flow: Flow | None
    may_lease: bool
    is_urgent: bool


class Written:
    """See the module. `forget` begins anew: nothing is known of the slot."""

    def __init__(self, slot: Slot, lease_ms: int) -> None:
        self.slot = slot
        self.lease_ms = lease_ms
        """Of live limits; longer where the model's flash asks for it."""
        self.budget = WriteBudget(WRITES_PER_DAY)
        self.rewrite_after_pause_ms: int | None = None
        """The model ignores the first limit after 0 A: it is written again after this."""
        self.floor_backoff, self.live_backoff = Backoff(), Backoff()
        self._raised_ms: int | None = None
        self.forget()

    def forget(self) -> None:
        """Another connection, another slot, or a wipe: floor and live limit are to be written."""
        self.floor: Profile | None = None
        self.live: Profile | None = None
        self.live_ms = 0
        self.sent_ma: int | None = None
        self.is_doubtful = False
        """Whether the newest write stands is not known."""
        self.is_repair = True
        """Nothing stands until the next write: it goes before anything else."""
        self._tried_ms = 0
        self._tried_low_ma: int | None = None
        self._rewrite_ms: int | None = None
        self._read_tries = 0
        self.read_at_ms: int | None = None
        self.floor_backoff.reset()
        self.live_backoff.reset()

    @property
    def live_ma(self) -> int:
        """Of the live limit."""
        assert self.live is not None, "asked only with a live limit"
        return asked_ma(self.live, self.slot)

    def is_reduction(self, wanted: Wanted) -> bool:
        """It is below the live limit."""
        return self.live is not None and wanted.limit_ma < self.live_ma

    def is_live_first(self, wanted: Wanted) -> bool:
        """The live limit goes before the floor."""
        return self._takes_over or self.is_reduction(wanted)

    @property
    def _takes_over(self) -> bool:
        """In a TX slot beside a pair that holds: the limit goes first, without lease.

        The floor alone would lead there: below the limit it pauses the car, above it lets it draw what nobody counts.
        """
        return self.slot.purpose is Purpose.TX and self.live is None and not self.is_repair

    # When.

    def floor_due(self) -> int | None:
        """Mono ms at which the floor may be written; None: it stands, there is none, or it must not lead."""
        is_due = self.floor is None and self.slot.has_floor and not self._takes_over
        return self.floor_backoff.at_ms if is_due else None

    def live_due(self, wanted: Wanted) -> int | None:
        """Mono ms at which the live limit may be written; None: it is as wanted."""
        due_ms = self._live_wanted(wanted)
        if due_ms is None:
            return None
        allowed_ms = self.live_backoff.at_ms
        if self._tried_low_ma is not None and wanted.limit_ma < self._tried_low_ma:
            allowed_ms = min(allowed_ms, self._tried_ms + SAFETY_RETRY_MS)
        return max(due_ms, allowed_ms)

    def _live_wanted(self, wanted: Wanted) -> int | None:
        live = self.live
        if live is None or self.is_doubtful or wanted.limit_ma < self.live_ma:
            return 0
        if live.periods[0].phases != wanted.phases:
            return 0
        end_ms = lease_end_utc_ms(live)
        renew_ms = None if end_ms is None else self.live_ms + self.lease_ms // 2
        if wanted.limit_ma > self.live_ma:
            raise_ms = self._raise_ms()
            return raise_ms if renew_ms is None else min(raise_ms, renew_ms)
        if wanted.flow != flow_of(live, self.slot):
            # A setpoint may change every second: written as often as a raise.
            flow_ms = max(self.live_ms + RAISE_INTERVAL_MS, self.budget.raise_ms)
            renew_ms = flow_ms if renew_ms is None else min(renew_ms, flow_ms)
        if self._rewrite_ms is not None:
            renew_ms = self._rewrite_ms if renew_ms is None else min(renew_ms, self._rewrite_ms)
        return 0 if (end_ms is not None) != wanted.may_lease else renew_ms

    def _raise_ms(self) -> int:
        paced_ms = 0 if self._raised_ms is None else self._raised_ms + RAISE_INTERVAL_MS
        return max(paced_ms, self.budget.raise_ms)

    # What.

    def floor_call(self, fallback_ma: int, now: Now) -> OwnCall:
        """Writes the floor."""
        profile = floor_profile(self.slot, limit_ma=fallback_ma, utc_ms=now.utc_ms)
        return self._set_call(Step.FLOOR, profile, safety=self.is_repair)

    def live_call(self, wanted: Wanted, now: Now) -> OwnCall:
        """Writes the live limit, or renews it."""
        profile = live_profile(
            self.slot,
            limit_ma=self._live_call_ma(wanted, now),
            utc_ms=now.utc_ms,
            lease_ms=self.lease_ms if wanted.may_lease else None,
            phases=wanted.phases,
            flow=wanted.flow,
        )
        safety = self.is_repair or (wanted.is_urgent and self.is_reduction(wanted))
        live = self.live
        if live is not None and live.kind is ProfileKind.DYNAMIC and live.duration_s == profile.duration_s:
            payload = update_request(profile)
            action = "UpdateDynamicSchedule"
            return OwnCall(step=Step.LIVE, action=action, payload=payload, safety=safety, profile=profile)
        return self._set_call(Step.LIVE, profile, safety=safety)

    def _live_call_ma(self, wanted: Wanted, now: Now) -> int:
        """The target; a raise that must still wait leaves a renewal at what is installed."""
        if self.live is None or self.is_doubtful or wanted.limit_ma <= self.live_ma:
            return wanted.limit_ma
        return wanted.limit_ma if self._raise_ms() <= now.mono_ms else self.live_ma

    def _set_call(self, step: Step, profile: Profile, *, safety: bool) -> OwnCall:
        action, payload = set_call(profile, self.slot)
        return OwnCall(step=step, action=action, payload=payload, safety=safety, profile=profile)

    # What came of it.

    def live_sent(self, profile: Profile, now: Now) -> int | None:
        """A live limit is on its way; its mA where that is news."""
        limit_ma = asked_ma(profile, self.slot)
        self._tried_ms = now.mono_ms
        self._tried_low_ma = limit_ma if self._tried_low_ma is None else min(self._tried_low_ma, limit_ma)
        if self.live is not None and self.live_ma == limit_ma and not self.is_doubtful:
            return None
        self.sent_ma = limit_ma
        return limit_ma

    def live_accepted(self, profile: Profile, now: Now) -> bool:
        """The station took it. True: only a renewal of what stood already."""
        before, limit_ma = self.live, asked_ma(profile, self.slot)
        before_ma = None if before is None else asked_ma(before, self.slot)
        is_same = before_ma == limit_ma and not self.is_doubtful
        if before_ma is not None and limit_ma > before_ma:
            self._raised_ms = now.mono_ms
        self._rewrite_ms = None
        if self.rewrite_after_pause_ms is not None and before_ma == 0 < limit_ma:
            self._rewrite_ms = now.mono_ms + self.rewrite_after_pause_ms
        self.live, self.live_ms = profile, now.mono_ms
        self.is_doubtful, self.is_repair, self.sent_ma, self._tried_low_ma = False, False, None, None
        self.live_backoff.reset()
        return is_same

    def restore(self, *, floor: Profile | None, live: Profile | None, live_ms: int) -> None:
        """What stood in this slot before stands in it again."""
        self.floor, self.live, self.live_ms, self.is_repair = floor, live, live_ms, floor is None

    # Read-backs.

    def read_soon(self, now: Now) -> None:
        """Plan a read-back, where they say anything."""
        if self.live is not None and self.slot.reads_back:
            self.read_at_ms, self._read_tries = now.mono_ms, 0

    def read_again(self, now: Now) -> bool:
        """Plan another read-back; False: they are used up."""
        if self._read_tries >= len(READ_RETRY_MS):
            return False
        self.read_at_ms = now.mono_ms + READ_RETRY_MS[self._read_tries]
        self._read_tries += 1
        return True

    def live_end_s(self, now: Now) -> int | None:
        """Seconds to the end of the live limit; None: it has none."""
        end_ms = None if self.live is None else lease_end_utc_ms(self.live)
        return None if end_ms is None else max(0, end_ms - now.utc_ms) // 1000
