"""What a set of DERControls comes to, worked out the slow way: the oracle of the event scenario.

    events, cancellations ──second by second──> W per mode, and who was told what, when

It knows no heap, no contest and no projection: at every instant it looks at all events and applies the rules anew. Of
the rules those of the standard's default profile: nobody resumes, an event that follows at once starts where the other
ends, and the last value is held over a hole of at most BRIDGE_S. Times are s of the server's clock.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

BRIDGE_S = 5


@dataclass(slots=True, kw_only=True)
class Modelled:
    """One event and what became of it. random_*_s: bounds as stated, of either sign."""

    mrid: str
    primacy: int
    created_s: int
    start_s: int
    length_s: int
    random_start_s: int
    random_length_s: int
    modes: dict[str, int]
    lost: set[str] = field(default_factory=set)
    began_s: int | None = None
    has_run: bool = False
    cut_s: int | None = None
    over_s: int | None = None
    how: str = ""

    @property
    def rank(self) -> tuple[int, int, str]:
        """Lowest first: primacy, then the newer one."""
        return (self.primacy, -self.created_s, self.mrid)


class Reference:
    """The model. draw(n): what the device drew for a bound of n. told: (mRID, response, s)."""

    def __init__(self, events: list[Modelled], draw: Callable[[int], int]) -> None:
        self.events = events
        self.told: set[tuple[str, int, int]] = set()
        self._draw = draw

    def start(self, event: Modelled) -> int:
        """Where it starts: where those end that it follows at once, else by its own draw."""
        if event.began_s is not None:
            return event.began_s
        before = [
            self.end(other)
            for other in self.events
            if other.start_s + other.length_s == event.start_s and other.modes.keys() & event.modes.keys()
            if other.how != "cancelled" and other.cut_s is None
        ]
        return max(before) if before else event.start_s + self._random(event.random_start_s)

    def end(self, event: Modelled) -> int:
        """Where it ends."""
        length_s = event.length_s + self._random(event.random_length_s)
        return event.cut_s if event.cut_s is not None else self.start(event) + max(length_s, 1)

    def edges(self, after_s: int) -> list[int]:
        """Seconds to come in which something may change."""
        found = [at for event in self._living() for at in (self.start(event), self.end(event))]
        return [at for at in found if at > after_s]

    def settle(self, now_s: int) -> None:
        """Bring everything to an instant."""
        for event in self._living():
            if self.end(event) <= now_s:
                self._finish(event, now_s)
        before = {event.mrid: event.lost >= event.modes.keys() for event in self.events}
        for event in self._living():
            if event.began_s is None and self.start(event) <= now_s:
                event.began_s = self.start(event)
        for mode in {mode for event in self._living() for mode in event.modes}:
            self._contest(mode)
        for event in self._living():
            is_lost = event.lost >= event.modes.keys()
            if is_lost and not before[event.mrid]:
                self._tell(event, 7, now_s)
                event.over_s, event.how = now_s, "superseded"
            elif event.began_s is not None and not is_lost and not event.has_run:
                self._tell(event, 2, now_s)
                event.has_run = True

    def cancel(self, event: Modelled, now_s: int, *, is_randomised: bool) -> None:
        """The utility calls it off; randomised: a running one ends later."""
        if event.over_s is not None or event.cut_s is not None:
            return
        if is_randomised and event.began_s is not None:
            bound = max(abs(event.random_start_s), abs(event.random_length_s))
            event.cut_s = min(self.end(event), now_s + self._draw(bound))
        else:
            event.cut_s = now_s
            self._finish(event, now_s)

    def holder(self, mode: str, now_s: int) -> Modelled | None:
        """Whose value rules a mode: the best that runs, or over a small hole the one before."""
        running = [event for event in self._living() if event.began_s is not None and self._wants(event, mode)]
        if running:
            return min(running, key=lambda event: event.rank)
        gone = [event for event in self.events if event.over_s is not None and event.has_run]
        last = max(
            (one for one in gone if self._wants(one, mode)), key=lambda one: (one.over_s, one.began_s), default=None
        )
        starts = [self.start(event) for event in self._living() if self._wants(event, mode)]
        if last is None or last.how != "completed" or not starts:
            return None
        return last if self.end(last) < min(starts) <= self.end(last) + BRIDGE_S else None

    def _contest(self, mode: str) -> None:
        able = [event for event in self._living() if event.began_s is not None and self._wants(event, mode)]
        if not able:
            return
        best = min(able, key=lambda event: event.rank)
        for other in self._living():
            if mode in other.modes and other.rank > best.rank and self.start(other) < self.end(best):
                other.lost.add(mode)

    def _finish(self, event: Modelled, now_s: int) -> None:
        event.over_s, event.how = now_s, "completed" if event.cut_s is None else "cancelled"
        if event.how == "cancelled":
            self._tell(event, 6, now_s)
        elif event.lost < event.modes.keys():
            self._tell(event, 254 if event.began_s is None else 3, now_s)

    def _wants(self, event: Modelled, mode: str) -> bool:
        return mode in event.modes and mode not in event.lost

    def _living(self) -> list[Modelled]:
        return [event for event in self.events if event.over_s is None]

    def _tell(self, event: Modelled, code: int, now_s: int) -> None:
        self.told.add((event.mrid, code, now_s))

    def _random(self, bound: int) -> int:
        return self._draw(bound) if bound > 0 else -self._draw(-bound) if bound < 0 else 0
