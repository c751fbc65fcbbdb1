"""Tariff: charge when energy is cheap, hold back when it is dear.

    prices stated over the API (PutPrices), else the windows of site.yaml ──series──> Snapshot.prices
    cheap: batteries fill up          dear: batteries serve the load, cars without a plan now get their minimum or pause

A promised car goes by its plan: the capacity ledger takes the cheapest slots that still keep all promises.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from dgm.ems.calendar import Offset, local_at
from dgm.ems.ledger import SLOT_MS
from dgm.ems.policies.parameters import ParameterError, flag, items, number, text
from dgm.ems.policies.storage import fill, rest, serve
from dgm.ems.policies.windows import PRICED_EXPECTED, Window, priced
from dgm.ems.snapshot import EvseView, Price, Snapshot
from dgm.ems.stack import Policy
from dgm.ems.steering import AssetCap, AssetWant, Targets

PER_MWH_MAX = 10_000_000
SOURCE = "site:tariff"
AHEAD_MS = 48 * 3_600_000
"""How far ahead the windows are written out as prices."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Params:
    """Prices are in the site's currency per MWh, which is thousandths of it per kWh."""

    windows: tuple[Window, ...] = items(
        "prices at times of day; the first that holds counts", expected=PRICED_EXPECTED, parse=priced, default=()
    )
    otherwise: int | None = number(
        "price at all other times; none: not known then", low=-PER_MWH_MAX, high=PER_MWH_MAX, default=None
    )
    dear_from: int = number("from this price on energy is dear", low=-PER_MWH_MAX, high=PER_MWH_MAX)
    cheap_to: int = number("up to this price energy is cheap", low=-PER_MWH_MAX, high=PER_MWH_MAX)
    battery: bool = flag("batteries fill up when it is cheap and serve the load when it is dear", default=True)
    reserve_permille: int = number(
        "state of charge below which no battery serves the load", low=0, high=1000, default=200
    )
    evse: str = text(
        "cars when it is dear: as they like, their minimum, or pause",
        choices=("free", "minimum", "pause"),
        default="minimum",
    )

    def __post_init__(self) -> None:
        if self.cheap_to >= self.dear_from:
            raise ParameterError("cheap_to", str(self.cheap_to), f"below dear_from, which is {self.dear_from}")


def decide(snapshot: Snapshot, params: Params) -> Targets:
    """What the price of this moment asks for; no price known: nothing."""
    price = next((one for one in snapshot.prices if one.start_utc_ms <= snapshot.now.utc_ms < one.end_utc_ms), None)
    if price is None:
        return Targets()
    left_min = (price.end_utc_ms - snapshot.now.utc_ms) // 60_000
    named = f"{price.per_mwh} per MWh for {left_min} min ({price.source})"
    if price.per_mwh >= params.dear_from:
        why = f"dear: {named}"
        caps = [_cap(view, params, why) for view in snapshot.evses if view.has_car and params.evse != "free"]
        return Targets(wants=_dear(snapshot, params, why), asset_caps=caps)
    if price.per_mwh <= params.cheap_to and params.battery:
        return Targets(wants=fill(snapshot, f"cheap: {named}"))
    return Targets()


def _dear(snapshot: Snapshot, params: Params, why: str) -> list[AssetWant]:
    if not params.battery:
        return []
    served = serve(snapshot, reserve_permille=params.reserve_permille, charges=True, why=why)
    return served or rest(snapshot, why)


def _cap(view: EvseView, params: Params, why: str) -> AssetCap:
    planned_ma = 0 if view.planned is None else view.planned.now_ma
    if planned_ma:
        most_ma = max(planned_ma, view.asset.current_min_ma)
        return AssetCap(asset_index=view.asset.index, high=most_ma, why=f"{why}; its plan {planned_ma} mA")
    return AssetCap(
        asset_index=view.asset.index, high=view.asset.current_min_ma if params.evse == "minimum" else 0, why=why
    )


def series(params: Params, utc_ms: int, offset: Offset) -> list[Price]:
    """The windows written out as prices, quarter by quarter and joined where they are equal, two days ahead."""
    prices: list[Price] = []
    for start_ms, per_mwh in _quarters(params, utc_ms // SLOT_MS * SLOT_MS, offset):
        last = prices[-1] if prices else None
        if last is not None and last.end_utc_ms == start_ms and last.per_mwh == per_mwh:
            start_ms, prices = last.start_utc_ms, prices[:-1]
        end_ms = start_ms + SLOT_MS if last is None or start_ms != last.start_utc_ms else last.end_utc_ms + SLOT_MS
        prices.append(Price(start_utc_ms=start_ms, end_utc_ms=end_ms, per_mwh=per_mwh, source=SOURCE))
    return prices


def _quarters(params: Params, begin_ms: int, offset: Offset) -> Iterator[tuple[int, int]]:
    for start_ms in range(begin_ms, begin_ms + AHEAD_MS, SLOT_MS):
        local = local_at(start_ms, offset)
        found = next((one.value for one in params.windows if one.holds(local)), params.otherwise)
        if found is not None:
            yield start_ms, found


POLICY = Policy(
    name="tariff",
    title="charge when energy is cheap, hold back when it is dear: times of day or a series of prices",
    params=Params,
    decide=decide,
)
