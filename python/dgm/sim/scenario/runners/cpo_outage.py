"""Scenario 11: the CPOs are away while cars come and go and stations reboot, by each policy for that case.

    before: drivers become known ──CSMSs go──> reboots, starts, stops, two deaths of the ocpp role ──CSMSs come──> books

Judged are the site's limit on the plant, what stations were let do, and what the CSMSs have booked in the end against
what the stations told. By default the outage lasts twelve minutes, with --full four hours.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import partial

from dgm.api.config.v1.scenario_pb2 import ScenarioWorld
from dgm.api.ems.v1.ems_pb2 import Limit, PutLimitRequest, Quantity
from dgm.ocpp.outage_rules import Policy
from dgm.ocpp.session import Session
from dgm.sim.car import CarSpec
from dgm.sim.line import Line, session_of
from dgm.sim.outages import content, is_asked_for
from dgm.sim.scenario.mark import Measured
from dgm.sim.scenario.runners.timeline import finish
from dgm.sim.scenario.stage import Stage
from dgm.sim.scenario.task import Outcome, Task
from dgm.sim.station import Station

STATIONS, UNKNOWN = 20, 10
KNOWN_S, AWAY_S, AFTER_S = 60, 160, 360
OUTAGE_S, SHORT_S = 14_400, 720
REBOOT_S = 20
SLOTS, STAY_PERMILLE = 3, 600
LIMIT_W = 60_000
POLL_MS = 500
DEATH_S = 5
NEED_WH = 20_000


@dataclass(slots=True)
class Start:
    """A car that was plugged in during the outage. began_ms: after that, when its transaction had begun."""

    line: Line
    tag: str
    is_known: bool
    plugged_ms: int
    began_ms: int | None = None


@dataclass(slots=True)
class Seen:
    """What was seen of one run."""

    starts: list[Start] = field(default_factory=list)
    rebooted: set[str] = field(default_factory=set)
    served: set[str] = field(default_factory=set)
    stops: int = 0
    delivered_ms: int | None = None


class Outage:
    """Plans and watches one run. Times are s after its start."""

    def __init__(self, task: Task) -> None:
        self.policy = Policy(task.run)
        self.away_s = OUTAGE_S if task.is_full else SHORT_S
        world = ScenarioWorld()
        world.CopyFrom(task.world)
        world.length_s = AWAY_S + self.away_s + AFTER_S
        self.back_s = AWAY_S + self.away_s
        self.stage = Stage(replace(task, world=world))
        self.lines = self.stage.world.lines[:STATIONS]
        self.seen = Seen()
        for number, line in enumerate(self.stage.world.lines):
            line.policy = self.policy
            line.session = self._session(line, number)

    def _session(self, line: Line, number: int) -> Session:
        ids = (f"{number:08x}-0000-4000-8000-{count:012x}" for count in range(1, 1 << 40))
        if self.policy is Policy.STRICT:
            return Session(line.settings, partial(next, ids))
        return session_of(line.settings, line.policy, partial(next, ids))

    def plan(self) -> None:
        """Everything that happens."""
        stage = self.stage
        limit = Limit(
            id="site", source="api:site", circuit_id="grid", quantity=Quantity.QUANTITY_GROSS_LOAD, power_w=LIMIT_W
        )
        stage.at_s(1, partial(stage.world.ask, PutLimitRequest(limit=limit)))
        for number, line in enumerate(self.lines):
            for visit in range(2):
                at_s = 10 + visit * KNOWN_S + number / 4
                stage.at_s(at_s, partial(self._plug, line, f"TAG-{number}-{visit}"))
                stage.at_s(at_s + KNOWN_S * 0.7, partial(stage.world.actions.unplug, line.plan.id))
            self._plan_outage(number, line)
        stage.at_s(AWAY_S, self._go)
        stage.at_s(self.back_s, self._come)
        if self.policy is Policy.STORE:
            for share in (0.4, 0.7):
                kill = partial(stage.world.actions.kill, "ocpp", for_ms=DEATH_S * 1000)
                stage.at_s(AWAY_S + self.away_s * share, kill)
        stage.world.agenda.every(POLL_MS, self._look)

    def _plan_outage(self, number: int, line: Line) -> None:
        slot_s = (self.away_s - 60) / SLOTS
        self.stage.at_s(AWAY_S + REBOOT_S + number / 2, partial(self._reboot, line))
        for visit in range(SLOTS):
            is_known = visit < 2 or number >= UNKNOWN
            tag = f"TAG-{number}-{visit % 2}" if is_known else f"STRANGER-{number}"
            at_s = AWAY_S + 50 + visit * slot_s + number
            self.stage.at_s(at_s, partial(self._arrive, line, tag, is_known))
            self.stage.at_s(at_s + slot_s * STAY_PERMILLE / 1000, partial(self._leave, line))

    # What happens

    def _go(self) -> None:
        for line in self.stage.world.lines:
            self.stage.world.actions.csms_away(line.id)
            if self.policy is Policy.STRICT:
                self.stage.world.actions.cut(line.id)

    def _come(self) -> None:
        for line in self.stage.world.lines:
            self.stage.world.actions.csms_back(line.id)
            if self.policy is Policy.STRICT:
                self.stage.world.actions.join(line.id)

    def _plug(self, line: Line, tag: str) -> None:
        car = CarSpec(
            id_tag=tag,
            phases=3,
            current_max_ma=line.plan.current_max_ma,
            need_wh=NEED_WH,
            delay_ms=1_000,
            ramp_ma_per_s=8_000,
        )
        self.stage.world.actions.plug(line.plan.id, car)

    def _arrive(self, line: Line, tag: str, is_known: bool) -> None:
        self.seen.starts.append(Start(line=line, tag=tag, is_known=is_known, plugged_ms=self.stage.elapsed_ms))
        self._plug(line, tag)

    def _leave(self, line: Line) -> None:
        self.seen.stops += line.ports[0].transaction_id is not None
        self.stage.world.actions.unplug(line.plan.id)

    def _reboot(self, line: Line) -> None:
        station = line.station if isinstance(line.station, Station) else line.station.inner
        station.reset(hard=True, now=self.stage.world.now)
        self.seen.rebooted.add(line.id)

    def _look(self) -> None:
        now_ms = self.stage.elapsed_ms
        for start in self.seen.starts:
            port = start.line.ports[0]
            is_its = port.car is not None and port.car.spec.id_tag == start.tag
            if start.began_ms is None and is_its and port.transaction_id is not None:
                start.began_ms = now_ms - start.plugged_ms
        if AWAY_S + 40 < now_ms / 1000 < self.back_s:
            self.seen.served |= {line.id for line in self.lines if line.station.is_accepted} & self.seen.rebooted
        if now_ms >= self.back_s * 1000 and self.seen.delivered_ms is None and not any(map(_missing, self.lines)):
            self.seen.delivered_ms = now_ms - self.back_s * 1000


def _missing(line: Line) -> int:
    """Messages that the station was answered and its CSMS has not booked."""
    booked = {content(action, payload) for action, payload in line.csms.booked if not is_asked_for(payload)}
    return len(line.bills.answered - booked)


def run(task: Task) -> Outcome:
    """The run of one policy, which is its name."""
    outage = Outage(task)
    outage.plan()
    found = finish(outage.stage)
    return Outcome(
        figures=_figures(outage), trace=found.trace, panels=found.panels, notes=tuple(_notes(outage)), why=found.why
    )


def _figures(outage: Outage) -> dict[str, Measured]:
    seen, lines = outage.seen, outage.stage.world.lines
    faults = [f"{line.id}: {fault}" for line in lines for fault in line.bills.faults(line.csms.booked)]
    missing = sum(map(_missing, lines))
    known = [start for start in seen.starts if start.is_known]
    slow = [start for start in known if start.began_ms is None or start.began_ms > 5_000]
    begun = [start.began_ms for start in known if start.began_ms is not None]
    strangers = [start for start in seen.starts if not start.is_known and _in_outage(outage, start)]
    booked = sum(len(line.csms.booked) for line in lines)
    return {
        "reboots_served": Measured(value=len(seen.served), detail=f"of {len(seen.rebooted)} in the outage"),
        "known_slow": Measured(
            value=len(slow),
            detail=f"{len(known)} starts, the slowest {max(begun, default=0) / 1000:.1f} s from the plug",
        ),
        "strangers_let_in": Measured(value=len(strangers), detail=f"of {len(seen.starts) - len(known)}"),
        "message_faults": Measured(
            value=len(faults) + missing, detail="; ".join(faults[:2]) or f"{booked} messages booked, {missing} missing"
        ),
        "delivered_s": Measured(
            value=None if seen.delivered_ms is None else seen.delivered_ms / 1000, detail="after the CSMSs were back"
        ),
        "outage_h": Measured(value=outage.away_s / 3600),
    }


def _in_outage(outage: Outage, start: Start) -> bool:
    return start.began_ms is not None and start.plugged_ms + start.began_ms < outage.back_s * 1000


def _notes(outage: Outage) -> Iterator[str]:
    yield f"outage of {outage.away_s / 3600:g} h, {len(outage.seen.starts)} cars, {outage.seen.stops} stops"
