"""Asks a charging EVSE for readings when none come by themselves, and tells which reading came because we asked.

In 2.x also asks once per connection whether the car that is there charges: its TransactionEvent then goes to the CSMS
as any other.

    memory (plug state, newest reading) ──> next ──> TriggerMessage ──> accepted ──> claims(MeterValues) once

A claimed reading is answered locally and not shown to the CSMS. While a TriggerMessage of the CSMS may still be
answered, nothing is asked and nothing is claimed: a reading that the CSMS asked for always reaches it.
"""

from __future__ import annotations

from dgm.api.site.v1.site_pb2 import PlugState
from dgm.machine import Now
from dgm.ocpp.frame import Payload
from dgm.ocpp.observe import Metered
from dgm.ocpp.relay import OwnCall, Step
from dgm.ocpp.store import EvseMemory, StationSettings

POKE_MS = 2_000
"""After an accepted change or the start of charging: the car needs about that long to follow."""

READING_WAIT_MS = 10_000
"""A station that accepted our trigger sends the reading within this, or the trigger is forgotten."""

CSMS_TRIGGER_MS = 30_000
"""How long a TriggerMessage of the CSMS counts as unanswered."""

STATUS_WAIT_MS = 3_000
"""After a connection: time for the station to tell its status by itself."""

STATUS_RETRY_MS = 60_000
REFUSED_MS = 60_000
UNKNOWN_MS = 600_000
"""Pauses after a refused trigger and after one that the station does not know."""


class Readings:
    """Triggers of one EVSE; one at a time."""

    def __init__(self, settings: StationSettings) -> None:
        self._settings = settings
        self._csms_until_ms = 0
        self._asked_ms: int | None = None
        self.is_muted = False
        """TriggerMessage does this model harm: nothing is asked for."""
        self.connected(Now(mono_ms=0, utc_ms=0))

    def connected(self, now: Now) -> None:
        """A new connection: nothing is expected, status is asked for unless it comes."""
        self._expect_until_ms = 0
        self._quiet_until_ms = 0
        self._poke_ms: int | None = None
        self._status_ms = now.mono_ms + STATUS_WAIT_MS
        self._state_ms: int | None = self._status_ms
        self._csms_until_ms = 0

    def poke(self, now: Now) -> None:
        """Something changed: a reading is worth having soon."""
        self._poke_ms = now.mono_ms + POKE_MS

    def charging_began(self, now: Now) -> None:
        """The car begins: a reading in a moment, not at once although the last one is long ago."""
        self._asked_ms = now.mono_ms
        self.poke(now)

    def csms_triggered(self, payload: Payload | None, now: Now) -> None:
        """A TriggerMessage of the CSMS has passed."""
        if payload is None or payload.get("requestedMessage") == "MeterValues":
            self._csms_until_ms = now.mono_ms + CSMS_TRIGGER_MS

    def next(self, memory: EvseMemory, now: Now) -> OwnCall | int | None:
        """The trigger to send now, or when to ask again, or None. Asked only while the lane is free."""
        if self.is_muted:
            return None
        pause_ms = max(self._quiet_until_ms, self._csms_until_ms, self._expect_until_ms)
        status_ms = None if memory.plug_known else self._status_ms
        state_ms = self._state_ms if memory.wants_charging_state else None
        reading_ms = self._reading_due(memory)
        due = [max(at, pause_ms) for at in (status_ms, state_ms, reading_ms) if at is not None]
        if not due or min(due) > now.mono_ms:
            return min(due, default=None)
        if state_ms is not None and max(state_ms, pause_ms) <= now.mono_ms:
            return self._ask(Step.ASK_STATE, "TransactionEvent")
        if status_ms is not None and max(status_ms, pause_ms) <= now.mono_ms:
            return self._ask(Step.ASK_STATUS, "StatusNotification")
        return self._ask(Step.ASK_READING, "MeterValues")

    def _reading_due(self, memory: EvseMemory) -> int | None:
        if memory.plug_state != PlugState.PLUG_STATE_CHARGING:
            return None
        newest = [at for at in (memory.reading_at_ms, self._asked_ms) if at is not None]
        regular_ms = max(newest) + self._settings.trigger_interval_ms if newest else 0
        return regular_ms if self._poke_ms is None else min(regular_ms, self._poke_ms)

    def _ask(self, step: Step, message: str) -> OwnCall:
        payload: Payload = {"requestedMessage": message, "connectorId": self._settings.connector_id}
        return OwnCall(step=step, action="TriggerMessage", payload=payload)

    def sent(self, call: OwnCall, now: Now) -> None:
        """A call of `next` is on its way."""
        if call.step is Step.ASK_STATUS:
            self._status_ms = now.mono_ms + STATUS_RETRY_MS
        elif call.step is Step.ASK_STATE:
            self._state_ms = None
        else:
            self._asked_ms, self._poke_ms = now.mono_ms, None

    def answered(self, call: OwnCall, payload: Payload | None, now: Now) -> None:
        """The station answered; payload None: CALLERROR, or unreadable."""
        status = payload.get("status") if payload is not None else "NotImplemented"
        if call.step is Step.ASK_STATE:
            return  # without a transaction it is rejected, and that says enough
        if status != "Accepted":
            self._quiet_until_ms = now.mono_ms + (UNKNOWN_MS if status == "NotImplemented" else REFUSED_MS)
        elif call.step is Step.ASK_READING:
            self._expect_until_ms = now.mono_ms + READING_WAIT_MS

    def timed_out(self, now: Now) -> None:
        """No answer: leave the station alone for a while."""
        self._quiet_until_ms = now.mono_ms + REFUSED_MS

    @property
    def is_expecting(self) -> bool:
        """A reading that we caused may come: every MeterValues must be held against `claims`."""
        return self._expect_until_ms > 0

    def claims(self, seen: Metered, now: Now) -> bool:
        """Whether this MeterValues is the one that our accepted trigger caused; claims once.

        The only reason why a payload is read before its frame is passed on, and only while a reading is expected.
        """
        if now.mono_ms >= self._expect_until_ms:
            self._expect_until_ms = 0
        if not self.is_expecting or now.mono_ms < self._csms_until_ms:
            return False
        if not seen.triggered or seen.evse_id != self._settings.connector_id:
            return False
        self._expect_until_ms = 0
        return True
