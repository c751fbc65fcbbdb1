"""Times of OCPP as text: ISO 8601 with offset to UTC milliseconds and back.

Pure integer arithmetic on the proleptic Gregorian calendar. Holds no clock; leap seconds (":60") are refused.
"""

from __future__ import annotations

import re
from functools import lru_cache

DAY_MS = 86_400_000

_STAMP = re.compile(r"(\d{4}-\d\d-\d\d)[Tt ](\d\d):(\d\d):(\d\d)(?:[.,](\d{1,9}))?(Z|z|[+-]\d\d:?\d\d)?", re.ASCII)
_MONTH_DAYS = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)


def parse(text: object) -> int | None:
    """UTC ms of a date-time; without an offset it is taken as UTC. None: not a date-time."""
    match = _STAMP.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        return None
    date, hour_text, minute_text, second_text, fraction, zone = match.groups()
    days, hour, minute, second = _days(date), int(hour_text), int(minute_text), int(second_text)
    offset_minutes = _offset_minutes(zone)
    if days is None or offset_minutes is None or hour > 23 or minute > 59 or second > 59:
        return None
    fraction_ms = int(fraction.ljust(3, "0")[:3]) if fraction else 0
    return ((days * 1440 + hour * 60 + minute - offset_minutes) * 60 + second) * 1000 + fraction_ms


@lru_cache(maxsize=16)
def _days(date: str) -> int | None:
    """Days since 1970-01-01; None: no such day. Readings of a site are nearly all of the same one or two days."""
    year, month, day = int(date[:4]), int(date[5:7]), int(date[8:])
    if year == 0 or not 1 <= month <= 12 or not 1 <= day <= _days_in(year, month):
        return None
    return _days_from_civil(year, month, day)


def text(utc_ms: int) -> str:
    """Whole seconds with Z, rounded down: some stations refuse fractions."""
    days, in_day = divmod(utc_ms // 1000, 86_400)
    year, month, day = _civil_from_days(days)
    return f"{year:04}-{month:02}-{day:02}T{in_day // 3600:02}:{in_day // 60 % 60:02}:{in_day % 60:02}Z"


def _offset_minutes(zone: str | None) -> int | None:
    if zone is None or zone in "Zz":
        return 0
    hours, minutes = int(zone[1:3]), int(zone[-2:])
    if hours > 23 or minutes > 59:
        return None
    return (hours * 60 + minutes) * (-1 if zone[0] == "-" else 1)


def _days_in(year: int, month: int) -> int:
    leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    return 29 if month == 2 and leap else _MONTH_DAYS[month - 1]


def _days_from_civil(year: int, month: int, day: int) -> int:
    # Years begin in March here, so that the leap day is the last day of its year; day 0 is 1970-01-01.
    year -= month <= 2
    era, year_of_era = divmod(year, 400)
    day_of_year = (153 * ((month + 9) % 12) + 2) // 5 + day - 1
    return era * 146_097 + year_of_era * 365 + year_of_era // 4 - year_of_era // 100 + day_of_year - 719_468


def _civil_from_days(days: int) -> tuple[int, int, int]:
    era, day_of_era = divmod(days + 719_468, 146_097)
    year_of_era = (day_of_era - day_of_era // 1460 + day_of_era // 36_524 - day_of_era // 146_096) // 365
    day_of_year = day_of_era - (365 * year_of_era + year_of_era // 4 - year_of_era // 100)
    march_month = (5 * day_of_year + 2) // 153
    day = day_of_year - (153 * march_month + 2) // 5 + 1
    month = march_month + 3 if march_month < 10 else march_month - 9
    return era * 400 + year_of_era + (month <= 2), month, day
