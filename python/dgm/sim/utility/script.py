"""What a simulated utility does and when: a list of steps, as data.

    - when: {get: derc 1}                          the step before is done and this has happened since
      do:
        - control: {name: c1, program: "1", duration_s: 120, modes: {opModExpLimW: 0}}

`when`: nothing (at once), after_s, get (a resource), put or post (its kind, and what the body has to `have`: a regular
expression), or response {control, status}, which may have come earlier. Steps come one after the other. A script that
is wrong is a ScriptError that says which step and what was expected.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

from dgm.errors import DgmError
from dgm.sim.utility import flow
from dgm.sim.utility.state import Assignment, Control, Fault, Program, Served, State, mrid_of
from dgm.sim.utility.xml import control_base

FOREVER_S = 10**9


class ScriptError(DgmError):
    """A script cannot be played."""


@dataclass(frozen=True, slots=True, kw_only=True)
class When:
    """What a step waits for."""

    after_s: float = 0
    get: str | None = None
    put: str | None = None
    post: str | None = None
    have: str = ""
    response: Mapping[str, Any] | None = None

    @property
    def is_timed(self) -> bool:
        """It waits for no request: for time, or for a response, which is remembered."""
        return self.get is None and self.put is None and self.post is None


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step: what it waits for and what is done then, each (action, arguments)."""

    when: When
    do: tuple[tuple[str, Any], ...]


def steps_of(items: Sequence[Mapping[str, Any]]) -> tuple[Step, ...]:
    """The steps of a script document. ScriptError for keys, conditions and actions that there are not."""
    return tuple(_step(number, item) for number, item in enumerate(items, 1))


def _step(number: int, item: Mapping[str, Any]) -> Step:
    place = f"step {number}"
    _only(place, item, {"when", "do"})
    when = item.get("when") or {}
    _only(f"{place}: when", when, {part.name for part in fields(When)})
    do = []
    for action in item.get("do", []):
        if not isinstance(action, Mapping) or len(action) != 1:
            raise ScriptError(f"{place}: found {action!r}; expected one action with its arguments")
        name, arguments = next(iter(action.items()))
        if name not in ACTIONS:
            raise ScriptError(f"{place}: action {name!r}; expected one of {', '.join(sorted(ACTIONS))}")
        do.append((name, arguments))
    return Step(when=When(**when), do=tuple(do))


def _only(place: str, item: Mapping[str, Any], known: set[str]) -> None:
    if not isinstance(item, Mapping) or item.keys() - known:
        found = sorted(item.keys() - known) if isinstance(item, Mapping) else item
        raise ScriptError(f"{place}: found {found}; expected {', '.join(sorted(known))}")


@dataclass(slots=True)
class Director:
    """Plays the steps."""

    steps: Sequence[Step] = ()
    done: int = 0
    _since_ms: int = 0
    times_ms: list[int] = field(default_factory=list)
    """When each step was done."""
    _responded: set[tuple[str, int]] = field(default_factory=set)

    @property
    def is_over(self) -> bool:
        """Every step is done."""
        return self.done >= len(self.steps)

    def begin(self, state: State, now_ms: int) -> None:
        """The script's zero."""
        self._since_ms = now_ms
        self.advance(state, now_ms)

    def advance(self, state: State, now_ms: int) -> None:
        """Do what waits for time alone and is due."""
        while (when := self._waiting()) is not None and when.is_timed and self._is_due(when, now_ms):
            self._do(state, now_ms)

    def saw(self, state: State, now_ms: int, *, method: str, name: str, body: str = "") -> None:
        """A request: GET of a resource, or PUT or POST to one of its kind."""
        when = self._waiting()
        wanted = None if when is None else {"GET": when.get, "PUT": when.put, "POST": when.post}.get(method)
        if when is not None and wanted == name and self._is_due(when, now_ms) and re.search(when.have, body):
            self._do(state, now_ms)
            self.advance(state, now_ms)

    def responded(self, state: State, now_ms: int, *, mrid: str, status: int) -> None:
        """A response has come."""
        self._responded.add((mrid, status))
        self.advance(state, now_ms)

    def _waiting(self) -> When | None:
        return None if self.is_over else self.steps[self.done].when

    def _is_due(self, when: When, now_ms: int) -> bool:
        if when.response is not None:
            mrid = mrid_of("control", str(when.response["control"]))
            if (mrid, int(when.response["status"])) not in self._responded:
                return False
        return now_ms >= self._since_ms + round(when.after_s * 1000)

    def _do(self, state: State, now_ms: int) -> None:
        step = self.steps[self.done]
        self.done += 1
        self._since_ms = now_ms
        self.times_ms.append(now_ms)
        for name, arguments in step.do:
            try:
                ACTIONS[name](state, now_ms, arguments)
            except (LookupError, TypeError, ValueError, StopIteration) as error:
                raise ScriptError(f"step {self.done}: {name}: {error or type(error).__name__}") from error


def _server_s(state: State, now_ms: int) -> int:
    return now_ms // 1000 + state.clock_offset_s


def _program(state: State, now_ms: int, item: Mapping[str, Any]) -> None:
    name, fsa = str(item["name"]), str(item.get("fsa", "1"))
    made = Program(name=name, primacy=int(item.get("primacy", 1)), mrid=mrid_of("program", name))
    state.programs.setdefault(name, made).primacy = made.primacy
    assignment = state.assignments.setdefault(fsa, Assignment(name=fsa, mrid=mrid_of("fsa", fsa)))
    if name not in assignment.programs:
        assignment.programs.append(name)


def _control(state: State, now_ms: int, item: Mapping[str, Any]) -> None:
    name, now_s = str(item["name"]), _server_s(state, now_ms)
    control_base(item["modes"], item.get("ramp_tms"))
    optional = ("randomize_start_s", "randomize_duration_s", "ramp_tms", "response_required")
    state.programs[str(item["program"])].controls[name] = Control(
        mrid=mrid_of("control", name),
        creation_s=now_s,
        start_s=now_s + int(item.get("start_in_s", 0)),
        duration_s=int(item["duration_s"]),
        modes=item["modes"],
        **{key: item[key] for key in optional if key in item},
    )


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
                owner = next(program for program in state.programs.values() if str(name) in program.controls)
                del owner.controls[str(name)]
            case "served":
                del state.served[str(name)]
            case _:
                raise ValueError(f"found {kind}; expected fsa, program, control or served")


def _rates(state: State, now_ms: int, item: Mapping[str, Any]) -> None:
    state.rates = replace(state.rates, **item)


def _fault(state: State, now_ms: int, item: Mapping[str, Any]) -> None:
    ends_ms = now_ms + round(float(item.get("for_s", FOREVER_S)) * 1000)
    resource, retry_after_s = item.get("resource"), item.get("retry_after_s")
    status = int(item.get("status", 0))
    state.faults.append(
        Fault(from_ms=now_ms, to_ms=ends_ms, status=status, resource=resource, retry_after_s=retry_after_s)
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


def _grant(state: State, now_ms: int, item: Mapping[str, Any]) -> None:
    name = str(item["name"])
    state.grants[name] = flow.grant(state, _server_s(state, now_ms), mrid_of("grant", name), item)


_SETTINGS = (
    "reserves",
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
            case _ if name in _SETTINGS:
                setattr(state, name, value)
            case _:
                raise ValueError(f"found {name}; expected pin, clock_offset_s, allowed, {', '.join(_SETTINGS)}")


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
    "grant": _grant,
    "set": _set,
}
"""Every action that a script may name."""
