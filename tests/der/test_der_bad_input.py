"""What a wrong server gets, from end to end in virtual time: no control of it is taken, and nothing is lost.

    healthy 0-120 s ──> trouble 120-420 s ──> healthy    c1 runs into the trouble, c2 begins in it, c3 is made in it

`BAD_INPUT.md` beside this file is the table of all such tests; the last test here holds it against the tests.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from der_joined import LFDI, Joined, joined

from dgm.sim.utility import judge
from dgm.sim.utility.state import mrid_of

HERE = Path(__file__).parent
TABLE = HERE / "BAD_INPUT.md"
TROUBLE_S, WELL_S, END_S = 120, 420, 1100
ASKED_MOST = 150
"""Requests within 300 s of trouble: hardly more than when all is well, and no spinning."""
EXP, GEN = "opModExpLimW", "opModGenLimW"


def control(name: str, start_in_s: int, duration_s: int, **modes: int) -> dict[str, Any]:
    return {
        "control": {"name": name, "program": "1", "start_in_s": start_in_s, "duration_s": duration_s, "modes": modes}
    }


def steps(*trouble: dict[str, Any]) -> list[dict[str, Any]]:
    """Two controls, then the trouble, in which a third one is made."""
    return [
        {
            "do": [
                {"program": {"name": "1", "primacy": 0}},
                {"default": {"program": "1", "modes": {EXP: 1000}}},
                control("c1", 30, 300, **{EXP: 10_000}),
                control("c2", 330, 300, **{EXP: 20_000}),
            ]
        },
        {"when": {"after_s": TROUBLE_S}, "do": list(trouble)},
        {"when": {"after_s": 80}, "do": [control("c3", 40, 600, **{GEN: 5000})]},
    ]


def responses(world: Joined, name: str) -> list[int]:
    return [item["status"] for item in world.server.records.responses if item["mrid"] == mrid_of("control", name)]


def asked(world: Joined, from_s: float, to_s: float) -> int:
    zero_ms = world.server.records.exchanges[0].at_ms
    return sum(from_s * 1000 <= item.at_ms - zero_ms < to_s * 1000 for item in world.server.records.exchanges)


TROUBLES = {
    "500": {"status": 500},
    "503": {"status": 503},
    "503 for 120 s": {"status": 503, "retry_after_s": 120},
    "429": {"status": 429},
    "garbage": {"body": "garbage"},
    "truncated": {"body": "truncated"},
    "namespace": {"body": "namespace"},
    "empty": {"body": "empty"},
}


@pytest.mark.parametrize("name", TROUBLES)
def test_a_server_in_trouble_stops_no_control_starts_none_and_costs_no_response(name: str) -> None:
    fault = {"fault": {**TROUBLES[name], "for_s": WELL_S - TROUBLE_S}}
    world = joined(steps(fault)).run(END_S)
    assert world.held_at(TROUBLE_S + 5) == {EXP: 10_000}, "what was in force stays"
    assert world.held_at(400) == {EXP: 20_000}, "what was known goes on"
    assert world.held_at(640).get(EXP) == 1000, "and then the default"
    assert world.held_at(800).get(GEN) == 5000, "what was made meanwhile is found afterwards"
    assert [responses(world, item) for item in ("c1", "c2", "c3")] == [[1, 2, 3]] * 3
    assert asked(world, TROUBLE_S + 1, WELL_S) <= ASKED_MOST
    assert judge.valid(world.server.records) == []


@pytest.mark.parametrize("status", [403, 404])
def test_a_server_that_refuses_everything_stops_no_control_and_gets_no_response_twice(status: int) -> None:
    world = joined(steps({"fault": {"status": status, "for_s": WELL_S - TROUBLE_S}})).run(END_S)
    assert world.held_at(400) == {EXP: 20_000}, "what was known goes on"
    assert world.held_at(800).get(GEN) == 5000, "what was made meanwhile is found afterwards"
    assert [responses(world, item) for item in ("c1", "c2", "c3")] == [[1, 2], [1, 3], [1, 2, 3]], "a refusal is final"


def test_with_a_wrong_pin_nothing_is_taken_until_it_is_right() -> None:
    world = joined([{"do": [{"set": {"pin": 222220}}]}, *steps()])
    world.run(WELL_S)
    assert all(bounds == {} for _, bounds in world.held)
    assert world.server.records.responses == []
    assert world.server.records.gets("fsa") == []
    world.server.state.devices[LFDI] = 111115
    world.run(END_S)
    assert world.held_at(WELL_S + 100).get(EXP) == 20_000
    assert responses(world, "c2") == [1, 2, 3]


def test_where_only_other_devices_are_listed_nothing_is_taken_until_ours_is() -> None:
    world = joined([{"do": [{"set": {"in_band": True}}]}, *steps()], registered=False)
    world.run(WELL_S)
    assert world.server.records.gets("edev") != []
    assert all(bounds == {} for _, bounds in world.held)
    assert world.server.records.devices == [], "and it does not register itself unasked"
    world.server.state.devices[LFDI] = 111115
    world.run(END_S)
    assert world.held_at(WELL_S + 100).get(EXP) == 20_000
    assert responses(world, "c2") == [1, 2, 3]


@pytest.mark.parametrize("jump_s", [-90, -20, 20, 90])
def test_a_clock_that_jumps_moves_events_and_stamps_and_repeats_none(jump_s: int) -> None:
    world = joined(steps({"set": {"clock_offset_s": jump_s}})).run(END_S + 200)
    start_s = world.server.state.control("c2").start_s
    begun = next(
        item for item in world.server.records.responses if item["status"] == 2 and item["created_s"] >= start_s
    )
    assert begun["created_s"] == start_s, "stamped with the server's own time"
    assert world.held_at(330 - jump_s + 70).get(EXP) == 20_000, "by the server's clock, once it was read"
    assert responses(world, "c1") == responses(world, "c2") == [1, 2, 3]


def test_a_control_that_no_schema_allows_is_not_taken_and_hides_no_other() -> None:
    world = joined(steps()).run(60)
    bad = world.server.state.programs["1"].controls["c2"]
    bad.duration_s = -5
    world.run(END_S)
    assert world.held_at(300) == {EXP: 10_000}
    assert judge.valid(world.server.records) == []


def test_every_row_of_the_table_names_a_test_that_there_is() -> None:
    known = {name for file in HERE.glob("test_*.py") for name in re.findall(r"def (test_\w+)", file.read_text("utf-8"))}
    known |= {"test_the_gateway_passes"}
    named = re.findall(r"`(test_\w+)`", TABLE.read_text(encoding="utf-8"))
    assert len(named) >= 12
    assert [name for name in named if name not in known] == []
