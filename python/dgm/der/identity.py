"""Who a 2030.5 device is: LFDI and SFDI from its certificate, and the check digit of SFDI and PIN (S18 6.3).

DER certificate ──SHA-256──> leftmost 160 bits = LFDI ; leftmost 36 bits + check digit = SFDI
"""

from __future__ import annotations

import hashlib

LFDI_DIGITS = 40
SFDI_BITS = 36
PIN_DIGITS = 6


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
