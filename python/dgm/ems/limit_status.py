"""What became of a limit: PENDING, ACTIVE, MET, SHORTFALL by how much, or ENDED.

    Entry (LimitBook) + readings (meters) + Decision (rows) ──limit_status──> LimitStatus

MET is what the meter shows, never what was commanded. SHORTFALL is what the core states about the row. A LOST limit is
reported with its failsafe as the bound, because that is what is in force.
"""

from __future__ import annotations

from collections.abc import Iterable

from dgm.api.core.v1.core_pb2 import Decision, Row
from dgm.api.ems.v1.ems_pb2 import Limit, LimitState, LimitStatus, Quantity
from dgm.api.site.v1.site_pb2 import AssetType, PlugState
from dgm.ems.limits import Entry, Stage
from dgm.machine import Now
from dgm.site.state import GOOD, SiteState, max_current_ma
from dgm.site.topology import AssetEntry, CircuitEntry

LOST_REASON = "failsafe in force: the source was silent to the end of its lease"

LOADS = (AssetType.ASSET_TYPE_EVSE, AssetType.ASSET_TYPE_BATTERY)
GENERATORS = (AssetType.ASSET_TYPE_PV, AssetType.ASSET_TYPE_BATTERY)
AVAILABLE = PlugState.PLUG_STATE_AVAILABLE


class Seen:
    """What is seen of the site at one moment, looked up once for any number of limits."""

    def __init__(self, state: SiteState, now: Now) -> None:
        self.state = state
        self.now = now
        self._powers: list[int | None] | None = None

    def power_w(self, index: int) -> int | None:
        """W of an asset; None: not seen."""
        if self._powers is None:
            self._powers = [_power_w(asset, self.state, self.now) for asset in self.state.topology.assets]
        return self._powers[index]


def limit_status(entry: Entry, decision: Decision | None, seen: Seen) -> LimitStatus:
    """Status of a limit of the book."""
    state, now = seen.state, seen.now
    remaining_ms = entry.remaining_ms(now)
    status = LimitStatus(limit=shown(entry), remaining_ms=-1 if remaining_ms is None else remaining_ms)
    if entry.stage is Stage.PENDING:
        status.state = LimitState.LIMIT_STATE_PENDING
        return status
    rows = rows_of(entry.limit, decision, state)
    measured = measured_of(entry.limit, seen)
    if measured is not None and entry.limit.quantity != Quantity.QUANTITY_CURRENT:
        status.measured_w = measured
    status.shortfall_w = shortfall_w(entry.bound, rows, state.topology.nominal_voltage_mv)
    if status.shortfall_w > 0:
        status.state = LimitState.LIMIT_STATE_SHORTFALL
    elif measured is not None and measured <= _bound_now(entry, rows) and _is_proved(entry, decision, state):
        status.state = LimitState.LIMIT_STATE_MET
    else:
        status.state = LimitState.LIMIT_STATE_ACTIVE
    return status


def ended_status(entry: Entry) -> LimitStatus:
    """Status of a limit that has left the book."""
    return LimitStatus(limit=shown(entry), state=LimitState.LIMIT_STATE_ENDED, remaining_ms=0)


def shown(entry: Entry) -> Limit:
    """The limit as it is in force."""
    if entry.stage is not Stage.LOST:
        return entry.limit
    limit = Limit()
    limit.CopyFrom(entry.limit)
    limit.ClearField("ttl_ms")
    limit.reason = LOST_REASON
    if limit.quantity == Quantity.QUANTITY_CURRENT:
        limit.current_ma = entry.bound
    else:
        limit.power_w = entry.bound
    return limit


def rows_of(limit: Limit, decision: Decision | None, state: SiteState) -> list[Row]:
    """Rows of the newest decision that hold the limit's quantity on its circuit; none for a limit on EVSEs."""
    circuit = state.topology.circuit(limit.circuit_id) if limit.circuit_id else None
    if decision is None or circuit is None or limit.each_evse:
        return []
    return [row for row in decision.rows if row.circuit_index == circuit.index and row.quantity == limit.quantity]


def shortfall_w(bound: int, rows: Iterable[Row], nominal_voltage_mv: int) -> int:
    """By how much a bound cannot be met, W, rounded up. A row states it for its tightest limit; others have less."""
    total_w = 0
    for row in rows:
        missing = max(0, row.shortfall - max(0, bound - row.bound))
        total_w += missing if row.phase == 0 else -(-missing * nominal_voltage_mv // 1_000_000)
    return total_w


def measured_of(limit: Limit, seen: Seen) -> int | None:
    """What meters show of the limited quantity, W or mA of the largest phase; None: not all of it is seen."""
    state, now = seen.state, seen.now
    if limit.asset_id:
        asset = state.topology.asset(limit.asset_id)
        if asset is None or state.quality(asset.index, now) != GOOD:
            return None
        return max_current_ma(state.reading(asset.index))
    circuit = state.topology.circuit(limit.circuit_id)
    if circuit is None or limit.each_evse:
        return None
    match limit.quantity:
        case Quantity.QUANTITY_NET_IMPORT:
            return _net_w(circuit, state, now)
        case Quantity.QUANTITY_NET_EXPORT:
            net_w = _net_w(circuit, state, now)
            return None if net_w is None else -net_w
        case Quantity.QUANTITY_CURRENT:
            return _circuit_current_ma(circuit, state, now)
        case Quantity.QUANTITY_GROSS_LOAD:
            return _gross_w(circuit, seen, kinds=LOADS, sign=1)
        case Quantity.QUANTITY_GROSS_GENERATION:
            return _gross_w(circuit, seen, kinds=GENERATORS, sign=-1)
        case Quantity.QUANTITY_DER_OUTPUT:
            return _der_output_w(circuit, seen)
        case _:
            return None


def _bound_now(entry: Entry, rows: Iterable[Row]) -> int:
    """The bound on its ramp, as far as the core shows it."""
    return max([entry.bound, *(row.bound for row in rows if row.limit_id == entry.limit.id)])


def _is_proved(entry: Entry, decision: Decision | None, state: SiteState) -> bool:
    """A limit on an EVSE is met when it counts at no more; a circuit's is judged by its meter alone."""
    if not entry.limit.asset_id:
        return True
    index = state.topology.asset_by_id.get(entry.limit.asset_id)
    grants = [] if decision is None else [grant for grant in decision.grants if grant.asset_index == index]
    return bool(grants) and grants[0].counted_ma <= entry.bound


def _net_w(circuit: CircuitEntry, state: SiteState, now: Now) -> int | None:
    if circuit.meter_index is None or state.quality(circuit.meter_index, now) != GOOD:
        return None
    return state.reading(circuit.meter_index).power_w


def _circuit_current_ma(circuit: CircuitEntry, state: SiteState, now: Now) -> int | None:
    if circuit.meter_index is None or state.quality(circuit.meter_index, now) != GOOD:
        return None
    return max_current_ma(state.reading(circuit.meter_index))


def _gross_w(circuit: CircuitEntry, seen: Seen, *, kinds: tuple[AssetType, ...], sign: int) -> int | None:
    below = seen.state.topology.below(circuit.index)
    powers = [seen.power_w(asset.index) for asset in below if asset.type in kinds]
    if any(power_w is None for power_w in powers):
        return None
    return sum(max(0, sign * power_w) for power_w in powers if power_w is not None)


def _der_output_w(circuit: CircuitEntry, seen: Seen) -> int | None:
    units = (asset for asset in seen.state.topology.below(circuit.index) if asset.type in GENERATORS)
    powers = [seen.power_w(asset.index) for asset in units]
    if any(power_w is None for power_w in powers):
        return None
    return -sum(power_w for power_w in powers if power_w is not None)


def _power_w(asset: AssetEntry, state: SiteState, now: Now) -> int | None:
    reading = state.reading(asset.index)
    if reading.plug_state == AVAILABLE:
        return reading.power_w or 0  # an idle EVSE reports seldom; without a car it draws nothing
    return reading.power_w if state.quality(asset.index, now) == GOOD else None
