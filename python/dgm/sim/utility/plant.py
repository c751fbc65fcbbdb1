"""A made-up site behind a 2030.5 client under test: it does at once what the client holds of the utility's limits.

    limits in force ──> SitePlant ──> WatchSiteResponse ──> the client's readings and DERStatus

For the conversation alone: no ramps, no inverters, no chargers. The circuit is "grid"; the assets are "meter", "pv-1"
and "battery", as in SITE.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dgm.api.site.v1.site_pb2 import CircuitState, PhaseValues, Quality, Sample, WatchSiteResponse

SITE_STEP_MS = 5_000
"""How often the site is seen."""
LOAD_STEPS = 12
"""Of the site, until a variable load changes."""
SITE = """
site: {id: conversation, name: Conversation, state_dir: state, run_dir: run}
circuits:
  - {id: grid, import_limit_w: 500000, current_limit_ma: 800000, export_limit_w: 100000, meter: meter,
      max_uncontrolled_w: 20000, min_uncontrolled_w: 0}
assets:
  - {id: meter, type: METER, circuit: grid, modbus: {host: 127.0.0.1, port: 5020, unit_id: 1}}
  - {id: pv-1, type: PV, circuit: grid, power_max_w: 100000, revert_w: 0,
      modbus: {host: 127.0.0.1, port: 5021, unit_id: 1}}
  - {id: battery, type: BATTERY, circuit: grid, power_max_w: 50000, energy_wh: 100000, revert_w: 0,
      modbus: {host: 127.0.0.1, port: 5022, unit_id: 1}}
der: {url: "https://127.0.0.1:1/dcap", certificate: device.pem, private_key: device.key, ca: root.pem, poll_s: 60,
  site_rating_w: 150000, battery_charge_rating_w: 50000}
"""
"""A site.yaml for a client under test; the caller fills in `der`."""


@dataclass(slots=True, kw_only=True)
class SitePlant:
    """Generation, load and a battery at rest. Powers are W; what it could do, and what the bounds leave of it.

    is_connected: False when somebody has opened the switch of the plant; then its terminals have no voltage.
    """

    generation_w: int = 0
    load_w: int = 0
    load_steps_w: tuple[int, ...] = ()
    is_connected: bool = True

    def seen(self, bounds: Mapping[str, int], step: int) -> WatchSiteResponse:
        """What the site shows while these bounds hold."""
        load_w = self.load_steps_w[step // LOAD_STEPS % len(self.load_steps_w)] if self.load_steps_w else self.load_w
        load_w = min(
            load_w, bounds.get("opModLoadLimW", load_w), self.generation_w + bounds.get("opModImpLimW", load_w)
        )
        most_w = min(bounds.get("opModGenLimW", self.generation_w), bounds.get("opModExpLimW", 10**9) + load_w)
        most_w = min(most_w, *(bounds.get(mode, most_w) for mode in ("opModEnergize", "opModConnect")))
        made_w = min(self.generation_w, most_w) if self.is_connected else 0
        load_w = min(load_w, made_w + bounds.get("opModImpLimW", load_w))
        return _update(net_w=load_w - made_w, made_w=made_w, is_connected=self.is_connected)


def _update(*, net_w: int, made_w: int, is_connected: bool) -> WatchSiteResponse:
    good: dict[str, Any] = {"quality": Quality.QUALITY_GOOD, "reactive_var": 0}
    grid = PhaseValues(l1=230_100, l2=230_200, l3=230_300)
    plant = {**good, "voltage_mv": grid if is_connected else PhaseValues(l1=0, l2=0, l3=0)}
    return WatchSiteResponse(
        snapshot=True,
        samples=[
            Sample(asset_id="meter", power_w=net_w, voltage_mv=grid, **good),
            Sample(asset_id="pv-1", power_w=-made_w, **plant),
            Sample(asset_id="battery", power_w=0, soc_permille=634, **plant),
        ],
        circuits=[CircuitState(circuit_id="grid", net_power_w=net_w)],
    )
