"""DERControlBase <-> ControlBase: every mode, its value in DGM's units and signs, and the ramp between them.

    <opModFixedW>2500</opModFixedW>  <──>  ControlMode(name="opModFixedW", permyriad=-2500)

Two attributes of 2023 may stand on a mode: `disabled` (then it may be empty) and, on delta modes, `bidirectional`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, assert_never
from xml.etree.ElementTree import Element

from dgm.der.codec.content import DELIVERED, HREF, child, content_of, tags_of
from dgm.der.codec.dialect import Edition
from dgm.der.codec.leaf import Fault, Leaf, leaf
from dgm.der.codec.schema import TYPES, Row
from dgm.der.codec.shape import Content, Output
from dgm.der.mode import MODES, Value
from dgm.der.resource import ControlBase, ControlMode

RAMP = "rampTms"
BOOL, BIDIRECTIONAL = leaf("bool"), leaf("u8")

Values = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Part:
    """One number inside a mode's element: field of ControlMode, its leaf, and the factor to DGM's unit and sign."""

    attr: str
    leaf: Leaf
    factor: int = 1

    def read(self, text: str) -> int:
        """Text -> value of the field."""
        return int(self.leaf.read(text)) * self.factor

    def write(self, value: int) -> str:
        """Value of the field -> text."""
        return self.leaf.write(value // self.factor if abs(self.factor) > 1 else value * self.factor)


@dataclass(frozen=True, slots=True)
class ModeContent:
    """How one mode's element is read into fields and written from them, attributes excepted."""

    row: Row
    name: str
    read: Callable[[Element], Values]
    write: Callable[[Output, ControlMode, str], None]


def _single(row: Row, name: str, attr: str, factor: int) -> ModeContent:
    part = Part(attr, leaf(row.kind), factor)
    return ModeContent(
        row,
        name,
        lambda element: {attr: part.read(element.text or "")},
        lambda output, mode, attributes: output.text(name, part.write(getattr(mode, attr)), attributes),
    )


def _switch(row: Row, name: str) -> ModeContent:
    return ModeContent(
        row,
        name,
        lambda element: {"on": BOOL.read(element.text or "")},
        lambda output, mode, attributes: output.text(name, BOOL.write(mode.on), attributes),
    )


def _curve(row: Row, name: str) -> ModeContent:
    def read(element: Element) -> Values:
        href = HREF.read(element.get("href") or "")
        if not href:
            raise Fault("no href; a curve needs one")
        return {"curve_href": href}

    def write(output: Output, mode: ControlMode, attributes: str) -> None:
        output.empty(name, f' href="{HREF.write(mode.curve_href)}"{attributes}')

    return ModeContent(row, name, read, write)


def _quantity(row: Row, name: str, attr: str, sign: int) -> ModeContent:
    content = content_of(row, DELIVERED if sign < 0 else None)

    def write(output: Output, mode: ControlMode, attributes: str) -> None:
        start = len(output.parts)
        content.write(output, name, getattr(mode, attr))
        output.parts[start] = f"<{name}{attributes}>"

    return ModeContent(row, name, lambda element: {attr: content.read(element)}, write)


def _parts(row: Row, name: str, parts: dict[str, Part]) -> ModeContent:
    def read(element: Element) -> Values:
        return {part.attr: part.read(child(element, inner)) for inner, part in parts.items()}

    def write(output: Output, mode: ControlMode, attributes: str) -> None:
        output.open(name, attributes)
        for inner, part in parts.items():
            output.text(inner, part.write(getattr(mode, part.attr)))
        output.close(name)

    return ModeContent(row, name, read, write)


def _power_factor(row: Row, name: str) -> ModeContent:
    number = content_of(Row("", False, True, False, "PowerFactor", ""))

    def read(element: Element) -> Values:
        return {"power_factor_ppm": number.read(element), "is_underexcited": BOOL.read(child(element, "excitation"))}

    def write(output: Output, mode: ControlMode, attributes: str) -> None:
        inner = Output(output.dialect)
        number.write(inner, name, mode.power_factor_ppm)
        _, displacement, multiplier, _ = inner.parts
        output.open(name, attributes)
        output.parts.append(displacement)
        output.text("excitation", BOOL.write(mode.is_underexcited))
        output.parts.append(multiplier)
        output.close(name)

    return ModeContent(row, name, read, write)


def _reference(row: Row, name: str, factor: int) -> ModeContent:
    kinds = {inner.name: inner.kind for inner in TYPES[row.kind]}
    parts = {
        "refType": Part("reference", leaf(kinds["refType"])),
        "value": Part("permyriad", leaf(kinds["value"]), factor),
    }
    return _parts(row, name, parts)


DROOP = {
    "dBOF": ("droop_over_deadband_mhz", 1),
    "dBUF": ("droop_under_deadband_mhz", 1),
    "kOF": ("droop_over_permille", 1),
    "kUF": ("droop_under_permille", 1),
    "openLoopTms": ("droop_response_ms", 10),
}


def _droop(row: Row, name: str) -> ModeContent:
    kinds = {inner.name: inner for inner in TYPES[row.kind]}
    parts = {inner: Part(attr, leaf(kinds[inner].kind), factor) for inner, (attr, factor) in DROOP.items()}
    plain, least = _parts(row, name, parts), content_of(kinds["pMin"], DELIVERED)

    def read(element: Element) -> Values:
        found = [part for part in element if part.tag in tags_of(kinds["pMin"])]
        return {**plain.read(element), "droop_min_w": least.read(found[0]) if found else None}

    def write(output: Output, mode: ControlMode, attributes: str) -> None:
        plain.write(output, mode, attributes)
        if mode.droop_min_w is not None and output.dialect.knows(kinds["pMin"].origin):
            end = output.parts.pop()
            least.write(output, "pMin", mode.droop_min_w)
            output.parts.append(end)

    return ModeContent(row, name, read, write)


def _content(row: Row, name: str) -> ModeContent:
    match MODES[row.name].value:
        case Value.SWITCH:
            return _switch(row, name)
        case Value.PERMYRIAD | Value.VOLTAGE_PERMYRIAD:
            return _single(row, name, "permyriad", 1)
        case Value.DELIVERED_PERMYRIAD:
            return _single(row, name, "permyriad", -1)
        case Value.VAR_PERMYRIAD:
            return _reference(row, name, 1)
        case Value.DELIVERED_VAR_PERMYRIAD:
            return _reference(row, name, -1)
        case Value.POWER:
            return _quantity(row, name, "power_w", 1)
        case Value.DELIVERED_POWER:
            return _quantity(row, name, "power_w", -1)
        case Value.VAR:
            return _quantity(row, name, "reactive_var", 1)
        case Value.DELIVERED_VAR:
            return _quantity(row, name, "reactive_var", -1)
        case Value.VOLTAGE:
            return _quantity(row, name, "voltage_mv", 1)
        case Value.POWER_FACTOR:
            return _power_factor(row, name)
        case Value.CURVE:
            return _curve(row, name)
        case Value.DROOP:
            return _droop(row, name)
        case other:
            assert_never(other)


ROWS = {row.name: row for row in TYPES["DERControlBase"]}
RAMP_PART = Part("ramp_ms", leaf(ROWS[RAMP].kind), 10)
CONTENTS = {
    name: _content(row, f"csipaus:{name}" if row.is_aus else name) for name, row in ROWS.items() if name != RAMP
}
BY_TAG = {tag: content for content in CONTENTS.values() for tag in tags_of(content.row)}
RAMP_TAG = tags_of(ROWS[RAMP])[0]
ORDER = {name: place for place, name in enumerate(ROWS)}


def _read(element: Element) -> ControlBase:
    ramp_ms: int | None = None
    modes: dict[str, ControlMode] = {}
    for item in element:
        content = BY_TAG.get(item.tag)
        step = content.row.name if content else RAMP
        try:
            if content is not None:
                if step in modes:
                    raise Fault("given twice; expected once")
                modes[step] = _read_mode(content, item)
            elif item.tag == RAMP_TAG:
                ramp_ms = RAMP_PART.read(item.text or "")
        except Fault as fault:
            raise fault.within(step) from None
    ordered = sorted(modes.values(), key=lambda mode: ORDER[mode.name])
    return ControlBase(modes=tuple(ordered), ramp_ms=ramp_ms)


def _read_mode(content: ModeContent, element: Element) -> ControlMode:
    name = content.row.name
    if not element.attrib:
        return ControlMode(name=name, **content.read(element))
    disabled = BOOL.read(element.get("disabled", "false"))
    direction = element.get("bidirectional")
    is_empty = len(element) == 0 and not (element.text or "").strip() and element.get("href") is None
    values = {} if disabled and is_empty else content.read(element)
    bidirectional = None if direction is None else BIDIRECTIONAL.read(direction)
    return ControlMode(name=name, is_disabled=disabled, bidirectional=bidirectional, **values)


def _write(output: Output, name: str, base: ControlBase) -> None:
    modes = {mode.name: mode for mode in base.modes}
    output.open(name)
    for item in ROWS.values():
        mode = modes.get(item.name)
        try:
            if item.name == RAMP and base.ramp_ms is not None:
                output.text(RAMP, RAMP_PART.write(base.ramp_ms))
            elif mode is not None and output.dialect.knows(item.origin):
                CONTENTS[item.name].write(output, mode, _attributes(output, mode, item))
        except (Fault, TypeError) as error:
            # TypeError: the field that this mode needs is None.
            fault = error if isinstance(error, Fault) else Fault("no value; the mode needs one")
            raise fault.within(item.name) from None
    output.close(name)


def _attributes(output: Output, mode: ControlMode, row: Row) -> str:
    """The attributes of 2023: `disabled` on any mode with a value of its own kind, `bidirectional` on delta modes."""
    if output.dialect.edition is not Edition.S23 or row.is_aus:
        return ""
    parts = []
    if mode.is_disabled and MODES[mode.name].value is not Value.SWITCH:
        parts.append(' disabled="true"')
    if mode.bidirectional is not None and "Delta" in row.kind:
        parts.append(f' bidirectional="{BIDIRECTIONAL.write(mode.bidirectional)}"')
    return "".join(parts)


CONTROL_BASE = Content(_read, _write)
