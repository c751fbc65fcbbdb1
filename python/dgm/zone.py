"""How far a time zone is ahead of UTC, from the time zone database of the machine.

"Europe/Berlin" ──offset_of──> UTC ms -> ms        is_known says whether the machine has it
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

DEFAULT = "UTC"


def is_known(name: str) -> bool:
    """Whether the machine's database has a zone of that name."""
    if name == DEFAULT:
        return True
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return False
    return True


def offset_of(name: str) -> Callable[[int], int]:
    """UTC ms to the ms by which the zone is ahead of UTC then. The zone is known; UTC needs no database."""
    if name == DEFAULT:
        return lambda utc_ms: 0
    zone = ZoneInfo(name)

    def offset(utc_ms: int) -> int:
        ahead = datetime.fromtimestamp(utc_ms / 1000, UTC).astimezone(zone).utcoffset()
        return 0 if ahead is None else int(ahead.total_seconds() * 1000)

    return offset
