"""A day of plans one after another, each from what was known then, against a plan that knew the day beforehand."""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import replace

from dgm.ems.planner.clear_sky import DAY_MS
from dgm.ems.planner.forecast import QUARTER_MS, load_forecast
from dgm.ems.planner.problem import Battery, Problem
from dgm.ems.planner.solve import solve

MONDAY = 1_774_828_800_000  # 30 March 2026, 0 h UTC
QUARTERS = 96
HOURS = 0.25
CHEAP, DEAR = 100, 300
PEAK_PRICE = 1_000
"""Per MW: a month's demand charge shared out over its days is of this order."""

PRICES = tuple(DEAR if 28 <= at % QUARTERS < 84 else CHEAP for at in range(2 * QUARTERS))
"""07:00 to 21:00 are dear."""

BATTERY = Battery(
    asset_id="b1", soc_wh=100_000, min_wh=100_000, max_wh=450_000, charge_max_w=100_000, discharge_max_w=100_000
)


def loads(seed: int) -> dict[int, int]:
    """Quarter means of three weeks of an office, no day like the other: work from 7 to 18, weekends low, noise."""
    draw = random.Random(seed)
    found = {}
    for day in range(-14, 2):
        busy = draw.uniform(0.85, 1.15)
        weekend = day % 7 >= 5
        for at in range(QUARTERS):
            working = 28 <= at < 72 and not weekend
            base_w = (95_000 if working else 35_000) * busy
            found[MONDAY + day * DAY_MS + at * QUARTER_MS] = round(base_w * draw.uniform(0.9, 1.1))
    return found


def horizon(load_w: tuple[int, ...], begin: int, battery: Battery, peak_w: int = 0) -> Problem:
    steps = len(load_w)
    return Problem(
        utc_ms=MONDAY + begin * QUARTER_MS,
        step_ms=QUARTER_MS,
        nominal_voltage_mv=230_000,
        load_w=load_w,
        solar_w=(0,) * steps,
        import_max_w=(400_000,) * steps,
        export_max_w=(0,) * steps,
        import_price=PRICES[begin : begin + steps],
        export_price=(0,) * steps,
        batteries=(battery,),
        peak_w=peak_w,
        peak_price=PEAK_PRICE,
        left_price=80,
    )


def cost_of(imports_w: Iterable[int]) -> float:
    """Energy and the highest quarter of a day."""
    imported = [max(0, one) for one in imports_w]
    energy = sum(one * HOURS / 1e6 * price for one, price in zip(imported, PRICES, strict=False))
    return energy + max(imported) / 1e6 * PEAK_PRICE


def lived(actual: dict[int, int]) -> tuple[float, int]:
    """Cost of the day and what is stored after it, planning anew each quarter and knowing nothing of what comes."""
    battery, imports_w = BATTERY, [0]
    for at in range(QUARTERS):
        now = MONDAY + at * QUARTER_MS
        known = {start: mean for start, mean in actual.items() if start < now}
        forecast_w = load_forecast(known, utc_ms=now, now_w=actual[now], steps=QUARTERS)
        plan = solve(horizon(forecast_w, at, battery, max(imports_w)))
        power_w = plan.battery_w[0][0]
        one_way = battery.efficiency_permille / 1000
        stored = power_w * one_way if power_w > 0 else power_w / one_way
        battery = replace(battery, soc_wh=round(battery.soc_wh + stored * HOURS))
        imports_w.append(actual[now] + power_w)
    return cost_of(imports_w[1:]), battery.soc_wh


def test_a_day_of_forecasts_saves_most_of_what_knowing_the_day_would_save() -> None:
    shares = []
    for seed in (1, 2):
        actual = loads(seed)
        day = tuple(actual[MONDAY + at * QUARTER_MS] for at in range(QUARTERS))
        perfect = solve(horizon(day, 0, BATTERY))
        could_w = cost_of(day) - cost_of(perfect.import_w)
        cost, left_wh = lived(actual)
        # What the forecasting day has bought for the next one counts at what it cost.
        saved = cost_of(day) - (cost - (left_wh - perfect.soc_wh[0][-1]) / 1e6 * CHEAP / 0.95)
        shares.append(saved / could_w)
    assert min(shares) >= 0.65, shares
    assert max(shares) <= 1.001, "nothing beats knowing the day"
