"""What ruling controls do to the site: caps of the net output, switches, ramps by setGradW and targets of power."""

from __future__ import annotations

from dataclasses import replace

import pytest
from der_events import EXP, Driver, at, control, default, program
from der_examples import OBSERVED, site
from hypothesis import given
from hypothesis import strategies as st

from dgm.api.der.v1.profile_pb2 import Edition
from dgm.api.ems.v1.ems_pb2 import Quantity
from dgm.api.site.v1.site_pb2 import WatchSiteResponse
from dgm.der import plant
from dgm.der import resource as r
from dgm.der.effect import Effect, Ramps, Ratings, Unit, acts_on, gradient_ramp_ms, measured, ramped_w
from dgm.der.envelope import GRACE_MS, UNBOUND_W, Bound, bounds, limit_of
from dgm.der.mode import MODES
from dgm.der.status import der_status, of_edition

ALL = acts_on(has_battery=True)
RATINGS = Ratings(max_w=150_000, charge_w=50_000)
MAX, CONNECT, ENERGIZE = "opModMaxLimW", "opModConnect", "opModEnergize"


def of(*modes: r.ControlMode, ramp_ms: int | None = None) -> r.ControlBase:
    return r.ControlBase(modes=modes, ramp_ms=ramp_ms)


def event(base: r.ControlBase, start: int = 0, duration: int = 60, mrid: str = "AA") -> r.DERControl:
    return replace(control(mrid, start, duration), base=base)


def ruled(driver: Driver, second: float) -> dict[str, Bound]:
    driver.run(second)
    return bounds(driver.scheduler, at(second).utc_ms, max_w=RATINGS.max_w)


def seen(*, pv_w: int | None = -40_000, battery_w: int | None = 10_000, soc: int = 634) -> WatchSiteResponse:
    update = WatchSiteResponse()
    update.CopyFrom(OBSERVED)
    for sample in update.samples:
        power_w = {"pv-1": pv_w, "battery": battery_w}.get(sample.asset_id, sample.power_w)
        sample.ClearField("power_w") if power_w is None else setattr(sample, "power_w", power_w)
        if sample.asset_id == "battery":
            sample.soc_permille = soc
    return update


def view(**changes: int | None) -> plant.SiteView:
    found = plant.SiteView(site())
    found.take(seen(**changes))  # type: ignore[arg-type]
    return found


def test_a_percentage_of_set_max_w_bounds_the_net_output_of_the_whole_plant() -> None:
    driver = Driver(acts_on=ALL)
    driver.give(0, program(event(of(r.ControlMode(name=MAX, permyriad=3_333)))))
    bound = ruled(driver, 5)[MAX]
    limit = limit_of(bound, "grid", at(5).utc_ms)
    assert (limit.power_w, limit.quantity) == (49_995, Quantity.QUANTITY_DER_OUTPUT)


@pytest.mark.parametrize(
    ("mode", "power_w"),
    [
        (r.ControlMode(name="opModMaxLimWAbsorb", power_w=12_000), 12_000),
        (r.ControlMode(name="opModMaxLimPctWAbsorb", permyriad=2_500), 12_500),
    ],
)
def test_a_cap_of_2023_on_what_is_absorbed_bounds_what_batteries_charge(mode: r.ControlMode, power_w: int) -> None:
    driver = Driver(acts_on=ALL)
    driver.give(0, program(event(of(mode))))
    driver.run(5)
    bound = bounds(driver.scheduler, at(5).utc_ms, max_w=150_000, charge_w=50_000)[mode.name]
    limit = limit_of(bound, "grid", at(5).utc_ms)
    assert (limit.power_w, limit.quantity) == (power_w, Quantity.QUANTITY_STORAGE_CHARGE)
    assert mode.name not in acts_on(has_battery=False)
    assert mode.name not in acts_on(has_battery=True, is_ours=False), "the facade has no row for it"
    assert measured([-5, 7], None, [7])[Quantity.QUANTITY_STORAGE_CHARGE] == 7
    assert Quantity.QUANTITY_STORAGE_CHARGE not in measured([-5, None], None, [None])


@pytest.mark.parametrize("mode", [CONNECT, ENERGIZE])
def test_a_switch_that_is_off_stops_what_comes_out_at_once_and_one_that_is_on_bounds_nothing(mode: str) -> None:
    driver = Driver(acts_on=ALL)
    driver.give(0, program(event(of(r.ControlMode(name=mode, on=False), ramp_ms=9_000), 0, 20)))
    bound = ruled(driver, 5)[mode]
    limit = limit_of(bound, "grid", at(5).utc_ms)
    assert (limit.power_w, limit.quantity, limit.ramp_ms) == (0, Quantity.QUANTITY_GROSS_GENERATION, 0)
    assert not limit.HasField("failsafe_power_w")
    assert ruled(driver, 20) == {}
    driver.give(21, program(event(of(r.ControlMode(name=mode, on=True)), 22, 20, "BB")))
    assert ruled(driver, 25) == {}


def test_an_event_that_switches_on_over_a_default_that_is_off_falls_back_to_the_default() -> None:
    driver = Driver(acts_on=ALL)
    off = r.DefaultDERControl(mrid="DEFA", base=of(r.ControlMode(name=ENERGIZE, on=False)))
    driver.give(0, program(event(of(r.ControlMode(name=ENERGIZE, on=True)), 10, 20), stated=off))
    assert ruled(driver, 5)[ENERGIZE].power_w == 0
    bound = ruled(driver, 15)[ENERGIZE]
    assert (bound.power_w, bound.failsafe_w) == (UNBOUND_W, 0)
    assert bound.end_utc_ms == at(30).utc_ms + GRACE_MS
    assert ruled(driver, 31)[ENERGIZE].power_w == 0


def test_an_event_over_a_default_that_frees_ends_by_rule_exactly_at_its_end() -> None:
    driver = Driver(acts_on=ALL)
    free = r.DefaultDERControl(mrid="DEFA", base=of(r.ControlMode(name=ENERGIZE, on=True)))
    driver.give(0, program(event(of(r.ControlMode(name=ENERGIZE, on=False)), 10, 20), stated=free))
    bound = ruled(driver, 15)[ENERGIZE]
    assert (bound.failsafe_w, bound.end_utc_ms) == (None, at(30).utc_ms)
    assert ruled(driver, 31) == {}


def test_what_is_disabled_rules_but_bounds_nothing() -> None:
    driver = Driver(acts_on=ALL)
    driver.give(0, program(event(of(r.ControlMode(name=MAX, is_disabled=True)))))
    assert MAX in driver.scheduler.ruling()
    assert ruled(driver, 5) == {}


def test_without_a_stated_ramp_a_tightening_goes_at_set_grad_w_from_what_is_measured() -> None:
    driver = Driver(acts_on=ALL)
    driver.give(0, program(control("AA", 0, 600, {EXP: 0}), stated=default({EXP: 90_000})))
    found, ratings = ruled(driver, 0), replace(RATINGS, gradient=100)
    ramps = Ramps()
    settled = ramps.settle(found, {Quantity.QUANTITY_NET_EXPORT: 30_000}, ratings, at(0).utc_ms)
    # 1 % of 150 kW a second.
    assert settled[EXP].ramp_ms == 20_000
    again = ramps.settle(ruled(driver, 4), {Quantity.QUANTITY_NET_EXPORT: 24_000}, ratings, at(4).utc_ms)
    assert again[EXP].ramp_ms == 20_000, "settled once"
    assert limit_of(again[EXP], "grid", at(4).utc_ms).ramp_ms == 16_000


def test_a_stated_ramp_goes_before_set_grad_w_even_if_it_is_none() -> None:
    driver = Driver(acts_on=ALL)
    at_once = replace(control("AA", 0, 60, {EXP: 0}), base=of(r.ControlMode(name=EXP, power_w=0), ramp_ms=0))
    driver.give(0, program(at_once))
    settled = Ramps().settle(
        ruled(driver, 0), {Quantity.QUANTITY_NET_EXPORT: 30_000}, replace(RATINGS, gradient=100), at(0).utc_ms
    )
    assert settled[EXP].ramp_ms == 0


@pytest.mark.parametrize(
    ("measured", "second"),
    [({}, 0), ({Quantity.QUANTITY_NET_EXPORT: 500}, 0), ({Quantity.QUANTITY_NET_EXPORT: 30_000}, 60)],
)
def test_what_is_not_measured_not_tightened_or_long_begun_changes_at_once(
    measured: dict[int, int], second: int
) -> None:
    driver = Driver(acts_on=ALL)
    driver.give(0, program(control("AA", 0, 600, {EXP: 1_000})))
    settled = Ramps().settle(ruled(driver, second), measured, replace(RATINGS, gradient=100), at(second).utc_ms)
    assert settled[EXP].ramp_ms == 0


@given(
    start=st.integers(-200_000, 200_000),
    end=st.integers(-200_000, 200_000),
    ramp=st.integers(0, 100_000),
    times=st.lists(st.integers(-1_000, 120_000), min_size=2, max_size=2).map(sorted),
)
def test_a_ramp_moves_one_way_within_its_ends_and_arrives(start: int, end: int, ramp: int, times: list[int]) -> None:
    first, second = (ramped_w(start, end, passed, ramp) for passed in times)
    assert min(start, end) <= first <= max(start, end)
    assert abs(end - second) <= abs(end - first)
    assert ramped_w(start, end, ramp, ramp) == end
    if ramp > 0:
        assert ramped_w(start, end, 0, ramp) == start


@given(change=st.integers(0, 300_000), gradient=st.integers(1, 65_535))
def test_set_grad_w_is_never_exceeded_except_where_the_ems_takes_no_longer_ramp(change: int, gradient: int) -> None:
    ramp_ms = gradient_ramp_ms(change, replace(RATINGS, gradient=gradient))
    assert ramp_ms == 3_600_000 or change * 10_000 * 1000 <= ramp_ms * gradient * RATINGS.max_w


def wants(base: r.ControlBase, **changes: int | None) -> dict[str, int]:
    driver = Driver(acts_on=ALL)
    driver.give(0, program(event(base)))
    driver.run(30)
    units = view(**changes).units()
    found = Effect().wanted(driver.scheduler.ruling(), units, RATINGS, at(30).utc_ms)
    return {asset_id: want.want_w for asset_id, want in found.items()}


def test_a_fixed_output_is_pv_and_battery_together() -> None:
    # 60 % of 150 kW out: PV gives 40 kW, the battery the rest.
    assert wants(of(r.ControlMode(name="opModFixedW", permyriad=-6_000))) == {"pv-1": -100_000, "battery": -50_000}
    assert wants(of(r.ControlMode(name="opModFixedW", permyriad=-4_000))) == {"pv-1": -100_000, "battery": -20_000}


def test_a_fixed_charge_is_of_the_charge_rating_and_caps_pv_to_what_the_battery_can_take_beside_it() -> None:
    # 50 % of 50 kW in, with 40 kW of sun: the battery would have to take 65 kW.
    found = wants(of(r.ControlMode(name="opModFixedW", permyriad=5_000)))
    assert found == {"pv-1": -25_000, "battery": 50_000}
    assert wants(of(r.ControlMode(name="opModFixedW", permyriad=5_000)), pv_w=-25_000)["battery"] == 50_000


def test_a_full_battery_leaves_it_to_pv_and_an_empty_one_gives_nothing() -> None:
    target = of(r.ControlMode(name="opModTargetW", power_w=-10_000))
    assert wants(target, soc=950) == {"pv-1": -10_000, "battery": 0}
    assert wants(of(r.ControlMode(name="opModTargetW", power_w=-90_000)), soc=150) == {"pv-1": -100_000, "battery": 0}


def test_while_pv_is_not_seen_nothing_is_asked_of_the_battery() -> None:
    assert wants(of(r.ControlMode(name="opModTargetW", power_w=-10_000)), pv_w=None) == {"pv-1": -60_000}


def test_a_storage_target_is_the_batterys_alone_and_charges_with_its_sign() -> None:
    assert wants(of(r.ControlMode(name="opModStorageTargetW", power_w=30_000))) == {"battery": 30_000}
    assert wants(of(r.ControlMode(name="opModStorageTargetW", power_w=-80_000))) == {"battery": -50_000}


def test_several_batteries_share_by_what_each_can_do() -> None:
    units = [
        Unit(asset_id="a", is_battery=True, give_w=30_000, take_w=10_000, power_w=0),
        Unit(asset_id="b", is_battery=True, give_w=10_000, take_w=30_000, power_w=0),
    ]
    driver = Driver(acts_on=ALL)
    driver.give(0, program(event(of(r.ControlMode(name="opModStorageTargetW", power_w=-20_000)))))
    driver.run(30)
    found = Effect().wanted(driver.scheduler.ruling(), units, RATINGS, at(30).utc_ms)
    assert {asset_id: want.want_w for asset_id, want in found.items()} == {"a": -15_000, "b": -5_000}
    assert {want.end_ms for want in found.values()} == {at(60).utc_ms}


def test_a_target_follows_its_ramp_from_what_was_measured_when_it_began() -> None:
    driver, effect = Driver(acts_on=ALL), Effect()
    driver.give(0, program(event(of(r.ControlMode(name="opModStorageTargetW", power_w=30_000), ramp_ms=10_000))))
    found = []
    for second, battery_w in ((0, 10_000), (5, 20_000), (10, 25_000), (20, 30_000)):
        driver.run(second)
        units = view(battery_w=battery_w).units()
        found.append(effect.wanted(driver.scheduler.ruling(), units, RATINGS, at(second).utc_ms)["battery"].want_w)
    assert found == [10_000, 20_000, 30_000, 30_000]


def test_a_stopped_plant_is_off_only_once_nothing_comes_out() -> None:
    still, running = view(pv_w=0, battery_w=0), view()
    assert der_status(still.plant_seen(), 7, is_stopped=True).gen_connect == r.StampedValue(time_s=7, value=0)
    assert der_status(still.plant_seen(), 7, is_stopped=True).operational_mode == r.StampedValue(time_s=7, value=1)
    assert der_status(running.plant_seen(), 7, is_stopped=True).gen_connect == r.StampedValue(time_s=7, value=0b101)
    assert der_status(running.plant_seen(), 7, is_stopped=True).operational_mode == r.StampedValue(time_s=7, value=2)
    assert der_status(still.plant_seen(), 7, is_stopped=True).connect == r.StampedValue(time_s=7, value=0)
    assert der_status(running.plant_seen(), 7).connect == r.StampedValue(time_s=7, value=0b011)
    assert der_status(still.plant_seen(), 7).gen_connect == r.StampedValue(time_s=7, value=0b011)


def test_the_bitmaps_say_what_has_an_effect_and_nothing_else() -> None:
    bits = plant.mode_bits(ALL, has_battery=True)
    named = {2, 3, 7, 20, 22, 28}
    assert bits.modes == sum(1 << bit for bit in named) | 0b11
    older = plant.modes_of_edition(ALL, Edition.EDITION_S18)
    assert plant.mode_bits(older, has_battery=True).modes == sum(1 << bit for bit in named - {28}) | 0b11
    assert plant.modes_of_edition(ALL, Edition.EDITION_S23) == ALL
    assert (bits.modes_2, bits.doe, bits.vpp) == (1 << 8 | 1 << 7 | 1 << 4, 0b1111, 1)
    without = plant.mode_bits(acts_on(has_battery=False), has_battery=False)
    assert without.vpp is None
    assert without.modes == sum(1 << bit for bit in (2, 3, 20)) | 0b10
    assert set(ALL) <= set(MODES)


def test_each_edition_gets_its_own_word_for_the_connection() -> None:
    told = der_status(view().plant_seen(), 7)
    of_2018, of_2023 = of_edition(told, Edition.EDITION_S18), of_edition(told, Edition.EDITION_S23)
    assert (of_2018.connect, of_2018.gen_connect, of_2018.stor_connect) == (None, told.gen_connect, told.stor_connect)
    assert (of_2023.connect, of_2023.gen_connect, of_2023.stor_connect) == (told.connect, None, None)
