"""How the elements of the schema hold values: text, links, scaled quantities, other types; and what DGM makes of them.

    <setMaxW><multiplier>3</multiplier><value>100</value></setMaxW>  <──>  100000

Meanings sit on top: a hundredth of a second becomes ms, a number an enum. Scaling is in integers; where a quantity does
not fit, it is cut towards zero on output and towards minus infinity on input.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from xml.etree.ElementTree import Element

from dgm.der.codec.leaf import Fault, bounds, is_simple, leaf, scaled, scaled_down
from dgm.der.codec.schema import TYPES, Row
from dgm.der.codec.shape import Content, Output, Shape
from dgm.der.xml import AUS_NAMESPACES, SEP_NS

LINKS = frozenset({"Link", "ListLink"})
MILLI, MICRO = -3, -6
UNIT_POWERS = {"VoltageRMS": MILLI, "CurrentRMS": MILLI, "AmpereHour": MILLI, "PowerFactor": MICRO}
"""Types that DGM counts in mV, mA, mAh and ppm; all others in their own unit."""
ANY_POWER, POWER_MAX = leaf("i8"), 9
QUANTITY = (["multiplier", "value"], ["displacement", "multiplier"])
WRAPPED = {"DutyCycle": "normalValue", "ApplianceLoadReduction": "type"}
"""Types that hold a single number."""

EITHER = frozenset({"RateComponentLink"})
"""CSIP-AUS v1.3 adds it; in which namespace, its servers do not agree."""

TAGS: dict[str, str] = {}
"""Names of the base namespace in Clark notation, made once."""

SHAPES: dict[str, Shape] = {}
"""By type of the schema; filled by `bindings`."""


@dataclass(frozen=True, slots=True)
class Meaning:
    """What the value of an element means to DGM, and back."""

    read: Callable[[Any], Any]
    write: Callable[[Any], Any]


TENTHS = Meaning(lambda value: value * 10, lambda value: value // 10)
"""Hundredths of a second or of a hertz <-> ms or mHz."""
ABSORBED = Meaning(abs, lambda value: -value)
"""A magnitude that the schema wants negative."""
DELIVERED = Meaning(lambda value: -value, lambda value: -value)
"""Positive when the DER delivers it <-> positive into the DER."""


def enumerated(cls: Callable[[int], Any]) -> Meaning:
    """A number of a closed list."""

    def read(value: int) -> Any:
        try:
            return cls(value)
        except ValueError:
            raise Fault(f"{value}; expected a {getattr(cls, '__name__', '')} of the standard") from None

    return Meaning(read, int)


def content_of(row: Row, meaning: Meaning | None = None) -> Content:
    """How the element of a row is read and written."""
    plain = _plain(row.kind)
    return plain if meaning is None else meant(plain, meaning)


def meant(plain: Content, meaning: Meaning) -> Content:
    """The same content with a meaning on top."""

    def write(output: Output, name: str, value: Any) -> None:
        plain.write(output, name, meaning.write(value))

    return Content(lambda element: meaning.read(plain.read(element)), write)


def _plain(kind: str) -> Content:
    if is_simple(kind):
        return text_content(kind)
    if kind in LINKS:
        return LINK
    if kind in WRAPPED:
        return _wrapped(kind)
    if is_quantity(kind):
        return quantity(kind)
    return _nested(kind)


def text_content(kind: str) -> Content:
    """A simple type as an element."""
    simple = leaf(kind)
    return Content(
        lambda element: simple.read(element.text or ""),
        lambda output, name, value: output.text(name, simple.write(value)),
    )


def _read_href(element: Element) -> str:
    href = element.get("href")
    if not href:
        raise Fault("no href; a link needs one")
    return str(HREF.read(href))


HREF = leaf("uri")
LINK = Content(_read_href, lambda output, name, value: output.empty(name, f' href="{HREF.write(value)}"'))


def tags_of(row: Row) -> tuple[str, ...]:
    """The element names, with namespace, that a row is recognised by."""
    namespaces = [*(AUS_NAMESPACES if row.is_aus else ()), *((SEP_NS,) if not row.is_aus or row.name in EITHER else ())]
    return tuple(f"{{{namespace}}}{row.name}" for namespace in namespaces)


def child(element: Element, name: str) -> str:
    """Text of a mandatory child of the base namespace, once."""
    tag = TAGS.get(name) or TAGS.setdefault(name, f"{{{SEP_NS}}}{name}")
    found = [item for item in element if item.tag == tag]
    if len(found) != 1:
        raise Fault("missing" if not found else "given twice; expected once").within(name)
    return found[0].text or ""


def _wrapped(kind: str) -> Content:
    inner = WRAPPED[kind]
    simple = leaf(next(row.kind for row in TYPES[kind] if row.name == inner))

    def write(output: Output, name: str, value: Any) -> None:
        output.open(name)
        output.text(inner, simple.write(value))
        output.close(name)

    return Content(lambda element: simple.read(child(element, inner)), write)


def is_quantity(kind: str) -> bool:
    """Whether a type is a number with a power of ten and nothing else."""
    return [row.name for row in TYPES[kind] if not row.is_attribute] in QUANTITY


def quantity(kind: str) -> Content:
    """A scaled number <-> an integer in the unit of UNIT_POWERS."""
    rows = {row.name: row for row in TYPES[kind] if not row.is_attribute}
    number = "displacement" if "displacement" in rows else "value"
    low, high = bounds(rows[number].kind)
    value_leaf, power_leaf = leaf(rows[number].kind), leaf(rows["multiplier"].kind)
    unit_power = UNIT_POWERS.get(kind.removesuffix("ControlType"), 0)

    def read(element: Element) -> int:
        value, power = value_leaf.read(child(element, number)), ANY_POWER.read(child(element, "multiplier"))
        # PowerOfTenMultiplierType is an Int8 of which -9..9 have to be understood (S18): others are, where they fit.
        if power > POWER_MAX and not low <= value * 10 ** (power - POWER_MAX) <= high:
            raise Fault(f"{value} x 10^{power}; expected {low}..{high} x 10^{POWER_MAX}")
        return scaled_down(value, power - unit_power)

    def write(output: Output, name: str, total: int, attributes: str = "") -> None:
        power, value = scaled(total, power_of_ten=unit_power, low=low, high=high)
        texts = {number: value_leaf.write(value), "multiplier": power_leaf.write(power)}
        output.open(name, attributes)
        for row in rows:
            output.text(row, texts[row])
        output.close(name)

    return Content(read, write)


def _nested(kind: str) -> Content:
    def read(element: Element) -> Any:
        return SHAPES[kind].read(element)

    def write(output: Output, name: str, value: Any) -> None:
        SHAPES[kind].write(output, name, value)

    return Content(read, write)
