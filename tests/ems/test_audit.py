"""The audit of the field: what the core tells of setpoints, kept, told on, counted, and bounded."""

from __future__ import annotations

import json
from pathlib import Path

from ems_examples import demo_config
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, generate_latest

from dgm.api.core.v1.core_pb2 import AssetGrant, Decision
from dgm.api.core.v1.field_pb2 import AuditBatch, AuditEntry, AuditNews
from dgm.api.ems.v1.field_pb2 import FieldAuditEntry, RegisterBlock, SetpointCounts, SetpointVerdict
from dgm.ems.audit import ENTRIES_MAX, AuditBook
from dgm.ems.service.field_audit import FILE_NAME, FieldAudit
from dgm.machine import Now
from dgm.site.topology import Topology

TOPOLOGY = Topology.from_config(demo_config())
NOW = Now(mono_ms=50_000, utc_ms=1_000_050_000)
BATTERY = next(asset for asset in TOPOLOGY.assets if asset.id == "b1")
CONFIRMED = SetpointVerdict.SETPOINT_VERDICT_CONFIRMED
OVERWRITTEN = SetpointVerdict.SETPOINT_VERDICT_OVERWRITTEN


def entry(number: int, *, power_w: int = -5_000, times: int = 1, verdict: SetpointVerdict = CONFIRMED) -> AuditEntry:
    """An entry as the core tells it, 2 s ago."""
    found = FieldAuditEntry(number=number, epoch=3, power_w=power_w, times=times, verdict=verdict)
    found.written.append(RegisterBlock(address=40_100, words=[1, 500]))
    return AuditEntry(at_mono_ms=NOW.mono_ms - 2_000, entry=found)


def batch(*entries: AuditEntry, lost: int = 0, **counts: int) -> bytes:
    """News of the battery."""
    news = AuditNews(
        asset_index=BATTERY.index, entries=entries, lost=lost, counts=SetpointCounts(sent=len(entries), **counts)
    )
    return AuditBatch(assets=[news]).SerializeToString()


def decision(power_w: int, limit_id: str) -> Decision:
    """A decision that grants the battery a power."""
    return Decision(
        grants=[AssetGrant(asset_index=BATTERY.index, power_w=power_w, binding_limit_id=limit_id, published=True)]
    )


def test_an_entry_gets_its_asset_its_time_and_the_limit_that_bound_it() -> None:
    book = AuditBook(TOPOLOGY)
    (found,) = book.take(batch(entry(1)), decision(-5_000, "utility:opModExpLimW"), NOW)
    assert found.asset_id == "b1"
    assert found.time_utc_ms == NOW.utc_ms - 2_000
    assert found.binding_limit_id == "utility:opModExpLimW"
    assert book.entries("b1") == [found]
    assert book.entries("m1") == []


def test_a_newer_decision_explains_no_older_setpoint() -> None:
    book = AuditBook(TOPOLOGY)
    (found,) = book.take(batch(entry(1)), decision(-4_000, "utility:opModExpLimW"), NOW)
    assert found.binding_limit_id == ""


def test_a_repetition_replaces_its_entry_and_keeps_its_limit() -> None:
    book = AuditBook(TOPOLOGY)
    book.take(batch(entry(1)), decision(-5_000, "l1"), NOW)
    book.take(batch(entry(1, times=4)), None, NOW)
    (found,) = book.entries()
    assert (found.times, found.binding_limit_id) == (4, "l1")


def test_a_watcher_hears_what_is_kept_and_what_comes_until_it_leaves() -> None:
    book = AuditBook(TOPOLOGY)
    book.take(batch(entry(1)), None, NOW)
    watcher = book.watch()
    book.take(batch(entry(1, times=2), entry(2)), None, NOW)
    entries, missed = watcher.take()
    assert [(found.number, found.times) for found in entries] == [(1, 2), (2, 1)]
    assert missed == 0
    book.leave(watcher)
    book.take(batch(entry(3)), None, NOW)
    assert watcher.take() == ([], 0)


@given(st.lists(st.integers(1, 40), min_size=1, max_size=60))
def test_no_entry_is_dropped_unsaid(sizes: list[int]) -> None:
    book, number = AuditBook(TOPOLOGY), 0
    watcher = book.watch()
    for size in sizes:
        book.take(batch(*(entry(number + at) for at in range(1, size + 1))), None, NOW)
        number += size
    entries, missed = watcher.take()
    assert len(entries) + missed == number
    assert len(book.entries()) + book.forgotten == number
    assert len(entries) <= ENTRIES_MAX


def test_every_entry_is_a_line_of_the_trail_and_a_count_by_asset(tmp_path: Path) -> None:
    registry = CollectorRegistry()
    audit = FieldAudit(TOPOLOGY, tmp_path, registry)
    assert not audit.take(b"", None, NOW)
    assert audit.take(batch(entry(1), entry(2, verdict=OVERWRITTEN), confirmed=1, overwritten=1, lost=7), None, NOW)
    audit.take(batch(entry(2, verdict=OVERWRITTEN, times=2), confirmed=1, overwritten=2, lost=7), None, NOW)
    audit.close()
    lines = [json.loads(line) for line in (tmp_path / FILE_NAME).read_text(encoding="utf-8").splitlines()]
    assert [(line["number"], line["verdict"]) for line in lines] == [(1, "confirmed"), (2, "overwritten")]
    assert lines[0]["written"] == ["40100: 1 500"]
    text = generate_latest(registry).decode()
    assert 'dgm_setpoint_outcome_total{asset="b1",outcome="overwritten"} 2.0' in text
    assert 'dgm_setpoint_audit_lost_total{asset="b1"} 7.0' in text
