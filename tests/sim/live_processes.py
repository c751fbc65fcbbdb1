"""Starts one simulator process for a test and ends it by its leash: the end of its standard input."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import dgm

DEADLINE_S = 20.0
POLL_S = 0.05


@asynccontextmanager
async def simulator(module: str, config: Mapping[str, Any], directory: Path) -> AsyncIterator[dict[str, Any]]:
    """Run `dgm.sim.live.<module>`; gives what it said when READY. Its exit code must be 0."""
    path = directory / f"{module}.config.json"
    path.write_text(json.dumps(config), encoding="utf-8")
    package = str(Path(dgm.__file__).parents[1])
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        f"dgm.sim.live.{module}",
        str(path),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": package},
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        async with asyncio.timeout(DEADLINE_S):
            line = (await process.stdout.readline()).decode()
        assert line.startswith("READY "), line
        yield json.loads(line.removeprefix("READY "))
        process.stdin.close()
        async with asyncio.timeout(DEADLINE_S):
            assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def eventually(probe: Callable[[], Awaitable[bool]]) -> None:
    """Ask until the answer is yes; TimeoutError after DEADLINE_S."""
    async with asyncio.timeout(DEADLINE_S):
        while True:
            if await probe():
                return
            await asyncio.sleep(POLL_S)


async def text_of(path: Path) -> str:
    """What a result file holds by now; empty while there is none."""
    return await asyncio.to_thread(lambda: path.read_text(encoding="utf-8") if path.exists() else "")


class Loads(asyncio.DatagramProtocol):
    """Receives what the fleet sends to the plant."""

    def __init__(self) -> None:
        self.raw: list[bytes] = []
        self._wanted: Callable[[bytes], bool] = lambda _: False
        self._seen = asyncio.Event()

    def datagram_received(self, data: bytes, addr: object) -> None:
        """Keep it, and wake who waits for it."""
        self.raw.append(data)
        if self._wanted(data):
            self._seen.set()

    async def until(self, wanted: Callable[[bytes], bool]) -> None:
        """Wait for a datagram that fits."""
        self._seen.clear()
        self._wanted = wanted
        async with asyncio.timeout(DEADLINE_S):
            await self._seen.wait()
