"""What a price is the price of, and what a kWh from the grid costs when.

    RateComponent + ReadingType ──priced──> lane      price, powers of ten ──per_mwh──> currency per MWh
    reigns of every lane ──series──> EnergyPrice(s) in order of time, for the EMS

Components of one tariff add up (energy, network, levies) and never contend; tariffs contend by what they price, and of
those that price energy at an instant the one of the highest priority counts. Prices that step with consumption count
with their first step: what was consumed in the billing period is known to the utility alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise

from dgm.der import resource as r
from dgm.der.function_sets import Price
from dgm.der.schedule import Reign

MICRO_DIGITS = 6
MEGA_DIGITS = 6
POWER_OF_TEN_MAX = 9
"""A price outside 10^-9..10^9 of its currency is none."""
PER_MWH_MAX = 10_000_000
"""What the EMS takes for a price of energy, either way."""
WATT_HOURS, FORWARD, ENERGY = 72, 1, 12
"""UomType, FlowDirectionType (delivered to the customer) and KindType (S18)."""
NOT_STATED = 0
ELECTRICITY = (1, 2)
"""CommodityType: metered at the secondary or at the primary side."""
PARTS_OF_A_SITE = 1 << 2 | 1 << 3 | 1 << 6
"""RoleFlags of what is less than the premises: an electric vehicle, a DER, a submeter."""
BLOCKS_MAX = 2000
"""Prices told to the EMS, the next ones."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EnergyPrice:
    """What energy from the grid costs for a while: of the tariff's currency per MWh."""

    start_ms: int
    end_ms: int
    per_mwh: int


def priced(component: r.RateComponent, kind: r.ReadingType | None, url: str) -> str:
    """What a component prices, in the same words for every tariff; of an unknown ReadingType its URL is all we have."""
    if kind is None:
        return url
    words = f"commodity {kind.commodity or NOT_STATED} flow {kind.flow_direction or NOT_STATED}"
    words += f" kind {kind.kind or NOT_STATED} uom {kind.uom or NOT_STATED} role {component.role_flags:#06x}"
    limits = (component.flow_rate_start, component.flow_rate_end)
    ranged = ["" if one is None else f"{one.value}e{one.power_of_ten}" for one in limits]
    return words if limits == (None, None) else f"{words} rate {'..'.join(ranged)}"


def is_energy(component: r.RateComponent, kind: r.ReadingType | None) -> bool:
    """It prices the active energy that the site as a whole takes from the grid."""
    return (
        kind is not None
        and kind.uom == WATT_HOURS
        and (kind.commodity or NOT_STATED) in (NOT_STATED, *ELECTRICITY)
        and (kind.flow_direction or NOT_STATED) in (NOT_STATED, FORWARD)
        and (kind.kind or NOT_STATED) in (NOT_STATED, ENERGY)
        and not component.role_flags & PARTS_OF_A_SITE
    )


def micro(price: int | None, power_of_ten: int) -> int | None:
    """Millionths of the currency, half away from zero up; None for no price, or one beyond all sense."""
    return None if abs(power_of_ten) > POWER_OF_TEN_MAX else scaled(price, power_of_ten + MICRO_DIGITS)


def per_mwh(price: int | None, power_of_ten: int, unit_power_of_ten: int) -> int | None:
    """Of the currency per MWh, where the unit is 10^unit_power_of_ten Wh; None as for `micro`."""
    if max(abs(power_of_ten), abs(unit_power_of_ten)) > POWER_OF_TEN_MAX:
        return None
    found = scaled(price, power_of_ten + MEGA_DIGITS - unit_power_of_ten)
    return found if found is not None and abs(found) <= PER_MWH_MAX else None


def scaled(price: int | None, power_of_ten: int) -> int | None:
    """price x 10^power_of_ten, half away from zero."""
    if price is None:
        return None
    scale = 10 ** abs(power_of_ten)
    if power_of_ten >= 0:
        return int(price * scale)
    rounded = (2 * abs(price) + scale) // (2 * scale)
    return int(rounded if price >= 0 else -rounded)


def series(reigns: Iterable[tuple[str, Reign[Price]]]) -> tuple[EnergyPrice, ...]:
    """What energy from the grid costs, from the reigns of every lane; where nothing is known nothing is said."""
    found: list[EnergyPrice] = []
    for start_ms, end_ms, cost in _sums(list(_rows(reigns))):
        last = found[-1] if found else None
        if last is not None and last.end_ms == start_ms and last.per_mwh == cost:
            found[-1] = EnergyPrice(start_ms=last.start_ms, end_ms=end_ms, per_mwh=cost)
        elif len(found) < BLOCKS_MAX:
            found.append(EnergyPrice(start_ms=start_ms, end_ms=end_ms, per_mwh=cost))
    return tuple(found)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Row:
    """One component's price over one reign. rank: the priority of its tariff."""

    start_ms: int
    end_ms: int
    rank: tuple[int, str]
    per_mwh: int


def _rows(reigns: Iterable[tuple[str, Reign[Price]]]) -> Iterator[_Row]:
    for lane, reign in reigns:
        price = reign.event.value(lane)
        first = price.blocks[0].per_mwh if price is not None and price.blocks else None
        if price is not None and first is not None and reign.start_ms < reign.end_ms:
            rank = (reign.event.primacy, price.tariff)
            yield _Row(start_ms=reign.start_ms, end_ms=reign.end_ms, rank=rank, per_mwh=first)


def _sums(rows: list[_Row]) -> Iterator[tuple[int, int, int]]:
    """(start, end, sum over the tariff that counts) between each two moments at which a price changes."""
    marks = sorted({edge for row in rows for edge in (row.start_ms, row.end_ms)})
    waiting = sorted(rows, key=lambda row: row.start_ms, reverse=True)
    live: list[_Row] = []
    for start_ms, end_ms in pairwise(marks):
        live = [row for row in live if row.end_ms > start_ms]
        while waiting and waiting[-1].start_ms <= start_ms:
            live.append(waiting.pop())
        if live:
            best = min(row.rank for row in live)
            yield start_ms, end_ms, sum(row.per_mwh for row in live if row.rank == best)
