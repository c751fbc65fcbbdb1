"""Identity vectors and rules (S18 6.3)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dgm.der.identity import is_valid_pin, lfdi_of, sfdi_of, with_check_digit


def test_the_published_lfdi_gives_the_published_sfdi() -> None:
    assert sfdi_of("3E4F45AB31EDFE5B67E343E5E4562E31984E23E5") == 167261211391


def test_the_lfdi_is_the_left_160_bits_of_the_fingerprint_in_upper_case() -> None:
    assert lfdi_of(b"") == "E3B0C44298FC1C149AFBF4C8996FB92427AE41E4"


@pytest.mark.parametrize(("digits", "pin"), [(11111, 111115), (12345, 123455)])
def test_published_pins(digits: int, pin: int) -> None:
    assert with_check_digit(digits) == pin
    assert is_valid_pin(str(pin))


@given(st.integers(0, 2**36 - 1))
def test_the_digits_of_an_sfdi_sum_to_a_multiple_of_ten(bits: int) -> None:
    lfdi = f"{bits << 124:040X}"
    assert sum(map(int, str(sfdi_of(lfdi)))) % 10 == 0
    assert sfdi_of(lfdi) // 10 == bits


@pytest.mark.parametrize("pin", ["", "11111", "111116", "1111150", "11111a", "١١١١١٥", " 11115"])
def test_a_wrong_pin_is_refused(pin: str) -> None:
    assert not is_valid_pin(pin)


@pytest.mark.parametrize("lfdi", ["", "3E4F", "Z" * 40])
def test_an_lfdi_that_is_none_is_refused(lfdi: str) -> None:
    with pytest.raises(ValueError, match=r"hex digits|invalid literal"):
        sfdi_of(lfdi)
