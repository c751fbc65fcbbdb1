"""Parameters of a policy: a frozen dataclass whose fields say unit, range and meaning; read from site.yaml strictly.

    ceiling_w: 400000 ──read──> Params(ceiling_w=400_000), or every key that is wrong, with found and expected

A field is `number`, `flag`, `text` or `items`; without a default it must be given. The unit stands in the field's name.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import MISSING, Field, dataclass, field, fields
from typing import Any, TypeVar

ParamsT = TypeVar("ParamsT")

Finding = tuple[str, str, str]
"""Key, found, expected."""

WHOLE = re.compile(r"[+-]?[0-9][0-9_]{0,15}")
ITEMS_MAX = 10_000


class ParameterError(Exception):
    """Two parameters that contradict each other: key, found, expected. Raised by __post_init__ of a Params."""

    def __init__(self, key: str, found: str, expected: str) -> None:
        super().__init__(f"{key}: found {found}; expected {expected}")
        self.finding: Finding = (key, found, expected)


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """How one parameter is written and read. parse: raises ValueError with what is expected."""

    doc: str
    expected: str
    parse: Callable[[str], object]
    is_list: bool = False
    circuit: bool = False


def number(doc: str, *, low: int, high: int, default: Any = MISSING) -> Any:
    """A whole number low..high; default None: it may be absent."""
    return _field(Kind(doc=doc, expected=f"a whole number {low}..{high}", parse=_within(low, high)), default)


def flag(doc: str, *, default: Any = MISSING) -> Any:
    """true or false."""
    return _field(Kind(doc=doc, expected="true or false", parse=_flag), default)


def text(doc: str, *, choices: Sequence[str] = (), circuit: bool = False, default: Any = MISSING) -> Any:
    """A text, one of `choices` where there are any, or the id of a circuit (empty: the connection point)."""
    expected = "one of " + ", ".join(choices) if choices else "the id of a circuit" if circuit else "a text"
    return _field(Kind(doc=doc, expected=expected, parse=_choice(choices), circuit=circuit), default)


def word(text: str) -> str:
    """For `items`: any text but none."""
    if not text:
        raise ValueError(text)
    return text


def items(doc: str, *, expected: str, parse: Callable[[str], object], default: Any = MISSING) -> Any:
    """A list, each of its values read by `parse`."""
    return _field(Kind(doc=doc, expected=expected, parse=parse, is_list=True), default)


def read(params: type[ParamsT], given: Mapping[str, Sequence[str]]) -> tuple[ParamsT | None, list[Finding]]:
    """The parameters as typed, or all that is wrong with them."""
    known = {one.name: one for one in _fields(params)}
    findings: list[Finding] = [(key, f"unknown parameter {key!r}", _one_of(known)) for key in given if key not in known]
    values: dict[str, object] = {}
    for name, one in known.items():
        if name in given:
            findings += _take(name, one, given[name], values)
        elif one.default is MISSING:
            findings.append((name, "nothing", kind_of(one).expected))
    if findings:
        return None, findings
    try:
        return params(**values), []
    except ParameterError as error:
        return None, [error.finding]


def described(params: type) -> Iterator[tuple[str, str, str, str]]:
    """Name, expected, default ("" where it must be given) and meaning of each parameter."""
    for one in _fields(params):
        kind = kind_of(one)
        usual = "" if one.default is MISSING else shown(one.default) or "the connection point"
        yield one.name, kind.expected, usual, kind.doc


def values_of(params: object) -> list[str]:
    """name=value of each parameter, defaults filled in."""
    return [f"{one.name}={shown(getattr(params, one.name))}" for one in _fields(type(params))]


def circuits_named(params: object) -> Iterator[tuple[str, str]]:
    """Parameter and value where a parameter names a circuit."""
    for one in _fields(type(params)):
        if kind_of(one).circuit and getattr(params, one.name):
            yield one.name, str(getattr(params, one.name))


def kind_of(one: Field[Any]) -> Kind:
    """How a parameter is read."""
    kind = one.metadata["kind"]
    assert isinstance(kind, Kind)
    return kind


def shown(value: object) -> str:
    """A value as it is written in site.yaml."""
    match value:
        case None:
            return "none"
        case bool():
            return "true" if value else "false"
        case tuple():
            return "[" + ", ".join(str(item) for item in value) + "]"
        case _:
            return str(value)


def _field(kind: Kind, default: Any) -> Any:
    return field(default=default, metadata={"kind": kind}) if default is not MISSING else field(metadata={"kind": kind})


def _fields(params: type) -> tuple[Field[Any], ...]:
    return fields(params)


def _one_of(known: Mapping[str, object]) -> str:
    return "one of " + ", ".join(sorted(known)) if known else "no parameter: this policy has none"


def _take(name: str, one: Field[Any], given: Sequence[str], values: dict[str, object]) -> list[Finding]:
    kind = kind_of(one)
    if not kind.is_list and len(given) != 1:
        return [(name, f"a list of {len(given)}", kind.expected)]
    if len(given) > ITEMS_MAX:
        return [(name, f"{len(given)} values", f"at most {ITEMS_MAX}")]
    parsed: list[object] = []
    for value in given:
        try:
            parsed.append(kind.parse(value))
        except ValueError:
            return [(name, repr(value[:80]), kind.expected)]
    values[name] = tuple(parsed) if kind.is_list else parsed[0]
    return []


def _within(low: int, high: int) -> Callable[[str], object]:
    def parse(value: str) -> object:
        if WHOLE.fullmatch(value) is None or not low <= int(value.replace("_", "")) <= high:
            raise ValueError(value)
        return int(value.replace("_", ""))

    return parse


def _flag(value: str) -> object:
    if value.lower() not in ("true", "false"):
        raise ValueError(value)
    return value.lower() == "true"


def _choice(choices: Sequence[str]) -> Callable[[str], object]:
    def parse(value: str) -> object:
        if (choices and value not in choices) or not value:
            raise ValueError(value)
        return value

    return parse
