"""What a test may ask of the threads of its process: who is there, and that Python does nothing for a while."""

from __future__ import annotations

import contextlib
import ctypes
import time
from pathlib import Path

GONE_WITHIN_S = 5.0


def hold_interpreter(span_s: float) -> tuple[float, float]:
    """No other Python thread runs for `span_s` of wall time, on any machine; when that began and ended.

    The functions of a PyDLL are called with the interpreter's lock held.
    """
    libc = ctypes.PyDLL(None)
    started = time.monotonic()
    while (left_s := started + span_s - time.monotonic()) > 0:
        libc.poll(None, 0, max(1, int(left_s * 1000)))
    return started, time.monotonic()


def named(name: str) -> int:
    """Threads of this process with that name, those of the core included."""
    count = 0
    for task in Path("/proc/self/task").iterdir():
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            count += task.joinpath("comm").read_text() == f"{name}\n"
    return count


def left_of(name: str, expected: int = 0) -> int:
    """Threads with that name once they are as few as `expected`: Linux lists one a moment longer than it is joined."""
    deadline = time.monotonic() + GONE_WITHIN_S
    while (count := named(name)) > expected and time.monotonic() < deadline:
        pass
    return count
