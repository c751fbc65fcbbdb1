"""Stands in for a CSMS that is away, by the policy of its station; replays what it missed when it is back. Sans-IO.

    LIVE ── CSMS lost ──> AWAY ── CSMS back ──> GREETING (boot, status) ──> DRAINING (messages, one by one) ──> LIVE
              station CALL ──> keep on disk ──> answer          Pending, Rejected ──> HELD: ask again later

island: control only. A billing CALL is never answered: the connection closes, which for the station is a lost
connection and not a failed message, so it keeps it. store, where the CPO agreed: a billing CALL is on disk before it is
answered, and goes to the CSMS in order, each until it is answered. Nothing is invented: an answer that only the CSMS
can give (DataTransfer) is not given. It never looks at the relay of a CSMS that is there, but for ids and tags.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from dgm.machine import Now
from dgm.ocpp import frame, splice, stamp
from dgm.ocpp.books import (
    MAX_TAGS,
    MAX_TOLD,
    Books,
    Change,
    DropFact,
    DropMessage,
    Message,
    PutFact,
    PutMessage,
    SetAside,
)
from dgm.ocpp.frame import Head, Kind, Payload
from dgm.ocpp.outage_rules import BILLING, KEPT, TO_STATION, WITH_TRANSACTION, Policy, Stage, digest_of, tag_of

ANSWER_WAIT_MS = 30_000
"""A replayed message that is not answered for so long is sent again, under the same id."""

RETRY_MS = 60_000
"""After the first CALLERROR; twice and three times as long after the next (as TransactionMessageRetryInterval)."""

FAILURES_MAX = 3
"""CALLERRORs to one message after which it is set aside for people, so that those behind it are not held up."""

BOOT_INTERVAL_S = 300
"""Heartbeat interval where the CSMS never told one."""

ISLAND_BOOT_INTERVAL_S = 30
"""In island a boot is Pending: the station asks again, and is passed on as soon as its CSMS is there."""

MAX_IN_FLIGHT = 64
"""Relayed CALLs whose answer is looked at; a station has one."""

MAX_TRANSACTIONS = 256
"""Of one station that were begun while its CSMS was away: their two ids are known so long."""

FIRST_PROVISIONAL_ID = 1_900_000_001
"""Above what CSMSs hand out, below 2^31; the next ones follow."""

TAG_FACT, STATUS_FACT, REAL_FACT, TOLD_FACT = "tag:", "status:", "real:", "told:"


@dataclass(frozen=True, slots=True, kw_only=True)
class Keep:
    """Put these changes on disk; `Outage.kept(token)` then gives what waited for it."""

    token: int
    changes: tuple[Change, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ToStation:
    """Send south: our answer in the place of the CSMS."""

    head: Head
    raw: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class ToCsms:
    """Send north: a message that the CSMS missed."""

    head: Head
    raw: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class HangUp:
    """Close the station's connection without an answer: it keeps the message and comes again."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Unanswered:
    """A CALL that only the CSMS can answer; the station gets silence. why: for the counter."""

    head: Head
    why: str


OutageEffect = Keep | ToStation | ToCsms | HangUp | Unanswered


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    """What we sent to the CSMS and is not answered: a message (its sequence), the boot or a status."""

    message_id: str
    what: str
    sequence: int | None
    until_ms: int


class Outage:
    """The stand-in of one station. `ids` gives fresh message ids; `books` is what is on disk."""

    def __init__(self, policy: Policy, books: Books, ids: Callable[[], str]) -> None:
        self.policy = policy
        self.stage = Stage.AWAY
        self._books = books
        self._ids = ids
        self._tokens = 0
        self._waiting: dict[int, list[OutageEffect]] = {}
        self._asked: _Asked | None = None
        self._retry_ms: int | None = None
        self._greetings: list[tuple[str, str, bytes]] = []
        self._in_flight: OrderedDict[str, tuple[str, bytes]] = OrderedDict()
        self._told: OrderedDict[bytes, bytes] = OrderedDict()
        self._is_boot_pending = False
        for name, answer in books.facts.items():
            if name.startswith(TOLD_FACT):
                self._told[bytes.fromhex(name[len(TOLD_FACT) :])] = answer
        for message in books.messages.values():
            self._told[message.digest] = message.answer

    @property
    def books(self) -> Books:
        """As on disk or about to be."""
        return self._books

    def answers(self, head: Head, raw: bytes) -> bool:
        """This CALL of the station is not to be relayed now but handed to `station_call`."""
        if self._told and head.action in BILLING and digest_of(head, raw) in self._told:
            return True
        if self.stage is Stage.LIVE:
            return False
        if self.stage is Stage.AWAY or (self._asked is not None and self._asked.message_id == head.id):
            return True
        if self.stage is Stage.HELD:
            return head.action != "BootNotification"
        # The CSMS is there: it gives every answer itself but to what has its place behind the messages that wait.
        return head.action in KEPT and self.policy is Policy.STORE

    def passes_csms(self) -> bool:
        """CALLs of the CSMS may go to the station: the socket is there, whatever it said of the boot (1.6, 4.2)."""
        return self.stage is not Stage.AWAY

    def wake_time(self) -> int | None:
        """Monotonic ms of the next retry."""
        times = [self._asked.until_ms] if self._asked else []
        times += [self._retry_ms] if self._retry_ms is not None else []
        return min(times, default=None)

    # The link to the CSMS.

    def csms_lost(self, now: Now) -> list[OutageEffect]:
        """The socket to the CSMS is gone. In store, billing CALLs that it had not answered are kept under the id that
        it may have seen, so that it knows them again; in island the station learns that its connection is lost."""
        self.stage, self._asked, self._retry_ms = Stage.AWAY, None, None
        in_flight, self._in_flight = self._in_flight, OrderedDict()
        calls = [
            (Head(kind=Kind.CALL, id=message_id, action=action), raw)
            for message_id, (action, raw) in in_flight.items()
            if action in BILLING
        ]
        if self.policy is not Policy.STORE:
            return [HangUp(reason="a billing message was not answered")] if calls else []
        effects: list[OutageEffect] = []
        for head, raw in calls:
            effects += self._take(head, raw, utc_ms=now.utc_ms)
        return effects

    def csms_back(self, now: Now, *, station_stayed: bool) -> list[OutageEffect]:
        """The socket to the CSMS is open. station_stayed: the station did not connect together with it."""
        self._greetings = self._missed() if station_stayed and not self._is_boot_pending else []
        self._is_boot_pending = False
        self.stage = Stage.GREETING
        return self._proceed(now)

    def station_lost(self) -> None:
        """The station's socket is gone; what it is owed it will ask for again."""
        self._in_flight.clear()
        self._waiting = {
            token: [effect for effect in effects if not isinstance(effect, ToStation)]
            for token, effects in self._waiting.items()
        }

    def tick(self, now: Now) -> list[OutageEffect]:
        """Send again what was not answered, or failed before."""
        if self._asked is not None and self._asked.until_ms <= now.mono_ms:
            self._asked = None
            return self._proceed(now)
        if self._retry_ms is not None and self._retry_ms <= now.mono_ms:
            self._retry_ms = None
            if self.stage is Stage.HELD:
                self._greetings, self.stage = self._missed(), Stage.GREETING
            return self._proceed(now)
        return []

    # CALLs of the station while the CSMS is away.

    def station_call(self, head: Head, raw: bytes, now: Now) -> list[OutageEffect]:
        """Answer, keep or refuse to answer a CALL of the station."""
        if head.action in BILLING and (told := self._told.get(digest_of(head, raw))) is not None:
            return [self._answer(head, json.loads(told))]
        if head.action == "BootNotification":
            return self._boot(head, raw, now)
        if head.action == "Heartbeat":
            return [self._answer(head, {"currentTime": stamp.text(now.utc_ms)})]
        if head.action == "StatusNotification":
            return self._status(head, raw)
        if self.policy is Policy.STORE:
            return self._store(head, raw, now)
        if head.action in BILLING:
            return [HangUp(reason="a billing message while the CSMS is away")]
        return [Unanswered(head=head, why="island")]

    def _store(self, head: Head, raw: bytes, now: Now) -> list[OutageEffect]:
        if head.action == "Authorize":
            return self._authorize(head, raw, now)
        if head.action not in KEPT:
            return [Unanswered(head=head, why="only the CSMS can answer")]
        return self._take(head, raw, utc_ms=now.utc_ms)

    def _take(self, head: Head, raw: bytes, *, utc_ms: int) -> list[OutageEffect]:
        digest = digest_of(head, raw)
        told = self._told.get(digest)
        if told is not None:
            # The station did not hear our answer and sends the message again: it is in the books once.
            return [self._answer(head, json.loads(told))]
        if self._books.is_full:
            return [Unanswered(head=head, why="the books of this station are full")]
        payload = frame.payload_of(raw) or {}
        answer, changes, provisional_id = self._answer_to(head.action, payload, utc_ms)
        # The CSMS may have seen it under the station's own id, and then knows it again.
        is_taken = any(message.message_id == head.id for message in self._books.messages.values())
        replay_id = self._ids() if is_taken else head.id
        kept = splice.with_id(raw, replay_id)
        if kept is None:
            return [Unanswered(head=head, why="unreadable")]
        message = Message(
            sequence=self._books.next_sequence(),
            message_id=replay_id,
            action=head.action,
            raw=kept,
            digest=digest,
            answer=json.dumps(answer, separators=(",", ":")).encode(),
            provisional_id=provisional_id,
        )
        self._told[digest] = message.answer
        return self._keep([PutMessage(message=message), *changes], [self._answer(head, answer)])

    def _answer_to(self, action: str, payload: Payload, utc_ms: int) -> tuple[Payload, list[Change], int | None]:
        if action != "StartTransaction":
            return {}, [], None
        provisional_id = int(self._books.facts.get("next", str(FIRST_PROVISIONAL_ID).encode()))
        known = self._books.is_tag_known(str(payload.get("idTag", "")), utc_ms)
        answer: Payload = {
            "transactionId": provisional_id,
            "idTagInfo": {"status": "Accepted" if known else "Invalid"},
        }
        return answer, [PutFact(name="next", value=str(provisional_id + 1).encode())], provisional_id

    def _boot(self, head: Head, raw: bytes, now: Now) -> list[OutageEffect]:
        time = stamp.text(now.utc_ms)
        if self.policy is not Policy.STORE:
            self._is_boot_pending = True
            return [self._answer(head, {"currentTime": time, "interval": ISLAND_BOOT_INTERVAL_S, "status": "Pending"})]
        interval_s = int(self._books.facts.get("interval", str(BOOT_INTERVAL_S).encode()))
        answer = self._answer(head, {"currentTime": time, "interval": interval_s, "status": "Accepted"})
        return self._keep([PutFact(name="boot", value=raw)], [answer])

    def _status(self, head: Head, raw: bytes) -> list[OutageEffect]:
        changes = self._status_changes(raw)
        answer = self._answer(head, {})
        return self._keep(changes, [answer]) if changes else [answer]

    def _status_changes(self, raw: bytes) -> list[Change]:
        payload = frame.payload_of(raw) or {}
        place = payload.get("evseId", ""), payload.get("connectorId", "")
        name = STATUS_FACT + "/".join(str(part) for part in place)[:40]
        return [PutFact(name=name, value=raw)] if self._books.facts.get(name) != raw else []

    def _authorize(self, head: Head, raw: bytes, now: Now) -> list[OutageEffect]:
        payload = frame.payload_of(raw) or {}
        tag = tag_of(payload)
        status = "Accepted" if tag is not None and self._books.is_tag_known(tag, now.utc_ms) else "Invalid"
        info = "idTagInfo" if "idTag" in payload else "idTokenInfo"
        return [self._answer(head, {info: {"status": status}})]

    # What a CSMS that is there says, for the next outage.

    def relayed(self, head: Head, raw: bytes) -> list[OutageEffect]:
        """A CALL of the station was passed on; raw: as the station sent it."""
        if self.policy is Policy.STRICT:
            return []
        if head.action == "StatusNotification":
            changes = self._status_changes(raw)
            return self._keep(changes, []) if changes else []
        if head.action in BILLING or head.action in ("Authorize", "BootNotification"):
            self._in_flight[head.id] = (head.action, raw)
            if len(self._in_flight) > MAX_IN_FLIGHT:
                self._in_flight.popitem(last=False)
        return self._keep([PutFact(name="boot", value=raw)], []) if head.action == "BootNotification" else []

    def answered(self, head: Head, raw: bytes, now: Now) -> list[OutageEffect]:
        """The CSMS answered a CALL that was passed on: learn the interval and the tags that it accepts."""
        asked = self._in_flight.pop(head.id, None)
        if asked is None or head.kind is not Kind.RESULT:
            return []
        action, call = asked
        payload, request = frame.payload_of(raw) or {}, frame.payload_of(call) or {}
        if action == "BootNotification":
            return self._own_boot_answered(payload, now)
        tag = tag_of(request)
        changes = [] if tag is None else self._tag_changes(tag, payload)
        return self._keep(changes, []) if changes else []

    def _own_boot_answered(self, payload: Payload, now: Now) -> list[OutageEffect]:
        interval_s = payload.get("interval")
        is_number = isinstance(interval_s, int) and not isinstance(interval_s, bool) and interval_s > 0
        effects = self._keep([PutFact(name="interval", value=str(interval_s).encode())], []) if is_number else []
        if self.stage is Stage.HELD and payload.get("status") == "Accepted":
            self.stage, self._retry_ms = Stage.DRAINING, None
            effects += self._proceed(now)
        return effects

    def _tag_changes(self, tag: str, payload: Payload) -> list[Change]:
        info = payload.get("idTagInfo") or payload.get("idTokenInfo")
        if not isinstance(info, dict):
            return []
        name = TAG_FACT + tag
        if info.get("status") != "Accepted":
            return [DropFact(name=name)] if name in self._books.facts else []
        expiry = stamp.parse(info.get("expiryDate") or info.get("cacheExpiryDateTime"))
        value = b"" if expiry is None else str(expiry).encode()
        if self._books.facts.get(name) == value:
            return []
        known = [fact for fact in self._books.facts if fact.startswith(TAG_FACT) and fact != name]
        oldest = [DropFact(name=fact) for fact in known[: max(0, len(known) - MAX_TAGS + 1)]]
        return [*oldest, DropFact(name=name), PutFact(name=name, value=value)]

    # Transaction ids: the station's on its side, the CSMS's on the other.

    def to_csms(self, action: str, raw: bytes) -> bytes:
        """A CALL of the station that is passed on, with the CSMS's transaction id in it where it has another one."""
        place = (3, "transactionId")
        provisional_id = splice.integer_at(raw, place) if action in WITH_TRANSACTION else None
        real_id = None if provisional_id is None else self._books.real_id(provisional_id)
        return raw if real_id is None else splice.with_integer(raw, place, real_id) or raw

    def to_station(self, action: str, raw: bytes) -> bytes:
        """A CALL of the CSMS, with the transaction id that the station knows."""
        for place in TO_STATION.get(action, ()):
            real_id = splice.integer_at(raw, place)
            provisional_id = None if real_id is None else self._books.provisional_of(real_id)
            if provisional_id is not None:
                raw = splice.with_integer(raw, place, provisional_id) or raw
        return raw

    # Replay.

    def is_ours(self, message_id: str) -> bool:
        """This answer of the CSMS is to a message that we replayed; hand it to `replayed`."""
        return self._asked is not None and self._asked.message_id == message_id

    def replayed(self, head: Head, raw: bytes, now: Now) -> list[OutageEffect]:
        """The CSMS answered a replayed message."""
        asked, self._asked = self._asked, None
        assert asked is not None, "asked by `is_ours` before"
        if asked.what == "BootNotification":
            return self._boot_answered(head, raw, now)
        message = self._books.messages.get(asked.sequence) if asked.sequence is not None else None
        if message is None:
            return self._proceed(now)
        if head.kind is Kind.RESULT:
            return self._keep(self._settled(message, frame.payload_of(raw) or {}), []) + self._proceed(now)
        return self._failed(message, frame.error_text(raw), now)

    def _boot_answered(self, head: Head, raw: bytes, now: Now) -> list[OutageEffect]:
        payload = (frame.payload_of(raw) or {}) if head.kind is Kind.RESULT else {}
        if payload.get("status") == "Accepted":
            return self._proceed(now)
        interval_s = payload.get("interval")
        wait_s = interval_s if isinstance(interval_s, int) and interval_s > 0 else BOOT_INTERVAL_S
        self.stage, self._greetings = Stage.HELD, []
        self._retry_ms = now.mono_ms + wait_s * 1000
        return []

    def _settled(self, message: Message, payload: Payload) -> list[Change]:
        changes: list[Change] = [DropMessage(sequence=message.sequence), *self._remember(message)]
        real_id = payload.get("transactionId")
        if message.provisional_id is not None and isinstance(real_id, int) and not isinstance(real_id, bool):
            # Kept after the transaction's end: a station may still send readings of it.
            names = [name for name in self._books.facts if name.startswith(REAL_FACT)]
            changes += [DropFact(name=name) for name in names[: max(0, len(names) - MAX_TRANSACTIONS + 1)]]
            changes.append(PutFact(name=f"{REAL_FACT}{message.provisional_id}", value=str(real_id).encode()))
        return changes

    def _failed(self, message: Message, why: str, now: Now) -> list[OutageEffect]:
        failures = message.failures + 1
        if failures >= FAILURES_MAX:
            return self._keep([SetAside(message=message, why=why)], []) + self._proceed(now)
        self._retry_ms = now.mono_ms + failures * RETRY_MS
        return self._keep([PutMessage(message=replace(message, failures=failures))], [])

    def _missed(self) -> list[tuple[str, str, bytes]]:
        """The boot and the newest states: (action, fact, raw)."""
        facts = self._books.facts
        boot = [("BootNotification", "boot", facts["boot"])] if "boot" in facts else []
        names = sorted(name for name in facts if name.startswith(STATUS_FACT))
        return boot + [("StatusNotification", name, facts[name]) for name in names]

    def _proceed(self, now: Now) -> list[OutageEffect]:
        """The next message for the CSMS, or LIVE."""
        if self.stage in (Stage.AWAY, Stage.HELD, Stage.LIVE) or self._asked is not None or self._retry_ms is not None:
            return []
        while self._greetings:
            action, _, raw = self._greetings.pop(0)
            message_id = self._ids()
            renamed = splice.with_id(raw, message_id)
            if renamed is not None:
                return self._ask(message_id, action, None, renamed, now)
        message = self._books.first()
        if message is None:
            self.stage = Stage.LIVE
            return []
        self.stage = Stage.DRAINING
        raw = self.to_csms(message.action, message.raw)
        return self._ask(message.message_id, message.action, message.sequence, raw, now)

    def _ask(self, message_id: str, action: str, sequence: int | None, raw: bytes, now: Now) -> list[OutageEffect]:
        self._asked = _Asked(
            message_id=message_id, what=action, sequence=sequence, until_ms=now.mono_ms + ANSWER_WAIT_MS
        )
        return [ToCsms(head=Head(kind=Kind.CALL, id=message_id, action=action), raw=raw)]

    # The disk.

    def kept(self, token: int) -> list[OutageEffect]:
        """The changes of this token are on disk: what waited for them."""
        return self._waiting.pop(token, [])

    def _keep(self, changes: Sequence[Change], then: list[OutageEffect]) -> list[OutageEffect]:
        for change in changes:
            self._books.apply(change)
        self._tokens += 1
        if then:
            self._waiting[self._tokens] = then
        return [Keep(token=self._tokens, changes=tuple(changes))]

    def _remember(self, message: Message) -> list[Change]:
        """The station may not have heard the answer: what it was told stays known for a while, on disk too."""
        if message.action not in BILLING:
            self._told.pop(message.digest, None)
            return []
        names = [name for name in self._books.facts if name.startswith(TOLD_FACT)]
        changes: list[Change] = [DropFact(name=name) for name in names[: max(0, len(names) - MAX_TOLD + 1)]]
        for change in changes:
            assert isinstance(change, DropFact), "made above"
            self._told.pop(bytes.fromhex(change.name[len(TOLD_FACT) :]), None)
        return [*changes, PutFact(name=f"{TOLD_FACT}{message.digest.hex()}", value=message.answer)]

    def _answer(self, head: Head, payload: Payload) -> ToStation:
        return ToStation(head=head, raw=frame.result(head.id, payload))
