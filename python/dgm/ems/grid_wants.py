"""What one model of an inverter is to say, in our units: the words between the plan and the registers.

    GridMode(s) ──grid_plan──> ModelWant per inverter and model ──inverter_models──> steps of register writes

Off is a want of its own: an inverter's own mode of Q gives way to the one owner of Q. Pure values.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from dgm.api.ems.v1.grid_pb2 import GridFunction, GridReference, TripRegion

AC_CONTROLS: Final = 704


@dataclass(frozen=True, slots=True, kw_only=True)
class FixedFactor:
    """cos phi in millionths; is_underexcited: reactive power is absorbed."""

    cos_phi_ppm: int
    is_underexcited: bool

    def words(self) -> str:
        """For people."""
        return f"cos phi {self.cos_phi_ppm / 1_000_000:.3f} {'under' if self.is_underexcited else 'over'}-excited"


@dataclass(frozen=True, slots=True, kw_only=True)
class FixedVar:
    """var, positive absorbed; permyriad: the same of the most that the inverter can do that way."""

    reactive_var: int
    permyriad: int

    def words(self) -> str:
        """For people."""
        return f"{self.reactive_var} var"


@dataclass(frozen=True, slots=True)
class Off:
    """Switched off, whatever its curve says."""

    @property
    def switches_on(self) -> bool:
        """Whether a mode of the inverter is on because of it."""
        return False

    def words(self) -> str:
        """For people."""
        return "off"


OFF = Off()


@dataclass(frozen=True, slots=True, kw_only=True)
class AcWant:
    """Model 704; None: as the inverter's owner left it."""

    inject: FixedFactor | Off | None = None
    absorb: FixedFactor | Off | None = None
    reactive: FixedVar | Off | None = None

    @property
    def switches_on(self) -> bool:
        """Whether a mode of the inverter is on because of it."""
        return any(isinstance(part, FixedFactor | FixedVar) for part in (self.inject, self.absorb, self.reactive))

    def words(self) -> str:
        """For people."""
        parts = {"injecting": self.inject, "absorbing": self.absorb, "reactive": self.reactive}
        return ", ".join(f"{name} {part.words()}" for name, part in parts.items() if part is not None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """Points as GridCurve says them; None: the inverter's own stands."""

    points: tuple[tuple[int, int], ...]
    reference: int = GridReference.GRID_REFERENCE_UNSPECIFIED
    response_ms: int | None = None
    v_ref_permyriad: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CurveWant:
    """Models 705, 706, 712, and 707 to 710 with a curve per TripRegion (UNSPECIFIED: the only one)."""

    curves: tuple[tuple[int, Curve], ...]

    @property
    def switches_on(self) -> bool:
        """Whether a mode of the inverter is on because of it."""
        return True

    def words(self) -> str:
        """For people."""
        return ", ".join(f"curve {curve.points}" for _, curve in self.curves)


@dataclass(frozen=True, slots=True, kw_only=True)
class DroopWant:
    """Model 711; deadbands in mHz, droops in permille of nominal frequency for all power."""

    over_deadband_mhz: int
    under_deadband_mhz: int
    over_permille: int
    under_permille: int
    response_ms: int | None

    @property
    def switches_on(self) -> bool:
        """Whether a mode of the inverter is on because of it."""
        return True

    def words(self) -> str:
        """For people."""
        return f"droop {self.under_permille} and {self.over_permille} permille"


ModelWant = AcWant | CurveWant | DroopWant | Off

MODELS: Final = {
    GridFunction.GRID_FUNCTION_FIXED_PF: AC_CONTROLS,
    GridFunction.GRID_FUNCTION_VAR: AC_CONTROLS,
    GridFunction.GRID_FUNCTION_VOLT_VAR: 705,
    GridFunction.GRID_FUNCTION_VOLT_WATT: 706,
    GridFunction.GRID_FUNCTION_LV_TRIP: 707,
    GridFunction.GRID_FUNCTION_HV_TRIP: 708,
    GridFunction.GRID_FUNCTION_LF_TRIP: 709,
    GridFunction.GRID_FUNCTION_HF_TRIP: 710,
    GridFunction.GRID_FUNCTION_FREQ_DROOP: 711,
    GridFunction.GRID_FUNCTION_WATT_VAR: 712,
}
"""The model in which a function stands."""
REACTIVE: Final = (
    GridFunction.GRID_FUNCTION_VAR,
    GridFunction.GRID_FUNCTION_FIXED_PF,
    GridFunction.GRID_FUNCTION_VOLT_VAR,
    GridFunction.GRID_FUNCTION_WATT_VAR,
)
"""Those that drive Q; of curves the first one asked for owns it (see `grid_plan`)."""
TRIPS: Final = frozenset({707, 708, 709, 710})
REGIONS: Final[Mapping[int, str]] = {
    TripRegion.TRIP_REGION_MUST_TRIP: "MustTrip",
    TripRegion.TRIP_REGION_MAY_TRIP: "MayTrip",
    TripRegion.TRIP_REGION_MOMENTARY_CESSATION: "MomCess",
}
