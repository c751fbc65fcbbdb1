"""What the connection point drew, quarter hour by quarter hour: what demand charges and baselines are counted from.

    net W, each cycle ──take──> open quarter ──its end──> closed mean, kept 45 days (journaled by the cycle)

A quarter that was seen for less than half of its time leaves no mean: nothing is guessed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

QUARTER_MS = 900_000
KEPT_MS = 45 * 86_400_000
SEEN_MS_MIN = QUARTER_MS // 2
GAP_MS_MAX = 10_000
"""A longer time between two looks was not seen."""


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """Means of net import, W, by the UTC ms at which their quarter began; and the quarter that is open."""

    means_w: Mapping[int, int] = field(default_factory=dict)
    open_utc_ms: int | None = None
    open_wms: int = 0
    seen_ms: int = 0
    looked_utc_ms: int | None = None

    @property
    def open_mean_w(self) -> int | None:
        """Mean of what was seen of the open quarter, W."""
        return self.open_wms // self.seen_ms if self.seen_ms else None

    def take(self, net_w: int | None, utc_ms: int) -> tuple[History, int | None]:
        """Take a look at the meter (None: not seen); the start of the quarter that this look has closed with a mean.

        The time since the look before counts at the power seen now; where a boundary lies between, all of it falls into
        the newer quarter, at most one cycle.
        """
        start_utc_ms = utc_ms // QUARTER_MS * QUARTER_MS
        held, closed = self, None
        if start_utc_ms != self.open_utc_ms:
            held, closed = self._closed()
            held = replace(held, open_utc_ms=start_utc_ms)
        since_ms = None if self.looked_utc_ms is None else utc_ms - self.looked_utc_ms
        held = replace(held, looked_utc_ms=utc_ms)
        if net_w is None or since_ms is None or not 0 < since_ms <= GAP_MS_MAX:
            return held, closed
        return replace(held, open_wms=held.open_wms + net_w * since_ms, seen_ms=held.seen_ms + since_ms), closed

    def with_mean(self, start_utc_ms: int, mean_w: int) -> History:
        """The history with a quarter from the journal."""
        return replace(self, means_w={**self.means_w, start_utc_ms: mean_w})

    def outdated(self, utc_ms: int) -> list[int]:
        """Starts of quarters that are older than is kept."""
        return [start for start in self.means_w if start < utc_ms - KEPT_MS]

    def without(self, starts: list[int]) -> History:
        """The history less these quarters."""
        gone = frozenset(starts)
        return replace(self, means_w={start: mean for start, mean in self.means_w.items() if start not in gone})

    def _closed(self) -> tuple[History, int | None]:
        fresh = replace(self, open_utc_ms=None, open_wms=0, seen_ms=0)
        mean_w = self.open_mean_w
        if self.open_utc_ms is None or mean_w is None or self.seen_ms < SEEN_MS_MIN:
            return fresh, None
        return fresh.with_mean(self.open_utc_ms, mean_w), self.open_utc_ms
