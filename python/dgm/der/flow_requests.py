"""Flow reservation: what the EVs need by when, asked of the utility; what it grants, as a plan and a limit (S18 10.9).

    needs (energy by departure) ──per quarter of an hour──┐                        ┌─> plans(): window, power, energy
    an operator's request ────────────────────────────────┴─> FlowRequest ─> POST ─> grant ──┴─> limit on charging
                                                                cancel ─> PUT with RequestStatus 1

Power and energy are positive when they charge, here as on the wire, the opposite of the other DER resources (S18
FlowReservationRequest): nothing is converted. A grant is an event, followed by the event engine; which of several
answers of the server holds is its business. What becomes of a plan inside the site is not decided here. Times are ms
UTC of the server's clock. Pure; the journal is below `flow/`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum

from dgm.der import record
from dgm.der import resource as r
from dgm.der.envelope import FLOW_MODE, Bound
from dgm.der.function_sets import Grant
from dgm.der.identity import mrid_of
from dgm.der.letter import Errand, ErrandDone, Place
from dgm.der.orders import Damaged
from dgm.der.schedule import Reign
from dgm.machine import Now

PREFIX, STATE_KEY = "flow/request/", "flow/state"
KEY = "flow:"
POSTING, CANCELLING = "post", "cancel"
SLOT_MS = 900_000
"""Departures of one quarter of an hour are asked for together, for its start."""
REPLACE_MS = 300_000
"""A need that grows is asked for anew at most this often."""
GROWN_WH, GROWN_PERMILLE = 1_000, 100
"""Less growth than this, or than this share, is not asked for anew: the utility's answer is for what was asked."""
REQUESTS_MAX = 100
KEPT_MS = 86_400_000
"""What is over is shown for a day."""
DURATION_S_MAX = 65_535
AHEAD_MS_MAX = 7 * 86_400_000
AMOUNT_MAX = 10**9
HOUR_S = 3600


class Refused(Enum):
    """Why a request of an operator is not taken."""

    DIRECTIONS = "energy and power: found two directions or nothing; expected both positive (charge) or both negative"
    WINDOW = "window: expected an end after its start and after now, within a week"
    TOO_MUCH = "energy and power: expected at most 1 GWh and 1 GW"
    TOO_SHORT = "window: too short for that energy at that power"
    TOO_MANY = f"requests: expected at most {REQUESTS_MAX} that are not over; cancel one"


class State(Enum):
    """Where a request stands."""

    WAITING = "waiting"
    """The server has not taken it yet."""
    REQUESTED = "requested"
    GRANTED = "granted"
    CANCELLED = "cancelled"
    REFUSED = "refused"
    OVER = "over"


@dataclass(frozen=True, slots=True, kw_only=True)
class ChargingNeed:
    """What one EVSE still has to deliver, and by when."""

    evse_id: str
    energy_wh: int
    departure_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowRequest:
    """One FlowReservationRequest. serial: in the order of asking.

    slot_ms: of the departures that it is for; None: an operator's. is_told: the server has taken it. place: where it
    is there; None: it did not say. is_cancel_told: it has heard of the cancellation too, or will not. why: what it
    refused.
    """

    mrid: str
    serial: int
    slot_ms: int | None = None
    evse_ids: tuple[str, ...] = ()
    energy_wh: int
    power_w: int
    start_ms: int
    end_ms: int
    created_ms: int
    is_told: bool = False
    place: str | None = None
    cancelled_ms: int | None = None
    is_cancel_told: bool = False
    why: str = ""

    @property
    def duration_s(self) -> int:
        """The least time it takes, rounded up."""
        return -(-abs(self.energy_wh) * HOUR_S // abs(self.power_w))

    @property
    def is_live(self) -> bool:
        """Not cancelled and not refused."""
        return self.cancelled_ms is None and not self.why


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowPlan:
    """What was granted to a request: power and energy, positive charges, from start to end. is_active: now."""

    request_mrid: str
    grant_mrid: str
    start_ms: int
    end_ms: int
    power_w: int
    energy_wh: int
    is_active: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class _State:
    serial: int = 0


class FlowRequests:
    """Of one device. powers_w: the most that each EVSE can take."""

    def __init__(self, lfdi: str, pen: int, powers_w: Mapping[str, int]) -> None:
        self._lfdi, self._pen = lfdi, pen
        self._powers_w = powers_w
        self._requests: dict[str, FlowRequest] = {}
        self._state = _State()
        self._changed: set[str] = set()

    # -- what is asked for ------------------------------------------------------------------------------------------

    def needs(self, needs: Iterable[ChargingNeed], now: Now) -> None:
        """Everything that the EVs need now; what is not there is not needed any more."""
        slots: dict[int, list[ChargingNeed]] = {}
        for need in needs:
            slot_ms = need.departure_ms - need.departure_ms % SLOT_MS
            is_ahead = 0 < slot_ms - now.utc_ms <= AHEAD_MS_MAX
            if need.energy_wh > 0 and is_ahead and need.evse_id in self._powers_w:
                slots.setdefault(slot_ms, []).append(need)
        standing = {item.slot_ms: item for item in self._requests.values() if item.slot_ms and item.is_live}
        for slot_ms, request in standing.items():
            if slot_ms not in slots and request.end_ms > now.utc_ms:
                self.cancel(request.mrid, now)
        for slot_ms, wanted in sorted(slots.items()):
            self._ask(slot_ms, wanted, standing.get(slot_ms), now)

    def refusal(self, *, energy_wh: int, power_w: int, start_ms: int, end_ms: int, now: Now) -> Refused | None:
        """Why an operator's request is not taken; None: it is."""
        if energy_wh * power_w <= 0:
            return Refused.DIRECTIONS
        if not max(start_ms, now.utc_ms) < end_ms <= now.utc_ms + AHEAD_MS_MAX:
            return Refused.WINDOW
        if max(abs(energy_wh), abs(power_w)) > AMOUNT_MAX:
            return Refused.TOO_MUCH
        if abs(energy_wh) * HOUR_S * 1000 > abs(power_w) * (end_ms - max(start_ms, now.utc_ms)):
            return Refused.TOO_SHORT
        return Refused.TOO_MANY if self._is_full(now) else None

    def request(self, *, energy_wh: int, power_w: int, start_ms: int, end_ms: int, now: Now) -> str:
        """Ask for what an operator wants (`refusal` says None); returns the mRID of the request."""
        return self._add(
            energy_wh=energy_wh, power_w=power_w, start_ms=max(start_ms, now.utc_ms), end_ms=end_ms, now=now
        )

    def cancel(self, mrid: str, now: Now) -> bool:
        """Take a request back; its grant is not followed from now on. False: there is none that stands."""
        request = self._requests.get(mrid)
        if request is None or not request.is_live:
            return False
        self._put(replace(request, cancelled_ms=now.utc_ms))
        return True

    def renew(self, lfdi: str) -> None:
        """We are another device to the server now: what stands is asked for again, what was taken back is not known."""
        self._lfdi = lfdi
        for item in list(self._requests.values()):
            if item.is_live and item.is_told:
                self._put(replace(item, is_told=False, place=None))
            elif item.cancelled_ms is not None:
                self._put(replace(item, is_cancel_told=True))

    def _ask(self, slot_ms: int, wanted: Sequence[ChargingNeed], before: FlowRequest | None, now: Now) -> None:
        power_w = sum(self._powers_w[need.evse_id] for need in wanted)
        possible_wh = power_w * (slot_ms - now.utc_ms) // (HOUR_S * 1000)
        energy_wh = min(sum(need.energy_wh for need in wanted), possible_wh)
        if energy_wh <= 0:
            return
        if before is not None:
            grown_wh = energy_wh - before.energy_wh
            is_small = grown_wh <= max(GROWN_WH, before.energy_wh * GROWN_PERMILLE // 1000)
            if is_small or now.utc_ms - before.created_ms < REPLACE_MS:
                return  # a need that shrinks is one that is being met
            self.cancel(before.mrid, now)
        if not self._is_full(now):
            evse_ids = tuple(sorted(need.evse_id for need in wanted))
            self._add(
                energy_wh=energy_wh,
                power_w=power_w,
                start_ms=now.utc_ms,
                end_ms=slot_ms,
                now=now,
                slot_ms=slot_ms,
                evse_ids=evse_ids,
            )

    def _add(
        self,
        *,
        energy_wh: int,
        power_w: int,
        start_ms: int,
        end_ms: int,
        now: Now,
        slot_ms: int | None = None,
        evse_ids: tuple[str, ...] = (),
    ) -> str:
        self._forget_old(now)
        self._state = _State(serial=self._state.serial + 1)
        self._changed.add(STATE_KEY)
        request = FlowRequest(
            mrid=mrid_of(self._lfdi, f"flow {self._state.serial}", self._pen),
            serial=self._state.serial,
            slot_ms=slot_ms,
            evse_ids=evse_ids,
            energy_wh=energy_wh,
            power_w=power_w,
            start_ms=start_ms,
            end_ms=end_ms,
            created_ms=now.utc_ms,
        )
        self._put(request)
        return request.mrid

    def _is_full(self, now: Now) -> bool:
        return sum(item.is_live and item.end_ms > now.utc_ms for item in self._requests.values()) >= REQUESTS_MAX

    def _forget_old(self, now: Now) -> None:
        """What is long over; and of what is over the oldest, when there is much of it."""
        over = [item for item in self._requests.values() if item.end_ms <= now.utc_ms or not _is_open(item)]
        over.sort(key=lambda item: item.serial)
        too_many = max(len(over) - REQUESTS_MAX, 0)
        for place, item in enumerate(over):
            if place < too_many or item.end_ms + KEPT_MS <= now.utc_ms:
                del self._requests[item.mrid]
                self._changed.add(PREFIX + item.mrid)

    def _put(self, request: FlowRequest) -> None:
        self._requests[request.mrid] = request
        self._changed.add(PREFIX + request.mrid)

    # -- the conversation -------------------------------------------------------------------------------------------

    def errands(self, now: Now) -> tuple[Errand, ...]:
        """What the server has to be told, oldest first. What it never heard of is not cancelled there."""
        found = []
        for item in sorted(self._requests.values(), key=lambda item: item.serial):
            if item.end_ms <= now.utc_ms or item.why:
                continue
            if item.is_live and not item.is_told:
                found.append(_errand(item, POSTING, "POST", Place.FLOW_REQUESTS))
            elif item.cancelled_ms is not None and item.is_told and not item.is_cancel_told:
                method, to = ("POST", Place.FLOW_REQUESTS) if item.place is None else ("PUT", item.place)
                found.append(_errand(item, CANCELLING, method, to))
        return tuple(found)

    def done(self, event: ErrandDone) -> None:
        """The server has taken an errand of ours, or refused it for good; other errands are not ours."""
        if not event.key.startswith(KEY):
            return
        mrid, _, what = event.key.removeprefix(KEY).partition(":")
        request = self._requests.get(mrid)
        if request is None:
            return
        if what == POSTING and event.is_taken:
            self._put(replace(request, is_told=True, place=event.location))
        elif what == POSTING:
            self._put(replace(request, why=f"the server refused it: HTTP {event.status}"))
        elif event.is_taken or request.place is None:
            self._put(replace(request, is_cancel_told=True))
        else:
            self._put(replace(request, place=None))  # it takes no PUT there: post it again under its mRID

    # -- what was granted -------------------------------------------------------------------------------------------

    def plans(self, reigns: Mapping[str, Sequence[Reign[Grant]]], now: Now) -> tuple[FlowPlan, ...]:
        """Grants of requests that stand, in order of time. reigns: by mRID of a request, from the event engine."""
        found = []
        for mrid, request in self._requests.items():
            for reign in reigns.get(mrid, ()) if request.is_live else ():
                grant = reign.event.value(mrid)
                if grant is not None and grant.power_w * request.power_w >= 0:
                    found.append(
                        FlowPlan(
                            request_mrid=mrid,
                            grant_mrid=reign.event.mrid,
                            start_ms=reign.start_ms,
                            end_ms=reign.end_ms,
                            power_w=grant.power_w,
                            energy_wh=grant.energy_wh,
                            is_active=reign.start_ms <= now.utc_ms < reign.end_ms,
                        )
                    )
        return tuple(sorted(found, key=lambda plan: (plan.start_ms, plan.grant_mrid)))

    def state_of(self, request: FlowRequest, plans: Iterable[FlowPlan], now: Now) -> State:
        """Where a request stands, given the plans."""
        if request.why:
            return State.REFUSED
        if request.cancelled_ms is not None:
            return State.CANCELLED
        if any(plan.request_mrid == request.mrid for plan in plans):
            return State.GRANTED
        if request.end_ms <= now.utc_ms:
            return State.OVER
        return State.REQUESTED if request.is_told else State.WAITING

    def requests(self) -> tuple[FlowRequest, ...]:
        """Every request that is kept, oldest first."""
        return tuple(sorted(self._requests.values(), key=lambda item: item.serial))

    def told(self) -> tuple[str, ...]:
        """mRIDs of what the server may answer."""
        return tuple(mrid for mrid, request in self._requests.items() if request.is_live)

    # -- the journal ------------------------------------------------------------------------------------------------

    def changed(self) -> dict[str, bytes | None]:
        """Journal entries to be stored (None: deleted) since the last call."""
        found: dict[str, bytes | None] = {}
        for key in sorted(self._changed):
            request = self._requests.get(key.removeprefix(PREFIX))
            found[key] = (
                record.dump(self._state if key == STATE_KEY else request) if request or key == STATE_KEY else None
            )
        self._changed.clear()
        return found

    def restore(self, stored: Mapping[str, bytes]) -> tuple[Damaged, ...]:
        """Take over the journal; damaged entries are named and left out."""
        damaged = []
        for key in sorted(stored):
            try:
                if key == STATE_KEY:
                    self._state = record.load(_State, stored[key])
                elif key.startswith(PREFIX):
                    request: FlowRequest = record.load(FlowRequest, stored[key])
                    if PREFIX + request.mrid != key or not request.power_w:
                        raise ValueError(f"found the request {request.mrid} with {request.power_w} W")
                    self._requests[request.mrid] = request
            except ValueError as error:
                damaged.append(Damaged(key=key, why=str(error)))
        newest = max((item.serial for item in self._requests.values()), default=0)
        self._state = _State(serial=max(self._state.serial, newest))
        return tuple(damaged)


def flow_bound(plans: Iterable[FlowPlan]) -> Bound | None:
    """The limit on charging that active grants are: together they allow the sum. None: nothing is granted now."""
    active = [plan for plan in plans if plan.is_active and plan.power_w >= 0]
    if not active:
        return None
    first = min(active, key=lambda plan: (plan.end_ms, plan.grant_mrid))
    return Bound(
        mode=FLOW_MODE,
        power_w=sum(plan.power_w for plan in active),
        mrid=first.grant_mrid,
        began_utc_ms=max(plan.start_ms for plan in active),
        end_utc_ms=first.end_ms,
        event_end_ms=first.end_ms,
        failsafe_w=None,
        ramp_ms=0,
    )


def _is_open(request: FlowRequest) -> bool:
    """Something is still to come of it: a grant, or the end of telling that it is cancelled."""
    if request.cancelled_ms is not None:
        return request.is_told and not request.is_cancel_told
    return not request.why


def _errand(request: FlowRequest, what: str, method: str, to: Place | str) -> Errand:
    return Errand(key=f"{KEY}{request.mrid}:{what}", method=method, to=to, body=document(request))


def document(request: FlowRequest) -> r.FlowReservationRequest:
    """The resource. In whole seconds, the start rounded up and the end down: no time that is not there is asked for."""
    start_s, end_s = -(-request.start_ms // 1000), request.end_ms // 1000
    is_cancelled = request.cancelled_ms is not None
    changed_ms = request.created_ms if request.cancelled_ms is None else request.cancelled_ms
    return r.FlowReservationRequest(
        mrid=request.mrid,
        creation_s=request.created_ms // 1000,
        duration_s=min(request.duration_s, end_s - start_s, DURATION_S_MAX),
        energy_wh=request.energy_wh,
        window=r.Interval(start_s=start_s, duration_s=max(end_s - start_s, 1)),
        power_w=request.power_w,
        status=r.RequestStatus(
            changed_s=changed_ms // 1000,
            state=r.RequestState.CANCELLED if is_cancelled else r.RequestState.REQUESTED,
        ),
    )
