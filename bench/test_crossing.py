"""What it costs to bring the values of 1,000 EVSEs across the border of the two languages, each second.

Integer columns as the product uses them (making the columns from rows included), against the same values as protobuf
messages in the same run: made and serialised in Python on the way in, parsed and read on the way out.
"""

from __future__ import annotations

from array import array

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from dgm import _core
from dgm.api.core.v1.core_pb2 import Decision
from dgm.api.ems.v1.ems_pb2 import Target
from dgm.api.site.v1.site_pb2 import PhaseValues, ReportSamplesRequest, Sample
from dgm.ems.columns import columns
from rig import FIRST_EVSE, Rig

EVSES = 1_000
SAMPLE_WIDTH, TARGET_WIDTH = len(_core.SAMPLE_COLUMNS), len(_core.TARGET_COLUMNS)
GRANT_WIDTH = len(_core.GRANT_COLUMNS)
Rows = list[tuple[int | None, ...]]


@pytest.fixture(scope="module")
def rig() -> Rig:
    return Rig(EVSES)


def rows_of(words: array[int], width: int) -> Rows:
    """Column words as the rows that Python holds; absence is None again."""
    values = [None if word == _core.ABSENT32 else word for word in words]
    return [tuple(values[at : at + width]) for at in range(0, len(values), width)]


def as_samples(rows: Rows) -> bytes:
    samples = [
        Sample(
            asset_id=f"e{index}", age_ms=age, plug_state=plug, power_w=power, current_ma=PhaseValues(l1=a, l2=b, l3=c)
        )
        for index, age, plug, power, a, b, c, *_ in rows
    ]
    return ReportSamplesRequest(source="ocpp:1", samples=samples).SerializeToString()


def as_targets(rows: Rows) -> list[bytes]:
    return [
        Target(id=f"e{index}", asset_id=f"e{index}", want_ma=want, priority=stratum).SerializeToString()
        for index, (want, _, stratum, _) in enumerate(rows)
    ]


@pytest.mark.benchmark(group="samples in, 1,000 EVSEs")
def test_samples_as_columns(benchmark: BenchmarkFixture, rig: Rig) -> None:
    rows = rows_of(rig.samples(), SAMPLE_WIDTH)
    benchmark(lambda: rig.arbiter.put_samples(columns(rows), rig.now_ms))


@pytest.mark.benchmark(group="samples in, 1,000 EVSEs")
def test_samples_as_messages(benchmark: BenchmarkFixture, rig: Rig) -> None:
    benchmark(as_samples, rows_of(rig.samples(), SAMPLE_WIDTH))


@pytest.mark.benchmark(group="targets in, 1,000 EVSEs")
def test_targets_as_columns(benchmark: BenchmarkFixture, rig: Rig) -> None:
    rows = rows_of(rig.targets, TARGET_WIDTH)
    benchmark(lambda: rig.arbiter.put_targets(columns(rows), 3_000, rig.now_ms))


@pytest.mark.benchmark(group="targets in, 1,000 EVSEs")
def test_targets_as_messages(benchmark: BenchmarkFixture, rig: Rig) -> None:
    benchmark(as_targets, rows_of(rig.targets, TARGET_WIDTH)[FIRST_EVSE:])


@pytest.mark.benchmark(group="grants out, 1,000 EVSEs")
def test_grants_as_columns(benchmark: BenchmarkFixture, rig: Rig) -> None:
    values = benchmark(lambda: memoryview(rig.arbiter.grants()).cast("q")[::GRANT_WIDTH].tolist())
    assert max(values) == 32_000


@pytest.mark.benchmark(group="grants out, 1,000 EVSEs")
def test_grants_as_messages(benchmark: BenchmarkFixture, rig: Rig) -> None:
    """What the ems role does each tick for explanations: the whole decision as one message."""
    values = benchmark(lambda: [grant.current_ma for grant in Decision.FromString(rig.arbiter.decision()).grants])
    assert max(values) == 32_000
