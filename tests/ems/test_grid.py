"""Grid-code settings of inverters: stored before the first write, held, one owner of Q, and restored whole."""

from __future__ import annotations

import json

import pytest
from grid_world import GridWorld, Paper
from hypothesis import given, settings
from hypothesis import strategies as st

from dgm.api.core.v1.field_pb2 import ModelFailure
from dgm.api.ems.v1.field_pb2 import SetpointVerdict
from dgm.api.ems.v1.grid_pb2 import (
    CheckModeResponse,
    CurvePoint,
    DeleteModeRequest,
    FreqDroop,
    GridCurve,
    GridFunction,
    GridMode,
    GridReference,
    GridState,
    PowerFactor,
    PutModeRequest,
    ReactivePower,
    TripRegion,
)
from dgm.cli.field import grid_lines
from dgm.ems.grid_modes import check
from dgm.ems.inverter import GRACE_MS, RENEW_MS
from dgm.ems.inverter_models import REVERT_S
from dgm.site.refusal import Reason, Refusal

SOURCE = "utility:der"
TTL_MS = 60_000


def mode(name: str, function: GridFunction, **value: object) -> GridMode:
    return GridMode(id=f"utility:{name}", source=SOURCE, function=function, ttl_ms=TTL_MS, **value)  # type: ignore[arg-type]


def factor(ppm: int, *, under: bool = True, absorbing: bool = False, ramp_ms: int = 0) -> GridMode:
    value = PowerFactor(cos_phi_ppm=ppm, is_underexcited=under, is_absorbing_w=absorbing)
    name = f"PF{'Absorb' if absorbing else 'Inject'}"
    return mode(name, GridFunction.GRID_FUNCTION_FIXED_PF, power_factor=value, ramp_ms=ramp_ms)


def var(reactive_var: int, *, ramp_ms: int = 0) -> GridMode:
    value = ReactivePower(reactive_var=reactive_var)
    return mode("TargetVar", GridFunction.GRID_FUNCTION_VAR, reactive=value, ramp_ms=ramp_ms)


def curve(*points: tuple[int, int], **fields: object) -> GridCurve:
    return GridCurve(points=[CurvePoint(x=x, y=y) for x, y in points], **fields)  # type: ignore[arg-type]


VOLT_VAR = mode(
    "VoltVar",
    GridFunction.GRID_FUNCTION_VOLT_VAR,
    curve=curve((9000, -3000), (9500, 0), (10_500, 0), (11_000, 3000), reference=GridReference.GRID_REFERENCE_MAX_VAR),
)


def end(world: GridWorld, name: str) -> None:
    world.desk.delete(DeleteModeRequest(id=f"utility:{name}", source=SOURCE))


def keep(world: GridWorld, found: GridMode, seconds: int) -> None:
    """The source renews its lease."""
    for _ in range(seconds // 20):
        world.put(found)
        world.run(20)


def state_of(world: GridWorld, model: int) -> GridState:
    (inverter,) = world.desk.listed(world.now).inverters
    return next(setting.state for setting in inverter.settings if setting.model == model)


def test_a_power_factor_is_held_and_the_owners_settings_come_back() -> None:
    world = GridWorld()
    own = world.paper.settings()
    world.put(factor(950_000))
    world.run(2)
    paper = world.paper
    assert [paper.get(704, name) for name in ("PFWInjEna", "PFWInj.PF", "PFWInj.Ext")] == [1, 950, 1]
    assert paper.get(704, "PFWInjRvrtTms") == REVERT_S
    assert paper.device.grid_code.owners() == ["PF"], "volt-var of the owner gives way"
    assert state_of(world, 704) == GridState.GRID_STATE_HELD
    keep(world, factor(950_000), 300)
    assert paper.get(704, "PFWInjEna") == 1, "renewed before its timer ends"
    end(world, "PFInject")
    world.run(2)
    assert paper.settings() == own
    assert world.journal == {}
    assert paper.device.grid_code.conflicts == 0


def test_own_settings_are_durable_before_the_first_write() -> None:
    world = GridWorld()
    world.run(1)
    own = {model: world.paper.registers(model) for model in (704, 705)}
    world.put(factor(950_000))
    while not world.paper.writes:
        world.run(most=1)
        for model in (704, 705):
            if world.paper.registers(model) != own[model]:
                assert json.loads(world.journal[f"pv1/{model}"])["registers"] == own[model].hex()
    assert world.journal


def test_a_lease_that_nobody_renews_ends_in_the_owners_settings() -> None:
    world = GridWorld()
    own = world.paper.settings()
    world.put(var(5000))
    world.run(2)
    assert world.paper.get(704, "VarSet") == -5000, "absorbed"
    world.run(TTL_MS // 1000)
    assert world.paper.settings() == own


def test_a_new_process_goes_on_where_the_source_is_back_in_time_and_restores_where_it_is_not() -> None:
    world = GridWorld()
    own = world.paper.settings()
    world.put(VOLT_VAR)
    world.run(2)
    held = world.paper.settings()
    world.start()
    world.run(GRACE_MS / 1000 - 2)
    assert world.paper.settings() == held
    world.put(VOLT_VAR)
    world.run(10)
    assert world.paper.settings() == held
    world.start()
    world.run(GRACE_MS / 1000 + 2)
    assert world.paper.settings() == own
    assert world.journal == {}


def test_a_device_that_is_left_alone_goes_back_by_its_own_timers() -> None:
    world = GridWorld()
    world.put(factor(900_000))
    world.run(2)
    paper = world.paper
    paper.device.grid_code.advance(paper.inverter.clock_s + REVERT_S)
    assert paper.get(704, "PFWInjEna") == 0
    world.start()
    world.run(GRACE_MS / 1000 + 2)
    assert paper.device.grid_code.owners() == ["VoltVar"], "what has no timer the journal brings back"


def test_a_volt_var_curve_is_adopted_with_the_owners_as_its_revert() -> None:
    world = GridWorld()
    own = world.paper.settings()
    own_curve = world.paper.curve_in_force(705)
    world.put(VOLT_VAR)
    world.run(2)
    paper = world.paper
    points = [(paper.get(705, f"Crv[0].Pt[{at}].V"), paper.get(705, f"Crv[0].Pt[{at}].Var")) for at in range(4)]
    assert points == [(900, 300), (950, 0), (1050, 0), (1100, -300)], "SunSpec counts injection positive"
    assert (paper.get(705, "Ena"), paper.get(705, "RvrtTms")) == (1, REVERT_S)
    paper.device.grid_code.advance(paper.inverter.clock_s + REVERT_S)
    assert paper.curve_in_force(705) == own_curve
    end(world, "VoltVar")
    world.run(2)
    assert (paper.settings(), paper.curve_in_force(705)) == (own, own_curve)


@pytest.mark.parametrize(
    ("asked", "model", "shown"),
    [
        (
            mode("VoltWatt", GridFunction.GRID_FUNCTION_VOLT_WATT, curve=curve((10_500, -10_000), (11_000, 0))),
            706,
            {"Crv[0].Pt[0].V": 1050, "Crv[0].Pt[0].W": 1000, "Crv[0].Pt[1].W": 0, "Ena": 1},
        ),
        (
            mode("WattVar", GridFunction.GRID_FUNCTION_WATT_VAR, curve=curve((-5000, 0), (-10_000, 4400))),
            712,
            {"Crv[0].Pt[0].W": 500, "Crv[0].Pt[1].W": 1000, "Crv[0].Pt[1].Var": -440, "Ena": 1},
        ),
        (
            mode(
                "LVRTMustTrip",
                GridFunction.GRID_FUNCTION_LV_TRIP,
                curve=curve((160, 4500), (2000, 8800), region=TripRegion.TRIP_REGION_MUST_TRIP),
            ),
            707,
            {"Crv[0].MustTrip.Pt[0].Tms": 16, "Crv[0].MustTrip.Pt[1].V": 880, "Crv[0].MustTrip.ActPt": 2},
        ),
        (
            mode(
                "HFRTMayTrip",
                GridFunction.GRID_FUNCTION_HF_TRIP,
                curve=curve((160, 62_000), region=TripRegion.TRIP_REGION_MAY_TRIP),
            ),
            710,
            {"Crv[0].MayTrip.Pt[0].Hz": 6200, "Crv[0].MustTrip.Pt[0].Hz": 6200},
        ),
        (
            mode(
                "FreqDroop",
                GridFunction.GRID_FUNCTION_FREQ_DROOP,
                droop=FreqDroop(
                    over_deadband_mhz=17, under_deadband_mhz=20, over_permille=30, under_permille=40, response_ms=3000
                ),
            ),
            711,
            {"Ctl[0].DbOf": 17, "Ctl[0].DbUf": 20, "Ctl[0].KOf": 30, "Ctl[0].KUf": 40, "Ctl[0].RspTms": 3},
        ),
    ],
)
def test_every_other_function_stands_in_its_model_and_leaves_it_as_it_was(
    asked: GridMode, model: int, shown: dict[str, int]
) -> None:
    world = GridWorld()
    own, in_force = world.paper.settings(), world.paper.registers(model)
    world.put(asked)
    world.run(2)
    assert {name: world.paper.get(model, name) for name in shown} == shown
    assert state_of(world, model) == GridState.GRID_STATE_HELD
    end(world, asked.id.removeprefix("utility:"))
    world.run(2)
    assert world.paper.settings() == own
    command = [2 * at for at in (3,)]
    assert [byte for at, byte in enumerate(world.paper.registers(model)) if at // 2 * 2 not in command] == [
        byte for at, byte in enumerate(in_force) if at // 2 * 2 not in command
    ], "all but the register that asks for an adoption"


def test_one_mode_owns_q_and_the_next_one_takes_over_when_it_ends() -> None:
    world = GridWorld()
    own = world.paper.settings()
    code = world.paper.device.grid_code
    world.put(VOLT_VAR)
    world.put(factor(900_000))
    world.run(2)
    assert code.owners() == ["PF"], "fixed before curves"
    world.put(var(10_000))
    world.run(2)
    assert code.owners() == ["VarSet"], "10 kvar are fewer than cos phi 0.9 at 50 kVA means"
    world.put(var(30_000))
    world.run(5)
    assert code.owners() == ["PF"]
    end(world, "PFInject")
    world.run(5)
    assert code.owners() == ["VarSet"]
    end(world, "TargetVar")
    world.run(5)
    assert code.owners() == ["VoltVar"]
    end(world, "VoltVar")
    world.run(5)
    assert world.paper.settings() == own
    assert code.conflicts == 0


def test_a_site_wide_var_is_shared_by_what_the_active_power_of_each_leaves() -> None:
    world = GridWorld(count=2)
    world.powers = {"pv1": -40_000, "pv2": 0}
    world.put(var(40_000))
    world.run(2)
    shares = [-paper.get(704, "VarSet") for paper in world.papers.values()]
    # sqrt(50^2 - 40^2) = 30 kvar, but no more than 22 kvar each.
    assert shares == [20_000, 20_000]
    world.powers["pv1"] = -49_000
    world.run(5)
    assert [-paper.get(704, "VarSet") for paper in world.papers.values()] == [0, 22_000]


def test_an_inverter_with_one_side_of_the_power_factor_takes_that_one() -> None:
    world = GridWorld()
    for name in ("Ena", ".PF", ".Ext"):
        world.paper.image.put_absent(704, f"PFWAbs{name}")
    world.put(factor(950_000))
    world.put(factor(900_000, absorbing=True))
    world.run(2)
    assert world.paper.get(704, "PFWInj.PF") == 950
    end(world, "PFInject")
    world.run(10)
    (inverter,) = world.desk.listed(world.now).inverters
    assert "no power factor for PFWAbs" in next(one.why for one in inverter.settings if one.model == 704)
    assert world.paper.get(704, "PFWInjEna") == 0, "its event is over"
    end(world, "PFAbsorb")
    world.run(70)
    assert world.journal == {}


def test_an_inverter_that_counts_in_percent_is_told_so() -> None:
    world = GridWorld()
    image = world.paper.image
    for name in ("VarSet", "VarSetRvrt"):
        image.put_absent(704, name)
    for name, value in (("VarSetPct", 0), ("VarSetPctRvrt", 0), ("VarSetPct_SF", -1), ("VarSetMod", 1)):
        image.put(704, name, value)
    own = world.paper.settings()
    world.put(var(11_000))
    world.run(2)
    assert [image.get(704, f"VarSet{name}") for name in ("Ena", "Mod", "Pct")] == [1, 1, -500], "of 22 kvar"
    end(world, "TargetVar")
    world.run(2)
    assert world.paper.settings() == own


def test_a_ramp_leads_from_what_stood_to_the_value() -> None:
    world = GridWorld()
    world.put(var(-10_000, ramp_ms=10_000))
    seen = []
    for _ in range(12):
        world.run(0.5)
        seen.append(world.paper.get(704, "VarSet"))
    assert seen == sorted(seen)
    assert {0, 2000, 4000, 10_000} <= set(seen)
    world.put(var(-20_000, ramp_ms=10_000))
    world.run(3)
    assert 10_000 <= world.paper.get(704, "VarSet") < 20_000


def test_a_restore_that_is_cut_off_is_begun_again_until_all_stands() -> None:
    world = GridWorld()
    own = world.paper.settings()
    world.put(VOLT_VAR)
    world.run(2)
    end(world, "VoltVar")
    world.paper.fail_after_writes = world.paper.writes + 9
    world.run(1)
    assert world.paper.settings() != own
    assert "pv1/705" in world.journal
    assert state_of(world, 705) == GridState.GRID_STATE_FAILED
    world.start()
    world.run(GRACE_MS / 1000 + 2)
    assert world.paper.settings() == own
    assert world.journal == {}


def test_another_master_is_told_of_and_overwritten_at_the_renewal() -> None:
    world = GridWorld()
    world.put(factor(950_000))
    world.run(2)
    world.paper.image.put(704, "PFWInj.PF", 800)
    world.put(factor(950_000))
    world.run(RENEW_MS / 1000)
    assert world.paper.get(704, "PFWInj.PF") == 950
    verdicts = [told.verdict for told in world.told if told.model == 704]
    assert SetpointVerdict.SETPOINT_VERDICT_OVERWRITTEN in verdicts


def test_settings_of_another_device_are_not_written_to_this_one() -> None:
    world = GridWorld()
    world.put(factor(950_000))
    world.run(2)
    world.papers["pv1"] = Paper(serial=7)
    own = world.paper.settings()
    world.start()
    world.run(GRACE_MS / 1000 + 2)
    assert world.paper.settings() == own
    assert world.journal == {}
    assert world.told[-1].verdict == SetpointVerdict.SETPOINT_VERDICT_REFUSED


def test_a_device_that_was_exchanged_while_it_was_away_gets_no_settings_of_the_old_one() -> None:
    world = GridWorld()
    keep(world, factor(950_000), 20)
    world.papers["pv1"] = Paper(serial=7)
    world.paper.fail = [ModelFailure.MODEL_FAILURE_SILENT]
    own = world.paper.settings()
    world.run(TTL_MS / 1000 + RENEW_MS / 1000)
    assert world.paper.settings() == own
    assert world.journal == {}


def test_what_an_inverter_has_not_is_not_said_to_be_there() -> None:
    world = GridWorld()
    world.paper.image.put(702, "CtrlModes", 1 << 3)
    world.run(1)
    (inverter,) = world.desk.listed(world.now).inverters
    assert list(inverter.able) == [GridFunction.GRID_FUNCTION_FIXED_PF]
    own = world.paper.settings()
    world.put(VOLT_VAR)
    world.run(5)
    assert world.paper.settings() == own


def test_a_silent_inverter_is_asked_again_and_told_of_once() -> None:
    world = GridWorld()
    world.run(1)
    world.paper.fail = [ModelFailure.MODEL_FAILURE_SILENT] * 3
    world.put(factor(950_000))
    world.run(2)
    assert {told.verdict for told in world.told} == {SetpointVerdict.SETPOINT_VERDICT_SILENT}
    assert len(world.told) == len({told.model for told in world.told})
    world.put(factor(950_000))
    world.run(40)
    assert world.paper.get(704, "PFWInjEna") == 1


def test_a_curve_with_more_points_than_the_inverter_has_is_refused_by_name() -> None:
    world = GridWorld()
    points = [(9000 + 100 * at, 0) for at in range(5)]
    world.put(mode("VoltVar", GridFunction.GRID_FUNCTION_VOLT_VAR, curve=curve(*points)))
    world.run(2)
    (inverter,) = world.desk.listed(world.now).inverters
    assert "found a curve of 5 points; expected 1..4" in inverter.settings[0].why
    assert world.journal == {}


@pytest.mark.parametrize(
    "broken",
    [
        GridMode(),
        mode("PF", GridFunction.GRID_FUNCTION_FIXED_PF),
        factor(0),
        mode("V", GridFunction.GRID_FUNCTION_VAR, reactive=ReactivePower()),
        mode("V", GridFunction.GRID_FUNCTION_VAR, reactive=ReactivePower(permyriad=1)),
        mode("L", GridFunction.GRID_FUNCTION_LV_TRIP, curve=curve((1, 1))),
        mode("VV", GridFunction.GRID_FUNCTION_VOLT_VAR, curve=curve()),
        mode("FD", GridFunction.GRID_FUNCTION_FREQ_DROOP, droop=FreqDroop(over_permille=-1)),
    ],
)
def test_a_mode_that_means_nothing_is_refused(broken: GridMode) -> None:
    assert isinstance(check(broken), Refusal)


def test_a_source_changes_only_its_own_modes() -> None:
    world = GridWorld()
    world.put(factor(950_000))
    other = factor(900_000)
    other.source = "api:somebody"
    refused = world.desk.put(PutModeRequest(mode=other), world.now)
    assert isinstance(refused, Refusal)
    assert refused.reason is Reason.NOT_OWNER


ACTIONS = st.sampled_from(["factor", "var", "volt_var", "end", "restart", "cut", "wait", "revert"])


@settings(max_examples=40, deadline=None)
@given(st.lists(ACTIONS, min_size=1, max_size=12), st.integers(0, 40))
def test_whatever_happens_the_owners_settings_stand_in_the_end(actions: list[str], cut: int) -> None:
    world = GridWorld()
    own = world.paper.settings()
    asked = {"factor": factor(950_000), "var": var(5000), "volt_var": VOLT_VAR}
    for action in actions:
        match action:
            case "end":
                for one in asked.values():
                    end(world, one.id.removeprefix("utility:"))
            case "restart":
                world.start()
            case "cut":
                world.paper.fail_after_writes = world.paper.writes + cut
            case "wait":
                world.run(20)
            case "revert":
                paper = world.paper
                paper.inverter.clock_s += REVERT_S
                paper.device.grid_code.advance(paper.inverter.clock_s)
            case _:
                world.put(asked[action])
        world.run(1)
    world.run(TTL_MS / 1000 + 180)
    assert world.paper.settings() == own
    assert world.journal == {}


def test_what_stands_on_inverters_is_told_in_words() -> None:
    world = GridWorld(functions=[GridFunction.GRID_FUNCTION_FIXED_PF])
    listed = list(grid_lines(world.desk.listed(world.now)))
    assert listed == ["pv1: fixed_pf (not looked at yet)"]
    world.put(factor(950_000))
    world.run(1)
    lines = list(grid_lines(world.desk.listed(world.now)))
    assert lines[0].startswith("utility:PFInject: fixed_pf, ")
    assert lines[1:] == ["pv1: fixed_pf", "  model 704: held", "  model 705: held"]


def test_a_mode_that_is_to_come_is_looked_at_and_nothing_is_put() -> None:
    world = GridWorld(2)
    world.run(2)
    fits = world.desk.check(VOLT_VAR, world.now)
    assert isinstance(fits, CheckModeResponse)
    assert [(one.asset_id, one.is_fit) for one in fits.inverters] == [("pv1", True), ("pv2", True)]
    long = mode("VoltVar", GridFunction.GRID_FUNCTION_VOLT_VAR, curve=curve(*((9000 + at, 0) for at in range(5))))
    declined = world.desk.check(long, world.now)
    assert isinstance(declined, CheckModeResponse)
    assert {one.why for one in declined.inverters} == {"model 705: found a curve of 5 points; expected 1..4"}
    assert isinstance(
        world.desk.check(mode("VV", GridFunction.GRID_FUNCTION_VOLT_VAR, curve=curve()), world.now), Refusal
    )
    assert not world.desk.listed(world.now).modes
    assert world.told == []


def test_an_inverter_that_was_not_looked_at_yet_says_nothing_of_a_mode() -> None:
    world = GridWorld()
    found = world.desk.check(VOLT_VAR, world.now)
    assert isinstance(found, CheckModeResponse)
    assert not found.inverters
