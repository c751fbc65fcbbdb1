"""Opens the Modbus server of a role from its configuration, and follows its certificates.

    FacadeConfig (host, port, tls, write_roles) ──> _core.Facade, bound and secured, not yet answering
    files renewed ── every 10 s ──> new connections get the new certificates, open ones stay

What the registers mean is the roles' own: der/models.py, ocpp/models.py.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from structlog.typing import FilteringBoundLogger

from dgm.api.config.v1.config_pb2 import FacadeConfig
from dgm.errors import Problem, TransportError
from dgm.machine import Now
from dgm.maps.table import BASE, END, Common
from dgm.maps.writes import Write

if TYPE_CHECKING:
    from dgm._core import Facade

REFRESH_S = 10.0
"""How often the certificate files are looked at."""

TELL_MS = 10_000
"""Refused writes are logged at most so often: who writes too much must not fill the disk."""

REFUSALS = ("writes_incomplete", "writes_out_of_range", "writes_old", "writes_denied", "writes_too_soon")
"""Counters of the server."""


def with_base(config: FacadeConfig, base_dir: Path) -> FacadeConfig:
    """The same with absolute file names; in site.yaml they are relative to its folder."""
    absolute = FacadeConfig()
    absolute.CopyFrom(config)
    if config.HasField("tls"):
        for name in ("certificate", "private_key", "ca"):
            setattr(absolute.tls, name, str(base_dir / getattr(config.tls, name)))
    return absolute


def open_facade(config: FacadeConfig, *, place: str, units: int) -> Facade:
    """Bind and read the certificates. place: path in site.yaml, for messages.

    TransportError: the address cannot be had, or a file cannot be used; the text names it.
    """
    # The core is loaded here and not before: without a facade a role needs no built core.
    from dgm import _core

    try:
        return _core.Facade(config.host, config.port, units, config.SerializeToString())
    except OSError as error:
        raise TransportError(f"{place} {config.host}:{config.port}: {error}; expected a free address") from error
    except _core.CoreError as error:
        raise TransportError(f"{place}: {error}") from error


def tls_problems(config: FacadeConfig, base_dir: Path, *, place: str) -> Iterator[Problem]:
    """What is wrong with the certificate files, found before anything is served."""
    if not config.HasField("tls"):
        return
    from dgm import _core

    try:
        _core.Facade("127.0.0.1", 0, 1, with_base(config, base_dir).SerializeToString())
    except _core.CoreError as error:
        found, _, expected = str(error).partition("; expected ")
        yield Problem(path=f"{place}.tls", found=found, expected=expected)


async def keep_certificates(facade: Facade, log: FilteringBoundLogger) -> None:
    """Read renewed certificate files, for ever; what cannot be used is told once and the old ones stay in use."""
    from dgm import _core

    told = ""
    while True:
        await asyncio.sleep(REFRESH_S)
        try:
            if await asyncio.to_thread(facade.refresh_tls):
                log.info("facade certificates renewed")
            told = ""
        except _core.CoreError as error:
            if str(error) != told:
                log.error("facade certificates not renewed, the old ones stay in use", problem=str(error))
            told = str(error)


def declare_ends(facade: Facade, unit: int, common: Common, end_at: int) -> None:
    """The common model with which a unit begins, and the end marker behind its last model."""
    words = common.words(unit)
    for address, found in ((BASE, words), (end_at, END)):
        facade.define(unit, address, len(found) // 2)
        facade.publish(unit, address, found)


def written(facade: Facade) -> tuple[list[Write], set[str]]:
    """What was written since the last call, and the peers that are connected now."""
    connected = {client[0] for client in facade.clients()}
    writes: list[Write] = [
        (unit, address, value, age_ms, peer, role)
        for unit, address, value, age_ms, _, peer, role in facade.take_writes()
    ]
    return writes, connected


class Refusals:
    """Tells the log which writes were refused since the last time; the server counts them and knows no log."""

    def __init__(self, facade: Facade, log: FilteringBoundLogger) -> None:
        self._facade, self._log = facade, log
        self._told = dict.fromkeys(REFUSALS, 0)
        self._told_ms: int | None = None

    def tell(self, now: Now) -> None:
        """At most every TELL_MS, and only what is new."""
        if self._told_ms is not None and now.mono_ms - self._told_ms < TELL_MS:
            return
        counted = self._facade.counters()
        grown = {name: counted[f"{name}_total"] - self._told[name] for name in REFUSALS}
        if not any(grown.values()):
            return
        self._told = {name: counted[f"{name}_total"] for name in REFUSALS}
        self._told_ms = now.mono_ms
        peers = [client[0] for client in self._facade.clients() if client[5]]
        self._log.warning("writes refused", **{name: count for name, count in grown.items() if count}, clients=peers)
