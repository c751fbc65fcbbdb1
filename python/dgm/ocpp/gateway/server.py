"""Listener towards the stations and sockets to their CSMSs, policy strict.

    request /any/path/ID ──> known? (404) ──> dial CSMS/ID with the station's subprotocol, Authorization (502, 401)
                         ──> accept with the CSMS's choice ──> Line: two readers, one timer, one Session

The last path segment, percent-decoded, is the identity. The newest connection of a station wins. What a session wants
is done in one go without waiting: a frame goes from one socket's queue to the other's buffer with nothing in between.
Compression is off on both legs (OCPP 1.6 does not ask for it). Absent: TLS towards stations, redirects of a station.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, cast
from urllib.parse import quote, unquote

from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus, InvalidURI
from websockets.frames import CloseCode
from websockets.http11 import Request, Response
from websockets.protocol import OPEN
from websockets.typing import Subprotocol

from dgm import clock
from dgm.errors import TransportError
from dgm.log import logger
from dgm.machine import Tick
from dgm.ocpp.events import (
    Close,
    Counted,
    CpoLimit,
    Event,
    Excepted,
    FrameIn,
    Keep,
    Later,
    Leg,
    LegDown,
    LegUp,
    Outcome,
    Sampled,
    Send,
    SetpointIn,
)
from dgm.ocpp.frame import MAX_FRAME_BYTES
from dgm.ocpp.gateway.audit import AuditFile
from dgm.ocpp.gateway.counts import GatewayMetrics
from dgm.ocpp.gateway.legs import (
    CLOSE_TIMEOUT_S,
    MAX_INBOUND_MESSAGES,
    OPEN_TIMEOUT_S,
    PING_INTERVAL_S,
    PING_TIMEOUT_S,
    Connection,
    CsmsLeg,
    StationLeg,
    quiet_logger,
    write,
)
from dgm.ocpp.session import Session

MAX_IDENTITY_CHARS = 48
MAX_STRANGERS = 1000
"""Unknown identities that are logged once each; further ones are only counted."""

TICK_MIN_S = 0.02

SUBPROTOCOL = "ocpp1.6"
"""What is built. Of a station's offers only this is passed on; a station that offers none is taken at its word."""

LEG_OPTIONS: Final[dict[str, Any]] = {
    "compression": None,
    "max_size": MAX_FRAME_BYTES,
    "max_queue": MAX_INBOUND_MESSAGES,
    "ping_interval": PING_INTERVAL_S,
    "ping_timeout": PING_TIMEOUT_S,
    "close_timeout": CLOSE_TIMEOUT_S,
    "logger": quiet_logger(),
}


@dataclass(slots=True, kw_only=True)
class Link:
    """The two open sockets of one station."""

    south: StationLeg
    north: CsmsLeg


class Line:
    """One configured station: its session, its timer, and its sockets while it is connected."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.link: Link | None = None
        self.timer: asyncio.TimerHandle | None = None
        self.timer_ms = 0
        self.why_down = ""
        self.is_reported_down = False

    def leg(self, leg: Leg) -> Connection | None:
        """The socket of a leg, if there is one."""
        if self.link is None:
            return None
        return self.link.south if leg is Leg.SOUTH else self.link.north


class Gateway:
    """All stations of one site.

    `report` gets what is for the ems role, at once: samples, outcomes, limits of CPOs. `keep` stores what a session
    wants stored under a station's id, and returns when it is durable.
    """

    def __init__(
        self,
        sessions: Mapping[str, Session],
        *,
        metrics: GatewayMetrics,
        audit: AuditFile,
        report: Callable[[Sampled | Outcome | CpoLimit], None],
        keep: Callable[[str, Keep], None],
    ) -> None:
        self._lines = {station_id: Line(session) for station_id, session in sessions.items()}
        self._by_asset = {line.session.settings.asset_id: line for line in self._lines.values()}
        self._metrics = metrics
        self._audit = audit
        self._report = report
        self._keep = keep
        self._strangers: set[str] = set()
        self._closing: set[asyncio.Task[None]] = set()
        self._server: Server | None = None
        self._log = logger("ocpp")

    @property
    def port(self) -> int:
        """Where we listen (the system's choice when 0 was asked for)."""
        assert self._server is not None, "started"
        return int(next(iter(self._server.sockets)).getsockname()[1])

    async def start(self, host: str, port: int) -> None:
        """Listen. TransportError when the address cannot be had."""
        try:
            self._server = await serve(
                self._serve_station,
                host,
                port,
                process_request=self._process_request,
                select_subprotocol=_choice_of_csms,
                create_connection=cast("type[ServerConnection]", partial(StationLeg, on_garbage=self._count_garbage)),
                open_timeout=2 * OPEN_TIMEOUT_S,
                server_header=None,
                **LEG_OPTIONS,
            )
        except OSError as error:
            raise TransportError(f"ocpp {host}:{port}: {error.strerror}; expected a free address") from error

    async def stop(self) -> None:
        """Close the listener and every connection."""
        for line in self._lines.values():
            if line.timer is not None:
                line.timer.cancel()
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()
        self._audit.close()

    def deliver(self, asset_id: str, setpoint: SetpointIn) -> None:
        """Hand a setpoint to the station of an EVSE; an EVSE that is not ours is ignored."""
        line = self._by_asset.get(asset_id)
        if line is not None:
            self._drive(line, setpoint)

    # Opening.

    async def _process_request(self, south: ServerConnection, request: Request) -> Response | None:
        assert isinstance(south, StationLeg), "created by us"
        identity = unquote(request.path.split("?", 1)[0].rsplit("/", 1)[-1])
        line = self._lines.get(identity)
        if line is None:
            self._refuse_stranger(identity)
            return south.respond(404, "unknown station\n")
        if not any("websocket" in value.lower() for value in request.headers.get_all("Upgrade")):
            return None  # the library answers what is no WebSocket request; the CSMS need not hear of it
        south.station_id = identity
        found = await self._dial(line, south, request)
        if isinstance(found, CsmsLeg):
            south.north = found
            return None
        status, why = found
        self._metrics.refused.labels("csms").inc()
        if not line.is_reported_down:
            line.is_reported_down = True
            self._log.warning("station refused, its CSMS cannot be reached", station=identity, status=status, why=why)
        return south.respond(status, "no connection to the CSMS\n")

    async def _dial(self, line: Line, south: StationLeg, request: Request) -> CsmsLeg | tuple[int, str]:
        """The socket to the CSMS, or the HTTP status for the station and the reason for people."""
        settings = line.session.settings
        offered = _offered(request)
        spoken = [name for name in offered if name == SUBPROTOCOL]
        if offered and not spoken:
            return 502, f"the station offers {', '.join(offered)[:100]}; only {SUBPROTOCOL} is built"
        headers = [("Authorization", value) for value in request.headers.get_all("Authorization")]
        try:
            north = await connect(
                f"{settings.csms_url.rstrip('/')}/{quote(settings.station_id, safe='')}",
                subprotocols=[Subprotocol(name) for name in spoken] or None,
                additional_headers=headers,
                user_agent_header=next(iter(request.headers.get_all("User-Agent")), None),
                create_connection=cast("type[ClientConnection]", partial(CsmsLeg, on_garbage=self._count_garbage)),
                proxy=None,
                open_timeout=OPEN_TIMEOUT_S,
                **LEG_OPTIONS,
            )
        except InvalidStatus as error:
            status = error.response.status_code
            return (401 if status == 401 else 502), f"HTTP {status}"
        except (OSError, InvalidHandshake, InvalidURI, ValueError) as error:
            return 502, str(error)[:200] or type(error).__name__
        assert isinstance(north, CsmsLeg), "created by us"
        return north

    def _refuse_stranger(self, identity: str) -> None:
        self._metrics.refused.labels("unknown").inc()
        if identity in self._strangers or len(self._strangers) >= MAX_STRANGERS:
            return
        self._strangers.add(identity)
        shown = identity[:MAX_IDENTITY_CHARS]
        self._log.warning(
            "unknown station refused",
            station=shown,
            remedy=f"add under stations in site.yaml: id: {shown!r}, its cpo and its evses",
        )

    # One connection.

    async def _serve_station(self, connection: ServerConnection) -> None:
        assert isinstance(connection, StationLeg), "created by us"
        south, north = connection, connection.north
        assert north is not None, "dialled before the station was accepted"
        line = self._lines[south.station_id]
        self._replace(line)
        link = line.link = Link(south=south, north=north)
        self._metrics.connections.inc()
        self._log.info("station connected", station=south.station_id, subprotocol=south.subprotocol or "")
        line.is_reported_down = False
        try:
            self._drive(line, LegUp(leg=Leg.NORTH))
            self._drive(line, LegUp(leg=Leg.SOUTH, subprotocol=south.subprotocol or ""))
            await self._read_both(line, link)
        except Exception:
            self._metrics.faults.inc()
            self._log.exception("station connection ended by an error of ours", station=south.station_id)
        finally:
            self._end(line, link)
            await _close(south, CloseCode.GOING_AWAY, "")
            await _close(north, CloseCode.NORMAL_CLOSURE, "")
            self._metrics.connections.dec()

    async def _read_both(self, line: Line, link: Link) -> None:
        """Until one leg ends; an error of ours while handling a frame is raised here."""
        readers = {
            asyncio.create_task(self._read(line, link, Leg.SOUTH, link.south)),
            asyncio.create_task(self._read(line, link, Leg.NORTH, link.north)),
        }
        try:
            done, _ = await asyncio.wait(readers, return_when=asyncio.FIRST_COMPLETED)
            for reader in done:
                reader.result()
        finally:
            for reader in readers:
                reader.cancel()
            await asyncio.wait(readers)

    async def _read(self, line: Line, link: Link, leg: Leg, connection: Connection) -> None:
        """Frames of one leg until it closes or the link is replaced."""
        try:
            while line.link is link:
                raw = await connection.recv(decode=False)
                if line.link is link:
                    self._drive(line, FrameIn(leg=leg, raw=raw))
        except ConnectionClosed as closed:
            if closed.sent is not None and closed.sent.code == CloseCode.MESSAGE_TOO_BIG:
                self._metrics.bad_frames.labels("oversize").inc()
        if line.link is link:
            self._drive(line, LegDown(leg=leg))

    def _replace(self, line: Line) -> None:
        """The newest connection wins: the one before is told to go, its end must not touch the new one."""
        old = line.link
        if old is None:
            return
        self._drive(line, LegDown(leg=Leg.SOUTH))
        self._drive(line, LegDown(leg=Leg.NORTH))
        line.link = None
        for leg in (old.south, old.north):
            leg.transport.abort()
        self._log.info("station connection replaced by a newer one", station=old.south.station_id)

    def _end(self, line: Line, link: Link) -> None:
        if line.link is not link:
            return
        for leg in Leg:
            self._drive(line, LegDown(leg=leg))
        line.link = None
        self._log.info("station disconnected", station=link.south.station_id, why=line.why_down)

    def _count_garbage(self, kind: str) -> None:
        self._metrics.bad_frames.labels(kind).inc()

    # Sessions.

    def _drive(self, line: Line, event: Event) -> None:
        """Let the session handle an event and carry out its effects, in order, without waiting for anything."""
        started_s = time.perf_counter()
        events: deque[Event] = deque((event,))
        while events:
            for effect in line.session.handle(events.popleft(), now := clock.now()):
                match effect:
                    case Send():
                        self._send(line, effect, started_s)
                    case Later():
                        events.append(effect.event)
                    case Sampled() | Outcome() | CpoLimit():
                        self._report(effect)
                    case Keep():
                        self._keep(line.session.settings.station_id, effect)
                    case Excepted():
                        self._metrics.excepted[effect.reason].inc()
                        if not self._audit.write(line.session.settings.station_id, effect, now.utc_ms):
                            self._metrics.audit_lost.inc()
                    case Counted():
                        self._count(effect)
                    case Close():
                        self._close_soon(line, effect)
        self._set_timer(line)

    def _send(self, line: Line, effect: Send, started_s: float) -> None:
        connection = line.leg(effect.leg)
        if connection is None or connection.state is not OPEN:
            return
        if not write(connection, effect.raw):
            self._metrics.slow_peers.labels(effect.leg.value).inc()
            connection.transport.abort()
        elif effect.relayed:
            frames = self._metrics.frames_north if effect.leg is Leg.NORTH else self._metrics.frames_south
            frames.inc()
            self._metrics.forward_seconds.observe(time.perf_counter() - started_s)

    def _count(self, effect: Counted) -> None:
        match effect.name:
            case "bad_frame":
                self._metrics.bad_frames.labels(effect.detail).inc()
            case "wrong_payload":
                self._metrics.wrong_payloads.labels(effect.detail).inc()
            case "old_reading":
                self._metrics.old_readings.inc()
            case _:
                self._metrics.pending_full.inc()

    def _close_soon(self, line: Line, effect: Close) -> None:
        """End the other leg: its reader then ends, and with it the link."""
        connection = line.leg(effect.leg)
        if connection is None:
            return
        line.why_down = effect.reason
        code = CloseCode.GOING_AWAY if effect.leg is Leg.SOUTH else CloseCode.NORMAL_CLOSURE
        task = asyncio.get_running_loop().create_task(_close(connection, code, effect.reason))
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    def _set_timer(self, line: Line) -> None:
        wake_ms = line.session.wake_time()
        if wake_ms is None or (line.timer is not None and line.timer_ms <= wake_ms):
            return
        if line.timer is not None:
            line.timer.cancel()
        loop = asyncio.get_running_loop()
        delay_s = max(TICK_MIN_S, (wake_ms - clock.now().mono_ms) / 1000)
        line.timer, line.timer_ms = loop.call_later(delay_s, self._tick, line), wake_ms

    def _tick(self, line: Line) -> None:
        line.timer = None
        self._drive(line, Tick())


def _offered(request: Request) -> list[str]:
    values = request.headers.get_all("Sec-WebSocket-Protocol")
    return [name for value in values for part in value.split(",") if (name := part.strip())]


def _choice_of_csms(south: ServerConnection, offered: Sequence[Subprotocol]) -> Subprotocol | None:
    assert isinstance(south, StationLeg), "created by us"
    return None if south.north is None else south.north.subprotocol


async def _close(connection: Connection, code: CloseCode, reason: str) -> None:
    """Close within the library's close timeout; an already closed connection is no error."""
    with contextlib.suppress(ConnectionClosed):
        await connection.close(code, reason)
