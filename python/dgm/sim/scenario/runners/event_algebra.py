"""Scenario 4: what overlapping, nested, cancelled and randomised events come to, against a model without any cunning.

    generated set ──> Scheduler (the der role's) ──bounds──> W per mode as put to the EMS, responses as posted
                 └──> Reference ──────────────────────────> the same        compared at every edge and 1 s beside it

Measured is what leaves the der role: the limits that it puts to the EMS and the responses that it sends. Randomised
starts are taken from response 2 as told, gaps between adjacent controls from the limits.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from math import exp, sqrt

from dgm.der.envelope import bounds
from dgm.der.resource import AssignedProgram, ControlBase, ControlMode, DERControl, EventState, EventStatus, Interval
from dgm.der.scheduler import ProgramsKnown, Respond, Scheduler
from dgm.machine import Now, Tick
from dgm.sim.draw import Draw
from dgm.sim.scenario.mark import Measured
from dgm.sim.scenario.runners.event_reference import Modelled, Reference
from dgm.sim.scenario.task import Outcome, Task

T0_S = 1_900_000_000
PRIMACIES = (1, 5, 9)
MODES = ("opModImpLimW", "opModExpLimW")
RANDOM_S_MAX = 300
GRID_S = 60
"""Starts and lengths come in steps of a minute, so that events often meet to the second."""
INSTANTS_MAX = 2_000
SETS, STARTS, PAIRS = 1_000, 1_000, 100
SERIES_MIN = 0.2
"""Below it p is 1 to nine digits, and the series no longer converges."""
RECEIVED, STARTED, COMPLETED, CANCELLED, SUPERSEDED = 1, 2, 3, 6, 7
PROBE_S = 0.25
LOOKS = 24
"""After each change, PROBE_S apart: longer than a bridge."""
Draws = Callable[[int], int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cancellation:
    """The utility calls an event off."""

    at_s: int
    mrid: str
    is_randomised: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Algebra:
    """What was found. different: sets that did not agree with the model, the first of them in `first`."""

    sets: int
    different: int
    first: str
    superseded: int
    superseded_untold: int
    cancelled: int
    cancelled_untold: int


def at(second: float) -> Now:
    """An instant so many seconds after the first."""
    return Now(mono_ms=round(second * 1000) + 5_000_000, utc_ms=T0_S * 1000 + round(second * 1000))


def compare_sets(count: int, draw: Draw) -> Algebra:
    """Generated sets through both; `draw` makes the sets."""
    different, first = 0, ""
    tally = {SUPERSEDED: [0, 0], CANCELLED: [0, 0]}
    for number in range(count):
        events, cancels = generated(draw)
        factor = 1 + draw.randrange(97)
        wrong, sent, told = _compare(events, cancels, partial(_drawn, factor))
        different += bool(wrong)
        first = first or (f"set {number}: {wrong}" if wrong else "")
        for code, pair in tally.items():
            due = {mrid for mrid, said, _ in told if said == code}
            pair[0] += len(due)
            pair[1] += len(due - {mrid for mrid, said, _ in sent if said == code})
    return Algebra(
        sets=count,
        different=different,
        first=first,
        superseded=tally[SUPERSEDED][0],
        superseded_untold=tally[SUPERSEDED][1],
        cancelled=tally[CANCELLED][0],
        cancelled_untold=tally[CANCELLED][1],
    )


def _drawn(factor: int, most: int) -> int:
    """Any whole number up to `most`, but the same for the engine and the model."""
    return (most * factor + 2) % (most + 1)


def generated(draw: Draw) -> tuple[list[Modelled], list[Cancellation]]:
    """One set: up to eight events of three programs, a third of them called off."""
    events: list[Modelled] = []
    edges = [GRID_S * (5 + draw.randrange(10))]
    for index in range(2 + draw.randrange(7)):
        is_at_edge = draw.randrange(2) == 0
        start_s = edges[draw.randrange(len(edges))] if is_at_edge else GRID_S * (5 + draw.randrange(25))
        length_s = GRID_S * (1 + draw.randrange(30))
        edges += [start_s, start_s + length_s]
        carried = MODES if draw.randrange(4) == 0 else (MODES[draw.randrange(3) // 2],)
        events.append(
            Modelled(
                mrid=f"{index:02X}",
                primacy=PRIMACIES[draw.randrange(3)],
                created_s=T0_S - 1 - draw.randrange(3),
                start_s=start_s,
                length_s=length_s,
                random_start_s=_random_bound(draw),
                random_length_s=_random_bound(draw),
                modes={mode: 1000 * (index + 1) + at for at, mode in enumerate(carried)},
            )
        )
    cancels = [
        Cancellation(at_s=1 + draw.randrange(3000), mrid=event.mrid, is_randomised=draw.randrange(2) == 0)
        for event in events
        if draw.randrange(3) == 0
    ]
    return events, cancels


def _random_bound(draw: Draw) -> int:
    return draw.randrange(2 * RANDOM_S_MAX + 1) - RANDOM_S_MAX if draw.randrange(2) else 0


Told = set[tuple[str, int, int]]


def _compare(events: list[Modelled], cancels: Sequence[Cancellation], drawn: Draws) -> tuple[str, Told, Told]:
    """What was wrong first, what was sent, what should have been."""
    scheduler, model = Scheduler(drawn), Reference(events, drawn)
    states = dict.fromkeys((event.mrid for event in events), EventState.SCHEDULED)
    sent: Told = set()
    wrong, now_s = "", 0
    for _ in range(INSTANTS_MAX):
        model.settle(now_s)
        is_news = now_s == 0
        for cancel in cancels:
            if cancel.at_s == now_s:
                is_news = True
                randomised = EventState.CANCELLED_RANDOMISED
                states[cancel.mrid] = randomised if cancel.is_randomised else EventState.CANCELLED
                event = next(one for one in events if one.mrid == cancel.mrid)
                model.cancel(event, now_s, is_randomised=cancel.is_randomised)
        model.settle(now_s)
        sent |= stamped(scheduler.handle(listing(events, states) if is_news else Tick(), at(now_s)))
        wrong = wrong or _differs(scheduler, model, now_s)
        edges = [*model.edges(now_s), *(cancel.at_s for cancel in cancels if cancel.at_s > now_s)]
        wake_ms = scheduler.wake_time()
        edges += [] if wake_ms is None else [max(-(-(wake_ms - at(0).mono_ms) // 1000), now_s + 1)]
        if not edges:
            break
        now_s = _next(now_s, edges)
    answered = {one for one in sent if one[1] != RECEIVED}
    if not wrong and answered != model.told:
        wrong = f"responses sent and not due: {sorted(answered - model.told)}, due: {sorted(model.told - answered)}"
    return wrong, answered, model.told


def _next(now_s: int, edges: Sequence[int]) -> int:
    """The next edge, the second before it and the second after this one."""
    edge_s = min(edges)
    return now_s + 1 if edge_s - now_s <= 2 else edge_s - 1 if now_s + 1 < edge_s - 1 else edge_s


def _differs(scheduler: Scheduler, model: Reference, now_s: int) -> str:
    found = {mode: bound.power_w for mode, bound in bounds(scheduler, at(now_s).utc_ms).items()}
    holders = {mode: model.holder(mode, now_s) for mode in MODES}
    wanted = {mode: held.modes[mode] for mode, held in holders.items() if held is not None}
    return "" if found == wanted else f"at {now_s} s in force {found}, expected {wanted}"


def listing(events: Sequence[Modelled], states: dict[str, EventState]) -> ProgramsKnown:
    """The programs as the utility lists them."""
    programs = tuple(
        AssignedProgram(
            mrid=f"P{primacy}",
            primacy=primacy,
            controls=tuple(control_of(event, states[event.mrid]) for event in events if event.primacy == primacy),
            default=None,
            default_known=True,
        )
        for primacy in PRIMACIES
    )
    return ProgramsKnown(programs=programs)


def control_of(event: Modelled, state: EventState = EventState.SCHEDULED) -> DERControl:
    """The resource of an event; its times count from T0_S."""
    return DERControl(
        mrid=event.mrid,
        reply_to="/rsp",
        response_required=3,
        creation_s=event.created_s,
        status=EventStatus(current=state, changed_s=T0_S),
        interval=Interval(start_s=T0_S + event.start_s, duration_s=event.length_s),
        base=ControlBase(modes=tuple(ControlMode(name=name, power_w=power_w) for name, power_w in event.modes.items())),
        randomize_start_s=event.random_start_s or None,
        randomize_duration_s=event.random_length_s or None,
    )


def stamped(responds: Sequence[Respond]) -> Told:
    """mRID, response and s after T0_S of each."""
    return {(one.mrid, one.status, one.created_s - T0_S) for one in responds}


def run(task: Task) -> Outcome:
    """The whole scenario. World and timeline are the generator's own."""
    draw = task.chance(task.seed)
    found = compare_sets(SETS, draw)
    shares = start_shares(STARTS, draw)
    return Outcome(
        figures={
            "sets": Measured(value=found.sets),
            "different": Measured(value=found.different, detail=found.first),
            "superseded_untold": Measured(
                value=found.superseded_untold, detail=f"of {found.superseded} superseded events"
            ),
            "cancelled_untold": Measured(value=found.cancelled_untold, detail=f"of {found.cancelled} cancelled events"),
            "uniform_p": Measured(value=uniform_p(shares, RANDOM_S_MAX), detail=f"{len(shares)} starts"),
            "gap_s": Measured(value=longest_gap_s(PAIRS, draw), detail=f"{PAIRS} pairs of adjacent controls"),
        }
    )


# -- randomised starts, adjacent controls ------------------------------------------------------------------------------


def start_shares(count: int, draw: Draw) -> list[float]:
    """Where in its window each of so many randomised starts fell, 0 to 1, as response 2 tells it."""
    found = []
    for number in range(count):
        bound_s = RANDOM_S_MAX if number % 2 else -RANDOM_S_MAX
        event = replace(plain("A", start_s=600), random_start_s=bound_s)
        sent = _told_until(Scheduler(lambda most: draw.randrange(most + 1)), [event], end_s=1_000)
        found += [(second - 600) / bound_s for _, code, second in sent if code == STARTED]
    return found


def plain(mrid: str, *, start_s: int, length_s: int = 600, primacy: int = 1) -> Modelled:
    """An import limit without anything special."""
    return Modelled(
        mrid=mrid,
        primacy=primacy,
        created_s=T0_S - 1,
        start_s=start_s,
        length_s=length_s,
        random_start_s=0,
        random_length_s=0,
        modes={MODES[0]: 100_000},
    )


def _told_until(scheduler: Scheduler, events: list[Modelled], *, end_s: int) -> Told:
    """Drive it through its wake times."""
    sent = stamped(scheduler.handle(listing(events, dict.fromkeys("AB", EventState.SCHEDULED)), at(0)))
    while (wake_ms := scheduler.wake_time()) is not None and wake_ms <= at(end_s).mono_ms:
        sent |= stamped(scheduler.handle(Tick(), at((wake_ms - at(0).mono_ms) / 1000)))
    return sent


def uniform_p(shares: Sequence[float], steps: int) -> float:
    """p of Kolmogorov and Smirnov that whole steps out of 0..steps are uniform; asymptotic, so on the safe side."""
    count = len(shares)
    if not count:
        return 0.0
    ordered = sorted(shares)
    worst = 0.0
    for step in range(steps + 1):
        at_most = sum(share <= step / steps + 1e-9 for share in ordered) / count
        worst = max(worst, abs(at_most - (step + 1) / (steps + 1)))
    size = (sqrt(count) + 0.12 + 0.11 / sqrt(count)) * worst
    if size < SERIES_MIN:
        return 1.0
    tail = sum((1 if at % 2 else -1) * exp(-2 * at * at * size * size) for at in range(1, 101))
    return min(1.0, max(0.0, 2 * tail))


def longest_gap_s(pairs: int, draw: Draw) -> float:
    """Longest time without the limit between two controls of which one ends where the other begins, s."""
    worst = 0.0
    for number in range(pairs):
        first = replace(
            plain("A", start_s=600), random_start_s=_random_bound(draw), random_length_s=_random_bound(draw)
        )
        second = plain("B", start_s=1_200, primacy=PRIMACIES[number % 3])
        second = replace(second, random_start_s=_random_bound(draw), random_length_s=_random_bound(draw))
        scheduler = Scheduler(lambda most: draw.randrange(most + 1))
        scheduler.handle(listing([first, second], dict.fromkeys("AB", EventState.SCHEDULED)), at(0))
        worst = max(worst, _gap_s(scheduler))
    return worst


def _gap_s(scheduler: Scheduler) -> float:
    """Between the first and the last moment in which the limit was put; looked at when something changes, and after."""
    second, looks, worst_s = 0.0, 0, 0.0
    has_begun, gone_s = False, -1.0
    while True:
        scheduler.handle(Tick(), at(second))
        is_put = bool(bounds(scheduler, at(second).utc_ms))
        if is_put and has_begun and gone_s >= 0:
            worst_s = max(worst_s, second - gone_s)
        gone_s = -1.0 if is_put else second if gone_s < 0 else gone_s
        has_begun |= is_put
        wake_ms = scheduler.wake_time()
        wake_s = None if wake_ms is None else (wake_ms - at(0).mono_ms) / 1000
        looks = LOOKS if wake_s is not None and wake_s <= second + PROBE_S else looks - 1
        if looks <= 0 and wake_s is None:
            return worst_s
        second = wake_s if wake_s is not None and (looks <= 0 or wake_s <= second + PROBE_S) else second + PROBE_S
