"""One connector of a simulated station: its car, its charging session, its meter and its status.

car ──current──> register_wh ──> meter_values()      session: authorised ──> transaction id ──> stopped
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from dgm.sim.car import CURRENT_MIN_MA, Car
from dgm.sim.stamps import format_time

PERIODIC, TRIGGERED = "Sample.Periodic", "Trigger"


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectorPlan:
    """A connector: number, installed maximum (mA per phase) and phases (1 or 3)."""

    connector_id: int
    current_max_ma: int
    phases: int


@dataclass(slots=True, kw_only=True)
class Session:
    """One charging session; transaction_id is None until the CSMS has given one."""

    id_tag: str
    start_utc_ms: int
    transaction_id: int | None = None


@dataclass(slots=True, kw_only=True)
class Connector:
    """State of one connector; its station owns it, others read."""

    plan: ConnectorPlan
    status: str = "Available"
    car: Car | None = None
    session: Session | None = None
    register_wh: float = 0.0
    offered_ma: int = 0
    authorize_ms: int | None = None
    meter_due_ms: int | None = None
    limit_ma: int = 0
    limit_until_utc_ms: int = 0

    @property
    def id(self) -> int:
        """connectorId."""
        return self.plan.connector_id

    @property
    def phases(self) -> int:
        """Phases in use: the fewer of car and connector."""
        return min(self.plan.phases, self.car.spec.phases) if self.car else self.plan.phases

    @property
    def current_ma(self) -> int:
        """Drawn now, mA per phase in use."""
        return round(self.car.current_ma) if self.car else 0

    @property
    def cap_ma(self) -> int:
        """What car and connector could take, mA per phase; 0 without a car or with a full one."""
        if self.car is None or self.car.is_full:
            return 0
        return min(self.plan.current_max_ma, self.car.spec.current_max_ma)

    @property
    def transaction_id(self) -> int | None:
        """Of the running transaction."""
        return self.session.transaction_id if self.session else None

    def power_w(self, voltage_mv: int) -> int:
        """Drawn now, W."""
        return round(self.current_ma * self.phases * voltage_mv / 1e6)

    def step_car(self, *, now_ms: int, voltage_mv: int) -> None:
        """Let the car draw until now and count what it drew."""
        if self.car is None:
            return
        before_wh = self.car.energy_wh
        self.car.step(now_ms=now_ms, phases=self.phases, voltage_v=voltage_mv / 1000.0)
        self.register_wh += self.car.energy_wh - before_wh

    def charging_status(self) -> str:
        """Status of a running transaction."""
        if self.offered_ma < CURRENT_MIN_MA:
            return "SuspendedEVSE"
        return "SuspendedEV" if self.car is not None and self.car.is_full else "Charging"

    def meter_values(self, *, context: str, utc_ms: int, voltage_mv: int) -> dict[str, Any]:
        """Payload of MeterValues: current and voltage per wired phase, total power, energy register."""
        values = list(self._phase_values(voltage_mv))
        values.append(_sampled(self.power_w(voltage_mv), "Power.Active.Import", "W"))
        values.append(_sampled(round(self.register_wh), "Energy.Active.Import.Register", "Wh"))
        for value in values:
            value["context"] = context
        payload: dict[str, Any] = {"connectorId": self.id}
        if self.transaction_id is not None:
            payload["transactionId"] = self.transaction_id
        payload["meterValue"] = [{"timestamp": format_time(utc_ms), "sampledValue": values}]
        return payload

    def _phase_values(self, voltage_mv: int) -> Iterator[dict[str, str]]:
        for number in range(1, self.plan.phases + 1):
            amps = self.current_ma / 1000.0 if number <= self.phases else 0.0
            yield _sampled(f"{amps:.2f}", "Current.Import", "A", phase=f"L{number}")
            yield _sampled(f"{voltage_mv / 1000.0:.1f}", "Voltage", "V", phase=f"L{number}-N")


def _sampled(value: object, measurand: str, unit: str, *, phase: str | None = None) -> dict[str, str]:
    sampled = {"value": str(value), "measurand": measurand, "unit": unit}
    if phase is not None:
        sampled["phase"] = phase
    return sampled
