"""Identity vectors and rules (S18 6.3)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dgm.der.identity import (
    PenForm,
    child_lfdi,
    is_valid_pin,
    lfdi_of,
    mrid_of,
    pen_digits,
    sfdi_of,
    with_check_digit,
)


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


LFDI = "3E4F45AB31EDFE5B67E343E5E4562E31984E23E5"


@given(st.integers(0, 10**8 - 1), st.text(max_size=20), st.sampled_from(PenForm))
def test_what_the_device_names_ends_in_its_pen_and_is_the_same_every_time(pen: int, name: str, form: PenForm) -> None:
    digits = f"{pen:08d}" if form is PenForm.DECIMAL else f"{pen:08X}"
    assert pen_digits(pen, form) == digits
    for made, length in ((mrid_of(LFDI, name, pen, form), 32), (child_lfdi(LFDI, name, pen, form), 40)):
        assert len(made) == length
        assert made.endswith(digits)
        assert int(made, 16) >= 0
        assert made == made.upper()
    assert mrid_of(LFDI, name, pen, form) == mrid_of(LFDI, name, pen, form)
    assert str(sfdi_of(child_lfdi(LFDI, name, pen, form)))


def test_two_sites_of_an_aggregator_have_two_identities() -> None:
    assert child_lfdi(LFDI, "site 1", 37244) != child_lfdi(LFDI, "site 2", 37244)
    assert child_lfdi(LFDI, "site 1", 37244).endswith("00037244")
    assert child_lfdi(LFDI, "site 1", 37244, PenForm.HEX).endswith("0000917C")


@pytest.mark.parametrize(("pen", "form"), [(-1, PenForm.DECIMAL), (10**8, PenForm.DECIMAL), (2**32, PenForm.HEX)])
def test_a_pen_that_does_not_fit_is_refused(pen: int, form: PenForm) -> None:
    with pytest.raises(ValueError, match=f"PEN {pen}"):
        pen_digits(pen, form)
