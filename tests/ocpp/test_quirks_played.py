"""Chargers that behave as some in the field do and need no entry in the models: what the gateway makes of each."""

from __future__ import annotations

from typing import Any

import pytest
from ocpp_driver import Driver, ModelStation
from test_merge import LONG, MERGE, merged, purposes, start
from test_session_2x import Model2x, connected, event, socket

from dgm.api.ocpp.v1.evse_model_pb2 import EvseModel
from dgm.api.site.v1.site_pb2 import PlugState
from dgm.devices.evse_models import load_all
from dgm.ocpp.events import Leg, LegUp
from dgm.ocpp.gateway import Schemas
from dgm.ocpp.manner import Mode
from dgm.ocpp.probe import abilities_of
from dgm.ocpp.profile import Purpose, RateUnit, Transaction
from dgm.ocpp.session import Session
from dgm.ocpp.version import Version


def limited(station: ModelStation, **changes: Any) -> Driver:
    driver = Driver(station=station, **changes).connect()
    driver.status("Available")
    driver.setpoint(10_000, 1, ttl_ms=LONG)
    driver.advance(20_000)
    return driver


def proved_ma(driver: Driver) -> int | None:
    return driver.session.evses[0].enforcer.proved_ma(driver.now)


class RelativeHidden(ModelStation):
    """Takes Relative schedules only, and then has no composite to show."""

    def answer(self, action: str, payload: dict[str, Any], utc_ms: int) -> Any:
        if action == "GetCompositeSchedule":
            return {"status": "Rejected"}
        if action == "SetChargingProfile" and payload["csChargingProfiles"]["chargingProfileKind"] != "Relative":
            return None
        return super().answer(action, payload, utc_ms)


def test_a_relative_limit_that_no_composite_shows_is_proved_by_what_is_measured_alone() -> None:
    station = RelativeHidden()
    driver = limited(station)
    driver.advance(120_000)
    assert station.limit_ma(driver.now.utc_ms, 1) == 10_000
    assert proved_ma(driver) is None, "counts at nameplate"
    driver.status("Charging")
    driver.meter(9.9)
    driver.setpoint(6_000, 2, ttl_ms=LONG)
    driver.advance(10_000)
    driver.meter(5.9)
    assert proved_ma(driver) == 6_000
    assert driver.states()[-1] == "MEASURED"


class Unimplemented(Model2x):
    """A 2.0.1 station without smart charging."""

    def answer(self, action: str, payload: dict[str, Any], utc_ms: int) -> Any:
        if "Profile" in action or "Composite" in action:
            self.calls.append((action, payload))
            return "error"
        return super().answer(action, payload, utc_ms)


def test_a_2x_station_without_profile_calls_counts_at_nameplate_and_goes_on_charging() -> None:
    driver = Driver(station=Unimplemented(Version.V201))
    driver.put(LegUp(leg=Leg.NORTH))
    driver.put(LegUp(leg=Leg.SOUTH, subprotocol=Version.V201.value))
    socket(driver, "Occupied")
    driver.setpoint(10_000, 1, ttl_ms=LONG)
    driver.advance(3_600_000)
    assert driver.session.desk.manner.mode is Mode.NONE
    assert proved_ma(driver) is None
    event(driver, "Started", evse={"id": 1, "connectorId": 1}, state="Charging")
    assert len(driver.north_calls("TransactionEvent")) == 1
    assert len(driver.south_calls("SetChargingProfile")) < 60, "it is not hammered"


class IdleDefault(ModelStation):
    """Its TxDefaultProfile has no effect, and shows in no composite, outside a transaction."""

    def limit_ma(self, utc_ms: int, connector_id: int = 0) -> int | None:
        return super().limit_ma(utc_ms, connector_id) if self.transaction is not None else None


def test_a_default_without_effect_outside_a_transaction_is_proved_once_a_car_charges() -> None:
    station = IdleDefault()
    driver = limited(station, stored=MERGE)
    driver.advance(60_000)
    assert proved_ma(driver) is None, "the composite says 64 A"
    start(driver)
    driver.advance(600_000)
    assert station.limit_ma(driver.now.utc_ms, 1) == 10_000
    assert proved_ma(driver) == 10_000


def test_a_transaction_that_goes_on_after_a_restart_without_a_new_start_keeps_its_limit() -> None:
    driver = merged()
    start(driver)
    driver.advance(10_000)
    assert Purpose.TX in purposes(driver)
    driver.disconnect()
    driver.advance(30_000)
    fresh = Driver(station=driver.station, stored=driver.stored)
    fresh.mono_ms = driver.mono_ms
    fresh.connect()
    fresh.setpoint(9_000, 1, ttl_ms=LONG)
    values = [{"value": "8.5", "measurand": "Current.Import", "phase": "L1", "unit": "A"}]
    fresh.status("Charging")
    group = [{"sampledValue": values}]
    fresh.station_call("MeterValues", {"connectorId": 1, "transactionId": 7, "meterValue": group})
    fresh.advance(30_000)
    assert purposes(fresh) >= {Purpose.TX}
    assert fresh.station is not None
    assert fresh.station.limit_ma(fresh.now.utc_ms, 1) == 9_000
    assert proved_ma(fresh) == 9_000


def test_a_pause_is_a_limit_of_0_and_never_a_stop_an_unavailability_or_another_setting() -> None:
    driver = limited(ModelStation())
    start(driver)
    for number in range(2, 12):
        driver.setpoint(0 if number % 2 else 12_000, number, ttl_ms=LONG)
        driver.advance(30_000)
    used = {call[2] for call in driver.south_calls()}
    assert used <= {"SetChargingProfile", "GetCompositeSchedule", "TriggerMessage", "GetConfiguration"}


@pytest.mark.parametrize("status", ["SuspendedEVSE", "SuspendedEV"])
def test_a_suspended_car_is_told_as_such_and_frees_no_limit(status: str) -> None:
    driver = limited(ModelStation())
    start(driver)
    driver.status(status)
    driver.meter(0.0)
    driver.advance(10_000)
    assert driver.samples[-1].plug_state == PlugState.Value(
        f"PLUG_STATE_{'SUSPENDED_EVSE' if status.endswith('EVSE') else 'SUSPENDED_EV'}"
    )
    assert proved_ma(driver) == 10_000, "a lower draw frees nothing"


def test_minus_one_is_no_transaction_that_a_profile_could_be_for() -> None:
    driver = merged()
    assert driver.station is not None
    driver.status("Charging")
    driver.station.transaction = Transaction(id=-1, start_utc_ms=driver.now.utc_ms)
    values = [{"value": "8.5", "measurand": "Current.Import", "phase": "L1", "unit": "A"}]
    driver.station_call(
        "MeterValues", {"connectorId": 1, "transactionId": -1, "meterValue": [{"sampledValue": values}]}
    )
    driver.advance(60_000)
    assert purposes(driver) == {Purpose.TX_DEFAULT}
    assert driver.station.limit_ma(driver.now.utc_ms, 1) == 32_000


@pytest.mark.parametrize("level", [8, "8", " 8 ", '"8"'])
def test_keys_are_read_whatever_type_their_values_have(level: Any) -> None:
    keys = [
        {"key": "ChargeProfileMaxStackLevel", "readonly": True, "value": level},
        {"key": "ChargingScheduleAllowedChargingRateUnit", "readonly": "true", "value": ' "Current" '},
        {"key": "MaxChargingProfilesInstalled", "value": 4},
    ]
    found = abilities_of({"configurationKey": keys}, Version.V16)
    assert (found.max_stack_level, found.units, found.max_profiles) == (8, (RateUnit.A,), 4)


def test_a_reading_with_a_context_of_its_own_an_overlong_serial_and_a_stray_field_is_used_and_passed_on() -> None:
    driver = Driver(station=ModelStation())
    driver.session = Session([driver.session.settings], lambda: next(driver.ids), Schemas().is_valid)
    driver.connect(boot=False)
    boot = {"chargePointVendor": "V" * 60, "chargePointModel": "M", "chargePointSerialNumber": "9" * 80, "imsi": None}
    driver.csms_answer(driver.station_call("BootNotification", boot), {"status": "Accepted", "interval": 1})
    value = {"value": 7.5, "measurand": "Current.Import", "context": "Sample.Odd", "unit": "A", "phase": "L1-N"}
    driver.station_call("MeterValues", {"connectorId": 1, "meterValue": [{"sampledValue": [value], "x": 1}]})
    assert driver.samples[-1].current_ma[0] == 7_500
    assert {found.detail for found in driver.counted if found.name == "schema_breach"} == {
        "BootNotification",
        "MeterValues",
    }
    assert len(driver.north_calls("BootNotification")) == len(driver.north_calls("MeterValues")) == 1


def test_a_2x_station_that_is_validated_by_the_words_of_another_version_gets_only_what_both_know() -> None:
    """FoxESS: phases are three where the field is absent, in every version."""
    driver = connected(Version.V201)
    driver.setpoint(10_000, 1, ttl_ms=LONG)
    driver.advance(20_000)
    for call in driver.south_calls("SetChargingProfile"):
        [schedule] = call[3]["chargingProfile"]["chargingSchedule"]
        assert set(schedule) <= {"id", "startSchedule", "chargingRateUnit", "chargingSchedulePeriod", "duration"}
        assert [set(period) for period in schedule["chargingSchedulePeriod"]] == [{"startPeriod", "limit"}]


def played(model: EvseModel) -> Driver:
    """A station that calls itself what the model's patterns say, where these are plain words."""
    driver = Driver(station=ModelStation(), models=(model,))
    driver.connect(boot=False)
    vendor, name = (pattern.replace(".*", "").replace("\\", "") or "x" for pattern in (model.vendor, model.model))
    boot = {"chargePointVendor": vendor, "chargePointModel": name, "firmwareVersion": model.firmware or "1"}
    driver.csms_answer(driver.station_call("BootNotification", boot), {"status": "Accepted", "interval": 300})
    driver.status("Available")
    driver.setpoint(10_000, 1, ttl_ms=LONG)
    driver.advance(60_000)
    return driver


def test_the_models_that_come_with_dgm_are_limited_as_their_files_say() -> None:
    limited_by_profile = 0
    for model in load_all():
        driver = played(model)
        tried = [call[3]["csChargingProfiles"] for call in driver.south_calls("SetChargingProfile")]
        if driver.session.describe(driver.now).quirks != model.name or not tried:
            continue
        limited_by_profile += 1
        assert driver.station is not None
        assert driver.station.limit_ma(driver.now.utc_ms, 1) == 10_000, model.name
        units = {body["chargingSchedule"]["chargingRateUnit"] for body in tried}
        assert not model.units or units == {"A" if model.units[0] == 1 else "W"}, model.name
        if model.HasField("max_stack_level"):
            assert max(body["stackLevel"] for body in tried) <= model.max_stack_level, model.name
    assert limited_by_profile >= 5
