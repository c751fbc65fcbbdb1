"""What devices were told and what they did with it: the newest entries of all assets, and who still has to hear them.

    AuditBatch ──take──> entries with asset, time and binding limit ──> AuditBook ──> one AuditWatcher per stream

Bounded: what is dropped for newer entries is counted, here as in the core. Decides nothing.
"""

from __future__ import annotations

from collections.abc import Iterable

from dgm.api.core.v1.core_pb2 import Decision
from dgm.api.core.v1.field_pb2 import AuditBatch, AuditEntry
from dgm.api.ems.v1.field_pb2 import FieldAuditEntry, RegisterBlock, SetpointCounts, SetpointVerdict
from dgm.machine import Now
from dgm.site.topology import Topology

ENTRIES_MAX = 1000
"""Entries kept, and kept for one slow reader of the stream."""

Key = tuple[str, bool, int]


class AuditWatcher:
    """What one stream has not sent yet; the newest state of each entry, the oldest entry first."""

    def __init__(self, entries: Iterable[FieldAuditEntry], *, asset_id: str) -> None:
        """asset_id: empty for all assets."""
        self._asset_id = asset_id
        self._waiting: dict[Key, FieldAuditEntry] = {}
        self._missed = 0
        for entry in entries:
            self.put(entry)

    def put(self, entry: FieldAuditEntry) -> None:
        """Take note of an entry; one too many costs the oldest."""
        if self._asset_id in ("", entry.asset_id):
            self._missed += _put(self._waiting, entry)

    def take(self) -> tuple[list[FieldAuditEntry], int]:
        """All that is waiting, and how many were missed; both start anew."""
        found, missed = list(self._waiting.values()), self._missed
        self._waiting, self._missed = {}, 0
        return found, missed


class AuditBook:
    """The entries of this process."""

    def __init__(self, topology: Topology) -> None:
        self.forgotten = 0
        self._topology = topology
        self._entries: dict[Key, FieldAuditEntry] = {}
        self._counts: dict[str, SetpointCounts] = {}
        self._watchers: set[AuditWatcher] = set()
        self._settings: dict[str, int] = {}

    def add_setting(self, entry: FieldAuditEntry) -> None:
        """What became of grid-code settings; it gets its number here."""
        entry.number = self._settings[entry.asset_id] = self._settings.get(entry.asset_id, 0) + 1
        self._keep(entry)

    def take(self, batch: bytes, decision: Decision | None, now: Now) -> list[FieldAuditEntry]:
        """core.v1.AuditBatch: what is new in it, one entry again for each repetition. decision: the newest."""
        taken = []
        for news in AuditBatch.FromString(batch).assets:
            asset_id = self._topology.assets[news.asset_index].id
            counts = SetpointCounts(asset_id=asset_id, lost=news.lost)
            counts.MergeFrom(news.counts)
            self._counts[asset_id] = counts
            bound_by = _limit_of(news.asset_index, decision)
            taken += [_entry(found, asset_id, bound_by, now) for found in news.entries]
        for entry in taken:
            self._keep(entry)
        return taken

    def entries(self, asset_id: str = "") -> list[FieldAuditEntry]:
        """Those kept, of one asset or of all; the oldest first."""
        return [entry for entry in self._entries.values() if asset_id in ("", entry.asset_id)]

    def counts(self, asset_id: str = "") -> list[SetpointCounts]:
        """Of every asset that was ever commanded, in order of id."""
        return [self._counts[name] for name in sorted(self._counts) if asset_id in ("", name)]

    def watch(self, asset_id: str = "") -> AuditWatcher:
        """A reader that hears of all entries kept and to come, until `leave`."""
        watcher = AuditWatcher(self._entries.values(), asset_id=asset_id)
        self._watchers.add(watcher)
        return watcher

    def leave(self, watcher: AuditWatcher) -> None:
        """The reader is gone."""
        self._watchers.discard(watcher)

    def _keep(self, entry: FieldAuditEntry) -> None:
        before = self._entries.get(_key(entry))
        if before is not None:
            entry.binding_limit_id = before.binding_limit_id
        self.forgotten += _put(self._entries, entry)
        for watcher in self._watchers:
            watcher.put(entry)


def verdict_name(verdict: SetpointVerdict) -> str:
    """For people: "confirmed", "overwritten"."""
    return SetpointVerdict.Name(verdict).removeprefix("SETPOINT_VERDICT_").lower()


def registers(block: RegisterBlock) -> str:
    """For people, "40123: 1 500 0": the first address and the words from there on."""
    return f"{block.address}: {' '.join(map(str, block.words))}"


def _put(entries: dict[Key, FieldAuditEntry], entry: FieldAuditEntry) -> int:
    """Add or replace; how many that cost."""
    entries[_key(entry)] = entry
    if len(entries) <= ENTRIES_MAX:
        return 0
    del entries[next(iter(entries))]
    return 1


def _key(entry: FieldAuditEntry) -> Key:
    return entry.asset_id, bool(entry.model), entry.number


def _limit_of(asset_index: int, decision: Decision | None) -> tuple[int, str] | None:
    """Power granted to an asset by the newest decision, and the limit that bound it."""
    grants = () if decision is None else decision.grants
    for grant in grants:
        if grant.asset_index == asset_index and grant.HasField("power_w"):
            return grant.power_w, grant.binding_limit_id
    return None


def _entry(found: AuditEntry, asset_id: str, bound_by: tuple[int, str] | None, now: Now) -> FieldAuditEntry:
    entry = FieldAuditEntry(asset_id=asset_id, time_utc_ms=now.utc_ms - (now.mono_ms - found.at_mono_ms))
    entry.MergeFrom(found.entry)
    if bound_by is not None and bound_by[0] == entry.power_w:
        entry.binding_limit_id = bound_by[1]
    return entry
