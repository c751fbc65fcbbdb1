"""What an EMS says at the DER facade: it counts for its time, for the very limit, and while its heartbeat lives."""

from __future__ import annotations

import pytest

from dgm.der import registers
from dgm.der.facade_writes import ALIVE, EXPIRED, IN_FORCE, LOST, NOBODY, NONE, Availability, EmsSaid, as_resource
from dgm.der.models import AVAILABILITY, GATEWAY_MODEL, LIMIT_MODEL, STANDARD
from dgm.machine import Now
from dgm.maps.table import Model
from dgm.maps.writes import Contended, Joined, Write

ONE, OTHER = "10.0.0.5:40001", "10.0.0.6:40002"
ABSENT = 0xFFFF_FFFF
RESERVE = {point.name: ABSENT for point in AVAILABILITY} | {"available_w": 30_000, "reserve_permyriad": 2_500}


def now(second: float) -> Now:
    return Now(mono_ms=round(second * 1000), utc_ms=0)


def writes(model: Model, index: int | None = None, peer: str | None = ONE, **values: int) -> list[Write]:
    place = registers.place(model, index)
    return [(1, place.address + model.offsets[name], value, 0, peer, None) for name, value in values.items()]


class Said:
    """An EmsSaid with what joins the writes before it."""

    def __init__(self) -> None:
        self.joined = Joined((*STANDARD.values(), GATEWAY_MODEL, LIMIT_MODEL), registers.located)
        self.said = EmsSaid()

    def take(self, second: float, found: list[Write]) -> list[Contended]:
        return self.said.take(self.joined.take(found, connected=(ONE, OTHER)), now(second))

    def beat(self, second: float, valid_s: int = 5) -> None:
        self.take(second, writes(GATEWAY_MODEL, heartbeat=1, heartbeat_valid_s=valid_s))

    def ack(self, second: float, index: int, sequence: int, ack: int = 2) -> None:
        self.take(second, writes(LIMIT_MODEL, index, ack_sequence=sequence, ack=ack))


def test_nobody_is_there_until_a_heartbeat_comes_and_it_is_lost_after_its_own_time() -> None:
    ems = Said()
    assert (ems.said.control(now(0)), ems.said.heartbeat_left_ms(now(0))) == (NOBODY, None)
    ems.beat(1)
    assert (ems.said.control(now(5.9)), ems.said.heartbeat_left_ms(now(5.9))) == (ALIVE, 100)
    assert (ems.said.control(now(6)), ems.said.heartbeat_left_ms(now(6))) == (LOST, None)
    ems.beat(8)
    assert ems.said.control(now(8)) == ALIVE


def test_the_controllers_count_of_sunspec_is_a_heartbeat_of_ten_seconds() -> None:
    ems = Said()
    ems.take(1, writes(STANDARD[715], ControllerHb=77))
    assert ems.said.heartbeat_left_ms(now(1)) == 10_000
    ems.take(11, writes(STANDARD[715], peer=None, ControllerHb=0))
    assert ems.said.control(now(11)) == LOST


def test_an_acknowledgement_counts_for_its_very_limit_while_the_heartbeat_lives() -> None:
    ems = Said()
    ems.beat(0)
    ems.ack(0, 2, 7)
    assert ems.said.acknowledged(2, 7, now(1)) == 2
    assert ems.said.acknowledged(2, 8, now(1)) == 0, "the limit has changed since"
    assert ems.said.acknowledged(1, 7, now(1)) == 0, "it was said of another one"
    assert ems.said.acknowledged(2, 7, now(5)) == 0, "nobody is there any more"


def test_who_comes_back_has_to_acknowledge_anew() -> None:
    ems = Said()
    ems.beat(0)
    ems.ack(0, 0, 7)
    ems.beat(4)
    assert ems.said.acknowledged(0, 7, now(6)) == 2
    ems.beat(20)
    assert ems.said.acknowledged(0, 7, now(20)) == 0


def test_the_availability_is_what_was_said_for_as_long_as_it_was_said() -> None:
    ems = Said()
    assert (ems.said.availability(now(0)), ems.said.availability_state(now(0))) == (None, (NONE, None))
    ems.take(0, writes(GATEWAY_MODEL, **RESERVE, available_valid_s=30))
    assert ems.said.availability(now(29)) == Availability(available_w=30_000, reserve_permyriad=2_500)
    assert ems.said.availability_state(now(29)) == (IN_FORCE, 1_000)
    told = as_resource(Availability(available_w=30_000, reserve_permyriad=2_500), 1_900_000_000)
    assert (told.available_w, told.reserve_permyriad, told.available_var) == (30_000, 2_500, None)
    assert (ems.said.availability(now(30)), ems.said.availability_state(now(30))) == (None, (EXPIRED, None))


def test_an_availability_that_the_server_ended_is_over() -> None:
    ems = Said()
    ems.take(0, writes(GATEWAY_MODEL, **RESERVE, available_valid_s=30))
    ems.take(20, writes(GATEWAY_MODEL, peer=None, **RESERVE, available_valid_s=0))
    assert ems.said.availability(now(20)) is None


def test_release_is_no_loss_and_ends_everything() -> None:
    ems = Said()
    ems.beat(0)
    ems.ack(0, 0, 7)
    ems.take(0, writes(GATEWAY_MODEL, **RESERVE, available_valid_s=30))
    ems.take(1, writes(GATEWAY_MODEL, release=1))
    assert ems.said.control(now(60)) == NOBODY
    assert ems.said.availability(now(1)) is None
    assert ems.said.acknowledged(0, 7, now(1)) == 0


def test_two_masters_at_one_limit_are_counted_and_named() -> None:
    ems = Said()
    ems.beat(0)
    ems.ack(0, 3, 1)
    (told,) = ems.take(1, writes(LIMIT_MODEL, 3, OTHER, ack_sequence=1, ack=3))
    assert (told.group, told.index, told.held_by, told.taken_by) == ("acknowledgement", 3, ONE, OTHER)
    assert (ems.said.contended, ems.said.acknowledged(3, 1, now(1))) == (1, 3)


@pytest.mark.parametrize(("unit", "address"), [(1, 0), (1, registers.END_AT), (2, registers.PLACES[0][2])])
def test_a_register_of_no_model_belongs_to_nobody(unit: int, address: int) -> None:
    assert registers.located(unit, address) is None
