"""Plans of everybody, made bit by bit: what a cycle has to do for them, and that no promise is lost meanwhile."""

from __future__ import annotations

import pytest
from ems_examples import at, demo_config

from dgm.api.config.v1.config_pb2 import DgmConfig, PolicyConfig
from dgm.api.ems.v1.policy_pb2 import ChargingNeed, ClearChargingNeedRequest, PromiseState, SetChargingNeedRequest
from dgm.ems.cycle import Cycle
from dgm.ems.events import Reply, SendTargets
from dgm.ems.ledger import SLOT_MS, Demand, Ledger, power_max
from dgm.ems.plan_book import CYCLES_MAX, ENTRIES_MIN, Finished, PlanBook, Setting
from dgm.machine import Tick
from dgm.site.topology import Topology

PROMISED = PromiseState.PROMISE_STATE_PROMISED
BEGIN_MS = at(0).utc_ms // SLOT_MS * SLOT_MS
SETTING = Setting(limits=(), prices=(), utc_ms=BEGIN_MS, stuck_ma={})


def fleet(cars: int, current_ma: int) -> DgmConfig:
    """A garage of three-phase EVSEs behind one limit."""
    made = demo_config()
    made.circuits[0].import_limit_w = made.circuits[0].current_limit_ma = 10_000_000
    made.circuits[1].current_limit_ma = current_ma
    made.ems.policies.append(PolicyConfig(name="promise"))
    pattern = made.stations[0]
    del made.stations[:]
    for number in range(cars):
        station = made.stations.add()
        station.CopyFrom(pattern)
        station.id, station.evses[0].id = f"st{number}", f"e{number}"
    return made


def demand(topology: Topology, car: int, *, wh: int = 5_000, slots: int = 8, firm: bool = True) -> Demand:
    asset = topology.assets[topology.asset_by_id[f"e{car}"]]
    departure_utc_ms = BEGIN_MS + slots * SLOT_MS
    most_w = power_max(asset, 230_000)
    return Demand(asset=asset, due_wh=wh, departure_utc_ms=departure_utc_ms, power_max_w=most_w, is_firm=firm)


def driven(book: PlanBook, needs: int) -> tuple[Finished, int]:
    """Cycle by cycle to the end of what is being made; how many cycles it took."""
    for cycles in range(1, 2 * CYCLES_MAX):
        book.new_cycle(needs)
        finished = book.advance()
        if finished is not None:
            return finished, cycles
    raise AssertionError("never done")


@pytest.mark.parametrize("cars", [1, 12, 13, 200, 333])
def test_a_sheet_of_everybody_is_spread_over_few_cycles_each_with_its_part(cars: int) -> None:
    config = fleet(cars, 10_000_000)
    topology = Topology.from_config(config)
    book = PlanBook(Ledger(config, topology))
    book.begin([demand(topology, car) for car in range(cars)], SETTING)
    finished, cycles = driven(book, cars)
    assert finished.is_in_force
    assert cycles == max(1, min(-(-cars // ENTRIES_MIN), -(-cars // -(-cars // CYCLES_MAX))))
    assert cycles <= CYCLES_MAX
    assert len(book.plans) == cars


def test_bit_by_bit_gives_the_plans_of_all_at_once() -> None:
    config = fleet(120, 200_000)
    topology = Topology.from_config(config)
    asked = [demand(topology, car, wh=3_000 + 100 * car, slots=2 + car % 9) for car in range(120)]
    book = PlanBook(Ledger(config, topology))
    book.begin(asked, SETTING)
    driven(book, len(asked))
    assert book.plans == Ledger(config, topology).plan(asked, [], [], BEGIN_MS)


def test_a_newcomer_changes_nobodys_plan_and_one_that_goes_leaves_its_room_to_the_wh() -> None:
    config = fleet(3, 20_000)
    topology = Topology.from_config(config)
    book = PlanBook(Ledger(config, topology))
    book.begin([demand(topology, 0, wh=10_000)], SETTING)
    driven(book, 1)
    before = dict(book.plans)
    first = book.enter(demand(topology, 1, wh=50_000))
    assert {index: plan for index, plan in book.plans.items() if index in before} == before
    assert first is not None
    assert first.short_wh > 0
    book.drop(topology.asset_by_id["e1"])
    assert book.enter(demand(topology, 1, wh=50_000)) == first


def test_a_promise_made_meanwhile_is_not_left_short_by_the_sheet_that_overtakes_it() -> None:
    config = fleet(60, 40_000)
    topology = Topology.from_config(config)
    book = PlanBook(Ledger(config, topology))
    late = [demand(topology, car, wh=1_000, slots=40) for car in range(50)]
    book.begin(late[:1], SETTING)
    driven(book, 1)
    book.begin(late, SETTING)  # takes some cycles, and knows nothing of the newcomer
    assert book.advance() is None
    newcomer = demand(topology, 55, wh=20_000, slots=4)
    promised = book.enter(newcomer)
    assert promised is not None
    assert not promised.short_wh
    finished, _ = driven(book, 50)
    assert (finished.is_in_force, finished.is_overtaken) == (False, True)
    assert not book.plans[newcomer.asset.index].short_wh
    book.begin([*late, newcomer], SETTING)
    finished, _ = driven(book, 51)
    assert finished.is_in_force
    assert not book.plans[newcomer.asset.index].short_wh


def test_a_trial_that_leaves_anybody_short_changes_nothing() -> None:
    config = fleet(2, 16_000)
    topology = Topology.from_config(config)
    book = PlanBook(Ledger(config, topology))
    first, second = demand(topology, 0, wh=20_000, slots=8), demand(topology, 1, wh=20_000, slots=7)
    book.begin([first], SETTING)
    driven(book, 1)
    before = dict(book.plans)
    book.begin([first, second], SETTING, trial=second.asset.index)
    finished, _ = driven(book, 2)
    assert finished == Finished(trial=second.asset.index, is_in_force=False)
    assert book.plans == before


def need(car: int, *, wh: int, slots: int) -> SetChargingNeedRequest:
    asked = ChargingNeed(
        asset_id=f"e{car}", source="api:app", energy_wh=wh, departure_utc_ms=BEGIN_MS + slots * SLOT_MS
    )
    return SetChargingNeedRequest(need=asked)


def states(cycle: Cycle, mono_ms: int) -> dict[str, int]:
    return {one.need.asset_id: one.state for one in cycle.guidance.promises(at(mono_ms)).promises}


def run(cycle: Cycle, begin_ms: int, end_ms: int) -> None:
    """As the role does: awake when the machine asks for it."""
    mono_ms = begin_ms
    while mono_ms < end_ms:
        cycle.handle(Tick(), at(mono_ms))
        mono_ms = max(mono_ms + 1, cycle.wake_time() or 0)


def test_a_hundred_needs_within_a_second_hold_no_cycle() -> None:
    cycle = Cycle(fleet(200, 10_000_000), epoch=1)
    cycle.restore({}, at(0))
    cycle.handle(Tick(), at(0))
    asked = 0
    for car in range(100):
        effects = cycle.handle(need(car, wh=5_000, slots=20), at(10 * car))
        asked += sum(isinstance(effect, SendTargets) for effect in effects)
        assert isinstance(effects[-1], Reply)
        if (cycle.wake_time() or 0) <= 10 * car:
            asked += sum(isinstance(effect, SendTargets) for effect in cycle.handle(Tick(), at(10 * car)))
    assert asked <= 5
    assert any(isinstance(effect, SendTargets) for effect in cycle.handle(Tick(), at(1000)))
    assert set(states(cycle, 1000).values()) == {PROMISED}


def test_what_fits_only_where_everybody_is_entered_anew_is_promised_within_a_few_cycles() -> None:
    cycle = Cycle(fleet(40, 16_000), epoch=1)  # 16 A on three phases: 11 kW for all together
    cycle.restore({}, at(0))
    for car in range(30):
        cycle.handle(need(car, wh=500, slots=30), at(car))  # the earliest slots go to those who have time
    (*_, answer) = cycle.handle(need(35, wh=5_000, slots=3), at(50))
    assert isinstance(answer, Reply)
    assert answer.message.promise.state != PROMISED  # type: ignore[union-attr]
    run(cycle, 1000, 10_000)
    assert set(states(cycle, 10_000).values()) == {PROMISED}


def test_a_need_that_is_cleared_while_plans_are_made_is_gone() -> None:
    cycle = Cycle(fleet(200, 1_000_000), epoch=1)
    cycle.restore({}, at(0))
    for car in range(150):
        cycle.handle(need(car, wh=500, slots=30), at(0))
    cycle.handle(Tick(), at(1000))
    cycle.handle(ClearChargingNeedRequest(asset_id="e7", source="api:app"), at(1100))
    for second in range(2, 2 + 2 * CYCLES_MAX):
        run(cycle, 1000 * second, 1000 * (second + 1))
        assert "e7" not in states(cycle, 1000 * second)
        assert set(states(cycle, 1000 * second).values()) == {PROMISED}
