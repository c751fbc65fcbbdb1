"""Peak ceiling: the mean of each metering interval stays below what the demand charge is counted from.

    energy drawn in this interval so far ──> what is left of its budget / time left ──> NET_IMPORT cap at the connection

A little may be drawn above the ceiling after a quiet beginning (burst), and less after a loud one. What was not seen
counts at the ceiling. With `ratchet` a peak of this month that is paid for already raises the ceiling to it.
"""

from __future__ import annotations

from dataclasses import dataclass

from dgm.api.ems.v1.ems_pb2 import Quantity
from dgm.ems.calendar import local_at
from dgm.ems.history import QUARTER_MS
from dgm.ems.limit_rules import BOUND_MAX
from dgm.ems.policies.parameters import ParameterError, flag, number
from dgm.ems.snapshot import Snapshot
from dgm.ems.stack import Policy
from dgm.ems.steering import CircuitCap, Targets

STEPS = 200
"""The cap moves in this part of the ceiling: finer is noise, and each move is told to the core."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Params:
    """Of one tariff."""

    ceiling_w: int = number("W, mean of an interval that is not to be exceeded", low=1, high=BOUND_MAX)
    interval_min: int = number(
        "length of a metering interval: 15, 30 or 60 min, on the UTC clock", low=15, high=60, default=15
    )
    margin_permille: int = number("of the ceiling, kept free", low=0, high=500, default=20)
    burst_permille: int = number("of the ceiling, the most for a moment", low=1000, high=3000, default=1100)
    ratchet: bool = flag("a higher mean of this month is paid for already: it is the ceiling then", default=False)

    def __post_init__(self) -> None:
        if self.interval_min not in (15, 30, 60):
            raise ParameterError("interval_min", str(self.interval_min), "15, 30 or 60")


@dataclass(frozen=True, slots=True, kw_only=True)
class Paid:
    """The highest mean of a month, W, as far as `quarters` closed quarters show it."""

    month: int
    quarters: int
    newest: int
    peak_w: int


def decide(snapshot: Snapshot, params: Params) -> Targets:
    """The cap of this moment."""
    memory = paid(snapshot, params) if params.ratchet else None
    ceiling_w = params.ceiling_w if memory is None else max(params.ceiling_w, memory.peak_w)
    goal_w = ceiling_w * (1000 - params.margin_permille) // 1000
    span_ms = params.interval_min * 60_000
    begin_ms = snapshot.now.utc_ms // span_ms * span_ms
    used_wms = drawn(snapshot, begin_ms, goal_w)
    left_ms = begin_ms + span_ms - snapshot.now.utc_ms
    most_w = goal_w * params.burst_permille // 1000
    step_w = max(1, ceiling_w // STEPS)
    bound_w = min(max(0, (goal_w * span_ms - used_wms) // left_ms), most_w) // step_w * step_w
    why = (
        f"ceiling {ceiling_w} W over {params.interval_min} min: {max(0, used_wms) // 3_600_000} Wh of it used, "
        f"{left_ms // 1000} s left"
    )
    cap = CircuitCap(
        key="import",
        circuit_index=snapshot.topology.root.index,
        quantity=Quantity.QUANTITY_NET_IMPORT,
        bound=bound_w,
        lasting=goal_w,
        why=why,
    )
    return Targets(circuit_caps=[cap], memory=memory)


def drawn(snapshot: Snapshot, begin_utc_ms: int, unseen_w: int) -> int:
    """W x ms imported since the interval began; what was not seen at `unseen_w`."""
    history, now_ms = snapshot.history, snapshot.now.utc_ms
    total_wms = 0
    for start in range(begin_utc_ms, now_ms + 1, QUARTER_MS):
        span_ms = min(start + QUARTER_MS, now_ms) - start
        if start == history.open_utc_ms:
            total_wms += history.open_wms + max(0, span_ms - history.seen_ms) * unseen_w
        else:
            total_wms += history.means_w.get(start, unseen_w) * span_ms
    return total_wms


def paid(snapshot: Snapshot, params: Params) -> Paid:
    """The highest mean of this month; looked up anew when a quarter has closed or the month has changed."""
    means_w, month = snapshot.history.means_w, snapshot.local.month
    newest = max(means_w, default=0)
    held = snapshot.memory
    if isinstance(held, Paid) and (held.month, held.quarters, held.newest) == (month, len(means_w), newest):
        return held
    span_ms = params.interval_min * 60_000
    found: dict[int, list[int]] = {}
    for start, mean_w in means_w.items():
        if local_at(start, snapshot.offset).month == month:
            found.setdefault(start // span_ms, []).append(mean_w)
    whole = [sum(means) // len(means) for means in found.values() if len(means) * QUARTER_MS == span_ms]
    return Paid(month=month, quarters=len(means_w), newest=newest, peak_w=max(whole, default=0))


POLICY = Policy(
    name="peak",
    title="demand-charge ceiling on the mean of each metering interval",
    params=Params,
    decide=decide,
)
