"""The sockets of the gateway's own identities, one to each CPO that site.yaml names one for.

    Limited ──> OwnLine ──> OwnIdentity ──> WebSocket (TLS, Authorization as its CPO asks) ──> CSMS of 2.x

Dials for ever, with a back-off that doubles and is spread at random, so that gateways do not come back all at once
after an outage of the CSMS. Each line is a task of its own: its failures are counted and touch no station.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Callable, Iterable
from ssl import SSLContext
from typing import Any, assert_never
from urllib.parse import quote

from prometheus_client import CollectorRegistry, Counter, Gauge
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidURI
from websockets.typing import Subprotocol

from dgm import clock
from dgm.log import logger
from dgm.machine import Tick
from dgm.ocpp.frame import MAX_FRAME_BYTES
from dgm.ocpp.gateway.legs import CLOSE_TIMEOUT_S, OPEN_TIMEOUT_S, PING_INTERVAL_S, PING_TIMEOUT_S, quiet_logger
from dgm.ocpp.notice import Limited
from dgm.ocpp.own_identity import Event, Heard, Lost, Opened, OwnIdentity, Say, Told
from dgm.ocpp.version import Version

SUBPROTOCOLS = (Subprotocol(Version.V21.value), Subprotocol(Version.V201.value))
"""Only 2.x knows a notice of a limit."""

RETRY_MIN_S, RETRY_MAX_S = 5.0, 600.0
STABLE_S = 60.0
"""A connection that lasted so long was good: the back-off begins anew."""

CSMS_CALLS_PER_S, CSMS_CALLS_BURST = 10.0, 50.0
"""A CSMS that asks more often waits for its answers."""

MAX_OUTBOX = 256
"""Unsent messages; a CSMS that asks and does not read loses the connection."""


class OwnMetrics:
    """Series of the own identities; cpo: from site.yaml."""

    def __init__(self, registry: CollectorRegistry) -> None:
        text = "Connections of the gateway itself to CSMSs"
        self.up = Gauge("dgm_ocpp_own_connections", text, ["cpo"], registry=registry)
        text = "Attempts to open them that failed"
        self.failures = Counter("dgm_ocpp_own_failures_total", text, ["cpo"], registry=registry)
        text = "CALLs on them, of the gateway (by action) and of the CSMS"
        self.calls = Counter("dgm_ocpp_own_calls_total", text, ["cpo", "action", "outcome"], registry=registry)


OWN_ACTIONS = ("BootNotification", "Heartbeat", "NotifyChargingLimit", "ClearedChargingLimit")


class OwnLine:
    """One identity and its socket. tls: made anew for every attempt, so that renewed files are used."""

    def __init__(
        self,
        machine: OwnIdentity,
        url: str,
        *,
        metrics: OwnMetrics,
        authorization: str | None = None,
        tls: Callable[[], SSLContext | None] = lambda: None,
        draw: Callable[[], float] = random.random,
        retry_min_s: float = RETRY_MIN_S,
    ) -> None:
        self.machine = machine
        self._url = f"{url.rstrip('/')}/{quote(machine.identity, safe='')}"
        self._metrics, self._authorization, self._tls, self._draw = metrics, authorization, tls, draw
        self._retry_min_s = self._retry_s = retry_min_s
        self._socket: ClientConnection | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._outbox: asyncio.Queue[bytes] = asyncio.Queue()
        self._is_reported_down = False
        self._log = logger("ocpp")

    def put(self, limited: Limited) -> None:
        """What the site allows the stations of this CPO together, now."""
        self._drive(limited)

    async def run(self) -> None:
        """Connect, talk, come back, until cancelled."""
        try:
            while True:
                await self._once()
                # Between half and all of it: full jitter would let many come at once.
                await asyncio.sleep(self._retry_s * (0.5 + self._draw() / 2))
                self._retry_s = min(2 * self._retry_s, RETRY_MAX_S)
        finally:
            self._cancel_timer()

    async def _once(self) -> None:
        loop, why = asyncio.get_running_loop(), ""
        try:
            async with connect(self._url, **self._options()) as socket:
                if socket.subprotocol not in SUBPROTOCOLS:
                    why = f"no common subprotocol; expected one of {', '.join(SUBPROTOCOLS)}"
                else:
                    began_s = loop.time()
                    await self._talk(socket)
                    if loop.time() - began_s >= STABLE_S:
                        self._retry_s = self._retry_min_s
        except (OSError, InvalidHandshake, InvalidURI, ValueError) as error:
            why = str(error)[:200] or type(error).__name__
        if why:
            self._metrics.failures.labels(self.machine.cpo_id).inc()
            if not self._is_reported_down:
                self._is_reported_down = True
                self._log.warning("own identity cannot reach its CSMS", cpo=self.machine.cpo_id, why=why)

    def _options(self) -> dict[str, Any]:
        return {
            "subprotocols": list(SUBPROTOCOLS),
            "additional_headers": [("Authorization", self._authorization)] if self._authorization else [],
            "ssl": self._tls(),
            "proxy": None,
            "open_timeout": OPEN_TIMEOUT_S,
            "close_timeout": CLOSE_TIMEOUT_S,
            "ping_interval": PING_INTERVAL_S,
            "ping_timeout": PING_TIMEOUT_S,
            "max_size": MAX_FRAME_BYTES,
            "max_queue": 4,
            "logger": quiet_logger(),
        }

    async def _talk(self, socket: ClientConnection) -> None:
        self._is_reported_down, self._outbox = False, asyncio.Queue()
        self._log.info("own identity connected", cpo=self.machine.cpo_id, subprotocol=socket.subprotocol)
        self._metrics.up.labels(self.machine.cpo_id).set(1)
        self._socket = socket
        writer = asyncio.create_task(self._write(socket))
        try:
            self._drive(Opened(subprotocol=str(socket.subprotocol)))
            await self._read(socket)
        except ConnectionClosed:
            pass
        finally:
            writer.cancel()
            self._socket = None
            self._drive(Lost())
            self._metrics.up.labels(self.machine.cpo_id).set(0)
            self._log.info("own identity disconnected", cpo=self.machine.cpo_id)

    async def _read(self, socket: ClientConnection) -> None:
        loop = asyncio.get_running_loop()
        credit, at_s = CSMS_CALLS_BURST, loop.time()
        while True:
            message = await socket.recv()
            if isinstance(message, str):
                self._drive(Heard(raw=message.encode()))
            credit, at_s = min(CSMS_CALLS_BURST, credit + (loop.time() - at_s) * CSMS_CALLS_PER_S) - 1, loop.time()
            if credit < 0:
                await asyncio.sleep(-credit / CSMS_CALLS_PER_S)

    async def _write(self, socket: ClientConnection) -> None:
        with contextlib.suppress(ConnectionClosed):
            while True:
                await socket.send((await self._outbox.get()).decode())

    def _drive(self, event: Event) -> None:
        for effect in self.machine.handle(event, clock.now()):
            match effect:
                case Say():
                    self._say(effect.raw)
                case Told():
                    action = effect.action if effect.action in OWN_ACTIONS else "csms"
                    self._metrics.calls.labels(self.machine.cpo_id, action, effect.outcome).inc()
                case _:
                    assert_never(effect)
        self._set_timer()

    def _say(self, raw: bytes) -> None:
        if self._outbox.qsize() < MAX_OUTBOX:
            self._outbox.put_nowait(raw)
        elif self._socket is not None:
            self._socket.transport.abort()

    def _set_timer(self) -> None:
        self._cancel_timer()
        wake_ms = self.machine.wake_time()
        if wake_ms is not None and self._socket is not None:
            delay_s = max(0.02, (wake_ms - clock.now().mono_ms) / 1000)
            self._timer = asyncio.get_running_loop().call_later(delay_s, self._drive, Tick())

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


async def run_all(lines: Iterable[OwnLine]) -> None:
    """All of them until cancelled; an error of ours in one ends only that one."""
    await asyncio.gather(*(_guarded(line) for line in lines))


async def _guarded(line: OwnLine) -> None:
    while True:
        try:
            await line.run()
        except Exception:
            logger("ocpp").exception("own identity failed by an error of ours", cpo=line.machine.cpo_id)
            await asyncio.sleep(RETRY_MAX_S)
