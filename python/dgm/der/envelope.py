"""From the ruling control of each mode that bounds power to the limits that the EMS is to hold.

    scheduler.timeline(mode) ──> Bound per mode ──> PutLimit id "utility:<mode>"        none ──> DeleteLimit

Imp and Exp bind the connection point's meter, Gen and Load the devices, the MaxLim modes the net output of PV and
batteries (the Arbiter shares it out), those that end in Absorb what batteries charge; Connect or Energize false bounds
what PV, batteries and V2X put out to 0 W.

One id per mode, replaced in place at every change: there is no moment with neither the old nor the new bound. While
an event rules, its lease runs to its effective end. When a default is known the lease carries it as failsafe and lasts
GRACE_MS longer: the live gateway replaces the limit at the end itself; if it is dead the EMS goes to the default.
Without a default the limit ends by rule exactly at the end (or GRACE_MS later where another event follows at once).
A default alone is a heartbeat that is renewed; unheard, it stays as its own failsafe. The seconds that the schedule
bridges between two events are a bound like another. Targets of power are not here: `effect`. Nothing sends.
"""

from __future__ import annotations

from dataclasses import dataclass

from dgm.api.ems.v1.ems_pb2 import Limit, Quantity
from dgm.der.resource import ControlMode
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
UNBOUND_W = 1_000_000_000
"""Put while an event frees what the default would bound: the default is then the failsafe."""

QUANTITIES = {
    "opModImpLimW": Quantity.QUANTITY_NET_IMPORT,
    "opModExpLimW": Quantity.QUANTITY_NET_EXPORT,
    "opModGenLimW": Quantity.QUANTITY_GROSS_GENERATION,
    "opModLoadLimW": Quantity.QUANTITY_GROSS_LOAD,
    "opModMaxLimW": Quantity.QUANTITY_DER_OUTPUT,
    "opModMaxLimWInject": Quantity.QUANTITY_DER_OUTPUT,
    "opModConnect": Quantity.QUANTITY_GROSS_GENERATION,
    "opModEnergize": Quantity.QUANTITY_GROSS_GENERATION,
    "opModMaxLimWAbsorb": Quantity.QUANTITY_STORAGE_CHARGE,
    "opModMaxLimPctWAbsorb": Quantity.QUANTITY_STORAGE_CHARGE,
}
"""Every mode that becomes a limit of the EMS."""
LOAD_CONTROL, FLOW_MODE = "EndDeviceControl", "flowReservation"
"""No control modes: what load control leaves the loads, and what a flow reservation grants, both limits on charging."""
LIMITED = {**QUANTITIES, **dict.fromkeys((FLOW_MODE, LOAD_CONTROL), Quantity.QUANTITY_GROSS_LOAD)}
"""Everything of the utility that becomes a limit of the EMS."""
ABSORBED = ("opModMaxLimWAbsorb", "opModMaxLimPctWAbsorb")
"""Bound what the plant takes, which is what its batteries charge; a percentage is of setMaxChargeRateW."""
SWITCHES = ("opModConnect", "opModEnergize")
"""False: nothing may come out. They never ramp."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """What the EMS is to hold for one mode. end_utc_ms: end of the lease on the server's clock; None: renewed.

    event_end_ms: when the event itself ends, None for a default. failsafe_w None: the lease ends by rule. ramp_ms None:
    the control states no ramp, so that setGradW applies.
    """

    mode: str
    power_w: int
    mrid: str
    began_utc_ms: int
    end_utc_ms: int | None
    event_end_ms: int | None
    failsafe_w: int | None
    ramp_ms: int | None


def bounds(scheduler: Scheduler, at_ms: int, *, max_w: int = 0, charge_w: int = 0) -> dict[str, Bound]:
    """The bound of every mode that something rules now. at_ms: the server's clock. max_w: setMaxW.

    charge_w: setMaxChargeRateW.
    """
    found: dict[str, Bound] = {}
    for mode in QUANTITIES:
        rows = scheduler.timeline(mode, most=2)
        if rows and rows[0].start_ms <= at_ms:
            whole_w = charge_w if mode in ABSORBED else max_w
            bound = _bound(mode, rows, scheduler.default_mode(mode), whole_w)
            if bound is not None:
                found[mode] = bound
    return found


def bound_w(mode: ControlMode, max_w: int) -> int | None:
    """W that a mode allows; None: it bounds nothing."""
    if mode.is_disabled:
        return None
    if mode.name in SWITCHES:
        return 0 if mode.on is False else None
    if mode.permyriad is not None:
        return max(mode.permyriad, 0) * max_w // 10_000
    return mode.power_w


def _bound(mode: str, rows: tuple[ControlSegment, ...], default: ControlSegment | None, max_w: int) -> Bound | None:
    ruling = rows[0]
    power_w = bound_w(ruling.value, max_w)
    failsafe_w = None if default is None else bound_w(default.value, max_w)
    if power_w is None and (ruling.is_default or failsafe_w is None):
        return None
    lease_end_ms = None
    if not ruling.is_default and ruling.end_ms is not None:
        follows = failsafe_w is not None or _is_followed(rows, max_w)
        lease_end_ms = ruling.end_ms + (GRACE_MS if follows else 0)
    return Bound(
        mode=mode,
        power_w=UNBOUND_W if power_w is None else power_w,
        mrid=ruling.mrid,
        began_utc_ms=ruling.began_ms,
        end_utc_ms=lease_end_ms,
        event_end_ms=None if ruling.is_default else ruling.end_ms,
        failsafe_w=failsafe_w,
        ramp_ms=0 if mode in SWITCHES else ruling.ramp_ms,
    )


def _is_followed(rows: tuple[ControlSegment, ...], max_w: int) -> bool:
    """Whether the next row begins where the first ends, and bounds too."""
    return len(rows) > 1 and rows[1].start_ms == rows[0].end_ms and bound_w(rows[1].value, max_w) is not None


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
    what = "FlowReservationResponse" if bound.mode == FLOW_MODE else what
    reason = f"{LOAD_CONTROL} {bound.mrid}" if bound.mode == LOAD_CONTROL else f"{what} {bound.mrid} {bound.mode}"
    return Limit(
        id=f"utility:{bound.mode}",
        source=SOURCE,
        circuit_id=circuit_id,
        quantity=LIMITED[bound.mode],
        power_w=bound.power_w,
        ttl_ms=lease_ms(bound, at_ms),
        failsafe_power_w=bound.failsafe_w,
        ramp_ms=max(0, (bound.ramp_ms or 0) - max(0, at_ms - bound.began_utc_ms)),
        reason=reason,
    )
