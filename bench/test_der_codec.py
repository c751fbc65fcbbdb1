"""What it costs to understand a utility's list of controls, against parsing its XML and nothing more.

A DERControlList of 20 events with four modes each: about a day of half-hourly limits. `decode` yields checked, typed
events with units and signs converted. Comparator: the standard library's C parser on the same bytes, which yields a
tree of text; the rest is ours.
"""

from __future__ import annotations

from xml.etree import ElementTree

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from dgm.der import resource as r
from dgm.der.codec import decode, encode

EVENTS = 20
GROUP = f"a DERControlList of {EVENTS} events"
MODES = ("opModImpLimW", "opModExpLimW", "opModGenLimW", "opModLoadLimW")


def control(number: int) -> r.DERControl:
    modes = tuple(r.ControlMode(name=name, power_w=10_000 * (number + 1)) for name in MODES)
    return r.DERControl(
        href=f"/derp/1/derc/{number}",
        reply_to="/rsps/1/rsp",
        response_required=3,
        mrid=f"0600ABCD0000000000000000{number:08X}",
        description=f"event {number}",
        creation_s=1_793_000_000,
        status=r.EventStatus(current=r.EventState.SCHEDULED, changed_s=1_793_000_000, potentially_superseded=False),
        interval=r.Interval(duration_s=1_800, start_s=1_793_000_000 + 1_800 * number),
        randomize_start_s=60,
        base=r.ControlBase(modes=modes, ramp_ms=60_000),
    )


@pytest.fixture(scope="module")
def body() -> bytes:
    items = tuple(control(number) for number in range(EVENTS))
    return encode(r.DERControlList(href="/derp/1/derc", all=EVENTS, results=EVENTS, items=items))


@pytest.mark.benchmark(group=GROUP)
def test_decode(benchmark: BenchmarkFixture, body: bytes) -> None:
    found = benchmark(decode, body)
    assert isinstance(found, r.DERControlList)
    assert found.items[-1] == control(EVENTS - 1)


@pytest.mark.benchmark(group=GROUP)
def test_parse_alone(benchmark: BenchmarkFixture, body: bytes) -> None:
    assert len(benchmark(ElementTree.fromstring, body)) == EVENTS
