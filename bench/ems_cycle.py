"""One cycle of the ems role, from the snapshot to the setpoints as they go out, at 104 and 1,000 EVSEs.

    samples, outcomes (all EVSEs) ──> Cycle  │ Tick ─> policy ─> targets ─> core decides ─> Decision ─> message bytes
                                   "reports" │ "cycle": the bar is on its 99th percentile

A limit is put every second cycle and taken away in the next, so that setpoints change all the time. Clock, meter and
plant are made up; nothing waits for a device or a socket. Comparators in the same run: the time that the cycle had a
core (on a busy host the rest is waiting for one), and parsing and writing the same Decision and message, which no cycle
can do without. Exit 1: a bar is missed.
"""

from __future__ import annotations

import argparse
import sys
from array import array
from statistics import median, quantiles
from time import perf_counter, thread_time

from dgm import _core
from dgm.api.core.v1.core_pb2 import Decision
from dgm.api.ems.v1.ems_pb2 import (
    DeleteLimitRequest,
    Limit,
    Outcome,
    OutcomeState,
    PutLimitRequest,
    Quantity,
    ReportOutcomesRequest,
    WatchSetpointsResponse,
)
from dgm.api.site.v1.site_pb2 import PhaseValues, PlugState, Quality, ReportSamplesRequest, Sample
from dgm.ems.columns import columns, reading
from dgm.ems.cycle import Cycle
from dgm.ems.events import (
    CoreDecided,
    Effect,
    Reply,
    SendLimits,
    SendLink,
    SendOutcomes,
    SendSamples,
    SendTargets,
    SubscriberHeard,
)
from dgm.ems.setpoints import SetpointSubscriber
from dgm.machine import Now, Tick
from dgm.site.refusal import Refusal
from tree import Tree, site, tree

BARS_MS = {104: 20.0, 1_000: 120.0}
CYCLES, SETTLE = 300, 30
CYCLE_MS = 1_000
NOMINAL_V = 230
METER, FIRST_EVSE = 0, 3
WIDTH = len(_core.IMAGE_COLUMNS)
ROLE, SOURCE = "ocpp:1", "api:bench"


class Plant:
    """The role's machine and core, and a plant that does as it is told."""

    def __init__(self, evses: int) -> None:
        self.tree: Tree = tree(evses)
        config = site(evses)
        self.machine = Cycle(config, epoch=1)
        self.core = _core.Arbiter(config.SerializeToString())
        self.subscriber = SetpointSubscriber()
        self.decision, self.message = b"", b""
        self._mono_ms, self._sequence, self._drawn_w = 1_000_000, 0, 0
        self._granted: dict[int, int] = {}
        self._run(self.machine.restore({}, self.now()))

    def now(self) -> Now:
        """The clock of this plant."""
        return Now(mono_ms=self._mono_ms, utc_ms=1_700_000_000_000 + self._mono_ms)

    def reports(self) -> None:
        """A second passes; every EVSE reports, proves its setpoint, and the meter shows it."""
        self._mono_ms += CYCLE_MS
        self._sequence += 1
        now = self.now()
        self.core.put_image(self._image(), now.mono_ms)
        self._run(self.machine.handle(SubscriberHeard(), now))
        self._run(self.machine.handle(self._samples(), now))
        self._run(self.machine.handle(self._outcomes(), now))
        limit = Limit(id="l", source=SOURCE, circuit_id="grid", quantity=Quantity.QUANTITY_NET_IMPORT)
        limit.power_w = len(self.tree.evses) * 3_000
        change = PutLimitRequest(limit=limit) if self._sequence % 2 else DeleteLimitRequest(id="l", source=SOURCE)
        self._run(self.machine.handle(change, now))

    def cycle(self) -> None:
        """From the snapshot to the bytes that go out."""
        now = self.now()
        self._run(self.machine.handle(Tick(), now))
        self.core.decide(now.mono_ms)
        self.decision = self.core.decision()
        self._run(self.machine.handle(CoreDecided(decision=self.decision, readings=[]), now))
        message = self.subscriber.next_message(self.machine.setpoints, now)
        self.message = b"" if message is None else message.SerializeToString()

    def follow(self) -> int:
        """The plant does what the message says; how many setpoints it had."""
        found = WatchSetpointsResponse.FromString(self.message)
        for setpoint in found.setpoints:
            self._granted[int(setpoint.asset_id[1:])] = setpoint.current_ma
        return len(found.setpoints)

    def _run(self, effects: list[Effect]) -> None:
        mono_ms = self._mono_ms
        for effect in effects:
            match effect:
                case SendLimits():
                    self.core.put_limits(effect.limits, mono_ms)
                case SendTargets():
                    self.core.put_targets(columns(effect.rows), effect.ttl_ms, mono_ms)
                case SendSamples():
                    self.core.put_samples(columns(effect.rows), mono_ms)
                case SendOutcomes():
                    self.core.put_outcomes(columns(effect.rows), mono_ms)
                case SendLink():
                    self.core.put_link(effect.up, mono_ms)
                case Reply():
                    assert not isinstance(effect.message, Refusal), effect.message
                case _:
                    pass

    def _samples(self) -> ReportSamplesRequest:
        samples, self._drawn_w = [], 0
        for index, evse in enumerate(self.tree.evses):
            current_ma = self._granted.get(index, 0)
            currents = [current_ma if phase in evse.phases else 0 for phase in range(3)]
            power_w = sum(currents) * NOMINAL_V // 1000
            self._drawn_w += power_w
            l1, l2, l3 = currents
            sample = Sample(asset_id=f"e{index}", quality=Quality.QUALITY_GOOD, power_w=power_w)
            sample.plug_state = PlugState.PLUG_STATE_CHARGING
            sample.current_ma.CopyFrom(PhaseValues(l1=l1, l2=l2, l3=l3))
            samples.append(sample)
        return ReportSamplesRequest(source=ROLE, sequence=self._sequence, samples=samples)

    def _outcomes(self) -> ReportOutcomesRequest:
        outcomes = []
        for index in range(len(self.tree.evses)):
            setpoint = self.machine.setpoints.get(FIRST_EVSE + index)
            if setpoint is not None:
                state = OutcomeState.OUTCOME_STATE_CONFIRMED
                outcome = Outcome(asset_id=f"e{index}", epoch=1, sequence=setpoint.sequence, state=state)
                outcome.current_ma, outcome.fallback_ma = setpoint.current_ma, 0
                outcomes.append(outcome)
        return ReportOutcomesRequest(source=ROLE, sequence=self._sequence, outcomes=outcomes)

    def _image(self) -> array[int]:
        words = array("q", [_core.ABSENT64] * WIDTH * (FIRST_EVSE + len(self.tree.evses)))
        load_w = self._drawn_w + 10_000
        for index, power_w in ((METER, load_w), (METER + 1, -10_000), (METER + 2, 0)):
            words[index * WIDTH : index * WIDTH + 3] = array("q", [Quality.QUALITY_GOOD, 0, power_w])
        words[METER * WIDTH + 4 : METER * WIDTH + 7] = array("q", [load_w * 1000 // 690] * 3)
        words[(METER + 2) * WIDTH + _core.IMAGE_COLUMNS.index("soc_permille")] = 500
        for index in range(FIRST_EVSE):
            row = words[index * WIDTH : (index + 1) * WIDTH]
            self.machine.state.put_reading(index, reading(row, self.now()))
        return words


def measure(evses: int, cycles: int) -> bool:
    """Run, print; whether the bar holds."""
    plant = Plant(evses)
    taken: dict[str, list[float]] = {"reports": [], "cycle": [], "messages": [], "cpu": []}
    setpoints: list[int] = []
    for index in range(SETTLE + cycles):
        start = perf_counter()
        plant.reports()
        reported, cpu = perf_counter(), thread_time()
        plant.cycle()
        done, cpu = perf_counter(), thread_time() - cpu
        WatchSetpointsResponse.FromString(plant.message).SerializeToString()
        Decision.FromString(plant.decision)
        compared = perf_counter()
        moved = plant.follow()
        if index >= SETTLE:
            setpoints.append(moved)
            for name, seconds in zip(taken, (reported - start, done - reported, compared - done, cpu), strict=True):
                taken[name].append(seconds * 1e3)
    worst, worst_cpu = (quantiles(taken[name], n=100, method="inclusive")[-1] for name in ("cycle", "cpu"))
    print(
        f"{evses:5} EVSEs: cycle p50 {median(taken['cycle']):.2f}, p99 {worst:.2f} ms (bar {BARS_MS[evses]:.0f}); "
        f"of a core p50 {median(taken['cpu']):.2f}, p99 {worst_cpu:.2f} ms; "
        f"its messages alone {median(taken['messages']):.2f} ms; all reports in {median(taken['reports']):.2f} ms; "
        f"{median(setpoints):.0f} setpoints a message"
    )
    return worst <= BARS_MS[evses]


def main() -> int:
    """Every size against its bar."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cycles", type=int, default=CYCLES)
    given = parser.parse_args()
    held = [measure(evses, given.cycles) for evses in BARS_MS]
    return 0 if all(held) else 1


if __name__ == "__main__":
    sys.exit(main())
