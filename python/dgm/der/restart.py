"""The journal of one device at a start: what of it is the schedule, and what becomes of entries that cannot be read.

    stored ──schedule_of──> Scheduler.restore      Damaged ──put_aside──> entries to move out of the way

Pure; keys are those below the table `der`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from dgm.der.orders import Damaged

TABLE, SCHEDULE_PREFIX, OFFSET_KEY, ASIDE_PREFIX = "der", "der/", "offset_ms", "aside/"
ASIDE_MAX = 50
"""Damaged journal entries kept for people to look at; further ones are only named."""


def schedule_of(stored: Mapping[str, bytes]) -> dict[str, bytes]:
    """The entries of the schedule."""
    return {key: value for key, value in stored.items() if key.startswith(SCHEDULE_PREFIX)}


def offset_of(stored: Mapping[str, bytes]) -> int | Damaged:
    """The server's clock less ours, ms; 0 if it was never measured."""
    try:
        return int(stored.get(OFFSET_KEY, b"0"))
    except ValueError:
        return Damaged(key=OFFSET_KEY, why="found no whole number of ms; the server is asked for its time")


def put_aside(damaged: Sequence[Damaged], stored: Mapping[str, bytes]) -> tuple[tuple[str, bytes | None], ...]:
    """Out of the way of the next start, but not thrown away."""
    room = max(ASIDE_MAX - sum(key.startswith(ASIDE_PREFIX) for key in stored), 0)
    return (*_removed(damaged), *((ASIDE_PREFIX + item.key, stored[item.key]) for item in damaged[:room]))


def _removed(damaged: Iterable[Damaged]) -> Iterable[tuple[str, None]]:
    return ((item.key, None) for item in damaged)
