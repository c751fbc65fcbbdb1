"""Builds, starts, pins and weighs the processes of the Modbus benchmark.

    built("peers") ──> modbus_peers (Rust), modbus_libmodbus (C), fleet_poll (example of dgm_core)
    serving(...)   ──> a server on its core: "READY PORT" on its output, ends with its input, may report one line
    asked(...)     ──> a client on its core: one line of JSON

CPU time of another process is the sum over its threads of what the scheduler booked (nanoseconds, /proc), so that a
thread of ours inside Python can be told from the interpreter's. Loopback only; every wait is bounded.
"""

from __future__ import annotations

import functools
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
ROOT = HERE.parent
TIMEOUT_S = 60.0
BUILD_TIMEOUT_S = 900.0
PYTHON_PEERS = HERE / "modbus_clients.py"

CORES = sorted(os.sched_getaffinity(0))
# The last core carries client and peer; whatever must not disturb them runs on the first.
CORE, OTHER_CORE = CORES[-1], CORES[0]

# Where the kernel groups processes by session, this is the niceness of the whole group.
SESSION, PREFERRED = Path("/proc/self/autogroup"), "-15"

Command = Sequence[str | int | Path]


class Absent(Exception):
    """A comparator or a part of DGM that is not there; the text says why."""


def target_directory(crate: Path) -> Path:
    """Where cargo puts what it builds for a crate."""
    return Path(os.environ.get("CARGO_TARGET_DIR") or crate / "target")


def cargo(crate: Path, *arguments: str) -> None:
    """One release build; its own words when it fails."""
    command = ["cargo", "build", "--release", "--locked", "--quiet", *arguments]
    done = subprocess.run(command, cwd=crate, capture_output=True, text=True, timeout=BUILD_TIMEOUT_S)
    if done.returncode:
        raise Absent(f"cargo build {' '.join(arguments)} in {crate.name} failed: {done.stderr.strip()[-400:]}")


@functools.cache
def peers() -> Path:
    """The comparators in Rust."""
    crate = HERE / "modbus_peers"
    cargo(crate)
    return target_directory(crate) / "release" / "modbus_peers"


@functools.cache
def fleet_poll() -> Path:
    """DGM's own poller as a process without Python."""
    crate = ROOT / "dgm_core"
    if not (crate / "examples" / "fleet_poll.rs").exists():
        raise Absent("dgm_core/examples/fleet_poll.rs does not exist")
    cargo(crate, "--example", "fleet_poll")
    return target_directory(crate) / "release" / "examples" / "fleet_poll"


@functools.cache
def libmodbus() -> Path:
    """The comparators in C, where the development package is installed."""
    if not shutil.which("pkg-config") or not shutil.which("cc"):
        raise Absent("libmodbus: pkg-config or cc is not installed")
    flags = subprocess.run(["pkg-config", "--cflags", "--libs", "libmodbus"], capture_output=True, text=True)
    if flags.returncode:
        raise Absent("libmodbus: its development package is not installed")
    binary = target_directory(HERE / "modbus_peers") / "modbus_libmodbus"
    source = str(HERE / "modbus_libmodbus.c")
    done = subprocess.run(
        ["cc", "-O2", "-o", str(binary), source, *flags.stdout.split()], capture_output=True, text=True
    )
    if done.returncode:
        raise Absent(f"libmodbus: cc failed: {done.stderr.strip()[-400:]}")
    return binary


def libmodbus_version() -> str:
    """As its package says, or that it is absent."""
    found = subprocess.run(["pkg-config", "--modversion", "libmodbus"], capture_output=True, text=True)
    return found.stdout.strip() or "absent"


def python(*arguments: str | int) -> list[str | int | Path]:
    """A role of modbus_clients.py as a command."""
    return [sys.executable, PYTHON_PEERS, *arguments]


@contextmanager
def precedence() -> Iterator[bool]:
    """Ask the scheduler to prefer our session to other work on the host, where we may; whether it does.

    All measured processes gain alike. Without it the tail of every latency is the time slice of another program.
    """
    before = SESSION.read_text(encoding="ascii").split()[-1] if SESSION.exists() else ""
    try:
        SESSION.write_text(PREFERRED, encoding="ascii")
    except OSError:
        yield False
        return
    try:
        yield True
    finally:
        SESSION.write_text(before, encoding="ascii")


def pin(core: int) -> None:
    """Runs in the child before it becomes the program."""
    os.sched_setaffinity(0, {core})


def start(command: Command, core: int) -> subprocess.Popen[str]:
    """A child on one core, its input and output ours."""
    words = [str(word) for word in command]
    before = functools.partial(pin, core)
    return subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, preexec_fn=before)


@dataclass(slots=True)
class Server:
    """A running server; `report` is what it said at its end."""

    process: subprocess.Popen[str]
    port: int
    report: Any = None

    def cpu_ns(self) -> int:
        """CPU time since its start."""
        return cpu_ns(self.process.pid)

    def tell(self, line: str) -> None:
        """One line to its input, for those that take orders."""
        assert self.process.stdin is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def hear(self) -> str:
        """One line of its output."""
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def rss_kib(self) -> int:
        """Resident memory."""
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text(encoding="ascii").split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") // 1024


@contextmanager
def serving(command: Command, core: int | None = None) -> Iterator[Server]:
    """A server until the end of the block."""
    process = start(command, CORE if core is None else core)
    try:
        assert process.stdout is not None
        words = process.stdout.readline().split()
        if not words:
            raise Absent(f"{command[0]} {command[1:]} did not start")
        server = Server(process, int(words[-1]))
        yield server
        rest, _ = process.communicate(timeout=TIMEOUT_S)
        server.report = json.loads(rest) if rest.strip() else None
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def asked(command: Command, core: int | None = None) -> dict[str, Any]:
    """What a client reports."""
    process = start(command, CORE if core is None else core)
    return answered(process)


def role(*words: str | int | float) -> dict[str, Any]:
    """One process of modbus_poller.py on the measured core."""
    return asked([sys.executable, HERE / "modbus_poller.py", *(str(word) for word in words)])


def answered(process: subprocess.Popen[str]) -> dict[str, Any]:
    """What a client that runs already reports at its end."""
    try:
        output, _ = process.communicate(timeout=TIMEOUT_S)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
    if process.returncode:
        raise Absent(f"{process.args!r} ended with {process.returncode}")
    found: dict[str, Any] = json.loads(output)
    if "absent" in found:
        raise Absent(found["absent"])
    return found


def threads_cpu_ns(pid: int) -> dict[str, int]:
    """CPU time of each thread by name (several of one name are added)."""
    found: dict[str, int] = {}
    for task in Path(f"/proc/{pid}/task").iterdir():
        name = (task / "comm").read_text(encoding="utf-8").strip()
        spent = int((task / "schedstat").read_text(encoding="ascii").split()[0])
        found[name] = found.get(name, 0) + spent
    return found


def cpu_ns(pid: int) -> int:
    """CPU time of all living threads of a process."""
    return sum(threads_cpu_ns(pid).values())
