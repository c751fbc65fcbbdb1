"""The event engine: response vectors, rules one by one, and a brute-force oracle over generated schedules."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dgm.der import resource as r
from dgm.der.schedule import Phase
from dgm.der.scheduler import ProgramsKnown, Respond, ResponseTaken, Scheduler
from dgm.machine import Now, Tick

IMP, EXP, GEN = "opModImpLimW", "opModExpLimW", "opModGenLimW"
T0_S = 1_700_000_000


def at(second: float) -> Now:
    """An instant this many seconds after T0 on both clocks."""
    return Now(mono_ms=round(second * 1000) + 5_000_000, utc_ms=T0_S * 1000 + round(second * 1000))


def control(mrid: str, start: int, duration: int, modes: dict[str, int] | None = None, **changes: Any) -> r.DERControl:
    status = changes.pop("status", r.EventState.SCHEDULED)
    base = r.ControlBase(
        modes=tuple(r.ControlMode(name=name, power_w=power_w) for name, power_w in (modes or {IMP: 1000}).items())
    )
    content: dict[str, Any] = {
        "mrid": mrid,
        "reply_to": "/rsp",
        "response_required": 3,
        "creation_s": T0_S - 100,
        "status": r.EventStatus(current=status, changed_s=T0_S),
        "interval": r.Interval(start_s=T0_S + start, duration_s=duration),
        "base": base,
        **changes,
    }
    return r.DERControl(**content)


def default(modes: dict[str, int], **changes: Any) -> r.DefaultDERControl:
    base = r.ControlBase(modes=tuple(r.ControlMode(name=name, power_w=power_w) for name, power_w in modes.items()))
    return r.DefaultDERControl(mrid="DEFA", base=base, **changes)


def program(
    *controls: r.DERControl,
    primacy: int = 1,
    mrid: str = "D0",
    stated: r.DefaultDERControl | None = None,
    known: bool = True,
) -> r.AssignedProgram:
    return r.AssignedProgram(
        mrid=mrid, primacy=primacy, controls=controls if known else None, default=stated, default_known=known
    )


def known(*programs: r.AssignedProgram) -> ProgramsKnown:
    return ProgramsKnown(programs=programs)


def no_draw(most: int) -> int:
    return 0


class Driver:
    """Drives a scheduler as the shell would: events when they come, a Tick exactly at each wake time."""

    def __init__(self, draw: Callable[[int], int] = no_draw, **options: Any) -> None:
        self.scheduler = Scheduler(draw, **options)
        self.sent: list[tuple[str, int, int]] = []
        self._now = at(-50)
        self._dumps: dict[int, bytes] = {}

    def give(self, second: float, *programs: r.AssignedProgram) -> None:
        self.run(second)
        self._note(self.scheduler.handle(known(*programs), at(second)))

    def run(self, second: float) -> None:
        """Let time pass up to a second, through every wake time before it."""
        while (wake := self.scheduler.wake_time()) is not None and wake <= at(second).mono_ms:
            assert wake > self._now.mono_ms, "a wake time that does not move on would be a busy loop"
            self._now = Now(mono_ms=wake, utc_ms=wake - at(0).mono_ms + at(0).utc_ms)
            self._note(self.scheduler.handle(Tick(), self._now))
        self._now = at(second)
        self._note(self.scheduler.handle(Tick(), self._now))

    def _note(self, responds: Sequence[Respond]) -> None:
        self.sent += [(item.mrid, item.status, item.created_s - T0_S) for item in responds]
        dump = self.scheduler.dump()
        assert self._dumps.setdefault(self.scheduler.revision, dump) == dump, "a change must show in the revision"

    def power(self, name: str) -> int | None:
        rows = self.scheduler.timeline(name)
        ruling = rows[0] if rows and rows[0].start_ms <= self._now.utc_ms else None
        return None if ruling is None else ruling.mode.power_w


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


def test_an_event_that_was_cancelled_before_we_saw_it_is_not_answered() -> None:
    driver = Driver()
    driver.give(0, program(control("A", 10, 20, status=r.EventState.CANCELLED)))
    driver.run(60)
    assert driver.sent == []


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
    driver = Driver(allowed=frozenset({1, 2, 3, 6, 7}))
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
    restarted.run(100)
    assert restarted.sent == [("B", 3, 15), ("A", 254, 100)]


def test_a_response_is_owed_until_the_server_has_taken_it() -> None:
    scheduler = Scheduler(no_draw)
    scheduler.handle(known(program(control("A", 10, 20))), at(0))
    before = scheduler.revision
    scheduler.handle(ResponseTaken(mrid="A", status=1), at(1))
    assert scheduler.owed() == ()
    assert scheduler.revision > before


@pytest.mark.parametrize("stored", [b"", b"{}", b"[]", b'{"format":2}', b'{"format":1,"events":[{}]}', b"\xff"])
def test_a_damaged_store_is_refused_as_a_whole(stored: bytes) -> None:
    scheduler = Scheduler(no_draw)
    with pytest.raises(ValueError, match=r"stored schedule is damaged|expected 1"):
        scheduler.restore(stored)
    assert scheduler.events() == ()


# -- the oracle: every second, every mode, by the rule alone --------------------------------------------------------


def oracle(events: Sequence[tuple[str, int, r.DERControl]], seconds: range) -> tuple[dict[Any, Any], set[Any]]:
    """What rules each mode in each second, and every response but 1: (mrid, code, second)."""
    lost: dict[str, set[str]] = {control.mrid: set() for _, _, control in events}
    started: set[str] = set()
    rules: dict[Any, Any] = {}
    told: set[Any] = set()
    for second in seconds:
        covering = []
        for _, primacy, item in events:
            start = item.interval.start_s - T0_S
            end = start + item.interval.duration_s
            names = {mode.name for mode in item.base.modes}
            if second == end and lost[item.mrid] != names:
                told.add((item.mrid, 3, second))
            if start <= second < end:
                covering.append(((primacy, -item.creation_s, item.mrid), item, names))
        covering.sort(key=lambda entry: entry[0])
        for name in (IMP, EXP, GEN):
            able = [item for _, item, names in covering if name in names and name not in lost[item.mrid]]
            for loser in able[1:]:
                lost[loser.mrid].add(name)
                if lost[loser.mrid] == {mode.name for mode in loser.base.modes}:
                    told.add((loser.mrid, 7, second))
            rules[name, second] = able[0].mrid if able else None
        for _, item, names in covering:
            if item.mrid not in started and lost[item.mrid] != names:
                started.add(item.mrid)
                told.add((item.mrid, 2, second))
    return rules, told


@st.composite
def schedules(draw: st.DrawFn) -> list[tuple[str, int, r.DERControl]]:
    count = draw(st.integers(1, 6))
    modes = st.sets(st.sampled_from((IMP, EXP, GEN)), min_size=1)
    events = []
    for index in range(count):
        primacy = draw(st.integers(1, 3))
        event = control(
            f"{index:02X}",
            draw(st.integers(1, 12)),
            draw(st.integers(1, 10)),
            {name: index for name in sorted(draw(modes))},
            creation_s=T0_S - draw(st.integers(1, 3)),
        )
        events.append((f"D{primacy}", primacy, event))
    return events


def programs_of(events: Sequence[tuple[str, int, r.DERControl]]) -> list[r.AssignedProgram]:
    return [
        program(*(item for name, _, item in events if name == f"D{primacy}"), primacy=primacy, mrid=f"D{primacy}")
        for primacy in (1, 2, 3)
    ]


@settings(max_examples=100, deadline=None)
@given(schedules(), st.integers(1, 4))
def test_the_engine_agrees_with_the_oracle_in_every_second(events: list[Any], step: int) -> None:
    rules, told = oracle(events, range(30))
    driver = Driver()
    driver.give(0, *programs_of(events))
    foreseen = {name: driver.scheduler.timeline(name) for name in (IMP, EXP, GEN)}
    for second in range(0, 30, step):
        driver.run(second)
        for name in (IMP, EXP, GEN):
            rows = driver.scheduler.timeline(name)
            ruling = rows[0].mrid if rows and rows[0].start_ms <= at(second).utc_ms else None
            assert ruling == rules[name, second]
            assert rules[name, second] == next(
                (row.mrid for row in foreseen[name] if row.start_ms <= at(second).utc_ms < (row.end_ms or 2**63)), None
            ), "what was foreseen at the beginning is what happened"
    driver.run(30)
    assert {item for item in driver.sent if item[1] != 1} == {item for item in told if item[2] <= 30}
    assert len(driver.sent) == len(set(driver.sent)), "no response is sent twice"


@settings(max_examples=50, deadline=None)
@given(schedules(), st.lists(st.integers(1, 25), max_size=3, unique=True))
def test_restarts_between_any_two_events_change_no_response(events: list[Any], restarts: list[int]) -> None:
    plain, broken = Driver(), Driver()
    for driver in (plain, broken):
        driver.give(0, *programs_of(events))
    for second in sorted(restarts):
        broken.run(second)
        stored = broken.scheduler.dump()
        broken.scheduler = Scheduler(no_draw)
        broken._dumps.clear()
        broken.scheduler.restore(stored)
        broken.run(second)
    plain.run(40)
    broken.run(40)
    assert broken.sent == plain.sent
