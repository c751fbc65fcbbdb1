"""What was promised is kept: a car gets, before all others, at least what the capacity ledger planned for it.

    Planned (ledger) ──> in a slot of its plan: stratum 0, weight in proportion to the plan, kept on

In one stratum with weights in proportion to plans that fit together, max-min gives each at least its plan: the lowest
level cannot be below 1. A car that is ahead of its plan, or waits for its slot, shares like every other.
"""

from __future__ import annotations

from dataclasses import dataclass

from dgm.ems.policies.parameters import number
from dgm.ems.snapshot import EvseView, Planned, Snapshot
from dgm.ems.stack import Policy
from dgm.ems.steering import FACTOR_MAX, Share, Targets

USUAL_MA = 16_000
"""A plan of this current gets the weight of one car."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Params:
    """stratum: of a car in a slot of its plan; lower is served before."""

    stratum: int = number("stratum of a car in a slot of its plan; lower is served before", low=0, high=1000, default=0)


def decide(snapshot: Snapshot, params: Params) -> Targets:
    """Shares for the cars whose plan has something for them now."""
    due = [(view, view.planned) for view in snapshot.evses if view.has_car and view.planned is not None]
    return Targets(shares=[_share(view, planned, params) for view, planned in due if planned.now_ma > 0])


def _share(view: EvseView, planned: Planned, params: Params) -> Share:
    factor = planned.now_ma / (USUAL_MA * max(1, view.asset.weight))
    kept = "promised" if planned.is_promised else "at risk"
    return Share(
        asset_index=view.asset.index,
        factor=min(max(factor, 1 / FACTOR_MAX), FACTOR_MAX),
        stratum=params.stratum,
        keeps_on=True,
        why=f"{planned.due_wh} Wh due, {kept}: plan {planned.now_ma} mA now",
    )


POLICY = Policy(
    name="promise",
    title="energy by departure: cars get at least what the capacity ledger planned for them",
    params=Params,
    decide=decide,
    keeps_promises=True,
)
