"""The event engine: DERControls and defaults in, responses and the ruling value of each mode out.

    AssignedProgram(s) ──ProgramsKnown──> Scheduler ──Respond──> POST DERControlResponse
                                   Tick ──>  |  ──timeline()──> limits for the EMS
                              dump() <── journal ──> restore()

`now.utc_ms` is the server's clock (the caller adds the offset). Responses follow that clock whatever the meter shows.
It does not fetch, does not retry a response (it only remembers which ones the server has not taken yet), and acts on
the limit modes alone: an event that carries none of them is rejected, not silently held.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, assert_never

from dgm.der.resource import (
    LIMIT_MODES,
    AssignedProgram,
    ControlBase,
    ControlMode,
    DefaultDERControl,
    DERControl,
    EventState,
)
from dgm.der.schedule import Event, Phase, Segment, contest, effective, newly_lost, project
from dgm.machine import Now, Tick

RECEIVED, STARTED, COMPLETED, CANCELLED, SUPERSEDED = 1, 2, 3, 6, 7
REJECTED_NOT_APPLICABLE, REJECTED_INVALID, REJECTED_LATE = 252, 253, 254
REJECTIONS = frozenset({REJECTED_NOT_APPLICABLE, REJECTED_INVALID, REJECTED_LATE})

LIVE_MAX = 300
"""Events followed at once; further ones are taken up when room is there, the earliest first."""
ENDED_MAX = 1000
"""Ended events remembered so that their mRIDs are not answered again."""
ENDED_KEEP_MS = 24 * 3600 * 1000
VANISH_GRACE_MS = 10_000
"""A server may stop listing an event this long before its nominal end without cancelling it."""

DEVICE_CATEGORY = sum(1 << bit for bit in (9, 14, 16, 17, 18, 21, 23, 25))
"""C&I load, EMS, EV, EVSE, mixed DER, PV, PV with storage, storage (S18 DeviceCategoryType)."""

FORMAT = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgramsKnown:
    """The complete set of programs that apply now."""

    programs: tuple[AssignedProgram, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ResponseTaken:
    """The server has taken (or finally refused) a response: it is owed no longer."""

    mrid: str
    status: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Respond:
    """Tell the server what happened; created_s is when, on its clock."""

    mrid: str
    reply_to: str
    status: int
    created_s: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredDefault:
    """A DefaultDERControl with the rank of its program."""

    program_mrid: str
    primacy: int
    control: DefaultDERControl


SchedulerEvent = ProgramsKnown | ResponseTaken | Tick


class Scheduler:
    """The schedule of one device. `draw(n)`: a uniform integer in 0..n. `allowed`: response codes the utility takes."""

    def __init__(self, draw: Callable[[int], int], *, allowed: frozenset[int] | None = None) -> None:
        self._draw = draw
        self._allowed = allowed
        self._events: dict[str, Event] = {}
        self._defaults: tuple[StoredDefault, ...] = ()
        self._owed: dict[tuple[str, int], Respond] = {}
        self._fresh: list[Respond] = []
        self._last_ms: int | None = None
        self.revision = 0
        """Grows whenever what dump() gives has changed."""
        self._now = Now(mono_ms=0, utc_ms=0)

    def handle(self, event: SchedulerEvent, now: Now) -> list[Respond]:
        """Bring the schedule to `now`, then apply the event. Responses come in the order in which they are due."""
        self._now = now
        self._advance(now.utc_ms)
        match event:
            case ProgramsKnown():
                self._take_programs(event.programs, now.utc_ms)
                self._advance(now.utc_ms)
            case ResponseTaken():
                if self._owed.pop((event.mrid, event.status), None) is not None:
                    self.revision += 1
            case Tick():
                pass
            case _:
                assert_never(event)
        fresh, self._fresh = self._fresh, []
        return fresh

    def wake_time(self) -> int | None:
        """Monotonic ms of the next start or end of an event."""
        edges = [edge for event in self._live() for edge in (event.start_ms, event.end_ms) if edge > self._now.utc_ms]
        return self._now.mono_ms + min(edges) - self._now.utc_ms if edges else None

    def timeline(self, name: str) -> tuple[Segment, ...]:
        """What rules one mode from the last `now` on; gaps between events are filled with the default, if there is one.

        Empty: nothing rules it, by rule.
        """
        rows = project(list(self._events.values()), (name,), self._now.utc_ms)[name]
        default = self.default_mode(name)
        return tuple(rows) if default is None else tuple(_fill_gaps(rows, default, self._now.utc_ms))

    def default_mode(self, name: str) -> Segment | None:
        """The default of one mode: of the highest-priority program whose default carries it."""
        for stored in self._defaults:
            for mode in stored.control.base.modes:
                if mode.name == name:
                    value = mode if mode.power_w is None else replace(mode, power_w=max(0, mode.power_w))
                    ramp_ms = stored.control.base.ramp_ms or 0
                    return Segment(
                        mode=value,
                        mrid=stored.control.mrid,
                        start_ms=self._now.utc_ms,
                        end_ms=None,
                        began_ms=self._default_began_ms(name),
                        ramp_ms=ramp_ms,
                        is_default=True,
                    )
        return None

    def _default_began_ms(self, name: str) -> int:
        """When the last event with this mode ended: a default ramps from there."""
        ended = (event.end_ms for event in self._events.values() if not event.is_live and name in event.mode_names)
        return max((end_ms for end_ms in ended if end_ms <= self._now.utc_ms), default=0)

    def default_gradient_permyriad_s(self) -> int | None:
        """setGradW of the highest-priority default that has one; DERSettings has to repeat it."""
        gradients = (stored.control.set_grad_w_permyriad_s for stored in self._defaults)
        return next((gradient for gradient in gradients if gradient is not None), None)

    def events(self) -> tuple[Event, ...]:
        """Every event known, by effective start."""
        return tuple(sorted(self._events.values(), key=lambda event: (event.start_ms, event.mrid)))

    def defaults(self) -> tuple[StoredDefault, ...]:
        """Stored defaults, highest priority first."""
        return self._defaults

    def owed(self) -> tuple[Respond, ...]:
        """Responses decided but not taken by the server yet, oldest first."""
        return tuple(self._owed.values())

    def dump(self) -> bytes:
        """Everything that has to survive a restart."""
        state = {
            "format": FORMAT,
            "events": [_event_to_json(event) for event in self._events.values()],
            "defaults": [asdict(stored) for stored in self._defaults],
            "owed": [asdict(respond) for respond in self._owed.values()],
        }
        return json.dumps(state, separators=(",", ":")).encode()

    def restore(self, stored: bytes) -> None:
        """Take over a dump. ValueError when it is not one; then nothing has changed."""
        try:
            state = json.loads(stored)
            if state["format"] != FORMAT:
                raise ValueError(f"schedule format {state['format']!r}; expected {FORMAT}")
            events = [_event_from_json(item) for item in state["events"]]
            defaults = tuple(_default_from_json(item) for item in state["defaults"])
            owed = [Respond(**item) for item in state["owed"]]
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise ValueError(f"stored schedule is damaged: {error!r}") from error
        self._events = {event.mrid: event for event in events}
        self._defaults = defaults
        self._owed = {(respond.mrid, respond.status): respond for respond in owed}

    def _live(self) -> list[Event]:
        return [event for event in self._events.values() if event.is_live]

    # -- what the server lists ------------------------------------------------------------------------------------

    def _take_programs(self, programs: Sequence[AssignedProgram], at_ms: int) -> None:
        listed: set[str] = set()
        for program in sorted(programs, key=lambda item: (item.primacy, item.mrid)):
            # The same mRID in two programs is one event; it belongs to the program of the higher priority.
            for control in sorted(program.controls or (), key=lambda item: item.interval.start_s):
                if control.mrid not in listed:
                    listed.add(control.mrid)
                    self._take_control(program, control, at_ms)
        self._note_missing({program.mrid: program for program in programs}, listed, at_ms)
        for event in effective(self._events.values()).values():
            self._store(event)
        self._take_defaults(programs)
        self._forget(listed, at_ms)

    def _take_control(self, program: AssignedProgram, control: DERControl, at_ms: int) -> None:
        known = self._events.get(control.mrid)
        if known is None:
            self._admit(program, control, at_ms)
        elif known.is_live or known.phase is Phase.WITHDRAWN:
            self._update(known, program, control, at_ms)

    def _admit(self, program: AssignedProgram, control: DERControl, at_ms: int) -> None:
        if control.device_category is not None and not control.device_category & DEVICE_CATEGORY:
            return
        if control.status.current in (EventState.CANCELLED, EventState.CANCELLED_RANDOMISED):
            return  # cancelled before we ever answered it: there is nothing to take back
        if len(self._live()) >= LIVE_MAX:
            return
        event = _new_event(program, control, self._draw)
        reason = _rejection(event, at_ms)
        if reason is not None:
            self._store(replace(event, phase=Phase.REJECTED))
            self._respond(event.mrid, reason, at_ms)
            return
        self._store(event)
        self._respond(event.mrid, RECEIVED, at_ms)

    def _update(self, known: Event, program: AssignedProgram, control: DERControl, at_ms: int) -> None:
        if known.phase is Phase.WITHDRAWN:
            known = replace(known, phase=Phase.ACTIVE if STARTED in known.sent else Phase.SCHEDULED)
        match control.status.current:
            case EventState.CANCELLED:
                self._store(known)
                self._cancel(known, at_ms)
            case EventState.CANCELLED_RANDOMISED:
                self._store(known)
                self._wind_down(known, control, at_ms)
            case EventState.SCHEDULED | EventState.ACTIVE | EventState.SUPERSEDED:
                # The server's own 4 is a view across devices; what supersedes what here is compared per mode below.
                self._store(_with_content(known, program, control))
            case _:
                assert_never(control.status.current)

    def _note_missing(self, programs: dict[str, AssignedProgram], listed: set[str], at_ms: int) -> None:
        for event in self._live():
            program = programs.get(event.program_mrid)
            if event.mrid in listed:
                continue
            if program is None:
                self._store(replace(event, phase=Phase.WITHDRAWN))
            elif program.controls is not None and at_ms < (event.start_s + event.duration_s) * 1000 - VANISH_GRACE_MS:
                self._cancel(event, at_ms)

    def _take_defaults(self, programs: Sequence[AssignedProgram]) -> None:
        stored = {item.program_mrid: item for item in self._defaults}
        kept: list[StoredDefault] = []
        for program in programs:
            old = stored.get(program.mrid)
            if program.default is not None:
                kept.append(StoredDefault(program_mrid=program.mrid, primacy=program.primacy, control=program.default))
            elif not program.default_known and old is not None:
                kept.append(replace(old, primacy=program.primacy))
        # Programs that vanish leave their defaults behind: unlimited is never reached because something is missing.
        if kept or any(program.default_known for program in programs):
            defaults = tuple(sorted(kept, key=lambda item: (item.primacy, item.program_mrid)))
            self.revision += defaults != self._defaults
            self._defaults = defaults

    def _forget(self, listed: set[str], at_ms: int) -> None:
        ended = [event for event in self._events.values() if not event.is_live and event.mrid not in listed]
        ended.sort(key=lambda event: event.end_ms, reverse=True)
        for index, event in enumerate(ended):
            if index >= ENDED_MAX or event.end_ms < at_ms - ENDED_KEEP_MS:
                del self._events[event.mrid]
                self.revision += 1

    # -- what happens to an event -----------------------------------------------------------------------------------

    def _store(self, event: Event) -> None:
        if self._events.get(event.mrid) != event:
            self._events[event.mrid] = event
            self.revision += 1

    def _cancel(self, event: Event, at_ms: int) -> None:
        self._store(replace(event, phase=Phase.CANCELLED, end_ms=min(event.end_ms, max(at_ms, event.start_ms))))
        self._respond(event.mrid, CANCELLED, at_ms)

    def _wind_down(self, event: Event, control: DERControl, at_ms: int) -> None:
        if event.winding_down:
            return
        if event.phase is not Phase.ACTIVE:
            self._cancel(event, at_ms)
            return
        bound_s = max(abs(control.randomize_start_s or 0), abs(control.randomize_duration_s or 0))
        end_ms = min(event.end_ms, at_ms + self._draw(bound_s) * 1000)
        self._store(replace(event, winding_down=True, end_ms=end_ms))

    def _advance(self, to_ms: int) -> None:
        """Pass every edge since the last time, in order, each at its own instant."""
        last = to_ms if self._last_ms is None else min(self._last_ms, to_ms)
        edges = {edge for event in self._live() for edge in (event.start_ms, event.end_ms) if last < edge <= to_ms}
        for at_ms in sorted(edges | {to_ms}):
            self._step(at_ms)
        self._last_ms = to_ms

    def _step(self, at_ms: int) -> None:
        for event in self._by_start():
            if event.end_ms <= at_ms:
                self._end(event, at_ms)
        covering = [event for event in self._by_start() if event.covers(at_ms)]
        winners = contest(covering, at_ms, {event.mrid: event.lost for event in covering})
        for event in covering:
            self._lose(event, newly_lost(event, winners), at_ms)
        for event in covering:
            current = self._events[event.mrid]
            if current.phase is Phase.SCHEDULED:
                self._store(replace(current, phase=Phase.ACTIVE))
                self._respond(event.mrid, STARTED, at_ms)

    def _by_start(self) -> list[Event]:
        return sorted(self._live(), key=lambda event: (event.start_ms, event.mrid))

    def _end(self, event: Event, at_ms: int) -> None:
        if event.phase is Phase.SCHEDULED:
            # Its whole interval passed while nobody was here to start it.
            self._store(replace(event, phase=Phase.REJECTED))
            self._respond(event.mrid, REJECTED_LATE, at_ms)
        elif event.winding_down:
            self._store(replace(event, phase=Phase.CANCELLED))
            self._respond(event.mrid, CANCELLED, event.end_ms)
        else:
            self._store(replace(event, phase=Phase.COMPLETED))
            self._respond(event.mrid, COMPLETED, event.end_ms)

    def _lose(self, event: Event, names: frozenset[str], at_ms: int) -> None:
        if not names:
            return
        lost = event.lost | names
        if lost >= event.mode_names:
            self._store(replace(event, lost=lost, phase=Phase.SUPERSEDED, end_ms=max(at_ms, event.start_ms)))
            self._respond(event.mrid, SUPERSEDED, at_ms)
        else:
            self._store(replace(event, lost=lost))

    def _respond(self, mrid: str, status: int, at_ms: int) -> None:
        event = self._events[mrid]
        if status in event.sent or (self._allowed is not None and status not in self._allowed):
            return
        # responseRequired: bit 0 asks for "received", bit 1 for what became of it; a rejection answers either.
        wanted = 0b01 if status == RECEIVED else 0b11 if status in REJECTIONS else 0b10
        if not event.response_required & wanted or event.reply_to is None:
            return
        self._store(replace(event, sent=(*event.sent, status)))
        respond = Respond(mrid=mrid, reply_to=event.reply_to, status=status, created_s=at_ms // 1000)
        self._owed[(mrid, status)] = respond
        self._fresh.append(respond)


def _new_event(program: AssignedProgram, control: DERControl, draw: Callable[[int], int]) -> Event:
    start_draw_s = _signed_draw(control.randomize_start_s, draw)
    duration_draw_s = _signed_draw(control.randomize_duration_s, draw)
    start_ms = (control.interval.start_s + start_draw_s) * 1000
    return Event(
        mrid=control.mrid,
        program_mrid=program.mrid,
        primacy=program.primacy,
        creation_s=control.creation_s,
        start_s=control.interval.start_s,
        duration_s=control.interval.duration_s,
        modes=control.base.modes,
        ramp_ms=control.base.ramp_ms,
        reply_to=control.reply_to,
        response_required=control.response_required or 0,
        description=control.description or "",
        start_draw_s=start_draw_s,
        duration_draw_s=duration_draw_s,
        start_ms=start_ms,
        end_ms=start_ms + (control.interval.duration_s + duration_draw_s) * 1000,
        phase=Phase.SCHEDULED,
    )


def _signed_draw(range_s: int | None, draw: Callable[[int], int]) -> int:
    if not range_s:
        return 0
    return draw(range_s) if range_s > 0 else -draw(-range_s)


def _rejection(event: Event, at_ms: int) -> int | None:
    if event.end_ms <= at_ms:
        return REJECTED_LATE
    if event.duration_s == 0 or any((mode.power_w or 0) < 0 for mode in event.modes if mode.name in LIMIT_MODES):
        return REJECTED_INVALID
    if not event.mode_names & frozenset(LIMIT_MODES):
        return REJECTED_NOT_APPLICABLE
    return None


def _with_content(event: Event, program: AssignedProgram, control: DERControl) -> Event:
    """Changed content under the same mRID is an update; draws and lost modes stay. Invalid content is not taken."""
    updated = replace(
        event,
        program_mrid=program.mrid,
        primacy=program.primacy,
        creation_s=control.creation_s,
        start_s=control.interval.start_s,
        duration_s=control.interval.duration_s,
        modes=control.base.modes,
        ramp_ms=control.base.ramp_ms,
        reply_to=control.reply_to,
        response_required=control.response_required or 0,
        description=control.description or "",
    )
    return event if _rejection(updated, -(2**60)) is not None else updated


def _fill_gaps(rows: Iterable[Segment], default: Segment, from_ms: int) -> Iterable[Segment]:
    at_ms = from_ms
    for row in rows:
        if row.start_ms > at_ms:
            yield replace(default, start_ms=at_ms, end_ms=row.start_ms)
        yield row
        at_ms = row.end_ms if row.end_ms is not None else at_ms
    yield replace(default, start_ms=at_ms)


def _event_to_json(event: Event) -> dict[str, Any]:
    return {**asdict(event), "phase": event.phase.value, "lost": sorted(event.lost)}


def _event_from_json(item: dict[str, Any]) -> Event:
    changed = {
        "phase": Phase(item["phase"]),
        "lost": frozenset(item["lost"]),
        "sent": tuple(item["sent"]),
        "modes": tuple(ControlMode(**mode) for mode in item["modes"]),
    }
    return Event(**{**item, **changed})


def _default_from_json(item: dict[str, Any]) -> StoredDefault:
    control = dict(item["control"])
    base = control.pop("base")
    modes = tuple(ControlMode(**mode) for mode in base["modes"])
    default = DefaultDERControl(**control, base=ControlBase(modes=modes, ramp_ms=base["ramp_ms"]))
    return StoredDefault(program_mrid=item["program_mrid"], primacy=item["primacy"], control=default)
