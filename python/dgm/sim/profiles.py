"""The charging profiles in a simulated OCPP 1.6 station and what they allow: an own reading of the standard.

    SetChargingProfile ──> ProfileStore ──limit_ma(connector, now)──> offered current
    ClearChargingProfile ──┘           └──composite()──> GetCompositeSchedule

Rules (OCPP 1.6 3.13): of each purpose the highest stackLevel that is valid now leads; TxProfile overrules
TxDefaultProfile; the composite is the least over ChargePointMaxProfile and that one. It shares no code with the
product, on purpose.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from dgm.sim.plant import VOLTAGE_NOMINAL_V
from dgm.sim.stamps import parse_time

PROFILES_MAX = 20
STACK_LEVEL_MAX = 10
PERIODS_MAX = 24
DAY_S = 86_400

MAX, TX_DEFAULT, TX = "ChargePointMaxProfile", "TxDefaultProfile", "TxProfile"


@dataclass(frozen=True, slots=True, kw_only=True)
class Period:
    """From start_s (after the schedule's start) the limit, in the schedule's unit."""

    start_s: int
    limit: float
    phases: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """One installed profile. UTC in ms; start_ms None: starts when charging starts."""

    connector_id: int
    profile_id: int
    stack_level: int
    purpose: str
    in_watts: bool
    periods: tuple[Period, ...]
    start_ms: int | None
    duration_s: int | None
    valid_from_ms: int | None
    valid_to_ms: int | None
    transaction_id: int | None
    daily: bool = False

    def limit_ma(self, utc_ms: int, *, transaction_start_ms: int | None, phases: int) -> float | None:
        """What it allows per phase now; None: it says nothing now."""
        if self.valid_from_ms is not None and utc_ms < self.valid_from_ms:
            return None
        if self.valid_to_ms is not None and utc_ms >= self.valid_to_ms:
            return None
        start_ms = self.start_ms if self.start_ms is not None else transaction_start_ms
        # Before charging starts, a schedule that is relative to it stands at its first period.
        elapsed_s = 0.0 if start_ms is None else (utc_ms - start_ms) / 1000.0
        if self.daily:
            elapsed_s %= DAY_S
        if elapsed_s < 0 or (self.duration_s is not None and elapsed_s >= self.duration_s):
            return None
        begun = [period for period in self.periods if period.start_s <= elapsed_s]
        return _in_ma(begun[-1], in_watts=self.in_watts, phases=phases) if begun else None

    def edges_ms(self, transaction_start_ms: int | None) -> Iterable[int]:
        """Instants (UTC ms) at which its answer may change; the first day of a daily one."""
        yield from (edge for edge in (self.valid_from_ms, self.valid_to_ms) if edge is not None)
        start_ms = self.start_ms if self.start_ms is not None else transaction_start_ms
        if start_ms is not None:
            yield from (start_ms + period.start_s * 1000 for period in self.periods)
            if self.duration_s is not None:
                yield start_ms + self.duration_s * 1000


def _in_ma(period: Period, *, in_watts: bool, phases: int) -> float:
    if in_watts:
        return period.limit / (VOLTAGE_NOMINAL_V * min(period.phases, phases)) * 1000.0
    return period.limit * 1000.0


class ProfileStore:
    """All profiles of one station."""

    def __init__(self) -> None:
        self._profiles: list[Profile] = []

    @property
    def profiles(self) -> tuple[Profile, ...]:
        """What is installed."""
        return tuple(self._profiles)

    def install(self, profile: Profile, *, active_transactions: Mapping[int, int]) -> str:
        """Take a profile; `active_transactions`: transaction by connector. Returns the 1.6 status."""
        if not _is_acceptable(profile, active_transactions):
            return "Rejected"
        kept = [other for other in self._profiles if not _is_replaced(other, profile)]
        if len(kept) >= PROFILES_MAX:
            return "Rejected"
        self._profiles = [*kept, profile]
        return "Accepted"

    def clear(
        self, *, profile_id: int | None, connector_id: int | None, purpose: str | None, stack_level: int | None
    ) -> str:
        """Remove what matches: by id alone, or by all other criteria given. Returns the 1.6 status."""

        def matches(profile: Profile) -> bool:
            if profile_id is not None:
                return profile.profile_id == profile_id
            return (
                (connector_id is None or profile.connector_id == connector_id)
                and (purpose is None or profile.purpose == purpose)
                and (stack_level is None or profile.stack_level == stack_level)
            )

        kept = [profile for profile in self._profiles if not matches(profile)]
        removed = len(self._profiles) - len(kept)
        self._profiles = kept
        return "Accepted" if removed else "Unknown"

    def end_transaction(self, connector_id: int) -> None:
        """A transaction's own profiles end with it."""
        self._profiles = [p for p in self._profiles if not (p.purpose == TX and p.connector_id == connector_id)]

    def limit_ma(
        self,
        connector_id: int,
        utc_ms: int,
        *,
        hardware_ma: int,
        phases: int,
        transaction_start_ms: int | None,
        sharing: int = 1,
    ) -> int:
        """What the connector may offer per phase now; without any profile the hardware's maximum.

        `sharing`: connectors that share what ChargePointMaxProfile allows the whole station.
        """
        limits = [float(hardware_ma)]
        maximum = self._leading_ma(MAX, 0, utc_ms, transaction_start_ms, phases)
        if maximum is not None:
            limits.append(maximum / sharing)
        transaction = self._leading_ma(TX, connector_id, utc_ms, transaction_start_ms, phases)
        if transaction is None:
            transaction = self._default_ma(connector_id, utc_ms, transaction_start_ms, phases)
        if transaction is not None:
            limits.append(transaction)
        return math.floor(min(limits) + 1e-6)

    def _default_ma(self, connector_id: int, utc_ms: int, start_ms: int | None, phases: int) -> float | None:
        own = any(p.purpose == TX_DEFAULT and p.connector_id == connector_id for p in self._profiles)
        return self._leading_ma(TX_DEFAULT, connector_id if own else 0, utc_ms, start_ms, phases)

    def _leading_ma(
        self, purpose: str, connector_id: int, utc_ms: int, start_ms: int | None, phases: int
    ) -> float | None:
        best: tuple[int, float] | None = None
        for profile in self._profiles:
            if profile.purpose != purpose or profile.connector_id != connector_id:
                continue
            limit_ma = profile.limit_ma(utc_ms, transaction_start_ms=start_ms, phases=phases)
            if limit_ma is not None and (best is None or profile.stack_level > best[0]):
                best = (profile.stack_level, limit_ma)
        return None if best is None else best[1]

    def next_edge_ms(self, utc_ms: int, *, transaction_start_ms: int | None) -> int | None:
        """The first instant after utc_ms at which a limit may change by itself; None: never."""
        edges = [edge for p in self._profiles for edge in p.edges_ms(transaction_start_ms) if edge > utc_ms]
        if any(profile.daily for profile in self._profiles):
            edges.append(utc_ms + 1000)
        return min(edges, default=None)


def _is_acceptable(profile: Profile, active_transactions: Mapping[int, int]) -> bool:
    if not 0 <= profile.stack_level <= STACK_LEVEL_MAX or not 1 <= len(profile.periods) <= PERIODS_MAX:
        return False
    if profile.purpose == MAX:
        return profile.connector_id == 0
    if profile.purpose == TX:
        active = active_transactions.get(profile.connector_id)
        return active is not None and profile.transaction_id in (None, active)
    return profile.purpose == TX_DEFAULT


def _is_replaced(old: Profile, new: Profile) -> bool:
    same_slot = (old.purpose, old.connector_id, old.stack_level) == (new.purpose, new.connector_id, new.stack_level)
    return old.profile_id == new.profile_id or same_slot


def parse_profile(connector_id: int, raw: Mapping[str, Any]) -> Profile | None:
    """`csChargingProfiles` of a SetChargingProfile as a Profile; None: it cannot be understood."""
    try:
        schedule = raw["chargingSchedule"]
        kind = raw["chargingProfileKind"]
        start = schedule.get("startSchedule")
        return Profile(
            connector_id=connector_id,
            profile_id=int(raw["chargingProfileId"]),
            stack_level=int(raw["stackLevel"]),
            purpose=str(raw["chargingProfilePurpose"]),
            in_watts=schedule["chargingRateUnit"] == "W",
            periods=tuple(
                Period(start_s=int(p["startPeriod"]), limit=float(p["limit"]), phases=int(p.get("numberPhases", 3)))
                for p in schedule["chargingSchedulePeriod"]
            ),
            start_ms=None if kind == "Relative" or start is None else parse_time(start),
            duration_s=int(schedule["duration"]) if "duration" in schedule else None,
            valid_from_ms=parse_time(raw["validFrom"]) if "validFrom" in raw else None,
            valid_to_ms=parse_time(raw["validTo"]) if "validTo" in raw else None,
            transaction_id=int(raw["transactionId"]) if "transactionId" in raw else None,
            daily=kind == "Recurring",
        )
    except (KeyError, TypeError, ValueError, AttributeError):
        return None
