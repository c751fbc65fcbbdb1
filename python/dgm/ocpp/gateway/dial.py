"""Dials a station's CSMS: with the station's own path, subprotocols and Authorization, at once or after an outage.

    Visit (what the station showed) ──> dial ──> CsmsLeg | Refused(HTTP status for the station, why)
                                                            └─ is_outage: nobody there, or a server that cannot serve

A CSMS that redirects is not followed.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, cast
from urllib.parse import quote

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidHandshake, InvalidMessage, InvalidStatus, InvalidURI
from websockets.http11 import Request
from websockets.typing import Subprotocol

from dgm.ocpp.gateway.legs import OPEN_TIMEOUT_S, CsmsLeg
from dgm.ocpp.gateway.security import Security
from dgm.ocpp.store import StationSettings
from dgm.ocpp.version import SUBPROTOCOLS

REDIAL_MIN_S, REDIAL_MAX_S = 1.0, 60.0
BUSY = (408, 425, 429)
"""HTTP statuses below 500 that say "not now" and nothing about the station."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """What a station showed when it came. spoken: of the subprotocols that it offers, in its own order."""

    offered: tuple[str, ...]
    spoken: tuple[str, ...]
    authorization: str | None
    user_agent: str | None
    compresses: bool

    @classmethod
    def of(cls, request: Request) -> Visit:
        """From the station's opening request."""
        values = request.headers.get_all("Sec-WebSocket-Protocol")
        offered = tuple(name for value in values for part in value.split(",") if (name := part.strip()))
        return cls(
            offered=offered,
            spoken=tuple(name for name in offered if name in SUBPROTOCOLS),
            authorization=next(iter(request.headers.get_all("Authorization")), None),
            user_agent=next(iter(request.headers.get_all("User-Agent")), None),
            compresses="permessage-deflate" in " ".join(request.headers.get_all("Sec-WebSocket-Extensions")),
        )

    def speaking(self, subprotocol: str) -> Visit:
        """The same with the one subprotocol that was agreed on; "": with none."""
        return replace(self, spoken=(subprotocol,) if subprotocol else ())


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """No connection. status: HTTP, for the station. is_outage: it says nothing about the station."""

    status: int
    why: str
    is_outage: bool = False


class Dialler:
    """One for all stations. options: of every leg."""

    def __init__(
        self, security: Security, *, compression: bool, options: dict[str, Any], on_garbage: Callable[[str], None]
    ) -> None:
        self._security, self._compression, self._options = security, compression, options
        self._create = cast("type[ClientConnection]", partial(CsmsLeg, on_garbage=on_garbage))

    async def dial(self, settings: StationSettings, visit: Visit) -> CsmsLeg | Refused:
        """The socket to the CSMS, or why there is none."""
        # In the station's own order; a station that offers none is taken at its word, as site.yaml says.
        if visit.offered and not visit.spoken:
            named = ", ".join(visit.offered)[:100]
            return Refused(status=502, why=f"the station offers {named}; expected one of {', '.join(SUBPROTOCOLS)}")
        authorization = self._security.north_authorization(settings.station_id, visit.authorization)
        try:
            north = await connect(
                f"{settings.csms_url.rstrip('/')}/{quote(settings.station_id, safe='')}",
                subprotocols=[Subprotocol(name) for name in visit.spoken] or None,
                additional_headers=[] if authorization is None else [("Authorization", authorization)],
                compression="deflate" if self._compression and visit.compresses else None,
                ssl=self._security.north_tls(settings.station_id, settings.csms_url),
                user_agent_header=visit.user_agent,
                create_connection=self._create,
                proxy=None,
                open_timeout=OPEN_TIMEOUT_S,
                **self._options,
            )
        except InvalidStatus as error:
            status = error.response.status_code
            return Refused(
                status=401 if status == 401 else 502, why=f"HTTP {status}", is_outage=status >= 500 or status in BUSY
            )
        except (OSError, InvalidHandshake, InvalidURI, ValueError) as error:
            # A timeout is an OSError, and a peer that ends the opening handshake an InvalidMessage.
            is_outage = isinstance(error, OSError | InvalidMessage)
            return Refused(status=502, why=str(error)[:200] or type(error).__name__, is_outage=is_outage)
        assert isinstance(north, CsmsLeg), "created by us"
        return north


def redial_delay_s(failures: int) -> float:
    """Before the next try after so many: doubled each time, and not the same for all stations of a CSMS."""
    longest_s = min(REDIAL_MAX_S, REDIAL_MIN_S * 2.0 ** min(failures, 10))
    return random.uniform(0.5, 1.0) * longest_s
