"""Listener towards the stations and sockets to their CSMSs.

    request /any/path/ID ──> known? (404) ──> dial CSMS/ID with the station's subprotocol, Authorization (502, 401)
                         ──> accept with the CSMS's choice ──> Link of two legs ──> Lines ──> Session
    CSMS away, policy island or store ──> accept, one leg ──> dial again and again ──> the other leg

The last path segment, percent-decoded, is the identity. The newest connection of a station wins. Who may come in is
decided by `security` and `admissions`; what happens to frames is in `lines`; how a CSMS is dialled is in `dial`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from ssl import SSLContext
from typing import Any, Final, cast
from urllib.parse import unquote

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.frames import CloseCode
from websockets.http11 import Request, Response
from websockets.typing import Subprotocol

from dgm import clock
from dgm.errors import TransportError
from dgm.log import logger
from dgm.ocpp.events import CarNeed, CpoLimit, DerSeen, Keep, Leg, LegDown, LegUp, Outcome, Sampled, SetpointIn
from dgm.ocpp.frame import MAX_FRAME_BYTES
from dgm.ocpp.gateway.admissions import Admissions
from dgm.ocpp.gateway.audit import AuditFile
from dgm.ocpp.gateway.books_file import BooksFile
from dgm.ocpp.gateway.counts import GatewayMetrics
from dgm.ocpp.gateway.dial import Dialler, Refused, Visit, redial_delay_s
from dgm.ocpp.gateway.legs import (
    CLOSE_TIMEOUT_S,
    OPEN_TIMEOUT_S,
    PING_INTERVAL_S,
    PING_TIMEOUT_S,
    Connection,
    CsmsLeg,
    StationLeg,
    close,
    quiet_logger,
)
from dgm.ocpp.gateway.lines import Line, Lines, Link
from dgm.ocpp.gateway.security import Security
from dgm.ocpp.session import Session

MAX_IDENTITY_CHARS = 48
AWAY_KNOWN_S = 20.0
"""After a failed try a station is let in without another one: it does not wait for what is known already."""

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
    and then towards its CSMS too; each leg has its own. admitted: what `admissions` kept in an earlier life. books:
    the disk of the sessions' stand-ins, if they have one.
    """

    def __init__(
        self,
        sessions: Mapping[str, Session],
        *,
        metrics: GatewayMetrics,
        audit: AuditFile,
        report: Callable[[Sampled | Outcome | CpoLimit | DerSeen | CarNeed], None],
        keep: Callable[[str, Keep], None],
        security: Security | None = None,
        compression: bool = True,
        ping_interval_s: int = PING_INTERVAL_S,
        admitted: Mapping[str, bytes] | None = None,
        books: BooksFile | None = None,
    ) -> None:
        self._security = security or Security()
        self._compression = compression
        self._options = {**LEG_OPTIONS, "ping_interval": ping_interval_s}
        self._stations = {station_id: Line(session) for station_id, session in sessions.items()}
        lines = self._stations.values()
        self._by_asset = {evse.settings.asset_id: line for line in lines for evse in line.session.evses}
        self._admissions = Admissions(admitted or {}, keep)
        self._lines = Lines(
            metrics=metrics,
            audit=audit,
            report=report,
            keep=keep,
            keys=self._security.keys,
            admissions=self._admissions,
            books=books,
        )
        self._dialler = Dialler(
            self._security, compression=compression, options=self._options, on_garbage=self._count_garbage
        )
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
        south.visit = visit = Visit.of(request)
        if line.session.keeps_station and time.monotonic() < line.away_until_s and visit.spoken == visit.offered:
            found: CsmsLeg | Refused = Refused(status=502, why="it was away a moment ago", is_outage=True)
        else:
            found = await self._dial(line, visit)
        if isinstance(found, CsmsLeg):
            self._admissions.admitted(identity, visit.authorization)
            south.north = found
            return None
        return self._without_csms(line, south, visit, found)

    async def _dial(self, line: Line, visit: Visit) -> CsmsLeg | Refused:
        found = await self._dialler.dial(line.session.settings, visit)
        is_outage = isinstance(found, Refused) and found.is_outage
        line.away_until_s = time.monotonic() + AWAY_KNOWN_S if is_outage else 0.0
        return found

    def _without_csms(self, line: Line, south: StationLeg, visit: Visit, refused: Refused) -> Response | None:
        """None: the station may come in alone."""
        identity, keys = south.station_id, self._security.keys
        status, why, reason = refused.status, refused.why, "csms"
        if refused.is_outage and line.session.keeps_station:
            is_judged = self._security.door(identity).profile == 3 or (keys is not None and keys.knows(identity))
            if is_judged or self._admissions.may_enter(identity, visit.authorization):
                return None
            status, why, reason = 401, "not the password that its CSMS, which is away, let in last", "credentials"
        self._metrics.refused.labels(reason).inc()
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
        south = connection
        line = self._stations[south.station_id]
        self._replace(line)
        link = line.link = Link(south=south, north=south.north, ended=asyncio.get_running_loop().create_future())
        self._metrics.connections.inc()
        csms = "away" if link.north is None else "there"
        self._log.info("station connected", station=south.station_id, subprotocol=south.subprotocol or "", csms=csms)
        line.is_reported_down = False
        try:
            self._open(line, link)
            await link.ended
        except Exception:
            self._metrics.faults.inc()
            self._log.exception("station connection ended by an error of ours", station=south.station_id)
        finally:
            north = link.north
            self._end(line, link)
            closing = [close(south, CloseCode.GOING_AWAY, "")]
            closing += [] if north is None else [close(north, CloseCode.NORMAL_CLOSURE, "")]
            await asyncio.gather(*closing)
            self._metrics.connections.dec()

    def _open(self, line: Line, link: Link) -> None:
        if link.north is not None:
            self._lines.drive(line, LegUp(leg=Leg.NORTH))
        self._lines.drive(line, LegUp(leg=Leg.SOUTH, subprotocol=link.south.subprotocol or ""))
        self._attach(line, link, Leg.SOUTH)
        if link.north is None:
            self._look_for_csms(line, link)
        else:
            self._attach(line, link, Leg.NORTH)

    def _attach(self, line: Line, link: Link, leg: Leg) -> None:
        connection = link.south if leg is Leg.SOUTH else link.north
        assert connection is not None, "it is open"
        lost = partial(self._lost, line, link, leg, connection)
        connection.wire.attach(partial(self._lines.frame, line, link, leg), lost)

    def _lost(self, line: Line, link: Link, leg: Leg, connection: Connection) -> None:
        is_current = line.link is link and connection in (link.south, link.north)
        if is_current:
            self._lines.drive(line, LegDown(leg=leg))
        if leg is Leg.SOUTH or not line.session.keeps_station:
            link.end()
        elif is_current:
            link.north = None
            self._lines.close_soon(connection, "")
            self._look_for_csms(line, link)

    # The CSMS is away.

    def _look_for_csms(self, line: Line, link: Link) -> None:
        if link.ended.done():
            return
        cpo_id = line.session.settings.cpo_id
        link.away_since_s = time.monotonic()
        self._metrics.alone.labels(cpo_id).inc()
        self._log.warning("CSMS away, station stays", station=link.south.station_id, cpo=cpo_id)
        link.redial = asyncio.get_running_loop().create_task(self._redial(line, link))

    async def _redial(self, line: Line, link: Link) -> None:
        try:
            await self._redial_until_back(line, link)
        except Exception:
            self._metrics.faults.inc()
            self._log.exception("station connection ended by an error of ours", station=link.south.station_id)
            link.end()

    async def _redial_until_back(self, line: Line, link: Link) -> None:
        """Dial until the CSMS is there or the station is gone."""
        visit = cast(Visit, link.south.visit).speaking(link.south.subprotocol or "")
        failures, began_s = 0, time.monotonic()
        while True:
            await asyncio.sleep(redial_delay_s(failures))
            found = await self._dial(line, visit)
            self._count_away(line, link)
            if isinstance(found, Refused) and found.is_outage:
                failures += 1
                continue
            if isinstance(found, Refused):
                line.why_down = f"its CSMS is back and refuses it: {found.why}"
                link.end()
                return
            if line.link is not link or link.ended.done():
                found.transport.abort()
                return
            self._admissions.admitted(link.south.station_id, visit.authorization)
            if (found.subprotocol or "") != (link.south.subprotocol or ""):
                self._lines.close_soon(found, "")
                line.why_down = "its CSMS is back and speaks another version"
                link.end()
                return
            away_s = round(time.monotonic() - began_s)
            self._log.info("CSMS back", station=link.south.station_id, away_s=away_s)
            self._join(line, link, found)
            return

    def _join(self, line: Line, link: Link, north: CsmsLeg) -> None:
        self._not_away(line, link)
        link.redial = None
        link.north = north
        self._lines.drive(line, LegUp(leg=Leg.NORTH))
        self._attach(line, link, Leg.NORTH)

    def _count_away(self, line: Line, link: Link) -> None:
        if link.away_since_s is not None:
            now_s = time.monotonic()
            self._metrics.outage_seconds.labels(line.session.settings.cpo_id).inc(now_s - link.away_since_s)
            link.away_since_s = now_s

    def _not_away(self, line: Line, link: Link) -> None:
        self._count_away(line, link)
        if link.away_since_s is not None:
            link.away_since_s = None
            self._metrics.alone.labels(line.session.settings.cpo_id).dec()

    # The end of a connection.

    def _replace(self, line: Line) -> None:
        """The newest connection wins: the one before is told to go, its end must not touch the new one."""
        old = line.link
        if old is None:
            return
        for leg in Leg:
            self._lines.drive(line, LegDown(leg=leg))
        line.link = None
        self._stop_looking(line, old)
        for connection in old.connections():
            connection.wire.detach()
            connection.transport.abort()
        old.end()
        self._log.info("station connection replaced by a newer one", station=old.south.station_id)

    def _end(self, line: Line, link: Link) -> None:
        self._stop_looking(line, link)
        for connection in link.connections():
            connection.wire.detach()
        if line.link is not link:
            return
        for leg in Leg:
            self._lines.drive(line, LegDown(leg=leg))
        line.link = None
        self._log.info("station disconnected", station=link.south.station_id, why=line.why_down)

    def _stop_looking(self, line: Line, link: Link) -> None:
        self._not_away(line, link)
        if link.redial is not None and link.redial is not asyncio.current_task():
            link.redial.cancel()
        link.redial = None

    def _count_garbage(self, kind: str) -> None:
        self._metrics.bad_frames.labels(kind).inc()


def _choice_of_csms(south: ServerConnection, offered: Sequence[Subprotocol]) -> Subprotocol | None:
    assert isinstance(south, StationLeg), "created by us"
    if south.north is not None:
        return south.north.subprotocol
    # The CSMS is away: the station's first choice, until the CSMS can say otherwise.
    spoken = cast(Visit, south.visit).spoken
    return Subprotocol(spoken[0]) if spoken else None
