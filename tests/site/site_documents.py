"""A site as a document that a test changes in one place, read as site.yaml is."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import yaml

from dgm import config as site_config
from dgm.api.config.v1.config_pb2 import DgmConfig

Document = dict[str, Any]
Change = Callable[[Document], object]

THREE = ["L1", "L2", "L3"]

SITE: Document = {
    "site": {
        "id": "s",
        "name": "S",
        "power_factor_floor_permille": 950,
        "upstream_failsafe_s": 300,
        "dr_promise": {"power_w": 150_000, "duration_s": 7200},
        "drilled_on": "2026-06-01",
    },
    "circuits": [
        {
            "id": "grid",
            "import_limit_w": 475_000,
            "export_limit_w": 150_000,
            "current_limit_ma": 722_000,
            "service_va": 500_000,
            "approved_export_w": 150_000,
            "meter": "m",
            "max_uncontrolled_w": 180_000,
            "min_uncontrolled_w": 60_000,
        },
        {
            "id": "feeder",
            "parent": "grid",
            "current_limit_ma": 200_000,
            "breaker_ma": 250_000,
            "max_uncontrolled_w": 0,
        },
    ],
    "assets": [
        {"id": "m", "type": "METER", "circuit": "grid", "modbus": {"host": "127.0.0.1", "port": 1502}},
        {
            "id": "pv",
            "type": "PV",
            "circuit": "grid",
            "power_max_w": 200_000,
            "revert_w": 200_000,
            "modbus": {"host": "127.0.0.1", "port": 1503},
        },
        {
            "id": "battery",
            "type": "BATTERY",
            "circuit": "grid",
            "power_max_w": 250_000,
            "energy_wh": 500_000,
            "modbus": {"host": "127.0.0.1", "port": 1504},
        },
    ],
    "cpos": [{"id": "a", "url": "ws://127.0.0.1:9100/ocpp"}],
    "stations": [],
    "ocpp": {"host": "127.0.0.1", "port": 9000},
}
"""The larger half of RS-1: 500 kVA, PV 200 kW, a battery of 250 kW and 500 kWh. No cars yet."""


def evse(number: int, *, phases: list[str] | None = None, circuit: str = "feeder", **fields: Any) -> Document:
    """A station with one EVSE of 16 A and a fallback of 6 A."""
    phases = phases or THREE[number % 3 :] + THREE[: number % 3]
    given = {"current_max_ma": 16_000, "fallback_ma": 6_000, **fields}
    one = {"id": f"e{number}", "connector_id": 1, "circuit": circuit, "phases": phases}
    one |= {name: value for name, value in given.items() if value is not None}
    return {"id": f"st{number}", "cpo": "a", "evses": [one]}


def site(*changes: Change, evses: int = 12) -> DgmConfig:
    """The site with so many EVSEs on its feeder, then changed."""
    document = copy.deepcopy(SITE)
    document["stations"] = [evse(number) for number in range(evses)]
    for change in changes:
        change(document)
    return site_config.parse(yaml.safe_dump(document), source="test")
