"""What passes between the conversation with the utility server and those around it.

    shell ──Answer, NoAnswer, Notified──> discovery ──Request──> shell
    core ──SendResponse, SendReadings, Report──> discovery ──ProgramsKnown, SetKnown, ClockMeasured──> core

Only the words; what they lead to is `discovery`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from dgm.der import resource as r
from dgm.der.groups import FunctionSet, Sources
from dgm.der.letter import ErrandDone
from dgm.der.nodes import Document
from dgm.der.outbox import AnyResponse, Report
from dgm.der.scheduler import ProgramsKnown, ResponseTaken
from dgm.machine import Tick


class Link(Enum):
    """How far the conversation has come."""

    CONNECTING = "connecting"
    REGISTERED = "registered"
    READY = "ready"
    LOST = "lost"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What the server answered. resource None: no body, or one that is not a resource."""

    tag: int
    status: int
    resource: Document | None = None
    location: str | None = None
    retry_after_s: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NoAnswer:
    """The request failed below HTTP: no connection, TLS refused, time-out, body too large. why: for people."""

    tag: int
    why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SendResponse:
    """Post a response."""

    reply_to: str
    response: AnyResponse


@dataclass(frozen=True, slots=True, kw_only=True)
class SendReadings:
    """Post readings: (mRID of the mirror, reading), oldest first."""

    readings: tuple[tuple[str, r.MirrorMeterReading], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Notified:
    """The server tells of a change, in a subscription of ours (`is_ours`)."""

    notification: r.Notification


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """Send this; answer with the same tag, always."""

    tag: int
    method: str
    url: str
    body: r.Resource | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockMeasured:
    """The server's clock less ours."""

    offset_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SetKnown:
    """The complete set of sources of one function set beside DER, told when it has changed."""

    function_set: FunctionSet
    sources: Sources


DiscoveryEvent = Answer | NoAnswer | Notified | SendResponse | SendReadings | Report | Tick
DiscoveryEffect = Request | ClockMeasured | ProgramsKnown | SetKnown | ResponseTaken | ErrandDone
