"""What every event of IEEE 2030.5 shares: interval and the server's view (S18 10.2.3); status values in time."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum


class EventState(IntEnum):
    """EventStatus.currentStatus, the server's view of an event (S18 10.2.3)."""

    SCHEDULED = 0
    ACTIVE = 1
    CANCELLED = 2
    CANCELLED_RANDOMISED = 3
    SUPERSEDED = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class EventStatus:
    """The server's view of an event."""

    current: EventState
    changed_s: int
    potentially_superseded: bool = False
    reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """A DateTimeInterval: start in s UTC, duration in s."""

    duration_s: int
    start_s: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StampedValue:
    """A status value and when it was taken, s UTC."""

    time_s: int
    value: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StampedText:
    """A status in the manufacturer's words, at most 6 octets, and when it was taken, s UTC."""

    time_s: int
    value: str
