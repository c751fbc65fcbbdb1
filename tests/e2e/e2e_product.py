"""The product under test as its processes: `dgm run`, or three `dgm serve ROLE`, behind one interface.

    mode "run"     one supervisor, which restarts a dead role           pids from its log
    mode "serve"   one process per role, which the tests start again    pids from the tests

Every process is ended by its id. Standard output and error go to product.log.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from e2e_waiting import eventually, is_running

ROLES = ("ems", "der", "ocpp")
STOP_S = 15.0


def dgm(*words: str | Path, log: Path) -> subprocess.Popen[bytes]:
    """Start the command line; it writes to `log`."""
    with log.open("ab") as sink:
        return subprocess.Popen(
            [sys.executable, "-m", "dgm.cli.main", *map(str, words)],
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=sink,
            start_new_session=True,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )


class Product:
    """The running product of one site. roles: those that this site has."""

    def __init__(self, mode: str, site_file: Path, roles: Sequence[str] = ROLES) -> None:
        self.mode = mode
        self._roles = roles
        self.log = site_file.parent / "product.log"
        self._site_file = site_file
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    def start(self) -> None:
        """Start all roles."""
        for name in ("run",) if self.mode == "run" else self._roles:
            self._start(name)

    def stop(self) -> None:
        """Stop what was started, and what the supervisor started should it have left anything."""
        children = [self.pid(role) for role in self._roles] if self.mode == "run" else []
        for process in self._processes.values():
            if process.poll() is None:
                process.terminate()
        for process in self._processes.values():
            try:
                process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        for pid in children:
            if pid is not None and is_running(pid):
                os.kill(pid, signal.SIGKILL)

    def pid(self, role: str) -> int | None:
        """The newest process of a role; None: none yet."""
        if self.mode == "serve":
            return self._processes[role].pid
        started = [line for line in self.events() if line.get("event") == "started" and line.get("child") == role]
        return int(started[-1]["pid"]) if started else None

    @property
    def supervisor(self) -> subprocess.Popen[bytes]:
        """The process of `dgm run`."""
        return self._processes["run"]

    def kill(self, role: str) -> None:
        """kill -9 a role and wait until it is gone; who restarts it depends on the mode."""
        pid = self.pid(role)
        assert pid is not None, f"{role} was never started"
        os.kill(pid, signal.SIGKILL)
        eventually(f"{role} is gone", lambda: not is_running(pid))

    def restart(self, role: str) -> None:
        """After `kill`: start the role again (serve), or wait until the supervisor has (run)."""
        if self.mode == "serve":
            self._processes[role].wait()
            self._start(role)
            return
        eventually(f"the supervisor has started {role} again", lambda: is_running(self.pid(role) or 0))

    def events(self) -> list[dict[str, str]]:
        """The log lines of the product so far; what is no JSON is left out."""
        found: list[dict[str, str]] = []
        if not self.log.exists():
            return found
        for line in self.log.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("{") and line.endswith("}"):
                found.append(json.loads(line))
        return found

    def _start(self, name: str) -> None:
        words = ("run",) if name == "run" else ("serve", name)
        self._processes[name] = dgm(*words, self._site_file, log=self.log)
