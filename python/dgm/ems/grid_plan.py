"""From the modes that hold to what each model of each inverter is to say; one owner of Q per inverter.

    GridEntry(s) + InverterFacts ──plan──> asset -> model -> ModelWant

The owner of Q: of fixed var and fixed power factor the one that means the fewer var when all inverters run at their
apparent power (IEEE 2030.5 lets the least var magnitude win; judged at the rating, so that the choice does not swing
with the sun); then volt-var, then watt-var. It is the same for the site; an inverter that cannot do it takes the next
one. Every other mode of Q of that inverter is off meanwhile. A wish in var is shared out by what the P-Q circle of each
inverter leaves (`_core.share_reactive`). Pure.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import isqrt

from dgm import _core
from dgm.api.ems.v1.grid_pb2 import GridFunction, GridMode, GridReference
from dgm.ems.grid_modes import PPM, GridEntry
from dgm.ems.grid_wants import (
    AC_CONTROLS,
    MODELS,
    OFF,
    REACTIVE,
    TRIPS,
    AcWant,
    Curve,
    CurveWant,
    DroopWant,
    FixedFactor,
    FixedVar,
    ModelWant,
    Off,
)

Wants = dict[int, ModelWant]
RAMP_STEP_MS = 2000
"""A ramp is written in steps of this length."""
POWER_STEPS = 20
"""Power counts in steps of this part of the apparent power, rounded up: shares do not follow every watt."""
VAR_MAX = 1_000_000_000
PERMYRIAD = 10_000
PLAIN = (
    GridFunction.GRID_FUNCTION_VOLT_WATT,
    GridFunction.GRID_FUNCTION_LV_TRIP,
    GridFunction.GRID_FUNCTION_HV_TRIP,
    GridFunction.GRID_FUNCTION_LF_TRIP,
    GridFunction.GRID_FUNCTION_HF_TRIP,
    GridFunction.GRID_FUNCTION_FREQ_DROOP,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class InverterFacts:
    """What one inverter can do. apparent_va, absorb_var, inject_var: magnitudes. power_w None: not measured."""

    asset_id: str
    able: frozenset[int]
    apparent_va: int
    absorb_var: int
    inject_var: int
    max_w: int
    power_w: int | None
    is_reactive_first: bool = False


def plan(entries: Sequence[GridEntry], inverters: Sequence[InverterFacts], now_ms: int) -> dict[str, Wants]:
    """What is wanted; an inverter or model that is absent is as its owner left it."""
    found: dict[str, Wants] = {inverter.asset_id: _plain(entries, inverter) for inverter in inverters}
    waiting = list(inverters)
    for owner in _ranked([entry for entry in entries if entry.mode.function in REACTIVE], inverters):
        function = owner[0].mode.function
        mine = [inverter for inverter in waiting if function in inverter.able]
        for inverter, want in zip(mine, _owned(owner, mine, now_ms), strict=True):
            found[inverter.asset_id] |= {**_all_off(), MODELS[function]: want}
        waiting = [inverter for inverter in waiting if inverter not in mine]
    return {asset_id: wants for asset_id, wants in found.items() if wants}


def _plain(entries: Sequence[GridEntry], inverter: InverterFacts) -> Wants:
    found: Wants = {}
    for function in PLAIN:
        modes = [entry.mode for entry in entries if entry.mode.function == function and function in inverter.able]
        if not modes:
            continue
        model = MODELS[function]
        is_curve = model in TRIPS or function == GridFunction.GRID_FUNCTION_VOLT_WATT
        found[model] = _curve_want(modes) if is_curve else _droop_want(modes[0])
    return found


def _ranked(entries: Sequence[GridEntry], inverters: Sequence[InverterFacts]) -> list[list[GridEntry]]:
    """Those that would own Q, the owner first; the two sides of a power factor belong together."""
    factors = [entry for entry in entries if entry.mode.function == GridFunction.GRID_FUNCTION_FIXED_PF]
    wishes = [entry for entry in entries if entry.mode.function == GridFunction.GRID_FUNCTION_VAR]
    fixed = [owner for owner in ([wish] for wish in wishes)] + ([factors] if factors else [])
    fixed.sort(key=lambda owner: max(_magnitude_var(entry.mode, inverters) for entry in owner))
    curves = [entry for entry in entries if entry not in factors and entry not in wishes]
    return [*fixed, *([curve] for curve in sorted(curves, key=lambda entry: REACTIVE.index(entry.mode.function)))]


def _magnitude_var(mode: GridMode, inverters: Sequence[InverterFacts]) -> int:
    if mode.function == GridFunction.GRID_FUNCTION_VAR:
        return abs(_wish_var(mode, inverters))
    cos_phi = mode.power_factor.cos_phi_ppm
    return sum(inverter.apparent_va for inverter in inverters) * isqrt(PPM * PPM - cos_phi * cos_phi) // PPM


def _owned(owner: list[GridEntry], inverters: Sequence[InverterFacts], now_ms: int) -> Iterator[ModelWant]:
    first = owner[0]
    if first.mode.function == GridFunction.GRID_FUNCTION_VAR:
        start_var = 0 if first.before is None else _wish_var(first.before, inverters)
        wish_var = _ramped(start_var, _wish_var(first.mode, inverters), first, now_ms)
        shares = _core.share_reactive(wish_var, [_circle(inverter) for inverter in inverters])
        for inverter, share in zip(inverters, shares, strict=True):
            yield AcWant(inject=OFF, absorb=OFF, reactive=_fixed_var(inverter, share))
    elif first.mode.function == GridFunction.GRID_FUNCTION_FIXED_PF:
        sides: dict[bool, FixedFactor | Off] = {False: OFF, True: OFF}
        for entry in owner:
            sides[entry.mode.power_factor.is_absorbing_w] = _factor(entry, now_ms)
        yield from (AcWant(inject=sides[False], absorb=sides[True], reactive=OFF) for _ in inverters)
    else:
        yield from (_curve_want([first.mode]) for _ in inverters)


def _fixed_var(inverter: InverterFacts, share_var: int) -> FixedVar:
    most_var = inverter.absorb_var if share_var > 0 else inverter.inject_var
    whole = abs(share_var) * PERMYRIAD // max(most_var, 1)
    return FixedVar(reactive_var=share_var, permyriad=whole if share_var > 0 else -whole)


def _factor(entry: GridEntry, now_ms: int) -> FixedFactor:
    """A ramp runs through unity where it changes sides."""
    start = 0 if entry.before is None else _from_unity(entry.before)
    at = _ramped(start, _from_unity(entry.mode), entry, now_ms)
    is_underexcited = at > 0 or (at == 0 and entry.mode.power_factor.is_underexcited)
    return FixedFactor(cos_phi_ppm=PPM - abs(at), is_underexcited=is_underexcited)


def _from_unity(mode: GridMode) -> int:
    """How far cos phi is from 1, positive where vars are absorbed."""
    apart = PPM - mode.power_factor.cos_phi_ppm
    return apart if mode.power_factor.is_underexcited else -apart


def _all_off() -> Wants:
    """Every model of Q switched off, as far as the inverter's owner has switched it on."""
    off: Wants = {MODELS[function]: OFF for function in REACTIVE}
    return off | {AC_CONTROLS: AcWant(inject=OFF, absorb=OFF, reactive=OFF)}


def _wish_var(mode: GridMode, inverters: Sequence[InverterFacts]) -> int:
    """var of all inverters together."""
    asked = mode.reactive
    if not asked.HasField("permyriad"):
        return asked.reactive_var
    total = sum(_reference(asked.reference, inverter, is_absorbing=asked.permyriad > 0) for inverter in inverters)
    whole = abs(asked.permyriad) * total // PERMYRIAD
    return whole if asked.permyriad > 0 else -whole


def _reference(reference: int, inverter: InverterFacts, *, is_absorbing: bool) -> int:
    own_var = inverter.absorb_var if is_absorbing else inverter.inject_var
    match reference:
        case GridReference.GRID_REFERENCE_MAX_W:
            return inverter.max_w
        case GridReference.GRID_REFERENCE_MAX_VA:
            return inverter.apparent_va
        case GridReference.GRID_REFERENCE_AVAILABLE_VAR:
            return abs(_core.share_reactive(VAR_MAX if is_absorbing else -VAR_MAX, [_circle(inverter)])[0])
        case _:
            return own_var


def _circle(inverter: InverterFacts) -> tuple[int, int, int, int, bool]:
    """Of an inverter whose power is not seen all may be active power."""
    step = max(inverter.apparent_va // POWER_STEPS, 1)
    power_w = inverter.apparent_va if inverter.power_w is None else -(-abs(inverter.power_w) // step) * step
    power_w = min(power_w, inverter.apparent_va)
    return inverter.apparent_va, inverter.absorb_var, inverter.inject_var, power_w, inverter.is_reactive_first


def _ramped(start: int, end: int, entry: GridEntry, now_ms: int) -> int:
    """A straight line, in steps; a ramp that is over is at its end."""
    ramp_ms, passed_ms = entry.mode.ramp_ms, now_ms - entry.began_ms
    if passed_ms >= ramp_ms:
        return end
    done_ms = max(passed_ms, 0) // RAMP_STEP_MS * RAMP_STEP_MS
    way = abs(end - start) * done_ms // ramp_ms
    return start + way if end >= start else start - way


def _curve_want(modes: Sequence[GridMode]) -> CurveWant:
    return CurveWant(curves=tuple((mode.curve.region, _curve(mode)) for mode in modes))


def _curve(mode: GridMode) -> Curve:
    curve = mode.curve
    return Curve(
        points=tuple((point.x, point.y) for point in curve.points),
        reference=curve.reference,
        response_ms=curve.response_ms if curve.HasField("response_ms") else None,
        v_ref_permyriad=curve.v_ref_permyriad if curve.HasField("v_ref_permyriad") else None,
    )


def _droop_want(mode: GridMode) -> DroopWant:
    droop = mode.droop
    return DroopWant(
        over_deadband_mhz=droop.over_deadband_mhz,
        under_deadband_mhz=droop.under_deadband_mhz,
        over_permille=droop.over_permille,
        under_permille=droop.under_permille,
        response_ms=droop.response_ms if droop.HasField("response_ms") else None,
    )
