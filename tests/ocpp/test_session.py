"""A station's session: what is passed on and how, the one southbound lane, both legs, and the closed list."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from ocpp_driver import QUICK, Driver, ModelStation
from ocpp_driver import settings as driver_settings

from dgm.api.site.v1.site_pb2 import PlugState
from dgm.ocpp.events import Direction, FrameIn, Later, Leg, LegUp, Reason, Send
from dgm.ocpp.relay import CALL_GRACE_MS, CALL_WAIT_MS, MAX_PENDING, MAX_WAITING_CALLS
from dgm.ocpp.version import Version

ODD_FRAMES = [
    b'[2,"1","Heartbeat",{}]',
    b' [ 2 ,\t"a\\u00e9\\"b" , "DataTransfer" , { "vendorId" : "x", "data": "\\u00e9\xc3\xa9" } ]\r\n',
    '[2,"é","Authorize",{"idTag":"ß"},"and more"]'.encode(),
    b'[2,"dup","Unknown.Action",{"a":1,"a":2,"n":1.000}]',
    b'[2,"deep","DataTransfer",' + b"[" * 5000 + b"]" * 5000 + b"]",
    b'[3,"c-unknown",{"status":"Accepted"}]',
    b'[4,"c-unknown","InternalError","",{}]',
    b'[2,"bad","MeterValues",{"meterValue": this is not JSON}]',
]


@pytest.mark.parametrize("raw", ODD_FRAMES)
def test_a_frame_of_the_station_goes_north_byte_for_byte(raw: bytes) -> None:
    driver = Driver(station=ModelStation()).connect()
    driver.north.clear()
    driver.put(FrameIn(leg=Leg.SOUTH, raw=raw))
    assert driver.north == [raw]


@pytest.mark.parametrize("raw", ODD_FRAMES)
def test_a_frame_of_the_csms_goes_south_byte_for_byte(raw: bytes) -> None:
    driver = Driver(station=None).connect(boot=False)
    driver.put(FrameIn(leg=Leg.NORTH, raw=raw))
    assert driver.south == [raw]


@QUICK
@given(st.text(max_size=20), st.text(max_size=20), st.text(max_size=60), st.booleans())
def test_any_readable_frame_is_passed_on_unchanged(message_id: str, action: str, data: str, escaped: bool) -> None:
    frame = [2, message_id, action, {"data": data}]
    raw = json.dumps(frame, ensure_ascii=escaped, indent=1).encode("utf-8", "surrogatepass")
    driver = Driver(station=ModelStation()).connect()
    driver.north.clear()
    driver.put(FrameIn(leg=Leg.SOUTH, raw=raw))
    unreadable = [found.reason for found in driver.excepted if found.reason is Reason.UNREADABLE]
    assert driver.north == [raw] or unreadable


def test_a_frame_is_sent_before_its_payload_is_looked_at() -> None:
    driver = Driver(station=ModelStation()).connect()
    raw = b'[2,"1","MeterValues",{"connectorId":1,"meterValue":[]}]'
    first = driver.session.handle(FrameIn(leg=Leg.SOUTH, raw=raw), driver.now)
    assert [type(effect) for effect in first] == [Send, Later]


@pytest.mark.parametrize(
    "raw", [b"", b"hello", b"[]", b'{"x":1}', b'[2,"1","Heartbeat"', b'[9,"1",{}]', b"\xff\xfe", b'[3,"1","\xff"]']
)
def test_garbage_is_dropped_counted_and_disturbs_nothing(raw: bytes) -> None:
    driver = Driver(station=ModelStation()).connect()
    before = list(driver.north)
    driver.put(FrameIn(leg=Leg.SOUTH, raw=raw))
    driver.put(FrameIn(leg=Leg.NORTH, raw=raw))
    assert driver.north == before
    assert [found.name for found in driver.counted] == ["bad_frame", "bad_frame"]
    assert [found.reason for found in driver.excepted[-2:]] == [Reason.UNREADABLE] * 2
    assert not driver.closed
    driver.station_call("Heartbeat", {})
    assert len(driver.north) == len(before) + 1


def test_a_wrong_payload_is_relayed_and_counted() -> None:
    driver = Driver(station=ModelStation()).connect()
    driver.station_call("StatusNotification", {"connectorId": "one", "status": 7})
    driver.station_call("MeterValues", "not an object")
    assert len(driver.north_calls("StatusNotification")) == len(driver.north_calls("MeterValues")) == 1
    assert [found.detail for found in driver.counted] == ["StatusNotification", "MeterValues"]


READINGS = st.builds(
    lambda amps, context, age_s: ("meter", amps, context, age_s),
    st.integers(0, 40),
    st.sampled_from(["Sample.Periodic", "Trigger"]),
    st.integers(0, 90),
)
STEPS = st.one_of(
    READINGS,
    READINGS,
    st.tuples(st.just("wait"), st.integers(1, 20_000)),
    st.tuples(st.just("south"), st.sampled_from([*ODD_FRAMES, b'[2,"h","Heartbeat",{}]', b'[2,"a","Authorize",{}]'])),
    st.tuples(st.just("north"), st.sampled_from([b'[3,"m",{}]', b'[3,"b","x"]', b'[3,"s",{"status":"Accepted"}]'])),
    st.tuples(st.just("status"), st.sampled_from(["Charging", "Available", "SuspendedEV"])),
    st.tuples(st.just("boot"), st.sampled_from(["Accepted", "Pending", "Rejected"])),
    st.tuples(st.just("limit"), st.integers(0, 32_000)),
)


def play(steps: list[tuple[Any, ...]], *, short_cut: bool) -> Driver:
    driver = Driver(station=ModelStation(), short_cut=short_cut).connect()
    for sequence, (kind, *what) in enumerate(steps, start=1):
        match kind:
            case "meter":
                driver.meter(what[0], context=what[1], age_ms=what[2] * 1000)
            case "wait":
                driver.advance(what[0])
            case "south" | "north":
                driver.frame(Leg(kind), what[0])
            case "limit":
                driver.setpoint(what[0], sequence)
            case "status":
                driver.status(what[0])
            case _:
                driver.boot(what[0])
    return driver


@QUICK
@given(st.lists(STEPS, max_size=30))
def test_the_short_cut_decides_as_the_long_way(steps: list[tuple[Any, ...]]) -> None:
    short, long = play(steps, short_cut=True), play(steps, short_cut=False)
    assert short.north == long.north
    assert short.samples == long.samples
    assert short.outcomes == long.outcomes
    assert short.counted == long.counted
    assert [found.reason for found in short.excepted] == [found.reason for found in long.excepted]
    assert [evse.memory for evse in short.session.evses] == [evse.memory for evse in long.session.evses]


# The lane.


def idle(**changes: Any) -> Driver:
    """Connected, installed and quiet, with nobody answering southbound CALLs from here on."""
    driver = Driver(station=ModelStation(), **changes).connect()
    driver.status("Available")
    driver.station = None
    driver.south.clear()
    driver.north.clear()
    driver.excepted.clear()
    return driver


def test_a_second_csms_call_waits_for_the_first_answer() -> None:
    driver = idle()
    first, second = driver.csms_call("GetConfiguration", {}), driver.csms_call("UnlockConnector", {})
    assert [call[1] for call in driver.south_calls()] == [first]
    driver.station_answer(first, {})
    assert [call[1] for call in driver.south_calls()] == [first, second]


def test_our_call_waits_for_the_csms_and_the_csms_for_ours() -> None:
    driver = idle()
    first = driver.csms_call("GetConfiguration", {})
    driver.setpoint(10_000, 1)
    second = driver.csms_call("GetDiagnostics", {})
    assert [call[1] for call in driver.south_calls()] == [first]
    driver.station_answer(first, {})
    assert [call[2] for call in driver.south_calls()] == ["GetConfiguration", "SetChargingProfile"]
    driver.station_answer(driver.south_calls()[-1][1], {"status": "Accepted"})
    assert driver.south_calls()[-1][1] == second


def test_a_safety_reduction_goes_before_waiting_csms_calls() -> None:
    driver = idle()
    own = driver.csms_call("GetConfiguration", {})
    waiting = [driver.csms_call("DataTransfer", {"n": n}) for n in range(3)]
    driver.setpoint(0, 1, safety=True)
    driver.station_answer(own, {})
    assert driver.south_calls()[-1][2] == "SetChargingProfile"
    driver.station_answer(driver.south_calls()[-1][1], {"status": "Accepted"})
    assert driver.south_calls()[-1][1] == waiting[0]


def test_a_safety_reduction_does_not_give_the_csms_its_turn() -> None:
    driver = idle()
    driver.setpoint(5_000, 1)
    driver.csms_call("GetConfiguration", {})
    driver.setpoint(0, 2, safety=True)
    driver.station_answer(driver.south_calls()[-1][1], {"status": "Accepted"})
    assert [call[2] for call in driver.south_calls()] == ["SetChargingProfile", "SetChargingProfile"]


def test_answers_overtake_calls_in_both_directions() -> None:
    driver = idle()
    driver.csms_call("GetConfiguration", {})
    driver.csms_call("DataTransfer", {})
    station_id = driver.station_call("Heartbeat", {})
    driver.csms_answer(station_id, {"currentTime": "2026-01-01T00:00:00Z"})
    assert json.loads(driver.south[-1])[:2] == [3, station_id]


def test_a_csms_call_that_waits_too_long_is_answered_with_an_error_and_never_delivered() -> None:
    driver = idle(call_timeout_ms=60_000)
    driver.csms_call("GetConfiguration", {})
    aged = driver.csms_call("Reset", {"type": "Hard"})
    driver.advance(CALL_WAIT_MS - 1)
    assert not driver.north
    driver.advance(1)
    answer = json.loads(driver.north[-1])
    assert answer[:3] == [4, aged, "GenericError"]
    driver.advance(120_000)
    assert "Reset" not in [call[2] for call in driver.south_calls()]
    reasons = [(found.reason, found.direction, found.id) for found in driver.excepted[:2]]
    assert reasons == [
        (Reason.CALL_EXPIRED, Direction.LOCAL, aged),
        (Reason.LOCAL_ERROR, Direction.NORTH, aged),
    ]


def test_a_call_behind_a_silent_one_goes_when_that_times_out() -> None:
    driver = idle(call_timeout_ms=10_000)
    driver.csms_call("GetConfiguration", {})
    second = driver.csms_call("DataTransfer", {})
    driver.advance(10_000)
    assert driver.south_calls()[-1][1] == second
    assert not driver.north


def test_an_aged_call_is_not_delivered_when_the_machine_was_woken_late() -> None:
    driver = idle()
    first = driver.csms_call("GetConfiguration", {})
    aged = driver.csms_call("Reset", {"type": "Hard"})
    driver.mono_ms += CALL_WAIT_MS + CALL_GRACE_MS
    driver.station_answer(first, {})
    assert aged not in [call[1] for call in driver.south_calls()]
    assert json.loads(driver.north[-1])[:2] == [4, aged]


def test_more_csms_calls_than_the_lane_holds_are_refused_at_once() -> None:
    driver = idle()
    calls = [driver.csms_call("DataTransfer", {"n": n}) for n in range(MAX_WAITING_CALLS + 2)]
    assert [json.loads(raw)[:2] for raw in driver.north] == [[4, calls[-1]]]
    assert driver.excepted[0].reason is Reason.LANE_FULL


def test_a_late_answer_to_a_csms_call_still_goes_north() -> None:
    driver = idle()
    message_id = driver.csms_call("GetDiagnostics", {})
    driver.advance(30_000)
    raw = driver.station_answer(message_id, {"fileName": "late"})
    assert driver.north == [raw]


def test_a_late_answer_to_our_call_never_goes_north() -> None:
    driver = idle()
    driver.setpoint(10_000, 1)
    own_id = driver.south_calls()[-1][1]
    driver.advance(30_000)
    driver.station_answer(own_id, {"status": "Accepted"})
    driver.station_answer(own_id, {"status": "Accepted"})
    assert not driver.north
    assert [found.reason for found in driver.excepted].count(Reason.OWN_ANSWER) == 2


def test_calls_waiting_when_a_leg_is_lost_are_not_delivered_after_the_reconnect() -> None:
    driver = idle()
    driver.csms_call("GetConfiguration", {})
    aged = driver.csms_call("Reset", {"type": "Hard"})
    driver.disconnect()
    assert [found.id for found in driver.excepted if found.reason is Reason.LEG_LOST] == [aged]
    driver.station = ModelStation()
    driver.south.clear()
    driver.connect(boot=False)
    driver.advance(60_000)
    assert aged not in [call[1] for call in driver.south_calls()]


def test_pending_calls_are_bounded() -> None:
    driver = idle()
    for _ in range(MAX_PENDING + 5):
        driver.station_call("StartTransaction", {"connectorId": 1})
    assert [found.name for found in driver.counted] == ["pending_full"] * 5
    assert len(driver.north) == MAX_PENDING + 5


# Legs and boot.


def test_the_end_of_one_leg_closes_the_other_and_reports_offline() -> None:
    driver = Driver(station=ModelStation()).connect()
    driver.status("Charging")
    driver.disconnect()
    assert [close.leg for close in driver.closed] == [Leg.NORTH]
    assert driver.samples[-1].plug_state == PlugState.PLUG_STATE_OFFLINE
    assert driver.samples[-1].urgent
    driver.put(FrameIn(leg=Leg.SOUTH, raw=b'[2,"x","Heartbeat",{}]'))
    assert b'"x"' not in driver.north[-1]


def test_a_station_that_boots_is_commanded_only_after_the_boot_is_accepted() -> None:
    driver = Driver(station=ModelStation()).connect(boot=False)
    driver.advance(1_000)
    boot_id = driver.station_call("BootNotification", {"chargePointVendor": "V", "chargePointModel": "M"})
    driver.advance(20_000)
    assert not driver.south_calls()
    driver.csms_answer(boot_id, {"status": "Accepted", "interval": 300, "currentTime": "2026-01-01T00:00:00Z"})
    assert driver.south_calls("SetChargingProfile")


def test_a_station_that_talks_before_its_boot_is_answered_is_not_commanded_yet() -> None:
    driver = Driver(station=ModelStation()).connect(boot=False)
    driver.station_call("BootNotification", {"chargePointVendor": "V", "chargePointModel": "M"})
    driver.station_call("StatusNotification", {"connectorId": 1, "errorCode": "NoError", "status": "Available"})
    driver.station_call("Heartbeat", {})
    assert not driver.south_calls()


def test_a_rejected_boot_keeps_us_silent() -> None:
    driver = Driver(station=ModelStation()).connect(boot=False)
    driver.boot("Rejected")
    driver.advance(600_000)
    assert not driver.south_calls()


def test_a_station_that_reconnects_without_boot_is_commanded_with_its_first_call_or_after_a_while() -> None:
    silent = Driver(station=ModelStation()).connect(boot=False)
    silent.advance(4_999)
    assert not silent.south_calls()
    silent.advance(1)
    assert silent.south_calls()
    talking = Driver(station=ModelStation()).connect(boot=False)
    talking.station_call("Heartbeat", {})
    assert talking.south_calls()


def test_the_plug_state_is_asked_for_when_a_reconnected_station_does_not_tell_it() -> None:
    driver = Driver(station=ModelStation()).connect()
    driver.advance(10_000)
    assert driver.south_calls("TriggerMessage")[0][3] == {"requestedMessage": "StatusNotification", "connectorId": 1}
    driver.status("Available")
    driver.advance(300_000)
    assert len(driver.south_calls("TriggerMessage")) == 1


def test_the_description_shows_links_counts_and_limits() -> None:
    driver = Driver(station=ModelStation()).connect()
    driver.setpoint(16_000, 1)
    driver.csms_answer(driver.station_call("StartTransaction", {"connectorId": 1, "idTag": "x"}), {"transactionId": -5})
    station = driver.session.describe(driver.now)
    assert (station.id, station.cpo_id, station.subprotocol) == ("CP-1", "cpo-a", "ocpp1.6")
    assert (station.south, station.north) == (2, 2)
    assert (station.frames_north, station.frames_south) == (2, 2)
    assert station.frames_excepted == len(driver.excepted) > 0
    assert (station.evses[0].limit_ma, station.evses[0].proved_ma) == (16_000, 16_000)
    assert station.evses[0].transaction_id == -5
    assert (station.vendor, station.model) == ("V", "M")


KEPT_CALLS = (Reason.CALL_EXPIRED, Reason.LANE_FULL, Reason.LEG_LOST, Reason.REPOINTING, Reason.PROFILE_CALL)


class Interleavings(RuleBasedStateMachine):
    """Any order of frames, answers, setpoints and silence, against what must always hold."""

    def __init__(self) -> None:
        super().__init__()
        self.driver = Driver(call_timeout_ms=5_000)
        self.subprotocol = ""
        self.sends: dict[Leg, list[bytes]] = {Leg.SOUTH: [], Leg.NORTH: []}
        self.station_sent: list[bytes] = []
        self.csms_calls: list[bytes] = []
        self.csms_answers: list[bytes] = []
        self.answers_to_csms: list[bytes] = []
        self.unanswered_north: list[str] = []
        self.answered_after: dict[str, int] = {}
        self.sequence = 0
        self.number = 0

    @initialize(version=st.sampled_from(Version), evses=st.integers(1, 3), short_cut=st.booleans())
    def connect(self, version: Version, evses: int, short_cut: bool) -> None:
        found = [
            driver_settings(asset_id=f"evse-{number}", connector_id=number, call_timeout_ms=5_000)
            for number in range(1, evses + 1)
        ]
        self.driver = Driver(evses=found, short_cut=short_cut)
        self.subprotocol = version.value
        self.legs_up()

    def legs_up(self) -> None:
        self.driver.put(LegUp(leg=Leg.NORTH))
        self.driver.put(LegUp(leg=Leg.SOUTH, subprotocol=self.subprotocol))

    @rule()
    def the_connection_is_lost_and_comes_back(self) -> None:
        self.driver.disconnect()
        self.driver.call_times.clear()
        self.answered_after.clear()
        self.unanswered_north.clear()
        self.legs_up()

    @rule(step_s=st.sampled_from([-90_000, -30, 30, 90_000]))
    def the_clock_is_set(self, step_s: int) -> None:
        self.driver.utc_step_ms += step_s * 1000

    @rule(leg=st.sampled_from(Leg))
    def a_send_comes(self, leg: Leg) -> None:
        raw = self.raw(6, f"{self.number}", "NotifyPeriodicEventStream", {})
        self.sends[leg].append(raw)
        self.driver.frame(leg, raw)

    def raw(self, *frame: Any) -> bytes:
        self.number += 1
        return json.dumps(frame, indent=self.number % 3 or None).encode()

    @rule(
        action=st.sampled_from(
            ["Heartbeat", "BootNotification", "StatusNotification", "MeterValues", "TransactionEvent"]
        )
    )
    def station_calls(self, action: str) -> None:
        # Stations use small counters as ids: the same number may be in use on the other leg.
        raw = self.raw(2, f"{self.number}", action, {"connectorId": 1, "status": "Charging", "errorCode": "NoError"})
        self.unanswered_north.append(json.loads(raw)[1])
        self.station_sent.append(raw)
        self.driver.frame(Leg.SOUTH, raw)

    @rule(action=st.sampled_from(["Reset", "ClearChargingProfile", "TriggerMessage", "ChangeConfiguration"]))
    def csms_calls_station(self, action: str) -> None:
        payload = {"key": "CentralSystemURL"} if action == "ChangeConfiguration" and self.number % 2 else {}
        raw = self.raw(2, f"{self.number}", action, payload)
        self.csms_calls.append(raw)
        self.driver.frame(Leg.NORTH, raw)

    @rule(data=st.data())
    def csms_answers_station(self, data: st.DataObject) -> None:
        if self.unanswered_north:
            message_id = self.unanswered_north.pop(data.draw(st.integers(0, len(self.unanswered_north) - 1)))
            raw = self.raw(3, message_id, {"status": "Accepted"})
            self.csms_answers.append(raw)
            self.driver.frame(Leg.NORTH, raw)

    @rule(data=st.data(), status=st.sampled_from(["Accepted", "Rejected", 7]))
    def station_answers(self, data: st.DataObject, status: Any) -> None:
        waiting = self.driver.open_south
        if waiting:
            message_id = waiting.pop(data.draw(st.integers(0, len(waiting) - 1)))
            raw = self.raw(3, message_id, {"status": status})
            self.answered_after[message_id] = len(self.driver.call_times)
            if not message_id.startswith("own-"):
                self.answers_to_csms.append(raw)
            self.driver.frame(Leg.SOUTH, raw)

    @rule(current_ma=st.integers(0, 40_000), safety=st.booleans())
    def setpoint(self, current_ma: int, safety: bool) -> None:
        self.sequence += 1
        self.driver.setpoint(current_ma, self.sequence, safety=safety)

    @rule(span_ms=st.sampled_from([1, 500, 4_000, 11_000]))
    def time_passes(self, span_ms: int) -> None:
        self.driver.advance(span_ms)

    @invariant()
    def one_open_call_towards_the_station(self) -> None:
        calls = self.driver.call_times
        for index, ((before, sent_ms), (after, next_ms)) in enumerate(itertools.pairwise(calls)):
            answered_first = self.answered_after.get(before, len(calls)) <= index + 1
            assert answered_first or next_ms - sent_ms >= 5_000, f"{after} was sent while {before} was open"

    @invariant()
    def frames_of_the_station_arrive_equal_and_in_order(self) -> None:
        ours = {found.raw for found in self.driver.excepted if found.direction is Direction.NORTH}
        arrived = [raw for raw in self.driver.north if raw not in ours]
        assert [raw for raw in arrived if json.loads(raw)[0] == 2] == self.station_sent
        assert [raw for raw in arrived if json.loads(raw)[0] == 3] == self.answers_to_csms
        assert [raw for raw in arrived if json.loads(raw)[0] == 6] == self.sends[Leg.SOUTH]

    @invariant()
    def frames_of_the_csms_arrive_equal_and_in_order_or_are_refused_or_wait(self) -> None:
        south = [raw for raw in self.driver.south if json.loads(raw)[0] == 3]
        assert south == self.csms_answers
        assert [raw for raw in self.driver.south if json.loads(raw)[0] == 6] == self.sends[Leg.NORTH]
        passed = [raw for raw in self.driver.south if json.loads(raw)[0] == 2 and raw in set(self.csms_calls)]
        kept = {raw.raw for raw in self.driver.excepted if raw.reason in KEPT_CALLS}
        waiting = [found.raw for found in self.driver.session._lane._waiting]
        assert [raw for raw in self.csms_calls if raw not in kept] == passed + waiting

    @invariant()
    def nothing_of_ours_goes_north_but_refusals(self) -> None:
        refused = {found.id for found in self.driver.excepted if found.reason is Reason.LOCAL_ERROR}
        for raw in self.driver.north:
            frame = json.loads(raw)
            assert not frame[1].startswith("own-")
            assert frame[0] != 4 or frame[1] in refused

    @invariant()
    def every_frame_of_ours_is_in_the_manifest(self) -> None:
        listed = [found.raw for found in self.driver.excepted if found.direction is Direction.SOUTH]
        relayed = {*self.csms_calls, *self.csms_answers, *self.sends[Leg.NORTH]}
        assert [raw for raw in self.driver.south if raw not in relayed] == listed


TestInterleavings = Interleavings.TestCase
TestInterleavings.settings = settings(max_examples=40, stateful_step_count=40, deadline=None)
