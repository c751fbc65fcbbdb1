"""The DER facade for a third-party EMS: publishes the models, takes in what the EMS says.

    DerCore ──> picture ──> register_values, sunspec_values ──(each step, at least every second)──> Modbus server
    written groups ──> Joined ──> EmsSaid ──> availability of the core, acknowledgements in the registers

The server answers on the core's own thread: reads, and the ends of leases, go on though Python stalls; then `updates`
stands still, and a reader has to take every limit as unknown. models.py is the map.
"""

from __future__ import annotations

import asyncio
import contextlib
import os

from dgm import __version__, clock
from dgm.api.config.v1.config_pb2 import DgmConfig, FacadeConfig
from dgm.der import registers
from dgm.der.core import DerCore
from dgm.der.envelope import bound_w
from dgm.der.facade_writes import ALIVE, LOST, EmsSaid
from dgm.der.models import GATEWAY_MODEL, KINDS, LIMIT_MODEL, MAP_VERSION, STANDARD
from dgm.der.plant import storage_of
from dgm.der.register_values import (
    KIND_QUANTITIES,
    Picture,
    Sequences,
    ShownLimit,
    agreement_w,
    gateway_values,
    limit_values,
    modes_of,
)
from dgm.der.steps import steps
from dgm.der.sunspec_values import Plant, standard_values
from dgm.facade import Refusals, declare_ends, keep_certificates, open_facade, written
from dgm.log import logger
from dgm.machine import Now
from dgm.maps.table import Common, Model, Place, Value, declaration, encode
from dgm.maps.writes import Contended, Joined

PUBLISH_S_MIN, PUBLISH_S = 0.1, 1.0
"""At most so often however much happens, and at least so often."""
TOLD_AGAIN_MS = 60_000
"""Two clients at one group are logged once in this time; every write is counted."""


class DerFacade:
    """One Modbus server over what the gateway knows."""

    def __init__(self, config: FacadeConfig, core: DerCore, site: DgmConfig) -> None:
        self._server = open_facade(config, place="der.facade", units=registers.UNIT)
        self._core, self._site = core, site
        self._root = next((circuit for circuit in site.circuits if not circuit.parent), None)
        self._storage = storage_of(site)
        self._said = EmsSaid()
        self._joined = Joined((*STANDARD.values(), GATEWAY_MODEL, LIMIT_MODEL), registers.located)
        self._sequences = Sequences(len(KINDS), start=clock.now().utc_ms // 1000)
        self._bell = asyncio.Event()
        self._log = logger("der")
        self._refusals = Refusals(self._server, self._log)
        self._updates, self._lost = 0, 0
        self._control = self._said.control(clock.now())
        self._acks = [0] * len(KINDS)
        self._contended_told_ms: int | None = None

    def counters(self) -> dict[str, int]:
        """The server's counters by name, and those of what was written."""
        own = {"contended_writes_total": self._said.contended, "heartbeats_lost_total": self._lost}
        return {**self._server.counters(), **own}

    @property
    def port(self) -> int:
        """Where it listens."""
        return self._server.port()

    def ring(self) -> None:
        """Something has changed."""
        self._bell.set()

    async def run(self) -> None:
        """Serve until cancelled."""
        self._declare()
        loop, descriptor = asyncio.get_running_loop(), self._server.fileno()
        loop.add_reader(descriptor, self._on_written, descriptor)
        self.publish(clock.now())
        self._server.start()
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(keep_certificates(self._server, self._log))
                group.create_task(self._keep_publishing())
        finally:
            loop.remove_reader(descriptor)
            self._server.stop()

    async def _keep_publishing(self) -> None:
        while True:
            await asyncio.sleep(PUBLISH_S_MIN)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(PUBLISH_S - PUBLISH_S_MIN):
                    await self._bell.wait()
            self._bell.clear()
            now = clock.now()
            self.publish(now)
            self._refusals.tell(now)

    def _on_written(self, descriptor: int) -> None:
        with contextlib.suppress(BlockingIOError):
            os.read(descriptor, 8)  # an eventfd stays readable until its counter is read
        now = clock.now()
        writes, connected = written(self._server)
        for contended in self._said.take(self._joined.take(writes, connected=connected), now):
            self._tell_contended(contended, now)
        self._bell.set()

    def _declare(self) -> None:
        for model, _, address in registers.PLACES:
            place = Place(unit=registers.UNIT, address=address)
            self._server.declare(registers.UNIT, declaration(model, place, {}, {}).SerializeToString())
        common = Common(
            model="DER gateway", options=f"map {MAP_VERSION}", version=__version__, serial=self._site.site.id
        )
        declare_ends(self._server, registers.UNIT, common, registers.END_AT)

    def publish(self, now: Now) -> None:
        """Show what is known now, and tell the core what the EMS says."""
        self._updates += 1
        picture = self.picture(now)
        self._core.availability = self._said.availability(now)
        for model_id, values in standard_values(picture, self._plant()).items():
            self._put(STANDARD[model_id], None, values)
        for index in range(len(KINDS)):
            sequence = self._sequences.of(index, picture.limits[index].steps[0])
            acknowledged = self._said.acknowledged(index, sequence, now)
            self._put(LIMIT_MODEL, index, limit_values(picture, index, sequence, acknowledged))
            self._tell_ack(index, sequence, acknowledged)
        self._put(GATEWAY_MODEL, None, gateway_values(picture, self._said, now))
        self._tell_control(now)

    def _put(self, model: Model, index: int | None, values: dict[str, Value]) -> None:
        place = registers.place(model, index)
        self._server.publish(place.unit, place.address, encode(model, values))

    def picture(self, now: Now) -> Picture:
        """What the registers are made of."""
        core, der = self._core, self._site.der
        last_ms, at_ms = core.discovery.last_success_ms, now.utc_ms + core.offset_ms
        return Picture(
            link=core.discovery.link,
            updates=self._updates,
            link_age_ms=None if last_ms is None else now.mono_ms - last_ms,
            at_ms=at_ms,
            is_told=core.is_informed,
            max_w=der.site_rating_w,
            charge_w=der.battery_charge_rating_w or None,
            gradient_permyriad_s=core.scheduler.default_gradient_permyriad_s(),
            limits=[self._limit(quantity, at_ms) for quantity in KIND_QUANTITIES],
            bounds=core.bounds(now),
            ruling=core.scheduler.ruling(),
            targets=core.targets(),
        )

    def _limit(self, quantity: int, at_ms: int) -> ShownLimit:
        scheduler, max_w = self._core.scheduler, self._site.der.site_rating_w
        modes, agreed_w = modes_of(quantity), agreement_w(self._root, quantity)
        stated = [scheduler.default_mode(mode) for mode in modes]
        defaults = [bound_w(row.value, max_w) for row in stated if row is not None]
        return ShownLimit(
            steps=steps(
                lambda mode, most: scheduler.timeline(mode, most=most),
                modes,
                at_ms,
                max_w=max_w,
                agreement_w=agreed_w,
            ),
            default_w=min((power_w for power_w in defaults if power_w is not None), default=None),
            agreement_w=agreed_w,
        )

    def _plant(self) -> Plant:
        core = self._core
        defaults = core.scheduler.defaults()
        return Plant(
            discharge_w=self._storage.discharge_w,
            energy_wh=self._storage.energy_wh,
            acts_on=core.acts_on,
            curves=core.curves(),
            samples=core.site.plant_samples(),
            batteries=core.site.battery_samples(),
            default=defaults[0].control if defaults else None,
        )

    # -- what is told to the log ------------------------------------------------------------------------------------

    def _tell_control(self, now: Now) -> None:
        control = self._said.control(now)
        if control == self._control:
            return
        self._control, self._lost = control, self._lost + (control == LOST)
        if control == LOST:
            self._log.warning("the EMS at the DER facade fell silent", client=self._said.client())
        else:
            told = "the EMS at the DER facade lives" if control == ALIVE else "the EMS left the DER facade"
            self._log.info(told, client=self._said.client())

    def _tell_ack(self, index: int, sequence: int, acknowledged: int) -> None:
        if acknowledged not in (0, self._acks[index]):
            self._log.info("limit acknowledged", limit=KINDS[index], sequence=sequence, ack=acknowledged)
        self._acks[index] = acknowledged

    def _tell_contended(self, contended: Contended, now: Now) -> None:
        if self._contended_told_ms is None or now.mono_ms - self._contended_told_ms >= TOLD_AGAIN_MS:
            self._contended_told_ms = now.mono_ms
            self._log.warning(
                "two clients write the same", group=contended.group, held_by=contended.held_by, by=contended.taken_by
            )
