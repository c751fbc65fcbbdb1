"""From the reply on the socket to a value in Python, and what Python must not be able to disturb.

    device ──> poller thread ──> image, eventfd ──> asyncio ──> refresh() ──> registers()      all on one core
    native process ───────────────── eventfd ─────> asyncio                                    the floor

The roles run in modbus_poller.py. An eventfd between two processes is the floor: what lies above it is the poller's
wake, its decoding and the copy.
"""

from __future__ import annotations

import statistics

from modbus_bars import Figure, ratios
from modbus_processes import Absent, asked, peers, role, serving

PERIOD_US, FLEET_PERIOD_US = 1000, 100_000
HELD_S, SETS = 2.0, 150
# What 125,000 registers may take where twice a plain copy is less.
REFRESH_US = 10.0


def latency(rounds: int, span_ms: int) -> list[Figure]:
    """M6."""
    floors, replies = [], []
    for _ in range(rounds):
        floors.append(role("floor", str(peers()), span_ms, PERIOD_US))
        with serving([peers(), "device", 1]) as server:
            replies.append(role("reply", server.port, span_ms))
    over = [(ours["p50_ns"] - floor["p50_ns"]) / 1000 for ours, floor in zip(replies, floors, strict=True)]
    high = ratios([one["p99_ns"] for one in replies], [one["p99_ns"] for one in floors])
    shown = {
        name: statistics.median(one["p50_ns"] / 1000 for one in side)
        for name, side in (("reply", replies), ("eventfd", floors))
    }
    return [
        Figure(
            name="M6 reply to Python p50 over eventfd",
            unit="us",
            samples=over,
            beside=f"us: reply {shown['reply']:.1f}, eventfd alone {shown['eventfd']:.1f}",
        ),
        Figure(name="M6 reply to Python p99 / eventfd", unit="x", samples=high),
    ]


def setting(rounds: int) -> list[Figure]:
    """M9: until the device has taken the bytes from its socket, its own wake on the same core included."""
    timer_us: list[float] = []
    ours: list[list[float]] = []
    plain: list[list[float]] = []
    for _ in range(rounds):
        timer_us.append(asked([peers(), "timer", 0, 300, PERIOD_US])["p99_ns"] / 1000)
        with serving([peers(), "device"]) as server:
            handed_in = role("set", server.port, SETS)["handed_in"]
        when_ns = {value: moment_ns for moment_ns, value in server.report}
        lost = [value for _, value in handed_in if value not in when_ns]
        if lost:
            raise Absent(f"set(): {len(lost)} of {len(handed_in)} values never came to the device")
        for side, rest in ((ours, 1), (plain, 0)):
            side.append(sorted((when_ns[at] - moment_ns) / 1000 for moment_ns, at in handed_in if at % 2 == rest))
    middle, bare = ([one[len(one) // 2] for one in side] for side in (ours, plain))
    high = [one[len(one) * 99 // 100] for one in ours]
    over = [one - floor for one, floor in zip(high, timer_us, strict=True)]
    by = f"idle line, device's wake included; a plain socket of Python's own {statistics.median(bare):.1f} us"
    beside = f"us: p99 {statistics.median(high):.0f}, bare timer's p99 {statistics.median(timer_us):.0f}"
    return [
        Figure(name="M9 set() to wire p50", unit="us", samples=middle, beside=by),
        Figure(name="M9 set() to wire p50 / plain socket", unit="x", samples=ratios(middle, bare)),
        Figure(name="M9 set() to wire p99 over bare timer", unit="us", samples=over, beside=beside),
    ]


def reading(rounds: int) -> list[Figure]:
    """M7: medians of many moments; the bar on refresh() is the laxer of its two, as the target says."""
    with serving([peers(), "ideal"]) as server:
        found = role("reading", server.port, 4 * rounds)
    middle_us = {name: statistics.median(times) / 1000 for name, times in found["times_ns"].items()}
    refresh_us, copy_us = middle_us["refresh"], middle_us["copy"]
    beside = f"refresh() {refresh_us:.1f} us, a plain copy of its 250,000 bytes at the same moment {copy_us:.1f} us, "
    beside += f"the copy again with all in the cache {middle_us['copy_again']:.1f} us"
    shares = {name: refresh_us / max(REFRESH_US, 2 * middle_us[name]) for name in ("copy", "copy_again")}
    extra = {"times_ns": found["times_ns"], "devices_right": found["devices"]}
    return [
        Figure(name="M7 one value", unit="ns", value=found["value_ns"], beside="an index into registers()"),
        Figure(
            name="M7 refresh of 125,000 registers / 2 copies or 10 us",
            unit="x",
            value=shares["copy"],
            beside=beside,
            extra=extra,
        ),
        Figure(name="M7 refresh / 2 copies that are in the cache or 10 us", unit="x", value=shares["copy_again"]),
    ]


def held() -> list[Figure]:
    """M8, the master's half: the devices say what they missed."""
    with serving([peers(), "ideal", FLEET_PERIOD_US]) as server:
        role("held", server.port, HELD_S)
    seen = server.report
    beside = (
        f"by the devices' own count; {seen['connections']} devices x 10 Hz, lateness p99 {seen['p99_ns'] / 1e3:.0f} us"
    )
    return [
        Figure(
            name="M8 polls missed, interpreter held 2 s",
            unit=f"of {seen['reads']}",
            value=float(seen["missed"]),
            beside=beside,
        )
    ]


def memory(reads: int) -> list[Figure]:
    """M11."""
    with serving([peers(), "ideal"]) as server:
        found = role("memory", server.port, reads)
    return [
        Figure(name="M11 memory a device", unit="KiB", value=found["device_kib"], beside="1,000 devices, resident"),
        Figure(
            name="M11 growth over all reads", unit="KiB", value=found["growth_kib"], beside=f"{found['reads']:,} reads"
        ),
    ]
