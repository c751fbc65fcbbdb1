"""What the simulated world has seen, judged: the plant's trace and the frames of the relay."""

from __future__ import annotations

from collections.abc import Sequence

from e2e_world import World, now_utc_ms

from dgm.sim.limit_checks import LimitStep, excess_of, sliding_mean
from dgm.sim.records import TraceRow, parse_exceptions, parse_frames
from dgm.sim.relay_checks import RelayRecord, check_relay
from dgm.sim.timeline import CPO_IDS
from dgm.sim.verdict import Check

CALL = 2
FLUSH_MS = 1500
"""The simulators' files lag by up to half a second; what is older than this stands in them."""


def import_mean_w(trace: Sequence[TraceRow]) -> float:
    """The newest 1 s mean at the connection point."""
    means = sliding_mean((row.utc_ms, float(row.net_w)) for row in trace[-30:])
    return means[-1][1]


def longest_excess_ms(trace: Sequence[TraceRow], *, since_utc_ms: int, bound_w: int) -> int:
    """Longest time in a row, since an instant, that the 1 s mean of the import was above a bound."""
    means = sliding_mean((row.utc_ms, float(row.net_w)) for row in trace if row.utc_ms >= since_utc_ms)
    assert means, "the plant has written nothing since then"
    return excess_of(means, [LimitStep(from_utc_ms=0, bound=bound_w)]).longest_ms


def calls_of_csmss(world: World) -> int:
    """How many CALLs the CSMSs have sent so far."""
    logs = (parse_frames(world.lines(f"csms-{cpo_id}-frames.jsonl")) for cpo_id in CPO_IDS)
    return sum(frame.direction == "tx" and frame.message_type == CALL for frames in logs for frame in frames)


def relay_checks(world: World) -> list[Check]:
    """The judgement on all frames of the fleet so far; the tests' own stations belong to no CSMS that keeps a log."""
    end_utc_ms = now_utc_ms() - FLUSH_MS
    own = {evse.station.id: evse.cpo_id for evse in world.timeline.evses}
    fleet = parse_frames(world.lines("fleet-frames.jsonl"))
    csms = {cpo_id: parse_frames(world.lines(f"csms-{cpo_id}-frames.jsonl")) for cpo_id in CPO_IDS}
    audit = parse_exceptions(world.lines("state/ocpp-exceptions.jsonl"))
    return check_relay(
        RelayRecord(
            fleet=fleet,
            csms=csms,
            exceptions=[row for row in audit if row.station in own],
            station_cpo=own,
            end_utc_ms=end_utc_ms,
        )
    )
