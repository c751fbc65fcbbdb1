"""DGM's Modbus master beside the physical limit, libmodbus and pymodbus: one connection, a window of 16, a fleet.

    physical (Rust, blocking) | fleet_poll (dgm_core, no Python) | libmodbus (C) | pymodbus (asyncio)  ──> one device
    reference (Rust, slots)   | fleet_poll                                                             ──> 1,000 devices

The device is the same for all: it answers from a constant and does no more. CPU is that of the client process alone.
Whether polls were missed is counted twice: by the poller, and by the devices, which know when they expect to be asked.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from typing import Any

from modbus_bars import Figure, ratios
from modbus_processes import Absent, asked, fleet_poll, libmodbus, peers, python, serving

DEVICES, PERIOD_US, SLOT_US, WINDOW = 1000, 100_000, 1000, 16
Client = Callable[[int, int], dict[str, Any]]


def dgm(port: int, span_ms: int, *, devices: int = 1, period_ms: int = 0, window: int = 1) -> dict[str, Any]:
    """DGM's poller; a period of 0 asks again as soon as it is answered."""
    options = {"--port": port, "--ms": span_ms, "--devices": devices, "--period-ms": period_ms, "--window": window}
    return asked([fleet_poll(), *(str(word) for pair in options.items() for word in pair)])


CLIENTS: dict[str, Client] = {
    "physical": lambda port, ms: asked([peers(), "serial", port, ms]),
    "dgm": dgm,
    "libmodbus": lambda port, ms: asked([libmodbus(), "client", port, ms]),
    "pymodbus": lambda port, ms: asked(python("pymodbus", port, ms)),
    "physical 16": lambda port, ms: asked([peers(), "pipelined", port, ms, WINDOW]),
    "dgm 16": lambda port, ms: dgm(port, ms, window=WINDOW),
}


def cost_us(found: dict[str, Any]) -> float:
    """CPU time of one read."""
    return float(found["cpu_ns"] / max(1, found["reads"]) / 1000)


def rate(found: dict[str, Any]) -> float:
    """Reads a second."""
    return float(found["reads"] / found["wall_ns"] * 1e9)


def in_turn(clients: dict[str, Client], rounds: int, span_ms: int) -> tuple[dict[str, list[Any]], dict[str, str]]:
    """Each client in each round, in another order each time; why some are absent."""
    found: dict[str, list[Any]] = {name: [] for name in clients}
    absent: dict[str, str] = {}
    for number in range(rounds):
        names = list(clients)
        for name in names[number % len(names) :] + names[: number % len(names)]:
            if name in absent:
                continue
            try:
                with serving([peers(), "device"]) as server:
                    found[name].append(clients[name](server.port, span_ms))
            except Absent as reason:
                absent[name] = str(reason)
    return found, absent


def one_connection(rounds: int, span_ms: int) -> list[Figure]:
    """M1 to M3."""
    found, absent = in_turn(CLIENTS, rounds, span_ms)
    cpu = {name: [cost_us(one) for one in all_rounds] for name, all_rounds in found.items()}
    rates = {name: [rate(one) for one in all_rounds] for name, all_rounds in found.items()}
    shown = [name for name in found if found[name]]
    beside = {
        "cpu": "us: " + ", ".join(f"{name} {statistics.median(cpu[name]):.2f}" for name in shown),
        "rate": "/s: " + ", ".join(f"{name} {statistics.median(rates[name]):,.0f}" for name in shown),
    }

    def figure(name: str, which: str, ours: str, theirs: str) -> Figure:
        for client in (ours, theirs):
            if client in absent:
                return Figure(name=name, unit="x", absent=absent[client])
        side = cpu if which == "cpu" else rates
        return Figure(name=name, unit="x", samples=ratios(side[ours], side[theirs]))

    figures = [
        figure("M1 CPU a read / physical", "cpu", "dgm", "physical"),
        figure("M1 CPU a read / libmodbus", "cpu", "dgm", "libmodbus"),
        figure("M2 reads/s / libmodbus", "rate", "dgm", "libmodbus"),
        figure("M2 reads/s / pymodbus async", "rate", "dgm", "pymodbus"),
        figure("M2 reads/s / physical", "rate", "dgm", "physical"),
        figure("M2 CPU a read, pymodbus async / dgm", "cpu", "pymodbus", "dgm"),
        figure("M2 physical / pymodbus async (what is possible)", "rate", "physical", "pymodbus"),
        figure("M3 reads/s, 16 in flight / libmodbus", "rate", "dgm 16", "libmodbus"),
        figure("M3 reads/s, 16 in flight / pymodbus async", "rate", "dgm 16", "pymodbus"),
        figure("M3 CPU a read, 16 in flight / physical 16", "cpu", "dgm 16", "physical 16"),
        figure("M3 physical 16 / libmodbus (what is possible)", "rate", "physical 16", "libmodbus"),
    ]
    for index, which in ((0, "cpu"), (2, "rate")):
        figures[index].beside = beside[which]
    return figures


def fleet(rounds: int, span_ms: int) -> list[Figure]:
    """M4 and M5."""
    sides: dict[str, list[dict[str, Any]]] = {"reference": [], "dgm": [], "timer": []}
    absent = ""
    for _ in range(rounds):
        sides["timer"].append(asked([peers(), "timer", 0, span_ms, SLOT_US]))
        sides["reference"].append(
            observed(lambda port: asked([peers(), "paced", port, span_ms, DEVICES, PERIOD_US, SLOT_US]))
        )
        if not absent:
            try:
                sides["dgm"].append(
                    observed(lambda port: dgm(port, span_ms, devices=DEVICES, period_ms=PERIOD_US // 1000))
                )
            except Absent as reason:
                absent = str(reason)
    if absent:
        names = ["M4 polls missed", "M4 CPU a read", "M5 lateness p50 / bare timer"]
        return [Figure(name=name, unit="", absent=absent) for name in names]
    return fleet_figures(sides)


def observed(client: Callable[[int], dict[str, Any]]) -> dict[str, Any]:
    """A fleet's report with what its devices saw."""
    with serving([peers(), "ideal", PERIOD_US]) as server:
        found = client(server.port)
    return found | {"seen": server.report}


def fleet_figures(sides: dict[str, list[dict[str, Any]]]) -> list[Figure]:
    """The poller beside the reference, both beside the bare timer."""
    dgm_side, reference = sides["dgm"], sides["reference"]
    ours, theirs = [cost_us(one) for one in dgm_side], [cost_us(one) for one in reference]
    missed = sum(one["missed"] + one["seen"]["missed"] for one in dgm_side)
    by = (
        f"{DEVICES:,} devices x {1_000_000 // PERIOD_US} Hz; reference missed {sum(one['missed'] for one in reference)}"
    )
    late = {name: [one["p50_ns"] / 1000 for one in side] for name, side in sides.items()}
    high = {name: [one["p99_ns"] / 1000 for one in side] for name, side in sides.items()}
    middles = ", ".join(f"{name} {statistics.median(values):.0f}" for name, values in late.items())
    highs = ", ".join(f"{name} {statistics.median(values):.0f}" for name, values in high.items())
    seen = statistics.median(one["seen"]["p50_ns"] / 1000 for one in dgm_side)
    over = [ours_us - 1.25 * floor_us for ours_us, floor_us in zip(high["dgm"], high["timer"], strict=True)]
    share = [one["cpu_ns"] / one["wall_ns"] * 100 for one in dgm_side]
    return [
        Figure(
            name="M4 polls missed", unit=f"of {sum(one['reads'] for one in dgm_side):,}", value=float(missed), beside=by
        ),
        Figure(name="M4 CPU a read", unit="us", samples=ours, beside=f"reference {statistics.median(theirs):.1f} us"),
        Figure(name="M4 CPU a read / reference", unit="x", samples=ratios(ours, theirs)),
        Figure(name="M4 share of a core", unit="%", samples=share),
        Figure(
            name="M5 lateness p50 / bare timer",
            unit="x",
            samples=ratios(late["dgm"], late["timer"]),
            beside=f"us: {middles}; at the devices, after the earliest phase {seen:.0f}",
        ),
        Figure(
            name="M5 reference's p50 / bare timer (what is possible)",
            unit="x",
            samples=ratios(late["reference"], late["timer"]),
            beside="ten devices share each slot of 1 ms and are asked one after the other",
        ),
        Figure(name="M5 lateness p50 / reference", unit="x", samples=ratios(late["dgm"], late["reference"])),
        Figure(name="M5 lateness p99 over 1.25 x bare timer", unit="us", samples=over, beside=f"us: {highs}"),
    ]
