"""Reads copies of relayed frames: what a station says of its plug, its transaction and its meter.

Runs after the frame has been passed on; a payload that makes no sense is a `Wrong`, counted, never raised. Values are
in the device's own phases here; the store maps them to the site's. Tolerates what chargers really send: numbers as
strings or numbers, kW and kWh, phases as L1 or L1-N, no total power. Loads round up.

    (action, payload) ──> Metered | Status | Stopped | Booted | Wrong | None (not of interest)
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_HALF_EVEN, Decimal, InvalidOperation
from typing import Any

from dgm.api.site.v1.site_pb2 import PlugState
from dgm.ocpp import stamp
from dgm.ocpp.events import PhaseTriple
from dgm.ocpp.frame import Payload

MAX_METER_VALUES = 64
MAX_SAMPLED_VALUES = 256
"""Of one MeterValues; what comes after is not looked at (an energy register of months, replayed)."""

MAX_NUMBER_CHARS = 40

MAX_VALUE = 10**12
"""A larger reading is not a measurement; it also keeps hostile exponents out of the arithmetic."""

NONE: PhaseTriple = (None, None, None)

STATUS = {
    "Available": PlugState.PLUG_STATE_AVAILABLE,
    "Preparing": PlugState.PLUG_STATE_PREPARING,
    "Charging": PlugState.PLUG_STATE_CHARGING,
    "SuspendedEV": PlugState.PLUG_STATE_SUSPENDED_EV,
    "SuspendedEVSE": PlugState.PLUG_STATE_SUSPENDED_EVSE,
    "Finishing": PlugState.PLUG_STATE_FINISHING,
    "Reserved": PlugState.PLUG_STATE_RESERVED,
    "Unavailable": PlugState.PLUG_STATE_UNAVAILABLE,
    "Faulted": PlugState.PLUG_STATE_FAULTED,
}
_PHASE = {"L1": 0, "L2": 1, "L3": 2, "L1-N": 0, "L2-N": 1, "L3-N": 2}
_POWER = "Power.Active.Import"
_ENERGY = "Energy.Active.Import.Register"
_CURRENT = "Current.Import"
_SCALE = {
    _POWER: {"": 1, "W": 1, "kW": 1000},
    _ENERGY: {"": 1, "Wh": 1, "kWh": 1000},
    _CURRENT: {"": 1000, "A": 1000},
    "Voltage": {"": 1000, "V": 1000},
    "SoC": {"": 10, "Percent": 10},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """One MeterValues put together: W, mA, mV, Wh, permille; None where it says nothing.

    current_ma without any phase given stands in `current_any_ma`: it holds for each wired phase.
    """

    power_w: int | None = None
    current_ma: PhaseTriple = NONE
    current_any_ma: int | None = None
    voltage_mv: PhaseTriple = NONE
    energy_wh: int | None = None
    soc_permille: int | None = None

    @property
    def is_empty(self) -> bool:
        """It held nothing that we use."""
        return self == Reading()


@dataclass(frozen=True, slots=True, kw_only=True)
class Metered:
    """A MeterValues. triggered: every value says that a TriggerMessage caused it."""

    connector_id: int
    reading: Reading
    taken_utc_ms: int | None
    transaction_id: int | None
    triggered: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """A StatusNotification."""

    connector_id: int
    plug_state: PlugState


@dataclass(frozen=True, slots=True, kw_only=True)
class Stopped:
    """A StopTransaction."""

    transaction_id: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Booted:
    """A BootNotification."""

    vendor: str
    model: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Wrong:
    """A payload that its action does not allow. what: the action, for the counter."""

    what: str


Observation = Metered | Status | Stopped | Booted | Wrong


def observe(action: str, payload: Payload | None) -> Observation | None:
    """Read a CALL of the station; None: an action that we have no use for."""
    if action not in ("MeterValues", "StatusNotification", "StopTransaction", "BootNotification"):
        return None
    if payload is None:
        return Wrong(what=action)
    connector_id = _int(payload.get("connectorId"))
    match action:
        case "MeterValues":
            return _metered(payload, connector_id)
        case "StatusNotification":
            state = STATUS.get(str(payload.get("status")))
            return (
                Wrong(what=action)
                if state is None or connector_id is None
                else Status(connector_id=connector_id, plug_state=state)
            )
        case "StopTransaction":
            return Stopped(transaction_id=_int(payload.get("transactionId")))
        case _:
            vendor, model = payload.get("chargePointVendor"), payload.get("chargePointModel")
            return Booted(vendor=_name(vendor), model=_name(model))


def _metered(payload: Payload, connector_id: int | None) -> Metered | Wrong:
    groups = payload.get("meterValue")
    if connector_id is None or not isinstance(groups, list) or not groups:
        return Wrong(what="MeterValues")
    groups = [group for group in groups[-MAX_METER_VALUES:] if isinstance(group, dict)]
    values = [(group, value) for group in groups for value in _sampled(group)][-MAX_SAMPLED_VALUES:]
    if not values:
        return Wrong(what="MeterValues")
    # Some chargers put each measurand into a group of its own, all with one timestamp.
    newest = [value for group, value in values if group.get("timestamp") == values[-1][0].get("timestamp")]
    return Metered(
        connector_id=connector_id,
        reading=_reading(newest),
        taken_utc_ms=stamp.parse(values[-1][0].get("timestamp")),
        transaction_id=_int(payload.get("transactionId")),
        triggered=all(value.get("context") == "Trigger" for _, value in values),
    )


def _sampled(group: Payload) -> list[dict[str, Any]]:
    found = group.get("sampledValue")
    return [value for value in found if isinstance(value, dict)] if isinstance(found, list) else []


def _reading(values: list[dict[str, Any]]) -> Reading:
    """Totals and phases of one instant; a missing total is the sum of its phases."""
    found: dict[tuple[str, int | None], Decimal] = {}
    for measurand, phase, number in _numbers(values):
        found[measurand, phase] = number
    current, voltage = (_triple(found, name, ROUND_CEILING) for name in (_CURRENT, "Voltage"))
    any_phase = found.get((_CURRENT, None))
    return Reading(
        power_w=_whole(_total(found, _POWER), ROUND_CEILING),
        current_ma=current,
        current_any_ma=_whole(any_phase, ROUND_CEILING) if current == NONE else None,
        voltage_mv=voltage,
        energy_wh=_whole(_total(found, _ENERGY), ROUND_HALF_EVEN),
        soc_permille=_soc(found.get(("SoC", None))),
    )


def _numbers(values: list[dict[str, Any]]) -> Iterator[tuple[str, int | None, Decimal]]:
    """(measurand, phase index or None for all, value in W, Wh, mA, mV or permille)."""
    for value in values:
        measurand = value.get("measurand", _ENERGY)
        units = _SCALE.get(measurand) if isinstance(measurand, str) else None
        # Inside the car or the cable is not the grid side; only the state of charge comes from there.
        place = value.get("location", "Outlet")
        if (
            units is None
            or value.get("format", "Raw") != "Raw"
            or (place not in ("Outlet", "Inlet") and measurand != "SoC")
        ):
            continue
        scale, number = units.get(str(value.get("unit", ""))), _decimal(value.get("value"))
        phase = value.get("phase")
        if scale is None or number is None or (phase is not None and phase not in _PHASE):
            continue
        yield measurand, None if phase is None else _PHASE[phase], number * scale


def _total(found: dict[tuple[str, int | None], Decimal], measurand: str) -> Decimal | None:
    total = found.get((measurand, None))
    phases = [number for (name, phase), number in found.items() if name == measurand and phase is not None]
    return total if total is not None else (sum(phases, Decimal(0)) if phases else None)


def _triple(found: dict[tuple[str, int | None], Decimal], measurand: str, rounding: str) -> PhaseTriple:
    one, two, three = (_whole(_magnitude(found.get((measurand, phase))), rounding) for phase in range(3))
    return (one, two, three)


def _magnitude(number: Decimal | None) -> Decimal | None:
    return None if number is None else abs(number)


def _whole(number: Decimal | None, rounding: str) -> int | None:
    return None if number is None else int(number.to_integral_value(rounding=rounding))


def _soc(number: Decimal | None) -> int | None:
    permille = _whole(number, ROUND_HALF_EVEN)
    return permille if permille is not None and 0 <= permille <= 1000 else None


def _decimal(found: object) -> Decimal | None:
    if isinstance(found, bool) or not isinstance(found, str | int | float):
        return None
    text = str(found).strip()
    if len(text) > MAX_NUMBER_CHARS:
        return None
    try:
        number = Decimal(text)
    except InvalidOperation:
        return None
    # Compared and not computed with: arithmetic on a hostile exponent would raise.
    return number if number.is_finite() and -MAX_VALUE <= number <= MAX_VALUE else None


def _int(found: object) -> int | None:
    return found if isinstance(found, int) and not isinstance(found, bool) else None


def _name(found: object) -> str:
    return found[:50] if isinstance(found, str) else ""
