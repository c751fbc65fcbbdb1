"""Memory of DGM's poller over ten million reads, without Python: resident size against reads, and its slope.

    fleet_poll (dgm_core), 16 in flight ──> one device;    /proc/PID/statm, four times a second

The first fifth is left out: connections, and pages touched for the first time. Ends with 1 where it grows by more than
the benchmark's bar (M11).
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
from pathlib import Path

from modbus_bars import BARS
from modbus_processes import CORE, fleet_poll, peers, serving, start

LOOK_S, LEFT_OUT, PATIENCE_S = 0.25, 0.2, 30.0
READS = 10_000_000


def resident_kib(pid: int) -> float:
    """Of a process."""
    return int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1024


def watched(port: int, span_ms: int, devices: int) -> tuple[list[float], dict[str, int]]:
    """Resident sizes while it reads, and its report."""
    options = {"--port": port, "--ms": span_ms, "--devices": devices, "--window": 16}
    process = start([fleet_poll(), *(str(word) for pair in options.items() for word in pair)], CORE)
    sizes, end_s = [], time.monotonic() + span_ms / 1000 + PATIENCE_S
    try:
        while process.poll() is None and time.monotonic() < end_s:
            time.sleep(LOOK_S)
            if process.poll() is None:
                sizes.append(resident_kib(process.pid))
        output, _ = process.communicate(timeout=1)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
    found: dict[str, int] = json.loads(output)
    return sizes[int(len(sizes) * LEFT_OUT) :], found


def main() -> int:
    """One run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=40.0)
    parser.add_argument("--devices", type=int, default=1)
    arguments = parser.parse_args()
    with serving([peers(), "device", arguments.devices]) as server:
        sizes, found = watched(server.port, round(arguments.seconds * 1000), arguments.devices)
    reads_each = found["reads"] * (1 - LEFT_OUT) / len(sizes)
    slope = statistics.linear_regression([number * reads_each / 1e6 for number in range(len(sizes))], sizes).slope
    growth = max(sizes) - sizes[0]
    is_flat = BARS["M11 growth over all reads"].holds(growth)
    print(
        f"fleet_poll: {found['reads']:,} reads of 125 registers, resident {sizes[0]:,.0f} .. {max(sizes):,.0f} KiB, "
        f"{slope:+.3f} KiB a million reads: {'flat' if is_flat else 'GROWS'}"
    )
    if found["reads"] < READS:
        print(f"found fewer reads than {READS:,}; expected as many: give it more --seconds on this host")
    return 0 if is_flat else 1


if __name__ == "__main__":
    sys.exit(main())
