"""The event engine on DERControls: rules one by one."""

from __future__ import annotations

from typing import Any

import pytest
from der_events import EXP, GEN, IMP, T0_S, Driver, at, control, default, known, no_draw, program

from dgm.api.der.v1.profile_pb2 import UtilityProfile
from dgm.der import resource as r
from dgm.der.profile import STANDARD
from dgm.der.schedule import Phase
from dgm.der.scheduler import ResponseTaken, Scheduler
from dgm.machine import Now, Tick


def test_an_event_is_received_started_and_completed_at_its_times() -> None:
    driver = Driver()
    driver.give(0, program(control("A", 10, 20)))
    driver.run(60)
    assert driver.sent == [("A", 1, 0), ("A", 2, 10), ("A", 3, 30)]


def test_its_value_rules_exactly_from_start_to_end_and_the_default_before_and_after() -> None:
    driver = Driver()
    driver.give(0, program(control("A", 10, 20), stated=default({IMP: 5000})))
    seen = {}
    for second in (0, 9.999, 10, 29.999, 30, 40):
        driver.run(second)
        seen[second] = driver.power(IMP)
    assert seen == {0: 5000, 9.999: 5000, 10: 1000, 29.999: 1000, 30: 5000, 40: 5000}


def test_polling_the_same_list_again_answers_nothing_twice() -> None:
    driver = Driver()
    for second in range(0, 50, 5):
        driver.give(second, program(control("A", 10, 20)))
    assert [code for _, code, _ in driver.sent] == [1, 2, 3]


def test_an_active_event_that_is_cancelled_stops_at_once() -> None:
    driver = Driver()
    driver.give(0, program(control("A", 10, 20)))
    driver.give(15, program(control("A", 10, 20, status=r.EventState.CANCELLED)))
    assert driver.power(IMP) is None
    driver.run(60)
    assert driver.sent == [("A", 1, 0), ("A", 2, 10), ("A", 6, 15)]


def test_an_event_cancelled_before_its_start_is_answered_with_six_alone() -> None:
    driver = Driver()
    driver.give(0, program(control("A", 10, 20)))
    driver.give(5, program(control("A", 10, 20, status=r.EventState.CANCELLED)))
    driver.run(60)
    assert driver.sent == [("A", 1, 0), ("A", 6, 5)]


def test_a_cancellation_with_randomisation_winds_down_within_its_range() -> None:
    driver = Driver(draw=lambda most: min(most, 7))
    started = control("A", 0, 100, randomize_duration_s=20)
    driver.give(0, program(started))
    driver.give(10, program(control("A", 0, 100, randomize_duration_s=20, status=r.EventState.CANCELLED_RANDOMISED)))
    assert driver.power(IMP) == 1000
    driver.run(200)
    assert driver.sent == [("A", 1, 0), ("A", 2, 0), ("A", 6, 17)]


@pytest.mark.parametrize(("old", "new"), [("A", "B"), ("B", "A")])
def test_of_two_events_of_one_time_the_one_that_the_server_calls_superseded_loses(old: str, new: str) -> None:
    driver = Driver()
    driver.give(0, program(control(old, 10, 60, {IMP: 5000})))
    marked = control(old, 10, 60, {IMP: 5000}, status=r.EventState.SUPERSEDED)
    driver.give(5, program(marked, control(new, 20, 20, {IMP: 0})))
    driver.run(100)
    assert [(mrid, code) for mrid, code, _ in driver.sent] == [
        (old, 1),
        (new, 1),
        (old, 2),
        (old, 7),
        (new, 2),
        (new, 3),
    ]


def test_an_event_that_was_cancelled_between_two_polls_is_received_and_cancelled_but_never_acted_on() -> None:
    driver = Driver()
    cancelled = program(
        control("A", 10, 20, status=r.EventState.CANCELLED), control("B", -20, 5, status=r.EventState.CANCELLED)
    )
    driver.give(0, cancelled)
    driver.give(5, cancelled)
    driver.run(60)
    assert driver.sent == [("A", 1, 0), ("A", 6, 0)]


def test_the_superseded_is_told_before_the_winners_start() -> None:
    driver = Driver()
    driver.give(0, program(control("A", 10, 30), primacy=2), program(control("B", 20, 30), mrid="D1"))
    driver.run(100)
    assert driver.sent[2:] == [("A", 2, 10), ("A", 7, 20), ("B", 2, 20), ("B", 3, 50)]


def test_a_later_creation_supersedes_an_event_of_the_same_primacy_that_never_started() -> None:
    driver = Driver()
    driver.give(0, program(control("A", 10, 30), control("B", 10, 10, {IMP: 5}, creation_s=T0_S)))
    driver.run(12)
    assert driver.power(IMP) == 5
    driver.run(100)
    assert driver.sent[2:] == [("A", 7, 10), ("B", 2, 10), ("B", 3, 20)]


def test_what_was_superseded_does_not_come_back() -> None:
    driver = Driver()
    driver.give(0, program(control("A", 0, 100), primacy=2), program(control("B", 10, 10, {IMP: 5}), mrid="D1"))
    driver.run(30)
    assert driver.power(IMP) is None
    assert driver.scheduler.events()[0].phase is Phase.SUPERSEDED


def test_supersession_takes_only_the_modes_that_the_winner_carries() -> None:
    driver = Driver()
    driver.give(
        0,
        program(control("A", 0, 60, {IMP: 1, EXP: 2}), primacy=2),
        program(control("B", 10, 20, {IMP: 3}), mrid="D1"),
    )
    driver.run(15)
    assert (driver.power(IMP), driver.power(EXP)) == (3, 2)
    driver.run(100)
    assert [item for item in driver.sent if item[0] == "A"] == [("A", 1, 0), ("A", 2, 0), ("A", 3, 60)]


def test_different_modes_of_two_programs_run_side_by_side() -> None:
    driver = Driver()
    driver.give(0, program(control("A", 0, 60, {EXP: 1}), primacy=2), program(control("B", 0, 60, {IMP: 3}), mrid="D1"))
    driver.run(100)
    assert {code for _, code, _ in driver.sent} == {1, 2, 3}


def test_the_same_event_in_two_programs_is_one_event() -> None:
    driver = Driver()
    twice = control("A", 10, 20)
    driver.give(0, program(twice, primacy=5, mrid="D1"), program(twice, primacy=1))
    driver.run(60)
    assert driver.sent == [("A", 1, 0), ("A", 2, 10), ("A", 3, 30)]
    assert driver.scheduler.events()[0].primacy == 1


def test_an_event_that_is_over_when_first_seen_is_late_and_never_acted_on() -> None:
    driver = Driver()
    driver.give(40, program(control("A", 10, 20)))
    driver.give(45, program(control("A", 10, 20)))
    assert driver.sent == [("A", 254, 40)]


def test_an_event_that_runs_when_first_seen_starts_at_once() -> None:
    driver = Driver()
    driver.give(15, program(control("A", 10, 20)))
    assert driver.sent == [("A", 1, 15), ("A", 2, 15)]
    assert driver.power(IMP) == 1000


@pytest.mark.parametrize(
    ("changes", "code"),
    [({"modes": {IMP: -1}}, 253), ({"duration": 0, "start": 50}, 254), ({"modes": {"opModTargetW": 5}}, 252)],
)
def test_an_event_that_cannot_be_followed_is_rejected(changes: dict[str, Any], code: int) -> None:
    driver = Driver()
    content = {"start": 10, "duration": 20, "modes": {IMP: 1}, **changes}
    driver.give(
        60 if code == 254 else 0, program(control("A", content["start"], content["duration"], content["modes"]))
    )
    driver.run(100)
    assert [status for _, status, _ in driver.sent] == [code]
    assert driver.power(IMP) is None


def test_another_category_of_device_is_not_ours_and_not_answered() -> None:
    driver = Driver()
    driver.give(0, program(control("A", 10, 20, device_category=1 << 4)))
    driver.run(60)
    assert driver.sent == []


@pytest.mark.parametrize(("required", "expected"), [(0, []), (1, [1]), (2, [2, 3]), (3, [1, 2, 3]), (None, [])])
def test_only_the_responses_that_are_required_are_sent(required: int | None, expected: list[int]) -> None:
    driver = Driver()
    driver.give(0, program(control("A", 10, 20, response_required=required)))
    driver.run(60)
    assert [code for _, code, _ in driver.sent] == expected


def test_codes_that_a_utility_does_not_take_are_not_sent() -> None:
    profile = UtilityProfile()
    profile.CopyFrom(STANDARD)
    profile.response_codes[:] = [1, 2, 3, 6, 7]
    driver = Driver(profile=profile)
    driver.give(40, program(control("A", 10, 20)))
    assert driver.sent == []


def test_randomisation_is_drawn_once_and_keeps_its_sign() -> None:
    draws: list[int] = []

    def draw(most: int) -> int:
        draws.append(most)
        return most

    driver = Driver(draw=draw)
    random = control("A", 100, 50, randomize_start_s=-30, randomize_duration_s=10)
    driver.give(0, program(random))
    driver.give(10, program(random))
    driver.run(200)
    assert draws == [30, 10]
    assert driver.sent == [("A", 1, 0), ("A", 2, 70), ("A", 3, 130)]


def test_events_back_to_back_stay_back_to_back_under_randomisation() -> None:
    draws = iter((20, 3, 55))
    driver = Driver(draw=lambda most: next(draws))
    events = [control(name, 120 * index, 120, randomize_start_s=60) for index, name in enumerate("ABC")]
    driver.give(-5, program(*events))
    driver.run(600)
    assert [item for item in driver.sent if item[1] != 1] == [
        ("A", 2, 20),
        ("A", 3, 140),
        ("B", 2, 140),
        ("B", 3, 260),
        ("C", 2, 260),
        ("C", 3, 380),
    ]


def test_a_changed_interval_is_an_update_that_keeps_the_draw() -> None:
    driver = Driver(draw=lambda most: most)
    driver.give(0, program(control("A", 10, 20, randomize_start_s=5)))
    driver.give(2, program(control("A", 40, 10, {IMP: 7}, randomize_start_s=5)))
    driver.run(47)
    assert driver.power(IMP) == 7
    driver.run(100)
    assert driver.sent == [("A", 1, 0), ("A", 2, 45), ("A", 3, 55)]


def test_an_event_that_vanishes_long_before_its_end_is_cancelled() -> None:
    driver = Driver()
    driver.give(0, program(control("A", 10, 200)))
    driver.give(20, program())
    assert driver.sent[-1] == ("A", 6, 20)


def test_an_event_that_vanishes_just_before_its_end_is_completed() -> None:
    driver = Driver()
    driver.give(0, program(control("A", 10, 20)))
    driver.give(25, program())
    driver.run(60)
    assert driver.sent[-1] == ("A", 3, 30)


def test_a_list_that_was_not_fetched_cancels_nothing() -> None:
    driver = Driver()
    driver.give(0, program(control("A", 10, 200), stated=default({IMP: 5000})))
    driver.give(20, program(known=False))
    assert driver.power(IMP) == 1000
    driver.run(300)
    assert driver.sent[-1] == ("A", 3, 210)
    assert driver.power(IMP) == 5000


def test_a_program_that_no_longer_applies_is_dropped_without_a_word_and_comes_back_without_repeating() -> None:
    driver = Driver()
    driver.give(0, program(control("A", 10, 200)), program(mrid="D1"))
    driver.give(20, program(mrid="D1"))
    assert driver.power(IMP) is None
    driver.give(30, program(control("A", 10, 200)))
    assert driver.power(IMP) == 1000
    driver.run(300)
    assert [code for _, code, _ in driver.sent] == [1, 2, 3]


def test_a_default_outlives_its_program_until_another_is_known() -> None:
    driver = Driver()
    driver.give(0, program(stated=default({IMP: 5000})))
    driver.give(10)
    assert driver.power(IMP) == 5000
    driver.give(20, program(mrid="D1", stated=default({EXP: 10})))
    assert (driver.power(IMP), driver.power(EXP)) == (None, 10)


def test_the_default_of_the_higher_priority_rules_mode_by_mode() -> None:
    driver = Driver()
    driver.give(
        0,
        program(primacy=2, stated=default({IMP: 1, EXP: 2})),
        program(primacy=1, mrid="D1", stated=default({IMP: 3})),
    )
    assert (driver.power(IMP), driver.power(EXP), driver.power(GEN)) == (3, 2, None)


def test_the_schedule_runs_on_without_any_further_word_from_the_server() -> None:
    driver = Driver()
    events = [control(name, 120 * index, 120, {IMP: index}) for index, name in enumerate("ABCDE")]
    driver.give(0, program(*events, stated=default({IMP: 0})))
    driver.run(10_000)
    assert [code for _, code, _ in driver.sent].count(3) == 5
    assert driver.power(IMP) == 0


def test_a_restart_in_the_middle_of_an_event_repeats_nothing_and_forgets_nothing() -> None:
    driver = Driver(draw=lambda most: most)
    driver.give(0, program(control("A", 10, 20, randomize_start_s=5), stated=default({IMP: 5000})))
    driver.run(20)
    restarted = Driver()
    restarted.scheduler.restore(driver.scheduler.dump())
    restarted.journal = driver.scheduler.dump()
    restarted.run(22)
    assert restarted.power(IMP) == 1000
    assert [(item.mrid, item.status) for item in restarted.scheduler.owed()] == [("A", 1), ("A", 2)]
    restarted.give(25, program(control("A", 10, 20, randomize_start_s=5), stated=default({IMP: 5000})))
    restarted.run(60)
    assert restarted.sent == [("A", 3, 35)]
    assert restarted.power(IMP) == 5000


def test_an_event_that_passed_while_nobody_was_there_is_late() -> None:
    driver = Driver()
    driver.give(0, program(control("A", 10, 20), control("B", 5, 10, {EXP: 1})))
    driver.run(7)
    restarted = Driver()
    restarted.scheduler.restore(driver.scheduler.dump())
    restarted.journal = driver.scheduler.dump()
    restarted.run(100)
    assert restarted.sent == [("B", 3, 15), ("A", 254, 100)]


def test_a_response_is_owed_until_the_server_has_taken_it() -> None:
    scheduler = Scheduler(no_draw)
    scheduler.handle(known(program(control("A", 10, 20))), at(0))
    before = scheduler.revision
    scheduler.handle(ResponseTaken(mrid="A", status=1), at(1))
    assert scheduler.owed() == ()
    assert scheduler.revision > before


# -- gaps, joins, and content that changes --------------------------------------------------------------------------


@pytest.mark.parametrize(("gap", "held"), [(1, True), (5, True), (6, False)])
def test_a_gap_of_seconds_between_two_events_does_not_dip_to_the_default(gap: int, held: bool) -> None:
    driver = Driver()
    driver.give(0, program(control("A", 10, 20), control("B", 30 + gap, 20, {IMP: 7}), stated=default({IMP: 0})))
    driver.run(30.5)
    ruling = driver.scheduler.ruling()[IMP]
    assert (driver.power(IMP), ruling.is_bridge, ruling.is_default) == (1000 if held else 0, held, not held)
    driver.run(30 + gap)
    assert driver.power(IMP) == 7


def test_what_was_cancelled_is_not_held_over_a_gap() -> None:
    driver = Driver()
    second = control("B", 22, 20, {IMP: 7})
    driver.give(0, program(control("A", 10, 30), second, stated=default({IMP: 0})))
    driver.give(20, program(control("A", 10, 30, status=r.EventState.CANCELLED), second, stated=default({IMP: 0})))
    assert driver.power(IMP) == 0


def test_no_bridge_is_made_to_an_event_that_was_cancelled() -> None:
    driver = Driver()
    first = control("A", 10, 20)
    driver.give(0, program(first, control("B", 33, 20), stated=default({IMP: 0})))
    driver.give(29, program(first, control("B", 33, 20, status=r.EventState.CANCELLED), stated=default({IMP: 0})))
    driver.run(31)
    assert driver.power(IMP) == 0


def test_events_of_two_programs_that_follow_each_other_are_joined_too() -> None:
    draws = iter((9, 0, 4))
    driver = Driver(draw=lambda most: next(draws))
    driver.give(
        0,
        program(control("A", 20, 60, randomize_start_s=9)),
        program(control("B", 80, 60, randomize_start_s=9, randomize_duration_s=9), mrid="D1", primacy=2),
    )
    driver.run(300)
    assert [item for item in driver.sent if item[1] != 1] == [("A", 2, 29), ("A", 3, 89), ("B", 2, 89), ("B", 3, 153)]


def test_an_event_whose_predecessor_is_called_off_goes_back_to_its_own_draw() -> None:
    draws = iter((9, 2))
    driver = Driver(draw=lambda most: next(draws))
    first, second = (control(name, start, 60, randomize_start_s=9) for name, start in (("A", 20), ("B", 80)))
    driver.give(0, program(first, second))
    cancelled = control("A", 20, 60, randomize_start_s=9, status=r.EventState.CANCELLED)
    driver.give(5, program(cancelled, second))
    driver.run(300)
    assert [item for item in driver.sent if item[0] == "B"] == [("B", 1, 0), ("B", 2, 82), ("B", 3, 142)]


def test_an_event_joined_to_one_that_was_superseded_before_it_began_does_not_begin_before_its_time() -> None:
    driver = Driver(lambda most: most)
    early = control("A", 100, 100, randomize_start_s=-50)
    cancelled = control("A", 100, 100, randomize_start_s=-50, status=r.EventState.CANCELLED)
    last = control("D", 260, 60)
    low = program(control("B", 200, 60), primacy=9, mrid="P9")
    middle = program(control("C", 20, 400), primacy=5, mrid="P5")
    driver.give(0, program(early, last), middle, low)
    driver.give(60, program(cancelled, last), middle, low)
    driver.run(400)
    assert ("B", 7, 20) in driver.sent, "superseded before it began"
    assert ("D", 2, 260) in driver.sent, "A would have drawn B, and B would have drawn D, 50 s too early"


def test_a_running_event_that_is_moved_to_later_waits_again_and_is_not_started_twice() -> None:
    driver = Driver()
    driver.give(0, program(control("A", 10, 20)))
    driver.give(15, program(control("A", 40, 20)))
    assert driver.power(IMP) is None
    driver.run(45)
    assert driver.power(IMP) == 1000
    driver.run(100)
    assert driver.sent == [("A", 1, 0), ("A", 2, 10), ("A", 3, 60)]


def test_a_running_event_that_is_made_longer_ends_later() -> None:
    driver = Driver()
    driver.give(0, program(control("A", 10, 20)))
    driver.give(15, program(control("A", 10, 50, {IMP: 4})))
    driver.run(55)
    assert driver.power(IMP) == 4
    driver.run(100)
    assert driver.sent[-1] == ("A", 3, 60)


def test_an_update_that_is_invalid_changes_nothing() -> None:
    driver = Driver()
    driver.give(0, program(control("A", 10, 20)))
    driver.give(15, program(control("A", 10, 50, {IMP: -4})))
    driver.run(16)
    assert driver.power(IMP) == 1000
    driver.run(100)
    assert driver.sent[-1] == ("A", 3, 30)


def test_an_update_that_leaves_only_lost_modes_supersedes_the_event() -> None:
    driver = Driver()
    better = program(control("B", 10, 50, {IMP: 1}), mrid="D1", primacy=0)
    driver.give(0, better, program(control("A", 10, 50, {IMP: 2, EXP: 2})))
    driver.give(20, better, program(control("A", 10, 50, {IMP: 2})))
    assert driver.sent[-1] == ("A", 7, 20)


def test_the_superseded_are_told_when_the_winner_starts_even_before_their_own_start() -> None:
    driver = Driver()
    driver.give(0, program(control("B", 10, 40), primacy=1), program(control("A", 30, 40), mrid="D1", primacy=2))
    driver.run(100)
    assert driver.sent[2:] == [("A", 7, 10), ("B", 2, 10), ("B", 3, 50)]


def test_a_clock_that_is_set_back_does_not_end_what_has_begun() -> None:
    driver = Driver()
    driver.give(0, program(control("A", 10, 20)))
    driver.run(11)
    earlier = Now(mono_ms=at(12).mono_ms, utc_ms=at(5).utc_ms)
    assert driver.scheduler.handle(Tick(), earlier) == []
    assert IMP in driver.scheduler.ruling()


def test_a_default_below_zero_is_the_strictest_limit_there_is() -> None:
    driver = Driver(acts_on=(IMP, "opModTargetW"))
    driver.give(0, program(stated=default({IMP: -5, "opModTargetW": -5})))
    assert (driver.power(IMP), driver.power("opModTargetW")) == (0, -5)


def test_the_bridge_is_part_of_the_timeline_that_was_foreseen() -> None:
    driver = Driver()
    driver.give(0, program(control("A", 10, 20), control("B", 33, 20, {IMP: 7}), stated=default({IMP: 0})))
    rows = [(row.start_ms - at(0).utc_ms, row.value.power_w) for row in driver.scheduler.timeline(IMP)]
    assert rows == [(0, 0), (10_000, 1000), (30_000, 1000), (33_000, 7), (53_000, 0)]
