"""Drives the sessions: frames in, effects out, each carried out at once and in order.

    leg ──message──> Lines.frame ──glance──> other leg                     the short cut; copies wait their turn
                         └──> Lines.drive ──> Session.handle ──> effects ──> legs, reports, audit file, metrics

Nothing here waits. Copies are decoded a few at a time between frames, more of them the more wait, so that decoding
never stands before forwarding and the queue stays bounded; nothing is left out. Opening and closing is in `server`.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import assert_never

from websockets.frames import CloseCode
from websockets.protocol import OPEN

from dgm import clock
from dgm.log import logger
from dgm.machine import Tick
from dgm.ocpp.books import DropMessage, PutMessage, Refused
from dgm.ocpp.events import (
    BooksWritten,
    CarNeed,
    Close,
    Copied,
    Counted,
    CpoLimit,
    DerSeen,
    Event,
    Excepted,
    FrameIn,
    Glance,
    Keep,
    Later,
    Leg,
    Outcome,
    PasswordTaken,
    Reason,
    Sampled,
    Send,
    WriteBooks,
)
from dgm.ocpp.gateway.admissions import Admissions
from dgm.ocpp.gateway.audit import AuditFile
from dgm.ocpp.gateway.books_file import BooksFile
from dgm.ocpp.gateway.counts import GatewayMetrics
from dgm.ocpp.gateway.keys import Keys, basic_header
from dgm.ocpp.gateway.legs import Connection, CsmsLeg, StationLeg, close, write_north, write_south
from dgm.ocpp.session import Session

TICK_MIN_S = 0.02

COPIES_AT_ONCE = 4
"""Decoded between two rounds of the event loop when few wait; an eighth of what waits when many do."""

MAX_COPIES = 4_000
"""Waiting to be decoded; beyond it one is decoded for each that is added."""


TIMED_EVERY = 16
"""One frame in so many that pass at a glance is timed, for all."""

MEASURED_EVERY = 32
"""One drain in so many is timed, for all: the thread's CPU clock is a system call and costs as much as a decode."""

_CLOCK_COST_S = min(-time.thread_time() + time.thread_time() for _ in range(9))


@dataclass(slots=True, kw_only=True)
class Link:
    """The open sockets of one station; north None: its CSMS is away. ended: set when it is over, or replaced.

    away_since_s: monotonic; None: the CSMS is there. redial: the task that looks for it.
    """

    south: StationLeg
    north: CsmsLeg | None
    ended: asyncio.Future[None]
    away_since_s: float | None = None
    redial: asyncio.Task[None] | None = None

    def connections(self) -> list[Connection]:
        """Those that are open."""
        return [self.south] if self.north is None else [self.south, self.north]

    def end(self) -> None:
        """Whoever waits for the end may go on."""
        if not self.ended.done():
            self.ended.set_result(None)


class Line:
    """One configured station: its session, its timer, its sockets while it is connected, its copies to be decoded."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.link: Link | None = None
        self.timer: asyncio.TimerHandle | None = None
        self.timer_ms = 0
        self.why_down = ""
        self.is_reported_down = False
        self.copies: deque[bytes] = deque()
        """Frames of the station that have passed."""
        self.away_until_s = 0.0
        """Monotonic: until then the CSMS need not be dialled to know that it is away."""

    def leg(self, leg: Leg) -> Connection | None:
        """The socket of a leg, if there is one."""
        if self.link is None:
            return None
        return self.link.south if leg is Leg.SOUTH else self.link.north


class Lines:
    """See the module.

    `report` gets what is for the ems role, at once. `keep` stores under a station's id what its session wants stored,
    and returns when it is durable. books: on whose disk the sessions' stand-ins write; None, they have none.
    """

    def __init__(
        self,
        *,
        metrics: GatewayMetrics,
        audit: AuditFile,
        report: Callable[[Sampled | Outcome | CpoLimit | DerSeen | CarNeed], None],
        keep: Callable[[str, Keep], None],
        keys: Keys | None = None,
        admissions: Admissions | None = None,
        books: BooksFile | None = None,
    ) -> None:
        self._keys, self._admissions, self._books = keys, admissions, books
        self._metrics = metrics
        self._passage = metrics.passage
        self._audit = audit
        self._report = report
        self._keep = keep
        self._waiting: deque[Line] = deque()
        self._is_draining = False
        self._drains = 0
        self._closing: set[asyncio.Task[None]] = set()
        self._log = logger("ocpp")

    def frame(self, line: Line, link: Link, leg: Leg, raw: bytes) -> None:
        """A message of one leg; what comes of a link that was replaced is dropped."""
        if line.link is not link:
            return
        passage = self._passage
        passage.seen += 1
        started_s = 0.0 if passage.seen % TIMED_EVERY else time.perf_counter()
        try:
            glance = line.session.pass_on(leg, raw)
            if glance is Glance.HANDLE:
                self.drive(line, FrameIn(leg=leg, raw=raw))
                return
            if leg is Leg.SOUTH:
                north = link.north
                if north is not None and north.protocol.state is OPEN:
                    if write_north(north, raw):
                        passage.north += 1
                    else:
                        self._too_slow(Leg.NORTH, north)
            elif link.south.protocol.state is OPEN:
                if write_south(link.south, raw):
                    passage.south += 1
                else:
                    self._too_slow(Leg.SOUTH, link.south)
            if started_s:
                passage.took(time.perf_counter() - started_s, TIMED_EVERY)
            if glance is Glance.COPY:
                self._put_copy(line, raw)
        except Exception:
            self._fault(line, link)

    def drive(self, line: Line, event: Event) -> None:
        """Let the session handle an event and carry out its effects, in order, without waiting for anything."""
        started_s = time.perf_counter()
        events: deque[Event] = deque((event,))
        if line.copies:
            # What has passed before this event is looked at before it.
            events.extendleft(Copied(leg=Leg.SOUTH, raw=raw) for raw in reversed(line.copies))
            self._passage.copies += len(line.copies)
            self._passage.copies_waiting -= len(line.copies)
            line.copies.clear()
        self._carry_out(line, events, started_s)

    def _carry_out(self, line: Line, events: deque[Event], started_s: float) -> None:
        while events:
            for effect in line.session.handle(events.popleft(), now := clock.now()):
                match effect:
                    case Send():
                        self._send(line, effect, started_s)
                    case Later():
                        events.append(effect.event)
                    case Sampled() | Outcome() | CpoLimit() | DerSeen() | CarNeed():
                        self._report(effect)
                    case Keep():
                        self._keep(line.session.settings.station_id, effect)
                    case Excepted():
                        self._metrics.excepted[effect.reason].inc()
                        if effect.reason is Reason.REPLAYED:
                            self._metrics.outage_messages.labels(line.session.settings.cpo_id, "replayed").inc()
                        if not self._audit.write(line.session.settings.station_id, effect, now.utc_ms):
                            self._metrics.audit_lost.inc()
                    case Counted():
                        self._count(effect)
                    case Close():
                        self._close_soon(line, effect)
                    case WriteBooks():
                        self._write_books(line, effect)
                    case PasswordTaken():
                        self._password_taken(line.session.settings.station_id, effect.password)
                    case _:
                        assert_never(effect)
        self._set_timer(line)

    def _password_taken(self, station_id: str, password: str) -> None:
        if self._keys is not None:
            self._keys.rotate(station_id, password)
        if self._admissions is not None:
            self._admissions.admitted(station_id, basic_header(station_id, password))

    def _write_books(self, line: Line, effect: WriteBooks) -> None:
        assert self._books is not None, "a stand-in without a disk writes nothing"
        cpo_id = line.session.settings.cpo_id

        def done(token: int, is_good: bool) -> None:
            if is_good:
                self._count_books(cpo_id, effect)
            self._guarded(line, BooksWritten(token=token, is_good=is_good))

        self._books.write(line.session.settings.station_id, effect.token, effect.changes, done)

    def _count_books(self, cpo_id: str, effect: WriteBooks) -> None:
        messages = self._metrics.outage_messages
        for change in effect.changes:
            if isinstance(change, PutMessage) and change.message.failures == 0:
                messages.labels(cpo_id, "stored").inc()
                self._metrics.books_waiting.labels(cpo_id).inc()
            elif isinstance(change, DropMessage | Refused):
                self._metrics.books_waiting.labels(cpo_id).dec()
            if isinstance(change, Refused):
                messages.labels(cpo_id, "refused").inc()

    def _send(self, line: Line, effect: Send, started_s: float) -> None:
        if line.link is None:
            return
        if effect.relayed:
            self._write(line, line.link, effect.leg, effect.raw, started_s)
        else:
            self._put_on(line.link, effect.leg, effect.raw)

    def _write(self, line: Line, link: Link, to: Leg, raw: bytes, started_s: float) -> None:
        if not self._put_on(link, to, raw):
            return
        passage = self._passage
        if to is Leg.NORTH:
            passage.north += 1
        else:
            passage.south += 1
        passage.took(time.perf_counter() - started_s)

    def _put_on(self, link: Link, to: Leg, raw: bytes) -> bool:
        leg: Connection | None = link.north if to is Leg.NORTH else link.south
        if leg is None or leg.protocol.state is not OPEN:
            return False
        if write_north(leg, raw) if isinstance(leg, CsmsLeg) else write_south(leg, raw):
            return True
        self._too_slow(to, leg)
        return False

    def _too_slow(self, to: Leg, leg: Connection) -> None:
        self._metrics.slow_peers.labels(to.value).inc()
        leg.transport.abort()

    def _fault(self, line: Line, link: Link) -> None:
        """An error of ours: this station starts again, all others go on."""
        self._metrics.faults.inc()
        self._log.exception("station connection ended by an error of ours", station=link.south.station_id)
        line.copies.clear()
        link.end()

    # Copies.

    def _put_copy(self, line: Line, raw: bytes) -> None:
        line.copies.append(raw)
        self._waiting.append(line)
        self._passage.copies_waiting += 1
        if not self._is_draining:
            self._is_draining = True
            asyncio.get_running_loop().call_soon(self._drain)
        elif len(self._waiting) > MAX_COPIES:
            self._decode_next()

    def _drain(self) -> None:
        """Decode some of what waits, then let frames pass."""
        self._drains += 1
        is_measured = self._drains % MEASURED_EVERY == 0
        started_s = time.thread_time() if is_measured else 0.0
        for _ in range(max(COPIES_AT_ONCE, len(self._waiting) // 8)):
            self._decode_next()
            if not self._waiting:
                break
        if is_measured:
            spent_s = time.thread_time() - started_s - _CLOCK_COST_S
            self._passage.copies_cpu_s += MEASURED_EVERY * max(0.0, spent_s)
        self._is_draining = bool(self._waiting)
        if self._is_draining:
            asyncio.get_running_loop().call_soon(self._drain)

    def _decode_next(self) -> None:
        if not self._waiting:
            return
        line = self._waiting.popleft()
        if not line.copies:
            return  # decoded before its turn, because something else happened on its line
        raw = line.copies.popleft()
        self._passage.copies += 1
        self._passage.copies_waiting -= 1
        self._guarded(line, Copied(leg=Leg.SOUTH, raw=raw))

    def _count(self, effect: Counted) -> None:
        match effect.name:
            case "bad_frame":
                self._metrics.bad_frames.labels(effect.detail).inc()
            case "wrong_payload":
                self._metrics.wrong_payloads.labels(effect.detail).inc()
            case "schema_breach":
                self._metrics.schema_breaches.labels(effect.detail).inc()
            case "certificate":
                self._metrics.certificate_messages.labels(effect.detail).inc()
            case "old_reading":
                self._metrics.old_readings.inc()
            case _:
                self._metrics.pending_full.inc()

    # Time, and the end of a leg.

    def _close_soon(self, line: Line, effect: Close) -> None:
        """End the other leg, and with it the link."""
        leg, link = line.leg(effect.leg), line.link
        if leg is None or link is None:
            return
        line.why_down = effect.reason
        self.close_soon(leg, effect.reason)
        link.end()

    def close_soon(self, leg: Connection, reason: str) -> None:
        """Close a leg in a task of its own, within the library's close timeout."""
        code = CloseCode.GOING_AWAY if isinstance(leg, StationLeg) else CloseCode.NORMAL_CLOSURE
        task = asyncio.get_running_loop().create_task(close(leg, code, reason))
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    def _set_timer(self, line: Line) -> None:
        wake_ms = line.session.wake_time()
        if wake_ms is None or (line.timer is not None and line.timer_ms <= wake_ms):
            return
        if line.timer is not None:
            line.timer.cancel()
        loop = asyncio.get_running_loop()
        delay_s = max(TICK_MIN_S, (wake_ms - clock.now().mono_ms) / 1000)
        line.timer, line.timer_ms = loop.call_later(delay_s, self._tick, line), wake_ms

    def _tick(self, line: Line) -> None:
        line.timer = None
        self._guarded(line, Tick())

    def _guarded(self, line: Line, event: Event) -> None:
        """An event that no peer waits for."""
        link = line.link
        try:
            if isinstance(event, Copied):
                self._carry_out(line, deque((event,)), time.perf_counter())
            else:
                self.drive(line, event)
        except Exception:
            if link is None:
                raise
            self._fault(line, link)
