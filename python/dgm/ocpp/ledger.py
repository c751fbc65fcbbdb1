"""What one station's stand-in writes down: messages for the CSMS, what the station was told, two ids per transaction.

    changes ──keep──> memory, WriteBooks ──disk──> written(token, is_good) ──> what waited for it
                                              └─ bad: what is not on disk never was; owed changes are tried again

A message goes north, and its answer south, only when it is on disk. When the disk fails, messages that it did not take
are forgotten (their station was not answered and keeps them), and nothing is taken until it writes again.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Sequence
from typing import Generic, TypeVar

from dgm.machine import Now
from dgm.ocpp import splice, stamp
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
    Refused,
)
from dgm.ocpp.events import WriteBooks
from dgm.ocpp.frame import Payload
from dgm.ocpp.outage_rules import BILLING, TO_STATION, WITH_TRANSACTION

MAX_TRANSACTIONS = 256
"""Of one station that were begun while its CSMS was away: their two ids are known so long."""

FIRST_PROVISIONAL_ID, LAST_PROVISIONAL_ID = 1_900_000_001, 1_900_999_999
"""Above what CSMSs hand out, below 2^31; one after the other, then from the first again."""

PROVISIONAL = b"1900"
"""How each of them begins."""

NO_TRANSACTION = -1
"""The id that a CSMS must bear when its answer to a StartTransaction never came (1.6E 3.18)."""

DISK_RETRY_MS = 10_000
HEARD_MS = 1_000
"""A billing message that comes so long after our answer to another shows that the answer was heard: a station has one
open CALL, and keeps its billing messages in order."""

TOLD_KEPT_MS = 86_400_000
"""How long an answer that may not have been heard is remembered once the CSMS is there."""

TAG_FACT, STATUS_FACT, REAL_FACT, TOLD_FACT = "tag:", "status:", "real:", "told:"

ThenT = TypeVar("ThenT")


class Ledger(Generic[ThenT]):
    """The books of one station and the way to its disk. has_disk: False, what is kept is kept in memory only."""

    def __init__(self, books: Books, *, has_disk: bool) -> None:
        self.books = books
        self.has_disk = has_disk
        self.is_failing = False
        """The disk refused the newest changes."""
        self._tokens = 0
        self._waiting: dict[int, tuple[tuple[Change, ...], list[ThenT]]] = {}
        self._on_disk = set(books.messages)
        self._sequence = max(books.messages, default=0)
        self._owed: dict[str, Change] = {}
        self._retry_ms: int | None = None
        self._told: OrderedDict[bytes, bytes] = OrderedDict()
        self._said_ms: dict[bytes, int] = {}
        self._forget_ms: int | None = None
        for name, answer in books.facts.items():
            if name.startswith(TOLD_FACT):
                self._told[bytes.fromhex(name[len(TOLD_FACT) :])] = answer
        for message in books.messages.values():
            self._told[message.digest] = message.answer

    @property
    def may_take(self) -> bool:
        """A message that is given now will be on disk."""
        return self.has_disk and not self.is_failing and not self.books.is_full

    def wake_time(self) -> int | None:
        """Monotonic ms of the next try of a failing disk, or of the end of a memory."""
        if self._retry_ms is None or self._forget_ms is None:
            return self._forget_ms if self._retry_ms is None else self._retry_ms
        return min(self._retry_ms, self._forget_ms)

    # The disk.

    def keep(self, changes: Sequence[Change], then: Sequence[ThenT] = ()) -> tuple[list[WriteBooks], list[ThenT]]:
        """Take changes; what is to be written, and what may follow at once because nothing is."""
        for change in changes:
            self.books.apply(change)
        if not self.has_disk or not changes:
            return [], list(then)
        self._tokens += 1
        self._waiting[self._tokens] = (tuple(changes), list(then))
        return [WriteBooks(token=self._tokens, changes=tuple(changes))], []

    def written(self, token: int, now: Now, *, is_good: bool) -> tuple[list[ThenT], bool]:
        """The changes of a token are on disk, or could not be written. What waited for them; whether messages of the
        station were refused with them."""
        changes, then = self._waiting.pop(token, ((), []))
        messages = [change.message for change in changes if isinstance(change, PutMessage)]
        if not is_good:
            return self._not_written(changes, messages, then, now)
        self._on_disk.update(message.sequence for message in messages)
        self.is_failing = self.is_failing and bool(self._owed)
        if not self.is_failing:
            self._retry_ms = None
        if then:
            self._said_ms |= {message.digest: now.mono_ms for message in messages if message.action in BILLING}
        return then, False

    def _not_written(
        self, changes: Sequence[Change], messages: Sequence[Message], then: list[ThenT], now: Now
    ) -> tuple[list[ThenT], bool]:
        self.is_failing, self._retry_ms = True, now.mono_ms + DISK_RETRY_MS
        lost = {message.sequence for message in messages} - self._on_disk
        for sequence in lost:
            self._told.pop(self.books.messages.pop(sequence).digest, None)
        for change in changes:
            if not (isinstance(change, PutMessage) and change.message.sequence in lost):
                self._owed[_key(change)] = change
        return ([], True) if lost else (then, False)

    def tick(self, now: Now) -> list[WriteBooks]:
        """Try a failing disk again; forget what no station will ask for any more."""
        found: list[WriteBooks] = []
        if self._retry_ms is not None and self._retry_ms <= now.mono_ms:
            self._retry_ms = now.mono_ms + DISK_RETRY_MS
            owed, self._owed = tuple(self._owed.values()), {}
            # Something must be written to see that it can be.
            owed = owed or (DropFact(name="nothing"),)
            self._tokens += 1
            self._waiting[self._tokens] = (owed, [])
            found.append(WriteBooks(token=self._tokens, changes=owed))
        if self._forget_ms is not None and self._forget_ms <= now.mono_ms:
            self._forget_ms = None
            found += self.keep(self._forgotten([digest for digest in self._told if digest not in self._said_ms]))[0]
        return found

    def next_sequence(self) -> int:
        """A place after all that wait; none is used twice: the disk may still be owed the end of the one before."""
        self._sequence += 1
        return self._sequence

    def is_on_disk(self, message: Message) -> bool:
        """It may go north."""
        return message.sequence in self._on_disk or not self.has_disk

    def then_without(self, kind: type) -> None:
        """The station is gone: what was for it is not sent to the next one."""
        self._waiting = {
            token: (changes, [effect for effect in then if not isinstance(effect, kind)])
            for token, (changes, then) in self._waiting.items()
        }
        self._said_ms.clear()

    # What the station was told.

    def told(self, digest: bytes) -> Payload | None:
        """The answer that was given to this message already."""
        answer = self._told.get(digest)
        found: Payload | None = None if answer is None else json.loads(answer)
        return found

    @property
    def has_told(self) -> bool:
        """There are answers that the station may not have heard."""
        return bool(self._told)

    def telling(self, digest: bytes, answer: bytes) -> None:
        """This will be answered."""
        self._told[digest] = answer

    def told_again(self, digest: bytes, now: Now) -> None:
        """It was sent and answered once more."""
        self._said_ms[digest] = now.mono_ms

    def heard(self, now: Now) -> list[WriteBooks]:
        """The station sends another billing message: it has heard what was said well before."""
        heard = [digest for digest, at_ms in self._said_ms.items() if at_ms + HEARD_MS <= now.mono_ms]
        for digest in heard:
            del self._said_ms[digest]
        return self.keep(self._forgotten(heard))[0] if heard else []

    def _forgotten(self, digests: Sequence[bytes]) -> list[Change]:
        names = [f"{TOLD_FACT}{digest.hex()}" for digest in digests if self._told.pop(digest, None) is not None]
        return [DropFact(name=name) for name in names if name in self.books.facts]

    def remind(self, now: Now) -> None:
        """The CSMS is there: what was told is remembered for a while yet."""
        if self._told and self._forget_ms is None:
            self._forget_ms = now.mono_ms + TOLD_KEPT_MS

    # What the CSMS says of a message.

    def settled(self, message: Message, payload: Payload) -> list[Change]:
        """It has taken it."""
        self._on_disk.discard(message.sequence)
        changes: list[Change] = [DropMessage(sequence=message.sequence), *self._remembered(message)]
        real_id = payload.get("transactionId")
        if message.provisional_id is not None and isinstance(real_id, int) and not isinstance(real_id, bool):
            changes += self._real(message.provisional_id, real_id)
        return changes

    def refused(self, message: Message, why: str) -> list[Change]:
        """It never will; the rest of a transaction that was refused so has none (1.6E 3.18)."""
        self._on_disk.discard(message.sequence)
        changes: list[Change] = [Refused(message=message, why=why), *self._remembered(message)]
        if message.provisional_id is not None:
            changes += self._real(message.provisional_id, NO_TRANSACTION)
        return changes

    def _real(self, provisional_id: int, real_id: int) -> list[Change]:
        # Kept after the transaction's end: a station may still send readings of it.
        names = [name for name in self.books.facts if name.startswith(REAL_FACT)]
        dropped = [DropFact(name=name) for name in names[: max(0, len(names) - MAX_TRANSACTIONS + 1)]]
        return [*dropped, PutFact(name=f"{REAL_FACT}{provisional_id}", value=str(real_id).encode())]

    def _remembered(self, message: Message) -> list[Change]:
        """The station may not have heard the answer: what it was told stays known for a while, on disk too."""
        if message.digest not in self._told:
            return []
        if message.action not in BILLING:
            del self._told[message.digest]
            return []
        names = [name for name in self.books.facts if name.startswith(TOLD_FACT)]
        oldest = [bytes.fromhex(name[len(TOLD_FACT) :]) for name in names[: max(0, len(names) - MAX_TOLD + 1)]]
        changes = self._forgotten(oldest)
        return [*changes, PutFact(name=f"{TOLD_FACT}{message.digest.hex()}", value=message.answer)]

    # Tags and ids.

    def provisional(self) -> tuple[int, Change]:
        """An id for a transaction whose CSMS is away, and the change that hands out the next one."""
        found = int(self.books.facts.get("next", str(FIRST_PROVISIONAL_ID).encode()))
        following = found + 1 if found < LAST_PROVISIONAL_ID else FIRST_PROVISIONAL_ID
        return found, PutFact(name="next", value=str(following).encode())

    def names_provisional(self, raw: bytes) -> bool:
        """This frame of the station may hold an id that the CSMS does not know."""
        return self.books.has_real_ids and PROVISIONAL in raw

    def to_csms(self, action: str, raw: bytes) -> bytes:
        """A CALL of the station, with the CSMS's transaction id in it where it has another one."""
        place = (3, "transactionId")
        provisional_id = splice.integer_at(raw, place) if action in WITH_TRANSACTION else None
        real_id = None if provisional_id is None else self.books.real_id(provisional_id)
        return raw if real_id is None else splice.with_integer(raw, place, real_id) or raw

    def to_station(self, action: str, raw: bytes) -> bytes:
        """A CALL of the CSMS, with the transaction id that the station knows."""
        for place in TO_STATION.get(action, ()):
            real_id = splice.integer_at(raw, place)
            known = real_id is not None and real_id != NO_TRANSACTION
            provisional_id = self.books.provisional_of(real_id) if known and real_id is not None else None
            if provisional_id is not None:
                raw = splice.with_integer(raw, place, provisional_id) or raw
        return raw

    def tag_changes(self, tag: str, payload: Payload) -> list[Change]:
        """The CSMS has judged a tag."""
        info = payload.get("idTagInfo") or payload.get("idTokenInfo")
        if not isinstance(info, dict):
            return []
        name = TAG_FACT + tag
        if info.get("status") != "Accepted":
            return [DropFact(name=name)] if name in self.books.facts else []
        expiry = stamp.parse(info.get("expiryDate") or info.get("cacheExpiryDateTime"))
        value = b"" if expiry is None else str(expiry).encode()
        if self.books.facts.get(name) == value:
            return []
        known = [fact for fact in self.books.facts if fact.startswith(TAG_FACT) and fact != name]
        oldest = [DropFact(name=fact) for fact in known[: max(0, len(known) - MAX_TAGS + 1)]]
        return [*oldest, DropFact(name=name), PutFact(name=name, value=value)]


def _key(change: Change) -> str:
    """Of two changes with the same key the later one is enough."""
    match change:
        case PutMessage() | Refused():
            return f"message {change.message.sequence}"
        case DropMessage():
            return f"message {change.sequence}"
        case PutFact() | DropFact():
            return f"fact {change.name}"
