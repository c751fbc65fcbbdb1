"""What drivers need, what is promised of it, and that a promise stands in the book."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
from ems_examples import E1, E2, GRID, at, demo_config, sample
from hypothesis import given
from hypothesis import strategies as st
from policy_examples import CHARGING, FREE, TOPOLOGY, Run, evse, picture

from dgm.api.config.v1.config_pb2 import DgmConfig, PolicyConfig
from dgm.api.ems.v1.ems_pb2 import Quantity
from dgm.api.ems.v1.policy_pb2 import (
    ChargingNeed,
    ClearChargingNeedRequest,
    PromiseState,
    SetChargingNeedRequest,
    SetChargingNeedResponse,
)
from dgm.ems.cycle import Cycle
from dgm.ems.events import Reply
from dgm.ems.guidance import TABLES
from dgm.ems.ledger import SLOT_MS, SPARE_MS, Demand, Ledger, Plan, power_max
from dgm.ems.limits import Forget, Keep
from dgm.ems.needs import AFTER_MS, NEED_TABLE, NeedEntry, entry_of, progressed, record_of
from dgm.ems.snapshot import LimitView, Planned, Price
from dgm.machine import Now
from dgm.site.refusal import Reason, Refusal
from dgm.site.topology import Topology

PROMISED = PromiseState.PROMISE_STATE_PROMISED
AT_RISK = PromiseState.PROMISE_STATE_AT_RISK
KEPT = PromiseState.PROMISE_STATE_KEPT
MISSED = PromiseState.PROMISE_STATE_MISSED
HOUR_MS = 3_600_000


def config(*, keeps: bool = True, current_ma: int = 63_000) -> DgmConfig:
    made = demo_config()
    made.circuits[1].current_limit_ma = current_ma
    if keeps:
        made.ems.policies.append(PolicyConfig(name="promise"))
    return made


def machine(made: DgmConfig | None = None) -> Cycle:
    cycle = Cycle(made or config(), epoch=1)
    cycle.restore({}, at(0))
    return cycle


def need(
    asset_id: str = "e1", wh: int = 10_000, hours: float = 2.0, source: str = "api:app", **more: int
) -> ChargingNeed:
    departure = at(0).utc_ms + int(hours * HOUR_MS)
    return ChargingNeed(asset_id=asset_id, source=source, energy_wh=wh, departure_utc_ms=departure, **more)


def put(cycle: Cycle, asked: ChargingNeed, now: Now | None = None) -> SetChargingNeedResponse | Refusal:
    effects = cycle.handle(SetChargingNeedRequest(need=asked), now or at(0))
    answer = effects[-1]
    assert isinstance(answer, Reply)
    assert isinstance(answer.message, SetChargingNeedResponse | Refusal)
    if not isinstance(answer.message, Refusal):
        assert any(isinstance(effect, Keep) and effect.table == NEED_TABLE for effect in effects[:-1])
    return answer.message


def promised(cycle: Cycle, asked: ChargingNeed, now: Now | None = None) -> SetChargingNeedResponse:
    answer = put(cycle, asked, now)
    assert isinstance(answer, SetChargingNeedResponse)
    return answer


def test_what_fits_is_promised_with_the_time_at_which_it_is_done() -> None:
    answer = promised(machine(), need(wh=10_000))
    assert answer.promise.state == PROMISED
    assert answer.promise.short_wh == 0
    assert at(0).utc_ms < answer.promise.done_utc_ms <= answer.promise.need.departure_utc_ms


def test_what_the_car_cannot_take_in_time_is_at_risk_by_exactly_that_much() -> None:
    answer = promised(machine(), need(wh=50_000, hours=1.0))
    own_w = power_max(TOPOLOGY.assets[E1], 230_000)
    assert answer.promise.state == AT_RISK
    assert answer.promise.short_wh == pytest.approx(50_000 - own_w * (HOUR_MS - SPARE_MS) // HOUR_MS, abs=2)
    assert "time left" in answer.promise.reason


def test_what_is_promised_to_one_is_taken_from_the_rest() -> None:
    cycle = machine(config(current_ma=20_000))
    assert promised(cycle, need("e2", wh=3_500, hours=1.0)).promise.state == PROMISED
    answer = promised(cycle, need("e1", wh=10_000, hours=1.0))
    assert answer.promise.state == AT_RISK
    assert "garage" in answer.promise.reason
    first, second = cycle.guidance.promises(at(0)).promises
    assert (first.need.asset_id, first.state) == ("e1", AT_RISK)
    assert (second.need.asset_id, second.state) == ("e2", PROMISED)


def test_a_limit_announced_for_later_takes_its_room_from_the_plan() -> None:
    made = config()
    ledger, topology = Ledger(made, TOPOLOGY), TOPOLOGY
    demand = Demand(
        asset=topology.assets[E1],
        due_wh=20_000,
        departure_utc_ms=at(0).utc_ms + HOUR_MS,
        power_max_w=22_000,
        is_firm=True,
    )
    event = LimitView(
        id="dr",
        source="utility:der",
        circuit_index=GRID,
        asset_index=None,
        quantity=Quantity.QUANTITY_GROSS_LOAD,
        bound=0,
        start_utc_ms=at(0).utc_ms + HOUR_MS // 2,
        end_utc_ms=at(0).utc_ms + HOUR_MS,
        is_pending=True,
    )
    free = ledger.plan([demand], [], [], at(0).utc_ms)[E1]
    held = ledger.plan([demand], [event], [], at(0).utc_ms)[E1]
    assert free.short_wh == 0
    assert held.short_wh > 8_000


def test_what_follows_a_limit_takes_room_from_the_plan_too() -> None:
    begin = at(0).utc_ms
    demand = Demand(
        asset=TOPOLOGY.assets[E1], due_wh=9_000, departure_utc_ms=begin + HOUR_MS, power_max_w=22_000, is_firm=True
    )
    lease = LimitView(
        id="default",
        source="utility:der",
        circuit_index=GRID,
        asset_index=None,
        quantity=Quantity.QUANTITY_GROSS_LOAD,
        bound=1_000,
        start_utc_ms=begin,
        end_utc_ms=begin + 600_000,
        is_pending=False,
    )
    ledger = Ledger(config(), TOPOLOGY)
    assert ledger.plan([demand], [lease], [], begin)[E1].short_wh == 0
    assert ledger.plan([demand], [replace(lease, failsafe=1_000)], [], begin)[E1].short_wh > 7_500


def test_an_evse_that_cannot_be_moved_leaves_no_room_to_plans() -> None:
    begin = at(0).utc_ms
    asset, other = TOPOLOGY.assets[E1], TOPOLOGY.assets[E2]
    demand = Demand(asset=asset, due_wh=9_000, departure_utc_ms=begin + HOUR_MS, power_max_w=22_000, is_firm=True)
    made = config(current_ma=20_000)
    ledger = Ledger(made, Topology.from_config(made))
    assert ledger.plan([demand], [], [], begin)[E1].short_wh == 0
    assert ledger.plan([demand], [], [], begin, {other.index: 16_000})[E1].short_wh > 5_000


def test_without_a_policy_that_keeps_promises_nothing_is_promised() -> None:
    answer = promised(machine(config(keeps=False)), need())
    assert (answer.promise.state, answer.promise.short_wh) == (AT_RISK, 10_000)
    assert "promise" in answer.promise.reason


def test_more_power_than_the_evse_has_is_clamped_and_said() -> None:
    answer = promised(machine(), need(power_max_w=500_000))
    assert answer.promise.need.power_max_w == power_max(TOPOLOGY.assets[E1], 230_000)
    assert answer.clamp_reasons


@pytest.mark.parametrize(
    ("asked", "reason", "field"),
    [
        (need("nobody"), Reason.UNKNOWN_ASSET, "need.asset_id"),
        (need("b1"), Reason.FIELD_INVALID, "need.asset_id"),
        (need(source="me"), Reason.FIELD_INVALID, "need.source"),
        (need(wh=0), Reason.OUT_OF_RANGE, "need.energy_wh"),
        (need(wh=10**9), Reason.OUT_OF_RANGE, "need.energy_wh"),
        (need(hours=-1), Reason.ALREADY_OVER, "need.departure_utc_ms"),
        (need(hours=24 * 8), Reason.OUT_OF_RANGE, "need.departure_utc_ms"),
        (need(power_max_w=0), Reason.OUT_OF_RANGE, "need.power_max_w"),
    ],
)
def test_a_need_that_cannot_be_meant_is_refused(asked: ChargingNeed, reason: Reason, field: str) -> None:
    answer = put(machine(), asked)
    assert isinstance(answer, Refusal)
    assert (answer.reason, answer.field) == (reason, field)


def test_only_its_source_changes_or_clears_a_need() -> None:
    cycle = machine()
    promised(cycle, need())
    other = put(cycle, need(source="cpo:a"))
    assert isinstance(other, Refusal)
    assert other.reason is Reason.NOT_OWNER
    (answer,) = cycle.handle(ClearChargingNeedRequest(asset_id="e1", source="cpo:a"), at(0))
    assert isinstance(answer, Reply)
    assert isinstance(answer.message, Refusal)
    effects = cycle.handle(ClearChargingNeedRequest(asset_id="e1", source="api:app"), at(0))
    assert Forget(id="e1", table=NEED_TABLE) in effects
    assert not cycle.guidance.promises(at(0)).promises


def test_a_need_outlives_a_restart_with_what_had_come() -> None:
    cycle = machine()
    effects = cycle.handle(SetChargingNeedRequest(need=need()), at(0))
    kept = {effect.id: effect.record for effect in effects if isinstance(effect, Keep) and effect.table == NEED_TABLE}
    again = Cycle(config(), epoch=2)
    again.restore({}, at(0), {NEED_TABLE: kept})
    (promise,) = again.guidance.promises(at(0)).promises
    assert promise.need == need()
    assert promise.state == PROMISED


def test_a_record_that_cannot_be_read_is_forgotten_and_nothing_else() -> None:
    effects = Cycle(config(), epoch=1).restore({}, at(0), {NEED_TABLE: {"e1": b"{"}, TABLES[1]: {"x": b"1"}})
    assert Forget(id="e1", table=NEED_TABLE) in effects
    assert Forget(id="x", table=TABLES[1]) in effects


def entry(**more: object) -> NeedEntry:
    return replace(NeedEntry(need=need(), asset=TOPOLOGY.assets[E1]), **more)  # type: ignore[arg-type]


def test_delivered_energy_is_that_of_the_counter_and_between_counts_that_of_the_power() -> None:
    held = entry()
    view = replace(evse(E1, power_w=3_600), energy_wh=1000)
    for second in range(11):
        held = progressed(held, view, at(second * 1000))
    assert held.delivered_wh == 10
    held = progressed(held, replace(view, energy_wh=1012), at(11_000))
    assert held.delivered_wh == 12


def test_a_counter_that_begins_anew_takes_nothing_away() -> None:
    held = entry(counter_wh=5000, counted_wh=700)
    held = progressed(held, replace(evse(E1, power_w=0), energy_wh=3), at(0))
    assert held.delivered_wh == 700
    assert progressed(held, replace(evse(E1), energy_wh=53), at(1000)).delivered_wh == 750


def test_a_gap_in_the_readings_is_not_filled_with_guesses() -> None:
    held = progressed(entry(), evse(E1, power_w=3_600_000), at(0))
    assert progressed(held, evse(E1, power_w=3_600_000), at(60_000)).delivered_wh == 0


def views(cycle: Cycle, plug: int, now: Now, watts: int = 0) -> None:
    reading = sample("e1", plug)  # type: ignore[arg-type]
    reading.power_w = watts
    cycle.state.take(E1, reading, now)


def test_a_need_ends_when_its_car_is_gone_but_not_before_it_has_come() -> None:
    cycle = machine()
    promised(cycle, need())
    for mono_ms, plug, left in ((1000, FREE, 1), (2000, CHARGING, 1), (3000, FREE, 0)):
        views(cycle, plug, at(mono_ms))
        cycle._send_targets(at(mono_ms))
        assert len(cycle.guidance.promises(at(mono_ms)).promises) == left


def test_a_departure_that_passes_leaves_the_truth_for_an_hour() -> None:
    cycle = machine()
    promised(cycle, need(hours=1.0))
    late = at(HOUR_MS)
    (promise,) = cycle.guidance.promises(late).promises
    assert (promise.state, promise.short_wh) == (MISSED, 10_000)
    cycle._send_targets(at(HOUR_MS + AFTER_MS))
    assert not cycle.guidance.promises(at(HOUR_MS + AFTER_MS)).promises


def test_what_has_come_but_for_the_error_of_counters_is_kept() -> None:
    cycle = machine()
    held = cycle.guidance.needs.promise(entry(counted_wh=9_950), at(0))
    assert held.state == KEPT


@given(st.binary(max_size=60))
def test_a_damaged_record_is_no_need(record: bytes) -> None:
    assert entry_of(record, TOPOLOGY) is None


def test_a_record_reads_back_as_it_was() -> None:
    held = entry(counted_wh=5, counter_wh=77, has_come=True, is_firm=True)
    assert entry_of(record_of(held), TOPOLOGY) == held


def test_a_car_in_a_slot_of_its_plan_goes_first_in_proportion_to_it() -> None:
    plan = Planned(due_wh=9000, departure_utc_ms=0, now_ma=8000, is_promised=True)
    run = Run("promise")
    (share,) = run(picture(evses=[evse(E1, planned=plan), evse(E2)])).shares
    assert (share.asset_index, share.stratum, share.keeps_on) == (E1, 0, True)
    assert share.factor == pytest.approx(0.5)
    assert "8000 mA" in share.why
    waiting = replace(plan, now_ma=0)
    assert not run(picture(evses=[evse(E1, planned=waiting), evse(E2)])).shares
    assert not run(picture(evses=[evse(E1, FREE, planned=plan), evse(E2)])).shares


def fleet(cars: int, current_ma: int) -> tuple[DgmConfig, Topology]:
    made = config(current_ma=current_ma)
    pattern = made.stations[0]
    del made.stations[:]
    for number in range(cars):
        station = made.stations.add()
        station.CopyFrom(pattern)
        station.id, station.evses[0].id = f"st{number}", f"e{number}"
        if number % 3:
            del station.evses[0].phases[:]
            station.evses[0].phases.append(number % 3)  # type: ignore[arg-type]
    return made, Topology.from_config(made)


NEEDS = st.lists(st.tuples(st.integers(1, 40_000), st.integers(1, 24), st.booleans()), min_size=1, max_size=6)


@given(needs=NEEDS, current_ma=st.integers(6_000, 100_000), priced=st.booleans())
def test_plans_never_take_more_than_a_slot_has_and_are_short_by_what_is_missing(
    needs: Sequence[tuple[int, int, bool]], current_ma: int, priced: bool
) -> None:
    made, topology = fleet(len(needs), current_ma)
    begin = 1_700_000_100_000 // SLOT_MS * SLOT_MS
    demands = [
        Demand(
            asset=asset,
            due_wh=wh,
            departure_utc_ms=begin + slots * SLOT_MS,
            power_max_w=power_max(asset, 230_000),
            is_firm=firm,
        )
        for asset, (wh, slots, firm) in zip(topology.evses(), needs, strict=True)
    ]
    prices = [
        Price(start_utc_ms=begin + n * SLOT_MS, end_utc_ms=begin + (n + 1) * SLOT_MS, per_mwh=n % 5, source="t")
        for n in range(24 if priced else 0)
    ]
    plans = Ledger(made, topology).plan(demands, [], prices, begin)
    for phase in (1, 2, 3):
        used = sum(
            plans[one.asset.index].now_w * 1_000_000 // (230_000 * len(one.asset.phases))
            for one in demands
            if phase in one.asset.phases
        )
        assert used <= current_ma
    for one in demands:
        plan: Plan = plans[one.asset.index]
        most_wh = power_max(one.asset, 230_000) * (one.departure_utc_ms - begin) // HOUR_MS
        assert one.due_wh - plan.short_wh <= most_wh + 1
        assert 0 <= plan.short_wh <= one.due_wh
        assert (plan.done_utc_ms is None) == bool(plan.short_wh)
        assert bool(plan.blocker) == bool(plan.short_wh)


@given(needs=NEEDS, current_ma=st.integers(6_000, 60_000))
def test_a_newcomer_never_breaks_a_promise(needs: Sequence[tuple[int, int, bool]], current_ma: int) -> None:
    made, _ = fleet(len(needs), current_ma)
    cycle = machine(made)
    whole: set[str] = set()
    for number, (wh, slots, _) in enumerate(needs):
        answer = promised(cycle, need(f"e{number}", wh=wh, hours=slots / 4))
        if answer.promise.state == PROMISED:
            whole.add(f"e{number}")
        after = {one.need.asset_id: one.state for one in cycle.guidance.promises(at(0)).promises}
        assert all(after[name] == PROMISED for name in whole)


def test_cheap_slots_are_taken_first_where_every_promise_stays_covered() -> None:
    begin = at(0).utc_ms // SLOT_MS * SLOT_MS
    ledger = Ledger(config(), TOPOLOGY)
    demand = Demand(
        asset=TOPOLOGY.assets[E1],
        due_wh=5_000,
        departure_utc_ms=begin + 8 * SLOT_MS,
        power_max_w=22_000,
        is_firm=True,
    )
    dear = Price(start_utc_ms=begin, end_utc_ms=begin + 4 * SLOT_MS, per_mwh=300, source="t")
    cheap = Price(start_utc_ms=dear.end_utc_ms, end_utc_ms=begin + 8 * SLOT_MS, per_mwh=100, source="t")
    assert ledger.plan([demand], [], [], begin)[E1].now_w > 0
    assert ledger.plan([demand], [], [dear, cheap], begin)[E1].now_w == 0
    tight = replace(demand, due_wh=40_000)
    assert ledger.plan([tight], [], [dear, cheap], begin)[E1].now_w > 0


def test_what_a_car_says_gives_way_to_everybody_and_replaces_nobody() -> None:
    cycle = machine()
    promised(cycle, need(source="car:CP-1", wh=5_000))
    assert promised(cycle, need(source="cpo:a")).promise.need.source == "cpo:a"
    refused = put(cycle, need(source="car:CP-1", wh=5_000))
    assert isinstance(refused, Refusal)
    assert refused.reason is Reason.NOT_OWNER
