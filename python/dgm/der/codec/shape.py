"""How a type of the schema becomes a dataclass and back, in the order of the schema table.

    Element ──Shape.read──> dataclass        one pass over the children: unknown ones skipped, repeated ones refused
    dataclass ──Shape.write──> Output        every field in the order of its Row, if the dialect knows it

A Shape is made once per type from the table and a binding (element name -> field, and what its value means).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import MISSING, dataclass, field, fields
from typing import Any
from xml.etree.ElementTree import Element

from dgm.der.codec.dialect import Dialect
from dgm.der.codec.leaf import Fault, Leaf
from dgm.der.codec.schema import Row


@dataclass(slots=True)
class Output:
    """A document while it is written."""

    dialect: Dialect
    parts: list[str] = field(default_factory=list)

    def text(self, name: str, content: str, attributes: str = "") -> None:
        """An element that holds text, already escaped."""
        self.parts.append(f"<{name}{attributes}>{content}</{name}>")

    def empty(self, name: str, attributes: str = "") -> None:
        """An element that holds nothing."""
        self.parts.append(f"<{name}{attributes}/>")

    def open(self, name: str, attributes: str = "") -> None:
        """The start of an element that holds others."""
        self.parts.append(f"<{name}{attributes}>")

    def close(self, name: str) -> None:
        """Its end."""
        self.parts.append(f"</{name}>")


Read = Callable[[Element], Any]
Write = Callable[[Output, str, Any], None]


@dataclass(frozen=True, slots=True)
class Content:
    """How what is in an element becomes a value, and a value an element."""

    read: Read
    write: Write


@dataclass(frozen=True, slots=True)
class Item:
    """One field of a dataclass and the element that holds it. name: as written, with a prefix if it is of CSIP-AUS."""

    attr: str
    name: str
    row: Row
    content: Content


@dataclass(frozen=True, slots=True)
class Attribute:
    """One field of a dataclass and the XML attribute that holds it."""

    attr: str
    row: Row
    leaf: Leaf


@dataclass(slots=True)
class Shape:
    """One type of the schema. `items` in schema order; the rest for reading. `many`: fields that are tuples."""

    cls: type
    type_name: str
    items: tuple[Item, ...] = ()
    by_tag: dict[str, Item] = field(default_factory=dict)
    by_name: dict[str, Attribute] = field(default_factory=dict)
    many: tuple[str, ...] = ()

    def read(self, element: Element) -> Any:
        """The dataclass that an element holds. Fault with the path to what is wrong."""
        values: dict[str, Any] = {}
        for name, text in element.items():
            attribute = self.by_name.get(name)
            if attribute is not None:
                values[attribute.attr] = _at(f"@{name}", attribute.leaf.read, text)
        by_tag = self.by_tag
        for child in element:
            item = by_tag.get(child.tag)
            if item is None:
                continue
            try:
                value = item.content.read(child)
            except Fault as fault:
                number = f"[{len(values.get(item.attr, ())) + 1}]" if item.row.is_many else ""
                raise fault.within(item.name + number) from None
            if item.row.is_many:
                values.setdefault(item.attr, []).append(value)
            elif item.attr in values:
                raise Fault("given twice; expected once").within(item.name)
            else:
                values[item.attr] = value
        return self._made(values)

    def _made(self, values: dict[str, Any]) -> Any:
        for attr in self.many:
            if attr in values:
                values[attr] = tuple(values[attr])
        try:
            return self.cls(**values)
        except TypeError:
            missing = [name for name in self._mandatory() if name not in values]
            raise Fault("missing; the type needs it").within(self._element_of(missing[0])) from None

    def _mandatory(self) -> list[str]:
        return [field.name for field in fields(self.cls) if field.default is MISSING]

    def _element_of(self, attr: str) -> str:
        names = {item.attr: item.name for item in self.items}
        names |= {attribute.attr: f"@{name}" for name, attribute in self.by_name.items()}
        return names[attr]

    def write(self, output: Output, name: str, value: Any, extra: str = "") -> None:
        """Append the element of a value. Fault if a mandatory field of the dialect is None or a value does not fit."""
        output.open(name, extra + self._attributes(output.dialect, value))
        for item in self.items:
            content = getattr(value, item.attr)
            if not output.dialect.knows(item.row.origin):
                continue
            if content is None:
                if item.row.is_required:
                    raise Fault("missing; the type needs it").within(item.name)
                continue
            try:
                for one in content if item.row.is_many else (content,):
                    item.content.write(output, item.name, one)
            except Fault as fault:
                raise fault.within(item.name) from None
        output.close(name)

    def _attributes(self, dialect: Dialect, value: Any) -> str:
        parts = []
        for name, attribute in self.by_name.items():
            content = getattr(value, attribute.attr)
            if content is not None and dialect.knows(attribute.row.origin):
                parts.append(f' {name}="{_at(f"@{name}", attribute.leaf.write, content)}"')
        return "".join(parts)


def _at(step: str, convert: Callable[[Any], Any], value: Any) -> Any:
    try:
        return convert(value)
    except Fault as fault:
        raise fault.within(step) from None
