"""What a policy may know: one immutable picture of the site, taken once a cycle and shown to every policy alike.

    SiteState, LimitBook, needs, guards, prices, history, both clocks ──> Snapshot ──> policy ──> Targets

A value that is not seen, or not well, is None: a policy never has to look at ages. Assets are in column order; powers
in W into the asset, currents in mA per phase.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from dgm.api.ems.v1.ems_pb2 import Quantity
from dgm.api.site.v1.site_pb2 import AssetType, PlugState
from dgm.ems.calendar import Local, Offset, utc_offset
from dgm.ems.history import History
from dgm.ems.limit_rules import failsafe_of
from dgm.ems.limits import Entry, Stage
from dgm.ems.planner.problem import Plan
from dgm.machine import Now
from dgm.site.state import GOOD, NO_PHASES, PhaseTriple, SiteState
from dgm.site.topology import AssetEntry, Topology

NO_CAR = frozenset(
    (
        PlugState.PLUG_STATE_UNSPECIFIED,
        PlugState.PLUG_STATE_AVAILABLE,
        PlugState.PLUG_STATE_FINISHING,
        PlugState.PLUG_STATE_RESERVED,
        PlugState.PLUG_STATE_UNAVAILABLE,
        PlugState.PLUG_STATE_FAULTED,
        PlugState.PLUG_STATE_OFFLINE,
    )
)
"""Plug states in which there is no car that could charge."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """What the capacity ledger holds for the car at an EVSE.

    due_wh: still to come. departure_utc_ms: by when. now_ma: its plan for this moment, mA per phase. is_promised: the
    plan covers all of it.
    """

    due_wh: int
    departure_utc_ms: int
    now_ma: int
    is_promised: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class EvseView:
    """One EVSE. grant_ma: newest grant, 0 before the first. planned: None where nobody stated a need."""

    asset: AssetEntry
    plug_state: PlugState
    power_w: int | None
    current_ma: PhaseTriple
    energy_wh: int | None
    grant_ma: int
    planned: Planned | None = None

    @property
    def has_car(self) -> bool:
        """Whether a car is plugged in that could charge."""
        return self.plug_state not in NO_CAR


@dataclass(frozen=True, slots=True, kw_only=True)
class StorageView:
    """One battery."""

    asset: AssetEntry
    power_w: int | None
    soc_permille: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SolarView:
    """One PV inverter. power_w is negative while it gives."""

    asset: AssetEntry
    power_w: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitView:
    """A limit that a source put, in force or to come. bound, failsafe: W, or mA for CURRENT. end_utc_ms None: no end.

    failsafe: what follows the end; None: nothing does. reason: as its source gave it, with the mRID of a utility
    control.
    """

    id: str
    source: str
    circuit_index: int | None
    asset_index: int | None
    quantity: Quantity
    bound: int
    start_utc_ms: int
    end_utc_ms: int | None
    is_pending: bool
    failsafe: int | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """What energy costs from start_utc_ms on, until the next price or end_utc_ms. per_mwh: of the site's currency."""

    start_utc_ms: int
    end_utc_ms: int
    per_mwh: int
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """Power granted ahead of time for charging below a circuit. energy_wh None: as much as the power gives."""

    id: str
    source: str
    circuit_index: int
    start_utc_ms: int
    end_utc_ms: int
    power_w: int
    energy_wh: int | None = None


GUARD_SILENT_MS = 120_000
"""No sign of life for this long: the guard is not there (use case LPC: heartbeat at least every 60 s, lost
after 120 s).
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stated:
    """What a guard of controllable loads stated last. power_w None: it permits operation without its limit.

    number: counts its statements from 1 on: two may come within a millisecond.
    """

    number: int
    at_mono_ms: int
    power_w: int | None
    duration_ms: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GuardSeen:
    """The newest signs of one guard. A statement is a sign of life too.

    heard_mono_ms: the newest sign. since_mono_ms: the first one after the last silence of GUARD_SILENT_MS.
    """

    heard_mono_ms: int
    since_mono_ms: int
    stated: Stated | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiTarget:
    """The target of the API that won for an asset, with the time at which its lease ends."""

    id: str
    source: str
    value: int
    end_mono_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """One picture. net_w: at the connection point, positive import. restored_mono_ms: when the EVSEs were last heard
    again after a time without them, or when this process began: a return of power or communication. offset: of local
    time, for instants other than `now`. plan: the planner's, while it is in force. net_ma: of the connection point's
    meter, a magnitude per phase.
    """

    now: Now
    local: Local
    cycle_ms: int
    topology: Topology
    net_w: int | None
    evses: Sequence[EvseView]
    batteries: Sequence[StorageView]
    solars: Sequence[SolarView]
    limits: Sequence[LimitView] = ()
    prices: Sequence[Price] = ()
    blocks: Sequence[Block] = ()
    net_ma: PhaseTriple = NO_PHASES
    targets: Mapping[int, ApiTarget] = field(default_factory=dict)
    guards: Mapping[str, GuardSeen] = field(default_factory=dict)
    history: History = field(default_factory=History)
    restored_mono_ms: int = 0
    offset: Offset = utc_offset
    plan: Plan | None = None
    memory: Any = None

    @property
    def solar_w(self) -> int | None:
        """W that all PV gives now; None: one of them is not seen."""
        return _given([view.power_w for view in self.solars])

    @property
    def storage_w(self) -> int | None:
        """W into all batteries together; None: one of them is not seen."""
        return _total([view.power_w for view in self.batteries])

    @property
    def evse_w(self) -> int | None:
        """W into all EVSEs together; None: one that has a car is not seen."""
        return _total([view.power_w if view.has_car else view.power_w or 0 for view in self.evses])

    @property
    def building_w(self) -> int | None:
        """W of load that is neither EVSE nor battery; None: not all is seen. Never below 0."""
        parts = (self.net_w, self.solar_w, self.storage_w, self.evse_w)
        if any(part is None for part in parts):
            return None
        net_w, solar_w, storage_w, evse_w = (part or 0 for part in parts)
        return max(0, net_w + solar_w - storage_w - evse_w)


def evse_views(state: SiteState, now: Now) -> list[EvseView]:
    """The EVSEs in column order, without plans."""
    return [_evse_view(asset, state, now) for asset in state.topology.evses()]


def with_plan(view: EvseView, planned: Planned | None) -> EvseView:
    """The view with what the ledger holds for its car. Written out: `replace` takes twice as long, per EVSE."""
    if planned is None:
        return view
    return EvseView(
        asset=view.asset,
        plug_state=view.plug_state,
        power_w=view.power_w,
        current_ma=view.current_ma,
        energy_wh=view.energy_wh,
        grant_ma=view.grant_ma,
        planned=planned,
    )


def _evse_view(asset: AssetEntry, state: SiteState, now: Now) -> EvseView:
    reading, grant = state.reading(asset.index), state.grant(asset.index)
    good = _good(state, asset.index, now)
    power_w = reading.power_w
    if power_w is None and reading.current_ma != NO_PHASES:
        total_ma = sum(value or 0 for value in reading.current_ma)
        power_w = -(-total_ma * state.topology.nominal_voltage_mv // 1_000_000)
    return EvseView(
        asset=asset,
        plug_state=reading.plug_state,
        power_w=power_w if good else None,
        current_ma=reading.current_ma if good else NO_PHASES,
        energy_wh=reading.energy_wh if good else None,
        grant_ma=grant.current_ma if grant is not None and grant.HasField("current_ma") else 0,
    )


def storage_views(state: SiteState, now: Now) -> list[StorageView]:
    """The batteries in column order."""
    return [
        StorageView(
            asset=asset,
            power_w=good_power(state, asset.index, now),
            soc_permille=state.reading(asset.index).soc_permille if _good(state, asset.index, now) else None,
        )
        for asset in state.topology.assets
        if asset.type == AssetType.ASSET_TYPE_BATTERY
    ]


def solar_views(state: SiteState, now: Now) -> list[SolarView]:
    """The PV inverters in column order."""
    return [
        SolarView(asset=asset, power_w=good_power(state, asset.index, now))
        for asset in state.topology.assets
        if asset.type == AssetType.ASSET_TYPE_PV
    ]


def limit_view(entry: Entry, topology: Topology, now: Now) -> LimitView:
    """A limit of the book as a policy sees it."""
    limit, ahead_ms = entry.limit, now.utc_ms - now.mono_ms
    circuit = topology.circuit(limit.circuit_id) if limit.circuit_id else None
    asset = topology.asset(limit.asset_id) if limit.asset_id else None
    lost = entry.stage is Stage.LOST
    return LimitView(
        id=limit.id,
        source=limit.source,
        circuit_index=None if circuit is None else circuit.index,
        asset_index=None if asset is None else asset.index,
        quantity=limit.quantity,
        bound=entry.bound,
        start_utc_ms=entry.start_ms + ahead_ms,
        end_utc_ms=None if entry.end_ms is None or lost else entry.end_ms + ahead_ms,
        is_pending=entry.stage is Stage.PENDING,
        failsafe=None if lost else failsafe_of(limit),
        reason=limit.reason,
    )


def good_power(state: SiteState, index: int, now: Now) -> int | None:
    """W of an asset whose reading is good."""
    return state.reading(index).power_w if _good(state, index, now) else None


def net_power(state: SiteState, now: Now) -> int | None:
    """W at the connection point, None: its meter is not seen."""
    meter_index = state.topology.root.meter_index
    return None if meter_index is None else good_power(state, meter_index, now)


def net_currents(state: SiteState, now: Now) -> PhaseTriple:
    """mA per phase at the connection point, a magnitude each; None: not seen."""
    meter_index = state.topology.root.meter_index
    seen = meter_index is not None and _good(state, meter_index, now)
    return state.reading(meter_index).current_ma if seen and meter_index is not None else NO_PHASES


def _good(state: SiteState, index: int, now: Now) -> bool:
    return state.quality(index, now) == GOOD


def _given(powers: Sequence[int | None]) -> int | None:
    total_w = _total(powers)
    return None if total_w is None else max(0, -total_w)


def _total(powers: Sequence[int | None]) -> int | None:
    return None if any(power is None for power in powers) else sum(power or 0 for power in powers)
