"""A charging network of `acnportal` as rows of one allocation: its own matrix and angles, nothing known beforehand.

    constraint matrix, limits (A), angle per station ──rows──> Lines (one angle, one sign) and PhasorLines

Coefficients become whole numbers by one factor per row, angles multiples of 60 degrees from the first station's. What
cannot be said so is refused. Stations of one angle are one group: on the same phases.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from math import lcm

from acnportal.acnsim.interface import InfrastructureInfo

from dgm.ems.problem import Line, PhasorLine, Problem

UNITS = ((1, 0), (1, 1), (0, 1), (-1, 0), (-1, -1), (0, -1))
"""u, v of 0, 60, ... 300 degrees: the unit at +60 degrees is 1 + the unit at +120 degrees."""


def turns(angles: Sequence[float]) -> list[int]:
    """Multiples of 60 degrees by which each angle is ahead of the first."""
    found = []
    for angle in angles:
        turn = (float(angle) - float(angles[0])) / 60.0
        if turn != int(turn):
            raise ValueError(f"angle: expected a multiple of 60 degrees from {angles[0]}, found {angle}")
        found.append(int(turn) % 6)
    return found


def rows(network: InfrastructureInfo, columns: Sequence[int]) -> tuple[list[Line], list[PhasorLine]]:
    """The rows of the network over some of its stations, in this order."""
    steps = turns(network.phases)
    lines, phasors = [], []
    for entries, limit_a in zip(network.constraint_matrix, network.constraint_limits, strict=True):
        fractions = {index: Fraction(float(entries[station])) for index, station in enumerate(columns)}
        used = {index: fraction for index, fraction in fractions.items() if fraction}
        factor = lcm(*(fraction.denominator for fraction in used.values())) if used else 1
        limit_ma = int(float(limit_a) * 1_000 * factor)
        turned = {index: (int(times * factor), steps[columns[index]]) for index, times in used.items()}
        if len({(times > 0, step) for times, step in turned.values()}) == 1:
            lines.append(Line(budget_ma=limit_ma, coefficients={i: abs(times) for i, (times, _) in turned.items()}))
        elif turned:
            coefficients = {i: (times * UNITS[step][0], times * UNITS[step][1]) for i, (times, step) in turned.items()}
            phasors.append(PhasorLine(limit_ma=limit_ma, coefficients=coefficients))
    return lines, phasors


def station_problem(network: InfrastructureInfo) -> Problem:
    """One column per station, all rows."""
    return Problem(network.num_stations, *rows(network, range(network.num_stations)))


def groups(network: InfrastructureInfo) -> list[int]:
    """The group of each station."""
    steps = turns(network.phases)
    order = sorted(set(steps))
    return [order.index(step) for step in steps]


def trunk_problem(network: InfrastructureInfo) -> Problem:
    """Two columns per group (urgent and more), and the rows that treat all stations of a group alike."""
    group = groups(network)
    members = [[station for station, of in enumerate(group) if of == index] for index in range(max(group) + 1)]
    alike = [
        row
        for row, entries in enumerate(network.constraint_matrix)
        if all(len({float(entries[station]) for station in some}) == 1 for some in members)
    ]
    trunk = InfrastructureInfo(
        constraint_matrix=network.constraint_matrix[alike],
        constraint_limits=network.constraint_limits[alike],
        phases=network.phases,
        voltages=network.voltages,
        constraint_ids=[network.constraint_ids[row] for row in alike],
        station_ids=network.station_ids,
        max_pilot=network.max_pilot,
        min_pilot=network.min_pilot,
    )
    return Problem(2 * len(members), *rows(trunk, [some[0] for some in members for _ in range(2)]))
