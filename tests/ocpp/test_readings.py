"""Our triggers: when a charging EVSE is asked, which reading we answer ourselves, and whose readings are left alone."""

from __future__ import annotations

import json
from typing import Any

import pytest
from ocpp_driver import Driver, ModelStation

from dgm.ocpp.events import Direction, Reason


def charging(**changes: Any) -> Driver:
    """Installed, charging, and past the first trigger with its reading."""
    driver = Driver(station=ModelStation(), **changes).connect()
    driver.status("Charging")
    driver.advance(2_000)
    driver.meter(10.0, context="Trigger")
    driver.south.clear()
    driver.north.clear()
    driver.excepted.clear()
    driver.samples.clear()
    return driver


def triggers(driver: Driver) -> list[dict[str, Any]]:
    return [call[3] for call in driver.south_calls("TriggerMessage")]


def test_a_start_of_charging_is_followed_by_a_trigger_two_seconds_later() -> None:
    driver = Driver(station=ModelStation()).connect()
    driver.status("Charging")
    driver.advance(1_999)
    assert not triggers(driver)
    driver.advance(1)
    assert triggers(driver) == [{"requestedMessage": "MeterValues", "connectorId": 1}]


def test_a_charging_evse_is_asked_only_when_no_reading_came_by_itself() -> None:
    driver = charging(trigger_interval_ms=10_000)
    for _ in range(6):
        driver.advance(9_000)
        driver.meter(10.0)
    assert not triggers(driver)
    driver.advance(10_000)
    assert len(triggers(driver)) == 1


def test_an_idle_evse_is_never_asked() -> None:
    driver = Driver(station=ModelStation()).connect()
    driver.status("Available")
    driver.advance(600_000)
    assert not triggers(driver)


def test_an_accepted_change_of_the_limit_is_followed_by_a_trigger() -> None:
    driver = charging()
    driver.advance(1_000)
    driver.setpoint(8_000, 1)
    driver.advance(2_000)
    assert len(triggers(driver)) == 1


def test_the_reading_of_our_trigger_is_answered_by_us_and_not_shown_to_the_csms() -> None:
    driver = charging()
    driver.advance(10_000)
    driver.south.clear()
    message_id = driver.meter(12.0, context="Trigger")
    assert not driver.north_calls("MeterValues")
    assert [json.loads(raw) for raw in driver.south] == [[3, message_id, {}]]
    assert driver.samples[-1].current_ma == (12_000, 12_000, 12_000)
    kept = [(found.reason, found.direction) for found in driver.excepted if found.id == message_id]
    assert kept == [(Reason.TRIGGERED_READING, Direction.LOCAL), (Reason.LOCAL_ANSWER, Direction.SOUTH)]


def test_one_trigger_claims_one_reading() -> None:
    driver = charging()
    driver.advance(10_000)
    driver.meter(12.0, context="Trigger")
    driver.meter(12.0, context="Trigger")
    assert len(driver.north_calls("MeterValues")) == 1


def test_a_periodic_reading_is_never_claimed() -> None:
    driver = charging()
    driver.advance(10_000)
    driver.meter(12.0, context="Sample.Periodic")
    assert len(driver.north_calls("MeterValues")) == 1
    driver.meter(12.0, context="Trigger")
    assert len(driver.north_calls("MeterValues")) == 1


@pytest.mark.parametrize(
    "payload",
    [
        {"connectorId": 2, "meterValue": [{"timestamp": "x", "sampledValue": [{"value": "1", "context": "Trigger"}]}]},
        {
            "connectorId": 1,
            "meterValue": [{"timestamp": "x", "sampledValue": [{"value": "1", "context": "Trigger"}, {"value": "2"}]}],
        },
        {"connectorId": 1, "comment": "Trigger", "meterValue": []},
        {"connectorId": 1, "comment": "Trigger"},
    ],
)
def test_what_only_resembles_our_reading_is_relayed(payload: dict[str, Any]) -> None:
    driver = charging()
    driver.advance(10_000)
    driver.station_call("MeterValues", payload)
    assert len(driver.north_calls("MeterValues")) == 1


def test_a_reading_that_the_csms_asked_for_always_reaches_it() -> None:
    driver = charging()
    driver.csms_call("TriggerMessage", {"requestedMessage": "MeterValues", "connectorId": 1})
    driver.advance(20_000)
    driver.meter(12.0, context="Trigger")
    assert len(driver.north_calls("MeterValues")) == 1
    assert len(triggers(driver)) == 1, "only the CSMS's own"


def test_with_both_asking_nothing_is_claimed() -> None:
    driver = charging()
    driver.advance(10_000)
    driver.csms_call("TriggerMessage", {"requestedMessage": "MeterValues"})
    driver.meter(12.0, context="Trigger")
    driver.meter(12.0, context="Trigger")
    assert len(driver.north_calls("MeterValues")) == 2


def test_an_expected_reading_that_never_came_is_forgotten() -> None:
    driver = charging(trigger_interval_ms=60_000)
    driver.advance(60_000)
    assert len(triggers(driver)) == 1
    driver.advance(10_000)
    driver.meter(12.0, context="Trigger")
    assert len(driver.north_calls("MeterValues")) == 1


@pytest.mark.parametrize(("fault", "pause_ms"), [({"status": "Rejected"}, 60_000), ("error", 600_000)])
def test_a_station_that_refuses_triggers_is_left_alone_for_a_while(fault: Any, pause_ms: int) -> None:
    driver = charging()
    assert driver.station is not None
    driver.station.faults["TriggerMessage"] = fault
    driver.advance(10_000)
    driver.advance(pause_ms - 1)
    assert len(triggers(driver)) == 1
    driver.advance(1)
    assert len(triggers(driver)) == 2


def test_our_frames_stay_near_one_per_ten_seconds_while_charging() -> None:
    driver = charging()
    for second in range(600):
        driver.setpoint(10_000, 1)
        driver.advance(1_000)
        if driver.south_calls("TriggerMessage") and second % 10 == 9:
            driver.meter(10.0, context="Trigger")
    assert len(driver.south_calls()) <= 600 / 10 * 1.3
