"""Forecasts: the sun where it stands, today's sky as measured, and the building as on like days."""

from __future__ import annotations

from math import asin, degrees

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dgm.ems.planner.clear_sky import DAY_MS, clear_sky_w_per_m2, sine_of_height
from dgm.ems.planner.forecast import (
    HOUR_MS,
    INDEX_USUAL,
    QUARTER_MS,
    Place,
    SunIndex,
    load_forecast,
    solar_forecast,
    solar_persistence,
    usual_w,
)

JUNE_SOLSTICE = 1_782_000_000_000 // DAY_MS * DAY_MS  # 21 June 2026, 0 h UTC
MARCH_EQUINOX = 1_774_000_000_000 // DAY_MS * DAY_MS  # 20 March 2026
BERLIN = Place(latitude_deg=52.5, longitude_deg=13.4)
RATED_W = 100_000


def highest(day: int, latitude_deg: float, longitude_deg: float = 0.0) -> tuple[float, int]:
    minutes = range(0, DAY_MS, 60_000)
    return max((sine_of_height(day + at, latitude_deg=latitude_deg, longitude_deg=longitude_deg), at) for at in minutes)


@pytest.mark.parametrize(
    ("day", "latitude_deg", "height_deg"),
    [
        (MARCH_EQUINOX, 0.0, 90.0),
        (JUNE_SOLSTICE, 52.5, 60.9),
        (JUNE_SOLSTICE, -33.9, 32.7),
        (MARCH_EQUINOX, 60.0, 30.0),
    ],
)
def test_the_noon_sun_stands_as_high_as_almanacs_say(day: int, latitude_deg: float, height_deg: float) -> None:
    assert degrees(asin(highest(day, latitude_deg)[0])) == pytest.approx(height_deg, abs=0.6)


def test_noon_comes_earlier_in_the_east_by_four_minutes_a_degree() -> None:
    at_zero, at_east = highest(MARCH_EQUINOX, 50.0)[1], highest(MARCH_EQUINOX, 50.0, 15.0)[1]
    assert at_zero - at_east == pytest.approx(HOUR_MS, abs=60_000)
    assert at_zero == pytest.approx(12 * HOUR_MS + 7.5 * 60_000, abs=120_000), "equation of time in March"


def test_the_clear_sky_is_dark_at_night_and_about_a_kilowatt_at_its_best() -> None:
    assert clear_sky_w_per_m2(JUNE_SOLSTICE, latitude_deg=52.5, longitude_deg=13.4) == 0
    noon = JUNE_SOLSTICE + 11 * HOUR_MS
    assert 850 < clear_sky_w_per_m2(noon, latitude_deg=52.5, longitude_deg=13.4) < 950


def test_pv_of_a_cloudy_day_is_forecast_from_what_it_gives_now_and_returns_to_the_usual() -> None:
    now = JUNE_SOLSTICE + 9 * HOUR_MS
    dull = SunIndex().seen(10_000, rated_w=RATED_W, utc_ms=now, place=BERLIN, curtailed=False)
    near, far = (solar_forecast(one, rated_w=RATED_W, utc_ms=now, place=BERLIN, steps=96) for one in (dull, SunIndex()))
    assert near[0] == pytest.approx(10_000, rel=0.1)
    assert near[0] < far[0] / 3
    assert near[95] == pytest.approx(far[95], rel=0.15)
    assert near[60] == 0, "it is night"


def test_curtailed_pv_is_no_sign_of_clouds_but_may_be_one_of_sun() -> None:
    now = JUNE_SOLSTICE + 11 * HOUR_MS
    usual = SunIndex()
    assert usual.seen(1_000, rated_w=RATED_W, utc_ms=now, place=BERLIN, curtailed=True) == usual
    bright = usual.seen(95_000, rated_w=RATED_W, utc_ms=now, place=BERLIN, curtailed=True)
    assert bright.today > usual.today
    assert bright.usual == INDEX_USUAL


def test_a_cloud_that_passes_is_no_weather_and_a_dull_hour_is() -> None:
    now = JUNE_SOLSTICE + 11 * HOUR_MS
    sunny = SunIndex().seen(80_000, rated_w=RATED_W, utc_ms=now, place=BERLIN, curtailed=False)
    passing = sunny.seen(10_000, rated_w=RATED_W, utc_ms=now + 5_000, place=BERLIN, curtailed=False)
    assert passing.today == pytest.approx(sunny.today, rel=0.02)
    for minute in range(1, 60):
        at_ms = now + minute * 60_000
        passing = passing.seen(10_000, rated_w=RATED_W, utc_ms=at_ms, place=BERLIN, curtailed=False)
    assert passing.today < 0.15
    assert passing.usual > 0.55


def test_dusk_teaches_nothing() -> None:
    dusk = JUNE_SOLSTICE + 2 * HOUR_MS + 40 * 60_000
    assert SunIndex().seen(50_000, rated_w=RATED_W, utc_ms=dusk, place=BERLIN, curtailed=False) == SunIndex()


@given(power_w=st.integers(0, 200_000), at=st.integers(0, 365 * 96))
def test_pv_is_never_forecast_beyond_its_rating_or_below_nothing(power_w: int, at: int) -> None:
    now = JUNE_SOLSTICE + at * QUARTER_MS
    index = SunIndex().seen(power_w, rated_w=RATED_W, utc_ms=now, place=BERLIN, curtailed=False)
    assert all(0 <= one <= RATED_W for one in solar_forecast(index, rated_w=RATED_W, utc_ms=now, place=BERLIN, steps=8))


MONDAY = 1_774_828_800_000  # 30 March 2026, 0 h UTC
NOON = MONDAY + 12 * HOUR_MS


def days(**loads: int) -> dict[int, int]:
    """Every quarter of the four weeks before: working days and weekends of their own load."""
    starts = range(MONDAY - 28 * DAY_MS, MONDAY, QUARTER_MS)
    return {at: loads["weekend"] if (at // DAY_MS + 3) % 7 >= 5 else loads["week"] for at in starts}


def test_the_usual_load_is_that_of_like_days() -> None:
    means = days(week=80_000, weekend=20_000)
    assert usual_w(means, NOON) == 80_000
    assert usual_w(means, NOON + 5 * DAY_MS) == 20_000


def test_without_like_days_any_day_serves_and_without_any_the_load_now() -> None:
    assert usual_w({NOON - DAY_MS: 20_000}, NOON) == 20_000
    assert usual_w({}, NOON) is None
    assert load_forecast({}, utc_ms=NOON, now_w=7_000, steps=3) == (7_000, 7_000, 7_000)
    assert load_forecast({}, utc_ms=NOON, now_w=None, steps=2) == (0, 0)


def test_what_is_unusual_now_fades_within_hours() -> None:
    forecast = load_forecast(days(week=80_000, weekend=20_000), utc_ms=NOON, now_w=100_000, steps=33)
    assert forecast[0] == 100_000
    assert forecast[4] == pytest.approx(80_000 + 20_000 / 2.718, abs=10)
    assert forecast[32] == pytest.approx(80_000, abs=20)


def test_a_load_is_never_forecast_negative() -> None:
    assert min(load_forecast(days(week=5_000, weekend=0), utc_ms=NOON, now_w=0, steps=8)) >= 0


def test_pv_without_a_place_repeats_the_last_days() -> None:
    means = {NOON - DAY_MS: 30_000, NOON - 2 * DAY_MS: 10_000}
    assert solar_persistence(means, utc_ms=NOON, steps=2) == (20_000, 0)
