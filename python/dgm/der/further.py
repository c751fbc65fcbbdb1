"""The function sets beside DER, run together: their engines, their part of the journal, and their responses.

    SetKnown, Tick ──> FurtherSets ──(reply_to, response)──> outbox         messages(), prices(): what is in force

Load control is followed where there are EVSEs (`load_control`); without them every EndDeviceControl for us is rejected
as not applicable. Prices are for people and for the EMS (`prices`), messages for people. `now.utc_ms` is the server's
clock.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, assert_never

from dgm.api.der.v1.profile_pb2 import UtilityProfile
from dgm.der import function_sets as f
from dgm.der import resource as r
from dgm.der.engine import EventEngine
from dgm.der.groups import FunctionSet, Sources
from dgm.der.load_control import FOLLOWED, LOAD_CATEGORIES, duty_of
from dgm.der.orders import Damaged, Listed, Respond, ResponseTaken
from dgm.der.outbox import AnyResponse
from dgm.der.prices import EnergyPrice, series
from dgm.der.rules import Code
from dgm.der.schedule import Event, Reign
from dgm.der.scheduler import DEVICE_CATEGORY
from dgm.machine import Now, Tick

Reply = tuple[str, AnyResponse]
"""Where to, and what."""


class FurtherSets:
    """One device's events of every function set beside DER. has_loads: there is something for load control to rule."""

    def __init__(
        self, profile: UtilityProfile, draw: Callable[[int], int], lfdi: str, *, has_loads: bool = False
    ) -> None:
        self.lfdi = lfdi
        categories, actions = (LOAD_CATEGORIES, FOLLOWED) if has_loads else (DEVICE_CATEGORY, frozenset())
        self._load = f.load_control(profile, draw, categories=categories, actions=actions)
        self._messaging = f.messaging(profile, draw)
        self._pricing = f.pricing(profile, draw)
        self._reservation = f.reservation(profile, draw)
        self._prices: tuple[int, tuple[EnergyPrice, ...]] | None = None
        self._engines: dict[FunctionSet, EventEngine[Any, Any]] = {
            FunctionSet.LOAD_CONTROL: self._load,
            FunctionSet.PRICING: self._pricing,
            FunctionSet.MESSAGING: self._messaging,
            FunctionSet.RESERVATION: self._reservation,
        }

    def listed(self, name: FunctionSet, sources: Sources, now: Now) -> list[Reply]:
        """What the server lists of one set now."""
        return list(self._replies(name, self._engines[name].handle(Listed(sources=sources), now)))

    def advance(self, now: Now) -> list[Reply]:
        """Let time pass."""
        return [
            reply for name, engine in self._engines.items() for reply in self._replies(name, engine.handle(Tick(), now))
        ]

    def taken(self, event: ResponseTaken, now: Now) -> list[Reply]:
        """The server has taken a response, if it was of one of these sets."""
        return [
            reply
            for name, engine in self._engines.items()
            if engine.event(event.mrid) is not None
            for reply in self._replies(name, engine.handle(event, now))
        ]

    def wake_time(self) -> int | None:
        """Monotonic ms of the next start or end."""
        times = (engine.wake_time() for engine in self._engines.values())
        return min((time for time in times if time is not None), default=None)

    def messages(self) -> tuple[f.Text, ...]:
        """What is to be shown, the most important first."""
        return f.messages(self._messaging)

    def prices(self) -> dict[str, Event[f.Price]]:
        """The price in force by what is priced."""
        return self._pricing.holders()

    def energy_prices(self) -> tuple[EnergyPrice, ...]:
        """What energy from the grid costs, as far ahead as is known, on the server's clock."""
        if self._prices is None or self._prices[0] != self._pricing.revision:
            lanes = {lane for event in self._pricing.events() if event.is_live for lane in event.lanes}
            reigns = [(lane, reign) for lane in sorted(lanes) for reign in self._pricing.reigns(lane)]
            self._prices = self._pricing.revision, series(reigns)
        return self._prices[1]

    def loads(self) -> tuple[Event[f.LoadAction], ...]:
        """The load controls in force."""
        return tuple(self._load.holders().values())

    def grants(self) -> dict[str, Event[f.Grant]]:
        """The grant in force by the request that it answers."""
        return self._reservation.holders()

    def reservations(self, requests: Iterable[str]) -> dict[str, Sequence[Reign[f.Grant]]]:
        """Which grant holds each request when, from the last `now` on as far as is known."""
        return {mrid: self._reservation.reigns(mrid) for mrid in requests}

    # -- the journal ------------------------------------------------------------------------------------------------

    def changed(self) -> dict[str, bytes | None]:
        """Journal entries to be stored (None: deleted) since the last call."""
        return {key: value for engine in self._engines.values() for key, value in engine.changed().items()}

    def restore(self, stored: Mapping[str, bytes]) -> list[Damaged]:
        """Take over the journal; damaged entries are named and left out."""
        return [damaged for engine in self._engines.values() for damaged in engine.restore(stored)]

    def owed(self) -> list[Reply]:
        """Responses decided but not taken by the server yet."""
        return [reply for name, engine in self._engines.items() for reply in self._replies(name, engine.owed())]

    def _duty(self, mrid: str) -> int | None:
        event = self._load.event(mrid)
        return None if event is None else duty_of(event)

    def _replies(self, name: FunctionSet, responds: Iterable[Respond]) -> Iterator[Reply]:
        for respond in responds:
            stated: Any = {
                "created_s": respond.created_s,
                "lfdi": self.lfdi,
                "status": respond.status,
                "subject": respond.mrid,
            }
            match name:
                case FunctionSet.LOAD_CONTROL:
                    applied = self._duty(respond.mrid) if respond.status == Code.STARTED else None
                    yield respond.reply_to, r.DrResponse(**stated, duty_cycle_percent=applied)
                case FunctionSet.PRICING:
                    yield respond.reply_to, r.PriceResponse(**stated)
                case FunctionSet.MESSAGING:
                    yield respond.reply_to, r.TextResponse(**stated)
                case FunctionSet.RESERVATION:
                    return  # S18 gives a grant no response
                case _:
                    assert_never(name)
