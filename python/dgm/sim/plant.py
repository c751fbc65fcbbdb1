"""The physics of one site behind its connection point: building, PV, battery, and EV load as input. Floats, no clock.

    building ──┐
    2 x PV   ──┼── connection point: W, A, V per phase, Hz, energy counters
    battery  ──┤
    EV load  ──┘   (given per phase, from the fleet)

Signs as everywhere in DGM: positive flows into the thing named. The controls of inverters and battery behave as SunSpec
model 704 says: a value that is not written again runs into its revert value. The plant knows no limit, no controller.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass

from dgm.sim.draw import Draw

VOLTAGE_NOMINAL_V = 230.0
FREQUENCY_NOMINAL_HZ = 50.0
STEP_MAX_S = 0.05
"""Longer steps are cut into pieces of this size, so that lags and ramps stay true after a stall."""

SAG_FRACTION = 0.02
"""Voltage drop at the service current."""

PERCENT_FULL = 1000
"""WMaxLimPct is held in tenths of a percent."""

_PV_RAMP_PER_S = 0.25
_BATTERY_RAMP_PER_S = 1.0
_BATTERY_LAG_S = 0.3
_BATTERY_EFFICIENCY = 0.96
_BATTERY_SOC_FLOOR = 0.05
_BATTERY_SOC_CEILING = 0.98
_EV_FRAME = struct.Struct(">Iiiii")


@dataclass(frozen=True, slots=True, kw_only=True)
class PlantConfig:
    """Size and weather of the site. Powers in W, energy in Wh, current per phase in mA."""

    building_min_w: int
    building_max_w: int
    pv_rated_w: int
    pv_count: int
    irradiance_permille: int
    battery_power_w: int
    battery_energy_wh: int
    soc_permille: int
    service_ma: int


@dataclass(frozen=True, slots=True, kw_only=True)
class EvLoad:
    """What all cars together draw: mA per phase of the grid and W; `sequence` grows with every report."""

    sequence: int
    i1_ma: int
    i2_ma: int
    i3_ma: int
    power_w: int

    def pack(self) -> bytes:
        """The datagram of the fleet."""
        return _EV_FRAME.pack(self.sequence, self.i1_ma, self.i2_ma, self.i3_ma, self.power_w)

    @staticmethod
    def unpack(datagram: bytes) -> EvLoad | None:
        """None for anything that is not such a datagram."""
        if len(datagram) != _EV_FRAME.size:
            return None
        sequence, i1_ma, i2_ma, i3_ma, power_w = _EV_FRAME.unpack(datagram)
        return EvLoad(sequence=sequence, i1_ma=i1_ma, i2_ma=i2_ma, i3_ma=i3_ma, power_w=power_w)


NO_EV_LOAD = EvLoad(sequence=0, i1_ma=0, i2_ma=0, i3_ma=0, power_w=0)


@dataclass(slots=True, kw_only=True)
class Control:
    """One control of model 704 with its revert timer. `value` is in the unit of its register."""

    value: int
    revert_value: int
    enabled: bool = False
    revert_enabled: bool = False
    revert_s: int = 0
    remaining_s: float = 0.0
    reverts: int = 0

    def rewrite(self) -> None:
        """Called after any register of the control was written: the timer starts anew."""
        self.remaining_s = float(self.revert_s) if self.enabled else 0.0

    def step(self, dt_s: float) -> None:
        """Let the timer run; at its end the revert settings take effect."""
        if self.remaining_s <= 0.0:
            return
        self.remaining_s -= dt_s
        if self.remaining_s <= 0.0:
            self.remaining_s = 0.0
            self.enabled = self.revert_enabled
            self.value = self.revert_value
            self.reverts += 1


class Inverter:
    """One PV inverter: follows the sun, never above its WMaxLimPct limit."""

    def __init__(self, rated_w: int) -> None:
        self.rated_w = rated_w
        self.limit = Control(value=PERCENT_FULL, revert_value=PERCENT_FULL)
        self.is_tripped = False
        self.output_w = 0.0
        self.energy_wh = 0.0
        self.clock_s = 0.0

    def step(self, dt_s: float, available_w: float) -> None:
        """Move the output (W, >= 0) towards what sun and limit allow; losing the sun needs no ramp."""
        self.clock_s += dt_s
        self.limit.step(dt_s)
        ceiling_w = self.rated_w * self.limit.value / PERCENT_FULL if self.limit.enabled else float(self.rated_w)
        if self.is_tripped:
            self.output_w = 0.0
            return
        goal_w = max(0.0, min(available_w, ceiling_w))
        ramped_w = approach(self.output_w, goal_w, _PV_RAMP_PER_S * self.rated_w * dt_s)
        self.output_w = min(available_w, ramped_w)
        self.energy_wh += self.output_w * dt_s / 3600.0


class Battery:
    """A battery with its inverter: follows WSet (SunSpec sign: positive discharges) with a lag, a ramp and an end."""

    def __init__(self, *, power_max_w: int, energy_wh: int, soc_permille: int) -> None:
        self.power_max_w = power_max_w
        self.energy_wh = energy_wh
        self.setpoint = Control(value=0, revert_value=0)
        self.is_tripped = False
        self.power_w = 0.0
        self.soc = soc_permille / 1000.0
        self.charged_wh = 0.0
        self.discharged_wh = 0.0

    def step(self, dt_s: float) -> None:
        """Move the power (W, positive charges) towards the setpoint and count the energy."""
        self.setpoint.step(dt_s)
        if self.is_tripped:
            self.power_w = 0.0
            return
        lagged_w = self.power_w + (self._goal_w() - self.power_w) * (1.0 - math.exp(-dt_s / _BATTERY_LAG_S))
        self.power_w = approach(self.power_w, lagged_w, _BATTERY_RAMP_PER_S * self.power_max_w * dt_s)
        energy_wh = self.power_w * dt_s / 3600.0
        if energy_wh >= 0.0:
            self.charged_wh += energy_wh
            self.soc += energy_wh * _BATTERY_EFFICIENCY / self.energy_wh
        else:
            self.discharged_wh -= energy_wh
            self.soc += energy_wh / _BATTERY_EFFICIENCY / self.energy_wh

    def _goal_w(self) -> float:
        wanted_w = -float(self.setpoint.value) if self.setpoint.enabled else 0.0
        if self.soc <= _BATTERY_SOC_FLOOR:
            wanted_w = max(wanted_w, 0.0)
        if self.soc >= _BATTERY_SOC_CEILING:
            wanted_w = min(wanted_w, 0.0)
        return max(-float(self.power_max_w), min(float(self.power_max_w), wanted_w))


class Building:
    """Load that nobody controls, inside its two bounds: a slow wave, a machine that cycles, and noise per phase.

    held_w, held_shares: load and its shares on L1, L2, L3 while somebody else says what they are; W of any size.
    """

    def __init__(self, *, min_w: int, max_w: int, draw: Draw) -> None:
        self._min_w = float(min_w)
        self._max_w = float(max_w)
        self._draw = draw
        self._time_s = draw.uniform(0.0, 100.0)
        self._noise = 0.0
        self._machine = 0.0
        self._machine_on = False
        self._machine_until_s = self._time_s + draw.uniform(10.0, 40.0)
        self._skew = [draw.uniform(-0.04, 0.04) for _ in range(3)]
        self.held_w: float | None = None
        self.held_shares: tuple[float, float, float] | None = None
        self.phase_w = (0.0, 0.0, 0.0)
        self.step(0.0)

    def step(self, dt_s: float) -> None:
        """Advance the load."""
        self._time_s += dt_s
        if self.held_w is not None:
            self._share(self.held_w)
            return
        if self._time_s >= self._machine_until_s:
            self._machine_on = not self._machine_on
            self._machine_until_s = self._time_s + self._draw.uniform(15.0, 45.0)
        self._machine = approach(self._machine, 1.0 if self._machine_on else 0.0, dt_s)
        self._noise += -self._noise * dt_s / 5.0 + self._draw.gauss(0.0, 0.05) * math.sqrt(dt_s)
        level = 0.42 + 0.22 * math.sin(self._time_s * math.tau / 97.0) + 0.2 * self._machine + self._noise
        self._share(self._min_w + (self._max_w - self._min_w) * max(0.0, min(1.0, level)))

    def _share(self, total_w: float) -> None:
        shares = self.held_shares or [1.0 / 3.0 + skew for skew in self._skew]
        scale = total_w / sum(shares)
        self.phase_w = (shares[0] * scale, shares[1] * scale, shares[2] * scale)


class Weather:
    """Irradiance as a fraction of full sun: a base, slow drift, and clouds with soft edges.

    held: the fraction while somebody else says what it is, 0 to 1.
    """

    def __init__(self, *, base: float, draw: Draw) -> None:
        self._base = base
        self._draw = draw
        self._time_s = 0.0
        self._shade = 0.0
        self._shade_goal = 0.0
        self._change_s = draw.uniform(10.0, 30.0)
        self.held: float | None = None
        self.fraction = base

    def step(self, dt_s: float) -> None:
        """Advance the sky."""
        if self.held is not None:
            self.fraction = self.held
            return
        self._time_s += dt_s
        if self._time_s >= self._change_s:
            cloudy = self._shade_goal == 0.0
            self._shade_goal = self._draw.uniform(0.2, 0.55) if cloudy else 0.0
            self._change_s = self._time_s + (
                self._draw.uniform(8.0, 20.0) if cloudy else self._draw.uniform(15.0, 45.0)
            )
        self._shade = approach(self._shade, self._shade_goal, 0.15 * dt_s)
        drift = 1.0 + 0.08 * math.sin(self._time_s * math.tau / 210.0)
        self.fraction = max(0.0, min(1.0, self._base * drift * (1.0 - self._shade)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """The connection point and its parts at one instant. W and A are positive for import; `pv_w` is output, >= 0."""

    net_w: float
    phase_w: tuple[float, float, float]
    phase_a: tuple[float, float, float]
    phase_v: tuple[float, float, float]
    frequency_hz: float
    import_wh: float
    export_wh: float
    building_w: float
    pv_w: tuple[float, ...]
    battery_w: float
    ev_w: float
    soc_permille: int


class Plant:
    """The whole site; `step` moves it on, `reading` shows it."""

    def __init__(self, config: PlantConfig, draw: Draw) -> None:
        self.config = config
        self.inverters = tuple(Inverter(config.pv_rated_w) for _ in range(config.pv_count))
        self.battery = Battery(
            power_max_w=config.battery_power_w, energy_wh=config.battery_energy_wh, soc_permille=config.soc_permille
        )
        self._draw = draw
        self.building = Building(min_w=config.building_min_w, max_w=config.building_max_w, draw=draw)
        self.weather = Weather(base=config.irradiance_permille / 1000.0, draw=draw)
        self._frequency_hz = FREQUENCY_NOMINAL_HZ
        self._import_wh = 0.0
        self._export_wh = 0.0
        self._ev = NO_EV_LOAD
        for inverter in self.inverters:
            inverter.output_w = inverter.rated_w * self.weather.fraction
        self._phase_a = (0.0, 0.0, 0.0)
        self._phase_v = (VOLTAGE_NOMINAL_V, VOLTAGE_NOMINAL_V, VOLTAGE_NOMINAL_V)
        self._phase_w = self._phase_powers_w()

    def step(self, dt_s: float, ev: EvLoad) -> None:
        """Advance by dt_s with the EV load given."""
        self._ev = ev
        while dt_s > 0.0:
            piece_s = min(dt_s, STEP_MAX_S)
            self._step_piece(piece_s)
            dt_s -= piece_s

    def _step_piece(self, dt_s: float) -> None:
        self.building.step(dt_s)
        self.weather.step(dt_s)
        for index, inverter in enumerate(self.inverters):
            # The second roof looks a little away from the sun.
            inverter.step(dt_s, inverter.rated_w * self.weather.fraction * (1.0 - 0.06 * index))
        self.battery.step(dt_s)
        self._frequency_hz += (FREQUENCY_NOMINAL_HZ - self._frequency_hz) * dt_s + self._draw.gauss(0.0, 0.01) * dt_s
        self._balance(dt_s)

    def _balance(self, dt_s: float) -> None:
        self._phase_w = self._phase_powers_w()
        amps = [power_w / volt for power_w, volt in zip(self._phase_w, self._phase_v, strict=True)]
        self._phase_a = (amps[0], amps[1], amps[2])
        service_a = self.config.service_ma / 1000.0
        volts = [VOLTAGE_NOMINAL_V * (1.0 - SAG_FRACTION * amp / service_a) for amp in amps]
        self._phase_v = (volts[0], volts[1], volts[2])
        energy_wh = sum(self._phase_w) * dt_s / 3600.0
        self._import_wh += max(0.0, energy_wh)
        self._export_wh += max(0.0, -energy_wh)

    def _phase_powers_w(self) -> tuple[float, float, float]:
        currents_ma = (self._ev.i1_ma, self._ev.i2_ma, self._ev.i3_ma)
        ev_w_per_ma = self._ev.power_w / sum(currents_ma) if sum(currents_ma) > 0 else 0.0
        symmetric_w = (self.battery.power_w - sum(inverter.output_w for inverter in self.inverters)) / 3.0
        building = self.building.phase_w
        return (
            building[0] + symmetric_w + currents_ma[0] * ev_w_per_ma,
            building[1] + symmetric_w + currents_ma[1] * ev_w_per_ma,
            building[2] + symmetric_w + currents_ma[2] * ev_w_per_ma,
        )

    def reading(self) -> Reading:
        """The state of now."""
        return Reading(
            net_w=sum(self._phase_w),
            phase_w=self._phase_w,
            phase_a=self._phase_a,
            phase_v=self._phase_v,
            frequency_hz=self._frequency_hz,
            import_wh=self._import_wh,
            export_wh=self._export_wh,
            building_w=sum(self.building.phase_w),
            pv_w=tuple(inverter.output_w for inverter in self.inverters),
            battery_w=self.battery.power_w,
            ev_w=float(self._ev.power_w) if self._ev.i1_ma + self._ev.i2_ma + self._ev.i3_ma > 0 else 0.0,
            soc_permille=round(self.battery.soc * 1000.0),
        )


def approach(value: float, goal: float, step: float) -> float:
    """`value`, moved towards `goal` by at most `step`."""
    return min(goal, value + step) if goal >= value else max(goal, value - step)
