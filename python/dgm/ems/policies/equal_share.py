"""Every car counts alike: weights and strata that site.yaml gives to EVSEs are set aside.

weight w, stratum s of site.yaml ──> factor 1/w, stratum 1
"""

from __future__ import annotations

from dataclasses import dataclass

from dgm.ems.snapshot import EvseView, Snapshot
from dgm.ems.stack import Policy
from dgm.ems.steering import FACTOR_MAX, Share, Targets

STRATUM = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Params:
    """None."""


def decide(snapshot: Snapshot, params: Params) -> Targets:
    """One share for every EVSE: always the same ones."""
    del params
    shares = snapshot.memory if isinstance(snapshot.memory, tuple) else tuple(_share(view) for view in snapshot.evses)
    return Targets(shares=shares, memory=shares)


def _share(view: EvseView) -> Share:
    return Share(
        asset_index=view.asset.index,
        factor=max(1 / max(1, view.asset.weight), 1 / FACTOR_MAX),
        stratum=STRATUM,
        why="every car counts alike",
    )


POLICY = Policy(
    name="equal_share",
    title="every car counts alike, whatever weights and strata site.yaml gives",
    params=Params,
    decide=decide,
)
