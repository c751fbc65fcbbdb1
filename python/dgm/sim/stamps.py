"""Time stamps as OCPP writes them, to and from UTC milliseconds, by arithmetic on the Gregorian calendar alone."""

from __future__ import annotations

import re

_DAY_MS = 86_400_000
_STAMP = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[Tt ](\d\d):(\d\d):(\d\d)(?:[.,](\d{1,9}))?(?:([Zz])|([+-])(\d\d):?(\d\d))?", re.ASCII
)
_MONTH_DAYS = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)


def parse_time(text: str) -> int:
    """UTC ms of a stamp; one without a zone is UTC. ValueError when it is none."""
    found = _STAMP.fullmatch(text)
    if found is None:
        raise ValueError(f"found {text[:40]!r}, expected a time stamp")
    year, month, day, hour, minute, second = (int(found[index]) for index in range(1, 7))
    if not (1 <= month <= 12 and 1 <= day <= _days_in(year, month) and hour < 24 and minute < 60 and second <= 60):
        raise ValueError(f"found {text[:40]!r}, expected an instant that exists")
    millis = int((found[7] or "0").ljust(3, "0")[:3])
    offset_min = 0
    if found[9]:
        offset_min = (int(found[10]) * 60 + int(found[11])) * (-1 if found[9] == "-" else 1)
    clock_s = (hour * 60 + minute - offset_min) * 60 + second
    return _days_since_1970(year, month, day) * _DAY_MS + clock_s * 1000 + millis


def format_time(utc_ms: int) -> str:
    """UTC ms as a stamp with milliseconds."""
    days, rest_ms = divmod(utc_ms, _DAY_MS)
    year, month, day = _date_of(days)
    seconds, millis = divmod(rest_ms, 1000)
    minutes, second = divmod(seconds, 60)
    hour, minute = divmod(minutes, 60)
    return f"{year:04d}-{month:02d}-{day:02d}T{hour:02d}:{minute:02d}:{second:02d}.{millis:03d}Z"


def _is_leap(year: int) -> bool:
    return year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)


def _days_in(year: int, month: int) -> int:
    return _MONTH_DAYS[month - 1] + (month == 2 and _is_leap(year))


def _days_before_year(year: int) -> int:
    """Days from 1 January of year 1 to 1 January of this year."""
    past = year - 1
    return past * 365 + past // 4 - past // 100 + past // 400


def _days_since_1970(year: int, month: int, day: int) -> int:
    months = sum(_days_in(year, earlier) for earlier in range(1, month))
    return _days_before_year(year) - _days_before_year(1970) + months + day - 1


def _date_of(days: int) -> tuple[int, int, int]:
    year = 1970 + days // 366
    while _days_since_1970(year + 1, 1, 1) <= days:
        year += 1
    left = days - _days_since_1970(year, 1, 1)
    month = 1
    while left >= _days_in(year, month):
        left -= _days_in(year, month)
        month += 1
    return year, month, left + 1
