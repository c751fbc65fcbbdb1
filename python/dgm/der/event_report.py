"""What the METER saw during each control, against its limit: worst excess, time out of limit, energy.

    bounds() + what is seen ──observe()──> EventReport per control and mode ──over──> kept, told, logged
                                               └──> journal ──restore()

Responses follow the event clock whether or not the meter has complied (SAFETY.md 6); this says what happened. A value
counts until the next one, ten seconds at most, and as out of limit only once the control's ramp is over and beyond a
tolerance. Of GROSS quantities not all may be seen: what is seen can prove an excess, never that there was none.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from dgm.der import record
from dgm.der.envelope import LIMITED, UNBOUND_W, Bound
from dgm.der.metering import HOLD_MS_MAX
from dgm.der.orders import Damaged
from dgm.machine import Now

PREFIX = "report/"
REPORTS_MAX = 500
JOURNAL_MS = 10_000
"""A running report is written this often; what was seen since the last time is lost with a restart."""
TOLERANCE_W, TOLERANCE_PERMILLE = 100, 10
"""What counts as kept: a meter's noise, and the step of a device."""
RESPONSE_MS_MAX = 10_000
"""So long in all may a limit be passed by a control that counts as kept: no device answers at once."""
HOUR_MS = 3_600_000


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenPower:
    """W of one limited quantity, in its direction. is_whole False: at least so much, for not all of it is seen."""

    power_w: int
    is_whole: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class EventReport:
    """One limit of one control. Times: ms UTC of the server's clock; end_ms None: it rules still.

    observed_ms: how long the quantity was seen. settled_ms: from the start until it was first within the limit; None:
    never. out_ms: beyond the limit after the ramp. worst_w: greatest excess, at worst_ms. *_wms: in W x ms.
    """

    mrid: str
    mode: str
    limit_w: int
    start_ms: int
    planned_end_ms: int
    end_ms: int | None = None
    observed_ms: int = 0
    settled_ms: int | None = None
    out_ms: int = 0
    worst_w: int = 0
    worst_ms: int | None = None
    energy_wms: int = 0
    over_wms: int = 0

    @property
    def is_kept(self) -> bool:
        """As far as it was seen."""
        return self.out_ms <= RESPONSE_MS_MAX

    @property
    def energy_wh(self) -> int:
        """Of the quantity while the control ruled."""
        return self.energy_wms // HOUR_MS

    @property
    def over_wh(self) -> int:
        """Of that, beyond the limit; rounded up, so that an excess is never nothing."""
        return -(-self.over_wms // HOUR_MS)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Held:
    """What was seen last, how far it is counted, and how long it counts (monotonic ms)."""

    seen: Mapping[int, SeenPower]
    counted_ms: int
    until_ms: int


class EventReports:
    """Of one device; the newest REPORTS_MAX are kept."""

    def __init__(self) -> None:
        self._reports: dict[str, EventReport] = {}
        self._ramps_ms: dict[str, int] = {}
        self._held: _Held | None = None
        self._changed: set[str] = set()
        self._dirty: set[str] = set()
        self._journaled_ms: int | None = None

    def observe(self, bounds: Mapping[str, Bound], seen: Mapping[int, SeenPower] | None, now: Now) -> list[EventReport]:
        """What rules and what is seen now, by ems.v1.Quantity; returns what has ended.

        A quantity that is absent is not seen; seen None: nobody has looked, so what was seen last goes on for a while.
        """
        self._pass(now)
        ruling = {_key(bound): bound for bound in bounds.values() if _is_reported(bound)}
        over = [self._end(key, now.utc_ms) for key, report in self._running() if key not in ruling]
        for key, bound in ruling.items():
            self._begin(key, bound)
        if seen is not None:
            self._held = _Held(seen=dict(seen), counted_ms=now.mono_ms, until_ms=now.mono_ms + HOLD_MS_MAX)
            self._judge(now, seen)
        self._journal_now_and_then(now.mono_ms)
        return over

    def reports(self) -> tuple[EventReport, ...]:
        """Every report that is kept, by start."""
        return tuple(sorted(self._reports.values(), key=lambda item: (item.start_ms, item.mrid, item.mode)))

    def _running(self) -> list[tuple[str, EventReport]]:
        return [(key, report) for key, report in self._reports.items() if report.end_ms is None]

    def _begin(self, key: str, bound: Bound) -> None:
        report = self._reports.get(key)
        self._ramps_ms[key] = bound.ramp_ms or 0
        assert bound.event_end_ms is not None
        if report is None:
            self._make_room()
            report = EventReport(
                mrid=bound.mrid,
                mode=bound.mode,
                limit_w=bound.power_w,
                start_ms=bound.began_utc_ms,
                planned_end_ms=bound.event_end_ms,
            )
            self._changed.add(key)
        self._put(key, replace(report, limit_w=bound.power_w, planned_end_ms=bound.event_end_ms, end_ms=None))

    def _end(self, key: str, at_ms: int) -> EventReport:
        report = self._reports[key]
        ended = replace(report, end_ms=max(min(at_ms, report.planned_end_ms), report.start_ms))
        self._put(key, ended)
        self._changed.add(key)
        self._ramps_ms.pop(key, None)
        return ended

    def _pass(self, now: Now) -> None:
        """Count what was seen last for the time since."""
        held = self._held
        if held is None or now.mono_ms <= held.counted_ms:
            return
        from_ms = now.utc_ms - (now.mono_ms - held.counted_ms)
        held_ms = min(now.mono_ms, held.until_ms) - held.counted_ms
        self._held = replace(held, counted_ms=now.mono_ms)
        for key, report in self._running():
            seen = held.seen.get(LIMITED[report.mode])
            span_ms = min(held_ms, report.planned_end_ms - from_ms)
            if seen is not None and span_ms > 0:
                is_ramped = self._is_ramped(key, from_ms)
                self._put(key, _counted(report, seen, span_ms, is_ramped=is_ramped))

    def _judge(self, now: Now, seen: Mapping[int, SeenPower]) -> None:
        """What is seen at this moment: the worst, and whether the limit is kept for the first time."""
        for key, report in self._running():
            found = seen.get(LIMITED[report.mode])
            if found is None:
                continue
            excess_w = found.power_w - report.limit_w
            if not _is_over(report, found):
                if found.is_whole and report.settled_ms is None:
                    self._put(key, replace(report, settled_ms=max(now.utc_ms - report.start_ms, 0)))
            elif self._is_ramped(key, now.utc_ms) and excess_w > report.worst_w:
                self._put(key, replace(report, worst_w=excess_w, worst_ms=now.utc_ms))

    def _is_ramped(self, key: str, at_ms: int) -> bool:
        return at_ms >= self._reports[key].start_ms + self._ramps_ms.get(key, 0)

    def _put(self, key: str, report: EventReport) -> None:
        if self._reports.get(key) != report:
            self._reports[key] = report
            self._dirty.add(key)

    def _make_room(self) -> None:
        while len(self._reports) >= REPORTS_MAX:
            oldest = min(self._reports.items(), key=lambda item: (item[1].end_ms is None, item[1].start_ms))[0]
            del self._reports[oldest]
            self._changed.add(oldest)

    # -- the journal ------------------------------------------------------------------------------------------------

    def _journal_now_and_then(self, now_ms: int) -> None:
        if self._journaled_ms is None or now_ms - self._journaled_ms >= JOURNAL_MS:
            self._journaled_ms = now_ms
            self._changed |= self._dirty
            self._dirty.clear()

    def changed(self) -> dict[str, bytes | None]:
        """Journal entries to be stored (None: deleted) since the last call."""
        found = {
            PREFIX + key: record.dump(self._reports[key]) if key in self._reports else None
            for key in sorted(self._changed)
        }
        self._dirty -= self._changed
        self._changed.clear()
        return found

    def restore(self, stored: Mapping[str, bytes]) -> tuple[Damaged, ...]:
        """Take over the journal; a report that ran goes on, and what was not seen in between is not counted."""
        damaged = []
        for key, value in stored.items():
            if key.startswith(PREFIX):
                try:
                    report: EventReport = record.load(EventReport, value)
                    if report.mode not in LIMITED:
                        raise ValueError(f"found the mode {report.mode}; expected one that bounds")
                    self._reports[key.removeprefix(PREFIX)] = report
                except ValueError as error:
                    damaged.append(Damaged(key=key, why=str(error)))
        return tuple(damaged)


def _key(bound: Bound) -> str:
    return f"{bound.mrid}/{bound.mode}"


def _counted(report: EventReport, seen: SeenPower, span_ms: int, *, is_ramped: bool) -> EventReport:
    excess_w = max(seen.power_w - report.limit_w, 0) if is_ramped and _is_over(report, seen) else 0
    is_known = seen.is_whole or excess_w > 0
    return replace(
        report,
        observed_ms=report.observed_ms + (span_ms if is_known else 0),
        out_ms=report.out_ms + (span_ms if excess_w else 0),
        energy_wms=report.energy_wms + max(seen.power_w, 0) * span_ms,
        over_wms=report.over_wms + excess_w * span_ms,
    )


def _is_reported(bound: Bound) -> bool:
    """Of events only; one that frees what the default would bound has no limit to pass."""
    return bound.event_end_ms is not None and bound.power_w < UNBOUND_W


def _is_over(report: EventReport, seen: SeenPower) -> bool:
    tolerance_w = max(TOLERANCE_W, report.limit_w * TOLERANCE_PERMILLE // 1000)
    return seen.power_w > report.limit_w + tolerance_w
