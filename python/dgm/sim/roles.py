"""The roles of the product in the virtual world: which live, what dies with one, and what its journal gives back.

    kill ──> the role and all that it held in memory are gone ──> start: a new life, a new epoch, from its journal

ems: Cycle and Arbiter, and with them the field core. ocpp: all sessions, whose connections end at once.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from dgm.sim.nodes import EmsNode

if TYPE_CHECKING:
    from dgm.sim.world import World

EMS, OCPP = "ems", "ocpp"
ROLES = (EMS, OCPP)


class Roles:
    """Lives of the roles of one world. ems: None while it is dead."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.ems: EmsNode | None = None
        self._journal: dict[tuple[str, str], bytes] = {}
        self._epoch = 0

    @property
    def alive(self) -> frozenset[str]:
        """Names of those that live."""
        lives = {EMS: self.ems is not None, OCPP: self._world.fleet.is_alive}
        return frozenset(name for name, lives_now in lives.items() if lives_now)

    def kill(self, role: str, for_ms: float | None) -> None:
        """A role that lives dies; it starts again after for_ms, None: not by itself."""
        assert role in ROLES, f"no role {role}; there are {', '.join(ROLES)}"
        if role not in self.alive:
            return
        self._world.note(f"{role} role dies")
        if role == EMS:
            self.ems = None
        else:
            self._world.fleet.die()
        if for_ms is not None:
            self._world.after(for_ms, partial(self.start, role))

    def start(self, role: str) -> None:
        """A role that is dead begins a new life."""
        assert role in ROLES, f"no role {role}; there are {', '.join(ROLES)}"
        if role in self.alive:
            return
        if role == EMS:
            self._start_ems()
        else:
            self._start_ocpp()

    def _start_ems(self) -> None:
        world = self._world
        self._epoch += 1
        self.ems = EmsNode(world.config, self._journal, epoch=self._epoch, now=world.now)
        world.note(f"ems role starts, epoch {self._epoch}")
        for request in world.utility.standing(world.now):
            world.ask(request)
        if world.fleet.is_alive:
            world.fleet.stand_before()

    def _start_ocpp(self) -> None:
        self._world.note("ocpp role starts")
        self._world.fleet.live()
        if self.ems is not None:
            self.ems.subscribed()
