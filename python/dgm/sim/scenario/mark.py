"""What a scenario has to show, what was measured, and the judgement.

    Mark (bound, unit, tag) + Measured ──judged──> Figure ──> Verdict: passed, failed, not built

A mark that is measured on real sockets only says so in a virtual run: it is neither passed nor failed there.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class Tag(StrEnum):
    """Where a mark is measured."""

    VIRTUAL = "virtual"
    LIVE = "live"


class State(StrEnum):
    """Of a figure or a whole run."""

    PASSED = "passed"
    FAILED = "failed"
    LIVE = "live"
    """Not measured here: by --live."""
    NOT_BUILT = "not built"


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """One condition. at_least, at_most: bounds of the figure in `unit`, None: not bounded on that side.

    measure: a measure of the trace, or the name under which a runner gives the figure.
    """

    name: str
    expected: str
    unit: str
    measure: str
    at_least: float | None = None
    at_most: float | None = None
    tag: Tag = Tag.VIRTUAL
    not_built: str = ""
    """What of the product is absent; empty: nothing."""

    @property
    def bound(self) -> str:
        """The bounds, for people."""
        sides = []
        if self.at_least is not None:
            sides.append(f">= {self.at_least:g}")
        if self.at_most is not None:
            sides.append(f"<= {self.at_most:g}")
        return f"{' and '.join(sides)} {self.unit}".strip()


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """A value in the unit of its mark, None: it never came to that. detail: what a person should know about it."""

    value: float | None
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """A mark with what was measured."""

    mark: Mark
    state: State
    value: float | None = None
    detail: str = ""

    @property
    def measured(self) -> str:
        """For people."""
        if self.state is State.LIVE:
            return "live: measured by --live"
        if self.state is State.NOT_BUILT:
            return "not built"
        return "never" if self.value is None else f"{self.value:.6g} {self.mark.unit}".strip()


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """One run of one scenario. why: what is not built, or what broke the run off."""

    scenario: str
    run: str
    state: State
    figures: tuple[Figure, ...] = ()
    why: str = ""

    @property
    def is_passed(self) -> bool:
        """Every figure that can be measured here is within its bounds."""
        return self.state is State.PASSED


def figure(mark: Mark, measured: Measured | None, *, is_live: bool) -> Figure:
    """Judge one mark. measured None: nobody measured it, which fails unless it is to be measured live."""
    if mark.not_built:
        return Figure(mark=mark, state=State.NOT_BUILT, detail=mark.not_built)
    if mark.tag is Tag.LIVE and not is_live:
        return Figure(mark=mark, state=State.LIVE)
    if measured is None:
        return Figure(mark=mark, state=State.FAILED, detail="not measured")
    value = measured.value
    is_within = (
        value is not None
        and (mark.at_least is None or value >= mark.at_least)
        and (mark.at_most is None or value <= mark.at_most)
    )
    state = State.PASSED if is_within else State.FAILED
    return Figure(mark=mark, state=state, value=value, detail=measured.detail)


def verdict(scenario: str, run: str, figures: Iterable[Figure], *, why: str = "") -> Verdict:
    """Of all figures: one that failed fails the run, and so does a run that broke off or in which nothing passed."""
    found = tuple(figures)
    is_good = not why and any(one.state is State.PASSED for one in found)
    failed = not is_good or any(one.state in (State.FAILED, State.NOT_BUILT) for one in found)
    return Verdict(scenario=scenario, run=run, state=State.FAILED if failed else State.PASSED, figures=found, why=why)
