"""Peak, tariff, self-consumption, export, reservation, override, delay: rule by rule."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from ems_examples import B1, E1, E2, PV1, at, demo_config
from hypothesis import given, settings
from hypothesis import strategies as st
from policy_examples import CHARGING, TOPOLOGY, Run, evse, picture, policy

from dgm.api.config.v1.config_pb2 import PolicyConfig, PolicyParameter
from dgm.api.ems.v1.ems_pb2 import PutTargetRequest, Quantity, Target
from dgm.api.ems.v1.policy_pb2 import PriceBlock, PutPricesRequest, PutPricesResponse
from dgm.api.site.v1.site_pb2 import PlugState, ReportSamplesRequest
from dgm.ems.calendar import utc_offset
from dgm.ems.cycle import Cycle
from dgm.ems.events import Reply, SendTargets
from dgm.ems.history import QUARTER_MS, History
from dgm.ems.policies import parameters, tariff
from dgm.ems.policies.random_delay import delay_ms
from dgm.ems.snapshot import ApiTarget, LimitView, Planned, Price, Snapshot
from dgm.machine import Tick
from dgm.site.refusal import Refusal

PLAN = Planned(due_wh=5000, departure_utc_ms=0, now_ma=10_000, is_promised=True)
BEGIN = 1_700_000_100_000 // QUARTER_MS * QUARTER_MS


def quarter(second: int, used_w: int, seen_s: int | None = None, **more: Any) -> Snapshot:
    """That many seconds into a quarter hour that drew `used_w` so far."""
    seen_ms = (second if seen_s is None else seen_s) * 1000
    history = History(open_utc_ms=BEGIN, open_wms=used_w * seen_ms, seen_ms=seen_ms)
    return picture(second * 1000, utc_ms=BEGIN + second * 1000, history=history, **more)


def peak(second: int, used_w: int, **given: Any) -> int:
    run = Run("peak", ceiling_w="100_000", margin_permille="0", burst_permille="1200")
    (cap,) = run(quarter(second, used_w, **given)).circuit_caps
    assert cap.quantity == Quantity.QUANTITY_NET_IMPORT
    assert cap.failsafe is None
    return cap.bound


def test_the_peak_cap_is_what_is_left_of_the_interval() -> None:
    assert peak(0, 0) == 100_000
    assert peak(450, 90_000) == 110_000
    assert peak(450, 50_000) == 120_000
    assert peak(450, 150_000) == 50_000
    assert peak(600, 160_000) == 0


def test_what_the_meter_did_not_show_counts_at_the_ceiling() -> None:
    assert peak(450, 0, seen_s=0) == 100_000


@settings(max_examples=30)
@given(st.lists(st.integers(0, 200_000), min_size=90, max_size=90), st.sampled_from(["1000", "1500", "3000"]))
def test_whoever_keeps_the_cap_keeps_the_mean(wishes: list[int], burst: str) -> None:
    run = Run("peak", ceiling_w="100_000", margin_permille="0", burst_permille=burst)
    used_wms = 0
    for step, wish in enumerate(wishes):
        history = History(open_utc_ms=BEGIN, open_wms=used_wms, seen_ms=step * 10_000)
        (cap,) = run(picture(step, utc_ms=BEGIN + step * 10_000, history=history)).circuit_caps
        used_wms += min(wish, cap.bound) * 10_000
    assert used_wms <= 100_000 * QUARTER_MS


def test_a_longer_interval_counts_its_closed_quarters() -> None:
    run = Run("peak", ceiling_w="100_000", margin_permille="0", interval_min="30")
    half = BEGIN // (2 * QUARTER_MS) * 2 * QUARTER_MS
    history = History(means_w={half: 150_000}, open_utc_ms=half + QUARTER_MS)
    (cap,) = run(picture(utc_ms=half + QUARTER_MS, history=history)).circuit_caps
    assert cap.bound == 50_000


def test_a_peak_that_this_month_has_paid_for_is_the_ceiling() -> None:
    run = Run("peak", ceiling_w="100_000", margin_permille="0", ratchet="true")
    month_ago = BEGIN - 31 * 86_400_000
    history = History(means_w={BEGIN - QUARTER_MS: 130_000, month_ago: 500_000}, open_utc_ms=BEGIN)
    for _ in range(2):
        (cap,) = run(picture(utc_ms=BEGIN, history=history)).circuit_caps
        assert cap.lasting == 130_000


@pytest.mark.parametrize(
    ("name", "given", "key"),
    [
        ("peak", {"ceiling_w": "1000", "interval_min": "20"}, "interval_min"),
        ("tariff", {"dear_from": "100", "cheap_to": "100"}, "cheap_to"),
        ("tariff", {"dear_from": "100", "cheap_to": "1", "windows": "Mo 7-8"}, "windows"),
        ("demand_response", {"days": "5", "highest": "6"}, "highest"),
        ("flow_reservation", {"blocks": "daily 01:00-02:00 -5"}, "blocks"),
    ],
)
def test_parameters_that_contradict_each_other_are_told(name: str, given: dict[str, str], key: str) -> None:
    from dgm.ems.policies import registry

    lists = {name_: [value] for name_, value in given.items()}
    params, findings = parameters.read(registry.policies()[name].params, lists)
    assert params is None
    assert [finding[0] for finding in findings] == [key]


def prices(per_mwh: int) -> list[Price]:
    now = at(0).utc_ms
    return [Price(start_utc_ms=now, end_utc_ms=now + 3_600_000, per_mwh=per_mwh, source="api:t")]


def tariff_run(evse_mode: str = "minimum") -> Run:
    return Run("tariff", dear_from="300", cheap_to="100", evse=evse_mode)


def test_when_energy_is_cheap_batteries_fill_up() -> None:
    targets = tariff_run()(picture(prices=prices(100)))
    assert [(want.asset_index, want.value) for want in targets.wants] == [(B1, 15_000)]
    assert not tariff_run()(picture(prices=prices(100), battery=(0, 1000))).wants
    assert "100 per MWh for 60 min (api:t)" in targets.wants[0].why


@pytest.mark.parametrize(("mode", "high_ma"), [("minimum", 6000), ("pause", 0)])
def test_when_energy_is_dear_cars_without_a_plan_hold_back_and_batteries_serve(mode: str, high_ma: int) -> None:
    dear = picture(net_w=8_000, prices=prices(300), evses=[evse(E1), evse(E2, planned=PLAN)])
    targets = tariff_run(mode)(dear)
    assert [(cap.asset_index, cap.high) for cap in targets.asset_caps] == [(E1, high_ma), (E2, 10_000)]
    assert [(want.asset_index, want.value) for want in targets.wants] == [(B1, -8_000)]


def test_between_the_prices_and_without_any_the_tariff_asks_for_nothing() -> None:
    for some in (prices(200), []):
        targets = tariff_run()(picture(prices=some, evses=[evse(E1)]))
        assert not targets.wants
        assert not targets.asset_caps


def test_windows_become_prices_two_days_ahead_without_gap_or_overlap() -> None:
    _, params = policy(
        "tariff",
        dear_from="300",
        cheap_to="100",
        windows=["Mo-Fr 07:00-22:00 310", "daily 12:00-14:00 5"],
        otherwise="90",
    )
    found = tariff.series(params, BEGIN, utc_offset)
    assert found[0].start_utc_ms == BEGIN
    assert found[-1].end_utc_ms == BEGIN + tariff.AHEAD_MS
    for one, other in pairwise(found):
        assert one.end_utc_ms == other.start_utc_ms
        assert one.per_mwh != other.per_mwh
    assert {one.per_mwh for one in found} <= {310, 90, 5}


def test_the_battery_serves_the_load_and_takes_what_is_over_whatever_it_does_now() -> None:
    run = Run("self_consumption")
    for net_w, battery_w, wanted in ((5_000, 0, -5_000), (1_000, -4_000, -5_000), (-3_000, 0, 3_000)):
        (want,) = run(picture(net_w=net_w, battery=(battery_w, 500))).wants
        assert want.value == wanted
    assert not run(picture(net_w=None)).wants
    assert not run(picture(net_w=5_000, battery=(0, 200))).wants


def test_cars_take_what_the_sun_leaves_and_what_they_are_entitled_to() -> None:
    run = Run("self_consumption", evse="surplus", battery="false")
    sunny = picture(net_w=-7_000, solar_w=9_000, evses=[evse(E1), evse(E2)])
    (cap,) = run(sunny).circuit_caps
    assert cap.bound == 7_000
    dark = picture(net_w=2_000, solar_w=0, evses=[evse(E1, planned=PLAN), evse(E2)])
    (cap,) = run(dark).circuit_caps
    assert cap.bound == 6_901
    (cap,) = run(replace(sunny, net_w=None)).circuit_caps
    assert cap.bound == 0


def test_an_export_limit_holds_in_its_windows_and_loosens_by_no_silence() -> None:
    run = Run("export_limit", limit_w="1500", windows="daily 00:00-12:00")
    morning, evening = (
        picture(utc_ms=BEGIN // 86_400_000 * 86_400_000),
        picture(utc_ms=BEGIN // 86_400_000 * 86_400_000 - 1),
    )
    (cap,) = run(morning).circuit_caps
    assert (cap.quantity, cap.bound, cap.failsafe) == (Quantity.QUANTITY_NET_EXPORT, 1500, 1500)
    assert not run(evening).circuit_caps


def test_an_export_limit_with_a_ramp_comes_down_on_a_line_and_stays_down() -> None:
    run = Run("export_limit", limit_w="10_000", ramp_s="100")
    found = [run(picture(second * 1000)).circuit_caps[0].bound for second in (0, 50, 100, 200)]
    assert found == [50_000, 30_000, 10_000, 10_000]


def block(bound: int = 12_000, **more: Any) -> LimitView:
    fields: dict[str, Any] = {
        "id": "utility:flowReservation",
        "source": "utility:der",
        "circuit_index": 0,
        "asset_index": None,
        "quantity": Quantity.QUANTITY_GROSS_LOAD,
        "bound": bound,
        "start_utc_ms": 0,
        "end_utc_ms": at(0).utc_ms + 1000,
        "is_pending": False,
    }
    return LimitView(**(fields | more))


@pytest.mark.parametrize(
    ("limits", "bound"),
    [
        ([block()], 12_000),
        ([], 500),
        ([block(is_pending=True)], 500),
        ([block(id="utility:opModLoadLimW")], 500),
        ([block(end_utc_ms=None)], 500),
        ([block(circuit_index=1)], 500),
    ],
)
def test_outside_the_blocks_the_group_draws_little(limits: list[LimitView], bound: int) -> None:
    (cap,) = Run("flow_reservation", outside_w="500")(picture(limits=limits)).circuit_caps
    assert (cap.bound, cap.failsafe) == (bound, 500)


def test_blocks_may_be_named_by_their_source() -> None:
    run = Run("flow_reservation", limit="api:broker")
    assert run(picture(limits=[block(id="b-7", source="api:broker")])).circuit_caps[0].bound == 12_000


def test_blocks_by_contract_stand_in_site_yaml() -> None:
    run = Run("flow_reservation", blocks="daily 00:00-24:00 3000")
    assert run(picture()).circuit_caps[0].bound == 3000


def test_an_override_makes_void_what_ranks_below_it_until_it_ends() -> None:
    target = ApiTarget(id="boost", source="api:console", value=32_000, end_mono_ms=90_000)
    run = Run("override")
    targets = run(picture(targets={E1: target, B1: replace(target, source="utility:der", value=0)}))
    assert [(want.asset_index, want.value) for want in targets.wants] == [(E1, 32_000)]
    assert targets.alone == {E1}
    assert "for 90 s more" in targets.wants[0].why


def machine(*policies: PolicyConfig) -> Cycle:
    config = demo_config()
    config.ems.policies.extend(policies)
    cycle = Cycle(config, epoch=1)
    cycle.restore({}, at(0))
    return cycle


def listed(name: str, **given: str) -> PolicyConfig:
    return PolicyConfig(name=name, parameters={key: PolicyParameter(values=[value]) for key, value in given.items()})


def charging(cycle: Cycle, mono_ms: int = 0) -> None:
    from ems_examples import sample

    report = [sample(name, PlugState.PLUG_STATE_CHARGING, ma=0) for name in ("e1", "e2")]
    request = ReportSamplesRequest(source="ocpp:1", sequence=mono_ms, samples=report)
    cycle.handle(request, at(mono_ms))


def wanted(cycle: Cycle, mono_ms: int) -> list[int | None]:
    effects = cycle.handle(Tick(), at(mono_ms))
    rows = next(effect.rows for effect in effects if isinstance(effect, SendTargets))
    return [row[0] for row in rows]


PRICES = PutPricesRequest(
    source="api:t", prices=[PriceBlock(start_utc_ms=at(0).utc_ms, duration_ms=3_600_000, per_mwh=500)]
)


@pytest.mark.parametrize(("override", "wanted_ma"), [(True, 20_000), (False, 0)])
def test_caps_of_a_tariff_bind_a_target_of_the_api_unless_an_override_ranks_above(
    override: bool, wanted_ma: int
) -> None:
    pausing = listed("tariff", dear_from="300", cheap_to="100", evse="pause")
    cycle = machine(*([listed("override")] if override else []), pausing)
    charging(cycle)
    cycle.handle(PRICES, at(0))
    target = Target(id="t", source="api:x", asset_id="e1", want_ma=20_000, ttl_ms=3000)
    cycle.handle(PutTargetRequest(target=target), at(0))
    assert wanted(cycle, 1000)[E1] == wanted_ma
    assert wanted(cycle, 4000)[E1] == 0


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        (PutPricesRequest(source="me"), "source"),
        (PutPricesRequest(source="api:t", prices=[PriceBlock(start_utc_ms=5)]), "prices[0].duration_ms"),
        (
            PutPricesRequest(
                source="api:t",
                prices=[
                    PriceBlock(start_utc_ms=5, duration_ms=10),
                    PriceBlock(start_utc_ms=14, duration_ms=10),
                ],
            ),
            "prices[1].start_utc_ms",
        ),
        (
            PutPricesRequest(source="api:t", prices=[PriceBlock(start_utc_ms=5, duration_ms=1, per_mwh=10**9)]),
            "prices[0].per_mwh",
        ),
    ],
)
def test_prices_that_cannot_be_meant_are_refused(request_: PutPricesRequest, field: str) -> None:
    (answer,) = machine().handle(request_, at(0))
    assert isinstance(answer, Reply)
    assert isinstance(answer.message, Refusal)
    assert answer.message.field == field


def test_prices_replace_those_of_the_same_source_and_fill_the_gaps_of_others() -> None:
    cycle, now = machine(listed("tariff", dear_from="300", cheap_to="100", otherwise="7")), at(0)
    assert {price.per_mwh for price in cycle.guidance._prices_now(now)} == {7}
    effects = cycle.handle(PRICES, now)
    assert effects[-1] == Reply(message=PutPricesResponse(held=1))
    later = PriceBlock(start_utc_ms=now.utc_ms + 3_000_000, duration_ms=3_600_000, per_mwh=1)
    cycle.handle(PutPricesRequest(source="utility:z", prices=[later]), now)
    assert [price.per_mwh for price in cycle.guidance._prices_now(now)] == [500]
    cycle.handle(PutPricesRequest(source="api:t"), now)
    assert [price.per_mwh for price in cycle.guidance._prices_now(now)] == [1]


def test_at_a_change_of_price_every_car_keeps_what_it_has_for_a_time_of_its_own() -> None:
    run = Run("random_delay", max_s="600")
    cars = [evse(E1, power_w=1000, grant_ma=16_000), evse(E2, power_w=1000, grant_ma=10_000)]
    run(picture(0, evses=cars, prices=prices(100)))
    run(picture(1000, evses=cars, prices=prices(100)))
    targets = run(picture(2000, evses=cars, prices=prices(300)))
    assert {want.asset_index: want.value for want in targets.wants} == {E1: 16_000, E2: 10_000}
    assert targets.alone == {E1, E2}
    ends = {}
    for second in range(3, 700):
        held = run(picture(second * 1000, evses=cars, prices=prices(300))).alone
        for index in (E1, E2):
            if index not in held:
                ends.setdefault(index, second)
    moment = at(2000).utc_ms // 60_000
    for index, name in ((E1, "e1"), (E2, "e2")):
        assert ends[index] == 2 + -(-delay_ms("dgm", name, moment, 600) // 1000)


def test_after_a_return_of_power_cars_wait_but_one_that_draws_already_is_not_stopped() -> None:
    run = Run("random_delay")
    unseen = [evse(E1, PlugState.PLUG_STATE_UNSPECIFIED, power_w=None), evse(E2, power_w=None)]
    targets = run(picture(0, evses=unseen))
    assert [(want.asset_index, want.value) for want in targets.wants] == [(E1, 0), (E2, 0)]
    assert run(picture(1000, evses=[evse(E1, power_w=5000), evse(E2, power_w=0)])).alone == {E2}


@given(st.text(max_size=10), st.integers(0, 10**9), st.integers(0, 1800))
def test_a_delay_is_within_its_bound_and_always_the_same(name: str, moment: int, max_s: int) -> None:
    delay = delay_ms("s", name, moment, max_s)
    assert 0 <= delay <= max_s * 1000
    assert delay == delay_ms("s", name, moment, max_s)


def test_delays_of_many_evses_are_spread_evenly() -> None:
    found = sorted(delay_ms("s", f"e{number}", 7, 600) for number in range(2000))
    worst = max(abs(value / 600_000 - number / 2000) for number, value in enumerate(found))
    assert worst < 1.36 / 2000**0.5  # Kolmogorov-Smirnov at 5 %


def test_what_two_passes_give_is_a_weight_and_the_needy_weigh_more() -> None:
    soon = replace(PLAN, due_wh=20_000, departure_utc_ms=at(0).utc_ms + 3_600_000)
    late = replace(PLAN, due_wh=1_000, departure_utc_ms=at(0).utc_ms + 10 * 3_600_000)
    topology = TOPOLOGY
    run = Run("two_pass")
    targets = run(picture(evses=[evse(E1, planned=soon), evse(E2, planned=late)], topology=topology))
    weights = {share.asset_index: share.factor for share in targets.shares}
    assert weights[E1] > weights[E2] > 0
    assert not run(picture()).shares


def test_equal_shares_set_weights_and_strata_of_the_configuration_aside() -> None:
    targets = Run("equal_share")(picture(evses=[evse(E1, CHARGING), evse(E2)]))
    assert [share.factor * TOPOLOGY.assets[share.asset_index].weight for share in targets.shares] == [1, 1]
    assert {share.stratum for share in targets.shares} == {1}


def test_the_sun_is_never_told_what_to_want() -> None:
    for name, written in (("tariff", {"dear_from": "3", "cheap_to": "1"}), ("self_consumption", {})):
        targets = Run(name, **written)(picture(net_w=-5000, solar_w=5000, prices=prices(3)))
        assert PV1 not in {want.asset_index for want in targets.wants}
