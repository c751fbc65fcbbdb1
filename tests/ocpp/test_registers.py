"""The facade's map: no overlap, sentinels, round trip, and caps that count only with their lease."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ocpp_driver import QUICK, Driver, ModelStation

from dgm.api.ems.v1.ems_pb2 import OutcomeState
from dgm.api.site.v1.site_pb2 import PlugState
from dgm.ocpp import registers
from dgm.ocpp.registers import (
    BLOCK,
    BLOCK_SIZE,
    CAP_MA,
    CAP_VALID_S,
    HEADER,
    READ_SIZE,
    UNIT,
    Cap,
    CapBook,
    block_address,
    decode,
    encode,
    locate,
)
from dgm.ocpp.service.facade import block_values


@pytest.mark.parametrize(("fields", "size"), [(HEADER, registers.HEADER_SIZE), (BLOCK, READ_SIZE)])
def test_fields_do_not_overlap_and_fit(fields: tuple[registers.Field, ...], size: int) -> None:
    ends = [(field.offset, field.offset + field.width.registers) for field in fields]
    assert all(end <= start for (_, end), (start, _) in itertools.pairwise(ends))
    assert ends[-1][1] == size


def test_the_written_values_stand_behind_the_read_ones_and_inside_the_block() -> None:
    assert CAP_MA.offset == READ_SIZE
    assert CAP_MA.offset + CAP_MA.width.registers == CAP_VALID_S.offset
    assert CAP_VALID_S.offset < BLOCK_SIZE


@QUICK
@given(st.data())
def test_a_block_reads_back_as_it_was_published(data: st.DataObject) -> None:
    values = {field.name: data.draw(st.none() | st.integers(*field.width.bounds), label=field.name) for field in BLOCK}
    assert decode(BLOCK, encode(BLOCK, values, READ_SIZE)) == values


@QUICK
@given(st.integers(-(10**12), 10**12))
def test_a_value_out_of_range_is_clamped_and_never_reads_as_unknown(value: int) -> None:
    found = decode(BLOCK, encode(BLOCK, {"power_w": value, "limit_ma": value}, READ_SIZE))
    assert found["power_w"] == max(-(2**31) + 1, min(2**31 - 1, value))
    assert found["limit_ma"] == max(0, min(2**32 - 2, value))


def test_what_is_not_known_is_a_sentinel_and_never_zero() -> None:
    words = encode(BLOCK, {}, READ_SIZE)
    assert words[2:4] == b"\xff\xff"
    assert words[32:36] == b"\x80\x00\x00\x00"
    assert set(decode(BLOCK, words).values()) == {None}


def test_words_are_big_endian_high_word_first() -> None:
    words = encode(HEADER, {"magic": registers.MAGIC, "version": 1}, registers.HEADER_SIZE)
    assert words[:6] == b"DGMO\x00\x01"


@QUICK
@given(st.integers(0, registers.MAX_EVSES - 1), st.integers(0, BLOCK_SIZE - 1))
def test_every_address_belongs_to_one_block(index: int, offset: int) -> None:
    assert locate(block_address(index) + offset) == (index, offset)
    assert block_address(index) + BLOCK_SIZE <= 65_536


@pytest.mark.parametrize("state", PlugState.values())
def test_every_plug_state_but_unknown_has_a_code(state: PlugState) -> None:
    code = registers.plug_code(state)
    assert code == (None if state == PlugState.PLUG_STATE_UNSPECIFIED else state - 1)


def test_a_cap_counts_only_with_its_lease() -> None:
    book = CapBook(2)
    base = block_address(1)
    assert book.take([(UNIT, base + CAP_MA.offset, 16_000, 0)]) == []
    taken = book.take([(UNIT, base + CAP_VALID_S.offset, 30, 100)])
    assert taken == [Cap(index=1, cap_ma=16_000, ttl_ms=29_900)]
    assert book.take([]) == []


def test_one_write_of_both_values_is_one_cap_and_either_renews() -> None:
    book = CapBook(1)
    both = [(UNIT, block_address(0) + CAP_MA.offset, 8_000, 5), (UNIT, block_address(0) + CAP_VALID_S.offset, 10, 5)]
    assert book.take(both) == [Cap(index=0, cap_ma=8_000, ttl_ms=9_995)]
    assert book.take(both[:1]) == [Cap(index=0, cap_ma=8_000, ttl_ms=9_995)]


def test_a_write_that_waited_longer_than_its_lease_is_not_taken() -> None:
    book = CapBook(1)
    book.take([(UNIT, block_address(0) + CAP_VALID_S.offset, 1, 0)])
    assert book.take([(UNIT, block_address(0) + CAP_MA.offset, 8_000, 1_000)]) == []


def test_a_session_fills_every_register_that_it_knows() -> None:
    driver = Driver(station=ModelStation()).connect()
    driver.status("Charging")
    driver.setpoint(16_000, 1)
    driver.meter(15.5)
    driver.mono_ms += 700
    values = block_values(driver.session, driver.session.evses[0], 4, driver.now, cap_ends_ms=driver.mono_ms + 9_000)
    assert set(values) == {field.name for field in BLOCK}
    found = decode(BLOCK, encode(BLOCK, values, READ_SIZE))
    assert (found["number"], found["plug_state"], found["links"]) == (5, 2, 0b111)
    assert (found["current_l1_ma"], found["limit_ma"], found["proved_ma"]) == (15_500, 16_000, 16_000)
    assert found["proved_by"] == registers.proved_code(OutcomeState.OUTCOME_STATE_CONFIRMED) == 2
    assert (found["cap_left_ms"], found["fallback_ma"], found["power_w"]) == (9_000, 6_000, None)
    driver.disconnect()
    values = block_values(driver.session, driver.session.evses[0], 4, driver.now, cap_ends_ms=0)
    assert (values["plug_state"], values["links"], values["cap_left_ms"]) == (9, 0b100, None)
