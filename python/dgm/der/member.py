"""One device of a conversation: who it is, what it is linked to, and what it has to tell.

    Identity ──> Known (its walk over the shared documents)      Outbox (its responses, reports, mirrors, readings)

A gateway that talks for itself is the one member of its conversation; an aggregator has one for each EndDevice.
"""

from __future__ import annotations

from collections.abc import Iterable

from dgm.der import resource as r
from dgm.der.exchange import Link
from dgm.der.known import Known, Library
from dgm.der.letter import Letter
from dgm.der.outbox import POST_S_DEFAULT, Outbox
from dgm.der.pace import Pace
from dgm.der.walk import Identity, Walk


class Member:
    """registered_at_ms: when the list was fetched for which it asked to be registered last."""

    def __init__(
        self,
        identity: Identity,
        library: Library,
        pace: Pace,
        *,
        mirrors: Iterable[r.MirrorUsagePoint] = (),
        in_band: bool = False,
        post_s: int = POST_S_DEFAULT,
    ) -> None:
        self.identity = identity
        self.in_band = in_band
        self.known = Known(identity, library)
        mirrors = tuple(mirrors)
        self.mirror_mrids = frozenset(mirror.mrid for mirror in mirrors)
        self.outbox = Outbox(mirrors, post_s=post_s)
        self.registered_at_ms: int | None = None
        self.hears_all = True
        """It is told its programs after each look at them, not only after a change."""
        self._library = library
        self._pace = pace

    @property
    def walk(self) -> Walk:
        """What it is linked to."""
        return self.known.walk

    @property
    def link(self) -> Link:
        """How far we are."""
        if self._pace.is_lost:
            return Link.LOST
        if self.walk.own is None:
            return Link.CONNECTING
        return Link.REGISTERED if self.walk.programs is None or self.walk.wrong_pin else Link.READY

    @property
    def why(self) -> str:
        """Why controls are not followed, or what failed last; empty: all is well."""
        own = self.walk.own
        if self.walk.wrong_pin:
            return "wrong PIN: the server means another device; no control is taken until it shows the configured one"
        if self.walk.listed and own is None:
            return f"the server's list of devices does not hold LFDI {self.identity.lfdi}"
        if own is not None and own.enabled is False:
            return "the server has disabled this device"
        if self.identity.is_pin_required and own is not None and not own.registration_link:
            return "the server shows no Registration, and the utility profile requires its PIN"
        return self._pace.why

    def next_letter(self, at_ms: int) -> Letter | None:
        """The next report, mirror or reading that is due and whose place is known."""
        mirrors = self.walk.mirrors
        known = mirrors is not None and mirrors in self._library.documents
        return self.outbox.next_other(
            own=self.walk.own,
            der=self.walk.der,
            mirrors_href=mirrors.url if mirrors is not None and known else None,
            at_ms=at_ms,
        )

    def wake_ms(self, at_ms: int) -> int | None:
        """When something in its outbox becomes due by itself."""
        times = self.outbox.wake_ms(self.walk.own, self.walk.der)
        return min((time for time in times if time > at_ms), default=None)
