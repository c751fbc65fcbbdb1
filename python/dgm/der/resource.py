"""IEEE 2030.5 resources as the DER gateway uses them, already in DGM units and signs.

    XML ──codec──> these ──> discovery, scheduler, metering ──> these ──codec──> XML

Only what the gateway reads or sends is here; the codec ignores everything else. Seconds are UTC of the server's clock.
Powers are W, positive into the thing named; a limit is a magnitude. Absence is None. Links are hrefs, as served.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

LIMIT_MODES = ("opModImpLimW", "opModExpLimW", "opModGenLimW", "opModLoadLimW")
"""The four CSIP-AUS envelope limits: the modes that this gateway acts on, in schema order."""


class EventState(IntEnum):
    """EventStatus.currentStatus, the server's view of an event (S18 10.2.3)."""

    SCHEDULED = 0
    ACTIVE = 1
    CANCELLED = 2
    CANCELLED_RANDOMISED = 3
    SUPERSEDED = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlMode:
    """One mode of a DERControlBase; which fields are set follows from its name (`mode.MODES`). Flat, to be stored.

    A delivered power, var or permyriad is negative (the schemas write it positive); a limit is a magnitude.
    permyriad: hundredths of a percent; of what, says the mode, or `reference` (DERUnitRefType: 1 setMaxW, 2 setMaxVar,
    3 statVarAvail, 8 setMaxVA). power_factor_ppm: cos phi; is_underexcited: the DER absorbs vars. curve_href: where its
    DERCurve is. Droop (S18 FreqDroopType): deadbands in mHz away from nominal, droop in permille of frequency per unit
    of power, response in ms (0: no limit), droop_min_w (2023): lowest output.
    2023: is_disabled takes part in supersession like any other but asks for nothing, and may have no value;
    bidirectional (delta modes): may (0), shall (1), shall not (2) change direction.
    """

    name: str
    power_w: int | None = None
    permyriad: int | None = None
    on: bool | None = None
    reactive_var: int | None = None
    reference: int | None = None
    voltage_mv: int | None = None
    power_factor_ppm: int | None = None
    is_underexcited: bool | None = None
    curve_href: str | None = None
    droop_over_deadband_mhz: int | None = None
    droop_under_deadband_mhz: int | None = None
    droop_over_permille: int | None = None
    droop_under_permille: int | None = None
    droop_response_ms: int | None = None
    droop_min_w: int | None = None
    is_disabled: bool = False
    bidirectional: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlBase:
    """What a control asks for: modes in schema order, each at most once, and how fast (None: setGradW applies)."""

    modes: tuple[ControlMode, ...] = ()
    ramp_ms: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceCapability:
    """Entry of the link walk. poll_s None: 900 s by the standard."""

    href: str | None = None
    poll_s: int | None = None
    time_link: str | None = None
    end_device_list_link: str | None = None
    mirror_usage_point_list_link: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Time:
    """The server's clock in whole seconds UTC."""

    href: str | None = None
    poll_s: int | None = None
    current_s: int
    dst_end_s: int = 0
    dst_offset_s: int = 0
    dst_start_s: int = 0
    quality: int
    tz_offset_s: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class EndDevice:
    """One client as the server knows it; also the body of an in-band registration."""

    href: str | None = None
    der_list_link: str | None = None
    lfdi: str | None = None
    sfdi: int
    changed_s: int
    enabled: bool | None = None
    function_set_assignments_list_link: str | None = None
    post_rate_s: int | None = None
    registration_link: str | None = None
    connection_point_link: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EndDeviceList:
    """A page of EndDevices; `all` counts what the server has."""

    href: str | None = None
    all: int
    results: int
    poll_s: int | None = None
    items: tuple[EndDevice, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Registration:
    """The PIN that proves the server meant this device."""

    href: str | None = None
    poll_s: int | None = None
    registered_s: int
    pin: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FunctionSetAssignments:
    """A group that the device belongs to; its programs apply."""

    href: str | None = None
    der_program_list_link: str | None = None
    mrid: str
    description: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FunctionSetAssignmentsList:
    """A page of assignments."""

    href: str | None = None
    all: int
    results: int
    poll_s: int | None = None
    items: tuple[FunctionSetAssignments, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class DERProgram:
    """A source of controls; the lower primacy wins."""

    href: str | None = None
    mrid: str
    description: str | None = None
    default_der_control_link: str | None = None
    der_control_list_link: str | None = None
    primacy: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DERProgramList:
    """A page of programs; its poll rate also rules the controls below it, which have none of their own."""

    href: str | None = None
    all: int
    results: int
    poll_s: int | None = None
    items: tuple[DERProgram, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class EventStatus:
    """The server's view of an event."""

    current: EventState
    changed_s: int
    potentially_superseded: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """A DateTimeInterval: start in s UTC, duration in s."""

    duration_s: int
    start_s: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DERControl:
    """An event. response_required: bit 0 received, bit 1 started and ended. Randomisation in s, sign kept."""

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
    base: ControlBase
    device_category: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DERControlList:
    """A page of events."""

    href: str | None = None
    all: int
    results: int
    items: tuple[DERControl, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class DefaultDERControl:
    """What holds when no event sets a mode. set_grad_w_permyriad_s: hundredths of a percent of setMaxW per second."""

    href: str | None = None
    mrid: str
    description: str | None = None
    base: ControlBase
    set_grad_w_permyriad_s: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DERControlResponse:
    """What happened to an event, and when on the server's clock."""

    created_s: int | None = None
    lfdi: str
    status: int | None = None
    subject: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DER:
    """Where the plant's ratings, settings and status are put."""

    href: str | None = None
    capability_link: str | None = None
    settings_link: str | None = None
    status_link: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DERList:
    """A page of DERs; this gateway reports the plant as one."""

    href: str | None = None
    all: int
    results: int
    poll_s: int | None = None
    items: tuple[DER, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class DERCapability:
    """Nameplate. modes: bitmap by S18 DERControlType. doe_modes: bit 0 Exp, 1 Imp, 2 Gen, 3 Load (CSIP-AUS)."""

    modes: int
    max_charge_rate_w: int | None = None
    max_discharge_rate_w: int | None = None
    max_w: int
    type: int
    doe_modes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DERSettings:
    """Settings in force. set_grad_w_permyriad_s 0: no ramp limit."""

    modes: int | None = None
    set_grad_w_permyriad_s: int
    max_charge_rate_w: int | None = None
    max_discharge_rate_w: int | None = None
    max_w: int
    updated_s: int
    doe_modes: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StampedValue:
    """A status value and when it was taken, s UTC."""

    time_s: int
    value: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DERStatus:
    """gen_connect: bit 0 connected, 1 available, 2 operating, 3 test, 4 fault. operational_mode: 1 off, 2 operational.

    state_of_charge: hundredths of a percent.
    """

    gen_connect: StampedValue | None = None
    operational_mode: StampedValue | None = None
    reading_s: int
    state_of_charge: StampedValue | None = None
    stor_connect: StampedValue | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadingType:
    """What a mirrored number means."""

    commodity: int | None = None
    data_qualifier: int | None = None
    flow_direction: int | None = None
    interval_s: int | None = None
    kind: int | None = None
    phase: int | None = None
    power_of_ten: int | None = None
    uom: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """One value over one period, in the unit and multiplier of its ReadingType."""

    quality_flags: int | None = None
    period: Interval | None = None
    value: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MirrorMeterReading:
    """One mirrored quantity, with its newest reading or its type."""

    mrid: str
    description: str | None = None
    reading: Reading | None = None
    reading_type: ReadingType | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MirrorUsagePoint:
    """A group of mirrored quantities; the server answers with where to post and how often."""

    href: str | None = None
    mrid: str
    description: str | None = None
    role_flags: int
    service_category: int
    status: int
    device_lfdi: str
    readings: tuple[MirrorMeterReading, ...] = ()
    post_rate_s: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MirrorUsagePointList:
    """A page of the client's own mirrors."""

    href: str | None = None
    all: int
    results: int
    poll_s: int | None = None
    items: tuple[MirrorUsagePoint, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionPoint:
    """CSIP-AUS: the identifier of the grid connection, typically the NMI."""

    connection_point_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Error:
    """The server's reason for a refusal: 0 format, 1 values, 2 resources, 3 condition, 4 too frequent."""

    max_retry_s: int | None = None
    reason_code: int


ListResource = (
    EndDeviceList | FunctionSetAssignmentsList | DERProgramList | DERControlList | DERList | MirrorUsagePointList
)
Resource = (
    DeviceCapability
    | Time
    | Registration
    | EndDevice
    | FunctionSetAssignments
    | DERProgram
    | DERControl
    | DefaultDERControl
    | DERControlResponse
    | DER
    | DERCapability
    | DERSettings
    | DERStatus
    | MirrorUsagePoint
    | MirrorMeterReading
    | ConnectionPoint
    | Error
    | ListResource
)


@dataclass(frozen=True, slots=True, kw_only=True)
class AssignedProgram:
    """One program that applies to this device, with what was fetched below it.

    controls None: not fetched yet, what is known of its events stands. default_known False: likewise for its default.
    """

    mrid: str
    primacy: int
    controls: tuple[DERControl, ...] | None
    default: DefaultDERControl | None
    default_known: bool
