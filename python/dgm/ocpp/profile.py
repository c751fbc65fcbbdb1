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


class OperationMode(Enum):
    """operationMode of a period (2.1 part 2, Q 2.2), as far as a site can honour it."""

    CHARGING_ONLY = "ChargingOnly"
    CENTRAL_SETPOINT = "CentralSetpoint"
    CENTRAL_FREQUENCY = "CentralFrequency"
    EXTERNAL_LIMITS = "ExternalLimits"
    """The limits are the site's to give."""
    IDLE = "Idle"


UNLIMITED_MILLI = 10_000_000_000
"""A or W that stand where a period leaves a limit to others: more than any EVSE has."""

PHASES_DEFAULT = 3
"""What an absent numberPhases means (1.6 7.13, K01.FR.49)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Period:
    """From start_s after the schedule's start: at most limit_milli (mA per phase or mW) on `phases` phases.

    discharge_milli (2.1, <= 0): dischargeLimit, the least that may flow. setpoint_milli (2.1): what should flow,
    negative gives back; None: whatever the car wants.
    """

    start_s: int
    limit_milli: int
    phases: int = PHASES_DEFAULT
    phase_to_use: int | None = None
    mode: OperationMode = OperationMode.CHARGING_ONLY
    discharge_milli: int = 0
    setpoint_milli: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SocLimit:
    """limitAtSoC (2.1): from this state of charge on limits and setpoints are at most limit_milli (K01.FR.100)."""

    soc_permille: int
    limit_milli: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """One charging profile of one EVSE (1.6: connector; 0: the station).

    set_utc_ms: when it was received; a Dynamic one (2.1): when its limit was last updated. Of a schedule that is
    relative to nothing better (1.6 allows it for MAX) it is also the start. min_rate_milli: minChargingRate.
    max_offline_s: no longer valid after that long offline; is_lost_offline: nor after the reconnection.
    random_delay_s: periods but the first begin up to so much later (2.1, K01.FR.92). pull_s: a Dynamic one is asked for
    anew so long after its last update (K28.FR.10); None: never.
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
    random_delay_s: int = 0
    soc_limit: SocLimit | None = None
    pull_s: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Transaction:
    """A running transaction. start_utc_ms: when energy could first flow, where Relative schedules begin."""

    id: int | str | None
    start_utc_ms: int
