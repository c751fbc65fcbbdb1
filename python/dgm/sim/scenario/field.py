"""Circuits of the site that have meters of their own: what flows there, from what the cars below draw.

Fleet ──currents of the EVSEs of each circuit──> Feeders ──> image rows of their meters, trace
"""

from __future__ import annotations

from array import array
from collections.abc import Mapping

from dgm import _core
from dgm.api.config.v1.config_pb2 import DgmConfig
from dgm.api.site.v1.site_pb2 import AssetType, Quality
from dgm.sim.field import FREQUENCY_MHZ, Field
from dgm.sim.fleet import Fleet
from dgm.sim.plant import Plant

VOLTAGE_MV = 230_000
_GOOD = int(Quality.QUALITY_GOOD)
Amps = tuple[float, float, float]


class Feeders:
    """Currents per phase of every circuit below the connection point, which carry EVSEs and nothing else."""

    def __init__(self, config: DgmConfig, fleet: Fleet, feeder_of: Mapping[str, str]) -> None:
        self.limits_a = {
            one.id: one.current_limit_ma / 1000
            for one in config.circuits
            if one.parent and one.HasField("current_limit_ma")
        }
        self._names = [one.id for one in config.circuits if one.parent]
        self._ports = [
            (feeder_of[plan.id], plan, port)
            for line in fleet.lines
            for plan, port in zip(line.plans, line.ports, strict=True)
            if plan.id in feeder_of
        ]

    def amps(self) -> dict[str, Amps]:
        """A per phase of each circuit, by id."""
        found = {name: [0.0, 0.0, 0.0] for name in self._names}
        for name, plan, port in self._ports:
            if port.car is not None:
                for phase in plan.grid_phases[: port.phases]:
                    found[name][phase - 1] += port.car.current_ma / 1000
        return {name: (amps[0], amps[1], amps[2]) for name, amps in found.items()}


class MeteredField(Field):
    """The field of the world with the meters of its circuits."""

    def __init__(self, config: DgmConfig, plant: Plant, evse_count: int, feeders: Feeders) -> None:
        super().__init__(config, plant, evse_count)
        self._feeders = feeders
        self._circuit_of = {one.meter: one.id for one in config.circuits if one.parent and one.meter}
        self._places = [
            (at, self._circuit_of[asset.id])
            for at, asset in enumerate(config.assets)
            if asset.type == AssetType.ASSET_TYPE_METER and asset.id in self._circuit_of
        ]

    def image(self) -> array[int]:
        """As the field's, with a row of its own for the meter of each circuit."""
        words = super().image()
        amps = self._feeders.amps()
        width = len(_core.IMAGE_COLUMNS)
        for at, name in self._places:
            words[at * width : (at + 1) * width] = array("q", _row(amps[name]))
        return words


def _row(amps: Amps) -> list[int]:
    absent = _core.ABSENT64
    power_w = round(sum(amps) * VOLTAGE_MV / 1000)
    currents = [round(amp * 1000) for amp in amps]
    return [_GOOD, 0, power_w, absent, *currents, *[VOLTAGE_MV] * 3, FREQUENCY_MHZ, absent, absent, absent]
