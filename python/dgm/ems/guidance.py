"""All that leads from a picture of the site to what the policies want: the stack, and what it is told from outside.

    SetChargingNeed ──> NeedBook + Ledger ─┐
    ReportGuard ──> guards                 ├──Snapshot──> Stack ──> Steering for the wants, caps for the core
    PutPrices ──> prices                   │
    PutFlowBlocks ──> BlockBook            │
    meter ──> History ─────────────────────┘

A part of the ems machine: it takes requests and gives effects. A site without policies and needs costs nothing here.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence

from dgm.api.config.v1.config_pb2 import DgmConfig
from dgm.api.core.v1.core_pb2 import AssetGrant
from dgm.api.ems.v1.policy_pb2 import (
    ClearChargingNeedRequest,
    ClearChargingNeedResponse,
    GuardStatement,
    ListChargingNeedsResponse,
    ListPoliciesResponse,
    PriceBlock,
    PutFlowBlocksRequest,
    PutFlowBlocksResponse,
    PutPricesRequest,
    PutPricesResponse,
    ReportGuardRequest,
    ReportGuardResponse,
    SetChargingNeedRequest,
    SetChargingNeedResponse,
)
from dgm.api.site.v1.site_pb2 import AssetType
from dgm.ems.calendar import Offset, local_at
from dgm.ems.flow_blocks import BlockBook
from dgm.ems.history import History
from dgm.ems.ledger import SLOT_MS, Ledger
from dgm.ems.limit_rules import BOUND_MAX, ID_LENGTH_MAX, invalid, out_of_range
from dgm.ems.limits import Entry, Forget, Keep
from dgm.ems.needs import NEED_TABLE, NeedBook
from dgm.ems.planner import desk as plan_desk
from dgm.ems.planner.compose import STEP_MS, Prices
from dgm.ems.policies import lpc, planner, registry, tariff
from dgm.ems.policy import WantedTarget
from dgm.ems.snapshot import (
    GUARD_SILENT_MS,
    ApiTarget,
    GuardSeen,
    LimitView,
    Price,
    Snapshot,
    Stated,
    evse_views,
    limit_view,
    net_currents,
    net_power,
    solar_views,
    storage_views,
    with_plan,
)
from dgm.ems.stack import SOURCE, Chosen, Seat, Stack
from dgm.ems.steering import NO_STEERING, CircuitCap, Steering
from dgm.machine import Now
from dgm.site.refusal import Reason, Refusal
from dgm.site.state import SiteState
from dgm.site.topology import Topology

HISTORY_TABLE = "history"
TABLES = (NEED_TABLE, HISTORY_TABLE, *plan_desk.TABLES)
"""Of the journal of the ems role, beside the limits."""

STUCK = ("nameplate", "fallback")
"""Of what the core counts an EVSE at: as much as it could take with nobody in control of it."""

PLANNER = f"{SOURCE}:{planner.POLICY.name}"
"""Its own envelope is no input of the next plan."""

PRICES_MAX = 2_000
PRICE_SOURCES_MAX = 8
PRICE_SOURCES = ("utility", "api")
PER_MWH_MAX = 10_000_000
DURATION_MS_MAX = 31 * 86_400_000

Journal = list[Keep | Forget]


class Guidance:
    """The policies of one site and what they know. offset: of local time; stopwatch: microseconds, judges slowness."""

    def __init__(self, config: DgmConfig, topology: Topology, offset: Offset, stopwatch: Callable[[], int]) -> None:
        chosen, _ = registry.chosen(config.ems.policies)
        self.stack = Stack(chosen, topology, stopwatch)
        keeps = any(one.policy.keeps_promises for one in chosen)
        self.needs = NeedBook(topology, Ledger(config, topology), is_kept=keeps)
        self.desk = _plan_desk(chosen, config, topology)
        self._topology = topology
        self._offset = offset
        self._cycle_ms = config.ems.cycle_ms
        self._guards: dict[str, GuardSeen] = {}
        self._prices: dict[str, list[Price]] = {}
        self._blocks = BlockBook(topology)
        self._tariffs = [one.params for one in chosen if isinstance(one.params, tariff.Params)]
        self._windows: tuple[int, list[Price]] = (-1, [])
        self._history = History()

    def restore(self, tables: Mapping[str, Mapping[str, bytes]], now: Now) -> Journal:
        """Take over the journal; a record that cannot be read is forgotten."""
        effects: Journal = list(self.needs.restore(tables.get(NEED_TABLE, {})))
        for key, record in tables.get(HISTORY_TABLE, {}).items():
            try:
                self._history = self._history.with_mean(int(key), int(json.loads(record)))
            except (ValueError, TypeError):
                effects.append(Forget(id=key, table=HISTORY_TABLE))
        effects += [] if self.desk is None else self.desk.restore(tables)
        return [*effects, *self._forget_old(now)]

    def steer(
        self,
        state: SiteState,
        entries: Iterable[Entry],
        targets: Mapping[int, WantedTarget],
        now: Now,
        restored_ms: int,
        grants: Iterable[AssetGrant] = (),
    ) -> tuple[Steering, Journal]:
        """One cycle of all policies: what they ask of the assets, and what must be journaled. grants: the newest."""
        if not self.stack.seats and not len(self.needs):
            return NO_STEERING, []
        self.needs.note_stuck({grant.asset_index: grant.counted_ma for grant in grants if _is_stuck(grant)})
        limits = [limit_view(entry, self._topology, now) for entry in entries]
        prices = self._prices_now(now)
        views = evse_views(state, now)
        effects = self.needs.follow(views, [*limits, *self._own_limits(now)], prices, now)
        planned = self.needs.planned()
        net_w = net_power(state, now)
        effects += self._follow_meter(net_w, now)
        snapshot = Snapshot(
            now=now,
            local=local_at(now.utc_ms, self._offset),
            cycle_ms=self._cycle_ms,
            topology=self._topology,
            net_w=net_w,
            evses=[with_plan(view, planned.get(view.asset.index)) for view in views] if planned else views,
            batteries=storage_views(state, now),
            solars=solar_views(state, now),
            limits=limits,
            prices=prices,
            blocks=self._blocks.blocks(now),
            net_ma=net_currents(state, now),
            targets={index: _api_target(target) for index, target in targets.items()},
            guards=self._guards,
            history=self._history,
            restored_mono_ms=restored_ms,
            offset=self._offset,
            plan=None if self.desk is None else self.desk.live(now),
        )
        if self.desk is not None:
            own = [one for one in self._own_limits(now, momentary_ms=STEP_MS) if one.source != PLANNER]
            effects += self.desk.see(snapshot, curtailed=_is_curtailed(state), own_limits=own)
        return self.stack.run(snapshot), effects

    def get(self, limit_id: str) -> Entry | None:
        """A cap of a policy by the id that decisions name."""
        return self.stack.book.get(limit_id)

    def policies(self, now: Now) -> ListPoliciesResponse:
        """How every policy stands."""
        return ListPoliciesResponse(policies=self.stack.statuses(now))

    def promises(self, now: Now) -> ListChargingNeedsResponse:
        """What is promised of every need."""
        return ListChargingNeedsResponse(promises=self.needs.promises(now))

    def set_need(
        self, request: SetChargingNeedRequest, entries: Iterable[Entry], now: Now
    ) -> tuple[SetChargingNeedResponse | Refusal, Journal]:
        """Take a need and say what can be promised."""
        limits = [limit_view(entry, self._topology, now) for entry in entries]
        answer = self.needs.put(request.need, [*limits, *self._own_limits(now)], self._prices_now(now), now)
        return (answer, []) if isinstance(answer, Refusal) else answer

    def clear_need(self, request: ClearChargingNeedRequest) -> tuple[ClearChargingNeedResponse | Refusal, Journal]:
        """Forget a need of this source."""
        answer = self.needs.clear(request.asset_id, request.source)
        if isinstance(answer, Refusal):
            return answer, []
        return ClearChargingNeedResponse(existed=answer is not None), answer or []

    def take_guard(self, request: ReportGuardRequest, now: Now) -> Refusal | None:
        """Take a sign of life of a guard; None: taken, `guard_answer` says what came of it after the next run."""
        if self._guard_seat(request.source) is None:
            expected = "the source that a policy `lpc` of site.yaml names as its guard"
            return invalid("source", repr(request.source), expected)
        refusal = _check_statement(request.statement) if request.HasField("statement") else None
        if refusal is not None:
            return refusal
        held = self._guards.get(request.source)
        alive = held is not None and now.mono_ms - held.heard_mono_ms < GUARD_SILENT_MS
        since_ms = held.since_mono_ms if held is not None and alive else now.mono_ms
        stated = held.stated if held is not None else None
        if request.HasField("statement"):
            stated = _stated(request.statement, 1 if stated is None else stated.number + 1, now)
        self._guards[request.source] = GuardSeen(heard_mono_ms=now.mono_ms, since_mono_ms=since_ms, stated=stated)
        return None

    def guard_answer(self, source: str) -> ReportGuardResponse:
        """Where the machine of a guard is."""
        seat = self._guard_seat(source)
        if seat is None or not isinstance(seat.memory, lpc.Memory):
            return ReportGuardResponse()
        failsafe_w = lpc.failsafe_of(seat.chosen.params, self._topology)
        return ReportGuardResponse(state=seat.memory.state, power_w=lpc.limit_of(seat.memory, failsafe_w))

    def put_prices(self, request: PutPricesRequest, now: Now) -> PutPricesResponse | Refusal:
        """Replace the prices of a source."""
        kind, _, name = request.source.partition(":")
        if kind not in PRICE_SOURCES or not 0 < len(name) <= ID_LENGTH_MAX:
            return invalid("source", repr(request.source), f"one of {', '.join(PRICE_SOURCES)}, then ':' and a name")
        if request.source not in self._prices and len(self._prices) >= PRICE_SOURCES_MAX:
            message = f"{PRICE_SOURCES_MAX} sources have stated prices already"
            return Refusal(reason=Reason.TOO_MANY, message=message, field="source")
        refusal = _check_prices(request.prices)
        if refusal is not None:
            return refusal
        prices = [_price(block, request.source) for block in request.prices]
        self._prices[request.source] = [price for price in prices if price.end_utc_ms > now.utc_ms]
        return PutPricesResponse(held=len(self._prices[request.source]))

    def put_blocks(self, request: PutFlowBlocksRequest, now: Now) -> PutFlowBlocksResponse | Refusal:
        """Replace the granted blocks of a source."""
        return self._blocks.put(request, now)

    def _guard_seat(self, source: str) -> Seat | None:
        seats = (seat for seat in self.stack.seats if isinstance(seat.chosen.params, lpc.Params))
        return next((seat for seat in seats if seat.chosen.params.guard == source), None)

    def _own_limits(self, now: Now, *, momentary_ms: int | None = None) -> list[LimitView]:
        """What the policies' caps leave to plans for hours ahead: the last of each without an end, it is renewed.

        momentary_ms: how long caps count of which their policy says neither what lasts nor what follows their lease.
        """
        held = [(seat.chosen.label, seat.held) for seat in self.stack.seats if seat.held is not None]
        return [
            LimitView(
                id=f"policy:{label}:{cap.key}",
                source=f"policy:{label}",
                circuit_index=cap.circuit_index,
                asset_index=None,
                quantity=cap.quantity,
                bound=bound,
                start_utc_ms=start_ms,
                end_utc_ms=now.utc_ms + momentary_ms if momentary_ms and _is_momentary(cap) else end_ms,
                is_pending=start_ms > now.utc_ms,
            )
            for label, targets in held
            for cap in targets.circuit_caps
            if not cap.on_each_evse
            for start_ms, end_ms, bound in cap.outlook(now.utc_ms)
        ]

    def _prices_now(self, now: Now) -> list[Price]:
        """Prices that are not over, in order of time; of the first source where several have one."""
        taken: list[Price] = []
        for source in sorted(self._prices):
            for price in self._prices[source]:
                overlaps = any(
                    one.start_utc_ms < price.end_utc_ms and price.start_utc_ms < one.end_utc_ms for one in taken
                )
                if price.end_utc_ms > now.utc_ms and not overlaps:
                    taken.append(price)
        return sorted(taken, key=lambda price: price.start_utc_ms) if taken else self._prices_of_windows(now)

    def _prices_of_windows(self, now: Now) -> list[Price]:
        """Prices of site.yaml, where nobody states any: those of the first tariff, written out once a slot."""
        slot = now.utc_ms // SLOT_MS
        if self._tariffs and self._windows[0] != slot:
            self._windows = slot, tariff.series(self._tariffs[0], now.utc_ms, self._offset)
        return self._windows[1]

    def _follow_meter(self, net_w: int | None, now: Now) -> Journal:
        self._history, closed = self._history.take(net_w, now.utc_ms)
        if closed is None:
            return []
        mean_w = self._history.means_w[closed]
        return [Keep(id=str(closed), record=json.dumps(mean_w).encode(), table=HISTORY_TABLE), *self._forget_old(now)]

    def _forget_old(self, now: Now) -> Journal:
        old = self._history.outdated(now.utc_ms)
        self._history = self._history.without(old)
        return [Forget(id=str(start), table=HISTORY_TABLE) for start in old]


def _is_momentary(cap: CircuitCap) -> bool:
    return cap.lasting is None and cap.failsafe is None and not cap.ahead


def _is_stuck(grant: AssetGrant) -> bool:
    """Whether an EVSE counts at more than it is granted because nothing proves that it would obey."""
    return grant.HasField("current_ma") and grant.counted_reason in STUCK and grant.counted_ma > grant.current_ma


def _api_target(target: WantedTarget) -> ApiTarget:
    return ApiTarget(id=target.id, source=target.source, value=target.value, end_mono_ms=target.end_ms)


def _check_statement(statement: GuardStatement) -> Refusal | None:
    if not statement.active:
        if statement.HasField("power_w") or statement.HasField("duration_ms"):
            return invalid("statement.power_w", "a limit that is not active", "active, or neither limit nor duration")
        return None
    if not statement.HasField("power_w"):
        return invalid("statement.power_w", "nothing", "W, 0 or more, of an active limit")
    if not 0 <= statement.power_w <= BOUND_MAX:
        return out_of_range("statement.power_w", statement.power_w, f"0..{BOUND_MAX}")
    if statement.HasField("duration_ms") and not 0 < statement.duration_ms <= DURATION_MS_MAX:
        return out_of_range("statement.duration_ms", statement.duration_ms, f"1..{DURATION_MS_MAX} ms, or absent")
    return None


def _stated(statement: GuardStatement, number: int, now: Now) -> Stated:
    return Stated(
        number=number,
        at_mono_ms=now.mono_ms,
        power_w=statement.power_w if statement.active else None,
        duration_ms=statement.duration_ms if statement.HasField("duration_ms") else None,
    )


def _check_prices(blocks: Sequence[PriceBlock]) -> Refusal | None:
    if len(blocks) > PRICES_MAX:
        return out_of_range("prices", len(blocks), f"at most {PRICES_MAX} blocks")
    end_ms = 0
    for index, block in enumerate(blocks):
        where = f"prices[{index}]"
        if block.start_utc_ms < max(1, end_ms):
            return invalid(f"{where}.start_utc_ms", str(block.start_utc_ms), "a time after the block before it")
        if not 0 < block.duration_ms <= DURATION_MS_MAX:
            return out_of_range(f"{where}.duration_ms", block.duration_ms, f"1..{DURATION_MS_MAX} ms")
        if abs(block.per_mwh) > PER_MWH_MAX:
            return out_of_range(f"{where}.per_mwh", block.per_mwh, f"-{PER_MWH_MAX}..{PER_MWH_MAX}")
        end_ms = block.start_utc_ms + block.duration_ms
    return None


def _price(block: PriceBlock, source: str) -> Price:
    end_ms = block.start_utc_ms + block.duration_ms
    return Price(start_utc_ms=block.start_utc_ms, end_utc_ms=end_ms, per_mwh=block.per_mwh, source=source)


def _plan_desk(chosen: Sequence[Chosen], config: DgmConfig, topology: Topology) -> plan_desk.PlanDesk | None:
    """The planner of a site that lists its policy."""
    params = next((one.params for one in chosen if one.policy is planner.POLICY), None)
    if not isinstance(params, planner.Params):
        return None
    prices = Prices(
        export_price=params.export_price,
        wear_price=params.wear_price,
        peak_price=params.peak_price,
        peak_w=params.peak_w,
    )
    settings = plan_desk.Settings(
        interval_s=params.interval_s, deadline_s=params.deadline_s, horizon_h=params.horizon_h, prices=prices
    )
    return plan_desk.PlanDesk(config, topology, settings)


def _is_curtailed(state: SiteState) -> bool:
    """Whether any PV is granted less than its rating."""
    pv = (asset for asset in state.topology.assets if asset.type == AssetType.ASSET_TYPE_PV)
    grants = ((asset, state.grant(asset.index)) for asset in pv)
    return any(
        grant is not None and grant.HasField("power_w") and -grant.power_w < (asset.power_max_w or 0)
        for asset, grant in grants
    )
