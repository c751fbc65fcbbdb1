"""Our floor and live limit: how they are written, what a read-back proves of them, and what can remove them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ocpp_driver import QUICK

from dgm.ocpp.composite import View, limit_at
from dgm.ocpp.own_profile import (
    FLOOR_ID,
    LIVE_ID,
    ReadBack,
    Slot,
    asked_ma,
    can_remove_ours,
    floor_profile,
    lease_end_utc_ms,
    live_profile,
    parse_read_back,
    proves,
    set_request,
    update_request,
)
from dgm.ocpp.profile import Profile, ProfileKind, Purpose, RateUnit
from dgm.ocpp.profile_codec import parse_profile
from dgm.ocpp.version import Version

T0 = 1_793_000_000_000
HOUR = 3_600_000


STATION = View(evse_id=0, nominal_voltage_mv=230_000)


def composite(profiles: list[Profile], at: int) -> int | None:
    limit = limit_at(profiles, STATION, at)
    return None if limit is None else limit.current_ma(230_000)


def test_the_floor_holds_as_soon_as_the_live_limit_ends() -> None:
    floor = floor_profile(Slot(), limit_ma=6_000, utc_ms=T0)
    live = live_profile(Slot(), limit_ma=16_000, utc_ms=T0, lease_ms=120_000)
    assert composite([floor, live], T0) == 16_000
    assert composite([floor, live], T0 + 119_999) == 16_000
    assert composite([floor, live], T0 + 120_000) == 6_000


def test_a_live_limit_without_lease_never_ends() -> None:
    live = live_profile(Slot(), limit_ma=16_000, utc_ms=T0, lease_ms=None)
    assert composite([live], T0 + 10_000 * HOUR) == 16_000
    assert "validTo" not in set_request(live, Slot())["csChargingProfiles"]


SLOTS = [
    Slot(),
    Slot(purpose=Purpose.TX, evse_id=1, transaction_id=7),
    Slot(unit=RateUnit.W, phases=1),
    Slot(unit=RateUnit.W, nominal_voltage_mv=231_700),
    Slot(kind=ProfileKind.RELATIVE),
    Slot(version=Version.V201, purpose=Purpose.TX_DEFAULT, evse_id=1),
    Slot(version=Version.V21, purpose=Purpose.TX, evse_id=2, transaction_id="tx", kind=ProfileKind.DYNAMIC),
]


@QUICK
@given(st.sampled_from(SLOTS), st.integers(min_value=0, max_value=500_000))
def test_our_profiles_carry_one_decimal_rounded_down_and_start_in_the_past(slot: Slot, limit_ma: int) -> None:
    live = live_profile(slot, limit_ma=limit_ma, utc_ms=T0, lease_ms=60_000)
    request = set_request(live, slot)
    body = request.get("csChargingProfiles") or request["chargingProfile"]
    schedule = body["chargingSchedule"][0] if slot.version.is_2x else body["chargingSchedule"]
    limit = schedule["chargingSchedulePeriod"][0]["limit"]
    wanted_ma = limit_ma // 100 * 100
    is_watts = slot.unit is RateUnit.W
    wanted_milli = wanted_ma * slot.phases * slot.nominal_voltage_mv // 1000 if is_watts else wanted_ma
    assert wanted_milli - 100 < round(limit * 1000) <= wanted_milli
    assert len(str(limit).split(".")[1]) == 1
    assert parse_profile(body, evse_id=slot.evse_id, version=slot.version, utc_ms=T0) == live
    assert asked_ma(live, slot) == limit_ma // 100 * 100
    assert lease_end_utc_ms(live) == T0 + 60_000


def test_a_dynamic_lease_is_renewed_by_an_update_of_its_limit() -> None:
    live = live_profile(SLOTS[-1], limit_ma=12_340, utc_ms=T0, lease_ms=60_000)
    assert update_request(live) == {"chargingProfileId": LIVE_ID, "scheduleUpdate": {"limit": 12.3}}
    assert floor_profile(SLOTS[-1], limit_ma=6_000, utc_ms=T0).kind is ProfileKind.ABSOLUTE


def test_floor_and_live_differ_in_level_and_id_only() -> None:
    slot = Slot(live_level=5)
    floor = floor_profile(slot, limit_ma=6_000, utc_ms=T0)
    live = live_profile(slot, limit_ma=6_000, utc_ms=T0, lease_ms=None)
    assert (floor.stack_level, live.stack_level) == slot.levels == (4, 5)
    assert (floor.id, live.id) == (FLOOR_ID, LIVE_ID)
    assert (floor.purpose, floor.evse_id, floor.periods) == (live.purpose, live.evse_id, live.periods)


def accepted(*periods: tuple[int, float], duration: int | None = 180, unit: str = "A") -> dict[str, Any]:
    schedule: dict[str, Any] = {
        "chargingRateUnit": unit,
        "chargingSchedulePeriod": [{"startPeriod": at, "limit": limit} for at, limit in periods],
    }
    if duration is not None:
        schedule["duration"] = duration
    return {"status": "Accepted", "connectorId": 0, "chargingSchedule": schedule}


@pytest.mark.parametrize(
    ("answer", "live_ok", "floor_ok"),
    [
        (accepted((0, 16), (120, 6)), True, True),
        (accepted((0, 10), (120, 6)), True, True),
        (accepted((0, 16), (115, 6)), True, True),
        (accepted((0, 16), (127, 6)), True, True),
        (accepted((0, 16), (145, 6)), True, False),
        (accepted((0, 16)), True, False),
        (accepted((0, 16), (120, 32)), True, False),
        (accepted((0, 32), (120, 6)), False, True),
        (accepted((0, 16), (60, 32), (120, 6)), False, True),
        (accepted((0, 16), duration=100), True, False),
        (accepted((0, 6), duration=None), True, True),
        (accepted((0, 11_040), (120, 4_140), unit="W"), True, True),
    ],
)
def test_a_read_back_proves_only_what_it_shows(answer: dict[str, Any], live_ok: bool, floor_ok: bool) -> None:
    read = parse_read_back(answer, 230_000)
    assert read is not None
    assert proves(read, live_ma=16_000, live_end_s=120, floor_ma=6_000) == (live_ok, floor_ok)


def test_a_read_back_just_before_the_end_still_looks_at_what_holds_now() -> None:
    read = ReadBack(steps=((0, 32_000), (5, 6_000)), end_s=65)
    assert proves(read, live_ma=16_000, live_end_s=5, floor_ma=6_000) == (False, True)


def test_without_lease_the_whole_read_back_counts_and_no_floor_is_proved() -> None:
    read = ReadBack(steps=((0, 16_000), (50, 32_000)), end_s=60)
    assert proves(read, live_ma=16_000, live_end_s=None, floor_ma=6_000) == (False, False)


@pytest.mark.parametrize(
    "answer",
    [
        {"status": "Rejected"},
        {"status": "Accepted"},
        accepted(),
        accepted((60, 16)),
        accepted((0, 16), (0, 6)),
        accepted((0, -1)),
        accepted((0, 1e300)),
        accepted((0, 16), unit="VA"),
        {"status": "Accepted", "chargingSchedule": {"chargingRateUnit": "A", "chargingSchedulePeriod": "x"}},
    ],
)
def test_gaps_and_nonsense_in_a_read_back_prove_nothing(answer: dict[str, Any]) -> None:
    assert parse_read_back(answer, 230_000) is None


def set_by_cpo(purpose: str, level: Any, profile_id: Any = 5) -> dict[str, Any]:
    body = {"chargingProfileId": profile_id, "stackLevel": level, "chargingProfilePurpose": purpose}
    return {"connectorId": 0, "csChargingProfiles": body}


@pytest.mark.parametrize(
    ("action", "payload", "removes"),
    [
        ("Heartbeat", {}, False),
        ("Reset", {"type": "Soft"}, True),
        ("UpdateFirmware", {}, True),
        ("ClearChargingProfile", {}, True),
        ("ClearChargingProfile", None, True),
        ("ClearChargingProfile", {"id": 5}, False),
        ("ClearChargingProfile", {"id": []}, False),
        ("SetChargingProfile", {"csChargingProfiles": {"chargingProfileId": []}}, False),
        ("ClearChargingProfile", {"id": LIVE_ID}, True),
        ("ClearChargingProfile", {"connectorId": 1}, False),
        ("ClearChargingProfile", {"connectorId": 0}, True),
        ("ClearChargingProfile", {"chargingProfilePurpose": "TxProfile"}, False),
        ("ClearChargingProfile", {"chargingProfilePurpose": "ChargePointMaxProfile"}, True),
        ("ClearChargingProfile", {"stackLevel": 3}, False),
        ("ClearChargingProfile", {"stackLevel": 7}, True),
        ("SetChargingProfile", set_by_cpo("TxDefaultProfile", 8), False),
        ("SetChargingProfile", set_by_cpo("ChargePointMaxProfile", 6), False),
        ("SetChargingProfile", set_by_cpo("ChargePointMaxProfile", 7), True),
        ("SetChargingProfile", set_by_cpo("ChargePointMaxProfile", 8), True),
        ("SetChargingProfile", set_by_cpo("ChargePointMaxProfile", 9), True),
        ("SetChargingProfile", set_by_cpo("TxDefaultProfile", 0, FLOOR_ID), True),
        ("SetChargingProfile", {"connectorId": 0}, True),
        ("SetChargingProfile", None, True),
        ("RemoteStartTransaction", {"idTag": "x"}, False),
        ("RemoteStartTransaction", {"idTag": "x", "chargingProfile": {"chargingProfileId": LIVE_ID}}, True),
    ],
)
def test_what_can_remove_our_profiles(action: str, payload: dict[str, Any] | None, removes: bool) -> None:
    assert can_remove_ours(action, payload, Slot()) is removes


KEYS = st.sampled_from(
    [
        "csChargingProfiles",
        "chargingSchedule",
        "chargingSchedulePeriod",
        "startPeriod",
        "limit",
        "connectorId",
        "status",
        "validTo",
        "chargingProfileId",
        "stackLevel",
        "numberPhases",
        "chargingRateUnit",
        "chargingProfilePurpose",
    ]
)
JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=5),
    max_leaves=10,
)


@QUICK
@given(st.dictionaries(KEYS, JUNK, max_size=6))
def test_no_payload_makes_the_readers_raise(payload: dict[str, Any]) -> None:
    assert parse_read_back({"status": "Accepted", **payload}, 230_000) is None or payload
    assert can_remove_ours("SetChargingProfile", payload, Slot()) in (True, False)
