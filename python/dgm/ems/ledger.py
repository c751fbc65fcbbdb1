"""The capacity ledger: one book of the room of every circuit, slot by slot, in which every plan is entered.

    needs (due Wh, departure, most W) ──plan──> energy per slot and car; what one plan takes no other one has
    room: circuit x slot x (W, mA of L1, L2, L3) = limits in force or announced - the worst load that nobody controls
          - what EVSEs without a need count at that cannot be moved (unreachable, nothing proved)

Needs that were promised are entered first, the earliest departure first; the others take what is left. Where there are
prices the cheapest slots are tried first, and the earliest instead if a promise would then not be covered. It is
greedy: that all is covered is a proof (the plan stands in the book), that something is not may be too pessimistic.
Minimum currents are averages here: over a slot a car that pauses and charges in turns has them. A plan of everybody is
made bit by bit (`Sheet`), so that no cycle waits for it; a newcomer is entered into what the others leave.
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
        sheet = self.sheet(demands, limits, prices, utc_ms, stuck_ma)
        sheet.advance(len(demands))
        return sheet.plans

    def sheet(
        self,
        demands: Sequence[Demand],
        limits: Sequence[LimitView],
        prices: Sequence[Price],
        utc_ms: int,
        stuck_ma: Mapping[int, int] = NOTHING_STUCK,
    ) -> Sheet:
        """The same to be entered bit by bit: `Sheet.advance`."""
        asked = {demand.asset.index for demand in demands}
        stuck = {index: current_ma for index, current_ma in stuck_ma.items() if index not in asked}
        ordered = sorted(demands, key=lambda demand: (not demand.is_firm, demand.departure_utc_ms, demand.asset.index))
        orders: list[Sequence[Price]] = [(), prices] if prices else [()]
        return Sheet([self._page(limits, order, utc_ms, stuck) for order in orders], ordered)

    def _page(
        self, limits: Sequence[LimitView], prices: Sequence[Price], utc_ms: int, stuck_ma: Mapping[int, int]
    ) -> _Page:
        page = _Page(self._rooms, self._topology, prices, utc_ms, stuck_ma)
        for limit in limits:
            page.tighten(limit, self._uncontrolled_w, self._margin)
        return page

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


class Sheet:
    """One planning: demands entered in their order, a few at a time, and then newcomers into what is left.

    With prices there are two pages, the earliest slots first and the cheapest first; the second counts unless it
    leaves somebody with less.
    """

    def __init__(self, pages: Sequence[_Page], ordered: Sequence[Demand]) -> None:
        self._pages = pages
        self._ordered = ordered
        self._entered = 0
        self._chosen = pages[0]

    @property
    def is_done(self) -> bool:
        """Whether every demand has been entered."""
        return self._entered == len(self._ordered)

    @property
    def plans(self) -> dict[int, Plan]:
        """By asset index; whole once it is done."""
        return self._chosen.plans

    def advance(self, most: int) -> int:
        """Enter at most so many demands; how many it were."""
        some = self._ordered[self._entered : self._entered + most]
        for page in self._pages:
            for demand in some:
                page.enter(demand)
        self._entered += len(some)
        if self.is_done and len(self._pages) > 1:
            earliest, cheapest = self._pages
            worse = any(plan.short_wh > earliest.plans[index].short_wh for index, plan in cheapest.plans.items())
            self._chosen = earliest if worse else cheapest
        return len(some)

    def add(self, demand: Demand) -> Plan:
        """A newcomer, or another need of a car that is in: into what the others leave. Nobody else's plan changes."""
        assert self.is_done, "those who were there go first"
        self.drop(demand.asset.index)
        return self._chosen.enter(demand)

    def drop(self, asset_index: int) -> None:
        """Give back what is entered for a car, if anything is."""
        self._chosen.give_back(asset_index)


class _Page:
    """The book of one planning: what is left in each circuit and slot. prices: none: the earliest slots first."""

    def __init__(
        self,
        rooms: Sequence[Room],
        topology: Topology,
        prices: Sequence[Price],
        utc_ms: int,
        stuck_ma: Mapping[int, int],
    ) -> None:
        self.plans: dict[int, Plan] = {}
        self._prices = prices
        self._price_of: dict[int, int] = {}
        self._taken: dict[int, list[tuple[int, int]]] = {}
        self._paths: dict[tuple[int, int], list[list[int]]] = {}
        self._stuck = _by_circuit(stuck_ma, topology)
        self._rooms = rooms
        self._topology = topology
        self._utc_ms = utc_ms
        self._first = utc_ms // SLOT_MS
        self._caps: dict[int, list[tuple[int, int, int, int]]] = {}
        self._asset_caps: dict[int, list[tuple[int, int, int]]] = {}
        self._left: dict[tuple[int, int], list[int]] = {}

    def tighten(self, limit: LimitView, uncontrolled_w: Sequence[int], margin: Sequence[int]) -> None:
        """Enter a limit of a source, from its start to its end, and its failsafe after it. Net loses the worst load."""
        far_ms = self._utc_ms + SLOTS_MAX * SLOT_MS
        end_ms = far_ms if limit.end_utc_ms is None else limit.end_utc_ms
        if limit.asset_index is not None:
            # What a CPO allows is a lease that it renews: its end is no promise of more.
            self._asset_caps.setdefault(limit.asset_index, []).append((limit.start_utc_ms, far_ms, limit.bound))
            return
        index = limit.circuit_index
        if index is None:
            return
        spans = [(limit.start_utc_ms, end_ms, limit.bound)]
        if limit.failsafe is not None and limit.end_utc_ms is not None:
            spans.append((end_ms, far_ms, limit.failsafe))
        for start_ms, stop_ms, bound in spans:
            room = self._room_under(limit.quantity, bound, uncontrolled_w[index], margin[index])
            if room is not None:
                self._caps.setdefault(index, []).append((start_ms, stop_ms, room.power_w, room.current_ma))

    def _room_under(self, quantity: Quantity, bound: int, uncontrolled_w: int, margin_permille: int) -> Room | None:
        """What a bound leaves to EVSEs; None: it does not bound them."""
        match quantity:
            case Quantity.QUANTITY_NET_IMPORT:
                return Room(power_w=after_margin(bound, margin_permille) - uncontrolled_w, current_ma=UNBOUND)
            case Quantity.QUANTITY_GROSS_LOAD:
                return Room(power_w=bound, current_ma=UNBOUND)
            case Quantity.QUANTITY_CURRENT:
                used_ma = milliamps(uncontrolled_w, 3, self._topology.nominal_voltage_mv)
                return Room(power_w=UNBOUND, current_ma=bound - used_ma)
            case _:
                return None

    def enter(self, demand: Demand) -> Plan:
        """Enter one car's plan: energy into slots until all of it is in, or its departure."""
        plan = self.plans[demand.asset.index] = self._filled(demand)
        return plan

    def give_back(self, asset_index: int) -> None:
        """Undo what was entered for a car."""
        self.plans.pop(asset_index, None)
        for slot, power_w in self._taken.pop(asset_index, ()):
            self._take(self._topology.assets[asset_index], slot, -power_w)

    def _filled(self, demand: Demand) -> Plan:
        slots = self._slots_until(demand.departure_utc_ms)
        if self._prices:
            slots = sorted(slots, key=self._price_rank)
        taken = self._taken.setdefault(demand.asset.index, [])
        due_wms, now_w, done_ms = demand.due_wh * 3_600_000, 0, None
        most_w, is_capped = demand.power_max_w, demand.asset.index in self._asset_caps
        blocked = -1
        for slot in slots:
            if due_wms <= 0:
                break
            room_w = self._room_w(demand.asset, slot)
            power_w = min(most_w, room_w, self._asset_room_w(demand.asset, slot)) if is_capped else min(most_w, room_w)
            blocked = slot if power_w == room_w < most_w else blocked
            if power_w <= 0:
                continue
            span_ms = self._span_ms(slot, demand.departure_utc_ms)
            power_w = min(power_w, -(-due_wms // span_ms))
            self._take(demand.asset, slot, power_w)
            taken.append((slot, power_w))
            due_wms -= power_w * span_ms
            now_w = power_w if slot == self._first else now_w
            done_ms = max(done_ms or 0, self._begin(slot) + SLOT_MS)
        short_wh = -(-max(0, due_wms) // 3_600_000)
        blocker = ""
        if short_wh:
            out_of_time = "the time left and the power of the car or its EVSE"
            blocker = self._tightest(demand.asset, blocked) if blocked >= 0 else out_of_time
        done = None if short_wh or done_ms is None else min(done_ms, demand.departure_utc_ms)
        return Plan(now_w=now_w, short_wh=short_wh, done_utc_ms=done, blocker=blocker)

    def _span_ms(self, slot: int, departure_utc_ms: int) -> int:
        """What a plan may count on of a slot: its rest, and before the departure a little less."""
        rest_ms = min(self._begin(slot) + SLOT_MS, departure_utc_ms) - max(self._begin(slot), self._utc_ms)
        return rest_ms - min(SPARE_MS, rest_ms // 4) if departure_utc_ms <= self._begin(slot) + SLOT_MS else rest_ms

    def _slots_until(self, departure_utc_ms: int) -> list[int]:
        last = -(-departure_utc_ms // SLOT_MS)
        return list(range(self._first, min(last, self._first + SLOTS_MAX)))

    def _price_rank(self, slot: int) -> tuple[int, int]:
        found = self._price_of.get(slot)
        if found is None:
            found = self._price_of[slot] = price_at(self._prices, self._begin(slot))
        return found, slot

    def _begin(self, slot: int) -> int:
        return slot * SLOT_MS

    def _room_w(self, asset: AssetEntry, slot: int) -> int:
        """W that every circuit above has left for this EVSE; never below 0."""
        phases, room_w, room_ma = asset.phases, UNBOUND, UNBOUND
        for left in self._paths.get((asset.circuit_index, slot)) or self._lefts(asset, slot):
            if left[0] < room_w:
                room_w = left[0]
            for phase in phases:
                if left[phase] < room_ma:
                    room_ma = left[phase]
        if room_w <= 0 or room_ma <= 0:
            return 0
        return min(room_w, watts(room_ma, len(phases), self._topology.nominal_voltage_mv))

    def _tightest(self, asset: AssetEntry, slot: int) -> str:
        """The circuit that has the least left in a slot; of equal ones that next to the root."""
        phases, voltage_mv = asset.phases, self._topology.nominal_voltage_mv
        rooms_w = [
            min(left[0], watts(min([left[phase] for phase in phases]), len(phases), voltage_mv))
            for left in self._lefts(asset, slot)
        ]
        index = self._topology.path_of(asset)[rooms_w.index(min(rooms_w))]
        return f"circuit {self._topology.circuits[index].id}"

    def _lefts(self, asset: AssetEntry, slot: int) -> list[list[int]]:
        """What the circuits above an EVSE have left, the root first; kept by circuit of the EVSE."""
        key = (asset.circuit_index, slot)
        found = self._paths.get(key)
        if found is None:
            path = self._topology.path_of(asset)
            found = self._paths[key] = [self._left_of(index, slot) for index in path]
        return found

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
        """Take power, or give it back where it is negative: then to the mA what was taken with it."""
        current_ma = milliamps(abs(power_w), len(asset.phases), self._topology.nominal_voltage_mv)
        current_ma = current_ma if power_w > 0 else -current_ma
        for left in self._lefts(asset, slot):
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
