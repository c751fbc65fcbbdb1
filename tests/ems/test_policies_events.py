"""Demand response: in time into an event, by the baseline, and no rebound."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from policy_examples import Run, picture

from dgm.api.ems.v1.ems_pb2 import Quantity
from dgm.ems.history import QUARTER_MS, History
from dgm.ems.policies.demand_response import Params, baseline
from dgm.ems.snapshot import LimitView, Snapshot

DAY_MS = 86_400_000
WEDNESDAY = 1_767_744_000_000
"""2026-01-07 00:00 UTC."""
START = WEDNESDAY + 16 * 3_600_000
END = START + 2 * 3_600_000


def event(now_ms: int, bound: int = 270_000, **more: Any) -> list[LimitView]:
    """The event as the book shows it then."""
    fields: dict[str, Any] = {
        "id": "dr",
        "source": "utility:der",
        "circuit_index": 0,
        "asset_index": None,
        "quantity": Quantity.QUANTITY_NET_IMPORT,
        "bound": bound,
        "start_utc_ms": START,
        "end_utc_ms": END,
        "is_pending": now_ms < START,
    }
    return [LimitView(**(fields | more))] if now_ms < END else []


def days(value: dict[int, int], first: int = 1, last: int = 30) -> History:
    """Every quarter of the afternoon before, so many W on each day back."""
    means = {}
    for back in range(first, last + 1):
        for number in range(64, 96):
            means[WEDNESDAY - back * DAY_MS + number * QUARTER_MS] = value.get(back, 400_000)
    return History(means_w=means)


def at_utc(utc_ms: int, **more: Any) -> Snapshot:
    return picture(utc_ms - WEDNESDAY, utc_ms=utc_ms, **more)


def caps(run: Run, utc_ms: int, **more: Any) -> dict[str, int]:
    targets = run(at_utc(utc_ms, **({"limits": event(utc_ms)} | more)))
    return {cap.key: cap.bound for cap in targets.circuit_caps}


def test_before_an_event_the_import_comes_down_to_it_in_half_of_the_lead() -> None:
    found = [caps(Run("demand_response"), START - left * 1000, net_w=420_000) for left in (61, 60, 45, 30, 5)]
    assert found == [
        {},
        {"before:dr": 345_000},
        {"before:dr": 307_500},
        {"before:dr": 270_000},
        {"before:dr": 270_000},
    ]


def test_a_site_that_draws_less_than_the_event_allows_is_left_alone_before_it() -> None:
    assert not caps(Run("demand_response"), START - 5000, net_w=200_000)
    assert not caps(Run("demand_response"), START - 5000, net_w=None)


def test_during_an_event_its_own_limit_binds_and_the_policy_adds_nothing() -> None:
    assert not caps(Run("demand_response"), START + 1000, net_w=270_000)


def test_after_an_event_there_is_no_rebound_for_two_hours() -> None:
    run, history = Run("demand_response"), days({})
    assert not caps(run, END - 1000, history=history)
    assert caps(run, END + 1000, history=history) == {"rebound": 420_000}
    assert caps(run, END + 7_199_000, history=history) == {"rebound": 420_000}
    assert not caps(run, END + 7_202_000, history=history)


def test_an_event_that_is_withdrawn_is_over_at_once() -> None:
    run, history = Run("demand_response"), days({})
    caps(run, START + 1000, history=history)
    assert caps(run, START + 2000, history=history, limits=[]) == {"rebound": 420_000}


def test_without_history_the_hour_before_is_the_baseline() -> None:
    before = History(means_w={START - number * QUARTER_MS: 300_000 for number in range(1, 5)})
    run = Run("demand_response")
    caps(run, START + 1000, history=before)
    assert caps(run, END + 1000, history=before) == {"rebound": 315_000}
    assert not caps(Run("demand_response"), END + 1000)


def test_an_event_by_hand_takes_so_much_off_the_baseline() -> None:
    run = Run("demand_response", shed="2026-01-07 16:00-18:00 150000")
    assert caps(run, START, history=days({}), limits=[]) == {"shed:0": 250_000}
    assert caps(run, END, history=days({}), limits=[]) == {"rebound": 420_000}


@pytest.mark.parametrize(
    "more",
    [
        {"source": "cpo:a"},
        {"end_utc_ms": None},
        {"end_utc_ms": START + 25 * 3_600_000},
        {"quantity": Quantity.QUANTITY_NET_EXPORT},
    ],
)
def test_what_is_no_event_of_the_programme_is_left_alone(more: dict[str, Any]) -> None:
    run = Run("demand_response")
    assert not caps(run, START + 1000, limits=event(START + 1000, **more))
    assert not caps(run, END + 1000, limits=[], history=days({}))


def base(history: History, event_days: frozenset[int] = frozenset(), **given: int) -> int | None:
    return baseline(at_utc(START, history=history), Params(**given), event_days, START, None)


def test_the_baseline_is_the_mean_of_the_days_of_its_kind() -> None:
    # Back from a Wednesday: 3 and 4 days ago are Sunday and Saturday.
    assert base(days({3: 0, 4: 0}), days=5, highest=5) == 400_000
    assert base(days({1: 100_000}), days=4, highest=4) == 325_000


def test_of_the_last_days_only_the_highest_count_where_the_programme_says_so() -> None:
    loud = days({1: 500_000, 2: 100_000, 5: 300_000, 6: 100_000})
    assert base(loud, days=4, highest=2) == 400_000


def test_days_with_an_event_do_not_count() -> None:
    today = WEDNESDAY // DAY_MS
    assert base(days({1: 0}), frozenset({today - 1}), days=3, highest=3) == 400_000


@given(st.lists(st.integers(0, 1_000_000), min_size=20, max_size=20), st.integers(1, 10), st.integers(1, 10))
def test_a_baseline_lies_between_the_least_and_the_most_that_it_counts(
    values: list[int], wanted: int, highest: int
) -> None:
    history = days(dict(enumerate(values, 1)), last=20)
    found = base(history, days=max(wanted, highest), highest=highest)
    assert found is not None
    assert min(values) <= found <= max(values)
