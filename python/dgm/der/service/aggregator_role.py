"""The der role as an aggregator: one conversation with the utility, a link to the EMS of every site.

    HTTP answer, notification ──┐                      ┌──> journal of that EndDevice, before anything is sent
    WatchSite of each site ─────┼──> Aggregator ───────┼──> request queue ──> UtilityClient
    wake time ──────────────────┘                      └──> LimitSync, TargetSync of the sites that were touched

As in the role of one site a step is synchronous, what was journaled holds at the sites before the first poll, and an
exception ends the role. Another device certificate ends it too: it starts anew under that LFDI.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import assert_never

from prometheus_client import Counter, Gauge

from dgm import clock
from dgm.api.der.v1 import der_pb2, der_pb2_grpc
from dgm.api.site.v1.site_pb2 import WatchSiteResponse
from dgm.der import resource as r
from dgm.der.aggregator import Aggregator, AggregatorEffect, DeviceEvent, KeepFor
from dgm.der.core_events import NeedsSeen, SiteLost, SiteSeen
from dgm.der.exchange import Answer, Link, NoAnswer, Notified, Request
from dgm.der.plant import root_circuit
from dgm.der.profiles.loader import load as load_profile
from dgm.der.restart import TABLE
from dgm.der.service.ems_link import LimitSync, SiteWatch
from dgm.der.service.end_devices import EndDevice, load
from dgm.der.service.many import ManyDevices
from dgm.der.service.needs_link import NeedsWatch
from dgm.der.service.plan_link import Statement, StatementSync, blocks_of, prices_of
from dgm.der.service.servicer import Bells, DerService
from dgm.der.service.talk import Talk
from dgm.der.service.target_link import TargetSync
from dgm.errors import DgmError
from dgm.log import logger
from dgm.machine import Now, Tick
from dgm.role import RoleContext, Servicer

IDLE_S = 5.0
SHOW_INTERVAL_S = 5.0
SITE_INTERVAL_MS = 5_000
"""How often a site is looked at: 200 of them each second would cost more than all the polls."""
TARGET_INTERVAL_S = 5.0
STATEMENT_INTERVAL_S, NEEDS_INTERVAL_S = 30.0, 120.0


class AggregatorRole:
    """The journaled schedules are in the cores when the constructor returns. ConfigError: a site cannot be read."""

    def __init__(self, context: RoleContext) -> None:
        self.ready = asyncio.Event()
        self._context = context
        self._log = logger("der")
        profile = load_profile(context.config.der.profile)
        self._talk = Talk(
            context,
            profile,
            answered=self._answered,
            notified=self._notified,
            renewed=self._renewed,
            located=self._located,
        )
        self._metrics = _Metrics(context)
        devices = load(context.config, context.base_dir)
        draws = random.SystemRandom()
        configs = {device.lfdi: device.config for device in devices}
        self.core = Aggregator(
            context.config, self._talk.lfdi, configs, lambda most: draws.randint(0, most), profile=profile
        )
        self._wake = asyncio.Event()
        self._link = Link.CONNECTING
        self._sites = {device.lfdi: _Site(device, self, context) for device in devices}
        stored = {lfdi: context.journal.items(_table(lfdi)) for lfdi in self._sites}
        self._execute(self.core.restore(stored, clock.now()))
        for lfdi, core in self.core.cores.items():
            for damaged in core.damaged:
                self._log.error("a stored entry was put aside", lfdi=lfdi, entry=damaged.key, why=damaged.why)

    def servicers(self) -> Sequence[Servicer]:
        """DerService, for the EndDevice that each request names."""
        services = {lfdi: site.service for lfdi, site in self._sites.items()}
        return (
            Servicer(
                name=der_pb2.DESCRIPTOR.services_by_name["DerService"].full_name,
                add=der_pb2_grpc.add_DerServiceServicer_to_server,
                servicer=ManyDevices(services),
            ),
        )

    async def run(self) -> None:
        """Work until cancelled. Raises what a step raised."""
        await self._talk.start()
        self._log.info("started", lfdi=self._talk.lfdi, devices=len(self._sites), server=self._context.config.der.url)
        try:
            async with asyncio.TaskGroup() as tasks:
                for site in self._sites.values():
                    site.start(tasks)
                tasks.create_task(self._talk.run(), name="http")
                tasks.create_task(self._keep_time(), name="time")
                tasks.create_task(self._show_forever(), name="show")
                self.ready.set()
        finally:
            await self._talk.stop()

    def step(self, lfdi: str, event: DeviceEvent) -> None:
        """One event of one EndDevice and all its effects."""
        self._execute(self.core.give(lfdi, event, clock.now()))

    def server_now(self, lfdi: str) -> Now:
        """Our monotonic clock with the server's UTC."""
        now = clock.now()
        return replace(now, utc_ms=now.utc_ms + self.core.cores[lfdi].offset_ms)

    def _answered(self, answer: Answer | NoAnswer, code: str) -> None:
        self._metrics.requests.labels(code=code).inc()
        self._execute(self.core.handle(answer, clock.now()))

    def _notified(self, notification: r.Notification) -> bool:
        is_ours = self.core.is_ours(notification)
        if is_ours:
            self._execute(self.core.handle(Notified(notification=notification), clock.now()))
        return is_ours

    def _renewed(self, before: str) -> None:
        if self._talk.lfdi != before:
            raise DgmError(
                f"another device certificate: found LFDI {self._talk.lfdi}, before {before}; the role starts anew"
            )

    def _located(self, url: str) -> None:
        raise DgmError(f"found {url} by DNS-SD; an aggregator talks to der.url alone")

    def _execute(self, effects: Iterable[AggregatorEffect]) -> None:
        for effect in effects:
            match effect:
                case KeepFor():
                    self._context.journal.put_all(_table(effect.lfdi), effect.keep.entries)
                case Request():
                    self._talk.send(effect)
                case _:
                    assert_never(effect)
        self._wake.set()
        touched, self.core.touched = self.core.touched, set()
        for lfdi in touched:
            self._sites[lfdi].ring()
        if self.core.own.link is not self._link:
            before, self._link = self._link, self.core.own.link
            why = self.core.own.why
            self._log.info("connection to the utility", state=self._link.value, before=before.value, why=why)

    async def _keep_time(self) -> None:
        while True:
            self._wake.clear()
            wake_ms = self.core.wake_time()
            wait_s = IDLE_S if wake_ms is None else min(max(wake_ms - clock.now().mono_ms, 0) / 1000, IDLE_S)
            try:
                async with asyncio.timeout(wait_s):
                    await self._wake.wait()
            except TimeoutError:
                self._execute(self.core.handle(Tick(), clock.now()))

    async def _show_forever(self) -> None:
        while True:
            self._metrics.show(self.core, clock.now(), self._talk.certificate_ends_s)
            await asyncio.sleep(SHOW_INTERVAL_S)


class _Site:
    """The link to the EMS of one EndDevice."""

    def __init__(self, device: EndDevice, role: AggregatorRole, context: RoleContext) -> None:
        self._lfdi, self._role = device.lfdi, role
        self._bells = Bells()
        core, channel = role.core.cores[device.lfdi], device.channel(context.config, context.base_dir)
        self._limits = LimitSync(
            channel,
            root_circuit(device.config),
            wanted=lambda: core.bounds(clock.now()),
            may_delete=lambda: core.is_informed,
            now=lambda: role.server_now(device.lfdi),
        )
        self._targets = TargetSync(
            channel,
            wanted=lambda: core.wanted(clock.now()),
            now=lambda: role.server_now(device.lfdi),
            interval_s=TARGET_INTERVAL_S,
        )
        states: tuple[Callable[[], Statement], ...] = (
            lambda: prices_of(core.prices()),
            lambda: blocks_of(core.flow_plans(clock.now()), ahead_ms=core.offset_ms),
        )
        self._statements = [
            StatementSync(channel, state=state, is_known=lambda: core.is_informed, interval_s=STATEMENT_INTERVAL_S)
            for state in states
        ]
        self._needs = NeedsWatch(
            channel, seen=lambda needs: role.step(device.lfdi, NeedsSeen(needs=needs)), interval_s=NEEDS_INTERVAL_S
        )
        self._watch = SiteWatch(
            channel, seen=self._seen, lost=self._lost, back=self._back, interval_ms=SITE_INTERVAL_MS
        )
        self.service = DerService(
            core,
            server=lambda: context.config.der.url,
            lfdi=lambda: device.lfdi,
            now=clock.now,
            bell=self._bells.bell,
            step=lambda event: role.step(device.lfdi, event),
        )

    def start(self, tasks: asyncio.TaskGroup) -> None:
        """Work for as long as the group lives."""
        tasks.create_task(self._limits.run(), name=f"limits {self._lfdi}")
        tasks.create_task(self._targets.run(), name=f"targets {self._lfdi}")
        for statement in self._statements:
            tasks.create_task(statement.run(), name=f"statements {self._lfdi}")
        tasks.create_task(self._needs.run(), name=f"needs {self._lfdi}")
        tasks.create_task(self._watch.run(), name=f"site {self._lfdi}")

    def ring(self) -> None:
        """Its core has worked."""
        self._limits.ring()
        self._bells.ring()

    def _seen(self, update: WatchSiteResponse) -> None:
        self._role.step(self._lfdi, SiteSeen(update=update))

    def _lost(self) -> None:
        self._role.step(self._lfdi, SiteLost())

    def _back(self) -> None:
        self._limits.forget()
        self._targets.forget()
        for statement in self._statements:
            statement.forget()


class _Metrics:
    """What Prometheus sees of an aggregator: sums, no time series for each of its devices."""

    def __init__(self, context: RoleContext) -> None:
        registry = context.registry
        self.requests = Counter(
            "dgm_2030_5_requests",
            "Requests to the utility server by HTTP status code; 'none': no answer.",
            ["code"],
            registry=registry,
        )
        self._age = Gauge(
            "dgm_2030_5_poll_age_seconds", "Since the last good answer of the utility server.", registry=registry
        )
        self._devices = Gauge(
            "dgm_2030_5_end_devices", "EndDevices of the aggregator by connection state.", ["state"], registry=registry
        )
        self._owed = Gauge(
            "dgm_2030_5_responses_owed", "Responses the utility server has not taken yet.", registry=registry
        )
        self._ends = Gauge(
            "dgm_cert_expiry_timestamp_seconds", "When the certificate ends (UTC).", ["use"], registry=registry
        )

    def show(self, core: Aggregator, now: Now, ends_s: dict[str, float]) -> None:
        """Take over the state as of now."""
        last_ms = core.conversation.pace.last_success_ms
        self._age.set(float("nan") if last_ms is None else (now.mono_ms - last_ms) / 1000)
        links = [one.discovery.link for one in core.cores.values()]
        for link in Link:
            self._devices.labels(state=link.value).set(links.count(link))
        self._owed.set(sum(len(one.scheduler.owed()) for one in core.cores.values()))
        for use, end_s in ends_s.items():
            self._ends.labels(use=use).set(end_s)


def _table(lfdi: str) -> str:
    return f"{TABLE}:{lfdi}"
