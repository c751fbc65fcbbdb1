"""What EVSEs, batteries and PV want, case by case and over time."""

from __future__ import annotations

import pytest
from ems_examples import B1, E1, E2, M1, PV1, at, decided, demo_config, evse_grant, power, sample
from hypothesis import given
from hypothesis import strategies as st

from dgm.api.core.v1.core_pb2 import Decision
from dgm.api.site.v1.site_pb2 import PlugState, Quality, Sample
from dgm.ems.policy import (
    SUSPENDED_MS,
    UNDERDRAW_MS,
    PolicyMemory,
    Want,
    WantedTarget,
    WantReason,
    decide_wants,
    surplus,
    target_rows,
)
from dgm.ems.snapshot import NO_CAR
from dgm.site.state import SiteState, reading_of
from dgm.site.topology import Topology

TOPOLOGY = Topology.from_config(demo_config())
CAR = (
    PlugState.PLUG_STATE_PREPARING,
    PlugState.PLUG_STATE_CHARGING,
    PlugState.PLUG_STATE_SUSPENDED_EVSE,
    PlugState.PLUG_STATE_SUSPENDED_EV,
)


class Bench:
    """Drives policy second by second with what is said of E1."""

    def __init__(self) -> None:
        self.state = SiteState(topology=TOPOLOGY, sample_max_age_ms=12_000)
        self.memory = PolicyMemory()
        self.mono_ms = 0
        self.targets: dict[int, WantedTarget] = {}

    def run(self, plug: PlugState, *, seconds: int, draw_ma: int | None = None, grant_ma: int | None = None) -> Want:
        """That many cycles with the same report; the newest want of E1."""
        want = None
        for _ in range(seconds):
            self.mono_ms += 1000
            now = at(self.mono_ms)
            self.state.put_reading(E1, reading_of(sample("e1", plug, ma=draw_ma), now))
            if grant_ma is not None:
                event = decided(now, evse_grant(E1, grant_ma))
                self.state.put_decision(Decision.FromString(event.decision), now)
            wants, self.memory = decide_wants(self.state, self.targets, self.memory, now)
            want = wants[E1]
        assert want is not None
        return want


@pytest.mark.parametrize("plug", NO_CAR)
def test_without_a_car_nothing_is_wanted(plug: PlugState) -> None:
    assert Bench().run(plug, seconds=1) == Want(value=0, reason=WantReason.NO_CAR)


@pytest.mark.parametrize("plug", CAR)
def test_a_car_wants_the_maximum_at_once(plug: PlugState) -> None:
    assert Bench().run(plug, seconds=1) == Want(value=32_000, reason=WantReason.CAR)


def test_every_plug_state_is_judged() -> None:
    assert set(NO_CAR) | set(CAR) == set(PlugState.values())


def test_an_evse_never_seen_wants_nothing() -> None:
    state = SiteState(topology=TOPOLOGY, sample_max_age_ms=12_000)
    wants, _ = decide_wants(state, {}, PolicyMemory(), at(0))
    assert wants[E1].value == 0


def test_a_clear_underdraw_lowers_the_want_after_its_time_and_not_before() -> None:
    bench = Bench()
    charging = PlugState.PLUG_STATE_CHARGING
    bench.run(charging, seconds=2, draw_ma=10_000, grant_ma=20_000)  # plugged, then seen drawing
    patience_s = UNDERDRAW_MS // 1000
    assert bench.run(charging, seconds=patience_s - 1, draw_ma=10_000, grant_ma=20_000).value == 32_000
    lowered = bench.run(charging, seconds=1, draw_ma=10_000, grant_ma=20_000)
    assert lowered == Want(value=12_000, reason=WantReason.UNDERDRAW)


def test_a_lowered_want_holds_at_the_lowered_grant_and_rises_when_the_draw_reaches_it() -> None:
    bench = Bench()
    charging = PlugState.PLUG_STATE_CHARGING
    bench.run(charging, seconds=30, draw_ma=10_000, grant_ma=20_000)
    assert bench.run(charging, seconds=300, draw_ma=10_000, grant_ma=12_000).value == 12_000
    assert bench.run(charging, seconds=1, draw_ma=11_500, grant_ma=12_000).value == 32_000


def test_a_lowered_want_is_never_below_the_minimum() -> None:
    bench = Bench()
    assert bench.run(PlugState.PLUG_STATE_CHARGING, seconds=30, draw_ma=0, grant_ma=20_000).value == 6000


def test_a_draw_just_under_the_grant_lowers_nothing() -> None:
    bench = Bench()
    assert bench.run(PlugState.PLUG_STATE_CHARGING, seconds=60, draw_ma=18_500, grant_ma=20_000).value == 32_000


def test_a_car_held_at_zero_by_us_is_not_taken_for_one_that_wants_less() -> None:
    bench = Bench()
    assert bench.run(PlugState.PLUG_STATE_SUSPENDED_EVSE, seconds=120, draw_ma=0, grant_ma=0).value == 32_000


def test_a_raised_grant_gives_the_car_its_time_again() -> None:
    bench = Bench()
    charging = PlugState.PLUG_STATE_CHARGING
    bench.run(charging, seconds=20, draw_ma=10_000, grant_ma=16_000)
    assert bench.run(charging, seconds=15, draw_ma=10_000, grant_ma=20_000).value == 32_000


def test_a_car_that_begins_to_charge_gets_its_full_want_back() -> None:
    bench = Bench()
    assert bench.run(PlugState.PLUG_STATE_PREPARING, seconds=40, draw_ma=0, grant_ma=20_000).value == 6000
    assert bench.run(PlugState.PLUG_STATE_CHARGING, seconds=1, draw_ma=0, grant_ma=6000).value == 32_000


def test_a_car_that_pauses_keeps_its_want_for_a_minute_and_then_the_minimum() -> None:
    bench = Bench()
    paused = PlugState.PLUG_STATE_SUSPENDED_EV
    bench.run(paused, seconds=1)
    assert bench.run(paused, seconds=SUSPENDED_MS // 1000 - 1).value == 32_000
    assert bench.run(paused, seconds=1) == Want(value=6000, reason=WantReason.SUSPENDED_EV)


def test_an_old_sample_is_not_evidence_of_underdraw() -> None:
    bench = Bench()
    bench.run(PlugState.PLUG_STATE_CHARGING, seconds=1, draw_ma=1000, grant_ma=20_000)
    wants: list[Want] = []
    for mono_ms in range(14_000, 60_000, 1000):
        wants, bench.memory = decide_wants(bench.state, {}, bench.memory, at(mono_ms))
    assert wants[E1].value == 32_000


def test_power_stands_in_where_no_current_is_measured() -> None:
    bench = Bench()
    for mono_ms in range(1000, 31_000, 1000):
        now = at(mono_ms)
        said = Sample(asset_id="e1", quality=Quality.QUALITY_GOOD, plug_state=PlugState.PLUG_STATE_CHARGING)
        said.power_w = 6900  # 10 A on three phases
        bench.state.put_reading(E1, reading_of(said, now))
        bench.state.put_decision(Decision.FromString(decided(now, evse_grant(E1, 20_000)).decision), now)
        wants, bench.memory = decide_wants(bench.state, {}, bench.memory, now)
    assert wants[E1].value == 12_000


def test_a_target_replaces_the_want_only_where_there_is_a_car() -> None:
    bench = Bench()
    bench.targets = {E1: WantedTarget(id="t", value=9000)}
    assert bench.run(PlugState.PLUG_STATE_AVAILABLE, seconds=1).value == 0
    assert bench.run(PlugState.PLUG_STATE_CHARGING, seconds=1) == Want(
        value=9000, reason=WantReason.TARGET, target_id="t"
    )


@pytest.mark.parametrize(
    ("net_w", "battery_w", "soc", "wanted_w"),
    [
        (-8000, 0, 500, 8000),  # all of the export
        (0, 8000, 500, 8000),  # already charging with it: no change
        (-40_000, 0, 500, 15_000),  # no more than the rating
        (5000, 0, 500, 0),  # importing
        (20_000, -20_000, 500, 0),  # helping: the core's decision, not a want
        (-8000, 0, 900, 0),  # full
        (-8000, 0, None, 0),  # state of charge not known
        (-150, 0, 500, 100),  # in steps
        (-50, 0, 500, 0),
    ],
)
def test_a_battery_charges_with_what_would_be_exported(
    net_w: int, battery_w: int, soc: int | None, wanted_w: int
) -> None:
    state = SiteState(topology=TOPOLOGY, sample_max_age_ms=12_000)
    for index, reading in (power(M1, net_w, at(0)), power(B1, battery_w, at(0), soc=soc)):
        state.put_reading(index, reading)
    wants, _ = decide_wants(state, {}, PolicyMemory(), at(100))
    assert wants[B1].value == wanted_w


def test_without_a_meter_or_battery_reading_there_is_no_surplus() -> None:
    state = SiteState(topology=TOPOLOGY, sample_max_age_ms=12_000)
    assert surplus(state, at(0)) is None
    state.put_reading(*power(M1, -9000, at(0)))
    assert surplus(state, at(0)) is None
    state.put_reading(*power(B1, 0, at(0), soc=500))
    assert surplus(state, at(0)) == 9000
    assert surplus(state, at(12_001)) is None


@given(net_w=st.integers(-80_000, 80_000), battery_w=st.integers(-20_000, 15_000), soc=st.integers(0, 1000))
def test_charging_as_wanted_never_causes_import(net_w: int, battery_w: int, soc: int) -> None:
    state = SiteState(topology=TOPOLOGY, sample_max_age_ms=12_000)
    for index, reading in (power(M1, net_w, at(0)), power(B1, battery_w, at(0), soc=soc)):
        state.put_reading(index, reading)
    wants, _ = decide_wants(state, {}, PolicyMemory(), at(0))
    wanted_w = wants[B1].value
    assert wanted_w is not None
    assert 0 <= wanted_w <= 15_000
    if wanted_w > 0:
        assert net_w - battery_w + wanted_w <= 0


def test_pv_wants_everything_and_meters_want_nothing() -> None:
    state = SiteState(topology=TOPOLOGY, sample_max_age_ms=12_000)
    wants, _ = decide_wants(state, {PV1: WantedTarget(id="t", value=-10)}, PolicyMemory(), at(0))
    assert wants[PV1].value == -10
    wants, _ = decide_wants(state, {}, PolicyMemory(), at(0))
    assert wants[PV1].value == -30_000
    assert wants[M1].value is None


def test_the_share_of_a_target_reaches_the_core_and_goes_with_it() -> None:
    state = SiteState(topology=TOPOLOGY, sample_max_age_ms=12_000)
    state.take(E2, sample("e2", PlugState.PLUG_STATE_PREPARING), at(0))
    target = WantedTarget(id="t", value=16_000, weight=20, keeps_on=True)
    wants, memory = decide_wants(state, {E2: target}, PolicyMemory(), at(0))
    assert target_rows(wants, TOPOLOGY)[E2] == (16_000, 20, 3, int(WantReason.TARGET), 1)
    wants, _ = decide_wants(state, {}, memory, at(1_000))
    assert target_rows(wants, TOPOLOGY)[E2] == (16_000, 2, 3, int(WantReason.CAR), 0)


def test_the_core_gets_one_row_per_asset_in_its_order() -> None:
    state = SiteState(topology=TOPOLOGY, sample_max_age_ms=12_000)
    wants, _ = decide_wants(state, {}, PolicyMemory(), at(0))
    rows = target_rows(wants, TOPOLOGY)
    assert len(rows) == len(TOPOLOGY.assets)
    assert rows[M1][0] is None
    assert rows[E2] == (0, 2, 3, int(WantReason.NO_CAR), 0)


def test_every_reason_has_its_words() -> None:
    texts = [Want(value=0, reason=reason).text for reason in WantReason]
    assert len(set(texts)) == len(list(WantReason))


STEPS = st.lists(
    st.tuples(
        st.sampled_from(PlugState.values()),
        st.none() | st.integers(0, 40_000),
        st.integers(0, 32).map(lambda amps: amps * 1000),
    ),
    max_size=80,
)


@given(steps=STEPS)
def test_a_want_is_always_zero_or_between_minimum_and_maximum(
    steps: list[tuple[PlugState, int | None, int]],
) -> None:
    bench = Bench()
    for plug, draw_ma, grant_ma in steps:
        want = bench.run(plug, seconds=1, draw_ma=draw_ma, grant_ma=grant_ma).value
        assert want is not None
        assert want == 0 or 6000 <= want <= 32_000
        assert (want == 0) == (plug in NO_CAR)
