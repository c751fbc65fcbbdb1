"""Mirrors on the server and the readings that wait for them (S18 10.7): where each is posted, and in what form.

    MirrorUsagePoint ──POST to the list──> Location ──> readings there, several at once after an outage
                                      └─ no Location: its place from the list; not there either: by its mRID alone

The server knows a mirror by its mRID, so that posting it again is an update. Readings wait in order, the oldest drop.
Pure bookkeeping for `outbox`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import replace

from dgm.der import resource as r
from dgm.der.letter import Letter

READINGS_MAX = 240
"""Readings waiting for the server; the oldest are dropped."""
BATCH_MAX = 20
"""Readings of one mirror in one post."""
GONE = frozenset({404, 410})


class MirrorQueue:
    """Of one device. post_s: where the server states no postRate."""

    def __init__(self, mirrors: Iterable[r.MirrorUsagePoint], post_s: int) -> None:
        self._post_s = post_s
        self._mirrors = {mirror.mrid: mirror for mirror in mirrors}
        self._places: dict[str, str] = {}
        self._placeless: set[str] = set()
        """Taken by the server, which did not say where; readings wait for its list."""
        self._by_mrid: set[str] = set()
        """Not in its list either: readings go to the list, as updates of the mirror."""
        self._rates: dict[str, int] = {}
        self._readings: deque[tuple[str, r.MirrorMeterReading]] = deque()
        self._takes_lists = True
        self.dropped = 0

    def add(self, mirror_mrid: str, reading: r.MirrorMeterReading) -> None:
        """Queue a reading for a mirror."""
        if len(self._readings) >= READINGS_MAX:
            self._readings.popleft()
            self.dropped += 1
        self._readings.append((mirror_mrid, reading))

    def post_rate_s(self, mirror_mrid: str) -> int:
        """How often the server wants readings of a mirror."""
        return max(self._rates.get(mirror_mrid, self._post_s), 1)

    def is_complete(self) -> bool:
        """The server has taken every mirror."""
        return self._mirrors.keys() <= self._known()

    def learn(self, listed: Iterable[r.MirrorUsagePoint]) -> None:
        """Places and rates from the server's own list; what it has taken and does not list has no place."""
        for mirror in listed:
            if mirror.mrid in self._mirrors:
                if mirror.href:
                    self._place(mirror.mrid, mirror.href)
                if mirror.post_rate_s is not None:
                    self._rates[mirror.mrid] = mirror.post_rate_s
        self._by_mrid |= self._placeless
        self._placeless.clear()

    # -- letters ----------------------------------------------------------------------------------------------------

    def letters(self, list_href: str) -> Iterator[Letter]:
        """What could be sent now, first things first: mirrors that the server does not have, then readings."""
        known = self._known()
        for mrid, mirror in self._mirrors.items():
            if mrid not in known:
                yield Letter(key=f"mirror:{mrid}", method="POST", href=list_href, body=mirror)
        seen: set[str] = set()
        for mrid, _ in self._readings:
            if mrid not in seen:
                seen.add(mrid)
                yield from self._reading_letter(mrid, list_href)

    def taken(self, letter: Letter, location: str | None) -> None:
        """The server has accepted a letter of ours."""
        kind, _, mrid = letter.key.partition(":")
        if kind == "reading":
            self._drop(letter)
            if location and mrid in self._by_mrid:
                self._place(mrid, location)
        elif location:
            self._place(mrid, location)
        else:
            self._placeless.add(mrid)

    def refused(self, letter: Letter, status: int) -> bool:
        """The server has not accepted it. True: it is given up, or sent in another form; no need to wait."""
        kind, _, mrid = letter.key.partition(":")
        if kind != "reading" or not 400 <= status < 500:
            return False
        if isinstance(letter.body, r.MirrorMeterReadingList) and status not in GONE:
            self._takes_lists = False  # one by one then
            return True
        if status in GONE:
            self._places.pop(mrid, None)  # the mirror is gone: make it again
            self._by_mrid.discard(mrid)
        self._drop(letter)
        return True

    def _reading_letter(self, mrid: str, list_href: str) -> Iterator[Letter]:
        waiting = tuple(reading for name, reading in self._readings if name == mrid)
        key = f"reading:{mrid}"
        if mrid in self._places:
            href = self._places[mrid]
            if self._takes_lists and len(waiting) > 1:
                batch = waiting[:BATCH_MAX]
                body = r.MirrorMeterReadingList(all=len(batch), results=len(batch), items=batch)
                yield Letter(key=key, method="POST", href=href, body=body, readings=batch)
            else:
                yield Letter(key=key, method="POST", href=href, body=waiting[0], readings=waiting[:1])
        elif mrid in self._by_mrid:
            whole = replace(self._mirrors[mrid], readings=waiting[:1])
            yield Letter(key=key, method="POST", href=list_href, body=whole, readings=waiting[:1])

    def _known(self) -> set[str]:
        return self._places.keys() | self._placeless | self._by_mrid

    def _place(self, mrid: str, href: str) -> None:
        self._places[mrid] = href
        self._placeless.discard(mrid)
        self._by_mrid.discard(mrid)

    def _drop(self, letter: Letter) -> None:
        """By identity: others may have come, or have been dropped, while it was on its way."""
        sent = {id(reading) for reading in letter.readings}
        self._readings = deque(item for item in self._readings if id(item[1]) not in sent)
