"""The bars of the Modbus benchmark, all in one table, and what is written beside each.

A bar is a bound on one figure, nearly always a ratio inside one run. They come from the project's targets and are never
adjusted to what was measured: a figure misses its bar and says so. Figures without a bar are there to explain others.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """`at_most` or `at_least` in the unit of the figure."""

    at_most: float | None = None
    at_least: float | None = None

    def holds(self, value: float) -> bool:
        """Whether a figure is on the right side of it."""
        return (self.at_most is None or value <= self.at_most) and (self.at_least is None or value >= self.at_least)

    def __str__(self) -> str:
        return f"<= {self.at_most:g}" if self.at_most is not None else f">= {self.at_least:g}"


BARS = {
    # Master, one connection.
    "M1 CPU a read / physical": Bar(at_most=1.4),
    "M1 CPU a read / libmodbus": Bar(at_most=0.8),
    "M2 reads/s / libmodbus": Bar(at_least=1.1),
    "M2 reads/s / pymodbus async": Bar(at_least=12.0),
    "M3 reads/s, 16 in flight / libmodbus": Bar(at_least=10.0),
    # Fleet.
    "M4 polls missed": Bar(at_most=0.0),
    "M4 CPU a read": Bar(at_most=15.0),
    "M4 CPU a read / reference": Bar(at_most=1.5),
    "M5 lateness p50 / bare timer": Bar(at_most=2.0),
    "M5 lateness p99 over 1.25 x bare timer": Bar(at_most=200.0),
    # Python.
    "M6 reply to Python p50 over eventfd": Bar(at_most=30.0),
    "M7 one value": Bar(at_most=150.0),
    "M7 refresh of 125,000 registers / 2 copies or 10 us": Bar(at_most=1.0),
    "M7 refresh / 2 copies that are in the cache or 10 us": Bar(at_most=1.0),
    "M8 polls missed, interpreter held 2 s": Bar(at_most=0.0),
    "M8 requests unanswered, interpreter held 2 s": Bar(at_most=0.0),
    "M8 late expiries, interpreter held 2 s": Bar(at_most=0.0),
    "M9 set() to wire p50": Bar(at_most=40.0),
    "M9 set() to wire p99 over bare timer": Bar(at_most=300.0),
    "M11 memory a device": Bar(at_most=4.0),
    "M11 growth over all reads": Bar(at_most=64.0),
    # Server.
    "M12 answers/s, 1 client / ideal": Bar(at_least=0.9),
    "M12 answers/s, 500 clients / ideal": Bar(at_least=0.9),
    "M12 answers/s, 1 client / pymodbus": Bar(at_least=10.0),
    "M12 answers/s, 500 clients / pymodbus": Bar(at_least=10.0),
    "M13 p99 among bad clients / alone": Bar(at_most=1.1),
    "M13 requests unanswered": Bar(at_most=0.0),
    "M18 TLS CPU an answer / plain": Bar(at_most=3.0),
    "M18 TLS CPU a read / plain": Bar(at_most=3.0),
    # Packaging.
    "M20 import": Bar(at_most=30.0),
    "M20 wheel": Bar(at_most=3.0),
}


@dataclass(slots=True, kw_only=True)
class Figure:
    """One line of the table. `samples` has a value per round; `value` is their median unless given."""

    name: str
    unit: str
    samples: Sequence[float] = ()
    value: float | None = None
    beside: str = ""
    absent: str = ""
    extra: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.value is None and self.samples:
            self.value = statistics.median(self.samples)

    def verdict(self) -> str:
        """ "holds", "misses", "absent" or nothing where there is no bar."""
        bar = BARS.get(self.name)
        if self.value is None:
            return "absent"
        return "" if bar is None else "holds" if bar.holds(self.value) else "MISSES"

    def row(self) -> tuple[str, str, str, str, str]:
        """Name, value with its range over the rounds, bar, verdict, what it stands beside."""
        bar = BARS.get(self.name)
        shown = "-" if self.value is None else f"{short(self.value)} {self.unit}"
        if len(self.samples) > 1:
            shown += f"  ({short(min(self.samples))} .. {short(max(self.samples))})"
        return self.name, shown, str(bar or ""), self.verdict(), self.absent or self.beside

    def record(self) -> dict[str, Any]:
        """For the JSON output."""
        bar = BARS.get(self.name)
        return {
            "name": self.name,
            "value": self.value,
            "unit": self.unit,
            "samples": list(self.samples),
            "bar": str(bar) if bar else None,
            "verdict": self.verdict() or None,
            "beside": self.beside,
            "absent": self.absent or None,
            **self.extra,
        }


def short(value: float) -> str:
    """Three digits are all that a noisy host can mean."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def ratios(ours: Sequence[float], theirs: Sequence[float]) -> list[float]:
    """Round by round, so that what drifts drifts out."""
    return [one / other for one, other in zip(ours, theirs, strict=True)]


def table(figures: Sequence[Figure]) -> str:
    """All lines, columns aligned."""
    rows = [("measure", "found", "bar", "verdict", "beside"), *(figure.row() for figure in figures)]
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    return "\n".join(
        "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[4]]).rstrip()
        for row in rows
    )
