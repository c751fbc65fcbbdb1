"""The simulated station: an OCPP 1.6 charge point as a CSMS would meet it, driven under virtual time."""

from __future__ import annotations

import json
import random
from typing import Any

import ocpp.messages
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dgm.machine import Now, Tick
from dgm.sim.car import Car, CarSpec
from dgm.sim.connector import ConnectorPlan
from dgm.sim.profiles import ProfileStore, parse_profile
from dgm.sim.stamps import format_time, parse_time
from dgm.sim.station import (
    CALL_TIMEOUT_MS,
    Connected,
    Disconnected,
    Hangup,
    Plug,
    Received,
    Send,
    Station,
    StationPlan,
    Unplug,
)

UTC0 = 1_800_000_000_000
SPEC = CarSpec(id_tag="TAG-é001", phases=3, current_max_ma=16_000, need_wh=50_000, delay_ms=1500, ramp_ma_per_s=10_000)


class Site:
    """A station under virtual time with a CSMS that accepts everything, or stays silent."""

    def __init__(
        self, *, dialect: int = 0, answering: bool = True, connectors: int = 1, unanswered: tuple[str, ...] = ()
    ) -> None:
        plans = tuple(
            ConnectorPlan(connector_id=number, current_max_ma=32_000, phases=3) for number in range(1, connectors + 1)
        )
        plan = StationPlan(
            id="CP-1",
            vendor="Säule",
            model="X",
            connectors=plans,
            dialect=dialect,
            voltage_mv=230_000,
            meter_interval_s=10,
        )
        self.station = Station(plan, random.Random(5))
        self.ms = 0
        self.sent: list[Send] = []
        self.hangups: list[Hangup] = []
        self.answering = answering
        self.unanswered = unanswered
        self.transaction = 700
        self._own = 0

    @property
    def now(self) -> Now:
        return Now(mono_ms=self.ms, utc_ms=UTC0 + self.ms)

    def give(self, event: Any) -> list[Send]:
        fresh: list[Send] = []
        todo = [event]
        while todo:
            for effect in self.station.handle(todo.pop(0), self.now):
                if isinstance(effect, Hangup):
                    self.hangups.append(effect)
                    continue
                fresh.append(effect)
                if effect.message_type == 2 and self.answering and effect.action not in self.unanswered:
                    todo.append(Received(self.answer(effect)))
        self.sent += fresh
        return fresh

    def answer(self, call: Send) -> str:
        payload: dict[str, Any] = {}
        match call.action:
            case "BootNotification":
                payload = {"status": "Accepted", "interval": 60, "currentTime": format_time(self.now.utc_ms)}
            case "Authorize" | "StopTransaction":
                payload = {"idTagInfo": {"status": "Accepted"}}
            case "StartTransaction":
                self.transaction += 1
                payload = {"idTagInfo": {"status": "Accepted"}, "transactionId": self.transaction}
        return json.dumps([3, call.message_id, payload])

    def run(self, seconds: float) -> None:
        for _ in range(round(seconds * 10)):
            self.ms += 100
            self.give(Tick())

    def call(self, action: str, payload: dict[str, Any]) -> dict[str, Any]:
        """A CALL of the CSMS; returns the answer's payload, or {"error": code}."""
        self._own += 1
        message_id = f"own-{self._own}"
        fresh = self.give(Received(json.dumps([2, message_id, action, payload])))
        frame = json.loads(next(send.text for send in fresh if send.message_id == message_id))
        return {"error": frame[2]} if frame[0] == 4 else frame[2]

    def set_profile(self, connector: int = 0, **changes: Any) -> str:
        status: str = self.call(
            "SetChargingProfile", {"connectorId": connector, "csChargingProfiles": profile(**changes)}
        )["status"]
        return status

    @property
    def current_ma(self) -> int:
        return self.station.connectors[1].current_ma

    def actions(self) -> list[str]:
        return [send.action for send in self.sent if send.message_type == 2]

    def payloads(self, action: str) -> list[dict[str, Any]]:
        return [json.loads(send.text)[3] for send in self.sent if send.message_type == 2 and send.action == action]


def profile(
    *,
    id: int = 1,
    level: int = 5,
    purpose: str = "ChargePointMaxProfile",
    amps: float = 10.0,
    unit: str = "A",
    valid_to_s: int | None = None,
    valid_from_s: int | None = None,
    transaction: int | None = None,
) -> dict[str, Any]:
    raw: dict[str, Any] = {
        "chargingProfileId": id,
        "stackLevel": level,
        "chargingProfilePurpose": purpose,
        "chargingProfileKind": "Absolute",
        "chargingSchedule": {
            "startSchedule": format_time(UTC0 - 86_400_000),
            "chargingRateUnit": unit,
            "chargingSchedulePeriod": [{"startPeriod": 0, "limit": amps}],
        },
    }
    if valid_to_s is not None:
        raw["validTo"] = format_time(UTC0 + valid_to_s * 1000)
    if valid_from_s is not None:
        raw["validFrom"] = format_time(UTC0 + valid_from_s * 1000)
    if transaction is not None:
        raw["transactionId"] = transaction
    return raw


def charging_site(**options: Any) -> Site:
    site = Site(**options)
    site.give(Connected())
    site.give(Plug(connector_id=1, car=SPEC))
    site.run(10)
    return site


def test_it_boots_first_and_says_nothing_else_until_accepted() -> None:
    site = Site(answering=False)
    site.give(Plug(connector_id=1, car=SPEC))
    site.give(Connected())
    site.run(5)
    assert site.actions() == ["BootNotification"]
    site.answering = True
    site.give(Received(site.answer(site.sent[0])))
    assert site.actions()[1:4] == ["StatusNotification", "StatusNotification", "StatusNotification"]


def test_a_pending_boot_is_tried_again_after_the_interval() -> None:
    site = Site(answering=False)
    site.give(Connected())
    site.give(Received(json.dumps([3, site.sent[0].message_id, {"status": "Pending", "interval": 7}])))
    site.run(6.5)
    assert site.actions() == ["BootNotification"]
    site.run(1)
    assert site.actions() == ["BootNotification", "BootNotification"]


def test_a_car_is_authorised_starts_and_draws_what_it_can() -> None:
    site = charging_site()
    order = [action for action in site.actions() if action in ("Authorize", "StartTransaction")]
    assert order == ["Authorize", "StartTransaction"]
    assert site.current_ma == 16_000
    assert [item["status"] for item in site.payloads("StatusNotification")][-2:] == ["Preparing", "Charging"]


def test_without_an_accepted_authorisation_no_current_flows() -> None:
    site = Site(answering=False)
    site.give(Connected())
    site.give(Received(site.answer(site.sent[0])))
    site.give(Plug(connector_id=1, car=SPEC))
    for _ in range(50):
        site.run(0.5)
        for send in [send for send in site.sent if send.message_type == 2]:
            refusal = {"idTagInfo": {"status": "Blocked"}} if send.action == "Authorize" else {}
            site.give(Received(json.dumps([3, send.message_id, refusal])))
    assert "Authorize" in site.actions()
    assert "StartTransaction" not in site.actions()
    assert site.current_ma == 0


@settings(max_examples=30, deadline=None)
@given(st.lists(st.sampled_from(["tick", "answer", "plug", "unplug", "trigger"]), max_size=60))
def test_never_are_two_calls_open_at_once(steps: list[str]) -> None:
    site = Site(answering=False)
    site.give(Connected())
    open_calls: list[Send] = list(site.sent)
    plugged = False
    for step in steps:
        match step:
            case "tick":
                site.ms += CALL_TIMEOUT_MS // 100
                fresh = site.give(Tick())
            case "answer" if open_calls:
                fresh = site.give(Received(site.answer(open_calls.pop(0))))
            case "plug" if not plugged:
                plugged = True
                fresh = site.give(Plug(connector_id=1, car=SPEC))
            case "unplug" if plugged:
                plugged = False
                fresh = site.give(Unplug(connector_id=1))
            case "trigger":
                fresh = site.give(Received('[2,"t","TriggerMessage",{"requestedMessage":"MeterValues"}]'))
            case _:
                fresh = []
        calls = [send for send in fresh if send.message_type == 2]
        assert len(open_calls) + len(calls) <= 1
        open_calls = calls or open_calls


def test_the_lowest_of_station_limit_and_default_holds() -> None:
    site = charging_site()
    assert site.set_profile(id=1, amps=12.0) == "Accepted"
    assert site.set_profile(1, id=2, purpose="TxDefaultProfile", amps=9.0, level=0) == "Accepted"
    site.run(5)
    assert site.current_ma == 9_000
    assert site.set_profile(id=1, amps=7.0) == "Accepted"
    site.run(5)
    assert site.current_ma == 7_000


def test_a_transaction_profile_overrules_the_default_but_not_the_station_limit() -> None:
    site = charging_site()
    site.set_profile(1, id=2, purpose="TxDefaultProfile", amps=8.0, level=0)
    assert site.set_profile(1, id=3, purpose="TxProfile", amps=14.0, transaction=site.transaction) == "Accepted"
    site.run(5)
    assert site.current_ma == 14_000
    site.set_profile(id=4, amps=11.0)
    site.run(5)
    assert site.current_ma == 11_000


@pytest.mark.parametrize(
    ("connector", "changes"),
    [
        (1, {"purpose": "ChargePointMaxProfile"}),
        (0, {"purpose": "TxProfile"}),
        (1, {"purpose": "TxProfile", "transaction": 1}),
        (0, {"level": 99}),
        (7, {"purpose": "TxDefaultProfile"}),
    ],
)
def test_a_profile_where_it_may_not_be_is_rejected(connector: int, changes: dict[str, Any]) -> None:
    assert charging_site().set_profile(connector, **changes) == "Rejected"


def test_the_live_limit_leads_over_the_floor_until_its_lease_ends() -> None:
    site = charging_site()
    site.set_profile(id=1, level=7, amps=6.0)
    site.set_profile(id=2, level=8, amps=15.0, valid_to_s=40)
    site.run(6)
    assert site.current_ma == 15_000
    site.run(40 - site.ms / 1000 + 3)
    assert site.current_ma == 6_000


def test_an_offline_station_goes_on_and_falls_to_the_floor_when_the_lease_ends() -> None:
    site = charging_site()
    site.set_profile(id=1, level=7, amps=6.0)
    site.set_profile(id=2, level=8, amps=15.0, valid_to_s=40)
    site.run(6)
    site.give(Disconnected())
    site.run(10)
    assert site.current_ma == 15_000
    site.run(30)
    assert site.current_ma == 6_000


def test_below_six_amps_the_car_pauses_and_comes_back() -> None:
    site = charging_site()
    site.set_profile(amps=5.9)
    site.run(5)
    assert site.current_ma == 0
    assert site.payloads("StatusNotification")[-1]["status"] == "SuspendedEVSE"
    site.set_profile(amps=6.0)
    site.run(5)
    assert site.current_ma == 6_000
    assert site.payloads("StatusNotification")[-1]["status"] == "Charging"


def test_the_car_obeys_only_after_its_delay_and_not_at_once() -> None:
    site = charging_site()
    site.set_profile(amps=8.0)
    site.run(1.2)
    assert site.current_ma == 16_000
    site.run(3)
    assert site.current_ma == 8_000


def test_a_limit_in_watts_counts_over_three_phases() -> None:
    site = charging_site()
    site.set_profile(amps=6900.0, unit="W")
    site.run(5)
    assert site.current_ma == 10_000


def test_the_same_slot_and_the_same_id_replace_and_clear_removes() -> None:
    site = charging_site()
    site.set_profile(id=1, level=5)
    site.set_profile(id=2, level=5)
    site.set_profile(id=2, level=6)
    assert [(p.profile_id, p.stack_level) for p in site.station.profiles.profiles] == [(2, 6)]
    assert site.call("ClearChargingProfile", {"id": 9})["status"] == "Unknown"
    assert site.call("ClearChargingProfile", {})["status"] == "Accepted"
    site.run(5)
    assert site.current_ma == 16_000


def test_the_composite_schedule_shows_the_coming_fall_to_the_floor() -> None:
    site = charging_site()
    site.set_profile(id=1, level=7, amps=6.0)
    site.set_profile(id=2, level=8, amps=15.0, valid_to_s=30)
    answer = site.call("GetCompositeSchedule", {"connectorId": 0, "duration": 60})
    periods = answer["chargingSchedule"]["chargingSchedulePeriod"]
    assert [(period["startPeriod"], period["limit"]) for period in periods] == [(0, 15.0), (20, 6.0)]
    assert answer["status"] == "Accepted"


def test_a_triggered_reading_follows_its_answer_and_names_its_cause() -> None:
    site = charging_site()
    fresh = site.give(Received('[2,"trig-1","TriggerMessage",{"requestedMessage":"MeterValues","connectorId":1}]'))
    assert [(send.message_type, send.action, send.cause) for send in fresh] == [
        (3, "TriggerMessage", None),
        (2, "MeterValues", "trig-1"),
    ]
    values = json.loads(fresh[1].text)[3]["meterValue"][0]["sampledValue"]
    assert {value["context"] for value in values} == {"Trigger"}
    amps = {value["phase"]: value["value"] for value in values if value["measurand"] == "Current.Import"}
    assert amps == {"L1": "16.00", "L2": "16.00", "L3": "16.00"}
    power = next(value["value"] for value in values if value["measurand"] == "Power.Active.Import")
    assert int(power) == 16 * 3 * 230


def test_readings_come_at_their_interval_and_the_interval_can_be_changed() -> None:
    site = charging_site()
    site.run(30)
    before = len(site.payloads("MeterValues"))
    assert site.call("ChangeConfiguration", {"key": "MeterValueSampleInterval", "value": "2"})["status"] == "Accepted"
    site.run(30)
    assert len(site.payloads("MeterValues")) - before >= 9
    assert before in (3, 4)
    assert site.call("ChangeConfiguration", {"key": "NumberOfConnectors", "value": "2"})["status"] == "Rejected"
    assert site.call("ChangeConfiguration", {"key": "Nonsense", "value": "2"})["status"] == "NotSupported"


def test_unplugging_ends_the_transaction_with_the_energy_that_flowed() -> None:
    site = charging_site()
    site.run(60)
    drawn_wh = site.station.connectors[1].car.energy_wh
    site.give(Unplug(connector_id=1))
    site.run(1)
    stop = site.payloads("StopTransaction")[0]
    assert stop["transactionId"] == site.transaction
    assert stop["meterStop"] == pytest.approx(drawn_wh, abs=1)
    assert site.payloads("StatusNotification")[-1]["status"] == "Available"
    assert site.current_ma == 0


def test_a_stop_while_offline_is_delivered_once_after_the_return() -> None:
    site = charging_site()
    site.give(Disconnected())
    site.run(5)
    site.give(Unplug(connector_id=1))
    site.run(5)
    assert site.payloads("StopTransaction") == []
    site.give(Connected())
    site.run(1)
    assert [stop["transactionId"] for stop in site.payloads("StopTransaction")] == [site.transaction]


def test_a_start_whose_answer_was_lost_is_sent_again() -> None:
    site = Site(unanswered=("StartTransaction",))
    site.give(Connected())
    site.give(Plug(connector_id=1, car=SPEC))
    site.run(5)
    assert site.current_ma == 0
    site.give(Disconnected())
    site.unanswered = ()
    site.give(Connected())
    site.run(5)
    assert len(site.payloads("StartTransaction")) == 2
    assert site.current_ma == 16_000


def test_a_transaction_that_never_got_its_number_is_stopped_as_minus_one() -> None:
    site = Site(unanswered=("StartTransaction",))
    site.give(Connected())
    site.give(Plug(connector_id=1, car=SPEC))
    site.run(5)
    start = next(send for send in site.sent if send.action == "StartTransaction")
    site.give(Unplug(connector_id=1))
    site.give(Received(json.dumps([3, start.message_id, {"idTagInfo": {"status": "Accepted"}}])))
    site.run(1)
    assert [stop["transactionId"] for stop in site.payloads("StopTransaction")] == [-1]


def test_remote_stop_ends_and_remote_start_begins_again() -> None:
    site = charging_site()
    assert site.call("RemoteStopTransaction", {"transactionId": 1})["status"] == "Rejected"
    assert site.call("RemoteStopTransaction", {"transactionId": site.transaction})["status"] == "Accepted"
    site.run(5)
    assert site.current_ma == 0
    assert site.call("RemoteStartTransaction", {"idTag": "REMOTE", "connectorId": 1})["status"] == "Accepted"
    site.run(5)
    assert site.current_ma == 16_000
    assert site.payloads("StartTransaction")[-1]["idTag"] == "REMOTE"


def test_a_reset_hangs_up_after_the_answer_keeps_profiles_and_charges_again() -> None:
    site = charging_site()
    site.set_profile(amps=10.0)
    assert site.call("Reset", {"type": "Hard"})["status"] == "Accepted"
    assert len(site.hangups) == 1
    site.give(Disconnected())
    site.run(3)
    site.give(Connected())
    site.run(15)
    assert site.actions().count("BootNotification") == 2
    assert site.payloads("StopTransaction")[0]["reason"] == "HardReset"
    assert site.current_ma == 10_000


def test_the_station_limit_is_shared_by_its_charging_connectors() -> None:
    site = charging_site(connectors=2)
    site.set_profile(amps=20.0)
    site.run(5)
    assert site.current_ma == 16_000
    site.give(Plug(connector_id=2, car=SPEC))
    site.run(12)
    assert site.current_ma == site.station.connectors[2].current_ma == 10_000


def test_what_it_does_not_know_is_refused_and_what_it_cannot_read_too() -> None:
    site = charging_site()
    assert site.call("MakeCoffee", {}) == {"error": "NotImplemented"}
    assert site.call("SetChargingProfile", {"connectorId": 0}) == {"error": "FormationViolation"}
    assert site.call("DataTransfer", {"vendorId": "nobody"})["status"] == "UnknownVendorId"
    answer = site.call("GetConfiguration", {"key": ["NumberOfConnectors", "None"]})
    assert answer["unknownKey"] == ["None"]
    assert answer["configurationKey"][0]["value"] == "1"


@given(st.one_of(st.text(max_size=200), st.from_regex(r"\[[234],.{0,60}\]", fullmatch=True)))
def test_garbage_is_counted_or_refused_and_never_raises(text: str) -> None:
    site = Site()
    site.give(Connected())
    site.give(Received(text))
    site.run(0.2)
    assert site.station.is_accepted


@pytest.mark.parametrize("dialect", range(4))
def test_every_call_and_answer_keeps_to_the_schema_of_an_independent_library(dialect: int) -> None:
    site = charging_site(dialect=dialect)
    site.set_profile(amps=10.0)
    site.call("GetCompositeSchedule", {"connectorId": 1, "duration": 60, "chargingRateUnit": "W"})
    site.call("TriggerMessage", {"requestedMessage": "StatusNotification"})
    site.call("GetConfiguration", {})
    site.run(65)
    site.give(Unplug(connector_id=1))
    site.run(1)
    judged = set()
    for send in site.sent:
        message = ocpp.messages.unpack(send.text)
        message.action = send.action
        ocpp.messages._validate_payload(message, "1.6")
        judged.add((send.message_type, send.action))
    assert {(2, "MeterValues"), (2, "StopTransaction"), (2, "DataTransfer"), (2, "Heartbeat")} <= judged
    assert {(3, "SetChargingProfile"), (3, "GetCompositeSchedule"), (3, "GetConfiguration")} <= judged


def test_stations_write_the_same_json_in_different_bytes() -> None:
    texts = []
    for dialect in range(4):
        site = Site(dialect=dialect)
        site.give(Connected())
        texts.append(site.sent[0].text)
    assert len(set(texts)) == 4
    assert len({json.dumps(json.loads(text)[2:]) for text in texts}) == 1


def test_a_signed_reading_carries_text_beyond_ascii_and_a_signature() -> None:
    site = charging_site(dialect=2)
    signed = next(send for send in site.sent if send.action == "DataTransfer")
    assert "Zähler" in signed.text
    assert len(json.loads(signed.text)[3]["data"].split('"SD":"')[1]) > 100


def test_the_machine_says_when_it_wants_to_be_woken() -> None:
    site = charging_site()
    wake_ms = site.station.wake_time()
    assert wake_ms is not None
    assert wake_ms - site.ms <= 100
    assert Site().station.wake_time() is None


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["ChargePointMaxProfile", "TxDefaultProfile"]),
            st.integers(0, 5),
            st.integers(6, 40),
            st.one_of(st.none(), st.integers(1, 100)),
        ),
        max_size=8,
    ),
    st.integers(0, 120),
)
def test_the_limit_is_the_least_over_purposes_of_the_highest_valid_level(
    entries: list[tuple[str, int, int, int | None]], at_s: int
) -> None:
    store = ProfileStore()
    slots: dict[tuple[str, int], tuple[int, int | None]] = {}
    for number, (purpose, level, amps, valid_to_s) in enumerate(entries):
        raw = profile(id=number, level=level, purpose=purpose, amps=float(amps), valid_to_s=valid_to_s)
        parsed = parse_profile(0, raw)
        assert parsed is not None
        assert store.install(parsed, active_transactions={}) == "Accepted"
        slots[(purpose, level)] = (amps, valid_to_s)
    expected = 32
    for purpose in ("ChargePointMaxProfile", "TxDefaultProfile"):
        valid = [
            (level, amps)
            for (name, level), (amps, end_s) in slots.items()
            if name == purpose and (end_s is None or at_s < end_s)
        ]
        expected = min(expected, max(valid)[1] if valid else expected)
    limit_ma = store.limit_ma(1, UTC0 + at_s * 1000, hardware_ma=32_000, phases=3, transaction_start_ms=None)
    assert limit_ma == expected * 1000


def test_a_full_car_draws_nothing_more() -> None:
    car = Car(
        CarSpec(id_tag="x", phases=1, current_max_ma=32_000, need_wh=10, delay_ms=0, ramp_ma_per_s=32_000), now_ms=0
    )
    car.offer(32_000, now_ms=0)
    for second in range(1, 30):
        car.step(now_ms=second * 1000, phases=1, voltage_v=230.0)
    assert car.is_full
    assert car.current_ma == 0
    assert car.energy_wh == pytest.approx(10, abs=3)


@given(st.integers(0, 4_102_444_800_000))
def test_time_stamps_survive_writing_and_reading(utc_ms: int) -> None:
    assert parse_time(format_time(utc_ms)) == utc_ms


@pytest.mark.parametrize(
    ("text", "utc_ms"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("2024-02-29T12:00:00+02:00", 1_709_200_800_000),
        ("2026-11-22T20:00:00.25-01:30", 1_795_383_000_250),
        ("2000-03-01 00:00:00", 951_868_800_000),
    ],
)
def test_stamps_of_the_field_are_read(text: str, utc_ms: int) -> None:
    assert parse_time(text) == utc_ms


@pytest.mark.parametrize("text", ["", "now", "2023-02-29T00:00:00Z", "2023-13-01T00:00:00Z", "2023-01-01T25:00:00Z"])
def test_what_is_no_instant_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="expected"):
        parse_time(text)
