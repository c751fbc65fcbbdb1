"""One simulated OCPP 1.6J charging station: a machine that takes frames and cars and gives frames. No clock, no socket.

    Connected, Received(text), Plug(car), Unplug, Tick ──> Station.handle ──> Send(frame), Hangup
                                                              │
                             ProfileStore ──offered current──> Car ──> current per phase, energy

It behaves as charge points in the field do: one open CALL at a time, transactions kept while offline, profiles kept
over a reboot, its own way of writing JSON, and signed meter readings that nobody may touch. It knows nothing of the
product.
"""

from __future__ import annotations

import json
from collections import deque
from dataclasses import dataclass
from typing import Any, assert_never

from dgm.machine import Now, Tick
from dgm.sim import station_calls
from dgm.sim.car import CURRENT_MIN_MA, Car, CarSpec
from dgm.sim.connector import PERIODIC, Connector, ConnectorPlan, Session
from dgm.sim.draw import Draw
from dgm.sim.profiles import ProfileStore
from dgm.sim.quirks import Quirk
from dgm.sim.stamps import format_time

QUEUE_MAX = 256
"""Waiting CALLs of one station; beyond it readings and status are dropped, transaction messages never."""

CALL_TIMEOUT_MS = 30_000
REBOOT_MS = 3_000
TICK_MS = 100
AUTHORIZE_RETRY_MS = 10_000
LIMIT_RECHECK_MS = 60_000
SIGNED_VENDOR = "org.ocmf.signed"
_AUTHORIZE_DELAY_MS = (800.0, 2500.0)
_STARTED_BY_CAR = ("StartTransaction", "StopTransaction")

CALL, RESULT, ERROR = 2, 3, 4


@dataclass(frozen=True, slots=True, kw_only=True)
class StationPlan:
    """What a station is. `dialect` chooses its way of writing JSON; the voltage is phase to neutral, at its meter.

    quirks: what it does differently from the standard, names of `quirks.Quirk`. subprotocol: what it speaks on a real
    socket (see `station_2x`); the virtual world has 1.6 only.
    """

    id: str
    vendor: str
    model: str
    connectors: tuple[ConnectorPlan, ...]
    dialect: int
    voltage_mv: int
    meter_interval_s: int
    quirks: tuple[str, ...] = ()
    subprotocol: str = "ocpp1.6"


@dataclass(frozen=True, slots=True)
class Connected:
    """The WebSocket stands."""


@dataclass(frozen=True, slots=True)
class Disconnected:
    """The WebSocket is gone."""


@dataclass(frozen=True, slots=True)
class Received:
    """A text frame came in."""

    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Plug:
    """A car is plugged in."""

    connector_id: int
    car: CarSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class Unplug:
    """The car leaves."""

    connector_id: int


Event = Connected | Disconnected | Received | Plug | Unplug | Tick


@dataclass(frozen=True, slots=True, kw_only=True)
class Send:
    """Send this text. `cause` is the id of the TriggerMessage that asked for it."""

    text: str
    message_type: int
    message_id: str
    action: str
    cause: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Hangup:
    """Close the connection; come back after wait_ms."""

    wait_ms: int


Effect = Send | Hangup


@dataclass(slots=True, kw_only=True)
class _Outgoing:
    action: str
    payload: dict[str, Any]
    connector_id: int = 0
    session: Session | None = None
    cause: str | None = None

    @property
    def is_transactional(self) -> bool:
        return self.action in _STARTED_BY_CAR


@dataclass(slots=True, kw_only=True)
class _Open:
    call: _Outgoing
    message_id: str
    since_ms: int


@dataclass(slots=True)
class Counters:
    """What the station has seen go wrong, and what it was told."""

    garbage: int = 0
    errors: int = 0
    timeouts: int = 0
    dropped: int = 0
    profiles_set: int = 0
    profiles_rejected: int = 0


class Station:
    """The machine. `draw` gives its delays and its meter's signatures."""

    def __init__(self, plan: StationPlan, draw: Draw) -> None:
        self.plan = plan
        self.connectors = {connector.connector_id: Connector(plan=connector) for connector in plan.connectors}
        self.profiles = ProfileStore()
        self.configuration = station_calls.default_configuration(
            meter_interval_s=plan.meter_interval_s, connectors=len(plan.connectors)
        )
        self.counters = Counters()
        self.is_connected = False
        self.is_accepted = False
        self._draw = draw
        self._queue: deque[_Outgoing] = deque()
        self._open: _Open | None = None
        self._next_id = 1000 + draw.randrange(9000)
        self._heartbeat_due_ms: int | None = None
        self._boot_due_ms: int | None = None
        self._hangup = False

    def handle(self, event: Event, now: Now) -> list[Effect]:
        """Take one event; what to send comes back in order."""
        effects: list[Effect] = []
        match event:
            case Connected():
                self.is_connected = True
                self._boot_due_ms = now.mono_ms
            case Disconnected():
                self._lose_connection()
            case Received(text=text):
                effects += self._receive(text, now)
            case Plug(connector_id=connector_id, car=car):
                self._plug(self.connectors[connector_id], car, now)
            case Unplug(connector_id=connector_id):
                self._unplug(self.connectors[connector_id], now)
            case Tick():
                self._tick(now)
            case _:
                assert_never(event)
        effects += self._pump(now)
        if self._hangup:
            self._hangup = False
            effects.append(Hangup(wait_ms=REBOOT_MS))
        return effects

    def wake_time(self) -> int | None:
        """A plugged-in car is stepped every TICK_MS; else the next timer counts."""
        timers = [self._heartbeat_due_ms, self._boot_due_ms]
        if self._open is not None:
            timers.append(self._open.since_ms + CALL_TIMEOUT_MS)
        for connector in self.connectors.values():
            timers.append(connector.meter_due_ms)
            if connector.car is not None:
                timers.append(connector.car.stepped_ms + TICK_MS)
        return min((timer for timer in timers if timer is not None), default=None)

    # What station_calls needs

    def enqueue(
        self,
        action: str,
        payload: dict[str, Any],
        *,
        connector_id: int = 0,
        session: Session | None = None,
        cause: str | None = None,
    ) -> None:
        """Queue a CALL of the station."""
        call = _Outgoing(action=action, payload=payload, connector_id=connector_id, session=session, cause=cause)
        if len(self._queue) >= QUEUE_MAX and not call.is_transactional:
            self.counters.dropped += 1
            return
        self._queue.append(call)

    def refresh_limits(self) -> None:
        """The profiles have changed: every connector asks again what it may offer."""
        for connector in self.connectors.values():
            connector.limit_until_utc_ms = 0

    def limit_ma(self, connector: Connector, utc_ms: int) -> int:
        """What installed profiles and hardware allow the connector, mA per phase."""
        sharing = sum(1 for other in self.connectors.values() if other.session is not None)
        return self.profiles.limit_ma(
            connector.id,
            utc_ms,
            hardware_ma=connector.plan.current_max_ma,
            phases=connector.plan.phases,
            transaction_start_ms=connector.session.start_utc_ms if connector.session else None,
            sharing=max(1, sharing),
        )

    def start_session(self, connector: Connector, id_tag: str, now: Now) -> None:
        """Begin a transaction for the car that is plugged in."""
        connector.authorize_ms = None
        if connector.session is not None or connector.car is None:
            return
        connector.session = Session(id_tag=id_tag, start_utc_ms=now.utc_ms)
        self.refresh_limits()
        payload = {
            "connectorId": connector.id,
            "idTag": id_tag,
            "meterStart": round(connector.register_wh),
            "timestamp": format_time(now.utc_ms),
        }
        self.enqueue("StartTransaction", payload, connector_id=connector.id, session=connector.session)

    def stop_session(self, connector: Connector, reason: str, now: Now) -> None:
        """End the running transaction, if any, and send the signed reading that bills it."""
        session = connector.session
        if session is None:
            return
        connector.session = None
        connector.meter_due_ms = None
        self.profiles.end_transaction(connector.id)
        self.refresh_limits()
        payload = {
            "idTag": session.id_tag,
            "meterStop": round(connector.register_wh),
            "timestamp": format_time(now.utc_ms),
            "reason": reason,
        }
        self.enqueue("StopTransaction", payload, connector_id=connector.id, session=session)
        self.enqueue("DataTransfer", self._signed_reading(connector, now))

    def set_status(self, connector: Connector, status: str, now: Now) -> None:
        """Change the status and tell the CSMS."""
        if connector.status != status:
            connector.status = status
            self.enqueue("StatusNotification", self.status_payload(connector.id, now))

    def status_payload(self, connector_id: int, now: Now) -> dict[str, Any]:
        """Payload of StatusNotification; connector 0 is the station itself."""
        status = self.connectors[connector_id].status if connector_id else "Available"
        return {
            "connectorId": connector_id,
            "errorCode": "NoError",
            "status": status,
            "timestamp": format_time(now.utc_ms),
        }

    def boot_payload(self) -> dict[str, Any]:
        """Payload of BootNotification."""
        return {
            "chargePointVendor": self.plan.vendor,
            "chargePointModel": self.plan.model,
            "chargePointSerialNumber": f"SN/{self.plan.id}",
            "firmwareVersion": "1.6.0-sim",
        }

    def reset(self, *, hard: bool, now: Now) -> None:
        """End all transactions, hang up, come back."""
        for connector in self.connectors.values():
            self.stop_session(connector, "HardReset" if hard else "SoftReset", now)
            if connector.car is not None:
                connector.authorize_ms = now.mono_ms + REBOOT_MS
                connector.status = "Preparing"
        self.is_accepted = False
        self._hangup = True

    # Cars and time

    def _plug(self, connector: Connector, spec: CarSpec, now: Now) -> None:
        connector.car = Car(spec, now_ms=now.mono_ms)
        connector.authorize_ms = now.mono_ms + round(self._draw.uniform(*_AUTHORIZE_DELAY_MS))
        self.set_status(connector, "Preparing", now)

    def _unplug(self, connector: Connector, now: Now) -> None:
        connector.step_car(now_ms=now.mono_ms, voltage_mv=self.plan.voltage_mv)
        had_session = connector.session is not None
        self.stop_session(connector, "EVDisconnected", now)
        connector.car = None
        connector.offered_ma = 0
        connector.authorize_ms = None
        if had_session:
            self.set_status(connector, "Finishing", now)
        self.set_status(connector, "Available", now)

    def _tick(self, now: Now) -> None:
        if self._open is not None and now.mono_ms - self._open.since_ms >= CALL_TIMEOUT_MS:
            self.counters.timeouts += 1
            self._give_back_open()
        if self._heartbeat_due_ms is not None and now.mono_ms >= self._heartbeat_due_ms:
            self._heartbeat_due_ms = now.mono_ms + int(self.configuration["HeartbeatInterval"].value) * 1000
            self.enqueue("Heartbeat", {})
        for connector in self.connectors.values():
            if connector.car is not None:
                self._tick_connector(connector, connector.car, now)

    def _tick_connector(self, connector: Connector, car: Car, now: Now) -> None:
        connector.offered_ma = self._offer_ma(connector, now)
        car.offer(connector.offered_ma, now_ms=now.mono_ms)
        connector.step_car(now_ms=now.mono_ms, voltage_mv=self.plan.voltage_mv)
        if connector.authorize_ms is not None and now.mono_ms >= connector.authorize_ms and self.is_accepted:
            connector.authorize_ms = now.mono_ms + AUTHORIZE_RETRY_MS
            self.enqueue("Authorize", {"idTag": car.spec.id_tag}, connector_id=connector.id)
        if connector.transaction_id is not None:
            self.set_status(connector, connector.charging_status(), now)
        if connector.meter_due_ms is not None and now.mono_ms >= connector.meter_due_ms:
            connector.meter_due_ms = now.mono_ms + int(self.configuration["MeterValueSampleInterval"].value) * 1000
            payload = connector.meter_values(context=PERIODIC, utc_ms=now.utc_ms, voltage_mv=self.plan.voltage_mv)
            self.enqueue("MeterValues", payload)

    def _offer_ma(self, connector: Connector, now: Now) -> int:
        """The pilot current: 0 without a running transaction or below 6 A."""
        session = connector.session
        if session is None or session.transaction_id is None:
            return 0
        if now.utc_ms >= connector.limit_until_utc_ms:
            connector.limit_ma = self.limit_ma(connector, now.utc_ms)
            edge_ms = self.profiles.next_edge_ms(now.utc_ms, transaction_start_ms=session.start_utc_ms)
            recheck_ms = now.utc_ms + LIMIT_RECHECK_MS
            connector.limit_until_utc_ms = recheck_ms if edge_ms is None else min(edge_ms, recheck_ms)
        return connector.limit_ma if connector.limit_ma >= CURRENT_MIN_MA else 0

    def _signed_reading(self, connector: Connector, now: Now) -> dict[str, Any]:
        """A meter reading with a signature over its exact text, as calibration law asks for."""
        reading = {"TM": format_time(now.utc_ms), "RV": round(connector.register_wh, 3), "RU": "Wh"}
        body = json.dumps({"FV": "1.0", "MS": f"Zähler-{self.plan.id}", "RD": [reading]}, ensure_ascii=False)
        signature = "".join(f"{self._draw.randrange(256):02x}" for _ in range(64))
        data = f'OCMF|{body}|{{"SD":"{signature}"}}'
        return {"vendorId": SIGNED_VENDOR, "messageId": "SignedMeterValue", "data": data}

    # Frames

    def _lose_connection(self) -> None:
        if Quirk.FORGETS in self.plan.quirks:
            self.profiles = ProfileStore()
            self.refresh_limits()
        self.is_connected = False
        self.is_accepted = False
        self._heartbeat_due_ms = None
        self._boot_due_ms = None
        self._give_back_open()
        self._queue = deque(call for call in self._queue if call.is_transactional)

    def _give_back_open(self) -> None:
        """The open CALL got no answer: a transaction message is tried again, anything else is forgotten."""
        if self._open is not None and self._open.call.is_transactional:
            self._queue.appendleft(self._open.call)
        self._open = None

    def _pump(self, now: Now) -> list[Effect]:
        """Send the next CALL when none is open: the boot first, the rest only once accepted."""
        if not self.is_connected or self._open is not None:
            return []
        if self._boot_due_ms is not None and now.mono_ms >= self._boot_due_ms:
            self._boot_due_ms = None
            return [self._send_call(_Outgoing(action="BootNotification", payload=self.boot_payload()), now)]
        if not self.is_accepted or not self._queue:
            return []
        return [self._send_call(self._queue.popleft(), now)]

    def _send_call(self, call: _Outgoing, now: Now) -> Send:
        if call.action == "StopTransaction" and call.session is not None:
            # Without an answer to its StartTransaction the rest of a transaction carries -1 (1.6 errata 3.18).
            known = call.session.transaction_id
            call.payload = {**call.payload, "transactionId": -1 if known is None else known}
        message_id = f"{self._next_id}"
        self._next_id += 1
        self._open = _Open(call=call, message_id=message_id, since_ms=now.mono_ms)
        text = self.write([CALL, message_id, call.action, call.payload])
        return Send(text=text, message_type=CALL, message_id=message_id, action=call.action, cause=call.cause)

    def _receive(self, text: str, now: Now) -> list[Effect]:
        try:
            frame = json.loads(text)
        except ValueError:
            frame = None
        match frame:
            case [2, str(message_id), str(action), dict(payload)]:
                return [self._answer(message_id, action, payload, now)]
            case [3, str(message_id), dict(payload)]:
                self._take_answer(message_id, payload, now)
            case [4, str(message_id), *_]:
                self._take_error(message_id)
            case _:
                self.counters.garbage += 1
        return []

    def _answer(self, message_id: str, action: str, payload: dict[str, Any], now: Now) -> Send:
        answer = station_calls.answer(self, message_id, action, payload, now)
        if isinstance(answer, station_calls.Refusal):
            text = self.write([ERROR, message_id, answer.code, answer.text, {}])
            return Send(text=text, message_type=ERROR, message_id=message_id, action=action)
        text = self.write([RESULT, message_id, answer])
        return Send(text=text, message_type=RESULT, message_id=message_id, action=action)

    def _take_error(self, message_id: str) -> None:
        if self._open is not None and self._open.message_id == message_id:
            self.counters.errors += 1
            self._give_back_open()

    def _take_answer(self, message_id: str, payload: dict[str, Any], now: Now) -> None:
        if self._open is None or self._open.message_id != message_id:
            self.counters.garbage += 1
            return
        call = self._open.call
        self._open = None
        match call.action:
            case "BootNotification":
                self._take_boot(payload, now)
            case "Authorize":
                self._take_authorization(self.connectors[call.connector_id], payload, now)
            case "StartTransaction":
                self._take_transaction(self.connectors[call.connector_id], call, payload, now)
            case _:
                pass

    def _take_boot(self, payload: dict[str, Any], now: Now) -> None:
        interval_s = max(1, int(payload.get("interval", 0)) or 300)
        if payload.get("status") != "Accepted":
            self._boot_due_ms = now.mono_ms + interval_s * 1000
            return
        self.is_accepted = True
        self.configuration["HeartbeatInterval"].value = str(interval_s)
        self._heartbeat_due_ms = now.mono_ms + interval_s * 1000
        for connector_id in (0, *self.connectors):
            self.enqueue("StatusNotification", self.status_payload(connector_id, now))

    def _take_authorization(self, connector: Connector, payload: dict[str, Any], now: Now) -> None:
        accepted = payload.get("idTagInfo", {}).get("status") == "Accepted"
        if accepted and connector.car is not None:
            self.start_session(connector, connector.car.spec.id_tag, now)

    def _take_transaction(self, connector: Connector, call: _Outgoing, payload: dict[str, Any], now: Now) -> None:
        if call.session is None:
            return
        call.session.transaction_id = int(payload.get("transactionId", -1))
        if connector.session is not call.session:
            return
        if payload.get("idTagInfo", {}).get("status") != "Accepted":
            self.stop_session(connector, "DeAuthorized", now)
            return
        interval_ms = int(self.configuration["MeterValueSampleInterval"].value) * 1000
        # The first reading comes soon, then each at its own beat, so that a fleet does not speak in chorus.
        connector.meter_due_ms = now.mono_ms + round(self._draw.uniform(0.1, 1.0) * interval_ms)
        self.enqueue("DataTransfer", self._signed_reading(connector, now))

    def write(self, frame: list[Any]) -> str:
        """The frame as this make of station writes JSON."""
        match self.plan.dialect % 4:
            case 0:
                return json.dumps(frame, separators=(",", ":"), ensure_ascii=False)
            case 1:
                return json.dumps(frame)
            case 2:
                return json.dumps(frame, separators=(" , ", " : "), ensure_ascii=False)
            case _:
                return json.dumps(frame, indent=1, ensure_ascii=False) + "\n"
