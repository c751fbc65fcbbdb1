"""Load control, pricing, messaging and flow reservation on the event engine of the DERControls.

    EndDeviceControl ──┐                        lane: each device category it is for
    TimeTariffInterval ├──read──> Notice ──> EventEngine      what is priced
    TextMessage        │                        the message itself: messages never contend
    FlowReservationResponse ──┘                 the request it answers; the newest grant of a request holds

The resources are in DGM units and signs, as the codec yields them; what each function set does differently is its
lanes, its rules (`profile`) and its values, never code of its own. What a value does to the site is not decided here.
A Source is a program with its primacy (a RateComponent with the primacy of its TariffProfile; flow reservation has one
source of primacy 0, the list below the EndDevice).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import pairwise

from dgm.api.der.v1.profile_pb2 import UtilityProfile
from dgm.der.engine import EventEngine
from dgm.der.orders import Device
from dgm.der.profile import load_control_rules, messaging_rules, pricing_rules, reservation_rules
from dgm.der.resource import EventStatus, Interval
from dgm.der.schedule import Notice

PERCENT_MAX = 100
CATEGORY_BITS = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadAction:
    """What an EndDeviceControl asks of loads; absent parts are not asked for.

    duty_percent: of the time that a load may be on at most. load_offset_permyriad: of the normal setting, subtracted;
    temperature offsets in tenths and set points in hundredths of a degree C. reduction and its unit (S18 UnitType):
    stay this much below. is_forward: offsets raise consumption instead of lowering it.
    """

    duty_percent: int | None = None
    load_offset_permyriad: int | None = None
    cooling_offset_dc: int | None = None
    heating_offset_dc: int | None = None
    cooling_setpoint_cc: int | None = None
    heating_setpoint_cc: int | None = None
    appliance_reduction: int | None = None
    reduction_unit: int | None = None
    reduction: int | None = None
    is_forward: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class EndDeviceControl:
    """A load control event. override_s: how long in all it may be overridden without opting out; None: 0."""

    mrid: str
    creation_s: int
    status: EventStatus
    interval: Interval
    reply_to: str | None = None
    response_required: int | None = None
    description: str | None = None
    randomize_start_s: int | None = None
    randomize_duration_s: int | None = None
    device_category: int
    is_mandatory: bool
    override_s: int | None = None
    action: LoadAction


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceBlock:
    """One step of consumption: from `start` units in the billing period on. price_micro: millionths of the currency.

    per_mwh: of the currency per MWh, where it is the price of energy that the site takes from the grid.
    """

    start: int
    price_micro: int | None = None
    per_mwh: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeTariffInterval:
    """A price for a while. priced: what it is the price of (commodity, direction, unit), the same for every tariff.

    tariff: mRID of its TariffProfile. currency: ISO 4217 number.
    """

    mrid: str
    creation_s: int
    status: EventStatus
    interval: Interval
    reply_to: str | None = None
    response_required: int | None = None
    description: str | None = None
    randomize_start_s: int | None = None
    randomize_duration_s: int | None = None
    priced: str
    tier: int = 0
    blocks: tuple[PriceBlock, ...] = ()
    tariff: str = ""
    currency: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TextMessage:
    """A message for people. priority: 0 low, 1 normal, 2 high, 3 critical (S18 PriorityType)."""

    mrid: str
    creation_s: int
    status: EventStatus
    interval: Interval
    reply_to: str | None = None
    response_required: int | None = None
    description: str | None = None
    originator: str | None = None
    priority: int
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowReservationResponse:
    """A grant. power_w, energy_wh: positive charges the storage (S18 writes it so here, the opposite of DER).

    subject: mRID of the request it answers.
    """

    mrid: str
    creation_s: int
    status: EventStatus
    interval: Interval
    reply_to: str | None = None
    response_required: int | None = None
    description: str | None = None
    subject: str
    power_w: int
    energy_wh: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """What holds in one lane of pricing."""

    tier: int
    blocks: tuple[PriceBlock, ...]
    tariff: str = ""
    currency: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """What is to be shown."""

    priority: int
    text: str
    originator: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """Power and energy granted to one request; positive charges."""

    power_w: int
    energy_wh: int


LoadControl = EventEngine[EndDeviceControl, LoadAction]
Pricing = EventEngine[TimeTariffInterval, Price]
Messaging = EventEngine[TextMessage, Text]
Reservation = EventEngine[FlowReservationResponse, Grant]
Draw = Callable[[int], int]


def load_control(profile: UtilityProfile, draw: Draw, *, categories: int, actions: frozenset[str]) -> LoadControl:
    """EndDeviceControls. actions: fields of LoadAction that this site can follow; a control with none is rejected."""
    read = partial(load_notice, categories=categories, actions=actions)
    device = Device(acts_on=None, categories=categories)
    return EventEngine(load_control_rules(profile), read=read, kind=LoadAction, device=device, draw=draw)


def pricing(profile: UtilityProfile, draw: Draw) -> Pricing:
    """TimeTariffIntervals."""
    device = Device(acts_on=None, categories=0)
    return EventEngine(pricing_rules(profile), read=price_notice, kind=Price, device=device, draw=draw)


def messaging(profile: UtilityProfile, draw: Draw) -> Messaging:
    """TextMessages; `Acknowledge` tells that one was read or cannot be shown."""
    device = Device(acts_on=None, categories=0)
    return EventEngine(messaging_rules(profile), read=text_notice, kind=Text, device=device, draw=draw)


def reservation(profile: UtilityProfile, draw: Draw) -> Reservation:
    """FlowReservationResponses; lanes are the mRIDs of the requests."""
    device = Device(acts_on=None, categories=0)
    return EventEngine(reservation_rules(profile), read=grant_notice, kind=Grant, device=device, draw=draw)


def messages(engine: Messaging) -> tuple[Text, ...]:
    """What is to be shown at the last handled `now`, the most important first, then the newest."""
    held = sorted(engine.holders().values(), key=lambda event: -event.notice.creation_s)
    texts = [value for event in held for value in event.modes]
    return tuple(sorted(texts, key=lambda text: -text.priority))


def load_notice(item: EndDeviceControl, *, categories: int, actions: frozenset[str]) -> Notice[LoadAction]:
    """A load control event; one value in the lane of each device category that it is for and that is here."""
    can = any(getattr(item.action, name) is not None for name in actions)
    both = item.device_category & categories
    lanes = [f"category {bit}" for bit in range(CATEGORY_BITS) if both >> bit & 1] if can else []
    return Notice(
        mrid=item.mrid,
        creation_s=item.creation_s,
        start_s=item.interval.start_s,
        duration_s=item.interval.duration_s,
        status=item.status.current,
        values=tuple((lane, item.action) for lane in lanes),
        reply_to=item.reply_to,
        response_required=item.response_required or 0,
        description=item.description or "",
        randomize_start_s=item.randomize_start_s or 0,
        randomize_duration_s=item.randomize_duration_s or 0,
        device_category=item.device_category,
        is_mandatory=item.is_mandatory,
        override_s=item.override_s or 0,
        fault=_load_fault(item.action),
    )


def _load_fault(action: LoadAction) -> str | None:
    if action.duty_percent is not None and not 0 <= action.duty_percent <= PERCENT_MAX:
        return f"DutyCycle: found {action.duty_percent}; expected 0..{PERCENT_MAX} percent"
    return None


def price_notice(item: TimeTariffInterval) -> Notice[Price]:
    """A price. Blocks have to begin at 0 and rise (S18 ConsumptionTariffInterval)."""
    starts = [block.start for block in item.blocks]
    is_sound = not starts or (starts[0] == 0 and all(a < b for a, b in pairwise(starts)))
    price = Price(tier=item.tier, blocks=item.blocks, tariff=item.tariff, currency=item.currency)
    return Notice(
        mrid=item.mrid,
        creation_s=item.creation_s,
        start_s=item.interval.start_s,
        duration_s=item.interval.duration_s,
        status=item.status.current,
        values=((item.priced, price),),
        reply_to=item.reply_to,
        response_required=item.response_required or 0,
        description=item.description or "",
        randomize_start_s=item.randomize_start_s or 0,
        randomize_duration_s=item.randomize_duration_s or 0,
        fault=None if is_sound else f"blocks start at {starts}; expected 0 and rising",
    )


def text_notice(item: TextMessage) -> Notice[Text]:
    """A message, in a lane of its own."""
    return Notice(
        mrid=item.mrid,
        creation_s=item.creation_s,
        start_s=item.interval.start_s,
        duration_s=item.interval.duration_s,
        status=item.status.current,
        values=((item.mrid, Text(priority=item.priority, text=item.text, originator=item.originator)),),
        reply_to=item.reply_to,
        response_required=item.response_required or 0,
        description=item.description or "",
    )


def grant_notice(item: FlowReservationResponse) -> Notice[Grant]:
    """A grant, in the lane of its request."""
    return Notice(
        mrid=item.mrid,
        creation_s=item.creation_s,
        start_s=item.interval.start_s,
        duration_s=item.interval.duration_s,
        status=item.status.current,
        values=((item.subject, Grant(power_w=item.power_w, energy_wh=item.energy_wh)),),
        reply_to=item.reply_to,
        response_required=item.response_required or 0,
        description=item.description or "",
        fault=None
        if item.power_w * item.energy_wh >= 0
        else f"found {item.power_w} W and {item.energy_wh} Wh; expected one direction",
    )
