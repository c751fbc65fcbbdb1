"""Demand response and load control, DRLC (S18 10.3): programs and the EndDeviceControls that they issue."""

from __future__ import annotations

from dataclasses import dataclass

from dgm.der.resources.event import EventStatus, Interval


@dataclass(frozen=True, slots=True, kw_only=True)
class DemandResponseProgram:
    """A source of EndDeviceControls; the lower primacy wins. Thresholds: when LoadShedAvailability is to be updated."""

    href: str | None = None
    mrid: str
    description: str | None = None
    active_end_device_control_list_link: str | None = None
    update_percent_threshold_permyriad: int | None = None
    update_power_threshold_w: int | None = None
    end_device_control_list_link: str | None = None
    primacy: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DemandResponseProgramList:
    """A page of demand response programs."""

    href: str | None = None
    all: int
    results: int
    poll_s: int | None = None
    subscribable: int | None = None
    items: tuple[DemandResponseProgram, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Offset:
    """Setpoint offsets, a magnitude each: heating and cooling in 1/10 K, load adjustment in hundredths of a percent."""

    cooling_decikelvin: int | None = None
    heating_decikelvin: int | None = None
    load_adjustment_permyriad: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SetPoint:
    """Temperature setpoints in 1/100 degree Celsius."""

    cooling_centicelsius: int | None = None
    heating_centicelsius: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetReduction:
    """A reduction to reach or, in a response, applied. unit (UnitType): 0 kWh, 1 kW, 2 W and others."""

    unit: int
    value: int


@dataclass(frozen=True, slots=True, kw_only=True)
class EndDeviceControl:
    """An event for a load. duty_cycle_percent: share of time on. load_reduction: ENERGY STAR type.

    is_mandatory: the program allows no opt-out. shifts_forward: load may move to after the event. override_s: how long
    the user may override.
    """

    href: str | None = None
    reply_to: str | None = None
    response_required: int | None = None
    mrid: str
    description: str | None = None
    creation_s: int
    status: EventStatus
    interval: Interval
    randomize_duration_s: int | None = None
    randomize_start_s: int | None = None
    load_reduction: int | None = None
    device_category: int
    is_mandatory: bool
    duty_cycle_percent: int | None = None
    shifts_forward: bool
    offset: Offset | None = None
    override_s: int | None = None
    set_point: SetPoint | None = None
    target_reduction: TargetReduction | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EndDeviceControlList:
    """A page of EndDeviceControls."""

    href: str | None = None
    all: int
    results: int
    subscribable: int | None = None
    items: tuple[EndDeviceControl, ...] = ()
