"""Scenario 6: the grid's guard limits the controllable devices, falls silent, and comes back (14a, LPC).

    Guard ──ReportGuard──> EMS of the stage ──> cars of RS-1             what they draw from the grid, on the plant
    run `hold`: a few EVSEs, for the hours that a guard may be gone (by default minutes, with --full the hours)

What the devices draw from the grid is what cars and battery take less what the site makes beyond its building's need.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

from dgm.api.config.v1.scenario_pb2 import CarsArrive, EvseChoice, ScenarioWorld
from dgm.api.ems.v1.policy_pb2 import GuardStatement, ReportGuardRequest
from dgm.ems.policies.lpc import minimum_w
from dgm.sim.scenario.mark import Measured
from dgm.sim.scenario.runners.timeline import finish
from dgm.sim.scenario.script import car_of, choose
from dgm.sim.scenario.stage import Stage
from dgm.sim.scenario.task import Outcome, Task
from dgm.sim.scenario.trace import Trace
from dgm.site.refusal import Refusal

SOURCE = "utility:guard"
BEAT_S = 30
POINTS, WITH_BATTERY = 104, 105
PERMIT_S, LIMIT_S, SUN_S, DARK_S, RAISE_S, LAST_BEAT_S = 2, 90, 150, 270, 290, 350
SURPLUS_W, BUILDING_W = 80_000, 60_000
RAISED_W = 300_000
SILENT_S = 120
SETTLE_S = 30
Says = Callable[[GuardStatement | None], None]


class Guard:
    """Gives signs of life while it is there, and states what it is told to."""

    def __init__(self, say: Says) -> None:
        self.is_there = True
        self._say = say

    def beat(self) -> None:
        """A sign of life, if it is there."""
        if self.is_there:
            self._say(None)

    def permit(self) -> None:
        """Operation without limit."""
        self._say(GuardStatement(active=False))

    def limit(self, power_w: int, duration_ms: int | None = None) -> None:
        """W of all controllable devices from the grid; duration None: until it says otherwise."""
        self._say(GuardStatement(active=True, power_w=power_w, duration_ms=duration_ms))


def run(task: Task) -> Outcome:
    """The run that the file names."""
    return _hold(task) if task.run == "hold" else _limit(task)


# -- limit and failsafe on the whole site -----------------------------------------------------------------------------


def _limit(task: Task) -> Outcome:
    stage = Stage(task)
    limit_w = minimum_w(POINTS)
    guard = Guard(lambda said: stage.world.ask(ReportGuardRequest(source=SOURCE, statement=said)))
    granted: list[tuple[float, float]] = []
    for at_s in range(1, LAST_BEAT_S + 1, BEAT_S):
        stage.at_s(at_s, guard.beat)
    stage.at_s(LAST_BEAT_S, guard.beat)
    stage.at_s(PERMIT_S, guard.permit)
    stage.at_s(LIMIT_S, partial(guard.limit, limit_w))
    stage.at_s(RAISE_S, partial(guard.limit, RAISED_W))
    stage.at_s(SUN_S, partial(stage.set_sun, SURPLUS_W + BUILDING_W))
    stage.at_s(DARK_S, partial(stage.set_sun, 0.0))
    for kind in ("ac11", "ac22"):
        for plan in choose(stage.site.timeline.evses, EvseChoice(kind=kind)):
            stage.at_s(5, partial(stage.world.actions.plug, plan.id, car_of(plan, CarsArrive())))
    stage.world.observe(200, lambda row: granted.append((row.elapsed_ms / 1000, _watts(row.grants_ma))))
    found = finish(stage)
    return Outcome(
        figures=_limit_figures(stage.trace, granted, limit_w), trace=found.trace, panels=found.panels, why=found.why
    )


def _watts(grants_ma: tuple[int | None, ...]) -> float:
    """W of three-phase EVSEs."""
    return sum(current_ma or 0 for current_ma in grants_ma) * 0.69


def _limit_figures(trace: Trace, granted: list[tuple[float, float]], limit_w: int) -> dict[str, Measured]:
    drawn = _drawn(trace)
    cars, ev_w = trace.series("cars_charging"), trace.series("ev_w")
    over = [at for at in range(LIMIT_S, SUN_S) if drawn[at] > limit_w]
    fell = next((at for at, watts in granted if at > LAST_BEAT_S + 1 and watts < RAISED_W * 0.95), None)
    used = [ev_w[at] - limit_w for at in range(SUN_S + 60, DARK_S)]
    after = [drawn[at] for at in range(LAST_BEAT_S + SILENT_S + SETTLE_S, trace.seconds)]
    return {
        "points_kw": Measured(value=limit_w / 1000, detail=f"{POINTS} controllable points"),
        "points_with_battery_kw": Measured(
            value=minimum_w(WITH_BATTERY) / 1000, detail=f"{WITH_BATTERY} with the battery"
        ),
        "to_limit_s": Measured(value=float(over[-1] + 1 - LIMIT_S if over else 0), detail="on the plant"),
        "over_limit_s": _longest_over(drawn, range(LIMIT_S + 15, RAISE_S), limit_w),
        "surplus_w": Measured(value=sum(used) / len(used), detail="cars beyond the limit, mean of a minute"),
        "failsafe_s": Measured(
            value=None if fell is None else fell - LAST_BEAT_S, detail="from the last sign of life to lower setpoints"
        ),
        "failsafe_over_w": Measured(value=max(0.0, max(after, default=0.0) - limit_w), detail=f"{len(after)} s of it"),
        "cars_at_once": Measured(value=max(cars[LIMIT_S + 15 : SUN_S])),
    }


def _longest_over(drawn: list[float], seconds: range, limit_w: int) -> Measured:
    """Longest time above the limit, which the sun that goes may cause."""
    longest, run, ended_s = 0, 0, 0
    for at in seconds:
        run = run + 1 if drawn[at] > limit_w else 0
        longest, ended_s = max((longest, ended_s), (run, at))
    return Measured(value=float(longest), detail=f"to {ended_s} s; 80 kW of sun go at {DARK_S} s" if longest else "")


def _drawn(trace: Trace) -> list[float]:
    """W that the controllable devices take from the grid, s by s."""
    rows = zip(*(trace.series(name) for name in ("gross_load_w", "gross_generation_w", "building_w")), strict=True)
    return [load_w - max(0.0, made_w - building_w) for load_w, made_w, building_w in rows]


# -- hours without a guard --------------------------------------------------------------------------------------------

FAILSAFE_W, TOLD_W, LOWER_W = 60_000, 100_000, 80_000
GONE_S, GONE_SHORT_S, TOLD_S, TOLD_SHORT_S = 10_800, 900, 7_200, 480
LAST_S, ALONE_S, GIVEN_S, AGAIN_S, FREE_S = 90, 100, 90, 150, 220
BAD_S = 20
TOLERANCE_W = 700
"""A step of an ampere on three phases."""


def _hold(task: Task) -> Outcome:
    gone_s, told_s = (GONE_S, TOLD_S) if task.is_full else (GONE_SHORT_S, TOLD_SHORT_S)
    back_s = LAST_S + gone_s
    given_s = back_s + ALONE_S
    lost_s = given_s + GIVEN_S
    again_s = lost_s + AGAIN_S
    lower_s = again_s + FREE_S
    end_s = lower_s + told_s
    world = ScenarioWorld()
    world.CopyFrom(task.world)
    world.length_s = end_s
    stage = Stage(replace(task, world=world))
    guard = Guard(lambda said: stage.world.ask(ReportGuardRequest(source=SOURCE, statement=said)))
    for first_s, last_s in ((1, LAST_S), (back_s, lost_s), (again_s, end_s)):
        for at_s in range(first_s, last_s + 1, BEAT_S):
            stage.at_s(at_s, guard.beat)
    stage.at_s(LAST_S, guard.beat)
    stage.at_s(PERMIT_S, guard.permit)
    stage.at_s(given_s, partial(guard.limit, TOLD_W))
    stage.at_s(lost_s, guard.beat)
    stage.at_s(lower_s, partial(guard.limit, LOWER_W))
    refused: list[Refusal] = []
    stage.at_s(lower_s + BAD_S, lambda: _refused(stage, guard, refused))
    for plan in stage.site.timeline.evses:
        car = car_of(plan, CarsArrive(need_wh=10_000_000, ramp_ma_per_s=20_000))
        stage.at_s(5, partial(stage.world.actions.plug, plan.id, car))
    found = finish(stage)
    drawn = _drawn(stage.trace)

    def over(from_s: int, to_s: int, bound_w: int) -> float:
        return max(0.0, max(drawn[from_s:to_s], default=0.0) - bound_w - TOLERANCE_W)

    failsafe_s = LAST_S + SILENT_S + SETTLE_S
    figures = {
        "gone_over_w": Measured(
            value=over(failsafe_s, back_s, FAILSAFE_W), detail=f"guard gone for {gone_s / 3600:g} h"
        ),
        "alone_over_w": Measured(value=over(back_s, given_s, FAILSAFE_W), detail=f"{ALONE_S} s of signs of life alone"),
        "left_kw": Measured(value=_mean(drawn[given_s + 40 : lost_s]) / 1000, detail="after a limit of 100 kW"),
        "silent_over_w": Measured(value=over(lost_s + SILENT_S + SETTLE_S, again_s + SILENT_S - 2, FAILSAFE_W)),
        "free_kw": Measured(
            value=_mean(drawn[again_s + SILENT_S + 60 : lower_s]) / 1000, detail="after 120 s of signs of life alone"
        ),
        "told_over_w": Measured(
            value=over(lower_s + 15, end_s, LOWER_W), detail=f"limit without a duration, for {told_s / 3600:g} h"
        ),
        "bad_taken": Measured(value=float(1 - len(refused)), detail=str(refused[0]) if refused else ""),
    }
    return Outcome(figures=figures, trace=found.trace, panels=found.panels, why=found.why)


def _refused(stage: Stage, guard: Guard, found: list[Refusal]) -> None:
    """A limit below zero; what is no number cannot be said in this protocol."""
    guard.limit(-5)
    if stage.world.ems is not None:
        found += stage.world.ems.refused
        stage.world.ems.refused.clear()


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0
