"""What a simulated 2.x station understands: each command as the machine's own (1.6) words, and its answer back.

    understand(action, payload) ──> 1.6 CALL for the machine, or an answer at once          answer(...) ──> 2.x answer

An action that is not known is refused with NotImplemented, one that makes no sense with FormatViolation.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dgm.sim.station_2x import Station2x

Payload = dict[str, Any]

_PURPOSE = {"ChargingStationMaxProfile": "ChargePointMaxProfile"}
_TRIGGERS = ("MeterValues", "StatusNotification", "Heartbeat", "BootNotification")


class Refused(Exception):
    """A CALLERROR."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What to do about a command. answer: of the station at once; wakes: the machine has something new to say."""

    action: str = ""
    payload: Payload = field(default_factory=dict)
    answer: Payload | None = None
    wakes: bool = False


class Commands:
    """Commands of one station."""

    def __init__(self, station: Station2x) -> None:
        self._station = station

    def understand(self, message_id: str, action: str, payload: Payload) -> Told:
        """A command in words of 1.6, or its answer. Refused: a CALLERROR."""
        try:
            return self._understand(message_id, action, payload)
        except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
            raise Refused("FormatViolation", f"{action}: {error!r}") from error

    def _understand(self, message_id: str, action: str, payload: Payload) -> Told:
        match action:
            case "SetChargingProfile":
                profile = self._profile(payload["chargingProfile"])
                return Told(action=action, payload={"connectorId": payload["evseId"], "csChargingProfiles": profile})
            case "ClearChargingProfile":
                return Told(action=action, payload=_clear(payload))
            case "GetCompositeSchedule":
                rest = {key: value for key, value in payload.items() if key != "evseId"}
                return Told(action=action, payload={"connectorId": payload["evseId"], **rest})
            case "TriggerMessage":
                return self._trigger(message_id, payload)
            case "Reset":
                return Told(action=action, payload={"type": "Hard" if payload["type"] == "Immediate" else "Soft"})
            case "RequestStartTransaction":
                asked = {"idTag": payload["idToken"]["idToken"]}
                if "evseId" in payload:
                    asked["connectorId"] = payload["evseId"]
                return Told(action="RemoteStartTransaction", payload=asked)
            case "RequestStopTransaction":
                running = self._station.transactions.values()
                number = next((found.number for found in running if found.id == payload["transactionId"]), -2)
                return Told(action="RemoteStopTransaction", payload={"transactionId": number})
            case "GetVariables":
                return Told(answer={"getVariableResult": [self._variable(one) for one in payload["getVariableData"]]})
            case "SetVariables":
                results = [{**_named(one), "attributeStatus": "Rejected"} for one in payload["setVariableData"]]
                return Told(answer={"setVariableResult": results})
            case "DataTransfer" | "ClearCache":
                return Told(action=action, payload=payload)
            case "UnlockConnector":
                return Told(answer={"status": "UnlockFailed"})
            case _:
                raise Refused("NotImplemented", f"{action} is not known here")

    def _profile(self, body: Payload) -> Payload:
        profile = {key: value for key, value in body.items() if key not in ("id", "chargingSchedule", "transactionId")}
        profile["chargingProfileId"] = body["id"]
        profile["chargingProfilePurpose"] = _PURPOSE.get(body["chargingProfilePurpose"], body["chargingProfilePurpose"])
        profile["chargingSchedule"] = body["chargingSchedule"][0]
        if "transactionId" in body:
            running = self._station.transactions.values()
            profile["transactionId"] = next((one.number for one in running if one.id == body["transactionId"]), -2)
        return profile

    def _trigger(self, message_id: str, payload: Payload) -> Told:
        wanted, evse_id = payload["requestedMessage"], payload.get("evse", {}).get("id")
        if wanted == "TransactionEvent":
            return self._trigger_event(message_id, evse_id)
        if wanted not in _TRIGGERS:
            return Told(answer={"status": "NotImplemented"})
        if wanted == "StatusNotification":
            self._station.want_status(evse_id)
        where = {} if evse_id is None else {"connectorId": evse_id}
        return Told(action="TriggerMessage", payload={"requestedMessage": wanted, **where})

    def _trigger_event(self, message_id: str, evse_id: int | None) -> Told:
        chosen = [at for at in self._station.transactions if evse_id in (None, at)]
        for at in chosen:
            self._station.inner.enqueue("TransactionEvent", {"connectorId": at}, cause=message_id)
        return Told(answer={"status": "Accepted" if chosen else "Rejected"}, wakes=bool(chosen))

    def _variable(self, one: Payload) -> Payload:
        name = one["variable"]["name"]
        key = self._station.inner.configuration.get(name)
        if key is None:
            return {**_named(one), "attributeStatus": "UnknownVariable"}
        return {**_named(one), "attributeStatus": "Accepted", "attributeValue": key.value}

    def answer(self, action: str, found: Payload, asked: Payload) -> Payload:
        """The machine's answer in words of 2.x."""
        if action == "SetChargingProfile" and found.get("status") == "NotSupported":
            return {"status": "Rejected", "statusInfo": {"reasonCode": "UnsupportedPurpose"}}
        if action == "GetCompositeSchedule" and found.get("status") == "Accepted":
            if "chargingSchedule" not in found:
                return {"status": "Accepted"}
            schedule = {**found["chargingSchedule"], "evseId": asked["connectorId"]}
            schedule["scheduleStart"] = found["scheduleStart"]
            return {"status": "Accepted", "schedule": schedule}
        return found


def _clear(payload: Payload) -> Payload:
    if "chargingProfileId" in payload:
        return {"id": payload["chargingProfileId"]}
    criteria = payload.get("chargingProfileCriteria", {})
    found: Payload = {}
    if "evseId" in criteria:
        found["connectorId"] = criteria["evseId"]
    if "stackLevel" in criteria:
        found["stackLevel"] = criteria["stackLevel"]
    if "chargingProfilePurpose" in criteria:
        purpose = criteria["chargingProfilePurpose"]
        found["chargingProfilePurpose"] = _PURPOSE.get(purpose, purpose)
    return found


def _named(one: Payload) -> Payload:
    return {"component": one["component"], "variable": one["variable"]}
