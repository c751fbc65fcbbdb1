"""Our own CALLs and the CSMS's profile calls in the words of each OCPP version and of each EVSE's place in its station.

    OwnCall in words of 1.6, connector 0 ──to_wire──> (action, payload) of the version at the place
    the station's answer ──from_wire──> words of 1.6
    a CSMS CALL ──as_seen──> the same CALL in words of 1.6 at connector 0, to be held against our profiles

A station with one EVSE is limited at its place 0 by a Max profile; of one with several, each EVSE by a TxDefaultProfile
of its own, under ids of its own. Nothing else is known of profiles here.
"""

from __future__ import annotations

from dataclasses import dataclass

from dgm.ocpp.frame import Payload
from dgm.ocpp.profile import OWN_IDS
from dgm.ocpp.version import Version

_MAX_16, _MAX_2X = "ChargePointMaxProfile", "ChargingStationMaxProfile"
_TX_DEFAULT, _TX = "TxDefaultProfile", "TxProfile"
_IDS_PER_EVSE = 10

_RESTARTS = ("Reset", "UpdateFirmware")


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where an EVSE's limit is written.

    evse_id: of the EVSE (1.6: connector). is_alone: the only one of its station.
    """

    version: Version
    evse_id: int
    is_alone: bool

    @property
    def limited_id(self) -> int:
        """evseId or connectorId that our profiles name."""
        return 0 if self.is_alone else self.evse_id

    def to_wire(self, action: str, payload: Payload) -> tuple[str, Payload]:
        """A CALL of ours, made in words of 1.6 for connector 0 (a trigger: for the EVSE itself)."""
        match action:
            case "SetChargingProfile":
                return action, self._set_profile(payload["csChargingProfiles"])
            case "GetCompositeSchedule":
                rest = {key: value for key, value in payload.items() if key != "connectorId"}
                return action, {self._id_key: self.limited_id, **rest}
            case "TriggerMessage" if self.version.is_2x:
                evse: Payload = {"id": self.evse_id}
                if payload["requestedMessage"] == "StatusNotification":
                    evse["connectorId"] = 1  # F06.FR.12: a status is a connector's
                return action, {"requestedMessage": payload["requestedMessage"], "evse": evse}
            case _:
                return action, payload

    @property
    def _id_key(self) -> str:
        return "evseId" if self.version.is_2x else "connectorId"

    def _set_profile(self, body: Payload) -> Payload:
        profile = dict(body)
        profile_id = self._wire_id(profile.pop("chargingProfileId"))
        if not self.is_alone:
            profile["chargingProfilePurpose"] = _TX_DEFAULT
        if not self.version.is_2x:
            return {
                "connectorId": self.limited_id,
                "csChargingProfiles": {"chargingProfileId": profile_id, **profile},
            }
        if self.is_alone:
            profile["chargingProfilePurpose"] = _MAX_2X
        profile["chargingSchedule"] = [{"id": 1, **profile["chargingSchedule"]}]
        return {"evseId": self.limited_id, "chargingProfile": {"id": profile_id, **profile}}

    def _wire_id(self, profile_id: int) -> int:
        return profile_id + _IDS_PER_EVSE * self.limited_id

    def from_wire(self, action: str, payload: Payload) -> Payload:
        """The station's answer to a CALL of ours."""
        if action == "GetCompositeSchedule" and self.version.is_2x and "schedule" in payload:
            return {**payload, "chargingSchedule": payload["schedule"]}
        return payload

    def as_seen(self, action: str, payload: Payload | None) -> tuple[str, Payload | None]:
        """What a CSMS CALL could do to our profiles, as if they were Max profiles on connector 0 of a 1.6 station."""
        if action == "SignedUpdateFirmware":
            return "UpdateFirmware", payload
        if payload is None or action in _RESTARTS:
            return ("RemoteStartTransaction" if action == "RequestStartTransaction" else action), payload
        match action:
            case "SetChargingProfile":
                body = payload.get("chargingProfile" if self.version.is_2x else "csChargingProfiles")
                if not self._is_ours(payload.get(self._id_key), body):
                    return "", None
                return action, {"csChargingProfiles": self._seen_profile(body)}
            case "RequestStartTransaction" | "RemoteStartTransaction":
                return "RemoteStartTransaction", self._seen_start(payload)
            case "ClearChargingProfile":
                return action, self._seen_clear(payload)
            case _:
                return action, payload

    def _is_ours(self, evse_id: object, body: object) -> bool:
        """Whether a profile there, or anywhere by its id, can touch ours."""
        if self.is_alone or not isinstance(body, dict):
            return True
        return evse_id in (0, self.evse_id) or self._own(body) is not None

    def _own(self, body: Payload) -> int | None:
        """Our id of a profile that carries one of our ids on the wire."""
        wire_id = body.get("id" if self.version.is_2x else "chargingProfileId")
        return next((own for own in OWN_IDS if self._wire_id(own) == wire_id), None)

    def _seen_profile(self, body: object) -> object:
        if not isinstance(body, dict):
            return body
        purpose, level = body.get("chargingProfilePurpose"), body.get("stackLevel")
        if not self.is_alone and purpose == _TX:
            # It overrules our TxDefaultProfile whatever its level is (1.6 3.13.1).
            purpose, level = _TX_DEFAULT, None
        is_same = purpose in ((_MAX_16, _MAX_2X) if self.is_alone else (_TX_DEFAULT,))
        return {
            "chargingProfileId": self._own(body),
            "stackLevel": level,
            "chargingProfilePurpose": _MAX_16 if is_same else "",
        }

    def _seen_start(self, payload: Payload) -> Payload:
        body = payload.get("chargingProfile")
        if body is None or not self._is_ours(payload.get(self._id_key, self.evse_id), body):
            return {}
        return {"chargingProfile": self._seen_profile(body)}

    def _seen_clear(self, payload: Payload) -> Payload | None:
        profile_id = payload.get("chargingProfileId" if self.version.is_2x else "id")
        if profile_id is not None:
            return {"id": self._own({"id": profile_id, "chargingProfileId": profile_id}) or 0}
        criteria = payload.get("chargingProfileCriteria", {}) if self.version.is_2x else payload
        if not isinstance(criteria, dict):
            return None
        there, purpose = criteria.get(self._id_key), criteria.get("chargingProfilePurpose")
        ours = (_MAX_16, _MAX_2X) if self.is_alone else (_TX_DEFAULT,)
        return {
            "connectorId": 0 if there in (None, self.limited_id) else -1,
            "chargingProfilePurpose": None if purpose is None else _MAX_16 if purpose in ours else "",
            "stackLevel": criteria.get("stackLevel"),
        }
