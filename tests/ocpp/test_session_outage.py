"""A whole session while its CSMS is away: no bill lost or booked twice, and the site's limit goes on being kept."""

from __future__ import annotations

import json
from collections import deque
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from ocpp_driver import Driver, ModelStation
from ocpp_driver import settings as station_settings
from outage_driver import Bench, parse
from test_outage import STEPS, act, ask, booked_story, learn, tell

from dgm.api.ocpp.v1.ocpp_pb2 import LINK_STATE_DOWN, LINK_STATE_UP
from dgm.machine import Tick
from dgm.ocpp import frame
from dgm.ocpp.books import Books
from dgm.ocpp.events import (
    BooksWritten,
    Close,
    Copied,
    Event,
    Excepted,
    FrameIn,
    Glance,
    Later,
    Leg,
    LegDown,
    LegUp,
    Reason,
    Send,
    SetpointIn,
    WriteBooks,
)
from dgm.ocpp.frame import Kind
from dgm.ocpp.outage import HANG_UP_MS, Outage
from dgm.ocpp.outage_rules import Policy, Stage
from dgm.ocpp.session import Session


class SessionBench(Bench):
    """Like Bench, with everything else of the station between its ends: lane, own CALLs, the short cut of the relay."""

    def __init__(self, policy: Policy = Policy.STORE) -> None:
        self.model = ModelStation()
        self.excepted: list[Excepted] = []
        super().__init__(policy)

    def _load(self) -> Outage:
        outage = super()._load()
        self.session = Session([station_settings()], lambda: f"own-{next(self.new_ids)}", outage=outage)
        return outage

    def put(self, event: Event) -> None:
        """Give the session an event and carry out what it says."""
        events: deque[Event] = deque((event,))
        while events:
            for effect in self.session.handle(events.popleft(), self.now):
                match effect:
                    case Send(leg=Leg.NORTH):
                        if self.csms_up:
                            self.north.append(effect.raw)
                    case Send():
                        self._to_station(effect.raw)
                    case Later():
                        events.append(effect.event)
                    case WriteBooks():
                        self.unsaved.append((effect.token, effect.changes))
                    case Excepted():
                        self.excepted.append(effect)
                    case Close(leg=Leg.SOUTH):
                        self.hung_up.append(effect.reason)
                        self.drop_station()
                    case _:
                        pass

    def _to_station(self, raw: bytes) -> None:
        head, payload = parse(raw)
        if not self.station_up:
            return
        if head.kind is not Kind.CALL:
            self.station.hear(raw)
            return
        answer = self.model.answer(head.action, payload, self.now.utc_ms)
        self.put(FrameIn(leg=Leg.SOUTH, raw=json.dumps([3, head.id, answer]).encode()))

    def save(self) -> None:
        """The disk takes what is oldest."""
        if self.unsaved:
            token, changes = self.unsaved.pop(0)
            for change in changes:
                self.disk.apply(change)
            self.put(BooksWritten(token=token, is_good=True))

    def fail(self) -> None:
        """The disk refuses what is oldest."""
        if self.unsaved:
            token, _ = self.unsaved.pop(0)
            self.put(BooksWritten(token=token, is_good=False))

    def call(self, raw: bytes) -> None:
        """A CALL of the station reaches the gateway."""
        self._frame(Leg.SOUTH, raw)

    def _frame(self, leg: Leg, raw: bytes) -> None:
        glance = self.session.pass_on(leg, raw)
        if glance is Glance.HANDLE:
            self.put(FrameIn(leg=leg, raw=raw))
            return
        if leg is Leg.SOUTH:
            self.north.append(raw)
        else:
            self._to_station(raw)
        if glance is Glance.COPY:
            self.put(Copied(leg=leg, raw=raw))

    def csms_answers(self) -> None:
        """The CSMS takes a message and its answer comes back."""
        self._frame(Leg.NORTH, self.csms.take(self.north.pop(0)))

    def connect_csms(self) -> None:
        """Its socket opens; it is dialled for a station that is there."""
        if self.station_up and not self.csms_up:
            self.csms_up = True
            self.put(LegUp(leg=Leg.NORTH))

    def lose_csms(self) -> None:
        """Its socket closes."""
        if self.csms_up:
            self.csms_up = False
            self.north.clear()
            self.put(LegDown(leg=Leg.NORTH))

    def connect_station(self) -> None:
        """It connects."""
        if not self.station_up:
            self.station_up, self.station.open = True, None
            self.put(LegUp(leg=Leg.SOUTH, subprotocol="ocpp1.6"))

    def drop_station(self) -> None:
        """Its socket closes."""
        if self.station_up:
            self.station_up, self.station.open = False, None
            self.put(LegDown(leg=Leg.SOUTH))
            self.lose_csms()

    def pass_time(self, span_ms: int) -> None:
        """Let timers fire, each when it is due."""
        end_ms = self.mono_ms + span_ms
        for _ in range(10_000):
            wake_ms = self.session.wake_time()
            if wake_ms is None or wake_ms > end_ms:
                break
            self.mono_ms = max(self.mono_ms + 1, wake_ms)
            self.put(Tick())
        else:
            raise AssertionError("it wakes itself without end")
        self.mono_ms = max(self.mono_ms, end_ms)

    def limit(self, current_ma: int) -> None:
        """A setpoint of the ems role."""
        self.put(SetpointIn(epoch=1, sequence=self.mono_ms, current_ma=current_ma, ttl_ms=15_000))

    def reasons(self) -> list[Reason]:
        """Of the closed list, without our own CALLs and what is said to them."""
        own = (Reason.OWN_CALL, Reason.OWN_ANSWER)
        return [effect.reason for effect in self.excepted if effect.reason not in own]


def away(policy: Policy = Policy.STORE) -> SessionBench:
    bench = SessionBench(policy)
    bench.connect_station()
    return bench


@settings(max_examples=100, deadline=None)
@given(steps=st.lists(st.sampled_from(STEPS), max_size=50))
@example(steps=["station up", "csms up", "start", "send", "answer", "meter", "send", "csms down", "save", "csms up"])
def test_every_bill_is_booked_once_and_in_order(steps: list[str]) -> None:
    bench = SessionBench()
    tell(bench, "start")
    for step in steps:
        act(bench, step)
    bench.heal()
    assert bench.station.queue == []
    assert booked_story(bench) == bench.station.told
    assert bench.outage.stage is Stage.LIVE
    assert bench.disk.messages == {}


@settings(max_examples=60, deadline=None)
@given(steps=st.lists(st.sampled_from(STEPS), max_size=40))
def test_in_island_the_station_keeps_its_bills_and_nobody_books_twice(steps: list[str]) -> None:
    bench = SessionBench(Policy.ISLAND)
    tell(bench, "start")
    for step in steps:
        act(bench, step)
    assert bench.disk.messages == {}
    bench.heal()
    assert booked_story(bench) == bench.station.told


@pytest.mark.parametrize("policy", [Policy.ISLAND, Policy.STORE])
def test_limits_are_written_renewed_and_lowered_while_the_csms_is_away(policy: Policy) -> None:
    bench = away(policy)
    ask(bench, "BootNotification", {"chargePointVendor": "V", "chargePointModel": "M"})
    ask(bench, "StatusNotification", {"connectorId": 1, "status": "Charging", "errorCode": "NoError"}, "s")
    for current_ma in (32_000, 10_000):
        for _ in range(40):
            bench.limit(current_ma)
            bench.pass_time(5_000)
        assert bench.model.limit_ma(bench.now.utc_ms) == current_ma
    asked = [action for action, _ in bench.model.calls]
    assert "TriggerMessage" in asked, "telemetry goes on"
    bench.pass_time(200_000)
    assert bench.model.limit_ma(bench.now.utc_ms) == 6_000, "and when the ems is silent too, the floor holds"
    assert bench.hung_up == []


def test_a_reading_that_we_asked_for_is_ours_in_an_outage_too() -> None:
    bench = away(Policy.ISLAND)
    ask(bench, "BootNotification", {}, "b")
    ask(bench, "StatusNotification", {"connectorId": 1, "status": "Charging", "errorCode": "NoError"}, "s")
    for _ in range(3):
        bench.limit(16_000)
        bench.pass_time(5_000)
    values = [{"value": "16", "measurand": "Current.Import", "phase": "L1", "context": "Trigger", "unit": "A"}]
    stamped = [{"timestamp": "2026-10-01T00:00:00Z", "sampledValue": values}]
    assert ask(bench, "MeterValues", {"connectorId": 1, "meterValue": stamped}, "m") == {}
    bench.pass_time(HANG_UP_MS)
    assert bench.station_up
    assert Reason.TRIGGERED_READING in bench.reasons()


def test_a_certificate_asked_for_in_an_outage_is_not_counted_as_passed_on() -> None:
    driver = Driver(station=ModelStation(), outage=Outage(Policy.STORE, Books(), lambda: "g")).connect()
    driver.put(LegDown(leg=Leg.NORTH))
    driver.station_call("SignCertificate", {"csr": "x"}, "c1")
    assert [one.id for one in driver.excepted if one.reason is Reason.CSMS_AWAY] == ["c1"]
    assert [one for one in driver.counted if one.name == "certificate"] == []


def test_the_csms_s_commands_die_with_its_connection_and_the_station_s_late_answer_goes_nowhere() -> None:
    model = ModelStation()
    model.faults["Reset"] = None
    driver = Driver(station=model, outage=Outage(Policy.ISLAND, Books(), lambda: "g")).connect()
    driver.csms_call("Reset", {"type": "Soft"}, "c1")
    driver.csms_call("Reset", {"type": "Hard"}, "c2")
    driver.put(LegDown(leg=Leg.NORTH))
    assert [one.id for one in driver.excepted if one.reason is Reason.LEG_LOST] == ["c2"]
    driver.put(LegUp(leg=Leg.NORTH))
    before = len(driver.north)
    driver.station_answer("c1", {"status": "Accepted"})
    assert len(driver.north) == before, "another connection, another CSMS for all we know"
    assert [one.id for one in driver.excepted if one.reason is Reason.CSMS_AWAY] == ["c1"]
    driver.advance(60_000)
    assert driver.south_calls("Reset") == [[2, "c1", "Reset", {"type": "Soft"}]], "an aged Reset is never delivered"


def test_the_links_are_told_as_they_are_and_the_evse_is_not_offline() -> None:
    bench = away(Policy.ISLAND)
    station = bench.session.describe(bench.now)
    assert (station.south, station.north) == (LINK_STATE_UP, LINK_STATE_DOWN)
    assert bench.session.is_up
    bench.connect_csms()
    assert bench.session.describe(bench.now).north == LINK_STATE_UP


def test_a_start_that_is_answered_here_is_the_transaction_that_our_profiles_are_for() -> None:
    bench = away()
    given_id = ask(bench, "StartTransaction", {"connectorId": 1, "idTag": "A", "meterStart": 0, "timestamp": 1})
    assert bench.session.evses[0].memory.transaction_id == given_id["transactionId"]


def test_a_profile_of_the_csms_for_a_transaction_reaches_the_station_under_its_id() -> None:
    bench = away()
    learn(bench, "ANNA")
    tell(bench, "start")
    bench.settle()
    bench.connect_csms()
    bench.settle()
    real, provisional = bench.csms.next_id, bench.station.transaction_id
    schedule = {"chargingRateUnit": "A", "chargingSchedulePeriod": [{"startPeriod": 0, "limit": 9.0}]}
    profile: dict[str, Any] = {
        "chargingProfileId": 5,
        "transactionId": real,
        "stackLevel": 0,
        "chargingProfilePurpose": "TxProfile",
        "chargingProfileKind": "Relative",
        "chargingSchedule": schedule,
    }
    raw = frame.call("p", "SetChargingProfile", {"connectorId": 1, "csChargingProfiles": profile})
    bench.model.faults["SetChargingProfile"] = {"status": "Accepted"}
    bench.put(FrameIn(leg=Leg.NORTH, raw=raw))
    seen = [payload["csChargingProfiles"] for action, payload in bench.model.calls if action == "SetChargingProfile"]
    assert {**profile, "transactionId": provisional} in seen
    changed = [effect for effect in bench.excepted if effect.reason in (Reason.OTHER_ID, Reason.OTHER_ID_SENT)]
    assert [effect.raw for effect in changed if effect.id == "p"][:1] == [raw]
    assert len([effect for effect in changed if effect.id == "p"]) == 2


def test_strict_closes_the_station_with_its_csms() -> None:
    driver = Driver().connect()
    driver.put(LegDown(leg=Leg.NORTH))
    assert [close.leg for close in driver.closed] == [Leg.SOUTH]


def test_messages_left_from_store_reach_the_csms_in_policy_strict_too() -> None:
    bench = away()
    tell(bench, "start")
    bench.settle()
    bench.policy = Policy.STRICT
    bench.kill()
    assert not bench.session.is_up
    bench.csms_up = True
    bench.put(LegUp(leg=Leg.NORTH))
    bench.connect_station()
    bench.settle()
    assert [action for action, _ in bench.csms.booked] == ["StartTransaction"]
    assert bench.disk.messages == {}
