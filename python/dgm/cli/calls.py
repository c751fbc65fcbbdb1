"""How a command of the command line reaches a role of a running site."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import grpc.aio

from dgm import rpc
from dgm.errors import DgmError


def channel(site: Path, role: str) -> grpc.aio.Channel:
    """A channel to a role's socket, by the site.yaml of the running site."""
    from dgm.app import load, run_dir

    directory = run_dir(load(site), site.resolve().parent)
    return rpc.channel(f"unix:{rpc.socket_path(directory, role)}")


def call(work: Coroutine[Any, Any, None]) -> None:
    """Run a command; what the role refuses becomes one clear message."""
    try:
        asyncio.run(work)
    except grpc.aio.AioRpcError as error:
        raise DgmError(f"{error.code().name}: {error.details()}") from error
    except KeyboardInterrupt:
        pass
