"""The virtual world of `dgm sim`: the real cores, a simulated site, faults, and invariants, from one seed.

    every 100 ms: plant ──field──> EmsNode (Cycle + Arbiter) ──setpoints──> Session ──frames──> Station ──amps──> plant
    chance:       draws what goes wrong, `actions` does it; in a quiet world whoever made it does
    every second: Invariants.check; the trace hash takes what was decided and what was sent

Nothing here reads a clock or a generator of its own: the same seed gives the same hash. After the last fault the world
heals and liveness is checked.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable

from dgm.api.config.v1.config_pb2 import DgmConfig
from dgm.api.ems.v1.ems_pb2 import PutLimitRequest, Setpoint
from dgm.ems.cycle import Event
from dgm.machine import Now
from dgm.sim.actions import Actions
from dgm.sim.agenda import Agenda
from dgm.sim.car import CarSpec
from dgm.sim.chance import Chance
from dgm.sim.draw import Draw
from dgm.sim.field import Field
from dgm.sim.fleet import Fleet
from dgm.sim.invariants import Invariants
from dgm.sim.line import Line
from dgm.sim.nodes import EmsNode, UtilityNode
from dgm.sim.outages import CsmsOutages
from dgm.sim.plant import Plant
from dgm.sim.roles import Roles
from dgm.sim.timeline import Timeline
from dgm.sim.trace import WorldRow, row_of

TICK_MS = 100
REPORT_MS = 200
SECOND_MS = 1000
SECOND_OFFSET_MS = 50
START_MS = 1_000_000
UTC_START_MS = 1_893_456_000_000
HEAL_MS = 300_000
"""The last stretch without new faults, after which liveness is checked."""

EVENTS_KEPT = 40
"""Of what has happened, for the report of a failure."""


class World:
    """One run; the invariants raise with the seed and the last events.

    is_quiet: nothing happens at random and no station differs; what happens is planned by whoever made the world, with
    `after` and `actions`. evses: every EVSE with its line, in the order of the site.
    """

    def __init__(
        self,
        config: DgmConfig,
        timeline: Timeline,
        draw: Draw,
        *,
        seed: int,
        length_ms: int,
        is_quiet: bool = False,
    ) -> None:
        self.config = config
        self.timeline = timeline
        self.agenda = Agenda(Now(mono_ms=START_MS, utc_ms=UTC_START_MS))
        self.seed = seed
        self.length_ms = length_ms
        self.is_quiet = is_quiet
        self.draw = draw
        self.counts: dict[str, int] = {}
        self.recent: list[str] = []
        self.plant = Plant(timeline.site.plant, draw)
        self._hash = hashlib.sha256()
        self.utility = UtilityNode(config.circuits[0].id)
        self.outages = CsmsOutages(self)
        self.fleet = Fleet(self)
        self.field = Field(config, self.plant, len(timeline.evses))
        self.actions = Actions(self)
        self.roles = Roles(self)
        self.invariants = Invariants(self)
        self.roles.start("ems")
        self.evses = [(line, plan) for line in self.lines for plan in line.plans]
        self._plan()

    # What there is

    @property
    def now(self) -> Now:
        """By the simulated clocks."""
        return self.agenda.now

    @property
    def lines(self) -> list[Line]:
        """Every station, in the order of the site."""
        return self.fleet.lines

    @property
    def ems(self) -> EmsNode | None:
        """None while it is dead."""
        return self.roles.ems

    @property
    def alive(self) -> frozenset[str]:
        """Names of the roles that live."""
        return self.roles.alive

    @property
    def import_limit_w(self) -> int:
        """The least that the connection and the utility's controls in force allow."""
        return min([self.timeline.site.import_w, *self.utility.of_import])

    @property
    def export_limit_w(self) -> int:
        """The same of export."""
        return min([self.timeline.site.export_w, *self.utility.of_export])

    @property
    def is_healing(self) -> bool:
        """No new faults any more."""
        return self.agenda.elapsed_ms >= self.length_ms - HEAL_MS

    @property
    def trace_hash(self) -> str:
        """Of all decisions and frames so far."""
        return self._hash.hexdigest()

    # Running

    def run(self) -> None:
        """To the end, then liveness. Raises AssertionError when an invariant is broken."""
        self.agenda.run_until(START_MS + self.length_ms)
        self.invariants.check_liveness()

    def observe(self, interval_ms: int, seen: Callable[[WorldRow], None]) -> None:
        """Have `seen` called with a row every interval_ms, a multiple of TICK_MS, from the next tick on."""
        self.agenda.every(interval_ms, lambda: seen(row_of(self)), first_ms=1)

    def after(self, delay_ms: float, action: Callable[[], None]) -> None:
        """Later."""
        self.agenda.after(delay_ms, action)

    def at_random(self, mean_ms: float, action: Callable[[], None]) -> None:
        """Again and again, uniformly within twice the mean, until the world heals."""

        def again() -> None:
            if self.is_healing:
                return
            action()
            self.after(self.draw.uniform(0.1, 1.9) * mean_ms, again)

        self.after(self.draw.uniform(0.1, 1.9) * mean_ms, again)

    def count(self, name: str) -> None:
        """One more of something, for the report."""
        self.counts[name] = self.counts.get(name, 0) + 1

    def note(self, text: str) -> None:
        """Remember an event for the report of a failure."""
        self.recent.append(f"{self.agenda.elapsed_ms / 1000:9.1f} s  {text}")
        del self.recent[:-EVENTS_KEPT]

    def traced(self, raw: bytes) -> None:
        """Something that the hash of the trace is of."""
        self._hash.update(raw)

    # Short ways

    def plug(self, line: Line, car: CarSpec) -> None:
        """A car arrives at the station of a line."""
        self.actions.plug(line.plan.id, car)

    def ask(self, event: Event) -> None:
        """A request reaches the ems role, where there is one."""
        if self.ems is not None:
            self.deliver(self.ems.handle(event, self.now))

    # What goes on by itself

    def _plan(self) -> None:
        self.agenda.every(TICK_MS, self._field_tick)
        self.agenda.every(REPORT_MS, self.report)
        self.agenda.every(SECOND_MS, self._second, first_ms=SECOND_OFFSET_MS)
        self.fleet.begin()
        if not self.is_quiet:
            Chance(self).plan()

    def _field_tick(self) -> None:
        self.plant.step(TICK_MS / 1000, self.fleet.load())
        if self.ems is None:
            return
        setpoints = self.ems.tick(self.field.image(), self.now, is_heard=self.fleet.is_alive)
        self.field.write(self.ems.grants)
        self.traced(repr(self.ems.grants).encode())
        self.deliver(setpoints)

    def report(self) -> None:
        """What the gateway has to tell the EMS, if both are there."""
        if self.ems is None:
            return
        for request in self.fleet.outbox.requests(self.now):
            self.deliver(self.ems.handle(request, self.now))

    def deliver(self, setpoints: list[Setpoint]) -> None:
        """Setpoints of the EMS on their way to the gateway."""
        for setpoint in setpoints:
            self.fleet.deliver(setpoint)

    def put_limits(self, requests: list[PutLimitRequest]) -> None:
        """Limits of the der role on their way to the EMS."""
        for request in requests:
            self.ask(request)

    def hear_utility(self) -> None:
        """The der role fetches what the utility has."""
        self.put_limits(self.utility.fetch(self.now))

    def _second(self) -> None:
        if self.ems is not None:
            self.put_limits(self.utility.tick(self.now))
        self.invariants.check()
