"""The demo's timeline: reproducible, in proportion, and never a puzzle without a solution."""

from __future__ import annotations

import json
import random
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dgm.sim.timeline import (
    CPO_IDS,
    IMPORT_W,
    SECONDS_MIN,
    Timeline,
    demo_timeline,
    least_import_w,
    power_w,
)


def make(evse_count: int = 100, seconds: int = 150, seed: int = 1) -> Timeline:
    return demo_timeline(evse_count=evse_count, seconds=seconds, seed=seed, draw=random.Random(seed))


SIZES = {"evse_count": st.integers(1, 300), "seconds": st.integers(SECONDS_MIN, 400), "seed": st.integers(0, 10**6)}


def test_the_same_arguments_give_the_same_demo() -> None:
    assert make() == make()
    assert make(seed=1) != make(seed=2)


def test_the_reference_site_has_its_classes_and_its_three_cpos() -> None:
    timeline = make()
    assert Counter(evse.evse_class for evse in timeline.evses) == {"11kW": 60, "22kW": 25, "7kW": 15}
    assert {evse.cpo_id for evse in timeline.evses} == set(CPO_IDS)
    assert timeline.site.import_w == IMPORT_W
    single = Counter(evse.grid_phases[0] for evse in timeline.evses if evse.phases == 1)
    assert single == {1: 5, 2: 5, 3: 5}


def test_in_the_reference_demo_the_limit_must_bind_and_the_event_lowers_it() -> None:
    timeline = make()
    by_id = {evse.id: evse for evse in timeline.evses}
    wanted_w = sum(power_w(stay.car.current_max_ma, by_id[stay.evse_id].phases) for stay in timeline.stays)
    plant = timeline.site.plant
    best_w = timeline.site.import_w - plant.building_min_w + 2 * plant.pv_rated_w + plant.battery_power_w
    assert wanted_w > best_w
    assert timeline.event.import_w == timeline.site.import_w * 65 // 100


@settings(max_examples=40, deadline=None)
@given(**SIZES)
def test_fallbacks_and_a_full_building_fit_the_connection(evse_count: int, seconds: int, seed: int) -> None:
    timeline = make(evse_count, seconds, seed)
    total_w = sum(power_w(evse.fallback_ma, evse.phases) for evse in timeline.evses)
    assert total_w + timeline.site.plant.building_max_w <= timeline.site.import_w
    for phase in (1, 2, 3):
        phase_ma = sum(evse.fallback_ma for evse in timeline.evses if phase in evse.grid_phases)
        assert phase_ma + timeline.site.plant.building_max_w * 1000 // 690 <= timeline.site.service_ma


@settings(max_examples=40, deadline=None)
@given(**SIZES)
def test_under_the_event_every_car_can_have_its_least_current(evse_count: int, seconds: int, seed: int) -> None:
    timeline = make(evse_count, seconds, seed)
    assert least_import_w(timeline.evses, timeline.stays, timeline.site) <= timeline.event.import_w
    assert timeline.event.import_w <= timeline.site.import_w


@settings(max_examples=40, deadline=None)
@given(**SIZES)
def test_cars_and_event_keep_to_their_times(evse_count: int, seconds: int, seed: int) -> None:
    timeline = make(evse_count, seconds, seed)
    event = timeline.event
    assert event.created_ms + (timeline.poll_s + 5) * 1000 <= event.start_ms + 1000
    assert event.start_ms < event.end_ms <= seconds * 1000 - 20_000
    assert all(0 < stay.plug_ms < (seconds - 60) * 1000 for stay in timeline.stays)
    assert all(stay.unplug_ms is None or stay.plug_ms < stay.unplug_ms < seconds * 1000 for stay in timeline.stays)
    assert len({stay.evse_id for stay in timeline.stays}) == len(timeline.stays)
    assert len(timeline.stays) / evse_count >= 0.7 or evse_count < 5


def test_most_cars_come_in_the_first_twenty_seconds_and_some_leave() -> None:
    timeline = make()
    early = [stay for stay in timeline.stays if stay.plug_ms <= 20_000]
    assert 0.7 * len(timeline.stays) <= len(early) < len(timeline.stays)
    assert any(stay.unplug_ms is not None for stay in timeline.stays)


def test_too_short_a_demo_is_refused() -> None:
    with pytest.raises(ValueError, match="90"):
        make(seconds=89)


def test_the_configurations_of_the_processes_are_plain_json() -> None:
    timeline = make(10, 90)
    for config in (
        timeline.plant_config(out_dir="out", max_seconds=100),
        timeline.fleet_config(
            out_dir="out", max_seconds=100, gateway_url="ws://127.0.0.1:1", plant_udp_port=1, start_utc_ms=0
        ),
        timeline.csms_config(CPO_IDS[1], out_dir="out", max_seconds=100),
    ):
        assert json.loads(json.dumps(config)) == json.loads(json.dumps(config, sort_keys=True))
