"""The CSMS's profiles of one station, kept here and answered for as the station would.

    Set, Clear, GetComposite, GetChargingProfiles ──> answer ──> Reply (its words, its version), bytes to keep
    RemoteStart with a profile ──> take_start ──> the frame without it; the profile waits for its transaction
    now ──> ceiling ──> what the CSMS allows the EVSE, for the one pair of profiles that we install; next edge

In mode `merge` this is all that the CSMS's profiles are; in the others it follows what the station accepted, so that
the EMS hears of it and a change to `merge` loses nothing. Pure; persisting is the caller's: a change is kept before its
answer goes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from dgm.machine import Now
from dgm.ocpp import stamp, virtual
from dgm.ocpp.composite import Limit, View, limit_at, next_edge, schedule
from dgm.ocpp.frame import Payload
from dgm.ocpp.profile import OperationMode, Period, Profile, ProfileKind, Purpose, RateUnit, Transaction
from dgm.ocpp.profile_codec import Flaw, composite_periods, purpose_name, tenths
from dgm.ocpp.store import StationSettings
from dgm.ocpp.version import Version
from dgm.ocpp.virtual import Installed, ProfileStore, Rules

EMS_PROFILE_ID = 1_800_000_000
"""Of the site's own limit where profiles are reported (purpose ExternalConstraints, source EMS), less the EVSE's."""

START_WAIT_MS = 300_000
"""A transaction that was started remotely begins within this, or its profile is forgotten."""

REPORT_PROFILES = 10
"""Of one ReportChargingProfiles."""

MAX_COMPOSITE_S = 31 * 86_400

_CALLS_16 = frozenset({"SetChargingProfile", "ClearChargingProfile", "GetCompositeSchedule"})
_CALLS_2X = _CALLS_16 | {"GetChargingProfiles"}
PROFILE_CALLS: Mapping[Version, frozenset[str]] = {
    Version.V16: _CALLS_16,
    Version.V201: _CALLS_2X,
    Version.V21: _CALLS_2X | {"UpdateDynamicSchedule", "UsePriorityCharging"},
}
"""CALLs of a CSMS that are about profiles and nothing else."""

START_CALLS = frozenset({"RemoteStartTransaction", "RequestStartTransaction"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What goes back to the CSMS: a result, or with `code` a CALLERROR. reports: ReportChargingProfiles that follow."""

    payload: Payload = field(default_factory=dict)
    code: str = ""
    text: str = ""
    reports: tuple[Payload, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Ceiling:
    """What the CSMS allows the EVSE now, mA per phase on so many phases.

    Of V2X: mode; discharge_ma, what may be given back at most (>= 0, within the site's own limit); setpoint_ma, what
    should flow (negative gives back), None: what the car wants.
    """

    current_ma: int
    phases: int
    mode: OperationMode = OperationMode.CHARGING_ONLY
    discharge_ma: int = 0
    setpoint_ma: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Start:
    """A remote start under way. evse_id None: the CSMS left the EVSE to the station."""

    message_id: str
    evse_id: int | None
    body: Payload


class Merge:
    """See the module. evses: all of one station. `kept`: what `to_bytes` gave in an earlier life."""

    def __init__(self, evses: Sequence[StationSettings], kept: bytes | None = None) -> None:
        self._evses = {settings.connector_id: settings for settings in evses}
        self._voltage_mv = evses[0].nominal_voltage_mv
        self.version = evses[0].assumed_version
        self.store = ProfileStore()
        self.transactions: dict[int, Transaction] = {}
        self._expected: dict[int, Transaction] = {}
        self._expected_until_ms: dict[int, int] = {}
        self._homeless: tuple[Payload, int] | None = None
        self._priority: frozenset[int] = frozenset()
        self._start: _Start | None = None
        self._offline_since: Now | None = None
        self._soc_permille: dict[int, int] = {}
        self._pulled_ms: dict[int, int] = {}
        self._ceilings: dict[int, Ceiling] = {}
        self._edge_ms: int | None = None
        self._is_stale = True
        if kept is not None:
            self._revive(kept)

    @property
    def rules(self) -> Rules:
        """What this station takes of a CSMS."""
        gives_back = frozenset(evse for evse, settings in self._evses.items() if settings.discharge_max_ma)
        return Rules(version=self.version, evse_ids=tuple(self._evses), v2x_evse_ids=gives_back)

    # What the CSMS asks.

    def is_profile_call(self, action: str) -> bool:
        """Answered here in mode `merge`."""
        return action in PROFILE_CALLS[self.version]

    def answer(self, action: str, payload: Payload | None, now: Now, *, ems_ma: Mapping[int, int]) -> Reply:
        """Do what a profile CALL asks and say so. ems_ma: the site's own limit of each EVSE, mA per phase."""
        self._is_stale = True
        if payload is None:
            return Reply(code="FormationViolation", text=f"{action}: the payload cannot be read")
        match action:
            case "SetChargingProfile":
                return self._set(payload, now)
            case "ClearChargingProfile":
                return self._clear(payload)
            case "GetCompositeSchedule":
                return self._composite(payload, now, ems_ma)
            case "GetChargingProfiles":
                return self._reported(payload, now, ems_ma)
            case "UpdateDynamicSchedule":
                updated = self.store.update(payload.get("chargingProfileId"), payload.get("scheduleUpdate"), now.utc_ms)
                return self._taken(updated)
            case "UsePriorityCharging":
                return self._use_priority(payload)
            case _:
                return Reply(code="NotImplemented", text=action)

    def follow(self, action: str, payload: Payload | None, now: Now) -> bool:
        """A profile CALL that the station itself has accepted. True: the store changed."""
        before = self.store
        if payload is not None and action in ("SetChargingProfile", "ClearChargingProfile", "UpdateDynamicSchedule"):
            self.answer(action, payload, now, ems_ma={})
        return self.store is not before

    def _set(self, payload: Payload, now: Now) -> Reply:
        evse, profile = ("evseId", "chargingProfile") if self.version.is_2x else ("connectorId", "csChargingProfiles")
        missing = next((name for name in (evse, profile) if payload.get(name) is None), None)
        if missing is not None:
            occurrence = "OccurrenceConstraintViolation" if self.version.is_2x else "OccurenceConstraintViolation"
            return Reply(code=occurrence, text=f"{missing}: missing")
        running = self._transactions()
        return self._taken(self.store.install(payload[profile], payload[evse], self.rules, running, now.utc_ms))

    def _taken(self, found: ProfileStore | Flaw) -> Reply:
        if isinstance(found, ProfileStore):
            self.store = found
            return Reply(payload={"status": "Accepted"})
        return self.refused(found)

    def refused(self, flaw: Flaw) -> Reply:
        """A flaw as the station would tell it."""
        if flaw.is_error:
            return Reply(code=flaw.code, text=flaw.text[:255])
        if not self.version.is_2x:
            return Reply(payload={"status": "Rejected"})
        info = {"reasonCode": flaw.code, "additionalInfo": flaw.text[:512]}
        return Reply(payload={"status": "Rejected", "statusInfo": info})

    def _clear(self, payload: Payload) -> Reply:
        is_2x = self.version.is_2x
        filters = payload.get("chargingProfileCriteria") or {} if is_2x else payload
        if not isinstance(filters, dict):
            return Reply(code="TypeConstraintViolation", text="chargingProfileCriteria: expected an object")
        numbers = {
            "profile_id": payload.get("chargingProfileId" if is_2x else "id"),
            "evse_id": filters.get("evseId" if is_2x else "connectorId"),
            "stack_level": filters.get("stackLevel"),
        }
        for name, found in numbers.items():
            if found is not None and (not isinstance(found, int) or isinstance(found, bool)):
                return Reply(code="TypeConstraintViolation", text=f"{name}: expected an integer")
        purpose = virtual.purpose_of(filters.get("chargingProfilePurpose"), self.version)
        if isinstance(purpose, Flaw):
            return self.refused(purpose)
        kept = self.store.clear(purpose=purpose, **numbers)
        was_there, self.store = kept is not self.store, kept
        return Reply(payload={"status": "Accepted" if was_there else "Unknown"})

    def _composite(self, payload: Payload, now: Now, ems_ma: Mapping[int, int]) -> Reply:
        """K08; 1.6 5.7. The site's own limit is part of it: it is what the station expects to keep to."""
        evse_id, duration_s = payload.get("evseId" if self.version.is_2x else "connectorId"), payload.get("duration")
        if not isinstance(evse_id, int) or not isinstance(duration_s, int) or duration_s < 0:
            return Reply(code="TypeConstraintViolation", text="expected the EVSE or connector and a duration in s")
        unit_name = payload.get("chargingRateUnit", "A")
        if unit_name not in ("A", "W"):
            return Reply(code="PropertyConstraintViolation", text="chargingRateUnit: expected A or W")
        if evse_id != 0 and evse_id not in self._evses:
            return Reply(payload={"status": "Rejected"})
        start_ms = now.utc_ms // 1000 * 1000
        sites = (_ems_profile(evse, limit_ma, start_ms) for evse, limit_ma in ems_ma.items())
        profiles = (*self.store.profiles, *sites)
        told_s = min(duration_s, MAX_COMPOSITE_S)
        found = schedule(profiles, self._view(now, evse_id, as_if_utc_ms=start_ms), start_ms, duration_s=told_s)
        unit = RateUnit(unit_name)
        # The EMS limit bounds it everywhere; this is only what stands where arithmetic would need an infinity.
        periods = composite_periods(
            found,
            unit=unit,
            nominal_voltage_mv=self._voltage_mv,
            unlimited_milli=10_000_000_000,
        )
        told: Payload = {
            "duration": (found.end_utc_ms - start_ms) // 1000,
            "chargingRateUnit": unit.value,
            "chargingSchedulePeriod": periods,
        }
        start = stamp.text(start_ms)
        if self.version.is_2x:
            told = {"evseId": evse_id, "scheduleStart": start, **told}
            return Reply(payload={"status": "Accepted", "schedule": told})
        # No startSchedule in it (1.6E 3.57).
        answer = {"status": "Accepted", "connectorId": evse_id, "scheduleStart": start, "chargingSchedule": told}
        return Reply(payload=answer)

    def _reported(self, payload: Payload, now: Now, ems_ma: Mapping[int, int]) -> Reply:
        """K09: what matches, by source and EVSE, in messages of REPORT_PROFILES."""
        criteria, request_id = payload.get("chargingProfile"), payload.get("requestId")
        if not isinstance(criteria, dict) or not isinstance(request_id, int):
            return Reply(code="OccurrenceConstraintViolation", text="requestId and chargingProfile are needed")
        groups: dict[tuple[str, int], list[Payload]] = {}
        ours = (self._ems_item(evse, limit_ma, now) for evse, limit_ma in ems_ma.items())
        for item, source in [*((item, "CSO") for item in self.store.installed), *((item, "EMS") for item in ours)]:
            if _is_wanted(item.profile, source, criteria, payload.get("evseId"), self.version):
                groups.setdefault((source, item.profile.evse_id), []).append(item.body)
        reports = [
            {
                "requestId": request_id,
                "chargingLimitSource": source,
                "evseId": evse_id,
                "chargingProfile": bodies[begin : begin + REPORT_PROFILES],
            }
            for (source, evse_id), bodies in groups.items()
            for begin in range(0, len(bodies), REPORT_PROFILES)
        ]
        told = tuple({**report, "tbc": True} for report in reports[:-1]) + tuple(reports[-1:])
        return Reply(payload={"status": "Accepted" if told else "NoProfiles"}, reports=told)

    def _use_priority(self, payload: Payload) -> Reply:
        """K21: activate or end PriorityCharging for a running transaction."""
        wanted_id = payload.get("transactionId")
        found = next((evse for evse, running in self.transactions.items() if running.id == wanted_id), None)
        if found is None:
            return Reply(payload={"status": "Rejected", "statusInfo": {"reasonCode": "TxNotFound"}})
        wanted = payload.get("activate") is True
        has_profile = any(p.purpose is Purpose.PRIORITY and p.evse_id in (0, found) for p in self.store.profiles)
        if wanted and not has_profile:
            return Reply(payload={"status": "NoProfile"})
        self._priority = self._priority | {found} if wanted else self._priority - {found}
        return Reply(payload={"status": "Accepted"})

    # Profiles that come with a remote start.

    def take_start(self, payload: Payload, message_id: str, now: Now) -> Payload | Reply:
        """The start without its profile, to be sent to the station; or our refusal, when the profile is wrong."""
        named = payload.get("evseId" if self.version.is_2x else "connectorId")
        evse_id = named if named is not None or len(self._evses) > 1 else next(iter(self._evses))
        tried_on = evse_id if evse_id is not None else next(iter(self._evses))
        body = payload["chargingProfile"]
        tried = self.store.install(body, tried_on, self.rules, {}, now.utc_ms, with_start=True)
        if isinstance(tried, Flaw):
            return self.refused(tried)
        self._start = _Start(message_id=message_id, evse_id=evse_id, body=body)
        return {name: value for name, value in payload.items() if name != "chargingProfile"}

    def start_answered(self, message_id: str, payload: Payload | None, now: Now) -> bool:
        """The station's answer to that start. True: the profile is in force now and the store changed."""
        start = self._start
        if start is None or start.message_id != message_id:
            return False
        self._start, self._is_stale = None, True
        if payload is None or payload.get("status") != "Accepted":
            return False
        if start.evse_id is None:
            # Which EVSE it is shows when a transaction begins there.
            self._homeless = (start.body, now.mono_ms + START_WAIT_MS)
            return False
        return self._expect(start.evse_id, start.body, now)

    def _expect(self, evse_id: int, body: Payload, now: Now) -> bool:
        found = self.store.install(body, evse_id, self.rules, {}, now.utc_ms, with_start=True)
        if isinstance(found, Flaw):
            return False
        self.store = found
        if evse_id not in self.transactions:
            self._expected[evse_id] = Transaction(id=None, start_utc_ms=now.utc_ms)
            self._expected_until_ms[evse_id] = now.mono_ms + START_WAIT_MS
        return True

    # What the station does.

    def sync(self, running: Mapping[int, int | str | None], now: Now) -> bool:
        """The transaction that runs on each EVSE, None: none that is known. True: something is to be kept."""
        changed = self._forget_starts(now)
        for evse_id, transaction_id in running.items():
            known = self.transactions.get(evse_id)
            if (None if known is None else known.id) != transaction_id:
                self._follow_transaction(evse_id, transaction_id, now)
                changed = True
        self._is_stale |= changed
        return changed

    def _follow_transaction(self, evse_id: int, transaction_id: int | str | None, now: Now) -> None:
        if self.transactions.pop(evse_id, None) is not None:
            self.store = self.store.end_transaction(evse_id)
            self._priority -= {evse_id}
        if transaction_id is None:
            return
        if self._homeless is not None:
            (body, _), self._homeless = self._homeless, None
            self._expect(evse_id, body, now)
        expected = self._expected.pop(evse_id, None)
        start_utc_ms = now.utc_ms if expected is None else expected.start_utc_ms
        self.transactions[evse_id] = Transaction(id=transaction_id, start_utc_ms=start_utc_ms)
        self.store = self.store.name_transaction(evse_id, transaction_id)

    def _forget_starts(self, now: Now) -> bool:
        if self._homeless is not None and now.mono_ms >= self._homeless[1]:
            self._homeless = None
        late = [evse for evse in self._expected if now.mono_ms >= self._expected_until_ms[evse]]
        for evse_id in late:
            del self._expected[evse_id]
            self.store = self.store.end_transaction(evse_id)
        return bool(late)

    def charged(self, soc_permille: Mapping[int, int | None]) -> None:
        """The cars' states of charge by EVSE, None: not known."""
        known = {evse: soc for evse, soc in soc_permille.items() if soc is not None}
        if known != self._soc_permille:
            has_limit = any(profile.soc_limit is not None for profile in self.store.profiles)
            self._soc_permille, self._is_stale = known, self._is_stale or has_limit

    # Updates that the CSMS wants to be asked for (2.1, K28.FR.08-10).

    def next_pull(self, now: Now) -> int | None:
        """The id of a Dynamic profile whose update is due now; it is then due again after its interval."""
        for profile in self.store.profiles:
            if profile.pull_s is not None and self._pull_ms(profile, now) <= now.mono_ms:
                self._pulled_ms[profile.id] = now.mono_ms
                return profile.id
        return None

    def pull_ms(self, now: Now) -> int | None:
        """Monotonic ms at which `next_pull` has one; None: never, or not while the CSMS cannot be reached."""
        if self._offline_since is not None:
            return None
        times = (self._pull_ms(profile, now) for profile in self.store.profiles if profile.pull_s is not None)
        return min(times, default=None)

    def _pull_ms(self, profile: Profile, now: Now) -> int:
        since_ms = now.mono_ms - max(0, now.utc_ms - profile.set_utc_ms)
        return max(since_ms, self._pulled_ms.get(profile.id, since_ms)) + (profile.pull_s or 0) * 1000

    def pulled(self, profile_id: int, payload: Payload | None, now: Now) -> bool:
        """The CSMS's answer to a pull; None: an error. True: the store changed."""
        if payload is None or payload.get("status") != "Accepted":
            return False
        found = self.store.update(profile_id, payload.get("scheduleUpdate"), now.utc_ms)
        if isinstance(found, Flaw):
            return False
        self.store, self._is_stale = found, True
        return True

    def offline(self, now: Now) -> None:
        """The CSMS cannot be reached."""
        self._offline_since, self._is_stale = self._offline_since or now, True

    def online(self, now: Now) -> bool:
        """It can again. True: the store changed."""
        since, self._offline_since = self._offline_since, None
        before, self._is_stale = self.store, True
        if since is not None:
            self.store = self.store.reconnected(now.mono_ms - since.mono_ms)
        return self.store is not before

    # What it comes to.

    def ceiling(self, evse_id: int, now: Now) -> Ceiling | None:
        """What the CSMS's profiles allow an EVSE now; None: nothing limits. Below its least current it is a pause."""
        self._recompute(now)
        return self._ceilings.get(evse_id)

    def edge_ms(self, now: Now) -> int | None:
        """Monotonic ms at which a ceiling may change by itself."""
        self._recompute(now)
        return self._edge_ms

    def _recompute(self, now: Now) -> None:
        """Asked after every frame, so it is computed only when something has changed."""
        if not self._is_stale and (self._edge_ms is None or now.mono_ms < self._edge_ms):
            return
        self._is_stale = False
        found = {evse_id: self._ceiling_of(evse_id, now) for evse_id in self._evses} if self.store.installed else {}
        self._ceilings = {evse_id: ceiling for evse_id, ceiling in found.items() if ceiling is not None}
        self._edge_ms = self._next_edge_ms(now)

    def _ceiling_of(self, evse_id: int, now: Now) -> Ceiling | None:
        limit = limit_at(self.store.profiles, self._view(now, evse_id), now.utc_ms)
        if limit is None:
            return None
        current_ma = limit.current_ma(self._voltage_mv)
        settings = self._evses[evse_id]
        if current_ma < settings.current_min_ma:
            current_ma = 0
        if limit.mode is OperationMode.CHARGING_ONLY:
            return Ceiling(current_ma=current_ma, phases=limit.phases)
        return Ceiling(
            current_ma=min(current_ma, settings.current_max_ma),
            phases=limit.phases,
            mode=limit.mode,
            discharge_ma=replace(limit, rate=-limit.discharge).current_ma(self._voltage_mv) // 100 * 100,
            setpoint_ma=None if limit.setpoint is None else _tenths_ma(limit.setpoint, limit, self._voltage_mv),
        )

    def _next_edge_ms(self, now: Now) -> int | None:
        edges = [next_edge(self.store.profiles, self._view(now, evse_id), now.utc_ms) for evse_id in self._evses]
        times = [now.mono_ms + edge - now.utc_ms for edge in edges if edge is not None]
        times += [self._expected_until_ms[evse_id] for evse_id in self._expected]
        return min(times, default=None)

    def _transactions(self) -> dict[int, Transaction]:
        return {**self._expected, **self.transactions}

    def _view(self, now: Now, evse_id: int, *, as_if_utc_ms: int | None = None) -> View:
        since = self._offline_since
        return View(
            evse_id=evse_id,
            nominal_voltage_mv=self._voltage_mv,
            evse_ids=tuple(self._evses),
            transactions=self._transactions(),
            as_if_utc_ms=as_if_utc_ms,
            priority=self._priority,
            offline_since_utc_ms=None if since is None else since.utc_ms,
            soc_permille=self._soc_permille,
            discharge_max_ma={evse: settings.discharge_max_ma for evse, settings in self._evses.items()},
            seed=next(iter(self._evses.values())).station_id,
        )

    def _ems_item(self, evse_id: int, ems_ma: int, now: Now) -> Installed:
        profile = _ems_profile(evse_id, ems_ma, now.utc_ms)
        body: Payload = {
            "id": profile.id,
            "stackLevel": 0,
            "chargingProfilePurpose": purpose_name(Purpose.EXTERNAL, self.version),
            "chargingProfileKind": "Absolute",
            "chargingSchedule": [
                {
                    "id": 1,
                    "startSchedule": stamp.text(profile.start_utc_ms or 0),
                    "chargingRateUnit": "A",
                    "chargingSchedulePeriod": [{"startPeriod": 0, "limit": tenths(ems_ma)}],
                }
            ],
        }
        return Installed(profile=profile, body=body)

    # Durable form.

    def to_bytes(self) -> bytes:
        """What has to outlive the process: the profiles and whose transaction they are for."""
        running = {str(evse): [found.id, found.start_utc_ms] for evse, found in self.transactions.items()}
        kept = {
            "transactions": running,
            "store": virtual.to_bytes(self.store, self.version).decode(),
        }
        return json.dumps(kept, separators=(",", ":")).encode()

    def _revive(self, kept: bytes) -> None:
        try:
            found: dict[str, Any] = json.loads(kept)
            revived = virtual.from_bytes(found["store"].encode())
            running = {
                int(evse): Transaction(id=item[0], start_utc_ms=int(item[1]))
                for evse, item in found["transactions"].items()
            }
        except (ValueError, KeyError, TypeError, AttributeError, IndexError):
            return
        if revived is not None:
            self.store, self.version = revived
        self.transactions = {evse: found for evse, found in running.items() if evse in self._evses}

    def speak(self, version: Version) -> None:
        """The version of this connection; a station that comes back with another has other profiles."""
        if version is not self.version:
            self.version, self.store, self._is_stale = version, ProfileStore(), True


def _tenths_ma(rate: int, limit: Limit, nominal_voltage_mv: int) -> int:
    magnitude = replace(limit, rate=abs(rate)).current_ma(nominal_voltage_mv) // 100 * 100
    return magnitude if rate >= 0 else -magnitude


def _ems_profile(evse_id: int, limit_ma: int, utc_ms: int) -> Profile:
    return Profile(
        evse_id=evse_id,
        id=EMS_PROFILE_ID - evse_id,
        stack_level=0,
        purpose=Purpose.EXTERNAL,
        kind=ProfileKind.ABSOLUTE,
        unit=RateUnit.A,
        periods=(Period(start_s=0, limit_milli=limit_ma),),
        start_utc_ms=utc_ms - stamp.DAY_MS,
    )


def _is_wanted(profile: Profile, source: str, criteria: Payload, evse_id: object, version: Version) -> bool:
    ids, sources = criteria.get("chargingProfileId"), criteria.get("chargingLimitSource")
    return (
        evse_id in (None, profile.evse_id)
        and (not isinstance(ids, list) or profile.id in ids)
        and (not isinstance(sources, list) or source in sources)
        and criteria.get("stackLevel") in (None, profile.stack_level)
        and criteria.get("chargingProfilePurpose") in (None, purpose_name(profile.purpose, version))
    )
