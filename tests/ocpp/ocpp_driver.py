"""Drives one Session under a clock that only moves when told, with a small model of a station at the south end."""

from __future__ import annotations

import itertools
import json
from collections import deque
from typing import Any

import hypothesis

from dgm.api.ems.v1.ems_pb2 import OutcomeState
from dgm.api.ocpp.v1.evse_model_pb2 import EvseModel
from dgm.machine import Now, Tick
from dgm.ocpp import frame, stamp
from dgm.ocpp.composite import View, limit_at, next_edge
from dgm.ocpp.events import (
    CarNeed,
    Close,
    Copied,
    Counted,
    CpoLimit,
    DerSeen,
    Event,
    Excepted,
    FrameIn,
    Glance,
    Keep,
    Later,
    Leg,
    LegDown,
    LegUp,
    Outcome,
    Sampled,
    Send,
    SetpointIn,
)
from dgm.ocpp.frame import Head, Kind
from dgm.ocpp.outage import Outage
from dgm.ocpp.profile import Profile, Purpose, Transaction
from dgm.ocpp.profile_codec import Flaw, parse_profile
from dgm.ocpp.session import Session
from dgm.ocpp.store import StationSettings
from dgm.ocpp.version import Version

QUICK = hypothesis.settings(deadline=None, max_examples=60)
"""The machine may be busy: no deadline for one example."""

UTC_MS = 1_793_000_000_000


def settings(**changes: Any) -> StationSettings:
    found: dict[str, Any] = {
        "station_id": "CP-1",
        "cpo_id": "cpo-a",
        "csms_url": "ws://127.0.0.1:1/ocpp",
        "asset_id": "evse-1",
        "connector_id": 1,
        "phases": (0, 1, 2),
        "current_max_ma": 32_000,
        "fallback_ma": 6_000,
        "nominal_voltage_mv": 230_000,
        "profile_lease_ms": 120_000,
        "max_stack_level": 8,
        "trigger_interval_ms": 10_000,
        "call_timeout_ms": 10_000,
    }
    return StationSettings(**{**found, **changes})


class ModelStation:
    """Holds profiles as OCPP 1.6 says and answers; `faults` maps an action to an answer it gives instead."""

    def __init__(self) -> None:
        self.profiles: dict[tuple[int, Purpose, int], Profile] = {}
        self.faults: dict[str, Any] = {}
        self.clock_error_ms = 0
        self.draw_a = 0.0
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.transaction: Transaction | None = None

    def view(self, connector_id: int) -> View:
        running = {} if self.transaction is None else {1: self.transaction}
        return View(evse_id=connector_id, nominal_voltage_mv=230_000, evse_ids=(1, 2), transactions=running)

    def limit_ma(self, utc_ms: int, connector_id: int = 0) -> int | None:
        limit = limit_at(self.profiles.values(), self.view(connector_id), utc_ms + self.clock_error_ms)
        return None if limit is None else limit.current_ma(230_000)

    def answer(self, action: str, payload: dict[str, Any], utc_ms: int) -> Any:
        """A payload, "error" for CALLERROR, or None for silence."""
        self.calls.append((action, payload))
        if action in self.faults:
            return self.faults[action]
        match action:
            case "SetChargingProfile":
                return self.install(payload)
            case "ClearChargingProfile":
                return self.clear(payload)
            case "GetCompositeSchedule":
                return self._composite(payload, utc_ms)
            case _:
                return {"status": "Accepted"}

    def install(self, payload: dict[str, Any]) -> Any:
        found = self.parse(payload)
        assert isinstance(found, Profile), (payload, found)
        if found.purpose is Purpose.TX and self.transaction is None:
            return {"status": "Rejected"}
        self.profiles = {key: held for key, held in self.profiles.items() if held.id != found.id}
        self.profiles[found.evse_id, found.purpose, found.stack_level] = found
        return {"status": "Accepted"}

    def parse(self, payload: dict[str, Any]) -> Profile | Flaw:
        body, connector_id = payload["csChargingProfiles"], payload["connectorId"]
        return parse_profile(body, evse_id=connector_id, version=Version.V16, utc_ms=0)

    def clear(self, payload: dict[str, Any]) -> Any:
        wire = {
            "ChargePointMaxProfile": Purpose.MAX,
            "ChargingStationMaxProfile": Purpose.MAX,
            "TxDefaultProfile": Purpose.TX_DEFAULT,
            "TxProfile": Purpose.TX,
        }
        purpose = wire.get(payload.get("chargingProfilePurpose", ""))
        gone = [
            key
            for key, held in self.profiles.items()
            if payload.get("id") in (None, held.id)
            and payload.get("connectorId") in (None, held.evse_id)
            and purpose in (None, held.purpose)
            and payload.get("stackLevel") in (None, held.stack_level)
        ]
        for key in gone:
            del self.profiles[key]
        return {"status": "Accepted" if gone else "Unknown"}

    def end_transaction(self) -> None:
        self.transaction = None
        self.profiles = {key: held for key, held in self.profiles.items() if held.purpose is not Purpose.TX}

    def _composite(self, payload: dict[str, Any], utc_ms: int) -> dict[str, Any]:
        start, end = utc_ms + self.clock_error_ms, utc_ms + self.clock_error_ms + payload["duration"] * 1000
        view, at, periods = self.view(payload["connectorId"]), start, []
        while at is not None and at < end:
            ma = self.limit_ma(at - self.clock_error_ms, payload["connectorId"])
            periods.append({"startPeriod": -(-(at - start) // 1000), "limit": (64_000 if ma is None else ma) / 1000})
            at = next_edge(self.profiles.values(), view, at) or end
        schedule = {"duration": payload["duration"], "chargingRateUnit": "A", "chargingSchedulePeriod": periods}
        return {"status": "Accepted", "connectorId": payload["connectorId"], "chargingSchedule": schedule}


class Driver:
    """A session with everything it said, in order."""

    def __init__(
        self,
        *,
        station: ModelStation | None = None,
        short_cut: bool = False,
        evses: list[StationSettings] | None = None,
        stored: dict[str, bytes] | None = None,
        models: tuple[EvseModel, ...] = (),
        outage: Outage | None = None,
        **changes: Any,
    ) -> None:
        self.short_cut = short_cut
        self.ids = (f"own-{number}" for number in itertools.count(1))
        self.stored: dict[str, bytes] = dict(stored or {})
        self.cpo_limits: list[int | None] = []
        self.car_needs: list[CarNeed] = []
        self.session = Session(
            evses or [settings(**changes)],
            lambda: next(self.ids),
            stored=self.stored,
            models=models,
            outage=outage,
        )
        self.station = station
        self.mono_ms = 1_000_000
        self.utc_step_ms = 0
        self.north: list[bytes] = []
        self.south: list[bytes] = []
        self.samples: list[Sampled] = []
        self.ders: list[DerSeen] = []
        self.outcomes: list[Outcome] = []
        self.excepted: list[Excepted] = []
        self.counted: list[Counted] = []
        self.closed: list[Close] = []
        self.open_south: list[str] = []
        self.call_times: list[tuple[str, int]] = []
        self._numbers = itertools.count(1)

    @property
    def now(self) -> Now:
        return Now(mono_ms=self.mono_ms, utc_ms=UTC_MS + self.mono_ms + self.utc_step_ms)

    def frame(self, leg: Leg, raw: bytes) -> None:
        """A message as the shell hands it over."""
        glance = self.session.pass_on(leg, raw) if self.short_cut else Glance.HANDLE
        if glance is Glance.HANDLE:
            self.put(FrameIn(leg=leg, raw=raw))
            return
        (self.north if leg is Leg.SOUTH else self.south).append(raw)
        if glance is Glance.COPY:
            self.put(Copied(leg=leg, raw=raw))

    def put(self, event: Event) -> None:
        events: deque[Event] = deque((event,))
        replies: list[bytes] = []
        while events:
            for effect in self.session.handle(events.popleft(), self.now):
                match effect:
                    case Send():
                        self._sent(effect, replies)
                    case Later():
                        events.append(effect.event)
                    case Sampled():
                        self.samples.append(effect)
                    case Outcome():
                        self.outcomes.append(effect)
                    case Excepted():
                        self.excepted.append(effect)
                    case Counted():
                        self.counted.append(effect)
                    case Close():
                        self.closed.append(effect)
                    case Keep():
                        self.stored[effect.name] = effect.body
                    case DerSeen():
                        self.ders.append(effect)
                    case CarNeed():
                        self.car_needs.append(effect)
                    case CpoLimit():
                        self.cpo_limits.append(effect.current_ma)
        for raw in replies:
            self.frame(Leg.SOUTH, raw)

    def _sent(self, effect: Send, replies: list[bytes]) -> None:
        if effect.leg is Leg.NORTH:
            self.north.append(effect.raw)
            return
        self.south.append(effect.raw)
        head = frame.scan(effect.raw)
        assert isinstance(head, Head), "the gateway sends readable frames only"
        if head.kind is not Kind.CALL:
            return
        self.open_south.append(head.id)
        self.call_times.append((head.id, self.mono_ms))
        if self.station is None:
            return
        answer = self.station.answer(head.action, frame.payload_of(effect.raw) or {}, self.now.utc_ms)
        if answer is not None:
            self.open_south.remove(head.id)
            error = [4, head.id, "NotSupported", "", {}]
            replies.append(json.dumps(error if answer == "error" else [3, head.id, answer]).encode())

    def connect(self, *, boot: bool = True) -> Driver:
        self.put(LegUp(leg=Leg.NORTH))
        self.put(LegUp(leg=Leg.SOUTH, subprotocol="ocpp1.6"))
        if boot:
            self.boot()
        return self

    def disconnect(self) -> None:
        self.put(LegDown(leg=Leg.SOUTH))
        self.put(LegDown(leg=Leg.NORTH))
        self.open_south.clear()

    def boot(self, status: str = "Accepted") -> None:
        boot_id = self.station_call("BootNotification", {"chargePointVendor": "V", "chargePointModel": "M"})
        answer = {"status": status, "currentTime": stamp.text(self.now.utc_ms), "interval": 300}
        self.csms_answer(boot_id, answer)

    def station_call(self, action: str, payload: Any, message_id: str | None = None) -> str:
        message_id = message_id or f"s{next(self._numbers)}"
        self.frame(Leg.SOUTH, json.dumps([2, message_id, action, payload]).encode())
        return message_id

    def station_answer(self, message_id: str, payload: Any) -> bytes:
        raw = json.dumps([3, message_id, payload]).encode()
        if message_id in self.open_south:
            self.open_south.remove(message_id)
        self.frame(Leg.SOUTH, raw)
        return raw

    def csms_call(self, action: str, payload: Any, message_id: str | None = None) -> str:
        message_id = message_id or f"c{next(self._numbers)}"
        self.frame(Leg.NORTH, json.dumps([2, message_id, action, payload]).encode())
        return message_id

    def csms_answer(self, message_id: str, payload: Any) -> None:
        self.frame(Leg.NORTH, json.dumps([3, message_id, payload]).encode())

    def status(self, status: str) -> None:
        payload = {"connectorId": 1, "status": status, "errorCode": "NoError"}
        self.csms_answer(self.station_call("StatusNotification", payload), {})

    def meter(
        self, amps: float, *, context: str = "Sample.Periodic", message_id: str | None = None, age_ms: int = 0
    ) -> str:
        values = [
            {"value": f"{amps}", "measurand": "Current.Import", "phase": phase, "unit": "A", "context": context}
            for phase in ("L1", "L2", "L3")
        ]
        taken = stamp.text(self.now.utc_ms - age_ms + (self.station.clock_error_ms if self.station else 0))
        payload = {"connectorId": 1, "meterValue": [{"timestamp": taken, "sampledValue": values}]}
        return self.station_call("MeterValues", payload, message_id)

    def setpoint(self, current_ma: int, sequence: int, *, ttl_ms: int = 15_000, safety: bool = False) -> None:
        event = SetpointIn(epoch=1, sequence=sequence, current_ma=current_ma, ttl_ms=ttl_ms, safety=safety)
        self.put(event)

    def advance(self, span_ms: int) -> None:
        """Let time pass; the machine is woken when it asked for it."""
        end_ms = self.mono_ms + span_ms
        for _ in range(100_000):
            wake_ms = self.session.wake_time()
            if wake_ms is None or wake_ms > end_ms:
                self.mono_ms = end_ms
                return
            assert wake_ms > self.mono_ms or self._ticked_ms != self.mono_ms, "the machine wakes itself without end"
            self.mono_ms = max(self.mono_ms, wake_ms)
            self._ticked_ms = self.mono_ms
            self.put(Tick())
        raise AssertionError("too many wake-ups")

    _ticked_ms = -1

    def states(self) -> list[str]:
        return [OutcomeState.Name(outcome.state).removeprefix("OUTCOME_STATE_") for outcome in self.outcomes]

    def north_calls(self, action: str) -> list[list[Any]]:
        frames = [json.loads(raw) for raw in self.north]
        return [frame for frame in frames if frame[0] == 2 and frame[2] == action]

    def south_calls(self, action: str | None = None) -> list[list[Any]]:
        frames = [json.loads(raw) for raw in self.south]
        return [frame for frame in frames if frame[0] == 2 and action in (None, frame[2])]
