"""What the simulator needs of a source of chance. The standard library's generator fits; an instance is passed in."""

from __future__ import annotations

from typing import Protocol


class Draw(Protocol):
    """A seeded source of random numbers."""

    def uniform(self, a: float, b: float, /) -> float:
        """A number between a and b."""
        ...

    def gauss(self, mu: float, sigma: float, /) -> float:
        """A number of the normal distribution."""
        ...

    def randrange(self, stop: int, /) -> int:
        """A whole number from 0 to stop - 1."""
        ...
