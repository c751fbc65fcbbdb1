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
    "DiagnosticsStatusNotification",
    "FirmwareStatusNotification",
    "LogStatusNotification",
    "NotifyCustomerInformation",
    "NotifyDisplayMessages",
    "NotifyEvent",
    "NotifyMonitoringReport",
    "NotifyReport",
    "ReportChargingProfiles",
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
