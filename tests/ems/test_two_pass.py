"""Two passes: groups ask for what cannot wait first; inside a group laxity after the step is made equal."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dgm.ems.policies.two_pass import Ask, Session, ask, critical_intensity, decide, equal_laxity

STEP_S = 300.0


def car(*, amp_hours: float, hours: float, group: int = 0, rate_a: float = 32.0) -> Session:
    return Session(group=group, charge_mas=amp_hours * 3.6e6, left_s=hours * 3_600, rate_max_ma=int(rate_a * 1_000))


def test_the_departure_that_needs_most_sets_the_intensity() -> None:
    cars = [car(amp_hours=10, hours=8), car(amp_hours=20, hours=2), car(amp_hours=4, hours=3)]
    assert critical_intensity(cars) == pytest.approx(10_000), "20 Ah by 2 h; 24 Ah by 3 h and 34 Ah by 8 h need less"


def test_an_ask_is_what_cannot_wait_and_the_rest_of_what_the_cars_can_take() -> None:
    assert ask([car(amp_hours=32, hours=4)], STEP_S) == Ask(urgent_ma=8_000, more_ma=24_000)
    assert ask([car(amp_hours=32, hours=0.5)], STEP_S) == Ask(urgent_ma=32_000, more_ma=0)
    assert ask([], STEP_S) == Ask(urgent_ma=0, more_ma=0)


def test_the_car_that_can_wait_least_gets_the_scarce_current() -> None:
    tight, loose = car(amp_hours=32, hours=1), car(amp_hours=32, hours=9)
    assert equal_laxity([loose, tight], 20_000, STEP_S) == [0, 20_000]


def test_equal_cars_share_alike() -> None:
    assert equal_laxity([car(amp_hours=10, hours=3)] * 4, 20_000, STEP_S) == [5_000] * 4


def test_each_group_gets_what_the_trunk_granted_it() -> None:
    cars = [
        car(amp_hours=10, hours=3, group=1),
        car(amp_hours=10, hours=3, group=0),
        car(amp_hours=10, hours=3, group=1),
    ]
    seen: list[Ask] = []

    def share(asks: Sequence[Ask]) -> list[int]:
        seen.extend(asks)
        return [7_000, 9_000, 0]

    assert decide(cars, 3, share, STEP_S) == [4_500, 7_000, 4_500]
    assert seen[2] == Ask(urgent_ma=0, more_ma=0)


cars = st.builds(
    car,
    amp_hours=st.floats(0.001, 200),
    hours=st.floats(0.01, 48),
    rate_a=st.floats(6, 80),
)


@given(st.lists(cars, min_size=1, max_size=12), st.integers(0, 400_000))
def test_the_caps_use_up_the_amount_and_no_car_gets_more_than_it_can_use(some: list[Session], amount_ma: int) -> None:
    caps_ma = equal_laxity(some, amount_ma, STEP_S)
    useful_ma = [min(one.rate_max_ma, one.charge_mas / STEP_S) for one in some]
    assert all(0 <= cap_ma <= most_ma for cap_ma, most_ma in zip(caps_ma, useful_ma, strict=True))
    assert sum(caps_ma) <= amount_ma + 1
    assert sum(caps_ma) >= min(amount_ma, sum(useful_ma)) - len(some) - 1


@given(st.lists(cars, min_size=2, max_size=8), st.integers(1_000, 100_000))
def test_who_could_wait_longer_after_the_step_gets_nothing_while_another_is_short(
    some: list[Session], amount_ma: int
) -> None:
    caps_ma = equal_laxity(some, amount_ma, STEP_S)

    def laxity_after(one: Session, cap_ma: float) -> float:
        return one.left_s - (one.charge_mas - cap_ma * STEP_S) / one.rate_max_ma

    for one, cap_ma in zip(some, caps_ma, strict=True):
        if cap_ma + 1 >= min(one.rate_max_ma, one.charge_mas / STEP_S):
            continue
        for other, other_ma in zip(some, caps_ma, strict=True):
            if other_ma > 1:
                assert laxity_after(other, other_ma) <= laxity_after(one, cap_ma) + 1.0
