"""What a simulated station answers to the CALLs it gets (OCPP 1.6): one function per action, from payload to payload.

    answer(station, message_id, action, payload, now) ──> answer payload, or a Refusal that becomes a CALLERROR

A CALL that the station knows and dislikes is answered with a status; one that it does not know is refused.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dgm.machine import Now
from dgm.sim.connector import TRIGGERED, Connector
from dgm.sim.plant import VOLTAGE_NOMINAL_V
from dgm.sim.profiles import PERIODS_MAX, PROFILES_MAX, STACK_LEVEL_MAX, parse_profile
from dgm.sim.quirks import Quirk, refusal
from dgm.sim.stamps import format_time

if TYPE_CHECKING:
    from dgm.sim.station import Station

Payload = dict[str, Any]
_KNOWN_VENDOR = "org.example.cpo"


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """A CALLERROR: code of the standard and a text."""

    code: str
    text: str


@dataclass(slots=True, kw_only=True)
class Key:
    """One configuration key."""

    value: str
    readonly: bool = True


def default_configuration(*, meter_interval_s: int, connectors: int) -> dict[str, Key]:
    """Configuration keys of a new station."""
    measurands = "Current.Import,Voltage,Power.Active.Import,Energy.Active.Import.Register"
    return {
        "HeartbeatInterval": Key(value="300", readonly=False),
        "MeterValueSampleInterval": Key(value=str(meter_interval_s), readonly=False),
        "MeterValuesSampledData": Key(value=measurands, readonly=False),
        "WebSocketPingInterval": Key(value="30", readonly=False),
        "NumberOfConnectors": Key(value=str(connectors)),
        "SupportedFeatureProfiles": Key(value="Core,RemoteTrigger,SmartCharging"),
        "ChargeProfileMaxStackLevel": Key(value=str(STACK_LEVEL_MAX)),
        "ChargingScheduleAllowedChargingRateUnit": Key(value="Current,Power"),
        "ChargingScheduleMaxPeriods": Key(value=str(PERIODS_MAX)),
        "MaxChargingProfilesInstalled": Key(value=str(PROFILES_MAX)),
    }


def answer(station: Station, message_id: str, action: str, payload: Payload, now: Now) -> Payload | Refusal:
    """Answer one CALL and do what it asks."""
    handler = _HANDLERS.get(action)
    if handler is None:
        return Refusal(code="NotImplemented", text=f"{action} is not known here")
    try:
        return handler(station, message_id, payload, now)
    except (KeyError, TypeError, ValueError) as error:
        return Refusal(code="FormationViolation", text=f"{action}: {error!r}"[:255])


def _set_charging_profile(station: Station, _id: str, payload: Payload, _now: Now) -> Payload | Refusal:
    connector_id = int(payload["connectorId"])
    profile = parse_profile(connector_id, payload["csChargingProfiles"])
    if profile is None:
        return Refusal(code="FormationViolation", text="csChargingProfiles cannot be read")
    refused = refusal(station.plan.quirks, profile, str(payload["csChargingProfiles"]["chargingProfileKind"]))
    status = refused or "Rejected"
    if refused is None and (connector_id == 0 or connector_id in station.connectors):
        status = station.profiles.install(profile, active_transactions=_transactions(station))
    station.counters.profiles_set += status == "Accepted"
    station.counters.profiles_rejected += status != "Accepted"
    station.refresh_limits()
    return {"status": status}


def _clear_charging_profile(station: Station, _id: str, payload: Payload, _now: Now) -> Payload:
    status = station.profiles.clear(
        profile_id=payload.get("id"),
        connector_id=payload.get("connectorId"),
        purpose=payload.get("chargingProfilePurpose"),
        stack_level=payload.get("stackLevel"),
    )
    station.refresh_limits()
    return {"status": status}


def _get_composite_schedule(station: Station, _id: str, payload: Payload, now: Now) -> Payload:
    connector_id, duration_s = int(payload["connectorId"]), int(payload["duration"])
    chosen = list(station.connectors.values()) if connector_id == 0 else [station.connectors.get(connector_id)]
    connectors = [connector for connector in chosen if connector is not None]
    if not connectors:
        return {"status": "Rejected"}
    if Quirk.EMPTY_COMPOSITE in station.plan.quirks:
        return {"status": "Accepted", "connectorId": connector_id}
    in_watts = payload.get("chargingRateUnit") == "W"
    periods = _composite(station, connectors, now.utc_ms, duration_s=duration_s, in_watts=in_watts)
    return {
        "status": "Accepted",
        "connectorId": connector_id,
        "scheduleStart": format_time(now.utc_ms),
        "chargingSchedule": {
            "duration": duration_s,
            "chargingRateUnit": "W" if in_watts else "A",
            "chargingSchedulePeriod": periods,
        },
    }


def _composite(
    station: Station, connectors: list[Connector], utc_ms: int, *, duration_s: int, in_watts: bool
) -> list[Payload]:
    """Periods of what is allowed from now on, summed over the connectors; seconds are rounded up to the next change."""
    periods: list[Payload] = []
    edge_ms: int | None = utc_ms
    while edge_ms is not None and edge_ms < utc_ms + duration_s * 1000 and len(periods) < PERIODS_MAX:
        total = sum(_limit(station, connector, edge_ms, in_watts=in_watts) for connector in connectors)
        if not periods or periods[-1]["limit"] != total:
            start_s = -(-(edge_ms - utc_ms) // 1000)
            periods.append({"startPeriod": start_s, "limit": total, "numberPhases": connectors[0].plan.phases})
        edge_ms = min(
            (
                edge
                for edge in (_next_edge(station, connector, edge_ms) for connector in connectors)
                if edge is not None
            ),
            default=None,
        )
    return periods


def _limit(station: Station, connector: Connector, utc_ms: int, *, in_watts: bool) -> float:
    amps = station.limit_ma(connector, utc_ms) / 1000.0
    return round(amps * VOLTAGE_NOMINAL_V * connector.plan.phases, 1) if in_watts else round(amps, 1)


def _next_edge(station: Station, connector: Connector, utc_ms: int) -> int | None:
    start_ms = connector.session.start_utc_ms if connector.session else None
    return station.profiles.next_edge_ms(utc_ms, transaction_start_ms=start_ms)


def _transactions(station: Station) -> dict[int, int]:
    running = ((connector.id, connector.transaction_id) for connector in station.connectors.values())
    return {connector_id: transaction for connector_id, transaction in running if transaction is not None}


def _trigger_message(station: Station, message_id: str, payload: Payload, now: Now) -> Payload:
    wanted = payload["requestedMessage"]
    connector_ids = [int(payload["connectorId"])] if "connectorId" in payload else list(station.connectors)
    if any(connector_id not in (0, *station.connectors) for connector_id in connector_ids):
        return {"status": "Rejected"}
    match wanted:
        case "MeterValues":
            for connector_id in connector_ids:
                if connector_id:
                    _trigger_reading(station, station.connectors[connector_id], message_id, now)
        case "StatusNotification":
            for connector_id in connector_ids:
                station.enqueue("StatusNotification", station.status_payload(connector_id, now), cause=message_id)
        case "Heartbeat":
            station.enqueue("Heartbeat", {}, cause=message_id)
        case "BootNotification":
            # An accepted station is advised to refuse this (1.6 errata 3.35).
            return {"status": "Rejected"}
        case _:
            return {"status": "NotImplemented"}
    return {"status": "Accepted"}


def _trigger_reading(station: Station, connector: Connector, cause: str, now: Now) -> None:
    connector.step_car(now_ms=now.mono_ms, voltage_mv=station.plan.voltage_mv)
    reading = connector.meter_values(context=TRIGGERED, utc_ms=now.utc_ms, voltage_mv=station.plan.voltage_mv)
    station.enqueue("MeterValues", reading, cause=cause)


def _get_configuration(station: Station, _id: str, payload: Payload, _now: Now) -> Payload:
    wanted = payload.get("key", list(station.configuration))
    known = [
        {"key": name, "readonly": station.configuration[name].readonly, "value": station.configuration[name].value}
        for name in wanted
        if name in station.configuration
    ]
    unknown = [name for name in wanted if name not in station.configuration]
    answer: Payload = {}
    if known:
        answer["configurationKey"] = known
    if unknown:
        answer["unknownKey"] = unknown
    return answer


def _change_configuration(station: Station, _id: str, payload: Payload, _now: Now) -> Payload:
    key = station.configuration.get(payload["key"])
    if key is None:
        return {"status": "NotSupported"}
    is_number = key.value.isdecimal()
    if key.readonly or (is_number and not str(payload["value"]).isdecimal()):
        return {"status": "Rejected"}
    key.value = str(payload["value"])
    return {"status": "Accepted"}


def _reset(station: Station, _id: str, payload: Payload, now: Now) -> Payload:
    station.reset(hard=payload["type"] == "Hard", now=now)
    return {"status": "Accepted"}


def _remote_start(station: Station, _id: str, payload: Payload, now: Now) -> Payload:
    connectors = (
        [station.connectors[payload["connectorId"]]] if "connectorId" in payload else station.connectors.values()
    )
    for connector in connectors:
        if connector.car is not None and connector.session is None:
            station.start_session(connector, str(payload["idTag"]), now)
            return {"status": "Accepted"}
    return {"status": "Rejected"}


def _remote_stop(station: Station, _id: str, payload: Payload, now: Now) -> Payload:
    for connector in station.connectors.values():
        if connector.transaction_id == payload["transactionId"]:
            station.stop_session(connector, "Remote", now)
            connector.offered_ma = 0
            station.set_status(connector, "Finishing", now)
            return {"status": "Accepted"}
    return {"status": "Rejected"}


def _data_transfer(_station: Station, _id: str, payload: Payload, _now: Now) -> Payload:
    if payload["vendorId"] != _KNOWN_VENDOR:
        return {"status": "UnknownVendorId"}
    return {"status": "Accepted", "data": str(payload.get("data", ""))}


def _accept(_station: Station, _id: str, _payload: Payload, _now: Now) -> Payload:
    return {"status": "Accepted"}


def _unlock(_station: Station, _id: str, _payload: Payload, _now: Now) -> Payload:
    return {"status": "NotSupported"}


_HANDLERS: dict[str, Callable[[Station, str, Payload, Now], Payload | Refusal]] = {
    "SetChargingProfile": _set_charging_profile,
    "ClearChargingProfile": _clear_charging_profile,
    "GetCompositeSchedule": _get_composite_schedule,
    "TriggerMessage": _trigger_message,
    "GetConfiguration": _get_configuration,
    "ChangeConfiguration": _change_configuration,
    "Reset": _reset,
    "RemoteStartTransaction": _remote_start,
    "RemoteStopTransaction": _remote_stop,
    "DataTransfer": _data_transfer,
    "ClearCache": _accept,
    "UnlockConnector": _unlock,
}
