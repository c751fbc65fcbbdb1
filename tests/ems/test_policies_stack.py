"""How policies are run, combined, and set aside."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import pytest
from ems_examples import B1, E1, E2, GARAGE, GRID, M1, PV1, at, demo_config, sample
from hypothesis import given
from hypothesis import strategies as st
from policy_examples import TOPOLOGY, picture

from dgm import config as site_config
from dgm.api.config.v1.config_pb2 import DgmConfig
from dgm.api.core.v1.core_pb2 import LimitSet
from dgm.api.ems.v1.ems_pb2 import PutTargetRequest, Quantity, Target
from dgm.api.site.v1.site_pb2 import PlugState, ReportSamplesRequest
from dgm.ems.cycle import Cycle
from dgm.ems.events import SendLimits, SendTargets
from dgm.ems.limits import Stage
from dgm.ems.policies import registry
from dgm.ems.policies.parameters import described
from dgm.ems.snapshot import Snapshot
from dgm.ems.stack import LEASE_MS, REST_MS_MIN, SLOW_US, Aside, Chosen, Policy, Stack
from dgm.ems.steering import AssetCap, AssetWant, CircuitCap, Share, Targets, combine, nonsense, whole_weights
from dgm.errors import ConfigError
from dgm.machine import Tick

IMPORT = Quantity.QUANTITY_NET_IMPORT


@dataclass(frozen=True)
class NoParams:
    """None."""


class Scripted:
    """A policy that does what the test last told it."""

    def __init__(self, name: str = "one") -> None:
        self.act: Callable[[Snapshot], Any] = lambda snapshot: Targets()
        self.chosen = Chosen(
            label=name,
            policy=Policy(name=name, title="", params=NoParams, decide=lambda snapshot, params: self.act(snapshot)),
            params=NoParams(),
        )


class Watch:
    """A stopwatch that the test moves."""

    us = 0
    step_us = 0

    def __call__(self) -> int:
        self.us += self.step_us
        return self.us


def cap(bound: int = 50_000, **fields: Any) -> CircuitCap:
    return CircuitCap(key="k", circuit_index=GRID, quantity=IMPORT, bound=bound, why="a test", **fields)


def stack_of(*policies: Scripted, watch: Watch | None = None) -> Stack:
    return Stack([policy.chosen for policy in policies], TOPOLOGY, watch or Watch())


def raise_error(snapshot: Snapshot) -> Targets:
    raise ZeroDivisionError("a bug of a guest")


NONSENSE: Sequence[object] = (
    None,
    Targets(circuit_caps=[cap(bound=-1)]),
    Targets(circuit_caps=[cap(bound=math.nan)]),  # type: ignore[arg-type]
    Targets(circuit_caps=[cap(failsafe=-5)]),
    Targets(circuit_caps=[cap(), cap()]),
    Targets(circuit_caps=[CircuitCap(key="k", circuit_index=9, quantity=IMPORT, bound=1, why="")]),
    Targets(circuit_caps=[CircuitCap(key="k", circuit_index=GARAGE, quantity=IMPORT, bound=1, why="")]),
    Targets(asset_caps=[AssetCap(asset_index=77, high=0, why="")]),
    Targets(asset_caps=[AssetCap(asset_index=M1, high=0, why="")]),
    Targets(asset_caps=[AssetCap(asset_index=E1, high=-1, why="")]),
    Targets(asset_caps=[AssetCap(asset_index=B1, low=1, why="")]),
    Targets(wants=[AssetWant(asset_index=E1, value=40_000, why="")]),
    Targets(wants=[AssetWant(asset_index=B1, value=True, why="")]),
    Targets(shares=[Share(asset_index=E1, factor=math.nan, why="")]),
    Targets(shares=[Share(asset_index=E1, factor=0.0, why="")]),
    Targets(shares=[Share(asset_index=PV1, why="")]),
    Targets(shares=[Share(asset_index=E1, stratum=-1, why="")]),
    Targets(alone=frozenset({99})),
    Targets(wants="no list of wants"),  # type: ignore[arg-type]
)


@pytest.mark.parametrize("answer", NONSENSE)
def test_nonsense_sets_a_policy_aside_and_the_others_go_on(answer: object) -> None:
    bad, good = Scripted("bad"), Scripted("good")
    good.act = lambda snapshot: Targets(asset_caps=[AssetCap(asset_index=E1, high=7000, why="x")])
    stack = stack_of(bad, good)
    bad.act = lambda snapshot: answer
    assert stack.run(picture()).of(E1).high == 7000
    (news,) = stack.take_news()
    assert news.label == "bad"
    assert news.why in (Aside.NONSENSE, Aside.RAISED)
    assert stack.seats[0].aside[news.why] == 1
    bad.act = lambda snapshot: Targets()
    stack.run(picture(1000))
    assert [(news.label, news.why) for news in stack.take_news()] == [("bad", None)]


def test_the_last_good_result_holds_to_the_end_of_its_lease_and_then_the_failsafe() -> None:
    one = Scripted()
    one.act = lambda snapshot: Targets(
        circuit_caps=[cap(50_000, failsafe=20_000)], asset_caps=[AssetCap(asset_index=E1, high=7000, why="x")]
    )
    stack = stack_of(one)
    stack.run(picture(0))
    one.act = raise_error
    assert stack.run(picture(LEASE_MS - 1)).of(E1).high == 7000
    assert [active.bound for active in stack.active(at(LEASE_MS - 1))] == [50_000]
    assert stack.run(picture(LEASE_MS)).of(E1).high is None
    assert [active.bound for active in stack.active(at(LEASE_MS))] == [20_000]
    (entry,) = stack.book.entries()
    assert entry.stage is Stage.LOST
    one.act = lambda snapshot: Targets(circuit_caps=[cap(60_000, failsafe=20_000)])
    stack.run(picture(LEASE_MS + 1000))
    assert [active.bound for active in stack.active(at(LEASE_MS + 1000))] == [60_000]


def test_a_wish_of_economy_is_gone_when_its_lease_is() -> None:
    one = Scripted()
    one.act = lambda snapshot: Targets(circuit_caps=[cap()])
    stack = stack_of(one)
    stack.run(picture(0))
    one.act = raise_error
    stack.run(picture(LEASE_MS))
    assert not stack.active(at(LEASE_MS))
    assert [entry.limit.id for entry in stack.take_ended()] == ["policy:one:k"]


def test_a_policy_that_says_no_more_of_a_cap_takes_it_back_at_once() -> None:
    one = Scripted()
    one.act = lambda snapshot: Targets(circuit_caps=[cap(failsafe=1)])
    stack = stack_of(one)
    stack.run(picture(0))
    one.act = lambda snapshot: Targets()
    stack.run(picture(1000))
    assert not stack.active(at(1000))


def test_a_slow_policy_is_not_used_and_rests_twice_as_long_each_time() -> None:
    one, watch = Scripted(), Watch()
    one.act = lambda snapshot: Targets(circuit_caps=[cap()])
    stack = stack_of(one, watch=watch)
    watch.step_us = SLOW_US + 1
    stack.run(picture(0))
    assert not stack.active(at(0))
    stack.run(picture(REST_MS_MIN - 1))
    assert stack.seats[0].runs == 1
    stack.run(picture(REST_MS_MIN))
    stack.run(picture(3 * REST_MS_MIN - 1))
    assert stack.seats[0].runs == 2
    watch.step_us = 0
    stack.run(picture(3 * REST_MS_MIN))
    assert [active.bound for active in stack.active(at(3 * REST_MS_MIN))] == [50_000]
    assert stack.seats[0].rest_ms == 0


def test_what_a_policy_remembers_comes_back_to_it_alone() -> None:
    one, other, seen = Scripted("one"), Scripted("other"), []
    one.act = lambda snapshot: Targets(memory=(snapshot.memory or 0) + 1)
    other.act = lambda snapshot: seen.append(snapshot.memory) or Targets()  # type: ignore[func-returns-value]
    stack = stack_of(one, other)
    for mono_ms in range(3):
        stack.run(picture(mono_ms))
    assert stack.seats[0].memory == 3
    assert seen == [None, None, None]


def test_the_core_is_told_at_each_change_and_before_the_leases_end() -> None:
    one = Scripted()
    one.act = lambda snapshot: Targets(circuit_caps=[cap()])
    stack = stack_of(one)
    stack.run(picture(0))
    told = 0
    for mono_ms in range(0, 60_000, 1000):
        stack.run(picture(mono_ms))
        if stack.is_due(at(mono_ms)):
            (active,) = stack.active(at(mono_ms))
            assert active.ttl_ms == LEASE_MS
            told += 1
    assert told == 6
    one.act = lambda snapshot: Targets(circuit_caps=[cap(40_000)])
    stack.run(picture(60_000))
    assert stack.is_due(at(60_000))


AMPS = st.integers(0, 32).map(lambda amps: amps * 1000)
RESULTS = st.lists(
    st.builds(
        Targets,
        asset_caps=st.lists(st.builds(AssetCap, asset_index=st.sampled_from([E1, E2]), high=AMPS, why=st.just("c"))),
        wants=st.lists(st.builds(AssetWant, asset_index=st.just(E1), value=AMPS, why=st.just("w"))),
        shares=st.lists(
            st.builds(
                Share,
                asset_index=st.just(E1),
                factor=st.floats(0.1, 10.0),
                stratum=st.none() | st.integers(0, 5),
                why=st.just("s"),
            ),
            max_size=2,
        ),
    ),
    max_size=4,
)


@given(RESULTS)
def test_caps_intersect_wants_rank_and_weights_multiply(results: list[Targets]) -> None:
    steer = combine((str(rank), targets) for rank, targets in enumerate(results)).of(E1)
    caps = [cap.high for targets in results for cap in targets.asset_caps if cap.asset_index == E1]
    assert steer.high == min((high for high in caps if high is not None), default=None)
    wants = [want.value for targets in results for want in targets.wants]
    assert steer.want == (wants[0] if wants else None)
    shares = [share for targets in results for share in targets.shares]
    assert steer.factor == pytest.approx(math.prod(share.factor for share in shares))
    strata = [share.stratum for share in shares if share.stratum is not None]
    assert steer.stratum == (strata[0] if strata else None)


@given(RESULTS, AMPS)
def test_below_a_policy_that_stands_alone_nobody_has_a_say(results: list[Targets], amps: int) -> None:
    first = Targets(wants=[AssetWant(asset_index=E1, value=amps, why="")], alone=frozenset({E1}))
    steer = combine([("first", first), *(("other", targets) for targets in results)]).of(E1)
    assert (steer.want, steer.high, steer.factor) == (amps, None, 1.0)


@given(st.lists(st.floats(0.001, 1000.0), min_size=1, max_size=20))
def test_whole_weights_keep_order_and_range(weights: list[float]) -> None:
    whole = whole_weights(weights)
    assert all(1 <= one <= 65_535 for one in whole)
    for one, other, given_one, given_other in zip(whole, whole[1:], weights, weights[1:], strict=False):
        assert (one <= other) or given_one > given_other * 0.999


def test_weights_within_a_hundred_keep_their_proportions_to_two_percent() -> None:
    whole = whole_weights([0.5, 1.0, 3.0, 50.0])
    assert [one / whole[0] for one in whole] == pytest.approx([1, 2, 6, 100], rel=0.02)


def site(policies: str) -> DgmConfig:
    return demo_config_with(f"ems: {{policies: [{policies}]}}\n")


def demo_config_with(text: str) -> DgmConfig:
    from ems_examples import SITE

    return site_config.parse(SITE + text)


@pytest.mark.parametrize(
    ("policies", "path", "found"),
    [
        ("{name: peek}", "ems.policies[0].name", "'peek'"),
        ("{name: lpc}", "ems.policies[0].parameters.guard", "nothing"),
        ("{name: lpc, parameters: {guard: 'api:x', failsafe_w: -1}}", "ems.policies[0].parameters.failsafe_w", "'-1'"),
        ("{name: lpc, parameters: {guard: 'api:x', circuit: attic}}", "ems.policies[0].parameters.circuit", "'attic'"),
        ("{name: lpc, parameters: {guard: [a, b]}}", "ems.policies[0].parameters.guard", "a list of 2"),
        ("{name: promise, parameters: {a: {b: c}}}", "ems.policies[0].parameters.a", "a mapping or a list of lists"),
        ("{name: promise, parameters: {strata: 1}}", "ems.policies[0].parameters.strata", "unknown parameter 'strata'"),
    ],
)
def test_a_wrong_policy_is_told_with_its_place_and_what_is_expected(policies: str, path: str, found: str) -> None:
    with pytest.raises(ConfigError) as caught:
        site(policies)
    (problem,) = caught.value.problems
    assert (problem.path, problem.found) == (path, found)
    assert problem.line is not None


def test_an_unknown_time_zone_is_told() -> None:
    with pytest.raises(ConfigError) as caught:
        demo_config_with("ems: {time_zone: Europe/Atlantis}\n")
    assert caught.value.problems[0].path == "ems.time_zone"


def test_a_policy_listed_twice_has_two_names() -> None:
    chosen, findings = registry.chosen(site("{name: promise}, {name: promise, parameters: {stratum: 2}}").ems.policies)
    assert not findings
    assert [one.label for one in chosen] == ["promise", "promise-2"]


@pytest.mark.parametrize("name", registry.policies())
def test_every_policy_says_what_it_is_for_and_what_its_parameters_mean(name: str) -> None:
    policy = registry.policies()[name]
    assert policy.title
    for key, expected, _, doc in described(policy.params):
        assert key
        assert expected
        assert doc, f"{name}.{key}"


def machine(text: str) -> Cycle:
    cycle = Cycle(demo_config_with(text), epoch=1)
    cycle.restore({}, at(0))
    report = [sample(name, PlugState.PLUG_STATE_CHARGING, ma=6000) for name in ("e1", "e2")]
    cycle.handle(ReportSamplesRequest(source="ocpp:1", sequence=1, samples=report), at(0))
    return cycle


def wants(effects: Sequence[object]) -> list[tuple[int | None, ...]]:
    return next(list(effect.rows) for effect in effects if isinstance(effect, SendTargets))


def test_shares_of_policies_reach_the_core_as_whole_weights_in_proportion() -> None:
    rows = wants(machine("ems: {policies: [{name: equal_share}]}\n").handle(Tick(), at(0)))
    assert rows[E1][1] == rows[E2][1]
    assert rows[E1][2] == rows[E2][2] == 1


def test_a_target_of_the_api_ranks_above_the_wants_of_policies() -> None:
    cycle = machine("ems: {policies: [{name: equal_share}]}\n")
    target = Target(id="t", source="api:x", asset_id="e1", want_ma=9000, ttl_ms=5000)
    rows = wants(cycle.handle(PutTargetRequest(target=target), at(0)))
    assert rows[E1][0] == 9000


def test_a_site_without_policies_sends_no_caps_and_the_same_wants_as_before() -> None:
    cycle = Cycle(demo_config(), epoch=1)
    effects = cycle.restore({}, at(0))
    (limits,) = [effect for effect in effects if isinstance(effect, SendLimits)]
    assert not LimitSet.FromString(limits.limits).limits
    assert not any(isinstance(effect, SendLimits) for effect in cycle.handle(Tick(), at(0)))


def test_nothing_of_what_a_shipped_policy_says_of_an_empty_site_is_nonsense() -> None:
    cycle = machine("ems: {policies: [{name: lpc, parameters: {guard: 'api:x'}}, {name: promise}]}\n")
    cycle.handle(Tick(), at(0))
    assert [seat.why for seat in cycle.guidance.stack.seats] == [None, None]
    assert all(nonsense(seat.held, cycle.topology) is None for seat in cycle.guidance.stack.seats)
