"""Granted blocks: taken or refused by name, followed by the policy, and counted on by plans and promises."""

from __future__ import annotations

from typing import Any

import pytest
from ems_examples import at, demo_config
from hypothesis import given
from hypothesis import strategies as st
from policy_examples import TOPOLOGY, Run, picture

from dgm.api.ems.v1.ems_pb2 import Quantity
from dgm.api.ems.v1.policy_pb2 import FlowBlock, PutFlowBlocksRequest
from dgm.ems.cycle import Cycle
from dgm.ems.events import Reply
from dgm.ems.flow_blocks import BlockBook
from dgm.ems.snapshot import Block
from dgm.ems.steering import CircuitCap, Span
from dgm.site.refusal import Reason, Refusal

UTC_MS = at(0).utc_ms
HOUR_MS = 3_600_000


def stated(start_h: float = 1, hours: float = 2, power_w: int = 12_000, **more: Any) -> FlowBlock:
    given: dict[str, Any] = {"id": "g1", "start_utc_ms": round(UTC_MS + start_h * HOUR_MS)}
    return FlowBlock(**(given | {"duration_ms": round(hours * HOUR_MS), "power_w": power_w} | more))


def request(*blocks: FlowBlock, source: str = "utility:der", circuit_id: str = "") -> PutFlowBlocksRequest:
    return PutFlowBlocksRequest(source=source, circuit_id=circuit_id, blocks=blocks)


def block(start_h: float, end_h: float, power_w: int, **more: Any) -> Block:
    fields: dict[str, Any] = {"id": "g1", "source": "utility:der", "circuit_index": 0}
    start_ms, end_ms = round(UTC_MS + start_h * HOUR_MS), round(UTC_MS + end_h * HOUR_MS)
    return Block(**(fields | {"start_utc_ms": start_ms, "end_utc_ms": end_ms, "power_w": power_w} | more))


def test_a_source_replaces_its_own_blocks_and_those_that_are_over_are_gone() -> None:
    book = BlockBook(TOPOLOGY)
    book.put(request(stated(id="a"), stated(-3, 2, id="over")), at(0))
    book.put(request(stated(id="b"), source="api:broker"), at(0))
    assert [one.id for one in book.blocks(at(0))] == ["b", "a"]
    book.put(request(stated(id="c")), at(0))
    assert [one.id for one in book.blocks(at(0))] == ["b", "c"]
    assert book.blocks(at(round(3 * HOUR_MS))) == ()
    book.put(request(), at(0))
    assert [one.id for one in book.blocks(at(0))] == ["b"]


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        (request(source="cpo:a"), "source"),
        (request(source="utility:"), "source"),
        (request(stated(), circuit_id="nowhere"), "circuit_id"),
        (request(stated(id="")), "blocks[0].id"),
        (request(stated(), stated(power_w=-1)), "blocks[1].power_w"),
        (request(stated(hours=0)), "blocks[0].duration_ms"),
        (request(stated(hours=24 * 8)), "blocks[0].duration_ms"),
        (request(stated(start_utc_ms=0)), "blocks[0].start_utc_ms"),
        (request(stated(energy_wh=0)), "blocks[0].energy_wh"),
        (request(*[stated()] * 201), "blocks"),
    ],
)
def test_what_cannot_be_a_block_is_refused_by_field(asked: PutFlowBlocksRequest, field: str) -> None:
    book = BlockBook(TOPOLOGY)
    refusal = book.put(asked, at(0))
    assert isinstance(refusal, Refusal)
    assert refusal.field == field
    assert book.blocks(at(0)) == ()


def test_sources_are_bounded() -> None:
    book = BlockBook(TOPOLOGY)
    for number in range(8):
        assert not isinstance(book.put(request(stated(), source=f"api:{number}"), at(0)), Refusal)
    refusal = book.put(request(stated(), source="api:more"), at(0))
    assert isinstance(refusal, Refusal)
    assert refusal.reason is Reason.TOO_MANY


def test_inside_a_block_the_group_may_draw_its_power_and_outside_little() -> None:
    blocks = (block(1, 3, 12_000), block(2, 3, 3_000, id="g2"))
    bounds = []
    for hour in (0.5, 1.5, 2.5, 3.5):
        (cap,) = Run("flow_reservation", outside_w="500")(picture(round(hour * HOUR_MS), blocks=blocks)).circuit_caps
        bounds.append(cap.bound)
    assert bounds == [500, 12_000, 15_000, 500]


def test_plans_are_told_of_blocks_before_they_begin() -> None:
    run = Run("flow_reservation", outside_w="500")
    (cap,) = run(picture(blocks=(block(1, 3, 12_000), block(2, 4, 3_000, id="g2")))).circuit_caps
    hour = [UTC_MS + number * HOUR_MS for number in range(5)]
    assert cap.outlook(UTC_MS) == [
        (hour[0], hour[1], 500),
        (hour[1], hour[2], 12_000),
        (hour[2], hour[3], 15_000),
        (hour[3], hour[4], 3_000),
        (hour[4], None, 500),
    ]


def test_blocks_of_another_circuit_are_not_this_groups() -> None:
    (cap,) = Run("flow_reservation")(picture(blocks=(block(-1, 3, 12_000, circuit_index=1),))).circuit_caps
    assert (cap.bound, cap.ahead) == (0, ())


def test_blocks_by_contract_are_told_to_plans_too() -> None:
    (cap,) = Run("flow_reservation", blocks="daily 01:00-02:00 3000")(picture()).circuit_caps
    assert [span.bound for span in cap.ahead] == [3_000, 3_000]
    assert {(span.start_utc_ms // HOUR_MS) % 24 for span in cap.ahead} == {1}


def test_a_promise_counts_on_the_block_that_is_to_come() -> None:
    config = demo_config()
    config.ems.policies.add(name="flow_reservation")
    config.ems.policies.add(name="promise")
    cycle = Cycle(config, epoch=1)
    cycle.restore({}, at(0))
    effects = cycle.handle(request(stated(1, 2, 12_000)), at(10))
    assert next(effect.message for effect in effects if isinstance(effect, Reply)).held == 1  # type: ignore[union-attr]
    views = cycle.guidance._own_limits(at(10))
    assert [(view.bound, view.is_pending) for view in views if view.quantity == Quantity.QUANTITY_GROSS_LOAD] == [
        (0, False),
        (12_000, True),
        (0, True),
    ]


@given(st.lists(st.tuples(st.integers(0, 20), st.integers(1, 5), st.integers(0, 9)), max_size=6), st.integers(0, 150))
def test_an_outlook_has_no_gap_and_no_overlap(parts: list[tuple[int, int, int]], now_ms: int) -> None:
    spans, at_ms = [], 0
    for gap, length, bound in parts:
        spans.append(Span(start_utc_ms=at_ms + gap, end_utc_ms=at_ms + gap + length, bound=bound))
        at_ms += gap + length
    cap = CircuitCap(key="k", circuit_index=0, quantity=1, bound=7, why="", ahead=tuple(spans))  # type: ignore[arg-type]
    outlook = cap.outlook(now_ms)
    assert outlook[0][0] == now_ms
    assert [end for _, end, _ in outlook[:-1]] == [start for start, _, _ in outlook[1:]]
    assert outlook[-1][1] is None
    for instant in range(now_ms, now_ms + 160):
        expected = next((span.bound for span in spans if span.start_utc_ms <= instant < span.end_utc_ms), 7)
        assert next(b for s, e, b in outlook if s <= instant and (e is None or instant < e)) == expected
