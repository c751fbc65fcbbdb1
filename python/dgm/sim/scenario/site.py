"""The reference site RS-1 of the acceptance scenarios: what stands there, and the site.yaml that says so.

    500 kVA, 722 A ── import 475 kW, export 150 kW
      ├─ building 60 to 180 kW, PV 2 x 100 kW, battery 250 kW / 500 kWh (20 to 90 %; 100 kW of it never lent)
      ├─ 4 AC feeders, 250 A breakers, metered: 60 x 11 kW (CPO A) and 40 x 22 kW (CPO B), by turns
      └─ a DC feeder, 630 A breaker at 80 %, metered: 4 x 150 kW (CPO C)

Fallbacks with nobody alive: 6 A at the 11 kW points, 0 A elsewhere, so that the sum stays below the import limit.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import yaml

from dgm import config as site_config
from dgm.api.config.v1.config_pb2 import DgmConfig
from dgm.api.config.v1.scenario_pb2 import ScenarioWorld
from dgm.sim.connector import ConnectorPlan
from dgm.sim.plant import PlantConfig
from dgm.sim.station import StationPlan
from dgm.sim.timeline import EventPlan, EvsePlan, SiteSize, Timeline

RS_1 = "rs-1"
ROOT = "grid"
IMPORT_W, EXPORT_W, SERVICE_MA, SERVICE_VA = 475_000, 150_000, 722_000, 500_000
BUILDING_MIN_W, BUILDING_MAX_W = 60_000, 180_000
PV_W, PV_COUNT = 100_000, 2
BATTERY_W, BATTERY_WH, BRIDGE_RESERVE_W = 250_000, 500_000, 100_000
SOC_PERMILLE, SOC_MIN_PERMILLE, SOC_MAX_PERMILLE = 600, 200, 900
AC_FEEDERS, AC_BREAKER_MA, DC_BREAKER_MA = 4, 250_000, 630_000
CONTINUOUS_PERMILLE = 800
"""Of a breaker: continuous EV load counts against no more."""
VOLTAGE_MV = 230_000
METER_INTERVAL_S = 10
PORT_FIRST = 1502


@dataclass(frozen=True, slots=True, kw_only=True)
class EvseClass:
    """One kind of EVSE: how many, mA per phase, whose, and its fallback."""

    name: str
    count: int
    current_max_ma: int
    cpo: str
    fallback_ma: int


AC11 = EvseClass(name="ac11", count=60, current_max_ma=16_000, cpo="cpo-a", fallback_ma=6_000)
AC22 = EvseClass(name="ac22", count=40, current_max_ma=32_000, cpo="cpo-b", fallback_ma=0)
DC = EvseClass(name="dc", count=4, current_max_ma=217_000, cpo="cpo-c", fallback_ma=0)
"""150 kW from the grid: what the arbiter grants is AC input."""
CLASSES = (AC11, AC22, DC)
CPOS = ("cpo-a", "cpo-b", "cpo-c")


@dataclass(frozen=True, slots=True, kw_only=True)
class ScenarioSite:
    """A site as the product and as the world see it. feeder_of: circuit of each EVSE; sun_full_w: of all inverters."""

    config: DgmConfig
    timeline: Timeline
    feeder_of: dict[str, str]
    sun_full_w: int


def rs_1(world: ScenarioWorld) -> ScenarioSite:
    """RS-1 with what the scenario changes of it. ConfigError: what it changes does not fit."""
    share = world.evses / sum(one.count for one in CLASSES) if world.HasField("evses") else 1.0
    counts = {one.name: max(1, round(one.count * share)) for one in CLASSES}
    evses = [_evse(one, number) for one in CLASSES for number in range(counts[one.name])]
    document = _document(world, evses)
    config = site_config.parse(yaml.safe_dump(document), source="RS-1 as the scenario has it")
    # What is given replaces what the site has; lists are replaced whole.
    if world.ems.policies:
        del config.ems.policies[:]
    config.ems.MergeFrom(world.ems)
    wired = [_turned(plan) if plan.id in world.wrong_phase_maps else plan for plan in evses]
    return ScenarioSite(
        config=config,
        timeline=_timeline(world, wired),
        feeder_of={plan.id: _feeder(plan) for plan in evses},
        sun_full_w=PV_W * PV_COUNT,
    )


def _evse(of: EvseClass, number: int) -> EvsePlan:
    connector = ConnectorPlan(connector_id=1, current_max_ma=of.current_max_ma, phases=3)
    first = number % 3
    return EvsePlan(
        id=f"{of.name}-{number + 1:02d}",
        evse_class=of.name,
        cpo_id=of.cpo,
        station=StationPlan(
            id=f"CP-{of.name.upper()}-{number + 1:02d}",
            vendor="Nordlys",
            model=of.name,
            connectors=(connector,),
            dialect=number,
            voltage_mv=VOLTAGE_MV,
            meter_interval_s=METER_INTERVAL_S,
        ),
        connector_id=1,
        grid_phases=tuple((first + offset) % 3 + 1 for offset in range(3)),
        current_max_ma=of.current_max_ma,
        fallback_ma=of.fallback_ma,
    )


def _feeder(plan: EvsePlan) -> str:
    number = int(plan.id.rsplit("-", 1)[1]) - 1
    return "feeder-dc" if plan.evse_class == DC.name else f"feeder-{number % AC_FEEDERS + 1}"


def _timeline(world: ScenarioWorld, evses: list[EvsePlan]) -> Timeline:
    plant = PlantConfig(
        building_min_w=BUILDING_MIN_W,
        building_max_w=BUILDING_MAX_W,
        pv_rated_w=PV_W,
        pv_count=PV_COUNT,
        irradiance_permille=0,
        battery_power_w=BATTERY_W,
        battery_energy_wh=BATTERY_WH,
        soc_permille=world.soc_permille if world.HasField("soc_permille") else SOC_PERMILLE,
        service_ma=SERVICE_MA,
    )
    size = SiteSize(
        import_w=IMPORT_W,
        export_w=_export_w(world),
        service_ma=SERVICE_MA,
        bridge_reserve_w=BRIDGE_RESERVE_W,
        plant=plant,
    )
    nothing = EventPlan(created_ms=0, start_ms=0, duration_s=0, import_w=IMPORT_W)
    return Timeline(
        seed=1,
        seconds=world.length_s,
        site=size,
        evses=tuple(evses),
        stays=(),
        event=nothing,
        poll_s=world.poll_s if world.HasField("poll_s") else 300,
        csms_call_interval_s=0,
    )


def _export_w(world: ScenarioWorld) -> int:
    return world.export_limit_w if world.HasField("export_limit_w") else EXPORT_W


def _document(world: ScenarioWorld, evses: list[EvsePlan]) -> dict[str, Any]:
    return {
        "site": {"id": "rs-1", "name": "RS-1", "state_dir": "state", "run_dir": "run"},
        "circuits": _circuits(world),
        "assets": _assets(world),
        "cpos": [{"id": cpo, "url": "ws://127.0.0.1:1"} for cpo in CPOS],
        "stations": [_station(plan) for plan in evses],
        "ems": {"setpoint_ttl_ms": 10_000},
        "ocpp": {"host": "127.0.0.1", "port": 9000, "profile_lease_s": 60, "trigger_interval_s": 3},
        "der": {
            "url": "https://127.0.0.1:1/dcap",
            "certificate": "device.pem",
            "private_key": "device.key",
            "ca": "root.pem",
            "pin": "111115",
            "poll_s": world.poll_s if world.HasField("poll_s") else 300,
            "site_rating_w": BATTERY_W + PV_W * PV_COUNT,
            "battery_charge_rating_w": BATTERY_W,
            "pen": 37244,
        },
    }


def _circuits(world: ScenarioWorld) -> list[dict[str, Any]]:
    root = {
        "id": ROOT,
        "import_limit_w": IMPORT_W,
        "export_limit_w": _export_w(world),
        "current_limit_ma": SERVICE_MA,
        "service_va": SERVICE_VA,
        "meter": "meter",
        "max_uncontrolled_w": BUILDING_MAX_W,
        "min_uncontrolled_w": BUILDING_MIN_W,
    }
    breakers = {f"feeder-{index + 1}": AC_BREAKER_MA for index in range(AC_FEEDERS)} | {"feeder-dc": DC_BREAKER_MA}
    feeders = [
        {
            "id": name,
            "parent": ROOT,
            "breaker_ma": breaker_ma,
            "current_limit_ma": breaker_ma * CONTINUOUS_PERMILLE // 1000,
            "meter": f"meter-{name}",
            "max_uncontrolled_w": 0,
            "min_uncontrolled_w": 0,
        }
        for name, breaker_ma in breakers.items()
    ]
    return [root, *feeders]


def _assets(world: ScenarioWorld) -> list[dict[str, Any]]:
    ports = iter(range(PORT_FIRST, PORT_FIRST + 100))

    def modbus() -> dict[str, Any]:
        return {"host": "127.0.0.1", "port": next(ports), "unit_id": 1, "poll_interval_ms": 100}

    feeders = [f"feeder-{index + 1}" for index in range(AC_FEEDERS)] + ["feeder-dc"]
    meters = [{"id": "meter", "type": "METER", "circuit": ROOT, "modbus": modbus()}]
    meters += [{"id": f"meter-{name}", "type": "METER", "circuit": name, "modbus": modbus()} for name in feeders]
    inverters = [
        {
            "id": f"pv-{index + 1}",
            "type": "PV",
            "circuit": ROOT,
            "power_max_w": PV_W,
            "revert_w": min(PV_W, (_export_w(world) + BUILDING_MIN_W) // PV_COUNT),
            "revert_s": 30,
            "modbus": modbus(),
        }
        for index in range(PV_COUNT)
    ]
    battery = {
        "id": "battery",
        "type": "BATTERY",
        "circuit": ROOT,
        "power_max_w": BATTERY_W,
        "energy_wh": BATTERY_WH,
        "soc_min_permille": SOC_MIN_PERMILLE,
        "soc_max_permille": SOC_MAX_PERMILLE,
        "bridge_reserve_w": BRIDGE_RESERVE_W,
        "revert_w": 0,
        "revert_s": 30,
        "modbus": modbus(),
    }
    return [*meters, *inverters, battery]


def _station(plan: EvsePlan) -> dict[str, Any]:
    evse = {
        "id": plan.id,
        "connector_id": plan.connector_id,
        "circuit": _feeder(plan),
        "phases": [f"L{phase}" for phase in plan.grid_phases],
        "current_max_ma": plan.current_max_ma,
        "fallback_ma": plan.fallback_ma,
    }
    return {"id": plan.station.id, "cpo": plan.cpo_id, "evses": [evse]}


def _turned(plan: EvsePlan) -> EvsePlan:
    """The same EVSE, wired one phase further than the site says."""
    return replace(plan, grid_phases=tuple(phase % 3 + 1 for phase in plan.grid_phases))
