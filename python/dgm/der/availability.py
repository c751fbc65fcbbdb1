"""DERAvailability: how much more the batteries could give and take now, and for how long (S18 10.10).

    each battery: rating, usable energy, charge ──availability()──> reserve W and % of both directions, seconds

What PV could give beyond what it gives is not known and not counted; neither is reactive power, which no battery of
site.yaml has a rating for. The reserve below soc_min and above soc_max is nobody's. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from dgm.der import resource as r

PERMYRIAD, PERMILLE, HOUR_S = 10_000, 1000, 3600
SECONDS_MAX = 2**32 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Store:
    """One battery now. give_w, take_w: ratings, >= 0. power_w into it. soc, low, high: permille of energy_wh."""

    give_w: int
    take_w: int
    energy_wh: int
    low_permille: int
    high_permille: int
    soc_permille: int
    power_w: int

    @property
    def giveable_wh(self) -> int:
        """What may be taken out before its reserve, rounded down."""
        return self.energy_wh * max(self.soc_permille - self.low_permille, 0) // PERMILLE

    @property
    def takeable_wh(self) -> int:
        """What may be put in before it counts as full, rounded down."""
        return self.energy_wh * max(self.high_permille - self.soc_permille, 0) // PERMILLE


def availability(
    stores: Sequence[Store] | None, time_s: int, *, max_w: int, charge_w: int, is_stopped: bool = False
) -> r.DERAvailability | None:
    """What is in reserve; None: there is no battery, or one is not seen.

    max_w, charge_w: setMaxW and setMaxChargeRateW, which the percentages are of. is_stopped: a control says Energize or
    Connect false, so nothing can be given.
    """
    if not stores:
        return None
    up_w = 0 if is_stopped else sum(_more_out(store) for store in stores)
    down_w = sum(_more_in(store) for store in stores)
    given = [] if is_stopped else [(store.giveable_wh, store.give_w) for store in stores if store.giveable_wh]
    taken = [(store.takeable_wh, store.take_w) for store in stores if store.takeable_wh]
    return r.DERAvailability(
        availability_s=_seconds(given),
        max_charge_s=_seconds(taken),
        reading_s=time_s,
        reserve_charge_permyriad=_share(down_w, charge_w),
        reserve_permyriad=_share(up_w, max_w),
        absorb_available_w=down_w,
        available_w=up_w,
    )


def _more_out(store: Store) -> int:
    """From what it does now to its full output; a battery at its reserve can only stop charging."""
    most_w = store.give_w if store.giveable_wh else 0
    return max(most_w + store.power_w, 0)


def _more_in(store: Store) -> int:
    most_w = store.take_w if store.takeable_wh else 0
    return max(most_w - store.power_w, 0)


def _seconds(stores: Iterable[tuple[int, int]]) -> int:
    """How long all of them hold their full power: until the first has no more. 0: none of them can."""
    times = [energy_wh * HOUR_S // power_w for energy_wh, power_w in stores if power_w > 0]
    return min(min(times, default=0), SECONDS_MAX)


def _share(power_w: int, rating_w: int) -> int | None:
    return min(power_w * PERMYRIAD // rating_w, PERMYRIAD) if rating_w > 0 else None
