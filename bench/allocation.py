"""One sharing of a tree of rows: what the core takes, against the lexicographic linear programme on HiGHS, in one run.

    tree.tree(N) ──> core: fill (weighted max-min); share (4 strata, 0 or 6 A, whole amperes); both from Python
           └───────> HiGHS through highspy: raise all, fix whoever is stopped, repeat: the same answer within 1 mA

The programme is built once and then changed from round to round, so that each round starts from the last basis; its
time is building and all rounds. The core's own time is that of many sharings in one call, the call's that of one.
CPU times, medians of alternating rounds: read the ratios. Exit 1: a bar is missed or an answer differs.

It runs in an environment of its own: see bench/README.md.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
from array import array
from collections.abc import Callable
from itertools import accumulate
from pathlib import Path
from statistics import median
from time import process_time

import highspy
import numpy as np

from dgm import _core
from tree import Tree, tree

FASTER = {100: 500.0, 1_000: 1_000.0, 10_000: 5_000.0}
"""Bar: the core is so many times faster than the lexicographic programmes."""
WHOLE_TIMES = 4.0
"""Bar: with strata, minimums and steps at most so many times the continuous sharing."""
GOALS_US = {100: 40.0, 1_000: 320.0, 10_000: 4_000.0}
"""Goal for the same, as a time."""
CALL_TIMES, CALL_EVSES = 2.0, 1_000
"""Bar from so many EVSEs on: a Python call, int32 columns in and out, at most so many times the core's own time."""
ROUNDS = 15
SHARINGS_EVSES = 60_000
"""Sharings x EVSEs of one measured call."""
STRATA, MINIMUM_MA, STEP_MA = 4, 6_000, 1_000
SAME_MA = 1.0
FULL_MA = 1e-3


class Programmes:
    """Highest common level t with x = weight x t for all that rise; whoever is stopped keeps what it has; repeat."""

    def __init__(self, found: Tree) -> None:
        self._weights = np.array([evse.weight for evse in found.evses], dtype=float)
        self._caps = np.array([evse.cap_ma for evse in found.evses], dtype=float)
        self._budgets = np.array([budget_ma for budget_ma, _ in found.rows], dtype=float)
        self._index = np.array([column for _, line in found.rows for column in line], dtype=np.int32)
        self._row = np.repeat(np.arange(len(found.rows)), [len(line) for _, line in found.rows])
        self._starts = np.array([0, *accumulate(len(line) for _, line in found.rows)])
        self.count = 0

    def solve(self) -> np.ndarray:
        """mA per EVSE."""
        solver = highspy.Highs()
        solver.setOptionValue("output_flag", False)
        solver.setOptionValue("threads", 1)
        solver.passModel(self._model())
        rising, reached = np.ones(len(self._caps), dtype=bool), np.zeros(len(self._caps))
        self.count = 0
        while rising.any():
            self.count += 1
            solver.run()
            level = solver.getInfo().objective_function_value
            reached[rising] = np.minimum(-level * self._weights, self._caps)[rising]
            self._fix(solver, rising & self._stopped(reached), rising, reached)
        return reached

    def _model(self) -> highspy.HighsLp:
        """Columns: x, then t. Rows: the tree's, then x - weight x t >= 0."""
        evses, rows = len(self._caps), len(self._budgets)
        model = highspy.HighsLp()
        model.num_col_, model.num_row_ = evses + 1, rows + evses
        model.col_cost_ = np.append(np.zeros(evses), -1.0)
        model.col_lower_ = np.zeros(evses + 1)
        model.col_upper_ = np.append(self._caps, highspy.kHighsInf)
        model.row_lower_ = np.append(np.full(rows, -highspy.kHighsInf), np.zeros(evses))
        model.row_upper_ = np.append(self._budgets, np.full(evses, highspy.kHighsInf))
        pairs = np.column_stack([np.arange(evses), np.full(evses, evses)]).ravel()
        values = np.column_stack([np.ones(evses), -self._weights]).ravel()
        model.a_matrix_.format_ = highspy.MatrixFormat.kRowwise
        model.a_matrix_.start_ = np.append(self._starts, len(self._index) + 2 * np.arange(1, evses + 1))
        model.a_matrix_.index_ = np.append(self._index, pairs)
        model.a_matrix_.value_ = np.append(np.ones(len(self._index)), values)
        return model

    def _stopped(self, reached: np.ndarray) -> np.ndarray:
        full = self._budgets - np.bincount(self._row, reached[self._index], len(self._budgets)) <= FULL_MA
        stopped = reached >= self._caps - FULL_MA
        stopped[self._index[full[self._row]]] = True
        return stopped

    def _fix(self, solver: highspy.Highs, stopped: np.ndarray, rising: np.ndarray, reached: np.ndarray) -> None:
        fixed = np.flatnonzero(stopped).astype(np.int32)
        assert len(fixed) > 0, "a programme that stops nobody"
        rising[fixed] = False
        solver.changeColsBounds(len(fixed), fixed, reached[fixed], reached[fixed])
        for row in fixed + len(self._budgets):
            solver.changeRowBounds(int(row), -highspy.kHighsInf, highspy.kHighsInf)


class Core:
    """The same tree in the core: continuous with one stratum, whole with all that a site adds."""

    def __init__(self, found: Tree) -> None:
        self._sharing = _core.Sharing(found.words())
        self._granted = array("i", bytes(8 * len(found.evses)))
        draw = random.Random(1)
        self._alike, self._claims = array("i"), array("i")
        for rank, evse in zip(draw.sample(range(len(found.evses)), len(found.evses)), found.evses, strict=True):
            self._alike.extend([evse.cap_ma, evse.weight, 1, 1, 1, 0])
            self._claims.extend([evse.cap_ma, evse.weight, 1 + rank % STRATA, MINIMUM_MA, STEP_MA, rank])

    def fill(self, times: int = 1) -> None:
        """Weighted max-min."""
        self._sharing.fill(self._alike, self._granted, times)

    def share(self, times: int = 1) -> None:
        """0 or from 6 A, whole amperes, by stratum."""
        self._sharing.share(self._claims, self._granted, times)

    def granted_ma(self) -> array[int]:
        """The newest answer, per EVSE."""
        return self._granted[::2]


def seconds(measured: Callable[[], object]) -> float:
    """CPU time of one call: on a busy host the rest is waiting for a core."""
    start = process_time()
    measured()
    return process_time() - start


def measure(evses: int, rounds: int) -> dict[str, float]:
    """One size: medians in us, ratios, and by how much the answers differ."""
    found = tree(evses)
    core, programmes, times = Core(found), Programmes(found), max(1, SHARINGS_EVSES // evses)
    answers: list[np.ndarray] = []
    taken: dict[str, list[float]] = {name: [] for name in ("fill", "share", "fill_call", "share_call")}
    taken["programmes"] = [seconds(lambda: answers.append(programmes.solve()))]
    core.fill()
    differs_ma = float(np.abs(np.array(core.granted_ma()) - answers[0]).max())
    core.share()
    check_whole(found, core.granted_ma())
    for _ in range(rounds):
        taken["fill"].append(seconds(lambda: core.fill(times)) / times)
        taken["share"].append(seconds(lambda: core.share(times)) / times)
        taken["fill_call"].append(seconds(core.fill))
        taken["share_call"].append(seconds(core.share))
        if evses <= CALL_EVSES:
            taken["programmes"].append(seconds(programmes.solve))
    result = {f"{name}_us": median(values) * 1e6 for name, values in taken.items()}
    return result | {
        "evses": evses,
        "rows": len(found.rows),
        "rounds_of_the_programme": programmes.count,
        "differs_ma": differs_ma,
        "faster": result["programmes_us"] / result["fill_us"],
        "whole_times": result["share_us"] / result["fill_us"],
        "fill_call_times": result["fill_call_us"] / result["fill_us"],
        "share_call_times": result["share_call_us"] / result["share_us"],
    }


def check_whole(found: Tree, granted_ma: array[int]) -> None:
    """0 or from the minimum to the cap, whole steps, every row kept."""
    for value_ma, evse in zip(granted_ma, found.evses, strict=True):
        assert value_ma == 0 or MINIMUM_MA <= value_ma <= evse.cap_ma, f"{value_ma} mA of {evse.cap_ma}"
        assert value_ma % STEP_MA == 0, f"{value_ma} mA is no multiple of {STEP_MA}"
    for budget_ma, line in found.rows:
        assert sum(granted_ma[column] for column in line) <= budget_ma, "a row is over its budget"


def missed(result: dict[str, float]) -> list[str]:
    """Bars that this size misses."""
    evses = int(result["evses"])
    bars = [
        (result["differs_ma"] <= SAME_MA, "the same answer"),
        (result["faster"] >= FASTER[evses], f"{FASTER[evses]:.0f} times faster"),
        (result["whole_times"] <= WHOLE_TIMES, f"whole within {WHOLE_TIMES} times"),
    ]
    if evses >= CALL_EVSES:
        calls = max(result["fill_call_times"], result["share_call_times"])
        bars.append((calls <= CALL_TIMES, f"call within {CALL_TIMES} times"))
    return [name for holds, name in bars if not holds]


def show(result: dict[str, float]) -> None:
    """One size with its bars."""
    evses, milliseconds = int(result["evses"]), result["programmes_us"] / 1000
    print(
        f"{evses:6} EVSEs, {result['rows']:.0f} rows: fill {result['fill_us']:.1f} us, {result['faster']:.0f} times "
        f"faster (bar {FASTER[evses]:.0f}) than {result['rounds_of_the_programme']:.0f} programmes of HiGHS, "
        f"{milliseconds:.1f} ms; differs by {result['differs_ma']:.3f} mA"
    )
    print(
        f"       whole {result['share_us']:.1f} us (goal {GOALS_US[evses]:.0f}), {result['whole_times']:.2f} times "
        f"(bar {WHOLE_TIMES}); calls {result['fill_call_times']:.2f} and {result['share_call_times']:.2f} times"
    )
    for bar in missed(result):
        print(f"       MISSED: {bar}")


def main() -> int:
    """Measure every size asked for, print, compare with the bars."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--evse", type=int, action="append", choices=sorted(FASTER), help="only these sizes")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--json", type=Path, help="write the figures here")
    given = parser.parse_args()
    results = [measure(evses, given.rounds) for evses in given.evse or sorted(FASTER)]
    for result in results:
        show(result)
    if given.json is not None:
        given.json.write_text(json.dumps(results, indent=1))
    return 1 if any(missed(result) for result in results) else 0


if __name__ == "__main__":
    sys.exit(main())
