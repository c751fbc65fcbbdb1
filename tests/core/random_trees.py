"""Random trees of rows, and what a sequence of linear programmes makes of them: the oracle of the sharing.

    site > feeder > panel, W and A rows, phases, weights, strata ──> words of `_core.allocate`
                                                              └────> HiGHS (scipy): lexicographic max-min

The words of a problem (int64, native order): 1, columns, rows; per column floor_ma, cap_ma, weight, stratum; per row
budget, entries, then column and coefficient of each entry.
"""

from __future__ import annotations

import random
from array import array
from dataclasses import dataclass, field

import numpy as np
from scipy.optimize import linprog


@dataclass(slots=True)
class Column:
    floor: int
    cap: int
    weight: int
    stratum: int


@dataclass(slots=True)
class Problem:
    columns: list[Column] = field(default_factory=list)
    rows: list[tuple[int, dict[int, int]]] = field(default_factory=list)

    def to_bytes(self) -> bytes:
        words = [1, len(self.columns), len(self.rows)]
        for column in self.columns:
            words += [column.floor, column.cap, column.weight, column.stratum]
        for budget, entries in self.rows:
            words += [budget, len(entries)]
            for column, coefficient in entries.items():
                words += [column, coefficient]
        return array("q", words).tobytes()


def random_tree(seed: int) -> Problem:
    """20 % of EVSEs on each single phase, the rest on three; budgets from scarce to more than enough."""
    draw = random.Random(seed)
    problem = Problem()
    members: dict[str, list[tuple[int, tuple[int, ...]]]] = {}
    for feeder in range(draw.randint(1, 3)):
        for panel in range(draw.randint(1, 3)):
            for _ in range(draw.randint(1, 6)):
                phases = draw.choices([(0,), (1,), (2,), (0, 1, 2)], weights=[1, 1, 1, 2])[0]
                cap = draw.choice([16_000, 20_000, 32_000])
                floor = draw.choice([0, 0, 6_000])
                column = Column(floor, cap, draw.choice([1, 1, 2, 4]), draw.choice([1, 1, 1, 2, 3]))
                for node in ("site", f"{feeder}", f"{feeder}.{panel}"):
                    members.setdefault(node, []).append((len(problem.columns), phases))
                problem.columns.append(column)
    for evses in members.values():
        share = draw.uniform(0.2, 1.1)
        for phase in range(3):
            add_row(problem, {evse: 1 for evse, phases in evses if phase in phases}, share)
        if draw.random() < 0.5:
            add_row(problem, {evse: len(phases) for evse, phases in evses}, draw.uniform(0.2, 1.1))
    return problem


def add_row(problem: Problem, entries: dict[int, int], share: float) -> None:
    if not entries:
        return
    full = sum(problem.columns[column].cap * times for column, times in entries.items())
    floors = sum(problem.columns[column].floor * times for column, times in entries.items())
    problem.rows.append((max(int(full * share), floors), entries))


def lexicographic(problem: Problem) -> np.ndarray:
    """Raise the least rise per weight, fix whoever cannot rise with it, repeat; one stratum after the other."""
    columns = problem.columns
    rise = np.zeros(len(columns))
    for stratum in sorted({column.stratum for column in columns}):
        active = [index for index, column in enumerate(columns) if column.stratum == stratum]
        while active:
            level, blocked = raise_level(problem, rise, active)
            for index in blocked:
                rise[index] = columns[index].weight * level
            active = [index for index in active if index not in blocked]
    return rise + np.array([column.floor for column in columns])


def raise_level(problem: Problem, rise: np.ndarray, active: list[int]) -> tuple[float, set[int]]:
    """The highest common level of the active columns, and those that a positive dual says are stopped at it."""
    count, columns = len(problem.columns), problem.columns
    matrix, limits = [], []
    for budget, entries in problem.rows:
        line = np.zeros(count + 1)
        for column, times in entries.items():
            line[column] = times
        matrix.append(line)
        limits.append(budget - sum(columns[column].floor * times for column, times in entries.items()))
    for column in active:
        line = np.zeros(count + 1)
        line[column], line[count] = -1.0, columns[column].weight
        matrix.append(line)
        limits.append(0)
    bounds = [
        (0.0, float(columns[index].cap - columns[index].floor)) if index in active else (rise[index], rise[index])
        for index in range(count)
    ]
    goal = np.zeros(count + 1)
    goal[count] = -1.0
    solved = linprog(goal, A_ub=np.array(matrix), b_ub=limits, bounds=[*bounds, (0.0, None)], method="highs")
    assert solved.status == 0, solved.message
    duals = solved.ineqlin.marginals[len(problem.rows) :]
    return solved.x[count], {column for column, dual in zip(active, duals, strict=True) if dual < -1e-9}
