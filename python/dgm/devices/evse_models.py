"""Models of charging stations: YAML to ocpp.v1.EvseModel, checked; those that come with DGM.

    devices/evse/<name>.yaml ──document──> EvseModel ──rules──> problems by path and line

Reads package files and nothing else. Which model a station is, is found by `dgm.ocpp.quirks`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from importlib import resources

from dgm import document
from dgm.api.ocpp.v1.evse_model_pb2 import EvseModel
from dgm.api.ocpp.v1.ocpp_pb2 import EnforcementMode
from dgm.errors import ConfigError, Problem

MAX_PATTERN_CHARS = 200


@cache
def load_all() -> tuple[EvseModel, ...]:
    """All models that come with DGM, ordered by file name. ConfigError for one that is wrong."""
    files = sorted(resources.files("dgm.devices.evse").iterdir(), key=lambda file: file.name)
    found = tuple(
        parse(file.read_text(encoding="utf-8"), source=file.name) for file in files if file.name.endswith(".yaml")
    )
    names = [model.name for model in found]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ConfigError([Problem(path="name", found=f"{', '.join(twice)} in two files", expected="one file each")])
    return found


def parse(text: str, *, source: str = "EVSE model") -> EvseModel:
    """A model from YAML. ConfigError lists all that is wrong."""
    model = EvseModel()
    problems, lines = document.read(text, model)
    problems += [
        Problem(path=path, found=found, expected=expected, line=document.line_of(path, lines))
        for path, found, expected in _problems(model)
    ]
    if problems:
        raise ConfigError(problems, source=source)
    return model


def _problems(model: EvseModel) -> Iterator[tuple[str, str, str]]:
    if not model.name:
        yield "name", "nothing", "a name for people"
    if not model.vendor:
        yield "vendor", "nothing", "a regular expression for chargePointVendor"
    if not model.seen_in:
        yield "seen_in", "nothing", "where this behaviour is told"
    for name in ("vendor", "model", "firmware"):
        yield from _pattern_problems(name, getattr(model, name))
    if EnforcementMode.ENFORCEMENT_MODE_NATIVE in model.modes and not model.limit_key:
        yield "modes", "NATIVE without limit_key", "the key that limits the current"
    for name, low, high in (("max_stack_level", 0, 1000), ("phases_for_watts", 1, 3), ("lease_s", 30, 86_400)):
        if model.HasField(name) and not low <= getattr(model, name) <= high:
            yield name, str(getattr(model, name)), f"{low}..{high}"
    for name, low, high in (("writes_per_day", 24, 86_400), ("rewrite_after_pause_s", 1, 600)):
        if model.HasField(name) and not low <= getattr(model, name) <= high:
            yield name, str(getattr(model, name)), f"{low}..{high}"


def _pattern_problems(name: str, pattern: str) -> Iterator[tuple[str, str, str]]:
    if len(pattern) > MAX_PATTERN_CHARS:
        yield name, f"{len(pattern)} characters", f"at most {MAX_PATTERN_CHARS}"
        return
    try:
        re.compile(pattern)
    except re.error as error:
        yield name, f"{pattern!r}: {error}", "a regular expression"
