"""Demand response modes of AS/NZS 4755: which mode a control means, and that nobody is told of one unasked."""

from __future__ import annotations

import re
from typing import Any

import pytest
from der_joined import Joined, SitePlant, joined

from dgm.sim.utility import judge

TOLD = re.compile(r"operationalModeStatus><dateTime>\d+</dateTime><value>(\d+)<")


def mode_told(modes: dict[str, object], **options: Any) -> int:
    """operationalModeStatus while a control rules."""
    steps = [
        {"do": [{"program": {"name": "1", "primacy": 0}}]},
        {"do": [{"control": {"name": "c", "program": "1", "duration_s": 600, "modes": modes}}]},
    ]
    world: Joined = joined(steps, plant=SitePlant(generation_w=60_000), **options).run(200)
    found = TOLD.search(world.server.records.puts["DERStatus"].replace(judge.SEP, ""))
    assert found is not None
    return int(found[1])


@pytest.mark.parametrize(
    ("modes", "told"),
    [
        ({"opModFixedW": -1}, 101),
        ({"opModFixedW": -5_000}, 102),
        ({"opModFixedW": -7_500}, 103),
        ({"opModFixedW": -10_000}, 104),
        ({"opModFixedW": 1}, 105),
        ({"opModFixedW": 5_000}, 106),
        ({"opModFixedW": 7_500}, 107),
        ({"opModFixedW": 10_000}, 108),
        ({"opModConnect": False}, 100),
        ({"opModConnect": False, "opModFixedW": 5_000}, 100),
    ],
)
def test_a_device_of_that_kind_tells_the_mode_that_its_control_means(modes: dict[str, object], told: int) -> None:
    assert mode_told(modes, demand_response_modes=True) == told


@pytest.mark.parametrize("modes", [{"opModFixedW": 0}, {"opModFixedW": 6_000}, {"opModConnect": True}])
def test_a_share_without_a_mode_of_its_own_is_told_as_none(modes: dict[str, object]) -> None:
    assert mode_told(modes, demand_response_modes=True) in (1, 2)


def test_any_other_device_and_any_other_edition_tells_no_such_mode() -> None:
    assert mode_told({"opModFixedW": 5_000}) in (1, 2)
    assert mode_told({"opModFixedW": 5_000}, demand_response_modes=True, utility="2018") in (1, 2)
