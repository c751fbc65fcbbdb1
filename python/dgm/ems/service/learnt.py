"""What was learnt of devices, kept over restarts: the map of each SunSpec device, by asset, in a file of its own.

    start: devices.journal ──know──> core, which asks the device whether it is still the same
    later: core ──take_learnt──> put, or delete where the device was another one

Worth time and nothing else: a file or an entry that cannot be read is named, put aside, and learnt anew.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Protocol

from dgm import _core, clock
from dgm.api.core.v1.field_pb2 import LearntBatch
from dgm.errors import TransportError
from dgm.journal import Journal
from dgm.log import logger
from dgm.site.topology import Topology

FILE_NAME = "devices.journal"
TABLE = "sunspec"


class LearningField(Protocol):
    """What is needed of the field core."""

    def know(self, asset_index: int, learnt: bytes) -> None: ...
    def take_learnt(self) -> bytes: ...


class LearntDevices:
    """The file of one ems process; without it, when it cannot be had, every start finds out again."""

    def __init__(self, topology: Topology, state_dir: Path) -> None:
        self._ids = {asset.index: asset.id for asset in topology.assets}
        self._log = logger("field")
        self._path = state_dir / FILE_NAME
        self._journal, self._kept = self._open()

    def recall(self, field: LearningField) -> int:
        """Tell the core, before it starts, what was known of its devices; of how many."""
        indices, told = {name: index for index, name in self._ids.items()}, 0
        for name, learnt in self._kept.items():
            try:
                if name in indices:
                    field.know(indices[name], learnt)
                    told += 1
                    continue
                reason = "no such asset in site.yaml"
            except _core.CoreError as error:
                reason = str(error)
            self._log.warning("device memory dropped", path=str(self._path), asset=name, reason=reason)
            self._write(name, None)
        return told

    def take(self, batch: bytes) -> None:
        """core.v1.LearntBatch: what the core has found out."""
        for news in LearntBatch.FromString(batch).assets if batch else ():
            name = self._ids[news.asset_index]
            if news.HasField("learnt"):
                self._log.info("device found", asset=name, models=[model.id for model in news.learnt.models])
                self._write(name, news.learnt.SerializeToString())
            else:
                self._log.warning("device is another one than before", asset=name)
                self._write(name, None)

    def close(self) -> None:
        """Release the file."""
        if self._journal is not None:
            self._journal.close()
            self._journal = None

    def _write(self, name: str, learnt: bytes | None) -> None:
        if self._journal is None:
            return
        try:
            if learnt is None:
                self._journal.delete(TABLE, name)
            else:
                self._journal.put(TABLE, name, learnt)
        except sqlite3.Error as error:
            self._log.warning("device memory fails", path=str(self._path), reason=str(error))
            self.close()

    def _open(self) -> tuple[Journal | None, dict[str, bytes]]:
        for _ in range(2):
            try:
                journal = Journal(self._path)
                return journal, journal.items(TABLE)
            except (TransportError, sqlite3.Error) as error:
                cause = error.__cause__ if isinstance(error, TransportError) else error
                # A DatabaseError of its own is a file that is no journal; its subclasses tell of locks, disks, rights.
                if type(cause) is not sqlite3.DatabaseError or not self._put_aside(str(error)):
                    self._log.warning("device memory cannot be used", path=str(self._path), reason=str(error))
                    break
        return None, {}

    def _put_aside(self, reason: str) -> bool:
        aside = self._path.with_suffix(f".corrupt-{clock.now().utc_ms}")
        try:
            self._path.replace(aside)
            for suffix in ("-wal", "-shm"):
                Path(f"{self._path}{suffix}").unlink(missing_ok=True)
        except OSError as error:
            self._log.warning("device memory cannot be put aside", path=str(self._path), reason=str(error))
            return False
        self._log.warning("device memory put aside", path=str(self._path), aside=str(aside), reason=reason)
        return True
