"""What a simulated utility does and when: a list of steps, as data.

    - when: {get: derc 1}                          the step before is done and this has happened since
      do:
        - control: {name: c1, program: "1", duration_s: 120, modes: {opModExpLimW: 0}}

`when`: nothing (at once), after_s, get (a resource), put or post (its kind, and what the body has to `have`: a regular
expression), or response {control, status}, which may have come earlier. Steps come one after the other. A script that
is wrong is a ScriptError that says which step and what was expected. What may be done is `actions`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

from dgm.errors import DgmError
from dgm.sim.utility.actions import ACTIONS
from dgm.sim.utility.state import State, mrid_of


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
