"""`dgm demo`: a whole simulated site on loopback, the product against it, a live view, and a judgement.

    LiveSite (plant, CSMSs, utility, fleet: a process each) <──real protocols──> `dgm run site.yaml` (all roles)
             │ trace.csv, frame logs, utility log                                    │ gRPC
             └──────────────> judge (sim.checks) ──> summary, exit code         live view

The judge reads what the simulated world wrote, and of the product only the relay's own list of exceptions.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import signal
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import grpc
import grpc.aio
from grpc_health.v1 import health_pb2, health_pb2_grpc
from rich.console import Console
from rich.live import Live
from rich.table import Table

from dgm import clock, rpc
from dgm.api.der.v1 import der_pb2, der_pb2_grpc
from dgm.api.ems.v1 import ems_pb2_grpc, plan_pb2
from dgm.api.site.v1 import site_pb2, site_pb2_grpc
from dgm.app import ROLES
from dgm.cli.view import SiteView, line, render
from dgm.errors import DgmError
from dgm.sim.live.judge import Verdict, judge
from dgm.sim.live.site import LiveSite
from dgm.sim.timeline import Timeline, demo_timeline

LEAD_S = 12.0
"""From the start of the utility to the first second of the timeline: the product starts meanwhile."""

TAIL_S = 60.0
READY_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 20.0
PLAIN_INTERVAL_S = 5.0
VIEW_INTERVAL_S = 0.5
EMS = {"policies": [{"name": "planner"}]}
"""The site of the demo plans its next day, from forecasts that it has only begun to make."""

SETTLE_S = 1.5
"""The simulators' files lag by up to half a second."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoOptions:
    """What the command line asked for."""

    evse: int
    seconds: int
    seed: int
    json_file: Path | None
    record: Path | None
    keep_serving: bool


async def run_demo(options: DemoOptions) -> int:
    """Run and judge; 0 only if every check holds."""
    console = Console()
    draw = random.Random(options.seed)
    timeline = demo_timeline(evse_count=options.evse, seconds=options.seconds, seed=options.seed, draw=draw)
    with contextlib.ExitStack() as stack:
        directory = options.record or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="dgm-demo-")))
        run_dir = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="dgm-run-")))
        tail_s = TAIL_S if not options.keep_serving else 24 * 3600.0
        site = LiveSite(timeline, directory.resolve(), run_dir, lead_s=LEAD_S, tail_s=tail_s, ems=EMS)
        demo = Demo(site, timeline, run_dir, console)
        try:
            return await demo.run(options)
        finally:
            await demo.stop()


class Demo:
    """One run of the demo."""

    def __init__(self, site: LiveSite, timeline: Timeline, run_dir: Path, console: Console) -> None:
        self._site = site
        self._timeline = timeline
        self._run_dir = run_dir
        self._console = console
        self._product: asyncio.subprocess.Process | None = None
        self._view: SiteView | None = None
        self._plan = ""
        self._interrupted = asyncio.Event()

    async def run(self, options: DemoOptions) -> int:
        """Start everything, show it, stop it, judge it."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._interrupted.set)
        self._say(f"starting a simulated site: {options.evse} EVSEs, 3 CSMSs, a utility server, 4 Modbus devices")
        await self._site.start_world()
        self._say(f"starting the product: dgm run {self._site.site_file}")
        await self._start_product()
        await self._site.start_fleet()
        await self._show_until_end()
        if self._interrupted.is_set():
            self._say("interrupted: no judgement")
            return 1
        if options.keep_serving:
            await asyncio.sleep(SETTLE_S)
        else:
            await self._site.stop("fleet")
            await self._stop_product()
            await self._site.stop()
        try:
            verdict = judge(self._site.directory, self._timeline, start_utc_ms=self._site.start_utc_ms)
        except ValueError as error:
            self._say(f"cannot judge: {error}")
            return 1
        self._report(verdict, options)
        if options.keep_serving:
            self._say(f"still running (Ctrl-C ends it); try: dgm watch --site {self._site.site_file}")
            await self._interrupted.wait()
        return 0 if verdict.passed else 1

    async def stop(self) -> None:
        """End whatever still runs."""
        await self._site.stop("fleet")
        await self._stop_product()
        await self._site.stop()

    def _say(self, text: str) -> None:
        self._console.print(text, style="dim", highlight=False)

    async def _start_product(self) -> None:
        log = (self._site.directory / "product.log").open("wb")
        self._product = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "dgm.cli.main",
            "run",
            str(self._site.site_file),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
            start_new_session=True,
        )
        log.close()
        deadline = clock.now().mono_ms + round(READY_TIMEOUT_S * 1000)
        for role in ROLES:
            await self._wait_ready(role, deadline)

    async def _wait_ready(self, role: str, deadline_ms: int) -> None:
        async with self._channel(role) as channel:
            stub = health_pb2_grpc.HealthStub(channel)
            while clock.now().mono_ms < deadline_ms and not self._interrupted.is_set():
                with contextlib.suppress(grpc.aio.AioRpcError):
                    answer = await stub.Check(health_pb2.HealthCheckRequest(service="readiness"), timeout=1.0)
                    if answer.status == health_pb2.HealthCheckResponse.SERVING:
                        return
                self._check_product()
                await asyncio.sleep(0.1)
        raise DgmError(
            f"role {role} was not ready within {READY_TIMEOUT_S:.0f} s; see the end of its log:\n{self._log_end()}"
        )

    def _check_product(self) -> None:
        if self._product is not None and self._product.returncode is not None:
            raise DgmError(f"dgm run ended with code {self._product.returncode}:\n{self._log_end()}")

    def _log_end(self) -> str:
        text = (self._site.directory / "product.log").read_text(encoding="utf-8", errors="replace")
        return "\n".join(text.splitlines()[-15:])

    def _channel(self, role: str) -> grpc.aio.Channel:
        return rpc.channel(f"unix:{rpc.socket_path(self._run_dir, role)}")

    async def _show_until_end(self) -> None:
        async with self._channel("ems") as ems, self._channel("der") as der:
            answer = await site_pb2_grpc.SiteServiceStub(ems).GetSite(site_pb2.GetSiteRequest(), timeout=5.0)
            title = f"DGM demo · {len(self._timeline.evses)} EVSEs, 3 CPOs, one utility"
            view = SiteView(site=answer.site, title=title, seconds_total=self._timeline.seconds)
            watchers = [
                asyncio.create_task(_follow_site(ems, view)),
                asyncio.create_task(_follow_controls(der, view)),
            ]
            try:
                if self._console.is_terminal:
                    with Live(render(view), console=self._console, auto_refresh=False, screen=False) as live:
                        await self._loop(view, VIEW_INTERVAL_S, lambda: live.update(render(view), refresh=True))
                else:
                    await self._loop(view, PLAIN_INTERVAL_S, lambda: self._console.print(line(view), highlight=False))
            finally:
                self._plan = await _plan_line(ems)
                for watcher in watchers:
                    watcher.cancel()
                await asyncio.gather(*watchers, return_exceptions=True)

    async def _loop(self, view: SiteView, interval_s: float, draw: object) -> None:
        end_ms = self._site.start_utc_ms + self._timeline.seconds * 1000
        while clock.now().utc_ms < end_ms and not self._interrupted.is_set():
            view.elapsed_s = max(0.0, (clock.now().utc_ms - self._site.start_utc_ms) / 1000)
            view.notes.extend(f"simulator process ended by itself: {name}" for name in self._site.dead())
            self._check_product()
            assert callable(draw)
            draw()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._interrupted.wait(), interval_s)

    async def _stop_product(self) -> None:
        product, self._product = self._product, None
        if product is None or product.returncode is not None:
            return
        product.terminate()
        try:
            await asyncio.wait_for(product.wait(), STOP_TIMEOUT_S)
        except TimeoutError:
            product.kill()
            await product.wait()

    def _report(self, verdict: Verdict, options: DemoOptions) -> None:
        table = Table("", "check", "measured", "bound", "detail", title="What the simulated world measured")
        for check in verdict.checks:
            mark = "[green]ok[/]" if check.passed else "[red]FAIL[/]"
            table.add_row(mark, check.name, check.measured, check.bound, check.detail)
        self._console.print(table)
        for name, value in verdict.summary.figures.items():
            self._console.print(f"  {name}: {value}", highlight=False)
        self._console.print(f"  plan: {self._plan}", highlight=False)
        word = "[green]every check holds[/]" if verdict.passed else "[red]at least one check failed[/]"
        self._console.print(f"demo of {options.evse} EVSEs, {options.seconds} s, seed {options.seed}: {word}")
        if options.json_file:
            options.json_file.write_text(json.dumps(verdict.as_json(), indent=2) + "\n", encoding="utf-8")
        if options.record:
            self._console.print(f"recorded in {options.record}", highlight=False)


async def _plan_line(channel: grpc.aio.Channel) -> str:
    """What GetPlan tells, in a line."""
    try:
        stub = ems_pb2_grpc.EmsServiceStub(channel)
        answer = await stub.GetPlan(plan_pb2.GetPlanRequest(), timeout=2.0)
    except grpc.aio.AioRpcError as error:
        return f"not told: {error.code().name}"
    if not answer.in_force:
        return f"none in force: {answer.reason}"
    highest_w = max(step.import_w for step in answer.steps)
    made = f"{answer.age_ms / 1000:.0f} s old, made in {answer.solve_us / 1000:.0f} ms"
    return f"{len(answer.steps)} steps, import up to {highest_w / 1000:.1f} kW, {made}"


async def _follow_site(channel: grpc.aio.Channel, view: SiteView) -> None:
    stub = site_pb2_grpc.SiteServiceStub(channel)
    while True:
        with contextlib.suppress(grpc.aio.AioRpcError):
            async for update in stub.WatchSite(site_pb2.WatchSiteRequest(interval_ms=500)):
                view.take(update)
        await asyncio.sleep(0.5)


async def _follow_controls(channel: grpc.aio.Channel, view: SiteView) -> None:
    stub = der_pb2_grpc.DerServiceStub(channel)
    while True:
        with contextlib.suppress(grpc.aio.AioRpcError):
            async for update in stub.WatchControls(der_pb2.WatchControlsRequest()):
                view.controls = list(update.controls)
        await asyncio.sleep(0.5)
