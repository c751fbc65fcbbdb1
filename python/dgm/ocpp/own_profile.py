"""Our own profiles in a station: floor and live limit as a pair, how a station wants them written, and their proof.

    floor (no end)       ─┐ same purpose, EVSE and transaction, one stackLevel apart (safety rules, section 4)
    live  (a lease)      ─┴─> SetChargingProfile ──> GetCompositeSchedule ──> proves

A Slot is the place and manner of such a pair; which one a station takes is decided elsewhere. Currents are mA per phase
and round down; OCPP carries amperes with one decimal. Does not decide when to write.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from dgm.ocpp import stamp
from dgm.ocpp.frame import Payload
from dgm.ocpp.profile import OperationMode, Period, Profile, ProfileKind, Purpose, RateUnit
from dgm.ocpp.profile_codec import milli_of, purpose_name, tenths
from dgm.ocpp.version import Version

FLOOR_ID = 1_800_000_001
LIVE_ID = 1_800_000_002
"""Our profile ids: ids replace each other station-wide, so ours lie far from the small numbers that CSMSs use."""

OWN_IDS = frozenset({FLOOR_ID, LIVE_ID})

START_BEFORE_MS = 2 * stamp.DAY_MS
"""Our schedules start in the past: a future start leaves a gap, and a station's clock may be a day off."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Slot:
    """Where and how our pair is written.

    live_level: stackLevel of the live limit; the floor is one below, or, with has_floor False (one level, one profile,
    no schedule that ends), there is none and the live limit has no end. unit W: limits are converted with `phases` at
    nominal voltage. kind DYNAMIC (2.1): the lease is the schedule's duration, renewed by UpdateDynamicSchedule. key: no
    profile at all but this configuration key, in whole amperes (1.6); it has no floor. reads_back: its
    composite schedule is worth asking for.
    """

    version: Version = Version.V16
    purpose: Purpose = Purpose.MAX
    evse_id: int = 0
    transaction_id: int | str | None = None
    live_level: int = 8
    has_floor: bool = True
    floor_id: int = FLOOR_ID
    live_id: int = LIVE_ID
    unit: RateUnit = RateUnit.A
    kind: ProfileKind = ProfileKind.ABSOLUTE
    phases: int = 3
    nominal_voltage_mv: int = 230_000
    key: str = ""
    reads_back: bool = True

    @property
    def levels(self) -> tuple[int, ...]:
        """stackLevels that are ours."""
        return (self.live_level - 1, self.live_level) if self.has_floor else (self.live_level,)

    @property
    def own_ids(self) -> frozenset[int]:
        """Profile ids that are ours."""
        return frozenset({self.floor_id, self.live_id})


@dataclass(frozen=True, slots=True, kw_only=True)
class Flow:
    """What a live limit says of a V2X EVSE beyond its limit, mA per phase, in tenths of an ampere.

    discharge_ma: what may be given back at most, >= 0. setpoint_ma: what should flow, negative gives back; None: what
    the car wants.
    """

    mode: OperationMode
    discharge_ma: int
    setpoint_ma: int | None = None


def floor_profile(slot: Slot, *, limit_ma: int, utc_ms: int) -> Profile:
    """What holds when nobody renews the live limit: no end, one level below it."""
    kind = ProfileKind.ABSOLUTE if slot.kind is ProfileKind.DYNAMIC else slot.kind
    return _own(slot, slot.floor_id, slot.live_level - 1, kind, limit_ma, utc_ms)


def live_profile(
    slot: Slot,
    *,
    limit_ma: int,
    utc_ms: int,
    lease_ms: int | None,
    phases: int | None = None,
    flow: Flow | None = None,
) -> Profile:
    """The granted limit; with lease_ms it ends by itself, without (None: a lease would be unsafe) it stands.

    phases: fewer than the slot's, where the CPO wants that; None: as many. flow: of a V2X EVSE; it ends with the lease.
    """
    is_dynamic = slot.kind is ProfileKind.DYNAMIC
    return _own(
        slot,
        slot.live_id,
        slot.live_level,
        slot.kind,
        limit_ma,
        utc_ms,
        valid_to_utc_ms=None if lease_ms is None or is_dynamic else utc_ms + lease_ms,
        duration_s=lease_ms // 1000 if lease_ms is not None and is_dynamic else None,
        phases=phases,
        flow=flow,
    )


def _own(
    slot: Slot,
    profile_id: int,
    level: int,
    kind: ProfileKind,
    limit_ma: int,
    utc_ms: int,
    *,
    valid_to_utc_ms: int | None = None,
    duration_s: int | None = None,
    phases: int | None = None,
    flow: Flow | None = None,
) -> Profile:
    used = slot.phases if phases is None else min(phases, slot.phases)
    period = Period(start_s=0, limit_milli=_in_unit(slot, limit_ma, used), phases=used)
    return Profile(
        evse_id=slot.evse_id,
        id=profile_id,
        stack_level=level,
        purpose=slot.purpose,
        kind=kind,
        unit=slot.unit,
        periods=(period if flow is None else _with_flow(period, flow, slot),),
        set_utc_ms=utc_ms,
        start_utc_ms=utc_ms - START_BEFORE_MS if kind is ProfileKind.ABSOLUTE else None,
        valid_to_utc_ms=valid_to_utc_ms,
        duration_s=duration_s,
        transaction_id=slot.transaction_id,
    )


def _with_flow(period: Period, flow: Flow, slot: Slot) -> Period:
    setpoint_ma = flow.setpoint_ma
    magnitude = None if setpoint_ma is None else _in_unit(slot, abs(setpoint_ma), period.phases)
    return replace(
        period,
        mode=flow.mode,
        discharge_milli=-_in_unit(slot, flow.discharge_ma, period.phases),
        setpoint_milli=None
        if magnitude is None or setpoint_ma is None
        else magnitude
        if setpoint_ma >= 0
        else -magnitude,
    )


def flow_of(profile: Profile, slot: Slot) -> Flow | None:
    """The flow that one of our live limits was made from; None: it only charges."""
    period = profile.periods[0]
    if period.mode is OperationMode.CHARGING_ONLY:
        return None
    setpoint = None if period.setpoint_milli is None else _asked(period.setpoint_milli, profile, slot)
    return Flow(mode=period.mode, discharge_ma=-_asked(period.discharge_milli, profile, slot), setpoint_ma=setpoint)


def _asked(milli: int, profile: Profile, slot: Slot) -> int:
    magnitude = abs(milli)
    if profile.unit is RateUnit.W:
        magnitude = -(-magnitude * 10 // (profile.periods[0].phases * slot.nominal_voltage_mv)) * 100
    return magnitude if milli >= 0 else -magnitude


def _in_unit(slot: Slot, limit_ma: int, phases: int) -> int:
    """mA or mW, rounded down to tenths of an ampere or watt."""
    limit_ma = limit_ma // 100 * 100
    if slot.unit is RateUnit.A:
        return limit_ma
    return limit_ma * phases * slot.nominal_voltage_mv // 1000 // 100 * 100


def asked_ma(profile: Profile, slot: Slot) -> int:
    """The current, in tenths of an ampere, that one of our profiles was made from: a W limit lost less than that."""
    return _asked(profile.periods[0].limit_milli, profile, slot)


def lease_end_utc_ms(profile: Profile) -> int | None:
    """When a live limit ends by itself; None: never."""
    if profile.kind is ProfileKind.DYNAMIC and profile.duration_s is not None:
        return profile.set_utc_ms + profile.duration_s * 1000
    return profile.valid_to_utc_ms


def set_call(profile: Profile, slot: Slot) -> tuple[str, Payload]:
    """(action, payload) that puts one of our limits into the station."""
    if not slot.key:
        return "SetChargingProfile", set_request(profile, slot)
    return "ChangeConfiguration", {"key": slot.key, "value": str(profile.periods[0].limit_milli // 1000)}


def set_request(profile: Profile, slot: Slot) -> Payload:
    """SetChargingProfile payload of one of our profiles."""
    schedule: Payload = {
        "chargingRateUnit": profile.unit.value,
        "chargingSchedulePeriod": [_period(profile.periods[0])],
    }
    if profile.start_utc_ms is not None:
        schedule["startSchedule"] = stamp.text(profile.start_utc_ms)
    if profile.duration_s is not None:
        schedule["duration"] = profile.duration_s
    is_2x = slot.version.is_2x
    if is_2x:
        schedule["id"] = 1
    body: Payload = {
        "id" if is_2x else "chargingProfileId": profile.id,
        "stackLevel": profile.stack_level,
        "chargingProfilePurpose": purpose_name(profile.purpose, slot.version),
        "chargingProfileKind": profile.kind.value,
        "chargingSchedule": [schedule] if is_2x else schedule,
    }
    if profile.valid_to_utc_ms is not None:
        body["validTo"] = stamp.text(profile.valid_to_utc_ms)
    if profile.transaction_id is not None:
        body["transactionId"] = profile.transaction_id
    if is_2x:
        return {"evseId": profile.evse_id, "chargingProfile": body}
    return {"connectorId": profile.evse_id, "csChargingProfiles": body}


def update_request(profile: Profile) -> Payload:
    """UpdateDynamicSchedule payload (2.1, K28): the limit anew, and its lease from now on."""
    return {"chargingProfileId": profile.id, "scheduleUpdate": {"limit": tenths(profile.periods[0].limit_milli)}}


def _period(period: Period) -> Payload:
    body: Payload = {"startPeriod": 0, "limit": tenths(period.limit_milli)}
    if period.mode is not OperationMode.CHARGING_ONLY:
        body |= {"operationMode": period.mode.value, "dischargeLimit": -tenths(-period.discharge_milli)}
        if period.setpoint_milli is not None:
            sign = 1 if period.setpoint_milli >= 0 else -1
            body["setpoint"] = sign * tenths(abs(period.setpoint_milli))
    # Three is what absence means; a station that does not switch phases may refuse the field.
    return body if period.phases == 3 else {**body, "numberPhases": period.phases}


def read_call(slot: Slot, duration_s: int) -> tuple[str, Payload]:
    """(action, payload) that asks what the station holds for the EVSE (or the whole of it) of our pair."""
    if slot.key:
        return "GetConfiguration", {"key": [slot.key]}
    evse = "evseId" if slot.version.is_2x else "connectorId"
    body: Payload = {evse: slot.evse_id, "duration": duration_s, "chargingRateUnit": slot.unit.value}
    return "GetCompositeSchedule", body


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadBack:
    """A GetCompositeSchedule answer: (seconds from now, mA) steps; end_s: where it stops telling, None: not said."""

    steps: tuple[tuple[int, int], ...]
    end_s: int | None


def parse_read(payload: Payload, slot: Slot) -> ReadBack | None:
    """What the answer to `read_call` shows; None: nothing that can be read."""
    if not slot.key:
        return parse_read_back(payload, slot.nominal_voltage_mv, slot.phases)
    found = payload.get("configurationKey")
    for item in found if isinstance(found, list) else []:
        value = item.get("value") if isinstance(item, dict) and item.get("key") == slot.key else None
        if isinstance(value, str) and value.isdecimal() and len(value) < 6:
            return ReadBack(steps=((0, int(value) * 1000),), end_s=None)
    return None


def parse_read_back(payload: Payload, nominal_voltage_mv: int, phases: int = 3) -> ReadBack | None:
    """The schedule of an accepted answer; None: rejected, or none that can be read (gaps, no periods).

    phases: of a W limit that names none.
    """
    schedule = payload.get("chargingSchedule") or payload.get("schedule")
    if payload.get("status") != "Accepted" or not isinstance(schedule, dict):
        return None
    found = schedule.get("chargingSchedulePeriod")
    unit, end_s = schedule.get("chargingRateUnit"), schedule.get("duration")
    if not isinstance(found, list) or not found or unit not in ("A", "W"):
        return None
    watts_mv = None if unit == "A" else nominal_voltage_mv
    steps = [_read_step(item, watts_mv, phases) for item in found]
    told = [step for step in steps if step is not None]
    starts = [start for start, _ in told]
    if len(told) < len(steps) or starts[0] != 0 or starts != sorted(set(starts)):
        return None
    return ReadBack(steps=tuple(told), end_s=end_s if isinstance(end_s, int) else None)


def _read_step(item: object, watts_mv: int | None, phases_default: int) -> tuple[int, int] | None:
    if not isinstance(item, dict):
        return None
    start, limit, phases = item.get("startPeriod"), item.get("limit"), item.get("numberPhases", phases_default)
    if not isinstance(start, int) or isinstance(limit, bool) or not isinstance(limit, int | float):
        return None
    milli = milli_of(limit)
    if milli is None or phases not in (1, 2, 3):
        return None
    return start, milli if watts_mv is None else milli * 1000 // (watts_mv * phases)


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


# What a CSMS can do to ours.

_RESTARTS = ("Reset", "UpdateFirmware", "SignedUpdateFirmware")


def can_remove_ours(action: str, payload: Payload | None, slot: Slot) -> bool:
    """Whether this CSMS CALL can take away, replace or overrule our profiles. Unreadable payloads count as yes."""
    match action:
        case _ if action in _RESTARTS:
            return True
        case "ClearChargingProfile":
            return payload is None or _clears_ours(payload, slot)
        case "SetChargingProfile":
            body = _first(payload, "csChargingProfiles", "chargingProfile")
        case "RemoteStartTransaction" | "RequestStartTransaction":
            body = _first(payload, "chargingProfile")
            if body is None and payload is not None:
                return False
        case _:
            return False
    if not isinstance(body, dict):
        return True
    level = body.get("stackLevel")
    same_purpose = body.get("chargingProfilePurpose") == purpose_name(slot.purpose, slot.version)
    overrules = slot.purpose is Purpose.TX_DEFAULT and body.get("chargingProfilePurpose") == "TxProfile"
    is_at_ours = not isinstance(level, int) or level >= min(slot.levels)
    return _is_own(body.get("id", body.get("chargingProfileId")), slot) or overrules or (same_purpose and is_at_ours)


def _first(payload: Payload | None, *names: str) -> object:
    return next((payload[name] for name in names if name in payload), None) if payload else None


def _is_own(profile_id: object, slot: Slot) -> bool:
    return isinstance(profile_id, int) and profile_id in slot.own_ids


def _clears_ours(payload: Payload, slot: Slot) -> bool:
    # With an id the other filters are not looked at (1.6 6.13, K10.FR.03); without one, every filter given must match.
    profile_id = payload.get("id", payload.get("chargingProfileId"))
    if profile_id is not None:
        return _is_own(profile_id, slot)
    criteria = payload.get("chargingProfileCriteria", payload)
    if not isinstance(criteria, dict):
        return True
    return (
        criteria.get("evseId", criteria.get("connectorId")) in (None, slot.evse_id)
        and criteria.get("chargingProfilePurpose") in (None, purpose_name(slot.purpose, slot.version))
        and criteria.get("stackLevel") in (None, *slot.levels)
    )
