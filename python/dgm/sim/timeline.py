"""What happens in the demo, from (EVSE count, seconds, seed): the site, the EVSEs, the cars and the utility's event.

    demo_timeline(...) ──> Timeline: SiteSize, EvsePlan..., CarStay..., EventPlan, poll rates
                              └──> plant_config, fleet_config, csms_config: the JSON of the processes

Sizes are those of the reference site (100 EVSEs behind 475 kW), scaled. Times are ms after the start, so that the demo
may begin when the product is ready. Pure: the same arguments give the same timeline.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from dgm.sim.car import CURRENT_MIN_MA, CarSpec
from dgm.sim.connector import ConnectorPlan
from dgm.sim.draw import Draw
from dgm.sim.plant import PlantConfig
from dgm.sim.station import StationPlan

REFERENCE_EVSES = 100
SUBPROTOCOLS = ("ocpp1.6", "ocpp1.6", "ocpp2.0.1", "ocpp1.6", "ocpp2.1")
"""What the stations speak, in turn: as on a site that grew over the years."""

REFERENCE_SECONDS = 150
SECONDS_MIN = 90
VOLTAGE_V = 230
IMPORT_W, EXPORT_W, SERVICE_MA = 475_000, 150_000, 722_000
BUILDING_MIN_W, BUILDING_MAX_W = 60_000, 110_000
PV_RATED_W, PV_COUNT, IRRADIANCE_PERMILLE = 100_000, 2, 320
BATTERY_W, BATTERY_WH, SOC_PERMILLE = 250_000, 500_000, 600
BRIDGE_RESERVE_W = 100_000
"""Battery power that is kept back and never lent to EVs."""

EVENT_SHARE_PERMILLE = 650
"""The event lowers the import limit to this share, if every car can still have its least current."""

PV_LEAST_PERMILLE = 400
"""Of the PV output without clouds, what is left under a thick one."""

FALLBACK_USE_PERMILLE = 970
LEAST_MARGIN_PERMILLE = 1050
CPO_IDS = ("cpo-a", "cpo-b", "cpo-c")

_CPO_SHARES = (60, 90, 100)
_VENDORS = (("Wallström", "Säule 22"), ("ACME Charge", "Post-11"), ("Électrique SA", "Borne 7"), ("Nordlys", "Hub X"))
_PLUGGED_PERMILLE = 760
_EARLY_PERMILLE = 850


@dataclass(frozen=True, slots=True, kw_only=True)
class EvseClass:
    """A kind of EVSE: phases, installed maximum (mA per phase) and its share of the site (permille)."""

    name: str
    phases: int
    current_max_ma: int
    share_permille: int


CLASSES = (
    EvseClass(name="11kW", phases=3, current_max_ma=16_000, share_permille=600),
    EvseClass(name="22kW", phases=3, current_max_ma=32_000, share_permille=250),
    EvseClass(name="7kW", phases=1, current_max_ma=32_000, share_permille=150),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteSize:
    """The connection and what stands behind it; W, Wh, mA per phase."""

    import_w: int
    export_w: int
    service_ma: int
    bridge_reserve_w: int
    plant: PlantConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class EvsePlan:
    """One EVSE: asset id, class, CPO, station with its one connector, grid phases (1..3) of its own L1, L2, L3.

    `fallback_ma`: what it may draw per phase with nobody alive.
    """

    id: str
    evse_class: str
    cpo_id: str
    station: StationPlan
    connector_id: int
    grid_phases: tuple[int, ...]
    current_max_ma: int
    fallback_ma: int

    @property
    def phases(self) -> int:
        """Number of wired phases."""
        return len(self.grid_phases)


@dataclass(frozen=True, slots=True, kw_only=True)
class CarStay:
    """A car at an EVSE, ms after the start; unplug_ms None: stays to the end."""

    evse_id: str
    car: CarSpec
    plug_ms: int
    unplug_ms: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class EventPlan:
    """The utility's DERControl: import limit from start to end, created before; ms after the start, whole seconds."""

    created_ms: int
    start_ms: int
    duration_s: int
    import_w: int

    @property
    def end_ms(self) -> int:
        """ms after the start."""
        return self.start_ms + self.duration_s * 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeline:
    """The whole demo."""

    seed: int
    seconds: int
    site: SiteSize
    evses: tuple[EvsePlan, ...]
    stays: tuple[CarStay, ...]
    event: EventPlan
    poll_s: int
    csms_call_interval_s: float

    def plant_config(self, *, out_dir: str, max_seconds: float) -> dict[str, Any]:
        """JSON of `dgm.sim.live.plant`."""
        return {"plant": asdict(self.site.plant), "seed": self.seed, "out_dir": out_dir, "max_seconds": max_seconds}

    def fleet_config(
        self, *, out_dir: str, max_seconds: float, gateway_url: str, plant_udp_port: int, start_utc_ms: int
    ) -> dict[str, Any]:
        """JSON of `dgm.sim.live.fleet`. start_utc_ms: the instant that all ms of the timeline count from."""
        return {
            "seed": self.seed,
            "out_dir": out_dir,
            "max_seconds": max_seconds,
            "gateway_url": gateway_url,
            "plant_udp": ["127.0.0.1", plant_udp_port],
            "start_utc_ms": start_utc_ms,
            "evses": [_fleet_evse(evse) for evse in self.evses],
            "stays": [asdict(stay) for stay in self.stays],
        }

    def csms_config(self, cpo_id: str, *, out_dir: str, max_seconds: float) -> dict[str, Any]:
        """JSON of `dgm.sim.live.csms`."""
        return {
            "id": cpo_id,
            "seed": self.seed + CPO_IDS.index(cpo_id),
            "call_interval_s": self.csms_call_interval_s,
            "out_dir": out_dir,
            "max_seconds": max_seconds,
        }


def demo_timeline(*, evse_count: int, seconds: int, seed: int, draw: Draw) -> Timeline:
    """Make the demo. `draw` must be seeded with `seed`; it is drawn from in a fixed order."""
    if evse_count < 1 or seconds < SECONDS_MIN:
        raise ValueError(f"need at least 1 EVSE and {SECONDS_MIN} s, found {evse_count} and {seconds}")
    site = site_size(evse_count)
    evses = _with_fallbacks(_evses(evse_count, draw), site)
    stays = _stays(evses, seconds=seconds, draw=draw)
    return Timeline(
        seed=seed,
        seconds=seconds,
        site=site,
        evses=evses,
        stays=stays,
        event=_event(evses, stays, site, seconds=seconds),
        poll_s=max(2, _scaled_ms(5, seconds) // 1000),
        csms_call_interval_s=_scaled_ms(40, seconds) / 1000.0,
    )


def site_size(evse_count: int) -> SiteSize:
    """The reference site, scaled to the number of EVSEs."""

    def scaled(value: int) -> int:
        return value * evse_count // REFERENCE_EVSES

    return SiteSize(
        import_w=scaled(IMPORT_W),
        export_w=scaled(EXPORT_W),
        service_ma=scaled(SERVICE_MA),
        bridge_reserve_w=scaled(BRIDGE_RESERVE_W),
        plant=PlantConfig(
            building_min_w=scaled(BUILDING_MIN_W),
            building_max_w=scaled(BUILDING_MAX_W),
            pv_rated_w=scaled(PV_RATED_W),
            pv_count=PV_COUNT,
            irradiance_permille=IRRADIANCE_PERMILLE,
            battery_power_w=scaled(BATTERY_W),
            battery_energy_wh=scaled(BATTERY_WH),
            soc_permille=SOC_PERMILLE,
            service_ma=scaled(SERVICE_MA),
        ),
    )


def power_w(current_ma: int, phases: int) -> int:
    """W of a current per phase at nominal voltage, rounded up: it counts as load."""
    return -(-current_ma * phases * VOLTAGE_V // 1000)


def _scaled_ms(reference_s: float, seconds: int) -> int:
    return round(reference_s * 1000 * seconds / REFERENCE_SECONDS)


def _evses(count: int, draw: Draw) -> list[EvsePlan]:
    classes = _spread_classes(count)
    single_phase = 0
    evses = []
    for index, evse_class in enumerate(classes):
        first = index % 3
        if evse_class.phases == 1:
            first = single_phase % 3
            single_phase += 1
        evses.append(
            _evse(index, count, evse_class, first_phase=first, voltage_mv=round(draw.uniform(228_500, 231_500)))
        )
    return evses


def _spread_classes(count: int) -> list[EvseClass]:
    """Classes in proportion at every prefix: each EVSE takes the class that lags its share the most."""
    given = dict.fromkeys(CLASSES, 0)
    chosen = []
    for index in range(count):
        best = max(CLASSES, key=lambda item: item.share_permille * (index + 1) - given[item] * 1000)
        given[best] += 1
        chosen.append(best)
    return chosen


def _evse(index: int, count: int, evse_class: EvseClass, *, first_phase: int, voltage_mv: int) -> EvsePlan:
    vendor, model = _VENDORS[index % len(_VENDORS)]
    connector = ConnectorPlan(connector_id=1, current_max_ma=evse_class.current_max_ma, phases=evse_class.phases)
    share = index * 100 // count
    return EvsePlan(
        id=f"evse-{index + 1:03d}",
        evse_class=evse_class.name,
        cpo_id=next(cpo for cpo, until in zip(CPO_IDS, _CPO_SHARES, strict=True) if share < until),
        station=StationPlan(
            id=f"CP-{index + 1:03d}",
            vendor=vendor,
            model=model,
            connectors=(connector,),
            dialect=index,
            voltage_mv=voltage_mv,
            meter_interval_s=10,
            subprotocol=SUBPROTOCOLS[index % len(SUBPROTOCOLS)],
        ),
        connector_id=1,
        grid_phases=tuple((first_phase + offset) % 3 + 1 for offset in range(evse_class.phases)),
        current_max_ma=evse_class.current_max_ma,
        fallback_ma=0,
    )


def _with_fallbacks(evses: Sequence[EvsePlan], site: SiteSize) -> tuple[EvsePlan, ...]:
    """Give 6 A to as many EVSEs as the connection carries with the building at its most, in W and on each phase."""
    room_w = site.import_w * FALLBACK_USE_PERMILLE // 1000 - site.plant.building_max_w
    building_ma = site.plant.building_max_w * 1000 // (3 * VOLTAGE_V)
    # The building's load is not spread evenly; half as much again on one phase is beyond what it does.
    room_ma = [site.service_ma - building_ma * 3 // 2] * 3
    result = []
    for evse in evses:
        need_w = power_w(CURRENT_MIN_MA, evse.phases)
        fits = need_w <= room_w and all(room_ma[phase - 1] >= CURRENT_MIN_MA for phase in evse.grid_phases)
        if fits:
            room_w -= need_w
            for phase in evse.grid_phases:
                room_ma[phase - 1] -= CURRENT_MIN_MA
        result.append(replace(evse, fallback_ma=CURRENT_MIN_MA if fits else 0))
    return tuple(result)


def _stays(evses: Sequence[EvsePlan], *, seconds: int, draw: Draw) -> tuple[CarStay, ...]:
    """Most cars come in the first 20 s, a few later, none in the last 60 s; some leave after the event has begun."""
    latest_ms = max(_scaled_ms(20, seconds), (seconds - 62) * 1000)
    stays: list[CarStay] = []
    for evse in _chosen(evses, draw):
        early = draw.uniform(0, 1000) < _EARLY_PERMILLE
        first_ms, last_ms = (
            (_scaled_ms(4, seconds), _scaled_ms(18, seconds)) if early else (_scaled_ms(25, seconds), latest_ms)
        )
        plug_ms = round(draw.uniform(first_ms, max(first_ms, min(last_ms, latest_ms))))
        leaves = early and draw.uniform(0, 1000) < 80
        unplug_ms = round(draw.uniform(_scaled_ms(60, seconds), _scaled_ms(125, seconds))) if leaves else None
        stays.append(CarStay(evse_id=evse.id, car=_car(evse, len(stays), draw), plug_ms=plug_ms, unplug_ms=unplug_ms))
    return tuple(stays)


def _chosen(evses: Sequence[EvsePlan], draw: Draw) -> list[EvsePlan]:
    """The EVSEs that get a car, in proportion over the classes; at least one."""
    shuffled = sorted(evses, key=lambda _: draw.uniform(0.0, 1.0))
    chosen: list[EvsePlan] = []
    for evse_class in CLASSES:
        members = [evse for evse in shuffled if evse.evse_class == evse_class.name]
        chosen += members[: -(-len(members) * _PLUGGED_PERMILLE // 1000)]
    return chosen


def _car(evse: EvsePlan, number: int, draw: Draw) -> CarSpec:
    # Three in ten cars at a 22 kW post can take 11 kW only, as in the street.
    small = evse.current_max_ma == 32_000 and evse.phases == 3 and draw.uniform(0, 1000) < 300
    return CarSpec(
        id_tag=f"TAG-é{number:03d}",
        phases=evse.phases,
        current_max_ma=16_000 if small else evse.current_max_ma,
        need_wh=round(draw.uniform(15_000, 60_000)),
        delay_ms=round(draw.uniform(1000, 4000)),
        ramp_ma_per_s=round(draw.uniform(4000, 12_000)),
    )


def _event(evses: Sequence[EvsePlan], stays: Sequence[CarStay], site: SiteSize, *, seconds: int) -> EventPlan:
    """Seen at 10 % of the time, from 20 % to 70 %; as low as every car's 6 A with the battery's help allows."""
    start_ms = _scaled_ms(30, seconds) // 1000 * 1000
    end_ms = _scaled_ms(105, seconds) // 1000 * 1000
    wanted_w = site.import_w * EVENT_SHARE_PERMILLE // 1000
    bearable_w = least_import_w(evses, stays, site) * LEAST_MARGIN_PERMILLE // 1000
    return EventPlan(
        created_ms=_scaled_ms(15, seconds) // 1000 * 1000,
        start_ms=start_ms,
        duration_s=(end_ms - start_ms) // 1000,
        import_w=min(site.import_w, max(wanted_w, bearable_w)),
    )


def least_import_w(evses: Sequence[EvsePlan], stays: Sequence[CarStay], site: SiteSize) -> int:
    """Import needed to give all cars 6 A at once in the worst minute: full building, thick cloud, battery helping."""
    by_id = {evse.id: evse for evse in evses}
    cars_w = sum(power_w(CURRENT_MIN_MA, by_id[stay.evse_id].phases) for stay in stays)
    plant = site.plant
    pv_w = plant.pv_rated_w * plant.pv_count * plant.irradiance_permille // 1000 * PV_LEAST_PERMILLE // 1000
    help_w = plant.battery_power_w - site.bridge_reserve_w
    return max(0, plant.building_max_w + cars_w - pv_w - help_w)


def _fleet_evse(evse: EvsePlan) -> dict[str, Any]:
    return {
        "id": evse.id,
        "evse_class": evse.evse_class,
        "station": asdict(evse.station),
        "connector_id": evse.connector_id,
        "grid_phases": list(evse.grid_phases),
    }
