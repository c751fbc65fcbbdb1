"""A charging profile as OCPP 1.6, 2.0.1 and 2.1 mean it, in one shape: the vocabulary of everything about profiles.

    1.6  connectorId, ChargePointMaxProfile    ─┐
    2.x  evseId, ChargingStationMaxProfile, ... ─┴─> Profile ──> composite, virtual store, what we install

Limits are thousandths of an ampere per phase or of a watt over all phases; times are UTC ms; None means "not given".
Holds no rules but how a profile is ordered in time; reading and writing the wire's forms is `profile_codec`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Purpose(Enum):
    """chargingProfilePurpose; the values are ours, the wire's words differ by version."""

    MAX = "max"
    """All EVSEs of the station together; EVSE 0 only."""
    TX_DEFAULT = "tx_default"
    TX = "tx"
    EXTERNAL = "external"
    """2.x: a limit that is not the CSMS's."""
    PRIORITY = "priority"
    """2.1: overrules TX and TX_DEFAULT while it is activated."""
    LOCAL_GENERATION = "local_generation"
    """2.1: added on top of the minimum of the others."""


class ProfileKind(Enum):
    """chargingProfileKind."""

    ABSOLUTE = "Absolute"
    RECURRING = "Recurring"
    RELATIVE = "Relative"
    DYNAMIC = "Dynamic"


class RateUnit(Enum):
    """chargingRateUnit: amperes per phase, or watts over all phases at nominal voltage."""

    A = "A"
    W = "W"


PHASES_DEFAULT = 3
"""What an absent numberPhases means (1.6 7.13, K01.FR.49)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Period:
    """From start_s after the schedule's start: at most limit_milli (mA per phase or mW) on `phases` phases."""

    start_s: int
    limit_milli: int
    phases: int = PHASES_DEFAULT
    phase_to_use: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """One charging profile of one EVSE (1.6: connector; 0: the station).

    set_utc_ms: when it was received; a Dynamic one (2.1): when its limit was last updated. Of a schedule that is
    relative to nothing better (1.6 allows it for MAX) it is also the start. min_rate_milli: minChargingRate.
    max_offline_s: no longer valid after that long offline; is_lost_offline: nor after the reconnection.
    """

    evse_id: int
    id: int
    stack_level: int
    purpose: Purpose
    kind: ProfileKind
    unit: RateUnit
    periods: tuple[Period, ...]
    set_utc_ms: int = 0
    start_utc_ms: int | None = None
    duration_s: int | None = None
    valid_from_utc_ms: int | None = None
    valid_to_utc_ms: int | None = None
    recurrency_s: int | None = None
    transaction_id: int | str | None = None
    min_rate_milli: int | None = None
    max_offline_s: int | None = None
    is_lost_offline: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Transaction:
    """A running transaction. start_utc_ms: when energy could first flow, where Relative schedules begin."""

    id: int | str | None
    start_utc_ms: int
