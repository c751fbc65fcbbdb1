"""The Modbus facade of the DER gateway: the grid limits, readable by a third-party EMS.

Holding registers (also input registers) of unit 1 from address 0, big-endian, 32-bit values high word first, read only:

    address  words  name                 unit   "not available"
    0        2      magic "DGMD"         -      -
    2        1      layout version       -      -                    1
    3        1      connection state     -      -                    0 connecting 1 registered 2 ready 3 lost
    4        2      heartbeat            -      -                    grows with every publication
    6        2      last success age     s      0xFFFFFFFF           of the utility server
    8        2      server clock         s      0xFFFFFFFF           UTC, of the utility server
    16 + 8n  8      block of limit n     n = 0 import, 1 export, 2 generation, 3 load
      +0     2      limit                W      0xFFFFFFFF           no limit is stated
      +2     2      mRID, first 32 bits  -      0                    of the control that rules
      +4     2      remaining            s      0xFFFFFFFF           no end (default control), or no limit
      +6     1      origin               -      0                    0 nothing, 1 default control, 2 event
      +7     1      reserved             -      -                    0

A reader that sees the heartbeat stand still for more than 10 s has to treat every limit as unknown and keep the
tightest one it saw. Pure: values in, words out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from dgm.der.discovery import Link
from dgm.der.envelope import Bound
from dgm.der.resource import LIMIT_MODES

UNIT = 1
BASE = 0
HEADER_WORDS = 16
BLOCK_WORDS = 8
COUNT = HEADER_WORDS + BLOCK_WORDS * len(LIMIT_MODES)
MAGIC = 0x44474D44
VERSION = 1
ABSENT = 0xFFFFFFFF
NO_ORIGIN, ORIGIN_DEFAULT, ORIGIN_EVENT = 0, 1, 2
LINK_NUMBERS = {Link.CONNECTING: 0, Link.REGISTERED: 1, Link.READY: 2, Link.LOST: 3}


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """What the registers show. age_ms None: no success yet. at_ms: the server's clock."""

    link: Link
    heartbeat: int
    age_ms: int | None
    at_ms: int
    bounds: Mapping[str, Bound]


def words(picture: Picture) -> bytes:
    """The whole map, COUNT registers from BASE, as big-endian bytes."""
    age_s = ABSENT if picture.age_ms is None else picture.age_ms // 1000
    header = [
        *_two(MAGIC),
        VERSION,
        LINK_NUMBERS[picture.link],
        *_two(picture.heartbeat & 0xFFFFFFFF),
        *_two(age_s),
        *_two(picture.at_ms // 1000),
    ]
    header += [0] * (HEADER_WORDS - len(header))
    blocks = [word for mode in LIMIT_MODES for word in _block(picture.bounds.get(mode), picture.at_ms)]
    return b"".join(word.to_bytes(2, "big") for word in [*header, *blocks])


def _block(bound: Bound | None, at_ms: int) -> list[int]:
    if bound is None:
        return [*_two(ABSENT), *_two(0), *_two(ABSENT), NO_ORIGIN, 0]
    end_ms = bound.event_end_ms
    remaining_s = ABSENT if end_ms is None else -(-max(end_ms - at_ms, 0) // 1000)
    origin = ORIGIN_DEFAULT if end_ms is None else ORIGIN_EVENT
    return [*_two(bound.power_w), *_two(_first_bits(bound.mrid)), *_two(remaining_s), origin, 0]


def _first_bits(mrid: str) -> int:
    return int(mrid.rjust(32, "0")[:8], 16)


def _two(value: int) -> tuple[int, int]:
    """High and low word; what does not fit stays just below "not available"."""
    bounded = value if value == ABSENT else min(max(value, 0), ABSENT - 1)
    return bounded >> 16, bounded & 0xFFFF
