"""The LimitBook: acceptance, ownership, END and LOST, clocks, restart."""

from __future__ import annotations

import pytest
from ems_examples import E1, E2, at, demo_config, limit, put
from hypothesis import given
from hypothesis import strategies as st

from dgm.api.ems.v1.ems_pb2 import PutLimitRequest, Quantity
from dgm.ems import limits
from dgm.ems.limit_rules import BOUND_MAX, TTL_MS_MAX, TTL_MS_MIN
from dgm.ems.limits import START_AHEAD_MS_MAX, Change, Entry, Forget, Keep, LimitBook, Stage
from dgm.errors import DgmError
from dgm.site.refusal import Reason, Refusal
from dgm.site.topology import Topology

TOPOLOGY = Topology.from_config(demo_config())
UTC0 = 1_700_000_000_000


def new_book() -> LimitBook:
    return LimitBook(TOPOLOGY)


def accepted(book: LimitBook, request: PutLimitRequest, mono_ms: int = 0) -> Entry:
    answer = book.put(request, at(mono_ms))
    assert not isinstance(answer, Refusal), answer
    return answer[0]


def refused(book: LimitBook, request: PutLimitRequest, mono_ms: int = 0) -> Reason:
    answer = book.put(request, at(mono_ms))
    assert isinstance(answer, Refusal), answer
    return answer.reason


def bounds(book: LimitBook, mono_ms: int) -> dict[str, int]:
    """What is in force after the book has been brought to that time."""
    book.advance(at(mono_ms))
    return {active.id: active.bound for active in book.active(at(mono_ms))}


def journal_of(*changes: Change) -> dict[str, bytes]:
    records: dict[str, bytes] = {}
    for change in changes:
        for effect in change.journal:
            if isinstance(effect, Keep):
                records[effect.id] = effect.record
            else:
                assert isinstance(effect, Forget)
                records.pop(effect.id, None)
    return records


def put_change(book: LimitBook, request: PutLimitRequest, mono_ms: int = 0) -> Change:
    answer = book.put(request, at(mono_ms))
    assert not isinstance(answer, Refusal), answer
    return answer[1]


def test_a_limit_without_start_is_in_force_on_receipt() -> None:
    book = new_book()
    accepted(book, put(ttl_ms=60_000))
    active = book.active(at(10_000))[0]
    assert (active.bound, active.ttl_ms, active.ends_by_rule) == (60_000, 50_000, True)
    assert active.circuit_index == 0
    assert not active.HasField("asset_index")
    assert not active.HasField("failsafe_bound")


def test_a_limit_without_ttl_holds_until_deleted() -> None:
    book = new_book()
    accepted(book, put())
    assert bounds(book, 10**12) == {"l1": 60_000}
    assert not book.active(at(0))[0].HasField("ttl_ms")
    assert isinstance(book.delete("l1", "api:test"), Change)
    assert bounds(book, 10**12) == {}


def test_a_limit_without_failsafe_ends_by_rule() -> None:
    book = new_book()
    accepted(book, put(ttl_ms=60_000))
    assert bounds(book, 59_999) == {"l1": 60_000}
    change = book.advance(at(60_000))
    assert [entry.limit.id for entry in change.ended] == ["l1"]
    assert change.journal == (Forget(id="l1"),)
    assert bounds(book, 60_000) == {}


def test_a_limit_with_failsafe_is_lost_and_its_failsafe_holds_until_put_again() -> None:
    book = new_book()
    accepted(book, put(ttl_ms=60_000, failsafe_power_w=40_000))
    assert book.active(at(0))[0].failsafe_bound == 40_000
    assert not book.active(at(0))[0].ends_by_rule
    assert bounds(book, 60_000) == {"l1": 40_000}
    assert bounds(book, 10**12) == {"l1": 40_000}
    lost = book.active(at(10**12))[0]
    assert not lost.HasField("ttl_ms")
    assert not lost.HasField("failsafe_bound")
    accepted(book, put(ttl_ms=60_000, failsafe_power_w=40_000), mono_ms=10**12)
    assert bounds(book, 10**12 + 59_999) == {"l1": 60_000}


def test_a_lost_limit_can_be_deleted_by_its_source_only() -> None:
    book = new_book()
    accepted(book, put(ttl_ms=1000, failsafe_power_w=40_000))
    assert bounds(book, 1000) == {"l1": 40_000}
    assert isinstance(book.delete("l1", "api:other"), Refusal)
    assert bounds(book, 1000) == {"l1": 40_000}
    assert isinstance(book.delete("l1", "api:test"), Change)
    assert bounds(book, 1000) == {}


def test_deleting_what_is_not_there_says_so() -> None:
    assert new_book().delete("l1", "api:test") is None


def test_another_source_can_neither_replace_nor_delete() -> None:
    book = new_book()
    accepted(book, put())
    assert refused(book, put(source="utility:x", power_w=90_000)) is Reason.NOT_OWNER
    answer = book.delete("l1", "utility:x")
    assert isinstance(answer, Refusal)
    assert answer.reason is Reason.NOT_OWNER
    assert bounds(book, 0) == {"l1": 60_000}


def test_a_scheduled_limit_starts_at_its_time_and_lasts_its_ttl() -> None:
    book = new_book()
    entry = accepted(book, put(start_utc_ms=UTC0 + 30_000, ttl_ms=60_000))
    assert entry.stage is Stage.PENDING
    assert entry.end_utc_ms == UTC0 + 90_000
    assert book.wake_time(at(0)) == 30_000
    assert bounds(book, 29_999) == {}
    assert bounds(book, 30_000) == {"l1": 60_000}
    assert book.wake_time(at(30_000)) == 90_000
    assert bounds(book, 89_999) == {"l1": 60_000}
    assert bounds(book, 90_000) == {}
    assert book.wake_time(at(90_000)) is None


def test_a_start_in_the_past_shortens_the_lease() -> None:
    book = new_book()
    accepted(book, put(start_utc_ms=UTC0 - 20_000, ttl_ms=60_000))
    assert book.active(at(0))[0].ttl_ms == 40_000


def test_an_interval_that_is_over_is_refused() -> None:
    assert refused(new_book(), put(start_utc_ms=UTC0 - 60_000, ttl_ms=60_000)) is Reason.ALREADY_OVER


def test_a_retry_with_the_same_request_id_does_not_extend_the_lease() -> None:
    book = new_book()
    accepted(book, put(request_id="r1", ttl_ms=60_000))
    assert put_change(book, put(request_id="r1", ttl_ms=60_000), mono_ms=30_000) == Change()
    assert book.active(at(30_000))[0].ttl_ms == 30_000
    accepted(book, put(request_id="r2", ttl_ms=60_000), mono_ms=30_000)
    assert book.active(at(30_000))[0].ttl_ms == 60_000


def test_a_request_id_with_another_body_is_refused() -> None:
    book = new_book()
    accepted(book, put(request_id="r1"))
    assert refused(book, put(request_id="r1", power_w=1)) is Reason.REQUEST_REUSED
    assert bounds(book, 0) == {"l1": 60_000}


def test_too_short_a_lease_is_lengthened_and_says_so() -> None:
    entry = accepted(new_book(), put(ttl_ms=1))
    assert entry.limit.ttl_ms == TTL_MS_MIN
    assert len(entry.reply().clamp_reasons) == 1


def test_a_failsafe_without_ttl_is_dropped_and_says_so() -> None:
    entry = accepted(new_book(), put(failsafe_power_w=1000))
    assert not entry.limit.HasField("failsafe_power_w")
    assert len(entry.reply().clamp_reasons) == 1


def test_the_book_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "LIMITS_MAX", 2)
    book = new_book()
    accepted(book, put("a"))
    accepted(book, put("b"))
    assert refused(book, put("c")) is Reason.TOO_MANY
    accepted(book, put("b", power_w=1))
    assert bounds(book, 0) == {"a": 60_000, "b": 1}


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"limit_id": ""}, Reason.FIELD_INVALID),
        ({"limit_id": "x" * 129}, Reason.FIELD_INVALID),
        ({"limit_id": "site:grid:NET_IMPORT"}, Reason.FIELD_INVALID),
        ({"source": ""}, Reason.FIELD_INVALID),
        ({"source": "site"}, Reason.FIELD_INVALID),
        ({"source": "site:x"}, Reason.FIELD_INVALID),
        ({"source": "api:"}, Reason.FIELD_INVALID),
        ({"circuit_id": None}, Reason.FIELD_INVALID),
        ({"asset_id": "e1"}, Reason.FIELD_INVALID),
        ({"circuit_id": "nowhere"}, Reason.UNKNOWN_CIRCUIT),
        ({"circuit_id": None, "asset_id": "nobody"}, Reason.UNKNOWN_ASSET),
        ({"circuit_id": None, "asset_id": "e1"}, Reason.FIELD_INVALID),
        ({"circuit_id": None, "asset_id": "b1"}, Reason.FIELD_INVALID),
        ({"circuit_id": "garage"}, Reason.NOT_METERED),
        ({"quantity": None}, Reason.FIELD_INVALID),
        ({"quantity": 99}, Reason.FIELD_INVALID),
        ({"power_w": None}, Reason.FIELD_INVALID),
        ({"current_ma": 1}, Reason.FIELD_INVALID),
        ({"failsafe_current_ma": 1}, Reason.FIELD_INVALID),
        ({"quantity": Quantity.QUANTITY_CURRENT}, Reason.FIELD_INVALID),
        ({"power_w": -1}, Reason.OUT_OF_RANGE),
        ({"power_w": BOUND_MAX + 1}, Reason.OUT_OF_RANGE),
        ({"failsafe_power_w": -1}, Reason.OUT_OF_RANGE),
        ({"ttl_ms": 0}, Reason.OUT_OF_RANGE),
        ({"ttl_ms": -5}, Reason.OUT_OF_RANGE),
        ({"ttl_ms": TTL_MS_MAX + 1}, Reason.OUT_OF_RANGE),
        ({"ramp_ms": -1}, Reason.OUT_OF_RANGE),
        ({"start_utc_ms": UTC0 + START_AHEAD_MS_MAX + 1}, Reason.OUT_OF_RANGE),
    ],
)
def test_a_limit_that_makes_no_sense_is_refused_with_its_reason(fields: dict[str, object], reason: Reason) -> None:
    book = new_book()
    assert refused(book, put(**fields)) is reason  # type: ignore[arg-type]
    assert bounds(book, 0) == {}


def test_an_evse_takes_a_current_limit() -> None:
    book = new_book()
    quantity = Quantity.QUANTITY_CURRENT
    accepted(
        book, put(source="cpo:a", circuit_id=None, asset_id="e2", quantity=quantity, power_w=None, current_ma=10_000)
    )
    active = book.active(at(0))[0]
    assert (active.asset_index, active.bound, active.quantity) == (4, 10_000, quantity)
    assert not active.HasField("circuit_index")


def test_zero_is_a_bound_and_not_its_absence() -> None:
    book = new_book()
    accepted(book, put(power_w=0))
    assert bounds(book, 0) == {"l1": 0}


def test_the_ramp_goes_on_from_its_start() -> None:
    book = new_book()
    accepted(book, put(ramp_ms=10_000))
    assert [book.active(at(mono_ms))[0].ramp_elapsed_ms for mono_ms in (0, 4000, 99_000)] == [0, 4000, 10_000]


# --- restart


def test_what_is_left_of_a_lease_holds_after_a_restart() -> None:
    records = journal_of(put_change(new_book(), put(ttl_ms=60_000)))
    again = new_book()
    again.restore(records, at(500, utc_ms=UTC0 + 20_000))
    assert again.active(at(500))[0].ttl_ms == 40_000


def test_a_limit_that_ended_while_down_is_gone_by_rule() -> None:
    records = journal_of(put_change(new_book(), put(ttl_ms=60_000)))
    again = new_book()
    change = again.restore(records, at(500, utc_ms=UTC0 + 60_000))
    assert change.journal == (Forget(id="l1"),)
    assert again.active(at(500)) == []


def test_a_limit_whose_source_was_silent_while_down_is_at_its_failsafe() -> None:
    records = journal_of(put_change(new_book(), put(ttl_ms=60_000, failsafe_power_w=40_000)))
    again = new_book()
    again.restore(records, at(500, utc_ms=UTC0 + 60_000))
    assert bounds(again, 500) == {"l1": 40_000}


def test_a_lost_limit_stays_lost_though_the_clock_was_set_back() -> None:
    book = new_book()
    first = put_change(book, put(ttl_ms=60_000, failsafe_power_w=40_000))
    records = journal_of(first, book.advance(at(60_000)))
    again = new_book()
    again.restore(records, at(0, utc_ms=UTC0 - 10**9))
    assert bounds(again, 0) == {"l1": 40_000}


def test_a_scheduled_limit_that_started_stays_in_force_though_the_clock_was_set_back() -> None:
    book = new_book()
    first = put_change(book, put(start_utc_ms=UTC0 + 10_000, ttl_ms=60_000))
    records = journal_of(first, book.advance(at(10_000)))
    again = new_book()
    again.restore(records, at(0, utc_ms=UTC0))
    assert bounds(again, 0) == {"l1": 60_000}


def test_a_pending_limit_starts_after_a_restart_and_keeps_its_end() -> None:
    records = journal_of(put_change(new_book(), put(start_utc_ms=UTC0 + 10_000, ttl_ms=60_000)))
    early = new_book()
    early.restore(records, at(0, utc_ms=UTC0 + 4000))
    assert bounds(early, 0) == {}
    assert early.wake_time(at(0, utc_ms=UTC0 + 4000)) == 6000
    late = new_book()
    late.restore(records, at(0, utc_ms=UTC0 + 40_000))
    assert late.active(at(0))[0].ttl_ms == 30_000


def test_a_retry_after_a_restart_is_still_recognised() -> None:
    records = journal_of(put_change(new_book(), put(request_id="r1", ttl_ms=60_000)))
    again = new_book()
    again.restore(records, at(0, utc_ms=UTC0 + 20_000))
    assert put_change(again, put(request_id="r1", ttl_ms=60_000)) == Change()


@pytest.mark.parametrize("record", [b"", b"{}x", b"{}", b"[]", b'{"limit": "AAAA", "stage": "lost", "end_utc_ms": 1}'])
def test_an_alien_record_is_not_guessed_at(record: bytes) -> None:
    with pytest.raises(DgmError, match="l1"):
        new_book().restore({"l1": record}, at(0))


# --- clocks


def test_setting_utc_forward_starts_a_scheduled_limit_and_its_lease_is_not_longer() -> None:
    book = new_book()
    accepted(book, put(start_utc_ms=UTC0 + 30_000, ttl_ms=60_000))
    book.advance(at(1000, utc_ms=UTC0 + 40_000))
    active = book.active(at(1000))
    assert [(found.bound, found.ttl_ms) for found in active] == [(60_000, 60_000)]


def test_setting_utc_back_does_not_put_off_a_scheduled_limit() -> None:
    book = new_book()
    accepted(book, put(start_utc_ms=UTC0 + 30_000, ttl_ms=60_000))
    book.advance(at(30_000, utc_ms=UTC0 - 10**9))
    assert [found.ttl_ms for found in book.active(at(30_000))] == [60_000]


def test_a_step_of_utc_is_journaled_so_that_a_restart_does_not_extend_the_lease() -> None:
    book = new_book()
    first = put_change(book, put(ttl_ms=60_000))
    changes = [first, book.advance(at(1000)), book.advance(at(50_000, utc_ms=UTC0 - 3_600_000))]
    again = new_book()
    again.restore(journal_of(*changes), at(0, utc_ms=UTC0 - 3_600_000))
    assert again.active(at(0))[0].ttl_ms == 10_000


# --- properties

STEPS = st.lists(st.tuples(st.integers(0, 40_000), st.integers(-100_000, 100_000)), min_size=1, max_size=12)


@given(ttl_ms=st.integers(1000, 60_000), failsafe_w=st.integers(0, 100_000), steps=STEPS, restarts=st.booleans())
def test_a_lease_with_failsafe_never_ends_in_no_limit(
    ttl_ms: int, failsafe_w: int, steps: list[tuple[int, int]], restarts: bool
) -> None:
    """Whatever the clocks do, over any number of restarts: either the bound or the failsafe holds."""
    book = new_book()
    records = journal_of(put_change(book, put(ttl_ms=ttl_ms, failsafe_power_w=failsafe_w)))
    mono_ms, alive_ms = 0, 0
    for forward_ms, utc_jump_ms in steps:
        mono_ms += forward_ms
        alive_ms += forward_ms
        now = at(mono_ms, utc_ms=UTC0 + mono_ms + utc_jump_ms)
        if restarts:
            book = new_book()
            change = book.restore(records, now)
        else:
            change = book.advance(now)
        records |= journal_of(change)
        found = [active.bound for active in book.active(now)]
        assert found in ([60_000], [failsafe_w])
        if not restarts:
            assert found == [60_000 if alive_ms < ttl_ms else failsafe_w]


@given(ttl_ms=st.integers(1000, 60_000), steps=STEPS, start_ms=st.integers(-500, 20_000))
def test_no_step_of_utc_makes_a_lease_longer_than_its_ttl(
    ttl_ms: int, steps: list[tuple[int, int]], start_ms: int
) -> None:
    book = new_book()
    accepted(book, put(start_utc_ms=UTC0 + start_ms, ttl_ms=ttl_ms))
    mono_ms, in_force = 0, []
    for forward_ms, utc_jump_ms in steps:
        mono_ms += forward_ms
        now = at(mono_ms, utc_ms=UTC0 + mono_ms + utc_jump_ms)
        book.advance(now)
        if book.active(now):
            in_force.append(mono_ms)
    assert not in_force or in_force[-1] - in_force[0] < ttl_ms
    assert all(mono_ms < max(start_ms, 0) + ttl_ms for mono_ms in in_force)


@given(ttl_ms=st.integers(1000, 10**7), gone_ms=st.integers(-(10**7), 10**7), failsafe_w=st.none() | st.integers(0, 10))
def test_a_restart_never_gives_more_lease_than_was_granted(ttl_ms: int, gone_ms: int, failsafe_w: int | None) -> None:
    records = journal_of(put_change(new_book(), put(ttl_ms=ttl_ms, failsafe_power_w=failsafe_w)))
    book = new_book()
    now = at(77, utc_ms=UTC0 + gone_ms)
    book.restore(records, now)
    for active in book.active(now):
        if active.HasField("ttl_ms"):
            assert 0 < active.ttl_ms <= min(ttl_ms, ttl_ms - gone_ms if gone_ms >= 0 else ttl_ms)
        else:
            assert active.bound == failsafe_w


SOURCES = st.sampled_from(["api:a", "api:b", "utility:u"])
IDS = st.sampled_from(["x", "y"])
OPERATIONS = st.lists(st.tuples(st.booleans(), IDS, SOURCES, st.integers(0, 9)), max_size=30)


@given(operations=OPERATIONS)
def test_a_source_never_touches_the_limit_of_another(operations: list[tuple[bool, str, str, int]]) -> None:
    """Against a model: a dict of id to (source, bound)."""
    book = new_book()
    model: dict[str, tuple[str, int]] = {}
    for is_put, limit_id, source, bound in operations:
        owner = model.get(limit_id, (source, 0))[0]
        if is_put:
            book.put(PutLimitRequest(limit=limit(limit_id, source=source, power_w=bound)), at(0))
            if owner == source:
                model[limit_id] = (source, bound)
        else:
            book.delete(limit_id, source)
            if owner == source:
                model.pop(limit_id, None)
        assert {entry.limit.id: (entry.limit.source, entry.bound) for entry in book.entries()} == model


def each_evse(**fields: object) -> PutLimitRequest:
    given: dict[str, object] = {"circuit_id": "garage", "quantity": Quantity.QUANTITY_CURRENT, "power_w": None}
    return put(**{**given, "current_ma": 20_000, "each_evse": True, **fields})


def held_by_asset(book: LimitBook, mono_ms: int) -> dict[int, tuple[int, int | None]]:
    """Bound and failsafe of each asset."""
    book.advance(at(mono_ms))
    found = book.active(at(mono_ms))
    assert not [active for active in found if active.HasField("circuit_index")]
    return {
        active.asset_index: (active.bound, active.failsafe_bound if active.HasField("failsafe_bound") else None)
        for active in found
    }


def test_a_limit_on_each_evse_is_one_limit_for_every_evse_below_and_none_on_the_circuit() -> None:
    book = new_book()
    accepted(book, each_evse(ttl_ms=10_000, failsafe_current_ma=20_000))
    assert held_by_asset(book, 9_999) == {E1: (20_000, 6_000), E2: (20_000, 0)}
    assert book.active(at(9_999))[0].ttl_ms == 1


def test_a_lost_limit_on_each_evse_holds_every_one_at_its_own_fallback() -> None:
    book = new_book()
    accepted(book, each_evse(ttl_ms=10_000, failsafe_current_ma=20_000))
    assert held_by_asset(book, 10_000) == {E1: (6_000, None), E2: (0, None)}
    accepted(book, each_evse(ttl_ms=10_000, failsafe_current_ma=20_000), 20_000)
    assert held_by_asset(book, 20_000) == {E1: (20_000, 6_000), E2: (20_000, 0)}


def test_the_failsafe_of_a_limit_on_each_evse_never_raises_a_fallback() -> None:
    book = new_book()
    accepted(book, each_evse(ttl_ms=10_000, failsafe_current_ma=4_000))
    assert held_by_asset(book, 10_000) == {E1: (4_000, None), E2: (0, None)}


@pytest.mark.parametrize(
    "fields",
    [
        {"quantity": Quantity.QUANTITY_GROSS_LOAD, "current_ma": None, "power_w": 1_000},
        {"circuit_id": None, "asset_id": "e1"},
    ],
)
def test_each_evse_is_a_matter_of_currents_below_a_circuit(fields: dict[str, object]) -> None:
    assert refused(new_book(), each_evse(**fields)) is Reason.FIELD_INVALID
