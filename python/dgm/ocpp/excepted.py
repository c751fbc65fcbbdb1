"""Frames that were not passed on unchanged, or that are ours, as effects: counted, and listed by the audit file."""

from __future__ import annotations

from dgm.ocpp.events import Direction, Excepted, Reason
from dgm.ocpp.frame import Head
from dgm.ocpp.store import StationMemory


def kept(memory: StationMemory, reason: Reason, head: Head | None, raw: bytes, action: str = "") -> Excepted:
    """A peer's frame that went no further. head None: it has none that can be read. action: of an answer."""
    memory.counters.excepted += 1
    message_id, named = (head.id, head.action or action) if head else ("", "")
    return Excepted(reason=reason, direction=Direction.LOCAL, id=message_id, action=named, raw=raw)


def ours(memory: StationMemory, reason: Reason, direction: Direction, head: Head, raw: bytes) -> Excepted:
    """A frame of ours that goes out."""
    memory.counters.excepted += 1
    return Excepted(reason=reason, direction=direction, id=head.id, action=head.action, raw=raw)
