"""The manner in which one station takes our limits: mode, unit, kind, levels, ids; and the slot that follows from it.

    configuration, quirk data, probe ──> Manner (kept over restarts) ──slot_of──> Slot ──> enforcer

max: our pair limits the station, the CPO's profiles are relayed. merge: ours are the only profiles in the station.
native: OCPP 2.1 Dynamic, or a vendor's configuration key. none: the station takes no limit and counts at nameplate.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from enum import Enum

from dgm.api.ocpp.v1.ocpp_pb2 import EnforcementMode
from dgm.ocpp.own_profile import Slot
from dgm.ocpp.profile import ProfileKind, Purpose, RateUnit
from dgm.ocpp.relay import OwnCall, Step
from dgm.ocpp.store import StationSettings
from dgm.ocpp.version import Version


class Mode(Enum):
    """How the site's limit is brought into a station."""

    MAX = "max"
    MERGE = "merge"
    NATIVE = "native"
    NONE = "none"

    @property
    def message(self) -> EnforcementMode:
        """For the API."""
        return {
            Mode.MAX: EnforcementMode.ENFORCEMENT_MODE_MAX,
            Mode.MERGE: EnforcementMode.ENFORCEMENT_MODE_MERGE,
            Mode.NATIVE: EnforcementMode.ENFORCEMENT_MODE_NATIVE,
            Mode.NONE: EnforcementMode.ENFORCEMENT_MODE_NONE,
        }[self]


@dataclass(frozen=True, slots=True, kw_only=True)
class Manner:
    """See the module.

    reason: why, for people. live_level None: the configuration's. small_ids: ids from 1 on. has_tx_pair: room for a
    pair of a transaction beside that of the default. made_for: vendor, model and firmware it was found for. is_proved:
    the station has accepted a limit in this manner. is_merge_needed: the CPO has used our place.
    """

    mode: Mode = Mode.MAX
    reason: str = ""
    unit: RateUnit = RateUnit.A
    kind: ProfileKind = ProfileKind.ABSOLUTE
    live_level: int | None = None
    has_floor: bool = True
    small_ids: bool = False
    key: str = ""
    has_tx_pair: bool = True
    phases_for_watts: int | None = None
    reads_back: bool = True
    made_for: str = ""
    is_proved: bool = False
    is_merge_needed: bool = False

    @property
    def shape(self) -> Manner:
        """What it does to the station, without how it was found."""
        return replace(self, reason="", made_for="", is_proved=False)

    def because(self, reason: str) -> Manner:
        """The same, for another reason."""
        return replace(self, reason=reason[:200])

    def to_bytes(self) -> bytes:
        """Durable form."""
        kept = {**asdict(self), "mode": self.mode.value, "unit": self.unit.value, "kind": self.kind.value}
        return json.dumps(kept, separators=(",", ":")).encode()


def from_bytes(raw: bytes) -> Manner | None:
    """What `to_bytes` wrote; None: it cannot be read."""
    try:
        found = json.loads(raw)
        return Manner(
            **{
                **found,
                "mode": Mode(found["mode"]),
                "unit": RateUnit(found["unit"]),
                "kind": ProfileKind(found["kind"]),
            }
        )
    except (ValueError, KeyError, TypeError, RecursionError):
        return None


FIRST_ID = 1_800_000_001
_PAIR = {Purpose.MAX: 0, Purpose.TX_DEFAULT: 2, Purpose.TX: 4}


_IDS_PER_EVSE = 10


def slot_of(manner: Manner, settings: StationSettings, version: Version, transaction_id: int | str | None) -> Slot:
    """Where an EVSE's pair goes now: each purpose has its own two ids, since an id replaces whatever carries it."""
    if manner.mode is Mode.MERGE or (manner.mode is Mode.NONE and manner.is_merge_needed):
        purpose = Purpose.TX_DEFAULT if transaction_id is None or not manner.has_tx_pair else Purpose.TX
    else:
        purpose = Purpose.MAX
    evse_id = 0 if purpose is Purpose.MAX else settings.connector_id
    first_id = (1 if manner.small_ids else FIRST_ID) + _PAIR[purpose]
    first_id += 4 * (evse_id - 1) - 2 if manner.small_ids and evse_id else _IDS_PER_EVSE * evse_id
    return Slot(
        version=version,
        purpose=purpose,
        evse_id=evse_id,
        transaction_id=transaction_id if purpose is Purpose.TX else None,
        live_level=settings.max_stack_level if manner.live_level is None else manner.live_level,
        has_floor=manner.has_floor and not manner.key,
        floor_id=first_id,
        live_id=first_id + 1,
        unit=manner.unit,
        kind=manner.kind,
        phases=(manner.phases_for_watts or _phases_for_watts(settings)) if manner.unit is RateUnit.W else 3,
        nominal_voltage_mv=settings.nominal_voltage_mv,
        key=manner.key,
        reads_back=manner.reads_back,
    )


def _phases_for_watts(settings: StationSettings) -> int:
    """Between two lines a watt is less current than at one phase to neutral: counted as one phase, it is never more."""
    return 1 if len(settings.phases) == 2 else len(settings.phases)


def clean_up(slots: Sequence[Slot], known_ids: tuple[int, ...]) -> list[OwnCall]:
    """CALLs that take the CPO's own profiles out of a station which we have just taken over in `merge`.

    Only what lies outside our slots: all MAX profiles, the station-wide defaults, those of the CPO that we know by id.
    Others of lower levels are overruled by ours.
    """
    is_2x = slots[0].version.is_2x
    own_ids = {number for slot in slots for number in slot.own_ids}
    evse, by_id = ("evseId", "chargingProfileId") if is_2x else ("connectorId", "id")
    maximum = "ChargingStationMaxProfile" if is_2x else "ChargePointMaxProfile"
    filters: list[dict[str, object]] = [
        {"chargingProfilePurpose": maximum},
        {evse: 0, "chargingProfilePurpose": "TxDefaultProfile"},
    ]
    if all(slot.purpose is not Purpose.TX for slot in slots):
        filters.append({"chargingProfilePurpose": "TxProfile"})
    payloads: list[dict[str, object]] = [{"chargingProfileCriteria": one} if is_2x else one for one in filters]
    payloads += [{by_id: number} for number in known_ids if number not in own_ids]
    return [OwnCall(step=Step.CLEAN, action="ClearChargingProfile", payload=payload) for payload in payloads]


def clear_around(slot: Slot, payload: dict[str, object], cleared_ids: tuple[int, ...]) -> list[OwnCall]:
    """A ClearChargingProfile of the CPO that would take ours along, as CALLs that do not: mode `max`.

    Its filters with each purpose that is not ours, and by id the MAX profiles of the CPO that it meant.
    """
    is_2x = slot.version.is_2x
    by_id = "chargingProfileId" if is_2x else "id"
    found = payload.get("chargingProfileCriteria") if is_2x else payload
    filters = dict(found) if isinstance(found, dict) else {}
    wanted = filters.get("chargingProfilePurpose")
    calls = [{**filters, "chargingProfilePurpose": name} for name in ("TxProfile", "TxDefaultProfile")]
    payloads: list[dict[str, object]] = []
    if wanted is None:
        payloads = [{"chargingProfileCriteria": one} if is_2x else one for one in calls]
    payloads += [{by_id: number} for number in cleared_ids if number not in slot.own_ids]
    return [OwnCall(step=Step.CLEAN, action="ClearChargingProfile", payload=one) for one in payloads]
