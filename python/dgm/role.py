"""What every role process is given, and what it must offer in return.

app.py: RoleContext -> EmsRole / DerRole / OcppRole -> servicers() on one gRPC server, run() until cancelled
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import grpc.aio
from prometheus_client import CollectorRegistry

from dgm.api.config.v1.config_pb2 import DgmConfig
from dgm.journal import Journal


@dataclass(frozen=True, slots=True, kw_only=True)
class RoleContext:
    """The world of one role process.

    base_dir: folder of site.yaml, where relative file names start. epoch: grows with every start of this role and is
    kept in the journal. channel: gRPC channel to another role by name ("ems", "der", "ocpp"); connects lazily and
    reconnects by itself, so a call may fail with UNAVAILABLE while the other role is away.
    """

    config: DgmConfig
    base_dir: Path
    state_dir: Path
    epoch: int
    journal: Journal
    channel: Callable[[str], grpc.aio.Channel]
    registry: CollectorRegistry


@dataclass(frozen=True, slots=True, kw_only=True)
class Servicer:
    """One gRPC service: its full name, the generated add function and the object that implements it."""

    name: str
    add: Callable[[Any, Any], None]
    servicer: Any


class Role(Protocol):
    """A set of services that run together."""

    ready: asyncio.Event
    """Set when the role does its work; readiness of the health service follows it."""

    def servicers(self) -> Sequence[Servicer]:
        """What this role serves; called once before run()."""
        ...

    async def run(self) -> None:
        """Work until cancelled. An exception ends the process; the supervisor restarts it, leases make that safe."""
        ...
