"""The guard's machine: limited until permitted, limited again when the guard is gone, never free by silence."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest
from ems_examples import at, demo_config
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from policy_examples import Run, evse, picture

from dgm.api.config.v1.config_pb2 import PolicyConfig, PolicyParameter
from dgm.api.core.v1.core_pb2 import LimitSet
from dgm.api.ems.v1.policy_pb2 import GuardState, GuardStatement, ReportGuardRequest, ReportGuardResponse
from dgm.ems.cycle import Cycle
from dgm.ems.events import Reply, SendLimits
from dgm.ems.policies.lpc import Memory, limit_of, minimum_w, nameplate, step
from dgm.ems.snapshot import GUARD_SILENT_MS, GuardSeen, Stated
from dgm.machine import Tick
from dgm.site.refusal import Refusal

INIT = GuardState.GUARD_STATE_INIT
CONTROLLED = GuardState.GUARD_STATE_CONTROLLED
LIMITED = GuardState.GUARD_STATE_LIMITED
FAILSAFE = GuardState.GUARD_STATE_FAILSAFE
AUTONOMOUS = GuardState.GUARD_STATE_AUTONOMOUS
FREE = (CONTROLLED, AUTONOMOUS)
FAILSAFE_W = 30_000
SECOND = 1000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE


class Guard:
    """A guard that talks, and the machine that listens each second."""

    def __init__(self) -> None:
        self.now_ms = self.number = 0
        self.seen: GuardSeen | None = None
        self.memory: Memory | None = None
        self.beats = True
        self.look()

    def say(self, power_w: int | None, duration_ms: int | None = None) -> None:
        self.number += 1
        self.beat(Stated(number=self.number, at_mono_ms=self.now_ms, power_w=power_w, duration_ms=duration_ms))

    def beat(self, stated: Stated | None = None) -> None:
        held = self.seen
        alive = held is not None and self.now_ms - held.heard_mono_ms < GUARD_SILENT_MS
        since_ms = held.since_mono_ms if held is not None and alive else self.now_ms
        stated = stated or (held.stated if held else None)
        self.seen = GuardSeen(heard_mono_ms=self.now_ms, since_mono_ms=since_ms, stated=stated)
        self.look()

    def look(self) -> None:
        self.memory = step(self.memory, self.seen, self.now_ms)

    def wait(self, span_ms: int) -> None:
        """Look each second; beat each minute unless silent."""
        for _ in range(span_ms // SECOND):
            self.now_ms += SECOND
            if self.beats and self.now_ms % MINUTE == 0:
                self.beat()
            self.look()

    @property
    def state(self) -> GuardState:
        assert self.memory is not None
        return self.memory.state

    @property
    def limit_w(self) -> int | None:
        assert self.memory is not None
        return limit_of(self.memory, FAILSAFE_W)


def limited(power_w: int = 50_000, duration_ms: int | None = None) -> Guard:
    guard = Guard()
    guard.beat()
    guard.wait(SECOND)
    guard.say(power_w, duration_ms)
    assert (guard.state, guard.limit_w) == (LIMITED, power_w)
    return guard


def test_from_the_start_on_the_failsafe_limits_however_long_nobody_speaks() -> None:
    guard = Guard()
    guard.beats = False
    guard.wait(10 * MINUTE)
    assert (guard.state, guard.limit_w) == (INIT, FAILSAFE_W)


def test_a_statement_must_follow_a_sign_of_life() -> None:
    guard = Guard()
    guard.say(None)
    assert guard.state == INIT
    guard.wait(SECOND)
    guard.say(None)
    assert (guard.state, guard.limit_w) == (CONTROLLED, None)


def test_a_limit_that_comes_as_the_first_sign_tightens_the_failsafe_at_once_and_holds_later() -> None:
    guard = Guard()
    guard.say(10_000)
    assert (guard.state, guard.limit_w) == (INIT, 10_000)
    guard.wait(3 * MINUTE)
    assert (guard.state, guard.limit_w) == (LIMITED, 10_000)


def test_a_silent_guard_means_the_failsafe_after_two_minutes_and_for_hours() -> None:
    guard = limited()
    guard.beats = False
    guard.wait(GUARD_SILENT_MS - SECOND)
    assert guard.state == LIMITED
    guard.wait(SECOND)
    assert (guard.state, guard.limit_w) == (FAILSAFE, FAILSAFE_W)
    guard.wait(3 * HOUR)
    assert (guard.state, guard.limit_w) == (FAILSAFE, FAILSAFE_W)


def test_a_limit_below_the_failsafe_is_not_loosened_by_silence() -> None:
    guard = limited(5_000)
    guard.beats = False
    guard.wait(HOUR)
    assert (guard.state, guard.limit_w) == (FAILSAFE, 5_000)


def test_a_sign_of_life_alone_keeps_the_failsafe_and_with_a_limit_leaves_it() -> None:
    guard = limited()
    guard.beats = False
    guard.wait(10 * MINUTE)
    guard.beat()
    assert guard.state == FAILSAFE
    guard.wait(SECOND)
    guard.say(60_000)
    assert (guard.state, guard.limit_w) == (LIMITED, 60_000)


def test_a_guard_that_is_back_and_states_nothing_for_two_minutes_leaves_the_site_free_by_rule() -> None:
    guard = limited()
    guard.beats = False
    guard.wait(10 * MINUTE)
    guard.beats = True
    guard.beat()
    guard.wait(2 * MINUTE - SECOND)
    assert guard.state == FAILSAFE
    guard.wait(SECOND)
    assert (guard.state, guard.limit_w) == (AUTONOMOUS, None)
    guard.beats = False
    guard.wait(2 * MINUTE)
    assert guard.state == FAILSAFE


def test_one_sign_of_life_and_then_silence_frees_nobody() -> None:
    guard = limited()
    guard.beats = False
    guard.wait(10 * MINUTE)
    guard.beat()
    guard.wait(HOUR)
    assert guard.state == FAILSAFE


def test_a_limit_without_duration_never_ends_while_its_guard_is_there() -> None:
    guard = limited()
    guard.wait(3 * HOUR)
    assert guard.state == LIMITED


def test_a_limit_with_a_duration_ends_in_a_permit_while_its_guard_is_there() -> None:
    guard = limited(duration_ms=10 * MINUTE)
    guard.wait(10 * MINUTE - SECOND)
    assert guard.state == LIMITED
    guard.wait(SECOND)
    assert guard.state == CONTROLLED


@pytest.mark.parametrize(("devices", "power_w"), [(1, 4200), (2, 7560), (9, 19_320), (104, 198_870), (105, 200_760)])
def test_the_minimum_of_many_devices_is_that_of_the_decree(devices: int, power_w: int) -> None:
    assert minimum_w(devices) == power_w


def test_generation_that_the_building_does_not_use_may_be_charged_on_top() -> None:
    run = Run("lpc", guard="api:box", failsafe_w="10_000")
    sunny = picture(net_w=-15_000, solar_w=20_000, evses=[evse(3), evse(4)])
    (cap,) = run(sunny).circuit_caps
    assert (cap.bound, cap.failsafe) == (25_000, 10_000)
    (cap,) = run(replace(sunny, net_w=None)).circuit_caps
    assert cap.bound == 10_000


def test_even_without_limit_the_cap_is_a_lease_that_ends_in_the_failsafe() -> None:
    run = Run("lpc", guard="api:box")
    stated = Stated(number=1, at_mono_ms=2000, power_w=None)
    seen = GuardSeen(heard_mono_ms=2000, since_mono_ms=1000, stated=stated)
    (cap,) = run(picture(2000, guards={"api:box": seen})).circuit_caps
    assert run.memory.state == CONTROLLED
    assert cap.bound == nameplate(picture().topology)
    assert cap.failsafe == minimum_w(2)


def machine() -> Cycle:
    config = demo_config()
    parameters = {"guard": PolicyParameter(values=["api:box"]), "failsafe_w": PolicyParameter(values=["9000"])}
    config.ems.policies.append(PolicyConfig(name="lpc", parameters=parameters))
    return Cycle(config, epoch=1)


def sent(effects: list[object]) -> list[tuple[str, int, int]]:
    found = [LimitSet.FromString(effect.limits) for effect in effects if isinstance(effect, SendLimits)]
    return [(one.source, one.bound, one.failsafe_bound) for one in found[-1].limits] if found else []


def test_the_failsafe_is_with_the_core_before_its_first_tick() -> None:
    cycle = machine()
    assert sent(list(cycle.restore({}, at(0)))) == [("policy:lpc", 9000, 9000)]


def test_what_a_guard_states_is_with_the_core_before_it_is_answered() -> None:
    cycle = machine()
    cycle.restore({}, at(0))
    cycle.handle(ReportGuardRequest(source="api:box"), at(1000))
    request = ReportGuardRequest(source="api:box", statement=GuardStatement(active=True, power_w=4200))
    effects = cycle.handle(request, at(2000))
    assert sent(list(effects)) == [("policy:lpc", 4200, 9000)]
    answer = effects[-1]
    assert isinstance(answer, Reply)
    assert answer.message == ReportGuardResponse(state=LIMITED, power_w=4200)


@pytest.mark.parametrize(
    ("source", "statement", "field"),
    [
        ("api:other", None, "source"),
        ("api:box", GuardStatement(active=True), "statement.power_w"),
        ("api:box", GuardStatement(active=True, power_w=-1), "statement.power_w"),
        ("api:box", GuardStatement(active=True, power_w=1, duration_ms=0), "statement.duration_ms"),
        ("api:box", GuardStatement(active=False, power_w=1), "statement.power_w"),
    ],
)
def test_a_statement_that_cannot_be_meant_is_refused_and_changes_nothing(
    source: str, statement: GuardStatement | None, field: str
) -> None:
    cycle = machine()
    cycle.restore({}, at(0))
    (answer,) = cycle.handle(ReportGuardRequest(source=source, statement=statement), at(1000))
    assert isinstance(answer, Reply)
    assert isinstance(answer.message, Refusal)
    assert answer.message.field == field
    assert not sent(list(cycle.handle(Tick(), at(1000))))


class GuardTalk(RuleBasedStateMachine):
    """A guard that says and leaves out what it likes."""

    @initialize()
    def begin(self) -> None:
        self.guard = Guard()
        self.guard.beats = False
        self.said: list[tuple[int, int | None, int | None]] = []
        self.heard: list[int] = []

    @rule(power_w=st.none() | st.integers(0, 100_000), duration_s=st.none() | st.integers(1, 600))
    def states(self, power_w: int | None, duration_s: int | None) -> None:
        duration_ms = None if power_w is None or duration_s is None else duration_s * SECOND
        self.said.append((self.guard.now_ms, power_w, duration_ms))
        self.heard.append(self.guard.now_ms)
        self.guard.say(power_w, duration_ms)

    @rule()
    def beats(self) -> None:
        self.heard.append(self.guard.now_ms)
        self.guard.beat()

    @rule(seconds=st.integers(1, 200))
    def passes(self, seconds: int) -> None:
        for _ in range(seconds):
            self.guard.wait(SECOND)
            self.check()

    @invariant()
    def check(self) -> None:
        """Free only while the guard is there, and permitted it, or has said nothing for two minutes of being there."""
        if not hasattr(self, "guard"):
            return
        guard, now_ms = self.guard, self.guard.now_ms
        if guard.state not in FREE:
            assert guard.limit_w is not None
            return
        assert self.heard
        assert now_ms - self.heard[-1] < GUARD_SILENT_MS
        if guard.state == AUTONOMOUS:
            recent = [time for time in self.heard if time >= now_ms - GUARD_SILENT_MS]
            gaps = [later - earlier for earlier, later in pairwise(recent)]
            assert all(gap < GUARD_SILENT_MS for gap in gaps)
            return
        at_ms, power_w, duration_ms = self.said[-1]
        if power_w is not None:
            assert duration_ms is not None
            assert now_ms >= at_ms + duration_ms


TestGuardTalk = GuardTalk.TestCase
TestGuardTalk.settings = settings(max_examples=40, stateful_step_count=20, deadline=None)
