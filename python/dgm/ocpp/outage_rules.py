"""The rules of an outage: policies, stages, and what is done with which CALL while a CSMS is away.

    CALL ── KEPT ──> on disk, answered, replayed          ── BILLING ──> the same, or the connection is closed (island)
         ── anything else ──> answered where the answer says nothing, else silence

Tables and pure functions; `outage` is the machine.
"""

from __future__ import annotations

import hashlib
from enum import Enum

from dgm.ocpp import splice
from dgm.ocpp.frame import Head, Payload


class Policy(Enum):
    """What a station may do while its CSMS is away."""

    STRICT = "strict"
    ISLAND = "island"
    STORE = "store"


class Stage(Enum):
    """How far the CSMS is back."""

    LIVE = "live"
    AWAY = "away"
    GREETING = "greeting"
    HELD = "held"
    DRAINING = "draining"


BILLING = frozenset({"StartTransaction", "StopTransaction", "MeterValues", "TransactionEvent"})
KEPT = BILLING | {
    "ClearedChargingLimit",
    "DiagnosticsStatusNotification",
    "FirmwareStatusNotification",
    "LogStatusNotification",
    "NotifyChargingLimit",
    "NotifyCustomerInformation",
    "NotifyDERAlarm",
    "NotifyDERStartStop",
    "NotifyDisplayMessages",
    "NotifyEvent",
    "NotifyMonitoringReport",
    "NotifyPriorityCharging",
    "NotifyReport",
    "PublishFirmwareStatusNotification",
    "ReportChargingProfiles",
    "ReportDERControl",
    "ReservationStatusUpdate",
    "SecurityEventNotification",
    "SignedFirmwareStatusNotification",
}
"""CALLs whose answer says nothing, or whose answer the policy store may give: kept in order and replayed."""

WITH_TRANSACTION = ("MeterValues", "StopTransaction")
"""CALLs of an OCPP 1.6 station that name a transaction."""

TO_STATION = {
    "RemoteStopTransaction": ((3, "transactionId"),),
    "SetChargingProfile": ((3, "csChargingProfiles", "transactionId"),),
}
"""CALLs of the CSMS that name a transaction, and where."""


def digest_of(head: Head, raw: bytes) -> bytes:
    """Of what a message says: a billing message that is sent again has the same one whatever its id, for it holds the
    time of what it tells; any other may say the same twice."""
    place = splice.find(raw, (3,))
    body = raw if place is None else raw[place.start : place.end]
    name = head.action if head.action in BILLING else f"{head.action}\0{head.id}"
    return hashlib.sha256(name.encode() + b"\0" + body).digest()


def tag_of(payload: Payload) -> str | None:
    """idTag of 1.6, or type and value of the idToken of 2.x; longer than any real one: none."""
    tag = payload.get("idTag")
    token = payload.get("idToken")
    if isinstance(token, dict):
        tag = f"{token.get('type')}/{token.get('idToken')}"
    return tag if isinstance(tag, str) and 0 < len(tag) <= 300 else None


def status_place(payload: Payload) -> str:
    """Which connector a StatusNotification is about."""
    place = payload.get("evseId", ""), payload.get("connectorId", "")
    return "/".join(str(part) for part in place)[:40]


def judged(payload: Payload, *, is_known: bool) -> Payload:
    """idTagInfo or idTokenInfo for the tag of a CALL, by what the CSMS said of it before."""
    if "idTag" in payload:
        return {"idTagInfo": {"status": "Accepted" if is_known else "Invalid"}}
    return {"idTokenInfo": {"status": "Accepted" if is_known else "Unknown"}}


def as_replayed(action: str, raw: bytes, *, is_offline: bool) -> bytes:
    """What is sent later: an event of a transaction without the CSMS says so (2.0.1 E04.FR.03, E11.FR.07); every other
    byte stays."""
    if action != "TransactionEvent" or not is_offline:
        return raw
    return splice.with_true(raw, (3,), "offline") or raw
