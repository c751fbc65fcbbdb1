"""The EVSE facade for a third-party EMS: publishes the models, hands what is written to `orders`.

    sessions, WatchSite ──> register_values ──(200 ms)──> Modbus server of the core      models.py is the map
    written groups ──> written ──> orders ──> limits and targets at the role that arbitrates

The server answers on the core's own thread: a lease that ends there shows in the registers though Python stalls.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Sequence
from dataclasses import dataclass

import grpc.aio

from dgm import __version__, clock
from dgm.api.config.v1.config_pb2 import FacadeConfig
from dgm.errors import TransportError
from dgm.facade import Refusals, declare_ends, keep_certificates, open_facade, written
from dgm.log import logger
from dgm.machine import Now
from dgm.maps.table import MODEL_AT, Common, Place, Value, declaration, encode
from dgm.ocpp import registers
from dgm.ocpp.evse import Evse
from dgm.ocpp.facade_writes import Written
from dgm.ocpp.models import EVSE_MODEL, SITE_MODEL
from dgm.ocpp.register_values import Charge, evse_values, power_w, site_values
from dgm.ocpp.service.orders import Orders
from dgm.ocpp.service.overview import SiteWatch
from dgm.ocpp.session import Session

PUBLISH_S = 0.2
TURNS, STEP_EVSES = 5, 50
"""EVSEs are published in turns of a second, and at most so many in one step: stations report seldom, and a site of
1,000 must not spend a core on telling ages. What was written to is published at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteNames:
    """Of the site, its connection point and the meter there."""

    site_id: str
    root_id: str
    meter_id: str


class EvseFacade:
    """One Modbus server over all EVSEs."""

    def __init__(
        self,
        config: FacadeConfig,
        evses: Sequence[tuple[Session, Evse]],
        channel: grpc.aio.Channel,
        names: SiteNames,
    ) -> None:
        if len(evses) > registers.MAX_EVSES:
            raise TransportError(f"ocpp.facade: {len(evses)} EVSEs; the map has room for {registers.MAX_EVSES}")
        self._server = open_facade(config, place="ocpp.facade", units=registers.units_for(len(evses)))
        self._evses, self._names = evses, names
        self._log = logger("ocpp")
        settings = [evse.settings for _, evse in evses]
        self.orders = Orders(channel, settings, root_id=names.root_id, voltage_mv=self._voltage_mv, log=self._log)
        self._written = Written(len(evses))
        self._site = SiteWatch(channel, root_id=names.root_id, meter_id=names.meter_id)
        self._charges = [Charge() for _ in evses]
        self._values: dict[int, dict[str, Value]] = {}
        self._updates, self._next = 0, 0
        self._refusals = Refusals(self._server, self._log)
        self._touched: set[int] = set()
        self._ordered = asyncio.Event()

    def counters(self) -> dict[str, int]:
        """The server's counters by name, and those of what was written."""
        own = {"contended_writes_total": self.orders.site.contended, "orders_refused_total": self.orders.refused}
        return {**self._server.counters(), **own}

    async def keep_certificates(self) -> None:
        """Follow renewed certificate files until cancelled."""
        await keep_certificates(self._server, self._log)

    @property
    def port(self) -> int:
        """Where it listens."""
        return self._server.port()

    def resync(self) -> None:
        """The arbitrating role has restarted."""
        self.orders.resync()

    async def run(self) -> None:
        """Serve until cancelled."""
        self._declare()
        loop = asyncio.get_running_loop()
        descriptor = self._server.fileno()
        loop.add_reader(descriptor, self._on_written, descriptor)
        self._publish(range(len(self._evses)), clock.now())
        self._server.start()
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._site.run())
                group.create_task(self._keep_carrying_out())
                group.create_task(self._keep_publishing())
        finally:
            loop.remove_reader(descriptor)
            self._server.stop()

    def _on_written(self, descriptor: int) -> None:
        with contextlib.suppress(BlockingIOError):
            os.read(descriptor, 8)  # an eventfd stays readable until its counter is read
        writes, connected = written(self._server)
        self._touched |= self.orders.take(self._written.take(writes, connected=connected), clock.now())
        self._ordered.set()

    async def _keep_carrying_out(self) -> None:
        """A role that does not answer holds up the orders, and not the registers."""
        while True:
            self._touched |= await self.orders.carry_out()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(PUBLISH_S):
                    await self._ordered.wait()
            self._ordered.clear()

    async def _keep_publishing(self) -> None:
        while True:
            due, self._touched = self._turn() | self._touched, set()
            now = clock.now()
            self._publish(sorted(due), now)
            self._refusals.tell(now)
            await asyncio.sleep(PUBLISH_S)

    def _turn(self) -> set[int]:
        """The next EVSEs in turn."""
        count = len(self._evses)
        step = [(self._next + offset) % count for offset in range(min(STEP_EVSES, -(-count // TURNS)))] if count else []
        self._next = (self._next + len(step)) % max(1, count)
        return set(step)

    def _voltage_mv(self, index: int) -> int:
        evse = self._evses[index][1]
        seen = [value for value in evse.memory.reading.voltage_mv if value is not None]
        return max(evse.settings.nominal_voltage_mv, *seen, 0)

    def _declare(self) -> None:
        commons = {registers.SITE_UNIT: _common("Site", self._names.site_id)}
        server, place = self._server, registers.site_place()
        server.declare(place.unit, declaration(SITE_MODEL, place, {}, {}).SerializeToString())
        units: dict[int, int] = {registers.SITE_UNIT: MODEL_AT + SITE_MODEL.size}
        for index, (_, evse) in enumerate(self._evses):
            settings, place = evse.settings, registers.evse_place(index, EVSE_MODEL)
            commons.setdefault(place.unit, _common("EVSE", settings.asset_id))
            highs = {"cap_ma": settings.current_max_ma, "cap_w": 2 * power_w(settings.current_max_ma, settings)}
            expired = {"cap_ma": settings.fallback_ma}
            declared = declaration(EVSE_MODEL, place, highs, expired)
            server.declare(place.unit, declared.SerializeToString())
            self._forget_cap(place)
            units[place.unit] = place.address + EVSE_MODEL.size
        for unit, end in units.items():
            declare_ends(server, unit, commons[unit], end)

    def _forget_cap(self, place: Place) -> None:
        """Before anybody wrote there is no cap: what the register shows after a lease must not show now."""
        point = EVSE_MODEL.point("cap_ma")
        words = point.kind.absent.to_bytes(2 * point.size, "big")
        self._server.publish(place.unit, place.address + EVSE_MODEL.offsets["cap_ma"], words)

    def _publish(self, due: Sequence[int], now: Now) -> None:
        self._updates = (self._updates + 1) % 0xFFFF
        for index in due:
            session, evse = self._evses[index]
            values = evse_values(
                evse,
                session.describe(now),
                index,
                now,
                cap=self.orders.caps[index],
                limit_id=self._site.limit_ids.get(evse.settings.asset_id, ""),
                charge=self._charges[index],
            )
            self._values[index] = values
            place = registers.evse_place(index, EVSE_MODEL)
            self._server.publish(place.unit, place.address, encode(EVSE_MODEL, values))
        words = encode(
            SITE_MODEL,
            site_values(
                self._values,
                self._site.overview(now),
                self.orders.site,
                now,
                updates=self._updates,
                fallback_w=self.orders.fallback_w,
            ),
        )
        place = registers.site_place()
        self._server.publish(place.unit, place.address, words)


def _common(kind: str, serial: str) -> Common:
    return Common(model=kind, options=f"map {registers.MAP_VERSION}", version=__version__, serial=serial)
