"""A facade's map as a declarative table: SunSpec-style models, groups that are written whole, and their words.

    Model, Group, Point ──> declaration() for the Modbus server · encode() · decode()          documents.py: for people

Holding registers from 40000 on, big-endian, high word first. "Not known" is SunSpec's own sentinel, never 0. Values are
whole numbers: sf is the fixed power of ten that turns one into its unit (15500 with sf -3 is 15.5 A). A group is
written whole, by one request (function 16), or refused. What stands where is for each facade to say.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import Enum
from functools import cached_property
from itertools import takewhile

from dgm.api.core.v1 import registers_pb2
from dgm.api.core.v1.registers_pb2 import HOLDING, RegisterMap

BASE = 40_000
MARKER = b"SunS"
VALID_S_MAX = 3600
"""Longest lease that may be asked for: a forgotten EMS must not rule for ever."""

WRITE_INTERVAL_MS, WRITE_BURST = 500, 10
"""Of one client and one group: writes in the long run, and at once."""

Value = int | str | None


class Kind(Enum):
    """SunSpec type, 16-bit registers (0: as many as the point says), whether it is signed, type for the server."""

    U16 = ("uint16", 1, False, registers_pb2.U16)
    U32 = ("uint32", 2, False, registers_pb2.U32)
    U64 = ("uint64", 4, False, registers_pb2.U64)
    I16 = ("int16", 1, True, registers_pb2.I16)
    I32 = ("int32", 2, True, registers_pb2.I32)
    SCALE = ("sunssf", 1, True, registers_pb2.I16)
    ENUM = ("enum16", 1, False, registers_pb2.U16)
    BITS = ("bitfield16", 1, False, registers_pb2.U16)
    BITS32 = ("bitfield32", 2, False, registers_pb2.U32)
    TEXT = ("string", 0, False, registers_pb2.STRING)

    @property
    def sunspec(self) -> str:
        """Its name there."""
        return self.value[0]

    @property
    def absent(self) -> int:
        """The sentinel of a number: all ones, or the most negative one."""
        bits = 16 * self.value[1]
        return -(1 << (bits - 1)) if self.value[2] else (1 << bits) - 1

    @property
    def bounds(self) -> tuple[int, int]:
        """Least and greatest value that can be told; what lies beyond is clamped."""
        bits = 16 * self.value[1]
        return (self.absent + 1, (1 << (bits - 1)) - 1) if self.value[2] else (0, (1 << bits) - 2)


@dataclass(frozen=True, slots=True, kw_only=True)
class Range:
    """What a client may write. high None: as each EVSE or site has it (`Ratings`). absent: "nothing is asked" too.

    expired: what the register shows once the lease has ended, put there by the server itself; None: "not known".
    lease_s: of a value that stands alone and ends unless it is written again; 0: it has none, or its group has.
    """

    low: int
    high: int | None
    absent: bool = False
    expired: int | None = None
    lease_s: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One value. name: with its unit, as in Python. label: in the SunSpec JSON. fixed: value that never changes."""

    name: str
    label: str
    kind: Kind
    text: str
    units: str = ""
    sf: int | None = None
    length: int = 0
    symbols: tuple[tuple[int, str], ...] = ()
    fixed: int | None = None
    write: Range | None = None

    @property
    def size(self) -> int:
        """Registers."""
        return self.length or self.kind.value[1]


_CODES = {kind: {1: "H", 2: "I", 4: "Q", 0: "s"}[kind.value[1]] for kind in Kind}
_CODES |= {Kind.I16: "h", Kind.SCALE: "h", Kind.I32: "i"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Points that are written together. lease: the one that says how long they hold, s; "": they hold until they are
    written again. sequence: must grow."""

    name: str
    points: tuple[str, ...]
    lease: str = ""
    sequence: str = ""


@dataclass(frozen=True)
class Model:
    """One SunSpec-style model: its points in order, what clients write behind what they read."""

    id: int
    name: str
    label: str
    text: str
    points: tuple[Point, ...]
    groups: tuple[Group, ...]

    @cached_property
    def offsets(self) -> dict[str, int]:
        """Registers from the model's start (its ID) to each point."""
        found, at = {}, 0
        for point in self.points:
            found[point.name], at = at, at + point.size
        return found

    @cached_property
    def size(self) -> int:
        """Registers of the whole model, its ID and L included."""
        return sum(point.size for point in self.points)

    @cached_property
    def read(self) -> tuple[Point, ...]:
        """The points that DGM publishes: all before the first that clients write."""
        return tuple(takewhile(lambda point: point.write is None, self.points))

    @cached_property
    def form(self) -> struct.Struct:
        """The words of `read`."""
        return struct.Struct(
            ">" + "".join(f"{2 * p.size}s" if p.kind is Kind.TEXT else _CODES[p.kind] for p in self.read)
        )

    @cached_property
    def forms(self) -> tuple[tuple[str, int | None, tuple[int, int, int]], ...]:
        """Name, fixed value and bounds of each of `read`: reckoned once, for they are asked at every publication."""
        return tuple((point.name, point.fixed, _form(point)) for point in self.read)

    def point(self, name: str) -> Point:
        """The point of that name."""
        return next(point for point in self.points if point.name == name)


def head(model_id: int) -> tuple[Point, ...]:
    """ID and L, with which every model begins; `with_length` fills in L."""
    return (
        Point(name="ID", label="ID", kind=Kind.U16, text="model id", fixed=model_id),
        Point(name="L", label="L", kind=Kind.U16, text="registers behind this one"),
    )


def with_length(model: Model) -> Model:
    """The same with the length in L."""
    points = tuple(replace(point, fixed=model.size - 2) if point.name == "L" else point for point in model.points)
    return replace(model, points=points)


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a model stands: unit id, and the address of its ID register."""

    unit: int
    address: int


COMMON_SIZE = 68
MODEL_AT = BASE + 2 + COMMON_SIZE
"""Where the first model behind the common one stands."""


def encode(model: Model, values: Mapping[str, Value]) -> bytes:
    """Words of everything that DGM publishes of a model; what is None or not given is "not known"."""
    get = values.get
    return model.form.pack(*[_raw(get(name, fixed), form) for name, fixed, form in model.forms])


_Form = tuple[int, int, int]
"""Least and greatest value of a point, and its sentinel; of a text 0, 0 and its bytes."""


def _form(point: Point) -> _Form:
    return (0, 0, 2 * point.size) if point.kind is Kind.TEXT else (*point.kind.bounds, point.kind.absent)


def _raw(value: Value, form: _Form) -> int | bytes:
    low, high, absent = form
    if isinstance(value, str) or high == 0:
        return str(value or "").encode()[:absent]  # the struct pads with zeros
    if value is None:
        return absent
    return low if value < low else high if value > high else value


def decode(model: Model, words: bytes) -> dict[str, Value]:
    """What a reader of the map sees in the first words of a model: encode's inverse, up to clamping."""
    found: dict[str, Value] = {}
    for point in model.points:
        at = 2 * model.offsets[point.name]
        own = words[at : at + 2 * point.size]
        if len(own) < 2 * point.size:
            break
        if point.kind is Kind.TEXT:
            found[point.name] = own.rstrip(b"\0").decode(errors="replace") or None
            continue
        number = int.from_bytes(own, "big", signed=point.kind.value[2])
        found[point.name] = None if number == point.kind.absent else number
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Common:
    """What SunSpec model 1 says of a unit."""

    model: str
    options: str
    version: str
    serial: str

    def words(self, unit: int) -> bytes:
        """The marker and the model."""
        texts = ((b"DGM", 32), (self.model.encode(), 32), (self.options.encode(), 16), (self.version.encode(), 16))
        head = MARKER + struct.pack(">HH", 1, COMMON_SIZE - 2)
        body = b"".join(text[:size].ljust(size, b"\0") for text, size in (*texts, (self.serial.encode(), 32)))
        return head + body + struct.pack(">HH", unit, 0x8000)


END = struct.pack(">HH", 0xFFFF, 0)
"""SunSpec's end marker, behind the last model of a unit."""


def declaration(model: Model, place: Place, highs: Mapping[str, int], expired: Mapping[str, int]) -> RegisterMap:
    """A model for `_core.Facade.declare`. highs: greatest value of the points whose range says None; expired: what they
    show after their lease, where that differs from the table."""
    found = RegisterMap(name=f"{model.name}@{place.unit}/{place.address}")
    for point in model.points:
        wire = found.points.add(
            name=point.name,
            table=HOLDING,
            address=place.address + model.offsets[point.name],
            type=point.kind.value[3],
            length=point.length,
            # The server takes none of 64 bits: what has so many is published before it answers.
            absent=[] if point.kind in (Kind.TEXT, Kind.U64) else [point.kind.absent],
        )
        if point.write is not None:
            fallback = expired.get(point.name, point.write.expired)
            wire.write.CopyFrom(
                registers_pb2.WriteRule(
                    low=point.write.low,
                    high=highs[point.name] if point.write.high is None else point.write.high,
                    lease_ms=point.write.lease_s * 1000,
                    fallback=fallback,
                    allow_absent=point.write.absent,
                    min_interval_ms=WRITE_INTERVAL_MS,
                    burst=WRITE_BURST,
                )
            )
    for group in model.groups:
        found.groups.add(
            name=group.name,
            points=group.points,
            lease_ms=VALID_S_MAX * 1000 if group.lease else 0,
            lease_point=group.lease,
            sequence_point=group.sequence,
        )
    return found
