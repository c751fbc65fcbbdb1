"""OCPP 1.6 frames for the benchmarks: MeterValues of eight values (about 680 bytes), and its answer."""

from __future__ import annotations

import json

UTC_MS = 1_800_000_000_000
STAMP = "2027-01-15T08:{minute:02}:{second:02}.{millis:03}Z"
"""UTC_MS is 2027-01-15T08:00:00Z."""


def meter_values(number: int) -> bytes:
    """The reading taken `number` x 10 ms after UTC_MS, as the wire has it."""
    seconds, millis = divmod(number * 10, 1000)
    currents = [("Current.Import", phase, "A", "16.0") for phase in ("L1", "L2", "L3")]
    voltages = [("Voltage", phase, "V", "230.1") for phase in ("L1-N", "L2-N", "L3-N")]
    sampled: list[dict[str, str]] = [
        {"value": value, "measurand": measurand, "phase": phase, "unit": unit}
        for measurand, phase, unit, value in currents + voltages
    ]
    sampled.append({"value": "11040", "measurand": "Power.Active.Import", "unit": "W"})
    sampled.append({"value": str(123_456 + number), "measurand": "Energy.Active.Import.Register", "unit": "Wh"})
    stamp = STAMP.format(minute=seconds // 60, second=seconds % 60, millis=millis)
    payload = {"connectorId": 1, "transactionId": 7, "meterValue": [{"timestamp": stamp, "sampledValue": sampled}]}
    return json.dumps([2, f"m{number}", "MeterValues", payload], separators=(",", ":")).encode()


def answer(number: int) -> bytes:
    """The CSMS's answer to it."""
    return json.dumps([3, f"m{number}", {}], separators=(",", ":")).encode()
