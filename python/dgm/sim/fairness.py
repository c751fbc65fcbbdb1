"""Was what there was shared fairly? Jain's index of energy received over the max-min share due, within each class.

    each second in which the limit bound: EV power used ──max-min over plugged cars, caps in amps──> due per car
    sum of power received / sum of due ──Jain──> 1 = all alike, 1/n = one has it all

The limit bound when the cars together could have taken more than the connection left for them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from dgm.sim.limit_checks import LimitStep, limit_at
from dgm.sim.plant import VOLTAGE_NOMINAL_V
from dgm.sim.records import CarRow, TraceRow
from dgm.sim.verdict import Check

JAIN_MIN = 0.9


@dataclass(slots=True)
class Shares:
    """Energy by class and car over the seconds that bound; Ws."""

    received: dict[str, dict[str, float]] = field(default_factory=lambda: defaultdict(lambda: defaultdict(float)))
    due: dict[str, dict[str, float]] = field(default_factory=lambda: defaultdict(lambda: defaultdict(float)))
    bound_seconds: int = 0
    bound_utc_ms: list[int] = field(default_factory=list)


def jain(values: Sequence[float]) -> float:
    """(sum x)^2 / (n * sum x^2); 0 when there is nothing."""
    squares = sum(value * value for value in values)
    return sum(values) ** 2 / (len(values) * squares) if squares > 0 else 0.0


def max_min_level(total_w: float, cars: Sequence[tuple[float, float]]) -> float:
    """The amps that give the cars (cap in A, W per A) total_w together when nobody gets above the level or its cap."""
    left_w = total_w
    weight = sum(per_amp for _, per_amp in cars)
    for cap_a, per_amp in sorted(cars):
        if weight <= 0 or left_w <= cap_a * weight:
            break
        left_w -= cap_a * per_amp
        weight -= per_amp
    else:
        return max((cap_a for cap_a, _ in cars), default=0.0)
    return left_w / weight if weight > 0 else 0.0


def shares_of(cars: Sequence[CarRow], trace: Sequence[TraceRow], steps: Sequence[LimitStep]) -> Shares:
    """Sum up received and due over all seconds in which the limit bound."""
    shares = Shares()
    for utc_ms, rows, sample in _seconds(cars, trace):
        plugged = [row for row in rows if row.is_plugged and row.cap_ma > 0]
        caps_w = sum(_cap_a(row) * _per_amp(row) for row in plugged)
        available_w = limit_at(steps, utc_ms) - (sample.net_w - sample.ev_w)
        if plugged and caps_w > available_w:
            shares.bound_seconds += 1
            shares.bound_utc_ms.append(utc_ms)
            _add_second(shares, plugged)
    return shares


def _add_second(shares: Shares, plugged: Sequence[CarRow]) -> None:
    used_w = float(sum(row.power_w for row in plugged))
    level_a = max_min_level(used_w, [(_cap_a(row), _per_amp(row)) for row in plugged])
    for row in plugged:
        shares.received[row.evse_class][row.evse] += row.power_w
        shares.due[row.evse_class][row.evse] += min(level_a, _cap_a(row)) * _per_amp(row)


def _cap_a(row: CarRow) -> float:
    return row.cap_ma / 1000.0


def _per_amp(row: CarRow) -> float:
    return row.phases * VOLTAGE_NOMINAL_V


def _seconds(cars: Sequence[CarRow], trace: Sequence[TraceRow]) -> Iterator[tuple[int, list[CarRow], TraceRow]]:
    """Rows of one instant with the newest sample of the trace at it; without one the instant is left out."""
    by_instant: dict[int, list[CarRow]] = defaultdict(list)
    for row in cars:
        by_instant[row.utc_ms].append(row)
    index = -1
    for utc_ms in sorted(by_instant):
        while index + 1 < len(trace) and trace[index + 1].utc_ms <= utc_ms:
            index += 1
        if index >= 0:
            yield utc_ms, by_instant[utc_ms], trace[index]


def jain_by_class(shares: Shares) -> dict[str, float]:
    """The index of each class that had cars in it while the limit bound."""
    return {name: jain(_ratios(shares.received[name], due)) for name, due in sorted(shares.due.items())}


def _ratios(received: Mapping[str, float], due: Mapping[str, float]) -> list[float]:
    return [received[evse] / amount for evse, amount in due.items() if amount > 0]


def check_fairness(shares: Shares) -> list[Check]:
    """One check per class; one that fails when there was nothing to judge."""
    by_class = jain_by_class(shares)
    if not by_class:
        return [Check(name="fairness", passed=False, measured="no second bound", bound=f">= {JAIN_MIN}")]
    return [
        Check(
            name=f"fairness {name}",
            passed=index >= JAIN_MIN,
            measured=f"Jain {index:.3f}",
            bound=f">= {JAIN_MIN}",
            detail=f"{len(shares.due[name])} cars over {shares.bound_seconds} s",
        )
        for name, index in by_class.items()
    ]
