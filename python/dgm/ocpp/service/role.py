"""OcppRole: the gateway with its links to the ems role.

    ems ──WatchSetpoints──> Gateway.deliver          Gateway ──> Reports ──> ems
    OcppService (ListStations, WatchStations)        EvseFacade, OwnIdentities, where configured

The ems role may be away at any time: setpoints then run out into each EVSE's fallback, and reports wait for its return.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Iterator, Sequence

import grpc
import grpc.aio

from dgm import clock
from dgm.api.config.v1.config_pb2 import DgmConfig
from dgm.api.ems.v1 import ems_pb2, ems_pb2_grpc
from dgm.api.ocpp.v1 import ocpp_pb2, ocpp_pb2_grpc
from dgm.devices.evse_models import load_all
from dgm.facade import with_base
from dgm.journal import Journal
from dgm.log import logger
from dgm.machine import Now
from dgm.metrics import CountersCollector
from dgm.ocpp.events import CarNeed, CpoLimit, DerSeen, Keep, Outcome, Sampled, SetpointIn
from dgm.ocpp.evse import Evse
from dgm.ocpp.gateway import ADMISSION, AuditFile, Gateway, GatewayMetrics, Schemas, Security, station_tls
from dgm.ocpp.gateway.counts import Certificates
from dgm.ocpp.service.car_needs import CarNeeds
from dgm.ocpp.service.cpo_limits import CpoLimits
from dgm.ocpp.service.facade import EvseFacade, SiteNames
from dgm.ocpp.service.outages import Outages
from dgm.ocpp.service.own import OwnIdentities
from dgm.ocpp.service.reports import Reports
from dgm.ocpp.session import Session
from dgm.ocpp.store import settings_of
from dgm.role import RoleContext, Servicer

RETRY_MIN_S, RETRY_MAX_S = 0.2, 1.0
WATCH_MIN_MS, WATCH_DEFAULT_MS = 100, 1000


STATION_TABLE = "station"
"""Of the journal: what sessions keep, under <name>/<station id>."""


def _new_id() -> str:
    return str(uuid.uuid4())


def _names(config: DgmConfig) -> SiteNames:
    """What the facade's site model is about; `dgm check` has made sure of one connection point with a meter."""
    roots = [circuit for circuit in config.circuits if not circuit.parent]
    root_id, meter_id = (roots[0].id, roots[0].meter) if roots else ("", "")
    return SiteNames(site_id=config.site.id, root_id=root_id, meter_id=meter_id)


def _stored(journal: Journal) -> dict[str, dict[str, bytes]]:
    """What the sessions kept in an earlier life: bodies by station id and name."""
    found: dict[str, dict[str, bytes]] = {}
    for key, body in journal.items(STATION_TABLE).items():
        name, _, station_id = key.partition("/")
        found.setdefault(station_id, {})[name] = body
    return found


class OcppRole:
    """See the module; role.Role."""

    def __init__(self, context: RoleContext) -> None:
        self.ready = asyncio.Event()
        self._config = context.config.ocpp
        self._facade_config = with_base(self._config.facade, context.base_dir)
        self._facade: EvseFacade | None = None
        self._names = _names(context.config)
        self._subscriber = f"ocpp:{context.epoch}"
        self._channel = context.channel("ems")
        self._registry = context.registry
        self._journal = context.journal
        is_valid, stored = Schemas().is_valid, _stored(context.journal)
        metrics = GatewayMetrics(context.registry)
        self._outages = Outages(context.config, context.state_dir, _new_id, metrics)
        found = (
            Session(
                settings_of(context.config, station),
                _new_id,
                is_valid,
                stored=stored.get(station.id),
                models=load_all(),
                outage=self._outages.of(station),
            )
            for station in context.config.stations
        )
        self._sessions = {session.settings.station_id: session for session in found}
        self._reports = Reports(self._channel, source=self._subscriber, standing=self._standing)
        cpos = {evse.settings.asset_id: evse.settings.cpo_id for _, evse in self._evses()}
        self._cpo_limits = CpoLimits(self._channel, cpos)
        self._car_needs = CarNeeds(self._channel)
        security = Security.of(context.config, context.base_dir, context.state_dir)
        self.gateway = Gateway(
            self._sessions,
            metrics=metrics,
            audit=AuditFile(context.state_dir),
            report=self._report,
            keep=self._keep,
            security=security,
            compression=self._config.compression,
            ping_interval_s=self._config.ping_interval_s,
            admitted={name: kept[ADMISSION] for name, kept in stored.items() if ADMISSION in kept},
            books=self._outages.file,
        )
        context.registry.register(Certificates(security.certificates))
        self._own = OwnIdentities(context.config, context.base_dir, context.registry, self._sessions.values())
        self._base_dir = context.base_dir
        self._log = logger("ocpp")

    def servicers(self) -> Sequence[Servicer]:
        """OcppService."""
        name = ocpp_pb2.DESCRIPTOR.services_by_name["OcppService"].full_name
        service = StationService(self._sessions, self._own)
        return [Servicer(name=name, add=ocpp_pb2_grpc.add_OcppServiceServicer_to_server, servicer=service)]

    async def run(self) -> None:
        """Listen, follow setpoints and report until cancelled."""
        self._outages.start()
        try:
            await self.gateway.start(self._config.host, self._config.port)
            if self._config.HasField("tls"):
                tls = station_tls(self._config.tls, self._base_dir)
                await self.gateway.start(self._config.host, self._config.tls.port, tls=tls)
            async with asyncio.TaskGroup() as group:
                group.create_task(self._reports.run())
                group.create_task(self._follow_setpoints())
                group.create_task(self._cpo_limits.run())
                group.create_task(self._car_needs.run())
                group.create_task(self._own.run())
                if self._config.HasField("facade"):
                    self._facade = EvseFacade(self._facade_config, self._evses(), self._channel, self._names)
                    self._registry.register(CountersCollector("dgm_facade", "Modbus facade", self._facade.counters))
                    group.create_task(self._facade.run())
                    group.create_task(self._facade.keep_certificates())
                self.ready.set()
        finally:
            await self.gateway.stop()
            self._outages.close()

    async def _follow_setpoints(self) -> None:
        """WatchSetpoints for ever; each new stream means that the ems role may know nothing of us."""
        stub, delay_s = ems_pb2_grpc.EmsServiceStub(self._channel), RETRY_MIN_S
        while True:
            try:
                stream = stub.WatchSetpoints(ems_pb2.WatchSetpointsRequest(subscriber=self._subscriber))
                is_first = True
                async for response in stream:
                    if is_first:
                        self._log.info("following setpoints", ems_epoch=response.epoch)
                        self._reports.resync()
                        self._cpo_limits.resync()
                        if self._facade is not None:
                            self._facade.resync()
                        is_first, delay_s = False, RETRY_MIN_S
                    self._deliver(response)
            except grpc.aio.AioRpcError as error:
                self._log.debug("setpoint stream ended", code=error.code().name)
            await asyncio.sleep(delay_s)
            delay_s = min(2 * delay_s, RETRY_MAX_S)

    def _deliver(self, response: ems_pb2.WatchSetpointsResponse) -> None:
        for setpoint in response.setpoints:
            if not setpoint.HasField("current_ma") or setpoint.ttl_ms <= 0:
                continue
            event = SetpointIn(
                asset_id=setpoint.asset_id,
                epoch=setpoint.epoch or response.epoch,
                sequence=setpoint.sequence,
                current_ma=setpoint.current_ma,
                ttl_ms=setpoint.ttl_ms,
                safety=setpoint.safety,
            )
            self.gateway.deliver(event)

    def _evses(self) -> list[tuple[Session, Evse]]:
        return [(session, evse) for session in self._sessions.values() for evse in session.evses]

    def _report(self, report: Sampled | Outcome | CpoLimit | DerSeen | CarNeed) -> None:
        if isinstance(report, CpoLimit):
            self._cpo_limits.put(report)
        elif isinstance(report, CarNeed):
            self._car_needs.put(report)
        else:
            self._reports.put(report)

    def _keep(self, station_id: str, kept: Keep) -> None:
        self._journal.put(STATION_TABLE, f"{kept.name}/{station_id}", kept.body)

    def _standing(self, now: Now) -> Iterator[Sampled | Outcome | DerSeen]:
        for session in self._sessions.values():
            yield from session.standing(now)


class StationService(ocpp_pb2_grpc.OcppServiceServicer):
    """OcppService: what the sessions say of themselves, now."""

    def __init__(self, sessions: dict[str, Session], own: OwnIdentities) -> None:
        self._sessions, self._own = sessions, own

    def _stations(self) -> list[ocpp_pb2.Station]:
        now = clock.now()
        return [session.describe(now) for session in self._sessions.values()]

    async def ListStations(
        self, request: ocpp_pb2.ListStationsRequest, context: grpc.aio.ServicerContext[object, object]
    ) -> ocpp_pb2.ListStationsResponse:
        """Every configured station, and the gateway's own connections."""
        return ocpp_pb2.ListStationsResponse(stations=self._stations(), own=self._own.describe())

    async def WatchStations(
        self, request: ocpp_pb2.WatchStationsRequest, context: grpc.aio.ServicerContext[object, object]
    ) -> AsyncIterator[ocpp_pb2.WatchStationsResponse]:
        """All stations each interval; a slow reader gets the newest state, never a backlog."""
        interval_s = max(WATCH_MIN_MS, request.interval_ms or WATCH_DEFAULT_MS) / 1000
        while True:
            yield ocpp_pb2.WatchStationsResponse(stations=self._stations())
            await asyncio.sleep(interval_s)
