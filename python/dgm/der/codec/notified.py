"""The resource inside a Notification: an element named Resource whose xsi:type says what it is (S18 8.9).

    <Resource xsi:type="DERControlList" all="1" results="1"> ... </Resource>

A type that is not read here is as good as none: the notification then says no more than "fetch it".
"""

from __future__ import annotations

from typing import Any
from xml.etree.ElementTree import Element

from dgm.der.codec.content import SHAPES
from dgm.der.codec.leaf import Fault
from dgm.der.codec.shape import Content, Output
from dgm.der.xml import XSI_NS

TYPE = f"{{{XSI_NS}}}type"


def _read(element: Element) -> Any:
    name = element.get(TYPE, "").rpartition(":")[2]
    shape = SHAPES.get(name)
    return None if shape is None else shape.read(element)


def _write(output: Output, name: str, value: Any) -> None:
    shape = next((shape for shape in SHAPES.values() if shape.cls is type(value)), None)
    if shape is None:
        raise Fault(f"{type(value).__name__}; expected a resource")
    shape.write(output, name, value, f' xmlns:xsi="{XSI_NS}" xsi:type="{shape.type_name}"')


NOTIFIED = Content(_read, _write)
