"""The DER gateway as one pure machine: conversation, schedule and metering wired to each other.

    HTTP answers, site updates, Tick ──> DerCore ──> Keep (journal), Request (HTTP)    bounds(), wanted(): for the EMS
                                          discovery -> scheduler -> discovery (responses)
                                          site view -> metering  -> discovery (readings, DERStatus)

`now.utc_ms` is our own clock; the offset to the server's is added here. A Keep comes before every Request that tells
the server something which the journal has to remember. The shell executes effects in order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import assert_never

from dgm.api.config.v1.config_pb2 import DgmConfig
from dgm.api.der.v1.profile_pb2 import PinRule, UtilityProfile
from dgm.api.ems.v1.grid_pb2 import GridMode
from dgm.der import plant
from dgm.der import resource as r
from dgm.der.conversation import Conversation
from dgm.der.core_events import (
    CancelFlow,
    CoreEffect,
    CoreEvent,
    FlowEvent,
    GridSeen,
    Keep,
    NeedsSeen,
    RequestFlow,
    SiteLost,
    SiteSeen,
    on_clock,
)
from dgm.der.curves import Asked, curve_modes
from dgm.der.demand_response import demand_response_mode
from dgm.der.discovery import (
    Answer,
    ClockMeasured,
    CurveKnown,
    Discovery,
    DiscoveryEffect,
    DiscoveryEvent,
    NoAnswer,
    Notified,
    Request,
    SendReadings,
    SendResponse,
    SetKnown,
)
from dgm.der.effect import Effect, Ramps, Ratings, Target, Wanted, acts_on, targets
from dgm.der.envelope import LOAD_CONTROL, SWITCHES, Bound, bounds
from dgm.der.facade_writes import Availability, as_resource
from dgm.der.fitness import GridChecked
from dgm.der.flow_requests import FlowPlan, FlowRequest, FlowRequests, Refused, State, flow_bound
from dgm.der.further import FurtherSets, Reply
from dgm.der.grid_side import Entries, GridSide
from dgm.der.identity import sfdi_of
from dgm.der.letter import ErrandDone
from dgm.der.load_control import evse_rating_w, load_bound
from dgm.der.metering import AVERAGES, STORED, Metered, Metering, mirrors, reading_of
from dgm.der.mode import Bitmap, bits_of
from dgm.der.outbox import POST_S_DEFAULT, Report
from dgm.der.prices import EnergyPrice
from dgm.der.profile import STANDARD
from dgm.der.reporting import Reporting
from dgm.der.restart import OFFSET_KEY, offset_of, put_aside, schedule_of
from dgm.der.schedule import ControlSegment
from dgm.der.scheduler import Damaged, OptIn, OptOut, ProgramsKnown, Respond, ResponseTaken, Scheduler
from dgm.der.walk import Identity
from dgm.machine import Now, Tick

UNKNOWN_URL = "https://dns-sd.invalid/dcap"
"""Of a server that is still to be found; nothing is sent there (RFC 6761)."""


class DerCore:
    """Everything the der role decides for one device. `draw(n)` gives a uniform integer in 0..n.

    conversation: that of an aggregator, which takes the answers and tells what is for this device (`told`).
    """

    def __init__(
        self,
        config: DgmConfig,
        lfdi: str,
        draw: Callable[[int], int],
        *,
        profile: UtilityProfile = STANDARD,
        conversation: Conversation | None = None,
    ) -> None:
        der = config.der
        self._config = der
        self._lfdi = lfdi
        self._is_csip_aus = bool(profile.csip_aus_namespace)
        self._tells_demand_response = self._is_csip_aus and der.demand_response_modes
        self._profile = profile
        self._draw = draw
        self._url = der.url or UNKNOWN_URL
        self._shared = conversation
        self._permitted = plant.grid_functions(config)
        stores_energy = plant.has_battery(config) and profile.stored_energy_readings
        self._mirrored = AVERAGES | STORED if stores_energy else AVERAGES
        self._mirrors = mirrors(lfdi, der.pen, self._mirrored)
        self.discovery = self._conversation()
        base = acts_on(has_battery=plant.has_battery(config), is_ours=not config.ems.third_party)
        self._grid = GridSide(base, self._permitted, url=self._url, max_w=der.site_rating_w)
        self._server_now = Now(mono_ms=0, utc_ms=0)
        self.scheduler = Scheduler(draw, profile=profile, acts_on=self.acts_on)
        self.reporting = Reporting(config, profile, self.acts_on)
        self._ramps = Ramps()
        self._effect = Effect()
        self._evse_w = evse_rating_w(config)
        self.further = FurtherSets(profile, draw, lfdi, has_loads=self._evse_w > 0)
        self.flows = FlowRequests(lfdi, der.pen, plant.evse_powers_w(config))
        self._metering = Metering(
            lambda quantity: self.discovery.post_rate_s(self._mirrors[quantity].mrid), self._mirrors.keys()
        )
        self._offset_ms = 0
        self.damaged: tuple[Damaged, ...] = ()
        """Journal entries that could not be used at the start."""
        self.availability: Availability | None = None
        """What a third-party EMS says that the plant has in reserve, put here by the facade; None: nobody says."""
        self.is_informed = False
        """The schedule is one that the server gave, now or before a restart: limits that it lacks may be deleted."""

    @property
    def site(self) -> plant.SiteView:
        """What is seen of the site."""
        return self.reporting.site

    @property
    def acts_on(self) -> tuple[str, ...]:
        """Modes that have an effect here."""
        return self._grid.acts_on

    @property
    def offset_ms(self) -> int:
        """The server's clock less ours."""
        return self._offset_ms

    def identify(self, lfdi: str, now: Now) -> list[CoreEffect]:
        """Another certificate, so another device to the server: a new conversation. The schedule stays, and runs on."""
        self._lfdi = self.further.lfdi = lfdi
        self._mirrors = mirrors(lfdi, self._config.pen, self._mirrored)
        self.discovery = self._conversation()
        self.flows.renew(lfdi)
        return [*self._say_owed(now), *self.handle(Tick(), now)]

    def locate(self, url: str, now: Now) -> list[CoreEffect]:
        """The server is there now: a new conversation. The schedule stays, and runs on."""
        self._url = self._grid.url = url
        self.discovery = self._conversation()
        return [*self._say_owed(now), *self.handle(Tick(), now)]

    def _conversation(self) -> Discovery:
        der, profile = self._config, self._profile
        identity = Identity(
            url=self._url,
            lfdi=self._lfdi,
            sfdi=sfdi_of(self._lfdi),
            pin=int(der.pin) if der.pin else None,
            poll_s=der.poll_s,
            is_pin_required=profile.pin == PinRule.PIN_RULE_REQUIRED,
            curve_modes=curve_modes(self._permitted),
            subscribes=bool(der.notify.url) and self._shared is None,
        )
        return Discovery(
            identity,
            self._draw,
            mirrors=self._mirrors.values(),
            in_band=der.in_band_registration,
            post_s=profile.post_s or POST_S_DEFAULT,
            notification_url=der.notify.url or None,
            conversation=self._shared,
        )

    def told(self, effects: Iterable[DiscoveryEffect], now: Now) -> list[CoreEffect]:
        """Take what a shared conversation has for this device; effects are to be executed in order."""
        found = [out for effect in effects for out in self._discovered(effect, now)]
        return self._kept_first([*found, *self._advance(now)])

    def restore(self, stored: Mapping[str, bytes], now: Now) -> list[CoreEffect]:
        """Take over the journal and say again what the server has not taken.

        Damaged entries are named in `damaged` and put aside. Then is_informed stays False until the server has told
        its schedule: a limit that is missing here may be one of them, so nothing is deleted at the EMS.
        """
        damaged = list(self.scheduler.restore(schedule_of(stored)))
        match offset_of(stored):
            case Damaged() as unread:
                damaged.append(unread)
            case int() as offset_ms:
                self._offset_ms = offset_ms
        self.is_informed = bool(schedule_of(stored)) and not damaged
        damaged += [*self.further.restore(stored), *self.reporting.restore(stored), *self.flows.restore(stored)]
        damaged += self._grid.restore(stored)
        self._act_on()
        self.damaged = tuple(damaged)
        aside = [Keep(entries=put_aside(damaged, stored))] if damaged else []
        return [*aside, *self._say_owed(now), *self.handle(Tick(), now)]

    def handle(self, event: CoreEvent, now: Now) -> list[CoreEffect]:
        """Take one event; effects are to be executed in order."""
        server_now = self._server(now)
        effects: list[CoreEffect] = []
        match event:
            case Answer() | NoAnswer() | Notified():
                effects += self._converse(event, now)
            case SiteSeen():
                self.reporting.seen(event.update, server_now, lambda: self.bounds(now))
                effects += self._metered(self._metering.observe(self.reporting.site.values(), server_now), now)
            case SiteLost():
                self.reporting.lost()
                effects += self._metered(self._metering.observe({}, server_now), now)
            case GridSeen():
                effects += self._follow(event.functions)
            case GridChecked():
                self._grid.take_verdict(event)
            case OptOut() | OptIn():
                effects += [
                    out for respond in self.scheduler.handle(event, server_now) for out in self._respond(respond, now)
                ]
            case NeedsSeen() | RequestFlow() | CancelFlow():
                self._flow(on_clock(event, self._offset_ms), server_now)
            case Tick():
                pass
            case _:
                assert_never(event)
        effects += self._advance(now)
        if isinstance(event, Tick | SiteLost):
            self.reporting.follow(self.bounds(now), server_now)
        return self._kept_first(effects)

    def wake_time(self) -> int | None:
        """Monotonic ms of the next thing to do."""
        parts = (self.discovery, self.scheduler, self.further, self._metering)
        times = [part.wake_time() for part in parts]
        due_ms, last = self._grid.fitness.wake_ms(), self._server_now
        times.append(None if due_ms is None else last.mono_ms + max(due_ms - last.utc_ms, 1))
        return min((time for time in times if time is not None), default=None)

    def bounds(self, now: Now) -> dict[str, Bound]:
        """What the EMS is to hold at the last handled `now`, by mode; what load control leaves beside them."""
        at_ms, ratings = self._server(now).utc_ms, self._ratings()
        found = bounds(self.scheduler, at_ms, max_w=ratings.max_w, charge_w=ratings.charge_w)
        granted = flow_bound(self.flow_plans(now))
        found |= {} if granted is None else {granted.mode: granted}
        settled = self._ramps.settle(found, self.reporting.site.measured(), ratings, at_ms)
        load = load_bound(self.further.loads(), self._evse_w)
        return settled if load is None else {**settled, LOAD_CONTROL: load}

    def flow_plans(self, now: Now) -> tuple[FlowPlan, ...]:
        """What the utility has granted to requests that stand, on the server's clock."""
        return self.flows.plans(self.further.reservations(self.flows.told()), self._server(now))

    def flow_state(self, request: FlowRequest, plans: Iterable[FlowPlan], now: Now) -> State:
        """Where a request stands, given the plans at `now`."""
        return self.flows.state_of(request, plans, self._server(now))

    def flow_refusal(self, event: RequestFlow, now: Now) -> Refused | None:
        """Why an operator's request is not taken; None: it is."""
        start_ms, end_ms = event.start_ms + self._offset_ms, event.end_ms + self._offset_ms
        return self.flows.refusal(
            energy_wh=event.energy_wh, power_w=event.power_w, start_ms=start_ms, end_ms=end_ms, now=self._server(now)
        )

    def _flow(self, event: FlowEvent, server_now: Now) -> None:
        match event:
            case NeedsSeen():
                self.flows.needs(event.needs, server_now)
            case RequestFlow():
                self.flows.request(
                    energy_wh=event.energy_wh,
                    power_w=event.power_w,
                    start_ms=event.start_ms,
                    end_ms=event.end_ms,
                    now=server_now,
                )
            case CancelFlow():
                self.flows.cancel(event.mrid, server_now)
            case _:
                assert_never(event)

    def wanted(self, now: Now) -> dict[str, Wanted]:
        """Targets of PV and batteries at `now`, by asset."""
        return self._effect.wanted(
            self._ruling(), self.reporting.site.units(), self._ratings(), self._server(now).utc_ms
        )

    def prices(self) -> tuple[EnergyPrice, ...]:
        """What energy from the grid costs, as far ahead as the utility says, on our own clock."""
        known, ahead_ms = self.further.energy_prices(), self._offset_ms
        return tuple(
            replace(price, start_ms=price.start_ms - ahead_ms, end_ms=price.end_ms - ahead_ms) for price in known
        )

    def grid(self) -> dict[str, Asked]:
        """What is asked of inverters beside power at the last handled `now`, by mode."""
        return self._grid.asks(self._ruling())

    def curves(self) -> dict[str, r.DERCurve]:
        """The curves of what rules, as far as they were fetched, by the href that names them."""
        return self._grid.curves(row.value for row in self._ruling().values())

    def unchecked(self) -> dict[bytes, GridMode]:
        """Modes in force or to come that the EMS is to judge (`GridChecked`), by their content."""
        return self._grid.unchecked(self.scheduler)

    def targets(self) -> dict[str, Target]:
        """Target modes that rule at the last handled `now`."""
        return targets(self._ruling(), self._ratings())

    def _ruling(self) -> dict[str, ControlSegment]:
        """What rules each mode, a delta as the target that it means."""
        return self._grid.resolved(self.scheduler.ruling())

    def _ratings(self) -> Ratings:
        return Ratings(
            max_w=self._config.site_rating_w,
            charge_w=self._config.battery_charge_rating_w,
            gradient=self.scheduler.default_gradient_permyriad_s(),
        )

    def _server(self, now: Now) -> Now:
        return replace(now, utc_ms=now.utc_ms + self._offset_ms)

    def _advance(self, now: Now) -> list[CoreEffect]:
        """Let time pass in every part."""
        server_now = self._server_now = self._server(now)
        effects = [
            effect for respond in self.scheduler.handle(Tick(), server_now) for effect in self._respond(respond, now)
        ]
        effects += self._refuse_unfit(now)
        effects += self._reply(self.further.advance(server_now), now)
        measured = self.reporting.site.plant_now()
        effects += _kept(self._grid.note_starts(self.scheduler.ruling(), measured, server_now.utc_ms))
        effects += self._metered(self._metering.advance(server_now), now)
        effects += self._converse(self._report(server_now), now)
        return effects

    def _refuse_unfit(self, now: Now) -> list[CoreEffect]:
        """What no inverter can follow is told, before it starts where that is known; then starts that had to wait."""
        at = self._server(now)
        responds = [
            out for one in self._grid.unfit(self.scheduler, at.utc_ms) for out in self.scheduler.handle(one, at)
        ]
        responds += self._grid.released(self.scheduler)
        return [effect for respond in responds for effect in self._respond(respond, now)]

    def _report(self, server_now: Now) -> Report:
        report = self.reporting.report(
            server_now,
            gradient=self.scheduler.default_gradient_permyriad_s(),
            is_stopped=self._is_stopped(),
            is_remote=any(not row.is_default for row in self.scheduler.ruling().values()),
            nmi=self._config.nmi if self._is_csip_aus else "",
            demand_response=demand_response_mode(self.scheduler.ruling()) if self._tells_demand_response else None,
        )
        if self.availability is not None:
            report = replace(report, availability=as_resource(self.availability, server_now.utc_ms // 1000))
        return replace(report, errands=(*report.errands, *self.flows.errands(server_now)))

    def _is_stopped(self) -> bool:
        ruling = self.scheduler.ruling()
        return any(mode in ruling and ruling[mode].value.on is False for mode in SWITCHES)

    def _converse(self, event: DiscoveryEvent, now: Now) -> list[CoreEffect]:
        return [out for effect in self.discovery.handle(event, now) for out in self._discovered(effect, now)]

    def _discovered(self, effect: DiscoveryEffect, now: Now) -> Iterable[CoreEffect]:
        match effect:
            case Request():
                return [effect]
            case ClockMeasured():
                self._offset_ms = effect.offset_ms
                return [Keep(entries=((OFFSET_KEY, str(effect.offset_ms).encode()),))]
            case ProgramsKnown():
                self.is_informed = self.is_informed or bool(effect.programs)
                responds = self.scheduler.handle(effect, self._server(now))
                return [out for respond in responds for out in self._respond(respond, now)]
            case ResponseTaken():
                self.scheduler.handle(effect, self._server(now))
                more = self._say_owed(now) if self.discovery.wants_responses() else []
                return [*self._reply(self.further.taken(effect, self._server(now)), now), *more]
            case ErrandDone():
                self.reporting.done(effect)
                self.flows.done(effect)
                return []
            case CurveKnown():
                return _kept(self._grid.take_curve(effect))
            case SetKnown():
                return self._reply(self.further.listed(effect.function_set, effect.sources, self._server(now)), now)
            case _:
                assert_never(effect)

    def _follow(self, functions: frozenset[int]) -> list[CoreEffect]:
        changed = _kept(self._grid.follow(functions))
        if changed:
            self._act_on()
        return changed

    def _act_on(self) -> None:
        """The utility is told, and judged events are judged by it."""
        self.scheduler.follow(self.acts_on)
        self.reporting.act_on(self.acts_on)

    def _say_owed(self, now: Now) -> list[CoreEffect]:
        """Every response that the server has not taken, in order; what is queued already is not queued twice."""
        effects = [effect for respond in self.scheduler.owed() for effect in self._respond(respond, now)]
        return effects + self._reply(self.further.owed(), now)

    def _respond(self, respond: Respond, now: Now) -> list[CoreEffect]:
        if self._grid.has_to_wait(respond, self.scheduler):
            return []
        response = r.DERControlResponse(
            created_s=respond.created_s,
            lfdi=self._lfdi,
            status=respond.status,
            subject=respond.mrid,
            modes=bits_of(respond.lanes, Bitmap.MODES) or None,
            modes_2=bits_of(respond.lanes, Bitmap.MODES_2) or None,
        )
        return self._converse(SendResponse(reply_to=respond.reply_to, response=response), now)

    def _reply(self, replies: Iterable[Reply], now: Now) -> list[CoreEffect]:
        sends = [SendResponse(reply_to=reply_to, response=response) for reply_to, response in replies]
        return [effect for send in sends for effect in self._converse(send, now)]

    def _metered(self, done: list[Metered], now: Now) -> list[CoreEffect]:
        if not done:
            return []
        pairs = tuple((self._mirrors[item.quantity].mrid, self._reading(item)) for item in done)
        return self._converse(SendReadings(readings=pairs), now)

    def _reading(self, item: Metered) -> r.MirrorMeterReading:
        return reading_of(item, self._mirrors[item.quantity])

    def _kept_first(self, effects: list[CoreEffect]) -> list[CoreEffect]:
        """The journal before the wire: what was decided must outlive us before anybody hears of it."""
        changed = self.scheduler.changed() if self.is_informed else {}
        changed |= self.further.changed() | self.reporting.changed() | self.flows.changed()
        return [Keep(entries=tuple(changed.items())), *effects] if changed else effects


def _kept(entries: Entries) -> list[CoreEffect]:
    return [Keep(entries=entries)] if entries else []
