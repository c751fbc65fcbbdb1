"""The one hierarchy of errors. A message says what, where, found, expected, and what the operator can do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


class DgmError(Exception):
    """Root of everything DGM raises on purpose."""


class PeerError(DgmError):
    """A peer sent something its protocol does not allow. Expected; counted; never a crash."""


class TransportError(DgmError):
    """A socket, file or process failed. Retried with back-off, shown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One thing wrong in a configuration: where (YAML path and line), what was found, what was expected."""

    path: str
    found: str
    expected: str
    line: int | None = None

    def __str__(self) -> str:
        where = self.path if self.line is None else f"{self.path} (line {self.line})"
        return f"{where}: found {self.found}; expected {self.expected}"


class ConfigError(DgmError):
    """The configuration cannot be used; lists every problem found, not the first."""

    def __init__(self, problems: Sequence[Problem], *, source: str = "site.yaml") -> None:
        self.problems = tuple(problems)
        self.source = source
        count = len(self.problems)
        head = f"{source}: {count} problem{'' if count == 1 else 's'}, nothing started"
        super().__init__("\n".join([head, *(f"  {problem}" for problem in self.problems)]))
