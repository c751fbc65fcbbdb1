"""OCPP-J frames: a scan of the head without touching the payload, and the few frames that we write ourselves.

The scan decides a frame's lane in about a microsecond; the payload is decoded (by `payload_of`) only after the frame
has been passed on. Nothing here validates a payload against a schema.

    bytes ──> plain_call, plain_answer ──> the common spelling, recognised at a glance (about half a microsecond)
    bytes ──> scan ──> Head(kind, id, action) | Unreadable(reason)
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import orjson

MAX_FRAME_BYTES = 262_144
"""A GetConfiguration answer of a talkative station is about 60 kB; a larger frame than this ends its connection."""

MAX_ID_BYTES = 512
"""On the wire, where a character takes up to 12 bytes as an escape. The standard says 36 characters; longer ids are
relayed too, but tables stay bounded."""

MAX_ACTION_BYTES = 512

Payload = dict[str, Any]


class Kind(IntEnum):
    """Message type number (OCPP-J 1.6 4.1.3; 2.1 part 4, 4.2 adds the last two)."""

    CALL = 2
    RESULT = 3
    ERROR = 4
    RESULT_ERROR = 5
    """The receiver of a CALLRESULT cannot use it; it goes back to the answer's sender and is never answered."""
    SEND = 6
    """Like a CALL, but never answered and outside the one-open-CALL rule."""


HAS_ACTION = (Kind.CALL, Kind.SEND)


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """What routes a frame. action is empty in answers."""

    kind: Kind
    id: str
    action: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unreadable:
    """Not an OCPP-J frame. reason: one of "oversize", "encoding", "head", "tail"."""

    reason: str


_WS = rb"[ \t\r\n]*+"
_STRING = rb'"[^"\\\x00-\x1f]*+(?:\\.[^"\\\x00-\x1f]*+)*+"'
_HEAD = re.compile(
    rb"%(ws)b\[%(ws)b([2-6])%(ws)b,%(ws)b(%(string)b)%(ws)b,(?:%(ws)b(%(string)b)%(ws)b,)?"
    % {b"ws": _WS, b"string": _STRING}
)
_KINDS = {str(kind.value).encode(): kind for kind in Kind}
_PLAIN_CALL = re.compile(rb'\[2, ?"([ !#-\[\]-~]{1,48})", ?"([A-Za-z]{1,50})", ?\{')
_PLAIN_ANSWER = re.compile(rb'\[3, ?"([ !#-\[\]-~]{1,48})", ?\{')


def plain_call(raw: bytes) -> tuple[bytes, bytes] | None:
    """Id and action of a CALL in the spelling that most peers use; None: `scan` must say what this is."""
    match = _PLAIN_CALL.match(raw)
    return (match[1], match[2]) if match is not None and raw.endswith(b"}]") and raw.isascii() else None


def plain_answer(raw: bytes) -> bytes | None:
    """Id of a CALLRESULT in the spelling that most peers use; None: `scan` must say what this is."""
    match = _PLAIN_ANSWER.match(raw)
    return match[1] if match is not None and raw.endswith(b"}]") and raw.isascii() else None


def scan(raw: bytes) -> Head | Unreadable:
    """Read (type, id, action) from the front of a frame and check that it ends as an array."""
    if len(raw) > MAX_FRAME_BYTES:
        return Unreadable(reason="oversize")
    if not raw.isascii() and not _is_utf8(raw):
        return Unreadable(reason="encoding")
    match = _HEAD.match(raw)
    if match is None:
        return Unreadable(reason="head")
    if raw[-1:] != b"]" and not raw.rstrip(b" \t\r\n").endswith(b"]"):
        return Unreadable(reason="tail")
    number, id_text, action_text = match.groups()
    kind = _KINDS[number]
    message_id = _string(id_text, MAX_ID_BYTES)
    if message_id is None:
        return Unreadable(reason="head")
    if kind not in HAS_ACTION:
        return Head(kind=kind, id=message_id)
    action = None if action_text is None else _string(action_text, MAX_ACTION_BYTES)
    if action is None:
        return Unreadable(reason="head")
    return Head(kind=kind, id=message_id, action=action)


def payload_of(raw: bytes) -> Payload | None:
    """The payload object of a CALL or CALLRESULT; None: not JSON, not an object, or hostile."""
    try:
        frame = orjson.loads(raw)
    except ValueError:
        return None
    index = 3 if isinstance(frame, list) and frame[:1] in ([2], [6]) else 2
    payload = frame[index] if isinstance(frame, list) and len(frame) > index else None
    return payload if isinstance(payload, dict) else None


def error_text(raw: bytes) -> str:
    """Code and description of a CALLERROR for evidence, cut to 80 characters."""
    try:
        frame = json.loads(raw)
    except (ValueError, RecursionError):
        return "CALLERROR"
    parts = [part for part in frame[2:4] if isinstance(part, str) and part] if isinstance(frame, list) else []
    return ": ".join(parts)[:80] or "CALLERROR"


def call(message_id: str, action: str, payload: Payload) -> bytes:
    """A CALL of ours."""
    return _dump([Kind.CALL.value, message_id, action, payload])


def result(message_id: str, payload: Payload) -> bytes:
    """A CALLRESULT of ours."""
    return _dump([Kind.RESULT.value, message_id, payload])


def error(message_id: str, *, code: str, description: str) -> bytes:
    """A CALLERROR of ours."""
    return _dump([Kind.ERROR.value, message_id, code, description, {}])


def _dump(frame: list[Any]) -> bytes:
    return json.dumps(frame, separators=(",", ":")).encode()


def _string(quoted: bytes, limit: int) -> str | None:
    if len(quoted) > limit + 2:
        return None
    if b"\\" not in quoted:
        return quoted[1:-1].decode()
    try:
        return str(json.loads(quoted.decode()))
    except ValueError:
        return None


def _is_utf8(raw: bytes) -> bool:
    try:
        raw.decode()
    except UnicodeDecodeError:
        return False
    return True
