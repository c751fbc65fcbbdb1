"""Power factor, var, curves and droop of a control as grid modes of the EMS: signs, units, references, absence."""

from __future__ import annotations

from dataclasses import replace

import pytest
from der_world import HOST, LATENCY_MS, LFDI, UTC0_MS, DictServer, documents, event, page
from ems_grid_config import grid_config

from dgm.api.ems.v1.grid_pb2 import GridFunction, GridReference, PutModeRequest, TripRegion
from dgm.der import resource as r
from dgm.der.core import DerCore
from dgm.der.core_events import GridSeen, Keep
from dgm.der.curves import CURVES, FUNCTIONS, Asked, grid_asks, modes_supported
from dgm.der.discovery import Request
from dgm.der.effect import acts_on
from dgm.der.grid_side import ABLE_KEY, CURVE_PREFIX
from dgm.der.mode import CURVE_TYPES, MODES, Bitmap, bits_of
from dgm.der.schedule import ControlSegment, Segment
from dgm.ems.grid_modes import check
from dgm.machine import Now, Tick

ALL = tuple(number for number in GridFunction.values() if number)
MAX_W = 100_000


def row(mode: r.ControlMode, *, ramp_ms: int | None = None, end_ms: int = 60_000) -> ControlSegment:
    return Segment(lane=mode.name, value=mode, mrid="E", start_ms=0, end_ms=end_ms, began_ms=0, ramp_ms=ramp_ms)


def curve(name: str, *points: tuple[int, int], x: int = 0, y: int = 0, reference: int = 2) -> r.DERCurve:
    return r.DERCurve(
        mrid="C",
        creation_s=0,
        points=tuple(r.CurvePoint(x=at, y=value) for at, value in points),
        curve_type=CURVE_TYPES.index(name),
        response_ms=4000,
        x_power_of_ten=x,
        y_power_of_ten=y,
        y_reference=reference,
    )


def asked(mode: r.ControlMode, *, ramp_ms: int | None = None, found: r.DERCurve | None = None) -> Asked:
    curves = {} if found is None else {"/c": found}
    return grid_asks({mode.name: row(mode, ramp_ms=ramp_ms)}, curves, FUNCTIONS, max_w=MAX_W)[mode.name]


def valid(one: Asked) -> Asked:
    one.mode.ttl_ms = 1000
    assert check(PutModeRequest(mode=one.mode).mode) is None
    return one


def test_excitation_keeps_its_sense_and_the_side_is_that_of_the_mode() -> None:
    for name, absorbing in (("opModFixedPFInjectW", False), ("opModFixedPFAbsorbW", True)):
        mode = r.ControlMode(name=name, power_factor_ppm=950_000, is_underexcited=True)
        factor = valid(asked(mode, ramp_ms=3000)).mode.power_factor
        assert (factor.cos_phi_ppm, factor.is_underexcited, factor.is_absorbing_w) == (950_000, True, absorbing)


def test_delivered_vars_are_negative_and_a_percentage_of_our_own_rating_is_told_in_var() -> None:
    target = valid(asked(r.ControlMode(name="opModTargetVar", reactive_var=-5000)))
    assert target.mode.reactive.reactive_var == -5000
    fixed = r.ControlMode(name="opModFixedVar", permyriad=-2500, reference=1)
    assert valid(asked(fixed)).mode.reactive.reactive_var == -25_000
    of_var = valid(asked(replace(fixed, reference=2))).mode.reactive
    assert (of_var.permyriad, of_var.reference) == (-2500, GridReference.GRID_REFERENCE_MAX_VAR)
    assert grid_asks({"opModFixedVar": row(replace(fixed, reference=5))}, {}, FUNCTIONS, max_w=1) == {}


def test_a_volt_var_curve_is_turned_to_what_is_absorbed() -> None:
    mode = r.ControlMode(name="opModVoltVar", curve_href="/c")
    found = curve("opModVoltVar", (920, 300), (980, 0), (1020, 0), (1080, -300), x=-1, y=-1)
    one = valid(asked(mode, found=found)).mode
    points = [(point.x, point.y) for point in one.curve.points]
    assert points == [(9200, -3000), (9800, 0), (10_200, 0), (10_800, 3000)]
    assert (one.curve.reference, one.curve.response_ms) == (GridReference.GRID_REFERENCE_MAX_VAR, 4000)


def test_a_trip_curve_counts_milliseconds_and_volts_or_hertz() -> None:
    mode = r.ControlMode(name="opModLVRTMustTrip", curve_href="/c")
    one = valid(asked(mode, found=curve("opModLVRTMustTrip", (16, 45), (200, 88), x=-2))).mode
    assert [(point.x, point.y) for point in one.curve.points] == [(160, 4500), (2000, 8800)]
    assert one.curve.region == TripRegion.TRIP_REGION_MUST_TRIP
    mode = r.ControlMode(name="opModHFRTMayTrip", curve_href="/c")
    one = valid(asked(mode, found=curve("opModHFRTMayTrip", (16, 620), x=-2, y=-1))).mode
    assert [(point.x, point.y) for point in one.curve.points] == [(160, 62_000)]


@pytest.mark.parametrize("name", CURVES)
def test_every_curve_mode_takes_its_own_curve_and_no_other(name: str) -> None:
    mode = r.ControlMode(name=name, curve_href="/c")
    reference = 1 if name == "opModVoltWatt" else 2
    valid(asked(mode, found=curve(name, (1, 1), reference=reference)))
    other = "opModWattPF"
    assert grid_asks({name: row(mode)}, {"/c": curve(other, (1, 1))}, FUNCTIONS, max_w=1) == {}
    assert grid_asks({name: row(mode)}, {}, FUNCTIONS, max_w=1) == {}, "not fetched yet"


def test_a_droop_needs_all_its_parts() -> None:
    mode = r.ControlMode(
        name="opModFreqDroop",
        droop_over_deadband_mhz=36,
        droop_under_deadband_mhz=36,
        droop_over_permille=50,
        droop_under_permille=50,
    )
    assert valid(asked(mode)).mode.droop.over_permille == 50
    assert grid_asks({mode.name: row(replace(mode, droop_under_permille=None))}, {}, FUNCTIONS, max_w=1) == {}


def test_a_disabled_mode_asks_for_nothing() -> None:
    mode = r.ControlMode(name="opModTargetVar", reactive_var=1, is_disabled=True)
    assert grid_asks({mode.name: row(mode)}, {}, FUNCTIONS, max_w=1) == {}


def test_what_is_supported_is_what_the_inverters_can_do() -> None:
    base = acts_on(has_battery=False)
    assert modes_supported(base, ()) == base
    factor = modes_supported(base, [GridFunction.GRID_FUNCTION_FIXED_PF])
    assert set(factor) - set(base) == {"opModFixedPFAbsorbW", "opModFixedPFInjectW"}
    assert bits_of(factor, Bitmap.MODES) & 0b11_0000 == 0b11_0000
    assert set(modes_supported(base, ALL)) <= set(MODES)


# -- in the core -----------------------------------------------------------------------------------------------------


class Site:
    """A DerCore before a server that is a dict of documents."""

    def __init__(self, journal: dict[str, bytes] | None = None) -> None:
        self.server = DictServer(documents())
        mode = r.ControlMode(name="opModVoltVar", curve_href="/curves/1")
        base = r.ControlBase(modes=(mode, r.ControlMode(name="opModWattPF", curve_href="/curves/2")))
        control = replace(event("E0"), base=base, interval=r.Interval(start_s=UTC0_MS // 1000, duration_s=600))
        self.server.documents["/dc"] = page((control,), r.DERControlList)
        self.server.documents["/curves/1"] = curve("opModVoltVar", (92, 30), (98, 0))
        self.journal = {} if journal is None else journal
        self.core = DerCore(grid_config(HOST + "/dcap"), LFDI, lambda most: 0)
        self.at_ms = 0
        self._run(self.core.restore(self.journal, self.now()))

    def now(self) -> Now:
        return Now(mono_ms=self.at_ms, utc_ms=UTC0_MS + self.at_ms)

    def give(self, happening: object) -> None:
        self._run(self.core.handle(happening, self.now()))  # type: ignore[arg-type]

    def _run(self, effects: list[object]) -> None:  # type: ignore[type-arg, unused-ignore]
        for effect in effects:
            match effect:
                case Keep():
                    for key, value in effect.entries:
                        self.journal[key] = value or b""
                case Request():
                    answer = self.server.answer(effect, self.at_ms)
                    self.at_ms += LATENCY_MS
                    self.give(answer)
                case _:
                    pass

    def codes(self) -> list[int]:
        sent = [body for _, _, body in self.server.bodies if isinstance(body, r.DERControlResponse)]
        return [body.status or 0 for body in sent]


def test_the_curve_of_a_control_is_fetched_by_its_link_and_outlives_a_restart_without_the_server() -> None:
    site = Site()
    for _ in range(40):
        site.give(Tick())
    (one,) = site.core.grid().values()
    assert [(point.x, point.y) for point in one.mode.curve.points] == [(9200, -3000), (9800, 0)]
    assert CURVE_PREFIX + HOST + "/curves/1" in site.journal
    assert not site.server.times("/curves/2"), "a mode that is not supported: its curve is of no use"
    assert site.codes() == [1, 2], "an event with several modes takes those that are possible"
    again = DerCore(grid_config(HOST + "/dcap"), LFDI, lambda most: 0)
    again.restore(site.journal, site.now())
    assert again.grid().keys() == {"opModVoltVar"}


def test_an_event_that_no_inverter_can_follow_is_answered_as_not_applicable_once_they_were_looked_at() -> None:
    first = Site()
    first.give(GridSeen(functions=frozenset({GridFunction.GRID_FUNCTION_VAR})))
    assert first.journal[ABLE_KEY] == b"2"
    later = Site({ABLE_KEY: first.journal[ABLE_KEY]})
    assert later.codes() == [252]
    assert later.core.grid() == {}
