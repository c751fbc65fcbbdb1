"""Load control, pricing, messages and flow reservation: what of them is to be fetched, and what was found listed.

    FunctionSetAssignments ─> DemandResponseProgramList ─> EndDeviceControls ─────────────┐
                           ─> MessagingProgramList ─> TextMessages ───────────────────────┤
                           ─> TariffProfileList ─> RateComponents, TimeTariffIntervals ─> prices ┤
    EndDevice ─> FlowReservationResponses ────────────────────────────────────────────────┴─> Source(s) of each set

Part of the walk, and pure. What an event means is `function_sets`; here resources become its classes. Tariffs price the
same thing where the ReadingTypes of their components say the same (`prices`). A set not known completely has no entry.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, Protocol

from dgm.der import function_sets as f
from dgm.der import prices
from dgm.der import resource as r
from dgm.der.nodes import Document, Kind, resolve
from dgm.der.orders import Source

PRICES_POLL_S = 86_400
"""The prices of one interval change with the interval, hardly alone; what a component prices never should."""
RESERVATION_PRIMACY = 0


class FunctionSet(Enum):
    """A function set beside DER; the value is the name of its part of the journal."""

    LOAD_CONTROL = "load_control"
    PRICING = "pricing"
    MESSAGING = "messaging"
    RESERVATION = "reservation"


Sources = tuple[Source[Any], ...]
Sets = Mapping[FunctionSet, Sources]
NOTHING: Sets = dict.fromkeys(FunctionSet, ())


class Want(Protocol):
    """Note a document as wanted; its content if it was fetched."""

    def __call__(self, kind: Kind, href: str, *, poll_s: int | None = None) -> Document | None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class _Component:
    """A priced quantity of one tariff. lane: what it prices; unlike that of every other component of the tariff."""

    component: r.RateComponent
    tariff: r.TariffProfile
    kind: r.ReadingType | None
    lane: str


class Groups:
    """Collects over all groups of one device. `base`: what links are relative to."""

    def __init__(self, base: str, want: Want) -> None:
        self._base = base
        self._want = want
        self._found: dict[FunctionSet, dict[str, Source[Any]]] = {name: {} for name in FunctionSet}
        self._unknown: set[FunctionSet] = set()

    def sources(self, *, is_assigned: bool) -> Sets:
        """Every set that is known completely. is_assigned: the groups are known; else only what needs none of them."""
        known = [name for name in FunctionSet if name not in self._unknown]
        known = [name for name in known if is_assigned or name is FunctionSet.RESERVATION]
        return {name: tuple(self._found[name].values()) for name in known}

    def take(self, item: r.FunctionSetAssignments) -> list[str]:
        """What one group assigns; the mRIDs of the sources found in it first, which run on its clock."""
        before = {mrid for found in self._found.values() for mrid in found}
        if item.demand_response_program_list_link:
            self._load_control(item.demand_response_program_list_link)
        if item.messaging_program_list_link:
            self._messaging(item.messaging_program_list_link)
        if item.tariff_profile_list_link:
            self._pricing(item.tariff_profile_list_link)
        return [mrid for found in self._found.values() for mrid in found if mrid not in before]

    def grants(self, own: r.EndDevice) -> None:
        """Answers to our own reservations, below our EndDevice."""
        link = own.flow_reservation_response_list_link
        if not link:
            return
        listed = self._want(Kind.GRANTS, link)
        if isinstance(listed, r.FlowReservationResponseList):
            items = tuple(_grant_of(item) for item in listed.items)
            self._add(FunctionSet.RESERVATION, "reservation", RESERVATION_PRIMACY, items)
        else:
            self._unknown.add(FunctionSet.RESERVATION)

    def _load_control(self, link: str) -> None:
        programs = self._want(Kind.LOAD_PROGRAMS, link)
        if not isinstance(programs, r.DemandResponseProgramList):
            self._unknown.add(FunctionSet.LOAD_CONTROL)
            return
        for program in programs.items:
            items: tuple[f.EndDeviceControl, ...] | None = ()
            if program.end_device_control_list_link:
                listed = self._want(Kind.LOAD_CONTROLS, program.end_device_control_list_link, poll_s=programs.poll_s)
                items = None
                if isinstance(listed, r.EndDeviceControlList):
                    items = tuple(_load_of(item) for item in listed.items)
            self._add(FunctionSet.LOAD_CONTROL, program.mrid, program.primacy, items)

    def _messaging(self, link: str) -> None:
        programs = self._want(Kind.MESSAGE_PROGRAMS, link)
        if not isinstance(programs, r.MessagingProgramList):
            self._unknown.add(FunctionSet.MESSAGING)
            return
        for program in programs.items:
            items: tuple[f.TextMessage, ...] | None = ()
            if program.text_message_list_link:
                listed = self._want(Kind.MESSAGES, program.text_message_list_link, poll_s=programs.poll_s)
                items = None
                if isinstance(listed, r.TextMessageList):
                    items = tuple(_text_of(item) for item in listed.items)
            self._add(FunctionSet.MESSAGING, program.mrid, program.primacy, items)

    def _pricing(self, link: str) -> None:
        tariffs = self._want(Kind.TARIFFS, link)
        if not isinstance(tariffs, r.TariffProfileList):
            self._unknown.add(FunctionSet.PRICING)
            return
        for tariff in tariffs.items:
            if not tariff.rate_component_list_link:
                continue
            listed = self._want(Kind.COMPONENTS, tariff.rate_component_list_link, poll_s=tariffs.poll_s)
            if not isinstance(listed, r.RateComponentList):
                self._unknown.add(FunctionSet.PRICING)
                continue
            components = self._priced(tariff, listed)
            self._new_components(tariff, listed, tariffs.poll_s)
            self._components(components, tariff.combined_interval_list_link, tariffs.poll_s)

    def _priced(self, tariff: r.TariffProfile, listed: r.RateComponentList) -> list[_Component]:
        """What each component prices. Several of one tariff for the same thing add up, so they do not contend."""
        found, count = [], Counter[str]()
        for item in sorted(listed.items, key=lambda item: item.mrid):
            fetched = self._want(Kind.READING_TYPE, item.reading_type_link, poll_s=PRICES_POLL_S)
            kind = fetched if isinstance(fetched, r.ReadingType) else None
            url = resolve(self._base, item.reading_type_link) or item.reading_type_link
            lane = prices.priced(item, kind, url)
            count[lane] += 1
            lane += f" #{count[lane]}" if count[lane] > 1 else ""
            found.append(_Component(component=item, tariff=tariff, kind=kind, lane=lane))
        return found

    def _new_components(self, tariff: r.TariffProfile, listed: r.RateComponentList, poll_s: int | None) -> None:
        """An interval of a component that is not known: the components are asked for again, as often as intervals."""
        combined = tariff.combined_interval_list_link
        intervals = self._want(Kind.INTERVALS, combined, poll_s=poll_s) if combined else None
        if not isinstance(intervals, r.TimeTariffIntervalList) or not tariff.rate_component_list_link:
            return
        known = {resolve(self._base, item.href) for item in listed.items if item.href}
        named = {resolve(self._base, item.rate_component_link) for item in intervals.items if item.rate_component_link}
        if named - known:
            rate_s = poll_s if intervals.poll_s is None else intervals.poll_s
            self._want(Kind.COMPONENTS, tariff.rate_component_list_link, poll_s=rate_s)

    def _components(self, components: Iterable[_Component], combined: str | None, poll_s: int | None) -> None:
        """The intervals of each component: from the list of the whole tariff where there is one, else from its own."""
        for priced in components:
            link = combined or priced.component.interval_list_link
            listed = self._want(Kind.INTERVALS, link, poll_s=poll_s)
            items = None
            if isinstance(listed, r.TimeTariffIntervalList):
                own = (item for item in listed.items if combined is None or self._is_of(item, priced.component))
                items = tuple(price for item in own if (price := self._price(item, priced)) is not None)
            self._add(FunctionSet.PRICING, priced.component.mrid, priced.tariff.primacy, items)

    def _is_of(self, item: r.TimeTariffInterval, component: r.RateComponent) -> bool:
        if not item.rate_component_link or not component.href:
            return False
        return resolve(self._base, item.rate_component_link) == resolve(self._base, component.href)

    def _price(self, item: r.TimeTariffInterval, priced: _Component) -> f.TimeTariffInterval | None:
        """An interval with its prices; None while they are not fetched."""
        stated: Document | None = item.summary
        if stated is None and item.prices_link:
            stated = self._want(Kind.PRICES, item.prices_link, poll_s=PRICES_POLL_S)
            if not isinstance(stated, r.ConsumptionTariffIntervalList):
                return None
        steps = stated.items if isinstance(stated, r.ConsumptionTariffIntervalList) else ()
        blocks = [_block(step, priced) for step in steps]
        return f.TimeTariffInterval(
            **_timing(item),
            randomize_start_s=item.randomize_start_s,
            randomize_duration_s=item.randomize_duration_s,
            priced=priced.lane,
            tier=item.tou_tier,
            blocks=tuple(sorted(blocks, key=lambda block: block.start)),
            tariff=priced.tariff.mrid,
            currency=priced.tariff.currency,
        )

    def _add(self, name: FunctionSet, mrid: str, primacy: int, items: tuple[Any, ...] | None) -> None:
        # The same program in two groups is one program, of the group that is listed first.
        self._found[name].setdefault(mrid, Source(mrid=mrid, primacy=primacy, items=items))


def _timing(item: r.EndDeviceControl | r.TextMessage | r.TimeTariffInterval | r.FlowReservationResponse) -> Any:
    return {
        "mrid": item.mrid,
        "creation_s": item.creation_s,
        "status": item.status,
        "interval": item.interval,
        "reply_to": item.reply_to,
        "response_required": item.response_required,
        "description": item.description,
    }


def _load_of(item: r.EndDeviceControl) -> f.EndDeviceControl:
    offset, point, less = item.offset, item.set_point, item.target_reduction
    action = f.LoadAction(
        duty_percent=item.duty_cycle_percent,
        load_offset_permyriad=offset.load_adjustment_permyriad if offset else None,
        cooling_offset_dc=offset.cooling_decikelvin if offset else None,
        heating_offset_dc=offset.heating_decikelvin if offset else None,
        cooling_setpoint_cc=point.cooling_centicelsius if point else None,
        heating_setpoint_cc=point.heating_centicelsius if point else None,
        appliance_reduction=item.load_reduction,
        reduction_unit=less.unit if less else None,
        reduction=less.value if less else None,
        is_forward=item.shifts_forward,
    )
    return f.EndDeviceControl(
        **_timing(item),
        randomize_start_s=item.randomize_start_s,
        randomize_duration_s=item.randomize_duration_s,
        device_category=item.device_category,
        is_mandatory=item.is_mandatory,
        override_s=item.override_s,
        action=action,
    )


def _text_of(item: r.TextMessage) -> f.TextMessage:
    return f.TextMessage(**_timing(item), originator=item.originator, priority=item.priority, text=item.text)


def _grant_of(item: r.FlowReservationResponse) -> f.FlowReservationResponse:
    return f.FlowReservationResponse(
        **_timing(item), subject=item.subject, power_w=item.power_w, energy_wh=item.energy_wh
    )


def _block(step: r.ConsumptionTariffInterval, priced: _Component) -> f.PriceBlock:
    power_of_ten, kind = priced.tariff.price_power_of_ten or 0, priced.kind
    is_energy = kind is not None and prices.is_energy(priced.component, kind)
    unit = 0 if kind is None else kind.power_of_ten or 0
    return f.PriceBlock(
        start=step.start_value,
        price_micro=prices.micro(step.price, power_of_ten),
        per_mwh=prices.per_mwh(step.price, power_of_ten, unit) if is_energy else None,
    )
