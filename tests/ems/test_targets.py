"""The TargetBook: acceptance, clamping, ranking, expiry."""

from __future__ import annotations

import pytest
from ems_examples import B1, E1, PV1, at, demo_config

from dgm.api.ems.v1.ems_pb2 import Target
from dgm.ems import targets
from dgm.ems.targets import TTL_MS_MAX, TargetBook
from dgm.site.refusal import Reason, Refusal
from dgm.site.topology import Topology


def new_book() -> TargetBook:
    return TargetBook(Topology.from_config(demo_config()))


def target(target_id: str = "t1", **fields: object) -> Target:
    given: dict[str, object] = {
        "id": target_id,
        "source": "api:test",
        "asset_id": "b1",
        "want_w": 5000,
        "ttl_ms": 10_000,
    }
    given |= fields
    return Target(**{name: value for name, value in given.items() if value is not None})  # type: ignore[arg-type]


def values(book: TargetBook, mono_ms: int) -> dict[int, int]:
    return {index: wanted.value for index, wanted in book.winners(at(mono_ms)).items()}


def test_a_target_holds_for_its_ttl() -> None:
    book = new_book()
    book.put(target(), at(0))
    assert values(book, 9999) == {B1: 5000}
    assert values(book, 10_000) == {}


def test_the_highest_priority_wins_and_then_the_newest() -> None:
    book = new_book()
    book.put(target("a", want_w=1, priority=5), at(0))
    book.put(target("b", want_w=2, priority=1), at(1))
    assert values(book, 2) == {B1: 1}
    book.put(target("c", want_w=3, priority=5), at(2))
    assert values(book, 3) == {B1: 3}
    assert book.delete("c", "api:test") is True
    assert values(book, 3) == {B1: 1}


def test_a_target_may_carry_a_share_and_a_permit_that_go_with_it() -> None:
    book = new_book()
    book.put(target(asset_id="e1", want_w=None, want_ma=32_000, weight=20, keeps_on=True), at(0))
    (wanted,) = book.winners(at(0)).values()
    assert (wanted.value, wanted.weight, wanted.keeps_on) == (32_000, 20, True)
    assert book.winners(at(10_000)) == {}


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"weight": 5}, Reason.FIELD_INVALID),
        ({"keeps_on": True}, Reason.FIELD_INVALID),
        ({"asset_id": "e1", "want_w": None, "want_ma": 6_000, "weight": 0}, Reason.OUT_OF_RANGE),
        ({"asset_id": "e1", "want_w": None, "want_ma": 6_000, "weight": 1_001}, Reason.OUT_OF_RANGE),
    ],
)
def test_only_an_evse_has_a_share_and_it_has_bounds(fields: dict[str, object], reason: Reason) -> None:
    answer = new_book().put(target(**fields), at(0))
    assert isinstance(answer, Refusal)
    assert answer.reason is reason


def test_a_target_expires_and_the_next_one_holds() -> None:
    book = new_book()
    book.put(target("a", want_w=1, priority=5, ttl_ms=1000), at(0))
    book.put(target("b", want_w=2), at(0))
    assert values(book, 1000) == {B1: 2}


@pytest.mark.parametrize(
    ("fields", "index", "value"),
    [
        ({"want_w": 90_000}, B1, 15_000),
        ({"want_w": -90_000}, B1, -20_000),
        ({"asset_id": "pv1", "want_w": 1}, PV1, 0),
        ({"asset_id": "pv1", "want_w": -99_000}, PV1, -30_000),
        ({"asset_id": "e1", "want_w": None, "want_ma": 99_000}, E1, 32_000),
        ({"asset_id": "e1", "want_w": None, "want_ma": -1}, E1, 0),
        ({"ttl_ms": TTL_MS_MAX + 1}, B1, 5000),
    ],
)
def test_a_target_is_moved_into_what_the_asset_takes_and_says_so(
    fields: dict[str, object], index: int, value: int
) -> None:
    book = new_book()
    answer = book.put(target(**fields), at(0))  # type: ignore[arg-type]
    assert not isinstance(answer, Refusal)
    assert len(answer.clamp_reasons) == 1
    assert answer.target.ttl_ms <= TTL_MS_MAX
    assert values(book, 0) == {index: value}


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"target_id": ""}, Reason.FIELD_INVALID),
        ({"source": "me"}, Reason.FIELD_INVALID),
        ({"asset_id": "ghost"}, Reason.UNKNOWN_ASSET),
        ({"asset_id": "m1"}, Reason.FIELD_INVALID),
        ({"want_w": None}, Reason.FIELD_INVALID),
        ({"want_ma": 1}, Reason.FIELD_INVALID),
        ({"asset_id": "e1"}, Reason.FIELD_INVALID),
        ({"ttl_ms": 0}, Reason.OUT_OF_RANGE),
        ({"ttl_ms": None}, Reason.OUT_OF_RANGE),
        ({"priority": 1001}, Reason.OUT_OF_RANGE),
    ],
)
def test_a_target_that_makes_no_sense_is_refused(fields: dict[str, object], reason: Reason) -> None:
    book = new_book()
    answer = book.put(target(**fields), at(0))  # type: ignore[arg-type]
    assert isinstance(answer, Refusal)
    assert answer.reason is reason
    assert values(book, 0) == {}


def test_a_source_keeps_its_own() -> None:
    book = new_book()
    book.put(target(), at(0))
    for answer in (book.put(target(source="api:x", want_w=1), at(0)), book.delete("t1", "api:x")):
        assert isinstance(answer, Refusal)
        assert answer.reason is Reason.NOT_OWNER
    assert values(book, 0) == {B1: 5000}
    assert book.delete("ghost", "api:x") is False


def test_the_book_is_bounded_and_expired_targets_make_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(targets, "TARGETS_MAX", 1)
    book = new_book()
    book.put(target("a", ttl_ms=1000), at(0))
    full = book.put(target("b"), at(0))
    assert isinstance(full, Refusal)
    assert full.reason is Reason.TOO_MANY
    assert not isinstance(book.put(target("b"), at(1000)), Refusal)
