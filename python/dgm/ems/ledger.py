"""The capacity ledger: one book of the room of every circuit, slot by slot, in which every plan is entered.

    needs (due Wh, departure, most W) ──plan──> energy per slot and car; what one plan takes no other one has
    room: circuit x slot x (W, mA of L1, L2, L3) = limits in force or announced - the worst load that nobody controls
          - what EVSEs without a need count at that cannot be moved (unreachable, nothing proved)

Needs that were promised are entered first, the earliest departure first; the others take what is left. Where there are
prices the cheapest slots are tried first, and the earliest instead if a promise would then not be covered. It is
greedy: that all is covered is a proof (the plan stands in the book), that something is not may be too pessimistic.
Minimum currents are averages here: over a slot a car that pauses and charges in turns has them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from dgm.api.config.v1.config_pb2 import DgmConfig
from dgm.api.ems.v1.ems_pb2 import Quantity
from dgm.ems.snapshot import LimitView, Price
from dgm.site.topology import AssetEntry, Topology

SLOT_MS = 900_000
SLOTS_MAX = 7 * 96
"""A week: no departure is further ahead."""

SPARE_MS = 120_000
"""A plan is done this long before the departure: EVSEs and cars follow late."""

NOTHING_STUCK: Mapping[int, int] = {}
UNBOUND = 1 << 60
"""Room where no limit is: more than any car can take."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Demand:
    """What one car still needs. is_firm: it was promised, so it is entered before those that were not."""

    asset: AssetEntry
    due_wh: int
    departure_utc_ms: int
    power_max_w: int
    is_firm: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What the ledger holds for one car. now_w: mean over what is left of this slot.

    blocker: what left no more room.
    """

    now_w: int
    short_wh: int
    done_utc_ms: int | None
    blocker: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """What one circuit has for EVSEs without any plan: W, and mA per phase."""

    power_w: int
    current_ma: int


class Ledger:
    """The room of a site. Worst loads and margins are those of the configuration."""

    def __init__(self, config: DgmConfig, topology: Topology) -> None:
        self._topology = topology
        self._voltage_mv = topology.nominal_voltage_mv
        self._uncontrolled_w = [circuit.max_uncontrolled_w for circuit in config.circuits]
        self._margin = [circuit.margin_permille for circuit in config.circuits]
        self._rooms = [self._room(index) for index in range(len(topology.circuits))]

    def plan(
        self,
        demands: Sequence[Demand],
        limits: Sequence[LimitView],
        prices: Sequence[Price],
        utc_ms: int,
        stuck_ma: Mapping[int, int] = NOTHING_STUCK,
    ) -> dict[int, Plan]:
        """The plan of every car, by asset index. stuck_ma: of EVSEs that cannot be moved; one with a demand is not."""
        asked = {demand.asset.index for demand in demands}
        stuck = {index: current_ma for index, current_ma in stuck_ma.items() if index not in asked}
        ordered = sorted(demands, key=lambda demand: (not demand.is_firm, demand.departure_utc_ms, demand.asset.index))
        earliest = self._entered(ordered, limits, (), utc_ms, stuck)
        if not prices:
            return earliest
        cheapest = self._entered(ordered, limits, prices, utc_ms, stuck)
        worse = any(cheapest[one.asset.index].short_wh > earliest[one.asset.index].short_wh for one in demands)
        return earliest if worse else cheapest

    def _entered(
        self,
        ordered: Sequence[Demand],
        limits: Sequence[LimitView],
        prices: Sequence[Price],
        utc_ms: int,
        stuck_ma: Mapping[int, int],
    ) -> dict[int, Plan]:
        page = _Page(self._rooms, self._topology, utc_ms, stuck_ma)
        for limit in limits:
            page.tighten(limit, self._uncontrolled_w, self._margin)
        return {demand.asset.index: page.enter(demand, prices) for demand in ordered}

    def _room(self, index: int) -> Room:
        circuit, uncontrolled_w = self._topology.circuits[index], self._uncontrolled_w[index]
        power_w = UNBOUND
        if circuit.import_limit_w is not None:
            power_w = after_margin(circuit.import_limit_w, self._margin[index]) - uncontrolled_w
        current_ma = UNBOUND
        if circuit.current_limit_ma is not None:
            # Nobody knows on which phase that load is: a third of it on each would be a guess, so is less than all.
            current_ma = circuit.current_limit_ma - milliamps(uncontrolled_w, 3, self._voltage_mv)
        return Room(power_w=max(0, power_w), current_ma=max(0, current_ma))


class _Page:
    """The book of one planning: what is left in each circuit and slot."""

    def __init__(self, rooms: Sequence[Room], topology: Topology, utc_ms: int, stuck_ma: Mapping[int, int]) -> None:
        self._stuck = _by_circuit(stuck_ma, topology)
        self._rooms = rooms
        self._topology = topology
        self._utc_ms = utc_ms
        self._first = utc_ms // SLOT_MS
        self._caps: dict[int, list[tuple[int, int, int, int]]] = {}
        self._asset_caps: dict[int, list[tuple[int, int, int]]] = {}
        self._left: dict[tuple[int, int], list[int]] = {}

    def tighten(self, limit: LimitView, uncontrolled_w: Sequence[int], margin: Sequence[int]) -> None:
        """Enter a limit of a source, from its start to its end. Net quantities lose the worst load."""
        far_ms = self._utc_ms + SLOTS_MAX * SLOT_MS
        end_ms = far_ms if limit.end_utc_ms is None else limit.end_utc_ms
        if limit.asset_index is not None:
            # What a CPO allows is a lease that it renews: its end is no promise of more.
            self._asset_caps.setdefault(limit.asset_index, []).append((limit.start_utc_ms, far_ms, limit.bound))
            return
        index = limit.circuit_index
        if index is None:
            return
        power_w, current_ma = UNBOUND, UNBOUND
        match limit.quantity:
            case Quantity.QUANTITY_NET_IMPORT:
                power_w = after_margin(limit.bound, margin[index]) - uncontrolled_w[index]
            case Quantity.QUANTITY_GROSS_LOAD:
                power_w = limit.bound
            case Quantity.QUANTITY_CURRENT:
                current_ma = limit.bound - milliamps(uncontrolled_w[index], 3, self._topology.nominal_voltage_mv)
            case _:
                return
        self._caps.setdefault(index, []).append((limit.start_utc_ms, end_ms, power_w, current_ma))

    def enter(self, demand: Demand, prices: Sequence[Price]) -> Plan:
        """Enter one car's plan: energy into slots until all of it is in, or its departure."""
        slots = self._slots_until(demand.departure_utc_ms)
        if prices:
            slots = sorted(slots, key=lambda slot: (price_at(prices, self._begin(slot)), slot))
        due_wms, now_w, done_ms, blocker = demand.due_wh * 3_600_000, 0, None, ""
        for slot in slots:
            if due_wms <= 0:
                break
            span_ms = self._span_ms(slot, demand.departure_utc_ms)
            room_w, blocked_by = self._room_w(demand.asset, slot)
            power_w = min(demand.power_max_w, self._asset_room_w(demand.asset, slot), room_w)
            if power_w == room_w < demand.power_max_w and blocked_by:
                blocker = blocked_by
            power_w = min(power_w, -(-due_wms // span_ms))
            if power_w <= 0:
                continue
            self._take(demand.asset, slot, power_w)
            due_wms -= power_w * span_ms
            now_w = power_w if slot == self._first else now_w
            done_ms = max(done_ms or 0, self._begin(slot) + SLOT_MS)
        short_wh = -(-max(0, due_wms) // 3_600_000)
        if short_wh and not blocker:
            blocker = "the time left and the power of the car or its EVSE"
        done = None if short_wh or done_ms is None else min(done_ms, demand.departure_utc_ms)
        return Plan(now_w=now_w, short_wh=short_wh, done_utc_ms=done, blocker=blocker if short_wh else "")

    def _span_ms(self, slot: int, departure_utc_ms: int) -> int:
        """What a plan may count on of a slot: its rest, and before the departure a little less."""
        rest_ms = min(self._begin(slot) + SLOT_MS, departure_utc_ms) - max(self._begin(slot), self._utc_ms)
        return rest_ms - min(SPARE_MS, rest_ms // 4) if departure_utc_ms <= self._begin(slot) + SLOT_MS else rest_ms

    def _slots_until(self, departure_utc_ms: int) -> list[int]:
        last = -(-departure_utc_ms // SLOT_MS)
        return list(range(self._first, min(last, self._first + SLOTS_MAX)))

    def _begin(self, slot: int) -> int:
        return slot * SLOT_MS

    def _room_w(self, asset: AssetEntry, slot: int) -> tuple[int, str]:
        """W that every circuit above has left for this EVSE, and what has the least."""
        best_w, blocked_by = UNBOUND, ""
        for index in self._topology.path_of(asset):
            left = self._left_of(index, slot)
            tightest_ma = min(left[phase] for phase in asset.phases)
            for room_w in (left[0], watts(tightest_ma, len(asset.phases), self._topology.nominal_voltage_mv)):
                if room_w < best_w:
                    best_w, blocked_by = room_w, f"circuit {self._topology.circuits[index].id}"
        return max(0, best_w), blocked_by

    def _asset_room_w(self, asset: AssetEntry, slot: int) -> int:
        bounds = [
            bound
            for start_ms, end_ms, bound in self._asset_caps.get(asset.index, ())
            if start_ms < self._begin(slot) + SLOT_MS and end_ms > self._begin(slot)
        ]
        return watts(min(bounds), len(asset.phases), self._topology.nominal_voltage_mv) if bounds else UNBOUND

    def _left_of(self, index: int, slot: int) -> list[int]:
        """[W, mA of L1, L2, L3] left of a circuit in a slot; phases count from 1, as in the site model."""
        key = (index, slot)
        if key not in self._left:
            power_w, current_ma = self._rooms[index].power_w, self._rooms[index].current_ma
            for start_ms, end_ms, cap_w, cap_ma in self._caps.get(index, ()):
                if start_ms < self._begin(slot) + SLOT_MS and end_ms > self._begin(slot):
                    power_w, current_ma = min(power_w, max(0, cap_w)), min(current_ma, max(0, cap_ma))
            stuck = self._stuck.get(index, (0, 0, 0, 0))
            room = (power_w, current_ma, current_ma, current_ma)
            self._left[key] = [max(0, one - other) for one, other in zip(room, stuck, strict=True)]
        return self._left[key]

    def _take(self, asset: AssetEntry, slot: int, power_w: int) -> None:
        current_ma = milliamps(power_w, len(asset.phases), self._topology.nominal_voltage_mv)
        for index in self._topology.path_of(asset):
            left = self._left_of(index, slot)
            left[0] -= power_w
            for phase in asset.phases:
                left[phase] -= current_ma


def _by_circuit(stuck_ma: Mapping[int, int], topology: Topology) -> dict[int, list[int]]:
    """[W, mA of L1, L2, L3] that cannot be moved below each circuit."""
    found: dict[int, list[int]] = {}
    for asset_index, current_ma in stuck_ma.items():
        asset = topology.assets[asset_index]
        for index in topology.path_of(asset):
            total = found.setdefault(index, [0, 0, 0, 0])
            total[0] += watts(current_ma, len(asset.phases), topology.nominal_voltage_mv)
            for phase in asset.phases:
                total[phase] += current_ma
    return found


def price_at(prices: Iterable[Price], utc_ms: int) -> int:
    """Price per MWh at an instant; where none is known the highest that is: nobody waits for what may not come."""
    known = list(prices)
    found = [price.per_mwh for price in known if price.start_utc_ms <= utc_ms < price.end_utc_ms]
    return found[0] if found else max((price.per_mwh for price in known), default=0)


def after_margin(bound_w: int, margin_permille: int) -> int:
    """A bound less the margin kept free on it, rounded down."""
    return bound_w - -(-bound_w * margin_permille // 1000)


def watts(current_ma: int, phases: int, voltage_mv: int) -> int:
    """Power of a current on that many phases, rounded down."""
    return current_ma * phases * voltage_mv // 1_000_000


def milliamps(power_w: int, phases: int, voltage_mv: int) -> int:
    """Current per phase of a power on that many phases, rounded up."""
    return -(-power_w * 1_000_000 // (phases * voltage_mv))


def power_max(asset: AssetEntry, voltage_mv: int) -> int:
    """W that an EVSE can give at most."""
    return watts(asset.current_max_ma or 0, len(asset.phases), voltage_mv)
