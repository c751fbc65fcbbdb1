"""The simulated utility as an aggregator sees it: one certificate, many EndDevices, each with links of its own.

    edev ──> aggregator's own EndDevice
         └─> EndDevice of each site ──> rg, fsa, der, ... of that device alone (names "fsa@LFDI")
                                └────> programs and controls, shared where two devices are in one group

Responses and mirrors are taken of any of its devices, and kept with the LFDI that they name.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from dgm.sim.utility.documents import PUTS, Listing, View, build
from dgm.sim.utility.records import Received, Reply
from dgm.sim.utility.script import Director
from dgm.sim.utility.server import Server
from dgm.sim.utility.state import State

OWN = frozenset({"rg", "fsa", "der", "lel", "frq", "edev own", *PUTS})
"""What each device has of its own; its href leads to the name with "@LFDI"."""
NAMED = re.compile(rb"<(?:endDeviceLFDI|deviceLFDI)>([0-9A-Fa-f]{40})<")


class AggregatedServer(Server):
    """children: PIN by LFDI. groups: names of the assignments that a device is in; one that is absent is in all."""

    def __init__(
        self,
        state: State,
        now_ms: int,
        *,
        children: Mapping[str, int],
        groups: Mapping[str, Sequence[str]] | None = None,
        director: Director | None = None,
        log: Callable[[Mapping[str, Any]], None] = lambda line: None,
    ) -> None:
        self._children = dict(children)
        self._groups = dict(groups or {})
        self.reports: dict[str, set[str]] = {lfdi: set() for lfdi in children}
        """Types of what was PUT, by device."""
        super().__init__(state, now_ms, director=director, log=log)
        state.devices |= self._children

    def view(self, lfdi: str) -> View:
        """What documents for a device are built from: of the aggregator itself, or of one of its devices."""
        found = super().view(lfdi)
        if lfdi not in self._children:
            return found
        names = self._groups.get(lfdi, tuple(self.state.assignments))
        assignments = {name: item for name, item in self.state.assignments.items() if name in names}

        def href(name: str) -> str:
            return self.href(f"{name}@{lfdi}" if name in OWN else name)

        return replace(found, href=href, state=replace(self.state, assignments=assignments))

    def _route(self, request: Received, name: str) -> Reply:
        plain, _, lfdi = name.partition("@")
        if not lfdi:
            return super()._route(request, name)
        if request.lfdi not in self.state.devices:
            return Reply(status=403)
        reply = super()._route(replace(request, lfdi=lfdi), plain)
        if request.method == "PUT" and reply.status < 300:
            self.reports[lfdi].add(PUTS[plain])
        return reply

    def _get(self, request: Received, name: str) -> Reply:
        if request.lfdi in self._children or name not in ("edev", "fsa"):
            return super()._get(request, name)
        made = build(name, self.view(request.lfdi))
        assert isinstance(made, Listing), "a list"
        if name == "fsa":
            made.items.clear()  # the aggregator itself is in no group
            return Reply(status=200, body=self.page(made, request.query))
        for lfdi in self._children:
            listed = build("edev", self.view(lfdi))
            assert isinstance(listed, Listing), "a list of devices"
            made.items.append(listed.items[-1])
        return Reply(status=200, body=self.page(made, request.query))

    def _response(self, request: Received) -> Reply:
        lfdi = self._named(request)
        reply = super()._response(replace(request, lfdi=lfdi))
        if reply.status < 300:
            self.records.responses[-1]["lfdi"] = lfdi
        return reply

    def _mirror(self, request: Received) -> Reply:
        return super()._mirror(replace(request, lfdi=self._named(request)))

    def _named(self, request: Received) -> str:
        """The device of ours that a body names; else who asks."""
        found = NAMED.search(request.body)
        lfdi = found[1].decode().upper() if found else ""
        return lfdi if lfdi in self._children else request.lfdi
