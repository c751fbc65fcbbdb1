"""The composite schedule: what installed profiles allow, exactly, at every instant.

    profiles, View ──limit_at──> Limit of an instant       ──schedule──> steps from now on, `next_edge` between them

Per purpose the profile with the highest stackLevel that has a period now leads; the leaders of the purposes intersect;
TX, else TX_DEFAULT, speaks for the transaction, PRIORITY over both where it is activated; LOCAL_GENERATION is added to
the result (1.6 3.13.1-3; 2.1 part 2 K 3.5, 3.6, SC.01). A profile whose schedule has ended, or has not begun, has no
period and leaves the lead to a lower stackLevel; one without duration never ends (1.6E 3.43; K01.FR.11-13, .30).
Where the texts are open: a TX_DEFAULT of an EVSE replaces the station-wide one of the same stackLevel for that EVSE,
and stacks with those of other levels. What a car may give back, and its setpoint (2.1), are said by the transaction's
profile alone: the others know ChargingOnly (table 95), and cap the setpoint. Does not know which profiles are allowed;
that is `virtual`.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from zlib import crc32

from dgm.ocpp.profile import (
    PHASES_DEFAULT,
    OperationMode,
    Period,
    Profile,
    ProfileKind,
    Purpose,
    RateUnit,
    Transaction,
)

MAX_STEPS = 1024
"""Of one schedule; a longer one is cut short and says so by its end."""

STATION_WIDE = (Purpose.MAX, Purpose.EXTERNAL, Purpose.LOCAL_GENERATION)


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """For whom a composite is asked. evse_id 0: the station, whose `evse_ids` then share the station-wide limits.

    transactions: the running one of each EVSE. as_if_utc_ms: an EVSE without transaction is looked at as if one had
    begun then (K08.FR.06); None: as if it began at the instant asked for. priority: EVSEs whose PRIORITY profile is
    activated. offline_since_utc_ms: when the station went offline, None: it is online. soc_permille: of the cars, where
    it is known. discharge_max_ma: what the site lets each EVSE give back, mA per phase. seed: whose random delays.
    """

    evse_id: int
    nominal_voltage_mv: int
    evse_ids: tuple[int, ...] = ()
    transactions: Mapping[int, Transaction] = field(default_factory=dict)
    as_if_utc_ms: int | None = None
    priority: frozenset[int] = frozenset()
    offline_since_utc_ms: int | None = None
    soc_permille: Mapping[int, int] = field(default_factory=dict)
    discharge_max_ma: Mapping[int, int] = field(default_factory=dict)
    seed: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """A limit in sixths of a microwatt per phase at nominal voltage: A and W, 1 to 3 phases, all exact integers.

    phases: the lowest numberPhases of all that lead (K01.FR.140). min_rate: the highest minChargingRate of those.
    discharge (<= 0): the most that may be given back. setpoint: what should flow, within both; negative gives back.
    """

    rate: int
    phases: int = PHASES_DEFAULT
    phase_to_use: int | None = None
    min_rate: int | None = None
    mode: OperationMode = OperationMode.CHARGING_ONLY
    discharge: int = 0
    setpoint: int | None = None

    def current_ma(self, nominal_voltage_mv: int) -> int:
        """Per phase, rounded down."""
        return self.rate // (6 * nominal_voltage_mv)

    @property
    def power_mw(self) -> int:
        """Over its phases, rounded down."""
        return self.rate * self.phases // 6000


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """From at_utc_ms on; limit None: no profile limits it."""

    at_utc_ms: int
    limit: Limit | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """Steps in order, the first at the start; end_utc_ms: how far it tells."""

    steps: tuple[Step, ...]
    end_utc_ms: int


def limit_at(profiles: Iterable[Profile], view: View, at_utc_ms: int) -> Limit | None:
    """What holds at one instant; None: nothing limits it."""
    held = profiles if isinstance(profiles, Sequence) else tuple(profiles)
    if view.evse_id == 0:
        limits = [_station_leader(held, purpose, view, at_utc_ms) for purpose in (Purpose.MAX, Purpose.EXTERNAL)]
        limits.append(_sum_of_evses(held, view, at_utc_ms))
    else:
        limits = [_station_leader(held, Purpose.MAX, view, at_utc_ms)]
        limits += _evse_limits(held, view, view.evse_id, at_utc_ms)
    lowest = _lowest(limits)
    if lowest is not None and view.evse_id != 0:
        lowest = _with_flow(lowest, _transaction_limit(held, view, view.evse_id, at_utc_ms), view)
    generated = [p for p in held if p.purpose is Purpose.LOCAL_GENERATION and p.evse_id in (0, view.evse_id)]
    extra = _leading(generated, view, at_utc_ms)
    return lowest if lowest is None or extra is None else replace(lowest, rate=lowest.rate + extra.rate)


def next_edge(profiles: Iterable[Profile], view: View, at_utc_ms: int) -> int | None:
    """The first instant after at_utc_ms at which a limit may change by itself; None: never."""
    edges = (edge for p in profiles for edge in _edges(p, view, at_utc_ms) if edge > at_utc_ms)
    return min(edges, default=None)


def schedule(profiles: Iterable[Profile], view: View, start_utc_ms: int, *, duration_s: int) -> Schedule:
    """Steps over duration_s (>= 0); equal neighbours are joined. Cut at MAX_STEPS."""
    held, end_utc_ms = tuple(profiles), start_utc_ms + duration_s * 1000
    at: int | None = start_utc_ms
    steps: list[Step] = []
    while at is not None and (at < end_utc_ms or not steps):
        limit = limit_at(held, view, at)
        if not steps or steps[-1].limit != limit:
            if len(steps) == MAX_STEPS:
                return Schedule(steps=tuple(steps), end_utc_ms=at)
            steps.append(Step(at_utc_ms=at, limit=limit))
        at = next_edge(held, view, at)
    return Schedule(steps=tuple(steps), end_utc_ms=end_utc_ms)


def period_at(profile: Profile, view: View, at_utc_ms: int) -> Period | None:
    """The period of a profile that is in force at an instant; None: it says nothing then."""
    if not _is_valid(profile, view, at_utc_ms):
        return None
    elapsed_ms = at_utc_ms - _start_utc_ms(profile, view, at_utc_ms)
    if elapsed_ms < 0:
        return None
    if profile.kind is ProfileKind.RECURRING and profile.recurrency_s is not None:
        elapsed_ms %= profile.recurrency_s * 1000
    if profile.duration_s is not None and elapsed_ms >= profile.duration_s * 1000:
        return None
    begun = bisect_right(profile.periods, elapsed_ms, key=_start_of_period(profile, view))
    return profile.periods[begun - 1] if begun else None


def _start_of_period(profile: Profile, view: View) -> Callable[[Period], int]:
    """ms from the schedule's start; all but the first delayed by one draw for the profile and its transaction.

    Drawn anew with every transaction and every new profile (K01.FR.93), and the same each time it is asked for.
    """
    if not profile.random_delay_s:
        return lambda period: period.start_s * 1000
    transaction = view.transactions.get(view.evse_id)
    about = f"{view.seed}/{view.evse_id}/{profile.id}/{profile.set_utc_ms}/{transaction}"
    delay_ms = crc32(about.encode()) % (profile.random_delay_s + 1) * 1000
    return lambda period: period.start_s * 1000 + delay_ms if period.start_s else 0


# Who leads.


def _station_leader(held: Sequence[Profile], purpose: Purpose, view: View, at_utc_ms: int) -> Limit | None:
    return _leading([p for p in held if p.purpose is purpose and p.evse_id == 0], view, at_utc_ms)


def _evse_limits(held: Sequence[Profile], view: View, evse_id: int, at_utc_ms: int) -> list[Limit | None]:
    """What holds for one EVSE: external limits, its own and the station's, and its transaction's profile."""
    external = [p for p in held if p.purpose is Purpose.EXTERNAL]
    own = _leading([p for p in external if p.evse_id == evse_id], view, at_utc_ms)
    shared = _leading([p for p in external if p.evse_id == 0], view, at_utc_ms)
    return [own, shared, _transaction_limit(held, view, evse_id, at_utc_ms)]


def _transaction_limit(held: Sequence[Profile], view: View, evse_id: int, at_utc_ms: int) -> Limit | None:
    groups = []
    if evse_id in view.priority:
        groups.append([p for p in held if p.purpose is Purpose.PRIORITY and p.evse_id in (0, evse_id)])
    transaction = view.transactions.get(evse_id)
    if transaction is not None:
        groups.append([p for p in held if _is_for_transaction(p, evse_id, transaction)])
    groups.append(_defaults_of(held, evse_id))
    limits = (_leading(group, view, at_utc_ms, evse_id) for group in groups)
    return next((limit for limit in limits if limit is not None), None)


def _is_for_transaction(profile: Profile, evse_id: int, transaction: Transaction) -> bool:
    return (
        profile.purpose is Purpose.TX
        and profile.evse_id == evse_id
        and (profile.transaction_id is None or transaction.id is None or profile.transaction_id == transaction.id)
    )


def _defaults_of(held: Sequence[Profile], evse_id: int) -> list[Profile]:
    defaults = [p for p in held if p.purpose is Purpose.TX_DEFAULT]
    own = [p for p in defaults if p.evse_id == evse_id]
    own_levels = {p.stack_level for p in own}
    return own + [p for p in defaults if p.evse_id == 0 and p.stack_level not in own_levels]


def _leading(group: Sequence[Profile], view: View, at_utc_ms: int, evse_id: int | None = None) -> Limit | None:
    if evse_id is not None and evse_id != view.evse_id:
        view = replace(view, evse_id=evse_id)
    found = ((p, period) for p in group if (period := period_at(p, view, at_utc_ms)) is not None)
    best = max(found, key=lambda pair: (pair[0].stack_level, pair[0].evse_id), default=None)
    return None if best is None else _limit(*best, view)


def _sum_of_evses(held: Sequence[Profile], view: View, at_utc_ms: int) -> Limit | None:
    """All EVSEs at their own limits together; None: not all have one. Phases: as many as any of them uses."""
    found = [_lowest(_evse_limits(held, view, evse_id, at_utc_ms)) for evse_id in view.evse_ids]
    limits = [limit for limit in found if limit is not None]
    if not limits or len(limits) < len(found):
        return None
    return Limit(rate=sum(limit.rate for limit in limits), phases=max(limit.phases for limit in limits))


def _lowest(limits: Iterable[Limit | None]) -> Limit | None:
    found = [limit for limit in limits if limit is not None]
    if not found:
        return None
    phases = min(limit.phases for limit in found)
    wanted = (limit.phase_to_use for limit in found if limit.phases == phases)
    return Limit(
        rate=min(limit.rate for limit in found),
        phases=phases,
        phase_to_use=next((phase for phase in wanted if phase is not None), None),
        min_rate=max((limit.min_rate for limit in found if limit.min_rate is not None), default=None),
    )


def _with_flow(lowest: Limit, leader: Limit | None, view: View) -> Limit:
    """With what the transaction's profile says of giving back and of a setpoint, within what all limit."""
    if leader is None or leader.mode is OperationMode.CHARGING_ONLY:
        return lowest
    allowed = 6 * view.discharge_max_ma.get(view.evse_id, 0) * view.nominal_voltage_mv
    discharge = max(leader.discharge, -allowed)
    setpoint = None if leader.setpoint is None else max(min(leader.setpoint, lowest.rate), discharge)
    return replace(lowest, mode=leader.mode, discharge=discharge, setpoint=setpoint)


def _limit(profile: Profile, period: Period, view: View) -> Limit:
    def rate(milli: int) -> int:
        if profile.unit is RateUnit.A:
            return 6 * milli * view.nominal_voltage_mv
        # Towards 0: less is moved, whichever way.
        found = 6 * abs(milli) * 1000 // period.phases
        return found if milli >= 0 else -found

    limit, setpoint = rate(period.limit_milli), None if period.setpoint_milli is None else rate(period.setpoint_milli)
    soc = view.soc_permille.get(view.evse_id)
    if profile.soc_limit is not None and soc is not None and soc >= profile.soc_limit.soc_permille:
        cap = rate(profile.soc_limit.limit_milli)
        limit, setpoint = min(limit, cap), None if setpoint is None else min(setpoint, cap)
    return Limit(
        rate=limit,
        phases=period.phases,
        phase_to_use=period.phase_to_use,
        min_rate=None if profile.min_rate_milli is None else rate(profile.min_rate_milli),
        mode=period.mode,
        discharge=rate(period.discharge_milli),
        setpoint=setpoint,
    )


# When a profile holds.


def _is_valid(profile: Profile, view: View, at_utc_ms: int) -> bool:
    if profile.valid_from_utc_ms is not None and at_utc_ms < profile.valid_from_utc_ms:
        return False
    if profile.valid_to_utc_ms is not None and at_utc_ms >= profile.valid_to_utc_ms:
        return False
    offline_end_ms = _offline_end_utc_ms(profile, view)
    return offline_end_ms is None or at_utc_ms < offline_end_ms


def _offline_end_utc_ms(profile: Profile, view: View) -> int | None:
    """K01.FR.101: from here on the profile is not valid as long as the station is offline."""
    if view.offline_since_utc_ms is None or profile.max_offline_s is None:
        return None
    return view.offline_since_utc_ms + profile.max_offline_s * 1000


def _start_utc_ms(profile: Profile, view: View, at_utc_ms: int) -> int:
    """Where the schedule's periods begin to count."""
    if profile.kind is ProfileKind.DYNAMIC:
        return profile.set_utc_ms
    if profile.kind is not ProfileKind.RELATIVE and profile.start_utc_ms is not None:
        return profile.start_utc_ms
    if profile.purpose in STATION_WIDE:
        return profile.set_utc_ms
    transaction = view.transactions.get(view.evse_id)
    if transaction is not None:
        return transaction.start_utc_ms
    return view.as_if_utc_ms if view.as_if_utc_ms is not None else at_utc_ms


def _edges(profile: Profile, view: View, at_utc_ms: int) -> Iterator[int]:
    """Instants at which this profile may begin or cease to say something; not all are after at_utc_ms."""
    yield from (
        edge
        for edge in (profile.valid_from_utc_ms, profile.valid_to_utc_ms, _offline_end_utc_ms(profile, view))
        if edge is not None
    )
    for evse_id in view.evse_ids if view.evse_id == 0 and profile.purpose not in STATION_WIDE else (view.evse_id,):
        seen = view if evse_id == view.evse_id else replace(view, evse_id=evse_id)
        yield from _schedule_edges(profile, seen, _start_utc_ms(profile, seen, at_utc_ms), at_utc_ms)


def _schedule_edges(profile: Profile, view: View, start_utc_ms: int, at_utc_ms: int) -> Iterator[int]:
    yield start_utc_ms
    base_ms = start_utc_ms
    if profile.kind is ProfileKind.RECURRING and profile.recurrency_s is not None and at_utc_ms >= start_utc_ms:
        recurrency_ms = profile.recurrency_s * 1000
        base_ms += (at_utc_ms - start_utc_ms) // recurrency_ms * recurrency_ms
        yield base_ms + recurrency_ms
    if profile.duration_s is not None:
        yield base_ms + profile.duration_s * 1000
    start_of = _start_of_period(profile, view)
    begun = bisect_right(profile.periods, at_utc_ms - base_ms, key=start_of)
    if begun < len(profile.periods):
        yield base_ms + start_of(profile.periods[begun])
