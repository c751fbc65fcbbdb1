"""The machine of the ems role: what goes to the core, to the journal and to watchers, and in which order."""

from __future__ import annotations

from typing import TypeVar

import pytest
from ems_examples import (
    B1,
    E1,
    E2,
    GARAGE,
    GRID,
    M1,
    PV1,
    at,
    current_row,
    decided,
    demo_config,
    evse_grant,
    import_row,
    power,
    put,
    sample,
)
from google.protobuf.message import Message

from dgm.api.core.v1.core_pb2 import AssetGrant, LimitSet
from dgm.api.ems.v1.ems_pb2 import (
    DeleteLimitRequest,
    DeleteTargetRequest,
    ExplainDecisionResponse,
    LimitState,
    LimitStatus,
    Outcome,
    OutcomeState,
    PutLimitResponse,
    PutTargetRequest,
    Quantity,
    ReportOutcomesRequest,
    Target,
)
from dgm.api.site.v1.site_pb2 import PlugState, Quality, ReportSamplesRequest, Sample
from dgm.ems.cycle import SPACING_MS, Cycle
from dgm.ems.events import (
    Effect,
    PublishLimits,
    PublishSetpoints,
    Reply,
    SendLimits,
    SendLink,
    SendOutcomes,
    SendSamples,
    SendTargets,
    SubscriberHeard,
)
from dgm.ems.limits import Forget, Keep
from dgm.ems.setpoints import SetpointSubscriber
from dgm.machine import Tick
from dgm.site.refusal import Reason, Refusal

T = TypeVar("T")
CHARGING = PlugState.PLUG_STATE_CHARGING


def new_cycle() -> Cycle:
    return Cycle(demo_config(), epoch=7)


def one(effects: list[Effect], kind: type[T]) -> T:
    found = [effect for effect in effects if isinstance(effect, kind)]
    assert len(found) == 1, effects
    return found[0]


def none(effects: list[Effect], kind: type[Effect]) -> bool:
    return not any(isinstance(effect, kind) for effect in effects)


def reply(effects: list[Effect]) -> Message:
    message = one(effects, Reply).message
    assert not isinstance(message, Refusal), message
    return message


def refusal(effects: list[Effect]) -> Reason:
    message = one(effects, Reply).message
    assert isinstance(message, Refusal), message
    return message.reason


def sent_limits(effects: list[Effect]) -> LimitSet:
    return LimitSet.FromString(one(effects, SendLimits).limits)


def status(cycle: Cycle, mono_ms: int) -> LimitStatus:
    (only,) = cycle.limits(at(mono_ms))
    return only


# --- limits


def test_a_new_limit_is_with_the_core_and_durable_before_its_reply() -> None:
    effects = new_cycle().handle(put(ttl_ms=60_000), at(0))
    assert [type(effect) for effect in effects] == [SendLimits, Keep, PublishLimits, Reply]
    sent = sent_limits(effects)
    assert (sent.epoch, sent.sequence) == (7, 1)
    assert [(found.id, found.bound, found.ttl_ms) for found in sent.limits] == [("l1", 60_000, 60_000)]
    answer = reply(effects)
    assert isinstance(answer, PutLimitResponse)
    assert answer.limit.id == "l1"


def test_every_set_of_limits_has_a_higher_sequence() -> None:
    cycle = new_cycle()
    sequences = [sent_limits(cycle.handle(put(power_w=bound), at(0))).sequence for bound in range(3)]
    assert sequences == [1, 2, 3]


def test_a_refused_limit_reaches_neither_core_nor_journal() -> None:
    effects = new_cycle().handle(put(circuit_id="nowhere"), at(0))
    assert [type(effect) for effect in effects] == [Reply]
    assert refusal(effects) is Reason.UNKNOWN_CIRCUIT


def test_a_deleted_limit_leaves_core_and_journal() -> None:
    cycle = new_cycle()
    cycle.handle(put(), at(0))
    effects = cycle.handle(DeleteLimitRequest(id="l1", source="api:test"), at(0))
    assert [type(effect) for effect in effects] == [SendLimits, Forget, PublishLimits, Reply]
    assert not sent_limits(effects).limits
    assert status(cycle, 0).state == LimitState.LIMIT_STATE_ENDED
    assert cycle.limits(at(60_000)) == []


def test_deleting_twice_is_no_error() -> None:
    cycle = new_cycle()
    effects = cycle.handle(DeleteLimitRequest(id="l1", source="api:test"), at(0))
    assert [type(effect) for effect in effects] == [Reply]
    assert "existed" not in str(reply(effects))


def test_a_scheduled_limit_wakes_the_machine_between_two_cycles() -> None:
    cycle = new_cycle()
    cycle.handle(Tick(), at(0))
    cycle.handle(put(start_utc_ms=at(300).utc_ms, ttl_ms=60_000), at(10))
    assert cycle.wake_time() == 300
    effects = cycle.handle(Tick(), at(300))
    assert [found.id for found in sent_limits(effects).limits] == ["l1"]
    assert none(effects, SendTargets)
    assert cycle.wake_time() == 1000


def test_journaled_limits_and_the_link_are_there_before_anything_else() -> None:
    first = one(new_cycle().handle(put(ttl_ms=60_000), at(0)), Keep)
    again = new_cycle()
    effects = again.restore({first.id: first.record}, at(5, utc_ms=at(10_000).utc_ms))
    assert [(found.id, found.ttl_ms) for found in sent_limits(effects).limits] == [("l1", 50_000)]
    assert one(effects, SendLink).up is False


def test_a_start_without_a_journal_tells_the_core_so() -> None:
    assert not sent_limits(new_cycle().restore({}, at(0))).limits


# --- cycle, wants, targets


def test_each_cycle_sends_wants_that_last_three_cycles() -> None:
    cycle = new_cycle()
    sent = one(cycle.handle(Tick(), at(0)), SendTargets)
    assert sent.ttl_ms == 3000
    assert len(sent.rows) == 5
    assert none(cycle.handle(Tick(), at(500)), SendTargets)
    assert not none(cycle.handle(Tick(), at(1000)), SendTargets)


def test_late_cycles_are_left_out_and_counted() -> None:
    cycle = new_cycle()
    cycle.handle(Tick(), at(0))
    cycle.handle(Tick(), at(3500))
    assert cycle.overruns == 2
    assert cycle.wake_time() == 4000


def test_a_target_reaches_the_core_at_once_and_leaves_when_deleted() -> None:
    cycle = new_cycle()
    wanted = Target(id="t", source="api:test", asset_id="b1", want_w=4000, ttl_ms=60_000)
    effects = cycle.handle(PutTargetRequest(target=wanted), at(0))
    assert one(effects, SendTargets).rows[B1][0] == 4000
    effects = cycle.handle(DeleteTargetRequest(id="t", source="api:test"), at(SPACING_MS))
    assert one(effects, SendTargets).rows[B1][0] == 0


def test_many_requests_within_a_second_ask_the_policies_a_few_times_and_the_newest_counts() -> None:
    cycle = new_cycle()
    cycle.handle(Tick(), at(0))
    asked_ms, want_w = [], 0
    for mono_ms in range(10, 1000, 10):
        effects = []
        if cycle.wake_time() is not None and cycle.wake_time() <= mono_ms:  # type: ignore[operator]
            effects += cycle.handle(Tick(), at(mono_ms))
        want_w = mono_ms
        wanted = Target(id="t", source="api:test", asset_id="b1", want_w=want_w, ttl_ms=60_000)
        effects += cycle.handle(PutTargetRequest(target=wanted), at(mono_ms))
        asked_ms += [mono_ms for effect in effects if isinstance(effect, SendTargets)]
    assert asked_ms == [10, 210, 410, 610, 810]
    owed_ms = cycle.wake_time()
    assert owed_ms == 1000
    assert one(cycle.handle(Tick(), at(owed_ms)), SendTargets).rows[B1][0] == want_w


def test_a_target_expires_by_itself() -> None:
    cycle = new_cycle()
    wanted = Target(id="t", source="api:test", asset_id="b1", want_w=4000, ttl_ms=2000)
    cycle.handle(PutTargetRequest(target=wanted), at(0))
    assert one(cycle.handle(Tick(), at(1999)), SendTargets).rows[B1][0] == 4000
    assert one(cycle.handle(Tick(), at(2999)), SendTargets).rows[B1][0] == 0


# --- samples and outcomes


def report(*samples: Sample, sequence: int = 1) -> ReportSamplesRequest:
    return ReportSamplesRequest(source="ocpp:1", sequence=sequence, samples=samples)


def test_samples_reach_the_core_at_once_and_the_next_wants() -> None:
    cycle = new_cycle()
    effects = cycle.handle(report(sample("e1", CHARGING, ma=6000, age_ms=30)), at(100))
    assert one(effects, SendSamples).rows == [(E1, 30, int(CHARGING), None, 6000, 6000, 6000, None, None)]
    assert one(cycle.handle(Tick(), at(200)), SendTargets).rows[E1][0] == 32_000


def test_conductors_of_the_site_become_those_of_the_evse() -> None:
    """e2 hangs on L2 alone: what the site calls L2 is its own first conductor."""
    said = sample("e2", CHARGING)
    said.current_ma.l2 = 7000
    effects = new_cycle().handle(report(said), at(0))
    assert one(effects, SendSamples).rows == [(E2, 0, int(CHARGING), None, 7000, None, None, None, None)]


def test_a_report_of_the_plug_alone_keeps_what_was_measured_and_its_age() -> None:
    cycle = new_cycle()
    cycle.handle(report(sample("e1", CHARGING, ma=6000)), at(0))
    effects = cycle.handle(report(sample("e1", PlugState.PLUG_STATE_FINISHING), sequence=2), at(900))
    finishing = int(PlugState.PLUG_STATE_FINISHING)
    assert one(effects, SendSamples).rows == [(E1, 900, finishing, None, 6000, 6000, 6000, None, None)]


def test_a_plug_state_that_comes_with_an_older_reading_is_taken_and_the_newer_values_stay() -> None:
    """A gateway repeats its last reading with each new plug state; how long a report travels varies by milliseconds."""
    cycle = new_cycle()
    cycle.handle(report(sample("e1", CHARGING, ma=6000)), at(100))
    late = sample("e1", PlugState.PLUG_STATE_FINISHING, ma=5000, age_ms=903)
    effects = cycle.handle(report(late, sequence=2), at(1000))
    finishing = int(PlugState.PLUG_STATE_FINISHING)
    assert one(effects, SendSamples).rows == [(E1, 900, finishing, None, 6000, 6000, 6000, None, None)]


def test_a_first_reading_is_taken_though_it_was_measured_before_the_plug_state_was_told() -> None:
    cycle = new_cycle()
    plug_only = Sample(asset_id="e1", quality=Quality.QUALITY_NEVER, plug_state=CHARGING)
    cycle.handle(report(plug_only), at(1000))
    effects = cycle.handle(report(sample("e1", CHARGING, ma=6000, age_ms=500), sequence=2), at(1100))
    assert one(effects, SendSamples).rows == [(E1, 500, int(CHARGING), None, 6000, 6000, 6000, None, None)]


def test_values_that_are_not_good_are_withheld_from_the_core() -> None:
    failed = sample("e1", CHARGING, ma=6000)
    failed.quality = Quality.QUALITY_FAILED
    effects = new_cycle().handle(report(failed), at(0))
    assert one(effects, SendSamples).rows == [(E1, 0, int(CHARGING), *[None] * 6)]


def test_an_old_report_is_refused_and_a_retry_is_not_applied_twice() -> None:
    cycle = new_cycle()
    cycle.handle(report(sample("e1", CHARGING), sequence=2), at(0))
    assert none(cycle.handle(report(sample("e1", CHARGING), sequence=2), at(1)), SendSamples)
    assert refusal(cycle.handle(report(sample("e1", CHARGING), sequence=1), at(1))) is Reason.OLD_REPORT


def test_unknown_assets_are_named_and_the_rest_is_taken() -> None:
    effects = new_cycle().handle(report(sample("ghost", CHARGING), sample("e2", CHARGING)), at(0))
    assert 'unknown_asset_ids: "ghost"' in str(reply(effects))
    assert [row[0] for row in one(effects, SendSamples).rows] == [E2]


def outcomes(*found: Outcome, sequence: int = 1) -> ReportOutcomesRequest:
    return ReportOutcomesRequest(source="ocpp:1", sequence=sequence, outcomes=found)


def confirmed(**fields: int) -> Outcome:
    return Outcome(asset_id="e1", state=OutcomeState.OUTCOME_STATE_CONFIRMED, **{"epoch": 7, **fields})


def test_outcomes_reach_the_core_at_once() -> None:
    effects = new_cycle().handle(outcomes(confirmed(sequence=3, current_ma=8000, fallback_ma=0)), at(0))
    assert one(effects, SendOutcomes).rows == [(E1, 3, 3, 8000, 0)]


def test_an_outcome_of_an_earlier_life_proves_its_value_but_answers_no_setpoint_of_this_one() -> None:
    effects = new_cycle().handle(outcomes(confirmed(epoch=6, sequence=900, current_ma=8000)), at(0))
    assert one(effects, SendOutcomes).rows == [(E1, 0, 3, 8000, None)]


def test_what_an_outcome_does_not_say_is_absent() -> None:
    effects = new_cycle().handle(outcomes(confirmed(sequence=3)), at(0))
    assert one(effects, SendOutcomes).rows == [(E1, 3, 3, None, None)]


@pytest.mark.parametrize("fields", [{"sequence": -1}, {"sequence": 2**31}, {"sequence": 1, "state": 0}])
def test_an_outcome_the_core_would_refuse_is_refused_before(fields: dict[str, int]) -> None:
    given = confirmed()
    for name, value in fields.items():
        setattr(given, name, value)
    effects = new_cycle().handle(outcomes(given), at(0))
    assert [type(effect) for effect in effects] == [Reply]
    assert refusal(effects) is Reason.FIELD_INVALID


# --- setpoints


def test_grants_become_leased_setpoints_for_the_ocpp_role() -> None:
    cycle = new_cycle()
    grant = evse_grant(E1, 8000, sequence=4, binding_limit_id="l1", safety=True, published=True)
    effects = cycle.handle(decided(at(100), grant, AssetGrant(asset_index=B1, power_w=-5)), at(100))
    assert [type(effect) for effect in effects] == [PublishSetpoints]
    message = SetpointSubscriber().next_message(cycle.setpoints, at(100))
    assert message is not None
    assert (message.epoch, message.snapshot) == (7, True)
    (setpoint,) = message.setpoints
    assert (setpoint.asset_id, setpoint.epoch, setpoint.sequence, setpoint.current_ma) == ("e1", 7, 4, 8000)
    assert (setpoint.binding_limit_id, setpoint.ttl_ms, setpoint.safety) == ("l1", 15_000, True)


def test_a_subscriber_gets_all_then_only_what_changed_then_all_again() -> None:
    cycle = new_cycle()
    cycle.handle(decided(at(100), evse_grant(E1, 8000), evse_grant(E2, 0)), at(100))
    subscriber = SetpointSubscriber()
    first = subscriber.next_message(cycle.setpoints, at(100))
    assert first is not None
    assert [setpoint.current_ma for setpoint in first.setpoints] == [8000, 0]
    assert subscriber.next_message(cycle.setpoints, at(200)) is None
    cycle.handle(decided(at(1000), evse_grant(E1, 6000, sequence=2), evse_grant(E2, 0)), at(1000))
    second = subscriber.next_message(cycle.setpoints, at(1000))
    assert second is not None
    assert not second.snapshot
    assert [setpoint.current_ma for setpoint in second.setpoints] == [6000]
    cycle.handle(decided(at(5100), evse_grant(E1, 6000, sequence=2), evse_grant(E2, 0)), at(5100))
    renewal = subscriber.next_message(cycle.setpoints, at(5100))
    assert renewal is not None
    assert renewal.snapshot
    assert len(renewal.setpoints) == 2


def test_the_same_sequence_is_sent_once() -> None:
    cycle = new_cycle()
    assert cycle.handle(decided(at(100), evse_grant(E1, 8000, published=True)), at(100))
    assert not cycle.handle(decided(at(200), evse_grant(E1, 8000, published=True)), at(200))


def test_two_decisions_within_one_millisecond_both_count() -> None:
    """The core decides again at once on a tightened limit: that reduction does not wait for the next tick."""
    cycle = new_cycle()
    cycle.handle(decided(at(100), evse_grant(E1, 8000, sequence=1)), at(100))
    effects = cycle.handle(decided(at(100), evse_grant(E1, 6000, sequence=2)), at(100))
    assert [type(effect) for effect in effects] == [PublishSetpoints]
    assert not cycle.handle(decided(at(100), evse_grant(E1, 8000, sequence=1)), at(101))
    setpoint = cycle.setpoints.get(E1)
    assert setpoint is not None
    assert setpoint.current_ma == 6000


def test_a_grant_that_was_never_published_is_not_sent() -> None:
    cycle = new_cycle()
    assert not cycle.handle(decided(at(100), evse_grant(E1, 8000, sequence=0)), at(100))


def test_a_core_that_decides_no_more_renews_nothing() -> None:
    cycle = new_cycle()
    event = decided(at(100), evse_grant(E1, 8000))
    cycle.handle(event, at(100))
    for mono_ms in range(200, 10_000, 100):
        assert not cycle.handle(event, at(mono_ms))  # the same tick again: no life
    assert SetpointSubscriber().next_message(cycle.setpoints, at(3101)) is None
    assert SetpointSubscriber().next_message(cycle.setpoints, at(3100)) is not None


def test_before_the_first_decision_there_is_nothing_to_send() -> None:
    cycle = new_cycle()
    cycle.handle(decided(at(0)), at(5))
    assert SetpointSubscriber().next_message(cycle.setpoints, at(5)) is None


# --- link


def test_the_link_is_down_until_the_ocpp_role_is_heard_and_five_seconds_after() -> None:
    cycle = new_cycle()
    assert one(cycle.restore({}, at(0)), SendLink).up is False
    assert one(cycle.handle(SubscriberHeard(), at(100)), SendLink).up is True
    assert none(cycle.handle(SubscriberHeard(), at(1000)), SendLink)
    assert none(cycle.handle(Tick(), at(5999)), SendLink)
    assert one(cycle.handle(Tick(), at(6999)), SendLink).up is False
    assert one(cycle.handle(SubscriberHeard(), at(9000)), SendLink).up is True


def test_without_an_ocpp_section_the_link_is_up() -> None:
    config = demo_config()
    config.ClearField("ocpp")
    cycle = Cycle(config, epoch=1)
    assert one(cycle.restore({}, at(0)), SendLink).up is True
    assert none(cycle.handle(Tick(), at(99_000)), SendLink)


# --- limit status


def test_a_limit_is_active_until_the_meter_shows_it_met() -> None:
    cycle = new_cycle()
    cycle.handle(put(), at(0))
    assert status(cycle, 0).state == LimitState.LIMIT_STATE_ACTIVE
    cycle.handle(decided(at(100), rows=[import_row(60_000, "l1")], readings=[power(M1, 70_000, at(100))]), at(100))
    assert (status(cycle, 100).state, status(cycle, 100).measured_w) == (LimitState.LIMIT_STATE_ACTIVE, 70_000)
    cycle.handle(decided(at(200), rows=[import_row(60_000, "l1")], readings=[power(M1, 59_000, at(200))]), at(200))
    assert status(cycle, 200).state == LimitState.LIMIT_STATE_MET
    assert status(cycle, 20_000).state == LimitState.LIMIT_STATE_ACTIVE  # the meter has fallen silent


def test_a_shortfall_says_by_how_much_this_limit_cannot_be_met() -> None:
    cycle = new_cycle()
    cycle.handle(put("tight", power_w=50_000), at(0))
    cycle.handle(put("loose", power_w=53_000), at(0))
    cycle.handle(put("wide", power_w=90_000), at(0))
    cycle.handle(decided(at(100), rows=[import_row(50_000, "tight", shortfall=4000)]), at(100))
    found = {entry.limit.id: (entry.state, entry.shortfall_w) for entry in cycle.limits(at(100))}
    assert found["tight"] == (LimitState.LIMIT_STATE_SHORTFALL, 4000)
    assert found["loose"] == (LimitState.LIMIT_STATE_SHORTFALL, 1000)
    assert found["wide"] == (LimitState.LIMIT_STATE_ACTIVE, 0)


def test_a_pending_limit_is_pending_and_a_lost_one_shows_its_failsafe() -> None:
    cycle = new_cycle()
    cycle.handle(put(start_utc_ms=at(5000).utc_ms, ttl_ms=10_000, failsafe_power_w=1000), at(0))
    assert (status(cycle, 0).state, status(cycle, 0).remaining_ms) == (LimitState.LIMIT_STATE_PENDING, 10_000)
    cycle.handle(Tick(), at(5000))
    assert status(cycle, 7000).remaining_ms == 8000
    effects = cycle.handle(Tick(), at(15_000))
    assert [(found.bound, found.HasField("ttl_ms")) for found in sent_limits(effects).limits] == [(1000, False)]
    lost = status(cycle, 15_000)
    assert (lost.limit.power_w, lost.remaining_ms) == (1000, -1)
    assert "silent" in lost.limit.reason


def test_an_export_limit_is_judged_by_what_flows_out() -> None:
    cycle = new_cycle()
    cycle.handle(put(quantity=Quantity.QUANTITY_NET_EXPORT, power_w=5000), at(0))
    cycle.handle(decided(at(1), readings=[power(M1, -6000, at(1))]), at(1))
    assert (status(cycle, 1).state, status(cycle, 1).measured_w) == (LimitState.LIMIT_STATE_ACTIVE, 6000)
    cycle.handle(decided(at(2), readings=[power(M1, -4000, at(2))]), at(2))
    assert status(cycle, 2).state == LimitState.LIMIT_STATE_MET


@pytest.mark.parametrize(
    ("quantity", "measured_w"),
    [
        (Quantity.QUANTITY_GROSS_LOAD, 7000),
        (Quantity.QUANTITY_GROSS_GENERATION, 9000),
        (Quantity.QUANTITY_DER_OUTPUT, 6000),
    ],
)
def test_quantities_of_devices_are_the_sums_of_the_devices(quantity: Quantity, measured_w: int) -> None:
    cycle = new_cycle()
    cycle.handle(put(quantity=quantity, power_w=10_000), at(0))
    readings = [power(M1, 0, at(1)), power(PV1, -9000, at(1)), power(B1, 3000, at(1)), power(E1, 4000, at(1))]
    cycle.handle(decided(at(1), readings=readings), at(1))
    if quantity == Quantity.QUANTITY_GROSS_LOAD:
        assert not status(cycle, 1).HasField("measured_w")  # e2 has not been seen
    cycle.handle(report(sample("e2", PlugState.PLUG_STATE_AVAILABLE)), at(1))
    assert status(cycle, 1).measured_w == measured_w


def test_a_limit_on_an_evse_is_met_when_it_counts_at_no_more() -> None:
    cycle = new_cycle()
    fields = {"circuit_id": None, "power_w": None, "quantity": Quantity.QUANTITY_CURRENT}
    cycle.handle(put(asset_id="e1", current_ma=8000, **fields), at(0))  # type: ignore[arg-type]
    cycle.handle(report(sample("e1", CHARGING, ma=7900)), at(1))
    cycle.handle(decided(at(1), evse_grant(E1, 8000, counted_ma=32_000)), at(1))
    assert status(cycle, 1).state == LimitState.LIMIT_STATE_ACTIVE
    cycle.handle(decided(at(2), evse_grant(E1, 8000)), at(2))
    assert status(cycle, 2).state == LimitState.LIMIT_STATE_MET


def test_watchers_are_told_of_a_new_state_and_not_of_passing_time() -> None:
    cycle = new_cycle()
    cycle.handle(put(), at(0))
    cycle.handle(decided(at(100), rows=[import_row(60_000, "l1")], readings=[power(M1, 9000, at(100))]), at(100))
    assert not none(cycle.handle(Tick(), at(1000)), PublishLimits)
    cycle.handle(decided(at(1900), rows=[import_row(60_000, "l1")], readings=[power(M1, 8000, at(1900))]), at(1900))
    assert none(cycle.handle(Tick(), at(2000)), PublishLimits)


# --- explanation


def explained(cycle: Cycle, asset_id: str) -> ExplainDecisionResponse:
    answer = cycle.explain(asset_id, at(300))
    assert not isinstance(answer, Refusal), answer
    return answer


def bound_cycle() -> Cycle:
    cycle = new_cycle()
    cycle.handle(put(ttl_ms=60_000), at(0))
    cycle.handle(report(sample("e2", CHARGING, ma=10_000)), at(0))
    cycle.handle(Tick(), at(1))
    rows = [
        current_row(GARAGE, 1, 63_000, "site:garage:CURRENT"),
        current_row(GARAGE, 2, 63_000, "site:garage:CURRENT"),
        import_row(60_000, "l1"),
        current_row(GRID, 3, 200_000, "site:grid:CURRENT"),
    ]
    grants = [
        evse_grant(E1, 32_000, binding_limit_id="site:garage:CURRENT", binding_row=0),
        evse_grant(E2, 8000, counted_ma=10_000, binding_limit_id="l1", binding_row=2, counted_reason="pending"),
        AssetGrant(asset_index=PV1, power_w=-30_000),
    ]
    cycle.handle(decided(at(100), *grants, rows=rows), at(100))
    return cycle


def test_an_explanation_leads_from_the_amp_to_its_cause() -> None:
    answer = explained(bound_cycle(), "e2")
    assert answer.setpoint.current_ma == 8000
    assert (answer.binding_limit.id, answer.binding_limit.source) == ("l1", "api:test")
    assert answer.binding_circuit_id == "grid"
    assert (answer.want_ma, answer.counted_ma, answer.counted_reason) == (16_000, 10_000, "pending")
    assert "car" in answer.want_reason
    assert answer.summary == (
        "e2 is granted 8 A of 16 A wanted: limit l1 from api:test holds NET_IMPORT of grid to 60 kW."
    )


def test_the_rows_of_an_explanation_are_those_above_the_asset_site_first() -> None:
    rows = explained(bound_cycle(), "e2").rows
    assert [(row.circuit_id, row.phase) for row in rows] == [("grid", ""), ("garage", "L2")]
    assert rows[0].room == 60_000 - 20_000 + 5_000 - 30_000


def test_a_limit_of_the_configuration_is_told_from_its_row() -> None:
    answer = explained(bound_cycle(), "e1")
    assert (answer.binding_limit.id, answer.binding_limit.source) == ("site:garage:CURRENT", "site")
    assert answer.binding_limit.current_ma == 63_000
    assert answer.summary.endswith("holds CURRENT of garage on L1 to 63 A.")


def test_an_asset_that_nothing_binds_says_so() -> None:
    answer = explained(bound_cycle(), "pv1")
    assert not answer.HasField("binding_limit")
    assert answer.want_w == -30_000
    assert "no limit binds it" in answer.summary


def test_outcomes_are_told_newest_first_and_are_bounded() -> None:
    cycle = bound_cycle()
    for sequence in range(1, 13):
        cycle.handle(outcomes(confirmed(sequence=sequence), sequence=sequence), at(200))
    assert [found.sequence for found in explained(cycle, "e1").outcomes] == list(range(12, 4, -1))


def test_there_is_no_explanation_of_what_was_not_decided() -> None:
    cycle = new_cycle()
    for asset_id, reason in (("e1", Reason.NO_DECISION), ("ghost", Reason.UNKNOWN_ASSET)):
        answer = cycle.explain(asset_id, at(300))
        assert isinstance(answer, Refusal)
        assert answer.reason is reason
    meter = bound_cycle().explain("m1", at(300))
    assert isinstance(meter, Refusal)
    assert meter.reason is Reason.NO_DECISION
