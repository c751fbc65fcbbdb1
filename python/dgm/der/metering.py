"""What is mirrored to the utility: averages of power, reactive power and voltage over intervals on the clock marks.

    observe(values, now) ──time-weighted hold──> per mirror [mark, mark + postRate) ──Metered──> MirrorMeterReading
                         └─ stored energy: what it is at the mark

Site readings count import positive; readings of the DER are the inverse of the site's sign (generation positive), as
CSIP-AUS wants it. An interval that was not observed for at least half of its time gives no reading: absence is absence.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import Enum

from dgm.der import resource as r
from dgm.der.identity import mrid_of
from dgm.machine import Now

ROLE_SITE, ROLE_DER = 0x0003, 0x0049
UOM_VOLT, UOM_WATT, UOM_VAR, UOM_WATT_HOUR = 29, 38, 63, 72
KIND_ENERGY, QUALIFIER_NONE = 12, 0
KIND_POWER, QUALIFIER_AVERAGE, COMMODITY_ELECTRICITY, FLOW_FORWARD = 37, 2, 1, 1
HOLD_MS_MAX = 10_000
"""A value counts for this long after it was observed, then as not observed."""
COVERED_PERMILLE_MIN = 500


class Quantity(Enum):
    """One mirrored quantity. W, var and Wh as integers; V in tenths. DER_WH: what all batteries together hold."""

    SITE_W = "site W"
    SITE_VAR = "site var"
    SITE_V = "site V"
    DER_W = "DER W"
    DER_VAR = "DER var"
    DER_V = "DER V"
    DER_WH = "DER Wh"


STORED = frozenset({Quantity.DER_WH})
"""Told as they are at the clock mark, with no duration (CSIP-AUS v1.3)."""
AVERAGES = frozenset(Quantity) - STORED
_UOM = {"W": UOM_WATT, "var": UOM_VAR, "V": UOM_VOLT, "Wh": UOM_WATT_HOUR}


def mirrors(lfdi: str, pen: int, quantities: Iterable[Quantity] = AVERAGES) -> dict[Quantity, r.MirrorUsagePoint]:
    """One mirror for each quantity, as it is to be created on the server; in the order of `Quantity`."""
    wanted = frozenset(quantities)
    return {quantity: _mirror(quantity, lfdi, pen) for quantity in Quantity if quantity in wanted}


def _mirror(quantity: Quantity, lfdi: str, pen: int) -> r.MirrorUsagePoint:
    unit = quantity.value.split()[1]
    reading_type = r.ReadingType(
        commodity=COMMODITY_ELECTRICITY,
        data_qualifier=QUALIFIER_NONE if quantity in STORED else QUALIFIER_AVERAGE,
        flow_direction=FLOW_FORWARD,
        kind=KIND_ENERGY if quantity in STORED else KIND_POWER,
        power_of_ten=-1 if unit == "V" else 0,
        uom=_UOM[unit],
    )
    reading = r.MirrorMeterReading(
        mrid=mrid_of(lfdi, f"reading {quantity.value}", pen), description=quantity.value, reading_type=reading_type
    )
    return r.MirrorUsagePoint(
        mrid=mrid_of(lfdi, f"mirror {quantity.value}", pen),
        description=quantity.value,
        role_flags=ROLE_SITE if quantity.value.startswith("site") else ROLE_DER,
        service_category=0,
        status=1,
        device_lfdi=lfdi,
        readings=(reading,),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Metered:
    """A finished interval: start and length in s of the server's clock, and the average; length 0: at that time."""

    quantity: Quantity
    start_s: int
    duration_s: int
    value: int


@dataclass(slots=True)
class _Window:
    start_ms: int
    period_ms: int
    sum_value_ms: int = 0
    covered_ms: int = 0

    def add(self, value: int, from_ms: int, to_ms: int) -> None:
        """A value that held over a time, as far as it lies in the window."""
        held_ms = min(to_ms, self.start_ms + self.period_ms) - max(from_ms, self.start_ms)
        if held_ms > 0:
            self.sum_value_ms += value * held_ms
            self.covered_ms += held_ms


class Metering:
    """Averages of some quantities. `period_s` tells how often one is wanted; it may change at any time.

    `now.utc_ms` is the server's clock.
    """

    def __init__(self, period_s: Callable[[Quantity], int], quantities: Iterable[Quantity] = AVERAGES) -> None:
        wanted = frozenset(quantities)
        self._quantities = [quantity for quantity in Quantity if quantity in wanted]
        self._period_s = period_s
        self._windows: dict[Quantity, _Window] = {}
        self._held: dict[Quantity, tuple[int, int]] = {}
        self._now = Now(mono_ms=0, utc_ms=0)

    def observe(self, values: Mapping[Quantity, int], now: Now) -> list[Metered]:
        """What is seen now (W, var, 0.1 V); a quantity that is absent was not seen. Returns what this completes."""
        done = self.advance(now)
        self._held = {quantity: (value, now.utc_ms) for quantity, value in values.items()}
        return done

    def advance(self, now: Now) -> list[Metered]:
        """Let time pass to now."""
        done: list[Metered] = []
        for quantity in self._quantities:
            done += self._advance_one(quantity, now.utc_ms)
        self._now = now
        return done

    def wake_time(self) -> int | None:
        """Monotonic ms of the next clock mark that completes an interval."""
        ends = [window.start_ms + window.period_ms for window in self._windows.values()]
        return self._now.mono_ms + max(min(ends) - self._now.utc_ms, 0) if ends else None

    def _advance_one(self, quantity: Quantity, to_ms: int) -> list[Metered]:
        period_ms = self._period_s(quantity) * 1000
        window = self._windows.get(quantity)
        if window is None or window.period_ms != period_ms or to_ms < window.start_ms:
            # First sight, a new rate, or a clock set back: begin anew on the mark.
            self._windows[quantity] = _Window(to_ms - to_ms % period_ms, period_ms)
            return []
        held = self._held.get(quantity)
        if held is not None:
            value, since_ms = held
            window.add(value, max(since_ms, self._now.utc_ms), min(to_ms, since_ms + HOLD_MS_MAX))
        if to_ms < window.start_ms + period_ms:
            return []
        self._windows[quantity] = following = _Window(to_ms - to_ms % period_ms, period_ms)
        if held is not None:
            following.add(held[0], max(held[1], self._now.utc_ms), min(to_ms, held[1] + HOLD_MS_MAX))
        if quantity in STORED:
            return self._at_mark(quantity, window.start_ms + period_ms)
        return _finished(quantity, window)

    def _at_mark(self, quantity: Quantity, mark_ms: int) -> list[Metered]:
        """What was held at the mark, unless it was seen too long before."""
        value, since_ms = self._held.get(quantity, (0, 0))
        if since_ms + HOLD_MS_MAX < mark_ms:
            return []
        return [Metered(quantity=quantity, start_s=mark_ms // 1000, duration_s=0, value=value)]


def _finished(quantity: Quantity, window: _Window) -> list[Metered]:
    if window.covered_ms * 1000 < window.period_ms * COVERED_PERMILLE_MIN:
        return []
    average = (2 * window.sum_value_ms + window.covered_ms) // (2 * window.covered_ms)
    start_s, duration_s = window.start_ms // 1000, window.period_ms // 1000
    return [Metered(quantity=quantity, start_s=start_s, duration_s=duration_s, value=average)]


def reading_of(metered: Metered, mirror: r.MirrorUsagePoint) -> r.MirrorMeterReading:
    """The document of one finished interval."""
    template = mirror.readings[0]
    period = r.Interval(duration_s=metered.duration_s, start_s=metered.start_s)
    return r.MirrorMeterReading(
        mrid=template.mrid,
        description=template.description,
        reading=r.Reading(period=period, value=metered.value),
        reading_type=template.reading_type,
    )
