"""The words of one allocation of the core: who asks for what, and the rows that bound them.

    Column per asker, Line (sum) and PhasorLine (magnitude of a sum) ──Problem.to_bytes──> _core.allocate ──Answer──>

The rows of a site seldom change, the columns every time: the rows are encoded once. Layout version 2 of
dgm_core/src/arbiter/problem.rs. It calls no core and decides nothing.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

VERSION = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """What one asker may get, mA; a lower stratum is served first."""

    cap_ma: int
    floor_ma: int = 0
    weight: int = 1
    stratum: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """Sum of coefficient (1..3) x mA over its columns is at most budget_ma."""

    budget_ma: int
    coefficients: Mapping[int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class PhasorLine:
    """Magnitude of the sum of (u + v x (1 at 120 degrees)) x mA is at most limit_ma, at any draw below the grants."""

    limit_ma: int
    coefficients: Mapping[int, tuple[int, int]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """Per column: mA, and the row that stopped it (phasor lines counted after lines), None: its cap."""

    values_ma: Sequence[int]
    rows: Sequence[int | None]

    @classmethod
    def from_bytes(cls, answer: bytes) -> Answer:
        """From what `_core.allocate` returned for a problem of this module."""
        words = array("q")
        words.frombytes(answer)
        half = len(words) // 2
        return cls(values_ma=words[:half].tolist(), rows=[None if row < 0 else row for row in words[half:]])


class Problem:
    """Rows encoded once, for any number of allocations over the same columns."""

    def __init__(self, columns: int, lines: Sequence[Line], phasors: Sequence[PhasorLine]) -> None:
        self._columns = columns
        self._head = [VERSION, columns, len(lines), len(phasors)]
        words: list[int] = []
        for line in lines:
            words += [line.budget_ma, len(line.coefficients)]
            for column, times in line.coefficients.items():
                words += (column, times)
        for phasor in phasors:
            words += [phasor.limit_ma, len(phasor.coefficients)]
            for column, (along, across) in phasor.coefficients.items():
                words += (column, along, across)
        self._rows = array("q", words).tobytes()

    def to_bytes(self, columns: Iterable[Column]) -> bytes:
        """The words for these columns, as many as the problem has."""
        words = list(self._head)
        for column in columns:
            words += (column.floor_ma, column.cap_ma, column.weight, column.stratum)
        if len(words) != len(self._head) + 4 * self._columns:
            raise ValueError(f"columns: expected {self._columns}, found {(len(words) - len(self._head)) // 4}")
        return array("q", words).tobytes() + self._rows

    def caps_to_bytes(self, caps_ma: Sequence[int]) -> bytes:
        """The words for columns that differ in nothing but their caps, without an object per column."""
        if len(caps_ma) != self._columns:
            raise ValueError(f"caps: expected {self._columns}, found {len(caps_ma)}")
        words = list(self._head)
        for cap_ma in caps_ma:
            words += (0, cap_ma, 1, 1)
        return array("q", words).tobytes() + self._rows
