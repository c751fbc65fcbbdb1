"""The manifest of the relay: one JSON line per frame that was not passed on unchanged, or that is ours.

    Excepted ──> ocpp-exceptions.jsonl ──(at MAX_BYTES)──> ocpp-exceptions.1.jsonl (the one before is dropped)

Holds hashes, never payloads. direction: "north" and "south" for frames of ours by where they went, "local" for a peer's
frame that went no further. A full disk is counted and disturbs nothing.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import IO

from dgm.log import logger
from dgm.ocpp.events import Excepted

FILE_NAME = "ocpp-exceptions.jsonl"
MAX_BYTES = 64_000_000
"""About 250,000 lines: hours of a site with 100 EVSEs. Two files of this size at most."""


class AuditFile:
    """Appends lines at once, so that a reader beside us sees them. Reopens by itself after an error."""

    def __init__(self, state_dir: Path, *, max_bytes: int = MAX_BYTES) -> None:
        self._path = state_dir / FILE_NAME
        self._max_bytes = max_bytes
        self._file: IO[bytes] | None = None
        self._size = 0
        self._is_failing = False

    def write(self, station_id: str, excepted: Excepted, utc_ms: int) -> bool:
        """One line: utc_ms, station, direction, kind, id, action, sha256 of the bytes. False: it is lost."""
        line = {
            "utc_ms": utc_ms,
            "station": station_id,
            "direction": excepted.direction.value,
            "kind": excepted.reason.value,
            "id": excepted.id,
            "action": excepted.action,
            "sha256": hashlib.sha256(excepted.raw).hexdigest(),
        }
        return self._append(json.dumps(line, separators=(",", ":")).encode() + b"\n")

    def close(self) -> None:
        """Release the file."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _append(self, line: bytes) -> bool:
        try:
            if self._size + len(line) > self._max_bytes:
                self._rotate()
            if self._file is None:
                self._file = self._open()
            self._file.write(line)
            self._size += len(line)
            self._is_failing = False
            return True
        except OSError as error:
            self.close()
            if not self._is_failing:
                logger("ocpp").error("audit file fails", path=str(self._path), error=error.strerror or str(error))
            self._is_failing = True
            return False

    def _open(self) -> IO[bytes]:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        opened = self._path.open("ab", buffering=0)
        self._size = opened.tell()
        return opened

    def _rotate(self) -> None:
        self.close()
        if self._path.exists():
            self._path.replace(self._path.with_suffix(".1.jsonl"))
        self._size = 0
