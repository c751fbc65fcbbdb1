"""How much more or less the connection point could import, for how long, and what bounds it.

    readings, grants, energies, needs ──> parts per asset ──┐
    rows of the newest Decision, meters ──> room per row ───┴──> offers by duration: W down, W up, the limit that bounds

Down: batteries discharge to their reserve, cars go to their minimum as far as their need permits. Up: cars take what
they are not granted, batteries charge, PV is curtailed. A car is never counted as paused; what PV could give beyond
what it gives is not known. Nobody unseen is counted. A statement, not a promise. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from dgm.api.config.v1.config_pb2 import DgmConfig
from dgm.api.core.v1.core_pb2 import Decision, Row
from dgm.api.ems.v1.ems_pb2 import Quantity
from dgm.api.ems.v1.plan_pb2 import FlexibilityOffer, FlexibilityPart, GetFlexibilityResponse
from dgm.api.site.v1.site_pb2 import AssetType, PlugState, Quality
from dgm.machine import Now
from dgm.site.state import SiteState
from dgm.site.topology import AssetEntry, Topology

MINUTE_MS = 60_000
DURATIONS_MS = tuple(minutes * MINUTE_MS for minutes in (5, 15, 30, 60, 120, 240))
ASSETS = "assets"
"""What bounds an offer when no limit does."""

NOTHING = "nothing is known"

CHARGING = (PlugState.PLUG_STATE_CHARGING, PlugState.PLUG_STATE_SUSPENDED_EVSE)
OUTPUT = (Quantity.QUANTITY_GROSS_GENERATION, Quantity.QUANTITY_DER_OUTPUT)


@dataclass(frozen=True, slots=True, kw_only=True)
class Store:
    """A battery's energy: Wh between 0 and 1000 permille, and where it may go."""

    energy_wh: int
    soc_min_permille: int
    soc_max_permille: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """What a car is still to get, and by when."""

    due_wh: int
    departure_utc_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """What one asset can do. W and Wh, magnitudes; wh None: not bounded by energy.

    *_drain_w: what uses that energy already, before anything is asked; negative: it is being filled.
    """

    asset: AssetEntry
    reason: str
    down_w: int = 0
    down_wh: int | None = None
    down_drain_w: int = 0
    up_w: int = 0
    up_wh: int | None = None
    up_drain_w: int = 0

    def down_for(self, duration_ms: int) -> int:
        """W down that it holds for so long."""
        return _held(self.down_w, self.down_wh, self.down_drain_w, duration_ms)

    def up_for(self, duration_ms: int) -> int:
        """W up that it holds for so long."""
        return _held(self.up_w, self.up_wh, self.up_drain_w, duration_ms)


def stores(config: DgmConfig) -> dict[str, Store]:
    """Of every battery, by asset id."""
    return {
        asset.id: Store(
            energy_wh=asset.energy_wh,
            soc_min_permille=asset.soc_min_permille,
            soc_max_permille=asset.soc_max_permille,
        )
        for asset in config.assets
        if asset.type == AssetType.ASSET_TYPE_BATTERY
    }


def flexibility(
    state: SiteState, decision: Decision | None, energies: Mapping[str, Store], needs: Mapping[int, Need], now: Now
) -> GetFlexibilityResponse:
    """Everything but the horizon, which needs a plan. needs: by asset index."""
    root = state.topology.root
    import_w = None
    if root.meter_index is not None and state.quality(root.meter_index, now) == Quality.QUALITY_GOOD:
        import_w = state.reading(root.meter_index).power_w
    found = [part for asset in state.topology.assets if (part := _part(asset, state, energies, needs, now))]
    answer = GetFlexibilityResponse(
        time_utc_ms=now.utc_ms, import_w=import_w, parts=[_part_message(part) for part in found]
    )
    if decision is None or import_w is None:
        why = "the meter of the connection point is not seen" if import_w is None else "nothing has been decided yet"
        answer.offers.append(FlexibilityOffer(down_bound=NOTHING, up_bound=NOTHING, down_reason=why, up_reason=why))
        return answer
    rooms = _Rooms(state, decision.rows, now)
    answer.offers.extend(_offer(found, rooms, duration_ms) for duration_ms in DURATIONS_MS)
    return answer


def _held(power_w: int, energy_wh: int | None, drain_w: int, duration_ms: int) -> int:
    if energy_wh is None:
        return power_w
    return max(0, min(power_w, energy_wh * 3_600_000 // duration_ms - drain_w))


def _part(
    asset: AssetEntry, state: SiteState, energies: Mapping[str, Store], needs: Mapping[int, Need], now: Now
) -> Part | None:
    if asset.type not in (AssetType.ASSET_TYPE_BATTERY, AssetType.ASSET_TYPE_PV, AssetType.ASSET_TYPE_EVSE):
        return None
    if state.quality(asset.index, now) != Quality.QUALITY_GOOD:
        return Part(asset=asset, reason="not seen: not counted")
    if asset.is_evse:
        return _car(asset, state, needs.get(asset.index), now)
    power_w = state.reading(asset.index).power_w
    if power_w is None:
        return Part(asset=asset, reason="its power is not seen: not counted")
    if asset.type == AssetType.ASSET_TYPE_PV:
        given_w = max(0, -power_w)
        reason = "can be curtailed; what it could give beyond is not known" if given_w else "gives nothing now"
        return Part(asset=asset, up_w=given_w, reason=reason)
    return _battery(asset, state, power_w, energies.get(asset.id))


def _battery(asset: AssetEntry, state: SiteState, power_w: int, store: Store | None) -> Part:
    soc = state.reading(asset.index).soc_permille
    if soc is None or store is None:
        return Part(asset=asset, reason="its state of charge is not seen: not counted")
    above_wh = max(0, store.energy_wh * (soc - store.soc_min_permille) // 1000)
    below_wh = max(0, store.energy_wh * (store.soc_max_permille - soc) // 1000)
    charge_max_w = asset.charge_max_w if asset.charge_max_w is not None else asset.power_max_w or 0
    reason = f"{above_wh / 1000:g} kWh above its reserve, {below_wh / 1000:g} kWh until full"
    # What it does already is part of the import as it is: only what it can do beyond that changes the import.
    return Part(
        asset=asset,
        down_w=max(0, power_w + (asset.power_max_w or 0)) if above_wh else max(0, power_w),
        down_wh=above_wh,
        down_drain_w=-power_w,
        up_w=max(0, charge_max_w - power_w) if below_wh else max(0, -power_w),
        up_wh=below_wh,
        up_drain_w=power_w,
        reason=reason,
    )


def _car(asset: AssetEntry, state: SiteState, need: Need | None, now: Now) -> Part:
    reading, topology = state.reading(asset.index), state.topology
    draw_w = _draw_w(asset, state)
    if reading.plug_state not in CHARGING or draw_w is None:
        return Part(asset=asset, reason="no car that charges")
    grant = state.grant(asset.index)
    grant_ma = grant.current_ma if grant is not None and grant.HasField("current_ma") else 0
    phases = len(asset.phases)
    low_w, high_w = (_watts(ma, phases, topology) for ma in (asset.current_min_ma, asset.current_max_ma or 0))
    granted_w = _watts(grant_ma, phases, topology)
    step_w = _watts(asset.current_step_ma, phases, topology)
    takes_all = draw_w + step_w >= granted_w
    down_w, up_w = max(0, draw_w - low_w), max(0, high_w - granted_w) if takes_all else 0
    if need is None:
        reason = "nobody has stated its need; to its minimum" if down_w else "at its minimum"
        return Part(asset=asset, down_w=down_w, up_w=up_w, reason=reason)
    left_ms = max(0, need.departure_utc_ms - now.utc_ms)
    slack_wh = max(0, high_w * left_ms // 3_600_000 - need.due_wh)
    reason = f"{need.due_wh / 1000:g} kWh due in {left_ms / 3_600_000:.1f} h: {slack_wh / 1000:g} kWh of slack"
    return Part(
        asset=asset,
        down_w=down_w,
        down_wh=slack_wh,
        down_drain_w=high_w - draw_w,
        up_w=up_w,
        up_wh=need.due_wh,
        up_drain_w=draw_w,
        reason=reason,
    )


def _draw_w(asset: AssetEntry, state: SiteState) -> int | None:
    reading = state.reading(asset.index)
    if reading.power_w is not None:
        return max(0, reading.power_w)
    seen = [value for value in reading.current_ma if value is not None]
    return sum(seen) * state.topology.nominal_voltage_mv // 1_000_000 if seen else None


def _watts(current_ma: int, phases: int, topology: Topology) -> int:
    return current_ma * phases * topology.nominal_voltage_mv // 1_000_000


class _Rooms:
    """Room that the rows of a decision leave, in W, for more load or for more output at an asset."""

    def __init__(self, state: SiteState, rows: Iterable[Row], now: Now) -> None:
        self.topology = state.topology
        self._state = state
        self._now = now
        self._rows = list(rows)

    def start(self, *, up: bool) -> list[tuple[Row, int]]:
        """The rows that bound this direction, with their room in W or mA as of now."""
        return [(row, room) for row in self._rows if (room := self._room(row, up=up)) is not None]

    def _room(self, row: Row, *, up: bool) -> int | None:
        quantity = row.quantity
        if row.meter_lost:
            return 0
        if quantity == Quantity.QUANTITY_NET_EXPORT:
            net_w = self._net_w(row.circuit_index)
            return None if up else (0 if net_w is None else max(0, row.bound + net_w))
        if quantity in OUTPUT:
            output_w = sum(given_w for _, given_w in self._outputs(row.circuit_index))
            return None if up else max(0, row.bound - output_w)
        if not up:
            return self._reverse_ma(row) if quantity == Quantity.QUANTITY_CURRENT else None
        counted = row.bound - row.uncontrolled + row.help - row.evse_counted
        if quantity == Quantity.QUANTITY_NET_IMPORT:
            net_w = self._net_w(row.circuit_index)
            counted = min(counted, row.bound - net_w) if net_w is not None else 0
        return max(0, counted)

    def _reverse_ma(self, row: Row) -> int:
        """What a conductor can still carry back: its bound less all output below it, as if nothing drew there."""
        output_ma = sum(
            -(-output_w * 1_000_000 // (len(asset.phases) * self.topology.nominal_voltage_mv))
            for asset, output_w in self._outputs(row.circuit_index)
            if row.phase in asset.phases
        )
        return max(0, row.bound - output_ma)

    def _net_w(self, circuit_index: int) -> int | None:
        meter = self.topology.circuits[circuit_index].meter_index
        if meter is None or self._state.quality(meter, self._now) != Quality.QUALITY_GOOD:
            return None
        return self._state.reading(meter).power_w

    def _outputs(self, circuit_index: int) -> list[tuple[AssetEntry, int]]:
        """PV and batteries below a circuit with the W that each gives now."""
        kinds = (AssetType.ASSET_TYPE_PV, AssetType.ASSET_TYPE_BATTERY)
        below = (asset for asset in self.topology.below(circuit_index) if asset.type in kinds)
        return [(asset, max(0, -(self._state.reading(asset.index).power_w or 0))) for asset in below]


def _offer(parts: Sequence[Part], rooms: _Rooms, duration_ms: int) -> FlexibilityOffer:
    down_w, down_bound, down_reason = _gathered(parts, rooms, duration_ms, up=False)
    up_w, up_bound, up_reason = _gathered(parts, rooms, duration_ms, up=True)
    return FlexibilityOffer(
        duration_ms=duration_ms,
        down_w=down_w,
        up_w=up_w,
        down_bound=down_bound,
        up_bound=up_bound,
        down_reason=down_reason,
        up_reason=up_reason,
    )


def _gathered(parts: Sequence[Part], rooms: _Rooms, duration_ms: int, *, up: bool) -> tuple[int, str, str]:
    """Parts in order, each as far as every row above it still has room; the row that takes most away is named."""
    left = rooms.start(up=up)
    total_w, cut = 0, dict.fromkeys((row.limit_id for row, _ in left), 0)
    for part in sorted(parts, key=lambda one: not one.asset.is_evse):
        asked_w = part.up_for(duration_ms) if up else part.down_for(duration_ms)
        given_w, blocker = asked_w, ""
        above = [at for at, (row, _) in enumerate(left) if _carries(row, part.asset, rooms.topology, up=up)]
        for at in above:
            row, room = left[at]
            room_w = _room_w(row, room, part.asset, rooms.topology)
            if room_w < given_w:
                given_w, blocker = room_w, row.limit_id
        for at in above:
            row, room = left[at]
            left[at] = (row, room - _taken(row, given_w, part.asset, rooms.topology))
        total_w += given_w
        if blocker:
            cut[blocker] += asked_w - given_w
    most = max(cut, key=cut.__getitem__, default="")
    if most and cut[most]:
        return total_w, most, f"limit {most} takes {cut[most] / 1000:g} kW of what the assets could do"
    return total_w, ASSETS, "all that the assets can hold for so long"


def _carries(row: Row, asset: AssetEntry, topology: Topology, *, up: bool) -> bool:
    if row.circuit_index not in topology.path_of(asset) or (row.phase and row.phase not in asset.phases):
        return False
    gives = asset.type in (AssetType.ASSET_TYPE_PV, AssetType.ASSET_TYPE_BATTERY)
    if row.quantity in OUTPUT:
        return gives
    if row.quantity == Quantity.QUANTITY_STORAGE_CHARGE:
        return up and asset.type == AssetType.ASSET_TYPE_BATTERY
    if row.quantity == Quantity.QUANTITY_GROSS_LOAD:
        return asset.type != AssetType.ASSET_TYPE_PV
    return up or gives or row.quantity == Quantity.QUANTITY_NET_EXPORT


def _room_w(row: Row, room: int, asset: AssetEntry, topology: Topology) -> int:
    return _watts(room, len(asset.phases), topology) if row.quantity == Quantity.QUANTITY_CURRENT else room


def _taken(row: Row, power_w: int, asset: AssetEntry, topology: Topology) -> int:
    if row.quantity != Quantity.QUANTITY_CURRENT:
        return power_w
    return -(-power_w * 1_000_000 // (len(asset.phases) * topology.nominal_voltage_mv))


def _part_message(part: Part) -> FlexibilityPart:
    return FlexibilityPart(
        asset_id=part.asset.id,
        down_w=part.down_w,
        down_wh=part.down_wh,
        up_w=part.up_w,
        up_wh=part.up_wh,
        reason=part.reason,
    )
