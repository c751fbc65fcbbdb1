"""What the registers of the DER facade say of a utility's controls, of the plant, and of what nobody knows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from dgm.api.config.v1.config_pb2 import CircuitConfig
from dgm.api.ems.v1.ems_pb2 import Quantity
from dgm.api.site.v1.site_pb2 import PhaseValues, Sample
from dgm.der.discovery import Link
from dgm.der.effect import Target
from dgm.der.envelope import Bound
from dgm.der.facade_writes import EmsSaid
from dgm.der.models import GATEWAY_MODEL, KINDS, LIMIT_MODEL, STANDARD
from dgm.der.register_values import (
    LIMITED,
    NOT_LIMITED,
    NOT_TOLD,
    Picture,
    Sequences,
    ShownLimit,
    agreement_w,
    gateway_values,
    limit_values,
)
from dgm.der.resource import ControlBase, ControlMode, CurvePoint, DefaultDERControl, DERCurve
from dgm.der.schedule import Segment
from dgm.der.steps import Origin, Step
from dgm.der.sunspec_values import Plant, scale, standard_values
from dgm.machine import Now
from dgm.maps.table import Value, decode, encode

NOW = Now(mono_ms=50_000, utc_ms=0)
AT_MS = 1_900_000_000_000
NOTHING = Step(start_ms=AT_MS, end_ms=None, power_w=None, origin=Origin.NONE)
EVENT = Step(
    start_ms=AT_MS,
    end_ms=AT_MS + 90_500,
    power_w=90_000,
    origin=Origin.EVENT,
    mode="opModImpLimW",
    mrid="0600ABCD000000000000000100037244",
    began_ms=AT_MS - 10_000,
)
DEFAULT = replace(EVENT, start_ms=AT_MS + 90_500, end_ms=None, power_w=300_000, origin=Origin.DEFAULT, mrid="DEFA")
RATED = Plant(
    discharge_w=50_000, energy_wh=100_000, acts_on=("opModMaxLimW", "opModFixedW"), samples=None, batteries=None
)


def shown(*found: Step, default_w: int | None = None, agreed_w: int | None = None) -> ShownLimit:
    return ShownLimit(steps=found or (NOTHING,), default_w=default_w, agreement_w=agreed_w)


def picture(limits: Mapping[str, ShownLimit] | None = None, **changes: Any) -> Picture:
    values: dict[str, Any] = {
        "link": Link.READY,
        "updates": 7,
        "link_age_ms": 2_500,
        "at_ms": AT_MS,
        "is_told": True,
        "max_w": 150_000,
        "charge_w": 50_000,
        "gradient_permyriad_s": None,
        "limits": [(limits or {}).get(kind, shown()) for kind in KINDS],
        "bounds": {},
        "ruling": {},
        "targets": {},
        **changes,
    }
    return Picture(**values)


def limit(seen: Picture, kind: str = "IMPORT", *, acknowledged: int = 0) -> dict[str, Value]:
    values = limit_values(seen, KINDS.index(kind), 5, acknowledged)
    assert values.keys() <= {point.name for point in LIMIT_MODEL.read}
    return decode(LIMIT_MODEL, encode(LIMIT_MODEL, values))


def gateway(seen: Picture) -> dict[str, Value]:
    values = gateway_values(seen, EmsSaid(), NOW)
    assert values.keys() <= {point.name for point in GATEWAY_MODEL.read}
    return decode(GATEWAY_MODEL, encode(GATEWAY_MODEL, values))


def standard(model_id: int, seen: Picture, **changes: Any) -> dict[str, Value]:
    values = standard_values(seen, replace(RATED, **changes))[model_id]
    model = STANDARD[model_id]
    assert values.keys() <= {point.name for point in model.read}
    return decode(model, encode(model, values))


def asked(mode: ControlMode, *, end_ms: int | None = AT_MS + 60_000) -> Segment[ControlMode]:
    return Segment(lane=mode.name, value=mode, mrid="AA", start_ms=AT_MS, end_ms=end_ms, began_ms=AT_MS)


def test_a_limit_tells_its_end_its_source_and_what_comes_next() -> None:
    found = limit(picture({"IMPORT": shown(EVENT, DEFAULT, default_w=300_000, agreed_w=500_000)}), acknowledged=2)
    assert (found["kind"], found["sequence"], found["state"], found["limit_w"]) == (0, 5, LIMITED, 90_000)
    assert (found["origin"], found["mode"], found["mrid"]) == (Origin.EVENT, "opModImpLimW", EVENT.mrid)
    assert (found["began_s"], found["end_s"], found["left_s"]) == (1_899_999_990, 1_900_000_090, 91)
    assert (found["next_origin"], found["next_w"], found["next_mrid"]) == (Origin.DEFAULT, 300_000, "DEFA")
    assert (found["next_s"], found["next_in_s"], found["next_end_s"]) == (1_900_000_090, 91, None)
    assert (found["default_w"], found["agreement_w"], found["acknowledged"]) == (300_000, 500_000, 2)
    assert found["ramp_left_ms"] == 0


def test_a_limit_that_is_not_there_is_free_only_where_the_utility_has_told() -> None:
    told, silent = limit(picture(), "EXPORT"), limit(picture(is_told=False), "EXPORT")
    assert (told["state"], told["limit_w"], told["left_s"], told["next_w"]) == (NOT_LIMITED, None, None, None)
    assert (silent["state"], silent["limit_w"]) == (NOT_TOLD, None)
    agreed = Step(start_ms=AT_MS, end_ms=None, power_w=500_000, origin=Origin.AGREEMENT)
    found = limit(picture({"IMPORT": shown(agreed, agreed_w=500_000)}, is_told=False))
    assert (found["state"], found["limit_w"], found["origin"]) == (NOT_TOLD, 500_000, Origin.AGREEMENT)


def test_a_limit_of_zero_is_a_limit_and_one_beyond_the_register_is_never_none() -> None:
    assert limit(picture({"IMPORT": shown(replace(EVENT, power_w=0))}))["limit_w"] == 0
    assert limit(picture({"IMPORT": shown(replace(EVENT, power_w=2**40))}))["limit_w"] == 2**32 - 2


def test_a_ramp_is_told_with_what_is_left_of_it() -> None:
    bound = Bound(
        mode="opModImpLimW",
        power_w=90_000,
        mrid="AA",
        began_utc_ms=AT_MS - 3_000,
        end_utc_ms=None,
        event_end_ms=None,
        failsafe_w=None,
        ramp_ms=8_000,
    )
    seen = picture({"IMPORT": shown(EVENT)}, bounds={"opModImpLimW": bound})
    assert limit(seen)["ramp_left_ms"] == 5_000


def test_a_sequence_moves_only_when_the_limit_or_its_end_does() -> None:
    numbers = Sequences(1, start=65_534)
    first = numbers.of(0, EVENT)
    assert (first, numbers.of(0, replace(EVENT, start_ms=AT_MS + 500))) == (0, 0)
    assert numbers.of(0, replace(EVENT, end_ms=None)) == 1
    assert numbers.of(0, replace(EVENT, end_ms=None, power_w=1)) == 2


def test_the_gateway_tells_its_link_its_switches_and_signed_targets() -> None:
    out = Target(power_w=-20_000, mrid="AA", event_end_ms=AT_MS + 5_000)
    charge = Target(power_w=9_000, mrid="BB", event_end_ms=None)
    off = asked(ControlMode(name="opModEnergize", on=False))
    seen = picture(targets={"opModTargetW": out, "opModStorageTargetW": charge}, ruling={"opModEnergize": off})
    found = gateway(seen)
    assert (found["link"], found["schedule"], found["link_age_ms"], found["updates"]) == (2, 1, 2_500, 7)
    assert (found["energize"], found["connect"]) == (0, 1)
    assert (found["target"], found["target_w"], found["target_left_s"]) == (2, -20_000, 5)
    assert (found["storage_target_w"], found["storage_target_left_s"]) == (9_000, None)
    unknown = gateway(picture(is_told=False, link=Link.CONNECTING, link_age_ms=None))
    assert (unknown["energize"], unknown["connect"], unknown["target"], unknown["link_age_ms"]) == (None,) * 4


def test_in_sunspec_what_the_plant_puts_out_is_positive_and_vars_injected_are() -> None:
    samples = [
        Sample(power_w=-40_000, reactive_var=3_000, frequency_mhz=50_010, voltage_mv=PhaseValues(l1=230_100)),
        Sample(power_w=10_000, reactive_var=1_000, frequency_mhz=50_010, voltage_mv=PhaseValues(l1=230_300)),
    ]
    found = standard(701, picture(), samples=samples)
    assert (found["W_SF"], found["W"], found["Var"], found["VA"]) == (1, 3_000, -400, 3_026)
    assert (found["PF"], found["PF_SF"], found["Hz"], found["VL1"], found["VL2"]) == (9_912, -4, 50_010, 2_302, None)
    assert (found["St"], found["TotWhInj"]) == (1, None)


def test_a_plant_that_is_not_seen_has_no_power_and_no_state() -> None:
    found = standard(701, picture())
    assert [found[name] for name in ("W", "Var", "VA", "PF", "Hz", "St", "LNV")] == [None] * 7
    battery = standard(713, picture())
    assert (battery["WHRtg"], battery["WH_SF"], battery["SoC"], battery["WHAvail"]) == (10_000, 1, None, None)
    seen = standard(713, picture(), batteries=[Sample(soc_permille=634)])
    assert (seen["SoC"], seen["Pct_SF"], seen["WHAvail"]) == (634, -1, 6_340)


def test_ratings_are_rounded_down_and_only_controls_that_have_an_effect_are_named() -> None:
    found = standard(702, picture(max_w=150_007))
    assert (found["W_SF"], found["WMax"], found["WMaxRtg"]) == (1, 15_000, 15_000)
    assert (found["WChaRteMax"], found["WDisChaRteMaxRtg"], found["CtrlModes"]) == (5_000, 5_000, 0b11)


@pytest.mark.parametrize(("largest", "power"), [(0, 0), (32_767, 0), (32_768, 1), (3_276_700_000, 5)])
def test_a_scale_factor_is_the_least_with_which_a_value_fits(largest: int, power: int) -> None:
    assert scale(largest, signed=True) == power


def test_service_is_permitted_unless_a_switch_is_off_and_not_known_before_the_utility_told() -> None:
    off = {"opModConnect": asked(ControlMode(name="opModConnect", on=False))}
    assert [standard(703, seen)["ES"] for seen in (picture(), picture(ruling=off), picture(is_told=False))] == [
        1,
        0,
        None,
    ]
    default = DefaultDERControl(mrid="D", base=ControlBase(modes=()), es_delay_ms=300_001, es_high_mhz=50_100)
    found = standard(703, picture(), default=default)
    assert (found["ESDlyTms"], found["ESHzHi"], found["Hz_SF"], found["ESVLo"]) == (301, 50_100, -3, None)


def test_the_limit_of_the_output_is_a_share_of_the_rating_with_what_comes_next_as_its_revert() -> None:
    capped = replace(EVENT, mode="opModMaxLimW", power_w=50_000)
    found = standard(704, picture({"OUTPUT": shown(capped, replace(DEFAULT, power_w=75_000))}))
    assert (found["WMaxLimPctEna"], found["WMaxLimPct"], found["WMaxLimPct_SF"]) == (1, 3_333, -2)
    assert (found["WMaxLimPctEnaRvrt"], found["WMaxLimPctRvrt"]) == (1, 5_000)
    assert (found["WMaxLimPctRvrtTms"], found["WMaxLimPctRvrtRem"]) == (101, 91)
    free = standard(704, picture({"OUTPUT": shown(capped, replace(NOTHING, start_ms=AT_MS + 90_500))}))
    assert (free["WMaxLimPctEnaRvrt"], free["WMaxLimPctRvrt"]) == (0, None)
    assert [standard(704, seen)["WMaxLimPctEna"] for seen in (picture(), picture(is_told=False))] == [0, None]


def test_targets_vars_and_power_factors_are_told_in_sunspecs_signs() -> None:
    ruling = {
        mode.name: asked(mode)
        for mode in (
            ControlMode(name="opModFixedVar", permyriad=-2_500, reference=2),
            ControlMode(name="opModFixedPFInjectW", power_factor_ppm=950_000, is_underexcited=True),
        )
    }
    targets = {"opModFixedW": Target(power_w=-20_000, mrid="AA", event_end_ms=None)}
    found = standard(704, picture(ruling=ruling, targets=targets))
    assert (found["WSetEna"], found["WSetMod"], found["WSet"]) == (1, 1, 20_000)
    assert (found["VarSetEna"], found["VarSetMod"], found["VarSetPct"], found["VarSetRvrtRem"]) == (1, 1, 2_500, 60)
    assert (found["PFWInjEna"], found["PFWInj.PF"], found["PFWInj.Ext"], found["PFWAbsEna"]) == (1, 9_500, 1, 0)
    wanted = {"opModTargetVar": asked(ControlMode(name="opModTargetVar", reactive_var=7_000))}
    found = standard(704, picture(ruling=wanted))
    assert (found["VarSetEna"], found["VarSetMod"], found["VarSet"]) == (1, 4, -7_000)


def test_a_curve_is_told_point_by_point_and_one_that_is_not_known_is_not_said_to_be_off() -> None:
    ruling = {"opModVoltVar": asked(ControlMode(name="opModVoltVar", curve_href="/curve/1"))}
    points = (CurvePoint(x=92, y=44), CurvePoint(x=108, y=-44))
    curve = DERCurve(
        mrid="C", creation_s=1, points=points, curve_type=11, x_power_of_ten=0, y_power_of_ten=0, y_reference=2
    )
    found = standard(705, picture(ruling=ruling), curves={"/curve/1": curve})
    assert (found["Ena"], found["NCrv"], found["NPt"], found["Crv1.ActPt"], found["Crv1.DeptRef"]) == (1, 1, 10, 2, 1)
    assert [found[f"Crv1.Pt{number}.{axis}"] for number in (1, 2, 3) for axis in ("V", "Var")] == [
        *(9_200, 4_400),
        *(10_800, -4_400),
        *(None, None),
    ]
    watts = {"opModVoltWatt": asked(ControlMode(name="opModVoltWatt", curve_href="/curve/1"))}
    of_available = replace(curve, curve_type=12, y_reference=7)
    found = standard(706, picture(ruling=watts), curves={"/curve/1": of_available})
    assert (found["Ena"], found["Crv1.DeptRef"], found["Crv1.Pt1.W"]) == (1, 1, 4_400)
    assert [standard(705, seen)["Ena"] for seen in (picture(ruling=ruling), picture())] == [None, 0]
    assert standard(705, picture(ruling=ruling))["Crv1.ActPt"] == 0


def test_droop_is_told_by_its_values() -> None:
    mode = ControlMode(
        name="opModFreqDroop", droop_over_deadband_mhz=36, droop_over_permille=50, droop_response_ms=5_000
    )
    found = standard(711, picture(ruling={mode.name: asked(mode)}))
    assert (found["Ena"], found["Ctl1.DbOf"], found["Ctl1.KOf"], found["Ctl1.RspTms"]) == (1, 36, 50, 5_000)
    assert (found["Ctl1.DbUf"], found["Db_SF"]) == (None, -3)


def test_the_agreement_is_the_root_circuits_own_limit_and_there_is_none_for_devices() -> None:
    root = CircuitConfig(id="grid", import_limit_w=500_000)
    found = [agreement_w(root, quantity) for quantity in (Quantity.QUANTITY_NET_IMPORT, Quantity.QUANTITY_NET_EXPORT)]
    assert found == [500_000, None]
    assert agreement_w(root, Quantity.QUANTITY_GROSS_LOAD) is None
    assert agreement_w(None, Quantity.QUANTITY_NET_IMPORT) is None
