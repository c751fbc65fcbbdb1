"""The site that the Arbiter's benchmarks share out: feeders of 100, panels of 10 EVSEs, limits per node and phase.

20 % of the EVSEs on each single phase, 40 % on three; 16, 20 or 32 A; weights 1, 2, 4; every node may carry 35-100 % of
what is connected to it. One seed, so that all comparators share out the same site.
"""

from __future__ import annotations

import functools
import random
from array import array
from dataclasses import dataclass, field

from dgm import config as site_config
from dgm.api.config.v1.config_pb2 import DgmConfig

ROOT = "grid"


@dataclass(frozen=True, slots=True, kw_only=True)
class Evse:
    """One column. phases: 0..2."""

    circuit: str
    phases: tuple[int, ...]
    cap_ma: int
    weight: int


@dataclass(slots=True, kw_only=True)
class Tree:
    """EVSEs, the parent of each circuit, and one row per circuit and phase: budget in mA and its columns."""

    evses: list[Evse] = field(default_factory=list)
    parents: dict[str, str] = field(default_factory=dict)
    budgets_ma: dict[str, int] = field(default_factory=dict)
    rows: list[tuple[int, list[int]]] = field(default_factory=list)

    def words(self) -> bytes:
        """The problem of `_core.allocate`, without floors and with one stratum."""
        words = [1, len(self.evses), len(self.rows)]
        for evse in self.evses:
            words += [0, evse.cap_ma, evse.weight, 1]
        for budget_ma, columns in self.rows:
            words += [budget_ma, len(columns)]
            for column in columns:
                words += [column, 1]
        return array("q", words).tobytes()


@functools.cache
def tree(evses: int) -> Tree:
    """The tree of `evses` EVSEs, a multiple of 10."""
    draw = random.Random(1)
    found = Tree(parents={ROOT: ""})
    for index in range(evses):
        feeder, panel = f"f{index // 100}", f"p{index // 10}"
        found.parents |= {feeder: ROOT, panel: feeder}
        phases = draw.choices([(0,), (1,), (2,), (0, 1, 2)], weights=[1, 1, 1, 2])[0]
        cap_ma, weight = draw.choice([16_000, 20_000, 32_000]), draw.choice([1, 2, 4])
        found.evses.append(Evse(circuit=panel, phases=phases, cap_ma=cap_ma, weight=weight))
    below: dict[str, list[int]] = {circuit: [] for circuit in found.parents}
    for index, evse in enumerate(found.evses):
        for circuit in path(found, evse.circuit):
            below[circuit].append(index)
    for circuit, members in below.items():
        lines = [[index for index in members if phase in found.evses[index].phases] for phase in range(3)]
        connected_ma = max(sum(found.evses[index].cap_ma for index in line) for line in lines)
        budget_ma = found.budgets_ma[circuit] = int(connected_ma * draw.uniform(0.35, 1.0))
        found.rows += [(budget_ma, line) for line in lines if line]
    return found


def path(found: Tree, circuit: str) -> list[str]:
    """A circuit and those above it."""
    above = [circuit]
    while found.parents[above[-1]]:
        above.append(found.parents[above[-1]])
    return above


@functools.cache
def site(evses: int) -> DgmConfig:
    """The same tree as a whole site, with meter, PV and battery at the connection point."""
    found = tree(evses)
    lines = ["site: {id: bench, name: bench}", "circuits:"]
    for circuit, parent in found.parents.items():
        more = f"parent: {parent}" if parent else f"meter: m, import_limit_w: {evses * 6_000}"
        limit = f"current_limit_ma: {found.budgets_ma[circuit]}, max_uncontrolled_w: {0 if parent else 20_000}"
        lines.append(f"  - {{id: {circuit}, {limit}, {more}}}")
    lines += ["assets:", "  - {id: m, type: METER, circuit: grid, modbus: {host: 127.0.0.1, port: 1502}}"]
    lines.append(
        "  - {id: pv, type: PV, circuit: grid, power_max_w: 50000, revert_w: 50000, "
        "modbus: {host: 127.0.0.1, port: 1503}}"
    )
    battery = "power_max_w: 50000, energy_wh: 100000, modbus: {host: 127.0.0.1, port: 1504}"
    lines.append(f"  - {{id: battery, type: BATTERY, circuit: grid, {battery}}}")
    lines += ["cpos: [{id: cpo, url: 'ws://127.0.0.1:9'}]", "ocpp: {port: 9000}", "stations:"]
    for index, evse in enumerate(found.evses):
        phases = ", ".join(f"L{phase + 1}" for phase in evse.phases)
        text = f"id: e{index}, connector_id: 1, circuit: {evse.circuit}, phases: [{phases}], weight: {evse.weight}"
        lines.append(f"  - {{id: s{index}, cpo: cpo, evses: [{{{text}, current_max_ma: {evse.cap_ma}}}]}}")
    return site_config.parse("\n".join(lines))
