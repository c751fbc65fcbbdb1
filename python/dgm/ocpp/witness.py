"""What the frames of a station and of its CSMS say, told to the EVSEs that they are about.

    copy of a relayed frame ──> observe, observe_2x ──> Evse, Desk, Begin ──> Sampled, Outcome, Counted

Every frame has gone where it goes before it comes here, and nothing here decides where one goes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import assert_never

from dgm.machine import Now
from dgm.ocpp import der_control, frame, guarded, observe_2x
from dgm.ocpp import observe as observe_16
from dgm.ocpp.begin import Begin
from dgm.ocpp.charging_needs import Needed
from dgm.ocpp.desk import Desk
from dgm.ocpp.events import CarNeed, Counted, DerSeen, Effect, Keep, Passed, PasswordTaken
from dgm.ocpp.evse import Evse
from dgm.ocpp.frame import Kind, Payload
from dgm.ocpp.observe import (
    Booted,
    Breach,
    DerModes,
    DerTold,
    Metered,
    Observation,
    Socket,
    Starting,
    Status,
    Stopped,
    Transacted,
    Wrong,
)
from dgm.ocpp.quirks import Identity
from dgm.ocpp.store import StationMemory
from dgm.ocpp.version import Version

READ_BY_US = (
    "SetChargingProfile",
    "ClearChargingProfile",
    "UpdateDynamicSchedule",
    "RemoteStartTransaction",
    "RequestStartTransaction",
    "TriggerMessage",
    *guarded.ACTIONS,
    *der_control.CALLS,
)
LOOKED_AT = frozenset({*observe_16.ACTIONS, *observe_2x.ACTIONS})
ANSWER_READ = ("BootNotification", "StartTransaction")

CERTIFICATE_CALLS = frozenset({"SignCertificate", "CertificateSigned", "InstallCertificate", "DeleteCertificate"})
"""Passed on as they are, and counted: a renewal that does not come shows (1.6 security, 2.x A02)."""

KEEP_DER = "der"
"""Name under which the picture of a station's DER control is kept."""

IsValid = Callable[[Version, str, Payload], bool]


class Witness:
    """Of one station. version: of its connection. is_valid: whether a payload keeps to its schema, for a counter.

    stored: what was kept of it (`Keep`), by name.
    """

    def __init__(
        self,
        desk: Desk,
        memory: StationMemory,
        begin: Begin,
        *,
        version: Version,
        is_valid: IsValid,
        stored: Mapping[str, bytes],
    ) -> None:
        self.version = version
        self._der = der_control.from_bytes(stored.get(KEEP_DER, b""))
        self._desk, self._memory, self._begin = desk, memory, begin
        self._evses = desk.evses
        self._by_id = {evse.settings.connector_id: evse for evse in desk.evses}
        self._is_valid = is_valid
        self._starting: tuple[str, int] = ("", 0)
        self._new_password: tuple[str, str | None] = ("", None)

    def csms_lost(self) -> None:
        """A password that is on its way counts only with an answer that its CSMS hears."""
        self._new_password = ("", None)

    # The station's CALLs.

    def station_call(self, event: Passed, now: Now, *, is_passed: bool = True) -> list[Effect]:
        """A CALL of the station. is_passed: it has gone to the CSMS, which is not away."""
        if event.action != "BootNotification" and self._begin.needs_no_boot and not self._desk.quirks.waits_for_boot:
            self.start(now)
        effects: list[Effect] = _counted(event.action) if is_passed else []
        for seen in self.observed(event.action, event.raw):
            effects += self.seen(seen, event.head.id, now, claimed=event.claimed)
        return effects

    def start(self, now: Now) -> None:
        """CALLs of ours may begin."""
        self._begin.start()
        for evse in self._evses:
            evse.readings.connected(now)

    def observed(self, action: str, raw: bytes) -> Sequence[Observation]:
        """What a CALL of the station says; most say nothing that we use."""
        if action not in LOOKED_AT:
            return ()
        payload = frame.payload_of(raw)
        found = self._read(action, payload)
        if payload is not None and found and not self._is_valid(self.version, action, payload):
            found.append(Breach(what=action))
        return found

    def _read(self, action: str, payload: Payload | None) -> list[Observation]:
        if self.version.is_2x:
            return observe_2x.observe_2x(action, payload)
        found = observe_16.observe(action, payload)
        return [] if found is None else [found]

    def claiming(self, action: str, raw: bytes, now: Now) -> bool:
        """Whether this reading is one that a trigger of ours has caused."""
        if action != "MeterValues" or b"Trigger" not in raw:
            return False
        if not any(evse.readings.is_expecting for evse in self._evses):
            return False
        for seen in self.observed(action, raw):
            evse = self._by_id.get(seen.evse_id) if isinstance(seen, Metered) else None
            if evse is not None and isinstance(seen, Metered) and evse.readings.claims(seen, now):
                return True
        return False

    def seen(self, seen: Observation, message_id: str, now: Now, *, claimed: bool = False) -> list[Effect]:
        """One observation."""
        match seen:
            case Wrong():
                return [Counted(name="wrong_payload", detail=seen.what)]
            case Breach():
                return [Counted(name="schema_breach", detail=seen.what)]
            case Booted():
                return self._booted(seen, message_id, now)
            case Starting():
                self._starting = (message_id, seen.evse_id)
                return []
            case Stopped():
                self._stopped(seen)
                return []
            case DerTold():
                return self._der_seen() if self._der.told(seen.action, seen.payload, now.utc_ms) else []
            case DerModes():
                return self._der_seen() if self._der.offers(seen.evse_id, seen.names) else []
            case Needed():
                return self._needed(seen)
            case Transacted():
                evse = self._transacting(seen)
                return [] if evse is None else evse.transacted(seen, now)
            case Metered() | Status() | Socket():
                evse = self._by_id.get(seen.evse_id)
                return [] if evse is None else self._told(evse, seen, now, claimed=claimed)
            case _:
                assert_never(seen)

    def _der_seen(self) -> list[Effect]:
        return [Keep(name=KEEP_DER, body=self._der.to_bytes()), *self.ders()]

    def ders(self) -> list[DerSeen]:
        """What each EVSE of a V2X station offers of DER control, and what its CPO has made of it."""
        pairs = [] if self._der.is_empty else [(evse.settings, evse.settings.connector_id) for evse in self._evses]
        return [DerSeen(asset_id=settings.asset_id, der=self._der.of(number)) for settings, number in pairs]

    def _told(self, evse: Evse, seen: Metered | Status | Socket, now: Now, *, claimed: bool) -> list[Effect]:
        match seen:
            case Metered():
                return evse.metered(seen, claimed=claimed, now=now)
            case Status():
                return evse.plug(seen.plug_state, now)
            case Socket():
                return evse.socket(seen, now)
            case _:
                assert_never(seen)

    def _needed(self, seen: Needed) -> list[Effect]:
        """What the car of an EVSE needs by when, for the site's plans; its CPO answers the car."""
        evse = self._by_id.get(seen.evse_id)
        if evse is None:
            return []
        settings = evse.settings
        need = CarNeed(
            asset_id=settings.asset_id,
            station_id=settings.station_id,
            energy_wh=seen.energy_wh,
            departure_utc_ms=seen.departure_utc_ms,
            power_max_w=seen.power_w(settings.nominal_voltage_mv),
        )
        return [need]

    def _stopped(self, seen: Stopped) -> None:
        for evse in self._evses:
            if len(self._evses) == 1 or evse.memory.transaction_id == seen.transaction_id:
                evse.memory.transaction_id, evse.memory.ended_id = None, seen.transaction_id

    def _transacting(self, seen: Transacted) -> Evse | None:
        """The EVSE of a TransactionEvent: only the first event of a transaction must name it (2.x, E01.FR.16)."""
        if seen.evse_id is not None:
            return self._by_id.get(seen.evse_id)
        known = (evse for evse in self._evses if evse.memory.transaction_id == seen.transaction_id)
        return next(known, self._evses[0] if len(self._evses) == 1 else None)

    def _booted(self, seen: Booted, message_id: str, now: Now) -> list[Effect]:
        self._memory.vendor, self._memory.model, self._memory.firmware = seen.vendor, seen.model, seen.firmware
        self._begin.booting(now)
        evidence = f"BootNotification {message_id}"[:120]
        effects: list[Effect] = [outcome for evse in self._evses for outcome in evse.enforcer.wiped(now, evidence)]
        identity = Identity(vendor=seen.vendor, model=seen.model, firmware=seen.firmware)
        return effects + self._desk.booted(identity, now)

    # The CSMS, and the station's answers to it.

    def csms_call(self, event: Passed, now: Now) -> list[Effect]:
        """A CALL of the CSMS."""
        payload = frame.payload_of(event.raw) if event.action in READ_BY_US else None
        self._desk.relayed(event.action, event.head.id, payload)
        if event.action in guarded.ACTIONS:
            self._new_password = (event.head.id, guarded.new_password(event.action, payload))
        if event.action in der_control.CALLS:
            self._der.asked(event.action, event.head.id, payload)
        effects: list[Effect] = _counted(event.action)
        for evse in self._evses:
            if event.action == "TriggerMessage":
                evse.readings.csms_triggered(payload, now)
            effects += evse.csms_called(event.action, payload, event.head.id, now)
        return effects

    def station_answered(self, event: Passed, now: Now) -> list[Effect]:
        """The station's answer to a CALL of the CSMS: about profiles, DER controls, or a new password."""
        effects: list[Effect] = []
        if event.action in der_control.CALLS:
            payload = frame.payload_of(event.raw) if event.head.kind is Kind.RESULT else None
            effects += self._der_seen() if self._der.answered(event.head.id, payload, now.utc_ms) else []
        message_id, password = self._new_password
        if message_id == event.head.id and password is not None:
            self._new_password = ("", None)
            is_result = event.head.kind is Kind.RESULT
            if is_result and guarded.is_taken(event.action, frame.payload_of(event.raw)):
                effects.append(PasswordTaken(password=password))
        return effects + self._desk.station_answered(event, now)

    def csms_answer(self, event: Passed, now: Now) -> list[Effect]:
        """The CSMS's answer to a CALL of the station."""
        if event.action not in ANSWER_READ or event.head.kind is Kind.ERROR:
            return []
        payload = frame.payload_of(event.raw)
        if payload is None:
            return [Counted(name="wrong_payload", detail=event.action)]
        self.answered(event.action, event.head.id, payload, now)
        return []

    def answered(self, action: str, message_id: str, payload: Payload, now: Now, *, is_ours: bool = False) -> None:
        """What the station is told to a boot or a start, by the CSMS or by us in its place.

        A station that waits to be accepted may be given limits (1.6, 4.2.1), which is why we let it wait.
        """
        is_waiting = payload.get("status") == "Pending" and is_ours and not self._desk.quirks.waits_for_boot
        if action == "StartTransaction":
            self._transaction_given(message_id, payload.get("transactionId"))
        elif payload.get("status") == "Accepted" or is_waiting:
            self.start(now)
        elif payload.get("status") == "Rejected":
            self._begin.rejected()

    def _transaction_given(self, message_id: str, found: object) -> None:
        """The answer to a StartTransaction (1.6)."""
        started_id, evse_id = self._starting
        evse = self._by_id.get(evse_id) if started_id == message_id else None
        if evse is None and len(self._evses) == 1:
            evse = self._evses[0]
        if evse is not None:
            evse.memory.transaction_id = found if isinstance(found, int) and not isinstance(found, bool) else None


def _counted(action: str) -> list[Effect]:
    return [Counted(name="certificate", detail=action)] if action in CERTIFICATE_CALLS else []
