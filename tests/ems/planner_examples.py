"""Problems of a few hours that can be reckoned by hand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from dgm.ems.planner.problem import Battery, Car, Feeder, Problem

HOUR_MS = 3_600_000

BATTERY = Battery(
    asset_id="b1",
    soc_wh=20_000,
    min_wh=10_000,
    max_wh=40_000,
    charge_max_w=10_000,
    discharge_max_w=10_000,
    efficiency_permille=1000,
)


def problem(
    *,
    load_w: Sequence[int],
    solar_w: Sequence[int] | None = None,
    import_max_w: int = 1_000_000,
    export_max_w: int = 0,
    price: Sequence[int] | None = None,
    **fields: object,
) -> Problem:
    """Hours of this load; no sun, no export and one price unless said otherwise."""
    count, prices = len(load_w), tuple(price or [100] * len(load_w))
    base = Problem(
        utc_ms=0,
        step_ms=HOUR_MS,
        nominal_voltage_mv=230_000,
        load_w=tuple(load_w),
        solar_w=tuple(solar_w or [0] * count),
        import_max_w=(import_max_w,) * count,
        export_max_w=(export_max_w,) * count,
        import_price=prices,
        export_price=(0,) * count,
        left_price=max(0, 8 * min(prices) // 10),
    )
    return replace(base, **fields)  # type: ignore[arg-type]


def car(
    name: str = "e1",
    *,
    due_wh: int,
    hours: float,
    power_w: int = 11_000,
    phases: Sequence[int] = (1, 2, 3),
    min_w: int = 0,
) -> Car:
    """A car that leaves after so many hours."""
    return Car(
        asset_id=name,
        due_wh=due_wh,
        departs_ms=round(hours * HOUR_MS),
        power_max_w=power_w,
        phases=tuple(phases),
        power_min_w=min_w,
    )


def feeder(cars: Sequence[int], *, power_w: int | None = None, current_ma: int | None = None, steps: int = 1) -> Feeder:
    """A circuit above these cars."""
    return Feeder(
        circuit_id="garage",
        cars=tuple(cars),
        power_w=None if power_w is None else (power_w,) * steps,
        current_ma=None if current_ma is None else (current_ma,) * steps,
    )
