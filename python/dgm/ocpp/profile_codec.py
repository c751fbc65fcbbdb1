"""Charging profiles on the wire: read strictly, so that what we store is what the CSMS meant; written in its words.

    csChargingProfiles (1.6), chargingProfile (2.x) ──parse_profile──> Profile | Flaw
    Schedule ──composite_periods──> chargingSchedulePeriod, whole seconds and tenths, never above what holds

A Flaw is either a CALLERROR (the message breaks its schema: 1.6E 3.38-39) or a status Rejected with a reason code of
2.x (appendix 5; 1.6 drops the reason). What the gateway cannot honour exactly as a station is refused here: operation
modes whose setpoint is made at the station, limits per phase (the site gives every phase the same current), local time
(it does not know the station's), reactive setpoints, evseSleep (K01.FR.123, .126, .144). Units of V2X: W over all
phases, A per phase (K01.FR.51); a setpoint in A is refused, the standard says both.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import Decimal, InvalidOperation
from itertools import pairwise
from typing import Any

from dgm.ocpp import stamp
from dgm.ocpp.composite import Limit, Schedule
from dgm.ocpp.frame import Payload
from dgm.ocpp.profile import (
    PHASES_DEFAULT,
    UNLIMITED_MILLI,
    OperationMode,
    Period,
    Profile,
    ProfileKind,
    Purpose,
    RateUnit,
    SocLimit,
)
from dgm.ocpp.version import Version

MAX_PERIODS = 1024
MAX_LIMIT = 10_000_000
"""A or W; larger ones are no limits."""

MAX_DURATION_S = 10**9
MAX_DELAY_S = 86_400
RECURRENCY_S = {"Daily": 86_400, "Weekly": 604_800}

_PURPOSES_16 = {
    "ChargePointMaxProfile": Purpose.MAX,
    "TxDefaultProfile": Purpose.TX_DEFAULT,
    "TxProfile": Purpose.TX,
}
_PURPOSES_201 = {
    "ChargingStationMaxProfile": Purpose.MAX,
    "TxDefaultProfile": Purpose.TX_DEFAULT,
    "TxProfile": Purpose.TX,
    "ChargingStationExternalConstraints": Purpose.EXTERNAL,
}
_PURPOSES_21 = {**_PURPOSES_201, "PriorityCharging": Purpose.PRIORITY, "LocalGeneration": Purpose.LOCAL_GENERATION}
PURPOSES: Mapping[Version, Mapping[str, Purpose]] = {
    Version.V16: _PURPOSES_16,
    Version.V201: _PURPOSES_201,
    Version.V21: _PURPOSES_21,
}
"""chargingProfilePurpose as each version spells it."""


def purpose_name(purpose: Purpose, version: Version) -> str:
    """The version's word for a purpose that it knows."""
    return next(name for name, found in PURPOSES[version].items() if found is purpose)


@dataclass(frozen=True, slots=True, kw_only=True)
class Flaw:
    """Why a request is not done. is_error: `code` is a CALLERROR's; else a reason code for status Rejected."""

    code: str
    text: str
    is_error: bool = False


class _FlawedError(Exception):
    def __init__(self, flaw: Flaw) -> None:
        super().__init__(flaw.text)
        self.flaw = flaw


def parse_profile(body: object, *, evse_id: int, version: Version, utc_ms: int) -> Profile | Flaw:
    """One ChargingProfile for an EVSE (1.6: connector), received at utc_ms."""
    try:
        return _profile(_Reader(body, "chargingProfile", version), evse_id, utc_ms)
    except _FlawedError as error:
        return error.flaw


class _Reader:
    """Typed fields of one JSON object; what is wrong with one is raised with its name."""

    def __init__(self, body: object, where: str, version: Version) -> None:
        if not isinstance(body, dict):
            raise _error("TypeConstraintViolation", f"{where}: expected an object")
        self.body: Mapping[str, Any] = body
        self.where = where
        self.version = version

    def integer(self, name: str, *, low: int | None = None, high: int | None = None) -> int | None:
        found = self.body.get(name)
        if found is None:
            return None
        if not isinstance(found, int) or isinstance(found, bool):
            raise _error("TypeConstraintViolation", f"{self.where}.{name}: expected an integer")
        if (low is not None and found < low) or (high is not None and found > high):
            raise _error("PropertyConstraintViolation", f"{self.where}.{name}: {found} is out of range")
        return found

    def need_integer(self, name: str, *, low: int | None = None) -> int:
        found = self.integer(name, low=low)
        if found is None:
            raise self._missing(name)
        return found

    def word(self, name: str, words: Mapping[str, Any]) -> Any:
        found = self.body.get(name)
        if found is None:
            return None
        if not isinstance(found, str) or found not in words:
            raise _error("PropertyConstraintViolation", f"{self.where}.{name}: expected one of {', '.join(words)}")
        return words[found]

    def need_word(self, name: str, words: Mapping[str, Any]) -> Any:
        found = self.word(name, words)
        if found is None:
            raise self._missing(name)
        return found

    def utc_ms(self, name: str) -> int | None:
        found = self.body.get(name)
        if found is None:
            return None
        parsed = stamp.parse(found)
        if parsed is None:
            raise _error("TypeConstraintViolation", f"{self.where}.{name}: expected a date-time")
        return parsed

    def milli(self, name: str) -> int | None:
        """Thousandths of a number, rounded down; a negative or absurd one is a wrong schedule."""
        found = self.body.get(name)
        if found is None:
            return None
        if not isinstance(found, int | float) or isinstance(found, bool):
            raise _error("TypeConstraintViolation", f"{self.where}.{name}: expected a number")
        value = milli_of(found)
        if value is None:
            raise _refused("InvalidSchedule", f"{self.where}.{name}: expected 0 to {MAX_LIMIT}")
        return value

    def signed_milli(self, name: str) -> int | None:
        """Thousandths of a number of either sign, rounded towards 0: less is moved, whichever way."""
        found = self.body.get(name)
        if isinstance(found, int | float) and not isinstance(found, bool) and found < 0:
            value = milli_of(-found)
            if value is None:
                raise _refused("InvalidSchedule", f"{self.where}.{name}: expected {-MAX_LIMIT} to {MAX_LIMIT}")
            return -value
        return self.milli(name)

    def items(self, name: str) -> list[object]:
        found = self.body.get(name)
        if found is None:
            raise self._missing(name)
        if not isinstance(found, list):
            raise _error("TypeConstraintViolation", f"{self.where}.{name}: expected a list")
        if not found:
            raise self._missing(name)
        return found

    def _missing(self, name: str) -> _FlawedError:
        return _error(_occurrence(self.version), f"{self.where}.{name}: missing")


def _profile(reader: _Reader, evse_id: int, utc_ms: int) -> Profile:
    version = reader.version
    kinds = {kind.value: kind for kind in ProfileKind if kind is not ProfileKind.DYNAMIC or version is Version.V21}
    kind: ProfileKind = reader.need_word("chargingProfileKind", kinds)
    purpose: Purpose = reader.need_word("chargingProfilePurpose", PURPOSES[version])
    schedule = _only_schedule(reader)
    recurrency_s = reader.word("recurrencyKind", RECURRENCY_S)
    profile_id = reader.need_integer("id" if version.is_2x else "chargingProfileId")
    profile = Profile(
        evse_id=evse_id,
        id=profile_id,
        stack_level=reader.need_integer("stackLevel", low=0),
        purpose=purpose,
        kind=kind,
        unit=schedule.need_word("chargingRateUnit", {unit.value: unit for unit in RateUnit}),
        periods=_periods(schedule),
        set_utc_ms=reader.utc_ms("dynUpdateTime") or utc_ms if version is Version.V21 else utc_ms,
        start_utc_ms=schedule.utc_ms("startSchedule"),
        duration_s=schedule.integer("duration", low=0, high=MAX_DURATION_S),
        valid_from_utc_ms=reader.utc_ms("validFrom"),
        valid_to_utc_ms=reader.utc_ms("validTo"),
        recurrency_s=recurrency_s if kind is ProfileKind.RECURRING else None,
        transaction_id=_transaction_id(reader),
        min_rate_milli=schedule.milli("minChargingRate"),
        max_offline_s=reader.integer("maxOfflineDuration", low=0, high=MAX_DURATION_S),
        is_lost_offline=reader.body.get("invalidAfterOfflineDuration") is True,
        random_delay_s=schedule.integer("randomizedDelay", low=0, high=MAX_DELAY_S) or 0,
        soc_limit=_soc_limit(schedule),
        pull_s=reader.integer("dynUpdateInterval", low=0, high=MAX_DURATION_S) or None,
    )
    _check_kind(profile, reader, schedule)
    return profile


def _only_schedule(reader: _Reader) -> _Reader:
    """1.6 has one; of the up to three of 2.x only one is allowed outside ISO 15118 (K01.FR.34)."""
    if not reader.version.is_2x:
        if reader.body.get("chargingSchedule") is None:
            raise _error(_occurrence(reader.version), "chargingProfile.chargingSchedule: missing")
        return _Reader(reader.body["chargingSchedule"], "chargingSchedule", reader.version)
    found = reader.items("chargingSchedule")
    if len(found) > 1:
        raise _refused("InvalidSchedule", "more than one chargingSchedule outside ISO 15118")
    schedule = _Reader(found[0], "chargingSchedule", reader.version)
    if schedule.body.get("useLocalTime"):
        raise _refused("InvalidSchedule", "useLocalTime is not supported (K01.FR.123)")
    if reader.version is not Version.V21:
        # 2.0.1 does not know them.
        unknown = ("randomizedDelay", "limitAtSoC")
        schedule.body = {name: value for name, value in schedule.body.items() if name not in unknown}
    return schedule


def _soc_limit(schedule: _Reader) -> SocLimit | None:
    if schedule.body.get("limitAtSoC") is None:
        return None
    found = _Reader(schedule.body["limitAtSoC"], "limitAtSoC", schedule.version)
    percent, limit_milli = found.integer("soc", low=0, high=100), found.milli("limit")
    if percent is None or limit_milli is None:
        raise _error(_occurrence(schedule.version), "limitAtSoC: soc and limit are needed")
    return SocLimit(soc_permille=percent * 10, limit_milli=limit_milli)


def _transaction_id(reader: _Reader) -> int | str | None:
    found = reader.body.get("transactionId")
    kind = str if reader.version.is_2x else int
    if found is not None and (not isinstance(found, kind) or isinstance(found, bool)):
        raise _error("TypeConstraintViolation", "chargingProfile.transactionId: wrong type")
    return found


def _periods(schedule: _Reader) -> tuple[Period, ...]:
    """In order, the first at 0 (K01.FR.31, .35; 1.6E 3.45)."""
    found = schedule.items("chargingSchedulePeriod")
    if len(found) > MAX_PERIODS:
        raise _refused("TooManyElements", f"more than {MAX_PERIODS} chargingSchedulePeriod")
    periods = tuple(_period(_Reader(item, "chargingSchedulePeriod", schedule.version)) for item in found)
    starts = [period.start_s for period in periods]
    if starts[0] != 0 or any(later <= earlier for earlier, later in pairwise(starts)):
        raise _refused("InvalidSchedule", "startPeriod must begin at 0 and rise")
    return periods


def _period(reader: _Reader) -> Period:
    start_s = reader.need_integer("startPeriod", low=0)
    phases = reader.integer("numberPhases")
    phase_to_use = reader.integer("phaseToUse") if reader.version.is_2x else None
    if phases not in (None, 1, 2, 3) or phase_to_use not in (None, 1, 2, 3):
        raise _refused("InvalidSchedule", "numberPhases and phaseToUse are 1 to 3")
    if phase_to_use is not None and phases != 1:
        raise _refused("InvalidSchedule", "phaseToUse needs numberPhases 1 (K01.FR.19)")
    placed = Period(start_s=start_s, limit_milli=0, phases=phases or PHASES_DEFAULT, phase_to_use=phase_to_use)
    if reader.version is Version.V21:
        return _period_of_21(reader, placed)
    limit_milli = reader.milli("limit")
    if limit_milli is None:
        raise _error(_occurrence(reader.version), "chargingSchedulePeriod.limit: missing")
    return replace(placed, limit_milli=limit_milli)


_FLOW = ("limit", "dischargeLimit", "setpoint")
_REFUSED_MODES = {
    "ExternalSetpoint": "the site gives limits, no setpoints",
    "LocalFrequency": "its setpoint is made at the station",
    "LocalLoadBalancing": "the site balances its load itself",
}


def _period_of_21(reader: _Reader, placed: Period) -> Period:
    """Limits and setpoint as its operationMode asks for them (Q 2.2, Q10.FR.02)."""
    if any(name.endswith(("_L2", "_L3")) for name in reader.body):
        raise _refused("PhaseConflict", "limits per phase are not supported (K01.FR.144)")
    if reader.body.get("evseSleep") is True:
        raise _refused("InvalidSchedule", "evseSleep is not supported (K01.FR.126)")
    if reader.body.get("setpointReactive"):
        raise _refused("InvalidSchedule", "setpointReactive is not supported")
    name = reader.body.get("operationMode", OperationMode.CHARGING_ONLY.value)
    if name in _REFUSED_MODES:
        raise _refused("InvalidSchedule", f"operationMode {name} is not supported: {_REFUSED_MODES[name]}")
    mode: OperationMode = reader.word("operationMode", _MODES) or OperationMode.CHARGING_ONLY
    given = {field for field in _FLOW if reader.body.get(field) is not None}
    needed, allowed = _FIELDS_OF[mode]
    if needed - given:
        missing = ", ".join(sorted(needed - given))
        raise _refused("InvalidSchedule", f"a period of operationMode {mode.value} without {missing}")
    if given - allowed:
        extra = ", ".join(sorted(given - allowed))
        raise _refused("InvalidSchedule", f"a period of operationMode {mode.value} with {extra}")
    return _with_flow(reader, replace(placed, mode=mode))


_MODES = {mode.value: mode for mode in OperationMode}
_SETPOINT, _ALL = frozenset({"setpoint"}), frozenset(_FLOW)
_FIELDS_OF: Mapping[OperationMode, tuple[frozenset[str], frozenset[str]]] = {
    OperationMode.CHARGING_ONLY: (frozenset({"limit"}), frozenset({"limit"})),
    OperationMode.CENTRAL_SETPOINT: (_SETPOINT, _ALL),
    OperationMode.CENTRAL_FREQUENCY: (_SETPOINT, _ALL),
    OperationMode.EXTERNAL_LIMITS: (frozenset(), frozenset()),
    OperationMode.IDLE: (frozenset(), frozenset()),
}
"""What a period of each mode must, and may, say (Q 2.2, the table at its end)."""


def _with_flow(reader: _Reader, placed: Period) -> Period:
    free = 0 if placed.mode is OperationMode.IDLE else UNLIMITED_MILLI
    limit_milli, discharge_milli = reader.milli("limit"), reader.signed_milli("dischargeLimit")
    if discharge_milli is not None and discharge_milli > 0:
        raise _error("PropertyConstraintViolation", "chargingSchedulePeriod.dischargeLimit: it is 0 or negative")
    if placed.mode is OperationMode.CHARGING_ONLY:
        discharge_milli = 0
    return replace(
        placed,
        limit_milli=free if limit_milli is None else limit_milli,
        discharge_milli=-free if discharge_milli is None else discharge_milli,
        setpoint_milli=reader.signed_milli("setpoint"),
    )


def updated_period(period: Period, update: object) -> Period | Flaw:
    """A Dynamic profile's period with the values of an update (K28.FR.06, .08): only those that are given change."""
    try:
        reader = _Reader(update, "scheduleUpdate", Version.V21)
        given = {name for name, value in reader.body.items() if value is not None and name != "customData"}
        allowed = _FIELDS_OF[period.mode][1]
        if not given or given - allowed:
            return Flaw(
                code="InvalidSchedule", text=f"an update of {', '.join(sorted(allowed)) or 'nothing'} is expected"
            )
        fresh = _with_flow(reader, period)
    except _FlawedError as error:
        return error.flaw
    return replace(
        period,
        limit_milli=fresh.limit_milli if "limit" in given else period.limit_milli,
        discharge_milli=fresh.discharge_milli if "dischargeLimit" in given else period.discharge_milli,
        setpoint_milli=fresh.setpoint_milli if "setpoint" in given else period.setpoint_milli,
    )


def gives_back(body: object) -> bool:
    """Whether a profile, or an update of one, could make a car give energy back: read loosely, doubt counts as yes.

    Old systems write a negative `limit` for that (2.1 part 2, 2.18).
    """
    schedules = body.get("chargingSchedule") if isinstance(body, dict) else None
    for schedule in schedules if isinstance(schedules, list) else [schedules]:
        periods = schedule.get("chargingSchedulePeriod") if isinstance(schedule, dict) else None
        for period in periods if isinstance(periods, list) else []:
            if isinstance(period, dict) and _period_gives_back(period):
                return True
    return isinstance(body, dict) and _period_gives_back(body)


def _period_gives_back(period: Payload) -> bool:
    numbers = (value for name, value in period.items() if name.startswith(_FLOW))
    is_negative = any(isinstance(value, int | float) and value < 0 for value in numbers)
    mode = period.get("operationMode")
    return is_negative or mode in ("ExternalLimits", *_REFUSED_MODES)


def _check_kind(profile: Profile, reader: _Reader, schedule: _Reader) -> None:
    """What a kind asks of the other fields: K01.FR.40-41, .122; K28.FR.01-04; 1.6 leaves startSchedule open."""
    dynamic = profile.kind is ProfileKind.DYNAMIC
    if dynamic and len(profile.periods) > 1:
        raise _refused("InvalidSchedule", "a Dynamic profile has one period (K28.FR.01)")
    if not dynamic and (reader.body.get("dynUpdateInterval") or reader.body.get("dynUpdateTime")):
        raise _refused("InvalidProfile", "dynUpdateInterval and dynUpdateTime need kind Dynamic (K01.FR.122)")
    if profile.kind is ProfileKind.RECURRING and profile.recurrency_s is None:
        raise _refused("InvalidProfile", "kind Recurring needs recurrencyKind")
    if profile.random_delay_s and profile.purpose not in (Purpose.TX, Purpose.TX_DEFAULT):
        raise _refused("InvalidSchedule", "only a transaction's profile may be delayed at random (K01.FR.95)")
    _check_modes(profile)
    if not reader.version.is_2x:
        return
    is_dated = profile.kind in (ProfileKind.ABSOLUTE, ProfileKind.RECURRING)
    if is_dated and profile.start_utc_ms is None:
        raise _refused("InvalidSchedule", f"kind {profile.kind.value} needs startSchedule (K01.FR.40)")
    if profile.kind is ProfileKind.RELATIVE and profile.start_utc_ms is not None:
        raise _refused("InvalidSchedule", "kind Relative has no startSchedule (K01.FR.41)")
    if schedule.body.get("id") is None:
        raise _error(_occurrence(reader.version), "chargingSchedule.id: missing")


def _check_modes(profile: Profile) -> None:
    """Table 95; the unit of a setpoint."""
    charging_only = all(period.mode is OperationMode.CHARGING_ONLY for period in profile.periods)
    if not charging_only and profile.purpose not in (Purpose.TX, Purpose.TX_DEFAULT):
        raise _refused("InvalidSchedule", "this purpose knows operationMode ChargingOnly alone (K01.FR.71)")
    if profile.unit is RateUnit.A and any(period.setpoint_milli is not None for period in profile.periods):
        raise _refused("UnsupportedRateUnit", "a setpoint in A: of one phase, or of all? Expected W")
    frequent = any(period.mode is OperationMode.CENTRAL_FREQUENCY for period in profile.periods)
    if frequent and profile.kind is not ProfileKind.DYNAMIC:
        raise _refused("InvalidSchedule", "operationMode CentralFrequency needs kind Dynamic")


# Numbers, both ways.


def milli_of(found: int | float) -> int | None:
    """Thousandths of a number from 0 to MAX_LIMIT, rounded down; None: another number."""
    try:
        number = Decimal(str(found))
    except InvalidOperation:
        return None
    return int(number * 1000) if number.is_finite() and 0 <= number <= MAX_LIMIT else None


def tenths(milli: int) -> float:
    """A limit as OCPP carries it: one decimal, rounded down."""
    return milli // 100 / 10


def composite_periods(
    found: Schedule, *, unit: RateUnit, nominal_voltage_mv: int, unlimited_milli: int
) -> list[Payload]:
    """Steps as periods of whole seconds from the schedule's start; a second that two limits share has the lower one.

    unlimited_milli: what stands where nothing limits, in `unit`: OCPP has no word for it.
    """
    start_ms = found.steps[0].at_utc_ms
    by_second: dict[int, Payload] = {}
    before: Payload | None = None
    for step in found.steps:
        limit = _composite_limit(step.limit, unit, nominal_voltage_mv, unlimited_milli)
        second, rest_ms = divmod(step.at_utc_ms - start_ms, 1000)
        if rest_ms and before is not None:
            by_second[second] = min(by_second.get(second, before), limit, key=lambda one: float(one["limit"]))
            second += 1
        by_second[second] = before = limit
    periods: list[Payload] = []
    for second, limit in sorted(by_second.items()):
        if not periods or {**periods[-1], "startPeriod": second} != {"startPeriod": second, **limit}:
            periods.append({"startPeriod": second, **limit})
    return periods


def _composite_limit(limit: Limit | None, unit: RateUnit, nominal_voltage_mv: int, unlimited_milli: int) -> Payload:
    if limit is None:
        return {"limit": tenths(unlimited_milli)}

    def milli(rate: int) -> int:
        one = replace(limit, rate=abs(rate))
        found = one.current_ma(nominal_voltage_mv) if unit is RateUnit.A else one.power_mw
        return min(found, unlimited_milli)

    body: Payload = {"limit": tenths(milli(limit.rate)), "numberPhases": limit.phases}
    if limit.phase_to_use is not None:
        body["phaseToUse"] = limit.phase_to_use
    if limit.mode is OperationMode.CHARGING_ONLY:
        return body
    body |= {"operationMode": limit.mode.value, "dischargeLimit": -tenths(milli(limit.discharge))}
    if limit.setpoint is not None:
        body["setpoint"] = tenths(milli(limit.setpoint)) * (1 if limit.setpoint >= 0 else -1)
    return body


def _occurrence(version: Version) -> str:
    # OCPP-J 1.6 spells it so (J1.6E 2.1).
    return "OccurrenceConstraintViolation" if version.is_2x else "OccurenceConstraintViolation"


def _error(code: str, text: str) -> _FlawedError:
    return _FlawedError(Flaw(code=code, text=text, is_error=True))


def _refused(code: str, text: str) -> _FlawedError:
    return _FlawedError(Flaw(code=code, text=text))
