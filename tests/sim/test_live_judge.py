"""Reading a run's directory: whole lines only, whole files only, and the event as the utility publishes it."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from dgm.sim.live.judge import event_facts, judge
from dgm.sim.timeline import CPO_IDS, Timeline, demo_timeline

START = 1_800_000_000_400
FRAME = {"utc_ms": START, "station": "CP-001", "dir": "tx", "sha256": "00", "type": 2, "id": "1", "action": "Heartbeat"}


def timeline() -> Timeline:
    return demo_timeline(evse_count=3, seconds=90, seed=1, draw=random.Random(1))


def write_run(directory: Path) -> None:
    """A short, poor run: one frame relayed, one sample, no response."""
    (directory / "state").mkdir()
    received = json.dumps({**FRAME, "dir": "rx"})
    files = {
        "trace.csv": f"utc_ms,net_w,i1\n{START},1,2,3,4,5,6,7,8,9\n{START + 100},1,2",
        "cars.csv": "utc_ms,evse\n",
        "fleet.json": '{"cars": [], "stations": 3, "accepted": 3, "schema_violations": 0}',
        "fleet-frames.jsonl": json.dumps(FRAME) + "\n" + '{"utc_ms": 17',
        "utility.jsonl": '{"utc_ms": 1, "kind": "request"}\n',
        "state/ocpp-exceptions.jsonl": "",
        **{f"csms-{cpo}-frames.jsonl": received + "\n" if cpo == CPO_IDS[0] else "" for cpo in CPO_IDS},
    }
    for name, text in files.items():
        (directory / name).write_text(text, encoding="utf-8")


def test_a_run_is_read_and_judged_and_a_poor_one_fails(tmp_path: Path) -> None:
    write_run(tmp_path)
    verdict = judge(tmp_path, timeline(), start_utc_ms=START)
    passed = {check.name for check in verdict.checks if check.passed}
    assert "relay north" in passed
    assert {"cars came", "response 2", "trace unbroken", "fairness"} & passed == set()
    assert not verdict.passed
    assert json.loads(json.dumps(verdict.as_json()))["passed"] is False
    assert verdict.summary.figures["frames relayed"] == "1 north, 0 south"


@pytest.mark.parametrize("name", ["trace.csv", "fleet.json", "csms-cpo-b-frames.jsonl", "state/ocpp-exceptions.jsonl"])
def test_a_missing_file_is_named(tmp_path: Path, name: str) -> None:
    write_run(tmp_path)
    (tmp_path / name).unlink()
    with pytest.raises(ValueError, match=name):
        judge(tmp_path, timeline(), start_utc_ms=START)


def test_a_broken_line_is_named_with_its_file(tmp_path: Path) -> None:
    write_run(tmp_path)
    (tmp_path / "cars.csv").write_text("utc_ms,evse\nnonsense\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"cars.csv: row 1"):
        judge(tmp_path, timeline(), start_utc_ms=START)


def test_the_event_begins_and_ends_on_whole_seconds() -> None:
    made = timeline()
    facts = event_facts(made, start_utc_ms=START)
    assert facts.start_utc_ms == START - 400 + made.event.start_ms
    assert facts.end_utc_ms - facts.start_utc_ms == made.event.duration_s * 1000
    assert facts.created_utc_ms % 1000 == 0
