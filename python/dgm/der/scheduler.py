"""DERControls and their defaults: programs in, responses and the ruling value of every control mode out.

    AssignedProgram(s) ──ProgramsKnown──> Scheduler ──Respond──> POST DERControlResponse
                 OptOut, OptIn, Tick ──>  |  ──ruling(), timeline()──> envelope and effect on devices
                          changed() ──> journal ──> restore()

For those who write the conversation: call `handle(ProgramsKnown(...))` with the complete set of programs whenever any
part of it was fetched (controls None where a list is not complete), `handle(Tick())` at `wake_time()`, and
`handle(ResponseTaken(...))` when the server has taken a response. For those who write the effect: `ruling()` says what
rules each mode now and `timeline(mode)` what will; a mode that is absent is ruled by nothing, and then the connection
agreement of site.yaml, which the EMS always holds, is the limit. Order in silence: the stored schedule to its end, the
stored default, the agreement; after a restart the same, before anything is heard.

`now.utc_ms` is the server's clock (the caller adds the offset). Responses follow that clock whatever the meter shows.
An event that carries none of the modes this device acts on is rejected, not silently held.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import assert_never

from dgm.api.der.v1.profile_pb2 import UtilityProfile
from dgm.der import record
from dgm.der.engine import EventEngine
from dgm.der.orders import Damaged, Device, Listed, OptIn, OptOut, Respond, ResponseTaken, Source, Unable
from dgm.der.profile import PROTECTED_FAMILY, STANDARD, der_rules
from dgm.der.resource import LIMIT_MODES, AssignedProgram, ControlMode, DefaultDERControl, DERControl
from dgm.der.schedule import ControlEvent, ControlSegment, Notice, Phase, Segment, segment
from dgm.machine import Now, Tick

__all__ = ["Damaged", "OptIn", "OptOut", "ProgramsKnown", "Respond", "ResponseTaken", "Scheduler", "StoredDefault"]

DEVICE_CATEGORY = sum(1 << bit for bit in (9, 14, 16, 17, 18, 21, 23, 25))
"""C&I load, EMS, EV, EVSE, mixed DER, PV, PV with storage, storage (S18 DeviceCategoryType)."""
PERMYRIAD_MAX = 10_000
DEFAULT_PREFIX = "der/default/"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgramsKnown:
    """The complete set of programs that apply now. offsets_ms: FSA's clock less the server's, by program mRID."""

    programs: tuple[AssignedProgram, ...]
    offsets_ms: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredDefault:
    """A DefaultDERControl with the rank of its program."""

    program_mrid: str
    primacy: int
    control: DefaultDERControl


SchedulerEvent = ProgramsKnown | ResponseTaken | OptOut | OptIn | Unable | Tick


class Scheduler:
    """The schedule of one device. `draw(n)`: a uniform integer in 0..n. acts_on: modes that this device follows."""

    def __init__(
        self,
        draw: Callable[[int], int],
        *,
        profile: UtilityProfile = STANDARD,
        acts_on: Iterable[str] = LIMIT_MODES,
        categories: int = DEVICE_CATEGORY,
    ) -> None:
        modes = frozenset(acts_on)
        device = Device(acts_on=modes, categories=categories)
        rules = der_rules(profile, modes)
        self.engine: EventEngine[DERControl, ControlMode] = EventEngine(
            rules, read=notice_of, kind=ControlMode, device=device, draw=draw
        )
        self._bridge_ms = profile.bridge_s * 1000
        self._categories = categories
        self._defaults: tuple[StoredDefault, ...] = ()
        self._changed: set[str] = set()
        self._default_revision = 0
        self._ended: tuple[int, dict[str, ControlEvent], dict[str, int]] | None = None
        self._now = Now(mono_ms=0, utc_ms=0)

    def handle(self, event: SchedulerEvent, now: Now) -> list[Respond]:
        """Bring the schedule to `now`, then apply the event. Responses come in the order in which they are due."""
        self._now = now
        match event:
            case ProgramsKnown():
                responds = self.engine.handle(Listed(sources=tuple(_sources(event))), now)
                self._take_defaults(event.programs)
                return responds
            case ResponseTaken() | OptOut() | OptIn() | Unable() | Tick():
                return self.engine.handle(event, now)
            case _:
                assert_never(event)

    def follow(self, acts_on: Iterable[str]) -> None:
        """What this device follows has changed: what is listed from now on is judged by it."""
        self.engine.become(Device(acts_on=frozenset(acts_on), categories=self._categories))

    def wake_time(self) -> int | None:
        """Monotonic ms of the next start or end of an event, or end of an opt-out."""
        return self.engine.wake_time()

    # -- what rules -------------------------------------------------------------------------------------------------

    def ruling(self) -> dict[str, ControlSegment]:
        """What rules each mode at the last handled `now`: an event, the bridge to the next one, or a default.

        A mode that is absent is ruled by nothing, by rule.
        """
        released, _ = self._ended_by_mode()
        modes = {*self.engine.holders(), *released}
        modes |= {mode.name for stored in self._defaults for mode in stored.control.base.modes}
        found = {}
        for name in sorted(modes):
            row = next(iter(self._events_of(name, most=1)), None)
            if row is None or row.start_ms > self._now.utc_ms:
                row = self.default_mode(name, until_ms=None if row is None else row.start_ms)
            if row is not None:
                found[name] = row
        return found

    def timeline(self, name: str, *, most: int | None = None) -> tuple[ControlSegment, ...]:
        """What rules one mode from the last `now` on; gaps between events are filled with the default, if there is one.

        Empty: nothing rules it, by rule. most: tell only the first so many.
        """
        rows = self._events_of(name, most=most)
        default = self.default_mode(name)
        return tuple(rows if default is None else _fill_gaps(rows, default, self._now.utc_ms))[:most]

    def _events_of(self, name: str, *, most: int | None = None) -> list[ControlSegment]:
        """Events of one mode in order of time, with the value of the earlier held over gaps of no more than the bridge.

        The hole of some seconds that separately made schedules leave must not dip to the default and ramp back.
        """
        at_ms, rows = self._now.utc_ms, list[ControlSegment]()
        before = self._ended_by_mode()[0].get(name)
        for reign in self.engine.reigns(name, most=most):
            if before is not None and before.end_ms < reign.start_ms <= before.end_ms + self._bridge_ms:
                bridge = _bridge(before, name, max(before.end_ms, at_ms), reign.start_ms)
                rows += [bridge] if reign.start_ms > at_ms else []
            rows.append(segment(reign, name, at_ms))
            is_natural = reign.end_ms == reign.event.end_ms and not reign.event.winding_down
            before = reign.event if is_natural else None
        return rows

    def _ended_by_mode(self) -> tuple[dict[str, ControlEvent], dict[str, int]]:
        """Per mode: the event that held it last, if it ran to its own end, and when any event with it ended last."""
        if self._ended is None or self._ended[0] != self.engine.revision:
            last: dict[str, ControlEvent] = {}
            ends_ms: dict[str, int] = {}
            for event in self.engine.ended():
                for lane in event.lanes:
                    ends_ms[lane] = max(_over_ms(event), ends_ms.get(lane, 0))
                    is_later = lane not in last or _left(last[lane]) < _left(event)
                    if event.has_run and lane in event.wanted and is_later:
                        last[lane] = event
            released = {lane: event for lane, event in last.items() if event.phase is Phase.COMPLETED}
            self._ended = (self.engine.revision, released, ends_ms)
        return self._ended[1], self._ended[2]

    # -- defaults ---------------------------------------------------------------------------------------------------

    def default_mode(self, name: str, *, until_ms: int | None = None) -> ControlSegment | None:
        """The default of one mode: of the highest-priority program whose default carries it."""
        for stored in self._defaults:
            for mode in stored.control.base.modes:
                if mode.name == name:
                    return Segment(
                        lane=name,
                        value=_not_negative(mode),
                        mrid=stored.control.mrid,
                        start_ms=self._now.utc_ms,
                        end_ms=until_ms,
                        began_ms=self._default_began_ms(name),
                        ramp_ms=stored.control.base.ramp_ms,
                        is_default=True,
                    )
        return None

    def _default_began_ms(self, name: str) -> int:
        """When the last event with this mode ended: a default ramps from there."""
        ended_ms = self._ended_by_mode()[1].get(name, 0)
        return ended_ms if ended_ms <= self._now.utc_ms else 0

    def default_gradient_permyriad_s(self) -> int | None:
        """setGradW of the highest-priority default that has one; DERSettings has to repeat it."""
        gradients = (stored.control.set_grad_w_permyriad_s for stored in self._defaults)
        return next((gradient for gradient in gradients if gradient is not None), None)

    def defaults(self) -> tuple[StoredDefault, ...]:
        """Stored defaults, highest priority first."""
        return self._defaults

    def _take_defaults(self, programs: tuple[AssignedProgram, ...]) -> None:
        stored = {item.program_mrid: item for item in self._defaults}
        kept: dict[str, StoredDefault] = {}
        for program in programs:
            old = stored.get(program.mrid)
            if program.default is not None:
                kept[program.mrid] = StoredDefault(
                    program_mrid=program.mrid, primacy=program.primacy, control=program.default
                )
            elif not program.default_known and old is not None:
                kept[program.mrid] = replace(old, primacy=program.primacy)
        # Programs that vanish leave their defaults behind: unlimited is never reached because something is missing.
        if kept or any(program.default_known for program in programs):
            changed = {mrid for mrid in stored.keys() | kept.keys() if stored.get(mrid) != kept.get(mrid)}
            self._changed |= changed
            self._default_revision += bool(changed)
            self._defaults = _by_priority(kept.values())

    # -- what is known, and the journal -----------------------------------------------------------------------------

    @property
    def revision(self) -> int:
        """Grows whenever what dump() gives has changed."""
        return self.engine.revision + self._default_revision

    @property
    def refused(self) -> tuple[str, ...]:
        """mRIDs of the last listing for which there was no room."""
        return self.engine.refused

    def events(self) -> tuple[ControlEvent, ...]:
        """Every event known, by effective start."""
        return self.engine.events()

    def owed(self) -> tuple[Respond, ...]:
        """Responses decided but not taken by the server yet, oldest first."""
        return self.engine.owed()

    def opt_out_refusal(self, event: OptOut) -> str | None:
        """Why an opt-out is refused; None: it is permitted."""
        return self.engine.opt_out_refusal(event)

    def dump(self) -> dict[str, bytes]:
        """Everything that has to survive a restart, by journal key."""
        defaults = {DEFAULT_PREFIX + item.program_mrid: record.dump(item) for item in self._defaults}
        return self.engine.dump() | defaults

    def changed(self) -> dict[str, bytes | None]:
        """Journal entries to be stored (None: deleted) since the last call."""
        defaults = {item.program_mrid: item for item in self._defaults}
        found = self.engine.changed()
        for mrid in sorted(self._changed):
            found[DEFAULT_PREFIX + mrid] = record.dump(defaults[mrid]) if mrid in defaults else None
        self._changed.clear()
        return found

    def restore(self, stored: Mapping[str, bytes]) -> tuple[Damaged, ...]:
        """Take over the entries of a dump. A damaged one is named and left out, the rest is kept."""
        own = {key: value for key, value in stored.items() if key.startswith(DEFAULT_PREFIX)}
        damaged = list(self.engine.restore({key: value for key, value in stored.items() if key not in own}))
        defaults = []
        for key, value in own.items():
            try:
                item: StoredDefault = record.load(StoredDefault, value)
                if DEFAULT_PREFIX + item.program_mrid != key:
                    raise ValueError(f"found the default of program {item.program_mrid}")
                defaults.append(item)
            except ValueError as error:
                damaged.append(Damaged(key=key, why=str(error)))
        self._defaults = _by_priority(defaults)
        return tuple(damaged)


def notice_of(control: DERControl) -> Notice[ControlMode]:
    """A listed DERControl as the engine takes it."""
    return Notice(
        mrid=control.mrid,
        creation_s=control.creation_s,
        start_s=control.interval.start_s,
        duration_s=control.interval.duration_s,
        status=control.status.current,
        values=tuple((mode.name, mode) for mode in control.base.modes),
        ramp_ms=control.base.ramp_ms,
        reply_to=control.reply_to,
        response_required=control.response_required or 0,
        description=control.description or "",
        randomize_start_s=control.randomize_start_s or 0,
        randomize_duration_s=control.randomize_duration_s or 0,
        device_category=control.device_category,
        fault=next(filter(None, map(_fault, control.base.modes)), None),
    )


def _fault(mode: ControlMode) -> str | None:
    """Why the value of a mode can never be followed. What the kind of a value allows is for the codec."""
    if mode.power_w is not None and mode.power_w < 0 and _is_magnitude(mode.name):
        return f"{mode.name}: found {mode.power_w} W; expected a magnitude"
    if mode.permyriad is not None and abs(mode.permyriad) > PERMYRIAD_MAX:
        return f"{mode.name}: found {mode.permyriad}; expected at most {PERMYRIAD_MAX} hundredths of a percent"
    return None


def _is_magnitude(name: str) -> bool:
    return name in LIMIT_MODES or name.startswith(PROTECTED_FAMILY)


def _over_ms(event: ControlEvent) -> int:
    return event.end_ms if event.over_ms is None else event.over_ms


def _left(event: ControlEvent) -> tuple[int, int]:
    return _over_ms(event), event.start_ms


def _not_negative(mode: ControlMode) -> ControlMode:
    """A default cannot be rejected; a limit below zero is the strictest there is."""
    if mode.power_w is None or mode.power_w >= 0 or not _is_magnitude(mode.name):
        return mode
    return replace(mode, power_w=0)


def _sources(known: ProgramsKnown) -> Iterable[Source[DERControl]]:
    for program in known.programs:
        offset_ms = known.offsets_ms.get(program.mrid, 0)
        yield Source(mrid=program.mrid, primacy=program.primacy, items=program.controls, clock_offset_ms=offset_ms)


def _by_priority(defaults: Iterable[StoredDefault]) -> tuple[StoredDefault, ...]:
    return tuple(sorted(defaults, key=lambda item: (item.primacy, item.program_mrid)))


def _bridge(event: ControlEvent, name: str, start_ms: int, end_ms: int) -> ControlSegment:
    value = event.value(name)
    assert value is not None, "a bridge starts where an event held the mode"
    return Segment(
        lane=name,
        value=value,
        mrid=event.mrid,
        start_ms=start_ms,
        end_ms=end_ms,
        began_ms=event.start_ms,
        ramp_ms=event.notice.ramp_ms,
        is_bridge=True,
    )


def _fill_gaps(rows: Iterable[ControlSegment], default: ControlSegment, from_ms: int) -> Iterable[ControlSegment]:
    at_ms = from_ms
    for row in rows:
        if row.start_ms > at_ms:
            yield replace(default, start_ms=at_ms, end_ms=row.start_ms)
        yield row
        at_ms = row.end_ms if row.end_ms is not None else at_ms
    yield replace(default, start_ms=at_ms)
