"""One electric car at a connector: what it may draw, when it reacts and how fast.

pilot current (offered) ──delay──> wanted ──ramp──> drawn, never above the car's own maximum, 0 below 6 A
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

CURRENT_MIN_MA = 6000
"""IEC 61851 knows no current between 0 and 6 A."""

_PENDING_MAX = 64
_DOWN_FACTOR = 4
"""A car lets go faster than it takes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CarSpec:
    """A car: own phases (1 or 3) and maximum (mA per phase), energy it wants (Wh), delay and ramp of its charger."""

    id_tag: str
    phases: int
    current_max_ma: int
    need_wh: int
    delay_ms: int
    ramp_ma_per_s: int


class Car:
    """A plugged-in car. Times are monotonic ms."""

    def __init__(self, spec: CarSpec, *, now_ms: int) -> None:
        self.spec = spec
        self.current_ma = 0.0
        self.energy_wh = 0.0
        self._offered_ma = 0
        self._wanted_ma = 0
        self._pending: deque[tuple[int, int]] = deque(maxlen=_PENDING_MAX)
        self.stepped_ms = now_ms

    @property
    def is_full(self) -> bool:
        """Whether it has what it wanted."""
        return self.energy_wh >= self.spec.need_wh

    def offer(self, offered_ma: int, *, now_ms: int) -> None:
        """The pilot signal now allows this much; the car sees it after its delay."""
        if offered_ma != self._offered_ma:
            self._offered_ma = offered_ma
            self._pending.append((now_ms + self.spec.delay_ms, offered_ma))

    def step(self, *, now_ms: int, phases: int, voltage_v: float) -> None:
        """Draw until now_ms on this many phases and count the energy."""
        dt_s = (now_ms - self.stepped_ms) / 1000.0
        self.stepped_ms = now_ms
        while self._pending and self._pending[0][0] <= now_ms:
            self._wanted_ma = self._pending.popleft()[1]
        goal_ma = 0 if self.is_full or self._wanted_ma < CURRENT_MIN_MA else self._wanted_ma
        goal_ma = min(goal_ma, self.spec.current_max_ma)
        step_ma = self.spec.ramp_ma_per_s * dt_s
        if goal_ma >= self.current_ma:
            self.current_ma = min(float(goal_ma), self.current_ma + step_ma)
        else:
            self.current_ma = max(float(goal_ma), self.current_ma - step_ma * _DOWN_FACTOR)
        self.energy_wh += self.current_ma / 1000.0 * voltage_v * phases * dt_s / 3600.0
