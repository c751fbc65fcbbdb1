"""The stations of the virtual world and what passes between them, the gateway's sessions and their CSMSs.

    Station ──Send──> south link ──> Session ──Send──> north link ──> Csms, and back        reports ──> Outbox ──> EMS

Every frame takes its link's delay; what is on a link when the connection ends is lost. Effects of a session are carried
out here, as the gateway's shell does.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import groupby
from typing import TYPE_CHECKING, assert_never
from uuid import UUID

from dgm.api.ems.v1.ems_pb2 import Setpoint
from dgm.machine import Tick
from dgm.ocpp import events as ocpp
from dgm.sim.line import Line, make_line, session_of
from dgm.sim.nodes import Link, Outbox
from dgm.sim.plant import EvLoad
from dgm.sim.station import Connected, Disconnected, Hangup, Received, Send
from dgm.sim.station import Event as StationEvent

if TYPE_CHECKING:
    from dgm.sim.world import World

STATION_STEP_MS = 500
FIRST_DIAL_MS = (100, 4000)
RECONNECT_MS = (2_000.0, 15_000.0)
REDIAL_MS = (3_000.0, 20_000.0)
"""How long a station waits whose gateway does not answer."""


class Fleet:
    """All lines of one world, by the order of its site and by the asset id of their EVSE.

    life: how often the ocpp role has started or died; odd while it lives.
    """

    def __init__(self, world: World) -> None:
        self._world = world
        self._ids = 0
        self.life = 1
        self.outbox = Outbox(source="ocpp:1")
        stations = groupby(world.timeline.evses, key=lambda plan: plan.station.id)
        self.lines = [make_line(world, at, tuple(plans), self._fresh_id) for at, (_, plans) in enumerate(stations)]
        self.by_asset = {plan.id: line for line in self.lines for plan in line.plans}
        self.by_station = {line.id: line for line in self.lines}

    def _fresh_id(self) -> str:
        self._ids += 1
        return str(UUID(int=self._ids + (1 << 100), version=4))

    @property
    def is_alive(self) -> bool:
        """The ocpp role lives."""
        return self.life % 2 == 1

    def has_csms(self, line: Line) -> bool:
        """Station, gateway and CSMS are connected."""
        return self.is_alive and line.session.has_csms

    def die(self) -> None:
        """The ocpp role is gone, and with it every connection and all that is not on disk."""
        self.life += 1
        self.outbox = Outbox(source="")
        for line in self.lines:
            if line.is_up:
                self._drop(line)
                self._world.after(self._world.draw.uniform(*REDIAL_MS), partial(self.connect, line))

    def live(self) -> None:
        """The ocpp role starts with what is on disk; stations find it when they dial next."""
        self.life += 1
        self.outbox = Outbox(source=f"ocpp:{self.life}")
        for line in self.lines:
            line.session = session_of(line.settings, line.policy, self._fresh_id, stored=line.stored, disk=line.disk)
        self.stand_before()

    def begin(self) -> None:
        """Let every station run, and dial."""
        world = self._world
        for line in self.lines:
            world.agenda.every(STATION_STEP_MS, partial(self._step, line), first_ms=line.index * 7 % STATION_STEP_MS)
            world.after(world.draw.uniform(*FIRST_DIAL_MS), partial(self.connect, line))

    def load(self) -> EvLoad:
        """What all cars draw now."""
        phases = [0.0, 0.0, 0.0]
        power_w = 0.0
        for line in self.lines:
            for plan, port in zip(line.plans, line.ports, strict=True):
                if port.car is None:
                    continue
                for phase in plan.grid_phases[: port.phases]:
                    phases[phase - 1] += port.car.current_ma
                power_w += port.car.current_ma / 1000 * port.phases * plan.station.voltage_mv / 1000
        i1, i2, i3 = (round(value) for value in phases)
        return EvLoad(sequence=self._world.now.mono_ms, i1_ma=i1, i2_ma=i2, i3_ma=i3, power_w=round(power_w))

    def stand_before(self) -> None:
        """Everything that a new EMS has to know of the stations."""
        for line in self.lines:
            for report in line.session.standing(self._world.now):
                self.outbox.put(report)

    def deliver(self, setpoint: Setpoint) -> None:
        """A setpoint of the EMS reaches the session of its EVSE."""
        event = ocpp.SetpointIn(
            epoch=setpoint.epoch,
            sequence=setpoint.sequence,
            current_ma=setpoint.current_ma,
            ttl_ms=setpoint.ttl_ms,
            safety=setpoint.safety,
        )
        if self.is_alive:
            self.tell(self.by_asset[setpoint.asset_id], event)

    # Connections

    def connect(self, line: Line) -> None:
        """The station dials, and gets through."""
        if line.is_up:
            return
        if not self.is_alive:
            self._world.after(self._world.draw.uniform(*REDIAL_MS), partial(self.connect, line))
            return
        line.is_up = True
        line.epoch += 1
        line.due_north.clear()
        line.due_south.clear()
        for link in (line.south_up, line.south_down, line.north_up, line.north_down):
            link.ready_ms = self._world.now.mono_ms
        if line.is_csms_there:
            self.tell(line, ocpp.LegUp(leg=ocpp.Leg.NORTH))
        self.tell(line, ocpp.LegUp(leg=ocpp.Leg.SOUTH, subprotocol=line.version))
        self.station(line, Connected())

    def hang_up(self, line: Line, wait_ms: float | None) -> None:
        """Both ends of the station's connection see it end; it dials again after wait_ms, None: not by itself."""
        if not line.is_up:
            return
        self._drop(line)
        self.tell(line, ocpp.LegDown(leg=ocpp.Leg.SOUTH))
        self.tell(line, ocpp.LegDown(leg=ocpp.Leg.NORTH))
        if wait_ms is not None:
            self._world.after(wait_ms, partial(self.connect, line))

    def _drop(self, line: Line) -> None:
        line.is_up = False
        line.epoch += 1
        self._world.outages.cut_north(line)
        self.station(line, Disconnected())

    # Frames

    def _step(self, line: Line) -> None:
        self.station(line, Tick())
        wake_ms = line.session.wake_time() if self.is_alive else None
        if wake_ms is not None and wake_ms <= self._world.now.mono_ms:
            self.tell(line, Tick())

    def station(self, line: Line, event: StationEvent) -> None:
        """Something happens to a station; its frames go on their way."""
        for effect in line.station.handle(event, self._world.now):
            if isinstance(effect, Send):
                raw = effect.text.encode()
                line.due_north.append(raw)
                line.bills.station_sent(raw)
                self._send(line, line.south_up, ocpp.FrameIn(leg=ocpp.Leg.SOUTH, raw=raw))
            elif isinstance(effect, Hangup):
                self._world.after(0, partial(self.hang_up, line, effect.wait_ms))

    def from_csms(self, line: Line, raw: bytes) -> None:
        """The CSMS of a station says something."""
        line.due_south.append(raw)
        self._send(line, line.north_down, ocpp.FrameIn(leg=ocpp.Leg.NORTH, raw=raw))

    def _send(self, line: Line, link: Link, event: ocpp.FrameIn) -> None:
        """To the session of the line, over one link."""
        epoch, north_epoch = line.epoch, line.north_epoch

        def arrive() -> None:
            is_there = event.leg is ocpp.Leg.SOUTH or line.north_epoch == north_epoch
            if line.epoch == epoch and is_there:
                self._frame(line, event)

        self._over(link, arrive)

    def _over(self, link: Link, arrive: Callable[[], None]) -> None:
        agenda = self._world.agenda
        agenda.at(link.due(agenda.now, link.delay_ms), arrive)

    def _frame(self, line: Line, event: ocpp.FrameIn) -> None:
        """A frame as the gateway's shell hands it over: by the short cut where the session lets it."""
        glance = line.session.pass_on(event.leg, event.raw)
        if glance is ocpp.Glance.HANDLE:
            self.tell(line, event)
            return
        to = ocpp.Leg.NORTH if event.leg is ocpp.Leg.SOUTH else ocpp.Leg.SOUTH
        self._sent(line, ocpp.Send(leg=to, raw=event.raw, relayed=True))
        if glance is ocpp.Glance.COPY:
            self.tell(line, ocpp.Copied(leg=event.leg, raw=event.raw))

    def tell(self, line: Line, event: ocpp.Event) -> None:
        """To the session of a line, whose effects are carried out."""
        for effect in line.session.handle(event, self._world.now):
            self._do(line, effect)

    def _do(self, line: Line, effect: ocpp.Effect) -> None:
        world = self._world
        match effect:
            case ocpp.Send():
                self._sent(line, effect)
            case ocpp.Later(event=second):
                self.tell(line, second)
            case ocpp.Sampled() | ocpp.Outcome() | ocpp.DerSeen():
                self.outbox.put(effect)
                if effect.urgent:
                    world.after(0, world.report)
            case ocpp.Close():
                world.after(0, lambda: self.hang_up(line, world.draw.uniform(*RECONNECT_MS)))
            case ocpp.Excepted():
                world.count(f"excepted {effect.reason.value}")
                world.invariants.excepted(line, effect)
            case ocpp.WriteBooks():
                world.outages.write(line, effect)
            case ocpp.PasswordTaken():
                world.count("password taken")
            case ocpp.Counted():
                world.count(f"counted {effect.name}")
            case ocpp.Keep():
                line.stored[effect.name] = effect.body
            case ocpp.CpoLimit():
                pass
            case _:
                assert_never(effect)

    def _sent(self, line: Line, effect: ocpp.Send) -> None:
        world = self._world
        world.traced(effect.raw)
        world.invariants.sent(line, effect)
        is_north = effect.leg is ocpp.Leg.NORTH
        world.count("frames north" if is_north else "frames south")
        arrive = partial(self._arrive, line, effect, line.epoch, line.north_epoch)
        self._over(line.north_up if is_north else line.south_down, arrive)

    def _arrive(self, line: Line, effect: ocpp.Send, epoch: int, north_epoch: int) -> None:
        """A frame reaches the peer it was for, if the connection that it was sent on is still there."""
        if line.epoch != epoch:
            return
        if effect.leg is ocpp.Leg.SOUTH:
            line.bills.station_got(effect.raw)
            self.station(line, Received(effect.raw.decode()))
        elif line.north_epoch == north_epoch:
            answer = line.csms.answer(effect.raw, self._world.now)
            if answer is not None:
                self.from_csms(line, answer)
