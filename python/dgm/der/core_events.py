"""What one device's DerCore takes and gives, beside what its conversation says: the site, the inverters, the EVs.

    shell ──CoreEvent──> DerCore ──CoreEffect──> shell

Times of needs and requests are our own clock's; `on_clock` puts them on the server's.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import assert_never

from dgm.api.site.v1.site_pb2 import WatchSiteResponse
from dgm.der.discovery import Answer, NoAnswer, Notified, Request
from dgm.der.fitness import GridChecked
from dgm.der.flow_requests import ChargingNeed
from dgm.der.scheduler import OptIn, OptOut
from dgm.machine import Tick


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteSeen:
    """One update of WatchSite."""

    update: WatchSiteResponse


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteLost:
    """WatchSite ended: nothing of the site is known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GridSeen:
    """What at least one inverter may and can do, as ems.v1.GridFunction."""

    functions: frozenset[int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Keep:
    """Store durably, all or nothing, before the next effect: (key, value), value None: delete."""

    entries: tuple[tuple[str, bytes | None], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class NeedsSeen:
    """Everything that the EVs need, by our own clock; what is not there is not needed any more."""

    needs: tuple[ChargingNeed, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestFlow:
    """An operator asks for energy, by our own clock; `flow_refusal` said None. Positive charges."""

    energy_wh: int
    power_w: int
    start_ms: int
    end_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelFlow:
    """Somebody takes a request back."""

    mrid: str


FlowEvent = NeedsSeen | RequestFlow | CancelFlow
CoreEvent = (
    Answer | NoAnswer | Notified | SiteSeen | SiteLost | GridSeen | GridChecked | OptOut | OptIn | FlowEvent | Tick
)
CoreEffect = Request | Keep


def on_clock(event: FlowEvent, ahead_ms: int) -> FlowEvent:
    """The same on the server's clock. ahead_ms: the server's clock less ours."""
    match event:
        case NeedsSeen():
            return NeedsSeen(
                needs=tuple(replace(need, departure_ms=need.departure_ms + ahead_ms) for need in event.needs)
            )
        case RequestFlow():
            return replace(event, start_ms=event.start_ms + ahead_ms, end_ms=event.end_ms + ahead_ms)
        case CancelFlow():
            return event
        case _:
            assert_never(event)
