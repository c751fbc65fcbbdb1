"""What stands in the registers now: sessions, the site as the arbitrating role tells it, and what was written.

    Session, Evse, WrittenCap ──evse_values──> EVSE_MODEL          Overview, WrittenSite ──site_values──> SITE_MODEL

Pure. A value that nobody knows is left out, and reads as SunSpec's "not known".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from dgm.api.ems.v1.ems_pb2 import OutcomeState
from dgm.api.ocpp.v1.ocpp_pb2 import LinkState, Station
from dgm.api.site.v1.site_pb2 import CircuitState, PhaseValues, PlugState, Quality, Sample
from dgm.machine import Now
from dgm.maps.table import Value
from dgm.ocpp.events import Sampled
from dgm.ocpp.evse import Evse
from dgm.ocpp.store import StationSettings

DRAW_SLACK_MA = 1_000
"""A car draws a little more than its limit while its station settles; more than this is more than it may."""

CAP_NONE, CAP_IN_FORCE, CAP_EXPIRED, CAP_REFUSED = range(4)
CONTROL_DGM, CONTROL_EMS, CONTROL_LOST = range(3)
SOURCE_NONE, SOURCE_SITE, SOURCE_UTILITY, SOURCE_CPO, SOURCE_EMS_FACADE, SOURCE_OTHER, SOURCE_FALLBACK = range(7)
OBEYS, PENDING, ABOVE = range(3)

_PLUG = {state: state - 1 for state in PlugState.values() if state != PlugState.PLUG_STATE_UNSPECIFIED}
_PROVED_BY = {
    OutcomeState.OUTCOME_STATE_ACCEPTED: 1,
    OutcomeState.OUTCOME_STATE_CONFIRMED: 2,
    OutcomeState.OUTCOME_STATE_MEASURED: 3,
}
_SOURCES = {
    "site": SOURCE_SITE,
    "utility": SOURCE_UTILITY,
    "cpo": SOURCE_CPO,
    "ems-facade": SOURCE_EMS_FACADE,
}
_WITH_CAR = (
    PlugState.PLUG_STATE_PREPARING,
    PlugState.PLUG_STATE_CHARGING,
    PlugState.PLUG_STATE_SUSPENDED_EV,
    PlugState.PLUG_STATE_SUSPENDED_EVSE,
    PlugState.PLUG_STATE_FINISHING,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class WrittenCap:
    """What became of what was written to one EVSE, or to the total. ends_ms: monotonic; sequence None: none yet."""

    state: int = CAP_NONE
    sequence: int | None = None
    ends_ms: int | None = None

    def values(self, now: Now) -> tuple[int, int | None, int | None]:
        """State, time left, sequence in force."""
        if self.state != CAP_IN_FORCE or self.ends_ms is None:
            return self.state, None, None
        left_ms = self.ends_ms - now.mono_ms
        return (CAP_IN_FORCE, left_ms, self.sequence) if left_ms > 0 else (CAP_EXPIRED, None, None)


@dataclass(slots=True)
class Charge:
    """Where the energy register stood at the first reading of a transaction."""

    transaction_id: int | str | None = None
    begin_wh: int | None = None

    def energy_wh(self, transaction_id: int | str | None, energy_wh: int | None) -> int | None:
        """Taken since then; None: no transaction, or the register is not told."""
        if transaction_id != self.transaction_id:
            self.transaction_id, self.begin_wh = transaction_id, None
        if transaction_id is None or energy_wh is None:
            return None
        if self.begin_wh is None or energy_wh < self.begin_wh:
            self.begin_wh = energy_wh
        return energy_wh - self.begin_wh


@dataclass(frozen=True, slots=True, kw_only=True)
class WrittenSite:
    """What became of what was written to the site model."""

    total: WrittenCap = field(default_factory=WrittenCap)
    heartbeat_ends_ms: int | None = None
    is_lost: bool = False
    contended: int = 0

    def control(self, now: Now) -> int:
        """Who is in control."""
        if self.heartbeat_ends_ms is not None and self.heartbeat_ends_ms > now.mono_ms:
            return CONTROL_EMS
        return CONTROL_LOST if self.is_lost or self.heartbeat_ends_ms is not None else CONTROL_DGM


@dataclass(frozen=True, slots=True, kw_only=True)
class Overview:
    """The connection point as the arbitrating role tells it; None: not told, or too long ago."""

    circuit: CircuitState | None = None
    meter: Sample | None = None
    told_ms: int = 0


def limit_source(limit_id: str) -> int:
    """Whose a limit is, by its id: ids of the roles and of the configuration begin with their kind."""
    if not limit_id:
        return SOURCE_NONE
    return _SOURCES.get(limit_id.partition(":")[0], SOURCE_OTHER)


def power_w(current_ma: int, settings: StationSettings) -> int:
    """A current per phase at nominal voltage, rounded up."""
    return -(-current_ma * settings.nominal_voltage_mv * len(settings.phases) // 1_000_000)


def evse_values(
    evse: Evse, station: Station, index: int, now: Now, *, cap: WrittenCap, limit_id: str, charge: Charge
) -> dict[str, Value]:
    """One EVSE's registers. limit_id: what bound its newest setpoint."""
    memory, enforcer, settings = evse.memory, evse.enforcer, evse.settings
    is_up = station.south == LinkState.LINK_STATE_UP
    sample = memory.view(settings, now, offline=not is_up)
    held_ma, proved_ma = enforcer.limit_ma, enforcer.proved_ma(now)
    cap_state, cap_left_ms, in_force = cap.values(now)
    values: dict[str, Value] = {
        "number": index + 1,
        "asset_id": settings.asset_id,
        "plug_state": _PLUG.get(sample.plug_state),
        "links": _links(station, is_floor_proved=enforcer.fallback_ma is not None),
        "phases": sum(1 << phase for phase in settings.phases),
        "power_w": sample.power_w,
        "energy_wh": sample.energy_wh,
        "session_wh": charge.energy_wh(memory.transaction_id, sample.energy_wh),
        "soc_permille": sample.soc_permille,
        "limit_ma": enforcer.wanted_ma,
        "limit_w": power_w(enforcer.wanted_ma, settings),
        "limit_source": SOURCE_FALLBACK if held_ma is None else limit_source(limit_id),
        "limit_id": None if held_ma is None else limit_id,
        "proved_ma": proved_ma,
        "proved_by": _PROVED_BY.get(enforcer.proof_state, 0),
        "obedience": obedience(enforcer.wanted_ma, proved_ma, sample),
        "fallback_ma": settings.fallback_ma,
        "reading_age_ms": None if sample.at_mono_ms is None else now.mono_ms - sample.at_mono_ms,
        "plug_age_ms": None if memory.plug_at_ms is None else now.mono_ms - memory.plug_at_ms,
        "cap_state": cap_state,
        "cap_left_ms": cap_left_ms,
        "in_force": in_force,
    }
    phase_power_w = phase_powers(sample, settings)
    for phase in range(3):
        values[f"current_l{phase + 1}_ma"] = sample.current_ma[phase]
        values[f"voltage_l{phase + 1}_mv"] = sample.voltage_mv[phase]
        values[f"power_l{phase + 1}_w"] = phase_power_w[phase]
    return values


def phase_powers(sample: Sampled, settings: StationSettings) -> tuple[int | None, int | None, int | None]:
    """Power per conductor as the station tells it; all of it is on the one conductor of an EVSE with one."""
    found = list(sample.phase_power_w)
    if len(settings.phases) == 1 and found[settings.phases[0]] is None:
        found[settings.phases[0]] = sample.power_w
    return (found[0], found[1], found[2])


def _links(station: Station, *, is_floor_proved: bool) -> int:
    south, north = station.south == LinkState.LINK_STATE_UP, station.north == LinkState.LINK_STATE_UP
    return south | north << 1 | is_floor_proved << 2


def obedience(allowed_ma: int, proved_ma: int | None, sample: Sampled) -> int | None:
    """Whether it keeps its limit, as far as it is seen; None: nothing was installed and nothing is measured."""
    currents = [value for value in sample.current_ma if value is not None]
    if proved_ma is not None and proved_ma > allowed_ma:
        return PENDING
    if currents and max(currents) > max(allowed_ma, proved_ma or 0) + DRAW_SLACK_MA:
        return ABOVE
    return None if proved_ma is None and not currents else OBEYS


def site_values(
    evses: Mapping[int, Mapping[str, Value]],
    overview: Overview,
    written: WrittenSite,
    now: Now,
    *,
    updates: int,
    fallback_w: int,
) -> dict[str, Value]:
    """The site's registers. evses: the newest values of every EVSE by index."""
    total_state, total_left_ms, total_in_force = written.total.values(now)
    ends_ms = written.heartbeat_ends_ms
    left_ms = None if ends_ms is None else ends_ms - now.mono_ms
    found: dict[str, Value] = {
        "evses": len(evses),
        "connected": sum(1 for values in evses.values() if int(values["links"] or 0) & 1),
        "plugged": sum(1 for values in evses.values() if values["plug_state"] in _PLUGGED),
        "charging": sum(1 for values in evses.values() if values["plug_state"] == _CHARGING),
        "updates": updates,
        "control": written.control(now),
        "heartbeat_left_ms": left_ms if left_ms is not None and left_ms > 0 else None,
        "total_state": total_state,
        "total_left_ms": total_left_ms,
        "total_in_force": total_in_force,
        "contended": written.contended,
        "fallback_w": fallback_w,
        "evse_power_w": _drawn_w(evses),
    }
    found |= _circuit_values(overview.circuit)
    if overview.meter is not None and overview.meter.quality == Quality.QUALITY_GOOD:
        found |= _meter_values(overview.meter, overview.meter.age_ms + now.mono_ms - overview.told_ms)
    return found


_PLUGGED = tuple(_PLUG[state] for state in _WITH_CAR)
_CHARGING = _PLUG[PlugState.PLUG_STATE_CHARGING]


def _drawn_w(evses: Mapping[int, Mapping[str, Value]]) -> int | None:
    """What they draw together; None while one with a car that charges is not seen."""
    total_w = 0
    for values in evses.values():
        drawn = values["power_w"]
        if drawn is None and values["plug_state"] == _CHARGING:
            return None
        total_w += int(drawn or 0)
    return total_w


def _circuit_values(circuit: CircuitState | None) -> dict[str, Value]:
    if circuit is None:
        return {}
    return {
        "meter_lost": int(circuit.meter_lost),
        "import_limit_w": _known(circuit, "import_limit_w"),
        "export_limit_w": _known(circuit, "export_limit_w"),
        "current_limit_ma": _known(circuit, "current_limit_ma"),
        "import_limit_source": limit_source(circuit.import_limit_id),
        "import_limit_id": circuit.import_limit_id,
        "uncontrolled_w": circuit.uncontrolled_w,
        "evse_counted_w": circuit.evse_counted_w,
        "shortfall_w": circuit.shortfall_w,
    }


def _meter_values(meter: Sample, age_ms: int) -> dict[str, Value]:
    found: dict[str, Value] = {"net_power_w": _known(meter, "power_w"), "meter_age_ms": age_ms}
    for phase in ("l1", "l2", "l3"):
        found[f"current_{phase}_ma"] = _known(meter.current_ma, phase)
        found[f"voltage_{phase}_mv"] = _known(meter.voltage_mv, phase)
    return found


def _known(message: Sample | CircuitState | PhaseValues, name: str) -> int | None:
    return int(getattr(message, name)) if message.HasField(name) else None
