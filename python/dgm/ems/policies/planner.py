"""The plan as wishes: a target for each battery, weights for cars, and, where a peak is paid for, an envelope above it.

    Plan in force ──┬──> battery: the planned import of this step, followed within the planned direction
                    ├──> cars: weight by planned power; none in a step in which the plan leaves them out
                    └──> connection point: the plan's own highest import, an economic cap without a failsafe

No plan, no wish. The plan is made in another process from forecasts; every limit holds without it and against it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from dgm.api.ems.v1.ems_pb2 import Quantity
from dgm.ems.planner.problem import Plan
from dgm.ems.policies.parameters import flag, number
from dgm.ems.snapshot import EvseView, Snapshot
from dgm.ems.stack import Policy
from dgm.ems.steering import FACTOR_MAX, AssetCap, AssetWant, CircuitCap, Share, Targets

ENVELOPE_PERMILLE = 1_020
"""Of the plan's highest import: what the cap allows above it, so that it does not fight the noise of a load."""

STILL_W = 500
"""A battery whose plan is nearer to nothing than this stands still."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Params:
    """How the site plans. Prices are of the site's currency."""

    interval_s: int = number("seconds between two plans", low=60, high=900, default=300)
    deadline_s: int = number("seconds that one plan may take", low=1, high=60, default=20)
    horizon_h: int = number("hours that a plan looks ahead", low=1, high=48, default=24)
    export_price: int = number("what exported energy earns, per MWh", low=-1_000_000, high=1_000_000, default=0)
    wear_price: int = number("what wear costs, per MWh in and out of a battery", low=0, high=1_000_000, default=20)
    peak_price: int = number("what the highest import costs, per MW", low=0, high=100_000_000, default=0)
    peak_w: int = number("import in W that is paid for anyway", low=0, high=1_000_000_000, default=0)
    shift: bool = flag("cars with slack wait for a cheaper step", default=True)


def decide(snapshot: Snapshot, params: Params) -> Targets:
    """What the step of the plan that is now asks for."""
    plan = snapshot.plan
    step = None if plan is None else plan.step_at(snapshot.now.utc_ms)
    if plan is None or step is None:
        return Targets()
    cars = {car_id: plan.car_w[at][step] for at, car_id in enumerate(plan.car_ids)}
    views = [view for view in snapshot.evses if view.has_car and view.asset.id in cars]
    places = {car_id: at for at, car_id in enumerate(plan.car_ids)}
    waiting = [(view, places[view.asset.id]) for view in views if params.shift and not cars[view.asset.id]]
    caps = [_waits(view, at, plan) for view, at in waiting if _may_wait(view, at, plan)]
    return Targets(
        circuit_caps=[_envelope(plan, snapshot)] if params.peak_price else [],
        asset_caps=caps,
        wants=list(_batteries(snapshot, plan, step)),
        shares=list(_shares(views, cars)),
    )


def _batteries(snapshot: Snapshot, plan: Plan, step: int) -> Iterator[AssetWant]:
    planned_total_w = sum(powers[step] for powers in plan.battery_w)
    net_w, storage_w = snapshot.net_w, snapshot.storage_w
    for view in snapshot.batteries:
        if view.asset.id not in plan.battery_ids:
            continue
        planned_w = plan.battery_w[plan.battery_ids.index(view.asset.id)][step]
        want_w = planned_w
        if abs(planned_w) < STILL_W:
            want_w = 0
        elif net_w is not None and storage_w is not None and planned_total_w:
            # What the forecast missed is taken up by the battery, as long as that does not turn it round.
            total_w = plan.import_w[step] - (net_w - storage_w)
            want_w = total_w * planned_w // planned_total_w
        charge_w = view.asset.charge_max_w if view.asset.charge_max_w is not None else view.asset.power_max_w or 0
        low_w, high_w = (0, charge_w) if planned_w >= 0 else (-(view.asset.power_max_w or 0), 0)
        why = f"planned {planned_w / 1000:g} kW, import {plan.import_w[step] / 1000:g} kW"
        yield AssetWant(asset_index=view.asset.index, value=min(max(want_w, low_w), high_w), why=why)


def _shares(views: list[EvseView], cars: dict[str, int]) -> Iterator[Share]:
    """Weights in proportion to planned power; a car that the plan leaves out of this step gets what is left over."""
    mean_w = sum(cars[view.asset.id] for view in views) / max(1, len(views))
    for view in views:
        planned_w = cars[view.asset.id]
        factor = planned_w / mean_w if mean_w else 1.0
        why = f"planned {planned_w / 1000:g} kW now"
        bounded = min(max(factor, 1 / FACTOR_MAX), FACTOR_MAX)
        yield Share(asset_index=view.asset.index, factor=bounded, keeps_on=planned_w > 0, why=why)


def _may_wait(view: EvseView, at: int, plan: Plan) -> bool:
    """Of a car without anything in this step: all of its need is in others, and the capacity ledger has nothing now.

    The plan hopes for its forecasts, the ledger for nothing: what was promised is not put off for a better price.
    """
    in_ledger_now = view.planned is None or view.planned.now_ma > 0
    return not in_ledger_now and plan.short_wh[at] == 0


def _waits(view: EvseView, at: int, plan: Plan) -> AssetCap:
    first = next((step for step, power in enumerate(plan.car_w[at]) if power), None)
    when = "" if first is None else f", from {(first * plan.step_ms) // 60_000} min after the plan on"
    return AssetCap(asset_index=view.asset.index, high=0, why=f"planned for a cheaper step{when}")


def _envelope(plan: Plan, snapshot: Snapshot) -> CircuitCap:
    highest_w = max(0, *plan.import_w)
    return CircuitCap(
        key="envelope",
        circuit_index=snapshot.topology.root.index,
        quantity=Quantity.QUANTITY_NET_IMPORT,
        bound=highest_w * ENVELOPE_PERMILLE // 1000,
        why=f"highest import of the plan, {highest_w / 1000:g} kW",
    )


POLICY = Policy(
    name="planner",
    title="a plan over the hours to come: prices, peak and needs, as weights, a battery target and an envelope",
    params=Params,
    decide=decide,
)
