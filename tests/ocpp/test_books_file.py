"""What is confirmed is on disk, in order, and one process owns the file."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path

import pytest

from dgm.errors import TransportError
from dgm.ocpp.books import Books, Change, DropFact, DropMessage, Message, PutFact, PutMessage, Refused
from dgm.ocpp.gateway.books_file import BooksFile

MESSAGE = Message(
    sequence=3, message_id="m", action="StartTransaction", raw=b"\x00[", digest=b"d", answer=b"{}", provisional_id=9
)
CHANGES: tuple[Change, ...] = (
    PutFact(name="boot", value=b"old"),
    PutMessage(message=MESSAGE),
    PutFact(name="tag:A", value=b""),
    PutFact(name="boot", value=b"new"),
    DropFact(name="tag:A"),
)


async def written(file: BooksFile, station: str, *batches: tuple[Change, ...]) -> list[int]:
    """Write the batches and wait until the last is confirmed; the tokens in the order of confirmation."""
    tokens: list[int] = []
    last = asyncio.Event()

    def done(token: int, is_good: bool) -> None:
        assert is_good
        tokens.append(token)
        if token == len(batches):
            last.set()

    file.start()
    for token, changes in enumerate(batches, start=1):
        file.write(station, token, changes, done)
    await asyncio.wait_for(last.wait(), 10)
    return tokens


async def test_what_is_confirmed_is_found_by_the_next_process(tmp_path: Path) -> None:
    file = BooksFile(tmp_path / "books", changed=pytest.fail)
    assert await written(file, "S1", CHANGES, (PutFact(name="next", value=b"5"),)) == [1, 2]
    with sqlite3.connect(f"file:{tmp_path / 'books'}?mode=ro", uri=True) as db, pytest.raises(sqlite3.Error):
        db.execute("SELECT * FROM fact").fetchall()
    file.close()
    again = BooksFile(tmp_path / "books", changed=pytest.fail)
    assert again.load("S1") == Books(messages={3: MESSAGE}, facts={"boot": b"new", "next": b"5"})
    assert again.load("S2") == Books()
    again.close()


async def test_memory_and_disk_hold_the_same_after_the_same_changes(tmp_path: Path) -> None:
    books = Books()
    changes = (*CHANGES, DropMessage(sequence=3), PutMessage(message=MESSAGE), Refused(message=MESSAGE, why="no"))
    for change in changes:
        books.apply(change)
    file = BooksFile(tmp_path / "books", changed=pytest.fail)
    await written(file, "S1", changes)
    file.close()
    again = BooksFile(tmp_path / "books", changed=pytest.fail)
    assert again.load("S1") == books
    assert again.count_refused() == 1
    again.close()


def test_a_second_owner_is_refused_by_name(tmp_path: Path) -> None:
    file = BooksFile(tmp_path / "books", changed=pytest.fail)
    with pytest.raises(TransportError, match="already running"):
        BooksFile(tmp_path / "books", changed=pytest.fail)
    file.close()


async def test_what_the_disk_refuses_is_told_once_and_of_each_change(tmp_path: Path) -> None:
    told: asyncio.Queue[object] = asyncio.Queue()
    file = BooksFile(tmp_path / "books", changed=told.put_nowait)
    file._db.execute("ALTER TABLE fact RENAME TO away")
    file.start()
    for token in (1, 2):
        file.write("S1", token, CHANGES, lambda token, is_good: told.put_nowait((token, is_good)))
        if token == 1:
            assert "no such table" in str(await asyncio.wait_for(told.get(), 10))
        assert await asyncio.wait_for(told.get(), 10) == (token, False)
    file._db.execute("ALTER TABLE away RENAME TO fact")
    file.write("S1", 3, CHANGES, lambda token, is_good: told.put_nowait((token, is_good)))
    assert [await asyncio.wait_for(told.get(), 10) for _ in range(2)] == [None, (3, True)]
    file.close()


def test_a_file_that_is_no_database_is_named_and_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "books"
    path.write_bytes(b"billing" * 1000)
    with pytest.raises(TransportError, match="books"):
        BooksFile(path, changed=pytest.fail)
    assert path.read_bytes() == b"billing" * 1000
