"""Waiting for conditions with a bound, and what a test may ask of the operating system about a process."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

ResultT = TypeVar("ResultT")

POLL_S = 0.05
PATIENCE_S = 60.0
"""Far longer than anything here takes on an idle machine; it only bounds a failing test."""

_PAUSE = threading.Event()


def eventually(what: str, probe: Callable[[], ResultT | None], *, within_s: float = PATIENCE_S) -> ResultT:
    """The first answer of `probe` that is not None or False; AssertionError names `what` after `within_s`."""
    deadline_s = time.monotonic() + within_s
    while True:
        found = probe()
        if found is not None and found is not False:
            return found
        assert time.monotonic() < deadline_s, f"not within {within_s:.0f} s: {what}"
        _PAUSE.wait(POLL_S)


def is_running(pid: int) -> bool:
    """Whether a process runs; one that has ended and was not yet reaped does not."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat.rpartition(")")[2].split()[0] not in ("Z", "X")


def processes_naming(text: str) -> list[int]:
    """Processes with `text` in their command line."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            words = (entry / "cmdline").read_bytes()
        except OSError:
            continue  # gone meanwhile
        if text.encode() in words and is_running(int(entry.name)):
            found.append(int(entry.name))
    return found
