"""Responses to events (S18 10.2.3, table 27): what became of an event, when, on the server's clock.

`status` is the response code; `subject` the mRID of the event; a response goes to the event's replyTo and nowhere else.
"""

from __future__ import annotations

from dataclasses import dataclass

from dgm.der.resources.demand import Offset, SetPoint, TargetReduction


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """A response to an event of no particular kind."""

    created_s: int | None = None
    lfdi: str
    status: int | None = None
    subject: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DERControlResponse:
    """What happened to a DERControl. modes, modes_2 (2023): the control modes that the status is about."""

    created_s: int | None = None
    lfdi: str
    status: int | None = None
    subject: str
    modes: int | None = None
    modes_2: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DrResponse:
    """What happened to an EndDeviceControl, with what was applied of it."""

    created_s: int | None = None
    lfdi: str
    status: int | None = None
    subject: str
    load_reduction: int | None = None
    applied: TargetReduction | None = None
    duty_cycle_percent: int | None = None
    offset: Offset | None = None
    override_s: int | None = None
    set_point: SetPoint | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TextResponse:
    """What happened to a TextMessage (11: a person acknowledged it)."""

    created_s: int | None = None
    lfdi: str
    status: int | None = None
    subject: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceResponse:
    """What happened to a TimeTariffInterval."""

    created_s: int | None = None
    lfdi: str
    status: int | None = None
    subject: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowReservationResponseResponse:
    """What happened to a FlowReservationResponse."""

    created_s: int | None = None
    lfdi: str
    status: int | None = None
    subject: str
