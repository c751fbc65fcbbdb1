"""The facade's map for people and for their tools: SunSpec-style JSON, CSV and Markdown, all from the same table.

    SITE_MODEL, EVSE_MODEL ──> json (SunSpec's model schema) · csv (address, type, scale, access) · md (a page to read)

What `dgm map evse` prints and what deploy/map holds; a test compares the two.
"""

from __future__ import annotations

import csv
import io
import json
from typing import Any

from dgm.ocpp.models import EVSE_MODEL, SITE_MODEL
from dgm.ocpp.registers import (
    BASE,
    EVSE_UNITS,
    MAP_VERSION,
    MODEL_AT,
    VALID_S_MAX,
    WRITE_BURST,
    WRITE_INTERVAL_MS,
    Group,
    Kind,
    Model,
    Point,
)

MODELS = (SITE_MODEL, EVSE_MODEL)
CSV_COLUMNS = (
    *("model", "unit", "address", "offset", "registers", "name", "sunspec_name", "type", "units", "sf", "access"),
    *("low", "high", "not_known", "group", "symbols", "meaning"),
)


PREFACE = """\
# The EVSE facade, map version {version}

Generated from `python/dgm/ocpp/models.py`: `dgm map evse --format md`. The same is in `evse.csv`, and as SunSpec model
definitions in `model_64910.json` and `model_64911.json`. Model ids of 64000 and above are vendors' own: this map is
DGM's, no SunSpec model of an EVSE exists.

## How to find your way

- Unit 1 is the site, unit n + 1 is EVSE n (1-based, in the order of site.yaml). With more than {units} EVSEs a unit
  holds those of n, n + {units}, n + {twice} one after another, each under its own model header.
- Holding registers (the same as input registers) from {base}: `SunS`, common model 1, the model, end marker. Models
  begin at {model_at}; walk the headers, they say where the next one is.
- Big-endian, high word first. `sf` is a fixed power of ten: 15500 with sf -3 and A is 15.5 A.
- "Not known" is SunSpec's sentinel and never 0: all ones, for signed values the most negative number, for strings
  zeros. Ages have registers of their own: a frozen value can be told from a steady one.
- One request reads values of one moment; no value is ever half old and half new.

## How to write

- A group is written whole, by one request of function 16, or it is refused and nothing happens.
- Every group says how long it holds, 1 to {valid_s} s. Unless it is written again it ends: an EVSE in its fallback, the
  total in the sum of the fallbacks; the heartbeat takes every EVSE to its fallback. The server itself ends it: the
  register of a cap in A then shows the fallback, that of the time 0.
- A sequence number must be newer than the one held, by less than 32768; after 65534 comes 0. Once the limit is in force
  the number is echoed.
- Caps only lower: the limits of the site, the utility and the CPO hold besides.
- The heartbeat puts you in control. Release ends everything that was written, and DGM shares by its own limits.
- Where two clients write the same group the last one wins; it is counted, and logged with both names.

| exception | why |
|---|---|
| 1 | the role in the client's certificate may not write this |
| 2 | no such register, or it is read-only |
| 3 | part of a group or of a value, out of range, no time or too long a time, a sequence number that is not newer |
| 6 | too soon: per client and group {burst} at once, then one per {interval_ms} ms |
| 11 | no such unit |
"""


def as_json(model: Model) -> str:
    """One model as SunSpec's model definitions are written."""
    body = {"id": model.id, "group": _group_json(model)}
    return json.dumps(body, indent=2) + "\n"


def _group_json(model: Model) -> dict[str, Any]:
    return {
        "name": model.name,
        "type": "group",
        "label": model.label,
        "desc": model.text,
        "points": [_point_json(point, model) for point in model.points],
    }


def _point_json(point: Point, model: Model) -> dict[str, Any]:
    found: dict[str, Any] = {"name": point.label, "type": point.kind.sunspec, "size": point.size, "mandatory": "M"}
    if point.name in ("ID", "L"):
        found |= {"value": point.fixed} if point.name == "ID" else {}
        return found | {"static": "S", "label": _words(point.name), "desc": _sentence(point, model)}
    if point.units:
        found["units"] = point.units
    if point.sf is not None:
        found["sf"] = point.sf
    if point.write is not None:
        found["access"] = "RW"
    if point.symbols:
        found["symbols"] = [{"name": name, "value": value} for value, name in point.symbols]
    return found | {"label": _words(point.name), "desc": _sentence(point, model)}


def _words(name: str) -> str:
    return name.replace("_", " ")


def _sentence(point: Point, model: Model) -> str:
    group = _group_of(point, model)
    return point.text if group is None else f"{point.text}. Written together: {', '.join(_labels(group, model))}"


def _labels(group: Group, model: Model) -> list[str]:
    return [model.point(name).label for name in group.points]


def _group_of(point: Point, model: Model) -> Group | None:
    return next((group for group in model.groups if point.name in group.points), None)


def as_csv() -> str:
    """Every point of both models, a line each; addresses are those of the first model in its unit."""
    text = io.StringIO()
    lines = csv.writer(text, lineterminator="\n")
    lines.writerow(CSV_COLUMNS)
    for model in MODELS:
        lines.writerows(_row(point, model) for point in model.points)
    return text.getvalue()


def _row(point: Point, model: Model) -> tuple[object, ...]:
    group, write = _group_of(point, model), point.write
    offset = model.offsets[point.name]
    return (
        *(model.id, _unit_of(model), MODEL_AT + offset, offset, point.size, point.name, point.label),
        *(point.kind.sunspec, point.units, "" if point.sf is None else point.sf, "RW" if write else "R"),
        "" if write is None else write.low,
        "" if write is None else _high(point),
        _absent(point),
        "" if group is None else group.name,
        " ".join(f"{value}={name}" for value, name in point.symbols),
        point.text,
    )


def _unit_of(model: Model) -> str:
    return "1" if model is SITE_MODEL else "n + 1"


def _high(point: Point) -> str:
    high = None if point.write is None else point.write.high
    return "of the EVSE" if high is None else str(high)


def _absent(point: Point) -> str:
    if point.kind is Kind.TEXT:
        return "zeros"
    return f"0x{point.kind.absent % (1 << 16 * point.size):0{4 * point.size}X}"


def as_markdown() -> str:
    """A page to read: how to find the models, what the values mean, how to write."""
    preface = PREFACE.format(
        version=MAP_VERSION,
        units=EVSE_UNITS,
        twice=2 * EVSE_UNITS,
        base=BASE,
        model_at=MODEL_AT,
        valid_s=VALID_S_MAX,
        burst=WRITE_BURST,
        interval_ms=WRITE_INTERVAL_MS,
    )
    return "\n".join([preface, *(line for model in MODELS for line in _section(model))])


def _section(model: Model) -> list[str]:
    head = [
        f"## Model {model.id}: {model.label} (unit {_unit_of(model)})",
        "",
        f"{model.text}. {model.size} registers.",
        "",
        "| address | registers | name | SunSpec name | type | unit | access | meaning |",
        "|---|---|---|---|---|---|---|---|",
    ]
    return [*head, *(_line(point, model) for point in model.points), ""]


def _line(point: Point, model: Model) -> str:
    scaled = "" if point.sf is None else f" x 10^{point.sf}"
    access = "R" if point.write is None else f"RW {point.write.low}..{_high(point)}"
    group = _group_of(point, model)
    symbols = ", ".join(f"{value} {name}" for value, name in point.symbols)
    meaning = point.text + (f" ({symbols})" if symbols else "") + (f"; group {group.name}" if group else "")
    cells = (MODEL_AT + model.offsets[point.name], point.size, f"`{point.name}`", point.label, point.kind.sunspec)
    return "| " + " | ".join([*map(str, cells), f"{point.units}{scaled}", access, meaning]) + " |"


def documents() -> dict[str, str]:
    """File name -> text of everything that is kept in deploy/map."""
    models = {f"model_{model.id}.json": as_json(model) for model in MODELS}
    return {**models, "evse.csv": as_csv(), "evse.md": as_markdown()}


def printed(form: str) -> str:
    """What `dgm map evse` prints; form: json (a list of both models), csv or md."""
    match form:
        case "json":
            return json.dumps([json.loads(as_json(model)) for model in MODELS], indent=2)
        case "csv":
            return as_csv()
        case _:
            return as_markdown()
