"""Bounded reading of XML trees, the namespaces of IEEE 2030.5 and CSIP-AUS, and text that is safe to write.

No document type declarations, no entities, no depth: what such a document could do to a reader it cannot do here.
Knows nothing of resources; `codec` does.
"""

from __future__ import annotations

import re
from xml.etree.ElementTree import Element, ParseError, XMLParser

from dgm.errors import PeerError

SEP_NS = "urn:ieee:std:2030.5:ns"
XSI_NS = "http://www.w3.org/2001/XMLSchema-instance"
AUS_NS = "https://csipaus.org/ns"
AUS_13_NS = "https://csipaus.org/ns/v1.3"
AUS_13_BETA_NS = "https://csipaus.org/ns/v1.3-beta/storage"
AUS_NAMESPACES = (AUS_NS, AUS_13_NS, AUS_13_BETA_NS, "http://csipaus.org/ns")
"""All of them are read alike; one is written (`codec.Dialect`)."""

MAX_BODY_BYTES = 1_000_000
MAX_DEPTH = 24
NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def parse(body: bytes) -> Element:
    """The root element. PeerError for anything but bounded UTF-8 XML without declarations of types or entities."""
    if len(body) > MAX_BODY_BYTES:
        raise PeerError(f"document of {len(body)} bytes; expected at most {MAX_BODY_BYTES}")
    # In UTF-8, which is all that is read, a declaration cannot be written otherwise; so nothing of it is ever parsed.
    if b"<!DOCTYPE" in body or b"<!ENTITY" in body:
        raise PeerError("document type declaration or entity; expected none")
    # UTF-8 whatever the document declares: the declaration could name any codec of this Python.
    parser = XMLParser(encoding="utf-8")
    try:
        parser.feed(body)
        root: Element = parser.close()
    except (ParseError, ValueError, AssertionError) as error:
        raise PeerError(f"not well-formed XML: {error}") from error
    _bound_depth(root)
    return root


def _bound_depth(root: Element) -> None:
    level = [root]
    for _ in range(MAX_DEPTH):
        level = [child for element in level for child in element]
        if not level:
            return
    raise PeerError(f"document nested deeper than {MAX_DEPTH} elements")


def escaped(text: str) -> str:
    """Text for an element or a quoted attribute; characters that XML cannot hold become U+FFFD."""
    clean = NOT_XML.sub("\ufffd", text)
    return clean.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace('"', "&quot;")
