"""The profiles a CSMS has installed, as a station of its version would hold them: what is taken, replaced, refused.

    SetChargingProfile ──> install ──┐
    ClearChargingProfile ──> clear ──┼──> ProfileStore ──> composite, reports, bytes for the journal
    end of a transaction, offline  ──┘

Pure: every change gives a new store, so that a caller can persist before it answers. The bodies are kept as the CSMS
wrote them, for GetChargingProfiles. Rules: 1.6 5.16 (the same id, or the same purpose and stackLevel on a connector,
replaces), 2.x K01 (the same id replaces, a second id in the same place is refused), K10, K28.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from dgm.ocpp import stamp
from dgm.ocpp.frame import Payload
from dgm.ocpp.profile import OperationMode, Profile, ProfileKind, Purpose, RateUnit, Transaction
from dgm.ocpp.profile_codec import PURPOSES, Flaw, parse_profile, updated_period
from dgm.ocpp.version import Version

_NO_CLEAR = (Purpose.EXTERNAL, Purpose.LOCAL_GENERATION)
"""Not the CSMS's to clear (K10.FR.04, .08, .09)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What a station lets a CSMS install. evse_ids: without 0."""

    version: Version
    evse_ids: tuple[int, ...]
    max_stack_level: int = 100
    max_periods: int = 256
    max_profiles: int = 100
    units: frozenset[RateUnit] = frozenset(RateUnit)
    switches_phases: bool = False
    v2x_evse_ids: frozenset[int] = frozenset()
    """EVSEs that the site lets give back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Installed:
    """A profile with the body it came in."""

    profile: Profile
    body: Payload


@dataclass(frozen=True, slots=True, kw_only=True)
class ProfileStore:
    """What is installed, oldest first."""

    installed: tuple[Installed, ...] = ()

    @property
    def profiles(self) -> tuple[Profile, ...]:
        """For the composite."""
        return tuple(item.profile for item in self.installed)

    def install(
        self,
        body: object,
        evse_id: object,
        rules: Rules,
        transactions: Mapping[int, Transaction],
        utc_ms: int,
        *,
        with_start: bool = False,
    ) -> ProfileStore | Flaw:
        """Take a profile for an EVSE (1.6: connector; 0: the station).

        with_start: it came with a remote start, so it is a TX profile of a transaction that has no id yet (K05.FR.02).
        """
        if not isinstance(evse_id, int) or isinstance(evse_id, bool):
            return Flaw(code="TypeConstraintViolation", text="expected an EVSE or connector number", is_error=True)
        if evse_id != 0 and evse_id not in rules.evse_ids:
            if rules.version.is_2x:
                return Flaw(code="UnknownEvse", text=f"there is no EVSE {evse_id}")
            return Flaw(code="PropertyConstraintViolation", text=f"there is no connector {evse_id}", is_error=True)
        found = parse_profile(body, evse_id=evse_id, version=rules.version, utc_ms=utc_ms)
        if isinstance(found, Flaw):
            return found
        assert isinstance(body, dict), "it was parsed"
        kept = tuple(item for item in self.installed if not _is_replaced(item.profile, found, rules.version))
        if with_start:
            flaw = _flaw_with_start(found, rules)
        else:
            flaw = _flaw_of(found, rules) or _flaw_of_purpose(found, rules, transactions)
        flaw = flaw or _conflict(found, (item.profile for item in kept), rules)
        if flaw is None and len(kept) >= rules.max_profiles:
            flaw = Flaw(code="TooManyElements", text=f"{rules.max_profiles} profiles are installed")
        return flaw or ProfileStore(installed=(*kept, Installed(profile=found, body=body)))

    def clear(
        self,
        *,
        profile_id: int | None = None,
        evse_id: int | None = None,
        purpose: Purpose | None = None,
        stack_level: int | None = None,
    ) -> ProfileStore:
        """Without what matches: by id alone, or by all filters given. The same store: nothing did."""

        def matches(profile: Profile) -> bool:
            if profile.purpose in _NO_CLEAR:
                return False
            if profile_id is not None:
                return profile.id == profile_id
            return (
                evse_id in (None, profile.evse_id)
                and purpose in (None, profile.purpose)
                and stack_level in (None, profile.stack_level)
            )

        return self._without(matches)

    def end_transaction(self, evse_id: int) -> ProfileStore:
        """A transaction's own profiles end with it (1.6 3.13.1)."""
        return self._without(lambda p: p.purpose is Purpose.TX and p.evse_id == evse_id)

    def name_transaction(self, evse_id: int, transaction_id: int | str) -> ProfileStore:
        """A profile that came with the remote start now belongs to this transaction (1.6 5.16.2)."""

        def named(item: Installed) -> Installed:
            profile = item.profile
            if profile.purpose is not Purpose.TX or profile.evse_id != evse_id or profile.transaction_id is not None:
                return item
            return replace(item, profile=replace(profile, transaction_id=transaction_id))

        return ProfileStore(installed=tuple(named(item) for item in self.installed))

    def reconnected(self, offline_ms: int) -> ProfileStore:
        """Back online after so long: profiles that do not outlast it are gone (K01.FR.102)."""
        return self._without(
            lambda p: p.is_lost_offline and p.max_offline_s is not None and offline_ms >= p.max_offline_s * 1000
        )

    def update(self, profile_id: object, update: object, utc_ms: int) -> ProfileStore | Flaw:
        """An update of a Dynamic profile, pushed or pulled (2.1, K28.FR.06-09, .11): new values, its lease again."""
        found = next((item for item in self.installed if item.profile.id == profile_id), None)
        if found is None or found.profile.kind is not ProfileKind.DYNAMIC:
            return Flaw(code="InvalidProfile", text="there is no Dynamic profile with this id")
        period = updated_period(found.profile.periods[0], update)
        if isinstance(period, Flaw):
            return period
        assert isinstance(update, dict), "it was read"
        changed = Installed(
            profile=replace(found.profile, periods=(period,), set_utc_ms=utc_ms),
            body={**found.body, "dynUpdateTime": stamp.text(utc_ms), **_with_update(found.body, update)},
        )
        return ProfileStore(installed=tuple(changed if item is found else item for item in self.installed))

    def _without(self, matches: Callable[[Profile], bool]) -> ProfileStore:
        kept = tuple(item for item in self.installed if not matches(item.profile))
        return self if len(kept) == len(self.installed) else ProfileStore(installed=kept)


def _with_update(body: Payload, update: Payload) -> Payload:
    schedule = dict(body["chargingSchedule"][0])
    given = {name: update[name] for name in ("limit", "dischargeLimit", "setpoint") if update.get(name) is not None}
    schedule["chargingSchedulePeriod"] = [{**schedule["chargingSchedulePeriod"][0], **given}]
    return {"chargingSchedule": [schedule]}


# Rules.


def _is_replaced(old: Profile, new: Profile, version: Version) -> bool:
    if old.id == new.id:
        return True
    same_place = (old.purpose, old.evse_id, old.stack_level) == (new.purpose, new.evse_id, new.stack_level)
    return same_place and not version.is_2x


def _flaw_with_start(profile: Profile, rules: Rules) -> Flaw | None:
    if profile.purpose is not Purpose.TX or profile.transaction_id is not None or profile.evse_id == 0:
        return Flaw(code="InvalidProfile", text="with a start goes a TxProfile without transactionId")
    return _flaw_of(profile, rules)


def _flaw_of(profile: Profile, rules: Rules) -> Flaw | None:
    """What is wrong with a profile by itself."""
    if profile.stack_level > rules.max_stack_level:
        return Flaw(code="InvalidStackLevel", text=f"stackLevel above {rules.max_stack_level}")
    if len(profile.periods) > rules.max_periods:
        return Flaw(code="TooManyElements", text=f"more than {rules.max_periods} periods")
    if profile.unit not in rules.units:
        return Flaw(code="UnsupportedRateUnit", text=f"chargingRateUnit {profile.unit.value}")
    if not rules.switches_phases and any(period.phase_to_use is not None for period in profile.periods):
        return Flaw(code="InvalidSchedule", text="phases cannot be switched (K01.FR.48)")
    meant = rules.evse_ids if profile.evse_id == 0 else (profile.evse_id,)
    central = (OperationMode.CENTRAL_SETPOINT, OperationMode.CENTRAL_FREQUENCY)
    if any(period.mode in central for period in profile.periods) and not rules.v2x_evse_ids.issuperset(meant):
        return Flaw(code="InvalidSchedule", text="the site lets this EVSE give nothing back: no setpoints")
    return None


def _flaw_of_purpose(profile: Profile, rules: Rules, transactions: Mapping[int, Transaction]) -> Flaw | None:
    match profile.purpose:
        case Purpose.MAX if profile.evse_id != 0:
            return Flaw(code="InvalidProfile", text="a station's maximum belongs to EVSE 0")
        case Purpose.MAX if profile.kind is ProfileKind.RELATIVE and rules.version.is_2x:
            return Flaw(code="InvalidProfile", text="a station's maximum is not Relative (K01.FR.38)")
        case Purpose.TX if profile.evse_id == 0:
            return Flaw(code="InvalidProfile", text="a TxProfile belongs to one EVSE (K01.FR.16)")
        case Purpose.TX:
            return _flaw_of_transaction(profile, transactions.get(profile.evse_id), rules.version)
        case Purpose.EXTERNAL:
            return Flaw(code="InvalidProfile", text="external constraints are not the CSMS's to set (K01.FR.22)")
        case Purpose.PRIORITY if profile.duration_s is not None:
            return Flaw(code="InvalidSchedule", text="a PriorityCharging profile has no duration (K01.FR.70)")
        case Purpose.LOCAL_GENERATION:
            return Flaw(code="UnsupportedPurpose", text="local generation is the site's to tell (K01.FR.120)")
        case _:
            return None


def _flaw_of_transaction(profile: Profile, running: Transaction | None, version: Version) -> Flaw | None:
    if version.is_2x and profile.transaction_id is None:
        return Flaw(code="InvalidProfile", text="a TxProfile needs its transactionId (K01.FR.03)")
    # A transaction of unknown id runs since before we listened: the CSMS knows it, we take its word.
    known = running is not None and profile.transaction_id in (None, running.id)
    if running is None or not (known or running.id is None):
        return Flaw(code="TxNotFound", text="this transaction does not run on this EVSE")
    return None


def _conflict(profile: Profile, others: Iterable[Profile], rules: Rules) -> Flaw | None:
    """Another profile in the same place (2.x: K01.FR.06, .39, .52, .53), or another phase (K01.FR.141)."""
    for other in others:
        if rules.version.is_2x and _is_duplicate(profile, other):
            return Flaw(code="DuplicateProfile", text=f"stackLevel {profile.stack_level} is taken by id {other.id}")
        if rules.version is Version.V21 and _has_phase_conflict(profile, other):
            return Flaw(code="PhaseConflict", text=f"phaseToUse differs from that of id {other.id}")
    return None


def _is_duplicate(new: Profile, old: Profile) -> bool:
    if (new.purpose, new.stack_level) != (old.purpose, old.stack_level):
        return False
    if new.purpose is Purpose.TX_DEFAULT and (new.evse_id == 0) != (old.evse_id == 0):
        return True
    if new.evse_id != old.evse_id:
        return False
    return new.transaction_id == old.transaction_id if new.purpose is Purpose.TX else _do_overlap(new, old)


def _do_overlap(new: Profile, old: Profile) -> bool:
    def starts_before_end_of(one: Profile, other: Profile) -> bool:
        start, end = one.valid_from_utc_ms, other.valid_to_utc_ms
        return start is None or end is None or start < end

    return starts_before_end_of(new, old) and starts_before_end_of(old, new)


def _has_phase_conflict(new: Profile, old: Profile) -> bool:
    if new.purpose is old.purpose or (new.evse_id != old.evse_id and 0 not in (new.evse_id, old.evse_id)):
        return False
    wanted, present = ({period.phase_to_use for period in p.periods} - {None} for p in (new, old))
    return bool(wanted and present) and (len(wanted) > 1 or wanted != present)


# Durable form.


def to_bytes(store: ProfileStore, version: Version) -> bytes:
    """For the journal; `from_bytes` reads it."""
    items = [
        {
            "evse": item.profile.evse_id,
            "set_utc_ms": item.profile.set_utc_ms,
            "tx": item.profile.transaction_id,
            "body": item.body,
        }
        for item in store.installed
    ]
    return json.dumps({"version": version.value, "profiles": items}, separators=(",", ":")).encode()


def from_bytes(raw: bytes) -> tuple[ProfileStore, Version] | None:
    """What `to_bytes` wrote; None: it cannot be read. What a newer reading of the rules refuses is left out."""
    try:
        found = json.loads(raw)
        version = Version(found["version"])
        items = [_revived(item, version) for item in found["profiles"]]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    return ProfileStore(installed=tuple(item for item in items if item is not None)), version


def _revived(item: Mapping[str, Any], version: Version) -> Installed | None:
    body, utc_ms = item["body"], int(item["set_utc_ms"])
    profile = parse_profile(body, evse_id=int(item["evse"]), version=version, utc_ms=utc_ms)
    if isinstance(profile, Flaw):
        return None
    return Installed(profile=replace(profile, set_utc_ms=utc_ms, transaction_id=item["tx"]), body=body)


def purpose_of(name: object, version: Version) -> Purpose | Flaw | None:
    """A purpose filter of a request; None: not given."""
    if name is None:
        return None
    found = PURPOSES[version].get(name) if isinstance(name, str) else None
    return found or Flaw(code="PropertyConstraintViolation", text=f"unknown purpose {name!r}"[:80], is_error=True)
