"""DER control of a V2X station, seen on copies: what it offers, what its CPO set, what runs, what alarms."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ocpp.messages import get_validator
from ocpp_driver import UTC_MS
from test_session_2x import connected

from dgm.api.site.v1 import site_pb2
from dgm.ocpp import stamp
from dgm.ocpp.der_control import FAULTS, TYPES, DerBook, from_bytes
from dgm.ocpp.messages import der_message
from dgm.ocpp.version import Version
from dgm.ocpp.witness import KEEP_DER

ACCEPTED = {"status": "Accepted"}
STORED, ACTIVE = site_pb2.DER_CONTROL_STATE_STORED, site_pb2.DER_CONTROL_STATE_ACTIVE
SUPERSEDED, ENDED = site_pb2.DER_CONTROL_STATE_SUPERSEDED, site_pb2.DER_CONTROL_STATE_ENDED
NOW = stamp.text(UTC_MS)


def cap(control_id: str, percent: float = 50, *, start_s: int | None = 60, priority: int = 1) -> dict[str, Any]:
    """A SetDERControl that limits the discharge."""
    body: dict[str, Any] = {"priority": priority, "pctMaxDischargePower": percent}
    if start_s is not None:
        body |= {"startTime": stamp.text(UTC_MS + start_s * 1000), "duration": 6000}
    found = {"isDefault": start_s is None, "controlId": control_id, "controlType": "LimitMaxDischarge"}
    return {**found, "limitMaxDischarge": body}


def set_(book: DerBook, body: dict[str, Any], **answer: Any) -> bool:
    get_validator(2, "SetDERControl", "2.1").validate(body)
    book.asked("SetDERControl", "c", body)
    return book.answered("c", {**ACCEPTED, **answer}, UTC_MS)


def states(book: DerBook) -> dict[str, int]:
    return {control.id: control.state for control in book.of(1).controls}


def test_every_word_of_the_schemas_has_its_value() -> None:
    schema = get_validator(2, "NotifyDERAlarm", "2.1").schema["definitions"]
    assert set(TYPES) == set(schema["DERControlEnumType"]["enum"])
    assert set(FAULTS) == set(schema["GridEventFaultEnumType"]["enum"])
    assert sorted(TYPES.values()) == list(range(1, 23))
    assert site_pb2.DerControlType.Name(TYPES["FixedPFInject"]) == "DER_CONTROL_TYPE_FIXED_PF_INJECT"


def test_a_control_is_there_once_the_station_took_it_and_the_superseded_ones_are_marked() -> None:
    book = DerBook()
    book.asked("SetDERControl", "c1", cap("a"))
    assert not book.answered("c1", {"status": "NotSupported"}, UTC_MS)
    assert book.is_empty
    assert set_(book, cap("a", 50))
    assert set_(book, cap("b", 33.3, priority=0), supersededIds=["a"])
    assert states(book) == {"a": SUPERSEDED, "b": STORED}
    [_, control] = book.of(1).controls
    assert (control.priority, control.discharge_max_permille, control.duration_ms) == (0, 333, 6_000_000)
    assert control.start_utc_ms == UTC_MS + 60_000
    assert not control.is_default


def test_start_stop_and_the_end_of_its_time_are_followed() -> None:
    book = DerBook()
    set_(book, cap("a"))
    set_(book, cap("b"))
    body = {"controlId": "b", "started": True, "timestamp": NOW, "supersededIds": ["a"]}
    get_validator(2, "NotifyDERStartStop", "2.1").validate(body)
    assert book.told("NotifyDERStartStop", body, UTC_MS)
    assert states(book) == {"a": SUPERSEDED, "b": ACTIVE}
    after = UTC_MS + 6_061_000
    assert book.told("NotifyDERStartStop", {"controlId": "b", "started": False, "timestamp": NOW}, after)
    assert states(book) == {"a": ENDED, "b": ENDED}
    assert book.told("NotifyDERAlarm", {"controlType": "VoltVar", "timestamp": NOW}, after)
    assert states(book) == {}, "the station has deleted them (R04.FR.10)"


def test_a_report_tells_all_kinds_and_does_not_undo_that_one_runs() -> None:
    curve = {"curveData": [{"x": 1, "y": 1}], "priority": 2, "yUnit": "PctMaxW"}
    report = {
        "requestId": 1,
        "curve": [{"id": "k", "curveType": "VoltVar", "isDefault": True, "isSuperseded": False, "curve": curve}],
        "gradient": [{"id": "g", "gradient": {"priority": 0, "gradient": 1, "softGradient": 1}}],
        "limitMaxDischarge": [
            {"id": "a", "isDefault": False, "isSuperseded": False, "limitMaxDischarge": {"priority": 1}},
            {"id": "z", "isDefault": False, "isSuperseded": True, "limitMaxDischarge": {"priority": 9}},
        ],
    }
    get_validator(2, "ReportDERControl", "2.1").validate(report)
    book = DerBook()
    set_(book, cap("a"))
    book.told("NotifyDERStartStop", {"controlId": "a", "started": True, "timestamp": NOW}, UTC_MS)
    assert book.told("ReportDERControl", report, UTC_MS)
    assert states(book) == {"a": ACTIVE, "k": STORED, "g": STORED, "z": SUPERSEDED}
    assert {control.id for control in book.of(1).controls if control.is_default} == {"k", "g"}
    assert not book.told("ReportDERControl", report, UTC_MS), "nothing new"


@pytest.mark.parametrize(
    ("clear", "left"),
    [
        ({"isDefault": False}, {"d"}),
        ({"isDefault": True}, {"a", "b"}),
        ({"isDefault": False, "controlId": "a"}, {"b", "d"}),
        ({"isDefault": False, "controlType": "VoltVar"}, {"a", "b", "d"}),
    ],
)
def test_a_clear_takes_what_it_names(clear: dict[str, Any], left: set[str]) -> None:
    book = DerBook()
    for body in (cap("a"), cap("b"), cap("d", start_s=None)):
        set_(book, body)
    get_validator(2, "ClearDERControl", "2.1").validate(clear)
    book.asked("ClearDERControl", "c", clear)
    book.answered("c", ACCEPTED, UTC_MS)
    assert set(states(book)) == left


def test_an_alarm_stands_until_it_ends_and_says_what_is_wrong() -> None:
    book = DerBook()
    alarm = {"controlType": "HVMustTrip", "gridEventFault": "OverVoltage", "timestamp": NOW}
    get_validator(2, "NotifyDERAlarm", "2.1").validate(alarm)
    assert book.told("NotifyDERAlarm", alarm, UTC_MS + 5)
    [found] = book.of(1).alarms
    assert (found.fault, found.at_utc_ms) == (site_pb2.GRID_FAULT_OVER_VOLTAGE, UTC_MS)
    assert book.told("NotifyDERAlarm", {**alarm, "alarmEnded": True}, UTC_MS + 9)
    assert book.of(1).alarms == ()


def test_the_session_passes_every_frame_on_and_tells_the_site_the_whole_picture() -> None:
    driver = connected(Version.V21, short_cut=True)
    modes = {
        "component": {"name": "ACDERCtrlr", "evse": {"id": 1}},
        "variable": {"name": "ModesSupported"},
        "variableAttribute": [{"value": "LimitMaxDischarge, VoltVar,New"}],
    }
    report = {"requestId": 1, "seqNo": 0, "generatedAt": NOW, "reportData": [modes]}
    driver.station_call("NotifyReport", report)
    driver.csms_call("SetDERControl", cap("a"), "c1")
    started = {"controlId": "a", "started": True, "timestamp": NOW}
    driver.station_call("NotifyDERStartStop", started, "s2")
    driver.station_call("NotifyDERAlarm", {"controlType": "VoltVar", "timestamp": NOW}, "s3")
    assert json.dumps([2, "s2", "NotifyDERStartStop", started]).encode() in driver.north, "passed on as it is"
    assert driver.south_calls("SetDERControl") == [[2, "c1", "SetDERControl", cap("a")]]
    message = der_message(driver.ders[-1])
    assert message.asset_id == "evse-1"
    assert list(message.types) == [site_pb2.DER_CONTROL_TYPE_LIMIT_MAX_DISCHARGE, site_pb2.DER_CONTROL_TYPE_VOLT_VAR]
    assert [(one.id, one.state) for one in message.controls] == [("a", ACTIVE)]
    assert len(message.alarms) == 1
    assert from_bytes(driver.stored[KEEP_DER]).of(1) == driver.ders[-1].der
    assert driver.ders[-1] in driver.session.standing(driver.now), "a restarted ems is told"


_KEYS = [
    "controlId",
    "id",
    "controlType",
    "curve",
    "limitMaxDischarge",
    "priority",
    "isDefault",
    "supersededIds",
    "status",
]
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(_KEYS), inner, max_size=4),
    max_leaves=12,
)


@given(
    st.sampled_from(["ReportDERControl", "NotifyDERAlarm", "NotifyDERStartStop"]),
    st.dictionaries(st.sampled_from(_KEYS), json_values, max_size=6),
)
def test_whatever_a_station_says_the_book_stays_bounded_and_can_be_kept(action: str, payload: dict[str, Any]) -> None:
    book = DerBook()
    book.told(action, payload, UTC_MS)
    book.asked("SetDERControl", "c", payload)
    book.answered("c", {**payload, "status": "Accepted"}, UTC_MS)
    assert from_bytes(book.to_bytes()).of(1) == book.of(1)


@pytest.mark.parametrize("raw", [b"", b"1", b"{}", b'{"controls":[{}],"alarms":[],"types":{}}'])
def test_a_kept_book_that_cannot_be_read_is_an_empty_one(raw: bytes) -> None:
    assert from_bytes(raw).is_empty
