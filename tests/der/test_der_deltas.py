"""Delta modes: from what was measured at the beginning, over a restart, and nothing where that is not known."""

from __future__ import annotations

import pytest

from dgm.der.deltas import DELTA_VAR, DELTA_W, SHALL_NOT_TURN, Deltas
from dgm.der.effect import SEEN_LATE_MS
from dgm.der.resource import ControlMode
from dgm.der.schedule import ControlSegment, Segment


def row(mode: ControlMode, *, began_ms: int = 0, mrid: str = "E") -> ControlSegment:
    return Segment(lane=mode.name, value=mode, mrid=mrid, start_ms=began_ms, end_ms=60_000, began_ms=began_ms)


def ruling(*modes: ControlMode, **more: int) -> dict[str, ControlSegment]:
    return {mode.name: row(mode, **more) for mode in modes}


W, VAR = ControlMode(name=DELTA_W, power_w=-2000), ControlMode(name=DELTA_VAR, reactive_var=500)


def test_a_delta_counts_from_what_was_measured_when_it_began() -> None:
    deltas = Deltas()
    rules = ruling(W, VAR)
    assert deltas.note(rules, {DELTA_W: -3000, DELTA_VAR: 100}, 1000).keys() == {DELTA_W, DELTA_VAR}
    assert deltas.note(rules, {DELTA_W: -9000, DELTA_VAR: 900}, 2000) == {}, "remembered once"
    found = deltas.resolved(rules)
    assert (found["opModTargetW"].value.power_w, found["opModTargetVar"].value.reactive_var) == (-5000, 600)
    assert found.keys() == {"opModTargetW", "opModTargetVar"}


def test_the_start_outlives_a_restart_and_a_new_event_has_its_own() -> None:
    deltas, again = Deltas(), Deltas()
    stored = deltas.note(ruling(W), {DELTA_W: -3000}, 0)
    again.restore(DELTA_W, stored[DELTA_W])
    assert again.note(ruling(W), {DELTA_W: 0}, 30_000) == {}
    assert again.resolved(ruling(W))["opModTargetW"].value.power_w == -5000
    later = ruling(W, mrid="F", began_ms=30_000)  # type: ignore[arg-type]
    again.note(later, {DELTA_W: -5000}, 30_000)
    assert again.resolved(later)["opModTargetW"].value.power_w == -7000
    with pytest.raises(ValueError, match="not JSON"):
        again.restore(DELTA_W, b"{")


def test_without_a_start_nothing_is_asked() -> None:
    late, blind = Deltas(), Deltas()
    late.note(ruling(W), {DELTA_W: -3000}, SEEN_LATE_MS + 1)
    blind.note(ruling(W), {}, 0)
    assert late.resolved(ruling(W)) == blind.resolved(ruling(W)) == {}


def test_a_direction_that_shall_stay_ends_at_nothing() -> None:
    deltas = Deltas()
    mode = ControlMode(name=DELTA_W, power_w=5000, bidirectional=SHALL_NOT_TURN)
    deltas.note(ruling(mode), {DELTA_W: -3000}, 0)
    assert deltas.resolved(ruling(mode))["opModTargetW"].value.power_w == 0


def test_a_target_beside_it_goes_first() -> None:
    deltas = Deltas()
    rules = ruling(W, ControlMode(name="opModTargetW", power_w=7))
    deltas.note(rules, {DELTA_W: -3000}, 0)
    assert deltas.resolved(rules)["opModTargetW"].value.power_w == 7
