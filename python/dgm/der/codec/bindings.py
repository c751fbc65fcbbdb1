"""Which dataclass holds which type of the schema, and which of its elements DGM reads and sends under which name.

    bind("DERSettings", r.DERSettings, "max_w=setMaxW ...")        field=Element, field=@attribute

Order, occurrence and range are the schema's (`schema`). An element that no binding names is neither read nor sent.
"""

from __future__ import annotations

from dgm.der import resource as r
from dgm.der.codec.content import (
    ABSORBED,
    TENTHS,
    Meaning,
    content_of,
    enumerated,
    tags_of,
)
from dgm.der.codec.content import (
    SHAPES as SHAPES,
)
from dgm.der.codec.control_base import CONTROL_BASE
from dgm.der.codec.leaf import leaf
from dgm.der.codec.notified import NOTIFIED
from dgm.der.codec.schema import TYPES, Row
from dgm.der.codec.shape import Attribute, Item, Shape

AUS_PREFIX = "csipaus:"
ONLY_18 = {("DERStatus", "genConnectStatus"), ("DERStatus", "storConnectStatus")}
"""In the schema of 2023, but SHALL NOT be sent there."""
SPECIAL = {"DERControlBase": CONTROL_BASE, "Resource": NOTIFIED}
"""Types whose content is not a list of fields."""


def bind(type_name: str, cls: type, fields: str, **meanings: Meaning) -> None:
    """Make the shape of a type. KeyError for an element that the schema does not have."""
    pairs = {name: attr for attr, name in (pair.split("=") for pair in fields.split())}
    shape = Shape(cls, type_name)
    rows = {("@" if row.is_attribute else "") + row.name: row for row in TYPES[type_name]}
    if not pairs.keys() <= rows.keys():
        raise KeyError(f"{type_name}: {sorted(pairs.keys() - rows.keys())} is not in the schema")
    items = []
    for name, row in rows.items():
        if name not in pairs:
            continue
        if row.is_attribute:
            shape.by_name[row.name] = Attribute(pairs[name], row, leaf(row.kind))
        else:
            items.append(_item(type_name, row, pairs[name], meanings.get(pairs[name])))
    shape.items = tuple(items)
    shape.many = tuple(item.attr for item in items if item.row.is_many)
    shape.by_tag = {tag: item for item in items for tag in tags_of(item.row)}
    SHAPES[type_name] = shape


def _item(type_name: str, row: Row, attr: str, meaning: Meaning | None) -> Item:
    if (type_name, row.name) in ONLY_18:
        row = Row(row.name, row.is_attribute, row.is_required, row.is_many, row.kind, "18")
    content = SPECIAL.get(row.kind) or content_of(row, meaning)
    return Item(attr, f"{AUS_PREFIX}{row.name}" if row.is_aus else row.name, row, content)


PAGE = "href=@href all=@all results=@results"
POLLED = f"{PAGE} poll_s=@pollRate"
SUBSCRIBABLE = f"{PAGE} subscribable=@subscribable"
WATCHED = f"{POLLED} subscribable=@subscribable"
NAMED = "href=@href mrid=mRID description=description"
REPLYING = f"{NAMED} reply_to=@replyTo response_required=@responseRequired"
EVENT = f"{REPLYING} creation_s=creationTime status=EventStatus interval=interval"
RANDOM = f"{EVENT} randomize_duration_s=randomizeDuration randomize_start_s=randomizeStart"
RESPONSE = "created_s=createdDateTime lfdi=endDeviceLFDI status=status subject=subject"
GROUPS = (
    "demand_response_program_list_link=DemandResponseProgramListLink der_program_list_link=DERProgramListLink"
    " messaging_program_list_link=MessagingProgramListLink response_set_list_link=ResponseSetListLink"
    " tariff_profile_list_link=TariffProfileListLink time_link=TimeLink"
)
ENTER_SERVICE = (
    "es_delay_ms=setESDelay es_high_mhz=setESHighFreq es_high_voltage_permyriad=setESHighVolt es_low_mhz=setESLowFreq"
    " es_low_voltage_permyriad=setESLowVolt es_ramp_ms=setESRampTms es_random_delay_ms=setESRandomDelay"
    " set_grad_w_permyriad_s=setGradW set_soft_grad_w_permyriad_s=setSoftGradW"
)
ENTER_SERVICE_MEANINGS = dict.fromkeys(
    ("es_delay_ms", "es_high_mhz", "es_low_mhz", "es_ramp_ms", "es_random_delay_ms"), TENTHS
)
RATINGS = (
    "max_ma={}MaxA max_mah={}MaxAh max_charge_rate_va={}MaxChargeRateVA max_charge_rate_w={}MaxChargeRateW"
    " max_discharge_rate_va={}MaxDischargeRateVA max_discharge_rate_w={}MaxDischargeRateW max_mv={}MaxV max_va={}MaxVA"
    " max_var={}MaxVar max_absorbed_var={}MaxVarNeg max_w={}MaxW max_wh={}MaxWh min_mv={}MinV nominal_mv={}VNom"
    " min_pf_overexcited_ppm={}MinPFOverExcited min_pf_underexcited_ppm={}MinPFUnderExcited"
)


def _lists(**items: str) -> None:
    """Lists of a type, each with the attributes that the schema gives it."""
    for type_name, attributes in items.items():
        bind(f"{type_name}List", getattr(r, f"{type_name}List"), f"{attributes} items={type_name}")


def _bind_device() -> None:
    bind(
        "DeviceCapability",
        r.DeviceCapability,
        f"href=@href poll_s=@pollRate {GROUPS} usage_point_list_link=UsagePointListLink"
        " end_device_list_link=EndDeviceListLink mirror_usage_point_list_link=MirrorUsagePointListLink"
        " self_device_link=SelfDeviceLink",
    )
    bind(
        "Time",
        r.Time,
        "href=@href poll_s=@pollRate current_s=currentTime dst_end_s=dstEndTime dst_offset_s=dstOffset"
        " dst_start_s=dstStartTime quality=quality tz_offset_s=tzOffset",
    )
    bind(
        "EndDevice",
        r.EndDevice,
        "href=@href subscribable=@subscribable configuration_link=ConfigurationLink der_list_link=DERListLink"
        " device_category=deviceCategory device_information_link=DeviceInformationLink"
        " device_status_link=DeviceStatusLink lfdi=lFDI log_event_list_link=LogEventListLink"
        " power_status_link=PowerStatusLink sfdi=sFDI changed_s=changedTime enabled=enabled"
        " flow_reservation_request_list_link=FlowReservationRequestListLink"
        " flow_reservation_response_list_link=FlowReservationResponseListLink"
        " function_set_assignments_list_link=FunctionSetAssignmentsListLink post_rate_s=postRate"
        " registration_link=RegistrationLink subscription_list_link=SubscriptionListLink"
        " connection_point_link=ConnectionPointLink",
    )
    bind(
        "SelfDevice",
        r.SelfDevice,
        "href=@href poll_s=@pollRate der_list_link=DERListLink device_category=deviceCategory"
        " device_information_link=DeviceInformationLink lfdi=lFDI log_event_list_link=LogEventListLink sfdi=sFDI",
    )
    bind("Registration", r.Registration, "href=@href poll_s=@pollRate registered_s=dateTimeRegistered pin=pIN")
    bind("FunctionSetAssignments", r.FunctionSetAssignments, f"{NAMED} subscribable=@subscribable {GROUPS}")
    bind("ConnectionPointType", r.ConnectionPoint, "connection_point_id=connectionPointId")
    bind("Error", r.Error, "max_retry_s=maxRetryDuration reason_code=reasonCode")
    _lists(EndDevice=WATCHED, FunctionSetAssignments=WATCHED)


def _bind_control() -> None:
    bind(
        "EventStatus",
        r.EventStatus,
        "current=currentStatus changed_s=dateTime potentially_superseded=potentiallySuperseded reason=reason",
        current=enumerated(r.EventState),
    )
    bind("DateTimeInterval", r.Interval, "duration_s=duration start_s=start")
    bind(
        "DERProgram",
        r.DERProgram,
        f"{NAMED} subscribable=@subscribable active_der_control_list_link=ActiveDERControlListLink"
        " default_der_control_link=DefaultDERControlLink der_control_list_link=DERControlListLink"
        " der_curve_list_link=DERCurveListLink primacy=primacy",
    )
    bind("DERControl", r.DERControl, f"{RANDOM} base=DERControlBase device_category=deviceCategory")
    bind(
        "DefaultDERControl",
        r.DefaultDERControl,
        f"{REPLYING} subscribable=@subscribable base=DERControlBase {ENTER_SERVICE} updated_s=updatedTime",
        **ENTER_SERVICE_MEANINGS,
    )
    bind("CurveData", r.CurvePoint, "is_underexcited=excitation x=xvalue y=yvalue")
    bind(
        "DERCurve",
        r.DERCurve,
        f"{NAMED} is_v_ref_autonomous=autonomousVRefEnable v_ref_time_constant_ms=autonomousVRefTimeConstant"
        " creation_s=creationTime points=CurveData curve_type=curveType response_ms=openLoopTms"
        " ramp_down_permyriad_s=rampDecTms ramp_up_permyriad_s=rampIncTms filter_ms=rampPT1Tms v_ref_permyriad=vRef"
        " x_power_of_ten=xMultiplier y_power_of_ten=yMultiplier y_reference=yRefType",
        **dict.fromkeys(("v_ref_time_constant_ms", "response_ms", "filter_ms"), TENTHS),
    )
    _lists(DERProgram=WATCHED, DERControl=SUBSCRIBABLE, DERCurve=PAGE)


def _bind_plant() -> None:
    bind(
        "DER",
        r.DER,
        "href=@href current_program_link=CurrentDERProgramLink availability_link=DERAvailabilityLink"
        " capability_link=DERCapabilityLink settings_link=DERSettingsLink status_link=DERStatusLink",
    )
    bind(
        "DERCapability",
        r.DERCapability,
        f"modes=modesSupported modes_2=modesSupported2 {RATINGS.replace('{}', 'rtg')} type=type"
        " abnormal_category=rtgAbnormalCategory normal_category=rtgNormalCategory overexcited_pf_ppm=rtgOverExcitedPF"
        " overexcited_w=rtgOverExcitedW underexcited_pf_ppm=rtgUnderExcitedPF underexcited_w=rtgUnderExcitedW"
        " doe_modes=doeModesSupported vpp_modes=vppModesSupported",
        max_absorbed_var=ABSORBED,
    )
    bind(
        "DERSettings",
        r.DERSettings,
        f"modes=modesEnabled modes_2=modesEnabled2 {ENTER_SERVICE} {RATINGS.replace('{}', 'set')}"
        " reference_mv=setVRef reference_offset_mv=setVRefOfs updated_s=updatedTime doe_modes=doeModesEnabled"
        " vpp_modes=vppModesEnabled min_wh=setMinWh",
        max_absorbed_var=ABSORBED,
        **ENTER_SERVICE_MEANINGS,
    )
    bind(
        "DERStatus",
        r.DERStatus,
        "alarms=alarmStatus connect=connectStatus gen_connect=genConnectStatus inverter=inverterStatus"
        " local_control_mode=localControlModeStatus manufacturer=manufacturerStatus"
        " operational_mode=operationalModeStatus reading_s=readingTime state_of_charge=stateOfChargeStatus"
        " storage_mode=storageModeStatus stor_connect=storConnectStatus",
    )
    for name in ("Connect", "Inverter", "LocalControlMode", "OperationalMode", "StateOfCharge", "StorageMode"):
        bind(f"{name}StatusType", r.StampedValue, "time_s=dateTime value=value")
    bind("ConnectStatusType2", r.StampedValue, "time_s=dateTime value=value")
    bind("ManufacturerStatusType", r.StampedText, "time_s=dateTime value=value")
    bind(
        "DERAvailability",
        r.DERAvailability,
        "availability_s=availabilityDuration max_charge_s=maxChargeDuration reading_s=readingTime"
        " reserve_charge_permyriad=reserveChargePercent reserve_permyriad=reservePercent"
        " absorb_available_var=statVarAbsorbAvail available_var=statVarAvail absorb_available_w=statWAbsorbAvail"
        " available_w=statWAvail",
    )
    bind(
        "LogEvent",
        r.LogEvent,
        "href=@href created_s=createdDateTime details=details extended=extendedData function_set=functionSet"
        " code=logEventCode id=logEventID pen=logEventPEN profile=profileID",
    )
    _lists(DER=POLLED, LogEvent=WATCHED)


def _bind_metering() -> None:
    bind(
        "Reading",
        r.Reading,
        "consumption_block=consumptionBlock quality_flags=qualityFlags period=timePeriod tou_tier=touTier value=value"
        " local_id=localID",
    )
    bind(
        "ReadingType",
        r.ReadingType,
        "accumulation=accumulationBehaviour commodity=commodity data_qualifier=dataQualifier"
        " flow_direction=flowDirection interval_s=intervalLength kind=kind phase=phase"
        " power_of_ten=powerOfTenMultiplier uom=uom",
    )
    bind("MirrorReadingSet", r.MirrorReadingSet, "mrid=mRID description=description period=timePeriod readings=Reading")
    bind(
        "MirrorMeterReading",
        r.MirrorMeterReading,
        "mrid=mRID description=description last_update_s=lastUpdateTime sets=MirrorReadingSet"
        " next_update_s=nextUpdateTime reading=Reading reading_type=ReadingType",
    )
    bind(
        "MirrorUsagePoint",
        r.MirrorUsagePoint,
        f"{NAMED} role_flags=roleFlags service_category=serviceCategoryKind status=status device_lfdi=deviceLFDI"
        " readings=MirrorMeterReading post_rate_s=postRate",
    )
    _lists(MirrorUsagePoint=POLLED, MirrorMeterReading=PAGE)


def _bind_response() -> None:
    for name in ("Response", "TextResponse", "PriceResponse", "FlowReservationResponseResponse"):
        bind(name, getattr(r, name), RESPONSE)
    bind("DERControlResponse", r.DERControlResponse, f"{RESPONSE} modes=modesResponded modes_2=modesResponded2")
    bind("AppliedTargetReduction", r.TargetReduction, "unit=type value=value")
    bind(
        "DrResponse",
        r.DrResponse,
        f"{RESPONSE} load_reduction=ApplianceLoadReduction applied=AppliedTargetReduction duty_cycle_percent=DutyCycle"
        " offset=Offset override_s=overrideDuration set_point=SetPoint",
    )


def _bind_subscription() -> None:
    bind("Condition", r.Condition, "attribute=attributeIdentifier lower=lowerThreshold upper=upperThreshold")
    bind(
        "Subscription",
        r.Subscription,
        "href=@href subscribed=subscribedResource condition=Condition encoding=encoding level=level limit=limit"
        " notification_uri=notificationURI",
    )
    bind(
        "Notification",
        r.Notification,
        "href=@href subscribed=subscribedResource created_s=createdDateTime new_uri=newResourceURI resource=Resource"
        " status=status subscription_uri=subscriptionURI",
        status=enumerated(r.NotificationState),
    )
    _lists(Subscription=POLLED)


def _bind_demand() -> None:
    bind("TargetReduction", r.TargetReduction, "unit=type value=value")
    bind(
        "Offset",
        r.Offset,
        "cooling_decikelvin=coolingOffset heating_decikelvin=heatingOffset"
        " load_adjustment_permyriad=loadAdjustmentPercentageOffset",
    )
    bind("SetPoint", r.SetPoint, "cooling_centicelsius=coolingSetpoint heating_centicelsius=heatingSetpoint")
    bind(
        "DemandResponseProgram",
        r.DemandResponseProgram,
        f"{NAMED} active_end_device_control_list_link=ActiveEndDeviceControlListLink"
        " update_percent_threshold_permyriad=availabilityUpdatePercentChangeThreshold"
        " update_power_threshold_w=availabilityUpdatePowerChangeThreshold"
        " end_device_control_list_link=EndDeviceControlListLink primacy=primacy",
    )
    bind(
        "EndDeviceControl",
        r.EndDeviceControl,
        f"{RANDOM} load_reduction=ApplianceLoadReduction device_category=deviceCategory is_mandatory=drProgramMandatory"
        " duty_cycle_percent=DutyCycle shifts_forward=loadShiftForward offset=Offset override_s=overrideDuration"
        " set_point=SetPoint target_reduction=TargetReduction",
    )
    _lists(DemandResponseProgram=WATCHED, EndDeviceControl=SUBSCRIBABLE)


def _bind_flow() -> None:
    bind("RequestStatus", r.RequestStatus, "changed_s=dateTime state=requestStatus", state=enumerated(r.RequestState))
    bind(
        "FlowReservationRequest",
        r.FlowReservationRequest,
        f"{NAMED} creation_s=creationTime duration_s=durationRequested energy_wh=energyRequested"
        " window=intervalRequested power_w=powerRequested status=RequestStatus",
    )
    bind(
        "FlowReservationResponse",
        r.FlowReservationResponse,
        f"{EVENT} energy_wh=energyAvailable power_w=powerAvailable subject=subject",
    )
    _lists(FlowReservationRequest=POLLED, FlowReservationResponse=WATCHED)


def _bind_pricing() -> None:
    bind(
        "TariffProfile",
        r.TariffProfile,
        f"{NAMED} currency=currency price_power_of_ten=pricePowerOfTenMultiplier primacy=primacy rate_code=rateCode"
        " rate_component_list_link=RateComponentListLink service_category=serviceCategoryKind"
        " combined_interval_list_link=CombinedTimeTariffIntervalListLink",
    )
    bind("UnitValueType", r.UnitValue, "power_of_ten=multiplier unit=unit value=value")
    bind(
        "RateComponent",
        r.RateComponent,
        f"{NAMED} active_interval_list_link=ActiveTimeTariffIntervalListLink flow_rate_end=flowRateEndLimit"
        " flow_rate_start=flowRateStartLimit reading_type_link=ReadingTypeLink role_flags=roleFlags"
        " interval_list_link=TimeTariffIntervalListLink",
    )
    bind(
        "TimeTariffInterval",
        r.TimeTariffInterval,
        f"{RANDOM} prices_link=ConsumptionTariffIntervalListLink tou_tier=touTier"
        " summary=ConsumptionTariffIntervalListSummary rate_component_link=RateComponentLink",
    )
    bind("EnvironmentalCost", r.EnvironmentalCost, "amount=amount kind=costKind level=costLevel levels=numCostLevels")
    bind(
        "ConsumptionTariffInterval",
        r.ConsumptionTariffInterval,
        "href=@href block=consumptionBlock environmental_costs=EnvironmentalCost price=price start_value=startValue",
    )
    _lists(TariffProfile=WATCHED, RateComponent=PAGE, TimeTariffInterval=WATCHED, ConsumptionTariffInterval=PAGE)


def _bind_messaging() -> None:
    bind(
        "MessagingProgram",
        r.MessagingProgram,
        f"{NAMED} active_text_message_list_link=ActiveTextMessageListLink locale=locale primacy=primacy"
        " text_message_list_link=TextMessageListLink",
    )
    bind("TextMessage", r.TextMessage, f"{EVENT} originator=originator priority=priority text=textMessage")
    _lists(MessagingProgram=WATCHED, TextMessage=SUBSCRIBABLE)


for _bind_all in (
    _bind_device,
    _bind_control,
    _bind_plant,
    _bind_metering,
    _bind_response,
    _bind_subscription,
    _bind_demand,
    _bind_flow,
    _bind_pricing,
    _bind_messaging,
):
    _bind_all()
