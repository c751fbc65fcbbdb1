"""What the enforcer remembers of a pair of profiles in a station: what is wanted, what is proved, what waits aside.

Lease (wanted) ──> Enforcer ──> Proof (what the station is proved to keep to)
                        └──> Parked (the default's pair, while a transaction has one of its own)
"""

from __future__ import annotations

from dataclasses import dataclass

from dgm.api.ems.v1.ems_pb2 import OutcomeState
from dgm.machine import Now
from dgm.ocpp.composite import View, limit_at
from dgm.ocpp.own_profile import Slot
from dgm.ocpp.profile import Profile, Purpose, Transaction


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """The newest setpoint."""

    current_ma: int
    ends_ms: int
    safety: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """What is proved installed in a slot. profiles: the live limit, and the floor where it is proved too."""

    slot: Slot
    profiles: tuple[Profile, ...]
    limit_ma: int
    state: OutcomeState
    at_ms: int
    evidence: str

    def holds_ma(self, now: Now) -> int | None:
        """What the station keeps to by it now: the live limit, or the floor after its end; None: nothing."""
        slot = self.slot
        transaction = {slot.evse_id: Transaction(id=slot.transaction_id, start_utc_ms=0)}
        view = View(
            evse_id=slot.evse_id,
            nominal_voltage_mv=slot.nominal_voltage_mv,
            transactions=transaction if slot.purpose is Purpose.TX else {},
        )
        limit = limit_at(self.profiles, view, now.utc_ms)
        return None if limit is None else limit.current_ma(slot.nominal_voltage_mv)


@dataclass(frozen=True, slots=True, kw_only=True)
class Parked:
    """What stands in the TX_DEFAULT slot while a transaction has a TX slot."""

    slot: Slot
    floor: Profile | None
    live: Profile | None
    live_ms: int
    is_floor_proved: bool
