"""DERStatus and DERAvailability: what runs, what is in reserve, and since when a state lasts."""

from __future__ import annotations

from dataclasses import replace

import pytest
from der_examples import OBSERVED, site
from hypothesis import given
from hypothesis import strategies as st

from dgm.api.site.v1.site_pb2 import CircuitState, Grant, Quality, Sample, WatchSiteResponse
from dgm.der import plant
from dgm.der import resource as r
from dgm.der.availability import Store, availability
from dgm.der.status import carried, der_status

GOOD = Quality.QUALITY_GOOD


def seen(pv_w: int, battery_w: int = 0, *, pv: int = GOOD, binding: str = "", may_w: int = -40_000) -> plant.SiteView:
    view = plant.SiteView(site())
    view.take(
        WatchSiteResponse(
            snapshot=True,
            samples=[
                Sample(asset_id="pv-1", quality=pv, power_w=pv_w),  # type: ignore[arg-type]
                Sample(asset_id="battery", quality=GOOD, power_w=battery_w, soc_permille=500),
            ],
            circuits=[CircuitState(circuit_id="grid", net_power_w=0)],
            grants=[Grant(asset_id="pv-1", power_w=may_w, binding_limit_id=binding)],
        )
    )
    return view


@pytest.mark.parametrize(
    ("view", "is_stopped", "inverter", "gen_connect"),
    [
        (seen(-30_000), False, 4, 0b111),
        (seen(-39_900, binding="utility:opModGenLimW"), False, 5, 0b111),
        (seen(-20_000, binding="utility:opModGenLimW"), False, 4, 0b111),
        (seen(0, binding="utility:opModGenLimW", may_w=0), False, 5, 0b011),
        (seen(0), False, 2, 0b011),
        (seen(-30_000), True, 6, 0b101),
        (seen(0), True, 1, 0),
        (seen(0, pv=Quality.QUALITY_FAILED), False, 7, 0b10011),
        (seen(0, pv=Quality.QUALITY_NEVER), False, None, None),
    ],
)
def test_the_inverters_are_told_as_one(
    view: plant.SiteView, is_stopped: bool, inverter: int | None, gen_connect: int | None
) -> None:
    status = der_status(view.plant_seen(), 9, is_stopped=is_stopped)
    told = [None if part is None else part.value for part in (status.inverter, status.gen_connect)]
    assert told == [inverter, gen_connect]


@pytest.mark.parametrize(("battery_w", "mode"), [(5_000, 0), (-5_000, 1), (30, 2)])
def test_the_battery_charges_discharges_or_holds(battery_w: int, mode: int) -> None:
    assert der_status(seen(0, battery_w).plant_seen(), 9).storage_mode == r.StampedValue(time_s=9, value=mode)


def test_who_controls_and_what_is_wrong_is_told() -> None:
    view = plant.SiteView(site())
    view.take(OBSERVED)
    status = der_status(view.plant_seen(), 9, is_remote=True, alarms=0b10)
    assert (status.alarms, status.local_control_mode) == (0b10, r.StampedValue(time_s=9, value=1))
    assert status.manufacturer == r.StampedText(time_s=9, value="OK")
    view.take(WatchSiteResponse(circuits=[CircuitState(circuit_id="grid", meter_lost=True)]))
    lost = der_status(view.plant_seen(), 9)
    assert lost.manufacturer == r.StampedText(time_s=9, value="NOMETR")
    assert lost.alarms == 0, "said, so that a server that takes absence for no news sees them end"


def test_a_state_that_lasts_keeps_the_time_at_which_it_began() -> None:
    first = der_status(seen(-30_000).plant_seen(), 10)
    later = carried(first, der_status(seen(-30_000, 5_000).plant_seen(), 20))
    assert later.reading_s == 20
    assert later.gen_connect == r.StampedValue(time_s=10, value=0b111)
    assert later.storage_mode == r.StampedValue(time_s=20, value=0)


STORE = Store(
    give_w=50_000, take_w=40_000, energy_wh=100_000, low_permille=200, high_permille=900, soc_permille=500, power_w=0
)


def told(*stores: Store, is_stopped: bool = False) -> r.DERAvailability:
    found = availability(stores, 7, max_w=150_000, charge_w=40_000, is_stopped=is_stopped)
    assert found is not None
    return found


def test_a_battery_at_rest_can_give_and_take_its_rating_until_its_own_bounds() -> None:
    assert told(STORE) == r.DERAvailability(
        availability_s=30_000 * 3600 // 50_000,
        max_charge_s=3600,
        reading_s=7,
        reserve_charge_permyriad=10_000,
        reserve_permyriad=3_333,
        absorb_available_w=40_000,
        available_w=50_000,
    )


def test_what_it_does_already_is_no_reserve_and_what_it_takes_can_be_given_up() -> None:
    assert told(replace(STORE, power_w=-20_000)).available_w == 30_000
    assert told(replace(STORE, power_w=10_000)).available_w == 60_000
    empty = told(replace(STORE, soc_permille=200, power_w=10_000))
    assert (empty.available_w, empty.availability_s) == (10_000, 0)
    full = told(replace(STORE, soc_permille=900))
    assert (full.absorb_available_w, full.max_charge_s, full.reserve_charge_permyriad) == (0, 0, 0)


def test_a_stopped_plant_gives_nothing_and_no_battery_says_nothing() -> None:
    stopped = told(STORE, is_stopped=True)
    assert (stopped.available_w, stopped.availability_s, stopped.absorb_available_w) == (0, 0, 40_000)
    assert availability([], 7, max_w=1, charge_w=1) is None
    assert availability(None, 7, max_w=1, charge_w=1) is None


stores = st.builds(
    Store,
    give_w=st.integers(0, 10**6),
    take_w=st.integers(0, 10**6),
    energy_wh=st.integers(0, 10**7),
    low_permille=st.integers(0, 400),
    high_permille=st.integers(600, 1000),
    soc_permille=st.integers(0, 1000),
    power_w=st.integers(-(10**6), 10**6),
)


@given(st.lists(stores, min_size=1, max_size=4))
def test_what_is_promised_for_a_time_is_there(batteries: list[Store]) -> None:
    found = told(*batteries)
    for store in batteries:
        if store.giveable_wh:
            assert (found.availability_s or 0) * store.give_w <= store.giveable_wh * 3600
        if store.takeable_wh:
            assert (found.max_charge_s or 0) * store.take_w <= store.takeable_wh * 3600
    assert 0 <= (found.reserve_permyriad or 0) <= 10_000
    assert (found.available_w or 0) >= 0
