"""Times of day as parameters of policies write them, with what follows them.

"Mo-Fr 07:00-22:00 310" ──window──> Window(days, begin, end, value)        "daily 22:00-06:00 ..." goes over midnight
"2026-01-15 16:00-18:00 150000" ──dated──> Dated(day, begin, end, value)   local time of the site
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from dgm.ems.calendar import DAY_MINUTES, Local, day_of

DAYS = ("Mo", "Tu", "We", "Th", "Fr", "Sa", "Su")
SPAN = r"([0-2][0-9]):([0-5][0-9])-([0-2][0-9]):([0-5][0-9])(?: (-?[0-9]{1,10}))?"
WINDOW = re.compile(r"(daily|[A-Z][a-z](?:-[A-Z][a-z])?) " + SPAN)
DATED = re.compile(r"([0-9]{4})-([01][0-9])-([0-3][0-9]) " + SPAN)
WINDOW_EXPECTED = "like 'Mo-Fr 07:00-22:00' or 'daily 22:00-06:00'"
PRICED_EXPECTED = "like 'Mo-Fr 07:00-22:00 310': days, times, price per MWh"
DATED_EXPECTED = "like '2026-01-15 16:00-18:00 150000': day, times, W"


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """Times that come again every week, local.

    end <= begin: it goes over midnight, and belongs to the day it begins.
    """

    days: frozenset[int]
    begin_minute: int
    end_minute: int
    value: int | None
    text: str

    def __str__(self) -> str:
        return self.text

    def holds(self, local: Local) -> bool:
        """Whether the instant is in the window."""
        if self.begin_minute < self.end_minute:
            return local.weekday in self.days and self.begin_minute <= local.minute < self.end_minute
        if local.minute >= self.begin_minute:
            return local.weekday in self.days
        return (local.weekday - 1) % 7 in self.days and local.minute < self.end_minute


@dataclass(frozen=True, slots=True, kw_only=True)
class Dated:
    """One span of one local day, not over midnight."""

    day: int
    begin_minute: int
    end_minute: int
    value: int
    text: str

    def __str__(self) -> str:
        return self.text

    def holds(self, local: Local) -> bool:
        """Whether the instant is in the span."""
        return local.day == self.day and self.begin_minute <= local.minute < self.end_minute


def window(text: str) -> Window:
    """A window without a value. ValueError: it is none."""
    found = _window(text)
    if found.value is not None:
        raise ValueError(text)
    return found


def priced(text: str) -> Window:
    """A window with a value. ValueError: it is none."""
    found = _window(text)
    if found.value is None:
        raise ValueError(text)
    return found


def dated(text: str) -> Dated:
    """A span of one day with a value above 0. ValueError: it is none."""
    match = DATED.fullmatch(text)
    if match is None or match[8] is None or int(match[8]) <= 0:
        raise ValueError(text)
    begin, end = _minutes(match.groups()[3:7])
    month, day = int(match[2]), int(match[3])
    if not (1 <= month <= 12 and 1 <= day <= 31 and begin < end):
        raise ValueError(text)
    return Dated(
        day=day_of(int(match[1]), month, day), begin_minute=begin, end_minute=end, value=int(match[8]), text=text
    )


def _window(text: str) -> Window:
    match = WINDOW.fullmatch(text)
    if match is None:
        raise ValueError(text)
    begin, end = _minutes(match.groups()[1:5])
    value = None if match[6] is None else int(match[6])
    return Window(days=_days(match[1]), begin_minute=begin, end_minute=end, value=value, text=text)


def _minutes(parts: tuple[str | None, ...]) -> tuple[int, int]:
    hours = [int(part or 0) for part in parts]
    begin, end = hours[0] * 60 + hours[1], hours[2] * 60 + hours[3]
    if begin >= DAY_MINUTES or end > DAY_MINUTES or begin == end:
        raise ValueError("a time of day")
    return begin, end


def _days(text: str) -> frozenset[int]:
    if text == "daily":
        return frozenset(range(7))
    first, _, last = text.partition("-")
    begin, end = DAYS.index(first), DAYS.index(last or first)
    return frozenset((begin + step) % 7 for step in range((end - begin) % 7 + 1))
