"""The EVSE facade as a Modbus register map: one header, then one block per EVSE. Map version 1, as data.

    address  0  HEADER        magic, version, number of EVSEs, where blocks begin, their size, heartbeat
           100  BLOCK n = 0   then every BLOCK_SIZE registers, in the order of site.yaml
                              offsets  0..33 read-only state, 34..36 the leased cap that a site EMS writes

Holding registers of unit 1 (the same as input registers), big-endian, high word first, SI milli-units. "Not known" is
all ones for unsigned and the most negative number for signed values, never 0. A cap counts only with its valid-for
seconds and ends in the EVSE's fallback. Absent: one unit id per EVSE, a site-wide cap, priorities.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum

from dgm.api.ems.v1.ems_pb2 import OutcomeState
from dgm.api.site.v1.site_pb2 import PlugState

MAP_VERSION = 1
MAGIC = 0x44474D4F  # "DGMO"
UNIT = 1
FIRST_BLOCK = 100
BLOCK_SIZE = 40
MAX_EVSES = (65_536 - FIRST_BLOCK) // BLOCK_SIZE
"""A Modbus address has 16 bits."""

MAX_VALID_S = 3600
"""Longest lease of a cap: a forgotten EMS must not rule for ever."""


class Width(Enum):
    """Registers and sign of a value."""

    U16 = (1, False)
    U32 = (2, False)
    I32 = (2, True)

    @property
    def registers(self) -> int:
        """How many 16-bit registers it takes."""
        return self.value[0]

    @property
    def unknown(self) -> int:
        """The sentinel for "not known"."""
        bits = 16 * self.registers
        return -(1 << (bits - 1)) if self.value[1] else (1 << bits) - 1

    @property
    def bounds(self) -> tuple[int, int]:
        """Least and greatest value that can be told; larger ones are clamped."""
        bits = 16 * self.registers
        return (self.unknown + 1, (1 << (bits - 1)) - 1) if self.value[1] else (0, (1 << bits) - 2)


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """One value of a block. offset: registers from the block's start; unit: for the documentation."""

    name: str
    offset: int
    width: Width
    unit: str
    meaning: str


def _field(name: str, offset: int, width: Width, unit: str, meaning: str) -> Field:
    return Field(name=name, offset=offset, width=width, unit=unit, meaning=meaning)


U16, U32, I32 = Width.U16, Width.U32, Width.I32

HEADER = (
    _field("magic", 0, U32, "", "0x44474D4F, DGMO"),
    _field("version", 2, U16, "", "of this map"),
    _field("evses", 3, U16, "", "number of blocks"),
    _field("first_block", 4, U16, "", "address of block 0"),
    _field("block_size", 5, U16, "", "registers per block"),
    _field("heartbeat", 6, U16, "", "grows with every update; it stands still when the gateway does"),
)
BLOCK = (
    _field("number", 0, U16, "", "1-based, order of site.yaml"),
    _field("plug_state", 1, U16, "", "OCPP 1.6 status 0 Available .. 8 Faulted; 9 station offline"),
    _field("links", 2, U16, "bits", "0 station connected, 1 CSMS connected, 2 floor proved"),
    _field("proved_by", 3, U16, "", "0 nothing, 1 accepted, 2 read back, 3 measured"),
    _field("current_l1_ma", 4, U32, "mA", "on the site's L1"),
    _field("current_l2_ma", 6, U32, "mA", "on the site's L2"),
    _field("current_l3_ma", 8, U32, "mA", "on the site's L3"),
    _field("voltage_l1_mv", 10, U32, "mV", "phase to neutral"),
    _field("voltage_l2_mv", 12, U32, "mV", "phase to neutral"),
    _field("voltage_l3_mv", 14, U32, "mV", "phase to neutral"),
    _field("power_w", 16, I32, "W", "positive: into the EVSE"),
    _field("energy_wh", 18, U32, "Wh", "import register of the EVSE"),
    _field("soc_permille", 20, U16, "1/1000", "state of charge, where the car tells it"),
    _field("limit_ma", 22, U32, "mA", "newest setpoint per phase"),
    _field("proved_ma", 24, U32, "mA", "limit proved in the station"),
    _field("fallback_ma", 26, U32, "mA", "what holds when nobody is alive"),
    _field("reading_age_ms", 28, U32, "ms", "of currents, voltages, power, energy"),
    _field("plug_age_ms", 30, U32, "ms", "of plug_state"),
    _field("cap_left_ms", 32, U32, "ms", "until the written cap ends; not known: no cap"),
)
CAP_MA = _field("cap_ma", 34, U32, "mA", "write: cap per phase, 0 or up to the EVSE's maximum")
CAP_VALID_S = _field("cap_valid_s", 36, U16, "s", "write: how long the cap holds, 1..3600; together with cap_ma")
READ_SIZE = 34
HEADER_SIZE = 7

_PLUG = {
    PlugState.PLUG_STATE_AVAILABLE: 0,
    PlugState.PLUG_STATE_PREPARING: 1,
    PlugState.PLUG_STATE_CHARGING: 2,
    PlugState.PLUG_STATE_SUSPENDED_EV: 3,
    PlugState.PLUG_STATE_SUSPENDED_EVSE: 4,
    PlugState.PLUG_STATE_FINISHING: 5,
    PlugState.PLUG_STATE_RESERVED: 6,
    PlugState.PLUG_STATE_UNAVAILABLE: 7,
    PlugState.PLUG_STATE_FAULTED: 8,
    PlugState.PLUG_STATE_OFFLINE: 9,
}
_PROVED_BY = {
    OutcomeState.OUTCOME_STATE_ACCEPTED: 1,
    OutcomeState.OUTCOME_STATE_CONFIRMED: 2,
    OutcomeState.OUTCOME_STATE_MEASURED: 3,
}


def plug_code(state: PlugState) -> int | None:
    """Register value of a plug state; None: not known."""
    return _PLUG.get(state)


def proved_code(state: OutcomeState) -> int:
    """Register value of how far a limit is proved."""
    return _PROVED_BY.get(state, 0)


def block_address(index: int) -> int:
    """Address of the block of the EVSE with this index."""
    return FIRST_BLOCK + index * BLOCK_SIZE


def locate(address: int) -> tuple[int, int]:
    """(EVSE index, offset in its block) of an address behind the header."""
    return divmod(address - FIRST_BLOCK, BLOCK_SIZE)


def encode(fields: tuple[Field, ...], values: Mapping[str, int | None], size: int) -> bytes:
    """Big-endian words of the first `size` registers; what is None or not given is "not known", gaps too."""
    words = bytearray(b"\xff" * (2 * size))
    for field in fields:
        value = values.get(field.name)
        low, high = field.width.bounds
        number = field.width.unknown if value is None else max(low, min(high, value))
        start, length = 2 * field.offset, 2 * field.width.registers
        words[start : start + length] = number.to_bytes(length, "big", signed=field.width.value[1])
    return bytes(words)


def decode(fields: tuple[Field, ...], words: bytes) -> dict[str, int | None]:
    """What a reader of the map sees: encode's inverse, up to clamping."""
    found: dict[str, int | None] = {}
    for field in fields:
        start, length = 2 * field.offset, 2 * field.width.registers
        number = int.from_bytes(words[start : start + length], "big", signed=field.width.value[1])
        found[field.name] = None if number == field.width.unknown else number
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Cap:
    """A cap to be put in force for the EVSE of block `index`."""

    index: int
    cap_ma: int
    ttl_ms: int


class CapBook:
    """Joins the two written values of each block: a cap counts only with its valid-for seconds."""

    def __init__(self, evses: int) -> None:
        self._values: list[dict[int, int]] = [{} for _ in range(evses)]

    def take(self, writes: Iterable[tuple[int, int, int, int]]) -> list[Cap]:
        """Caps to put in force after (unit, address, value, age_ms) writes; either value written renews the lease."""
        ages: dict[int, int] = {}
        for _, address, value, age_ms in writes:
            index, offset = locate(address)
            self._values[index][offset] = value
            ages[index] = age_ms
        caps = (self._cap(index, age_ms) for index, age_ms in ages.items())
        return [cap for cap in caps if cap is not None and cap.ttl_ms > 0]

    def _cap(self, index: int, age_ms: int) -> Cap | None:
        values = self._values[index]
        if CAP_MA.offset not in values or CAP_VALID_S.offset not in values:
            return None
        ttl_ms = values[CAP_VALID_S.offset] * 1000 - age_ms
        return Cap(index=index, cap_ma=values[CAP_MA.offset], ttl_ms=ttl_ms)
