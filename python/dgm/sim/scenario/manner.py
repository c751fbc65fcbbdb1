"""Stations that do not do what they are told, made of honest ones: deaf, rejecting, late.

deaf: the car goes on as it is, whatever the pilot says     rejecting: no profile is taken     late: every answer waits

What a station reports stays true: the product has to find out from what it measures and answers.
"""

from __future__ import annotations

from collections.abc import Mapping

from dgm.api.config.v1.scenario_pb2 import StationManner
from dgm.sim.car import Car
from dgm.sim.line import Line
from dgm.sim.profiles import Profile, ProfileStore
from dgm.sim.station import Station
from dgm.sim.station_2x import Station2x

HONEST_DELAY_MS = 10


class DeafCar(Car):
    """A car whose EVSE does not tell it what it is told: the current that it has been offered stays."""

    def offer(self, offered_ma: int, *, now_ms: int) -> None:
        """Nothing comes of it."""

    @staticmethod
    def of(car: Car) -> DeafCar:
        """The same car, as it draws now."""
        deaf = DeafCar(car.spec, now_ms=car.stepped_ms)
        deaf.__dict__.update(car.__dict__)
        return deaf


class RejectingStore(ProfileStore):
    """Keeps what it has; takes nothing more."""

    def install(self, profile: Profile, *, active_transactions: Mapping[int, int]) -> str:
        """Never."""
        return "Rejected"


def behave(line: Line, manner: StationManner, late_ms: int) -> None:
    """A station is so from now on. HONEST ends lateness; a car that is deaf stays so until it leaves."""
    machine = machine_of(line)
    if manner == StationManner.STATION_MANNER_DEAF:
        for port in line.ports:
            port.car = None if port.car is None else DeafCar.of(port.car)
    elif manner == StationManner.STATION_MANNER_REJECTING:
        store = RejectingStore()
        store.__dict__.update(machine.profiles.__dict__)
        machine.profiles = store
    else:
        line.south_up.delay_ms = late_ms if manner == StationManner.STATION_MANNER_LATE else HONEST_DELAY_MS


def machine_of(line: Line) -> Station:
    """What is behind its tongue."""
    return line.station.inner if isinstance(line.station, Station2x) else line.station
