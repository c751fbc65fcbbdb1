"""What goes into the event engine and what comes out of it.

Listed (from servers) · OptOut, Override, OptIn, Acknowledge (from people) · ResponseTaken, Unable ──> engine
engine ──> Respond
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from dgm.der.schedule import Notice
from dgm.machine import Tick


class Item(Protocol):
    """A listed event, as the codec yields it."""

    @property
    def mrid(self) -> str: ...


R = TypeVar("R", bound=Item)


@dataclass(frozen=True, slots=True, kw_only=True)
class Source(Generic[R]):
    """One program and the events listed below it. items None: not fetched yet, what is known of its events stands.

    clock_offset_ms: the clock of its FSA less the server's clock.
    """

    mrid: str
    primacy: int
    items: tuple[R, ...] | None
    clock_offset_ms: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed(Generic[R]):
    """The complete set of programs that apply now."""

    sources: tuple[Source[R], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ResponseTaken:
    """The server has taken (or finally refused) the oldest such response: it is owed no longer."""

    mrid: str
    status: int


@dataclass(frozen=True, slots=True, kw_only=True)
class OptOut:
    """Somebody on site opts out. lanes empty: of the whole event. until_ms: opts in again by itself; None: never."""

    mrid: str
    lanes: frozenset[str] = frozenset()
    until_ms: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Override:
    """Somebody overrides an event for a while within what it allows: no opt-out, and nobody is told (S18 DRLC)."""

    mrid: str
    duration_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class OptIn:
    """Somebody takes an opt-out or an override back."""

    mrid: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Acknowledge:
    """A message was read by somebody, or cannot be shown here."""

    mrid: str
    is_shown: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Unable:
    """Lanes of an event that turn out not to be possible here. code: what the utility hears if nothing is left of it.

    is_start_untold: its 2 is owed but nobody has been told it: it never started.
    """

    mrid: str
    lanes: frozenset[str]
    code: int
    is_start_untold: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Respond:
    """Tell the server what happened, and when on the clock of the event's FSA. lanes: where the rules list them."""

    mrid: str
    reply_to: str
    status: int
    created_s: int
    lanes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Damaged:
    """A journal entry that cannot be used, and why."""

    key: str
    why: str


EngineEvent = Listed[R] | ResponseTaken | OptOut | Override | OptIn | Acknowledge | Unable | Tick


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """What this device is. acts_on: lanes it follows; None: every lane. categories: its DeviceCategoryType bits."""

    acts_on: frozenset[str] | None
    categories: int

    def lanes_of(self, notice: Notice[Any]) -> frozenset[str]:
        """Lanes of an event that mean anything here."""
        carried = frozenset(lane for lane, _ in notice.values)
        return carried if self.acts_on is None else carried & self.acts_on
