"""DNS messages (RFC 1035, 2782), as far as DNS-SD needs them: one question out, PTR, SRV, TXT, A and AAAA back.

    question() ──bytes──> resolver or multicast group ──bytes──> records()

Small on purpose and hostile-proof: names cannot loop, nothing is read past the end, counts and sizes are bounded.
"""

from __future__ import annotations

import ipaddress
import struct

from dgm.der.offers import Record, Srv, Type, Value
from dgm.errors import PeerError

MESSAGE_BYTES_MAX = 9_000
RECORDS_MAX = 100
NAME_BYTES_MAX = 255
LABEL_BYTES_MAX = 63
CLASS_IN = 1
UNICAST_WANTED = 0x8000
"""Of a question: answer to us alone. Of an mDNS record the same bit means that older ones are void."""
IS_ANSWER, RECURSION_WANTED = 0x8000, 0x0100
POINTER = 0xC0
HEADER = struct.Struct(">6H")
RECORD = struct.Struct(">2HIH")


READ = frozenset(Type)


def question(name: str, kind: Type, number: int, *, wants_unicast: bool = False) -> bytes:
    """A message with one question. ValueError: a name that is none."""
    header = HEADER.pack(number, 0 if wants_unicast else RECURSION_WANTED, 1, 0, 0, 0)
    return header + _encoded(name) + struct.pack(">2H", kind, CLASS_IN | (UNICAST_WANTED if wants_unicast else 0))


def records(message: bytes, number: int) -> list[Record]:
    """Every record of an answer to our question of that number. PeerError: no such answer, or a damaged one."""
    if not HEADER.size <= len(message) <= MESSAGE_BYTES_MAX:
        raise PeerError(f"DNS message of {len(message)} bytes; expected {HEADER.size}..{MESSAGE_BYTES_MAX}")
    found_number, flags, questions, *counts = HEADER.unpack_from(message)
    if not flags & IS_ANSWER or found_number not in (number, 0):
        raise PeerError("a DNS message that is no answer to what was asked")
    if questions > 1 or sum(counts) > RECORDS_MAX:
        raise PeerError(f"DNS message of {sum(counts)} records; expected at most {RECORDS_MAX}")
    try:
        return _read(message, questions, sum(counts))
    except (struct.error, IndexError, UnicodeDecodeError, ValueError) as error:
        raise PeerError(f"damaged DNS message: {error}") from error


def _read(message: bytes, questions: int, count: int) -> list[Record]:
    at, found = HEADER.size, list[Record]()
    for _ in range(questions):
        _, at = _name(message, at)
        at += 4
    for _ in range(count):
        name, at = _name(message, at)
        kind, record_class, _, length = RECORD.unpack_from(message, at)
        at += RECORD.size
        if at + length > len(message):
            raise ValueError("a record that ends after the message")
        if record_class & ~UNICAST_WANTED == CLASS_IN and kind in READ:
            found.append(Record(name=name.lower(), type=Type(kind), value=_value(message, Type(kind), at, length)))
        at += length
    return found


def _value(message: bytes, kind: Type, at: int, length: int) -> Value:
    match kind:
        case Type.A | Type.AAAA:
            return str(ipaddress.ip_address(message[at : at + length]))
        case Type.PTR:
            return _name(message, at)[0].lower()
        case Type.SRV:
            priority, weight, port = struct.unpack_from(">3H", message, at)
            return Srv(priority=priority, weight=weight, port=port, target=_name(message, at + 6)[0].lower())
        case Type.TXT:
            return tuple(_strings(message[at : at + length]))


def _strings(content: bytes) -> list[bytes]:
    found, at = [], 0
    while at < len(content):
        length = content[at]
        if at + 1 + length > len(content):
            raise ValueError("a string that ends after its record")
        found.append(content[at + 1 : at + 1 + length])
        at += 1 + length
    return found


def _name(message: bytes, at: int) -> tuple[str, int]:
    """A name and where it ends. A pointer may only lead back, so names end."""
    labels, size, end, lowest = list[str](), 0, None, at
    while length := message[at]:
        if length & POINTER == POINTER:
            target = struct.unpack_from(">H", message, at)[0] & 0x3FFF
            end = at + 2 if end is None else end
            if target >= lowest:
                raise ValueError("a name that points ahead")
            at = lowest = target
            continue
        size += length + 1
        if length > LABEL_BYTES_MAX or size > NAME_BYTES_MAX or at + 1 + length > len(message):
            raise ValueError("a name that is too long")
        labels.append(message[at + 1 : at + 1 + length].decode().replace(".", "\\."))
        at += 1 + length
    return ".".join(labels), at + 1 if end is None else end


def _encoded(name: str) -> bytes:
    parts = [part.replace("\\.", ".").encode() for part in _labels(name)]
    if not parts or not all(0 < len(part) <= LABEL_BYTES_MAX for part in parts):
        raise ValueError(f"name {name!r}; expected labels of 1..{LABEL_BYTES_MAX} bytes")
    return b"".join(bytes([len(part)]) + part for part in parts) + b"\0"


def _labels(name: str) -> list[str]:
    return [part.replace("\0", "\\.") for part in name.replace("\\.", "\0").split(".")]
