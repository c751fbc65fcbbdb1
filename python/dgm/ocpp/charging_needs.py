"""What a car tells its station of its trip, read from the copy of NotifyEVChargingNeeds (2.0.1 K15, 2.1; ISO 15118).

    chargingNeeds: departureTime, energyAmount | target or full state of charge ──needed──> Needed, or nothing to plan

The CALL is the CPO's to answer and goes to its CSMS unchanged. A car that states no departure or no energy has nothing
that could be promised. Energies in Wh, as OCPP has them. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any

from dgm.ocpp import stamp
from dgm.ocpp.frame import Payload

CHARGING_NEEDS = "NotifyEVChargingNeeds"

PHASES = {"AC_single_phase": 1, "AC_two_phase": 2, "AC_three_phase": 3}
"""Of requestedEnergyTransfer; the modes of 2.1 that are not here do not say on how many phases."""

ENERGY_WH_MAX = 1_000_000
FULL_PERCENT = 100


class Unplanned(Enum):
    """Why a message that makes sense is no need."""

    NO_DEPARTURE = "no departure"
    NO_ENERGY = "no energy"


@dataclass(frozen=True, slots=True, kw_only=True)
class Needed:
    """What one car needs. current_max_a, phases: of an AC car; power_max_w: of a DC car. None: not said."""

    evse_id: int
    energy_wh: int
    departure_utc_ms: int
    current_max_a: float | None = None
    phases: int | None = None
    power_max_w: int | None = None

    def power_w(self, voltage_mv: int) -> int | None:
        """The most that it can take, W at this voltage to neutral."""
        if self.power_max_w is not None or self.current_max_a is None or self.phases is None:
            return self.power_max_w
        return round(self.current_max_a * self.phases * voltage_mv / 1000)


def needed(payload: Payload) -> Needed | Unplanned | None:
    """What the message says; None: it makes no sense."""
    needs, evse_id = payload.get("chargingNeeds"), payload.get("evseId")
    if not isinstance(needs, dict) or isinstance(evse_id, bool) or not isinstance(evse_id, int):
        return None
    ac, dc, v2x = (_part(needs, f"{name}ChargingParameters") for name in ("ac", "dc", "v2x"))
    energy_wh = _energy_wh(ac, dc, v2x)
    if energy_wh is None or energy_wh <= 0:
        return Unplanned.NO_ENERGY
    if needs.get("departureTime") is None:
        return Unplanned.NO_DEPARTURE
    departure_ms = stamp.parse(needs["departureTime"])
    if departure_ms is None or energy_wh > ENERGY_WH_MAX:
        return None
    mode = needs.get("requestedEnergyTransfer")
    return Needed(
        evse_id=evse_id,
        energy_wh=round(energy_wh),
        departure_utc_ms=departure_ms,
        current_max_a=_positive(ac.get("evMaxCurrent")),
        phases=PHASES.get(mode) if isinstance(mode, str) else None,
        power_max_w=_whole(_positive(dc.get("evMaxPower")) or _positive(v2x.get("maxChargePower"))),
    )


def _energy_wh(ac: dict[str, Any], dc: dict[str, Any], v2x: dict[str, Any]) -> float | None:
    """Stated as energy; else of a DC car what is missing to its target, or to full."""
    for found in (ac.get("energyAmount"), dc.get("energyAmount"), v2x.get("evTargetEnergyRequest")):
        energy = _number(found)
        if energy is not None:
            return energy
    capacity_wh, now = _positive(dc.get("evEnergyCapacity")), _number(dc.get("stateOfCharge"))
    if capacity_wh is None or now is None:
        return None
    target = _number(v2x.get("targetSoC")) or _number(dc.get("fullSoC")) or FULL_PERCENT
    return capacity_wh * max(0.0, min(target, FULL_PERCENT) - now) / 100


def _part(needs: dict[str, Any], name: str) -> dict[str, Any]:
    found = needs.get(name)
    return found if isinstance(found, dict) else {}


def _number(found: object) -> float | None:
    is_number = isinstance(found, int | float) and not isinstance(found, bool)
    return float(found) if is_number and isinstance(found, int | float) and abs(found) < 1e12 else None


def _positive(found: object) -> float | None:
    number = _number(found)
    return number if number is not None and number > 0 else None


def _whole(number: float | None) -> int | None:
    return None if number is None else round(number)
