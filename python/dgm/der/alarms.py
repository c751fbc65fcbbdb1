"""What is abnormal at the site, in the alarms of the standard: from the meter, the circuits and V2X stations.

    WatchSite ──conditions()──> {Alarm, Trouble} ──Alarms (two seconds to raise, ten to clear)──> raised, cleared

Voltage and frequency are those of the connection point's meter, current that of the connection point against its
limit. What stations say of themselves (OCPP 2.1 gridEventFault) counts as it is: they have their own delays. Troubles
are DGM's own: things the standard has no alarm for. Thresholds are the usual ones of public supply (EN 50160), not a
protection setting; an inverter trips by its own. Pure: times are monotonic ms.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import Enum

from dgm.api.site.v1.site_pb2 import EvseDer, GridFault, PhaseValues, Sample

RAISE_MS, CLEAR_MS = 2_000, 10_000
VOLTAGE_LOW_PERMILLE, VOLTAGE_HIGH_PERMILLE = 900, 1_100
FREQUENCY_OFF_MHZ = 500
NOMINAL_MHZ = (50_000, 60_000)
VOLTAGE_APART_PERMILLE = 30
"""A phase this far from the mean of all is an imbalance."""
CURRENT_APART_PERMILLE = 500
CURRENT_COUNTS_PERMILLE = 200
"""Of the connection's limit: below this mean an unequal current says nothing."""
PERMILLE = 1000


class Alarm(Enum):
    """Bit of alarmStatus; the LogEvent that raises it has twice this code, its return to normal one more."""

    OVER_CURRENT = 0
    OVER_VOLTAGE = 1
    UNDER_VOLTAGE = 2
    OVER_FREQUENCY = 3
    UNDER_FREQUENCY = 4
    VOLTAGE_IMBALANCE = 5
    CURRENT_IMBALANCE = 6
    EMERGENCY_LOCAL = 7
    EMERGENCY_REMOTE = 8
    LOW_POWER_INPUT = 9
    PHASE_ROTATION = 10


class Trouble(Enum):
    """What is unusual here and has no code in the standard; coded the same way under our own number."""

    METER_LOST = 0
    LIMIT_NOT_MET = 1
    DEVICE_LOST = 2


Condition = Alarm | Trouble

_FAULTS: Mapping[int, Alarm] = {
    GridFault.GRID_FAULT_CURRENT_IMBALANCE: Alarm.CURRENT_IMBALANCE,
    GridFault.GRID_FAULT_LOCAL_EMERGENCY: Alarm.EMERGENCY_LOCAL,
    GridFault.GRID_FAULT_LOW_INPUT_POWER: Alarm.LOW_POWER_INPUT,
    GridFault.GRID_FAULT_OVER_CURRENT: Alarm.OVER_CURRENT,
    GridFault.GRID_FAULT_OVER_FREQUENCY: Alarm.OVER_FREQUENCY,
    GridFault.GRID_FAULT_OVER_VOLTAGE: Alarm.OVER_VOLTAGE,
    GridFault.GRID_FAULT_PHASE_ROTATION: Alarm.PHASE_ROTATION,
    GridFault.GRID_FAULT_REMOTE_EMERGENCY: Alarm.EMERGENCY_REMOTE,
    GridFault.GRID_FAULT_UNDER_FREQUENCY: Alarm.UNDER_FREQUENCY,
    GridFault.GRID_FAULT_UNDER_VOLTAGE: Alarm.UNDER_VOLTAGE,
    GridFault.GRID_FAULT_VOLTAGE_IMBALANCE: Alarm.VOLTAGE_IMBALANCE,
}


def of_supply(meter: Sample, nominal_mv: int) -> set[Alarm]:
    """Voltage and frequency at the connection point, from a good sample; what is not measured is not judged."""
    found: set[Alarm] = set()
    volts = _phases(meter.voltage_mv)
    if volts and nominal_mv > 0:
        if max(volts) * PERMILLE > nominal_mv * VOLTAGE_HIGH_PERMILLE:
            found.add(Alarm.OVER_VOLTAGE)
        if min(volts) * PERMILLE < nominal_mv * VOLTAGE_LOW_PERMILLE:
            found.add(Alarm.UNDER_VOLTAGE)
        if _is_uneven(volts, VOLTAGE_APART_PERMILLE):
            found.add(Alarm.VOLTAGE_IMBALANCE)
    if meter.HasField("frequency_mhz") and meter.frequency_mhz > 0:
        off_mhz = min((meter.frequency_mhz - nominal for nominal in NOMINAL_MHZ), key=abs)
        if off_mhz > FREQUENCY_OFF_MHZ:
            found.add(Alarm.OVER_FREQUENCY)
        if off_mhz < -FREQUENCY_OFF_MHZ:
            found.add(Alarm.UNDER_FREQUENCY)
    return found


def of_current(current_ma: PhaseValues, limit_ma: int | None) -> set[Alarm]:
    """Currents at the connection point against the limit in force; without a limit nothing is judged."""
    amps = _phases(current_ma)
    if not amps or not limit_ma:
        return set()
    found: set[Alarm] = set()
    if max(amps) > limit_ma:
        found.add(Alarm.OVER_CURRENT)
    counts = sum(amps) * PERMILLE > limit_ma * CURRENT_COUNTS_PERMILLE * len(amps)
    if counts and _is_uneven(amps, CURRENT_APART_PERMILLE):
        found.add(Alarm.CURRENT_IMBALANCE)
    return found


def of_stations(ders: Iterable[EvseDer]) -> set[Alarm]:
    """Alarms of V2X stations that have not ended; one without a reason has no code."""
    return {_FAULTS[alarm.fault] for der in ders for alarm in der.alarms if alarm.fault in _FAULTS}


class Alarms:
    """Conditions that have lasted. `raised` survives a restart by the caller's journal."""

    def __init__(self) -> None:
        self.raised: set[Condition] = set()
        self._changing: dict[Condition, int] = {}

    @property
    def bitmap(self) -> int:
        """alarmStatus."""
        return sum(1 << alarm.value for alarm in self.raised if isinstance(alarm, Alarm))

    def observe(self, found: Iterable[Condition], now_ms: int) -> tuple[list[Condition], list[Condition]]:
        """What is so now; returns what is raised and what is cleared by it, in order of their codes."""
        current = set(found)
        differing = current ^ self.raised
        self._changing = {condition: self._changing.get(condition, now_ms) for condition in differing}
        due = [item for item, since_ms in self._changing.items() if now_ms - since_ms >= self._delay(item)]
        for condition in due:
            del self._changing[condition]
            self.raised ^= {condition}
        order = sorted(due, key=lambda condition: (isinstance(condition, Trouble), condition.value))
        return [item for item in order if item in self.raised], [item for item in order if item not in self.raised]

    def _delay(self, condition: Condition) -> int:
        return CLEAR_MS if condition in self.raised else RAISE_MS


def _phases(values: PhaseValues) -> list[int]:
    return [int(getattr(values, name)) for name in ("l1", "l2", "l3") if values.HasField(name)]


def _is_uneven(values: list[int], apart_permille: int) -> bool:
    mean = sum(values) / len(values)
    apart = max(abs(value - mean) for value in values)
    return mean > 0 and apart * PERMILLE > mean * apart_permille
