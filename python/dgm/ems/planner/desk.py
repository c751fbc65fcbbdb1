"""When to plan, from what, and how long a plan counts: the planner's side of the ems machine.

    Snapshot, each cycle ──see──> quarter means of load and PV, index of the sun (journaled)
    every interval ──ask──> Problem ──(another process)──> Plan ──take──> held, a lease of three intervals

One question at a time; an answer that comes late, belongs to another question or does not fit is dropped, counted and
named. Without a plan in force nothing is asked of anybody: the site runs as it does without a planner. Pure.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from dgm.api.config.v1.config_pb2 import DgmConfig
from dgm.api.site.v1.site_pb2 import AssetType
from dgm.ems.flexibility import stores
from dgm.ems.history import History
from dgm.ems.limits import Forget, Keep
from dgm.ems.planner.blockers import short_cars
from dgm.ems.planner.compose import STEP_MS, Facts, Outlook, Prices, compose, facts_of
from dgm.ems.planner.forecast import Place, SunIndex, load_forecast, solar_forecast, solar_persistence
from dgm.ems.planner.problem import Plan, Problem
from dgm.ems.planner.wire import misfit
from dgm.ems.snapshot import LimitView, Snapshot
from dgm.machine import Now
from dgm.site.topology import Topology

LOAD_TABLE = "plan-load"
SOLAR_TABLE = "plan-solar"
TABLES = (LOAD_TABLE, SOLAR_TABLE)

LEASE_INTERVALS = 3
ANSWER_GRACE_MS = 5_000
"""Beyond its deadline an answer is not waited for any more."""

PEAK_DAYS = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How a site plans. interval_s: between two plans; deadline_s: for one; horizon_h: how far it looks."""

    interval_s: int = 300
    deadline_s: int = 20
    horizon_h: int = 24
    prices: Prices = field(default_factory=Prices)


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A problem that is being solved, and until when its answer is of use."""

    problem: Problem
    end_ms: int


class PlanDesk:
    """The planner of one site."""

    def __init__(self, config: DgmConfig, topology: Topology, settings: Settings) -> None:
        self.settings = settings
        self.counts: Counter[str] = Counter()
        self.trouble = "no plan has been asked for yet"
        self._facts: Facts = facts_of(config, topology, stores(config))
        self._place = _place(config)
        self._rated_w = sum(
            asset.power_max_w or 0 for asset in topology.assets if asset.type == AssetType.ASSET_TYPE_PV
        )
        self._means = {LOAD_TABLE: History(), SOLAR_TABLE: History()}
        self._index = SunIndex()
        self._snapshot: Snapshot | None = None
        self._own_limits: Sequence[LimitView] = ()
        self._question: Question | None = None
        self._next_ms = 0
        self._plan: Plan | None = None
        self._problem: Problem | None = None
        self._taken_ms = 0

    def restore(self, tables: Mapping[str, Mapping[str, bytes]]) -> list[Forget]:
        """Take over the quarter means of the journal; what cannot be read is forgotten."""
        forgotten = []
        for table in TABLES:
            for key, record in tables.get(table, {}).items():
                try:
                    self._means[table] = self._means[table].with_mean(int(key), int(json.loads(record)))
                except (ValueError, TypeError):
                    forgotten.append(Forget(id=key, table=table))
        return forgotten

    def see(self, snapshot: Snapshot, *, curtailed: bool, own_limits: Sequence[LimitView] = ()) -> list[Keep | Forget]:
        """Take one picture. curtailed: PV is held below what it could give, so that it shows no sky.

        own_limits: caps of the site's other policies as far as plans are to count on them.
        """
        self._snapshot, self._own_limits = snapshot, own_limits
        utc_ms = snapshot.now.utc_ms
        if snapshot.solar_w is not None and self._place is not None:
            self._index = self._index.seen(
                snapshot.solar_w, rated_w=self._rated_w, utc_ms=utc_ms, place=self._place, curtailed=curtailed
            )
        effects: list[Keep | Forget] = []
        for table, seen_w in ((LOAD_TABLE, snapshot.building_w), (SOLAR_TABLE, snapshot.solar_w)):
            self._means[table], closed = self._means[table].take(seen_w, utc_ms)
            if closed is None:
                continue
            record = json.dumps(self._means[table].means_w[closed]).encode()
            effects.append(Keep(id=str(closed), record=record, table=table))
            old = self._means[table].outdated(utc_ms)
            self._means[table] = self._means[table].without(old)
            effects += [Forget(id=str(start), table=table) for start in old]
        return effects

    def ask(self, now: Now) -> Problem | None:
        """The next problem, when it is time and none is being solved."""
        if self._question is not None and now.mono_ms >= self._question.end_ms:
            self._question, self.trouble = None, f"no answer within {self.settings.deadline_s} s"
            self.counts["late"] += 1
        if self._snapshot is None or self._question is not None or now.mono_ms < self._next_ms:
            return None
        if self._snapshot.net_w is None:
            self.trouble = "the meter of the connection point is not seen"
            return None
        self._next_ms = now.mono_ms + self.settings.interval_s * 1000
        snapshot = self._snapshot
        problem = compose(
            snapshot, self._outlook(snapshot), self._facts, self._prices(snapshot), own_limits=self._own_limits
        )
        end_ms = now.mono_ms + self.settings.deadline_s * 1000 + ANSWER_GRACE_MS
        self._question = Question(problem=problem, end_ms=end_ms)
        self.counts["asked"] += 1
        return problem

    def take(self, answer: Plan | str, now: Now) -> bool:
        """An answer, or why there is none; whether it holds from now on."""
        asked, self._question = self._question, None
        if asked is None:
            self.counts["stray"] += 1
            return False
        wrong = answer if isinstance(answer, str) else misfit(answer, asked.problem)
        if wrong is not None or isinstance(answer, str):
            self.trouble = str(wrong)
            self.counts["failed"] += 1
            return False
        self._plan, self._problem, self._taken_ms, self.trouble = answer, asked.problem, now.mono_ms, ""
        self.counts["held"] += 1
        return True

    @property
    def lease_ms(self) -> int:
        """How long a plan counts from when it was taken."""
        return LEASE_INTERVALS * self.settings.interval_s * 1000

    def live(self, now: Now) -> Plan | None:
        """The plan in force."""
        if self._plan is None or now.mono_ms - self._taken_ms >= self.lease_ms:
            return None
        return self._plan if self._plan.step_at(now.utc_ms) is not None else None

    def newest(self) -> tuple[Plan, Problem] | None:
        """The newest plan with what it was made from, in force or not."""
        return None if self._plan is None or self._problem is None else (self._plan, self._problem)

    def short(self) -> dict[str, tuple[int, str]]:
        """Cars whose need does not fit into the newest plan: Wh that are missing, and what leaves no room."""
        if self._plan is None or self._problem is None:
            return {}
        plan, problem = self._plan, self._problem
        return {problem.cars[at].asset_id: (plan.short_wh[at], why) for at, why in short_cars(problem, plan).items()}

    def age_ms(self, now: Now) -> int:
        """Since the newest plan was taken."""
        return now.mono_ms - self._taken_ms

    def _outlook(self, snapshot: Snapshot) -> Outlook:
        utc_ms, steps = snapshot.now.utc_ms, self.settings.horizon_h * 3_600_000 // STEP_MS
        load_w = load_forecast(
            self._means[LOAD_TABLE].means_w, utc_ms=utc_ms, now_w=snapshot.building_w, steps=steps, step_ms=STEP_MS
        )
        if self._place is None:
            solar_w = solar_persistence(self._means[SOLAR_TABLE].means_w, utc_ms=utc_ms, steps=steps, step_ms=STEP_MS)
        else:
            solar_w = solar_forecast(
                self._index, rated_w=self._rated_w, utc_ms=utc_ms, place=self._place, steps=steps, step_ms=STEP_MS
            )
        return Outlook(load_w=load_w, solar_w=solar_w)

    def _prices(self, snapshot: Snapshot) -> Prices:
        """The peak of the last 30 days is paid for anyway."""
        given = self.settings.prices
        since_ms = snapshot.now.utc_ms - PEAK_DAYS * 86_400_000
        seen_w = max((mean for start, mean in snapshot.history.means_w.items() if start >= since_ms), default=0)
        return Prices(
            export_price=given.export_price,
            wear_price=given.wear_price,
            peak_price=given.peak_price,
            peak_w=max(given.peak_w, seen_w),
        )


def _place(config: DgmConfig) -> Place | None:
    site = config.site
    if not site.HasField("latitude_udeg"):
        return None
    return Place(latitude_deg=site.latitude_udeg / 1e6, longitude_deg=site.longitude_udeg / 1e6)
