"""Asks the process that solves, off the cycle, with a deadline; a process that misses it is killed and started anew.

    SolvePlan ──> PlanWorker.solve ──line──> plan_process ──line──> Plan, or in words why there is none

Never raises for what the other process does. The cycle goes on meanwhile, and with a plan it only gets wishes.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import Sequence

from dgm.ems.planner.problem import Plan, Problem
from dgm.ems.planner.wire import problem_bytes, read_plan

LINE_BYTES_MAX = 16_000_000
"""A plan of 1,000 cars and 192 steps is 2 MB."""

COMMAND = (sys.executable, "-m", "dgm.ems.service.plan_process")


class PlanWorker:
    """One process at most, started when it is first needed."""

    def __init__(self, command: Sequence[str] = COMMAND) -> None:
        self._command = tuple(command)
        self._process: asyncio.subprocess.Process | None = None

    async def solve(self, problem: Problem, *, deadline_s: float) -> Plan | str:
        """The plan, or why there is none."""
        try:
            async with asyncio.timeout(deadline_s):
                return await self._ask(problem, deadline_s)
        except TimeoutError:
            await self.stop()
            return f"not solved within {deadline_s:g} s: the process was ended"
        except (OSError, ValueError, asyncio.IncompleteReadError) as error:
            await self.stop()
            return f"the process that solves: {type(error).__name__}: {error}"[:200]
        except asyncio.CancelledError:
            await self.stop()
            raise

    async def stop(self) -> None:
        """End the process."""
        process, self._process = self._process, None
        if process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()

    async def _ask(self, problem: Problem, deadline_s: float) -> Plan | str:
        process = self._process
        if process is None or process.returncode is not None:
            process = self._process = await asyncio.create_subprocess_exec(
                *self._command,
                str(deadline_s),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                limit=LINE_BYTES_MAX,
            )
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(problem_bytes(problem) + b"\n")
        await process.stdin.drain()
        line = await process.stdout.readline()
        if not line:
            code = await process.wait()
            self._process = None
            return f"the process that solves ended with code {code}"
        return read_plan(line)
