"""Listener towards the stations and sockets to their CSMSs, policy strict.

    request /any/path/ID ──> known? (404) ──> dial CSMS/ID with the station's subprotocol, Authorization (502, 401)
                         ──> accept with the CSMS's choice ──> Link of two legs ──> Lines ──> Session

The last path segment, percent-decoded, is the identity. The newest connection of a station wins. Who may come in is
decided by `security`; what happens to frames is in `lines`. A CSMS that redirects is not followed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from ssl import SSLContext
from typing import Any, Final, cast
from urllib.parse import quote, unquote

from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import InvalidHandshake, InvalidStatus, InvalidURI
from websockets.frames import CloseCode
from websockets.http11 import Request, Response
from websockets.typing import Subprotocol

from dgm import clock
from dgm.errors import TransportError
from dgm.log import logger
from dgm.ocpp.events import CpoLimit, DerSeen, Keep, Leg, LegDown, LegUp, Outcome, Sampled, SetpointIn
from dgm.ocpp.frame import MAX_FRAME_BYTES
from dgm.ocpp.gateway.audit import AuditFile
from dgm.ocpp.gateway.counts import GatewayMetrics
from dgm.ocpp.gateway.legs import (
    CLOSE_TIMEOUT_S,
    OPEN_TIMEOUT_S,
    PING_INTERVAL_S,
    PING_TIMEOUT_S,
    CsmsLeg,
    StationLeg,
    close,
    quiet_logger,
)
from dgm.ocpp.gateway.lines import Line, Lines, Link
from dgm.ocpp.gateway.security import Security
from dgm.ocpp.session import Session
from dgm.ocpp.version import SUBPROTOCOLS

MAX_IDENTITY_CHARS = 48
MAX_STRANGERS = 1000
"""Unknown identities that are logged once each; further ones are only counted."""

LEG_OPTIONS: Final[dict[str, Any]] = {
    "max_size": MAX_FRAME_BYTES,
    "ping_timeout": PING_TIMEOUT_S,
    "close_timeout": CLOSE_TIMEOUT_S,
    "logger": quiet_logger(),
}


class Gateway:
    """All stations of one site.

    `report` gets what is for the ems role, at once: samples, outcomes, limits of CPOs. `keep` stores what a session
    wants stored under a station's id, and returns when it is durable. compression: RFC 7692 where a station offers it,
    and then towards its CSMS too; each leg has its own.
    """

    def __init__(
        self,
        sessions: Mapping[str, Session],
        *,
        metrics: GatewayMetrics,
        audit: AuditFile,
        report: Callable[[Sampled | Outcome | CpoLimit | DerSeen], None],
        keep: Callable[[str, Keep], None],
        security: Security | None = None,
        compression: bool = True,
        ping_interval_s: int = PING_INTERVAL_S,
    ) -> None:
        self._security = security or Security()
        self._compression = compression
        self._options = {**LEG_OPTIONS, "ping_interval": ping_interval_s}
        self._stations = {station_id: Line(session) for station_id, session in sessions.items()}
        lines = self._stations.values()
        self._by_asset = {evse.settings.asset_id: line for line in lines for evse in line.session.evses}
        self._lines = Lines(metrics=metrics, audit=audit, report=report, keep=keep, keys=self._security.keys)
        self._metrics = metrics
        self._audit = audit
        self._strangers: set[str] = set()
        self._doubtful: set[str] = set()
        self._servers: list[Server] = []
        self._log = logger("ocpp")

    @property
    def ports(self) -> list[int]:
        """Where we listen, in the order of `start` (the system's choice when 0 was asked for)."""
        return [int(next(iter(server.sockets)).getsockname()[1]) for server in self._servers]

    @property
    def port(self) -> int:
        """Where we listened first."""
        return self.ports[0]

    async def start(self, host: str, port: int, *, tls: SSLContext | None = None) -> None:
        """Listen, with TLS or without; may be called for both. TransportError when the address cannot be had."""
        try:
            server = await serve(
                self._serve_station,
                host,
                port,
                process_request=self._process_request,
                select_subprotocol=_choice_of_csms,
                create_connection=cast("type[ServerConnection]", partial(StationLeg, on_garbage=self._count_garbage)),
                open_timeout=2 * OPEN_TIMEOUT_S,
                server_header=None,
                compression="deflate" if self._compression else None,
                ssl=tls,
                **self._options,
            )
        except OSError as error:
            raise TransportError(f"ocpp {host}:{port}: {error.strerror}; expected a free address") from error
        self._servers.append(server)

    async def stop(self) -> None:
        """Close the listener and every connection."""
        for line in self._stations.values():
            if line.timer is not None:
                line.timer.cancel()
        for server in self._servers:
            server.close()
        for server in self._servers:
            await server.wait_closed()
        self._audit.close()

    def deliver(self, setpoint: SetpointIn) -> None:
        """Hand a setpoint to the station of an EVSE; an EVSE that is not ours is ignored."""
        line = self._by_asset.get(setpoint.asset_id)
        if line is not None:
            self._lines.drive(line, setpoint)

    # Opening.

    async def _process_request(self, south: ServerConnection, request: Request) -> Response | None:
        assert isinstance(south, StationLeg), "created by us"
        identity = unquote(request.path.split("?", 1)[0].rsplit("/", 1)[-1])
        line = self._stations.get(identity)
        if line is None:
            self._refuse_stranger(identity)
            return south.respond(404, "unknown station\n")
        if not any("websocket" in value.lower() for value in request.headers.get_all("Upgrade")):
            return None  # the library answers what is no WebSocket request; the CSMS need not hear of it
        refusal = self._refusal(south, identity, request)
        if refusal is not None:
            return refusal
        south.station_id, south.aborts = identity, self._security.door(identity).abort_on_close
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

    def _refusal(self, south: StationLeg, identity: str, request: Request) -> Response | None:
        """For a station that does not show what it must."""
        tls = south.transport.get_extra_info("ssl_object")
        found = self._security.refusal(
            identity,
            authorization=next(iter(request.headers.get_all("Authorization")), None),
            certificate=None if tls is None else tls.getpeercert(True),
            is_tls=tls is not None,
            utc_ms=clock.now().utc_ms,
        )
        if found is None:
            return None
        status, why = found
        self._metrics.refused.labels("credentials").inc()
        if identity not in self._doubtful:
            self._doubtful.add(identity)
            self._log.warning("station refused", station=identity, status=status, why=why)
        response = south.respond(status, "not authorized\n")
        if status == 401:
            response.headers["WWW-Authenticate"] = 'Basic realm="ocpp"'
        return response

    async def _dial(self, line: Line, south: StationLeg, request: Request) -> CsmsLeg | tuple[int, str]:
        """The socket to the CSMS, or the HTTP status for the station and the reason for people."""
        settings = line.session.settings
        offered = _offered(request)
        # In the station's own order; a station that offers none is taken at its word, as site.yaml says.
        spoken = [name for name in offered if name in SUBPROTOCOLS]
        if offered and not spoken:
            return 502, f"the station offers {', '.join(offered)[:100]}; expected one of {', '.join(SUBPROTOCOLS)}"
        shown = next(iter(request.headers.get_all("Authorization")), None)
        authorization = self._security.north_authorization(settings.station_id, shown)
        extensions = " ".join(request.headers.get_all("Sec-WebSocket-Extensions"))
        compress = self._compression and "permessage-deflate" in extensions
        try:
            north = await connect(
                f"{settings.csms_url.rstrip('/')}/{quote(settings.station_id, safe='')}",
                subprotocols=[Subprotocol(name) for name in spoken] or None,
                additional_headers=[] if authorization is None else [("Authorization", authorization)],
                compression="deflate" if compress else None,
                ssl=self._security.north_tls(settings.station_id, settings.csms_url),
                user_agent_header=next(iter(request.headers.get_all("User-Agent")), None),
                create_connection=cast("type[ClientConnection]", partial(CsmsLeg, on_garbage=self._count_garbage)),
                proxy=None,
                open_timeout=OPEN_TIMEOUT_S,
                **self._options,
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
        line = self._stations[south.station_id]
        self._replace(line)
        link = line.link = Link(south=south, north=north, ended=asyncio.get_running_loop().create_future())
        self._metrics.connections.inc()
        self._log.info("station connected", station=south.station_id, subprotocol=south.subprotocol or "")
        line.is_reported_down = False
        try:
            self._open(line, link)
            await link.ended
        except Exception:
            self._metrics.faults.inc()
            self._log.exception("station connection ended by an error of ours", station=south.station_id)
        finally:
            self._end(line, link)
            await asyncio.gather(close(south, CloseCode.GOING_AWAY, ""), close(north, CloseCode.NORMAL_CLOSURE, ""))
            self._metrics.connections.dec()

    def _open(self, line: Line, link: Link) -> None:
        self._lines.drive(line, LegUp(leg=Leg.NORTH))
        self._lines.drive(line, LegUp(leg=Leg.SOUTH, subprotocol=link.south.subprotocol or ""))
        for leg, connection in ((Leg.SOUTH, link.south), (Leg.NORTH, link.north)):
            connection.wire.attach(partial(self._lines.frame, line, link, leg), partial(self._lost, line, link, leg))

    def _lost(self, line: Line, link: Link, leg: Leg) -> None:
        if line.link is link:
            self._lines.drive(line, LegDown(leg=leg))
        link.end()

    def _replace(self, line: Line) -> None:
        """The newest connection wins: the one before is told to go, its end must not touch the new one."""
        old = line.link
        if old is None:
            return
        for leg in Leg:
            self._lines.drive(line, LegDown(leg=leg))
        line.link = None
        for connection in (old.south, old.north):
            connection.wire.detach()
            connection.transport.abort()
        old.end()
        self._log.info("station connection replaced by a newer one", station=old.south.station_id)

    def _end(self, line: Line, link: Link) -> None:
        for connection in (link.south, link.north):
            connection.wire.detach()
        if line.link is not link:
            return
        for leg in Leg:
            self._lines.drive(line, LegDown(leg=leg))
        line.link = None
        self._log.info("station disconnected", station=link.south.station_id, why=line.why_down)

    def _count_garbage(self, kind: str) -> None:
        self._metrics.bad_frames.labels(kind).inc()


def _offered(request: Request) -> list[str]:
    values = request.headers.get_all("Sec-WebSocket-Protocol")
    return [name for value in values for part in value.split(",") if (name := part.strip())]


def _choice_of_csms(south: ServerConnection, offered: Sequence[Subprotocol]) -> Subprotocol | None:
    assert isinstance(south, StationLeg), "created by us"
    return None if south.north is None else south.north.subprotocol
