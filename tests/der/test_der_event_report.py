"""What the meter saw of a control: time, worst, energy, with ramps, gaps, partial sight and the journal."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from dgm.api.ems.v1.ems_pb2 import Quantity
from dgm.der.envelope import UNBOUND_W, Bound
from dgm.der.event_report import PREFIX, REPORTS_MAX, EventReport, EventReports, SeenPower
from dgm.machine import Now

T0_MS = 1_700_000_000_000
BOUND = Bound(
    mode="opModImpLimW",
    power_w=10_000,
    mrid="AA",
    began_utc_ms=T0_MS,
    end_utc_ms=None,
    event_end_ms=T0_MS + 60_000,
    failsafe_w=None,
    ramp_ms=0,
)


def now(second: float) -> Now:
    return Now(mono_ms=round(second * 1000), utc_ms=T0_MS + round(second * 1000))


def watched(
    values: dict[float, int | None], bound: Bound = BOUND, quantity: int = Quantity.QUANTITY_NET_IMPORT
) -> EventReport:
    reports = EventReports()
    for second, power_w in values.items():
        seen = {} if power_w is None else {quantity: SeenPower(power_w=power_w)}
        reports.observe({bound.mode: bound}, seen, now(second))
    (over,) = reports.observe({}, None, now(60))
    assert reports.reports() == (over,)
    return over


def steady(power_w: int) -> dict[float, int | None]:
    return {float(second): power_w for second in range(60)}


def test_a_limit_that_is_kept_is_settled_from_the_start() -> None:
    report = watched(steady(9_000))
    assert (report.observed_ms, report.out_ms, report.worst_w, report.settled_ms) == (60_000, 0, 0, 0)
    assert (report.energy_wh, report.over_wh, report.is_kept) == (150, 0, True)


def test_a_limit_that_is_passed_for_a_while_tells_how_long_how_far_and_how_much() -> None:
    report = watched({**steady(9_000), **{float(second): 16_000 for second in range(20, 40)}, 30.0: 19_000})
    assert (report.out_ms, report.worst_w, report.worst_ms) == (20_000, 9_000, T0_MS + 30_000)
    assert report.over_wh == -(-(6_000 * 19 + 9_000) // 3600)
    assert not report.is_kept


def test_what_lies_within_the_noise_of_a_meter_is_kept() -> None:
    assert watched(steady(10_100)).out_ms == 0
    assert watched(steady(10_101)).out_ms == 60_000


def test_a_ramp_belongs_to_the_limit() -> None:
    report = watched(
        {**steady(9_000), **{float(second): 16_000 for second in range(20)}}, replace(BOUND, ramp_ms=20_000)
    )
    assert (report.out_ms, report.worst_w, report.settled_ms) == (0, 0, 20_000)


def test_what_is_not_seen_is_not_counted() -> None:
    report = watched({0.0: 20_000, 5.0: None, 50.0: 9_000})
    assert (report.observed_ms, report.out_ms) == (15_000, 5_000)
    assert watched({0.0: 20_000}).observed_ms == 10_000, "a value holds for ten seconds"


def test_what_is_seen_of_the_chargers_can_prove_an_excess_and_nothing_else() -> None:
    reports, bound = EventReports(), replace(BOUND, mode="opModLoadLimW")
    for second, power_w in ((0, 5_000), (5, 12_000), (10, 5_000), (15, 5_000)):
        seen = {int(Quantity.QUANTITY_GROSS_LOAD): SeenPower(power_w=power_w, is_whole=False)}
        reports.observe({bound.mode: bound}, seen, now(second))
    (report,) = reports.reports()
    assert (report.observed_ms, report.out_ms, report.settled_ms) == (5_000, 5_000, None)


def test_defaults_and_events_that_free_are_not_reported() -> None:
    reports = EventReports()
    reports.observe({"a": replace(BOUND, event_end_ms=None), "b": replace(BOUND, power_w=UNBOUND_W)}, {}, now(0))
    assert reports.reports() == ()


def test_a_report_goes_on_after_a_restart_and_a_damaged_one_is_named() -> None:
    reports = EventReports()
    for second in range(25):
        seen = {int(Quantity.QUANTITY_NET_IMPORT): SeenPower(power_w=20_000)}
        reports.observe({BOUND.mode: BOUND}, seen, now(second))
    stored = {key: value for key, value in reports.changed().items() if value is not None}
    again = EventReports()
    (damaged,) = again.restore({**stored, PREFIX + "x": b'{"mode":"opModDance"}'})
    assert damaged.key == PREFIX + "x"
    (report,) = again.reports()
    assert 15_000 <= report.out_ms <= 24_000
    (over,) = again.observe({}, {}, now(70))
    assert over.end_ms == T0_MS + 60_000, "it ended while nobody looked"


def test_the_oldest_of_many_reports_goes() -> None:
    reports = EventReports()
    for number in range(REPORTS_MAX + 3):
        bound = replace(BOUND, mrid=f"{number:04}", began_utc_ms=T0_MS + number)
        reports.observe({bound.mode: bound}, {}, now(number))
    kept = reports.reports()
    assert len(kept) == REPORTS_MAX
    assert kept[0].mrid == "0003"
    assert reports.changed()[f"{PREFIX}0000/opModImpLimW"] is None


@given(st.lists(st.integers(-20_000, 40_000), min_size=60, max_size=60))
def test_the_sums_are_those_of_the_samples(powers: list[int]) -> None:
    report = watched({float(second): power_w for second, power_w in enumerate(powers)})
    over = [power_w - 10_000 for power_w in powers if power_w > 10_100]
    assert report.out_ms == 1000 * len(over)
    assert report.worst_w == max(over, default=0)
    assert report.over_wms == 1000 * sum(over)
    assert report.energy_wms == 1000 * sum(max(power_w, 0) for power_w in powers)
