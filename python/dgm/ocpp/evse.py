"""One EVSE of a station: what it was last seen doing, its limit, and the readings that we ask it for.

    observations ──> Evse ──> Sampled, Outcome          next ──> the CALL of ours that it needs most

Knows nothing of frames, legs and lanes; its station's session does.
"""

from __future__ import annotations

from dgm.api.ocpp.v1 import ocpp_pb2
from dgm.api.site.v1.site_pb2 import PlugState
from dgm.machine import Now
from dgm.ocpp.dialect import Place
from dgm.ocpp.enforce import Enforcer
from dgm.ocpp.events import Counted, Effect, Outcome, Sampled
from dgm.ocpp.frame import Payload
from dgm.ocpp.observe import Metered, Socket, Transacted
from dgm.ocpp.own_profile import Slot, can_remove_ours
from dgm.ocpp.readings import Readings
from dgm.ocpp.relay import OwnCall, Step
from dgm.ocpp.store import EvseMemory, StationSettings
from dgm.ocpp.version import Version

ENFORCING = (Step.FLOOR, Step.LIVE, Step.READ_BACK, Step.PARKED)


class Evse:
    """See the module. slot: where its limit is written at first. place: it changes with the connection's version."""

    def __init__(self, settings: StationSettings, slot: Slot) -> None:
        self.settings = settings
        self.memory = EvseMemory()
        self.enforcer = Enforcer(settings, slot)
        self.readings = Readings(settings)
        self.place = Place(version=settings.assumed_version, evse_id=settings.connector_id)

    # What the station says.

    def plug(self, state: PlugState, now: Now) -> list[Effect]:
        """A StatusNotification of 1.6."""
        is_first = not self.memory.plug_known
        changed = self.memory.put_plug_state(state, now)
        return self._plugged(now) if changed or is_first else []

    def socket(self, socket: Socket, now: Now) -> list[Effect]:
        """The status of one connector of 2.x."""
        is_first = not self.memory.plug_known
        changed = self.memory.put_socket(socket, now)
        return self._plugged(now) if changed or is_first else []

    def transacted(self, seen: Transacted, now: Now) -> list[Effect]:
        """A TransactionEvent of 2.x; its reading comes last, in the state that it belongs to."""
        memory = self.memory
        if not seen.is_past:
            memory.transaction_told = True
        memory.transaction_id = None if seen.has_ended else seen.transaction_id
        state = PlugState.PLUG_STATE_FINISHING if seen.has_ended else seen.plug_state
        effects: list[Effect] = []
        if state is not None and not seen.is_past and memory.put_plug_state(state, now):
            effects += self._plugged(now)
        if seen.metered is None or seen.metered.reading.is_empty:
            return effects
        # A reading older than the newest is no error here: every event carries one.
        found = self.metered(seen.metered, claimed=False, now=now)
        return effects + [effect for effect in found if not isinstance(effect, Counted)]

    def _plugged(self, now: Now) -> list[Effect]:
        if self.memory.plug_state == PlugState.PLUG_STATE_CHARGING:
            self.readings.charging_began(now)
        return [self.memory.state_sample(self.settings, now)]

    def metered(self, seen: Metered, *, claimed: bool, now: Now) -> list[Effect]:
        """A reading; claimed: taken now, because we asked for it."""
        if not self.memory.put_reading(seen, claimed=claimed, now=now):
            return [Counted(name="old_reading")]
        self.enforcer.clock(is_good=self.memory.is_clock_good)
        sample = self.memory.reading_sample(self.settings, now)
        # What a car gives back proves no limit on what it takes.
        is_taking = sample.power_w is None or sample.power_w >= 0
        currents = [value if is_taking else 0 for value in sample.current_ma if value is not None]
        effects: list[Effect] = [sample]
        return [*effects, *self.enforcer.measured(max(currents), now)] if currents else effects

    # What the CSMS says.

    def csms_called(self, action: str, payload: Payload | None, message_id: str, now: Now) -> list[Effect]:
        """A CSMS CALL that may take our profiles away has gone to the station."""
        if can_remove_ours(action, payload, self.enforcer.slot):
            return [*self.enforcer.wiped(now, f"{action} {message_id}"[:120])]
        return []

    # Our own CALLs.

    def next(self, now: Now) -> OwnCall | int | None:
        """The CALL to send now, or when to ask again, or None. Asked only while the lane is free."""
        limit = self.enforcer.next(now)
        if isinstance(limit, OwnCall):
            return limit
        reading = self.readings.next(self.memory, now)
        if isinstance(reading, OwnCall):
            return reading
        return min((at for at in (limit, reading) if at is not None), default=None)

    def sent(self, call: OwnCall, message_id: str, now: Now) -> list[Effect]:
        """A CALL of `next` is on its way."""
        if call.step in ENFORCING:
            return [*self.enforcer.sent(call, now, message_id)]
        self.readings.sent(call, now)
        return []

    def answered(
        self, call: OwnCall, payload: Payload | None, *, error: str, message_id: str, now: Now
    ) -> list[Effect]:
        """The station answered; payload None: with CALLERROR `error`, or unreadably."""
        if call.step not in ENFORCING:
            self.readings.answered(call, payload, now)
            return []
        if call.step is Step.LIVE:
            self.readings.poke(now)
        return [*self.enforcer.answered(call, payload, now, message_id, error)]

    def timed_out(self, call: OwnCall, message_id: str, now: Now) -> list[Effect]:
        """No answer within the CALL timeout."""
        if call.step in ENFORCING:
            return [*self.enforcer.timed_out(call, now, message_id)]
        self.readings.timed_out(now)
        return []

    # The connection.

    def connected(self, version: Version, now: Now) -> list[Effect]:
        """The station is there."""
        self.place = Place(version=version, evse_id=self.settings.connector_id)
        effects: list[Effect] = [*self.enforcer.connected(now)]
        self.readings.connected(now)
        self.memory.connected()
        if self.memory.plug_state == PlugState.PLUG_STATE_UNSPECIFIED:
            return effects
        return [*effects, self.memory.state_sample(self.settings, now)]

    def disconnected(self, now: Now) -> list[Effect]:
        """The station is lost; what is installed stays in it."""
        self.enforcer.disconnected()
        return [self.memory.state_sample(self.settings, now, offline=True)]

    def describe(self, now: Now, *, is_up: bool) -> ocpp_pb2.Evse:
        """The EVSE as the OCPP service shows it."""
        memory, found = self.memory, self.memory.view(self.settings, now, offline=not is_up)
        transaction_id = memory.transaction_id
        return ocpp_pb2.Evse(
            asset_id=self.settings.asset_id,
            connector_id=self.settings.connector_id,
            plug_state=found.plug_state,
            limit_ma=self.enforcer.limit_ma,
            proved_ma=self.enforcer.proved_ma(now),
            power_w=found.power_w,
            transaction_id=transaction_id if isinstance(transaction_id, int) else None,
            transaction="" if transaction_id is None else str(transaction_id),
            fallback_ma=self.enforcer.fallback_ma,
        )

    def standing(self, now: Now, *, is_up: bool) -> list[Sampled | Outcome]:
        """Where the EVSE stands now: its plug state if it is known, what is proved, what is not proved yet."""
        reports: list[Sampled | Outcome] = [*self.enforcer.report(now)]
        if is_up and self.memory.plug_state == PlugState.PLUG_STATE_UNSPECIFIED:
            return reports
        return [self.memory.state_sample(self.settings, now, offline=not is_up), *reports]
