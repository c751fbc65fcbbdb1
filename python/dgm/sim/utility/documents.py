"""The documents of the simulated utility, each from its state alone.

    name ("derc spring") ──build()──> bytes, or a Listing that the server pages

Names are what scripts and records call resources: dcap, tm, edev, rg, fsa, "derp FSA", "derc PROGRAM", "dderc PROGRAM",
der, mup, sub, lel, frq and whatever a script serves. Hrefs come from `href`, so that they may move.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from dgm.sim.utility import flow
from dgm.sim.utility.state import Control, Program, State
from dgm.sim.utility.xml import control_base, document, element, link, nest

DST_NONE = "".join(element(name, 0) for name in ("dstEndTime", "dstOffset", "dstStartTime"))
STRANGER = nest("EndDevice", element("lFDI", "0" * 40), element("sFDI", 0), element("changedTime", 0))
"""Stands first in the list of devices, so that the client has to page to find its own."""

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
            items = [_control(item, view) for item in program.listed(view.now_s)]
            return Listing("DERControlList", items, None, state.subscribable)
        return _default(program, view)
    builder = _BUILDERS.get(name)
    return None if builder is None else builder(view)


def links_of(name: str, view: View, *own: str) -> str:
    """Links that a script has added to a document, and its own ones, in the order of the schema: that of the names."""
    found = [
        link(item.link, view.href(item.name), **_all(item.link))
        for item in view.state.served.values()
        if item.on == name
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
    links = (
        links_of("dcap", view, link("TimeLink", view.href("tm"))),
        link("EndDeviceListLink", view.href("edev"), all=1),
        link("MirrorUsagePointListLink", view.href("mup"), all=len(view.mirrors)),
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
    has_flow = state.reserves or "frp" in state.served
    return nest(
        "EndDevice",
        link("DERListLink", view.href("der"), all=1),
        element("lFDI", view.lfdi),
        link("LogEventListLink", view.href("lel"), all=0),
        element("sFDI", sfdi_of(view.lfdi)),
        element("changedTime", state.start_s),
        element("enabled", "true"),
        link("FlowReservationRequestListLink", view.href("frq"), all=0) if has_flow else "",
        link("FlowReservationResponseListLink", view.href("frp"), all=1) if has_flow else "",
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
            links_of("fsa", view, link("DERProgramListLink", view.href(f"derp {name}"), all=len(item.programs))),
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
        element("primacy", program.primacy),
        href=view.href(f"program {program.name}"),
    )


def _control(control: Control, view: View) -> str:
    randomisation = [
        element(name, value)
        for name, value in (
            ("randomizeDuration", control.randomize_duration_s),
            ("randomizeStart", control.randomize_start_s),
        )
        if value is not None
    ]
    return nest(
        "DERControl",
        element("mRID", control.mrid),
        element("creationTime", control.creation_s),
        nest(
            "EventStatus",
            element("currentStatus", control.status(view.now_s)),
            element("dateTime", control.since_s(view.now_s)),
            element("potentiallySuperseded", "false"),
        ),
        nest("interval", element("duration", control.duration_s), element("start", control.start_s)),
        *randomisation,
        control_base(control.modes, control.ramp_tms),
        href=view.href(f"control {control.mrid}"),
        replyTo=view.href("rsp"),
        responseRequired=control.response_required,
    )


def _default(program: Program, view: View) -> bytes:
    grad = "" if program.default_grad is None else element("setGradW", program.default_grad)
    content = element("mRID", f"DEFA{program.mrid[4:]}") + control_base(program.default, None) + grad
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
    "frp": lambda view: Listing("FlowReservationResponseList", flow.items(view.state.grants, view.now_s), None),
    "frq": lambda view: Listing("FlowReservationRequestList", [], None),
}
