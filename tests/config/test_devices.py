"""Device tables are read strictly, checked by the core, and travel with the site that names them."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from dgm import _core, config, document
from dgm.api.core.v1.device_pb2 import DeviceTable
from dgm.cli import check
from dgm.devices import tables
from dgm.errors import ConfigError

OWN: dict[str, Any] = {
    "title": "A meter of our own",
    "types": ["METER"],
    "map": {
        "name": "own",
        "points": [
            {"name": "power", "table": "INPUT", "address": 10, "type": "I32", "scale_point": "power_sf"},
            {"name": "power_sf", "table": "INPUT", "address": 12, "type": "I16"},
        ],
    },
    "measurements": [{"metric": "POWER", "point": "power", "ct_scaled": True}],
}


def site(device: str, *, kind: str = "METER", **others: object) -> str:
    """A site whose meter has a device table."""
    modbus = {"host": "10.0.0.1", "port": 502, "device": device}
    grid = {"id": "grid", "import_limit_w": 1, "current_limit_ma": 1, "max_uncontrolled_w": 1, "meter": "meter"}
    assets = [
        {"id": "meter", "type": "METER", "circuit": "grid", "modbus": {"host": "10.0.0.1", "port": 502}},
        {"id": "device", "type": kind, "circuit": "grid", "modbus": modbus},
    ]
    return yaml.safe_dump({"site": {"id": "x"}, "circuits": [grid], "assets": assets, **others})


def problems_of(text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        config.parse(text)
    return [str(problem) for problem in caught.value.problems]


@pytest.mark.parametrize("name", tables.names())
def test_every_table_that_comes_with_dgm_is_good_and_says_where_its_facts_come_from(name: str) -> None:
    table = tables.load(name)
    assert table.map.name == name
    assert table.title
    assert table.source
    assert _core.check_device_table(table.SerializeToString()) == []


def test_a_table_that_an_asset_names_travels_with_the_site() -> None:
    parsed = config.parse(site("abb_b23"))
    assert [table.map.name for table in parsed.devices] == ["abb_b23"]
    assert len(parsed.devices[0].map.points) == 10
    _core.Field(parsed.SerializeToString(), 1)


def test_a_site_may_bring_tables_of_its_own() -> None:
    parsed = config.parse(site("own", devices=[OWN]))
    assert [table.map.name for table in parsed.devices] == ["own"]
    own = {**OWN, "map": {**OWN["map"], "name": "abb_b23"}}
    replaced = config.parse(site("abb_b23", devices=[own]))
    assert replaced.devices[0].title == "A meter of our own", "its own goes before the one that comes with DGM"


def test_a_device_that_nobody_has_a_table_for_is_refused_with_the_names_there_are() -> None:
    (problem,) = problems_of(site("sdm630"))
    assert problem.startswith("assets[1].modbus.device (line ")
    assert "found 'sdm630'; expected a table under `devices`, or one of abb_b23, " in problem


def test_a_table_for_another_type_of_asset_is_refused() -> None:
    (problem,) = problems_of(site("sma_storage"))
    assert "found sma_storage for an asset of another type; expected an asset of type BATTERY" in problem


def test_a_ratio_without_a_table_is_refused_and_one_with_a_table_gets_its_default() -> None:
    parsed = config.parse(site("own", devices=[OWN]).replace("device: own", "device: own\n    ct_primary_a: 400"))
    assert parsed.assets[1].modbus.ct_secondary_a == 5
    (problem,) = problems_of(site("").replace("device: ''", "ct_primary_a: 400"))
    assert "expected nothing without a device table" in problem


def test_what_is_wrong_with_a_table_is_told_by_its_line_and_all_at_once() -> None:
    text = """
title: broken
types: [METER]
map:
  name: broken
  points:
    - {name: power, table: HOLDING, address: 10, type: I32}
    - {name: other, table: HOLDING, address: 11, type: U16, scale_point: nothing}
    - {name: energy, table: HOLDING, address: 65535, type: U32}
measurements:
  - {metric: POWER, point: nothing}
"""
    with pytest.raises(ConfigError) as caught:
        tables.parse(text)
    told = [str(problem) for problem in caught.value.problems]
    assert [problem.line for problem in caught.value.problems] == [8, 9]
    assert told[0].startswith('map.points[1].scale_point (line 8): found "nothing", which is no point;')
    assert told[1].startswith("map.points[2].address (line 9): found energy at 65535, 2 registers;")


def test_overlapping_points_are_refused_by_name_and_address() -> None:
    broken = yaml.safe_dump(OWN).replace("address: 12", "address: 11")
    with pytest.raises(
        ConfigError, match=r"points\[1\].address .*: found power_sf at INPUT 11; .* power at INPUT 10..11"
    ):
        tables.parse(broken)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ("colour: red", "unknown key 'colour'"),
        ("types: [METER]", "the key 'types' a second time"),
        ("control: {power: power, unit: PERCENTAGE}", "found 'PERCENTAGE'; expected one of WATTS, PERCENT"),
        ("control: {power: power}", "control.power"),
    ],
)
def test_a_table_is_read_as_strictly_as_a_site(change: str, expected: str) -> None:
    with pytest.raises(ConfigError) as caught:
        tables.parse(yaml.safe_dump(OWN) + change + "\n")
    assert expected in str(caught.value)


def test_a_table_twice_in_a_site_is_refused() -> None:
    (problem,) = problems_of(site("own", devices=[OWN, OWN]))
    assert "devices[1].map.name" in problem
    assert "duplicate name 'own', first at devices[0]" in problem


def test_the_core_refuses_a_site_whose_table_did_not_come_along() -> None:
    parsed = config.parse(site("own", devices=[OWN]))
    del parsed.devices[:]
    with pytest.raises(_core.CoreError, match=r"assets.device.modbus.device: found own; expected the name of a device"):
        _core.Field(parsed.SerializeToString(), 1)


def test_doubtful_tables_are_named_by_the_check() -> None:
    doubtful = config.parse(site("janitza_umg"))
    assert check.unverified_devices(doubtful) == ["device: janitza_umg"]
    assert check.unverified_devices(config.parse(site("abb_b23"))) == []


def test_any_text_is_a_table_or_a_list_of_problems() -> None:
    for text in ("", "[]", "a: b", "map: 3", "\t", "map: {points: [3]}"):
        assert document.read(text, DeviceTable())[0], text
