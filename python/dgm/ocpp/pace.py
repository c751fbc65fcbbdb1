"""How often a station is written to: raises, retries, and what its flash can bear.

    raise ──> RAISE_INTERVAL_MS, WriteBudget      failed write ──> Backoff      reduction ──> nothing holds it back

Pure bookkeeping of monotonic times; the enforcer asks before it writes.
"""

from __future__ import annotations

from dgm.machine import Now
from dgm.ocpp.stamp import DAY_MS

RAISE_INTERVAL_MS = 5_000
"""Write budget: raises at most this often. Reductions are never held back."""

RETRY_MS = (5_000, 30_000, 120_000, 480_000, 1_800_000)
"""After a refused or unanswered write; the last one repeats. About six tries in an hour."""

SAFETY_RETRY_MS = 5_000
"""A reduction below everything tried so far may go sooner than its turn."""

WRITES_PER_DAY = 4_000
"""Renewals of a lease of 120 s take 1,440 of them."""


class WriteBudget:
    """Profiles are kept in flash that wears out: raises wait when too many writes came before them.

    Every write takes one of BURST, one comes back each day_ms / per_day. Only raises are held back.
    """

    BURST = 60

    def __init__(self, per_day: int) -> None:
        self._refill_ms = DAY_MS // per_day
        self._full_ms = 0

    def spend(self, now: Now) -> None:
        """A write goes out."""
        self._full_ms = max(self._full_ms, now.mono_ms) + self._refill_ms

    @property
    def raise_ms(self) -> int:
        """Monotonic ms from which a raise may go."""
        return self._full_ms - (self.BURST - 1) * self._refill_ms


class Backoff:
    """When a failing write may be tried again."""

    def __init__(self) -> None:
        self.failures = 0
        self.at_ms = 0

    def failed(self, now: Now) -> None:
        """Count a failure."""
        self.at_ms = now.mono_ms + RETRY_MS[min(self.failures, len(RETRY_MS) - 1)]
        self.failures += 1

    def reset(self) -> None:
        """It works, or the station is another one now."""
        self.failures, self.at_ms = 0, 0
