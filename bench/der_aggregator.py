"""What an aggregator of 200 EndDevices costs: its whole der role, polling and posting at the utility's rates.

    simulated utility (a process) <──mutual TLS, loopback── this process: AggregatorRole, journal on disk
    EMS of every site (a process, one service at 200 sockets) <──gRPC───┘

Every device has its own Registration, groups, DER, six mirrors (W, var, V of site and DER; five have readings) and is
in two groups with shared programs and controls. Measured is this process's CPU time over the seconds after everybody is
registered, in percent of one core, and from the utility's own record of each request how exactly every href was polled.
The bar is 10 % of a core with no poll missed or early. Loopback only; bounded in count and time.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import signal
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import AsyncIterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import grpc.aio
from prometheus_client import CollectorRegistry

from dgm import config as site_config
from dgm.api.ems.v1 import ems_pb2, ems_pb2_grpc
from dgm.api.site.v1 import site_pb2, site_pb2_grpc
from dgm.api.site.v1.site_pb2 import CircuitState, PhaseValues, Quality, Sample, WatchSiteResponse
from dgm.der.exchange import Link
from dgm.der.service import AggregatorRole
from dgm.journal import Journal
from dgm.log import setup
from dgm.role import RoleContext
from dgm.sim.live.pki import TestPki, write_pki

BAR_PERCENT = 10.0
DEVICES = 200
POLL_S, POST_S = 60, 300
EARLY_S, LATE_PART = 0.95, 1.5
"""A poll before this part of its rate is early, one after the other is missed (CACTUS: at most 1.5 times the rate)."""
SETTLE_S = 300.0
ME = Path(__file__)

SITE = """
site: {id: s, name: S, state_dir: state, run_dir: run}
circuits:
  - {id: grid, import_limit_w: 500000, current_limit_ma: 800000, export_limit_w: 100000, meter: meter,
      max_uncontrolled_w: 20000, min_uncontrolled_w: 0}
assets:
  - {id: meter, type: METER, circuit: grid, modbus: {host: 127.0.0.1, port: 5020, unit_id: 1}}
  - {id: pv-1, type: PV, circuit: grid, power_max_w: 100000, revert_w: 0,
      modbus: {host: 127.0.0.1, port: 5021, unit_id: 1}}
  - {id: battery, type: BATTERY, circuit: grid, power_max_w: 50000, energy_wh: 100000, revert_w: 0,
      modbus: {host: 127.0.0.1, port: 5022, unit_id: 1}}
"""
OWN = """
site: {{id: aggregator, name: Aggregator}}
der:
  url: {url}
  certificate: {pki}/device.pem
  private_key: {pki}/device.key
  ca: {pki}/root.pem
  pen: 37244
  end_devices:
"""


class Ems(ems_pb2_grpc.EmsServiceServicer, site_pb2_grpc.SiteServiceServicer):
    """Takes every limit, and tells of a site whose power moves."""

    async def PutLimit(self, request: ems_pb2.PutLimitRequest, context: Any) -> ems_pb2.PutLimitResponse:
        return ems_pb2.PutLimitResponse(limit=request.limit)

    async def DeleteLimit(self, request: ems_pb2.DeleteLimitRequest, context: Any) -> ems_pb2.DeleteLimitResponse:
        return ems_pb2.DeleteLimitResponse(existed=False)

    async def WatchSite(self, request: site_pb2.WatchSiteRequest, context: Any) -> AsyncIterator[WatchSiteResponse]:
        turn = 0
        while True:
            turn += 1
            yield observed(turn)
            await asyncio.sleep(request.interval_ms / 1000)


def observed(turn: int) -> WatchSiteResponse:
    """A meter, PV and a battery."""
    good = Quality.QUALITY_GOOD
    volts = PhaseValues(l1=230_100, l2=230_200, l3=230_300)
    power_w = 100_000 + turn * 100 % 20_000
    return WatchSiteResponse(
        snapshot=turn == 1,
        samples=[
            Sample(asset_id="meter", quality=good, power_w=power_w, reactive_var=3000, voltage_mv=volts),
            Sample(asset_id="pv-1", quality=good, power_w=-40_000 - turn, reactive_var=0),
            Sample(asset_id="battery", quality=good, power_w=10_000, reactive_var=0, soc_permille=634),
        ],
        circuits=[CircuitState(circuit_id="grid", net_power_w=power_w)],
    )


async def serve_ems(sockets: list[Path]) -> None:
    """The process of the EMSs: one service at the socket of every site."""
    server = grpc.aio.server()
    ems_pb2_grpc.add_EmsServiceServicer_to_server(Ems(), server)
    site_pb2_grpc.add_SiteServiceServicer_to_server(Ems(), server)
    for socket in sockets:
        server.add_insecure_port(f"unix:{socket}")
    await server.start()
    print("READY {}", flush=True)
    await server.wait_for_termination()


@contextlib.asynccontextmanager
async def process(*command: str) -> AsyncIterator[dict[str, Any]]:
    """A child that says READY and a JSON when it is."""
    child = await asyncio.create_subprocess_exec(
        sys.executable, *command, stdout=asyncio.subprocess.PIPE, env=dict(os.environ)
    )
    try:
        assert child.stdout is not None
        line = await asyncio.wait_for(child.stdout.readline(), 30)
        yield json.loads(line.decode().removeprefix("READY "))
    finally:
        with contextlib.suppress(ProcessLookupError):
            child.send_signal(signal.SIGTERM)
        await asyncio.wait_for(child.wait(), 20)


def utility_file(folder: Path, pki: TestPki, lfdis: list[str], poll_s: int) -> Path:
    """The configuration of the simulated utility."""
    control = {"start_offset_s": 120, "duration_s": 3600, "modes": {"opModImpLimW": 90_000}}
    config = {
        "out_dir": str(folder),
        "max_seconds": 3600,
        "certificate": str(pki.server_certificate),
        "private_key": str(pki.server_key),
        "ca": str(pki.root_certificate),
        "devices": [{"lfdi": pki.device_lfdi, "pin": 111115}],
        "end_devices": [{"lfdi": lfdi, "pin": 111115} for lfdi in lfdis],
        "poll_s": poll_s,
        "post_s": POST_S,
        "default": {"opModImpLimW": 300_000},
        "controls": [
            {**control, "mrid": f"{program:024X}00037244", "program": program, "creation_offset_s": 0}
            for program in (0, 1)
        ],
    }
    file = folder / "utility.config.json"
    file.write_text(json.dumps(config), encoding="utf-8")
    return file


def write_sites(folder: Path, url: str, pki: TestPki, lfdis: list[str]) -> str:
    """A site.yaml for each device; the aggregator's own."""
    rows = []
    for number, lfdi in enumerate(lfdis):
        (folder / "sites" / str(number) / "run").mkdir(parents=True, exist_ok=True)
        (folder / "sites" / str(number) / "site.yaml").write_text(SITE, encoding="utf-8")
        rows.append(f'    - {{lfdi: "{lfdi}", pin: "111115", site: sites/{number}/site.yaml, site_rating_w: 150000}}')
    return OWN.format(url=url, pki=pki.root_certificate.parent) + "\n".join(rows) + "\n"


def pacing(folder: Path, since_ms: int, poll_s: int) -> dict[str, Any]:
    """How the first page of every polled href was asked for, from the utility's own record."""
    times: dict[str, list[int]] = defaultdict(list)
    requests = 0
    for text in (folder / "utility.jsonl").read_text(encoding="utf-8").splitlines():
        line = json.loads(text)
        if line["kind"] != "request" or line["utc_ms"] < since_ms:
            continue
        requests += 1
        if line["method"] == "GET":
            times[line["path"]].append(line["utc_ms"])
    gaps = []
    for found in times.values():
        # Pages of one list follow each other at once.
        firsts = [at for index, at in enumerate(found) if index == 0 or at - found[index - 1] > 5000]
        gaps += [later - earlier for earlier, later in pairwise(firsts)]
    rates = (poll_s, 900)
    nearest = [(gap / 1000, min(rates, key=lambda rate: abs(gap / 1000 - rate))) for gap in gaps]
    return {
        "requests": requests,
        "hrefs_polled": len(times),
        "gaps": len(gaps),
        "early": sum(gap < EARLY_S * rate for gap, rate in nearest),
        "missed": sum(gap > LATE_PART * rate for gap, rate in nearest),
        "longest_gap_s": round(max(gap for gap, _ in nearest), 1) if nearest else None,
    }


async def measure(devices: int, seconds: int, poll_s: int) -> dict[str, Any]:
    """The figures of one run."""
    with tempfile.TemporaryDirectory(prefix="dgm-agg-") as name:
        folder = Path(name)
        pki = write_pki(folder / "pki")
        lfdis = [f"{number:032X}00037244" for number in range(1, devices + 1)]
        async with process("-m", "dgm.sim.live.utility", str(utility_file(folder, pki, lfdis, poll_s))) as utility:
            text = write_sites(folder, utility["url"], pki, lfdis)
            async with process(str(ME), "--ems", str(folder)):
                return await _figures(folder, text, seconds, poll_s)


async def _figures(folder: Path, text: str, seconds: int, poll_s: int) -> dict[str, Any]:
    journal = Journal(folder / "der.journal")
    context = RoleContext(
        config=site_config.parse(text),
        base_dir=folder,
        state_dir=folder,
        epoch=1,
        journal=journal,
        channel=lambda name: grpc.aio.insecure_channel("unix:unused"),
        registry=CollectorRegistry(),
    )
    started = time.monotonic()
    role = AggregatorRole(context)
    running = asyncio.create_task(role.run())
    try:
        async with asyncio.timeout(SETTLE_S):
            while not all(core.discovery.link is Link.READY for core in role.core.cores.values()):  # noqa: ASYNC110
                await asyncio.sleep(0.5)
        ready_s = time.monotonic() - started
        await asyncio.sleep(90)  # mirrors, first reports
        cpu_s, since_s, since_ms = time.process_time(), time.monotonic(), int(time.time() * 1000)
        shares = []
        for _ in range(max(seconds // 30, 1)):
            before = time.process_time(), time.monotonic()
            await asyncio.sleep(30)
            shares.append((time.process_time() - before[0]) / (time.monotonic() - before[1]) * 100)
        share = (time.process_time() - cpu_s) / (time.monotonic() - since_s) * 100
        bounds = sum(bool(core.discovery.link is Link.READY) for core in role.core.cores.values())
    finally:
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running
        journal.close()
    return {
        "devices": len(role.core.cores),
        "ready": bounds,
        "all_ready_after_s": round(ready_s, 1),
        "seconds": seconds,
        "poll_s": poll_s,
        "cpu_percent": round(share, 1),
        "cpu_percent_of_30_s": {
            "median": round(statistics.median(shares), 1),
            "most": round(max(shares), 1),
        },
        **pacing(folder, since_ms, poll_s),
    }


def main() -> int:
    """1 when the bar is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--devices", type=int, default=DEVICES)
    parser.add_argument("--seconds", type=int, default=300)
    parser.add_argument("--poll", type=int, default=POLL_S)
    parser.add_argument("--ems", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.ems is not None:
        asyncio.run(serve_ems([run / "ems.sock" for run in sorted(options.ems.glob("sites/*/run"))]))
        return 0
    setup("bench", level="WARNING")
    figures = asyncio.run(measure(options.devices, options.seconds, options.poll))
    print(json.dumps(figures, indent=1))
    return int(figures["cpu_percent"] > BAR_PERCENT or figures["early"] > 0 or figures["missed"] > 0)


if __name__ == "__main__":
    sys.exit(main())
