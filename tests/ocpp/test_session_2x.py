"""A session with stations of OCPP 2.0.1 and 2.1, and with several EVSEs; our own CALLs keep to published schemas."""

from __future__ import annotations

import json
from typing import Any

import pytest
from ocpp.messages import get_validator
from ocpp_driver import Driver, ModelStation, settings

from dgm.api.site.v1.site_pb2 import PlugState
from dgm.ocpp import stamp
from dgm.ocpp.events import FrameIn, Leg, LegUp, Reason, SetpointIn
from dgm.ocpp.frame import Kind, scan
from dgm.ocpp.manner import Mode
from dgm.ocpp.profile import Profile
from dgm.ocpp.profile_codec import Flaw, parse_profile
from dgm.ocpp.version import Version

VERSIONS = [Version.V201, Version.V21]


class Model2x(ModelStation):
    """Holds profiles as the model of 1.6 does; takes and gives the words of 2.x."""

    def __init__(self, version: Version) -> None:
        super().__init__()
        self.version = version

    def answer(self, action: str, payload: dict[str, Any], utc_ms: int) -> Any:
        get_validator(2, action, self.version.value.removeprefix("ocpp")).validate(payload)
        match action:
            case "GetCompositeSchedule":
                payload = {**payload, "connectorId": payload["evseId"]}
            case "ClearChargingProfile":
                criteria = payload.get("chargingProfileCriteria", {})
                payload = {**criteria, "id": payload.get("chargingProfileId"), "connectorId": criteria.get("evseId")}
        found = super().answer(action, payload, utc_ms)
        if action == "GetCompositeSchedule" and isinstance(found, dict):
            schedule = {"evseId": payload["evseId"], "scheduleStart": stamp.text(utc_ms), **found["chargingSchedule"]}
            found = {"status": "Accepted", "schedule": schedule}
            get_validator(3, action, self.version.value.removeprefix("ocpp")).validate(found)
        return found

    def parse(self, payload: dict[str, Any]) -> Profile | Flaw:
        return parse_profile(payload["chargingProfile"], evse_id=payload["evseId"], version=self.version, utc_ms=0)


def connected(version: Version, **changes: Any) -> Driver:
    driver = Driver(station=Model2x(version), **changes)
    driver.put(LegUp(leg=Leg.NORTH))
    driver.put(LegUp(leg=Leg.SOUTH, subprotocol=version.value))
    station = {"vendorName": "V", "model": "M", "serialNumber": "1"}
    boot = driver.station_call("BootNotification", {"reason": "PowerUp", "chargingStation": station})
    driver.csms_answer(boot, {"status": "Accepted", "currentTime": stamp.text(driver.now.utc_ms), "interval": 300})
    return driver


def socket(driver: Driver, status: str, *, evse_id: int = 1, connector_id: int = 1) -> None:
    now = stamp.text(driver.now.utc_ms)
    driver.station_call(
        "StatusNotification",
        {"timestamp": now, "connectorStatus": status, "evseId": evse_id, "connectorId": connector_id},
    )


def event(driver: Driver, kind: str, *, tx: str = "t-1", amps: float | None = None, **more: Any) -> None:
    now = stamp.text(driver.now.utc_ms)
    state = more.pop("state", None)
    about = {"transactionId": tx, **({"chargingState": state} if state else {})}
    payload: dict[str, Any] = {"eventType": kind, "timestamp": now, "triggerReason": "Trigger", "seqNo": 0}
    if amps is not None:
        values = [
            {"value": amps, "measurand": "Current.Import", "phase": phase, "unitOfMeasure": {"unit": "A"}}
            for phase in ("L1", "L2", "L3")
        ]
        payload["meterValue"] = [{"timestamp": now, "sampledValue": values}]
    driver.station_call("TransactionEvent", {**payload, "transactionInfo": about, **more})


@pytest.mark.parametrize("version", VERSIONS)
def test_floor_and_live_limit_are_installed_and_proved_in_the_words_of_the_version(version: Version) -> None:
    driver = connected(version)
    driver.setpoint(10_000, 1)
    driver.advance(5_000)
    assert driver.station is not None
    assert driver.station.limit_ma(driver.now.utc_ms) == 10_000
    assert driver.session.evses[0].enforcer.proved_ma(driver.now) == 10_000
    assert driver.session.evses[0].enforcer.fallback_ma == 6_000
    purposes = {
        call[3]["chargingProfile"]["chargingProfilePurpose"] for call in driver.south_calls("SetChargingProfile")
    }
    assert purposes == {"ChargingStationMaxProfile"}
    assert driver.session.memory.vendor == "V"


@pytest.mark.parametrize("version", VERSIONS)
def test_a_transaction_tells_the_plug_state_and_the_reading(version: Version) -> None:
    driver = connected(version, short_cut=True)
    socket(driver, "Occupied")
    assert driver.samples[-1].plug_state == PlugState.PLUG_STATE_PREPARING
    event(driver, "Started", evse={"id": 1, "connectorId": 1}, state="Charging")
    assert driver.samples[-1].plug_state == PlugState.PLUG_STATE_CHARGING
    event(driver, "Updated", amps=10.5)
    assert driver.samples[-1].current_ma == (10_500, 10_500, 10_500)
    assert driver.session.describe(driver.now).evses[0].transaction == "t-1"
    event(driver, "Updated", state="SuspendedEVSE")
    assert driver.samples[-1].plug_state == PlugState.PLUG_STATE_SUSPENDED_EVSE
    event(driver, "Ended", amps=0.0)
    assert PlugState.PLUG_STATE_FINISHING in [sample.plug_state for sample in driver.samples[-2:]]
    assert driver.session.describe(driver.now).evses[0].transaction == ""
    socket(driver, "Occupied")
    assert driver.samples[-1].plug_state == PlugState.PLUG_STATE_FINISHING
    socket(driver, "Available")
    assert driver.samples[-1].plug_state == PlugState.PLUG_STATE_AVAILABLE


def test_an_offline_event_tells_what_was_and_not_what_is() -> None:
    driver = connected(Version.V201)
    socket(driver, "Available")
    event(driver, "Started", evse={"id": 1}, state="Charging", offline=True)
    assert driver.samples[-1].plug_state == PlugState.PLUG_STATE_AVAILABLE


def test_an_evse_is_occupied_while_one_of_its_connectors_is() -> None:
    driver = connected(Version.V201)
    socket(driver, "Occupied", connector_id=2)
    socket(driver, "Unavailable", connector_id=1)
    assert driver.session.evses[0].memory.plug_state == PlugState.PLUG_STATE_PREPARING
    socket(driver, "Available", connector_id=2)
    assert driver.session.evses[0].memory.plug_state == PlugState.PLUG_STATE_AVAILABLE


def test_a_car_found_after_a_reconnection_is_asked_about_once() -> None:
    driver = connected(Version.V201)
    socket(driver, "Occupied")
    driver.advance(20_000)
    triggers = [call[3] for call in driver.south_calls("TriggerMessage")]
    assert triggers == [{"requestedMessage": "TransactionEvent", "evse": {"id": 1}}]
    event(driver, "Updated", state="Charging", evse={"id": 1})
    assert driver.samples[-1].plug_state == PlugState.PLUG_STATE_CHARGING


def test_the_reading_that_our_trigger_caused_is_answered_locally() -> None:
    driver = connected(Version.V21, short_cut=True)
    event(driver, "Started", evse={"id": 1}, state="Charging", amps=16)
    driver.advance(11_000)
    assert driver.south_calls("TriggerMessage")[-1][3] == {"requestedMessage": "MeterValues", "evse": {"id": 1}}
    values = [{"value": 9.0, "measurand": "Current.Import", "phase": "L1", "context": "Trigger"}]
    reading = {"evseId": 1, "meterValue": [{"timestamp": stamp.text(driver.now.utc_ms), "sampledValue": values}]}
    before = len(driver.north)
    message_id = driver.station_call("MeterValues", reading)
    assert len(driver.north) == before
    assert json.loads(driver.south[-1]) == [3, message_id, {}]
    assert driver.samples[-1].current_ma == (9_000, None, None)
    error = json.dumps([5, message_id, "FormatViolation", "", {}]).encode()
    driver.frame(Leg.SOUTH, error)
    assert len(driver.north) == before
    assert driver.excepted[-1].reason is Reason.OWN_RESULT_ERROR


@pytest.mark.parametrize(
    "raw",
    [
        b'[6,"s1","NotifyPeriodicEventStream",{"id":1,"pending":0,"basetime":"2026-01-01T00:00:00Z","data":[]}]',
        b'[5,"c9","PropertyConstraintViolation","too long",{}]',
        b' [6 , "s\\u0031","X",{}]\n',
    ],
)
def test_sends_and_result_errors_go_on_at_once_both_ways(raw: bytes) -> None:
    driver = connected(Version.V21)
    driver.station = None
    driver.csms_call("GetVariables", {})
    waiting = driver.csms_call("GetReport", {})
    for leg, sent in ((Leg.SOUTH, driver.north), (Leg.NORTH, driver.south)):
        driver.frame(leg, raw)
        assert sent[-1] == raw
    assert waiting not in [call[1] for call in driver.south_calls()]
    assert scan(raw).kind in (Kind.SEND, Kind.RESULT_ERROR)  # type: ignore[union-attr]


MAX, TX_DEFAULT, TX = "ChargingStationMaxProfile", "TxDefaultProfile", "TxProfile"


def csms_profile(purpose: str, *, level: int = 8, profile_id: int = 7) -> dict[str, Any]:
    schedule = {"id": 1, "chargingRateUnit": "A", "chargingSchedulePeriod": [{"startPeriod": 0, "limit": 32.0}]}
    return {
        "id": profile_id,
        "stackLevel": level,
        "chargingProfilePurpose": purpose,
        "chargingProfileKind": "Relative",
        "chargingSchedule": [schedule],
    }


@pytest.mark.parametrize(
    ("action", "payload", "what"),
    [
        ("SetChargingProfile", {"evseId": 0, "chargingProfile": csms_profile(MAX)}, "merge"),
        ("SetChargingProfile", {"evseId": 0, "chargingProfile": csms_profile(MAX, level=2)}, "passes"),
        ("SetChargingProfile", {"evseId": 1, "chargingProfile": csms_profile(TX)}, "passes"),
        (
            "SetChargingProfile",
            {"evseId": 1, "chargingProfile": csms_profile(TX, profile_id=1_800_000_001)},
            "merge",
        ),
        ("ClearChargingProfile", {}, "answered"),
        ("ClearChargingProfile", {"chargingProfileId": 7}, "passes"),
        ("ClearChargingProfile", {"chargingProfileId": 1_800_000_002}, "answered"),
        ("ClearChargingProfile", {"chargingProfileCriteria": {"chargingProfilePurpose": TX}}, "passes"),
        ("ClearChargingProfile", {"chargingProfileCriteria": {"evseId": 0}}, "answered"),
        ("ClearChargingProfile", {"chargingProfileCriteria": {"evseId": 1}}, "passes"),
        ("RequestStartTransaction", {"remoteStartId": 1, "idToken": {}}, "passes"),
        (
            "RequestStartTransaction",
            {"remoteStartId": 1, "chargingProfile": csms_profile(TX)},
            "passes",
        ),
        ("Reset", {"type": "OnIdle"}, "wipes"),
        ("UpdateFirmware", {}, "wipes"),
        ("GetVariables", {}, "passes"),
    ],
)
def test_what_can_take_our_profiles_away_is_noticed(action: str, payload: dict[str, Any], what: str) -> None:
    driver = connected(Version.V201)
    driver.advance(5_000)
    driver.station = None
    driver.outcomes.clear()
    message_id = driver.csms_call(action, payload)
    assert (driver.states()[:1] == ["WIPED"]) is (what == "wipes")
    assert (driver.session.desk.manner.mode is Mode.MERGE) is (what == "merge")
    passed = message_id in [call[1] for call in driver.south_calls()]
    assert passed is (what in ("passes", "wipes"))


# Several EVSEs.


def pair(**changes: Any) -> Driver:
    """A 1.6 station with two connectors, each limited on its own."""
    evses = [
        settings(asset_id="evse-1", connector_id=1, **changes),
        settings(asset_id="evse-2", connector_id=2, phases=(1, 2, 0), **changes),
    ]
    return Driver(station=ModelStation(), evses=evses).connect()


def test_each_evse_of_a_station_is_limited_by_profiles_of_its_own() -> None:
    driver = pair()
    driver.advance(5_000)
    for sequence, (asset_id, limit_ma) in enumerate([("evse-1", 8_000), ("evse-2", 20_000)], start=1):
        driver.put(SetpointIn(asset_id=asset_id, epoch=1, sequence=sequence, current_ma=limit_ma, ttl_ms=60_000))
    driver.advance(10_000)
    installed = [
        (call[3]["connectorId"], call[3]["csChargingProfiles"]["chargingProfilePurpose"])
        for call in driver.south_calls("SetChargingProfile")
    ]
    assert set(installed) == {(1, "TxDefaultProfile"), (2, "TxDefaultProfile")}
    ids = {call[3]["csChargingProfiles"]["chargingProfileId"] for call in driver.south_calls("SetChargingProfile")}
    assert len(ids) == 4
    assert [evse.enforcer.proved_ma(driver.now) for evse in driver.session.evses] == [8_000, 20_000]


def test_readings_and_transactions_go_to_their_evse() -> None:
    driver = pair()
    for connector_id, transaction_id in ((1, 101), (2, 202)):
        start = driver.station_call("StartTransaction", {"connectorId": connector_id, "idTag": "x"})
        driver.csms_answer(start, {"transactionId": transaction_id, "idTagInfo": {"status": "Accepted"}})
        payload = {"connectorId": connector_id, "status": "Charging", "errorCode": "NoError"}
        driver.station_call("StatusNotification", payload)
    shown = driver.session.describe(driver.now)
    assert [(evse.asset_id, evse.transaction_id) for evse in shown.evses] == [("evse-1", 101), ("evse-2", 202)]
    values = [{"value": "7", "measurand": "Current.Import", "phase": "L1", "unit": "A"}]
    taken = stamp.text(driver.now.utc_ms)
    meter = {"connectorId": 2, "meterValue": [{"timestamp": taken, "sampledValue": values}]}
    driver.station_call("MeterValues", meter)
    assert (driver.samples[-1].asset_id, driver.samples[-1].current_ma) == ("evse-2", (None, 7_000, None))
    driver.station_call("StopTransaction", {"transactionId": 202, "meterStop": 1})
    assert [evse.transaction for evse in driver.session.describe(driver.now).evses] == ["101", ""]


def test_a_station_with_several_evses_is_merged_so_that_no_tx_profile_of_the_csms_overrules_ours() -> None:
    driver = pair()
    driver.advance(5_000)
    assert driver.session.desk.manner.mode is Mode.MERGE
    assert "several EVSEs" in driver.session.describe(driver.now).mode_reason
    driver.outcomes.clear()
    schedule = {"chargingRateUnit": "A", "chargingSchedulePeriod": [{"startPeriod": 0, "limit": 32.0}]}
    profile = {
        "chargingProfileId": 1,
        "stackLevel": 0,
        "chargingProfilePurpose": "TxProfile",
        "chargingProfileKind": "Relative",
        "chargingSchedule": schedule,
    }
    message_id = driver.csms_call("SetChargingProfile", {"connectorId": 1, "csChargingProfiles": profile})
    assert message_id not in [call[1] for call in driver.south_calls()]
    assert json.loads(driver.north[-1]) == [3, message_id, {"status": "Rejected"}]
    assert not driver.outcomes


def test_a_safety_reduction_of_one_evse_goes_before_the_turn_of_the_other() -> None:
    driver = pair()
    driver.advance(5_000)
    driver.put(SetpointIn(asset_id="evse-2", epoch=1, sequence=1, current_ma=20_000, ttl_ms=60_000))
    driver.advance(5_000)
    driver.station = None
    command = driver.csms_call("GetConfiguration", {})
    driver.put(SetpointIn(asset_id="evse-1", epoch=1, sequence=2, current_ma=12_000, ttl_ms=60_000))
    driver.put(SetpointIn(asset_id="evse-2", epoch=1, sequence=3, current_ma=0, ttl_ms=60_000, safety=True))
    driver.put(FrameIn(leg=Leg.SOUTH, raw=json.dumps([3, command, {}]).encode()))
    assert driver.south_calls()[-1][3]["connectorId"] == 2
