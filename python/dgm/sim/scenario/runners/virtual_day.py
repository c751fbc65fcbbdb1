"""Charging through the relay in virtual time: stations, cars, CSMSs; each end hashes its frames.

    Station (1.6, 2.0.1, 2.1) ──delay──> Session (pass_on, handle) ──delay──> CSMS         setpoints, CPO commands, cuts
        hashes tx, rx                      says what it kept or added          hashes tx, rx

Both ends know nothing of the relay: the judge of the simulator (relay_checks) compares their hashes and takes the
relay's own list of exceptions only where a peer saw such a frame. A connection is judged by itself: what was on its way
when it was cut is lost with it. `ledgers` takes bills and signed readings at both ends.
"""

from __future__ import annotations

import heapq
import itertools
import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from hashlib import sha256
from typing import Any
from uuid import UUID

from dgm.machine import Now, Tick
from dgm.ocpp import events as gateway
from dgm.ocpp.events import Leg
from dgm.ocpp.session import Session
from dgm.ocpp.store import StationSettings
from dgm.sim.car import CarSpec
from dgm.sim.connector import ConnectorPlan
from dgm.sim.draw import Draw
from dgm.sim.records import ExceptionRow, FrameRow
from dgm.sim.relay_checks import RelayRecord, check_relay
from dgm.sim.scenario.runners.ledgers import Ledger, billing
from dgm.sim.stamps import format_time
from dgm.sim.station import Connected, Disconnected, Hangup, Plug, Received, Send, Station, StationPlan, Unplug
from dgm.sim.station_2x import Station2x

UTC_MS = 1_790_000_000_000
HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
CAR_STEP_MS = 5_000
SETPOINT_MS = 60_000
DIALECTS = 4
CPO_SHARES = (("cpo-a", 60), ("cpo-b", 100), ("cpo-c", 104))
"""Who supervises which of 104 EVSEs, in their order."""
VERSIONS = ("ocpp1.6", "ocpp2.0.1", "ocpp2.1")
CUTS, COMMANDS_EACH = 4, 30
"""A day and station."""


@dataclass(slots=True)
class Connection:
    """One life of a station's connection, as its two ends and the relay tell it."""

    fleet: list[FrameRow] = field(default_factory=list)
    csms: list[FrameRow] = field(default_factory=list)
    exceptions: list[ExceptionRow] = field(default_factory=list)


@dataclass(slots=True)
class Line:
    """One station, its relay session and its CSMS."""

    name: str
    version: str
    cpo: str
    station: Station | Station2x
    session: Session
    delays_ms: dict[str, int]
    ready_ms: dict[str, int]
    is_up: bool = False
    life: int = 0
    connection: Connection = field(default_factory=Connection)
    sequence: int = 0
    station_due_ms: int | None = None
    session_due_ms: int | None = None
    sent: Ledger = field(default_factory=Ledger)
    got: Ledger = field(default_factory=Ledger)


class VirtualDay:
    """`sessions` cars come and go at `stations` stations within length_ms. The same draws give the same day.

    trigger_ms: how often the gateway wants a reading of a charging EVSE. meddle: what the relay does to a frame that it
    sends; nothing, but in the test of the judge.
    """

    def __init__(
        self,
        *,
        stations: int,
        sessions: int,
        draw: Draw,
        length_ms: int = DAY_MS,
        trigger_ms: int = 300_000,
        meddle: Callable[[bytes], bytes] = lambda raw: raw,
    ) -> None:
        self._meddle = meddle
        self.now = Now(mono_ms=1_000_000, utc_ms=UTC_MS)
        self.counts: Counter[str] = Counter()
        self.faults: list[str] = []
        self.billed: Counter[tuple[str, str]] = Counter()
        self.own_frames = 0
        self._draw = draw
        self._length_ms = length_ms
        self._trigger_ms = trigger_ms
        self._queue: list[tuple[int, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self._ids = itertools.count(1)
        self._end_ms = self.now.mono_ms + length_ms
        self.lines = [self._line(number, stations) for number in range(stations)]
        for line in self.lines:
            self._plan(line, sessions // stations)

    def run(self) -> None:
        """To its end; then every connection that still stands is judged."""
        while self._queue and self._queue[0][0] <= self._end_ms:
            at_ms, _, action = heapq.heappop(self._queue)
            self.now = Now(mono_ms=at_ms, utc_ms=self.now.utc_ms + at_ms - self.now.mono_ms)
            action()
        for line in self.lines:
            if line.is_up:
                self._judge(line)

    # What happens

    def _line(self, number: int, stations: int) -> Line:
        name, version = f"CP-{number}", VERSIONS[number % 3]
        cpo = next(cpo for cpo, until in CPO_SHARES if number * 104 // stations < until)
        plan = StationPlan(
            id=name,
            vendor="Vendor",
            model="Model",
            connectors=(ConnectorPlan(connector_id=1, current_max_ma=32_000, phases=3),),
            dialect=number % DIALECTS,
            voltage_mv=230_000,
            meter_interval_s=60,
            subprotocol=version,
        )
        of_1_6 = version == "ocpp1.6"
        station = Station(plan, self._draw) if of_1_6 else Station2x(plan, self._draw, version)
        own = StationSettings(
            station_id=name,
            cpo_id=cpo,
            csms_url="ws://127.0.0.1:1/ocpp",
            asset_id=f"evse-{number}",
            connector_id=1,
            phases=(0, 1, 2),
            current_max_ma=32_000,
            fallback_ma=6_000,
            nominal_voltage_mv=230_000,
            profile_lease_ms=600_000,
            max_stack_level=8,
            trigger_interval_ms=self._trigger_ms,
            call_timeout_ms=10_000,
        )
        session = Session([own], lambda: str(UUID(int=next(self._ids) + (1 << 100), version=4)))
        ways = ("up", "north", "south", "down")
        delays = {way: self._draw.randrange(40) + 1 for way in ways}
        return Line(name, version, cpo, station, session, delays, dict.fromkeys(ways, 0))

    def _plan(self, line: Line, sessions: int) -> None:
        self._at(self._draw.randrange(20_000), lambda: self._connect(line))
        settle_ms = min(600_000, self._length_ms // 12)
        slot_ms = (self._length_ms - 2 * settle_ms) // sessions
        for number in range(sessions):
            come_ms = settle_ms + number * slot_ms + self._draw.randrange(slot_ms // 3)
            stay_ms = slot_ms // 6 + self._draw.randrange(slot_ms // 2 - slot_ms // 6)
            self._at(come_ms, self._coming(line))
            self._at(come_ms + stay_ms, lambda: self._to_station(line, Unplug(connector_id=1)))
        for _ in range(max(1, CUTS * self._length_ms // DAY_MS)):
            at_ms = self._draw.randrange(self._length_ms)
            self._at(at_ms, lambda: self._cut(line, 1_000 + self._draw.randrange(60_000)))
        for _ in range(max(3, COMMANDS_EACH * self._length_ms // DAY_MS)):
            self._at(self._draw.randrange(self._length_ms), lambda: self._command(line))
        self._at(self._draw.randrange(SETPOINT_MS), lambda: self._setpoint(line))

    def _coming(self, line: Line) -> Callable[[], None]:
        def come() -> None:
            self.counts["cars"] += 1
            car = CarSpec(
                id_tag=f"TAG-{self.counts['cars']}",
                phases=3,
                current_max_ma=16_000,
                need_wh=3_000 + self._draw.randrange(20_000),
                delay_ms=2_000,
                ramp_ma_per_s=4_000,
            )
            self._to_station(line, Plug(connector_id=1, car=car))

        return come

    def _setpoint(self, line: Line) -> None:
        line.sequence += 1
        current_ma = (8_000, 16_000, 32_000)[self._draw.randrange(3)] if self._draw.randrange(10) == 0 else 16_000
        self._to_gateway(
            line, gateway.SetpointIn(epoch=1, sequence=line.sequence, current_ma=current_ma, ttl_ms=2 * SETPOINT_MS)
        )
        self._at(SETPOINT_MS, lambda: self._setpoint(line))

    def _command(self, line: Line) -> None:
        if not line.is_up:
            return
        self.counts["commands"] += 1
        action, payload = COMMANDS[line.version == "ocpp1.6"][self._draw.randrange(3)]
        self._from_csms(line, json.dumps([2, f"cpo-{self.counts['commands']}", action, payload]).encode(), action)

    def _connect(self, line: Line) -> None:
        if line.is_up:
            return
        line.is_up, line.connection = True, Connection()
        line.life += 1
        self._to_gateway(line, gateway.LegUp(leg=Leg.NORTH))
        self._to_gateway(line, gateway.LegUp(leg=Leg.SOUTH, subprotocol=line.version))
        self._to_station(line, Connected())

    def _cut(self, line: Line, away_ms: int) -> None:
        if not line.is_up:
            return
        line.is_up = False
        line.life += 1
        self.counts["cuts"] += 1
        self._to_station(line, Disconnected())
        self._to_gateway(line, gateway.LegDown(leg=Leg.SOUTH))
        self._to_gateway(line, gateway.LegDown(leg=Leg.NORTH))
        self._judge(line)
        self._at(away_ms, lambda: self._connect(line))

    def _judge(self, line: Line) -> None:
        seen = line.connection
        record = RelayRecord(
            fleet=seen.fleet,
            csms={line.cpo: seen.csms},
            exceptions=seen.exceptions,
            station_cpo={line.name: line.cpo},
            end_utc_ms=self.now.utc_ms,
        )
        self.counts["connections"] += 1
        self.counts["frames"] += len(seen.fleet) + len(seen.csms)
        for check in check_relay(record):
            if not check.passed and (seen.fleet or seen.csms):
                self.faults.append(f"{line.name} {line.version} life {line.life}: {check.name}: {check.detail}")

    # Who hears whom

    def _to_station(self, line: Line, event: Any) -> None:
        for effect in line.station.handle(event, self.now):
            match effect:
                case Send():
                    raw = effect.text.encode()
                    line.connection.fleet.append(self._row(line, "tx", raw, effect.action, effect.cause))
                    line.sent.take(raw, self.now.utc_ms)
                    self._carry(line, "up", partial(self._frame, line, Leg.SOUTH, raw))
                case Hangup():
                    self._at(0, partial(self._cut, line, effect.wait_ms))
        self._wake_station(line)

    def _wake_station(self, line: Line) -> None:
        wake_ms = line.station.wake_time()
        if wake_ms is None:
            return
        due_ms = max(wake_ms, self.now.mono_ms + (CAR_STEP_MS if line.station.connectors[1].car else 100))
        if line.station_due_ms is None or due_ms < line.station_due_ms:
            line.station_due_ms = due_ms
            self._at(due_ms - self.now.mono_ms, lambda: self._tick_station(line, due_ms))

    def _tick_station(self, line: Line, due_ms: int) -> None:
        if line.station_due_ms == due_ms:
            line.station_due_ms = None
            self._to_station(line, Tick())

    def _frame(self, line: Line, leg: Leg, raw: bytes) -> None:
        glance = line.session.pass_on(leg, raw)
        if glance is gateway.Glance.HANDLE:
            self._to_gateway(line, gateway.FrameIn(leg=leg, raw=raw))
            return
        self._pass(line, Leg.NORTH if leg is Leg.SOUTH else Leg.SOUTH, raw)
        if glance is gateway.Glance.COPY:
            self._to_gateway(line, gateway.Copied(leg=leg, raw=raw))

    def _to_gateway(self, line: Line, event: gateway.Event) -> None:
        later = [event]
        while later:
            for effect in line.session.handle(later.pop(0), self.now):
                match effect:
                    case gateway.Send():
                        self._pass(line, effect.leg, effect.raw)
                    case gateway.Later():
                        later.append(effect.event)
                    case gateway.Excepted():
                        line.connection.exceptions.append(self._exception(line, effect))
                    case gateway.Close():
                        self._at(0, lambda: self._cut(line, 5_000))
                    case _:
                        pass
        self._wake_gateway(line)

    def _wake_gateway(self, line: Line) -> None:
        wake_ms = line.session.wake_time()
        if wake_ms is not None and (line.session_due_ms is None or wake_ms < line.session_due_ms):
            line.session_due_ms = wake_ms
            self._at(wake_ms - self.now.mono_ms, lambda: self._tick_gateway(line, wake_ms))

    def _tick_gateway(self, line: Line, due_ms: int) -> None:
        if line.session_due_ms == due_ms:
            line.session_due_ms = None
            self._to_gateway(line, Tick())

    def _pass(self, line: Line, leg: Leg, raw: bytes) -> None:
        raw = self._meddle(raw)
        if leg is Leg.NORTH:
            self._carry(line, "north", lambda: self._at_csms(line, raw))
        else:
            self._carry(line, "down", lambda: self._at_station(line, raw))

    def _at_station(self, line: Line, raw: bytes) -> None:
        line.connection.fleet.append(self._row(line, "rx", raw))
        self._to_station(line, Received(raw.decode()))

    def _at_csms(self, line: Line, raw: bytes) -> None:
        line.connection.csms.append(self._row(line, "rx", raw))
        line.got.take(raw, self.now.utc_ms)
        message = json.loads(raw)
        if message[0] != 2:
            return
        kind = billing(message)
        if kind is not None:
            self.billed[line.name, kind] += 1
        answer = json.dumps([3, message[1], self._answer(message[2], message[3])]).encode()
        self._from_csms(line, answer, message[2])

    def _from_csms(self, line: Line, raw: bytes, action: str) -> None:
        line.connection.csms.append(self._row(line, "tx", raw, action))
        self._carry(line, "south", lambda: self._frame(line, Leg.NORTH, raw))

    def _answer(self, action: str, payload: dict[str, Any]) -> dict[str, Any]:
        match action:
            case "BootNotification":
                return {"status": "Accepted", "currentTime": format_time(self.now.utc_ms), "interval": 3600}
            case "Heartbeat":
                return {"currentTime": format_time(self.now.utc_ms)}
            case "Authorize":
                return {"idTagInfo": ACCEPTED} if "idTag" in payload else {"idTokenInfo": ACCEPTED}
            case "StartTransaction":
                self.counts["transactions"] += 1
                return {"transactionId": self.counts["transactions"], "idTagInfo": ACCEPTED}
            case "TransactionEvent" if "idToken" in payload:
                return {"idTokenInfo": ACCEPTED}
            case "DataTransfer":
                return ACCEPTED
            case _:
                return {}

    # Time and words

    def _at(self, delay_ms: int, action: Callable[[], None]) -> None:
        heapq.heappush(self._queue, (self.now.mono_ms + max(0, delay_ms), next(self._order), action))

    def _carry(self, line: Line, way: str, action: Callable[[], None]) -> None:
        """In order over one link; lost when the connection is cut meanwhile."""
        life = line.life
        line.ready_ms[way] = max(line.ready_ms[way], self.now.mono_ms + line.delays_ms[way])

        def arrive() -> None:
            if line.life == life and line.is_up:
                action()

        self._at(line.ready_ms[way] - self.now.mono_ms, arrive)

    def _row(self, line: Line, direction: str, raw: bytes, action: str = "", cause: str | None = None) -> FrameRow:
        message_type, message_id, found = head_of(raw)
        return FrameRow(
            utc_ms=self.now.utc_ms,
            station=line.name,
            direction=direction,
            sha256=sha256(raw).hexdigest(),
            message_type=message_type,
            id=message_id,
            action=found or action,
            cause=cause,
        )

    def _exception(self, line: Line, said: gateway.Excepted) -> ExceptionRow:
        self.counts[f"excepted {said.reason.value}"] += 1
        self.own_frames += said.direction is not gateway.Direction.LOCAL
        return ExceptionRow(
            utc_ms=self.now.utc_ms,
            station=line.name,
            direction=said.direction.value,
            kind=said.reason.value,
            id=said.id,
            action=said.action,
            sha256=sha256(said.raw).hexdigest(),
        )


ACCEPTED: dict[str, Any] = {"status": "Accepted"}


COMMANDS: dict[bool, list[tuple[str, dict[str, Any]]]] = {
    True: [
        ("GetConfiguration", {}),
        ("TriggerMessage", {"requestedMessage": "StatusNotification", "connectorId": 1}),
        ("DataTransfer", {"vendorId": "org.example.cpo", "data": "0,49 €/kWh"}),
    ],
    False: [
        ("TriggerMessage", {"requestedMessage": "StatusNotification", "evse": {"id": 1, "connectorId": 1}}),
        ("DataTransfer", {"vendorId": "org.example.cpo", "data": "0,49 €/kWh"}),
        ("GetTransactionStatus", {}),
    ],
}


def head_of(raw: bytes) -> tuple[int, str, str]:
    """Type, id and action of a frame; (0, "", "") for what is none. The action of an answer is not in it."""
    try:
        frame = json.loads(raw)
    except ValueError:
        return 0, "", ""
    match frame:
        case [2 | 6 as message_type, str(message_id), str(action), *_]:
            return message_type, message_id, action
        case [3 | 4 | 5 as message_type, str(message_id), *_]:
            return message_type, message_id, ""
    return 0, "", ""
