"""What one fair sharing of a whole site costs, against a general solver on the same problem in the same run.

`_core.allocate`: one weighted max-min allocation, Python call and copying in and out included. Comparators: ONE linear
programme of HiGHS through scipy (it only finds the level of the worst off), and the sequence of them that it takes to
find the same answer. The sequence is checked against the core's answer before anything is measured.
"""

from __future__ import annotations

from array import array

import numpy as np
import pytest
from pytest_benchmark.fixture import BenchmarkFixture
from scipy.optimize import linprog
from scipy.sparse import csr_matrix, hstack, vstack

from dgm import _core
from tree import Tree, tree

SIZES = (100, 1_000)
FULL_MA = 1e-3


class LinearProgramme:
    """The rows of a tree as a sparse matrix, built once; one more column for the common level."""

    def __init__(self, found: Tree) -> None:
        count = len(found.evses)
        self.weights = np.array([evse.weight for evse in found.evses], dtype=float)
        self.caps = np.array([evse.cap_ma for evse in found.evses], dtype=float)
        self.budgets = np.array([budget_ma for budget_ma, _ in found.rows], dtype=float)
        columns = [column for _, line in found.rows for column in line]
        rows = [index for index, (_, line) in enumerate(found.rows) for _ in line]
        self.use = csr_matrix((np.ones(len(columns)), (rows, columns)), shape=(len(found.rows), count))
        level = csr_matrix((len(found.rows), 1))
        at_least = hstack([-csr_matrix(np.eye(count)), csr_matrix(self.weights[:, None])])
        self.matrix = csr_matrix(vstack([hstack([self.use, level]), at_least]))
        self.goal = np.append(np.zeros(count), -1.0)

    def level(self, fixed: np.ndarray) -> float:
        """The highest level of all that are not fixed; NaN in `fixed`: free."""
        free = np.isnan(fixed)
        low, high = np.where(free, 0.0, fixed), np.where(free, self.caps, fixed)
        slack = np.where(free, 0.0, self.weights * 1e9)
        bounds = np.column_stack([np.append(low, 0.0), np.append(high, 1e6)])
        limits = np.append(self.budgets, slack)
        solved = linprog(self.goal, A_ub=self.matrix, b_ub=limits, bounds=bounds, method="highs")
        assert solved.status == 0, solved.message
        return float(solved.x[-1])

    def one_round(self) -> float:
        """What the worst off can have."""
        return self.level(np.full(len(self.caps), np.nan))

    def lexicographic(self) -> tuple[np.ndarray, int]:
        """Raise all, fix those that are stopped, repeat: mA per EVSE, and the number of programmes."""
        fixed = np.full(len(self.caps), np.nan)
        rounds = 0
        while np.isnan(fixed).any():
            rounds += 1
            reached = np.where(np.isnan(fixed), self.weights * self.level(fixed), fixed)
            full = self.budgets - self.use @ reached <= FULL_MA * np.maximum(1.0, self.use.sum(axis=1).A1)
            stopped = (self.use.T @ full > 0) | (reached >= self.caps - FULL_MA)
            fixed = np.where(np.isnan(fixed) & stopped, reached, fixed)
        return fixed, rounds


def shared(words: bytes) -> list[int]:
    answer = array("q")
    answer.frombytes(_core.allocate(words))
    return answer.tolist()


@pytest.mark.parametrize("evses", SIZES)
def test_core(benchmark: BenchmarkFixture, evses: int) -> None:
    benchmark.group = f"one allocation, {evses} EVSEs, {len(tree(evses).rows)} rows"
    benchmark(_core.allocate, tree(evses).words())


@pytest.mark.parametrize("evses", SIZES)
def test_one_programme(benchmark: BenchmarkFixture, evses: int) -> None:
    benchmark.group = f"one allocation, {evses} EVSEs, {len(tree(evses).rows)} rows"
    programme = LinearProgramme(tree(evses))
    benchmark.pedantic(programme.one_round, rounds=20, warmup_rounds=1)


@pytest.mark.parametrize("evses", SIZES)
def test_lexicographic_programmes(benchmark: BenchmarkFixture, evses: int) -> None:
    benchmark.group = f"one allocation, {evses} EVSEs, {len(tree(evses).rows)} rows"
    programme = LinearProgramme(tree(evses))
    answer, benchmark.extra_info["programmes"] = programme.lexicographic()
    assert shared(tree(evses).words()) == pytest.approx(answer, abs=2.0)
    benchmark.pedantic(programme.lexicographic, rounds=5)
