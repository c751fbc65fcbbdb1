"""Our own triggers in the words of each OCPP version and of each EVSE's place in its station.

    TriggerMessage in words of 1.6 ──to_wire──> (action, payload) of the version, for the EVSE

What concerns profiles is in the Slot that they are written in (`own_profile`).
"""

from __future__ import annotations

from dataclasses import dataclass

from dgm.ocpp.frame import Payload
from dgm.ocpp.version import Version


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """An EVSE as its station knows it. evse_id: of 1.6, the connector."""

    version: Version
    evse_id: int

    def to_wire(self, action: str, payload: Payload) -> tuple[str, Payload]:
        """A CALL of ours; only triggers differ."""
        if action != "TriggerMessage" or not self.version.is_2x:
            return action, payload
        evse: Payload = {"id": self.evse_id}
        if payload["requestedMessage"] == "StatusNotification":
            evse["connectorId"] = 1  # F06.FR.12: a status is a connector's
        return action, {"requestedMessage": payload["requestedMessage"], "evse": evse}
