"""Demand response: in time into an event, by the baseline, and no rebound."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from policy_examples import Run, evse, picture

from dgm.api.ems.v1.ems_pb2 import Quantity
from dgm.ems.history import QUARTER_MS, History
from dgm.ems.policies.demand_response import Params, baseline
from dgm.ems.snapshot import ApiTarget, LimitView, Snapshot

DAY_MS = 86_400_000
WEDNESDAY = 1_767_744_000_000
"""2026-01-07 00:00 UTC."""
START = WEDNESDAY + 16 * 3_600_000
END = START + 2 * 3_600_000


def event(now_ms: int, **more: Any) -> list[LimitView]:
    """The event as the book shows it then."""
    fields: dict[str, Any] = {
        "id": "dr",
        "source": "utility:der",
        "circuit_index": 0,
        "asset_index": None,
        "quantity": Quantity.QUANTITY_NET_IMPORT,
        "bound": 270_000,
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


def test_a_default_that_follows_under_the_same_id_ends_the_event() -> None:
    run, history = Run("demand_response"), days({})
    control = event(START + 1000, id="utility:opModImpLimW", failsafe=400_000, reason="DERControl A")
    assert not caps(run, START + 1000, history=history, limits=control)
    default = event(
        START + 1000, id="utility:opModImpLimW", bound=400_000, failsafe=400_000, reason="DefaultDERControl"
    )
    assert caps(run, START + 600_000, history=history, limits=default) == {"rebound": 420_000}


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
        {"id": "utility:flowReservation"},
        {"circuit_index": 1},
        {"end_utc_ms": None},
        {"end_utc_ms": START + 25 * 3_600_000},
        {"quantity": Quantity.QUANTITY_NET_EXPORT},
        {"failsafe": 270_000},
        {"bound": 10**9, "failsafe": 400_000},
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


QUANTITIES = [
    (Quantity.QUANTITY_NET_IMPORT, {"net_w": 420_000}),
    (Quantity.QUANTITY_NET_EXPORT, {"net_w": -420_000}),
    (Quantity.QUANTITY_GROSS_LOAD, {"evses": [evse(1, power_w=400_000)], "battery": (20_000, 500)}),
    (Quantity.QUANTITY_GROSS_GENERATION, {"solar_w": 400_000, "battery": (-20_000, 500)}),
    (Quantity.QUANTITY_DER_OUTPUT, {"solar_w": 400_000, "battery": (-20_000, 500)}),
]


@pytest.mark.parametrize(("quantity", "seen"), QUANTITIES)
def test_every_quantity_is_met_when_its_event_begins(quantity: Quantity, seen: dict[str, Any]) -> None:
    early = START - 30_000
    targets = Run("demand_response")(at_utc(early, limits=event(early, quantity=quantity), **seen))
    assert [(cap.quantity, cap.bound) for cap in targets.circuit_caps] == [(quantity, 270_000)]


def test_load_has_a_rebound_after_its_event_and_generation_has_none() -> None:
    run = Run("demand_response")
    seen = {"evses": [evse(1, power_w=400_000)], "battery": (20_000, 500)}
    for back in range(20, 0, -1):
        caps(run, START - back * 60_000, limits=[], **seen)
    load = event(START + 1000, quantity=Quantity.QUANTITY_GROSS_LOAD)
    assert not caps(run, START + 1000, limits=load, battery=(0, 500))
    [cap] = run(at_utc(END + 1000, limits=[], battery=(0, 500))).circuit_caps
    assert (cap.quantity, cap.bound) == (Quantity.QUANTITY_GROSS_LOAD, 441_000)
    gave = Run("demand_response")
    caps(gave, START + 1000, limits=event(START + 1000, quantity=Quantity.QUANTITY_GROSS_GENERATION))
    assert not caps(gave, END + 1000, limits=[], history=days({}))


def test_a_shed_is_held_exactly_by_the_batteries_where_asked() -> None:
    run = Run("demand_response", shed="2026-01-07 16:00-18:00 150000", baseline_w="420000", exact="true")
    more = run(at_utc(START, limits=[], net_w=275_000, battery=(-5_000, 500)))
    assert [(want.value, want.why) for want in more.wants] == [(-10_000, "holds the import at 270000 W")]
    assert more.circuit_caps[0].bound == 270_000
    less = run(at_utc(START + 1000, limits=[], net_w=262_000, battery=(0, 500)))
    assert [want.value for want in less.wants] == [8_000]
    assert not run(at_utc(START + 2000, limits=[], net_w=None)).wants


def test_what_batteries_give_for_a_utility_is_not_drawn_by_the_evs() -> None:
    run, history = Run("demand_response"), days({})
    battery = next(asset.index for asset in at_utc(START).topology.assets if asset.id == "b1")
    calm = {"limits": [], "history": history, "solar_w": 60_000}
    caps(run, START - 60_000, **calm)
    target = {battery: ApiTarget(id="t", source="utility:der", value=-15_000, end_mono_ms=10**12)}
    assert caps(run, START, targets=target, **calm) == {"targets": 385_000}
    mine = {battery: ApiTarget(id="t", source="api:me", value=-15_000, end_mono_ms=10**12)}
    assert not caps(Run("demand_response"), START, targets=mine, **calm)
    assert caps(run, START + 7_200_000, **calm) == {"rebound": 420_000}


def test_plans_are_told_of_an_event_by_hand_before_it_comes_and_of_the_end_of_each_cap() -> None:
    run, early = Run("demand_response", shed="2026-01-07 16:00-18:00 150000", baseline_w="400000"), START - 3_600_000
    (cap,) = run(at_utc(early, limits=[])).circuit_caps
    assert [(begin, bound) for begin, _, bound in cap.outlook(early)] == [
        (early, cap.bound),
        (START, 250_000),
        (END, cap.bound),
    ]
    (during,) = run(at_utc(START, limits=[])).circuit_caps
    assert during.outlook(START) == [(START, END, 250_000), (END, None, cap.bound)]
