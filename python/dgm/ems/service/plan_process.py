"""The process that solves: problems as lines of JSON on standard input, plans on standard output, one for one.

    ems role ──problem──> here: HiGHS, low priority ──plan──> ems role

Its own process, so that a solver that takes long, hangs or crashes costs the site a plan and nothing else. Ends with
its standard input.
"""

from __future__ import annotations

import os
import sys
import time
from dataclasses import replace

from dgm.ems.planner.problem import Plan, Problem
from dgm.ems.planner.wire import plan_bytes, read_problem

NICE = 10
TIME_SHARE = 0.8
"""Of the deadline, given to the solver: what remains is for building and carrying."""


def answer(problem: Problem, deadline_s: float) -> Plan:
    """The plan of a problem, with the time it took."""
    from dgm.ems.planner.solve import solve  # numpy and HiGHS are loaded in this process only

    began = time.perf_counter()
    plan = solve(problem, time_limit_s=TIME_SHARE * deadline_s)
    return replace(plan, solve_us=round((time.perf_counter() - began) * 1e6))


def main() -> None:
    """Serve until standard input ends. The first argument is the deadline, s."""
    os.nice(NICE)
    deadline_s = float(sys.argv[1])
    for line in sys.stdin.buffer:
        sys.stdout.buffer.write(plan_bytes(answer(read_problem(line), deadline_s)) + b"\n")
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
