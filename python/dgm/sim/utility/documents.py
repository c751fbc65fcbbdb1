"""The documents of the simulated utility, each from its state alone.

    name ("derc spring") ──build()──> bytes, or a Listing that the server pages

Names are what scripts and records call resources: dcap, tm, edev, rg, fsa, "derp FSA", "derc PROGRAM", "dderc PROGRAM",
der, mup, sub, lel, frq, rsps, those of `sets` and whatever a script serves. Hrefs come from `href`, so they may move.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from dgm.sim.utility.sets import event_attributes, event_parts, set_document, set_links
from dgm.sim.utility.state import Control, Program, State, mrid_of
from dgm.sim.utility.xml import control_base, document, element, is_curve, link, nest

DST_NONE = "".join(element(name, 0) for name in ("dstEndTime", "dstOffset", "dstStartTime"))
STRANGER = nest("EndDevice", element("lFDI", "0" * 40), element("sFDI", 0), element("changedTime", 0))
"""Stands first in the list of devices, so that the client has to page to find its own."""

LAST_LINKS = ("SelfDeviceLink",)
UNSUBSCRIBABLE = ("RateComponentList", "ConsumptionTariffIntervalList", "DERCurveList")

PUTS = {
    "dercap": "DERCapability",
    "derg": "DERSettings",
    "ders": "DERStatus",
    "dera": "DERAvailability",
    "cp": "ConnectionPoint",
}


@dataclass(frozen=True, slots=True)
class Listing:
    """A list before it is paged."""

    name: str
    items: list[str]
    poll_s: int | None
    subscribable: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """What a document is built from: who asks, the server's time, and what the client has posted."""

    state: State
    lfdi: str
    now_s: int
    href: Callable[[str], str]
    mirrors: Mapping[str, str]
    subscriptions: int = 0
    responses: int = 0


Builder = Callable[[View], bytes | Listing]


def build(name: str, view: View) -> bytes | Listing | None:
    """The document of that name; None when there is none now."""
    kind, _, rest = name.partition(" ")
    state = view.state
    if name in state.served:
        return _served(name, view)
    if kind == "derp" and rest in state.assignments:
        return _programs(rest, view)
    if kind in ("derc", "dderc") and rest in state.programs:
        program = state.programs[rest]
        if kind == "derc":
            items = [_control(item, program, view) for item in program.listed(view.now_s)]
            return Listing("DERControlList", items, None, state.subscribable)
        return _default(program, view)
    builder = _BUILDERS.get(name)
    if builder is not None:
        return builder(view)
    found = set_document(name, view)
    if not isinstance(found, tuple):
        return found
    return Listing(*found, state.subscribable and found[0] not in UNSUBSCRIBABLE)


def links_of(name: str, view: View, *own: str, last: bool = False) -> str:
    """Links that a script has added to a document, and its own ones, in the order of the schema: that of the names.

    last: only those that stand behind all others there.
    """
    found = [
        link(item.link, view.href(item.name), **_all(item.link))
        for item in view.state.served.values()
        if item.on == name and (item.link in LAST_LINKS) is last
    ]
    return "".join(sorted([*found, *own], key=str.lower))


def _all(tag: str) -> dict[str, int]:
    return {"all": 1} if tag.endswith("ListLink") else {}


def _served(name: str, view: View) -> bytes:
    item = view.state.served[name]
    text = item.xml
    for other in view.state.served:
        text = text.replace(f"{{href:{other}}}", view.href(other))
    root, _, rest = text.partition(">")
    tag, _, attributes = root.removeprefix("<").partition(" ")
    made = document(tag, rest.rsplit(f"</{tag}>", 1)[0], aus=view.state.aus)
    return made.replace(f"<{tag} ".encode(), f"<{tag} {attributes} ".encode(), 1) if attributes else made


def _dcap(view: View) -> bytes:
    sets = [link("ResponseSetListLink", view.href("rsps"), all=1)] if view.state.response_sets else []
    links = (
        links_of("dcap", view, link("TimeLink", view.href("tm")), *sets),
        link("EndDeviceListLink", view.href("edev"), all=1),
        link("MirrorUsagePointListLink", view.href("mup"), all=len(view.mirrors)),
        links_of("dcap", view, last=True),
    )
    return document("DeviceCapability", "".join(links), href=view.href("dcap"), pollRate=view.state.rates.dcap)


def _time(view: View) -> bytes:
    now = element("currentTime", view.now_s)
    content = now + DST_NONE + element("quality", 3) + element("tzOffset", 0)
    return document("Time", content, pollRate=view.state.rates.dcap)


def _end_devices(view: View) -> Listing:
    items = [STRANGER, _own(view)] if view.lfdi in view.state.devices else [STRANGER]
    return Listing("EndDeviceList", items, view.state.rates.edev, view.state.subscribable)


def _own(view: View) -> str:
    state = view.state
    reserves = state.reserves or "frp" in state.served
    return nest(
        "EndDevice",
        link("DERListLink", view.href("der"), all=1),
        element("lFDI", view.lfdi),
        link("LogEventListLink", view.href("lel"), all=0),
        element("sFDI", sfdi_of(view.lfdi)),
        element("changedTime", state.start_s),
        element("enabled", "true"),
        link("FlowReservationRequestListLink", view.href("frq"), all=0) if reserves else "",
        link("FlowReservationResponseListLink", view.href("frp"), all=len(state.grants)) if reserves else "",
        link("FunctionSetAssignmentsListLink", view.href("fsa"), all=len(state.assignments)),
        "" if state.rates.post is None else element("postRate", state.rates.post),
        link("RegistrationLink", view.href("rg")) if state.registration_link else "",
        link("SubscriptionListLink", view.href("sub"), all=view.subscriptions) if state.subscribable else "",
        link("doe:ConnectionPointLink", view.href("cp")) if state.connection_point else "",
        href=view.href("edev own"),
    )


def _registration(view: View) -> bytes:
    content = element("dateTimeRegistered", view.state.start_s) + element("pIN", view.state.devices[view.lfdi])
    return document("Registration", content, pollRate=view.state.rates.edev)


def _assignments(view: View) -> Listing:
    items = [
        nest(
            "FunctionSetAssignments",
            links_of(
                "fsa",
                view,
                link("DERProgramListLink", view.href(f"derp {name}"), all=len(item.programs)),
                *set_links(name, view),
            ),
            element("mRID", item.mrid),
            href=view.href(f"fsa {name}"),
            **_subscribable(view),
        )
        for name, item in view.state.assignments.items()
    ]
    return Listing("FunctionSetAssignmentsList", items, view.state.rates.fsa, view.state.subscribable)


def _subscribable(view: View) -> dict[str, object]:
    return {"subscribable": 1} if view.state.subscribable else {}


def _programs(assignment: str, view: View) -> Listing:
    names = view.state.assignments[assignment].programs
    items = [_program(view.state.programs[name], view) for name in names if name in view.state.programs]
    return Listing("DERProgramList", items, view.state.rates.derp, view.state.subscribable)


def _program(program: Program, view: View) -> str:
    has_default = bool(program.default) or program.default_grad is not None
    return nest(
        "DERProgram",
        element("mRID", program.mrid),
        element("description", f"program {program.name}"[:32]),
        link("DefaultDERControlLink", view.href(f"dderc {program.name}")) if has_default else "",
        link("DERControlListLink", view.href(f"derc {program.name}"), all=len(program.listed(view.now_s))),
        link("DERCurveListLink", view.href(f"dc {program.name}"), all=len(program.curves)) if program.curves else "",
        element("primacy", program.primacy),
        href=view.href(f"program {program.name}"),
    )


def _control(control: Control, program: Program, view: View) -> str:
    base = control_base(_with_curves(control.modes, program, view), control.ramp_tms)
    return nest("DERControl", *event_parts(control, view), base, **event_attributes(control, view))


def _with_curves(modes: Mapping[str, object], program: Program, view: View) -> dict[str, object]:
    """Names of curves of the program become their hrefs; what is none stays as it is."""
    names = {mode: str(value) for mode, value in modes.items() if is_curve(mode) and value in program.curves}
    return {**modes, **{mode: view.href(f"curve {program.name} {name}") for mode, name in names.items()}}


def _default(program: Program, view: View) -> bytes:
    grad = "" if program.default_grad is None else element("setGradW", program.default_grad)
    base = control_base(_with_curves(program.default, program, view), None)
    content = element("mRID", f"DEFA{program.mrid[4:]}") + base + grad
    return document("DefaultDERControl", content, aus=view.state.aus, **_subscribable(view))


def _ders(view: View) -> Listing:
    links = [
        link(f"{type_name}Link", view.href(name)) for name, type_name in PUTS.items() if name not in ("cp", "dera")
    ]
    availability = link("DERAvailabilityLink", view.href("dera"))
    return Listing("DERList", [nest("DER", availability, *links, href=view.href("der own"))], view.state.rates.der)


def _mirrors(view: View) -> Listing:
    rate = view.state.rates.mup_post
    items = []
    for mrid, content in view.mirrors.items() if view.state.mirror_list else ():
        inner = content[content.index("<mRID>") : content.rindex("</MirrorUsagePoint>")]
        post = "" if rate is None else element("postRate", rate)
        items.append(nest("MirrorUsagePoint", inner, post, href=view.href(f"mup {mrid}")))
    return Listing("MirrorUsagePointList", items, view.state.rates.mup)


def _response_set(view: View) -> str:
    responses = link("ResponseListLink", view.href("rsp"), all=view.responses)
    return nest("ResponseSet", element("mRID", mrid_of("responses", "all")), responses, href=view.href("rsps own"))


def sfdi_of(lfdi: str) -> int:
    """The short identifier, check digit included."""
    number = int(lfdi[:9], 16)
    return number * 10 + (10 - sum(map(int, str(number))) % 10) % 10


_BUILDERS: Mapping[str, Builder] = {
    "dcap": _dcap,
    "tm": _time,
    "edev": _end_devices,
    "rg": _registration,
    "fsa": _assignments,
    "der": _ders,
    "mup": _mirrors,
    "sub": lambda view: Listing("SubscriptionList", [], None),
    "lel": lambda view: Listing("LogEventList", [], None),
    "frq": lambda view: Listing("FlowReservationRequestList", [], None),
    "rsps": lambda view: Listing("ResponseSetList", [_response_set(view)], None),
}
