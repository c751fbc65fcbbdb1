"""What one decision costs on a running site, as a multiple of the bare sharing of the same tree in the same run.

"tick": battery and PV recomputed with EVSE grants held, every 100 ms. "cycle": EVSE grants recomputed too, every 1 s:
accounting of what each EVSE counts at, admission at 6 A, sharing, steps, proofs. The image, samples and outcomes before
it are put outside the measured time.
"""

from __future__ import annotations

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from dgm import _core
from rig import FIRST_EVSE, GRANT_WIDTH, Rig
from tree import tree

SIZES = (100, 1_000)
ROUNDS = 100


@pytest.mark.parametrize("evses", SIZES)
def test_bare_sharing(benchmark: BenchmarkFixture, evses: int) -> None:
    benchmark.group = f"one decision, {evses} EVSEs"
    words = tree(evses).words()
    benchmark.pedantic(lambda: _core.allocate(words), rounds=ROUNDS, warmup_rounds=5)


@pytest.mark.parametrize("evses", SIZES)
def test_tick(benchmark: BenchmarkFixture, evses: int) -> None:
    benchmark.group = f"one decision, {evses} EVSEs"
    rig = Rig(evses)
    is_cycle = benchmark.pedantic(lambda: rig.arbiter.decide(rig.now_ms), setup=rig.before_tick, rounds=ROUNDS)
    assert is_cycle is False


@pytest.mark.parametrize("evses", SIZES)
def test_cycle(benchmark: BenchmarkFixture, evses: int) -> None:
    benchmark.group = f"one decision, {evses} EVSEs"
    rig = Rig(evses)
    charging = sum(rig.grants()[(FIRST_EVSE + index) * GRANT_WIDTH] > 0 for index in range(evses))
    assert charging > evses / 2, "the benchmark's site charges most of its cars"
    is_cycle = benchmark.pedantic(lambda: rig.arbiter.decide(rig.now_ms), setup=rig.before_cycle, rounds=ROUNDS)
    assert is_cycle is True
