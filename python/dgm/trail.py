"""A bounded file of JSON lines that is kept for people: what was done, one event a line.

    append ──> <name>.jsonl ──(at max_bytes)──> <name>.1.jsonl (the one before is dropped)

Not a journal: nothing is read back at start. A full disk is told once and disturbs nothing.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

from dgm.log import logger


class Trail:
    """Appends lines at once, so that a reader beside us sees them. Reopens by itself after an error."""

    def __init__(self, path: Path, *, max_bytes: int, part: str) -> None:
        """`path` ends in .jsonl. Two files of `max_bytes` at most. part: whose trail it is, for the log."""
        self._path = path
        self._max_bytes = max_bytes
        self._part = part
        self._file: IO[bytes] | None = None
        self._size = 0
        self._is_failing = False

    def append(self, line: Mapping[str, Any]) -> bool:
        """One line. False: it is lost."""
        raw = json.dumps(line, separators=(",", ":")).encode() + b"\n"
        try:
            if self._size + len(raw) > self._max_bytes:
                self._rotate()
            if self._file is None:
                self._file = self._open()
            self._file.write(raw)
            self._size += len(raw)
            self._is_failing = False
            return True
        except OSError as error:
            self.close()
            if not self._is_failing:
                reason = error.strerror or str(error)
                logger(self._part).error("audit file fails", path=str(self._path), error=reason)
            self._is_failing = True
            return False

    def close(self) -> None:
        """Release the file."""
        if self._file is not None:
            self._file.close()
            self._file = None

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
