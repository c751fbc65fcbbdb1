"""Builds a role process from site.yaml and runs it until a signal, the end of its supervisor, or a failure.

site.yaml ──> DgmConfig ──> preflight (ports, certificates, folders) ──> journal, gRPC server, metrics ──> role.run()
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import signal
import socket
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import grpc.aio

from dgm import config as site_config
from dgm import facade, links, rpc
from dgm.api.config.v1.config_pb2 import DgmConfig
from dgm.errors import ConfigError, Problem, TransportError
from dgm.journal import Journal
from dgm.log import logger
from dgm.metrics import MetricsServer, new_registry
from dgm.role import Role, RoleContext, Servicer
from dgm.site.share import shared

ROLES = ("ems", "der", "ocpp")
SUPERVISED = "DGM_SUPERVISED"
"""Set by `dgm run` in its children: end of standard input then means that the supervisor is gone."""

STOP_GRACE_S = 3.0
HIGHEST_PORT = 65_535


def load(path: Path) -> DgmConfig:
    """Read and parse site.yaml; ConfigError also for a file that cannot be read."""
    return site_config.parse(_text(path), source=str(path), read=partial(_beside, path))


def _beside(site_file: Path, name: str) -> str:
    """Text of a file that site.yaml names."""
    return (site_file.resolve().parent / name).read_text(encoding="utf-8-sig")


@dataclass(frozen=True, slots=True, kw_only=True)
class Examined:
    """A site.yaml as far as it can be read, what is wrong in it, and what else would stop its roles here."""

    config: DgmConfig
    in_file: tuple[Problem, ...]
    on_machine: tuple[Problem, ...]

    @property
    def problems(self) -> tuple[Problem, ...]:
        """Everything that is wrong."""
        return self.in_file + self.on_machine


def examine(path: Path, *, only: str | None = None) -> Examined:
    """Everything that would stop the roles of site.yaml (or `only` that one), at once.

    ConfigError for a file that cannot be read.
    """
    config, in_file = site_config.examine(_text(path), read=partial(_beside, path))
    roles = [role for role in roles_of(config) if only in (None, role)]
    told = {problem.path for problem in in_file}
    found = preflight(config, path.resolve().parent, roles)
    on_machine = tuple(problem for problem in found if problem.path not in told)
    return Examined(config=config, in_file=tuple(in_file), on_machine=on_machine)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        problem = Problem(path="(file)", found=reason, expected="a readable site.yaml in UTF-8")
        raise ConfigError([problem], source=str(path)) from error


def roles_of(config: DgmConfig) -> list[str]:
    """The roles this site needs: ems unless another EMS controls it, der and ocpp when they are configured.

    An aggregator has no site of its own: der alone.
    """
    if config.der.end_devices:
        return ["der"]
    present = {"ems": not config.ems.third_party, "der": config.HasField("der"), "ocpp": config.HasField("ocpp")}
    return [role for role in ROLES if present[role]]


def arbitrating(config: DgmConfig) -> str:
    """The role whose process arbitrates, and serves the site and its limits."""
    return "ocpp" if config.ems.third_party else "ems"


def listeners(config: DgmConfig, role: str) -> list[tuple[str, str, int]]:
    """(config path, host, port) of every TCP address the role listens on."""
    found: list[tuple[str, str, int]] = []
    if role == "ocpp":
        found.append(("ocpp.port", config.ocpp.host, config.ocpp.port))
        if config.ocpp.HasField("tls"):
            found.append(("ocpp.tls.port", config.ocpp.host, config.ocpp.tls.port))
        if config.ocpp.HasField("facade"):
            found.append(("ocpp.facade.port", config.ocpp.facade.host, config.ocpp.facade.port))
    if role == "der" and config.der.HasField("facade"):
        found.append(("der.facade.port", config.der.facade.host, config.der.facade.port))
    if role == arbitrating(config) and config.api.host:
        found.append(("api.port", config.api.host, config.api.port))
    metrics_port = _metrics_port(config, role)
    if metrics_port:
        found.append((f"api.metrics_port_{role}", config.api.metrics_host, metrics_port))
    return found


def preflight(config: DgmConfig, base_dir: Path, roles: Sequence[str]) -> list[Problem]:
    """What would stop these roles from starting, found before anything starts: addresses, certificates, folders."""
    problems = [
        problem
        for role in roles
        for path, host, port in listeners(config, role)
        for problem in _address_problems(path, host, port)
    ]
    problems += _folder_problems(config, base_dir)
    if "der" in roles and config.HasField("der"):
        from dgm.der.client import check_files

        problems += check_files(config, base_dir)
    if config.der.end_devices:
        from dgm.der.service.end_devices import end_device_problems

        problems += end_device_problems(config, base_dir)
    if arbitrating(config) in roles:
        problems += links.file_problems(shared(config), base_dir)
    if "der" in roles and config.der.HasField("facade"):
        problems += facade.tls_problems(config.der.facade, base_dir, place="der.facade")
    if "ocpp" in roles and config.ocpp.HasField("facade"):
        problems += facade.tls_problems(config.ocpp.facade, base_dir, place="ocpp.facade")
    if "ocpp" in roles and config.HasField("ocpp"):
        from dgm.ocpp.gateway.security import security_problems

        problems += security_problems(config, base_dir)
    if arbitrating(config) in roles and config.api.host:
        problems += rpc.tls_problems(config.api, base_dir)
    return problems


def _address_problems(path: str, host: str, port: int) -> Iterator[Problem]:
    if not 0 < port <= HIGHEST_PORT:
        return  # a problem of the file, told there
    try:
        family, kind, proto, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, proto) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except (OSError, ValueError) as error:
        # ValueError: a host name that no resolver would take.
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        yield Problem(
            path=path,
            found=f"{host}:{port}: {reason}",
            expected="a free address of this machine (is DGM or another server already running there?)",
        )


def _folder_problems(config: DgmConfig, base_dir: Path) -> Iterator[Problem]:
    """Folders that could not be made, and one whose sockets would have too long a path."""
    for name in ("state_dir", "run_dir"):
        folder = (base_dir / str(getattr(config.site, name))).resolve()
        standing = next(path for path in (folder, *folder.parents) if path.exists())
        if not standing.is_dir() or not os.access(standing, os.W_OK | os.X_OK):
            yield Problem(
                path=f"site.{name}", found=f"{standing}: not a writable folder", expected="a folder of our own"
            )
    longest = max((rpc.socket_path(run_dir(config, base_dir), role) for role in ROLES), key=lambda path: len(str(path)))
    if len(str(longest)) > rpc.MAX_SOCKET_PATH:
        found = f"{longest}: {len(str(longest))} characters"
        yield Problem(path="site.run_dir", found=found, expected=f"at most {rpc.MAX_SOCKET_PATH} characters")


def _metrics_port(config: DgmConfig, role: str) -> int:
    ports = {
        "ems": config.api.metrics_port_ems,
        "der": config.api.metrics_port_der,
        "ocpp": config.api.metrics_port_ocpp,
    }
    return ports[role]


def run_dir(config: DgmConfig, base_dir: Path) -> Path:
    """The private directory of the role sockets."""
    return (base_dir / config.site.run_dir).resolve()


def _build_role(role: str, context: RoleContext) -> Role:
    # Imported here so that a role process loads only its own gateway.
    if role == "ems":
        from dgm.ems.service import EmsRole

        return EmsRole(context)
    if role == "der":
        from dgm.der.service import AggregatorRole, DerRole

        return AggregatorRole(context) if context.config.der.end_devices else DerRole(context)
    from dgm.ocpp.service import OcppRole

    if not context.config.ems.third_party:
        return OcppRole(context)
    from dgm.ems.service import EmsRole

    # The share first: what it holds of an earlier life is in force before the first station is told anything.
    return Together(EmsRole(replace(context, config=shared(context.config))), OcppRole(context))


class Together:
    """Roles of one process: the ocpp role, and the share that it arbitrates by where no ems role runs."""

    def __init__(self, *roles: Role) -> None:
        self.ready = asyncio.Event()
        self._roles = roles

    def servicers(self) -> Sequence[Servicer]:
        """Those of all."""
        return [servicer for role in self._roles for servicer in role.servicers()]

    async def run(self) -> None:
        """Run all until cancelled; one that ends by a failure ends the others."""
        async with asyncio.TaskGroup() as group:
            for role in self._roles:
                group.create_task(role.run())
            for role in self._roles:
                await role.ready.wait()
            self.ready.set()


async def serve(role: str, config: DgmConfig, base_dir: Path) -> None:
    """Run one role until SIGTERM, SIGINT, or (supervised) the end of standard input."""
    sockets = run_dir(config, base_dir)
    state_dir = (base_dir / config.site.state_dir).resolve()
    journal = Journal(state_dir / f"{role}.journal")
    registry = new_registry(role)
    epoch = journal.next_epoch()
    channels: dict[str, grpc.aio.Channel] = {}

    def channel(name: str) -> grpc.aio.Channel:
        if name not in channels:
            channels[name] = rpc.channel(f"unix:{rpc.socket_path(sockets, name)}")
        return channels[name]

    context = RoleContext(
        config=config,
        base_dir=base_dir,
        state_dir=state_dir,
        epoch=epoch,
        journal=journal,
        channel=channel,
        registry=registry,
    )
    async with contextlib.AsyncExitStack() as stack:
        stack.callback(journal.close)
        work = _build_role(role, context)
        server = rpc.RoleServer(work.servicers())
        server.listen_unix(rpc.socket_path(sockets, role))
        if role == "ocpp" and config.ems.third_party:
            server.listen_unix(rpc.socket_path(sockets, "ems"))  # where der and the command line look for it
        if role == arbitrating(config) and config.api.host:
            server.listen_tls(config.api, base_dir)
        await server.start()
        stack.push_async_callback(server.stop)
        port = _metrics_port(config, role)
        if port:
            metrics = MetricsServer(registry)
            stack.push_async_callback(metrics.stop)
            await metrics.start(config.api.metrics_host, port)
        await _run_until_told(role, work, server)
        for open_channel in channels.values():
            await open_channel.close(0.2)


async def _run_until_told(role: str, work: Role, server: rpc.RoleServer) -> None:
    log = logger("app")
    told = asyncio.Event()
    _on_stop(told.set)
    running = asyncio.create_task(work.run(), name=f"role {role}")
    ready = asyncio.create_task(_report_ready(role, work, server))
    stop = asyncio.create_task(told.wait())
    done, _ = await asyncio.wait({running, stop}, return_when=asyncio.FIRST_COMPLETED)
    ready.cancel()
    stop.cancel()
    if running in done:
        await running  # raises what ended the role
        raise TransportError(f"role {role} ended by itself; expected it to run until it is told to stop")
    log.info("stopping")
    running.cancel()
    with contextlib.suppress(asyncio.CancelledError, TimeoutError):
        await asyncio.wait_for(running, STOP_GRACE_S)


async def _report_ready(role: str, work: Role, server: rpc.RoleServer) -> None:
    await work.ready.wait()
    # What a role has built by now it keeps: the collector need not look through it again and again, in a cycle.
    gc.collect()
    gc.freeze()
    await server.set_ready(True)
    logger("app").info("ready", epoch_role=role)


def _on_stop(stop: Callable[[], None]) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    if os.environ.get(SUPERVISED) == "1":
        loop.add_reader(sys.stdin.fileno(), _stop_at_end_of_input, loop, stop)


def _stop_at_end_of_input(loop: asyncio.AbstractEventLoop, stop: Callable[[], None]) -> None:
    if not os.read(sys.stdin.fileno(), 4096):
        loop.remove_reader(sys.stdin.fileno())
        stop()
