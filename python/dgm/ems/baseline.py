"""What a site would have imported without an event: the baseline that demand response is measured against.

    History of quarter means ──days of the kind, without events──> mean of the highest of them, W

Where there is no such history: what was drawn in the hour before the event. Pure.
"""

from __future__ import annotations

from collections.abc import Sequence

from dgm.ems.calendar import DAY_MS, local_at
from dgm.ems.history import QUARTER_MS
from dgm.ems.snapshot import Snapshot

SATURDAY = 5
BACK_DAYS = 45
"""As far as the history goes."""

QUARTERS_BEFORE = 4


def baseline_of(
    snapshot: Snapshot,
    event_days: frozenset[int],
    quarter_utc_ms: int,
    before_w: int | None,
    *,
    days: int,
    highest: int,
) -> int | None:
    """W that would have been imported in a quarter without an event; None: nothing tells.

    days: of its kind (working day, or weekend) that are looked back to; highest: how many of them count.
    """
    means_w, kind = snapshot.history.means_w, _is_weekend(quarter_utc_ms, snapshot)
    found: list[int] = []
    for back in range(1, BACK_DAYS + 1):
        start = quarter_utc_ms - back * DAY_MS
        local = local_at(start, snapshot.offset)
        if start in means_w and local.day not in event_days and _is_weekend(start, snapshot) == kind:
            found.append(means_w[start])
        if len(found) == days:
            break
    if not found:
        return before_w
    counted = sorted(found, reverse=True)[:highest]
    return sum(counted) // len(counted)


def hour_before(snapshot: Snapshot) -> int | None:
    """Mean of the whole quarters of the last hour; of what is open where none is closed."""
    first = snapshot.now.utc_ms // QUARTER_MS * QUARTER_MS
    starts = range(first - QUARTERS_BEFORE * QUARTER_MS, first, QUARTER_MS)
    means: Sequence[int] = [snapshot.history.means_w[start] for start in starts if start in snapshot.history.means_w]
    return sum(means) // len(means) if means else snapshot.history.open_mean_w


def _is_weekend(utc_ms: int, snapshot: Snapshot) -> bool:
    return local_at(utc_ms, snapshot.offset).weekday >= SATURDAY
