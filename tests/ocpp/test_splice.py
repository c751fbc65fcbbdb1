"""A value is replaced inside a frame; every other byte stays."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dgm.ocpp import splice

START = b'[2, "17" ,"StopTransaction",{ "meterStop":5.00, "transactionId" : 42 ,"x":{"transactionId":7}} ]'

VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**15), 10**15) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=12,
)


def test_the_integer_of_the_payload_is_replaced_and_nothing_else() -> None:
    changed = splice.with_integer(START, (3, "transactionId"), -2_000_000_001)
    assert changed == START.replace(b" 42 ", b" -2000000001 ")
    assert splice.integer_at(START, (3, "x", "transactionId")) == 7


def test_the_id_of_the_head_is_replaced_and_nothing_else() -> None:
    changed = splice.with_id(START, 'a"b')
    assert changed == START.replace(b'"17"', b'"a\\"b"')


@pytest.mark.parametrize("value", ['"42"', "4.2", "null", "[42]", "true", "00", "1e3"])
def test_what_is_no_integer_is_left_alone(value: str) -> None:
    raw = f'[2,"1","StopTransaction",{{"transactionId":{value}}}]'.encode()
    assert splice.with_integer(raw, (3, "transactionId"), 1) is None
    assert splice.integer_at(raw, (3, "transactionId")) is None


def test_a_name_given_twice_counts_as_every_decoder_reads_it() -> None:
    raw = b'[2,"1","X",{"transactionId":1,"a":{"transactionId":9},"transactionId":2}]'
    assert splice.integer_at(raw, (3, "transactionId")) == json.loads(raw)[3]["transactionId"] == 2


def test_an_escaped_name_is_the_name() -> None:
    raw = b'[2,"1","X",{"transaction\\u0049d":5,"s":"}]\\"{"}]'
    assert splice.integer_at(raw, (3, "transactionId")) == 5


@pytest.mark.parametrize("raw", [b"", b"[", b"[2", b'[2,"1","X",{"a":', b"[" * 5000, b'[2,"1","X",{"a":"\\'])
def test_broken_or_hostile_bytes_give_nothing(raw: bytes) -> None:
    assert splice.find(raw, (3, "a")) is None


@given(payload=st.dictionaries(st.text(max_size=6), VALUES, max_size=5), number=st.integers(-(10**15), 10**15))
def test_it_finds_what_a_decoder_finds(payload: dict[str, Any], number: int) -> None:
    payload = {**payload, "transactionId": number}
    for separators in ((",", ":"), (" , ", " :\n")):
        raw = json.dumps([2, "id", "Action", payload], separators=separators).encode()
        assert splice.integer_at(raw, (3, "transactionId")) == number
        changed = splice.with_integer(raw, (3, "transactionId"), 1)
        assert changed is not None
        assert json.loads(changed) == [2, "id", "Action", {**payload, "transactionId": 1}]
        for name, value in payload.items():
            place = splice.find(raw, (3, name))
            assert place is not None
            assert json.loads(raw[place.start : place.end]) == value


@given(raw=st.binary(max_size=80))
def test_any_bytes_are_borne(raw: bytes) -> None:
    place = splice.find(raw, (3, "a", 0))
    assert place is None or 0 <= place.start <= place.end <= len(raw)
