"""One device's grid-code side: modes its inverters can follow, DERCurves, where deltas began, starts not told yet.

    CurveKnown, GridChecked, ruling() ──> GridSide ──> curves by href, Unable(s), responses that have to wait

Part of `core`, which keeps the entries given here (`curve/`, `delta/`) and says what is decided. Curves outlive their
link: their controls do too.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from dgm.api.ems.v1.grid_pb2 import GridMode
from dgm.der import record
from dgm.der import resource as r
from dgm.der.curves import Asked, grid_asks, modes_supported
from dgm.der.deltas import Deltas
from dgm.der.exchange import CurveKnown
from dgm.der.fitness import Fitness, GridChecked, judged
from dgm.der.nodes import resolve
from dgm.der.orders import Damaged, Respond, Unable
from dgm.der.rules import Code
from dgm.der.schedule import ControlEvent, ControlSegment
from dgm.der.scheduler import Scheduler

ABLE_KEY, CURVE_PREFIX, DELTA_PREFIX = "grid/able", "curve/", "delta/"
CURVES_MAX = 64
"""DERCurves kept, the newest."""

Entries = tuple[tuple[str, bytes | None], ...]


class GridSide:
    """base: modes that need no inverter of its own kind; permitted: by site.yaml, ems.v1.GridFunction.

    url: what links are relative to. max_w: setMaxW.
    """

    def __init__(self, base: Iterable[str], permitted: Iterable[int], *, url: str, max_w: int) -> None:
        self._base, self._max_w = tuple(base), max_w
        self.acts_on = modes_supported(self._base, permitted)
        """Modes that have an effect here."""
        self.url = url
        self.fitness = Fitness(max_w=max_w)
        self.deltas = Deltas()
        self._curves: dict[str, r.DERCurve] = {}
        self._untold: set[str] = set()
        self._revision, self._seen = 0, (-1, -1)

    def follow(self, functions: frozenset[int]) -> Entries:
        """The inverters have been looked at; empty: what they can do was known."""
        found = modes_supported(self._base, functions)
        if found == self.acts_on:
            return ()
        self.fitness.forget()
        self.acts_on = found
        return ((ABLE_KEY, ",".join(map(str, sorted(functions))).encode()),)

    def asks(self, ruling: Mapping[str, ControlSegment]) -> dict[str, Asked]:
        """What is asked of inverters, by mode. ruling: `resolved`."""
        return grid_asks(ruling, self.curves(row.value for row in ruling.values()), self.acts_on, max_w=self._max_w)

    # -- curves and deltas ------------------------------------------------------------------------------------------

    def curves(self, modes: Iterable[r.ControlMode]) -> dict[str, r.DERCurve]:
        """The curves of some modes, as far as they were fetched, by the href that names them."""
        hrefs = {mode.curve_href for mode in modes if mode.curve_href}
        places = {href: resolve(self.url, href) for href in hrefs}
        return {href: self._curves[url] for href, url in places.items() if url is not None and url in self._curves}

    def take_curve(self, known: CurveKnown) -> Entries:
        """A curve was fetched; what is to be kept."""
        if self._curves.get(known.url) == known.curve:
            return ()
        self._revision += 1
        entries: list[tuple[str, bytes | None]] = [(CURVE_PREFIX + known.url, record.dump(known.curve))]
        self._curves.pop(known.url, None)
        self._curves[known.url] = known.curve
        while len(self._curves) > CURVES_MAX:
            oldest = next(iter(self._curves))
            del self._curves[oldest]
            entries.append((CURVE_PREFIX + oldest, None))
        return tuple(entries)

    def note_starts(
        self, ruling: Mapping[str, ControlSegment], measured: Mapping[str, int | None], at_ms: int
    ) -> Entries:
        """Deltas that begin count from what is measured now; what is to be kept."""
        found = self.deltas.note(ruling, measured, at_ms)
        return tuple((DELTA_PREFIX + mode, value) for mode, value in found.items())

    def resolved(self, ruling: Mapping[str, ControlSegment]) -> dict[str, ControlSegment]:
        """What rules each mode, a delta as the target that it means."""
        return self.deltas.resolved(ruling)

    def restore(self, stored: Mapping[str, bytes]) -> list[Damaged]:
        """Take over the journal; damaged entries are named and left out."""
        damaged = []
        for key, value in stored.items():
            try:
                if key.startswith(CURVE_PREFIX):
                    self._curves[key.removeprefix(CURVE_PREFIX)] = record.load(r.DERCurve, value)
                elif key.startswith(DELTA_PREFIX):
                    self.deltas.restore(key.removeprefix(DELTA_PREFIX), value)
                elif key == ABLE_KEY:
                    self.acts_on = modes_supported(self._base, (int(item) for item in value.split(b",") if item))
            except ValueError as error:
                damaged.append(Damaged(key=key, why=str(error)))
        return damaged

    # -- what cannot be followed ------------------------------------------------------------------------------------

    def take_verdict(self, checked: GridChecked) -> None:
        """The EMS has looked at a mode."""
        self._revision += 1
        self.fitness.take(checked)

    def unchecked(self, scheduler: Scheduler) -> dict[bytes, GridMode]:
        """Modes in force or to come that the EMS is to judge, by their content."""
        events = list(judged(scheduler.events()))
        return self.fitness.unchecked(events, self._curves_of(events))

    def unfit(self, scheduler: Scheduler, at_ms: int) -> list[Unable]:
        """What turns out now to be impossible; looked at when something has changed, or a curve is overdue."""
        due_ms = self.fitness.wake_ms()
        if self._seen == (scheduler.revision, self._revision) and (due_ms is None or at_ms < due_ms):
            return []
        events = list(judged(scheduler.events()))
        code = scheduler.engine.rules.not_applicable
        found = self.fitness.unable(events, self._curves_of(events), at_ms, not_applicable=code)
        self._seen = (scheduler.revision, self._revision)
        return [replace(one, is_start_untold=one.mrid in self._untold) for one in found]

    def has_to_wait(self, respond: Respond, scheduler: Scheduler) -> bool:
        """That an event has started, and all that came of it then, is told once it is known that it can be followed."""
        if respond.status == Code.STARTED and self._is_waiting(scheduler.engine.event(respond.mrid)):
            self._untold.add(respond.mrid)
        return respond.mrid in self._untold and respond.status != Code.RECEIVED

    def released(self, scheduler: Scheduler) -> list[Respond]:
        """Responses that need wait no longer, in order. An event that is over by then had not started."""
        free = {mrid for mrid in self._untold if not self._is_waiting(scheduler.engine.event(mrid))}
        self._untold -= free
        for mrid in sorted(free):
            event = scheduler.engine.event(mrid)
            if event is not None and not event.is_live:
                scheduler.engine.withdraw_start(mrid)
        return [respond for respond in scheduler.owed() if respond.mrid in free] if free else []

    def _is_waiting(self, event: ControlEvent | None) -> bool:
        return event is not None and event.is_live and self.fitness.is_waiting(event, self._curves_of([event]))

    def _curves_of(self, events: Iterable[ControlEvent]) -> dict[str, r.DERCurve]:
        return self.curves(value for event in events for value in event.modes)
