"""The simple types of IEEE 2030.5: how one value is read from and written to text, within its bounds.

    u8 i16 -9..9   int         hex2 hex4 hex8    int (bitmap, all digits written)
    bool           bool        hex32 hex40       str (identifier, upper case: servers differ, comparisons must not)
    strN uri       str         i64               int (a time)

Reading raises Fault for what a type cannot hold; writing raises it for what DGM should never have put there, except
that text for people is cut.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from dgm.der.xml import escaped

TIME_BOUND = 2**40
"""A time far outside this century could only overflow what is computed from it."""
URI_CHARS_MAX = 2048
IDENTIFIER_DIGITS_MIN = 32
HEX = re.compile(r"[0-9A-Fa-f]+")
INTEGER = re.compile(r"[+-]?[0-9]{1,20}")
RANGES = {f"{sign}{bits}": (bits, sign) for sign in "ui" for bits in (8, 16, 32, 64)}


class Fault(Exception):
    """What is wrong with a value, and where: names from the inside out."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
        self.path: list[str] = []

    def within(self, step: str) -> Fault:
        """The same fault, seen from one level further out."""
        self.path.append(step)
        return self

    def __str__(self) -> str:
        return f"{'/'.join(reversed(self.path))}: {self.reason}" if self.path else self.reason


@dataclass(frozen=True, slots=True)
class Leaf:
    """How one simple type is read from and written to text (escaped)."""

    read: Callable[[str], Any]
    write: Callable[[Any], str]


def leaf(kind: str) -> Leaf:
    """The codec of a simple kind of the schema table."""
    if kind == "bool":
        return Leaf(_read_bool, lambda value: "true" if value else "false")
    if kind == "uri":
        return Leaf(_read_uri, escaped)
    if kind.startswith("str"):
        return text(int(kind[3:] or 0))
    if kind.startswith("hex"):
        digits = int(kind[3:])
        return identifier(digits) if digits >= IDENTIFIER_DIGITS_MIN else bitmap(digits)
    if kind == "i64":
        return integer(-TIME_BOUND, TIME_BOUND)
    return integer(*bounds(kind))


def is_simple(kind: str) -> bool:
    """Whether a kind of the schema table holds text; the names of types begin with a capital."""
    return not kind[0].isupper()


def bounds(kind: str) -> tuple[int, int]:
    """Lowest and highest number of an integer kind."""
    if kind in RANGES:
        bits, sign = RANGES[kind]
        return (0, 2**bits - 1) if sign == "u" else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
    low, _, high = kind.partition("..")
    return int(low), int(high)


def integer(low: int, high: int) -> Leaf:
    """A decimal integer within an inclusive range."""

    def read(text: str) -> int:
        if INTEGER.fullmatch(text) is None:
            # int() would also take "1_000" and other alphabets' digits.
            text = text.strip()
            if INTEGER.fullmatch(text) is None:
                raise Fault(f"{text[:40]!r}; expected a decimal integer")
        value = int(text)
        if not low <= value <= high:
            raise Fault(f"{value}; expected {low}..{high}")
        return value

    def write(value: int) -> str:
        if not low <= value <= high:
            raise Fault(f"{value}; the schema allows {low}..{high}")
        return str(value)

    return Leaf(read, write)


def bitmap(digits: int) -> Leaf:
    """A HexBinary bitmap; leading zeros are kept on output, shorter text is taken on input."""

    def write(value: int) -> str:
        if not 0 <= value < 16**digits:
            raise Fault(f"{value:#x}; the schema allows {digits} hex digits")
        return f"{value:0{digits}X}"

    return Leaf(lambda text: int(_hex(text, digits), 16), write)


def identifier(digits: int) -> Leaf:
    """An mRID or LFDI: upper-case hex of even length."""

    def write(value: str) -> str:
        return _hex(value if len(value) % 2 == 0 else f"0{value}", digits)

    return Leaf(lambda text: _hex(text, digits), write)


def _hex(text: str, digits: int) -> str:
    stripped = text.strip()
    if len(stripped) > digits or HEX.fullmatch(stripped) is None:
        raise Fault(f"{stripped[:60]!r}; expected at most {digits} hex digits")
    return stripped.upper()


def text(octets_max: int) -> Leaf:
    """Text for people, cut to whole characters within the type's octets of UTF-8 (S18); 0: unbounded by the schema."""

    def cut(value: str) -> str:
        stripped = value.strip()
        if not octets_max or len(stripped) * 4 <= octets_max:
            return stripped
        return stripped.encode("utf-8", "replace")[:octets_max].decode("utf-8", "ignore").strip()

    def write(value: str) -> str:
        clean = escaped(value)
        return clean if clean == value and value.isascii() and len(value) <= octets_max else escaped(cut(value))

    return Leaf(cut, write)


def _read_bool(text: str) -> bool:
    match text.strip():
        case "true" | "1":
            return True
        case "false" | "0":
            return False
        case other:
            raise Fault(f"{other[:40]!r}; expected true or false")


def _read_uri(text: str) -> str:
    stripped = text.strip()
    if len(stripped) > URI_CHARS_MAX:
        raise Fault(f"address of {len(stripped)} characters; expected at most {URI_CHARS_MAX}")
    return stripped


def scaled_down(value: int, power_of_ten: int) -> int:
    """value x 10^power_of_ten as an integer, towards minus infinity: a limit is never rounded up."""
    scale: int = 10 ** abs(power_of_ten)
    return value * scale if power_of_ten >= 0 else value // scale


def scaled(number: int, *, power_of_ten: int, low: int, high: int) -> tuple[int, int]:
    """(power of ten, value) of number x 10^power_of_ten with low <= value <= high, cut towards zero if it must be.

    Powers below zero are raised while nothing is lost, so that whole units are written as such.
    """
    if number < 0 <= low:
        raise Fault(f"{number}; the schema allows nothing below 0")
    magnitude, most = abs(number), high if number >= 0 else -low
    while magnitude > most or (power_of_ten < 0 and magnitude % 10 == 0):
        power_of_ten, magnitude = power_of_ten + 1, magnitude // 10
    return power_of_ten, magnitude if number >= 0 else -magnitude
