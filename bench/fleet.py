"""Fleet benchmark of the OCPP gateway: what it adds between N stations and their CSMS, and what it costs.

    N client sockets ──> CSMS                                            "direct"
    N client sockets ──> plain relay ──> CSMS                            "relay": see fleet_peers.py
    N client sockets ──> bare legs ──> CSMS                              "legs": the same on DGM's own legs
    N client sockets ──> dgm serve ocpp ──> CSMS   (+ dgm serve ems)     "gateway"

All ways alternate in one run with the same frames, so that their differences and ratios hold on a noisy host; absolute
figures are this host's. Phase "paced" sends at a fixed rate and gives latency; phase "closed loop" sends the next frame
when the answer has come and gives round trips per second. The gateway does its whole work: its ems role runs beside it,
every station's limit is installed and proved before anything is measured. CPU and memory are those of the one process
in the way, from /proc; what decoding the copies took of it is the gateway's own figure, from its metrics. Loopback
only; bounded in count and time.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import signal
import socket
import statistics
import sys
import tempfile
import urllib.request
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from websockets.asyncio.client import connect
from websockets.typing import Subprotocol

from fleet_stations import CURRENT_MAX_MA, Load, closed_loop, connected, paced, settled, storm

ROUNDS = 3
BACKLOG = 20
"""Readings that a station of the boot storm has stored."""

COUNTS_PATH = "/counts"
CLOCK_TICKS = os.sysconf("SC_CLK_TCK")
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
START_S = 20.0
STOP_S = 10.0
PEERS = Path(__file__).with_name("fleet_peers.py")


@dataclass
class Way:
    """One way from the stations to the CSMS and what was measured on it, a value per round."""

    name: str
    url: str
    pid: int | None = None
    metrics_url: str | None = None
    idle_mib: float = 0.0
    peak_mib: float = 0.0
    paced: list[Load] = field(default_factory=list)
    closed: list[Load] = field(default_factory=list)
    paced_cpu_s: list[float] = field(default_factory=list)
    closed_cpu_s: list[float] = field(default_factory=list)
    decode_s: list[float] = field(default_factory=list)

    def copies_cpu_s(self) -> float:
        """CPU time of decoding copies since the process began; 0 where nothing is decoded."""
        if self.metrics_url is None:
            return 0.0
        with urllib.request.urlopen(self.metrics_url, timeout=5) as answer:
            lines = answer.read().decode().splitlines()
        return float(next(line for line in lines if line.startswith("dgm_ocpp_copies_cpu_seconds_total")).split()[1])

    def cpu_s(self) -> float:
        """CPU time of the process in the way since its start."""
        if self.pid is None:
            return 0.0
        fields = Path(f"/proc/{self.pid}/stat").read_text(encoding="ascii").rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / CLOCK_TICKS

    def rss_mib(self) -> float:
        """Resident memory of the process in the way."""
        if self.pid is None:
            return 0.0
        return int(Path(f"/proc/{self.pid}/statm").read_text(encoding="ascii").split()[1]) * PAGE_BYTES / 2**20

    def latency_ms(self, share: float) -> float:
        """Median over the rounds of one quantile of the paced phase."""
        return statistics.median(load.quantile(share) for load in self.paced)

    def figures(self, stations: int) -> dict[str, float]:
        """Medians of the rounds."""
        found = {
            "p50_ms": self.latency_ms(0.5),
            "p99_ms": self.latency_ms(0.99),
            "closed_loop_per_s": statistics.median(load.per_second for load in self.closed),
        }
        if self.pid is None:
            return found
        pairs = zip(self.paced, self.paced_cpu_s, strict=True)
        found["paced_cpu_percent"] = 100 * statistics.median(cpu_s / load.seconds for load, cpu_s in pairs)
        pairs = zip(self.closed, self.closed_cpu_s, strict=True)
        found["cpu_us_per_round_trip"] = 1e6 * statistics.median(
            cpu_s / len(load.latencies_ms) for load, cpu_s in pairs
        )
        pairs = zip(self.closed, self.decode_s, strict=True)
        found["of_it_decode_us"] = 1e6 * statistics.median(spent_s / len(load.latencies_ms) for load, spent_s in pairs)
        found["rss_mib"] = self.peak_mib
        found["rss_kib_per_station"] = 1024 * (self.peak_mib - self.idle_mib) / stations
        return found


def site_yaml(directory: Path, *, csms_port: int, gateway_port: int, metrics_port: int, ids: Sequence[str]) -> Path:
    """A site where every station may have its full current though no meter answers."""
    import_w, current_ma = 15_000 * len(ids), 2 * CURRENT_MAX_MA * len(ids)
    lines = [
        "site: {id: bench, name: bench}",
        f"circuits: [{{id: grid, import_limit_w: {import_w}, current_limit_ma: {current_ma}, meter: m,",
        "  max_uncontrolled_w: 1}]",
        "assets: [{id: m, type: METER, circuit: grid, modbus: {host: 127.0.0.1, port: 9, unit_id: 1}}]",
        f"cpos: [{{id: cpo, url: 'ws://127.0.0.1:{csms_port}'}}]",
        f"ocpp: {{port: {gateway_port}}}",
        f"api: {{metrics_port_ocpp: {metrics_port}}}",
        "stations:",
    ]
    for name in ids:
        evse = (
            f"{{id: e-{name}, connector_id: 1, circuit: grid, phases: [L1, L2, L3], current_max_ma: {CURRENT_MAX_MA}}}"
        )
        lines.append(f"  - {{id: {name}, cpo: cpo, evses: [{evse}]}}")
    path = directory / "site.yaml"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def free_port() -> int:
    """A port that was free a moment ago: the gateway's address stands in its site file."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.asynccontextmanager
async def process(*arguments: str, log: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    """A child of ours; it is stopped at the end of the block."""
    with log.open("wb") as errors:
        child = await asyncio.create_subprocess_exec(
            sys.executable,
            *arguments,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=errors,
        )
    try:
        yield child
    finally:
        if child.returncode is None:
            child.send_signal(signal.SIGTERM)
            try:
                await asyncio.wait_for(child.wait(), STOP_S)
            except TimeoutError:
                child.kill()
                await child.wait()


def tail(log: Path) -> str:
    """The last words of a child."""
    return log.read_text(encoding="utf-8")[-2000:]


async def ready_port(child: asyncio.subprocess.Process, log: Path) -> int:
    """The port that a peer of fleet_peers.py says it listens on."""
    assert child.stdout is not None
    line = await asyncio.wait_for(child.stdout.readline(), START_S)
    if not line.startswith(b"READY "):
        raise SystemExit(f"a peer did not start:\n{tail(log)}")
    return int(line.split()[1])


async def listening(child: asyncio.subprocess.Process, port: int, log: Path) -> None:
    """Wait until the gateway listens; say what it said when it does not."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(START_S):
            while child.returncode is None:
                with contextlib.suppress(OSError):
                    _, writer = await asyncio.open_connection("127.0.0.1", port)
                    writer.close()
                    return
                await asyncio.sleep(0.05)
    raise SystemExit(f"the gateway did not listen on {port}:\n{tail(log)}")


async def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    """Start everything, run all rounds, return the figures."""
    ids = [f"B{index:04d}" for index in range(arguments.evse)]
    async with contextlib.AsyncExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="dgm-fleet-")))
        logs = [directory / f"{name}.log" for name in ("csms", "relay", "ems", "ocpp", "legs")]
        csms = await stack.enter_async_context(process(str(PEERS), "csms", "0", log=logs[0]))
        csms_port = await ready_port(csms, logs[0])
        relay = await stack.enter_async_context(process(str(PEERS), "relay", str(csms_port), log=logs[1]))
        legs = await stack.enter_async_context(process(str(PEERS), "legs", str(csms_port), log=logs[4]))
        relay_port, legs_port = await ready_port(relay, logs[1]), await ready_port(legs, logs[4])
        gateway_port, metrics_port = free_port(), free_port()
        site = str(
            site_yaml(directory, csms_port=csms_port, gateway_port=gateway_port, metrics_port=metrics_port, ids=ids)
        )
        dgm = ("-m", "dgm.cli.main", "serve")
        await stack.enter_async_context(process(*dgm, "ems", site, log=logs[2]))
        gateway = await stack.enter_async_context(process(*dgm, "ocpp", site, log=logs[3]))
        await listening(gateway, gateway_port, logs[3])
        ways = [
            Way("direct", f"ws://127.0.0.1:{csms_port}"),
            Way("relay", f"ws://127.0.0.1:{relay_port}", relay.pid),
            Way("legs", f"ws://127.0.0.1:{legs_port}", legs.pid),
            Way(
                "gateway",
                f"ws://127.0.0.1:{gateway_port}",
                gateway.pid,
                metrics_url=f"http://127.0.0.1:{metrics_port}/metrics",
            ),
        ]
        for way in ways:
            way.idle_mib = way.peak_mib = way.rss_mib()
        if arguments.storm:
            return {"stations": arguments.evse} | {
                way.name: await one_storm(way, ids, ways[0].url, arguments) for way in (ways[0], ways[1], ways[3])
            }
        for number in range(ROUNDS):
            for way in ways[number:] + ways[:number]:
                await one_round(way, ids, arguments)
    return figures(ways, arguments)


async def one_storm(way: Way, ids: Sequence[str], csms_url: str, arguments: argparse.Namespace) -> dict[str, float]:
    """All stations come back within the time given, each with its backlog; what the CSMS then has, by its own count."""
    await counts(csms_url)
    before_s = way.cpu_s()
    found = await storm(way.url, ids, seconds=arguments.seconds, backlog=BACKLOG)
    seen = await counts(csms_url)
    return {
        "sent": found.sent,
        "answered": found.answered,
        "refused": found.refused,
        "at_csms": seen["calls"],
        "twice_at_csms": seen["repeated"],
        "connect_p50_ms": found.connecting.quantile(0.5),
        "connect_p99_ms": found.connecting.quantile(0.99),
        "answer_p50_ms": found.answers.quantile(0.5),
        "answer_p99_ms": found.answers.quantile(0.99),
        "cpu_percent": 100 * (way.cpu_s() - before_s) / arguments.seconds,
        "mib": way.rss_mib(),
    }


async def counts(csms_url: str) -> dict[str, int]:
    """What the CSMS has counted since the last time it was asked."""
    async with connect(csms_url + COUNTS_PATH, subprotocols=[Subprotocol("ocpp1.6")], compression=None) as socket:
        found: dict[str, int] = json.loads(await socket.recv())
    return found


async def one_round(way: Way, ids: Sequence[str], arguments: argparse.Namespace) -> None:
    """Connect all stations one way, measure both phases, disconnect."""
    stations = await connected(way.url, ids)
    if way.name == "gateway":
        await settled(stations)
    before_s = way.cpu_s()
    way.paced.append(await paced(stations, arguments.rate, arguments.seconds))
    middle_s, decoded_s = way.cpu_s(), await asyncio.to_thread(way.copies_cpu_s)
    way.closed.append(await closed_loop(stations, arguments.seconds / 2))
    way.paced_cpu_s.append(middle_s - before_s)
    way.closed_cpu_s.append(way.cpu_s() - middle_s)
    way.decode_s.append(await asyncio.to_thread(way.copies_cpu_s) - decoded_s)
    way.peak_mib = max(way.peak_mib, way.rss_mib())
    await asyncio.gather(*(station.close() for station in stations))


def figures(ways: Sequence[Way], arguments: argparse.Namespace) -> dict[str, Any]:
    """What each way measured, what each adds to the direct way, and the gateway's ratios to both relays."""
    direct, relay, legs, gateway = ways
    shown: dict[str, Any] = {
        "stations": arguments.evse,
        "rate_per_station_hz": arguments.rate,
        "rounds": ROUNDS,
        **{way.name: way.figures(arguments.evse) for way in ways},
    }
    for name, share in (("added_p50_ms", 0.5), ("added_p99_ms", 0.99)):
        shown[name] = {
            way.name: statistics.median(
                one.quantile(share) - base.quantile(share) for base, one in zip(direct.paced, way.paced, strict=True)
            )
            for way in (relay, legs, gateway)
        }
    for other in (relay, legs):
        theirs, ours = shown[other.name], shown["gateway"]
        names = ("closed_loop_per_s", "cpu_us_per_round_trip", "paced_cpu_percent")
        ratios = {name: ours[name] / theirs[name] for name in names}
        forwarding_us = ours["cpu_us_per_round_trip"] - ours["of_it_decode_us"]
        ratios["cpu_without_decode"] = forwarding_us / theirs["cpu_us_per_round_trip"]
        shown[f"gateway_to_{other.name}"] = ratios
    return shown


def main() -> None:
    """Parse, measure, print a table and (with --json) write the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--evse", type=int, default=100, help="stations, 1..1000 (default 100)")
    parser.add_argument("--seconds", type=float, default=6.0, help="length of one paced phase (default 6)")
    parser.add_argument("--rate", type=float, default=1.0, help="frames per second and station (default 1)")
    parser.add_argument("--storm", action="store_true", help=f"all come back in --seconds, {BACKLOG} readings stored")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    arguments = parser.parse_args()
    if not (1 <= arguments.evse <= 1000 and 1 <= arguments.seconds <= 120 and 0.1 <= arguments.rate <= 10):
        parser.error("expected --evse 1..1000, --seconds 1..120 and --rate 0.1..10")
    found = asyncio.run(measure(arguments))
    for name, value in found.items():
        pairs = value.items() if isinstance(value, dict) else [("", value)]
        print(f"{name:20} " + ", ".join(f"{key} {item:.4g}".strip() for key, item in pairs))
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
