"""What the ocpp role tells the ems role: samples (newest per EVSE) and outcomes (every one, in order), in batches.

    sessions ──> put ──> [every 200 ms, at once when urgent] ──> ReportOutcomes, ReportSamples ──> ems

When a report fails, nothing is replayed: as soon as the ems role answers again it is told where every EVSE stands (plug
state, newest reading, newest proof or that nothing is proved). So a restarted ems knows, and no WIPED is ever lost.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterable
from dataclasses import replace

import grpc.aio

from dgm import clock
from dgm.api.ems.v1 import ems_pb2, ems_pb2_grpc
from dgm.api.site.v1 import site_pb2, site_pb2_grpc
from dgm.log import logger
from dgm.machine import Now
from dgm.ocpp.events import DerSeen, Outcome, Sampled
from dgm.ocpp.messages import der_message, outcome_message, sample_message

BATCH_S = 0.2
RPC_TIMEOUT_S = 2.0
RETRY_MIN_S, RETRY_MAX_S = 0.2, 1.0

MAX_OUTCOMES = 20_000
"""Waiting for one report; beyond it we resynchronise instead."""


class Reports:
    """The outbox towards the ems role. `standing` lists where every EVSE stands now."""

    def __init__(
        self,
        channel: grpc.aio.Channel,
        *,
        source: str,
        standing: Callable[[Now], Iterable[Sampled | Outcome | DerSeen]],
    ) -> None:
        self._site = site_pb2_grpc.SiteServiceStub(channel)
        self._ems = ems_pb2_grpc.EmsServiceStub(channel)
        self._source = source
        self._standing = standing
        self._samples: dict[str, Sampled] = {}
        self._ders: dict[str, DerSeen] = {}
        self._outcomes: list[Outcome] = []
        self._outcome_reports, self._sample_reports = 0, 0
        self._must_resync = True
        self._something = asyncio.Event()
        self._urgent = asyncio.Event()
        self._log = logger("ocpp")

    def put(self, report: Sampled | Outcome | DerSeen) -> None:
        """Take a report of a session."""
        if isinstance(report, DerSeen):
            self._ders[report.asset_id] = report
        elif isinstance(report, Sampled):
            self._samples[report.asset_id] = _joined(self._samples.get(report.asset_id), report)
        else:
            self._outcomes.append(report)
            if len(self._outcomes) > MAX_OUTCOMES:
                self.resync()
        self._something.set()
        if report.urgent:
            self._urgent.set()

    def resync(self) -> None:
        """The ems role may have missed something: tell it everything next time."""
        self._must_resync = True
        self._outcomes.clear()
        self._something.set()

    async def run(self) -> None:
        """Report until cancelled."""
        delay_s = RETRY_MIN_S
        while True:
            await self._something.wait()
            if await self._flush():
                delay_s = RETRY_MIN_S
                await self._pause()
            else:
                await asyncio.sleep(delay_s)
                delay_s = min(2 * delay_s, RETRY_MAX_S)

    async def _pause(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(BATCH_S):
                await self._urgent.wait()

    async def _flush(self) -> bool:
        now = clock.now()
        self._something.clear()
        self._urgent.clear()
        if self._must_resync:
            self._must_resync = False
            self._outcomes.clear()
            for report in self._standing(now):
                self.put(report)
            self._something.clear()
        samples, self._samples = self._samples, {}
        ders, self._ders = self._ders, {}
        outcomes, self._outcomes = self._outcomes, []
        try:
            # What is proved first: samples alone never let a limit rise.
            if outcomes:
                await self._ems.ReportOutcomes(self._outcomes_request(outcomes, now), timeout=RPC_TIMEOUT_S)
            if samples or ders:
                await self._site.ReportSamples(self._samples_request(samples, ders, now), timeout=RPC_TIMEOUT_S)
        except grpc.aio.AioRpcError as error:
            self._log.debug("report to ems failed", code=error.code().name)
            self.resync()
            return False
        return True

    def _outcomes_request(self, outcomes: list[Outcome], now: Now) -> ems_pb2.ReportOutcomesRequest:
        self._outcome_reports += 1
        messages = [outcome_message(outcome, now) for outcome in outcomes]
        return ems_pb2.ReportOutcomesRequest(source=self._source, sequence=self._outcome_reports, outcomes=messages)

    def _samples_request(
        self, samples: dict[str, Sampled], ders: dict[str, DerSeen], now: Now
    ) -> site_pb2.ReportSamplesRequest:
        self._sample_reports += 1
        return site_pb2.ReportSamplesRequest(
            source=self._source,
            sequence=self._sample_reports,
            samples=[sample_message(sample, now) for sample in samples.values()],
            ders=[der_message(seen) for seen in ders.values()],
        )


def _joined(waiting: Sampled | None, newer: Sampled) -> Sampled:
    """A newer plug state joins a reading that still waits for the same report."""
    if waiting is None or newer.at_mono_ms is not None or waiting.at_mono_ms is None:
        return newer
    return replace(waiting, plug_state=newer.plug_state)
