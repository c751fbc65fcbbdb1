"""A station, a gateway that can be killed, and a CSMS that counts: everything around `Outage`, without sockets.

The station keeps its billing messages in order, sends one, waits for the answer and sends the same again (same id)
after a lost connection, as OCPP 1.6 section 3.7 asks. The CSMS knows a message id that it has seen and books it once.
Only what the gateway had put on disk survives its death.
"""

from __future__ import annotations

import itertools
import json
from dataclasses import dataclass, field
from typing import Any

from dgm.machine import Now
from dgm.ocpp import frame
from dgm.ocpp.books import Books, Change, Refused
from dgm.ocpp.events import Reason, WriteBooks
from dgm.ocpp.frame import Head, Kind
from dgm.ocpp.outage import HangUp, Kept, Outage, OutageEffect, ToCsms, ToStation
from dgm.ocpp.outage_rules import Policy, Stage

UTC_MS = 1_790_000_000_000


def parse(raw: bytes) -> tuple[Head, Any]:
    """Head and payload of a frame."""
    head = frame.scan(raw)
    assert isinstance(head, Head)
    return head, frame.payload_of(raw)


@dataclass
class Csms:
    """Books every billing message once; hands out transaction ids of its own."""

    booked: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    answers: dict[str, bytes] = field(default_factory=dict)
    boots: list[str] = field(default_factory=list)
    boot_status: str = "Accepted"
    refuse: set[str] = field(default_factory=set)
    next_id: int = 7

    def take(self, raw: bytes) -> bytes:
        """Its answer to a CALL."""
        head, payload = parse(raw)
        if head.id not in self.answers or head.action == "BootNotification":
            self.answers[head.id] = self._answer(head, payload)
        return self.answers[head.id]

    def _answer(self, head: Head, payload: dict[str, Any]) -> bytes:
        if head.action in self.refuse:
            return frame.error(head.id, code="InternalError", description="books are shut")
        match head.action:
            case "BootNotification":
                self.boots.append(head.id)
                return frame.result(head.id, {"status": self.boot_status, "interval": 60, "currentTime": "x"})
            case "StartTransaction":
                self.next_id += 1
                self.booked.append((head.action, {**payload, "given": self.next_id}))
                info = {"status": "Accepted"}
                return frame.result(head.id, {"transactionId": self.next_id, "idTagInfo": info})
            case "Authorize":
                return frame.result(head.id, {"idTagInfo": {"status": "Accepted"}})
            case "MeterValues" | "StopTransaction":
                self.booked.append((head.action, payload))
        return frame.result(head.id, {})


@dataclass
class Station:
    """Sends what it has to tell, one after the other."""

    queue: list[tuple[str, str, dict[str, Any]]] = field(default_factory=list)
    told: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    ids: Any = field(default_factory=lambda: itertools.count(1))
    transaction_id: int | None = None
    open: str | None = None
    started: int = 0

    def tell(self, action: str, payload: dict[str, Any]) -> None:
        """Queue a billing message; a transaction id is filled in when it is sent."""
        self.queue.append((f"s{next(self.ids)}", action, payload))
        self.told.append((action, payload))

    def next_call(self) -> bytes | None:
        """The CALL that it sends now."""
        if self.open is not None or not self.queue:
            return None
        message_id, action, payload = self.queue[0]
        self.open = message_id
        if action != "StartTransaction":
            payload = {**payload, "transactionId": self.transaction_id}
        return frame.call(message_id, action, payload)

    def hear(self, raw: bytes) -> None:
        """An answer."""
        head, payload = parse(raw)
        if head.id != self.open:
            return
        assert head.kind is Kind.RESULT, "a billing message was answered with a CALLERROR"
        _, action, _ = self.queue.pop(0)
        self.open = None
        if action == "StartTransaction":
            self.transaction_id = payload["transactionId"]


class Bench:
    """The gateway between them: relays while the CSMS is there, asks `Outage` otherwise."""

    def __init__(self, policy: Policy = Policy.STORE) -> None:
        self.policy = policy
        self.disk = Books()
        self.csms, self.station = Csms(), Station()
        self.mono_ms = 1000
        self.csms_up = self.station_up = False
        self.refused: list[str] = []
        self.hung_up: list[str] = []
        self.unanswered: list[str] = []
        self.north: list[bytes] = []
        self.unsaved: list[tuple[int, tuple[Change, ...]]] = []
        self.new_ids = itertools.count(1)
        self.outage = self._load()

    def _load(self) -> Outage:
        books = Books(messages=dict(self.disk.messages), facts=dict(self.disk.facts))
        return Outage(self.policy, books, lambda: f"g{next(self.new_ids)}")

    @property
    def now(self) -> Now:
        """The clock."""
        return Now(mono_ms=self.mono_ms, utc_ms=UTC_MS + self.mono_ms)

    def run(self, effects: list[OutageEffect]) -> None:
        """Carry out effects; what is to be kept waits in `unsaved`."""
        for effect in effects:
            match effect:
                case WriteBooks():
                    self.unsaved.append((effect.token, effect.changes))
                case ToStation():
                    if self.station_up:
                        self.station.hear(effect.raw)
                case ToCsms():
                    self.north.append(effect.raw)
                case HangUp():
                    self.hung_up.append(effect.reason)
                    self.drop_station()
                case Kept():
                    if effect.reason is Reason.CSMS_AWAY:
                        self.unanswered.append(effect.head.action)

    def save(self) -> None:
        """The disk takes what is oldest, then its effects follow."""
        if self.unsaved:
            token, changes = self.unsaved.pop(0)
            for change in changes:
                self.disk.apply(change)
                if isinstance(change, Refused):
                    self.refused.append(change.message.action)
            self.run(self.outage.kept(token, self.now, is_good=True))

    def fail(self) -> None:
        """The disk refuses what is oldest."""
        if self.unsaved:
            token, _ = self.unsaved.pop(0)
            self.run(self.outage.kept(token, self.now, is_good=False))

    def settle(self) -> None:
        """Let everything that can happen at once happen."""
        for _ in range(2000):
            if self.unsaved:
                self.save()
            elif self.north and self.csms_up:
                self.csms_answers()
            elif not self.send():
                return
        raise AssertionError("it never comes to rest")

    def send(self) -> bool:
        """The station sends its next message."""
        raw = self.station.next_call() if self.station_up else None
        if raw is None:
            return False
        self.call(raw)
        return True

    def call(self, raw: bytes) -> None:
        """A CALL of the station reaches the gateway."""
        head, _ = parse(raw)
        if self.outage.answers(head, raw):
            self.run(self.outage.station_call(head, raw, self.now))
        else:
            self.north.append(self.outage.ledger.to_csms(head.action, raw))
            self.run(self.outage.relayed(head, raw, self.now))

    def csms_answers(self) -> None:
        """The CSMS takes a message and its answer comes back."""
        answer = self.csms.take(self.north.pop(0))
        head, _ = parse(answer)
        if self.outage.is_ours(head.id):
            self.run(self.outage.replayed(head, answer, self.now))
            return
        self.run(self.outage.answered(head, answer, self.now))
        if self.station_up:
            self.station.hear(answer)

    def csms_takes_and_dies(self) -> None:
        """The CSMS books a message; the answer is lost with the connection."""
        if self.north and self.csms_up:
            self.csms.take(self.north.pop(0))
        self.lose_csms()

    def connect_csms(self) -> None:
        """Its socket opens; it is dialled for a station that is there."""
        if not self.csms_up and self.station_up:
            self.csms_up = True
            self.run(self.outage.csms_back(self.now))

    def lose_csms(self) -> None:
        """Its socket closes."""
        if self.csms_up:
            self.csms_up = False
            self.north.clear()
            self.run(self.outage.csms_lost(self.now))

    def connect_station(self) -> None:
        """It connects, and boots if it never did."""
        if not self.station_up:
            self.station_up, self.station.open = True, None

    def drop_station(self) -> None:
        """Its socket closes."""
        if self.station_up:
            self.station_up, self.station.open = False, None
            self.outage.station_lost()
            # As the session does: without its station there is no connection to the CSMS.
            self.lose_csms()

    def kill(self) -> None:
        """kill -9: only the disk is left, every socket is gone."""
        self.station_up = self.csms_up = False
        self.station.open = None
        self.north.clear()
        self.unsaved.clear()
        self.outage = self._load()

    def pass_time(self, span_ms: int) -> None:
        """Let timers fire."""
        self.mono_ms += span_ms
        self.run(self.outage.tick(self.now))

    def heal(self) -> None:
        """Everything comes back and stays."""
        self.connect_station()
        self.connect_csms()
        for _ in range(40):
            self.settle()
            self.connect_station()
            self.connect_csms()
            self.settle()
            if not self.station.queue and self.outage.stage is Stage.LIVE:
                return
            self.pass_time(70_000)


def text(payload: dict[str, Any]) -> str:
    """For comparing."""
    return json.dumps(payload, sort_keys=True)
