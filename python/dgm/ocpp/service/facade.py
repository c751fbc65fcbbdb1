"""The EVSE facade for a third-party EMS: publishes blocks, turns written caps into leased limits.

    sessions ──> blocks ──(200 ms)──> Modbus server of the core          registers.py is the map
    cap_ma + cap_valid_s written ──> PutLimit(asset, CURRENT, ttl) ──> ems

The server answers on the core's own thread; a cap that is not rewritten ends at the ems role in the EVSE's fallback.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Sequence

import grpc.aio

from dgm import clock
from dgm.api.config.v1.config_pb2 import FacadeConfig
from dgm.api.ems.v1 import ems_pb2, ems_pb2_grpc
from dgm.errors import TransportError
from dgm.facade import keep_certificates, open_facade
from dgm.log import logger
from dgm.machine import Now
from dgm.ocpp import registers
from dgm.ocpp.evse import Evse
from dgm.ocpp.registers import Cap
from dgm.ocpp.session import Session

PUBLISH_S = 0.2
RPC_TIMEOUT_S = 2.0


class EvseFacade:
    """One Modbus server over all EVSEs."""

    def __init__(self, config: FacadeConfig, evses: Sequence[tuple[Session, Evse]], channel: grpc.aio.Channel) -> None:
        if len(evses) > registers.MAX_EVSES:
            raise TransportError(f"ocpp.facade: {len(evses)} EVSEs; the map has room for {registers.MAX_EVSES}")
        self._server = open_facade(config, place="ocpp.facade", units=registers.UNIT)
        self._evses = evses
        self._caps = registers.CapBook(len(evses))
        self._ends_ms = [0] * len(evses)
        self._ems = ems_pb2_grpc.EmsServiceStub(channel)
        self._heartbeat = 0
        self._written = asyncio.Event()
        self._log = logger("ocpp")

    def counters(self) -> dict[str, int]:
        """The server's counters by name."""
        return self._server.counters()

    async def keep_certificates(self) -> None:
        """Follow renewed certificate files until cancelled."""
        await keep_certificates(self._server, self._log)

    @property
    def port(self) -> int:
        """Where it listens."""
        return self._server.port()

    async def run(self) -> None:
        """Serve until cancelled."""
        self._define()
        loop = asyncio.get_running_loop()
        descriptor = self._server.fileno()
        loop.add_reader(descriptor, self._on_written, descriptor)
        self._server.start()
        try:
            while True:
                self._publish(clock.now())
                await self._wait()
                await self._take_writes()
        finally:
            loop.remove_reader(descriptor)
            self._server.stop()

    def _on_written(self, descriptor: int) -> None:
        with contextlib.suppress(BlockingIOError):
            os.read(descriptor, 8)  # an eventfd stays readable until its counter is read
        self._written.set()

    async def _wait(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(PUBLISH_S):
                await self._written.wait()

    def _define(self) -> None:
        unit = registers.UNIT
        self._server.define(unit, 0, registers.HEADER_SIZE)
        for index, (_, evse) in enumerate(self._evses):
            base = registers.block_address(index)
            self._server.define(unit, base, registers.BLOCK_SIZE)
            limits = (
                (registers.CAP_MA, 0, evse.settings.current_max_ma),
                (registers.CAP_VALID_S, 1, registers.MAX_VALID_S),
            )
            for cell, low, high in limits:
                self._server.allow_write(unit, base + cell.offset, cell.width.registers, low, high, 0)

    def _publish(self, now: Now) -> None:
        self._heartbeat = (self._heartbeat + 1) % 0xFFFF
        header = {
            "magic": registers.MAGIC,
            "version": registers.MAP_VERSION,
            "evses": len(self._evses),
            "first_block": registers.FIRST_BLOCK,
            "block_size": registers.BLOCK_SIZE,
            "heartbeat": self._heartbeat,
        }
        words = registers.encode(registers.HEADER, header, registers.HEADER_SIZE)
        self._server.publish(registers.UNIT, 0, words)
        for index, (session, evse) in enumerate(self._evses):
            words = registers.encode(
                registers.BLOCK,
                block_values(session, evse, index, now, cap_ends_ms=self._ends_ms[index]),
                registers.READ_SIZE,
            )
            self._server.publish(registers.UNIT, registers.block_address(index), words)

    async def _take_writes(self) -> None:
        self._written.clear()
        caps = self._caps.take(write[:4] for write in self._server.take_writes())
        await asyncio.gather(*(self._put(cap) for cap in caps))

    async def _put(self, cap: Cap) -> None:
        settings, now = self._evses[cap.index][1].settings, clock.now()
        limit = ems_pb2.Limit(
            id=f"facade:ocpp:{settings.asset_id}",
            source="facade:ocpp",
            asset_id=settings.asset_id,
            quantity=ems_pb2.QUANTITY_CURRENT,
            current_ma=cap.cap_ma,
            ttl_ms=cap.ttl_ms,
            failsafe_current_ma=settings.fallback_ma,
            reason="written to the EVSE facade",
        )
        try:
            await self._ems.PutLimit(ems_pb2.PutLimitRequest(limit=limit), timeout=RPC_TIMEOUT_S)
            self._ends_ms[cap.index] = now.mono_ms + cap.ttl_ms
        except grpc.aio.AioRpcError as error:
            # cap_left_ms says "no cap": the writer sees that its cap is not in force and writes again.
            self._ends_ms[cap.index] = 0
            self._log.warning("cap not taken by ems", asset=settings.asset_id, code=error.code().name)


def block_values(session: Session, evse: Evse, index: int, now: Now, *, cap_ends_ms: int) -> dict[str, int | None]:
    """One EVSE's registers by field name."""
    memory, enforcer, settings = evse.memory, evse.enforcer, evse.settings
    sample = memory.view(settings, now, offline=not session.is_up)
    fallback_proved = enforcer.fallback_ma is not None
    values = {
        "number": index + 1,
        "plug_state": registers.plug_code(sample.plug_state),
        "links": (0b001 if session.is_up else 0)
        | (0b010 if session.has_csms else 0)
        | (0b100 if fallback_proved else 0),
        "proved_by": registers.proved_code(enforcer.proof_state),
        "power_w": sample.power_w,
        "energy_wh": sample.energy_wh,
        "soc_permille": sample.soc_permille,
        "limit_ma": enforcer.limit_ma,
        "proved_ma": enforcer.proved_ma(now),
        "fallback_ma": settings.fallback_ma,
        "reading_age_ms": None if sample.at_mono_ms is None else now.mono_ms - sample.at_mono_ms,
        "plug_age_ms": None if memory.plug_at_ms is None else now.mono_ms - memory.plug_at_ms,
        "cap_left_ms": cap_ends_ms - now.mono_ms if cap_ends_ms > now.mono_ms else None,
    }
    for phase in range(3):
        values[f"current_l{phase + 1}_ma"] = sample.current_ma[phase]
        values[f"voltage_l{phase + 1}_mv"] = sample.voltage_mv[phase]
    return values
