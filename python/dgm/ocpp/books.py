"""What one station's stand-in has on disk: messages that wait for the CSMS, transaction ids, known tags.

    Change ──> Books.apply (memory)          Change ──> shell ──> SQLite ──> load ──> Books

A change is on disk before anybody is told of it. Holds no sockets and no clock.
"""

from __future__ import annotations

from dataclasses import dataclass, field

MAX_MESSAGES = 10_000
"""Of one station: about a month of an outage. A station that is not answered beyond keeps its messages itself."""

MAX_TAGS = 2_000
"""The tags that the CSMS accepted last."""

MAX_TOLD = 256
"""Answers given and replayed, remembered to know a message that the station sends again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """A CALL of the station that the CSMS has not answered yet.

    sequence: its place. raw: as it will be sent, but for a transaction id that is still provisional. digest: of the
    payload as the station sent it. answer: payload that the station got, JSON. provisional_id: handed out by a
    StartTransaction. failures: CALLERRORs that the CSMS answered.
    """

    sequence: int
    message_id: str
    action: str
    raw: bytes
    digest: bytes
    answer: bytes
    provisional_id: int | None = None
    failures: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class PutMessage:
    """Add or replace the message of its sequence."""

    message: Message


@dataclass(frozen=True, slots=True, kw_only=True)
class DropMessage:
    """The CSMS has answered it."""

    sequence: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """The CSMS refuses it for good: kept for people, not sent again."""

    message: Message
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PutFact:
    """One of: "boot" and "status:N" (frames that the CSMS has not seen yet), "interval" (s), "tag:T" (expiry, UTC ms or
    empty), "real:P" (the CSMS's id of provisional transaction P), "next" (the next provisional id), "told:D" (the
    answer to a message of digest D that the station may not have heard)."""

    name: str
    value: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class DropFact:
    """Forget a fact."""

    name: str


Change = PutMessage | DropMessage | Refused | PutFact | DropFact


@dataclass(slots=True)
class Books:
    """The state of one station as it is on disk."""

    messages: dict[int, Message] = field(default_factory=dict)
    facts: dict[str, bytes] = field(default_factory=dict)
    has_real_ids: bool = field(init=False, default=False)
    """Some transaction has another id at the CSMS than at the station."""

    def __post_init__(self) -> None:
        self._look_for_real_ids()

    def _look_for_real_ids(self) -> None:
        self.has_real_ids = any(name.startswith("real:") for name in self.facts)

    def apply(self, change: Change) -> None:
        """Take one change."""
        match change:
            case PutMessage():
                self.messages[change.message.sequence] = change.message
            case DropMessage():
                self.messages.pop(change.sequence, None)
            case Refused():
                self.messages.pop(change.message.sequence, None)
            case PutFact():
                self.facts[change.name] = change.value
                self.has_real_ids = self.has_real_ids or change.name.startswith("real:")
            case DropFact():
                self.facts.pop(change.name, None)
                if change.name.startswith("real:"):
                    self._look_for_real_ids()

    @property
    def is_full(self) -> bool:
        """No further message may be taken."""
        return len(self.messages) >= MAX_MESSAGES

    def first(self) -> Message | None:
        """The message that is the next to be sent."""
        return self.messages[min(self.messages)] if self.messages else None

    def real_id(self, provisional_id: int) -> int | None:
        """The CSMS's id of a transaction that was begun without it."""
        found = self.facts.get(f"real:{provisional_id}")
        return None if found is None else int(found)

    def provisional_of(self, real_id: int) -> int | None:
        """The id under which the station knows a transaction of the CSMS."""
        wanted = str(real_id).encode()
        names = (name for name, value in self.facts.items() if name.startswith("real:") and value == wanted)
        return next((int(name[len("real:") :]) for name in names), None)

    def is_tag_known(self, tag: str, utc_ms: int) -> bool:
        """The CSMS accepted this tag before, and it has not expired."""
        expiry = self.facts.get(f"tag:{tag}")
        return expiry is not None and (expiry == b"" or int(expiry) > utc_ms)
