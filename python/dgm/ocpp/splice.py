"""Replaces one value inside a frame and leaves every other byte as it was.

    raw, path ──> the value's place ──> raw with another value there

What is signed or formatted in a message (meter values, numbers with trailing zeros, the order of members) must come out
as it went in, so a message that needs another id is cut and joined, never decoded and written again. It reads JSON
that a frame scan has accepted; anything else gives None. Does not validate.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

from dgm.ocpp.frame import MAX_FRAME_BYTES

MAX_DEPTH = 64
"""Deeper nesting than any OCPP payload has; a bomb of brackets is refused, not followed."""

_SPACE = re.compile(rb"[ \t\r\n]*+")
_STRING = re.compile(rb'"[^"\\\x00-\x1f]*+(?:\\.[^"\\\x00-\x1f]*+)*+"')
_SCALAR = re.compile(rb"-?[0-9][0-9.eE+-]*|true|false|null")
_INTEGER = re.compile(rb"-?(?:0|[1-9][0-9]{0,18})")
_PLAIN = re.compile(rb'[^"\[\]{}]*+')


@dataclass(frozen=True, slots=True)
class Place:
    """Where a value stands: raw[start:end]."""

    start: int
    end: int


def with_id(raw: bytes, message_id: str) -> bytes | None:
    """The frame with another message id; None: it has none."""
    place = find(raw, (1,))
    if place is None or raw[place.start : place.start + 1] != b'"':
        return None
    return raw[: place.start] + json.dumps(message_id).encode() + raw[place.end :]


def with_integer(raw: bytes, path: tuple[int | str, ...], value: int) -> bytes | None:
    """The frame with another integer at `path`; None: there is no integer."""
    place = find(raw, path)
    if place is None or _INTEGER.fullmatch(raw, place.start, place.end) is None:
        return None
    return raw[: place.start] + str(value).encode() + raw[place.end :]


def integer_at(raw: bytes, path: tuple[int | str, ...]) -> int | None:
    """The integer at `path`; None: there is none (a number in quotes is none)."""
    place = find(raw, path)
    if place is None or _INTEGER.fullmatch(raw, place.start, place.end) is None:
        return None
    return int(raw[place.start : place.end])


def with_true(raw: bytes, path: tuple[int | str, ...], name: str) -> bytes | None:
    """The frame with the member `name` of the object at `path` set to true, or put in; None: no such object."""
    place = find(raw, (*path, name))
    if place is not None:
        return raw[: place.start] + b"true" + raw[place.end :]
    place = find(raw, path)
    if place is None or raw[place.start : place.start + 1] != b"{":
        return None
    at = place.start + 1
    comma = b"" if raw[_skip(raw, at) : _skip(raw, at) + 1] == b"}" else b","
    return raw[:at] + json.dumps(name).encode() + b":true" + comma + raw[at:]


def find(raw: bytes, path: tuple[int | str, ...]) -> Place | None:
    """Where the value at `path` stands: indices into arrays, names into objects. A name given twice: its last place,
    as every decoder reads it."""
    if len(raw) > MAX_FRAME_BYTES:
        return None
    place = _value(raw, 0)
    for step in path:
        if place is None:
            return None
        place = _item(raw, place, step) if isinstance(step, int) else _member(raw, place, step)
    return place


def _item(raw: bytes, place: Place, index: int) -> Place | None:
    if raw[place.start : place.start + 1] != b"[":
        return None
    at = place.start + 1
    for _ in range(index):
        skipped = _value(raw, at)
        comma = _skip(raw, skipped.end) if skipped else place.end
        if skipped is None or raw[comma : comma + 1] != b",":
            return None
        at = comma + 1
    return _value(raw, at)


def _member(raw: bytes, place: Place, name: str) -> Place | None:
    if raw[place.start : place.start + 1] != b"{":
        return None
    found, at = None, place.start + 1
    while True:
        key = _STRING.match(raw, _skip(raw, at))
        if key is None:
            return found
        colon = _skip(raw, key.end())
        value = _value(raw, colon + 1) if raw[colon : colon + 1] == b":" else None
        if value is None:
            return None
        if _text(key.group()) == name:
            found = value
        comma = _skip(raw, value.end)
        if raw[comma : comma + 1] != b",":
            return found
        at = comma + 1


def _value(raw: bytes, at: int) -> Place | None:
    start = _skip(raw, at)
    first = raw[start : start + 1]
    if first in (b"{", b"["):
        end = _container_end(raw, start)
        return None if end is None else Place(start, end)
    match = _STRING.match(raw, start) if first == b'"' else _SCALAR.match(raw, start)
    return None if match is None else Place(start, match.end())


def _container_end(raw: bytes, start: int) -> int | None:
    """Just after the bracket that closes the one at `start`; None: it never does, or too deep."""
    depth, at = 0, start
    while at < len(raw):
        at = _end_of(_PLAIN, raw, at)
        mark = raw[at : at + 1]
        if not mark:
            return None
        if mark == b'"':
            string = _STRING.match(raw, at)
            if string is None:
                return None
            at = string.end()
            continue
        depth += 1 if mark in (b"{", b"[") else -1
        at += 1
        if depth == 0:
            return at
        if depth > MAX_DEPTH:
            return None
    return None


def _skip(raw: bytes, at: int) -> int:
    return _end_of(_SPACE, raw, at)


def _end_of(pattern: re.Pattern[bytes], raw: bytes, at: int) -> int:
    match = pattern.match(raw, at)
    return match.end() if match else at


def _text(quoted: bytes) -> str:
    try:
        return str(json.loads(quoted))
    except ValueError:
        return ""
