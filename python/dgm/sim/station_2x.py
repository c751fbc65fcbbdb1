"""A simulated station of OCPP 2.0.1 or 2.1: the machine of `station`, speaking the other version on the wire.

    gateway ──2.x CALL──> commands ──1.6 CALL──> Station            gateway ──2.x answer──> 1.6 answer ──> Station
    gateway <──2.x────── Station2x <──1.6 CALL, answer── Station

Each connector is an EVSE with one connector. Transactions have ids of the station's own and are told by
TransactionEvent with running seqNo; readings of a transaction go there, triggered ones in MeterValues. A 2.1 station
also sends a periodic event stream (a SEND). Words only: what a station does stays in `station`.
"""

from __future__ import annotations

import json
from typing import Any

from dgm.machine import Now, Tick
from dgm.sim.commands_2x import Commands, Refused
from dgm.sim.connector import Connector
from dgm.sim.draw import Draw
from dgm.sim.stamps import format_time, parse_time
from dgm.sim.station import CALL, ERROR, RESULT, Connected, Effect, Event, Received, Send, Station, StationPlan

SEND = 6
OCPP_201, OCPP_21 = "ocpp2.0.1", "ocpp2.1"

_STATUS = {"Available": "Available", "Reserved": "Reserved", "Unavailable": "Unavailable", "Faulted": "Faulted"}
_CHARGING_STATE = {"Charging": "Charging", "SuspendedEV": "SuspendedEV", "SuspendedEVSE": "SuspendedEVSE"}
_STOPPED = {"EVDisconnected": "EVDisconnected", "Remote": "Remote", "DeAuthorized": "DeAuthorized"}

Payload = dict[str, Any]


class Transaction:
    """A transaction of one EVSE. number: what the machine knows it by."""

    def __init__(self, *, transaction_id: str, number: int, id_tag: str) -> None:
        self.id = transaction_id
        self.number = number
        self.id_tag = id_tag
        self.sequence = 0
        self.state = "EVConnected"
        self.first_event: Payload = {}
        self.last_event: Payload = {}


class Station2x:
    """The machine with its tongue; what is not words is asked of `inner`."""

    def __init__(self, plan: StationPlan, draw: Draw, version: str) -> None:
        self.inner = Station(plan, draw)
        self.plan = plan
        self.version = version
        self.transactions: dict[int, Transaction] = {}
        self._commands = Commands(self)
        self._open: dict[str, tuple[str, Payload, Transaction | None]] = {}
        self._ended: list[Transaction] = []
        self._told: dict[int, str] = {}
        self._wanted_status: set[int] = set()
        self._next_number = 1
        self._stream_id = 0
        self._connected_utc_ms = 0

    @property
    def connectors(self) -> Any:
        """Of the machine."""
        return self.inner.connectors

    @property
    def profiles(self) -> Any:
        """Of the machine."""
        return self.inner.profiles

    def limit_ma(self, connector: Connector, utc_ms: int) -> int:
        """Of the machine."""
        return self.inner.limit_ma(connector, utc_ms)

    @property
    def counters(self) -> Any:
        """Of the machine."""
        return self.inner.counters

    @property
    def is_accepted(self) -> bool:
        """Of the machine."""
        return self.inner.is_accepted

    def wake_time(self) -> int | None:
        """Of the machine."""
        return self.inner.wake_time()

    def handle(self, event: Event, now: Now) -> list[Effect]:
        """Take one event; what to send comes back in order, in words of 2.x."""
        if isinstance(event, Connected):
            self._connected_utc_ms = now.utc_ms
            self._told.clear()
            self._open.clear()
        if isinstance(event, Received):
            return self._received(event.text, now)
        return self._spoken(self.inner.handle(event, now), now)

    def transaction_of(self, number: int) -> Transaction | None:
        """The transaction that the machine knows by this number."""
        running = [*self.transactions.values(), *self._ended]
        return next((found for found in running if found.number == number), None)

    def want_status(self, evse_id: int | None) -> None:
        """The next status of this EVSE (None: of all) is told though it is not new."""
        self._wanted_status |= {evse_id} if evse_id is not None else set(self.connectors)

    # Towards the machine.

    def _received(self, text: str, now: Now) -> list[Effect]:
        try:
            frame = json.loads(text)
        except ValueError:
            frame = None
        match frame:
            case [2, str(message_id), str(action), dict(payload)]:
                return self._called(message_id, action, payload, now)
            case [3, str(message_id), dict(payload)] if message_id in self._open:
                return self._answered(message_id, payload, now)
            case [5 | 6, str(), *_]:
                return []
            case _:
                return self._spoken(self.inner.handle(Received(text), now), now)

    def _called(self, message_id: str, action: str, payload: Payload, now: Now) -> list[Effect]:
        try:
            told = self._commands.understand(message_id, action, payload)
        except Refused as refused:
            frame = [ERROR, message_id, refused.code, str(refused)[:255], {}]
            return [self._send(frame, ERROR, message_id, action)]
        if told.answer is not None:
            own = self._send([RESULT, message_id, told.answer], RESULT, message_id, action)
            return [own, *self._spoken(self.inner.handle(Tick(), now), now)] if told.wakes else [own]
        inner_text = json.dumps([CALL, message_id, told.action, told.payload])
        effects: list[Effect] = []
        for effect in self.inner.handle(Received(inner_text), now):
            if isinstance(effect, Send) and effect.message_type == RESULT and effect.message_id == message_id:
                answer = self._commands.answer(action, json.loads(effect.text)[2], told.payload)
                effects.append(self._send([RESULT, message_id, answer], RESULT, message_id, action))
            else:
                effects += self._spoken([effect], now)
        return effects

    def _answered(self, message_id: str, payload: Payload, now: Now) -> list[Effect]:
        action, _, transaction = self._open.pop(message_id)
        match action:
            case "Authorize":
                payload = {"idTagInfo": {"status": payload.get("idTokenInfo", {}).get("status", "Invalid")}}
            case "StartTransaction" if transaction is not None:
                status = payload.get("idTokenInfo", {}).get("status", "Accepted")
                payload = {"transactionId": transaction.number, "idTagInfo": {"status": status}}
            case _:
                pass
        return self._spoken(self.inner.handle(Received(json.dumps([RESULT, message_id, payload])), now), now)

    # From the machine.

    def _spoken(self, effects: list[Effect], now: Now) -> list[Effect]:
        spoken: list[Effect] = []
        for effect in effects:
            if not isinstance(effect, Send) or effect.message_type != CALL:
                spoken.append(effect)
                continue
            payload = json.loads(effect.text)[3]
            told = self._tell(effect.message_id, effect.action, payload, now)
            if told is None:
                # 2.x has no words for it: the machine gets its answer at once.
                answer = Received(json.dumps([RESULT, effect.message_id, {}]))
                spoken += self._spoken(self.inner.handle(answer, now), now)
                continue
            action, body = told
            frame = [CALL, effect.message_id, action, body]
            spoken.append(self._send(frame, CALL, effect.message_id, action, cause=effect.cause))
            if effect.action == "Heartbeat" and self.version == OCPP_21:
                spoken.append(self._stream(now))
        return spoken

    def _tell(self, message_id: str, action: str, payload: Payload, now: Now) -> tuple[str, Payload] | None:
        """The 2.x CALL of a CALL of the machine; None: there is none."""
        transaction: Transaction | None = None
        found: tuple[str, Payload] | None
        match action:
            case "BootNotification":
                found = action, {"reason": "PowerUp", "chargingStation": self._identity(payload)}
            case "StatusNotification":
                found = self._tell_status(payload)
            case "Authorize":
                found = action, {"idToken": _token(payload["idTag"])}
            case "StartTransaction":
                transaction = self._begin(payload)
                found = "TransactionEvent", self._started(payload, transaction)
            case "StopTransaction":
                found = "TransactionEvent", self._stopped(payload)
            case "MeterValues":
                found = self._tell_reading(payload)
            case "TransactionEvent":
                found = self._tell_state(payload["connectorId"], "Trigger", now)
            case _:
                found = action, payload
        if found is not None:
            self._open[message_id] = (action, payload, transaction)
        return found

    def _identity(self, payload: Payload) -> Payload:
        return {
            "vendorName": payload["chargePointVendor"],
            "model": payload["chargePointModel"],
            "serialNumber": payload["chargePointSerialNumber"][:25],
            "firmwareVersion": f"{self.version.removeprefix('ocpp')}-sim",
        }

    def _tell_status(self, payload: Payload) -> tuple[str, Payload] | None:
        evse_id, status = payload["connectorId"], payload["status"]
        if evse_id == 0:
            return None
        transaction, shown = self.transactions.get(evse_id), _STATUS.get(status, "Occupied")
        is_wanted = evse_id in self._wanted_status
        if transaction is not None and status in _CHARGING_STATE:
            transaction.state = status
            if not is_wanted and self._told.get(evse_id) == shown:
                event = self._event("Updated", "ChargingStateChanged", transaction, payload["timestamp"])
                return "TransactionEvent", event
        if not is_wanted and self._told.get(evse_id) == shown:
            return None
        self._wanted_status.discard(evse_id)
        self._told[evse_id] = shown
        body = {"timestamp": payload["timestamp"], "connectorStatus": shown, "evseId": evse_id, "connectorId": 1}
        return "StatusNotification", body

    def _begin(self, payload: Payload) -> Transaction:
        running = self.transactions.get(payload["connectorId"])
        if running is not None and running.first_event.get("timestamp") == payload["timestamp"]:
            return running  # told again, after its answer was lost
        number, self._next_number = self._next_number, self._next_number + 1
        found = Transaction(transaction_id=f"{self.plan.id}-{number}", number=number, id_tag=payload["idTag"])
        self.transactions[payload["connectorId"]] = found
        return found

    def _started(self, payload: Payload, transaction: Transaction) -> Payload:
        if transaction.first_event:
            return transaction.first_event
        event = self._event("Started", "Authorized", transaction, payload["timestamp"])
        event["evse"] = {"id": payload["connectorId"], "connectorId": 1}
        event["idToken"] = _token(transaction.id_tag)
        transaction.first_event = event
        return event

    def _stopped(self, payload: Payload) -> Payload:
        number = payload["transactionId"]
        evse_id = next((at for at, found in self.transactions.items() if found.number == number), None)
        transaction = self.transactions.pop(evse_id) if evse_id is not None else self.transaction_of(number)
        if transaction is None:
            transaction = Transaction(transaction_id=f"{self.plan.id}-x", number=number, id_tag=payload["idTag"])
        if transaction.last_event:
            return transaction.last_event
        self._ended = [*self._ended[-8:], transaction]
        event = self._event("Ended", "EVDeparted", transaction, payload["timestamp"])
        event["transactionInfo"]["stoppedReason"] = _STOPPED.get(payload["reason"], "Local")
        transaction.last_event = event
        return event

    def _tell_reading(self, payload: Payload) -> tuple[str, Payload]:
        values = [
            {"timestamp": group["timestamp"], "sampledValue": [_sampled(value) for value in group["sampledValue"]]}
            for group in payload["meterValue"]
        ]
        evse_id = payload["connectorId"]
        transaction = self.transactions.get(evse_id)
        is_triggered = payload["meterValue"][0]["sampledValue"][0]["context"] == "Trigger"
        if transaction is None or is_triggered:
            return "MeterValues", {"evseId": evse_id, "meterValue": values}
        event = self._event("Updated", "MeterValuePeriodic", transaction, values[0]["timestamp"])
        return "TransactionEvent", {**event, "meterValue": values}

    def _tell_state(self, evse_id: int, reason: str, now: Now) -> tuple[str, Payload] | None:
        transaction = self.transactions.get(evse_id)
        if transaction is None:
            return None
        event = self._event("Updated", reason, transaction, format_time(now.utc_ms))
        return "TransactionEvent", {**event, "evse": {"id": evse_id, "connectorId": 1}}

    def _event(self, kind: str, reason: str, transaction: Transaction, timestamp: str) -> Payload:
        sequence, transaction.sequence = transaction.sequence, transaction.sequence + 1
        about: Payload = {"transactionId": transaction.id}
        if kind != "Ended":
            about["chargingState"] = transaction.state
        event: Payload = {
            "eventType": kind,
            "timestamp": timestamp,
            "triggerReason": reason,
            "seqNo": sequence,
            "transactionInfo": about,
        }
        if parse_time(timestamp) < self._connected_utc_ms:
            event["offline"] = True
        return event

    def _stream(self, now: Now) -> Send:
        """A periodic event stream of 2.1: sent, and never answered."""
        self._stream_id += 1
        message_id = f"stream-{self._stream_id}"
        data = [{"t": 0, "v": "230.1"}]
        body = {"id": 1, "pending": 0, "basetime": format_time(now.utc_ms), "data": data}
        frame = [SEND, message_id, "NotifyPeriodicEventStream", body]
        return self._send(frame, SEND, message_id, "NotifyPeriodicEventStream")

    def _send(
        self, frame: list[Any], message_type: int, message_id: str, action: str, *, cause: str | None = None
    ) -> Send:
        text = self.inner.write(frame)
        return Send(text=text, message_type=message_type, message_id=message_id, action=action, cause=cause)


def _token(id_tag: str) -> Payload:
    return {"idToken": id_tag[:36], "type": "Central"}


def _sampled(value: Payload) -> Payload:
    found: Payload = {"value": float(value["value"]), "measurand": value["measurand"], "context": value["context"]}
    found["unitOfMeasure"] = {"unit": value["unit"]}
    return {**found, "phase": value["phase"]} if "phase" in value else found
