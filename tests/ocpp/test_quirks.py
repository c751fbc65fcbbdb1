"""Models of stations that differ from the standard: the data, the lookup, and a station that plays each."""

from __future__ import annotations

from typing import Any

import pytest
from ocpp_driver import Driver, ModelStation

from dgm.api.site.v1.site_pb2 import PlugState
from dgm.devices.evse_models import load_all, parse
from dgm.errors import ConfigError
from dgm.ocpp import stamp
from dgm.ocpp.events import Leg, LegUp
from dgm.ocpp.manner import Mode
from dgm.ocpp.profile import RateUnit
from dgm.ocpp.quirks import Identity, Quirks, find, quirks_of

LONG = 10_000_000

# The data.


@pytest.mark.parametrize("model", load_all(), ids=lambda model: model.name)
def test_every_model_that_comes_with_dgm_differs_in_something_and_says_where_it_was_seen(model: Any) -> None:
    assert quirks_of(model) != Quirks(name=model.name)
    assert all(source.strip() for source in model.seen_in)


@pytest.mark.parametrize(
    ("vendor", "model", "firmware", "expected"),
    [
        ("ABB", "TERRA AC W22", "1.8.21", "ABB Terra AC up to 1.8.21"),
        ("ABB", "TERRA AC W22", "1.6.6", "ABB Terra AC up to 1.8.21"),
        ("ABB", "TERRA AC W22", "1.8.32", "ABB Terra AC"),
        ("go-e", "Charger Gemini", "56.2", "go-e Charger"),
        ("Huawei Technologies", "FusionCharge", "", "Huawei FusionCharge"),
        ("EVBox", "Elvi", "", "EVBox Elvi"),
        ("Wall Box Chargers", "CPB1", "", "Wallbox Copper"),
        ("KEBA AG", "P30", "", "KEBA P30"),
        ("Alpitronic", "HYC", "", ""),
        ("", "", "", ""),
    ],
)
def test_a_station_is_found_by_what_it_says_of_itself(vendor: str, model: str, firmware: str, expected: str) -> None:
    assert find(load_all(), Identity(vendor=vendor, model=model, firmware=firmware)).name == expected


GOOD = "name: X\nvendor: X.*\nseen_in: [here]\n"


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("vendor: X\nseen_in: [a]\n", "name"),
        ("name: X\nseen_in: [a]\n", "vendor"),
        ("name: X\nvendor: X\n", "seen_in"),
        (GOOD + "vendors: Y\n", "vendors"),
        (GOOD + "name: Y\n", "name"),
        (GOOD + "model: '['\n", "model"),
        (GOOD + "units: [V]\n", "units[0]"),
        (GOOD + "modes: [NATIVE]\n", "modes"),
        (GOOD + "phases_for_watts: 4\n", "phases_for_watts"),
        (GOOD + "lease_s: 1\n", "lease_s"),
        (GOOD + "writes_per_day: 1\n", "writes_per_day"),
        ("", "(file)"),
    ],
)
def test_a_model_that_is_wrong_is_refused_with_its_place(text: str, path: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(text)
    assert path in [problem.path for problem in caught.value.problems]


# Stations that play them.


class Quirky(ModelStation):
    """Refuses a SetChargingProfile for which `refuses` is true; a key limits it too."""

    def __init__(self) -> None:
        super().__init__()
        self.refuses: Any = lambda body: False
        self.key_a: int | None = None
        self.ignored = 0

    def answer(self, action: str, payload: dict[str, Any], utc_ms: int) -> Any:
        match action:
            case "SetChargingProfile" if self.refuses(payload["csChargingProfiles"]):
                return {"status": "Rejected"}
            case "ChangeConfiguration" if payload["key"] == "MaxAvailableCurrent":
                self.key_a = int(payload["value"])
                return {"status": "Accepted"}
            case "GetConfiguration" if payload.get("key") == ["MaxAvailableCurrent"]:
                return {"configurationKey": [{"key": "MaxAvailableCurrent", "value": str(self.key_a)}]}
        return super().answer(action, payload, utc_ms)


def meet(station: ModelStation, text: str, *, stored: dict[str, bytes] | None = None) -> Driver:
    """A station of the model V, which is described by `text`."""
    model = parse("name: V\nvendor: V\nseen_in: [a test]\n" + text)
    driver = Driver(station=station, models=(model,), stored=stored).connect()
    driver.status("Available")
    driver.setpoint(10_000, 1, ttl_ms=LONG)
    driver.advance(20_000)
    assert driver.session.describe(driver.now).quirks == "V"
    return driver


def holds(driver: Driver, limit_ma: int) -> bool:
    assert driver.station is not None
    return driver.station.limit_ma(driver.now.utc_ms, 1) == limit_ma


def writes(driver: Driver) -> list[dict[str, Any]]:
    return [call[3]["csChargingProfiles"] for call in driver.south_calls("SetChargingProfile")]


def test_a_maximum_that_a_model_refuses_is_never_tried() -> None:
    driver = meet(Quirky(), "modes: [MERGE]\n")
    assert driver.session.desk.manner.mode is Mode.MERGE
    tried = [body["chargingProfilePurpose"] for body in writes(driver)]
    assert set(tried) == {"TxDefaultProfile"}
    assert holds(driver, 10_000)


@pytest.mark.parametrize("unit", [RateUnit.A, RateUnit.W])
def test_a_model_that_takes_one_unit_gets_it(unit: RateUnit) -> None:
    station = Quirky()
    station.refuses = lambda body: body["chargingSchedule"]["chargingRateUnit"] != unit.value
    driver = meet(station, f"units: [{unit.value}]\n")
    assert holds(driver, 10_000)
    assert driver.session.evses[0].enforcer.proved_ma(driver.now) == 10_000


def test_a_model_that_divides_watts_by_three_whatever_it_is_told_is_told_three() -> None:
    driver = meet(Quirky(), "units: [W]\nphases_for_watts: 3\n")
    schedule = writes(driver)[-1]["chargingSchedule"]
    assert schedule["chargingSchedulePeriod"] == [{"startPeriod": 0, "limit": 6900.0}]


def test_a_model_that_needs_relative_schedules_gets_them() -> None:
    station = Quirky()
    station.refuses = lambda body: body["chargingProfileKind"] != "Relative"
    driver = meet(station, "kinds: [RELATIVE]\n")
    assert holds(driver, 10_000)
    assert "startSchedule" not in writes(driver)[-1]["chargingSchedule"]


def test_a_model_with_one_stack_level_gets_one_profile_and_no_lease() -> None:
    station = Quirky()
    station.refuses = lambda body: body["stackLevel"] > 0
    driver = meet(station, "max_stack_level: 0\n")
    assert holds(driver, 10_000)
    assert "validTo" not in writes(driver)[-1]
    assert driver.session.evses[0].enforcer.fallback_ma is None
    assert driver.station is not None
    assert driver.station.limit_ma(driver.now.utc_ms + 10**9, 1) == 10_000


def test_a_model_with_room_for_one_profile_gets_one() -> None:
    driver = meet(Quirky(), "single_profile: true\n")
    assert len({body["chargingProfileId"] for body in writes(driver)}) == 1
    assert holds(driver, 10_000)


def test_a_model_that_needs_small_ids_gets_them_where_no_id_of_the_cpo_can_meet_them() -> None:
    station = Quirky()
    station.refuses = lambda body: body["chargingProfileId"] > 10
    driver = meet(station, "small_profile_ids: true\nmodes: [MERGE]\n")
    assert holds(driver, 10_000)


def test_where_profiles_fail_a_vendors_key_limits() -> None:
    station = Quirky()
    station.refuses = lambda body: True
    driver = meet(station, "modes: [MAX, MERGE, NATIVE]\nlimit_key: MaxAvailableCurrent\n")
    driver.advance(60_000)
    assert driver.session.desk.manner.mode is Mode.NATIVE
    assert station.key_a == 10
    assert driver.session.evses[0].enforcer.proved_ma(driver.now) == 10_000
    assert driver.session.evses[0].enforcer.fallback_ma is None
    driver.setpoint(7_900, 2, ttl_ms=LONG)
    driver.advance(5_000)
    assert station.key_a == 7


def test_a_model_whose_composite_says_nothing_is_not_asked_and_nothing_is_proved_by_words() -> None:
    driver = meet(Quirky(), "no_read_back: true\n")
    asked = len(driver.south_calls("GetCompositeSchedule"))
    driver.setpoint(8_000, 2, ttl_ms=LONG)
    driver.advance(30_000)
    assert len(driver.south_calls("GetCompositeSchedule")) == asked
    assert driver.states()[-1] == "ACCEPTED"


def test_a_model_that_forgets_counts_at_nameplate_while_it_is_away() -> None:
    driver = meet(Quirky(), "forgets_profiles: true\n")
    assert driver.session.evses[0].enforcer.proved_ma(driver.now) == 10_000
    driver.disconnect()
    assert driver.states()[-1] == "WIPED"
    assert driver.session.evses[0].enforcer.proved_ma(driver.now) is None
    assert driver.station is not None
    driver.station.profiles.clear()
    driver.connect(boot=False)
    driver.station_call("Heartbeat", {})
    driver.advance(5_000)
    assert holds(driver, 10_000)


def test_a_model_that_forgets_leaves_its_maximum_behind_when_the_gateway_dies() -> None:
    driver = meet(Quirky(), "forgets_profiles: true\n")
    enforcer = driver.session.evses[0].enforcer
    assert enforcer.fallback_ma == driver.session.evses[0].settings.current_max_ma
    plain = meet(Quirky(), "no_triggers: true\n").session.evses[0]
    assert plain.enforcer.fallback_ma == plain.settings.fallback_ma


def test_the_first_limit_after_a_pause_is_written_twice_where_it_is_ignored() -> None:
    driver = meet(Quirky(), "rewrite_after_pause_s: 10\n")
    driver.setpoint(0, 2, ttl_ms=LONG)
    driver.advance(6_000)
    driver.south.clear()
    driver.setpoint(12_000, 3, ttl_ms=LONG)
    driver.advance(9_000)
    limits = [body["chargingSchedule"]["chargingSchedulePeriod"][0]["limit"] for body in writes(driver)]
    assert limits == [12.0]
    driver.advance(2_000)
    assert len(writes(driver)) == 2
    driver.advance(20_000)
    assert len(writes(driver)) == 2


def test_flash_that_bears_little_gets_long_leases_and_few_raises() -> None:
    driver = meet(Quirky(), "lease_s: 900\nwrites_per_day: 96\n")
    driver.south.clear()
    driver.advance(3_600_000)
    assert len(writes(driver)) == 8
    driver.south.clear()
    for step in range(200):
        driver.setpoint(10_000 + 100 * (step % 2), 10 + step, ttl_ms=LONG)
        driver.advance(10_000)
    raised = [body for body in writes(driver) if body["chargingSchedule"]["chargingSchedulePeriod"][0]["limit"] == 10.1]
    assert len(raised) <= 60


def test_a_model_that_is_hurt_by_commands_before_its_boot_is_left_alone_until_then() -> None:
    first = meet(Quirky(), "waits_for_boot: true\n")
    model = parse("name: V\nvendor: V\nseen_in: [a test]\nwaits_for_boot: true\n")
    driver = Driver(station=Quirky(), models=(model,), stored=first.stored)
    driver.put(LegUp(leg=Leg.NORTH))
    driver.put(LegUp(leg=Leg.SOUTH, subprotocol="ocpp1.6"))
    driver.station_call("Heartbeat", {})
    driver.advance(20_000)
    assert not driver.south_calls()
    driver.boot()
    assert driver.south_calls()


def test_a_model_that_needs_no_boot_on_reconnection_is_limited_within_half_a_minute_all_the_same() -> None:
    first = meet(Quirky(), "waits_for_boot: true\n")
    model = parse("name: V\nvendor: V\nseen_in: [a test]\nwaits_for_boot: true\n")
    driver = Driver(station=Quirky(), models=(model,), stored=first.stored).connect(boot=False)
    driver.advance(31_000)
    assert driver.south_calls("SetChargingProfile")


def test_a_model_that_triggers_hurt_is_never_triggered() -> None:
    driver = meet(Quirky(), "no_triggers: true\n")
    driver.status("Charging")
    driver.advance(120_000)
    assert not driver.south_calls("TriggerMessage")


def test_a_model_that_probing_hurts_is_not_asked_for_its_keys() -> None:
    model = parse("name: V\nvendor: V\nseen_in: [a test]\nno_key_probe: true\n")
    driver = Driver(station=Quirky(), models=(model,)).connect()
    driver.advance(60_000)
    assert not driver.south_calls("GetConfiguration")


# What needs no data: true of all stations.


def reading(driver: Driver, transaction_id: int) -> None:
    values = [{"value": "1.5", "measurand": "Power.Active.Import", "unit": "kW"}]
    groups = [{"timestamp": stamp.text(driver.now.utc_ms), "sampledValue": values}]
    driver.station_call("MeterValues", {"connectorId": 1, "transactionId": transaction_id, "meterValue": groups})


def test_a_transaction_that_readings_go_on_to_name_after_its_end_does_not_come_back() -> None:
    driver = Driver(station=ModelStation()).connect()
    driver.status("Charging")
    reading(driver, 7)
    assert driver.session.evses[0].memory.transaction_id == 7
    driver.station_call("StopTransaction", {"transactionId": 7, "meterStop": 1, "timestamp": ""})
    driver.advance(3_000)
    reading(driver, 7)
    assert driver.session.evses[0].memory.transaction_id is None
    reading(driver, 8)
    assert driver.session.evses[0].memory.transaction_id == 8


@pytest.mark.parametrize("transaction_id", [-5, 2**40])
def test_negative_and_very_long_transaction_ids_are_ids(transaction_id: int) -> None:
    driver = Driver(station=ModelStation()).connect()
    driver.status("Charging")
    reading(driver, transaction_id)
    assert driver.session.evses[0].memory.transaction_id == transaction_id


def test_charging_at_zero_amperes_is_told_as_the_station_tells_it_and_limited_as_the_site_wants() -> None:
    driver = Driver(station=ModelStation()).connect()
    driver.status("Charging")
    driver.setpoint(0, 1, ttl_ms=LONG)
    driver.advance(10_000)
    assert driver.samples[-1].plug_state == PlugState.PLUG_STATE_CHARGING
    assert holds(driver, 0)
