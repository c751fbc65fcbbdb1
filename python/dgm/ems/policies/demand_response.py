"""Demand response: into an event in time, below its baseline where it is told so, and no rebound afterwards.

    limit of a utility with an end ──> before it: NET_IMPORT cap that comes down to it (lead)
    `shed` of site.yaml ─────────────> during it: NET_IMPORT cap = baseline - W asked for
    end ─────────────────────────────> after it: NET_IMPORT cap = baseline x rebound, for a while

Baseline of a quarter hour: mean of the same quarter of the `highest` of the last `days` days of its kind (working
day, or weekend) without an event. Where there is no such history: what was drawn in the hour before the event. A
limit in force binds by itself; this policy only adds to it, so its caps need no failsafe: without them the limit
still holds. The lead is for limits that are put before they start: the `der` role puts its own at their start.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from dgm.api.ems.v1.ems_pb2 import Quantity
from dgm.ems.calendar import DAY_MS, local_at
from dgm.ems.history import QUARTER_MS
from dgm.ems.policies.parameters import ParameterError, items, number, word
from dgm.ems.policies.windows import DATED_EXPECTED, Dated, dated
from dgm.ems.snapshot import LimitView, Snapshot
from dgm.ems.stack import Policy
from dgm.ems.steering import CircuitCap, Targets

SATURDAY = 5
BACK_DAYS = 45
"""As far as the history goes."""

EVENT_MS_MAX = 24 * 3_600_000
"""A limit that lasts longer is an agreement, not an event."""

STEP_W = 100
EVENT_DAYS_MAX = 60
QUARTERS_BEFORE = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Params:
    """Of a programme."""

    sources: tuple[str, ...] = items(
        "whose limits are events; one that ends with ':' is every source of its kind",
        expected="a source",
        parse=word,
        default=("utility:",),
    )
    shed: tuple[Dated, ...] = items(
        "events by hand: W less than the baseline", expected=DATED_EXPECTED, parse=dated, default=()
    )
    lead_s: int = number("s before an event in which the import comes down to it", low=0, high=1800, default=60)
    rebound_permille: int = number(
        "of the baseline, the most in the time after an event", low=500, high=2000, default=1050
    )
    rebound_min: int = number("min after an event in which that holds", low=0, high=1440, default=120)
    days: int = number("days of its kind that the baseline looks back to", low=1, high=30, default=10)
    highest: int = number("how many of them count, those with the highest quarter", low=1, high=30, default=10)

    def __post_init__(self) -> None:
        if self.highest > self.days:
            raise ParameterError("highest", str(self.highest), f"at most days, which is {self.days}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One event. before_w: mean of the hour before it."""

    id: str
    begin_ms: int
    end_ms: int
    before_w: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """Events in force by id, the newest one that is over, and the local days that had one."""

    running: Mapping[str, Event] = field(default_factory=dict)
    over: Event | None = None
    event_days: frozenset[int] = frozenset()


def decide(snapshot: Snapshot, params: Params) -> Targets:
    """The caps of this moment: before, during, after."""
    memory = follow(snapshot, params)
    caps = [cap for limit in snapshot.limits if _is_event(limit, params) for cap in _before(limit, snapshot, params)]
    caps += _during(snapshot, params, memory)
    caps += _after(snapshot, params, memory)
    return Targets(circuit_caps=caps, memory=memory)


def follow(snapshot: Snapshot, params: Params) -> Memory:
    """Which events run, which is over; one that was withdrawn is over at once."""
    held = snapshot.memory if isinstance(snapshot.memory, Memory) else Memory()
    now_ms = snapshot.now.utc_ms
    seen = {
        f"{limit.id} {limit.reason}".strip(): (limit.start_utc_ms, limit.end_utc_ms or now_ms)
        for limit in _in_force(snapshot, params)
    }
    seen |= {str(one): (now_ms, now_ms) for one in params.shed if one.holds(snapshot.local)}
    running = {
        name: held.running.get(name) or Event(id=name, begin_ms=begin, end_ms=end, before_w=_hour_before(snapshot))
        for name, (begin, end) in seen.items()
    }
    gone = [replace(event, end_ms=now_ms) for name, event in held.running.items() if name not in running]
    days = held.event_days | ({snapshot.local.day} if running else set())
    recent = frozenset(sorted(days)[-EVENT_DAYS_MAX:])
    return Memory(running=running, over=gone[-1] if gone else held.over, event_days=recent)


def baseline(
    snapshot: Snapshot, params: Params, event_days: frozenset[int], quarter_utc_ms: int, before_w: int | None
) -> int | None:
    """W that would have been imported in a quarter without an event; None: nothing tells."""
    means_w, kind = snapshot.history.means_w, _is_weekend(quarter_utc_ms, snapshot)
    found: list[int] = []
    for back in range(1, BACK_DAYS + 1):
        start = quarter_utc_ms - back * DAY_MS
        local = local_at(start, snapshot.offset)
        if start in means_w and local.day not in event_days and _is_weekend(start, snapshot) == kind:
            found.append(means_w[start])
        if len(found) == params.days:
            break
    if not found:
        return before_w
    counted = sorted(found, reverse=True)[: params.highest]
    return sum(counted) // len(counted)


def _before(limit: LimitView, snapshot: Snapshot, params: Params) -> Iterable[CircuitCap]:
    """Down to the limit on a straight line from what is drawn now, so that its start finds it met."""
    wait_ms, lead_ms = limit.start_utc_ms - snapshot.now.utc_ms, params.lead_s * 1000
    net_w = snapshot.net_w
    if not limit.is_pending or not 0 < wait_ms <= lead_ms or net_w is None or net_w <= limit.bound:
        return
    # Half of the lead is for the way down, half for EVSEs that are slow to follow.
    bound_w = limit.bound + (net_w - limit.bound) * max(0, wait_ms - lead_ms // 2) // lead_ms
    yield _cap(snapshot, f"before:{limit.id}"[:60], bound_w, f"{limit.id} begins in {wait_ms // 1000} s")


def _during(snapshot: Snapshot, params: Params, memory: Memory) -> Iterable[CircuitCap]:
    quarter_ms = snapshot.now.utc_ms // QUARTER_MS * QUARTER_MS
    for at, one in enumerate(params.shed):
        event = memory.running.get(str(one))
        if event is None:
            continue
        base_w = baseline(snapshot, params, memory.event_days, quarter_ms, event.before_w)
        if base_w is not None:
            bound_w = max(0, base_w - one.value)
            yield _cap(snapshot, f"shed:{at}", bound_w, f"{one}: {one.value} W below the baseline of {base_w} W")


def _after(snapshot: Snapshot, params: Params, memory: Memory) -> Iterable[CircuitCap]:
    over, now_ms = memory.over, snapshot.now.utc_ms
    if over is None or memory.running or now_ms - over.end_ms >= params.rebound_min * 60_000:
        return
    quarter_ms = now_ms // QUARTER_MS * QUARTER_MS
    base_w = baseline(snapshot, params, memory.event_days, quarter_ms, over.before_w)
    if base_w is not None:
        bound_w = max(0, base_w) * params.rebound_permille // 1000
        left_min = params.rebound_min - (now_ms - over.end_ms) // 60_000
        why = f"no rebound after {over.id}: baseline {base_w} W, {left_min} min left"
        yield _cap(snapshot, "rebound", bound_w, why)


def _cap(snapshot: Snapshot, key: str, bound_w: int, why: str) -> CircuitCap:
    return CircuitCap(
        key=key,
        circuit_index=snapshot.topology.root.index,
        quantity=Quantity.QUANTITY_NET_IMPORT,
        bound=bound_w // STEP_W * STEP_W,
        why=why,
    )


def _in_force(snapshot: Snapshot, params: Params) -> list[LimitView]:
    return [limit for limit in snapshot.limits if not limit.is_pending and _is_event(limit, params)]


def _is_event(limit: LimitView, params: Params) -> bool:
    meant = any(limit.source == one or (one.endswith(":") and limit.source.startswith(one)) for one in params.sources)
    return (
        meant
        and limit.quantity == Quantity.QUANTITY_NET_IMPORT
        and limit.end_utc_ms is not None
        and limit.end_utc_ms - limit.start_utc_ms <= EVENT_MS_MAX
        # What is followed by itself is a default that its source renews.
        and (limit.failsafe is None or limit.failsafe > limit.bound)
    )


def _hour_before(snapshot: Snapshot) -> int | None:
    """Mean of the whole quarters of the last hour; of what is open where none is closed."""
    first = snapshot.now.utc_ms // QUARTER_MS * QUARTER_MS
    starts = range(first - QUARTERS_BEFORE * QUARTER_MS, first, QUARTER_MS)
    means: Sequence[int] = [snapshot.history.means_w[start] for start in starts if start in snapshot.history.means_w]
    return sum(means) // len(means) if means else snapshot.history.open_mean_w


def _is_weekend(utc_ms: int, snapshot: Snapshot) -> bool:
    return local_at(utc_ms, snapshot.offset).weekday >= SATURDAY


POLICY = Policy(
    name="demand_response",
    title="into events in time, below a baseline where asked, and no rebound afterwards",
    params=Params,
    decide=decide,
)
