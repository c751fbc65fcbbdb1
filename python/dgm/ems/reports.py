"""What remote roles report of EVSEs: samples and outcomes, newest only, as rows for the core.

    ReportSamples ──gate──> SiteState ──> SendSamples
    ReportOutcomes ─gate──> the last few per EVSE (for explanations) ──> SendOutcomes
    grants, readings ─────> EffectBook: what a device did with its newest grant

Nothing is decided here, and no report is applied twice.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence

from dgm.api.core.v1.core_pb2 import Decision
from dgm.api.ems.v1.ems_pb2 import Outcome, OutcomeState, ReportOutcomesRequest, ReportOutcomesResponse
from dgm.api.site.v1.site_pb2 import Quality, ReportSamplesRequest, ReportSamplesResponse
from dgm.ems.effect import EffectBook, Step, measured_of
from dgm.ems.events import Effect, Reply, Row, SendOutcomes, SendSamples
from dgm.machine import Now
from dgm.site.refusal import Reason, Refusal
from dgm.site.state import VALUE_MAX, Reading, ReportGate, SiteState, Verdict, known_samples
from dgm.site.topology import AssetEntry

OUTCOMES_MAX = 8
"""Outcomes remembered per asset for explanations."""

OUTCOME_STATES = tuple(state for state in OutcomeState.values() if state != OutcomeState.OUTCOME_STATE_UNSPECIFIED)


class Reports:
    """The reports of one site. epoch: of this process; outcomes of another one answer no setpoint of ours."""

    def __init__(self, state: SiteState, *, epoch: int) -> None:
        self._state = state
        self._topology = state.topology
        self._epoch = epoch
        self._gates = {"samples": ReportGate(), "outcomes": ReportGate()}
        self._outcomes: dict[int, deque[tuple[int, Outcome]]] = {}
        self._effects = EffectBook()

    def samples(self, request: ReportSamplesRequest, now: Now) -> list[Effect]:
        """Take a report of samples; the core gets those of known assets."""
        verdict = self._gates["samples"].judge(request.source, request.sequence)
        known, unknown = known_samples(self._topology, request.samples)
        if verdict is Verdict.NEW:
            unknown += [der.asset_id for der in request.ders if not self._state.put_der(der)]
        reply = Reply(message=_report_refusal(verdict) or ReportSamplesResponse(unknown_asset_ids=unknown))
        if verdict is not Verdict.NEW:
            return [reply]
        rows = [_sample_row(asset, self._state.take(asset.index, sample, now), now) for asset, sample in known]
        for asset, _ in known:
            self._see(asset)
        return [SendSamples(rows=rows), reply] if rows else [reply]

    def outcomes(self, request: ReportOutcomesRequest, now: Now) -> list[Effect]:
        """Take a report of outcomes; the core gets those of known EVSEs."""
        verdict = self._gates["outcomes"].judge(request.source, request.sequence)
        known = [(asset, outcome) for outcome in request.outcomes if (asset := self._evse(outcome.asset_id))]
        unknown = [outcome.asset_id for outcome in request.outcomes if self._evse(outcome.asset_id) is None]
        refusal = _report_refusal(verdict) or _check_outcomes(outcome for _, outcome in known)
        reply = Reply(message=refusal or ReportOutcomesResponse(unknown_asset_ids=unknown))
        if refusal is not None or verdict is not Verdict.NEW or not known:
            return [reply]
        for asset, outcome in known:
            self._outcomes.setdefault(asset.index, deque(maxlen=OUTCOMES_MAX)).append((now.mono_ms, outcome))
        return [SendOutcomes(rows=[self._outcome_row(asset, outcome) for asset, outcome in known]), reply]

    def take_readings(self, readings: Iterable[tuple[int, Reading]]) -> None:
        """Take the newest readings of the assets that the core polls, by index."""
        for index, reading in readings:
            self._state.put_reading(index, reading)
            self._see(self._topology.assets[index])

    def take_grants(self, decision: Decision, now: Now) -> None:
        """Begin a step for every grant that is news: what follows shows what the device did with it."""
        for grant in decision.grants:
            value = grant.current_ma if grant.HasField("current_ma") else grant.power_w
            if self._effects.is_news(grant.asset_index, value):
                measured = self._measured(self._topology.assets[grant.asset_index])
                self._effects.granted(grant.asset_index, value, measured, now)

    def newest(self, asset: AssetEntry, now: Now) -> Sequence[Outcome]:
        """The outcomes remembered of an asset with their age as of now, the newest first."""
        held = reversed(self._outcomes.get(asset.index, ()))
        return [_aged(outcome, now.mono_ms - at_ms) for at_ms, outcome in held]

    def step(self, asset: AssetEntry) -> Step | None:
        """The newest change of an asset's grant and what was measured after it."""
        return self._effects.get(asset.index)

    def _outcome_row(self, asset: AssetEntry, outcome: Outcome) -> Row:
        """An outcome from an earlier life proves its value, but answers no setpoint of this one: sequence 0."""
        value_ma = outcome.current_ma if outcome.HasField("current_ma") else None
        fallback_ma = outcome.fallback_ma if outcome.HasField("fallback_ma") else None
        sequence = outcome.sequence if outcome.epoch == self._epoch else 0
        return asset.index, sequence, int(outcome.state), _in_column(value_ma), _in_column(fallback_ma)

    def _evse(self, asset_id: str) -> AssetEntry | None:
        asset = self._topology.asset(asset_id)
        return asset if asset is not None and asset.is_evse else None

    def _measured(self, asset: AssetEntry) -> int | None:
        return measured_of(asset, self._state.reading(asset.index), self._topology.nominal_voltage_mv)

    def _see(self, asset: AssetEntry) -> None:
        self._effects.measured(asset.index, self._measured(asset), self._state.reading(asset.index).measured_ms)


def _report_refusal(verdict: Verdict) -> Refusal | None:
    match verdict:
        case Verdict.NEW | Verdict.DUPLICATE:
            return None
        case Verdict.OLD:
            message = "a newer report of this source has been taken"
            return Refusal(reason=Reason.OLD_REPORT, message=message, field="sequence")
        case Verdict.MALFORMED:
            message = 'source: expected "<role>:<epoch>", of few roles, and a sequence of 0 or more'
            return Refusal(reason=Reason.FIELD_INVALID, message=message, field="source")


def _check_outcomes(outcomes: Iterable[Outcome]) -> Refusal | None:
    """The core takes what is within its columns and refuses the rest whole, so that is found here."""
    for outcome in outcomes:
        if outcome.state not in OUTCOME_STATES or not 0 <= outcome.sequence <= VALUE_MAX:
            message = f"outcome of {outcome.asset_id!r}: state {outcome.state}, sequence {outcome.sequence}"
            return Refusal(reason=Reason.FIELD_INVALID, message=message, field="outcomes")
    return None


def _sample_row(asset: AssetEntry, reading: Reading, now: Now) -> Row:
    """A sample for the core; values that are not good are withheld, the plug state is not.

    Samples name the conductors of the site; the core wants those of the EVSE itself, in its own order.
    """
    good = reading.quality == Quality.QUALITY_GOOD
    own_ma = [reading.current_ma[phase - 1] for phase in asset.phases]
    own_ma += [None] * (3 - len(own_ma))
    values: Row = (reading.power_w, *own_ma, reading.soc_permille, reading.energy_wh)
    age_ms = min(reading.age_ms(now), VALUE_MAX)
    return (asset.index, age_ms, int(reading.plug_state), *(values if good else (None,) * len(values)))


def _aged(outcome: Outcome, by_ms: int) -> Outcome:
    """The outcome with its age as of now: it grows while we hold it."""
    found = Outcome()
    found.CopyFrom(outcome)
    found.age_ms += max(0, by_ms)
    return found


def _in_column(value: int | None) -> int | None:
    return value if value is not None and 0 <= value <= VALUE_MAX else None
