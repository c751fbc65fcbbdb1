"""Limitation of power consumption: the grid's guard limits the controllable devices (section 14a EnWG, use case LPC).

    INIT ──────────┐  statement after a sign of life: a limit ──> LIMITED, none ──> CONTROLLED
    FAILSAFE ──────┼─ guard there for 120 s and has stated nothing ──> AUTONOMOUS (without limit by rule)
    LIMITED ───────┤  its duration is over, the guard is there ──> CONTROLLED
    any of them ───┴─ no sign of life for 120 s ──> FAILSAFE (INIT stays INIT)

Without limit is never reached by silence: the guard must be there, and must have permitted it or have said nothing in
its time. Even then the cap is a lease whose end is the failsafe. Lost while it limited, its limit holds on if it is
the lower one. Stricter than the use case, which lets a device run free once a guard is gone for the failsafe duration.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from dgm.api.ems.v1.ems_pb2 import Quantity
from dgm.api.ems.v1.policy_pb2 import GuardState
from dgm.ems.limit_rules import BOUND_MAX
from dgm.ems.policies.parameters import flag, number, text
from dgm.ems.snapshot import GUARD_SILENT_MS, GuardSeen, Snapshot
from dgm.ems.stack import Policy
from dgm.ems.steering import BATTERY, CircuitCap, Targets
from dgm.site.topology import AssetEntry, Topology

STATEMENT_MS = 120_000
"""How long a guard that is there again may take to state a limit."""

DEVICE_W_MIN = 4_200
"""Minimum of one controllable device; one of less power is none (section 14a, BK6-22-300)."""

SIMULTANEITY = (1000, 800, 750, 700, 650, 600, 550, 500, 450)
"""Per mille for 1, 2, ... 9 and more devices (BK6-22-300)."""

CREDIT_STEP_W = 100
"""Own generation is credited in these steps: less is noise of the meters."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Params:
    """Of one guard."""

    guard: str = text("source of ReportGuard, utility:<name> or api:<client>")
    failsafe_w: int | None = number(
        "W of all controllable devices while the guard is not there; none: their minimum power",
        low=0,
        high=BOUND_MAX,
        default=None,
    )
    devices: int | None = number(
        "how many controllable devices; none: EVSEs and batteries above 4.2 kW", low=1, high=100_000, default=None
    )
    credit_generation: bool = flag("own generation that nothing else uses may be charged on top", default=True)
    circuit: str = text("what the guard limits; default the connection point", circuit=True, default="")


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """Where the machine is. limit_w: as stated, while it is in force. taken: number of the newest statement taken."""

    state: GuardState
    since_ms: int
    limit_w: int | None = None
    limit_end_ms: int | None = None
    taken: int = 0

    @property
    def is_limited(self) -> bool:
        """Whether anything but the lease itself bounds the devices."""
        return self.state in (
            GuardState.GUARD_STATE_INIT,
            GuardState.GUARD_STATE_LIMITED,
            GuardState.GUARD_STATE_FAILSAFE,
        )


def step(held: Memory | None, seen: GuardSeen | None, now_ms: int) -> Memory:
    """The machine one look later."""
    memory = held or Memory(state=GuardState.GUARD_STATE_INIT, since_ms=now_ms)
    is_there = seen is not None and now_ms - seen.heard_mono_ms < GUARD_SILENT_MS
    if seen is None or not is_there:
        return _silent(memory, now_ms)
    memory = _stated(memory, seen, now_ms)
    return _timed(memory, seen, now_ms)


def _silent(memory: Memory, now_ms: int) -> Memory:
    if memory.limit_end_ms is not None and now_ms >= memory.limit_end_ms:
        memory = replace(memory, limit_w=None, limit_end_ms=None)
    if memory.state in (GuardState.GUARD_STATE_INIT, GuardState.GUARD_STATE_FAILSAFE):
        return memory
    return replace(memory, state=GuardState.GUARD_STATE_FAILSAFE, since_ms=now_ms)


def _stated(memory: Memory, seen: GuardSeen, now_ms: int) -> Memory:
    stated = seen.stated
    if stated is None or stated.number <= memory.taken:
        return memory
    end_ms = None if stated.duration_ms is None else stated.at_mono_ms + stated.duration_ms
    waits = memory.state in (GuardState.GUARD_STATE_INIT, GuardState.GUARD_STATE_FAILSAFE)
    waited_ms = now_ms - max(memory.since_ms, seen.since_mono_ms)
    if waits and stated.at_mono_ms <= seen.since_mono_ms and waited_ms < STATEMENT_MS:
        # It came with the first sign of life: a permit must follow one. A limit may tighten the failsafe meanwhile.
        return memory if stated.power_w is None else replace(memory, limit_w=stated.power_w, limit_end_ms=end_ms)
    memory = replace(memory, taken=stated.number, since_ms=now_ms, limit_w=stated.power_w, limit_end_ms=end_ms)
    if stated.power_w is None:
        return replace(memory, state=GuardState.GUARD_STATE_CONTROLLED, limit_end_ms=None)
    return replace(memory, state=GuardState.GUARD_STATE_LIMITED)


def _timed(memory: Memory, seen: GuardSeen, now_ms: int) -> Memory:
    match memory.state:
        case GuardState.GUARD_STATE_LIMITED:
            if memory.limit_end_ms is None or now_ms < memory.limit_end_ms:
                return memory
            state = GuardState.GUARD_STATE_CONTROLLED
        case GuardState.GUARD_STATE_INIT | GuardState.GUARD_STATE_FAILSAFE:
            if now_ms - max(memory.since_ms, seen.since_mono_ms) < STATEMENT_MS:
                return memory
            state = GuardState.GUARD_STATE_AUTONOMOUS
        case _:
            return memory
    return replace(memory, state=state, since_ms=now_ms, limit_w=None, limit_end_ms=None)


def limit_of(memory: Memory, failsafe_w: int) -> int | None:
    """W in force for the controllable devices; None: no limit of the guard."""
    if not memory.is_limited:
        return None
    if memory.state == GuardState.GUARD_STATE_LIMITED:
        return memory.limit_w
    return failsafe_w if memory.limit_w is None else min(failsafe_w, memory.limit_w)


def decide(snapshot: Snapshot, params: Params) -> Targets:
    """The guard's limit on what the controllable devices take from the grid."""
    memory = step(snapshot.memory, snapshot.guards.get(params.guard), snapshot.now.mono_ms)
    topology = snapshot.topology
    failsafe_w = failsafe_of(params, topology)
    circuit = topology.circuit(params.circuit)
    limit_w = limit_of(memory, failsafe_w)
    cap = CircuitCap(
        key="load",
        circuit_index=topology.root.index if circuit is None else circuit.index,
        quantity=Quantity.QUANTITY_GROSS_LOAD,
        bound=nameplate(topology) if limit_w is None else limit_w + credit(snapshot, params),
        lasting=nameplate(topology) if limit_w is None else limit_w,
        failsafe=failsafe_w,
        why=f"guard {params.guard} is {GuardState.Name(memory.state).removeprefix('GUARD_STATE_')}: "
        + ("no limit" if limit_w is None else f"{limit_w} W from the grid"),
    )
    return Targets(circuit_caps=[cap], memory=memory)


def failsafe_of(params: Params, topology: Topology) -> int:
    """W while the guard is not there."""
    if params.failsafe_w is not None:
        return params.failsafe_w
    return minimum_w(params.devices or sum(is_controllable(asset, topology) for asset in topology.assets))


def minimum_w(devices: int) -> int:
    """Least power that a grid operator leaves to so many controllable devices behind an EMS, W, rounded down."""
    permille = SIMULTANEITY[min(devices, len(SIMULTANEITY)) - 1] if devices else 0
    return DEVICE_W_MIN + (max(devices, 1) - 1) * permille * DEVICE_W_MIN // 1000


def is_controllable(asset: AssetEntry, topology: Topology) -> bool:
    """Whether an asset is a controllable device: an EVSE or a battery that can take more than 4.2 kW."""
    return _load_w(asset, topology) > DEVICE_W_MIN


def nameplate(topology: Topology) -> int:
    """W that all EVSEs and batteries can take together: a bound that bounds nothing, so that the lease has one."""
    return sum(_load_w(asset, topology) for asset in topology.assets)


def credit(snapshot: Snapshot, params: Params) -> int:
    """W of own generation that the building does not use; 0 where not all is seen."""
    solar_w, building_w = snapshot.solar_w, snapshot.building_w
    if params.circuit and params.circuit != snapshot.topology.root.id:
        return 0  # what a part of the site uses of the generation is not measured
    if not params.credit_generation or solar_w is None or building_w is None or snapshot.storage_w is None:
        return 0
    own_w = solar_w + max(0, -snapshot.storage_w)
    return max(0, own_w - building_w) // CREDIT_STEP_W * CREDIT_STEP_W


def _load_w(asset: AssetEntry, topology: Topology) -> int:
    if asset.is_evse:
        return (asset.current_max_ma or 0) * len(asset.phases) * topology.nominal_voltage_mv // 1_000_000
    if asset.type == BATTERY:
        return (asset.charge_max_w if asset.charge_max_w is not None else asset.power_max_w) or 0
    return 0


POLICY = Policy(
    name="lpc",
    title="limit of the grid's guard on controllable devices (14a, LPC), with its failsafe",
    params=Params,
    decide=decide,
)
