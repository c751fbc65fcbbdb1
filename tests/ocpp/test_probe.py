"""What a station says and does decides how it is limited; what worked is kept for its firmware."""

from __future__ import annotations

from typing import Any

import pytest
from ocpp_driver import Driver, ModelStation, settings

from dgm.ocpp import manner as manners
from dgm.ocpp.desk import KEEP_MANNER
from dgm.ocpp.manner import Mode
from dgm.ocpp.probe import Abilities, Question, abilities_of, candidates, keys_call
from dgm.ocpp.profile import ProfileKind, RateUnit
from dgm.ocpp.quirks import Quirks
from dgm.ocpp.version import Version

LONG = 10_000_000


class Picky(ModelStation):
    """Takes only what `takes` says yes to; `silent`: says nothing to the rest."""

    def __init__(self, takes: Any, *, silent: bool = False, keys: dict[str, str] | None = None) -> None:
        super().__init__()
        self.takes = takes
        self.silent = silent
        self.keys = keys or {}
        self.current_key_a: int | None = None
        self.tried: list[tuple[str, str, str, int]] = []

    def answer(self, action: str, payload: dict[str, Any], utc_ms: int) -> Any:
        match action:
            case "SetChargingProfile":
                body = payload["csChargingProfiles"]
                unit = body["chargingSchedule"]["chargingRateUnit"]
                shape = (body["chargingProfilePurpose"], unit, body["chargingProfileKind"], body["stackLevel"])
                self.tried.append(shape)
                if not self.takes(*shape):
                    return None if self.silent else {"status": "NotSupported"}
            case "GetConfiguration" if payload.get("key") == ["MaxAvailableCurrent"]:
                return {"configurationKey": [{"key": "MaxAvailableCurrent", "readonly": False, "value": "10"}]}
            case "GetConfiguration":
                return {"configurationKey": [{"key": k, "readonly": True, "value": v} for k, v in self.keys.items()]}
        return super().answer(action, payload, utc_ms)


def meet(station: ModelStation, **changes: Any) -> Driver:
    driver = Driver(station=station, **changes).connect()
    driver.status("Available")
    driver.setpoint(10_000, 1, ttl_ms=LONG)
    driver.advance(60_000)
    return driver


def shown(driver: Driver) -> tuple[Mode, str]:
    return driver.session.desk.manner.mode, driver.session.describe(driver.now).mode_reason


def kept(driver: Driver) -> manners.Manner:
    found = manners.from_bytes(driver.stored[KEEP_MANNER])
    assert found is not None
    return found


def test_a_station_that_takes_everything_is_limited_by_its_maximum_and_that_is_kept() -> None:
    driver = meet(ModelStation())
    mode, reason = shown(driver)
    assert mode is Mode.MAX
    assert "first that the station accepts" in reason
    assert kept(driver).is_proved
    assert kept(driver).made_for == "V/M/"


@pytest.mark.parametrize(
    ("takes", "mode", "unit", "kind"),
    [
        (lambda purpose, unit, kind, level: unit == "W", Mode.MAX, RateUnit.W, ProfileKind.ABSOLUTE),
        (lambda purpose, unit, kind, level: kind == "Relative", Mode.MAX, RateUnit.A, ProfileKind.RELATIVE),
        (
            lambda purpose, unit, kind, level: purpose != "ChargePointMaxProfile",
            Mode.MERGE,
            RateUnit.A,
            ProfileKind.ABSOLUTE,
        ),
        (
            lambda purpose, unit, kind, level: purpose == "TxDefaultProfile" and unit == "W" and kind == "Relative",
            Mode.MERGE,
            RateUnit.W,
            ProfileKind.RELATIVE,
        ),
    ],
)
@pytest.mark.parametrize("silent", [False, True])
def test_what_a_station_refuses_leads_to_the_next_manner_until_one_works(
    takes: Any, mode: Mode, unit: RateUnit, kind: ProfileKind, silent: bool
) -> None:
    driver = Driver(station=Picky(takes, silent=silent)).connect()
    driver.status("Available")
    driver.setpoint(10_000, 1, ttl_ms=LONG)
    driver.advance(600_000)
    found = driver.session.desk.manner
    assert (found.mode, found.unit, found.kind) == (mode, unit, kind)
    assert driver.station is not None
    assert driver.station.limit_ma(driver.now.utc_ms, 1) == 10_000
    assert driver.session.evses[0].enforcer.proved_ma(driver.now) == 10_000
    assert kept(driver).shape == found.shape


def test_a_station_that_takes_nothing_is_told_so_and_its_recovery_is_noticed() -> None:
    station = Picky(lambda *shape: False)
    driver = meet(station)
    mode, reason = shown(driver)
    assert mode is Mode.NONE
    assert reason.startswith("counts at nameplate")
    assert "NotSupported" in reason
    assert driver.session.evses[0].enforcer.proved_ma(driver.now) is None
    tried = len(station.tried)
    driver.advance(3_600_000)
    live = [shape for shape in station.tried[tried:] if shape[3] == 8]
    assert 1 <= len(live) <= 6
    station.takes = lambda *shape: True
    driver.advance(1_900_000)
    assert shown(driver)[0] is Mode.MAX
    assert driver.session.evses[0].enforcer.proved_ma(driver.now) == 10_000


def test_a_refusal_by_a_station_that_took_limits_before_changes_nothing() -> None:
    driver = meet(ModelStation())
    assert driver.station is not None
    driver.station.faults["SetChargingProfile"] = {"status": "Rejected"}
    driver.setpoint(8_000, 2, ttl_ms=LONG)
    driver.advance(60_000)
    assert shown(driver)[0] is Mode.MAX


def test_another_firmware_is_probed_anew_and_the_same_one_is_not() -> None:
    station = Picky(lambda purpose, *rest: purpose != "ChargePointMaxProfile")
    driver = meet(station)
    assert shown(driver)[0] is Mode.MERGE
    again = Driver(station=station, stored=driver.stored)
    again.mono_ms = driver.mono_ms
    station.tried.clear()
    again.connect()
    again.setpoint(10_000, 1, ttl_ms=LONG)
    again.advance(10_000)
    assert {shape[0] for shape in station.tried} == {"TxDefaultProfile"}
    assert not again.south_calls("GetConfiguration")
    station.takes = lambda *shape: True
    boot = {"chargePointVendor": "V", "chargePointModel": "M", "firmwareVersion": "2"}
    again.csms_answer(again.station_call("BootNotification", boot), {"status": "Accepted", "interval": 1})
    again.advance(10_000)
    assert shown(again)[0] is Mode.MAX
    assert kept(again).made_for == "V/M/2"
    assert again.south_calls("GetConfiguration")


KEYS = {
    "SupportedFeatureProfiles": "Core, SmartCharging",
    "ChargeProfileMaxStackLevel": "3",
    "ChargingScheduleAllowedChargingRateUnit": "Power",
    "MaxChargingProfilesInstalled": "2",
}


def test_the_keys_of_a_station_bound_level_unit_and_number_of_profiles() -> None:
    station = Picky(lambda purpose, unit, kind, level: level <= 3 and unit == "W", keys=KEYS)
    driver = meet(station)
    found = driver.session.desk.manner
    assert (found.unit, found.live_level, found.has_floor, found.has_tx_pair) == (RateUnit.W, 3, True, False)
    assert driver.session.evses[0].enforcer.proved_ma(driver.now) == 10_000


@pytest.mark.parametrize(
    ("value", "units"),
    [
        ("Current,Power", (RateUnit.A, RateUnit.W)),
        ("W", (RateUnit.W,)),
        ("Current", (RateUnit.A,)),
        ('"Power" , "A"', (RateUnit.A, RateUnit.W)),
        ("", ()),
    ],
)
def test_units_are_read_as_stations_write_them(value: str, units: tuple[RateUnit, ...]) -> None:
    payload = {"configurationKey": [{"key": "ChargingScheduleAllowedChargingRateUnit", "value": value}]}
    assert abilities_of(payload, Version.V16).units == units


def test_variables_of_2x_are_asked_and_read() -> None:
    asked = keys_call(Version.V21).payload["getVariableData"]
    assert {item["variable"]["name"] for item in asked} >= {"ProfileStackLevel", "RateUnit", "SupportsDynamicProfiles"}
    values = {"ProfileStackLevel": "5", "RateUnit": "A,W", "Enabled": "true", "SupportsDynamicProfiles": "true"}
    answer = {
        "getVariableResult": [
            {
                "attributeStatus": "Accepted",
                "attributeValue": value,
                "component": {"name": "SmartChargingCtrlr"},
                "variable": {"name": name},
            }
            for name, value in values.items()
        ]
    }
    found = abilities_of(answer, Version.V21)
    assert (found.max_stack_level, found.units, found.is_dynamic) == (5, (RateUnit.A, RateUnit.W), True)
    assert found.has_smart_charging is True


@pytest.mark.parametrize(
    "payload", [None, {}, {"configurationKey": 5}, {"configurationKey": [{"key": 1}, 7, {"key": "x"}]}]
)
@pytest.mark.parametrize("version", list(Version))
def test_an_answer_that_says_nothing_leaves_everything_open(payload: Any, version: Version) -> None:
    assert abilities_of(payload, version) == Abilities()


def question(**changes: Any) -> Question:
    found: dict[str, Any] = {
        "version": Version.V16,
        "evse_count": 1,
        "max_stack_level": 8,
        "abilities": Abilities(),
        "quirks": Quirks(),
    }
    return Question(**{**found, **changes})


def modes(**changes: Any) -> list[Mode]:
    return list(dict.fromkeys(manner.mode for manner in candidates(question(**changes))))


def test_the_order_of_manners_follows_from_what_is_known() -> None:
    assert modes() == [Mode.MAX, Mode.MERGE]
    assert modes(evse_count=2) == [Mode.MERGE]
    assert modes(is_merge_needed=True) == [Mode.MERGE]
    assert modes(wanted=Mode.MERGE) == [Mode.MERGE]
    assert modes(abilities=Abilities(has_smart_charging=False)) == []
    assert modes(abilities=Abilities(has_smart_charging=False), quirks=Quirks(limit_key="K")) == [Mode.NATIVE]
    dynamic = Abilities(is_dynamic=True)
    assert modes(version=Version.V21, abilities=dynamic) == [Mode.NATIVE, Mode.MAX, Mode.MERGE]
    assert modes(version=Version.V201, abilities=dynamic) == [Mode.MAX, Mode.MERGE]


def test_where_one_profile_is_all_there_is_room_for_there_is_no_floor() -> None:
    assert not any(manner.has_floor for manner in candidates(question(abilities=Abilities(max_profiles=1))))
    assert not any(manner.has_floor for manner in candidates(question(quirks=Quirks(max_stack_level=0))))


def test_a_manner_survives_its_bytes() -> None:
    for found in candidates(question(quirks=Quirks(limit_key="K", phases_for_watts=1, units=(RateUnit.W,)))):
        assert manners.from_bytes(found.to_bytes()) == found
    assert manners.from_bytes(b"{") is None


def test_the_configuration_may_ask_for_merge() -> None:
    driver = Driver(station=ModelStation(), evses=[settings(enforcement="merge")]).connect()
    driver.advance(5_000)
    assert shown(driver) == (Mode.MERGE, "merge, A, Absolute: the configuration asks for it")
