"""AS/NZS 4755 demand response modes, as a CSIP-AUS device of that kind tells them in DERStatus.

    ruling() ──demand_response_mode──> 0..8 ──der_status──> operationalModeStatus 100..108

The mode is what the control means, and not a measurement: opModConnect false is 0, opModFixedW says the others. A
share that AS/NZS 4755 has no mode for is told as none, and so is 0 %, which could be 1 or 5. No effect of a control
changes by it.
"""

from __future__ import annotations

from collections.abc import Mapping

from dgm.der.schedule import ControlSegment

DISCONNECT = 0
MODES: Mapping[int, int] = {
    1: 1,
    5_000: 2,
    7_500: 3,
    10_000: 4,
    -1: 5,
    -5_000: 6,
    -7_500: 7,
    -10_000: 8,
}
"""Mode by opModFixedW in hundredths of a percent, into the plant: 1 to 4 bound use, 5 to 8 delivery."""


def demand_response_mode(ruling: Mapping[str, ControlSegment]) -> int | None:
    """The mode that the controls in force mean; None: none of 0 to 8."""
    connect, fixed = ruling.get("opModConnect"), ruling.get("opModFixedW")
    if connect is not None and connect.value.on is False:
        return DISCONNECT
    return None if fixed is None or fixed.value.permyriad is None else MODES.get(fixed.value.permyriad)
