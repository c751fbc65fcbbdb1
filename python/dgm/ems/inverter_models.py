"""How a want stands in the registers of models 704 to 712, and how an inverter's own settings are written back.

    own Points (stored) + ModelWant ──apply──> Steps        own Points + Points now ──restore──> Steps

704 reverts by its timers to the inverter's own values. Of a curve model (one table for all of them) the first curve is
in force and cannot be written: the wanted one goes into the first writable slot and is adopted; where there is a second
slot and a timer, the inverter's own curve lies there for the revert. Where there is none, only what is stored brings
the own settings back. SunSpec counts var and W positive out of the inverter: signs turn here and nowhere else.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final, assert_never

from dgm.api.ems.v1.grid_pb2 import GridFunction, GridReference
from dgm.ems.grid_wants import (
    AC_CONTROLS,
    MODELS,
    OFF,
    REGIONS,
    AcWant,
    Curve,
    CurveWant,
    DroopWant,
    FixedFactor,
    FixedVar,
    ModelWant,
    Off,
)
from dgm.ems.inverter_points import Points, raw_of

REVERT_S: Final = 120
"""Length of the timers; a want is written again after a third of it."""
MODE_PERCENT: Final = 1
MODE_VARS: Final = 4
VAR_POINTS: Final = tuple(
    f"VarSet{name}" for name in ("Ena", "Mod", "", "Rvrt", "Pct", "PctRvrt", "EnaRvrt", "RvrtTms")
)
COMPLETED: Final = 1
WRITABLE: Final = 0
FACTORS: Final = ("PFWInj", "PFWAbs")
LEFT_ALONE: Final = frozenset({"ReadOnly", "VRefAuto"})
"""Points of a curve that only the inverter writes."""

Writes = dict[str, int]


class Unable(Exception):
    """The inverter cannot say what is wanted; the text says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """Raw numbers by path: written at once and read back; and what the inverter must tell afterwards."""

    writes: tuple[tuple[str, int], ...]
    expected: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class CurveModel:
    """Where the parts of a curve model stand. x, y: point and how many digits our unit is finer; y may be turned."""

    x: tuple[str, int, int]
    y: tuple[str, int, int]
    references: Mapping[int, int]
    count: str = "NCrv"
    has_regions: bool = False
    revert: str | None = "RvrtCrv"


_OF_VAR: Mapping[int, int] = {
    GridReference.GRID_REFERENCE_MAX_W: 0,
    GridReference.GRID_REFERENCE_MAX_VAR: 1,
    GridReference.GRID_REFERENCE_AVAILABLE_VAR: 2,
    GridReference.GRID_REFERENCE_MAX_VA: 3,
}
_OF_W: Mapping[int, int] = {GridReference.GRID_REFERENCE_MAX_W: 0, GridReference.GRID_REFERENCE_AVAILABLE_W: 1}
_TIME, _VOLTAGE = ("Tms", 3, 1), ("V", 2, 1)


def _trip(y: tuple[str, int, int]) -> CurveModel:
    return CurveModel(x=_TIME, y=y, references={}, count="NCrvSet", has_regions=True, revert=None)


CURVES: Final = {
    705: CurveModel(x=_VOLTAGE, y=("Var", 2, -1), references=_OF_VAR),
    706: CurveModel(x=_VOLTAGE, y=("W", 2, -1), references=_OF_W),
    707: _trip(_VOLTAGE),
    708: _trip(_VOLTAGE),
    709: _trip(("Hz", 3, 1)),
    710: _trip(("Hz", 3, 1)),
    712: CurveModel(x=("W", 2, -1), y=("Var", 2, -1), references=_OF_VAR),
}
DROOP: Final = 711

_CONTROL_MODES = {
    GridFunction.GRID_FUNCTION_VAR: 2,
    GridFunction.GRID_FUNCTION_FIXED_PF: 3,
    GridFunction.GRID_FUNCTION_VOLT_VAR: 4,
    GridFunction.GRID_FUNCTION_FREQ_DROOP: 5,
    GridFunction.GRID_FUNCTION_LV_TRIP: 7,
    GridFunction.GRID_FUNCTION_HV_TRIP: 8,
    GridFunction.GRID_FUNCTION_WATT_VAR: 9,
    GridFunction.GRID_FUNCTION_VOLT_WATT: 10,
    GridFunction.GRID_FUNCTION_LF_TRIP: 12,
    GridFunction.GRID_FUNCTION_HF_TRIP: 13,
}
"""Bits of CtrlModes in model 702."""


def can_do(function: GridFunction, points: Points, control_modes: int | None) -> bool:
    """Whether a model with these points has the function; control_modes: what 702 says, None: nothing."""
    if control_modes is not None and not control_modes >> _CONTROL_MODES[function] & 1:
        return False
    model = MODELS[function]
    if function == GridFunction.GRID_FUNCTION_FIXED_PF:
        return any(_has(points, f"{prefix}Ena", f"{prefix}.PF", f"{prefix}.Ext") for prefix in FACTORS)
    if model == AC_CONTROLS:
        return _has(points, "VarSetEna", "VarSetMod") and (_has(points, "VarSet") or _has(points, "VarSetPct"))
    return _has(points, "Ena") and bool(_slots(model, points))


def apply(model: int, own: Points, now: Points, want: ModelWant) -> list[Step]:
    """The steps to a want. own: as stored before the first write; now: as last read. Unable: it cannot be said."""
    match want:
        case AcWant():
            return _ac_steps(own, now, want)
        case Off():
            return [Step(writes=(("Ena", 0),))] if _is_on(own, "Ena") else restore(model, own, now)
        case CurveWant():
            return _adopt(model, own, _curves(model, own, want))
        case DroopWant():
            return _adopt(model, own, _droop(own, want))
        case _:
            assert_never(want)


def restore(model: int, own: Points, now: Points) -> list[Step]:
    """The steps back to what was stored; none where it stands."""
    if model == AC_CONTROLS:
        return _ac_steps(own, now, AcWant())
    active, slots = _active(model, own), _slots(model, own)
    steps = []
    if slots and any(now.get(_in_slot(model, 0, path)) != own.get(_in_slot(model, 0, path)) for path in active):
        first = {"Ena": 0} if own["Ena"].raw == 0 else {}
        steps += [_step(first | _slot_writes(model, slots[0], active)), _adoption(model, slots[0], active, {})]
    rest = {path: number.raw for path, number in own.items() if _is_kept(model, path, slots)}
    return [*steps, _step(rest)] if steps or any(now.get(path) != own[path] for path in rest) else []


def is_own(model: int, own: Points, now: Points) -> bool:
    """Whether the model stands as it was stored, as far as we touch it."""
    return not restore(model, own, now)


# -- 704 ----------------------------------------------------------------------------------------------------------


def _ac_steps(own: Points, now: Points, want: AcWant) -> list[Step]:
    writes: Writes = {}
    sides = dict(zip(FACTORS, (want.inject, want.absorb), strict=True))
    asked = [prefix for prefix, factor in sides.items() if isinstance(factor, FixedFactor)]
    if asked and not any(_has(own, f"{prefix}Ena", f"{prefix}.PF", f"{prefix}.Ext") for prefix in asked):
        raise Unable(f"model 704: it has no power factor for {' and '.join(asked)}")
    for prefix, factor in sides.items():
        writes |= _factor(prefix, own, now, factor)
    writes |= _var(own, now, want.reactive)
    return [_step(dict(sorted(writes.items(), key=_rank)))] if writes else []


def _rank(write: tuple[str, int]) -> int:
    """Off first and on last: nothing that is on jumps through foreign values, and two are not on together."""
    path, raw = write
    return (0 if raw == 0 else 2) if path.endswith("Ena") else 1


def _factor(prefix: str, own: Points, now: Points, want: FixedFactor | Off | None) -> Writes:
    values, reverts = (f"{prefix}.PF", f"{prefix}.Ext"), (f"{prefix}Rvrt.PF", f"{prefix}Rvrt.Ext")
    names = (f"{prefix}Ena", f"{prefix}EnaRvrt", f"{prefix}RvrtTms", *values, *reverts)
    if want is None or (isinstance(want, Off) and not _is_on(own, f"{prefix}Ena")):
        return _differing(names, own, now)
    if not _has(own, f"{prefix}Ena", *values):
        return {}
    revert: Writes = {}
    if _has(own, f"{prefix}EnaRvrt", f"{prefix}RvrtTms", *values):
        revert = {f"{prefix}EnaRvrt": own[f"{prefix}Ena"].raw, f"{prefix}RvrtTms": REVERT_S}
        revert |= {there: own[here].raw for here, there in zip(values, reverts, strict=True)}
    if isinstance(want, Off):
        return revert | {f"{prefix}Ena": 0}
    magnitude = _said(own, values[0], want.cos_phi_ppm, 6)
    return revert | {values[0]: magnitude, values[1]: int(want.is_underexcited), f"{prefix}Ena": 1}


def _var(own: Points, now: Points, want: FixedVar | Off | None) -> Writes:
    """In var where the inverter can say that, else in percent of its most."""
    if want is None or (isinstance(want, Off) and not _is_on(own, "VarSetEna")):
        return _differing(VAR_POINTS, own, now)
    mode, name = (MODE_VARS, "VarSet") if _has(own, "VarSet") else (MODE_PERCENT, "VarSetPct")
    revert: Writes = {}
    is_same_mode = own["VarSetEna"].raw == 0 or own["VarSetMod"].raw == mode
    if is_same_mode and _has(own, "VarSetEnaRvrt", "VarSetRvrtTms", f"{name}Rvrt"):
        revert = {"VarSetEnaRvrt": own["VarSetEna"].raw, "VarSetRvrtTms": REVERT_S, f"{name}Rvrt": own[name].raw}
    if isinstance(want, Off):
        return revert | {"VarSetEna": 0}
    value, digits = (want.reactive_var, 0) if mode == MODE_VARS else (want.permyriad, 2)
    return revert | {"VarSetMod": mode, name: _said(own, name, -value, digits), "VarSetEna": 1}


def _differing(names: tuple[str, ...], own: Points, now: Points) -> Writes:
    return {name: own[name].raw for name in names if name in own and now.get(name) != own[name]}


# -- curves and droop ---------------------------------------------------------------------------------------------


def _curves(model: int, own: Points, want: CurveWant) -> Writes:
    found: Writes = {}
    for region, curve in want.curves:
        prefix = f"{REGIONS[region]}." if CURVES[model].has_regions else ""
        found |= {prefix + path: raw for path, raw in _curve(model, own, prefix, curve).items()}
    return found


def _curve(model: int, own: Points, prefix: str, curve: Curve) -> Writes:
    form, most = CURVES[model], own["NPt"].raw if "NPt" in own else 0
    if not 0 < len(curve.points) <= most:
        raise Unable(f"model {model}: found a curve of {len(curve.points)} points; expected 1..{most}")
    found: Writes = {"ActPt": len(curve.points)}
    for index, (x, y) in enumerate(curve.points):
        for (name, digits, sign), value in ((form.x, x), (form.y, y)):
            like = _in_slot(model, 0, f"{prefix}Pt[0].{name}")
            found[f"Pt[{index}].{name}"] = _said(own, like, sign * value, digits)
    if curve.reference:
        if curve.reference not in form.references:
            raise Unable(f"model {model}: found {GridReference.Name(curve.reference)}; it cannot say this reference")
        found["DeptRef"] = form.references[curve.reference]
    if curve.response_ms is not None and _in_slot(model, 0, "RspTms") in own:
        found["RspTms"] = _said(own, _in_slot(model, 0, "RspTms"), curve.response_ms, 3)
    if curve.v_ref_permyriad is not None:
        found["VRef"] = _said(own, _in_slot(model, 0, "VRef"), curve.v_ref_permyriad, 2)
    return found


def _droop(own: Points, want: DroopWant) -> Writes:
    values = {
        "DbOf": want.over_deadband_mhz,
        "DbUf": want.under_deadband_mhz,
        "KOf": want.over_permille,
        "KUf": want.under_permille,
    }
    if want.response_ms is not None:
        values["RspTms"] = want.response_ms
    return {name: _said(own, _in_slot(DROOP, 0, name), value, 3) for name, value in values.items()}


def _adopt(model: int, own: Points, content: Writes) -> list[Step]:
    """Into a slot, adopted, enabled. The own curve reverts only where it is enabled: a timer cannot disable."""
    slots, active = _slots(model, own), _active(model, own)
    if not slots:
        raise Unable(f"model {model}: found no curve that can be written")
    wanted = active | content
    writes, timer = _slot_writes(model, slots[0], wanted), Writes()
    name = "RvrtCtl" if model == DROOP else CURVES[model].revert
    if name is not None and name in own and "RvrtTms" in own and len(slots) > 1 and own["Ena"].raw == 1:
        writes |= _slot_writes(model, slots[1], active)
        timer = {"RvrtTms": REVERT_S, name: slots[1] + 1}
    return [_step(writes), _adoption(model, slots[0], wanted, timer), _step({"Ena": 1})]


def _adoption(model: int, slot: int, content: Writes, timer: Writes) -> Step:
    """Slots count from 1 on in the registers; the first curve must show what was adopted."""
    request, result = ("AdptCtlReq", "AdptCtlRslt") if model == DROOP else ("AdptCrvReq", "AdptCrvRslt")
    shown = [(_in_slot(model, 0, path), raw) for path, raw in content.items()]
    return Step(writes=(*timer.items(), (request, slot + 1)), expected=((result, COMPLETED), *shown))


def _active(model: int, own: Points) -> Writes:
    """The curve in force, by path within a curve."""
    prefix = _in_slot(model, 0, "")
    found = {path.removeprefix(prefix): number.raw for path, number in own.items() if path.startswith(prefix)}
    return {path: raw for path, raw in found.items() if path.rsplit(".", 1)[-1] not in LEFT_ALONE}


def _slots(model: int, points: Points) -> list[int]:
    """Curves that can be written."""
    count = points.get("NCtl" if model == DROOP else CURVES[model].count)
    total = 0 if count is None else count.raw
    access = ((slot, points.get(_in_slot(model, slot, "ReadOnly"))) for slot in range(1, total))
    return [slot for slot, found in access if found is not None and found.raw == WRITABLE][:2]


def _is_kept(model: int, path: str, slots: list[int]) -> bool:
    """What is written back beside the curve in force."""
    if path in ("Ena", "RvrtTms", "RvrtCrv", "RvrtCtl"):
        return True
    ours = any(path.startswith(_in_slot(model, slot, "")) for slot in slots)
    return ours and path.rsplit(".", 1)[-1] not in LEFT_ALONE


def _slot_writes(model: int, slot: int, content: Writes) -> Writes:
    return {_in_slot(model, slot, path): raw for path, raw in content.items()}


def _in_slot(model: int, slot: int, path: str) -> str:
    return f"{'Ctl' if model == DROOP else 'Crv'}[{slot}].{path}"


def _step(writes: Writes) -> Step:
    return Step(writes=tuple(writes.items()))


def _has(points: Points, *paths: str) -> bool:
    return all(path in points and points[path].exponent is not None for path in paths)


def _is_on(own: Points, path: str) -> bool:
    return path in own and own[path].raw == 1


def _said(own: Points, path: str, value: int, digits: int) -> int:
    raw = raw_of(own, path, value, digits)
    if raw is None:
        raise Unable(f"{path}: the inverter does not say in what unit it stands")
    return raw


def functions(model: int) -> Iterator[GridFunction]:
    """What stands in a model."""
    yield from (function for function, number in MODELS.items() if number == model)


__all__ = ["OFF", "REVERT_S", "Step", "Unable", "apply", "can_do", "functions", "is_own", "restore"]
