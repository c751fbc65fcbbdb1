"""The der role: DerCore in real time, with TLS, journal, facade and the EMS around it.

    HTTP answer ──┐                        ┌──> journal (before anything is sent)
    WatchSite ────┼──> step() ── DerCore ──┼──> request queue ──> UtilityClient
    wake time ────┘                        └──> LimitSync, facade, metrics, streams

step() is one synchronous piece of work: nothing is awaited between an event and its effects. What was journaled holds
at the EMS before the first poll. An exception in a step ends the role; leases and journal make that safe.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import assert_never

from dgm import clock
from dgm.api.der.v1 import der_pb2, der_pb2_grpc
from dgm.api.ems.v1.policy_pb2 import PutFlowBlocksRequest, PutPricesRequest
from dgm.api.site.v1.site_pb2 import WatchSiteResponse
from dgm.der import resource as r
from dgm.der.core import DerCore
from dgm.der.core_events import CoreEffect, CoreEvent, GridSeen, Keep, NeedsSeen, SiteLost, SiteSeen
from dgm.der.effect import Wanted
from dgm.der.engine import LIVE_BYTES_MAX
from dgm.der.exchange import Answer, Link, NoAnswer, Notified, Request
from dgm.der.plant import grid_functions, root_circuit
from dgm.der.profiles.loader import load as load_profile
from dgm.der.restart import TABLE
from dgm.der.service.ems_link import LimitSync, SiteWatch
from dgm.der.service.facade import DerFacade
from dgm.der.service.grid_link import GridSync
from dgm.der.service.metrics import DerMetrics
from dgm.der.service.needs_link import NeedsWatch
from dgm.der.service.plan_link import StatementSync, blocks_of, prices_of
from dgm.der.service.servicer import Bells, DerService
from dgm.der.service.talk import Talk
from dgm.der.service.target_link import TargetSync
from dgm.facade import with_base
from dgm.log import logger
from dgm.machine import Now, Tick
from dgm.metrics import CountersCollector
from dgm.role import RoleContext, Servicer

IDLE_S = 5.0
"""How long the role sleeps at most when the core asks for no wake time."""
SHOW_INTERVAL_S = 1.0
"""Metrics are refreshed this often."""


class DerRole:
    """One process's DER gateway. The journaled schedule is in the core when the constructor returns."""

    def __init__(self, context: RoleContext) -> None:
        config, base_dir = context.config.der, context.base_dir
        self.ready = asyncio.Event()
        self._context = context
        self._log = logger("der")
        self._url = config.url
        profile = load_profile(config.profile)
        self._talk = Talk(
            context,
            profile,
            answered=self._answered,
            notified=self._notified,
            renewed=self._renewed,
            located=self._located,
        )
        self._metrics = DerMetrics(context.registry, certificate_ends_s=self._talk.certificate_ends_s)
        draws = random.SystemRandom()
        self.core = DerCore(context.config, self._talk.lfdi, lambda most: draws.randint(0, most), profile=profile)
        self._wake = asyncio.Event()
        self._bells = Bells()
        self._link = Link.CONNECTING
        self._refused = False
        self._facade: DerFacade | None = None
        if config.HasField("facade"):
            self._facade = DerFacade(with_base(config.facade, base_dir), self.core, context.config)
        if self._facade is not None:
            context.registry.register(CountersCollector("dgm_facade", "Modbus facade", self._facade.counters))
        channel = context.channel("ems")
        self._limits = LimitSync(
            channel,
            root_circuit(context.config),
            wanted=lambda: self.core.bounds(clock.now()),
            may_delete=lambda: self.core.is_informed,
            now=self._server_now,
        )
        self._targets = TargetSync(channel, wanted=self._wanted, now=self._server_now)
        self._grid: GridSync | None = None
        if grid_functions(context.config):
            self._grid = GridSync(
                channel,
                asked=self.core.grid,
                able=self._grid_seen,
                unchecked=self.core.unchecked,
                checked=self.step,
                now=self._server_now,
            )
        self._statements = [
            StatementSync(channel, state=state, is_known=lambda: self.core.is_informed)
            for state in (self._prices_now, self._flows_now)
        ]
        self._site = SiteWatch(channel, seen=self._site_seen, lost=self._site_lost, back=self._ems_back)
        self._needs = NeedsWatch(channel, seen=lambda needs: self.step(NeedsSeen(needs=needs)))
        self._restore()

    def servicers(self) -> Sequence[Servicer]:
        """DerService."""
        service = DerService(
            self.core,
            server=lambda: self._url,
            lfdi=lambda: self._talk.lfdi,
            now=clock.now,
            bell=self._bells.bell,
            step=self.step,
        )
        return (
            Servicer(
                name=der_pb2.DESCRIPTOR.services_by_name["DerService"].full_name,
                add=der_pb2_grpc.add_DerServiceServicer_to_server,
                servicer=service,
            ),
        )

    async def run(self) -> None:
        """Work until cancelled. Raises what a step raised."""
        await self._talk.start()
        self._log.info("started", lfdi=self._talk.lfdi, events=len(self.core.scheduler.events()), server=self._url)
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._limits.run(), name="limits")
                tasks.create_task(self._targets.run(), name="targets")
                tasks.create_task(self._site.run(), name="site")
                if self._grid is not None:
                    tasks.create_task(self._grid.run(), name="grid")
                tasks.create_task(self._needs.run(), name="needs")
                for statement in self._statements:
                    tasks.create_task(statement.run(), name="statements")
                tasks.create_task(self._talk.run(), name="http")
                tasks.create_task(self._keep_time(), name="time")
                tasks.create_task(self._show_forever(), name="show")
                if self._facade is not None:
                    tasks.create_task(self._facade.run(), name="facade")
                self.ready.set()
        finally:
            await self._talk.stop()

    def _renewed(self, before: str) -> None:
        """Another device certificate is another device to the utility; the schedule goes on under its LFDI."""
        self._metrics.show_certificates(self._talk.certificate_ends_s)
        if self._talk.lfdi != before:
            self._talk.forget()
            self._execute(self.core.identify(self._talk.lfdi, clock.now()))

    def _located(self, url: str) -> None:
        self._url = url
        self._execute(self.core.locate(url, clock.now()))

    def _answered(self, answer: Answer | NoAnswer, code: str) -> None:
        self._metrics.requests.labels(code=code).inc()
        self.step(answer)

    def _notified(self, notification: r.Notification) -> bool:
        is_ours = self.core.discovery.is_ours(notification)
        if is_ours:
            self.step(Notified(notification=notification))
        return is_ours

    def step(self, event: CoreEvent) -> None:
        """One event and all its effects."""
        self._execute(self.core.handle(event, clock.now()))

    def _server_now(self) -> Now:
        now = clock.now()
        return replace(now, utc_ms=now.utc_ms + self.core.offset_ms)

    def _restore(self) -> None:
        effects = self.core.restore(self._context.journal.items(TABLE), clock.now())
        for damaged in self.core.damaged:
            # The rest is used. Nothing is guessed: the EMS keeps the limits it has until the server has told all anew.
            self._log.error("a stored entry cannot be read and was put aside", entry=damaged.key, why=damaged.why)
        self._execute(effects)

    def _execute(self, effects: Sequence[CoreEffect]) -> None:
        for effect in effects:
            match effect:
                case Keep():
                    self._context.journal.put_all(TABLE, effect.entries)
                case Request():
                    self._talk.send(effect)
                case _:
                    assert_never(effect)
        self._wake.set()
        self._limits.ring()
        self._bells.ring()
        if self._facade is not None:
            self._facade.ring()
        self._tell_link()
        self._tell_refused()

    def _tell_link(self) -> None:
        link = self.core.discovery.link
        if link is self._link:
            return
        tell = self._log.warning if link is Link.LOST else self._log.info
        tell("connection to the utility", state=link.value, before=self._link.value, wrong_pin=self._wrong_pin)
        self._link = link

    def _tell_refused(self) -> None:
        refused = self.core.scheduler.refused
        if refused and not self._refused:
            self._log.error(
                "no room for more controls of the utility; those are not followed until others end",
                count=len(refused),
                first=refused[0],
                bytes_max=LIVE_BYTES_MAX,
            )
        if self._refused and not refused:
            self._log.info("all controls of the utility are followed again")
        self._refused = bool(refused)

    @property
    def _wrong_pin(self) -> bool:
        return self.core.discovery.wrong_pin

    async def _keep_time(self) -> None:
        while True:
            self._wake.clear()
            wake_ms = self.core.wake_time()
            wait_s = IDLE_S if wake_ms is None else min(max(wake_ms - clock.now().mono_ms, 0) / 1000, IDLE_S)
            try:
                # Not wait_for: in Python 3.11 it can swallow a cancellation that comes together with the event.
                async with asyncio.timeout(wait_s):
                    await self._wake.wait()
            except TimeoutError:
                self.step(Tick())

    async def _show_forever(self) -> None:
        while True:
            self._show()
            await asyncio.sleep(SHOW_INTERVAL_S)

    def _show(self) -> None:
        now = clock.now()
        self._metrics.show(self.core, self.core.bounds(now), now)

    def _wanted(self) -> Mapping[str, Wanted]:
        """For our EMS; where PV and batteries are another EMS's it reads what is asked of them on the facade."""
        return {} if self._context.config.ems.third_party else self.core.wanted(clock.now())

    def _prices_now(self) -> PutPricesRequest:
        return prices_of(self.core.prices())

    def _flows_now(self) -> PutFlowBlocksRequest:
        return blocks_of(self.core.flow_plans(clock.now()), ahead_ms=self.core.offset_ms)

    def _ems_back(self) -> None:
        self._limits.forget()
        self._targets.forget()
        for statement in self._statements:
            statement.forget()
        if self._grid is not None:
            self._grid.forget()

    def _grid_seen(self, functions: frozenset[int]) -> None:
        self.step(GridSeen(functions=functions))

    def _site_seen(self, update: WatchSiteResponse) -> None:
        self.step(SiteSeen(update=update))

    def _site_lost(self) -> None:
        self.step(SiteLost())
