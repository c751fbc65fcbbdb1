"""The Modbus facade of the DER gateway: what the utility asks, readable by a third-party EMS.

Holding registers (also input registers) of unit 1 from address 0, big-endian, 32-bit values high word first, read only:

    address  words  name                 unit   "not available"
    0        2      magic "DGMD"         -      -
    2        1      layout version       -      -                    2
    3        1      connection state     -      -                    0 connecting 1 registered 2 ready 3 lost
    4        2      heartbeat            -      -                    grows with every publication
    6        2      last success age     s      0xFFFFFFFF           of the utility server
    8        2      server clock         s      0xFFFFFFFF           UTC, of the utility server
    16 + 8n  8      block of mode n      n = 0 import, 1 export, 2 generation, 3 load, 4 MaxLimW, 5 MaxLimWInject,
                                         6 Connect, 7 Energize, 8 FixedW, 9 TargetW, 10 StorageTargetW
      +0     2      limit (n < 8)        W      0xFFFFFFFF           no limit is stated
             2      target (n > 7)       W      0x80000000           signed: charging positive, output negative
      +2     2      mRID, first 32 bits  -      0                    of the control that rules
      +4     2      remaining            s      0xFFFFFFFF           no end (default control), or no limit
      +6     1      origin               -      0                    0 nothing, 1 default control, 2 event
      +7     1      reserved             -      -                    0

MaxLimW bounds what PV and batteries put out together; Connect and Energize false are a limit of 0 W on what comes out
of PV, batteries and V2X. FixedW and TargetW are of PV and batteries together, StorageTargetW of batteries alone.

A reader that sees the heartbeat stand still for more than 10 s has to treat every limit as unknown and keep the
tightest one it saw. Pure: values in, words out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from dgm.der.discovery import Link
from dgm.der.effect import TARGET_MODES, Target
from dgm.der.envelope import QUANTITIES, UNBOUND_W, Bound

UNIT = 1
BASE = 0
HEADER_WORDS = 16
BLOCK_WORDS = 8
COUNT = HEADER_WORDS + BLOCK_WORDS * (len(QUANTITIES) + len(TARGET_MODES))
MAGIC = 0x44474D44
VERSION = 2
ABSENT, TARGET_ABSENT = 0xFFFFFFFF, 0x80000000
SIGNED_MAX = 0x7FFFFFFF
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
    targets: Mapping[str, Target]


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
    blocks = [word for mode in QUANTITIES for word in _limit(picture.bounds.get(mode), picture.at_ms)]
    blocks += [word for mode in TARGET_MODES for word in _target(picture.targets.get(mode), picture.at_ms)]
    return b"".join(word.to_bytes(2, "big") for word in [*header, *blocks])


def _limit(bound: Bound | None, at_ms: int) -> list[int]:
    if bound is None or bound.power_w == UNBOUND_W:
        return [*_two(ABSENT), *NOTHING]
    return [*_two(bound.power_w), *_source(bound.mrid, bound.event_end_ms, at_ms)]


def _target(target: Target | None, at_ms: int) -> list[int]:
    if target is None:
        return [*_two(TARGET_ABSENT), *NOTHING]
    bounded = min(max(target.power_w, -SIGNED_MAX), SIGNED_MAX)
    return [*_two(bounded & 0xFFFFFFFF), *_source(target.mrid, target.event_end_ms, at_ms)]


def _source(mrid: str, end_ms: int | None, at_ms: int) -> list[int]:
    """The control behind a value, what is left of it, and whether it is a default."""
    remaining_s = ABSENT if end_ms is None else -(-max(end_ms - at_ms, 0) // 1000)
    origin = ORIGIN_DEFAULT if end_ms is None else ORIGIN_EVENT
    return [*_two(_first_bits(mrid)), *_two(remaining_s), origin, 0]


def _first_bits(mrid: str) -> int:
    return int(mrid.rjust(32, "0")[:8], 16)


def _two(value: int) -> tuple[int, int]:
    """High and low word; what does not fit stays just below "not available"."""
    bounded = value if value == ABSENT else min(max(value, 0), ABSENT - 1)
    return bounded >> 16, bounded & 0xFFFF


NOTHING = [*_two(0), *_two(ABSENT), NO_ORIGIN, 0]
