"""What the gateway knows of a station and of each of its EVSEs: settings, and bounded memory of what was said.

    DgmConfig ──> StationSettings per EVSE          observations ──> EvseMemory ──> Sampled

Nothing here survives the process: a station that reconnects is asked again.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from dgm.api.config.v1.config_pb2 import DgmConfig, EvseConfig, StationConfig
from dgm.api.site.v1.site_pb2 import PlugState
from dgm.machine import Now
from dgm.ocpp.events import PhaseTriple, Sampled
from dgm.ocpp.observe import Metered, Socket
from dgm.ocpp.outage_rules import Policy
from dgm.ocpp.sampled import NONE, Reading
from dgm.ocpp.version import Version, version_of

HISTORY_MS = 60_000
"""An older reading is history (replayed from an outage), not what the EVSE does now."""

READING_KEPT_MS = 60_000
"""How long the newest reading goes on being shown, with its age."""

STAMP_SLACK_MS = 2_000
"""Stations stamp whole seconds, and their clocks differ a little from ours."""

MAX_SOCKETS = 16
"""Connectors of one EVSE that are remembered."""

SOCKET_STATE = {
    "Available": PlugState.PLUG_STATE_AVAILABLE,
    "Reserved": PlugState.PLUG_STATE_RESERVED,
    "Unavailable": PlugState.PLUG_STATE_UNAVAILABLE,
    "Faulted": PlugState.PLUG_STATE_FAULTED,
}

CURRENT_MIN_MA = 6_000
"""IEC 61851 knows no current below it: less is a pause."""

MAX_CLOCK_ERROR_MS = 5_000
"""Safety rules section 4: beyond this no lease is installed, for it would end at the wrong time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StationSettings:
    """One EVSE and the station that it is part of.

    connector_id: of 1.6; in 2.x the EVSE's id. assumed_version: spoken where no subprotocol is negotiated. phases: for
    the EVSE's own L1, L2, L3 in order, the index (0..2) of the site's conductor. Currents in mA per phase. enforcement:
    the mode that the configuration asks for, "": what the station accepts.
    """

    station_id: str
    cpo_id: str
    csms_url: str
    asset_id: str
    connector_id: int
    phases: tuple[int, ...]
    current_max_ma: int
    fallback_ma: int
    nominal_voltage_mv: int
    profile_lease_ms: int
    max_stack_level: int
    trigger_interval_ms: int
    call_timeout_ms: int
    current_min_ma: int = CURRENT_MIN_MA
    discharge_max_ma: int = 0
    enforcement: str = ""
    assumed_version: Version = Version.V16


def settings_of(config: DgmConfig, station: StationConfig) -> tuple[StationSettings, ...]:
    """Settings of each EVSE of one configured station; `dgm check` has made sure that it has at least one."""
    return tuple(_settings(config, station, evse) for evse in station.evses)


def policy_of(config: DgmConfig, station: StationConfig) -> Policy:
    """What a station may do while its CSMS is away."""
    of_cpo = {cpo.id: cpo.outage for cpo in config.cpos}
    return Policy(station.outage or of_cpo[station.cpo] or Policy.ISLAND.value)


def _settings(config: DgmConfig, station: StationConfig, evse: EvseConfig) -> StationSettings:
    cpo_urls = {cpo.id: cpo.url for cpo in config.cpos}
    return StationSettings(
        station_id=station.id,
        cpo_id=station.cpo,
        csms_url=station.csms_url or cpo_urls[station.cpo],
        asset_id=evse.id,
        connector_id=evse.connector_id,
        phases=tuple(phase - 1 for phase in evse.phases),
        current_max_ma=evse.current_max_ma,
        fallback_ma=evse.fallback_ma,
        nominal_voltage_mv=config.site.nominal_voltage_mv,
        profile_lease_ms=config.ocpp.profile_lease_s * 1000,
        max_stack_level=config.ocpp.max_stack_level,
        trigger_interval_ms=config.ocpp.trigger_interval_s * 1000,
        call_timeout_ms=config.ocpp.call_timeout_s * 1000,
        current_min_ma=evse.current_min_ma if evse.HasField("current_min_ma") else CURRENT_MIN_MA,
        discharge_max_ma=evse.discharge_max_ma,
        assumed_version=version_of(station.subprotocol),
        enforcement=station.enforcement,
    )


@dataclass(slots=True, kw_only=True)
class Counters:
    """Frames of one station since start."""

    north: int = 0
    south: int = 0
    excepted: int = 0


@dataclass(slots=True, kw_only=True)
class StationMemory:
    """Newest facts of one station as a whole."""

    subprotocol: str = ""
    vendor: str = ""
    model: str = ""
    firmware: str = ""
    counters: Counters = field(default_factory=Counters)


@dataclass(slots=True, kw_only=True)
class EvseMemory:
    """Newest facts of one EVSE.

    plug_known: the state was told on this connection. sockets: status of each connector (2.x). ended_id: the newest
    transaction that ended; some stations still name it in readings. transaction_told: on this connection. told_ms: time
    of the newest sample that was reported; an older reading is of no use to the ems role, which keeps the newest.
    """

    plug_state: PlugState = PlugState.PLUG_STATE_UNSPECIFIED
    plug_known: bool = False
    plug_at_ms: int | None = None
    sockets: dict[int, str] = field(default_factory=dict)
    transaction_id: int | str | None = None
    ended_id: int | str | None = None
    transaction_told: bool = False
    reading: Reading = field(default_factory=Reading)
    reading_at_ms: int | None = None
    told_ms: int = 0
    clock_error_ms: int = 0

    def connected(self) -> None:
        """A new connection: what was told on the one before is old."""
        self.plug_known, self.transaction_told = False, False
        self.sockets.clear()

    @property
    def is_clock_good(self) -> bool:
        """The station's clock may end a lease."""
        return abs(self.clock_error_ms) <= MAX_CLOCK_ERROR_MS

    @property
    def wants_charging_state(self) -> bool:
        """A car is there (2.x), and whether it charges was not told on this connection."""
        return not self.transaction_told and "Occupied" in self.sockets.values()

    def put_socket(self, socket: Socket, now: Now) -> bool:
        """Take the status of a connector (2.x); True: the EVSE's plug state changed."""
        if socket.connector_id in self.sockets or len(self.sockets) < MAX_SOCKETS:
            self.sockets[socket.connector_id] = socket.status
        states = set(self.sockets.values())
        if "Occupied" not in states:
            first = next(status for status in ("Reserved", "Available", "Unavailable", "Faulted") if status in states)
            return self.put_plug_state(SOCKET_STATE[first], now)
        is_busy = self.transaction_id is not None or self.plug_state == PlugState.PLUG_STATE_FINISHING
        # That a car is there says less than what its transaction said.
        kept = is_busy and self.plug_state not in SOCKET_STATE.values()
        return self.put_plug_state(self.plug_state if kept else PlugState.PLUG_STATE_PREPARING, now)

    def put_plug_state(self, state: PlugState, now: Now) -> bool:
        """Take a StatusNotification. True: the state changed."""
        changed = state != self.plug_state
        self.plug_state, self.plug_known, self.plug_at_ms = state, True, now.mono_ms
        if state == PlugState.PLUG_STATE_AVAILABLE:
            # No car: what the last one drew says nothing any more.
            self.reading, self.reading_at_ms, self.transaction_id = Reading(), None, None
        return changed

    def put_reading(self, metered: Metered, *, claimed: bool, now: Now) -> bool:
        """Take a MeterValues. False: it is history and not used. claimed: taken now, because we asked for it."""
        taken = metered.taken_utc_ms
        if claimed and taken is not None:
            self.clock_error_ms = taken - now.utc_ms
        age_ms = 0
        if taken is not None and not claimed:
            age_ms = max(0, now.utc_ms + self.clock_error_ms - taken)
        at_ms = now.mono_ms - age_ms
        if self.told_ms - STAMP_SLACK_MS <= at_ms < self.told_ms:
            # Stamps of whole seconds: a reading after a change of state must not seem older than it.
            at_ms = self.told_ms
        if age_ms > HISTORY_MS or metered.reading.is_empty or at_ms < self.told_ms:
            return False
        # An energy register alone must not hide the currents of a second ago.
        kept = self.reading if self.reading_at_ms is not None and at_ms - self.reading_at_ms < 1000 else _NOTHING
        self.reading, self.reading_at_ms = _merged(kept, metered.reading), at_ms
        if metered.transaction_id is not None and metered.transaction_id != self.ended_id:
            self.transaction_id = metered.transaction_id
        return True

    def state_sample(self, settings: StationSettings, now: Now, *, offline: bool = False) -> Sampled:
        """The plug state alone: what was read before a change of state says nothing about after it."""
        self.told_ms = now.mono_ms
        state = PlugState.PLUG_STATE_OFFLINE if offline else self.plug_state
        return Sampled(asset_id=settings.asset_id, plug_state=state, urgent=True)

    def reading_sample(self, settings: StationSettings, now: Now) -> Sampled:
        """The newest reading with the plug state."""
        self.told_ms = self.reading_at_ms if self.reading_at_ms is not None else now.mono_ms
        return self.view(settings, now)

    def view(self, settings: StationSettings, now: Now, *, offline: bool = False) -> Sampled:
        """Everything known, for people and registers; a reading that is too old is left out."""
        fresh = self.reading_at_ms is not None and now.mono_ms - self.reading_at_ms <= READING_KEPT_MS
        reading = self.reading if fresh else Reading()
        return Sampled(
            asset_id=settings.asset_id,
            plug_state=PlugState.PLUG_STATE_OFFLINE if offline else self.plug_state,
            at_mono_ms=self.reading_at_ms if fresh else None,
            power_w=reading.power_w,
            phase_power_w=to_site(reading.phase_power_w, None, settings.phases),
            current_ma=to_site(reading.current_ma, reading.current_any_ma, settings.phases),
            voltage_mv=to_site(reading.voltage_mv, None, settings.phases),
            energy_wh=reading.energy_wh,
            soc_permille=reading.soc_permille,
        )


def to_site(values: PhaseTriple, any_phase: int | None, phases: tuple[int, ...]) -> PhaseTriple:
    """Put the device's own L1, L2, L3 on the site's conductors; a value on a conductor that is not wired is dropped."""
    found: list[int | None] = [None, None, None]
    for own, site in enumerate(phases):
        found[site] = values[own] if values[own] is not None else any_phase
    return (found[0], found[1], found[2])


def _merged(old: Reading, new: Reading) -> Reading:
    if old is _NOTHING:
        return new
    has_current = new.current_ma != NONE or new.current_any_ma is not None
    return Reading(
        power_w=new.power_w if new.power_w is not None else old.power_w,
        phase_power_w=new.phase_power_w if new.phase_power_w != NONE else old.phase_power_w,
        current_ma=new.current_ma if has_current else old.current_ma,
        current_any_ma=new.current_any_ma if has_current else old.current_any_ma,
        voltage_mv=new.voltage_mv if new.voltage_mv != NONE else old.voltage_mv,
        energy_wh=new.energy_wh if new.energy_wh is not None else old.energy_wh,
        soc_permille=new.soc_permille if new.soc_permille is not None else old.soc_permille,
        offered_ma=new.offered_ma if new.offered_ma is not None else old.offered_ma,
    )


_NOTHING = Reading()
