"""Controls whose value no inverter can follow: told so before they start, and never told to have started."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from der_world import HOST, LFDI, UTC0_MS, event, page
from ems_grid_config import grid_config
from test_der_curves import Site, curve

from dgm.api.ems.v1.grid_pb2 import GridMode
from dgm.der import resource as r
from dgm.der.core import DerCore
from dgm.der.fitness import CURVE_WAIT_MS, VERDICTS_MAX, Fit, Fitness, GridChecked, content
from dgm.der.profiles.loader import load
from dgm.machine import Tick

VOLT_VAR = r.ControlMode(name="opModVoltVar", curve_href="/curves/1")
FACTOR = r.ControlMode(name="opModFixedPFInjectW", power_factor_ppm=950_000, is_underexcited=True)
LIMIT = r.ControlMode(name="opModMaxLimW", permyriad=5000)


def site(*modes: r.ControlMode, start_s: int = 60, duration_s: int = 600, profile: str = "2018") -> Site:
    """A core before a server with one event of these modes; the curve is not served yet."""
    found = Site.__new__(Site)
    Site.__init__(found)
    interval = r.Interval(start_s=UTC0_MS // 1000 + start_s, duration_s=duration_s)
    control = replace(event("E0"), base=r.ControlBase(modes=modes), interval=interval)
    found.server.documents["/dc"] = page((control,), r.DERControlList)
    found.server.bodies.clear()
    del found.server.documents["/curves/1"]
    found.core = DerCore(grid_config(HOST + "/dcap"), LFDI, lambda most: 0, profile=load(profile))
    found.at_ms = 0
    return found


def serve(found: Site, *points: tuple[int, int]) -> None:
    found.server.documents["/curves/1"] = curve("opModVoltVar", *(points or ((92, 30), (98, 0))))


def run(found: Site, until_s: int) -> Site:
    while found.at_ms < until_s * 1000:
        found.give(Tick())
        wake = found.core.wake_time()
        found.at_ms = min(until_s * 1000, max(found.at_ms + 1, until_s * 1000 if wake is None else wake))
    found.give(Tick())
    return found


def judge(found: Site, fit: Fit) -> None:
    for key in found.core.unchecked():
        found.give(GridChecked(mode=key, fit=fit))


def test_what_every_inverter_declines_is_rejected_before_it_starts_and_never_started() -> None:
    found = site(VOLT_VAR)
    serve(found)
    run(found, 10)
    assert found.codes() == [1]
    judge(found, Fit.NO)
    assert found.codes() == [1, 252]
    run(found, 900)
    assert found.codes() == [1, 252]
    assert found.core.grid() == {}


def test_what_the_inverters_can_be_told_starts_at_its_time() -> None:
    found = site(VOLT_VAR)
    serve(found)
    run(found, 10)
    assert len(found.core.unchecked()) == 1
    judge(found, Fit.YES)
    assert found.core.unchecked() == {}
    run(found, 70)
    assert (found.codes(), found.core.grid().keys()) == ([1, 2], {"opModVoltVar"})


def test_a_refusal_that_is_found_after_the_start_ends_it_with_the_code_of_the_profile() -> None:
    found = site(VOLT_VAR, profile="2023")
    serve(found)
    run(found, 70)
    assert found.codes() == [1, 2]
    judge(found, Fit.NO)
    assert found.codes() == [1, 2, 251]


def test_a_curve_for_another_mode_is_an_invalid_value() -> None:
    found = site(VOLT_VAR)
    found.server.documents["/curves/1"] = curve("opModVoltWatt", (100, 100))
    run(found, 10)
    assert found.codes() == [1, 253]


def test_an_event_that_waits_for_its_curve_has_not_started_until_it_is_there() -> None:
    found = site(VOLT_VAR, start_s=-10)
    run(found, 4)
    assert found.codes() == [1]
    serve(found)
    run(found, 20)
    assert found.codes() == [1, 2]


@pytest.mark.parametrize(("duration_s", "end_s"), [(600, 200), (20, 100)])
def test_a_curve_that_does_not_come_is_told_in_time_and_the_event_never_started(duration_s: int, end_s: int) -> None:
    found = site(VOLT_VAR, duration_s=duration_s)
    run(found, 61)
    assert found.codes() == [1]
    run(found, min(62 + CURVE_WAIT_MS // 1000, 60 + duration_s))
    assert found.codes() == [1, 252]
    run(found, end_s)
    assert found.codes() == [1, 252]


def test_an_event_that_is_called_off_while_it_waits_was_never_started() -> None:
    found = site(VOLT_VAR, start_s=50)
    run(found, 55)
    control = found.server.documents["/dc"].items[0]
    cancelled = replace(control, status=r.EventStatus(current=r.EventState.CANCELLED, changed_s=0))
    found.server.documents["/dc"] = page((cancelled,), r.DERControlList)
    run(found, 65)
    assert found.codes() == [1, 6]


def test_what_is_left_of_an_event_goes_on() -> None:
    found = site(VOLT_VAR, LIMIT)
    serve(found)
    run(found, 10)
    judge(found, Fit.NO)
    run(found, 70)
    assert found.codes() == [1, 2]
    assert found.core.grid() == {}
    assert found.core.bounds(found.now()).keys() == {"opModMaxLimW"}


def test_an_edition_that_lists_modes_is_told_which_were_not_possible() -> None:
    found = site(VOLT_VAR, LIMIT, profile="2023")
    serve(found)
    run(found, 10)
    judge(found, Fit.NO)
    [last] = [body for _, _, body in found.server.bodies if getattr(body, "status", 0) == 251]
    assert last.modes == 1 << 23


def test_what_was_refused_stays_so_over_a_restart_and_a_new_value_is_judged_anew() -> None:
    found = site(VOLT_VAR, LIMIT)
    serve(found)
    run(found, 10)
    judge(found, Fit.NO)
    again = DerCore(grid_config(HOST + "/dcap"), LFDI, lambda most: 0)
    again.restore(found.journal, found.now())
    [known] = again.scheduler.events()
    assert (known.lanes, known.unable) == ({"opModMaxLimW"}, {"opModVoltVar"})


def test_a_verdict_is_of_a_value_and_not_of_an_event() -> None:
    fitness = Fitness(max_w=100_000)
    asked = GridMode()
    for number in range(VERDICTS_MAX + 1):
        asked.reason = str(number)
        fitness.take(GridChecked(mode=content(asked), fit=Fit.NO))
    found = site(FACTOR)
    run(found, 10)
    assert next(iter(found.core.unchecked().values())).power_factor.cos_phi_ppm == 950_000
    assert fitness.fit(FACTOR, {}) is Fit.YES
    disabled: Any = replace(VOLT_VAR, is_disabled=True)
    assert fitness.fit(disabled, {}) is Fit.YES
    assert fitness.fit(replace(VOLT_VAR, curve_href=None), {}) is Fit.INVALID
