"""XML <-> resources of IEEE 2030.5-2018 with CSIP-AUS v1.2, units and signs converted to DGM's.

    bytes ──xml.parse──> Element ──shape tables──> frozen dataclass          decode()
    frozen dataclass ──the same tables, in schema order──> Element ──> bytes encode()

One table per type lists its fields in the order of the schema (base type first, then its own, CSIP-AUS last), so output
is in order by construction. On input order does not matter, unknown elements are ignored and namespaces are compared by
URI. PerCent stays in hundredths of a percent; a DER power (positive when delivered) changes sign here and nowhere else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Any, assert_never, cast
from xml.etree.ElementTree import Element, SubElement

from dgm.der import resource as r
from dgm.der.xml import (
    AUS_NS,
    BOOL,
    HREF,
    MAX_MULTIPLIER,
    SEP_NS,
    Text,
    hex_bitmap,
    hex_string,
    integer,
    parse,
    scaled_down,
    serialise,
    string,
    to_int16,
)
from dgm.errors import PeerError

U8, U16, U32 = integer(0, 2**8 - 1), integer(0, 2**16 - 1), integer(0, 2**32 - 1)
INT16, INT48 = integer(-(2**15), 2**15 - 1), integer(-(2**47), 2**47 - 1)
# A time far outside this century could only overflow what is computed from it.
TIME = integer(-(2**40), 2**40)
OFFSET = integer(-(2**31), 2**31 - 1)
SFDI = integer(0, 999_999_999_999)
MULTIPLIER = integer(-MAX_MULTIPLIER, MAX_MULTIPLIER)
HOUR_RANGE = integer(-3600, 3600)
MRID, LFDI = hex_string(32), hex_string(40)
RAMP = Text(lambda text: U16.read(text) * 10, lambda ms: str(min(ms // 10, 2**16 - 1)))
EVENT_STATE = Text(lambda text: r.EventState(integer(0, 4).read(text)), lambda state: str(int(state)))

Read = Callable[[Element], Any]
Write = Callable[[Element, str, Any], None]


@dataclass(frozen=True, slots=True)
class Field:
    """One child element of a type: dataclass attribute, element in Clark notation, how it is read and written."""

    attr: str
    tag: str
    read: Read
    write: Write
    many: bool = False


@dataclass(frozen=True, slots=True)
class Attribute:
    """One XML attribute of a type."""

    attr: str
    name: str
    text: Text


@dataclass(frozen=True, slots=True)
class Shape:
    """A type: its dataclass, its XML attributes, and its child elements in schema order."""

    cls: type
    fields: tuple[Field, ...]
    attributes: tuple[Attribute, ...] = ()


def _sep(name: str) -> str:
    return f"{{{SEP_NS}}}{name}"


def _aus(name: str) -> str:
    return f"{{{AUS_NS}}}{name}"


def _leaf(attr: str, tag: str, text: Text) -> Field:
    def write(parent: Element, name: str, value: Any) -> None:
        SubElement(parent, name).text = text.write(value)

    return Field(attr, tag if tag.startswith("{") else _sep(tag), lambda e: text.read(e.text or ""), write)


def _link(attr: str, tag: str) -> Field:
    def write(parent: Element, name: str, value: Any) -> None:
        SubElement(parent, name, {"href": HREF.write(value)})

    return Field(attr, tag if tag.startswith("{") else _sep(tag), _read_href, write)


def _read_href(element: Element) -> str:
    href = element.get("href")
    if not href:
        raise PeerError("link without href")
    return str(HREF.read(href))


def _nested(attr: str, tag: str, shape: Shape, *, many: bool = False) -> Field:
    def write(parent: Element, name: str, value: Any) -> None:
        _fill(SubElement(parent, name), shape, value)

    return Field(attr, _sep(tag), lambda e: _build(e, shape), write, many)


def _power(attr: str, tag: str) -> Field:
    return Field(attr, _sep(tag), _read_power, _write_power)


def _read_power(element: Element) -> int:
    multiplier, value = element.find(_sep("multiplier")), element.find(_sep("value"))
    if multiplier is None or value is None:
        raise PeerError("power without multiplier or value")
    return scaled_down(INT16.read(value.text or ""), MULTIPLIER.read(multiplier.text or ""))


def _write_power(parent: Element, name: str, watts: int) -> None:
    power = SubElement(parent, name)
    multiplier, value = to_int16(watts)
    SubElement(power, _sep("multiplier")).text = str(multiplier)
    SubElement(power, _sep("value")).text = str(value)


def _build(element: Element, shape: Shape) -> Any:
    values: dict[str, Any] = {}
    for attribute in shape.attributes:
        text = element.get(attribute.name)
        if text is not None:
            values[attribute.attr] = attribute.text.read(text)
    for field in shape.fields:
        found = element.findall(field.tag)
        if field.many:
            values[field.attr] = tuple(field.read(child) for child in found)
        elif found:
            values[field.attr] = field.read(found[0])
    try:
        return shape.cls(**values)
    except TypeError as error:
        raise PeerError(f"{element.tag}: a mandatory element or attribute is missing ({error})") from error


def _fill(element: Element, shape: Shape, value: Any) -> None:
    for attribute in shape.attributes:
        content = getattr(value, attribute.attr)
        if content is not None:
            element.set(attribute.name, attribute.text.write(content))
    for field in shape.fields:
        content = getattr(value, field.attr)
        for item in content if field.many else (() if content is None else (content,)):
            field.write(element, field.tag, item)


# Modes of a DERControlBase, in schema order: name -> how its value is given. CSIP-AUS ones come after rampTms.
class _Kind(Enum):
    OPAQUE = "a type that is carried but not read"
    SWITCH = "boolean"
    PERMYRIAD = "PerCent"
    DELIVERED_PERMYRIAD = "SignedPerCent, positive out of the DER"
    LIMIT = "ActivePower, a magnitude"
    DELIVERED = "ActivePower, positive out of the DER"


_SEP_MODES = {
    "opModConnect": _Kind.SWITCH,
    "opModEnergize": _Kind.SWITCH,
    "opModFixedPFAbsorbW": _Kind.OPAQUE,
    "opModFixedPFInjectW": _Kind.OPAQUE,
    "opModFixedVar": _Kind.OPAQUE,
    "opModFixedW": _Kind.DELIVERED_PERMYRIAD,
    "opModFreqDroop": _Kind.OPAQUE,
    "opModFreqWatt": _Kind.OPAQUE,
    "opModHFRTMayTrip": _Kind.OPAQUE,
    "opModHFRTMustTrip": _Kind.OPAQUE,
    "opModHVRTMayTrip": _Kind.OPAQUE,
    "opModHVRTMomentaryCessation": _Kind.OPAQUE,
    "opModHVRTMustTrip": _Kind.OPAQUE,
    "opModLFRTMayTrip": _Kind.OPAQUE,
    "opModLFRTMustTrip": _Kind.OPAQUE,
    "opModLVRTMayTrip": _Kind.OPAQUE,
    "opModLVRTMomentaryCessation": _Kind.OPAQUE,
    "opModLVRTMustTrip": _Kind.OPAQUE,
    "opModMaxLimW": _Kind.PERMYRIAD,
    "opModTargetVar": _Kind.OPAQUE,
    "opModTargetW": _Kind.DELIVERED,
    "opModVoltVar": _Kind.OPAQUE,
    "opModVoltWatt": _Kind.OPAQUE,
    "opModWattPF": _Kind.OPAQUE,
    "opModWattVar": _Kind.OPAQUE,
}
_AUS_MODES = {**dict.fromkeys(r.LIMIT_MODES, _Kind.LIMIT), "opModStorageTargetW": _Kind.DELIVERED}
_RAMP_TAG = _sep("rampTms")


def _mode_tags() -> Iterator[tuple[str, str, _Kind]]:
    yield from ((name, _sep(name), kind) for name, kind in _SEP_MODES.items())
    yield from ((name, _aus(name), kind) for name, kind in _AUS_MODES.items())


def _read_mode(name: str, kind: _Kind, element: Element) -> r.ControlMode:
    text = element.text or ""
    match kind:
        case _Kind.SWITCH:
            return r.ControlMode(name=name, on=BOOL.read(text))
        case _Kind.PERMYRIAD:
            return r.ControlMode(name=name, permyriad=U16.read(text))
        case _Kind.DELIVERED_PERMYRIAD:
            return r.ControlMode(name=name, permyriad=-INT16.read(text))
        case _Kind.LIMIT:
            return r.ControlMode(name=name, power_w=_read_power(element))
        case _Kind.DELIVERED:
            return r.ControlMode(name=name, power_w=-_read_power(element))
        case _Kind.OPAQUE:
            return r.ControlMode(name=name)
        case _:
            assert_never(kind)


def _read_base(element: Element) -> r.ControlBase:
    found = ((name, kind, element.find(tag)) for name, tag, kind in _mode_tags())
    modes = tuple(_read_mode(name, kind, child) for name, kind, child in found if child is not None)
    ramp = element.find(_RAMP_TAG)
    return r.ControlBase(modes=modes, ramp_ms=None if ramp is None else RAMP.read(ramp.text or ""))


def _write_base(parent: Element, name: str, base: r.ControlBase) -> None:
    element = SubElement(parent, name)
    modes = {mode.name: mode for mode in base.modes}
    for mode_name, tag, kind in _mode_tags():
        if tag == _aus(r.LIMIT_MODES[0]) and base.ramp_ms is not None:
            SubElement(element, _RAMP_TAG).text = RAMP.write(base.ramp_ms)
        if mode_name in modes:
            _write_mode(element, tag, kind, modes[mode_name])


def _write_mode(parent: Element, tag: str, kind: _Kind, mode: r.ControlMode) -> None:
    sign = -1 if kind in (_Kind.DELIVERED, _Kind.DELIVERED_PERMYRIAD) else 1
    if mode.power_w is not None:
        _write_power(parent, tag, sign * mode.power_w)
    elif mode.permyriad is not None:
        SubElement(parent, tag).text = str(sign * mode.permyriad)
    elif mode.on is not None:
        SubElement(parent, tag).text = BOOL.write(mode.on)
    else:
        SubElement(parent, tag)


_HREF = Attribute("href", "href", HREF)
_POLL = Attribute("poll_s", "pollRate", U32)
_PAGE = (_HREF, Attribute("all", "all", U32), Attribute("results", "results", U32))
_MRID = _leaf("mrid", "mRID", MRID)
_DESCRIPTION = _leaf("description", "description", string(32))
_BASE = Field("base", _sep("DERControlBase"), _read_base, _write_base)


def _page(cls: type, tag: str, shape: Shape, *, poll: bool = True) -> Shape:
    return Shape(cls, (_nested("items", tag, shape, many=True),), (*_PAGE, _POLL) if poll else _PAGE)


_INTERVAL = Shape(r.Interval, (_leaf("duration_s", "duration", U32), _leaf("start_s", "start", TIME)))
_EVENT_STATUS = Shape(
    r.EventStatus,
    (
        _leaf("current", "currentStatus", EVENT_STATE),
        _leaf("changed_s", "dateTime", TIME),
        _leaf("potentially_superseded", "potentiallySuperseded", BOOL),
    ),
)
_END_DEVICE = Shape(
    r.EndDevice,
    (
        _link("der_list_link", "DERListLink"),
        _leaf("lfdi", "lFDI", LFDI),
        _leaf("sfdi", "sFDI", SFDI),
        _leaf("changed_s", "changedTime", TIME),
        _leaf("enabled", "enabled", BOOL),
        _link("function_set_assignments_list_link", "FunctionSetAssignmentsListLink"),
        _leaf("post_rate_s", "postRate", U32),
        _link("registration_link", "RegistrationLink"),
        _link("connection_point_link", _aus("ConnectionPointLink")),
    ),
    (_HREF,),
)
_ASSIGNMENTS = Shape(
    r.FunctionSetAssignments, (_link("der_program_list_link", "DERProgramListLink"), _MRID, _DESCRIPTION), (_HREF,)
)
_PROGRAM = Shape(
    r.DERProgram,
    (
        _MRID,
        _DESCRIPTION,
        _link("default_der_control_link", "DefaultDERControlLink"),
        _link("der_control_list_link", "DERControlListLink"),
        _leaf("primacy", "primacy", U8),
    ),
    (_HREF,),
)
_CONTROL = Shape(
    r.DERControl,
    (
        _MRID,
        _DESCRIPTION,
        _leaf("creation_s", "creationTime", TIME),
        _nested("status", "EventStatus", _EVENT_STATUS),
        _nested("interval", "interval", _INTERVAL),
        _leaf("randomize_duration_s", "randomizeDuration", HOUR_RANGE),
        _leaf("randomize_start_s", "randomizeStart", HOUR_RANGE),
        _BASE,
        _leaf("device_category", "deviceCategory", hex_bitmap(8)),
    ),
    (
        _HREF,
        Attribute("reply_to", "replyTo", HREF),
        Attribute("response_required", "responseRequired", hex_bitmap(2)),
    ),
)
_DER = Shape(
    r.DER,
    (
        _link("capability_link", "DERCapabilityLink"),
        _link("settings_link", "DERSettingsLink"),
        _link("status_link", "DERStatusLink"),
    ),
    (_HREF,),
)


def _stamped(attr: str, tag: str, text: Text) -> Field:
    shape = Shape(r.StampedValue, (_leaf("time_s", "dateTime", TIME), _leaf("value", "value", text)))
    return _nested(attr, tag, shape)


_READING = Shape(
    r.Reading,
    (
        _leaf("quality_flags", "qualityFlags", hex_bitmap(4)),
        _nested("period", "timePeriod", _INTERVAL),
        _leaf("value", "value", INT48),
    ),
)
_READING_TYPE = Shape(
    r.ReadingType,
    (
        _leaf("commodity", "commodity", U8),
        _leaf("data_qualifier", "dataQualifier", U8),
        _leaf("flow_direction", "flowDirection", U8),
        _leaf("interval_s", "intervalLength", U32),
        _leaf("kind", "kind", U8),
        _leaf("phase", "phase", U8),
        _leaf("power_of_ten", "powerOfTenMultiplier", MULTIPLIER),
        _leaf("uom", "uom", U8),
    ),
)
_METER_READING = Shape(
    r.MirrorMeterReading,
    (
        _MRID,
        _DESCRIPTION,
        _nested("reading", "Reading", _READING),
        _nested("reading_type", "ReadingType", _READING_TYPE),
    ),
)
_USAGE_POINT = Shape(
    r.MirrorUsagePoint,
    (
        _MRID,
        _DESCRIPTION,
        _leaf("role_flags", "roleFlags", hex_bitmap(4)),
        _leaf("service_category", "serviceCategoryKind", U8),
        _leaf("status", "status", U8),
        _leaf("device_lfdi", "deviceLFDI", LFDI),
        _nested("readings", "MirrorMeterReading", _METER_READING, many=True),
        _leaf("post_rate_s", "postRate", U32),
    ),
    (_HREF,),
)

_SHAPES: dict[str, Shape] = {
    "DeviceCapability": Shape(
        r.DeviceCapability,
        (
            _link("time_link", "TimeLink"),
            _link("end_device_list_link", "EndDeviceListLink"),
            _link("mirror_usage_point_list_link", "MirrorUsagePointListLink"),
        ),
        (_HREF, _POLL),
    ),
    "Time": Shape(
        r.Time,
        (
            _leaf("current_s", "currentTime", TIME),
            _leaf("dst_end_s", "dstEndTime", TIME),
            _leaf("dst_offset_s", "dstOffset", OFFSET),
            _leaf("dst_start_s", "dstStartTime", TIME),
            _leaf("quality", "quality", U8),
            _leaf("tz_offset_s", "tzOffset", OFFSET),
        ),
        (_HREF, _POLL),
    ),
    "EndDevice": _END_DEVICE,
    "EndDeviceList": _page(r.EndDeviceList, "EndDevice", _END_DEVICE),
    "Registration": Shape(
        r.Registration,
        (_leaf("registered_s", "dateTimeRegistered", TIME), _leaf("pin", "pIN", integer(0, 999_999))),
        (_HREF, _POLL),
    ),
    "FunctionSetAssignments": _ASSIGNMENTS,
    "FunctionSetAssignmentsList": _page(r.FunctionSetAssignmentsList, "FunctionSetAssignments", _ASSIGNMENTS),
    "DERProgram": _PROGRAM,
    "DERProgramList": _page(r.DERProgramList, "DERProgram", _PROGRAM),
    "DERControl": _CONTROL,
    "DERControlList": _page(r.DERControlList, "DERControl", _CONTROL, poll=False),
    "DefaultDERControl": Shape(
        r.DefaultDERControl,
        (_MRID, _DESCRIPTION, _BASE, _leaf("set_grad_w_permyriad_s", "setGradW", U16)),
        (_HREF,),
    ),
    "DERControlResponse": Shape(
        r.DERControlResponse,
        (
            _leaf("created_s", "createdDateTime", TIME),
            _leaf("lfdi", "endDeviceLFDI", LFDI),
            _leaf("status", "status", U8),
            _leaf("subject", "subject", MRID),
        ),
    ),
    "DER": _DER,
    "DERList": _page(r.DERList, "DER", _DER),
    "DERCapability": Shape(
        r.DERCapability,
        (
            _leaf("modes", "modesSupported", hex_bitmap(8)),
            _power("max_charge_rate_w", "rtgMaxChargeRateW"),
            _power("max_discharge_rate_w", "rtgMaxDischargeRateW"),
            _power("max_w", "rtgMaxW"),
            _leaf("type", "type", U8),
            _leaf("doe_modes", _aus("doeModesSupported"), hex_bitmap(2)),
        ),
    ),
    "DERSettings": Shape(
        r.DERSettings,
        (
            _leaf("modes", "modesEnabled", hex_bitmap(8)),
            _leaf("set_grad_w_permyriad_s", "setGradW", U16),
            _power("max_charge_rate_w", "setMaxChargeRateW"),
            _power("max_discharge_rate_w", "setMaxDischargeRateW"),
            _power("max_w", "setMaxW"),
            _leaf("updated_s", "updatedTime", TIME),
            _leaf("doe_modes", _aus("doeModesEnabled"), hex_bitmap(2)),
        ),
    ),
    "DERStatus": Shape(
        r.DERStatus,
        (
            _stamped("gen_connect", "genConnectStatus", hex_bitmap(2)),
            _stamped("operational_mode", "operationalModeStatus", U8),
            _leaf("reading_s", "readingTime", TIME),
            _stamped("state_of_charge", "stateOfChargeStatus", U16),
            _stamped("stor_connect", "storConnectStatus", hex_bitmap(2)),
        ),
    ),
    "MirrorUsagePoint": _USAGE_POINT,
    "MirrorUsagePointList": _page(r.MirrorUsagePointList, "MirrorUsagePoint", _USAGE_POINT),
    "MirrorMeterReading": _METER_READING,
    "Error": Shape(
        r.Error,
        (
            _leaf("max_retry_s", "maxRetryDuration", U16),
            _leaf("reason_code", "reasonCode", U16),
        ),
    ),
}
_BY_TAG = {_sep(name): shape for name, shape in _SHAPES.items()}
_BY_TAG[_aus("ConnectionPoint")] = Shape(
    r.ConnectionPoint, (_leaf("connection_point_id", _aus("connectionPointId"), string(32)),)
)
_TAG_OF = {shape.cls: tag for tag, shape in _BY_TAG.items()}


def decode(body: bytes) -> r.Resource:
    """The resource a document holds. PeerError for hostile, malformed or unknown documents; never another exception."""
    root = parse(body)
    shape = _BY_TAG.get(root.tag)
    if shape is None:
        raise PeerError(f"root element {root.tag[:120]}; expected a resource of {SEP_NS}")
    return cast(r.Resource, _build(root, shape))


def encode(value: r.Resource) -> bytes:
    """The document of a resource, elements in schema order."""
    tag = _TAG_OF[type(value)]
    root = Element(tag)
    _fill(root, _BY_TAG[tag], value)
    return serialise(root)
