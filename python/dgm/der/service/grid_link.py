"""Keeps the utility's grid-code modes at the EMS equal to what rules now, and learns what the inverters can do.

    asked() every second ──GridSync──PutMode / DeleteMode──> ems ──ListModes──> able functions ──> core
    unchecked() ──CheckMode──> ems ──> GridChecked ──> core        before a control starts, where that is in time

Leases of at most LEASE_MS that never outlive their event: if this role dies, inverters get their own settings back. The
EMS may be away at any time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import grpc
import grpc.aio

from dgm.api.ems.v1.grid_pb2 import CheckModeRequest, DeleteModeRequest, GridMode, ListModesRequest, PutModeRequest
from dgm.api.ems.v1.grid_pb2_grpc import GridServiceStub
from dgm.der.curves import SEEN_LATE_MS, Asked
from dgm.der.envelope import SOURCE
from dgm.der.fitness import Fit, GridChecked
from dgm.der.service.ems_link import AWAY, CALL_TIMEOUT_S
from dgm.log import logger
from dgm.machine import Now

LEASE_MS, RENEW_MS, LEASE_MS_MIN = 60_000, 20_000, 1000
INTERVAL_S = 1.0
LOOK_MS = 5000
"""How often the EMS is asked what the inverters can do, and again for a verdict that it could not give."""
CHECKS_MAX = 16
"""Modes that are judged at a time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Held:
    """What was put last, without its lease; put_ms: monotonic. end_ms: of the event, on the server's clock."""

    mode: GridMode
    put_ms: int
    end_ms: int | None


class GridSync:
    """asked: what is asked now, by mode. able: takes the functions of all inverters. now: with the server's UTC.

    unchecked: modes to be judged; checked: takes the verdicts.
    """

    def __init__(
        self,
        channel: grpc.aio.Channel,
        *,
        asked: Callable[[], Mapping[str, Asked]],
        able: Callable[[frozenset[int]], None],
        unchecked: Callable[[], Mapping[bytes, GridMode]],
        checked: Callable[[GridChecked], None],
        now: Callable[[], Now],
    ) -> None:
        self._stub = GridServiceStub(channel)
        self._asked = asked
        self._able = able
        self._unchecked, self._checked = unchecked, checked
        self._check_from_ms = 0
        self._now = now
        self._held: dict[str, _Held] = {}
        self._looked_ms: int | None = None
        self._log = logger("der")

    def forget(self) -> None:
        """The EMS was away: tell it everything again."""
        self._held.clear()
        self._looked_ms = None
        self._check_from_ms = 0

    async def run(self) -> None:
        """Work until cancelled."""
        while True:
            try:
                await self.sync()
            except grpc.aio.AioRpcError as error:
                self._log.debug("ems does not answer", code=error.code().name)
            await asyncio.sleep(INTERVAL_S)

    async def sync(self) -> None:
        """Tell what is new, look what there is. AioRpcError: the EMS is away."""
        await self._check()
        asked = self._asked()
        for name, one in asked.items():
            mode = self._with_ramp(name, one)
            if self._is_news(name, mode, one.end_ms):
                await self._put(name, mode, one.end_ms)
        for name in [name for name in self._held if name not in asked]:
            request = DeleteModeRequest(id=self._held[name].mode.id, source=SOURCE)
            await self._stub.DeleteMode(request, timeout=CALL_TIMEOUT_S)
            self._log.info("utility grid mode ended", mode=name)
            del self._held[name]
        await self._look()

    def _with_ramp(self, name: str, one: Asked) -> GridMode:
        """A ramp is stated once, when the control begins, and stays as it was stated."""
        held, mode = self._held.get(name), GridMode()
        mode.CopyFrom(one.mode)
        if held is not None and held.mode.reason == mode.reason:
            mode.ramp_ms = held.mode.ramp_ms
        elif self._now().utc_ms - one.began_ms > SEEN_LATE_MS:
            mode.ramp_ms = 0
        return mode

    def _is_news(self, name: str, mode: GridMode, end_ms: int | None) -> bool:
        held = self._held.get(name)
        if held is None or held.mode != mode or held.end_ms != end_ms:
            return True
        return self._now().mono_ms - held.put_ms >= RENEW_MS

    async def _put(self, name: str, mode: GridMode, end_ms: int | None) -> None:
        now = self._now()
        request = PutModeRequest(mode=mode)
        left_ms = LEASE_MS if end_ms is None else end_ms - now.utc_ms
        request.mode.ttl_ms = min(max(left_ms, LEASE_MS_MIN), LEASE_MS)
        try:
            await self._stub.PutMode(request, timeout=CALL_TIMEOUT_S)
        except grpc.aio.AioRpcError as error:
            if error.code() in AWAY:
                raise
            self._log.error("ems refused a grid mode of the utility", mode=name, why=error.details())
        else:
            if name not in self._held:
                self._log.info("utility grid mode", mode=name, why=mode.reason)
        self._held[name] = _Held(mode=mode, put_ms=now.mono_ms, end_ms=end_ms)

    async def _look(self) -> None:
        now_ms = self._now().mono_ms
        if self._looked_ms is not None and now_ms - self._looked_ms < LOOK_MS:
            return
        found = await self._stub.ListModes(ListModesRequest(), timeout=CALL_TIMEOUT_S)
        self._looked_ms = now_ms
        if found.inverters:
            self._able(frozenset(function for inverter in found.inverters for function in inverter.able))

    async def _check(self) -> None:
        now_ms = self._now().mono_ms
        if now_ms < self._check_from_ms:
            return
        for key, mode in list(self._unchecked().items())[:CHECKS_MAX]:
            fit = await self._judge(mode)
            if fit is None:
                self._check_from_ms = now_ms + LOOK_MS
            else:
                self._checked(GridChecked(mode=key, fit=fit))

    async def _judge(self, mode: GridMode) -> Fit | None:
        """None: no inverter was looked at yet. An EMS that does not judge has nothing against it."""
        try:
            found = await self._stub.CheckMode(CheckModeRequest(mode=mode), timeout=CALL_TIMEOUT_S)
        except grpc.aio.AioRpcError as error:
            if error.code() in AWAY:
                raise
            is_known = error.code() is not grpc.StatusCode.UNIMPLEMENTED
            return Fit.INVALID if is_known else Fit.YES
        if not found.inverters or any(one.is_fit for one in found.inverters):
            return Fit.YES if found.inverters else None
        self._log.warning("no inverter can follow a control of the utility", why=found.inverters[0].why)
        return Fit.NO
