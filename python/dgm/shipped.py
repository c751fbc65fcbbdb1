"""YAML files that come with DGM in a package, each a protobuf message that is called as its file is.

    names(package) ──> one(package, name, parse) ──document.read, judge──> message, or every problem by path and line

Reads package files and nothing else; what a message must be is its own loader's to say.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from importlib import resources
from typing import Protocol, TypeVar

from google.protobuf.message import Message

from dgm import document
from dgm.errors import ConfigError, Problem

MessageT = TypeVar("MessageT", bound=Message)
ReadT = TypeVar("ReadT", bound=Message, covariant=True)


class Parse(Protocol[ReadT]):
    """A loader's own `parse`."""

    def __call__(self, text: str, *, source: str = ...) -> ReadT:
        """The message, or ConfigError with all that is wrong."""
        ...


def names(package: str) -> tuple[str, ...]:
    """What there is, without .yaml, in order."""
    files = (file.name for file in resources.files(package).iterdir())
    return tuple(sorted(name.removesuffix(".yaml") for name in files if name.endswith(".yaml")))


def one(package: str, name: str, parse: Parse[MessageT], *, key: str) -> MessageT:
    """The file of this name. ConfigError: there is none (`key` of site.yaml asked for it), or it is wrong."""
    known = names(package)
    if name not in known:
        raise ConfigError([Problem(path=key, found=repr(name), expected="one of " + ", ".join(known))])
    text = (resources.files(package) / f"{name}.yaml").read_text(encoding="utf-8")
    found = parse(text, source=f"{name}.yaml")
    called = str(getattr(found, "name"))  # noqa: B009 - every such message has one
    if called != name:
        raise ConfigError([Problem(path="name", found=repr(called), expected=f"{name!r}, as the file is called")])
    return found


def parsed(
    text: str, target: MessageT, judge: Callable[[MessageT], Iterable[tuple[str, str, str]]], *, source: str
) -> MessageT:
    """`target` filled from YAML. judge: path, found, expected of what is wrong with it; ConfigError lists all."""
    problems, lines = document.read(text, target)
    unread = tuple(problem.path for problem in problems)
    problems += [
        Problem(path=path, found=found, expected=expected, line=document.line_of(path, lines))
        for path, found, expected in judge(target)
        if not any(before.startswith(path) for before in unread)
    ]
    if problems:
        raise ConfigError(problems, source=source)
    return target
