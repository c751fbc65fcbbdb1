"""The manifest of the relay: one JSON line per frame that was not passed on unchanged, or that is ours.

    Excepted ──> ocpp-exceptions.jsonl ──(at MAX_BYTES)──> ocpp-exceptions.1.jsonl (the one before is dropped)

Holds hashes, never payloads. direction: "north" and "south" for frames of ours by where they went, "local" for a peer's
frame that went no further. A full disk is counted and disturbs nothing.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from dgm.ocpp.events import Excepted
from dgm.trail import Trail

FILE_NAME = "ocpp-exceptions.jsonl"
MAX_BYTES = 64_000_000
"""About 250,000 lines: hours of a site with 100 EVSEs. Two files of this size at most."""


class AuditFile:
    """The trail of one role."""

    def __init__(self, state_dir: Path, *, max_bytes: int = MAX_BYTES) -> None:
        self._trail = Trail(state_dir / FILE_NAME, max_bytes=max_bytes, part="ocpp")

    def write(self, station_id: str, excepted: Excepted, utc_ms: int) -> bool:
        """One line: utc_ms, station, direction, kind, id, action, sha256 of the bytes. False: it is lost."""
        return self._trail.append(
            {
                "utc_ms": utc_ms,
                "station": station_id,
                "direction": excepted.direction.value,
                "kind": excepted.reason.value,
                "id": excepted.id,
                "action": excepted.action,
                "sha256": hashlib.sha256(excepted.raw).hexdigest(),
            }
        )

    def close(self) -> None:
        """Release the file."""
        self._trail.close()
