"""`dgm run`: one child process per role, restarted with back-off when it dies, stopped in order.

A child learns of the supervisor's death by the end of its standard input, so none is left behind by a kill -9. Leases
make a restart safe: what a dead role had installed expires to its fallback or is proved again by the new one.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from dgm import clock
from dgm.app import SUPERVISED
from dgm.log import logger

FIRST_BACKOFF_S = 0.5
LONGEST_BACKOFF_S = 10.0
STEADY_MS = 30_000
"""A child that lived this long is forgiven its past: the back-off starts anew."""

STOP_TIMEOUT_S = 6.0
STOP_ORDER = ("der", "ocpp", "ems")


class Supervisor:
    """Owns the children. `pids` is the newest process id of each role, for status and tests."""

    def __init__(self, site_file: Path, roles: Sequence[str]) -> None:
        self.pids: dict[str, int] = {}
        self._site_file = site_file
        self._roles = list(roles)
        self._children: dict[str, asyncio.subprocess.Process] = {}
        self._stopping = False

    async def run(self) -> None:
        """Run until SIGTERM or SIGINT; then stop der and ocpp before ems."""
        told = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, told.set)
        keepers = [asyncio.create_task(self._keep(role), name=f"keep {role}") for role in self._roles]
        try:
            await told.wait()
        finally:
            self._stopping = True
            for role in STOP_ORDER:
                await self._stop(role)
            for keeper in keepers:
                keeper.cancel()
            await asyncio.gather(*keepers, return_exceptions=True)

    async def _keep(self, role: str) -> None:
        log = logger("supervisor")
        backoff_s = FIRST_BACKOFF_S
        while not self._stopping:
            started = clock.now().mono_ms
            child = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "dgm.cli.main",
                "serve",
                role,
                str(self._site_file),
                stdin=asyncio.subprocess.PIPE,
                env={**os.environ, SUPERVISED: "1"},
                start_new_session=True,
            )
            self._children[role] = child
            self.pids[role] = child.pid
            log.info("started", child=role, pid=child.pid)
            code = await child.wait()
            if self._stopping:
                return
            if clock.now().mono_ms - started > STEADY_MS:
                backoff_s = FIRST_BACKOFF_S
            log.error("role died", child=role, pid=child.pid, code=code, restart_in_s=backoff_s)
            await asyncio.sleep(backoff_s)
            backoff_s = min(backoff_s * 2, LONGEST_BACKOFF_S)

    async def _stop(self, role: str) -> None:
        child = self._children.get(role)
        if child is None or child.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            child.terminate()
        try:
            await asyncio.wait_for(child.wait(), STOP_TIMEOUT_S)
        except TimeoutError:
            logger("supervisor").error("role did not stop in time, killed", child=role, pid=child.pid)
            with contextlib.suppress(ProcessLookupError):
                child.kill()
            await child.wait()
