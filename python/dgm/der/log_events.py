"""LogEvents: what was raised, what returned to normal, and what the server has not taken yet (S18 9.7, CSIP alarms).

    Alarms ──raised / cleared──> LogBook ──waiting()──> outbox ──taken / refused──> done(serial)
    event report ──control not kept──┘      changed() ──> journal ──restore()──> LogBook

An alarm of the standard has the code 2 x bit, its return to normal 2 x bit + 1, under the number of IEEE 2030.5. What
is DGM's own is coded likewise under the site's number, if the utility's profile takes such. A return to normal is told
only of what was raised. Events wait in order, as long as it takes; when there is no room, an alarm that has come and
gone is dropped first, and every drop is counted.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from dgm.der import record
from dgm.der import resource as r
from dgm.der.alarms import Alarm, Condition, Trouble
from dgm.der.orders import Damaged

PREFIX, STATE_KEY = "log/event/", "log/state"
WAITING_MAX = 1000
FUNCTION_SET_DER = 11
PROFILE_VENDOR, PROFILE_STANDARD = 1, 2
PEN_STANDARD = 40732
ID_LIMIT = 2**16
EXTENDED_MAX = 2**32 - 1
DETAILS_MAX = 32
NOT_KEPT_CODE = 2 * len(Trouble)
"""A control ended and the meter saw its limit passed: details is the mRID, extendedData the worst excess in W."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """One LogEvent that the server has not taken."""

    serial: int
    event: r.LogEvent


@dataclass(frozen=True, slots=True, kw_only=True)
class _State:
    """What of the book is not an event: the last serial, the codes raised, how many were dropped and refused."""

    serial: int = 0
    alarms: tuple[int, ...] = ()
    troubles: tuple[int, ...] = ()
    dropped: int = 0
    refused: int = 0


class LogBook:
    """Of one device. pen: the site's own number for what the standard has no code for; None: such is not told."""

    def __init__(self, pen: int | None) -> None:
        self._pen = pen
        self._state = _State()
        self._waiting: dict[int, r.LogEvent] = {}
        self._changed: set[str] = set()

    @property
    def dropped(self) -> int:
        """LogEvents that were given up for want of room, since the journal began."""
        return self._state.dropped

    @property
    def refused(self) -> int:
        """LogEvents that the server did not take, since the journal began."""
        return self._state.refused

    def raised(self) -> set[Condition]:
        """What was raised and has not returned to normal."""
        return {Alarm(code) for code in self._state.alarms} | {Trouble(code) for code in self._state.troubles}

    def waiting(self, most: int) -> tuple[Waiting, ...]:
        """The oldest events that the server has not taken."""
        oldest = sorted(self._waiting)[:most]
        return tuple(Waiting(serial=serial, event=self._waiting[serial]) for serial in oldest)

    @property
    def size(self) -> int:
        """How many wait."""
        return len(self._waiting)

    def tell(self, condition: Condition, *, is_raised: bool, time_s: int, details: str = "") -> None:
        """A condition was raised, or has returned to normal; said twice it is told once."""
        if (condition in self.raised()) is is_raised:
            return
        conditions = self.raised() ^ {condition}
        self._set(
            alarms=tuple(sorted(item.value for item in conditions if isinstance(item, Alarm))),
            troubles=tuple(sorted(item.value for item in conditions if isinstance(item, Trouble))),
        )
        code = 2 * condition.value + (0 if is_raised else 1)
        if isinstance(condition, Alarm):
            self._add(code, time_s, pen=PEN_STANDARD, profile=PROFILE_STANDARD, details=details)
        elif self._pen is not None:
            self._add(code, time_s, pen=self._pen, profile=PROFILE_VENDOR, details=details)

    def not_kept(self, mrid: str, *, worst_w: int, time_s: int) -> None:
        """A control is over whose limit the meter saw passed."""
        if self._pen is not None:
            extended = min(max(worst_w, 0), EXTENDED_MAX)
            self._add(NOT_KEPT_CODE, time_s, pen=self._pen, profile=PROFILE_VENDOR, details=mrid, extended=extended)

    def done(self, serial: int, *, is_taken: bool = True) -> None:
        """The server has taken an event, or refused it for good."""
        if not is_taken:
            self._set(refused=self._state.refused + 1)
        self._remove(serial)

    def _remove(self, serial: int) -> None:
        if self._waiting.pop(serial, None) is not None:
            self._changed.add(_key(serial))

    def _add(
        self, code: int, time_s: int, *, pen: int, profile: int, details: str = "", extended: int | None = None
    ) -> None:
        if len(self._waiting) >= WAITING_MAX:
            self._make_room()
        serial = self._state.serial + 1
        self._set(serial=serial)
        self._waiting[serial] = r.LogEvent(
            created_s=time_s,
            details=details[:DETAILS_MAX] or None,
            extended=extended,
            function_set=FUNCTION_SET_DER,
            code=code,
            id=serial % ID_LIMIT,
            pen=pen,
            profile=profile,
        )
        self._changed.add(_key(serial))

    def _make_room(self) -> None:
        """The oldest alarm that waits together with its return to normal goes; without one the oldest event."""
        opened: dict[tuple[int, int], int] = {}
        gone: tuple[int, ...] = (min(self._waiting),)
        for serial in sorted(self._waiting):
            event = self._waiting[serial]
            kind = (event.pen, event.code // 2)
            if event.code % 2 == 0:
                opened[kind] = serial
            elif kind in opened:
                gone = (opened[kind], serial)
                break
        for serial in gone:
            self._remove(serial)
        self._set(dropped=self._state.dropped + len(gone))

    def _set(self, **changes: int | tuple[int, ...]) -> None:
        self._state = replace(self._state, **changes)  # type: ignore[arg-type]  # each by its name
        self._changed.add(STATE_KEY)

    # -- the journal ------------------------------------------------------------------------------------------------

    def changed(self) -> dict[str, bytes | None]:
        """Journal entries to be stored (None: deleted) since the last call."""
        found: dict[str, bytes | None] = {}
        for key in sorted(self._changed):
            if key == STATE_KEY:
                found[key] = record.dump(self._state)
            else:
                event = self._waiting.get(int(key.removeprefix(PREFIX)))
                found[key] = None if event is None else record.dump(event)
        self._changed.clear()
        return found

    def restore(self, stored: Mapping[str, bytes]) -> tuple[Damaged, ...]:
        """Take over the journal; damaged entries are named and left out. No serial is used twice."""
        damaged = []
        for key in sorted(stored):
            try:
                if key == STATE_KEY:
                    self._state = record.load(_State, stored[key])
                    self.raised()
                elif key.startswith(PREFIX):
                    self._waiting[int(key.removeprefix(PREFIX))] = record.load(r.LogEvent, stored[key])
            except ValueError as error:
                damaged.append(Damaged(key=key, why=str(error)))
                if key == STATE_KEY:
                    self._state = _State()
        newest = max(self._waiting, default=0)
        if newest > self._state.serial:
            self._set(serial=newest)
        return tuple(damaged)


def _key(serial: int) -> str:
    return f"{PREFIX}{serial:012}"
