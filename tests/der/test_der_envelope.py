"""From ruling controls to limits for the EMS and to the facade's registers."""

from __future__ import annotations

from dataclasses import replace

import pytest
from der_events import IMP, Driver, at, control, default, program

from dgm.api.ems.v1.ems_pb2 import Quantity
from dgm.der.envelope import DEFAULT_LEASE_MS, GRACE_MS, Bound, bounds, lease_ms, limit_of, renew_after_ms


def ruling(driver: Driver, second: float, mode: str = IMP) -> Bound | None:
    driver.run(second)
    return bounds(driver.scheduler, at(second).utc_ms).get(mode)


def test_nothing_rules_where_nothing_was_said() -> None:
    assert bounds(Driver().scheduler, at(0).utc_ms) == {}


def test_an_event_over_a_default_is_leased_past_its_end_with_the_default_as_failsafe() -> None:
    driver = Driver()
    driver.give(0, program(control("AA", 10, 20), stated=default({IMP: 5000})))
    bound = ruling(driver, 15)
    assert bound is not None
    assert (bound.power_w, bound.failsafe_w) == (1000, 5000)
    assert lease_ms(bound, at(15).utc_ms) == 15_000 + GRACE_MS
    assert renew_after_ms(bound, at(15).utc_ms) is None


def test_an_event_with_nothing_after_it_ends_by_rule_exactly_at_its_end() -> None:
    driver = Driver()
    driver.give(0, program(control("AA", 10, 20)))
    bound = ruling(driver, 15)
    assert bound is not None
    assert bound.failsafe_w is None
    assert lease_ms(bound, at(15).utc_ms) == 15_000
    assert ruling(driver, 30) is None


def test_an_event_that_another_follows_at_once_leaves_no_gap() -> None:
    driver = Driver()
    driver.give(0, program(control("AA", 10, 20), control("BB", 30, 20, {IMP: 7})))
    bound = ruling(driver, 15)
    assert bound is not None
    assert lease_ms(bound, at(15).utc_ms) == 15_000 + GRACE_MS
    after = ruling(driver, 30)
    assert after is not None
    assert after.power_w == 7


def test_an_event_of_zero_watts_is_a_limit_of_zero_watts() -> None:
    driver = Driver()
    driver.give(0, program(control("AA", 0, 20, {IMP: 0}), stated=default({IMP: 0})))
    bound = ruling(driver, 5)
    assert bound is not None
    limit = limit_of(bound, "grid", at(5).utc_ms)
    assert limit.HasField("power_w")
    assert limit.HasField("failsafe_power_w")


def test_a_default_is_a_heartbeat_that_is_its_own_failsafe() -> None:
    driver = Driver()
    driver.give(0, program(stated=default({IMP: 5000})))
    bound = ruling(driver, 3)
    assert bound is not None
    limit = limit_of(bound, "grid", at(3).utc_ms)
    assert (limit.power_w, limit.failsafe_power_w, limit.ttl_ms) == (5000, 5000, DEFAULT_LEASE_MS)
    renew = renew_after_ms(bound, at(3).utc_ms)
    assert renew is not None
    assert renew < DEFAULT_LEASE_MS / 2


def test_the_same_state_is_the_same_bound_at_every_moment() -> None:
    driver = Driver()
    driver.give(0, program(control("AA", 10, 100), stated=default({IMP: 5000})))
    assert ruling(driver, 1) == ruling(driver, 8)
    assert ruling(driver, 12) == ruling(driver, 90)


@pytest.mark.parametrize(
    ("mode", "quantity"),
    [
        ("opModImpLimW", Quantity.QUANTITY_NET_IMPORT),
        ("opModExpLimW", Quantity.QUANTITY_NET_EXPORT),
        ("opModGenLimW", Quantity.QUANTITY_GROSS_GENERATION),
        ("opModLoadLimW", Quantity.QUANTITY_GROSS_LOAD),
    ],
)
def test_each_mode_bounds_its_own_quantity_under_one_id(mode: str, quantity: Quantity) -> None:
    driver = Driver()
    driver.give(0, program(control("AA", 0, 20, {mode: 1})))
    bound = ruling(driver, 5, mode)
    assert bound is not None
    limit = limit_of(bound, "grid", at(5).utc_ms)
    assert (limit.id, limit.quantity, limit.circuit_id) == (f"utility:{mode}", quantity, "grid")
    assert "AA" in limit.reason


def test_a_ramp_that_has_begun_is_stated_with_what_is_left_of_it() -> None:
    driver = Driver()
    ramped = control("AA", 10, 60)
    driver.give(0, program(replace(ramped, base=replace(ramped.base, ramp_ms=8000))))
    bound = ruling(driver, 10)
    assert bound is not None
    assert limit_of(bound, "grid", at(10).utc_ms).ramp_ms == 8000
    assert limit_of(bound, "grid", at(13).utc_ms).ramp_ms == 5000
    assert limit_of(bound, "grid", at(50).utc_ms).ramp_ms == 0


def test_a_lease_longer_than_the_ems_takes_is_cut_and_renewed() -> None:
    driver = Driver()
    driver.give(0, program(control("AA", 0, 400 * 86_400)))
    bound = ruling(driver, 5)
    assert bound is not None
    assert lease_ms(bound, at(5).utc_ms) == 300 * 86_400_000
    assert renew_after_ms(bound, at(5).utc_ms) == 150 * 86_400_000
