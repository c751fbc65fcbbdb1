"""XML <-> resources of IEEE 2030.5-2018, -2023 and CSIP-AUS, units and signs converted to DGM's.

    bytes ──xml.parse──> Element ──Shape──> frozen dataclass            decode()
    frozen dataclass ──Shape, in schema order──> Output ──> bytes       encode()

What a type contains is a table made from the published schemas (`schema`), so order, occurrence and ranges are theirs
by construction; what it means to DGM is in `bindings`. On input order does not matter, unknown elements and attributes
are ignored, namespaces are compared by URI. A DER power (positive when delivered) changes sign here and nowhere else.

Why no binding library: generated xsdata classes and pydantic-xml models were measured to take about three times as
long for a list of 100 controls, check no ranges, name no places, and would be a second set of classes.
"""

from __future__ import annotations

from typing import cast, get_args

from dgm.der.codec.bindings import SHAPES
from dgm.der.codec.dialect import DEFAULT, SCHEMA_VERSION, Dialect, Edition
from dgm.der.codec.leaf import Fault
from dgm.der.codec.shape import Output, Shape
from dgm.der.resource import ConnectionPoint, Resource
from dgm.der.xml import AUS_NAMESPACES, SEP_NS, parse
from dgm.errors import PeerError

__all__ = ["DEFAULT", "Dialect", "Edition", "decode", "encode"]


def _roots() -> dict[str, Shape]:
    documents = {name: shape for name, shape in SHAPES.items() if shape.cls in get_args(Resource)}
    roots = {f"{{{SEP_NS}}}{name}": shape for name, shape in documents.items() if name != "ConnectionPointType"}
    return roots | {f"{{{ns}}}ConnectionPoint": SHAPES["ConnectionPointType"] for ns in AUS_NAMESPACES}


_BY_TAG = _roots()
_BY_CLASS: dict[type, Shape] = {shape.cls: shape for shape in _BY_TAG.values()}


def decode(body: bytes) -> Resource:
    """The resource a document holds. PeerError for hostile, malformed or unknown documents; never another exception."""
    root = parse(body)
    shape = _BY_TAG.get(root.tag)
    if shape is None:
        raise PeerError(f"root element {root.tag[:120]}; expected a resource of {SEP_NS}")
    try:
        return cast(Resource, shape.read(root))
    except Fault as fault:
        raise PeerError(str(fault.within(shape.type_name))) from None


def encode(value: Resource, dialect: Dialect = DEFAULT) -> bytes:
    """The document of a resource, in schema order. ValueError with the path for what the schema cannot hold."""
    shape = _BY_CLASS[type(value)]
    is_aus = isinstance(value, ConnectionPoint)
    if is_aus and dialect.aus_namespace is None:
        raise ValueError("ConnectionPoint; a dialect without CSIP-AUS has none")
    version = SCHEMA_VERSION[dialect.edition]
    namespaces = f' xmlns="{SEP_NS}"'
    if dialect.aus_namespace is not None:
        namespaces += f' xmlns:csipaus="{dialect.aus_namespace}"'
    if version is not None and not is_aus:
        namespaces += f' schemaVer="{version}"'
    output = Output(dialect)
    try:
        shape.write(output, "csipaus:ConnectionPoint" if is_aus else shape.type_name, value, namespaces)
    except Fault as fault:
        raise ValueError(str(fault.within(shape.type_name))) from None
    return ('<?xml version="1.0" encoding="UTF-8"?>\n' + "".join(output.parts)).encode()
