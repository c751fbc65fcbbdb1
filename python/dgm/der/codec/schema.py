"""The table of types that the codec follows: which attributes and elements a type has, in order, and what they hold.

    schema.txt (made from the published schemas) ──TYPES──> Row by Row

The order of output, what is mandatory and the range of every number come from here, so they are those of the schemas by
construction. What the values mean to DGM is in `bindings`.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import files


@dataclass(frozen=True, slots=True)
class Row:
    """One attribute or element. kind: a simple kind (`leaf`) or a type's name. origin: "" (all), 18, 23, aus, aus13."""

    name: str
    is_attribute: bool
    is_required: bool
    is_many: bool
    kind: str
    origin: str

    @property
    def is_aus(self) -> bool:
        """In a namespace of CSIP-AUS."""
        return self.origin.startswith("aus")


def _load() -> dict[str, tuple[Row, ...]]:
    types: dict[str, list[Row]] = {}
    rows: list[Row] = []
    for line in (files("dgm.der.codec") / "schema.txt").read_text(encoding="utf-8").splitlines():
        if line.startswith("  "):
            rows.append(_row(*line.split()))
        elif line and not line.startswith("#"):
            rows = types.setdefault(line, [])
    return {name: tuple(found) for name, found in types.items()}


def _row(name: str, occurs: str, kind: str, origin: str = "") -> Row:
    return Row(
        name=name.removeprefix("@"),
        is_attribute=name.startswith("@"),
        is_required=occurs in ("1", "+"),
        is_many=occurs in ("*", "+"),
        kind=kind,
        origin=origin,
    )


TYPES: dict[str, tuple[Row, ...]] = _load()
