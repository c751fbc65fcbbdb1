"""The frames that the Rust codec is held against are those that pymodbus writes today."""

from __future__ import annotations

import modbus_vectors


def test_the_vectors_of_the_rust_codec_are_what_pymodbus_writes() -> None:
    assert modbus_vectors.content() == modbus_vectors.VECTORS.read_text(encoding="ascii")
