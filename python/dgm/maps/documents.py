"""A facade's map for people and for their tools: SunSpec-style JSON, CSV and Markdown, all from the same table.

    Published ──> json (SunSpec's model schema) · csv (address, type, scale, access) · md (a page to read)

What `dgm map NAME` prints and what deploy/map holds; a test compares the two.
"""

from __future__ import annotations

import csv
import io
import json
from dataclasses import dataclass
from typing import Any

from dgm.maps.table import Group, Kind, Model, Point

CSV_COLUMNS = (
    *("model", "unit", "address", "offset", "registers", "name", "sunspec_name", "type", "units", "sf", "access"),
    *("low", "high", "not_known", "group", "symbols", "meaning"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """A model and where it stands. unit: as a reader is told it. address: of its first ID there.

    greatest: what stands for the greatest value of points whose range knows none.
    """

    model: Model
    unit: str
    address: int
    greatest: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """The map of one facade. name: of its files. preface: Markdown before the models. placed: the models of our own."""

    name: str
    preface: str
    placed: tuple[Placed, ...]

    @property
    def models(self) -> tuple[Model, ...]:
        """Its models, in order."""
        return tuple(placed.model for placed in self.placed)

    def documents(self) -> dict[str, str]:
        """File name -> text of everything that is kept in deploy/map."""
        models = {f"model_{model.id}.json": as_json(model) for model in self.models}
        return {**models, f"{self.name}.csv": as_csv(self), f"{self.name}.md": as_markdown(self)}

    def printed(self, form: str) -> str:
        """What `dgm map` prints; form: json (a list of all models), csv or md."""
        match form:
            case "json":
                return json.dumps([json.loads(as_json(model)) for model in self.models], indent=2)
            case "csv":
                return as_csv(self)
            case _:
                return as_markdown(self)


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


def as_csv(published: Published) -> str:
    """Every point of all models, a line each; addresses are those of the first of its kind in its unit."""
    text = io.StringIO()
    lines = csv.writer(text, lineterminator="\n")
    lines.writerow(CSV_COLUMNS)
    for placed in published.placed:
        lines.writerows(_row(point, placed) for point in placed.model.points)
    return text.getvalue()


def _row(point: Point, placed: Placed) -> tuple[object, ...]:
    model, group, write = placed.model, _group_of(point, placed.model), point.write
    offset = model.offsets[point.name]
    return (
        *(model.id, placed.unit, placed.address + offset, offset, point.size, point.name, point.label),
        *(point.kind.sunspec, point.units, "" if point.sf is None else point.sf, "RW" if write else "R"),
        "" if write is None else write.low,
        "" if write is None else _high(point, placed),
        _absent(point),
        "" if group is None else group.name,
        " ".join(f"{value}={name}" for value, name in point.symbols),
        point.text,
    )


def _high(point: Point, placed: Placed) -> str:
    high = None if point.write is None else point.write.high
    return placed.greatest if high is None else str(high)


def _absent(point: Point) -> str:
    if point.kind is Kind.TEXT:
        return "zeros"
    return f"0x{point.kind.absent % (1 << 16 * point.size):0{4 * point.size}X}"


def as_markdown(published: Published) -> str:
    """A page to read: how to find the models, what the values mean, how to write."""
    return "\n".join([published.preface, *(line for placed in published.placed for line in _section(placed))])


def _section(placed: Placed) -> list[str]:
    model = placed.model
    head = [
        f"## Model {model.id}: {model.label} (unit {placed.unit})",
        "",
        f"{model.text}. {model.size} registers.",
        "",
        "| address | registers | name | SunSpec name | type | unit | access | meaning |",
        "|---|---|---|---|---|---|---|---|",
    ]
    return [*head, *(_line(point, placed) for point in model.points), ""]


def _line(point: Point, placed: Placed) -> str:
    scaled = "" if point.sf is None else f" x 10^{point.sf}"
    access = "R" if point.write is None else f"RW {point.write.low}..{_high(point, placed)}"
    group = _group_of(point, placed.model)
    symbols = ", ".join(f"{value} {name}" for value, name in point.symbols)
    meaning = point.text + (f" ({symbols})" if symbols else "") + (f"; group {group.name}" if group else "")
    address = placed.address + placed.model.offsets[point.name]
    cells = (address, point.size, f"`{point.name}`", point.label, point.kind.sunspec)
    return "| " + " | ".join([*map(str, cells), f"{point.units}{scaled}", access, meaning]) + " |"
