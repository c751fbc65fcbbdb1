"""Every control mode of IEEE 2030.5-2018, -2023 and CSIP-AUS: its name, what its value means, its capability bit.

    name ──MODES──> Value (which fields of a ControlMode are set) · Bitmap and bit (how a DER says that it can)

Nothing here says what this gateway does with a mode. The order is that of the schemas (`rampTms` stands before
the modes of CSIP-AUS). A value that the DER delivers is negative in DGM; a limit is a magnitude.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum


class Value(Enum):
    """What kind of value a mode has, and with that the fields of a ControlMode that carry it."""

    SWITCH = "on"
    PERMYRIAD = "permyriad, a magnitude"
    DELIVERED_PERMYRIAD = "permyriad, negative out of the DER"
    VOLTAGE_PERMYRIAD = "permyriad of setVNom"
    DELIVERED_VAR_PERMYRIAD = "permyriad, negative out of the DER, of what `reference` says"
    VAR_PERMYRIAD = "permyriad, a magnitude, of what `reference` says"
    POWER = "power_w, a magnitude"
    DELIVERED_POWER = "power_w, negative out of the DER"
    VAR = "reactive_var, a magnitude"
    DELIVERED_VAR = "reactive_var, negative out of the DER"
    VOLTAGE = "voltage_mv"
    POWER_FACTOR = "power_factor_ppm, is_underexcited"
    CURVE = "curve_href"
    DROOP = "the droop_ fields"


class Bitmap(Enum):
    """Which element of DERCapability and DERSettings holds a mode's bit."""

    MODES = "modesSupported, modesEnabled"
    MODES_2 = "modesSupported2, modesEnabled2 (2023)"
    DOE = "doeModesSupported, doeModesEnabled (CSIP-AUS)"
    VPP = "vppModesSupported, vppModesEnabled (CSIP-AUS v1.3)"


class Origin(Enum):
    """Which document defines a mode first."""

    S18 = "IEEE 2030.5-2018"
    S23 = "IEEE 2030.5-2023"
    AUS_12 = "CSIP-AUS v1.1 and v1.2"
    AUS_13 = "CSIP-AUS v1.3"


@dataclass(frozen=True, slots=True)
class Mode:
    """One control mode. `bit` counts from the least significant one."""

    name: str
    value: Value
    origin: Origin
    bitmap: Bitmap
    bit: int


def _modes() -> Iterable[Mode]:
    for bit, name, value in _S18:
        yield Mode(name, value, Origin.S18, Bitmap.MODES, bit)
    for bit, name, value in _S23:
        yield Mode(name, value, Origin.S23, Bitmap.MODES, bit)
    for bit, name, value in _S23_SECOND:
        yield Mode(name, value, Origin.S23, Bitmap.MODES_2, bit)
    for bit, name in _AUS_12:
        yield Mode(name, Value.POWER, Origin.AUS_12, Bitmap.DOE, bit)
    yield Mode("opModStorageTargetW", Value.DELIVERED_POWER, Origin.AUS_13, Bitmap.VPP, 0)


_S18 = (
    (2, "opModConnect", Value.SWITCH),
    (3, "opModEnergize", Value.SWITCH),
    (4, "opModFixedPFAbsorbW", Value.POWER_FACTOR),
    (5, "opModFixedPFInjectW", Value.POWER_FACTOR),
    (6, "opModFixedVar", Value.DELIVERED_VAR_PERMYRIAD),
    (7, "opModFixedW", Value.DELIVERED_PERMYRIAD),
    (8, "opModFreqDroop", Value.DROOP),
    (9, "opModFreqWatt", Value.CURVE),
    (10, "opModHFRTMayTrip", Value.CURVE),
    (11, "opModHFRTMustTrip", Value.CURVE),
    (12, "opModHVRTMayTrip", Value.CURVE),
    (13, "opModHVRTMomentaryCessation", Value.CURVE),
    (14, "opModHVRTMustTrip", Value.CURVE),
    (15, "opModLFRTMayTrip", Value.CURVE),
    (16, "opModLFRTMustTrip", Value.CURVE),
    (17, "opModLVRTMayTrip", Value.CURVE),
    (18, "opModLVRTMomentaryCessation", Value.CURVE),
    (19, "opModLVRTMustTrip", Value.CURVE),
    (20, "opModMaxLimW", Value.PERMYRIAD),
    (21, "opModTargetVar", Value.DELIVERED_VAR),
    (22, "opModTargetW", Value.DELIVERED_POWER),
    (23, "opModVoltVar", Value.CURVE),
    (24, "opModVoltWatt", Value.CURVE),
    (25, "opModWattPF", Value.CURVE),
    (26, "opModWattVar", Value.CURVE),
)
_S23 = (
    (27, "opModDeltaVar", Value.DELIVERED_VAR),
    (28, "opModDeltaW", Value.DELIVERED_POWER),
    (29, "opModFixedV", Value.VOLTAGE_PERMYRIAD),
    (30, "opModGridConnectPermit", Value.SWITCH),
    (31, "opModIslandPermit", Value.SWITCH),
)
_S23_SECOND = (
    (0, "opModMaxLimPctVAAbsorb", Value.PERMYRIAD),
    (1, "opModMaxLimPctVAInject", Value.PERMYRIAD),
    (2, "opModMaxLimPctVarAbsorb", Value.VAR_PERMYRIAD),
    (3, "opModMaxLimPctVarInject", Value.VAR_PERMYRIAD),
    (4, "opModMaxLimPctWAbsorb", Value.PERMYRIAD),
    (5, "opModMaxLimVarAbsorb", Value.VAR),
    (6, "opModMaxLimVarInject", Value.VAR),
    (7, "opModMaxLimWAbsorb", Value.POWER),
    (8, "opModMaxLimWInject", Value.POWER),
    (9, "opModTargetV", Value.VOLTAGE),
)
# Schema order; the bits of import and export are the other way round.
_AUS_12 = ((1, "opModImpLimW"), (0, "opModExpLimW"), (2, "opModGenLimW"), (3, "opModLoadLimW"))

_AUS = (Origin.AUS_12, Origin.AUS_13)


def _in_schema_order(modes: list[Mode]) -> Iterable[Mode]:
    base = (mode for mode in modes if mode.origin not in _AUS)
    # Both editions list their modes alphabetically.
    yield from sorted(base, key=lambda mode: mode.name)
    yield from (mode for mode in modes if mode.origin in _AUS)


MODES: dict[str, Mode] = {mode.name: mode for mode in _in_schema_order(list(_modes()))}
"""Every mode by name, in the order in which a DERControlBase lists them."""

CURVE_TYPES: tuple[str, ...] = tuple(mode.name for mode in MODES.values() if mode.value is Value.CURVE)
"""The mode that each DERCurve.curveType is for, from 0."""


def bits_of(names: Iterable[str], bitmap: Bitmap) -> int:
    """The bitmap that lists these modes; modes of other bitmaps are left out."""
    chosen = (MODES[name] for name in names)
    return sum({1 << mode.bit for mode in chosen if mode.bitmap is bitmap})
