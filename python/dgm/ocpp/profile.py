"""Charging profiles: our floor and live limit, the rules by which a station combines profiles, and reading its answer.

    floor (level max-1, no end) ─┐
                                 ├─> composite(profiles, at): highest level valid now leads within a purpose,
    live  (level max, validTo) ──┘                            purposes intersect (OCPP 1.6, 3.13.2-3.13.3)

Currents are mA per phase and round down; OCPP carries amperes with one decimal. Does not decide when to write.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from enum import Enum

from dgm.ocpp import stamp
from dgm.ocpp.frame import Payload

FLOOR_ID = 1_800_000_001
LIVE_ID = 1_800_000_002
"""Our profile ids: 1.6 ids replace each other station-wide, so ours lie far from the small numbers that CSMSs use."""

OWN_IDS = frozenset({FLOOR_ID, LIVE_ID})

START_BEFORE_MS = 2 * stamp.DAY_MS
"""Our schedules start in the past: a future start leaves a gap, and a station's clock may be a day off."""

MAX_PERIODS = 256
MAX_LIMIT = 10_000_000
"""A or W; larger ones are no limits."""


class Purpose(Enum):
    """chargingProfilePurpose."""

    MAX = "ChargePointMaxProfile"
    TX_DEFAULT = "TxDefaultProfile"
    TX = "TxProfile"


class ProfileKind(Enum):
    """chargingProfileKind."""

    ABSOLUTE = "Absolute"
    RECURRING = "Recurring"
    RELATIVE = "Relative"


class RateUnit(Enum):
    """chargingRateUnit: amperes per phase, or watts over all phases at nominal voltage."""

    A = "A"
    W = "W"


@dataclass(frozen=True, slots=True, kw_only=True)
class Period:
    """From start_s after the schedule's start: at most limit_milli (mA or mW)."""

    start_s: int
    limit_milli: int
    phases: int = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """One ChargingProfile as installed on a connector. Times in UTC ms; None: not given."""

    connector_id: int
    id: int
    stack_level: int
    purpose: Purpose
    kind: ProfileKind
    unit: RateUnit
    periods: tuple[Period, ...]
    start_utc_ms: int | None = None
    duration_s: int | None = None
    valid_from_utc_ms: int | None = None
    valid_to_utc_ms: int | None = None
    recurrency_s: int | None = None
    transaction_id: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Transaction:
    """The transaction that a composite is asked for."""

    id: int | None
    start_utc_ms: int


def floor_profile(*, limit_ma: int, max_stack_level: int, utc_ms: int) -> Profile:
    """What holds when nobody renews the live limit: no end, one level below it."""
    return _own(FLOOR_ID, max_stack_level - 1, limit_ma, utc_ms, None)


def live_profile(*, limit_ma: int, max_stack_level: int, utc_ms: int, lease_ms: int | None) -> Profile:
    """The granted limit; with lease_ms it ends by itself, without (None: a lease would be unsafe) it stands."""
    return _own(LIVE_ID, max_stack_level, limit_ma, utc_ms, None if lease_ms is None else utc_ms + lease_ms)


def _own(profile_id: int, level: int, limit_ma: int, utc_ms: int, valid_to_utc_ms: int | None) -> Profile:
    return Profile(
        connector_id=0,
        id=profile_id,
        stack_level=level,
        purpose=Purpose.MAX,
        kind=ProfileKind.ABSOLUTE,
        unit=RateUnit.A,
        periods=(Period(start_s=0, limit_milli=limit_ma // 100 * 100),),
        start_utc_ms=utc_ms - START_BEFORE_MS,
        valid_to_utc_ms=valid_to_utc_ms,
    )


def set_request(profile: Profile) -> Payload:
    """SetChargingProfile payload of one of our profiles (Absolute, one period, unit A)."""
    limit = profile.periods[0].limit_milli // 100 / 10
    body: Payload = {
        "chargingProfileId": profile.id,
        "stackLevel": profile.stack_level,
        "chargingProfilePurpose": profile.purpose.value,
        "chargingProfileKind": profile.kind.value,
        "chargingSchedule": {
            "startSchedule": stamp.text(profile.start_utc_ms or 0),
            "chargingRateUnit": profile.unit.value,
            "chargingSchedulePeriod": [{"startPeriod": 0, "limit": limit}],
        },
    }
    if profile.valid_to_utc_ms is not None:
        body["validTo"] = stamp.text(profile.valid_to_utc_ms)
    return {"connectorId": profile.connector_id, "csChargingProfiles": body}


def parse_set_request(payload: Payload) -> Profile | None:
    """The profile of a SetChargingProfile payload; None: it breaks a rule of OCPP 1.6."""
    body = payload.get("csChargingProfiles")
    connector_id = _int(payload.get("connectorId"))
    return None if connector_id is None or not isinstance(body, dict) else _parse_profile(body, connector_id)


def _parse_profile(body: Payload, connector_id: int) -> Profile | None:
    schedule = body.get("chargingSchedule")
    profile_id, level = _int(body.get("chargingProfileId")), _int(body.get("stackLevel"))
    if not isinstance(schedule, dict) or profile_id is None or level is None or level < 0:
        return None
    periods = _periods(schedule.get("chargingSchedulePeriod"))
    times = [(body, "validFrom"), (body, "validTo"), (schedule, "startSchedule")]
    try:
        purpose = Purpose(body.get("chargingProfilePurpose"))
        kind = ProfileKind(body.get("chargingProfileKind"))
        unit = RateUnit(schedule.get("chargingRateUnit"))
    except ValueError:
        return None
    valid_from, valid_to, start = (stamp.parse(part.get(key)) for part, key in times)
    if not periods or any(part.get(key) is not None and stamp.parse(part[key]) is None for part, key in times):
        return None
    return Profile(
        connector_id=connector_id,
        id=profile_id,
        stack_level=level,
        purpose=purpose,
        kind=kind,
        unit=unit,
        periods=periods,
        start_utc_ms=start,
        duration_s=_int(schedule.get("duration")),
        valid_from_utc_ms=valid_from,
        valid_to_utc_ms=valid_to,
        recurrency_s={"Daily": 86_400, "Weekly": 604_800}.get(str(body.get("recurrencyKind"))),
        transaction_id=_int(body.get("transactionId")),
    )


def composite(
    profiles: Iterable[Profile],
    at_utc_ms: int,
    *,
    connector_id: int = 0,
    transaction: Transaction | None = None,
    nominal_voltage_mv: int = 230_000,
) -> int | None:
    """What a station must keep to at one instant, mA per phase; None: no profile limits it.

    Connector 0 knows only the Max purpose. On another connector a TxProfile (with a transaction) or else the
    TxDefaultProfile intersects with it; a TxDefaultProfile on the connector replaces the one on connector 0.
    """
    held = list(profiles)
    groups = [[p for p in held if p.purpose is Purpose.MAX and p.connector_id == 0]]
    if connector_id > 0:
        groups.append(_transaction_group(held, at_utc_ms, connector_id, transaction))
    leaders = [_leading(group, at_utc_ms, transaction) for group in groups]
    return min(
        (_in_ma(p, period, nominal_voltage_mv) for found in leaders if found for p, period in [found]), default=None
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadBack:
    """A GetCompositeSchedule answer: (seconds from now, mA) steps; end_s: where it stops telling, None: not said."""

    steps: tuple[tuple[int, int], ...]
    end_s: int | None


def parse_read_back(payload: Payload, nominal_voltage_mv: int) -> ReadBack | None:
    """The schedule of an accepted answer; None: rejected, or none that can be read (gaps, no periods)."""
    schedule = payload.get("chargingSchedule")
    if payload.get("status") != "Accepted" or not isinstance(schedule, dict):
        return None
    periods = _periods(schedule.get("chargingSchedulePeriod"))
    unit = schedule.get("chargingRateUnit")
    if not periods or unit not in ("A", "W"):
        return None
    steps = tuple((p.start_s, p.limit_milli if unit == "A" else _w_to_ma(p, nominal_voltage_mv)) for p in periods)
    return ReadBack(steps=steps, end_s=_int(schedule.get("duration")))


EDGE_S = 10
"""Around the end of the live limit the station's clock and rounding decide: neither limit is asked for there."""


def proves(read: ReadBack, *, live_ma: int, live_end_s: int | None, floor_ma: int | None) -> tuple[bool, bool]:
    """(live proved, floor proved) by a read-back.

    Live: every step until the live limit ends is at or below it. Floor: the read-back reaches past that end and stays
    at or below the floor there. A lower value proves too: what the station keeps to is then below what was asked.
    """
    until_s = None if live_end_s is None else max(1, live_end_s - EDGE_S)
    live_ok = all(limit <= live_ma for start, limit in read.steps if until_s is None or start < until_s)
    if live_end_s is None or floor_ma is None:
        return live_ok, False
    after_s = live_end_s + EDGE_S
    reaches = read.end_s is None or read.end_s > after_s
    last_before = max((at for at, _ in read.steps if at <= after_s), default=0)
    return live_ok, reaches and all(limit <= floor_ma for start, limit in read.steps if start >= last_before)


def can_remove_ours(action: str, payload: Payload | None, *, max_stack_level: int) -> bool:
    """Whether this CSMS CALL can take away, replace or overrule our profiles. Unreadable payloads count as yes."""
    match action:
        case "Reset" | "UpdateFirmware":
            return True
        case "ClearChargingProfile":
            return payload is None or _clears_ours(payload, max_stack_level)
        case "SetChargingProfile":
            body = payload.get("csChargingProfiles") if payload else None
        case "RemoteStartTransaction":
            body = payload.get("chargingProfile") if payload else None
            if body is None and payload is not None:
                return False
        case _:
            return False
    if not isinstance(body, dict):
        return True
    level = _int(body.get("stackLevel"))
    is_max = body.get("chargingProfilePurpose") == Purpose.MAX.value
    return _int(body.get("chargingProfileId")) in OWN_IDS or (
        is_max and (level is None or level >= max_stack_level - 1)
    )


def _clears_ours(payload: Payload, max_stack_level: int) -> bool:
    # With an id the other filters are not looked at (OCPP 1.6, 6.13); without one, every filter given must match.
    if payload.get("id") is not None:
        return _int(payload["id"]) in OWN_IDS
    return (
        payload.get("connectorId") in (None, 0)
        and payload.get("chargingProfilePurpose") in (None, Purpose.MAX.value)
        and payload.get("stackLevel") in (None, max_stack_level, max_stack_level - 1)
    )


def _transaction_group(
    held: Sequence[Profile], at_utc_ms: int, connector_id: int, transaction: Transaction | None
) -> list[Profile]:
    if transaction is not None:
        own = [
            p
            for p in held
            if p.purpose is Purpose.TX and p.connector_id == connector_id and p.transaction_id in (None, transaction.id)
        ]
        if _leading(own, at_utc_ms, transaction) is not None:
            return own
    defaults = [p for p in held if p.purpose is Purpose.TX_DEFAULT]
    specific = [p for p in defaults if p.connector_id == connector_id]
    if _leading(specific, at_utc_ms, transaction) is not None:
        return specific
    return [p for p in defaults if p.connector_id == 0]


def _leading(
    group: Sequence[Profile], at_utc_ms: int, transaction: Transaction | None
) -> tuple[Profile, Period] | None:
    found = [(p, period) for p in group if (period := _period_at(p, at_utc_ms, transaction)) is not None]
    return max(found, key=lambda pair: pair[0].stack_level, default=None)


def _period_at(profile: Profile, at_utc_ms: int, transaction: Transaction | None) -> Period | None:
    if profile.valid_from_utc_ms is not None and at_utc_ms < profile.valid_from_utc_ms:
        return None
    if profile.valid_to_utc_ms is not None and at_utc_ms >= profile.valid_to_utc_ms:
        return None
    elapsed_ms = at_utc_ms - _start_ms(profile, transaction, at_utc_ms)
    if elapsed_ms < 0:
        return None
    if profile.recurrency_s is not None and profile.kind is ProfileKind.RECURRING:
        elapsed_ms %= profile.recurrency_s * 1000
    if profile.duration_s is not None and elapsed_ms >= profile.duration_s * 1000:
        return None
    started = [period for period in profile.periods if period.start_s * 1000 <= elapsed_ms]
    return started[-1] if started else None


def _start_ms(profile: Profile, transaction: Transaction | None, at_utc_ms: int) -> int:
    """Start of the schedule; without any it is taken as starting now, so that its first period holds."""
    if profile.kind is not ProfileKind.RELATIVE and profile.start_utc_ms is not None:
        return profile.start_utc_ms
    if transaction is not None:
        return transaction.start_utc_ms
    return profile.valid_from_utc_ms if profile.valid_from_utc_ms is not None else at_utc_ms


def _in_ma(profile: Profile, period: Period, nominal_voltage_mv: int) -> int:
    return period.limit_milli if profile.unit is RateUnit.A else _w_to_ma(period, nominal_voltage_mv)


def _w_to_ma(period: Period, nominal_voltage_mv: int) -> int:
    return period.limit_milli * 1000 // (nominal_voltage_mv * period.phases)


def _periods(found: object) -> tuple[Period, ...]:
    """Periods in order, the first at 0; empty: something is wrong with them."""
    if not isinstance(found, list) or not 1 <= len(found) <= MAX_PERIODS:
        return ()
    periods: list[Period] = []
    for item in found:
        start = _int(item.get("startPeriod")) if isinstance(item, dict) else None
        limit = _milli(item.get("limit")) if start is not None else None
        phases = _int(item.get("numberPhases", 3)) if limit is not None else None
        after = periods[-1].start_s if periods else -1
        if start is None or limit is None or phases not in (1, 2, 3) or start <= after:
            return ()
        periods.append(Period(start_s=start, limit_milli=limit, phases=phases))
    return tuple(periods) if periods[0].start_s == 0 else ()


def _milli(found: object) -> int | None:
    """Thousandths of a number >= 0, rounded down."""
    if isinstance(found, bool) or not isinstance(found, int | float):
        return None
    try:
        number = Decimal(str(found))
    except InvalidOperation:
        return None
    return int(number * 1000) if number.is_finite() and 0 <= number <= MAX_LIMIT else None


def _int(found: object) -> int | None:
    return found if isinstance(found, int) and not isinstance(found, bool) else None
