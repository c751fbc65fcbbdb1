"""Pricing (S18 10.6): tariff, its components, and their prices by time and by consumption.

    TariffProfile ── RateComponent (of what) ── TimeTariffInterval (when) ── ConsumptionTariffInterval (price)

A price is an integer; the currency amount is price x 10^price_power_of_ten per unit of the component's ReadingType.
CSIP-AUS v1.3 adds a list of all intervals of a tariff and a summary of prices inside the interval.
"""

from __future__ import annotations

from dataclasses import dataclass

from dgm.der.resources.event import EventStatus, Interval


@dataclass(frozen=True, slots=True, kw_only=True)
class TariffProfile:
    """A tariff; the lower primacy wins. currency: ISO 4217 number."""

    href: str | None = None
    mrid: str
    description: str | None = None
    currency: int | None = None
    price_power_of_ten: int | None = None
    primacy: int
    rate_code: str | None = None
    rate_component_list_link: str | None = None
    service_category: int
    combined_interval_list_link: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TariffProfileList:
    """A page of tariffs."""

    href: str | None = None
    all: int
    results: int
    poll_s: int | None = None
    subscribable: int | None = None
    items: tuple[TariffProfile, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitValue:
    """value x 10^power_of_ten in `unit` (UomType)."""

    power_of_ten: int
    unit: int
    value: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RateComponent:
    """One priced quantity. role_flags: where it applies, as for usage points. Limits bound the flow rate it covers."""

    href: str | None = None
    mrid: str
    description: str | None = None
    active_interval_list_link: str | None = None
    flow_rate_end: UnitValue | None = None
    flow_rate_start: UnitValue | None = None
    reading_type_link: str
    role_flags: int
    interval_list_link: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RateComponentList:
    """A page of rate components."""

    href: str | None = None
    all: int
    results: int
    items: tuple[RateComponent, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class EnvironmentalCost:
    """A second price per unit (kind 0: g of CO2, 1 SO2, 2 NOx; 3: percent renewable). level: scarcity, of `levels`."""

    amount: int
    kind: int
    level: int
    levels: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsumptionTariffInterval:
    """The price above start_value consumed in the billing period."""

    href: str | None = None
    block: int
    environmental_costs: tuple[EnvironmentalCost, ...] = ()
    price: int | None = None
    start_value: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsumptionTariffIntervalList:
    """A page of prices."""

    href: str | None = None
    all: int
    results: int
    items: tuple[ConsumptionTariffInterval, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeTariffInterval:
    """An event: when the prices behind the link, or in `summary` (CSIP-AUS v1.3), apply."""

    href: str | None = None
    reply_to: str | None = None
    response_required: int | None = None
    mrid: str
    description: str | None = None
    creation_s: int
    status: EventStatus
    interval: Interval
    randomize_duration_s: int | None = None
    randomize_start_s: int | None = None
    prices_link: str | None = None
    tou_tier: int
    summary: ConsumptionTariffIntervalList | None = None
    rate_component_link: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeTariffIntervalList:
    """A page of tariff intervals. poll_s: CSIP-AUS 1.3 gives the list a rate of its own."""

    href: str | None = None
    all: int
    results: int
    poll_s: int | None = None
    subscribable: int | None = None
    items: tuple[TimeTariffInterval, ...] = ()
