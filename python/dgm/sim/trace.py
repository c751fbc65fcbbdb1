"""What somebody outside sees of a simulated site: one row per interval, from the plant and the stations themselves.

World ──every interval──> WorldRow ──> observers (scenarios, records, plots)

Nothing of the product's books is in the measured fields; `grants_ma` and `import_limit_w` alone are what was decided
and asked, to set beside them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from dgm import _core

if TYPE_CHECKING:
    from dgm.sim.world import World


@dataclass(frozen=True, slots=True, kw_only=True)
class WorldRow:
    """The site at one instant. W positive into the site or the thing named; `pv_w` is output, >= 0; mA per phase.

    elapsed_ms: since the start. phase_ma: of the connection point, signed, L1 to L3. ev_ma, ev_phases, ev_energy_wh: of
    every EVSE in the order of the site: drawn by the car, mA per phase in use, how many those are, and Wh since it was
    plugged in. import_limit_w, export_limit_w: the least that connection agreement and utility allow now. grants_ma:
    what the Arbiter grants each EVSE, None: it has said nothing; empty while the ems role is dead. alive: roles.
    """

    elapsed_ms: int
    utc_ms: int
    net_w: float
    phase_ma: tuple[int, int, int]
    phase_w: tuple[float, float, float]
    building_w: float
    pv_w: tuple[float, ...]
    battery_w: float
    soc_permille: int
    ev_w: float
    ev_ma: tuple[int, ...]
    ev_phases: tuple[int, ...]
    ev_energy_wh: tuple[float, ...]
    import_limit_w: int
    export_limit_w: int
    grants_ma: tuple[int | None, ...]
    alive: frozenset[str]


def row_of(world: World) -> WorldRow:
    """The row of now."""
    seen = world.plant.reading()
    ports = [port for line in world.lines for port in line.ports]
    first = len(world.config.assets)
    grants = [] if world.ems is None else world.ems.grants[first:]
    return WorldRow(
        elapsed_ms=world.agenda.elapsed_ms,
        utc_ms=world.now.utc_ms,
        net_w=seen.net_w,
        phase_ma=_milli(seen.phase_a),
        phase_w=seen.phase_w,
        building_w=seen.building_w,
        pv_w=seen.pv_w,
        battery_w=seen.battery_w,
        soc_permille=seen.soc_permille,
        ev_w=seen.ev_w,
        ev_ma=tuple(port.current_ma for port in ports),
        ev_phases=tuple(port.phases for port in ports),
        ev_energy_wh=tuple(0.0 if port.car is None else port.car.energy_wh for port in ports),
        import_limit_w=world.import_limit_w,
        export_limit_w=world.export_limit_w,
        grants_ma=tuple(None if grant[0] == _core.ABSENT64 else grant[0] for grant in grants),
        alive=world.alive,
    )


def _milli(amps: tuple[float, float, float]) -> tuple[int, int, int]:
    first, second, third = (round(amp * 1000) for amp in amps)
    return first, second, third
