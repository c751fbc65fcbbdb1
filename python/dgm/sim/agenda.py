"""Virtual time: what is still to happen in a simulated world, in order.

    after(delay, action), at(instant, action), every(interval, action) ──> run_until(end): now moves on to each

Two actions of one instant happen in the order in which they were planned. Nothing here reads a clock.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable

from dgm.machine import Now

PLANNED_MAX = 200_000
"""Actions to come; more is a world that plans faster than it lives."""

Action = Callable[[], None]


class Agenda:
    """The queue of one world and its clock. Times are monotonic ms of that world."""

    def __init__(self, start: Now) -> None:
        self.now = start
        self._start_ms = start.mono_ms
        self._planned: list[tuple[int, int, Action]] = []
        self._order = 0

    @property
    def elapsed_ms(self) -> int:
        """Since the start."""
        return self.now.mono_ms - self._start_ms

    def after(self, delay_ms: float, action: Action) -> None:
        """Later, by the simulated clock; a delay below 0 is none."""
        self.at(self.now.mono_ms + max(0, round(delay_ms)), action)

    def at(self, at_ms: int, action: Action) -> None:
        """At an instant, which is not in the past."""
        assert len(self._planned) < PLANNED_MAX, "the world's queue is unbounded"
        self._order += 1
        heapq.heappush(self._planned, (at_ms, self._order, action))

    def every(self, interval_ms: int, action: Action, *, first_ms: int = 0) -> None:
        """Again and again, for the first time after first_ms."""

        def again() -> None:
            action()
            self.after(interval_ms, again)

        self.after(first_ms, again)

    def run_until(self, end_ms: int) -> None:
        """Let everything happen that is planned up to this instant, and all that follows from it."""
        while self._planned and self._planned[0][0] <= end_ms:
            at_ms, _, action = heapq.heappop(self._planned)
            if at_ms != self.now.mono_ms:
                self.now = Now(mono_ms=at_ms, utc_ms=self.now.utc_ms + at_ms - self.now.mono_ms)
            action()
