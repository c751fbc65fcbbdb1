"""The books of all stations in one SQLite file, written by a thread of their own.

    WriteBooks(token, changes) ──> queue ──> one transaction, fsync ──> done(token, True) on the event loop

Changes of many stations share a transaction while they wait, so a hundred stations cost few fsyncs. What cannot be
written is told so, of each of them: their stations then get no answer and keep their messages.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from queue import SimpleQueue

from dgm.errors import TransportError
from dgm.ocpp.books import Books, Change, DropFact, DropMessage, Message, PutFact, PutMessage, Refused

SCHEMA = """
CREATE TABLE IF NOT EXISTS message (station TEXT NOT NULL, sequence INTEGER NOT NULL, message_id TEXT NOT NULL,
 action TEXT NOT NULL, raw BLOB NOT NULL, digest BLOB NOT NULL, answer BLOB NOT NULL, provisional_id INTEGER,
 failures INTEGER NOT NULL, PRIMARY KEY (station, sequence)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS fact (station TEXT NOT NULL, name TEXT NOT NULL, value BLOB NOT NULL,
 PRIMARY KEY (station, name));
CREATE TABLE IF NOT EXISTS refused (id INTEGER PRIMARY KEY, station TEXT NOT NULL, message_id TEXT NOT NULL,
 action TEXT NOT NULL, raw BLOB NOT NULL, why TEXT NOT NULL);
"""

BATCH_MAX = 256
"""Changes in one transaction at most."""

Done = Callable[[int, bool], None]
"""Given a token, and whether its changes are on disk."""


class BooksFile:
    """One process owns one file; see `dgm.journal`.

    changed: called on the loop with the error when the disk begins to fail, and with None when it writes again.
    """

    def __init__(self, path: Path, *, changed: Callable[[str | None], None]) -> None:
        self._path = path
        self._changed = changed
        self._is_failing = False
        self._queue: SimpleQueue[tuple[str, int, Sequence[Change], Done] | None] = SimpleQueue()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch(mode=0o600)  # it names drivers
            self._db = sqlite3.connect(path, isolation_level=None, timeout=2.0, check_same_thread=False)
            self._db.execute("PRAGMA locking_mode=EXCLUSIVE")
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=FULL")
            self._db.executescript(SCHEMA)
            self._db.execute("BEGIN IMMEDIATE")
            self._db.execute("COMMIT")
        except (sqlite3.Error, OSError) as error:
            raise TransportError(
                f"books {path}: {error}; expected a file that this process alone may write; "
                "is the ocpp role already running?"
            ) from error

    def load(self, station: str) -> Books:
        """The books of a station as they are on disk. Before `start` only. TransportError when they cannot be read."""
        try:
            return self._load(station)
        except sqlite3.Error as error:
            raise TransportError(f"books {self._path}: {error}; expected a file that DGM wrote") from error

    def _load(self, station: str) -> Books:
        columns = "sequence, message_id, action, raw, digest, answer, provisional_id, failures"
        rows = self._db.execute(f"SELECT {columns} FROM message WHERE station = ? ORDER BY sequence", (station,))
        messages = {
            row[0]: Message(
                sequence=row[0],
                message_id=row[1],
                action=row[2],
                raw=row[3],
                digest=row[4],
                answer=row[5],
                provisional_id=row[6],
                failures=row[7],
            )
            for row in rows
        }
        facts = self._db.execute("SELECT name, value FROM fact WHERE station = ? ORDER BY rowid", (station,))
        return Books(messages=messages, facts={str(name): bytes(value) for name, value in facts})

    def count_refused(self) -> int:
        """Messages that a CSMS refused for good. Before `start` only."""
        try:
            return int(self._db.execute("SELECT count(*) FROM refused").fetchone()[0])
        except sqlite3.Error as error:
            raise TransportError(f"books {self._path}: {error}; expected a file that DGM wrote") from error

    def start(self) -> None:
        """Begin to write, on behalf of the running event loop."""
        self._loop = asyncio.get_running_loop()
        self._thread = threading.Thread(target=self._run, name="dgm-books", daemon=True)
        self._thread.start()

    def write(self, station: str, token: int, changes: Sequence[Change], done: Done) -> None:
        """Put changes on disk in the order of the calls, then `done` on the loop."""
        self._queue.put((station, token, changes, done))

    def close(self) -> None:
        """Write what waits, then release the file."""
        if self._thread is not None:
            self._queue.put(None)
            self._thread.join(timeout=5.0)
        with contextlib.suppress(sqlite3.Error):
            self._db.close()

    def _run(self) -> None:
        while True:
            batch = [self._queue.get()]
            while len(batch) < BATCH_MAX and not self._queue.empty():
                batch.append(self._queue.get())
            jobs = [job for job in batch if job is not None]
            self._write(jobs)
            if len(jobs) < len(batch):
                return

    def _write(self, jobs: list[tuple[str, int, Sequence[Change], Done]]) -> None:
        error_text: str | None = None
        try:
            self._db.execute("BEGIN IMMEDIATE")
            for station, _, changes, _ in jobs:
                for change in changes:
                    self._apply(station, change)
            self._db.execute("COMMIT")
        except sqlite3.Error as error:
            error_text = f"{self._path}: {error}"
            self._roll_back()
        if self._is_failing != (error_text is not None):
            self._is_failing = error_text is not None
            self._tell(self._changed, error_text)
        for _, token, _, done in jobs:
            self._tell(done, token, error_text is None)

    def _roll_back(self) -> None:
        with contextlib.suppress(sqlite3.Error):
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")

    def _tell(self, whom: Callable[..., None], *what: object) -> None:
        assert self._loop is not None, "started"
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody is left to be told
            self._loop.call_soon_threadsafe(whom, *what)

    def _apply(self, station: str, change: Change) -> None:
        match change:
            case PutMessage():
                message = change.message
                row = (station, message.sequence, message.message_id, message.action, message.raw, message.digest)
                rest = (message.answer, message.provisional_id, message.failures)
                self._db.execute("INSERT OR REPLACE INTO message VALUES (?,?,?,?,?,?,?,?,?)", row + rest)
            case DropMessage():
                self._db.execute("DELETE FROM message WHERE station=? AND sequence=?", (station, change.sequence))
            case Refused():
                message = change.message
                values = (station, message.message_id, message.action, message.raw, change.why)
                self._db.execute("INSERT INTO refused VALUES (NULL,?,?,?,?,?)", values)
                self._db.execute("DELETE FROM message WHERE station=? AND sequence=?", (station, message.sequence))
            case PutFact():
                fact = (station, change.name, change.value)
                self._db.execute("INSERT OR REPLACE INTO fact VALUES (?,?,?)", fact)
            case DropFact():
                self._db.execute("DELETE FROM fact WHERE station=? AND name=?", (station, change.name))
