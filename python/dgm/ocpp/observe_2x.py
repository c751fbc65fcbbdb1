"""Reads copies of relayed frames of OCPP 2.0.1 and 2.1 into the observations of `observe`.

    BootNotification ─> Booted            StatusNotification, NotifyEvent, NotifyReport ─> Socket, ...
    MeterValues ─> Metered                TransactionEvent ─> Transacted (with its reading)
    ReportDERControl, NotifyDERAlarm, NotifyDERStartStop ─> DerTold            NotifyEVChargingNeeds ─> Needed

A payload that makes no sense is a `Wrong`. Of NotifyEvent and NotifyReport only the AvailabilityState of connectors and
the ModesSupported of DER controllers are used.
"""

from __future__ import annotations

from collections.abc import Iterator

from dgm.api.site.v1.site_pb2 import PlugState
from dgm.ocpp import stamp
from dgm.ocpp.charging_needs import CHARGING_NEEDS, Needed, needed
from dgm.ocpp.der_control import CONTROLLERS, TOLD
from dgm.ocpp.frame import Payload
from dgm.ocpp.observe import Booted, DerModes, DerTold, Metered, Observation, Socket, Transacted, Wrong
from dgm.ocpp.sampled import newest

ACTIONS = (
    "BootNotification",
    "StatusNotification",
    "MeterValues",
    "TransactionEvent",
    "NotifyEvent",
    "NotifyReport",
    CHARGING_NEEDS,
    *TOLD,
)

MAX_EVENTS = 256
"""Of one NotifyEvent or NotifyReport; what comes after is not looked at."""

MAX_MODES = 64
"""Of one ModesSupported; the standard knows 22."""

SOCKET_STATES = ("Available", "Occupied", "Reserved", "Unavailable", "Faulted")
CHARGING_STATE = {
    "Charging": PlugState.PLUG_STATE_CHARGING,
    "SuspendedEV": PlugState.PLUG_STATE_SUSPENDED_EV,
    "SuspendedEVSE": PlugState.PLUG_STATE_SUSPENDED_EVSE,
    "EVConnected": PlugState.PLUG_STATE_PREPARING,
    "Idle": PlugState.PLUG_STATE_PREPARING,
}
"""chargingState of a running transaction; Idle: authorised, and no car connected yet or any more."""

_EVENT_TYPES = ("Started", "Updated", "Ended")


def observe_2x(action: str, payload: Payload | None) -> list[Observation]:
    """Read a CALL of the station; empty: nothing that we have a use for."""
    if action not in ACTIONS:
        return []
    if payload is None:
        return [Wrong(what=action)]
    match action:
        case "BootNotification":
            return [_booted(payload)]
        case "StatusNotification":
            return [_socket(payload)]
        case "MeterValues":
            return [_metered(payload, _int(payload.get("evseId"))) or Wrong(what=action)]
        case "TransactionEvent":
            return [_transacted(payload)]
        case _ if action == CHARGING_NEEDS:
            need = needed(payload)
            return [need] if isinstance(need, Needed) else [Wrong(what=action)] if need is None else []
        case _ if action in TOLD:
            return [DerTold(action=action, payload=payload)]
        case _:
            found = payload.get("eventData" if action == "NotifyEvent" else "reportData", [])
            return list(_availability(found[:MAX_EVENTS])) if isinstance(found, list) else [Wrong(what=action)]


def _booted(payload: Payload) -> Observation:
    station = payload.get("chargingStation")
    if not isinstance(station, dict):
        return Wrong(what="BootNotification")
    vendor, model, firmware = (_name(station.get(name)) for name in ("vendorName", "model", "firmwareVersion"))
    return Booted(vendor=vendor, model=model, firmware=firmware)


def _socket(payload: Payload) -> Observation:
    evse_id, connector_id = _int(payload.get("evseId")), _int(payload.get("connectorId"))
    status = payload.get("connectorStatus")
    if evse_id is None or connector_id is None or not isinstance(status, str) or status not in SOCKET_STATES:
        return Wrong(what="StatusNotification")
    return Socket(evse_id=evse_id, connector_id=connector_id, status=status)


def _metered(payload: Payload, evse_id: int | None) -> Metered | None:
    instant = newest(payload.get("meterValue"))
    if instant is None or evse_id is None:
        return None
    return Metered(
        evse_id=evse_id,
        reading=instant.reading,
        taken_utc_ms=stamp.parse(instant.stamp),
        transaction_id=None,
        triggered=instant.triggered,
    )


def _transacted(payload: Payload) -> Observation:
    about, kind = payload.get("transactionInfo"), payload.get("eventType")
    transaction_id = about.get("transactionId") if isinstance(about, dict) else None
    if not isinstance(about, dict) or not isinstance(transaction_id, str) or kind not in _EVENT_TYPES:
        return Wrong(what="TransactionEvent")
    evse = payload.get("evse")
    evse_id = _int(evse.get("id")) if isinstance(evse, dict) else None
    state = about.get("chargingState")
    return Transacted(
        evse_id=evse_id,
        transaction_id=transaction_id[:36],
        has_ended=kind == "Ended",
        plug_state=CHARGING_STATE.get(state) if isinstance(state, str) else None,
        is_past=payload.get("offline") is True,
        # The EVSE need not be told again after the first event: whoever keeps the transaction knows it.
        metered=_metered(payload, 0 if evse_id is None else evse_id),
    )


def _availability(items: list[object]) -> Iterator[Observation]:
    """Connector statuses and DER modes in the form of the device model."""
    for item in items:
        component, variable = (item.get("component"), item.get("variable")) if isinstance(item, dict) else (None, None)
        if not isinstance(item, dict) or not isinstance(component, dict) or not isinstance(variable, dict):
            continue
        evse, value = component.get("evse"), _value(item)
        if component.get("name") in CONTROLLERS and variable.get("name") == "ModesSupported" and value:
            number = _int(evse.get("id")) if isinstance(evse, dict) else None
            yield DerModes(evse_id=number or 0, names=tuple(value.split(",")[:MAX_MODES]))
            continue
        if component.get("name") != "Connector" or variable.get("name") != "AvailabilityState":
            continue
        if isinstance(evse, dict) and value in SOCKET_STATES:
            evse_id, connector_id = _int(evse.get("id")), _int(evse.get("connectorId"))
            if evse_id is not None and connector_id is not None:
                yield Socket(evse_id=evse_id, connector_id=connector_id, status=value)


def _value(item: Payload) -> str:
    """actualValue of an event; of a report the value of its attribute Actual."""
    found = item.get("actualValue")
    attributes = item.get("variableAttribute")
    if isinstance(attributes, list):
        actual = (one for one in attributes if isinstance(one, dict) and one.get("type", "Actual") == "Actual")
        found = next((one.get("value") for one in actual), None)
    return found if isinstance(found, str) else ""


def _int(found: object) -> int | None:
    return found if isinstance(found, int) and not isinstance(found, bool) else None


def _name(found: object) -> str:
    return found[:50] if isinstance(found, str) else ""
