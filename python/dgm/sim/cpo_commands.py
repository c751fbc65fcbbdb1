"""What a CPO of the virtual world tells one station now and then, in the words of the station's version.

    (version, connector, running transaction) ──commands──> (action, payload): questions, triggers, resets, profiles

Level 9 of the station's maximum is a place where the site's own profiles may be: it moves the station to `merge`.
"""

from __future__ import annotations

from dgm.sim.stamps import format_time
from dgm.sim.station_2x import OCPP_21

Payload = dict[str, object]
Command = tuple[str, Payload]


def commands(version: str, connector_id: int, transaction: str | None, utc_ms: int) -> list[Command]:
    """All of them; which one comes is drawn. transaction: of 2.x, None: none runs."""
    if version.startswith("ocpp2"):
        return _commands_2x(version, connector_id, transaction, utc_ms)
    return [
        ("GetConfiguration", {}),
        ("ClearChargingProfile", {}),
        ("Reset", {"type": "Soft"}),
        ("SetChargingProfile", _profile(connector_id, "TxDefaultProfile", level=1, limit_a=14.0)),
        ("SetChargingProfile", _profile(connector_id, "TxProfile", level=2, limit_a=9.0)),
        ("SetChargingProfile", _profile(0, "ChargePointMaxProfile", level=9, limit_a=20.0)),
        ("TriggerMessage", {"requestedMessage": "StatusNotification", "connectorId": connector_id}),
        ("TriggerMessage", {"requestedMessage": "MeterValues", "connectorId": connector_id}),
    ]


def _profile(connector_id: int, purpose: str, *, level: int, limit_a: float) -> Payload:
    schedule = {"chargingRateUnit": "A", "chargingSchedulePeriod": [{"startPeriod": 0, "limit": limit_a}]}
    profile = {
        "chargingProfileId": 10 * level + connector_id,
        "stackLevel": level,
        "chargingProfilePurpose": purpose,
        "chargingProfileKind": "Relative",
        "chargingSchedule": schedule,
    }
    return {"connectorId": connector_id, "csChargingProfiles": profile}


def _commands_2x(version: str, evse_id: int, transaction: str | None, utc_ms: int) -> list[Command]:
    component = {"component": {"name": "SmartChargingCtrlr"}, "variable": {"name": "Enabled"}}
    evse = {"id": evse_id, "connectorId": 1}
    asked: list[Command] = [
        ("GetVariables", {"getVariableData": [component]}),
        ("ClearChargingProfile", {}),
        ("Reset", {"type": "OnIdle"}),
        ("GetChargingProfiles", {"requestId": 1, "chargingProfile": {}}),
        ("GetCompositeSchedule", {"evseId": evse_id, "duration": 600}),
        ("SetChargingProfile", _profile_2x(evse_id, "TxDefaultProfile", 1, 14.0, utc_ms)),
        ("SetChargingProfile", _profile_2x(0, "ChargingStationMaxProfile", 9, 20.0, utc_ms)),
        ("TriggerMessage", {"requestedMessage": "StatusNotification", "evse": evse}),
        ("TriggerMessage", {"requestedMessage": "MeterValues", "evse": {"id": evse_id}}),
    ]
    if transaction is not None:
        asked.append(("SetChargingProfile", _profile_2x(evse_id, "TxProfile", 2, 9.0, utc_ms, transaction)))
    if version == OCPP_21:
        asked.append(("UpdateDynamicSchedule", {"chargingProfileId": 99, "scheduleUpdate": {"limit": 8.0}}))
        asked.append(("SetDERControl", _der_control()))
    return asked


def _profile_2x(
    evse_id: int, purpose: str, level: int, limit_a: float, utc_ms: int, transaction: str | None = None
) -> Payload:
    schedule = {
        "id": 1,
        "startSchedule": format_time(utc_ms),
        "chargingRateUnit": "A",
        "chargingSchedulePeriod": [{"startPeriod": 0, "limit": limit_a}],
    }
    profile: Payload = {
        "id": 10 * level + evse_id,
        "stackLevel": level,
        "chargingProfilePurpose": purpose,
        "chargingProfileKind": "Absolute",
        "chargingSchedule": [schedule],
    }
    if transaction is not None:
        profile["transactionId"] = transaction
    return {"evseId": evse_id, "chargingProfile": profile}


def _der_control() -> Payload:
    body = {"priority": 1, "pctMaxDischargePower": 50}
    return {"isDefault": True, "controlId": "cpo", "controlType": "LimitMaxDischarge", "limitMaxDischarge": body}
