"""What is asked of inverters beside power: which modes they can follow, fetched curves, where delta modes began.

    GridSeen, CurveKnown ──> GridCode ──> journal entries      ruling() ──GridCode──> asks() for the EMS, curves()

Curves outlive the link, for their controls do too. Pure; what is asked of which inverter is the EMS's business.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from dgm.der import record
from dgm.der import resource as r
from dgm.der.curves import Asked, grid_asks, modes_supported
from dgm.der.deltas import Deltas
from dgm.der.discovery import CurveKnown
from dgm.der.nodes import resolve
from dgm.der.orders import Damaged
from dgm.der.schedule import ControlSegment

ABLE_KEY, CURVE_PREFIX, DELTA_PREFIX = "grid/able", "curve/", "delta/"
CURVES_MAX = 64
"""DERCurves kept, the newest."""

Entries = tuple[tuple[str, bytes | None], ...]


class GridCode:
    """Inverters' modes of one device. base: modes that need no inverter of its own kind; permitted: by site.yaml."""

    def __init__(self, base: Iterable[str], permitted: Iterable[int]) -> None:
        self._base = tuple(base)
        self.acts_on = modes_supported(self._base, permitted)
        """Modes that have an effect here."""
        self._fetched: dict[str, r.DERCurve] = {}
        self._deltas = Deltas()

    def follow(self, functions: frozenset[int]) -> Entries:
        """The inverters have been looked at, ems.v1.GridFunction; empty: it is what was known."""
        found = modes_supported(self._base, functions)
        if found == self.acts_on:
            return ()
        self.acts_on = found
        return ((ABLE_KEY, ",".join(map(str, sorted(functions))).encode()),)

    def take(self, known: CurveKnown) -> Entries:
        """A curve was fetched."""
        if self._fetched.get(known.url) == known.curve:
            return ()
        entries: list[tuple[str, bytes | None]] = [(CURVE_PREFIX + known.url, record.dump(known.curve))]
        self._fetched.pop(known.url, None)
        self._fetched[known.url] = known.curve
        while len(self._fetched) > CURVES_MAX:
            oldest = next(iter(self._fetched))
            del self._fetched[oldest]
            entries.append((CURVE_PREFIX + oldest, None))
        return tuple(entries)

    def note(self, ruling: Mapping[str, ControlSegment], measured: Mapping[str, int | None], at_ms: int) -> Entries:
        """Remember what was measured when a delta mode began."""
        return tuple((DELTA_PREFIX + mode, value) for mode, value in self._deltas.note(ruling, measured, at_ms).items())

    def resolved(self, ruling: Mapping[str, ControlSegment]) -> dict[str, ControlSegment]:
        """What rules each mode, a delta as the target that it means."""
        return self._deltas.resolved(ruling)

    def asks(self, ruling: Mapping[str, ControlSegment], url: str, *, max_w: int) -> dict[str, Asked]:
        """What is asked of inverters, by mode. ruling: resolved; url: of the server; max_w: setMaxW."""
        return grid_asks(ruling, self.curves(ruling, url), self.acts_on, max_w=max_w)

    def curves(self, ruling: Mapping[str, ControlSegment], url: str) -> dict[str, r.DERCurve]:
        """The curves of what rules, as far as they were fetched, by the href that names them."""
        hrefs = {row.value.curve_href for row in ruling.values() if row.value.curve_href}
        places = {href: resolve(url, href) for href in hrefs}
        return {href: self._fetched[at] for href, at in places.items() if at is not None and at in self._fetched}

    def restore(self, stored: Mapping[str, bytes]) -> list[Damaged]:
        """Take over the journal; what cannot be read is named."""
        damaged = []
        for key, value in stored.items():
            try:
                self._restore_entry(key, value)
            except ValueError as error:
                damaged.append(Damaged(key=key, why=str(error)))
        return damaged

    def _restore_entry(self, key: str, value: bytes) -> None:
        if key.startswith(CURVE_PREFIX):
            self._fetched[key.removeprefix(CURVE_PREFIX)] = record.load(r.DERCurve, value)
        elif key.startswith(DELTA_PREFIX):
            self._deltas.restore(key.removeprefix(DELTA_PREFIX), value)
        elif key == ABLE_KEY:
            self.acts_on = modes_supported(self._base, (int(item) for item in value.split(b",") if item))
