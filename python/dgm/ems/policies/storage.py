"""What batteries can do for a policy: serve the load, take what is over, fill up; shared by rating.

net W without batteries ──serve──> wants: discharge what would be imported, charge what would be exported
"""

from __future__ import annotations

from collections.abc import Sequence

from dgm.ems.snapshot import Snapshot, StorageView
from dgm.ems.steering import AssetWant

STEP_W = 100
"""A want follows the load in these steps: less is noise of the meter."""


def serve(snapshot: Snapshot, *, reserve_permille: int, charges: bool, why: str) -> list[AssetWant]:
    """Wants that bring the connection point to 0 as far as the batteries can; none where not all is seen.

    Worked out from what was measured without the batteries: how far one has followed does not matter.
    """
    net_w, storage_w = snapshot.net_w, snapshot.storage_w
    if net_w is None or storage_w is None:
        return []
    without_w = net_w - storage_w
    if without_w > 0:
        return _shared(without_w, [view for view in snapshot.batteries if can_give(view, reserve_permille)], -1, why)
    takers = [view for view in snapshot.batteries if can_take(view)] if charges else []
    return _shared(-without_w, takers, 1, why)


def fill(snapshot: Snapshot, why: str) -> list[AssetWant]:
    """Wants that charge every battery at its rating until it is full."""
    takers = [view for view in snapshot.batteries if can_take(view)]
    return [AssetWant(asset_index=view.asset.index, value=rating(view, 1), why=why) for view in takers]


def rest(snapshot: Snapshot, why: str) -> list[AssetWant]:
    """Wants that let every battery be."""
    return [AssetWant(asset_index=view.asset.index, value=0, why=why) for view in snapshot.batteries]


def can_give(view: StorageView, reserve_permille: int) -> bool:
    """Whether the battery is above its reserve."""
    return view.soc_permille is not None and view.soc_permille > reserve_permille


def can_take(view: StorageView) -> bool:
    """Whether the battery is below its upper end."""
    return view.soc_permille is not None and view.soc_permille < (view.asset.soc_max_permille or 1000)


def rating(view: StorageView, sign: int) -> int:
    """W of charge (1) or discharge (-1)."""
    power_w, charge_w = view.asset.power_max_w or 0, view.asset.charge_max_w
    return power_w if sign < 0 or charge_w is None else charge_w


def _shared(total_w: int, views: Sequence[StorageView], sign: int, why: str) -> list[AssetWant]:
    whole_w = sum(rating(view, sign) for view in views)
    if not whole_w:
        return []
    total_w = min(total_w // STEP_W * STEP_W, whole_w)
    return [
        AssetWant(asset_index=view.asset.index, value=sign * (total_w * rating(view, sign) // whole_w), why=why)
        for view in views
    ]
