"""Every frame of a day of charging arrives as it was sent, whatever the relay does beside it."""

from random import Random

import pytest

from dgm.sim.scenario.runners.virtual_day import VirtualDay

DAYS = [pytest.param(6, 60, id="60-sessions"), pytest.param(100, 2000, marks=pytest.mark.soak, id="2000-sessions")]


@pytest.mark.parametrize(("stations", "sessions"), DAYS)
def test_frames_of_a_day_are_equal_at_both_ends(stations: int, sessions: int) -> None:
    day = VirtualDay(stations=stations, sessions=sessions, draw=Random(1))
    day.run()
    print(dict(day.counts))
    assert day.faults == []
    assert day.counts["cars"] == sessions
    assert day.counts["excepted own_call"] > stations, "the gateway did its own work beside the relay"
    for line in day.lines:
        started, stopped = day.billed[line.name, "started"], day.billed[line.name, "stopped"]
        assert started >= sessions // stations, (line.name, "a session was not billed")
        assert stopped >= sessions // stations, (line.name, "a session was not closed")


def test_the_judge_of_the_day_sees_a_single_changed_byte() -> None:
    def meddle(raw: bytes) -> bytes:
        return raw.replace(b"TAG-2", b"TAG-3") if b"Authorize" in raw else raw

    day = VirtualDay(stations=3, sessions=3, draw=Random(2), meddle=meddle)
    day.run()
    assert len(day.faults) == 1, day.faults
    assert "relay north" in day.faults[0]
