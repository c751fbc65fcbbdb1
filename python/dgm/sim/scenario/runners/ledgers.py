"""What one end of an OCPP line knows of money: bills and signed readings, taken from the frames that it saw.

    frames of the station ──Ledger──> bills (begin, end, register)  ┐ equal, or somebody has changed
    frames of the CSMS    ──Ledger──> the same                      ┘ what a driver pays

It reads the messages of 1.6, 2.0.1 and 2.1 as a CPO's back office would. A message that came twice is one.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

SIGNED = b"OCMF|"
REGISTER = "Energy.Active.Import.Register"


@dataclass(frozen=True, slots=True, kw_only=True)
class Edge:
    """The begin or the end of a transaction: when, and what the register said, Wh (None: not told)."""

    kind: str
    stamp: str
    register_wh: float | None


class Ledger:
    """Edges of transactions in the order in which they were first seen, and signed readings by their hash."""

    def __init__(self) -> None:
        self.edges: dict[Edge, int] = {}
        self.signed: dict[str, int] = {}

    def take(self, raw: bytes, utc_ms: int) -> None:
        """A frame; answers and what is no message of money are passed over."""
        at = raw.find(SIGNED)
        if at >= 0:
            self.signed.setdefault(sha256(raw[at:]).hexdigest(), utc_ms)
        if b"Transaction" not in raw:
            return
        edge = edge_of(json.loads(raw))
        if edge is not None:
            self.edges.setdefault(edge, utc_ms)

    def bills(self) -> Iterator[tuple[Edge, Edge]]:
        """Begin and end of each transaction, in order."""
        begin: Edge | None = None
        for edge in self.edges:
            if edge.kind == "started":
                begin = edge
            elif begin is not None:
                yield begin, edge
                begin = None


def edge_of(message: list[Any]) -> Edge | None:
    """The edge that a CALL tells; None: it tells none."""
    kind = billing(message)
    if kind is None:
        return None
    payload = message[3]
    register: Any = payload.get("meterStart" if kind == "started" else "meterStop")
    return Edge(
        kind=kind,
        stamp=str(payload["timestamp"]),
        register_wh=float(register) if register is not None else _sampled(payload),
    )


def billing(message: list[Any]) -> str | None:
    """Whether a CALL opens or closes a bill."""
    match message[2:]:
        case ["StartTransaction", _] | ["TransactionEvent", {"eventType": "Started"}]:
            return "started"
        case ["StopTransaction", _] | ["TransactionEvent", {"eventType": "Ended"}]:
            return "stopped"
    return None


def _sampled(payload: dict[str, Any]) -> float | None:
    for value in payload.get("meterValue", ()):
        for sampled in value.get("sampledValue", ()):
            if sampled.get("measurand", REGISTER) == REGISTER:
                return float(sampled["value"])
    return None
