"""Sampled values of meters as stations really send them, put together to one reading. OCPP 1.6, 2.0.1 and 2.1.

    meterValue: [{timestamp, sampledValue: [...]}] ──> newest instant ──> Reading (W, mA, mV, Wh, permille)

Tolerates numbers as text, kW and kWh, decimal multipliers (2.x), phases as L1 or L1-N, no total power. Values are in
the device's own phases; the store maps them to the site's. Loads round up. A value that makes no sense is left out.
Numbers are floats here: good to a millionth of the units used inside.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from typing import Any

from dgm.ocpp.events import PhaseTriple

MAX_METER_VALUES = 64
MAX_SAMPLED_VALUES = 256
"""Of one message; what comes before is not looked at (an energy register of months, replayed)."""

MAX_NUMBER_CHARS = 40

MAX_VALUE = 1e12
"""A larger reading is not a measurement."""

MAX_MULTIPLIER = 9

NONE: PhaseTriple = (None, None, None)

SampledValue = dict[str, Any]

_TINY = 1e-6
_PHASE = {None: 3, "L1": 0, "L2": 1, "L3": 2, "L1-N": 0, "L2-N": 1, "L3-N": 2}
_POWER, _POWER_OUT, _ENERGY, _CURRENT, _CURRENT_OUT, _VOLTAGE, _SOC, _OFFERED, _END = range(0, 36, 4)
"""Where a measurand stands in the row of values: L1, L2, L3, all phases."""

_IMPORT_REGISTER = "Energy.Active.Import.Register"
_W, _AMPS = {"": 1, "W": 1, "kW": 1000}, {"": 1000, "A": 1000}
_MEASURAND = {
    "Power.Active.Import": (_POWER, _W),
    "Power.Active.Export": (_POWER_OUT, _W),
    _IMPORT_REGISTER: (_ENERGY, {"": 1, "Wh": 1, "kWh": 1000}),
    "Current.Import": (_CURRENT, _AMPS),
    "Current.Export": (_CURRENT_OUT, _AMPS),
    "Voltage": (_VOLTAGE, {"": 1000, "V": 1000}),
    "SoC": (_SOC, {"": 10, "Percent": 10}),
    "Current.Offered": (_OFFERED, _AMPS),
    "Current.Import.Offered": (_OFFERED, _AMPS),
}
_GRID_SIDE = (None, "Outlet", "Inlet")
"""Inside the car or the cable is not the grid side; only the state of charge comes from there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """One instant: W, mA, mV, Wh, permille; None where it says nothing.

    power_w: import minus export; phase_power_w: the same by phase, as far as the station tells it so. current_ma:
    magnitude; without any phase given it stands in `current_any_ma` and holds for each wired phase. offered_ma: what
    the station says that it offers the car, per phase.
    """

    power_w: int | None = None
    phase_power_w: PhaseTriple = NONE
    current_ma: PhaseTriple = NONE
    current_any_ma: int | None = None
    voltage_mv: PhaseTriple = NONE
    energy_wh: int | None = None
    soc_permille: int | None = None
    offered_ma: int | None = None

    @property
    def is_empty(self) -> bool:
        """It held nothing that we use."""
        return self == _EMPTY


_EMPTY = Reading()


@dataclass(frozen=True, slots=True, kw_only=True)
class Instant:
    """The newest instant of a list of meter values. triggered: every value says that a TriggerMessage caused it."""

    reading: Reading
    stamp: object
    triggered: bool


def newest(groups: object) -> Instant | None:
    """The newest instant of `meterValue`; None: there is no value in it."""
    if not isinstance(groups, list):
        return None
    values: list[tuple[object, SampledValue]] = []
    for group in groups[-MAX_METER_VALUES:]:
        if isinstance(group, dict) and isinstance(found := group.get("sampledValue"), list):
            at = group.get("timestamp")
            values += [(at, value) for value in found if isinstance(value, dict)]
    if not values:
        return None
    values = values[-MAX_SAMPLED_VALUES:]
    last = values[-1][0]
    # Some chargers put each measurand into a group of its own, all with one timestamp.
    reading = reading_of([value for at, value in values if at == last])
    return Instant(reading=reading, stamp=last, triggered=all(value.get("context") == "Trigger" for _, value in values))


def reading_of(values: list[SampledValue]) -> Reading:
    """Totals and phases of one instant; a missing total is the sum of its phases."""
    row: list[float | None] = [None] * _END
    for value in values:
        _put(value, row)
    taken, given = _total(row, _POWER), _total(row, _POWER_OUT)
    power = taken if given is None else (taken or 0.0) - given
    currents = _currents(row)
    any_phase = _either(row[_CURRENT + 3], row[_CURRENT_OUT + 3]) if currents == NONE else None
    energy, soc, offered = _total(row, _ENERGY), row[_SOC + 3], row[_OFFERED + 3]
    return Reading(
        power_w=None if power is None else ceil(power - _TINY),
        phase_power_w=_phase_powers(row),
        current_ma=currents,
        current_any_ma=_up(any_phase),
        voltage_mv=(_up(row[_VOLTAGE]), _up(row[_VOLTAGE + 1]), _up(row[_VOLTAGE + 2])),
        energy_wh=None if energy is None else round(energy),
        soc_permille=None if soc is None or not 0 <= soc <= 1000 else round(soc),
        offered_ma=_up(min((v for v in row[_OFFERED : _OFFERED + 3] if v is not None), default=offered)),
    )


def _put(value: SampledValue, row: list[float | None]) -> None:
    get = value.get
    unit, factor = get("unit", ""), 1.0
    if "unitOfMeasure" in value:
        unit, factor = _unit_of_measure(value["unitOfMeasure"])
    about = (get("measurand", _IMPORT_REGISTER), get("phase"), unit, get("location"), get("format", "Raw"))
    try:
        found = _PLACES.get(about)
    except TypeError:
        return  # a list or an object where a word belongs
    if found is None:
        found = _place(*about)
        if found is None:
            return
        if about[3] in _GRID_SIDE:  # all else in `about` is of closed lists now: the table stays small
            _PLACES[about] = found
    number = _number(get("value"))
    if number is not None:
        at, scale = found
        row[at] = number * scale * factor


_PLACES: dict[tuple[object, ...], tuple[int, int]] = {}
"""What `_place` found: a station says the same words again and again."""


def _place(measurand: object, phase: object, unit: object, location: object, form: object) -> tuple[int, int] | None:
    """Where in the row a value belongs, and its scale; None: nowhere."""
    known = _MEASURAND.get(measurand) if isinstance(measurand, str) else None
    at = _PHASE.get(phase) if phase is None or isinstance(phase, str) else None
    if known is None or at is None or form != "Raw":
        return None
    base, units = known
    if location not in _GRID_SIDE and base != _SOC:
        return None
    scale = units.get(str(unit))
    return None if scale is None else (base + at, scale)


def _unit_of_measure(found: object) -> tuple[object, float]:
    """Unit and power of ten of OCPP 2.x; a multiplier that makes no sense makes the unit unknown."""
    if not isinstance(found, dict):
        return "?", 1.0
    multiplier = found.get("multiplier", 0)
    if isinstance(multiplier, bool) or not isinstance(multiplier, int) or abs(multiplier) > MAX_MULTIPLIER:
        return "?", 1.0
    return found.get("unit", ""), 10.0**multiplier


def _number(found: object) -> float | None:
    if isinstance(found, str):
        if len(found) > MAX_NUMBER_CHARS:
            return None
    elif isinstance(found, bool) or not isinstance(found, int | float):
        return None
    try:
        number = float(found)
    except (ValueError, OverflowError):
        return None
    return number if -MAX_VALUE <= number <= MAX_VALUE else None


def _total(row: list[float | None], base: int) -> float | None:
    total = row[base + 3]
    if total is not None:
        return total
    phases = [number for number in row[base : base + 3] if number is not None]
    return sum(phases) if phases else None


def _phase_powers(row: list[float | None]) -> PhaseTriple:
    return (
        _net(row[_POWER], row[_POWER_OUT]),
        _net(row[_POWER + 1], row[_POWER_OUT + 1]),
        _net(row[_POWER + 2], row[_POWER_OUT + 2]),
    )


def _net(taken: float | None, given: float | None) -> int | None:
    """Import minus export, rounded up."""
    if taken is None and given is None:
        return None
    return ceil((taken or 0.0) - (given or 0.0) - _TINY)


def _currents(row: list[float | None]) -> PhaseTriple:
    return (
        _up(_either(row[_CURRENT], row[_CURRENT_OUT])),
        _up(_either(row[_CURRENT + 1], row[_CURRENT_OUT + 1])),
        _up(_either(row[_CURRENT + 2], row[_CURRENT_OUT + 2])),
    )


def _either(taken: float | None, given: float | None) -> float | None:
    """The larger magnitude of import and export: only one of them flows."""
    if given is None or taken is None:
        return given if taken is None else taken
    return max(abs(taken), abs(given))


def _up(number: float | None) -> int | None:
    """Magnitude, rounded up."""
    return None if number is None else ceil(abs(number) - _TINY)
