"""The site's time of day, week and month, without a clock and without a time zone database.

    UTC ms + offset of the zone (injected) ──local_at──> Local: day, weekday, minute, month

Tariffs and demand charges are written in local time; everything else in the EMS is UTC or monotonic.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

MINUTE_MS = 60_000
DAY_MINUTES = 1440
DAY_MS = DAY_MINUTES * MINUTE_MS
DAYS_PER_ERA = 146_097
"""Days of 400 years of the Gregorian calendar."""

Offset = Callable[[int], int]
"""UTC ms -> ms by which local time is ahead of UTC then."""


def utc_offset(utc_ms: int) -> int:
    """The offset of a site that keeps UTC."""
    del utc_ms
    return 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Local:
    """One instant in local time. day: since 1970-01-01. weekday: 0 Monday. minute: of the day.

    month: 12 x year + 0..11.
    """

    day: int
    weekday: int
    minute: int
    month: int


def local_at(utc_ms: int, offset: Offset) -> Local:
    """The local time at an instant."""
    local_ms = utc_ms + offset(utc_ms)
    day = local_ms // DAY_MS
    return Local(
        day=day, weekday=(day + 3) % 7, minute=local_ms % DAY_MS // MINUTE_MS, month=_month(day)
    )  # 1970-01-01 was a Thursday


def _month(day: int) -> int:
    """Gregorian month of a day: years counted from March, so that a leap day is the last of its year."""
    era, of_era = divmod(day + 719_468, DAYS_PER_ERA)
    year = (of_era - of_era // 1460 + of_era // 36_524 - of_era // 146_096) // 365
    of_year = of_era - (365 * year + year // 4 - year // 100)
    march_month = (5 * of_year + 2) // 153
    month = march_month + 3 if march_month < 10 else march_month - 9
    return 12 * (era * 400 + year + (month <= 2)) + month - 1


def day_of(year: int, month: int, day: int) -> int:
    """Days from 1970-01-01 to a day of the Gregorian calendar."""
    of_march = year - (month <= 2)
    era, of_era = divmod(of_march, 400)
    of_year = (153 * (month - 3 if month > 2 else month + 9) + 2) // 5 + day - 1
    return era * DAYS_PER_ERA + of_era * 365 + of_era // 4 - of_era // 100 + of_year - 719_468
