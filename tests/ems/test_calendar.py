"""Local time, windows in it, and the history of quarter hours."""

from __future__ import annotations

from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dgm.ems.calendar import day_of, local_at, utc_offset
from dgm.ems.history import GAP_MS_MAX, KEPT_MS, QUARTER_MS, History
from dgm.ems.policies.windows import dated, priced, window
from dgm.zone import is_known, offset_of

BERLIN = offset_of("Europe/Berlin")
INSTANTS = st.integers(0, 4_102_444_800_000)


@given(INSTANTS)
def test_local_time_is_that_of_the_standard_library(utc_ms: int) -> None:
    local = local_at(utc_ms, BERLIN)
    told = datetime.fromtimestamp(utc_ms // 1000, UTC).astimezone(ZoneInfo("Europe/Berlin"))
    assert local.weekday == told.weekday()
    assert local.minute == told.hour * 60 + told.minute
    assert local.month == told.year * 12 + told.month - 1
    assert local.day == told.date().toordinal() - date(1970, 1, 1).toordinal()
    assert day_of(told.year, told.month, told.day) == local.day


def test_a_zone_is_known_or_not() -> None:
    assert is_known("UTC")
    assert is_known("Europe/Berlin")
    assert not is_known("Europe/Atlantis")
    assert not is_known("../etc/passwd")


def local(text: str) -> object:
    return local_at(int(datetime.fromisoformat(text + "+00:00").timestamp() * 1000), utc_offset)


@pytest.mark.parametrize(
    ("text", "inside", "outside"),
    [
        ("Mo-Fr 07:00-22:00", ["2026-01-05T07:00", "2026-01-09T21:59"], ["2026-01-05T06:59", "2026-01-10T12:00"]),
        ("daily 22:00-06:00", ["2026-01-10T22:00", "2026-01-11T05:59"], ["2026-01-10T21:59", "2026-01-11T06:00"]),
        ("Sa 22:00-06:00", ["2026-01-10T23:00", "2026-01-11T05:00"], ["2026-01-10T05:00", "2026-01-11T23:00"]),
        ("Sa-Mo 00:00-24:00", ["2026-01-10T00:00", "2026-01-12T23:59"], ["2026-01-13T00:00"]),
    ],
)
def test_a_window_holds_at_its_times(text: str, inside: list[str], outside: list[str]) -> None:
    found = window(text)
    assert all(found.holds(local(one)) for one in inside)  # type: ignore[arg-type]
    assert not any(found.holds(local(one)) for one in outside)  # type: ignore[arg-type]
    assert str(found) == text


@pytest.mark.parametrize(
    "text", ["", "Mo 7:00-8:00", "Xx 07:00-08:00", "Mo 25:00-26:00", "Mo 07:00-07:00", "Mo 07:00-08:00 5", "Mo 07:61-8"]
)
def test_what_is_no_window_is_refused(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011
        window(text)


def test_a_priced_window_has_its_price_and_a_dated_span_its_power() -> None:
    assert priced("daily 00:00-24:00 -5").value == -5
    found = dated("2026-01-15 16:00-18:00 150000")
    assert found.value == 150_000
    assert found.holds(local("2026-01-15T17:59"))  # type: ignore[arg-type]
    for wrong in ("2026-01-15 18:00-16:00 1", "2026-13-15 16:00-18:00 1", "2026-01-15 16:00-18:00 0"):
        with pytest.raises(ValueError):  # noqa: PT011
            dated(wrong)


def test_a_quarter_that_was_seen_leaves_its_mean() -> None:
    history, closed = History(), []
    for second in range(0, 1801):
        history, start = history.take(1000 if second <= 900 else 3000, second * 1000)
        closed += [] if start is None else [start]
    assert closed == [0, QUARTER_MS]
    assert history.means_w[0] == 1000
    assert history.means_w[QUARTER_MS] == pytest.approx(3000, rel=0.01)


def test_a_quarter_that_was_hardly_seen_leaves_none() -> None:
    history = History()
    for second in range(0, 901):
        history, closed = history.take(1000 if second < 400 else None, second * 1000)
    assert closed is None
    assert not history.means_w


def test_a_gap_between_looks_counts_as_not_seen() -> None:
    history, _ = History().take(1000, 0)
    history, _ = history.take(1000, GAP_MS_MAX + 1)
    assert history.seen_ms == 0
    assert history.open_mean_w is None


def test_what_is_too_old_is_named_and_can_be_dropped() -> None:
    history = History().with_mean(0, 5).with_mean(KEPT_MS, 6)
    assert history.outdated(KEPT_MS + 1) == [0]
    assert history.without([0]).means_w == {KEPT_MS: 6}
