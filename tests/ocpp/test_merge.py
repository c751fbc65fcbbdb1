"""Mode `merge`: the CPO's profiles live here, the station holds one pair, and everybody is told the truth."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ocpp_driver import QUICK, Driver, ModelStation

from dgm.ocpp import manner, stamp
from dgm.ocpp.desk import KEEP_MANNER
from dgm.ocpp.events import FrameIn, Keep, Leg, Reason, Send
from dgm.ocpp.manner import Manner, Mode
from dgm.ocpp.profile import Purpose, Transaction

MERGE = {KEEP_MANNER: Manner(mode=Mode.MERGE, reason="test", made_for="V/M/", is_proved=True).to_bytes()}
LONG = 10_000_000


def merged(**changes: Any) -> Driver:
    driver = Driver(station=ModelStation(), stored=MERGE, **changes).connect()
    driver.status("Available")
    driver.setpoint(32_000, 1, ttl_ms=LONG)
    driver.advance(10_000)
    driver.south.clear()
    driver.north.clear()
    driver.outcomes.clear()
    return driver


def profile(
    number: int, amps: float, purpose: str = "TxDefaultProfile", level: int = 0, **changes: Any
) -> dict[str, Any]:
    schedule = {"chargingRateUnit": "A", "chargingSchedulePeriod": [{"startPeriod": 0, "limit": amps}]}
    return {
        "chargingProfileId": number,
        "stackLevel": level,
        "chargingProfilePurpose": purpose,
        "chargingProfileKind": "Relative",
        "chargingSchedule": {**schedule, **changes.pop("schedule", {})},
        **changes,
    }


def cpo_sets(driver: Driver, body: dict[str, Any], connector_id: int = 1) -> Any:
    message_id = driver.csms_call("SetChargingProfile", {"connectorId": connector_id, "csChargingProfiles": body})
    return answer(driver, message_id)


def answer(driver: Driver, message_id: str) -> Any:
    frames = [json.loads(raw) for raw in driver.north]
    found = [frame[2:] for frame in frames if frame[0] in (3, 4) and frame[1] == message_id]
    assert len(found) == 1, found
    return found[0][0] if len(found[0]) == 1 else found[0]


def limit_ma(driver: Driver) -> int | None:
    assert driver.station is not None
    return driver.station.limit_ma(driver.now.utc_ms, 1)


def purposes(driver: Driver) -> set[Purpose]:
    assert driver.station is not None
    return {held.purpose for held in driver.station.profiles.values()}


def start(driver: Driver, transaction_id: int = 7) -> None:
    assert driver.station is not None
    driver.status("Charging")
    payload = {"connectorId": 1, "idTag": "x", "meterStart": 0, "timestamp": stamp.text(driver.now.utc_ms)}
    started = driver.station_call("StartTransaction", payload)
    driver.station.transaction = Transaction(id=transaction_id, start_utc_ms=driver.now.utc_ms)
    driver.csms_answer(started, {"transactionId": transaction_id, "idTagInfo": {"status": "Accepted"}})


def stop(driver: Driver, transaction_id: int = 7) -> None:
    assert driver.station is not None
    payload = {"transactionId": transaction_id, "meterStop": 1, "timestamp": stamp.text(driver.now.utc_ms)}
    driver.station.end_transaction()
    driver.csms_answer(driver.station_call("StopTransaction", payload), {})


def test_the_station_holds_one_pair_of_defaults_and_no_profile_of_the_cpo() -> None:
    driver = merged()
    assert cpo_sets(driver, profile(1, 10)) == {"status": "Accepted"}
    driver.advance(6_000)
    assert purposes(driver) == {Purpose.TX_DEFAULT}
    assert driver.station is not None
    assert len(driver.station.profiles) == 2
    assert limit_ma(driver) == 10_000
    assert driver.cpo_limits == [10_000]


def test_the_smaller_of_the_cpo_and_the_site_holds_and_both_are_told_apart() -> None:
    driver = merged()
    cpo_sets(driver, profile(1, 20))
    driver.setpoint(12_000, 2, ttl_ms=LONG)
    assert limit_ma(driver) == 12_000
    assert (driver.outcomes[-1].sequence, driver.outcomes[-1].current_ma) == (2, 12_000)
    driver.setpoint(32_000, 3, ttl_ms=LONG)
    driver.advance(6_000)
    assert limit_ma(driver) == 20_000
    # The setpoint of 32 A is answered with what is in force: 20 A, proved.
    assert (driver.outcomes[-1].sequence, driver.outcomes[-1].current_ma) == (3, 20_000)
    assert driver.states()[-1] == "CONFIRMED"


def test_periods_of_the_cpo_are_followed_to_the_second_and_replace_in_place() -> None:
    driver = merged()
    periods = [
        {"startPeriod": 0, "limit": 20.0},
        {"startPeriod": 900, "limit": 8.0},
        {"startPeriod": 1800, "limit": 16.0},
    ]
    start_schedule = stamp.text(driver.now.utc_ms)
    schedule = {"chargingSchedulePeriod": periods, "startSchedule": start_schedule, "duration": 2700}
    cpo_sets(driver, profile(1, 0, chargingProfileKind="Absolute", schedule=schedule))
    driver.advance(6_000)
    assert limit_ma(driver) == 20_000
    begun_ms = stamp.parse(start_schedule)
    assert begun_ms is not None
    driver.advance(begun_ms + 900_000 - driver.now.utc_ms - 1)
    assert limit_ma(driver) == 20_000
    driver.advance(1)
    assert limit_ma(driver) == 8_000
    driver.advance(900_000)
    assert limit_ma(driver) == 16_000
    driver.advance(900_000)
    assert limit_ma(driver) == 32_000
    assert driver.cpo_limits == [20_000, 8_000, 16_000, None]
    assert not [call for call in driver.south_calls("ClearChargingProfile") if call[3].get("id") is not None]


def test_with_everybody_dead_the_station_falls_to_the_floor_though_the_cpo_allows_more() -> None:
    driver = merged()
    cpo_sets(driver, profile(1, 20))
    driver.advance(6_000)
    driver.disconnect()
    driver.mono_ms += 121_000
    assert limit_ma(driver) == 6_000


def test_less_than_the_least_current_is_a_pause() -> None:
    driver = merged()
    cpo_sets(driver, profile(1, 5.9))
    assert limit_ma(driver) == 0
    assert driver.cpo_limits == [0]


def test_fewer_phases_of_the_cpo_reach_the_station() -> None:
    driver = merged()
    one = {"chargingSchedulePeriod": [{"startPeriod": 0, "limit": 16.0, "numberPhases": 1}]}
    cpo_sets(driver, profile(1, 0, schedule=one))
    written = driver.south_calls("SetChargingProfile")[-1][3]["csChargingProfiles"]
    assert written["chargingSchedule"]["chargingSchedulePeriod"] == [
        {"startPeriod": 0, "limit": 16.0, "numberPhases": 1}
    ]


def test_a_transaction_gets_its_own_pair_without_a_dip_and_gives_way_to_the_default_after_it() -> None:
    driver = merged()
    assert driver.station is not None
    limits = []
    install = driver.station.install
    station = driver.station

    def watched(payload: dict[str, Any]) -> Any:
        result = install(payload)
        limits.append(station.limit_ma(driver.now.utc_ms, 1))
        return result

    station.install = watched  # type: ignore[method-assign]
    start(driver)
    driver.advance(6_000)
    assert limits == [32_000] * 3
    assert purposes(driver) == {Purpose.TX_DEFAULT, Purpose.TX}
    written = [call[3]["csChargingProfiles"] for call in driver.south_calls("SetChargingProfile")]
    assert {body.get("transactionId") for body in written} == {7}
    assert driver.outcomes[-1].fallback_ma == 6_000
    driver.setpoint(10_000, 2, ttl_ms=LONG)
    assert limit_ma(driver) == 10_000
    stop(driver)
    assert limit_ma(driver) == 10_000
    driver.advance(6_000)
    assert purposes(driver) == {Purpose.TX_DEFAULT}
    assert limit_ma(driver) == 10_000
    assert driver.session.evses[0].enforcer.proved_ma(driver.now) == 10_000


def test_a_transaction_that_ends_out_of_sight_leaves_the_default_floor_even_after_a_wipe() -> None:
    driver = merged()
    start(driver)
    assert driver.station is not None
    driver.station.profiles.clear()
    driver.boot()
    driver.advance(10_000)
    driver.disconnect()
    driver.station.end_transaction()
    driver.mono_ms += 121_000
    assert limit_ma(driver) == 6_000


def test_a_reduction_in_a_transaction_also_lowers_the_default_that_leads_when_it_ends() -> None:
    driver = merged()
    start(driver)
    driver.advance(6_000)
    driver.setpoint(10_000, 2, ttl_ms=LONG)
    driver.station, station = None, driver.station
    assert station is not None
    station.end_transaction()
    assert station.limit_ma(driver.now.utc_ms, 1) == 10_000


def test_a_dead_gateway_in_a_transaction_leaves_the_floor_of_the_same_purpose() -> None:
    driver = merged()
    start(driver)
    driver.advance(6_000)
    driver.disconnect()
    driver.mono_ms += 121_000
    assert limit_ma(driver) == 6_000
    assert driver.session.evses[0].enforcer.proved_ma(driver.now) == 6_000


def test_after_a_transaction_what_is_proved_is_never_above_what_the_station_holds() -> None:
    driver = merged()
    driver.setpoint(10_000, 2, ttl_ms=LONG)
    start(driver)
    driver.advance(300_000)
    driver.station, station = None, driver.station
    assert station is not None
    station.end_transaction()
    driver.csms_answer(
        driver.station_call("StopTransaction", {"transactionId": 7, "meterStop": 1, "timestamp": ""}), {}
    )
    proved = driver.session.evses[0].enforcer.proved_ma(driver.now)
    held = station.limit_ma(driver.now.utc_ms, 1)
    assert proved is not None
    assert held is not None
    assert held <= proved


def test_tx_profiles_of_the_cpo_hold_for_their_transaction_only() -> None:
    driver = merged()
    assert cpo_sets(driver, profile(5, 9, "TxProfile")) == {"status": "Rejected"}
    start(driver)
    driver.advance(6_000)
    assert cpo_sets(driver, profile(5, 9, "TxProfile", transactionId=7)) == {"status": "Accepted"}
    assert limit_ma(driver) == 9_000
    stop(driver)
    driver.advance(20_000)
    assert limit_ma(driver) == 32_000
    assert driver.cpo_limits == [9_000, None]


def test_a_remote_start_goes_on_without_its_profile_which_holds_from_then_on() -> None:
    driver = merged()
    body = {"connectorId": 1, "idTag": "x", "chargingProfile": profile(5, 8, "TxProfile")}
    message_id = driver.csms_call("RemoteStartTransaction", body)
    (sent,) = driver.south_calls("RemoteStartTransaction")
    assert sent == [2, message_id, "RemoteStartTransaction", {"connectorId": 1, "idTag": "x"}]
    assert answer(driver, message_id) == {"status": "Accepted"}
    assert limit_ma(driver) == 8_000
    start(driver, 99)
    driver.advance(6_000)
    assert limit_ma(driver) == 8_000
    assert [p.transaction_id for p in driver.session.desk.merge.store.profiles] == [99]
    reasons = [found.reason for found in driver.excepted]
    assert reasons.count(Reason.START_PROFILE) == reasons.count(Reason.START_REWRITTEN) == 1
    # The one of the transaction replaces it at the same stackLevel (1.6 5.16.2).
    assert cpo_sets(driver, profile(6, 12, "TxProfile", transactionId=99)) == {"status": "Accepted"}
    driver.advance(6_000)
    assert limit_ma(driver) == 12_000


def test_a_refused_or_forgotten_remote_start_leaves_no_profile() -> None:
    driver = merged()
    assert driver.station is not None
    body = {"connectorId": 1, "idTag": "x", "chargingProfile": profile(5, 8, "TxProfile")}
    driver.station.faults["RemoteStartTransaction"] = {"status": "Rejected"}
    driver.csms_call("RemoteStartTransaction", body)
    assert not driver.session.desk.merge.store.profiles
    del driver.station.faults["RemoteStartTransaction"]
    driver.csms_call("RemoteStartTransaction", body)
    assert limit_ma(driver) == 8_000
    driver.advance(301_000)
    assert not driver.session.desk.merge.store.profiles
    assert limit_ma(driver) == 32_000


def test_a_remote_start_with_a_wrong_profile_is_rejected_and_not_sent() -> None:
    driver = merged()
    body = {"connectorId": 1, "idTag": "x", "chargingProfile": profile(5, 8, "TxDefaultProfile")}
    assert answer(driver, driver.csms_call("RemoteStartTransaction", body)) == {"status": "Rejected"}
    assert not driver.south_calls("RemoteStartTransaction")


def test_a_remote_start_without_a_profile_is_relayed_byte_for_byte() -> None:
    driver = merged()
    raw = b'[2, "r1", "RemoteStartTransaction",  {"idTag":"x"}]'
    driver.put(FrameIn(leg=Leg.NORTH, raw=raw))
    assert raw in driver.south


def composite(driver: Driver, duration: int = 600, **changes: Any) -> Any:
    request = {"connectorId": 1, "duration": duration, **changes}
    return answer(driver, driver.csms_call("GetCompositeSchedule", request))


def test_the_cpo_is_told_the_schedule_that_really_holds() -> None:
    driver = merged()
    periods = [{"startPeriod": 0, "limit": 20.0}, {"startPeriod": 300, "limit": 40.0}]
    schedule = {"startSchedule": stamp.text(driver.now.utc_ms), "chargingSchedulePeriod": periods}
    cpo_sets(driver, profile(1, 0, chargingProfileKind="Absolute", schedule=schedule))
    found = composite(driver)
    assert found["status"] == "Accepted"
    told = found["chargingSchedule"]["chargingSchedulePeriod"]
    assert [(period["startPeriod"], period["limit"]) for period in told] == [(0, 20.0), (300, 32.0)]
    assert "startSchedule" not in found["chargingSchedule"]
    watts = composite(driver, chargingRateUnit="W")["chargingSchedule"]
    assert [period["limit"] for period in watts["chargingSchedulePeriod"]] == [13_800.0, 22_080.0]
    assert composite(driver, connectorId=2) == {"status": "Rejected"}
    driver.setpoint(10_000, 2, ttl_ms=LONG)
    assert composite(driver)["chargingSchedule"]["chargingSchedulePeriod"][0]["limit"] == 10.0


def test_clearing_is_answered_from_what_the_cpo_has_set() -> None:
    driver = merged()
    cpo_sets(driver, profile(1, 10))
    assert answer(driver, driver.csms_call("ClearChargingProfile", {"id": 2})) == {"status": "Unknown"}
    assert answer(driver, driver.csms_call("ClearChargingProfile", {})) == {"status": "Accepted"}
    assert answer(driver, driver.csms_call("ClearChargingProfile", {})) == {"status": "Unknown"}
    driver.advance(6_000)
    assert limit_ma(driver) == 32_000
    assert not driver.outcomes or "WIPED" not in driver.states()


@pytest.mark.parametrize(
    ("payload", "code"),
    [
        ({}, "OccurenceConstraintViolation"),
        (
            {"connectorId": 1, "csChargingProfiles": {**profile(1, 5), "chargingProfilePurpose": "X"}},
            "PropertyConstraintViolation",
        ),
        ({"connectorId": 9, "csChargingProfiles": profile(1, 5)}, "PropertyConstraintViolation"),
        ([], "FormationViolation"),
    ],
)
def test_a_message_that_breaks_its_schema_gets_a_callerror(payload: Any, code: str) -> None:
    driver = merged()
    found = answer(driver, driver.csms_call("SetChargingProfile", payload))
    assert found[0] == code
    assert not driver.south_calls("SetChargingProfile")


def test_what_was_promised_to_the_cpo_outlives_the_process() -> None:
    driver = merged()
    cpo_sets(driver, profile(1, 10))
    start(driver)
    cpo_sets(driver, profile(2, 8, "TxProfile", transactionId=7))
    again = Driver(station=driver.station, stored=driver.stored)
    again.mono_ms = driver.mono_ms + 5_000
    again.connect(boot=False)
    again.setpoint(32_000, 1, ttl_ms=LONG)
    again.station_call("Heartbeat", {})
    again.advance(20_000)
    assert again.session.desk.manner.mode is Mode.MERGE
    assert limit_ma(again) == 8_000
    assert [p.id for p in again.session.desk.merge.store.profiles] == [1, 2]


def test_a_change_is_stored_before_it_is_answered() -> None:
    driver = merged()
    raw = json.dumps([2, "c", "SetChargingProfile", {"connectorId": 1, "csChargingProfiles": profile(1, 10)}]).encode()
    effects = driver.session.handle(FrameIn(leg=Leg.NORTH, raw=raw), driver.now)
    kinds = [type(effect) for effect in effects]
    assert kinds.index(Keep) < kinds.index(Send)


def test_taking_a_station_over_clears_the_cpos_profiles_only_when_ours_are_proved() -> None:
    station = ModelStation()
    for connector_id, body in [
        (0, profile(70, 9, "ChargePointMaxProfile")),
        (0, profile(71, 31, "TxDefaultProfile")),
        (1, profile(72, 30, "TxDefaultProfile", level=3)),
    ]:
        assert station.install({"connectorId": connector_id, "csChargingProfiles": body}) == {"status": "Accepted"}
    driver = Driver(station=station, stored=MERGE).connect()
    driver.status("Available")
    driver.setpoint(16_000, 1, ttl_ms=LONG)
    driver.advance(10_000)
    assert limit_ma(driver) == 16_000
    actions = [call[2] for call in driver.south_calls()]
    assert actions.index("GetCompositeSchedule") < actions.index("ClearChargingProfile")
    assert {held.id for held in station.profiles.values()} & {70, 71} == set()


# From `max` to `merge`.


def in_max(**changes: Any) -> Driver:
    driver = Driver(station=ModelStation(), **changes).connect()
    driver.status("Available")
    driver.setpoint(16_000, 1, ttl_ms=LONG)
    driver.advance(10_000)
    driver.south.clear()
    driver.north.clear()
    driver.outcomes.clear()
    return driver


def test_a_clean_up_that_had_to_wait_never_takes_the_limit_of_a_transaction_that_began_meanwhile() -> None:
    station = ModelStation()
    station.faults["GetCompositeSchedule"] = {"status": "Rejected"}
    driver = Driver(station=station, stored=MERGE).connect()
    driver.status("Available")
    driver.setpoint(10_000, 1, ttl_ms=LONG)
    driver.advance(2_000)
    start(driver)
    driver.advance(2_000)
    assert purposes(driver) == {Purpose.TX_DEFAULT, Purpose.TX}
    assert driver.south_calls("ClearChargingProfile") == []
    station.faults.clear()
    driver.advance(30_000)
    cleared = [call[3].get("chargingProfilePurpose") for call in driver.south_calls("ClearChargingProfile")]
    assert cleared == ["ChargePointMaxProfile", "TxDefaultProfile"]
    assert purposes(driver) == {Purpose.TX_DEFAULT, Purpose.TX}
    assert limit_ma(driver) == 10_000


def test_in_max_the_cpos_profiles_are_relayed_followed_and_told_to_the_site() -> None:
    driver = in_max()
    assert cpo_sets(driver, profile(1, 12)) == {"status": "Accepted"}
    assert driver.south_calls("SetChargingProfile")[0][3]["csChargingProfiles"]["chargingProfileId"] == 1
    assert driver.cpo_limits == [12_000]
    assert limit_ma(driver) == 12_000
    assert driver.station is not None
    driver.station.faults["SetChargingProfile"] = {"status": "Rejected"}
    cpo_sets(driver, profile(2, 7, level=1))
    assert driver.cpo_limits == [12_000]


@pytest.mark.parametrize(
    "payload", [{}, {"chargingProfilePurpose": "ChargePointMaxProfile"}, {"connectorId": 0}, {"stackLevel": 8}]
)
def test_in_max_a_clear_that_would_take_ours_along_takes_only_the_cpos(payload: dict[str, Any]) -> None:
    driver = in_max()
    cpo_sets(driver, profile(1, 12, level=8))
    cpo_sets(driver, profile(2, 13, "ChargePointMaxProfile", level=3), connector_id=0)
    message_id = driver.csms_call("ClearChargingProfile", payload)
    assert answer(driver, message_id)["status"] in ("Accepted", "Unknown")
    driver.advance(5_000)
    assert "WIPED" not in driver.states()
    assert driver.session.evses[0].enforcer.proved_ma(driver.now) == 16_000
    assert driver.station is not None
    left = {held.id for held in driver.station.profiles.values() if held.id < 1000}
    assert left == {p.id for p in driver.session.desk.merge.store.profiles}
    assert 2 not in left or payload == {"stackLevel": 8}
    assert limit_ma(driver) is not None


@pytest.mark.parametrize("level", [7, 8, 9])
def test_a_cpo_that_uses_our_place_moves_the_station_to_merge_and_loses_nothing(level: int) -> None:
    driver = in_max()
    cpo_sets(driver, profile(1, 12))
    assert cpo_sets(driver, profile(2, 11, "ChargePointMaxProfile", level=level), 0) == {"status": "Accepted"}
    driver.advance(10_000)
    assert driver.session.desk.manner.mode is Mode.MERGE
    assert "SetChargingProfile" in driver.session.describe(driver.now).mode_reason
    assert purposes(driver) == {Purpose.TX_DEFAULT}
    assert limit_ma(driver) == 11_000
    assert [p.id for p in driver.session.desk.merge.store.profiles] == [1, 2]
    kept = manner.from_bytes(driver.stored[KEEP_MANNER])
    assert kept is not None
    assert kept.mode is Mode.MERGE
    assert answer(driver, driver.csms_call("ClearChargingProfile", {"id": 2})) == {"status": "Accepted"}
    driver.advance(6_000)
    assert limit_ma(driver) == 12_000


def test_a_station_that_is_moved_to_merge_keeps_the_kind_that_it_takes() -> None:
    station = ModelStation()
    install = station.install

    def picky(payload: dict[str, Any]) -> Any:
        if payload["csChargingProfiles"]["chargingProfileKind"] != "Relative":
            return {"status": "Rejected"}
        return install(payload)

    station.install = picky  # type: ignore[method-assign]
    driver = Driver(station=station).connect()
    driver.setpoint(16_000, 1, ttl_ms=LONG)
    driver.advance(30_000)
    cpo_sets(driver, profile(2, 11, "ChargePointMaxProfile", level=9), 0)
    driver.advance(10_000)
    assert driver.session.desk.manner.mode is Mode.MERGE
    assert limit_ma(driver) == 11_000


@QUICK
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["cpo", "tx", "clear", "site", "start", "stop", "reset", "time", "cut"]), st.integers(0, 40)
        ),
        max_size=14,
    )
)
def test_after_a_while_the_station_always_holds_the_smaller_of_both(steps: list[tuple[str, int]]) -> None:
    """Whatever happens, 40 s later: the limit is min(CPO, site), below 6 A a pause, and proved as such."""
    driver = merged()
    assert driver.station is not None
    sequence, site_a, running = 1, 32, False
    for what, amps in steps:
        match what:
            case "cpo":
                cpo_sets(driver, profile(1 + amps % 3, amps, level=amps % 3))
            case "tx":
                cpo_sets(driver, profile(4 + amps % 2, amps, "TxProfile", level=amps % 2))
            case "clear":
                driver.csms_call("ClearChargingProfile", {"stackLevel": amps % 3})
            case "site":
                sequence, site_a = sequence + 1, min(amps, 32)
                driver.setpoint(site_a * 1000, sequence, ttl_ms=LONG)
            case "start" if not running:
                running = True
                start(driver, amps)
            case "stop" if running:
                running = False
                assert driver.station.transaction is not None
                stop(driver, driver.station.transaction.id)  # type: ignore[arg-type]
            case "reset":
                driver.station.profiles.clear()
                driver.boot()
            case "cut":
                driver.disconnect()
                driver.advance(amps * 1000)
                driver.connect(boot=False)
                driver.station_call("Heartbeat", {})
            case "time":
                driver.advance(amps * 1000)
            case _:
                pass
    driver.advance(40_000)
    ceiling = driver.session.desk.merge.ceiling(1, driver.now)
    allowed = site_a * 1000 if ceiling is None else min(site_a * 1000, ceiling.current_ma)
    assert limit_ma(driver) == allowed
    assert driver.session.evses[0].enforcer.proved_ma(driver.now) == allowed


def test_a_transaction_whose_limit_is_refused_gets_no_floor_that_would_overrule_the_default() -> None:
    driver = merged()
    driver.setpoint(0, 2, ttl_ms=LONG)
    driver.advance(10_000)
    assert limit_ma(driver) == 0
    assert driver.station is not None
    refusing = Refusing()
    refusing.profiles = driver.station.profiles
    driver.station = refusing
    start(driver)
    driver.advance(60_000)
    assert refusing.refused > 0
    assert limit_ma(driver) == 0, "6 A of floor would be more than anybody counts"
    refusing.is_refusing = False
    driver.advance(2_000_000)
    assert limit_ma(driver) == 0
    assert Purpose.TX in purposes(driver)


class Refusing(ModelStation):
    """Takes no TxProfile of the live limit's level."""

    def __init__(self) -> None:
        super().__init__()
        self.is_refusing, self.refused = True, 0

    def install(self, payload: dict[str, Any]) -> Any:
        body = payload["csChargingProfiles"]
        if self.is_refusing and (body["chargingProfilePurpose"], body["stackLevel"]) == ("TxProfile", 8):
            self.refused += 1
            return {"status": "Rejected"}
        return super().install(payload)
