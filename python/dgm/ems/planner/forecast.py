"""What the building will draw and the sun will give in each step of the horizon, from what was measured.

    quarter means of the building ──same time on like days──┐
    what it draws now ──fading within an hour───────────────┴──> load, W per step
    clear sky x rating x index of today (fading to its usual value within hours) ──> PV, W per step

Persistence, no learning: wrong on an unusual day, and then a plan is worth less; no limit rests on it. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import exp

from dgm.ems.planner.clear_sky import DAY_MS, clear_sky_w_per_m2

QUARTER_MS = 900_000
HOUR_MS = 3_600_000

DAYS_BACK = 21
DAYS_USED = 4
"""Like days whose mean is the usual load: recent enough for the season, enough to flatten one odd day."""

LOAD_FADE_MS = HOUR_MS
"""How fast what is unusual now is forgotten (e-fold)."""

INDEX_FADE_MS = 3 * HOUR_MS
INDEX_USUAL = 0.6
INDEX_MAX = 1.2
INDEX_PERMILLE_MIN = 50
"""Below this share of the rating the clear sky is too dark to measure against."""

TODAY_MS = 600_000
"""A cloud that passes is no weather (e-fold)."""

USUAL_MS = 5 * 10 * HOUR_MS
"""Five days of light make what is usual (e-fold)."""

GAP_MS_MAX = 900_000


def load_forecast(
    means_w: Mapping[int, int], *, utc_ms: int, now_w: int | None, steps: int, step_ms: int = QUARTER_MS
) -> tuple[int, ...]:
    """W per step from utc_ms on. means_w: of quarters, by the UTC ms at which they began."""
    usual_now = usual_w(means_w, utc_ms)
    return tuple(
        _load_at(means_w, utc_ms + step * step_ms, now_w=now_w, usual_now=usual_now, ahead_ms=step * step_ms)
        for step in range(steps)
    )


def _load_at(
    means_w: Mapping[int, int], at_utc_ms: int, *, now_w: int | None, usual_now: int | None, ahead_ms: int
) -> int:
    usual = usual_w(means_w, at_utc_ms)
    if now_w is None:
        return usual or 0
    if usual is None:
        return now_w
    unusual_w = 0 if usual_now is None else now_w - usual_now
    return max(0, round(usual + unusual_w * exp(-ahead_ms / LOAD_FADE_MS)))


def usual_w(means_w: Mapping[int, int], at_utc_ms: int) -> int | None:
    """Mean of the same quarter on the newest like days (working days, or Saturday and Sunday); else of any days."""
    quarter = at_utc_ms // QUARTER_MS * QUARTER_MS
    days = [quarter - back * DAY_MS for back in range(1, DAYS_BACK + 1)]
    like = [means_w[day] for day in days if day in means_w and _is_weekend(day) == _is_weekend(quarter)]
    found = like[:DAYS_USED] or [means_w[day] for day in days if day in means_w][:DAYS_USED]
    return round(sum(found) / len(found)) if found else None


def _is_weekend(utc_ms: int) -> bool:
    return (utc_ms // DAY_MS + 3) % 7 >= 5  # 1 January 1970 was a Thursday


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where the site is, degrees; north and east positive."""

    latitude_deg: float
    longitude_deg: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SunIndex:
    """What PV gives against the clear sky on level ground: today, and usually. 0..1.2. seen_utc_ms: last looked."""

    today: float = INDEX_USUAL
    usual: float = INDEX_USUAL
    seen_utc_ms: int | None = None

    def seen(self, power_w: int, *, rated_w: int, utc_ms: int, place: Place, curtailed: bool) -> SunIndex:
        """Take one measurement of all PV. One that is curtailed can only show that there is more than thought."""
        clear_w = _clear_w(utc_ms, rated_w, place)
        if rated_w <= 0 or clear_w * 1000 < INDEX_PERMILLE_MIN * rated_w:
            return self
        index = min(max(0.0, power_w / clear_w), INDEX_MAX)
        if curtailed and index <= self.today:
            return self
        if self.seen_utc_ms is None:
            return replace(self, today=index, seen_utc_ms=utc_ms)
        since_ms = min(max(0, utc_ms - self.seen_utc_ms), GAP_MS_MAX)
        today = index + (self.today - index) * exp(-since_ms / TODAY_MS)
        usual = self.usual if curtailed else index + (self.usual - index) * exp(-since_ms / USUAL_MS)
        return replace(self, today=today, usual=usual, seen_utc_ms=utc_ms)


def solar_forecast(
    index: SunIndex, *, rated_w: int, utc_ms: int, place: Place, steps: int, step_ms: int = QUARTER_MS
) -> tuple[int, ...]:
    """W that all PV together could give, per step from utc_ms on, at the middle of the step."""
    found = []
    for step in range(steps):
        ahead_ms = step * step_ms
        now = index.usual + (index.today - index.usual) * exp(-ahead_ms / INDEX_FADE_MS)
        clear_w = _clear_w(utc_ms + ahead_ms + step_ms // 2, rated_w, place)
        found.append(min(rated_w, round(clear_w * now)))
    return tuple(found)


def _clear_w(utc_ms: int, rated_w: int, place: Place) -> float:
    shine = clear_sky_w_per_m2(utc_ms, latitude_deg=place.latitude_deg, longitude_deg=place.longitude_deg)
    return rated_w * shine / 1000.0


def solar_persistence(
    means_w: Mapping[int, int], *, utc_ms: int, steps: int, step_ms: int = QUARTER_MS
) -> tuple[int, ...]:
    """PV of a site that does not say where it is: the mean of the same quarter on the newest days, 0 without any."""
    return tuple(_recent_w(means_w, utc_ms + step * step_ms) for step in range(steps))


def _recent_w(means_w: Mapping[int, int], at_utc_ms: int) -> int:
    quarter = at_utc_ms // QUARTER_MS * QUARTER_MS
    days: Sequence[int] = [quarter - back * DAY_MS for back in range(1, DAYS_BACK + 1)]
    found = [means_w[day] for day in days if day in means_w][:DAYS_USED]
    return round(sum(found) / len(found)) if found else 0
