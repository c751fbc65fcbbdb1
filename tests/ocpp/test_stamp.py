"""Date-times of OCPP against the standard library."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ocpp_driver import QUICK

from dgm.ocpp import stamp

FIRST, LAST = datetime(1, 1, 2), datetime(9999, 12, 30)  # noqa: DTZ001 - hypothesis adds the time zone
MOMENTS = st.datetimes(min_value=FIRST, max_value=LAST, timezones=st.timezones())


@QUICK
@given(MOMENTS)
def test_a_stamp_with_any_offset_is_the_same_instant(moment: datetime) -> None:
    offset = moment.utcoffset()
    assert offset is not None
    if offset.total_seconds() % 60 == 0:
        expected = (moment - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds() * 1000
        assert stamp.parse(moment.isoformat()) == pytest.approx(expected, abs=1)


@QUICK
@given(st.integers(min_value=-60_000_000_000_000, max_value=250_000_000_000_000))
def test_text_and_parse_are_inverse_to_the_second(utc_ms: int) -> None:
    assert stamp.parse(stamp.text(utc_ms)) == utc_ms // 1000 * 1000


@pytest.mark.parametrize(
    ("text", "utc_ms"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("2024-02-29T12:00:00.5+02:00", 1_709_200_800_500),
        ("2024-02-29 12:00:00", 1_709_208_000_000),
        ("2026-01-01T00:00:00.123456789-0030", 1_767_227_400_123),
    ],
)
def test_known_stamps(text: str, utc_ms: int) -> None:
    assert stamp.parse(text) == utc_ms


@pytest.mark.parametrize(
    "text",
    ["", "now", "2023-02-29T00:00:00Z", "2024-13-01T00:00:00Z", "2024-01-01T24:00:00Z", "2024-01-01T00:00:60Z",
     "0000-01-01T00:00:00Z", "2024-01-01", "٢٠٢٤-01-01T00:00:00Z", None, 5, "2024-01-01T00:00:00+24:00"],
)  # fmt: skip
def test_what_is_no_date_time_is_none(text: object) -> None:
    assert stamp.parse(text) is None
