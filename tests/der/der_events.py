"""What the tests of the event engine share: controls in seconds from T0, and a driver that lets time pass."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from dgm.der import resource as r
from dgm.der.scheduler import ProgramsKnown, Respond, Scheduler, SchedulerEvent
from dgm.machine import Now, Tick

IMP, EXP, GEN = "opModImpLimW", "opModExpLimW", "opModGenLimW"
T0_S = 1_700_000_000


def at(second: float) -> Now:
    """An instant this many seconds after T0 on both clocks."""
    return Now(mono_ms=round(second * 1000) + 5_000_000, utc_ms=T0_S * 1000 + round(second * 1000))


def control(mrid: str, start: int, duration: int, modes: dict[str, int] | None = None, **changes: Any) -> r.DERControl:
    status = changes.pop("status", r.EventState.SCHEDULED)
    base = r.ControlBase(
        modes=tuple(r.ControlMode(name=name, power_w=power_w) for name, power_w in (modes or {IMP: 1000}).items())
    )
    content: dict[str, Any] = {
        "mrid": mrid,
        "reply_to": "/rsp",
        "response_required": 3,
        "creation_s": T0_S - 100,
        "status": r.EventStatus(current=status, changed_s=T0_S),
        "interval": r.Interval(start_s=T0_S + start, duration_s=duration),
        "base": base,
        **changes,
    }
    return r.DERControl(**content)


def default(modes: dict[str, int], **changes: Any) -> r.DefaultDERControl:
    base = r.ControlBase(modes=tuple(r.ControlMode(name=name, power_w=power_w) for name, power_w in modes.items()))
    return r.DefaultDERControl(mrid="DEFA", base=base, **changes)


def program(
    *controls: r.DERControl,
    primacy: int = 1,
    mrid: str = "D0",
    stated: r.DefaultDERControl | None = None,
    known: bool = True,
) -> r.AssignedProgram:
    return r.AssignedProgram(
        mrid=mrid, primacy=primacy, controls=controls if known else None, default=stated, default_known=known
    )


def known(*programs: r.AssignedProgram) -> ProgramsKnown:
    return ProgramsKnown(programs=programs)


def no_draw(most: int) -> int:
    return 0


class Driver:
    """Drives a scheduler as the shell would: events when they come, a Tick exactly at each wake time."""

    def __init__(self, draw: Callable[[int], int] = no_draw, **options: Any) -> None:
        self._draw, self._options = draw, options
        self.scheduler = Scheduler(draw, **options)
        self.sent: list[tuple[str, int, int]] = []
        self._now = at(-50)
        self._dumps: dict[int, dict[str, bytes]] = {}
        self.journal: dict[str, bytes] = {}

    def give(self, second: float, *programs: r.AssignedProgram) -> None:
        self.take(second, known(*programs))

    def take(self, second: float, event: SchedulerEvent) -> None:
        self.run(second)
        self._note(self.scheduler.handle(event, at(second)))

    def run(self, second: float) -> None:
        """Let time pass up to a second, through every wake time before it."""
        while (wake := self.scheduler.wake_time()) is not None and wake <= at(second).mono_ms:
            assert wake > self._now.mono_ms, "a wake time that does not move on would be a busy loop"
            self._now = Now(mono_ms=wake, utc_ms=wake - at(0).mono_ms + at(0).utc_ms)
            self._note(self.scheduler.handle(Tick(), self._now))
        self._now = at(second)
        self._note(self.scheduler.handle(Tick(), self._now))

    def _note(self, responds: Sequence[Respond]) -> None:
        self.sent += [(item.mrid, item.status, item.created_s - T0_S) for item in responds]
        dump = self.scheduler.dump()
        assert self._dumps.setdefault(self.scheduler.revision, dump) == dump, "a change must show in the revision"
        for key, value in self.scheduler.changed().items():
            if value is None:
                del self.journal[key]
            else:
                self.journal[key] = value
        assert self.journal == dump, "the changes add up to the whole"

    def restart(self, second: float) -> None:
        """The process ends and starts again; only the journal is left."""
        self.run(second)
        self.scheduler = Scheduler(self._draw, **self._options)
        assert self.scheduler.restore(self.journal) == ()
        self._dumps.clear()
        self.run(second)

    def power(self, name: str) -> int | None:
        rows = self.scheduler.timeline(name)
        ruling = rows[0] if rows and rows[0].start_ms <= self._now.utc_ms else None
        return None if ruling is None else ruling.value.power_w
