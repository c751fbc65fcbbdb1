"""Averages on the clock marks, what is observed of the site, and the mirrors."""

from __future__ import annotations

from der_examples import OBSERVED, site
from hypothesis import given
from hypothesis import strategies as st

from dgm.api.site.v1.site_pb2 import CircuitState, Quality, Sample, WatchSiteResponse
from dgm.der import plant
from dgm.der import resource as r
from dgm.der.effect import acts_on
from dgm.der.identity import mrid_of
from dgm.der.metering import HOLD_MS_MAX, STORED, Metered, Metering, Quantity, mirrors, reading_of
from dgm.der.status import der_status
from dgm.machine import Now

LFDI = "3E4F45AB31EDFE5B67E343E5E4562E31984E23E5"
W = Quantity.SITE_W
MARK_S = 1_700_000_040  # a full minute


def at(second: float) -> Now:
    return Now(mono_ms=round(second * 1000), utc_ms=MARK_S * 1000 + round(second * 1000))


def feed(metering: Metering, values: dict[float, int | None]) -> list[Metered]:
    done: list[Metered] = []
    for second, value in sorted(values.items()):
        done += metering.observe({} if value is None else {W: value}, at(second))
    return [item for item in done if item.quantity is W]


def test_an_average_is_weighted_by_time_and_ends_on_the_clock_mark() -> None:
    metering = Metering(lambda quantity: 60)
    values: dict[float, int | None] = dict.fromkeys(range(0, 45, 5), 100)
    values |= dict.fromkeys(range(45, 65, 5), 500)
    assert feed(metering, values) == [Metered(quantity=W, start_s=MARK_S, duration_s=60, value=200)]


def test_a_reading_starts_and_ends_on_whole_multiples_whenever_the_role_started() -> None:
    metering = Metering(lambda quantity: 60)
    done = feed(metering, dict.fromkeys(range(17, 200, 3), 7))
    assert [item.start_s - MARK_S for item in done] == [0, 60, 120]


@given(st.integers(-(10**9), 10**9), st.integers(1, 9), st.integers(1, 7))
def test_a_constant_is_its_own_average(value: int, period_s: int, every_s: int) -> None:
    metering = Metering(lambda quantity: period_s)
    done = feed(metering, dict.fromkeys(range(0, 60, every_s), value))
    assert done
    assert {item.value for item in done} == {value}


@given(st.lists(st.integers(-1000, 1000), min_size=30, max_size=30))
def test_an_average_lies_between_the_least_and_the_greatest(values: list[int]) -> None:
    metering = Metering(lambda quantity: 10)
    for item in feed(metering, dict(enumerate(values))):
        seen = values[item.start_s - MARK_S : item.start_s - MARK_S + 10]
        assert min(seen) <= item.value <= max(seen)


def test_what_was_hardly_observed_gives_no_reading() -> None:
    metering = Metering(lambda quantity: 60)
    done = feed(metering, {0: 100, 5: 100, 10: None, 59: 100, 61: 100, 70: 100})
    assert done == []


def test_a_value_that_is_not_renewed_stops_counting() -> None:
    metering = Metering(lambda quantity: 60)
    assert feed(metering, {0: 100}) == []
    assert [item for item in metering.advance(at(61)) if item.quantity is W] == []
    assert HOLD_MS_MAX < 30_000


def test_a_new_rate_begins_anew_on_its_own_mark() -> None:
    rates = [60]
    metering = Metering(lambda quantity: rates[0])
    feed(metering, dict.fromkeys(range(0, 31), 1))
    rates[0] = 20
    done = feed(metering, dict.fromkeys(range(31, 61), 2))
    assert [(item.start_s - MARK_S, item.duration_s) for item in done] == [(40, 20)]


def test_the_next_mark_is_the_wake_time() -> None:
    metering = Metering(lambda quantity: 60)
    metering.observe({W: 1}, at(17))
    assert metering.wake_time() == 60_000


def test_mrids_are_static_distinct_and_end_with_the_pen_in_decimal() -> None:
    made = mirrors(LFDI, 37244)
    every = [item.mrid for item in made.values()] + [item.readings[0].mrid for item in made.values()]
    assert len(set(every)) == 12
    assert all(len(mrid) == 32 and mrid.endswith("00037244") for mrid in every)
    assert made == mirrors(LFDI, 37244)
    assert mrid_of(LFDI, "a", 1) != mrid_of(LFDI, "b", 1)


def test_mirrors_carry_the_roles_and_units_of_the_profile() -> None:
    found = {
        quantity.value: (mirror.role_flags, mirror.readings[0].reading_type)
        for quantity, mirror in mirrors(LFDI, 1).items()
    }
    assert {name: flags for name, (flags, _) in found.items()} == {
        "site W": 0x0003,
        "site var": 0x0003,
        "site V": 0x0003,
        "DER W": 0x0049,
        "DER var": 0x0049,
        "DER V": 0x0049,
    }
    kinds = {name: reading_type for name, (_, reading_type) in found.items()}
    assert [kinds[name].uom for name in ("site W", "DER var", "DER V")] == [38, 63, 29]
    assert {(item.kind, item.data_qualifier) for item in kinds.values()} == {(37, 2)}


def test_a_reading_states_its_interval() -> None:
    metered = Metered(quantity=W, start_s=60, duration_s=60, value=5)
    document = reading_of(metered, mirrors(LFDI, 1)[W])
    assert document.reading == r.Reading(period=r.Interval(start_s=60, duration_s=60), value=5)


def test_the_der_is_the_inverse_of_the_sites_sign() -> None:
    view = plant.SiteView(site())
    view.take(OBSERVED)
    assert view.values() == {
        Quantity.SITE_W: 120_000,
        Quantity.SITE_VAR: 3_000,
        Quantity.SITE_V: 2302,
        Quantity.DER_W: 30_000,
        Quantity.DER_VAR: 0,
        Quantity.DER_WH: 63_400,
    }


def test_what_is_not_good_is_not_told() -> None:
    view = plant.SiteView(site())
    view.take(OBSERVED)
    view.take(
        WatchSiteResponse(
            samples=[Sample(asset_id="pv-1", quality=Quality.QUALITY_STALE, power_w=-40_000)],
            circuits=[CircuitState(circuit_id="grid", net_power_w=1, meter_lost=True)],
        )
    )
    assert Quantity.SITE_W not in view.values()
    assert Quantity.DER_W not in view.values()
    assert der_status(view.plant_seen(), 7).gen_connect is None
    view.forget()
    assert view.values() == {}


def test_the_status_tells_what_runs_and_how_full_the_battery_is() -> None:
    view = plant.SiteView(site())
    assert der_status(view.plant_seen(), 7) == r.DERStatus(reading_s=7)
    view.take(OBSERVED)
    status = der_status(view.plant_seen(), 8)
    assert status.gen_connect == r.StampedValue(time_s=8, value=0b111)
    assert status.state_of_charge == r.StampedValue(time_s=8, value=6300)


BITS = plant.mode_bits(acts_on(has_battery=True), has_battery=True)


def test_capability_and_settings_state_the_ratings_and_the_limit_modes() -> None:
    config, storage = site().der, plant.storage_of(site())
    assert plant.capability(config, BITS, storage).doe_modes == 0b1111
    assert plant.capability(config, BITS, storage).max_charge_rate_w == 50_000
    settings = plant.settings(config, BITS, storage, gradient_permyriad_s=27, updated_s=1)
    assert (settings.set_grad_w_permyriad_s, settings.max_w, settings.doe_modes) == (27, 150_000, 0b1111)
    assert (settings.max_discharge_rate_w, settings.max_wh) == (50_000, 100_000)
    config.battery_charge_rating_w = 0
    assert plant.capability(config, BITS, storage).max_charge_rate_w is None


def test_stored_energy_is_told_as_it_is_on_the_mark_with_no_duration() -> None:
    metering = Metering(lambda quantity: 60, STORED)
    done = [
        item for second in (0, 20, 40, 58, 61, 90) for item in metering.observe({Quantity.DER_WH: second}, at(second))
    ]
    assert done == [Metered(quantity=Quantity.DER_WH, start_s=MARK_S + 60, duration_s=0, value=58)]
    assert metering.advance(at(121)) == [], "seen too long before the mark"


def test_the_mirror_of_stored_energy_says_what_it_is() -> None:
    kind = mirrors(LFDI, 1, STORED)[Quantity.DER_WH].readings[0].reading_type
    assert kind is not None
    assert (kind.uom, kind.kind, kind.data_qualifier) == (72, 12, 0)
