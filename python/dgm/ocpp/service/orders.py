"""Puts what a third-party EMS has written in force: leased limits and targets at the role that arbitrates.

    Order ──take──> pending (newest per EVSE, total, heartbeat) ──carry_out──> PutLimit, PutTarget, DeleteLimit
                         ^── not taken: tried again while its lease lasts              └──> WrittenCap, WrittenSite

Every limit intersects with those of the site, the utility and the CPOs; none raises another. A cap ends in the EVSE's
fallback, the total in the sum of them, the heartbeat takes every EVSE to its own. Release deletes all of it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import assert_never

import grpc.aio
from structlog.typing import FilteringBoundLogger

from dgm import clock
from dgm.api.ems.v1 import ems_pb2, ems_pb2_grpc
from dgm.machine import Now
from dgm.maps.writes import Contended, Ended
from dgm.ocpp.facade_writes import SOURCE, Alive, CapOrder, Order, Released, TotalOrder, source_of
from dgm.ocpp.register_values import CAP_EXPIRED, CAP_IN_FORCE, CAP_NONE, CAP_REFUSED, WrittenCap, WrittenSite, power_w
from dgm.ocpp.store import StationSettings

RPC_TIMEOUT_S = 2.0
CALLS_AT_ONCE = 32

OWN_PRIORITY = -1000
"""Of targets that only carry a weight or a permit: a target of the API with a wanted current goes before."""

HIGH_VOLTAGE_PERMILLE = 1100
"""The total falls back to the sum of the fallbacks at the highest voltage of a public grid (EN 50160), so that no EVSE
is pushed below its own fallback because the voltage is above nominal."""

TOLD_AGAIN_MS = 60_000
"""Two masters at one point are logged once in this time; every write is counted."""

RETRY_MS = 1_000
"""After something was not taken nothing is tried for so long."""

TOTAL, HEARTBEAT, RELEASE = "site/total", "site/heartbeat", "site/release"
"""Beside the ids of EVSEs, which know no '/'."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Due:
    """An order with the monotonic end of its lease; None: it has none."""

    order: CapOrder | TotalOrder | Alive | Released
    ends_ms: int | None


class Orders:
    """See the module. evses: settings of every EVSE in the order of the map. root_id: the connection point.

    voltage_mv: of EVSE n, nominal or the highest that it measures if that is more: a cap in W is turned into A by it.
    """

    def __init__(
        self,
        channel: grpc.aio.Channel,
        evses: Sequence[StationSettings],
        *,
        root_id: str,
        voltage_mv: Callable[[int], int],
        log: FilteringBoundLogger,
    ) -> None:
        self._ems = ems_pb2_grpc.EmsServiceStub(channel)
        self._evses = evses
        self._indices = {settings.asset_id: index for index, settings in enumerate(evses)}
        self._root_id = root_id
        self._voltage_mv = voltage_mv
        self._log = log
        self.caps = [WrittenCap() for _ in evses]
        self.site = WrittenSite()
        self.refused = 0
        self.fallback_w = sum(power_w(settings.fallback_ma, settings) for settings in evses)
        self._pending: dict[str, _Due] = {}
        self._done: dict[str, _Due] = {}
        self._ids: dict[str, set[str]] | None = None
        self._targets: dict[str, str] = {}
        self._told_ms: dict[tuple[str, int | None], int] = {}
        self._echoed: dict[str, _Due] = {}
        self._untaken: set[str] = set()
        self._retry_ms = 0
        self._life = 0
        """Of the arbitrating role: what one took, the next may not know."""

    def take(self, orders: Iterable[Order], now: Now) -> set[int]:
        """Take orders to be carried out; the EVSEs whose registers changed by them."""
        touched: set[int] = set()
        for order in orders:
            match order:
                case CapOrder():
                    self._pending[self._asset(order.index)] = _Due(order=order, ends_ms=now.mono_ms + order.ttl_ms)
                    touched.add(order.index)
                case TotalOrder():
                    self._pending[TOTAL] = _Due(order=order, ends_ms=now.mono_ms + order.ttl_ms)
                case Alive():
                    self._pending[HEARTBEAT] = _Due(order=order, ends_ms=now.mono_ms + order.ttl_ms)
                case Released():
                    self._pending = {RELEASE: _Due(order=order, ends_ms=None)}
                case Ended():
                    touched |= self._ended(order)
                case Contended():
                    self._contended(order, now)
                case _:
                    assert_never(order)
        return touched

    def resync(self) -> None:
        """The arbitrating role has restarted: it kept the limits, not the targets, and may have missed something."""
        self._ids = None
        self._life += 1
        self._pending = {**self._done, **self._pending}
        self._done = {}

    async def carry_out(self) -> set[int]:
        """Put in force what waits; what is not taken waits on. The EVSEs whose registers changed by it."""
        now = clock.now()
        if now.mono_ms < self._retry_ms or (self._ids is not None and not self._pending):
            return set()
        if self._ids is None and not await self._learn(now):
            self._retry_ms = now.mono_ms + RETRY_MS
            self._refuse(now)
            return set(range(len(self._evses)))
        # A release ends what came before it, not what comes after: it goes alone.
        chosen = [RELEASE] if RELEASE in self._pending else list(self._pending)
        waiting = {key for key in chosen if self._may_wait(key, self._pending[key], now)}
        touched = self._echo(waiting)
        due = [(key, self._pending[key]) for key in chosen if key not in waiting]
        gate = asyncio.Semaphore(CALLS_AT_ONCE)
        await asyncio.gather(*(self._carry_out(key, item, gate) for key, item in due))
        released = any(isinstance(item.order, Released) for _, item in due)
        touched |= {item.order.index for _, item in due if isinstance(item.order, CapOrder)}
        return set(range(len(self._evses))) if released else touched

    def _echo(self, waiting: set[str]) -> set[int]:
        """Show renewals that wait as in force, which they are; the EVSEs that are new among them."""
        fresh = {key: self._pending[key] for key in waiting if self._echoed.get(key) is not self._pending[key]}
        for key, due in fresh.items():
            self._echoed[key] = due
            self._show(key, due, taken=True)
        return {due.order.index for due in fresh.values() if isinstance(due.order, CapOrder)}

    def _may_wait(self, key: str, due: _Due, now: Now) -> bool:
        """A renewal that changes nothing waits until half of the lease that holds is over.

        Each one is durable before it is answered, and an EMS may write every EVSE every second.
        """
        held = self._done.get(key)
        if held is None or held.ends_ms is None or due.ends_ms is None or _content(held.order) != _content(due.order):
            return False
        return 2 * (held.ends_ms - now.mono_ms) >= _ttl_ms(held.order) and due.ends_ms >= held.ends_ms

    async def _learn(self, now: Now) -> bool:
        """Which limits of this facade are held there, of an earlier life too."""
        try:
            held = (await self._ems.ListLimits(ems_pb2.ListLimitsRequest(), timeout=RPC_TIMEOUT_S)).limits
        except grpc.aio.AioRpcError:
            return False
        own = [status for status in held if status.limit.source.partition(":")[0] == SOURCE]
        own = [status for status in own if status.state != ems_pb2.LIMIT_STATE_ENDED]
        self._ids = {}
        for status in own:
            self._ids.setdefault(_key_of(status.limit), set()).add(status.limit.id)
            self._show_held(status, now)
        return True

    def _show_held(self, status: ems_pb2.LimitStatus, now: Now) -> None:
        """What was written in an earlier life of this role; its sequences are forgotten."""
        ends_ms = now.mono_ms + status.remaining_ms if status.remaining_ms >= 0 else None
        held = WrittenCap(state=CAP_EXPIRED if ends_ms is None else CAP_IN_FORCE, ends_ms=ends_ms)
        key, index = _key_of(status.limit), self._indices.get(status.limit.asset_id)
        if index is not None and self.caps[index].state == CAP_NONE:
            self.caps[index] = held
        elif key == TOTAL and self.site.total.state == CAP_NONE:
            self.site = replace(self.site, total=held)
        elif key == HEARTBEAT and self.site.heartbeat_ends_ms is None:
            self.site = replace(self.site, heartbeat_ends_ms=ends_ms, is_lost=ends_ms is None)

    async def _carry_out(self, key: str, due: _Due, gate: asyncio.Semaphore) -> None:
        async with gate:
            now, life = clock.now(), self._life
            if due.ends_ms is not None and due.ends_ms <= now.mono_ms:
                self._forget(key, due)
                return
            try:
                await self._put(key, due, now)
            except grpc.aio.AioRpcError as error:
                self._not_taken(key, due, error, now)
                return
        self._untaken.discard(key)
        if life == self._life:
            self._forget(key, due)
        if due.ends_ms is not None:
            self._done[key] = due
        self._show(key, due, taken=True)

    def _not_taken(self, key: str, due: _Due, error: grpc.aio.AioRpcError, now: Now) -> None:
        if key not in self._untaken:
            self._log.warning("written order not taken", point=key, code=error.code().name, why=error.details())
        self._untaken.add(key)
        self._retry_ms = now.mono_ms + RETRY_MS
        self.refused += 1
        self._show(key, due, taken=False)

    def _forget(self, key: str, due: _Due) -> None:
        if self._pending.get(key) is due:
            del self._pending[key]

    async def _put(self, key: str, due: _Due, now: Now) -> None:
        order = due.order
        ttl_ms = 0 if due.ends_ms is None else due.ends_ms - now.mono_ms
        match order:
            case CapOrder():
                await self._put_limit(key, order.client, self._cap_limit(order), ttl_ms)
                await self._put_target(key, order, ttl_ms)
            case TotalOrder() if order.cap_w is None:
                await self._delete(key, keep="")
            case TotalOrder():
                limit = ems_pb2.Limit(
                    circuit_id=self._root_id,
                    quantity=ems_pb2.QUANTITY_GROSS_LOAD,
                    power_w=order.cap_w,
                    failsafe_power_w=self.fallback_w * HIGH_VOLTAGE_PERMILLE // 1000,
                    reason="total cap written to the EVSE facade",
                )
                await self._put_limit(key, order.client, limit, ttl_ms)
            case Alive():
                await self._put_limit(key, order.client, self._heartbeat_limit(), ttl_ms)
            case Released():
                await self._release(order)
            case _:
                assert_never(order)

    def _cap_limit(self, order: CapOrder) -> ems_pb2.Limit:
        settings = self._evses[order.index]
        return ems_pb2.Limit(
            asset_id=settings.asset_id,
            quantity=ems_pb2.QUANTITY_CURRENT,
            current_ma=cap_ma(order, settings, self._voltage_mv(order.index)),
            failsafe_current_ma=settings.fallback_ma,
            reason="cap written to the EVSE facade",
        )

    def _heartbeat_limit(self) -> ems_pb2.Limit:
        """Bounds nothing while it lives."""
        most_ma = max((settings.current_max_ma for settings in self._evses), default=0)
        return ems_pb2.Limit(
            circuit_id=self._root_id,
            quantity=ems_pb2.QUANTITY_CURRENT,
            each_evse=True,
            current_ma=most_ma,
            failsafe_current_ma=most_ma,
            reason="heartbeat of the EMS at the EVSE facade",
        )

    async def _put_limit(self, key: str, client: str, limit: ems_pb2.Limit, ttl_ms: int) -> None:
        """The new one first, then those of other clients go: at no time does nothing hold."""
        limit.source = source_of(client)
        limit.id = f"{limit.source}:{key}"
        limit.ttl_ms = ttl_ms
        await self._ems.PutLimit(ems_pb2.PutLimitRequest(limit=limit), timeout=RPC_TIMEOUT_S)
        if self._ids is not None:
            self._ids.setdefault(key, set()).add(limit.id)
        await self._delete(key, keep=limit.id)

    async def _put_target(self, key: str, order: CapOrder, ttl_ms: int) -> None:
        settings, source = self._evses[order.index], source_of(order.client)
        if order.weight is None and order.may_pause:
            await self._delete_target(key)
            return
        target = ems_pb2.Target(
            id=f"{source}:{key}",
            source=source,
            asset_id=settings.asset_id,
            want_ma=settings.current_max_ma,
            priority=OWN_PRIORITY,
            ttl_ms=ttl_ms,
            weight=order.weight,
            keeps_on=not order.may_pause,
        )
        if self._targets.get(key) not in (None, target.id):
            await self._delete_target(key)
        await self._ems.PutTarget(ems_pb2.PutTargetRequest(target=target), timeout=RPC_TIMEOUT_S)
        self._targets[key] = target.id

    async def _delete_target(self, key: str) -> None:
        held = self._targets.pop(key, None)
        if held is not None:
            request = ems_pb2.DeleteTargetRequest(id=held, source=_source_in(held, key))
            await self._ems.DeleteTarget(request, timeout=RPC_TIMEOUT_S)

    async def _delete(self, key: str, *, keep: str) -> None:
        held = set() if self._ids is None else self._ids.get(key, set())
        for limit_id in sorted(held - {keep}):
            request = ems_pb2.DeleteLimitRequest(id=limit_id, source=_source_in(limit_id, key))
            await self._ems.DeleteLimit(request, timeout=RPC_TIMEOUT_S)
            held.discard(limit_id)

    async def _release(self, order: Released) -> None:
        for key in list(self._ids or ()):
            await self._delete(key, keep="")
        for key in list(self._targets):
            await self._delete_target(key)
        self._done.clear()
        self.caps = [WrittenCap() for _ in self._evses]
        self.site = replace(self.site, total=WrittenCap(), heartbeat_ends_ms=None, is_lost=False)
        self._log.info("released by the EMS: DGM shares by its own limits", client=order.client)

    # What the registers show.

    def _show(self, key: str, due: _Due, *, taken: bool) -> None:
        state, order = CAP_IN_FORCE if taken else CAP_REFUSED, due.order
        match order:
            case CapOrder():
                shown = WrittenCap(state=state, sequence=order.sequence, ends_ms=due.ends_ms)
                self.caps[order.index] = shown
            case TotalOrder():
                shown = WrittenCap(state=state, sequence=order.sequence, ends_ms=due.ends_ms)
                self.site = replace(self.site, total=shown)
            case Alive() if taken:
                if self.site.heartbeat_ends_ms is None:
                    self._log.info("an EMS is in control", client=order.client)
                self.site = replace(self.site, heartbeat_ends_ms=due.ends_ms, is_lost=False)
            case Alive() | Released():
                pass
            case _:
                assert_never(order)

    def _refuse(self, now: Now) -> None:
        for key, due in list(self._pending.items()):
            if due.ends_ms is not None and due.ends_ms <= now.mono_ms:
                self._forget(key, due)
            else:
                self._show(key, due, taken=False)

    def _ended(self, order: Ended) -> set[int]:
        if order.index is not None:
            self._pending.pop(self._asset(order.index), None)
            self._done.pop(self._asset(order.index), None)
            self.caps[order.index] = WrittenCap(state=CAP_EXPIRED)
            return {order.index}
        key = HEARTBEAT if order.group == "heartbeat" else TOTAL
        self._pending.pop(key, None)
        self._done.pop(key, None)
        if key == HEARTBEAT:
            self.site = replace(self.site, heartbeat_ends_ms=None, is_lost=True)
            self._log.warning("heartbeat of the EMS lost: every EVSE goes to its fallback")
        else:
            self.site = replace(self.site, total=WrittenCap(state=CAP_EXPIRED))
        return set()

    def _contended(self, order: Contended, now: Now) -> None:
        self.site = replace(self.site, contended=self.site.contended + 1)
        point = (order.group, order.index)
        told_ms = self._told_ms.get(point)
        if told_ms is None or now.mono_ms - told_ms >= TOLD_AGAIN_MS:
            self._told_ms[point] = now.mono_ms
            name = order.group if order.index is None else f"{order.group} of {self._asset(order.index)}"
            self._log.warning("two masters, the last one wins", point=name, was=order.held_by, now=order.taken_by)

    def _asset(self, index: int) -> str:
        return self._evses[index].asset_id


def cap_ma(order: CapOrder, settings: StationSettings, voltage_mv: int) -> int:
    """The tighter of the caps in A and W, rounded down; W at this voltage. Without any: the EVSE's maximum."""
    caps = [settings.current_max_ma]
    if order.cap_ma is not None:
        caps.append(order.cap_ma)
    if order.cap_w is not None:
        caps.append(order.cap_w * 1_000_000 // (voltage_mv * len(settings.phases)))
    return min(caps)


def _content(order: CapOrder | TotalOrder | Alive | Released) -> object:
    """What an order asks for, whenever and however often it does."""
    match order:
        case CapOrder():
            return replace(order, sequence=0, ttl_ms=0)
        case TotalOrder():
            return replace(order, sequence=0, ttl_ms=0)
        case Alive():
            return replace(order, ttl_ms=0)
        case Released():
            return order
        case _:
            assert_never(order)


def _ttl_ms(order: CapOrder | TotalOrder | Alive | Released) -> int:
    return 0 if isinstance(order, Released) else order.ttl_ms


def _key_of(limit: ems_pb2.Limit) -> str:
    """EVSE, TOTAL or HEARTBEAT; ids are <source>:<key>."""
    return limit.asset_id or (HEARTBEAT if limit.each_evse else TOTAL)


def _source_in(found: str, key: str) -> str:
    return found.removesuffix(f":{key}")
