"""Scenario 10: 104 EVSEs of three CPOs, and nobody at either end can tell that somebody stands between.

    VirtualDay ──hashes at both ends──> equal, or named by a rule of the closed list
          └──ledgers at both ends──> bills and signed readings that differ

By default an hour with as many charging sessions an hour as the day; with --full the day.
"""

from __future__ import annotations

from dgm.sim.scenario.mark import Measured
from dgm.sim.scenario.runners.virtual_day import DAY_MS, HOUR_MS, VirtualDay
from dgm.sim.scenario.task import Outcome, Task

EVSES = 104
SESSIONS_A_DAY = 20
"""Of each EVSE: 2,080 of the site."""
SHORT_MS = HOUR_MS
TRIGGER_MS = 10_000
"""As site.yaml has it where it says nothing."""
SLOT_MS = 10_000
WH_PER_KWH = 1000


def run(task: Task) -> Outcome:
    """The day, or an hour of it."""
    length_ms = DAY_MS if task.is_full else SHORT_MS
    sessions = EVSES * (SESSIONS_A_DAY if task.is_full else 1)
    day = VirtualDay(
        stations=EVSES, sessions=sessions, draw=task.chance(task.seed), length_ms=length_ms, trigger_ms=TRIGGER_MS
    )
    day.run()
    return Outcome(figures=figures(day, length_ms), notes=(_manifest(day),))


def figures(day: VirtualDay, length_ms: int) -> dict[str, Measured]:
    """By the names of the marks."""
    bills = [(list(line.sent.bills()), list(line.got.bills())) for line in day.lines]
    billed = sum(len(got) for _, got in bills)
    unequal = [line.name for line, (sent, got) in zip(day.lines, bills, strict=True) if sent[: len(got)] != got]
    late = sum(len(sent) - len(got) for sent, got in bills)
    signed = sum(len(line.got.signed) for line in day.lines)
    altered = sum(len(line.got.signed.keys() - line.sent.signed.keys()) for line in day.lines)
    hours = length_ms / HOUR_MS
    kinds = {fault.split(": ")[1] for fault in day.faults}
    return {
        "sessions_a_day": Measured(value=billed * 24 / hours, detail=f"{billed} billed in {hours:g} h"),
        "relay_faults": Measured(value=len(day.faults), detail="; ".join(day.faults[:2]) or _judged(day)),
        "injected_ids": Measured(value=float("own ids unseen" in kinds), detail=f"{_own_calls(day)} CALLs of ours"),
        "signed_altered": Measured(value=altered, detail=f"of {signed} signed readings"),
        "bills_unequal": Measured(
            value=len(unequal),
            detail=f"{billed} bills of {_kwh(day):.0f} kWh at both ends, {late} under way at the end",
        ),
        "own_frames_a_slot": Measured(
            value=day.own_frames / len(day.lines) / (length_ms / SLOT_MS), detail=f"{day.own_frames} frames of ours"
        ),
    }


def _kwh(day: VirtualDay) -> float:
    """Of all bills at the CSMSs, where both registers were told."""
    found = 0.0
    for line in day.lines:
        for begin, end in line.got.bills():
            if begin.register_wh is not None and end.register_wh is not None:
                found += (end.register_wh - begin.register_wh) / WH_PER_KWH
    return found


def _own_calls(day: VirtualDay) -> int:
    return day.counts["excepted own_call"]


def _judged(day: VirtualDay) -> str:
    return f"{day.counts['frames']} frames of {day.counts['connections']} connections"


def _manifest(day: VirtualDay) -> str:
    named = sorted((name.removeprefix("excepted "), count) for name, count in day.counts.items() if "excepted" in name)
    return "held, answered or rewritten: " + ", ".join(f"{name} {count}" for name, count in named)
