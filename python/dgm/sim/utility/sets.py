"""Documents of the function sets beside DER: tariffs, load control, messages, flow reservation; and DERCurves.

    "tp FSA" "rc TARIFF" "tti TARIFF COMPONENT" "ctti TARIFF" "cti INTERVAL" "rt TARIFF COMPONENT"
    "drp FSA" "edc PROGRAM"   "msg FSA" "txt PROGRAM"   "frp"   "dc PROGRAM" "curve PROGRAM CURVE"

Prices stand with their interval where the utility speaks CSIP-AUS 1.3, else in a list of their own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol

from dgm.sim.utility.state import Control, Group, Program, Set, State, listed
from dgm.sim.utility.xml import AUS_13, active_power, document, element, link, nest

LINKS = {
    Set.LOAD: "DemandResponseProgramListLink",
    Set.MESSAGES: "MessagingProgramListLink",
    Set.TARIFFS: "TariffProfileListLink",
}
"""In the order of the schema."""
ELECTRICITY = 0
WATT_HOURS = 72
ALL_CATEGORIES = "FFFFFFFF"


class View(Protocol):
    """What documents are built from; see `documents.View`."""

    @property
    def state(self) -> State: ...
    @property
    def now_s(self) -> int: ...
    @property
    def href(self) -> Callable[[str], str]: ...


Page = tuple[str, list[str], int | None]
"""A list before it is paged: its type, its items, its pollRate."""


def set_links(fsa: str, view: View) -> list[str]:
    """Links to what a group of function sets assigns beside DER."""
    found = []
    for kind, tag in LINKS.items():
        count = len(_of(kind, fsa, view.state))
        if count or kind in view.state.listed:
            found.append(link(tag, view.href(f"{kind.value} {fsa}"), all=count))
    return found


def set_document(name: str, view: View) -> bytes | Page | None:
    """The document of that name; None when it is none of these."""
    kind, *rest = name.split(" ")
    state = view.state
    match kind, rest:
        case "tp" | "drp" | "msg", [fsa] if fsa in state.assignments:
            return _groups(Set(kind), fsa, view)
        case "frp", [] if state.reserves:
            items = [_grant(event, view) for event in listed(state.grants.values(), view.now_s)]
            return "FlowReservationResponseList", items, state.rates.frp
        case "edc" | "txt" | "rc" | "ctti", [group] if group in state.groups:
            return _of_group(kind, state.groups[group], view)
        case "tti" | "rt", [group, component] if component in getattr(state.groups.get(group), "components", ()):
            return _of_component(kind, state.groups[group], component, view)
        case "cti", [event]:
            return _prices(event, state)
        case "dc", [program] if program in state.programs:
            owner = state.programs[program]
            return "DERCurveList", [_curve(owner, curve, view) for curve in owner.curves], None
        case "curve", [program, curve] if curve in getattr(state.programs.get(program), "curves", ()):
            return _document(_curve(state.programs[program], curve, view))
    return None


def _document(text: str) -> bytes:
    tag, _, rest = text.removeprefix("<").partition(">")
    name, _, attributes = tag.partition(" ")
    made = document(name, rest.rsplit("</", 1)[0]).decode()
    return made.replace(f"<{name} ", f"<{name} {attributes} ", 1).encode()


def _of(kind: Set, fsa: str, state: State) -> list[Group]:
    return [group for group in state.groups.values() if group.kind is kind and group.fsa == fsa]


def _groups(kind: Set, fsa: str, view: View) -> Page:
    rates = view.state.rates
    name, write, rate = {
        Set.TARIFFS: ("TariffProfileList", _tariff, rates.tp),
        Set.LOAD: ("DemandResponseProgramList", _load_program, rates.drp),
        Set.MESSAGES: ("MessagingProgramList", _message_program, rates.msg),
    }[kind]
    return name, [write(group, view) for group in _of(kind, fsa, view.state)], rate


def _named(group: Group) -> str:
    return element("mRID", group.mrid) + element("description", group.name[:32])


def _tariff(group: Group, view: View) -> str:
    combined = ""
    if view.state.aus == AUS_13:
        combined = link("doe:CombinedTimeTariffIntervalListLink", view.href(f"ctti {group.name}"), all=1)
    return nest(
        "TariffProfile",
        _named(group),
        element("currency", group.content.get("currency", 36)),
        element("pricePowerOfTenMultiplier", group.content.get("power_of_ten", 0)),
        element("primacy", group.primacy),
        link("RateComponentListLink", view.href(f"rc {group.name}"), all=len(group.components)),
        element("serviceCategoryKind", ELECTRICITY),
        combined,
        href=view.href(f"tariff {group.name}"),
    )


def _load_program(group: Group, view: View) -> str:
    events = link("EndDeviceControlListLink", view.href(f"edc {group.name}"), all=len(group.events))
    href = view.href(f"load {group.name}")
    return nest("DemandResponseProgram", _named(group), events, element("primacy", group.primacy), href=href)


def _message_program(group: Group, view: View) -> str:
    return nest(
        "MessagingProgram",
        _named(group),
        element("locale", group.content.get("locale", "en")),
        element("primacy", group.primacy),
        link("TextMessageListLink", view.href(f"txt {group.name}"), all=len(group.events)),
        href=view.href(f"messages {group.name}"),
    )


def _of_group(kind: str, group: Group, view: View) -> Page | None:
    events = listed(group.events.values(), view.now_s)
    match kind, group.kind:
        case "edc", Set.LOAD:
            return "EndDeviceControlList", [_load(event, view) for event in events], None
        case "txt", Set.MESSAGES:
            return "TextMessageList", [_message(event, view) for event in events], None
        case "rc", Set.TARIFFS:
            return "RateComponentList", [_component(group, name, view) for name in group.components], None
        case "ctti", Set.TARIFFS:
            items = [_interval(group, event, view) for event in events]
            return "TimeTariffIntervalList", items, view.state.rates.tti
    return None


def _of_component(kind: str, group: Group, component: str, view: View) -> bytes | Page:
    if kind == "rt":
        return document("ReadingType", _reading_type(group.components[component]))
    events = [event for event in group.events.values() if event.content["component"] == component]
    items = [_interval(group, event, view) for event in listed(events, view.now_s)]
    return "TimeTariffIntervalList", items, None


def event_parts(event: Control, view: View) -> Iterator[str]:
    """What every event begins with, in the order of the schema."""
    yield element("mRID", event.mrid)
    yield element("creationTime", event.creation_s)
    yield nest(
        "EventStatus",
        element("currentStatus", event.status(view.now_s)),
        element("dateTime", event.since_s(view.now_s)),
        element("potentiallySuperseded", "false"),
    )
    yield nest("interval", element("duration", event.duration_s), element("start", event.start_s))
    randomisation = (("randomizeDuration", event.randomize_duration_s), ("randomizeStart", event.randomize_start_s))
    yield from (element(name, value) for name, value in randomisation if value is not None)


def event_attributes(event: Control, view: View) -> dict[str, object]:
    """Attributes of every event: where it is, and where it is answered."""
    href = view.href(f"control {event.mrid}")
    return {"href": href, "replyTo": view.href("rsp"), "responseRequired": event.response_required}


def _part(tag: str, content: Mapping[str, Any] | None, names: Mapping[str, str]) -> str:
    if content is None:
        return ""
    strange = content.keys() - names.keys()
    if strange:
        raise ValueError(f"{tag}: found {sorted(strange)[0]}; expected {', '.join(names)}")
    return nest(tag, *(element(names[key], content[key]) for key in names if key in content))


OFFSET = {"cooling": "coolingOffset", "heating": "heatingOffset", "load_percent": "loadAdjustmentPercentageOffset"}
SET_POINT = {"cooling": "coolingSetpoint", "heating": "heatingSetpoint"}
LOAD_KEYS = {"category", "mandatory", "duty_percent", "forward", "offset", "override_s", "set_point", "reduction"} | {
    "appliance"
}
REDUCTION = {"unit": "type", "value": "value"}


def load_action(content: Mapping[str, Any]) -> list[str]:
    """The part of an EndDeviceControl that says what is wanted. ValueError for what there is not."""
    strange = content.keys() - LOAD_KEYS
    if strange:
        raise ValueError(f"found {sorted(strange)[0]}; expected {', '.join(sorted(LOAD_KEYS))}")
    duty, override = content.get("duty_percent"), content.get("override_s")
    return [
        "" if "appliance" not in content else nest("ApplianceLoadReduction", element("type", content["appliance"])),
        element("deviceCategory", content.get("category", ALL_CATEGORIES)),
        element("drProgramMandatory", "true" if content.get("mandatory") else "false"),
        "" if duty is None else nest("DutyCycle", element("normalValue", duty)),
        element("loadShiftForward", "true" if content.get("forward") else "false"),
        _part("Offset", content.get("offset"), OFFSET),
        "" if override is None else element("overrideDuration", override),
        _part("SetPoint", content.get("set_point"), SET_POINT),
        _part("TargetReduction", content.get("reduction"), REDUCTION),
    ]


def _load(event: Control, view: View) -> str:
    parts = [*event_parts(event, view), *load_action(event.content)]
    return nest("EndDeviceControl", *parts, **event_attributes(event, view))


def _message(event: Control, view: View) -> str:
    originator = event.content.get("originator")
    return nest(
        "TextMessage",
        *event_parts(event, view),
        "" if originator is None else element("originator", originator),
        element("priority", event.content.get("priority", 0)),
        element("textMessage", event.content["text"]),
        **event_attributes(event, view),
    )


def _component(group: Group, name: str, view: View) -> str:
    own = f"{group.name} {name}"
    return nest(
        "RateComponent",
        element("mRID", group.components[name]["mrid"]),
        element("description", name[:32]),
        link("ReadingTypeLink", view.href(f"rt {own}")),
        element("roleFlags", "0000"),
        link("TimeTariffIntervalListLink", view.href(f"tti {own}"), all=1),
        href=view.href(f"component {own}"),
    )


def _reading_type(content: Mapping[str, Any]) -> str:
    return "".join(
        (
            element("flowDirection", content.get("flow_direction", 1)),
            element("powerOfTenMultiplier", content.get("power_of_ten", 0)),
            element("uom", content.get("uom", WATT_HOURS)),
        )
    )


def _interval(group: Group, event: Control, view: View) -> str:
    is_13 = view.state.aus == AUS_13
    blocks = _blocks(event)
    summary, component = "", ""
    if is_13:
        count = {"all": len(blocks), "results": len(blocks)}
        summary = nest("doe:ConsumptionTariffIntervalListSummary", *blocks, **count)
        component = link("RateComponentLink", view.href(f"component {group.name} {event.content['component']}"))
    prices = link("ConsumptionTariffIntervalListLink", view.href(f"cti {event.content['name']}"), all=len(blocks))
    parts = [*event_parts(event, view), prices, element("touTier", event.content.get("tier", 0)), summary, component]
    return nest("TimeTariffInterval", *parts, **event_attributes(event, view))


def _blocks(event: Control) -> list[str]:
    return [
        nest(
            "ConsumptionTariffInterval",
            element("consumptionBlock", index),
            element("price", block["price"]),
            element("startValue", block.get("start", 0)),
        )
        for index, block in enumerate(event.content["blocks"], 1)
    ]


def _prices(event: str, state: State) -> Page | None:
    found = next((group.events[event] for group in state.groups.values() if event in group.events), None)
    if found is None or "blocks" not in found.content:
        return None
    return "ConsumptionTariffIntervalList", _blocks(found), None


def _grant(event: Control, view: View) -> str:
    return nest(
        "FlowReservationResponse",
        *event_parts(event, view),
        active_power("energyAvailable", int(event.content["energy_wh"])),
        active_power("powerAvailable", int(event.content["power_w"])),
        element("subject", event.content["subject"]),
        **event_attributes(event, view),
    )


def _curve(program: Program, name: str, view: View) -> str:
    content = program.curves[name]
    points = [nest("CurveData", element("xvalue", x), element("yvalue", y)) for x, y in content["points"]]
    tms = content.get("open_loop_tms")
    return nest(
        "DERCurve",
        element("mRID", content["mrid"]),
        element("creationTime", content["creation_s"]),
        *points,
        element("curveType", content["type"]),
        "" if tms is None else element("openLoopTms", tms),
        element("xMultiplier", content.get("x_multiplier", 0)),
        element("yMultiplier", content.get("y_multiplier", 0)),
        element("yRefType", content.get("y_ref", 0)),
        href=view.href(f"curve {program.name} {name}"),
    )
