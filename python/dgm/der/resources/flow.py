"""Flow reservation (S18 10.9): the client asks for energy by a time, the server grants power over an interval.

Power and energy are positive when they flow into the asset that asks (charging). That is DGM's sign, and the opposite
of the other DER resources: nothing is converted here.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from dgm.der.resources.event import EventStatus, Interval


class RequestState(IntEnum):
    """RequestStatus.requestStatus."""

    REQUESTED = 0
    CANCELLED = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestStatus:
    """Whether a request still stands, and since when (s UTC)."""

    changed_s: int
    state: RequestState


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowReservationRequest:
    """A wish: energy_wh at up to power_w within `window`. duration_s: shortest time it takes, ramps included."""

    href: str | None = None
    mrid: str
    description: str | None = None
    creation_s: int
    duration_s: int | None = None
    energy_wh: int
    window: Interval
    power_w: int
    status: RequestStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowReservationRequestList:
    """A page of the client's own requests."""

    href: str | None = None
    all: int
    results: int
    poll_s: int | None = None
    items: tuple[FlowReservationRequest, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowReservationResponse:
    """An event: the grant for the request whose mRID is `subject`."""

    href: str | None = None
    reply_to: str | None = None
    response_required: int | None = None
    mrid: str
    description: str | None = None
    creation_s: int
    status: EventStatus
    interval: Interval
    energy_wh: int
    power_w: int
    subject: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowReservationResponseList:
    """A page of grants."""

    href: str | None = None
    all: int
    results: int
    poll_s: int | None = None
    subscribable: int | None = None
    items: tuple[FlowReservationResponse, ...] = ()
