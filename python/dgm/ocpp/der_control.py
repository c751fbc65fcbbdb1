"""DER control of a V2X station (OCPP 2.1, block R), seen on copies and never changed: the site's picture of it.

    SetDERControl, ClearDERControl + the station's answer ─┐
    ReportDERControl, NotifyDERAlarm, NotifyDERStartStop ──┼─> DerBook ──> Der per EVSE (controls, alarms)
    NotifyReport: ACDERCtrlr, DCDERCtrlr ModesSupported ───┘

Supersession is the station's to decide (R04.FR.03-08, .21): what it says is taken, nothing is worked out here. The
controls are persistent in the station (R01.FR.03), so the book is kept too. Bounded; what is oldest goes first.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from dgm.api.site.v1.site_pb2 import DerControlState, DerControlType, GridFault
from dgm.ocpp import stamp
from dgm.ocpp.frame import Payload

MAX_CONTROLS, MAX_ALARMS, MAX_OPEN = 64, 16, 8
MAX_ID_CHARS = 36
MAX_SECONDS = 10**9

CALLS = frozenset({"SetDERControl", "ClearDERControl"})
"""Of the CSMS: what they do shows with the station's answer."""

TOLD = ("ReportDERControl", "NotifyDERAlarm", "NotifyDERStartStop")
"""Of the station."""

CONTROLLERS = ("ACDERCtrlr", "DCDERCtrlr")
"""Components of an EVSE's device model (2.1 part 2, R01.FR.01, R03.FR.03)."""


def _by_name(names: Iterable[str], values: Mapping[str, int], prefix: str) -> dict[str, int]:
    """The standard's words for the values of one of our enums: the same letters, other separators."""
    letters = {key.removeprefix(prefix).replace("_", ""): number for key, number in values.items()}
    return {name: letters[name.upper()] for name in names}


_TYPE_NAMES = [
    "EnterService",
    "FreqDroop",
    "FreqWatt",
    "FixedPFAbsorb",
    "FixedPFInject",
    "FixedVar",
    "Gradients",
    "HFMustTrip",
    "HFMayTrip",
    "HVMustTrip",
    "HVMomCess",
    "HVMayTrip",
    "LimitMaxDischarge",
    "LFMustTrip",
    "LVMustTrip",
    "LVMomCess",
    "LVMayTrip",
    "PowerMonitoringMustTrip",
    "VoltVar",
    "VoltWatt",
    "WattPF",
    "WattVar",
]
_FAULT_NAMES = [
    "CurrentImbalance",
    "LocalEmergency",
    "LowInputPower",
    "OverCurrent",
    "OverFrequency",
    "OverVoltage",
    "PhaseRotation",
    "RemoteEmergency",
    "UnderFrequency",
    "UnderVoltage",
    "VoltageImbalance",
]
TYPES: Mapping[str, DerControlType] = _by_name(_TYPE_NAMES, dict(DerControlType.items()), "DER_CONTROL_TYPE_")  # type: ignore[assignment]
"""DERControlEnumType."""

FAULTS: Mapping[str, GridFault] = _by_name(_FAULT_NAMES, dict(GridFault.items()), "GRID_FAULT_")  # type: ignore[assignment]
"""GridEventFaultEnumType."""

_BODIES = {
    "enterService": "EnterService",
    "fixedPFAbsorb": "FixedPFAbsorb",
    "fixedPFInject": "FixedPFInject",
    "fixedVar": "FixedVar",
    "freqDroop": "FreqDroop",
    "gradient": "Gradients",
    "limitMaxDischarge": "LimitMaxDischarge",
}
"""Lists of ReportDERControl with the type of their items; `curve` names its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Control:
    """One control; see site.v1.DerControl."""

    id: str
    type: DerControlType
    state: DerControlState = DerControlState.DER_CONTROL_STATE_STORED
    is_default: bool = False
    priority: int | None = None
    start_utc_ms: int | None = None
    duration_ms: int | None = None
    discharge_max_permille: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Alarm:
    """One alarm that has not ended; see site.v1.DerAlarm."""

    type: DerControlType
    fault: GridFault
    at_utc_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Der:
    """What is known of one EVSE. types: it says that it can do."""

    types: tuple[DerControlType, ...] = ()
    controls: tuple[Control, ...] = ()
    alarms: tuple[Alarm, ...] = ()


@dataclass(slots=True)
class DerBook:
    """See the module. Every method says whether the picture changed."""

    _controls: OrderedDict[str, Control] = field(default_factory=OrderedDict)
    _alarms: list[Alarm] = field(default_factory=list)
    _types: dict[int, tuple[DerControlType, ...]] = field(default_factory=dict)
    _open: OrderedDict[str, tuple[str, Payload]] = field(default_factory=OrderedDict)

    @property
    def is_empty(self) -> bool:
        """Nothing was ever said of DER control: most stations."""
        return not (self._controls or self._alarms or self._types)

    def of(self, evse_id: int) -> Der:
        """The picture of one EVSE: the types are its own, or the station's where it names none for an EVSE."""
        types = self._types.get(evse_id, self._types.get(0, ()))
        return Der(types=types, controls=tuple(self._controls.values()), alarms=tuple(self._alarms))

    # What the CSMS asks and the station answers.

    def asked(self, action: str, message_id: str, payload: Payload | None) -> None:
        """A CALL of `CALLS` has gone to the station."""
        if payload is not None:
            self._open[message_id] = (action, payload)
            if len(self._open) > MAX_OPEN:
                self._open.popitem(last=False)

    def answered(self, message_id: str, payload: Payload | None, utc_ms: int) -> bool:
        """The station's answer to it; None: an error, nothing was done."""
        asked = self._open.pop(message_id, None)
        if asked is None or payload is None or payload.get("status") != "Accepted":
            return False
        before = self._picture()
        self._expire(utc_ms)
        action, body = asked
        if action == "ClearDERControl":
            self._clear(body)
        else:
            self._set(body, payload)
        return self._picture() != before

    def _set(self, body: Payload, answer: Payload) -> None:
        control = _control_of(body, body.get("controlType"), body)
        if control is not None:
            self._put(control)
        self._supersede(answer.get("supersededIds"))

    def _clear(self, body: Payload) -> None:
        """R05: by id, or all of a type, of those that are default or that are not."""
        wanted, type_ = body.get("controlId"), body.get("controlType")
        for control in list(self._controls.values()):
            if wanted is not None:
                matches = control.id == wanted
            else:
                matches = type_ is None or control.type == _type(type_)
                matches = matches and control.is_default == (body.get("isDefault") is True)
            if matches:
                del self._controls[control.id]

    # What the station tells.

    def told(self, action: str, payload: Payload, utc_ms: int) -> bool:
        """A CALL of `TOLD`."""
        before = self._picture()
        self._expire(utc_ms)
        match action:
            case "ReportDERControl":
                for control in _reported(payload):
                    self._put(control)
            case "NotifyDERAlarm":
                self._alarm(payload, utc_ms)
            case _:
                self._started_or_stopped(payload)
        return self._picture() != before

    def offers(self, evse_id: int, names: Iterable[str]) -> bool:
        """ModesSupported of an EVSE; 0: of the station. Of both controllers' together."""
        found = {known for name in names if (known := _type(name.strip()))}
        types = tuple(sorted(found | set(self._types.get(evse_id, ()))))
        is_news = types != self._types.get(evse_id, ())
        self._types[evse_id] = types
        return is_news

    def _alarm(self, payload: Payload, utc_ms: int) -> None:
        type_ = _type(payload.get("controlType"))
        if type_ is None:
            return
        self._alarms = [alarm for alarm in self._alarms if alarm.type != type_]
        if payload.get("alarmEnded") is True:
            return
        at = stamp.parse(payload.get("timestamp"))
        fault = FAULTS.get(str(payload.get("gridEventFault")), GridFault.GRID_FAULT_UNSPECIFIED)
        self._alarms.append(Alarm(type=type_, fault=fault, at_utc_ms=utc_ms if at is None else at))
        self._alarms = self._alarms[-MAX_ALARMS:]

    def _started_or_stopped(self, payload: Payload) -> None:
        found = self._controls.get(str(payload.get("controlId"))[:MAX_ID_CHARS])
        if found is not None:
            active, ended = DerControlState.DER_CONTROL_STATE_ACTIVE, DerControlState.DER_CONTROL_STATE_ENDED
            self._put(replace(found, state=active if payload.get("started") is True else ended))
        self._supersede(payload.get("supersededIds"))

    def _supersede(self, ids: object) -> None:
        for one in ids if isinstance(ids, list) else []:
            found = self._controls.get(one) if isinstance(one, str) else None
            if found is not None:
                self._controls[found.id] = replace(found, state=DerControlState.DER_CONTROL_STATE_SUPERSEDED)

    def _put(self, control: Control) -> None:
        held = self._controls.get(control.id)
        stored, active = DerControlState.DER_CONTROL_STATE_STORED, DerControlState.DER_CONTROL_STATE_ACTIVE
        if held is not None and control.state == stored and held.state == active:
            # A report does not say that a control runs; that it was started has been told.
            control = replace(control, state=active)
        self._controls[control.id] = control
        if len(self._controls) > MAX_CONTROLS:
            self._controls.popitem(last=False)

    def _expire(self, utc_ms: int) -> None:
        """The station deletes a control after its time (R04.FR.10); its end is shown until something new is told."""
        for control in list(self._controls.values()):
            if control.start_utc_ms is None or control.duration_ms is None:
                continue
            if utc_ms >= control.start_utc_ms + control.duration_ms:
                ended = DerControlState.DER_CONTROL_STATE_ENDED
                if control.state == ended:
                    del self._controls[control.id]
                else:
                    self._controls[control.id] = replace(control, state=ended)

    def _picture(self) -> tuple[Any, ...]:
        return tuple(self._controls.values()), tuple(self._alarms)

    # Durable form.

    def to_bytes(self) -> bytes:
        """What has to outlive the process."""
        kept = {
            "controls": [asdict(control) for control in self._controls.values()],
            "alarms": [asdict(alarm) for alarm in self._alarms],
            "types": {str(evse): list(types) for evse, types in self._types.items()},
        }
        return json.dumps(kept, separators=(",", ":")).encode()


def from_bytes(raw: bytes) -> DerBook:
    """What `to_bytes` wrote; an empty book where it cannot be read."""
    try:
        found = json.loads(raw)
        book = DerBook()
        for item in found["controls"]:
            book._put(Control(**item))
        book._alarms = [Alarm(**item) for item in found["alarms"]]
        book._types = {int(evse): tuple(types) for evse, types in found["types"].items()}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return DerBook()
    return book


def _type(name: object) -> DerControlType | None:
    return TYPES.get(name) if isinstance(name, str) else None


def _reported(payload: Payload) -> Iterator[Control]:
    """Controls of one part of a report; what makes no sense is left out."""
    for item in _items(payload, "curve"):
        control = _control_of(item, item.get("curveType"), item)
        if control is not None:
            yield control
    for name, type_name in _BODIES.items():
        for item in _items(payload, name):
            control = _control_of(item, type_name, item)
            if control is not None:
                yield control


def _items(payload: Payload, name: str) -> list[Payload]:
    found = payload.get(name)
    return [item for item in found[:MAX_CONTROLS] if isinstance(item, dict)] if isinstance(found, list) else []


def _control_of(item: Payload, type_name: object, outer: Payload) -> Control | None:
    """A control of SetDERControl or of a report: its id and flags outside, its value in the one object inside."""
    control_id, type_ = outer.get("controlId", outer.get("id")), _type(type_name)
    if not isinstance(control_id, str) or not control_id or type_ is None:
        return None
    body: Payload = next((value for value in item.values() if isinstance(value, dict) and "priority" in value), {})
    start, duration_s = stamp.parse(body.get("startTime")), _number(body.get("duration"), MAX_SECONDS)
    percent = _number(body.get("pctMaxDischargePower"), 100)
    superseded = outer.get("isSuperseded") is True
    stored, gone = DerControlState.DER_CONTROL_STATE_STORED, DerControlState.DER_CONTROL_STATE_SUPERSEDED
    return Control(
        id=control_id[:MAX_ID_CHARS],
        type=type_,
        state=gone if superseded else stored,
        # EnterService and Gradients are always defaults (2.1E 2.59).
        is_default=outer.get("isDefault", True) is True,
        priority=None if (priority := _number(body.get("priority"), 2**31)) is None else int(priority),
        start_utc_ms=start,
        duration_ms=None if duration_s is None else int(duration_s * 1000),
        discharge_max_permille=None if percent is None else int(percent * 10),
    )


def _number(found: object, high: int) -> float | None:
    """A number from 0 to `high`; None: another, or none."""
    if isinstance(found, bool) or not isinstance(found, int | float):
        return None
    return found if 0 <= found <= high else None
