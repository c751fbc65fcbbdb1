"""FieldService over gRPC: what devices were told and did, and what stands in their registers."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

from dgm.api.ems.v1 import field_pb2, field_pb2_grpc
from dgm.ems.audit import AuditBook
from dgm.site.refusal import Reason, Refusal
from dgm.site.service import Context, answer, check_streams, refuse

if TYPE_CHECKING:
    from dgm.ems.service.role import EmsRole

HEARTBEAT_S = 1.0


class FieldService(field_pb2_grpc.FieldServiceServicer):
    """The servicer."""

    def __init__(self, role: EmsRole, book: AuditBook) -> None:
        self._role = role
        self._book = book

    async def ListAudit(self, request: field_pb2.ListAuditRequest, context: Context) -> field_pb2.ListAuditResponse:
        """The entries that are kept, and the counts since start."""
        await self._check_asset(request.asset_id, context)
        return field_pb2.ListAuditResponse(
            entries=self._book.entries(request.asset_id),
            counts=self._book.counts(request.asset_id),
            forgotten=self._book.forgotten,
        )

    async def WatchAudit(
        self, request: field_pb2.WatchAuditRequest, context: Context
    ) -> AsyncIterator[field_pb2.WatchAuditResponse]:
        """All entries that are kept, then each at once; a slow reader hears how many it missed."""
        await self._check_asset(request.asset_id, context)
        await check_streams(self._role.audit_streams(), context)
        watcher = self._book.watch(request.asset_id)
        try:
            with self._role.audit_bell() as bell:
                while True:
                    bell.clear()
                    entries, missed = watcher.take()
                    if entries or missed:
                        yield field_pb2.WatchAuditResponse(entries=entries, missed=missed)
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(HEARTBEAT_S):
                            await bell.wait()
        finally:
            self._book.leave(watcher)

    async def ReadModel(self, request: field_pb2.ReadModelRequest, context: Context) -> Any:
        """Every point of one SunSpec model of a device, or its chain of models."""
        return await answer(await self._role.models.read(request), context)

    async def _check_asset(self, asset_id: str, context: Context) -> None:
        if asset_id and asset_id not in {asset.id for asset in self._role.cycle.topology.assets}:
            message = f"asset_id: found {asset_id!r}; expected an asset of site.yaml, or nothing for all"
            await refuse(Refusal(reason=Reason.UNKNOWN_ASSET, message=message, field="asset_id"), context)
