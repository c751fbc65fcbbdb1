"""The stand-ins of all stations, with the books that they write on.

    site.yaml ──policy──> Outage of a station <──books── BooksFile (state_dir/ocpp-books.sqlite)

Books that cannot be opened are named and left as they are, for they may hold messages of CPOs; every station in policy
store then behaves as in island until somebody has looked.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from dgm.api.config.v1.config_pb2 import DgmConfig, StationConfig
from dgm.errors import TransportError
from dgm.log import logger
from dgm.ocpp.books import Books
from dgm.ocpp.gateway import BooksFile, GatewayMetrics
from dgm.ocpp.outage import Outage
from dgm.ocpp.outage_rules import Policy
from dgm.ocpp.store import policy_of

FILE_NAME = "ocpp-books.sqlite"


class Outages:
    """See the module. file: None, there is none, or it cannot be used."""

    def __init__(self, config: DgmConfig, state_dir: Path, ids: Callable[[], str], metrics: GatewayMetrics) -> None:
        self._config, self._ids, self._metrics = config, ids, metrics
        self._log = logger("ocpp")
        self.file: BooksFile | None = None
        self._books: dict[str, Books] = {}
        metrics.books_good.set(1)
        path = state_dir / FILE_NAME
        is_needed = any(policy_of(config, station) is not Policy.STRICT for station in config.stations)
        if is_needed or path.exists():
            self._open(path)

    def _open(self, path: Path) -> None:
        try:
            file = BooksFile(path, changed=self._changed)
            self._books = {station.id: file.load(station.id) for station in self._config.stations}
            refused = file.count_refused()
        except TransportError as error:
            self._books.clear()
            self._metrics.books_good.set(0)
            self._log.error("no books: stations in policy store behave as in island", why=str(error))
            return
        self.file = file
        if refused:
            self._log.warning("messages that a CSMS refused for good wait for somebody", count=refused, path=str(path))

    def _changed(self, error: str | None) -> None:
        self._metrics.books_good.set(1 if error is None else 0)
        if error is None:
            self._log.info("books can be written again")
        else:
            self._log.error("books cannot be written: policy store behaves as island", error=error)

    def of(self, station: StationConfig) -> Outage | None:
        """The stand-in of a station; None: policy strict, and nothing is left from another one."""
        policy = policy_of(self._config, station)
        books = self._books.get(station.id, Books())
        self._metrics.books_waiting.labels(station.cpo).inc(len(books.messages))
        is_left = books.messages or any(name.startswith("real:") for name in books.facts)
        if policy is Policy.STRICT and not is_left:
            return None
        return Outage(policy, books, self._ids, has_disk=self.file is not None)

    def start(self) -> None:
        """Begin to write, on the running event loop."""
        if self.file is not None:
            self.file.start()

    def close(self) -> None:
        """Write what waits, release the file."""
        if self.file is not None:
            self.file.close()
