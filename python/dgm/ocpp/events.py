"""What goes into a station's session and what comes out of it.

    shell ──> LegUp, LegDown, FrameIn, SetpointIn, Tick ──> Session ──> Send, Close, Later, Sampled, Outcome, ...
    shell ──> pass_on(leg, raw) ──> Glance                            the short cut of frames that need no decision

`Later` is how a frame is passed on before its payload is decoded: the shell carries out the effects in order and then
hands `Later.event` back at once, without waiting for anything.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from dgm.api.ems.v1.ems_pb2 import OutcomeState
from dgm.api.site.v1.site_pb2 import PlugState
from dgm.machine import Tick
from dgm.ocpp.books import Change
from dgm.ocpp.der_control import Der
from dgm.ocpp.frame import Head

PhaseTriple = tuple[int | None, int | None, int | None]


class Leg(Enum):
    """One of the two sockets of a station."""

    SOUTH = "south"
    """The station's socket."""
    NORTH = "north"
    """The socket to its CSMS."""


class Reason(Enum):
    """The closed list of frames that are not passed on unchanged, or that are ours. Architecture section 7."""

    OWN_CALL = "own_call"
    """Sent south: a CALL of ours."""
    OWN_ANSWER = "own_answer"
    """Kept: a peer's answer to a CALL of ours."""
    TRIGGERED_READING = "triggered_reading"
    """Kept: the MeterValues that our TriggerMessage caused."""
    LOCAL_ANSWER = "local_answer"
    """Sent south: our empty CALLRESULT to that reading."""
    CALL_EXPIRED = "call_expired"
    """Kept: a CSMS CALL that waited for the lane longer than CALL_WAIT_MS."""
    LANE_FULL = "lane_full"
    """Kept: a CSMS CALL that found the lane's queue full."""
    LEG_LOST = "leg_lost"
    """Kept: a CSMS CALL that was still waiting when a leg was lost."""
    REPOINTING = "repointing"
    """Kept: a CSMS CALL that would move the station off us."""
    LOCAL_REFUSAL = "local_refusal"
    """Sent north: our refusal of such a CALL."""
    LOCAL_ERROR = "local_error"
    """Sent north: our CALLERROR to a CSMS CALL that we did not pass on."""
    PROFILE_CALL = "profile_call"
    """Kept: a CSMS CALL about charging profiles that we answer for the station."""
    PROFILE_ANSWER = "profile_answer"
    """Sent north: our answer to it."""
    PROFILE_REPORT = "profile_report"
    """Sent north: a ReportChargingProfiles of ours, for the station."""
    PROFILE_PULL = "profile_pull"
    """Sent north: a PullDynamicScheduleUpdate of ours, for the station."""
    START_PROFILE = "start_profile"
    """Kept: a remote start that carries a charging profile, which we keep."""
    START_REWRITTEN = "start_rewritten"
    """Sent south: that start without the profile."""
    UNREADABLE = "unreadable"
    """Kept: not an OCPP-J frame."""
    STOOD_IN = "stood_in"
    """Kept: a CALL of the station that we answer while its CSMS is away."""
    STORED = "stored"
    """Kept: a CALL of the station that is on disk, is answered by us and will be replayed."""
    TAKEN_OVER = "taken_over"
    """Passed on to a CSMS that was lost before it answered, and so perhaps seen by it; the next entry says what became
    of it: STOOD_IN, STORED or CSMS_AWAY."""
    STOOD_IN_ANSWER = "stood_in_answer"
    """Sent south: our answer to one of these."""
    REPLAYED = "replayed"
    """Sent north: a message that the CSMS missed."""
    REPLAY_ANSWER = "replay_answer"
    """Kept: the CSMS's answer to it."""
    CSMS_AWAY = "csms_away"
    """Kept: a frame for a CSMS that is not there, which nobody may answer in its place."""
    OTHER_ID = "other_id"
    """Kept: a CALL that names a transaction by the id of one side, for the other side knows another."""
    OTHER_ID_SENT = "other_id_sent"
    """Sent on: that CALL with the id of the other side, all else as it was."""
    OWN_RESULT_ERROR = "own_result_error"
    """Kept: a peer's CALLRESULTERROR (2.1) to an answer of ours."""


class Direction(Enum):
    """Where the gateway sent a frame of its own; LOCAL: a peer's frame that went no further."""

    NORTH = "north"
    SOUTH = "south"
    LOCAL = "local"


@dataclass(frozen=True, slots=True, kw_only=True)
class LegUp:
    """A leg is open; of SOUTH with the negotiated subprotocol. NORTH comes first where the CSMS is there."""

    leg: Leg
    subprotocol: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class LegDown:
    """A leg is closed."""

    leg: Leg


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameIn:
    """A text message arrived on `leg`."""

    leg: Leg
    raw: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Passed:
    """Second half of a frame: it has gone where it goes and may now be decoded.

    origin: leg it came from. action: of the CALL, for answers too (empty: not known to us). claimed: a reading that our
    trigger caused. own: an answer to the CALL of ours that is in flight.
    """

    origin: Leg
    head: Head
    raw: bytes
    action: str
    claimed: bool = False
    own: bool = False


class Glance(Enum):
    """What `Session.pass_on` says of a frame."""

    HANDLE = "handle"
    """Not passed on: give it to `handle` as FrameIn."""
    PASS = "pass"
    """Write it on the other leg; nothing more is to be done."""
    COPY = "copy"
    """Write it on the other leg, then give it to `handle` as Copied, soon and before any other event of the station."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Copied:
    """A frame that `pass_on` let through: now its payload may be decoded."""

    leg: Leg
    raw: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class SetpointIn:
    """A leased limit from the ems role: mA per phase, valid for ttl_ms from now. asset_id: empty, the first EVSE."""

    asset_id: str = ""
    epoch: int
    sequence: int
    current_ma: int
    ttl_ms: int
    safety: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class BooksWritten:
    """The changes of a WriteBooks are on disk; not is_good: they could not be written."""

    token: int
    is_good: bool


Event = LegUp | LegDown | FrameIn | Passed | Copied | SetpointIn | BooksWritten | Tick


@dataclass(frozen=True, slots=True, kw_only=True)
class Send:
    """Write `raw` as one text message. relayed: it is a peer's frame, passed on unchanged."""

    leg: Leg
    raw: bytes
    relayed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Close:
    """Close a leg; the reason is for people."""

    leg: Leg
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Later:
    """Hand this event back after all effects before it have been carried out."""

    event: Passed


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampled:
    """What the EVSE was last seen doing, in site phases. at_mono_ms: when measured; None: state only, no reading."""

    asset_id: str
    plug_state: PlugState
    at_mono_ms: int | None = None
    power_w: int | None = None
    phase_power_w: PhaseTriple = (None, None, None)
    current_ma: PhaseTriple = (None, None, None)
    voltage_mv: PhaseTriple = (None, None, None)
    energy_wh: int | None = None
    soc_permille: int | None = None
    urgent: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What the station did with a setpoint (ems.v1.Outcome).

    fallback_ma: what holds when this role is gone, the floor or, of a model that forgets, all; None: none proved.
    """

    asset_id: str
    epoch: int
    sequence: int
    state: OutcomeState
    current_ma: int | None
    at_mono_ms: int
    evidence: str = ""
    fallback_ma: int | None = None
    urgent: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Excepted:
    """A frame of the closed list, for the audit file and the counters."""

    reason: Reason
    direction: Direction
    id: str
    action: str
    raw: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """Something worth a counter. name: "bad_frame", "wrong_payload", "schema_breach", "old_reading", "pending_full",
    "certificate" (a message about certificates was passed on).

    detail: why.
    """

    name: str
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Keep:
    """Store this durably under the station's name before the effects after it are carried out."""

    name: str
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteBooks:
    """Put these changes of the station's books on disk, then give BooksWritten with this token."""

    token: int
    changes: tuple[Change, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class CpoLimit:
    """What the CPO's own profiles allow an EVSE from now on, mA per phase; None: nothing any more."""

    asset_id: str
    current_ma: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PasswordTaken:
    """The station took a new password from its CSMS: from now on it shows this one."""

    password: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class DerSeen:
    """What a V2X EVSE offers of DER control and what its CPO has made of it: the whole picture."""

    asset_id: str
    der: Der
    urgent: bool = False


Effect = (
    DerSeen
    | PasswordTaken
    | Send
    | Close
    | Later
    | Sampled
    | Outcome
    | Excepted
    | Counted
    | Keep
    | WriteBooks
    | CpoLimit
)
