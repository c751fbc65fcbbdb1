"""Models of the SunSpec Alliance that a facade serves, as tables: their layouts, with every repetition of groups.

    "705 DERVoltVar Ena:e16 ... Crv[NCrv]{ ActPt:u16 ... }" and {"NCrv": 1} ──standard()──> Model with "Crv1.ActPt"

The layouts are lines of dgm_core/tables/sunspec.txt, made from the SunSpec Alliance's model definitions (Apache License
2.0; see NOTICE); a test compares them. Scale factors are points of their own here, as the standard has it, and stand
still. Such a model is read-only unless a facade says what may be written.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from dgm.maps.table import Kind, Model, Point, Range, head, with_length

LAYOUTS = """
701 DERMeasureAC ACType:e16 St:e16 InvSt:e16 ConnSt:e16 Alrm:b32 DERMode:b32 W:i16*W_SF VA:i16*VA_SF Var:i16*Var_SF
  PF:i16*PF_SF A:i16*A_SF LLV:u16*V_SF LNV:u16*V_SF Hz:u32*Hz_SF TotWhInj:u64*TotWh_SF TotWhAbs:u64*TotWh_SF
  TotVarhInj:u64*TotVarh_SF TotVarhAbs:u64*TotVarh_SF TmpAmb:i16*Tmp_SF TmpCab:i16*Tmp_SF TmpSnk:i16*Tmp_SF
  TmpTrns:i16*Tmp_SF TmpSw:i16*Tmp_SF TmpOt:i16*Tmp_SF WL1:i16*W_SF VAL1:i16*VA_SF VarL1:i16*Var_SF PFL1:i16*PF_SF
  AL1:i16*A_SF VL1L2:u16*V_SF VL1:u16*V_SF TotWhInjL1:u64*TotWh_SF TotWhAbsL1:u64*TotWh_SF TotVarhInjL1:u64*TotVarh_SF
  TotVarhAbsL1:u64*TotVarh_SF WL2:i16*W_SF VAL2:i16*VA_SF VarL2:i16*Var_SF PFL2:i16*PF_SF AL2:i16*A_SF VL2L3:u16*V_SF
  VL2:u16*V_SF TotWhInjL2:u64*TotWh_SF TotWhAbsL2:u64*TotWh_SF TotVarhInjL2:u64*TotVarh_SF TotVarhAbsL2:u64*TotVarh_SF
  WL3:i16*W_SF VAL3:i16*VA_SF VarL3:i16*Var_SF PFL3:i16*PF_SF AL3:i16*A_SF VL3L1:u16*V_SF VL3:u16*V_SF
  TotWhInjL3:u64*TotWh_SF TotWhAbsL3:u64*TotWh_SF TotVarhInjL3:u64*TotVarh_SF TotVarhAbsL3:u64*TotVarh_SF ThrotPct:u16
  ThrotSrc:b32 A_SF:sf V_SF:sf Hz_SF:sf W_SF:sf PF_SF:sf VA_SF:sf Var_SF:sf TotWh_SF:sf TotVarh_SF:sf Tmp_SF:sf
  MnAlrmInfo:s32
702 DERCapacity WMaxRtg:u16*W_SF WOvrExtRtg:u16*W_SF WOvrExtRtgPF:u16*PF_SF WUndExtRtg:u16*W_SF WUndExtRtgPF:u16*PF_SF
  VAMaxRtg:u16*VA_SF VarMaxInjRtg:u16*Var_SF VarMaxAbsRtg:u16*Var_SF WChaRteMaxRtg:u16*W_SF WDisChaRteMaxRtg:u16*W_SF
  VAChaRteMaxRtg:u16*VA_SF VADisChaRteMaxRtg:u16*VA_SF VNomRtg:u16*V_SF VMaxRtg:u16*V_SF VMinRtg:u16*V_SF
  AMaxRtg:u16*A_SF PFOvrExtRtg:u16*PF_SF PFUndExtRtg:u16*PF_SF ReactSusceptRtg:u16*S_SF NorOpCatRtg:e16
  AbnOpCatRtg:e16 CtrlModes:b32 IntIslandCatRtg:b16 WMax:u16*W_SF WMaxOvrExt:u16*W_SF WOvrExtPF:u16*PF_SF
  WMaxUndExt:u16*W_SF WUndExtPF:u16*PF_SF VAMax:u16*VA_SF VarMaxInj:u16*Var_SF VarMaxAbs:u16*Var_SF
  WChaRteMax:u16*W_SF WDisChaRteMax:u16*W_SF VAChaRteMax:u16*VA_SF VADisChaRteMax:u16*VA_SF VNom:u16*V_SF
  VMax:u16*V_SF VMin:u16*V_SF AMax:u16*A_SF PFOvrExt:u16*PF_SF PFUndExt:u16*PF_SF IntIslandCat:b16 W_SF:sf PF_SF:sf
  VA_SF:sf Var_SF:sf V_SF:sf A_SF:sf S_SF:sf
703 DEREnterService ES:e16 ESVHi:u16*V_SF ESVLo:u16*V_SF ESHzHi:u32*Hz_SF ESHzLo:u32*Hz_SF ESDlyTms:u32 ESRndTms:u32
  ESRmpTms:u32 ESDlyRemTms:u32 V_SF:sf Hz_SF:sf
704 DERCtlAC PFWInjEna:e16 PFWInjEnaRvrt:e16 PFWInjRvrtTms:u32 PFWInjRvrtRem:u32 PFWAbsEna:e16 PFWAbsEnaRvrt:e16
  PFWAbsRvrtTms:u32 PFWAbsRvrtRem:u32 WMaxLimPctEna:e16 WMaxLimPct:u16*WMaxLimPct_SF WMaxLimPctRvrt:u16*WMaxLimPct_SF
  WMaxLimPctEnaRvrt:e16 WMaxLimPctRvrtTms:u32 WMaxLimPctRvrtRem:u32 WSetEna:e16 WSetMod:e16 WSet:i32*WSet_SF
  WSetRvrt:i32*WSet_SF WSetPct:i16*WSetPct_SF WSetPctRvrt:i16*WSetPct_SF WSetEnaRvrt:e16 WSetRvrtTms:u32
  WSetRvrtRem:u32 VarSetEna:e16 VarSetMod:e16 VarSetPri:e16 VarSet:i32*VarSet_SF VarSetRvrt:i32*VarSet_SF
  VarSetPct:i16*VarSetPct_SF VarSetPctRvrt:i16*VarSetPct_SF VarSetEnaRvrt:e16 VarSetRvrtTms:u32 VarSetRvrtRem:u32
  WRmp:u16 WRmpRef:e16 VarRmp:u16 AntiIslEna:e16 PF_SF:sf WMaxLimPct_SF:sf WSet_SF:sf WSetPct_SF:sf VarSet_SF:sf
  VarSetPct_SF:sf PFWInj{ PF:u16*PF_SF Ext:e16 } PFWInjRvrt{ PF:u16*PF_SF Ext:e16 } PFWAbs{ PF:u16*PF_SF Ext:e16 }
  PFWAbsRvrt{ PF:u16*PF_SF Ext:e16 }
705 DERVoltVar Ena:e16 AdptCrvReq:u16 AdptCrvRslt:e16 NPt:u16 NCrv:u16 RvrtTms:u32 RvrtRem:u32 RvrtCrv:u16 V_SF:sf
  DeptRef_SF:sf RspTms_SF:sf Crv[NCrv]{ ActPt:u16 DeptRef:e16 Pri:e16 VRef:u16*V_SF VRefAuto:u16*V_SF VRefAutoEna:e16
  VRefAutoTms:u16 RspTms:u32*RspTms_SF ReadOnly:e16 Pt[NPt]{ V:u16*V_SF Var:i16*DeptRef_SF } }
706 DERVoltWatt Ena:e16 AdptCrvReq:u16 AdptCrvRslt:e16 NPt:u16 NCrv:u16 RvrtTms:u32 RvrtRem:u32 RvrtCrv:u16 V_SF:sf
  DeptRef_SF:sf RspTms_SF:sf Crv[NCrv]{ ActPt:u16 DeptRef:e16 RspTms:u32*RspTms_SF ReadOnly:e16 Pt[NPt]{ V:u16*V_SF
  W:i16*DeptRef_SF } }
711 DERFreqDroop Ena:e16 AdptCtlReq:u16 AdptCtlRslt:e16 NCtl:u16 RvrtTms:u32 RvrtRem:u32 RvrtCtl:u16 Db_SF:sf K_SF:sf
  RspTms_SF:sf Ctl[NCtl]{ DbOf:u32*Db_SF DbUf:u32*Db_SF KOf:u16*K_SF KUf:u16*K_SF RspTms:u32*RspTms_SF PMin:i16
  ReadOnly:e16 }
712 DERWattVar Ena:e16 AdptCrvReq:u16 AdptCrvRslt:e16 NPt:u16 NCrv:u16 RvrtTms:u32 RvrtRem:u32 RvrtCrv:u16 W_SF:sf
  DeptRef_SF:sf Crv[NCrv]{ ActPt:u16 DeptRef:e16 Pri:e16 ReadOnly:e16 Pt[NPt]{ W:i16*W_SF Var:i16*DeptRef_SF } }
713 DERStorageCapacity WHRtg:u16*WH_SF WHAvail:u16*WH_SF SoC:u16*Pct_SF SoH:u16*Pct_SF Sta:e16 WH_SF:sf Pct_SF:sf
715 DERCtl LocRemCtl:e16 DERHb:u32 ControllerHb:u32 AlarmReset:u16 OpCtl:e16
"""
"""One line each; a line that begins with a space goes on."""

_KINDS = {
    "u16": Kind.U16,
    "u32": Kind.U32,
    "u64": Kind.U64,
    "i16": Kind.I16,
    "i32": Kind.I32,
    "e16": Kind.ENUM,
    "b16": Kind.BITS,
    "b32": Kind.BITS32,
    "sf": Kind.SCALE,
}


def layouts() -> dict[int, str]:
    """Layout by number of the model."""
    lines = LAYOUTS.strip().replace("\n  ", " ").splitlines()
    return {int(line.partition(" ")[0]): line for line in lines}


def standard(model_id: int, counts: Mapping[str, int], *, writes: Mapping[str, Range]) -> Model:
    """A model with as many groups as `counts` says for each count point. writes: points that a client may write."""
    _, name, *tokens = layouts()[model_id].split(" ")
    points = [
        replace(point, fixed=counts.get(point.name), write=writes.get(point.name))
        for point in _points(iter(tokens), "", counts)
    ]
    return with_length(Model(id=model_id, name=name, label=name, text="", points=(*head(model_id), *points), groups=()))


def _points(tokens: Iterator[str], prefix: str, counts: Mapping[str, int]) -> Iterator[Point]:
    """Points up to the end of the group, those of its groups behind them."""
    for token in tokens:
        if token == "}":
            return
        if token.endswith("{"):
            inner, _, count = token[:-1].rstrip("]").partition("[")
            body = list(_group(tokens))
            times = [inner] if not count else [f"{inner}{number + 1}" for number in range(counts[count])]
            for name in times:
                yield from _points(iter(body), f"{prefix}{name}.", counts)
        else:
            yield _point(token, prefix)


def _group(tokens: Iterator[str]) -> Iterator[str]:
    """The tokens up to the brace that closes the group that is open."""
    depth = 1
    for token in tokens:
        depth += token.endswith("{") - (token == "}")
        if depth == 0:
            return
        yield token


def _point(token: str, prefix: str) -> Point:
    name, _, code = token.partition(":")
    kind = code.partition("*")[0]
    if kind in _KINDS:
        return Point(name=prefix + name, label=prefix + name, kind=_KINDS[kind], text="")
    return Point(name=prefix + name, label=prefix + name, kind=Kind.TEXT, length=int(kind[1:]), text="")
