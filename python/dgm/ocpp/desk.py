"""One station's profiles between its CPO and the site: which frame of the CSMS is answered here, and what follows.

    CSMS CALL about profiles ──> take ──> answered for the station (merge) | rewritten | relayed and followed
    sync ──> transactions, edges of the CPO's profiles ──> slots and ceilings of the enforcers, CpoLimit for the ems

Part of a session: it owns the merge and the manner, and gives effects and CALLs of ours back to the session, which has
the lane and the legs. A change is kept (Keep) before the answer that promises it.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from dgm.api.ems.v1.ems_pb2 import OutcomeState
from dgm.api.ocpp.v1.evse_model_pb2 import EvseModel
from dgm.machine import Now
from dgm.ocpp import frame
from dgm.ocpp import manner as manners
from dgm.ocpp.events import CpoLimit, Direction, Effect, Keep, Leg, Outcome, Passed, Reason, Send
from dgm.ocpp.evse import Evse
from dgm.ocpp.excepted import kept, ours
from dgm.ocpp.frame import Head, Kind, Payload
from dgm.ocpp.manner import Manner, Mode, clean_up, clear_around, slot_of
from dgm.ocpp.merge import START_CALLS, Ceiling, Merge, Reply
from dgm.ocpp.own_profile import Slot, can_remove_ours
from dgm.ocpp.pace import WRITES_PER_DAY
from dgm.ocpp.probe import SILENCES, Abilities, Question, abilities_of, candidates, keys_call
from dgm.ocpp.profile import ProfileKind, Purpose
from dgm.ocpp.profile_codec import Flaw, gives_back
from dgm.ocpp.quirks import Identity, Quirks, find
from dgm.ocpp.relay import OwnCall, OwnIds
from dgm.ocpp.store import StationMemory, StationSettings
from dgm.ocpp.version import Version

FOLLOWED = frozenset({"SetChargingProfile", "ClearChargingProfile", "UpdateDynamicSchedule"})
"""CALLs of the CSMS that change its profiles in the station, where they are relayed."""

MAX_FOLLOWED = 8
MAX_REPORTS = 64
REPORT_TIMEOUT_MS = 30_000

PULL = "PullDynamicScheduleUpdate"

KEEP_PROFILES, KEEP_MANNER = "profiles", "manner"
"""Names under which a session's bytes are kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    """A CALL of ours that the CSMS has not answered."""

    id: str
    action: str
    payload: Payload
    sent_ms: int


class Desk:
    """See the module. stored: bodies of `Keep` of an earlier life, by name."""

    def __init__(
        self,
        settings: Sequence[StationSettings],
        memory: StationMemory,
        *,
        ids: Callable[[], str],
        own_ids: OwnIds,
        stored: Mapping[str, bytes],
        models: Sequence[EvseModel] = (),
    ) -> None:
        self._memory, self._ids, self._own_ids = memory, ids, own_ids
        self.merge = Merge(settings, stored.get(KEEP_PROFILES))
        known = manners.from_bytes(stored[KEEP_MANNER]) if KEEP_MANNER in stored else None
        self._models, self._settings = models, settings[0]
        self._evse_count = len(settings)
        self._abilities = Abilities()
        self._silences = 0
        self._refused: list[str] = []
        self._why_failed = ""
        self.quirks = Quirks() if known is None else find(models, _identity_of(known))
        self.manner = known if known is not None else self._ladder()[0]
        self._must_ask_keys = known is None and not self.quirks.no_key_probe
        self.evses = tuple(Evse(one, slot_of(self.manner, one, self.merge.version, None)) for one in settings)
        for evse in self.evses:
            running = self.merge.transactions.get(evse.settings.connector_id)
            evse.memory.transaction_id = None if running is None else running.id
        self._clean: deque[OwnCall] = deque()
        self._followed: OrderedDict[str, Payload] = OrderedDict()
        self._rewritten: set[str] = set()
        self._reports: deque[Payload] = deque()
        self._asked: _Asked | None = None
        self._pull_ms: int | None = None
        self._told: dict[int, Ceiling | None] = {}
        self._edge_ms: int | None = None

    def wake_time(self) -> int | None:
        """Monotonic ms of the next edge of the CPO's profiles, or of a report's timeout."""
        asked_ms = None if self._asked is None else self._asked.sent_ms + REPORT_TIMEOUT_MS
        pull_ms = self._pull_ms if self._asked is None else None
        return min((at for at in (self._edge_ms, asked_ms, pull_ms) if at is not None), default=None)

    @property
    def awaits_answer(self) -> bool:
        """A CALL of ours to the CSMS is open: its answer must not go to the station."""
        return self._asked is not None

    def _follow_slots(self, now: Now) -> list[Effect]:
        effects: list[Effect] = []
        for evse in self.evses:
            running = _transaction(evse)
            taken = running if evse.enforcer.may_take_transaction else None
            slot = slot_of(self.manner, evse.settings, self.merge.version, taken)
            effects += evse.enforcer.use(slot, now, running=running)
        return effects

    def _wanted_ma(self) -> dict[int, int]:
        return {evse.settings.connector_id: evse.enforcer.wanted_ma for evse in self.evses}

    def _slots(self) -> list[Slot]:
        return [evse.enforcer.slot for evse in self.evses]

    # Frames of the CSMS.

    def is_concerned(self, action: str) -> bool:
        """A CALL that `take` must see before it is relayed."""
        return action in START_CALLS or self.merge.is_profile_call(action)

    def take(self, head: Head, raw: bytes, now: Now) -> tuple[list[Effect], bytes | None]:
        """Effects, and the frame that is to go to the station, None: nothing is."""
        payload = frame.payload_of(raw)
        if self.manner.mode is not Mode.MERGE and _gives_back(head.action, payload):
            flaw = Flaw(code="InvalidSchedule", text="the site lets this station give nothing back")
            return self._reply(head, raw, self.merge.refused(flaw)), None
        if head.action in START_CALLS:
            has_profile = payload is not None and isinstance(payload.get("chargingProfile"), dict)
            return self._take_start(head, raw, payload, now) if payload and has_profile else ([], raw)
        if self.manner.mode is Mode.MERGE:
            return self._answer(head, raw, payload, now), None
        if payload is None or not any(can_remove_ours(head.action, payload, slot) for slot in self._slots()):
            return [], raw
        if head.action == "ClearChargingProfile":
            return self._clear_around(head, raw, payload, now), None
        is_dynamic = self.manner.kind is ProfileKind.DYNAMIC
        kind = ProfileKind.ABSOLUTE if is_dynamic else self.manner.kind
        merged = replace(self.manner, mode=Mode.MERGE, kind=kind, key="", is_merge_needed=True, is_proved=False)
        effects = self.adopt(merged, f"the CPO used the place of our profiles: {head.action} {head.id}", now)
        return effects + self._answer(head, raw, payload, now), None

    def _answer(self, head: Head, raw: bytes, payload: Payload | None, now: Now) -> list[Effect]:
        before = self.merge.store
        reply = self.merge.answer(head.action, payload, now, ems_ma=self._wanted_ma())
        self._reports.extend(reply.reports[: MAX_REPORTS - len(self._reports)])
        stored = self._keep_profiles() if self.merge.store is not before else []
        return [*stored, *self._reply(head, raw, reply)]

    def _reply(self, head: Head, raw: bytes, reply: Reply) -> list[Effect]:
        if reply.code:
            answer = frame.error(head.id, code=reply.code, description=reply.text)
        else:
            answer = frame.result(head.id, reply.payload)
        return [
            Send(leg=Leg.NORTH, raw=answer, relayed=False),
            kept(self._memory, Reason.PROFILE_CALL, head, raw),
            ours(self._memory, Reason.PROFILE_ANSWER, Direction.NORTH, head, answer),
        ]

    def _clear_around(self, head: Head, raw: bytes, payload: Payload, now: Now) -> list[Effect]:
        """A Clear that would take ours along: the CPO's profiles go, ours stay."""
        before = self.merge.store.profiles
        effects = self._answer(head, raw, payload, now)
        left = {profile.id for profile in self.merge.store.profiles}
        gone = tuple(p.id for p in before if p.id not in left and p.purpose is Purpose.MAX)
        self._clean.extend(clear_around(self._slots()[0], payload, gone))
        return effects

    def _take_start(self, head: Head, raw: bytes, payload: Payload, now: Now) -> tuple[list[Effect], bytes | None]:
        found = self.merge.take_start(payload, head.id, now)
        if self.manner.mode is not Mode.MERGE:
            return [], raw
        if isinstance(found, Reply):
            return self._reply(head, raw, found), None
        self._rewritten.add(head.id)
        return [kept(self._memory, Reason.START_PROFILE, head, raw)], frame.call(head.id, head.action, found)

    def is_rewritten(self, head: Head) -> bool:
        """Whether this CALL, which goes to the station now, is not as the CSMS wrote it; told once."""
        if head.id not in self._rewritten:
            return False
        self._rewritten.discard(head.id)
        return True

    def relayed(self, action: str, message_id: str, payload: Payload | None) -> None:
        """A CALL of the CSMS has gone to the station as it is."""
        if payload is None or action not in FOLLOWED:
            return
        self._followed[message_id] = payload
        if len(self._followed) > MAX_FOLLOWED:
            self._followed.popitem(last=False)

    def station_answered(self, event: Passed, now: Now) -> list[Effect]:
        """The station answered a CALL of the CSMS: its profiles there may have changed."""
        payload = frame.payload_of(event.raw) if event.head.kind is Kind.RESULT else None
        if event.action in START_CALLS:
            return self._keep_profiles() if self.merge.start_answered(event.head.id, payload, now) else []
        asked = self._followed.pop(event.head.id, None)
        accepted = payload is not None and payload.get("status") == "Accepted"
        if asked is None or not accepted or not self.merge.follow(event.action, asked, now):
            return []
        return self._keep_profiles()

    # Time, transactions and connections.

    def sync(self, now: Now) -> list[Effect]:
        """Follow the transactions and the edges of the CPO's profiles."""
        effects: list[Effect] = []
        running = {evse.settings.connector_id: _transaction(evse) for evse in self.evses}
        if self.merge.sync(running, now):
            effects += self._keep_profiles()
        effects += self._follow_slots(now)
        self.merge.charged({evse.settings.connector_id: evse.memory.reading.soc_permille for evse in self.evses})
        self._edge_ms = self.merge.edge_ms(now)
        self._pull_ms = self.merge.pull_ms(now) if self.manner.mode is Mode.MERGE else None
        for evse in self.evses:
            effects += self._follow_ceiling(evse, now)
        return effects

    def _follow_ceiling(self, evse: Evse, now: Now) -> list[Effect]:
        evse_id, asset_id = evse.settings.connector_id, evse.settings.asset_id
        ceiling = self.merge.ceiling(evse_id, now)
        evse.enforcer.ceiling = ceiling if self.manner.mode is Mode.MERGE else None
        if ceiling == self._told.get(evse_id):
            return []
        self._told[evse_id] = ceiling
        return [CpoLimit(asset_id=asset_id, current_ma=None if ceiling is None else ceiling.current_ma)]

    def connected(self, version: Version, now: Now) -> list[Effect]:
        """The station is there."""
        self.merge.speak(version)
        effects = self._follow_slots(now)
        self._heed_quirks()
        self._plan_clean_up()
        return effects

    def csms_back(self, now: Now) -> list[Effect]:
        """The CSMS is there too."""
        return self._keep_profiles() if self.merge.online(now) else []

    def csms_lost(self, now: Now) -> None:
        """For its CSMS the station is offline. Answers to CALLs that have reached the station may yet come."""
        self._rewritten.clear()
        self._reports.clear()
        self._asked = None
        self.merge.offline(now)

    def disconnected(self, now: Now) -> list[Effect]:
        """The station is gone, and with it every CALL that was open; of some models their profiles too."""
        self._followed.clear()
        self._clean.clear()
        if not self.quirks.forgets_profiles:
            return []
        evidence = f"{self.quirks.name} forgets its profiles with the connection"
        return [outcome for evse in self.evses for outcome in evse.enforcer.wiped(now, evidence)]

    def adopt(self, manner: Manner, reason: str, now: Now) -> list[Effect]:
        """Bring limits into the station in this manner from now on; kept over restarts."""
        self.manner = manner.because(reason)
        effects: list[Effect] = [Keep(name=KEEP_MANNER, body=self.manner.to_bytes())]
        effects += self._follow_slots(now)
        self._plan_clean_up()
        return effects

    # What the station accepts.

    def booted(self, identity: Identity, now: Now) -> list[Effect]:
        """What the station is; another firmware may accept other things."""
        made_for = _made_for(identity)
        if made_for == self.manner.made_for:
            return []
        self.quirks = find(self._models, identity)
        self._abilities, self._silences, self._refused, self._why_failed = Abilities(), 0, [], ""
        self._must_ask_keys = not self.quirks.no_key_probe
        self._heed_quirks()
        first = replace(self._ladder()[0], made_for=made_for)
        return self.adopt(first, first.reason, now)

    def _heed_quirks(self) -> None:
        for evse in self.evses:
            evse.readings.is_muted = self.quirks.no_triggers
            evse.enforcer.heed(
                lease_ms=max(evse.settings.profile_lease_ms, self.quirks.lease_ms or 0),
                rewrite_after_pause_ms=self.quirks.rewrite_after_pause_ms,
                writes_per_day=self.quirks.writes_per_day or WRITES_PER_DAY,
                forgets_profiles=self.quirks.forgets_profiles,
            )

    def _ladder(self) -> list[Manner]:
        known = getattr(self, "manner", None)
        wanted = self._settings.enforcement
        asked = Question(
            version=self.merge.version,
            evse_count=self._evse_count,
            max_stack_level=self._settings.max_stack_level,
            abilities=self._abilities,
            quirks=self.quirks,
            wanted=Mode(wanted) if wanted else None,
            is_merge_needed=known is not None and known.is_merge_needed,
            is_v2x=self.merge.version is Version.V21 and bool(self.merge.rules.v2x_evse_ids),
        )
        return candidates(asked) or [Manner(mode=Mode.NONE, reason="it says that it takes no charging profiles")]

    def probed(self, payload: Payload | None, now: Now) -> list[Effect]:
        """The station's answer about its keys; None: none that can be read."""
        self._abilities = abilities_of(payload, self.merge.version)
        first = self._ladder()[0]
        if self._why_failed and not self.manner.is_proved:
            why, self._why_failed = self._why_failed, ""
            return self._advance(why, now)
        is_better = first.mode is Mode.NATIVE and self.manner.mode is Mode.MAX
        if first.shape == self.manner.shape or (self.manner.is_proved and not is_better):
            return []
        return self.adopt(replace(first, made_for=self.manner.made_for), first.reason, now)

    def learned(self, effects: Sequence[Effect], now: Now) -> list[Effect]:
        """What came of a limit tells whether the station takes limits in this manner."""
        for outcome in effects:
            if not isinstance(outcome, Outcome):
                continue
            match outcome.state:
                case OutcomeState.OUTCOME_STATE_ACCEPTED | OutcomeState.OUTCOME_STATE_CONFIRMED:
                    return self._worked(now)
                case OutcomeState.OUTCOME_STATE_REJECTED:
                    return self._failed(outcome.evidence, now)
                case OutcomeState.OUTCOME_STATE_TIMED_OUT:
                    self._silences += 1
                    return self._failed("no answer", now) if self._silences >= SILENCES else []
                case _:
                    pass
        return []

    def _worked(self, now: Now) -> list[Effect]:
        self._silences = 0
        if self.manner.is_proved:
            return []
        mode = self.manner.mode
        if mode is Mode.NONE:
            mode = Mode.MERGE if self.manner.is_merge_needed else Mode.MAX
        self.manner = replace(self.manner, mode=mode, is_proved=True)
        return [Keep(name=KEEP_MANNER, body=self.manner.to_bytes())]

    def _failed(self, why: str, now: Now) -> list[Effect]:
        """Another manner, unless this one has worked before: then the station has a bad day, and is tried again."""
        if self.manner.is_proved or self.manner.mode is Mode.NONE:
            return []
        self._silences = 0
        if self._must_ask_keys:
            # What it says of itself may spare us wrong tries.
            self._why_failed = why
            return []
        return self._advance(why, now)

    def _advance(self, why: str, now: Now) -> list[Effect]:
        self._refused.append(f"{self.manner.reason.split(':')[0]}: {why}"[:60])
        ladder, here = self._ladder(), self.manner.shape
        shapes = [manner.shape for manner in ladder]
        after = ladder[shapes.index(here) + 1 :] if here in shapes else ladder
        if after and len(self._refused) <= len(ladder):
            return self.adopt(replace(after[0], made_for=self.manner.made_for), after[0].reason, now)
        none = replace(ladder[0], mode=Mode.NONE, made_for=self.manner.made_for)
        return self.adopt(none, f"counts at nameplate, it takes no limit ({'; '.join(self._refused)})", now)

    # CALLs of ours.

    def next(self) -> OwnCall | None:
        """A CALL that no EVSE needs: about the station's keys, or the CPO's profiles in it."""
        if self._must_ask_keys:
            self._must_ask_keys = False
            return keys_call(self.merge.version)
        return self._next_clean()

    def _next_clean(self) -> OwnCall | None:
        """Takes profiles of the CPO out of the station; in `merge` only once our pair is proved there."""
        may = self.manner.mode is not Mode.MERGE or all(evse.enforcer.is_settled for evse in self.evses)
        while self._clean and may:
            call = self._clean.popleft()
            # It was planned for the slots of then: a transaction may have begun, and ours be where the CPO's were.
            if not any(can_remove_ours(call.action, call.payload, slot) for slot in self._slots()):
                return call
        return None

    def _plan_clean_up(self) -> None:
        self._clean.clear()
        if self.manner.mode is Mode.MERGE:
            known = tuple(profile.id for profile in self.merge.store.profiles)
            self._clean.extend(clean_up(self._slots(), known))

    def next_report(self, now: Now, *, is_up: bool) -> list[Effect]:
        """One CALL of ours to the CSMS at a time: its reports, then the updates that it wants to be asked for."""
        asked = self._asked
        if asked is not None and now.mono_ms >= asked.sent_ms + REPORT_TIMEOUT_MS:
            self._asked = asked = None
        if asked is not None or not is_up:
            return []
        if self._reports:
            return self._ask_csms("ReportChargingProfiles", self._reports.popleft(), Reason.PROFILE_REPORT, now)
        profile_id = self.merge.next_pull(now) if self.manner.mode is Mode.MERGE else None
        if profile_id is None:
            return []
        return self._ask_csms(PULL, {"chargingProfileId": profile_id}, Reason.PROFILE_PULL, now)

    def _ask_csms(self, action: str, payload: Payload, reason: Reason, now: Now) -> list[Effect]:
        message_id = self._ids()
        raw = frame.call(message_id, action, payload)
        self._own_ids.put(message_id, now)
        self._asked = _Asked(id=message_id, action=action, payload=payload, sent_ms=now.mono_ms)
        head = Head(kind=Kind.CALL, id=message_id, action=action)
        listed = ours(self._memory, reason, Direction.NORTH, head, raw)
        return [Send(leg=Leg.NORTH, raw=raw, relayed=False), listed]

    def report_answered(self, head: Head, raw: bytes, now: Now) -> list[Effect]:
        """The CSMS's answer to a CALL of ours: it goes no further."""
        asked = self._asked
        if asked is None or asked.id != head.id:
            return [kept(self._memory, Reason.OWN_ANSWER, head, raw)]
        self._asked = None
        effects: list[Effect] = [kept(self._memory, Reason.OWN_ANSWER, head, raw, asked.action)]
        if asked.action == PULL:
            payload = frame.payload_of(raw) if head.kind is Kind.RESULT else None
            if self.merge.pulled(asked.payload["chargingProfileId"], payload, now):
                effects += self._keep_profiles()
        return effects

    def _keep_profiles(self) -> list[Effect]:
        return [Keep(name=KEEP_PROFILES, body=self.merge.to_bytes())]


def _gives_back(action: str, payload: Payload | None) -> bool:
    """Whether a CALL of the CSMS, relayed, could make a car give energy back that nobody on the site counts."""
    names = {
        "SetChargingProfile": ("chargingProfile", "csChargingProfiles"),
        "UpdateDynamicSchedule": ("scheduleUpdate",),
    }
    bodies = names.get(action, ("chargingProfile",) if action in START_CALLS else ())
    return payload is not None and any(gives_back(payload.get(name)) for name in bodies)


def _transaction(evse: Evse) -> int | str | None:
    # -1: the station got no answer to its StartTransaction; nobody can set a TxProfile for it (1.6E 3.18).
    found = evse.memory.transaction_id
    return None if found == -1 else found


def _made_for(identity: Identity) -> str:
    return "/".join(part.replace("/", "|") for part in (identity.vendor, identity.model, identity.firmware))


def _identity_of(manner: Manner) -> Identity:
    vendor, model, firmware = (*manner.made_for.split("/"), "", "", "")[:3]
    return Identity(vendor=vendor, model=model, firmware=firmware)
