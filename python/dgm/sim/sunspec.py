"""SunSpec register images of the simulated devices: layout tables and encoding. Pure; the server is `live/plant`.

    "SunS" | model 1 | model 203 or 701, 702, 704 (, 713) | end marker           from register 40000

The layouts are the simulator's own, so that the product's decoder meets a second opinion; a test holds them against the
published model files. What a device does not offer stands at the sentinel of its type.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

BASE_ADDRESS = 40000
_MARKER = (0x5375, 0x6E53)
_END = (0xFFFF, 0)

_WIDTH = {"u16": 1, "i16": 1, "e16": 1, "b16": 1, "sf": 1, "pad": 1, "u32": 2, "i32": 2, "b32": 2, "a32": 2, "u64": 4}
_ABSENT = {
    "u16": (0xFFFF,),
    "i16": (0x8000,),
    "e16": (0xFFFF,),
    "b16": (0xFFFF,),
    "sf": (0x8000,),
    "pad": (0x8000,),
    "u32": (0xFFFF, 0xFFFF),
    "i32": (0x8000, 0),
    "b32": (0xFFFF, 0xFFFF),
    "a32": (0, 0),
    "u64": (0xFFFF, 0xFFFF, 0xFFFF, 0xFFFF),
}

COMMON = "Mn:s16 Md:s16 Opt:s8 Vr:s8 SN:s16 DA:u16 Pad:pad"
METER_203 = (
    "A:i16 AphA:i16 AphB:i16 AphC:i16 A_SF:sf PhV:i16 PhVphA:i16 PhVphB:i16 PhVphC:i16 PPV:i16 PhVphAB:i16 "
    "PhVphBC:i16 PhVphCA:i16 V_SF:sf Hz:i16 Hz_SF:sf W:i16 WphA:i16 WphB:i16 WphC:i16 W_SF:sf VA:i16 VAphA:i16 "
    "VAphB:i16 VAphC:i16 VA_SF:sf VAR:i16 VARphA:i16 VARphB:i16 VARphC:i16 VAR_SF:sf PF:i16 PFphA:i16 PFphB:i16 "
    "PFphC:i16 PF_SF:sf TotWhExp:a32 TotWhExpPhA:a32 TotWhExpPhB:a32 TotWhExpPhC:a32 TotWhImp:a32 TotWhImpPhA:a32 "
    "TotWhImpPhB:a32 TotWhImpPhC:a32 TotWh_SF:sf TotVAhExp:a32 TotVAhExpPhA:a32 TotVAhExpPhB:a32 TotVAhExpPhC:a32 "
    "TotVAhImp:a32 TotVAhImpPhA:a32 TotVAhImpPhB:a32 TotVAhImpPhC:a32 TotVAh_SF:sf TotVArhImpQ1:a32 "
    "TotVArhImpQ1PhA:a32 TotVArhImpQ1PhB:a32 TotVArhImpQ1PhC:a32 TotVArhImpQ2:a32 TotVArhImpQ2PhA:a32 "
    "TotVArhImpQ2PhB:a32 TotVArhImpQ2PhC:a32 TotVArhExpQ3:a32 TotVArhExpQ3PhA:a32 TotVArhExpQ3PhB:a32 "
    "TotVArhExpQ3PhC:a32 TotVArhExpQ4:a32 TotVArhExpQ4PhA:a32 TotVArhExpQ4PhB:a32 TotVArhExpQ4PhC:a32 "
    "TotVArh_SF:sf Evt:b32"
)
MEASUREMENT_701 = (
    "ACType:e16 St:e16 InvSt:e16 ConnSt:e16 Alrm:b32 DERMode:b32 W:i16 VA:i16 Var:i16 PF:i16 A:i16 LLV:u16 "
    "LNV:u16 Hz:u32 TotWhInj:u64 TotWhAbs:u64 TotVarhInj:u64 TotVarhAbs:u64 TmpAmb:i16 TmpCab:i16 TmpSnk:i16 "
    "TmpTrns:i16 TmpSw:i16 TmpOt:i16 WL1:i16 VAL1:i16 VarL1:i16 PFL1:i16 AL1:i16 VL1L2:u16 VL1:u16 TotWhInjL1:u64 "
    "TotWhAbsL1:u64 TotVarhInjL1:u64 TotVarhAbsL1:u64 WL2:i16 VAL2:i16 VarL2:i16 PFL2:i16 AL2:i16 VL2L3:u16 "
    "VL2:u16 TotWhInjL2:u64 TotWhAbsL2:u64 TotVarhInjL2:u64 TotVarhAbsL2:u64 WL3:i16 VAL3:i16 VarL3:i16 PFL3:i16 "
    "AL3:i16 VL3L1:u16 VL3:u16 TotWhInjL3:u64 TotWhAbsL3:u64 TotVarhInjL3:u64 TotVarhAbsL3:u64 ThrotPct:u16 "
    "ThrotSrc:b32 A_SF:sf V_SF:sf Hz_SF:sf W_SF:sf PF_SF:sf VA_SF:sf Var_SF:sf TotWh_SF:sf TotVarh_SF:sf "
    "Tmp_SF:sf MnAlrmInfo:s32"
)
CAPACITY_702 = (
    "WMaxRtg:u16 WOvrExtRtg:u16 WOvrExtRtgPF:u16 WUndExtRtg:u16 WUndExtRtgPF:u16 VAMaxRtg:u16 VarMaxInjRtg:u16 "
    "VarMaxAbsRtg:u16 WChaRteMaxRtg:u16 WDisChaRteMaxRtg:u16 VAChaRteMaxRtg:u16 VADisChaRteMaxRtg:u16 VNomRtg:u16 "
    "VMaxRtg:u16 VMinRtg:u16 AMaxRtg:u16 PFOvrExtRtg:u16 PFUndExtRtg:u16 ReactSusceptRtg:u16 NorOpCatRtg:e16 "
    "AbnOpCatRtg:e16 CtrlModes:b32 IntIslandCatRtg:b16 WMax:u16 WMaxOvrExt:u16 WOvrExtPF:u16 WMaxUndExt:u16 "
    "WUndExtPF:u16 VAMax:u16 VarMaxInj:u16 VarMaxAbs:u16 WChaRteMax:u16 WDisChaRteMax:u16 VAChaRteMax:u16 "
    "VADisChaRteMax:u16 VNom:u16 VMax:u16 VMin:u16 AMax:u16 PFOvrExt:u16 PFUndExt:u16 IntIslandCat:b16 W_SF:sf "
    "PF_SF:sf VA_SF:sf Var_SF:sf V_SF:sf A_SF:sf S_SF:sf"
)
CONTROL_704 = (
    "PFWInjEna:e16 PFWInjEnaRvrt:e16 PFWInjRvrtTms:u32 PFWInjRvrtRem:u32 PFWAbsEna:e16 PFWAbsEnaRvrt:e16 "
    "PFWAbsRvrtTms:u32 PFWAbsRvrtRem:u32 WMaxLimPctEna:e16 WMaxLimPct:u16 WMaxLimPctRvrt:u16 "
    "WMaxLimPctEnaRvrt:e16 WMaxLimPctRvrtTms:u32 WMaxLimPctRvrtRem:u32 WSetEna:e16 WSetMod:e16 WSet:i32 "
    "WSetRvrt:i32 WSetPct:i16 WSetPctRvrt:i16 WSetEnaRvrt:e16 WSetRvrtTms:u32 WSetRvrtRem:u32 VarSetEna:e16 "
    "VarSetMod:e16 VarSetPri:e16 VarSet:i32 VarSetRvrt:i32 VarSetPct:i16 VarSetPctRvrt:i16 VarSetEnaRvrt:e16 "
    "VarSetRvrtTms:u32 VarSetRvrtRem:u32 WRmp:u16 WRmpRef:e16 VarRmp:u16 AntiIslEna:e16 PF_SF:sf WMaxLimPct_SF:sf "
    "WSet_SF:sf WSetPct_SF:sf VarSet_SF:sf VarSetPct_SF:sf PFWInj.PF:u16 PFWInj.Ext:e16 PFWInjRvrt.PF:u16 "
    "PFWInjRvrt.Ext:e16 PFWAbs.PF:u16 PFWAbs.Ext:e16 PFWAbsRvrt.PF:u16 PFWAbsRvrt.Ext:e16"
)
STORAGE_713 = "WHRtg:u16 WHAvail:u16 SoC:u16 SoH:u16 Sta:e16 WH_SF:sf Pct_SF:sf"

LAYOUTS = {1: COMMON, 203: METER_203, 701: MEASUREMENT_701, 702: CAPACITY_702, 704: CONTROL_704, 713: STORAGE_713}

NO_LAYOUTS: Mapping[int, str] = {}

LIMIT_POINTS = ("WMaxLimPctEna", "WMaxLimPct", "WMaxLimPctRvrt", "WMaxLimPctEnaRvrt", "WMaxLimPctRvrtTms")
SET_POINTS = ("WSetEna", "WSetMod", "WSet", "WSetRvrt", "WSetPct", "WSetPctRvrt", "WSetEnaRvrt", "WSetRvrtTms")
"""The two percent values stand inside the block: a write over them is taken and has no effect."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """Where a value stands: absolute register address, kind and number of registers."""

    address: int
    kind: str
    width: int


class Image:
    """The registers of one device; every value starts as "not implemented". layouts: further models by number."""

    def __init__(self, models: Iterable[int], layouts: Mapping[int, str] = NO_LAYOUTS) -> None:
        self._layouts = {**LAYOUTS, **layouts}
        self.words: list[int] = list(_MARKER)
        self._points: dict[tuple[int, str], Point] = {}
        for model in models:
            self._append_model(model)
        self.words.extend(_END)

    def _append_model(self, model: int) -> None:
        start = len(self.words)
        self.words.extend((model, 0))
        for item in self._layouts[model].split():
            name, kind = item.split(":")
            width = _WIDTH[kind] if kind in _WIDTH else int(kind[1:])
            self._points[(model, name)] = Point(address=BASE_ADDRESS + len(self.words), kind=kind, width=width)
            self.words.extend(_ABSENT[kind] if kind in _ABSENT else (0,) * width)
        self.words[start + 1] = len(self.words) - start - 2

    def names(self) -> list[tuple[int, str]]:
        """Every value with its model, in order."""
        return list(self._points)

    def point(self, model: int, name: str) -> Point:
        """Where the value stands."""
        return self._points[(model, name)]

    def put(self, model: int, name: str, value: float) -> None:
        """Write a number in register units; out of range it stands at the nearest value that is not the sentinel."""
        point = self._points[(model, name)]
        bits = 16 * point.width
        signed = point.kind in ("i16", "i32", "sf")
        low, high = (-(1 << (bits - 1)) + 1, (1 << (bits - 1)) - 1) if signed else (0, (1 << bits) - 2)
        number = max(low, min(high, round(value))) & ((1 << bits) - 1)
        start = point.address - BASE_ADDRESS
        for index in range(point.width):
            self.words[start + index] = (number >> (16 * (point.width - 1 - index))) & 0xFFFF

    def put_text(self, model: int, name: str, text: str) -> None:
        """Write a string, cut to its field, zero-filled."""
        point = self._points[(model, name)]
        raw = text.encode("ascii", "replace")[: 2 * point.width].ljust(2 * point.width, b"\0")
        start = point.address - BASE_ADDRESS
        for index in range(point.width):
            self.words[start + index] = int.from_bytes(raw[2 * index : 2 * index + 2], "big")

    def put_absent(self, model: int, name: str) -> None:
        """Back to "not implemented"."""
        point = self._points[(model, name)]
        start = point.address - BASE_ADDRESS
        self.words[start : start + point.width] = _ABSENT[point.kind]

    def get(self, model: int, name: str) -> int:
        """Read a number in register units."""
        point = self._points[(model, name)]
        start = point.address - BASE_ADDRESS
        number = 0
        for word in self.words[start : start + point.width]:
            number = (number << 16) | word
        if point.kind in ("i16", "i32", "sf") and number >= 1 << (16 * point.width - 1):
            number -= 1 << (16 * point.width)
        return number

    def touches(self, model: int, name: str, *, address: int, count: int) -> bool:
        """Whether a request for `count` registers from `address` covers any register of the value."""
        point = self._points[(model, name)]
        return address < point.address + point.width and point.address < address + count


def scale_for(largest: float, *, finest: int, ceiling: int = 32767) -> int:
    """The smallest scale factor (not below `finest`) with which `largest` still fits into a signed register."""
    exponent = finest
    while largest / 10.0**exponent > ceiling:
        exponent += 1
    return exponent
