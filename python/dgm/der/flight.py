"""The request in flight, and where things have moved to.

    wanted ──place()──> Request ──301, 302, 307, 308──> the same Request elsewhere ──found──> 301, 308 remembered
                                                                                   ──404, 410──> forgotten

Pure bookkeeping for `discovery`. A permanent move is remembered only once what was wanted has been found behind it.
"""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

from dgm.der.exchange import Answer, Request
from dgm.der.letter import Letter
from dgm.der.member import Member
from dgm.der.nodes import Node, resolve
from dgm.machine import Now

REDIRECTS_MAX = 5
MOVES_MAX = 200
REDIRECTS = frozenset({301, 302, 307, 308})
PERMANENT = frozenset({301, 308})


@dataclass(slots=True, kw_only=True)
class Flight:
    """The request in flight: for a document (with the items of its earlier pages), or a member's letter, registration.

    names: what tells those items from others. paging: what was added to the place of a list to ask for one page of it.
    moves: permanent ones on the way here, remembered once what was wanted has been found behind them.
    """

    request: Request
    asked: Now
    node: Node | None = None
    items: tuple[object, ...] = ()
    names: Set[object] = frozenset()
    letter: Letter | None = None
    hops: int = 0
    paging: str = ""
    moves: tuple[tuple[str, str], ...] = ()
    subscribed: Node | None = None
    member: Member | None = None

    @property
    def place(self) -> str:
        """Where it goes, without the paging."""
        return self.request.url.removesuffix(self.paging)

    def redirect(self, answer: Answer, tag: int) -> bool:
        """Go where the answer says, under a new tag. False: it says nowhere, or it has been said too often."""
        target = resolve(self.request.url, answer.location) if answer.location else None
        if target is None or self.hops >= REDIRECTS_MAX:
            return False
        target = target.removesuffix(self.paging)
        if answer.status in PERMANENT:
            self.moves = (*self.moves, (self.place, target))
        if self.paging:
            self.paging = ("&" if urlsplit(target).query else "?") + self.paging[1:]
            target += self.paging  # a page of a list stays that page
        self.hops += 1
        self.request = replace(self.request, tag=tag, url=target)
        return True


class Moves:
    """Where places have moved to for good."""

    def __init__(self) -> None:
        self._moved: dict[str, str] = {}

    def place(self, url: str) -> str:
        """Where a URL has moved to for good; the old place is not touched again unless the new one is gone."""
        for _ in range(REDIRECTS_MAX):
            if url not in self._moved:
                break
            url = self._moved[url]
        return url

    def remember(self, flight: Flight) -> None:
        """What was wanted has been found behind the moves on the way."""
        self._moved.update(flight.moves)
        while len(self._moved) > MOVES_MAX:
            del self._moved[next(iter(self._moved))]

    def forget(self, flight: Flight) -> None:
        """What was wanted is not where it was said to have moved: the next attempt is where it was linked."""
        self._moved = {old: new for old, new in self._moved.items() if new != flight.place}
