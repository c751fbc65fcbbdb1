"""`two_pass` in a site: what phase balance and the cars' deadlines would give each car, as its weight.

    cars (needs, or what is usual) ──Session──> two_pass.decide, circuits as rows of _core.allocate ──> factor per EVSE

The core shares by these weights, so its limits, minimum currents and turns hold as always, and what one car leaves goes
to the others. A car that nobody stated a need for is taken to want the usual energy in the usual time.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from dgm import _core
from dgm.api.ems.v1.ems_pb2 import Quantity
from dgm.ems.ledger import milliamps
from dgm.ems.limit_rules import BOUND_MAX
from dgm.ems.policies.parameters import number
from dgm.ems.policies.two_pass import Ask, Session
from dgm.ems.policies.two_pass import decide as two_pass
from dgm.ems.problem import Answer, Column, Line, Problem
from dgm.ems.snapshot import EvseView, Snapshot
from dgm.ems.stack import Policy
from dgm.ems.steering import Share, Targets
from dgm.site.topology import CircuitEntry

STEP_S = 60.0
"""For how long a share is meant to hold."""

FACTOR_MIN = 0.05
"""Of a car that can wait: it still gets its part of what others leave."""

USUAL_MA = 16_000

TAKEN = (Quantity.QUANTITY_NET_IMPORT, Quantity.QUANTITY_GROSS_LOAD)
UNBOUND_W = 1 << 60
"""No limit: more than any circuit takes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Params:
    """Of cars that nobody stated a need for."""

    usual_wh: int = number(
        "Wh that a car without a stated need is taken to want", low=100, high=1_000_000, default=15_000
    )
    usual_min: int = number(
        "min that it is taken to stay from when it was first seen", low=15, high=10_080, default=360
    )


Group = tuple[int, tuple[int, ...]]
"""EVSEs on the same circuit and phases."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One bound of a circuit and the columns below it, two per group. phase 0: of its W, else of its mA."""

    circuit: CircuitEntry
    phase: int
    columns: Mapping[int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """When each car was first seen, monotonic ms by asset index; and what stands as long as the same groups have cars.

    group_of: by asset index. numbers: of the groups in order.
    """

    since_ms: Mapping[int, int] = field(default_factory=dict)
    group_of: Mapping[int, Group] = field(default_factory=dict)
    numbers: Mapping[Group, int] = field(default_factory=dict)
    rows: Sequence[Row] = ()


def decide(snapshot: Snapshot, params: Params) -> Targets:
    """A weight for every car."""
    cars = [view for view in snapshot.evses if view.has_car and view.asset.current_max_ma]
    memory = _remember(cars, snapshot)
    if not cars:
        return Targets(memory=memory)
    now_ms = snapshot.now.mono_ms
    numbers = [memory.numbers[memory.group_of[view.asset.index]] for view in cars]
    sessions = [
        _session(view, number, snapshot, params, now_ms - memory.since_ms[view.asset.index])
        for view, number in zip(cars, numbers, strict=True)
    ]
    groups = len(memory.numbers)
    trunk = Problem(2 * groups, _lines(memory.rows, snapshot), [])
    caps_ma = two_pass(sessions, groups, lambda asks: _share(trunk, asks), STEP_S)
    shares = [_weight(view, cap_ma) for view, cap_ma in zip(cars, caps_ma, strict=True)]
    return Targets(shares=shares, memory=memory)


def _remember(cars: Sequence[EvseView], snapshot: Snapshot) -> Memory:
    held = snapshot.memory if isinstance(snapshot.memory, Memory) else Memory()
    group_of = held.group_of or {view.asset.index: _group(view) for view in snapshot.evses}
    since_ms = {view.asset.index: held.since_ms.get(view.asset.index, snapshot.now.mono_ms) for view in cars}
    present = {group_of[index] for index in since_ms}
    numbers, rows = held.numbers, held.rows
    if present != numbers.keys():
        numbers = {group: number for number, group in enumerate(sorted(present))}
        rows = list(_rows(list(numbers), snapshot))
    return Memory(since_ms=since_ms, group_of=group_of, numbers=numbers, rows=rows)


def _group(view: EvseView) -> Group:
    return view.asset.circuit_index, tuple(int(phase) for phase in sorted(view.asset.phases))


def _session(view: EvseView, group: int, snapshot: Snapshot, params: Params, seen_ms: int) -> Session:
    due_wh, left_s = float(params.usual_wh), params.usual_min * 60.0 - seen_ms / 1000
    if view.planned is not None:
        due_wh = float(view.planned.due_wh)
        left_s = (view.planned.departure_utc_ms - snapshot.now.utc_ms) / 1000
    voltage = snapshot.topology.nominal_voltage_mv / 1000 * len(view.asset.phases)
    return Session(
        group=group,
        charge_mas=due_wh * 3_600_000 / voltage,
        left_s=max(STEP_S, left_s),
        rate_max_ma=view.asset.current_max_ma or 0,
    )


def _rows(groups: Sequence[Group], snapshot: Snapshot) -> Iterator[Row]:
    """What bounds the cars: of every circuit its W, as mA of one phase, and the mA of its phases."""
    for circuit in snapshot.topology.circuits:
        below = [
            number
            for number, (index, _) in enumerate(groups)
            if circuit.index in snapshot.topology.circuits[index].path
        ]
        if not below:
            continue
        yield Row(circuit=circuit, phase=0, columns=_columns({number: len(groups[number][1]) for number in below}))
        for phase in (1, 2, 3) if circuit.current_limit_ma is not None else ():
            on_phase = {number: 1 for number in below if phase in groups[number][1]}
            if on_phase:
                yield Row(circuit=circuit, phase=phase, columns=_columns(on_phase))


def _columns(times: Mapping[int, int]) -> dict[int, int]:
    return {2 * number + half: count for number, count in times.items() for half in (0, 1)}


def _lines(rows: Sequence[Row], snapshot: Snapshot) -> list[Line]:
    """What every row has for cars now."""
    voltage_mv, building_w = snapshot.topology.nominal_voltage_mv, snapshot.building_w or 0
    limits_w = _power_limits(snapshot)
    lines = []
    for row in rows:
        load_w = building_w if row.circuit.parent_index is None else 0
        own_w = UNBOUND_W if row.circuit.import_limit_w is None else row.circuit.import_limit_w
        power_w = min(own_w, limits_w.get(row.circuit.index, UNBOUND_W))
        room_ma = (row.circuit.current_limit_ma or 0) - milliamps(load_w, 3, voltage_mv)
        if row.phase == 0:
            if power_w == UNBOUND_W:
                continue
            room_ma = milliamps(max(0, power_w - load_w), 1, voltage_mv)
        lines.append(Line(budget_ma=min(max(0, room_ma), BOUND_MAX), coefficients=row.columns))
    return lines


def _power_limits(snapshot: Snapshot) -> dict[int, int]:
    """W of the tightest limit in force on what each circuit takes, by its index."""
    found: dict[int, int] = {}
    for limit in snapshot.limits:
        if limit.is_pending or limit.circuit_index is None or limit.quantity not in TAKEN:
            continue
        found[limit.circuit_index] = min(limit.bound, found.get(limit.circuit_index, UNBOUND_W))
    return found


def _share(trunk: Problem, asks: Sequence[Ask]) -> list[int]:
    columns = []
    for ask in asks:
        columns += [Column(cap_ma=ask.urgent_ma, stratum=1), Column(cap_ma=ask.more_ma, stratum=2)]
    values_ma = Answer.from_bytes(_core.allocate(trunk.to_bytes(columns))).values_ma
    return [urgent + more for urgent, more in zip(values_ma[::2], values_ma[1::2], strict=True)]


def _weight(view: EvseView, cap_ma: int) -> Share:
    return Share(
        asset_index=view.asset.index,
        factor=max(FACTOR_MIN, cap_ma / USUAL_MA),
        why=f"by laxity and phase balance {cap_ma} mA",
    )


POLICY = Policy(
    name="two_pass",
    title="phase balance where capacity is scarce, deadlines where it is not",
    params=Params,
    decide=decide,
)
