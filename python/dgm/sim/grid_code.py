"""The grid-code side of a simulated inverter: power factor and var of 704, trips, curves and droop of 705 to 712.

    master ──write──> Image ──apply──> adopted curve, timers        advance ──> reverts        reactive_var ──> 701

Curve 1 is in force and read-only, the others can be written and adopted. The layouts are the simulator's own. Its
settings at the start are its owner's: volt-var and the droop are on. Two modes of Q on at once are counted: real ones
disagree about what they do then. Sign: positive is injected, as in SunSpec.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Final

from dgm.sim.sunspec import Image

CURVES, POINTS = 3, 4
_REVERT = "RvrtTms:u32 RvrtRem:u32 RvrtCrv:u16 "
_HEAD = "Ena:e16 AdptCrvReq:u16 AdptCrvRslt:e16 NPt:u16 "
_SHORT = "ActPt:u16 DeptRef:e16 "


def _repeated(name: str, count: int, inner: str) -> str:
    parts = [item.split(":") for item in inner.split()]
    return " ".join(f"{name}[{index}].{point}:{kind}" for index in range(count) for point, kind in parts)


def _curves(head: str, own: str, points: str) -> str:
    return f"{head} {_repeated('Crv', CURVES, f'{own} ' + _repeated('Pt', POINTS, points))}"


def _trip(axis: str, kind: str) -> str:
    one = f"ActPt:u16 {_repeated('Pt', POINTS, f'{axis}:{kind} Tms:u32')}"
    regions = " ".join(f"{region}.{item}" for region in ("MustTrip", "MayTrip", "MomCess") for item in one.split())
    return f"{_HEAD}NCrvSet:u16 {axis}_SF:sf Tms_SF:sf {_repeated('Crv', 2, f'ReadOnly:e16 {regions}')}"


GRID_LAYOUTS: Final = {
    705: _curves(
        _HEAD + "NCrv:u16 " + _REVERT + "V_SF:sf DeptRef_SF:sf RspTms_SF:sf",
        _SHORT + "Pri:e16 VRef:u16 VRefAuto:u16 VRefAutoEna:e16 VRefAutoTms:u16 RspTms:u32 ReadOnly:e16",
        "V:u16 Var:i16",
    ),
    706: _curves(
        _HEAD + "NCrv:u16 " + _REVERT + "V_SF:sf DeptRef_SF:sf RspTms_SF:sf",
        _SHORT + "RspTms:u32 ReadOnly:e16",
        "V:u16 W:i16",
    ),
    707: _trip("V", "u16"),
    708: _trip("V", "u16"),
    709: _trip("Hz", "u32"),
    710: _trip("Hz", "u32"),
    711: "Ena:e16 AdptCtlReq:u16 AdptCtlRslt:e16 NCtl:u16 RvrtTms:u32 RvrtRem:u32 RvrtCtl:u16 Db_SF:sf K_SF:sf "
    "RspTms_SF:sf " + _repeated("Ctl", CURVES, "DbOf:u32 DbUf:u32 KOf:u16 KUf:u16 RspTms:u32 PMin:i16 ReadOnly:e16"),
    712: _curves(
        _HEAD + "NCrv:u16 " + _REVERT + "W_SF:sf DeptRef_SF:sf",
        _SHORT + "Pri:e16 ReadOnly:e16",
        "W:i16 Var:i16",
    ),
}
GRID_MODELS: Final = tuple(GRID_LAYOUTS)
CONTROL_MODES: Final = 0b11_0111_1011_1101
"""CtrlModes of 702: cap, var, power factor, volt-var, droop, trips, watt-var, volt-watt."""

_SCALES = {"V_SF": -1, "DeptRef_SF": -1, "RspTms_SF": 0, "Tms_SF": -2, "Hz_SF": -2, "Db_SF": -3, "K_SF": -3, "W_SF": -1}
VAR_SET = ("Ena", "Mod", "", "Rvrt", "Pct", "PctRvrt", "EnaRvrt", "RvrtTms")
_AC_GROUPS = ("PFWInj", "PFWAbs", "VarSet")
_RAW_CURVES = {
    705: ((920, 440), (980, 0), (1020, 0), (1080, -440)),
    706: ((1060, 1000), (1100, 200)),
    712: ((0, 0), (500, 0), (1000, -440)),
}
_RAW_TRIPS = {707: (500, 450), 708: (1200, 1300), 709: (5700, 5650), 710: (6200, 6300)}


class GridCode:
    """Behaviour behind the registers. var_max: what the inverter can do, either way; w_max: its rating."""

    def __init__(self, image: Image, *, w_max: int, var_max: int) -> None:
        self.conflicts = 0
        self.reverts = 0
        self._image = image
        self._w_max = w_max
        self._var_max = var_max
        self._now_s = 0.0
        self._ends_s: dict[str, float] = {}
        self._put_owners_settings()

    def writable(self) -> Iterator[tuple[int, str]]:
        """Points that a master may write."""
        for group in ("PFWInj", "PFWAbs"):
            yield from ((704, f"{group}{name}") for name in ("Ena", "EnaRvrt", "RvrtTms"))
            yield from ((704, f"{group}{part}.{name}") for part in ("", "Rvrt") for name in ("PF", "Ext"))
        yield from ((704, f"VarSet{name}") for name in VAR_SET)
        for model, layout in GRID_LAYOUTS.items():
            for item in layout.split():
                name = item.split(":")[0]
                is_slot = "[" in name and "[0]." not in name.split("Pt")[0]
                is_setting = name in ("Ena", "AdptCrvReq", "AdptCtlReq", "RvrtTms", "RvrtCrv", "RvrtCtl")
                if is_setting or (is_slot and not name.endswith(("ReadOnly", "VRefAuto"))):
                    yield model, name

    def apply(self, *, address: int, count: int) -> None:
        """Take over what a master has just written."""

        def touched(model: int, name: str) -> bool:
            return self._image.touches(model, name, address=address, count=count)

        for group in _AC_GROUPS:
            if any(touched(704, f"{group}{name}") for name in ("Ena", "RvrtTms", "EnaRvrt")):
                self._start(group, self._image.get(704, f"{group}RvrtTms"))
        for model in GRID_MODELS:
            request = "AdptCtlReq" if model == 711 else "AdptCrvReq"
            if touched(model, request):
                self._adopt(model, self._image.get(model, request))

    def advance(self, now_s: float) -> None:
        """Let the timers run."""
        self._now_s = now_s
        for name, end_s in list(self._ends_s.items()):
            if end_s <= now_s:
                del self._ends_s[name]
                self.reverts += 1
                self._revert(name)
        for group in _AC_GROUPS:
            self._image.put(704, f"{group}RvrtRem", self._left_s(group))
        self.conflicts += len(self.owners()) > 1

    def owners(self) -> list[str]:
        """Every mode of Q that is on."""
        on = [group for group in _AC_GROUPS if self._image.get(704, f"{group}Ena") == 1]
        on = ["PF" if group.startswith("PF") else group for group in on]
        on += [name for model, name in ((705, "VoltVar"), (712, "WattVar")) if self._image.get(model, "Ena") == 1]
        return sorted(set(on))

    def reactive_var(self, output_w: float, voltage_permille: float) -> float:
        """var put out beside an active output; the first mode of Q that is on wins here."""
        get, owners = self._image.get, self.owners()
        if "VarSet" in owners:
            found = float(get(704, "VarSet"))
        elif "PF" in owners:
            cos_phi = max(get(704, "PFWInj.PF") / 1000, 0.001)
            size = output_w * (1 / cos_phi**2 - 1) ** 0.5
            found = -size if get(704, "PFWInj.Ext") == 1 else size
        elif "VoltVar" in owners:
            found = self._on_curve(705, "V", voltage_permille) / 1000 * self._var_max
        elif "WattVar" in owners:
            found = self._on_curve(712, "W", output_w * 1000 / self._w_max) / 1000 * self._var_max
        else:
            found = 0.0
        return max(-self._var_max, min(self._var_max, found))

    def _on_curve(self, model: int, axis: str, at: float) -> float:
        count = self._image.get(model, "Crv[0].ActPt")
        names = [f"Crv[0].Pt[{index}]." for index in range(count)]
        points = [(self._image.get(model, name + axis), self._image.get(model, name + "Var")) for name in names]
        if at <= points[0][0]:
            return points[0][1]
        for (x, y), (next_x, next_y) in pairwise(points):
            if at <= next_x:
                return y + (next_y - y) * (at - x) / max(next_x - x, 1)
        return points[-1][1]

    def _adopt(self, model: int, slot: int) -> None:
        result = "AdptCtlRslt" if model == 711 else "AdptCrvRslt"
        is_known = 1 <= slot <= self._slots(model)
        self._image.put(model, result, 1 if is_known else 2)
        if not is_known:
            return
        self._copy(model, slot - 1)
        if model in (705, 706, 711, 712):
            self._start(str(model), self._image.get(model, "RvrtTms"))

    def _slots(self, model: int) -> int:
        return self._image.get(model, {711: "NCtl"}.get(model, "NCrvSet" if 707 <= model <= 710 else "NCrv"))

    def _copy(self, model: int, slot: int) -> None:
        group = "Ctl" if model == 711 else "Crv"
        prefix = f"{group}[{slot}]."
        for item in GRID_LAYOUTS[model].split():
            name = item.split(":")[0]
            if name.startswith(prefix) and not name.endswith(("ReadOnly", "VRefAuto")):
                self._image.put(model, f"{group}[0].{name.removeprefix(prefix)}", self._image.get(model, name))

    def _start(self, timer: str, length_s: int) -> None:
        if length_s > 0:
            self._ends_s[timer] = self._now_s + length_s
        else:
            self._ends_s.pop(timer, None)

    def _left_s(self, timer: str) -> float:
        return max(self._ends_s.get(timer, self._now_s) - self._now_s, 0)

    def _revert(self, timer: str) -> None:
        put, get = self._image.put, self._image.get
        if timer in ("PFWInj", "PFWAbs"):
            for name in ("PF", "Ext"):
                put(704, f"{timer}.{name}", get(704, f"{timer}Rvrt.{name}"))
        elif timer == "VarSet":
            put(704, "VarSet", get(704, "VarSetRvrt"))
        else:
            model = int(timer)
            self._copy(model, get(model, "RvrtCtl" if model == 711 else "RvrtCrv") - 1)
            return
        put(704, f"{timer}Ena", get(704, f"{timer}EnaRvrt"))

    def _put_owners_settings(self) -> None:
        put = self._image.put
        put(702, "CtrlModes", CONTROL_MODES)
        for group in ("PFWInj", "PFWAbs"):
            for name, value in (("Ena", 0), ("EnaRvrt", 0), ("RvrtTms", 0), (".PF", 1000), (".Ext", 0)):
                put(704, group + name, value)
            put(704, f"{group}Rvrt.PF", 1000)
            put(704, f"{group}Rvrt.Ext", 0)
        for name, value in (("Ena", 0), ("Mod", 4), ("Pri", 0), ("", 0), ("Rvrt", 0), ("EnaRvrt", 0), ("RvrtTms", 0)):
            put(704, f"VarSet{name}", value)
        put(704, "PF_SF", -3)
        put(704, "VarSet_SF", 0)
        for model, layout in GRID_LAYOUTS.items():
            self._put_model(model, [item.split(":")[0] for item in layout.split()])

    def _put_model(self, model: int, names: list[str]) -> None:
        put = self._image.put
        for name in names:
            if name.endswith("_SF"):
                put(model, name, _SCALES[name])
            elif name.endswith("ReadOnly"):
                put(model, name, int("[0]." in name.split("Pt")[0]))
            elif not name.endswith("VRefAuto"):
                put(model, name, 0)
        heads = {"Ena": int(model in (705, 707, 708, 709, 710, 711)), "AdptCrvRslt": 1, "AdptCtlRslt": 1}
        heads |= {"NPt": POINTS, "NCrv": CURVES, "NCrvSet": 2, "NCtl": CURVES}
        for name, value in heads.items():
            if name in names:
                put(model, name, value)
        for slot in range(self._slots(model)):
            self._put_curve(model, slot, names)

    def _put_curve(self, model: int, slot: int, names: list[str]) -> None:
        put = self._image.put
        if model == 711:
            for name, value in (("DbOf", 36), ("DbUf", 36), ("KOf", 50), ("KUf", 50), ("RspTms", 5)):
                put(711, f"Ctl[{slot}].{name}", value)
        elif model in _RAW_TRIPS:
            for index, raw in enumerate(_RAW_TRIPS[model]):
                axis = "V" if model < 709 else "Hz"
                put(model, f"Crv[{slot}].MustTrip.Pt[{index}].{axis}", raw)
                put(model, f"Crv[{slot}].MustTrip.Pt[{index}].Tms", 16 + 200 * (1 - index))
            put(model, f"Crv[{slot}].MustTrip.ActPt", len(_RAW_TRIPS[model]))
        else:
            y = "W" if model == 706 else "Var"
            x = "W" if model == 712 else "V"
            put(model, f"Crv[{slot}].ActPt", len(_RAW_CURVES[model]))
            for index, (at, raw) in enumerate(_RAW_CURVES[model]):
                put(model, f"Crv[{slot}].Pt[{index}].{x}", at)
                put(model, f"Crv[{slot}].Pt[{index}].{y}", raw)
            if f"Crv[{slot}].VRef" in names:
                put(model, f"Crv[{slot}].VRef", 1000)
            if model in (705, 712):
                put(model, f"Crv[{slot}].DeptRef", 1)
