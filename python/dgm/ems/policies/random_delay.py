"""Random delay: at moments when many sites would change their load at once, each EVSE waits a time of its own.

    price changes, or power or communication is back ──> every EVSE keeps what it has for 0..max_s s, then follows

The delay is the same for the same EVSE, moment and seed. Ranks below nothing that must act at once: limits bind in the
core, and an override ranks above it. Source of the times: the UK's Electric Vehicles (Smart Charge Points) Regulations.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field

from dgm.ems.policies.parameters import number, text
from dgm.ems.snapshot import EvseView, Snapshot
from dgm.ems.stack import Policy
from dgm.ems.steering import AssetWant, Targets


@dataclass(frozen=True, slots=True, kw_only=True)
class Params:
    """Of the site."""

    max_s: int = number(
        "s, the longest delay; the regulations: 600 unless set up to 1800", low=0, high=1800, default=600
    )
    seed: str = text("makes the delays of this site its own; its serial number, for example", default="dgm")


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """An EVSE that waits. value_ma: what it keeps meanwhile. is_start: after a return of power or communication."""

    until_ms: int
    value_ma: int
    is_start: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """What was seen last, and who waits, by asset index."""

    price: int | None = None
    restored_ms: int | None = None
    holds: Mapping[int, Hold] = field(default_factory=dict)


def decide(snapshot: Snapshot, params: Params) -> Targets:
    """Every EVSE that waits keeps what it has."""
    held = snapshot.memory if isinstance(snapshot.memory, Memory) else Memory()
    now_ms = snapshot.now.mono_ms
    price = _price(snapshot)
    holds = {index: hold for index, hold in held.holds.items() if now_ms < hold.until_ms}
    if snapshot.restored_mono_ms != held.restored_ms:
        for view in snapshot.evses:
            holds[view.asset.index] = _hold(view, snapshot, params, value_ma=0, is_start=True)
    elif price != held.price and held.price is not None and price is not None:
        for view in (view for view in snapshot.evses if view.has_car):
            holds[view.asset.index] = _hold(view, snapshot, params, value_ma=view.grant_ma, is_start=False)
    for view in snapshot.evses:
        hold = holds.get(view.asset.index)
        # One that draws already was not stopped by what has ended: to stop it now would be a change of load.
        if hold is not None and hold.is_start and (view.power_w or 0) > 0:
            del holds[view.asset.index]
    wants = [
        AssetWant(
            asset_index=view.asset.index,
            value=min(hold.value_ma, view.asset.current_max_ma or 0),
            why=f"waits {(hold.until_ms - now_ms + 999) // 1000} s more of its random delay",
        )
        for view in snapshot.evses
        if (hold := holds.get(view.asset.index)) is not None
    ]
    memory = Memory(price=price, restored_ms=snapshot.restored_mono_ms, holds=holds)
    return Targets(wants=wants, alone=frozenset(want.asset_index for want in wants), memory=memory)


def delay_ms(seed: str, asset_id: str, moment: int, max_s: int) -> int:
    """The delay of one EVSE at one moment: uniform over 0..max_s s."""
    digest = hashlib.sha256(f"{seed}\0{asset_id}\0{moment}".encode()).digest()
    return int.from_bytes(digest[:8], "big") % (max_s * 1000 + 1)


def _hold(view: EvseView, snapshot: Snapshot, params: Params, *, value_ma: int, is_start: bool) -> Hold:
    after_ms = delay_ms(params.seed, view.asset.id, snapshot.now.utc_ms // 60_000, params.max_s)
    return Hold(until_ms=snapshot.now.mono_ms + after_ms, value_ma=value_ma, is_start=is_start)


def _price(snapshot: Snapshot) -> int | None:
    now_ms = snapshot.now.utc_ms
    return next((one.per_mwh for one in snapshot.prices if one.start_utc_ms <= now_ms < one.end_utc_ms), None)


POLICY = Policy(
    name="random_delay",
    title="each EVSE waits a random time of its own at changes of price and after a return of power",
    params=Params,
    decide=decide,
)
