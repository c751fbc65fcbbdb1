"""What the plant itself did, as series over time: 10 Hz samples, and means over each second.

    World, every 100 ms ──add(row)──> Trace ──series(name)──> means of 1 s ──> measures, plots

The truth of every figure: nothing here comes from the books of the controller but what says so (says_, limit_).
"""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence

SAMPLES_PER_S = 10
SAMPLE_MS = 1000 // SAMPLES_PER_S

Series = Sequence[float]
"""One value a second, from second 0 of the run."""


class Trace:
    """Samples by name, all of one length; names are fixed by the first row. Times are s after the start."""

    def __init__(self) -> None:
        self._columns: dict[str, array[float]] = {}
        self._means: dict[str, list[float]] = {}
        self.extra: dict[str, list[float]] = {}
        """Series by second that are not sampled (a runner's own)."""

    @property
    def names(self) -> tuple[str, ...]:
        """Of all series."""
        return (*self._columns, *self.extra)

    @property
    def seconds(self) -> int:
        """Whole seconds that are there."""
        lengths = [len(column) // SAMPLES_PER_S for column in self._columns.values()]
        return max([*lengths, *(len(one) for one in self.extra.values())], default=0)

    def add(self, row: Mapping[str, float]) -> None:
        """One sample of every column."""
        for name, value in row.items():
            self._columns.setdefault(name, array("d")).append(value)

    def raw(self, name: str) -> Sequence[float]:
        """The samples, 10 a second. KeyError: there is no such column."""
        return self._columns[name]

    def series(self, name: str) -> Series:
        """Means of each whole second. KeyError: there is no such series."""
        if name in self.extra:
            return self.extra[name]
        column = self._columns[name]
        known = self._means.setdefault(name, [])
        for at in range(len(known), len(column) // SAMPLES_PER_S):
            begin = at * SAMPLES_PER_S
            known.append(sum(column[begin : begin + SAMPLES_PER_S]) / SAMPLES_PER_S)
        return known
