"""Frozen dataclasses to JSON and back, checked against their own type hints: what the journal holds.

    value ──to_json──> plain lists and dicts ──> bytes ──> from_json(type) ──> value, or ValueError that says where

A field that stands at its default is left out; one that is missing takes its default, so that a field can be added
without losing what an older version wrote. A field that the type does not have is an error: what it meant is not known.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from enum import Enum
from functools import cache
from types import NoneType, UnionType
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

_PLAIN = frozenset({NoneType, bool, str, int})
_ENCODE = json.JSONEncoder(separators=(",", ":"), check_circular=False).encode


def dump(value: object) -> bytes:
    """One value as the journal holds it."""
    return _ENCODE(to_json(value)).encode()


def load(kind: Any, stored: bytes) -> Any:
    """A value of a type (a dataclass, or an alias such as Event[ControlMode]). ValueError: what is wrong, and where."""
    try:
        return from_json(kind, json.loads(stored), "")
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise ValueError(f"not JSON: {error}") from error


def to_json(value: object) -> Any:
    """Plain values; sets in order, so that the same value is always the same bytes."""
    kind: Any = type(value)
    if kind in _PLAIN:
        return value
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, tuple):
        return [to_json(item) for item in value]
    if isinstance(value, frozenset):
        return sorted(value)
    assert not isinstance(value, type), "a type is not kept in a journal"
    plain = {}
    for name, default in _fields(kind):
        found = getattr(value, name)
        if found is default or (type(found) is type(default) and found == default):
            continue
        plain[name] = found if type(found) in _PLAIN else to_json(found)
    return plain


def from_json(kind: Any, stored: Any, where: str) -> Any:
    """The value of a type that plain values stand for."""
    origin = get_origin(kind) or kind
    if origin in (Union, UnionType):
        return _union(kind, stored, where)
    if origin in (tuple, frozenset):
        return _sequence(kind, stored, where)
    if is_dataclass(origin):
        return _dataclass(kind, stored, where)
    if isinstance(origin, type) and issubclass(origin, Enum):
        return _checked(where, stored, lambda: origin(stored), f"a {origin.__name__}")
    if type(stored) is not origin:
        raise ValueError(f"{where or 'value'}: found {str(stored)[:40]!r}; expected {origin.__name__}")
    return stored


@cache
def _fields(kind: Any) -> tuple[tuple[str, object], ...]:
    """Names of the fields of a class, with their defaults; MISSING: none."""
    assert is_dataclass(kind), f"{kind.__name__} is not kept in a journal"
    return tuple((item.name, item.default) for item in fields(kind))


def _union(kind: Any, stored: Any, where: str) -> Any:
    options = get_args(kind)
    if stored is None and NoneType in options:
        return None
    others = [option for option in options if option is not NoneType]
    for option in others[:-1]:
        try:
            return from_json(option, stored, where)
        except ValueError:
            continue
    return from_json(others[-1], stored, where)


def _sequence(kind: Any, stored: Any, where: str) -> Any:
    if not isinstance(stored, list):
        raise ValueError(f"{where or 'value'}: found {str(stored)[:40]!r}; expected a list")
    origin, options = get_origin(kind), get_args(kind)
    if origin is tuple and options[-1] is not Ellipsis:
        if len(options) != len(stored):
            raise ValueError(f"{where}: found {len(stored)} items; expected {len(options)}")
        return tuple(from_json(option, item, where) for option, item in zip(options, stored, strict=True))
    items = [from_json(options[0], item, f"{where}[{index}]") for index, item in enumerate(stored)]
    return tuple(items) if origin is tuple else frozenset(items)


def _dataclass(kind: Any, stored: Any, where: str) -> Any:
    hints = _hints(kind)
    if not isinstance(stored, dict):
        raise ValueError(f"{where or 'value'}: found {str(stored)[:40]!r}; expected an object")
    unknown = sorted(stored.keys() - hints.keys())
    if unknown:
        raise ValueError(f"{where or 'value'}: found the unknown key {unknown[0]!r}; expected one of {sorted(hints)}")
    values = {name: from_json(hints[name], item, f"{where}.{name}" if where else name) for name, item in stored.items()}
    return _checked(where, stored, lambda: (get_origin(kind) or kind)(**values), "every key without a default")


@cache
def _hints(kind: Any) -> dict[str, Any]:
    """Types by field, with the type variables of a generic alias filled in."""
    origin = get_origin(kind) or kind
    bound = dict(zip(getattr(origin, "__parameters__", ()), get_args(kind), strict=False))
    return {name: _filled(hint, bound) for name, hint in get_type_hints(origin).items()}


def _filled(hint: Any, bound: dict[Any, Any]) -> Any:
    if isinstance(hint, TypeVar):
        return bound[hint]
    parameters = getattr(hint, "__parameters__", ())
    return hint[tuple(bound[parameter] for parameter in parameters)] if parameters else hint


def _checked(where: str, stored: Any, make: Callable[[], Any], expected: str) -> Any:
    try:
        return make()
    except (TypeError, ValueError) as error:
        raise ValueError(f"{where or 'value'}: found {str(stored)[:60]!r}; expected {expected}") from error
