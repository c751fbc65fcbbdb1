"""What is on its way to the server: one letter, and an errand that others keep until it is done.

responses, reports, mirrors, readings ──> Letter ──> one request          Errand ──> Letter ──> ErrandDone
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from dgm.der import resource as r


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """One thing to send. key: what it is about, for the answer and for the back-off. readings: those in the body."""

    key: str
    method: str
    href: str
    body: r.Resource
    readings: tuple[r.MirrorMeterReading, ...] = ()


class Place(Enum):
    """A list below our EndDevice that something is posted to; it may not be served."""

    LOG_EVENTS = "log events"
    FLOW_REQUESTS = "flow reservation requests"


@dataclass(frozen=True, slots=True, kw_only=True)
class Errand:
    """Something to be told once, kept and journaled by whom it belongs to until it is done.

    to: a list, whose href the server may change at any time, or the href of a resource that the server has given.
    """

    key: str
    method: str
    to: Place | str
    body: r.Resource


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrandDone:
    """The server has taken an errand, or refused it for good. status: as answered. location: where it is now."""

    key: str
    is_taken: bool
    status: int
    location: str | None = None
