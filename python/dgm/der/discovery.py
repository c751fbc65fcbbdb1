"""One device's side of the conversation with the utility server.

    DerCore ──SendResponse, SendReadings, Report, Answer, Tick──> Discovery ──> Conversation
            <──Request, ProgramsKnown, SetKnown, ClockMeasured, ResponseTaken──┘

Alone it has a conversation of its own; below an aggregator it is one member of a shared one, which then takes the
answers and keeps the time. The stored schedule is not kept here and runs on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from dgm.der import resource as r
from dgm.der.conversation import Conversation, Told
from dgm.der.exchange import (
    Answer,
    ClockMeasured,
    DiscoveryEffect,
    DiscoveryEvent,
    Link,
    NoAnswer,
    Notified,
    Request,
    SendReadings,
    SendResponse,
    SetKnown,
)
from dgm.der.outbox import POST_S_DEFAULT
from dgm.der.pace import Counters
from dgm.der.walk import Identity
from dgm.machine import Now

__all__ = [
    "Answer",
    "ClockMeasured",
    "Counters",
    "Discovery",
    "DiscoveryEffect",
    "DiscoveryEvent",
    "Link",
    "NoAnswer",
    "Notified",
    "Request",
    "SendReadings",
    "SendResponse",
    "SetKnown",
]


class Discovery:
    """`draw(n)` gives a uniform integer in 0..n, for the back-off. conversation: a shared one; None: one of its own."""

    def __init__(
        self,
        identity: Identity,
        draw: Callable[[int], int],
        *,
        mirrors: Iterable[r.MirrorUsagePoint] = (),
        in_band: bool = False,
        post_s: int = POST_S_DEFAULT,
        notification_url: str | None = None,
        conversation: Conversation | None = None,
    ) -> None:
        self._is_shared = conversation is not None
        self._conversation = conversation or Conversation(
            identity.url, draw, poll_s=identity.poll_s, notification_url=notification_url
        )
        self.member = self._conversation.add(identity, mirrors=mirrors, in_band=in_band, post_s=post_s)
        self.for_others: list[Told] = []
        """Effects for other members that came of an event of this one; whoever shares the conversation takes them."""

    def handle(self, event: DiscoveryEvent, now: Now) -> list[DiscoveryEffect]:
        """Take one event; the effects end with the next request, if one is due and none is in flight."""
        own: list[DiscoveryEffect] = []
        for member, effect in self._conversation.handle(event, now, self.member):
            if member is None or member is self.member:
                own.append(effect)
            else:
                self.for_others.append((member, effect))
        return own

    def wake_time(self) -> int | None:
        """When the next request is due; None while one is in flight, and where another keeps the time."""
        return None if self._is_shared else self._conversation.wake_time()

    # -- state for people and for the other cores -------------------------------------------------------------------

    @property
    def link(self) -> Link:
        """How far we are."""
        return self.member.link

    @property
    def wrong_pin(self) -> bool:
        """The server's PIN is not the configured one."""
        return self.member.walk.wrong_pin

    @property
    def why(self) -> str:
        """Why controls are not followed, or what failed last; empty: all is well."""
        return self.member.why

    @property
    def last_success_ms(self) -> int | None:
        """Monotonic ms of the last good answer; None: never."""
        return self._conversation.pace.last_success_ms

    @property
    def counters(self) -> Counters:
        """For metrics and GetConnection."""
        return self._conversation.pace.counters

    def post_rate_s(self, mirror_mrid: str) -> int:
        """How often readings of a mirror are wanted."""
        return self.member.outbox.mirrors.post_rate_s(mirror_mrid)

    def wants_responses(self) -> bool:
        """Responses that are owed found no room, and there is some again: say all that are owed. True only once."""
        return self.member.outbox.take_overfull()

    def is_ours(self, notification: r.Notification) -> bool:
        """A notification is of a subscription that we hold."""
        return self._conversation.is_ours(notification)
