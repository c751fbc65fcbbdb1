"""The virtual world of `dgm sim`: the real cores, a simulated site, faults, and invariants, from one seed.

    every 100 ms: plant ──image──> EmsNode (Cycle + Arbiter) ──setpoints──> Session ──frames──> Station ──amps──> plant
    at random:    links delay and are cut, CSMSs go away, the ems role dies and comes back, the meter falls silent,
                  CPOs command, the utility issues overlapping events
    every second: Invariants.check; the trace hash takes what was decided and what was sent

Nothing here reads a clock or a generator of its own: the same seed gives the same hash. After the last fault the world
heals and liveness is checked. Thin: every station tells the truth about its profiles; a lying one is absent.
"""

from __future__ import annotations

import hashlib
import heapq
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import assert_never
from uuid import UUID

from dgm.api.config.v1.config_pb2 import DgmConfig
from dgm.api.ems.v1.ems_pb2 import Setpoint
from dgm.api.ocpp.v1.evse_model_pb2 import EvseModel
from dgm.der.resource import AssignedProgram, ControlBase, ControlMode, DERControl, EventState, EventStatus, Interval
from dgm.ems.events import Event
from dgm.machine import Now, Tick
from dgm.ocpp import events as ocpp
from dgm.ocpp.session import Session
from dgm.ocpp.store import settings_of
from dgm.sim.car import CarSpec
from dgm.sim.cpo_commands import commands
from dgm.sim.draw import Draw
from dgm.sim.invariants import Invariants
from dgm.sim.nodes import Csms, EmsNode, Link, Outbox, UtilityNode, apply_grants, image_of
from dgm.sim.outages import Bills, CsmsOutages
from dgm.sim.plant import EvLoad, Plant
from dgm.sim.quirks import Quirk
from dgm.sim.station import Connected, Disconnected, Hangup, Plug, Received, Send, Station, Unplug
from dgm.sim.station_2x import OCPP_21, OCPP_201, Station2x
from dgm.sim.timeline import EvsePlan, Timeline

OCPP_16 = "ocpp1.6"

TICK_MS = 100
STATION_STEP_MS = 500
REPORT_MS = 200
SECOND_MS = 1000
UTC_START_MS = 1_893_456_000_000
HEAL_MS = 300_000
"""The last stretch without new faults, after which liveness is checked."""

RECONNECT_MS = (2_000.0, 15_000.0)
QUEUE_MAX = 200_000


@dataclass(slots=True)
class Line:
    """One station with both its links and its CSMS. `due_north` are its frames the relay has not dealt with yet.

    epoch, north_epoch: of the station's connection, of the one to the CSMS. disk_ms: when its last write is done.
    """

    index: int
    plan: EvsePlan
    station: Station | Station2x
    session: Session
    csms: Csms
    south_up: Link
    south_down: Link
    north_up: Link
    north_down: Link
    is_up: bool = False
    epoch: int = 0
    due_north: list[bytes] = field(default_factory=list)
    due_south: list[bytes] = field(default_factory=list)
    is_csms_there: bool = True
    north_epoch: int = 0
    disk_ms: int = 0
    bills: Bills = field(default_factory=Bills)

    @property
    def version(self) -> str:
        """The subprotocol that the station speaks."""
        return self.station.plan.subprotocol

    @property
    def transaction(self) -> str | None:
        """The running transaction of a 2.x station."""
        if not isinstance(self.station, Station2x):
            return None
        running = self.station.transactions.get(self.plan.connector_id)
        return None if running is None else running.id


@dataclass(order=True, slots=True)
class _Planned:
    at_ms: int
    order: int
    action: Callable[[], None] = field(compare=False)


class World:
    """One run; the invariants raise with the seed and the last events.

    is_quiet: nothing happens at random and no station differs; what happens is planned by whoever made the world.
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
        self.now = Now(mono_ms=1_000_000, utc_ms=UTC_START_MS)
        self.seed = seed
        self.plant = Plant(timeline.site.plant, draw)
        self.ems: EmsNode | None = None
        self.utility = UtilityNode(config.circuits[0].id)
        self.counts: dict[str, int] = {}
        self.meter_good = True
        self._is_quiet = is_quiet
        self.recent: list[str] = []
        self.draw = draw
        self._end_ms = self.now.mono_ms + length_ms
        self._journal: dict[tuple[str, str], bytes] = {}
        self._epoch = 0
        self._outbox = Outbox(source="ocpp:1")
        self._queue: list[_Planned] = []
        self._order = 0
        self._ids = 0
        self._hash = hashlib.sha256()
        self._controls: list[DERControl] = []
        self._assets = [asset.id for asset in config.assets] + [
            evse.id for station in config.stations for evse in station.evses
        ]
        self.outages = CsmsOutages(self)
        self.lines = [self._line(index, plan) for index, plan in enumerate(timeline.evses)]
        self._by_asset = {line.plan.id: line for line in self.lines}
        self.invariants = Invariants(self)
        self._start_ems()
        self._plan_everything()

    @property
    def is_healing(self) -> bool:
        """No new faults any more."""
        return self.now.mono_ms >= self._end_ms - HEAL_MS

    @property
    def trace_hash(self) -> str:
        """Of all decisions and frames so far."""
        return self._hash.hexdigest()

    def run(self) -> None:
        """To the end, then liveness. Raises AssertionError when an invariant is broken."""
        while self._queue and self._queue[0].at_ms <= self._end_ms:
            planned = heapq.heappop(self._queue)
            advance_ms = planned.at_ms - self.now.mono_ms
            self.now = Now(mono_ms=planned.at_ms, utc_ms=self.now.utc_ms + advance_ms)
            planned.action()
        self.invariants.check_liveness()

    def count(self, name: str) -> None:
        """One more of something, for the report."""
        self.counts[name] = self.counts.get(name, 0) + 1

    def note(self, text: str) -> None:
        """Remember an event for the report of a failure."""
        self.recent.append(f"{(self.now.mono_ms - 1_000_000) / 1000:9.1f} s  {text}")
        del self.recent[:-25]

    # Time

    def after(self, delay_ms: float, action: Callable[[], None]) -> None:
        """Later."""
        self._at(self.now.mono_ms + max(0, round(delay_ms)), action)

    def _at(self, at_ms: int, action: Callable[[], None]) -> None:
        assert len(self._queue) < QUEUE_MAX, "the world's queue is unbounded"
        self._order += 1
        heapq.heappush(self._queue, _Planned(at_ms, self._order, action))

    def _every(self, interval_ms: int, action: Callable[[], None], *, first_ms: int = 0) -> None:
        def again() -> None:
            action()
            self.after(interval_ms, again)

        self.after(first_ms, again)

    def at_random(self, mean_ms: float, action: Callable[[], None]) -> None:
        """Again and again, uniformly within twice the mean, until the world heals."""

        def again() -> None:
            if self.is_healing:
                return
            action()
            self.after(self.draw.uniform(0.1, 1.9) * mean_ms, again)

        self.after(self.draw.uniform(0.1, 1.9) * mean_ms, again)

    def _plan_everything(self) -> None:
        self._every(TICK_MS, self._field_tick)
        self._every(REPORT_MS, self._report)
        self._every(SECOND_MS, self._second, first_ms=50)
        for line in self.lines:
            self._every(STATION_STEP_MS, self._stepper(line), first_ms=line.index * 7 % STATION_STEP_MS)
            self.after(self.draw.uniform(100, 4000), self._connector(line))
        if not self._is_quiet:
            self._plan_faults()

    def _plan_faults(self) -> None:
        for line in self.lines:
            self.at_random(400_000, self._cars(line))
            self.at_random(900_000, self._cutter(line))
            self.at_random(600_000, self._commander(line))
        self.outages.plan()
        self.at_random(700_000, self._kill_ems)
        self.at_random(600_000, self._silence_meter)
        self.at_random(300_000, self._issue_event)

    def plug(self, line: Line, car: CarSpec) -> None:
        """A car arrives at the station of a line."""
        self._station(line, Plug(connector_id=line.plan.connector_id, car=car))

    def ask(self, event: Event) -> None:
        """A request reaches the ems role, where there is one."""
        if self.ems is not None:
            self._deliver(self.ems.handle(event, self.now))

    # The ems role

    def _start_ems(self) -> None:
        self._epoch += 1
        self.ems = EmsNode(self.config, self._journal, epoch=self._epoch, now=self.now)
        self.note(f"ems role starts, epoch {self._epoch}")
        for request in self.utility.standing(self.now):
            self._deliver(self.ems.handle(request, self.now))
        for line in self.lines:
            for report in line.session.standing(self.now):
                self._outbox.put(report)

    def _kill_ems(self) -> None:
        if self.ems is None:
            return
        self.ems = None
        self.count("ems deaths")
        self.note("ems role dies")
        self.after(self.draw.uniform(2_000, 20_000), self._start_ems)

    def _field_tick(self) -> None:
        self.plant.step(TICK_MS / 1000, self._ev_load())
        if self.ems is None:
            return
        image = image_of(self.plant, self._assets, meter_good=self.meter_good)
        setpoints = self.ems.tick(image, self.now)
        apply_grants(self.plant, self.ems.grants, self._assets)
        self._hash.update(repr(self.ems.grants).encode())
        self._deliver(setpoints)

    def _report(self) -> None:
        if self.ems is None:
            return
        for request in self._outbox.requests(self.now):
            self._deliver(self.ems.handle(request, self.now))

    def _deliver(self, setpoints: list[Setpoint]) -> None:
        for setpoint in setpoints:
            line = self._by_asset[setpoint.asset_id]
            event = ocpp.SetpointIn(
                epoch=setpoint.epoch,
                sequence=setpoint.sequence,
                current_ma=setpoint.current_ma,
                ttl_ms=setpoint.ttl_ms,
                safety=setpoint.safety,
            )
            self.tell(line, event)

    def _second(self) -> None:
        if self.ems is not None:
            for request in self.utility.tick(self.now):
                self._deliver(self.ems.handle(request, self.now))
        self.invariants.check()

    # Stations and links

    def _line(self, index: int, plan: EvsePlan) -> Line:
        settings = settings_of(self.config, self.config.stations[index])

        def fresh_id() -> str:
            self._ids += 1
            return str(UUID(int=self._ids + (1 << 100), version=4))

        def link() -> Link:
            return Link(delay_ms=round(self.draw.uniform(1, 40)))

        quirks = self._quirks()
        vendor = FORGETFUL if Quirk.FORGETS in quirks else plan.station.vendor
        version = self._version()
        is_merged = version != OCPP_16 and self.draw.randrange(3) == 0
        settings = tuple(replace(one, enforcement="merge" if is_merged else "") for one in settings)
        known = replace(plan.station, quirks=quirks, vendor=vendor, subprotocol=version)
        station = Station(known, self.draw) if version == OCPP_16 else Station2x(known, self.draw, version)
        session = Session(settings, fresh_id, models=MODELS, outage=self.outages.stand_in(fresh_id))
        return Line(index, plan, station, session, Csms(version), link(), link(), link(), link())

    def _version(self) -> str:
        """Half of the stations speak 1.6, a quarter each 2.0.1 and 2.1."""
        versions = (OCPP_16, OCPP_16, OCPP_201, OCPP_21)
        return versions[self.draw.randrange(len(versions))]

    def _quirks(self) -> tuple[str, ...]:
        """Every third station is different in one way; in a quiet world none is."""
        if self._is_quiet:
            return ()
        kinds = list(Quirk)
        return (kinds[self.draw.randrange(len(kinds))],) if self.draw.randrange(3) == 0 else ()

    def _ev_load(self) -> EvLoad:
        phases = [0.0, 0.0, 0.0]
        power_w = 0.0
        for line in self.lines:
            for connector in line.station.connectors.values():
                car = connector.car
                if car is None:
                    continue
                used = min(car.spec.phases, connector.plan.phases)
                for phase in line.plan.grid_phases[:used]:
                    phases[phase - 1] += car.current_ma
                power_w += car.current_ma / 1000 * used * line.plan.station.voltage_mv / 1000
        i1, i2, i3 = (round(value) for value in phases)
        return EvLoad(sequence=self.now.mono_ms, i1_ma=i1, i2_ma=i2, i3_ma=i3, power_w=round(power_w))

    def _stepper(self, line: Line) -> Callable[[], None]:
        def step() -> None:
            self._station(line, Tick())
            wake_ms = line.session.wake_time()
            if wake_ms is not None and wake_ms <= self.now.mono_ms:
                self.tell(line, Tick())

        return step

    def _connector(self, line: Line) -> Callable[[], None]:
        def connect() -> None:
            if line.is_up:
                return
            line.is_up = True
            line.epoch += 1
            line.due_north.clear()
            line.due_south.clear()
            for link in (line.south_up, line.south_down, line.north_up, line.north_down):
                link.ready_ms = self.now.mono_ms
            if line.is_csms_there:
                self.tell(line, ocpp.LegUp(leg=ocpp.Leg.NORTH))
            self.tell(line, ocpp.LegUp(leg=ocpp.Leg.SOUTH, subprotocol=line.version))
            self._station(line, Connected())

        return connect

    def _hang_up(self, line: Line, wait_ms: float) -> None:
        if not line.is_up:
            return
        line.is_up = False
        line.epoch += 1
        self.outages.cut_north(line)
        self._station(line, Disconnected())
        self.tell(line, ocpp.LegDown(leg=ocpp.Leg.SOUTH))
        self.tell(line, ocpp.LegDown(leg=ocpp.Leg.NORTH))
        self.after(wait_ms, self._connector(line))

    def _station(self, line: Line, event: object) -> None:
        for effect in line.station.handle(event, self.now):  # type: ignore[arg-type]
            if isinstance(effect, Send):
                raw = effect.text.encode()
                line.due_north.append(raw)
                line.bills.station_sent(raw)
                self._send(line, line.south_up, ocpp.FrameIn(leg=ocpp.Leg.SOUTH, raw=raw))
            elif isinstance(effect, Hangup):
                self.after(0, partial(self._hang_up, line, effect.wait_ms))

    def _send(self, line: Line, link: Link, event: ocpp.FrameIn) -> None:
        """To the session of the line, over one link."""
        epoch, north_epoch = line.epoch, line.north_epoch
        at_ms = link.due(self.now, link.delay_ms)

        def arrive() -> None:
            is_whole = event.leg is ocpp.Leg.SOUTH or line.north_epoch == north_epoch
            if line.epoch == epoch and is_whole:
                self._frame(line, event)

        self._at(at_ms, arrive)

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
        for effect in line.session.handle(event, self.now):
            match effect:
                case ocpp.Send():
                    self._sent(line, effect)
                case ocpp.Later(event=second):
                    self.tell(line, second)
                case ocpp.Sampled() | ocpp.Outcome() | ocpp.DerSeen():
                    self._outbox.put(effect)
                    if effect.urgent:
                        self.after(0, self._report)
                case ocpp.Close():
                    self.after(0, lambda: self._hang_up(line, self.draw.uniform(*RECONNECT_MS)))
                case ocpp.Excepted():
                    self.count(f"excepted {effect.reason.value}")
                    self.invariants.excepted(line, effect)
                case ocpp.WriteBooks():
                    self.outages.write(line, effect)
                case ocpp.PasswordTaken():
                    self.count("password taken")
                case ocpp.Counted():
                    self.count(f"counted {effect.name}")
                case ocpp.Keep() | ocpp.CpoLimit():
                    pass
                case _:
                    assert_never(effect)

    def _sent(self, line: Line, effect: ocpp.Send) -> None:
        self._hash.update(effect.raw)
        self.invariants.sent(line, effect)
        epoch, north_epoch = line.epoch, line.north_epoch
        link = line.north_up if effect.leg is ocpp.Leg.NORTH else line.south_down
        self.count("frames north" if effect.leg is ocpp.Leg.NORTH else "frames south")

        def arrive() -> None:
            if line.epoch != epoch:
                return
            if effect.leg is ocpp.Leg.SOUTH:
                line.bills.station_got(effect.raw)
                self._station(line, Received(effect.raw.decode()))
                return
            if line.north_epoch != north_epoch:
                return
            answer = line.csms.answer(effect.raw, self.now)
            if answer is not None:
                self._from_csms(line, answer)

        self._at(link.due(self.now, link.delay_ms), arrive)

    def _from_csms(self, line: Line, raw: bytes) -> None:
        line.due_south.append(raw)
        self._send(line, line.north_down, ocpp.FrameIn(leg=ocpp.Leg.NORTH, raw=raw))

    # What happens at random

    def _cars(self, line: Line) -> Callable[[], None]:
        connector_id = line.plan.connector_id

        def come_or_go() -> None:
            if line.station.connectors[connector_id].car is not None:
                self._station(line, Unplug(connector_id=connector_id))
                return
            self.count("cars")
            car = CarSpec(
                # Few drivers, so that a CSMS knows them when it goes away.
                id_tag=f"TAG-{line.index}-{self.counts['cars'] % 2}",
                phases=line.plan.phases if self.draw.uniform(0, 1) < 0.8 else 1,
                current_max_ma=self.draw.randrange(3) * 8000 + 16_000,
                need_wh=5_000 + self.draw.randrange(40_000),
                delay_ms=500 + self.draw.randrange(4000),
                ramp_ma_per_s=2000 + self.draw.randrange(10_000),
            )
            self._station(line, Plug(connector_id=connector_id, car=car))

        return come_or_go

    def _cutter(self, line: Line) -> Callable[[], None]:
        def cut() -> None:
            self.count("cuts")
            self.note(f"link of {line.plan.station.id} is cut")
            self._hang_up(line, self.draw.uniform(1_000, 200_000))

        return cut

    def _commander(self, line: Line) -> Callable[[], None]:
        def command() -> None:
            if not line.session.has_csms:
                return
            known = commands(line.version, line.plan.connector_id, line.transaction, self.now.utc_ms)
            action, payload = known[self.draw.randrange(len(known))]
            self.count(f"csms {action}")
            self.note(f"CSMS sends {action} to {line.plan.station.id}")
            self._from_csms(line, line.csms.command(action, payload))

        return command

    def _silence_meter(self) -> None:
        self.meter_good = False
        self.count("meter silences")
        self.note("the meter falls silent")

        def speak() -> None:
            self.meter_good = True
            self.note("the meter speaks again")

        self.after(self.draw.uniform(1_000, 20_000), speak)

    def _issue_event(self) -> None:
        """A DERControl of one of two programs: overlapping, adjacent or nested with what is there."""
        number = len(self._controls)
        size = self.timeline.site
        low_w, high_w = size.import_w * 6 // 10, size.import_w
        start_s = self.now.utc_ms // 1000 + self.draw.randrange(120)
        control = DERControl(
            mrid=f"{number:032X}",
            response_required=3,
            reply_to="/r",
            creation_s=self.now.utc_ms // 1000,
            status=EventStatus(current=EventState.SCHEDULED, changed_s=self.now.utc_ms // 1000),
            interval=Interval(start_s=start_s, duration_s=30 + self.draw.randrange(300)),
            base=ControlBase(
                modes=(ControlMode(name="opModImpLimW", power_w=low_w + self.draw.randrange(high_w - low_w)),)
            ),
        )
        self._controls.append(control)
        self.count("utility events")
        programs = tuple(
            AssignedProgram(
                mrid=f"P{primacy}",
                primacy=primacy,
                controls=tuple(item for at, item in enumerate(self._controls) if at % 2 + 1 == primacy),
                default=None,
                default_known=True,
            )
            for primacy in (1, 2)
        )
        for request in self.utility.programs(programs, self.now):
            if self.ems is not None:
                self._deliver(self.ems.handle(request, self.now))


FORGETFUL = "Forgetful"
MODELS = (EvseModel(name=FORGETFUL, vendor=FORGETFUL, forgets_profiles=True),)
"""What cannot be found out by asking has to be known."""
