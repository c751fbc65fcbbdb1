"""The site.yaml of a simulated site, as a document: what the product is told of the world that the timeline describes.

Timeline + Endpoints (where the simulated devices and servers listen) ──> site_document ──> YAML text, or config.parse
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from dgm.sim.timeline import EvsePlan, Timeline

ROOT = "grid"
FEEDERS = 4
FEEDER_MA_PER_100_EVSES = 250_000
FEEDER_MA_LEAST = 64_000
HOST = "127.0.0.1"
PIN = "111115"
PEN = 37244


@dataclass(frozen=True, slots=True, kw_only=True)
class UtilityEndpoint:
    """The utility server and the files to talk to it."""

    url: str
    certificate: str
    private_key: str
    ca: str
    facade_port: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoints:
    """Where things listen. modbus: port by device name (meter, pv-1, pv-2, battery). metrics 0: no listener."""

    run_dir: str
    modbus: dict[str, int]
    csms_urls: dict[str, str]
    ocpp_port: int
    ocpp_facade_port: int
    metrics_ports: tuple[int, int, int]
    utility: UtilityEndpoint | None


def site_document(timeline: Timeline, endpoints: Endpoints) -> dict[str, Any]:
    """All sections of site.yaml."""
    ems, der, ocpp = endpoints.metrics_ports
    document = {
        "site": {
            "id": "demo",
            "name": f"Simulated site, {len(timeline.evses)} EVSEs",
            "state_dir": "state",
            "run_dir": endpoints.run_dir,
        },
        "circuits": _circuits(timeline),
        "assets": _assets(timeline, endpoints),
        "cpos": [{"id": cpo_id, "url": url} for cpo_id, url in endpoints.csms_urls.items()],
        "stations": [_station(evse, index) for index, evse in enumerate(timeline.evses)],
        "ems": {"setpoint_ttl_ms": 10_000},
        "ocpp": {
            "host": HOST,
            "port": endpoints.ocpp_port,
            "profile_lease_s": 60,
            "trigger_interval_s": 3,
            "facade": {"host": HOST, "port": endpoints.ocpp_facade_port},
        },
        "api": {"metrics_port_ems": ems, "metrics_port_der": der, "metrics_port_ocpp": ocpp},
    }
    if endpoints.utility is not None:
        document["der"] = _der(timeline, endpoints.utility)
    return document


def _der(timeline: Timeline, utility: UtilityEndpoint) -> dict[str, Any]:
    plant = timeline.site.plant
    return {
        "url": utility.url,
        "certificate": utility.certificate,
        "private_key": utility.private_key,
        "ca": utility.ca,
        "pin": PIN,
        "poll_s": timeline.poll_s,
        "site_rating_w": plant.battery_power_w + plant.pv_rated_w * plant.pv_count,
        "battery_charge_rating_w": plant.battery_power_w,
        "pen": PEN,
        "facade": {"host": HOST, "port": utility.facade_port},
    }


def _circuits(timeline: Timeline) -> list[dict[str, Any]]:
    size = timeline.site
    feeder_ma = max(FEEDER_MA_LEAST, FEEDER_MA_PER_100_EVSES * len(timeline.evses) // 100)
    root = {
        "id": ROOT,
        "import_limit_w": size.import_w,
        "export_limit_w": size.export_w,
        "current_limit_ma": size.service_ma,
        "meter": "meter",
        "max_uncontrolled_w": size.plant.building_max_w,
        "min_uncontrolled_w": size.plant.building_min_w,
    }
    feeders = [
        {"id": f"feeder-{index + 1}", "parent": ROOT, "current_limit_ma": feeder_ma, "max_uncontrolled_w": 0}
        for index in range(FEEDERS)
    ]
    return [root, *feeders]


def _assets(timeline: Timeline, endpoints: Endpoints) -> list[dict[str, Any]]:
    size = timeline.site
    plant = size.plant

    def modbus(name: str) -> dict[str, Any]:
        return {"host": HOST, "port": endpoints.modbus[name], "unit_id": 1, "poll_interval_ms": 100}

    inverters = [
        {
            "id": f"pv-{index + 1}",
            "type": "PV",
            "circuit": ROOT,
            "power_max_w": plant.pv_rated_w,
            "revert_w": min(plant.pv_rated_w, (size.export_w + plant.building_min_w) // plant.pv_count),
            "revert_s": 30,
            "modbus": modbus(f"pv-{index + 1}"),
        }
        for index in range(plant.pv_count)
    ]
    battery = {
        "id": "battery",
        "type": "BATTERY",
        "circuit": ROOT,
        "power_max_w": plant.battery_power_w,
        "energy_wh": plant.battery_energy_wh,
        "bridge_reserve_w": size.bridge_reserve_w,
        "revert_w": 0,
        "revert_s": 30,
        "modbus": modbus("battery"),
    }
    return [{"id": "meter", "type": "METER", "circuit": ROOT, "modbus": modbus("meter")}, *inverters, battery]


MERGED = (2, 4)
"""Of ten stations: one of 2.0.1 and one of 2.1 whose CPO's profiles the site merges with its own."""


def _station(evse: EvsePlan, index: int) -> dict[str, Any]:
    merged = {"enforcement": "merge"} if index % 10 in MERGED and evse.station.subprotocol != "ocpp1.6" else {}
    return {
        **merged,
        "id": evse.station.id,
        "cpo": evse.cpo_id,
        "evses": [
            {
                "id": evse.id,
                "connector_id": evse.connector_id,
                "circuit": f"feeder-{index % FEEDERS + 1}",
                "phases": [f"L{phase}" for phase in evse.grid_phases],
                "current_max_ma": evse.current_max_ma,
                "fallback_ma": evse.fallback_ma,
            }
        ],
    }
