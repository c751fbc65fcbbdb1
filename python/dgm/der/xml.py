"""Bounded reading and writing of XML trees, and the leaf types of IEEE 2030.5.

No document type declarations, no entities, no processing instructions that matter: what such a document could do to a
reader it cannot do here. Knows nothing of resources; `codec` does.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from xml.etree.ElementTree import Element, TreeBuilder, tostring
from xml.parsers import expat

from dgm.errors import PeerError

SEP_NS = "urn:ieee:std:2030.5:ns"
AUS_NS = "https://csipaus.org/ns"
AUS_NAMESPACES = frozenset(
    {
        AUS_NS,
        "http://csipaus.org/ns",
        "https://csipaus.org/ns/v1.3",
        "https://csipaus.org/ns/v1.3-beta/storage",
    }
)
"""Read as AUS_NS; AUS_NS is what is written."""

MAX_BODY_BYTES = 1_000_000
MAX_DEPTH = 24
MAX_MULTIPLIER = 9
INT16_MAX = 32_767
HEX_DIGITS = frozenset("0123456789abcdefABCDEF")


def parse(body: bytes) -> Element:
    """The root element with normalised namespaces. PeerError for anything but bounded, declaration-free XML."""
    if len(body) > MAX_BODY_BYTES:
        raise PeerError(f"document of {len(body)} bytes; expected at most {MAX_BODY_BYTES}")
    builder, depth = TreeBuilder(), 0

    def start(tag: str, attributes: dict[str, str]) -> None:
        nonlocal depth
        depth += 1
        if depth > MAX_DEPTH:
            raise PeerError(f"document nested deeper than {MAX_DEPTH} elements")
        builder.start(_clark(tag), {_clark(name): value for name, value in attributes.items()})

    def end(tag: str) -> None:
        nonlocal depth
        depth -= 1
        builder.end(_clark(tag))

    def refuse(*_: object) -> None:
        raise PeerError("document type declaration or entity; expected none")

    # UTF-8 whatever the document declares: the declaration could name any codec of this Python.
    parser = expat.ParserCreate(encoding="utf-8", namespace_separator=" ")
    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.CharacterDataHandler = builder.data
    parser.StartDoctypeDeclHandler = refuse
    parser.EntityDeclHandler = refuse
    try:
        parser.Parse(body, True)
        root: Element = builder.close()
    except (expat.ExpatError, ValueError, AssertionError) as error:
        raise PeerError(f"not well-formed XML: {error}") from error
    return root


def _clark(name: str) -> str:
    namespace, _, local = name.rpartition(" ")
    if namespace in AUS_NAMESPACES:
        namespace = AUS_NS
    return f"{{{namespace}}}{local}" if namespace else local


def serialise(root: Element) -> bytes:
    """UTF-8 bytes with an XML declaration and the two namespaces under their usual prefixes."""
    plain = _prefixed(root)
    plain.set("xmlns", SEP_NS)
    if any(element.tag.startswith("csipaus:") for element in plain.iter()):
        plain.set("xmlns:csipaus", AUS_NS)
    text: bytes = tostring(plain, encoding="utf-8")
    return b'<?xml version="1.0" encoding="UTF-8"?>\n' + text


def _prefixed(element: Element) -> Element:
    namespace, _, local = element.tag[1:].partition("}")
    copy = Element(f"csipaus:{local}" if namespace == AUS_NS else local, dict(element.attrib))
    copy.text = element.text
    copy.extend(_prefixed(child) for child in element)
    return copy


@dataclass(frozen=True, slots=True)
class Text:
    """How one simple type is read from and written to text."""

    read: Callable[[str], Any]
    write: Callable[[Any], str]


def integer(low: int, high: int) -> Text:
    """A decimal integer within an inclusive range."""

    def read(text: str) -> int:
        # int() would also take "1_000" and other alphabets' digits.
        stripped = text.strip()
        digits = stripped.removeprefix("-").removeprefix("+")
        if not (digits.isascii() and digits.isdigit()) or len(digits) > 20:
            raise PeerError(f"{stripped[:40]!r}; expected a decimal integer")
        value = int(stripped)
        if not low <= value <= high:
            raise PeerError(f"{value}; expected {low}..{high}")
        return value

    return Text(read, str)


def hex_bitmap(digits: int) -> Text:
    """A HexBinary bitmap of a fixed width; leading zeros are kept on output, shorter text is taken on input."""

    def read(text: str) -> int:
        stripped = text.strip()
        if not stripped or len(stripped) > digits or any(c not in HEX_DIGITS for c in stripped):
            raise PeerError(f"{stripped[:40]!r}; expected at most {digits} hex digits")
        return int(stripped, 16)

    return Text(read, lambda value: f"{value:0{digits}X}")


def hex_string(digits: int) -> Text:
    """An identifier in hex, upper case: servers differ in case, comparisons must not."""

    def read(text: str) -> str:
        stripped = text.strip()
        if not stripped or len(stripped) > digits or any(c not in HEX_DIGITS for c in stripped):
            raise PeerError(f"{stripped[:60]!r}; expected at most {digits} hex digits")
        return stripped.upper()

    return Text(read, str)


def string(length_max: int) -> Text:
    """Text for people, cut to the schema's length on output, bounded on input."""
    return Text(lambda text: text.strip()[:length_max], lambda value: str(value)[:length_max])


def _read_bool(text: str) -> bool:
    match text.strip():
        case "true" | "1":
            return True
        case "false" | "0":
            return False
        case other:
            raise PeerError(f"{other[:40]!r}; expected true or false")


BOOL = Text(_read_bool, lambda value: "true" if value else "false")
HREF = Text(lambda text: text.strip()[:1024], str)


def scaled_down(value: int, multiplier: int) -> int:
    """value x 10^multiplier as an integer, towards minus infinity: a limit is never rounded up."""
    scale: int = 10 ** abs(multiplier)
    return value * scale if multiplier >= 0 else value // scale


def to_int16(number: int) -> tuple[int, int]:
    """(multiplier, value) with the smallest multiplier that fits Int16; the value is cut towards zero."""
    multiplier, magnitude = 0, abs(number)
    while magnitude > INT16_MAX:
        multiplier, magnitude = multiplier + 1, magnitude // 10
    return multiplier, magnitude if number >= 0 else -magnitude
