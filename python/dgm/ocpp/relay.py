"""The one southbound lane of a station, and the tables that tell whose answer an answer is.

    CSMS CALL ──> Lane.waiting ──┐
                                 ├──> at most one outstanding CALL ──> station
    CALL of ours (asked for, ────┘
    never queued: see session)

OCPP-J 1.6 4.1.1 lets one sender have one open CALL; towards the station the CSMS and we are one sender. Answers are not
in the lane: they never wait. Holds no payloads but those of the CALLs that wait.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from dgm.machine import Now
from dgm.ocpp.events import Leg
from dgm.ocpp.frame import Head, Payload
from dgm.ocpp.profile import Profile

CALL_WAIT_MS = 10_000
"""A CSMS CALL that waited longer is dropped and answered with CALLERROR: an aged command is never delivered."""

CALL_GRACE_MS = 500
"""A CALL that waited for an unanswered one goes when that times out, though a timer came a little late."""

MAX_WAITING_CALLS = 16
"""A CSMS that keeps to one open CALL needs one."""

MAX_PENDING = 64
PENDING_EXPIRY_MS = 300_000
"""Peers that never answer must not fill the tables; a forgotten CALL only costs us the look at its answer."""

MAX_OWN_IDS = 256
OWN_ID_EXPIRY_MS = 3_600_000
"""How long a late answer to a CALL of ours is still recognised and kept from the CSMS."""


class Step(Enum):
    """What a CALL of ours is for."""

    FLOOR = "floor"
    LIVE = "live"
    READ_BACK = "read_back"
    PARKED = "parked"
    CLEAN = "clean"
    PROBE = "probe"
    ASK_READING = "ask_reading"
    ASK_STATUS = "ask_status"
    ASK_STATE = "ask_state"


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnCall:
    """A CALL of ours that wants the lane, in words of 1.6 (see `dialect`).

    safety: before any CSMS CALL. profile: what FLOOR and LIVE install.
    """

    step: Step
    action: str
    payload: Payload
    safety: bool = False
    profile: Profile | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """A CSMS CALL that could not go at once."""

    head: Head
    raw: bytes
    since_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Outstanding:
    """The CALL that the station has not answered yet."""

    id: str
    action: str
    own: bool
    sent_ms: int


class Lane:
    """One open CALL towards the station; CSMS CALLs wait in order, with a deadline."""

    def __init__(self, *, call_timeout_ms: int) -> None:
        self._call_timeout_ms = call_timeout_ms
        self._waiting: deque[Waiting] = deque()
        self.outstanding: Outstanding | None = None
        self.csms_had_turn = False
        """The newest CALL was the CSMS's: a waiting CALL of ours goes next, so that neither side starves."""

    @property
    def is_free(self) -> bool:
        """No CALL is open."""
        return self.outstanding is None

    @property
    def has_waiting(self) -> bool:
        """A CSMS CALL waits."""
        return bool(self._waiting)

    def offer(self, head: Head, raw: bytes, now: Now) -> bool:
        """Queue a CSMS CALL; False: the queue is full."""
        if len(self._waiting) >= MAX_WAITING_CALLS:
            return False
        self._waiting.append(Waiting(head=head, raw=raw, since_ms=now.mono_ms))
        return True

    def take(self) -> Waiting:
        """The CSMS CALL that waited longest."""
        return self._waiting.popleft()

    def send(self, *, message_id: str, action: str, own: bool, now: Now) -> None:
        """Note that a CALL goes out now."""
        assert self.outstanding is None, "two open CALLs towards one station"
        self.outstanding = Outstanding(id=message_id, action=action, own=own, sent_ms=now.mono_ms)
        self.csms_had_turn = not own

    def answered(self, message_id: str, *, own: bool) -> Outstanding | None:
        """Free the lane if this answers the open CALL; returns that CALL."""
        call = self.outstanding
        if call is None or call.id != message_id or call.own != own:
            return None
        self.outstanding = None
        return call

    def timed_out(self, now: Now) -> Outstanding | None:
        """Free the lane if the open CALL's answer is overdue; returns that CALL."""
        call = self.outstanding
        if call is None or now.mono_ms < call.sent_ms + self._call_timeout_ms:
            return None
        self.outstanding = None
        return call

    def expired(self, now: Now, *, grace_ms: int = 0) -> list[Waiting]:
        """Take out the CSMS CALLs that waited too long."""
        dropped = []
        while self._waiting and now.mono_ms >= self._waiting[0].since_ms + CALL_WAIT_MS + grace_ms:
            dropped.append(self._waiting.popleft())
        return dropped

    def drop_waiting(self) -> list[Waiting]:
        """The CSMS is lost: take out what waits. The station may yet answer the open CALL, and has no other before."""
        dropped = list(self._waiting)
        self._waiting.clear()
        return dropped

    def clear(self) -> None:
        """The station is lost: forget the open CALL too."""
        self._waiting.clear()
        self.outstanding = None
        self.csms_had_turn = False

    def wake_time(self) -> int | None:
        """Monotonic ms of the next timeout or deadline."""
        times = [self.outstanding.sent_ms + self._call_timeout_ms] if self.outstanding else []
        if self._waiting:
            times.append(self._waiting[0].since_ms + CALL_WAIT_MS)
        return min(times, default=None)


class PendingCalls:
    """Relayed CALLs by (leg that sent them, id) whose answers we read. Bounded; entries expire."""

    def __init__(self) -> None:
        self._calls: OrderedDict[tuple[Leg, str], tuple[str, int]] = OrderedDict()

    def put(self, leg: Leg, head: Head, now: Now) -> bool:
        """Remember a CALL; a reused id replaces. False: another CALL had to be forgotten for it."""
        key = (leg, head.id)
        self._calls.pop(key, None)
        self._calls[key] = (head.action, now.mono_ms)
        while self._calls and next(iter(self._calls.values()))[1] + PENDING_EXPIRY_MS <= now.mono_ms:
            self._calls.popitem(last=False)
        if len(self._calls) <= MAX_PENDING:
            return True
        self._calls.popitem(last=False)
        return False

    def take(self, leg: Leg, message_id: str) -> str:
        """Action of the CALL that this answers; empty: not known."""
        return self._calls.pop((leg, message_id), ("", 0))[0]

    def clear(self) -> None:
        """Forget all: ids have no meaning on the next connection."""
        self._calls.clear()

    def __len__(self) -> int:
        return len(self._calls)


class OwnIds:
    """Ids of our CALLs, kept over reconnects. Bounded; the oldest is forgotten first."""

    def __init__(self) -> None:
        self._sent_ms: OrderedDict[str, int] = OrderedDict()
        self.sent: Mapping[str, int] = self._sent_ms
        """By id, when (monotonic ms): for whoever asks at every frame."""

    def put(self, message_id: str, now: Now) -> None:
        """Remember an id of ours."""
        self._sent_ms[message_id] = now.mono_ms
        oldest = next(iter(self._sent_ms.values()))
        if len(self._sent_ms) > MAX_OWN_IDS or oldest + OWN_ID_EXPIRY_MS <= now.mono_ms:
            self._sent_ms.popitem(last=False)

    def __contains__(self, message_id: str) -> bool:
        return message_id in self.sent
