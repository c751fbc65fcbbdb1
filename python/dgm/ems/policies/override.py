"""Operator override: what a person asks of an asset goes before all policies that rank below, until its end.

    targets of the API (PutTarget, each a lease) ──> the same want, alone: caps, wants and shares of lower ranks are
    void

Limits and the caps of policies on circuits hold all the same. Without this policy a target replaces wants, but the caps
of policies on its asset bind it.
"""

from __future__ import annotations

from dataclasses import dataclass

from dgm.ems.policies.parameters import items, word
from dgm.ems.snapshot import Snapshot
from dgm.ems.stack import Policy
from dgm.ems.steering import AssetWant, Targets


@dataclass(frozen=True, slots=True, kw_only=True)
class Params:
    """sources: as targets name theirs; one that ends with ':' is every source of its kind."""

    sources: tuple[str, ...] = items(
        "whose targets override: 'api:console', or 'api:' for all",
        expected="a source",
        parse=word,
        default=("api:",),
    )


def decide(snapshot: Snapshot, params: Params) -> Targets:
    """The targets of these sources, each alone on its asset."""
    found = [
        AssetWant(
            asset_index=index,
            value=target.value,
            why=f"{target.source} asks for it ({target.id}), for {_left_s(snapshot, target.end_mono_ms)} s more",
        )
        for index, target in sorted(snapshot.targets.items())
        if any(target.source == one or (one.endswith(":") and target.source.startswith(one)) for one in params.sources)
    ]
    return Targets(wants=found, alone=frozenset(want.asset_index for want in found))


def _left_s(snapshot: Snapshot, end_mono_ms: int) -> int:
    return max(0, end_mono_ms - snapshot.now.mono_ms) // 1000


POLICY = Policy(
    name="override",
    title="targets of the API go before all policies that rank below, until they end",
    params=Params,
    decide=decide,
    lease_ms=3_000,
)
