"""What limits a quantity now and next: the tightest of every mode and the agreement, at each moment."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

from der_events import GEN, IMP, Driver, at, control, default, program
from hypothesis import given
from hypothesis import strategies as st

from dgm.der.envelope import bound_w
from dgm.der.resource import ControlMode
from dgm.der.schedule import ControlSegment, Segment
from dgm.der.steps import Origin, Step, merged, steps

SWITCH = "opModEnergize"
MAX_W = 100


def taken(driver: Driver, second: float, *modes: str, agreement_w: int | None = None) -> tuple[Step, ...]:
    driver.run(second)
    return steps(
        lambda mode, most: driver.scheduler.timeline(mode, most=most),
        modes,
        at(second).utc_ms,
        max_w=MAX_W,
        agreement_w=agreement_w,
    )


def seconds(found: Sequence[Step]) -> list[tuple[int | None, float, float | None, Origin]]:
    zero = at(0).utc_ms
    return [
        (
            step.power_w,
            (step.start_ms - zero) / 1000,
            None if step.end_ms is None else (step.end_ms - zero) / 1000,
            step.origin,
        )
        for step in found
    ]


def test_an_event_over_a_default_says_when_it_ends_and_that_the_default_comes_next() -> None:
    driver = Driver()
    driver.give(0, program(control("AA", 10, 20), stated=default({IMP: 5000})))
    assert seconds(taken(driver, 15, IMP)) == [(1000, 15, 30, Origin.EVENT), (5000, 30, None, Origin.DEFAULT)]
    assert seconds(taken(driver, 31, IMP)) == [(5000, 31, None, Origin.DEFAULT)]


def test_an_event_that_is_still_to_come_is_the_next_step_of_nothing() -> None:
    driver = Driver()
    driver.give(0, program(control("AA", 10, 20)))
    assert seconds(taken(driver, 5, IMP)) == [(None, 5, 10, Origin.NONE), (1000, 10, 30, Origin.EVENT)]
    assert seconds(taken(driver, 15, IMP))[1] == (None, 30, None, Origin.NONE)


def test_the_agreement_holds_where_the_utility_asks_for_less() -> None:
    driver = Driver()
    driver.give(0, program(control("AA", 10, 20, {IMP: 700}), stated=default({IMP: 5000})))
    found = taken(driver, 15, IMP, agreement_w=900)
    assert seconds(found) == [(700, 15, 30, Origin.EVENT), (900, 30, None, Origin.AGREEMENT)]


def test_a_switch_is_a_limit_of_zero_on_what_comes_out() -> None:
    driver = Driver(acts_on=(GEN, SWITCH))
    off = control("BB", 20, 10)
    off = replace(off, base=replace(off.base, modes=(ControlMode(name=SWITCH, on=False),)))
    driver.give(0, program(control("AA", 10, 40, {GEN: 500}), off))
    found = taken(driver, 15, GEN, SWITCH)
    assert seconds(found) == [(500, 15, 20, Origin.EVENT), (0, 20, 30, Origin.EVENT)]
    assert [(step.mode, step.mrid) for step in found] == [(GEN, "AA"), (SWITCH, "BB")]


def test_many_events_that_give_way_to_the_agreement_hide_no_next_step() -> None:
    driver = Driver()
    slack = [control(f"A{number}", 10 + 5 * number, 5, {IMP: 9000}) for number in range(50)]
    driver.give(0, program(*slack, control("FF", 400, 10, {IMP: 100})))
    found = taken(driver, 12, IMP, agreement_w=1000)
    assert seconds(found) == [(1000, 12, 400, Origin.AGREEMENT), (100, 400, 410, Origin.EVENT)]


def row(mode: str, start: int, length: int | None, power_w: int, *, is_default: bool) -> ControlSegment:
    return Segment(
        lane=mode,
        value=ControlMode(name=mode, power_w=power_w),
        mrid=f"{mode}{start}",
        start_ms=start,
        end_ms=None if length is None else start + length,
        began_ms=start,
        is_default=is_default,
    )


rows = st.lists(
    st.builds(
        row,
        st.sampled_from((IMP, "opModLoadLimW")),
        st.integers(0, 30),
        st.none() | st.integers(1, 20),
        st.integers(0, 5),
        is_default=st.booleans(),
    ),
    max_size=8,
)


@given(rows, st.integers(0, 40), st.none() | st.integers(0, 5))
def test_at_every_moment_it_is_the_tightest_of_what_holds(
    found: list[ControlSegment], now: int, agreement_w: int | None
) -> None:
    every = merged({"any": found}, now, max_w=MAX_W, agreement_w=agreement_w)
    assert every[0].start_ms == now
    assert every[-1].end_ms is None
    assert all(one.end_ms == other.start_ms and not one.is_like(other) for one, other in pairwise(every))
    for moment in range(now, 60):
        held = [item for item in found if item.start_ms <= moment and (item.end_ms is None or moment < item.end_ms)]
        powers = [power for item in held if (power := bound_w(item.value, MAX_W)) is not None]
        powers += [] if agreement_w is None else [agreement_w]
        (step,) = [item for item in every if item.start_ms <= moment and (item.end_ms is None or moment < item.end_ms)]
        assert step.power_w == min(powers, default=None)


spans = st.lists(st.tuples(st.integers(0, 3), st.integers(1, 5), st.integers(0, 3)), max_size=60)


def in_order(mode: str, found: list[tuple[int, int, int]]) -> list[ControlSegment]:
    """Rows one behind the other: gap, length, W. What has the same W is one control."""
    rows, at_ms = [], 0
    for gap, length, power_w in found:
        rows.append(replace(row(mode, at_ms + gap, length, power_w, is_default=False), mrid=f"{mode}{power_w}"))
        at_ms += gap + length
    return rows


@given(spans, spans, st.integers(0, 60), st.none() | st.integers(0, 4))
def test_looking_ahead_only_as_far_as_needed_finds_the_same_steps(
    one: list[tuple[int, int, int]], other: list[tuple[int, int, int]], now: int, agreement_w: int | None
) -> None:
    every = {IMP: in_order(IMP, one), GEN: in_order(GEN, other)}
    ahead = {
        mode: [item for item in found if item.end_ms is None or item.end_ms > now] for mode, found in every.items()
    }
    found = steps(lambda mode, most: ahead[mode][:most], (IMP, GEN), now, max_w=MAX_W, agreement_w=agreement_w)
    assert found == merged(ahead, now, max_w=MAX_W, agreement_w=agreement_w)[:2]
