"""Who a 2030.5 device is: LFDI and SFDI from its certificate, check digits, and the ids that it makes (S18 6.3).

DER certificate ──SHA-256──> leftmost 160 bits = LFDI ; leftmost 36 bits + check digit = SFDI
mRID = 96 bits of a hash + 32 bits of PEN, written in hex by the standard and in decimal digits by CSIP-AUS
"""

from __future__ import annotations

import hashlib
from enum import Enum

LFDI_DIGITS = 40
SFDI_BITS = 36
PIN_DIGITS = 6
MRID_DIGITS = 32
PEN_DIGITS = 8


class PenForm(Enum):
    """How the private enterprise number stands in the last 8 digits of an identifier; the utility's profile says."""

    DECIMAL = "decimal"
    HEX = "hex"


def lfdi_of(certificate_der: bytes) -> str:
    """Long form identifier: 40 upper-case hex digits (the case that CSIP-AUS servers expect)."""
    return hashlib.sha256(certificate_der).hexdigest()[:LFDI_DIGITS].upper()


def sfdi_of(lfdi: str) -> int:
    """Short form identifier of an LFDI, check digit included. ValueError when it is not 40 hex digits."""
    if len(lfdi) != LFDI_DIGITS:
        raise ValueError(f"LFDI {lfdi!r}: {len(lfdi)} characters; expected {LFDI_DIGITS} hex digits")
    return with_check_digit(int(lfdi, 16) >> (LFDI_DIGITS * 4 - SFDI_BITS))


def with_check_digit(number: int) -> int:
    """Append the decimal digit that makes the digit sum a multiple of ten."""
    digit_sum = sum(int(digit) for digit in str(number))
    return number * 10 + (-digit_sum) % 10


def is_valid_pin(pin: str) -> bool:
    """Six decimal digits whose last one is the check digit of the others."""
    if len(pin) != PIN_DIGITS or not (pin.isascii() and pin.isdigit()):
        return False
    return sum(int(digit) for digit in pin) % 10 == 0


def pen_digits(pen: int, form: PenForm) -> str:
    """The last 8 digits of an identifier. ValueError for a number that 8 digits of that form cannot hold."""
    digits = f"{pen:0{PEN_DIGITS}d}" if form is PenForm.DECIMAL else f"{pen:0{PEN_DIGITS}X}"
    if pen < 0 or len(digits) > PEN_DIGITS:
        raise ValueError(f"PEN {pen}; expected 0..{10**PEN_DIGITS - 1 if form is PenForm.DECIMAL else 2**32 - 1}")
    return digits


def mrid_of(lfdi: str, name: str, pen: int, form: PenForm = PenForm.DECIMAL) -> str:
    """An mRID that is the same after every restart: from the device and the name of the thing, ending in the PEN."""
    return _hashed(f"{lfdi}:{name}", MRID_DIGITS - PEN_DIGITS) + pen_digits(pen, form)


def child_lfdi(aggregator_lfdi: str, site: str, pen: int, form: PenForm = PenForm.DECIMAL) -> str:
    """LFDI of a site that an aggregator registers without a certificate of its own, ending in the aggregator's PEN.

    CSIP-AUS leaves the rest to the utility's handbook; here it is a hash, so that the same site keeps its LFDI.
    """
    return _hashed(f"{aggregator_lfdi}:{site}", LFDI_DIGITS - PEN_DIGITS) + pen_digits(pen, form)


def _hashed(text: str, digits: int) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:digits].upper()
