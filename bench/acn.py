"""Demand met by `dgm.ems.policies.two_pass` with the core's sharing, in a charging simulator that is not ours.

    acnportal: site model, cars, plant, its own check of every schedule <──grants── two_pass + _core.allocate

One policy, one setting, at every capacity; no forecast, but each car's departure and energy, as the simulator's own
policies have them. `--baselines` runs those (FCFS, EDF, LLF, round robin) at three-phase 10 kW in the same run: they
must give the digits that were published for them. Any schedule that the simulator calls invalid ends the run.

It runs in an environment of its own: see bench/README.md. Exit 1: a bar is missed.
"""

from __future__ import annotations

import argparse
import gzip
import json
import sys
import warnings
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

from acnportal import acnsim, algorithms
from acnportal.acnsim.interface import SessionInfo
from acnportal.algorithms import BaseAlgorithm

from acn_rows import groups, station_problem, trunk_problem
from dgm import _core
from dgm.ems.policies.two_pass import Ask, Session, decide
from dgm.ems.problem import Answer, Column

PERIOD_MIN = 5
VOLTAGE_V = 208
CAPACITIES_KW = (10, 20, 30, 40, 45, 50)
BARS = {"three-phase 10 kW": 51.0, "three-phase 30 kW": 90.5, "mean of 40 and 45 kW": 98.6, "single-phase 10 kW": 58.8}
PUBLISHED = {"FCFS": 34.653411, "EDF": 36.937452, "LLF": 36.816079, "RR": 43.846730}
"""Demand met, %, three-phase 10 kW: acnportal-experiments, notebook 2.1, cell 24, column `min`."""
LLF_TIMES = 20
"""A decision takes at most this part of one of LLF."""


class TwoPass(BaseAlgorithm):
    """The policy and the core behind the interface of the simulator's own policies."""

    def __init__(self) -> None:
        super().__init__()
        self.max_recompute = 1
        self._stations: dict[str, int] | None = None

    def schedule(self, active_sessions: list[SessionInfo]) -> dict[str, list[float]]:
        """Rates in A for the next period, one per car."""
        if self._stations is None:
            self._learn()
        cars = [self._session(info) for info in active_sessions]
        caps_ma = decide(cars, self._groups, self._share, PERIOD_MIN * 60.0)
        asked = [0] * len(self._stations)
        for info, cap_ma in zip(active_sessions, caps_ma, strict=True):
            asked[self._stations[info.station_id]] = cap_ma
        granted_ma = Answer.from_bytes(_core.allocate(self._problem.caps_to_bytes(asked))).values_ma
        return {info.station_id: [granted_ma[self._stations[info.station_id]] / 1_000] for info in active_sessions}

    def _learn(self) -> None:
        network = self.interface.infrastructure_info()
        self._stations = {station: index for index, station in enumerate(network.station_ids)}
        self._group = groups(network)
        self._groups = max(self._group) + 1
        self._voltages = [float(voltage) for voltage in network.voltages]
        self._max_ma = [int(float(pilot) * 1_000) for pilot in network.max_pilot]
        self._problem, self._trunk = station_problem(network), trunk_problem(network)

    def _session(self, info: SessionInfo) -> Session:
        station = self._stations[info.station_id]
        charge_mas = info.remaining_demand * 3.6e9 / self._voltages[station]
        left_s = max(1, info.estimated_departure - info.current_time) * PERIOD_MIN * 60.0
        return Session(
            group=self._group[station], charge_mas=charge_mas, left_s=left_s, rate_max_ma=self._max_ma[station]
        )

    def _share(self, asks: list[Ask]) -> list[int]:
        columns = []
        for ask in asks:
            columns += [Column(cap_ma=ask.urgent_ma, stratum=1), Column(cap_ma=ask.more_ma, stratum=2)]
        values_ma = Answer.from_bytes(_core.allocate(self._trunk.to_bytes(columns))).values_ma
        return [urgent + more for urgent, more in zip(values_ma[::2], values_ma[1::2], strict=True)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One month. decision_us: median over decisions with a car."""

    site: str
    kw: int
    policy: str
    demand_met_percent: float
    decision_us: float
    decision_mean_us: float


def month(file: Path, site: str, kw: int, policy: str) -> Result:
    """Runs the month of the file under one policy."""
    scheduler = algorithm(policy)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        events = acnsim.EventQueue.from_json(json.loads(gzip.decompress(file.read_bytes())))
        warnings.filterwarnings("error", message="Invalid schedule.*")
        simulator = acnsim.Simulator(
            network(site, kw), scheduler, events, datetime(2019, 3, 1, tzinfo=UTC), period=PERIOD_MIN, verbose=False
        )
        simulator.run()
    times_us = [stat["solve_time"] * 1e6 for stat in scheduler.solve_stats if stat["active_sessions"]]
    return Result(
        site=site,
        kw=kw,
        policy=policy,
        demand_met_percent=float(acnsim.proportion_of_energy_delivered(simulator)) * 100,
        decision_us=median(times_us),
        decision_mean_us=sum(times_us) / len(times_us),
    )


def network(site: str, kw: int) -> acnsim.ChargingNetwork:
    """The simulator's Caltech site, or its stations behind one single-phase limit."""
    caltech = acnsim.sites.caltech_acn(basic_evse=True, voltage=VOLTAGE_V, transformer_cap=kw)
    if site == "three-phase":
        return caltech
    return acnsim.sites.simple_acn(caltech.station_ids, voltage=VOLTAGE_V, aggregate_cap=kw)


def algorithm(policy: str) -> BaseAlgorithm:
    """By name; the simulator's own as the published notebook sets them."""
    match policy:
        case "two_pass":
            return TwoPass()
        case "FCFS":
            return algorithms.SortedSchedulingAlgo(algorithms.first_come_first_served)
        case "EDF":
            return algorithms.SortedSchedulingAlgo(algorithms.earliest_deadline_first)
        case "LLF":
            return algorithms.SortedSchedulingAlgo(algorithms.least_laxity_first)
        case "RR":
            return algorithms.RoundRobin(algorithms.first_come_first_served)
        case _:
            raise ValueError(f"policy: expected two_pass, FCFS, EDF, LLF or RR, found {policy}")


def misses(results: list[Result]) -> list[str]:
    """The bars that these results miss, in words; empty: none."""
    found = []
    ours = {(result.site, result.kw): result for result in results if result.policy == "two_pass"}
    met = {f"{site} {kw} kW": result.demand_met_percent for (site, kw), result in ours.items()}
    pair = [met.get(f"three-phase {kw} kW") for kw in (40, 45)]
    if None not in pair:
        met["mean of 40 and 45 kW"] = sum(pair) / 2
    found += [
        f"{name}: {met[name]:.2f} %, bar {bar} %" for name, bar in BARS.items() if name in met and met[name] < bar
    ]
    for result in results:
        published = PUBLISHED.get(result.policy)
        if published is not None and abs(result.demand_met_percent - published) > 5e-7:
            found.append(f"{result.policy}: {result.demand_met_percent:.6f} %, published {published:.6f} %")
        at_10 = ours.get(("three-phase", 10))
        if result.policy == "LLF" and at_10 is not None and at_10.decision_us * LLF_TIMES > result.decision_us:
            found.append(f"decision: {at_10.decision_us:.0f} us, LLF {result.decision_us:.0f} us, bar 1/{LLF_TIMES}")
    return found


def main() -> int:
    """Runs what was asked for and prints the table; 1: a bar is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path, help="sessions: the events file of acnportal-experiments, .json.gz")
    parser.add_argument("--kw", type=int, nargs="+", default=CAPACITIES_KW, help="three-phase capacities")
    parser.add_argument("--baselines", nargs="*", choices=list(PUBLISHED), help="of the simulator; none named: all")
    parser.add_argument("--json", type=Path, help="write the results here as well")
    given = parser.parse_args()
    baselines = [] if given.baselines is None else given.baselines or list(PUBLISHED)
    runs = [("three-phase", kw, "two_pass") for kw in given.kw] + [("single-phase", 10, "two_pass")]
    runs += [("three-phase", 10, policy) for policy in baselines]
    results = []
    print(f"{'site':13} {'kW':>3} {'policy':9} {'demand met %':>12} {'decision us':>12} {'mean us':>9}")
    for site, kw, policy in runs:
        results.append(result := month(given.file, site, kw, policy))
        print(
            f"{site:13} {kw:3} {policy:9} {result.demand_met_percent:12.6f} {result.decision_us:12.0f} "
            f"{result.decision_mean_us:9.0f}",
            flush=True,
        )
    missed = misses(results)
    print("\n".join(missed) if missed else "every bar that was measured is met; no schedule was invalid")
    if given.json is not None:
        given.json.write_text(json.dumps([asdict(result) for result in results], indent=1) + "\n")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
