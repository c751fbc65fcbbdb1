"""What all simulator processes share: configuration file, READY line, leash and line-by-line result files.

CONFIG.json ──load_config──> process ──announce──> "READY {...}"      stop: SIGTERM | stdin ends | max_seconds
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import stat
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TextIO

FLUSH_INTERVAL_S = 0.5
"""Result files are never further behind than this."""

LINES_MAX = 5_000_000
"""Bound of one result file."""

_STDIN = 0


def utc_ms() -> int:
    """UTC now, ms."""
    return time.time_ns() // 1_000_000


def mono_ms() -> int:
    """Monotonic time, ms."""
    return time.monotonic_ns() // 1_000_000


def run(main: Callable[[Mapping[str, Any]], Awaitable[None]]) -> None:
    """Entry point of every simulator process."""
    if len(sys.argv) != 2:
        raise SystemExit(f"usage: {sys.argv[0]} CONFIG.json")
    config: Mapping[str, Any] = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))

    async def bounded() -> None:
        await main(config)

    asyncio.run(bounded())


def announce(ready: Mapping[str, Any]) -> None:
    """The one line on standard output that says where the process listens."""
    print("READY " + json.dumps(ready), flush=True)


async def wait_for_stop(max_seconds: float) -> None:
    """Return at SIGTERM or SIGINT, when standard input (a pipe or socket) ends, or after max_seconds."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    leashed = _is_leash()
    if leashed:
        loop.add_reader(_STDIN, _read_leash, stop)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(max_seconds):
            await stop.wait()
    if leashed:
        loop.remove_reader(_STDIN)


def _is_leash() -> bool:
    try:
        mode = os.fstat(_STDIN).st_mode
    except OSError:
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)


def _read_leash(stop: asyncio.Event) -> None:
    if not os.read(_STDIN, 4096):
        stop.set()


class LineFile:
    """A result file written line by line; `flushing` keeps it at most FLUSH_INTERVAL_S behind."""

    def __init__(self, path: Path, *, header: str | None = None) -> None:
        self._file: TextIO = path.open("w", encoding="utf-8")
        self._lines = 0
        if header is not None:
            self.write(header)

    def write(self, line: str) -> None:
        """Append one line."""
        if self._lines >= LINES_MAX:
            raise RuntimeError(f"{self._file.name}: more than {LINES_MAX} lines")
        self._lines += 1
        self._file.write(line + "\n")

    def flush(self) -> None:
        """Hand over what is buffered."""
        self._file.flush()

    def close(self) -> None:
        """End the file."""
        self._file.close()


@asynccontextmanager
async def flushing(*files: LineFile) -> AsyncIterator[None]:
    """Flush the files while the block runs and close them after it."""

    async def flush_forever() -> None:
        while True:
            await asyncio.sleep(FLUSH_INTERVAL_S)
            for file in files:
                file.flush()

    task = asyncio.create_task(flush_forever())
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        for file in files:
            file.close()
