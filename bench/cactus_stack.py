"""A public CACTUS runner with its reference server and database, on loopback, from the user's own venv.

    TLS front (here) ──ssl-client-cert──> cactus-runner ──> envoy ──> PostgreSQL (its own, in a temporary folder)

Nothing of it is part of DGM. The front does what the ingress of the public deployment does: it ends mutual TLS and
hands on who asked. `Stack` is what all lanes share; a `Lane` is one runner with its server and database.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import socket
import ssl
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

import aiohttp
from aiohttp import web

from dgm.der.tls import listener_context
from dgm.sim.live.pki import TestPki

HOST = "127.0.0.1"
READY_S_MAX = 90
STOP_S = 10
PEN = 37244
PASSED_ON = ("accept", "content-type")
PASSED_BACK = ("content-type", "location", "retry-after")
UPGRADE = "from envoy.server.alembic import upgrade; upgrade()"
SERVE = "import sys, uvicorn; uvicorn.run(sys.argv[1], host='127.0.0.1', port=int(sys.argv[2]), log_level='warning')"
RUNNER = """
import sys
from aiohttp import web
from cactus_runner.app.main import app
web.run_app(app, host="127.0.0.1", port=int(sys.argv[1]), print=None)
"""


@dataclass(slots=True, kw_only=True)
class Stack:
    """What all lanes share. python: of the venv with cactus-runner and envoy; postgres: folder of initdb and pg_ctl."""

    python: Path
    postgres: Path
    folder: Path
    pki: TestPki
    pg_port: int = 0
    children: list[asyncio.subprocess.Process] = field(default_factory=list)

    def environment(self, database: str) -> dict[str, str]:
        """Of every process of a lane."""
        return {
            **{key: value for key, value in os.environ.items() if not key.startswith("PYTHON")},
            "DATABASE_URL": f"postgresql+asyncpg://rig@{HOST}:{self.pg_port}/{database}",
            **dict.fromkeys(("ENVOY_ADMIN_BASICAUTH_USERNAME", "ADMIN_USERNAME"), "rig"),
            **dict.fromkeys(("ENVOY_ADMIN_BASICAUTH_PASSWORD", "ADMIN_PASSWORD"), "rig"),
            # The /tm of the server answers 500 in a zone without summer time.
            "TZ": "Australia/Adelaide",
            "CERT_HEADER": "ssl-client-cert",
            "ALLOW_DEVICE_REGISTRATION": "True",
            "ENABLE_NOTIFICATIONS": "True",
            "IANA_PEN": str(PEN),
            "NOTIFICATIONS_WITH_MTLS": "True",
            "NOTIFICATION_MTLS_CERT": str(self.pki.server_certificate),
            "NOTIFICATION_MTLS_KEY": str(self.pki.server_key),
            "NOTIFICATION_MTLS_SERCA": str(self.pki.root_certificate),
            "NOTIFICATION_DISABLE_TLS_VERIFY": "True",
            "NOTIFICATION_POLL_SECONDS": "1",
        }

    async def start(self, code: str, *given: str, cwd: Path, database: str, more: Mapping[str, str]) -> None:
        """A process of the venv that runs until the end; its output goes to a file of the lane."""
        with (cwd / f"{len(self.children)}.log").open("wb") as log:
            environment = {**self.environment(database), **more}
            command = (str(self.python), "-c", code, *given)
            child = await asyncio.create_subprocess_exec(*command, cwd=cwd, env=environment, stdout=log, stderr=log)
        self.children.append(child)

    async def stop(self) -> None:
        """End every process that was started."""
        for child in self.children:
            with contextlib.suppress(ProcessLookupError):
                child.send_signal(signal.SIGTERM)
        for child in self.children:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(child.wait(), STOP_S)
            with contextlib.suppress(ProcessLookupError):
                child.kill()

    def sql(self, statement: str) -> tuple[str, ...]:
        """The command that executes a statement."""
        where = ("-h", HOST, "-p", str(self.pg_port), "-U", "rig", "-d", "postgres")
        return (str(self.postgres / "psql"), *where, "-c", statement)


async def run(*command: str, env: Mapping[str, str] | None = None, given: str = "") -> str:
    """A command to its end; its output. RuntimeError when it fails."""
    pipe = asyncio.subprocess.PIPE
    child = await asyncio.create_subprocess_exec(*command, env=env, stdin=pipe, stdout=pipe, stderr=pipe, cwd="/")
    out, err = await child.communicate(given.encode())
    if child.returncode:
        raise RuntimeError(f"{' '.join(command)[:200]}: {err.decode()[-2000:]}")
    return out.decode()


def free_port() -> int:
    """A port of loopback that is free now."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


@contextlib.asynccontextmanager
async def database(stack: Stack) -> AsyncIterator[None]:
    """A PostgreSQL of our own with the server's schema in a template. As root it runs as the user postgres."""
    folder = stack.folder / "pg"
    folder.mkdir()
    stack.pg_port = free_port()
    as_user: tuple[str, ...] = ()
    if os.geteuid() == 0:
        shutil.chown(folder, "postgres")
        as_user = ("runuser", "-u", "postgres", "--")
    control = (*as_user, str(stack.postgres / "pg_ctl"), "-D", str(folder))
    await run(*as_user, str(stack.postgres / "initdb"), "-D", str(folder), "-U", "rig", "-A", "trust")
    settings = (f"listen_addresses={HOST}", f"unix_socket_directories={folder}", "fsync=off", "max_connections=400")
    options = f"-p {stack.pg_port}" + "".join(f" -c {item}" for item in settings)
    await run(*control, "-o", options, "-w", "-l", str(folder / "log"), "start")
    try:
        await run(*stack.sql("CREATE DATABASE model"))
        await run(str(stack.python), "-c", UPGRADE, env=stack.environment("model"))
        yield
    finally:
        await run(*control, "-m", "immediate", "stop")


@dataclass(slots=True, kw_only=True)
class Lane:
    """One runner, its reference server and the TLS front before it. `url`: the front, https://HOST:PORT."""

    stack: Stack
    number: int
    session: aiohttp.ClientSession
    runner: str = ""
    url: str = ""

    async def open(self) -> None:
        """Start all that a lane needs and wait until it answers."""
        name = f"lane{self.number}"
        cwd = self.stack.folder / name
        (cwd / "logs").mkdir(parents=True)
        await run(*self.stack.sql(f"CREATE DATABASE {name} TEMPLATE model"))
        server, admin, runner = free_port(), free_port(), free_port()
        more = {"SERVER_URL": f"http://{HOST}:{server}", "ENVOY_ADMIN_URL": f"http://{HOST}:{admin}"}
        for code, given in (
            (SERVE, ("envoy.server.main:app", str(server))),
            (SERVE, ("envoy.admin.main:app", str(admin))),
            (RUNNER, (str(runner),)),
        ):
            await self.stack.start(code, *given, cwd=cwd, database=name, more=more)
        self.runner = f"http://{HOST}:{runner}"
        await self._wait(cwd)
        await self._open_front()

    async def _wait(self, cwd: Path) -> None:
        for _ in range(READY_S_MAX):
            with contextlib.suppress(aiohttp.ClientError):
                async with self.session.get(f"{self.runner}/health") as answer:
                    if answer.status == 200:
                        return
            await asyncio.sleep(1)
        raise RuntimeError(f"no runner after {READY_S_MAX} s; see the logs in {cwd}")

    async def _open_front(self) -> None:
        application = web.Application(client_max_size=1_000_000)
        application.router.add_route("*", "/{path:.*}", self._pass_on)
        front = web.AppRunner(application, access_log=None, shutdown_timeout=1)
        await front.setup()
        pki = self.stack.pki
        context = listener_context(
            ca=pki.root_certificate, certificate=pki.server_certificate, private_key=pki.server_key
        )
        await web.TCPSite(front, HOST, 0, ssl_context=context).start()
        self.url = f"https://{HOST}:{front.addresses[0][1]}"

    async def _pass_on(self, request: web.Request) -> web.Response:
        tls = request.transport.get_extra_info("ssl_object") if request.transport else None
        certificate = tls.getpeercert(binary_form=True) if tls else None
        if certificate is None:
            return web.Response(status=403)
        headers = {key: value for key, value in request.headers.items() if key.lower() in PASSED_ON}
        headers["ssl-client-cert"] = quote(ssl.DER_cert_to_PEM_cert(certificate))
        url, body = self.runner + request.raw_path, await request.read() or None
        async with self.session.request(
            request.method, url, data=body, headers=headers, allow_redirects=False
        ) as answer:
            back = {key: value for key, value in answer.headers.items() if key.lower() in PASSED_BACK}
            return web.Response(status=answer.status, body=await answer.read(), headers=back)
