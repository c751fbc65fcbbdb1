"""The scan of a frame's head: equal to a full JSON decode where that succeeds, Unreadable for everything hostile."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ocpp_driver import QUICK

from dgm.ocpp import frame
from dgm.ocpp.frame import MAX_FRAME_BYTES, Head, Kind, Unreadable, scan

TEXT = st.text(max_size=40)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=8,
)
SPACE = st.text(alphabet=" \t\r\n", max_size=3)


@st.composite
def written(draw: Any, items: list[Any]) -> bytes:
    """A JSON array of these items with any white space and any escaping."""
    parts = []
    for item in items:
        text = json.dumps(item, ensure_ascii=draw(st.booleans()))
        if isinstance(item, str) and item and draw(st.booleans()):
            code = ord(item[0])
            if code < 0x10000:
                text = f'"\\u{code:04x}' + json.dumps(item[1:], ensure_ascii=True)[1:]
        parts.append(draw(SPACE) + text + draw(SPACE))
    return (draw(SPACE) + "[" + ",".join(parts) + "]" + draw(SPACE)).encode()


@QUICK
@given(st.data())
def test_the_scan_agrees_with_a_full_decode(data: st.DataObject) -> None:
    clean = st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=36)
    kind = data.draw(st.sampled_from([2, 3, 4, 5, 6]))
    items = [kind, data.draw(clean)]
    items += [data.draw(clean)] if kind in (2, 6) else []
    items += data.draw(st.lists(JSON, min_size=1, max_size=3))
    raw = data.draw(written(items))
    oracle = json.loads(raw)
    head = scan(raw)
    assert head == Head(kind=Kind(oracle[0]), id=oracle[1], action=oracle[2] if kind in (2, 6) else "")


@QUICK
@given(JSON)
def test_json_that_is_no_frame_is_unreadable_and_never_raises(value: Any) -> None:
    raw = json.dumps(value).encode()
    is_frame = isinstance(value, list) and len(value) >= 3 and value[0] in (2, 3, 4, 5, 6) and isinstance(value[1], str)
    assert is_frame or isinstance(scan(raw), Unreadable)


@QUICK
@given(st.binary(max_size=200))
def test_any_bytes_are_scanned_without_raising(raw: bytes) -> None:
    assert isinstance(scan(raw), Head | Unreadable)


@QUICK
@given(st.binary(max_size=60))
def test_any_bytes_behind_a_head_never_raise_in_the_payload(tail: bytes) -> None:
    raw = b'[2,"1","A",' + tail
    assert frame.payload_of(raw) is None or isinstance(frame.payload_of(raw), dict)
    assert len(frame.error_text(b'[4,"1",' + tail)) <= 80


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"", "head"),
        (b"hello", "head"),
        (b'{"a":1}', "head"),
        (b'[2,"1","Heartbeat",{}', "tail"),
        (b'[2,"1","Heartbeat"]', "head"),
        (b'[2,1,"Heartbeat",{}]', "head"),
        (b'[7,"1",{}]', "head"),
        (b'[22,"1","A",{}]', "head"),
        (b'[2.0,"1","A",{}]', "head"),
        (b'[2,"1\n","A",{}]', "head"),
        (b'[2,"\\q","A",{}]', "head"),
        (b'[3,"1"]', "head"),
        (b'[3,"1",{"a":"\xff"}]', "encoding"),
        (b'[2,"' + b"x" * 600 + b'","A",{}]', "head"),
        (b'[2,"1","' + b"x" * 600 + b'",{}]', "head"),
        (b'[2,"1","A",{"x":"' + b"y" * MAX_FRAME_BYTES + b'"}]', "oversize"),
    ],
)
def test_what_is_not_ocpp_1_6_is_unreadable_with_its_reason(raw: bytes, reason: str) -> None:
    assert scan(raw) == Unreadable(reason=reason)


def test_a_long_string_of_escapes_is_scanned_in_linear_time() -> None:
    assert scan(b'[2,"' + b"\\\\" * 100_000) == Unreadable(reason="head")
    assert scan(b"[" + b" " * 200_000) == Unreadable(reason="head")


@pytest.mark.parametrize(
    "payload",
    [b"{" * 100_000, b'{"a":' + b"[" * 60_000, b'{"a":NaN}', b'{"a":1e', b"[]", b"null", b'{"a":' + b"9" * 5000 + b"}"],
)
def test_a_hostile_payload_reads_as_none(payload: bytes) -> None:
    assert frame.payload_of(b'[2,"1","MeterValues",' + payload + b"]") is None


def test_frames_of_ours_read_back_as_they_were_meant() -> None:
    assert json.loads(frame.call('a"ü', "Act", {"x": 6.5})) == [2, 'a"ü', "Act", {"x": 6.5}]
    assert json.loads(frame.result("a", {})) == [3, "a", {}]
    assert json.loads(frame.error("a", code="GenericError", description="no")) == [4, "a", "GenericError", "no", {}]
    assert frame.payload_of(frame.result("a", {"status": "Accepted"})) == {"status": "Accepted"}
    assert frame.error_text(b'[4,"a","NotSupported","no profiles",{}]') == "NotSupported: no profiles"
