"""The simulated utility's own view of IEEE 2030.5 XML: what it serves, and a strict check of what it is sent.

It shares no code with the client's codec, so that a mistake there is seen here: element order, mandatory elements,
value spaces and namespaces are tables written from the schemas (2030.5-2018 with CSIP-AUS). Only types that a DER
client sends are known; anything else is refused. The namespace of CSIP-AUS is the one that the utility speaks.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from xml.etree import ElementTree
from xml.sax.saxutils import escape, quoteattr

SEP = "urn:ieee:std:2030.5:ns"
AUS = "https://csipaus.org/ns"
XSI = "http://www.w3.org/2001/XMLSchema-instance"
BODY_BYTES_MAX = 200_000

_INT = r"[+-]?[0-9]{1,18}"
_UINT = r"[0-9]{1,15}"
_BOOL = r"true|false|0|1"
_TEXT32 = r"(?s).{0,32}"
_MRID = r"(?:[0-9A-Fa-f]{2}){1,16}"
_URI = r"[!-~]{1,255}"
_LOCAL_URI = r"/[!-~]{0,254}"
"""Without a host, as servers want the resource that is subscribed to."""
_LFDI = r"[0-9A-F]{40}"
_HEX8, _HEX16, _HEX32 = r"[0-9A-Fa-f]{2}", r"[0-9A-Fa-f]{4}", r"[0-9A-Fa-f]{8}"


@dataclass(frozen=True, slots=True)
class Child:
    """One element of a sequence: name, then a pattern of its text or the name of its type, and how often it may be."""

    name: str
    content: str
    required: bool = False
    many: bool = False
    namespace: str = SEP
    nested: bool = False


def _seq(*children: Child) -> tuple[Child, ...]:
    return children


def _optional(pattern: str, *names: str) -> tuple[Child, ...]:
    return tuple(Child(name, pattern) for name in names)


def _power(*names: str) -> tuple[Child, ...]:
    return tuple(Child(name, "Scaled", nested=True) for name in names)


_IDENTIFIED = (Child("mRID", _MRID, required=True), Child("description", _TEXT32), Child("version", _UINT))
_ES = (
    *_optional(_UINT, "setESDelay", "setESHighFreq"),
    *_optional(_INT, "setESHighVolt"),
    *_optional(_UINT, "setESLowFreq"),
    *_optional(_INT, "setESLowVolt"),
    *_optional(_UINT, "setESRampTms", "setESRandomDelay"),
)

TYPES: Mapping[str, tuple[Child, ...]] = {
    "Scaled": _seq(Child("multiplier", r"-?[0-9]", required=True), Child("value", _INT, required=True)),
    "Interval": _seq(Child("duration", _UINT, required=True), Child("start", _INT, required=True)),
    "Status8": _seq(Child("dateTime", _INT, required=True), Child("value", _HEX8, required=True)),
    "StatusInt": _seq(Child("dateTime", _INT, required=True), Child("value", _UINT, required=True)),
    "StatusText": _seq(Child("dateTime", _INT, required=True), Child("value", r"(?s).{0,6}", required=True)),
    "EndDevice": _seq(
        Child("deviceCategory", _HEX32),
        Child("lFDI", _LFDI),
        Child("sFDI", _UINT, required=True),
        Child("changedTime", _INT, required=True),
        Child("enabled", _BOOL),
        Child("postRate", _UINT),
    ),
    "DERControlResponse": _seq(
        Child("createdDateTime", _INT),
        Child("endDeviceLFDI", _LFDI, required=True),
        Child("status", r"[0-9]{1,3}"),
        Child("subject", _MRID, required=True),
    ),
    "DERCapability": _seq(
        Child("modesSupported", _HEX32, required=True),
        Child("rtgAbnormalCategory", _UINT),
        *_power("rtgMaxA", "rtgMaxAh", "rtgMaxChargeRateVA", "rtgMaxChargeRateW", "rtgMaxDischargeRateVA"),
        *_power("rtgMaxDischargeRateW", "rtgMaxV", "rtgMaxVA", "rtgMaxVar", "rtgMaxVarNeg"),
        Child("rtgMaxW", "Scaled", required=True, nested=True),
        *_power("rtgMaxWh"),
        Child("rtgNormalCategory", _UINT),
        *_power("rtgVNom"),
        Child("type", _UINT, required=True),
        Child("doeModesSupported", _HEX8, required=True, namespace=AUS),
        Child("vppModesSupported", _HEX8, namespace=AUS),
    ),
    "DERSettings": _seq(
        Child("modesEnabled", _HEX32),
        *_ES,
        Child("setGradW", _UINT, required=True),
        *_power("setMaxA", "setMaxAh", "setMaxChargeRateVA", "setMaxChargeRateW", "setMaxDischargeRateVA"),
        *_power("setMaxDischargeRateW", "setMaxV", "setMaxVA", "setMaxVar", "setMaxVarNeg"),
        Child("setMaxW", "Scaled", required=True, nested=True),
        *_power("setMaxWh"),
        Child("setSoftGradW", _UINT),
        *_power("setVNom", "setVRef", "setVRefOfs"),
        Child("updatedTime", _INT, required=True),
        Child("doeModesEnabled", _HEX8, namespace=AUS),
        Child("vppModesEnabled", _HEX8, namespace=AUS),
        Child("setMinWh", "Scaled", namespace=AUS, nested=True),
    ),
    "DERStatus": _seq(
        Child("alarmStatus", _HEX32),
        Child("genConnectStatus", "Status8", nested=True),
        Child("inverterStatus", "StatusInt", nested=True),
        Child("localControlModeStatus", "StatusInt", nested=True),
        Child("manufacturerStatus", "StatusText", nested=True),
        Child("operationalModeStatus", "StatusInt", nested=True),
        Child("readingTime", _INT, required=True),
        Child("stateOfChargeStatus", "StatusInt", nested=True),
        Child("storageModeStatus", "StatusInt", nested=True),
        Child("storConnectStatus", "Status8", nested=True),
    ),
    "MirrorUsagePoint": _seq(
        *_IDENTIFIED,
        Child("roleFlags", _HEX16, required=True),
        Child("serviceCategoryKind", _UINT, required=True),
        Child("status", _UINT, required=True),
        Child("deviceLFDI", _LFDI, required=True),
        Child("MirrorMeterReading", "MirrorMeterReading", many=True, nested=True),
        Child("postRate", _UINT),
    ),
    "MirrorMeterReadingList": _seq(Child("MirrorMeterReading", "MirrorMeterReading", many=True, nested=True)),
    "MirrorMeterReading": _seq(
        *_IDENTIFIED,
        Child("lastUpdateTime", _INT),
        Child("nextUpdateTime", _INT),
        Child("Reading", "Reading", nested=True),
        Child("ReadingType", "ReadingType", nested=True),
    ),
    "Reading": _seq(
        Child("qualityFlags", _HEX16),
        Child("timePeriod", "Interval", nested=True),
        Child("touTier", _UINT),
        Child("value", _INT),
    ),
    "ReadingType": _seq(
        *_optional(_UINT, "accumulationBehaviour", "commodity", "dataQualifier", "flowDirection", "intervalLength"),
        *_optional(_UINT, "kind", "phase"),
        Child("powerOfTenMultiplier", r"-?[0-9]"),
        Child("uom", _UINT),
    ),
    "DERAvailability": _seq(
        *_optional(_UINT, "availabilityDuration", "maxChargeDuration"),
        Child("readingTime", _INT, required=True),
        *_optional(_UINT, "reserveChargePercent", "reservePercent"),
        *_power("statVarAvail", "statWAvail"),
    ),
    "LogEvent": _seq(
        Child("createdDateTime", _INT, required=True),
        Child("details", _TEXT32),
        Child("extendedData", _UINT),
        *(Child(name, _UINT, required=True) for name in ("functionSet", "logEventCode", "logEventID", "logEventPEN")),
        Child("profileID", _UINT, required=True),
    ),
    "Subscription": _seq(
        Child("subscribedResource", _LOCAL_URI, required=True),
        Child("encoding", r"[01]", required=True),
        Child("level", r"[+-]?S[0-9]", required=True),
        Child("limit", _UINT, required=True),
        Child("notificationURI", _URI, required=True),
    ),
    "RequestStatus": _seq(Child("dateTime", _INT, required=True), Child("requestStatus", r"[01]", required=True)),
    "FlowReservationRequest": _seq(
        *_IDENTIFIED,
        Child("creationTime", _INT, required=True),
        Child("durationRequested", _UINT),
        Child("energyRequested", "Scaled", required=True, nested=True),
        Child("intervalRequested", "Interval", required=True, nested=True),
        Child("powerRequested", "Scaled", required=True, nested=True),
        Child("RequestStatus", "RequestStatus", required=True, nested=True),
    ),
    "ConnectionPoint": _seq(Child("connectionPointId", _TEXT32, required=True, namespace=AUS)),
}


def check(body: bytes, expected: str, aus: str = AUS) -> tuple[ElementTree.Element | None, list[str]]:
    """The root of a body and everything that is wrong with it as a document of the expected type."""
    if len(body) > BODY_BYTES_MAX or b"<!" in body:
        return None, ["too large, or with a declaration"]
    try:
        root = ElementTree.fromstring(body)
    except ElementTree.ParseError as error:
        return None, [f"not well-formed: {error}"]
    namespace = aus if expected == "ConnectionPoint" else SEP
    if root.tag != f"{{{namespace}}}{expected}":
        return root, [f"root {root.tag}, expected {{{namespace}}}{expected}"]
    return root, list(_faults(root, expected, aus))


def _faults(element: ElementTree.Element, type_name: str, aus: str) -> Iterator[str]:
    children = TYPES[type_name]
    namespaces = {SEP: SEP, AUS: aus}
    order = {f"{{{namespaces[child.namespace]}}}{child.name}": index for index, child in enumerate(children)}
    positions = []
    for item in element:
        position = order.get(item.tag)
        if position is None:
            yield f"{type_name}: unknown element {item.tag}"
            continue
        positions.append(position)
        yield from _content_faults(item, children[position], aus)
    if positions != sorted(positions):
        yield f"{type_name}: elements out of schema order"
    for index, child in enumerate(children):
        count = positions.count(index)
        if child.required and count == 0:
            yield f"{type_name}: {child.name} is missing"
        if count > 1 and not child.many:
            yield f"{type_name}: {child.name} {count} times"


def _content_faults(item: ElementTree.Element, child: Child, aus: str) -> Iterator[str]:
    if child.nested:
        yield from _faults(item, child.content, aus)
    elif len(item) or not re.fullmatch(child.content, item.text or ""):
        yield f"{child.name}: {(item.text or '')[:60]!r} is not of its type"


def text_of(root: ElementTree.Element, *path: str) -> str | None:
    """Text below the root by local names of the base namespace."""
    found = root.find("/".join(f"{{{SEP}}}{name}" for name in path))
    return None if found is None else found.text


def document(name: str, content: str, *, aus: str = AUS, **attributes: object) -> bytes:
    """A document with all namespaces declared; the CSIP-AUS prefix is deliberately not the usual one."""
    spaces = f'xmlns="{SEP}" xmlns:doe="{aus}" xmlns:xsi="{XSI}"'
    head = f'<?xml version="1.0" encoding="UTF-8"?>\n<{name} {spaces}{_attributes(attributes)}>'
    return f"{head}{content}</{name}>".encode()


def element(name: str, content: object, **attributes: object) -> str:
    """An element with text that is escaped."""
    return f"<{name}{_attributes(attributes)}>{escape(str(content))}</{name}>"


def nest(name: str, *parts: str, **attributes: object) -> str:
    """An element with elements in it."""
    return f"<{name}{_attributes(attributes)}>{''.join(parts)}</{name}>"


def link(name: str, href: str, **attributes: object) -> str:
    """A link, empty but for its href."""
    return f"<{name}{_attributes({'href': href, **attributes})}/>"


def _attributes(attributes: Mapping[str, object]) -> str:
    return "".join(f" {name}={quoteattr(str(value))}" for name, value in attributes.items() if value is not None)


def active_power(name: str, watts: int) -> str:
    """An ActivePower below the size of Int16, exact for the round numbers of a demo."""
    multiplier = 0
    while abs(watts) > 32_767:
        watts, multiplier = watts // 10, multiplier + 1
    return nest(name, element("multiplier", multiplier), element("value", watts))


_SWITCH, _NUMBER, _POWER, _CURVE = "switch", "number", "power", "curve"
_POWER_FACTOR, _FIXED_VAR, _DROOP = "power factor", "var", "droop"
MODES: Mapping[str, str] = {
    "opModConnect": _SWITCH,
    "opModEnergize": _SWITCH,
    "opModFixedPFAbsorbW": _POWER_FACTOR,
    "opModFixedPFInjectW": _POWER_FACTOR,
    "opModFixedVar": _FIXED_VAR,
    "opModFixedW": _NUMBER,
    "opModFreqDroop": _DROOP,
    "opModFreqWatt": _CURVE,
    **{f"opMod{name}": _CURVE for name in ("HFRTMayTrip", "HFRTMustTrip", "HVRTMayTrip", "HVRTMomentaryCessation")},
    **{f"opMod{name}": _CURVE for name in ("HVRTMustTrip", "LFRTMayTrip", "LFRTMustTrip", "LVRTMayTrip")},
    **{f"opMod{name}": _CURVE for name in ("LVRTMomentaryCessation", "LVRTMustTrip")},
    "opModMaxLimW": _NUMBER,
    "opModTargetVar": _POWER,
    "opModTargetW": _POWER,
    **{f"opMod{name}": _CURVE for name in ("VoltVar", "VoltWatt", "WattPF", "WattVar")},
}
"""Every mode of 2030.5-2018 in schema order and how its value is written."""
LIMITS = ("opModImpLimW", "opModExpLimW", "opModGenLimW", "opModLoadLimW", "opModStorageTargetW")
"""Those of CSIP-AUS, behind all others; the last one of v1.3."""
_INNER: Mapping[str, tuple[str, ...]] = {
    _POWER_FACTOR: ("displacement", "excitation", "multiplier"),
    _FIXED_VAR: ("refType", "value"),
    _DROOP: ("dBOF", "dBUF", "kOF", "kUF", "openLoopTms"),
}


def control_base(modes: Mapping[str, object], ramp_tms: int | None) -> str:
    """A DERControlBase; base elements first, then rampTms, then those of CSIP-AUS.

    modes: a boolean, a number as it stands in the document, W or var, the href of a curve, or the named parts of a
    power factor, fixed var or droop. ValueError for a mode that is not known.
    """
    strange = modes.keys() - MODES.keys() - set(LIMITS)
    if strange:
        raise ValueError(f"control mode {sorted(strange)[0]}; expected one of {', '.join((*MODES, *LIMITS))}")
    switches = [_mode(name, kind, modes[name]) for name, kind in MODES.items() if name in modes]
    ramp = [] if ramp_tms is None else [element("rampTms", ramp_tms)]
    limits = [active_power(f"doe:{name}", int(str(modes[name]))) for name in LIMITS if name in modes]
    return nest("DERControlBase", *switches, *ramp, *limits)


def _mode(name: str, kind: str, value: object) -> str:
    if kind == _SWITCH:
        return element(name, "true" if value else "false")
    if kind == _CURVE:
        return link(name, str(value))
    if kind == _POWER:
        return active_power(name, int(str(value)))
    if kind == _NUMBER:
        return element(name, value)
    if not isinstance(value, Mapping):
        raise ValueError(f"{name}: found {value!r}; expected {', '.join(_INNER[kind])}")
    return nest(name, *(element(part, str(value[part]).lower()) for part in _INNER[kind]))
