"""Reads what a run has left in its directory and has it judged.

    trace.csv, cars.csv, fleet.json, *-frames.jsonl, utility.jsonl     written by the simulated world
    state/ocpp-exceptions.jsonl                                        the gateway's own list, held against the frames
             └──parse──> RunRecord ──> checks.judge ──> Verdict

The world may still be running (`dgm demo --serve`): a line that is not finished yet is left out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar

from dgm.sim.checks import RunRecord, Verdict
from dgm.sim.checks import judge as judge_record
from dgm.sim.live.site import EVENT_MRID
from dgm.sim.records import (
    EventFacts,
    parse_cars,
    parse_exceptions,
    parse_fleet,
    parse_frames,
    parse_responses,
    parse_trace,
)
from dgm.sim.timeline import CPO_IDS, Timeline

RowsT = TypeVar("RowsT")

__all__ = ["Verdict", "judge"]


def judge(directory: Path, timeline: Timeline, *, start_utc_ms: int) -> Verdict:
    """The verdict on the run in `directory`. ValueError names a file that is missing or cannot be read."""
    fleet = directory / "fleet.json"
    if not fleet.exists():
        raise ValueError(f"{fleet}: not there")
    return judge_record(
        RunRecord(
            trace=_read(directory / "trace.csv", parse_trace),
            cars=_read(directory / "cars.csv", parse_cars),
            fleet=parse_fleet(fleet.read_text(encoding="utf-8")),
            fleet_frames=_read(directory / "fleet-frames.jsonl", parse_frames),
            csms_frames={cpo: _read(directory / f"csms-{cpo}-frames.jsonl", parse_frames) for cpo in CPO_IDS},
            exceptions=_read(directory / "state" / "ocpp-exceptions.jsonl", parse_exceptions),
            station_cpo={evse.station.id: evse.cpo_id for evse in timeline.evses},
            responses=_read(directory / "utility.jsonl", parse_responses),
            events=[event_facts(timeline, start_utc_ms=start_utc_ms)],
            import_w=timeline.site.import_w,
            export_w=timeline.site.export_w,
            service_ma=timeline.site.service_ma,
            poll_s=timeline.poll_s,
            expected_cars=len(timeline.stays),
            start_utc_ms=start_utc_ms,
            end_utc_ms=start_utc_ms + timeline.seconds * 1000,
        )
    )


def event_facts(timeline: Timeline, *, start_utc_ms: int) -> EventFacts:
    """The event as the utility was told to publish it: 2030.5 counts whole seconds."""
    event = timeline.event
    event_start_ms = (start_utc_ms + event.start_ms) // 1000 * 1000
    return EventFacts(
        mrid=EVENT_MRID,
        created_utc_ms=(start_utc_ms + event.created_ms) // 1000 * 1000,
        start_utc_ms=event_start_ms,
        end_utc_ms=event_start_ms + event.duration_s * 1000,
        import_w=event.import_w,
    )


def _read(path: Path, parse: Callable[[Iterable[str]], RowsT]) -> RowsT:
    if not path.exists():
        raise ValueError(f"{path}: not there")
    text = path.read_text(encoding="utf-8")
    try:
        return parse(text[: text.rfind("\n") + 1].splitlines())
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
