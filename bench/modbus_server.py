"""DGM's Modbus server beside an ideal one, libmodbus and pymodbus: answers a second, bad clients, a held interpreter.

    one client, or 500 (Rust, epoll) ──> ideal epoll server | dgm Facade | libmodbus in a select loop | pymodbus

Client and server share one core, so answers a second are the inverse of all the work for one answer, the client's
included: a server twice as dear as the ideal one does not halve the rate. Bad clients run on another core.
"""

from __future__ import annotations

import contextlib
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import modbus_certificates as certificates
from modbus_bars import Figure, ratios
from modbus_clients import LEASED_ADDRESS, LEASED_FALLBACK, WATCHDOG_S
from modbus_processes import (
    HERE,
    OTHER_CORE,
    Absent,
    Command,
    Server,
    answered,
    asked,
    libmodbus,
    peers,
    python,
    role,
    serving,
    start,
)

MANY = 500
HALF_OPEN, BAD_PERIOD_US, GOOD_PERIOD_US = 50, 1000, 1000
HELD_S = 2.0
# A fallback this long after its time is late: the facade's clock counts whole milliseconds and we look once in one.
LATE_MS = 20.0


@dataclass(slots=True)
class Way:
    """One server and what it did, a value per round."""

    name: str
    server: Server
    rates: dict[int, list[float]] = field(default_factory=lambda: {1: [], MANY: []})
    cpu_us: dict[int, list[float]] = field(default_factory=lambda: {1: [], MANY: []})


def commands() -> dict[str, Callable[[], Command]]:
    """How each server is started; calling may say why it cannot."""
    return {
        "ideal": lambda: [peers(), "ideal"],
        "facade": lambda: python("facade"),
        "libmodbus": lambda: [libmodbus(), "server"],
        "pymodbus": lambda: [sys.executable, HERE / "modbus_peers.py", "pymodbus"],
    }


@contextlib.contextmanager
def ways() -> Iterator[dict[str, Way]]:
    """All servers that can be had, running."""
    with contextlib.ExitStack() as stack:
        found = {}
        for name, command in commands().items():
            with contextlib.suppress(Absent):
                found[name] = Way(name, stack.enter_context(serving(command())))
        yield found


def throughput(rounds: int, span_ms: int) -> list[Figure]:
    """M12."""
    with ways() as servers:
        for number in range(rounds):
            names = list(servers)
            for name in names[number % len(names) :] + names[: number % len(names)]:
                for clients in (1, MANY):
                    load(servers[name], clients, span_ms)
        return [figure for clients in (1, MANY) for figure in compared(servers, clients)]


def load(way: Way, clients: int, span_ms: int) -> None:
    """One phase."""
    before_ns = way.server.cpu_ns()
    found = asked([peers(), "many", way.server.port, span_ms, clients])
    way.rates[clients].append(found["reads"] / found["wall_ns"] * 1e9)
    way.cpu_us[clients].append((way.server.cpu_ns() - before_ns) / found["reads"] / 1000)


def compared(servers: dict[str, Way], clients: int) -> list[Figure]:
    """The facade against each other one."""
    label = "1 client" if clients == 1 else f"{clients} clients"
    dgm = servers["facade"]
    medians = {name: statistics.median(way.rates[clients]) for name, way in servers.items()}
    costs = {name: statistics.median(way.cpu_us[clients]) for name, way in servers.items()}
    beside = ", ".join(f"{name} {medians[name]:,.0f}/s at {costs[name]:.1f} us" for name in servers)
    figures = []
    for other in ("ideal", "pymodbus", "libmodbus"):
        name = f"M12 answers/s, {label} / {other}"
        if other not in servers:
            figures.append(Figure(name=name, unit="x", absent=f"{other} is not there"))
            continue
        samples = ratios(dgm.rates[clients], servers[other].rates[clients])
        figures.append(Figure(name=name, unit="x", samples=samples, beside=beside if other == "ideal" else ""))
    cpu = ratios(dgm.cpu_us[clients], servers["ideal"].cpu_us[clients])
    figures.append(Figure(name=f"M12 server CPU an answer, {label} / ideal", unit="x", samples=cpu))
    if "pymodbus" in servers:
        theirs = servers["pymodbus"]
        cheaper = ratios(theirs.cpu_us[clients], dgm.cpu_us[clients])
        figures.append(Figure(name=f"M12 server CPU an answer, {label}, pymodbus / dgm", unit="x", samples=cheaper))
        possible = ratios(servers["ideal"].rates[clients], theirs.rates[clients])
        name = f"M12 answers/s, {label}, ideal / pymodbus (what is possible)"
        figures.append(Figure(name=name, unit="x", samples=possible))
    return figures


def isolation(rounds: int, span_ms: int) -> list[Figure]:
    """M13: a good client alone and among bad ones, in turn; the ideal server shows what the host itself does."""
    figures = []
    for name, times in (("facade", rounds), ("ideal", (rounds + 1) // 2)):
        with serving(commands()[name]()) as server:
            alone, among = [], []
            for _ in range(times):
                alone.append(good(server, span_ms))
                with bad_clients(server, span_ms + 300):
                    among.append(good(server, span_ms))
        figures += moved(name, alone, among)
    return figures


def good(server: Server, span_ms: int) -> dict[str, Any]:
    """A client that reads a thousand times a second."""
    return asked([peers(), "good", server.port, span_ms, GOOD_PERIOD_US])


@contextlib.contextmanager
def bad_clients(server: Server, span_ms: int) -> Iterator[None]:
    """Half-open connections and broken frames from another core while the block runs."""
    process = start([peers(), "bad", server.port, span_ms, HALF_OPEN, BAD_PERIOD_US], OTHER_CORE)
    try:
        yield
    finally:
        answered(process)


def moved(name: str, alone: list[dict[str, Any]], among: list[dict[str, Any]]) -> list[Figure]:
    """How far the median p99 moved, and how far p99 moves by itself from round to round."""
    quiet, loud = ([found["p99_ns"] / 1000 for found in side] for side in (alone, among))
    low, _, high = statistics.quantiles(quiet, n=4)
    band = f"alone p99 {statistics.median(quiet):.0f} us, half of its rounds {low:.0f} .. {high:.0f}; "
    band += (
        f"among {HALF_OPEN} half-open and {1_000_000 // BAD_PERIOD_US:,} bad frames/s {statistics.median(loud):.0f} us"
    )
    ratio = statistics.median(loud) / statistics.median(quiet)
    label = "M13 p99 among bad clients / alone" + ("" if name == "facade" else f" ({name} server)")
    extra = {"alone_us": quiet, "among_us": loud}
    figures = [
        Figure(name=label, unit="x", value=ratio, samples=ratios(loud, quiet), beside=band, extra=extra),
        Figure(
            name=label.replace("p99", "p50"),
            unit="x",
            samples=ratios([found["p50_ns"] for found in among], [found["p50_ns"] for found in alone]),
        ),
    ]
    if name == "facade":
        lost = sum(found["unanswered"] for found in alone + among)
        figures.append(Figure(name="M13 requests unanswered", unit="", value=float(lost)))
    return figures


def held() -> list[Figure]:
    """M8, the server's half: a process whose interpreter is held answers and lets a lease expire on time."""
    with serving(python("facade")) as server:
        free_ms = expiry_ms(asked(expiry(server)))
        before = good(server, 1000)
        server.tell(f"hold {HELD_S}")
        expiring = start(expiry(server), OTHER_CORE)
        during = good(server, int(HELD_S * 1000) - 300)
        held_ms = expiry_ms(answered(expiring))
        server.hear()
    late = float(held_ms - WATCHDOG_S * 1000 > LATE_MS)
    beside = f"p50 {during['p50_ns'] / 1000:.0f} us, p99 {during['p99_ns'] / 1000:.0f} us; "
    beside += f"interpreter free: {before['p50_ns'] / 1000:.0f}, {before['p99_ns'] / 1000:.0f} us"
    return [
        Figure(
            name="M8 requests unanswered, interpreter held 2 s",
            unit=f"of {during['reads'] + during['unanswered']}",
            value=float(during["unanswered"]),
            beside=beside,
        ),
        Figure(
            name="M8 late expiries, interpreter held 2 s",
            unit="of 1",
            value=late,
            beside=f"a {WATCHDOG_S} s lease ended after {held_ms:.1f} ms held, {free_ms:.1f} ms free",
        ),
    ]


def expiry(server: Server) -> Command:
    """Write once, watch it fall back."""
    return [peers(), "expiry", server.port, int((WATCHDOG_S + 0.9) * 1000), LEASED_ADDRESS, LEASED_FALLBACK + 1]


def expiry_ms(found: dict[str, Any]) -> float:
    """When the value fell back; endless if it did not."""
    return found["p50_ns"] / 1e6 if found["reads"] else float("inf")


def security(rounds: int, span_ms: int) -> list[Figure]:
    """M18, both ends: the same blocking reader and the same poller against a facade, plain and with TLS 1.3 in turn."""
    answers: dict[str, list[float]] = {"plain": [], "tls": []}
    reads: dict[str, list[float]] = {"plain": [], "tls": []}
    with tempfile.TemporaryDirectory(prefix="dgm-modbus-") as directory, contextlib.ExitStack() as stack:
        certificates.write(Path(directory))
        ways = {name: [directory] if name == "tls" else [] for name in answers}
        servers = {name: stack.enter_context(serving(python("facade", *files))) for name, files in ways.items()}
        for _ in range(rounds):
            for name, files in ways.items():
                server = servers[name]
                before_ns = server.cpu_ns()
                found = asked(python("reader", server.port, span_ms, *files))
                answers[name].append((server.cpu_ns() - before_ns) / found["reads"] / 1000)
                polled = role("rate", server.port, span_ms, *files)
                reads[name].append(polled["cpu_ns"] / max(1, polled["reads"]) / 1000)
    return [
        against_plain("M18 TLS CPU an answer / plain", answers, "us of the facade, handshake included"),
        against_plain("M18 TLS CPU a read / plain", reads, "us of the poller, one line as fast as it can"),
    ]


def against_plain(name: str, costs: dict[str, list[float]], what: str) -> Figure:
    """TLS beside plaintext."""
    shown = ", ".join(f"{way} {statistics.median(values):.1f}" for way, values in costs.items())
    return Figure(name=name, unit="x", samples=ratios(costs["tls"], costs["plain"]), beside=f"{what}: {shown}")
