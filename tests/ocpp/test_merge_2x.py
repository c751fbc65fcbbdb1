"""Mode `merge` in OCPP 2.0.1 and 2.1: reasons, reports, dynamic profiles; hostile payloads of any version."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ocpp.messages import get_validator
from ocpp_driver import QUICK, Driver
from test_merge import LONG, MERGE, answer, limit_ma
from test_session_2x import connected, event, socket

from dgm.ocpp.events import Leg, LegUp
from dgm.ocpp.merge import PROFILE_CALLS
from dgm.ocpp.profile import Transaction
from dgm.ocpp.version import Version


def merged_2x(version: Version) -> Driver:
    driver = connected(version, stored=MERGE)
    socket(driver, "Occupied")
    driver.setpoint(32_000, 1, ttl_ms=LONG)
    assert driver.station is not None
    driver.station.transaction = Transaction(id="t-1", start_utc_ms=driver.now.utc_ms)
    event(driver, "Started", evse={"id": 1, "connectorId": 1}, state="Charging")
    driver.advance(12_000)
    driver.north.clear()
    driver.south.clear()
    return driver


def profile_2x(number: int, amps: float, purpose: str = "TxDefaultProfile", level: int = 0, **changes: Any) -> Any:
    schedule = {"id": 1, "chargingRateUnit": "A", "chargingSchedulePeriod": [{"startPeriod": 0, "limit": amps}]}
    return {
        "id": number,
        "stackLevel": level,
        "chargingProfilePurpose": purpose,
        "chargingProfileKind": "Relative",
        "chargingSchedule": [{**schedule, **changes.pop("schedule", {})}],
        **changes,
    }


def call(driver: Driver, action: str, payload: Any) -> Any:
    """The answer, which keeps to the published schema of the version."""
    found = answer(driver, driver.csms_call(action, payload))
    version = driver.session.version.value.removeprefix("ocpp")
    get_validator(3, action, version).validate(found)
    return found


VERSIONS_2X = [Version.V201, Version.V21]


@pytest.mark.parametrize("version", VERSIONS_2X)
def test_in_2x_profiles_are_taken_refused_with_reasons_and_merged(version: Version) -> None:
    driver = merged_2x(version)
    taken = {"evseId": 1, "chargingProfile": profile_2x(5, 9, "TxProfile", transactionId="t-1")}
    assert call(driver, "SetChargingProfile", taken) == {"status": "Accepted"}
    driver.advance(5_000)
    assert limit_ma(driver) == 9_000
    double = {"evseId": 1, "chargingProfile": profile_2x(6, 9, "TxProfile", transactionId="t-1")}
    refused = call(driver, "SetChargingProfile", double)
    assert (refused["status"], refused["statusInfo"]["reasonCode"]) == ("Rejected", "DuplicateProfile")
    stray = {"evseId": 1, "chargingProfile": profile_2x(6, 9, "TxProfile", transactionId="t-2")}
    assert call(driver, "SetChargingProfile", stray)["statusInfo"]["reasonCode"] == "TxNotFound"
    told = call(driver, "GetCompositeSchedule", {"evseId": 1, "duration": 60})
    assert [period["limit"] for period in told["schedule"]["chargingSchedulePeriod"]] == [9.0]
    assert call(driver, "ClearChargingProfile", {"chargingProfileId": 5}) == {"status": "Accepted"}
    driver.advance(6_000)
    assert limit_ma(driver) == 32_000


@pytest.mark.parametrize("version", VERSIONS_2X)
def test_profiles_are_reported_one_message_at_a_time_and_the_answers_stay_here(version: Version) -> None:
    driver = merged_2x(version)
    for number in range(12):
        body = profile_2x(number + 1, 20, level=number)
        assert call(driver, "SetChargingProfile", {"evseId": 1, "chargingProfile": body}) == {"status": "Accepted"}
    assert call(driver, "GetChargingProfiles", {"requestId": 3, "chargingProfile": {"stackLevel": 99}}) == {
        "status": "NoProfiles"
    }
    asked = {"requestId": 4, "chargingProfile": {"chargingProfilePurpose": "TxDefaultProfile"}}
    assert call(driver, "GetChargingProfiles", asked) == {"status": "Accepted"}
    south = len(driver.south)
    seen: list[int] = []
    for index in range(2):
        (report,) = driver.north_calls("ReportChargingProfiles")[index:]
        get_validator(2, "ReportChargingProfiles", version.value.removeprefix("ocpp")).validate(report[3])
        assert report[3].get("tbc", False) is (index == 0)
        assert (report[3]["requestId"], report[3]["chargingLimitSource"]) == (4, "CSO")
        seen += [body["id"] for body in report[3]["chargingProfile"]]
        driver.short_cut = True
        driver.csms_answer(report[1], {})
    assert seen == list(range(1, 13))
    assert len(driver.south) == south
    everything = {"requestId": 5, "chargingProfile": {"chargingLimitSource": ["EMS"]}}
    assert call(driver, "GetChargingProfiles", everything) == {"status": "Accepted"}
    report = driver.north_calls("ReportChargingProfiles")[-1]
    assert report[3]["chargingProfile"][0]["chargingProfilePurpose"] == "ChargingStationExternalConstraints"
    assert report[3]["chargingProfile"][0]["chargingSchedule"][0]["chargingSchedulePeriod"][0]["limit"] == 32.0


def test_a_dynamic_profile_of_the_csms_follows_its_updates_and_ends_with_its_lease() -> None:
    driver = merged_2x(Version.V21)
    dynamic = profile_2x(
        9, 14, "TxProfile", level=3, chargingProfileKind="Dynamic", transactionId="t-1", schedule={"duration": 60}
    )
    assert call(driver, "SetChargingProfile", {"evseId": 1, "chargingProfile": dynamic}) == {"status": "Accepted"}
    assert limit_ma(driver) == 14_000
    driver.advance(50_000)
    update = {"chargingProfileId": 9, "scheduleUpdate": {"limit": 8.0}}
    assert call(driver, "UpdateDynamicSchedule", update) == {"status": "Accepted"}
    driver.advance(50_000)
    assert limit_ma(driver) == 8_000
    driver.advance(16_000)
    assert limit_ma(driver) == 32_000


def test_priority_charging_is_activated_for_its_transaction() -> None:
    driver = merged_2x(Version.V21)
    slow = profile_2x(1, 7, "TxProfile", transactionId="t-1")
    assert call(driver, "SetChargingProfile", {"evseId": 1, "chargingProfile": slow}) == {"status": "Accepted"}
    asked = {"transactionId": "t-1", "activate": True}
    assert call(driver, "UsePriorityCharging", asked) == {"status": "NoProfile"}
    fast = profile_2x(2, 30, "PriorityCharging")
    assert call(driver, "SetChargingProfile", {"evseId": 1, "chargingProfile": fast}) == {"status": "Accepted"}
    assert call(driver, "UsePriorityCharging", asked) == {"status": "Accepted"}
    driver.advance(6_000)
    assert limit_ma(driver) == 30_000


@pytest.mark.parametrize("version", VERSIONS_2X)
def test_a_request_to_start_in_2x_goes_on_without_its_profile(version: Version) -> None:
    driver = connected(version, stored=MERGE)
    driver.setpoint(32_000, 1, ttl_ms=LONG)
    driver.advance(12_000)
    token = {"idToken": "x", "type": "Central"}
    body = {"remoteStartId": 1, "idToken": token, "evseId": 1, "chargingProfile": profile_2x(5, 8, "TxProfile")}
    driver.csms_call("RequestStartTransaction", body)
    assert driver.south_calls("RequestStartTransaction")[0][3] == {"remoteStartId": 1, "idToken": token, "evseId": 1}
    driver.advance(3_000)
    assert limit_ma(driver) == 8_000


# Hostile payloads.

FIELDS = st.sampled_from(
    [
        *("connectorId", "csChargingProfiles", "id", "chargingProfilePurpose", "stackLevel", "duration", "requestId"),
        *("evseId", "chargingProfile", "chargingProfileId", "chargingProfileCriteria", "scheduleUpdate", "limit"),
        *("chargingRateUnit", "transactionId", "activate", "chargingSchedule", "chargingSchedulePeriod", "validTo"),
    ]
)
JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(FIELDS, inner, max_size=5),
    max_leaves=8,
)
ABOUT_PROFILES = sorted({*PROFILE_CALLS[Version.V21], "RemoteStartTransaction", "RequestStartTransaction"})


@QUICK
@given(
    st.sampled_from(list(Version)),
    st.booleans(),
    st.lists(st.tuples(st.sampled_from(ABOUT_PROFILES), st.dictionaries(FIELDS, JUNK, max_size=6)), max_size=4),
)
def test_no_call_about_profiles_makes_the_session_raise(
    version: Version, is_merge: bool, calls: list[tuple[str, dict[str, Any]]]
) -> None:
    driver = Driver(stored=MERGE if is_merge else None)
    driver.put(LegUp(leg=Leg.NORTH))
    driver.put(LegUp(leg=Leg.SOUTH, subprotocol=version.value))
    for action, payload in calls:
        driver.csms_call(action, payload)
        for message_id in list(driver.open_south):
            driver.station_answer(message_id, {"status": "Accepted"})
    driver.advance(30_000)
