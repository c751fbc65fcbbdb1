"""Response codes, and what differs between function sets and utilities, as data for the one event engine.

    UtilityProfile (edition, utility) ──> EventRules of DER, load control, pricing, messaging, flow reservation

S18 table 27 has the codes; which of them a function set may send, and which a utility takes, is here or in its profile.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, IntEnum


class Code(IntEnum):
    """What a response says (S18 table 27, S23 table 31)."""

    RECEIVED = 1
    STARTED = 2
    COMPLETED = 3
    OPTED_OUT = 4
    OPTED_IN = 5
    CANCELLED = 6
    SUPERSEDED = 7
    PARTLY_OPTED_OUT = 8
    PARTLY_OPTED_IN = 9
    NO_PARTICIPATION = 10
    ACKNOWLEDGED = 11
    CANNOT_DISPLAY = 12
    ABORTED_SERVER = 13
    ABORTED_PROGRAM = 14
    RESUMED = 15
    REJECTED_UNSUPPORTED = 251
    REJECTED_NOT_APPLICABLE = 252
    REJECTED_INVALID = 253
    REJECTED_LATE = 254


REJECTIONS = frozenset(
    {Code.REJECTED_UNSUPPORTED, Code.REJECTED_NOT_APPLICABLE, Code.REJECTED_INVALID, Code.REJECTED_LATE}
)
BY_USER = frozenset(
    {
        Code.OPTED_OUT,
        Code.OPTED_IN,
        Code.PARTLY_OPTED_OUT,
        Code.PARTLY_OPTED_IN,
        Code.NO_PARTICIPATION,
        Code.ACKNOWLEDGED,
        Code.CANNOT_DISPLAY,
    }
)
REPEATABLE = frozenset(
    {
        Code.OPTED_OUT,
        Code.OPTED_IN,
        Code.SUPERSEDED,
        Code.RESUMED,
        Code.REJECTED_UNSUPPORTED,
        Code.REJECTED_INVALID,
    }
)
"""May be true of one event more than once, of a rejection for other modes."""
MESSAGE_ONLY = frozenset({Code.ACKNOWLEDGED, Code.CANNOT_DISPLAY})
EVENT_CODES = frozenset(Code) - MESSAGE_ONLY


class OptOuts(Enum):
    """What somebody on site may opt out of."""

    NEVER = "never"
    UNPROTECTED = "anything but limits, Energize and Connect"
    ANY = "anything"


def required_bit(code: int) -> int:
    """The bits of responseRequired that ask for a code: 0 received, 1 what became of it, 2 what a user did.

    A rejection answers either of the first two.
    """
    if code == Code.RECEIVED:
        return 0b001
    if code in REJECTIONS:
        return 0b011
    return 0b100 if code in BY_USER else 0b010


@dataclass(frozen=True, slots=True, kw_only=True)
class EventRules:
    """How one function set treats its events under one utility.

    name: of the function set, and of its part of the journal. codes: those that may be sent; empty: it has no
    responses. resumes: what was superseded comes back when the winner ends. lists_modes: a response names its lanes
    and 7 is told lane by lane (S23). not_applicable: code for an event that carries nothing this device acts on.
    protected: lanes that nobody opts out of under OptOuts.UNPROTECTED.
    """

    name: str
    codes: frozenset[int]
    resumes: bool
    lists_modes: bool
    not_applicable: int
    opt_out: OptOuts
    protected: frozenset[str] = frozenset()
