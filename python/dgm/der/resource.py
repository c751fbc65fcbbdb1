"""IEEE 2030.5 resources as the DER gateway uses them, already in DGM units and signs.

    XML ──codec──> these ──> discovery, scheduler, metering ──> these ──codec──> XML

Controls and their programs stand here, the other function sets in `resources`; all have their names here. Only what
the gateway reads or sends: the codec ignores everything else. Seconds are UTC of the server's clock. Powers are W,
positive into the thing named; a limit is a magnitude. Absence is None. Links are hrefs, as served.
"""

from __future__ import annotations

from dataclasses import dataclass

from dgm.der.resources.demand import (
    DemandResponseProgram as DemandResponseProgram,
)
from dgm.der.resources.demand import (
    DemandResponseProgramList as DemandResponseProgramList,
)
from dgm.der.resources.demand import (
    EndDeviceControl as EndDeviceControl,
)
from dgm.der.resources.demand import (
    EndDeviceControlList as EndDeviceControlList,
)
from dgm.der.resources.demand import (
    Offset as Offset,
)
from dgm.der.resources.demand import (
    SetPoint as SetPoint,
)
from dgm.der.resources.demand import (
    TargetReduction as TargetReduction,
)
from dgm.der.resources.device import (
    ConnectionPoint as ConnectionPoint,
)
from dgm.der.resources.device import (
    DeviceCapability as DeviceCapability,
)
from dgm.der.resources.device import (
    EndDevice as EndDevice,
)
from dgm.der.resources.device import (
    EndDeviceList as EndDeviceList,
)
from dgm.der.resources.device import (
    Error as Error,
)
from dgm.der.resources.device import (
    FunctionSetAssignments as FunctionSetAssignments,
)
from dgm.der.resources.device import (
    FunctionSetAssignmentsList as FunctionSetAssignmentsList,
)
from dgm.der.resources.device import (
    Registration as Registration,
)
from dgm.der.resources.device import (
    SelfDevice as SelfDevice,
)
from dgm.der.resources.device import (
    Time as Time,
)
from dgm.der.resources.event import (
    EventState as EventState,
)
from dgm.der.resources.event import (
    EventStatus as EventStatus,
)
from dgm.der.resources.event import (
    Interval as Interval,
)
from dgm.der.resources.event import (
    StampedText as StampedText,
)
from dgm.der.resources.event import (
    StampedValue as StampedValue,
)
from dgm.der.resources.flow import (
    FlowReservationRequest as FlowReservationRequest,
)
from dgm.der.resources.flow import (
    FlowReservationRequestList as FlowReservationRequestList,
)
from dgm.der.resources.flow import (
    FlowReservationResponse as FlowReservationResponse,
)
from dgm.der.resources.flow import (
    FlowReservationResponseList as FlowReservationResponseList,
)
from dgm.der.resources.flow import (
    RequestState as RequestState,
)
from dgm.der.resources.flow import (
    RequestStatus as RequestStatus,
)
from dgm.der.resources.log import (
    LogEvent as LogEvent,
)
from dgm.der.resources.log import (
    LogEventList as LogEventList,
)
from dgm.der.resources.messaging import (
    MessagingProgram as MessagingProgram,
)
from dgm.der.resources.messaging import (
    MessagingProgramList as MessagingProgramList,
)
from dgm.der.resources.messaging import (
    TextMessage as TextMessage,
)
from dgm.der.resources.messaging import (
    TextMessageList as TextMessageList,
)
from dgm.der.resources.metering import (
    MirrorMeterReading as MirrorMeterReading,
)
from dgm.der.resources.metering import (
    MirrorMeterReadingList as MirrorMeterReadingList,
)
from dgm.der.resources.metering import (
    MirrorReadingSet as MirrorReadingSet,
)
from dgm.der.resources.metering import (
    MirrorUsagePoint as MirrorUsagePoint,
)
from dgm.der.resources.metering import (
    MirrorUsagePointList as MirrorUsagePointList,
)
from dgm.der.resources.metering import (
    Reading as Reading,
)
from dgm.der.resources.metering import (
    ReadingType as ReadingType,
)
from dgm.der.resources.plant import (
    DER as DER,
)
from dgm.der.resources.plant import (
    DERAvailability as DERAvailability,
)
from dgm.der.resources.plant import (
    DERCapability as DERCapability,
)
from dgm.der.resources.plant import (
    DERList as DERList,
)
from dgm.der.resources.plant import (
    DERSettings as DERSettings,
)
from dgm.der.resources.plant import (
    DERStatus as DERStatus,
)
from dgm.der.resources.pricing import (
    ConsumptionTariffInterval as ConsumptionTariffInterval,
)
from dgm.der.resources.pricing import (
    ConsumptionTariffIntervalList as ConsumptionTariffIntervalList,
)
from dgm.der.resources.pricing import (
    EnvironmentalCost as EnvironmentalCost,
)
from dgm.der.resources.pricing import (
    RateComponent as RateComponent,
)
from dgm.der.resources.pricing import (
    RateComponentList as RateComponentList,
)
from dgm.der.resources.pricing import (
    TariffProfile as TariffProfile,
)
from dgm.der.resources.pricing import (
    TariffProfileList as TariffProfileList,
)
from dgm.der.resources.pricing import (
    TimeTariffInterval as TimeTariffInterval,
)
from dgm.der.resources.pricing import (
    TimeTariffIntervalList as TimeTariffIntervalList,
)
from dgm.der.resources.pricing import (
    UnitValue as UnitValue,
)
from dgm.der.resources.response import (
    DERControlResponse as DERControlResponse,
)
from dgm.der.resources.response import (
    DrResponse as DrResponse,
)
from dgm.der.resources.response import (
    FlowReservationResponseResponse as FlowReservationResponseResponse,
)
from dgm.der.resources.response import (
    PriceResponse as PriceResponse,
)
from dgm.der.resources.response import (
    Response as Response,
)
from dgm.der.resources.response import (
    TextResponse as TextResponse,
)
from dgm.der.resources.subscription import (
    Condition as Condition,
)
from dgm.der.resources.subscription import (
    Notification as Notification,
)
from dgm.der.resources.subscription import (
    NotificationState as NotificationState,
)
from dgm.der.resources.subscription import (
    Subscription as Subscription,
)
from dgm.der.resources.subscription import (
    SubscriptionList as SubscriptionList,
)

LIMIT_MODES = ("opModImpLimW", "opModExpLimW", "opModGenLimW", "opModLoadLimW")
"""The four CSIP-AUS envelope limits: the modes that this gateway acts on, in schema order."""


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
class DERProgram:
    """A source of controls; the lower primacy wins."""

    href: str | None = None
    subscribable: int | None = None
    mrid: str
    description: str | None = None
    active_der_control_list_link: str | None = None
    default_der_control_link: str | None = None
    der_control_list_link: str | None = None
    der_curve_list_link: str | None = None
    primacy: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DERProgramList:
    """A page of programs; its poll rate also rules the controls below it, which have none of their own."""

    href: str | None = None
    all: int
    results: int
    poll_s: int | None = None
    subscribable: int | None = None
    items: tuple[DERProgram, ...] = ()


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
    subscribable: int | None = None
    items: tuple[DERControl, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class DefaultDERControl:
    """What holds when no event sets a mode. Gradients in hundredths of a percent of setMaxW per second.

    reply_to, response_required, updated_s: 2023. es_: enter service; voltages in hundredths of a percent of the
    reference. A value that is present updates the same one of DERSettings.
    """

    href: str | None = None
    reply_to: str | None = None
    response_required: int | None = None
    subscribable: int | None = None
    mrid: str
    description: str | None = None
    base: ControlBase
    es_delay_ms: int | None = None
    es_high_mhz: int | None = None
    es_high_voltage_permyriad: int | None = None
    es_low_mhz: int | None = None
    es_low_voltage_permyriad: int | None = None
    es_ramp_ms: int | None = None
    es_random_delay_ms: int | None = None
    set_grad_w_permyriad_s: int | None = None
    set_soft_grad_w_permyriad_s: int | None = None
    updated_s: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CurvePoint:
    """x and y in units of the curve's multipliers; is_underexcited where y is a power factor."""

    is_underexcited: bool | None = None
    x: int
    y: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DERCurve:
    """A curve as served: x * 10^x_power_of_ten, y * 10^y_power_of_ten, in the DER's sign (delivered is positive).

    curve_type: 0 FreqWatt .. 14 WattVar, as in mode.CURVE_TYPES. y_reference: DERUnitRefType. Ramps in hundredths of a
    percent per second, 0: no limit. v_ref_permyriad: of nominal voltage.
    """

    href: str | None = None
    mrid: str
    description: str | None = None
    is_v_ref_autonomous: bool | None = None
    v_ref_time_constant_ms: int | None = None
    creation_s: int
    points: tuple[CurvePoint, ...]
    curve_type: int
    response_ms: int | None = None
    ramp_down_permyriad_s: int | None = None
    ramp_up_permyriad_s: int | None = None
    filter_ms: int | None = None
    v_ref_permyriad: int | None = None
    x_power_of_ten: int
    y_power_of_ten: int
    y_reference: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DERCurveList:
    """A page of curves."""

    href: str | None = None
    all: int
    results: int
    items: tuple[DERCurve, ...] = ()


ListResource = (
    ConsumptionTariffIntervalList
    | DERControlList
    | DERCurveList
    | DERList
    | DERProgramList
    | DemandResponseProgramList
    | EndDeviceControlList
    | EndDeviceList
    | FlowReservationRequestList
    | FlowReservationResponseList
    | FunctionSetAssignmentsList
    | LogEventList
    | MessagingProgramList
    | MirrorMeterReadingList
    | MirrorUsagePointList
    | RateComponentList
    | SubscriptionList
    | TariffProfileList
    | TextMessageList
    | TimeTariffIntervalList
)
Resource = (
    ConnectionPoint
    | ConsumptionTariffInterval
    | DER
    | DERAvailability
    | DERCapability
    | DERControl
    | DERControlResponse
    | DERCurve
    | DERProgram
    | DERSettings
    | DERStatus
    | DefaultDERControl
    | DemandResponseProgram
    | DeviceCapability
    | DrResponse
    | EndDevice
    | EndDeviceControl
    | Error
    | FlowReservationRequest
    | FlowReservationResponse
    | FlowReservationResponseResponse
    | FunctionSetAssignments
    | LogEvent
    | MessagingProgram
    | MirrorMeterReading
    | MirrorUsagePoint
    | Notification
    | PriceResponse
    | RateComponent
    | ReadingType
    | Registration
    | Response
    | SelfDevice
    | Subscription
    | TariffProfile
    | TextMessage
    | TextResponse
    | Time
    | TimeTariffInterval
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
