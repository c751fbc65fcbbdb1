"""What a step of a script can do to the simulated utility: each action a name, its arguments as data.

    program control cancel supersede default remove curve     DER          rates fault move serve set      the server
    tariff component price   load_program load   message_program message   grant       the function sets beside DER

An event of any kind is made with name, duration_s, start_in_s, randomize_start_s, randomize_duration_s and
response_required, and is cancelled, superseded, removed and waited for by its name as a control.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from dgm.sim.utility.sets import load_action
from dgm.sim.utility.state import Assignment, Control, Fault, Group, Program, Served, Set, State, mrid_of
from dgm.sim.utility.xml import control_base

FOREVER_S = 10**9
BODIES = ("garbage", "truncated", "namespace", "empty")
EVENT = ("randomize_start_s", "randomize_duration_s", "ramp_tms", "response_required")


def _server_s(state: State, now_ms: int) -> int:
    return now_ms // 1000 + state.clock_offset_s


def _program(state: State, now_ms: int, item: Mapping[str, Any]) -> None:
    name, fsa = str(item["name"]), str(item.get("fsa", "1"))
    made = Program(name=name, primacy=int(item.get("primacy", 1)), mrid=mrid_of("program", name))
    state.programs.setdefault(name, made).primacy = made.primacy
    assignment = _assignment(state, fsa)
    if name not in assignment.programs:
        assignment.programs.append(name)


def _assignment(state: State, fsa: str) -> Assignment:
    return state.assignments.setdefault(fsa, Assignment(name=fsa, mrid=mrid_of("fsa", fsa)))


def _event(state: State, now_ms: int, item: Mapping[str, Any], **more: Any) -> Control:
    now_s = _server_s(state, now_ms)
    return Control(
        mrid=mrid_of("control", str(item["name"])),
        creation_s=now_s,
        start_s=now_s + int(item.get("start_in_s", 0)),
        duration_s=int(item["duration_s"]),
        **{key: item[key] for key in EVENT if key in item},
        **more,
    )


def _control(state: State, now_ms: int, item: Mapping[str, Any]) -> None:
    control_base(item["modes"], item.get("ramp_tms"))
    made = _event(state, now_ms, item, modes=item["modes"])
    state.programs[str(item["program"])].controls[str(item["name"])] = made


def _curve(state: State, now_ms: int, item: Mapping[str, Any]) -> None:
    program, name = str(item["program"]), str(item["name"])
    points = [(int(x), int(y)) for x, y in item["points"]]
    known = {"mrid": mrid_of(f"curve {program}", name), "creation_s": _server_s(state, now_ms), "points": points}
    state.programs[program].curves[name] = {**item, "type": int(item["type"]), **known}


def _group(kind: Set) -> Callable[[State, int, Mapping[str, Any]], None]:
    def act(state: State, now_ms: int, item: Mapping[str, Any]) -> None:
        name, fsa = str(item["name"]), str(item.get("fsa", "1"))
        _assignment(state, fsa)
        mrid, primacy = mrid_of(kind.value, name), int(item.get("primacy", 1))
        state.groups[name] = Group(kind=kind, name=name, fsa=fsa, primacy=primacy, mrid=mrid, content=dict(item))

    return act


def _component(state: State, now_ms: int, item: Mapping[str, Any]) -> None:
    tariff, name = str(item["tariff"]), str(item["name"])
    state.groups[tariff].components[name] = {**item, "mrid": mrid_of(f"component {tariff}", name)}


def _price(state: State, now_ms: int, item: Mapping[str, Any]) -> None:
    group, name, component = state.groups[str(item["tariff"])], str(item["name"]), str(item["component"])
    if component not in group.components:
        raise ValueError(f"component {component!r}; expected one of {', '.join(group.components)}")
    blocks = [{"price": int(block["price"]), "start": int(block.get("start", 0))} for block in item["blocks"]]
    content = {"name": name, "component": component, "blocks": blocks, "tier": int(item.get("tier", 0))}
    group.events[name] = _event(state, now_ms, item, content=content)


def _load(state: State, now_ms: int, item: Mapping[str, Any]) -> None:
    load_action(item.get("action", {}))
    made = _event(state, now_ms, item, content=dict(item.get("action", {})))
    state.groups[str(item["program"])].events[str(item["name"])] = made


def _message(state: State, now_ms: int, item: Mapping[str, Any]) -> None:
    content = {"text": str(item["text"]), **{key: item[key] for key in ("priority", "originator") if key in item}}
    state.groups[str(item["program"])].events[str(item["name"])] = _event(state, now_ms, item, content=content)


def _grant(state: State, now_ms: int, item: Mapping[str, Any]) -> None:
    """Answers the newest request, or the one of this number, from 1; W and Wh, positive: the site may take."""
    if not state.requests:
        raise ValueError("no reservation was asked for yet; let the step wait for one: when: {post: frq}")
    subject = state.requests[int(item.get("request", 0)) - 1]
    content = {"power_w": int(item["power_w"]), "energy_wh": int(item["energy_wh"]), "subject": subject}
    state.grants[str(item["name"])] = _event(state, now_ms, item, content=content)


def _cancel(state: State, now_ms: int, item: Mapping[str, Any]) -> None:
    control = state.control(str(item["control"]))
    control.cancel_s, control.cancel_status = _server_s(state, now_ms), int(item.get("status", 2))


def _supersede(state: State, now_ms: int, item: Mapping[str, Any]) -> None:
    state.control(str(item["control"])).superseded_s = _server_s(state, now_ms)


def _default(state: State, now_ms: int, item: Mapping[str, Any]) -> None:
    program = state.programs[str(item["program"])]
    control_base(item.get("modes", {}), None)
    program.default = dict(item.get("modes", program.default))
    program.default_grad = item.get("grad", program.default_grad)


def _remove(state: State, now_ms: int, item: Mapping[str, Any]) -> None:
    for kind, name in item.items():
        match kind:
            case "fsa":
                del state.assignments[str(name)]
            case "program":
                del state.programs[str(name)]
            case "control":
                del state.holder(str(name))[str(name)]
            case "group":
                del state.groups[str(name)]
            case "component":
                _remove_component(state, str(name))
            case "served":
                del state.served[str(name)]
            case _:
                raise ValueError(f"found {kind}; expected fsa, program, control, group, component or served")


def _remove_component(state: State, name: str) -> None:
    """A rate component goes with its intervals."""
    owner = next(group for group in state.groups.values() if name in group.components)
    del owner.components[name]
    owner.events = {key: event for key, event in owner.events.items() if event.content["component"] != name}


def _rates(state: State, now_ms: int, item: Mapping[str, Any]) -> None:
    state.rates = replace(state.rates, **item)


def _fault(state: State, now_ms: int, item: Mapping[str, Any]) -> None:
    ends_ms = now_ms + round(float(item.get("for_s", FOREVER_S)) * 1000)
    resource, retry_after_s = item.get("resource"), item.get("retry_after_s")
    status, body = int(item.get("status", 0)), str(item.get("body", BODIES[0]))
    if body not in BODIES:
        raise ValueError(f"body {body}; expected {', '.join(BODIES)}")
    state.faults.append(
        Fault(from_ms=now_ms, to_ms=ends_ms, status=status, resource=resource, retry_after_s=retry_after_s, body=body)
    )


def _move(state: State, now_ms: int, item: Mapping[str, Any]) -> None:
    name = str(item["resource"])
    if item.get("redirect"):
        state.redirected.add(name)
    else:
        state.moved[name] = state.moved.get(name, 0) + 1


def _serve(state: State, now_ms: int, item: Mapping[str, Any]) -> None:
    name = str(item["name"])
    state.served[name] = Served(name=name, xml=str(item["xml"]).strip(), link=str(item["link"]), on=str(item["on"]))


_SETTINGS = (
    "in_band",
    "in_band_pin",
    "registration_link",
    "connection_point",
    "mirror_places",
    "mirror_list",
    "subscribable",
    "page",
    "aus",
    "versions",
    "reserves",
    "mirror_places",
    "mirror_list",
    "response_sets",
)


def _set(state: State, now_ms: int, item: Mapping[str, Any]) -> None:
    """Plain settings of the server, the PIN of every device, its clock and the response codes that it takes."""
    for name, value in item.items():
        match name:
            case "pin":
                state.devices = {lfdi: int(value) for lfdi in state.devices}
            case "clock_offset_s":
                state.clock_offset_s = int(value)
            case "allowed":
                state.allowed = frozenset(map(int, value))
            case "listed":
                state.listed = {Set(kind) for kind in value}
            case _ if name in _SETTINGS:
                setattr(state, name, value)
            case _:
                raise ValueError(f"found {name}; expected pin, clock_offset_s, allowed, listed, {', '.join(_SETTINGS)}")


ACTIONS: Mapping[str, Callable[[State, int, Any], None]] = {
    "program": _program,
    "control": _control,
    "cancel": _cancel,
    "supersede": _supersede,
    "default": _default,
    "remove": _remove,
    "rates": _rates,
    "fault": _fault,
    "move": _move,
    "serve": _serve,
    "set": _set,
    "curve": _curve,
    "tariff": _group(Set.TARIFFS),
    "component": _component,
    "price": _price,
    "load_program": _group(Set.LOAD),
    "load": _load,
    "message_program": _group(Set.MESSAGES),
    "message": _message,
    "grant": _grant,
}
"""Every action that a script may name."""
