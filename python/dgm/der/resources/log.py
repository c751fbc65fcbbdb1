"""Log events (S18 9.7): alarms of the device and their return to normal."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class LogEvent:
    """One alarm. function_set 11 is DER; profile 2 is IEEE 2030.5; pen: who defines `code`, 40732 the standard."""

    href: str | None = None
    created_s: int
    details: str | None = None
    extended: int | None = None
    function_set: int
    code: int
    id: int
    pen: int
    profile: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LogEventList:
    """A page of alarms."""

    href: str | None = None
    all: int
    results: int
    poll_s: int | None = None
    subscribable: int | None = None
    items: tuple[LogEvent, ...] = ()
