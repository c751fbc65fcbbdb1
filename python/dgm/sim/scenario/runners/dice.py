"""A seeded source of chance of our own (SplitMix64), so that a scenario is the same on every machine and version."""

from __future__ import annotations

from math import cos, log, sqrt, tau

_MASK = (1 << 64) - 1
_STEP = 0x9E3779B97F4A7C15


class Dice:
    """Numbers from one seed; see `sim.draw.Draw`."""

    def __init__(self, seed: int) -> None:
        self._state = seed & _MASK

    def uniform(self, a: float, b: float, /) -> float:
        """A number between a and b."""
        return a + (b - a) * ((self._next() >> 11) / (1 << 53))

    def gauss(self, mu: float, sigma: float, /) -> float:
        """A number of the normal distribution (Box and Muller)."""
        return mu + sigma * sqrt(-2 * log(self.uniform(1e-12, 1.0))) * cos(tau * self.uniform(0.0, 1.0))

    def randrange(self, stop: int, /) -> int:
        """A whole number from 0 to stop - 1."""
        return self._next() * stop >> 64

    def _next(self) -> int:
        self._state = (self._state + _STEP) & _MASK
        word = self._state
        word = ((word ^ (word >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
        word = ((word ^ (word >> 27)) * 0x94D049BB133111EB) & _MASK
        return word ^ (word >> 31)
