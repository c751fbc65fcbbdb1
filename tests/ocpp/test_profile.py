"""Charging profiles: the rules by which a station combines them, ours, the read-back, and what can remove ours."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ocpp_driver import QUICK

from dgm.ocpp.profile import (
    FLOOR_ID,
    LIVE_ID,
    Period,
    Profile,
    ProfileKind,
    Purpose,
    RateUnit,
    ReadBack,
    Transaction,
    can_remove_ours,
    composite,
    floor_profile,
    live_profile,
    parse_read_back,
    parse_set_request,
    proves,
    set_request,
)

T0 = 1_793_000_000_000
HOUR = 3_600_000


def held(purpose: Purpose, level: int, *limits_a: float, connector_id: int = 0, **changes: Any) -> Profile:
    """Absolute profile from T0; each further limit begins an hour later."""
    found: dict[str, Any] = {
        "connector_id": connector_id,
        "id": level,
        "stack_level": level,
        "purpose": purpose,
        "kind": ProfileKind.ABSOLUTE,
        "unit": RateUnit.A,
        "periods": tuple(Period(start_s=3600 * n, limit_milli=int(a * 1000)) for n, a in enumerate(limits_a)),
        "start_utc_ms": T0,
    }
    return Profile(**{**found, **changes})


def test_the_floor_holds_as_soon_as_the_live_limit_ends() -> None:
    floor = floor_profile(limit_ma=6_000, max_stack_level=8, utc_ms=T0)
    live = live_profile(limit_ma=16_000, max_stack_level=8, utc_ms=T0, lease_ms=120_000)
    assert composite([floor, live], T0) == 16_000
    assert composite([floor, live], T0 + 119_999) == 16_000
    assert composite([floor, live], T0 + 120_000) == 6_000


def test_a_live_limit_without_lease_never_ends() -> None:
    live = live_profile(limit_ma=16_000, max_stack_level=8, utc_ms=T0, lease_ms=None)
    assert composite([live], T0 + 10_000 * HOUR) == 16_000
    assert "validTo" not in set_request(live)["csChargingProfiles"]


@QUICK
@given(st.integers(min_value=0, max_value=500_000))
def test_our_profiles_carry_one_decimal_rounded_down_and_start_in_the_past(limit_ma: int) -> None:
    live = live_profile(limit_ma=limit_ma, max_stack_level=8, utc_ms=T0, lease_ms=60_000)
    request = set_request(live)
    body = request["csChargingProfiles"]
    limit = body["chargingSchedule"]["chargingSchedulePeriod"][0]["limit"]
    assert request["connectorId"] == 0
    assert body["chargingProfilePurpose"] == "ChargePointMaxProfile"
    assert round(limit * 10) == limit_ma // 100
    assert limit * 1000 <= limit_ma
    assert len(str(limit).split(".")[1]) == 1
    assert parse_set_request(request) == live


def test_floor_and_live_differ_in_level_and_id_only() -> None:
    floor, live = (
        floor_profile(limit_ma=6_000, max_stack_level=5, utc_ms=T0),
        live_profile(limit_ma=6_000, max_stack_level=5, utc_ms=T0, lease_ms=None),
    )
    assert (floor.stack_level, live.stack_level) == (4, 5)
    assert (floor.id, live.id) == (FLOOR_ID, LIVE_ID)
    assert (floor.purpose, floor.connector_id, floor.periods) == (live.purpose, live.connector_id, live.periods)


MAX, DEFAULT, TX = Purpose.MAX, Purpose.TX_DEFAULT, Purpose.TX
RUNNING = Transaction(id=7, start_utc_ms=T0 + HOUR)


@pytest.mark.parametrize(
    ("profiles", "connector_id", "transaction", "expected_a"),
    [
        ([], 1, None, None),
        ([held(MAX, 3, 20), held(MAX, 5, 32)], 1, None, 32),
        ([held(MAX, 3, 20), held(DEFAULT, 1, 10)], 1, None, 10),
        ([held(MAX, 3, 8), held(DEFAULT, 1, 10)], 1, None, 8),
        ([held(MAX, 3, 20), held(DEFAULT, 1, 10)], 0, None, 20),
        ([held(DEFAULT, 1, 10), held(TX, 0, 25, connector_id=1)], 1, RUNNING, 25),
        ([held(DEFAULT, 1, 10), held(TX, 0, 25, connector_id=1)], 1, None, 10),
        ([held(DEFAULT, 1, 10), held(TX, 0, 25, connector_id=1, transaction_id=8)], 1, RUNNING, 10),
        ([held(DEFAULT, 9, 10), held(DEFAULT, 1, 14, connector_id=1)], 1, None, 14),
        ([held(DEFAULT, 9, 10), held(DEFAULT, 1, 14, connector_id=2)], 1, None, 10),
        ([held(MAX, 5, 32, 7)], 0, None, 7),
        ([held(MAX, 5, 32, duration_s=3600), held(MAX, 1, 9)], 0, None, 9),
        ([held(MAX, 5, 32, valid_from_utc_ms=T0 + 5 * HOUR), held(MAX, 1, 9)], 0, None, 9),
        ([held(MAX, 5, 32, start_utc_ms=T0 + 5 * HOUR), held(MAX, 1, 9)], 0, None, 9),
        ([held(TX, 0, 25, 11, connector_id=1, kind=ProfileKind.RELATIVE)], 1, RUNNING, 11),
        ([held(MAX, 1, 30, 12, kind=ProfileKind.RECURRING, recurrency_s=7200)], 0, None, 30),
        ([held(MAX, 1, 11_040, unit=RateUnit.W)], 0, None, 16),
    ],
)
def test_composite_follows_the_rules_of_the_standard(
    profiles: list[Profile], connector_id: int, transaction: Transaction | None, expected_a: int | None
) -> None:
    found = composite(profiles, T0 + 2 * HOUR, connector_id=connector_id, transaction=transaction)
    assert found == (None if expected_a is None else expected_a * 1000)


@QUICK
@given(st.lists(st.tuples(st.sampled_from([MAX, DEFAULT]), st.integers(0, 9), st.integers(0, 63)), max_size=8))
def test_another_purpose_never_raises_the_composite(drawn: list[tuple[Purpose, int, int]]) -> None:
    profiles = {(purpose, level): held(purpose, level, amps) for purpose, level, amps in drawn}.values()
    alone = composite([p for p in profiles if p.purpose is MAX], T0, connector_id=1)
    together = composite(profiles, T0, connector_id=1)
    assert alone is None or (together is not None and together <= alone)


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
    assert can_remove_ours(action, payload, max_stack_level=8) is removes


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
    assert parse_set_request(payload) is None or isinstance(parse_set_request(payload), Profile)
    assert parse_read_back({"status": "Accepted", **payload}, 230_000) is None or payload
    assert can_remove_ours("SetChargingProfile", payload, max_stack_level=8) in (True, False)
