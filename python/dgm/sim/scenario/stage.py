"""The world of one run: the site of the scenario, quiet, with its utility, and the trace of what the plant does.

    Task ──> ScenarioSite ──> World + Utility + Feeders ──every 100 ms──> Trace

The runners build on it: `after` plans, `World.actions` and `utility` do, `trace` shows.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from dgm.errors import ConfigError, Problem
from dgm.sim.car import CURRENT_MIN_MA
from dgm.sim.nodes import UtilityNode
from dgm.sim.plant import Reading
from dgm.sim.scenario.field import Feeders, MeteredField
from dgm.sim.scenario.plot import Curve, Panel
from dgm.sim.scenario.site import RS_1, ScenarioSite, rs_1
from dgm.sim.scenario.task import Task
from dgm.sim.scenario.trace import SAMPLE_MS, Trace
from dgm.sim.scenario.utility import Utility
from dgm.sim.world import START_MS, World

UTILITY_MS = 200
SECOND_MS = 1000
CHARGING_MA = CURRENT_MIN_MA - 100
"""A car that draws this is at its least current: half a percent for the meter."""


class Stage:
    """One run. site: what was built; world: where it happens; trace: what it did."""

    def __init__(self, task: Task, site: ScenarioSite | None = None) -> None:
        self.task = task
        self.site = site_of(task) if site is None else site
        self.trace = Trace()
        draw = task.chance(task.seed)
        length_ms = task.world.length_s * 1000
        config = self.site.config
        self.world = World(config, self.site.timeline, draw, seed=task.seed, length_ms=length_ms, is_quiet=True)
        self.feeders = Feeders(config, self.world.fleet, self.site.feeder_of)
        self.world.field = MeteredField(config, self.world.plant, len(self.site.timeline.evses), self.feeders)
        self.utility = Utility(
            config,
            poll_s=self.site.timeline.poll_s,
            now=self.world.now,
            draw=lambda most: most // 2,
            seen=self._seen,
        )
        # It is asked for what the world asks its own; what acts on that one is the script's, on this one.
        self.world.utility = cast(UtilityNode, self.utility)
        self._begin()

    def _begin(self) -> None:
        world, start = self.world, self.task.world
        low_w = self.site.timeline.site.plant.building_min_w
        world.actions.set_building(float(start.building_w if start.HasField("building_w") else low_w))
        self.set_sun(float(start.sun_w))
        for inverter in world.plant.inverters:
            inverter.output_w = min(float(inverter.rated_w), inverter.rated_w * (world.plant.weather.held or 0.0))
        world.agenda.every(UTILITY_MS, self._tell)
        world.agenda.every(SAMPLE_MS, self._sample, first_ms=1)
        world.agenda.every(SECOND_MS, self._second, first_ms=SECOND_MS - 1)

    def _seen(self) -> Reading | None:
        return None if self.world.ems is None else self.world.plant.reading()

    def _tell(self) -> None:
        for request in self.utility.tick(self.world.now):
            self.world.ask(request)

    # Time

    @property
    def elapsed_ms(self) -> int:
        """Since the start of the run."""
        return self.world.agenda.elapsed_ms

    def at_s(self, second: float, action: Callable[[], None]) -> None:
        """At a time of the run."""
        self.world.agenda.at(START_MS + round(second * 1000), action)

    def run(self) -> None:
        """To the end. AssertionError: an invariant broke."""
        self.world.agenda.run_until(START_MS + self.task.world.length_s * 1000)

    # The sun

    def set_sun(self, power_w: float) -> None:
        """What the inverters together could give from now on; each caps at its rating."""
        self.world.actions.set_irradiance(self._fraction(power_w))

    def _fraction(self, power_w: float) -> float:
        """The light at which they could: the roofs do not all look at the sun in the same way."""
        low, high = 0.0, 2.0
        for _ in range(40):
            middle = (low + high) / 2
            low, high = (middle, high) if self._sun_w(middle) < power_w else (low, middle)
        return high

    def _sun_w(self, fraction: float) -> float:
        return sum(
            min(float(inverter.rated_w), inverter.rated_w * fraction * (1.0 - 0.06 * index))
            for index, inverter in enumerate(self.world.plant.inverters)
        )

    # What is seen

    def _sample(self) -> None:
        world, seen = self.world, self.world.plant.reading()
        amps = [abs(amp) for amp in seen.phase_a]
        self.trace.add(
            {
                "net_w": seen.net_w,
                "export_w": -seen.net_w,
                "i1_a": amps[0],
                "i2_a": amps[1],
                "i3_a": amps[2],
                "phase_max_a": max(amps),
                "building_w": seen.building_w,
                "pv_w": sum(seen.pv_w),
                "battery_w": seen.battery_w,
                "discharge_w": -seen.battery_w,
                "ev_w": seen.ev_w,
                "gross_load_w": seen.ev_w + max(0.0, seen.battery_w),
                "gross_generation_w": sum(seen.pv_w) + max(0.0, -seen.battery_w),
                "der_output_w": sum(seen.pv_w) - seen.battery_w,
                "soc_percent": seen.soc_permille / 10,
                "limit_import_w": float(world.import_limit_w),
                "limit_export_w": float(world.export_limit_w),
            }
        )

    def _second(self) -> None:
        ports = [port for line in self.world.lines for port in line.ports]
        wanting = [port for port in ports if port.car is not None and not port.car.is_full]
        extra = self.trace.extra
        extra.setdefault("cars", []).append(float(len(wanting)))
        charging = sum(port.current_ma >= CHARGING_MA for port in wanting)
        extra.setdefault("cars_charging", []).append(float(charging))
        extra.setdefault("says_meter_lost", []).append(float(self._is_meter_lost()))
        worst = 0.0
        for name, amps in self.feeders.amps().items():
            extra.setdefault(f"{name}_a", []).append(max(amps))
            if name in self.feeders.limits_a:
                worst = max(worst, 100 * max(amps) / self.feeders.limits_a[name])
        extra.setdefault("feeder_worst_percent", []).append(worst)

    def _is_meter_lost(self) -> bool:
        """What the product says of the meter of the connection point."""
        decision = None if self.world.ems is None else self.world.ems.decision
        return decision is not None and any(row.meter_lost for row in decision.rows if row.circuit_index == 0)

    def panels(self) -> tuple[Panel, ...]:
        """What a person would look at: connection point, battery, PV, cars."""
        series = self.trace.series
        kilo = {name: [value / 1000 for value in series(name)] for name in KILO}
        size = self.site.timeline.site
        return (
            Panel(
                title="Connection point",
                unit="kW, import positive",
                curves=(
                    Curve(label="net", series=kilo["net_w"]),
                    Curve(label="building", series=kilo["building_w"]),
                    Curve(label="import limit", series=kilo["limit_import_w"], is_bound=True),
                    *_export(kilo, has_export=min(kilo["net_w"], default=0.0) < -1.0),
                ),
            ),
            Panel(
                title="Battery, PV, cars",
                unit="kW",
                curves=(
                    Curve(label="cars", series=kilo["ev_w"]),
                    Curve(label="PV output", series=kilo["pv_w"]),
                    Curve(label="battery (charging positive)", series=kilo["battery_w"]),
                ),
            ),
            Panel(
                title="Currents of the connection point",
                unit="A per phase",
                curves=(
                    *(Curve(label=f"L{phase}", series=series(f"i{phase}_a")) for phase in (1, 2, 3)),
                    Curve(label="limit", series=[size.service_ma / 1000] * self.trace.seconds, is_bound=True),
                ),
            ),
            Panel(
                title="Cars",
                unit="count",
                curves=(
                    Curve(label="that want energy", series=series("cars")),
                    Curve(label="that draw 6 A or more", series=series("cars_charging")),
                ),
            ),
            Panel(title="State of charge", unit="%", curves=(Curve(label="battery", series=series("soc_percent")),)),
        )


KILO = ("net_w", "building_w", "ev_w", "pv_w", "battery_w", "limit_import_w", "limit_export_w")


def _export(kilo: dict[str, list[float]], *, has_export: bool) -> tuple[Curve, ...]:
    if not has_export:
        return ()
    return (Curve(label="export limit", series=[-value for value in kilo["limit_export_w"]], is_bound=True),)


def site_of(task: Task) -> ScenarioSite:
    """What the scenario says that stands there. ConfigError: it cannot be built."""
    asked = task.world.site or RS_1
    if asked != RS_1:
        raise ConfigError([Problem(path="world.site", found=repr(asked), expected=RS_1)], source=task.scenario)
    return rs_1(task.world)
