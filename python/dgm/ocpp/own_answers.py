"""What the gateway, as a station of its own without EVSEs, answers a 2.x CSMS: the truth, which is mostly "no".

    (action, payload) ──answer──> result | CALLERROR NotSupported, NotImplemented or FormatViolation

It has no device model, no transactions, no local list, no profiles and no firmware that a CSMS could reach. Pure; what
to send because of a TriggerMessage is `own_identity`'s.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from dgm.ocpp.frame import Payload

TRIGGERS = ("BootNotification", "Heartbeat")
"""What it sends when asked to."""

MAX_ITEMS = 256
"""Of one list in a request; a longer one is refused."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A result, or with `code` a CALLERROR."""

    payload: Payload = field(default_factory=dict)
    code: str = ""
    text: str = ""


def answer(action: str, payload: Payload | None) -> Answer:
    """The answer to a CALL of a CSMS; payload None: it cannot be read."""
    if payload is None:
        return Answer(code="FormatViolation", text=f"{action}: the payload is no object")
    if action in _FIXED:
        return Answer(payload=_FIXED[action])
    if action in _LISTED:
        return _listed(action, payload)
    if action == "TriggerMessage":
        status = "Accepted" if payload.get("requestedMessage") in TRIGGERS else "NotImplemented"
        return Answer(payload={"status": status})
    if action in _UNSUPPORTED:
        return Answer(code="NotSupported", text=f"{action}: the gateway has no EVSE of its own")
    return Answer(code="NotImplemented", text=f"{action} is not known")


_REJECTED: Payload = {"status": "Rejected"}
_FIXED: Mapping[str, Payload] = {
    # What could be done to a gateway is not a CSMS's to do.
    "Reset": _REJECTED,
    "SetNetworkProfile": _REJECTED,
    "UpdateFirmware": _REJECTED,
    "InstallCertificate": _REJECTED,
    "CertificateSigned": _REJECTED,
    "ChangeAvailability": _REJECTED,
    "ClearCache": _REJECTED,
    "GetLog": _REJECTED,
    "CustomerInformation": _REJECTED,
    "SetMonitoringLevel": _REJECTED,
    # What it has nothing of.
    "RequestStartTransaction": _REJECTED,
    "RequestStopTransaction": _REJECTED,
    "SetChargingProfile": _REJECTED,
    "GetCompositeSchedule": _REJECTED,
    "ReserveNow": _REJECTED,
    "CancelReservation": _REJECTED,
    "GetChargingProfiles": {"status": "NoProfiles"},
    "ClearChargingProfile": {"status": "Unknown"},
    "UnlockConnector": {"status": "UnknownConnector"},
    "GetInstalledCertificateIds": {"status": "NotFound"},
    "DeleteCertificate": {"status": "NotFound"},
    "GetLocalListVersion": {"versionNumber": 0},
    "SendLocalList": {"status": "Failed"},
    "GetTransactionStatus": {"messagesInQueue": False},
    "GetDisplayMessages": {"status": "Unknown"},
    "ClearDisplayMessage": {"status": "Unknown"},
    "DataTransfer": {"status": "UnknownVendorId"},
    # No device model: nothing to report, nothing to watch.
    "GetBaseReport": {"status": "NotSupported"},
    "GetReport": {"status": "NotSupported"},
    "GetMonitoringReport": {"status": "NotSupported"},
    "SetMonitoringBase": {"status": "NotSupported"},
}

_UNSUPPORTED = frozenset(
    {
        "CostUpdated",
        "SetDisplayMessage",
        "PublishFirmware",
        "UnpublishFirmware",
        "SetDERControl",
        "GetDERControl",
        "ClearDERControl",
        "UpdateDynamicSchedule",
        "UsePriorityCharging",
        "AFRRSignal",
        "NotifyAllowedEnergyTransfer",
        "NotifyWebPaymentStarted",
        "OpenPeriodicEventStream",
        "ClosePeriodicEventStream",
        "AdjustPeriodicEventStream",
        "GetPeriodicEventStream",
        "ChangeTransactionTariff",
        "ClearTariffs",
        "GetTariffs",
        "SetDefaultTariff",
        "GetCertificateChainStatus",
        "RequestBatterySwap",
        "VatNumberValidation",
    }
)


def _unknown_variable(item: Payload) -> Payload:
    return {"attributeStatus": "UnknownComponent", "component": item["component"], "variable": item["variable"]}


def _unknown_monitor(item: Payload) -> Payload:
    return {
        "status": "UnknownComponent",
        "type": item["type"],
        "severity": item["severity"],
        "component": item["component"],
        "variable": item["variable"],
    }


_LISTED: Mapping[str, tuple[str, str, Callable[[Payload], Payload]]] = {
    "GetVariables": ("getVariableData", "getVariableResult", _unknown_variable),
    "SetVariables": ("setVariableData", "setVariableResult", _unknown_variable),
    "SetVariableMonitoring": ("setMonitoringData", "setMonitoringResult", _unknown_monitor),
}


def _listed(action: str, payload: Payload) -> Answer:
    """One result for each item that was asked for."""
    asked, told, one = _LISTED[action]
    items = payload.get(asked)
    if not isinstance(items, list) or not items or len(items) > MAX_ITEMS:
        return Answer(code="FormatViolation", text=f"{asked}: expected 1 to {MAX_ITEMS} items")
    try:
        return Answer(payload={told: [one(item) for item in items]})
    except (KeyError, TypeError):
        return Answer(code="OccurrenceConstraintViolation", text=f"{asked}: an item lacks its component or variable")
