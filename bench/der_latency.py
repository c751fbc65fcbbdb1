"""From a utility's answer or notification to its limit in force: what the DER gateway takes for one control.

    this process: simulated utility ──mutual TLS, loopback──> dgm run (der ──gRPC──> ems, journals, core)
          t0 a control is in an answer, or posted                        t1 WatchLimits shows it in force
                      └────────────────────────── t1 - t0 ──────────────────────────┘

t0 is taken before the utility writes, t1 when this process has read the stream, so the way there and both streams are
in the figure. Each control is new, has begun, supersedes the one before and is answered with 1 and 2; journals are real
and on disk. The bar is a p99 of 100 ms over 200 controls. Loopback only; bounded in count and time.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import random
import signal
import socket
import ssl
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

from dgm import rpc
from dgm.api.ems.v1.ems_pb2 import LimitState, WatchLimitsRequest
from dgm.api.ems.v1.ems_pb2_grpc import EmsServiceStub
from dgm.sim.live.pki import TestPki, write_pki
from dgm.sim.live.process import utc_ms
from dgm.sim.live.utility import Utility, UtilityServer, tls_context
from dgm.sim.utility.state import Control, mrid_of

BAR_MS = 100.0
COUNT = 200
BASE_W, STEP_W = 200_000, 10
LIMIT = "utility:opModImpLimW"
KEPT = 3
"""Controls that stay listed; older ones have been superseded and are taken off the list."""
PATIENCE_S = 30.0

SITE = """
site: {{id: latency, name: Latency, state_dir: state, run_dir: run}}
circuits:
  - {{id: grid, import_limit_w: 500000, current_limit_ma: 800000, export_limit_w: 100000, meter: meter,
      max_uncontrolled_w: 20000, min_uncontrolled_w: 0}}
assets:
  - {{id: meter, type: METER, circuit: grid, modbus: {{host: 127.0.0.1, port: {dead}, unit_id: 1}}}}
der:
  url: {url}
  certificate: {pki}/device.pem
  private_key: {pki}/device.key
  ca: {pki}/root.pem
  pin: "111115"
  site_rating_w: 150000
  pen: 37244
"""
NOTIFY = "  notify: {{host: 127.0.0.1, port: {port}, url: 'https://127.0.0.1:{port}/notify'}}\n"


class Timed(Utility):
    """A utility that knows when each power first left it."""

    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__(config)
        self.left_s: dict[int, float] = {}
        self.newest = (0, b"-")
        """Power and mRID of the newest control."""

    def begin(self, number: int) -> int:
        """Add a control that has begun; its power names it."""
        program, now_s = self.server.state.programs["0"], utc_ms() // 1000
        power_w = BASE_W + number * STEP_W
        control = Control(
            mrid=mrid_of("control", str(number)),
            creation_s=now_s - COUNT * 10 + number,
            start_s=now_s,
            duration_s=3600,
            modes={"opModImpLimW": power_w},
        )
        program.controls[control.mrid] = control
        for old in list(program.controls)[:-KEPT]:
            del program.controls[old]
        self.newest = (power_w, control.mrid.encode())
        return power_w

    async def handle(self, request: web.Request) -> web.Response:
        """Note when the newest power leaves in an answer."""
        response = await super().handle(request)
        body = response.body if isinstance(response.body, bytes) else b""
        if request.method == "GET":
            self.leaves(body)
        return response

    def leaves(self, body: bytes) -> None:
        """Something is about to be sent."""
        power_w, mrid = self.newest
        if mrid in body:
            self.left_s.setdefault(power_w, time.monotonic())


class Notifying(UtilityServer):
    """A utility server that tells what has changed when it is told to, and notes when."""

    def __init__(self, utility: Timed) -> None:
        super().__init__(utility)
        self.timed = utility
        self.session: aiohttp.ClientSession | None = None

    async def _step(self) -> None:
        await asyncio.Event().wait()

    async def tell(self) -> None:
        """Send what is to be told now."""
        if self.session is None:
            context = tls_context(self.timed.config, ssl.PROTOCOL_TLS_CLIENT)
            self.session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=context))
        self.timed.server.advance(utc_ms())
        for push in self.timed.server.pushes():
            self.timed.leaves(push.body)
            await self._push(self.session, push)


class Watcher:
    """Follows the limits of the ems role; knows when each power came into force."""

    def __init__(self, target: str) -> None:
        self.seen_s: dict[int, float] = {}
        self._bell = asyncio.Event()
        self._stub = EmsServiceStub(rpc.channel(target))

    async def run(self) -> None:
        """Until cancelled."""
        async for answer in self._stub.WatchLimits(WatchLimitsRequest(), wait_for_ready=True):
            at_s = time.monotonic()
            for status in answer.limits:
                if status.limit.id == LIMIT and status.state != LimitState.LIMIT_STATE_PENDING:
                    self.seen_s.setdefault(status.limit.power_w, at_s)
            self._bell.set()

    async def until(self, power_w: int) -> None:
        """Wait for a power to be in force."""
        async with asyncio.timeout(PATIENCE_S):
            while power_w not in self.seen_s:
                self._bell.clear()
                await self._bell.wait()


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.asynccontextmanager
async def product(folder: Path, site: str) -> AsyncIterator[str]:
    """`dgm run` on a site; its ems socket."""
    (folder / "site.yaml").write_text(site, encoding="utf-8")
    log = (folder / "product.log").open("wb")
    command = [sys.executable, "-m", "dgm.cli.main", "run", str(folder / "site.yaml")]
    child = await asyncio.create_subprocess_exec(
        *command, stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=log, env=dict(os.environ)
    )
    try:
        yield f"unix:{rpc.socket_path(folder / 'run', 'ems')}"
    finally:
        with contextlib.suppress(ProcessLookupError):
            child.send_signal(signal.SIGTERM)
        await asyncio.wait_for(child.wait(), 20)
        log.close()


def utility_config(pki: TestPki, *, is_notifying: bool) -> dict[str, Any]:
    """Polled each second, or subscribed to."""
    return {
        "out_dir": ".",
        "max_seconds": 1200,
        "certificate": str(pki.server_certificate),
        "private_key": str(pki.server_key),
        "ca": str(pki.root_certificate),
        "devices": [{"lfdi": pki.device_lfdi, "pin": 111115}],
        "poll_s": 300 if is_notifying else 1,
        "post_s": 300,
        "subscribable": is_notifying,
        "default": {"opModImpLimW": 300_000},
    }


async def measure(count: int, *, is_notifying: bool) -> list[float]:
    """ms of each control."""
    with tempfile.TemporaryDirectory(prefix="dgm-lat-") as name:
        folder = Path(name)
        pki = write_pki(folder / "pki")
        utility = Timed(utility_config(pki, is_notifying=is_notifying))
        server = Notifying(utility)
        site = SITE.format(url=await server.start(), pki=pki.root_certificate.parent, dead=free_port())
        site += NOTIFY.format(port=free_port()) if is_notifying else ""
        async with product(folder, site) as target:
            watcher = Watcher(target)
            watching = asyncio.create_task(watcher.run())
            try:
                return await _controls(utility, server, watcher, count, is_notifying=is_notifying)
            finally:
                watching.cancel()
                await server.stop()
                if server.session is not None:
                    await server.session.close()


async def _controls(
    utility: Timed, server: Notifying, watcher: Watcher, count: int, *, is_notifying: bool
) -> list[float]:
    draw = random.Random(1)
    await watcher.until(300_000)
    if is_notifying:
        async with asyncio.timeout(PATIENCE_S):
            while "derc 0" not in {wish.name for wish in utility.server.subscriptions.values()}:  # noqa: ASYNC110
                await asyncio.sleep(0.1)
        await asyncio.sleep(2)
    found = []
    for number in range(count):
        power_w = utility.begin(number)
        if is_notifying:
            await server.tell()
        await watcher.until(power_w)
        found.append((watcher.seen_s[power_w] - utility.left_s[power_w]) * 1000)
        await asyncio.sleep(draw.uniform(0.1, 0.3))
    return found


def row(name: str, found: list[float]) -> dict[str, Any]:
    """The figures of one way."""
    ordered = sorted(found)
    return {
        "way": name,
        "controls": len(ordered),
        "p50_ms": round(statistics.median(ordered), 1),
        "p90_ms": round(ordered[int(len(ordered) * 0.90)], 1),
        "p99_ms": round(ordered[min(int(len(ordered) * 0.99), len(ordered) - 1)], 1),
        "max_ms": round(ordered[-1], 1),
    }


async def main() -> int:
    """Both ways; 1 when the bar is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=COUNT)
    parser.add_argument("--way", choices=("poll", "notification", "both"), default="both")
    options = parser.parse_args()
    ways = ("notification", "poll") if options.way == "both" else (options.way,)
    is_missed = False
    for way in ways:
        figures = row(way, await measure(options.count, is_notifying=way == "notification"))
        is_missed |= figures["p99_ms"] > BAR_MS
        print(json.dumps(figures), flush=True)
    return int(is_missed)


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
