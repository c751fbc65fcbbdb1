"""From the ruling control of each limit mode to the limits that the EMS is to hold.

    scheduler.timeline(mode) ──> Bound per mode ──> PutLimit id "utility:<mode>"        none ──> DeleteLimit

One id per mode, replaced in place at every change: there is no moment with neither the old nor the new bound. While
an event rules, its lease runs to its effective end. When a default is known the lease carries it as failsafe and lasts
GRACE_MS longer: the live gateway replaces the limit at the end itself; if it is dead the EMS goes to the default.
Without a default the limit ends by rule exactly at the end (or GRACE_MS later where another event follows at once).
A default alone is a heartbeat that is renewed; unheard, it stays as its own failsafe. The seconds that the schedule
bridges between two events are a bound like another. Modes beyond the four limits: `Scheduler.ruling()`. Nothing sends.
"""

from __future__ import annotations

from dataclasses import dataclass

from dgm.api.ems.v1.ems_pb2 import Limit, Quantity
from dgm.der.resource import LIMIT_MODES
from dgm.der.schedule import ControlSegment
from dgm.der.scheduler import Scheduler

GRACE_MS = 10_000
DEFAULT_LEASE_MS = 600_000
RENEW_MS = 200_000
"""A default is put again this often."""
LEASE_MS_MAX = 300 * 86_400_000
"""A longer event is leased for this long and leased again before that."""
SOURCE = "utility:der"
"""One source for all utility limits: the EMS lets only the same source replace a limit, and the mRID changes."""

QUANTITIES = {
    "opModImpLimW": Quantity.QUANTITY_NET_IMPORT,
    "opModExpLimW": Quantity.QUANTITY_NET_EXPORT,
    "opModGenLimW": Quantity.QUANTITY_GROSS_GENERATION,
    "opModLoadLimW": Quantity.QUANTITY_GROSS_LOAD,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """What the EMS is to hold for one mode. end_utc_ms: end of the lease on the server's clock; None: renewed.

    event_end_ms: when the event itself ends, None for a default. failsafe_w None: the lease ends by rule.
    """

    mode: str
    power_w: int
    mrid: str
    began_utc_ms: int
    end_utc_ms: int | None
    event_end_ms: int | None
    failsafe_w: int | None
    ramp_ms: int


def bounds(scheduler: Scheduler, at_ms: int) -> dict[str, Bound]:
    """The bound of every mode that something rules now. at_ms: the server's clock."""
    found: dict[str, Bound] = {}
    for mode in LIMIT_MODES:
        rows = scheduler.timeline(mode, most=2)
        if rows and rows[0].start_ms <= at_ms and rows[0].value.power_w is not None:
            found[mode] = _bound(mode, rows, scheduler.default_mode(mode))
    return found


def _bound(mode: str, rows: tuple[ControlSegment, ...], default: ControlSegment | None) -> Bound:
    ruling = rows[0]
    power_w = ruling.value.power_w
    assert power_w is not None, "a limit mode carries a power"
    failsafe_w = None if default is None else default.value.power_w
    lease_end_ms = None
    if not ruling.is_default and ruling.end_ms is not None:
        follows = default is not None or (len(rows) > 1 and rows[1].start_ms == ruling.end_ms)
        lease_end_ms = ruling.end_ms + (GRACE_MS if follows else 0)
    return Bound(
        mode=mode,
        power_w=power_w,
        mrid=ruling.mrid,
        began_utc_ms=ruling.began_ms,
        end_utc_ms=lease_end_ms,
        event_end_ms=None if ruling.is_default else ruling.end_ms,
        failsafe_w=failsafe_w,
        ramp_ms=ruling.ramp_ms,
    )


def lease_ms(bound: Bound, at_ms: int) -> int:
    """How long the EMS is to hold it from now on."""
    if bound.end_utc_ms is None:
        return DEFAULT_LEASE_MS
    return min(max(bound.end_utc_ms - at_ms, 1), LEASE_MS_MAX)


def renew_after_ms(bound: Bound, at_ms: int) -> int | None:
    """When the same bound has to be put again; None: its lease needs no renewal."""
    if bound.end_utc_ms is None:
        return RENEW_MS
    return LEASE_MS_MAX // 2 if bound.end_utc_ms - at_ms > LEASE_MS_MAX else None


def limit_of(bound: Bound, circuit_id: str, at_ms: int) -> Limit:
    """The message, as of now. A ramp that has begun is stated with what is left of it."""
    what = "DefaultDERControl" if bound.event_end_ms is None else "DERControl"
    return Limit(
        id=f"utility:{bound.mode}",
        source=SOURCE,
        circuit_id=circuit_id,
        quantity=QUANTITIES[bound.mode],
        power_w=bound.power_w,
        ttl_ms=lease_ms(bound, at_ms),
        failsafe_power_w=bound.failsafe_w,
        ramp_ms=max(0, bound.ramp_ms - max(0, at_ms - bound.began_utc_ms)),
        reason=f"{what} {bound.mrid} {bound.mode}",
    )
