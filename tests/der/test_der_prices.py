"""Prices: what they are the price of, what contends and what adds up, and what the EMS is told of them and when."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
from der_joined import joined
from hypothesis import given
from hypothesis import strategies as st

from dgm.api.ems.v1 import policy_pb2, policy_pb2_grpc
from dgm.der import resource as r
from dgm.der.flow_requests import FlowPlan
from dgm.der.function_sets import Price, PriceBlock
from dgm.der.prices import EnergyPrice, is_energy, micro, per_mwh, priced, series
from dgm.der.schedule import Event, Notice, Reign
from dgm.der.service.plan_link import PRICE_MS_MAX, StatementSync, blocks_of, prices_of

S = 1000


def component(**more: Any) -> r.RateComponent:
    return r.RateComponent(mrid="RC", reading_type_link="/rt", interval_list_link="/tti", **{"role_flags": 0, **more})


@pytest.mark.parametrize(
    ("price", "power_of_ten", "unit", "found"),
    [
        (250, -3, 3, 250),  # 0.25 per kWh
        (250_000, -6, 3, 250),
        (25, -5, 0, 250),  # 0.00025 per Wh
        (90, 0, 6, 90),  # per MWh
        (-15, -2, 3, -150),
        (1, -6, 3, 0),
        (5, -4, 3, 1),  # half up
        (-5, -4, 3, -1),
        (None, 0, 3, None),
        (1, 0, -6, None),  # a million per Wh
        (1, 10, 3, None),
    ],
)
def test_a_price_is_its_value_times_its_power_of_ten_per_unit_of_its_reading_type(
    price: int | None, power_of_ten: int, unit: int, found: int | None
) -> None:
    assert per_mwh(price, power_of_ten, unit) == found


def test_millionths_are_rounded_half_away_from_zero() -> None:
    assert [micro(price, -7) for price in (5, 4, -5, -4)] == [1, 0, -1, 0]
    assert micro(3, 0) == 3_000_000
    assert micro(3, 10) is None


@pytest.mark.parametrize(
    ("kind", "roles", "found"),
    [
        (r.ReadingType(uom=72, flow_direction=1, commodity=1, kind=12), 0x02, True),
        (r.ReadingType(uom=72), 0, True),
        (r.ReadingType(uom=72, flow_direction=19), 0, False),
        (r.ReadingType(uom=38, flow_direction=1), 0, False),
        (r.ReadingType(uom=72, commodity=7), 0, False),
        (r.ReadingType(uom=72, kind=8), 0, False),
        (r.ReadingType(uom=72), 0x04, False),
        (None, 0, False),
    ],
)
def test_only_the_energy_that_the_premises_take_from_the_grid_is_energy_for_the_ems(
    kind: r.ReadingType | None, roles: int, found: bool
) -> None:
    assert is_energy(component(role_flags=roles), kind) is found


def test_two_components_price_the_same_where_their_reading_types_say_the_same() -> None:
    kind = r.ReadingType(uom=72, flow_direction=1, power_of_ten=3)
    other_scale = r.ReadingType(uom=72, flow_direction=1, power_of_ten=0)
    assert priced(component(), kind, "/a") == priced(component(), other_scale, "/b")
    assert priced(component(), kind, "/a") != priced(component(role_flags=4), kind, "/a")
    limit = r.UnitValue(power_of_ten=3, unit=38, value=50)
    assert priced(component(), kind, "/a") != priced(component(flow_rate_start=limit), kind, "/a")
    assert priced(component(), None, "/a") == "/a"


def reign(lane: str, start: int, end: int, cost: int | None, *, tariff: str = "T", primacy: int = 0) -> Any:
    price = Price(tier=0, blocks=(PriceBlock(start=0, per_mwh=cost),), tariff=tariff)
    notice = Notice(
        mrid=f"{lane}{start}",
        creation_s=0,
        start_s=0,
        duration_s=1,
        status=r.EventState.SCHEDULED,
        values=((lane, price),),
    )
    event = Event(
        notice=notice,
        program_mrid="",
        primacy=primacy,
        lanes=frozenset({lane}),
        start_draw_s=0,
        duration_draw_s=0,
    )
    return lane, Reign(event, start * S, end * S)


def told(rows: tuple[EnergyPrice, ...]) -> list[tuple[int, int, int]]:
    return [(row.start_ms // S, row.end_ms // S, row.per_mwh) for row in rows]


def test_components_of_one_tariff_add_up_and_the_tariff_of_the_highest_priority_counts() -> None:
    rows = [
        reign("energy", 0, 10, 100),
        reign("energy", 10, 20, 200),
        reign("levy", 5, 20, 7),
        reign("energy #9", 0, 30, 1, tariff="U", primacy=3),
        reign("daily", 0, 30, None),
    ]
    assert told(series(rows)) == [(0, 5, 100), (5, 10, 107), (10, 20, 207), (20, 30, 1)]


def test_equal_prices_that_follow_each_other_are_one_and_a_gap_stays_a_gap() -> None:
    rows = [reign("energy", 0, 10, 5), reign("energy", 10, 20, 5), reign("energy", 25, 30, 5)]
    assert told(series(rows)) == [(0, 20, 5), (25, 30, 5)]


@given(
    st.lists(
        st.tuples(st.integers(0, 3), st.integers(0, 30), st.integers(1, 30), st.integers(-5, 5), st.integers(0, 2)),
        max_size=8,
    )
)
def test_at_every_instant_the_series_says_what_the_reigns_say(rows: list[tuple[int, int, int, int, int]]) -> None:
    reigns = [
        reign(f"{lane} {index}", start, start + length, cost, tariff=str(primacy), primacy=primacy)
        for index, (lane, start, length, cost, primacy) in enumerate(rows)
    ]
    found = told(series(reigns))
    assert all(before[1] <= after[0] for before, after in pairwise(found))
    for at in range(62):
        live = [(primacy, cost) for _, start, length, cost, primacy in rows if start <= at < start + length]
        best = min((primacy for primacy, _ in live), default=None)
        wanted = sum(cost for primacy, cost in live if primacy == best) if live else None
        assert next((cost for start, end, cost in found if start <= at < end), None) == wanted


AUS_13 = {"set": {"aus": "https://csipaus.org/ns/v1.3", "listed": ["tp"]}}
PROGRAM = {"program": {"name": "1", "primacy": 0}}


def tariff(name: str, primacy: int) -> list[dict[str, Any]]:
    return [
        {"tariff": {"name": name, "primacy": primacy, "power_of_ten": -3}},
        {"component": {"tariff": name, "name": f"{name}-in", "power_of_ten": 3}},
    ]


def price(of: str, name: str, cost: int, *, start_s: int = 0, for_s: int = 600) -> dict[str, Any]:
    item = {"tariff": of, "component": f"{of}-in", "name": name, "start_in_s": start_s, "duration_s": for_s}
    return {"price": {**item, "blocks": [{"price": cost}]}}


def test_the_ems_is_told_what_comes_and_tariffs_contend_by_what_their_reading_types_say() -> None:
    steps = [
        {"do": [AUS_13, PROGRAM, *tariff("t", 1), *tariff("u", 5)]},
        {"do": [price("t", "p1", 300), price("t", "p2", 90, start_s=600), price("u", "p3", 50, for_s=3000)]},
        {"do": [price("u", "p4", 60, start_s=1500)]},
    ]
    world = joined(steps, utility="csip-aus-1.3").run(240)
    assert [row[2] for row in told(world.energy[-1][1])] == [300, 90, 60]
    last = {item["mrid"]: item["status"] for item in world.server.records.responses}
    assert sorted(last.values()) == [1, 1, 2, 7], "p3 has lost what it prices to p1"
    assert world.xml_faults == []


def test_a_price_that_is_cancelled_is_not_told_any_more_and_all_are_there_after_a_restart() -> None:
    steps = [
        {"do": [AUS_13, PROGRAM, *tariff("t", 1), price("t", "p1", 300), price("t", "p2", 90, start_s=600)]},
        {"when": {"after_s": 200}, "do": [{"cancel": {"control": "p2"}}]},
    ]
    world = joined(steps, utility="csip-aus-1.3").run(150)
    before = [row[2] for row in told(world.core.prices())]
    world.restart(utility="csip-aus-1.3")
    assert [row[2] for row in told(world.core.prices())] == before == [300, 90]
    world.run(400)
    assert [row[2] for row in told(world.core.prices())] == [300]
    world.run(900)
    assert world.core.prices() == ()


class PricedEms(policy_pb2_grpc.PolicyServiceServicer):
    """Remembers what it was told."""

    def __init__(self) -> None:
        self.requests: list[policy_pb2.PutPricesRequest] = []
        self.blocks: list[policy_pb2.PutFlowBlocksRequest] = []

    async def PutFlowBlocks(self, request: Any, context: Any) -> policy_pb2.PutFlowBlocksResponse:
        self.blocks.append(request)
        return policy_pb2.PutFlowBlocksResponse(held=len(request.blocks))

    async def PutPrices(self, request: Any, context: Any) -> policy_pb2.PutPricesResponse:
        self.requests.append(request)
        return policy_pb2.PutPricesResponse(held=len(request.prices))


async def test_prices_are_told_when_they_change_and_again_to_an_ems_that_was_away(tmp_path: Path) -> None:
    ems, target = PricedEms(), f"unix:{tmp_path / 'ems.sock'}"
    server = grpc.aio.server()
    policy_pb2_grpc.add_PolicyServiceServicer_to_server(ems, server)
    server.add_insecure_port(target)
    await server.start()
    known, now = False, tuple[EnergyPrice, ...]()
    async with grpc.aio.insecure_channel(target) as channel:
        sync = StatementSync(channel, state=lambda: prices_of(now), is_known=lambda: known)
        await sync.sync()
        assert ems.requests == [], "a schedule that is not known is not the same as no prices"
        known = True
        await sync.sync()
        now = (EnergyPrice(start_ms=1, end_ms=2 + PRICE_MS_MAX, per_mwh=-5),)
        await sync.sync()
        await sync.sync()
        sync.forget()
        await sync.sync()
    await server.stop(0)
    assert [len(request.prices) for request in ems.requests] == [0, 2, 2]
    first, second = ems.requests[1].prices
    assert (first.per_mwh, first.duration_ms, second.duration_ms) == (-5, PRICE_MS_MAX, 1)
    assert second.start_utc_ms == 1 + PRICE_MS_MAX


def plan(power_w: int, energy_wh: int, start_ms: int = 5_000, end_ms: int = 9_000) -> FlowPlan:
    return FlowPlan(
        request_mrid="Q",
        grant_mrid="G",
        start_ms=start_ms,
        end_ms=end_ms,
        power_w=power_w,
        energy_wh=energy_wh,
        is_active=False,
    )


def test_grants_of_charging_are_blocks_for_the_plans_on_our_own_clock() -> None:
    plans = (plan(7_000, 20), plan(-7_000, -20), plan(7_000, 0), plan(1, 1, 5, 5))
    found = blocks_of(plans, ahead_ms=1_000).blocks
    assert [(one.id, one.start_utc_ms, one.duration_ms, one.power_w) for one in found] == [
        ("G", 4_000, 4_000, 7_000),
        ("G", 4_000, 4_000, 0),
    ], "one that discharges is no permission to charge, and one without energy permits nothing"
    assert [one.HasField("energy_wh") for one in found] == [True, False]


async def test_a_grant_is_told_to_the_ems_and_so_is_its_end(tmp_path: Path) -> None:
    ems, target = PricedEms(), f"unix:{tmp_path / 'ems.sock'}"
    server = grpc.aio.server()
    policy_pb2_grpc.add_PolicyServiceServicer_to_server(ems, server)
    server.add_insecure_port(target)
    await server.start()
    plans: tuple[FlowPlan, ...] = (plan(7_000, 20),)
    async with grpc.aio.insecure_channel(target) as channel:
        sync = StatementSync(channel, state=lambda: blocks_of(plans, ahead_ms=0), is_known=lambda: True)
        await sync.sync()
        plans = ()
        await sync.sync()
    await server.stop(0)
    assert [len(request.blocks) for request in ems.blocks] == [1, 0]
