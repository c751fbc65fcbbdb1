"""Export limit: the site gives the grid no more than this, always or at certain times.

limit_w, windows ──> NET_EXPORT cap at the connection, its failsafe the same limit: silence loosens nothing
"""

from __future__ import annotations

from dataclasses import dataclass

from dgm.api.ems.v1.ems_pb2 import Quantity
from dgm.ems.limit_rules import BOUND_MAX
from dgm.ems.policies.parameters import items, number, text
from dgm.ems.policies.windows import WINDOW_EXPECTED, Window, window
from dgm.ems.snapshot import Snapshot
from dgm.ems.stack import Policy
from dgm.ems.steering import CircuitCap, Targets


@dataclass(frozen=True, slots=True, kw_only=True)
class Params:
    """Of one limit."""

    limit_w: int = number("W out of the circuit, at most", low=0, high=BOUND_MAX)
    ramp_s: int = number(
        "s, how slowly the limit is reached when it begins; it is followed as a ramp", low=0, high=3600, default=0
    )
    windows: tuple[Window, ...] = items(
        "when it holds; none: always", expected=WINDOW_EXPECTED, parse=window, default=()
    )
    circuit: str = text("a metered circuit", circuit=True, default="")


def decide(snapshot: Snapshot, params: Params) -> Targets:
    """The cap while a window is open."""
    if params.windows and not any(one.holds(snapshot.local) for one in params.windows):
        return Targets()
    circuit = snapshot.topology.circuit(params.circuit) or snapshot.topology.root
    began_ms = snapshot.memory if isinstance(snapshot.memory, int) else snapshot.now.mono_ms
    # The ramp is that of the beginning: a renewal later is at its end, and must not begin it anew.
    ramps = params.ramp_s * 1000 > snapshot.now.mono_ms - began_ms
    bound_w = _ramped(snapshot, params, began_ms) if ramps else params.limit_w
    cap = CircuitCap(
        key="export",
        circuit_index=circuit.index,
        quantity=Quantity.QUANTITY_NET_EXPORT,
        bound=bound_w,
        failsafe=params.limit_w,
        why=f"no more than {params.limit_w} W out of {circuit.id}",
    )
    return Targets(circuit_caps=[cap], memory=began_ms)


def _ramped(snapshot: Snapshot, params: Params, began_ms: int) -> int:
    """From all that PV and batteries can give down to the limit, on a straight line."""
    given = [view.asset.power_max_w or 0 for view in snapshot.solars]
    given += [view.asset.power_max_w or 0 for view in snapshot.batteries]
    rest_ms = params.ramp_s * 1000 - (snapshot.now.mono_ms - began_ms)
    return params.limit_w + max(0, sum(given) - params.limit_w) * rest_ms // (params.ramp_s * 1000)


POLICY = Policy(
    name="export_limit",
    title="no more than so much out of the site, always or at certain times",
    params=Params,
    decide=decide,
)
