"""Newest readings, ageing, reports out of order, and watchers of any speed."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from test_topology import small_config

from dgm.api.core.v1.core_pb2 import AssetGrant, Decision, Row
from dgm.api.ems.v1.ems_pb2 import Quantity
from dgm.api.site.v1.site_pb2 import EvseDer, PhaseValues, PlugState, Quality, Sample, WatchSiteResponse
from dgm.machine import Now
from dgm.site.state import Reading, ReportGate, SiteState, Verdict, Watcher, known_samples, reading_of
from dgm.site.topology import Topology

GOOD = Quality.QUALITY_GOOD


def at(mono_ms: int) -> Now:
    return Now(mono_ms=mono_ms, utc_ms=1_700_000_000_000 + mono_ms)


def new_state() -> SiteState:
    return SiteState(topology=Topology.from_config(small_config()), sample_max_age_ms=12_000)


def seen(power_w: int, measured_ms: int) -> Reading:
    return Reading(quality=GOOD, measured_ms=measured_ms, power_w=power_w)


def powers(update: WatchSiteResponse) -> dict[str, int]:
    return {sample.asset_id: sample.power_w for sample in update.samples if sample.HasField("power_w")}


def test_a_snapshot_holds_every_asset_and_says_what_was_never_seen() -> None:
    state = new_state()
    state.put_reading(0, seen(500, 0))
    update = state.update(at(700), since=None)
    assert update.snapshot
    assert [sample.asset_id for sample in update.samples] == ["m1", "b1", "e1", "e2"]
    assert (update.samples[0].power_w, update.samples[0].age_ms) == (500, 700)
    assert update.samples[1].quality == Quality.QUALITY_NEVER
    assert not update.samples[1].HasField("power_w")


def test_an_older_reading_does_not_replace_a_newer_one() -> None:
    state = new_state()
    assert state.put_reading(2, seen(1, 1000))
    assert not state.put_reading(2, seen(2, 999))
    assert state.reading(2).power_w == 1


def test_a_good_reading_grows_stale_and_the_watcher_is_told() -> None:
    state = new_state()
    watcher = Watcher(interval_ms=1000)
    state.put_reading(2, seen(1, 0))
    watcher.update(state, at(0))
    state.age(at(12_001))
    update = watcher.update(state, at(1000))
    assert [(sample.asset_id, sample.quality) for sample in update.samples] == [("e1", Quality.QUALITY_STALE)]
    assert state.quality(2, at(12_001)) == Quality.QUALITY_STALE


def test_a_delta_holds_only_what_changed() -> None:
    state = new_state()
    watcher = Watcher(interval_ms=1000)
    watcher.update(state, at(0))
    state.put_reading(1, seen(7, 900))
    update = watcher.update(state, at(1000))
    assert not update.snapshot
    assert powers(update) == {"b1": 7}
    assert not watcher.update(state, at(2000)).samples


def test_a_slow_reader_gets_one_snapshot_and_the_gap_says_what_it_missed() -> None:
    state = new_state()
    watcher = Watcher(interval_ms=1000)
    assert watcher.update(state, at(0)).sequence == 1
    for second in range(1, 10):
        state.put_reading(0, seen(second, second * 1000))
    update = watcher.update(state, at(9500))
    assert (update.sequence, update.snapshot, powers(update)) == (10, True, {"m1": 9})
    assert watcher.conflated == 8
    assert watcher.wait_ms(at(9500)) == 500
    after = watcher.update(state, at(10_000))
    assert (after.sequence, after.snapshot) == (11, False)


CHANGES = st.lists(st.tuples(st.integers(0, 3), st.integers(-9, 9)), max_size=6)


@given(turns=st.lists(st.tuples(st.integers(0, 5000), CHANGES), min_size=1, max_size=20))
def test_a_reader_of_any_speed_that_applies_what_it_gets_has_the_newest_values(
    turns: list[tuple[int, list[tuple[int, int]]]],
) -> None:
    state = new_state()
    watcher = Watcher(interval_ms=500)
    known: dict[str, int] = {}
    sequence, now_ms = 0, 0
    for delay_ms, changes in turns:
        for index, power_w in changes:
            state.put_reading(index, seen(power_w, now_ms))
        update = watcher.update(state, at(now_ms))
        assert update.sequence > sequence
        assert update.snapshot == (sequence == 0 or update.sequence > sequence + 1)
        sequence = update.sequence
        known = powers(update) if update.snapshot else known | powers(update)
        newest = {asset.id: state.reading(asset.index).power_w for asset in state.topology.assets}
        assert known == {name: power_w for name, power_w in newest.items() if power_w is not None}
        now_ms += watcher.wait_ms(at(now_ms)) + delay_ms


def test_a_remote_sample_keeps_its_own_age() -> None:
    sample = Sample(asset_id="e1", quality=GOOD, age_ms=400, current_ma=PhaseValues(l1=6000))
    reading = reading_of(sample, at(1000))
    assert reading.age_ms(at(1000)) == 400
    assert reading.current_ma == (6000, None, None)


def test_values_no_device_can_have_are_not_known() -> None:
    sample = Sample(
        asset_id="e1", quality=GOOD, age_ms=-5, power_w=2**40, current_ma=PhaseValues(l1=-1, l2=2**40, l3=3)
    )
    reading = reading_of(sample, at(1000))
    assert (reading.power_w, reading.current_ma, reading.age_ms(at(1000))) == (None, (None, None, 3), 0)


def test_a_sample_that_does_not_state_its_quality_is_not_trusted() -> None:
    assert reading_of(Sample(asset_id="e1", power_w=1), at(0)).quality == Quality.QUALITY_FAILED


def test_only_evses_may_be_reported() -> None:
    names = ["e1", "m1", "ghost"]
    known, unknown = known_samples(new_state().topology, [Sample(asset_id=name) for name in names])
    assert [asset.id for asset, _ in known] == ["e1"]
    assert unknown == ["m1", "ghost"]


def test_reports_of_an_older_process_or_sequence_are_refused() -> None:
    gate = ReportGate()
    judged = [("ocpp:4", 1), ("ocpp:4", 2), ("ocpp:4", 2), ("ocpp:4", 1), ("ocpp:5", 0), ("ocpp:4", 9), ("der:1", 0)]
    assert [gate.judge(source, sequence) for source, sequence in judged] == [
        Verdict.NEW,
        Verdict.NEW,
        Verdict.DUPLICATE,
        Verdict.OLD,
        Verdict.NEW,
        Verdict.OLD,
        Verdict.NEW,
    ]


def test_a_report_without_role_and_epoch_is_malformed() -> None:
    gate = ReportGate()
    for source in ("", "ocpp", "ocpp:", "ocpp:x", "OCPP:1", "ocpp:1:2", "ocpp:-1"):
        assert gate.judge(source, 1) is Verdict.MALFORMED
    assert gate.judge("ocpp:1", -1) is Verdict.MALFORMED


def test_reporting_roles_are_bounded() -> None:
    gate = ReportGate()
    verdicts = [gate.judge(f"{chr(97 + number)}:1", 1) for number in range(20)]
    assert verdicts.count(Verdict.NEW) == 16
    assert verdicts[-1] is Verdict.MALFORMED


def decision() -> Decision:
    rows = [
        Row(circuit_index=0, quantity=Quantity.QUANTITY_NET_IMPORT, bound=9000, limit_id="u1", uncontrolled=500),
        Row(
            circuit_index=0, quantity=Quantity.QUANTITY_NET_EXPORT, bound=50, limit_id="x", shortfall=4, meter_lost=True
        ),
        Row(circuit_index=2, quantity=Quantity.QUANTITY_CURRENT, phase=1, bound=63_000, limit_id="b"),
        Row(circuit_index=2, quantity=Quantity.QUANTITY_CURRENT, phase=2, bound=32_000, limit_id="c", shortfall=7),
    ]
    grants = [
        AssetGrant(asset_index=1, power_w=-5),
        AssetGrant(asset_index=2, current_ma=0, counted_ma=10_000, binding_limit_id="u1"),
        AssetGrant(asset_index=3, current_ma=6000, counted_ma=16_001),
        AssetGrant(asset_index=99, current_ma=1),
    ]
    return Decision(rows=rows, grants=grants)


def test_circuit_states_come_from_the_rows_and_the_meter() -> None:
    state = new_state()
    state.put_reading(0, Reading(quality=GOOD, measured_ms=0, power_w=-300, current_ma=(1, 2, None)))
    state.put_decision(decision(), at(0))
    grid, row = state.circuit(0), state.circuit(2)
    assert grid is not None
    assert row is not None
    assert (grid.net_power_w, grid.current_ma.l2, grid.import_limit_w, grid.import_limit_id) == (-300, 2, 9000, "u1")
    assert (grid.uncontrolled_w, grid.export_limit_w, grid.shortfall_w, grid.meter_lost) == (500, 50, 4, True)
    # e1 on three phases and e2 on one, rounded up: (10.000 A * 3 + 16.001 A) * 230 V
    assert grid.evse_counted_w == 10_581
    assert (row.current_limit_ma, row.shortfall_w, row.evse_counted_w) == (32_000, 0, 6900)
    assert not row.HasField("net_power_w")


def test_a_grant_of_zero_is_told_as_zero() -> None:
    state = new_state()
    state.put_decision(decision(), at(0))
    grants = {grant.asset_id: grant for grant in state.update(at(0), since=None).grants}
    assert set(grants) == {"b1", "e1", "e2"}
    assert grants["e1"].HasField("current_ma")
    assert grants["e1"].current_ma == 0
    assert not grants["e1"].HasField("power_w")


def test_an_unchanged_decision_tells_a_watcher_nothing() -> None:
    state = new_state()
    watcher = Watcher(interval_ms=1000)
    state.put_decision(decision(), at(0))
    assert watcher.update(state, at(0)).grants
    state.put_decision(decision(), at(1000))
    update = watcher.update(state, at(1000))
    assert not update.grants
    assert not update.circuits


def test_a_plug_state_alone_is_a_change() -> None:
    state = new_state()
    watcher = Watcher(interval_ms=1000)
    watcher.update(state, at(0))
    charging = PlugState.PLUG_STATE_CHARGING
    state.put_reading(2, Reading(quality=GOOD, measured_ms=5, plug_state=charging))
    assert [sample.plug_state for sample in watcher.update(state, at(1000)).samples] == [charging]


def test_a_watcher_is_told_of_der_control_when_it_changes_and_only_of_evses() -> None:
    state = new_state()
    watcher = Watcher(interval_ms=1000)
    watcher.update(state, at(0))
    der = EvseDer(asset_id="e1", types=[1])
    assert state.put_der(der)
    assert list(watcher.update(state, at(1000)).ders) == [der]
    assert state.put_der(EvseDer(asset_id="e1", types=[1]))
    assert list(watcher.update(state, at(2000)).ders) == []
    assert not state.put_der(EvseDer(asset_id="m1"))
    assert list(state.update(at(2000), since=None).ders) == [der]
