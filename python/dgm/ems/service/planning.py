"""The planner of an ems role as an operator sees it: one question at a time, log lines, series.

SolvePlan ──ask──> a task of its own ──> Planned, handed to the machine
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator

from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from structlog.typing import FilteringBoundLogger

from dgm.clock import now
from dgm.ems.events import Planned, SolvePlan
from dgm.ems.planner.desk import PlanDesk
from dgm.ems.service.plan_worker import PlanWorker

OUTCOMES = ("asked", "held", "failed", "late", "stray")


class Planning(Collector):
    """Runs the questions of one machine. told: takes the answer."""

    def __init__(
        self,
        desk: PlanDesk | None,
        told: Callable[[Planned], object],
        log: FilteringBoundLogger,
        registry: CollectorRegistry,
        worker: PlanWorker | None = None,
    ) -> None:
        self._desk = desk
        self._told = told
        self._log = log
        self._worker = worker or PlanWorker()
        self._task: asyncio.Task[None] | None = None
        self._last_us = 0
        self._short: set[str] = set()
        if desk is not None:
            registry.register(self)

    def ask(self, effect: SolvePlan) -> None:
        """Begin a question; the machine never asks two at once, and a task that still runs is given up."""
        if self._task is not None and not self._task.done():
            self._task.cancel()
        self._task = asyncio.get_running_loop().create_task(self._run(effect))

    async def stop(self) -> None:
        """End the question and the process."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        await self._worker.stop()

    async def _run(self, effect: SolvePlan) -> None:
        answer = await self._worker.solve(effect.problem, deadline_s=effect.deadline_s)
        self._told(Planned(answer=answer))
        desk = self._desk
        if desk is not None and desk.trouble:
            self._log.warning("no new plan; the site runs without one when its lease ends", why=desk.trouble)
        elif not isinstance(answer, str):
            self._last_us = answer.solve_us
            self._log.info("planned", solve_us=answer.solve_us, cars=len(answer.car_ids), short_wh=sum(answer.short_wh))
            self._tell_short()

    def _tell_short(self) -> None:
        """A need that will not fit is told once, by name, as long as it is so."""
        short = {} if self._desk is None else self._desk.short()
        for asset_id, (missing_wh, why) in short.items():
            if asset_id not in self._short:
                self._log.warning("a need does not fit before its departure", asset=asset_id, wh=missing_wh, why=why)
        for asset_id in self._short - set(short):
            self._log.info("the need fits into the plan again, or is over", asset=asset_id)
        self._short = set(short)

    def collect(self) -> Iterator[Metric]:
        """The series."""
        desk = self._desk
        if desk is None:
            return
        at = now()
        counts = CounterMetricFamily("dgm_plan_outcome", "Plans by what became of them", labels=["outcome"])
        for name in OUTCOMES:
            counts.add_metric([name], desk.counts[name])
        age_s = desk.age_ms(at) / 1000 if desk.newest() is not None else float("nan")
        yield counts
        yield GaugeMetricFamily("dgm_plan_age_seconds", "Since the newest plan was taken", value=age_s)
        yield GaugeMetricFamily("dgm_plan_active", "1: a plan is in force", value=desk.live(at) is not None)
        yield GaugeMetricFamily("dgm_plan_short_cars", "Cars whose need does not fit the plan", value=len(self._short))
        yield GaugeMetricFamily("dgm_plan_solve_seconds", "What the newest plan took", value=self._last_us / 1e6)
