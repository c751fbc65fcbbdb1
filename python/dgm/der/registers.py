"""Where the models of the DER facade stand: all in unit 1, one behind the other, as a SunSpec reader walks them.

    "SunS" · common (1) · 701 · 702 · 703 · 704 · 705 · 706 · 711 · 712 · 713 · 715 · GATEWAY_MODEL (64912)
           · LIMIT_MODEL (64913) once for each kind of limit · end

What they hold: models.py; how a map works: dgm/maps/table.py.
"""

from __future__ import annotations

from collections.abc import Mapping

from dgm.der.models import GATEWAY_MODEL, KINDS, LIMIT_MODEL, STANDARD
from dgm.maps.table import MODEL_AT, Model, Place
from dgm.maps.writes import Located

UNIT = 1
CONTROL_ID = 715


def _addresses() -> tuple[tuple[Model, int | None, int], ...]:
    """(model, which limit, address of its ID) in order."""
    found, at = [], MODEL_AT
    for model, index in [
        *((model, None) for model in (*STANDARD.values(), GATEWAY_MODEL)),
        *((LIMIT_MODEL, index) for index in range(len(KINDS))),
    ]:
        found.append((model, index, at))
        at += model.size
    return tuple(found)


PLACES = _addresses()
_PLACES: Mapping[tuple[int, int | None], int] = {(model.id, index): at for model, index, at in PLACES}
END_AT = PLACES[-1][2] + LIMIT_MODEL.size
"""Where the end marker stands."""


def place(model: Model, index: int | None = None) -> Place:
    """Where a model stands. index: of the limit, in the order of KINDS."""
    return Place(unit=UNIT, address=_PLACES[model.id, index])


def located(unit: int, address: int) -> Located | None:
    """Which model a register belongs to."""
    for model, index, at in PLACES:
        if unit == UNIT and at <= address < at + model.size:
            return index, model, address - at
    return None
