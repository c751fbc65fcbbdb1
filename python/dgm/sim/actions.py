"""Everything that can happen to a simulated site, each as one method: for a script, a test, or chance.

    scenario's timeline ──┐
    chance (the seed) ────┼──> Actions ──> plant, meter, devices, stations, links, CSMSs, roles, utility
    a test ───────────────┘

EVSEs are named by asset id, stations by station id, devices by asset id. Whatever begins here lasts until it is ended
here; nothing heals by itself unless a time is given. An unknown name raises KeyError.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dgm.sim.car import CarSpec
from dgm.sim.line import Line
from dgm.sim.meter import MeterFault, Wrong
from dgm.sim.station import Plug, Unplug

if TYPE_CHECKING:
    from dgm.sim.world import World


class Actions:
    """See the module; acts on one world, now."""

    def __init__(self, world: World) -> None:
        self._world = world

    def line(self, name: str) -> Line:
        """The line of an EVSE or a station."""
        fleet = self._world.fleet
        return fleet.by_asset[name] if name in fleet.by_asset else fleet.by_station[name]

    # Cars

    def plug(self, evse_id: str, car: CarSpec) -> None:
        """A car arrives; where one stands, it leaves first."""
        line = self.line(evse_id)
        if line.port(evse_id).car is not None:
            self.unplug(evse_id)
        self._world.fleet.station(line, Plug(connector_id=line.plan_of(evse_id).connector_id, car=car))

    def unplug(self, evse_id: str) -> None:
        """The car leaves, if there is one."""
        line = self.line(evse_id)
        if line.port(evse_id).car is not None:
            self._world.fleet.station(line, Unplug(connector_id=line.plan_of(evse_id).connector_id))

    # Plant

    def set_building(self, load_w: float | None, *, shares: tuple[float, float, float] | None = None) -> None:
        """The building's load from now on, W, and its shares on L1, L2, L3; None: as it was made."""
        self._world.plant.building.held_w = load_w
        self._world.plant.building.held_shares = shares

    def set_irradiance(self, fraction: float | None) -> None:
        """The sun from now on, 0 to 1 of full; None: as it was made."""
        self._world.plant.weather.held = fraction

    def set_soc(self, soc_permille: int) -> None:
        """The battery's state of charge."""
        self._world.plant.battery.soc = soc_permille / 1000.0

    def trip(self, device_id: str, *, is_tripped: bool = True) -> None:
        """An inverter or battery shuts itself off (or comes back); it is still heard, at 0 W."""
        self._world.field.devices[device_id].unit.is_tripped = is_tripped

    def cut_device(self, device_id: str, *, is_cut: bool = True) -> None:
        """Nothing is read from a device or written to it (or again is); its revert timer runs."""
        self._world.field.devices[device_id].is_reachable = not is_cut

    # Meter of the connection point

    def spoil_meter(self, fault: MeterFault, *, jump_w: int = 0, phase: int = 1) -> None:
        """The meter is wrong from now on. jump_w: for JUMPED. phase: 1..3, for PHASE_LOST."""
        self._world.field.meter.wrong = Wrong(fault=fault, jump_w=jump_w, phase=phase)
        self._world.note(f"the meter is {fault.value}")

    def mend_meter(self) -> None:
        """The meter is right again."""
        self._world.field.meter.wrong = None
        self._world.note("the meter is right again")

    # Stations and links

    def cut(self, station_id: str, *, for_ms: float | None = None) -> None:
        """The station's connection ends, both ends see it; it dials again after for_ms, None: see `join`."""
        line = self.line(station_id)
        self._world.note(f"link of {line.id} is cut")
        self._world.fleet.hang_up(line, for_ms)

    def join(self, station_id: str) -> None:
        """A station that was cut off dials again."""
        self._world.fleet.connect(self.line(station_id))

    def delay(self, station_id: str, delay_ms: int) -> None:
        """Every frame between station, gateway and CSMS takes so long from now on."""
        line = self.line(station_id)
        for link in line.links:
            link.delay_ms = delay_ms

    # CSMSs

    def csms_away(self, station_id: str, *, for_ms: float | None = None) -> None:
        """The CSMS of a station is gone; it comes back after for_ms, None: see `csms_back`."""
        self._world.outages.goes(self.line(station_id), for_ms)

    def csms_back(self, station_id: str) -> None:
        """The CSMS of a station is there again; the gateway dials it within its back-off."""
        self._world.outages.comes(self.line(station_id))

    def command(self, station_id: str, action: str, payload: dict[str, object]) -> None:
        """The CSMS of a station sends a CALL, where it is connected."""
        line = self.line(station_id)
        if not self._world.fleet.has_csms(line):
            return
        self._world.count(f"csms {action}")
        self._world.note(f"CSMS sends {action} to {line.id}")
        self._world.fleet.from_csms(line, line.csms.command(action, payload))

    # Roles

    def kill(self, role: str, *, for_ms: float | None = None) -> None:
        """A role dies: ems or ocpp. It starts again after for_ms, None: see `start`. Its journal survives."""
        self._world.roles.kill(role, for_ms)

    def start(self, role: str) -> None:
        """A role that is dead starts."""
        self._world.roles.start(role)

    # Utility

    def put_control(
        self, mrid: str, *, mode: str, power_w: int, start_s: int, duration_s: int, primacy: int = 1
    ) -> None:
        """The utility issues a DERControl. start_s: from now; mode: an opMod name of a limit in W."""
        self._world.utility.put(
            mrid,
            mode=mode,
            power_w=power_w,
            start_s=self._world.now.utc_ms // 1000 + start_s,
            duration_s=duration_s,
            primacy=primacy,
            now=self._world.now,
        )
        self._world.hear_utility()

    def cancel_control(self, mrid: str) -> None:
        """The utility cancels a DERControl of its own."""
        self._world.utility.cancel(mrid, self._world.now)
        self._world.hear_utility()
