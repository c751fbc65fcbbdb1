"""What one update of a WatchSite reader costs for 1,000 EVSEs, against the message itself.

"snapshot": every asset; "delta": the 100 whose reading has changed since the last update; each built from the site's
state and serialised. Comparator in the same group: parsing and serialising the finished message again, which is the
price of protobuf alone for the same content.
"""

from __future__ import annotations

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from dgm.api.site.v1.site_pb2 import PlugState, Quality, WatchSiteResponse
from dgm.machine import Now
from dgm.site.state import Reading, SiteState
from dgm.site.topology import Topology
from tree import site

EVSES, CHANGED = 1_000, 100
NOW = Now(mono_ms=1_000_000, utc_ms=1_800_000_000_000)


def reading(number: int) -> Reading:
    return Reading(
        quality=Quality.QUALITY_GOOD,
        measured_ms=NOW.mono_ms - 500,
        power_w=11_000 + number,
        current_ma=(16_000, 16_000, 16_000),
        voltage_mv=(230_100, 230_200, 230_300),
        energy_wh=123_456,
        plug_state=PlugState.PLUG_STATE_CHARGING,
    )


@pytest.fixture(scope="module")
def state() -> SiteState:
    topology = Topology.from_config(site(EVSES))
    state = SiteState(topology, 12_000)
    for asset in topology.assets:
        state.put_reading(asset.index, reading(asset.index))
    return state


def again(raw: bytes) -> bytes:
    return WatchSiteResponse.FromString(raw).SerializeToString()


@pytest.mark.benchmark(group="WatchSite snapshot, 1,000 EVSEs")
def test_snapshot(benchmark: BenchmarkFixture, state: SiteState) -> None:
    raw = benchmark(lambda: state.update(NOW, since=None).SerializeToString())
    assert len(WatchSiteResponse.FromString(raw).samples) == EVSES + 3


@pytest.mark.benchmark(group="WatchSite snapshot, 1,000 EVSEs")
def test_snapshot_message_alone(benchmark: BenchmarkFixture, state: SiteState) -> None:
    benchmark(again, state.update(NOW, since=None).SerializeToString())


@pytest.mark.benchmark(group="WatchSite delta, 100 of 1,000 EVSEs")
def test_delta(benchmark: BenchmarkFixture, state: SiteState) -> None:
    since = state.version
    for index in range(CHANGED):
        state.put_reading(index, reading(index + 1))
    raw = benchmark(lambda: state.update(NOW, since=since).SerializeToString())
    assert len(WatchSiteResponse.FromString(raw).samples) == CHANGED


@pytest.mark.benchmark(group="WatchSite delta, 100 of 1,000 EVSEs")
def test_delta_message_alone(benchmark: BenchmarkFixture, state: SiteState) -> None:
    since = state.version
    for index in range(CHANGED):
        state.put_reading(index, reading(index + 2))
    benchmark(again, state.update(NOW, since=since).SerializeToString())
