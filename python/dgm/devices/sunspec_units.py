"""Units of SunSpec points, for people: a table generated from the model definitions (dgm_core/tables/sunspec.py)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelNames:
    """What the definition of a model says beside its layout. units: by path of the point, "Crv.Pt.V"."""

    name: str
    units: Mapping[str, str]


@cache
def model_names(model_id: int) -> ModelNames:
    """Name and units of a model; the number and no units for one without a definition."""
    text = resources.files("dgm.devices").joinpath("sunspec_units.txt").read_text(encoding="utf-8")
    for line in text.splitlines():
        number, _, rest = line.partition("\t")
        if number == str(model_id):
            name, *units = rest.split("\t")
            return ModelNames(name=name, units=dict(unit.split("=", 1) for unit in units))
    return ModelNames(name=str(model_id), units={})
