"""The simulated station of 2.0.1 and 2.1: what it says keeps to the published schemas, and tells a charging session."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest
from ocpp.messages import get_validator

from dgm.machine import Now, Tick
from dgm.sim.car import CarSpec
from dgm.sim.connector import ConnectorPlan
from dgm.sim.station import Connected, Disconnected, Plug, Received, Send, StationPlan, Unplug
from dgm.sim.station_2x import Station2x

VERSIONS = ["ocpp2.0.1", "ocpp2.1"]
UTC_MS = 1_793_000_000_000


class Bench:
    """A station and a backend that accepts everything; every CALL and answer is held against its schema."""

    def __init__(self, version: str) -> None:
        connector = ConnectorPlan(connector_id=1, current_max_ma=32_000, phases=3)
        plan = StationPlan(
            id="CP-1",
            vendor="V",
            model="M",
            connectors=(connector,),
            dialect=1,
            voltage_mv=230_000,
            meter_interval_s=10,
            subprotocol=version,
        )
        self.version = version
        self.station = Station2x(plan, random.Random(1), version)
        self.mono_ms = 1_000
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.answers: dict[str, dict[str, Any]] = {}

    def put(self, event: Any) -> None:
        now = Now(mono_ms=self.mono_ms, utc_ms=UTC_MS + self.mono_ms)
        for effect in self.station.handle(event, now):
            if isinstance(effect, Send):
                self._said(json.loads(effect.text))

    def _said(self, frame: list[Any]) -> None:
        version = self.version.removeprefix("ocpp")
        match frame:
            case [2, message_id, action, payload]:
                get_validator(2, action, version).validate(payload)
                self.calls.append((action, payload))
                answer: dict[str, Any] = {}
                if action == "BootNotification":
                    answer = {"status": "Accepted", "interval": 20, "currentTime": "2026-01-01T00:00:00Z"}
                elif action == "Authorize" or "idToken" in payload:
                    answer = {"idTokenInfo": {"status": "Accepted"}}
                self.put(Received(json.dumps([3, message_id, answer])))
            case [3, message_id, payload]:
                self.answers[message_id] = payload
            case [6, _, action, _]:
                self.calls.append((action, {}))

    def ask(self, action: str, payload: dict[str, Any]) -> dict[str, Any]:
        get_validator(2, action, self.version.removeprefix("ocpp")).validate(payload)
        message_id = f"c{self.mono_ms}-{len(self.answers)}"
        self.put(Received(json.dumps([2, message_id, action, payload])))
        found = self.answers[message_id]
        get_validator(3, action, self.version.removeprefix("ocpp")).validate(found)
        return found

    def advance(self, seconds: int) -> None:
        for _ in range(seconds * 10):
            self.mono_ms += 100
            self.put(Tick())

    def events(self) -> list[dict[str, Any]]:
        return [payload for action, payload in self.calls if action == "TransactionEvent"]


def charging(version: str) -> Bench:
    bench = Bench(version)
    bench.put(Connected())
    car = CarSpec(id_tag="TAG-é", phases=3, current_max_ma=16_000, need_wh=20_000, delay_ms=1000, ramp_ma_per_s=9000)
    bench.put(Plug(connector_id=1, car=car))
    bench.advance(30)
    return bench


@pytest.mark.parametrize("version", VERSIONS)
def test_a_session_is_told_by_transaction_events_in_order(version: str) -> None:
    bench = charging(version)
    bench.put(Unplug(connector_id=1))
    bench.advance(2)
    events = bench.events()
    assert [event["seqNo"] for event in events] == list(range(len(events)))
    assert (events[0]["eventType"], events[-1]["eventType"]) == ("Started", "Ended")
    assert "Charging" in [event["transactionInfo"].get("chargingState") for event in events]
    assert any("meterValue" in event for event in events)
    statuses = [payload["connectorStatus"] for action, payload in bench.calls if action == "StatusNotification"]
    assert statuses == ["Available", "Occupied", "Available"]


@pytest.mark.parametrize("version", VERSIONS)
def test_it_keeps_to_a_profile_and_shows_it(version: str) -> None:
    bench = charging(version)
    schedule = {"id": 1, "chargingRateUnit": "A", "chargingSchedulePeriod": [{"startPeriod": 0, "limit": 8.0}]}
    profile = {
        "id": 3,
        "stackLevel": 1,
        "chargingProfilePurpose": "ChargingStationMaxProfile",
        "chargingProfileKind": "Absolute",
        "chargingSchedule": [{**schedule, "startSchedule": "2026-01-01T00:00:00Z"}],
    }
    assert bench.ask("SetChargingProfile", {"evseId": 0, "chargingProfile": profile}) == {"status": "Accepted"}
    bench.advance(5)
    assert bench.station.connectors[1].current_ma == 8_000
    shown = bench.ask("GetCompositeSchedule", {"evseId": 0, "duration": 60})
    assert shown["schedule"]["chargingSchedulePeriod"][0]["limit"] == 8.0
    assert bench.ask("ClearChargingProfile", {"chargingProfileId": 3}) == {"status": "Accepted"}


@pytest.mark.parametrize("version", VERSIONS)
def test_triggers_are_answered_in_words_of_the_version(version: str) -> None:
    bench = charging(version)
    for wanted, sent in (("MeterValues", "MeterValues"), ("TransactionEvent", "TransactionEvent")):
        bench.calls.clear()
        assert bench.ask("TriggerMessage", {"requestedMessage": wanted, "evse": {"id": 1}}) == {"status": "Accepted"}
        assert sent in [action for action, _ in bench.calls]
    bench.calls.clear()
    bench.ask("TriggerMessage", {"requestedMessage": "StatusNotification", "evse": {"id": 1, "connectorId": 1}})
    assert ("StatusNotification", "Occupied") in [(a, p.get("connectorStatus")) for a, p in bench.calls]
    assert bench.ask("GetVariables", {"getVariableData": [_variable("HeartbeatInterval"), _variable("X")]})


def _variable(name: str) -> dict[str, Any]:
    return {"component": {"name": "OCPPCommCtrlr"}, "variable": {"name": name}}


def test_what_happened_offline_says_so_and_is_told_once() -> None:
    bench = charging("ocpp2.0.1")
    bench.put(Disconnected())
    bench.mono_ms += 1000
    bench.put(Unplug(connector_id=1))
    before = len(bench.events())
    bench.mono_ms += 5000
    bench.put(Connected())
    bench.advance(3)
    told = bench.events()[before:]
    assert [(event["eventType"], event.get("offline")) for event in told] == [("Ended", True)]


def test_only_2_1_sends_event_streams() -> None:
    for version, expected in (("ocpp2.0.1", False), ("ocpp2.1", True)):
        bench = charging(version)
        assert ("NotifyPeriodicEventStream" in [action for action, _ in bench.calls]) is expected
