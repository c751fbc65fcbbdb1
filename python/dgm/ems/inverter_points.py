"""The numbers of a SunSpec model by path, from its registers, and values in our units back to raw numbers.

    registers ──_core.sunspec_decode──> {"Crv[0].Pt[1].V": Number(raw, exponent)}        value, exponent ──> raw

What a device does not implement is not in the mapping. Paths count from 0 on, as the core takes them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, cast

from dgm import _core


@dataclass(frozen=True, slots=True, kw_only=True)
class Number:
    """As it stands in the registers. exponent None: the scale factor it should have is not implemented."""

    raw: int
    exponent: int | None


Points = Mapping[str, Number]


def points_of(model: int, registers: bytes) -> dict[str, Number]:
    """Every number that the device implements."""
    return dict(_numbers(_core.sunspec_decode(model, registers), ""))


def _numbers(group: Mapping[str, object], prefix: str) -> Iterator[tuple[str, Number]]:
    for name, value in group.items():
        match value:
            case dict():
                yield from _numbers(cast(Mapping[str, object], value), f"{prefix}{name}.")
            case list():
                for index, one in enumerate(value):
                    yield from _numbers(one, f"{prefix}{name}[{index}].")
            case (int(raw), exponent):
                yield prefix + name, Number(raw=raw, exponent=cast(Any, exponent))
            case _:
                pass


def scaled(points: Points, path: str, digits: int = 0) -> int | None:
    """The value in a unit `digits` decimal digits finer than the model's, rounded towards 0; None: not told."""
    found = points.get(path)
    if found is None or found.exponent is None:
        return None
    power = found.exponent + digits
    return found.raw * 10**power if power >= 0 else _towards_zero(found.raw, 10**-power)


def raw_of(points: Points, path: str, value: int, digits: int = 0) -> int | None:
    """The raw number that says `value`, `digits` finer than the model's unit, rounded towards 0; None: it cannot."""
    found = points.get(path)
    if found is None or found.exponent is None:
        return None
    power = found.exponent + digits
    return _towards_zero(value, 10**power) if power >= 0 else value * 10**-power


def _towards_zero(value: int, divisor: int) -> int:
    return value // divisor if value >= 0 else -(-value // divisor)
