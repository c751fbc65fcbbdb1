"""The simulated devices as SunSpec images: which model shows what of the plant, and what a write to model 704 does.

    Plant ──refresh──> Image ──> any Modbus server ──write──> apply ──> Control of the plant

Signs are SunSpec's: the meter counts import positive; inverters and the battery count output (discharge) positive.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from dgm.sim.grid_code import GRID_LAYOUTS, GRID_MODELS, GridCode
from dgm.sim.plant import VOLTAGE_NOMINAL_V, Battery, Control, Inverter, Plant, Reading
from dgm.sim.sunspec import LIMIT_POINTS, SET_POINTS, Image, scale_for

VAR_PART = 0.44
"""Part of its rating that an inverter can do in var (IEEE 1547 category B)."""
_OVERLOAD = 1.5
"""Readings up to this multiple of the rating must fit into their registers."""


class Device(Protocol):
    """One Modbus device of the site."""

    image: Image

    @property
    def writable(self) -> tuple[tuple[int, str], ...]:
        """Points that may be written, with their models."""
        ...

    def refresh(self, reading: Reading) -> None:
        """Bring the image up to date."""
        ...

    def apply(self, *, address: int, count: int) -> None:
        """Take over what a master has just written into the image."""
        ...


def devices_of(plant: Plant) -> dict[str, Device]:
    """All devices by name: meter, pv-1, pv-2, ..., battery."""
    devices: dict[str, Device] = {"meter": MeterDevice(service_ma=plant.config.service_ma)}
    for index, inverter in enumerate(plant.inverters):
        devices[f"pv-{index + 1}"] = InverterDevice(inverter, index=index)
    devices["battery"] = BatteryDevice(plant.battery)
    return devices


def _put_common(image: Image, *, model_name: str, serial: str) -> None:
    for name, text in (("Mn", "Plant simulator"), ("Md", model_name), ("Vr", "1"), ("SN", serial)):
        image.put_text(1, name, text)
    image.put(1, "DA", 1)


class MeterDevice:
    """The meter of the connection point: models 1 and 203. Currents are signed like the power of their phase."""

    def __init__(self, *, service_ma: int) -> None:
        self.image = Image((1, 203))
        self.writable: tuple[tuple[int, str], ...] = ()
        self._amp_exponent = scale_for(_OVERLOAD * 3 * service_ma / 1000.0, finest=-2)
        self._watt_exponent = scale_for(_OVERLOAD * 3 * service_ma / 1000.0 * VOLTAGE_NOMINAL_V, finest=0)
        _put_common(self.image, model_name="Three-phase meter", serial="METER-1")
        for name, value in (
            ("A_SF", self._amp_exponent),
            ("V_SF", -1),
            ("Hz_SF", -2),
            ("W_SF", self._watt_exponent),
            ("VA_SF", self._watt_exponent),
            ("VAR_SF", self._watt_exponent),
            ("PF_SF", -1),
            ("TotWh_SF", 0),
            ("Evt", 0),
        ):
            self.image.put(203, name, value)

    def refresh(self, reading: Reading) -> None:
        """Show the connection point."""
        put = self.image.put
        amp, watt = 10.0**self._amp_exponent, 10.0**self._watt_exponent
        put(203, "A", sum(reading.phase_a) / amp)
        put(203, "PhV", sum(reading.phase_v) / 3 * 10)
        put(203, "Hz", reading.frequency_hz * 100)
        put(203, "W", reading.net_w / watt)
        put(203, "VA", sum(abs(power_w) for power_w in reading.phase_w) / watt)
        put(203, "VAR", 0)
        put(203, "TotWhImp", reading.import_wh)
        put(203, "TotWhExp", reading.export_wh)
        phases = zip("ABC", reading.phase_a, reading.phase_v, reading.phase_w, strict=True)
        for letter, current_a, voltage_v, power_w in phases:
            put(203, f"Aph{letter}", current_a / amp)
            put(203, f"PhVph{letter}", voltage_v * 10)
            put(203, f"Wph{letter}", power_w / watt)

    def apply(self, *, address: int, count: int) -> None:
        """A meter takes no writes."""


class InverterDevice:
    """A PV inverter: models 1, 701, 702, the WMaxLimPct group of 704, and the grid code (`grid_code`)."""

    def __init__(self, inverter: Inverter, *, index: int) -> None:
        self.image = Image((1, 701, 702, 704, *GRID_MODELS), GRID_LAYOUTS)
        var_max = round(inverter.rated_w * VAR_PART)
        self.grid_code = GridCode(self.image, w_max=inverter.rated_w, var_max=var_max)
        self.writable = (*_of_704(LIMIT_POINTS), *self.grid_code.writable())
        self._inverter = inverter
        self._index = index
        self._exponent = scale_for(_OVERLOAD * inverter.rated_w, finest=0)
        _put_common(self.image, model_name="PV inverter", serial=f"PV-{index + 1}")
        _put_der_constants(self.image, rated_w=inverter.rated_w, exponent=self._exponent)
        self.image.put(704, "WMaxLimPct_SF", -1)
        for model, name, value in ((701, "Var_SF", self._exponent), (702, "Var_SF", 0), (702, "VA_SF", self._exponent)):
            self.image.put(model, name, value)
        for name in ("VarMaxInjRtg", "VarMaxAbsRtg", "VarMaxInj", "VarMaxAbs"):
            self.image.put(702, name, var_max)
        for name in ("VAMaxRtg", "VAMax"):
            self.image.put(702, name, inverter.rated_w / 10.0**self._exponent)

    def refresh(self, reading: Reading) -> None:
        """Show output, state and the control groups with their timers."""
        self.grid_code.advance(self._inverter.clock_s)
        voltage_permille = sum(reading.phase_v) / 3 / VOLTAGE_NOMINAL_V * 1000
        reactive_var = self.grid_code.reactive_var(self._inverter.output_w, voltage_permille)
        self.image.put(701, "Var", reactive_var / 10.0**self._exponent)
        _put_der_reading(self.image, reading, output_w=self._inverter.output_w, exponent=self._exponent)
        self.image.put(701, "TotWhInj", self._inverter.energy_wh)
        self.image.put(701, "InvSt", 4 if self._inverter.limit.enabled and self._inverter.limit.value < 1000 else 3)
        _put_control(self.image, "WMaxLimPct", self._inverter.limit)

    def apply(self, *, address: int, count: int) -> None:
        """A written group takes effect and its revert timer starts anew."""
        self.grid_code.advance(self._inverter.clock_s)
        self.grid_code.apply(address=address, count=count)
        if any(self.image.touches(704, name, address=address, count=count) for name in LIMIT_POINTS):
            _take_control(self.image, "WMaxLimPct", self._inverter.limit)


class BatteryDevice:
    """A battery: models 1, 701, 702, of 704 the WSet group in watts, and 713."""

    def __init__(self, battery: Battery) -> None:
        self.image = Image((1, 701, 702, 704, 713))
        self.writable = _of_704(SET_POINTS)
        self._battery = battery
        self._exponent = scale_for(_OVERLOAD * battery.power_max_w, finest=0)
        self._energy_exponent = scale_for(battery.energy_wh, finest=0)
        _put_common(self.image, model_name="Battery inverter", serial="BESS-1")
        _put_der_constants(self.image, rated_w=battery.power_max_w, exponent=self._exponent)
        for name in ("WChaRteMaxRtg", "WDisChaRteMaxRtg", "WChaRteMax", "WDisChaRteMax"):
            self.image.put(702, name, battery.power_max_w / 10.0**self._exponent)
        for model, name, value in (
            (702, "CtrlModes", 2),
            (704, "WSet_SF", 0),
            (704, "WSetMod", 1),
            (713, "WH_SF", self._energy_exponent),
            (713, "Pct_SF", -1),
            (713, "WHRtg", battery.energy_wh / 10.0**self._energy_exponent),
            (713, "SoH", 1000),
            (713, "Sta", 0),
        ):
            self.image.put(model, name, value)

    def refresh(self, reading: Reading) -> None:
        """Show output, state of charge and the setpoint group with its timer."""
        battery = self._battery
        _put_der_reading(self.image, reading, output_w=-battery.power_w, exponent=self._exponent)
        self.image.put(701, "InvSt", 3)
        self.image.put(701, "TotWhInj", battery.discharged_wh)
        self.image.put(701, "TotWhAbs", battery.charged_wh)
        self.image.put(713, "SoC", battery.soc * 1000)
        self.image.put(713, "WHAvail", battery.soc * battery.energy_wh / 10.0**self._energy_exponent)
        _put_control(self.image, "WSet", battery.setpoint)

    def apply(self, *, address: int, count: int) -> None:
        """A written setpoint group takes effect and its revert timer starts anew. Its only mode is watts."""
        self.image.put(704, "WSetMod", 1)
        self.image.put_absent(704, "WSetPct")
        self.image.put_absent(704, "WSetPctRvrt")
        if any(self.image.touches(704, name, address=address, count=count) for name in SET_POINTS):
            _take_control(self.image, "WSet", self._battery.setpoint)


def _of_704(names: Iterable[str]) -> tuple[tuple[int, str], ...]:
    return tuple((704, name) for name in names)


def _put_der_constants(image: Image, *, rated_w: int, exponent: int) -> None:
    for name, value in (("W_SF", exponent), ("A_SF", -1), ("V_SF", -1), ("Hz_SF", -2), ("TotWh_SF", 0), ("ACType", 2)):
        image.put(701, name, value)
    for name, value in (("St", 1), ("ConnSt", 1), ("Alrm", 0), ("DERMode", 1)):
        image.put(701, name, value)
    for name, value in (("W_SF", exponent), ("V_SF", -1), ("VNomRtg", 4000), ("VNom", 4000)):
        image.put(702, name, value)
    for name in ("WMaxRtg", "WMax"):
        image.put(702, name, rated_w / 10.0**exponent)


def _put_der_reading(image: Image, reading: Reading, *, output_w: float, exponent: int) -> None:
    watt = 10.0**exponent
    amps = [output_w / 3.0 / voltage_v for voltage_v in reading.phase_v]
    image.put(701, "W", output_w / watt)
    image.put(701, "A", sum(amps) * 10)
    image.put(701, "LNV", sum(reading.phase_v) / 3 * 10)
    image.put(701, "LLV", sum(reading.phase_v) / 3 * 3**0.5 * 10)
    image.put(701, "Hz", reading.frequency_hz * 100)
    for number, (current_a, voltage_v) in enumerate(zip(amps, reading.phase_v, strict=True), start=1):
        image.put(701, f"WL{number}", output_w / 3.0 / watt)
        image.put(701, f"AL{number}", current_a * 10)
        image.put(701, f"VL{number}", voltage_v * 10)


def _put_control(image: Image, name: str, control: Control) -> None:
    image.put(704, f"{name}Ena", int(control.enabled))
    image.put(704, name, control.value)
    image.put(704, f"{name}Rvrt", control.revert_value)
    image.put(704, f"{name}EnaRvrt", int(control.revert_enabled))
    image.put(704, f"{name}RvrtTms", control.revert_s)
    image.put(704, f"{name}RvrtRem", control.remaining_s)


def _take_control(image: Image, name: str, control: Control) -> None:
    control.enabled = image.get(704, f"{name}Ena") == 1
    control.value = image.get(704, name)
    control.revert_value = image.get(704, f"{name}Rvrt")
    control.revert_enabled = image.get(704, f"{name}EnaRvrt") == 1
    control.revert_s = image.get(704, f"{name}RvrtTms")
    control.rewrite()
