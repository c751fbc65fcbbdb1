"""Rows into the integer columns of the core's border, and its image rows into readings. Pure; see `_core.pyi`."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from typing import cast

from dgm import _core
from dgm.api.site.v1.site_pb2 import PlugState, Quality
from dgm.ems.events import Row
from dgm.machine import Now
from dgm.site.state import Reading


def columns(rows: Iterable[Row]) -> array[int]:
    """Rows as one flat int32 column block; None becomes the core's mark of absence."""
    return array("i", (_core.ABSENT32 if value is None else value for row in rows for value in row))


def reading(row: Sequence[int], now: Now) -> Reading:
    """One row of _core.IMAGE_COLUMNS on our clock."""
    quality, age_ms, power, reactive, i1, i2, i3, v1, v2, v3, frequency, energy, soc, plug = (_known(v) for v in row)
    return Reading(
        quality=cast("Quality", Quality.QUALITY_FAILED if quality is None else quality),
        measured_ms=now.mono_ms - (age_ms or 0),
        power_w=power,
        reactive_var=reactive,
        current_ma=(i1, i2, i3),
        voltage_mv=(v1, v2, v3),
        frequency_mhz=frequency,
        energy_wh=energy,
        soc_permille=soc,
        plug_state=cast("PlugState", plug or 0),
    )


def _known(value: int) -> int | None:
    return None if value == _core.ABSENT64 else value
