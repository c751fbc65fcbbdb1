"""The composite schedule against a second-by-second oracle, and the rules one by one."""

from __future__ import annotations

import random
from datetime import datetime, timedelta
from typing import Any

import pytest
from composite_oracle import SPAN_S, T0, VOLTS, Held, Oracle, draw_site
from hypothesis import given, settings
from hypothesis import strategies as st

from dgm.ocpp.composite import View, limit_at, next_edge, schedule
from dgm.ocpp.profile import Profile, RateUnit, Transaction
from dgm.ocpp.profile_codec import composite_periods, parse_profile
from dgm.ocpp.version import Version

MV = VOLTS * 1000
T0_MS = int(T0.timestamp()) * 1000
SEEDS = st.integers(0, 2**48)


def ms(at: datetime) -> int:
    return int(at.timestamp()) * 1000


def parsed(version: str, held: list[Held]) -> list[Profile]:
    found = [parse_profile(body, evse_id=evse, version=Version(version), utc_ms=ms(at)) for evse, body, at in held]
    assert all(isinstance(one, Profile) for one in found), found
    return [one for one in found if isinstance(one, Profile)]


def draw_view(seed: int, version: str, held: list[Held]) -> tuple[View, Oracle]:
    rng = random.Random(seed + 1)
    name = {1: "tx-1", 2: "tx-2"} if version != "ocpp1.6" else {1: 1, 2: 2}
    tx = {n: (name[n], T0 - timedelta(seconds=rng.randrange(-20, 80))) for n in (1, 2) if rng.random() < 0.6}
    oracle = Oracle(held, tx=tx, as_if=T0)
    oracle.priority = {n for n in (1, 2) if rng.random() < 0.4}
    if rng.random() < 0.4:
        oracle.offline_since = T0 + timedelta(seconds=rng.randrange(-40, 40))
    view = View(
        evse_id=rng.randrange(3),
        nominal_voltage_mv=MV,
        evse_ids=(1, 2),
        transactions={n: Transaction(id=i, start_utc_ms=ms(at)) for n, (i, at) in tx.items()},
        as_if_utc_ms=T0_MS,
        priority=frozenset(oracle.priority),
        offline_since_utc_ms=None if oracle.offline_since is None else ms(oracle.offline_since),
    )
    return view, oracle


@settings(deadline=None, max_examples=2000)
@given(SEEDS)
def test_the_schedule_agrees_with_the_oracle_at_every_second(seed: int) -> None:
    version, held = draw_site(seed)
    view, oracle = draw_view(seed, version, held)
    found = schedule(parsed(version, held), view, T0_MS, duration_s=SPAN_S)
    for second in range(SPAN_S):
        expected = oracle.amps(view.evse_id, T0 + timedelta(seconds=second), view.evse_ids)
        limit = next(step for step in reversed(found.steps) if step.at_utc_ms <= T0_MS + second * 1000).limit
        assert (limit is None) == (expected is None), (second, held)
        if limit is not None and expected is not None:
            amps, phases = expected
            assert limit.rate == amps * 6 * MV * 1000, (second, float(amps), held)
            assert limit.phases == phases, (second, held)
            assert limit.current_ma(MV) == int(amps * 1000)
            assert limit.power_mw == int(amps * phases * VOLTS * 1000)


@settings(deadline=None, max_examples=300)
@given(SEEDS)
def test_nothing_changes_between_two_edges_and_periods_on_the_wire_never_exceed_what_holds(seed: int) -> None:
    version, held = draw_site(seed)
    view, _ = draw_view(seed, version, held)
    profiles = parsed(version, held)
    start = T0_MS + seed % 1000
    edge = next_edge(profiles, view, start)
    for at in range(start, min(edge or start + 30_000, start + 30_000), 999):
        assert limit_at(profiles, view, at) == limit_at(profiles, view, start)
    found = schedule(profiles, view, start, duration_s=60)
    periods = composite_periods(found, unit=RateUnit.A, nominal_voltage_mv=MV, unlimited_milli=500_000)
    assert [period["startPeriod"] for period in periods] == sorted({period["startPeriod"] for period in periods})
    assert periods[0]["startPeriod"] == 0
    for at in range(start, start + 60_000, 250):
        limit = limit_at(profiles, view, at)
        told = [period for period in periods if period["startPeriod"] * 1000 <= at - start][-1]["limit"]
        assert limit is None or round(told * 1000) <= limit.current_ma(MV)


def profile(
    purpose: str, level: int, *limits: float, evse: int = 0, version: str = "ocpp2.1", **changes: Any
) -> Profile:
    """Absolute from T0 on; each further limit begins an hour later. `schedule` in changes: fields of the schedule."""
    inner: dict[str, Any] = {
        "id": 1,
        "startSchedule": "2026-11-20T23:59:00Z",
        "chargingRateUnit": "A",
        "chargingSchedulePeriod": [{"startPeriod": 3600 * n, "limit": limit} for n, limit in enumerate(limits)],
        **changes.pop("schedule", {}),
    }
    inner = {name: value for name, value in inner.items() if value is not None}
    is_2x = version != "ocpp1.6"
    body = {
        "id" if is_2x else "chargingProfileId": level,
        "stackLevel": level,
        "chargingProfilePurpose": purpose,
        "chargingProfileKind": "Absolute",
        "chargingSchedule": [inner] if is_2x else inner,
        **changes,
    }
    found = parse_profile(body, evse_id=evse, version=Version(version), utc_ms=T0_MS)
    assert isinstance(found, Profile), found
    return found


MAX, DEFAULT, TX = "ChargingStationMaxProfile", "TxDefaultProfile", "TxProfile"
RUNNING = View(
    evse_id=1,
    nominal_voltage_mv=MV,
    evse_ids=(1, 2),
    transactions={1: Transaction(id="a", start_utc_ms=T0_MS)},
    as_if_utc_ms=T0_MS,
)
IDLE = View(evse_id=1, nominal_voltage_mv=MV, evse_ids=(1, 2), as_if_utc_ms=T0_MS)
STATION = View(evse_id=0, nominal_voltage_mv=MV, evse_ids=(1, 2), as_if_utc_ms=T0_MS)


def amps(profiles: list[Profile], view: View, after_s: float = 0) -> float | None:
    limit = limit_at(profiles, view, T0_MS + round(after_s * 1000))
    return None if limit is None else limit.current_ma(MV) / 1000


def test_a_tx_profile_overrules_the_default_until_it_expires_and_only_for_its_transaction() -> None:
    held = [profile(DEFAULT, 3, 10), profile(TX, 0, 25, evse=1, transactionId="a", schedule={"duration": 600})]
    assert amps(held, RUNNING) == 25
    assert amps(held, RUNNING, 600) == 10
    assert amps(held, IDLE) == 10
    assert amps([held[0], profile(TX, 0, 25, evse=1, transactionId="b")], RUNNING) == 10


def test_a_top_level_profile_without_duration_never_falls_back_and_with_one_does() -> None:
    low = profile(MAX, 1, 8)
    assert amps([low, profile(MAX, 2, 20)], RUNNING, 10**8) == 20
    assert amps([low, profile(MAX, 2, 20, schedule={"duration": 60})], RUNNING, 60) == 8


def test_the_station_is_limited_by_its_maximum_and_by_the_sum_of_its_evses() -> None:
    defaults = [profile(DEFAULT, 1, 10, evse=1), profile(DEFAULT, 1, 12, evse=2)]
    assert amps(defaults, STATION) == 22
    assert amps([*defaults, profile(MAX, 1, 16)], STATION) == 16
    assert amps(defaults[:1], STATION) is None


def test_local_generation_is_added_on_top_and_adds_nothing_to_no_limit() -> None:
    local = profile("LocalGeneration", 0, 5)
    assert amps([profile(MAX, 0, 10), profile(DEFAULT, 0, 16), local], RUNNING) == 15
    assert amps([local], RUNNING) is None


def test_priority_charging_overrules_the_transaction_but_not_the_maximum() -> None:
    held = [profile(TX, 5, 6, evse=1, transactionId="a"), profile("PriorityCharging", 0, 30), profile(MAX, 0, 20)]
    assert amps(held, RUNNING) == 6
    activated = View(**{**{name: getattr(RUNNING, name) for name in View.__slots__}, "priority": frozenset({1})})
    assert amps(held, activated) == 20


def test_a_dynamic_profile_with_a_duration_is_a_lease() -> None:
    dynamic = profile(DEFAULT, 4, 25, chargingProfileKind="Dynamic", schedule={"duration": 30, "startSchedule": None})
    assert amps([dynamic, profile(DEFAULT, 1, 6)], RUNNING, 29.999) == 25
    assert amps([dynamic, profile(DEFAULT, 1, 6)], RUNNING, 30) == 6
    assert next_edge([dynamic], RUNNING, T0_MS) == T0_MS + 30_000


def test_watts_count_on_the_phases_that_their_period_names() -> None:
    three = profile(DEFAULT, 1, 11_040, schedule={"chargingRateUnit": "W"})
    one = profile(
        DEFAULT,
        2,
        schedule={
            "chargingRateUnit": "W",
            "chargingSchedulePeriod": [{"startPeriod": 0, "limit": 3680, "numberPhases": 1}],
        },
    )
    assert amps([three], RUNNING) == 16
    assert amps([three, one], RUNNING) == 16
    limit = limit_at([three, one, profile(MAX, 0, 10)], RUNNING, T0_MS)
    assert limit is not None
    # 10 A on the one phase that is left, though 3,680 W and 6,900 W were asked for.
    assert (limit.phases, limit.power_mw) == (1, 2_300_000)


def test_eleven_kilowatts_come_back_as_eleven_kilowatts() -> None:
    limit = limit_at([profile(MAX, 0, 11_000, schedule={"chargingRateUnit": "W"})], RUNNING, T0_MS)
    assert limit is not None
    assert limit.power_mw == 11_000_000
    assert limit.current_ma(MV) == 15_942


def test_a_minimum_rate_is_carried_along() -> None:
    limit = limit_at([profile(TX, 0, 16, evse=1, schedule={"minChargingRate": 6.0})], RUNNING, T0_MS)
    assert limit is not None
    assert limit.min_rate == 6 * 6_000 * MV


def test_a_recurring_week_keeps_its_hour_over_a_change_of_the_clocks() -> None:
    """28 March 2027, 01:00 UTC: clocks go forward in Europe; the schedule is UTC and does not."""
    held = profile(
        DEFAULT,
        1,
        9,
        chargingProfileKind="Recurring",
        recurrencyKind="Weekly",
        schedule={"startSchedule": "2027-03-21T17:00:00+01:00", "duration": 3600},
    )
    begin = 1_806_249_600_000  # 2027-03-28T16:00:00Z
    assert limit_at([held], RUNNING, begin - 1) is None
    assert limit_at([held], RUNNING, begin) is not None
    assert limit_at([held], RUNNING, begin + 3_600_000) is None


@pytest.mark.parametrize(("level_of_evse", "expected"), [(1, 14), (0, 10)])
def test_a_default_of_an_evse_replaces_the_stations_one_of_the_same_level(level_of_evse: int, expected: int) -> None:
    held = [profile(DEFAULT, 1, 10, version="ocpp1.6"), profile(DEFAULT, level_of_evse, 14, evse=1, version="ocpp1.6")]
    assert amps(held, RUNNING) == expected


def test_a_long_schedule_is_cut_and_says_where() -> None:
    periods = [{"startPeriod": n, "limit": n % 2 + 6.0} for n in range(1024)]
    held = [
        profile(
            DEFAULT,
            1,
            schedule={"chargingSchedulePeriod": periods},
            chargingProfileKind="Recurring",
            recurrencyKind="Daily",
        )
    ]
    found = schedule(held, RUNNING, T0_MS, duration_s=2 * 86_400)
    assert len(found.steps) == 1024
    assert found.end_utc_ms < T0_MS + 2 * 86_400_000
