"""The sans-IO contract every core keeps.

    event, now ──> handle() ──> effects          wake_time() ──> when to call handle(Tick(), now) at the latest

A machine never awaits, never reads a clock, never draws a random number or id of its own (they are injected), and
never raises for a bad peer: that is an effect or a counted rejection. The shells loop in real time, `sim/world` in
virtual time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

EventT = TypeVar("EventT", contravariant=True)
EffectT = TypeVar("EffectT")


@dataclass(frozen=True, slots=True, kw_only=True)
class Now:
    """One instant on both clocks: timeouts use `mono_ms`, schedules use `utc_ms`."""

    mono_ms: int
    utc_ms: int


@dataclass(frozen=True, slots=True)
class Tick:
    """Timer expiry: the wake time has come."""


class Machine(Protocol, Generic[EventT, EffectT]):
    """A pure state machine."""

    def handle(self, event: EventT, now: Now) -> list[EffectT]:
        """Take one event; return what the shell must do, in order."""
        ...

    def wake_time(self) -> int | None:
        """Monotonic ms at which the machine wants a Tick; None: not at all."""
        ...
