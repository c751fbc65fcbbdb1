"""Strict YAML into a protobuf message: every problem at once, each with its path and line.

    text ──yaml nodes──> keys, types and enums checked along the message descriptor ──> message, problems, lines by path

Unknown and duplicate keys are refused, enums are written without their prefix. No I/O, and nothing of what the fields
mean: `config` and `devices` know that.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import cast

import yaml
from google.protobuf.descriptor import EnumDescriptor, FieldDescriptor
from google.protobuf.message import Message

from dgm.errors import Problem

MAX_TEXT_BYTES = 4_000_000
"""A larger file is refused before it is parsed: 10,000 stations need about 2 MB."""

Lines = dict[str, int]
"""Line of every field, by path."""


def read(text: str, target: Message) -> tuple[list[Problem], Lines]:
    """Fill `target` from text as far as it can be read; what is wrong, and where everything stands."""
    if len(text.encode()) > MAX_TEXT_BYTES:
        return [Problem(path="(file)", found="more than 4 MB", expected="a file below 4 MB")], {}
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        return [_yaml_problem(error)], {}
    reader = _Reader()
    if root is None:
        reader.note("(file)", "nothing", f"a mapping with the keys of {target.DESCRIPTOR.name}", None)
    else:
        reader.message(root, target, "")
    return reader.problems, reader.lines


def line_of(path: str, lines: Lines) -> int | None:
    """The line of a field, or of the nearest thing around it."""
    while path:
        if path in lines:
            return lines[path]
        path = re.sub(r"(\.[^.\[]+|\[\d+\])$", "", path) if re.search(r"[.\[]", path) else ""
    return None


def _yaml_problem(error: yaml.YAMLError) -> Problem:
    mark = getattr(error, "problem_mark", None)
    found = str(getattr(error, "problem", None) or error)
    return Problem(
        path="(file)", found=found, expected="well-formed YAML", line=None if mark is None else mark.line + 1
    )


class _Reader:
    """Walks YAML nodes along the message descriptor and collects problems instead of stopping at the first."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []
        self.lines: dict[str, int] = {}

    def note(self, path: str, found: str, expected: str, node: yaml.Node | None) -> None:
        line = None if node is None else node.start_mark.line + 1
        self.problems.append(Problem(path=path or "(file)", found=found, expected=expected, line=line))

    def message(self, node: yaml.Node, target: Message, path: str) -> None:
        if not isinstance(node, yaml.MappingNode):
            self.note(path, _show(node), f"a mapping with keys of {target.DESCRIPTOR.name}", node)
            return
        self.lines[path] = node.start_mark.line + 1
        fields = cast(Mapping[str, FieldDescriptor], target.DESCRIPTOR.fields_by_name)
        seen: set[str] = set()
        for key_node, value_node in node.value:
            key = str(key_node.value)
            here = f"{path}.{key}" if path else key
            if key in seen:
                self.note(here, f"the key {key!r} a second time", "each key once", key_node)
            elif key not in fields:
                self.note(here, f"unknown key {key!r}", "one of " + ", ".join(sorted(fields)), key_node)
            else:
                self.field(value_node, target, fields[key], here)
            seen.add(key)

    def field(self, node: yaml.Node, target: Message, field: FieldDescriptor, path: str) -> None:
        self.lines[path] = node.start_mark.line + 1
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            self.mapping(node, target, field, path)
        elif field.is_repeated:
            self.repeated(node, target, field, path)
        elif field.message_type is not None:
            child = getattr(target, field.name)
            child.SetInParent()
            self.message(node, child, path)
        else:
            value = self.scalar(node, field, path)
            if value is not None:
                setattr(target, field.name, value)

    def repeated(self, node: yaml.Node, target: Message, field: FieldDescriptor, path: str) -> None:
        if not isinstance(node, yaml.SequenceNode):
            self.note(path, _show(node), "a list", node)
            return
        items = getattr(target, field.name)
        for index, item in enumerate(node.value):
            here = f"{path}[{index}]"
            self.lines[here] = item.start_mark.line + 1
            if field.message_type is not None:
                self.message(item, items.add(), here)
            else:
                value = self.scalar(item, field, here)
                if value is not None:
                    items.append(value)

    def mapping(self, node: yaml.Node, target: Message, field: FieldDescriptor, path: str) -> None:
        """A map of texts: name to one value or a list of values, kept as written; what they mean is for others to
        say.
        """
        if not isinstance(node, yaml.MappingNode):
            self.note(path, _show(node), "a mapping of names to values", node)
            return
        entries = getattr(target, field.name)
        for key_node, value_node in node.value:
            key = str(key_node.value)
            here = f"{path}.{key}"
            self.lines[here] = key_node.start_mark.line + 1
            nodes = value_node.value if isinstance(value_node, yaml.SequenceNode) else [value_node]
            if key in entries:
                self.note(here, f"the key {key!r} a second time", "each key once", key_node)
            elif any(not isinstance(one, yaml.ScalarNode) for one in nodes):
                self.note(here, "a mapping or a list of lists", "one value or a list of values", value_node)
            else:
                entries[key].values.extend(one.value for one in nodes)

    def scalar(self, node: yaml.Node, field: FieldDescriptor, path: str) -> int | str | bool | None:
        if not isinstance(node, yaml.ScalarNode):
            self.note(path, _show(node), "one value", node)
            return None
        if field.enum_type is not None:
            return self.enum(node, field.enum_type, path)
        kind = node.tag.rsplit(":", 1)[-1]
        if field.type == FieldDescriptor.TYPE_BOOL:
            return self.expect(node, path, kind == "bool", "true or false", node.value.lower() in ("true", "yes", "on"))
        if field.type == FieldDescriptor.TYPE_INT64:
            good = kind == "int" and re.fullmatch(r"[+-]?[0-9][0-9_]*", node.value) is not None
            number = int(node.value.replace("_", "")) if good else 0
            good = good and -(2**53) < number < 2**53
            return self.expect(node, path, good, f"a whole number ({unit(field.name)})", number)
        return self.expect(node, path, kind in ("str", "int", "float"), "text", node.value)

    def expect(
        self, node: yaml.ScalarNode, path: str, good: bool, expected: str, value: int | str | bool
    ) -> int | str | bool | None:
        if good:
            return value
        self.note(path, _show(node), expected, node)
        return None

    def enum(self, node: yaml.ScalarNode, enum: EnumDescriptor, path: str) -> int | None:
        prefix = re.sub(r"(?<!^)(?=[A-Z])", "_", enum.name).upper() + "_"
        names = {value.name.removeprefix(prefix): value.number for value in enum.values if value.number != 0}
        number = names.get(node.value.upper())
        if number is None:
            self.note(path, _show(node), "one of " + ", ".join(names), node)
        return number


def _show(node: yaml.Node) -> str:
    if isinstance(node, yaml.ScalarNode):
        return repr(node.value[:60])
    return "a list" if isinstance(node, yaml.SequenceNode) else "a mapping"


def unit(name: str) -> str:
    """The unit that a field's name ends with."""
    units = {"w": "W", "wh": "Wh", "ma": "mA", "mv": "mV", "ms": "ms", "s": "s", "permille": "per mille"}
    return units.get(name.rsplit("_", 1)[-1], "no unit")
