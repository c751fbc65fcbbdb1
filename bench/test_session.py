"""What one reading costs in a station's session, sockets apart, against reading and writing its JSON once.

"passed on": the glances at it and at its answer, after which they are on their way. "decoded": its copy later, taken
into the station's memory and reported to the ems role. "long way": a frame that must be decided about, both halves.
Comparator: `json.loads` and `json.dumps` of the same frame, the
least that a relay pays that takes frames apart and puts them together again. Each frame is a new reading, answered
before the next one outside the measured time.
"""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from dgm.machine import Now
from dgm.ocpp.events import Copied, Effect, Event, FrameIn, Glance, Later, Leg, LegUp, Sampled, Send
from dgm.ocpp.session import Session
from dgm.ocpp.store import StationSettings
from frames import UTC_MS, answer, meter_values

GROUP = "one MeterValues in a session"
ROUNDS = 2_000
SETTINGS = StationSettings(
    station_id="CP-1",
    cpo_id="cpo",
    csms_url="ws://127.0.0.1:9",
    asset_id="evse-1",
    connector_id=1,
    phases=(0, 1, 2),
    current_max_ma=16_000,
    fallback_ma=6_000,
    nominal_voltage_mv=230_000,
    profile_lease_ms=120_000,
    max_stack_level=8,
    trigger_interval_ms=10_000,
    call_timeout_ms=10_000,
)


class Driver:
    """A connected, started session and one reading after the other for it, 10 ms apart."""

    def __init__(self) -> None:
        ids = itertools.count(1)
        self.session = Session([SETTINGS], lambda: f"own-{next(ids)}")
        self.numbers = itertools.count(1)
        self.now = Now(mono_ms=1_000, utc_ms=UTC_MS)
        self.put(LegUp(leg=Leg.NORTH))
        self.put(LegUp(leg=Leg.SOUTH, subprotocol="ocpp1.6"))
        self.put(FrameIn(leg=Leg.SOUTH, raw=b'[2,"b","BootNotification",{}]'))
        self.put(FrameIn(leg=Leg.NORTH, raw=b'[3,"b",{"status":"Accepted"}]'))

    def put(self, event: Event) -> list[Effect]:
        """Both halves of an event; all effects."""
        effects = self.session.handle(event, self.now)
        for effect in effects:
            if isinstance(effect, Later):
                effects = effects + self.session.handle(effect.event, self.now)
        return effects

    def reading(self) -> bytes:
        """The next reading, 10 ms later."""
        number = next(self.numbers)
        self.now = Now(mono_ms=1_000 + number * 10, utc_ms=UTC_MS + number * 10)
        return meter_values(number)


@pytest.fixture
def driver() -> Driver:
    return Driver()


@pytest.mark.benchmark(group=GROUP)
def test_passed_on(benchmark: BenchmarkFixture, driver: Driver) -> None:
    def passed(call: bytes, result: bytes) -> tuple[Glance, Glance]:
        return driver.session.pass_on(Leg.SOUTH, call), driver.session.pass_on(Leg.NORTH, result)

    def frames() -> tuple[tuple[bytes, bytes], dict[str, Any]]:
        call = driver.reading()
        return (call, answer(1)), {}

    assert benchmark.pedantic(passed, setup=frames, rounds=ROUNDS) == (Glance.COPY, Glance.PASS)
    assert driver.session.memory.counters.north >= ROUNDS, "every reading went north"


@pytest.mark.benchmark(group=GROUP)
def test_decoded(benchmark: BenchmarkFixture, driver: Driver) -> None:
    def copied() -> tuple[tuple[Copied], dict[str, Any]]:
        return (Copied(leg=Leg.SOUTH, raw=driver.reading()),), {}

    effects = benchmark.pedantic(driver.put, setup=copied, rounds=ROUNDS)
    assert any(isinstance(effect, Sampled) and effect.power_w == 11_040 for effect in effects)


@pytest.mark.benchmark(group=GROUP)
def test_the_long_way(benchmark: BenchmarkFixture, driver: Driver) -> None:
    def frame_in() -> tuple[tuple[FrameIn], dict[str, Any]]:
        return (FrameIn(leg=Leg.SOUTH, raw=driver.reading()),), {}

    effects = benchmark.pedantic(driver.put, setup=frame_in, rounds=ROUNDS)
    assert [type(effect) for effect in effects[:2]] == [Send, Later]


@pytest.mark.benchmark(group=GROUP)
def test_json_there_and_back(benchmark: BenchmarkFixture) -> None:
    raw = meter_values(1)
    benchmark.pedantic(lambda: json.dumps(json.loads(raw)).encode(), rounds=ROUNDS)
