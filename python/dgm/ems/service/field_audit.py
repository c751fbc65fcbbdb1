"""Where audit entries of the field go: the book, a trail on disk, the log, and one counter per asset and outcome.

    _core.Field.take_audit ──> AuditBook ──┬──> state_dir/field-audit.jsonl    every entry
                                           ├──> log                            all but confirmations
                                           └──> dgm_setpoint_*                 by asset

A battery may get a new setpoint every tick: confirmations fill the trail, which is bounded, and not the log.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import CounterMetricFamily, Metric
from prometheus_client.registry import Collector

from dgm.api.core.v1.core_pb2 import Decision
from dgm.api.ems.v1.field_pb2 import FieldAuditEntry, SetpointCounts, SetpointVerdict
from dgm.ems.audit import AuditBook, registers, verdict_name
from dgm.log import logger
from dgm.machine import Now
from dgm.site.topology import Topology
from dgm.trail import Trail

FILE_NAME = "field-audit.jsonl"
MAX_BYTES = 16_000_000
"""About 50,000 entries. Two files of this size at most."""

OUTCOMES = tuple(name for name in SetpointCounts.DESCRIPTOR.fields_by_name if name not in ("asset_id", "sent", "lost"))
GOOD = (SetpointVerdict.SETPOINT_VERDICT_OBEYED, SetpointVerdict.SETPOINT_VERDICT_STALE)


class FieldAudit:
    """The audit of one ems process."""

    def __init__(self, topology: Topology, state_dir: Path, registry: CollectorRegistry) -> None:
        self.book = AuditBook(topology)
        self._log = logger("field")
        self._trail = Trail(state_dir / FILE_NAME, max_bytes=MAX_BYTES, part="field")
        registry.register(_Counters(self.book))

    def take(self, batch: bytes, decision: Decision | None, now: Now) -> bool:
        """core.v1.AuditBatch; whether it held anything."""
        if not batch:
            return False
        for entry in self.book.take(batch, decision, now):
            if entry.times == 1:
                self._trail.append(line(entry))
                self._tell(entry)
        return True

    def take_setting(self, entry: FieldAuditEntry) -> None:
        """What became of grid-code settings of an inverter."""
        self.book.add_setting(entry)
        self._trail.append(line(entry))
        fields = {name: value for name, value in line(entry).items() if name not in ("utc_ms", "verdict")}
        is_good = entry.verdict == SetpointVerdict.SETPOINT_VERDICT_CONFIRMED
        tell = self._log.info if is_good else self._log.warning
        tell(f"grid-code setting {verdict_name(entry.verdict)}", **fields)

    def close(self) -> None:
        """Release the trail."""
        self._trail.close()

    def _tell(self, entry: FieldAuditEntry) -> None:
        verdict = entry.verdict
        if verdict == SetpointVerdict.SETPOINT_VERDICT_CONFIRMED:
            return
        tell = self._log.info if verdict in GOOD else self._log.warning
        fields = {name: value for name, value in line(entry).items() if name not in ("utc_ms", "verdict")}
        tell(f"setpoint {verdict_name(verdict)}", **fields)


def line(entry: FieldAuditEntry) -> dict[str, Any]:
    """The entry as one flat line; registers as "address:words"."""
    found: dict[str, Any] = {
        "utc_ms": entry.time_utc_ms,
        "asset": entry.asset_id,
        "number": entry.number,
        "verdict": verdict_name(entry.verdict),
        "epoch": entry.epoch,
    }
    if entry.model:
        found |= {"model": entry.model, "setting": entry.setting}
    else:
        found["power_w"] = entry.power_w
    if entry.HasField("measured_w"):
        found["measured_w"] = entry.measured_w
    if entry.binding_limit_id:
        found["limit"] = entry.binding_limit_id
    for name, blocks in (("written", entry.written), ("read_back", entry.read_back)):
        if blocks:
            found[name] = [registers(block) for block in blocks]
    return found


class _Counters(Collector):
    """What the core has counted; assets that are commanded, so the configuration bounds the labels."""

    def __init__(self, book: AuditBook) -> None:
        self._book = book

    def collect(self) -> Iterator[Metric]:
        """The families, with a sample for each asset that was ever commanded."""
        sent = CounterMetricFamily("dgm_setpoint_sent", "Setpoints written to a device", labels=["asset"])
        outcomes = CounterMetricFamily(
            "dgm_setpoint_outcome", "What became of setpoints on a device", labels=["asset", "outcome"]
        )
        lost = CounterMetricFamily("dgm_setpoint_audit_lost", "Audit entries that nobody kept", labels=["asset"])
        for counts in self._book.counts():
            sent.add_metric([counts.asset_id], counts.sent)
            lost.add_metric([counts.asset_id], counts.lost)
            for name in OUTCOMES:
                outcomes.add_metric([counts.asset_id, name], getattr(counts, name))
        yield from (sent, outcomes, lost)
