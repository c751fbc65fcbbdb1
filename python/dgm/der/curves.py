"""From modes that set an inverter's grid code to the GridModes of the EMS: power factor, var, curves, droop.

    ruling() + DERCurves by href ──grid_asks──> Asked per mode ──> PutMode       functions ──modes_supported──> names

A curve is in the DER's sign (delivered is positive); DGM counts what is absorbed. A mode whose curve has not been
fetched asks for nothing yet. WattPF, FreqWatt, FixedV and TargetV have no place in SunSpec 704 to 712: not supported.
Pure: times are ms on the server's clock.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from dgm.api.ems.v1.grid_pb2 import (
    CurvePoint,
    FreqDroop,
    GridCurve,
    GridFunction,
    GridMode,
    GridReference,
    PowerFactor,
    ReactivePower,
    TripRegion,
)
from dgm.der.envelope import SOURCE
from dgm.der.mode import CURVE_TYPES
from dgm.der.resource import ControlMode, DERCurve
from dgm.der.schedule import ControlSegment

MUST, MAY = TripRegion.TRIP_REGION_MUST_TRIP, TripRegion.TRIP_REGION_MAY_TRIP
CESSATION, PLAIN = TripRegion.TRIP_REGION_MOMENTARY_CESSATION, TripRegion.TRIP_REGION_UNSPECIFIED
LV, HV = GridFunction.GRID_FUNCTION_LV_TRIP, GridFunction.GRID_FUNCTION_HV_TRIP
LF, HF = GridFunction.GRID_FUNCTION_LF_TRIP, GridFunction.GRID_FUNCTION_HF_TRIP

CURVES: Mapping[str, tuple[GridFunction, TripRegion]] = {
    "opModVoltVar": (GridFunction.GRID_FUNCTION_VOLT_VAR, PLAIN),
    "opModVoltWatt": (GridFunction.GRID_FUNCTION_VOLT_WATT, PLAIN),
    "opModWattVar": (GridFunction.GRID_FUNCTION_WATT_VAR, PLAIN),
    "opModLVRTMustTrip": (LV, MUST),
    "opModLVRTMayTrip": (LV, MAY),
    "opModLVRTMomentaryCessation": (LV, CESSATION),
    "opModHVRTMustTrip": (HV, MUST),
    "opModHVRTMayTrip": (HV, MAY),
    "opModHVRTMomentaryCessation": (HV, CESSATION),
    "opModLFRTMustTrip": (LF, MUST),
    "opModLFRTMayTrip": (LF, MAY),
    "opModHFRTMustTrip": (HF, MUST),
    "opModHFRTMayTrip": (HF, MAY),
}
"""Modes whose value is a DERCurve."""
FUNCTIONS: Mapping[str, GridFunction] = {
    "opModFixedPFAbsorbW": GridFunction.GRID_FUNCTION_FIXED_PF,
    "opModFixedPFInjectW": GridFunction.GRID_FUNCTION_FIXED_PF,
    "opModFixedVar": GridFunction.GRID_FUNCTION_VAR,
    "opModTargetVar": GridFunction.GRID_FUNCTION_VAR,
    "opModDeltaVar": GridFunction.GRID_FUNCTION_VAR,
    "opModFreqDroop": GridFunction.GRID_FUNCTION_FREQ_DROOP,
    **{name: function for name, (function, _) in CURVES.items()},
}
"""Every mode of 2030.5 that becomes a GridMode, and the function of an inverter that it needs."""

_REFERENCES = {
    1: GridReference.GRID_REFERENCE_MAX_W,
    2: GridReference.GRID_REFERENCE_MAX_VAR,
    3: GridReference.GRID_REFERENCE_AVAILABLE_VAR,
    7: GridReference.GRID_REFERENCE_AVAILABLE_W,
    8: GridReference.GRID_REFERENCE_MAX_VA,
}
"""By DERUnitRefType (S18)."""
OF_MAX_W = 1
PERMYRIAD = 10_000
SEEN_LATE_MS = 10_000
"""A ramp that began earlier than this is over by the time that it is put."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What one mode asks for. mode: id, source, function, value, ramp and reason; its lease is the sender's affair.

    began_ms: of the control. end_ms: on the server's clock, None: no end.
    """

    mode: GridMode
    began_ms: int
    end_ms: int | None


def modes_supported(base: Iterable[str], functions: Iterable[int]) -> tuple[str, ...]:
    """The modes that this plant follows: those that need no inverter of its own kind, and what its inverters can do.

    functions: what at least one inverter may and can do, as ems.v1.GridFunction.
    """
    able = frozenset(functions)
    return (*base, *(name for name, function in FUNCTIONS.items() if function in able))


def curve_modes(functions: Iterable[int]) -> frozenset[str]:
    """Modes whose curves are worth fetching."""
    able = frozenset(functions)
    return frozenset(name for name, (function, _) in CURVES.items() if function in able)


def grid_asks(
    ruling: Mapping[str, ControlSegment], curves: Mapping[str, DERCurve], supported: Iterable[str], *, max_w: int
) -> dict[str, Asked]:
    """What is asked of inverters now, by mode. curves: by href as the controls name it. max_w: setMaxW."""
    found: dict[str, Asked] = {}
    for name in supported:
        row = ruling.get(name) if name in FUNCTIONS else None
        mode = None if row is None or row.value.is_disabled else grid_mode(row.value, curves, max_w)
        if row is None or mode is None:
            continue
        what = "DefaultDERControl" if row.is_default else "DERControl"
        mode.id, mode.source, mode.function = f"utility:{name}", SOURCE, FUNCTIONS[name]
        mode.ramp_ms, mode.reason = row.ramp_ms or 0, f"{what} {row.mrid} {name}"
        found[name] = Asked(mode=mode, began_ms=row.began_ms, end_ms=None if row.is_default else row.end_ms)
    return found


def grid_mode(value: ControlMode, curves: Mapping[str, DERCurve], max_w: int) -> GridMode | None:
    """The function and value of a mode alone; None: its curve is not known, or it means nothing to an inverter."""
    found = _mode(value, curves, max_w)
    if found is not None:
        found.function = FUNCTIONS[value.name]
    return found


def _mode(value: ControlMode, curves: Mapping[str, DERCurve], max_w: int) -> GridMode | None:
    if value.name in CURVES:
        curve = curves.get(value.curve_href or "")
        found = None if curve is None else grid_curve(value.name, curve)
        return None if found is None else GridMode(curve=found)
    if value.power_factor_ppm is not None:
        factor = PowerFactor(
            cos_phi_ppm=value.power_factor_ppm,
            is_underexcited=bool(value.is_underexcited),
            is_absorbing_w=value.name == "opModFixedPFAbsorbW",
        )
        return GridMode(power_factor=factor)
    if value.reactive_var is not None:
        return GridMode(reactive=ReactivePower(reactive_var=value.reactive_var))
    if value.permyriad is not None:
        return _percentage(value.permyriad, value.reference, max_w)
    return _droop(value)


def _percentage(permyriad: int, reference: int | None, max_w: int) -> GridMode | None:
    """setMaxW is ours and the utility was told it; what var the inverters can do, the EMS knows."""
    if reference == OF_MAX_W:
        whole = abs(permyriad) * max_w // PERMYRIAD
        return GridMode(reactive=ReactivePower(reactive_var=whole if permyriad > 0 else -whole))
    if reference not in _REFERENCES:
        return None
    return GridMode(reactive=ReactivePower(permyriad=permyriad, reference=_REFERENCES[reference]))


def _droop(value: ControlMode) -> GridMode | None:
    parts = (
        value.droop_over_deadband_mhz,
        value.droop_under_deadband_mhz,
        value.droop_over_permille,
        value.droop_under_permille,
    )
    over_mhz, under_mhz, over, under = parts
    if over_mhz is None or under_mhz is None or over is None or under is None:
        return None
    droop = FreqDroop(
        over_deadband_mhz=over_mhz,
        under_deadband_mhz=under_mhz,
        over_permille=over,
        under_permille=under,
        response_ms=value.droop_response_ms,
    )
    return GridMode(droop=droop)


def grid_curve(name: str, curve: DERCurve) -> GridCurve | None:
    """A curve for a mode; None: it is one for another mode, or not one that an inverter can be told."""
    if not 0 <= curve.curve_type < len(CURVE_TYPES) or CURVE_TYPES[curve.curve_type] != name:
        return None
    _, region = CURVES[name]
    found = GridCurve(region=region)
    if region != PLAIN:
        y_digits = 2 if "VRT" in name else 3
        found.points.extend(_points(curve, x=(3, 1), y=(y_digits, 1)))
        return found
    found.points.extend(_points(curve, x=(2, -1 if name == "opModWattVar" else 1), y=(2, -1)))
    if curve.y_reference not in _REFERENCES:
        return None
    found.reference = _REFERENCES[curve.y_reference]
    if curve.response_ms is not None:
        found.response_ms = curve.response_ms
    if name == "opModVoltVar" and curve.v_ref_permyriad:
        found.v_ref_permyriad = curve.v_ref_permyriad
    return found


def _points(curve: DERCurve, *, x: tuple[int, int], y: tuple[int, int]) -> Iterable[CurvePoint]:
    """Each axis: by how many decimal digits our unit is finer, and its sign. x counts s or %, y % or Hz."""
    for point in curve.points:
        at = x[1] * _scaled(point.x, curve.x_power_of_ten + x[0])
        yield CurvePoint(x=at, y=y[1] * _scaled(point.y, curve.y_power_of_ten + y[0]))


def _scaled(value: int, power: int) -> int:
    """Half away from nothing."""
    factor: int = 10 ** abs(power)
    if power >= 0:
        return value * factor
    whole = (abs(value) + factor // 2) // factor
    return whole if value >= 0 else -whole
