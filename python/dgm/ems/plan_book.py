"""The plans of all needs, kept by a little work each cycle: nobody waits for a plan of everybody.

    newcomer ──enter──> into what the sheet in force has left, at once
    a change, or a minute ──begin──> a new sheet ──advance, some entries a cycle──> in force

A sheet may be a trial: whether one more car can be promised if everybody is entered anew. It comes into force only
where it leaves no promise short. Pure; whose need is open, and who is promised, the caller knows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dgm.ems.ledger import Demand, Ledger, Plan, Sheet
from dgm.ems.snapshot import LimitView, Price

ENTRIES_MIN = 12
"""Entries that any cycle can afford: a few tenths of a millisecond each."""

CYCLES_MAX = 16
"""A sheet of everybody takes no more cycles than this."""

OVERTAKEN_MAX = 2
"""So often in turn a sheet is dropped because it would leave a promise short that was made meanwhile."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What a sheet is made under."""

    limits: Sequence[LimitView]
    prices: Sequence[Price]
    utc_ms: int
    stuck_ma: Mapping[int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """A sheet is done. trial: the car that it was made for; is_in_force: it counts, and that car is promised.

    is_overtaken: it does not count, for it would leave a promise short that was made meanwhile: to be made again.
    """

    trial: int | None
    is_in_force: bool
    is_overtaken: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class _Job:
    """A sheet that is being made; firm: cars that were promised when it was begun."""

    sheet: Sheet
    trial: int | None
    firm: Sequence[int]


class PlanBook:
    """Plans by asset index, and the sheet that they stand in."""

    def __init__(self, ledger: Ledger) -> None:
        self.plans: Mapping[int, Plan] = {}
        self._ledger = ledger
        self._sheet: Sheet | None = None
        self._job: _Job | None = None
        self._changed: dict[int, Demand | None] = {}
        self._left = ENTRIES_MIN
        self._overtaken = 0

    @property
    def is_made(self) -> bool:
        """Whether there is a sheet in force."""
        return self._sheet is not None

    @property
    def is_busy(self) -> bool:
        """Whether a sheet is being made."""
        return self._job is not None

    def affords(self, entries: int) -> bool:
        """Whether this cycle has so much work left."""
        return entries <= self._left

    def new_cycle(self, needs: int) -> None:
        """Each cycle does as much as lets a sheet of everybody be done within CYCLES_MAX."""
        self._left = max(ENTRIES_MIN, -(-needs // CYCLES_MAX))

    def enter(self, demand: Demand) -> Plan | None:
        """A newcomer, or another need of a car: into what is left. None: there is no sheet yet."""
        if self._sheet is None:
            return None
        self._left -= 1
        self._changed[demand.asset.index] = demand
        return self._sheet.add(demand)

    def drop(self, asset_index: int) -> None:
        """A car that is gone leaves its room to newcomers."""
        self._changed[asset_index] = None
        if self._sheet is not None:
            self._sheet.drop(asset_index)

    def begin(self, demands: Sequence[Demand], setting: Setting, trial: int | None = None) -> None:
        """Begin a new sheet; one that is being made is given up. trial: a car of `demands`, entered as promised."""
        sheet = self._ledger.sheet(demands, setting.limits, setting.prices, setting.utc_ms, setting.stuck_ma)
        firm = [demand.asset.index for demand in demands if demand.is_firm]
        self._job = _Job(sheet=sheet, trial=trial, firm=firm)
        self._changed = {}

    def advance(self) -> Finished | None:
        """Do what this cycle has left of work; None: nothing came to its end."""
        job = self._job
        if job is None:
            return None
        self._left -= job.sheet.advance(max(0, self._left))
        if not job.sheet.is_done:
            return None
        self._job = None
        if job.trial is not None and any(job.sheet.plans[index].short_wh for index in job.firm):
            return Finished(trial=job.trial, is_in_force=False)
        if self._is_overtaken(job.sheet) and self._overtaken < OVERTAKEN_MAX:
            self._overtaken += 1
            return Finished(trial=job.trial, is_in_force=False, is_overtaken=True)
        self._overtaken = 0
        self._sheet, self.plans = job.sheet, job.sheet.plans
        return Finished(trial=job.trial, is_in_force=True)

    def _is_overtaken(self, sheet: Sheet) -> bool:
        """Bring a sheet up to what has changed since it was begun; whether that leaves short what is covered now."""
        overtaken = False
        for index, demand in self._changed.items():
            sheet.drop(index)
            if demand is not None:
                was_covered = index in self.plans and not self.plans[index].short_wh
                is_short = sheet.add(demand).short_wh > 0
                overtaken = overtaken or (was_covered and is_short)
        return overtaken
