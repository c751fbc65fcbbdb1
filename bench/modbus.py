"""Benchmark of the Modbus core: every figure beside what the same host can do, in the same run, on one core.

    modbus_master.py    M1-M5   one connection, 16 in flight, 1,000 devices
    modbus_boundary.py  M6-M9   from the socket to Python and back, the interpreter held; M11 memory
    modbus_server.py    M8, M12, M13, M18   the facade
    modbus_package.py   M20     import time, size

Read the ratios and the verdicts; times are this host's at that hour. The bars stand in modbus_bars.py. Absolute bars
(15 us, 30 us, ...) are goals: the host's own floor of the same run is printed beside them. Loopback only, about four
minutes; `--quick` takes less than one and says less.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import modbus_boundary
import modbus_master
import modbus_package
import modbus_server
from modbus_bars import Figure, table
from modbus_processes import CORE, OTHER_CORE, ROOT, Absent, libmodbus_version, peers, precedence


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """How long everything runs."""

    rounds: int = 7
    span_ms: int = 500
    fleet_rounds: int = 5
    fleet_ms: int = 2000
    isolation_rounds: int = 14
    isolation_ms: int = 600
    reads: int = 1_000_000


FULL = Scale()
QUICK = Scale(rounds=3, span_ms=150, fleet_rounds=1, fleet_ms=1000, isolation_rounds=5, isolation_ms=300, reads=200_000)
SOAK_READS = 10_000_000
JSON = ROOT / ".benchmarks" / "modbus.json"

PARTS: dict[str, Callable[[Scale], list[Figure]]] = {
    "one": lambda scale: modbus_master.one_connection(scale.rounds, scale.span_ms),
    "fleet": lambda scale: modbus_master.fleet(scale.fleet_rounds, scale.fleet_ms),
    "boundary": lambda scale: modbus_boundary.latency(scale.rounds, scale.span_ms),
    "set": lambda scale: modbus_boundary.setting(scale.rounds),
    "reading": lambda scale: modbus_boundary.reading(scale.rounds),
    "held": lambda scale: modbus_boundary.held() + modbus_server.held(),
    "memory": lambda scale: modbus_boundary.memory(scale.reads),
    "server": lambda scale: modbus_server.throughput(scale.rounds, scale.span_ms),
    "isolation": lambda scale: modbus_server.isolation(scale.isolation_rounds, scale.isolation_ms),
    "security": lambda scale: modbus_server.security((scale.rounds + 1) // 2, scale.span_ms),
    "package": lambda scale: modbus_package.figures(scale.rounds),
}


def first_line(path: str) -> str:
    """Of a file of the kernel; nothing where there is none."""
    try:
        return Path(path).read_text(encoding="ascii").splitlines()[0]
    except (OSError, IndexError):
        return ""


def host() -> dict[str, Any]:
    """What a reader needs to judge the absolute figures."""
    models = [line for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines() if "model name" in line]
    return {
        "processor": models[0].partition(":")[2].strip() if models else platform.machine(),
        "cores": os.cpu_count(),
        "core_measured": CORE,
        "core_of_others": OTHER_CORE,
        "kernel": platform.release(),
        "python": platform.python_version(),
        "libmodbus": libmodbus_version(),
        "tcp_congestion_control": first_line("/proc/sys/net/ipv4/tcp_congestion_control"),
        "load_before": round(os.getloadavg()[0], 2),
    }


def run(names: Sequence[str], scale: Scale) -> tuple[list[Figure], dict[str, float]]:
    """All parts, one after the other; a part that cannot run says why and does not stop the others."""
    figures, seconds = [], {}
    for name in names:
        started_s = time.monotonic()
        try:
            figures += PARTS[name](scale)
        except Absent as reason:
            figures.append(Figure(name=f"part {name}", unit="", absent=str(reason)))
        seconds[name] = round(time.monotonic() - started_s, 1)
        print(f"{name}: {seconds[name]:.1f} s", file=sys.stderr)
    return figures, seconds


def main() -> None:
    """Parse, measure, print the table and write everything."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="short spans, three rounds, less than a minute")
    parser.add_argument("--only", nargs="+", choices=list(PARTS), help="parts to run (default all)")
    parser.add_argument("--soak", action="store_true", help="memory over ten million reads instead of one")
    parser.add_argument(
        "--json", type=Path, default=JSON, help="where all figures go (default .benchmarks/modbus.json)"
    )
    arguments = parser.parse_args()
    scale = QUICK if arguments.quick else FULL
    if arguments.soak:
        scale = replace(scale, reads=SOAK_READS)
    peers()
    facts = host()
    with precedence() as is_preferred:
        figures, seconds = run(arguments.only or list(PARTS), scale)
    facts |= {"preferred_by_scheduler": is_preferred, "load_after": round(os.getloadavg()[0], 2)}
    print(table(figures))
    print(", ".join(f"{name} {value}" for name, value in facts.items()))
    records = [figure.record() for figure in figures]
    found = {"host": facts, "scale": asdict(scale), "seconds": seconds, "figures": records}
    arguments.json.parent.mkdir(exist_ok=True)
    arguments.json.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
