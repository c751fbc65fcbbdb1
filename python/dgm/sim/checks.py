"""The judge of a run: parsed result files in, a list of checks and a summary of measured figures out.

    trace ──────> limit_checks ─┐
    frames, audit > relay_checks ├──> judge ──> Verdict: checks, summary
    cars ───────> fairness ─────┤
    responses, fleet, sanity ───┘

It reads what the plant, the fleet, the CSMSs and the utility have seen, never what the product believes. Each check can
fail, and a run that leaves nothing to judge fails too.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from dgm.sim.fairness import Shares, check_fairness, jain_by_class, shares_of
from dgm.sim.limit_checks import check_limits, compliance_ms, limit_steps, sliding_mean
from dgm.sim.records import CarReport, CarRow, EventFacts, ExceptionRow, FleetReport, FrameRow, ResponseRow, TraceRow
from dgm.sim.relay_checks import RelayRecord, check_relay
from dgm.sim.verdict import Check

__all__ = ["Check", "RunRecord", "Summary", "Verdict", "judge"]

RECEIVED_SLACK_MS = 5000
EVENT_SLACK_MS = 2000
CLOCK_RESOLUTION_MS = 1000
FED_AFTER_MS = 60_000
TRACE_GAP_MAX_MS = 1000
BOUND_SECONDS_MIN = 10
RECEIVED, STARTED, COMPLETED = 1, 2, 3


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRecord:
    """Everything a run has left behind, and what was planned. Limits in W and mA per phase; instants in UTC ms.

    `expected_cars`: cars that were to be plugged in before the end. `poll_s`: how often the utility is asked.
    """

    trace: Sequence[TraceRow]
    cars: Sequence[CarRow]
    fleet: FleetReport
    fleet_frames: Sequence[FrameRow]
    csms_frames: Mapping[str, Sequence[FrameRow]]
    exceptions: Sequence[ExceptionRow]
    station_cpo: Mapping[str, str]
    responses: Sequence[ResponseRow]
    events: Sequence[EventFacts]
    import_w: int
    export_w: int
    service_ma: int
    poll_s: int
    expected_cars: int
    start_utc_ms: int
    end_utc_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """Measured figures for people and for --json."""

    seconds: float
    cars: int
    energy_kwh: float
    peak_import_w: int
    peak_current_ma: int
    least_soc_permille: int
    battery_help_peak_w: int
    pv_mean_w: int
    compliance_ms: int | None
    bound_seconds: int
    jain: dict[str, float]
    frames_north: int
    frames_south: int
    exceptions: dict[str, int]

    @property
    def figures(self) -> dict[str, str]:
        """The same, each with its unit, by name."""
        taken = "none" if self.compliance_ms is None else f"{self.compliance_ms / 1000:.1f} s"
        return {
            "judged time": f"{self.seconds:.0f} s, the limit bound for {self.bound_seconds} s",
            "cars": f"{self.cars}, {self.energy_kwh:.2f} kWh received",
            "highest import": f"{self.peak_import_w / 1000:.1f} kW (1 s mean)",
            "highest phase current": f"{self.peak_current_ma / 1000:.0f} A",
            "compliance after the event's start": taken,
            "battery help": f"up to {self.battery_help_peak_w / 1000:.1f} kW",
            "least state of charge": f"{self.least_soc_permille / 10:.1f} %",
            "PV": f"{self.pv_mean_w / 1000:.1f} kW on average",
            "Jain index": ", ".join(f"{name} {index:.3f}" for name, index in self.jain.items()) or "none",
            "frames relayed": f"{self.frames_north} north, {self.frames_south} south",
            "frames of the closed list": ", ".join(f"{kind} {n}" for kind, n in sorted(self.exceptions.items()))
            or "none",
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The judgement of a run."""

    checks: tuple[Check, ...]
    summary: Summary

    @property
    def passed(self) -> bool:
        """Whether every check holds."""
        return all(check.passed for check in self.checks)

    def as_json(self) -> dict[str, Any]:
        """For a file."""
        return {
            "passed": self.passed,
            "checks": [asdict(check) for check in self.checks],
            "summary": asdict(self.summary),
        }


def judge(record: RunRecord) -> Verdict:
    """Judge a run between its start and its end."""
    window = range(record.start_utc_ms, record.end_utc_ms + 1)
    record = replace(
        record,
        trace=[row for row in record.trace if row.utc_ms in window],
        cars=[row for row in record.cars if row.utc_ms in window],
    )
    steps = limit_steps(record.import_w, record.events)
    shares = shares_of(record.cars, record.trace, steps)
    relay = RelayRecord(
        fleet=record.fleet_frames,
        csms=record.csms_frames,
        exceptions=record.exceptions,
        station_cpo=record.station_cpo,
        end_utc_ms=record.end_utc_ms,
    )
    checks = [
        *check_limits(
            record.trace,
            record.events,
            import_w=record.import_w,
            export_w=record.export_w,
            service_ma=record.service_ma,
        ),
        *check_relay(relay),
        *check_responses(record.responses, record.events, poll_s=record.poll_s),
        check_fed(record.fleet.cars, end_utc_ms=record.end_utc_ms),
        *check_fairness(shares),
        *check_sanity(record, shares),
    ]
    return Verdict(checks=tuple(checks), summary=_summarise(record, shares))


def check_responses(responses: Sequence[ResponseRow], events: Sequence[EventFacts], *, poll_s: int) -> list[Check]:
    """The utility got 1, 2 and 3 of each event, once each, in time, and nothing else about it."""
    if not events:
        return [Check(name="responses", passed=False, measured="no event", bound="at least one event")]
    checks = []
    for event in events:
        seen = [row for row in responses if row.mrid.lower() == event.mrid.lower()]
        checks += [
            _check_response(seen, RECEIVED, event.created_utc_ms, poll_s * 1000 + RECEIVED_SLACK_MS),
            _check_response(seen, STARTED, event.start_utc_ms, EVENT_SLACK_MS + CLOCK_RESOLUTION_MS),
            _check_response(seen, COMPLETED, event.end_utc_ms, EVENT_SLACK_MS + CLOCK_RESOLUTION_MS),
        ]
        statuses = [row.status for row in sorted(seen, key=lambda row: row.utc_ms)]
        checks.append(
            Check(
                name="response path",
                passed=statuses == [RECEIVED, STARTED, COMPLETED],
                measured=", ".join(str(status) for status in statuses) or "none",
                bound="1, 2, 3",
                detail=f"event {event.mrid}",
            )
        )
    return checks


def _check_response(seen: Sequence[ResponseRow], status: int, due_ms: int, slack_ms: int) -> Check:
    """Not earlier than one second (the protocol counts whole ones) before it is due, and not later than the slack."""
    lags_ms = [row.utc_ms - due_ms for row in seen if row.status == status]
    return Check(
        name=f"response {status}",
        passed=bool(lags_ms) and -CLOCK_RESOLUTION_MS <= lags_ms[0] <= slack_ms,
        measured=f"{lags_ms[0] / 1000:+.1f} s" if lags_ms else "none",
        bound=f"{-CLOCK_RESOLUTION_MS / 1000:+.0f} .. {slack_ms / 1000:+.0f} s",
    )


def check_fed(cars: Sequence[CarReport], *, end_utc_ms: int) -> Check:
    """Every car that was plugged in more than 60 s before the end received energy."""
    judged = [car for car in cars if car.plug_utc_ms < end_utc_ms - FED_AFTER_MS]
    hungry = [car.evse for car in judged if car.energy_wh <= 0]
    return Check(
        name="every car charged",
        passed=bool(judged) and not hungry,
        measured=f"{len(judged) - len(hungry)} of {len(judged)} cars",
        bound="all",
        detail=f"nothing at {', '.join(hungry[:5])}" if hungry else "",
    )


def check_sanity(record: RunRecord, shares: Shares) -> list[Check]:
    """There was something to judge: a whole trace, all cars, a limit that bound, a fleet that was there."""
    gap_ms = longest_gap_ms(record.trace, start_utc_ms=record.start_utc_ms, end_utc_ms=record.end_utc_ms)
    bound_in_events = sum(
        any(event.start_utc_ms <= utc_ms < event.end_utc_ms for event in record.events)
        for utc_ms in shares.bound_utc_ms
    )
    fleet = record.fleet
    energy_wh = sum(car.energy_wh for car in fleet.cars)
    return [
        Check(
            name="trace unbroken",
            passed=gap_ms <= TRACE_GAP_MAX_MS,
            measured=f"longest gap {gap_ms / 1000:.1f} s, {len(record.trace)} samples",
            bound=f"<= {TRACE_GAP_MAX_MS / 1000:.0f} s from start to end",
        ),
        Check(
            name="limit bound",
            passed=bound_in_events >= BOUND_SECONDS_MIN,
            measured=f"{shares.bound_seconds} s, {bound_in_events} s of them in events",
            bound=f">= {BOUND_SECONDS_MIN} s in events",
        ),
        Check(
            name="cars came",
            passed=len(fleet.cars) == record.expected_cars > 0 and energy_wh > 0,
            measured=f"{len(fleet.cars)} cars, {energy_wh / 1000:.1f} kWh",
            bound=f"{record.expected_cars} cars, > 0 kWh",
        ),
        Check(
            name="fleet accepted",
            passed=fleet.accepted == fleet.stations == len(record.station_cpo) and fleet.schema_violations == 0,
            measured=f"{fleet.accepted} of {fleet.stations} stations, {fleet.schema_violations} invalid CALLs",
            bound=f"{len(record.station_cpo)} stations, 0 invalid CALLs",
        ),
    ]


def longest_gap_ms(trace: Sequence[TraceRow], *, start_utc_ms: int, end_utc_ms: int) -> int:
    """The longest time between samples from start to end, edges included."""
    instants = [start_utc_ms, *(row.utc_ms for row in trace if start_utc_ms <= row.utc_ms <= end_utc_ms), end_utc_ms]
    return max(later - earlier for earlier, later in itertools.pairwise(instants))


def _summarise(record: RunRecord, shares: Shares) -> Summary:
    trace = record.trace
    means = sliding_mean((row.utc_ms, float(row.net_w)) for row in trace)
    taken_ms = None
    if record.events:
        event = record.events[0]
        within = [(utc_ms, mean) for utc_ms, mean in means if utc_ms < event.end_utc_ms]
        taken_ms = compliance_ms(within, start_utc_ms=event.start_utc_ms, bound=min(record.import_w, event.import_w))
    kinds: dict[str, int] = {}
    for entry in record.exceptions:
        kinds[entry.kind] = kinds.get(entry.kind, 0) + 1
    return Summary(
        seconds=(record.end_utc_ms - record.start_utc_ms) / 1000,
        cars=len(record.fleet.cars),
        energy_kwh=round(sum(car.energy_wh for car in record.fleet.cars) / 1000, 2),
        peak_import_w=round(max((mean for _, mean in means), default=0)),
        peak_current_ma=max((max(row.currents_ma) for row in trace), default=0),
        least_soc_permille=min((row.soc_permille for row in trace), default=0),
        battery_help_peak_w=max((-row.battery_w for row in trace), default=0),
        pv_mean_w=sum(row.pv_w for row in trace) // len(trace) if trace else 0,
        compliance_ms=taken_ms,
        bound_seconds=shares.bound_seconds,
        jain={name: round(index, 4) for name, index in jain_by_class(shares).items()},
        frames_north=sum(frame.direction == "rx" for frames in record.csms_frames.values() for frame in frames),
        frames_south=sum(frame.direction == "tx" for frames in record.csms_frames.values() for frame in frames),
        exceptions=kinds,
    )
