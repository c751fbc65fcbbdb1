"""gRPC servers and channels of the roles: unix sockets inside one machine, TCP only with mutual TLS.

Health and reflection stand on every server. Keepalive and message bounds are set here and nowhere else.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from dgm.api.config.v1.config_pb2 import ApiConfig
from dgm.errors import Problem, TransportError
from dgm.role import Servicer

MAX_MESSAGE_BYTES = 8_000_000
"""A snapshot of 1,000 EVSEs is about 150 kB; a larger message than this is a mistake or an attack."""

MAX_SOCKET_PATH = 100
"""Linux allows 107 bytes in sun_path; gRPC adds none, the rest is room."""

KEY_FORM = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)

SERVER_OPTIONS = [
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.so_reuseport", 0),
    ("grpc.http2.min_ping_interval_without_data_ms", 5000),
]

# A stalled reader would otherwise be given megabytes of old telemetry: keep what is in flight small.
CHANNEL_OPTIONS = [
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.http2.bdp_probe", 0),
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.max_reconnect_backoff_ms", 1000),
    ("grpc.enable_retries", 0),
]


def socket_path(run_dir: Path, role: str) -> Path:
    """Where a role listens inside the private run directory."""
    return run_dir / f"{role}.sock"


def tls_problems(api: ApiConfig, base_dir: Path) -> Iterator[Problem]:
    """What would keep listen_tls from working: files that cannot be read, a key that is not the certificate's."""
    readers: dict[str, Callable[[bytes], Any]] = {
        "certificate": x509.load_pem_x509_certificates,
        "client_ca": x509.load_pem_x509_certificates,
        "private_key": lambda content: load_pem_private_key(content, password=None),
    }
    found: dict[str, Any] = {}
    for name, read in readers.items():
        file = base_dir / str(getattr(api, name))
        try:
            found[name] = read(file.read_bytes()) if getattr(api, name) else None
        except (OSError, ValueError, TypeError) as error:
            reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
            yield Problem(path=f"api.{name}", found=f"{file}: {reason}"[:300], expected="an unencrypted PEM file")
    if found.get("certificate") and found.get("private_key"):
        of_certificate, of_key = found["certificate"][0].public_key(), found["private_key"].public_key()
        if of_certificate.public_bytes(*KEY_FORM) != of_key.public_bytes(*KEY_FORM):
            what = f"{api.private_key} is not the key of {api.certificate}"
            yield Problem(path="api.private_key", found=what, expected="the private key of the certificate")


def channel(target: str) -> grpc.aio.Channel:
    """A lazy channel to `unix:/path`; reconnects by itself."""
    return grpc.aio.insecure_channel(target, options=CHANNEL_OPTIONS)


def tls_channel(target: str, api: ApiConfig, base_dir: Path) -> grpc.aio.Channel:
    """A lazy channel to the TCP listener of a role elsewhere, over mutual TLS with the files of `api`. OSError."""
    credentials = grpc.ssl_channel_credentials(
        root_certificates=(base_dir / api.client_ca).read_bytes(),
        private_key=(base_dir / api.private_key).read_bytes(),
        certificate_chain=(base_dir / api.certificate).read_bytes(),
    )
    return grpc.aio.secure_channel(target, credentials, options=CHANNEL_OPTIONS)


class RoleServer:
    """One role's gRPC server: its services, health and reflection."""

    def __init__(self, servicers: Sequence[Servicer]) -> None:
        self._server = grpc.aio.server(options=SERVER_OPTIONS)
        self._health = health.aio.HealthServicer()
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        self._names = [servicer.name for servicer in servicers]
        for servicer in servicers:
            servicer.add(servicer.servicer, self._server)
        reflection.enable_server_reflection([*self._names, health.SERVICE_NAME, reflection.SERVICE_NAME], self._server)

    def listen_unix(self, path: Path) -> None:
        """Bind the role's socket; a stale file of a dead process is removed, a live one is refused."""
        if len(str(path)) > MAX_SOCKET_PATH:
            raise TransportError(
                f"{path}: {len(str(path))} characters; expected at most {MAX_SOCKET_PATH}; "
                "set site.run_dir to a shorter one"
            )
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with contextlib.suppress(FileNotFoundError):
            path.unlink()
        if self._server.add_insecure_port(f"unix:{path}") == 0:
            raise TransportError(f"{path}: cannot listen; expected a writable directory")

    def listen_tls(self, api: ApiConfig, base_dir: Path) -> None:
        """Bind the TCP listener with mutual TLS from the files of site.yaml."""
        credentials = grpc.ssl_server_credentials(
            [((base_dir / api.private_key).read_bytes(), (base_dir / api.certificate).read_bytes())],
            root_certificates=(base_dir / api.client_ca).read_bytes(),
            require_client_auth=True,
        )
        try:
            bound = self._server.add_secure_port(f"{api.host}:{api.port}", credentials)
        except RuntimeError as error:
            raise TransportError(f"api.port {api.host}:{api.port}: {error}; expected a free address") from error
        if bound == 0:
            raise TransportError(f"api.port {api.host}:{api.port}: cannot listen; expected a free address")

    async def start(self) -> None:
        """Serve; every service is NOT_SERVING until set_ready(True)."""
        await self.set_ready(False)
        await self._server.start()

    async def set_ready(self, ready: bool) -> None:
        """Readiness for the health service: "" and "readiness" follow the role, "liveness" is up while we answer."""
        serving = health_pb2.HealthCheckResponse.SERVING
        state = serving if ready else health_pb2.HealthCheckResponse.NOT_SERVING
        for name in ("", "readiness", *self._names):
            await self._health.set(name, state)
        await self._health.set("liveness", serving)

    async def stop(self, grace_s: float = 1.0) -> None:
        """Say NOT_SERVING, let running calls finish for `grace_s`, close."""
        await self._health.enter_graceful_shutdown()
        await self._server.stop(grace_s)
