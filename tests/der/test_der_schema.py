"""Every type against the published schemas, in every edition and every CSIP-AUS namespace."""

from __future__ import annotations

import dataclasses
from typing import get_args

import pytest
from der_documents import DIALECTS, documents, faults
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from make_schema_table import TABLE, table

from dgm.der import resource as r
from dgm.der.codec import _BY_TAG, Dialect, Edition, decode, encode
from dgm.der.codec.schema import TYPES

SHAPES = {shape.type_name: shape for shape in _BY_TAG.values()}
# A list adds nothing of a namespace to its items.
PAIRS = [
    (name, dialect)
    for name in sorted(SHAPES)
    for dialect in (DIALECTS[1::3] if name.endswith("List") else DIALECTS)
    if name != "ConnectionPointType" or dialect.aus_namespace is not None
]


def named(value: object) -> str:
    if isinstance(value, Dialect):
        return f"{value.edition.name} {value.aus_namespace}"
    return str(value)


def test_the_table_is_what_the_published_schemas_say() -> None:
    assert TABLE.read_text(encoding="utf-8") == table()


def test_every_resource_has_a_type_of_the_schema_and_the_other_way_round() -> None:
    assert {shape.cls for shape in SHAPES.values()} == set(get_args(r.Resource))


def test_every_field_of_a_resource_has_its_element() -> None:
    for shape in SHAPES.values():
        bound = {item.attr for item in shape.items} | {attribute.attr for attribute in shape.by_name.values()}
        assert bound == {field.name for field in dataclasses.fields(shape.cls)}, shape.type_name


def test_every_mandatory_field_is_mandatory_in_the_schema() -> None:
    for shape in SHAPES.values():
        optional = {item.attr for item in shape.items if not item.row.is_required}
        needed = {field.name for field in dataclasses.fields(shape.cls) if field.default is dataclasses.MISSING}
        # A server that lists no description is right, one that gives no status of its own event is not.
        assert not needed & optional, shape.type_name


@pytest.mark.parametrize(("type_name", "dialect"), PAIRS, ids=named)
@settings(max_examples=5, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_any_valid_document_is_read_and_what_is_written_of_it_is_valid(
    type_name: str, dialect: Dialect, data: st.DataObject
) -> None:
    served = data.draw(documents(type_name, dialect))
    assert faults(served, dialect) == []
    value = decode(served)
    sent = encode(value, dialect)
    assert faults(sent, dialect) == [], sent
    assert decode(sent) == _without_what_2023_forbids(value, dialect)


def _without_what_2023_forbids(value: r.Resource, dialect: Dialect) -> r.Resource:
    if isinstance(value, r.DERStatus) and dialect.edition is Edition.S23:
        return dataclasses.replace(value, gen_connect=None, stor_connect=None)
    return value


def test_the_table_knows_every_type_that_is_bound() -> None:
    assert set(SHAPES) <= set(TYPES)
