"""Did the OCPP gateway pass on every frame, byte for byte and in order? Judged on the hashes taken at both ends.

    north:  fleet tx  minus what the gateway kept   ==   csms rx   minus what the gateway sent itself
    south:  csms  tx  minus what the gateway kept   ==   fleet rx  minus what the gateway sent itself

What it kept or sent itself stands in its audit file, and only kinds of the closed list count. The audit is not believed
blindly: each entry must name a frame that a peer saw, and must follow from a CALL of the gateway's own where its kind
says so. CALLs and answers are two lanes: answers may overtake CALLs, order holds within each.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

from dgm.sim.records import ExceptionRow, FrameRow
from dgm.sim.verdict import Check

IN_FLIGHT_MS = 2000
"""Frames sent this shortly before the end may not have arrived."""

OWN_ACTIONS = frozenset(
    {
        "SetChargingProfile",
        "ClearChargingProfile",
        "GetCompositeSchedule",
        "TriggerMessage",
        "GetConfiguration",
        "ChangeConfiguration",
        "UpdateDynamicSchedule",
        "GetVariables",
        "SetVariables",
    }
)
"""What a gateway may ask of a station on its own."""

_CALL = 2
_FAULTS_SHOWN = 3


class Stream(Enum):
    """A peer's view of one direction."""

    FLEET_SENT = "fleet tx"
    CSMS_GOT = "csms rx"
    CSMS_SENT = "csms tx"
    FLEET_GOT = "fleet rx"


WHERE = {
    "own_call": (Stream.FLEET_GOT,),
    "own_answer": (Stream.FLEET_SENT, Stream.CSMS_SENT),
    "triggered_reading": (Stream.FLEET_SENT,),
    "local_answer": (Stream.FLEET_GOT,),
    "call_expired": (Stream.CSMS_SENT,),
    "lane_full": (Stream.CSMS_SENT,),
    "leg_lost": (Stream.CSMS_SENT,),
    "repointing": (Stream.CSMS_SENT,),
    "local_refusal": (Stream.CSMS_GOT,),
    "local_error": (Stream.CSMS_GOT,),
    "profile_call": (Stream.CSMS_SENT,),
    "profile_answer": (Stream.CSMS_GOT,),
    "profile_report": (Stream.CSMS_GOT,),
    "profile_pull": (Stream.CSMS_GOT,),
    "start_profile": (Stream.CSMS_SENT,),
    "start_rewritten": (Stream.FLEET_GOT,),
    "stood_in": (Stream.FLEET_SENT,),
    "stored": (Stream.FLEET_SENT,),
    "taken_over": (Stream.CSMS_GOT,),
    "stood_in_answer": (Stream.FLEET_GOT,),
    "replayed": (Stream.CSMS_GOT,),
    "replay_answer": (Stream.CSMS_SENT,),
    "csms_away": (Stream.FLEET_SENT,),
    "other_id": (Stream.FLEET_SENT, Stream.CSMS_SENT),
    "other_id_sent": (Stream.CSMS_GOT, Stream.FLEET_GOT),
    "own_result_error": (Stream.FLEET_SENT,),
    "unreadable": (Stream.FLEET_SENT, Stream.CSMS_SENT),
}
"""The closed list: which streams show a frame of each kind."""

_KEPT_CALLS = ("call_expired", "lane_full", "leg_lost", "start_profile")
_STOOD_IN = ("stood_in", "stored")
_MAY_BE_LOST = ("replayed", "taken_over")
"""Sent to a CSMS that went away: perhaps it never came there. What was replayed is sent again."""

GREETING_ACTIONS = ("BootNotification", "StatusNotification")
"""What is replayed in its newest form, under a new id, before what was stored."""

PROFILE_ACTIONS = frozenset(
    {
        "SetChargingProfile",
        "ClearChargingProfile",
        "GetCompositeSchedule",
        "GetChargingProfiles",
        "UpdateDynamicSchedule",
        "UsePriorityCharging",
        "RemoteStartTransaction",
        "RequestStartTransaction",
    }
)
"""What a gateway may answer for a station: charging profiles, and starts that carry one."""

Streams = dict[Stream, dict[str, list[FrameRow]]]
"""Frames by stream and station, in order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RelayRecord:
    """All that the judge of the relay needs. station_cpo: which CSMS each station belongs to.

    What arrived after end_utc_ms is not looked at: the peers may have gone on, and their logs end at different times.
    """

    fleet: Sequence[FrameRow]
    csms: Mapping[str, Sequence[FrameRow]]
    exceptions: Sequence[ExceptionRow]
    station_cpo: Mapping[str, str]
    end_utc_ms: int


def check_relay(record: RelayRecord) -> list[Check]:
    """The five judgements on the relay."""
    streams, strays = _streams(record)
    found, wrong = _take_out_exceptions(streams, record)
    faults = [*strays, *wrong]
    counts = _count_by_kind(record.exceptions)
    listed = ", ".join(f"{kind} {count}" for kind, count in sorted(counts.items()))
    return [
        _check_direction("relay north", streams, Stream.FLEET_SENT, Stream.CSMS_GOT, record.end_utc_ms),
        _check_direction("relay south", streams, Stream.CSMS_SENT, Stream.FLEET_GOT, record.end_utc_ms),
        Check(
            name="closed list",
            passed=not faults,
            measured=f"{len(faults)} faults in {len(record.exceptions)} entries",
            bound="0 faults",
            detail="; ".join(faults[:_FAULTS_SHOWN]) or listed,
        ),
        _check_own_ids(record),
        _check_replay(record, found),
    ]


def _count_by_kind(exceptions: Iterable[ExceptionRow]) -> dict[str, int]:
    counts: dict[str, int] = defaultdict(int)
    for entry in exceptions:
        counts[entry.kind] += 1
    return dict(counts)


def _streams(record: RelayRecord) -> tuple[Streams, list[str]]:
    streams: Streams = {stream: defaultdict(list) for stream in Stream}
    strays = []
    for frame in record.fleet:
        streams[Stream.FLEET_SENT if frame.direction == "tx" else Stream.FLEET_GOT][frame.station].append(frame)
    for cpo_id, frames in record.csms.items():
        for frame in frames:
            if record.station_cpo.get(frame.station) != cpo_id:
                strays.append(f"{frame.station} seen at {cpo_id}")
            streams[Stream.CSMS_SENT if frame.direction == "tx" else Stream.CSMS_GOT][frame.station].append(frame)
    return streams, strays


def _take_out_exceptions(streams: Streams, record: RelayRecord) -> tuple[list[ExceptionRow], list[str]]:
    """Remove from the streams what the audit names; returns the entries whose frame a peer has seen, and those that
    cannot be right."""
    ids = _ids_by_kind(record.exceptions)
    seen, faults = [], []
    # A CSMS that was lost may have got a frame that it gets again: what is certain is taken out first.
    for entry in sorted(record.exceptions, key=lambda entry: entry.kind == "taken_over"):
        found = _take_out(streams, entry)
        if found is not None:
            seen.append(entry)
        if entry.kind == "taken_over":
            _take_out_answer(streams, entry)
        fault = _fault_of(entry, found, ids)
        if fault is not None and not (found is None and entry.utc_ms >= record.end_utc_ms - IN_FLIGHT_MS):
            faults.append(f"{entry.station} {entry.kind} {entry.id}: {fault}")
    return seen, faults


def _take_out_answer(streams: Streams, entry: ExceptionRow) -> None:
    """The lost CSMS may have answered; the answer was lost with it."""
    frames = streams[Stream.CSMS_SENT][entry.station]
    for index, frame in enumerate(frames):
        if frame.message_type != _CALL and frame.id == entry.id:
            frames.pop(index)
            return


def _ids_by_kind(exceptions: Iterable[ExceptionRow]) -> dict[str, set[tuple[str, str]]]:
    ids: dict[str, set[tuple[str, str]]] = defaultdict(set)
    for entry in exceptions:
        ids[entry.kind].add((entry.station, entry.id))
    return ids


def _take_out(streams: Streams, entry: ExceptionRow) -> FrameRow | None:
    for stream in WHERE.get(entry.kind, ()):
        frames = streams[stream][entry.station]
        for index, frame in enumerate(frames):
            if frame.sha256 == entry.sha256:
                return frames.pop(index)
    return None


def _fault_of(entry: ExceptionRow, found: FrameRow | None, ids: Mapping[str, set[tuple[str, str]]]) -> str | None:
    """Why the entry cannot be right; None: it can."""
    key = (entry.station, entry.id)
    if entry.kind not in WHERE:
        return "not a kind of the closed list"
    if found is None:
        return None if entry.kind in _MAY_BE_LOST else "no peer has seen this frame"
    match entry.kind:
        case "own_call" if found.action not in OWN_ACTIONS:
            return f"the gateway has no business with {found.action}"
        case "own_answer" if not any(
            key in ids.get(kind, ()) for kind in ("own_call", "profile_report", "profile_pull")
        ):
            return "answers no CALL of the gateway"
        case "triggered_reading" if (entry.station, found.cause or "") not in ids.get("own_call", ()):
            return "no TriggerMessage of the gateway asked for it"
        case "local_answer" if key not in ids.get("triggered_reading", ()):
            return "answers no reading that the gateway kept"
        case "profile_call" | "start_profile" if found.action not in PROFILE_ACTIONS:
            return f"the gateway has no business with {found.action}"
        case "profile_answer" if key not in ids.get("profile_call", ()):
            return "answers no CALL about profiles that the gateway kept"
        case "start_rewritten" if key not in ids.get("start_profile", ()):
            return "rewrites no start that the gateway kept"
        case "stood_in_answer" if not any(key in ids.get(kind, ()) for kind in _STOOD_IN):
            return "answers no CALL that the gateway kept"
        case "replay_answer" if key not in ids.get("replayed", ()):
            return "answers nothing that the gateway replayed"
        case "other_id_sent" if key not in ids.get("other_id", ()):
            return "is no CALL whose transaction id had to be changed"
        case "local_refusal" if key not in ids.get("repointing", ()):
            return "answers no CALL that would have moved the station"
        case "local_error" if not any(key in ids.get(kind, ()) for kind in _KEPT_CALLS):
            return "answers no CALL that the gateway kept"
    return None


def _check_direction(name: str, streams: Streams, source: Stream, sink: Stream, end_utc_ms: int) -> Check:
    faults: list[str] = []
    equal = total = 0
    for station in sorted({*streams[source], *streams[sink]}):
        for is_call in (True, False):
            sent = [frame for frame in streams[source][station] if (frame.message_type == _CALL) == is_call]
            got = [frame for frame in streams[sink][station] if (frame.message_type == _CALL) == is_call]
            got = [frame for frame in got if frame.utc_ms <= end_utc_ms]
            total += len(sent)
            matched, fault = match_lane(sent, got, end_utc_ms=end_utc_ms)
            equal += matched
            if fault is not None:
                faults.append(f"{station} {'CALLs' if is_call else 'answers'}: {fault}")
    return Check(
        name=name,
        passed=not faults and equal > 0,
        measured=f"{equal} of {total} frames byte-equal and in order",
        bound="all, but those in flight at the end; at least one",
        detail="; ".join(faults[:_FAULTS_SHOWN]),
    )


def match_lane(sent: Sequence[FrameRow], got: Sequence[FrameRow], *, end_utc_ms: int) -> tuple[int, str | None]:
    """How many frames arrived equal and in order, and the first fault. Only a tail sent at the end may be missing."""
    for index, (one, other) in enumerate(zip(sent, got, strict=False)):
        if one.sha256 != other.sha256:
            return index, f"frame {index} differs: sent {one.action or 'answer'} {one.id}, arrived {other.id}"
    if len(got) > len(sent):
        return len(sent), f"{len(got) - len(sent)} frames arrived that nobody sent, first {got[len(sent)].id}"
    lost = [frame for frame in sent[len(got) :] if frame.utc_ms < end_utc_ms - IN_FLIGHT_MS]
    if lost:
        return len(got), f"{len(lost)} frames never arrived, first {lost[0].action or 'answer'} {lost[0].id}"
    return len(got), None


def _check_own_ids(record: RelayRecord) -> Check:
    own = {(entry.station, entry.id) for entry in record.exceptions if entry.kind == "own_call"}
    leaked = [frame for frames in record.csms.values() for frame in frames if (frame.station, frame.id) in own]
    return Check(
        name="own ids unseen",
        passed=not leaked,
        measured=f"{len(leaked)} of {len(own)} ids of the gateway seen by a CSMS",
        bound="0",
        detail=f"first: {leaked[0].station} {leaked[0].id}" if leaked else "",
    )


def _check_replay(record: RelayRecord, seen: Sequence[ExceptionRow]) -> Check:
    """What was stored for a CSMS came there in its order, each once; the newest may still wait."""
    stored, came = _in_order(record.exceptions, "stored"), _in_order(seen, "replayed")
    wrong = [station for station, actions in came.items() if actions != stored.get(station, [])[: len(actions)]]
    total, arrived = sum(map(len, stored.values())), sum(map(len, came.values()))
    return Check(
        name="outages",
        passed=not wrong,
        measured=f"{arrived} of {total} stored messages replayed",
        bound="each once and in order",
        detail=f"not so: {', '.join(wrong[:_FAULTS_SHOWN])}" if wrong else "",
    )


def _in_order(entries: Iterable[ExceptionRow], kind: str) -> dict[str, list[str]]:
    """Actions by station; of an id that comes again without another between (sent again) the first."""
    found: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for entry in entries:
        is_message = entry.kind == kind and entry.action not in GREETING_ACTIONS
        if is_message and found[entry.station][-1:] != [(entry.id, entry.action)]:
            found[entry.station].append((entry.id, entry.action))
    return {station: [action for _, action in listed] for station, listed in found.items()}
