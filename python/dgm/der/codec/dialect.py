"""Which edition of the standard and which version of CSIP-AUS a document is written in."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from dgm.der.xml import AUS_13_BETA_NS, AUS_13_NS, AUS_NS


class Edition(Enum):
    """Edition of IEEE 2030.5."""

    S18 = "18"
    S23 = "23"


SCHEMA_VERSION = {Edition.S18: None, Edition.S23: "2.2"}
"""The schemaVer of the top element (S23: SHALL be there)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """What is written; every dialect is read. aus_namespace None: nothing of CSIP-AUS.

    Elements that the dialect does not know are left out: what is sent is valid there. CSIP-AUS extends 2018; nobody has
    published a schema of it for 2023.
    """

    edition: Edition = Edition.S18
    aus_namespace: str | None = AUS_NS

    def knows(self, origin: str) -> bool:
        """Whether elements of an origin (schema table) exist in this dialect."""
        match origin:
            case "":
                return True
            case "aus":
                return self.aus_namespace is not None
            case "aus13":
                return self.aus_namespace in (AUS_13_NS, AUS_13_BETA_NS)
            case _:
                return origin == self.edition.value


DEFAULT = Dialect()
