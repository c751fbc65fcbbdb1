"""What is written becomes orders: whole groups, with a lease and a name; two masters are told apart."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ocpp_driver import QUICK, settings

from dgm.maps.table import MODEL_AT
from dgm.maps.writes import Contended, Ended, Write, client_of
from dgm.ocpp.facade_writes import Alive, CapOrder, Released, TotalOrder, Written
from dgm.ocpp.models import EVSE_MODEL, SITE_MODEL
from dgm.ocpp.registers import evse_place
from dgm.ocpp.service.orders import cap_ma

ABSENT16, ABSENT32 = 0xFFFF, 0xFFFF_FFFF
ONE, OTHER = "10.0.0.5:40001", "10.0.0.6:40002"
CAP = {
    "sequence": 1,
    "cap_ma": 16_000,
    "cap_w": ABSENT32,
    "priority": ABSENT16,
    "may_pause": ABSENT16,
    "cap_valid_s": 30,
}


def cap_writes(
    index: int = 0, *, age_ms: int = 0, peer: str | None = ONE, role: str | None = None, **changes: int
) -> list[Write]:
    place = evse_place(index, EVSE_MODEL)
    offsets = EVSE_MODEL.offsets
    values = {**CAP, **changes}
    return [(place.unit, place.address + offsets[name], values[name], age_ms, peer, role) for name in CAP]


def site_writes(peer: str | None = ONE, **values: int) -> list[Write]:
    return [(1, MODEL_AT + SITE_MODEL.offsets[name], value, 0, peer, None) for name, value in values.items()]


def cap_order(**changes: object) -> CapOrder:
    asked = {"index": 0, "client": "10.0.0.5", "sequence": 1, "cap_ma": 16_000, "cap_w": None, "weight": None}
    return CapOrder(**{**asked, "may_pause": True, "ttl_ms": 30_000, **changes})  # type: ignore[arg-type]


def test_a_whole_group_is_one_order_and_its_age_is_off_its_lease() -> None:
    assert Written(1).take(cap_writes(age_ms=100), connected=[ONE]) == [cap_order(ttl_ms=29_900)]


def test_what_is_not_asked_is_absent_and_not_zero() -> None:
    (found,) = Written(1).take(cap_writes(cap_ma=ABSENT32, cap_w=0, priority=20, may_pause=0), connected=[ONE])
    assert found == cap_order(cap_ma=None, cap_w=0, weight=20, may_pause=False)


def test_the_role_of_a_certificate_names_the_client_before_its_address() -> None:
    (found,) = Written(1).take(cap_writes(role="SiteEms"), connected=[ONE])
    assert isinstance(found, CapOrder)
    assert found.client == "SiteEms"


@pytest.mark.parametrize(
    ("peer", "role", "client"),
    [(ONE, None, "10.0.0.5"), ("[::1]:9", None, "::1"), (ONE, "Rolle Ä", "Rolle__"), (None, None, "unknown")],
)
def test_a_client_is_named_without_its_port_and_without_odd_characters(
    peer: str | None, role: str | None, client: str
) -> None:
    assert client_of(peer, role) == client


def test_a_write_that_waited_longer_than_its_lease_is_not_taken() -> None:
    assert Written(1).take(cap_writes(age_ms=30_000), connected=[ONE]) == []


@QUICK
@given(st.integers(0, 999), st.integers(1, 3600))
def test_an_order_names_the_evse_whose_registers_were_written(index: int, valid_s: int) -> None:
    found = Written(1000).take(cap_writes(index, cap_valid_s=valid_s), connected=[ONE])
    assert found == [cap_order(index=index, ttl_ms=valid_s * 1000)]


def test_the_site_takes_a_heartbeat_a_total_and_a_release() -> None:
    heartbeat = site_writes(heartbeat=3, heartbeat_valid_s=5)
    total = site_writes(total_sequence=4, total_cap_w=50_000, total_valid_s=6)
    none = site_writes(total_sequence=5, total_cap_w=ABSENT32, total_valid_s=6)
    found = Written(0).take([*heartbeat, *total, *none, *site_writes(release=1)], connected=[ONE])
    client = "10.0.0.5"
    assert found == [
        Alive(client=client, ttl_ms=5_000),
        TotalOrder(client=client, sequence=4, cap_w=50_000, ttl_ms=6_000),
        TotalOrder(client=client, sequence=5, cap_w=None, ttl_ms=6_000),
        Released(client=client),
    ]


def test_a_lease_that_ended_in_the_server_is_told_once() -> None:
    written = Written(2)
    written.take(cap_writes(1), connected=[ONE])
    assert written.take(cap_writes(1, peer=None, cap_valid_s=0), connected=[ONE]) == [Ended(group="cap", index=1)]


def test_the_last_of_two_masters_wins_and_both_are_named() -> None:
    written = Written(1)
    written.take(cap_writes(), connected=[ONE, OTHER])
    found = written.take(cap_writes(peer=OTHER, sequence=2, cap_ma=8_000), connected=[ONE, OTHER])
    assert found == [
        Contended(group="cap", index=0, held_by=ONE, taken_by=OTHER),
        cap_order(client="10.0.0.6", sequence=2, cap_ma=8_000),
    ]
    again = written.take(cap_writes(peer=OTHER, sequence=3), connected=[ONE, OTHER])
    assert [type(order) for order in again] == [CapOrder]


def test_a_master_that_came_back_on_a_new_connection_contends_with_nobody() -> None:
    written = Written(1)
    written.take(cap_writes(), connected=[ONE])
    found = written.take(cap_writes(peer="10.0.0.5:40009", sequence=2), connected=["10.0.0.5:40009"])
    assert [type(order) for order in found] == [CapOrder]


def test_a_point_that_another_had_before_its_lease_ended_is_nobodys() -> None:
    written = Written(1)
    written.take([*cap_writes(), *cap_writes(peer=None, cap_valid_s=0)], connected=[ONE, OTHER])
    assert [type(order) for order in written.take(cap_writes(peer=OTHER), connected=[ONE, OTHER])] == [CapOrder]


@pytest.mark.parametrize(
    ("cap", "cap_w", "voltage_mv", "expected"),
    [
        (16_000, None, 230_000, 16_000),
        (None, 11_040, 230_000, 16_000),
        (None, 11_039, 230_000, 15_998),
        (None, 11_040, 240_000, 15_333),
        (10_000, 11_040, 230_000, 10_000),
        (None, None, 230_000, 32_000),
    ],
)
def test_the_tighter_of_the_caps_in_a_and_w_holds_rounded_down(
    cap: int | None, cap_w: int | None, voltage_mv: int, expected: int
) -> None:
    assert cap_ma(cap_order(cap_ma=cap, cap_w=cap_w), settings(), voltage_mv) == expected
