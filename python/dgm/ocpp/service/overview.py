"""The site as the arbitrating role tells it: the connection point for the facade, and what bound each EVSE.

    WatchSite ──> newest CircuitState and Sample of the connection point, binding limit per EVSE

While the role is away nothing is told: what is older than KEPT_MS reads as not known.
"""

from __future__ import annotations

import asyncio

import grpc.aio

from dgm import clock
from dgm.api.site.v1 import site_pb2, site_pb2_grpc
from dgm.machine import Now
from dgm.ocpp.register_values import Overview

INTERVAL_MS = 500
KEPT_MS = 5_000
RETRY_S = 1.0


class SiteWatch:
    """Follows WatchSite. limit_ids: what bound each EVSE's newest grant, by asset id."""

    def __init__(self, channel: grpc.aio.Channel, *, root_id: str, meter_id: str) -> None:
        self._site = site_pb2_grpc.SiteServiceStub(channel)
        self._root_id, self._meter_id = root_id, meter_id
        self._found = Overview()
        self._heard_ms: int | None = None
        self.limit_ids: dict[str, str] = {}

    def overview(self, now: Now) -> Overview:
        """What is known now."""
        is_kept = self._heard_ms is not None and now.mono_ms - self._heard_ms <= KEPT_MS
        return self._found if is_kept else Overview()

    async def run(self) -> None:
        """Follow until cancelled."""
        while True:
            try:
                async for update in self._site.WatchSite(site_pb2.WatchSiteRequest(interval_ms=INTERVAL_MS)):
                    self.take(update, clock.now())
            except grpc.aio.AioRpcError:
                pass  # the role is away; the link itself is told by its own log line
            await asyncio.sleep(RETRY_S)

    def take(self, update: site_pb2.WatchSiteResponse, now: Now) -> None:
        """Take one update; it holds what changed."""
        self._heard_ms = now.mono_ms
        found = self._found
        for circuit in update.circuits:
            if circuit.circuit_id == self._root_id:
                found = Overview(circuit=circuit, meter=found.meter, told_ms=found.told_ms)
        for sample in update.samples:
            if sample.asset_id == self._meter_id:
                found = Overview(circuit=found.circuit, meter=sample, told_ms=now.mono_ms)
        self._found = found
        self.limit_ids.update({grant.asset_id: grant.binding_limit_id for grant in update.grants})
