"""Load control on the EVs: an EndDeviceControl with a duty cycle becomes a bound of what the site's loads take.

    EndDeviceControl {deviceCategory, DutyCycle} ──engine──> holder per category ──> Bound "EndDeviceControl"

The duty cycle of a load that modulates is its share of the rated power: 40 % of 100 kW of EVSEs bounds GROSS_LOAD,
EVSEs and battery charge, to 40 kW. Set points and offsets of temperature, appliances and reductions by an amount of
which nobody says from what are not followed: a control of those alone is answered as not applicable. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable

from dgm.api.config.v1.config_pb2 import DgmConfig
from dgm.der.envelope import LOAD_CONTROL, Bound
from dgm.der.function_sets import LoadAction
from dgm.der.schedule import Event

LOAD_CATEGORIES = sum(1 << bit for bit in (9, 14, 16, 17))
"""Managed C&I loads, EMS, EV, EVSE (S18 DeviceCategoryType)."""
FOLLOWED = frozenset({"duty_percent"})
NOMINAL_MV = 230_000


def evse_rating_w(config: DgmConfig) -> int:
    """What all EVSEs may take together, W; 0: there is none, and then no load control is for this site."""
    evses = [evse for station in config.stations for evse in station.evses]
    return sum(len(evse.phases) * evse.current_max_ma * NOMINAL_MV // 1_000_000 for evse in evses)


def load_bound(holders: Iterable[Event[LoadAction]], rating_w: int) -> Bound | None:
    """The tightest of the controls that hold now; ends by rule with its event. None: nothing is bounded."""
    events = {event.mrid: event for event in holders}
    found = [(event, duty_of(event)) for event in events.values()]
    bounding = [(duty, event) for event, duty in found if duty is not None]
    if not bounding:
        return None
    duty, event = min(bounding, key=lambda pair: (pair[0], pair[1].mrid))
    return Bound(
        mode=LOAD_CONTROL,
        power_w=rating_w * duty // 100,
        mrid=event.mrid,
        began_utc_ms=event.start_ms,
        end_utc_ms=event.end_ms,
        event_end_ms=event.end_ms,
        failsafe_w=None,
        ramp_ms=0,
    )


def duty_of(event: Event[LoadAction]) -> int | None:
    """Percent; None: the control states none."""
    stated = [action.duty_percent for _, action in event.notice.values if action.duty_percent is not None]
    return min(stated, default=None)
