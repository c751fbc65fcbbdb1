"""`two_pass` in a site: what phase balance and the cars' deadlines would give each car, as its weight.

    cars (needs, or what is usual) ──Session──> two_pass.decide, circuits as rows of _core.allocate ──> factor per EVSE

The core shares by these weights, so its limits, minimum currents and turns hold as always, and what one car leaves goes
to the others. A car that nobody stated a need for is taken to want the usual energy in the usual time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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

STEP_S = 60.0
"""For how long a share is meant to hold."""

FACTOR_MIN = 0.05
"""Of a car that can wait: it still gets its part of what others leave."""

USUAL_MA = 16_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Params:
    """Of cars that nobody stated a need for."""

    usual_wh: int = number(
        "Wh that a car without a stated need is taken to want", low=100, high=1_000_000, default=15_000
    )
    usual_min: int = number(
        "min that it is taken to stay from when it was first seen", low=15, high=10_080, default=360
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """When each car was first seen, monotonic ms by asset index."""

    since_ms: Mapping[int, int] = field(default_factory=dict)


Group = tuple[int, tuple[int, ...]]
"""EVSEs on the same circuit and phases."""


def decide(snapshot: Snapshot, params: Params) -> Targets:
    """A weight for every car."""
    held = snapshot.memory.since_ms if isinstance(snapshot.memory, Memory) else {}
    now_ms = snapshot.now.mono_ms
    cars = [view for view in snapshot.evses if view.has_car and view.asset.current_max_ma]
    memory = Memory(since_ms={view.asset.index: held.get(view.asset.index, now_ms) for view in cars})
    if not cars:
        return Targets(memory=memory)
    keys = [_group(view) for view in cars]
    groups = sorted(set(keys))
    sessions = [
        _session(view, groups.index(key), snapshot, params, now_ms - memory.since_ms[view.asset.index])
        for view, key in zip(cars, keys, strict=True)
    ]
    trunk = Problem(2 * len(groups), _lines(groups, snapshot), [])
    caps_ma = two_pass(sessions, len(groups), lambda asks: _share(trunk, asks), STEP_S)
    shares = [_weight(view, cap_ma) for view, cap_ma in zip(cars, caps_ma, strict=True)]
    return Targets(shares=shares, memory=memory)


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


def _lines(groups: Sequence[Group], snapshot: Snapshot) -> list[Line]:
    """What every circuit has for cars: its phases in mA, and its W as mA of one phase; two columns per group."""
    topology, lines = snapshot.topology, []
    for circuit in topology.circuits:
        below = [number for number, (index, _) in enumerate(groups) if circuit.index in topology.circuits[index].path]
        load_w = (snapshot.building_w or 0) if circuit.parent_index is None else 0
        if not below:
            continue
        power_w = _power_limit(snapshot, circuit.index, circuit.import_limit_w)
        if power_w is not None:
            room_ma = milliamps(max(0, power_w - load_w), 1, topology.nominal_voltage_mv)
            lines.append(_line(room_ma, {number: len(groups[number][1]) for number in below}))
        if circuit.current_limit_ma is not None:
            used_ma = milliamps(load_w, 3, topology.nominal_voltage_mv)
            room_ma = max(0, circuit.current_limit_ma - used_ma)
            on_phase = ({number: 1 for number in below if phase in groups[number][1]} for phase in (1, 2, 3))
            lines += [_line(room_ma, members) for members in on_phase if members]
    return lines


def _line(room_ma: int, members: Mapping[int, int]) -> Line:
    columns = {2 * number + half: times for number, times in members.items() for half in (0, 1)}
    return Line(budget_ma=min(room_ma, BOUND_MAX), coefficients=columns)


def _power_limit(snapshot: Snapshot, circuit_index: int, configured_w: int | None) -> int | None:
    quantities = (Quantity.QUANTITY_NET_IMPORT, Quantity.QUANTITY_GROSS_LOAD)
    bounds = [
        limit.bound
        for limit in snapshot.limits
        if not limit.is_pending and limit.circuit_index == circuit_index and limit.quantity in quantities
    ]
    return min([*bounds, *([] if configured_w is None else [configured_w])], default=None)


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
