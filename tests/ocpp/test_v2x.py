"""V2X periods, random delays, limits by state of charge and pulled updates of 2.1: what a site honours, and how."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ocpp.messages import get_validator
from ocpp_driver import QUICK, UTC_MS, Driver, ModelStation
from test_merge import LONG, answer
from test_session_2x import connected, event, socket

from dgm.ocpp import stamp
from dgm.ocpp.composite import View, limit_at, next_edge
from dgm.ocpp.desk import PULL, REPORT_TIMEOUT_MS
from dgm.ocpp.events import Reason
from dgm.ocpp.manner import Mode
from dgm.ocpp.own_profile import Flow, Slot, flow_of, live_profile, set_request
from dgm.ocpp.profile import OperationMode, Profile, Purpose, RateUnit, Transaction
from dgm.ocpp.profile_codec import Flaw, gives_back, parse_profile, updated_period
from dgm.ocpp.version import Version
from dgm.ocpp.virtual import ProfileStore, Rules

START = stamp.text(UTC_MS)
RUNNING = {1: Transaction(id="t-1", start_utc_ms=UTC_MS)}


def body(*periods: dict[str, Any], unit: str = "W", purpose: str = "TxProfile", **changes: Any) -> dict[str, Any]:
    schedule = {
        "id": 1,
        "startSchedule": START,
        "chargingRateUnit": unit,
        "chargingSchedulePeriod": [{"startPeriod": 60 * at, **period} for at, period in enumerate(periods)],
        **changes.pop("schedule", {}),
    }
    found = {
        "id": 7,
        "stackLevel": 1,
        "chargingProfilePurpose": purpose,
        "chargingProfileKind": "Absolute",
        "chargingSchedule": [{name: value for name, value in schedule.items() if value is not None}],
        **changes,
    }
    return {**found, "transactionId": "t-1"} if purpose == "TxProfile" else found


def parsed(*periods: dict[str, Any], **changes: Any) -> Profile | Flaw:
    return parse_profile(body(*periods, **changes), evse_id=1, version=Version.V21, utc_ms=UTC_MS)


def profile(*periods: dict[str, Any], **changes: Any) -> Profile:
    found = parsed(*periods, **changes)
    assert isinstance(found, Profile), found
    return found


def view(**changes: Any) -> View:
    known: dict[str, Any] = {"discharge_max_ma": {1: 16_000}, "transactions": RUNNING, "seed": "CP-1"}
    return View(evse_id=1, nominal_voltage_mv=230_000, evse_ids=(1,), **{**known, **changes})


GIVE = {"operationMode": "CentralSetpoint", "setpoint": -6900}


@pytest.mark.parametrize(
    ("period", "unit", "code"),
    [
        ({"limit": 1, "setpoint": 1}, "W", "InvalidSchedule"),
        ({"operationMode": "CentralSetpoint", "limit": 1}, "W", "InvalidSchedule"),
        ({"operationMode": "CentralSetpoint", "setpoint": 1}, "A", "UnsupportedRateUnit"),
        ({"operationMode": "CentralFrequency", "setpoint": 1}, "W", "InvalidSchedule"),
        ({"operationMode": "Idle", "limit": 0}, "W", "InvalidSchedule"),
        ({"operationMode": "ExternalSetpoint"}, "W", "InvalidSchedule"),
        ({"operationMode": "LocalFrequency"}, "W", "InvalidSchedule"),
        ({"operationMode": "LocalLoadBalancing"}, "W", "InvalidSchedule"),
        ({**GIVE, "setpointReactive": 5}, "W", "InvalidSchedule"),
        ({**GIVE, "dischargeLimit": 5}, "W", "PropertyConstraintViolation"),
        ({**GIVE, "setpoint_L2": -5}, "W", "PhaseConflict"),
        ({**GIVE, "setpoint": -1e12}, "W", "InvalidSchedule"),
        ({"operationMode": "Sideways"}, "W", "PropertyConstraintViolation"),
    ],
)
def test_what_no_site_can_honour_is_refused_with_its_reason(period: dict[str, Any], unit: str, code: str) -> None:
    found = parsed(period, unit=unit)
    assert isinstance(found, Flaw)
    assert found.code == code


def test_only_profiles_of_a_transaction_may_know_another_mode() -> None:
    found = parsed(GIVE, purpose="ChargingStationMaxProfile")
    assert isinstance(found, Flaw)
    assert "ChargingOnly" in found.text


def test_a_setpoint_is_kept_within_both_limits_and_within_what_the_site_lets_go() -> None:
    limit = limit_at([profile(GIVE)], view(), UTC_MS)
    assert limit is not None
    assert (limit.mode, replace(limit, rate=-(limit.setpoint or 0)).power_mw) == (
        OperationMode.CENTRAL_SETPOINT,
        6_900_000,
    )
    assert replace(limit, rate=-limit.discharge).current_ma(230_000) == 16_000
    tight = limit_at([profile({**GIVE, "dischargeLimit": -3450})], view(), UTC_MS)
    assert tight is not None
    assert tight.setpoint == tight.discharge < 0
    none = limit_at([profile(GIVE)], view(discharge_max_ma={}), UTC_MS)
    assert none is not None
    assert (none.setpoint, none.discharge) == (0, 0)
    station = profile({"limit": 2300}, purpose="ChargingStationMaxProfile")
    charge = profile({"operationMode": "CentralSetpoint", "setpoint": 9000})
    capped = limit_at([replace(station, evse_id=0), charge], view(), UTC_MS)
    assert capped is not None
    assert capped.setpoint == capped.rate, "the station's maximum caps the setpoint (SC.01)"


def test_the_modes_say_what_is_left_to_the_site_and_what_is_forbidden() -> None:
    def found(period: dict[str, Any]) -> tuple[int, int]:
        limit = limit_at([profile(period)], view(), UTC_MS)
        assert limit is not None
        return min(limit.current_ma(230_000), 32_000), replace(limit, rate=-limit.discharge).current_ma(230_000)

    assert found({"operationMode": "ExternalLimits"}) == (32_000, 16_000)
    assert found({"operationMode": "Idle"}) == (0, 0)
    assert found({"limit": 6900}) == (10_000, 0)


def test_where_nothing_may_be_given_back_setpoints_are_refused_and_external_limits_taken() -> None:
    rules = Rules(version=Version.V21, evse_ids=(1, 2), v2x_evse_ids=frozenset({1}))
    external = body({"operationMode": "ExternalLimits"})

    def install(one: dict[str, Any], evse_id: int) -> ProfileStore | Flaw:
        running = {evse: Transaction(id="t-1", start_utc_ms=UTC_MS) for evse in (1, 2)}
        return ProfileStore().install(one, evse_id, rules, running, UTC_MS)

    assert isinstance(install(body(GIVE), 1), ProfileStore)
    assert isinstance(install(body(GIVE), 2), Flaw)
    assert isinstance(install(body(GIVE, purpose="TxDefaultProfile"), 0), Flaw)
    assert isinstance(install(external, 2), ProfileStore)


def test_an_update_changes_what_it_names_and_nothing_else() -> None:
    period = profile({**GIVE, "limit": 7000}).periods[0]
    changed = updated_period(period, {"setpoint": 2000})
    assert changed == replace(period, setpoint_milli=2_000_000)
    for update in ({}, {"limit_L2": 5}, None, {"setpoint": "5"}, {"dischargeLimit": 5}):
        assert isinstance(updated_period(period, update), Flaw), update
    assert isinstance(updated_period(profile({"limit": 1}).periods[0], {"setpoint": 5}), Flaw)


def test_random_delays_spare_the_first_period_and_stand_for_a_transaction() -> None:
    delayed = profile({"limit": 1000}, {"limit": 2000}, purpose="TxDefaultProfile", schedule={"randomizedDelay": 30})

    def start_ms(seed: str, transaction: str = "t-1") -> int:
        running = {1: Transaction(id=transaction, start_utc_ms=UTC_MS)}
        seen = view(seed=seed, transactions=running)
        edge = next_edge([delayed], seen, UTC_MS)
        assert edge is not None
        before, after = limit_at([delayed], seen, edge - 1), limit_at([delayed], seen, edge)
        assert (before and before.power_mw, after and after.power_mw) == (1_000_000, 2_000_000)
        assert next_edge([delayed], seen, UTC_MS) == edge, "drawn once"
        return edge - UTC_MS

    drawn = {start_ms(f"CP-{number}") for number in range(200)}
    assert drawn <= set(range(60_000, 90_001, 1000))
    assert len(drawn) > 20
    assert len({start_ms("CP-1", f"t-{number}") for number in range(50)}) > 5


@pytest.mark.parametrize(("soc_permille", "watts"), [(None, 7000), (799, 7000), (800, 3000), (1000, 3000)])
def test_a_limit_by_state_of_charge_holds_from_it_on_and_only_where_it_is_known(
    soc_permille: int | None, watts: int
) -> None:
    found = profile({"limit": 7000}, schedule={"limitAtSoC": {"soc": 80, "limit": 3000}})
    known = {} if soc_permille is None else {1: soc_permille}
    limit = limit_at([found], view(soc_permille=known), UTC_MS)
    assert limit is not None
    assert limit.power_mw == watts * 1000


@given(
    limit=st.integers(0, 320),
    discharge=st.integers(0, 320),
    setpoint=st.none() | st.integers(-320, 320),
    phases=st.sampled_from([1, 3]),
)
@QUICK
def test_our_own_v2x_profile_says_what_it_was_made_from_and_never_more(
    limit: int, discharge: int, setpoint: int | None, phases: int
) -> None:
    slot = Slot(
        version=Version.V21, purpose=Purpose.TX, evse_id=1, transaction_id="t-1", unit=RateUnit.W, phases=phases
    )
    mode = OperationMode.EXTERNAL_LIMITS if setpoint is None else OperationMode.CENTRAL_SETPOINT
    flow = Flow(mode=mode, discharge_ma=discharge * 100, setpoint_ma=None if setpoint is None else setpoint * 100)
    live = live_profile(slot, limit_ma=limit * 100, utc_ms=UTC_MS, lease_ms=120_000, flow=flow)
    assert flow_of(live, slot) == flow
    request = set_request(live, slot)
    get_validator(2, "SetChargingProfile", "2.1").validate(request)
    [period] = request["chargingProfile"]["chargingSchedule"][0]["chargingSchedulePeriod"]
    assert 0 <= period["limit"] <= limit * 0.1 * 230 * phases
    assert 0 >= period["dischargeLimit"] >= -discharge * 0.1 * 230 * phases - 1e-6
    assert abs(period.get("setpoint", 0)) <= abs(setpoint or 0) * 0.1 * 230 * phases + 1e-6


class V2xStation(ModelStation):
    """Takes any profile of 2.1 and keeps the newest period of each purpose."""

    def __init__(self) -> None:
        super().__init__()
        self.periods: dict[str, dict[str, Any]] = {}

    def answer(self, action: str, payload: dict[str, Any], utc_ms: int) -> Any:
        get_validator(2, action, "2.1").validate(payload)
        self.calls.append((action, payload))
        if action == "SetChargingProfile":
            found = payload["chargingProfile"]
            self.periods[f"{found['chargingProfilePurpose']} {found['stackLevel']}"] = found["chargingSchedule"][0][
                "chargingSchedulePeriod"
            ][0]
        if action == "GetCompositeSchedule":
            return {"status": "Rejected"}
        if action == "GetVariables":
            return "error"
        return {"status": "Accepted"}


def charging(**changes: Any) -> tuple[Driver, V2xStation]:
    driver = connected(Version.V21, discharge_max_ma=16_000, **changes)
    driver.station = station = V2xStation()
    socket(driver, "Occupied")
    driver.setpoint(20_000, 1, ttl_ms=LONG)
    event(driver, "Started", evse={"id": 1, "connectorId": 1}, state="Charging")
    driver.advance(20_000)
    driver.north.clear()
    return driver, station


def cpo(driver: Driver, action: str, payload: Any) -> Any:
    found = answer(driver, driver.csms_call(action, payload))
    get_validator(3, action, "2.1").validate(found)
    return found


def test_a_v2x_evse_is_merged_in_watts_and_the_sites_limits_hold_both_ways() -> None:
    driver, station = charging()
    assert driver.session.desk.manner.mode is Mode.MERGE
    dynamic = {"chargingProfileKind": "Dynamic", "schedule": {"startSchedule": None, "duration": 300}}
    cpo_profile = body({**GIVE, "setpoint": -20_000}, **dynamic)
    assert cpo(driver, "SetChargingProfile", {"evseId": 1, "chargingProfile": cpo_profile}) == {"status": "Accepted"}
    driver.advance(20_000)
    live, floor = station.periods["TxProfile 8"], station.periods["TxProfile 7"]
    assert live["operationMode"] == "CentralSetpoint"
    assert live["dischargeLimit"] == live["setpoint"] == -16 * 230 * 3, "the site's own limit"
    assert live["limit"] == 20 * 230 * 3
    assert "operationMode" not in floor, "with nobody alive it only charges"
    told = cpo(driver, "GetCompositeSchedule", {"evseId": 1, "duration": 60, "chargingRateUnit": "W"})
    [period] = told["schedule"]["chargingSchedulePeriod"]
    assert (period["setpoint"], period["dischargeLimit"]) == (-11_040.0, -11_040.0)
    update = {"chargingProfileId": 7, "scheduleUpdate": {"setpoint": 30_000}}
    assert cpo(driver, "UpdateDynamicSchedule", update) == {"status": "Accepted"}
    driver.advance(20_000)
    assert station.periods["TxProfile 8"]["setpoint"] == 20 * 230 * 3, "the site's limit on charging"
    driver.advance(400_000)
    assert "operationMode" not in station.periods["TxProfile 8"], "its lease is over"


def test_without_a_setpoint_of_the_site_a_v2x_evse_only_charges() -> None:
    driver, station = charging()
    assert cpo(driver, "SetChargingProfile", {"evseId": 1, "chargingProfile": body(GIVE)}) == {"status": "Accepted"}
    driver.advance(20_000)
    assert station.periods["TxProfile 8"]["setpoint"] == -6900
    driver.setpoint(20_000, 2, ttl_ms=1_000)
    driver.advance(30_000)
    assert "setpoint" not in station.periods["TxProfile 8"]


def test_a_stream_of_setpoints_is_written_no_faster_than_raises() -> None:
    driver, station = charging()
    dynamic = {"chargingProfileKind": "Dynamic", "schedule": {"startSchedule": None}}
    cpo(driver, "SetChargingProfile", {"evseId": 1, "chargingProfile": body(GIVE, **dynamic)})
    driver.advance(20_000)
    station.calls.clear()
    for step in range(60):
        update = {"chargingProfileId": 7, "scheduleUpdate": {"setpoint": -5_000 - 100 * step}}
        assert cpo(driver, "UpdateDynamicSchedule", update) == {"status": "Accepted"}
        driver.advance(1_000)
    writes = [action for action, _ in station.calls if action == "SetChargingProfile"]
    assert 5 <= len(writes) <= 14


@pytest.mark.parametrize(
    "period",
    [
        {**GIVE},
        {"limit": -5},
        {"operationMode": "ExternalLimits"},
        {"operationMode": "LocalFrequency"},
        {"operationMode": "CentralSetpoint", "setpoint": 5, "dischargeLimit_L2": -1},
    ],
)
def test_where_the_cpo_is_relayed_it_cannot_make_a_car_give_back(period: dict[str, Any]) -> None:
    driver = connected(Version.V21)
    assert driver.session.desk.manner.mode is not Mode.MERGE
    for action, payload in (
        ("SetChargingProfile", {"evseId": 1, "chargingProfile": body(period, purpose="TxDefaultProfile")}),
        ("UpdateDynamicSchedule", {"chargingProfileId": 1, "scheduleUpdate": period}),
        ("RequestStartTransaction", {"chargingProfile": body(period), "evseId": 1}),
    ):
        found = answer(driver, driver.csms_call(action, payload))
        assert (found["status"], found["statusInfo"]["reasonCode"]) == ("Rejected", "InvalidSchedule")
        own = [call for call in driver.south_calls(action) if call[1].startswith("own")]
        assert driver.south_calls(action) == own
    assert not gives_back(body({"limit": 5}))
    assert not gives_back(body({"operationMode": "CentralSetpoint", "setpoint": 5}))


@given(st.recursive(st.none() | st.integers() | st.text(max_size=3), lambda inner: st.lists(inner, max_size=2)))
def test_a_loose_look_at_any_profile_never_raises(found: Any) -> None:
    gives_back({"chargingSchedule": found})
    gives_back({"chargingSchedule": [{"chargingSchedulePeriod": found}], "limit": found})
    gives_back(found)


def test_updates_are_pulled_in_their_interval_and_what_comes_is_in_force() -> None:
    driver, station = charging()
    pulled = {"chargingProfileKind": "Dynamic", "dynUpdateInterval": 60}
    found = body(GIVE, **pulled, schedule={"startSchedule": None, "duration": 150})
    assert cpo(driver, "SetChargingProfile", {"evseId": 1, "chargingProfile": found}) == {"status": "Accepted"}
    driver.advance(59_000)
    assert driver.north_calls(PULL) == []
    driver.advance(2_000)
    [call] = driver.north_calls(PULL)
    get_validator(2, PULL, "2.1").validate(call[3])
    driver.short_cut = True
    south = len(driver.south_calls(PULL))
    driver.csms_answer(call[1], {"status": "Accepted", "scheduleUpdate": {"setpoint": -2300}})
    driver.advance(20_000)
    assert station.periods["TxProfile 8"]["setpoint"] == pytest.approx(-2300, abs=69)
    assert len(driver.south_calls(PULL)) == south, "its answer stays here"
    assert [one.reason for one in driver.excepted if one.action == PULL] == [Reason.PROFILE_PULL, Reason.OWN_ANSWER]
    # Refused, then silent: asked again in its interval, and the lease ends.
    driver.advance(45_000)
    driver.csms_answer(driver.north_calls(PULL)[1][1], {"status": "Rejected"})
    driver.advance(125_000)
    assert len(driver.north_calls(PULL)) == 4
    assert "setpoint" not in station.periods["TxProfile 8"]


def test_an_answer_to_our_call_that_comes_after_its_time_still_stays_here() -> None:
    driver, _ = charging()
    pulled = {"chargingProfileKind": "Dynamic", "dynUpdateInterval": 60}
    found = body(GIVE, **pulled, schedule={"startSchedule": None})
    assert cpo(driver, "SetChargingProfile", {"evseId": 1, "chargingProfile": found}) == {"status": "Accepted"}
    driver.advance(61_000)
    [call] = driver.north_calls(PULL)
    driver.short_cut = True
    driver.advance(REPORT_TIMEOUT_MS + 5_000)
    driver.south.clear()
    driver.csms_answer(call[1], {"status": "Rejected"})
    assert driver.south == [], "its sender is the gateway, not the station"
    assert [one.reason for one in driver.excepted if one.id == call[1]] == [Reason.PROFILE_PULL, Reason.OWN_ANSWER]


def test_nothing_is_pulled_while_the_csms_is_away() -> None:
    driver, _ = charging()
    pulled = {"chargingProfileKind": "Dynamic", "dynUpdateInterval": 5}
    found = body(GIVE, **pulled, schedule={"startSchedule": None})
    cpo(driver, "SetChargingProfile", {"evseId": 1, "chargingProfile": found})
    driver.disconnect()
    driver.advance(60_000)
    assert driver.north_calls(PULL) == []
    wake_ms = driver.session.wake_time()
    assert wake_ms is None or wake_ms > driver.mono_ms


def test_the_cars_state_of_charge_moves_the_limit() -> None:
    driver, station = charging()
    found = body({"limit": 9000}, schedule={"limitAtSoC": {"soc": 80, "limit": 5000}})
    assert cpo(driver, "SetChargingProfile", {"evseId": 1, "chargingProfile": found}) == {"status": "Accepted"}
    driver.advance(20_000)
    assert station.periods["TxProfile 8"]["limit"] == pytest.approx(9000, abs=69)
    value = {"value": 81, "measurand": "SoC", "unitOfMeasure": {"unit": "Percent"}}
    group = {"timestamp": stamp.text(driver.now.utc_ms), "sampledValue": [value]}
    driver.station_call("MeterValues", {"evseId": 1, "meterValue": [group]})
    driver.advance(2_000)
    assert station.periods["TxProfile 8"]["limit"] == pytest.approx(5000, abs=69)


def test_a_reading_of_what_a_car_gives_back_proves_no_limit() -> None:
    driver, _ = charging()
    before = len(driver.outcomes)
    for amps, watts in ((16, -11_000), (0, 0)):
        values = [
            {"value": amps, "measurand": "Current.Export", "unitOfMeasure": {"unit": "A"}},
            {"value": -watts, "measurand": "Power.Active.Export", "unitOfMeasure": {"unit": "W"}},
        ]
        group = {"timestamp": stamp.text(driver.now.utc_ms), "sampledValue": values}
        driver.station_call("MeterValues", {"evseId": 1, "meterValue": [group]})
        driver.setpoint(6_000, 5 + amps, ttl_ms=LONG)
        driver.advance(6_000)
    assert "MEASURED" not in driver.states()[before:]
