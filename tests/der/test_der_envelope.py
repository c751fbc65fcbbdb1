"""From ruling controls to limits for the EMS and to the facade's registers."""

from __future__ import annotations

from dataclasses import replace

import pytest
from der_events import EXP, IMP, Driver, at, control, default, program

from dgm.api.ems.v1.ems_pb2 import Quantity
from dgm.der import registers
from dgm.der.discovery import Link
from dgm.der.effect import Target
from dgm.der.envelope import DEFAULT_LEASE_MS, GRACE_MS, UNBOUND_W, Bound, bounds, lease_ms, limit_of, renew_after_ms
from dgm.der.registers import ABSENT, Picture, words


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


def read(image: bytes, address: int, count: int = 2) -> int:
    return int.from_bytes(image[2 * address : 2 * (address + count)], "big")


def test_the_registers_show_limits_ages_and_what_is_absent() -> None:
    driver = Driver()
    driver.give(0, program(control("AABBCCDD" + "0" * 24, 10, 20, {IMP: 90_000}), stated=default({EXP: 70_000})))
    driver.run(15)
    image = words(
        Picture(
            link=Link.READY,
            heartbeat=7,
            age_ms=2500,
            at_ms=at(15.5).utc_ms,
            bounds=bounds(driver.scheduler, at(15).utc_ms),
            targets={},
        )
    )
    assert len(image) == 2 * registers.COUNT
    assert image[:4] == b"DGMD"
    assert (read(image, 2, 1), read(image, 3, 1), read(image, 4), read(image, 6)) == (2, 2, 7, 2)
    assert (read(image, 16), read(image, 18), read(image, 20), read(image, 22, 1)) == (90_000, 0xAABBCCDD, 15, 2)
    assert (read(image, 24), read(image, 28), read(image, 30, 1)) == (70_000, ABSENT, 1)
    assert (read(image, 32), read(image, 34), read(image, 36), read(image, 38, 1)) == (ABSENT, 0, ABSENT, 0)


def test_a_limit_beyond_the_register_is_never_shown_as_none() -> None:
    bound = Bound(
        mode=IMP,
        power_w=2**40,
        mrid="01",
        began_utc_ms=0,
        end_utc_ms=None,
        event_end_ms=None,
        failsafe_w=None,
        ramp_ms=0,
    )
    image = words(Picture(link=Link.LOST, heartbeat=0, age_ms=None, at_ms=0, bounds={IMP: bound}, targets={}))
    assert read(image, 16) == ABSENT - 1
    assert read(image, 6) == ABSENT


def test_the_registers_show_switches_caps_and_signed_targets_and_no_bound_that_an_event_frees() -> None:
    out = Target(power_w=-20_000, mrid="AABBCCDD" + "0" * 24, event_end_ms=9_000)
    held = Bound(
        mode="opModEnergize",
        power_w=0,
        mrid="1",
        began_utc_ms=0,
        end_utc_ms=None,
        event_end_ms=None,
        failsafe_w=None,
        ramp_ms=0,
    )
    freed = replace(held, mode="opModMaxLimW", power_w=UNBOUND_W)
    picture = Picture(
        link=Link.READY,
        heartbeat=0,
        age_ms=None,
        at_ms=4_000,
        bounds={"opModEnergize": held, "opModMaxLimW": freed},
        targets={"opModTargetW": out},
    )
    image = words(picture)
    assert (read(image, 16 + 8 * 7), read(image, 16 + 8 * 7 + 6, 1)) == (0, registers.ORIGIN_DEFAULT)
    assert (read(image, 16 + 8 * 4), read(image, 16 + 8 * 4 + 6, 1)) == (ABSENT, registers.NO_ORIGIN)
    target = 16 + 8 * 9
    assert (read(image, target), read(image, target + 2), read(image, target + 4)) == (2**32 - 20_000, 0xAABBCCDD, 5)
    assert read(image, 16 + 8 * 8) == 0x80000000
