"""What energy that is left in a battery at the end of the horizon is worth: what it saves in the time after.

    prices of the day, taken to come again ──> the dearest time at which it could be used before it could be bought
                                               cheaper ──> price per MWh stored

Energy that stays is used at a time t after the horizon, if it is not cheaper to buy it between the end and t. So it is
worth the highest, over all t, of min(price at t, lowest price until t), losses and wear counted. Where the sun gives
more than is used, energy costs what its export would have earned. Pure.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from math import ceil

from dgm.ems.planner.problem import Battery

DAY_STEPS = 96
"""Quarter hours of a day: prices are taken to come again after that."""

STAYS = 1
"""Per MWh more than that: what gains nothing by being moved stays where it is."""


def left_price(costs: Sequence[int], batteries: Sequence[Battery], *, wear_price: int) -> int:
    """Per MWh stored at the end, of the battery that loses most. costs: of a MWh in each step of the horizon."""
    one_way = min((battery.efficiency_permille for battery in batteries), default=1000) / 1000
    worth = stored_worth(costs[-DAY_STEPS:], one_way=one_way, wear_price=wear_price)
    return ceil(worth) + STAYS if worth else 0


def costs_of(
    import_price: Sequence[int], load_w: Sequence[int], solar_w: Sequence[int], *, export_price: int
) -> tuple[int, ...]:
    """What a MWh more costs in each step: its import, or, of sun that nobody uses, what its export would earn."""
    return tuple(
        min(price, export_price) if sun_w > used_w else price
        for price, used_w, sun_w in zip(import_price, load_w, solar_w, strict=True)
    )


def stored_worth(costs: Sequence[int], *, one_way: float, wear_price: int) -> float:
    """Per MWh stored at the begin of these steps. one_way: efficiency; half of the wear is counted each way."""
    wear = wear_price / 2
    cheapest = accumulate(costs, min)
    # Used in this step, or bought in the cheapest one before it: whichever is less is what having it is worth.
    worth = [min((cost - wear) * one_way, (low + wear) / one_way) for cost, low in zip(costs, cheapest, strict=True)]
    return max(0.0, *worth)
