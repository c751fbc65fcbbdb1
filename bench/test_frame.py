"""What it costs to know where a frame goes: a scan of its head, against decoding the whole of it as JSON.

The scan looks at type, id and action and checks the encoding of the rest; it is all that stands before a frame is
passed on. Comparator: `json.loads` of the same bytes. Both for a reading of about 680 bytes and for the 60 kB of a
talkative station's GetConfiguration answer.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from dgm.ocpp.frame import Head, scan
from frames import meter_values

KEYS = [{"key": f"Vendor.Setting{number:04}", "readonly": False, "value": "x" * 20} for number in range(750)]
FRAMES = {
    "MeterValues": meter_values(1),
    "GetConfiguration answer": json.dumps([3, "id-1", {"configurationKey": KEYS}]).encode(),
}
READERS: dict[str, Callable[[bytes], Any]] = {"scan": scan, "json.loads": json.loads}


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("name", FRAMES)
def test_read(benchmark: BenchmarkFixture, name: str, reader: str) -> None:
    raw = FRAMES[name]
    benchmark.group = f"routing one {name} of {len(raw)} bytes"
    found = benchmark(READERS[reader], raw)
    assert isinstance(found, Head) or len(found) >= 3
