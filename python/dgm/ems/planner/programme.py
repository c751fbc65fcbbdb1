"""A linear programme as it is written down, and HiGHS that solves it, again and again with other bounds.

    column(), row() ──start──> Solver: run ──> values of the columns; bound ──> run again from where it stood

The only file that names highspy. One thread.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any

import highspy
import numpy as np

FREE = float(highspy.kHighsInf)
"""No bound."""


@dataclass(slots=True)
class Programme:
    """Columns and rows as they are written down."""

    cost: list[float] = field(default_factory=list)
    low: list[float] = field(default_factory=list)
    high: list[float] = field(default_factory=list)
    row_low: list[float] = field(default_factory=list)
    row_high: list[float] = field(default_factory=list)
    lengths: list[int] = field(default_factory=list)
    columns: list[int] = field(default_factory=list)
    values: list[float] = field(default_factory=list)

    def column(self, low: float, high: float, cost: float = 0.0) -> int:
        """A column; returns its place."""
        self.cost.append(cost)
        self.low.append(low)
        self.high.append(high)
        return len(self.cost) - 1

    def row(self, low: float, high: float, terms: Iterable[tuple[int, float]]) -> None:
        """A row: low <= sum of column x value <= high."""
        before = len(self.columns)
        for column, value in terms:
            self.columns.append(column)
            self.values.append(value)
        self.row_low.append(low)
        self.row_high.append(high)
        self.lengths.append(len(self.columns) - before)

    def start(self, time_limit_s: float) -> Solver:
        """Hand it to the solver. time_limit_s: of all its runs together."""
        model = highspy.HighsLp()
        model.num_col_, model.num_row_ = len(self.cost), len(self.lengths)
        model.col_cost_ = np.array(self.cost)
        model.col_lower_, model.col_upper_ = np.array(self.low), np.array(self.high)
        model.row_lower_, model.row_upper_ = np.array(self.row_low), np.array(self.row_high)
        model.a_matrix_.format_ = highspy.MatrixFormat.kRowwise
        model.a_matrix_.start_ = np.array([0, *accumulate(self.lengths)], dtype=np.int32)
        model.a_matrix_.index_ = np.array(self.columns, dtype=np.int32)
        model.a_matrix_.value_ = np.array(self.values)
        solver: Any = highspy.Highs()  # type: ignore[no-untyped-call,unused-ignore]
        solver.setOptionValue("output_flag", False)
        solver.setOptionValue("threads", 1)
        solver.setOptionValue("time_limit", time_limit_s)
        solver.passModel(model)
        return Solver(solver)


class Solver:
    """One programme in the hands of HiGHS."""

    def __init__(self, solver: Any) -> None:
        self._solver = solver

    def bound(self, columns: list[int], low: list[float], high: list[float]) -> None:
        """Give columns other bounds; the next run begins where the last one ended."""
        chosen = np.array(columns, dtype=np.int32)
        self._solver.changeColsBounds(len(columns), chosen, np.array(low), np.array(high))

    def run(self) -> list[float] | str:
        """Values of the columns, or why there are none. HiGHS counts the time of all its runs against its limit."""
        self._solver.run()
        status = self._solver.getModelStatus()
        if status != highspy.HighsModelStatus.kOptimal:
            return f"not solved: {self._solver.modelStatusToString(status).lower()}"
        return list(self._solver.getSolution().col_value)
