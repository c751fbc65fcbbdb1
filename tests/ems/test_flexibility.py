"""What the connection point could import less or more, for how long, and which limit bounds it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import pytest
from ems_examples import B1, E1, GARAGE, GRID, M1, PV1, at, current_row, decided, demo_config, evse_grant, power, sample
from hypothesis import given
from hypothesis import strategies as st

from dgm.api.core.v1.core_pb2 import Row
from dgm.api.ems.v1.ems_pb2 import Quantity
from dgm.api.ems.v1.plan_pb2 import FlexibilityOffer, GetFlexibilityResponse
from dgm.api.site.v1.site_pb2 import PlugState, ReportSamplesRequest
from dgm.ems.cycle import Cycle
from dgm.ems.flexibility import Need, flexibility, stores

HOUR_MS = 3_600_000
NOW = at(10_000)


def net(quantity: Quantity, bound: int, limit_id: str, **fields: int) -> Row:
    return Row(circuit_index=GRID, quantity=quantity, bound=bound, limit_id=limit_id, **fields)


ROWS = (
    net(Quantity.QUANTITY_NET_IMPORT, 100_000, "site:grid:NET_IMPORT", evse_counted=30_000),
    net(Quantity.QUANTITY_NET_EXPORT, 50_000, "site:grid:NET_EXPORT"),
    *(current_row(GARAGE, phase, 63_000, "site:garage:CURRENT") for phase in (1, 2, 3)),
)


def told(
    *,
    net_w: int | None = 30_000,
    battery_w: int = 0,
    soc: int | None = 500,
    pv_w: int = -10_000,
    rows: Iterable[Row] = ROWS,
    needs: Mapping[int, Need] | None = None,
    grant_ma: int = 16_000,
    draw_ma: int = 16_000,
    plug: PlugState = PlugState.PLUG_STATE_CHARGING,
) -> GetFlexibilityResponse:
    """A car at e1 (three phases, 32 A at most), a battery of 20 kW and 40 kWh at half, the sun gives 10 kW."""
    cycle = Cycle(demo_config(), epoch=7)
    cycle.handle(ReportSamplesRequest(source="ocpp:1", sequence=1, samples=[sample("e1", plug, ma=draw_ma)]), NOW)
    readings = [power(B1, battery_w, NOW, soc=soc), power(PV1, pv_w, NOW)]
    if net_w is not None:
        readings.append(power(M1, net_w, NOW))
    cycle.handle(decided(NOW, evse_grant(E1, grant_ma), rows=rows, readings=readings), NOW)
    if needs is None:
        return cycle.flexibility(NOW)
    return flexibility(cycle.state, cycle.decision, stores(demo_config()), needs, NOW)


def offer(answer: GetFlexibilityResponse, minutes: int) -> FlexibilityOffer:
    return next(found for found in answer.offers if found.duration_ms == minutes * 60_000)


def test_what_is_less_is_battery_and_cars_down_to_their_minimum() -> None:
    parts = {part.asset_id: part for part in told().parts}
    assert parts["b1"].down_w == 20_000
    assert parts["b1"].down_wh == 40_000 * 300 // 1000
    assert parts["e1"].down_w == 11_040 - 4_140
    assert "nobody has stated its need" in parts["e1"].reason
    assert offer(told(), 15).down_w == 20_000 + 6_900
    assert offer(told(), 15).down_bound == "assets"


def test_the_longer_it_is_held_the_less_the_battery_gives() -> None:
    answer = told()
    assert offer(answer, 30).down_w == 20_000 + 6_900
    assert offer(answer, 60).down_w == 12_000 + 6_900
    assert offer(answer, 240).down_w == 3_000 + 6_900


def test_what_the_battery_gives_already_is_not_offered_again() -> None:
    answer = told(battery_w=-8_000)
    assert {part.asset_id: part.down_w for part in answer.parts}["b1"] == 12_000
    assert offer(answer, 60).down_w == 4_000 + 6_900
    charging = told(battery_w=8_000, soc=200)
    assert offer(charging, 240).down_w == 8_000 + 6_900


def test_what_is_more_is_cars_battery_and_curtailed_pv() -> None:
    answer = told()
    parts = {part.asset_id: part for part in answer.parts}
    assert parts["e1"].up_w == 22_080 - 11_040
    assert parts["b1"].up_w == 15_000
    assert parts["pv1"].up_w == 10_000
    assert offer(answer, 60).up_w == 11_040 + 15_000 + 10_000


def test_more_is_bounded_by_the_import_limit_and_says_so() -> None:
    answer = told(net_w=90_000)
    assert offer(answer, 15).up_w == 10_000
    assert offer(answer, 15).up_bound == "site:grid:NET_IMPORT"
    assert "takes 26.04 kW" in offer(answer, 15).up_reason


def test_a_feeder_bounds_its_cars_and_not_the_battery_beside_it() -> None:
    rows = [*ROWS[:2], *(current_row(GARAGE, phase, 5_000, "site:garage:CURRENT") for phase in (1, 2, 3))]
    answer = told(rows=rows)
    assert offer(answer, 15).up_w == 5 * 690 + 15_000 + 10_000
    assert offer(answer, 15).up_bound == "site:garage:CURRENT"


def test_less_is_bounded_by_the_export_limit() -> None:
    answer = told(net_w=-40_000)
    assert offer(answer, 15).down_w == 10_000
    assert offer(answer, 15).down_bound == "site:grid:NET_EXPORT"


def test_a_limit_on_output_bounds_the_battery_alone() -> None:
    rows = [*ROWS, net(Quantity.QUANTITY_GROSS_GENERATION, 15_000, "utility:opModGenLimW")]
    answer = told(rows=rows)
    assert offer(answer, 15).down_w == 5_000 + 6_900
    assert offer(answer, 15).down_bound == "utility:opModGenLimW"


def test_a_car_that_has_slack_offers_it_and_one_that_has_none_offers_nothing() -> None:
    loose = Need(due_wh=10_000, departure_utc_ms=NOW.utc_ms + 2 * HOUR_MS)
    tight = Need(due_wh=44_160, departure_utc_ms=NOW.utc_ms + 2 * HOUR_MS)
    assert offer(told(needs={E1: loose}, soc=200), 60).down_w == 6_900
    answer = told(needs={E1: tight}, soc=200)
    assert offer(answer, 60).down_w == 0
    assert "0 kWh of slack" in {part.asset_id: part.reason for part in answer.parts}["e1"]


def test_a_car_takes_more_only_as_far_as_it_still_needs() -> None:
    need = Need(due_wh=12_000, departure_utc_ms=NOW.utc_ms + 5 * HOUR_MS)
    answer = told(needs={E1: need}, soc=900, pv_w=0)
    assert offer(answer, 30).up_w == 11_040
    assert offer(answer, 60).up_w == 12_000 - 11_040


def test_a_car_that_leaves_current_unused_is_not_counted_as_able_to_take_more() -> None:
    parts = {part.asset_id: part for part in told(draw_ma=10_000).parts}
    assert parts["e1"].up_w == 0


@pytest.mark.parametrize("plug", [PlugState.PLUG_STATE_SUSPENDED_EV, PlugState.PLUG_STATE_AVAILABLE])
def test_a_place_without_a_car_that_charges_offers_nothing(plug: PlugState) -> None:
    [part] = [part for part in told(plug=plug).parts if part.asset_id == "e1"]
    assert (part.down_w, part.up_w, part.reason) == (0, 0, "no car that charges")


def test_without_the_meter_nothing_is_offered_and_it_says_why() -> None:
    answer = told(net_w=None)
    [nothing] = answer.offers
    assert (nothing.down_w, nothing.up_w) == (0, 0)
    assert "meter of the connection point" in nothing.down_reason
    assert not answer.HasField("import_w")


def test_a_battery_whose_charge_is_not_seen_is_not_counted() -> None:
    [part] = [part for part in told(soc=None).parts if part.asset_id == "b1"]
    assert (part.down_w, part.up_w) == (0, 0)
    assert "state of charge" in part.reason


def test_a_lost_meter_below_leaves_no_room_there() -> None:
    lost = [net(Quantity.QUANTITY_NET_IMPORT, 100_000, "l", meter_lost=True)]
    assert offer(told(rows=lost), 15).up_w == 0


@given(
    net_w=st.integers(-60_000, 120_000),
    battery_w=st.integers(-20_000, 15_000),
    soc=st.integers(0, 1000),
    pv_w=st.integers(-30_000, 0),
    draw_ma=st.integers(0, 32_000),
)
def test_an_offer_never_leads_over_a_limit_or_out_of_the_battery_and_never_grows_with_time(
    net_w: int, battery_w: int, soc: int, pv_w: int, draw_ma: int
) -> None:
    answer = told(net_w=net_w, battery_w=battery_w, soc=soc, pv_w=pv_w, draw_ma=draw_ma, grant_ma=draw_ma)
    for shorter, longer in zip(answer.offers, answer.offers[1:], strict=False):
        assert shorter.down_w >= longer.down_w >= 0
        assert shorter.up_w >= longer.up_w >= 0
    for found in answer.offers:
        assert found.up_w == 0 or net_w + found.up_w <= 100_000
        assert found.down_w == 0 or net_w - found.down_w >= -50_000
        battery_down_w = found.down_w - max(0, draw_ma * 690 // 1000 - 4_140)
        drained_wh = (battery_down_w - battery_w) * found.duration_ms / HOUR_MS
        assert drained_wh <= max(0, 40 * (soc - 200)) + 2 or battery_down_w <= max(0, battery_w)
