"""What stands in SunSpec's models of the DER facade: the plant as measured, and what the utility asks of it.

    Picture + good samples of PV and batteries ──> values of 701 .. 715 by model, in register units

SunSpec counts a DER's output as positive: here, and nowhere else, the signs of power and vars turn. Scale factors are
chosen once by the ratings and never change. What is not measured, not asked or cannot be told is left out.

Asked by an event: 703 by Connect and Energize, 704 by the limit of the output, targets, var and power factor, 705, 706
and 712 by curves whose DERCurve is known, 711 by droop. They are to be read, not written: the utility writes them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from dgm.api.site.v1.site_pb2 import Sample
from dgm.der.models import CURVE_POINTS, KINDS, STANDARD
from dgm.der.register_values import Picture, left_s, permits
from dgm.der.resource import DefaultDERControl, DERCurve
from dgm.der.schedule import ControlSegment
from dgm.maps.table import Value

THREE_PHASE = 2
STANDBY_W = 100
PERCENT_SF, POWER_FACTOR_SF, SOC_SF, HZ_SF, VOLT_SF, TIME_SF, DROOP_SF = -2, -4, -1, -3, -1, -3, -3
OUTPUT = KINDS.index("OUTPUT")
CONTROL_BITS = {
    "opModMaxLimW": 0,
    "opModMaxLimWInject": 0,
    "opModFixedW": 1,
    "opModTargetW": 1,
    "opModFixedVar": 2,
    "opModTargetVar": 2,
    "opModFixedPFAbsorbW": 3,
    "opModFixedPFInjectW": 3,
    "opModVoltVar": 4,
    "opModFreqWatt": 5,
    "opModFreqDroop": 5,
    "opModWattVar": 9,
    "opModVoltWatt": 10,
}
"""Bits of 702's CtrlModes."""
VAR_MODES = {1: 0, 2: 1, 3: 2, 8: 3}
"""DERUnitRefType -> VarSetMod of 704, and DeptRef of 705 and 712: of setMaxW, setMaxVar, statVarAvail, setMaxVA."""
POWER_MODES = {1: 0, 7: 1}
"""DERUnitRefType -> DeptRef of 706: of setMaxW, statWAvail."""
VARS = 4
CURVES = {705: ("opModVoltVar", "V", "Var"), 706: ("opModVoltWatt", "V", "W"), 712: ("opModWattVar", "W", "Var")}
"""Model -> its control mode, and its points' names of x and y."""

Values = dict[str, Value]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plant:
    """The plant as rated and as seen. samples: good ones of every inverter and battery; None: not all are seen.

    batteries: likewise of the batteries. acts_on: modes that have an effect here. curves: by href, as far as known.
    """

    discharge_w: int | None
    energy_wh: int | None
    acts_on: Sequence[str]
    samples: Sequence[Sample] | None
    batteries: Sequence[Sample] | None
    curves: Mapping[str, DERCurve] = field(default_factory=dict)
    default: DefaultDERControl | None = None


def standard_values(picture: Picture, plant: Plant) -> dict[int, Values]:
    """Values of every model of models.STANDARD, by number."""
    power_sf = scale(2 * max(picture.max_w, picture.charge_w or 0), signed=True)
    found: dict[int, Values] = {
        701: _measured(plant.samples, power_sf),
        702: _capacity(picture, plant),
        703: _enter_service(picture, plant.default),
        704: _control(picture),
        711: _droop(picture),
        713: _storage(plant),
        715: {"LocRemCtl": 0, "DERHb": picture.updates % 0xFFFF_FFFF},
    }
    found |= {model_id: _curve(picture, plant, model_id) for model_id in CURVES}
    assert found.keys() == STANDARD.keys()
    return found


def scale(largest: int, *, signed: bool) -> int:
    """The least power of ten, 0 or more, with which a value fits its 16 bits."""
    ceiling, power = 0x7FFF if signed else 0xFFFE, 0
    while largest > ceiling * 10**power:
        power += 1
    return power


def _scaled(value: int | None, power: int) -> int | None:
    """In units of 10^power >= 0, rounded to the nearest."""
    return None if value is None else round(value / 10**power)


def _down(value: int | None, power: int) -> int | None:
    """Ratings and limits are rounded down."""
    return None if value is None else value // 10**power


# -- measured --------------------------------------------------------------------------------------------------------


def _measured(samples: Sequence[Sample] | None, power_sf: int) -> Values:
    power_w, reactive_var = _sum(samples, "power_w"), _sum(samples, "reactive_var")
    found: Values = {
        "ACType": THREE_PHASE,
        "W_SF": power_sf,
        "VA_SF": power_sf,
        "Var_SF": power_sf,
        "V_SF": VOLT_SF,
        "Hz_SF": HZ_SF,
        "PF_SF": POWER_FACTOR_SF,
    }
    if power_w is not None:
        found |= {"W": _scaled(-power_w, power_sf), "St": int(abs(power_w) >= STANDBY_W)}
    if reactive_var is not None:
        found["Var"] = _scaled(-reactive_var, power_sf)
    if power_w is not None and reactive_var is not None:
        apparent_va = round((power_w**2 + reactive_var**2) ** 0.5)
        found["VA"] = _scaled(apparent_va, power_sf)
        found["PF"] = round(-power_w * 10_000 / apparent_va) if apparent_va else None
    found |= {f"V{phase.upper()}": _voltage(samples, (phase,)) for phase in ("l1", "l2", "l3")}
    found["LNV"] = _voltage(samples, ("l1", "l2", "l3"))
    frequencies = [sample.frequency_mhz for sample in samples or () if sample.HasField("frequency_mhz")]
    found["Hz"] = _mean(frequencies)
    return found


def _sum(samples: Sequence[Sample] | None, name: str) -> int | None:
    if not samples or not all(sample.HasField(name) for sample in samples):
        return None
    return sum(int(getattr(sample, name)) for sample in samples)


def _voltage(samples: Sequence[Sample] | None, phases: Sequence[str]) -> int | None:
    """Mean of what is measured, tenths of a volt."""
    known = [
        int(getattr(sample.voltage_mv, phase))
        for sample in samples or ()
        for phase in phases
        if sample.voltage_mv.HasField(phase)
    ]
    mean_mv = _mean(known)
    return None if mean_mv is None else round(mean_mv / 100)


def _mean(values: Iterable[int]) -> int | None:
    known = list(values)
    return round(sum(known) / len(known)) if known else None


def _storage(plant: Plant) -> Values:
    energy_sf = scale(plant.energy_wh or 0, signed=False)
    charges = [sample.soc_permille for sample in plant.batteries or () if sample.HasField("soc_permille")]
    soc = _mean(charges)
    found: Values = {"WHRtg": _down(plant.energy_wh, energy_sf), "SoC": soc, "WH_SF": energy_sf, "Pct_SF": SOC_SF}
    if plant.energy_wh is not None and soc is not None:
        found["WHAvail"] = _down(plant.energy_wh * soc // 1000, energy_sf)
    return found


# -- rated -----------------------------------------------------------------------------------------------------------


def _capacity(picture: Picture, plant: Plant) -> Values:
    power_sf = scale(max(picture.max_w, picture.charge_w or 0, plant.discharge_w or 0), signed=False)
    rated = {
        "WMax": _down(picture.max_w, power_sf),
        "WChaRteMax": _down(picture.charge_w, power_sf),
        "WDisChaRteMax": _down(plant.discharge_w, power_sf),
    }
    bits = {CONTROL_BITS[mode] for mode in plant.acts_on if mode in CONTROL_BITS}
    found: Values = {"W_SF": power_sf, "CtrlModes": sum(1 << bit for bit in bits), **rated}
    return found | {f"{name}Rtg": value for name, value in rated.items()}


# -- asked -----------------------------------------------------------------------------------------------------------


def _enter_service(picture: Picture, default: DefaultDERControl | None) -> Values:
    permitted = [permits(picture, switch) for switch in ("opModConnect", "opModEnergize")]
    found: Values = {
        "ES": 0 if 0 in permitted else None if None in permitted else 1,
        "V_SF": PERCENT_SF,
        "Hz_SF": HZ_SF,
    }
    if default is not None:
        found |= {
            "ESVHi": default.es_high_voltage_permyriad,
            "ESVLo": default.es_low_voltage_permyriad,
            "ESHzHi": default.es_high_mhz,
            "ESHzLo": default.es_low_mhz,
            "ESDlyTms": _whole_s(default.es_delay_ms),
            "ESRndTms": _whole_s(default.es_random_delay_ms),
            "ESRmpTms": _whole_s(default.es_ramp_ms),
        }
    return found


def _whole_s(duration_ms: int | None) -> int | None:
    return None if duration_ms is None else -(-duration_ms // 1000)


def _control(picture: Picture) -> Values:
    found: Values = {
        "PF_SF": POWER_FACTOR_SF,
        "WMaxLimPct_SF": PERCENT_SF,
        "WSet_SF": 0,
        "WSetPct_SF": PERCENT_SF,
        "VarSet_SF": 0,
        "VarSetPct_SF": PERCENT_SF,
    }
    for part in (_output_limit(picture), _power_set(picture), _var_set(picture), _power_factor(picture)):
        found |= part
    return found


def _output_limit(picture: Picture) -> Values:
    """The limit of what PV and batteries put out, and as its revert what comes when it ends."""
    now, *later = picture.limits[OUTPUT].steps
    percent = _percent_of(now.power_w, picture.max_w)
    if percent is None:
        return {"WMaxLimPctEna": 0 if picture.is_told else None}
    found: Values = {"WMaxLimPctEna": 1, "WMaxLimPct": percent}
    if later and now.end_ms is not None:
        after = _percent_of(later[0].power_w, picture.max_w)
        found |= {
            "WMaxLimPctRvrt": after,
            "WMaxLimPctEnaRvrt": int(after is not None),
            "WMaxLimPctRvrtTms": left_s(now.end_ms, now.began_ms or now.start_ms),
            "WMaxLimPctRvrtRem": left_s(now.end_ms, picture.at_ms),
        }
    return found


def _percent_of(power_w: int | None, max_w: int) -> int | None:
    return None if power_w is None or max_w <= 0 else min(power_w * 10_000 // max_w, 10_000)


def _power_set(picture: Picture) -> Values:
    target = next((picture.targets[mode] for mode in ("opModFixedW", "opModTargetW") if mode in picture.targets), None)
    if target is None:
        return {"WSetEna": 0 if picture.is_told else None}
    left = left_s(target.event_end_ms, picture.at_ms)
    return {"WSetEna": 1, "WSetMod": 1, "WSet": -target.power_w, "WSetRvrtRem": left}


def _var_set(picture: Picture) -> Values:
    fixed, wanted = _ruling(picture, "opModFixedVar"), _ruling(picture, "opModTargetVar")
    if fixed is not None and fixed.value.permyriad is not None:
        mode = VAR_MODES.get(fixed.value.reference or 0)
        percent = -fixed.value.permyriad
        return {"VarSetEna": 1, "VarSetMod": mode, "VarSetPct": percent, "VarSetRvrtRem": _left(fixed, picture)}
    if wanted is not None and wanted.value.reactive_var is not None:
        reactive_var = -wanted.value.reactive_var
        return {"VarSetEna": 1, "VarSetMod": VARS, "VarSet": reactive_var, "VarSetRvrtRem": _left(wanted, picture)}
    return {"VarSetEna": 0 if picture.is_told else None}


def _power_factor(picture: Picture) -> Values:
    found: Values = {}
    for name, mode in (("PFWInj", "opModFixedPFInjectW"), ("PFWAbs", "opModFixedPFAbsorbW")):
        row = _ruling(picture, mode)
        ppm = None if row is None else row.value.power_factor_ppm
        if row is None or ppm is None:
            found[f"{name}Ena"] = 0 if picture.is_told else None
            continue
        found |= {f"{name}Ena": 1, f"{name}.PF": round(ppm / 100), f"{name}RvrtRem": _left(row, picture)}
        found[f"{name}.Ext"] = None if row.value.is_underexcited is None else int(row.value.is_underexcited)
    return found


def _ruling(picture: Picture, mode: str) -> ControlSegment | None:
    row = picture.ruling.get(mode)
    return None if row is None or row.value.is_disabled else row


def _left(row: ControlSegment, picture: Picture) -> int | None:
    return left_s(row.end_ms, picture.at_ms)


def _droop(picture: Picture) -> Values:
    row = _ruling(picture, "opModFreqDroop")
    found: Values = {
        "AdptCtlReq": 1,
        "AdptCtlRslt": 1,
        "Db_SF": DROOP_SF,
        "K_SF": DROOP_SF,
        "RspTms_SF": TIME_SF,
        "Ctl1.ReadOnly": 1,
        "Ena": 0 if picture.is_told else None,
    }
    if row is None:
        return found
    asked = row.value
    return found | {
        "Ena": 1,
        "RvrtRem": _left(row, picture),
        "Ctl1.DbOf": asked.droop_over_deadband_mhz,
        "Ctl1.DbUf": asked.droop_under_deadband_mhz,
        "Ctl1.KOf": asked.droop_over_permille,
        "Ctl1.KUf": asked.droop_under_permille,
        "Ctl1.RspTms": asked.droop_response_ms,
    }


def _curve(picture: Picture, plant: Plant, model_id: int) -> Values:
    """A curve that rules and is not known is told as such: whether it is enabled is not known either."""
    mode, x_name, y_name = CURVES[model_id]
    found: Values = {"AdptCrvReq": 1, "AdptCrvRslt": 1, "Crv1.ReadOnly": 1, "Crv1.ActPt": 0, "DeptRef_SF": PERCENT_SF}
    found |= {"V_SF": PERCENT_SF, "RspTms_SF": TIME_SF} if x_name == "V" else {"W_SF": PERCENT_SF}
    row = _ruling(picture, mode)
    if row is None:
        return found | {"Ena": 0 if picture.is_told else None}
    curve = plant.curves.get(row.value.curve_href or "")
    if curve is None or len(curve.points) > CURVE_POINTS:
        return found
    found |= {"Ena": 1, "RvrtRem": _left(row, picture), "Crv1.ActPt": len(curve.points)}
    found["Crv1.DeptRef"] = (POWER_MODES if y_name == "W" else VAR_MODES).get(curve.y_reference)
    if x_name == "V":
        found["Crv1.RspTms"] = curve.response_ms
    for number, point in enumerate(curve.points, 1):
        found[f"Crv1.Pt{number}.{x_name}"] = _hundredths(point.x, curve.x_power_of_ten)
        found[f"Crv1.Pt{number}.{y_name}"] = _hundredths(point.y, curve.y_power_of_ten)
    return found


def _hundredths(value: int, power_of_ten: int) -> int:
    """A curve's percent, x * 10^power, in hundredths of a percent."""
    return round(value * 10.0 ** (power_of_ten + 2))
