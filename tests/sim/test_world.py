"""The virtual world: the same seed gives the same run, and the invariants hold under faults."""

from __future__ import annotations

import pytest

from dgm.cli.sim import make_world
from dgm.ocpp import events as ocpp
from dgm.ocpp.manner import Mode
from dgm.sim.world import World

HOURS = 0.25


def world(seed: int, *, evse: int = 8, hours: float = HOURS) -> World:
    return make_world(seed=seed, hours=hours, evse=evse)


def test_the_same_seed_gives_the_same_trace() -> None:
    one, other = world(5), world(5)
    one.run()
    other.run()
    assert one.trace_hash == other.trace_hash
    assert one.counts == other.counts


def test_another_seed_gives_another_trace() -> None:
    one, other = world(5, hours=0.1), world(6, hours=0.1)
    one.run()
    other.run()
    assert one.trace_hash != other.trace_hash


@pytest.mark.parametrize("seed", range(20, 26))
def test_every_invariant_holds_under_faults(seed: int) -> None:
    run = world(seed)
    run.run()
    assert run.invariants.checked_seconds >= HOURS * 3600 - 1
    assert run.counts["cuts"] > 0
    assert run.counts["frames north"] > 100


def test_stations_of_every_version_take_part_and_profiles_are_merged_in_2x_too() -> None:
    lines = [line for seed in range(20, 26) for line in world(seed).lines]
    assert {line.version for line in lines} == {"ocpp1.6", "ocpp2.0.1", "ocpp2.1"}
    merged = {line.version for line in lines if line.session.desk.manner.mode is Mode.MERGE}
    assert merged == {"ocpp2.0.1", "ocpp2.1"}


def test_a_relay_that_changes_a_byte_is_caught_with_the_replay_line() -> None:
    run = world(1)
    line = run.lines[0]
    line.due_north.append(b'[2,"1","Heartbeat",{}]')
    with pytest.raises(AssertionError, match=r"no peer has sent(.|\n)*replay: dgm sim --seed 1"):
        run.invariants.sent(line, ocpp.Send(leg=ocpp.Leg.NORTH, raw=b'[2,"1","Heartbeat",{ }]', relayed=True))


def test_a_relay_that_swaps_two_calls_is_caught() -> None:
    run = world(1)
    line = run.lines[0]
    line.due_north += [b'[2,"1","Heartbeat",{}]', b'[2,"2","Heartbeat",{}]']
    with pytest.raises(AssertionError, match="out of order"):
        run.invariants.sent(line, ocpp.Send(leg=ocpp.Leg.NORTH, raw=b'[2,"2","Heartbeat",{}]', relayed=True))


def test_an_evse_that_counts_at_less_than_it_could_draw_is_caught() -> None:
    run = world(1)
    ems = run.ems
    assert ems is not None
    absent = [(0, 0, 0, 0, 0, 0)] * (len(run.config.assets) + len(run.lines))
    ems.grants = [*absent]
    run.invariants.check()
    with pytest.raises(AssertionError, match="could draw"):
        run.invariants.check()


def test_responses_out_of_their_legal_path_are_caught() -> None:
    run = world(1)
    run.utility.responses["A"] = [1, 3]
    with pytest.raises(AssertionError, match="responses of A"):
        run.invariants.check()
