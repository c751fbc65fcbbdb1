"""Opens the Modbus server of a role from its configuration, and follows its certificates.

    FacadeConfig (host, port, tls, write_roles) ──> _core.Facade, bound and secured, not yet answering
    files renewed ── every 10 s ──> new connections get the new certificates, open ones stay

What the registers mean is the roles' own: der/registers.py, ocpp/registers.py.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from structlog.typing import FilteringBoundLogger

from dgm.api.config.v1.config_pb2 import FacadeConfig
from dgm.errors import Problem, TransportError

if TYPE_CHECKING:
    from dgm._core import Facade

REFRESH_S = 10.0
"""How often the certificate files are looked at."""


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
