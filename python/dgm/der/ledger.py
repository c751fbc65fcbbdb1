"""Every event that is known, every response that is owed, and which journal entries have changed.

    keep(), respond() ──> Ledger ──changed()──> journal ──restore()──> Ledger

Plain memory of one event engine: it decides nothing about events but which responses may be sent at all. Entries are
`<function set>/event/<mRID>` and `<function set>/owed/<serial>`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Generic, TypeVar

from dgm.der import record
from dgm.der.orders import Damaged, Device, Respond, ResponseTaken
from dgm.der.rules import REPEATABLE, EventRules, required_bit
from dgm.der.schedule import Event, Phase

V = TypeVar("V")

OWED_MAX = 100_000
"""Responses that the server has not taken. Far beyond what a server gives without hearing; further ones are counted."""


class Ledger(Generic[V]):
    """kind: the type of a value, for the journal."""

    def __init__(self, rules: EventRules, kind: Any, device: Device) -> None:
        self._rules = rules
        self._kind: Any = Event[kind]
        self._device = device
        self._changed: set[str] = set()
        self._serial = 0
        self._fresh: list[Respond] = []
        self.events: dict[str, Event[V]] = {}
        self.owed: dict[int, Respond] = {}
        self.opt_ins: dict[str, int] = {}
        """When opt-outs and overrides end by themselves, by mRID."""
        self.lost = 0
        """Responses that were not owed for want of room."""
        self.revision = 0
        """Grows whenever what dump() gives has changed."""

    def keep(self, event: Event[V]) -> bool:
        """Remember an event as it is now. False: it was so before."""
        if self.events.get(event.mrid) == event:
            return False
        self.events[event.mrid] = event
        self._index(event)
        self._touch("event", event.mrid)
        return True

    def forget(self, mrid: str) -> None:
        """An event is remembered no longer."""
        del self.events[mrid]
        self._touch("event", mrid)

    def respond(self, mrid: str, status: int, at_ms: int, lanes: frozenset[str] = frozenset()) -> None:
        """Owe a response, if the utility takes this code, the event asks for it and it has not been given."""
        event = self.events[mrid]
        if status not in self._rules.codes or (status in event.sent and status not in REPEATABLE):
            return
        if not event.notice.response_required & required_bit(status) or event.notice.reply_to is None:
            return
        self.keep(replace(event, sent=(*event.sent, int(status))))
        if len(self.owed) >= OWED_MAX:
            self.lost += 1
            return
        respond = Respond(
            mrid=mrid,
            reply_to=event.notice.reply_to,
            status=int(status),
            created_s=(at_ms + event.clock_offset_ms) // 1000,
            lanes=tuple(sorted(lanes)) if self._rules.lists_modes else (),
        )
        self._serial += 1
        self.owed[self._serial] = respond
        self._touch("owed", f"{self._serial:012}")
        self._fresh.append(respond)

    def withdraw(self, mrid: str, status: int) -> None:
        """A response that nobody has been told is not true after all."""
        for serial in [key for key, one in self.owed.items() if (one.mrid, one.status) == (mrid, status)]:
            del self.owed[serial]
            self._touch("owed", f"{serial:012}")
        self._fresh = [one for one in self._fresh if (one.mrid, one.status) != (mrid, status)]
        event = self.events[mrid]
        self.keep(replace(event, sent=tuple(code for code in event.sent if code != status)))

    def taken(self, event: ResponseTaken) -> None:
        """The server has taken the oldest such response."""
        for serial, respond in self.owed.items():
            if (respond.mrid, respond.status) == (event.mrid, event.status):
                del self.owed[serial]
                self._touch("owed", f"{serial:012}")
                return

    def take_fresh(self) -> list[Respond]:
        """Responses decided since the last call, in the order in which they are due."""
        fresh, self._fresh = self._fresh, []
        return fresh

    def dump(self) -> dict[str, bytes]:
        """Everything that has to survive a restart, by journal key."""
        events = {self._key("event", mrid): record.dump(event) for mrid, event in self.events.items()}
        owed = {self._key("owed", f"{serial:012}"): record.dump(item) for serial, item in self.owed.items()}
        return events | owed

    def changed(self) -> dict[str, bytes | None]:
        """Entries to be stored (None: deleted) since the last call."""
        found: dict[str, bytes | None] = {}
        for key in sorted(self._changed):
            _, kind, name = key.split("/", 2)
            value: object = self.events.get(name) if kind == "event" else self.owed.get(int(name))
            found[key] = None if value is None else record.dump(value)
        self._changed.clear()
        return found

    def restore(self, stored: Mapping[str, bytes]) -> tuple[Damaged, ...]:
        """Take over the entries of this function set; a damaged one is named and left out, the rest is kept."""
        damaged = []
        for key in sorted(key for key in stored if key.startswith(f"{self._rules.name}/")):
            try:
                self._restore_entry(key, stored[key])
            except ValueError as error:
                damaged.append(Damaged(key=key, why=str(error)))
        self._serial = max(self.owed, default=0)
        return tuple(damaged)

    def _restore_entry(self, key: str, value: bytes) -> None:
        _, kind, name = (*key.split("/", 2), "")[:3]
        match kind:
            case "event":
                event: Event[V] = record.load(self._kind, value)
                if event.mrid != name:
                    raise ValueError(f"found the event {event.mrid}; expected {name}")
                self.events[name] = self._as_device_is_now(event)
                self._index(self.events[name])
            case "owed":
                self.owed[int(name)] = record.load(Respond, value)
            case _:
                raise ValueError(f"found the kind {kind!r}; expected event or owed")

    def _as_device_is_now(self, event: Event[V]) -> Event[V]:
        """Which lanes are acted on may have been configured anew."""
        lanes = self._device.lanes_of(event.notice) - event.unable
        if event.is_live and not lanes:
            return replace(event, lanes=lanes, phase=Phase.REJECTED)
        return replace(event, lanes=lanes)

    def _index(self, event: Event[V]) -> None:
        if event.is_live and event.opt_in_ms is not None:
            self.opt_ins[event.mrid] = event.opt_in_ms
        else:
            self.opt_ins.pop(event.mrid, None)

    def _touch(self, kind: str, name: str) -> None:
        self._changed.add(self._key(kind, name))
        self.revision += 1

    def _key(self, kind: str, name: str) -> str:
        return f"{self._rules.name}/{kind}/{name}"
