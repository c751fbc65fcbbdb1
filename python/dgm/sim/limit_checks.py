"""Did the connection point keep its limits? Judged on the plant's own trace and the limits as the utility defines them.

    trace (10 Hz) ──sliding 1 s mean──> against limit in force ──> longest excess, largest excess, time to comply

For GRACE_MS after a change the looser of the old and the new limit still counts, so there is no moment without one.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from dgm.sim.records import EventFacts, TraceRow
from dgm.sim.verdict import Check

WINDOW_MS = 1000
GRACE_MS = 15_000
EXCESS_MAX_MS = 10_000
EXCESS_MAX_PERCENT = 10
COMPLY_WITHIN_MS = 15_000
COMPLY_HOLD_MS = 5_000

Series = Sequence[tuple[int, float]]
"""(UTC ms, value), in order of time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitStep:
    """From this instant (UTC ms) on the bound holds."""

    from_utc_ms: int
    bound: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Excess:
    """How far and how long a series went over its limit."""

    longest_ms: int
    worst_percent: float
    worst_utc_ms: int | None


def limit_steps(base: int, events: Sequence[EventFacts]) -> tuple[LimitStep, ...]:
    """The import limit over time: the least of the base and of every event in force."""
    edges = sorted({0, *(event.start_utc_ms for event in events), *(event.end_utc_ms for event in events)})
    return tuple(
        LimitStep(
            from_utc_ms=edge,
            bound=min([base, *(event.import_w for event in events if event.start_utc_ms <= edge < event.end_utc_ms)]),
        )
        for edge in edges
    )


def limit_at(steps: Sequence[LimitStep], utc_ms: int) -> int:
    """The limit in force."""
    return next(step.bound for step in reversed(steps) if step.from_utc_ms <= utc_ms)


def permitted_at(steps: Sequence[LimitStep], utc_ms: int) -> int:
    """The loosest limit of the last GRACE_MS."""
    recent = [step.bound for step in steps if utc_ms - GRACE_MS < step.from_utc_ms <= utc_ms]
    return max([limit_at(steps, max(0, utc_ms - GRACE_MS)), *recent])


def sliding_mean(samples: Iterable[tuple[int, float]]) -> list[tuple[int, float]]:
    """At each sample the mean of the last second."""
    window: deque[tuple[int, float]] = deque()
    means = []
    for utc_ms, value in samples:
        window.append((utc_ms, value))
        while window[0][0] <= utc_ms - WINDOW_MS:
            window.popleft()
        means.append((utc_ms, sum(item for _, item in window) / len(window)))
    return means


def excess_of(means: Series, steps: Sequence[LimitStep]) -> Excess:
    """Longest time in a row above the permitted limit, and the largest excess."""
    longest_ms, worst_percent = 0, 0.0
    worst_utc_ms = since_ms = None
    for utc_ms, mean in means:
        bound = permitted_at(steps, utc_ms)
        if mean <= bound:
            since_ms = None
            continue
        since_ms = utc_ms if since_ms is None else since_ms
        longest_ms = max(longest_ms, utc_ms - since_ms)
        percent = (mean / bound - 1.0) * 100.0 if bound else float("inf")
        if percent > worst_percent:
            worst_percent, worst_utc_ms = percent, utc_ms
    return Excess(longest_ms=longest_ms, worst_percent=worst_percent, worst_utc_ms=worst_utc_ms)


def check_excess(name: str, samples: Iterable[tuple[int, float]], steps: Sequence[LimitStep]) -> Check:
    """The 1 s mean exceeds the limit for at most 10 s in a row and never by more than 10 %."""
    means = sliding_mean(samples)
    excess = excess_of(means, steps)
    held = excess.longest_ms <= EXCESS_MAX_MS and excess.worst_percent <= EXCESS_MAX_PERCENT
    where = "" if excess.worst_utc_ms is None else f"largest excess at utc_ms {excess.worst_utc_ms}"
    return Check(
        name=name,
        passed=bool(means) and held,
        measured=f"over for {excess.longest_ms / 1000:.1f} s, by {excess.worst_percent:.1f} %",
        bound=f"<= {EXCESS_MAX_MS / 1000:.0f} s in a row, <= {EXCESS_MAX_PERCENT} %",
        detail=where if means else "no samples",
    )


def compliance_ms(means: Series, *, start_utc_ms: int, bound: int) -> int | None:
    """From the start to the first instant after which the mean stays within the bound for 5 s; None: never."""
    candidate: int | None = None
    for utc_ms, mean in means:
        if utc_ms < start_utc_ms:
            continue
        if mean > bound:
            candidate = None
        elif candidate is None:
            candidate = utc_ms
        if candidate is not None and utc_ms - candidate >= COMPLY_HOLD_MS:
            return candidate - start_utc_ms
    return None


def check_compliance(trace: Sequence[TraceRow], event: EventFacts, *, base_w: int) -> Check:
    """The event's limit is met within 15 s of its effective start."""
    means = sliding_mean((row.utc_ms, float(row.net_w)) for row in trace)
    within_event = [(utc_ms, mean) for utc_ms, mean in means if utc_ms < event.end_utc_ms]
    taken_ms = compliance_ms(within_event, start_utc_ms=event.start_utc_ms, bound=min(base_w, event.import_w))
    return Check(
        name="compliance time",
        passed=taken_ms is not None and taken_ms <= COMPLY_WITHIN_MS,
        measured="never" if taken_ms is None else f"{taken_ms / 1000:.1f} s",
        bound=f"<= {COMPLY_WITHIN_MS / 1000:.0f} s",
        detail=f"event {event.mrid}, {event.import_w} W",
    )


def check_limits(
    trace: Sequence[TraceRow],
    events: Sequence[EventFacts],
    *,
    import_w: int,
    export_w: int,
    service_ma: int,
) -> list[Check]:
    """All limits of the connection point: import, export and the current of each phase."""
    checks = [
        check_excess("import limit", ((row.utc_ms, float(row.net_w)) for row in trace), limit_steps(import_w, events)),
        check_excess("export limit", ((row.utc_ms, float(-row.net_w)) for row in trace), limit_steps(export_w, ())),
    ]
    for phase in range(3):
        currents = ((row.utc_ms, float(abs(row.currents_ma[phase]))) for row in trace)
        checks.append(check_excess(f"current L{phase + 1}", currents, limit_steps(service_ma, ())))
    checks += [check_compliance(trace, event, base_w=import_w) for event in events if event.import_w < import_w]
    return checks
