"""The OCPP versions that a station and its CSMS can agree on, by their WebSocket subprotocols."""

from __future__ import annotations

from enum import Enum


class Version(Enum):
    """An OCPP version."""

    V16 = "ocpp1.6"
    V201 = "ocpp2.0.1"
    V21 = "ocpp2.1"

    @property
    def is_2x(self) -> bool:
        """2.0.1 or 2.1."""
        return self is not Version.V16


SUBPROTOCOLS = tuple(version.value for version in Version)


def version_of(subprotocol: str, *, assumed: Version = Version.V16) -> Version:
    """The version of a negotiated subprotocol; `assumed` where none was negotiated."""
    return Version(subprotocol) if subprotocol in SUBPROTOCOLS else assumed
