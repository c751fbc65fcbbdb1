"""Durable key-value tables of one role in one SQLite file.

A put is on disk when it returns: the caller may answer its peer. Not a log of history; the newest value of a key wins.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterable, Iterator
from pathlib import Path

from dgm.errors import TransportError

SCHEMA = """CREATE TABLE IF NOT EXISTS entry
(tbl TEXT NOT NULL, key TEXT NOT NULL, value BLOB NOT NULL, PRIMARY KEY (tbl, key))"""


class Journal:
    """One process owns one file; a second owner is refused by SQLite's exclusive lock."""

    def __init__(self, path: Path) -> None:
        """Open or create. TransportError when the file is held by another process or is not a journal."""
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(path, isolation_level=None, timeout=2.0)
            self._db.execute("PRAGMA locking_mode=EXCLUSIVE")
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=FULL")
            self._db.execute(SCHEMA)
            self._db.execute("BEGIN IMMEDIATE")
            self._db.execute("COMMIT")
        except (sqlite3.Error, OSError) as error:
            raise TransportError(
                f"journal {path}: {error}; expected a file that this process alone may write; "
                "is the same role already running?"
            ) from error

    def put(self, table: str, key: str, value: bytes) -> None:
        """Store durably; replaces."""
        self._db.execute("INSERT OR REPLACE INTO entry VALUES (?, ?, ?)", (table, key, value))

    def put_all(self, table: str, entries: Iterable[tuple[str, bytes | None]]) -> None:
        """Store several durably, all or none, in one write to disk; None deletes."""
        with self._transaction():
            for key, value in entries:
                if value is None:
                    self.delete(table, key)
                else:
                    self.put(table, key, value)

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    def delete(self, table: str, key: str) -> None:
        """Forget a key; an unknown one is no error."""
        self._db.execute("DELETE FROM entry WHERE tbl = ? AND key = ?", (table, key))

    def items(self, table: str) -> dict[str, bytes]:
        """Everything in a table, ordered by key."""
        rows = self._db.execute("SELECT key, value FROM entry WHERE tbl = ? ORDER BY key", (table,))
        return {str(key): bytes(value) for key, value in rows}

    def next_epoch(self) -> int:
        """Number of this start of the role: one more than the last one, durable before it is used."""
        last = self.items("epoch").get("epoch", b"0")
        epoch = int(last) + 1
        self.put("epoch", "epoch", str(epoch).encode())
        return epoch

    def close(self) -> None:
        """Release the file."""
        self._db.close()
