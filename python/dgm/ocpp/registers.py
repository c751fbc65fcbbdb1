"""Where the models of the EVSE facade stand. What they hold: models.py; how a map works: dgm/maps/table.py.

unit 1        "SunS"  common (1)  SITE_MODEL (64910)  end      the site: readings, limits, heartbeat, total cap
unit 2 + n    "SunS"  common (1)  EVSE_MODEL (64911)  end      EVSE n of site.yaml; beyond 246 EVSEs a unit holds
                                                               those of n, n + 246, n + 492 one after another
"""

from __future__ import annotations

from dgm.maps.table import MODEL_AT, Model, Place

MAP_VERSION = 2
SITE_UNIT, FIRST_EVSE_UNIT, LAST_UNIT = 1, 2, 247
EVSE_UNITS = LAST_UNIT - FIRST_EVSE_UNIT + 1
SITE_MODEL_ID, EVSE_MODEL_ID = 64_910, 64_911

MODELS_PER_UNIT = 16
"""EVSE models that may stand in one unit; beyond it the sites are several."""

MAX_EVSES = EVSE_UNITS * MODELS_PER_UNIT


def site_place() -> Place:
    """Where the site model stands."""
    return Place(unit=SITE_UNIT, address=MODEL_AT)


def evse_place(index: int, model: Model) -> Place:
    """Where the model of EVSE `index` (0-based, order of site.yaml) stands."""
    slot, unit = divmod(index, EVSE_UNITS)
    return Place(unit=FIRST_EVSE_UNIT + unit, address=MODEL_AT + slot * model.size)


def units_for(evses: int) -> int:
    """How many unit ids the server has to answer."""
    return SITE_UNIT + min(evses, EVSE_UNITS)
