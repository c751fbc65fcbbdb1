"""Stands in for a CSMS that is away, by the policy of its station; replays what it missed when it is back. Sans-IO.

    LIVE ── CSMS lost ──> AWAY ── CSMS back ──> GREETING (boot, status) ──> DRAINING (messages, one by one) ──> LIVE
              station CALL ──> keep on disk ──> answer          Pending, Rejected ──> HELD: ask again later

island: control only. A billing CALL is never answered: after a while the connection closes, which for the station is a
lost connection and not a failed message, so it keeps it. store, where the CPO agreed: a billing CALL is on disk before
it is answered, and goes to the CSMS in order, each until it is answered. Nothing is invented: an answer that only the
CSMS can give (DataTransfer) is not given. What is on disk is in `ledger`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from dgm.machine import Now
from dgm.ocpp import frame, splice, stamp
from dgm.ocpp.books import Books, Change, DropFact, Message, PutFact, PutMessage
from dgm.ocpp.events import Reason, WriteBooks
from dgm.ocpp.frame import Head, Kind, Payload
from dgm.ocpp.ledger import STATUS_FACT, Ledger
from dgm.ocpp.outage_rules import BILLING, KEPT, Policy, Stage, as_replayed, digest_of, judged, status_place, tag_of

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

BOOT_AGAIN_MS = 3 * ISLAND_BOOT_INTERVAL_S * 1000
"""A station that was told so and does not ask again is sent away to begin anew."""

HANG_UP_MS = 8_000
"""Before a station's own timeout for a CALL, and time for a limit to be written meanwhile."""

TOLD_OF_TAGS = ("Authorize", "TransactionEvent")
"""CALLs at a glance whose answer may judge a tag; StartTransaction is looked at in any case."""

MAX_IN_FLIGHT = 64
"""Relayed CALLs whose answer is looked at; a station has one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """A frame of the station that goes no further for now; TAKEN_OVER: it has gone to a CSMS that was lost."""

    reason: Reason
    head: Head
    raw: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class ToStation:
    """Send south: our answer in the place of the CSMS. head: of the CALL."""

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


OutageEffect = WriteBooks | Kept | ToStation | ToCsms | HangUp


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    """What we sent to the CSMS and is not answered: a message (its sequence), or the frame of a fact (boot, status)."""

    message_id: str
    until_ms: int
    sequence: int | None = None
    fact: str = ""
    raw: bytes = b""


class Outage:
    """The stand-in of one station. `ids` gives fresh message ids; `books` is what is on disk, if there is a disk."""

    def __init__(self, policy: Policy, books: Books, ids: Callable[[], str], *, has_disk: bool = True) -> None:
        self.policy = policy
        self.stage = Stage.AWAY
        self.ledger: Ledger[OutageEffect] = Ledger(books, has_disk=has_disk)
        self._ids = ids
        self._asked: _Asked | None = None
        self._late: dict[str, int] = {}
        self._retry_ms: int | None = None
        self._hang_up_ms: int | None = None
        self._greetings: list[str] = []
        self._in_flight: dict[str, tuple[str, bytes]] = {}
        self._is_boot_pending = False

    @property
    def books(self) -> Books:
        """As on disk or about to be."""
        return self.ledger.books

    @property
    def does_store(self) -> bool:
        """Messages may be taken now, or others that were taken before wait and have their place before new ones."""
        return self.policy is Policy.STORE and self.ledger.has_disk and not self.ledger.is_failing

    @property
    def is_plain(self) -> bool:
        """Nothing is owed to anybody: frames may be passed on without being shown here first, but for `note`."""
        return self.stage is Stage.LIVE and not self.ledger.has_told and not self._late

    def answers(self, head: Head, raw: bytes) -> bool:
        """This CALL of the station is not to be relayed now but handed to `station_call`."""
        if head.action in BILLING and self.ledger.has_told and self.ledger.told(digest_of(head, raw)) is not None:
            return True
        if self.stage is Stage.LIVE:
            return False
        if self.stage is Stage.AWAY or (self._asked is not None and self._asked.message_id == head.id):
            return True
        if head.action == "BootNotification":
            return False
        if self.stage is Stage.HELD or (self.stage is Stage.GREETING and self._greets_boot):
            return True
        # The CSMS is there: it gives every answer itself but to what has its place behind the messages that wait.
        is_behind = bool(self.books.messages) or self.policy is Policy.STORE
        return (head.action in KEPT and is_behind) or (head.action == "StatusNotification" and bool(self._greetings))

    @property
    def _greets_boot(self) -> bool:
        return "boot" in self._greetings or (self._asked is not None and self._asked.fact == "boot")

    def wake_time(self) -> int | None:
        """Monotonic ms of the next retry."""
        if self.is_plain:
            # Asked after each reading of each station: live, nothing is open, tried again or about to be closed.
            return self.ledger.wake_time()
        times = (self._asked.until_ms if self._asked else None, self._retry_ms, self._hang_up_ms)
        others = (self.ledger.wake_time(), min(self._late.values(), default=None))
        return min((at for at in (*times, *others) if at is not None), default=None)

    # The link to the CSMS.

    def csms_lost(self, now: Now) -> list[OutageEffect]:
        """The socket to the CSMS is gone: CALLs that it had not answered are answered here. In store billing CALLs are
        kept, under the id that it may have seen, so that it knows them again; in island the station learns that its
        connection is lost."""
        self.stage, self._asked, self._retry_ms = Stage.AWAY, None, None
        self._late.clear()
        in_flight, self._in_flight = self._in_flight, {}
        effects: list[OutageEffect] = []
        for message_id, (action, raw) in in_flight.items():
            head = Head(kind=Kind.CALL, id=message_id, action=action)
            effects.append(self._kept(Reason.TAKEN_OVER, head, raw))
            effects += self.station_call(head, raw, now)
        return effects

    def csms_back(self, now: Now) -> list[OutageEffect]:
        """The socket to the CSMS is open, and the station's."""
        self.ledger.remind(now)
        self._greetings = self._missed()
        if self._hang_up_ms is not None:
            # It comes again with the message that it was not answered, and finds the CSMS there.
            self._hang_up_ms, self.stage = None, Stage.HELD
            return [HangUp(reason="the CSMS is back")]
        if self._is_boot_pending:
            self.stage, self._retry_ms = Stage.HELD, now.mono_ms + BOOT_AGAIN_MS
            return []
        self.stage = Stage.GREETING
        return self._proceed(now)

    def station_lost(self) -> None:
        """The station's socket is gone; what it is owed it will ask for again."""
        self._in_flight.clear()
        self._hang_up_ms, self._is_boot_pending = None, False
        self.ledger.then_without(ToStation)

    def tick(self, now: Now) -> list[OutageEffect]:
        """Send again what was not answered, or failed before."""
        effects: list[OutageEffect] = [*self.ledger.tick(now)]
        self._late = {message_id: at_ms for message_id, at_ms in self._late.items() if at_ms > now.mono_ms}
        if self._hang_up_ms is not None and self._hang_up_ms <= now.mono_ms:
            self._hang_up_ms = None
            return [*effects, HangUp(reason="a message that only its CSMS may take")]
        if self._asked is not None and self._asked.until_ms <= now.mono_ms:
            self._late[self._asked.message_id] = now.mono_ms + 10 * ANSWER_WAIT_MS
            if self._asked.fact:
                self._greetings.insert(0, self._asked.fact)
            self._asked = None
            return effects + self._proceed(now)
        if self._retry_ms is not None and self._retry_ms <= now.mono_ms:
            self._retry_ms = None
            return effects + self._retry(now)
        return effects

    def _retry(self, now: Now) -> list[OutageEffect]:
        if self.stage is Stage.HELD and self._is_boot_pending:
            return [HangUp(reason="it was told to boot again and did not")]
        if self.stage is Stage.HELD:
            self._greetings, self.stage = self._missed(), Stage.GREETING
        return self._proceed(now)

    # CALLs of the station while the CSMS is away.

    def station_call(self, head: Head, raw: bytes, now: Now) -> list[OutageEffect]:
        """Answer, keep or refuse to answer a CALL of the station."""
        told = self.ledger.told(digest_of(head, raw)) if head.action in BILLING else None
        if told is not None:
            # The station did not hear our answer and sends the message again: it is in the books once.
            self.ledger.told_again(digest_of(head, raw), now)
            return [self._kept(Reason.STOOD_IN, head, raw), _answer(head, told)]
        match head.action:
            case "BootNotification":
                return self._boot(head, raw, now)
            case "Heartbeat":
                return [self._kept(Reason.STOOD_IN, head, raw), _answer(head, {"currentTime": stamp.text(now.utc_ms)})]
            case "StatusNotification":
                return self._status(head, raw)
            case "Authorize":
                return self._authorize(head, raw, now)
            case _ if head.action not in KEPT:
                return [self._kept(Reason.CSMS_AWAY, head, raw)]
            case _ if self.ledger.may_take and (self.policy is Policy.STORE or bool(self.books.messages)):
                return self._take(head, raw, now)
            case _:
                return self._not_taken(head, raw, now)

    def _kept(self, reason: Reason, head: Head, raw: bytes) -> Kept:
        return Kept(reason=reason, head=head, raw=raw)

    def _not_taken(self, head: Head, raw: bytes, now: Now) -> list[OutageEffect]:
        if self._hang_up_ms is None:
            self._hang_up_ms = now.mono_ms + HANG_UP_MS
        return [self._kept(Reason.CSMS_AWAY, head, raw)]

    def _take(self, head: Head, raw: bytes, now: Now) -> list[OutageEffect]:
        answer, changes, provisional_id = self._answer_to(head.action, frame.payload_of(raw) or {}, now.utc_ms)
        # The CSMS may have seen it under the station's own id, and then knows it again.
        is_used = any(message.message_id == head.id for message in self.books.messages.values())
        replay_id = self._ids() if is_used else head.id
        renamed = splice.with_id(raw, replay_id)
        if renamed is None:
            return [self._kept(Reason.CSMS_AWAY, head, raw)]
        message = Message(
            sequence=self.ledger.next_sequence(),
            message_id=replay_id,
            action=head.action,
            raw=as_replayed(head.action, renamed, is_offline=self.stage is not Stage.DRAINING),
            digest=digest_of(head, raw),
            answer=json.dumps(answer, separators=(",", ":")).encode(),
            provisional_id=provisional_id,
        )
        heard = self.ledger.heard(now) if head.action in BILLING else []
        self.ledger.telling(message.digest, message.answer)
        stored = self._keep([PutMessage(message=message), *changes], [_answer(head, answer)])
        return [self._kept(Reason.STORED, head, raw), *heard, *stored]

    def _answer_to(self, action: str, payload: Payload, utc_ms: int) -> tuple[Payload, list[Change], int | None]:
        is_known = self._is_known(payload, utc_ms)
        if action == "StartTransaction":
            provisional_id, following = self.ledger.provisional()
            info = judged({"idTag": ""}, is_known=is_known)
            return {"transactionId": provisional_id, **info}, [following], provisional_id
        if action == "TransactionEvent" and "idToken" in payload:
            return judged(payload, is_known=is_known), [], None
        return {}, [], None

    def _is_known(self, payload: Payload, utc_ms: int) -> bool:
        tag = tag_of(payload)
        return tag is not None and self.books.is_tag_known(tag, utc_ms)

    def _boot(self, head: Head, raw: bytes, now: Now) -> list[OutageEffect]:
        time, kept = stamp.text(now.utc_ms), self._kept(Reason.STOOD_IN, head, raw)
        if not self.does_store:
            self._is_boot_pending = True
            answer = {"currentTime": time, "interval": ISLAND_BOOT_INTERVAL_S, "status": "Pending"}
            return [kept, _answer(head, answer)]
        interval_s = int(self.books.facts.get("interval", str(BOOT_INTERVAL_S).encode()))
        accepted = _answer(head, {"currentTime": time, "interval": interval_s, "status": "Accepted"})
        return [kept, *self._keep([PutFact(name="boot", value=raw)], [accepted])]

    def _status(self, head: Head, raw: bytes) -> list[OutageEffect]:
        name = STATUS_FACT + status_place(frame.payload_of(raw) or {})
        if self._greetings and name not in self._greetings:
            self._greetings.append(name)
        kept, answer = self._kept(Reason.STOOD_IN, head, raw), _answer(head, {})
        return [kept, *self._keep([PutFact(name=name, value=raw)], [answer])]

    def _authorize(self, head: Head, raw: bytes, now: Now) -> list[OutageEffect]:
        payload = frame.payload_of(raw) or {}
        if not self.does_store:
            # Without a connection the station goes by its own rules for drivers, as its CPO has set them.
            return [self._kept(Reason.CSMS_AWAY, head, raw), HangUp(reason="a driver whom only the CSMS may judge")]
        info = judged(payload, is_known=self._is_known(payload, now.utc_ms))
        return [self._kept(Reason.STOOD_IN, head, raw), _answer(head, info)]

    # What a CSMS that is there says, for the next outage.

    def note(self, message_id: str, action: str, raw: bytes) -> None:
        """A CALL of the station was passed on; raw: as the station sent it."""
        in_flight = self._in_flight
        in_flight[message_id] = (action, raw)
        if len(in_flight) > MAX_IN_FLIGHT:
            del in_flight[next(iter(in_flight))]

    def may_pass(self, message_id: str, raw: bytes) -> bool:
        """This answer of the CSMS tells nothing that `answered` would learn from."""
        in_flight = self._in_flight
        if message_id not in in_flight:
            return True
        if in_flight[message_id][0] in TOLD_OF_TAGS and not raw.endswith(b"{}]"):
            return False
        del in_flight[message_id]
        return True

    def relayed(self, head: Head, raw: bytes, now: Now) -> list[OutageEffect]:
        """A CALL of the station was passed on; raw: as the station sent it."""
        self.note(head.id, head.action, raw)
        self._late.pop(head.id, None)
        if head.action == "BootNotification":
            self._greetings = [name for name in self._greetings if name != "boot"]
        return [*self.ledger.heard(now)] if head.action in BILLING and self.ledger.has_told else []

    def answered(self, head: Head, raw: bytes, now: Now) -> list[OutageEffect]:
        """The CSMS answered a CALL that was passed on: learn the interval and the tags that it accepts."""
        asked = self._in_flight.pop(head.id, None)
        if asked is None or head.kind is not Kind.RESULT:
            return []
        action, call = asked
        payload, request = frame.payload_of(raw) or {}, frame.payload_of(call) or {}
        if action == "BootNotification":
            return self._own_boot_answered(payload, now)
        if action == "StatusNotification":
            # It knows a newer state than the one it missed.
            return self._forget_fact(STATUS_FACT + status_place(request))
        tag = tag_of(request)
        return self._keep([] if tag is None else self.ledger.tag_changes(tag, payload))

    def _forget_fact(self, name: str) -> list[OutageEffect]:
        self._greetings = [one for one in self._greetings if one != name]
        return self._keep([DropFact(name=name)] if name in self.books.facts else [])

    def _own_boot_answered(self, payload: Payload, now: Now) -> list[OutageEffect]:
        interval_s = payload.get("interval")
        is_number = isinstance(interval_s, int) and not isinstance(interval_s, bool) and interval_s > 0
        value = str(interval_s).encode()
        is_new = is_number and self.books.facts.get("interval") != value
        effects = self._keep([PutFact(name="interval", value=value)] if is_new else [])
        self._is_boot_pending = False
        if payload.get("status") != "Accepted":
            if self.stage in (Stage.GREETING, Stage.DRAINING) and self._asked is None:
                self.stage, self._retry_ms = Stage.HELD, None
            return effects
        effects += self._forget_fact("boot")
        if self.stage is Stage.HELD:
            self.stage, self._retry_ms = Stage.GREETING, None
        return effects + self._proceed(now)

    # Replay.

    def is_ours(self, message_id: str) -> bool:
        """This answer of the CSMS is to a message that we replayed; hand it to `replayed`."""
        return message_id in self._late or (self._asked is not None and self._asked.message_id == message_id)

    def replayed(self, head: Head, raw: bytes, now: Now) -> list[OutageEffect]:
        """The CSMS answered a replayed message."""
        if self._asked is None or self._asked.message_id != head.id:
            return []
        asked, self._asked = self._asked, None
        self._late.pop(head.id, None)
        if asked.fact == "boot":
            return self._boot_answered(head, raw, now)
        if asked.fact:
            is_newest = self.books.facts.get(asked.fact) == asked.raw
            return (self._forget_fact(asked.fact) if is_newest else []) + self._proceed(now)
        message = self.books.messages.get(asked.sequence) if asked.sequence is not None else None
        if message is None:
            return self._proceed(now)
        if head.kind is Kind.RESULT:
            return self._keep(self.ledger.settled(message, frame.payload_of(raw) or {})) + self._proceed(now)
        return self._failed(message, frame.error_text(raw), now)

    def _boot_answered(self, head: Head, raw: bytes, now: Now) -> list[OutageEffect]:
        payload = (frame.payload_of(raw) or {}) if head.kind is Kind.RESULT else {}
        if payload.get("status") == "Accepted":
            return self._forget_fact("boot") + self._proceed(now)
        interval_s = payload.get("interval")
        wait_s = interval_s if isinstance(interval_s, int) and interval_s > 0 else BOOT_INTERVAL_S
        self.stage, self._greetings = Stage.HELD, []
        self._retry_ms = now.mono_ms + wait_s * 1000
        return []

    def _failed(self, message: Message, why: str, now: Now) -> list[OutageEffect]:
        failures = message.failures + 1
        if failures >= FAILURES_MAX:
            return self._keep(self.ledger.refused(message, why)) + self._proceed(now)
        self._retry_ms = now.mono_ms + failures * RETRY_MS
        return self._keep([PutMessage(message=replace(message, failures=failures))])

    def _missed(self) -> list[str]:
        """The facts that the CSMS has not heard: the boot, then the newest states."""
        facts = self.books.facts
        names = sorted(name for name in facts if name.startswith(STATUS_FACT))
        return (["boot"] if "boot" in facts else []) + names

    def _proceed(self, now: Now) -> list[OutageEffect]:
        """The next message for the CSMS, or LIVE."""
        if self.stage in (Stage.AWAY, Stage.HELD, Stage.LIVE) or self._asked is not None or self._retry_ms is not None:
            return []
        while self._greetings:
            name = self._greetings.pop(0)
            raw, message_id = self.books.facts.get(name, b""), self._ids()
            renamed = splice.with_id(raw, message_id)
            if renamed is not None:
                action = "BootNotification" if name == "boot" else "StatusNotification"
                asked = _Asked(message_id=message_id, fact=name, raw=raw, until_ms=now.mono_ms + ANSWER_WAIT_MS)
                return self._ask(asked, action, renamed)
        message = self.books.first()
        if message is None:
            self.stage = Stage.LIVE
            return []
        self.stage = Stage.DRAINING
        if not self.ledger.is_on_disk(message):
            return []
        until_ms = now.mono_ms + ANSWER_WAIT_MS
        asked = _Asked(message_id=message.message_id, sequence=message.sequence, until_ms=until_ms)
        return self._ask(asked, message.action, self.ledger.to_csms(message.action, message.raw))

    def _ask(self, asked: _Asked, action: str, raw: bytes) -> list[OutageEffect]:
        self._asked = asked
        return [ToCsms(head=Head(kind=Kind.CALL, id=asked.message_id, action=action), raw=raw)]

    # The disk.

    def kept(self, token: int, now: Now, *, is_good: bool) -> list[OutageEffect]:
        """The changes of this token are on disk, or could not be written: what waited for them."""
        then, is_lost = self.ledger.written(token, now, is_good=is_good)
        if is_lost:
            then = [HangUp(reason="the journal of its CPO's messages cannot be written")]
        return then + self._proceed(now)

    def _keep(self, changes: Sequence[Change], then: Sequence[OutageEffect] = ()) -> list[OutageEffect]:
        written, at_once = self.ledger.keep(changes, then)
        return [*written, *at_once]


def _answer(head: Head, payload: Payload) -> ToStation:
    return ToStation(head=head, raw=frame.result(head.id, payload))
