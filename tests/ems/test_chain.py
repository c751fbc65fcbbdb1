"""The chain of an explanation: from an amp to who caused it, the message that carried it, and what was measured."""

from __future__ import annotations

import pytest
from ems_examples import (
    B1,
    E2,
    GARAGE,
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

from dgm.api.core.v1.core_pb2 import AssetGrant
from dgm.api.ems.v1.ems_pb2 import (
    Cause,
    CauseKind,
    ExplainDecisionResponse,
    Outcome,
    OutcomeState,
    PutTargetRequest,
    ReportOutcomesRequest,
    Target,
)
from dgm.api.ems.v1.field_pb2 import FieldAuditEntry, RegisterBlock, SetpointVerdict
from dgm.api.site.v1.site_pb2 import PlugState, ReportSamplesRequest
from dgm.ems.cycle import Cycle
from dgm.ems.effect import EffectBook
from dgm.machine import Now, Tick

CHARGING = PlugState.PLUG_STATE_CHARGING
MRID = "A1B2C3D4E5F600000000000000037244"


class Told:
    """A cycle with one car at e2 that drew 16 A and is granted 8 A at 1 s."""

    def __init__(self, limit_id: str = "l1", **limit: object) -> None:
        self.cycle = Cycle(demo_config(), epoch=7)
        if limit:
            self.cycle.handle(put(limit_id, **limit), at(0))
        self._reports = 0
        self.see(16_000, at(0))
        self.cycle.handle(Tick(), at(1))
        rows = [import_row(60_000, limit_id), current_row(GARAGE, 2, 63_000, "site:garage:CURRENT")]
        bound = {"binding_limit_id": limit_id, "binding_row": 1 if limit_id.startswith("site:") else 0}
        self.grant = evse_grant(E2, 8000, sequence=5, counted_ma=16_000, counted_reason="pending", **bound)
        self.cycle.handle(decided(at(1000), self.grant, rows=rows), at(1000))

    def see(self, current_ma: int, now: Now) -> None:
        self._reports += 1
        seen = sample("e2", CHARGING, ma=current_ma)
        self.cycle.handle(ReportSamplesRequest(source="ocpp:1", sequence=self._reports, samples=[seen]), now)

    def hear(self, state: OutcomeState, now: Now, *, evidence: str, current_ma: int = 8000) -> None:
        outcome = Outcome(asset_id="e2", epoch=7, sequence=5, state=state, current_ma=current_ma, evidence=evidence)
        self._reports += 1
        self.cycle.handle(ReportOutcomesRequest(source="ocpp:1", sequence=self._reports, outcomes=[outcome]), now)

    def explain(self, now: Now, asset_id: str = "e2", written: FieldAuditEntry | None = None) -> dict[int, Cause]:
        answer = self.cycle.explain(asset_id, now, written=written)
        assert isinstance(answer, ExplainDecisionResponse)
        return {cause.kind: cause for cause in answer.chain}


def test_the_chain_leads_from_the_amp_over_the_mrid_to_the_message_and_its_effect() -> None:
    told = Told("utility:opModImpLimW", source="utility:der", reason=f"DERControl {MRID} opModImpLimW")
    told.hear(OutcomeState.OUTCOME_STATE_SENT, at(1100), evidence="msg-17")
    told.hear(OutcomeState.OUTCOME_STATE_ACCEPTED, at(1300), evidence="msg-17")
    told.see(12_000, at(2000))
    told.see(8_100, at(3000))
    told.hear(OutcomeState.OUTCOME_STATE_CONFIRMED, at(3500), evidence="msg-18")
    found = told.explain(at(4000))
    assert list(found) == [kind for kind in CauseKind.values() if kind]
    assert "granted 8 A" in found[CauseKind.CAUSE_KIND_GRANT].text
    assert found[CauseKind.CAUSE_KIND_GRANT].id == "7/5"
    assert found[CauseKind.CAUSE_KIND_ROW].id == "grid"
    assert "60 - 20 uncontrolled + 5 help - 30 of EVSEs leaves 15 kW" in found[CauseKind.CAUSE_KIND_ROW].text
    assert found[CauseKind.CAUSE_KIND_ORIGIN].id == MRID
    assert "opModImpLimW" in found[CauseKind.CAUSE_KIND_ORIGIN].text
    assert found[CauseKind.CAUSE_KIND_MESSAGE].id == "msg-17"
    assert found[CauseKind.CAUSE_KIND_PROOF].id == "msg-18"
    assert found[CauseKind.CAUSE_KIND_PROOF].age_ms == 500
    effect = found[CauseKind.CAUSE_KIND_EFFECT]
    assert "measured 8.1 A, 16 A when it was granted; half after 1 s; 90 % after 2 s" in effect.text


@pytest.mark.parametrize(
    ("limit", "origin", "words"),
    [
        ({"source": "cpo:volt", "reason": "charging profiles of the CPO"}, "volt", "CPO volt"),
        ({"source": "api:ana", "reason": "works on the roof"}, "ana", "works on the roof"),
        ({"source": "ems-facade:SiteEms", "reason": "cap"}, "SiteEms", "another EMS"),
    ],
)
def test_the_origin_of_a_limit_is_a_name_that_somebody_can_ask(limit: dict[str, str], origin: str, words: str) -> None:
    found = Told(**limit).explain(at(1500))[CauseKind.CAUSE_KIND_ORIGIN]
    assert found.id == origin
    assert words in found.text


def test_a_limit_of_site_yaml_leads_to_the_breaker_of_its_circuit() -> None:
    found = Told("site:garage:CURRENT").explain(at(1500))[CauseKind.CAUSE_KIND_ORIGIN]
    assert found.id == "garage"
    assert "breaker or rating of garage: current_limit_ma in site.yaml" in found.text


def test_a_lost_limit_still_leads_to_its_control_and_says_that_it_was_lost() -> None:
    reason = f"DERControl {MRID} opModImpLimW"
    told = Told("utility:x", source="utility:der", reason=reason, ttl_ms=1000, failsafe_power_w=30_000)
    told.cycle.handle(Tick(), at(2000))
    origin = told.explain(at(2000))[CauseKind.CAUSE_KIND_ORIGIN]
    assert origin.id == MRID
    assert "failsafe in force" in origin.text


def test_missing_links_are_named() -> None:
    found = Told("gone").explain(at(1500))
    missing = {kind: cause.text for kind, cause in found.items() if not cause.id}
    assert "ended since" in missing[CauseKind.CAUSE_KIND_LIMIT]
    assert "no message yet for setpoint 5" in missing[CauseKind.CAUSE_KIND_MESSAGE]
    assert "counted at 16 A (pending)" in missing[CauseKind.CAUSE_KIND_PROOF]


def test_a_refusal_and_an_older_proof_are_told_as_what_they_are() -> None:
    told = Told(power_w=60_000)
    told.hear(OutcomeState.OUTCOME_STATE_REJECTED, at(1300), evidence="msg-9: Rejected")
    told.hear(OutcomeState.OUTCOME_STATE_CONFIRMED, at(1400), evidence="msg-3", current_ma=16_000)
    found = told.explain(at(1500))
    assert "charging profile rejected: msg-9: Rejected" in found[CauseKind.CAUSE_KIND_MESSAGE].text
    assert not found[CauseKind.CAUSE_KIND_PROOF].id
    assert "still 16 A from before" in found[CauseKind.CAUSE_KIND_PROOF].text


def test_what_was_measured_before_the_grant_is_no_effect() -> None:
    found = Told(power_w=60_000).explain(at(1500))[CauseKind.CAUSE_KIND_EFFECT]
    assert "half" not in found.text
    assert "measured 16 A" in found.text


def test_a_target_is_told_with_who_put_it() -> None:
    told = Told(power_w=60_000)
    target = Target(id="t1", source="api:ana", asset_id="e2", want_ma=10_000, priority=1, ttl_ms=60_000)
    told.cycle.handle(PutTargetRequest(target=target), at(1400))
    want = told.explain(at(1500))[CauseKind.CAUSE_KIND_WANT]
    assert want.id == "t1"
    assert want.text.endswith("put by api:ana")


def test_a_battery_is_explained_by_its_register_write() -> None:
    cycle = Cycle(demo_config(), epoch=7)
    cycle.handle(Tick(), at(1))
    cycle.handle(decided(at(1000), AssetGrant(asset_index=B1, power_w=-9_000, sequence=2)), at(1000))
    cycle.handle(decided(at(1200), readings=[power(B1, -9_000, at(1200))]), at(1200))
    written = FieldAuditEntry(
        asset_id="b1",
        number=41,
        time_utc_ms=at(1100).utc_ms,
        power_w=-9_000,
        verdict=SetpointVerdict.SETPOINT_VERDICT_CONFIRMED,
        written=[RegisterBlock(address=40_100, words=[1, 2])],
    )
    cycle.handle(decided(at(1300), AssetGrant(asset_index=B1, power_w=-9_100, sequence=3)), at(1300))
    answer = cycle.explain("b1", at(1400), written=written)
    assert isinstance(answer, ExplainDecisionResponse)
    found = {cause.kind: cause for cause in answer.chain}
    assert found[CauseKind.CAUSE_KIND_MESSAGE].id == found[CauseKind.CAUSE_KIND_PROOF].id == "write 41"
    assert "2 registers at 40100" in found[CauseKind.CAUSE_KIND_MESSAGE].text
    assert found[CauseKind.CAUSE_KIND_MESSAGE].age_ms == 300
    assert answer.effect.goal == -9_000
    assert answer.effect.now == -9_000


def test_outcomes_grow_older_while_they_are_held() -> None:
    told = Told(power_w=60_000)
    told.hear(OutcomeState.OUTCOME_STATE_ACCEPTED, at(1300), evidence="msg-1")
    answer = told.cycle.explain("e2", at(9300))
    assert isinstance(answer, ExplainDecisionResponse)
    assert answer.outcomes[0].age_ms == 8000


def test_half_and_most_of_the_way_are_timed_downwards_and_upwards() -> None:
    for before, goal, half, most in ((20_000, 10_000, 14_900, 11_000), (0, 10_000, 5_000, 9_000)):
        book = EffectBook()
        book.granted(0, goal, before, at(1000))
        book.measured(0, before, 900)
        book.measured(0, half, 2500)
        book.measured(0, most, 4000)
        step = book.get(0)
        assert step is not None
        assert (step.half_ms, step.most_ms, step.last) == (1500, 3000, most)


def test_small_changes_of_a_grant_do_not_begin_a_new_step() -> None:
    book = EffectBook()
    assert book.is_news(0, 5_000)
    book.granted(0, 5_000, 0, at(0))
    assert not book.is_news(0, 5_999)
    assert book.is_news(0, 6_000)
