"""The ems role: the machine, the field core and the gRPC services in one event loop.

    gRPC handler ─┐
    eventfd ──────┼──> event ──> Cycle.handle ──> effects: core, journal, bells of the streams, reply
    wake time ────┘

A handler is one synchronous step: nothing is awaited between an event and its effects. Streams hold latest values,
never queues. An exception in a step ends the role; the supervisor starts it again, journal and leases make that safe.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Protocol, assert_never

from google.protobuf.message import Message

from dgm import clock, links, zone
from dgm.api.config.v1.config_pb2 import DgmConfig
from dgm.api.ems.v1 import (
    ems_pb2,
    ems_pb2_grpc,
    field_pb2,
    field_pb2_grpc,
    grid_pb2,
    grid_pb2_grpc,
    policy_pb2,
    policy_pb2_grpc,
)
from dgm.api.ems.v1.field_pb2 import FieldAuditEntry
from dgm.api.site.v1 import site_pb2, site_pb2_grpc
from dgm.ems.cycle import Cycle
from dgm.ems.events import (
    CoreDecided,
    Effect,
    Event,
    PublishLimits,
    PublishSetpoints,
    Reply,
    Row,
    SendLimits,
    SendLink,
    SendOutcomes,
    SendSamples,
    SendTargets,
    SolvePlan,
    SubscriberHeard,
)
from dgm.ems.guidance import TABLES
from dgm.ems.limits import JOURNAL_TABLE, Forget, Keep
from dgm.ems.service.field_audit import FieldAudit
from dgm.ems.service.field_servicer import FieldService
from dgm.ems.service.grid import GridCollector, GridService, GridShell
from dgm.ems.service.learnt import LearntDevices
from dgm.ems.service.lines import LinesCollector, LineWatch
from dgm.ems.service.metrics import EmsMetrics
from dgm.ems.service.models import ModelDesk
from dgm.ems.service.planning import Planning
from dgm.ems.service.policy_servicer import PolicyService
from dgm.ems.service.policy_watch import PolicyWatch
from dgm.ems.service.servicer import EmsService
from dgm.errors import DgmError
from dgm.log import logger
from dgm.machine import Now, Tick
from dgm.role import RoleContext, Servicer
from dgm.site.refusal import Refusal
from dgm.site.service import SiteService

IDLE_S = 1.0
"""How long the role sleeps at most when the machine asks for no wake time."""

CORE_SILENT_MS = 5_000
"""Fifty ticks of the field core without a decision: its thread is gone."""


class FieldPort(Protocol):
    """What the role needs of the field core."""

    def start(self) -> None: ...
    def stop(self) -> None: ...
    def fileno(self) -> int: ...
    def put_limits(self, limits: bytes) -> None: ...
    def put_targets(self, rows: Iterable[Row], ttl_ms: int) -> None: ...
    def put_samples(self, rows: Iterable[Row]) -> None: ...
    def put_outcomes(self, rows: Iterable[Row]) -> None: ...
    def put_link(self, up: bool) -> None: ...
    def take(self, now: Now) -> CoreDecided: ...
    def take_audit(self) -> bytes: ...
    def read_model(self, asset_index: int, model: int, occurrence: int, timeout_ms: int) -> int: ...
    def amend_model(self, asset_index: int, model: int, amendment: bytes, timeout_ms: int) -> int: ...
    def take_models(self) -> bytes: ...
    def know(self, asset_index: int, learnt: bytes) -> None: ...
    def take_learnt(self) -> bytes: ...
    def take_troubles(self) -> list[tuple[str, str | None]]: ...
    def counters(self) -> dict[str, int]: ...
    def lines(self) -> dict[str, dict[str, int]]: ...


class CoreSilent(DgmError):
    """The field core's thread does not decide any more."""


def open_core_field(config: DgmConfig, epoch: int) -> FieldPort:
    """The Rust field core."""
    from dgm.ems.field import CoreField  # here, so that the services can be driven without the binary

    return CoreField(config, epoch=epoch)


class EmsRole:
    """One process's EMS. Limits of the journal are in the core when the constructor returns, before any tick."""

    def __init__(
        self, context: RoleContext, open_field: Callable[[DgmConfig, int], FieldPort] = open_core_field
    ) -> None:
        self.ready = asyncio.Event()
        offset = zone.offset_of(context.config.ems.time_zone or zone.DEFAULT)
        self.cycle = Cycle(context.config, epoch=context.epoch, offset=offset, stopwatch=clock.stopwatch_us)
        self._context = context
        self._log = logger("ems")
        self._field = open_field(links.with_base(context.config, context.base_dir), context.epoch)
        self._metrics = EmsMetrics(context.registry, self._field.counters)
        self._audit = FieldAudit(self.cycle.topology, context.state_dir, context.registry)
        self._audit_bells: set[asyncio.Event] = set()
        self._learnt = LearntDevices(self.cycle.topology, context.state_dir)
        self.models = ModelDesk(self._field, self.cycle.topology)
        self._grid = GridShell(
            context.config,
            self.cycle.topology,
            self._field,
            context.journal,
            epoch=context.epoch,
            tell=self._take_setting,
            powers=self._power_w,
            now=clock.now(),
        )
        context.registry.register(GridCollector(lambda: self._grid.desk.listed(clock.now())))
        context.registry.register(LinesCollector(self._field.lines))
        self._lines = LineWatch(self._log)
        self._policies = PolicyWatch(self.cycle.guidance, self._log, context.registry)
        self._planning = Planning(self.cycle.guidance.desk, self._advance, self._log, context.registry)
        self._wake = asyncio.Event()
        self._failure: Exception | None = None
        self._core_ms = clock.now().mono_ms
        self._bells: dict[type[Effect], set[asyncio.Event]] = {PublishSetpoints: set(), PublishLimits: set()}
        tables = {name: context.journal.items(name) for name in TABLES}
        self._run(self.cycle.restore(context.journal.items(JOURNAL_TABLE), clock.now(), tables))

    def servicers(self) -> Sequence[Servicer]:
        """SiteService, EmsService, PolicyService, FieldService and GridService."""
        site = SiteService(
            state=self.cycle.state,
            epoch=self._context.epoch,
            report=self.step,
            clock=clock.now,
            conflated=self._metrics.conflated.inc,
        )
        return (
            Servicer(
                name=site_pb2.DESCRIPTOR.services_by_name["SiteService"].full_name,
                add=site_pb2_grpc.add_SiteServiceServicer_to_server,
                servicer=site,
            ),
            Servicer(
                name=ems_pb2.DESCRIPTOR.services_by_name["EmsService"].full_name,
                add=ems_pb2_grpc.add_EmsServiceServicer_to_server,
                servicer=EmsService(self),
            ),
            Servicer(
                name=policy_pb2.DESCRIPTOR.services_by_name["PolicyService"].full_name,
                add=policy_pb2_grpc.add_PolicyServiceServicer_to_server,
                servicer=PolicyService(self),
            ),
            Servicer(
                name=field_pb2.DESCRIPTOR.services_by_name["FieldService"].full_name,
                add=field_pb2_grpc.add_FieldServiceServicer_to_server,
                servicer=FieldService(self, self._audit.book),
            ),
            Servicer(
                name=grid_pb2.DESCRIPTOR.services_by_name["GridService"].full_name,
                add=grid_pb2_grpc.add_GridServiceServicer_to_server,
                servicer=GridService(self._grid, clock.now),
            ),
        )

    async def run(self) -> None:
        """Drive the machine until cancelled. Raises what a step raised, and CoreSilent when the core has stopped."""
        loop = asyncio.get_running_loop()
        known = self._learnt.recall(self._field)
        self._field.start()
        self._core_ms = clock.now().mono_ms
        loop.add_reader(self._field.fileno(), self._on_core)
        held = sum(1 for _ in self.cycle.book.entries())
        self._log.info("started", assets=len(self.cycle.topology.assets), limits_restored=held, devices_known=known)
        try:
            while True:
                self._tick()
                await self._until(self.cycle.wake_time())
        finally:
            await self._planning.stop()
            loop.remove_reader(self._field.fileno())
            self._field.stop()
            self._audit.close()
            self._learnt.close()

    def step(self, event: Event) -> Message | Refusal:
        """One event that has a reply."""
        reply = self._advance(event)
        assert reply is not None, "a request always has a reply"
        if isinstance(reply, Refusal):
            self._metrics.refused.labels(reason=reply.reason.value).inc()
        return reply

    def heard(self) -> None:
        """A subscriber of setpoints of the ocpp role is there."""
        self._advance(SubscriberHeard())

    def explain(self, asset_id: str) -> Message | Refusal:
        """Why an asset has its setpoint, with the newest command to it where it is a Modbus device."""
        entries = self._audit.book.entries(asset_id) if asset_id else []
        return self.cycle.explain(asset_id, clock.now(), written=entries[-1] if entries else None)

    @contextlib.contextmanager
    def bell(self, effect: type[Effect]) -> Iterator[asyncio.Event]:
        """An event that is set whenever `effect` comes up, for as long as the stream lives."""
        with _among(self._bells[effect]) as event:
            yield event

    def streams(self, effect: type[Effect]) -> int:
        """How many streams listen for `effect`."""
        return len(self._bells[effect])

    def audit_bell(self) -> contextlib.AbstractContextManager[asyncio.Event]:
        """An event that is set whenever the audit has grown, for as long as the stream lives."""
        return _among(self._audit_bells)

    def audit_streams(self) -> int:
        """How many streams listen to the audit."""
        return len(self._audit_bells)

    def _advance(self, event: Event) -> Message | Refusal | None:
        wake_before = self.cycle.wake_time()
        try:
            reply = self._run(self.cycle.handle(event, clock.now()))
        except Exception as error:
            self._failure = error
            self._wake.set()
            raise
        if self.cycle.wake_time() != wake_before:
            self._wake.set()
        return reply

    def _run(self, effects: Sequence[Effect]) -> Message | Refusal | None:
        reply: Message | Refusal | None = None
        for effect in effects:
            match effect:
                case Reply():
                    reply = effect.message
                case Keep() | Forget():
                    self._write(effect)
                case SolvePlan():
                    self._planning.ask(effect)
                case PublishSetpoints() | PublishLimits():
                    for bell in self._bells[type(effect)]:
                        bell.set()
                case _:
                    self._send(effect)
        return reply

    def _send(self, effect: SendLimits | SendTargets | SendSamples | SendOutcomes | SendLink) -> None:
        match effect:
            case SendLimits():
                self._field.put_limits(effect.limits)
            case SendTargets():
                self._field.put_targets(effect.rows, effect.ttl_ms)
            case SendSamples():
                self._field.put_samples(effect.rows)
            case SendOutcomes():
                self._field.put_outcomes(effect.rows)
            case SendLink():
                self._log.info("link to the ocpp role", up=effect.up)
                self._field.put_link(effect.up)
            case _:
                assert_never(effect)

    def _write(self, effect: Keep | Forget) -> None:
        started = time.perf_counter()
        if isinstance(effect, Keep):
            self._context.journal.put(effect.table, effect.id, effect.record)
        else:
            self._context.journal.delete(effect.table, effect.id)
        self._metrics.fsync_s.observe(time.perf_counter() - started)
        self._metrics.limits.set(sum(1 for _ in self.cycle.book.entries()))

    def _on_core(self) -> None:
        now = clock.now()
        seen = self.cycle.decision
        self._advance(self._field.take(now))
        if self.cycle.decision is not seen:
            self._core_ms = now.mono_ms
        if self._audit.take(self._field.take_audit(), self.cycle.decision, now):
            for bell in self._audit_bells:
                bell.set()
        models = self._field.take_models()
        self.models.take(models)
        self._grid.take(models, now)
        self._learnt.take(self._field.take_learnt())
        for line, reason in self._field.take_troubles():
            if reason is None:
                self._log.info("line is connected", line=line)
            else:
                self._log.warning("line cannot be connected", line=line, reason=reason)
        self._metrics.observe(self.cycle.state, now)
        if self.cycle.decision is not None:
            self.ready.set()

    def _watch_core(self) -> None:
        if clock.now().mono_ms - self._core_ms <= CORE_SILENT_MS:
            return
        # It may be we who were held up: ask once more before the role is given up.
        seen = self.cycle.decision
        self._on_core()
        if self.cycle.decision is seen:
            raise CoreSilent(f"no decision of the field core for {CORE_SILENT_MS} ms; the role starts anew")

    def _tick(self) -> None:
        self._watch_core()
        started = time.perf_counter()
        overruns = self.cycle.overruns
        self._advance(Tick())
        self._metrics.cycle_s.observe(time.perf_counter() - started)
        self._metrics.overruns.inc(self.cycle.overruns - overruns)
        self._metrics.observe_evses(self.cycle.state)
        self._policies.look()
        self._lines.look(self._field.lines())
        self._grid.advance(clock.now())

    def _power_w(self, asset_id: str) -> int | None:
        return self.cycle.state.reading(self.cycle.topology.asset_by_id[asset_id]).power_w

    def _take_setting(self, entry: FieldAuditEntry) -> None:
        self._audit.take_setting(entry)
        for bell in self._audit_bells:
            bell.set()

    async def _until(self, wake_ms: int | None) -> None:
        """Sleep until the wake time, or until a step moves it or fails."""
        self._wake.clear()
        if self._failure is None:
            delay_s = IDLE_S if wake_ms is None else max(0, wake_ms - clock.now().mono_ms) / 1000
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(delay_s):  # not wait_for: before Python 3.12 it may swallow a cancellation
                    await self._wake.wait()
        if self._failure is not None:
            raise self._failure


@contextlib.contextmanager
def _among(bells: set[asyncio.Event]) -> Iterator[asyncio.Event]:
    event = asyncio.Event()
    bells.add(event)
    try:
        yield event
    finally:
        bells.discard(event)
