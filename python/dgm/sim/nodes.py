"""The parts of the virtual world around the product's cores: the EMS node, one gateway line per station, the utility.

    Station ──south link──> Session ──north link──> Csms         EmsNode: Cycle + Arbiter (Rust), as in the ems process
              (delay, cut)           (delay, cut)                UtilityNode: Scheduler, as in the der process

Each node takes `now` and returns what it gives; `world.py` owns the queue of things to come.
"""

from __future__ import annotations

import json
from array import array
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from dgm import _core
from dgm.api.config.v1.config_pb2 import DgmConfig
from dgm.api.core.v1.core_pb2 import Decision
from dgm.api.ems.v1.ems_pb2 import PutLimitRequest, ReportOutcomesRequest, Setpoint
from dgm.api.site.v1.site_pb2 import Quality, ReportSamplesRequest
from dgm.der.envelope import bounds, limit_of
from dgm.der.resource import AssignedProgram, ControlBase, ControlMode, DERControl, EventState, EventStatus, Interval
from dgm.der.scheduler import ProgramsKnown, Scheduler
from dgm.ems.columns import columns, reading
from dgm.ems.cycle import (
    CoreDecided,
    Cycle,
    Effect,
    Event,
    PublishSetpoints,
    Reply,
    SendLimits,
    SendLink,
    SendOutcomes,
    SendSamples,
    SendTargets,
    SubscriberHeard,
)
from dgm.ems.guidance import TABLES
from dgm.ems.limits import JOURNAL_TABLE, Forget, Keep
from dgm.ems.setpoints import SetpointSubscriber
from dgm.machine import Now, Tick
from dgm.ocpp.events import DerSeen, Outcome, Sampled
from dgm.ocpp.messages import der_message, outcome_message, sample_message
from dgm.ocpp.outage_rules import BILLING
from dgm.sim.stamps import format_time
from dgm.site.refusal import Refusal

IMPORT, EXPORT = "opModImpLimW", "opModExpLimW"
IMAGE_WIDTH = len(_core.IMAGE_COLUMNS)
GRANT_WIDTH = len(_core.GRANT_COLUMNS)


class EmsNode:
    """Cycle and Arbiter of one life of the ems role. `journal`, by table and key, outlives it, as the file does."""

    def __init__(self, config: DgmConfig, journal: dict[tuple[str, str], bytes], *, epoch: int, now: Now) -> None:
        self.cycle = Cycle(config, epoch=epoch)
        self.arbiter = _core.Arbiter(config.SerializeToString())
        self.decision: Decision | None = None
        self.grants: list[tuple[int, ...]] = []
        self.refused: list[Refusal] = []
        self._journal = journal
        self._subscriber = SetpointSubscriber()
        tables = {name: _table(journal, name) for name in TABLES}
        self._run(self.cycle.restore(_table(journal, JOURNAL_TABLE), now, tables), now)

    def handle(self, event: Event, now: Now) -> list[Setpoint]:
        """Hand an event to the cycle; returns the setpoints that go to the gateway."""
        publish = self._run(self.cycle.handle(event, now), now)
        return self._published(now) if publish else []

    def subscribed(self) -> None:
        """A gateway has come that knows nothing yet."""
        self._subscriber = SetpointSubscriber()

    def tick(self, image: array[int], now: Now, *, is_heard: bool) -> list[Setpoint]:
        """One field tick: decide on this image; on a cycle tell the EMS what was decided. is_heard: by a gateway."""
        self.arbiter.put_image(image, now.mono_ms)
        is_cycle = self.arbiter.decide(now.mono_ms)
        words = array("q", self.arbiter.grants())
        self.grants = [tuple(words[at : at + GRANT_WIDTH]) for at in range(0, len(words), GRANT_WIDTH)]
        if not is_cycle:
            return []
        raw = self.arbiter.decision()
        self.decision = Decision.FromString(raw)
        rows = [image[at : at + IMAGE_WIDTH] for at in range(0, len(image), IMAGE_WIDTH)]
        seen = [(index, reading(row, now)) for index, row in enumerate(rows)]
        readings = [(index, one) for index, one in seen if one.quality != Quality.QUALITY_NEVER]
        if is_heard:
            self._run(self.cycle.handle(SubscriberHeard(), now), now)
        self._run(self.cycle.handle(CoreDecided(decision=raw, readings=readings), now), now)
        wake_ms = self.cycle.wake_time()
        if wake_ms is not None and wake_ms <= now.mono_ms:
            self._run(self.cycle.handle(Tick(), now), now)
        return self._published(now)

    def _published(self, now: Now) -> list[Setpoint]:
        message = self._subscriber.next_message(self.cycle.setpoints, now)
        return [] if message is None else list(message.setpoints)

    def _run(self, effects: Iterable[Effect], now: Now) -> bool:
        publish = False
        for effect in effects:
            match effect:
                case SendLimits(limits=limits):
                    self.arbiter.put_limits(limits, now.mono_ms)
                case SendTargets(rows=rows, ttl_ms=ttl_ms):
                    self.arbiter.put_targets(columns(rows), ttl_ms, now.mono_ms)
                case SendSamples(rows=rows):
                    self.arbiter.put_samples(columns(rows), now.mono_ms)
                case SendOutcomes(rows=rows):
                    self.arbiter.put_outcomes(columns(rows), now.mono_ms)
                case SendLink(up=up):
                    self.arbiter.put_link(up, now.mono_ms)
                case Keep(id=key, record=value, table=table):
                    self._journal[table, key] = value
                case Forget(id=key, table=table):
                    self._journal.pop((table, key), None)
                case PublishSetpoints():
                    publish = True
                case Reply(message=Refusal() as refusal):
                    self.refused.append(refusal)
                case _:
                    pass
        return publish


def _table(journal: dict[tuple[str, str], bytes], name: str) -> dict[str, bytes]:
    return {key: record for (table, key), record in journal.items() if table == name}


@dataclass(slots=True)
class Outbox:
    """Reports of the gateway on their way to the EMS: newest sample per EVSE, every outcome."""

    source: str
    samples: dict[str, Sampled] = field(default_factory=dict)
    outcomes: list[Outcome] = field(default_factory=list)
    ders: dict[str, DerSeen] = field(default_factory=dict)
    sequence: int = 0

    def put(self, report: Sampled | Outcome | DerSeen) -> None:
        """Take a report of a session."""
        if isinstance(report, DerSeen):
            self.ders[report.asset_id] = report
        elif isinstance(report, Sampled):
            self.samples[report.asset_id] = report
        else:
            self.outcomes.append(report)

    def requests(self, now: Now) -> list[ReportOutcomesRequest | ReportSamplesRequest]:
        """What is to be sent now; empties the box. Outcomes first, as the role does."""
        found: list[ReportOutcomesRequest | ReportSamplesRequest] = []
        if self.outcomes:
            self.sequence += 1
            messages = [outcome_message(outcome, now) for outcome in self.outcomes]
            found.append(ReportOutcomesRequest(source=self.source, sequence=self.sequence, outcomes=messages))
        if self.samples or self.ders:
            self.sequence += 1
            samples = [sample_message(sample, now) for sample in self.samples.values()]
            ders = [der_message(seen) for seen in self.ders.values()]
            found.append(ReportSamplesRequest(source=self.source, sequence=self.sequence, samples=samples, ders=ders))
        self.samples, self.outcomes, self.ders = {}, [], {}
        return found


class UtilityNode:
    """A utility with two programs, the event engine of the der role, and what the utility was told. Powers in W.

    controls: what it has issued, by mRID, with the primacy of its program. responses: by mRID, in order.
    """

    def __init__(self, circuit_id: str) -> None:
        self.responses: dict[str, list[int]] = {}
        self.limits: dict[str, int] = {}
        self.controls: dict[str, tuple[int, DERControl]] = {}
        self._scheduler = Scheduler(lambda most: most // 2)
        self._circuit_id = circuit_id

    @property
    def of_import(self) -> list[int]:
        """Limits of import in force, as the engine sees them."""
        return [watts for mode, watts in self.limits.items() if mode == IMPORT]

    @property
    def of_export(self) -> list[int]:
        """Limits of export in force, as the engine sees them."""
        return [watts for mode, watts in self.limits.items() if mode == EXPORT]

    def put(self, mrid: str, *, mode: str, power_w: int, start_s: int, duration_s: int, primacy: int, now: Now) -> None:
        """The utility issues a control; start_s by its own clock."""
        now_s = now.utc_ms // 1000
        control = DERControl(
            mrid=mrid,
            response_required=3,
            reply_to="/r",
            creation_s=now_s,
            status=EventStatus(current=EventState.SCHEDULED, changed_s=now_s),
            interval=Interval(start_s=start_s, duration_s=duration_s),
            base=ControlBase(modes=(ControlMode(name=mode, power_w=power_w),)),
        )
        self.controls[mrid] = (primacy, control)

    def cancel(self, mrid: str, now: Now) -> None:
        """The utility cancels a control."""
        primacy, control = self.controls[mrid]
        status = EventStatus(current=EventState.CANCELLED, changed_s=now.utc_ms // 1000)
        self.controls[mrid] = (primacy, replace(control, status=status))

    def fetch(self, now: Now) -> list[PutLimitRequest]:
        """The der role reads all lists."""
        programs = tuple(
            AssignedProgram(
                mrid=f"P{primacy}",
                primacy=primacy,
                controls=tuple(control for of, control in self.controls.values() if of == primacy),
                default=None,
                default_known=True,
            )
            for primacy in sorted({1, 2, *(of for of, _ in self.controls.values())})
        )
        return self._taken(self._scheduler.handle(ProgramsKnown(programs=programs), now), now)

    def tick(self, now: Now) -> list[PutLimitRequest]:
        """Time went by."""
        return self._taken(self._scheduler.handle(Tick(), now), now)

    def standing(self, now: Now) -> list[PutLimitRequest]:
        """Every bound in force, for an ems role that has just come back."""
        found = bounds(self._scheduler, now.utc_ms)
        return [PutLimitRequest(limit=limit_of(bound, self._circuit_id, now.utc_ms)) for bound in found.values()]

    def _taken(self, responses: Iterable[object], now: Now) -> list[PutLimitRequest]:
        for response in responses:
            self.responses.setdefault(response.mrid, []).append(response.status)  # type: ignore[attr-defined]
        found = bounds(self._scheduler, now.utc_ms)
        changed = {mode: bound for mode, bound in found.items() if self.limits.get(mode) != bound.power_w}
        self.limits = {mode: bound.power_w for mode, bound in found.items()}
        return [PutLimitRequest(limit=limit_of(bound, self._circuit_id, now.utc_ms)) for bound in changed.values()]


class Csms:
    """A central system of one station: answers at once, now and then commands; books each message id once."""

    def __init__(self, version: str) -> None:
        self._status = "idTokenInfo" if version.startswith("ocpp2") else "idTagInfo"
        self.booked: list[tuple[str, dict[str, object]]] = []
        self.given: set[object] = set()
        self._answers: dict[str, dict[str, object]] = {}
        self._calls = 0
        self._transactions = 0

    def answer(self, raw: bytes, now: Now) -> bytes | None:
        """The CALLRESULT to a CALL; None for answers."""
        frame = json.loads(raw)
        if frame[0] != 2:
            return None
        payload: dict[str, object] = {}
        match frame[2]:
            case "BootNotification":
                payload = {"status": "Accepted", "currentTime": _iso(now), "interval": 300}
            case "Heartbeat":
                payload = {"currentTime": _iso(now)}
            case "Authorize":
                payload = {self._status: {"status": "Accepted"}}
            case action if action in BILLING:
                payload = self._book(frame[1], action, frame[3])
            case "DataTransfer":
                payload = {"status": "Accepted"}
            case _:
                pass
        return json.dumps([3, frame[1], payload]).encode()

    def _book(self, message_id: str, action: str, payload: dict[str, object]) -> dict[str, object]:
        if message_id not in self._answers:
            self.booked.append((action, payload))
            self._answers[message_id] = {}
            if action == "StartTransaction":
                self._transactions += 1
                info = {"status": "Accepted"}
                self.given.add(self._transactions)
                self._answers[message_id] = {"transactionId": self._transactions, "idTagInfo": info}
        return self._answers[message_id]

    def command(self, action: str, payload: dict[str, object]) -> bytes:
        """A CALL of the CPO's own."""
        self._calls += 1
        return json.dumps([2, f"csms-{self._calls}", action, payload]).encode()


def _iso(now: Now) -> str:
    return format_time(now.utc_ms)


@dataclass(slots=True)
class Link:
    """One direction of one socket: delayed, in order."""

    delay_ms: int
    ready_ms: int = 0

    def due(self, now: Now, delay_ms: int) -> int:
        """When a frame sent now arrives: never before the one sent earlier."""
        self.ready_ms = max(self.ready_ms, now.mono_ms + delay_ms)
        return self.ready_ms
