"""Stations from a CSV file, one EVSE a line: how a site of hundreds is listed. All problems at once, with their lines.

    station,cpo,evse,connector_id,circuit,phases,current_max_ma,fallback_ma
    CP-1,cpo-a,evse-1,1,garage,L1 L2 L3,16000,6000

The columns are the field names of StationConfig and EvseConfig in site.yaml; `station` and `evse` are the two ids.
Comma or semicolon, a header, UTF-8. Lines with the same station are its EVSEs. No I/O; rules that need more than one
field are those of `config`.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import cast

from google.protobuf.descriptor import FieldDescriptor

from dgm.api.config.v1.config_pb2 import EvseConfig, StationConfig
from dgm.api.site.v1.site_pb2 import Phase
from dgm.errors import Problem

MAX_LINES = 10_000
NEEDED = ("station", "cpo", "evse", "connector_id", "circuit", "phases", "current_max_ma")
_Fields = Mapping[str, FieldDescriptor]
_OF_STATION = cast(_Fields, StationConfig.DESCRIPTOR.fields_by_name)
_OF_EVSE = cast(_Fields, EvseConfig.DESCRIPTOR.fields_by_name)
_STATION = {name: found for name, found in _OF_STATION.items() if name not in ("id", "evses")}
_EVSE = {name: found for name, found in _OF_EVSE.items() if name not in ("id", "phases")}
COLUMNS = ("station", "evse", "phases", *_STATION, *_EVSE)
_PHASES = {"L1": Phase.PHASE_L1, "L2": Phase.PHASE_L2, "L3": Phase.PHASE_L3}
_WORDS = {"true": True, "yes": True, "false": False, "no": False}


@dataclass(slots=True, kw_only=True)
class StationList:
    """What was read. lines: of each station's EVSEs, in order."""

    stations: list[StationConfig] = field(default_factory=list)
    lines: list[list[int]] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)


def read_stations(text: str) -> StationList:
    """The stations of a CSV text, as far as they can be read, and all that is wrong with it."""
    found = StationList()
    lines = text.removeprefix("\ufeff").splitlines()
    head = lines[0] if lines else ""
    rows = csv.reader(lines, delimiter=";" if head.count(";") > head.count(",") else ",")
    try:
        columns = [name.strip() for name in next(rows, [])]
        found.problems += _header_problems(columns)
        if not found.problems:
            _read_rows(rows, columns, found)
    except csv.Error as error:
        found.problems.append(Problem(path="stations_csv", found=str(error), expected="a CSV file", line=rows.line_num))
    return found


def _header_problems(columns: list[str]) -> Iterator[Problem]:
    for name in NEEDED:
        if name not in columns:
            yield Problem(path=f"stations_csv.{name}", found="no such column", expected="it in the header", line=1)
    for at, name in enumerate(columns):
        if name not in COLUMNS:
            expected = "one of " + ", ".join(COLUMNS)
            yield Problem(path="stations_csv", found=f"column {name!r}", expected=expected, line=1)
        elif name in columns[:at]:
            yield Problem(path=f"stations_csv.{name}", found="the column a second time", expected="it once", line=1)


def _read_rows(rows: Iterator[list[str]], columns: list[str], found: StationList) -> None:
    known: dict[str, int] = {}
    for line, row in enumerate(rows, start=2):
        if not any(cell.strip() for cell in row):
            continue
        if line > MAX_LINES:
            found.problems.append(
                Problem(path="stations_csv", found="more lines", expected=f"{MAX_LINES} at most", line=line)
            )
            return
        if len(row) != len(columns):
            what = f"{len(row)} values"
            found.problems.append(Problem(path="stations_csv", found=what, expected=f"{len(columns)}", line=line))
            continue
        _read_row(dict(zip(columns, (cell.strip() for cell in row), strict=True)), line, known, found)


def _read_row(row: dict[str, str], line: int, known: dict[str, int], found: StationList) -> None:
    station, evse = StationConfig(id=row["station"]), EvseConfig(id=row["evse"])
    problems = [*_fill(station, _STATION, row, line), *_fill(evse, _EVSE, row, line)]
    problems += _fill_phases(evse, row["phases"], line)
    if station.id in known:
        at = known[station.id]
        problems += _differences(found.stations[at], station, found.lines[at][0], line)
    else:
        at = known[station.id] = len(found.stations)
        found.stations.append(station)
        found.lines.append([])
    found.stations[at].evses.append(evse)
    found.lines[at].append(line)
    found.problems += problems


def _fill(target: StationConfig | EvseConfig, fields: _Fields, row: dict[str, str], line: int) -> Iterator[Problem]:
    for name, descriptor in fields.items():
        text = row.get(name, "")
        if not text:
            continue
        value: int | str | bool | None = text
        if descriptor.type == FieldDescriptor.TYPE_INT64:
            value = int(text) if re.fullmatch(r"-?[0-9]{1,15}", text) else None
        elif descriptor.type == FieldDescriptor.TYPE_BOOL:
            value = _WORDS.get(text.lower())
        if value is None:
            expected = "a whole number" if descriptor.type == FieldDescriptor.TYPE_INT64 else "true or false"
            yield Problem(path=f"stations_csv.{name}", found=repr(text[:60]), expected=expected, line=line)
        else:
            setattr(target, name, value)


def _fill_phases(evse: EvseConfig, text: str, line: int) -> Iterator[Problem]:
    for name in text.split():
        phase = _PHASES.get(name.upper())
        if phase is not None:
            evse.phases.append(phase)
        else:
            yield Problem(path="stations_csv.phases", found=repr(name[:60]), expected="L1, L2, L3", line=line)


def _differences(first: StationConfig, again: StationConfig, first_line: int, line: int) -> Iterator[Problem]:
    """What is said of a station again must be what was said before, or nothing."""
    for descriptor, value in again.ListFields():
        name = descriptor.name
        if name not in ("id", "evses") and getattr(first, name) != value:
            found = f"{value!r} for {first.id!r}"
            expected = f"{getattr(first, name)!r} as in line {first_line}, or nothing"
            yield Problem(path=f"stations_csv.{name}", found=found, expected=expected, line=line)
