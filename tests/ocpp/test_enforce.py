"""Floor and live limit: installed, proved, repaired; leases, retries and the write budget."""

from __future__ import annotations

from typing import Any

import pytest
from ocpp_driver import UTC_MS, Driver, ModelStation

from dgm.api.ems.v1.ems_pb2 import OutcomeState
from dgm.ocpp import stamp
from dgm.ocpp.events import FrameIn, Leg
from dgm.ocpp.own_profile import FLOOR_ID, LIVE_ID


def writes(driver: Driver) -> list[tuple[int, float]]:
    """(profile id, amperes) of every SetChargingProfile."""
    bodies = [call[3]["csChargingProfiles"] for call in driver.south_calls("SetChargingProfile")]
    return [
        (body["chargingProfileId"], body["chargingSchedule"]["chargingSchedulePeriod"][0]["limit"]) for body in bodies
    ]


def live_writes(driver: Driver) -> list[float]:
    return [limit for profile_id, limit in writes(driver) if profile_id == LIVE_ID]


def ready(**changes: Any) -> Driver:
    driver = Driver(station=ModelStation(), **changes).connect()
    driver.status("Available")
    driver.outcomes.clear()
    driver.south.clear()
    return driver


def keep_alive(driver: Driver, current_ma: int, sequence: int, span_ms: int) -> None:
    """The ems role renews the same setpoint every 5 s."""
    for _ in range(span_ms // 5_000):
        driver.setpoint(current_ma, sequence)
        driver.advance(5_000)


def test_on_connect_the_floor_goes_first_then_the_live_limit_then_the_proof() -> None:
    driver = Driver(station=ModelStation()).connect()
    assert [call[2] for call in driver.south_calls()] == [
        "SetChargingProfile",
        "SetChargingProfile",
        "GetCompositeSchedule",
        "GetConfiguration",
    ]
    assert writes(driver) == [(FLOOR_ID, 6.0), (LIVE_ID, 6.0)]
    assert driver.states() == ["WIPED", "SENT", "ACCEPTED", "CONFIRMED"]
    assert driver.outcomes[-1].fallback_ma == 6_000
    assert [outcome.fallback_ma for outcome in driver.outcomes[:-1]] == [None, None, None]


def test_a_setpoint_climbs_the_proof_ladder_with_its_sequence_and_value() -> None:
    driver = ready()
    driver.setpoint(16_000, 41)
    assert driver.states() == ["SENT", "ACCEPTED", "CONFIRMED"]
    assert {(found.sequence, found.current_ma, found.asset_id) for found in driver.outcomes} == {(41, 16_000, "evse-1")}
    assert driver.session.evses[0].enforcer.proved_ma(driver.now) == 16_000
    assert driver.station is not None
    assert driver.station.limit_ma(driver.now.utc_ms) == 16_000


def test_a_limit_is_replaced_in_place_and_never_cleared() -> None:
    driver = ready()
    for sequence, current_ma in enumerate((16_000, 10_000, 0, 32_000), start=1):
        driver.setpoint(current_ma, sequence)
        driver.advance(5_000)
    assert live_writes(driver) == [16.0, 10.0, 0.0, 32.0]
    assert not driver.south_calls("ClearChargingProfile")


def test_an_older_setpoint_is_refused() -> None:
    driver = ready()
    driver.setpoint(10_000, 7)
    driver.setpoint(32_000, 6)
    driver.advance(6_000)
    assert live_writes(driver) == [10.0]


def test_a_renewed_setpoint_writes_nothing_but_a_new_sequence_is_reported_proved() -> None:
    driver = ready()
    driver.setpoint(16_000, 1)
    driver.outcomes.clear()
    driver.setpoint(16_000, 1)
    assert not driver.outcomes
    driver.setpoint(16_000, 2)
    assert [(found.sequence, driver.states()[0]) for found in driver.outcomes] == [(2, "CONFIRMED")]
    assert live_writes(driver) == [16.0]


def test_a_setpoint_above_the_evse_or_between_tenths_is_rounded_down() -> None:
    driver = ready()
    driver.setpoint(99_999, 1)
    driver.advance(6_000)
    driver.setpoint(13_199, 2)
    assert live_writes(driver) == [32.0, 13.1]
    assert driver.outcomes[-1].current_ma == 13_100


def test_setpoints_that_come_while_the_lane_is_busy_are_conflated() -> None:
    driver = ready()
    station, driver.station = driver.station, None
    driver.setpoint(30_000, 1)
    for sequence in range(2, 12):
        driver.setpoint(30_000 - sequence * 1_000, sequence)
    driver.station = station
    driver.station_answer(driver.south_calls()[-1][1], {"status": "Accepted"})
    assert live_writes(driver) == [30.0, 19.0]


def test_the_end_of_the_setpoint_lease_falls_back_at_once_and_as_safety() -> None:
    driver = ready()
    driver.setpoint(16_000, 1, ttl_ms=15_000)
    driver.advance(14_999)
    assert live_writes(driver) == [16.0]
    driver.advance(1)
    assert live_writes(driver) == [16.0, 6.0]
    assert driver.outcomes[-1].current_ma == 6_000
    assert driver.outcomes[-1].urgent


def test_with_everything_silent_the_station_falls_to_the_floor_by_itself() -> None:
    driver = ready()
    driver.setpoint(32_000, 1)
    assert driver.station is not None
    driver.disconnect()
    now_ms = driver.now.utc_ms
    assert driver.station.limit_ma(now_ms + 119_999) == 32_000
    assert driver.station.limit_ma(now_ms + 120_001) == 6_000
    driver.mono_ms += 121_000
    assert driver.session.evses[0].enforcer.proved_ma(driver.now) == 6_000


def test_the_live_limit_is_renewed_at_half_its_lease_without_losing_its_proof() -> None:
    driver = ready()
    driver.setpoint(16_000, 1)
    driver.outcomes.clear()
    keep_alive(driver, 16_000, 1, 600_000)
    assert not driver.outcomes
    assert len(live_writes(driver)) == 1 + 600_000 // 60_000
    assert driver.session.evses[0].enforcer.proved_ma(driver.now) == 16_000
    assert driver.station is not None
    assert driver.station.limit_ma(driver.now.utc_ms + 60_000) == 16_000


def test_raises_are_paced_and_reductions_are_not() -> None:
    driver = ready()
    driver.setpoint(10_000, 1)
    driver.setpoint(12_000, 2)
    driver.advance(4_999)
    assert live_writes(driver) == [10.0]
    driver.setpoint(8_000, 3)
    assert live_writes(driver) == [10.0, 8.0]
    driver.setpoint(14_000, 4)
    driver.advance(1)
    assert live_writes(driver) == [10.0, 8.0, 14.0]


# Refusals.


def test_a_rejected_write_is_told_and_retried_about_six_times_in_an_hour() -> None:
    driver = ready()
    assert driver.station is not None
    driver.station.faults["SetChargingProfile"] = {"status": "Rejected"}
    driver.setpoint(16_000, 1, ttl_ms=10_000_000)
    assert driver.states() == ["SENT", "REJECTED"]
    assert "Rejected" in driver.outcomes[-1].evidence
    driver.advance(3_600_000)
    refreshes = 1  # the floor was installed before the station began to refuse
    assert 4 <= len(live_writes(driver)) - refreshes <= 6


@pytest.mark.parametrize("fault", ["error", {"status": "NotSupported"}, {"status": 7}, {}, []])
def test_any_answer_but_accepted_is_a_refusal(fault: Any) -> None:
    driver = ready()
    assert driver.station is not None
    driver.station.faults["SetChargingProfile"] = fault
    driver.setpoint(3_000, 1)
    assert driver.states() == ["SENT", "REJECTED"]


def test_a_silent_station_times_out_and_the_limit_is_written_again() -> None:
    driver = ready()
    assert driver.station is not None
    driver.station.faults["SetChargingProfile"] = None
    driver.setpoint(3_000, 1, ttl_ms=1_000_000)
    driver.advance(10_000)
    assert driver.states() == ["SENT", "TIMED_OUT"]
    del driver.station.faults["SetChargingProfile"]
    driver.advance(5_000)
    assert driver.states()[-3:] == ["SENT", "ACCEPTED", "CONFIRMED"]
    assert live_writes(driver) == [3.0, 3.0]


def test_after_a_write_without_answer_the_old_value_counts_as_unknown_and_is_written_again() -> None:
    driver = ready()
    driver.setpoint(16_000, 1)
    assert driver.station is not None
    driver.station.faults["SetChargingProfile"] = None
    driver.setpoint(3_000, 2)
    driver.advance(10_000)
    del driver.station.faults["SetChargingProfile"]
    driver.outcomes.clear()
    driver.setpoint(16_000, 3)
    assert not driver.outcomes
    driver.advance(5_000)
    assert live_writes(driver) == [16.0, 3.0, 16.0]
    assert driver.states() == ["SENT", "ACCEPTED", "CONFIRMED"]


def test_a_reduction_below_all_that_failed_goes_before_the_back_off_ends() -> None:
    driver = ready()
    assert driver.station is not None
    driver.station.faults["SetChargingProfile"] = {"status": "Rejected"}
    driver.setpoint(16_000, 1, ttl_ms=1_000_000)
    driver.advance(60_000)
    tries = len(live_writes(driver))
    del driver.station.faults["SetChargingProfile"]
    driver.setpoint(2_000, 2, safety=True, ttl_ms=1_000_000)
    driver.advance(5_000)
    assert live_writes(driver)[tries:] == [2.0]
    assert driver.states()[-1] == "CONFIRMED"


def test_a_station_that_accepts_without_effect_is_found_by_the_read_back() -> None:
    driver = ready()
    assert driver.station is not None
    driver.station.faults["SetChargingProfile"] = {"status": "Accepted"}
    driver.setpoint(3_000, 1, ttl_ms=1_000_000)
    driver.advance(60_000)
    assert "CONFIRMED" not in driver.states()
    assert driver.states()[:3] == ["SENT", "ACCEPTED", "REJECTED"]
    assert "composite 6000 mA" in driver.outcomes[2].evidence


def test_a_station_that_shows_its_profile_late_is_given_time() -> None:
    driver = ready()
    assert driver.station is not None
    late = driver.station.answer("GetCompositeSchedule", {"connectorId": 0, "duration": 180}, driver.now.utc_ms)
    driver.station.faults["GetCompositeSchedule"] = late
    driver.setpoint(3_000, 1)
    driver.advance(2_500)
    assert driver.states() == ["SENT", "ACCEPTED"]
    del driver.station.faults["GetCompositeSchedule"]
    driver.advance(5_000)
    assert driver.states() == ["SENT", "ACCEPTED", "CONFIRMED"]


@pytest.mark.parametrize("fault", ["error", {"status": "Rejected"}, {"status": "Accepted"}, None])
def test_without_a_read_back_nothing_is_confirmed(fault: Any) -> None:
    driver = ready()
    assert driver.station is not None
    driver.station.faults["GetCompositeSchedule"] = fault
    driver.setpoint(3_000, 1, ttl_ms=1_000_000)
    driver.advance(55_000)
    assert driver.states() == ["SENT", "ACCEPTED"]
    assert driver.session.evses[0].enforcer.proved_ma(driver.now) is None


class NoFloor(ModelStation):
    """Has room for one profile only."""

    def answer(self, action: str, payload: dict[str, Any], utc_ms: int) -> Any:
        if action == "SetChargingProfile" and payload["csChargingProfiles"]["chargingProfileId"] == FLOOR_ID:
            return {"status": "Rejected"}
        return super().answer(action, payload, utc_ms)


def test_a_station_that_refuses_the_floor_gets_no_lease_and_no_floor_is_reported() -> None:
    driver = Driver(station=NoFloor()).connect()
    driver.setpoint(16_000, 1, ttl_ms=1_000_000)
    assert driver.states()[-1] == "CONFIRMED"
    assert driver.outcomes[-1].fallback_ma is None
    assert all("validTo" not in call[3]["csChargingProfiles"] for call in driver.south_calls("SetChargingProfile")[1:])
    assert driver.station is not None
    assert driver.station.limit_ma(driver.now.utc_ms + 10**9) == 16_000


def test_a_floor_accepted_later_brings_the_lease_and_its_proof() -> None:
    driver = Driver(station=NoFloor()).connect()
    driver.setpoint(16_000, 1, ttl_ms=1_000_000)
    station = ModelStation()
    assert driver.station is not None
    station.profiles = driver.station.profiles
    driver.station = station
    driver.advance(10_000)
    assert driver.outcomes[-1].fallback_ma == 6_000
    assert driver.states()[-1] == "CONFIRMED"
    assert station.limit_ma(driver.now.utc_ms + 10**9) == 6_000


def test_a_station_with_a_wrong_clock_gets_no_lease() -> None:
    driver = ready()
    assert driver.station is not None
    driver.status("Charging")
    driver.setpoint(16_000, 1, ttl_ms=1_000_000)
    driver.station.clock_error_ms = -3_600_000
    driver.advance(2_000)
    driver.meter(16.0, context="Trigger")
    last = driver.south_calls("SetChargingProfile")[-1][3]["csChargingProfiles"]
    assert last["chargingProfileId"] == LIVE_ID
    assert "validTo" not in last
    assert driver.session.evses[0].enforcer.fallback_ma is None


# Wipe and repair.

WIPES = [
    ("Reset", {"type": "Soft"}),
    ("UpdateFirmware", {"location": "x", "retrieveDate": "2026-01-01T00:00:00Z"}),
]


@pytest.mark.parametrize(("action", "payload"), WIPES)
def test_what_can_wipe_is_told_as_it_passes_and_repaired_within_five_seconds(
    action: str, payload: dict[str, Any]
) -> None:
    driver = ready()
    driver.setpoint(16_000, 1)
    driver.outcomes.clear()
    driver.south.clear()
    station, driver.station = driver.station, None
    message_id = driver.csms_call(action, payload)
    assert driver.states() == ["WIPED"]
    assert driver.outcomes[0].urgent
    assert (driver.outcomes[0].current_ma, driver.outcomes[0].fallback_ma) == (None, None)
    assert driver.session.evses[0].enforcer.proved_ma(driver.now) is None
    assert station is not None
    station.profiles.clear()
    driver.station = station
    driver.station_answer(message_id, {"status": "Accepted"})
    driver.advance(5_000)
    assert driver.states() == ["WIPED", "SENT", "ACCEPTED", "CONFIRMED"]
    assert writes(driver) == [(FLOOR_ID, 6.0), (LIVE_ID, 16.0)]
    assert driver.outcomes[-1].fallback_ma == 6_000


def test_a_wipe_that_still_waits_in_the_lane_wipes_nothing_yet() -> None:
    driver = ready()
    driver.station = None
    driver.csms_call("GetConfiguration", {})
    driver.csms_call("Reset", {"type": "Soft"})
    assert not driver.outcomes


def test_a_set_of_the_cpo_on_its_own_slot_wipes_nothing() -> None:
    driver = ready()
    profile = {
        "chargingProfileId": 1,
        "stackLevel": 0,
        "chargingProfilePurpose": "TxDefaultProfile",
        "chargingProfileKind": "Relative",
        "chargingSchedule": {"chargingRateUnit": "A", "chargingSchedulePeriod": [{"startPeriod": 0, "limit": 20.0}]},
    }
    driver.csms_call("SetChargingProfile", {"connectorId": 0, "csChargingProfiles": profile})
    assert not driver.outcomes
    assert not live_writes(driver)


def test_a_boot_wipes_though_our_write_is_in_flight_and_its_answer_proves_nothing() -> None:
    driver = ready()
    driver.station = None
    driver.setpoint(16_000, 1)
    own_id = driver.south_calls("SetChargingProfile")[-1][1]
    driver.boot()
    driver.station_answer(own_id, {"status": "Accepted"})
    assert driver.states() == ["SENT", "WIPED"]
    assert writes(driver)[-1] == (FLOOR_ID, 6.0)


def test_a_station_that_forgets_over_a_reconnect_gets_both_again() -> None:
    driver = ready()
    driver.setpoint(16_000, 1, ttl_ms=1_000_000)
    assert driver.station is not None
    driver.disconnect()
    driver.station.profiles.clear()
    driver.south.clear()
    driver.outcomes.clear()
    driver.connect(boot=False)
    driver.station_call("Heartbeat", {})
    assert writes(driver) == [(FLOOR_ID, 6.0), (LIVE_ID, 16.0)]
    assert driver.states() == ["SENT", "ACCEPTED", "CONFIRMED"]


# Measured, and what a restarted ems role is told.


def test_a_drop_seen_on_the_meter_proves_by_measurement_and_a_low_draw_does_not() -> None:
    driver = ready()
    driver.status("Charging")
    driver.meter(15.9)
    driver.setpoint(10_000, 1)
    driver.outcomes.clear()
    driver.advance(1_000)
    driver.meter(9.9)
    assert not driver.outcomes
    driver.advance(2_000)
    driver.meter(9.9)
    assert driver.states() == ["MEASURED"]
    assert driver.outcomes[0].current_ma == 10_000
    driver.advance(10_000)
    driver.setpoint(20_000, 2)
    driver.advance(5_000)
    driver.outcomes.clear()
    driver.meter(9.9)
    assert not driver.outcomes


def test_a_draw_that_stays_above_the_limit_proves_nothing() -> None:
    driver = ready()
    driver.status("Charging")
    driver.meter(31.9)
    driver.setpoint(10_000, 1)
    driver.advance(5_000)
    driver.meter(31.9)
    assert "MEASURED" not in driver.states()


def test_a_restarted_ems_is_told_what_is_proved_or_that_nothing_is() -> None:
    driver = ready()
    driver.setpoint(16_000, 3)
    (proof,) = driver.session.evses[0].enforcer.report(driver.now)
    assert (proof.state, proof.current_ma, proof.fallback_ma) == (OutcomeState.OUTCOME_STATE_CONFIRMED, 16_000, 6_000)
    driver.station = None
    driver.csms_call("Reset", {"type": "Soft"})
    (nothing,) = driver.session.evses[0].enforcer.report(driver.now)
    assert (nothing.state, nothing.current_ma) == (OutcomeState.OUTCOME_STATE_WIPED, None)


def test_a_reduction_under_way_is_reported_beside_the_older_proof() -> None:
    driver = ready()
    driver.setpoint(16_000, 1)
    driver.station = None
    driver.setpoint(8_000, 2)
    assert [(found.state, found.current_ma) for found in driver.session.evses[0].enforcer.report(driver.now)] == [
        (OutcomeState.OUTCOME_STATE_CONFIRMED, 16_000),
        (OutcomeState.OUTCOME_STATE_SENT, 8_000),
    ]


def test_a_live_limit_that_could_not_be_renewed_is_reported_as_the_floor() -> None:
    driver = ready()
    driver.setpoint(16_000, 1, ttl_ms=10_000_000)
    assert driver.station is not None
    driver.station.faults["SetChargingProfile"] = "error"
    driver.advance(119_000)
    driver.outcomes.clear()
    driver.put(FrameIn(leg=Leg.SOUTH, raw=b'[2,"h1","Heartbeat",{}]'))
    assert not driver.outcomes
    driver.mono_ms += 2_000
    driver.put(FrameIn(leg=Leg.SOUTH, raw=b'[2,"h2","Heartbeat",{}]'))
    assert (driver.states(), driver.outcomes[0].current_ma) == (["CONFIRMED"], 6_000)
    assert driver.station.limit_ma(driver.now.utc_ms) == 6_000


def test_the_lease_in_the_station_ends_when_we_say_it_does() -> None:
    driver = ready()
    driver.setpoint(16_000, 1)
    body = driver.south_calls("SetChargingProfile")[-1][3]["csChargingProfiles"]
    valid_to = stamp.parse(body["validTo"])
    assert valid_to is not None
    assert 119_000 <= valid_to - (UTC_MS + driver.mono_ms) <= 120_000


def test_a_live_limit_that_ended_while_the_station_was_away_is_the_floor_when_it_comes_back() -> None:
    driver = ready()
    driver.setpoint(0, 1, ttl_ms=10_000_000)
    driver.disconnect()
    driver.mono_ms += 130_000
    driver.outcomes.clear()
    driver.connect(boot=False)
    assert (driver.states()[0], driver.outcomes[0].current_ma, driver.outcomes[0].urgent) == ("CONFIRMED", 6_000, True)


def test_a_write_whose_answer_was_lost_leaves_nothing_proved_after_the_lease() -> None:
    driver = ready()
    driver.setpoint(0, 1, ttl_ms=10_000_000)
    assert driver.station is not None
    driver.station.faults["SetChargingProfile"] = None
    driver.setpoint(16_000, 2, ttl_ms=10_000_000)
    driver.disconnect()
    driver.mono_ms += 130_000
    driver.outcomes.clear()
    driver.connect(boot=False)
    assert driver.states()[0] == "WIPED"


def test_a_reconnect_within_the_lease_tells_nothing_new() -> None:
    driver = ready()
    driver.setpoint(0, 1, ttl_ms=10_000_000)
    driver.disconnect()
    driver.outcomes.clear()
    driver.connect(boot=False)
    assert "WIPED" not in driver.states()
    assert all(outcome.current_ma in (0, 6_000) for outcome in driver.outcomes)
