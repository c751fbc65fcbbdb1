"""The GridBook: what sources ask of inverters beside power. Leases by id; the newest of one function and region holds.

    PutMode / DeleteMode ──> GridBook ──active()──> grid_plan

Kept in memory only: what stands on an inverter is remembered with its own settings (`inverter`), and after a restart a
source has some seconds to put its modes again before those are restored.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from dgm.api.ems.v1.grid_pb2 import GridFunction, GridMode, GridReference, PutModeResponse, TripRegion
from dgm.ems.grid_wants import MODELS, TRIPS
from dgm.ems.limit_rules import ID_LENGTH_MAX, RAMP_MS_MAX, SOURCES, invalid, out_of_range
from dgm.machine import Now
from dgm.site.refusal import Reason, Refusal

MODES_MAX = 64
TTL_MS_MIN, TTL_MS_MAX = 1000, 3_600_000
POINTS_MAX = 20
VAR_MAX = 1_000_000_000
PPM = 1_000_000
PERMYRIAD_MAX = 100_000

_VALUES = {GridFunction.GRID_FUNCTION_FIXED_PF: "power_factor", GridFunction.GRID_FUNCTION_VAR: "reactive"}


@dataclass(frozen=True, slots=True, kw_only=True)
class GridEntry:
    """One mode as accepted. began_ms: when its value was put first; end_ms: of the lease. Monotonic.

    before: what it has replaced, from which a ramp begins; None: nothing.
    """

    mode: GridMode
    before: GridMode | None
    began_ms: int
    end_ms: int
    order: int


class GridBook:
    """Modes by id."""

    def __init__(self) -> None:
        self._entries: dict[str, GridEntry] = {}
        self._order = 0

    def put(self, asked: GridMode, now: Now) -> PutModeResponse | Refusal:
        """Accept or replace a mode; a longer lease is shortened to an hour."""
        self._drop_expired(now)
        refusal = check(asked) or self._check_place(asked)
        if refusal is not None:
            return refusal
        held, self._order = self._entries.get(asked.id), self._order + 1
        accepted = GridMode()
        accepted.CopyFrom(asked)
        accepted.ttl_ms = min(max(asked.ttl_ms, TTL_MS_MIN), TTL_MS_MAX)
        before = None if held is None or held.mode.function != asked.function else held.mode
        end_ms = now.mono_ms + accepted.ttl_ms
        entry = GridEntry(mode=accepted, before=before, began_ms=now.mono_ms, end_ms=end_ms, order=self._order)
        if held is not None and _content(held.mode) == _content(accepted):
            entry = replace(held, mode=accepted, end_ms=end_ms)
        self._entries[asked.id] = entry
        return PutModeResponse(mode=accepted)

    def delete(self, mode_id: str, source: str) -> bool | Refusal:
        """Remove a mode of this source; says whether there was one."""
        held = self._entries.get(mode_id)
        if held is None:
            return False
        if held.mode.source != source:
            return _not_owner(mode_id, held.mode.source)
        del self._entries[mode_id]
        return True

    def active(self, now: Now) -> list[GridEntry]:
        """Those that hold now, one of each function, side and region, the newest; wishes in var all; by function."""
        self._drop_expired(now)
        ranked = sorted(self._entries.values(), key=lambda entry: entry.order)
        newest = {_place(entry.mode): entry for entry in ranked}
        return [newest[key] for key in sorted(newest)]

    def _drop_expired(self, now: Now) -> None:
        self._entries = {key: entry for key, entry in self._entries.items() if entry.end_ms > now.mono_ms}

    def _check_place(self, asked: GridMode) -> Refusal | None:
        held = self._entries.get(asked.id)
        if held is not None and held.mode.source != asked.source:
            return _not_owner(asked.id, held.mode.source)
        if held is None and len(self._entries) >= MODES_MAX:
            message = f"{len(self._entries)} modes are held; expected fewer than {MODES_MAX}"
            return Refusal(reason=Reason.TOO_MANY, message=message)
        return None


def left(entry: GridEntry, now: Now) -> GridMode:
    """The mode with what is left of its lease."""
    mode = GridMode()
    mode.CopyFrom(entry.mode)
    mode.ttl_ms = max(entry.end_ms - now.mono_ms, 0)
    return mode


def check(mode: GridMode) -> Refusal | None:
    """What is wrong with a mode by itself, None: nothing."""
    if not 0 < len(mode.id) <= ID_LENGTH_MAX:
        return invalid("mode.id", f"{len(mode.id)} characters", f"1..{ID_LENGTH_MAX}")
    if mode.source.partition(":")[0] not in SOURCES:
        return invalid("mode.source", repr(mode.source), f"one of {', '.join(SOURCES)} before the ':'")
    if mode.function not in MODELS:
        return invalid("mode.function", str(mode.function), "a GridFunction")
    if mode.ttl_ms <= 0:
        return out_of_range("mode.ttl_ms", mode.ttl_ms, "at least 1")
    if not 0 <= mode.ramp_ms <= RAMP_MS_MAX:
        return out_of_range("mode.ramp_ms", mode.ramp_ms, f"0..{RAMP_MS_MAX}")
    is_droop = mode.function == GridFunction.GRID_FUNCTION_FREQ_DROOP
    expected = _VALUES.get(mode.function, "droop" if is_droop else "curve")
    if mode.WhichOneof("value") != expected:
        return invalid("mode.value", str(mode.WhichOneof("value")), f"{expected}, for this function")
    return _CHECKS[expected](mode)


def _check_factor(mode: GridMode) -> Refusal | None:
    found = mode.power_factor.cos_phi_ppm
    return None if 0 < found <= PPM else out_of_range("mode.power_factor.cos_phi_ppm", found, f"1..{PPM}")


def _check_reactive(mode: GridMode) -> Refusal | None:
    asked = mode.reactive
    if asked.HasField("reactive_var") == asked.HasField("permyriad"):
        return invalid("mode.reactive", "both or neither", "exactly one of reactive_var and permyriad")
    if abs(asked.reactive_var) > VAR_MAX:
        return out_of_range("mode.reactive.reactive_var", asked.reactive_var, f"{-VAR_MAX}..{VAR_MAX}")
    if not asked.HasField("permyriad"):
        return None
    if asked.reference in (GridReference.GRID_REFERENCE_UNSPECIFIED, GridReference.GRID_REFERENCE_AVAILABLE_W):
        return invalid("mode.reactive.reference", GridReference.Name(asked.reference), "what the percentage is of")
    return _check_permyriad("mode.reactive.permyriad", asked.permyriad)


def _check_curve(mode: GridMode) -> Refusal | None:
    curve, is_trip = mode.curve, MODELS[mode.function] in TRIPS
    if not 0 < len(curve.points) <= POINTS_MAX:
        return invalid("mode.curve.points", f"{len(curve.points)} points", f"1..{POINTS_MAX}")
    if is_trip != (curve.region != TripRegion.TRIP_REGION_UNSPECIFIED):
        return invalid("mode.curve.region", TripRegion.Name(curve.region), "one for a trip, none for other curves")
    return next(filter(None, (_check_point(point.x, point.y) for point in curve.points)), None)


def _check_point(x: int, y: int) -> Refusal | None:
    found = max(abs(x), abs(y))
    return None if found <= VAR_MAX else out_of_range("mode.curve.points", found, f"at most {VAR_MAX}")


def _check_droop(mode: GridMode) -> Refusal | None:
    for name in ("over_deadband_mhz", "under_deadband_mhz", "over_permille", "under_permille"):
        found = getattr(mode.droop, name)
        if not 0 <= found <= PERMYRIAD_MAX:
            return out_of_range(f"mode.droop.{name}", found, f"0..{PERMYRIAD_MAX}")
    return None


_CHECKS: Mapping[str, Callable[[GridMode], Refusal | None]] = {
    "power_factor": _check_factor,
    "reactive": _check_reactive,
    "curve": _check_curve,
    "droop": _check_droop,
}


def _check_permyriad(name: str, found: int) -> Refusal | None:
    return None if abs(found) <= PERMYRIAD_MAX else out_of_range(name, found, f"{-PERMYRIAD_MAX}..{PERMYRIAD_MAX}")


def _place(mode: GridMode) -> tuple[int, int, str]:
    """What can hold once: a side of a power factor, a region of a trip. Wishes in var are weighed, all of them."""
    is_var = mode.function == GridFunction.GRID_FUNCTION_VAR
    return mode.function, int(mode.power_factor.is_absorbing_w) or int(mode.curve.region), mode.id if is_var else ""


def _content(mode: GridMode) -> bytes:
    content = GridMode()
    content.CopyFrom(mode)
    content.ttl_ms = 0
    return content.SerializeToString(deterministic=True)


def _not_owner(mode_id: str, owner: str) -> Refusal:
    return Refusal(reason=Reason.NOT_OWNER, message=f"{mode_id} belongs to {owner}; a source changes only its own")
