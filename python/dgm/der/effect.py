"""What a ruling control asks of the plant beyond plain limits: ramps by setGradW, and targets of power.

    Bound + measured ──Ramps──> Bound with a ramp               FixedW, TargetW  ──> PV + batteries together
    ruling() + units ──Effect──> Wanted per asset               StorageTargetW   ──> batteries

All power is W into the plant: a generating DER is negative. A target is shared out by rating: PV is capped at what
the batteries could still take, the batteries carry the rest of what PV is seen to give. Limits always go before
targets; that is the EMS's business. Every mode that this gateway acts on is in `acts_on`; the others are rejected.
Pure: times are ms on the server's clock.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from dgm.api.ems.v1.ems_pb2 import Quantity
from dgm.der.envelope import ABSORBED, QUANTITIES, Bound
from dgm.der.resource import ControlMode
from dgm.der.schedule import ControlSegment

PLANT_TARGETS = ("opModFixedW", "opModTargetW")
"""Of PV and batteries together; the first that rules holds."""
STORAGE_TARGET = "opModStorageTargetW"
DELTA_TARGET = "opModDeltaW"
"""Becomes a target of the plant when it begins (`deltas`)."""
TARGET_MODES = (*PLANT_TARGETS, STORAGE_TARGET)
SEEN_LATE_MS = 10_000
"""A control first seen later than this after its start is at its end value: its ramp cannot be told any more."""
STEP_W = 100
"""Battery targets follow PV in these steps: less is noise of the meter."""
PERMYRIAD = 10_000
RAMP_MS_MAX = 3_600_000
"""The longest ramp that the EMS takes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ratings:
    """max_w: setMaxW. charge_w: setMaxChargeRateW. gradient: setGradW, hundredths of a percent of max_w per second."""

    max_w: int
    charge_w: int
    gradient: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """One PV inverter or battery. give_w, take_w: most it can put out and take now, >= 0; power_w None: not seen."""

    asset_id: str
    is_battery: bool
    give_w: int
    take_w: int
    power_w: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A target for one asset: W into it, until when on the server's clock (None: no end), and by which control."""

    want_w: int
    end_ms: int | None
    mrid: str


def acts_on(*, has_battery: bool, is_ours: bool = True) -> tuple[str, ...]:
    """Every mode that has an effect on a plant. is_ours: our EMS commands it; else the facade tells the other EMS."""
    limits = tuple(mode for mode in QUANTITIES if mode not in ABSORBED or (has_battery and is_ours))
    return (*limits, *((*TARGET_MODES, DELTA_TARGET) if has_battery else ()))


def gradient_ramp_ms(change_w: int, ratings: Ratings) -> int:
    """How long a change takes at setGradW, rounded up; 0: no gradient stated, or no limit to it (S18 DERSettings)."""
    per_s = ratings.max_w * (ratings.gradient or 0)
    return min(-(-abs(change_w) * PERMYRIAD * 1000 // per_s), RAMP_MS_MAX) if per_s > 0 else 0


def ramped_w(start_w: int, end_w: int, passed_ms: int, ramp_ms: int) -> int:
    """A straight line from start to end, rounded towards the end."""
    if passed_ms >= ramp_ms or ramp_ms <= 0:
        return end_w
    left = (start_w - end_w) * (ramp_ms - max(passed_ms, 0))
    return end_w + (abs(left) // ramp_ms) * (1 if left > 0 else -1)


class Ramps:
    """Gives a bound without rampTms the ramp that setGradW means, settled once when the control begins.

    Only a tightening ramps: from what is measured down to the bound. What is not measured changes at once.
    """

    def __init__(self) -> None:
        self._settled: dict[str, tuple[tuple[str, int, int], int]] = {}

    def settle(
        self, bounds: Mapping[str, Bound], measured: Mapping[int, int], ratings: Ratings, at_ms: int
    ) -> dict[str, Bound]:
        """The bounds with their ramps. measured: W by Quantity."""
        self._settled = {mode: held for mode, held in self._settled.items() if mode in bounds}
        return {mode: self._with_ramp(bound, measured, ratings, at_ms) for mode, bound in bounds.items()}

    def _with_ramp(self, bound: Bound, measured: Mapping[int, int], ratings: Ratings, at_ms: int) -> Bound:
        if bound.ramp_ms is not None:
            return bound
        key = (bound.mrid, bound.began_utc_ms, bound.power_w)
        held = self._settled.get(bound.mode)
        if held is None or held[0] != key:
            seen_w = measured.get(QUANTITIES[bound.mode], 0)
            is_late = at_ms - bound.began_utc_ms > SEEN_LATE_MS
            held = (key, 0 if is_late else gradient_ramp_ms(max(seen_w - bound.power_w, 0), ratings))
            self._settled[bound.mode] = held
        return replace(bound, ramp_ms=held[1])


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One target mode that rules: W into the plant at the end of its ramp; event_end_ms None: a default."""

    power_w: int
    mrid: str
    event_end_ms: int | None


def targets(ruling: Mapping[str, ControlSegment], ratings: Ratings) -> dict[str, Target]:
    """The target modes that rule now, for those who follow them without our EMS."""
    asked = {mode: _asked(ruling, mode, ratings) for mode in TARGET_MODES}
    return {
        mode: Target(
            power_w=found[1], mrid=found[0].mrid, event_end_ms=None if found[0].is_default else found[0].end_ms
        )
        for mode, found in asked.items()
        if found is not None
    }


class Effect:
    """Targets of the assets from what rules; remembers where the ramp of each control began."""

    def __init__(self) -> None:
        self._starts: dict[str, tuple[tuple[str, int], int | None]] = {}

    def wanted(
        self, ruling: Mapping[str, ControlSegment], units: Sequence[Unit], ratings: Ratings, at_ms: int
    ) -> dict[str, Wanted]:
        """Asset id to target; an asset that is absent is free of the utility's wishes."""
        self._starts = {mode: start for mode, start in self._starts.items() if mode in ruling}
        batteries = [unit for unit in units if unit.is_battery]
        inverters = [unit for unit in units if not unit.is_battery]
        found: dict[str, Wanted] = {}
        plant = next(filter(None, (_asked(ruling, mode, ratings) for mode in PLANT_TARGETS)), None)
        if plant is not None:
            row, end_w = plant
            wish_w = self._now_w(row, end_w, _sum(units), ratings, at_ms)
            for wants in (cap_inverters(wish_w, inverters, batteries), charge_rest(wish_w, inverters, batteries)):
                found |= {asset_id: _wanted(row, want_w) for asset_id, want_w in wants.items()}
        storage = _asked(ruling, STORAGE_TARGET, ratings)
        if storage is not None:
            row, end_w = storage
            wish_w = self._now_w(row, end_w, _sum(batteries), ratings, at_ms)
            found |= {asset_id: _wanted(row, want_w) for asset_id, want_w in share(wish_w, batteries).items()}
        return found

    def _now_w(self, row: ControlSegment, end_w: int, seen_w: int | None, ratings: Ratings, at_ms: int) -> int:
        key = (row.mrid, row.began_ms)
        held = self._starts.get(row.lane)
        if held is None or held[0] != key:
            held = (key, None if at_ms - row.began_ms > SEEN_LATE_MS else seen_w)
            self._starts[row.lane] = held
        start_w = held[1]
        if start_w is None:
            return end_w
        ramp_ms = gradient_ramp_ms(end_w - start_w, ratings) if row.ramp_ms is None else row.ramp_ms
        return ramped_w(start_w, end_w, at_ms - row.began_ms, ramp_ms)


def target_w(mode: ControlMode, ratings: Ratings) -> int | None:
    """W into the plant that a target mode asks for; a percentage is of setMaxW out and of setMaxChargeRateW in."""
    if mode.is_disabled:
        return None
    if mode.permyriad is not None:
        rating_w = ratings.charge_w if mode.permyriad > 0 else ratings.max_w
        return _towards_zero(mode.permyriad * rating_w, PERMYRIAD)
    return mode.power_w


def cap_inverters(wish_w: int, inverters: Sequence[Unit], batteries: Sequence[Unit]) -> dict[str, int]:
    """PV may give what is wished and what the batteries could take beside it, each by its rating."""
    allowed_w = max(sum(unit.take_w for unit in batteries) - wish_w, 0)
    total_w = sum(unit.give_w for unit in inverters)
    if total_w <= allowed_w:
        return {unit.asset_id: -unit.give_w for unit in inverters}
    return {unit.asset_id: -(allowed_w * unit.give_w // total_w) for unit in inverters}


def charge_rest(wish_w: int, inverters: Sequence[Unit], batteries: Sequence[Unit]) -> dict[str, int]:
    """What PV does not do; nothing is asked of batteries while PV is not seen."""
    sun_w = _sum(inverters)
    return {} if sun_w is None else share(_towards_zero(wish_w - sun_w, STEP_W) * STEP_W, batteries)


def share(wish_w: int, batteries: Sequence[Unit]) -> dict[str, int]:
    """One wish among batteries by what each can take or give; never more than they can."""
    able = {unit.asset_id: unit.take_w if wish_w > 0 else unit.give_w for unit in batteries}
    total_w = sum(able.values())
    if total_w == 0:
        return dict.fromkeys(able, 0)
    wish_w = max(min(wish_w, total_w), -total_w)
    return {asset_id: _towards_zero(wish_w * able_w, total_w) for asset_id, able_w in able.items()}


def _asked(ruling: Mapping[str, ControlSegment], mode: str, ratings: Ratings) -> tuple[ControlSegment, int] | None:
    row = ruling.get(mode)
    end_w = None if row is None else target_w(row.value, ratings)
    return None if row is None or end_w is None else (row, end_w)


def _wanted(row: ControlSegment, want_w: int) -> Wanted:
    return Wanted(want_w=want_w, end_ms=row.end_ms, mrid=row.mrid)


def _sum(units: Iterable[Unit]) -> int | None:
    powers = [unit.power_w for unit in units]
    return None if any(power_w is None for power_w in powers) else sum(power_w or 0 for power_w in powers)


def _towards_zero(value: int, divisor: int) -> int:
    return value // divisor if value >= 0 else -(-value // divisor)


def measured(plant_w: Iterable[int | None], net_w: int | None, battery_w: Iterable[int | None] = ()) -> dict[int, int]:
    """W of each limited quantity that can be said now. plant_w: power of every inverter and battery, None: not seen.

    battery_w: of the batteries alone.
    """
    found: dict[int, int] = {}
    if net_w is not None:
        found |= {Quantity.QUANTITY_NET_IMPORT: net_w, Quantity.QUANTITY_NET_EXPORT: -net_w}
    batteries = list(battery_w)
    charged = [max(power_w, 0) for power_w in batteries if power_w is not None]
    if batteries and len(charged) == len(batteries):
        found[Quantity.QUANTITY_STORAGE_CHARGE] = sum(charged)
    powers = list(plant_w)
    seen = [power_w for power_w in powers if power_w is not None]
    if powers and len(seen) == len(powers):
        found[Quantity.QUANTITY_DER_OUTPUT] = -sum(seen)
        found[Quantity.QUANTITY_GROSS_GENERATION] = sum(max(-power_w, 0) for power_w in seen)
    return found
