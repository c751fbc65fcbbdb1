"""The table of control modes: complete, ordered, with the bits of the standards."""

from __future__ import annotations

import pytest

from dgm.der.mode import MODES, Bitmap, Origin, Value, bits_of
from dgm.der.resource import LIMIT_MODES


def test_every_bit_of_a_bitmap_has_at_most_one_mode() -> None:
    places = [(mode.bitmap, mode.bit) for mode in MODES.values()]
    assert len(set(places)) == len(places)


@pytest.mark.parametrize(
    ("origin", "count"), [(Origin.S18, 25), (Origin.S23, 15), (Origin.AUS_12, 4), (Origin.AUS_13, 1)]
)
def test_every_edition_is_listed_whole(origin: Origin, count: int) -> None:
    assert sum(mode.origin is origin for mode in MODES.values()) == count


def test_the_bits_of_2018_leave_no_gap_after_charge_and_discharge() -> None:
    assert sorted(mode.bit for mode in MODES.values() if mode.origin is Origin.S18) == list(range(2, 27))


def test_the_limits_of_csip_aus_come_last_in_their_own_order() -> None:
    assert tuple(MODES)[-5:] == (*LIMIT_MODES, "opModStorageTargetW")
    assert all(MODES[name].value is Value.POWER for name in LIMIT_MODES)


def test_the_element_name_rules_which_bit_is_export() -> None:
    assert bits_of(["opModExpLimW"], Bitmap.DOE) == 1
    assert bits_of(["opModImpLimW", "opModConnect"], Bitmap.DOE) == 2
    assert bits_of(["opModImpLimW", "opModConnect"], Bitmap.MODES) == 4
