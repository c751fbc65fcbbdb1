"""Demand response: into an event in time, below its baseline where it is told so, and no rebound afterwards.

    limit of a utility with an end ───> before it: a cap of its quantity that comes down to it (lead)
    targets of a utility for PV and batteries ──> during them: NET_IMPORT cap = baseline + what they change
    `shed` of site.yaml ──────────────> during it: NET_IMPORT cap = baseline - W asked for; `exact`: batteries hold it
    end of an event on load ──────────> after it: a cap of its quantity = baseline x rebound, for a while

Baseline of a quarter hour: `baseline_w` where the programme states one, else `ems.baseline`; of a quantity other than
NET_IMPORT what was measured before the event. A limit in force binds by itself; this policy only adds to it, so its
caps need no failsafe: without them the limit still holds. The lead is for limits that are put before they start: the
`der` role puts its own at their start. What generates returns after an event as the Arbiter paces it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from dgm.api.ems.v1.ems_pb2 import Quantity
from dgm.ems.baseline import baseline_of, hour_before
from dgm.ems.calendar import MINUTE_MS
from dgm.ems.history import QUARTER_MS
from dgm.ems.limit_rules import BOUND_MAX
from dgm.ems.policies.parameters import ParameterError, flag, items, number, word
from dgm.ems.policies.windows import DATED_EXPECTED, Dated, dated
from dgm.ems.snapshot import LimitView, Snapshot, StorageView
from dgm.ems.stack import Policy
from dgm.ems.steering import AssetWant, CircuitCap, Span, Targets

NET_IMPORT = Quantity.QUANTITY_NET_IMPORT
PERMIT = "utility:flowReservation"
"""A granted block of a flow reservation."""

LOADS = (NET_IMPORT, Quantity.QUANTITY_GROSS_LOAD)
"""Quantities of which there is a rebound."""

EVENT_MS_MAX = 24 * 3_600_000
"""A limit that lasts longer is an agreement, not an event."""

STEP_W = 100
EVENT_DAYS_MAX = 60
DAY_MINUTES = 1440
AHEAD_DAYS = 2
"""So many days before its day plans are told of an event by hand."""

CALM_MS = 900_000
"""What was usual before an event is a mean that forgets so fast (e-fold)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Params:
    """Of a programme."""

    sources: tuple[str, ...] = items(
        "whose limits and targets are events; one that ends with ':' is every source of its kind",
        expected="a source",
        parse=word,
        default=("utility:",),
    )
    permits: tuple[str, ...] = items(
        "ids of limits that permit, and are no events", expected="a limit's id", parse=word, default=(PERMIT,)
    )
    shed: tuple[Dated, ...] = items(
        "events by hand: W less than the baseline", expected=DATED_EXPECTED, parse=dated, default=()
    )
    exact: bool = flag("in events by hand batteries take up what is more or less than asked", default=False)
    baseline_w: int = number("baseline in W that is stated; 0: from the history", low=0, high=BOUND_MAX, default=0)
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
    """One event. before_w: of its quantity, before it. plant_w: into PV and batteries before it; None: not seen."""

    id: str
    begin_ms: int
    end_ms: int
    before_w: int | None
    quantity: Quantity = NET_IMPORT
    plant_w: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """Events in force by id, the newest one that is over, and the local days that had one.

    calm: what is usual of each quantity, and of the plant (None), in W; as of the last time without an event.
    """

    running: Mapping[str, Event] = field(default_factory=dict)
    over: Event | None = None
    event_days: frozenset[int] = frozenset()
    calm: Mapping[Quantity | None, float] = field(default_factory=dict)
    calm_ms: int | None = None


TARGETS = "targets"
"""Id of the event that a utility's targets for PV and batteries are."""


def decide(snapshot: Snapshot, params: Params) -> Targets:
    """The caps of this moment: before, during, after; and the wants of batteries that hold a shed exactly."""
    memory = follow(snapshot, params)
    events = [limit for limit in snapshot.limits if _is_event(limit, snapshot, params)]
    caps = [cap for limit in events for cap in _before(limit, snapshot, params)]
    sheds = list(_sheds(snapshot, params, memory))
    caps += [cap for cap, _ in sheds]
    caps += _with_targets(snapshot, params, memory)
    caps += _after(snapshot, params, memory)
    caps += _to_come(snapshot, params, memory)
    wants = [want for _, goal_w in sheds[:1] if params.exact for want in _holding(snapshot, goal_w)]
    return Targets(circuit_caps=caps, wants=wants, memory=memory)


def follow(snapshot: Snapshot, params: Params) -> Memory:
    """Which events run, which is over; one that was withdrawn is over at once."""
    held = snapshot.memory if isinstance(snapshot.memory, Memory) else Memory()
    now_ms = snapshot.now.utc_ms
    seen = {
        f"{limit.id} {limit.reason}".strip(): (limit.start_utc_ms, limit.end_utc_ms or now_ms, limit.quantity)
        for limit in _in_force(snapshot, params)
    }
    seen |= {str(one): (now_ms, now_ms, NET_IMPORT) for one in params.shed if one.holds(snapshot.local)}
    if _targeted(snapshot, params):
        seen[TARGETS] = (now_ms, now_ms, NET_IMPORT)
    calm, calm_ms = _calmed(held, snapshot, is_calm=not seen)
    running = {
        name: held.running.get(name)
        or Event(
            id=name,
            begin_ms=begin,
            end_ms=end,
            quantity=quantity,
            before_w=hour_before(snapshot) if quantity == NET_IMPORT else _rounded(calm.get(quantity)),
            plant_w=_rounded(calm.get(None)),
        )
        for name, (begin, end, quantity) in seen.items()
    }
    gone = [replace(event, end_ms=now_ms) for name, event in held.running.items() if name not in running]
    days = held.event_days | ({snapshot.local.day} if running else set())
    recent = frozenset(sorted(days)[-EVENT_DAYS_MAX:])
    over = gone[-1] if gone else held.over
    return Memory(running=running, over=over, event_days=recent, calm=calm, calm_ms=calm_ms)


def measured(snapshot: Snapshot) -> dict[Quantity | None, int]:
    """W of each quantity at the connection point that is seen; None: into PV and batteries together."""
    found: dict[Quantity | None, int] = {}
    net_w, solar_w, storage_w, evse_w = snapshot.net_w, snapshot.solar_w, snapshot.storage_w, snapshot.evse_w
    if net_w is not None:
        found |= {NET_IMPORT: net_w, Quantity.QUANTITY_NET_EXPORT: -net_w}
    if storage_w is not None and evse_w is not None:
        found[Quantity.QUANTITY_GROSS_LOAD] = evse_w + max(0, storage_w)
    if solar_w is not None and storage_w is not None:
        found[Quantity.QUANTITY_GROSS_GENERATION] = solar_w + max(0, -storage_w)
        found |= {Quantity.QUANTITY_DER_OUTPUT: solar_w - storage_w, None: storage_w - solar_w}
    return found


def baseline(
    snapshot: Snapshot, params: Params, event_days: frozenset[int], quarter_utc_ms: int, before_w: int | None
) -> int | None:
    """W that would have been imported in a quarter without an event; None: nothing tells."""
    if params.baseline_w:
        return params.baseline_w
    return baseline_of(snapshot, event_days, quarter_utc_ms, before_w, days=params.days, highest=params.highest)


def _calmed(held: Memory, snapshot: Snapshot, *, is_calm: bool) -> tuple[Mapping[Quantity | None, float], int | None]:
    """The means with one more look, where no event runs."""
    now_ms = snapshot.now.mono_ms
    if not is_calm:
        return held.calm, held.calm_ms
    since_ms = CALM_MS if held.calm_ms is None else max(0, now_ms - held.calm_ms)
    part = min(1.0, since_ms / CALM_MS)
    seen = measured(snapshot)
    return {name: held.calm.get(name, value) * (1 - part) + value * part for name, value in seen.items()}, now_ms


def _rounded(value: float | None) -> int | None:
    return None if value is None else round(value)


def _before(limit: LimitView, snapshot: Snapshot, params: Params) -> Iterable[CircuitCap]:
    """Down to the limit on a straight line from what is seen now, so that its start finds it met."""
    wait_ms, lead_ms = limit.start_utc_ms - snapshot.now.utc_ms, params.lead_s * 1000
    seen_w = measured(snapshot).get(limit.quantity)
    if not limit.is_pending or not 0 < wait_ms <= lead_ms or seen_w is None or seen_w <= limit.bound:
        return
    # Half of the lead is for the way down, half for EVSEs that are slow to follow.
    bound_w = limit.bound + (seen_w - limit.bound) * max(0, wait_ms - lead_ms // 2) // lead_ms
    why = f"{limit.id} begins in {wait_ms // 1000} s"
    yield _cap(snapshot, f"before:{limit.id}"[:60], bound_w, why, quantity=limit.quantity, until_ms=limit.start_utc_ms)


def _sheds(snapshot: Snapshot, params: Params, memory: Memory) -> Iterator[tuple[CircuitCap, int]]:
    """The cap of each event by hand that runs, and the net import that it asks for."""
    for at, one in enumerate(params.shed):
        event = memory.running.get(str(one))
        base_w = None if event is None else _baseline_now(snapshot, params, memory, event)
        if base_w is not None:
            goal_w = max(0, base_w - one.value)
            why = f"{one}: {one.value} W below the baseline of {base_w} W"
            yield _cap(snapshot, f"shed:{at}", goal_w, why, until_ms=_end_of(one, snapshot)), goal_w


def _with_targets(snapshot: Snapshot, params: Params, memory: Memory) -> Iterator[CircuitCap]:
    """What PV and batteries give more for a utility is not drawn by the EVs: the import follows the targets."""
    event, targets = memory.running.get(TARGETS), _targeted(snapshot, params)
    if event is None or event.plant_w is None:
        return
    base_w, solar_w = _baseline_now(snapshot, params, memory, event), snapshot.solar_w
    stored = [targets.get(view.asset.index, view.power_w) for view in snapshot.batteries]
    if base_w is None or solar_w is None or any(power is None for power in stored):
        return
    change_w = sum(power or 0 for power in stored) - solar_w - event.plant_w
    if change_w < 0:
        why = f"targets of the utility: {-change_w} W below the baseline of {base_w} W"
        yield _cap(snapshot, "targets", max(0, base_w + change_w), why, until_ms=snapshot.now.utc_ms + QUARTER_MS)


def _holding(snapshot: Snapshot, goal_w: int) -> Iterator[AssetWant]:
    """Batteries make up what load and EVs leave to the goal, in both directions, each by its rating."""
    net_w, storage_w = snapshot.net_w, snapshot.storage_w
    if net_w is None or storage_w is None:
        return
    want_w = goal_w - (net_w - storage_w)
    able = [(view, _able_w(view, charging=want_w > 0)) for view in snapshot.batteries]
    total_w = sum(power_w for _, power_w in able)
    for view, power_w in able if total_w else ():
        own_w = min(abs(want_w), total_w) * power_w // total_w
        why = f"holds the import at {goal_w} W"
        yield AssetWant(asset_index=view.asset.index, value=own_w if want_w > 0 else -own_w, why=why)


def _able_w(view: StorageView, *, charging: bool) -> int:
    rated_w = view.asset.power_max_w or 0
    return view.asset.charge_max_w if charging and view.asset.charge_max_w is not None else rated_w


def _after(snapshot: Snapshot, params: Params, memory: Memory) -> Iterable[CircuitCap]:
    over, now_ms = memory.over, snapshot.now.utc_ms
    if over is None or over.quantity not in LOADS or memory.running:
        return
    end_ms = over.end_ms + params.rebound_min * MINUTE_MS
    base_w = over.before_w if over.quantity != NET_IMPORT else _baseline_now(snapshot, params, memory, over)
    if now_ms < end_ms and base_w is not None:
        bound_w = max(0, base_w) * params.rebound_permille // 1000
        left_min = -(-(end_ms - now_ms) // MINUTE_MS)
        why = f"no rebound after {over.id}: baseline {base_w} W, {left_min} min left"
        yield _cap(snapshot, "rebound", bound_w, why, quantity=over.quantity, until_ms=end_ms)


def _to_come(snapshot: Snapshot, params: Params, memory: Memory) -> Iterator[CircuitCap]:
    """Plans for hours ahead are told of events by hand that are known: what they bind, and nothing now."""
    spans: list[Span] = []
    for one in sorted(params.shed, key=lambda one: (one.day, one.begin_minute)):
        start_ms = _instant(one.day, one.begin_minute, snapshot)
        if start_ms <= snapshot.now.utc_ms or one.day - snapshot.local.day > AHEAD_DAYS:
            continue
        quarter_ms = start_ms // QUARTER_MS * QUARTER_MS
        base_w = baseline(snapshot, params, memory.event_days, quarter_ms, None)
        if base_w is not None and (not spans or spans[-1].end_utc_ms <= start_ms):
            bound_w = max(0, base_w - one.value) // STEP_W * STEP_W
            spans.append(Span(start_utc_ms=start_ms, end_utc_ms=_end_of(one, snapshot), bound=bound_w))
    if spans:
        cap = _cap(snapshot, "to-come", BOUND_MAX, f"{len(spans)} events to come", until_ms=snapshot.now.utc_ms)
        yield replace(cap, ahead=tuple(spans))


def _baseline_now(snapshot: Snapshot, params: Params, memory: Memory, event: Event) -> int | None:
    quarter_ms = snapshot.now.utc_ms // QUARTER_MS * QUARTER_MS
    return baseline(snapshot, params, memory.event_days, quarter_ms, event.before_w)


def _end_of(one: Dated, snapshot: Snapshot) -> int:
    return _instant(one.day, one.end_minute, snapshot)


def _instant(day: int, minute: int, snapshot: Snapshot) -> int:
    """UTC ms of a local time, by the offset that holds now."""
    local_ms = (day * DAY_MINUTES + minute) * MINUTE_MS
    return local_ms - snapshot.offset(snapshot.now.utc_ms)


def _cap(
    snapshot: Snapshot, key: str, bound_w: int, why: str, *, until_ms: int, quantity: Quantity = NET_IMPORT
) -> CircuitCap:
    """A cap of the moment; plans count on it until its end."""
    bound = bound_w // STEP_W * STEP_W
    now_ms = snapshot.now.utc_ms
    spans = (Span(start_utc_ms=now_ms, end_utc_ms=until_ms, bound=bound),) if until_ms > now_ms else ()
    return CircuitCap(
        key=key,
        circuit_index=snapshot.topology.root.index,
        quantity=quantity,
        bound=bound,
        lasting=BOUND_MAX,
        ahead=spans,
        why=why,
    )


def _in_force(snapshot: Snapshot, params: Params) -> list[LimitView]:
    return [limit for limit in snapshot.limits if not limit.is_pending and _is_event(limit, snapshot, params)]


def _is_event(limit: LimitView, snapshot: Snapshot, params: Params) -> bool:
    return (
        _is_meant(limit.source, params)
        and limit.id not in params.permits
        and limit.circuit_index == snapshot.topology.root.index
        and limit.quantity != Quantity.QUANTITY_CURRENT
        and limit.end_utc_ms is not None
        and limit.end_utc_ms - limit.start_utc_ms <= EVENT_MS_MAX
        # What is followed by itself is a default that its source renews.
        and (limit.failsafe is None or limit.failsafe > limit.bound)
    )


def _is_meant(source: str, params: Params) -> bool:
    return any(source == one or (one.endswith(":") and source.startswith(one)) for one in params.sources)


def _targeted(snapshot: Snapshot, params: Params) -> dict[int, int]:
    """W that sources of events want of batteries, by asset index."""
    batteries = {view.asset.index for view in snapshot.batteries}
    return {
        index: target.value
        for index, target in snapshot.targets.items()
        if index in batteries and _is_meant(target.source, params)
    }


POLICY = Policy(
    name="demand_response",
    title="into events in time, below a baseline where asked, and no rebound afterwards",
    params=Params,
    decide=decide,
)
