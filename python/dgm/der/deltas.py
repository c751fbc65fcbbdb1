"""The delta modes of 2023: relative to what was measured when the control began, which is remembered.

    ruling() + measured ──Deltas.note──> start of each (journal)      ruling() ──Deltas.resolved──> TargetW, TargetVar

A control that is first seen late, or begins while nothing is measured, has no start: it asks for nothing. A target that
rules beside it goes first. Pure: times are ms on the server's clock; values are into the plant.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from dgm.der import record
from dgm.der.effect import SEEN_LATE_MS
from dgm.der.resource import ControlMode
from dgm.der.schedule import ControlSegment

DELTA_W, DELTA_VAR = "opModDeltaW", "opModDeltaVar"
TARGETS = {DELTA_W: "opModTargetW", DELTA_VAR: "opModTargetVar"}
RIVALS = {DELTA_W: ("opModFixedW", "opModTargetW"), DELTA_VAR: ("opModTargetVar",)}
SHALL_NOT_TURN = 2
"""ControlMode.bidirectional: the direction stays."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """W or var into the plant when a control began; None: it was not known."""

    mrid: str
    began_ms: int
    value: int | None


class Deltas:
    """Where every delta mode that rules began."""

    def __init__(self) -> None:
        self._starts: dict[str, Start] = {}

    def restore(self, mode: str, stored: bytes) -> None:
        """Take over what was journaled. ValueError: it cannot be read."""
        self._starts[mode] = record.load(Start, stored)

    def note(
        self, ruling: Mapping[str, ControlSegment], measured: Mapping[str, int | None], at_ms: int
    ) -> dict[str, bytes]:
        """Remember the starts of controls that have just begun; what is new, by mode, for the journal."""
        found: dict[str, bytes] = {}
        for mode in TARGETS.keys() & ruling.keys():
            row, held = ruling[mode], self._starts.get(mode)
            if held is not None and (held.mrid, held.began_ms) == (row.mrid, row.began_ms):
                continue
            value = measured.get(mode) if at_ms - row.began_ms <= SEEN_LATE_MS else None
            self._starts[mode] = Start(mrid=row.mrid, began_ms=row.began_ms, value=value)
            found[mode] = record.dump(self._starts[mode])
        return found

    def resolved(self, ruling: Mapping[str, ControlSegment]) -> dict[str, ControlSegment]:
        """The same with every delta as the target that it means."""
        found = {name: row for name, row in ruling.items() if name not in TARGETS}
        for mode, target in TARGETS.items():
            row, start = ruling.get(mode), self._starts.get(mode)
            if row is None or start is None or start.value is None or any(rival in ruling for rival in RIVALS[mode]):
                continue
            if (start.mrid, start.began_ms) == (row.mrid, row.began_ms) and not row.value.is_disabled:
                found[target] = replace(row, lane=target, value=_target(row.value, target, start.value))
        return found


def _target(delta: ControlMode, name: str, start: int) -> ControlMode:
    value = start + ((delta.power_w if name == TARGETS[DELTA_W] else delta.reactive_var) or 0)
    if delta.bidirectional == SHALL_NOT_TURN and value * start < 0:
        value = 0
    if name == TARGETS[DELTA_W]:
        return ControlMode(name=name, power_w=value)
    return ControlMode(name=name, reactive_var=value)
