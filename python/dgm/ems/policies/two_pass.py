"""Phase balance where capacity is scarce, deadlines where it is not: one rule without parameters or forecast.

    sessions ──asks──> two asks per group (EVSEs on the same phases): what cannot wait, then the rest
    core shares the trunk among the groups, max-min, the first asks before the second
    group grants ──caps──> one cap per session ──core──> grants

What cannot wait is the group's critical intensity: for the departure d that needs most, the charge still due by d,
spread evenly until d. Spreading a scarce group over its time keeps the partner phases in use later. Inside a group the
cars' laxity after the step is made equal (smoothed least laxity, Chen et al., arXiv 2102.08610).

It sets caps only: the limits are kept by the core, whatever stands here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """A car that can charge. charge_mas: still due, mA x s per phase; left_s: until departure, above 0."""

    group: int
    charge_mas: float
    left_s: float
    rate_max_ma: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """Of one group, mA: what cannot wait, and what more its cars could take in this step."""

    urgent_ma: int
    more_ma: int


Share = Callable[[Sequence[Ask]], Sequence[int]]
"""Shares the trunk among the groups: mA per group, both passes together."""


def decide(sessions: Sequence[Session], groups: int, share: Share, step_s: float) -> list[int]:
    """Caps in mA, one per session, for the next `step_s` seconds. Sessions of group 0..groups-1."""
    members: list[list[int]] = [[] for _ in range(groups)]
    for index, session in enumerate(sessions):
        members[session.group].append(index)
    cars = [[sessions[index] for index in group] for group in members]
    granted = share([ask(group, step_s) for group in cars])
    caps_ma = [0] * len(sessions)
    for group, some, amount_ma in zip(members, cars, granted, strict=True):
        for index, cap_ma in zip(group, equal_laxity(some, amount_ma, step_s), strict=True):
            caps_ma[index] = cap_ma
    return caps_ma


def ask(cars: Sequence[Session], step_s: float) -> Ask:
    """What one group asks for."""
    demand_ma = int(sum(_useful_ma(car, step_s) for car in cars))
    urgent_ma = min(demand_ma, int(critical_intensity(cars)))
    return Ask(urgent_ma=urgent_ma, more_ma=demand_ma - urgent_ma)


def critical_intensity(cars: Sequence[Session]) -> float:
    """mA that the group needs on average until the departure that needs most."""
    due_mas, most_ma = 0.0, 0.0
    for car in sorted(cars, key=_left):
        due_mas += car.charge_mas
        most_ma = max(most_ma, due_mas / car.left_s)
    return most_ma


def equal_laxity(cars: Sequence[Session], amount_ma: float, step_s: float) -> list[int]:
    """Caps in mA that use up `amount_ma`: the cars with the least laxity rise first, each up to what it can use.

    A car rises at its maximum rate per step of laxity; the level is found exactly, by going along the points at which a
    car begins or ends to rise.
    """
    useful = [_useful_ma(car, step_s) for car in cars]
    if sum(useful) <= amount_ma:
        return [int(most_ma) for most_ma in useful]
    # Laxity and level in steps; a car that needs its full rate until departure has laxity 0.
    starts = [(car.left_s - car.charge_mas / car.rate_max_ma) / step_s for car in cars]
    points = [(start, float(car.rate_max_ma)) for car, start in zip(cars, starts, strict=True)]
    points += [
        (start + most_ma / car.rate_max_ma, -float(car.rate_max_ma))
        for car, start, most_ma in zip(cars, starts, useful, strict=True)
    ]
    level = _level(sorted(points), amount_ma)
    return [
        int(min(most_ma, max(0.0, car.rate_max_ma * (level - start))))
        for car, start, most_ma in zip(cars, starts, useful, strict=True)
    ]


def _level(points: Sequence[tuple[float, float]], amount_ma: float) -> float:
    """Where the rising cars have used up the amount: (level, change of slope) in order of level."""
    level, slope, used_ma = points[0][0], 0.0, 0.0
    for at, change in points:
        step_ma = slope * (at - level)
        if used_ma + step_ma >= amount_ma and slope > 0.0:
            return level + (amount_ma - used_ma) / slope
        level, slope, used_ma = at, slope + change, used_ma + step_ma
    return level


def _useful_ma(car: Session, step_s: float) -> float:
    return min(float(car.rate_max_ma), car.charge_mas / step_s)


def _left(car: Session) -> float:
    return car.left_s
