"""Why a request is refused: the closed list of reasons that every service of the site uses.

The cores return a Refusal; the shell turns it into a canonical gRPC code with a google.rpc.ErrorInfo (domain "dgm").
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Reason(StrEnum):
    """`ErrorInfo.reason`. A test reaches each of them through the API."""

    FIELD_INVALID = "FIELD_INVALID"
    """A field is missing, malformed, or contradicts another one."""
    OUT_OF_RANGE = "OUT_OF_RANGE"
    """A number is outside what is accepted; the message says the range."""
    UNKNOWN_CIRCUIT = "UNKNOWN_CIRCUIT"
    UNKNOWN_ASSET = "UNKNOWN_ASSET"
    NOT_METERED = "NOT_METERED"
    """A NET quantity was put on a circuit without a meter."""
    NOT_OWNER = "NOT_OWNER"
    """The id belongs to another source: a source changes and deletes only its own."""
    TOO_MANY = "TOO_MANY"
    """The bounded table is full."""
    ALREADY_OVER = "ALREADY_OVER"
    """The interval ended before the request came."""
    REQUEST_REUSED = "REQUEST_REUSED"
    """The request_id was used before with another body."""
    OLD_REPORT = "OLD_REPORT"
    """A report older than one already taken."""
    NO_DECISION = "NO_DECISION"
    """Nothing has been decided yet; try again in a second."""
    NO_DEVICE = "NO_DEVICE"
    """The asset has no device that can be asked, or the device is none of the kind asked for."""
    NO_MODEL = "NO_MODEL"
    """The device has no such SunSpec model; the message says which it has."""
    DEVICE_SILENT = "DEVICE_SILENT"
    """The device did not answer, or its line found no time; the message says which."""
    OPT_OUT_REFUSED = "OPT_OUT_REFUSED"
    """The utility profile does not permit it, or there is nothing to opt out of; the message says which."""
    UNKNOWN_CONTROL = "UNKNOWN_CONTROL"
    DEVICE_REFUSED = "DEVICE_REFUSED"
    """The device answered, but not with what was asked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """A typed no: what is wrong, in words, and in which field."""

    reason: Reason
    message: str
    field: str = ""
