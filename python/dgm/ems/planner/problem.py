"""What a plan is made from, and the plan: plain numbers, so that both can cross to another process.

    forecasts, prices, limits, batteries, cars ──Problem──> solve ──Plan──> weights, caps, a battery target

Steps are equal and begin at utc_ms. W into the thing named, Wh, prices per MWh of the site's currency. A Plan is a
wish: the Arbiter grants, and every limit holds without it.
"""

from __future__ import annotations

from dataclasses import dataclass

PHASES = (1, 2, 3)


@dataclass(frozen=True, slots=True, kw_only=True)
class Battery:
    """One battery. soc_wh: stored now; min_wh, max_wh: where it may go; efficiency_permille: of one way."""

    asset_id: str
    soc_wh: int
    min_wh: int
    max_wh: int
    charge_max_w: int
    discharge_max_w: int
    efficiency_permille: int = 950


@dataclass(frozen=True, slots=True, kw_only=True)
class Car:
    """One car with a stated need. departs_ms: from the begin of the plan. phases: 1, 2, 3 of the site.

    power_min_w: it is planned at this or more, or not at all.
    """

    asset_id: str
    due_wh: int
    departs_ms: int
    power_max_w: int
    phases: tuple[int, ...]
    power_min_w: int = 0

    def share(self, step: int, step_ms: int) -> float:
        """How much of a step it is there: 0..1. What it draws in its last step is a mean over the whole step."""
        return min(1.0, max(0.0, (self.departs_ms - step * step_ms) / step_ms))


@dataclass(frozen=True, slots=True, kw_only=True)
class Feeder:
    """What stands below one circuit may draw together: W of cars and battery charge, and mA of cars per phase.

    Each per step; None: not bounded.
    """

    circuit_id: str
    cars: tuple[int, ...]
    power_w: tuple[int, ...] | None = None
    current_ma: tuple[int, ...] | None = None
    batteries: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One horizon. Per step: load_w, solar_w (could be given), import_max_w, export_max_w, import_price, export_price.

    load_w holds all that the plan does not decide, cars without a need included. peak_w: highest import that is paid
    for anyway; peak_price: per MW above it. nominal_voltage_mv: phase to neutral. wear_price: per MWh in and out of a
    battery. left_price: what a MWh in a battery is worth at the end. phase_max_ma: per step, of each conductor of the
    connection point; empty: not bounded. unbalance_w: on each conductor, beyond a third of what the plan does not
    decide.
    """

    utc_ms: int
    step_ms: int
    nominal_voltage_mv: int
    load_w: tuple[int, ...]
    solar_w: tuple[int, ...]
    import_max_w: tuple[int, ...]
    export_max_w: tuple[int, ...]
    import_price: tuple[int, ...]
    export_price: tuple[int, ...]
    batteries: tuple[Battery, ...] = ()
    cars: tuple[Car, ...] = ()
    feeders: tuple[Feeder, ...] = ()
    peak_w: int = 0
    peak_price: int = 0
    wear_price: int = 20
    left_price: int = 0
    phase_max_ma: tuple[int, ...] = ()
    unbalance_w: tuple[int, int, int] = (0, 0, 0)

    @property
    def steps(self) -> int:
        """How many there are."""
        return len(self.load_w)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is wanted. battery_w, car_w: per battery or car, then per step; soc_wh: at the end of each step.

    short_wh: of each car's need that does not fit before its departure. over_w: per step, import beyond the limit, or
    on one conductor, that nothing the plan decides can avoid. status: "optimal", else why there is nothing in it.
    solve_us: what it took.
    """

    utc_ms: int
    step_ms: int
    status: str
    battery_ids: tuple[str, ...] = ()
    car_ids: tuple[str, ...] = ()
    battery_w: tuple[tuple[int, ...], ...] = ()
    soc_wh: tuple[tuple[int, ...], ...] = ()
    car_w: tuple[tuple[int, ...], ...] = ()
    import_w: tuple[int, ...] = ()
    curtailed_w: tuple[int, ...] = ()
    short_wh: tuple[int, ...] = ()
    over_w: tuple[int, ...] = ()
    solve_us: int = 0

    @property
    def is_optimal(self) -> bool:
        """Whether there is anything in it."""
        return self.status == OPTIMAL

    @property
    def end_utc_ms(self) -> int:
        """When its last step ends."""
        return self.utc_ms + self.step_ms * len(self.import_w)

    def step_at(self, utc_ms: int) -> int | None:
        """The step that holds an instant, None: it is outside of the plan."""
        step = (utc_ms - self.utc_ms) // self.step_ms
        return step if 0 <= step < len(self.import_w) else None


OPTIMAL = "optimal"
