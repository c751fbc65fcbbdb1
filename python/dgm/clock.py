"""The only place where production code reads the clocks."""

from __future__ import annotations

import time

from dgm.machine import Now


def now() -> Now:
    """Both clocks, read together."""
    return Now(mono_ms=time.monotonic_ns() // 1_000_000, utc_ms=time.time_ns() // 1_000_000)


def stopwatch_us() -> int:
    """Microseconds of the monotonic clock, to tell how long something took."""
    return time.monotonic_ns() // 1_000
