"""The DER facade's map: SunSpec's layouts are the Alliance's, our models keep its schema, the documents agree."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
import sunspec2.device
import sunspec2.mdef
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from dgm.cli.main import app
from dgm.der import registers
from dgm.der.map_documents import DER_MAP
from dgm.der.models import GATEWAY_MODEL, KINDS, LIMIT_MODEL, STANDARD
from dgm.maps.documents import as_json
from dgm.maps.sunspec import layouts
from dgm.maps.table import Kind, Model, Point, decode, encode

ROOT = Path(__file__).resolve().parents[2]
MAP = ROOT / "deploy" / "map"
OWN = (GATEWAY_MODEL, LIMIT_MODEL)
EVERY = (*STANDARD.values(), *OWN)
MODELS_OF_SUNSPEC = Path(sunspec2.device.__file__).parent / "models" / "json"
own = pytest.mark.parametrize("model", OWN, ids=lambda model: model.name)


def any_value(point: Point) -> st.SearchStrategy[object]:
    if point.fixed is not None:
        return st.just(point.fixed)
    if point.kind is Kind.TEXT:
        return st.none() | st.text(st.characters(codec="ascii", min_codepoint=33), min_size=1, max_size=2 * point.size)
    if point.kind is Kind.SCALE:
        return st.integers(-10, 10)
    return st.none() | st.integers(*point.kind.bounds)


def definition(model: Model) -> dict[str, Any]:
    if model in OWN:
        return json.loads(as_json(model))  # type: ignore[no-any-return]
    text = (MODELS_OF_SUNSPEC / f"model_{model.id}.json").read_text(encoding="utf-8")
    return json.loads(text)  # type: ignore[no-any-return]


def test_the_layouts_are_those_of_the_published_models() -> None:
    lines = (ROOT / "dgm_core" / "tables" / "sunspec.txt").read_text(encoding="utf-8").splitlines()
    published = {int(line.split(" ")[0]): line for line in lines if line[0].isdigit()}
    assert layouts() == {model_id: published[model_id] for model_id in STANDARD}


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_an_independent_sunspec_library_reads_every_value_of_every_model(data: st.DataObject) -> None:
    model = data.draw(st.sampled_from(EVERY), label="model")
    values = {point.name: data.draw(any_value(point), label=point.name) for point in model.read}
    published = definition(model)
    sunspec2.device.add_mappings(published["group"])
    words = encode(model, values).ljust(2 * model.size, b"\xff")  # type: ignore[arg-type]
    theirs = sunspec2.device.Model(model.id, data=words, model_def=published)
    for point in model.read:
        found = at(theirs, point.label).value
        assert (found or None if point.kind is Kind.TEXT else found) == values[point.name], point.name
    assert decode(model, words[: model.form.size]) == values


def at(theirs: Any, label: str) -> Any:
    """A point of theirs by our name of it: "Crv1.Pt2.V" is point V of the second Pt of the first Crv."""
    *groups, name = label.split(".")
    for group in groups:
        found = theirs.groups.get(group)
        theirs = (
            theirs.groups[group.rstrip("0123456789")][int(group[-2:].lstrip("vtl")) - 1] if found is None else found
        )
    return theirs.points[name]


@own
def test_the_json_keeps_to_the_schema_of_sunspec_models(model: Model) -> None:
    schema = json.loads((MODELS_OF_SUNSPEC / "schema.json").read_text(encoding="utf-8"))
    jsonschema_rs.validator_for(schema).validate(json.loads(as_json(model)))
    assert sunspec2.mdef.validate_model_def(json.loads(as_json(model))) == ""


@own
def test_what_is_read_stands_before_what_is_written_and_fits_one_request(model: Model) -> None:
    is_written = [point.write is not None for point in model.points]
    assert is_written == sorted(is_written)
    assert model.size <= 125
    assert len({point.name for point in model.points}) == len({point.label for point in model.points})


@own
def test_the_points_of_a_group_follow_one_another_and_a_lease_ends_it(model: Model) -> None:
    names = [point.name for point in model.points]
    for group in model.groups:
        start = names.index(group.points[0])
        assert tuple(names[start : start + len(group.points)]) == group.points
        assert group.lease in ("", group.points[-1])


def test_models_stand_one_behind_the_other_and_every_register_is_found_in_its_own() -> None:
    ends = [address + model.size for model, _, address in registers.PLACES]
    assert [address for _, _, address in registers.PLACES[1:]] == ends[:-1]
    assert ends[-1] == registers.END_AT
    for model, index, address in registers.PLACES:
        assert registers.located(1, address) == (index, model, 0)
        assert registers.located(1, address + model.size - 1) == (index, model, model.size - 1)
    assert [index for model, index, _ in registers.PLACES if model is LIMIT_MODEL] == list(range(len(KINDS)))


def test_what_is_not_known_is_a_sentinel_and_never_zero() -> None:
    for model in EVERY:
        found = decode(model, encode(model, {}))
        fixed = {point.name: point.fixed for point in model.read if point.fixed is not None}
        assert {name: value for name, value in found.items() if value is not None} == fixed


def test_the_documents_kept_are_those_that_the_table_gives() -> None:
    published = DER_MAP.documents()
    kept = {name: (MAP / name).read_text(encoding="utf-8") for name in published}
    assert kept == published, "run dgm map der --format json, csv, md and keep what it prints"


@pytest.mark.parametrize(("form", "name"), [("csv", "der.csv"), ("md", "der.md")])
def test_the_command_line_prints_the_map(form: str, name: str) -> None:
    printed = CliRunner().invoke(app, ["map", "der", "--format", form])
    assert (printed.exit_code, printed.stdout) == (0, (MAP / name).read_text(encoding="utf-8"))


def test_the_command_line_prints_both_own_models_as_json() -> None:
    printed = json.loads(CliRunner().invoke(app, ["map", "der", "--format", "json"]).stdout)
    assert printed == [json.loads(as_json(model)) for model in OWN]
